"""Exact kernels of deep networks against the recursion of 50 digits, pair by pair, and against simulation.

Errors are relative to the square root of the two diagonal entries, as the result reports them.
"""

from __future__ import annotations

import functools
import math
import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthde as fh
from tests import oracle_networks as oracle
from tests.oracle_networks import deep_matrix, phi, simulate

TOLERANCE = 1e-12
W, B = 1.5**2, 0.01


def soft(t):
    """Kink of the second derivative at 0."""
    return t / (1 + np.abs(t))


def soft_slope(t):
    return 1 / (1 + np.abs(t)) ** 2


def bent(t):
    """A slope kink off the origin, and no parity."""
    return np.sin(t) + 0.3 * np.abs(t - 0.4)


def bent_slope(t):
    return np.cos(t) + 0.3 * np.sign(t - 0.4)


CUSTOM = {
    "soft": oracle.Phi("soft", None, soft, soft_slope, soft_slope, (0.0,)),
    "bent": oracle.Phi("bent", None, bent, bent_slope, bent_slope, (0.4,)),
}


@functools.cache
def act(name):
    if name == "soft":
        return fh.activation(soft, kinks=[0.0], derivative=soft_slope)
    if name == "bent":
        return fh.activation(bent, kinks=[0.4], derivative=bent_slope)
    return fh.activation(name)


@functools.cache
def ref(name):
    if name in CUSTOM:
        return CUSTOM[name]
    return oracle.numeric(phi(name)) if name == "hard_tanh" else phi(name)


SPECIAL = 13  # rows planted by `inputs`


