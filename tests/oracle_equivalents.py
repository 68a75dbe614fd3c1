"""Independent oracle of the linear equivalents: plain NumPy, sharing no code with the package.

Exact kernels come from Hermite series at each sample's own norm, equivalents from the recursions as they are
published, laws from plain fixed points, and everything else from simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial, sqrt

import numpy as np
from scipy import special

Function = Callable[[np.ndarray], np.ndarray]

#: Activations with no kink but at 0, so that one set of nodes serves all scales.
FUNCTIONS: dict[str, Function] = {
    "identity": lambda t: t,
    "relu": lambda t: np.maximum(t, 0.0),
    "abs": np.abs,
    "sign": np.sign,
    "tanh": np.tanh,
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
    "sigmoid": special.expit,
    "softplus": lambda t: np.logaddexp(0.0, t),
    "gelu": lambda t: t * special.ndtr(t),
    "arctan": np.arctan,
}

#: Their derivatives.
DERIVATIVES: dict[str, Function] = {
    "identity": np.ones_like,
    "relu": lambda t: (t > 0).astype(float),
    "abs": np.sign,
    "tanh": lambda t: 1.0 / np.cosh(t) ** 2,
    "erf": lambda t: 2.0 / np.sqrt(np.pi) * np.exp(-t * t),
    "sin": np.cos,
    "cos": lambda t: -np.sin(t),
    "sigmoid": lambda t: special.expit(t) * special.expit(-t),
    "softplus": special.expit,
    "gelu": lambda t: special.ndtr(t) + t * np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi),
    "arctan": lambda t: 1.0 / (1.0 + t * t),
}


def _rule() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre on pieces of the line, a break at 0, weights of the normal density."""
    x, w = np.polynomial.legendre.leggauss(24)
    ends = np.linspace(-12.0, 12.0, 49)
    middle, half = (ends[1:] + ends[:-1]) / 2.0, 0.25
    nodes = (middle[:, None] + half * x).ravel()
    weights = np.tile(half * w, middle.size) * np.exp(-0.5 * nodes**2) / np.sqrt(2.0 * np.pi)
    return nodes, weights


NODES, WEIGHTS = _rule()


def polynomials(order: int) -> np.ndarray:
    """Normalised Hermite polynomials at the nodes, shape (order + 1, nodes)."""
    rows = [np.ones_like(NODES), NODES]
    for k in range(1, order):
        rows.append((NODES * rows[k] - sqrt(k) * rows[k - 1]) / sqrt(k + 1))
    return np.array(rows[: order + 1])


def hermite(f: Function, order: int, tau: float | np.ndarray = 1.0) -> np.ndarray:
    """``E[f(tau xi) h_k(xi)]``, shape tau.shape + (order + 1,)."""
    values = f(np.asarray(tau)[..., None] * NODES)
    return np.asarray((values * WEIGHTS) @ polynomials(order).T)


def expect(f: Function) -> float:
    """``E f(xi)``."""
    return float(WEIGHTS @ f(NODES))


def centred(f: Function, tau: float) -> Function:
    mean = expect(lambda x: f(tau * x))
    return lambda t: f(t) - mean


# ------------------------------------------------------------------------------------------- exact kernels


def kernels(
    X: np.ndarray,
    stack: Sequence[Function],
    slopes: Sequence[Function],
    *,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    terms: int = 60,
) -> tuple[np.ndarray, np.ndarray]:
    """Conjugate and tangent kernel of a stack, rows of X unscaled; |correlations| well below 1."""
    K = weight_variance * (X @ X.T) / X.shape[1] + bias_variance
    theta = K.copy()
    for layer, (f, d) in enumerate(zip(stack, slopes, strict=True)):
        scale = np.sqrt(np.diag(K))
        rho = K / np.outer(scale, scale)
        a = hermite(f, terms, scale)
        b = a[:, 1:] * np.sqrt(np.arange(1, terms + 1)) / scale[:, None]  # coefficients of the derivative
        value, slope, power = np.zeros_like(K), np.zeros_like(K), np.ones_like(K)
        for k in range(terms):
            value += np.outer(a[:, k], a[:, k]) * power
            slope += np.outer(b[:, k], b[:, k]) * power
            power *= rho
        np.fill_diagonal(value, (f(scale[:, None] * NODES) ** 2) @ WEIGHTS)
        np.fill_diagonal(slope, (d(scale[:, None] * NODES) ** 2) @ WEIGHTS)
        T = value + theta * slope
        K, theta = (M * weight_variance + bias_variance for M in (value, T))
        if layer == len(stack) - 1:
            return value, T
    raise ValueError("stack must not be empty")


