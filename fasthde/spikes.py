"""Spikes: isolated eigenvalues of large random matrices, their eigenvectors, and the way back from data."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._kernels import chain as kernels
from fasthde._kernels.chain import AFFINE, CORNER, INVERSE, SAMPLE
from fasthde._results import Record, Status
from fasthde.equivalents import _forward, _shaped, _Solved, _success, _sums
from fasthde.laws import Law, sample_covariance
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_RATIO = "The ratio is p/n, dimension over samples."


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Spike(Record):
    """An isolated eigenvalue, on either side of the map from population to sample.

    Every field has the broadcast shape of the arguments; scalars in, scalars out.

    Attributes
    ----------
    location : float or ndarray
        Eigenvalue of the random matrix: where it detaches, else the edge of the bulk it joins; NaN for a
        spike between eigenvalues of the population that one bulk covers.
    alignment : float or ndarray
        Squared inner product of its eigenvector with that of the population, in [0, 1]; 0 where it does not
        detach; NaN where a companion or corner has left the population's space. For an eigenvalue of
        multiplicity r, the mean over the r-dimensional space.
    detached : bool or ndarray
        Whether there is an isolated eigenvalue.
    value : float or ndarray
        Eigenvalue of the population.
    status : int or ndarray
        `Status` code: INVALID (and NaN) where there is no such spike.
    """

    location: Any
    alignment: Any
    detached: Any
    value: Any
    status: Any

    @property
    def success(self) -> Any:
        """Whether each element is an answer."""
        return _success(self.status)

    def __repr__(self) -> str:
        return _show(self, self.location)


# ----------------------------------------------------------------------------------------------- any chain


def spike(H: Spectrum, ratio: ArrayLike, value: ArrayLike) -> Spike:
    r"""Isolated eigenvalue of a sample covariance matrix whose population has one.

    Parameters
    ----------
    H : Spectrum
        Eigenvalues of the population covariance C, the spike left out.
    ratio : array_like
        p/n, > 0. Broadcasts with value.
    value : array_like
        The spiked eigenvalue of C itself (not of C - I), >= 0, above, below or between those of H.

    Returns
    -------
    Spike

    Raises
    ------
    ValueError
        For a scalar ratio <= 0, or a scalar value that is negative or an eigenvalue of H. A bad element of an array
        becomes NaN with status INVALID instead.

    Notes
    -----
    With ``z(s) = s (1 - c sum w t/(t - s))`` the spike l detaches iff ``z'(l) > 0``; then

    .. math:: \lambda = z(\ell), \qquad |\langle u, \hat u\rangle|^2 = \ell\, z'(\ell)/z(\ell)

    (Baik, Ben Arous & Peche 2005; Baik & Silverstein 2006; Paul 2007; Bai & Yao 2012).

    See Also
    --------
    spike_law : the same for any chain of operations.

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.spikes import spike
    >>> r = spike(fh.Spectrum([1.0]), ratio=0.5, value=3.5)
    >>> round(r.location, 12), round(r.alignment, 12), r.detached
    (4.2, 0.766666666667, True)
    """
    as_spectrum("H", H)
    c = check.swept("ratio", ratio, zero=False, hint=_RATIO)
    return _by_ratio(H, c, "value", check.real_array("value", value), spike_law)


def spike_law(law: Law, value: ArrayLike) -> Spike:
    r"""Isolated eigenvalue of a law's random matrix, where the fixed matrix C it starts from has one.

    Parameters
    ----------
    law : Law
        Any chain.
    value : array_like
        The spiked eigenvalue of C itself, anywhere outside the spectrum it is added to.

    Returns
    -------
    Spike

    Raises
    ------
    ValueError
        For a scalar value that is not finite, is an eigenvalue of the spectrum, or makes the population of a
        sample covariance indefinite. A bad element of an array becomes NaN with status INVALID instead.

    Notes
    -----
    Along the chain's curve ``s -> (z_1, ..., z_L)`` the spike l detaches iff ``dz_j/ds > 0`` at s = l for every j;
    it then sits at ``z_L(l)`` with squared alignment ``phi(l) z_L'(l)``, phi the factor of the `equivalent`
    (Benaych-Georges & Nadakuditi 2011; arXiv 2506.13139).

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.spikes import spike_law
    >>> r = spike_law(fh.semicircle(), [0.5, 2.0])
    >>> r.location, r.alignment
    (array([2. , 2.5]), array([0.  , 0.75]))
    """
    if not isinstance(law, Law):
        raise TypeError(
            f"law must be a Law; got {type(law).__name__}. Build one with fh.sample_covariance(H, ratio) and its kin."
        )
    points = check.real_array("value", value)
    s = points.ravel()
    taken = _is_level(law.spectrum, s)
    known = np.isfinite(s) & ~taken
    path = _path(law, np.where(known, s, np.nan))
    valid = known & ~path.negative
    if not points.ndim and not valid[0]:
        why = "an eigenvalue of the spectrum itself" if taken[0] else "outside the domain"
        raise ValueError(
            "value must be finite, different from every eigenvalue of the spectrum, and leave the population of each "
            f"sample covariance positive semidefinite; got {s[0]}, {why}. Leave the spike out of the spectrum."
        )
    detached = valid & path.increasing
    location = np.where(detached, path.location, np.nan)
    joined = valid & ~detached
    if joined.any():
        location[joined] = _nearest_edge(law, s[joined], path.location[joined])
    alignment = np.where(joined, 0.0, np.where(valid, path.alignment, np.nan))
    if path.lost:
        alignment[:] = np.nan
    return _spike(points.shape, location, alignment, detached, np.where(valid, s, np.nan), valid)


def spike_from_outlier(H: Spectrum, ratio: ArrayLike, location: ArrayLike) -> Spike:
    """Population eigenvalue behind an isolated eigenvalue of a sample covariance matrix.

    The inverse of `spike`.

    Parameters
    ----------
    H : Spectrum
        Eigenvalues of the population covariance C, the spike left out.
    ratio : array_like
        p/n, > 0. Broadcasts with location.
    location : array_like
        The isolated eigenvalue of the sample covariance, >= 0 and off the support of the law.

    Returns
    -------
    Spike
        ``value`` is the population eigenvalue.

    Raises
    ------
    ValueError
        For a scalar ratio <= 0, or a scalar location on the support or where no spike can be. A bad element
        of an array becomes NaN with status INVALID instead.

    Notes
    -----
    The root of ``z(l) = location`` on the branch where z increases.

    See Also
    --------
    population_spike : from the sample alone, without knowing H.

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.spikes import spike_from_outlier
    >>> round(spike_from_outlier(fh.Spectrum([1.0]), ratio=0.5, location=4.2).value, 12)
    3.5
    """
    as_spectrum("H", H)
    c = check.swept("ratio", ratio, zero=False, hint=_RATIO)
    return _by_ratio(H, c, "location", check.real_array("location", location), outlier_law)


def outlier_law(law: Law, location: ArrayLike) -> Spike:
    """Eigenvalue of C behind an isolated eigenvalue of a law's random matrix: the inverse of `spike_law`.

    Parameters
    ----------
    law : Law
        Any chain.
    location : array_like
        The isolated eigenvalue, off the law's support and atoms.

    Returns
    -------
    Spike
        ``value`` is the eigenvalue of C.

    Raises
    ------
    ValueError
        For a scalar location on the spectrum or where no spike can be. A bad element of an array becomes NaN
        with status INVALID instead.

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.spikes import outlier_law
    >>> round(outlier_law(fh.semicircle(), 2.5).value, 12)
    2.0
    """
    if not isinstance(law, Law):
        raise TypeError(
            f"law must be a Law; got {type(law).__name__}. Build one with fh.sample_covariance(H, ratio) and its kin."
        )
    points = check.real_array("location", location)
    x = points.ravel()
    off = np.isfinite(x) & ~law._on_support(x) & ~np.isin(x, [a for a, _ in law.atoms])
    s = np.full(x.size, np.nan)
    if off.any():
        s[off] = law._solve_real(x[off])[1]
    known = np.isfinite(s) & ~_is_level(law.spectrum, s)
    path = _path(law, np.where(known, s, np.nan))
    valid = known & ~path.negative
    if not points.ndim and not valid[0]:
        raise ValueError(
            "location must lie off the law's support and atoms, where an eigenvalue of C can put it; "
            f"got {x[0]}. Compare with law.support."
        )
    alignment = np.where(valid, np.nan if path.lost else path.alignment, np.nan)
    return _spike(
        points.shape, np.where(valid, x, np.nan), alignment, valid, np.where(valid, s, np.nan), valid
    )


class _Path(NamedTuple):
    """A real s along the chain."""

    location: Array
    alignment: Array
    increasing: Flags
    negative: Flags
    lost: bool


def _path(law: Law, s: Array) -> _Path:
    """Location, alignment, whether every z_j increases, and whether a sample covariance meets z < 0 on the way."""
    chain = law._chain
    ops, par = chain.law[:2]
    increasing, negative = np.isfinite(s), np.zeros(s.size, bool)
    state = np.empty((7, s.size))
    state[0], state[1] = s, 1.0
    for j in range(ops.size):
        if ops[j] in (SAMPLE, INVERSE):
            negative |= increasing & (state[0] < 0.0)
        kernels.state_rows(chain.law, j + 1, np.ascontiguousarray(s), state)
        increasing = increasing & (state[1] > 0.0)
    lost = bool((((ops == SAMPLE) & (par[:, 3] > 0.0)) | (ops == CORNER)).any())
    factor = np.full(s.size, np.nan)
    if not lost:
        with np.errstate(all="ignore"):
            sums = _sums(chain.t, np.array((chain.w, chain.w * chain.t)), s)
            empty = np.full(s.size, np.nan)
            side = _forward(law, _Solved(empty, s, empty, empty, np.empty(0, np.int64)), sums, -1, empty)
        factor = side.factor
    return _Path(state[0].copy(), factor * state[1], increasing, negative, lost)


def _is_level(H: Spectrum, s: Array) -> Flags:
    return np.isin(s, H.values[H.multiplicity > 0])


def _nearest_edge(law: Law, s: Array, z: Array) -> Array:
    """The edge that a spike joins: left of all levels of its bulk, right of them, or NaN between two of them.

    In a bulk of noise alone z itself says on which side: it leads away from the edge.
    """
    found = law._outside
    edges = law.support
    levels = law._chain.t
    if law._chain.zero > 0.0:
        levels = np.concatenate(([0.0], levels))
    bulk = np.minimum(np.searchsorted(found.lows[1:], s, side="left"), len(edges) - 1)
    start, end = found.highs[bulk], found.lows[bulk + 1]
    first, last = np.searchsorted(levels, start), np.searchsorted(levels, end) - 1
    top = levels.size - 1
    some = first <= last
    below = np.where(some, s < levels[np.minimum(first, top)], z < edges[bulk, 0])
    above = np.where(some, s > levels[np.minimum(last, top)], z > edges[bulk, 1])
    edge = np.where(above, edges[bulk, 1], np.where(below, edges[bulk, 0], np.nan))
    ops, par = law._chain.law[:2]
    if all(op in (SAMPLE, INVERSE) or (op == AFFINE and par[j, 1] == 0.0) for j, op in enumerate(ops)):
        edge = np.where(s == 0.0, 0.0, edge)  # what has no variance has none in any sample
    return np.asarray(edge)


def _by_ratio(H: Spectrum, ratio: Array, name: str, points: Array, solve: Any) -> Spike:
    """One law for each ratio."""
    try:
        shape = np.broadcast_shapes(ratio.shape, points.shape)
    except ValueError:
        raise ValueError(
            f"ratio and {name} must broadcast; got shapes {ratio.shape} and {points.shape}. "
            f"For every pair use ratio[:, None] and {name}."
        ) from None
    if ratio.ndim == 0:
        only = check.scalar("ratio", float(ratio), positive=True, hint=_RATIO)
        return solve(sample_covariance(H, only), points)  # type: ignore[no-any-return]
    if points.ndim == 0:
        check.finite(name, points)
    c, x = np.broadcast_to(ratio, shape).ravel(), np.broadcast_to(points, shape).ravel()
    fields = [np.full(c.size, np.nan) for _ in range(3)]
    detached: Flags = np.zeros(c.size, np.bool_)
    status = np.full(c.size, int(Status.INVALID), np.int64)
    for one in np.unique(c[np.isfinite(c) & (c > 0.0)]):
        at = c == one
        r = solve(sample_covariance(H, float(one)), x[at])
        fields[0][at], fields[1][at], fields[2][at] = r.location, r.alignment, r.value
        detached[at], status[at] = r.detached, r.status
    return _spike(shape, fields[0], fields[1], detached, fields[2], status == Status.CONVERGED)


# ---------------------------------------------------------------------------------------------- from a sample


def population_spike(sample_eigenvalues: ArrayLike, n: int, location: ArrayLike) -> Spike:
    r"""Population eigenvalue behind an isolated sample eigenvalue, from the sample's eigenvalues alone.

    Parameters
    ----------
    sample_eigenvalues : array_like, shape (p,)
        Eigenvalues of the sample covariance ``X'X/n``, >= 0; zeros beyond the rank may be left out.
    n : int
        Number of samples, >= 1.
    location : array_like
        Isolated eigenvalues among them (each is left out of its own sum, matched to rounding), > 0.

    Returns
    -------
    Spike
        ``value`` is the estimate of the population eigenvalue, ``alignment`` that of the squared alignment.

    Raises
    ------
    ValueError
        For a scalar location that is not positive, or where the sample says that no spike can be. A bad element of
        an array becomes NaN with status INVALID instead. Whether an eigenvalue is isolated is for the caller
        to say.

    Notes
    -----
    With the Stieltjes transform of the n x n Gram matrix of the other p - 1 directions,

    .. math:: \hat\ell = -1/\tilde m(x), \qquad \widehat{|\langle u, \hat u\rangle|^2}
              = -\frac{\tilde m(x)}{x\, \tilde m'(x)}, \qquad
              \tilde m(x) = \frac1n \Big[\sum_{\lambda_i \neq x} \frac{1}{\lambda_i - x} - \frac{n - p + 1}{x}\Big]

    Counting n - p + 1 zeros, not n - p, removes most of the bias of order 1/n: true 8 with p = 100, n = 50 comes out
    as 8.00, not 8.13
    (Bai & Ding 2012; arXiv 2506.13139).

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde.spikes import population_spike
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 200))
    >>> X[:, 0] *= 2.0
    >>> values = np.linalg.eigvalsh(X.T @ X / 1000)
    >>> round(population_spike(values, 1000, values[-1]).value, 1)
    3.9
    """
    eigenvalues = _sample("sample_eigenvalues", sample_eigenvalues)
    size = check.integer("n", n, 1)
    points = check.real_array("location", location)
    x = points.ravel()
    m, slope = np.full(x.size, np.nan), np.full(x.size, np.nan)
    for i in np.flatnonzero(np.isfinite(x) & (x > 0.0)):
        gap = eigenvalues - x[i]
        own = int(np.argmin(np.abs(gap)))
        if abs(gap[own]) <= 1e-12 * x[i]:
            gap = np.delete(gap, own)
        zeros = size - gap.size
        with np.errstate(divide="ignore"):
            m[i] = (np.sum(1.0 / gap) - zeros / x[i]) / size
            slope[i] = (np.sum(1.0 / gap**2) + zeros / x[i] ** 2) / size
    with np.errstate(invalid="ignore", divide="ignore"):
        alignment = -m / (x * slope)
        valid = (m < 0.0) & (alignment <= 1.0) & np.isfinite(m)
        value = np.where(valid, -1.0 / m, np.nan)
    if not points.ndim and not valid[0]:
        raise ValueError(
            f"location must be > 0 and an isolated eigenvalue of the sample; got {x[0]}, "
            "where the other eigenvalues allow no spike."
        )
    return _spike(
        points.shape, np.where(valid, x, np.nan), np.where(valid, alignment, np.nan), valid, value, valid
    )


def population_eigenvalues(sample_eigenvalues: ArrayLike, n: int, multiplicities: ArrayLike) -> Array:
    r"""Population eigenvalues of large multiplicity, from the sample's eigenvalues.

    Parameters
    ----------
    sample_eigenvalues : array_like, shape (p,)
        Eigenvalues of the sample covariance ``X'X/n``, in any order.
    n : int
        Number of samples, > p.
    multiplicities : array_like of int, shape (k,)
        Multiplicity of each population eigenvalue, the smallest eigenvalue first; their sum is p.

    Returns
    -------
    ndarray, shape (k,)
        Estimates, in the order of ``multiplicities``; consistent when each eigenvalue has a bulk of its own (ask
        ``fh.sample_covariance(H, p/n).support``).

    Raises
    ------
    ValueError
        If n <= p, or the multiplicities do not add up to p.

    Notes
    -----
    .. math:: \hat\ell_a = \frac{n}{p_a} \sum_{i \in a} (\lambda_i - \eta_i), \qquad
              \eta = \mathrm{eig}\big(\mathrm{diag}\,\lambda - \tfrac1n \sqrt\lambda \sqrt\lambda'\big)

    (Mestre 2008).

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde.spikes import population_eigenvalues
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((2000, 100)) * np.repeat([1.0, 2.0], 50)
    >>> population_eigenvalues(np.linalg.eigvalsh(X.T @ X / 2000), 2000, [50, 50]).round(1)
    array([1., 4.])
    """
    values = np.sort(_sample("sample_eigenvalues", sample_eigenvalues))
    size = check.integer("n", n, 1)
    p = values.size
    if size <= p:
        raise ValueError(f"n must be > p = {p}; got {size}. With fewer samples the estimator does not apply.")
    counts = np.atleast_1d(check.finite("multiplicities", check.real_array("multiplicities", multiplicities)))
    if counts.ndim != 1 or (counts < 1).any() or (counts != np.floor(counts)).any() or counts.sum() != p:
        raise ValueError(
            f"multiplicities must be integers >= 1 with sum p = {p}; got {counts.tolist()}. "
            "One for each population eigenvalue, the smallest first."
        )
    root = np.sqrt(values)
    eta = np.linalg.eigvalsh(np.diag(values) - np.outer(root, root) / size)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)
    return np.asarray(size / counts * np.add.reduceat(values - eta, starts), np.float64)


def _sample(name: str, value: Any) -> Array:
    array = np.atleast_1d(check.real_array(name, value))
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be one-dimensional; got shape {array.shape}. Pass eigenvalues, not a matrix."
        )
    check.not_empty(name, array)
    floor = -1e-8 * float(np.abs(check.finite(name, array)).max())
    if (array < floor).any():
        check.non_negative(name, array, "A sample covariance has none.")
    return np.maximum(array, 0.0)


# ------------------------------------------------------------------------------------------- the three models


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class SpikedModel(Record):
    """Largest eigenvalue of a spiked model and its singular vectors.

    Every field has the broadcast shape of ratio and strength; scalars in, scalars out.

    Attributes
    ----------
    location : float or ndarray
        Where the isolated eigenvalue sits, else the edge of the bulk that it joins.
    alignment : float or ndarray
        Squared inner product of the p-dimensional eigenvector with that of the signal; 0 below the threshold.
    sample_alignment : float or ndarray
        The same for the n-dimensional vectors of information-plus-noise; NaN for the other models.
    threshold : float or ndarray
        Strength above which the largest eigenvalue detaches.
    detached : bool or ndarray
        Whether there is an isolated eigenvalue.
    status : int or ndarray
        `Status` code: INVALID for arguments outside the domain.
    """

    location: Any
    alignment: Any
    sample_alignment: Any
    threshold: Any
    detached: Any
    status: Any

    @property
    def success(self) -> Any:
        """Whether each element is an answer."""
        return _success(self.status)

    def __repr__(self) -> str:
        return _show(self, self.location)


_KINDS = ("information-plus-noise", "additive", "covariance")


def spiked_model(kind: str, ratio: ArrayLike, strength: ArrayLike) -> SpikedModel:
    r"""Phase transition of a rank-one signal l in white noise, Z p x n with iid entries of variance 1.

    Parameters
    ----------
    kind : str
        * ``"information-plus-noise"``: ``X X'/n`` with ``X = A + Z``, l the eigenvalue of ``A A'/n``;
        * ``"additive"``: ``l u u' + Z Z'/n``;
        * ``"covariance"``: ``C^1/2 Z Z' C^1/2/n`` with ``C = I + l u u'``.
    ratio : array_like
        c = p/n, > 0. Broadcasts with strength.
    strength : array_like
        l: >= 0 for information-plus-noise, >= -1 for covariance, any for additive.

    Returns
    -------
    SpikedModel

    Raises
    ------
    ValueError
        For an unknown kind, or scalars outside the domain. A bad element of an array becomes NaN with status INVALID
        instead.

    Notes
    -----
    ============================  ================  ====================  ===============================
    model                         threshold         eigenvalue            squared alignment
    ============================  ================  ====================  ===============================
    information-plus-noise        sqrt(c)           1 + c + l + c/l       (1 - c/l^2)/(1 + c/l); samples
                                                                          (l^2 - c)/(l (l + 1))
    additive                      c + sqrt(c)       1 + l + c/(l - c)     1 - c/(l - c)^2
    covariance                    sqrt(c)           1 + l + c (1 + l)/l   (1 - c/l^2)/(1 + c/l)
    ============================  ================  ====================  ===============================

    The additive model has a second transition: below ``l = c - sqrt(c)`` an eigenvalue leaves the bulk to the left
    (for c > 1 also with l > 0, between the atom at 0 and the bulk); the covariance model's is at ``-sqrt(c)`` when
    c < 1 (Baik, Ben Arous & Peche 2005; Baik & Silverstein 2006; Paul 2007; Benaych-Georges & Nadakuditi
    2011, 2012; arXiv 2506.13139).

    Examples
    --------
    >>> from fasthde.spikes import spiked_model
    >>> r = spiked_model("additive", ratio=0.5, strength=[1.0, 2.5])
    >>> r.location.round(4), r.alignment, r.detached
    (array([2.9142, 3.75  ]), array([0.   , 0.875]), array([False,  True]))
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}; got {kind!r}.")
    least = {"information-plus-noise": 0.0, "additive": -np.inf, "covariance": -1.0}[kind]
    c, ell, valid = _model_arguments(ratio, strength, least)
    root = np.sqrt(c)
    nan = np.full(c.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "additive":
            gap = ell - c
            threshold = c + root
            detached = np.abs(gap) > root
            location, alignment, other = ell * (gap + 1.0) / gap, 1.0 - c / gap**2, nan
            low = ell < np.where(
                c > 1.0, c, 0.0
            )  # an eigenvalue that came from the atom at 0, or a negative one
        else:
            threshold = root
            detached = (ell > root) | ((ell < -root) & (c < 1.0))
            location = (1.0 + ell) * (1.0 + c / ell)
            alignment, other = (1.0 - c / ell**2) / (1.0 + c / ell), nan
            if kind == "information-plus-noise":
                other = (ell - c / ell) / (ell + 1.0)
            low = ell < 0.0
    edge = np.where(low, (1.0 - root) ** 2, (1.0 + root) ** 2)
    location, alignment = np.where(detached, location, edge), np.where(detached, alignment, 0.0)
    if kind == "information-plus-noise":
        other = np.where(detached, other, 0.0)
    numbers = [np.where(valid, v, np.nan) for v in (location, alignment, other, threshold)]
    return SpikedModel(*_shaped(c.shape, (*numbers, detached & valid, _status(valid)), at=5))


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class LowRankError(Record):
    """Relative error of a low-rank approximation, in the broadcast shape of ratio and strength.

    Attributes
    ----------
    error : float or ndarray
        When dimension and samples are both large.
    classical : float or ndarray
        When the samples are many, c -> 0.
    status : int or ndarray
        `Status` code: INVALID for arguments outside the domain.
    """

    error: Any
    classical: Any
    status: Any

    @property
    def success(self) -> Any:
        """Whether each element is an answer."""
        return _success(self.status)

    def __repr__(self) -> str:
        return _show(self, self.error)


def low_rank_error(ratio: ArrayLike, strength: ArrayLike) -> LowRankError:
    r"""Relative error ``|M - M_1|/|M|`` in operator norm of the best rank-one approximation of ``l u u' + Z Z'/n``.

    Parameters
    ----------
    ratio : array_like
        c = p/n, > 0. Broadcasts with strength.
    strength : array_like
        l, >= 0.

    Returns
    -------
    LowRankError

    Raises
    ------
    ValueError
        For scalars outside the domain. A bad element of an array becomes NaN with status INVALID instead.

    Notes
    -----
    ``(1 + sqrt(c))**2/(1 + l + c/(l - c))`` above the threshold ``l > c + sqrt(c)``, 1 below it; classically
    ``1/(1 + l)`` (arXiv 2506.13139).

    Examples
    --------
    >>> from fasthde.spikes import low_rank_error
    >>> r = low_rank_error(0.5, 2.5)
    >>> round(r.error, 6), round(r.classical, 6)
    (0.777124, 0.285714)
    """
    c, ell, valid = _model_arguments(ratio, strength, 0.0)
    root = np.sqrt(c)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(ell > c + root, (1.0 + root) ** 2 / (1.0 + ell + c / (ell - c)), 1.0)
    numbers = [np.where(valid, v, np.nan) for v in (error, 1.0 / (1.0 + np.maximum(ell, 0.0)))]
    return LowRankError(*_shaped(c.shape, (*numbers, _status(valid)), at=2))


def _model_arguments(ratio: ArrayLike, strength: ArrayLike, least: float) -> tuple[Array, Array, Flags]:
    """Broadcast arguments, 1 in place of bad ratios, and which elements are valid."""
    c = check.swept("ratio", ratio, zero=False, hint=_RATIO)
    if c.ndim == 0:
        check.scalar("ratio", float(c), positive=True, hint=_RATIO)
    ell = check.real_array("strength", strength)
    if ell.ndim == 0 and not (np.isfinite(ell) and ell >= least):
        bound = f" and >= {least:g}" if np.isfinite(least) else ""
        raise ValueError(
            f"strength must be finite{bound}; got {float(ell)}. It is the eigenvalue of the signal."
        )
    try:
        c, ell = (np.array(v) for v in np.broadcast_arrays(c, ell))
    except ValueError:
        raise ValueError(
            f"ratio and strength must broadcast; got shapes {c.shape} and {ell.shape}. "
            "For every pair use ratio[:, None] and strength."
        ) from None
    good = np.isfinite(c) & (c > 0.0)
    valid = good & np.isfinite(ell) & (ell >= least)
    return np.where(good, c, 1.0), ell, np.asarray(valid)


# -------------------------------------------------------------------------------------------------- results


def _status(valid: Flags) -> NDArray[np.int64]:
    return np.where(valid, int(Status.CONVERGED), int(Status.INVALID)).astype(np.int64)


def _spike(
    shape: tuple[int, ...], location: Array, alignment: Array, detached: Flags, value: Array, valid: Flags
) -> Spike:
    return Spike(*_shaped(shape, (location, alignment, detached, value, _status(valid)), at=4))


def _show(record: Any, value: Any) -> str:
    shape = np.shape(value)
    if not shape:
        names = [n for n in record._names() if n != "status"]
        inner = ", ".join(f"{n}={_number(getattr(record, n))}" for n in names)
        return f"{type(record).__name__}({inner}, {Status(record.status).name})"
    seen = ", ".join(Status(s).name for s in np.unique(record.status))
    return f"{type(record).__name__}, shape {shape}, {seen}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
