"""Functionals of a spectrum: sums over eigenvalues and eigenvectors, and their Gaussian fluctuations."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _series
from fasthde import _validate as check
from fasthde._distribution import Distribution
from fasthde._kernels.chain import AFFINE, INVERSE, POISSON, SAMPLE, SEMICIRCLE
from fasthde._results import Record, Status, freeze
from fasthde.equivalents import _check_law, equivalent
from fasthde.laws import Law, sample_covariance
from fasthde.spectrum import Spectrum
from fasthde.spikes import spike_law

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Numbers = NDArray[Any]  # float64 or complex128
Function = Callable[[Numbers], Any]
Functions = Function | Sequence[Function]

_EPS = float(np.finfo(float).eps)

#: Contours tried, as fractions of the widest one: a function that grows off the axis needs a tight one.
_FRACTIONS = (0.5, 0.25, 0.125, 0.0625, 0.03125)

#: Largest number of nodes on the upper half of a contour.
_NODES = 2048

#: A real-axis integral whose relative error is larger cannot check a contour.
_KNOWN = 1e-4

#: How the reason begins for a function that fails at complex arguments.
_RAISED = "it raised"

#: Parts of the spectrum beyond which a function counts as too rough to be followed.
_MANY = 5000

#: Entries of a block of points times levels, or of nodes times nodes.
_BLOCK = 1 << 18


# ------------------------------------------------------------------------------------------------- results


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Functional(Record):
    """Value of a spectral functional.

    Fields but ``fraction``, ``method`` and ``nodes`` are arrays, one entry for each function, where several
    were given.

    Attributes
    ----------
    value : float, complex or ndarray
        The functional.
    error : float or ndarray
        Estimated absolute error.
    fraction : float
        Proportion of the eigenvalues in the domain, ``|I|/p``.
    checked : bool or ndarray
        Whether the contour and the real axis give the same value.
    status : int or ndarray
        `Status` code: NOT_CONVERGED where the error exceeds rtol times the integral of ``|f|``; DIVERGES where f is
        infinite at a point mass.
    method : str
        ``"real"`` or ``"contour"``: where the value comes from.
    nodes : int
        Points at which the law was evaluated.
    """

    value: Any
    error: Any
    fraction: Any
    checked: Any
    status: Any
    method: str
    nodes: int

    @property
    def success(self) -> Any:
        """Whether each value is good to the tolerance asked for."""
        good = np.asarray(self.status) == Status.CONVERGED
        return bool(good) if good.ndim == 0 else good

    @property
    def average(self) -> Any:
        """The trace form as a mean over the eigenvalues of the domain, ``(1/|I|) sum f``: value/fraction."""
        return self.value / self.fraction

    def __repr__(self) -> str:
        names = ", ".join(Status(s).name for s in np.unique(self.status))
        return f"Functional(value={self.value}, error={_short(self.error)}, {self.method}, {self.nodes} nodes, {names})"


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class LinearStatistic(Record):
    """Gaussian limit of linear statistics ``sum f(lambda_i)`` of a sample covariance matrix.

    Numbers for one function; for k functions arrays of shape (k,), and (k, k) for ``covariance``.

    Attributes
    ----------
    mean : float or ndarray
        ``p int f dF + correction``.
    correction : float or ndarray
        The mean's part of order 1.
    covariance : float or ndarray
        Covariance of the statistics; of one, its variance.
    mean_error, correction_error, covariance_error : float or ndarray
        Estimated absolute errors.
    status : int or ndarray
        `Status` code of each function: NOT_CONVERGED where an error exceeds the tolerance; DIVERGES where f is
        infinite at the zero eigenvalues (the mean is infinite, the other fields hold).
    nodes : int
        Points at which the law was evaluated.
    """

    mean: Any
    correction: Any
    covariance: Any
    mean_error: Any
    correction_error: Any
    covariance_error: Any
    status: Any
    nodes: int

    @property
    def success(self) -> Any:
        """Whether each function's numbers are good to the tolerance asked for."""
        good = np.asarray(self.status) == Status.CONVERGED
        return bool(good) if good.ndim == 0 else good

    @property
    def variance(self) -> Any:
        """Variance of each statistic."""
        return self.covariance if np.ndim(self.covariance) == 0 else np.diag(self.covariance)

    @property
    def std(self) -> Any:
        """Standard deviation of each statistic."""
        return np.sqrt(self.variance)

    def __repr__(self) -> str:
        names = ", ".join(Status(s).name for s in np.unique(self.status))
        return f"LinearStatistic(mean={self.mean}, correction={self.correction}, variance={self.variance}, {names})"


def _short(value: Any) -> str:
    return np.array2string(np.asarray(value), precision=1)


# ---------------------------------------------------------------------------------------------- functionals


