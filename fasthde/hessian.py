"""Hessians of generalised linear models: bulk, isolated eigenvalues and resolvent of (1/n) X diag(g) X'."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _jit
from fasthde import _validate as check
from fasthde._distribution import Distribution, Solved, _complex_array, _out
from fasthde._kernels import hessian as kernels
from fasthde._kernels.hessian import NODES
from fasthde._results import Record, Status, freeze
from fasthde._series import Series, build
from fasthde.laws import sample_covariance
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)

#: Half-width of the range of a standard normal variable: the tail beyond has probability 1e-60.
_RANGE = 16.5

#: Levels and points that share one sweep of the density kernel.
_CHUNK = 24


# ------------------------------------------------------------------------------- the law of the weights: numbers


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class WeightLaw(Record):
    """Law of the weights g of a Hessian, as numbers: atoms, and cells on which g has a smooth density.

    Made by `hessian_law` from a model; `discrete` makes one from values and probabilities.

    Attributes
    ----------
    values, probability : ndarray, shape (24 cells,)
        Quadrature nodes: E[f(g)] is ``sum probability f(values)`` over nodes and atoms.
    second : ndarray, shape (3, 24 cells)
        Each node's part of E[s1**2; g], E[s1 s2; g] and E[s2**2; g], with s = U'z the coordinates of the sample in
        the span of ``C^1/2 w`` and ``C^1/2 w*``.
    middle, half : ndarray, shape (cells,)
        The cells' centres and half-widths on the axis of g.
    smooth : ndarray of bool, shape (cells,)
        Whether the density has a resolved Legendre series there.
    coefficients : ndarray, shape (4, cells, 24)
        Legendre coefficients of the density and of its three second moments.
    atoms, masses : ndarray, shape (atoms,)
        Point masses away from 0.
    atom_second : ndarray, shape (3, atoms)
        As ``second``.
    zero : float
        P(g = 0).
    hull : ndarray, shape (4,)
        Smallest and largest g in use (probability beyond: 1e-60), and the ends of the support itself, maybe infinite.
    whole : bool
        Whether the continuous part is to be taken as one interval (two-dimensional quadrature).
    error : float
        Estimated absolute error of E[1/(1 - g/x)] at a distance from the support.
    """

    values: Array
    probability: Array
    second: Array
    middle: Array
    half: Array
    smooth: NDArray[np.bool_]
    coefficients: Array
    atoms: Array
    masses: Array
    atom_second: Array
    zero: float
    hull: Array
    whole: bool
    error: float

    @classmethod
    def discrete(cls, values: ArrayLike, probability: ArrayLike | None = None) -> Self:
        """Weights that take a few values, independently of the data.

        Parameters
        ----------
        values : array_like, shape (k,)
            Values of g, of either sign.
        probability : array_like, shape (k,), optional
            Their probabilities (normalised to 1); equal by default.

        Returns
        -------
        WeightLaw

        Examples
        --------
        >>> from fasthde.hessian import WeightLaw
        >>> WeightLaw.discrete([1.0, -1.0, 0.0], [2, 1, 1]).mean()
        0.25
        """
        g = np.atleast_1d(check.finite("values", check.real_array("values", values)))
        check.not_empty("values", g)
        if g.ndim != 1:
            raise ValueError(f"values must be one-dimensional; got shape {g.shape}.")
        p = np.ones(g.size) if probability is None else check.real_array("probability", probability)
        check.non_negative(
            "probability", check.same_length("probability", p, "values", g.size), "Drop the value."
        )
        if not p.sum() > 0:
            raise ValueError(f"probability must not be all zero; got {g.size} zeros.")
        p = p / p.sum()
        return _pack(_Cells.empty(), g, np.stack([p, p, 0.0 * p, p]), None, False, 0.0)  # type: ignore[return-value]

    def expect(self, f: Callable[[Array], Any]) -> Any:
        """E[f(g)] by the nodes.

        Parameters
        ----------
        f : callable
            Vectorised.

        Returns
        -------
        float or complex

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> g = hessian_law(fh.Spectrum([1.0]), 0.5, "poisson", w=1.0).weights
        >>> abs(g.expect(lambda x: x) - 1.6487212707001282) < 1e-13
        True
        """
        total = np.dot(np.asarray(f(self.values)), self.probability)
        total = total + np.dot(np.asarray(f(self.atoms)), self.masses)
        if self.zero > 0.0:
            total = total + self.zero * np.asarray(f(np.zeros(1)))[0]
        return total.item()

    def mean(self) -> float:
        """E[g]."""
        return float(np.dot(self.values, self.probability) + np.dot(self.atoms, self.masses))

    @property
    def _nodes(self) -> Any:
        """What the kernels take."""
        return (
            self.values, self.probability, self.smooth, self.middle, self.half,
            self.coefficients[0], self.atoms, self.masses,
        )  # fmt: skip

    @property
    def _channels(self) -> Any:
        return self.second, np.ascontiguousarray(self.coefficients[1:]), self.atom_second

    @property
    def _pieces(self) -> Array:
        """Intervals that hold all of g but its mass at 0, shape (k, 2), ascending and disjoint."""
        ends = np.stack([self.middle - self.half, self.middle + self.half], axis=1)
        if self.whole and ends.size:
            ends = np.array([[ends.min(), ends.max()]])
        ends = np.concatenate([ends, np.stack([self.atoms, self.atoms], axis=1)])
        ends = ends[np.argsort(ends[:, 0], kind="stable")]
        out: list[list[float]] = []
        for a, b in ends:
            if out and a <= out[-1][1] + 1e-9 * max(abs(a), abs(out[-1][1])):
                out[-1][1] = max(out[-1][1], b)
            else:
                out.append([a, b])
        return np.array(out).reshape(-1, 2)

    def __repr__(self) -> str:
        parts = [f"{self.middle.size} cells"] * int(self.middle.size > 0)
        parts += [f"{self.atoms.size} atoms"] * int(self.atoms.size > 0)
        parts += [f"P(g = 0) = {self.zero:.6g}"] * int(self.zero > 0)
        low, high = self.hull[2:]
        return f"WeightLaw({', '.join(parts)}, support [{low:.6g}, {high:.6g}], mean {self.mean():.6g})"


class _Cells(NamedTuple):
    """Finished cells: nodes and masses (cells, 24), channels (4, cells, 24), ends, flag, coefficients."""

    g: Array
    q: Array
    low: Array
    high: Array
    smooth: NDArray[np.bool_]
    coefficients: Array
    row: NDArray[np.int64]

    @classmethod
    def empty(cls) -> _Cells:
        z = np.zeros(0)
        return cls(
            np.zeros((0, NODES)), np.zeros((4, 0, NODES)), z, z, np.zeros(0, bool),
            np.zeros((4, 0, NODES)), np.zeros(0, np.int64),
        )  # fmt: skip

    @classmethod
    def join(cls, many: list[_Cells]) -> _Cells:
        if not many:
            return cls.empty()
        axes = (0, 1, 0, 0, 0, 1, 0)
        return cls(
            *(
                np.concatenate([getattr(m, f) for m in many], axis=a)
                for f, a in zip(cls._fields, axes, strict=True)
            )
        )

    def take(self, keep: Any) -> _Cells:
        return _Cells(
            self.g[keep], self.q[:, keep], self.low[keep], self.high[keep], self.smooth[keep],
            self.coefficients[:, keep], self.row[keep],
        )  # fmt: skip


def _pack(
    cells: _Cells, atoms: Array, masses: Array, limits: tuple[float, float] | None, whole: bool, error: float
) -> WeightLaw:
    """Merge what coincides, drop g = 0, normalise, freeze."""
    order = np.lexsort((cells.high, cells.low))
    cells = cells.take(order)
    size = cells.low.size
    scale = np.maximum(np.abs(cells.low), np.abs(cells.high))
    same = np.zeros(size, bool)  # equal to the one before, as for an even function of a symmetric variable
    for ends in (cells.low, cells.high):
        same[1:] = (same[1:] | (ends is cells.low)) & (np.abs(np.diff(ends)) <= 4 * _EPS * scale[1:])
    if size:
        width = cells.high - cells.low
        near = np.abs(np.diff(cells.g, axis=0)).max(axis=1) <= 1e-9 * width[1:]
        same[1:] &= near & (cells.smooth[1:] == cells.smooth[:-1])
    first = np.flatnonzero(~same)
    if first.size:
        q = np.add.reduceat(cells.q, first, axis=1)
        table = np.add.reduceat(cells.coefficients, first, axis=1)
    else:
        q, table = cells.q, cells.coefficients
    g, low, high, smooth = cells.g[first], cells.low[first], cells.high[first], cells.smooth[first]
    zero = float(masses[0, atoms == 0.0].sum())
    kept = (atoms != 0.0) & (masses[0] > 0.0)
    atoms, masses = atoms[kept], masses[:, kept]
    if atoms.size:
        rank = np.argsort(atoms, kind="stable")
        atoms, masses = atoms[rank], masses[:, rank]
        start = np.flatnonzero(np.concatenate(([True], np.diff(atoms) > 64 * _EPS * np.abs(atoms[1:]))))
        atoms, masses = atoms[start], np.add.reduceat(masses, start, axis=1)
    total = q[0].sum() + masses[0].sum() + zero
    q, masses, table, zero = q / total, masses / total, table / total, zero / total
    points = np.concatenate([atoms, low, high])
    hull = (float(points.min()), float(points.max())) if points.size else (0.0, 0.0)
    outer = hull if limits is None else (min(hull[0], limits[0]), max(hull[1], limits[1]))
    flat = np.ascontiguousarray(q.reshape(4, -1))
    return WeightLaw(
        *(freeze(np.ascontiguousarray(v)) for v in (
            g.ravel(), flat[0], flat[1:], 0.5 * (low + high), 0.5 * (high - low), smooth, table,
            atoms, masses[0], masses[1:],
        )),
        zero, freeze(np.array([*hull, *outer])), whole, max(error, abs(float(total) - 1.0)),
    )  # fmt: skip


# ------------------------------------------------------------------------------------- cells from a function g(t)


@functools.cache
def _gauss(points: int) -> tuple[Array, Array]:
    """Gauss-Legendre rule to the last bit: NumPy's weights lose two digits at 48 points, Legendre series three more."""
    x = np.polynomial.legendre.leggauss(points)[0].astype(np.longdouble)
    for _ in range(3):
        before, value = np.ones_like(x), x.copy()
        for k in range(1, points):
            before, value = value, ((2 * k + 1) * x * value - k * before) / (k + 1)
        slope = points * (before - x * value) / (1 - x * x)
        x = x - value / slope
    return x.astype(np.float64), (2 / ((1 - x * x) * slope * slope)).astype(np.float64)