@functools.cache
def inputs(equal, n=16, d=12, seed=0):
    """Planted rows, then random ones; all of norm sqrt(d), or of norms between .2 and 2 sqrt(d).

    Rows 1..4 are copies of row 0 moved by 1e-3, 1e-6, 1e-9 and 0 of its norm, 5..7 their negatives, 8 and 9 are
    moved by 2e-3 and 3e-2, 10..12 are multiples of rows 0, 0 and 1 (copies and a negative for equal norms).
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    size = np.full(n, math.sqrt(d)) if equal else math.sqrt(d) * rng.uniform(0.2, 2.0, n)
    X *= (size / np.linalg.norm(X, axis=1))[:, None]
    base = X[0].copy() if equal else X[0] * math.sqrt(d) / np.linalg.norm(X[0])
    X[0] = base

    def moved(distance):
        e = rng.standard_normal(d)
        y = base + distance * math.sqrt(d) / np.linalg.norm(e) * e
        return y * math.sqrt(d) / np.linalg.norm(y) if equal else y

    for i, distance in enumerate((1e-3, 1e-6, 1e-9, 0.0), 1):
        X[i] = moved(distance) if distance else base
    X[5], X[6], X[7] = -X[0], -X[2], -X[3]
    X[8], X[9] = moved(2e-3), moved(3e-2)
    a, b, c = (1.0, -1.0, 1.0) if equal else (1.75, -0.5, 0.3)
    X[10], X[11], X[12] = a * X[0], b * X[0], c * X[1]
    X.flags.writeable = False
    return X


def some_pairs(n):
    pairs = [(0, j) for j in range(SPECIAL) if j != 7] + [(7, 3), (10, 11), (12, 9)]
    return [*pairs, (0, 14), (14, 13), (n - 1, n - 1), (5, n - 2)]


def compare(X, names, pairs=None, tolerance=TOLERANCE, tangent=True, **options):
    """Both kernels of all inputs, checked on pairs; the largest error and the result."""
    pairs = some_pairs(len(X)) if pairs is None else pairs
    stack = [act(s) for s in names]
    if tangent:
        r = fh.network_kernels(X, stack, **options)
        got = [r.conjugate, r.tangent]
    else:
        r = fh.conjugate_kernel(X, stack, full_output=True, **options)
        got = [r.conjugate]
        assert r.tangent is None
    want = deep_matrix(X, [ref(s) for s in names], pairs=pairs, **options)
    worst = 0.0
    for K, reference in zip(got, want, strict=False):
        assert K.shape == (len(X), len(X))
        assert np.array_equal(K, K.T)
        assert np.isfinite(K).all()
        gaps = {}
        for (i, j), value in zip(pairs, reference, strict=True):
            scale = math.sqrt(K[i, i] * K[j, j])
            if scale < 1e-18 * K.diagonal().max():  # of a zero vector
                assert abs(K[i, j] - value) <= 1e-18 * K.diagonal().max()
            else:
                gaps[i, j] = float(abs(K[i, j] - value) / scale)
        bad = {pair: gap for pair, gap in gaps.items() if not gap <= tolerance}
        assert not bad, (bad, r.error, r.methods)
        worst = max(worst, *gaps.values())
    assert r.error <= 1e-10
    assert r.status == fh.Status.CONVERGED
    return worst, r


NAMES = ("relu", "erf", "gelu", "tanh", "silu", "elu", "hard_tanh", "abs", "leaky_relu", "soft", "bent")
MORE = ("sigmoid", "softplus", "selu", "mish", "arctan", "sin", "cos", "gaussian", "identity")


# ---------------------------------------------------------------------------------------------- accuracy


EQUAL = pytest.mark.parametrize("equal", [True, False], ids=["equal", "unequal"])


@EQUAL
@pytest.mark.parametrize("name", NAMES)
def test_planted_pairs(name, equal):
    """Near-duplicates, duplicates, opposite and nearly opposite pairs, and others."""
    depth = 3 if equal or name in ("relu", "erf", "gelu", "tanh", "abs", "leaky_relu") else 2
    compare(inputs(equal), [name] * depth, weight_variance=W, bias_variance=B)


@EQUAL
@pytest.mark.parametrize("name", MORE)
def test_other_activations(name, equal):
    pairs = [(0, 0), (0, 1), (0, 2), (0, 6), (0, 8), (10, 11), (13, 14)]
    depth = 2 if equal else 1
    compare(inputs(equal), [name] * depth, pairs=pairs, weight_variance=1.2, bias_variance=0.1)


@pytest.mark.slow
@EQUAL
def test_a_callable_with_nothing_declared(equal):
    """Kinks and derivative are found."""
    X = inputs(equal)
    r = fh.network_kernels(X, fh.activation(bent), 3, weight_variance=W, bias_variance=B)
    pairs = some_pairs(len(X))
    want = deep_matrix(X, [ref("bent")] * 3, pairs=pairs, weight_variance=W, bias_variance=B)
    for K, reference in zip((r.conjugate, r.tangent), want, strict=True):
        for (i, j), value in zip(pairs, reference, strict=True):
            assert abs(K[i, j] - value) <= TOLERANCE * math.sqrt(K[i, i] * K[j, j])


@pytest.mark.parametrize(
    ("name", "ratio"),
    [(s, t) for s in ("relu", "abs", "erf") for t in (1.0, 3.0, 10.0, 1e3, 1e6)]
    + [("tanh", 3.0), ("tanh", 10.0)],
)
def test_parallel_inputs_of_unequal_norm(name, ratio):
    """Exactly (up to the rounding of the inputs) and nearly parallel and opposite, one much longer."""
    rng = np.random.default_rng(7)
    x, e = rng.standard_normal((2, 12))
    rows = [
        x,
        ratio * x,
        -ratio * x,
        *(ratio * (x + t * e) for t in (1e-9, 1e-6, 1e-3)),
        -ratio * (x + 1e-7 * e),
    ]
    compare(np.array(rows), [name] * 2, pairs=[(0, j) for j in range(7)] + [(1, 3)], weight_variance=W)


@EQUAL
@pytest.mark.parametrize(
    "names",
    [
        ["relu"] * 3,
        ["erf"] * 3,
        ["tanh"] * 4,
        ["arctan"] * 2,
        ["sin"] * 2,
        ["sign", "step"],
        ["tanh", "relu", "abs"],
    ],
    ids="-".join,
)
def test_error_estimate(names, equal):
    """The reported error is above the largest one that the planted pairs show."""
    tangent = "sign" not in names
    worst, r = compare(inputs(equal), names, tangent=tangent, weight_variance=W, bias_variance=B)
    assert worst <= r.error + 1e-15, (worst, r.error, r.methods)


@pytest.mark.parametrize("spread", [1e-6, 1e-9, 1e-12, 1e-14])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_norms_that_are_almost_equal(name, spread):
    """No shortcut for equal norms while they differ by digits that the result has."""
    X = np.array(inputs(True))
    X *= 1 + spread * np.random.default_rng(8).uniform(-1, 1, (len(X), 1))
    pairs = [(0, 0), (1, 1), (0, 1), (0, 2), (0, 4), (0, 5), (0, 8), (13, 13), (13, 14), (15, 0)]
    compare(X, [name] * 2, pairs=pairs, weight_variance=W, bias_variance=B)
    got = fh.conjugate_kernel(X, name, 2, weight_variance=W, bias_variance=B).diagonal()
    want = deep_matrix(X, [ref(name)] * 2, pairs=[(0, 0), (13, 13)], weight_variance=W, bias_variance=B)[0]
    assert np.allclose(got[[0, 13]], want, rtol=1e-14)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_many_inputs_of_unequal_norm(name):
    """Enough rows that a table over the variances may pay."""
    compare(inputs(False, n=600), [name] * 2, weight_variance=W, bias_variance=B)


@EQUAL
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_depth(name, depth, equal):
    pairs = [(0, 0), (0, 1), (0, 2), (0, 7), (0, 8), (10, 11), (13, 14)]
    compare(inputs(equal), [name] * depth, pairs=pairs, weight_variance=W, bias_variance=B)


@EQUAL
@pytest.mark.parametrize("names", [["tanh", "relu", "abs"], ["abs", "hard_tanh", "gelu"], ["relu", "bent"]])
def test_mixed_stack(names, equal):
    compare(inputs(equal), names, weight_variance=W, bias_variance=B)


@EQUAL
@pytest.mark.parametrize(
    "names",
    [["sign"], ["step", "relu"], ["tanh", "sign"], ["relu2"], ["sign", "step"], ["tanh", "sign", "relu"]],
    ids="-".join,
)
def test_conjugate_kernel_of_jumps(names, equal):
    """Above a jump 1 - rho is of the order of the angle: the next layer is a root of a root of 1 - r.

    A jump magnifies errors of the layer below by 1/sqrt(1 - rho): stated 1e-11 where there is one below.
    """
    tolerance = 1e-11 if names[0] == "tanh" else TOLERANCE
    compare(inputs(equal), names, tangent=False, tolerance=tolerance, weight_variance=W, bias_variance=B)


@EQUAL
@pytest.mark.parametrize("names", [["relu", "tanh"], ["erf", "erf"], ["abs", "relu"]])
def test_variances_and_readout(names, equal):
    """No bias; large bias; a variance for each map; the last affine map."""
    X = inputs(equal)
    pairs = [(0, 0), (0, 1), (0, 2), (0, 5), (0, 6), (10, 11), (13, 14)]
    for options in (
        {},
        {"weight_variance": 0.7, "bias_variance": 2.0},
        {"weight_variance": [1.5, 0.4], "bias_variance": [0.0, 0.3]},
        {"weight_variance": [1.5, 0.4, 2.0], "bias_variance": [0.1, 0.0, 0.5], "readout": True},
        {"weight_variance": 1.3, "bias_variance": 0.2, "readout": True},
    ):
        compare(X, names, pairs=pairs, **options)


@pytest.mark.parametrize("name", ["tanh", "gelu", "relu", "erf"])
def test_norms_over_four_decades(name):
    """Stated: 1e-11, relative to the diagonal entries of each pair."""
    X = np.array(inputs(False, n=60))
    X *= np.geomspace(1e-4, 2.0, 60)[np.random.default_rng(1).permutation(60)][:, None]
    pairs = [(0, 8), (22, 23), (35, 23), (0, 18), *zip(range(20, 60, 4), range(59, 19, -4), strict=True)]
    small, large = np.argmin(np.linalg.norm(X, axis=1)), np.argmax(np.linalg.norm(X, axis=1))
    pairs += [(small, large), (large, large), (small, small)]
    compare(X, [name] * 2, pairs=[(int(i), int(j)) for i, j in pairs], tolerance=1e-11, weight_variance=W)


@pytest.mark.parametrize("bias", [0.0, 0.1])
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid", "soft"])
def test_zero_vector(name, bias):
    """A row of zeros: an activation at 0 (or at the bias alone), independent of the other."""
    X = np.array(inputs(False))
    X[[1, 7]] = 0.0
    compare(X, [name], pairs=[(1, 1), (1, 7), (1, 0), (1, 5), (1, 13), (0, 13)], bias_variance=bias)
    both = fh.network_kernels(np.zeros((2, 3)), act(name), 2, bias_variance=bias)
    want = deep_matrix(np.zeros((1, 3)), [ref(name)] * 2, bias_variance=bias)
    assert np.allclose(both.conjugate, want[0, 0, 0], rtol=1e-13, atol=1e-30)
    assert np.allclose(both.tangent, want[1, 0, 0], rtol=1e-13, atol=1e-30)


@EQUAL
@pytest.mark.parametrize("name", ["relu", "tanh", "abs", "gelu"])
def test_duplicates_are_exact(name, equal):
    """Equal rows have equal entries, in both kernels, and the correlation 1."""
    X = inputs(equal)
    both = fh.network_kernels(X, name, 2, weight_variance=W, bias_variance=B)
    for K in (both.conjugate, both.tangent):
        assert K[0, 4] == pytest.approx(K[0, 0], rel=2e-15)
        assert K[4, 4] == pytest.approx(K[0, 0], rel=2e-15)
        assert np.allclose(K[0], K[4], rtol=0, atol=2e-15 * K.diagonal().max())


@pytest.mark.parametrize("name", ["relu", "hard_tanh", "abs", "leaky_relu", "bent"])
def test_close_pairs_in_full_relative_precision(name):
    """Theta_ii - Theta_ij is about the distance times a constant: digits of it at the distance 1e-9."""
    X = inputs(True)
    got = fh.tangent_kernel(X, act(name), 1)
    chosen = (0, 1, 2, 3, 8, 9)
    want = deep_matrix(X, [ref(name)], pairs=[(0, j) for j in chosen])[1]
    for j, value in zip(chosen, want, strict=True):
        assert got[0, 0] - got[0, j] == pytest.approx(want[0] - value, rel=1e-4, abs=2e-15 * got[0, 0])


@EQUAL
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_two_sets(name, equal):
    """X against Y, the planted pairs across the two sets; Y = X gives the square matrix."""
    Z = inputs(equal, n=40)
    X, Y = Z[[0, 5, 13, 20]], Z
    r = fh.network_kernels(X, name, 3, Y=Y, weight_variance=W, bias_variance=B)
    assert r.conjugate.shape == r.tangent.shape == (4, 40)
    full = fh.network_kernels(Z, name, 3, weight_variance=W, bias_variance=B)
    pairs = [(i, j) for i in range(4) for j in (0, 1, 2, 3, 4, 6, 11, 13, 30)]
    want = deep_matrix(X, [ref(name)] * 3, Y=Y, pairs=pairs, weight_variance=W, bias_variance=B)
    for K, square, reference in zip(
        (r.conjugate, r.tangent), (full.conjugate, full.tangent), want, strict=True
    ):
        scale = np.sqrt(np.outer(square.diagonal()[[0, 5, 13, 20]], square.diagonal()))
        assert np.max(np.abs(K - square[[0, 5, 13, 20]]) / scale) <= TOLERANCE
        for (i, j), value in zip(pairs, reference, strict=True):
            assert abs(K[i, j] - value) <= TOLERANCE * scale[i, j]
    one = fh.conjugate_kernel(X, name, 3, Y=Y, weight_variance=W, bias_variance=B)
    assert np.allclose(one, r.conjugate, rtol=0, atol=1e-14 * one.max())


def test_one_input():
    for names in (["relu"], ["tanh", "gelu"]):
        x = inputs(False)[13:14]
        r = fh.network_kernels(x, names, bias_variance=0.2)
        want = deep_matrix(x, [ref(s) for s in names], bias_variance=0.2)
        assert r.conjugate.shape == (1, 1)
        assert r.conjugate[0, 0] == pytest.approx(want[0, 0, 0], rel=1e-13)
        assert r.tangent[0, 0] == pytest.approx(want[1, 0, 0], rel=1e-13)
        assert fh.conjugate_kernel(x, names, Y=inputs(False), bias_variance=0.2).shape == (1, 16)
        assert fh.conjugate_kernel(inputs(False), names, Y=x, bias_variance=0.2).shape == (16, 1)


def test_one_feature():
    """d = 1: every pair is parallel or opposite."""
    X = np.array([[1.0], [-1.0], [0.3], [-2.0], [0.0], [1.0]])
    pairs = [(i, j) for i in range(6) for j in range(6)]
    compare(X, ["relu", "tanh"], pairs=pairs, weight_variance=W)
    compare(X, ["tanh", "abs"], pairs=pairs, weight_variance=W, bias_variance=B)


def test_three_functions_agree():
    X = inputs(False)
    both = fh.network_kernels(X, "gelu", 2, weight_variance=W, bias_variance=B)
    options = {"weight_variance": W, "bias_variance": B}
    for function, K in ((fh.conjugate_kernel, both.conjugate), (fh.tangent_kernel, both.tangent)):
        one = function(X, "gelu", 2, **options)
        assert np.allclose(one, K, rtol=0, atol=1e-14 * K.max())
        assert np.array_equal(one, function(X, ["gelu", fh.activation("gelu")], **options))
        assert np.array_equal(one, function(X.tolist(), "gelu", depth=2, **options))
        full = function(X, "gelu", 2, full_output=True, **options)
        assert full.status == fh.Status.CONVERGED
        assert np.array_equal(full.conjugate if function is fh.conjugate_kernel else full.tangent, one)
    copy = pickle.loads(pickle.dumps(both))
    assert copy == both


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_other_dtypes_and_layouts(dtype):
    X = (10 * inputs(False)).astype(dtype)
    want = fh.conjugate_kernel(X.astype(float), "relu", 2)
    assert np.array_equal(fh.conjugate_kernel(X, "relu", 2), want)
    assert np.array_equal(fh.conjugate_kernel(np.asfortranarray(X), "relu", 2), want)
    assert np.array_equal(fh.conjugate_kernel(np.repeat(X, 2, axis=0)[::2], "relu", 2), want)


# -------------------------------------------------------------------------------------------- properties


@settings(max_examples=15)
@given(
    st.sampled_from(["relu", "tanh", "gelu", "erf", "leaky_relu", "sin"]),
    st.integers(1, 3),
    st.floats(0.2, 2.0),
    st.floats(0.0, 1.0),
    st.integers(0, 1000),
)
def test_random_networks(name, depth, weight, bias, seed):
    """A random pair, at random variances, among random inputs."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((8, 5)) * rng.uniform(0.1, 2, (8, 1))
    compare(X, [name] * depth, pairs=[(0, 1), (2, 2)], weight_variance=weight, bias_variance=bias)


