"""Models of the inputs of a network, and the few numbers of them that its kernels see."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze
from fasthde._simulate import apportion

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


# -------------------------------------------------------------------------------------------------- statistics


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class ClassStatistics(Record):
    """What the kernels of wide networks see of their inputs: sizes and overlaps of the class covariances.

    Rows x of the data belong to classes a with mean mu_a and covariance C_a; ``C0 = sum pi_a C_a``.

    Parameters
    ----------
    tau : float
        ``sqrt(tr C0/p)`` > 0, the size of an entry.
    t : array_like, shape (classes,)
        ``tr(C_a - C0)/sqrt(p)``.
    T : array_like, shape (classes, classes)
        ``tr(C_a C_b)/p``, symmetric.
    proportions : array_like, shape (classes,)
        Shares pi_a of the classes, normalised to sum 1.
    dimension : int
        p >= 1.

    Raises
    ------
    ValueError
        For sizes that do not fit together, or tau <= 0.

    See Also
    --------
    GaussianMixture.statistics : from the parameters of a mixture.

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde.networks._mixture import ClassStatistics
    >>> X = np.random.default_rng(0).standard_normal((300, 200))
    >>> ClassStatistics.from_samples(X)
    ClassStatistics(1 class, dimension 200, tau 1.0002, T 0.9934)
    """

    tau: float
    t: Array
    T: Array
    proportions: Array
    dimension: int

    def __init__(self, tau: float, t: ArrayLike, T: ArrayLike, proportions: ArrayLike, dimension: int):
        pi = _proportions(proportions, None)
        trace = check.same_length("t", check.finite("t", check.real_array("t", t)), "classes", pi.size)
        overlap = check.finite("T", check.real_array("T", T, ndim=2))
        if overlap.shape != (pi.size, pi.size):
            raise ValueError(
                f"T must have shape ({pi.size}, {pi.size}), one row a class; got {overlap.shape}."
            )
        if np.abs(overlap - overlap.T).max() > 1e-8 * np.abs(overlap).max():
            raise ValueError("T must be symmetric: tr(C_a C_b)/p.")
        set_ = object.__setattr__
        set_(self, "tau", check.scalar("tau", tau, positive=True))
        set_(self, "t", freeze(trace))
        set_(self, "T", freeze(0.5 * (overlap + overlap.T)))
        set_(self, "proportions", freeze(pi))
        set_(self, "dimension", check.integer("dimension", dimension, 1))

    @classmethod
    def from_samples(cls, X: ArrayLike, labels: ArrayLike | None = None) -> ClassStatistics:
        """Unbiased estimates from data.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Data.
        labels : array_like of int, shape (n_samples,), optional
            Classes 0, 1, ...; one class by default. At least four samples each.

        Returns
        -------
        ClassStatistics

        Notes
        -----
        ``tr C_a**2`` by the estimator of Himeno & Yamada (2014), unbiased for any law with four moments; a plain
        ``tr S**2`` is too large by ``(tr C)**2/n``.
        """
        x = data("X", X)
        n, p = x.shape
        groups = _groups(labels, n)
        sizes = np.array([g.size for g in groups])
        if sizes.min() < 4:
            raise ValueError(
                f"labels must give each class four samples or more; class {int(sizes.argmin())} has {sizes.min()}. "
                "Build ClassStatistics from known numbers instead."
            )
        parts = [x[g] - x[g].mean(axis=0) for g in groups]
        traces = np.array([np.sum(z * z) / (z.shape[0] - 1) for z in parts])
        overlap = np.empty((len(parts), len(parts)))
        for a, za in enumerate(parts):
            for b, zb in enumerate(parts[:a]):
                overlap[a, b] = overlap[b, a] = _cross(za, zb) / ((sizes[a] - 1) * (sizes[b] - 1))
            overlap[a, a] = _square_trace(za, traces[a])
        pi = sizes / n
        mean = float(pi @ traces)
        if not mean > 0:
            raise ValueError("X must vary within a class; all its rows are the class mean.")
        return cls(np.sqrt(mean / p), (traces - mean) / np.sqrt(p), overlap / p, pi, p)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.t.size)

    def deviations(self, X: ArrayLike) -> Array:
        """Squared norms about their mean, ``|x_i|**2/p - tau**2``, of order ``1/sqrt(p)``.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Data, not scaled.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        return np.asarray(np.einsum("ij,ij->i", x := self._data(X), x) / self.dimension - self.tau**2)

    def _data(self, X: ArrayLike) -> Array:
        x = data("X", X)
        if x.shape[1] != self.dimension:
            raise ValueError(f"X must have {self.dimension} columns; got shape {x.shape}.")
        return x

    def _labels(self, labels: ArrayLike | None, n: int) -> Labels:
        """Labels of n samples, checked; may be left out where there is one class."""
        if labels is None:
            if self.classes > 1:
                raise ValueError(f"labels must say which of the {self.classes} classes each sample is from.")
            return np.zeros(n, np.int64)
        y = class_labels(labels, n)
        if n and y.max() >= self.classes:
            raise ValueError(f"labels must be below {self.classes}, the number of classes; got {y.max()}.")
        return y

    def __repr__(self) -> str:
        k = self.classes
        span = f"{self.T.min():.4f}" if k == 1 else f"{self.T.min():.4f} .. {self.T.max():.4f}"
        return f"ClassStatistics({k} class{'es' * (k > 1)}, dimension {self.dimension}, tau {self.tau:.4f}, T {span})"


