"""Fluctuations of linear statistics: closed forms, nested contours in 20 digits, exact moments, simulation."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fasthde as fh
from fasthde.fluctuations import linear_statistic
from tests.oracle_laws import (
    bai_silverstein,
    mp,
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Hundreds of small eigenvalue problems: BLAS threads would only wait for each other."""
    with threadpool_limits(1, user_api="blas"):
        yield


def rel(got, want):
    return float(np.max(np.abs(np.asarray(got) - np.asarray(want)) / np.abs(np.asarray(want))))


# ------------------------------------------------------------------------------------- linear statistics


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9, 1.0, 1.5, 10.0])
def test_anchors(c):
    """Marchenko-Pastur: x has correction 0 and variance 2 c, x**2 has c and 4 c (2 + 5 c + 2 c**2)."""
    r = linear_statistic(fh.Spectrum([1.0]), c, [lambda x: x, np.square], p=100)
    assert np.all(np.abs(r.correction - [0, c]) <= r.correction_error + 1e-14 * c)
    want = np.array([[2 * c, 4 * c * (1 + c)], [4 * c * (1 + c), 4 * c * (2 + 5 * c + 2 * c * c)]])
    assert rel(r.covariance, want) < 1e-13
    assert np.all(np.abs(r.covariance - want) <= r.covariance_error)
    assert r.mean == pytest.approx([100, 100 * (1 + c) + c], rel=1e-13)
    assert r.success.all()


@pytest.mark.parametrize("values", [[1.0], [1.0, 3.0, 10.0], list(np.arange(1, 301.0) ** -1.2)])
@pytest.mark.parametrize("c", [0.01, 0.5, 0.99, 1 - 1e-6, 1 - 1e-10])
def test_log_determinant_of_any_population(values, c):
    """log(1 - c)/2 and -2 log(1 - c) whatever C: log det C is not random."""
    r = linear_statistic(fh.Spectrum(values), c, np.log)
    assert r.correction == pytest.approx(np.log1p(-c) / 2, rel=1e-12)
    assert r.variance == pytest.approx(-2 * np.log1p(-c), rel=1e-12)
    assert abs(r.variance + 2 * np.log1p(-c)) <= r.covariance_error + 1e-14
    assert r.success
    p = len(values)
    want = p * ((c - 1) / c * np.log1p(-c) - 1) + np.log(values).sum() + np.log1p(-c) / 2
    assert r.mean == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("c", [1.0001, 2.0, 50.0])
def test_log_of_the_eigenvalues_that_are_not_zero(c):
    """p > n: the mean is infinite, the fluctuations are those of the n x n Gram matrix, with 1/c."""
    r = linear_statistic(fh.Spectrum([1.0]), c, np.log, p=100)
    assert r.mean == -np.inf
    assert r.status is fh.Status.DIVERGES
    rest = np.log((c - 1) / c)
    assert r.correction == pytest.approx(rest / 2, rel=1e-11)
    assert r.variance == pytest.approx(-2 * rest, rel=1e-11)


CASES = [
    ([1.0, 3.0, 10.0], None, 0.5),
    ([1.0, 7.0], [3.0, 1.0], 0.1),  # two intervals
    ([0.0, 1.0, 2.0], None, 0.4),  # zeros of the population
    ([1.0, 2.0], None, 3.0),  # zeros of the sample
    ([1.0, 2.0], None, 1.0),  # a hard edge
]


@functools.cache
def oracle(case, name):
    values, weights, c = CASES[case]
    f = {
        "exp": lambda z: mp.exp(-z),
        "cube": lambda z: z**3,
        "sum": lambda z: mp.exp(-z) + z**3,
    }[name]
    return bai_silverstein(values, weights, c, f, dps=16)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_against_nested_contours(case):
    """The oracle's two nested contours with 16 digits; the covariance of two functions by polarisation."""
    values, weights, c = CASES[case]
    H = fh.Spectrum(values, weights=weights or [1.0] * len(values))
    r = linear_statistic(H, c, [lambda x: np.exp(-x), lambda x: x**3], n=1000)
    (m1, v1), (m2, v2), (_, v3) = (oracle(case, n) for n in ("exp", "cube", "sum"))
    means, variances = np.array([float(m1), float(m2)]), np.array([float(v1), float(v2)])
    cross = float((v3 - v1 - v2) / 2)
    floor = 1e-14 * np.sqrt(variances)
    assert np.all(np.abs(r.correction - means) <= r.correction_error + floor)
    assert np.all(np.abs(r.correction - means) <= 1e-12 * np.sqrt(variances))
    assert rel(r.variance, variances) < 1e-12
    assert np.all(np.abs(r.variance - variances) <= r.covariance_error.diagonal() + 1e-14 * variances)
    assert abs(r.covariance[0, 1] - cross) <= r.covariance_error[0, 1] + 1e-11 * np.sqrt(variances.prod())
    assert r.success.all()
    complex_ = linear_statistic(H, c, [lambda x: np.exp(-x), lambda x: x**3], n=1000, beta=2)
    assert np.all(np.abs(complex_.correction) <= 1e-14 * np.sqrt(variances))
    assert rel(complex_.covariance, r.covariance / 2) < 1e-12