@EQUAL
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "hard_tanh", "abs"])
def test_positive_semidefinite(name, equal):
    X = inputs(equal, n=120)
    both = fh.network_kernels(X, act(name), 2, weight_variance=W, bias_variance=B)
    for K in (both.conjugate, both.tangent):
        assert np.linalg.eigvalsh(K).min() >= -1e-12 * K.diagonal().max()


def test_rotations_and_permutations():
    """The kernels depend on inner products alone."""
    X = inputs(False, n=50)
    Q = np.linalg.qr(np.random.default_rng(3).standard_normal((12, 12)))[0]
    order = np.random.default_rng(4).permutation(50)
    for name in ("relu", "gelu"):
        K = fh.tangent_kernel(X, name, 2, weight_variance=W, bias_variance=B)
        scale = np.sqrt(np.outer(K.diagonal(), K.diagonal()))
        turned = fh.tangent_kernel(X @ Q, name, 2, weight_variance=W, bias_variance=B)
        shuffled = fh.tangent_kernel(X[order], name, 2, weight_variance=W, bias_variance=B)
        far = np.linalg.norm(X[:, None] - X, axis=2) > 0.1  # rounding of a rotation moves close pairs
        assert np.max((np.abs(turned - K) / scale)[far]) <= TOLERANCE
        assert np.max(np.abs(shuffled - K[np.ix_(order, order)]) / scale[np.ix_(order, order)]) <= TOLERANCE


