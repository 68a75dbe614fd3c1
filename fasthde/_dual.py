"""Dual functions E f(u) g(v) of correlated Gaussians, by closed form, Hermite series, or split quadrature.

The series sum a_k(sqrt qx) a_k(sqrt qy) rho^k (Mehler) converges like the coefficients where |rho| = 1: fast for a
smooth f of moderate variance, hopelessly for a kink. There the second method takes over: with
m = (u/sqrt qx + v/sqrt qy)/2 and d = (u/sqrt qx - v/sqrt qy)/2, independent of variances (1 +- rho)/2, the inner
integral over m is split at the kinks of both factors, and is itself a piecewise analytic function of d with kinks at
half their differences. Nothing degenerates as rho -> 1; rho < 0 is the same with v -> -v.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _hermite, _jit
from fasthde._angular import evaluate, interpolate
from fasthde._kernels.dual import NODES, dual_rows
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

#: An outer integral halves its pieces until its Legendre tail is below this (relative), at most so often.
_TOLERANCE = 4e-15
_HALVINGS = 6


def series_coefficients(act: Activation, tau: Array) -> Array | None:
    """Hermite coefficients of the base function at every tau, until they vanish; None where they do not."""
    extremes = probes(tau)
    named, mesh = act._named, act._mesh
    if mesh.kinks.size and act.degree is None and named.hermite is None:
        return None  # a kink: powers of k
    order = 32
    while order <= LONGEST:
        a = _hermite.hermite(named, mesh, order, extremes)
        share = np.arange(order + 1) * a**2
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-300)  # of a constant, nothing
        if (share[:, -8:] <= _LAST).all():
            last = int(np.flatnonzero((share > _LAST).any(axis=0)).max(initial=1))
            return _hermite.hermite(named, mesh, last, tau)
        order *= 2
    return None


def probes(tau: Array) -> Array:
    """The extremes and eight scales a decade between: a bump of f needs its longest series at the scale of the bump."""
    decades = np.log10(tau.max() / tau.min())
    return np.geomspace(tau.min(), tau.max(), 3 + int(np.ceil(8 * min(decades, 40.0))))


def dual(
    act: Activation, qx: Array, qy: Array, lo: Array, hi: Array, derivative: bool
) -> tuple[Array, Array, Array]:
    """Values, absolute error estimates and the sizes these are relative to, for flat arrays of equal length."""
    named = act._named
    tx, ty = np.sqrt(qx), np.sqrt(qy)
    if named.dual is not None:
        value = named.dual(qx, qy, lo, hi)[int(derivative)]
        top = np.sqrt(
            named.dual(qx, qx, 0 * lo, 0 * hi + 2.0)[int(derivative)]
            * named.dual(qy, qy, 0 * lo, 0 * hi + 2.0)[int(derivative)]
        )
        size = np.maximum(np.abs(value), top)
        error = 8 * _EPS * size
    else:
        taus, where = np.unique(np.concatenate([tx, ty]), return_inverse=True)
        a = series_coefficients(act, taus)
        if a is not None:
            value, error, size = _series(a, where[: tx.size], where[tx.size :], taus, lo, hi, derivative)
        else:
            mesh = act._slope_mesh() if derivative else act._mesh
            many = _one_pair(qx, qy) and lo.size > _MANY
            value, error, size = (_interpolated if many else product)(mesh, qx, qy, lo, hi)
    value, error, size = (act.scale**2 * v for v in (value, error, size))
    if not derivative and act.shift:
        mean = act.scale * means(act, np.stack([tx, ty]))
        value = value + act.shift * (mean[0] + mean[1]) + act.shift**2
        more = np.abs(act.shift) * (np.abs(mean).sum(axis=0) + abs(act.shift))
        error, size = error + 4 * _EPS * more, size + more
    return value, error, size


def _one_pair(qx: Array, qy: Array) -> bool:
    """Whether all elements share their variances."""
    return bool((qx == qx[0]).all() and (qy == qy[0]).all())


def _interpolated(mesh: Mesh, qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array, Array]:
    """Many correlations at one pair of variances: a series in the angle, from 33 to 513 quadratures."""

    def functions(below: Array, above: Array) -> list[Array]:
        return [product(mesh, np.full_like(below, qx[0]), np.full_like(below, qy[0]), below, above)[0]]

    series = interpolate(functions)
    value = evaluate(series, lo, hi)[0]
    size = np.full_like(value, max(np.abs(value).max(), 1e-300))
    return value, series.error * size, size


def means(act: Activation, tau: Array) -> Array:
    """E f(tau xi) of the base function."""
    unique, where = np.unique(tau, return_inverse=True)
    return _hermite.hermite(act._named, act._mesh, 0, unique)[..., 0][where].reshape(tau.shape)


def _series(
    a: Array, ix: Any, iy: Any, tau: Array, lo: Array, hi: Array, derivative: bool
) -> tuple[Array, Array, Array]:
    rho = np.where(lo < hi, 1.0 - lo, hi - 1.0)
    value, size = np.empty(rho.size), np.empty(rho.size)
    rows = max(1, 1_000_000 // a.shape[1])
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
    return value, 8 * _EPS * size, size


# ------------------------------------------------------------------------------------------------ split quadrature


def product(mesh: Mesh, qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array, Array]:
    """E f(u) f(v) with error estimates, and E abs(f(u) f(v))."""
    out, error = integrals(mesh, None, qx, qy, lo, hi)
    return out[:, 0], error[:, 0], error[:, 2]


def integrals(
    mesh: Mesh,
    slope: Mesh | None,
    qx: Array,
    qy: Array,
    lo: Array,
    hi: Array,
    affine: Array | None = None,
    threads: int | None = None,
) -> tuple[Array, Array]:
    """E f(u) f(v), E f'(u) f'(v) and E (a -+ b)^2/2 of pairs, shape (pairs, 4); errors and sizes of the first
    two, (pairs, 4) too.

    a = affine[:, 0] f(u) + affine[:, 1] and b = affine[:, 2] f(v) + affine[:, 3].
    """
    tau = np.sqrt(np.stack([qx, qy], axis=1))
    top = float(tau.max())
    if top < 0.25:  # pieces of the size of the argument, on which rounding is relative to the values there
        unit = 2.0 ** np.floor(np.log2(top))
        mesh, slope = mesh.magnified(unit), None if slope is None else slope.magnified(unit)
        tau, top = tau / unit, top / unit
    end = max(reach(mesh, float(extreme), 39.0) for extreme in (tau.min(), top))
    ends, table = mesh.table(2 * end * top)
    if slope is not None:
        derivative = slope.on(ends)  # as smooth as the function, piece by piece
    else:
        derivative = np.empty((0, NODES))
    if affine is None:
        affine = np.zeros((lo.size, 4))
    kinks = np.union1d(mesh.kinks, _sharp(ends, float(tau.min())))
    odd = (-1.0) ** np.arange(NODES)
    reflected = (
        np.ascontiguousarray(-ends[::-1]),
        np.ascontiguousarray(table[::-1] * odd),
        np.ascontiguousarray(derivative[::-1] * odd),
        np.ascontiguousarray(-kinks[::-1]),
    )
    bell = _bell(end)
    x, w = legendre(NODES)
    out, error = np.empty((lo.size, 4)), np.empty((lo.size, 4))
    most = 2 ** (_HALVINGS - 1)
    for near, second in ((lo <= hi, (ends, table, derivative, kinks)), (lo > hi, reflected)):
        index = np.flatnonzero(near)
        if not index.size:
            continue
        same = second[0] is ends
        values, errors = np.empty((index.size, 4)), np.empty((index.size, 4))
        room = (bell.fixed.size - 1) * most + 1 + kinks.size**2
        _jit.map_rows(
            dual_rows, None, index.size, 1e4 * index.size, threads,
            same, (lo if same else hi)[index], tau[index], affine[index],
            ends, table, derivative, *second[:3], kinks, second[3], bell.ends, bell.table, bell.fixed,
            x, w, _projection(NODES // 2), _projection(NODES), _TOLERANCE, most,
            np.empty((index.size, 7, NODES)), np.empty((index.size, room)), values, errors,
        )  # fmt: skip
        out[index], error[index] = values, errors
    return out, error


def _sharp(ends: Array, tau: float) -> Array:
    """Ends of pieces that are narrow at the scale tau, where f all but jumps: outer pieces must end there, too."""
    narrow = np.diff(ends) < 0.1 * tau
    places = ends[np.append(narrow, False) | np.insert(narrow, 0, False)]
    return places if places.size <= 32 else np.empty(0)


class _Bell(NamedTuple):
    """The Gaussian density on [-end, end] as a table, and the outer pieces."""

    ends: Array
    table: Array
    fixed: Array


@functools.cache
def _bell(end: float) -> _Bell:
    mesh = Mesh(lambda t: np.exp(-t * t / 2) / np.sqrt(2 * np.pi), np.empty(0), "the Gaussian")
    ends = np.linspace(-end, end, 2 * int(np.ceil(end / 2)) + 1)
    mesh._ends, mesh.reach = ends, end
    return _Bell(*mesh.table(end), np.array([-end, -3.0, 0.0, 3.0, end]))


@functools.cache
def _projection(count: int) -> Array:
    """From values at the nodes to the last three Legendre coefficients of degree below ``count``."""
    x, w = legendre(NODES)
    degrees = np.arange(count - 3, count)
    table = np.polynomial.legendre.legvander(x, NODES - 1)[:, degrees]
    return np.ascontiguousarray((table * w[:, None] * (degrees + 0.5)).T)
