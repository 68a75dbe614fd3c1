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
    *,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    terms: int = 60,
) -> tuple[np.ndarray, np.ndarray]:
    """Conjugate and tangent kernel of a stack, rows of X unscaled; |correlations| well below 1."""
    K = weight_variance * (X @ X.T) / X.shape[1] + bias_variance
    theta = K.copy()
    for layer, f in enumerate(stack):
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
        np.fill_diagonal(slope, [slope_square(f, s) for s in scale])
        T = value + theta * slope
        K, theta = (M * weight_variance + bias_variance for M in (value, T))
        if layer == len(stack) - 1:
            return value, T
    raise ValueError("stack must not be empty")


def slope_square(f: Function, tau: float, step: float = 1e-5) -> float:
    """``E f'(tau xi)**2`` by central differences; no node is within a step of 0."""
    t = tau * NODES
    d = (f(t - 2 * step) - f(t + 2 * step) + 8 * (f(t + step) - f(t - step))) / (12 * step)
    return float(WEIGHTS @ d**2)


# --------------------------------------------------------------------------------------------- equivalents


class Recursion:
    """The published recursions for centred activations, unit weights and no biases."""

    def __init__(self, stack: Sequence[Function], tau0: float):
        self.tau, self.kappa = [tau0], [tau0]
        self.alpha, self.beta = [np.array([1.0, 0.0, 0.0, 1.0])], [np.array([1.0, 0.0, 0.0])]
        self.stack = []
        for raw in stack:
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
            self.kappa.append(sqrt(square + self.kappa[-1] ** 2 * slope_square(f, t)))

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


def norm(M: np.ndarray) -> float:
    """Operator norm of a symmetric matrix."""
    return float(np.abs(np.linalg.eigvalsh(M)).max())


def taylor(coefficients: Sequence[float], t: np.ndarray) -> np.ndarray:
    """``sum c_k t**k/k!`` of derivatives c_k."""
    return np.asarray(sum(c * t**k / factorial(k) for k, c in enumerate(coefficients)))
