"""Linear equivalents of deep kernels: the published recursions, exact kernels, theorems, distances."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthde as fh
from fasthde.networks._distance import DistanceEquivalent, distance_kernel_equivalent
from fasthde.networks._equilibrium import EquilibriumEquivalent, equilibrium_equivalent
from fasthde.networks._equivalents import KernelEquivalent, kernel_equivalent
from fasthde.networks._mixture import GaussianMixture, UnitSphere
from fasthde.networks._statistics import ClassStatistics
from tests import oracle_equivalents as o

KINDS = ("conjugate", "tangent")

STACKS = {
    "relu": ["relu", "relu", "relu"],
    "odd": ["tanh", "erf", "sin"],
    "even": ["abs", "cos", "relu"],
    "mixed": ["gelu", "sigmoid", "softplus"],
}


@functools.cache
def models(p, means=2.0, spread=6.0):
    """The same two classes for the oracle and for the package: a diagonal covariance and a dense one."""
    mu = np.zeros((2, p))
    mu[:, 0] = -means, means
    first = np.diag(np.repeat([1.0, 1.5], [p // 2, p - p // 2]))
    v = np.cos(np.arange(p))
    second = (1.25 + spread / np.sqrt(p)) * np.eye(p) + np.outer(v, v) / (v @ v)
    shares = np.array([0.4, 0.6])
    covariances = np.array([first, second])
    return o.Mixture(mu, covariances, shares), GaussianMixture(mu, covariances, shares)


def functions(names):
    return [o.FUNCTIONS[n] for n in names]


def derivatives(names):
    return [o.DERIVATIVES[n] for n in names]


# --------------------------------------------------------------------------------------------- the recursions


@pytest.mark.parametrize("stack", STACKS.values(), ids=list(STACKS))
def test_coefficients_are_those_of_the_published_recursions(stack):
    theirs, ours = models(100)
    want = o.Recursion(functions(stack), derivatives(stack), theirs.tau0)
    got = kernel_equivalent(stack, ours)
    assert got.success
    assert got.residual == 0.0
    for name in ("alpha", "beta", "tau", "kappa"):
        np.testing.assert_allclose(
            getattr(got, name), getattr(want, name), rtol=1e-12, atol=1e-14, err_msg=name
        )
    np.testing.assert_allclose(got.scales, want.tau[:-1], rtol=1e-12)
    for act, f in zip(got.activations, want.stack, strict=True):
        t = np.linspace(-3.0, 3.0, 7)
        np.testing.assert_allclose(act(t), f(t), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stack", STACKS.values(), ids=list(STACKS))
def test_matrices_are_those_of_the_theorem(stack, kind):
    theirs, ours = models(100, 0.0)
    X, labels = theirs.sample(70, np.random.default_rng(0))
    want = o.Recursion(functions(stack), derivatives(stack), theirs.tau0)
    got = kernel_equivalent(stack, ours)
    for layer in range(4):
        np.testing.assert_allclose(
            got.matrix(X, labels, kind, layer),
            want.matrix(X, labels, theirs, kind, layer),
            rtol=1e-11,
            atol=1e-12,
        )
        part = got.layer(layer)
        np.testing.assert_array_equal(part.matrix(X, labels, kind), got.matrix(X, labels, kind, layer))
        assert part.depth == layer == len(part.activations)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_low_rank_part_and_scalars_make_the_matrix(kind, center):
    _, ours = models(60)
    X, labels = ours.sample(50, 1)
    eq = kernel_equivalent("gelu", ours, 2, center=center, weight_variance=[1.3, 0.7], bias_variance=0.1)
    V, A = eq.low_rank(X, labels, kind)
    gram, identity = eq.scalars(kind)
    assert V.shape == (50, 4)
    np.testing.assert_array_equal(A, A.T)
    K = gram * X @ X.T / 60 + V @ A @ V.T + identity * np.eye(50)
    np.testing.assert_allclose(K, eq.matrix(X, labels, kind), rtol=1e-12, atol=1e-13)


def test_level_0_is_the_gram_matrix_of_the_data():
    X, _ = UnitSphere(40).sample(30, 0)
    eq = kernel_equivalent("relu", UnitSphere(40))
    for kind in KINDS:
        np.testing.assert_allclose(eq.matrix(X, kind=kind, layer=0), X @ X.T / 40, rtol=1e-13, atol=1e-15)


def test_readout_is_one_more_affine_map():
    _, ours = models(60)
    X, labels = ours.sample(40, 1)
    plain = kernel_equivalent("relu", ours, 2, weight_variance=[2.0, 1.5], bias_variance=[0.1, 0.3])
    read = kernel_equivalent(
        "relu", ours, 2, weight_variance=[2.0, 1.5, 0.7], bias_variance=[0.1, 0.3, 0.2], readout=True
    )
    for kind in KINDS:
        K = plain.matrix(X, labels, kind)
        np.testing.assert_allclose(read.matrix(X, labels, kind), 0.7 * K + 0.2, rtol=1e-12)
        np.testing.assert_allclose(
            read.matrix(X, labels, kind, 1), plain.matrix(X, labels, kind, 1), rtol=1e-12
        )


# ------------------------------------------------------------------------------------------------- theorems


ODD = ["tanh", "erf", "sin", "arctan", "identity"]
OTHERS = ["relu", "sigmoid", "softplus", "gelu", "silu", "elu", "leaky_relu", "exp", "relu2"]
EVEN = ["abs", "cos", "gaussian"]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(ODD + OTHERS), min_size=1, max_size=4), st.sampled_from([0.6, 1.0, 1.4]))
def test_ratios_do_not_decrease_with_depth(stack, tau):
    stats = ClassStatistics(tau, [0.0], [[1.0]], [1.0], 100)
    eq = kernel_equivalent(stack, stats)
    a = eq.alpha
    ratios = a[:, 1:3] / a[:, :1]
    assert (np.diff(ratios, axis=0) >= -1e-13 * ratios[1:]).all()
    assert (eq.beta > -1e-15).all()
    for layer, name in enumerate(stack, 1):
        if name in ODD:
            np.testing.assert_allclose(ratios[layer], ratios[layer - 1], rtol=1e-12, atol=1e-25)


@pytest.mark.parametrize("act", ODD + OTHERS + EVEN + ["sign", "step"])
def test_first_layer(act):
    """alpha_13 = 2 alpha_12; even functions have no linear part, at any depth."""
    eq = kernel_equivalent([act, "relu"], UnitSphere(100))
    np.testing.assert_allclose(eq.alpha[1, 2], 2.0 * eq.alpha[1, 1], rtol=1e-13)
    if act in EVEN:
        np.testing.assert_allclose(eq.alpha[1:, 0], 0.0, atol=1e-28)
    else:
        assert eq.alpha[2, 0] > 0


# ---------------------------------------------------------------------------------------- exact kernels


def errors(stack, sizes, draws, **options):
    """Operator-norm errors of both equivalents, mean over draws, shape (sizes, 2)."""
    out = []
    for p in sizes:
        theirs, ours = models(p)
        eq = kernel_equivalent(stack, ours, **options)
        slopes = derivatives(stack)
        terms = {k: v for k, v in options.items() if k.endswith("variance")}
        found = []
        for seed in range(draws):
            X, labels = theirs.sample(p, np.random.default_rng(seed))
            exact = o.kernels(X, eq.activations, slopes, **terms)
            found.append(
                [o.norm(K - eq.matrix(X, labels, kind)) for K, kind in zip(exact, KINDS, strict=True)]
            )
        out.append(np.mean(found, axis=0))
    return np.array(out)


def slope(sizes, values):
    return np.polyfit(np.log(sizes), np.log(values), 1)[0]


OPTIONS = {
    "centred": {},
    "as they are": {"center": False},
    "with biases": {"weight_variance": 1.5, "bias_variance": 0.2},
}


@pytest.mark.parametrize("stack", STACKS.values(), ids=list(STACKS))
def test_operator_norm_error_falls(stack):
    sizes = [100, 200, 400]
    found = errors(stack, sizes, 4)
    assert (slope(sizes, found) < -0.4).all(), found


@pytest.mark.parametrize("options", list(OPTIONS.values())[1:], ids=list(OPTIONS)[1:])
@pytest.mark.parametrize("stack", [STACKS["relu"], STACKS["mixed"]], ids=["relu", "mixed"])
def test_operator_norm_error_falls_without_centring_and_with_biases(stack, options):
    sizes = [100, 200, 400]
    found = errors(stack, sizes, 4, **options)
    assert (slope(sizes, found) < -0.4).all(), found


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("stack", STACKS.values(), ids=list(STACKS))
def test_operator_norm_error_falls_at_large_sizes(stack, options):
    sizes = [400, 800, 1600]
    found = errors(stack, sizes, 3, **options)
    assert (slope(sizes, found) < -0.4).all(), found


def test_versions_in_circulation_do_worse():
    """The identity with a further -tau_0**4 alpha_3, and kappa without the factor kappa_(l-1)**2."""
    theirs, ours = models(400)
    X, labels = theirs.sample(400, np.random.default_rng(0))
    stack = STACKS["relu"]
    eq = kernel_equivalent(stack, ours)
    CK, NTK = o.kernels(X, eq.activations, derivatives(stack))
    gap = CK - eq.matrix(X, labels)
    assert o.norm(gap) < 0.5 * o.norm(gap + eq.tau[0] ** 4 * eq.alpha[-1, 2] * np.eye(400))
    slopes = [phi.moments(s).slope_second for phi, s in zip(eq.activations, eq.scales, strict=True)]
    wrong = eq.tau[-1] ** 2 + slopes[-1]
    gap = NTK - eq.matrix(X, labels, "tangent")
    assert o.norm(gap) < 0.5 * o.norm(gap + (eq.kappa[-1] ** 2 - wrong) * np.eye(400))


# --------------------------------------------------------------------------------------------- unit sphere


def sphere_error(sphere, n, draws, seed=0):
    """A single layer of ReLU, not centred: exact kernel in closed form."""
    eq = kernel_equivalent("relu", sphere, center=False)
    found = []
    for k in range(draws):
        X, _ = sphere.sample(n, seed + k)
        r = np.clip(X @ X.T / sphere.dimension, -1.0, 1.0)
        K = (r * np.arccos(-r) + np.sqrt(1.0 - r * r)) / (2.0 * np.pi)
        np.fill_diagonal(K, 0.5)
        found.append(o.norm(K - eq.matrix(X)))
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("p", "printed"), [(250, 0.021), (500, 0.015), pytest.param(1000, 0.010, marks=pytest.mark.slow)]
)
def test_unit_sphere(p, printed):
    assert abs(sphere_error(UnitSphere(p), 2 * p, 2) - printed) < 5e-4


def test_unit_sphere_of_general_covariance():
    """``a2**2 tr C**2/(tr C)**2``, where the isotropic coefficient would not do."""
    p = 300
    C = np.repeat([1.0, 9.0], [270, 30])
    sphere = UnitSphere(p, C)
    eq = kernel_equivalent("relu", sphere, center=False)
    X, _ = sphere.sample(p, 0)
    a = o.hermite(o.FUNCTIONS["relu"], 2)
    K = eq.matrix(X)
    want = a[0] ** 2 + a[2] ** 2 * np.sum(C**2) / np.sum(C) ** 2 + a[1] ** 2 * X @ X.T / p
    want += (0.5 - a[0] ** 2 - a[1] ** 2) * np.eye(p)
    np.testing.assert_allclose(K, want, rtol=1e-12, atol=1e-14)
    assert sphere_error(sphere, p, 2) < 0.7 * sphere_error(
        UnitSphere(100, np.repeat([1.0, 9.0], [90, 10])), 100, 2
    )
    np.testing.assert_allclose(
        kernel_equivalent("relu", UnitSphere(p, np.diag(C)), center=False).matrix(X), K
    )


def test_deep_network_on_the_sphere():
    """Not centred and with biases: a scalar function, composed; its value and slopes at 0 to all digits."""
    sphere = UnitSphere(200)
    eq = kernel_equivalent("erf", sphere, 3, center=False, weight_variance=2.0, bias_variance=0.3)

    def through(c, q):
        for _ in range(3):
            c, q = 2.0 * c + 0.3, 2.0 * q + 0.3
            value = 2.0 / np.pi * np.arcsin(2.0 * c / (1.0 + 2.0 * q))
            q = 2.0 / np.pi * np.arcsin(2.0 * q / (1.0 + 2.0 * q))
            c = value
        return c

    h = 0.02 * np.cos(np.pi * (np.arange(12) + 0.5) / 12)
    series = np.polynomial.polynomial.polyfit(h, through(h, 1.0), 8)
    np.testing.assert_allclose(eq.conjugate[-1, [0, 2, 5]], series[:3], rtol=1e-9)
    np.testing.assert_allclose(eq.tau[-1] ** 2, through(1.0, 1.0), rtol=1e-13)
    assert eq.success


def test_series_that_do_not_converge_say_so():
    """Many biased layers drive the correlation at the centre to 1."""
    eq = kernel_equivalent("tanh", UnitSphere(100), 3, weight_variance=1e-6, bias_variance=5.0)
    assert eq.status == fh.Status.NOT_CONVERGED
    assert eq.residual > 1e-14
    assert not eq.success


# ------------------------------------------------------------------------------------- equilibrium networks


@pytest.mark.parametrize(("act", "variance"), [("tanh", 0.5), ("relu", 0.8), ("gelu", 0.5)])
def test_equilibrium_against_the_iterated_kernel(act, variance):
    sizes, found = [100, 200, 400], []
    for p in sizes:
        theirs, ours = models(p)
        eq = equilibrium_equivalent(act, ours, activation_variance=variance, input_variance=0.7)
        assert eq.success
        assert eq.residual < 1e-14
        found.append([])
        for seed in range(3):
            X, labels = theirs.sample(p, np.random.default_rng(seed))
            exact = o.equilibrium(X, eq.activation, variance, 0.7)
            found[-1].append(o.norm(exact - eq.matrix(X, labels)))
    assert slope(sizes, np.mean(found, axis=1)) < -0.4


def test_equilibrium_is_the_limit_of_its_layers():
    """The coefficients solve the recursion with the input added."""
    _, ours = models(100)
    eq = equilibrium_equivalent("softplus", ours, activation_variance=0.6, input_variance=0.5)
    f = eq.activation
    a, t = o.hermite(f, 2, eq.scale), eq.scale
    b1, b2 = a[1] / t, np.sqrt(2.0) * a[2] / t**2
    d4 = o.expect(lambda x: f(t * x) ** 2 * (x * x - 1.0)) / (2.0 * t * t)
    a1, a2, a3, a4 = eq.alpha
    np.testing.assert_allclose(a1, b1**2 * (0.6 * a1 + 0.5), rtol=1e-12)
    np.testing.assert_allclose(a4, d4 * (0.6 * a4 + 0.5), rtol=1e-12)
    np.testing.assert_allclose(a2, b1**2 * 0.6 * a2 + 0.25 * b2**2 * (0.6 * a4 + 0.5) ** 2, rtol=1e-12)
    np.testing.assert_allclose(a3, b1**2 * 0.6 * a3 + 0.5 * b2**2 * (0.6 * a1 + 0.5) ** 2, rtol=1e-12)
    np.testing.assert_allclose(t**2, 0.6 * eq.tau**2 + 0.5 * ours.tau0**2, rtol=1e-13)
    np.testing.assert_allclose(eq.tau**2, o.expect(lambda x: f(t * x) ** 2), rtol=1e-12)


def test_equilibrium_without_feedback_is_one_layer():
    eq = equilibrium_equivalent("gelu", UnitSphere(100), activation_variance=0.0, input_variance=1.7)
    one = kernel_equivalent("gelu", UnitSphere(100), weight_variance=1.7)
    np.testing.assert_allclose(eq.alpha, one.alpha[1], rtol=1e-13)


@pytest.mark.parametrize("variance", [0.0, 0.9, 8.0, 100.0])
@pytest.mark.parametrize("act", ["tanh", "sign", lambda t: np.where(np.abs(t) < 2.0, 0.0, 5.0 * np.sign(t))])
def test_equilibria_of_bounded_functions_are_stable(act, variance):
    """The first root from below, where the diagonal crosses downwards; its slopes stay below 1 at any feedback."""
    eq = equilibrium_equivalent(act, UnitSphere(100), activation_variance=variance, input_variance=0.1)
    assert eq.success
    assert (eq.slopes < 1.0).all()
    assert (eq.alpha[:3] >= 0.0).all()
    assert eq.residual < 1e-12


def test_equilibrium_that_grows_without_limit():
    with pytest.raises(ValueError, match="grows without limit"):
        equilibrium_equivalent("identity", UnitSphere(100), activation_variance=1.5)


# ------------------------------------------------------------------------------------- models of the data


@pytest.mark.parametrize("form", ["numbers", "diagonal", "mixed", "one for all"])
def test_statistics_of_mixtures(form):
    p, rng = 30, np.random.default_rng(0)
    B = rng.standard_normal((p, p))
    given = {
        "numbers": [1.0, 2.0],
        "diagonal": [rng.random(p), rng.random(p)],
        "mixed": [0.5, B @ B.T / p],
        "one for all": 1.5,
    }[form]
    whole = [
        np.eye(p) * C if np.ndim(C) == 0 else np.diag(C) if np.ndim(C) == 1 else C
        for C in (given if isinstance(given, list) else [given] * 2)
    ]
    means = rng.standard_normal((2, p))
    ours = GaussianMixture(means, given, [3, 1])
    theirs = o.Mixture(means, np.array(whole), np.array([0.75, 0.25]))
    np.testing.assert_allclose(ours.tau0, theirs.tau0, rtol=1e-13)
    np.testing.assert_allclose(ours.t, theirs.t, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ours.T, theirs.T, rtol=1e-12)
    X, labels = ours.sample(40_000, 3)
    np.testing.assert_array_equal(np.bincount(labels), [30_000, 10_000])
    for a in range(2):
        part = X[labels == a]
        size = np.sqrt(np.outer(np.diag(whole[a]), np.diag(whole[a])) / len(part))
        assert (np.abs(part.mean(axis=0) - means[a]) < 5 * np.sqrt(np.diag(whole[a]) / len(part))).all()
        assert (np.abs(np.cov(part.T) - whole[a]) < 5 * np.sqrt(2.0) * size).all()


def test_samples_follow_the_generator():
    _, ours = models(30)
    rng = np.random.default_rng(5)
    first, second = ours.sample(20, rng)[0], ours.sample(20, rng)[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, ours.sample(20, 5)[0])
    np.testing.assert_array_equal(UnitSphere(20).sample(9, 5)[0], UnitSphere(20).sample(9, 5)[0])


@pytest.mark.parametrize("law", ["normal", "heavy"])
def test_estimated_statistics_are_unbiased(law):
    """Small classes, where the plain estimate of tr C**2 is twice too large; 200 draws and four standard errors."""
    p, sizes = 40, [12, 30]
    d = [np.linspace(0.5, 1.5, p), np.linspace(2.0, 1.0, p)]
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        draw = {
            "normal": rng.standard_normal,
            "heavy": lambda size, rng=rng: (
                (rng.random(size) < 0.1) * rng.standard_normal(size) * np.sqrt(10.0)
            ),
        }[law]
        X = np.concatenate([draw((n, p)) * np.sqrt(v) + 3.0 for n, v in zip(sizes, d, strict=True)])
        s = ClassStatistics.from_samples(X, np.repeat([0, 1], sizes))
        found.append([s.tau**2, *s.t, *s.T[[0, 0, 1], [0, 1, 1]]])
    pi = np.array(sizes) / sum(sizes)
    mean = pi @ [v.sum() for v in d]
    want = [
        mean / p,
        *[(v.sum() - mean) / np.sqrt(p) for v in d],
        d[0] @ d[0] / p,
        d[0] @ d[1] / p,
        d[1] @ d[1] / p,
    ]
    se = np.std(found, axis=0, ddof=1) / np.sqrt(200)
    assert (np.abs(np.mean(found, axis=0) - want) < 4 * se).all()


def test_statistics_from_an_array():
    X, _ = UnitSphere(200).sample(150, 0)
    eq = kernel_equivalent("relu", X)
    known = kernel_equivalent("relu", UnitSphere(200))
    np.testing.assert_allclose(eq.alpha, known.alpha, rtol=0.05)
    assert eq.statistics == ClassStatistics.from_samples(X)
    wide = ClassStatistics.from_samples(np.random.default_rng(0).standard_normal((500, 30)))
    assert abs(wide.T[0, 0] - 1.0) < 0.1


# -------------------------------------------------------------------------------------------- distances


DISTANCES = {
    "exp": (lambda d: np.exp(-d / 2), lambda d: [np.exp(-d / 2), -np.exp(-d / 2) / 2, np.exp(-d / 2) / 4]),
    "rational": (lambda d: 1 / (1 + d), lambda d: [1 / (1 + d), -((1 + d) ** -2.0), 2 * (1 + d) ** -3.0]),
    "root": (np.sqrt, lambda d: [np.sqrt(d), 0.5 * d**-0.5, -0.25 * d**-1.5]),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", DISTANCES)
def test_distance_kernel(name, known):
    f, exact = DISTANCES[name]
    sizes, found = [100, 200, 400], []
    for p in sizes:
        theirs, ours = models(p, spread=2.0)
        found.append([])
        for seed in range(4):
            X, labels = theirs.sample(p, np.random.default_rng(seed))
            eq = distance_kernel_equivalent(f, X, labels, ours if known else None)
            D = np.sum((X[:, None] - X) ** 2, axis=2) / p if p == 100 else o.distances(X) / p
            found[-1].append(o.norm(f(D) - eq.matrix))
            np.testing.assert_allclose(eq.derivatives, exact(eq.at), rtol=1e-9)
            assert (np.abs(eq.derivatives - exact(eq.at)) <= eq.errors + 1e-16).all()
            np.testing.assert_array_equal(np.diag(eq.matrix), f(np.zeros(p)))
        if known:  # the published formula, entry by entry
            want = o.distance_equivalent(exact(2 * theirs.tau0**2), X, labels, theirs)
            off = ~np.eye(p, dtype=bool)
            np.testing.assert_allclose(eq.matrix[off], want[off], rtol=1e-9, atol=1e-12)
    assert eq.success
    assert slope(sizes, np.mean(found, axis=1)) < -0.4


def test_distance_kernel_from_statistics_alone():
    """Means of small classes, from the sample, cost little."""
    theirs, ours = models(100)
    X, labels = theirs.sample(100, np.random.default_rng(0))
    exact = np.sqrt(o.distances(X) / 100)
    model, numbers = (
        distance_kernel_equivalent(np.sqrt, X, labels, m).matrix for m in (ours, ours.statistics)
    )
    assert o.norm(exact - numbers) < 1.2 * o.norm(exact - model)
    shifted = distance_kernel_equivalent(np.sqrt, X + 10.0, labels, ours.statistics).matrix
    np.testing.assert_allclose(shifted, numbers, rtol=1e-10)


# ---------------------------------------------------------------------------------------------- objects


def test_objects_keep_their_contents(tmp_path):
    _, ours = models(60)
    eq = kernel_equivalent(["relu", "tanh"], ours)
    made = {
        GaussianMixture: ours,
        UnitSphere: UnitSphere(20, np.arange(1.0, 21.0)),
        ClassStatistics: ours.statistics,
        KernelEquivalent: eq,
        EquilibriumEquivalent: equilibrium_equivalent("tanh", ours, activation_variance=0.5),
        DistanceEquivalent: distance_kernel_equivalent(np.exp, *ours.sample(30, 0), ours),
    }
    for cls, value in made.items():
        value.save(tmp_path / "x.npz")
        assert cls.load(tmp_path / "x.npz") == value
        assert pickle.loads(pickle.dumps(value)) == value
        assert repr(value).startswith(cls.__name__)
        with pytest.raises((AttributeError, TypeError)):
            value.statistics = 1
    assert pickle.loads(pickle.dumps(eq)).activations == eq.activations
    eq.save(tmp_path / "x.npz")
    loaded = KernelEquivalent.load(tmp_path / "x.npz")
    X, labels = ours.sample(20, 0)
    np.testing.assert_array_equal(loaded.matrix(X, labels), eq.matrix(X, labels))
    with pytest.raises(ValueError, match="a file does not hold"):
        loaded.activations
    with pytest.raises(ValueError, match="read-only"):
        eq.alpha[0, 0] = 2.0
    assert "relu, tanh" in repr(eq)
    assert "tanh x 3" in repr(kernel_equivalent("tanh", ours, 3))
    for i in (0, 1):
        assert eq.layer(2 - i).activations == eq.activations[: 2 - i]


# --------------------------------------------------------------------------------------------- bad input


def two(p=30):
    return models(p)[1]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: kernel_equivalent("rleu", two()), ValueError, "relu"),
        (lambda: kernel_equivalent([], two()), ValueError, "empty"),
        (lambda: kernel_equivalent(["relu"], two(), 2), ValueError, "number of activations"),
        (lambda: kernel_equivalent("relu", two(), 0), ValueError, "depth"),
        (lambda: kernel_equivalent("relu", "data"), TypeError, "GaussianMixture"),
        (lambda: kernel_equivalent("relu", two(), weight_variance=0.0), ValueError, "weight_variance"),
        (lambda: kernel_equivalent("relu", two(), bias_variance=-1.0), ValueError, "bias_variance"),
        (lambda: kernel_equivalent("relu", two(), bias_variance=[0.1, 0.2]), ValueError, "bias_variance"),
        (lambda: kernel_equivalent(lambda t: 0 * t + 2.0, two()), ValueError, "constant"),
        (lambda: kernel_equivalent("relu", two()).matrix(np.ones((3, 30))), ValueError, "labels"),
        (
            lambda: kernel_equivalent("relu", two()).matrix(np.ones((3, 29)), [0, 0, 0]),
            ValueError,
            "30 columns",
        ),
        (lambda: kernel_equivalent("relu", two()).matrix(np.ones((3, 30)), [0, 0, 2]), ValueError, "below 2"),
        (
            lambda: kernel_equivalent("relu", two()).matrix(np.ones((3, 30)), [0, 0.5, 1]),
            ValueError,
            "integers",
        ),
        (lambda: kernel_equivalent("relu", two()).matrix(np.ones((3, 30)), [0, 1]), ValueError, "labels"),
        (
            lambda: kernel_equivalent("relu", two()).matrix(np.ones((3, 30)), [0, 0, 0], "ck"),
            ValueError,
            "kind",
        ),
        (lambda: kernel_equivalent("relu", two()).scalars(layer=2), ValueError, "layer"),
        (lambda: kernel_equivalent("relu", two()).layer(-1), ValueError, "layer"),
        (lambda: kernel_equivalent("sign", two()).scalars("tangent"), ValueError, "infinite"),
        (
            lambda: equilibrium_equivalent("relu", two(), activation_variance=-1.0),
            ValueError,
            "activation_variance",
        ),
        (
            lambda: equilibrium_equivalent("relu", two(), activation_variance=0.1).scalars("tangent"),
            ValueError,
            "one kernel",
        ),
        (lambda: GaussianMixture([1.0, 2.0], 1.0), ValueError, "means"),
        (lambda: GaussianMixture(np.zeros((2, 3)), [1.0]), ValueError, "covariances"),
        (lambda: GaussianMixture(np.zeros((2, 3)), 0.0), ValueError, "covariances"),
        (lambda: GaussianMixture(np.zeros((2, 3)), [1.0, -1.0]), ValueError, r"covariances\[1\]"),
        (lambda: GaussianMixture(np.zeros((2, 3)), [1.0, np.ones(4)]), ValueError, r"covariances\[1\]"),
        (lambda: GaussianMixture(np.zeros((1, 2)), [[[1.0, 2.0], [2.0, 1.0]]]), ValueError, "semidefinite"),
        (lambda: GaussianMixture(np.zeros((1, 2)), [[[1.0, 2.0], [0.0, 1.0]]]), ValueError, "symmetric"),
        (lambda: GaussianMixture(np.full((1, 2), np.nan), 1.0), ValueError, "means"),
        (lambda: GaussianMixture(np.zeros((2, 3)), 1.0, [1.0]), ValueError, "proportions"),
        (lambda: GaussianMixture(np.zeros((2, 3)), 1.0, [0.0, 0.0]), ValueError, "proportions"),
        (lambda: GaussianMixture(np.zeros((2, 3)), 1.0).sample(0), ValueError, "n must"),
        (lambda: UnitSphere(0), ValueError, "dimension"),
        (lambda: UnitSphere(3, np.ones(4)), ValueError, "covariance"),
        (lambda: UnitSphere(3, np.zeros(3)), ValueError, "covariance"),
        (lambda: ClassStatistics(1.0, [0.0], [[1.0, 0.0]], [1.0], 5), ValueError, "T must"),
        (
            lambda: ClassStatistics(1.0, [0.0] * 2, [[1.0, 0.0], [1.0, 1.0]], [1, 1], 5),
            ValueError,
            "symmetric",
        ),
        (lambda: ClassStatistics(0.0, [0.0], [[1.0]], [1.0], 5), ValueError, "tau"),
        (lambda: ClassStatistics.from_samples(np.ones((3, 5))), ValueError, "four samples"),
        (lambda: ClassStatistics.from_samples(np.ones((5, 5))), ValueError, "vary"),
        (lambda: distance_kernel_equivalent("exp", *two().sample(9, 0), two()), TypeError, "vectorised"),
        (lambda: distance_kernel_equivalent(np.log, *two().sample(9, 0), two()), ValueError, "finite at 0"),
        (
            lambda: distance_kernel_equivalent(
                lambda d: np.abs(d - 2 * two().tau0 ** 2), *two().sample(9, 0), two()
            ),
            ValueError,
            "smooth",
        ),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_warnings_of_validity():
    with pytest.warns(fh.ValidityWarning, match="dimension 10"):
        kernel_equivalent("relu", UnitSphere(10))
    with pytest.warns(fh.ValidityWarning, match="differ in trace"):
        kernel_equivalent("relu", GaussianMixture(np.zeros((2, 400)), [1.0, 4.0]))
    with pytest.warns(fh.ValidityWarning, match="mean squared norm"):
        kernel_equivalent("relu", UnitSphere(30)).matrix(np.ones((4, 30)) * 3.0)
    with pytest.warns(fh.ValidityWarning, match="dimension 10"):
        distance_kernel_equivalent(np.sqrt, UnitSphere(10).sample(30, 0)[0])


def test_equilibrium_keeps_its_activation_in_a_pickle():
    import pickle

    import fasthde as fh

    eq = fh.equilibrium_equivalent(
        "tanh", fh.GaussianMixture(np.zeros((1, 100)), 1.0), activation_variance=0.3
    )
    again = pickle.loads(pickle.dumps(eq))
    assert again == eq
    assert again.activation == eq.activation