def functional(
    law: Distribution,
    f: Functions,
    *,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    overlap: ArrayLike | None = None,
    spikes: ArrayLike | None = None,
    domain: tuple[float, float] | None = None,
    singularities: ArrayLike | None = None,
    method: str = "auto",
    rtol: float = 1e-12,
) -> Functional:
    r"""Scalar eigenspectral functional: a sum of ``f(lambda_i)`` over eigenvalues, or with eigenvectors.

    Without a, b and overlap the trace form, ``(1/p) sum_i f(lambda_i)`` in the limit; with them the bilinear form
    ``sum_i f(lambda_i) (a' u_i)(u_i' b)``; both over the eigenvalues in the domain.

    Parameters
    ----------
    law : Law or other Distribution
        Any law for the trace form; a chain without companion() and corner() for the bilinear form and for spikes.
    f : callable, or sequence of callables
        Vectorised functions, real or complex; several share all nodes. Smooth on the spectrum, or integrable
        with singularities. For contours also defined at complex arguments and analytic.
    a, b : array_like, shape (levels + spikes,), optional
        Coefficients on eigenvectors of C, one unit vector for each level in the order of
        ``law.spectrum.values``, then one for each spike; b is a by default.
    overlap : array_like, shape (levels + spikes,), optional
        Instead of a and b: the sum of ``a_i b_i`` over each eigenspace (their projections' inner product).
    spikes : array_like, optional
        Further eigenvalues of C, of multiplicity 1 each, outside the law's spectrum (a repeated one counts again).
        In the bilinear form they are directions for a and b. In the trace form r of the p eigenvalues of C are
        the spikes, and the other p - r follow the law's spectrum; isolated eigenvalues count ``f/p`` each, and
        the displacement of the bulk, of the same order, is included.
    domain : (low, high), optional
        Only eigenvalues between; ends off the spectrum, -inf and inf allowed.
    singularities : array_like, optional
        Points of the complex plane where f is not analytic: contours pass between them and the spectrum. 0 is
        always left out where the spectrum in the domain lies on one side of it.
    method : {"auto", "real", "contour"}, optional
        Integrate on the real axis; on contours around the spectrum; or ("auto") on the real axis with contours as
        a check wherever f is analytic (``checked`` tells).
    rtol : float, optional
        Tolerance, relative to the integral of ``|f|``.

    Returns
    -------
    Functional
        ``value``, ``error``, ``fraction``, ``checked``, ``status``, ``method``, ``nodes``.

    Raises
    ------
    TypeError
        For arguments of the wrong kind, a bilinear form of a law that is no chain, or spikes in the trace form of a
        law whose spectrum has no dimension.
    ValueError
        If the domain ends on the spectrum, if f is not finite on it, or, for ``method="contour"``, if f has a pole,
        a branch cut or a kink inside every contour tried.

    Notes
    -----
    .. math:: \sum_{i \in I} f(\lambda_i)\, a^\top u_i u_i^\top b
        = -\frac{1}{2\pi i} \oint_\Gamma f(z)\, a^\top Q(z) b\, dz,
        \qquad Q \leftrightarrow \phi\,(C - s)^{-1}

    (arXiv 2506.13139, Definition 4). Real axis: the law's own quadrature, halved until it agrees with itself, with
    :math:`\mathrm{Im}\, a^\top \bar Q b/\pi` as density. Contours: ellipses in
    :math:`\log((z - l)/(r - z))`, l and r the nearest obstacles on either side, and the trapezoidal rule, which
    converges geometrically (Trefethen & Weideman 2014), with nodes doubled and kept. A spike :math:`\ell` that detaches
    is a pole at :math:`z_L(\ell)` with residue :math:`\phi(\ell) z_L'(\ell)`; r spikes among p eigenvalues move the
    normalised trace by :math:`p^{-1} s'(z) [\sum_\ell (\ell - s)^{-1} - r\, g(s)]`.

    Examples
    --------
    >>> import fasthde as fh, numpy as np
    >>> from fasthde.functionals import functional
    >>> law = fh.marchenko_pastur(0.5)
    >>> r = functional(law, np.log)
    >>> round(r.value, 12), r.checked  # log(2) - 1
    (-0.30685281944, True)

    The square of a sample covariance between eigenvectors of C, ``t**2 + c (mean t) t``:

    >>> H = fh.Spectrum([1.0, 3.0])
    >>> r = functional(fh.sample_covariance(H, 0.5), lambda x: x**2, a=[1.0, 1.0])
    >>> round(r.value, 10)
    14.0
    """
    law = _distribution(law)
    fs = _functions(f)
    tolerance = check.scalar("rtol", rtol, positive=True)
    if method not in ("auto", "real", "contour"):
        raise ValueError(f'method must be "auto", "real" or "contour"; got {method!r}.')
    target = _target(law, a, b, overlap, spikes)
    window = _domain(domain, target)
    points = _singular_points(singularities, window, target)
    axis = _on_axis(target, fs, window, tolerance)
    value, error, nodes = axis.value, axis.error, axis.nodes
    checked = np.zeros(len(fs), bool)
    if method != "real":
        ring = _compare(_Task(target, fs, window, points, tolerance), axis, improve=method == "contour")
        checked, nodes = ring.good, nodes + ring.nodes
        if method == "contour":
            _refuse(fs, ring, axis)
            value, error = ring.value, ring.error
        else:  # two routes bound each other's errors
            error = np.where(checked, np.minimum(error, np.abs(value - ring.value) + ring.error), error)
    return Functional(
        value=_field(f, value),
        error=_field(f, error),
        fraction=axis.fraction,
        checked=_field(f, checked),
        status=_status(f, error <= tolerance * axis.scale, axis.value),
        method="contour" if method == "contour" else "real",
        nodes=nodes,
    )


def _field(f: Any, values: Numbers) -> Any:
    """One number for a single function, an array for several; the constant 1 in front is left out."""
    return values[1].item() if callable(f) else freeze(values[1:].copy())


def _status(f: Any, good: NDArray[np.bool_], total: Numbers) -> Any:
    status = np.where(good, Status.CONVERGED, Status.NOT_CONVERGED)
    status[np.isinf(total)] = Status.DIVERGES
    return Status(status[1]) if callable(f) else _field(f, status)


# ------------------------------------------------------------------------------------------------ arguments


class _Named(NamedTuple):
    """A function and what to call it in messages."""

    name: str
    f: Function


def _distribution(law: Any) -> Distribution:
    if not isinstance(law, Distribution):
        raise TypeError(
            f"law must be a Law or another distribution of this package; got {type(law).__name__}. "
            "Build one with fh.sample_covariance(H, ratio) and its kin."
        )
    return law


def _functions(f: Any) -> list[_Named]:
    """The functions, behind the constant 1 that counts eigenvalues and checks the contours."""
    one = _Named("1", np.ones_like)
    if callable(f):
        return [one, _Named("f", f)]
    if not isinstance(f, Sequence) or not f or not all(callable(g) for g in f):
        raise TypeError(
            f"f must be a vectorised function or a non-empty list of them; got {type(f).__name__}. "
            "Use NumPy functions, as in lambda x: np.log(x)."
        )
    return [one, *(_Named(f"f[{i}]", g) for i, g in enumerate(f))]


def _values(fs: Sequence[_Named], x: Numbers) -> Numbers:
    """f(x) of each function, shape (functions, points)."""
    rows = []
    with np.errstate(all="ignore"):
        for name, f in fs:
            row = np.asarray(f(x))
            if row.shape != x.shape:
                raise ValueError(
                    f"{name} must be vectorised: {name}(x) of shape {x.shape} came out as {row.shape}. "
                    "Use NumPy functions."
                )
            if row.dtype.kind not in "biufc":
                raise TypeError(f"{name} must return numbers; got dtype {row.dtype}. Use NumPy functions.")
            rows.append(row)
    return np.array(rows)


def _finite_values(fs: Sequence[_Named], x: Array) -> Numbers:
    """The same on the continuous spectrum, where all must be finite."""
    values = _values(fs, x)
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{fs[i].name} must be finite on the spectrum; {fs[i].name}({x[j]:.6g}) = {values[i, j]}. "
            "Leave that part out with domain=, or change the function there."
        )
    return values


class _Task(NamedTuple):
    """What a contour integral needs to know."""

    target: _Target
    fs: Sequence[_Named]
    window: tuple[float, float]
    points: Complex  # singular points of the functions, Im >= 0
    rtol: float


class _Target(NamedTuple):
    """What f is integrated against: a transform, its density over the law's, and its point masses."""

    law: Distribution
    transform: Callable[[Complex], Complex]  # in the closed upper half-plane, off the spectrum
    ratio: Callable[[Array], Array] | None  # on the support
    where: Array
    mass: Array
    steep: bool = False  # the ratio is infinite at the edges


def _target(law: Distribution, a: Any, b: Any, overlap: Any, spikes: Any) -> _Target:
    bilinear = a is not None or overlap is not None
    if b is not None and a is None:
        raise TypeError("b goes with a; got b alone. Pass a as well, or their products as overlap.")
    extra = np.empty(0)
    if spikes is not None:
        extra = np.atleast_1d(check.finite("spikes", check.real_array("spikes", spikes)))
        if extra.ndim != 1:
            raise ValueError(f"spikes must be one-dimensional; got shape {extra.shape}.")
    if not bilinear and not extra.size:
        where = law.atoms
        return _Target(
            law, law.stieltjes, None, np.array([x for x, _ in where]), np.array([m for _, m in where])
        )
    _check_law(law, "a bilinear form" if bilinear else "spikes")
    assert isinstance(law, Law)
    if bilinear:
        values = np.concatenate((law.spectrum.values, extra))
        return _bilinear(law, values, _overlap(values.size, a, b, overlap))
    return _spiked(law, extra)