def equilibrium(X: np.ndarray, f: Function, feedback: float, source: float, terms: int = 16) -> np.ndarray:
    """Conjugate kernel of ``z = f(A z + B x)``, iterated until it stands still."""
    gram = X @ X.T / X.shape[1]
    K = np.zeros_like(gram)
    while True:
        S = feedback * K + source * gram
        scale = np.sqrt(np.diag(S))
        rho = S / np.outer(scale, scale)
        a = hermite(f, terms, scale)
        new, power = np.zeros_like(gram), np.ones_like(gram)
        for k in range(terms + 1):
            new += np.outer(a[:, k], a[:, k]) * power
            power *= rho
        np.fill_diagonal(new, (f(scale[:, None] * NODES) ** 2) @ WEIGHTS)
        if np.abs(new - K).max() < 1e-7:
            return new
        K = new


# --------------------------------------------------------------------------------------------- equivalents


class Recursion:
    """The published recursions for centred activations, unit weights and no biases."""

    def __init__(self, stack: Sequence[Function], slopes: Sequence[Function], tau0: float):
        self.tau, self.kappa = [tau0], [tau0]
        self.alpha, self.beta = [np.array([1.0, 0.0, 0.0, 1.0])], [np.array([1.0, 0.0, 0.0])]
        self.stack = []
        for raw, d in zip(stack, slopes, strict=True):
            t = self.tau[-1]
            f = centred(raw, t)
            self.stack.append(f)
            a = hermite(f, 2, t)
            b1, b2 = a[1] / t, sqrt(2.0) * a[2] / t**2
            square = expect(lambda x, f=f, t=t: f(t * x) ** 2)
            quadratic = expect(lambda x, f=f, t=t: f(t * x) ** 2 * (x * x - 1.0)) / (2.0 * t * t)
            old, older = self.alpha[-1], self.beta[-1]
            new = np.array([
                b1**2 * old[0],
                b1**2 * old[1] + 0.25 * b2**2 * old[3] ** 2,
                b1**2 * old[2] + 0.5 * b2**2 * old[0] ** 2,
                old[3] * quadratic,
            ])  # fmt: skip
            self.alpha.append(new)
            newer = new[:3] + b1**2 * older
            newer[2] += b2**2 * old[0] * older[0]
            self.beta.append(newer)
            self.tau.append(sqrt(square))
            self.kappa.append(sqrt(square + self.kappa[-1] ** 2 * expect(lambda x, d=d, t=t: d(t * x) ** 2)))

    def matrix(
        self, X: np.ndarray, labels: np.ndarray, mixture: Mixture, kind: str, layer: int = -1
    ) -> np.ndarray:
        """``a1 X'X + V A V' + (diagonal) I`` in rows."""
        p = X.shape[1]
        J = np.eye(len(mixture.means))[labels]
        x = X / np.sqrt(p)
        psi = np.sum(x**2, axis=1) - mixture.mean_square[labels]
        V = np.column_stack([J / np.sqrt(p), psi])
        a1, a2, a3 = (self.alpha if kind == "conjugate" else self.beta)[layer][:3]
        diagonal = (self.tau if kind == "conjugate" else self.kappa)[layer] ** 2
        t, T = mixture.t, mixture.T
        A = np.block([[a2 * np.outer(t, t) + a3 * T, a2 * t[:, None]], [a2 * t[None, :], np.array([[a2]])]])
        return a1 * x @ x.T + V @ A @ V.T + (diagonal - self.tau[0] ** 2 * a1) * np.eye(X.shape[0])


class Mixture:
    """Classes of Gaussian data with full covariances and their statistics."""

    def __init__(self, means: np.ndarray, covariances: np.ndarray, proportions: np.ndarray):
        self.means, self.covariances, self.proportions = means, covariances, proportions
        p = means.shape[1]
        centre = np.einsum("a,aij->ij", proportions, covariances)
        self.tau0 = sqrt(np.trace(centre) / p)
        self.t = np.array([np.trace(C - centre) for C in covariances]) / sqrt(p)
        self.T = np.array([[np.sum(C * D.T) for D in covariances] for C in covariances]) / p
        self.mean_square = (np.sum(means**2, axis=1) + np.array([np.trace(C) for C in covariances])) / p
        self.roots = [np.linalg.cholesky(C) for C in covariances]

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        counts = np.round(self.proportions * n).astype(int)
        counts[0] += n - counts.sum()
        labels = np.repeat(np.arange(counts.size), counts)
        rows = [
            m + rng.standard_normal((k, m.size)) @ root.T
            for m, root, k in zip(self.means, self.roots, counts, strict=True)
        ]
        return np.concatenate(rows), labels


def distances(X: np.ndarray) -> np.ndarray:
    """Squared distances, exactly 0 on the diagonal."""
    square = np.sum(X**2, axis=1)
    D = square[:, None] + square - 2.0 * X @ X.T
    np.fill_diagonal(D, 0.0)
    return np.asarray(np.maximum(D, 0.0))


