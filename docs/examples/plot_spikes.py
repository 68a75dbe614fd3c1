r"""
Spikes: what an isolated eigenvalue still says
==============================================

A population covariance with one eigenvalue apart from the others: does a sample show it, where, and does the
sample's eigenvector point in its direction? **What the figures show:** below a threshold the sample knows nothing of
the spike; above it an eigenvalue leaves the bulk, biased upwards, with an eigenvector of known alignment. Lines are
computed by :func:`fasthde.spike`, dots are simulated matrices with one standard error.
"""

# %%
# The phase transition
# --------------------
# The covariance is :math:`I + \ell\, uu^\top`, the ratio :math:`c = p/n = 1/2`. The threshold is
# :math:`\ell = \sqrt c`.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

rng = np.random.default_rng(0)
p, c, draws = 300, 0.5, 16
n = round(p / c)
ell = np.array([0.2, 0.4, 0.55, 0.65, 0.75, 0.9, 1.1, 1.4, 1.8, 2.3, 3.0])


def simulate(population, index):
    """Eigenvalue number ``index`` of one sample covariance, and its squared alignment with the first direction."""
    X = np.sqrt(population)[:, None] * rng.standard_normal((p, n))
    values, vectors = np.linalg.eigh(X @ X.T / n)
    return values[index], vectors[0, index] ** 2


runs = np.array(
    [[simulate(np.append(1.0 + strength, np.ones(p - 1)), -1) for _ in range(draws)] for strength in ell]
)  # axes: strength, draw, location/alignment
mean, error = runs.mean(axis=1), runs.std(axis=1, ddof=1) / np.sqrt(draws)

fine = np.linspace(0.0, 3.2, 401)[1:]
theory = fh.spike(fh.Spectrum([1.0]), c, 1.0 + fine)
edge = fh.marchenko_pastur(c).support[0, 1]

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
style = {"fmt": "o", "ms": 4.5, "mfc": "white", "mec": "#d1603d", "ecolor": "#d1603d", "capsize": 2}
for ax, line, k in [(axes[0], theory.location, 0), (axes[1], theory.alignment, 1)]:
    ax.plot(fine, line, color="#1b6ca8", lw=1.8, label="theory")
    ax.errorbar(ell, mean[:, k], yerr=error[:, k], label=f"simulation, p = {p}, {draws} draws", **style)
    ax.axvline(np.sqrt(c), color="0.6", lw=0.9, ls=":", zorder=0)
    ax.set(xlabel=r"strength of the spike, $\ell$", xlim=(0, 3.2))
    ax.grid(alpha=0.25, lw=0.5)
axes[0].axhspan(2.0, edge, color="0.92", zorder=0)
axes[0].plot(fine, 1.0 + fine, color="0.45", lw=1.0, ls="--", label=r"population, $1 + \ell$")
axes[0].annotate("bulk", (0.1, 2.0), (0, 8), textcoords="offset points", color="0.35", fontsize=9)
axes[0].set(ylabel="largest eigenvalue", ylim=(2.0, 5.8))
axes[0].legend(frameon=False)
axes[1].set(ylabel="squared alignment of its eigenvector", ylim=(-0.03, 1.0))
axes[1].annotate(
    r"$\ell = \sqrt{c}$", (np.sqrt(c), 0.9), (-5, 0), textcoords="offset points", ha="right", color="0.35"
)
plt.show()

# %%
# Near the threshold a finite matrix smooths the transition: for p = 300 over a width of about
# :math:`p^{-1/3} = 0.15`.
#
# A spike in a gap
# ----------------
# The population has the eigenvalues 1 and 10, half of them each, and one more in between. Samples with n = 10 p have
# two bulks, shaded. The spike is seen wherever it is not too close to one of its neighbours.

H, c = fh.Spectrum([1.0, 10.0]), 0.1
n = round(p / c)
low, high = fh.sample_covariance(H, c).support
inside = np.array([1.2, 1.5, 1.9, 2.5, 3.2, 4.0, 5.0, 6.0, 6.8])
half = p // 2
rest = np.concatenate((np.ones(half - 1), np.full(p - half, 10.0)))
runs = np.array([[simulate(np.append(value, rest), half - 1) for _ in range(8)] for value in inside])
mean, error = runs.mean(axis=1), runs.std(axis=1, ddof=1) / np.sqrt(8)

fine = np.linspace(1.0, 10.0, 1001)[1:-1]
theory = fh.spike(H, c, fine)

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for ax, line, k in [(axes[0], theory.location, 0), (axes[1], theory.alignment, 1)]:
    ax.plot(fine, line, color="#1b6ca8", lw=1.8, label="theory")
    ax.errorbar(inside, mean[:, k], yerr=error[:, k], label=f"simulation, p = {p}, 8 draws", **style)
    ax.set(xlabel="spiked eigenvalue of the population", xlim=(1, 10))
    ax.grid(alpha=0.25, lw=0.5)
for bulk in (low, high):
    axes[0].axhspan(*bulk, color="0.92", zorder=0)
    axes[0].annotate("bulk", (9.0, bulk[0]), (0, 8), textcoords="offset points", color="0.35", fontsize=9)
axes[0].plot(fine, fine, color="0.45", lw=1.0, ls="--", label="population")
axes[0].set(ylabel="eigenvalue of the sample", ylim=(0, 10))
axes[0].legend(frameon=False, loc="upper left")
axes[1].set(ylabel="squared alignment of its eigenvector", ylim=(-0.03, 1.0))
plt.show()
