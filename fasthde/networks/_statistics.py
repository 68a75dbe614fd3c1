"""The few numbers of the inputs of a network that its kernels see."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze, warn_user

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

#: Relative deviation of squared norms at an effective rank of 20, sqrt(2/20).
_SPREAD = 0.32


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
    >>> from fasthde import ClassStatistics
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
        pi = shares_of(proportions, None)
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

    def warn_of_norms(self, X: ArrayLike) -> None:
        """Warn where squared norms deviate from their mean more than equivalents allow."""
        spread = float(np.std(self.deviations(X))) / self.tau**2
        if spread > _SPREAD:
            warn_user(
                f"the squared norms of the data deviate from their mean by {spread:.2g} of it: equivalents take them "
                "as small, of order 1/sqrt(p). Bring the rows to one norm (UnitSphere), or use the exact kernel."
            )

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


class WithStatistics(Record):
    """Record with the statistics of its data among its fields."""

    __slots__ = ()
    statistics: ClassStatistics

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> Self:
        nested = {n.removeprefix("statistics."): v for n, v in flat.items() if n.startswith("statistics.")}
        self = super()._from_flat({n: v for n, v in flat.items() if not n.startswith("statistics.")})
        object.__setattr__(self, "statistics", ClassStatistics._from_flat(nested))
        return self


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


# ------------------------------------------------------------------------------------------------------ checks


def data(name: str, value: Any) -> Array:
    """A data matrix, samples in rows."""
    x = check.not_empty(name, check.finite(name, check.real_array(name, value, ndim=2)))
    return check.ordinary_size(name, x)


def class_labels(labels: ArrayLike, n: int) -> Labels:
    """Class labels of n samples: integers >= 0."""
    y = check.same_length("labels", check.real_array("labels", labels), "samples", n)
    if not np.isfinite(y).all() or (y != np.floor(y)).any() or (y < 0).any():
        raise ValueError("labels must be integers 0, 1, ...; use numpy.unique(labels, return_inverse=True).")
    return np.asarray(y.astype(np.int64))


def _groups(labels: ArrayLike | None, n: int) -> list[NDArray[np.int64]]:
    if labels is None:
        return [np.arange(n)]
    y = class_labels(labels, n)
    if y.max() >= n:  # some class is empty
        raise ValueError(
            f"labels must be 0, 1, ... without gaps; got {y.max()} with {n} samples. "
            "Use numpy.unique(labels, return_inverse=True)."
        )
    return [np.flatnonzero(y == a) for a in range(int(y.max()) + 1)]


def shares_of(value: ArrayLike | None, classes: int | None) -> Array:
    if value is None:
        return np.full(classes or 1, 1.0 / (classes or 1))
    pi = check.not_empty("proportions", check.real_array("proportions", value, ndim=1))
    if classes is not None:
        check.same_length("proportions", pi, "classes", classes)
    check.non_negative("proportions", pi, "They are shares of the classes.")
    if not pi.sum() > 0:
        raise ValueError("proportions must not all be zero.")
    return np.asarray(pi / pi.sum())
