r"""
Functionals: one number of a whole matrix
=========================================

Whatever one observes of a large random matrix through its eigenvalues and eigenvectors, a trace, a quadratic form, a
log-determinant, follows from the equivalent of its resolvent. **What the figures show:** a quadratic form of one
resolvent and one of two, on a chain of two sample covariances; the share of a direction that lies in each bulk; and the
bell curve of a log-determinant, whose variance does not grow with the dimension. Lines are computed, dots are
simulated, with one standard error.
"""

# %%
# Resolvents
# ----------
# The population has the levels 1, 3 and 10; data of ratio 0.2 have data of ratio 0.5 drawn on top of them. The vector
# :math:`a` lies in the eigenspace of the largest level. A product of two resolvents is not the product of their
# equivalents (dotted): both see the same data.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

rng = np.random.default_rng(0)
blue, orange, grey = "#1b6ca8", "#d1603d", "0.55"
p, draws = 300, 10
levels = np.repeat([1.0, 3.0, 10.0], p // 3)
a = np.where(levels == 10.0, 1.0, 0.0) / np.sqrt(p // 3)
lam = np.geomspace(0.01, 30.0, 9)


def chain_of_two():
    """A sample covariance matrix whose population is another one."""
    first = np.sqrt(levels)[:, None] * rng.standard_normal((p, 5 * p))
    second = first @ rng.standard_normal((5 * p, 2 * p)) / np.sqrt(5 * p)
    return second @ second.T / (2 * p)


runs = np.empty((draws, 2, lam.size))
for k in range(draws):
    value, vector = np.linalg.eigh(chain_of_two())
    share = (vector.T @ a) ** 2
    runs[k] = [[(share / (value + x) ** q).sum() for x in lam] for q in (1, 2)]
mean, error = runs.mean(axis=0), runs.std(axis=0, ddof=1) / np.sqrt(draws)

law = fh.sample_covariance(fh.Spectrum([1, 3, 10]), 0.2).sample_covariance(0.5)
fine = np.geomspace(0.008, 40.0, 200)
one = law.equivalent(-fine).diagonal(10.0)
two = fh.two_resolvent(law, -fine, -fine).diagonal()[..., 2]

fig, ax = plt.subplots(figsize=(7, 4.3), layout="constrained")
dots = {"fmt": "o", "ms": 4.5, "mfc": "white", "capsize": 2}
ax.loglog(fine, one, color=blue, label=r"$a^\top Q a$")
ax.loglog(fine, two, color=orange, label=r"$a^\top Q^2 a$")
ax.loglog(fine, one**2, color=orange, ls=":", label=r"square of the equivalent of $Q$")
for k, color in enumerate((blue, orange)):
    ax.errorbar(
        lam, mean[k], error[k], color=color, mec=color, label="simulation" if k == 0 else None, **dots
    )
ax.set(xlabel=r"$\lambda$, with $Q = (M + \lambda I)^{-1}$", ylabel="quadratic form")
ax.legend(frameon=False)
plt.show()

# %%
# How a direction is spread over the bulks
# ----------------------------------------
# Definition 4 of arXiv 2506.13139 with :math:`f = 1` over part of the spectrum: how much of an eigenvector of the
# population lies in the span of the sample's eigenvectors of each bulk.

ratios = np.geomspace(0.01, 0.14, 25)
H = fh.Spectrum([1, 3, 10])
one_at = np.eye(3)


def shares(c):
    """Share of each eigenspace of the population (rows) in each bulk of the sample (columns)."""
    law = fh.sample_covariance(H, c)
    gaps = 0.5 * (law.support[:-1, 1] + law.support[1:, 0])
    ends = [-np.inf, *gaps, np.inf]
    windows = [(ends[i], ends[i + 1]) for i in range(len(ends) - 1)]
    return [[fh.functional(law, np.ones_like, a=e, domain=w).value for w in windows] for e in one_at]


theory = np.array([shares(c) for c in ratios])
coarse, measured = np.array([0.01, 0.03, 0.07, 0.12]), []
for c in coarse:
    n, each = round(p / c), []
    for _ in range(draws):
        X = np.sqrt(levels)[:, None] * rng.standard_normal((p, n))
        vector = np.linalg.eigh(X @ X.T / n)[1]
        blocks = (vector**2).reshape(3, p // 3, 3, p // 3)
        each.append(blocks.sum(axis=(1, 3)) / (p // 3))
    measured.append((np.mean(each, axis=0), np.std(each, axis=0, ddof=1) / np.sqrt(draws)))

fig, ax = plt.subplots(figsize=(7, 4.3), layout="constrained")
for i, j, color, name in [(0, 0, blue, "level 1"), (1, 1, orange, "level 3"), (2, 2, grey, "level 10")]:
    ax.plot(ratios, theory[:, i, j], color=color, label=f"{name} in its own bulk")
    ax.errorbar(
        coarse, [m[i, j] for m, _ in measured], [e[i, j] for _, e in measured], color=color, mec=color, **dots
    )
ax.set(xlabel="$c = p/n$", ylabel="squared overlap")
ax.legend(frameon=False)
plt.show()

# %%
# Fluctuations of order one
# -------------------------
# The log-determinant of a sample covariance of 100 dimensions, 20 000 times, beside its Gaussian limit; were the
# eigenvalues independent, the standard deviation would be seven times as large (dotted).

p, n, draws = 100, 200, 20_000
statistic = fh.linear_statistic(fh.Spectrum([1.0], [p]), p / n, np.log)
# the determinant of a Wishart matrix is a product of independent chi-squared variables (Bartlett)
drawn = np.log(rng.chisquare(n - np.arange(p), (draws, p)) / n).sum(axis=1)

x = statistic.mean + np.linspace(-12, 12, 400)


def bell(x, mean, std):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


mp = fh.marchenko_pastur(p / n)
spread = np.sqrt(p * (mp.expect(lambda x: np.log(x) ** 2) - mp.expect(np.log) ** 2))
fig, ax = plt.subplots(figsize=(7, 4.3), layout="constrained")
ax.hist(drawn, bins=80, density=True, color="#c9dbe8", label="simulation")
ax.plot(
    x,
    bell(x, statistic.mean, statistic.std),
    color=blue,
    label="limit: mean and variance of order 1 included",
)
ax.axvline(p * mp.expect(np.log), color=orange, lw=1.2, ls="--", label=r"$p \int \log x\, d\mu$ alone")
ax.plot(x, bell(x, p * mp.expect(np.log), spread), color=grey, ls=":", label="independent eigenvalues")
ax.set(xlabel=r"$\log\det \hat C$", ylabel="density")
ax.set_ylim(0, 0.46)
ax.legend(frameon=False, fontsize=9, loc="upper right")
plt.show()
