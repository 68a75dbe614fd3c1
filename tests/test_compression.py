"""Compression: moments in 30 digits, exact kernels by Hermite series, independent searches, simulation, real data."""

from __future__ import annotations

import functools
import math
import pickle

import mpmath
import numpy as np
import pytest
from scipy import optimize
from scipy.special import erf, ndtr
from threadpoolctl import threadpool_limits

import fasthde as fh
from fasthde.compression import (
    COEFFICIENTS,
    CompressedMLP,
    CompressedNetwork,
    QuantizedActivation,
    StepFunction,
    TernaryWeights,
    compress_mlp,
    compress_network,
    quantize_activation,
    sparse_ternary_weights,
    ternarize,
)


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1, user_api="blas"):
        yield


# --------------------------------------------------------------------------------- oracles: nothing of the package

ROOT = math.sqrt(2 * math.pi)

mp = mpmath.mp.clone()
mp.dps = 30

#: mpmath function, kinks.
FUNCTIONS = {
    "tanh": (mp.tanh, ()),
    "relu": (lambda t: max(t, mp.mpf(0)), (0,)),
    "gelu": (lambda t: t * mp.ncdf(t), ()),
    "erf": (mp.erf, ()),
    "leaky_relu": (lambda t: t if t > 0 else t * mp.mpf(0.01), (0,)),
    "sigmoid": (lambda t: 1 / (1 + mp.exp(-t)), ()),
    "abs": (abs, (0,)),
    "sign": (mp.sign, (0,)),
    "sin": (mp.sin, ()),
}


@functools.cache
def reference(name, tau):
    """Mean, then of the centred function: E phi xi, E phi (xi^2 - 1), E phi^2, E phi^2 (xi^2 - 1), at tau xi."""
    f, kinks = FUNCTIONS[name]
    tau = mp.mpf(tau)
    ends = sorted(
        {mp.mpf(-14), mp.mpf(14), *(mp.mpf(k) / tau for k in kinks), *map(mp.mpf, range(-12, 13, 4))}
    )

    def mean(g):
        return mp.quad(lambda x: g(f(tau * x), x) * mp.npdf(x), ends)

    m = mean(lambda v, x: v)
    return m, [
        mean(lambda v, x: v * x),
        mean(lambda v, x: v * (x * x - 1)),
        mean(lambda v, x: (v - m) ** 2),
        mean(lambda v, x: (v - m) ** 2 * (x * x - 1)),
    ]


def step_moments(thresholds, levels, scale):
    """Mean, E c xi, E c (xi^2 - 1), E c^2, E c^2 (xi^2 - 1) of a step function at scale xi, in 30 digits."""
    s = [-mp.inf, *(mp.mpf(float(t)) / mp.mpf(scale) for t in thresholds), mp.inf]
    out = [mp.mpf(0)] * 5
    for c, a, b in zip(levels, s[:-1], s[1:], strict=True):
        c = mp.mpf(float(c))
        P = mp.ncdf(b) - mp.ncdf(a)
        A = mp.npdf(a) - mp.npdf(b)
        B = (a * mp.npdf(a) if mp.isfinite(a) else 0) - (b * mp.npdf(b) if mp.isfinite(b) else 0)
        out = [o + v for o, v in zip(out, (c * P, c * A, c * B, c * c * P, c * c * B), strict=True)]
    return out


def true_mismatch(name, q):
    """The five coefficients as the documentation defines them."""
    _, (a, b, nu, quad) = reference(name, q.tau)
    m, sa, sb, snu, squad = step_moments(q.thresholds, q.levels, q.scale)
    r = mp.mpf(q.tau) / mp.mpf(q.scale)
    values = [
        m / mp.sqrt(nu),
        ((r * sa) ** 2 - a**2) / nu,
        ((r * r * sb) ** 2 - b**2) / (2 * nu),
        (snu - nu) / nu,
        (r * r * squad - quad) / (2 * nu),
    ]
    return np.array([float(v) for v in values])


def step_series(thresholds, levels, tau, order=14):
    """Hermite coefficients and second moment of a step function at every tau."""
    s = np.asarray(thresholds) / tau[:, None]
    g = np.exp(-s * s / 2) / math.sqrt(2 * math.pi)
    jump = np.diff(levels)
    rows = [levels[-1] - (jump * ndtr(s)).sum(axis=1)]
    before, h = np.zeros_like(s), np.ones_like(s)
    for k in range(1, order + 1):
        rows.append((jump * g * h).sum(axis=1) / math.sqrt(k))
        before, h = h, (s * h - math.sqrt(k - 1) * before) / math.sqrt(k)
    square = np.square(levels)
    return np.array(rows), square[-1] - (np.diff(square) * ndtr(s)).sum(axis=1)


