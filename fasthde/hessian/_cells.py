"""Cells of a function of a Gaussian variable: pieces of its law with a smooth density."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.hessian import NODES

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)

#: Weights below are 0: their squares leave the range of floats.
_LEAST = 1e-140

#: Unresolved pieces at which a function is given up: memory, not time.
_MANY = 50_000


class Cells(NamedTuple):
    """Finished cells: nodes and masses (cells, 24), channels (4, cells, 24), ends, flag, coefficients."""

    g: Array
    q: Array
    low: Array
    high: Array
    smooth: NDArray[np.bool_]
    coefficients: Array
    row: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Cells:
        z = np.zeros(0)
        return cls(
            np.zeros((0, NODES)), np.zeros((4, 0, NODES)), z, z, np.zeros(0, bool),
            np.zeros((4, 0, NODES)), np.zeros(0, np.int64),
        )  # fmt: skip

    @classmethod
    def join(cls, many: list[Cells]) -> Cells:
        if not many:
            return cls.empty()
        axes = (0, 1, 0, 0, 0, 1, 0)
        return cls(
            *(
                np.concatenate([getattr(m, f) for m in many], axis=a)
                for f, a in zip(cls._fields, axes, strict=True)
            )
        )

    def take(self, keep: Any) -> Cells:
        return Cells(
            self.g[keep], self.q[:, keep], self.low[keep], self.high[keep], self.smooth[keep],
            self.coefficients[:, keep], self.row[keep],
        )  # fmt: skip


@functools.cache
def gauss(points: int) -> tuple[Array, Array]:
    """Gauss-Legendre rule to the last bit: NumPy's weights lose two digits at 48 points, Legendre series three more."""
    x: Any = np.polynomial.legendre.leggauss(points)[0].astype(np.longdouble)
    for _ in range(3):
        before: Any = np.ones_like(x)
        value: Any = x.copy()
        for k in range(1, points):
            before, value = value, ((2 * k + 1) * x * value - k * before) / (k + 1)
        slope = points * (before - x * value) / (1 - x * x)
        x = x - value / slope
    return x.astype(np.float64), (2 / ((1 - x * x) * slope * slope)).astype(np.float64)


@functools.cache
def legendre(points: int) -> tuple[Array, Array, Array]:
    """Gauss-Legendre nodes, weights, and the matrix from values there to 24 Legendre coefficients."""
    x, w = gauss(points)
    table = np.polynomial.legendre.legvander(x, NODES - 1)
    return x, w, (np.arange(NODES) + 0.5)[:, None] * table.T * w


class Source(NamedTuple):
    """Weights g(t, row) of one-dimensional variables t, and the densities of t times 1, s1**2, s1 s2, s2**2.

    Every row is a variable of its own on [low, high]. ``floor``: mass below which a cell is left out; ``tol``:
    relative size at which a density's last coefficients count as resolved; ``depth``: halvings of an unresolved cell.
    """

    g: Callable[[Array, NDArray[np.int64]], Array]
    channels: Callable[[Array, NDArray[np.int64]], Array]
    rows: int
    breaks: Array
    floor: float
    tol: float
    depth: int


def _grid(source: Source, a: Array, b: Array, row: NDArray[np.int64], x: Array) -> tuple[Array, Array]:
    t = 0.5 * (a + b)[:, None] + 0.5 * (b - a)[:, None] * x
    g = np.array(source.g(t, row[:, None]), dtype=np.float64)
    if not np.isfinite(g).all():
        i, j = np.argwhere(~np.isfinite(g))[0]
        raise ValueError(
            f"the weights must be finite over the range of the data (16.5 standard deviations); got {g[i, j]} at "
            f"t = {t[i, j]:.4g} standard deviations. Use smaller w and w_star, or mend the second derivative."
        )
    g[np.abs(g) < _LEAST] = 0.0
    return t, g


