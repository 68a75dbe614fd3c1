"""fh.ridge and fh.convert_ridge: against the oracle, closed forms, simulation, and the contracts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import fasthde as fh
from tests import oracles
from tests.common import (
    EPS,
    FIELDS,
    RISKS,
    assert_matches,
    assert_same,
    cases,
    oracle,
    powers,
    ridge,
    spectra,
    take,
)


@pytest.fixture(scope="module")
def plain() -> fh.LinearProblem:
    return fh.LinearProblem(fh.Spectrum.power_law(1000, 1.2), signal=1.0, noise=0.1)


@pytest.fixture(scope="module")
def levels4() -> tuple[list[float], list[int], list[float]]:
    return [0.0, 0.3, 1.0, 4.0], [10, 50, 75, 25], [0.3, 0.5, 0.3, 1.0]


def flat(p: float = 1000, noise: float = 0.1) -> fh.LinearProblem:
    return fh.LinearProblem(fh.Spectrum.isotropic(p), signal=1.0, noise=noise)


# ------------------------------------------------------------------------------------------ the oracle, 1e-13


@settings(max_examples=500)
@given(cases(elliptical=False))
def test_plain_matches_oracle(case):
    problem, n, lam, _ = case
    assert_matches(ridge(problem, n, lam), oracle(problem, n, lam))


@settings(max_examples=500)
@given(cases(elliptical=True))
def test_elliptical_matches_oracle(case):
    problem, n, lam, _ = case
    assert_matches(ridge(problem, n, lam), oracle(problem, n, lam))


@settings(max_examples=250)
@given(cases(elliptical=False, shift=True))
def test_shift_matches_oracle(case):
    problem, n, lam, new = case
    assert_matches(ridge(problem, n, lam, test_spectrum=new), oracle(problem, n, lam, new))


@settings(max_examples=250)
@given(cases(elliptical=True, shift=True))
def test_elliptical_shift_matches_oracle(case):
    problem, n, lam, new = case
    assert_matches(ridge(problem, n, lam, test_spectrum=new), oracle(problem, n, lam, new))


@settings(max_examples=80)
@given(cases(elliptical=False, shift=True, min_size=17, max_size=60))
def test_compressed_levels_match_oracle(case):
    """More than 16 levels: where a factor 4 holds more than 16, sums run over Gauss nodes."""
    problem, n, lam, new = case
    assert_matches(ridge(problem, n, lam, test_spectrum=new), oracle(problem, n, lam, new))


@pytest.mark.parametrize("lam", [0.0, 1e-9, 1e-3, 1.0])
@pytest.mark.parametrize("n", [3.0, 40.0, 199.98, 200.0, 200.02, 1000.0])
@pytest.mark.parametrize("norms", [None, [0.3, 0.9, 2.4]])
def test_dense_levels_match_oracle(n, lam, norms):
    """200 levels in two octaves: compression is at work, and n lies at and around the rank."""
    values = np.linspace(0.8, 3.1, 200)
    problem = fh.LinearProblem(
        fh.Spectrum(values), 1 / values, 0.2 if norms is None else [0.1, 0.2, 0.9], norms=norms
    )
    assert_matches(ridge(problem, n, lam), oracle(problem, n, lam))


@pytest.mark.parametrize("n", [3.9996, 4.0 * (1 - 1e-7)])
def test_some_norms_zero_near_a_plateau(n):
    """n P(tau > 0) = .75 n is just below the 3 levels of a plateau: the product must not be rounded."""
    H = fh.Spectrum([3.6e9, 4.2e7, 4.4, 5.7e-7])
    problem = fh.LinearProblem(
        H, [0, 1e-6, 3, 0], [0.0, 0.0, 3.0, 0.0], norms=[4.7, 3.3, 10.8, 0.0], norm_weights=[1, 1, 1, 1]
    )
    assert_matches(ridge(problem, n, 0.0), oracle(problem, n, 0.0))


@pytest.mark.parametrize("norms", [None, [1.0, 3.0]])
@pytest.mark.parametrize("n", [100.0, 1000.0, 2000.0])
@pytest.mark.parametrize("lam", [1e-300, 1e-200, 1e-100, 1e100, 1e300])
def test_extreme_ridges(norms, n, lam):
    problem = fh.LinearProblem(
        fh.Spectrum.isotropic(1000), 1.0, 0.1 if norms is None else [0.1, 0.3], norms=norms
    )
    r, want = ridge(problem, n, lam), oracle(problem, n, lam)
    for name in RISKS:
        got = getattr(r, name)
        assert np.isfinite(got), name
        # a kappa below 1e-250 tr C/n may be given as 0
        assert abs(mpf(got) - want[name]) <= 1e-13 * want[name] + mpf("1e-250"), (
            name,
            got,
            float(want[name]),
        )
    assert r.success


def test_rank_is_decided_exactly():
    """Real multiplicities: n = their rounded sum differs from the rank by less than n's last bit."""
    counts = np.array([0.1] * 10 + [1e9 / 3, 0.7])
    values = np.arange(1.0, 13.0)
    problem = fh.LinearProblem(fh.Spectrum(values, counts), 1.0, 0.1)
    n = float(counts.sum())
    assert_matches(ridge(problem, n, 0.0), oracle(problem, n, 0.0))