def _overlap(size: int, a: Any, b: Any, overlap: Any) -> Array:
    if overlap is not None and a is not None:
        raise TypeError("give a and b, or overlap, not both: overlap holds the products a_i b_i.")
    given = {"overlap": overlap} if overlap is not None else {"a": a, "b": a if b is None else b}
    product = np.ones(size)
    for name, value in given.items():
        array = check.same_length(name, check.real_array(name, value), "levels and spikes", size)
        product = product * check.finite(name, array)
    return product


def _domain(domain: Any, target: _Target) -> tuple[float, float]:
    if domain is None:
        return -np.inf, np.inf
    ends = check.real_array("domain", domain)
    if ends.shape != (2,) or not ends[0] < ends[1]:
        raise ValueError(f"domain must be (low, high) with low < high; got {domain!r}.")
    for end in ends:
        for low, high in (*target.law.support, *zip(target.where, target.where, strict=True)):
            if low <= end <= high:
                part = (
                    f"the interval [{low:.6g}, {high:.6g}]" if low < high else f"the isolated point {low:.6g}"
                )
                raise ValueError(
                    f"domain must end off the spectrum; {end:.6g} lies in {part} of it. "
                    "Choose ends in the gaps of law.support, or -inf and inf."
                )
    return float(ends[0]), float(ends[1])


def _singular_points(singularities: Any, window: tuple[float, float], target: _Target) -> Complex:
    """Singular points of f in the upper half-plane (a mirror image obstructs as much)."""
    if singularities is None:
        return np.empty(0, np.complex128)
    raw = np.atleast_1d(np.asarray(singularities))
    if raw.ndim != 1 or raw.dtype.kind not in "biufc" or np.isnan(raw).any():
        raise ValueError(
            f"singularities must be a list of real or complex numbers; got {singularities!r}. "
            "For a branch cut give the points where it comes nearest to the spectrum."
        )
    points = raw.astype(np.complex128)
    points = points.real + 1j * np.abs(points.imag)
    for low, high in _spectrum(target, window)[0]:
        bad = (points.imag == 0.0) & (points.real >= low) & (points.real <= high)
        if bad.any():
            raise ValueError(
                f"singularities must lie off the spectrum; {points[bad][0].real:.6g} lies in [{low:.6g}, {high:.6g}]. "
                'Leave it out and use method="real".'
            )
    return np.asarray(points)


# -------------------------------------------------------------------------------------- forms and spikes


def _sum(values: Array, weights: Array, s: Complex, power: int = 1) -> Complex:
    """Sums of weights/(values - s)**power at each s; weights of shape (levels,) or (levels, columns)."""
    out = np.empty((s.size, *weights.shape[1:]), np.complex128)
    step = max(1, _BLOCK // max(values.size, 1))
    for i in range(0, s.size, step):
        part = s[i : i + step, None]
        gap = values - part.real  # in real arithmetic: five times faster
        scale = 1.0 / (gap * gap + part.imag**2)
        a, b = gap * scale, part.imag * scale
        if power == 1:
            x, y = a, b
        elif power == 2:
            x, y = a * a - b * b, 2.0 * a * b
        else:
            x, y = a * (a * a - 3.0 * b * b), b * (3.0 * a * a - b * b)
        out[i : i + step] = x @ weights + 1j * (y @ weights)
    return out


class _Form(NamedTuple):
    """A form of the resolvent: its transform, and its isolated poles beside the law's atoms."""

    transform: Callable[[Complex], Complex]
    where: Array
    mass: Array
    size: float  # total mass in absolute value


def _bilinear(law: Law, values: Array, overlap: Array) -> _Target:
    """``a' Q b`` of the deterministic equivalent, with the isolated eigenvalues of spikes."""
    H = law.spectrum
    spiked = ~np.isin(values, H.values[H.multiplicity > 0.0])  # nothing else detaches
    own = np.zeros(values.size)
    own[: H.values.size] = H.multiplicity / H.multiplicity.sum()
    both = np.stack((own, overlap), axis=1)

    def form(part: Law) -> _Form:
        def transform(z: Complex) -> Complex:
            Q = equivalent(part, z)
            return np.asarray(Q.factor * _sum(values, overlap, Q.omega))

        found = spike_law(part, values[spiked])
        out = np.asarray(found.detached)
        mass = (found.alignment * overlap[spiked])[out]
        return _Form(transform, found.location[out], mass, float(np.abs(overlap).sum()))

    def ratio(x: Array) -> Array:
        m, s = law._solve(x.astype(np.complex128))[:2]
        trace, bilinear = _sum(values, both, s).T
        return np.asarray((m * bilinear / trace).imag / m.imag)

    return _collect(law, form, ratio)


def _spiked(law: Law, spikes: Array) -> _Target:
    """Normalised trace where r of the p eigenvalues of C are spikes, to first order in 1/p."""
    H = law.spectrum
    if H.is_measure:
        raise TypeError(
            "spikes in the trace form count 1/p each, and the law's spectrum is a measure without dimension; "
            "build it with multiplicity=."
        )
    touched = [x for x, _ in law.atoms if np.isin(x, law.support)]
    if touched:
        raise ValueError(
            "spikes in the trace form need atoms apart from the support; this law's support reaches the atom at "
            f"{touched[0]:g}. Put the spikes into the law's spectrum."
        )
    p, count = H.dimension, spikes.size
    values = np.concatenate((spikes, H.values))
    weights = np.concatenate((np.ones(count), -count * H.multiplicity / p)) / p

    def moved(s: Complex) -> Complex:
        return np.asarray(_sum(values, weights, s) / _slope(law, s))

    def form(_: Law) -> _Form:
        def transform(z: Complex) -> Complex:
            Q = equivalent(law, z)
            return np.asarray(Q.stieltjes + moved(Q.omega))

        found = spike_law(law, spikes)
        where = found.location[np.asarray(found.detached)]
        return _Form(transform, where, np.full(where.size, 1.0 / p), 1.0)

    def ratio(x: Array) -> Array:
        Q = equivalent(law, x, side="+")
        return np.asarray(1.0 + moved(Q.omega).imag / Q.stieltjes.imag)

    return _collect(law, form, ratio)._replace(steep=True)


def _collect(law: Law, form: Callable[[Law], _Form], ratio: Callable[[Array], Array]) -> _Target:
    own = form(law)
    atoms = np.array([x for x, _ in law.atoms])
    mass = np.array([_residue(law, float(x), form) for x in atoms])
    mass[np.abs(mass) < 1e-14 * np.abs(mass).max(initial=own.size)] = 0.0
    return _Target(
        law, own.transform, ratio, np.concatenate((atoms, own.where)), np.concatenate((mass, own.mass))
    )


def _residue(law: Law, x: float, form: Callable[[Law], _Form]) -> float:
    """Mass of a form at an atom of the law, by the trapezoidal rule on a circle around it.

    Where the support reaches the atom (a hard edge), in the law before the step that made it so: such steps
    keep the mass at 0. A last shift and scaling only move it.
    """
    here = form(law)
    others = np.concatenate(
        (law.support.ravel(), [y for y, _ in law.atoms if y != x], here.where[here.where != x])
    )
    gap = float(np.abs(others - x).min(initial=np.inf))
    last = law._steps[-1] if len(law.kinds) else None
    if last is not None and last.kind == AFFINE:
        before = law._then(replace=1)
        return _residue(
            before, min((y for y, _ in before.atoms), key=lambda y: abs(last.a * y + last.b - x)), form
        )
    if last is not None and gap == 0.0 and x == 0.0 and last.kind in (SAMPLE, INVERSE):
        return _residue(law._then(replace=1), 0.0, form)
    radius = 0.5 * gap if np.isfinite(gap) else max(1.0, abs(x))
    turn = np.exp(1j * np.pi * np.arange(33) / 32)
    turn[-1] = -1.0
    terms = (here.transform(x + radius * turn) * turn).real
    terms[[0, -1]] *= 0.5
    return -radius * float(terms.sum()) / 32.0


def _slope(law: Law, s: Complex) -> Complex:
    """dz/ds of a chain at complex s."""
    ops, par, tau, u = law._chain.law[:4]
    H = law.spectrum
    w = H.multiplicity / H.multiplicity.sum()
    z, dz = s.copy(), np.ones_like(s)
    m, dm = _sum(H.values, w, s), _sum(H.values, w, s, 2)
    for op, (p, q, r, _) in zip(ops, par, strict=True):
        y, dy = 1.0 + z * m, dz * m + z * dm
        if op == AFFINE:
            z, dz, m, dm = p * z + q, p * dz, m / p, dm / p
        elif op == SEMICIRCLE:
            z, dz = z - p * m, dz - p * dm
        elif op == POISSON:
            values, share = tau[int(q) : int(r)], u[int(q) : int(r)]
            part = 1.0 / (1.0 + p * m[:, None] * values)
            z = z + part @ (share * values)
            dz = dz - dm * (part**2 @ (p * share * values**2))
        else:  # z is multiplied by e, and m divided: 1 - c y, or 1/(1 - c + c y)
            if op == SAMPLE:
                e, de = 1.0 - p * y, -p * dy
            else:
                e = 1.0 / (1.0 - p + p * y)
                de = -p * dy * e * e
            z, dz, m, dm = z * e, dz * e + z * de, m / e, (dm - m / e * de) / e
    return np.asarray(dz)


# --------------------------------------------------------------------------------------------- the real axis


class _Axis(NamedTuple):
    """Integrals on the real axis, for each function: value, error, and the integral of its modulus."""

    value: Numbers
    error: Array
    scale: Array
    fraction: float
    nodes: int


def _series_of(law: Distribution) -> _series.Series:
    """Quadrature of the continuous part; from the transform alone where a law gives nothing better."""
    kind = type(law)
    if kind._make_series is Distribution._make_series and kind._density is Distribution._density:

        def density(x: Array) -> Array:
            return np.asarray(law.stieltjes(x, side="+").imag / np.pi)

        return _series.build(density, law.support.ravel(), law._powers.ravel(), law._hard.ravel())
    return law._series


def _on_axis(target: _Target, fs: Sequence[_Named], window: tuple[float, float], rtol: float) -> _Axis:
    support = target.law.support
    series = _series_of(target.law)
    chosen = (support[:, 0] > window[0]) & (support[:, 1] < window[1])
    interval = series._half(np.arange(series.u0.size)) // 2 if support.size else np.empty(0, int)
    piece = np.flatnonzero(chosen[interval])
    value, error, scale, nodes = _pieces(target, fs, series, piece, rtol)
    fraction = float(series.total[1][chosen].sum()) if support.size else 0.0
    inside = (target.where > window[0]) & (target.where < window[1])
    if target.ratio is None:
        fraction += float(target.mass[inside].sum())
    else:
        fraction += sum(m for x, m in target.law.atoms if window[0] < x < window[1])
    x, mass = target.where[inside], target.mass[inside]
    if x.size:
        at, noise = _at_points(fs, x, mass)
        value, error, scale = value + at.sum(axis=1), error + noise, scale + np.abs(at).sum(axis=1)
    return _Axis(value, error, scale, fraction, nodes)


def _at_points(fs: Sequence[_Named], x: Array, mass: Array) -> tuple[Numbers, Array]:
    """Contributions of point masses, and their rounding errors."""
    values = _values(fs, x)
    wrong = np.isnan(values) & (mass != 0.0)
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"{fs[i].name} must be defined on the spectrum; {fs[i].name}({x[j]:.6g}) is NaN at a point mass. "
            "Leave it out with domain=, or change the function there."
        )
    step = 2.0**-26
    with np.errstate(all="ignore"):
        terms = np.where(mass == 0.0, 0.0, values * mass)
        tilt = np.abs(_values(fs, x * (1.0 + step)) - values) / step
        noise = 4.0 * _EPS * np.abs(mass) * (np.abs(values) + np.where(np.isfinite(tilt), tilt, 0.0))
    return terms, np.where(np.isfinite(terms), np.where(mass == 0.0, 0.0, noise), np.inf).sum(axis=1)