def relu_series(centre, tau, order=14):
    """The same of max(t, 0) - centre."""
    rows = [tau / math.sqrt(2 * math.pi) - centre, tau / 2]
    for k in range(2, order + 1):
        odd = 1.0 if k == 2 else math.prod(range(k - 3, 0, -2))
        sign = (-1) ** (k // 2 - 1)
        rows.append(tau * (sign * odd / math.sqrt(2 * math.pi * math.factorial(k)) if k % 2 == 0 else 0.0))
    nu = tau**2 / 2 - 2 * centre * tau / math.sqrt(2 * math.pi) + centre**2
    return np.array(rows), nu


def next_kernel(K, series):
    """Exact kernel after a layer, correlations off the diagonal being small."""
    tau = np.sqrt(np.diag(K))
    rho = K / np.outer(tau, tau)
    np.fill_diagonal(rho, 0.0)
    a, second = series(tau)
    out = np.zeros_like(K)
    for row in a[::-1]:  # Horner in rho, coefficients of rows and columns
        out = out * rho + np.outer(row, row)
    np.fill_diagonal(out, second)
    return out


def two_classes(p, seed=0):
    """Half of the samples a little larger than the others, so that all parts of the equivalent are there."""
    X = np.random.default_rng(seed).standard_normal((p, p))
    X[p // 2 :] *= math.sqrt(1 + 4 / math.sqrt(p))
    return X / math.sqrt(np.mean(X * X))


# --------------------------------------------------------------------------------------------------- step functions


def test_step_function():
    f = StepFunction([-1.0, 0.5], [2.0, 0.0, 3.0])
    assert f(np.array([-2.0, -1.0, 0.0, 0.5, 9.0])).tolist() == [2.0, 0.0, 0.0, 3.0, 3.0]
    assert f == pickle.loads(pickle.dumps(f))
    assert hash(f) == hash(StepFunction([-1.0, 0.5], [2.0, 0.0, 3.0]))
    assert f != StepFunction([-1.0, 0.5], [2.0, 0.0, 4.0])
    assert f != 1
    assert repr(f) == "StepFunction(3 levels)"


# ---------------------------------------------------------------------------------------------------- activations


@pytest.mark.parametrize("tau", [1.0, 0.6])
@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "erf", "leaky_relu", "sigmoid", "abs", "sign"])
def test_three_levels_keep_what_a_hidden_layer_needs(name, tau):
    """Mean, slope, curvature and the quadratic coefficient: five unknowns, four numbers."""
    q = quantize_activation(name, 3, tau, keep_second=False)
    want = true_mismatch(name, q)
    assert q.success
    assert np.abs(want[[0, 1, 2, 4]]).max() < 1e-12
    assert q.mismatch == pytest.approx(want, abs=1e-13)
    nu = float(reference(name, tau)[1][2])
    assert q.shift == pytest.approx(nu * want[3], rel=1e-12, abs=1e-13)
    assert q.mean == pytest.approx(float(reference(name, tau)[0]), abs=1e-14)
    assert q.shift >= -1e-13  # a step function has no less than its linear and quadratic part


NAMED = [
    "identity", "relu", "leaky_relu", "abs", "sign", "step", "hard_tanh", "relu2", "erf", "tanh", "sigmoid",
    "softplus", "silu", "gelu", "elu", "selu", "mish", "arctan", "sin", "cos", "exp", "gaussian",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.01, 0.3, 1.0, 3.0, 50.0])
def test_three_levels_for_every_named_activation(tau):
    for name in NAMED if tau < 50 else sorted({*NAMED} - {"exp"}):
        q = quantize_activation(name, 3, tau, keep_second=False)
        assert q.success, (name, q)
        m, n = q.activation.moments(tau), fh.activation(name).centered(tau).moments(tau)
        unit = math.sqrt(n.second)
        assert abs(m.mean) < 1e-12 * unit
        assert abs(m.slope - n.slope) < 1e-12 * unit / tau
        assert abs(m.curvature - n.curvature) < 2e-12 * unit / tau**2
        assert abs(m.quadratic - n.quadratic) < 1e-11 * unit**2 / tau**2


@pytest.mark.parametrize(
    ("name", "levels"), [("sign", 2), ("sin", 5), ("relu", 10), ("leaky_relu", 10), ("gelu", 16)]
)
def test_all_five_where_the_levels_suffice(name, levels):
    q = quantize_activation(name, levels)
    assert q.success
    assert np.abs(true_mismatch(name, q)).max() < 1e-12
    assert abs(q.shift) < 1e-12


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_two_levels_keep_what_a_last_layer_needs(name):
    q = quantize_activation(name, 2, 1.3, keep_second=False, keep_quadratic=False)
    assert q.success
    assert np.abs(true_mismatch(name, q)[:3]).max() < 1e-12


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_at_another_scale(scale):
    """The compressed network's own scale: derivatives, not Hermite coefficients, are what is kept."""
    q = quantize_activation("relu", 4, 1.0, scale=scale, keep_second=False)
    assert q.success
    want = true_mismatch("relu", q)
    assert np.abs(want[[0, 1, 2, 4]]).max() < 1e-12
    m, n = q.activation.moments(scale), fh.activation("relu").centered().moments()
    assert m.slope == pytest.approx(n.slope, rel=1e-12)
    assert m.curvature == pytest.approx(n.curvature, rel=1e-12)
    assert m.quadratic == pytest.approx(n.quadratic, rel=1e-12)
    assert m.second - n.second == pytest.approx(q.shift, rel=1e-12)