# --------------------------------------------------------------------------------------- anchors, closed forms


@pytest.mark.parametrize(
    ("n", "lam", "want"), [(2000, 0.0, 0.1), (500, 0.0, 0.6), (2000, 0.05, 0.0844289), (500, 0.2, 0.5741657)]
)
def test_anchors_of_the_isotropic_problem(n, lam, want):
    assert f"{fh.ridge(flat(), n, lam).excess:.7f}" == f"{want:.7f}"


def test_anchor_kappa_and_delta_are_one():
    problem = fh.LinearProblem(fh.Spectrum([1, 3, 7], [0.25, 0.25, 0.5]), 1.0, 0.0)
    assert ridge(problem, 1.5, 0.5).kappa == pytest.approx(1.0, rel=4 * EPS)


@pytest.mark.parametrize("n", [300.0, 999.0, 1001.0, 4000.0])
def test_ridgeless_isotropic(n):
    beta2, sigma2, p = 1.7, 0.3, 1000.0
    r = fh.ridge(fh.LinearProblem(fh.Spectrum.isotropic(p), beta2, sigma2), n, 0.0)
    bias, variance = (beta2 * (1 - n / p), sigma2 / (p / n - 1)) if n < p else (0.0, sigma2 * p / (n - p))
    assert r.bias == pytest.approx(bias, rel=1e-13, abs=0)
    assert r.variance == pytest.approx(variance, rel=1e-13, abs=0)
    assert r.train == pytest.approx(0.0 if n < p else sigma2 * (1 - p / n), rel=1e-13, abs=0)


@pytest.mark.parametrize("lam", [1e-10, 1e-8, 1e-4])
def test_flat_spectrum_at_the_threshold(lam):
    """n = p = 1000: kappa**2 - lam kappa - lam = 0."""
    r = fh.ridge(flat(), 1000, lam)
    with mp.workdps(40):
        x = mpf(lam)
        kappa = (x + mp.sqrt(x * x + 4 * x)) / 2
        test = (kappa**2 + mpf(0.1) * (1 + kappa) ** 2) / (kappa * (2 + kappa))
        assert abs(r.kappa / kappa - 1) < 1e-14
        assert abs(r.test / test - 1) < 1e-14
    assert r.iterations < 40


def test_ridgeless_limits_of_kappa(plain):
    assert fh.ridge(flat(), 4000, 1e-12).kappa == pytest.approx(1e-12 / (1 - 0.25), rel=1e-11)
    t = plain.spectrum.values
    first, second = np.sum(1 / t), np.sum(1 / t**2)
    kappa = np.sqrt(1000 * 1e-20 / first)  # n = rank: kappa**2 (sum 1/t - kappa sum 1/t**2 + ...) = n lambda
    kappa *= 1 + kappa * second / first / 2
    assert fh.ridge(plain, 1000, 1e-20).kappa == pytest.approx(kappa, rel=1e-8)


def test_threshold_diverges():
    r = fh.ridge(flat(), 1000, 0.0)
    assert r.status is fh.Status.DIVERGES
    assert r.success
    assert (r.test, r.excess, r.variance) == (np.inf, np.inf, np.inf)
    assert (r.train, r.kappa, r.bias) == (0.0, 0.0, 0.0)
    many = fh.ridge(flat(), [999, 1000, 1001], 0.0)
    assert many.status.tolist() == [fh.Status.CONVERGED, fh.Status.DIVERGES, fh.Status.CONVERGED]


def test_threshold_without_noise_is_finite():
    r = fh.ridge(flat(noise=0.0), 1000, 0.0)
    assert r.status is fh.Status.CONVERGED
    assert (r.test, r.train, r.excess, r.variance) == (0.0, 0.0, 0.0, 0.0)


def test_norms_near_zero_amplify_the_noise():
    """Below the rank the ridgeless variance is E[noise/tau] eta/(1 - eta)."""
    problem = fh.LinearProblem(fh.Spectrum.isotropic(1000), 1.0, 0.1, norms=[1e-6, 1.999999])
    factor = np.mean(0.1 / problem.norms)
    assert fh.ridge(problem, 500, 0.0).variance == pytest.approx(factor, rel=1e-13)  # eta/(1 - eta) = 1


# -------------------------------------------------------------------------------------------------- simulation

_QUANTILES = [float(mp.sqrt(2) * mp.erfinv(2 * (j + 0.5) / 40 - 1)) for j in range(40)]
_HEAVY = np.exp(0.8 * np.array(_QUANTILES))
_HEAVY /= _HEAVY.mean()
_SHIFT = [1.0, 2.0, 0.2, 0.7]


