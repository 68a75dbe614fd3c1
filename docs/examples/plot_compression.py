r"""
Compression: three levels and a few signs
=========================================

The conjugate kernel of a wide random network depends on each activation through a handful of Gaussian moments, and on
the weights through their variance. So most weights may be 0 and the others one number up to sign, and activations may
take three values only: where the moments match, the kernel is the same, up to a multiple of the identity that a ridge
absorbs. **What the figure shows:** such step functions; the error of the kernel, which falls with the dimension when
all that matters is matched, and stays when not; and accuracy against memory on handwritten digits, for random networks
and for a trained one, with matching and without.

Source: Gu et al. (2022). Computed by :func:`fasthde.compression.quantize_activation`,
:func:`fasthde.compression.compress_network` and :func:`fasthde.compression.compress_mlp`.
"""

# %%
# Step functions that stand for ReLU
# ----------------------------------
# Mean, slope, curvature, and how the second moment moves with the variance: four numbers, which three levels can keep.
# The second moment itself is larger, by ``shift``.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import fasthde as fh
from fasthde.compression import compress_mlp, compress_network, quantize_activation

steps = {k: quantize_activation("relu", k, keep_second=False) for k in (3, 6)}
print(steps[3])

# %%
# The error of the kernel
# -----------------------
# Two layers of ReLU, exact kernels of original and compressed network on p samples of p dimensions; a third step
# function ignores the last of the four numbers in the first layer, and sign activations of equal variance ignore all.

sizes = [100, 200, 400, 800, 1600]
errors = {"matched": [], "without the quadratic moment": [], "sign activations": []}


def layers(fifth):
    """Step functions of both layers, and the shift."""
    tau, scale, found = 1.0, 1.0, []
    for hidden in (True, False):
        q = quantize_activation(
            "relu", 3, tau, scale=scale, keep_second=False, keep_quadratic=fifth and hidden
        )
        second = fh.activation("relu").centered(tau).moments(tau).second
        found.append(q.activation)
        tau, scale = np.sqrt(second), np.sqrt(second + q.shift)
    return found, scale**2 - tau**2


original = [fh.activation("relu").centered(1.0), None]
tau = np.sqrt(original[0].moments().second)
original[1] = fh.activation("relu").centered(tau)
size = np.sqrt(original[1].moments(tau).second)
stacks = dict(
    zip(errors, [layers(True), layers(False), (["sign", size * fh.activation("sign")], 0.0)], strict=True)
)
for p in sizes:
    X = np.random.default_rng(p).standard_normal((p, p))
    K = fh.conjugate_kernel(X, original)
    norm = np.linalg.eigvalsh(K)[-1]
    for name, (stack, shift) in stacks.items():
        difference = fh.conjugate_kernel(X, stack) - K - shift * np.eye(p)
        errors[name].append(np.abs(np.linalg.eigvalsh(difference)).max() / norm)
for name, values in errors.items():
    print(f"{name:30s}", np.round(values, 4))

# %%
# Random networks on digits
# -------------------------
# Two random hidden layers and a trained last one. Dense Gaussian weights of 32 bits and ReLU, against nine zeros in ten
# and three levels, and against the same signs without matched levels: sign activations.

