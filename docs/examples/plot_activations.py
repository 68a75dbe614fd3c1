r"""
What a model sees of an activation
==================================

A large random model sees an activation through a few numbers: its Hermite coefficients under a Gaussian, and its dual
function :math:`E\,\varphi(u)\varphi(v)` of two correlated Gaussian arguments. Composed layer by layer, dual functions
are the kernels of infinitely wide networks. **What the figures show:** how fast Hermite coefficients fall, by a power
for a kink and faster for a smooth function; dual functions as lines, computed to rounding error, with simulated means
as points; and exact kernels of deep networks as lines, with the kernels of wide finite networks as points.
"""

# %%
# Hermite coefficients
# --------------------
# :math:`a_k(\tau) = E\,\varphi(\tau\xi)\, h_k(\xi)` with normalised Hermite polynomials. A jump makes them fall like
# :math:`k^{-3/4}`, a kink like :math:`k^{-5/4}`, a jump of the second derivative like :math:`k^{-7/4}`. A function that
# is analytic in a strip of half width :math:`d` around the real axis has coefficients that fall like
# :math:`e^{-(d/\tau)\sqrt k}`: the poles of tanh lie at :math:`d = \pi/2`, so that its coefficients fall more slowly at
# a larger variance. On the right, dashed lines have these slopes. Coefficients that are 0 by parity are left out, and
# so are those below rounding.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

BLUE, RED, GREEN, VIOLET, GREY = "#1b6ca8", "#d1603d", "#5a8f3c", "#8a5aa8", "0.45"


def visible(a):
    """Orders and magnitudes of the coefficients above rounding, from the first on."""
    size = np.abs(a)
    k = np.flatnonzero(size > 2e-15)
    k = k[k > 0]
    return k, size[k]


fig, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharey=True)
names = {"sign": RED, "relu": BLUE, "relu2": GREEN, "gelu": VIOLET, "tanh": GREY}
for name, colour in names.items():
    k, size = visible(fh.activation(name).hermite(1000))
    axes[0].loglog(k, size, ".-", ms=4, lw=0.8, color=colour, label=name)
k = np.array([100.0, 1000.0])
for name, fourths in zip(["sign", "relu", "relu2"], [3, 5, 7], strict=True):
    order, size = visible(fh.activation(name).hermite(1000))
    guide = 0.4 * size[-1] * (k / order[-1]) ** (-fourths / 4)
    axes[0].loglog(k, guide, "--", lw=1, color="0.3")
    axes[0].text(1100, guide[-1], f"$k^{{-{fourths}/4}}$", fontsize=9, va="center")
axes[0].set(xlabel="order k", ylabel=r"$|a_k|$", xlim=(0.8, 3000.0), ylim=(1e-15, 3.0))
axes[0].set_title(r"kinks and smooth functions at $\tau = 1$", fontsize=11)