@pytest.mark.parametrize(
    ("heavy", "n", "lam", "shift"),
    [
        (False, 225, 0.1, None),
        (False, 75, 0.0, None),
        (False, 300, 0.0, None),
        (False, 100, 0.1, _SHIFT),
        (True, 225, 0.1, None),
        (True, 75, 0.0, None),
        (True, 300, 0.0, _SHIFT),
        (True, 125, 0.1, _SHIFT),
    ],
)
def test_simulation(levels4, heavy, n, lam, shift):
    """Within 4 standard errors plus the model's own O(1/n)."""
    t, k, b = levels4
    noise = 0.1 + 0.3 * _HEAVY if heavy else 0.3
    norms = {"tau": _HEAVY, "weights": np.full(40, 1 / 40)} if heavy else {}
    simulated = oracles.simulate_ridge(t, k, b, noise, n, lam, draws=12, rng=n, test_values=shift, **norms)
    r = fh.ridge(
        fh.LinearProblem(fh.Spectrum(t, k), b, noise, norms=_HEAVY if heavy else None),
        n,
        lam,
        test_spectrum=shift,
    )
    for name, (mean, error) in simulated.items():
        want = getattr(r, name)
        assert abs(mean - want) <= 4 * error + 5 * abs(want) / n + 1e-12, (name, want, mean, error)


@pytest.mark.parametrize(("n", "lam"), [(75, 0.1), (75, 0.0), (300, 0.1), (300, 0.0)])
def test_intercept_simulation(levels4, n, lam):
    """Centred by the training means, against the same fit on drawn data."""
    t, k, b = levels4
    rng = np.random.default_rng(n)
    t_all, size = np.repeat(t, k), np.repeat(np.sqrt(np.divide(b, k)), k)
    rows = []
    for _ in range(60):
        beta = size * rng.choice([-1.0, 1.0], size.size)
        x = rng.standard_normal((n, size.size)) * np.sqrt(t_all) + 3.0
        noise = np.sqrt(0.3) * rng.standard_normal((n, 20))
        y = (x @ beta)[:, None] + noise + 7.0
        xc, yc = x - x.mean(0), y - y.mean(0)
        u, s, vt = np.linalg.svd(xc / np.sqrt(n), full_matrices=False)
        keep = s > 1e-10 * s[0]
        u, s, vt = u[:, keep], s[keep], vt[keep]
        fit = vt.T @ ((s / (s**2 + lam))[:, None] * (u.T @ yc)) / np.sqrt(n)
        wrong = fit - beta[:, None]
        offset = x.mean(0) @ wrong - noise.mean(0)  # at the population mean 3: below
        excess = t_all @ wrong**2 + (offset - 3.0 * wrong.sum(0)) ** 2
        rows.append((excess.mean(), np.mean((yc - xc @ fit) ** 2)))
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / np.sqrt(60)
    r = fh.ridge(fh.LinearProblem(fh.Spectrum(t, k), b, 0.3), n, lam, intercept=True)
    for want, got, se in zip((r.excess, r.train), mean, error, strict=True):
        assert abs(got - want) <= 4 * se + 5 * want / n + 1e-12, (want, got, se)


def test_intercept_costs_one_sample(plain):
    n, lam = np.array([30.0, 500.0, 3000.0])[:, None], np.array([0.0, 1e-3, 1.0])
    r, less = ridge(plain, n, lam, intercept=True), ridge(plain, n - 1, lam * n / (n - 1))
    np.testing.assert_array_equal(r.n, np.broadcast_to(n, (3, 3)))
    np.testing.assert_array_equal(r.lam, np.broadcast_to(lam, (3, 3)))
    np.testing.assert_allclose(r.kappa, less.kappa, rtol=1e-14)
    np.testing.assert_allclose(r.excess, less.excess * (1 + 1 / n) + 0.1 / n, rtol=1e-13)
    np.testing.assert_allclose(r.test, r.bias + r.variance + r.noise, rtol=1e-14)
    np.testing.assert_allclose(r.train, less.train * (1 - 1 / n), rtol=1e-13)


def test_intercept_bad_and_limiting_elements(plain):
    r = ridge(plain, [0.0, 1.0, np.nan, -2.0, 500.0, np.inf], 0.1, intercept=True)
    assert r.status.tolist() == [fh.Status.INVALID] * 4 + [fh.Status.CONVERGED] * 2
    for name in RISKS:
        assert np.isnan(getattr(r, name)[:4]).all(), name
        assert np.isfinite(getattr(r, name)[4:]).all(), name
    assert r.test[4] == ridge(plain, 500.0, 0.1, intercept=True).test
    assert r.test[5] == ridge(plain, np.inf, 0.1).test
    for bad in (1.0, 0.5, 0.0, -1.0):
        with pytest.raises(ValueError, match=r"^n must be >"):
            fh.ridge(plain, bad, 0.1, intercept=True)


# -------------------------------------------------------------------------------------------------- identities


