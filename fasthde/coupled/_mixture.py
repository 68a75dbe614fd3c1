"""Columns of several commuting covariances."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import freeze
from fasthde.coupled._law import RATIO, Coupled, components, merge, proportions
from fasthde.coupled._part import Part, snap
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Mixture(Coupled):
    """Law of ``X X'/n`` for columns of several commuting covariances; see `mixture`.

    Parameters
    ----------
    levels : ndarray, shape (classes, levels)
        Eigenvalues of each class's covariance in the common eigenbasis.
    multiplicity : ndarray, shape (levels,)
        Multiplicities, or weights of a measure.
    weights : ndarray, shape (classes,)
        Proportions of the classes.
    ratio : float
        p/n.
    """

    levels: Array
    multiplicity: Array
    weights: Array
    ratio: float
    _cache: dict[str, Any] | None

    def __init__(self, spectra: Sequence[Spectrum], weights: ArrayLike, ratio: float):
        if isinstance(spectra, Spectrum) or not isinstance(spectra, Sequence):
            raise TypeError(f"spectra must be a list of Spectrum, one a class; got {type(spectra).__name__}.")
        if not len(spectra):
            raise ValueError("spectra must not be empty; pass one Spectrum a class.")
        classes = [as_spectrum(f"spectra[{a}]", s) for a, s in enumerate(spectra)]
        first = proportions(classes[0])
        for a, s in enumerate(classes):
            if s.values.size != first.size:
                raise ValueError(
                    f"spectra[{a}] must have the {first.size} levels of spectra[0]; got {s.values.size}. "
                    "Level i of every class belongs to the same eigenspace: the covariances commute."
                )
            if not np.allclose(proportions(s), first, rtol=1e-12, atol=0.0):
                raise ValueError(
                    f"spectra[{a}] must have the multiplicities of spectra[0], level by level: "
                    "level i of every class belongs to the same eigenspace. Repeat levels to line them up."
                )
        levels = np.array([s.values for s in classes])
        if not (levels * first > 0).any():
            raise ValueError("spectra must have a positive eigenvalue; all are 0. The matrix X would vanish.")
        pi = check.same_length("weights", check.real_array("weights", weights), "classes", len(classes))
        check.non_negative("weights", pi, "They are proportions of the classes.")
        if not pi.sum() > 0:
            raise ValueError("weights must not all be zero.")
        if not (levels * first * pi[:, None] > 0).any():
            raise ValueError("weights must be positive for some class whose eigenvalues are not all 0.")
        set_ = object.__setattr__
        set_(self, "levels", freeze(levels))
        set_(self, "multiplicity", freeze(classes[0].multiplicity.copy()))
        set_(self, "weights", freeze(pi / math.fsum(pi)))
        set_(self, "ratio", check.scalar("ratio", ratio, positive=True, hint=RATIO))
        set_(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        c, pi = self.ratio, self.weights
        t, w = merge(self.levels, self.multiplicity / math.fsum(self.multiplicity))
        alive = (pi > 0) & (t > 0).any(axis=1)
        zero = math.fsum(w[~(t[alive] > 0).any(axis=0)])
        parts = []
        for group in components(((t > 0).astype(float) @ (t > 0).T > 0) & alive & alive[:, None], alive):
            used = (t[group] > 0).any(axis=0)
            unit = float(t[group].max())
            u, v = pi[group], w[used]
            rest = np.full(2, snap(math.fsum(u) - c * math.fsum(v)))
            model = (v, (1.0 + math.sqrt(c)) ** 2, t[np.ix_(group, used)] / unit, c, rest, u)
            parts.append(Part(model, unit, group))
        return parts, float(zero)

    def _entries(self, z: Any, x: Any) -> Any:
        f = 1.0 / (1.0 + self._named(z, x))
        return 1.0 / ((f * self.weights) @ self.levels - z), -f / z

    def _named(self, z: Any, x: Any) -> Any:
        return np.concatenate((x, np.zeros((x.shape[0], self.weights.size - x.shape[1]))), axis=1)

    def __repr__(self) -> str:
        return (
            f"Mixture({self.weights.size} classes, {self.levels.shape[1]} levels, "
            f"values {self.levels.min():.6g} .. {self.levels.max():.6g}, ratio {self.ratio:.6g})"
        )


def mixture(spectra: Sequence[Spectrum], weights: ArrayLike, ratio: float) -> Mixture:
    r"""Law of the sample covariance of a mixture: columns of X from classes of different covariance.

    ``X = [X_1, ..., X_K]`` with ``X_a = C_a^1/2 Z_a``, a share ``weights[a]`` of the n columns. The covariances share
    an eigenbasis: level i of every class belongs to the same eigenspace.

    Parameters
    ----------
    spectra : list of Spectrum
        Eigenvalues of each class's covariance, level by level in the common eigenbasis, with equal multiplicities.
    weights : array_like, shape (classes,)
        Shares of the classes, >= 0; normalised to sum 1.
    ratio : float
        ``c = p/n`` > 0, n the number of all columns.

    Returns
    -------
    Mixture
        Law with `support`, `atoms`, `pdf`, `cdf`, `ppf`, `moment`, `expect`, `rvs`, `stieltjes` and `equivalent`,
        whose unknowns are the delta of each class.

    Raises
    ------
    TypeError
        For spectra that are not a list of Spectrum.
    ValueError
        For spectra whose levels or multiplicities do not match, that are all 0, or for bad weights or ratio.

    Notes
    -----
    With t_ai the eigenvalue of class a on level i of weight w_i, and pi_a the shares,

    .. math::

        \delta_a = c \sum_i w_i\, t_{ai} Q_i, \qquad
        Q_i = \Big( \sum_a \frac{\pi_a t_{ai}}{1 + \delta_a} - z \Big)^{-1}, \qquad
        m = \sum_i w_i Q_i

    (Couillet, Debbah & Silverstein 2011; Benaych-Georges & Couillet 2016). Means of the classes, a perturbation of
    finite rank, do not change the law. Classes without a common eigenspace fall apart into independent laws.

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.mixture([fh.Spectrum([1, 3, 10]), fh.Spectrum([5, 1, 2])], [0.25, 0.75], 0.5)
    >>> law.support.round(6)
    array([[ 0.176025, 11.048648]])
    >>> round(law.mean(), 12)
    3.166666666667
    """
    return Mixture(spectra, weights, ratio)