@pytest.mark.parametrize("name", ["tanh", "relu", "abs", "gelu"])
@pytest.mark.parametrize("levels", [2, 3, 5])
def test_mismatch_is_told(name, levels):
    q = quantize_activation(name, levels)
    want = true_mismatch(name, q)
    assert not q.success
    assert q.status is fh.Status.NOT_CONVERGED
    assert q.mismatch == pytest.approx(want, abs=1e-13)
    assert abs(want[0]) < 1e-14
    assert q.residual == pytest.approx(np.abs(want).max(), rel=1e-12)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_least_squares_are_the_least(name):
    """Two levels of mean 0 have a threshold and an amplitude: all of them on a grid."""
    q = quantize_activation(name, 2)
    _, (a, b, nu, quad) = reference(name, 1.0)
    a, b, quad = (float(v) for v in (a / mp.sqrt(nu), b / mp.sqrt(nu), quad / nu))
    s = np.linspace(-3.0, 3.0, 1201)[:, None]
    size = np.linspace(0.3, 2.0, 1701)  # root of E c^2
    g, P = np.exp(-s * s / 2) / math.sqrt(2 * math.pi), ndtr(s)
    jump = size / np.sqrt(P * (1 - P))
    squares = (
        (np.square(jump * g) - a * a) ** 2
        + (np.square(jump * s * g) / 2 - b * b / 2) ** 2
        + (size**2 - 1) ** 2
        + (jump**2 * (P**2 - (1 - P) ** 2) * s * g / 2 - quad / 2) ** 2
    )
    least = float(np.sum(q.mismatch**2))
    assert least <= squares.min() + 1e-12
    assert least > 0.99 * squares.min()


def test_nearest_of_all_matches():
    """Three levels that keep four numbers are a curve: the distance to ReLU along all of it."""
    q = quantize_activation("relu", 3, keep_second=False)
    m, (a, b, nu, quad) = reference("relu", 1.0)
    m, a, b, nu, quad = (float(v) for v in (m, a, b, nu, quad))

    def levels(s):
        g = np.exp(-s * s / 2) / math.sqrt(2 * math.pi)
        A, B = -np.diff([0.0, *g, 0.0]), -np.diff([0.0, *(s * g), 0.0])
        c = np.linalg.solve([np.diff([0.0, *ndtr(s), 1.0]), A, B], [0.0, a, b])
        return c, A, B

    def gap(second, first):
        c, _, B = levels(np.array([first, second]))
        return np.sum(c * c * B) - quad

    def nearest(firsts):
        found = [(np.inf, 0.0)]
        for first in firsts:
            grid = np.linspace(first + 0.02, 3.0, 80)
            values = [gap(second, first) for second in grid]
            for i in np.flatnonzero(np.diff(np.sign(values))):
                s = np.array([first, optimize.brentq(gap, grid[i], grid[i + 1], args=(first,), xtol=1e-13)])
                c, _, _ = levels(s)
                P = np.diff([0.0, *ndtr(s), 1.0])
                positive = np.maximum([-np.inf, *s, np.inf], 0.0)
                F = -np.diff(np.exp(-positive * positive / 2)) / math.sqrt(2 * math.pi) - m * P
                found.append((float(np.sum(c * c * P) + nu - 2 * np.sum(c * F)) / nu, first))
        return min(found)

    best, at = nearest(np.linspace(-2.5, 2.5, 51))
    best, _ = nearest(np.linspace(at - 0.1, at + 0.1, 41))
    assert q.distance <= best + 1e-9
    assert q.distance == pytest.approx(best, rel=1e-4)


def test_more_levels_are_nearer():
    distances = [quantize_activation("relu", k, keep_second=False).distance for k in (3, 4, 6, 9)]
    shifts = [quantize_activation("relu", k, keep_second=False).shift for k in (3, 4, 6, 9)]
    assert (np.diff(distances) < 0).all()
    assert (np.diff(shifts) < 0).all()
    assert distances[-1] < 0.015


def test_distance_by_simulation():
    q = quantize_activation("gelu", 4, 1.4, keep_second=False)
    t = 1.4 * np.random.default_rng(3).standard_normal(400_000)
    phi = t * (1 + erf(t / math.sqrt(2))) / 2
    nu = float(reference("gelu", 1.4)[1][2])
    square = (q.activation(t) - (phi - q.mean)) ** 2 / nu
    assert abs(square.mean() - q.distance) < 4 * square.std() / math.sqrt(t.size)


def test_weights_of_the_least_squares():
    even = quantize_activation("tanh", 3)
    slope = quantize_activation("tanh", 3, weights=[100.0, 1.0, 1.0, 1.0])
    assert abs(slope.mismatch[1]) < 1e-3 < abs(even.mismatch[1])
    assert abs(slope.mismatch[3]) > abs(even.mismatch[3])


def test_even_and_odd_functions_stay_so():
    """Nearest to an odd function is an odd one; three levels of an even one are two values."""
    odd = quantize_activation("tanh", 4, keep_second=False)
    assert odd.levels + odd.levels[::-1] == pytest.approx(np.zeros(4), abs=1e-10)
    even = quantize_activation("abs", 3, keep_second=False)
    assert even.levels[0] == pytest.approx(even.levels[2], rel=1e-9)
    assert even.bits == 1.0
    assert odd.bits == 2.0


def test_any_callable_and_scaled_activations():
    act = fh.activation(lambda t: np.maximum(t - 0.3, -0.5), kinks=[-0.2], name="hinge")
    q = quantize_activation(act, 3, 0.8, keep_second=False)
    assert q.success
    assert q.name == "hinge"
    double = quantize_activation(-2.0 * fh.activation("relu") + 5.0, 3, keep_second=False)
    single = quantize_activation("relu", 3, keep_second=False)
    assert double.thresholds == pytest.approx(single.thresholds, abs=1e-6)
    assert double.levels == pytest.approx(-2.0 * single.levels, abs=1e-6)
    assert double.mean == pytest.approx(5.0 - 2.0 * single.mean, rel=1e-14)