def test_homogeneous_networks_scale():
    """ReLU without bias: K(a x, b y) = a b K(x, y)."""
    X = np.array(inputs(True, n=40))[SPECIAL:]
    a = np.random.default_rng(5).uniform(0.01, 100, len(X))
    for function in (fh.conjugate_kernel, fh.tangent_kernel):
        K, scaled = (
            function(X, "relu", 3, weight_variance=2.0),
            function(a[:, None] * X, "relu", 3, weight_variance=2.0),
        )
        assert np.max(np.abs(scaled / np.outer(a, a) - K)) <= 1e-12 * K.max()


def test_a_constant_depth_limit():
    """Critical ReLU (weight variance 2, no bias) keeps the diagonal of K_l at x.x/d times 2, exactly."""
    X = inputs(False)
    for depth in (1, 5, 20):
        K = fh.conjugate_kernel(X, "relu", depth, weight_variance=2.0)
        assert np.allclose(K.diagonal(), np.sum(X * X, axis=1) / 12, rtol=1e-13)
        T = fh.tangent_kernel(X, "relu", depth, weight_variance=2.0)
        assert np.allclose(T.diagonal(), (depth + 1) * np.sum(X * X, axis=1) / 12, rtol=1e-13)


# ----------------------------------------------------------------------------- streams, threads, memory


