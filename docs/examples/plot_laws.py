r"""
Spectral laws and simulated matrices
====================================

The eigenvalues of a large random matrix fill a fixed density. A :class:`fasthde.Law` starts from the eigenvalues
of a fixed matrix and follows the random operations on it: sample covariances, shifts, noise. **What the figures
show:** the laws as lines, computed to rounding error, and the eigenvalues of a single simulated matrix each as a
histogram, from the Marchenko-Pastur law to a chain of five operations.
"""

# %%
# The Marchenko-Pastur law
# ------------------------
# The sample covariance :math:`XX^\top/n` of data with covariance :math:`I`, at four ratios :math:`c = p/n`. At
# :math:`c = 1` the density is infinite at 0. At :math:`c = 2` half of the eigenvalues are 0: an atom, drawn as a
# stem with its mass.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

rng = np.random.default_rng(0)
p = 1000


def sample_covariance(root, ratio):
    """Sample covariance of p-dimensional data with population root @ root.T."""
    n = round(p / ratio)
    X = root @ rng.standard_normal((p, n))
    return X @ X.T / n


fig, axes = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
for ax, c in zip(axes.flat, [0.1, 0.5, 1.0, 2.0], strict=True):
    eigenvalues = np.linalg.eigvalsh(sample_covariance(np.eye(p), c))
    fh.plot.density(fh.marchenko_pastur(c), sample=eigenvalues, title=f"c = {c:g}", ax=ax)
plt.show()

# %%
# A population with three levels
# ------------------------------
# For a covariance with the eigenvalues 1, 3 and 10 in equal parts, ten samples a dimension still tell the three
# levels apart. With two samples a dimension the bulks of 1 and 3 have merged, and the gap below the third has just
# closed. The inset shows that place, with the eigenvalues of sixteen matrices.

C = np.repeat([1.0, 3.0, 10.0], [p - 2 * (p // 3), p // 3, p // 3])
H = fh.Spectrum(C)
laws = [fh.sample_covariance(H, c) for c in (0.1, 0.5)]
for law in laws:
    print(law.support)

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
root = np.diag(np.sqrt(C))
for ax, law, c in zip(axes, laws, [0.1, 0.5], strict=True):
    eigenvalues = np.linalg.eigvalsh(sample_covariance(root, c))
    fh.plot.density(law, sample=eigenvalues, title=f"eigenvalues 1, 3, 10 at c = {c:g}", ax=ax)

many = np.concatenate([np.linalg.eigvalsh(sample_covariance(root, 0.5)) for _ in range(16)])
inset = axes[1].inset_axes([0.42, 0.3, 0.55, 0.45])
x = np.linspace(3.8, 6.0, 500)
fh.plot.density(laws[1], x, sample=many, bins=np.linspace(3.8, 6.0, 45), label=None, ax=inset)
inset.set(xlim=(3.8, 6.0), ylim=(0.0, 0.05), xlabel="", ylabel="")
axes[1].indicate_inset_zoom(inset, edgecolor="0.5")
plt.show()

# %%
# The largest gap between the cumulative distributions of the law and of those 16 000 eigenvalues:

many.sort()
step = np.arange(many.size + 1) / many.size
theory = laws[1].cdf(many)
print(f"{max(np.abs(theory - step[1:]).max(), np.abs(theory - step[:-1]).max()):.1e}")

# %%
# A chain of five operations
# --------------------------
# Sample covariance, scaling, shift, a second sample covariance with the result as its population, and symmetric
# noise. The law is a chain of the same five steps; the matrix is built from full matrices, without using that only
# eigenvalues matter.

law = fh.sample_covariance(H, 0.5).scale(0.7).shift(0.3).sample_covariance(1.5).add_semicircle(0.2)
print(law)

M = sample_covariance(root, 0.5)
M = 0.7 * M + 0.3 * np.eye(p)
M = sample_covariance(np.linalg.cholesky(M), 1.5)
G = rng.standard_normal((p, p))
M = M + np.sqrt(0.2) * (G + G.T) / np.sqrt(2 * p)
eigenvalues = np.linalg.eigvalsh(M)

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
fh.plot.density(law, sample=eigenvalues, title="density", ax=axes[0])
inset = axes[0].inset_axes([0.3, 0.27, 0.66, 0.5])
fh.plot.density(law, sample=eigenvalues, bins=np.linspace(-0.7, 2.0, 28), label=None, ax=inset)
inset.set(xlim=(-0.7, 2.0), ylim=(0.0, 0.55), xlabel="", ylabel="")

x = np.concatenate([np.linspace(-0.7, 2.0, 300), np.linspace(2.0, 29.0, 300)])
axes[1].plot(x, law.cdf(x), color="#1b6ca8", lw=1.8, label="law")
axes[1].plot(
    eigenvalues[::20], (np.arange(p)[::20] + 0.5) / p, "o", ms=4, mfc="white", mec="#d1603d",
    label="simulation, every 20th eigenvalue",
)  # fmt: skip
axes[1].set(xlabel="eigenvalue", ylabel="share below")
axes[1].set_title("cumulative distribution", fontsize=11)
axes[1].grid(alpha=0.25, lw=0.5)
axes[1].legend(frameon=False, loc="lower right")
plt.show()

# %%
# Moments of the law and of the one matrix:

for k in (1, 2, 3):
    print(f"moment {k}: law {law.moment(k):9.4f}   matrix {np.mean(eigenvalues**k):9.4f}")
