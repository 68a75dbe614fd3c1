"""Functions of the angle between two points as one Chebyshev series over all angles.

With rho = sin psi the coordinate is t = sqrt(2) sin(psi/2) = (sqrt(1 + rho) - sqrt(1 - rho))/sqrt(2) in [-1, 1]: a
function with square-root singularities at rho = +-1, as every dual function of a kinked activation has, is analytic
in t. A composition of such functions (a whole network on inputs of one norm) is one again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _dual
from fasthde._kernels.network import STEPS
from fasthde.activations import Activation

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
_DEGREES = (32, 64, 128, 256, 512)


class Angular(NamedTuple):
    """Chebyshev coefficients in t of several functions, (functions, degree + 1 padded), and their largest error."""

    coefficients: Array
    error: float


def gaps(t: Array) -> tuple[Array, Array]:
    """1 - rho and 1 + rho at coordinates t."""
    half = np.arcsin(t * np.sqrt(0.5))
    return 2 * np.sin(np.pi / 4 - half) ** 2, 2 * np.sin(np.pi / 4 + half) ** 2


def coordinate(lo: Array, hi: Array) -> Array:
    """The coordinate t of gaps 1 - rho and 1 + rho."""
    return np.asarray(np.sqrt(0.5) * (np.sqrt(hi) - np.sqrt(lo)))


def interpolate(functions: Callable[[Array, Array], Any], floor: float = 2e-15) -> Angular:
    """Series of the rows of ``functions(lo, hi)``, as long as they need to be.

    A series ends where its coefficients have fallen to rounding; what is left at the longest is the error.
    """
    known: dict[int, Array] = {}  # by numerator of the angle over the longest degree
    longest = _DEGREES[-1]
    for degree in _DEGREES:
        numerators = np.arange(degree + 1) * (longest // degree)
        new = [int(k) for k in numerators if int(k) not in known]
        lo, hi = gaps(np.cos(np.pi * np.array(new) / longest))
        values = np.atleast_2d(functions(lo, hi))
        known.update(zip(new, values.T, strict=True))
        f = np.array([known[int(k)] for k in numerators]).T
        c = lobatto(f)
        size = np.maximum(np.abs(f).max(axis=1, keepdims=True), 1e-300)
        tail = float((np.abs(c[:, -degree // 8 :]).max(axis=1) / size[:, 0]).max())
        if tail <= 16 * floor:
            break
    rest = np.cumsum(np.abs(c[:, ::-1]), axis=1)[
        :, ::-1
    ]  # what dropping the coefficients from k on would cost
    length = int((rest > 2 * floor * size).any(axis=0).sum())
    length = max(1, -(-length // STEPS)) * STEPS
    padded = np.zeros((c.shape[0], length))
    padded[:, : min(length, c.shape[1])] = c[:, :length]
    return Angular(np.ascontiguousarray(padded), max(tail, 8 * _EPS))


def lobatto(f: Array) -> Array:
    """Chebyshev coefficients of values at cos(pi k/n), k = 0..n, along the last axis."""
    from scipy.fft import dct

    n = f.shape[-1] - 1
    c: Array = np.asarray(dct(f, type=1, axis=-1), dtype=np.float64) / n
    c[..., [0, -1]] /= 2
    return c


def evaluate(series: Angular, lo: Array, hi: Array) -> Array:
    """Values, shape (functions, points)."""
    return np.asarray(np.polynomial.chebyshev.chebval(coordinate(lo, hi), series.coefficients.T))


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