@pytest.mark.parametrize(
    ("function", "name", "equal"),
    [
        ("conjugate_kernel", "relu", True), ("conjugate_kernel", "relu", False),
        ("conjugate_kernel", "tanh", True), ("tangent_kernel", "relu", True), ("tangent_kernel", "relu", False),
        ("tangent_kernel", "tanh", True), ("tangent_kernel", "gelu", False),
    ],
)  # fmt: skip
def test_streams_have_the_same_bits(tmp_path, function, name, equal):
    """To a file, to an array, to a callback: bit for bit the matrix in memory."""
    X = inputs(equal, n=1100)
    call = functools.partial(getattr(fh, function), weight_variance=W, bias_variance=B)
    K = call(X, name, 2)
    limit = K.nbytes // 4

    path = tmp_path / "kernel.npy"
    returned = call(X, name, 2, out=path, memory_limit=limit)
    assert np.array_equal(np.load(path), K)
    assert np.array_equal(np.asarray(returned), K)
    assert [p.name for p in tmp_path.iterdir()] == ["kernel.npy"]

    out = np.full_like(K, np.nan)
    call(X, name, 2, out=out)
    assert np.array_equal(out, K)

    seen, total = np.zeros(K.shape, int), np.full(K.shape, np.nan)

    def take(rows, columns, block):
        assert block.nbytes <= limit
        seen[rows, columns] += 1
        total[rows, columns] = block

    assert call(X, name, 2, out=take, memory_limit=limit) is None
    upper = np.triu(np.ones(K.shape, bool))
    assert np.all(seen[upper] == 1)
    assert np.all(seen <= 1)
    assert seen.sum() < 0.8 * seen.size  # the upper half of the blocks
    assert np.array_equal(total[seen == 1], K[seen == 1])


