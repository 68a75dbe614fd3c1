"""Linear equivalent of a kernel of distances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde._linearize import taylor
from fasthde._results import Status, freeze, warn_user
from fasthde.networks._mixture import statistics_of
from fasthde.networks._statistics import ClassStatistics, Labels, WithStatistics, data

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class DistanceEquivalent(WithStatistics):
    """Equivalent of a kernel of distances, see `distance_kernel_equivalent`.

    Attributes
    ----------
    matrix : ndarray, shape (n_samples, n_samples)
        The equivalent.
    at : float
        Where squared distances over p concentrate, ``2 tr C0/p``.
    derivatives : ndarray, shape (3,)
        f, f' and f'' there.
    errors : ndarray, shape (3,)
        Their estimated absolute errors.
    statistics : ClassStatistics
        Of the data.
    status : int
        `Status` code: NOT_CONVERGED where the derivatives are uncertain by more than 1e-6 of what f varies by around
        the point.
    """

    matrix: Array
    at: Any
    derivatives: Array
    errors: Array
    statistics: ClassStatistics
    status: Any

    @property
    def success(self) -> bool:
        """Whether the derivatives are accurate."""
        return bool(self.status == Status.CONVERGED)

    def __repr__(self) -> str:
        f = ", ".join(f"{v:.6g}" for v in self.derivatives)
        return f"DistanceEquivalent({self.matrix.shape[0]} samples, at {self.at:.6g}: {f}, {Status(self.status).name})"


def distance_kernel_equivalent(
    f: Callable[[Array], Any], X: ArrayLike, labels: ArrayLike | None = None, model: Any = None
) -> DistanceEquivalent:
    r"""Linear equivalent of the kernel matrix ``f(|x_i - x_j|**2/p)`` of a mixture of classes.

    Parameters
    ----------
    f : callable
        Function of squared distances over p, vectorised, smooth around ``2 tr C0/p`` and finite at 0.
    X : array_like, shape (n_samples, n_features)
        Data, rows of class a with mean mu_a and covariance C_a, not scaled.
    labels : array_like of int, shape (n_samples,), optional
        Classes of the rows; one class by default.
    model : GaussianMixture or ClassStatistics, optional
        The model of the data; by default its statistics are estimated from X and labels.

    Returns
    -------
    DistanceEquivalent
        ``matrix``, ``at``, ``derivatives``, ``errors``, ``statistics``, ``status``.

    Raises
    ------
    ValueError
        For data of another dimension, labels that do not fit, or an f that has a kink at the point or is not finite
        there or at 0.

    Warns
    -----
    ValidityWarning
        If p is below 20.

    Notes
    -----
    With :math:`D_{ij} = |x_i - x_j|^2/p`, :math:`\tau = 2 \operatorname{tr} C_0/p`,
    :math:`\psi_i = |x_i - \mu_a|^2/p - \operatorname{tr} C_a/p`, :math:`t_a = \operatorname{tr}(C_a - C_0)/\sqrt p` and
    :math:`T_{ab} = \operatorname{tr} C_a C_b/p`, off the diagonal

    .. math:: K_{ij} \leftrightarrow f(\tau) + f'(\tau) (D_{ij} - \tau) + \tfrac12 f''(\tau) \Big[ \Big( \psi_i + \psi_j
        + \frac{t_a + t_b}{\sqrt p} \Big)^2 + \frac{4 T_{ab}}{p} \Big],

    and :math:`f(0)` on it (El Karoui 2010; Couillet & Benaych-Georges 2016), up to an operator norm of order
    :math:`1/\sqrt p`. Means of the classes are taken from the model, or from the data.

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde import distance_kernel_equivalent
    >>> X = np.random.default_rng(0).standard_normal((200, 400))
    >>> eq = distance_kernel_equivalent(lambda d: np.exp(-d/2), X)
    >>> D = np.sum((X[:, None] - X)**2, axis=2)/400
    >>> bool(np.linalg.norm(np.exp(-D/2) - eq.matrix, 2) < 0.1)
    True
    """
    x = data("X", X)
    n, p = x.shape
    stats = ClassStatistics.from_samples(x, labels) if model is None else statistics_of(model)
    x = stats._data(x)
    y = stats._labels(labels, n)
    if p < 20:
        warn_user(f"X has dimension {p}: the equivalent speaks of large dimensions.")
    if not callable(f):
        raise TypeError(
            f"f must be a vectorised function of squared distances over p; got {type(f).__name__}."
        )
    at = 2.0 * stats.tau**2
    c, errors, good = taylor("f", f, at, 2)
    with np.errstate(all="ignore"):
        diagonal = float(np.asarray(f(np.zeros(1)), np.float64)[0])
    if not np.isfinite(diagonal):
        raise ValueError(f"f must be finite at 0, the distance of a sample from itself; it is {diagonal}.")
    means = getattr(model, "means", None)
    if means is None:
        means = np.array(
            [x[y == a].mean(axis=0) if (y == a).any() else np.zeros(p) for a in range(stats.classes)]
        )
    z = x - means[y]
    u = np.einsum("ij,ij->i", z, z) / p - stats.tau**2  # psi_i + t_a/sqrt(p)
    square = np.einsum("ij,ij->i", x, x) / p
    K = c[1] * (square[:, None] + square - (2.0 / p) * (x @ x.T) - at)
    K += c[2] * ((u[:, None] + u) ** 2 + (4.0 / p) * stats.T[np.ix_(y, y)])
    K += c[0]
    K[np.diag_indices_from(K)] = diagonal
    factor = np.array([1.0, 1.0, 2.0])
    return DistanceEquivalent(
        matrix=freeze(K),
        at=at,
        derivatives=freeze(c * factor),
        errors=freeze(errors * factor),
        statistics=stats,
        status=Status.CONVERGED if good else Status.NOT_CONVERGED,
    )


def _norms(x: Array, y: Labels, means: Array | None) -> Array:
    """Squared norms about the class means; about those of the sample, corrected for their own share in them."""
    if means is not None:
        z = x - means[y]
        return np.asarray(np.einsum("ij,ij->i", z, z))
    out = np.empty(y.size)
    for a in np.unique(y):
        z = x[y == a] - x[y == a].mean(axis=0)
        out[y == a] = np.einsum("ij,ij->i", z, z) * (z.shape[0] / max(z.shape[0] - 1, 1))
    return out
