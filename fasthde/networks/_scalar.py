"""Functions of the angle that networks are made of: one layer, and a whole network on inputs of one norm."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from fasthde import _dual
from fasthde._angular import Angular, interpolate
from fasthde.activations import Activation

Array = NDArray[np.float64]


@functools.lru_cache(256)
def homogeneous(act: Activation, tangent: bool) -> Angular:
    """Dual of the base function at unit variances, and that of its derivative."""
    base = act._affine(1.0, 0.0)

    def functions(lo: Array, hi: Array) -> list[Array]:
        one = np.ones_like(lo)
        return [
            _dual.dual(base, one, one, lo, hi, which)[0] for which in ((False, True) if tangent else (False,))
        ]

    return interpolate(functions)


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

    def functions(lo: Array, hi: Array) -> list[Array]:
        variance, below, above = q, lo, hi
        theta = q * np.where(lo < hi, 1.0 - lo, hi - 1.0)
        for act, weight, bias in zip(acts, weights, biases, strict=True):
            v = np.full(lo.shape, variance)
            kappa = _dual.dual(act, v, v, below, above, False)[0]
            if tangent:
                theta = weight * (kappa + theta * _dual.dual(act, v, v, below, above, True)[0]) + bias
            kappa = weight * kappa + bias
            one = np.full(1, variance)
            variance = float((weight * _dual.dual(act, one, one, 0 * one, 2 + 0 * one, False)[0] + bias)[0])
            if variance > 0:
                rho = np.clip(kappa / variance, -1.0, 1.0)
                below, above = 1.0 - rho, 1.0 + rho
        return [kappa, theta] if tangent else [kappa]

    return interpolate(functions)
