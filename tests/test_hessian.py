"""Hessian laws: the two equations solved plainly, simulation, closed forms, chains of free operations."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

import fasthde as fh
from fasthde.hessian import HessianEquivalent, HessianSpike, WeightLaw
from tests import oracle_laws as o

pairs = partial(zip, strict=True)

ONE = fh.Spectrum([1.0])
PLANE = [1.0, 1.0], [1, 1]  # C = I, two directions
LEVELS = [1.0, 3.0, 10.0], [2, 1, 1]
W, W_STAR = np.array([0.8, 0.5, 0.1]), np.array([0.9, -0.6, 0.2])

#: Our name of each of the oracle's models.
MODELS = {
    "logistic": {"model": "logistic"},
    "probit": {"model": "probit"},
    "poisson": {"model": "poisson"},
    "phase": {"model": "phase_retrieval"},
    "phase_truncated": {"model": "phase_retrieval", "clipping": 3.0},
    "spectral": {"model": lambda y, u: np.minimum(y, 3.0), "response": lambda v: v * v},
}

#: Vectors: general, parallel, orthogonal in the metric of C = I, one of them 0.
VECTORS = {
    "general": (W[:2], W_STAR[:2]),
    "parallel": (W[:2], -1.5 * W[:2]),
    "orthogonal": (np.array([1.0, 0.0]), np.array([0.0, 1.3])),
    "w = 0": (np.zeros(2), W_STAR[:2]),
    "w* = 0": (W[:2], np.zeros(2)),
}


def law_of(kind, levels, c, w, w_star):
    return fh.hessian_law(fh.Spectrum(*levels), c, w=w, w_star=w_star, **MODELS[kind])


def both(kind, levels, c, w, w_star, **options):
    return law_of(kind, levels, c, w, w_star), o.HessianOracle(kind, *levels, c, w, w_star, **options)


def mass(law):
    return law.expect(np.ones_like)


# ------------------------------------------------------------------------------------------------ the equations


CASES = [
    (kind, levels, c)
    for kind in MODELS
    for levels in (PLANE, LEVELS)
    for c in (0.1, 1.0, 2.5)
    # the oracle of these takes seconds
    if kind in ("logistic", "poisson", "spectral") or (levels is PLANE) == (c == 1.0)
]


@pytest.mark.parametrize(("kind", "levels", "c"), CASES)
def test_transform_and_equivalent_against_the_oracle(kind, levels, c):
    size = len(levels[0])
    w, w_star = W[:size], W_STAR[:size]
    law, oracle = both(kind, levels, c, w, w_star)
    # the oracle of signed weights needs poles -1/delta off the real axis: z of the size of the spectrum
    z = np.array([0.3 + 0.9j, -1.0 + 0.5j, 4.0 + 2.0j]) * (
        5 * max(c, 1.0) if "phase" in kind and size > 2 else 1.0
    )
    delta = [oracle.solve(x) for x in z]
    equivalent = law.equivalent(z)
    np.testing.assert_allclose(equivalent.delta, delta, rtol=1e-12)
    np.testing.assert_allclose(equivalent.e, [oracle.e(d) for d in delta], rtol=1e-12)
    np.testing.assert_allclose(law.stieltjes(z), [oracle.m(x, d) for x, d in pairs(z, delta)], rtol=1e-12)
    np.testing.assert_array_equal(law.stieltjes(z.conj()), law.stieltjes(z).conj())
    for a, b in ((w, w), (w, w_star), (w_star, w_star)):
        want = [oracle.bilinear(a, b, x, d) for x, d in pairs(z, delta)]
        np.testing.assert_allclose(equivalent.bilinear(a, b), want, rtol=1e-12)
    # S in the plane's own basis: eigenvalues do not depend on it
    for S, d in pairs(equivalent.S, delta):
        got, want = (np.sort_complex(np.linalg.eigvals(x)) for x in (S, oracle.S(d)))
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", list(VECTORS))
@pytest.mark.parametrize("kind", ["logistic", "probit", "spectral", "phase_truncated"])
def test_directions_against_the_oracle(kind, name):
    w, w_star = VECTORS[name]
    if kind == "spectral" and not w_star.any():
        return  # all weights are 0
    law, oracle = both(kind, PLANE, 0.4, w, w_star)
    z = 0.7 + 0.9j
    d = oracle.solve(z)
    np.testing.assert_allclose(law.stieltjes(z), oracle.m(z, d), rtol=1e-12)
    for a in (np.array([1.0, 0.0]), np.array([0.3, -0.8])):
        np.testing.assert_allclose(law.equivalent(z).bilinear(a, a), oracle.bilinear(a, a, z, d), rtol=1e-12)


@pytest.mark.parametrize("c", [0.1, 0.5])
@pytest.mark.parametrize("kind", ["logistic", "spectral", "poisson"])
def test_density_against_the_oracle(kind, c):
    """On the real axis, where the oracle's poles stay away from it."""
    law, oracle = both(kind, LEVELS, c, W, W_STAR)
    low, high = law.support[0]
    high = high if np.isfinite(high) else 3 * law.mean()
    x = low + (high - low) * np.array([0.2, 0.4, 0.6])
    want = np.array([oracle.m(v + 0j).imag / np.pi for v in x])
    np.testing.assert_allclose(law.pdf(x), want, rtol=1e-11)
    np.testing.assert_allclose(law.stieltjes(x, side="+").imag, np.pi * want, rtol=1e-11)
    np.testing.assert_array_equal(law.stieltjes(x, side="-"), law.stieltjes(x, side="+").conj())
    assert np.isnan(law.stieltjes(x)).all()


