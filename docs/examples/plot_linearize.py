r"""
Two regimes of a nonlinearity
=============================

In high dimension a nonlinear function of an inner product :math:`x^\top y` is as good as linear, in one of two ways.
Where the inner product concentrates, the function is its Taylor polynomial. Where it fluctuates, the function is a
line plus independent noise, and the slope is another one. **What the figures show:** the same function, tanh, in both
regimes: simulated values, the two lines, and the error of each against the dimension, theory as lines and simulation
as points; then what a ridge regression makes of the nonlinear targets and of their linear equivalent.

Equations: arXiv 2506.13139.
"""

# %%
# The same function twice
# -----------------------
# Rows x with entries of variance :math:`1/n` and a unit vector y. In the first regime (LLN, law of large numbers) the
# argument is :math:`x^\top y`, which goes to 0. In the second (CLT, central limit theorem) it is
# :math:`\sqrt n\, x^\top y`, which stays standard Gaussian: the slope is no longer :math:`\varphi'(0) = 1` but
# :math:`a_1 = E\varphi'(\xi)`, and what the line does not explain acts as noise of a known variance.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

lln = fh.linearize("tanh", "LLN")
clt = fh.linearize("tanh", "CLT")
print(lln)
print(clt)

BLUE, RED, GREY = "#1b6ca8", "#d1603d", "#8fa3b0"
rng = np.random.default_rng(0)
n, m = 400, 1500
y = rng.standard_normal(n)
y /= np.linalg.norm(y)
X = rng.standard_normal((m, n)) / np.sqrt(n)

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
t = np.linspace(-3.2, 3.2, 200)
arguments = [X @ y, np.sqrt(n) * (X @ y)]
titles = [r"LLN: $\tanh(x^\top y)$", r"CLT: $\tanh(\sqrt{n}\, x^\top y)$"]
for ax, values, title in zip(axes, arguments, titles, strict=True):
    ax.plot(t, np.tanh(t), color="0.8", lw=5, label="tanh", zorder=0)
    ax.plot(values, np.tanh(values), ".", ms=3, color="0.25", label="simulated values", zorder=3)
    ax.plot(t, lln(t), color=RED, lw=1.8, label="Taylor, slope 1")
    ax.plot(t, clt(t), color=BLUE, lw=1.8, label=f"Hermite, slope {clt.affine[1]:.3f}")
    ax.set(xlabel="argument", xlim=(-3.2, 3.2), ylim=(-1.6, 1.6))
    ax.set_title(title, fontsize=11)
    ax.grid(alpha=0.25, lw=0.5)
axes[1].plot(
    arguments[1], clt.sample(arguments[1], rng), ".", ms=2, color=BLUE, alpha=0.35, zorder=1,
    label="line plus noise",
)  # fmt: skip
axes[0].set_ylabel("value")
axes[0].legend(frameon=False, loc="upper left", fontsize=9)
axes[1].legend(
    *(x[-1:] for x in axes[1].get_legend_handles_labels()), frameon=False, loc="upper left", fontsize=9
)
plt.show()

# %%
# Errors against the dimension
# ----------------------------
# The Taylor polynomial of order k leaves an error of order :math:`n^{-(k+1)/2}`, or better where the next coefficients
# vanish: tanh is odd, so its orders 1 and 3 gain another half. Softplus around 1 has no symmetry and shows every
# rate. In the second regime the error of an entry does not vanish: it *is* the noise.


def softplus(t):
    return np.logaddexp(0.0, t)


def simulated(f, polynomial, n):
    """Root mean square of f minus the polynomial over 20 000 rows, whose inner products with y are Gaussian."""
    width = 1.0 if polynomial.regime == "CLT" else n**-0.5
    t = polynomial.at + width * rng.standard_normal(20_000)
    return np.sqrt(np.mean((f(t) - polynomial(t)) ** 2))


sizes = np.geomspace(10, 1e4, 40)
places = np.geomspace(10, 1e4, 7)
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
for ax, name, f, at in zip(axes, ["tanh", "softplus"], [np.tanh, softplus], [0.0, 1.0], strict=True):
    for k, colour in zip(range(4), ["0.45", RED, "#8a5aa8", "#5a8f3c"], strict=True):
        if name == "tanh" and k % 2 == 0:
            continue  # even coefficients are 0
        taylor = fh.linearize(name, "LLN", k, at=at)
        ax.loglog(sizes, taylor.error(sizes), color=colour, lw=1.6, label=f"LLN, order {k}")
        ax.loglog(places, [simulated(f, taylor, n) for n in places], "o", ms=5, mfc="white", mec=colour)
    line = fh.linearize(name, "CLT", at=at)
    ax.loglog(sizes, line.error(sizes), color=BLUE, lw=1.6, label="CLT, order 1")
    ax.loglog(places, [simulated(f, line, n) for n in places], "s", ms=5, mfc="white", mec=BLUE)
    ax.set(xlabel="dimension n", ylim=(1e-11, 1.0))
    ax.set_title(f"{name} around {at:g}", fontsize=11)
    ax.grid(alpha=0.25, lw=0.5)
    ax.legend(frameon=False, fontsize=9, loc="lower left")
axes[0].set_ylabel("root mean square error of an entry")
plt.show()

# %%
# What an observation sees
# ------------------------
# Entry by entry, the equivalent of the second regime is wrong by the noise. A scalar observation of the whole vector
# is not: here the training error of ridge regression with targets :math:`\tanh(\sqrt n X y)`, against that with
# targets :math:`a_1 \sqrt n X y + \sqrt{\nu - a_1^2}\, z`. For the latter it is a theorem about linear models, and
# :func:`fasthde.ridge` computes it: signal :math:`a_1`, noise :math:`\nu - a_1^2`.

lam, p = 0.05, 300
slope, noise = clt.affine[1], clt.noise**2
ratios = np.geomspace(0.3, 6.0, 9)
found = {"nonlinear targets": [], "their linear equivalent": []}
for ratio in ratios:
    rows = round(p * ratio)
    errors = []
    for _ in range(10):
        A = rng.standard_normal((rows, p))
        t = A @ (y[:p] / np.linalg.norm(y[:p]))
        targets = np.column_stack([np.tanh(t), clt.sample(t, rng)])
        residual = lam * np.linalg.solve(A @ A.T / rows + lam * np.eye(rows), targets)
        errors.append(np.mean(residual**2, axis=0))
    for name, value in zip(found, np.mean(errors, axis=0), strict=True):
        found[name].append(value)

problem = fh.LinearProblem(fh.Spectrum.isotropic(p), signal=slope**2, noise=noise)
dense = np.geomspace(0.3, 6.0, 100)
fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
ax.semilogx(dense, fh.ridge(problem, n=p * dense, lam=lam).train, color=BLUE, lw=1.8, label="theory")
for (name, values), marker, colour in zip(found.items(), "os", [RED, GREY], strict=True):
    ax.semilogx(ratios, values, marker, ms=6, mfc="none", mec=colour, mew=1.5, label=f"simulated, {name}")
ax.set(xlabel="samples over dimension", ylabel="training error of ridge regression", ylim=(0.0, None))
ax.set_xticks([0.3, 1.0, 3.0, 6.0], ["0.3", "1", "3", "6"])
ax.minorticks_off()
ax.grid(alpha=0.25, lw=0.5)
ax.legend(frameon=False)
plt.show()

# %%
# The two numbers that a linear model needs to know of tanh:

print(f"slope a_1 = {slope:.6f}, noise variance = {noise:.6f}")