def _pieces(
    target: _Target, fs: Sequence[_Named], series: _series.Series, piece: NDArray[np.int64], rtol: float
) -> tuple[Numbers, Array, Array, int]:
    """Integrals against the continuous part; pieces are halved until all functions agree with their halves."""
    done: Numbers = np.zeros(len(fs))
    error, scale, total = np.zeros(len(fs)), np.zeros(len(fs)), 0
    if not piece.size:
        return done, error, scale, total
    share = max(piece.size, 8)
    a, b = np.zeros(piece.size), np.full(piece.size, 2.0)
    whole = _rule(target, fs, series, a, b, piece)[0]
    total += piece.size * _series.QUADRATURE
    size = np.abs(whole).sum(axis=1)
    for _ in range(60):
        middle = 0.5 * (a + b)
        a2, b2 = np.stack([a, middle], axis=1).ravel(), np.stack([middle, b], axis=1).ravel()
        parts, moduli, noise = _rule(target, fs, series, a2, b2, np.repeat(piece, 2))
        total += a2.size * _series.QUADRATURE
        both = parts[:, ::2] + parts[:, 1::2]
        floor = noise[:, ::2] + noise[:, 1::2]
        size = np.maximum(size, np.abs(done) + np.abs(both).sum(axis=1))
        difference = np.abs(both - whole)
        enough = (difference <= rtol / share * size[:, None]) | (difference <= floor)
        good = enough.all(axis=0) | (b - a < 1e-13 * b) | (piece.size > _MANY)
        keep = np.repeat(~good, 2)
        done = done + both[:, good].sum(axis=1)
        error += (difference + floor)[:, good].sum(axis=1)
        scale += moduli[:, ~keep].sum(axis=1)
        if good.all():
            break
        piece, a, b, whole = np.repeat(piece, 2)[keep], a2[keep], b2[keep], parts[:, keep]
    else:
        done, error = done + whole.sum(axis=1), error + np.abs(whole).sum(axis=1)
    return done, error, scale, total


