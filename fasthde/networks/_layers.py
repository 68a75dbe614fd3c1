"""One layer at unequal variances: what each activation needs for its kernel, entry by entry.

Three ways, the first that applies:

* homogeneous: norms factor out, one function of the angle remains;
* closed: the formula, where the series would be long;
* series: Hermite coefficients of every point, up to a correlation beyond which pairs are computed one by one (1 where
  the coefficients die out: smooth activations of moderate variance).
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _angular, _dual, _hermite
from fasthde._kernels import network as kernels
from fasthde.activations import Activation

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)

#: What a series may leave out, relative to the diagonal, and the correlation that it must reach.
_TAIL = 1e-13


@functools.lru_cache(256)
def homogeneous(act: Activation, tangent: bool) -> _angular.Angular:
    """Dual of the base function at unit variances, and that of its derivative."""
    base = act._affine(1.0, 0.0)

    def functions(lo: Array, hi: Array) -> list[Array]:
        one = np.ones_like(lo)
        return [
            _dual.dual(base, one, one, lo, hi, which)[0] for which in ((False, True) if tangent else (False,))
        ]

    return _angular.interpolate(functions)


class Side(NamedTuple):
    """Points on one side of a kernel matrix at one layer: variances and their means, affine part included."""

    q: Array
    mean: Array
    coefficients: Array  # (order + 1, points)
    factor: Array  # scale of the value, of a homogeneous activation
    slope: Array  # scale of the derivative's dual

    def take(self, rows: slice) -> Side:
        """Some of the points."""
        return Side(
            self.q[rows], self.mean[rows], self.coefficients[:, rows], self.factor[rows], self.slope[rows]
        )


class Layer:
    """One activation between given variances of the points of both sides."""

    __slots__ = ("act", "error", "kind", "limit", "series", "sides")

    def __init__(self, act: Activation, variances: list[Array], tangent: bool):
        self.act = act
        self.series: _angular.Angular | None = None
        self.error = 8 * _EPS
        self.limit = 2.0  # pairs of larger |rho| are computed one by one
        q = np.concatenate(variances)
        coefficients = np.zeros((1, q.size))
        factor = slope = np.ones(q.size)
        named = act._named
        if named.degree is not None:
            self.kind = "homogeneous"
            self.series = homogeneous(act._affine(1.0, 0.0), tangent)
            self.error = self.series.error
            factor, slope = q ** (named.degree / 2), q ** ((named.degree - 1) / 2)
        else:
            order, tail = _order(act, q, tangent)
            self.kind = "series" if tail <= _TAIL or named.dual is None else "closed"
            if self.kind == "series":
                self.error = _TAIL
                if tail > _TAIL:
                    self.limit = float((_TAIL / tail) ** (1.0 / order))
                a = _hermite.hermite(named, act._mesh, order, np.sqrt(q))
                coefficients = np.zeros((-(-a.shape[1] // kernels.STEPS) * kernels.STEPS, q.size))
                coefficients[: a.shape[1]] = a.T
                slope = 1 / np.sqrt(q)
        every = Side(q, half_means(act, q), coefficients, factor, slope)
        ends = np.cumsum([0, *(v.size for v in variances)])
        self.sides = [every.take(slice(a, b)) for a, b in itertools.pairwise(ends.tolist())]

    def apply(
        self, rho: Array, rows: slice, columns: slice, work: dict[str, Any], kappa: Array, slope: Array
    ) -> None:
        """Duals of the base function on a block of correlations."""
        x, y = self.sides[0].take(rows), self.sides[-1].take(columns)
        if self.series is not None:
            kernels.collapsed_layer(
                rho, *self.series.arrays, x.factor, y.factor, x.slope, y.slope, work["lanes"], kappa, slope
            )
        elif self.kind == "series":
            kernels.series_layer(
                rho, np.ascontiguousarray(x.coefficients.T), y.coefficients, x.slope, y.slope,
                work["lanes"], work["pack"], kappa, slope,
            )  # fmt: skip
        else:
            dual = self.act._named.dual
            assert dual is not None
            with np.errstate(all="ignore"):
                value, derivative = dual(x.q[:, None], y.q, 1.0 - rho, 1.0 + rho)
            kappa[...] = value
            slope[...] = derivative


def _order(act: Activation, q: Array, tangent: bool) -> tuple[int, float]:
    """Length of the series, and the share of E phi'^2 (of E phi^2, without a derivative) that it leaves out."""
    named, mesh = act._named, act._mesh
    tau = _dual.probes(np.sqrt(q))
    smooth = tangent and act.continuous
    if named.dual is not None:
        total = named.dual(tau**2, tau**2, 0 * tau, 0 * tau + 2.0)[int(smooth)]
    else:
        total = _hermite.second(act._slope_mesh() if smooth else mesh, tau)
    total = np.maximum(total, 1e-300)
    for longest in (128, _dual.LONGEST):
        k = np.arange(longest + 1)
        a = _hermite.hermite(named, mesh, longest, tau)
        terms = k * a**2 / tau[:, None] ** 2 if smooth else a**2
        # summed from the far end, plus what the longest series leaves out: no rounding of the sum in short tails
        beyond = np.maximum(total - terms.sum(axis=1), 0.0)
        beyond[beyond <= 64 * _EPS * total] = 0.0
        left = (np.cumsum(terms[:, ::-1], axis=1)[:, ::-1] + beyond[:, None]) / total[:, None]
        short = np.flatnonzero(left.max(axis=0) <= _TAIL)  # by the share of the terms from k on
        if short.size:
            return max(int(short[0]) - 1, 3), _TAIL
    return _dual.LONGEST, float((beyond / total).max())


def second(act: Activation, q: Array) -> Array:
    """E phi^2 at variances q."""
    none = np.zeros(q.size)
    if act._named.dual is not None:
        base = act._named.dual(q, q, none, none + 2.0)[0]
    else:
        base = _hermite.second(act._mesh, np.sqrt(q))
    return np.asarray(act.scale**2 * base + 2 * half_means(act, q))


def half_means(act: Activation, q: Array) -> Array:
    """Half of what the shift adds to E phi phi: scale shift E f + shift^2/2."""
    if not act.shift:
        return np.zeros(q.size)
    return np.asarray(act.scale * act.shift * _dual.means(act, np.sqrt(q)) + act.shift**2 / 2)