tanh = fh.activation("tanh")
for tau, colour in zip([0.5, 1.0, 2.0, 4.0], [GREEN, GREY, BLUE, RED], strict=True):
    k, size = visible(tanh.hermite(900, tau))
    axes[1].semilogy(np.sqrt(k), size, ".", ms=4, color=colour, label=rf"$\tau = {tau:g}$")
    x = np.sqrt(k[k.size // 4 :])
    axes[1].semilogy(x, 4 * size[-1] * np.exp(-(np.pi / 2 / tau) * (x - x[-1])), "--", lw=1, color=colour)
axes[1].set(xlabel=r"$\sqrt{k}$", xlim=(0, 30))
axes[1].set_title(r"tanh at four variances", fontsize=11)
for ax in axes:
    ax.grid(alpha=0.25, lw=0.5)
    ax.legend(frameon=False, fontsize=9, loc="lower left" if ax is axes[0] else "upper right")
plt.show()

# %%
# Dual functions
# --------------
# Means over 40 000 simulated pairs, divided by the value at :math:`\rho = 1`, with bars of two standard errors. The
# dual of the derivative is the derivative of the dual with respect to the covariance. On the right, what is missing to
# 1 next to :math:`\rho = 1`: of order :math:`1 - \rho` for smooth functions, of order :math:`\sqrt{1 - \rho}` for a
# jump, be it of the function or of its derivative. Simulated pairs are built from their half sum and half difference,
# as is the quadrature.

rng = np.random.default_rng(0)
draws = 40_000
z = rng.standard_normal((2, draws))


def pair(gap):
    """Pairs of correlation 1 - gap."""
    middle, half = np.sqrt(1.0 - gap / 2) * z[0], np.sqrt(gap / 2) * z[1]
    return middle + half, middle - half


def mean(values):
    """Mean and two standard errors."""
    return values.mean(), 2 * values.std() / np.sqrt(values.size)


fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
rho, places = np.linspace(-1.0, 1.0, 401), np.linspace(-1.0, 1.0, 11)
curves = [
    ({"relu": BLUE, "gelu": VIOLET, "sign": RED, "tanh": GREY, "cos": GREEN}, False),
    ({"relu": BLUE, "gelu": VIOLET, "hard_tanh": RED, "tanh": GREY, "cos": GREEN}, True),
]
worst = []
for ax, (colours, derivative) in zip(axes, curves, strict=False):
    for name, colour in colours.items():
        act = fh.activation(name)
        f = act.derivative if derivative else act
        top = act.dual(1.0, derivative=derivative)
        ax.plot(rho, act.dual(rho, derivative=derivative) / top, color=colour, lw=1.6, label=name)
        for r in places:
            u, v = pair(1.0 - r)
            value, bar = mean(f(u) * f(v) / top)
            ax.errorbar(r, value, bar, fmt="o", ms=4, mfc="white", color=colour, capsize=2, lw=1)
            if bar > 0:
                worst.append(2 * abs(value - act.dual(r, derivative=derivative) / top) / bar)
    ax.set(xlabel=r"$\rho$", ylim=(-1.1, 1.1))
    ax.legend(frameon=False, fontsize=9, loc="lower right")
axes[0].set_title(r"$E\,\varphi(u)\varphi(v)$ over its value at 1", fontsize=11)
axes[1].set_title(r"$E\,\varphi'(u)\varphi'(v)$ over its value at 1", fontsize=11)

gaps, places = np.logspace(-12, 0, 61), np.logspace(-6, 0, 7)
for name, derivative, colour in [("sign", False, RED), ("relu", True, BLUE), ("tanh", True, GREY)]:
    act = fh.activation(name)
    f = act.derivative if derivative else act
    top = act.dual(1.0, derivative=derivative)
    missing = 1.0 - act.dual(1.0 - gaps, derivative=derivative) / top
    axes[2].loglog(gaps, missing, color=colour, lw=1.6, label=name + (", derivative" if derivative else ""))
    for gap in places:
        u, v = pair(gap)
        value, bar = mean((f(u) - f(v)) ** 2 / (2 * top))
        axes[2].errorbar(gap, value, bar, fmt="o", ms=4, mfc="white", color=colour, capsize=2, lw=1)
axes[2].set(xlabel=r"$1 - \rho$", ylim=(1e-13, 3.0))
axes[2].set_title(r"1 minus the same, next to $\rho = 1$", fontsize=11)
axes[2].legend(frameon=False, fontsize=9)
for ax in axes:
    ax.grid(alpha=0.25, lw=0.5)
plt.show()

# %%
# The largest deviation of the points of the first two panels, in standard errors, and how many points there are:

print(f"{max(worst):.1f} of {len(worst)}")

# %%
# Kernels of deep networks
# ------------------------
# Inputs of one norm at thirteen angles from the first, networks without biases and with weights of variance
# :math:`2/\text{width}`. Lines are :func:`fasthde.conjugate_kernel` and :func:`fasthde.tangent_kernel`; points are the
# mean of the kernels of forty finite networks of width 512, drawn at random: inner products of the last features, and
# of the gradients in all weights. Bars are two standard errors. A finite network deviates by a part of order
# :math:`1/\sqrt{\text{width}}`, as the right panel shows.


def inputs(angles):
    """Points of squared norm 2 in the plane."""
    return np.sqrt(2.0) * np.column_stack([np.cos(angles), np.sin(angles)])


def finite_kernels(X, act, depth, width, rng):
    """Conjugate and tangent kernels of one network: features, and gradients by backpropagation."""
    h, layers = X, []
    for _ in range(depth):
        W = np.sqrt(2.0) * rng.standard_normal((width, h.shape[1]))
        z = h @ W.T / np.sqrt(h.shape[1])
        layers.append((h, W, z))
        h = act(z)
    conjugate = h @ h.T / width
    tangent = conjugate.copy()  # the gradient in the weights of the readout
    back = rng.standard_normal(width) / np.sqrt(width) * np.ones((X.shape[0], 1))
    for h, W, z in layers[::-1]:
        back = back * act.derivative(z)
        tangent += 2.0 * (h @ h.T / h.shape[1]) * (back @ back.T)
        back = back @ W / np.sqrt(h.shape[1])
    return np.stack([conjugate, tangent])


def exact_kernels(X, act, depth):
    kernels = fh.network_kernels(X, act, depth, weight_variance=2.0)
    return np.stack([kernels.conjugate, kernels.tangent])


fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
fine, coarse = np.linspace(0.0, np.pi, 201), np.linspace(0.0, np.pi, 13)
act = fh.activation("relu")
for depth, colour in zip([1, 3, 8], [BLUE, GREEN, RED], strict=True):
    exact = exact_kernels(inputs(fine), act, depth)[:, 0]
    networks = [finite_kernels(inputs(coarse), act, depth, 512, rng)[:, 0] for _ in range(40)]
    value, bar = np.mean(networks, axis=0), 2 * np.std(networks, axis=0, ddof=1) / np.sqrt(40)
    for ax, line, middle, half in zip(axes, exact, value, bar, strict=False):
        label = f"{depth} layer" + "s" * (depth > 1)
        points = {"fmt": "o", "ms": 4, "mfc": "white", "capsize": 2, "lw": 1}
        ax.plot(np.degrees(fine), line / line[0], color=colour, lw=1.6, label=label)
        ax.errorbar(np.degrees(coarse), middle / line[0], half / line[0], color=colour, **points)
for ax, title in zip(axes, ["conjugate kernel, ReLU", "tangent kernel, ReLU"], strict=False):
    ax.set(xlabel="angle between two inputs, degrees", ylim=(-0.1, 1.25))
    ax.set_xticks([0, 45, 90, 135, 180])
    ax.set_title(title + ", over its value at 0", fontsize=11)
    ax.legend(frameon=False, fontsize=9)

widths = np.array([64, 128, 256, 512, 1024])
X = inputs(coarse)
for name, colour in zip(["relu", "tanh"], [BLUE, RED], strict=True):
    act = fh.activation(name)
    exact = exact_kernels(X, act, 3)
    errors = []
    for width in widths:
        gaps = [finite_kernels(X, act, 3, width, rng) - exact for _ in range(25)]
        error = np.sqrt(np.mean(np.sum(np.square(gaps), axis=(2, 3)), axis=0))
        errors.append(error / np.linalg.norm(exact, axis=(1, 2)))
    for error, style, kind in zip(np.transpose(errors), ["o-", "s--"], ["CK", "NTK"], strict=True):
        axes[2].loglog(widths, error, style, ms=5, mfc="white", color=colour, lw=1.4, label=f"{kind}, {name}")
axes[2].loglog(widths, 0.6 * (widths / widths[0]) ** -0.5, ":", color="0.3", label=r"slope $-1/2$")
axes[2].set_xticks(widths, [str(w) for w in widths])
axes[2].set_yticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
axes[2].minorticks_off()
axes[2].set(xlabel="width")
axes[2].set_title("distance of one network, 3 layers, relative", fontsize=11)
axes[2].legend(frameon=False, fontsize=9)
for ax in axes:
    ax.grid(alpha=0.25, lw=0.5)
plt.show()

# %%
# The line of three layers of ReLU is one function of the angle, a Chebyshev series built once. It costs no more for
# inputs that are nearly equal, where the tangent kernel moves like the angle itself:

small = np.array([0.0, 1e-4, 1e-8, 1e-12])
kernel = fh.tangent_kernel(inputs(small)[:1], "relu", 3, weight_variance=2.0, Y=inputs(small))[0]
for angle, value in zip(small[1:], kernel[1:], strict=True):
    print(f"angle {angle:.0e}: {(kernel[0] - value) / angle:.4f} per radian")
