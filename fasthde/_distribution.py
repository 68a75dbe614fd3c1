"""What every spectral law offers, built on a support, atoms, a density on the real axis and a Stieltjes transform."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, Status, ValidityWarning, freeze
from fasthde._series import Series

Array = NDArray[np.float64]
Solved = tuple[NDArray[Any], NDArray[Any], Array, NDArray[np.int64]]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class StieltjesResult(Record):
    """Stieltjes transform with its diagnostics, in the shape of ``z``.

    Attributes
    ----------
    value : complex, float or ndarray
        The transform.
    status : int or ndarray
        `Status` code: INVALID on the spectrum and for z that is not a number.
    residual : float or ndarray
        Estimated relative error of the solved point.
    iterations : int or ndarray
        Evaluations of the sums over the spectrum.
    """

    value: Any
    status: Any
    residual: Any
    iterations: Any

    @property
    def success(self) -> Any:
        """Whether each element is solved."""
        good = np.asarray(self.status) == Status.CONVERGED
        return bool(good) if good.ndim == 0 else good

    def __repr__(self) -> str:
        shape = np.shape(self.value)
        names = ", ".join(Status(s).name for s in np.unique(self.status))
        worst = np.max(np.nan_to_num(self.residual), initial=0.0)
        return f"StieltjesResult, shape {shape}, {names}, residual <= {worst:.1e}"


class Distribution(Record):
    """Spectral law: a continuous part on intervals, and atoms.

    Subclasses give ``support``, ``atoms``, ``_make_series`` (or ``_density`` with ``_powers`` and ``_hard``),
    ``_transform`` in the upper half-plane and ``_real_transform`` off the spectrum.
    """

    __slots__ = ()

    # ---------------------------------------------------------------------------------- given by subclasses

    @property
    def support(self) -> Array:
        """Intervals of the continuous part, shape (k, 2), ascending."""
        raise NotImplementedError

    @property
    def atoms(self) -> list[tuple[float, float]]:
        """Point masses as (location, mass), ascending."""
        raise NotImplementedError

    @property
    def _powers(self) -> Array:
        """Power q of the coordinate at each edge, shape (k, 2)."""
        return np.full(self.support.shape, 2.0)

    @property
    def _hard(self) -> NDArray[np.bool_]:
        """Whether the density is infinite at each edge, shape (k, 2)."""
        return np.zeros(self.support.shape, bool)

    def _density(self, x: Array) -> Array:
        """Density at points strictly inside the support."""
        raise NotImplementedError

    def _transform(self, z: NDArray[np.complex128]) -> Solved:
        """Value, subordination point or None, residual and status at points of the upper half-plane."""
        raise NotImplementedError

    def _real_transform(self, x: Array) -> Solved:
        """The same at real points off the spectrum, in real arithmetic."""
        raise NotImplementedError

    def _make_series(self) -> Series:
        from fasthde._series import build

        edges = self.support.ravel()
        return build(self._density, edges, self._powers.ravel(), self._hard.ravel())

    # ---------------------------------------------------------------------------------------------- lazily

    def _memo(self, name: str, make: Callable[[], Any]) -> Any:
        """Compute once, keep with the object (never saved, never compared)."""
        cache = self._cache  # type: ignore[attr-defined]
        if cache is None:
            cache = {}
            object.__setattr__(self, "_cache", cache)
        if name not in cache:
            cache[name] = make()
        return cache[name]

    @property
    def _series(self) -> Series:
        return self._memo("series", self._make_series)  # type: ignore[no-any-return]

    @property
    def _atom_table(self) -> tuple[Array, Array]:
        atoms = self.atoms
        return np.array([a for a, _ in atoms]), np.array([m for _, m in atoms])

    # --------------------------------------------------------------------------------------------- density

    def pdf(self, x: ArrayLike) -> Any:
        """Density of the continuous part.

        Parameters
        ----------
        x : array_like
            Real points.

        Returns
        -------
        float or ndarray
            In the shape of x: 0 outside the support, inf at a hard edge, NaN for NaN.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.marchenko_pastur(0.25)
        >>> law.pdf([0.1, 1.0]).round(6)
        array([0.      , 0.616404])
        """
        points = check.real_array("x", x)
        return _out(self._pdf(points))

    def _pdf(self, x: Array) -> Array:
        return self._series.density(x)

    def cdf(self, x: ArrayLike) -> Any:
        """Mass at or below x, atoms included (right-continuous).

        Parameters
        ----------
        x : array_like
            Real points.

        Returns
        -------
        float or ndarray
            In the shape of x.

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.marchenko_pastur(2.0).cdf([-1.0, 0.0, 10.0]).round(12)
        array([0. , 0.5, 1. ])
        """
        points = check.real_array("x", x)
        mass = self._series.below(points)
        where, size = self._atom_table
        for a, m in zip(where, size, strict=True):
            mass = mass + m * (points >= a)
        return _out(np.clip(mass, 0.0, 1.0))

    def ppf(self, q: ArrayLike) -> Any:
        """Quantiles: the smallest x with ``cdf(x) >= q``.

        Parameters
        ----------
        q : array_like
            Probabilities; NaN outside [0, 1].

        Returns
        -------
        float or ndarray
            In the shape of q.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.semicircle()
        >>> abs(law.ppf(0.5)) < 1e-14
        True
        """
        level = check.real_array("q", q)
        return _out(self._quantile(level.ravel()).reshape(level.shape))

    def _quantile(self, q: Array) -> Array:
        starts, where, masses, half = self._memo("parts", self._parts)
        out = np.full(q.size, np.nan)
        inside = (q >= 0.0) & (q <= 1.0)
        q = q[inside]
        # the last part whose start lies strictly below q
        part = np.maximum(np.searchsorted(starts, q, side="left") - 1, 0)
        level = np.clip(q - starts[part], 0.0, masses[part])
        x = where[part].copy()
        continuous = half[part] >= 0
        if continuous.any():
            p = part[continuous]
            after = np.concatenate((np.cumsum(masses[::-1])[-2::-1], [0.0]))
            upper = np.clip(
                (1.0 - q[continuous]) - after[p], 0.0, masses[p]
            )  # from the right end: exact towards 1
            left = np.where(half[p] % 2 == 1, upper, level[continuous])
            x[continuous] = self._series.quantile(half[p], left)
        out[inside] = x
        return out

    def _parts(self) -> tuple[Array, Array, Array, NDArray[np.int64]]:
        """Atoms and half-intervals in ascending order: mass before, location of an atom, mass, half-interval."""
        rows: list[tuple[float, int, float, int]] = [(a, -1, m, -1) for a, m in self.atoms]
        series = self._series
        if series.edges.size:
            ends = series.mass[series.first[1:] - 1].sum(axis=1)
            for k in range(ends.size):
                rows.append((float(series.edges[k - k % 2]), k % 2, float(ends[k]), k))
        rows.sort(key=lambda r: (r[0], r[1]))
        masses = np.array([r[2] for r in rows])
        starts = np.concatenate(([0.0], np.cumsum(masses)[:-1]))
        return starts, np.array([r[0] for r in rows]), masses, np.array([r[3] for r in rows], np.int64)

    def rvs(self, size: Any = None, rng: Any = None) -> Any:
        """Independent draws from the law, by inverse transform.

        Parameters
        ----------
        size : int or tuple of int, optional
            Shape; a single number without it.
        rng : int, SeedSequence or Generator, optional
            Seed.

        Returns
        -------
        float or ndarray

        Examples
        --------
        >>> import fasthde as fh
        >>> draws = fh.marchenko_pastur(0.5).rvs(1000, rng=0)
        >>> bool(abs(draws.mean() - 1) < 0.1)
        True
        """
        return self.ppf(np.random.default_rng(rng).random(size))

    # ---------------------------------------------------------------------------------------- expectations

    def expect(self, f: Callable[[Array], Any], *, rtol: float = 1e-13, full_output: bool = False) -> Any:
        """Expectation of a function, ``sum over atoms + integral of f(x) pdf(x)``.

        Parameters
        ----------
        f : callable
            Vectorised; real or complex values. Smooth on the support, or integrable with singularities at edges.
        rtol : float, optional
            Relative error at which the pieces are no longer halved.
        full_output : bool, optional
            Return (value, estimated absolute error).

        Returns
        -------
        float or complex
            Infinite where the integral diverges at an edge.

        Warns
        -----
        ValidityWarning
            If the integral does not settle.

        Examples
        --------
        >>> import fasthde as fh, numpy as np
        >>> law = fh.marchenko_pastur(0.5)
        >>> bool(abs(law.expect(np.log) - (-1 + np.log(2))) < 1e-13)
        True
        """
        if not callable(f):
            raise TypeError(f"f must be a vectorised function; got {type(f).__name__}.")
        tolerance = check.scalar("rtol", rtol, positive=True)
        value: Any = 0.0
        error = scale = 0.0
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            check.vectorised("f", f, np.linspace(*self._hull(), 4)[1:-1])
            if self._series.edges.size:
                whole = self._series.expect(f, tolerance)
                value, error, scale = whole.value[0], float(whole.error[0]), float(whole.scale[0])
            where, mass = self._atom_table
            if where.size:
                value = value + np.dot(np.asarray(f(where)), mass)
        value = complex(value) if np.iscomplexobj(value) else float(value)
        if full_output:
            return value, error
        if np.isfinite(value) and error > 1e-6 * max(scale, abs(value)):
            warnings.warn(
                f"expect: the integral may be off by {error:.2g} (a pole or a rough function on the support?); "
                "full_output=True returns this estimate without a warning.",
                ValidityWarning,
                stacklevel=2,
            )
        return value

    def moment(self, k: float) -> float:
        """Moment of order k.

        Parameters
        ----------
        k : float
            Order; negative and fractional ones for laws on [0, inf).

        Returns
        -------
        float

        Examples
        --------
        >>> import fasthde as fh
        >>> round(fh.marchenko_pastur(0.5).moment(2), 12)
        1.5
        """
        order = float(check.finite("k", check.real_array("k", k, ndim=0)))
        if order != round(order) and self._hull()[0] < 0.0:
            raise ValueError(
                f"k must be a whole number for a law with negative eigenvalues; got {order:g}. "
                "Use expect(lambda x: np.abs(x) ** k)."
            )
        return float(self.expect(lambda x: x**order))

    def mean(self) -> float:
        """First moment."""
        return self.moment(1)

    def var(self) -> float:
        """Variance."""
        center = self.mean()
        return float(self.expect(lambda x: (x - center) ** 2))

    def std(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(self.var()))

    # ------------------------------------------------------------------------------------------- transform

    def stieltjes(self, z: ArrayLike, *, side: str | None = None, full_output: bool = False) -> Any:
        """Stieltjes transform ``m(z)``, the expectation of ``1/(x - z)``.

        Parameters
        ----------
        z : array_like
            Complex numbers, or real ones off the spectrum.
        side : {"+", "-"}, optional
            On the support, the limit from the upper or the lower half-plane; NaN without it.
        full_output : bool, optional
            Return a `StieltjesResult` with status, residual and iterations.

        Returns
        -------
        complex, float or ndarray
            float64 for real z (unless a side is given), complex128 otherwise; conjugate symmetric.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.marchenko_pastur(2.0)
        >>> round(law.stieltjes(-0.3), 12)
        2.0
        >>> law.stieltjes(1.0, side="+").imag > 0
        True
        """
        points = _complex_array("z", z)
        if side not in (None, "+", "-"):
            raise ValueError(f'side must be "+", "-" or None; got {side!r}.')
        real = points.dtype.kind == "f" and side is None
        flat = points.ravel().astype(np.complex128)
        value = np.full(flat.size, np.nan, np.complex128)
        residual = np.full(flat.size, np.nan)
        status = np.full(flat.size, int(Status.INVALID), np.int64)
        count = np.zeros(flat.size, np.int64)
        finite = np.isfinite(flat.real) & np.isfinite(flat.imag)
        on_axis = finite & (flat.imag == 0.0)
        inside = np.zeros(flat.size, bool)
        if on_axis.any():
            off = on_axis.copy()
            inside[on_axis] = self._on_support(flat.real[on_axis])
            off &= ~inside
            off[off] &= ~np.isin(flat.real[off], self._atom_table[0])
            value[off], residual[off], status[off], count[off] = self._split(
                self._real_transform(flat.real[off])
            )
        above = finite & (flat.imag != 0.0)
        if side is not None:
            above |= inside & ~np.isin(flat.real, self._atom_table[0])
        if above.any():
            half = flat[above].real + 1j * np.abs(flat[above].imag)
            m, residual[above], status[above], count[above] = self._split(self._transform(half))
            below = (flat[above].imag < 0.0) | ((flat[above].imag == 0.0) & (side == "-"))
            value[above] = np.where(below, m.conj(), m)
        shaped: Any = (value.real if real else value).reshape(points.shape)
        if not full_output:
            return _out(shaped)
        return StieltjesResult(
            *(_out(freeze(v.reshape(points.shape))) for v in (shaped, status, residual, count))
        )

    @staticmethod
    def _split(solved: Any) -> Any:
        m, _, residual, status, *count = solved
        return m, residual, status, count[0] if count else np.zeros(len(m), np.int64)

    def _on_support(self, x: Array) -> NDArray[np.bool_]:
        edges = self.support.ravel()
        if not edges.size:
            return np.zeros(x.shape, bool)
        k = np.searchsorted(edges, x, side="left")
        return np.asarray((k % 2 == 1) | (edges[np.minimum(k, edges.size - 1)] == x))

    def _hull(self) -> tuple[float, float]:
        """Ends of the spectrum, atoms included."""
        points = np.concatenate((self.support.ravel(), self._atom_table[0]))
        return float(points.min()), float(points.max())


def _complex_array(name: str, value: Any) -> NDArray[Any]:
    try:
        raw = np.asarray(value)
    except ValueError:  # a ragged list
        return check.real_array(name, value)
    if raw.dtype.kind == "c":
        return raw.astype(np.complex128)
    return check.real_array(name, value)


def _out(value: NDArray[Any]) -> Any:
    return value[()].item() if value.ndim == 0 else value
