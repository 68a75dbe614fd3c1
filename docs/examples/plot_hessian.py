r"""
Hessians: what a loss sees of its data
======================================

The Hessian of a generalised linear model at a point :math:`w` is :math:`\frac1n \sum_i g_i x_i x_i^\top` with
:math:`g_i = \ell''(y_i, w^\top x_i)`. **What the figure shows:** one data set, four losses, four different spectra. The
bulk may lie on one side of 0 or on both, with or without an end, and eigenvalues may stand apart whose eigenvectors
point to :math:`w` or to :math:`w_*`. Lines are computed by :func:`fasthde.hessian_law`, histograms are one simulated
matrix each.

Equations: arXiv 2103.01519.
"""

# %%
# The models
# ----------
# All have :math:`C = I`. The user's own weights are a spectral initialisation: of responses :math:`y = (w_*^\top x)^2`
# alone, by :math:`g = (y - 1)/(y + \sqrt{n/p} - 1)`. The eigenvector of the largest eigenvalue estimates :math:`w_*`.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

p, ratio = 1200, 0.2
n = round(p / ratio)
w, w_star = np.array([2.0, 0.0]), np.array([1.0, 1.0])
C = fh.Spectrum([1.0, 1.0])  # two directions hold w and w*; any number of dimensions has the same law


def preprocess(y, u):
    """Weights of a spectral initialisation, which sees no w."""
    return (y - 1.0) / (y + np.sqrt(1.0 / ratio) - 1.0)


laws = {
    "logistic, $|w| = 4$": fh.hessian_law(C, ratio, "logistic", 2.0 * w, w_star),
    "Poisson, $|w| = 1/2$": fh.hessian_law(C, ratio, "poisson", 0.25 * w, w_star),
    "phase retrieval, clipped at 5": fh.hessian_law(
        C, ratio, "phase_retrieval", 0.5 * w, w_star, clipping=5.0
    ),
    "own weights: spectral initialisation": fh.hessian_law(
        C, ratio, preprocess, w_star=[1.0, 0.0], response=np.square
    ),
}

# %%
# Simulation
# ----------

rng = np.random.default_rng(7)
X = rng.standard_normal((p, n))
u, v = w @ X[:2], w_star @ X[:2]
weights = [
    0.25 / np.cosh(u) ** 2,
    np.exp(0.25 * u),
    np.clip(3.0 * (0.5 * u) ** 2 - v**2, -5.0, 5.0),
    preprocess(X[0] ** 2, None),
]
simulated = [np.linalg.eigvalsh((X * g) @ X.T / n) for g in weights]

# %%
# Theory over simulation
# ----------------------

fig, axes = plt.subplots(2, 2, figsize=(11, 7.2), layout="constrained")
for ax, (name, law), values in zip(axes.flat, laws.items(), simulated, strict=True):
    a, b = law.ppf([1e-6, 1.0 - 2e-4])
    spikes = law.spikes
    ends = np.array([a, b, values[0], values[-1], *(s.location for s in spikes)])
    room = 0.06 * np.ptp(ends)
    ax.hist(
        values,
        bins=90,
        range=(ends.min(), ends.max()),
        density=True,
        color="#cfdde6",
        label=f"one matrix, p = {p}",
    )
    x = np.linspace(a - room, b + room, 1500)
    ax.plot(x, law.pdf(x), color="#1b6ca8", lw=1.8, label="theory")
    top = ax.get_ylim()[1]
    for k, spike in enumerate(spikes):
        nearest = np.argmin(np.abs(values - spike.location))
        ax.plot(
            spike.location,
            0.02 * top,
            "v",
            color="#d1603d",
            ms=9,
            label="isolated, theory" if k == 0 else None,
        )
        ax.plot(
            values[nearest], 0.02 * top, "o", mfc="none", mec="k", ms=7, zorder=5,
            label="isolated, simulation" if k == 0 else None,
        )  # fmt: skip
        lower = spike.location < 0.5 * (a + b)
        cosines = [("w", spike.alignment), ("w_*", spike.alignment_star)]
        text = "\n".join(rf"$\cos^2({v}) = {value:.2f}$" for v, value in cosines if np.isfinite(value))
        ax.annotate(
            text, (spike.location, 0.03 * top), (-6 if lower else 8, 45 if lower else 60), textcoords="offset points",
            ha="center" if lower else "right", fontsize=9, color="#b0492a",
            arrowprops={"arrowstyle": "-", "color": "#d1603d", "lw": 0.8},
        )  # fmt: skip
    left = 3.0 * room if spikes and spikes[0].location < a else room  # for the text
    ax.set(title=name, xlim=(ends.min() - left, ends.max() + room), ylim=(0.0, top))
    ax.grid(alpha=0.25, lw=0.5)
    ax.spines[["top", "right"]].set_visible(False)
for ax in axes[:, 0]:
    ax.set_ylabel("density")
for ax in axes[1]:
    ax.set_xlabel("eigenvalue of the Hessian")
axes[1, 0].legend(frameon=False, loc="upper left", fontsize=9)
plt.show()

# %%
# The same in numbers: location, theory and one simulation.

for (name, law), values in zip(laws.items(), simulated, strict=True):
    for spike in law.spikes:
        print(f"{name:38s} {spike.location:8.4f} / {values[np.argmin(np.abs(values - spike.location))]:8.4f}")