X, y = load_digits(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std()
X, X_test, y, y_test = train_test_split(X, y, test_size=597, random_state=0, stratify=y)


def accuracy(F, F_test):
    """Of a ridge classifier; features are scaled to rows of length 1 on the average."""
    size = np.linalg.norm(F) / np.sqrt(len(F))
    return RidgeClassifier(alpha=0.3).fit(F / size, y).score(F_test / size, y_test)


def run(h, weights, activations):
    """Features of a network."""
    for w, act in zip(weights, activations, strict=True):
        h = act(h @ w.T / np.sqrt(h.shape[1]))
    return h


widths = [32, 64, 128, 256, 512, 1024]
random_nets = {"dense, ReLU": [], "90 % zeros, 3 levels": [], "90 % zeros, sign": []}
for width in widths:
    net = compress_network("relu", [64, width, width], X, sparsity=0.9)
    last = 32 * 10 * (width + 1)
    scores = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        dense = [rng.standard_normal(w.signs.shape) for w in net.weights(0)]
        ternary = [w.matrix() for w in net.weights(seed)]
        relu, sign = [[lambda t: np.maximum(t, 0.0)] * 2, [np.sign] * 2]
        scores.append([
            accuracy(run(X, w, acts), run(X_test, w, acts))
            for w, acts in ((dense, relu), (ternary, net.activations), (ternary, sign))
        ])  # fmt: skip
    bits = [net.original_bits, net.bits, net.bits]
    for values, b, score in zip(random_nets.values(), bits, np.mean(scores, axis=0), strict=True):
        values.append((b + last, score))
for name, values in random_nets.items():
    print(f"{name:22s}", " ".join(f"{b / 1e6:.3f} Mbit: {a:.3f} " for b, a in values))

# %%
# A trained network
# -----------------
# scikit-learn's perceptron with 512 and 256 hidden units. Compressed: signs of the largest weights, step functions at
# the measured scale, a new last layer. Two ways without matching: pruning, which keeps the weights that it leaves as
# they are; and the same signs with sign activations, also with a new last layer.

sparsities = [0.5, 0.8, 0.9, 0.95, 0.98]
runs = []
for seed in range(3):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forty rounds are enough
        model = MLPClassifier((512, 256), max_iter=40, random_state=seed).fit(X, y)
    plain = 32 * sum(w.size for w in [*model.coefs_, *model.intercepts_])
    rows = []
    for s in sparsities:
        nets = [compress_mlp(model, X, y, levels=k, sparsity=s) for k in (3, 6)]
        row = [(net.bits, net.score(X_test, y_test)) for net in nets]
        h_test, g, g_test = X_test, X, X_test
        for w, b, ternary in zip(model.coefs_[:-1], model.intercepts_[:-1], nets[0].weights, strict=True):
            h_test = np.maximum(h_test @ (w * (ternary.signs != 0)) + b, 0.0)
            g, g_test = np.sign(g @ ternary.signs + b), np.sign(g_test @ ternary.signs + b)
        found = np.argmax(h_test @ model.coefs_[-1] + model.intercepts_[-1], axis=1)
        floats = sum(w.signs.size for w in nets[0].weights) * (1 - s) * 31  # 32 bits instead of a sign
        row.append((nets[0].bits + floats, np.mean(found == y_test)))
        fit = LogisticRegression(C=0.1 * len(g), max_iter=2000).fit(g / 16.0, y)
        row.append((nets[0].bits, fit.score(g_test / 16.0, y_test)))
        rows.append([*row, (plain, model.score(X_test, y_test))])
    runs.append(rows)
names = ["3 levels", "6 levels", "pruned", "sign activations", "original"]
trained = dict(zip(names, np.mean(runs, axis=0).transpose(1, 0, 2), strict=True))
for name, values in trained.items():
    print(f"{name:22s}", " ".join(f"{b / 1e6:.3f} Mbit: {a:.3f} " for b, a in values))

# %%
# The figure
# ----------

blue, red, green, grey = "#1b6ca8", "#d1603d", "#3a8f5c", "#777777"
fig, axes = plt.subplots(2, 2, figsize=(11, 7.6), layout="constrained")

ax = axes[0, 0]
t = np.linspace(-3.0, 3.0, 1201)
ax.plot(t, np.maximum(t, 0.0) - steps[3].mean, color=grey, lw=1.8, label="ReLU, centred")
ax.plot(t, steps[3].activation(t), color=blue, lw=1.8, label="3 levels")
ax.plot(t, steps[6].activation(t), color=green, lw=1.2, label="6 levels")
ax.set(title="same slope, curvature, quadratic moment", xlabel="t")

ax = axes[0, 1]
for (name, values), color in zip(errors.items(), (blue, green, red), strict=True):
    ax.loglog(sizes, values, "o-", color=color, lw=1.8, ms=5, label=name)
guide = np.array([sizes[0], sizes[-1]])
ax.loglog(guide, 0.7 * errors["matched"][0] * (guide / guide[0]) ** -0.5, "k:", lw=1, label=r"$p^{-1/2}$")
ax.set(title="error of the kernel, two layers", xlabel="dimension p", ylabel="relative operator norm")

ax = axes[1, 0]
for (name, values), color in zip(random_nets.items(), (grey, blue, red), strict=True):
    b, a = np.transpose(values)
    ax.semilogx(b / 8e3, a, "o-", color=color, lw=1.8, ms=5, label=name)
ax.set(title="digits, random networks of width 32 to 1024", xlabel="memory, kB", ylabel="test accuracy")
ax.set_ylim(0.7, 1.0)

ax = axes[1, 1]
for (name, values), color in zip(trained.items(), (blue, green, "#b59a3c", red, "k"), strict=True):
    b, a = np.transpose(values)
    ax.semilogx(b / 8e3, a, "*" if name == "original" else "o-", color=color, lw=1.8, ms=5, label=name)
ax.set(title="digits, a trained network, 50 to 98 % zeros", xlabel="memory, kB", ylim=(0.85, 1.0))
ax.set_xticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"], minor=False)
ax.minorticks_off()

for ax in axes.flat:
    ax.grid(alpha=0.25, lw=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
plt.show()