def _cross(a: Array, b: Array) -> float:
    """``tr(A'A B'B)`` on the side that is smaller."""
    if a.shape[0] * b.shape[0] <= a.shape[1] ** 2:
        return float(np.sum((a @ b.T) ** 2))
    return float(np.sum((a.T @ a) * (b.T @ b)))


def _square_trace(z: Array, trace: float) -> float:
    """Unbiased ``tr C**2`` from centred rows."""
    n = z.shape[0]
    square = _cross(z, z) / (n - 1) ** 2
    fourth = float(np.sum(np.sum(z * z, axis=1) ** 2)) / (n - 1)
    return float((n - 1) / (n * (n - 2) * (n - 3)) * ((n - 1) * (n - 2) * square + trace**2 - n * fourth))


# ------------------------------------------------------------------------------------------------------ models


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
    >>> from fasthde.networks._mixture import GaussianMixture
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
        set_(self, "proportions", freeze(_proportions(proportions, mu.shape[0])))
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
    >>> from fasthde.networks._mixture import UnitSphere
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
        return ClassStatistics.from_samples(value)
    raise TypeError(
        f"data must be a GaussianMixture, a UnitSphere, ClassStatistics or an array of samples; "
        f"got {type(value).__name__}."
    )


# ------------------------------------------------------------------------------------------------------ checks


def data(name: str, value: Any) -> Array:
    """A data matrix, samples in rows."""
    x = check.not_empty(name, check.finite(name, check.real_array(name, value, ndim=2)))
    return check.ordinary_size(name, x)


def class_labels(labels: ArrayLike, n: int) -> Labels:
    """Class labels of n samples: integers >= 0."""
    y = check.same_length("labels", check.real_array("labels", labels), "samples", n)
    if (y != np.floor(y)).any() or (y < 0).any():
        raise ValueError("labels must be integers 0, 1, ...; use numpy.unique(labels, return_inverse=True).")
    return np.asarray(y.astype(np.int64))


def _groups(labels: ArrayLike | None, n: int) -> list[NDArray[np.int64]]:
    if labels is None:
        return [np.arange(n)]
    y = class_labels(labels, n)
    return [np.flatnonzero(y == a) for a in range(int(y.max()) + 1)]


def _proportions(value: ArrayLike | None, classes: int | None) -> Array:
    if value is None:
        return np.full(classes or 1, 1.0 / (classes or 1))
    pi = check.not_empty("proportions", check.real_array("proportions", value, ndim=1))
    if classes is not None:
        check.same_length("proportions", pi, "classes", classes)
    check.non_negative("proportions", pi, "They are shares of the classes.")
    if not pi.sum() > 0:
        raise ValueError("proportions must not all be zero.")
    return np.asarray(pi / pi.sum())


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
