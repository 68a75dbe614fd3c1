r"""
Photograph patches: samples of unequal norm
===========================================

Ridge regression predicts a pixel of a photograph from the 16 x 16 patch beside it. Patches are far from
Gaussian: some show sky, others edges, and their squared norms differ by orders of magnitude. **What the figure
shows:** with the distribution of norms (the elliptical form), the equivalents follow the errors measured on real
patches to about ten per cent, where the form for samples of equal norm is wrong by more than a factor of two, in
either direction.
"""

# %%
# Data
# ----
# Two photographs that come with scikit-learn, cut into 32 136 patches. As in the command ``fasthde curve``, one
# number scales all inputs to a mean variance of one, and the target has variance one. Both theories are estimated
# from the whole sample by :meth:`fasthde.LinearProblem.from_data`.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

data = fh.data.load("patches")
X = data.X / np.sqrt(data.X.var(axis=0).mean())
y = data.y / data.y.std()
print(data)

elliptical = fh.LinearProblem.from_data(X, y)
plain = fh.LinearProblem.from_data(X, y, elliptical=False)
print(elliptical)

# %%
# The squared norms, relative to their mean, summarised by fifty equally likely values:

print("smallest", elliptical.norms[:3].round(4), " largest", elliptical.norms[-3:].round(2))

# %%
# Experiment
# ----------
# :func:`fasthde.check` trains on random subsets of the patches and tests on all the others.

sizes = np.array([64, 90, 128, 180, 220, 256, 300, 360, 512, 720, 1024, 2048, 4096])
ridges = np.array([1e-4, 1e-2])
measured = fh.check(elliptical, sizes, ridges, data=(X, y), draws=24, rng=0)
measured

# %%
# Theory and measurement
# ----------------------
# ``intercept=True`` describes a fit that centres the training sample by its own means, as the experiment does.

n = np.geomspace(50, 5000, 300)
curves = {
    "theory, norms equal": (fh.ridge(plain, n[:, None], ridges, intercept=True), "#8a8f98", "--"),
    "theory, elliptical": (fh.ridge(elliptical, n[:, None], ridges, intercept=True), "#22577a", "-"),
}

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
for j, (ax, lam) in enumerate(zip(axes, ["$10^{-4}$", "$10^{-2}$"], strict=True)):
    for label, (curve, colour, style) in curves.items():
        ax.plot(n, curve.test[:, j], color=colour, ls=style, lw=1.9, label=label)
    ax.errorbar(
        measured.n, measured.test[:, j], yerr=measured.test_se[:, j],
        fmt="o", ms=5, mfc="white", mec="#c1442e", mew=1.3, ecolor="#c1442e", elinewidth=1.1, capsize=2,
        label=f"measured on patches, {measured.draws} draws",
    )  # fmt: skip
    ax.axvline(X.shape[1], color="0.6", lw=0.9, ls=":", zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="training patches $n$", title=rf"Ridge $\lambda$ = {lam}")
    ax.set_xticks([64, 256, 1024, 4096], ["64", "256", "1024", "4096"])
    ax.set_yticks([0.05, 0.1, 0.2, 0.4], ["0.05", "0.1", "0.2", "0.4"])
    ax.yaxis.set_minor_formatter(plt.NullFormatter())
    ax.grid(axis="y", color="0.92", lw=0.8)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("test error / variance of the target")
axes[0].annotate("$n = p$", (X.shape[1], 0.02), (5, 0), xycoords=("data", "axes fraction"),
                 textcoords="offset points", color="0.35", fontsize=9)  # fmt: skip
axes[1].legend(frameon=False)
plt.show()

# %%
# At the smaller ridge the peak is not where parameters and samples are equal in number but at about twice as many
# samples: most patches are nearly flat and determine little. A larger ridge removes the peak, not the difference.
#
# Predicted over measured test error, plain and elliptical, at the smaller ridge:

plain_test = fh.ridge(plain, sizes[:, None], ridges, intercept=True).test
for i in range(0, sizes.size, 2):
    one, two = plain_test[i, 0] / measured.test[i, 0], measured.ratio[i, 0]
    print(f"n = {sizes[i]:4d}   plain {one:5.2f}   elliptical {two:5.2f}")
