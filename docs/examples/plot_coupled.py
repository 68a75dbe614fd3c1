r"""
Laws with coupled unknowns
==========================

Some random matrices have an equivalent with several unknowns that depend on each other: samples of unequal norm,
samples from several classes, a signal under noise, and symmetric matrices whose entries have different variances.
**What the figure shows:** the densities as lines, computed on the real axis to rounding error, and the eigenvalues of
simulated matrices as histograms.
"""

# %%
# Four models
# -----------
# * Samples of unequal norm: ``X = C^1/2 Z T^1/2`` with eigenvalues 1 and 6 of C, where a tenth of the samples is 20
#   times as long in square as the others. These few samples stretch the right bulk to three times the larger
#   eigenvalue, although there are ten samples a dimension.
# * Two classes with different covariances in a common eigenbasis, at ``p = 2 n``: half of the eigenvalues are 0.
# * Information plus noise: a signal of two levels on a fifth of the dimensions, whose eigenvalues appear as bulks to
#   the right of the noise's.
# * A symmetric matrix of two blocks that hardly talk to themselves: the law has two halves, as that of the singular
#   values of a rectangular matrix, and the weak diagonal blocks fill the middle.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

rng = np.random.default_rng(7)
p = 1000


def covariance(X):
    """Eigenvalues of X X'/n."""
    return np.linalg.eigvalsh(X @ X.T / X.shape[1])


def blocks(values, shares):
    """Each value on its share of the p dimensions."""
    return np.repeat(values, np.round(np.multiply(shares, p)).astype(int))


# %%
# Samples of unequal norm. The law takes the eigenvalues with their proportions.

levels, shares = [1.0, 6.0], [0.7, 0.3]
norms, often = [0.5, 10.0], [0.9, 0.1]
n = 10 * p
separable = fh.separable(fh.Spectrum(levels, weights=shares), fh.Spectrum(norms, weights=often), p / n)
tau = np.repeat(norms, np.round(np.multiply(often, n)).astype(int))
X = np.sqrt(blocks(levels, shares))[:, None] * rng.standard_normal((p, n)) * np.sqrt(tau)
samples = [covariance(X)]

# %%
# Two classes: level i of both belongs to the same eigenspace.

one, two = [1.0, 1.0, 12.0], [4.0, 0.2, 1.0]
equal = [0.4, 0.4, 0.2]
mixture = fh.mixture([fh.Spectrum(v, weights=equal) for v in (one, two)], [0.5, 0.5], 2.0)
n = p // 2
parts = [np.sqrt(blocks(v, equal))[:, None] * rng.standard_normal((p, n // 2)) for v in (one, two)]
samples.append(covariance(np.hstack(parts)))

# %%
# Information plus noise.

signal, width = [12.0, 5.0, 0.0], [0.1, 0.1, 0.8]
noisy = fh.information_plus_noise(fh.Spectrum(signal, weights=width), 0.2)
n = 5 * p
X = rng.standard_normal((p, n))
X[:, :p] += np.diag(np.sqrt(n * blocks(signal, width)))
samples.append(covariance(X))

# %%
# A variance profile of two blocks.

v, size = np.array([[0.02, 1.0], [1.0, 0.02]]), [0.7, 0.3]
profile = fh.variance_profile(v, size)
which = blocks([0, 1], size)
upper = np.triu(rng.standard_normal((p, p)))
samples.append(np.linalg.eigvalsh(np.sqrt(v[np.ix_(which, which)] / p) * (upper + np.triu(upper, 1).T)))

# %%
# The eigenvalues of one matrix of each kind:

laws = [separable, mixture, noisy, profile]
titles = ["samples of unequal norm", "two classes, p = 2 n", "information plus noise", "variance profile"]
fig, axes = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
for ax, law, sample, title in zip(axes.flat, laws, samples, titles, strict=True):
    fh.plot.density(law, sample=sample, title=title, ax=ax)
plt.show()

# %%
# Support and atoms come with the laws, and so does the distance between law and sample: the largest gap between the
# two cumulative distributions, a few times 1/p.

for law, sample, title in zip(laws, samples, titles, strict=True):
    inside = np.sort(sample[np.abs(sample) > 1e-9])
    rank = (np.arange(inside.size) + 0.5 + np.sum(np.abs(sample) <= 1e-9) * (inside > 0)) / p
    print(
        f"{title}: support {law.support.round(3).tolist()}, atoms {[(a, round(m, 12)) for a, m in law.atoms]}"
    )
    print(f"    largest difference of the distributions {np.abs(law.cdf(inside) - rank).max():.4f}")