@pytest.mark.parametrize("beta", [1, 2])
@pytest.mark.parametrize("c", [0.5, 1.0, 3.0])
def test_kurtosis_of_moments(c, beta):
    """Diagonal C, exactly: var tr = c (E z**4 - 1) tau_2; E tr M**2 - p int = c (E z**4 - 3 + 2/beta - 1) tau_2..."""
    H = fh.Spectrum([1.0, 3.0, 0.0], weights=[0.5, 0.3, 0.2])
    second = H.moment(2)
    for fourth in (1.0, 2.5, 9.0):
        r = linear_statistic(H, c, [lambda x: x, np.square], n=100, beta=beta, kurtosis=fourth, diagonal=True)
        excess = fourth - 1 - 2 / beta
        assert r.variance[0] == pytest.approx(c * (fourth - 1) * second, rel=1e-12, abs=1e-13)
        assert r.correction == pytest.approx(
            [0.0, c * (2 / beta - 1 + excess) * second], rel=1e-12, abs=1e-13
        )


def simulate(values, n, f, draws, rng, entries):
    rng = np.random.default_rng(rng)
    root = np.sqrt(values)[:, None]
    rows = []
    for _ in range(draws):
        x = root * entries(rng, (len(values), n))
        eigenvalues = np.linalg.eigvalsh(x @ x.conj().T / n)
        rows.append([np.sum(g(eigenvalues)) for g in f])
    return np.array(rows)