@pytest.mark.parametrize("limit", [1000, 50_000, 500_000])
def test_small_memory_limits(tmp_path, limit):
    """The limit is that of the blocks under way, or it is refused; the bits are the same."""
    X = inputs(True, n=600)
    K = fh.conjugate_kernel(X, "relu", 2)
    total = K.copy()

    def take(rows, columns, block):
        assert block.nbytes <= limit
        total[rows, columns] -= block

    try:
        fh.conjugate_kernel(X, "relu", 2, out=take, memory_limit=limit)
        fh.conjugate_kernel(X, "relu", 2, out=str(tmp_path / "k.npy"), memory_limit=limit)
    except ValueError as error:
        assert "memory_limit" in str(error)  # noqa: PT017
    else:
        assert np.all(total[np.triu_indices(600)] == 0)
        assert np.array_equal(np.load(tmp_path / "k.npy"), K)


@EQUAL
@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_streams_of_two_sets(tmp_path, name, equal):
    Z = inputs(equal, n=1100)
    X, Y = Z[:700], Z[300:]
    K = fh.tangent_kernel(X, name, 2, Y=Y)
    path = tmp_path / "kernel.npy"
    fh.tangent_kernel(X, name, 2, Y=Y, out=path, memory_limit=K.nbytes // 2)
    assert np.array_equal(np.load(path), K)
    out = np.empty_like(K)
    fh.tangent_kernel(X, name, 2, Y=Y, out=out)
    assert np.array_equal(out, K)
    seen, total = np.zeros(K.shape, int), np.zeros(K.shape)

    def take(rows, columns, block):
        seen[rows, columns] += 1
        total[rows, columns] = block

    fh.tangent_kernel(X, name, 2, Y=Y, out=take, memory_limit=K.nbytes // 2)
    assert np.all(seen == 1)
    assert np.array_equal(total, K)


def test_streams_of_both_kernels(tmp_path):
    n = 1100
    X = inputs(True, n=n)
    both = fh.network_kernels(X, "tanh", 2)
    limit = both.conjugate.nbytes
    paths = tmp_path / "c.npy", tmp_path / "t.npy"
    fh.network_kernels(X, "tanh", 2, out=paths, memory_limit=limit)
    assert np.array_equal(np.load(paths[0]), both.conjugate)
    assert np.array_equal(np.load(paths[1]), both.tangent)
    arrays = np.empty((n, n)), np.empty((n, n))
    fh.network_kernels(X, "tanh", 2, out=arrays)
    assert np.array_equal(arrays[0], both.conjugate)
    assert np.array_equal(arrays[1], both.tangent)
    seen = np.zeros((n, n), int)

    def take(rows, columns, conjugate, tangent):
        assert np.array_equal(conjugate, both.conjugate[rows, columns])
        assert np.array_equal(tangent, both.tangent[rows, columns])
        seen[rows, columns] += 1

    fh.network_kernels(X, "tanh", 2, out=take, memory_limit=limit)
    assert np.all(seen[np.triu_indices(n)] == 1)


@EQUAL
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_threads_do_not_change_bits(name, equal):
    X = inputs(equal, n=700)
    one, two, many = (
        fh.network_kernels(X, name, 1, weight_variance=W, bias_variance=B, threads=t) for t in (1, 2, None)
    )
    for other in (two, many):
        assert np.array_equal(one.conjugate, other.conjugate)
        assert np.array_equal(one.tangent, other.tangent)


def test_a_failing_callback_and_an_existing_file(tmp_path):
    """The callback's own error comes through; a file is replaced only by a complete one."""
    X = inputs(False, n=100)

    class Full(Exception):
        pass

    def take(rows, columns, block):
        raise Full

    with pytest.raises(Full):
        fh.conjugate_kernel(X, "relu", 2, out=take)
    path = tmp_path / "kernel.npy"
    np.save(path, np.arange(3.0))
    with pytest.raises(ValueError, match="X"):
        fh.conjugate_kernel(np.full((3, 3), np.nan), "relu", 2, out=path)
    assert np.array_equal(np.load(path), np.arange(3.0))
    fh.conjugate_kernel(X, "relu", 2, out=path)
    assert np.load(path).shape == (100, 100)


def test_memory_limit_of_a_result():
    """A result that is larger is refused before anything is computed."""
    with pytest.raises((ValueError, MemoryError), match="memory_limit"):
        fh.conjugate_kernel(inputs(True, n=300), "relu", 2, memory_limit=100_000)


# --------------------------------------------------------------------------------------------- simulation


@pytest.mark.parametrize("sparsity", [None, 0.9], ids=["gaussian", "ternary"])
@pytest.mark.parametrize("names", [["relu", "tanh"], ["erf"]])
def test_finite_networks(names, sparsity):
    """The kernel of wide random networks, 16 draws, 4 standard errors; sparse ternary weights do as well."""
    rng = np.random.default_rng(11)
    d, width, draws = 1000, 800, 16
    X = rng.standard_normal((6, d)) * rng.uniform(0.5, 1.5, (6, 1))
    X[1] = 0.8 * X[0] + 0.6 * X[1]
    stack = [ref(s) for s in names]
    options = {"weight_variance": W, "bias_variance": 0.05}
    sample = [
        simulate(X, stack, [width] * len(stack), rng, sparsity=sparsity, **options) for _ in range(draws)
    ]
    mean, error = np.mean(sample, axis=0), np.std(sample, axis=0, ddof=1) / math.sqrt(draws)
    K = fh.conjugate_kernel(X, names, **options)
    assert np.max(np.abs(mean - K) / error) < 4
    assert np.max(error / np.sqrt(np.outer(K.diagonal(), K.diagonal()))) < 0.03


# ------------------------------------------------------------------------------------------------ refusals

ALL = [fh.conjugate_kernel, fh.tangent_kernel, fh.network_kernels]
X3 = np.arange(12.0).reshape(4, 3) / 5


@pytest.mark.parametrize("function", ALL)
def test_bad_inputs(function):
    for bad in (math.nan, math.inf):
        broken = X3.copy()
        broken[1, 2] = bad
        with pytest.raises(ValueError, match=r"\bX\b.*finite"):
            function(broken, "relu", 2)
        with pytest.raises(ValueError, match=r"\bY\b.*finite"):
            function(X3, "relu", 2, Y=broken)
    for shape in ((3,), (2, 3, 2)):
        with pytest.raises(ValueError, match=r"\bX\b"):
            function(np.ones(shape), "relu", 2)
        with pytest.raises(ValueError, match=r"\bY\b"):
            function(X3, "relu", 2, Y=np.ones(shape))
    with pytest.raises(ValueError, match=r"\bY\b"):
        function(X3, "relu", 2, Y=np.ones((4, 2)))
    for shape in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match=r"\bX\b"):
            function(np.ones(shape), "relu", 2)
    with pytest.raises(TypeError, match=r"\bX\b"):
        function([["a", "b"]], "relu", 2)
    with pytest.raises(TypeError, match=r"\bX\b"):
        function(X3 + 0j, "relu", 2)


@pytest.mark.parametrize("function", ALL)
def test_bad_depth(function):
    with pytest.raises((ValueError, TypeError), match="depth"):
        function(X3, "relu")
    with pytest.raises(ValueError, match="depth"):
        function(X3, ["relu", "tanh"], 3)
    for bad in (0, -1, 1.5, "two"):
        with pytest.raises((ValueError, TypeError), match="depth"):
            function(X3, "relu", bad)
    with pytest.raises(ValueError, match=r"act"):
        function(X3, [])
    assert function(X3, ["relu", "tanh"], 2) is not None


@pytest.mark.parametrize("function", ALL)
def test_bad_variances(function):
    for bad in (-1.0, math.nan, math.inf, [1.0, -1.0]):
        with pytest.raises(ValueError, match="weight_variance"):
            function(X3, "relu", 2, weight_variance=bad)
        with pytest.raises(ValueError, match="bias_variance"):
            function(X3, "relu", 2, bias_variance=bad)
    for bad in ([1.0], [1.0, 1.0, 1.0]):
        with pytest.raises(ValueError, match="weight_variance"):
            function(X3, "relu", 2, weight_variance=bad)
        with pytest.raises(ValueError, match="bias_variance"):
            function(X3, "relu", 2, bias_variance=bad)
    with pytest.raises(ValueError, match="weight_variance"):
        function(X3, "relu", 2, weight_variance=[1.0, 1.0], readout=True)


@pytest.mark.parametrize("function", ALL)
def test_bad_activation(function):
    with pytest.raises(ValueError, match=r"rleu.*relu|relu.*rleu"):
        function(X3, "rleu", 2)
    with pytest.raises(ValueError, match=r"tnah.*tanh|tanh.*tnah"):
        function(X3, ["relu", "tnah"])
    with pytest.raises(TypeError, match=r"act|phi"):
        function(X3, 3.0, 2)


def test_tangent_kernel_of_a_jump():
    for names in (["sign"], ["relu", "step", "tanh"], "sign"):
        depth = 2 if isinstance(names, str) else None
        bad = next(s for s in ("sign", "step") if s in names)
        for function in (fh.tangent_kernel, fh.network_kernels):
            with pytest.raises(ValueError, match=bad):
                function(X3, names, depth)
    jump = fh.activation(lambda t: np.where(t > 0.3, 1.0, t), name="broken line")
    with pytest.raises(ValueError, match="broken line"):
        fh.tangent_kernel(X3, jump, 1)


def test_bad_out(tmp_path):
    for out in (np.empty((3, 4)), np.empty((4, 4), np.float32), np.empty((4, 4), int), np.empty(16)):
        with pytest.raises((ValueError, TypeError), match="out"):
            fh.conjugate_kernel(X3, "relu", 2, out=out)
    locked = np.empty((4, 4))
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="out"):
        fh.conjugate_kernel(X3, "relu", 2, out=locked)
    with pytest.raises((FileNotFoundError, ValueError)):
        fh.conjugate_kernel(X3, "relu", 2, out=tmp_path / "nowhere" / "k.npy")
    with pytest.raises((TypeError, ValueError), match="out"):
        fh.conjugate_kernel(X3, "relu", 2, out=3.0)
    for bad in (0, -5, 1.5):
        with pytest.raises((ValueError, TypeError), match="memory_limit"):
            fh.conjugate_kernel(X3, "relu", 2, memory_limit=bad)
    for bad in (0, -1, 1.5):
        with pytest.raises((ValueError, TypeError), match="threads"):
            fh.conjugate_kernel(X3, "relu", 2, threads=bad)


