"""Linear statistics of sample covariance matrices: their mean to order 1, and their Gaussian fluctuations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fasthde import _validate as check
from fasthde._quadrature import (
    FRACTIONS,
    KNOWN,
    NODES,
    Axis,
    Contour,
    at_points,
    complex_values,
    contour_around,
    on_axis,
)
from fasthde._results import Record, Status, freeze
from fasthde._targets import (
    BLOCK,
    EPS,
    Array,
    Complex,
    Functions,
    Named,
    cauchy_sum,
    functions_of,
    singular_points,
    target_of,
)
from fasthde.equivalents import equivalent
from fasthde.functionals import field_of, status_of
from fasthde.laws import Law, sample_covariance
from fasthde.spectrum import Spectrum


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
    >>> from fasthde.fluctuations import linear_statistic
    >>> r = linear_statistic(fh.Spectrum([1.0]), 0.5, np.log, p=200)  # the log-determinant
    >>> round(r.correction, 12), round(r.variance, 12)  # log(1 - c)/2, -2 log(1 - c)
    (-0.34657359028, 1.38629436112)
    """
    law = sample_covariance(spectrum, ratio)
    fs = functions_of(f)
    tolerance = check.scalar("rtol", rtol, positive=True)
    if beta not in (1, 2):
        raise ValueError(f"beta must be 1 (real data) or 2 (complex data); got {beta!r}.")
    excess = _excess(law, beta, kurtosis, diagonal)
    size = _dimension(spectrum, ratio, n, p)
    target = target_of(law, None, None, None, None)
    points = singular_points(singularities, (-np.inf, np.inf), target)
    window = (0.0 if law.support[0, 0] > 0.0 else -np.inf, np.inf)  # without zeros apart from the support
    bulk = on_axis(target, fs, window, 0.01 * tolerance)
    _check_analytic(fs, bulk)
    limit = _fluctuate(law, fs, (beta, excess), points, bulk._replace(value=bulk.value.real), tolerance)
    zeros = target.where <= window[0]
    terms, noise = at_points(fs, target.where[zeros], target.mass[zeros])
    total, total_error = limit.bulk + terms.sum(axis=1), limit.bulk_error + noise
    scale = bulk.scale + np.abs(terms).sum(axis=1)
    variance = np.abs(np.diag(limit.covariance))
    good = limit.correction_error <= tolerance * (np.sqrt(variance) + bulk.scale)
    good &= np.diag(limit.covariance_error) <= tolerance * variance
    good &= total_error <= tolerance * scale
    return LinearStatistic(
        mean=field_of(f, size * total + limit.correction),
        correction=field_of(f, limit.correction),
        covariance=_square(f, limit.covariance),
        mean_error=field_of(f, size * total_error + limit.correction_error),
        correction_error=field_of(f, limit.correction_error),
        covariance_error=_square(f, limit.covariance_error),
        status=status_of(f, good, total),
        nodes=bulk.nodes + limit.nodes,
    )


def _square(f: Any, values: Array) -> Any:
    """One number for a single function, a matrix for several."""
    return values[1, 1].item() if callable(f) else freeze(values[1:, 1:].copy())


def _check_analytic(fs: Sequence[Named], axis: Axis) -> None:
    """Real on the real axis, and defined off it."""
    for i, (name, _) in enumerate(fs):
        if np.imag(axis.value[i]) != 0.0:
            raise TypeError(
                f"{name} must be real on the real axis; it is complex. Pass its real and imaginary parts."
            )
        reasons = [""] * len(fs)
        complex_values(fs, [i], np.array([1.0 + 1.0j]), reasons)
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
    law: Law, fs: Sequence[Named], kind: tuple[int, float], points: Complex, bulk: Axis, rtol: float
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
    for fraction in FRACTIONS:
        contour, count = contour_around(low, high, barriers, points[points.imag > 0.0], fraction)
        limit = _on_contour(law, fs, contour, count, kind, rtol)
        used += limit.nodes
        allowed = 4.0 * (limit.bulk_error + bulk.error) + rtol * bulk.scale
        wrong = ~(np.abs(limit.bulk - bulk.value) <= allowed)
        wrong |= bulk.error > KNOWN * bulk.scale
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
    law: Law, fs: Sequence[Named], contour: Contour, count: int, kind: tuple[int, float], rtol: float
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
            floor = 4.0 * EPS * (np.abs(_single(odd, kind, True)) / count)
            enough = np.diag(error) <= np.maximum(rtol * variance, 2.0 * np.diag(noise))
            enough &= ~(doubt[0] > np.maximum(rtol * np.sqrt(variance), floor[0]))
            if enough.all() or not np.isfinite(covariance).all() or 4 * count > NODES:
                errors = doubt + floor
                return _Limit(correction, covariance, errors[0], error, value, errors[1], total)
        before = covariance
        even = _merge(even, odd)
        count *= 2


def _nodes(law: Law, fs: Sequence[Named], contour: Contour, part: Array) -> _Nodes:
    z, dz = contour.at(part)
    Q = equivalent(law, z)
    s, m = np.asarray(Q.omega), np.asarray(Q.stieltjes)
    t, w, c = law._chain.t, law._chain.w, float(law.numbers[0, 0])
    near, far = (
        cauchy_sum(t, w * t * t, s, 2),
        s * cauchy_sum(t, w, s, 2) * s - 2.0 * s * cauchy_sum(t, w * t, s, 2),
    )
    # near 0 with c near 1 the first form cancels
    slope = np.where(np.abs(near) < np.abs(far), 1.0 - c * near, law._chain.deltas[0] + c * far)
    bend = -2.0 * c * cauchy_sum(t, w * t * t, s, 3)
    return _Nodes(complex_values(fs, list(range(len(fs))), z, [""] * len(fs)), s, m, bend, slope, dz)


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
        rows = max(1, BLOCK // s2.size)
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
        error = 4.0 * EPS * np.sqrt(noise) / (4.0 * np.pi**2 * beta)
        error += 4.0 * EPS * np.sqrt(np.outer(np.abs(np.diag(covariance)), np.abs(np.diag(covariance))))
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
    step = max(1, BLOCK // nodes.s.size)
    for i in range(0, t.size, step):
        out[i : i + step] = (weight / (nodes.s - t[i : i + step, None]) ** 2).imag.sum(axis=1)
    return out