def _rule(
    target: _Target,
    fs: Sequence[_Named],
    series: _series.Series,
    a: Array,
    b: Array,
    piece: NDArray[np.int64],
) -> tuple[Numbers, Array, Array]:
    """Integrals over pieces, of moduli, and rounding errors: each of shape (functions, pieces).

    Rounding: of f and of the weights, of x in f, and of the density, by the last coefficients of its series.
    """
    x, w = series.rule(a, b, piece)
    density = np.abs(w)
    if target.ratio is not None:
        factor = target.ratio(x.ravel()).reshape(x.shape)
        w, density = w * factor, density * (1.0 + np.abs(factor))
    values = _finite_values(fs, x.ravel()).reshape(len(fs), *x.shape)
    terms = values * w
    size = np.abs(values)
    tilt = np.abs(np.diff(values, axis=2)) / np.maximum(np.abs(np.diff(x, axis=1)), 1e-300)
    tilt = np.concatenate((tilt, tilt[:, :, -1:]), axis=2) * np.abs(x)
    relative = 4.0 + (_tail(series, a, b, piece) / _EPS)[:, None] + np.zeros_like(x)
    if target.steep:  # the rounding of x against its distance from the edge
        edge = series.halves[0][series._half(piece)][:, None]
        relative += np.abs(x) / np.maximum(np.abs(x - edge), _EPS * np.abs(x))
    noise = _EPS * ((size * relative + tilt) * density).sum(axis=2)
    return terms.sum(axis=2), np.abs(terms).sum(axis=2), noise


def _tail(series: _series.Series, a: Array, b: Array, piece: NDArray[np.int64]) -> Array:
    """Last coefficients of each part's series, relative to the density in its middle."""
    middle = np.abs(_series._rows(series.pdf[piece], 0.5 * (a + b)[:, None] - 1.0)[:, 0])
    tail = np.abs(series.pdf[piece, -3:]).max(axis=1)
    return np.asarray(np.minimum(tail / np.maximum(middle, 1e-300), 1.0))


# -------------------------------------------------------------------------------------------------- contours


class _Contour(NamedTuple):
    """An ellipse in ``log((z - left)/(right - z))``, foci at the ends of what it encloses."""

    left: float
    right: float
    middle: float
    long: float
    short: float

    def at(self, part: Array) -> tuple[Complex, Complex]:
        """Points at parts of the upper half, from 0 to 1, and their derivatives by the angle, halved at the ends.

        The halves are the weights of the trapezoidal rule; the ends are real.
        """
        ends = (part == 0.0) | (part == 1.0)
        sine, cosine = np.where(ends, 0.0, np.sin(np.pi * part)), np.cos(np.pi * part)
        turn = self.middle + self.long * cosine + 1j * self.short * sine
        width = self.right - self.left
        below, above = width / (1.0 + np.exp(-turn)), width / (1.0 + np.exp(turn))
        slope = (-self.long * sine + 1j * self.short * cosine) * np.where(ends, 0.5, 1.0)
        return np.asarray(self.left + below), np.asarray(below * above / width * slope)


def _contour(
    low: float, high: float, barriers: Array, points: Complex, fraction: float
) -> tuple[_Contour, int]:
    """A contour around [low, high] between the barriers on the axis, inside singular points, and a node count.

    Half of the way out (fraction 1/2) balances the two rates of convergence; the count is for 16 digits.
    """
    width = high - low if high > low else 0.1 * (abs(low) or 1.0)
    left = float(np.max(barriers[barriers < low], initial=low - 2.0 * width))
    right = float(np.min(barriers[barriers > high], initial=high + 2.0 * width))
    start = math.log((low - left) / (right - low))
    stop = math.log((high - left) / (right - high))
    middle, half = 0.5 * (start + stop), 0.5 * (stop - start)
    short = np.pi * fraction
    far = points[(points.real != left) & (points.real != right)]
    if far.size:
        with np.errstate(all="ignore"):
            place = np.log((far - left) / (right - far)) - middle
            # the ellipse through the nearest point
            sum_ = 0.5 * (np.abs(place - half) + np.abs(place + half))
            reach = float(np.nanmin(np.sqrt(np.maximum(sum_**2 - half**2, 0.0))))
        short = fraction * min(np.pi, reach)
    rate = math.asinh(short / half) if half > 0.0 else math.log(2.0)
    count = min(_NODES, max(16, math.ceil(20.0 / rate)))
    return _Contour(left, right, middle, math.hypot(half, short), short), count


