"""Many generalised Marchenko-Pastur laws at once: one compiled call for every stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _jit
from fasthde import _validate as check
from fasthde._chain import COLUMNS, EPS, GAP, LEAST
from fasthde._distribution import _complex_array
from fasthde._kernels import chain as kernels
from fasthde._kernels import series as series_kernels
from fasthde._kernels.chain import SAMPLE
from fasthde._results import Status, freeze
from fasthde._series import Series, follow
from fasthde.laws import Law
from fasthde.spectrum import Spectrum

Array = NDArray[np.float64]


def batch(spectra: Any, ratio: ArrayLike) -> LawBatch:
    """Generalised Marchenko-Pastur laws of many pairs (spectrum, ratio).

    Parameters
    ----------
    spectra : Spectrum, sequence of Spectrum, or array_like of shape (k, levels)
        Population spectra, or their eigenvalues with equal weights; one for all ratios, or one each.
    ratio : array_like, shape (k,) or ()
        p/n of each law. A ratio that is not a positive number gives NaN with status INVALID.

    Returns
    -------
    LawBatch

    Raises
    ------
    ValueError
        If the numbers of spectra and ratios do not fit.

    Examples
    --------
    >>> import fasthde as fh, numpy as np
    >>> laws = fh.batch(fh.Spectrum([1, 3, 10]), ratio=np.linspace(0.1, 2.0, 5))
    >>> laws.pdf([1.0, 2.0, 5.0]).shape
    (5, 3)
    >>> [len(s) for s in laws.support]
    [3, 1, 1, 1, 1]
    """
    c = check.real_array("ratio", ratio)
    if c.ndim > 1:
        raise ValueError(f"ratio must have at most one dimension; got shape {c.shape}.")
    if isinstance(spectra, Spectrum):
        rows = [(spectra.values, spectra.multiplicity)]
    elif isinstance(spectra, Sequence) and len(spectra) and isinstance(spectra[0], Spectrum):
        rows = [(_one(s).values, s.multiplicity) for s in spectra]
    else:
        values = check.not_empty("spectra", np.atleast_2d(check.real_array("spectra", spectra)))
        if values.ndim != 2:
            raise ValueError(f"spectra must have two dimensions, (laws, levels); got shape {values.shape}.")
        rows = [(v, np.ones(v.size)) for v in values]
    if c.ndim and len(rows) not in (1, c.size):
        raise ValueError(f"spectra and ratio must be as many; got {len(rows)} and {c.size}.")
    size = c.size if c.ndim else len(rows)
    rows = rows * size if len(rows) == 1 else rows
    return LawBatch(rows, np.broadcast_to(c, (size,)).copy())


def _one(value: Any) -> Spectrum:
    if not isinstance(value, Spectrum):
        raise TypeError(f"spectra must all be of class Spectrum; got {type(value).__name__} among them.")
    return value


class LawBatch:
    """Generalised Marchenko-Pastur laws side by side; ``laws[i]`` is the i-th as a `Law`.

    Attributes
    ----------
    ratio : ndarray, shape (k,)
        p/n of each law.
    status : ndarray of int, shape (k,)
        `Status` of each: INVALID for a ratio that is not positive, or eigenvalues that are not 0 or between 1e-90 and
        1e90; NOT_CONVERGED where the density could not be followed.
    support : list of ndarray, shape (intervals, 2)
        Support of each law.
    atoms : list of list of (location, mass)
        Point masses of each law.
    """

    def __init__(self, rows: list[tuple[Array, Array]], ratio: Array):
        self._rows = rows
        self.ratio = freeze(ratio)
        good = (ratio > 0.0) & np.isfinite(ratio)
        for i, (t, _) in enumerate(rows):
            good[i] &= bool(((t == 0.0) | ((t >= LEAST) & (t <= 1.0 / LEAST))).all() and (t > 0.0).any())
        self.status = freeze(np.where(good, int(Status.CONVERGED), int(Status.INVALID)))
        self._index = np.flatnonzero(good)
        self._prepare()
        self._find_support()
        self._series: Series | None = None

    def __len__(self) -> int:
        return int(self.ratio.size)

    def __getitem__(self, i: int) -> Law:
        if not isinstance(i, int | np.integer):
            raise TypeError(f"laws[i] takes a whole number; got {i!r}. Use a list comprehension for several.")
        t, k = self._rows[i]
        return Law(Spectrum(t, k)).sample_covariance(float(self.ratio[i]))

    def __repr__(self) -> str:
        return f"LawBatch({len(self)} laws, {len(self) - self._index.size} invalid)"

    # ------------------------------------------------------------------------------------------- prepared

    def _prepare(self) -> None:
        """Flatten to distinct positive atoms with weights, law after law."""
        rows = [self._rows[i] for i in self._index]
        owner = np.repeat(np.arange(len(rows)), [t.size for t, _ in rows])
        t = np.concatenate([t for t, _ in rows] or [np.empty(0)])
        k = np.concatenate([k for _, k in rows] or [np.empty(0)])
        total = np.bincount(owner, k, len(rows))
        rest = np.bincount(owner, k * (t > 0.0), len(rows)) / total
        keep = (t > 0.0) & (k > 0.0)
        owner, t, w = owner[keep], t[keep], (k / total[owner])[keep]
        order = np.lexsort((t, owner))
        owner, t, w = owner[order], t[order], w[order]
        new = np.concatenate(([True], (np.diff(t) > 0.0) | (np.diff(owner) > 0)))[: t.size]
        w = np.add.reduceat(w, np.flatnonzero(new)) if t.size else w
        owner, t = owner[new], t[new]
        first = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=len(rows))))).astype(np.int64)
        c = self.ratio[self._index]
        delta = 1.0 - c * rest
        delta[np.abs(delta) <= 4.0 * EPS] = 0.0
        par = np.zeros((c.size, 1, COLUMNS))
        par[:, 0, 0], par[:, 0, 1], par[:, 0, 2] = c, delta, delta < 0.0
        ops = np.array([SAMPLE], np.int64)
        zero = 1.0 - rest
        head = np.column_stack(
            (
                zero,
                np.where(delta < 0.0, 1.0 - 1.0 / c, zero),
                np.ones(c.size),
                np.bincount(owner, w * t, c.size),
            )
        )
        wide = np.flatnonzero((np.diff(owner) == 0) & (t[1:] > GAP * t[:-1]))
        rank = np.arange(wide.size) - np.searchsorted(owner[wide], owner[wide])
        gaps = np.full((c.size, int(rank.max(initial=-1)) + 1), np.inf)
        gaps[owner[wide], rank] = np.sqrt(t[wide]) * np.sqrt(t[wide + 1])
        head = np.concatenate((head, gaps), axis=1)
        part = np.zeros((c.size, 2, 4), np.int64)  # trees of a single leaf
        part[:, 1, 1::2] = np.diff(first)[:, None]
        low, high = np.zeros((c.size, 2)), np.full((c.size, 2), np.inf)
        self._owner, self._delta = owner, delta
        self._mass = head[:, 1]
        self._pack = (ops, par, np.empty(0), np.empty(0), t, w, w * t, head, low, high, part, first)
        self.atoms: list[list[tuple[float, float]]] = [[] for _ in self._rows]
        for i, mass in zip(self._index, self._mass, strict=True):
            self.atoms[i] = [(0.0, float(mass))] if mass > 4.0 * EPS else []

    def _find_support(self) -> None:
        _, par, _, _, t, w, *_, first = self._pack
        owner, laws = self._owner, self._index.size
        strength = par[owner, 0, 0] * w * t * t
        root = np.cbrt(strength)
        inner = np.flatnonzero(np.diff(owner) == 0)
        inner = inner[(root[inner] + root[inner + 1]) ** 3 < (t[inner + 1] - t[inner]) ** 2]
        a, b = t[inner], t[inner + 1]
        total = np.sqrt(np.bincount(owner, strength, laws))
        bottom, top = t[first[:-1]], t[first[1:] - 1]
        lows = np.concatenate((np.full(laws, -np.inf), a, top))
        highs = np.concatenate((bottom, b, np.full(laws, np.inf)))
        guesses = np.concatenate(
            (bottom - total, a + (b - a) * root[inner] / (root[inner] + root[inner + 1]), top + total)
        )
        whose = np.concatenate((np.arange(laws), owner[inner], np.arange(laws)))
        order = np.lexsort((lows, whose))
        lows, highs, guesses, whose = lows[order], highs[order], guesses[order], whose[order]
        found = np.ones(lows.size, bool)
        args = (self._pack, whose, 0, lows, highs, guesses, np.zeros((2, lows.size), bool), found)
        _jit.map_rows(
            kernels.cut_rows, None, lows.size, 20.0 * lows.size * t.size / max(laws, 1), None, *args
        )
        start = np.flatnonzero(np.concatenate(([True], np.diff(whose) > 0)))[:laws]
        highs[start[self._delta == 0.0]] = 0.0
        lows, highs, whose = lows[found], highs[found], whose[found]
        same = np.flatnonzero(np.diff(whose) == 0)
        self._s = np.stack((highs[same], lows[same + 1]), axis=1).ravel()
        self._whose = np.repeat(whose[same], 2)
        state = np.empty((7, self._s.size))
        kernels.state_batch(self._pack, self._whose, 1, self._s, state)
        self._bend = np.abs(state[2])
        self._spans = np.concatenate(([0], np.cumsum(np.bincount(whose[same], minlength=laws)))).astype(
            np.int64
        )
        self._edges = state[0]
        self._hard = np.zeros(self._s.size, bool)
        self._hard[2 * self._spans[:-1][self._delta == 0.0]] = True
        self._edges[self._hard] = 0.0
        self.support: list[Array] = [np.full((0, 2), np.nan) for _ in self._rows]
        for j, i in enumerate(self._index):
            part = self._edges[2 * self._spans[j] : 2 * self._spans[j + 1]]
            self.support[i] = freeze(part.reshape(-1, 2).copy())

    def _reaches(self) -> Array:
        low, high = self._edges[2 * self._spans[:-1]], self._edges[2 * self._spans[1:] - 1]
        return np.asarray(np.maximum(high - low, 1e-3 * high))

    def _build(self) -> Series:
        if self._series is None:
            series = Series(self._edges, np.full(self._edges.size, 2.0), self._hard)
            self._series, lost = follow(series, self._pack, self._whose, self._reaches(), self._s, self._bend)
            status = self.status.copy()
            status[self._index[self._whose[lost]]] = Status.NOT_CONVERGED
            self.status = freeze(status)
        return self._series

    # ---------------------------------------------------------------------------------------------- values

    def _evaluate(self, x: ArrayLike, kind: int) -> Array:
        points = check.real_array("x", x)
        if points.ndim < 2:
            points = np.atleast_1d(points)[None]
        elif points.shape[0] != len(self):
            raise ValueError(f"x must have one row a law, {len(self)}; got shape {points.shape}.")
        out = np.full((len(self), points.shape[1]), np.nan)
        if not self._index.size:
            return out
        used = np.ascontiguousarray(points[self._index] if points.shape[0] > 1 else points)
        series = self._build()
        table = series.pdf if kind == 0 else series.mass
        part = np.empty((self._index.size, points.shape[1]))
        total = series.total.copy()
        if kind == 1:  # mass to the left within each law
            begin = np.repeat(total[0, self._spans[:-1]], np.diff(self._spans))
            total[0] = total[0] - begin
        block = series_kernels.BLOCK
        work, which = np.empty((self._index.size, 3, block)), np.zeros((self._index.size, 2, block), np.int64)
        args = (
            used, self._edges, series.halves, self._spans, series.first, series.u0, series.u1, table, total, kind,
            work, which, part,
        )  # fmt: skip
        _jit.map_rows(series_kernels.evaluate_batch, None, self._index.size, 3.0 * part.size, None, *args)
        if kind == 1:
            part += self._mass[:, None] * (used >= 0.0)
        out[self._index] = part
        out[self.status != Status.CONVERGED] = np.nan
        return out

    def pdf(self, x: ArrayLike) -> Array:
        """Densities.

        Parameters
        ----------
        x : array_like, shape (m,) or (k, m)
            Points, the same for all laws or a row each.

        Returns
        -------
        ndarray, shape (k, m)
            NaN rows where the law is invalid.
        """
        return self._evaluate(x, 0)

    def cdf(self, x: ArrayLike) -> Array:
        """Masses at or below x, atoms included.

        Parameters
        ----------
        x : array_like, shape (m,) or (k, m)
            Points.

        Returns
        -------
        ndarray, shape (k, m)
        """
        return np.clip(self._evaluate(x, 1), 0.0, 1.0)

    def stieltjes(self, z: ArrayLike) -> NDArray[np.complex128]:
        """Stieltjes transforms.

        Parameters
        ----------
        z : array_like, shape (m,) or (k, m)
            Complex numbers, or real ones.

        Returns
        -------
        ndarray of complex, shape (k, m)
            NaN for real points on the spectrum of a law, and in the rows of invalid laws.
        """
        points = _complex_array("z", z).astype(np.complex128)
        points = np.atleast_1d(points)[None] if points.ndim < 2 else points
        if points.shape[0] not in (1, len(self)):
            raise ValueError(f"z must have one row a law, {len(self)}; got shape {points.shape}.")
        points = np.broadcast_to(points, (len(self), points.shape[1]))
        out = np.full(points.shape, np.nan, np.complex128)
        used = points[self._index]
        flat = used.ravel()
        owner = np.repeat(np.arange(self._index.size), used.shape[1])
        value = np.full(flat.size, np.nan, np.complex128)
        above = np.flatnonzero(np.isfinite(flat) & (flat.imag != 0.0))
        half = np.where(flat[above].imag < 0.0, flat[above].conj(), flat[above])
        solved = np.empty((4, half.size), np.complex128)
        status, count = np.empty(half.size, np.int64), np.empty(half.size, np.int64)
        args = (half, owner[above], self._reaches(), self._pack, solved, status, count)
        _jit.map_rows(kernels.transform_rows, None, half.size, 100.0 * half.size, None, *args)
        value[above] = np.where(flat[above].imag < 0.0, solved[0].conj(), solved[0])
        real = np.flatnonzero(np.isfinite(flat) & (flat.imag == 0.0))
        value[real] = self._at_real(flat[real].real, owner[real])
        out[self._index] = value.reshape(used.shape)
        return out

    def _at_real(self, x: Array, owner: NDArray[np.int64]) -> Array:
        """Transforms at real points; NaN on the spectrum."""
        laws = self._spans.size - 1
        lows, highs = (
            np.insert(self._s[k::2], at, end)
            for k, at, end in ((1, self._spans[:-1], -np.inf), (0, self._spans[1:], np.inf))
        )
        first = self._spans[:-1] + np.arange(laws)  # component of each law
        component = np.full(x.size, -1, np.int64)
        for j in np.unique(owner):
            edges = self._edges[2 * self._spans[j] : 2 * self._spans[j + 1]]
            mine = owner == j
            at = np.searchsorted(edges, x[mine])
            outside = (at % 2 == 0) & ~np.isin(x[mine], edges) & ((x[mine] != 0.0) | (self._mass[j] == 0.0))
            component[mine] = np.where(outside, first[j] + at // 2, -1)
        out = np.empty((3, x.size))
        status, count = np.empty(x.size, np.int64), np.empty(x.size, np.int64)
        args = (np.ascontiguousarray(x), owner, component, lows, highs, self._pack)
        _jit.map_rows(kernels.real_rows, None, x.size, 30.0 * x.size, None, *args, out, status, count)
        return np.asarray(out[0])
