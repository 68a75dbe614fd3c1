"""Piecewise series of a density: built once for a law, then every quantity is a sum (see `_kernels.series`)."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _jit
from fasthde._kernels import series as kernels
from fasthde._results import ValidityWarning

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)

#: Gauss-Legendre nodes a piece for expectations.
QUADRATURE = 32

#: No more pieces than this in one round.
_MANY = 4000

#: Halvings towards a singularity: u**-0.9 leaves 1e-12.
_ROUNDS = 400

#: No more parts than this in one round of an integral.
_MANY_PARTS = 10_000

#: Points below which the series is evaluated serially: 10 ns a point.
_PARALLEL_POINTS = 200_000


@functools.cache
def chebyshev(n: int = kernels.NODES) -> tuple[Array, Array]:
    """Chebyshev nodes in ascending order, and the matrix from values there to coefficients."""
    angle = (2 * np.arange(n)[::-1] + 1) * (np.pi / (2 * n))
    matrix = np.cos(np.arange(n)[:, None] * angle) * (2.0 / n)
    matrix[0] /= 2.0
    return np.cos(angle), np.ascontiguousarray(matrix)


class Series:
    """Series of all half-intervals of a support.

    Parameters
    ----------
    edges : ndarray, shape (2 k,)
        The support's intervals.
    q : ndarray, shape (2 k,)
        Power of each edge's coordinate.
    hard : ndarray of bool, shape (2 k,)
        Edges where the density is infinite.
    """

    __slots__ = ("edges", "first", "halves", "mass", "pdf", "sign", "total", "u0", "u1", "width")

    def __init__(self, edges: Array, q: Array, hard: NDArray[np.bool_]):
        self.edges = np.ascontiguousarray(edges, dtype=np.float64)
        self.width = np.repeat(self.edges[1::2] - self.edges[::2], 2)
        self.sign = np.tile([1.0, -1.0], self.edges.size // 2)
        self.halves = (
            self.edges, self.sign, self.width, np.ascontiguousarray(q, np.float64), np.ascontiguousarray(hard),
        )  # fmt: skip

        self.first = np.zeros(1, np.int64)
        self.u0 = self.u1 = np.empty(0)
        self.pdf = self.mass = np.empty((0, 0))
        self.total = np.empty((2, 0))

    def fill(self, half: NDArray[np.int64], u0: Array, u1: Array, pdf: Array, mass: Array) -> Series:
        """Keep pieces that stand in the order of their half-intervals, and sum up the masses."""
        counts = np.bincount(half, minlength=self.edges.size)
        self.first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        self.u0, self.u1, self.pdf, self.mass = u0, u1, pdf, mass
        return self._sum_up()

    def _sum_up(self) -> Series:
        ends = self.mass[self.first[1:] - 1].sum(axis=1)
        each = ends[::2] + ends[1::2]
        before = np.cumsum(np.nan_to_num(each))[:-1]  # a lost interval leaves its neighbours alone
        self.total = np.array([np.concatenate(([0.0], before)), each])
        return self

    def checked(self, mass: float) -> Series:
        """The same with this total mass where rounding hides a part of it; a warning or an error where it does not.

        A narrow interval far from 0 knows x, and so its own mass, to ``eps |x|/width`` only: it is rescaled.
        """
        each = self.total[1]
        ends = np.abs(self.edges.reshape(-1, 2)).max(axis=1)
        doubt = each * (_EPS * ends / self.width[::2])
        missing, allowed = mass - float(each.sum()), 100.0 * float(doubt.sum())
        if not abs(missing) <= 1e-6 + allowed:
            raise ArithmeticError(
                f"the density accounts for a mass of {float(each.sum()):.12g} where {mass:.12g} is due; "
                "please report this law."
            )
        if abs(missing) > 1e-9 + allowed:  # an edge nearer to an atom than x can tell
            warnings.warn(
                f"densities and masses of this law are good to {abs(missing):.1g} only: next to an edge away from 0 it "
                "varies within the rounding of x. Shift the population so that this edge lies near 0.",
                ValidityWarning,
                stacklevel=6,
            )
        if 1e-12 < abs(missing) <= allowed:
            factor = 1.0 + missing * doubt / float(doubt.sum()) / each
            factor = factor[self._half(np.arange(self.u0.size)) // 2, None]
            self.pdf, self.mass = self.pdf * factor, self.mass * factor
            self._sum_up()
        return self

    def moved(self, scale: float, offset: float) -> Series:
        """Series of the law of scale x + offset."""
        if (scale, offset) == (1.0, 0.0):
            return self
        q, hard = self.halves[3:]
        other = Series(scale * self.edges + offset, q, hard)
        other.width = scale * self.width  # not from the rounded edges
        other.halves = (*other.halves[:2], other.width, q, hard)
        other.first, other.u0, other.u1, other.mass, other.total = (
            self.first,
            self.u0,
            self.u1,
            self.mass,
            self.total,
        )
        other.pdf = self.pdf / scale
        return other

    def _evaluate(self, x: Array, table: Array, kind: int) -> Array:
        flat = np.ascontiguousarray(x).ravel()
        out = np.empty(flat.size)
        args = (flat, self.edges, self.halves, self.first, self.u0, self.u1, table, self.total, kind)

        def rows(start: int, stop: int) -> None:
            work, which = np.empty((3, kernels.BLOCK)), np.zeros((2, kernels.BLOCK), np.int64)
            kernels.evaluate_rows(start, stop, *args, work, which, out)

        if flat.size < _PARALLEL_POINTS:
            rows(0, flat.size)
        else:
            _jit.map_blocks(rows, flat.size, None)
        return out.reshape(x.shape)

    def density(self, x: Array) -> Array:
        """Density of the continuous part."""
        if not self.edges.size:
            return np.where(np.isnan(x), np.nan, 0.0)
        return self._evaluate(x, self.pdf, 0)

    def below(self, x: Array) -> Array:
        """Mass of the continuous part to the left of x."""
        if not self.edges.size:
            return np.where(np.isnan(x), np.nan, 0.0)
        return self._evaluate(x, self.mass, 1)

    def quantile(self, half: NDArray[np.int64], level: Array) -> Array:
        """The points of half-intervals with these masses between them and the edge."""
        out = np.empty(level.size)
        ends = self.mass.sum(axis=1)
        kernels.quantile_rows(
            0, level.size, half, level, self.halves, self.first, self.u0, self.u1, self.mass, ends, out
        )
        return out

    # ------------------------------------------------------------------------------------------ quadrature

    def rule(self, a: Array | None = None, b: Array | None = None, piece: Any = None) -> tuple[Array, Array]:
        """Nodes and weights of the law's measure on pieces, or on parts of chosen ones.

        A part [a, b] lies in [0, 2], counted from the piece's end nearer to the edge: exact close to it.
        """
        if piece is None or a is None or b is None:
            piece = np.arange(self.u0.size)
            a, b = np.zeros(piece.size), np.full(piece.size, 2.0)
        node, weight = np.polynomial.legendre.leggauss(QUADRATURE)
        t = 0.5 * (a + b)[:, None] + 0.5 * (b - a)[:, None] * node
        values = _rows(self.pdf[piece], t - 1.0)
        edge, sign, width, q, hard = (v[self._half(piece)][:, None] for v in self.halves)
        half = 0.5 * (self.u1 - self.u0)[piece][:, None]
        u = self.u0[piece][:, None] + half * t
        x = edge + sign * width * np.where(q == 2.0, u * u, u**q)
        jacobian = q * width * half * np.where(hard, 1.0, u)
        return x, values * jacobian * (0.5 * (b - a))[:, None] * weight

    def _half(self, piece: Any) -> Any:
        return np.searchsorted(self.first, piece, side="right") - 1

    def expect(self, f: Callable[[Array], Any], rtol: float) -> Integral:
        """Integral of f against the continuous part."""

        def rule(a: Array, b: Array, piece: Any) -> tuple[Any, Array, Array]:
            x, w = self.rule(a, b, piece)
            terms = np.asarray(f(x.ravel())).reshape(x.shape) * w
            return terms.sum(axis=1)[None], np.abs(terms).sum(axis=1)[None], np.zeros((1, x.shape[0]))

        return halve(rule, np.arange(self.u0.size), rtol)


class Integral(NamedTuple):
    """Integrals of several functions, estimated errors, integrals of moduli, and the points used."""

    value: Any
    error: Array
    scale: Array
    nodes: int


def halve(
    rule: Callable[[Array, Array, Any], tuple[Any, Array, Array]], piece: NDArray[np.int64], rtol: float
) -> Integral:
    """Integrals over pieces, each halved until every function agrees with its halves.

    ``rule(a, b, piece)`` gives values, moduli and rounding errors of parts of pieces (see `Series.rule`), each of
    shape (functions, parts).
    """
    a, b = np.zeros(piece.size), np.full(piece.size, 2.0)
    whole, size, _ = rule(a, b, piece)
    done: Any = np.zeros(len(whole))
    error, scale, nodes = np.zeros(len(whole)), np.zeros(len(whole)), piece.size * QUADRATURE
    size = size.sum(axis=1)
    for _ in range(_ROUNDS):
        middle = 0.5 * (a + b)
        a2, b2 = np.stack([a, middle], axis=1).ravel(), np.stack([middle, b], axis=1).ravel()
        parts, moduli, noise = rule(a2, b2, np.repeat(piece, 2))
        nodes += a2.size * QUADRATURE
        both, floor = parts[:, ::2] + parts[:, 1::2], noise[:, ::2] + noise[:, 1::2]
        size = np.maximum(size, np.abs(done) + np.abs(both).sum(axis=1))
        difference = np.abs(both - whole)
        enough = (difference <= rtol * size[:, None] / max(piece.size, 8)) | (difference <= floor)
        good, tiny = enough.all(axis=0), b - a < 1e-13 * b
        # a singularity that stops the halving leaves an error of the size of the last part itself
        error += 4.0 * np.abs(both[:, tiny & ~good]).sum(axis=1)
        good |= tiny | ~np.isfinite(difference).all(axis=0) | (piece.size > _MANY_PARTS)
        keep = np.repeat(~good, 2)
        done = done + both[:, good].sum(axis=1)
        error += (difference + floor)[:, good].sum(axis=1)
        scale += moduli[:, ~keep].sum(axis=1)
        if good.all():
            break
        grows = (np.abs(parts) >= (1.0 - 1e-6) * np.abs(np.repeat(whole, 2, axis=1)))[:, keep]
        piece, a, b, whole = np.repeat(piece, 2)[keep], a2[keep], b2[keep], parts[:, keep]
    else:  # at an edge where the integrand is infinite, or the integral: what is left does not get smaller
        done, error = done + whole.sum(axis=1), error + 4.0 * np.abs(whole).sum(axis=1)
        if whole.dtype.kind != "c":
            done = np.where(
                grows.any(axis=1), np.inf * np.sign(np.where(grows, whole, 0.0).sum(axis=1)), done
            )
    return Integral(done, error, scale, nodes)


def _rows(coefficients: Array, t: Array) -> Array:
    """Each row of coefficients at its own row of points."""
    b1, b2 = np.zeros_like(t), np.zeros_like(t)
    for k in range(coefficients.shape[1] - 1, 0, -1):
        b1, b2 = coefficients[:, k : k + 1] + 2.0 * t * b1 - b2, b1
    return np.asarray(coefficients[:, :1] + t * b1 - b2)


def build(
    density: Callable[..., Any],
    edges: Array,
    q: Array,
    hard: NDArray[np.bool_],
    local: tuple[Array, Array] | None = None,
) -> Series:
    """Series of a density given pointwise: all pieces at once, unresolved ones halved in the next round.

    The density comes alone or with the errors of its values. A piece is resolved when its last coefficients are at
    the level of these errors, or at the rounding of its peak or of x; or when they are below 1e-8 of the peak and
    halving no longer lessens them: the noise of the density given.

    Narrow intervals far from 0 lose the digits of x - edge. With ``local``, one value a half-interval each, x is
    counted from another place: the edge seen from there, and the exact width; density(half-interval, x) follows.
    """
    series = Series(edges, q, hard)
    start = series.edges
    if local is not None:
        start, series.width = local
        series.halves = (*series.halves[:2], series.width, *series.halves[3:])
    node, matrix = chebyshev()
    _, sign, width, power, is_hard = series.halves
    half = np.arange(start.size)
    u0, u1 = np.zeros(start.size), 0.5 ** (1.0 / power)
    before = np.full(start.size, np.inf)  # last coefficients of the piece that was halved
    kept: list[tuple[Any, ...]] = []
    while half.size:
        u = 0.5 * (u0 + u1)[:, None] + 0.5 * (u1 - u0)[:, None] * node
        h = half[:, None]
        x = start[h] + sign[h] * (width[h] * u ** power[h])
        args = (x.ravel(),) if local is None else (np.repeat(half, node.size), x.ravel())
        out = density(*args)
        values, error = out if isinstance(out, tuple) else (out, np.zeros(x.size))
        factor = np.where(is_hard[h], u ** (power[h] - 1.0), 1.0)
        values, error = values.reshape(x.shape) * factor, error.reshape(x.shape) * factor
        if np.isnan(values).any():
            raise ArithmeticError(
                f"the density could not be solved at x = {x[np.isnan(values)][0]:.17g}; please report this law."
            )
        coefficients = values @ matrix.T
        peak = values.max(axis=1)
        step = np.abs(np.diff(values, axis=1)) / np.maximum(np.abs(np.diff(x, axis=1)), 1e-300)
        noise = (step * np.abs(x[:, 1:])).max(axis=1)
        tail = np.abs(coefficients[:, -3:]).max(axis=1)
        good = tail <= 4.0 * _EPS * peak + 0.25 * _EPS * noise + 0.5 * np.sqrt(np.mean(error**2, axis=1))
        good |= (tail <= 1e-8 * peak) & (tail > 0.2 * before)
        good |= (u1 - u0 < 1e-12) | (half.size > _MANY)
        kept.append((half[good], u0[good], u1[good], coefficients[good]))
        middle = 0.5 * (u0 + u1)[~good]
        half, before = np.tile(half[~good], 2), np.tile(tail[~good], 2)
        u0, u1 = np.concatenate((u0[~good], middle)), np.concatenate((middle, u1[~good]))
    half, u0, u1, pdf = (np.concatenate(v) for v in zip(*kept, strict=True))
    order = np.lexsort((u0, half))
    half, u0, u1, pdf = half[order].astype(np.int64), u0[order], u1[order], np.ascontiguousarray(pdf[order])
    mass = np.empty((half.size, node.size + 2))
    counts = np.bincount(half, minlength=start.size).astype(np.int64)
    kernels.integrate_rows(series.halves, counts, u0, u1, pdf, mass)
    return series.fill(half, u0, u1, pdf, mass)


def follow(
    series: Series, pack: Any, owner: NDArray[np.int64], reach: Array, s: Array, bend: Array
) -> tuple[Series, NDArray[np.bool_]]:
    """Series of chains, from the places ``s`` of their edges (see `kernels.march`); NaN where they are lost.

    The second result says which half-intervals could not be followed.
    """
    node, matrix = chebyshev()
    n = node.size
    todo = np.arange(series.edges.size)
    lost = np.zeros(todo.size, bool)
    room = 32
    kept: list[tuple[Any, ...]] = []
    while todo.size:
        counts = np.zeros(todo.size, np.int64)
        size = todo.size * room
        u0, u1, pdf, mass = np.empty(size), np.empty(size), np.empty((size, n)), np.empty((size, n + 2))
        halves = tuple(v[todo] for v in series.halves)
        args = (
            pack, owner[todo], reach, halves, s[todo], bend[todo], node, matrix, room, counts, u0, u1, pdf, mass,
            np.empty((todo.size, 1, n)),
        )  # fmt: skip
        work = 300.0 * todo.size * min(pack[4].size / max(reach.size, 1), 2000)
        _jit.map_rows(kernels.series_rows, None, todo.size, work, None, *args)
        bad = (counts == -2) | ((counts == -1) & (room > 10_000))
        lost[todo[bad]] = True
        for i in np.flatnonzero(bad):  # one piece without a value
            counts[i], u0[i * room], u1[i * room], pdf[i * room], mass[i * room] = 1, 0.0, 1.0, np.nan, np.nan
        used = (np.arange(room) < counts[:, None]).ravel()
        kept.append((np.repeat(todo, np.maximum(counts, 0)), u0[used], u1[used], pdf[used], mass[used]))
        todo = todo[counts < 0]
        room *= 8
    if not kept:
        return series, lost
    half, *rest = (np.concatenate(v) for v in zip(*kept, strict=True))
    order = np.argsort(half, kind="stable")
    return series.fill(half[order], *(v[order] for v in rest)), lost