def test_inputs_are_left_alone():
    X = np.array(inputs(False))
    copy = X.copy()
    fh.network_kernels(X, "tanh", 2)
    assert np.array_equal(X, copy)


# -------------------------------------------------------------------------------------------- large sizes


@pytest.mark.slow
@EQUAL
@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "tanh", "silu"])
def test_two_thousand_inputs(name, equal):
    """Three hidden layers, weights 1.5, biases .1, 64 features; planted pairs and 200 random ones."""
    X = inputs(equal, n=2000, d=64)
    rng = np.random.default_rng(2)
    pairs = some_pairs(2000) + [tuple(int(k) for k in p) for p in rng.integers(0, 2000, (200, 2))]
    compare(X, [name] * 3, pairs=pairs, weight_variance=W, bias_variance=B)


@pytest.mark.parametrize("case", ["same", "views", "paths", "none", "single", "three", "mixed", "functions"])
def test_pairs_of_outputs_are_checked(tmp_path, case):
    X = np.random.default_rng(0).standard_normal((6, 4))
    A, big = np.empty((6, 6)), np.empty((12, 6))
    path = tmp_path / "k.npy"
    out = {
        "same": (A, A), "views": (big[:6], big[3:9]), "paths": (path, str(path)), "none": (None, A), "single": path,
        "three": (A, A.copy(), A.copy()), "mixed": (path, A), "functions": (print, print),
    }[case]  # fmt: skip
    with pytest.raises((ValueError, TypeError), match="out must be"):
        fh.network_kernels(X, "relu", 2, out=out)