@settings(max_examples=150)
@given(cases(elliptical=False))
def test_identities_of_the_plain_model(case):
    problem, n, lam, _ = case
    r = ridge(problem, n, lam)
    if r.status == fh.Status.DIVERGES:
        return
    assert r.excess == pytest.approx(r.bias + r.variance, rel=2 * EPS, abs=0)
    assert r.test == pytest.approx(r.excess + r.noise, rel=2 * EPS, abs=0)
    if 0 < lam < np.inf:
        assert r.train == pytest.approx((lam / r.kappa) ** 2 * r.test, rel=1e-13, abs=1e-290)  # GCV
        assert r.in_sample_bias == pytest.approx((lam / r.kappa) ** 2 * r.bias, rel=1e-13, abs=1e-290)
        assert r.df1 / n + lam / r.kappa == pytest.approx(1.0, rel=1e-13)
    assert 0 <= r.df2 <= r.df1 * (1 + 4 * EPS)
    assert r.df1 <= problem.spectrum.dimension * (1 + 4 * EPS)


@settings(max_examples=60)
@given(cases(elliptical=True))
def test_monotone_in_the_ridge(case):
    problem, n, _, _ = case
    lam = np.concatenate(([0.0], np.geomspace(1e-30, 1e30, 301)))
    r = ridge(problem, n, lam)
    rounding = 1e-14
    assert np.all(np.diff(r.kappa) >= -rounding * r.kappa[1:])
    assert np.all(r.kappa[1:] >= lam[1:] * (1 - rounding))
    assert np.all(np.diff(r.df1) <= rounding * r.df1[:-1])
    assert np.all(np.diff(r.df2) <= rounding * r.df2[:-1])
    moved = lam > 1e3 * problem.spectrum.values.max()
    assert np.all(np.diff(r.kappa[moved]) > 0)


@settings(max_examples=100)
@given(cases(elliptical=True), powers(-6, 6))
def test_scaling_of_the_covariance(case, a):
    """C -> a C, lam -> a lam, signal -> signal/a changes nothing but kappa -> a kappa."""
    problem, n, lam, _ = case
    H = problem.spectrum
    norms = {"norms": problem.norms, "norm_weights": problem.norm_weights}
    scaled = fh.LinearProblem(
        fh.Spectrum(a * H.values, H.multiplicity), problem.signal / a, problem.noise, **norms
    )
    r, s = ridge(problem, n, lam), ridge(scaled, n, a * lam)
    assert_same(r, s, 1e-13, tuple(f for f in RISKS if f != "kappa"))
    assert s.kappa == pytest.approx(a * r.kappa, rel=1e-13, abs=1e-290)


@settings(max_examples=100)
@given(cases(elliptical=True, shift=True), st.randoms(use_true_random=False))
def test_order_of_levels_does_not_matter(case, random):
    problem, n, lam, new = case
    order = np.array(random.sample(range(len(new)), len(new)))
    H = problem.spectrum
    norms = {"norms": problem.norms, "norm_weights": problem.norm_weights}
    other = fh.LinearProblem(
        fh.Spectrum(H.values[order], H.multiplicity[order]), problem.signal[order], problem.noise, **norms
    )
    assert_same(
        ridge(problem, n, lam, test_spectrum=new), ridge(other, n, lam, test_spectrum=new[order]), 1e-14
    )


@settings(max_examples=100)
@given(cases(elliptical=True, shift=True))
def test_splitting_a_level_changes_nothing(case):
    problem, n, lam, new = case
    H = problem.spectrum
    norms = {"norms": problem.norms, "norm_weights": problem.norm_weights}
    twice = fh.LinearProblem(
        fh.Spectrum(np.repeat(H.values, 2), np.repeat(H.multiplicity / 2, 2)),
        np.repeat(problem.signal / 2, 2), problem.noise, **norms,
    )  # fmt: skip
    assert_same(
        ridge(problem, n, lam, test_spectrum=new),
        ridge(twice, n, lam, test_spectrum=np.repeat(new, 2)),
        1e-14,
    )


@settings(max_examples=60)
@given(spectra(), st.floats(0.1, 20), st.integers(1, 5), powers(-2, 3), st.just(0.0) | powers(-9, 9))
def test_equal_norms_are_the_plain_model(spectrum, norm, nodes, x, lam):
    values, counts = spectrum
    n = x * counts.sum()
    equal = fh.LinearProblem(fh.Spectrum(values, counts), 1.0, [0.3] * nodes, norms=[norm] * nodes)
    same = fh.LinearProblem(fh.Spectrum(values * norm, counts), 1.0, 0.3)
    assert_same(ridge(equal, n, lam), ridge(same, n, lam), 1e-13)


def test_nodes_may_be_split(plain):
    a = fh.LinearProblem(plain.spectrum, 1.0, [0.1, 0.4], norms=[0.5, 1.5])
    b = fh.LinearProblem(
        plain.spectrum, 1.0, [0.2, 0.0, 0.4], norms=[0.5, 0.5, 1.5], norm_weights=[0.25, 0.25, 0.5]
    )
    assert_same(fh.ridge(a, [100, 2000], 0.01), fh.ridge(b, [100, 2000], 0.01), 1e-14)


def test_unshifted_test_spectrum_changes_nothing(plain):
    n, lam = np.array([100.0, 900.0, 4000.0])[:, None], np.array([0.0, 1e-3, 1.0])
    want = fh.ridge(plain, n, lam)
    assert_same(fh.ridge(plain, n, lam, test_spectrum=plain.spectrum), want, 1e-13)
    assert_same(fh.ridge(plain, n, lam, test_spectrum=plain.spectrum.values), want, 1e-13)