def _spectrum(
    target: _Target, window: tuple[float, float]
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Components of the spectrum inside and outside the window, ascending."""
    parts = sorted(
        (float(u), float(v)) for u, v in (*target.law.support, *zip(target.where, target.where, strict=True))
    )
    inside = [part for part in parts if window[0] < part[0] < window[1]]
    return inside, [part for part in parts if part not in inside]


def _contours(task: _Task, fraction: float, apart: bool) -> list[tuple[_Contour, int]]:
    """Contours around the spectrum in the window: one around all where nothing is in the way, or one for each part."""
    inside, outside = _spectrum(task.target, task.window)
    points = task.points
    real = points[points.imag == 0.0].real
    groups: list[tuple[float, float]] = []
    for low, high in inside:
        if groups and low <= groups[-1][1]:  # a point mass at an edge
            groups[-1] = (groups[-1][0], max(high, groups[-1][1]))
        elif groups and not apart and not ((real > groups[-1][1]) & (real < low)).any():
            groups[-1] = (groups[-1][0], high)
        else:
            groups.append((low, high))
    found = []
    for low, high in groups:
        others = [end for part in (*groups, *outside) if part != (low, high) for end in part]
        barriers = np.concatenate((others, real, [0.0] if low > 0.0 or high < 0.0 else []))
        found.append(_contour(low, high, barriers, points[points.imag > 0.0], fraction))
    return found


class _Ring(NamedTuple):
    """Contour integrals: value and error for each function, which of them agree with the real axis, why others not."""

    value: Numbers
    error: Array
    good: NDArray[np.bool_]
    reasons: list[str]
    nodes: int


def _compare(task: _Task, axis: _Axis, improve: bool) -> _Ring:
    """Contour integrals, on ever tighter contours until they agree with the real axis (improve: to rtol)."""
    count = len(task.fs)
    value, error = np.zeros(count, axis.value.dtype), np.full(count, np.inf)
    good, reasons, nodes = np.zeros(count, bool), [""] * count, 0
    attempts = [(fraction, False) for fraction in _FRACTIONS]
    if len(_spectrum(task.target, task.window)[0]) > 1:
        attempts += [(_FRACTIONS[0], True), (_FRACTIONS[2], True)]
    target_error = task.rtol * axis.scale
    for fraction, apart in attempts:
        wanted = np.where(improve | (axis.error > target_error), error > target_error, ~good)
        wanted &= np.isfinite(axis.value)
        todo = [int(i) for i in np.flatnonzero(wanted) if not reasons[i].startswith(_RAISED)]
        if not todo:
            break
        total, doubt, used = _around_all(task, todo, axis, (fraction, apart), reasons)
        nodes += used
        near = (np.abs(total - axis.value) <= 4.0 * (doubt + axis.error)) & (
            axis.error <= _KNOWN * axis.scale
        )
        sharp = doubt <= np.maximum(1e3 * target_error, 10.0 * axis.error)
        if todo[0] == 0 and sharp[0] and abs(total[0] - axis.value[0]) > 4.0 * (doubt[0] + axis.error[0]):
            raise ArithmeticError(
                f"contours count a mass of {total[0]} where the real axis counts {axis.value[0]}; "
                "please report this law: " + repr(task.target.law)
            )
        for i in todo:
            if sharp[i] and near[i] and doubt[i] < error[i]:
                value[i], error[i], good[i] = total[i], doubt[i], True
            elif not reasons[i]:
                reasons[i] = f"it integrates to {total[i]:.12g} on the widest"
    return _Ring(value, error, good, reasons, nodes)


def _around_all(
    task: _Task, todo: list[int], axis: _Axis, attempt: tuple[float, bool], reasons: list[str]
) -> tuple[Numbers, Array, int]:
    """Integrals over all contours of one attempt: value and error of each function, NaN for those left out."""
    real = axis.value.dtype.kind != "c"
    total, doubt, nodes = np.full(len(task.fs), np.nan, axis.value.dtype), np.full(len(task.fs), np.nan), 0
    total[todo], doubt[todo] = 0.0, 0.0
    for contour, start in _contours(task, *attempt):
        part, uncertain, used = _around(task, todo, contour, start, axis.scale, real, reasons)
        total[todo] += part.real if real else part
        doubt[todo] += uncertain
        nodes += used
    return total, doubt, nodes


def _around(
    task: _Task, todo: list[int], contour: _Contour, start: int, scale: Array, real: bool, reasons: list[str]
) -> tuple[Complex, Array, int]:
    """Integrals around one contour: nodes on the upper half are doubled, the old ones kept, until two values agree."""
    count = start
    value, noise = _trapezoid(task, todo, contour, np.arange(count + 1) / count, real, reasons)
    value, noise, used = value / count, noise / count, count + 1
    while True:
        between = (np.arange(count) + 0.5) / count
        part, more = _trapezoid(task, todo, contour, between, real, reasons)
        used += count
        error = 0.5 * np.abs(value - part / count)
        value, noise = 0.5 * (value + part / count), 0.5 * (noise + more / count)
        enough = (error + noise <= task.rtol * scale[todo]) | (error <= noise) | ~np.isfinite(error)
        count *= 2
        if enough.all() or 2 * count > max(_NODES, 4 * start):
            return value, np.where(np.isfinite(error), error + noise, np.inf), used


def _trapezoid(
    task: _Task, todo: list[int], contour: _Contour, part: Array, real: bool, reasons: list[str]
) -> tuple[Complex, Array]:
    """Sum of ``-f F dz/(2 pi i)`` over nodes of the upper half and their mirror images, and its rounding error."""
    z, dz = contour.at(part)
    with np.errstate(all="ignore"):
        factor = task.target.transform(z) * dz
        upper = _complex_values(task.fs, todo, z, reasons)
        terms = upper * factor
        if real:
            sums = -terms.imag.sum(axis=1) + 0j
        else:  # f(conj z) is not conj f(z)
            lower = _complex_values(task.fs, todo, z.conj(), reasons)
            sums = 0.5j * (terms - lower * factor.conj()).sum(axis=1)
        tilt = np.abs(np.diff(upper, axis=1)) / np.maximum(np.abs(np.diff(z)), 1e-300) * np.abs(z[1:])
        tilt = np.concatenate((tilt[:, :1], tilt), axis=1)
        noise = _EPS * ((16.0 * np.abs(upper) + tilt) * np.abs(factor)).sum(axis=1)
    return sums, noise


def _complex_values(fs: Sequence[_Named], todo: list[int], z: Complex, reasons: list[str]) -> Complex:
    """f(z) at complex points; NaN from a function that does not take them."""
    rows = np.full((len(todo), z.size), np.nan, np.complex128)
    for row, i in enumerate(todo):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                rows[row] = _values([fs[i]], z)[0]
        except Exception as problem:  # whatever a user's function raises for complex numbers
            reasons[i] = f"{_RAISED} {type(problem).__name__} for complex arguments: {problem}"
    return rows


def _refuse(fs: Sequence[_Named], ring: _Ring, axis: _Axis) -> None:
    """Name the first function whose contour integral is not the sum over the spectrum."""
    for i, (name, _) in enumerate(fs):
        if ring.good[i]:
            continue
        if not np.isfinite(axis.value[i]):
            raise ValueError(
                f'{name} must be finite on the spectrum for method="contour"; its sum is {axis.value[i]}. '
                "Leave the point mass where it is infinite out with domain=."
            )
        raise ValueError(
            f'{name} must be analytic inside the contours around the spectrum for method="contour": '
            f"{ring.reasons[i]}, and to {axis.value[i]:.12g} on the real axis. A pole or a branch cut within? "
            'Name it with singularities=, or use method="real", which needs no analytic function.'
        )


# ----------------------------------------------------------------------------------------- fluctuations


def linear_statistic(
    spectrum: Spectrum,
    ratio: float,
    f: Functions,
    *,
    n: float | None = None,
    p: float | None = None,
    beta: int = 1,
    kurtosis: float | None = None,
    diagonal: bool = False,
    singularities: ArrayLike | None = None,
    rtol: float = 1e-10,
) -> LinearStatistic:
    r"""Gaussian limit of linear statistics ``sum_i f(lambda_i)`` of a sample covariance matrix.

    Over all p eigenvalues of ``C^1/2 Z Z' C^1/2/n``; the statistics are asymptotically normal with
    this mean and covariance, which is of order 1.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues of C. A spike is a level like any other: its shift of the mean, of order 1, is in
        ``p int f dF``.
    ratio : float
        p/n, > 0, as it is for the finite matrix.
    f : callable, or sequence of callables
        Vectorised functions, real on the real axis and analytic on a neighbourhood of the interval from the lowest to
        the highest end of the support (gaps included). Singularities at and left of 0 are harmless where the
        support starts above 0.
    n, p : float, optional
        Samples, or dimension: give one for ``mean``; by default p is the dimension of the spectrum.
    beta : {1, 2}, optional
        1 for real data, 2 for complex data with ``E z**2 = 0``.
    kurtosis : float, optional
        Fourth moment ``E |z_ij|**4`` of the entries of Z; by default that of the normal law, 3 (real) or 2 (complex).
    diagonal : bool, optional
        States that C is diagonal in the basis in which the entries of Z are independent. Other kurtoses need
        it, unless C is a multiple of the identity: elsewhere the limit depends on the eigenvectors of C.
    singularities : array_like, optional
        Points of the complex plane where f is not analytic: the contour passes between them and the support. 0 is
        always left out where the support starts above 0.
    rtol : float, optional
        Tolerance, relative to the variance, and for the correction to the standard deviation plus the integral of
        ``|f|``.

    Returns
    -------
    LinearStatistic
        ``mean``, ``correction``, ``covariance``, ``variance``, ``std`` and errors.

    Raises
    ------
    ValueError
        If f is not analytic as above, and so at 0 for a hard edge (ratio times rank/p equal to 1), where log and
        roots have no Gaussian limit of order 1; for another kurtosis with a C that may not be diagonal.
    TypeError
        Without n and p, for a spectrum without dimension.

    Notes
    -----
    With the companion transform :math:`\tilde m = -1/s`, s the subordination point, and
    :math:`z(s) = s - c\, s \int t\,dH/(t - s)`, the formulas of Bai & Silverstein (2004, Theorem 1.1) become

    .. math:: \mathrm{correction} = \frac{2/\beta - 1}{4\pi i} \oint f\, \frac{z''}{z'}\, ds
        + \frac{\kappa_4}{4\pi i} \oint f\, z''\, ds,

    .. math:: \mathrm{cov} = \frac{2}{\beta}\, \frac{1}{8\pi^2} \oint\!\oint
        \frac{(f_1 - f_2)(g_1 - g_2)}{(s_1 - s_2)^2}\, ds_1 ds_2
        + c\, \kappa_4 \int t^2 A_f(t) A_g(t)\, dH(t), \quad
        A_f(t) = \frac{1}{2\pi i} \oint \frac{f\, ds}{(s - t)^2}

    with :math:`f_i = f(z(s_i))`. Both contours are the same: the numerator vanishes with the denominator, so the
    integrand is analytic and the trapezoidal rule converges geometrically. The terms in
    :math:`\kappa_4 = E|z|^4 - 1 - 2/\beta` are those of Pan & Zhou (2008), for diagonal C.

    Examples
    --------
    >>> import fasthde as fh, numpy as np
    >>> from fasthde.functionals import linear_statistic
    >>> r = linear_statistic(fh.Spectrum([1.0]), 0.5, np.log, p=200)  # the log-determinant
    >>> round(r.correction, 12), round(r.variance, 12)  # log(1 - c)/2, -2 log(1 - c)
    (-0.34657359028, 1.38629436112)
    """
    law = sample_covariance(spectrum, ratio)
    fs = _functions(f)
    tolerance = check.scalar("rtol", rtol, positive=True)
    if beta not in (1, 2):
        raise ValueError(f"beta must be 1 (real data) or 2 (complex data); got {beta!r}.")
    excess = _excess(law, beta, kurtosis, diagonal)
    size = _dimension(spectrum, ratio, n, p)
    target = _target(law, None, None, None, None)
    points = _singular_points(singularities, (-np.inf, np.inf), target)
    window = (0.0 if law.support[0, 0] > 0.0 else -np.inf, np.inf)  # without zeros apart from the support
    bulk = _on_axis(target, fs, window, 0.01 * tolerance)
    _check_analytic(fs, bulk)
    limit = _fluctuate(law, fs, (beta, excess), points, bulk._replace(value=bulk.value.real), tolerance)
    zeros = target.where <= window[0]
    terms, noise = _at_points(fs, target.where[zeros], target.mass[zeros])
    total, total_error = limit.bulk + terms.sum(axis=1), limit.bulk_error + noise
    scale = bulk.scale + np.abs(terms).sum(axis=1)
    variance = np.abs(np.diag(limit.covariance))
    good = limit.correction_error <= tolerance * (np.sqrt(variance) + bulk.scale)
    good &= np.diag(limit.covariance_error) <= tolerance * variance
    good &= total_error <= tolerance * scale
    return LinearStatistic(
        mean=_field(f, size * total + limit.correction),
        correction=_field(f, limit.correction),
        covariance=_square(f, limit.covariance),
        mean_error=_field(f, size * total_error + limit.correction_error),
        correction_error=_field(f, limit.correction_error),
        covariance_error=_square(f, limit.covariance_error),
        status=_status(f, good, total),
        nodes=bulk.nodes + limit.nodes,
    )


def _square(f: Any, values: Array) -> Any:
    """One number for a single function, a matrix for several."""
    return values[1, 1].item() if callable(f) else freeze(values[1:, 1:].copy())


def _check_analytic(fs: Sequence[_Named], axis: _Axis) -> None:
    """Real on the real axis, and defined off it."""
    for i, (name, _) in enumerate(fs):
        if np.imag(axis.value[i]) != 0.0:
            raise TypeError(
                f"{name} must be real on the real axis; it is complex. Pass its real and imaginary parts."
            )
        reasons = [""] * len(fs)
        _complex_values(fs, [i], np.array([1.0 + 1.0j]), reasons)
        if reasons[i]:
            raise TypeError(f"{name} must accept complex arguments; {reasons[i]}. Use NumPy functions.")


def _excess(law: Law, beta: int, kurtosis: Any, diagonal: Any) -> float:
    """Fourth cumulant of the entries."""
    if kurtosis is None:
        return 0.0
    fourth = check.scalar("kurtosis", kurtosis, hint="It is E |z|**4 of standardised entries.")
    if fourth < 1.0:
        raise ValueError(f"kurtosis must be >= 1, being E |z|**4 with E |z|**2 = 1; got {fourth}.")
    excess = fourth - 1.0 - 2.0 / beta
    chain = law._chain
    if excess and not diagonal and chain.t.size + (chain.zero > 0.0) > 1:
        raise ValueError(
            f"kurtosis must be that of the normal law, {1.0 + 2.0 / beta:g}, unless C is diagonal; got {fourth}. "
            "Pass diagonal=True if C is diagonal in the basis of the independent entries; otherwise the limit "
            "depends on the eigenvectors of C and is not known from its spectrum."
        )
    return excess


def _dimension(spectrum: Spectrum, ratio: float, n: Any, p: Any) -> float:
    if n is not None and p is not None:
        raise TypeError("give n or p, not both: ratio = p/n ties them.")
    if n is not None:
        return check.scalar("n", n, positive=True) * float(ratio)
    if p is not None:
        return check.scalar("p", p, positive=True)
    if spectrum.is_measure:
        raise TypeError("the spectrum is a measure without dimension; pass n= or p= for the mean of the sum.")
    return spectrum.dimension


class _Limit(NamedTuple):
    correction: Array
    covariance: Array
    correction_error: Array
    covariance_error: Array
    bulk: Array  # integrals of f against the law, zeros apart from the support left out
    bulk_error: Array
    nodes: int


class _Nodes(NamedTuple):
    """Nodes of the upper half-contour: f at z(s), the sums of the law there, and weights ds, dz of the full rule."""

    f: Complex
    s: Complex
    m: Complex
    bend: Complex  # z''
    slope: Complex  # z'
    dz: Complex  # of a rule on these nodes and their mirror images


def _fluctuate(
    law: Law, fs: Sequence[_Named], kind: tuple[int, float], points: Complex, bulk: _Axis, rtol: float
) -> _Limit:
    """Corrections and covariances on the first contour on which every function is analytic."""
    low, high = float(law.support[0, 0]), float(law.support[-1, 1])
    barriers = np.concatenate((points[points.imag == 0.0].real, [0.0] if low > 0.0 else []))
    if ((barriers > low) & (barriers < high)).any():
        raise ValueError(
            f"singularities must lie outside [{low:.6g}, {high:.6g}], gaps of the support included: the theorem asks "
            f"f to be analytic there; got {barriers[(barriers > low) & (barriers < high)][0]:.6g}."
        )
    best: _Limit | None = None
    least = np.inf
    used = 0
    for fraction in _FRACTIONS:
        contour, count = _contour(low, high, barriers, points[points.imag > 0.0], fraction)
        limit = _on_contour(law, fs, contour, count, kind, rtol)
        used += limit.nodes
        allowed = 4.0 * (limit.bulk_error + bulk.error) + rtol * bulk.scale
        wrong = ~(np.abs(limit.bulk - bulk.value) <= allowed)
        wrong |= bulk.error > _KNOWN * bulk.scale
        if wrong.any():
            continue
        doubts, sizes = np.diag(limit.covariance_error)[1:], np.abs(np.diag(limit.covariance))[1:]
        relative = float((doubts / np.maximum(np.maximum(sizes, doubts), 1e-300)).max())
        if best is None or relative < least:
            best, least = limit, relative
        if relative <= rtol:
            break
    if best is None:
        _refuse_statistic(fs[int(np.flatnonzero(wrong)[0])].name, low, high)
    assert best is not None
    closer = best.bulk_error < bulk.error
    return best._replace(
        bulk=np.where(closer, best.bulk, bulk.value),
        bulk_error=np.where(closer, best.bulk_error, bulk.error),
        nodes=used,
    )


def _refuse_statistic(name: str, low: float, high: float) -> None:
    if low > 0.0:
        where, edge = f"to the right of 0 and around [{low:.6g}, {high:.6g}]", ""
    else:
        where = f"around [0, {high:.6g}]"
        edge = " The law has a hard edge at 0, where log and roots have no such limit."
    raise ValueError(
        f"{name} must be analytic {where}: its contour integrals differ from the integral over the law.{edge} "
        "Poles, kinks and branch cuts there are outside the theorem; name poles with singularities=, smooth the "
        "function, or change the ratio."
    )


def _on_contour(
    law: Law, fs: Sequence[_Named], contour: _Contour, count: int, kind: tuple[int, float], rtol: float
) -> _Limit:
    """The limit by nodes doubled until it settles."""
    even = _nodes(law, fs, contour, np.arange(count + 1) / count)
    before: Array | None = None
    total = count + 1
    while True:
        odd = _nodes(law, fs, contour, (np.arange(count) + 0.5) / count)
        total += count
        first, second = (_single(nodes, kind) / count for nodes in (even, odd))
        correction, value = 0.5 * (first + second)
        doubt = 0.5 * np.abs(first - second)
        covariance, noise = _double(law, even, odd, count, kind)
        if before is not None:
            error = np.abs(covariance - before) + noise
            variance = np.abs(np.diag(covariance))
            floor = 4.0 * _EPS * (np.abs(_single(odd, kind, True)) / count)
            enough = np.diag(error) <= np.maximum(rtol * variance, 2.0 * np.diag(noise))
            enough &= ~(doubt[0] > np.maximum(rtol * np.sqrt(variance), floor[0]))
            if enough.all() or not np.isfinite(covariance).all() or 4 * count > _NODES:
                errors = doubt + floor
                return _Limit(correction, covariance, errors[0], error, value, errors[1], total)
        before = covariance
        even = _merge(even, odd)
        count *= 2


def _nodes(law: Law, fs: Sequence[_Named], contour: _Contour, part: Array) -> _Nodes:
    z, dz = contour.at(part)
    Q = equivalent(law, z)
    s, m = np.asarray(Q.omega), np.asarray(Q.stieltjes)
    t, w, c = law._chain.t, law._chain.w, float(law.numbers[0, 0])
    near, far = _sum(t, w * t * t, s, 2), s * _sum(t, w, s, 2) * s - 2.0 * s * _sum(t, w * t, s, 2)
    # near 0 with c near 1 the first form cancels
    slope = np.where(np.abs(near) < np.abs(far), 1.0 - c * near, law._chain.deltas[0] + c * far)
    bend = -2.0 * c * _sum(t, w * t * t, s, 3)
    return _Nodes(_complex_values(fs, list(range(len(fs))), z, [""] * len(fs)), s, m, bend, slope, dz)


def _merge(even: _Nodes, odd: _Nodes) -> _Nodes:
    """Both sets in the order of their angles."""
    out = []
    for a, b in zip(even, odd, strict=True):
        both = np.empty((*a.shape[:-1], a.shape[-1] + b.shape[-1]), np.complex128)
        both[..., ::2], both[..., 1::2] = a, b
        out.append(both)
    return _Nodes(*out)


def _single(nodes: _Nodes, kind: tuple[int, float], moduli: bool = False) -> Array:
    """Sums for the correction and for the integral of f against the law, times the node count."""
    beta, excess = kind
    with np.errstate(all="ignore"):
        weight = ((2.0 / beta - 1.0) / nodes.slope + excess) * nodes.bend / nodes.slope * nodes.dz
        terms = np.stack((0.5 * nodes.f * weight, -nodes.f * nodes.m * nodes.dz))
        return np.asarray(np.abs(terms).sum(axis=2) if moduli else terms.imag.sum(axis=2))


def _double(law: Law, even: _Nodes, odd: _Nodes, count: int, kind: tuple[int, float]) -> tuple[Array, Array]:
    """Covariances, one contour through the even nodes and one through the odd ones, and their rounding errors.

    The rule is that of the full contour on both; mirror images add the conjugate.
    """
    beta, excess = kind
    functions = len(even.f)
    step = np.pi / count
    with np.errstate(all="ignore"):
        ds1, ds2 = even.dz / even.slope * step, odd.dz / odd.slope * step
        s2, f2 = np.concatenate((odd.s, odd.s.conj())), np.concatenate((odd.f, odd.f.conj()), axis=1)
        ds2 = np.concatenate((ds2, -ds2.conj()))
        total, noise = np.zeros((functions, functions)), np.zeros((functions, functions))
        rows = max(1, _BLOCK // s2.size)
        for i in range(0, even.s.size, rows):
            part = slice(i, i + rows)
            gap = 1.0 / (even.s[part, None] - s2)
            weight = ds1[part, None] * ds2
            quotient = [(even.f[k, part, None] - f2[k]) * gap for k in range(functions)]
            rough = [(np.abs(even.f[k, part, None]) + np.abs(f2[k])) * np.abs(gap) for k in range(functions)]
            for k in range(functions):
                left, loud = quotient[k] * weight, np.abs(quotient[k] * weight)
                for j in range(k + 1):
                    total[k, j] += 2.0 * float((left * quotient[j]).real.sum())
                    # rounding errors are independent: they add in squares
                    noise[k, j] += 4.0 * float(np.square(loud * rough[j]).sum())
        total = total + np.tril(total, -1).T
        noise = noise + np.tril(noise, -1).T
        covariance = total / (4.0 * np.pi**2 * beta)
        error = 4.0 * _EPS * np.sqrt(noise) / (4.0 * np.pi**2 * beta)
        error += 4.0 * _EPS * np.sqrt(np.outer(np.abs(np.diag(covariance)), np.abs(np.diag(covariance))))
    extra, doubt = _fourth_cumulant(law, even, odd, count, excess)
    return covariance + extra, error + doubt


def _fourth_cumulant(law: Law, even: _Nodes, odd: _Nodes, count: int, excess: float) -> tuple[Array, Array]:
    """What entries that are not Gaussian add to the covariances, and its error."""
    functions = len(even.f)
    if not excess:
        return np.zeros((functions, functions)), np.zeros((functions, functions))
    t, w, c = law._chain.t, law._chain.w, float(law.numbers[0, 0])
    first, second = (np.stack([_response(t, v, k) / count for k in range(functions)]) for v in (even, odd))
    both = 0.5 * (first + second)
    weighted = both * (c * excess * w * t * t)
    spread = np.abs(weighted) @ np.abs(first - second).T
    return weighted @ both.T, spread + spread.T


def _response(t: Array, nodes: _Nodes, k: int) -> Array:
    """The sum of ``f ds/(2 pi i (s - t)**2)`` at each level, times the node count."""
    out = np.empty(t.size)
    weight = nodes.f[k] * nodes.dz / nodes.slope
    step = max(1, _BLOCK // nodes.s.size)
    for i in range(0, t.size, step):
        out[i : i + step] = (weight / (nodes.s - t[i : i + step, None]) ** 2).imag.sum(axis=1)
    return out
