"""Random features at 40 digits, in the printed form of the equations, and by simulation; no code of the package."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np


@mp.workdps(40)
def solve(t, k, b, noise, width, n, lam, tail=0.0, tail_power=0.0):
    """All fields at one point: bisection for nu, then the equations as printed (width may be None: a kernel)."""
    t, k, b = ([mp.mpf(float(x)) for x in v] for v in (t, k, b))
    n, lam, noise, tail, tail_power = (mp.mpf(float(x)) for x in (n, lam, noise, tail, tail_power))
    d = mp.inf if width is None else mp.mpf(float(width))
    strength = n * lam if width is None else n * lam / d

    def df(nu, power):
        return sum(m * (x / (x + nu)) ** power for m, x in zip(k, t, strict=True))

    def df1(nu):
        return df(nu, 1) + tail / nu

    def above(nu):
        """Whether nu lies above the root."""
        free = n - df1(nu)
        if free <= 0 or df1(nu) >= d:
            return False
        return free * (1 - df1(nu) / d) > strength / nu

    low, high = mp.mpf(10) ** -60, mp.mpf(10) ** 40
    for _ in range(145):  # a relative 1e-40 of 100 decades
        middle = mp.sqrt(low * high)
        low, high = (low, middle) if above(middle) else (middle, high)
    nu = mp.sqrt(low * high)
    one, two = df1(nu), df(nu, 2)
    trace = sum(m * x / (x + nu) ** 2 for m, x in zip(k, t, strict=True)) + tail / nu**2
    if width is None:
        upsilon, chi = two / n, mp.mpf(0)
    else:
        share = 1 - one / d
        upsilon = d / n * ((one / d) ** 2 + share**2 * two / (d - two))
        chi = trace / (d - two)
    first = nu**2 * sum(c / (x + nu) ** 2 for c, x in zip(b, t, strict=True)) + tail_power
    second = nu**2 * chi * sum(c * x / (x + nu) ** 2 for c, x in zip(b, t, strict=True))
    bias, variance = (first + second) / (1 - upsilon), noise * upsilon / (1 - upsilon)
    test = bias + variance + noise
    samples = first * (two / n) / (1 - two / n)
    out = {
        "kappa": nu, "df1": one, "df2": two, "bias": bias, "variance": variance, "test": test,
        "train": (1 - one / n) ** 2 * test, "squared_bias": first, "variance_samples": samples,
        "variance_weights": second, "variance_interaction": bias - first - second - samples,
    }  # fmt: skip
    return {name: float(value) for name, value in out.items()}


def errors(phi, covariance, beta, noise, width, n, lam, rng, samples=1, weights=1, n_test=4000):
    """Test errors of one draw: predictions of every pair of sample and weights, centred nowhere.

    Returns the mean test error over pairs, and the excess errors of the predictions averaged over weights, over
    samples, and over both, each as an unbiased product of two independent halves where there are several.
    """
    p = covariance.size
    root = np.sqrt(covariance)
    W = [rng.standard_normal((width, p)) for _ in range(weights)]
    xt = rng.standard_normal((n_test, p)) * root
    target = xt @ beta
    predicted = np.empty((samples, weights, n_test))
    for i in range(samples):
        x = rng.standard_normal((n, p)) * root
        y = x @ beta + math.sqrt(noise) * rng.standard_normal(n)
        for j, w in enumerate(W):
            F = phi(x @ w.T)
            if width <= n:
                theta = np.linalg.solve(F.T @ F + n * lam * np.eye(width), F.T @ y)
            else:
                theta = F.T @ np.linalg.solve(F @ F.T + n * lam * np.eye(n), y)
            predicted[i, j] = phi(xt @ w.T) @ theta
    return predicted - target


def relu_kernel(x, y):
    """E relu(w'x) relu(w'y), w standard normal (Cho & Saul 2009)."""
    norms = np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    angle = np.arccos(np.clip(x @ y.T / norms, -1, 1))
    return norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)


def conditional(K, y, side, own, aim, d, lam):
    """Train and test error given the kernel matrices, in the printed form with the resolvent itself."""
    n, m = side.shape
    delta = 1.0
    low, high = 1e-30, 1e30
    for _ in range(400):
        delta = math.sqrt(low * high)
        Q = np.linalg.inv(d / n * K / (1 + delta) + lam * np.eye(n))
        low, high = (delta, high) if np.trace(K @ Q) / n > delta else (low, delta)
    s = d / n / (1 + delta)
    Kb, v = s * K, Q @ y
    denominator = 1 - np.trace(Kb @ Q @ Kb @ Q) / d
    form = v @ Kb @ v
    train = lam**2 / n * (v @ v + np.trace(Q @ Kb @ Q) / d / denominator * form)
    Kx = s * side
    spread = s * own - np.trace((np.eye(n) + lam * Q) @ Kx @ Kx.T @ Q) / m
    test = np.mean((aim - Kx.T @ v) ** 2) + form / d / denominator * spread
    return train, test


def trained(phi, x, y, xt, aim, d, lam, rng):
    """Train and test error of one draw of the weights."""
    W = rng.standard_normal((d, x.shape[1]))
    F, new, n = phi(x @ W.T), phi(xt @ W.T), x.shape[0]
    if lam == 0.0:
        theta = np.linalg.lstsq(F, y, rcond=None)[0]
    elif d <= n:
        theta = np.linalg.solve(F.T @ F + n * lam * np.eye(d), F.T @ y)
    else:
        theta = F.T @ np.linalg.solve(F @ F.T + n * lam * np.eye(n), y)
    return np.mean((y - F @ theta) ** 2), np.mean((aim - new @ theta) ** 2)