@functools.cache
def _legendre(points: int) -> tuple[Array, Array, Array]:
    """Gauss-Legendre nodes, weights, and the matrix from values there to 24 Legendre coefficients."""
    x, w = _gauss(points)
    table = np.polynomial.legendre.legvander(x, NODES - 1)
    return x, w, (np.arange(NODES) + 0.5)[:, None] * table.T * w


class _Source(NamedTuple):
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


def _grid(source: _Source, a: Array, b: Array, row: NDArray[np.int64], x: Array) -> tuple[Array, Array]:
    t = 0.5 * (a + b)[:, None] + 0.5 * (b - a)[:, None] * x
    g = np.asarray(source.g(t, row[:, None]), dtype=np.float64)
    if not np.isfinite(g).all():
        i, j = np.argwhere(~np.isfinite(g))[0]
        raise ValueError(
            f"the weights must be finite over the range of the data (16.5 standard deviations); got {g[i, j]} at "
            f"t = {t[i, j]:.4g} standard deviations. Use smaller w and w_star, or mend the second derivative."
        )
    return t, g


def _find_breaks(source: _Source, levels: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Pieces (a, b, row) on which g is smooth and monotone and crosses none of the levels."""
    edges = source.breaks
    a, b = np.tile(edges[:-1], source.rows), np.tile(edges[1:], source.rows)
    row = np.repeat(np.arange(source.rows), edges.size - 1)
    rows, points = [row, row], [a, b]
    x, _, matrix = _legendre(NODES)
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
        smooth = _settled(c, top)[0] | (np.abs(c[:, -3:]).max(axis=1) <= 1e-13 * top)
        jump = ~smooth & tiny & ~void
        rows.append(row[jump])
        points.append(0.5 * (a + b)[jump])
        good = np.flatnonzero(smooth & ~void)
        curves = [(c[good] @ derivative, 1e-11 * top[good])]
        for level in levels:
            shifted = c[good].copy()
            shifted[:, 0] -= level
            curves.append((shifted, np.zeros(good.size)))
        for series, noise in curves:
            k, root = _roots(series, noise)
            k = good[k]
            rows.append(row[k])
            points.append(0.5 * (a[k] + b[k]) + 0.5 * (b[k] - a[k]) * root)
        again = ~smooth & ~tiny & ~void
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


def _cells(source: _Source, levels: Array) -> tuple[_Cells, Array, Array, NDArray[np.int64]]:
    """Cells of every row; atoms where g is constant (their values, channel masses and rows)."""
    a, b, row = _find_breaks(source, levels)
    least = (b - a) * 2.0**-source.depth
    x, weight, matrix = _legendre(NODES)
    fine, fine_weight, _ = _legendre(2 * NODES)
    fine_table = np.polynomial.legendre.legvander(fine, NODES - 1)
    sign = (-1.0) ** np.arange(NODES)
    noise = 2.0 * _EPS * (1.0 + np.arange(NODES))
    done: list[_Cells] = []
    atoms, atom_mass, atom_row = [np.zeros(0)], [np.zeros((4, 0))], [np.zeros(0, np.int64)]
    for _ in range(70):
        if not a.size:
            break
        half = 0.5 * (b - a)[:, None]
        t, g = _grid(source, a, b, row, x)
        q = source.channels(t, row[:, None]) * (half * weight)
        mass = q[0].sum(axis=1)
        keep = mass >= source.floor
        spread, top = np.ptp(g, axis=1), np.abs(g).max(axis=1)
        flat = keep & (spread <= 64 * _EPS * top)
        atoms.append(g[flat].mean(axis=1))
        atom_mass.append(q[:, flat].sum(axis=2))
        atom_row.append(row[flat])
        rest = keep & ~flat
        a, b, row, least, half, g, q, mass = (
            a[rest], b[rest], row[rest], least[rest], half[rest], g[rest], q[:, rest], mass[rest],
        )  # fmt: skip
        if not a.size:
            break
        t2 = 0.5 * (a + b)[:, None] + half * fine
        q2 = source.channels(t2, row[:, None]) * (half * fine_weight)
        # g by its series without the terms that are rounding, about its mean: no noise for the density to amplify
        top = np.abs(g).max(axis=1)
        c = g @ matrix.T
        smooth, level = _settled(c, top)
        smooth |= np.abs(c[:, -3:]).max(axis=1) <= 1e-13 * np.ptp(g, axis=1)
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
        tail = np.abs(coefficients[:, :, -3:]).max(axis=2)
        size = np.abs(coefficients).max(axis=2)
        tol = np.where(mass > 1e-18, source.tol, 1e-9)
        smooth &= (tail[0] <= tol * size[0]) & (tail[1] + tail[3] <= tol * (size[1] + size[3]))
        smooth &= np.abs(mass - q2[0].sum(axis=1)) <= tol * mass
        tiny = b - a <= least
        out = smooth | tiny
        done.append(
            _Cells(*_ascending(g[out], q[:, out]), low[out], high[out], smooth[out],
                   np.where(smooth[out][None, :, None], coefficients[:, out], 0.0), row[out])
        )  # fmt: skip
        middle = 0.5 * (a + b)[~out]
        a, b = np.concatenate([a[~out], middle]), np.concatenate([middle, b[~out]])
        row, least = np.concatenate([row[~out]] * 2), np.concatenate([least[~out]] * 2)
    return (
        _Cells.join(done),
        np.concatenate(atoms),
        np.concatenate(atom_mass, axis=1),
        np.concatenate(atom_row),
    )


def _ascending(g: Array, q: Array) -> tuple[Array, Array]:
    order = np.argsort(g, axis=1, kind="stable")
    return np.take_along_axis(g, order, 1), np.take_along_axis(q, order[None], 2)


class _Cut(NamedTuple):
    """Weights outside [low, high] become 0, or the nearer end (clip)."""

    low: float
    high: float
    clip: bool

    @property
    def levels(self) -> Array:
        levels = np.array([self.low, self.high])
        return levels[np.isfinite(levels)]

    def apply(self, cells: _Cells, atoms: Array, masses: Array) -> tuple[_Cells, Array, Array]:
        middle = cells.g[:, NODES // 2]
        inside = (middle >= self.low) & (middle <= self.high)
        lost, mass = cells.g[~inside], cells.q[:, ~inside]
        moved = np.clip(lost, self.low, self.high) if self.clip else np.zeros_like(lost)
        atoms = np.where(
            (atoms >= self.low) & (atoms <= self.high),
            atoms,
            np.clip(atoms, self.low, self.high) if self.clip else 0.0,
        )
        every = np.concatenate([moved.ravel(), atoms])
        sums = np.concatenate([mass.reshape(4, -1), masses], axis=1)
        value, index = np.unique(every, return_inverse=True)
        total = np.stack([np.bincount(index, s, value.size) for s in sums])
        return cells.take(inside), value, total

    def limits(self, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits is None:
            return None
        return max(limits[0], self.low), min(limits[1], self.high)


# ----------------------------------------------------------------------------------------------- the directions


class _Plane(NamedTuple):
    """The plane of ``C^1/2 w`` and ``C^1/2 w*``: u = a s1, v = b s1 + c s2; basis U = C^1/2 [w, w*] T."""

    a: float
    b: float
    c: float
    turn: Array

    @property
    def rank(self) -> int:
        return self.turn.shape[1]


def _plane(t: Array, w: Array, w_star: Array) -> _Plane:
    """Gram-Schmidt in the metric of C; coordinates (levels, d)."""

    def product(x: Array, y: Array) -> float:
        return float(np.sum(t[:, None] * x * y))

    first, second = product(w, w), product(w_star, w_star)
    if first == 0.0:
        if second == 0.0:
            return _Plane(0.0, 0.0, 0.0, np.zeros((2, 0)))
        return _Plane(0.0, second**0.5, 0.0, np.array([[0.0], [second**-0.5]]))
    a = first**0.5
    b = product(w, w_star) / a
    rest = w_star - (b / a) * w
    c = product(rest, rest) ** 0.5
    if c <= 1e-14 * max(second**0.5, 1e-300):
        return _Plane(a, b, 0.0, np.array([[1.0 / a], [0.0]]))
    return _Plane(a, b, c, np.array([[1.0 / a, -b / (a * c)], [0.0, 1.0 / c]]))


def _normal(t: Array) -> Array:
    return np.asarray(np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi))


def _along(angle: float) -> Callable[[Array], Array]:
    """Channels of a variable t = cos(angle) s1 + sin(angle) s2, the other coordinate integrated out."""
    p, q = np.cos(angle), np.sin(angle)

    def channels(t: Array) -> Array:
        f, s = _normal(t), t * t
        return np.stack([f, f * (p * p * s + q * q), f * (p * q * (s - 1.0)), f * (q * q * s + p * p)])

    return channels


def _standard(extra: tuple[float, ...] = ()) -> Array:
    return np.unique(np.array([-_RANGE, 0.0, _RANGE, *(x for x in extra if abs(x) < _RANGE)]))


def _line(
    g: Callable[[Array], Array], angle: float, limits: tuple[float, float] | None, cut: _Cut
) -> WeightLaw:
    """Weights that are a function of one standard normal variable."""
    channels = _along(angle)
    source = _Source(lambda t, _: g(t), lambda t, _: channels(t), 1, _standard(), 1e-62, 1e-13, 26)
    cells, atoms, masses, _ = _cells(source, cut.levels)
    return _pack(*cut.apply(cells, atoms, masses), cut.limits(limits), False, 0.0)


# --------------------------------------------------------------------------------------------------- the models


def _logistic(plane: _Plane, cut: _Cut) -> WeightLaw:
    def g(t: Array) -> Array:
        x = np.exp(-np.abs(plane.a * t))
        return np.asarray(x / (1.0 + x) ** 2)

    return _line(g, 0.0, (0.0, 0.25) if plane.a else None, cut)


def _poisson(plane: _Plane, cut: _Cut) -> WeightLaw:
    if plane.a * _RANGE > 700.0:
        raise ValueError(
            f"w must keep exp(w'x) finite: sqrt(w'Cw) must be below 42; got {plane.a:.4g}. Use a smaller w."
        )
    return _line(lambda t: np.exp(plane.a * t), 0.0, (0.0, np.inf) if plane.a else None, cut)


def _probit(plane: _Plane, cut: _Cut) -> WeightLaw:
    """Weights r (r + t), r = phi(t)/Phi(t), of t = y u; both signs of y alike, s turned with it."""
    from scipy import special

    d = np.hypot(1.0, plane.c)

    def g(t: Array) -> Array:
        x = np.asarray(plane.a * t)
        far = np.maximum(-x, 4.0)
        rest = far  # r + t as a continued fraction where it cancels
        for k in range(80, 1, -1):
            rest = far + k / rest
        rest = 1.0 / rest
        r = np.sqrt(2.0 / np.pi) / special.erfcx(-np.maximum(x, -4.0) / np.sqrt(2.0))
        return np.where(x < -4.0, rest * (far + rest), r * (r + x))

    def channels(t: Array, _: Any) -> Array:
        # s2 of a sample with y = 1: E[Phi(A + c s2)] and its moments, A = b s1
        at = plane.b * t / d
        f, density = 2.0 * _normal(t), _normal(at)
        mass = special.ndtr(at)
        return np.stack([
            f * mass, f * t * t * mass, f * t * (plane.c / d) * density,
            f * (mass - (plane.c / d) ** 2 * at * density),
        ])  # fmt: skip

    breaks = _standard((-4.0 / plane.a,)) if plane.a else _standard()
    source = _Source(lambda t, _: g(t), channels, 1, breaks, 1e-62, 1e-13, 26)
    if plane.rank == 1 and plane.a == 0.0:  # s1 along w*: y turns it
        return _line(g, 0.0, None, cut)
    cells, atoms, masses, _ = _cells(source, cut.levels)
    return _pack(*cut.apply(cells, atoms, masses), cut.limits((0.0, 1.0) if plane.a else None), False, 0.0)


def _least_squares(plane: _Plane, cut: _Cut) -> WeightLaw:
    one = np.ones((4, 1))
    one[2] = 0.0
    return _pack(*cut.apply(_Cells.empty(), np.ones(1), one), None, False, 0.0)


def _phase_retrieval(plane: _Plane, cut: _Cut) -> WeightLaw:
    """g = 3 u**2 - v**2: a difference of two chi-squares, whose density is a Bessel function."""
    if plane.rank < 2:
        k = 3.0 * plane.a**2 - plane.b**2
        limits = (0.0, np.inf) if k > 0 else (-np.inf, 0.0)
        return _line(lambda t: k * t * t, 0.0, limits if k else None, cut)
    from scipy import special

    form = np.array(
        [[3.0 * plane.a**2 - plane.b**2, -plane.b * plane.c], [-plane.b * plane.c, -(plane.c**2)]]
    )
    values, axes = np.linalg.eigh(form)
    minus, plus = -values[0], values[1]  # g = plus x**2 - minus y**2
    y, x = axes[:, 0], axes[:, 1]
    bend = 0.25 * (1.0 / plus + 1.0 / minus)
    tilt = 0.25 * (1.0 / minus - 1.0 / plus)

    def channels(g: Array, _: Any) -> Array:
        size = np.maximum(np.abs(g), 1e-300)
        f = special.k0e(bend * size) * np.exp(tilt * g - bend * size) / (2.0 * np.pi * np.sqrt(plus * minus))
        # E[x**2 | g], E[y**2 | g] from the mean of 1/k, k = plus cos**2 - minus sin**2
        ratio = special.k1e(bend * size) / special.k0e(bend * size) - 1.0
        scale = size / (plus + minus)
        up = g > 0.0
        own = np.where(up, plus, minus)
        other = np.where(up, minus, plus)
        inverse = 1.0 / own + 2.0 * bend * ratio
        large, small = scale * (1.0 + other * inverse), scale * (own * inverse - 1.0)
        x2, y2 = f * np.where(up, large, small), f * np.where(up, small, large)
        return np.stack([
            f, x2 * x[0] ** 2 + y2 * y[0] ** 2, x2 * x[0] * x[1] + y2 * y[0] * y[1], x2 * x[1] ** 2 + y2 * y[1] ** 2,
        ])  # fmt: skip

    far = 2.0 * 138.0
    steps = 8.0 ** -np.arange(22.0)
    breaks = np.concatenate([-far * minus * steps, [0.0], far * plus * steps[::-1]])
    source = _Source(lambda g, _: g, channels, 1, np.sort(breaks), 1e-62, 1e-13, 26)
    cells, atoms, masses, _ = _cells(source, cut.levels)
    return _pack(*cut.apply(cells, atoms, masses), cut.limits((-np.inf, np.inf)), False, 0.0)


_MODELS: dict[str, Callable[[_Plane, _Cut], WeightLaw]] = {
    "logistic": _logistic,
    "probit": _probit,
    "poisson": _poisson,
    "phase_retrieval": _phase_retrieval,
    "least_squares": _least_squares,
}


# ------------------------------------------------------------------------------------------ the user's own model


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


def _custom(
    function: Callable[[Array, Array], Any], response: Callable[[Array], Any] | None, plane: _Plane, cut: _Cut
) -> WeightLaw:
    """Weights second_derivative(y, u): reduced to one variable where they depend on one, else a nested quadrature."""
    answer = _Response(response)

    def call(y: Array, u: Array) -> Array:
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
        return _pack(*cut.apply(_Cells.empty(), g, np.stack([p, p, 0.0 * p, p])), None, False, 0.0)
    if plane.rank == 1:
        angle: float | None = 0.0
    else:
        angle = _one_direction(branch, plane, count)
    if angle is None:
        return _two_dimensional(branch, plane, count, cut)
    p, q = np.cos(angle), np.sin(angle)
    flat = _along(angle)
    moments = None
    if plane.rank == 2 and angle == 0.0 and not answer.even:
        moments = _outcome_moments(answer, plane)

    def weight(t: Array, row: NDArray[np.int64]) -> Array:
        return branch(p * t, q * t, row)[0]

    def channels(t: Array, row: NDArray[np.int64]) -> Array:
        if moments is not None:
            m0, m1, m2 = moments(t, row)
            f = _normal(t)
            return np.stack([f * m0, f * t * t * m0, f * t * m1, f * m2])
        return flat(t) * branch(p * t, q * t, row)[1]

    limits = _far_limits(weight, count)
    source = _Source(weight, channels, count, _standard(), 1e-62, 1e-13, 26)
    cells, atoms, masses, _ = _cells(source, cut.levels)
    return _pack(*cut.apply(cells, atoms, masses), cut.limits(limits), False, 0.0)


def _one_direction(branch: Any, plane: _Plane, count: int) -> float | None:
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
    answer: _Response, plane: _Plane
) -> Callable[[Array, NDArray[np.int64]], tuple[Array, ...]]:
    """E[pi_k(v) (1, s2, s2**2)] over s2, given s1 = t: Gauss-Legendre on panels, doubled until it is settled."""
    x, w, _ = _legendre(NODES)

    def rule(panels: int) -> tuple[Array, Array]:
        edges = np.linspace(-9.0, 9.0, panels + 1)
        half = 0.5 * np.diff(edges)[:, None]
        node = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * x).ravel()
        return node, (half * w).ravel() * _normal(node)

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


def _two_dimensional(branch: Any, plane: _Plane, count: int, cut: _Cut) -> WeightLaw:
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
    x, w = _gauss(10)

    def solve(low: Array, high: Array) -> tuple[_Cells, Array, Array, NDArray[np.int64]]:
        """Cells of all rows of the panels; the row is 10 count panel + count node + outcome."""
        half = 0.5 * (high - low)[:, None]
        b = np.repeat((0.5 * (low + high)[:, None] + half * x).ravel(), count)
        mass = np.repeat((half * w).ravel(), count) * _normal(b)
        k = np.tile(np.arange(count), low.size * 10)

        def weight(t: Array, row: NDArray[np.int64]) -> Array:
            return np.asarray(branch(p * t - q * b[row], q * t + p * b[row], k[row])[0])

        def channels(t: Array, row: NDArray[np.int64]) -> Array:
            s1, s2 = p * t - q * b[row], q * t + p * b[row]
            f = _normal(t) * mass[row] * branch(s1, s2, k[row])[1]
            return np.stack([f, f * s1 * s1, f * s1 * s2, f * s2 * s2])

        return _cells(_Source(weight, channels, b.size, _standard(), 1e-17, 1e-11, 18), cut.levels)

    def functionals(solved: Any, panels: int, points: Complex) -> Complex:
        cells, atoms, masses, atom_row = solved
        out = np.zeros((panels, points.size), complex)
        for i, z in enumerate(points):
            each = (cells.q[0] / (z - cells.g)).sum(axis=1)
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
    kept: list[tuple[_Cells, Array, Array]] = []
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
    cells = _Cells.join([k[0] for k in kept])
    atoms = np.concatenate([k[1] for k in kept])
    masses = np.concatenate([k[2] for k in kept], axis=1)
    return _pack(*cut.apply(cells, atoms, masses), None, True, error)


# -------------------------------------------------------------------------------------------------- the support


class _Gap(NamedTuple):
    """An interval (low, high) of z without spectrum; delta there rises from start to stop, s stays in ``side``."""

    low: float
    high: float
    start: float
    stop: float
    side: tuple[float, float]
    at_end: tuple[bool, bool]  # whether an end is where gamma = -1/delta meets the support of g


class _Curve:
    """The real curve delta -> z, and the law's gaps on it."""

    def __init__(self, law: HessianLaw):
        self.law = law
        self.prepared = law._prepared
        w, t, head = self.prepared[8:]
        self.t = t
        self.c, self.rest, self.bare = float(head[0]), float(head[1]), float(head[2])
        self.nonzero = 1.0 - law.weights.zero
        self.room = self.c * float(w.sum())  # c (1 - w_0)

    def __call__(self, d: ArrayLike, side: tuple[float, float]) -> Array:
        """z, M and dz/d delta."""
        points = np.atleast_1d(np.asarray(d, np.float64))
        out = np.empty((3, points.size))
        kernels.curve_rows(self.prepared, points, *side, out)
        return out

    def strain(self, gamma: float) -> float:
        """E[(g/(gamma - g))**2], which must be below c (1 - w_0) in a gap."""
        if gamma == 0.0:
            return self.nonzero
        d = -1.0 / gamma
        out = np.empty((3, 1), complex)
        kernels.sums_rows(self.prepared, np.array([complex(d, 0.0)]), out)
        value = float(out[1, 0].real) * d * d
        return value if np.isfinite(value) else np.inf

    # ------------------------------------------------------------------------- where gamma = -1/delta can be

    def segments(self) -> list[tuple[float, float, bool, bool]]:
        """Intervals of gamma, 0 only at ends, where the strain is below c (1 - w_0), and which ends meet g."""
        pieces = self.law.weights._pieces
        found: list[tuple[float, float, bool, bool]] = []
        if not len(pieces):
            return found
        first, last = float(pieces[0, 0]), float(pieces[-1, 1])
        size = max(abs(first), abs(last))
        top, touch = self._ray(last, 1.0, size)
        found.append((top, np.inf, touch, False))
        bottom, touch = self._ray(first, -1.0, size)
        found.append((-np.inf, bottom, False, touch))
        for i in range(len(pieces) - 1):
            a, b = float(pieces[i, 1]), float(pieces[i + 1, 0])
            if self._may_hold(pieces, i):
                inner = self._between(a, b)
                if inner is not None:
                    found.append(inner)
        out = []
        for a, b, left, right in found:
            if a < 0.0 < b:
                out += [(a, 0.0, left, False), (0.0, b, False, right)]
            else:
                out.append((a, b, left, right))
        return out

    def _may_hold(self, pieces: Array, i: int) -> bool:
        """Two atoms alone: (a_i**(1/3) + a_j**(1/3))**3 < gap**2 c (1 - w_0)."""
        a, b = pieces[i], pieces[i + 1]
        if a[0] != a[1] or b[0] != b[1]:
            return True
        weights = self.law.weights
        own = [float(weights.masses[np.argmin(np.abs(weights.atoms - x))]) * x * x for x in (a[1], b[0])]
        return bool((np.cbrt(own[0]) + np.cbrt(own[1])) ** 3 < (b[0] - a[1]) ** 2 * self.room)

    def _ray(self, end: float, sign: float, size: float) -> tuple[float, bool]:
        """The point beyond ``end`` from which on the strain is below the room; whether that is the end itself."""
        near = end + sign * 1e-13 * size
        if self.strain(near) < self.room:
            return near, True
        if abs(self.rest) == 0.0 and end * sign < 0.0 and self.strain(0.0) <= self.room * (1 + 4 * _EPS):
            far = 0.0
        else:
            step = size
            while not self.strain(end + sign * step) < self.room:
                step *= 4.0
            far = end + sign * step
        return self._root(near, far), False

    def _between(self, a: float, b: float) -> tuple[float, float, bool, bool] | None:
        from scipy import optimize

        width = b - a
        lowest = optimize.minimize_scalar(
            lambda x: np.log(self.strain(a + width * x)),
            bounds=(0.0, 1.0),
            method="bounded",
            options={"xatol": 1e-9},
        )
        middle = a + width * float(lowest.x)
        if not self.strain(middle) < self.room:
            return None
        ends = []
        for end, sign in ((a, 1.0), (b, -1.0)):
            near = end + sign * 1e-13 * width
            touch = self.strain(near) < self.room
            ends.append((near if touch else self._root(near, middle), touch))
        return ends[0][0], ends[1][0], ends[0][1], ends[1][1]

    def _root(self, bad: float, good: float) -> float:
        """Boundary between strain >= room and < room."""
        for _ in range(200):
            middle = 0.5 * (bad + good)
            if middle in (bad, good):
                break
            if self.strain(middle) < self.room:
                good = middle
            else:
                bad = middle
        return good

    # ------------------------------------------------------------------------------------------------ the gaps

    def gaps(self) -> list[_Gap]:
        """Gaps of the law of the nodes, in ascending order."""
        t = self.t
        outer = (float(t[-1]), float(t[0]))
        found: list[_Gap] = []
        segments = self.segments()
        for a, b, left, right in segments:
            found += self._scan(_spread(a, b), outer, (a, b), (left, right))
        sides = self._inner_sides()
        if sides:
            rays = sorted(s for s in segments if np.isinf(s[0]) or np.isinf(s[1]))
            rest = [s for s in segments if not (np.isinf(s[0]) or np.isinf(s[1]))]
            grids = [(_spread(a, b), (a, b), (left, right)) for a, b, left, right in rest]
            if len(rays) == 2:  # delta passes 0 between the two
                (a, b, left, right), (a2, b2, left2, right2) = rays[0], rays[1]
                upper, lower = _spread(a2, b2), _spread(a, b)
                # ascending delta: from the ray towards +inf through 0 to the ray from -inf
                grids.append((np.concatenate([upper, [np.inf], lower]), (a2, b), (left2, right)))
            for side in sides:
                for gamma, ends, touch in grids:
                    found += self._scan(gamma, side, ends, touch)
        found.sort(key=lambda g: (g.low, g.high))
        return found

    def _inner_sides(self) -> list[tuple[float, float]]:
        """Gaps of spec(C) that are still gaps of a sample covariance with n P(g /= 0) samples: a necessary condition."""
        t = self.t
        if t.size < 2:
            return []
        outside = sample_covariance(self.law.spectrum, self.c / self.nonzero)._outside
        middles = 0.5 * (outside.lows[1:-1] + outside.highs[1:-1])
        index = np.searchsorted(t, middles)
        return [(float(t[i - 1]), float(t[i])) for i in index if 0 < i < t.size]

    def _scan(
        self, gamma: Array, side: tuple[float, float], ends: tuple[float, float], touch: tuple[bool, bool]
    ) -> list[_Gap]:
        """Intervals of the curve where z increases."""
        from scipy import optimize

        with np.errstate(divide="ignore"):
            d = np.where(np.isinf(gamma), 0.0, -1.0 / gamma)
        if side[0] < side[1]:
            d = self._refine(d, side)
        z, m, _ = self(d, side)
        inside = m < 1.0

        def excess(x: float) -> float:
            value = float(self([x], side)[1, 0])
            return float(np.log(value)) if 0.0 < value < np.inf else (700.0 if value > 0.0 else -700.0)

        # dips below 1 between two points of the grid
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.log(m)
        extra = []
        for i in np.flatnonzero((level[1:-1] <= level[:-2]) & (level[1:-1] <= level[2:]) & ~inside[1:-1]) + 1:
            if not np.isfinite(level[i - 1] + level[i + 1]):
                continue
            best = optimize.minimize_scalar(
                excess, bounds=(d[i - 1], d[i + 1]), method="bounded",
                options={"xatol": 1e-10 * max(abs(d[i - 1]), abs(d[i + 1]))},
            )  # fmt: skip
            if best.fun < 0.0:
                extra.append(float(best.x))
        if extra:
            d = np.sort(np.concatenate([d, extra]))
            z, m, _ = self(d, side)
            inside = m < 1.0
        edges = np.diff(np.concatenate([[False], inside, [False]]).astype(int))
        gaps = []
        for i, j in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True):
            start, at_start = (float(d[0]), True) if i == 0 else (self._edge(d[i - 1], d[i], excess), False)
            stop, at_stop = (
                (float(d[-1]), True) if j == d.size - 1 else (self._edge(d[j + 1], d[j], excess), False)
            )
            low = float(self([start], side)[0, 0])
            high = float(self([stop], side)[0, 0])
            meets = [False, False]
            outer = side[0] >= side[1]
            if at_start:
                meets[0] = touch[0]
                if ends[0] == 0.0:
                    low, start = 0.0, -np.inf
                elif np.isinf(ends[0]) and outer:
                    low, start = -np.inf, 0.0
            if at_stop:
                meets[1] = touch[1]
                if ends[1] == 0.0:
                    high, stop = 0.0, np.inf
                elif np.isinf(ends[1]) and outer:
                    high, stop = np.inf, 0.0
            if high > low:
                gaps.append(_Gap(low, high, start, stop, side, (meets[0], meets[1])))
        return gaps

    def _refine(self, d: Array, side: tuple[float, float]) -> Array:
        """More points where delta e lies in the range that the gap (t_i, t_j) of spec(C) can have."""
        w, t = self.prepared[8:10]
        low, high = side
        x = low + (high - low) * 0.5 * (1.0 + np.tanh(np.linspace(-12.0, 12.0, 101)))[1:-1]
        p = self.c * (w * t * t / (t - x[:, None]) ** 2).sum(axis=1)
        a = self.c * (w * t / (t - x[:, None])).sum(axis=1)
        can = p < self.nonzero
        if not can.any():
            i = int(np.argmin(p))
            can[max(i - 1, 0) : i + 2] = True
        least, most = float(a[can].min()), float(a[can].max())
        out = np.empty((3, d.size), complex)
        kernels.sums_rows(self.prepared, d.astype(complex), out)
        b = d * out[0].real
        lower, upper = np.minimum(b[:-1], b[1:]), np.maximum(b[:-1], b[1:])
        cells = np.flatnonzero((upper >= least) & (lower <= most))
        if cells.size > 60:
            return d
        steps = np.linspace(0.0, 1.0, 34)[1:-1]
        return np.sort(
            np.concatenate([d, (d[cells, None] + (d[cells + 1] - d[cells])[:, None] * steps).ravel()])
        )

    def _edge(self, outside: float, inside: float, excess: Callable[[float], float]) -> float:
        from scipy import optimize

        if not excess(outside) > 0.0:
            return float(outside)
        return float(optimize.brentq(excess, outside, inside, xtol=1e-300, rtol=4 * _EPS, maxiter=300))

    def place(self, d: float, side: tuple[float, float]) -> float:
        return float(self([d], side)[0, 0])


