"""Spectral laws as a calculus: a population spectrum followed by free operations."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _closed, _jit, _taylor
from fasthde import _validate as check
from fasthde._chain import Chain, Step, points_of
from fasthde._distribution import Distribution, Solved, _out
from fasthde._kernels import chain as kernels
from fasthde._kernels.chain import AFFINE, CORNER, INVERSE, POISSON, SAMPLE, SEMICIRCLE
from fasthde._results import freeze
from fasthde._series import Series, follow
from fasthde._support import Outside, outside
from fasthde.spectrum import Spectrum, as_spectrum

if TYPE_CHECKING:
    from fasthde.equivalents import Equivalent
    from fasthde.spikes import Spike

Array = NDArray[np.float64]

_RATIO = "The ratio is p/n, dimension over samples."


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Law(Distribution):
    """Law of a random matrix made from a fixed one by free operations.

    Built by `marchenko_pastur`, `semicircle`, `sample_covariance` and their kin, or from any population as
    ``Law(spectrum)``, and continued by methods; immutable.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues of the fixed matrix; only their proportions count.

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.sample_covariance(fh.Spectrum([1, 3, 10]), ratio=0.1).shift(0.5)
    >>> law.support.round(4)
    array([[ 1.1016,  1.7878],
           [ 2.4533,  4.5575],
           [ 7.3779, 14.6552]])
    """

    spectrum: Spectrum
    kinds: NDArray[np.int64]
    numbers: Array
    points: Array
    _cache: dict[str, Any] | None

    def __init__(self, spectrum: Spectrum):
        self._fill(as_spectrum("spectrum", spectrum), (), np.empty((2, 0)))

    def _fill(self, spectrum: Spectrum, steps: tuple[Step, ...], points: Array) -> None:
        set_ = object.__setattr__
        set_(self, "spectrum", spectrum)
        set_(self, "kinds", freeze(np.array([[s.kind, s.gram] for s in steps], np.int64).reshape(-1, 2)))
        set_(self, "numbers", freeze(np.array([[s.a, s.b] for s in steps]).reshape(-1, 2)))
        set_(self, "points", freeze(points))
        set_(self, "_cache", None)

    @property
    def _steps(self) -> list[Step]:
        return [
            Step(int(k), float(a), float(b), bool(g))
            for (k, g), (a, b) in zip(self.kinds, self.numbers, strict=True)
        ]

    def _then(self, *steps: Step, replace: int = 0, points: Array | None = None) -> Law:
        law = object.__new__(Law)
        kept = self._steps[: len(self.kinds) - replace]
        law._fill(self.spectrum, (*kept, *steps), self.points if points is None else points)
        return law

    # ---------------------------------------------------------------------------------------- operations

    def scale(self, a: float) -> Law:
        """Law of ``a M``.

        Parameters
        ----------
        a : float
            > 0.

        Returns
        -------
        Law

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.semicircle().scale(2.0) == fh.semicircle().scale(4.0).scale(0.5)
        True
        """
        return self._affine(check.scalar("a", a, positive=True), 0.0)

    def shift(self, b: float) -> Law:
        """Law of ``M + b I``.

        Parameters
        ----------
        b : float
            Any real number.

        Returns
        -------
        Law

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.semicircle().shift(3.0).support
        array([[1., 5.]])
        """
        return self._affine(
            1.0, float(check.finite("b", check.real_array("b", b, ndim=0), "Shift by a number."))
        )

    def _affine(self, a: float, b: float) -> Law:
        last = self._steps[-1] if len(self.kinds) else None
        if last is not None and last.kind == AFFINE:
            a, b = a * last.a, a * last.b + b
            merged = () if (a, b) == (1.0, 0.0) else (Step(AFFINE, a, b),)
            return self._then(*merged, replace=1)
        return self if (a, b) == (1.0, 0.0) else self._then(Step(AFFINE, a, b))

    def sample_covariance(self, ratio: float) -> Law:
        """Law of the sample covariance of data with population M: ``M^1/2 Z Z' M^1/2/n``.

        The free multiplicative convolution with the Marchenko-Pastur law.

        Parameters
        ----------
        ratio : float
            Dimension over samples, > 0.

        Returns
        -------
        Law

        Raises
        ------
        ValueError
            If M is zero or indefinite.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.marchenko_pastur(0.5).sample_covariance(2.0)
        >>> law.atoms, round(law.mean(), 12)
        ([(0.0, 0.5)], 1.0)
        """
        c = check.scalar("ratio", ratio, positive=True, hint=_RATIO)
        self._check_positive("sample_covariance")
        return self._then(Step(SAMPLE, c))

    def multiply_inverse_wishart(self, ratio: float) -> Law:
        """Law of ``M^1/2 W^-1 M^1/2`` with a Wishart matrix ``W = Z Z'/n``, Z p x n.

        The free multiplicative convolution with the law of ``W^-1``.

        Parameters
        ----------
        ratio : float
            p/n, in (0, 1): W must be invertible.

        Returns
        -------
        Law

        Examples
        --------
        >>> import fasthde as fh
        >>> F = fh.marchenko_pastur(0.2).multiply_inverse_wishart(0.4)
        >>> round(F.mean(), 12)
        1.666666666667
        """
        c = check.scalar("ratio", ratio, positive=True, hint=_RATIO)
        if not c < 1:
            raise ValueError(f"ratio must be < 1, for W to be invertible; got {c}.")
        self._check_positive("multiply_inverse_wishart")
        return self._then(Step(INVERSE, c))

    def add_semicircle(self, variance: float) -> Law:
        """Law of ``M + sqrt(variance) GOE``: the free additive convolution with a semicircle.

        Parameters
        ----------
        variance : float
            > 0; the semicircle has radius ``2 sqrt(variance)``.

        Returns
        -------
        Law

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.Law(fh.Spectrum([1, 7])).add_semicircle(0.1)
        >>> len(law.support)
        2
        """
        return self._then(
            Step(
                SEMICIRCLE,
                check.scalar("variance", variance, positive=True, hint="Without noise, leave it out."),
            )
        )

    def add_wishart(self, ratio: float, variance: float = 1.0) -> Law:
        """Law of ``M + variance Z Z'/n``, Z p x n with iid entries.

        Parameters
        ----------
        ratio : float
            p/n, > 0.
        variance : float, optional
            > 0.

        Returns
        -------
        Law

        Examples
        --------
        >>> import fasthde as fh
        >>> round(fh.Law(fh.Spectrum([1, 2])).add_wishart(0.5).mean(), 12)
        2.5
        """
        return self.add_compound_poisson(ratio, [check.scalar("variance", variance, positive=True)])

    def add_compound_poisson(self, ratio: float, values: ArrayLike, weights: ArrayLike | None = None) -> Law:
        """Law of ``M + Z diag(tau) Z'/n``: the free additive convolution with a compound free Poisson law.

        Parameters
        ----------
        ratio : float
            p/n, > 0.
        values : array_like, shape (k,)
            Values of tau, of either sign.
        weights : array_like, shape (k,), optional
            Their proportions among the n columns; equal by default.

        Returns
        -------
        Law

        Notes
        -----
        ``z <- z + sum u tau/(1 + c tau m)`` (Marchenko & Pastur 1967; Silverstein & Bai 1995).

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.Law(fh.Spectrum([0.0])).add_compound_poisson(0.5, [1.0, 3.0])
        >>> round(law.mean(), 12)
        2.0
        """
        c = check.scalar("ratio", ratio, positive=True, hint=_RATIO)
        tau = np.atleast_1d(check.finite("values", check.real_array("values", values)))
        check.not_empty("values", tau)
        if tau.ndim != 1:
            raise ValueError(f"values must be one-dimensional; got shape {tau.shape}.")
        u = np.ones(tau.size) if weights is None else check.real_array("weights", weights)
        check.non_negative(
            "weights", check.same_length("weights", u, "values", tau.size), "Drop the value instead."
        )
        if not u.sum() > 0:
            raise ValueError("weights must not all be zero.")
        u = u / u.sum()
        keep = (tau != 0.0) & (u > 0.0)
        if not keep.any():
            return self
        start = self.points.shape[1]
        points = np.concatenate((self.points, [tau[keep], u[keep]]), axis=1)
        return self._then(Step(POISSON, c, float(start)), points=points)

    def corner(self, fraction: float) -> Law:
        """Law of the upper left corner of M in a random basis: the free compression.

        Parameters
        ----------
        fraction : float
            Dimension of the corner over that of M, in (0, 1].

        Returns
        -------
        Law

        Notes
        -----
        ``z <- z + (1 - q)/m, m <- m/q`` (Nica & Speicher 1996).

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.semicircle().corner(0.25).support.round(12)
        array([[-1.,  1.]])
        """
        q = check.scalar("fraction", fraction, positive=True)
        if q > 1:
            raise ValueError(f"fraction must be <= 1; got {q}. A corner is no larger than the matrix.")
        return self if q == 1 or self._point() is not None else self._then(Step(CORNER, q))

    def companion(self) -> Law:
        """Law of the n x n Gram matrix ``Z' M Z/n`` of the last sample covariance, in place of the p x p matrix.

        The dimension becomes n; later ratios are n over samples. Only scalings and shifts may lie in between.

        Returns
        -------
        Law

        Raises
        ------
        TypeError
            If the last operation, scalings and shifts aside, is not a sample covariance.

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.marchenko_pastur(0.25).companion().atoms
        [(0.0, 0.75)]
        """
        steps = self._steps
        at = len(steps) - 1
        while at >= 0 and steps[at].kind == AFFINE:
            at -= 1
        if at < 0 or steps[at].kind != SAMPLE:
            raise TypeError(
                "companion() must follow sample_covariance(), with scalings and shifts at most in between: "
                "only data have a Gram matrix. Call it before the other operations."
            )
        steps[at] = steps[at]._replace(gram=not steps[at].gram)
        return self._then(*steps, replace=len(steps))

    def simulate(self, p: int, *, rng: Any = None) -> Array:
        """Eigenvalues of one such matrix, drawn for real, to set beside the law.

        Parameters
        ----------
        p : int
            Dimension of the fixed matrix, at least its number of levels; the levels share it in their proportions.
        rng : int, SeedSequence or Generator, optional
            Seed.

        Returns
        -------
        ndarray
            Ascending; p of them, or as many as a companion or corner leaves.

        Raises
        ------
        ValueError
            If some operation is left without a sample, or the matrices would fill the memory.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.marchenko_pastur(0.5).add_semicircle(0.1)
        >>> x = law.simulate(400, rng=0)
        >>> bool(abs((x <= 1.0).mean() - law.cdf(1.0)) < 0.01)
        True
        """
        from fasthde import _simulate

        size = check.integer("p", p, 1)
        return _simulate.eigenvalues(
            self.spectrum, self._steps, self.points, size, np.random.default_rng(rng)
        )

    def _point(self) -> float | None:
        """Where the law is a point mass."""
        if not len(self.kinds):
            values = self.spectrum.values[self.spectrum.multiplicity > 0]
            return float(values[0]) if (values == values[0]).all() else None
        atoms = self._chain.atoms
        return atoms[0][0] if len(atoms) == 1 and atoms[0][1] == 1.0 else None

    # ------------------------------------------------------------------------------------------- matrices

    def equivalent(self, z: ArrayLike, *, side: str | None = None) -> Equivalent:
        """Deterministic equivalent of the resolvent, ``factor (C - omega)^-1``, for the whole chain.

        Parameters
        ----------
        z : array_like
            Complex numbers, or real ones off the spectrum.
        side : {"+", "-"}, optional
            On the support, the limit from the upper or the lower half-plane; NaN without it.

        Returns
        -------
        Equivalent

        Raises
        ------
        TypeError
            After `companion` or `corner`, where the eigenvectors of C are lost.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.sample_covariance(fh.Spectrum([1, 3]), 0.5)
        >>> q = law.equivalent(-1.0)
        >>> bool(abs(q.diagonal([1, 3]).mean() - law.stieltjes(-1.0)) < 1e-15)
        True
        """
        from fasthde.equivalents import equivalent

        return equivalent(self, z, side=side)

    def spike(self, value: ArrayLike) -> Spike:
        """Where an eigenvalue of C outside the population's spectrum sends the matrix's, and the alignment.

        Parameters
        ----------
        value : array_like
            Spiked eigenvalues of C itself (not of C - I).

        Returns
        -------
        Spike

        Examples
        --------
        >>> import fasthde as fh
        >>> spike = fh.marchenko_pastur(0.5).spike(3.5)
        >>> round(spike.location, 12), round(spike.alignment, 12)
        (4.2, 0.766666666667)
        """
        from fasthde.spikes import spike_law

        return spike_law(self, value)

    def _check_positive(self, name: str) -> None:
        """A population of data must be positive semidefinite and not zero."""
        if self._point() == 0.0:
            raise ValueError(f"{name} needs a population that is not zero; all eigenvalues are 0.")
        points = self.points[0]
        risky = any(s.kind == SEMICIRCLE or (s.kind == AFFINE and s.b < 0.0) for s in self._steps) or bool(
            (points < 0.0).any()
        )
        if risky:
            low, high = self._hull()
            if low < -1e-12 * max(abs(low), abs(high)):
                raise ValueError(
                    f"{name} needs a positive semidefinite population; the law's spectrum starts at {low:.6g}. "
                    "Shift it first."
                )

    # ------------------------------------------------------------------------------------------- prepared

    @property
    def _chain(self) -> Chain:
        return self._memo("chain", lambda: Chain(self.spectrum, self._steps, self.points))  # type: ignore[no-any-return]

    @property
    def _outside(self) -> Outside:
        return self._memo("outside", lambda: outside(self._chain))  # type: ignore[no-any-return]

    @property
    def _closed(self) -> _closed.Closed | None:
        return self._memo("closed", lambda: _closed.find(self._chain, self._steps))  # type: ignore[no-any-return]

    @property
    def support(self) -> Array:
        """Intervals of the continuous part, shape (k, 2), ascending, to machine precision.

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.marchenko_pastur(0.25).support
        array([[0.25, 2.25]])
        """
        return self._memo("support", self._find_support)  # type: ignore[no-any-return]

    def _find_support(self) -> Array:
        closed = self._closed
        return freeze(self._outside.edges.reshape(-1, 2) if closed is None else closed.support())  # type: ignore[no-any-return]

    @property
    def atoms(self) -> list[tuple[float, float]]:
        """Point masses as (location, mass), ascending, with their exact mass.

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.marchenko_pastur(4.0).shift(1.0).atoms
        [(1.0, 0.75)]
        """
        return list(self._chain.atoms)

    @property
    def _powers(self) -> Array:
        return np.where(self._hard, self._outside.hard.reshape(-1, 2) + 1.0, 2.0)

    @property
    def _hard(self) -> NDArray[np.bool_]:
        return np.asarray(self._outside.hard.reshape(-1, 2) > 0)

    def _reach(self) -> float:
        low, high = self._hull()
        return max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-300)

    def _make_series(self) -> Series:
        """Series of the law before its last shift and scaling, moved: a hard edge then sits at 0 exactly."""
        outside_ = self._outside
        halves = outside_.edges.size
        chain = self._chain
        law = chain.base
        edges = outside_.base
        series = Series(edges, self._powers.ravel(), self._hard.ravel())
        if not halves:
            return series
        state = np.empty((7, halves))
        kernels.state_rows(law, law[0].size, outside_.s, state)
        bend = np.abs(state[2])
        for i in np.flatnonzero(outside_.hard):  # z ~ bend |s|**q: from a point near the edge
            eps = 1e-5 * max(abs(outside_.s[i]), float(chain.t.min(initial=chain.unit)))
            near = np.empty((7, 1))
            side = np.array([outside_.s[i] + (eps if i % 2 else -eps)])
            kernels.state_rows(law, law[0].size, side, near)
            bend[i] = max(abs(near[0, 0] - edges[i]), 1e-300) / eps ** (outside_.hard[i] + 1)
        reach = np.array([max(float(edges[-1] - edges[0]), 1e-3 * float(np.abs(edges).max()))])
        owner = np.zeros(halves, np.int64)
        series, lost = follow(series, chain.pack, owner, reach, outside_.s, bend)
        if lost.any():
            raise ArithmeticError(
                "the density could not be followed across the support; please report this law."
            )
        rest = 1.0 - math.fsum(m for _, m in chain.atoms)
        return series.checked(rest).moved(chain.scale, chain.offset)

    # -------------------------------------------------------------------------------------------- solving

    def pdf_near_edge(self, k: int, offset: ArrayLike) -> Any:
        """Density at a distance from an edge, with full relative precision.

        ``pdf(edge + offset)`` knows x only to its own rounding, which near an edge can be all there is.

        Parameters
        ----------
        k : int
            Number of the edge in ``support.ravel()``.
        offset : array_like
            Distance from the edge into the support, >= 0 (to the right of a left edge, to the left of a right one).

        Returns
        -------
        float or ndarray
            In the shape of offset; NaN where it is negative or leaves the interval.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.marchenko_pastur(0.25)
        >>> a = law.pdf_near_edge(0, 1e-20)
        >>> round(a/(2**0.5*1e-10/(2*3.141592653589793*0.25*0.25)), 12)
        1.0
        """
        edges = self._outside.edges
        index = check.integer("k", k, 0)
        if index >= edges.size:
            raise ValueError(f"k must be below {edges.size}, the number of edges; got {index}.")
        distance = check.real_array("offset", offset)
        flat = distance.ravel()
        base = self._outside.base
        chain = self._chain
        scale, law = chain.scale, chain.base
        sign = 1.0 if index % 2 == 0 else -1.0
        width = float(base[index | 1] - base[index & ~1])
        delta = flat / scale
        out = np.full(flat.size, np.nan)
        inside = (delta > 0.0) & (delta < width)
        hard = bool(self._hard.ravel()[index])
        if not hard:
            plain = (*law[:4], chain.t, chain.w, law[7])
            out[inside] = _taylor.near_edge(plain, float(self._outside.s[index]), sign, delta[inside])
        rest = inside & np.isnan(out)
        if rest.any():
            x = base[index] + sign * delta[rest]
            m, slope = self._solve_at(x)
            out[rest] = (m.imag + slope.imag * (sign * delta[rest] - (x - base[index]))) / np.pi
        out[delta == 0.0] = np.inf if hard else 0.0
        return _out((out / scale).reshape(distance.shape))

    def _solve_at(self, x: Array) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values and slopes of the transform on the real axis, before a last shift and scaling."""
        out, _, _ = self._rows(x.astype(np.complex128))
        return out[0], out[3]

    def _pdf(self, x: Array) -> Array:
        closed = self._closed
        return Distribution._pdf(self, x) if closed is None else closed.density(x)

    def _rows(self, z: NDArray[np.complex128]) -> tuple[NDArray[Any], Any, Any]:
        """Rows m, s, residual, dm/dz of the law before a last shift and scaling; status and count."""
        z = np.ascontiguousarray(z)
        out = np.empty((4, z.size), np.complex128)
        status, count = np.empty(z.size, np.int64), np.empty(z.size, np.int64)
        chain = self._chain
        reach = np.array([self._reach() / chain.scale])
        work = 30.0 * z.size * (min(chain.law[4].size, 2000) + 10)
        args = (z, np.zeros(z.size, np.int64), reach, chain.pack, out, status, count)
        _jit.map_rows(kernels.transform_rows, None, z.size, work, None, *args)
        return out, status, count

    def _solve(self, z: NDArray[np.complex128]) -> tuple[NDArray[Any], NDArray[Any], Array, Any, Any]:
        """m, s, residual, status and count in the closed upper half-plane."""
        chain = self._chain
        out, status, count = self._rows((z - chain.offset) / chain.scale)
        return out[0] / chain.scale, out[1], out[2].real, status, count

    def _solve_real(self, x: Array) -> tuple[Array, Array, Array, Any, Any]:
        """The same at real points off the spectrum."""
        found, chain = self._outside, self._chain
        component = (np.searchsorted(found.edges, x) // 2).astype(np.int64)
        x = np.ascontiguousarray((x - chain.offset) / chain.scale)
        out = np.empty((3, x.size))
        status, count = np.empty(x.size, np.int64), np.empty(x.size, np.int64)
        owner = np.zeros(x.size, np.int64)
        args = (x, owner, component, found.lows, found.highs, chain.pack, out, status, count)
        work = 10.0 * x.size * (min(chain.law[4].size, 2000) + 10)
        _jit.map_rows(kernels.real_rows, None, x.size, work, None, *args)
        return out[0] / chain.scale, out[1], out[2], status, count

    def _transform(self, z: NDArray[np.complex128]) -> Solved:
        closed = self._closed
        if closed is not None:
            m = closed.transform(z)
            return m, None, np.zeros(z.size), np.zeros(z.size, np.int64)  # type: ignore[return-value]
        return self._solve(z)  # type: ignore[return-value]

    def _real_transform(self, x: Array) -> Solved:
        closed = self._closed
        if closed is not None:
            m = closed.transform(x.astype(np.complex128)).real
            return m, None, np.zeros(x.size), np.zeros(x.size, np.int64)  # type: ignore[return-value]
        return self._solve_real(x)  # type: ignore[return-value]

    def __repr__(self) -> str:
        H = self.spectrum
        text = f"{H.values.size} level{'s' * (H.values.size > 1)}"
        if H.values.size == 1:
            text = f"{H.values[0]:g}"
        parts = [f"Law({text})"]
        steps = self._steps
        for s in steps:
            if s.kind == SAMPLE:
                parts.append(f"sample_covariance({s.a:g})" + (".companion()" if s.gram else ""))
            elif s.kind == AFFINE:
                parts += [f"scale({s.a:g})"] * (s.a != 1.0) + [f"shift({s.b:g})"] * (s.b != 0.0)
            elif s.kind == SEMICIRCLE:
                parts.append(f"add_semicircle({s.a:g})")
            elif s.kind == POISSON:
                tau = self.points[0, points_of(s, steps, self.points.shape[1])]
                parts.append(
                    f"add_compound_poisson({s.a:g}, ...)"
                    if tau.size > 1
                    else f"add_wishart({s.a:g}, {tau[0]:g})"
                )
            elif s.kind == INVERSE:
                parts.append(f"multiply_inverse_wishart({s.a:g})")
            else:
                parts.append(f"corner({s.a:g})")
        return ".".join(parts)

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> Self:
        spectrum = Spectrum._from_flat(
            {n.removeprefix("spectrum."): v for n, v in flat.items() if n.startswith("spectrum.")}
        )
        rest = {n: v for n, v in flat.items() if not n.startswith("spectrum.")}
        return cls._from_fields({"spectrum": spectrum, **rest})


# ------------------------------------------------------------------------------------------------ constructors


def marchenko_pastur(ratio: float) -> Law:
    """Marchenko-Pastur law: eigenvalues of ``Z Z'/n`` for Z p x n with iid entries of variance 1.

    Parameters
    ----------
    ratio : float
        p/n, > 0.

    Returns
    -------
    Law

    Notes
    -----
    ``c z m**2 - (1 - c - z) m + 1 = 0``, edges ``(1 -+ sqrt(c))**2`` (Marchenko & Pastur 1967).

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.marchenko_pastur(0.25).support
    array([[0.25, 2.25]])
    """
    return sample_covariance(Spectrum([1.0]), ratio)


def semicircle(variance: float = 1.0) -> Law:
    """Wigner's semicircle law, of radius ``2 sqrt(variance)``.

    Parameters
    ----------
    variance : float, optional
        > 0.

    Returns
    -------
    Law

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.semicircle().support
    array([[-2.,  2.]])
    """
    return Law(Spectrum([0.0])).add_semicircle(variance)


def sample_covariance(spectrum: Spectrum, ratio: float) -> Law:
    """Generalised Marchenko-Pastur law: eigenvalues of ``C^1/2 Z Z' C^1/2/n``.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues of the population covariance C.
    ratio : float
        p/n, > 0.

    Returns
    -------
    Law

    Notes
    -----
    With s the subordination point, ``z = s (1 - c sum w t/(t - s))`` and ``m = g(s) s/z`` (Silverstein 1995).

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.sample_covariance(fh.Spectrum([1, 3, 7]), ratio=0.1)
    >>> law.support.round(6)
    array([[0.600418, 1.285018],
           [1.936307, 3.999019],
           [4.928488, 9.984083]])
    """
    return Law(as_spectrum("spectrum", spectrum)).sample_covariance(ratio)


def wachter(ratio1: float, ratio2: float) -> Law:
    """Wachter's law of an F matrix, ``W2^-1 W1`` of two independent Wishart matrices ``Z Z'/n``.

    Parameters
    ----------
    ratio1 : float
        p/n1, > 0.
    ratio2 : float
        p/n2, in (0, 1).

    Returns
    -------
    Law

    See Also
    --------
    manova : the law of ``S1 (S1 + S2)^-1`` with ``S = Z Z'``.

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.wachter(0.2, 0.4).support.round(6)
    array([[0.216054, 8.22839 ]])
    """
    return marchenko_pastur(ratio1).multiply_inverse_wishart(ratio2)


def manova(ratio1: float, ratio2: float) -> Law:
    """Law of the Jacobi (MANOVA, beta) ensemble, ``S1 (S1 + S2)^-1`` with ``S = Z Z'``.

    Parameters
    ----------
    ratio1, ratio2 : float
        p/n1 and p/n2, > 0, with n1 + n2 >= p.

    Returns
    -------
    Law

    Notes
    -----
    The corner of size p of a random projection of rank n1 in dimension n1 + n2 (Collins 2005).

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.manova(0.5, 0.5)
    >>> round(law.mean(), 12)
    0.5
    """
    c1 = check.scalar("ratio1", ratio1, positive=True, hint=_RATIO)
    c2 = check.scalar("ratio2", ratio2, positive=True, hint=_RATIO)
    fraction = c1 * c2 / (c1 + c2)
    if fraction > 1:
        raise ValueError(
            f"ratio1 and ratio2 must leave n1 + n2 >= p, for S1 + S2 to be invertible; got {c1} and {c2}."
        )
    return Law(Spectrum([1.0, 0.0], weights=[c2, c1])).corner(fraction)


def _warmup() -> None:
    """Run each kernel once with the types that calls use."""
    from fasthde._batch import batch

    law = marchenko_pastur(2.0).add_wishart(0.5).sample_covariance(0.5)
    law.ppf(0.5), law.cdf(1.0), law.pdf(1.0), law.stieltjes(-1.0), law.stieltjes(1.0j)
    laws = batch(Spectrum([1.0, 3.0]), [0.5])
    laws.pdf([1.0]), laws.stieltjes([-1.0, 1j])
