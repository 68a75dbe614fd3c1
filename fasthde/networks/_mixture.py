"""Models of the inputs of a network."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze
from fasthde._simulate import apportion
from fasthde.networks._statistics import ClassStatistics, Labels, data, shares_of

__all__ = ["ClassStatistics", "GaussianMixture", "UnitSphere", "data", "statistics_of"]

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class GaussianMixture(Record):
    """Gaussian mixture: rows of class a are ``N(mu_a, C_a)``, not scaled.

    Parameters
    ----------
    means : array_like, shape (classes, p)
        Means mu_a; for the equivalents of length O(1), where telling classes apart is neither trivial nor hopeless.
    covariances : sequence, one for each class, or number
        A number (isotropic), p numbers (diagonal) or a p x p matrix for each class; a single number serves all.
    proportions : array_like, shape (classes,), optional
        Shares of the classes, >= 0, normalised to sum 1; equal by default.

    Attributes
    ----------
    covariances : ndarray, shape (classes,), (classes, p) or (classes, p, p)
        In the smallest form that holds them all.

    Raises
    ------
    ValueError
        For shapes that do not fit, covariances that are not symmetric and positive semidefinite, or all zero.

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde import GaussianMixture
    >>> mean = np.zeros(400)
    >>> mean[0] = 2.0
    >>> mixture = GaussianMixture([-mean, mean], [1.0, 1.2])
    >>> X, labels = mixture.sample(300, rng=0)
    >>> X.shape, np.bincount(labels)
    ((300, 400), array([150, 150]))
    >>> mixture.t.round(12)
    array([-2.,  2.])
    """

    means: Array
    covariances: Array
    proportions: Array

    def __init__(self, means: ArrayLike, covariances: Any, proportions: ArrayLike | None = None):
        mu = check.finite("means", check.real_array("means", means, ndim=2))
        check.not_empty("means", mu)
        set_ = object.__setattr__
        set_(self, "means", freeze(mu))
        set_(self, "covariances", freeze(_covariances(covariances, *mu.shape)))
        set_(self, "proportions", freeze(shares_of(proportions, mu.shape[0])))
        if not self.tau0 > 0:
            raise ValueError("covariances must not all be zero.")

    @property
    def dimension(self) -> int:
        """Dimension p."""
        return int(self.means.shape[1])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.means.shape[0])

    @property
    def traces(self) -> Array:
        """``tr C_a``, shape (classes,)."""
        C = self.covariances
        if C.ndim == 1:
            return np.asarray(self.dimension * C)
        return np.asarray(C.sum(axis=1) if C.ndim == 2 else np.trace(C, axis1=1, axis2=2))

    @property
    def tau0(self) -> float:
        """``sqrt(tr C0/p)`` with ``C0 = sum pi_a C_a``."""
        return float(np.sqrt(self.proportions @ self.traces / self.dimension))

    @property
    def t(self) -> Array:
        """``tr(C_a - C0)/sqrt(p)``, shape (classes,); of order 1 for the equivalents to hold."""
        traces = self.traces
        return np.asarray((traces - self.proportions @ traces) / np.sqrt(self.dimension))

    @property
    def T(self) -> Array:
        """``tr(C_a C_b)/p``, shape (classes, classes)."""
        flat = self.covariances.reshape(self.classes, -1)
        return np.asarray(flat @ flat.T if flat.shape[1] == 1 else flat @ flat.T / self.dimension)

    @property
    def statistics(self) -> ClassStatistics:
        """What kernels see of the mixture."""
        return ClassStatistics(self.tau0, self.t, self.T, self.proportions, self.dimension)

    def sample(self, n: int, rng: Any = None) -> tuple[Array, Labels]:
        """Draw n samples, class by class, with class sizes as close to the proportions as can be.

        Parameters
        ----------
        n : int
            Number of samples, >= 1.
        rng : int, SeedSequence, Generator or None, optional
            Source of randomness.

        Returns
        -------
        X : ndarray, shape (n, p)
            Samples, not scaled.
        labels : ndarray of int, shape (n,)
            Their classes, ascending.
        """
        counts = apportion(self.proportions, check.integer("n", n, 1))
        X = np.random.default_rng(rng).standard_normal((int(counts.sum()), self.dimension))
        labels = np.repeat(np.arange(self.classes), counts)
        for a in range(self.classes):
            X[labels == a] = times_root(X[labels == a], self.covariances[a]) + self.means[a]
        return X, labels

    def __repr__(self) -> str:
        k, form = self.classes, ("isotropic", "diagonal", "full")[self.covariances.ndim - 1]
        return f"GaussianMixture({k} class{'es' * (k > 1)}, dimension {self.dimension}, {form} covariances)"


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class UnitSphere(Record):
    """Inputs of one norm: ``x = sqrt(p) g/|g|`` with g Gaussian, so that ``x/sqrt(p)`` is on the unit sphere.

    Parameters
    ----------
    dimension : int
        p >= 1.
    covariance : array_like, shape (p,) or (p, p), optional
        Covariance C of g, diagonal or full; its scale does not matter. The identity, by default, gives uniform
        directions.

    Raises
    ------
    ValueError
        For a covariance of the wrong shape, not symmetric and positive semidefinite, or zero.

    Examples
    --------
    >>> from fasthde import UnitSphere
    >>> sphere = UnitSphere(100)
    >>> X, _ = sphere.sample(5, rng=0)
    >>> (X**2).mean(axis=1).round(12)
    array([1., 1., 1., 1., 1.])
    """

    dimension: int
    covariance: Array | None

    def __init__(self, dimension: int, covariance: ArrayLike | None = None):
        p = check.integer("dimension", dimension, 1)
        C = None
        if covariance is not None:
            C = check.real_array("covariance", covariance)
            if C.shape not in ((p,), (p, p)):
                raise ValueError(f"covariance must have shape ({p},) or ({p}, {p}); got {C.shape}.")
            _positive("covariance", C)
            if not np.any(C):
                raise ValueError("covariance must not be zero.")
        object.__setattr__(self, "dimension", p)
        object.__setattr__(self, "covariance", freeze(C))

    @property
    def statistics(self) -> ClassStatistics:
        """What kernels see: tau = 1, t = 0 and ``T = p tr C**2/(tr C)**2``."""
        C, p = self.covariance, self.dimension
        overlap = 1.0
        if C is not None:
            trace = np.sum(C) if C.ndim == 1 else np.trace(C)
            overlap = float(p * np.sum(C * C) / trace**2)
        return ClassStatistics(1.0, [0.0], [[overlap]], [1.0], p)

    def sample(self, n: int, rng: Any = None) -> tuple[Array, Labels]:
        """Draw n samples.

        Parameters
        ----------
        n : int
            Number of samples, >= 1.
        rng : int, SeedSequence, Generator or None, optional
            Source of randomness.

        Returns
        -------
        X : ndarray, shape (n, p)
            Samples of norm ``sqrt(p)``.
        labels : ndarray of int, shape (n,)
            All 0.
        """
        size = check.integer("n", n, 1)
        X = np.random.default_rng(rng).standard_normal((size, self.dimension))
        if self.covariance is not None:
            X = times_root(X, self.covariance)
        X *= np.sqrt(self.dimension) / np.linalg.norm(X, axis=1, keepdims=True)
        return X, np.zeros(size, np.int64)

    def __repr__(self) -> str:
        form = "" if self.covariance is None else ", covariance given"
        return f"UnitSphere(dimension {self.dimension}{form})"


def statistics_of(value: Any) -> ClassStatistics:
    """Statistics of a model of the data, as they are, or estimated from an array of one class."""
    if isinstance(value, ClassStatistics):
        return value
    if isinstance(value, GaussianMixture | UnitSphere):
        return value.statistics
    if isinstance(value, np.ndarray | list):
        stats = ClassStatistics.from_samples(value)
        stats.warn_of_norms(value)
        return stats
    raise TypeError(
        f"data must be a GaussianMixture, a UnitSphere, ClassStatistics or an array of samples; "
        f"got {type(value).__name__}."
    )


# ------------------------------------------------------------------------------------------------------ checks


def _covariances(value: Any, classes: int, p: int) -> Array:
    """One array for all classes, in the smallest form that holds every one."""
    if not isinstance(value, list | tuple):
        whole = check.real_array("covariances", value)
        value = [whole] * classes if whole.ndim == 0 else list(whole)
    if len(value) != classes:
        raise ValueError(
            f"covariances must have one entry for each of the {classes} classes; got {len(value)}."
        )
    parts = []
    for a, entry in enumerate(value):
        name = f"covariances[{a}]"
        C = check.real_array(name, entry)
        if C.shape not in ((), (p,), (p, p)):
            raise ValueError(f"{name} must be a number or have shape ({p},) or ({p}, {p}); got {C.shape}.")
        _positive(name, C)
        parts.append(C)
    form = max(C.ndim for C in parts)
    if form >= 1:
        parts = [C * np.ones(p) if C.ndim == 0 else C for C in parts]
    if form == 2:
        parts = [np.diag(C) if C.ndim == 1 else C for C in parts]
    return np.array(parts)


def _positive(name: str, C: Array) -> None:
    """Refuse a covariance that is not symmetric and positive semidefinite."""
    check.finite(name, C)
    if C.ndim < 2:
        check.non_negative(name, C, "Variances are not negative.")
        return
    size = float(np.abs(C).max())
    gap = float(np.abs(C - C.T).max())
    if gap > 1e-8 * size:
        raise ValueError(
            f"{name} must be symmetric; entries differ by {gap:.3g}. Use (C + C.T)/2 if that is meant."
        )
    lowest = float(np.linalg.eigvalsh(C)[0])
    if lowest < -1e-8 * size:
        raise ValueError(f"{name} must be positive semidefinite; its smallest eigenvalue is {lowest:.3g}.")


def times_root(Z: Array, C: Array) -> Array:
    """Rows of covariance C from rows of covariance I."""
    if C.ndim < 2:
        return np.asarray(Z * np.sqrt(C))
    values, vectors = np.linalg.eigh(C)
    return np.asarray((Z @ vectors) * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)
