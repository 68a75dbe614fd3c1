r"""
Double descent of ridge regression
==================================

Ridge regression on :math:`n` samples of dimension :math:`p = 512`, from far fewer samples than parameters to
twice as many. With a small ridge the test error first rises towards the interpolation threshold
:math:`n = p`, then falls again; a larger ridge removes the peak. Lines are the high-dimensional equivalents
returned by :func:`fasthde.ridge`, dots are a plain NumPy simulation of the same problem.

The figure has the setting of the double-descent curves of arXiv 2506.13139: covariance :math:`C = I`,
:math:`|\beta| = 1`, noise variance :math:`\sigma^2 = 0.1`, and ridges :math:`\lambda = 10^{-5}` and
:math:`10^{-2}`.
"""

# %%
# Theory
# ------
# One call gives both ridges on a fine grid of sample sizes: ``n`` and ``lam`` broadcast. Sample sizes need
# not be integers.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

p, noise = 512, 0.1
ridges = np.array([1e-5, 1e-2])
problem = fh.LinearProblem(fh.Spectrum.isotropic(p), signal=1.0, noise=noise)

ratios = np.unique(np.concatenate([np.linspace(0.06, 2.0, 600), 1.0 + np.linspace(-0.05, 0.05, 201)]))
theory = fh.ridge(problem, n=p * ratios[:, None], lam=ridges)
theory

# %%
# Simulation
# ----------
# Sixteen independent training sets at each of twenty-two sample sizes. As :math:`C = I`, the test error of an
# estimate is :math:`|\hat\beta - \beta|^2 + \sigma^2`, so no test sample is needed. Below the threshold the
# estimate is computed in its dual form, from the :math:`n \times n` Gram matrix.


def simulate(n, rng):
    """Train and test error of one draw, for each ridge."""
    X = rng.standard_normal((n, p))
    beta = rng.standard_normal(p)
    beta /= np.linalg.norm(beta)
    y = X @ beta + np.sqrt(noise) * rng.standard_normal(n)
    gram = (X @ X.T if n < p else X.T @ X) / n
    train, test = [], []
    for lam in ridges:
        shifted = gram + lam * np.eye(len(gram))
        if n < p:
            dual = np.linalg.solve(shifted, y)
            estimate, residual = X.T @ dual / n, lam * dual
        else:
            estimate = np.linalg.solve(shifted, X.T @ y / n)
            residual = y - X @ estimate
        train.append(np.mean(residual**2))
        test.append(np.sum((estimate - beta) ** 2) + noise)
    return train, test


rng = np.random.default_rng(2024)
below = [0.08, 0.17, 0.26, 0.35, 0.44, 0.53, 0.62, 0.71, 0.8, 0.87, 0.93, 0.97]
above = [1.0, 1.03, 1.08, 1.15, 1.25, 1.37, 1.5, 1.65, 1.8, 1.96]
sizes = np.round(p * np.array([*below, *above])).astype(int)
draws = 16
runs = np.array(
    [[simulate(n, rng) for _ in range(draws)] for n in sizes]
)  # axes: size, draw, train/test, ridge
mean = runs.mean(axis=1)
error = runs.std(axis=1, ddof=1) / np.sqrt(draws)

# %%
# Theory over simulation
# ----------------------
# Error bars are one standard error of the mean. They are visible around :math:`n = p` for the smaller ridge,
# where a single small eigenvalue decides the error of a draw. Elsewhere they are smaller than the dots.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharex=True, layout="constrained")
colours = ["#c1442e", "#22577a"]
labels = [r"$\lambda = 10^{-5}$", r"$\lambda = 10^{-2}$"]

for ax, title, curve, row in [
    (axes[0], "Test error", theory.test, 1),
    (axes[1], "Training error", theory.train, 0),
]:
    for j, colour in enumerate(colours):
        ax.plot(ratios, curve[:, j], color=colour, lw=1.8, label=f"theory, {labels[j]}")
        ax.errorbar(
            sizes / p, mean[:, row, j], yerr=error[:, row, j],
            fmt="o", ms=5, mfc="white", mec=colour, mew=1.3, ecolor=colour, elinewidth=1.1, capsize=2,
            label=f"simulation, {labels[j]}",
        )  # fmt: skip
    ax.axvline(1.0, color="0.6", lw=0.9, ls=":", zorder=0)
    ax.set(yscale="log", xlim=(0, 2), xlabel="samples per dimension, $n/p$", title=title)
    ax.grid(axis="y", color="0.92", lw=0.8)
    ax.spines[["top", "right"]].set_visible(False)

axes[0].axhline(noise, color="0.35", lw=1.0, ls="--")
axes[0].annotate(
    r"noise $\sigma^2$", (0.03, noise), (0, 4), textcoords="offset points", color="0.35", fontsize=9
)
axes[1].annotate("$n = p$", (1.0, 0.94), (-5, 0), xycoords=("data", "axes fraction"),
                 textcoords="offset points", ha="right", color="0.35", fontsize=9)  # fmt: skip
axes[0].set_ylabel("mean squared error")
axes[1].legend(frameon=False, loc="lower right")
plt.show()

# %%
# The largest deviation in units of the standard error, over all the dots:

curve = fh.ridge(problem, n=sizes[:, None], lam=ridges)
deviation = np.stack([curve.train, curve.test], axis=1) - mean
print(f"largest |theory - simulation| / standard error: {np.max(np.abs(deviation) / error):.1f}")

# %%
# The peak is a symptom of too small a ridge: with the best ridge for each sample size,
# :func:`fasthde.optimal_ridge`, the test error only falls.

best = fh.optimal_ridge(problem, n=p * np.array([0.5, 1.0, 2.0]))
for n, lam, test in zip(best.n, best.lam, best.test, strict=True):
    print(f"n = {n:6.0f}   best ridge {lam:.3f}   test error {test:.4f}")
