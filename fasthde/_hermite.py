"""Hermite coefficients and moments of a function under a Gaussian, by closed form or on its mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fasthde import _jit
from fasthde._kernels.hermite import hermite_rows
from fasthde._mesh import Mesh, gaussian_nodes, lobatto, reach
from fasthde._named import Named

Array = NDArray[np.float64]

#: Rows times nodes in memory at once.
_BLOCK = 2_000_000

#: Degrees tried in log tau.
_SCALES = (16, 32, 64)


def integrable(mesh: Mesh, tau: float) -> None:
    """Raise ValueError unless f is finite and square-integrable under the Gaussian."""
    reach(mesh, tau, 39.0)


def _evaluated(mesh: Mesh, tau: Array, order: int) -> tuple[Array, Array, Array]:
    t, weight = gaussian_nodes(mesh, tau, order)
    values = mesh.values(tau[:, None] * t)
    if not np.isfinite(values).all():
        where = float((tau[:, None] * t)[~np.isfinite(values)].flat[0])
        raise ValueError(
            f"{mesh.name} must be finite; it is not at t = {where:.6g}. Choose a smaller variance, or "
            "an activation that grows more slowly."
        )
    return t, weight, values


def hermite(named: Named, mesh: Mesh, order: int, tau: Array) -> Array:
    """Coefficients a_0..a_order at every tau, shape ``tau.shape + (order + 1,)``."""
    if named.hermite is not None:
        out = named.hermite(order, tau)
        if not np.isfinite(out).all():
            raise ValueError(f"{mesh.name} has moments beyond the range of numbers at tau = {tau.max():.6g}.")
        return out
    out = _over_scales(lambda part: _direct(mesh, order, part), tau.ravel())
    if named.vanish is not None:
        out[:, named.vanish :: 2] = 0.0
    return out.reshape(*tau.shape, order + 1)


def _direct(mesh: Mesh, order: int, tau: Array) -> Array:
    out = np.empty((tau.size, order + 1))
    rows = max(1, _BLOCK // 1500)
    for first in range(0, tau.size, rows):
        part = tau[first : first + rows]
        t, weight, values = _evaluated(mesh, part, order)
        work = np.empty((part.size, 2, t.shape[1]))
        _jit.map_rows(
            hermite_rows, None, part.size, t.size * (order + 1.0), None,
            t, weight * values, work, out[first : first + rows],
        )  # fmt: skip
    return out


def _over_scales(compute: Callable[[Array], Array], tau: Array) -> Array:
    """``compute`` (points to rows) at many scales: a Chebyshev series in log tau, in which moments are analytic.

    Two thousand scales within a factor of two need 17 evaluations.
    """
    if tau.size > 4 * _SCALES[0]:
        logs = np.log(tau)
        middle, half = (logs.max() + logs.min()) / 2, max(float(np.ptp(logs)) / 2, 1e-3)
        for n in _SCALES:
            if tau.size <= 2 * n:
                break
            values = compute(np.exp(middle + half * np.cos(np.pi * np.arange(n + 1) / n)))
            norm = np.sqrt((values**2).sum(axis=1, keepdims=True))
            if not norm.min() > 0:
                break
            # norms apart, as logarithms: the smallest scale keeps its own relative precision
            c = lobatto(np.concatenate([values / norm, np.log(norm)], axis=1).T)
            if np.abs(c[:, -2:]).max() <= 4e-16 * max(1.0, np.abs(c[-1]).max()):
                made = np.polynomial.chebyshev.chebvander((logs - middle) / half, n) @ c.T
                return np.asarray(made[:, :-1] * np.exp(made[:, -1:]))
    return compute(tau)


def _rows(mesh: Mesh, tau: Array) -> Iterator[tuple[slice, Array, Array, Array]]:
    rows = max(1, _BLOCK // 1500)
    for first in range(0, tau.size, rows):
        part = slice(first, first + rows)
        yield part, *_evaluated(mesh, tau[part], 2)


def second(mesh: Mesh, tau: Array) -> Array:
    """E f(tau xi)^2."""

    def compute(flat: Array) -> Array:
        out = np.empty((flat.size, 1))
        for part, _, weight, values in _rows(mesh, flat):
            out[part, 0] = (weight * values**2).sum(axis=1)
        return out

    return _over_scales(compute, tau.ravel()).reshape(tau.shape)


def moments(named: Named, mesh: Mesh, tau: Array, scale: float, shift: float) -> dict[str, Array]:
    """Moments of ``scale f + shift`` by name; none is a difference of larger numbers."""
    a = scale * hermite(named, mesh, 2, tau).reshape(-1, 3)
    a[:, 0] += shift
    flat = tau.ravel()
    sums = np.empty((3, flat.size))
    for part, t, weight, values in _rows(mesh, flat):
        phi = scale * values + shift
        rest = phi - a[part, :1] - a[part, 1:2] * t
        sums[0, part] = (weight * phi**2).sum(axis=1)
        sums[1, part] = (weight * phi**2 * (t * t - 1)).sum(axis=1) / (2 * flat[part] ** 2)
        sums[2, part] = (weight * rest**2).sum(axis=1)
    fields = {
        "mean": a[:, 0],
        "second": sums[0],
        "slope": a[:, 1] / flat,
        "curvature": np.sqrt(2) * a[:, 2] / flat**2,
        "quadratic": sums[1],
        "nonlinear": sums[2],
    }
    return {name: value.reshape(tau.shape) for name, value in fields.items()}


#: Below this scale moments of derivatives come from derivatives: Stein's lemma divides the rounding of f by tau^2.
SMALL = 1e-2


def small_scale_moments(mesh: Mesh, slope: Mesh, tau: Array, scale: float, shift: float) -> dict[str, Array]:
    """E phi', E phi'' and E[phi'^2 + phi phi''] of ``scale f + shift`` at small scales; NaN at others.

    One derivative is taken of f; the second through Stein's lemma, or of f, too, below 1e-4 where no kink is near.
    """
    flat = tau.ravel()
    out = np.full((3, flat.size), np.nan)
    for i in np.flatnonzero(flat < SMALL):
        one = flat[i : i + 1]
        t, weight, values = _evaluated(mesh, one, 2)
        phi = scale * values + shift
        first = scale * slope.values(one * t)
        out[0, i] = (weight * first).sum()
        if one[0] < 1e-4 and not (mesh.kinks.size and np.abs(mesh.kinks).min() <= 40 * one[0]):
            second_ = scale * slope.derivative(one * t)
            out[1, i] = (weight * second_).sum()
            out[2, i] = (weight * (first**2 + phi * second_)).sum()
        else:
            out[1, i] = (weight * first * t).sum() / one[0]
            out[2, i] = (weight * phi * first * t).sum() / one[0]
    return dict(zip(("slope", "curvature", "quadratic"), out.reshape(3, *tau.shape), strict=True))
