"""Ridge regression on random Fourier features: an equivalent with two coupled unknowns."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from fasthde import _validate as check
from fasthde._results import Record, Status, freeze, warn_user
from fasthde.networks._statistics import data

Array = NDArray[np.float64]

#: Newton steps; from above it takes about ten.
_STEPS = 100


# ---------------------------------------------------------------------------------------------------- results


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class FourierEquivalent(Record):
    """Equivalents of ridge regression on random Fourier features, see `random_fourier_equivalent`.

    Fields have the broadcast shape of ``frequencies`` and ``lam``; the errors have a last axis of targets where y has
    several columns.

    Attributes
    ----------
    train : float or ndarray
        Mean squared error on the training sample; NaN without y.
    test : float or ndarray
        Mean squared error on the test sample; NaN without one.
    delta_cos, delta_sin : float or ndarray
        The two unknowns.
    frequencies, lam : float or ndarray
        Number of frequencies and ridge of each element.
    status, residual, iterations : int, float, int or ndarray
        `Status` code (NOT_CONVERGED with NaN where lam is below the rounding of the kernels), relative residual of the
        two equations, number of evaluations.
    """

    train: Any
    test: Any
    delta_cos: Any
    delta_sin: Any
    frequencies: Any
    lam: Any
    status: Any
    residual: Any
    iterations: Any

    @property
    def success(self) -> Any:
        """Whether each element was solved to rounding."""
        good = np.asarray(self.status) == Status.CONVERGED
        return bool(good) if good.ndim == 0 else good

    def __repr__(self) -> str:
        names = ", ".join(Status(s).name for s in np.unique(self.status))
        return f"FourierEquivalent(train={self.train}, test={self.test}, {names})"


# ------------------------------------------------------------------------------------------------- the function


def random_fourier_equivalent(
    X: ArrayLike,
    y: ArrayLike | None = None,
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    frequencies: ArrayLike,
    lam: ArrayLike,
    bandwidth: float = 1.0,
) -> FourierEquivalent:
    r"""Train and test error of ridge regression on random Fourier features, given the data.

    N frequencies w with independent entries ``N(0, 1/bandwidth**2)`` give 2N features ``cos(X w)`` and ``sin(X w)``;
    the ridge is that of ``Phi Phi'/n + lam I``. With infinitely many the kernel is Gaussian,
    ``N exp(-|x - x'|**2/(2 bandwidth**2))``; with as many as samples the errors are those of another problem,
    with a double descent.

    Parameters
    ----------
    X : array_like, shape (n_samples, n_features)
        Training data, not scaled.
    y : array_like, shape (n_samples,) or (n_samples, targets), optional
        Targets.
    X_test : array_like, shape (n_test, n_features), optional
        Test data.
    y_test : array_like, shape (n_test,) or (n_test, targets), optional
        Targets of the test data.
    frequencies : array_like
        Number N of frequencies, > 0.
    lam : array_like
        Ridge, > 0; broadcasts with frequencies.
    bandwidth : float, optional
        Width of the Gaussian kernel, > 0; about ``sqrt(n_features)`` for standardised features.

    Returns
    -------
    FourierEquivalent
        ``train``, ``test``, ``delta_cos``, ``delta_sin``, ``frequencies``, ``lam``, ``status``, ``residual``,
        ``iterations``.

    Raises
    ------
    ValueError
        For shapes that do not fit, or a scalar N or lam that is not positive; in an array such elements are NaN and
        INVALID.

    Warns
    -----
    ValidityWarning
        If n or N is below 20.

    Notes
    -----
    For a in {cos, sin}, with the kernels :math:`K_a` of the two kinds of features,

    .. math::

        \delta_a = \tfrac1n \operatorname{tr} K_a \bar Q, \qquad
        \bar Q = \Big( \frac Nn \sum_a \frac{K_a}{1 + \delta_a} + \lambda I \Big)^{-1},

    and with :math:`v = \bar Q y`, :math:`M_{ab} = \frac Nn (1 + \delta_b)^{-2} \frac1n \operatorname{tr} K_a \bar Q K_b
    \bar Q`, :math:`u = (I - M)^{-1} [\frac1n \operatorname{tr} K_a \bar Q^2]`

    .. math:: \text{train} = \frac{\lambda^2}{n} \Big[ |v|^2
        + \sum_a \frac Nn \frac{u_a}{(1 + \delta_a)^2}\, v^\top K_a v \Big]

    (Liao, Couillet & Mahoney 2020), and the test error likewise. The right side of the equations is increasing and
    concave, M is its Jacobian, and :math:`\operatorname{tr} K_a/(n\lambda)` lies above the solution: Newton's method
    from there descends to it, for every N and :math:`\lambda`.

    The features concentrate in high dimension. With far fewer dimensions than samples the equivalent is too high near
    the threshold 2 N = n: there, at lam = 1e-3, 480 samples of 240, 60 and 20 dimensions have test errors 1, 7 and 7 %
    below it, and training errors 3, 4 and 24 % off.

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde import random_fourier_equivalent
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 50))
    >>> r = random_fourier_equivalent(X, X[:, 0], frequencies=[50, 100, 400], lam=1e-3, bandwidth=7.0)
    >>> r.train.round(4), r.status
    (array([0.1686, 0.0056, 0.    ]), array([0, 0, 0]))
    """
    x = data("X", X)
    n = x.shape[0]
    width = check.scalar("bandwidth", bandwidth, positive=True)
    target, several = _targets("y", y, n)
    xt = None if X_test is None else data("X_test", X_test)
    if xt is not None and xt.shape[1] != x.shape[1]:
        raise ValueError(f"X_test must have the {x.shape[1]} columns of X; got shape {xt.shape}.")
    yt, also = _targets("y_test", y_test, 0 if xt is None else xt.shape[0])
    if (xt is None) != (yt is None) or (yt is not None and target is None):
        raise ValueError("X_test, y_test and y go together: the test error needs all three.")
    if yt is not None and target is not None and (several != also or yt.shape[1] != target.shape[1]):
        raise ValueError(
            f"y_test must have the targets of y; got {yt.shape[1]} and {target.shape[1]} columns."
        )

    N = check.swept("frequencies", frequencies, zero=False, hint="It is the number of random frequencies.")
    ridge = check.swept("lam", lam, zero=False, hint="Without a ridge the equations may have no solution.")
    grid = np.broadcast(N, ridge)
    shape, pairs = grid.shape, list(grid)
    if n < 20 or any(0 < a < 20 for a, _ in pairs):
        warn_user(f"{n} samples or some of the frequencies are fewer than 20: the equivalent speaks of many.")

    problem = _Problem.make(x / width, target, None if xt is None else xt / width, yt)
    with np.errstate(over="ignore", invalid="ignore"):  # an element that overflows is NOT_CONVERGED
        rows = [problem.solve(float(a), float(b)) for a, b in pairs]
    tail = (problem.y.shape[1],) if several else ()

    def errors(name: str) -> Any:
        values = np.array([getattr(r, name) for r in rows]).reshape(*shape, problem.y.shape[1])
        return _scalar(values if tail else values[..., 0])

    def numbers(values: list[Any], kind: type = float) -> Any:
        return _scalar(np.array(values, dtype=kind).reshape(shape))

    return FourierEquivalent(
        train=errors("train"),
        test=errors("test"),
        delta_cos=numbers([r.delta[0] for r in rows]),
        delta_sin=numbers([r.delta[1] for r in rows]),
        frequencies=numbers([a for a, _ in pairs]),
        lam=numbers([b for _, b in pairs]),
        status=Status(rows[0].status) if not shape else numbers([r.status for r in rows], int),
        residual=numbers([r.residual for r in rows]),
        iterations=numbers([r.iterations for r in rows], int),
    )


class _Solved(NamedTuple):
    train: Array
    test: Array
    delta: Array
    status: int
    residual: float
    iterations: int


class _Problem(NamedTuple):
    """Kernels of both kinds, of the training sample and against the test sample, and the targets."""

    kernels: tuple[Array, Array]
    y: Array
    cross: tuple[Array, Array] | None
    own: tuple[float, float]  # mean of the test kernels' diagonals
    y_test: Array | None

    @classmethod
    def make(cls, x: Array, y: Array | None, xt: Array | None, yt: Array | None) -> _Problem:
        square = np.einsum("ij,ij->i", x, x)
        K = _pair(square, square, x @ x.T)
        for M, sign in zip(K, (1.0, -1.0), strict=True):
            M[np.diag_indices_from(M)] = 0.5 * (1.0 + sign * np.exp(-2.0 * square))
        target = np.full((x.shape[0], 1), np.nan) if y is None else y
        if xt is None:
            return cls(K, target, None, (np.nan, np.nan), None)
        other = np.einsum("ij,ij->i", xt, xt)
        mean = float(np.mean(np.exp(-2.0 * other)))
        return cls(K, target, _pair(square, other, x @ xt.T), (0.5 * (1.0 + mean), 0.5 * (1.0 - mean)), yt)

    def inverse(self, N: float, lam: float, delta: Array) -> Array:
        n = self.y.shape[0]
        weights = (N / n) / (1.0 + delta)
        A = weights[0] * self.kernels[0] + weights[1] * self.kernels[1]
        A[np.diag_indices_from(A)] += lam
        if not np.isfinite(A).all():
            raise np.linalg.LinAlgError
        Q, _ = linalg.lapack.dpotri(linalg.cholesky(A, overwrite_a=True), overwrite_c=True)
        return np.asarray(np.triu(Q) + np.triu(Q, 1).T)

    def solve(self, N: float, lam: float) -> _Solved:
        n, k = self.y.shape
        nothing = np.full(k, np.nan)
        if not (0 < N < math.inf and 0 < lam < math.inf):
            return _Solved(nothing, nothing, np.full(2, np.nan), Status.INVALID, math.nan, 0)
        delta = np.array([np.trace(K) for K in self.kernels]) / (n * lam)
        best, residual, step = math.inf, math.inf, 0
        try:
            while True:
                Q = self.inverse(N, lam, delta)
                products = [K @ Q for K in self.kernels]
                value = np.array([np.trace(P) for P in products]) / n
                overlap = np.array([[np.sum(a * b.T) for b in products] for a in products]) / n
                M = (N / n) * overlap / (1.0 + delta) ** 2
                miss = delta - value
                residual = float(np.max(np.abs(miss) / np.maximum(value, 1e-300)))
                step += 1
                if residual <= 1e-15 or step == _STEPS or (residual < 1e-10 and residual >= best):
                    break
                best = min(best, residual)
                delta = np.maximum(delta - np.linalg.solve(np.eye(2) - M, miss), 0.0)
        except np.linalg.LinAlgError:  # lam is below the rounding of the kernels, or overflows
            return _Solved(nothing, nothing, np.full(2, np.nan), Status.NOT_CONVERGED, math.inf, step)
        state = _State(N, lam, delta, M, Q, products)
        train = self.train(state)
        test = nothing if self.cross is None else self.test(state)
        status = Status.CONVERGED if residual < 1e-10 else Status.NOT_CONVERGED
        return _Solved(train, test, delta, status, residual, step)

    def train(self, s: _State) -> Array:
        n = self.y.shape[0]
        v = s.lam * (s.Q @ self.y)
        forms = np.array([np.sum(v * (K @ v), axis=0) for K in self.kernels])
        u = np.linalg.solve(np.eye(2) - s.M, [np.sum(P * s.Q) / n for P in s.products])
        share = (s.N / n) * u / (1.0 + s.delta) ** 2
        return np.asarray((np.sum(v * v, axis=0) + share @ forms) / n)

    def test(self, s: _State) -> Array:
        assert self.cross is not None
        assert self.y_test is not None
        n, m = self.cross[0].shape
        v = s.Q @ self.y
        weights = (s.N / n) / (1.0 + s.delta)
        mean = weights[0] * self.cross[0] + weights[1] * self.cross[1]
        forms = np.array([np.sum(v * (K @ v), axis=0) for K in self.kernels])
        r = np.linalg.solve(np.eye(2) - s.M, forms)
        solved = s.Q @ mean
        spread = [
            own - (2.0 * np.sum(C * solved) - np.sum(solved * (K @ solved))) / m
            for own, C, K in zip(self.own, self.cross, self.kernels, strict=True)
        ]
        bias = np.sum((self.y_test - mean.T @ v) ** 2, axis=0) / m
        return np.asarray(bias + (s.N / n**2) * (np.array(spread) / (1.0 + s.delta) ** 2) @ r)


class _State(NamedTuple):
    """The solved equations at one N and lam; products are the K_a Q."""

    N: float
    lam: float
    delta: Array
    M: Array
    Q: Array
    products: list[Array]


def _pair(a: Array, b: Array, inner: Array) -> tuple[Array, Array]:
    """Kernels of cosines and of sines from squared norms and inner products; nothing overflows."""
    sizes = 0.5 * (a[:, None] + b)
    near, far = np.exp(np.minimum(inner - sizes, 0.0)), np.exp(np.minimum(-inner - sizes, 0.0))
    return 0.5 * (near + far), 0.5 * (near - far)


def _targets(name: str, value: ArrayLike | None, n: int) -> tuple[Array | None, bool]:
    """Targets as columns, and whether there were several."""
    if value is None:
        return None, False
    y = check.finite(name, check.real_array(name, value))
    if y.ndim not in (1, 2) or y.shape[0] != n:
        raise ValueError(f"{name} must have one row for each of the {n} samples; got shape {y.shape}.")
    return (y[:, None], False) if y.ndim == 1 else (y, True)


def _scalar(values: NDArray[Any]) -> Any:
    return values.item() if values.ndim == 0 else freeze(values)