SPIKED = [
    ("spectral", PLANE, 0.1, W[:2], W_STAR[:2]),
    ("spectral", PLANE, 1.0, W[:2], W_STAR[:2]),
    pytest.param("phase_truncated", PLANE, 0.1, W[:2], W_STAR[:2], marks=pytest.mark.slow),
    ("phase_truncated", LEVELS, 0.1, W, W_STAR),
    ("probit", LEVELS, 0.1, W, W_STAR),
    ("logistic", PLANE, 0.1, np.array([2.0, 0.0]), np.array([1.0, 1.0])),
    ("logistic", LEVELS, 0.1, W, W_STAR),
]


@pytest.mark.parametrize(("kind", "levels", "c", "w", "w_star"), SPIKED)
def test_isolated_eigenvalues_against_the_oracle(kind, levels, c, w, w_star):
    law, oracle = both(kind, levels, c, w, w_star, nodes=(10, 60))
    outer = [s for s in law.spikes if not law.support[0, 0] <= s.location <= law.support[-1, 1]]
    want = oracle.isolated()
    np.testing.assert_allclose([s.location for s in outer], want, rtol=1e-10)
    for spike in outer:
        edges = law.support.ravel()
        room = min(np.abs(edges - spike.location).min(), *(
            abs(s.location - spike.location) for s in law.spikes if s is not spike), 1.0)  # fmt: skip
        if room < 1e-3:
            continue
        for v, alignment in ((w, spike.alignment), (w_star, spike.alignment_star)):
            np.testing.assert_allclose(alignment, oracle.alignment(v, spike.location, 0.5 * room), rtol=1e-7)


def test_isolated_eigenvalues_between_bulks():
    """Residue of the package's own equivalent, and the pole of its bilinear form."""
    law = law_of("probit", LEVELS, 0.1, W, W_STAR)
    inner = [s for s in law.spikes if law.support[0, 0] < s.location < law.support[-1, 1]]
    assert len(inner) == 1
    spike = inner[0]
    radius = 0.4 * np.abs(law.support.ravel() - spike.location).min()
    turn = np.exp(2j * np.pi * (np.arange(64) + 0.5) / 64)
    for name, alignment in (("w", spike.alignment), ("w_star", spike.alignment_star)):
        v = getattr(law, name)
        values = law.equivalent(spike.location + radius * turn).bilinear(name, name)
        residue = -(values * turn).mean() * radius / (v * v).sum()
        np.testing.assert_allclose(residue.real, alignment, rtol=1e-9)
        assert abs(residue.imag) < 1e-12
    np.testing.assert_allclose(
        (spike.vector * law.w).sum() ** 2 / (law.w**2).sum(), spike.alignment, rtol=1e-12
    )