ENTRIES = {
    "real": (1, None, lambda rng, s: rng.standard_normal(s)),
    "complex": (2, None, lambda rng, s: (rng.standard_normal(s) + 1j * rng.standard_normal(s)) / np.sqrt(2)),
    "signs": (1, 1.0, lambda rng, s: rng.choice([-1.0, 1.0], s)),
    "heavy": (1, 9.0, lambda rng, s: rng.choice([-3.0, 0.0, 3.0], s, p=[1 / 18, 8 / 9, 1 / 18])),
    "phases": (2, 1.0, lambda rng, s: np.exp(2j * np.pi * rng.random(s))),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_simulated_statistics(kind):
    """Means, variances and a covariance, within four standard errors, for each kind of entries."""
    beta, fourth, entries = ENTRIES[kind]
    n, draws = 160, 400
    values = np.repeat([1.0, 2.0], 40)
    f = [np.log, np.square]
    rows = simulate(values, n, f, draws, 7, entries)
    r = linear_statistic(fh.Spectrum(values), 0.5, f, beta=beta, kurtosis=fourth, diagonal=True)
    assert np.all(np.abs(rows.mean(axis=0) - r.mean) <= 4 * r.std / np.sqrt(draws))
    cov = np.cov(rows.T)
    v = r.variance
    spread = np.sqrt((np.outer(v, v) + r.covariance**2) / draws)  # of a Gaussian sample covariance
    assert np.all(np.abs(cov - r.covariance) <= 4 * spread)


def test_simulated_wide_data():
    """p > n, where zeros count f(0), and a spike given as a level of its own."""
    values = np.array([1.0] * 119 + [8.0])
    f = [lambda x: np.exp(-x), lambda x: x**2]
    rows = simulate(values, 60, f, 300, 3, ENTRIES["real"][2])
    r = linear_statistic(fh.Spectrum([1.0, 8.0], [119, 1]), 2.0, f)
    assert np.all(np.abs(rows.mean(axis=0) - r.mean) <= 4 * rows.std(axis=0, ddof=1) / np.sqrt(300))
    assert abs(rows[:, 0].var(ddof=1) / r.variance[0] - 1) <= 4 * np.sqrt(2 / 300)


def test_poles_of_statistics():
    """A pole beside the support: with its place named the contour passes it, without it tighter ones are tried."""
    H = fh.Spectrum([1.0])
    f = lambda x: 1 / ((x - 1) ** 2 + 0.04)  # noqa: E731
    named = linear_statistic(H, 0.5, f, p=100, singularities=[1 + 0.2j])
    found = linear_statistic(H, 0.5, f, p=100)
    assert named.variance == pytest.approx(found.variance, rel=1e-9)
    assert named.correction == pytest.approx(found.correction, rel=1e-9)
    assert named.success
    near = linear_statistic(H, 0.5, lambda x: 1 / ((x - 1) ** 2 + 0.01), p=100, singularities=[1 + 0.1j])
    assert near.success


@pytest.mark.parametrize("t", [1.0, 50.0, 200.0])
def test_a_function_that_explodes_off_the_axis(t):
    """exp(-t x): wide contours meet exp(t), tight ones do not. On |s - 1| = sqrt(c) its Fourier coefficients are
    exp(-t (1 + c)) I_k(2 t sqrt(c)), the variance is 2 sum k a_k**2, the correction (f(a) + f(b))/4 - a_0/2."""
    c = 0.5
    r = linear_statistic(fh.Spectrum([1.0]), c, lambda x: np.exp(-t * x), p=100)
    with mp.workdps(30):
        x = 2 * t * mp.sqrt(c)
        last = int(4 * x) + 60
        coefficients = [mp.exp(-t * (1 + c)) * mp.besseli(k, x) for k in range(last)]
        variance = 2 * mp.fsum(k * a * a for k, a in enumerate(coefficients))
        correction = mp.exp(-t * (1 + c)) * mp.cosh(x) / 2 - coefficients[0] / 2
    assert r.variance == pytest.approx(float(variance), rel=1e-10)
    assert abs(r.variance - float(variance)) <= r.covariance_error + 1e-14 * float(variance)
    assert r.correction == pytest.approx(float(correction), rel=1e-10)
    assert r.success


@pytest.mark.parametrize(
    ("ratio", "f", "keywords", "error", "message"),
    [
        (0.5, lambda x: np.abs(x - 1), {}, ValueError, "f must be analytic to the right of 0"),
        (1.0, np.log, {}, ValueError, "hard edge"),
        (1.0, np.sqrt, {}, ValueError, "hard edge"),
        (0.5, [np.exp, lambda x: 1j * x], {}, TypeError, r"f\[1\] must be real"),
        (0.5, lambda x: x.astype(float), {}, TypeError, "f must accept complex"),
        (0.5, np.exp, {"n": 100, "p": 50}, TypeError, "n or p"),
        (0.5, np.exp, {"beta": 4}, ValueError, "beta must be 1"),
        (0.5, np.exp, {"kurtosis": 0.5}, ValueError, "kurtosis must be >= 1"),
        (0.5, np.exp, {"kurtosis": 1.0}, ValueError, "diagonal=True"),
        (0.5, np.exp, {"singularities": [1.0]}, ValueError, "singularities must lie"),
        (0.5, np.exp, {"rtol": -1.0}, ValueError, "rtol"),
        (-0.5, np.exp, {}, ValueError, "ratio"),
    ],
)
def test_arguments_of_statistics(ratio, f, keywords, error, message):
    with pytest.raises(error, match=message):
        linear_statistic(fh.Spectrum([1.0, 2.0]), ratio, f, **keywords)


def test_dimension_of_statistics():
    H = fh.Spectrum([1.0, 3.0], [40, 60])
    measure = fh.Spectrum([1.0, 3.0], weights=[40, 60])
    want = linear_statistic(H, 0.5, np.exp)
    assert linear_statistic(measure, 0.5, np.exp, n=200) == linear_statistic(H, 0.5, np.exp, n=200) == want
    assert linear_statistic(measure, 0.5, np.exp, p=100) == want
    with pytest.raises(TypeError, match="pass n= or p="):
        linear_statistic(measure, 0.5, np.exp)
    # an identity needs no promise
    assert linear_statistic(
        fh.Spectrum([2.0]), 0.5, np.square, p=10, kurtosis=1.0
    ).correction == pytest.approx(0.5 * 4 * (1 - 2), rel=1e-12)
