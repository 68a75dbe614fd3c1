"""Dual functions E f(u) g(v) of correlated Gaussians, by closed form, Hermite series, or split quadrature.

The series sum a_k(sqrt qx) a_k(sqrt qy) rho^k (Mehler) converges like the coefficients where |rho| = 1: fast for a
smooth f of moderate variance, hopelessly for a kink. There the second method takes over: with
m = (u/sqrt qx + v/sqrt qy)/2 and d = (u/sqrt qx - v/sqrt qy)/2, independent of variances (1 +- rho)/2, the inner
integral over m is split at the kinks of both factors, and is itself a piecewise analytic function of d with kinks at
half their differences. Nothing degenerates as rho -> 1; rho < 0 is the same with v -> -v.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fasthde import _hermite
from fasthde._angular import evaluate, interpolate
from fasthde._mesh import Mesh, legendre, reach

if TYPE_CHECKING:
    from fasthde.activations import Activation

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)

#: Longest series; it may end where k a_k^2 has fallen to this part of its sum.
LONGEST = 512
_LAST = 1e-19

#: More correlations than this at one pair of variances are interpolated.
_MANY = 200

#: Gauss-Legendre nodes of an inner and an outer piece, and evaluations in memory at once.
_INNER = 20
_OUTER = 24
_BLOCK = 1_000_000

#: An outer integral halves its pieces until its Legendre tail is below this (relative), at most so often.
_TOLERANCE = 4e-15
_HALVINGS = 6


def series_coefficients(act: Activation, tau: Array) -> Array | None:
    """Hermite coefficients of the base function at every tau, until they vanish; None where they do not."""
    extremes = np.array([tau.min(), tau.max()])
    named, mesh = act._named, act._mesh
    if mesh.kinks.size and act.degree is None and named.hermite is None:
        return None  # a kink: powers of k
    order = 32
    while order <= LONGEST:
        a = _hermite.hermite(named, mesh, order, extremes)
        share = np.arange(order + 1) * a**2
        share /= share.sum(axis=1, keepdims=True)
        if (share[:, -8:] <= _LAST).all():
            last = int(np.flatnonzero((share > _LAST).any(axis=0))[-1])
            return _hermite.hermite(named, mesh, last, tau)
        order *= 2
    return None


def dual(
    act: Activation, qx: Array, qy: Array, lo: Array, hi: Array, derivative: bool
) -> tuple[Array, Array]:
    """Values and absolute error estimates for flat arrays of equal length."""
    named = act._named
    tx, ty = np.sqrt(qx), np.sqrt(qy)
    if named.dual is not None:
        value = named.dual(qx, qy, lo, hi)[int(derivative)]
        top = np.sqrt(
            named.dual(qx, qx, 0 * lo, 0 * hi + 2.0)[int(derivative)]
            * named.dual(qy, qy, 0 * lo, 0 * hi + 2.0)[int(derivative)]
        )
        error = 8 * _EPS * np.maximum(np.abs(value), top)
    else:
        taus, where = np.unique(np.concatenate([tx, ty]), return_inverse=True)
        a = series_coefficients(act, taus)
        if a is not None:
            value, error = _series(a, where[: tx.size], where[tx.size :], taus, lo, hi, derivative)
        else:
            mesh = act._slope_mesh() if derivative else act._mesh
            many = _one_pair(qx, qy) and lo.size > _MANY
            value, error = (_interpolated if many else product)(mesh, qx, qy, lo, hi)
    value, error = act.scale**2 * value, act.scale**2 * error
    if not derivative and act.shift:
        mean = act.scale * means(act, np.stack([tx, ty]))
        value = value + act.shift * (mean[0] + mean[1]) + act.shift**2
        error = error + 4 * _EPS * np.abs(act.shift) * (np.abs(mean).sum(axis=0) + abs(act.shift))
    return value, error


def _one_pair(qx: Array, qy: Array) -> bool:
    """Whether all elements share their variances."""
    return bool((qx == qx[0]).all() and (qy == qy[0]).all())


def _interpolated(mesh: Mesh, qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    """Many correlations at one pair of variances: a series in the angle, from 33 to 513 quadratures."""

    def functions(below: Array, above: Array) -> list[Array]:
        return [product(mesh, np.full_like(below, qx[0]), np.full_like(below, qy[0]), below, above)[0]]

    series = interpolate(functions)
    value = evaluate(series, lo, hi)[0]
    return value, np.full_like(value, series.error * max(np.abs(value).max(), 1e-300))


def means(act: Activation, tau: Array) -> Array:
    """E f(tau xi) of the base function."""
    unique, where = np.unique(tau, return_inverse=True)
    return _hermite.hermite(act._named, act._mesh, 0, unique)[..., 0][where].reshape(tau.shape)


def _series(
    a: Array, ix: Any, iy: Any, tau: Array, lo: Array, hi: Array, derivative: bool
) -> tuple[Array, Array]:
    rho = np.where(lo < hi, 1.0 - lo, hi - 1.0)
    value, size = np.empty(rho.size), np.empty(rho.size)
    rows = max(1, _BLOCK // a.shape[1])
    for first in range(0, rho.size, rows):
        part = slice(first, first + rows)
        terms = a[ix[part]] * a[iy[part]]
        if derivative:
            terms = terms[:, 1:] * np.arange(1, a.shape[1]) / (tau[ix[part]] * tau[iy[part]])[:, None]
        total = np.zeros(terms.shape[0])
        for k in range(terms.shape[1] - 1, -1, -1):
            total = total * rho[part] + terms[:, k]
        value[part] = total
        size[part] = np.abs(terms).sum(axis=1)
    return value, 8 * _EPS * size


# ------------------------------------------------------------------------------------------------ split quadrature


def product(mesh: Mesh, qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    """E f(u) f(v) with error estimates."""
    value, error = integrals(mesh, qx, qy, lo, hi, lambda fu, fv, part: [fu * fv])
    return value[0], error[0]


def integrals(
    mesh: Mesh,
    qx: Array,
    qy: Array,
    lo: Array,
    hi: Array,
    integrand: Callable[[Array, Array, Any], list[Array]],
) -> tuple[Array, Array]:
    """Expectations of ``integrand(f(u), f(v), elements)``, a list of arrays symmetric in u and v when qx = qy.

    Returns values and error estimates, shape (length of the list, elements).
    """
    near, far = np.flatnonzero(lo <= hi), np.flatnonzero(lo > hi)
    value: Array | None = None
    error: Array | None = None
    for index, sign in ((near, 1.0), (far, -1.0)):
        if not index.size:
            continue
        gap = lo[index] if sign > 0 else hi[index]
        got = _refined(mesh, qx[index], qy[index], gap, sign, integrand, index)
        if value is None or error is None:
            value, error = np.empty((got[0].shape[0], lo.size)), np.empty((got[0].shape[0], lo.size))
        value[:, index], error[:, index] = got
    assert value is not None
    assert error is not None
    return value, error


def _refined(
    mesh: Mesh, qx: Array, qy: Array, gap: Array, sign: float, integrand: Any, index: Any
) -> tuple[Array, Array]:
    value, tail, size = _outer(mesh, qx, qy, gap, sign, integrand, index, 1)
    for level in range(1, _HALVINGS):
        late = np.flatnonzero((tail > _TOLERANCE * size).any(axis=0))
        if not late.size:
            break
        again = _outer(mesh, qx[late], qy[late], gap[late], sign, integrand, index[late], 2**level)
        value[:, late], tail[:, late], size[:, late] = again
    return value, tail + 16 * _EPS * size


def _outer(
    mesh: Mesh, qx: Array, qy: Array, gap: Array, sign: float, integrand: Any, index: Any, parts: int
) -> tuple[Array, Array, Array]:
    """The integral over d with its Legendre tail, and the integral of the absolute value."""
    tx, ty = np.sqrt(qx), np.sqrt(qy)
    end = reach(mesh, float(max(tx.max(), ty.max())), 39.0)
    breaks = mesh.breaks(2 * end * float(max(tx.max(), ty.max())))
    small, large = np.sqrt(gap / 2), np.sqrt(1 - gap / 2)
    fold = sign > 0 and bool((qx == qy).all())
    base = np.array([0.0, 3.0, end]) if fold else np.array([-end, -3.0, 0.0, 3.0, end])
    base = np.concatenate(
        [np.linspace(a, b, parts + 1)[:-1] for a, b in itertools.pairwise(base)] + [base[-1:]]
    )
    kinks = mesh.kinks
    meet = (kinks[:, None] / tx[:, None, None] - sign * kinks / ty[:, None, None]).reshape(tx.size, -1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        meet = meet / small[:, None]
    meet = np.clip(np.nan_to_num(meet, nan=0.0), base[0], base[-1])
    if meet.shape[1]:
        meet = np.sort(meet, axis=1)
        meet = meet[:, np.r_[True, np.diff(meet, axis=1).max(axis=0) > 0]]
    ends = np.sort(np.concatenate([np.broadcast_to(base, (tx.size, base.size)), meet], axis=1), axis=1)
    x, w = legendre(_OUTER)
    half = np.diff(ends)[..., None] / 2
    y = ends[:, :-1, None] + half + half * x
    bell = np.exp(-y * y / 2) / np.sqrt(2 * np.pi) * (2.0 if fold else 1.0)
    d = small[:, None] * y.reshape(tx.size, -1)

    xi, wi = legendre(_INNER)
    uniform = np.linspace(-end, end, 9)
    many = 2 * breaks.size + uniform.size
    rows = max(1, _BLOCK // (d.shape[1] * many * _INNER))
    pieces: list[Array] = []
    for first in range(0, tx.size, rows):
        part = slice(first, first + rows)
        shift = d[part, :, None]
        scale = large[part, None, None]
        inner = np.concatenate(
            [
                (breaks / tx[part, None, None] - shift) / scale,
                (sign * breaks / ty[part, None, None] + shift) / scale,
                np.broadcast_to(uniform, (*shift.shape[:2], uniform.size)),
            ],
            axis=2,
        )
        inner = np.sort(np.clip(inner, -end, end), axis=2)
        wide = np.diff(inner)[..., None] / 2
        used = (wide > 0).any(axis=(0, 1, 3))
        left, wide = inner[..., :-1][..., used, None], wide[:, :, used]
        z = left + wide + wide * xi
        weight = wide * wi * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        m = scale[..., None] * z
        fu = mesh.values(tx[part, None, None, None] * (m + shift[..., None]))
        fv = mesh.values(sign * ty[part, None, None, None] * (m - shift[..., None]))
        both = integrand(fu, fv, index[part])
        pieces.append(
            np.array([[(weight * g).sum(axis=(2, 3)), (weight * np.abs(g)).sum(axis=(2, 3))] for g in both])
        )
    got = np.concatenate(pieces, axis=2)  # (integrals, 2, elements, outer nodes)
    weights = (half * w * bell).reshape(tx.size, -1)
    value = (got[:, 0] * weights).sum(axis=2)
    size = (got[:, 1] * weights).sum(axis=2)
    shaped = got[:, 0].reshape(got.shape[0], *y.shape) * bell
    middle, last = (np.abs(shaped @ _tail_matrix(k).T).sum(axis=3) for k in (_OUTER // 2, _OUTER))
    with np.errstate(invalid="ignore"):  # n nodes err like the coefficient of degree 2n
        error = last * np.nan_to_num(np.minimum(last / middle, 1.0)) ** 2
    return value, (error * 2 * half[..., 0]).sum(axis=2), size


@functools.cache
def _tail_matrix(count: int) -> Array:
    """From values at the outer nodes to the last three Legendre coefficients of degree below ``count``."""
    x, w = legendre(_OUTER)
    degrees = np.arange(count - 3, count)
    table = np.polynomial.legendre.legvander(x, _OUTER - 1)[:, degrees]
    return np.asarray((table * w[:, None] * (degrees + 0.5)).T)
