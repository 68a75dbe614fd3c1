"""Symmetric matrices with a profile of variances."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import freeze
from fasthde.coupled._law import Coupled, components
from fasthde.coupled._part import Part

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class VarianceProfile(Coupled):
    """Law of a symmetric matrix with independent entries of given variances; see `variance_profile`.

    Parameters
    ----------
    variances : ndarray, shape (k, k)
        p times the variance of the entries of each pair of blocks.
    weights : ndarray, shape (k,)
        Proportions of the blocks.
    """

    variances: Array
    weights: Array
    _cache: dict[str, Any] | None

    def __init__(self, v: ArrayLike, weights: ArrayLike | None = None):
        s = check.not_empty("v", check.real_array("v", v, ndim=2))
        if s.shape[0] != s.shape[1]:
            raise ValueError(f"v must be square, one row and column a block; got shape {s.shape}.")
        check.non_negative("v", s, "It holds variances.")
        gap = float(np.abs(s - s.T).max())
        if gap > 1e-12 * float(s.max()):
            raise ValueError(
                f"v must be symmetric; entries differ by {gap:.3g}. Use (v + v.T)/2 if that is meant."
            )
        k = s.shape[0]
        w = np.ones(k) if weights is None else check.real_array("weights", weights)
        check.non_negative("weights", check.same_length("weights", w, "blocks", k), "They are proportions.")
        if not w.sum() > 0:
            raise ValueError("weights must not all be zero.")
        w = w / math.fsum(w)
        if not (s * w * w[:, None] > 0).any():
            raise ValueError(
                "v must have a positive entry between blocks of positive weight; the matrix would be 0."
            )
        set_ = object.__setattr__
        set_(self, "variances", freeze((s + s.T) / 2.0))
        set_(self, "weights", freeze(w))
        set_(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        v, w = self.variances, self.weights
        alive = (w > 0) & ((v * w) > 0).any(axis=1)
        parts = []
        for group in components((v > 0) & alive & alive[:, None], alive):
            block = v[np.ix_(group, group)]
            unit = float((block @ w[group]).max())
            parts.append(Part((w[group], 2.0, block * w[group] / unit), math.sqrt(unit), group))
        return parts, math.fsum(w[~alive])

    def _entries(self, z: Any, x: Any) -> Any:
        return self._named(z, x), None

    def _named(self, z: Any, x: Any) -> Any:
        k = self.weights.size
        g = np.concatenate((x, np.zeros((x.shape[0], k - x.shape[1]))), axis=1)
        for part in self._systems[0]:
            g[:, part.unknowns] /= part.unit
        dead = np.setdiff1d(np.arange(k), np.concatenate([p.unknowns for p in self._systems[0]]))
        g[:, dead] = -1.0 / (z + g @ (self.variances * self.weights)[dead].T)
        return g

    def __repr__(self) -> str:
        return (
            f"VarianceProfile({self.weights.size} blocks, variances "
            f"{self.variances.min():.6g} .. {self.variances.max():.6g})"
        )


def variance_profile(v: ArrayLike, weights: ArrayLike | None = None) -> VarianceProfile:
    r"""Generalised semicircle: law of a symmetric p x p matrix with independent entries of given variances.

    Entry (k, l) has mean 0 and variance ``v[i, j]/p`` for k in block i and l in block j.

    Parameters
    ----------
    v : array_like, shape (blocks, blocks)
        p times the variances, >= 0, symmetric. For one variance an entry, p blocks: each evaluation costs
        O(blocks**3).
    weights : array_like, shape (blocks,), optional
        Shares of the blocks, >= 0; equal without them. Normalised to sum 1.

    Returns
    -------
    VarianceProfile
        Law with `support`, `atoms`, `pdf`, `cdf`, `ppf`, `moment`, `expect`, `rvs`, `stieltjes` and `equivalent`,
        whose unknowns are the g of each block. Symmetric about 0.

    Raises
    ------
    TypeError
        For v or weights that are not numbers.
    ValueError
        For v that is not square, symmetric and >= 0, or without a positive entry between blocks of positive weight;
        for bad weights.

    Notes
    -----
    The quadratic vector equation, with w_j the weights,

    .. math::

        g_i = -\frac{1}{z + \sum_j w_j v_{ij}\, g_j}, \qquad m = \sum_i w_i g_i

    (Girko 2001; Ajanki, Erdos & Kruger 2017). One block is the semicircle of variance v; ``[[0, 1], [1, 0]]`` are the
    singular values of a rectangular matrix and their negatives. What no choice of non-zero entries can make
    invertible is an atom at 0; where there is just no such mass, the density at 0 may be infinite.

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.variance_profile([[0, 1], [1, 0]], weights=[0.75, 0.25])
    >>> law.support.round(6)
    array([[-1.366025, -0.366025],
           [ 0.366025,  1.366025]])
    >>> [(x, round(mass, 12)) for x, mass in law.atoms]
    [(0.0, 0.5)]
    """
    return VarianceProfile(v, weights)