def test_quantized_activation_as_an_object(tmp_path):
    q = quantize_activation("relu", 3, keep_second=False)
    assert pickle.loads(pickle.dumps(q)) == q
    q.save(tmp_path / "q.npz")
    assert QuantizedActivation.load(tmp_path / "q.npz") == q
    assert q == quantize_activation(
        fh.activation("relu"), 3, keep_second=False
    )  # the search is deterministic
    act = q.activation
    assert act.kinks.tolist() == q.thresholds.tolist()
    assert not act.continuous
    assert pickle.loads(pickle.dumps(act)) == act
    text = repr(q)
    assert text.startswith("QuantizedActivation(relu, 3 levels, tau 1, CONVERGED)")
    assert all(name in text for name in COEFFICIENTS)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"),
    [
        (("reluu",), {}, ValueError, "relu"),
        (("relu", 1), {}, ValueError, "levels must be an integer >= 2"),
        (("relu", 65), {}, ValueError, "at most 64"),
        (("relu", 2.5), {}, TypeError, "levels"),
        (("relu", 3, 0.0), {}, ValueError, "tau must be finite and > 0"),
        (("relu", 3, np.nan), {}, ValueError, "tau"),
        (("relu", 3), {"scale": -1.0}, ValueError, "scale must be finite and > 0"),
        (("relu", 3), {"weights": [1.0, 1.0]}, ValueError, "weights must have one entry for each of the 4"),
        (("relu", 3), {"weights": [1.0, 0.0, 1.0, 1.0]}, ValueError, "keep_second=False"),
        ((lambda t: 0.0 * t + 1.0, 3), {}, ValueError, "must not be constant"),
        ((lambda t: np.exp(t**2), 3), {}, ValueError, "square-integrable"),
    ],
)
def test_bad_arguments_of_quantize_activation(arguments, keywords, error, text):
    with pytest.raises(error, match=text):
        quantize_activation(*arguments, **keywords)


# -------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
def test_random_ternary_weights(sparsity):
    w = sparse_ternary_weights((500, 400), sparsity, rng=1)
    values = w.matrix()
    a = 1 / math.sqrt(1 - sparsity)
    assert set(np.unique(w.signs)) <= {-1, 0, 1}
    assert w.scale == pytest.approx(a, rel=1e-15)
    n = values.size
    fourth = 1 / (1 - sparsity)
    assert abs(values.mean()) < 4 / math.sqrt(n)
    assert abs(np.mean(values**2) - 1) <= 4 * math.sqrt((fourth - 1) / n) + 1e-12
    assert abs(w.sparsity - sparsity) <= 4 * math.sqrt(sparsity * (1 - sparsity) / n)
    assert abs(np.mean(values[:-1] * values[1:])) < 4 / math.sqrt(n)
    assert np.array_equal(w.signs, sparse_ternary_weights((500, 400), sparsity, rng=1).signs)
    assert sparse_ternary_weights(7, sparsity, rng=0).signs.shape == (7,)


def test_a_generator_advances():
    rng = np.random.default_rng(0)
    assert not np.array_equal(
        sparse_ternary_weights(50, 0.5, rng).signs, sparse_ternary_weights(50, 0.5, rng).signs
    )


def test_size_of_ternary_weights():
    w = TernaryWeights(np.array([1, 0, 0, -1, 0, 0, 0, 0], np.int8), 2.0)
    assert w.sparsity == 0.75
    assert w.bits() == pytest.approx(32 + 8 * (0.75 * math.log2(4 / 3) + 0.25 * math.log2(8)), rel=1e-15)
    assert w.bits("packed") == 32 + 16  # two bytes of five
    assert TernaryWeights(np.ones(6, np.int8), 1.0).bits() == 38.0
    assert TernaryWeights(np.zeros(6, np.int8), 1.0).bits() == 32.0
    # a third each: log2(3) a weight
    assert TernaryWeights(np.array([-1, 0, 1], np.int8), 1.0).bits() == pytest.approx(32 + 3 * math.log2(3))
    with pytest.raises(ValueError, match='storage must be "entropy" or "packed"'):
        w.bits("zip")
    assert repr(w) == "TernaryWeights(shape (8,), sparsity 0.7500, scale 2)"


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9, 0.999])
def test_ternarized_weights_keep_the_second_moment(sparsity):
    W = np.random.default_rng(0).standard_normal((30, 20))
    w = ternarize(W, sparsity)
    assert np.sum(w.matrix() ** 2) == pytest.approx(np.sum(W**2), rel=1e-14)
    kept = w.signs != 0
    assert kept.sum() == max(1, 600 - round(600 * sparsity))
    assert np.array_equal(w.signs[kept], np.sign(W)[kept])
    if sparsity:
        assert np.abs(W)[kept].min() >= np.abs(W)[~kept].max()