def distance_equivalent(
    derivatives: Sequence[float], X: np.ndarray, labels: np.ndarray, mixture: Mixture
) -> np.ndarray:
    """The published expansion of ``f(|x_i - x_j|**2/p)`` off the diagonal."""
    p = X.shape[1]
    traces = np.array([np.trace(C) for C in mixture.covariances])
    psi = np.sum((X - mixture.means[labels]) ** 2, axis=1) / p - traces[labels] / p
    t = mixture.t[labels]
    pair, shift = psi[:, None] + psi, t[:, None] + t
    T = mixture.T[np.ix_(labels, labels)]
    square = pair**2 + 2.0 / sqrt(p) * pair * shift + (shift**2 + 4.0 * T) / p
    f0, f1, f2 = derivatives
    return np.asarray(f0 + f1 * (distances(X) / p - 2.0 * mixture.tau0**2) + 0.5 * f2 * square)


def norm(M: np.ndarray) -> float:
    """Operator norm of a symmetric matrix."""
    return float(np.abs(np.linalg.eigvalsh(M)).max())


# -------------------------------------------------------------------------------------------------- laws

Transform = Callable[[complex], complex]


def iterate(step: Transform, start: complex) -> complex:
    """A fixed point by averaged iteration, accelerated (Steffensen)."""
    m = start
    for _ in range(10_000):
        one = 0.5 * (m + step(m))
        two = 0.5 * (one + step(one))
        if abs(two - one) < 1e-14 * abs(m):
            return two
        bend = two - 2.0 * one + m
        fast = m - (one - m) ** 2 / bend if bend else two
        m = fast if fast.imag > 0.0 and abs(step(fast) - fast) < abs(step(two) - two) else two
    raise AssertionError("no convergence")


def sample_transform(population: Transform, ratio: float) -> Transform:
    """Stieltjes transform of ``M^1/2 Z Z' M^1/2/n`` from that of M, by the equation of Marchenko and Pastur."""

    def transform(z: complex) -> complex:
        def step(m: complex) -> complex:
            a = 1.0 - ratio - ratio * z * m
            return population(z / a) / a

        return iterate(step, -1.0 / z)

    return transform


def gram_transform(values: Sequence[float], weights: Sequence[float], ratio: float) -> Transform:
    """Stieltjes transform of the n x n matrix ``X X'/p`` for rows of covariance with the given eigenvalues."""

    def transform(z: complex) -> complex:
        # m = -1/(z - int t/(1 + t m/ratio)), from the p dimensions as p independent columns
        def step(m: complex) -> complex:
            return -1.0 / (
                z - sum(w * t / (1.0 + t * m / ratio) for t, w in zip(values, weights, strict=True))
            )

        return iterate(step, -1.0 / z)

    return transform


def affine_transform(m: Transform, scale: float, shift: float) -> Transform:
    return lambda z: m((z - shift) / scale) / scale


def inner_product_transform(a1: float, noise: float, ratio: float) -> Transform:
    """Kernel matrices of inner products: the cubic equation of m."""

    def transform(z: complex) -> complex:
        return iterate(lambda m: -1.0 / (z + a1 - a1 / (1.0 + a1 * m / ratio) + noise / ratio * m), -1.0 / z)

    return transform


# ------------------------------------------------------------------------------------------- one function


def kinked(f: Function, kink: float, scale: float, order: int) -> tuple[np.ndarray, float]:
    """Hermite coefficients of ``f(scale xi)`` up to the order and the rest of its second moment, a kink anywhere."""
    x, w = np.polynomial.legendre.leggauss(40)
    ends = np.unique(np.append(np.linspace(-12.0, 12.0, 25), kink))
    half = np.diff(ends)[:, None] / 2.0
    t = (ends[:-1, None] + half * (1.0 + x)).ravel()
    weights = (half * w).ravel() * np.exp(-0.5 * t**2) / np.sqrt(2.0 * np.pi)
    rest, out = f(scale * t), []
    for k in range(order + 1):
        h = special.eval_hermitenorm(k, t) / sqrt(factorial(k))
        out.append(weights @ (f(scale * t) * h))
        rest = rest - out[-1] * h
    return np.array(out), float(weights @ rest**2)


def taylor_error(f: Function, at: float, scale: float) -> float:
    """``sqrt E (f(at + scale xi) - at - scale xi)**2`` for the absolute value, whose kink is at 0."""
    return sqrt(
        kinked(lambda t: f(at + t) - at - t, -at / scale, scale, 0)[1]
        + kinked(lambda t: f(at + t) - at - t, -at / scale, scale, 0)[0][0] ** 2
    )