def _find_breaks(source: Source, levels: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Pieces (a, b, row) on which g is smooth and monotone and crosses none of the levels."""
    edges = source.breaks
    a, b = np.tile(edges[:-1], source.rows), np.tile(edges[1:], source.rows)
    row = np.repeat(np.arange(source.rows), edges.size - 1)
    rows, points = [row, row], [a, b]
    x, _, matrix = legendre(NODES)
    derivative = np.polynomial.legendre.legder(np.eye(NODES)).T
    for _ in range(70):
        if not a.size:
            break
        t, g = _grid(source, a, b, row, x)
        mass = source.channels(t, row[:, None])[0].max(axis=1) * (b - a)
        c = g @ matrix.T
        top = np.abs(g).max(axis=1)
        tiny = b - a <= 2.0**-46 * np.maximum(np.abs(a), np.abs(b))
        void = mass < source.floor
        smooth, level = _settled(c, top)
        smooth |= np.abs(c[:, -3:]).max(axis=1) <= 1e-13 * top
        rough = np.flatnonzero(~(smooth | tiny | void))
        level[rough] = _noise(source, t[rough], row[rough], c[rough])
        smooth[rough] = level[rough] > 0.0
        jump = ~smooth & tiny & ~void
        rows.append(row[jump])
        points.append(0.5 * (a + b)[jump])
        good = np.flatnonzero(smooth & ~void)
        curves = [(c[good] @ derivative, 1e-11 * top[good] + 600.0 * level[good])]
        for height in levels:
            shifted = c[good].copy()
            shifted[:, 0] -= height
            curves.append((shifted, np.zeros(good.size)))
        for series, noise in curves:
            k, root = _roots(series, noise)
            k = good[k]
            rows.append(row[k])
            points.append(0.5 * (a[k] + b[k]) + 0.5 * (b[k] - a[k]) * root)
        again = ~smooth & ~tiny & ~void
        if again.sum() > _MANY:
            raise ValueError(
                f"the weights must be piecewise smooth; more than {_MANY} pieces are not resolved. Smooth the second "
                "derivative, or lower |w| and |w_star|."
            )
        middle = 0.5 * (a + b)[again]
        a, b = np.concatenate([a[again], middle]), np.concatenate([middle, b[again]])
        row = np.concatenate([row[again], row[again]])
    every, at = np.concatenate(rows), np.concatenate(points)
    order = np.lexsort((at, every))
    every, at = every[order], at[order]
    new = (np.diff(at) > 2.0**-44 * np.maximum(np.abs(at[1:]), 1e-3)) | (np.diff(every) > 0)
    kept = np.concatenate(([True], new))
    every, at = every[kept], at[kept]
    inner = every[:-1] == every[1:]
    return at[:-1][inner], at[1:][inner], every[:-1][inner]


def _settled(c: Array, top: Array) -> tuple[NDArray[np.bool_], Array]:
    """Whether series end in rounding (their last terms fall no more, below 1e-12), and its level (0: unknown)."""
    end, before = np.abs(c[:, -4:]).max(axis=1), np.abs(c[:, 12:18]).max(axis=1)
    good = (end <= 2.0 * NODES * _EPS * top) | ((end > 0.1 * before) & (end <= 1e-12 * top))
    return good, np.where(good, np.minimum(2.0 * np.maximum(end, 0.0), 1e-12 * top), 0.0)


def _noise(source: Source, t: Array, row: NDArray[np.int64], c: Array) -> Array:
    """Level of a series' last terms where they are the rounding of g itself, which cancels there; else 0.

    Within a thousandth of a piece every g is a polynomial, and what is not is rounding (the median over the nodes:
    one of them may be at a kink). Without this, pieces near a zero of ``max(y - 1, 0)`` would be halved for ever.
    """
    if not t.size:
        return np.zeros(0)
    offset, residual = _rounding()
    near = t[:, ::3, None] + 5e-4 * np.ptp(t, axis=1)[:, None, None] * offset
    g = np.asarray(source.g(near, row[:, None, None]), np.float64)
    noise = np.median(np.abs(g @ residual).max(axis=2), axis=1)
    end = np.abs(c[:, -4:]).max(axis=1)
    return np.where((end <= 16.0 * noise) & (end <= 1e-3 * np.abs(c).max(axis=1)), 2.0 * end, 0.0)


@functools.cache
def _rounding() -> tuple[Array, Array]:
    """Irregular points of [-1, 1], and the projection of values there onto what is no polynomial of degree 4."""
    x = np.array([-1.0, -0.77, -0.49, -0.26, 0.03, 0.31, 0.53, 0.78, 1.0])
    table = np.polynomial.legendre.legvander(x, 4)
    return x, np.eye(x.size) - table @ np.linalg.pinv(table)


def _roots(series: Array, noise: Array) -> tuple[NDArray[np.int64], Array]:
    """Sign changes beyond the noise of Legendre series on (-1, 1): which series, and where."""
    fine = np.linspace(-1.0, 1.0, 65)
    size = series.shape[1] - 1
    values = series @ np.polynomial.legendre.legvander(fine, size).T
    sign = np.where(np.abs(values) > noise[:, None], np.sign(values), 0.0)
    k, j = np.nonzero(sign[:, :-1] * sign[:, 1:] < 0.0)
    # through points that are 0 themselves
    k0, j0 = np.nonzero((sign[:, 1:-1] == 0.0) & (sign[:, :-2] * sign[:, 2:] < 0.0))
    k, j, last = np.concatenate([k, k0]), np.concatenate([j, j0]), np.concatenate([j + 1, j0 + 2])
    low, high = fine[j], fine[last]
    table = series[k]
    start = np.sign(values[k, j])
    for _ in range(54):
        middle = 0.5 * (low + high)
        value = (np.polynomial.legendre.legvander(middle, size) * table).sum(axis=1)
        left = np.sign(value) == start
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return k, 0.5 * (low + high)


def make_cells(source: Source, levels: Array) -> tuple[Cells, Array, Array, NDArray[np.int64]]:
    """Cells of every row; atoms where g is constant (their values, channel masses and rows)."""
    a, b, row = _find_breaks(source, levels)
    least = (b - a) * 2.0**-source.depth
    x, weight, matrix = legendre(NODES)
    fine, fine_weight, _ = legendre(2 * NODES)
    fine_table = np.polynomial.legendre.legvander(fine, NODES - 1)
    sign = (-1.0) ** np.arange(NODES)
    noise = 2.0 * _EPS * (1.0 + np.arange(NODES))
    done: list[Cells] = []
    atoms, atom_mass, atom_row = [np.zeros(0)], [np.zeros((4, 0))], [np.zeros(0, np.int64)]
    for _ in range(70):
        if not a.size:
            break
        half = 0.5 * (b - a)[:, None]
        t, g = _grid(source, a, b, row, x)
        q = source.channels(t, row[:, None]) * (half * weight)
        mass = q[0].sum(axis=1)
        keep = mass >= source.floor
        t2 = 0.5 * (a + b)[:, None] + half * fine
        q2 = source.channels(t2, row[:, None]) * (half * fine_weight)
        spread, top = np.ptp(g, axis=1), np.abs(g).max(axis=1)
        flat = keep & (spread <= 64 * _EPS * top)
        total = q2.sum(axis=2)  # to the last bits of the whole: a flat piece may be wide
        exact = (np.abs(q.sum(axis=2) - total) <= 1e-17 + 1e-15 * np.abs(total)).all(axis=0) | (
            b - a <= least
        )
        atoms.append(g[flat & exact].mean(axis=1))
        atom_mass.append(total[:, flat & exact])
        atom_row.append(row[flat & exact])
        wide = flat & ~exact
        halves = [np.stack([v[wide], v[wide]]) for v in (a, b, row, least)]
        halves[0][1] = halves[1][0] = 0.5 * (a + b)[wide]
        rest = keep & ~flat
        a, b, row, least, half, t, g, q, q2, mass = (
            a[rest], b[rest], row[rest], least[rest], half[rest], t[rest], g[rest], q[:, rest], q2[:, rest], mass[rest],
        )  # fmt: skip
        # g by its series without the terms that are rounding, about its mean: no noise for the density to amplify
        top = np.abs(g).max(axis=1)
        c = g @ matrix.T
        smooth, level = _settled(c, top)
        smooth |= np.abs(c[:, -3:]).max(axis=1) <= 1e-13 * np.ptp(g, axis=1)
        rough = np.flatnonzero(~smooth)
        level[rough] = _noise(source, t[rough], row[rough], c[rough])
        smooth[rough] = level[rough] > 0.0
        sure = np.abs(c) > np.maximum(noise * top[:, None], level[:, None])
        last = NODES - 1 - np.argmax(sure[:, ::-1], axis=1)
        c[np.arange(NODES) > last[:, None]] = 0.0
        mean, c[:, 0] = c[:, 0].copy(), 0.0
        ends = np.stack([c @ sign, c.sum(axis=1)], axis=1)
        g2 = c @ fine_table.T
        low, high = np.minimum(ends.min(axis=1), g2.min(axis=1)), np.maximum(ends.max(axis=1), g2.max(axis=1))
        steps = np.diff(g2, axis=1)
        smooth &= (steps > 0.0).all(axis=1) | (steps < 0.0).all(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.clip((2.0 * g2 - (low + high)[:, None]) / (high - low)[:, None], -1.0, 1.0)
        table = np.polynomial.legendre.legvander(np.nan_to_num(z), NODES - 1) * (np.arange(NODES) + 0.5)
        coefficients = np.einsum("mij,ijk->mik", q2, table)
        low, high = mean + low, mean + high
        least_g, most_g = 8.0 * _EPS * top, -8.0 * _EPS * top  # an end that is 0 to rounding is 0
        low = np.where((low < least_g) & (g.min(axis=1) >= 0.0), 0.0, low)
        high = np.where((high > most_g) & (g.max(axis=1) <= 0.0), 0.0, high)
        tail = np.abs(coefficients[:, :, -3:]).max(axis=2)
        size = np.abs(coefficients).max(axis=2)
        tol = np.where(mass > 1e-18, source.tol, 1e-9)
        smooth &= (tail[0] <= tol * size[0]) & (tail[1] + tail[3] <= tol * (size[1] + size[3]))
        smooth &= np.abs(mass - q2[0].sum(axis=1)) <= tol * mass
        tiny = b - a <= least
        out = smooth | tiny
        done.append(
            Cells(*_ascending(g[out], q[:, out]), low[out], high[out], smooth[out],
                   np.where(smooth[out][None, :, None], coefficients[:, out], 0.0), row[out])
        )  # fmt: skip
        middle = 0.5 * (a + b)[~out]
        a, b, row, least = (
            np.concatenate([first, second, more.ravel()])
            for first, second, more in zip(
                (a[~out], middle, row[~out], least[~out]),
                (middle, b[~out], row[~out], least[~out]),
                halves,
                strict=True,
            )
        )
    return (
        Cells.join(done),
        np.concatenate(atoms),
        np.concatenate(atom_mass, axis=1),
        np.concatenate(atom_row),
    )


def _ascending(g: Array, q: Array) -> tuple[Array, Array]:
    order = np.argsort(g, axis=1, kind="stable")
    return np.take_along_axis(g, order, 1), np.take_along_axis(q, order[None], 2)


class Cut(NamedTuple):
    """Weights outside [low, high] become 0, or the nearer end (clip)."""

    low: float
    high: float
    clip: bool

    @property
    def levels(self) -> Array:
        return np.array([x for x in (self.low, self.high) if np.isfinite(x)])

    def moved(self, g: Array) -> Array:
        """What becomes of weights."""
        clipped = np.clip(g, self.low, self.high)
        return clipped if self.clip else np.where(clipped == g, g, 0.0)

    def inside(self, cells: Cells) -> NDArray[np.bool_]:
        """Whether a cell, which crosses no limit, is kept."""
        middle = cells.g[:, NODES // 2]
        return (middle >= self.low) & (middle <= self.high)

    def apply(self, cells: Cells, atoms: Array, masses: Array) -> tuple[Cells, Array, Array]:
        """Cells that are kept, and all atoms."""
        kept = self.inside(cells)
        every = np.concatenate([self.moved(cells.g[~kept]).ravel(), self.moved(atoms)])
        sums = np.concatenate([cells.q[:, ~kept].reshape(4, -1), masses], axis=1)
        value, index = np.unique(every, return_inverse=True)
        total = np.stack([np.bincount(index, s, value.size) for s in sums])
        return cells.take(kept), np.asarray(value, np.float64), np.asarray(total, np.float64)

    def limits(self, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits is None:
            return None
        return max(limits[0], self.low), min(limits[1], self.high)
