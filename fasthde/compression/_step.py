"""Step functions of a Gaussian variable: values and moments in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from fasthde._results import freeze

Array = NDArray[np.float64]


class StepFunction:
    """Step function: ``levels[j]`` between the thresholds j - 1 and j, right-continuous.

    Parameters
    ----------
    thresholds : array_like, shape (k - 1,)
        Ascending.
    levels : array_like, shape (k,)
        Values.

    Examples
    --------
    >>> from fasthde.compression import StepFunction
    >>> StepFunction([-1.0, 1.0], [-1.0, 0.0, 1.0])([-2.0, 0.5, 1.0])
    array([-1.,  0.,  1.])
    """

    __slots__ = ("levels", "thresholds")
    levels: Array
    thresholds: Array

    def __init__(self, thresholds: ArrayLike, levels: ArrayLike):
        s, v = (np.array(a, dtype=np.float64) for a in (thresholds, levels))
        if s.ndim != 1 or v.shape != (s.size + 1,):
            raise ValueError(f"levels must be one more than thresholds; got shapes {v.shape} and {s.shape}.")
        if not (np.isfinite(s).all() and np.isfinite(v).all() and (np.diff(s) >= 0).all()):
            raise ValueError("thresholds must be finite and ascending, and levels finite.")
        object.__setattr__(self, "thresholds", freeze(s))
        object.__setattr__(self, "levels", freeze(v))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a StepFunction is immutable; make a new one to change {name}.")

    def __call__(self, t: ArrayLike) -> Array:
        """Values at ``t``, elementwise."""
        out = self.levels[np.searchsorted(self.thresholds, t, side="right")]
        return np.asarray(np.where(np.isnan(t), np.nan, out))

    def _content(self) -> tuple[Any, ...]:
        return tuple(self.thresholds), tuple(self.levels)

    def __eq__(self, other: object) -> bool:
        return self._content() == other._content() if isinstance(other, StepFunction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._content())

    def __reduce__(self) -> Any:
        return StepFunction, self._content()

    def __repr__(self) -> str:
        return f"StepFunction({self.levels.size} levels)"


def density(s: Array) -> Array:
    return np.asarray(np.exp(-0.5 * s * s) / math.sqrt(2.0 * math.pi))


def cells(s: Array) -> tuple[Array, Array, Array, Array]:
    """E 1_j, E[xi 1_j], E[(xi**2 - 1) 1_j] for the cells between the thresholds s, (S, k); and the density at s."""
    g = density(s)
    zero = np.zeros((s.shape[0], 1))
    P = np.diff(ndtr(s), axis=1, prepend=zero, append=zero + 1.0)
    A = -np.diff(g, axis=1, prepend=zero, append=zero)
    B = -np.diff(s * g, axis=1, prepend=zero, append=zero)
    return P, A, B, g