def test_blas_limit_is_lifted_after_concurrent_kernels():
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_info

    def counts():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    X = inputs(False, n=300)
    before = counts()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fh.conjugate_kernel(X, "relu", 2), range(16)))
    assert counts() == before


def test_a_callback_keeps_its_own_floating_point_warnings():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        fh.conjugate_kernel(np.eye(3), "relu", 1, out=lambda i, j, block: block / 0.0)


@mp.workdps(40)
def test_steep_layers_behind_the_first():
    # u = relu layer, v = erf layer at variance 1e10: its dual moves with 1 - rho over 1e-10
    x = np.array([[1.0, 0.0], [1.0, 1e-4]]) * 1e5 * math.sqrt(2.0)
    got = fh.network_kernels(x, ["relu", "erf"])
    a, b = mp.mpf(10) ** 10, mp.mpf(10) ** 10 * (1 + mp.mpf("1e-4") ** 2)
    angle = mp.atan(mp.mpf("1e-4"))
    root = mp.sqrt(a * b)
    kappa = root * (mp.sin(angle) + (mp.pi - angle) * mp.cos(angle)) / (2 * mp.pi)
    theta = kappa + root * mp.cos(angle) * (mp.pi - angle) / (2 * mp.pi)
    slope = 4 / (mp.pi * mp.sqrt((1 + a) * (1 + b) - 4 * kappa**2))
    value = 2 / mp.pi * mp.asin(2 * kappa / mp.sqrt((1 + a) * (1 + b)))
    assert got.conjugate[0, 1] == pytest.approx(float(value), rel=1e-13)
    assert got.tangent[0, 1] == pytest.approx(float(value + theta * slope), rel=1e-12)