def test_shift_without_any_level():
    """Nothing to predict under the test distribution: the error is the noise, also where n = rank."""
    r = fh.ridge(flat(), [500, 1000, 2000], 0.0, test_spectrum=[0.0])
    np.testing.assert_array_equal(r.excess, 0.0)
    np.testing.assert_array_equal(r.test, 0.1)


def test_infinitely_many_samples(plain):
    t, k = plain.spectrum.values, plain.spectrum.multiplicity
    b = plain.signal
    for lam in (0.0, 1e-3, 2.0):
        r = ridge(plain, np.inf, lam)
        bias = np.sum(b * t * (lam / (t + lam)) ** 2)
        assert r.kappa == lam
        assert r.variance == 0.0
        assert r.bias == pytest.approx(bias, rel=1e-13)
        assert r.df1 == pytest.approx(np.sum(k * t / (t + lam)), rel=1e-13)
        assert r.test == r.train == r.bias + 0.1
        assert ridge(plain, 1e13, lam).test == pytest.approx(r.test, rel=1e-9)


def test_infinite_ridge(plain):
    r = ridge(plain, 500, np.inf)
    power = float(np.sum(plain.signal * plain.spectrum.values))
    assert (r.kappa, r.df1, r.df2, r.variance) == (np.inf, 0.0, 0.0, 0.0)
    assert r.bias == pytest.approx(power, rel=1e-14)
    assert r.train == pytest.approx(power + 0.1, rel=1e-14)
    assert ridge(plain, 500, 1e15).test == pytest.approx(r.test, rel=1e-11)


@pytest.mark.parametrize("elliptical", [False, True])
def test_compression_agrees_with_all_levels(elliptical):
    H = fh.Spectrum.power_law(1000, 1.2)
    signal = np.arange(1.0, 1001.0) ** -0.6
    problem = (
        fh.LinearProblem(H, signal, 0.05 + 0.1 * _HEAVY, norms=_HEAVY)
        if elliptical
        else fh.LinearProblem(H, signal, 0.1)
    )
    n = np.concatenate((np.geomspace(20, 20000, 38), [999.0, 1000.0]))[:, None]
    lam = np.concatenate(([0.0], np.geomspace(1e-12, 1e3, 19)))
    a, b = ridge(problem, n, lam), ridge(problem, n, lam, compress=False)
    assert a.test.shape == (40, 20)
    np.testing.assert_array_equal(a.status, b.status)
    assert_same(a, b, 1e-13)


# --------------------------------------------------------------------------------------- shapes and broadcasting


@pytest.mark.parametrize("threads", [None, 1, 2])
@pytest.mark.parametrize(
    ("n_shape", "lam_shape"),
    [((3, 1), (4,)), ((4,), (3, 1)), ((4,), (4,)), ((), (4,)), ((4,), ()), ((1,), (1,)), ((3, 4), (3, 4)),
     ((2, 1, 3), (4, 1)), ((2, 3, 4), (1,)), ((3,), (4, 2, 3)), ((1, 5), (1, 1))],
)  # fmt: skip
def test_broadcasting_equals_scalar_calls(plain, n_shape, lam_shape, threads):
    rng = np.random.default_rng(1)
    n = 10 ** rng.uniform(1.5, 3.5, n_shape)
    lam = np.where(rng.random(lam_shape) < 0.2, 0.0, 10 ** rng.uniform(-6, 1, lam_shape))
    r = ridge(plain, n, lam, threads=threads)
    n_all, lam_all = np.broadcast_arrays(n, lam)
    assert r.test.shape == n_all.shape
    np.testing.assert_array_equal(r.n, n_all)
    np.testing.assert_array_equal(r.lam, lam_all)
    for index in np.ndindex(n_all.shape):
        single = ridge(plain, n_all[index], lam_all[index])
        for name in FIELDS:
            np.testing.assert_allclose(
                getattr(r, name)[index],
                getattr(single, name),
                rtol=4 * EPS,
                atol=0,
                err_msg=f"{name} {index}",
            )


def test_scalar_in_scalar_out(plain):
    for n, lam in ((300, 0.1), (np.int64(300), np.float32(0.5)), (np.array(300), np.array(0.1)), (300, True)):
        r = fh.ridge(plain, n, lam)
        for name in RISKS:
            assert isinstance(getattr(r, name), float), name
        assert isinstance(r.status, fh.Status)
        assert isinstance(r.iterations, int)
        assert isinstance(r.success, bool)


@pytest.mark.parametrize(
    ("n", "lam", "shape"),
    [([], 1.0, (0,)), (100.0, [], (0,)), ([], [], (0,)), (np.empty((0, 3)), [1, 2, 3], (0, 3)),
     (np.empty((3, 0)), 1.0, (3, 0)), (np.ones((3, 1)), np.empty((3, 0)), (3, 0)),
     ([100.0, 200.0], np.empty((0, 1)), (0, 2))],
)  # fmt: skip
def test_empty_arrays(plain, n, lam, shape):
    r = fh.ridge(plain, n, lam)
    for name in FIELDS:
        assert getattr(r, name).shape == shape, name
    assert r.success.shape == shape
    assert repr(r)


