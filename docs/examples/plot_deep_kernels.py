r"""
Deep networks as linear models of their inputs
==============================================

The conjugate kernel (CK) and the neural tangent kernel (NTK) of a wide network of any depth are, in high dimension,
a multiple of the data's Gram matrix, a matrix of low rank and a multiple of the identity. **What the figures show:**
the distance between the exact kernels and these equivalents, which falls like :math:`p^{-1/2}`; the few numbers that
are left of a network, layer by layer; and the spectrum of networks of finite width, the law over one simulated
network.
"""

# %%
# Exact kernels against their equivalents
# ---------------------------------------
# Two Gaussian classes that differ in mean and covariance, as many samples as dimensions, three layers. Exact kernels
# come from :func:`fasthde.conjugate_kernel` and :func:`fasthde.tangent_kernel`, of the network whose activations
# are centred at the scale of their inputs.

import matplotlib.pyplot as plt
import numpy as np

import fasthde as fh

BLUE, RED = "#1b6ca8", "#d1603d"


def norm(matrix):
    """Operator norm of a symmetric matrix."""
    return np.abs(np.linalg.eigvalsh(matrix)).max()


def mixture(p):
    mean = np.zeros(p)
    mean[0] = 2.0
    first = np.repeat([1.0, 1.5], [p // 2, p - p // 2])
    return fh.GaussianMixture([-mean, mean], [first, 1.25 + 3.0 / np.sqrt(p)], [0.4, 0.6])


networks = {
    "ReLU": ["relu"] * 3,
    "tanh": ["tanh"] * 3,
    "GELU, sin, softplus": ["gelu", "sin", "softplus"],
    "abs, cos, ReLU (no linear part)": ["abs", "cos", "relu"],
}
sizes = np.array([128, 256, 512, 1024])
exact_of = {"conjugate": fh.conjugate_kernel, "tangent": fh.tangent_kernel}
errors = {(name, kind): np.zeros(sizes.size) for name in networks for kind in exact_of}
draws = 3
for i, p in enumerate(sizes):
    model = mixture(p)
    for seed in range(draws):
        X, labels = model.sample(p, rng=seed)
        for name, stack in networks.items():
            equivalent = fh.kernel_equivalent(stack, model)
            for kind, exact in exact_of.items():
                K = exact(X, equivalent.activations)
                gap = norm(K - equivalent.matrix(X, labels, kind))
                errors[name, kind][i] += gap / np.mean(np.diag(K)) / draws

fig, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharey=True)
colours = [BLUE, RED, "#5a8f3c", "#8a5aa8"]
for ax, kind, title in zip(axes, exact_of, ["conjugate kernel", "neural tangent kernel"], strict=True):
    for (name, colour), marker in zip(zip(networks, colours, strict=True), "osD^", strict=True):
        ax.loglog(sizes, errors[name, kind], "-" + marker, ms=6, mfc="white", color=colour, label=name)
    start = 1.5 * max(errors[name, kind][0] for name in networks)
    ax.loglog(sizes, start * (sizes / sizes[0]) ** -0.5, "--", color="0.5", label=r"slope $-1/2$")
    ax.set_xticks(sizes, [str(p) for p in sizes])
    ax.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    ax.minorticks_off()
    ax.set(xlabel="dimension p = samples n")
    ax.set_title(title, fontsize=11)
    ax.grid(alpha=0.25, lw=0.5)
axes[0].set_ylabel("operator norm of the error / mean of the diagonal")
axes[0].legend(frameon=False, fontsize=9)
plt.show()

# %%
# The slopes, fitted. The largest of n squared norms deviates from its mean by :math:`\sqrt{\log n}` times the order of
# the others, which takes a little off the half.

for (name, kind), values in errors.items():
    print(f"{name:32s} {kind:10s} {np.polyfit(np.log(sizes), np.log(values), 1)[0]:6.2f}")

# %%
# What depth does
# ---------------
# :math:`\alpha_1` multiplies the Gram matrix, where the means of classes are seen; :math:`\alpha_2` and
# :math:`\alpha_3` what is seen of their covariances, through norms and through overlaps. The ratios
# :math:`\alpha_2/\alpha_1` and :math:`\alpha_3/\alpha_1` never decrease with depth. Odd activations never see
# covariances at all: tanh, and sigmoid once it is centred, have no line in the middle. Of a deep network with ReLU
# little is left but the identity.

model, depth = mixture(1024), 12
fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.9), layout="constrained")
for name, colour in zip(["relu", "gelu", "tanh", "sigmoid"], colours, strict=True):
    equivalent = fh.kernel_equivalent(name, model, depth)
    alpha, beta, layers = equivalent.alpha, equivalent.beta, np.arange(depth + 1)
    shares = alpha[:, 0] / equivalent.tau**2, beta[:, 0] / equivalent.kappa**2
    for ax, share in zip(axes[::2], shares, strict=True):
        ax.plot(layers, equivalent.tau[0] ** 2 * share, "-o", ms=4, color=colour, label=name)
    if name in ("relu", "gelu"):  # 0 at every depth for the others
        axes[1].plot(layers[1:], alpha[1:, 1] / alpha[1:, 0], "-o", ms=4, color=colour)
        axes[1].plot(layers[1:], alpha[1:, 2] / alpha[1:, 0], "--s", ms=4, mfc="white", color=colour)
axes[0].set(yscale="log")
axes[0].set_title(r"CK: linear share $\alpha_1 \tau_0^2/\tau_l^2$", fontsize=11)
axes[1].set(yscale="log")
axes[1].set_title(r"$\alpha_2/\alpha_1$ (solid), $\alpha_3/\alpha_1$ (dashed)", fontsize=11)
axes[2].set_title(r"NTK: linear share $\beta_1 \tau_0^2/\kappa_l^2$", fontsize=11)
axes[2].set(yscale="log")
for ax in axes:
    ax.set(xlabel="layer")
    ax.grid(alpha=0.25, lw=0.5)
axes[0].legend(frameon=False, fontsize=9)
plt.show()

# %%
# Finite widths
# -------------
# Layers of tanh, normalised, of widths comparable with the number of samples: every layer is a sample covariance of
# the one before, and its law one more step of a chain. One network with Gaussian weights each, n = 800, p = 1600.

n = 800
H = fh.Spectrum([0.5, 1.5], [800, 800])
p = round(H.dimension)
rng = np.random.default_rng(1)
X = rng.standard_normal((n, p)) * np.sqrt(np.repeat(H.values, 800))
act = fh.activation("tanh").normalized()

fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.9), layout="constrained")
for ax, widths in zip(axes, [[3200], [1600, 1600, 1600], [4000, 2000, 600]], strict=True):
    features = X
    for width in widths:
        W = rng.standard_normal((features.shape[1], width))
        features = act(features @ W / np.sqrt(features.shape[1]))
    eigenvalues = np.linalg.eigvalsh(features @ features.T / widths[-1])
    law = fh.finite_width_law(H, "tanh", widths, ratio=p / n)
    fh.plot.density(law, sample=eigenvalues, title="widths " + ", ".join(map(str, widths)), ax=ax)
plt.show()
