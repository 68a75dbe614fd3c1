"""A whole network on inputs of one norm, as one function of the angle."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from fasthde._angular import Angular, interpolate
from fasthde.activations import Activation
from fasthde.networks._layers import second
from fasthde.networks._pairs import compose

Array = NDArray[np.float64]


@functools.lru_cache(256)
def network(
    acts: tuple[Activation, ...],
    weights: tuple[float, ...],
    biases: tuple[float, ...],
    q: float,
    tangent: bool,
) -> Angular:
    """CK (and NTK) of the whole network on inputs of variance q, as functions of the first layer's correlation.

    weights and biases lead from layer l to l + 1; the last pair is that of the readout (1, 0 without one).
    """
    variances = [np.array([q])]
    for act, weight, bias in zip(acts, weights, biases, strict=True):
        variances.append(weight * second(act, variances[-1]) + bias)
        if not np.isfinite(variances[-1]).all():
            raise ValueError(overflow(act, len(variances)))

    def functions(lo: Array, hi: Array) -> list[Array]:
        every = [np.full(lo.shape, float(v[0])) for v in variances[:-1]]
        kappa, theta = compose(lo, hi, every, every, acts, weights, biases, tangent)
        return [kappa, theta] if tangent else [kappa]

    return interpolate(functions)


def overflow(act: Activation, layer: int) -> str:
    """What to say when a variance leaves the range of numbers."""
    return (
        f"the variance after layer {layer - 1} must be finite: {act.name} grows too fast for this depth or "
        "weight_variance."
    )