# ------------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("c", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("values", [[1.0], [1.0, 3.0, 10.0], [0.0, 1.0, 3.0]])
def test_constant_weights_are_a_sample_covariance(values, c):
    spectrum = fh.Spectrum(values)
    law, want = fh.hessian_law(spectrum, c, "least_squares"), fh.sample_covariance(spectrum, c)
    np.testing.assert_allclose(law.support, want.support, rtol=1e-13, atol=1e-15)
    assert [a for a, _ in law.atoms] == [a for a, _ in want.atoms]
    np.testing.assert_allclose([m for _, m in law.atoms], [m for _, m in want.atoms], rtol=1e-14)
    x = np.concatenate([a + (b - a) * np.array([0.01, 0.3, 0.7, 0.99]) for a, b in want.support])
    np.testing.assert_allclose(law.pdf(x), want.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x), want.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.ppf([0.7, 0.9, 1.0]), want.ppf([0.7, 0.9, 1.0]), rtol=1e-12)
    z = np.array([-1.0, -1e-3, 1e3])
    np.testing.assert_allclose(law.stieltjes(z), want.stieltjes(z), rtol=1e-13)
    z = np.array([0.3 + 0.2j, 1.0 + 1e-6j, -0.1 - 1e-9j])
    np.testing.assert_allclose(law.stieltjes(z), want.stieltjes(z), rtol=1e-12)
    assert law.spikes == []


DISCRETE = [
    ([1.0, -1.0], [0.5, 0.5]),
    ([1.0, 4.0], [0.6, 0.4]),
    ([-2.0, 1.0, 4.0], [0.2, 0.4, 0.4]),
    ([-2.0, -1.0], [0.3, 0.7]),
    ([0.01, 1.0, 100.0], [0.3, 0.4, 0.3]),
]


@pytest.mark.parametrize("c", [0.05, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(("values", "weights"), DISCRETE)
def test_discrete_weights_are_a_compound_free_poisson_law(values, weights, c):
    law = fh.hessian_law(ONE, c, WeightLaw.discrete(values, weights))
    want = fh.Law(fh.Spectrum([0.0])).add_compound_poisson(c, values, weights)
    size = max(np.abs(want.support).max(), 1.0)
    np.testing.assert_allclose(law.support, want.support, rtol=1e-13, atol=1e-14 * size)
    np.testing.assert_allclose(
        np.array(law.atoms).reshape(-1, 2), np.array(want.atoms).reshape(-1, 2), atol=1e-15
    )
    z = size * np.array([0.3 + 0.2j, -0.1 + 0.01j, 1.5 + 1.0j, -2.0 - 0.3j])
    np.testing.assert_allclose(law.stieltjes(z), want.stieltjes(z), rtol=1e-13)
    np.testing.assert_allclose(
        law.stieltjes([-3 * size, 3 * size]), want.stieltjes([-3 * size, 3 * size]), rtol=1e-13
    )
    x = np.concatenate([a + (b - a) * np.array([0.02, 0.3, 0.5, 0.9]) for a, b in want.support])
    x = x[np.abs(x) > 1e-9]
    if (values, c) == (
        [1.0, -1.0],
        1.0,
    ):  # an even density infinite at 0 from both sides: by symmetry instead
        np.testing.assert_allclose(law.cdf([0.0, 1.0]) + law.cdf([0.0, -1.0]), [1.0, 1.0], rtol=1e-11)
        return
    np.testing.assert_allclose(law.pdf(x), want.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x), want.cdf(x), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(law.moment(2), want.moment(2), rtol=1e-12)


def test_weights_that_are_0():
    """P(g = 0) only thins the samples."""
    law = fh.hessian_law(ONE, 0.4, WeightLaw.discrete([0.0, 1.0], [0.5, 0.5]))
    want = fh.marchenko_pastur(0.8).scale(0.5)
    np.testing.assert_allclose(law.support, want.support, rtol=1e-13)
    np.testing.assert_allclose(law.stieltjes(-0.3), want.stieltjes(-0.3), rtol=1e-13)
    thin = fh.hessian_law(ONE, 0.8, WeightLaw.discrete([0.0, 1.0], [0.5, 0.5]))
    np.testing.assert_allclose(thin.atoms, [(0.0, 1 - 0.5 / 0.8)], rtol=1e-14)
    nothing = fh.hessian_law(ONE, 0.8, WeightLaw.discrete([0.0]))
    assert nothing.atoms == [(0.0, 1.0)]
    assert nothing.support.shape == (0, 2)
    assert nothing.stieltjes(-0.5) == 2.0
    assert nothing.cdf(0.0) == 1.0
    assert nothing.spikes == []


@pytest.mark.parametrize("model", ["logistic", "probit", "poisson"])
def test_w_is_0(model):
    """Constant weights g(0): 1/4, 2/pi, 1; labels that follow w* alone leave no isolated eigenvalue."""
    g = {"logistic": 0.25, "probit": 2 / np.pi, "poisson": 1.0}[model]
    law = fh.hessian_law(ONE, 0.3, model, w_star=2.0)
    np.testing.assert_allclose(law.support, fh.marchenko_pastur(0.3).scale(g).support, rtol=1e-13)
    assert law.spikes == []


def test_own_logistic_model():
    """The user's own second derivative and responses against the named model."""
    H = fh.Spectrum(*LEVELS)
    z = np.array([-1.0 + 0j, 0.5 + 0.3j])
    w, w_star = W, W_STAR

    def logistic(y, u):
        return 0.25 / np.cosh(0.5 * u) ** 2

    def signs(v):
        p = 1 / (1 + np.exp(-v))
        return np.array([1.0, -1.0]), np.stack([p, 1 - p])

    own = fh.hessian_law(H, 0.3, logistic, w, w_star, response=signs)
    named = fh.hessian_law(H, 0.3, "logistic", w, w_star)
    np.testing.assert_allclose(own.stieltjes(z), named.stieltjes(z), rtol=1e-12)
    np.testing.assert_allclose(
        own.equivalent(z).bilinear("w", "w_star"), named.equivalent(z).bilinear("w", "w_star"), rtol=1e-11
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"clipping": 3.0}])
def test_weights_of_two_dimensions(options):
    """A quadrature over u and y against the closed form."""
    H, w, w_star, z = fh.Spectrum(*LEVELS), W, W_STAR, 0.5 + 0.3j

    def phase(y, u):
        return 3 * u * u - y

    own = fh.hessian_law(H, 0.3, phase, w, w_star, response=lambda v: v * v, **options)
    named = fh.hessian_law(H, 0.3, "phase_retrieval", w, w_star, **options)
    assert own.weights.error < 1e-8
    np.testing.assert_allclose(own.stieltjes(z), named.stieltjes(z), rtol=1e-9)
    np.testing.assert_allclose(own.equivalent(z).S, named.equivalent(z).S, atol=1e-8)


