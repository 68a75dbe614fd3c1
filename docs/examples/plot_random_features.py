r"""
Double descent of random features, and where it comes from
==========================================================

A network of one hidden layer with random weights, whose last layer is fitted by ridge regression: the test error
against the width first falls, rises to a peak where there are as many features as samples, and falls again.
**What the figures show:** :func:`fasthde.random_features` as lines beside trained models as points, for two ridges;
and, at the smaller one, the parts of the error. The peak is variance, most of it from samples and weights together:
averaging the predictions of several networks removes it.
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
