"""Population spectra: eigenvalues with multiplicities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze

Array = NDArray[np.float64]

_NEGATIVE = (
    "A covariance has no negative eigenvalue; clip rounding errors to 0 yourself if that is what they are."
)


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Spectrum(Record):
    """Eigenvalues of a population covariance, with multiplicities.

    Parameters
    ----------
    values : array_like, shape (levels,)
        Eigenvalues, >= 0, in any order (kept). Zeros count towards the dimension.
    multiplicity : array_like, shape (levels,) or (), optional
        Multiplicity of each, >= 0, real numbers allowed; default 1.
    weights : array_like, shape (levels,), optional
        Instead of multiplicities: a probability measure without dimension (normalised to 1), for laws.

    Raises
    ------
    ValueError
        For negative, non-finite, empty or mismatched input.

    Examples
    --------
    >>> import fasthde as fh
    >>> H = fh.Spectrum([1, 3, 10], multiplicity=[50, 30, 20])
    >>> H.dimension, H.trace
    (100.0, 340.0)
    >>> round(H.effective_rank, 3)
    49.828
    """

    values: Array
    multiplicity: Array
    is_measure: bool

    def __init__(
        self, values: ArrayLike, multiplicity: ArrayLike | None = None, *, weights: ArrayLike | None = None
    ):
        t = np.atleast_1d(check.real_array("values", values))
        if t.ndim != 1:
            raise ValueError(
                f"values must be one-dimensional; got shape {t.shape}. "
                "For a covariance matrix use Spectrum.from_covariance, for data Spectrum.from_samples."
            )
        check.not_empty("values", t)
        check.non_negative("values", t, _NEGATIVE)
        if weights is not None and multiplicity is not None:
            raise TypeError(
                "give multiplicity or weights, not both: weights describe a measure without dimension."
            )
        name = "multiplicity" if weights is None else "weights"
        k = (
            np.ones(t.size)
            if multiplicity is None and weights is None
            else check.real_array(name, multiplicity if weights is None else weights)
        )
        k = np.full(t.size, float(k)) if k.ndim == 0 else check.same_length(name, k, "values", t.size)
        check.non_negative(name, k, "Drop the level instead.")
        if not k.sum() > 0:
            raise ValueError(f"{name} must not all be zero; got {k.size} zeros.")
        if weights is not None:
            k = k / k.sum()
        object.__setattr__(self, "values", freeze(t))
        object.__setattr__(self, "multiplicity", freeze(k))
        object.__setattr__(self, "is_measure", weights is not None)

    # ------------------------------------------------------------------------------------------- builders

    @classmethod
    def isotropic(cls, p: float, value: float = 1.0) -> Spectrum:
        """One eigenvalue of multiplicity p.

        Parameters
        ----------
        p : float
            Dimension, > 0.
        value : float, optional
            The eigenvalue.

        Returns
        -------
        Spectrum

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.Spectrum.isotropic(512)
        Spectrum(1 level, dimension 512, values 1, effective rank 512)
        """
        return cls([check.scalar("value", value)], [check.scalar("p", p, positive=True)])

    @classmethod
    def power_law(cls, p: int, exponent: float, scale: float = 1.0) -> Spectrum:
        """Eigenvalues ``scale * i**-exponent`` for i = 1..p.

        Parameters
        ----------
        p : int
            Dimension, >= 1.
        exponent : float
            Decay (source condition "a" of the scaling-law literature); any real number.
        scale : float, optional
            Largest eigenvalue when ``exponent >= 0``.

        Returns
        -------
        Spectrum

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.Spectrum.power_law(1000, 1.2).values[:2]
        array([1.        , 0.43527528])
        """
        index = np.arange(1, check.integer("p", p, 1) + 1, dtype=np.float64)
        decay = check.finite("exponent", check.real_array("exponent", exponent, ndim=0))
        return cls(check.scalar("scale", scale, positive=True) * index**-decay)

    @classmethod
    def from_covariance(cls, covariance: ArrayLike) -> Spectrum:
        """Eigenvalues of a covariance matrix; rounding-level negative ones become 0.

        Parameters
        ----------
        covariance : array_like, shape (p, p)
            Symmetric, positive semidefinite.

        Returns
        -------
        Spectrum
            In descending order.

        Raises
        ------
        ValueError
            If the matrix is not square, symmetric or positive semidefinite to rounding.

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.Spectrum.from_covariance([[2.0, 1.0], [1.0, 2.0]]).values
        array([3., 1.])
        """
        c = check.not_empty(
            "covariance", check.finite("covariance", check.real_array("covariance", covariance, ndim=2))
        )
        if c.shape[0] != c.shape[1]:
            raise ValueError(
                f"covariance must be square; got shape {c.shape}. For data use Spectrum.from_samples."
            )
        size = float(np.abs(c).max())
        gap = float(np.abs(c - c.T).max())
        if gap > 1e-8 * size:
            raise ValueError(
                f"covariance must be symmetric; entries differ by {gap:.3g}. Use (C + C.T)/2 if that is meant."
            )
        values = np.linalg.eigvalsh((c + c.T) / 2)[::-1]
        return cls(_clip(values, "covariance"))

    @classmethod
    def from_samples(cls, X: ArrayLike, center: bool = False) -> Spectrum:
        """Eigenvalues of the sample covariance ``X.T X/n``.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Data.
        center : bool, optional
            Subtract column means first.

        Returns
        -------
        Spectrum
            n_features values in descending order (zeros beyond the rank).

        Examples
        --------
        >>> import fasthde as fh, numpy as np
        >>> fh.Spectrum.from_samples(np.eye(4)).trace
        1.0
        """
        x = check.not_empty("X", check.finite("X", check.real_array("X", X, ndim=2)))
        check.ordinary_size("X", x)
        if center:
            x = x - x.mean(axis=0)
        n, p = x.shape
        gram = x.T @ x / n if p <= n else x @ x.T / n
        values = _clip(np.linalg.eigvalsh(gram)[::-1], "X")
        return cls(np.concatenate((values, np.zeros(p - values.size))))

    @classmethod
    def from_density(
        cls,
        pdf: Callable[[Array], ArrayLike],
        support: Sequence[float] | Sequence[Sequence[float]],
        p: float,
        nodes: int = 256,
    ) -> Spectrum:
        """Quadrature nodes of a spectral density, with total multiplicity p.

        Parameters
        ----------
        pdf : callable
            Vectorised density (any normalisation) on the support; square-root and inverse-square-root edges
            are integrated to spectral accuracy.
        support : (low, high) or sequence of such pairs
            Intervals of [0, inf).
        p : float
            Dimension.
        nodes : int, optional
            Nodes an interval (Gauss-Legendre in the angle, x = mid + half cos(theta)).

        Returns
        -------
        Spectrum

        Examples
        --------
        >>> import fasthde as fh, numpy as np
        >>> H = fh.Spectrum.from_density(lambda x: np.ones_like(x), (1.0, 3.0), p=100)
        >>> round(H.dimension, 10), round(H.moment(1), 10)
        (100.0, 2.0)
        """
        pairs = check.finite("support", np.atleast_2d(check.real_array("support", support)))
        if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs[:, 0] >= pairs[:, 1]).any() or (pairs < 0).any():
            raise ValueError(f"support must be (low, high) pairs with 0 <= low < high; got {pairs.tolist()}.")
        u, w = np.polynomial.legendre.leggauss(check.integer("nodes", nodes, 2))
        angle = (u + 1.0) * (np.pi / 2)
        half = (pairs[:, 1:] - pairs[:, :1]) / 2
        x = pairs[:, :1] + 2 * half * np.sin(angle / 2) ** 2
        density = check.real_array("pdf(x)", pdf(x))
        if density.shape not in ((), x.shape):
            raise ValueError(
                f"pdf must be vectorised: pdf(x) of shape {x.shape} came out as {density.shape}."
            )
        mass = check.non_negative(
            "pdf(x)", density * half * np.sin(angle) * w, "A density is not negative."
        ).ravel()
        if not mass.sum() > 0:
            raise ValueError("pdf must have positive mass on the support; it is 0 at every node.")
        return cls(x.ravel(), mass * (check.scalar("p", p, positive=True) / mass.sum()))

    # --------------------------------------------------------------------------------------------- numbers

    @property
    def dimension(self) -> float:
        """Sum of the multiplicities; TypeError for a measure."""
        if self.is_measure:
            raise TypeError(
                "this Spectrum is a measure (weights=) and has no dimension; build it with multiplicity=."
            )
        return float(self.multiplicity.sum())

    @property
    def trace(self) -> float:
        """Sum of the eigenvalues, multiplicities counted; TypeError for a measure."""
        return self.dimension * self.moment(1)

    @property
    def effective_rank(self) -> float:
        """``(tr C)**2/tr C**2``: the number of directions that carry the variance; TypeError for a measure."""
        self.dimension  # noqa: B018  (refuses measures)
        top = float(self.values[self.multiplicity > 0].max())
        if top == 0.0:
            return 0.0
        t = self.values / top  # no overflow
        return float(np.dot(self.multiplicity, t) ** 2 / np.dot(self.multiplicity, t * t))

    def moment(self, k: float) -> float:
        """``sum w t**k`` with weights w of total 1.

        Parameters
        ----------
        k : float
            Order; negative orders are infinite when there is a zero eigenvalue.

        Returns
        -------
        float

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.Spectrum([1, 3]).moment(2)
        5.0
        """
        with np.errstate(divide="ignore", over="ignore"):
            used = self.multiplicity > 0
            return float(
                np.dot(self.multiplicity[used], self.values[used] ** float(k)) / self.multiplicity.sum()
            )

    def compress(self, rtol: float = 1e-14) -> Spectrum:
        """Fewer levels with the same sums ``sum k f(t)`` for f = t/(t + kappa) and its kin, any kappa >= 0.

        Each factor 4 of the eigenvalues becomes the Gauss rule of its own measure (Golub & Welsch 1969), whose
        error falls like ``3**(-2 m)`` with its m nodes.

        Parameters
        ----------
        rtol : float, optional
            Relative error, in [1e-15, 1).

        Returns
        -------
        Spectrum
            Descending values, real multiplicities; the zero level, if any, last.

        Examples
        --------
        >>> import fasthde as fh
        >>> H = fh.Spectrum.power_law(10**5, 1.2)
        >>> h = H.compress()
        >>> h.values.size < 200, abs(h.trace/H.trace - 1) < 1e-13
        (True, True)
        """
        from fasthde import _measure

        error = check.scalar("rtol", rtol, positive=True)
        if not 1e-15 <= error < 1:
            raise ValueError(f"rtol must lie in [1e-15, 1); got {error}. Float64 sums carry no more.")
        keep = (self.values > 0) & (self.multiplicity > 0)
        zero = float(self.multiplicity[self.values == 0].sum())
        t, k = self.values[keep], self.multiplicity[keep]
        if t.size:
            t, k = _measure.reduce(t, k, _measure.order_for(error))[:2]
            order = np.argsort(-t, kind="stable")
            t, k = t[order], k[order]
        if zero:
            t, k = np.append(t, 0.0), np.append(k, zero)
        return Spectrum(t, weights=k) if self.is_measure else Spectrum(t, k)

    def __repr__(self) -> str:
        low, high = self.values.min(), self.values.max()
        span = f"{high:.6g}" if low == high else f"{low:.6g} .. {high:.6g}"
        levels = f"{self.values.size} level{'s' * (self.values.size > 1)}"
        if self.is_measure:
            return f"Spectrum({levels}, measure, values {span})"
        rank = f"effective rank {self.effective_rank:.6g}"
        return f"Spectrum({levels}, dimension {self.dimension:.12g}, values {span}, {rank})"


def _clip(values: Any, name: str) -> Array:
    """Set eigenvalues below the rounding of their computation to zero; refuse truly negative ones."""
    floor = values.size * np.finfo(float).eps * max(float(values[0]), 0.0)
    if values[-1] < -max(floor, 1e-8 * abs(float(values[0]))):
        raise ValueError(
            f"{name} must be positive semidefinite; smallest eigenvalue {values[-1]:.3g}. Check its sign."
        )
    return np.where(values > floor, values, 0.0)


def as_spectrum(name: str, value: Any) -> Spectrum:
    """Accept a Spectrum only, with a message that shows how to make one."""
    if not isinstance(value, Spectrum):
        raise TypeError(
            f"{name} must be a Spectrum; got {type(value).__name__}. Wrap eigenvalues: fh.Spectrum(values)."
        )
    return value