def test_kinks_at_which_g_cancels():
    """max(y - 1, 0): rounding of y - 1 next to the kink is no structure."""
    law = fh.hessian_law(
        ONE, 0.2, lambda y, u: np.maximum(y - 1.0, 0.0), w_star=1.0, response=lambda v: v * v
    )
    tail = 0.15865525393145707
    np.testing.assert_allclose(law.weights.zero, 1 - 2 * tail, rtol=1e-12)
    np.testing.assert_allclose(law.weights.mean(), 2 * np.exp(-0.5) / np.sqrt(2 * np.pi), rtol=1e-12)
    assert abs(mass(law) - 1) < 1e-12


# --------------------------------------------------------------------------------------------------- simulation


def standard_errors(values, want):
    values = np.asarray(values)
    return np.abs(values.mean(axis=0) - want) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def draws(kind, c, w, w_star, p, count, quantity):
    """Quantity of the Hessians of C = I, w and w* in the plane of the first two coordinates."""
    a, b = np.zeros(p), np.zeros(p)
    a[:2], b[:2] = w, w_star
    return [quantity(o.hessian_matrix(kind, p, round(p / c), a, b, seed), a, b) for seed in range(count)]


@pytest.mark.parametrize("kind", ["logistic", "probit", "poisson", "phase_truncated"])
def test_page_9_resolvent(kind):
    """tr Q/p and w*'Qw*, which the bulk alone misses by many standard errors."""
    w, w_star, c, z = np.array([1.0, 0.5]), np.array([1.2, -0.3]), 0.5, -1.0
    if kind == "phase_truncated":
        z = 0.5 + 1.0j
    law = law_of(kind, PLANE, c, w, w_star)

    def quantity(H, a, b):
        Q = np.linalg.inv(H - z * np.eye(len(H)))
        return [(np.trace(Q) / len(H)).real, (b @ Q @ b).real, (a @ Q @ b).real]

    equivalent = law.equivalent(z)
    want = [law.stieltjes(z), equivalent.bilinear("w_star", "w_star"), equivalent.bilinear("w", "w_star")]
    sample = draws(kind, c, w, w_star, 160, 12, quantity)
    away = standard_errors(sample, np.real(want))
    assert (away < 4).all(), away
    if kind != "poisson":
        assert standard_errors(sample, np.real(want[0]) * (w_star @ w_star))[1] > 5