def test_ternarize_ties_and_zeros():
    assert ternarize(np.ones(4), 0.5).signs.tolist() == [0, 0, 1, 1]
    w = ternarize([0.0, 0.0, 0.0, 3.0, -4.0], 0.2)
    assert w.signs.tolist() == [0, 0, 0, 1, -1]
    assert w.scale**2 == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: sparse_ternary_weights(5, 1.0), "sparsity must be below 1"),
        (lambda: sparse_ternary_weights(5, -0.1), "sparsity must be finite and >= 0"),
        (lambda: sparse_ternary_weights((5, 0), 0.5), "shape must be an integer >= 1"),
        (lambda: ternarize([], 0.5), "W must not be empty"),
        (lambda: ternarize([0.0, 0.0], 0.5), "W must not be all zero"),
        (lambda: ternarize([1.0, np.nan], 0.5), "W must be finite"),
        (lambda: ternarize([1.0, 2.0], np.inf), "sparsity"),
    ],
)
def test_bad_weights(call, text):
    with pytest.raises(ValueError, match=text):
        call()


# ------------------------------------------------------------------------------------------------------- networks


def quantised_kernel(G, layers):
    for q in layers:
        G = next_kernel(G, lambda tau, q=q: step_series(q.thresholds, q.levels, tau))
    return G


def relu_layers(levels, fifth):
    """Two ReLU layers at tau = 1, step functions for them, and the second moments after both."""
    taus, layers, scale, tau = [], [], 1.0, 1.0
    for row in range(2):
        q = quantize_activation(
            "relu", levels, tau, scale=scale, keep_second=False, keep_quadratic=fifth and row == 0
        )
        assert q.success
        layers.append(q)
        taus.append(tau)
        second = tau**2 * (0.5 - 0.5 / math.pi)
        tau, scale = math.sqrt(second), math.sqrt(second + q.shift)
    return taus, layers, scale**2 - tau**2


