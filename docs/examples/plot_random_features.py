r"""
Double descent of random features, and where it comes from
==========================================================

A network of one hidden layer with random weights, whose last layer is fitted by ridge regression: the test error
against the width first falls, rises to a peak where there are as many features as samples, and falls again.
**What the figures show:** :func:`fasthde.random_features` as lines beside trained models as points, for two ridges;
and, at the smaller one, the parts of the error. The peak is variance, most of it from samples and weights together:
averaging the predictions of several networks removes it. The last figure is the same on real data.
"""

# %%
# Theory
# ------
# Inputs of 400 dimensions with a power-law covariance, a linear target with a little noise, 300 samples, and features
# :math:`\tanh(w^\top x)`.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

BLUE, RED, GREEN, VIOLET, GREY = "#1b6ca8", "#d1603d", "#5a8f3c", "#8a5aa8", "0.6"

p, n, noise = 400, 300, 0.05
covariance = np.arange(1, p + 1.0) ** -0.5
covariance /= covariance.sum()
beta = np.full(p, 1.0)
ridges = np.array([1e-5, 3e-2])

problem = fh.LinearProblem(fh.Spectrum(covariance), beta**2, noise)
widths = np.geomspace(30, 6000, 400)[:, None]
theory = fh.random_features(problem, "tanh", widths, n, ridges)
theory

# %%
# Simulation
# ----------
# Twelve draws of sample and weights at each of fourteen widths, the test error on 2000 fresh inputs.

rng = np.random.default_rng(0)
root = np.sqrt(covariance)


def draw(width):
    """Test errors of one trained model, a ridge each."""
    W = rng.standard_normal((width, p))
    X, fresh = (rng.standard_normal((m, p)) * root for m in (n, 2000))
    F, new = np.tanh(X @ W.T), np.tanh(fresh @ W.T)
    y = X @ beta + np.sqrt(noise) * rng.standard_normal(n)
    errors = []
    for lam in ridges:
        if width <= n:
            theta = np.linalg.solve(F.T @ F + n * lam * np.eye(width), F.T @ y)
        else:
            theta = F.T @ np.linalg.solve(F @ F.T + n * lam * np.eye(n), y)
        errors.append(np.mean((new @ theta - fresh @ beta) ** 2) + noise)
    return errors


tried = np.unique(np.geomspace(40, 3000, 14).astype(int))
drawn = np.array([[draw(width) for _ in range(12)] for width in tried])
mean, spread = drawn.mean(axis=1), drawn.std(axis=1) / np.sqrt(drawn.shape[1])

# %%
# Figure
# ------

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharex=True)
for k, colour in enumerate((RED, BLUE)):
    left.plot(widths / n, theory.test[:, k], color=colour, label=rf"$\lambda = {ridges[k]:g}$")
    left.errorbar(tried / n, mean[:, k], 2 * spread[:, k], fmt="o", ms=4, color=colour)
left.axvline(1.0, color=GREY, lw=0.8)
left.set(xscale="log", yscale="log", xlabel="features / samples", ylabel="test error", title="Test error")
left.legend()
parts = {
    "squared bias": (theory.squared_bias, GREY),
    "samples": (theory.variance_samples, BLUE),
    "weights": (theory.variance_weights, GREEN),
    "samples and weights": (theory.variance_interaction, VIOLET),
    "noise": (theory.variance, RED),
}
right.stackplot(
    widths[:, 0] / n,
    [part[:, 0] for part, _ in parts.values()],
    labels=parts,
    colors=[colour for _, colour in parts.values()],
)
right.set(
    ylim=(0, 3), xlabel="features / samples", title=rf"Excess error and its parts, $\lambda = {ridges[0]:g}$"
)
right.legend(loc="upper right")
plt.show()

# %%
# Real data
# ---------
# :func:`fasthde.random_features_on` takes the data as they are and averages over the weights alone: 8 x 8 digits, even
# against odd, 600 to train on and 600 to test on, features of a ReLU. Lines are its two errors, at all widths and two
# ridges from one eigendecomposition; points are means of ten trained models.

data = fh.data.load("digits")
order = rng.permutation(data.y.size)
X, y = (data.X - data.X.mean(axis=0))[order] / 20, data.y[order]
X, y, X_test, y_test = X[:600], y[:600], X[600:1200], y[600:1200]
ridges = np.array([1e-5, 1e-2])
theory = fh.random_features_on(X, y, X_test, y_test, "relu", widths, ridges)


def train(width):
    """Training and test errors of one trained model, a ridge each."""
    W = rng.standard_normal((width, X.shape[1]))
    F, new = np.maximum(X @ W.T, 0), np.maximum(X_test @ W.T, 0)
    values, vectors = np.linalg.eigh(F @ F.T)
    errors = []
    for lam in ridges:
        dual = vectors @ ((vectors.T @ y) / (np.maximum(values, 0) + len(y) * lam))
        errors.append([np.mean((y - F @ (F.T @ dual)) ** 2), np.mean((y_test - new @ (F.T @ dual)) ** 2)])
    return errors


tried = np.unique(np.geomspace(40, 3000, 12).astype(int))
drawn = np.array([[train(width) for _ in range(10)] for width in tried])
mean, spread = drawn.mean(axis=1), drawn.std(axis=1) / np.sqrt(drawn.shape[1])

fig, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for k, colour in enumerate((RED, BLUE)):
    for j, (errors, style) in enumerate(((theory.train, "--"), (theory.test, "-"))):
        name = ("training", "test")[j]
        axis.plot(widths, errors[:, k], style, color=colour, label=rf"{name}, $\lambda = {ridges[k]:g}$")
        axis.errorbar(tried, mean[:, k, j], 2 * spread[:, k, j], fmt="os"[j], ms=4, color=colour)
axis.axvline(len(y), color=GREY, lw=0.8)
axis.set(
    xscale="log",
    yscale="log",
    ylim=(1e-4, 30),
    xlabel="features",
    ylabel="mean squared error",
    title="Digits",
)
axis.legend()
plt.show()
