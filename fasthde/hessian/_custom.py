"""The law of the weights of the user's own model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.hessian import NODES
from fasthde.hessian._cells import Array, Cells, Cut, Source, gauss, legendre, make_cells
from fasthde.hessian._models import Plane, along, normal, standard_breaks
from fasthde.hessian._weights import WeightLaw, pack

Complex = NDArray[np.complex128]


class _Response:
    """Values y_k and probabilities of the response at v, as arrays of shape (k, *v.shape)."""

    def __init__(self, function: Callable[[Array], Any] | None):
        self.function = function
        y, p = self(np.linspace(-2.0, 2.0, 7))
        self.count = y.shape[0]
        self.even = bool((p == p[:, :1]).all())  # probabilities that do not move with v

    def __call__(self, v: Array) -> tuple[Array, Array]:
        if self.function is None:
            return v[None], np.ones((1, *v.shape))
        out = self.function(v)
        if not isinstance(out, tuple):
            return np.broadcast_to(np.asarray(out, np.float64), v.shape)[None], np.ones((1, *v.shape))
        if len(out) != 2:
            raise ValueError(
                f"response(v) must return values, or a pair (values, probabilities); got {len(out)} items."
            )
        y, p = (np.asarray(x, np.float64) for x in out)
        size = max(y.shape[0] if y.ndim else 0, p.shape[0] if p.ndim else 0)
        try:
            y, p = (
                np.broadcast_to(x.reshape(x.shape + (1,) * v.ndim) if x.ndim == 1 else x, (size, *v.shape))
                for x in (y, p)
            )
        except ValueError:
            raise ValueError(
                "response(v) must return values and probabilities with a first axis of outcomes followed by the "
                f"shape of v, {v.shape}; got shapes {y.shape} and {p.shape}."
            ) from None
        if not ((p >= 0.0).all() and np.allclose(p.sum(axis=0), 1.0, rtol=0.0, atol=1e-9)):
            raise ValueError(
                f"response(v) must return probabilities >= 0 that sum to 1 over outcomes; sums are "
                f"{p.sum(axis=0).min():.6g} .. {p.sum(axis=0).max():.6g}."
            )
        return y, p


def custom_weights(
    function: Callable[[Array, Array], Any], response: Callable[[Array], Any] | None, plane: Plane, cut: Cut
) -> WeightLaw:
    """Weights second_derivative(y, u): reduced to one variable where they depend on one, else a nested quadrature."""
    answer = _Response(response)

    def call(y: Array, u: Array) -> Array:
        with np.errstate(all="ignore"):  # 16 standard deviations away: checked for finite values instead
            out = np.asarray(function(y, u), dtype=np.float64)
        if out.shape not in ((), y.shape):
            raise ValueError(
                f"second_derivative must be vectorised: arguments of shape {y.shape} gave {out.shape}. "
                "Use NumPy functions."
            )
        return np.broadcast_to(out, y.shape)

    count = answer.count

    def branch(s1: Array, s2: Array, k: NDArray[np.int64]) -> tuple[Array, Array]:
        """Weight and probability of outcome k."""
        s1, s2, k = np.broadcast_arrays(s1, s2, k)
        u, v = plane.a * s1, plane.b * s1 + plane.c * s2
        y, p = answer(v)
        y, p = (np.take_along_axis(x, k[None], 0)[0] for x in (y, p))
        return call(np.ascontiguousarray(y), np.ascontiguousarray(u)), p

    if plane.rank == 0:
        k = np.arange(count)
        g, p = branch(np.zeros(count), np.zeros(count), k)
        if not np.isfinite(g).all():
            raise ValueError(f"the weights must be finite; got {g} at u = v = 0.")
        return pack(*cut.apply(Cells.empty(), g, np.stack([p, p, 0.0 * p, p])), None, False, 0.0)
    if plane.rank == 1:
        angle: float | None = 0.0
    else:
        angle = _one_direction(branch, plane, count)
    if angle is None:
        return _two_dimensional(branch, plane, count, cut)
    p, q = np.cos(angle), np.sin(angle)
    flat = along(angle)
    moments = None
    if plane.rank == 2 and angle == 0.0 and not answer.even:
        moments = _outcome_moments(answer, plane)

    def weight(t: Array, row: NDArray[np.int64]) -> Array:
        return branch(p * t, q * t, row)[0]

    def channels(t: Array, row: NDArray[np.int64]) -> Array:
        if moments is not None:
            m0, m1, m2 = moments(t, row)
            f = normal(t)
            return np.stack([f * m0, f * t * t * m0, f * t * m1, f * m2])
        return flat(t) * branch(p * t, q * t, row)[1]

    limits = _far_limits(weight, count)
    source = Source(weight, channels, count, standard_breaks(), 1e-62, 1e-13, 50)
    cells, atoms, masses, _ = make_cells(source, cut.levels)
    return pack(*cut.apply(cells, atoms, masses), cut.limits(limits), False, 0.0)


def _one_direction(branch: Any, plane: Plane, count: int) -> float | None:
    """The angle of the one direction in the plane that the weights depend on, if it is that of u or of v."""
    rng = np.random.default_rng(20210301)
    t = np.concatenate([rng.standard_normal(400), 4.0 * rng.standard_normal(100)])[None]
    b = np.concatenate([rng.standard_normal(400), 4.0 * rng.standard_normal(100)])[None]
    k = np.arange(count)[:, None]
    for angle in (0.0, float(np.arctan2(plane.c, plane.b))):
        p, q = np.cos(angle), np.sin(angle)
        here = branch(p * t, q * t, k)[0]
        there = branch(p * t - q * b, q * t + p * b, k)[0]
        if (
            np.array_equal(here, there)
            or (np.abs(here - there) <= 1e-12 * (np.abs(here) + 1e-3 * np.abs(here).max())).all()
        ):
            return angle
    return None


def _outcome_moments(
    answer: _Response, plane: Plane
) -> Callable[[Array, NDArray[np.int64]], tuple[Array, ...]]:
    """E[pi_k(v) (1, s2, s2**2)] over s2, given s1 = t: Gauss-Legendre on panels, doubled until it is settled."""
    x, w, _ = legendre(NODES)

    def rule(panels: int) -> tuple[Array, Array]:
        edges = np.linspace(-9.0, 9.0, panels + 1)
        half = 0.5 * np.diff(edges)[:, None]
        node = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * x).ravel()
        return node, (half * w).ravel() * normal(node)

    def moments(t: Array, row: NDArray[np.int64], nodes: tuple[Array, Array]) -> tuple[Array, ...]:
        s, weight = nodes
        t, row = np.broadcast_arrays(t, row)
        out = np.empty((3, t.size))
        for start in range(0, t.size, 4096):
            part = slice(start, start + 4096)
            p = answer(plane.b * t.ravel()[part, None] + plane.c * s)[1]
            p = np.take_along_axis(p, row.ravel()[None, part, None], 0)[0]
            out[:, part] = np.stack([p @ weight, p @ (weight * s), p @ (weight * s * s)])
        return tuple(out.reshape(3, *t.shape))

    probe = np.linspace(-6.0, 6.0, 97)[None]
    rows = np.arange(answer.count)[:, None]
    panels = 2
    while panels < 512:
        a, b = (np.stack(moments(probe, rows, rule(n))) for n in (panels, 2 * panels))
        panels *= 2
        if np.abs(a - b).max() < 1e-14:
            break
    nodes = rule(panels)
    return lambda t, row: moments(t, row, nodes)


def _far_limits(weight: Any, rows: int) -> tuple[float, float]:
    """The range of the weights beyond the quadrature's: their values far out, where they are numbers."""
    t = np.array([17.0, 20.0, 30.0, 100.0, 1e3, 1e5, 1e8])
    points = np.concatenate([-t, t])[None]
    with np.errstate(all="ignore"):
        values = np.asarray(weight(points, np.arange(rows)[:, None]), np.float64)
    values = values[~np.isnan(values)]
    return (float(values.min()), float(values.max())) if values.size else (np.inf, -np.inf)