def kernel_errors(fifth, sizes, draws):
    """Two layers, three levels, exact kernels; relative to |CK|, shape (3, draws, sizes): the operator norms of
    CK_c - shift I - CK, of what the equivalents say of it, and of the difference between the two.
    """
    taus, layers, shift = relu_layers(3, fifth)
    out = np.empty((3, draws, len(sizes)))
    for row, p in enumerate(sizes):
        labels = np.repeat([0, 1], [p // 2, p - p // 2])
        for seed in range(draws):
            X = two_classes(p, seed)
            K = G = X @ X.T / p
            for tau in taus:
                K = next_kernel(K, lambda t, c=tau / ROOT: relu_series(c, t))
            found = quantised_kernel(G, layers) - shift * np.eye(p) - K
            variances = [np.mean(X[labels == a] ** 2) for a in (0, 1)]
            stats = fh.GaussianMixture(np.zeros((2, p)), variances).statistics
            a, b = (
                fh.kernel_equivalent(s, stats).matrix(X, labels)
                for s in (["relu"] * 2, [q.activation for q in layers])
            )
            predicted = b - a - shift * np.eye(p)
            norms = [np.max(np.abs(np.linalg.eigvalsh(M))) for M in (found, predicted, found - predicted, K)]
            out[:, seed, row] = np.array(norms[:3]) / norms[3]
    return out


def exponents(errors, sizes):
    """Slope of log error over log p, and its standard error."""
    slopes = np.polyfit(np.log(sizes), np.log(errors).T, 1)[0]
    return slopes.mean(), slopes.std(ddof=1) / math.sqrt(slopes.size)


@pytest.mark.parametrize("sizes", [[150, 500], pytest.param([600, 1200, 2400], marks=pytest.mark.slow)])
def test_hidden_layers_need_the_fifth_condition(sizes):
    """Without E[phi^2 (xi^2 - 1)] of the first layer the error stays, as predicted; with it, it is O(p^(-1/2))."""
    matched, predicted, _ = kernel_errors(True, sizes, 10)
    assert predicted.max() < 1e-12
    slope, error = exponents(matched, sizes)
    assert slope < -0.5 + 4 * error
    without, predicted, rest = kernel_errors(False, sizes, 10)
    slope, error = exponents(without, sizes)
    assert slope > -0.5 + 4 * error
    assert without[:, -1].mean() > 2.5 * matched[:, -1].mean()
    slope, error = exponents(rest, sizes)  # what the equivalents do not say falls
    assert slope < -0.5 + 4 * error
    assert predicted[:, -1].mean() > 0.9 * predicted[:, 0].mean()


def test_network_keeps_all_coefficients():
    net = compress_network(["gelu", "relu", "tanh"], [200, 300, 400, 500], sparsity=0.8)
    assert net.success
    assert net.compressed_alpha[:, :3] == pytest.approx(net.alpha[:, :3], rel=1e-11, abs=1e-13)
    assert net.compressed_alpha[:3, 3] == pytest.approx(net.alpha[:3, 3], rel=1e-11)
    assert net.shifted_error < 1e-11
    # what remains is the shift of the identity, over the norm of the kernel
    X, y = fh.GaussianMixture(np.zeros((1, 200)), 1.0).sample(200, rng=0)
    stats = fh.GaussianMixture(np.zeros((1, 200)), 1.0).statistics
    K = fh.kernel_equivalent(["gelu", "relu", "tanh"], stats).matrix(X, y)
    assert net.error == pytest.approx(net.shift / np.linalg.norm(K, 2), rel=1e-9)
    assert net.identity[1] - net.identity[0] == pytest.approx(net.shift, rel=1e-9)
    # scales: those of the original, and of the step functions one after another
    scale = 1.0
    for row, q in enumerate(net.activations):
        assert net.scale[row] == pytest.approx(scale, rel=1e-12)
        thresholds = net.thresholds[row]
        _, second = step_series(thresholds, net.levels[row], np.array([scale]), 1)
        assert q.moments(scale).mean == pytest.approx(0.0, abs=1e-14)
        scale = math.sqrt(second[0])


def test_predicted_error_of_a_poor_match():
    """Two levels everywhere: the exact kernels differ by what the equivalents say."""
    p = 800
    net = compress_network("relu", [p, p, p], 1.0, levels=2)
    assert not net.success
    assert net.shifted_error > 0.02
    X, _ = fh.GaussianMixture(np.zeros((1, p)), 1.0).sample(p, rng=0)
    K = G = X @ X.T / p
    for tau in net.tau:
        K = next_kernel(K, lambda t, c=tau / ROOT: relu_series(c, t))
    for s, c in zip(net.thresholds, net.levels, strict=True):
        G = next_kernel(G, lambda t, s=s, c=c: step_series(s, c, t))
    norm = np.linalg.norm(K, 2)
    assert np.linalg.norm(G - K, 2) / norm == pytest.approx(net.error, rel=0.05)
    assert np.linalg.norm(G - K - net.shift * np.eye(p), 2) / norm == pytest.approx(
        net.shifted_error, rel=0.05
    )


def test_size_of_a_network():
    net = compress_network(["relu", "tanh"], [100, 50, 30], levels=[3, 4], sparsity=0.75)
    entropy = 0.75 * math.log2(4 / 3) + 0.25 * 3
    assert net.original_bits == 32 * (100 * 50 + 50 * 30)
    assert net.bits == pytest.approx(entropy * 6500 + 32 * (5 + 7), rel=1e-14)
    assert net.original_activation_bits == 32 * 80
    assert net.activation_bits == pytest.approx(50 * math.log2(3) + 30 * 2, rel=1e-14)
    assert net.ratio == pytest.approx(net.original_bits / net.bits)
    packed = compress_network(["relu", "tanh"], [100, 50, 30], levels=[3, 4], storage="packed", float_bits=16)
    assert packed.bits == 8 * (1000 + 300) + 16 * 12
    assert packed.original_bits == 16 * 6500


def test_network_as_an_object(tmp_path):
    net = compress_network(["relu", "tanh"], [60, 50, 40], levels=[3, 5])
    assert pickle.loads(pickle.dumps(net)) == net
    net.save(tmp_path / "net.npz")
    assert CompressedNetwork.load(tmp_path / "net.npz") == net
    assert net == compress_network(["relu", "tanh"], [60, 50, 40], levels=[3, 5])
    text = repr(net)
    assert "CompressedNetwork(60 - 50 - 40, sparsity 0.9, matched)" in text
    assert "predicted error" in text
    assert "times less" in text
    assert net.thresholds.shape == (2, 4)
    assert np.isinf(net.thresholds[0, 2:]).all()
    assert [a.kinks.size for a in net.activations] == [2, 4]
    assert [w.signs.shape for w in net.weights(rng=0)] == [(50, 60), (40, 50)]


def test_data_of_all_kinds():
    mean = np.zeros(150)
    mean[0] = 2.0
    mixture = fh.GaussianMixture([-mean, mean], [1.0, 1.3])
    X, labels = mixture.sample(120, rng=5)
    for net in (
        compress_network("relu", [150, 80], mixture, n_samples=90),
        compress_network("relu", [150, 80], X, labels=labels),
        compress_network("relu", [150, 80], X),
        compress_network("relu", [150, 80], fh.UnitSphere(150)),
        compress_network("relu", [150, 80], 1.3),
    ):
        assert net.success
        assert net.shifted_error < 1e-12 < net.error
    assert net.tau[0] == pytest.approx(1.3)


def test_keeping_the_second_moment():
    """Without a shift of the ridge: many levels are needed, and then the kernel is the same as it is."""
    net = compress_network("relu", [300, 200], levels=10, ridge_shift=False)
    assert net.success
    assert net.error < 1e-12
    assert abs(net.shift) < 1e-12
    few = compress_network("relu", [300, 200], levels=3, ridge_shift=False)
    assert not few.success
    assert few.error > 0.01


def test_random_networks_have_the_compressed_kernel():
    """Sparse ternary weights: features of twelve networks against the exact kernel of step functions."""
    p, n, width = 400, 60, 3000
    net = compress_network("relu", [p, width, width], sparsity=0.6)
    X = two_classes(p)[:n] / math.sqrt(np.mean(two_classes(p)[:n] ** 2))
    K = X @ X.T / p
    for s, c in zip(net.thresholds, net.levels, strict=True):
        K = next_kernel(K, lambda t, s=s, c=c: step_series(s, c, t))
    off = K - np.diag(np.diag(K))
    drawn = []
    for seed in range(12):
        F = net.features(X, rng=seed)
        M = F @ F.T / width
        drawn.append([np.trace(M) / n, np.sum(M * off) / np.sum(off * off)])
    drawn = np.array(drawn)
    error = drawn.std(axis=0, ddof=1) / math.sqrt(len(drawn))
    want = np.array([np.trace(K) / n, 1.0])
    assert (np.abs(drawn.mean(axis=0) - want) < 4 * error).all(), (drawn.mean(axis=0), want, error)
    assert np.array_equal(net.features(X, rng=3), net.features(X, rng=3))


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"),
    [
        (("relu", [100]), {}, ValueError, "widths must hold the data's dimension"),
        ((["relu", "tanh"], [100, 50]), {}, ValueError, "widths must hold 3 numbers"),
        (("relu", [100, 0]), {}, ValueError, "widths must be an integer >= 1"),
        (("relu", [100, 50], fh.UnitSphere(80)), {}, ValueError, "dimension of the data, 80"),
        (("relu", [100, 50], np.ones((9, 3))), {}, ValueError, "dimension of the data, 3"),
        (("relu", [100, 50], -1.0), {}, ValueError, "data must be finite and > 0"),
        (("relu", [100, 50], "digits"), {}, TypeError, "data must be a number"),
        (("relu", [100, 50]), {"labels": [0, 1]}, TypeError, "labels belong to an array"),
        (("relu", [3, 50], np.ones((9, 3))), {"n_samples": 5}, TypeError, "n_samples belongs to a model"),
        (("relu", [100, 50]), {"levels": [3, 4]}, ValueError, "levels must be one number"),
        (("relu", [100, 50]), {"levels": 1}, ValueError, "levels must be an integer >= 2"),
        (("relu", [100, 50]), {"sparsity": 1.0}, ValueError, "sparsity must be below 1"),
        (("relu", [100, 50]), {"storage": "zip"}, ValueError, "storage"),
        (("relu", [100, 50]), {"float_bits": 0}, ValueError, "float_bits"),
    ],
)
def test_bad_arguments_of_compress_network(arguments, keywords, error, text):
    with pytest.raises(error, match=text):
        compress_network(*arguments, **keywords)


def test_bad_inputs_of_features():
    net = compress_network("relu", [30, 20])
    with pytest.raises(ValueError, match="X must have 30 columns"):
        net.features(np.ones((4, 5)))


# -------------------------------------------------------------------------------------------- trained perceptrons


@functools.cache
def digits():
    """Standard split, and a trained network."""
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.utils._testing import ignore_warnings

    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X / 16.0, y, test_size=597, random_state=0, stratify=y)
    model = MLPClassifier((256, 128), max_iter=40, random_state=0)
    ignore_warnings(model.fit, category=ConvergenceWarning)(parts[0], parts[2])
    return model, *parts