def test_inputs_are_not_kept_or_changed(plain):
    n, lam = np.array([100.0, 200.0]), np.array([[1.0], [0.1]])
    r = fh.ridge(plain, n, lam)
    n[:], lam[:] = -1, -1
    np.testing.assert_array_equal(r.n, [[100, 200], [100, 200]])
    np.testing.assert_array_equal(r.lam, [[1, 1], [0.1, 0.1]])


def test_lists_integers_and_order_of_ridges(plain):
    lam = [0.1, 10.0, 0.0, 1e-5, 1.0]
    r = ridge(plain, [500], lam)
    s = ridge(plain, 500.0, sorted(lam))
    order = np.argsort(lam)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(r, name)[order], getattr(s, name), err_msg=name)


def test_threads_give_the_same_bits(plain):
    n, lam = np.geomspace(30, 5000, 60)[:, None], np.geomspace(1e-8, 10, 50)
    one = ridge(plain, n, lam, threads=1)
    for threads in (2, 3, None):
        other = ridge(plain, n, lam, threads=threads)
        assert other == one


# ------------------------------------------------------------------------------------------------ several targets


@pytest.mark.parametrize("elliptical", [False, True])
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("grid", ["scalar", "array", "empty"])
def test_several_targets_equal_single_runs(elliptical, shift, grid):
    rng = np.random.default_rng(0)
    H = fh.Spectrum.power_law(300, 1.1)
    signal = rng.random((300, 3))
    tau = np.array([0.5, 1.5]) if elliptical else None
    noise = rng.random((2, 3)) if elliptical else rng.random(3)
    new = rng.random(300) if shift else None
    n, lam = {
        "scalar": (200, 0.1),
        "array": (np.array([100.0, 900.0, np.nan])[:, None], [0.0, 0.1]),
        "empty": ([], 0.1),
    }[grid]
    r = fh.ridge(fh.LinearProblem(H, signal, noise, norms=tau), n, lam, test_spectrum=new)
    shape = np.broadcast_shapes(np.shape(n), np.shape(lam))
    for j in range(3):
        single = fh.ridge(
            fh.LinearProblem(H, signal[:, j], noise[..., j], norms=tau), n, lam, test_spectrum=new
        )
        for name in FIELDS:
            many = getattr(r, name)
            assert many.shape == (*shape, 3), name
            np.testing.assert_array_equal(many[..., j], getattr(single, name), err_msg=name)


def test_noise_shapes_of_several_targets():
    H = fh.Spectrum.isotropic(100)
    signal = np.array([[1.0, 2.0, 3.0]])
    one = fh.ridge(fh.LinearProblem(H, signal, 0.1), 200, 0.1)
    assert one == fh.ridge(fh.LinearProblem(H, signal, [0.1] * 3), 200, 0.1)
    nodes = fh.ridge(fh.LinearProblem(H, signal, [0.1, 0.5], norms=[0.5, 1.5]), 200, 0.1)
    full = np.repeat([[0.1], [0.5]], 3, axis=1)
    assert nodes == fh.ridge(fh.LinearProblem(H, signal, full, norms=[0.5, 1.5]), 200, 0.1)
    across = fh.ridge(fh.LinearProblem(H, signal, [0.1, 0.2, 0.5], norms=[0.5, 1.5]), 200, 0.1)
    np.testing.assert_allclose(across.noise, [0.1, 0.2, 0.5], rtol=2 * EPS)


# ------------------------------------------------------------------------------------- bad elements, bad arguments

_BAD_N = [np.nan, 0.0, -1.0, -np.inf]
_BAD_LAM = [np.nan, -1.0, -1e-300, -np.inf]


@pytest.mark.parametrize("bad", _BAD_N)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_bad_n_in_an_array(plain, bad, place):
    n, lam = np.array([50.0, 100.0, 1000.0, 2000.0]), np.array([1.0, 0.1, 0.0])[:, None]
    with_bad = np.insert(n, place, bad)
    r, clean = fh.ridge(plain, with_bad, lam), fh.ridge(plain, n, lam)
    _check_bad(r, clean, (slice(None), place), (slice(None), with_bad > 0))


@pytest.mark.parametrize("bad", _BAD_LAM)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_bad_lam_in_an_array(plain, bad, place):
    n, lam = np.array([50.0, 1000.0, 2000.0])[:, None], np.array([1.0, 0.1, 1e-7, 0.0])
    with_bad = np.insert(lam, place, bad)
    r, clean = fh.ridge(plain, n, with_bad), fh.ridge(plain, n, lam)
    _check_bad(r, clean, (slice(None), place), (slice(None), with_bad >= 0))


