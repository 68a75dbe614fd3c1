"""Functions of the angle between two points as one Chebyshev series over all angles.

With rho = sin psi the coordinate is t = sqrt(2) sin(psi/2) = (sqrt(1 + rho) - sqrt(1 - rho))/sqrt(2) in [-1, 1]: a
function with square-root singularities at rho = +-1, as every dual function of an activation with a kink at 0 has, is
analytic in t; a kink elsewhere, at a, leaves terms like exp(-a^2/(1 -+ rho)), smooth but of longer series. A
composition of such functions (a whole network on inputs of one norm) is one again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.network import INNER, STEPS
from fasthde._mesh import lobatto

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
_DEGREES = (32, 64, 128, 256, 512)


class Angular(NamedTuple):
    """Chebyshev coefficients in t of several functions, (functions, degree + 1 padded), and their largest error.

    ``low`` and ``mid`` are coefficients of powers of rho/INNER, for smaller correlations.
    """

    coefficients: Array
    error: float
    low: Array
    mid: Array

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """What kernels take."""
        return self.coefficients, self.low, self.mid


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
    length = _length(c, floor * size)
    padded = np.zeros((c.shape[0], length))
    padded[:, : min(length, c.shape[1])] = c[:, :length]
    low, mid = (_powers(padded, limit, floor) for limit in INNER)
    return Angular(np.ascontiguousarray(padded), max(tail, 8 * _EPS), low, mid)


def _powers(series: Array, limit: float, floor: float) -> Array:
    """Coefficients of powers of rho/limit for abs(rho) <= limit.

    The nearest singularity, rho = +-1, lies beyond sqrt(2) times the limit: the powers are as stable as Chebyshev's.
    """
    n = 64
    rho = limit * np.cos(np.pi * np.arange(n + 1) / n)
    values = np.polynomial.chebyshev.chebval(coordinate(1.0 - rho, 1.0 + rho), series.T)
    c = lobatto(np.atleast_2d(values))
    length = _length(c, floor * np.abs(values).max(axis=-1, keepdims=True))
    out = np.zeros((c.shape[0], length))
    for row, one in zip(out, c, strict=True):
        powers = np.polynomial.chebyshev.cheb2poly(one[:length].astype(np.longdouble))
        row[: powers.size] = powers
    return out


def _length(c: Array, allowed: Array) -> int:
    """Terms to keep, padded to whole passes, so that dropping the others costs no more than allowed."""
    rest = np.cumsum(np.abs(c[:, ::-1]), axis=1)[:, ::-1]
    return max(1, -(-int((rest > 2 * allowed).any(axis=0).sum()) // STEPS)) * STEPS


def evaluate(series: Angular, lo: Array, hi: Array) -> Array:
    """Values, shape (functions, points)."""
    return np.asarray(np.polynomial.chebyshev.chebval(coordinate(lo, hi), series.coefficients.T))