@pytest.mark.parametrize(
    ("levels", "sparsity", "margin", "saving"),
    [(3, 0.5, 0.025, 12.5), (3, 0.9, 0.03, 19.5), (8, 0.9, 0.01, 19.5)],
)
def test_digits(levels, sparsity, margin, saving):
    model, X, X_test, y, y_test = digits()
    net = compress_mlp(model, X, y, levels=levels, sparsity=sparsity)
    assert model.score(X_test, y_test) > 0.96
    assert net.score(X_test, y_test) > model.score(X_test, y_test) - margin
    assert net.ratio > saving
    assert net.success
    assert net.sparsity == pytest.approx(sparsity, abs=1e-4)
    assert net.classes.tolist() == list(range(10))


def test_digits_without_matching_is_worse():
    """The same signs with sign activations, last layer fitted anew in the same way."""
    from fasthde.compression._mlp import _readout

    model, X, X_test, y, y_test = digits()
    net = compress_mlp(model, X, y, sparsity=0.9)
    h, h_test = X, X_test
    for w, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        signs = ternarize(w, 0.9).signs
        h, h_test = np.sign(h @ signs + b), np.sign(h_test @ signs + b)
    V, v = _readout(h, y, model.classes_, "logistic")
    naive = np.mean(np.argmax(h_test @ V + v, axis=1) == y_test)
    assert net.score(X_test, y_test) > naive + 0.01


def test_parts_of_a_compressed_perceptron(tmp_path):
    model, X, X_test, y, _ = digits()
    net = compress_mlp(model, X, y, sparsity=0.8, readout="ridge")
    assert [w.signs.shape for w in net.weights] == [(64, 256), (256, 128)]
    assert all(np.unique(w.signs).tolist() == [-1, 0, 1] for w in net.weights)
    assert set(np.unique(net.features(X_test))) <= set(net.levels[-1])
    # every unit's mean input, and the mean of their variances, are those of the original
    h, small, at = X, X, 0
    for w, b, ternary, phi in zip(
        model.coefs_, model.intercepts_, net.weights, net.activations, strict=False
    ):
        outer = h @ w + b
        inner = small @ ternary.matrix() + net.intercepts[at : at + b.size]
        assert inner.mean(axis=0) == pytest.approx(outer.mean(axis=0), abs=1e-10)
        assert inner.var(axis=0).mean() == pytest.approx(outer.var(axis=0).mean(), rel=1e-10)
        h, small, at = np.maximum(outer, 0.0), phi(inner), at + b.size
    # size, added up by hand
    kept = [w.sparsity for w in net.weights]
    entropy = [s * math.log2(1 / s) + (1 - s) * math.log2(2 / (1 - s)) for s in kept]
    bits = 64 * 256 * entropy[0] + 256 * 128 * entropy[1]
    bits += 32 * (256 + 128 + 128 * 10 + 10 + 2 * 5 + 2)  # intercepts, last layer, step functions, sizes
    assert net.bits == pytest.approx(bits, rel=1e-12)
    assert net.original_bits == 32 * (64 * 256 + 256 + 256 * 128 + 128 + 1280 + 10)
    assert pickle.loads(pickle.dumps(net)) == net
    net.save(tmp_path / "net.npz")
    again = CompressedMLP.load(tmp_path / "net.npz")
    assert again == net
    assert np.array_equal(again.predict(X_test), net.predict(X_test))
    assert net == compress_mlp(model, X, y, sparsity=0.8, readout="ridge")
    assert repr(net).startswith("CompressedMLP(64 - 256 - 128 - 10, sparsity 0.8, matched)")