def _check_bad(r, clean, at, rest):
    bad, good = take(r, at), take(r, rest)
    for name in RISKS:
        assert np.isnan(bad[name]).all(), name
        np.testing.assert_allclose(good[name], getattr(clean, name), rtol=4 * EPS, atol=0, err_msg=name)
    assert (bad["status"] == fh.Status.INVALID).all()
    assert not r.success[at].any()
    np.testing.assert_array_equal(good["status"], clean.status)
    assert np.isnan(r.residual[at]).all()
    assert np.isnan(r.learnability()[at]).all()


def test_everything_bad(plain):
    r = fh.ridge(plain, [np.nan, 0.0], [np.nan, -1.0])
    assert (r.status == fh.Status.INVALID).all()
    assert "2 INVALID" in repr(r) or "INVALID" in repr(r)


@pytest.mark.parametrize("bad", _BAD_N)
def test_bad_scalar_n(plain, bad):
    with pytest.raises(ValueError, match=r"^n must be > 0; got .*\. Pass the number of training samples"):
        fh.ridge(plain, bad, 1.0)


@pytest.mark.parametrize("bad", _BAD_LAM)
def test_bad_scalar_lam(plain, bad):
    with pytest.raises(ValueError, match=r"^lam must be >= 0; got .*convert_ridge"):
        fh.ridge(plain, 100, bad)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"n": "many"}, TypeError, "^n must"),
        ({"n": 3 + 1j}, TypeError, "^n must"),
        ({"n": [[1], [2, 3]]}, ValueError, "^n must"),
        ({"n": None}, (TypeError, ValueError), "^n must"),
        ({"lam": ["a"]}, TypeError, "^lam must"),
        ({"lam": [1j]}, TypeError, "^lam must"),
        ({"lam": [[1], [2, 3]]}, ValueError, "^lam must"),
        ({"lam": object()}, TypeError, "^lam must"),
        ({"problem": fh.Spectrum([1.0])}, TypeError, "^problem must be a LinearProblem"),
        ({"test_spectrum": [1.0, 2.0]}, ValueError, "^test_spectrum must"),
        ({"test_spectrum": 1.0}, ValueError, "^test_spectrum must"),
        ({"test_spectrum": -np.ones(1000)}, ValueError, "^test_spectrum must"),
        ({"test_spectrum": np.full(1000, np.nan)}, ValueError, "^test_spectrum must"),
        ({"test_spectrum": ["a"] * 1000}, TypeError, "^test_spectrum must"),
        ({"test_spectrum": fh.Spectrum(np.ones(1000), 2)}, ValueError, "^test_spectrum must"),
        ({"threads": 0}, ValueError, "^threads must"),
        ({"threads": 1.5}, TypeError, "^threads must"),
        ({"threads": "2"}, TypeError, "^threads must"),
        ({"threads": True}, TypeError, "^threads must"),
    ],
)
def test_bad_arguments(plain, changes, error, message):
    arguments = {"problem": plain, "n": 100.0, "lam": 1.0, **changes}
    with pytest.raises(error, match=message):
        fh.ridge(**arguments)


def test_shapes_that_do_not_broadcast_are_named(plain):
    with pytest.raises(ValueError, match=r"(?s)(\bn\b.*\blam\b)|(\blam\b.*\bn\b)"):
        fh.ridge(plain, [100, 200], [1.0, 2.0, 3.0])