def _two_dimensional(branch: Any, plane: Plane, count: int, cut: Cut) -> WeightLaw:
    """Cells along one direction for every node of the other, whose panels are halved until E[1/(x - g)] settles."""
    rng = np.random.default_rng(519)
    s = rng.standard_normal((2, 1, 300))
    rows = np.arange(count)[:, None]
    best, angle = -1.0, 0.0
    for trial in np.pi * np.arange(4) / 4:  # the direction in which the weights vary most
        p, q = np.cos(trial), np.sin(trial)
        change = np.abs(
            branch(s[0] + 1e-3 * p, s[1] + 1e-3 * q, rows)[0]
            - branch(s[0] - 1e-3 * p, s[1] - 1e-3 * q, rows)[0]
        )
        size = float(np.median(change, axis=1).sum() + 1e-3 * change.mean())
        if size > 1.001 * best:
            best, angle = size, trial
    p, q = np.cos(angle), np.sin(angle)
    x, w = gauss(10)

    def solve(low: Array, high: Array) -> tuple[Cells, Array, Array, NDArray[np.int64]]:
        """Cells of all rows of the panels; the row is 10 count panel + count node + outcome."""
        half = 0.5 * (high - low)[:, None]
        b = np.repeat((0.5 * (low + high)[:, None] + half * x).ravel(), count)
        mass = np.repeat((half * w).ravel(), count) * normal(b)
        k = np.tile(np.arange(count), low.size * 10)

        def weight(t: Array, row: NDArray[np.int64]) -> Array:
            return np.asarray(branch(p * t - q * b[row], q * t + p * b[row], k[row])[0])

        def channels(t: Array, row: NDArray[np.int64]) -> Array:
            s1, s2 = p * t - q * b[row], q * t + p * b[row]
            f = normal(t) * mass[row] * branch(s1, s2, k[row])[1]
            return np.stack([f, f * s1 * s1, f * s1 * s2, f * s2 * s2])

        return make_cells(Source(weight, channels, b.size, standard_breaks(), 1e-17, 1e-11, 18), cut.levels)

    def functionals(solved: Any, panels: int, points: Complex) -> Complex:
        cells, atoms, masses, atom_row = solved
        out = np.zeros((panels, points.size), complex)
        g = np.where(cut.inside(cells)[:, None], cells.g, cut.moved(cells.g))
        atoms = cut.moved(atoms)
        for i, z in enumerate(points):
            each = (cells.q[0] / (z - g)).sum(axis=1)
            np.add.at(out[:, i], cells.row // (10 * count), each)
            np.add.at(out[:, i], atom_row // (10 * count), masses[0] / (z - atoms))
        return out

    edges = np.array([-8.5, -4.0, -1.5, 0.0, 1.5, 4.0, 8.5])
    low, high = edges[:-1], edges[1:]
    whole = solve(low, high)
    values = np.concatenate([whole[0].g.ravel(), whole[1]])
    weights = np.concatenate([whole[0].q[0].ravel(), whole[2][0]])
    order = np.argsort(values)
    level = np.cumsum(weights[order])
    a, b = np.interp([0.01, 0.99], level / level[-1], values[order])
    points = 0.5 * (a + b) + max(0.5 * (b - a), 1e-3 * abs(b) + 1e-300) * (
        np.array([-1.2, -0.7, 0.0, 0.7, 1.2]) + 0.3j
    )
    sums = functionals(whole, low.size, points)
    total = np.abs(sums.sum(axis=0))
    kept: list[tuple[Cells, Array, Array]] = []
    error, used = 0.0, 0
    for round_ in range(9):
        middle = 0.5 * (low + high)
        low2, high2 = np.stack([low, middle], 1).ravel(), np.stack([middle, high], 1).ravel()
        parts = solve(low2, high2)
        sums2 = functionals(parts, low2.size, points)
        both = sums2[::2] + sums2[1::2]
        gap = (np.abs(both - sums) / total).max(axis=1)
        good = (gap <= 1e-12) | (round_ == 8) | (used + 20 * low.size > 4000)
        used += 20 * int(good.sum())
        error += float(gap[good].sum())
        chosen = np.repeat(good, 2)
        cells, atoms, masses, atom_row = parts
        keep, keep_atoms = chosen[cells.row // (10 * count)], chosen[atom_row // (10 * count)]
        kept.append((cells.take(keep), atoms[keep_atoms], masses[:, keep_atoms]))
        if good.all():
            break
        low, high, sums = low2[~chosen], high2[~chosen], sums2[~chosen]
    cells = Cells.join([k[0] for k in kept])
    atoms = np.concatenate([k[1] for k in kept])
    masses = np.concatenate([k[2] for k in kept], axis=1)
    return pack(*cut.apply(cells, atoms, masses), None, True, error)