def test_many_levels_and_no_sparsity_keep_the_last_layer():
    """Sixteen levels follow ReLU closely; what is left is the loss of the weights' sizes."""
    model, X, X_test, y, y_test = digits()
    net = compress_mlp(model, X, y, levels=16, sparsity=0.3, readout="keep", ridge_shift=False)
    assert np.array_equal(net.readout, model.coefs_[-1])
    assert net.score(X_test, y_test) > model.score(X_test, y_test) - 0.01


def test_regressor_and_two_classes():
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    X = np.random.default_rng(0).standard_normal((400, 15))
    y = np.sin(X[:, 0]) + X[:, 1]
    kind = {
        "hidden_layer_sizes": (150,),
        "solver": "lbfgs",
        "max_iter": 5000,
        "max_fun": 100_000,
        "alpha": 1.0,
    }
    model = MLPRegressor(activation="tanh", random_state=0, **kind).fit(X, y)
    net = compress_mlp(model, X, y, levels=16, sparsity=0.3)
    assert net.classes is None
    assert net.predict(X).shape == (400,)
    assert net.score(X, y) > 0.9
    with pytest.raises(ValueError, match="readout"):
        compress_mlp(model, X, y, readout="logistic")

    model = MLPRegressor(activation="logistic", random_state=0, **kind).fit(X, X[:, :2])
    net = compress_mlp(model, X, X[:, :2], levels=16, sparsity=0.3)
    assert net.predict(X).shape == (400, 2)
    assert net.score(X, X[:, :2]) > 0.9

    labels = np.where(y > 0, "yes", "no")
    model = MLPClassifier(activation="identity", random_state=0, **kind).fit(X, labels)
    for readout in ("logistic", "ridge", "keep"):
        net = compress_mlp(model, X, labels, levels=4, sparsity=0.3, readout=readout)
        assert set(net.predict(X)) == {"yes", "no"}
        assert net.decision_function(X).shape == (400, 2 if readout == "ridge" else 1)
        if readout == "keep":  # trained for other features
            assert np.array_equal(net.readout, model.coefs_[-1])
        else:
            assert net.score(X, labels) > 0.85


def test_bad_perceptrons():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    model, X, X_test, y, y_test = digits()
    with pytest.raises(TypeError, match="LogisticRegression"):
        compress_mlp(LogisticRegression(), X, y)
    with pytest.raises(ValueError, match="must be fitted"):
        compress_mlp(MLPClassifier(), X, y)
    with pytest.raises(ValueError, match="X must have 64 columns"):
        compress_mlp(model, X[:, :5], y)
    with pytest.raises(ValueError, match="y must have one target"):
        compress_mlp(model, X, y[:-1])
    with pytest.raises(ValueError, match="readout must be"):
        compress_mlp(model, X, y, readout="svm")
    with pytest.raises(ValueError, match="X must vary"):
        compress_mlp(model, np.ones((50, 64)), y[:50])
    with pytest.raises(ValueError, match="model's classes"):
        compress_mlp(model, X, y + 5, readout="ridge")
    with pytest.raises(ValueError, match="levels must be one number"):
        compress_mlp(model, X, y, levels=[3])
    net = compress_mlp(model, X, y, readout="keep")
    with pytest.raises(ValueError, match="X must have 64 columns"):
        net.predict(X_test[:, 1:])
    with pytest.raises(ValueError, match="y must have shape"):
        net.score(X_test, y_test[:-1])


def test_step_functions_are_checked_and_immutable():
    from fasthde.compression import StepFunction

    step = StepFunction([-1.0, 1.0], [-1.0, 0.0, 1.0])
    with pytest.raises(AttributeError, match="immutable"):
        step.levels = 5
    with pytest.raises(ValueError, match="ascending"):
        StepFunction([1.0, -1.0], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="one more"):
        StepFunction([1.0], [0.0])
    assert np.isnan(step(np.nan))


def test_compress_mlp_refuses_classes_that_do_not_fit():
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    X = rng.standard_normal((120, 5)) + 2.0 * np.eye(3, 5)[y]
    model = MLPClassifier((20,), max_iter=2000, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="missing"):
        fh.compress_mlp(model, X[y != 1], y[y != 1])
    with pytest.raises(ValueError, match="model's classes"):
        fh.compress_mlp(model, X, y + 7)
    small = fh.compress_mlp(model, X[y != 1], y[y != 1], sparsity=0.5, readout="ridge")
    assert set(small.predict(X[y != 1])) <= {0, 2}
    assert small.score(X[y != 1], y[y != 1]) > 0.9