def test_bad_arguments_are_refused_before_any_kernel_runs():
    problem = fh.LinearProblem(fh.Spectrum.isotropic(100), 1.0, 0.1)
    for arguments in ((-1.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="must be"):
            fh.ridge(problem, *arguments)
        assert not problem._cache


# ------------------------------------------------------------------------------------------------------- validity


def test_validity_warning_once_a_call_names_n():
    problem = fh.LinearProblem(fh.Spectrum.isotropic(1000), np.ones((1, 3)), 0.1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fh.ridge(problem, [7, 13, 500, 2000], [[0.1], [0.0]])
    assert [w.category for w in seen] == [fh.ValidityWarning]
    text = str(seen[0].message)
    assert "7" in text
    assert "13" in text
    assert "500" not in text
    assert seen[0].filename == __file__


def test_validity_warning_for_few_directions():
    with pytest.warns(fh.ValidityWarning, match="n = 400"):
        fh.ridge(fh.LinearProblem(fh.Spectrum([1.0] * 5), 1.0, 0.1), 400, 0.1)
    with pytest.warns(fh.ValidityWarning, match="n = 10"):
        fh.optimal_ridge(flat(), 10)


def test_no_validity_warning_for_large_systems_or_limits(plain):
    fh.ridge(flat(), [20.0, 1000.0, np.inf], [[0.0], [1.0], [1e300], [np.inf]])
    fh.ridge(plain, [np.nan, -1.0, 0.0, 1000.0], 0.01)


# --------------------------------------------------------------------------------------------------- learnability


def test_learnability(plain):
    r = fh.ridge(plain, [100.0, np.nan, 3000.0], [[0.1], [0.0]])
    got = r.learnability()
    assert got.shape == (2, 3, 1000)
    t = plain.spectrum.values
    np.testing.assert_allclose(got[0, 0], t / (t + r.kappa[0, 0]), rtol=1e-15)
    np.testing.assert_allclose(got[1, 2], 1.0, rtol=0)
    assert np.isnan(got[:, 1]).all()
    np.testing.assert_allclose((got * plain.spectrum.multiplicity).sum(-1), r.df1, rtol=1e-13)


def test_learnability_limits():
    problem = fh.LinearProblem(fh.Spectrum([0.0, 2.0, 1.0], 100), 1.0, 0.1)
    np.testing.assert_array_equal(fh.ridge(problem, 100, np.inf).learnability(), [0, 0, 0])
    np.testing.assert_array_equal(fh.ridge(problem, 1000, 0.0).learnability(), [0, 1, 1])
    many = fh.LinearProblem(fh.Spectrum([0.0, 2.0, 1.0], 100), np.ones((3, 2)), 0.1)
    assert fh.ridge(many, [100, 300, 500, 700], 0.1).learnability().shape == (4, 2, 3)


# -------------------------------------------------------------------------------------------------- convert_ridge

_SCALINGS = ["fasthde", "sklearn", "half", "dimension"]


@pytest.mark.parametrize("src", _SCALINGS)
@pytest.mark.parametrize("dst", _SCALINGS)
def test_convert_ridge_round_trip(src, dst):
    if src == dst:  # most likely a forgotten argument: the other side has a default
        with pytest.raises(ValueError, match="src and dst must differ"):
            fh.convert_ridge(1.0, 10, src, dst, p=30)
        return
    value = np.array([0.0, 1e-5, 0.3, 1e200, np.inf])
    there = fh.convert_ridge(value, [[70], [1300]], src, dst, p=30)
    assert there.shape == (2, 5)
    back = fh.convert_ridge(there, [[70], [1300]], dst, src, p=30)
    np.testing.assert_allclose(back, np.broadcast_to(value, (2, 5)), rtol=4 * EPS)


def test_convert_ridge_gives_the_same_estimator():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    n, p, lam = 40, 15, 0.37
    X, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    want = np.linalg.solve(X.T @ X / n + lam * np.eye(p), X.T @ y / n)
    alpha = fh.convert_ridge(lam, n, src="fasthde", dst="sklearn")
    np.testing.assert_allclose(Ridge(alpha=alpha, fit_intercept=False).fit(X, y).coef_, want, rtol=1e-10)
    half = fh.convert_ridge(lam, n, "fasthde", "half")  # gradient of |y - Xb|²/(2n) + half |b|²
    np.testing.assert_allclose(X.T @ (X @ want - y) / n + 2 * half * want, 0, atol=1e-14)
    other = fh.convert_ridge(lam, n, "fasthde", "dimension", p=p)
    np.testing.assert_allclose(
        np.linalg.solve(X.T @ X / p + other * np.eye(p), X.T @ y / p), want, rtol=1e-10
    )


def test_convert_ridge_scalars_and_default():
    assert fh.convert_ridge(50.0, 1000) == 0.05
    assert isinstance(fh.convert_ridge(50, 1000), float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": -1.0}, "^value must"),
        ({"value": np.nan}, "^value must"),
        ({"n": 0}, "^n must"),
        ({"src": "keras"}, "^src must be one of .*'sklearn'.* got 'keras'"),
        ({"dst": "keras"}, "^dst must be one of"),
        ({"dst": "dimension"}, r"^dst must be one of .*needs p="),
        ({"dst": "dimension", "p": 0}, "^p must"),
    ],
)
def test_convert_ridge_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fh.convert_ridge(**{"value": 1.0, "n": 10, **arguments})


def test_convert_ridge_bad_elements_become_nan():
    np.testing.assert_array_equal(fh.convert_ridge([-1.0, 5.0], 10), [np.nan, 0.5])
    np.testing.assert_array_equal(fh.convert_ridge(5.0, [0, np.nan, -3, 10]), [np.nan, np.nan, np.nan, 0.5])


def test_shift_on_tiny_eigenvalues():
    t = [1.0, 1e-160]
    problem = fh.LinearProblem(fh.Spectrum(t, [30, 50]), 1.0, 0.1)
    shifted, own = fh.ridge(problem, 100.0, 0.0, test_spectrum=t), fh.ridge(problem, 100.0, 0.0)
    assert shifted.test == pytest.approx(own.test, rel=1e-13)


def test_ridgeless_after_a_huge_ridge():
    problem = fh.LinearProblem(fh.Spectrum.power_law(300, 1.0), 1.0, 0.1)
    both = fh.ridge(problem, 100.0, [1e300, 0.0])
    assert both.status.tolist() == [0, 0]
    assert both.test[1] == pytest.approx(fh.ridge(problem, 100.0, 0.0).test, rel=1e-13)
    assert both.iterations[1] < 30


@pytest.mark.parametrize("wrong", ["no", 1, None, np.array([True, False])])
def test_intercept_must_be_a_truth_value(wrong):
    problem = fh.LinearProblem(fh.Spectrum.isotropic(100), 1.0, 0.1)
    with pytest.raises(TypeError, match="intercept must be True or False"):
        fh.ridge(problem, 100.0, 0.1, intercept=wrong)