def _spread(a: float, b: float) -> Array:
    """Points of (a, b), ends included where finite and not 0, dense towards both; ascending."""
    n = 241
    if np.isinf(a) and np.isinf(b):
        raise AssertionError
    if np.isinf(b):
        scale = abs(a) if a != 0.0 else 1.0
        far = a + scale * np.exp(np.linspace(-32.0, 28.0, n))
        return np.concatenate([[a] if a != 0.0 else [], far])
    if np.isinf(a):
        return -_spread(-b, np.inf)[::-1]
    x = 0.5 * (1.0 + np.tanh(np.linspace(-16.0, 16.0, n)))
    points = np.where(x < 0.5, a + (b - a) * x, b - (b - a) * x[::-1])
    return np.unique(
        np.concatenate([[a] if a != 0.0 else [], points[points != 0.0], [b] if b != 0.0 else []])
    )


# ------------------------------------------------------------------------------------------ results of the law


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class HessianSpike(Record):
    """Isolated eigenvalue of a Hessian.

    Attributes
    ----------
    location : float
        The eigenvalue.
    alignment, alignment_star : float
        Squared cosine of its eigenvector with w and with w*; NaN for a vector that is 0.
    vector : ndarray, shape (levels, d)
        The part of the unit eigenvector in the span of ``C w`` and ``C w*`` transformed by the bulk, in the
        coordinates of ``w``; what is left of it is of no fixed direction.
    """

    location: float
    alignment: float
    alignment_star: float
    vector: Array

    def __repr__(self) -> str:
        return (
            f"HessianSpike(location={self.location:.6g}, alignment={self.alignment:.6g}, "
            f"alignment_star={self.alignment_star:.6g})"
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class HessianEquivalent(Record):
    """Deterministic equivalent ``(e C + C^1/2 U S U' C^1/2 - z)^-1`` of the resolvent of a Hessian.

    Attributes
    ----------
    z : complex, float or ndarray
        Where.
    delta, e : complex, float or ndarray
        Solution of the fixed-point equation, in the shape of z.
    S : ndarray, shape (..., r, r)
        Perturbation in the plane of ``C^1/2 w`` and ``C^1/2 w*`` (r = 0, 1 or 2).
    status : int or ndarray
        `Status` code of each point.
    levels : ndarray, shape (levels,)
        Eigenvalues of C.
    basis : ndarray, shape (levels, d, r)
        ``C^1/2 U`` in the eigenbasis.
    w, w_star : ndarray, shape (levels, d)
        The two vectors in the eigenbasis.
    """

    z: Any
    delta: Any
    e: Any
    S: Any
    status: Any
    levels: Array
    basis: Array
    w: Array
    w_star: Array

    def bilinear(self, a: Any, b: Any) -> Any:
        """``a' Q b`` of the equivalent.

        Parameters
        ----------
        a, b : {"w", "w_star"} or array_like, shape (levels,) or (levels, d)
            Vectors by their coordinates in the eigenspaces of C, as in `hessian_law`.

        Returns
        -------
        complex, float or ndarray
            In the shape of z.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> law = hessian_law(fh.Spectrum([1.0]), 0.5, "logistic", w=[1.0], w_star=[1.0])
        >>> round(law.equivalent(-1.0).bilinear("w", "w"), 6)
        0.878872
        """
        x, y = (_pad(self._vector(n, v), self.basis.shape[1]) for n, v in (("a", a), ("b", b)))
        depth = max(x.shape[1], y.shape[1], self.basis.shape[1])
        x, y, basis = _pad(x, depth), _pad(y, depth), _pad(self.basis, depth)
        e, z, S = np.asarray(self.e), np.asarray(self.z), np.asarray(self.S)
        r = 1.0 / (e[..., None] * self.levels - z[..., None])
        plain = r @ (x * y).sum(axis=1)
        if self.basis.shape[2]:
            left = np.einsum("...i,id,idk->...k", r, x, basis)
            right = np.einsum("...i,id,idk->...k", r, y, basis)
            K = np.einsum("...i,idk,idl->...kl", r, basis, basis)
            middle = S @ np.linalg.inv(np.eye(K.shape[-1]) + K @ S)
            plain = plain - np.einsum("...k,...kl,...l->...", left, middle, right)
        return _out(np.asarray(plain))

    def _vector(self, name: str, value: Any) -> Array:
        if isinstance(value, str):
            if value not in ("w", "w_star"):
                raise ValueError(f'{name} must be "w", "w_star" or an array; got {value!r}.')
            return self.w if value == "w" else self.w_star
        return _coordinates(name, value, self.levels.size)

    def __repr__(self) -> str:
        return f"HessianEquivalent, shape {np.shape(self.z)}, rank {self.basis.shape[2]}"


def _pad(v: Array, depth: int) -> Array:
    missing = depth - v.shape[1]
    return v if missing <= 0 else np.concatenate([v, np.zeros((v.shape[0], missing, *v.shape[2:]))], axis=1)


def _coordinates(name: str, value: Any, levels: int) -> Array:
    v = check.finite(name, check.real_array(name, value))
    if v.ndim not in (1, 2) or v.shape[0] != levels:
        raise ValueError(
            f"{name} must have one entry (or one row of coordinates) for each of the {levels} levels; got shape "
            f"{v.shape}."
        )
    return v[:, None] if v.ndim == 1 else v


# ------------------------------------------------------------------------------------------------------ the law


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class HessianLaw(Distribution):
    """Law of the eigenvalues of a Hessian ``(1/n) X diag(g) X'``, its isolated eigenvalues and its resolvent.

    Built by `hessian_law`; immutable.

    Attributes
    ----------
    spectrum : Spectrum
        Eigenvalues of the covariance C of the features.
    ratio : float
        p/n.
    weights : WeightLaw
        Law of the weights g.
    w, w_star : ndarray, shape (levels, d)
        Coordinates in the eigenspaces of C.
    model : str
        What the weights came from.
    """

    spectrum: Spectrum
    ratio: float
    weights: WeightLaw
    w: Array
    w_star: Array
    model: str
    _cache: dict[str, Any] | None

    def __init__(
        self, spectrum: Spectrum, ratio: float, weights: WeightLaw, w: Array, w_star: Array, model: str
    ):
        set_ = object.__setattr__
        set_(self, "spectrum", spectrum)
        set_(self, "ratio", ratio)
        set_(self, "weights", weights)
        set_(self, "w", freeze(w))
        set_(self, "w_star", freeze(w_star))
        set_(self, "model", model)
        set_(self, "_cache", None)

    # ------------------------------------------------------------------------------------------- prepared

    @property
    def _prepared(self) -> Any:
        """The kernels' tuple."""
        return self._memo("prepared", self._prepare)

    def _prepare(self) -> Any:
        t, index = np.unique(self.spectrum.values, return_inverse=True)
        k = np.bincount(index, self.spectrum.multiplicity, t.size)
        w = k / k.sum()
        used = (t > 0.0) & (w > 0.0)
        bare = float(w[t == 0.0].sum())
        t, w = np.ascontiguousarray(t[used]), np.ascontiguousarray(w[used])
        rest = (1.0 - self.weights.zero) - self.ratio * (1.0 - bare)
        if abs(rest) <= 8.0 * _EPS * max(1.0, self.ratio):
            rest = 0.0
        square = float(self.weights.expect(lambda g: g * g))
        top = float(t.max(initial=0.0))
        scale = top * np.sqrt(square) * (1.0 + np.sqrt(self.ratio)) ** 2
        head = np.array([self.ratio, rest, bare, float(w @ t), scale])
        return *self.weights._nodes, w, t, head

    @property
    def _empty(self) -> bool:
        """Whether the Hessian is 0."""
        return self._prepared[9].size == 0 or self.weights.zero >= 1.0

    @property
    def _curve(self) -> _Curve:
        return self._memo("curve", lambda: _Curve(self))  # type: ignore[no-any-return]

    @property
    def _gaps(self) -> list[_Gap]:
        return self._memo("gaps", lambda: [] if self._empty else self._curve.gaps())  # type: ignore[no-any-return]

    @property
    def _plane(self) -> _Plane:
        return self._memo("plane", lambda: _plane(self.spectrum.values, self.w, self.w_star))  # type: ignore[no-any-return]

    def _edges(self, gaps: list[_Gap]) -> Array:
        """Intervals between gaps."""
        low = -np.inf
        out = []
        size = max((abs(x) for g in gaps for x in g[:2] if np.isfinite(x)), default=1.0)
        for g in gaps:
            if g.low > low + 8.0 * _EPS * size or (g.low > low and np.isinf(low)):
                out.append((low, g.low))
            low = max(low, g.high)
        if low < np.inf:
            out.append((low, np.inf))
        edges = np.array(out).reshape(-1, 2)
        if self._prepared[10][1] == 0.0:
            edges[np.abs(edges) <= 1e-12 * size] = 0.0
        return edges

    @property
    def _true_gaps(self) -> list[_Gap]:
        """Gaps without the ends of the support of g that the quadrature leaves out."""
        return self._memo("true_gaps", self._clip_gaps)  # type: ignore[no-any-return]

    def _clip_gaps(self) -> list[_Gap]:
        low, high, least, most = (float(x) for x in self.weights.hull)
        slack = 1e-9 * max(abs(low), abs(high))
        out = []
        for g in self._gaps:
            # gamma = -1/delta runs from a to b, through infinity where a > b
            a, b = _gamma(g.start, -1.0), _gamma(g.stop, 1.0)
            start, stop = a, b
            if a >= high - slack and a < most:
                start = most
            if b <= low + slack and b > least:
                stop = least
            if (a <= b and not start < stop) or (start == np.inf and stop == -np.inf):
                continue
            if start != a:
                g = self._moved(g, start, 0)
            if stop != b:
                g = self._moved(g, stop, 1)
            out.append(g)
        return out

    def _moved(self, gap: _Gap, gamma: float, which: int) -> _Gap:
        """The gap with one end at another gamma."""
        if gamma == 0.0:
            z, d = 0.0, np.inf if which else -np.inf
        else:
            d = -1.0 / gamma
            z = self._curve.place(d, gap.side)
        return gap._replace(stop=d, high=z) if which else gap._replace(start=d, low=z)

    # ------------------------------------------------------------------------------------------- the law

    @property
    def support(self) -> Array:
        """Intervals of the continuous part, shape (k, 2), ascending; infinite where the weights are unbounded.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> hessian_law(fh.Spectrum([1.0]), 0.25, "least_squares").support
        array([[0.25, 2.25]])
        """
        return self._memo("support", self._find_support)  # type: ignore[no-any-return]

    def _find_support(self) -> Array:
        if self._empty:
            return freeze(np.empty((0, 2)))  # type: ignore[no-any-return]
        return freeze(self._edges(self._true_gaps))  # type: ignore[no-any-return]

    @property
    def atoms(self) -> list[tuple[float, float]]:
        """Point masses as (location, mass): at 0 when samples of weight g /= 0 are fewer than dimensions of C.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> hessian_law(fh.Spectrum([1.0]), 4.0, "logistic", w=1.0).atoms
        [(0.0, 0.75)]
        """
        if self._empty:
            return [(0.0, 1.0)]
        head = self._prepared[10]
        mass = 1.0 - (1.0 - self.weights.zero) / self.ratio if head[1] < 0.0 else float(head[2])
        return [(0.0, mass)] if mass > 0.0 else []

    def _make_series(self) -> Series:
        gaps = self._gaps
        edges = np.empty((0, 2)) if self._empty else self._edges(gaps)
        rest = self._prepared[10][1]
        points: list[float] = []
        for low, high in edges.tolist():
            marks = self._marks(low, high, gaps)
            if low < 0.0 < high and rest <= 0.0:
                marks.append(0.0)
            chain = [low, *sorted(set(marks)), high]
            points += [x for pair in itertools.pairwise(chain) for x in pair]
        at = np.array(points)
        hard = (at == 0.0) & (rest == 0.0)
        inner = ~np.isin(at, edges)  # a density infinite on both sides: distance**(-1/3)
        return build(self._density, at, np.where(hard & inner, 1.5, 2.0), hard)

    def _marks(self, low: float, high: float, gaps: list[_Gap]) -> list[float]:
        """Points at which long tails are cut, so that each part has its full relative precision."""
        marks: list[float] = []
        weights = self.weights
        order = np.argsort(weights.values)
        values, mass = weights.values[order], weights.probability[order]
        for gap in gaps:
            for edge, meets, sign in ((gap.low, gap.at_end[0], 1.0), (gap.high, gap.at_end[1], -1.0)):
                if not meets or edge != (high if sign > 0 else low):
                    continue
                # where g exceeds with probability 1e-59, 1e-56, ..., 1e-2
                tail = slice(None, None, -1 if sign > 0 else 1)
                index = np.searchsorted(np.cumsum(mass[tail]), 10.0 ** np.arange(-59.0, -1.0, 3.0))
                gamma = np.unique(values[tail][np.minimum(index, values.size - 1)])[tail]
                gamma = gamma[gamma * sign > 0.0]
                last = edge
                for x in self._curve(-1.0 / gamma, gap.side)[0].tolist() if gamma.size else []:
                    if low < x < high and sign * (last - x) > 0.02 * abs(last):
                        marks.append(x)
                        last = x
        return marks

    def _solve(self, z: Complex) -> tuple[Complex, Array, Any, Any]:
        """delta, its derivative, e, m (rows), residual, status and count in the closed upper half-plane."""
        points = np.ascontiguousarray(z, np.complex128)
        out = np.empty((5, points.size), np.complex128)
        status, count = np.empty(points.size, np.int64), np.zeros(points.size, np.int64)
        rows = -(-points.size // _CHUNK)
        law = self._prepared
        work = 6.0 * points.size * (law[0].size + law[8].size + 50)
        args = (points, _CHUNK, law, out, status, count)
        _jit.map_rows(kernels.transform_rows, None, rows, work, None, *args)
        return out[:4], out[4].real, status, count

    def _density(self, x: Array) -> Array:
        found, _, status, _ = self._solve(x.astype(np.complex128))
        if (status != Status.CONVERGED).any():
            bad = x[status != Status.CONVERGED]
            raise ArithmeticError(
                f"the density could not be found at {bad[:3]} ({bad.size} points); please report this law: {self!r}"
            )
        return np.asarray(found[3].imag / np.pi)

    def _pdf(self, x: Array) -> Array:
        series = self._series
        inner = np.setdiff1d(series.edges, self.support.ravel())
        # where two parts of one interval meet the density is not 0
        at = np.where(np.isin(x, inner) & (x != 0.0), np.nextafter(x, np.inf), x)
        return np.asarray(series.density(at))

    def _transform(self, z: Complex) -> Solved:
        if self._empty:
            return -1.0 / z, z, np.zeros(z.size), np.zeros(z.size, np.int64)
        found, residual, status, count = self._solve(z)
        return found[3], found[0], residual, status, count  # type: ignore[return-value]

    def _real_transform(self, x: Array) -> Solved:
        m, s, residual, status, *rest = self._transform(x.astype(np.complex128))
        return m.real, s, residual, status, *rest  # type: ignore[return-value]

    # ------------------------------------------------------------------------------- resolvent and spikes

    def _perturbation(self, d: Complex) -> tuple[Complex, Complex]:
        """S and -dS/d delta at many delta, shape (size, r, r)."""
        r = self._plane.rank
        d = np.ascontiguousarray(np.atleast_1d(d), np.complex128)
        out = np.empty((3, 2, d.size), np.complex128)
        kernels.channel_rows(self._prepared, self.weights._channels, d, out)
        plain = np.empty((3, d.size), np.complex128)
        kernels.sums_rows(self._prepared, d, plain)
        eye = np.eye(2)
        both = []
        for k in (0, 1):
            full = np.stack([np.stack([out[0, k], out[1, k]], -1), np.stack([out[1, k], out[2, k]], -1)], -2)
            both.append((full - plain[k][:, None, None] * eye)[:, :r, :r])
        return both[0], both[1]

    @property
    def _basis(self) -> Array:
        """``C^1/2 U`` in the eigenbasis, shape (levels, d, r)."""
        pair = np.stack([self.w, self.w_star], axis=-1)
        return np.asarray(self.spectrum.values[:, None, None] * (pair @ self._plane.turn))

    def equivalent(self, z: ArrayLike) -> HessianEquivalent:
        """Deterministic equivalent of the resolvent ``(H - z)^-1``.

        Parameters
        ----------
        z : array_like
            Complex numbers, or real ones off the spectrum.

        Returns
        -------
        HessianEquivalent

        Notes
        -----
        ``Q = (e C + C^1/2 U S U' C^1/2 - z)^-1`` with ``U = orth[C^1/2 w, C^1/2 w*]`` and
        ``S = E[g (s s' - I)/(1 + g delta)]``, s = U'C^{-1/2} x (arXiv 2103.01519, Theorem 4).

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> law = hessian_law(fh.Spectrum([1.0]), 0.5, "logistic", w=1.0)
        >>> law.equivalent(-1.0).S.shape
        (1, 1)
        """
        points = _complex_array("z", z)
        real = points.dtype.kind == "f"
        flat = points.ravel().astype(np.complex128)
        half = flat.real + 1j * np.abs(flat.imag)
        if self._empty:
            d = -self.ratio * self._prepared[10][3] / half
            found, status = np.stack([d, d, 0.0 * d, -1.0 / half]), np.zeros(flat.size, np.int64)
        else:
            found, _, status, _ = self._solve(half)
        on = (flat.imag == 0.0) & (self._on_support(flat.real) | np.isin(flat.real, self._atom_table[0]))
        status = np.where(on, int(Status.INVALID), status)
        d, e = (np.where(status == Status.CONVERGED, found[i], np.nan) for i in (0, 2))
        S = self._perturbation(np.nan_to_num(d))[0]
        S = np.where((status == Status.CONVERGED)[:, None, None], S, np.nan)
        below = flat.imag < 0.0
        d, e = (np.where(below, v.conj(), v) for v in (d, e))
        S = np.where(below[:, None, None], S.conj(), S)
        if real:
            d, e, S, flat = d.real, e.real, S.real, flat.real
        shape = points.shape
        return HessianEquivalent(
            *(_out(freeze(v.reshape(shape))) for v in (flat, d, e)), freeze(S.reshape(*shape, *S.shape[1:])),
            _out(freeze(status.reshape(shape))), self.spectrum.values, freeze(self._basis), self.w, self.w_star,
        )  # fmt: skip

    @property
    def spikes(self) -> list[HessianSpike]:
        """Isolated eigenvalues, ascending: above, below and between the bulks; empty where there is none.

        Notes
        -----
        Zeros of ``det[I + S U'C^1/2 (e C - z)^-1 C^1/2 U]`` off the support; alignments are residues of the
        equivalent (arXiv 2103.01519, Theorems 2 and 3).

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> law = hessian_law(fh.Spectrum([1.0]), 0.1, "logistic", w=2.0)
        >>> [round(s.location, 6) for s in law.spikes]
        [0.05772]
        """
        return list(self._memo("spikes", self._find_spikes))

    def _find_spikes(self) -> list[HessianSpike]:
        rank = self._plane.rank
        if rank == 0 or self._empty:
            return []
        found = [s for gap in self._true_gaps for s in self._search(gap)]
        return sorted(found, key=lambda s: s.location)

    def _matrices(self, d: float, side: tuple[float, float]) -> tuple[float, Array, Array]:
        """z, K = U'C^1/2 (e C - z)^-1 C^1/2 U and S at a real delta."""
        z = self._curve.place(d, side)
        sums = np.empty((3, 1), complex)
        kernels.sums_rows(self._prepared, np.array([complex(d, 0.0)]), sums)
        r = 1.0 / (sums[0, 0].real * self.spectrum.values - z)
        basis = self._basis
        return z, np.einsum("i,idk,idl->kl", r, basis, basis), self._perturbation(np.array([d]))[0][0].real

    def _search(self, gap: _Gap) -> list[HessianSpike]:
        """Zeros of the eigenvalues of ``K^-1 + S``, which decrease in z between the zeros of those of K."""
        from scipy import optimize

        rank = self._plane.rank
        size = max(abs(x) for x in self.weights.hull[:2])
        # ends that are not points of the curve: z = +-inf (delta = 0), z = 0 (delta = +-inf)
        start, stop = gap.start, gap.stop
        tiny = 1e-12 / size
        if np.isinf(gap.low) and start == 0.0:
            start = min(tiny, 1e-3 * stop)
        if np.isinf(gap.high) and stop == 0.0:
            stop = max(-tiny, 1e-3 * start)
        if np.isinf(start):
            start = min(-1e12 / size, 1e3 * stop) if np.isfinite(stop) else -1e12 / size
        if np.isinf(stop):
            stop = max(1e12 / size, 1e3 * start)

        def to_delta(x: float) -> float:
            """Coordinate along the gap: delta where it changes sign, else its logarithm."""
            return float(np.sign(start) * np.exp(x)) if start * stop > 0.0 else x

        def bounds() -> tuple[float, float]:
            if start * stop > 0.0:
                return float(np.log(abs(start))), float(np.log(abs(stop)))
            return start, stop

        def of_k(x: float) -> Array:
            return np.linalg.eigvalsh(self._matrices(to_delta(x), gap.side)[1])

        def of_n(x: float) -> Array:
            _, K, S = self._matrices(to_delta(x), gap.side)
            return np.linalg.eigvalsh(np.linalg.inv(K) + S)

        first, last = bounds()
        inset = 1e-13 * abs(last - first)
        cuts = [first, last]
        if gap.side[0] < gap.side[1]:
            step = np.sign(last - first) * inset
            k1, k2 = of_k(first + step), of_k(last - step)
            for i in range(rank):
                if k1[i] < 0.0 < k2[i]:
                    cuts.append(
                        optimize.brentq(
                            lambda x, i=i: of_k(x)[i], first + step, last - step, xtol=1e-300, rtol=4 * _EPS
                        )
                    )
        cuts.sort(reverse=last < first)
        out = []
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            step = 1e-11 * (b - a)
            low = a + (step if a != first else 0.0)
            high = b - (step if b != last else 0.0)
            with np.errstate(all="ignore"):
                at_low, at_high = of_n(low), of_n(high)
            for i in range(rank):
                if at_low[i] > 0.0 > at_high[i]:
                    x = optimize.brentq(
                        lambda y, i=i: of_n(y)[i], low, high, xtol=1e-300, rtol=4 * _EPS, maxiter=300
                    )
                    out.append(self._spike(to_delta(x), gap.side, i))
        return out

    def _spike(self, d: float, side: tuple[float, float], index: int) -> HessianSpike:
        z, K, S = self._matrices(d, side)
        inverse = np.linalg.inv(K)
        x = np.linalg.eigh(inverse + S)[1][:, index]
        # d(K^-1 + S)/dz along the curve
        sums = np.empty((3, 1), complex)
        kernels.sums_rows(self._prepared, np.array([complex(d, 0.0)]), sums)
        e, f = float(sums[0, 0].real), float(sums[1, 0].real)
        rate = 1.0 / float(self._curve([d], side)[2, 0])
        levels, basis = self.spectrum.values, self._basis
        r = 1.0 / (e * levels - z)
        dK = np.einsum("i,idk,idl->kl", r * r * (1.0 + levels * f * rate), basis, basis)
        dS = -self._perturbation(np.array([d]))[1][0].real * rate
        slope = float(x @ (dS - inverse @ dK @ inverse) @ x)
        vector = np.einsum("i,idk,k->id", r, basis, inverse @ x) / np.sqrt(abs(slope))
        cosines = []
        for v in (self.w, self.w_star):
            norm = float((v * v).sum())
            cosines.append(float((v * vector).sum()) ** 2 / norm if norm else np.nan)
        return HessianSpike(z, cosines[0], cosines[1], freeze(vector))

    # ------------------------------------------------------------------------------------------- housekeeping

    def _quantile(self, q: Array) -> Array:
        x = Distribution._quantile(self, q)
        ends = self.support
        if ends.size:
            x[(q == 1.0) & np.isinf(ends[-1, 1])] = np.inf
            x[(q == 0.0) & np.isinf(ends[0, 0])] = -np.inf
        return x

    def __repr__(self) -> str:
        H = self.spectrum
        levels = f"{H.values[0]:g}" if H.values.size == 1 else f"{H.values.size} levels"
        return f"HessianLaw({levels}, ratio {self.ratio:g}, {self.model}, E[g] = {self.weights.mean():.6g})"

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> Self:
        def part(prefix: str) -> dict[str, Any]:
            return {n.removeprefix(prefix): v for n, v in flat.items() if n.startswith(prefix)}

        rest = {n: v for n, v in flat.items() if "." not in n}
        plain = {n: v.item() if np.ndim(v) == 0 else v for n, v in rest.items()}
        return cls._from_fields({
            "spectrum": Spectrum._from_flat(part("spectrum.")), "weights": WeightLaw._from_flat(part("weights.")),
            **plain,
        })  # fmt: skip


def _gamma(d: float, sign: float) -> float:
    """-1/delta; for delta = 0 infinity with the sign of the side it is on."""
    return -1.0 / d if d else sign * np.inf


# -------------------------------------------------------------------------------------------------- constructor


def hessian_law(
    spectrum: Spectrum,
    ratio: float,
    model: str | WeightLaw | Callable[[Array, Array], Any],
    w: ArrayLike | None = None,
    w_star: ArrayLike | None = None,
    *,
    cosine: float | None = None,
    response: Callable[[Array], Any] | None = None,
    truncation: ArrayLike | None = None,
    clipping: ArrayLike | None = None,
) -> HessianLaw:
    """Law of the Hessian of a generalised linear model at a point w, for Gaussian features.

    The Hessian of ``(1/n) sum l(y_i, w'x_i)`` is ``H = (1/n) sum g_i x_i x_i'`` with weights
    ``g_i = l''(y_i, w'x_i)``, features x ~ N(0, C) and responses y that depend on ``w*'x``.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues of C.
    ratio : float
        p/n, dimension over samples, > 0.
    model : str, WeightLaw or callable
        ``"logistic"``: y = +-1, loss log(1 + exp(-y u)), g = 1/(4 cosh(u/2)**2);
        ``"probit"``: P(y = 1) = Phi(w*'x), loss -log Phi(y u);
        ``"poisson"``: loss exp(u) - y u, g = exp(u), unbounded;
        ``"phase_retrieval"``: y = (w*'x)**2, loss (u**2 - y)**2/4, g = 3 u**2 - y, of both signs and unbounded;
        ``"least_squares"``: g = 1.
        A `WeightLaw`: weights independent of the features. A callable ``second_derivative(y, u)``, vectorised: the
        user's own model, with y from ``response``.
    w, w_star : array_like, optional
        The point, and the vector behind the responses; None is 0. A number is a norm, spread over the eigenbasis
        like a random direction. An array of shape (levels,) has coordinates along one direction of each eigenspace,
        the same for both vectors; (levels, d) along d orthogonal ones.
    cosine : float, optional
        Of the angle between w and w*, when both are given as numbers; needed then.
    response : callable, optional
        For a callable model: ``response(v)`` at v = w*'x returns y, or a pair (values, probabilities) of arrays with a
        first axis of outcomes (a quadrature of the law of y given v). Without it y = v.
    truncation : float or (low, high), optional
        Weights beyond it are set to 0 (trimming): |g| > truncation, or g outside [low, high].
    clipping : float or (low, high), optional
        Weights beyond it are set to it.

    Returns
    -------
    HessianLaw

    Raises
    ------
    ValueError
        For arguments outside their domain.
    TypeError
        For arguments of the wrong kind.

    Notes
    -----
    ``delta = (1/n) tr C Q``, ``e = E[g/(1 + g delta)]``, ``Q = (e C - z)^-1`` (arXiv 2103.01519, Theorem 1). Spectral
    initialisation (Mondelli & Montanari 2019; Lu & Li 2020) is the case ``second_derivative = lambda y, u: f(y)``.

    Weights that depend on one direction (all named models but none of their restrictions; most models with discrete
    responses) have their law found exactly, and densities are exact to rounding, tails included. Where a callable
    depends on y and u in a truly two-dimensional way, the law is exact where the density is not small (see
    ``law.weights.error``), and gaps of the law of g itself are not looked for.

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.hessian import hessian_law
    >>> law = hessian_law(fh.Spectrum([1.0]), 0.1, "logistic", w=2.0)
    >>> law.support.round(6), [round(s.location, 6) for s in law.spikes]
    (array([[0.066982, 0.241318]]), [0.05772])

    Spectral initialisation of phase retrieval at n/p = 5 with f(y) = (y - 1)/(y + sqrt(5) - 1):

    >>> law = hessian_law(fh.Spectrum([1.0]), 0.2, lambda y, u: (y - 1)/(y + 5**0.5 - 1), w_star=1.0,
    ...                   response=lambda v: v**2)
    >>> top = law.spikes[-1]
    >>> round(top.location, 5), round(top.alignment_star, 4)
    (0.39929, 0.7316)
    """
    spectrum = as_spectrum("spectrum", spectrum)
    c = check.scalar("ratio", ratio, positive=True, hint="The ratio is p/n, dimension over samples.")
    first, second = _vectors(spectrum, w, w_star, cosine)
    cut = _limits(truncation, clipping)
    plane = _plane(spectrum.values, first, second)
    if isinstance(model, WeightLaw):
        if response is not None or cut.levels.size:
            raise TypeError(
                "response, truncation and clipping belong to a named or a callable model; a WeightLaw is taken as it is."
            )
        return HessianLaw(spectrum, c, model, first, second, "given weights")
    if isinstance(model, str):
        if model not in _MODELS:
            raise ValueError(
                f"model must be one of {', '.join(sorted(_MODELS))}, or a callable; got {model!r}."
            )
        if response is not None:
            raise TypeError(f"response belongs to a callable model; {model!r} has its own.")
        if model == "phase_retrieval" and plane.rank == 0:
            raise ValueError(
                "w or w_star must not be 0 for phase_retrieval: every weight would be 0. Give w_star."
            )
        return HessianLaw(spectrum, c, _MODELS[model](plane, cut), first, second, model)
    if not callable(model):
        raise TypeError(
            f"model must be a name, a WeightLaw or second_derivative(y, u); got {type(model).__name__}. "
            f"Names are {', '.join(sorted(_MODELS))}."
        )
    if response is not None and not callable(response):
        raise TypeError(f"response must be a function of v = w*'x; got {type(response).__name__}.")
    name = getattr(model, "__name__", type(model).__name__)
    return HessianLaw(spectrum, c, _custom(model, response, plane, cut), first, second, name)


def _vectors(spectrum: Spectrum, w: Any, w_star: Any, cosine: float | None) -> tuple[Array, Array]:
    """Both vectors as coordinates of shape (levels, d), the same d."""
    levels = spectrum.values.size
    share = np.sqrt(spectrum.multiplicity / spectrum.multiplicity.sum())
    parts: list[Array] = []
    norms = []
    for name, value in (("w", w), ("w_star", w_star)):
        raw = check.real_array(name, 0.0 if value is None else value)
        if raw.ndim == 0:
            norm = check.scalar(name, raw, hint="A number is a norm; use an array for coordinates.")
            norms.append(norm)
            parts.append(norm * share[:, None])
        else:
            parts.append(_coordinates(name, raw, levels))
    if len(norms) == 2 and all(norms):
        if cosine is None:
            raise ValueError(
                f"cosine must be given when w and w_star are both norms ({norms[0]:g} and {norms[1]:g}): 0 for "
                "independent directions, 1 for the same. Or pass coordinates."
            )
        x = float(check.finite("cosine", check.real_array("cosine", cosine, ndim=0)))
        if not -1.0 <= x <= 1.0:
            raise ValueError(f"cosine must lie in [-1, 1]; got {x}. It is w'w*/(|w| |w*|).")
        parts[1] = norms[1] * share[:, None] * np.array([x, np.sqrt((1.0 - x) * (1.0 + x))])
    elif cosine is not None:
        raise ValueError(
            "cosine needs both w and w_star as positive numbers; with coordinates, or a vector that is 0, the angle is "
            "known already. Leave it out."
        )
    depth = max(p.shape[1] for p in parts)
    a, b = (np.ascontiguousarray(_pad(p, depth)) for p in parts)
    for name, v in (("w", a), ("w_star", b)):
        if (v[spectrum.multiplicity == 0] != 0.0).any():
            raise ValueError(f"{name} must be 0 on levels of multiplicity 0. Drop these levels.")
    return a, b


def _limits(truncation: Any, clipping: Any) -> _Cut:
    if truncation is not None and clipping is not None:
        raise TypeError(
            "give truncation or clipping, not both: one sets large weights to 0, the other to the limit."
        )
    name, value = ("truncation", truncation) if clipping is None else ("clipping", clipping)
    if value is None:
        return _Cut(-np.inf, np.inf, False)
    raw = check.real_array(name, value)
    if raw.ndim == 0:
        top = check.scalar(name, raw, positive=True)
        return _Cut(-top, top, clipping is not None)
    if raw.shape != (2,) or not raw[0] < raw[1]:
        raise ValueError(f"{name} must be a number > 0, or (low, high) with low < high; got {raw.tolist()}.")
    return _Cut(float(raw[0]), float(raw[1]), clipping is not None)