def test_page_9_spectral_initialisation_of_phase_retrieval():
    """n/p = 5, so ratio .2: f(y) = (y - 1)/(y + sqrt(5) - 1)."""

    def f(y):
        return (y - 1) / (y + np.sqrt(5.0) - 1)

    law = fh.hessian_law(ONE, 0.2, lambda y, u: f(y), w_star=1.0, response=lambda v: v * v)
    top = law.spikes[-1]
    # E[f (v^2 - 1)/(gamma - f)] = c at gamma, and there z = E[f gamma/(gamma - f)] + c gamma
    np.testing.assert_allclose(top.location, 0.39929264011834936, rtol=1e-11)
    sample = []
    for seed in range(12):
        H = o.hessian_matrix(lambda h, s, rng: f(s * s), 300, 1500, np.zeros(300), np.eye(300)[0], seed)
        value, vector = linalg.eigh(H, subset_by_index=[299, 299])
        sample.append([value[0], vector[0, 0] ** 2])
    assert (standard_errors(sample, [top.location, top.alignment_star]) < 4).all()
    assert np.mean(sample, axis=0)[0] > law.support[-1, 1] + 0.1


def test_page_9_isolated_eigenvalues_of_truncated_phase_retrieval():
    w, w_star = np.array([0.8, 0.5]), np.array([0.9, -0.6])
    law = law_of("phase_truncated", PLANE, 0.1, w, w_star)
    low, high = law.spikes

    def quantity(H, a, b):
        values, vectors = np.linalg.eigh(H)
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        ends = vectors[:, [0, -1]]
        return [values[0], values[-1], *(a @ ends) ** 2, *(b @ ends) ** 2]

    want = [
        low.location,
        high.location,
        low.alignment,
        high.alignment,
        low.alignment_star,
        high.alignment_star,
    ]
    sample = draws("phase_truncated", 0.1, w, w_star, 200, 12, quantity)
    away = standard_errors(sample, want)
    assert (away < 4).all(), (away, want, np.mean(sample, axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic", "poisson", "phase_truncated", "spectral"])
@pytest.mark.parametrize("c", [0.2, 2.0])
def test_distribution_of_hessians(kind, c):
    """Counts at nine quantiles, within 4 standard errors: they move with the weights drawn, by 1/sqrt(n)."""
    law = law_of(kind, PLANE, c, W[:2], W_STAR[:2])
    first = law.cdf(0.0) if law.atoms and law.support[0, 0] >= 0.0 else 0.0
    x = law.ppf(first + (1.0 - first) * np.linspace(0.1, 0.9, 9))
    x = x[np.abs(x) > 1e-6]

    def quantity(H, a, b):
        return np.searchsorted(np.linalg.eigvalsh(H), x) / len(H)

    away = standard_errors(draws(kind, c, W[:2], W_STAR[:2], 500, 24, quantity), law.cdf(x))
    assert (away < 4).all(), away


# ------------------------------------------------------------------------------------------- mass and transforms


@pytest.mark.parametrize("c", [0.1, 0.7, 1.0, 1.7])
@pytest.mark.parametrize("kind", ["logistic", "probit", "poisson", "phase", "phase_truncated", "truncation"])
def test_mass_mean_and_transform(kind, c):
    H = fh.Spectrum(*LEVELS)
    options = MODELS.get(kind, {"model": "phase_retrieval", "truncation": 3.0})
    law = fh.hessian_law(H, c, w=0.7, w_star=1.1, cosine=0.3, **options)
    # c = 1: the density is infinite at 0, and not a power times a series where E[1/|g|] is infinite
    tolerance = 1e-12 if c != 1.0 else 1e-11
    assert abs(mass(law) - 1) < tolerance
    trace = float(H.values @ H.multiplicity / H.multiplicity.sum())
    np.testing.assert_allclose(law.mean(), trace * law.weights.mean(), rtol=1e-12, atol=1e-14)
    for z in (0.3 + 0.4j, -1.0 + 0.5j):
        np.testing.assert_allclose(
            law.expect(lambda x, z=z: 1 / (x - z)), law.stieltjes(z), rtol=5 * tolerance
        )
    x = law.ppf([0.1, 0.5, 0.9])
    jump = 1.0 - law.cdf(0.0) if law.atoms else 0.0
    inside = x[np.abs(x) > 1e-12] if jump else x
    np.testing.assert_allclose(law.cdf(inside), np.array([0.1, 0.5, 0.9])[np.isin(x, inside)], rtol=1e-10)


def test_powers_at_0():
    """c > 1 and weights with density g**(-1/2): infinitely dense small eigenvalues beside the atom."""
    law = fh.hessian_law(ONE, 1.9, "phase_retrieval", w=0.9, truncation=1.8)
    assert law.support[0, 0] == 0.0
    assert abs(mass(law) - 1) < 1e-12
    np.testing.assert_allclose(law.pdf(1e-10) / law.pdf(1e-6), 100.0, rtol=1e-3)
    negative = fh.hessian_law(ONE, 0.01, "phase_retrieval", w=1.0, w_star=2.0, cosine=1.0)
    assert negative.support[0, 0] == -np.inf
    assert negative.support[0, 1] < 0.0
    np.testing.assert_allclose(negative.mean(), -1.0, rtol=1e-12)


def test_a_small_level_far_below_the_others():
    """Every bulk is kept where the quadrature of g reaches to 1e28."""
    law = fh.hessian_law(fh.Spectrum([0.02, 50.0], [3, 4]), 0.12, "poisson", w=[0.0, 0.57])
    assert len(law.support) == 2
    assert abs(mass(law) - 1) < 1e-12
    np.testing.assert_allclose(law.cdf(law.support[0, 1]), 3 / 7, rtol=1e-12)


def test_unbounded_weights():
    law = fh.hessian_law(ONE, 0.5, "poisson", w=1.0)
    assert law.support[0, 0] > 0
    assert np.isposinf(law.support[0, 1])
    assert law.ppf(1.0) == np.inf
    assert law.ppf(0.0) == law.support[0, 0]
    assert 0 < 1 - law.cdf(50.0) < 1e-2
    assert law.pdf(1e5) > 0
    both_ways = fh.hessian_law(ONE, 0.5, "phase_retrieval", w=1.0, w_star=1.0, cosine=0.0)
    assert both_ways.support.tolist() == [[-np.inf, np.inf]]
    assert np.isnan(both_ways.stieltjes(1e6))
    below = fh.hessian_law(ONE, 2.0, "poisson", w=1.0)
    assert below.support[0, 0] == 0.0
    assert below.atoms == [(0.0, 0.5)]
    draw = law.rvs(4000, rng=1)
    assert abs(draw.mean() - law.mean()) < 4 * np.sqrt(law.var() / 4000)
    np.testing.assert_array_equal(draw, law.rvs(4000, rng=1))


@pytest.mark.parametrize("norm", [0.0, 1e-8, 1e-3, 30.0, 100.0])
@pytest.mark.parametrize("model", ["logistic", "probit"])
def test_extreme_norms(model, norm):
    law = fh.hessian_law(ONE, 0.3, model, w=norm, w_star=1.0, cosine=0.5 if norm else None)
    assert abs(mass(law) - 1) < 1e-11
    assert (law.support >= 0).all()
    assert law.support.max() < 4
    np.testing.assert_allclose(law.mean(), law.weights.mean(), rtol=1e-11)
    if norm and norm < 1e-2:
        near = fh.hessian_law(ONE, 0.3, model, w_star=1.0)
        np.testing.assert_allclose(law.support, near.support, rtol=norm)
    for z in (-1.0, 0.1 + 0.1j):
        np.testing.assert_allclose(law.expect(lambda x, z=z: 1 / (x - z)), law.stieltjes(z), rtol=1e-10)


finite = st.floats(0.05, 4.0)


@settings(max_examples=20, deadline=None)
@given(
    values=st.lists(
        st.builds(lambda s, x: s * x, st.sampled_from([-1.0, 1.0]), finite), min_size=1, max_size=4
    ),
    shares=st.lists(st.floats(0.1, 1.0), min_size=4, max_size=4),
    levels=st.lists(finite, min_size=1, max_size=3),
    c=st.floats(0.05, 4.0),
)
def test_random_discrete_weights(values, shares, levels, c):
    """Mass 1, transforms, and moments by counting: free cumulants of a compound free Poisson law."""
    shares = np.array(shares[: len(values)]) / sum(shares[: len(values)])
    g, t = np.array(values), np.array(levels)
    law = fh.hessian_law(fh.Spectrum(t), c, WeightLaw.discrete(g, shares))
    assert abs(mass(law) - 1) < 1e-11
    size = np.abs(g).max() * t.max() * (1 + np.sqrt(c)) ** 2
    for z in size * np.array([0.2 + 0.3j, -1.0 + 0.1j, 5.0 + 0j]):
        want = law.stieltjes(z if z.imag else z.real)
        assert abs(law.expect(lambda x, z=z: 1 / (x - z)) - want) < 1e-11 * max(abs(want), 1 / size)
    g1, g2, g3 = (shares @ g**k for k in (1, 2, 3))
    t1, t2, t3 = (np.mean(t**k) for k in (1, 2, 3))
    want = [
        g1 * t1,
        g1**2 * t2 + c * g2 * t1**2,
        g1**3 * t3 + 3 * c * g1 * g2 * t1 * t2 + c * c * g3 * t1**3,
    ]
    for k, value in enumerate(want, 1):
        assert abs(law.moment(k) - value) < 1e-11 * size**k
    assert all(a <= b for a, b in law.support)
    assert (np.diff(law.support.ravel()) >= 0).all()
    x = law.ppf(np.linspace(0.01, 0.99, 9))
    assert (np.diff(x) >= 0).all()


# --------------------------------------------------------------------------------------------------- housekeeping


def test_bad_elements_leave_their_neighbours_alone():
    law = fh.hessian_law(ONE, 0.5, "logistic", w=1.0)
    inside = law.support.mean()
    z = np.array([[-1.0, np.nan, inside], [np.inf, -2.0, 5.0]])
    r = law.stieltjes(z, full_output=True)
    np.testing.assert_array_equal(r.status == fh.Status.INVALID, [[False, True, True], [True, False, False]])
    assert np.isnan(r.value[r.status == fh.Status.INVALID]).all()
    np.testing.assert_array_equal(r.success, r.status == fh.Status.CONVERGED)
    assert r.value[0, 0] == law.stieltjes(-1.0)
    assert r.value.dtype == np.float64
    equivalent = law.equivalent(z)
    assert isinstance(equivalent, HessianEquivalent)
    np.testing.assert_array_equal(equivalent.status, r.status)
    assert equivalent.S.shape == (2, 3, 1, 1)
    np.testing.assert_array_equal(np.isnan(equivalent.bilinear("w", "w")), np.isnan(r.value))
    assert isinstance(law.stieltjes(-1.0), float)
    assert isinstance(law.pdf(0.1), float)


def test_empty_arrays():
    law = fh.hessian_law(ONE, 0.5, "logistic", w=1.0)
    assert law.stieltjes(np.empty((0, 2))).shape == (0, 2)
    assert law.pdf([]).shape == (0,)


def test_equality_pickle_and_files(tmp_path):
    H = fh.Spectrum(*LEVELS)
    laws = [
        fh.hessian_law(H, 0.5, "logistic", W, W_STAR),
        fh.hessian_law(H, 0.5, "logistic", W),
        fh.hessian_law(H, 0.4, "logistic", W),
        fh.hessian_law(ONE, 0.5, WeightLaw.discrete([1.0, 2.0])),
        fh.hessian_law(ONE, 0.5, lambda y, u: y, w_star=1.0, response=lambda v: np.tanh(v)),
    ]
    for i, law in enumerate(laws):
        law.pdf(0.5)  # caches take no part
        law.save(tmp_path / "law.npz")
        for other in pickle.loads(pickle.dumps(law)), fh.HessianLaw.load(tmp_path / "law.npz"):
            assert other == law
            assert other._cache is None
            assert repr(other) == repr(law)
            np.testing.assert_array_equal(other.pdf([0.1, 0.5]), law.pdf([0.1, 0.5]))
        for j, other in enumerate(laws):
            assert (law == other) == (i == j)
    spike = fh.hessian_law(ONE, 0.1, "logistic", w=2.0).spikes[0]
    assert isinstance(spike, HessianSpike)
    assert pickle.loads(pickle.dumps(spike)) == spike
    with pytest.raises(AttributeError):
        laws[0].ratio = 1.0
    with pytest.raises(ValueError, match="read-only"):
        laws[0].support[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        laws[0].weights.values[0] = 1.0


def test_repr():
    law = fh.hessian_law(fh.Spectrum(*LEVELS), 0.5, "poisson", w=1.0)
    assert repr(law).startswith("HessianLaw(3 levels, ratio 0.5, poisson, E[g] = ")
    assert repr(WeightLaw.discrete([1.0, -1.0, 0.0], [2, 1, 1])) == (
        "WeightLaw(2 atoms, P(g = 0) = 0.25, support [-1, 1], mean 0.25)"
    )
    spike = fh.hessian_law(ONE, 0.1, "logistic", w=2.0).spikes[0]
    assert repr(spike) == "HessianSpike(location=0.0520934, alignment=0.851949, alignment_star=nan)"
    assert repr(law.equivalent([-1.0, -2.0])) == "HessianEquivalent, shape (2,), rank 1"


LOGISTIC = partial(fh.hessian_law, ONE, 0.5, "logistic")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: fh.hessian_law([1.0], 0.5, "logistic", w=1.0), TypeError, "spectrum"),
        (lambda: fh.hessian_law(ONE, 0.0, "logistic", w=1.0), ValueError, "ratio must be finite and > 0; got 0"),
        (lambda: fh.hessian_law(ONE, 0.5, "logit", w=1.0), ValueError, "model must be one of least_squares, .*'logit'"),
        (lambda: fh.hessian_law(ONE, 0.5, 3), TypeError, "model must be a name"),
        (lambda: LOGISTIC(w=-1.0), ValueError, "w must be finite and >= 0; got -1"),
        (lambda: LOGISTIC(w=[1.0, 2.0]), ValueError, "each of the 1 levels; got shape"),
        (lambda: LOGISTIC(w=[np.nan]), ValueError, "w must be finite"),
        (lambda: LOGISTIC(w="big"), TypeError, "w must"),
        (lambda: LOGISTIC(w=1.0, w_star=1.0), ValueError, "cosine must be given"),
        (lambda: LOGISTIC(w=1.0, w_star=1.0, cosine=1.5), ValueError, r"cosine must lie in \[-1, 1\]; got 1.5"),
        (lambda: LOGISTIC(w=1.0, cosine=0.5), ValueError, "cosine needs both"),
        (lambda: LOGISTIC(w=1.0, response=abs), TypeError, "response belongs to a callable model"),
        (lambda: LOGISTIC(w=1.0, truncation=1.0, clipping=1.0), TypeError, "truncation or clipping, not both"),
        (lambda: LOGISTIC(w=1.0, truncation=[2.0, 1.0]), ValueError, r"low < high; got \[2.0, 1.0\]"),
        (lambda: LOGISTIC(w=1.0, clipping=0.0), ValueError, "clipping must be finite and > 0; got 0"),
        (lambda: fh.hessian_law(ONE, 0.5, "phase_retrieval"), ValueError, "w or w_star must not be 0"),
        (lambda: fh.hessian_law(ONE, 0.5, "poisson", w=50.0), ValueError, "must be below 42; got 50"),
        (lambda: fh.hessian_law(ONE, 0.5, lambda y, u: u[:2], w=1.0), ValueError, "must be vectorised"),
        (lambda: fh.hessian_law(ONE, 0.5, lambda y, u: np.exp(u * u * 9), w=1.0), ValueError, "weights must be finite"),
        (lambda: fh.hessian_law(ONE, 0.5, lambda y, u: y, w=1.0, response=3), TypeError, "response must be a function"),
        (
            lambda: fh.hessian_law(ONE, 0.5, lambda y, u: y, w=1.0, response=lambda v: ([1.0, 2.0], [0.5, 0.6])),
            ValueError,
            "sum to 1",
        ),
        (lambda: fh.hessian_law(ONE, 0.5, WeightLaw.discrete([1.0]), truncation=1.0), TypeError, "taken as is"),
        (lambda: WeightLaw.discrete([]), ValueError, "values must not be empty"),
        (lambda: WeightLaw.discrete([1.0], [-1.0]), ValueError, "probability must be >= 0; got -1"),
        (lambda: WeightLaw.discrete([1.0], [0.0]), ValueError, "not be all zero"),
        (lambda: WeightLaw.discrete([1.0, 2.0], [1.0]), ValueError, "one entry for each of the 2 values"),
        (lambda: LOGISTIC(w=1.0).equivalent(-1.0).bilinear("v", "w"), ValueError, 'must be "w", "w_star" or an array'),
        (lambda: LOGISTIC(w=1.0).stieltjes(-1.0, side="up"), ValueError, "side must be"),
    ],
)  # fmt: skip
def test_messages(call, error, match):
    with pytest.raises(error, match=match):
        call()
