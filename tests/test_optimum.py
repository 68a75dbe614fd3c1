"""fh.optimal_ridge: against the closed form, the oracle's search, and boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthde as fh
from tests import oracles
from tests.common import EPS, FIELDS, assert_same, optimal_ridge, powers, ridge


@st.composite
def proportional(draw):
    """Any spectrum, signal proportional to the multiplicities: (problem, n, exact optimum)."""
    values = draw(st.lists(powers(-2, 2), min_size=1, max_size=12))
    if draw(st.booleans()):
        values.append(0.0)
    counts = draw(st.lists(powers(0, 4), min_size=len(values), max_size=len(values)))
    H = fh.Spectrum(values, counts)
    scale = float(np.max(values))
    power, size = draw(powers(-3, 3)), draw(powers(-0.7, 1.5))
    n = size * H.dimension
    lam = scale * draw(powers(-4, 2))  # beyond: the two tests below
    noise = lam * power * n / H.dimension
    return fh.LinearProblem(H, power, noise), n, H.dimension * noise / (n * power)


@settings(max_examples=200)
@given(proportional())
def test_closed_form(case):
    problem, n, want = case
    r = optimal_ridge(problem, n)
    assert r.lam == pytest.approx(want, rel=1e-10, abs=0)
    assert r.status is fh.Status.CONVERGED


@pytest.mark.parametrize("power", [1e-14, 1e-11, 1e-8, 1e-4, 1.0, 1e4, 1e8, 1e14])
def test_weak_and_strong_signals(power):
    """The optimum far above and far below the whole spectrum."""
    problem = fh.LinearProblem(fh.Spectrum([3.0, 1.0, 0.01, 0.0], [100, 300, 50, 50]), power, 1.0)
    r = fh.optimal_ridge(problem, 700.0)
    assert r.lam == pytest.approx(500 / 700 / power, rel=1e-10, abs=0)
    assert r.status is fh.Status.CONVERGED


@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_optimum_far_below_kappa(noise):
    """n < p/10: kappa stays near 9 while the optimal ridge is small."""
    problem = fh.LinearProblem(fh.Spectrum.isotropic(1000), 1.0, noise)
    best = fh.optimal_ridge(problem, 100.0)
    # lambda is read off kappa, which it hardly moves: 1e-12 (1 + kappa/lambda), as documented
    assert best.lam == pytest.approx(10 * noise, rel=1e-12 * (1 + best.kappa / best.lam), abs=0)
    assert best.excess == pytest.approx(fh.ridge(problem, 100.0, 10 * noise).excess, rel=1e-14)


@pytest.mark.parametrize(("n", "lam", "excess"), [(2000, 0.05, "0.0844289"), (500, 0.2, "0.5741657")])
def test_anchors(n, lam, excess):
    r = fh.optimal_ridge(fh.LinearProblem(fh.Spectrum.isotropic(1000), 1.0, 0.1), n)
    assert r.lam == pytest.approx(lam, rel=4 * EPS)
    assert f"{r.excess:.7f}" == excess


_T, _K = [4.0, 1.0, 0.3, 0.0], [50.0, 150.0, 100.0, 20.0]
_TAU, _W = [0.2, 0.6, 1.5, 2.2], [0.25, 0.125, 0.5, 0.125]


@pytest.mark.parametrize(
    ("signal", "noise", "n", "norms"),
    [
        ([1.0, 0.3, 0.5, 0.3], 0.3, 200.0, None),
        ([0.1, 0.3, 2.0, 0.0], 0.05, 450.0, None),
        ([1.0, 0.3, 0.5, 0.3], [0.1, 0.2, 0.4, 0.9], 200.0, _TAU),
        ([1.0, 0.3, 0.5, 0.3], [0.3, 0.0, 0.4, 0.9], 300.0, [0.0, 0.6, 1.5, 2.2]),
        ([0.01, 1.0, 0.5, 0.3], [0.1, 0.2, 0.4, 0.9], 600.0, _TAU),
    ],
)
def test_oracle_search(signal, noise, n, norms):
    extra = {} if norms is None else {"norms": norms, "norm_weights": _W}
    problem = fh.LinearProblem(fh.Spectrum(_T, _K), signal, noise, **extra)
    more = {} if norms is None else {"tau": problem.norms, "weights": problem.norm_weights}
    lam, test = oracles.optimal_lambda(
        problem.spectrum.values, _K, signal, noise, n, decades=8, digits=40, **more
    )
    r = fh.optimal_ridge(problem, n)
    assert 0 < float(lam) < np.inf
    assert abs(r.lam / lam - 1) < 1e-11
    assert abs(r.test / test - 1) < 1e-13
    assert r.status is fh.Status.CONVERGED


def test_result_is_that_of_ridge():
    problem = fh.LinearProblem(
        fh.Spectrum(_T, _K), [1.0, 0.3, 0.5, 0.3], [0.1, 0.2, 0.4, 0.9], norms=_TAU, norm_weights=_W
    )
    best = fh.optimal_ridge(problem, [200.0, 300.0, 450.0])
    assert_same(best, fh.ridge(problem, [200.0, 300.0, 450.0], best.lam), 4 * EPS)
    for factor in (0.99, 0.5, 1.01, 2.0):
        assert np.all(fh.ridge(problem, best.n, best.lam * factor).test > best.test)


def test_boundary_at_zero_for_an_aligned_signal():
    """A strong spike that carries the signal, a long tail that only regularises: negative ridges are best."""
    values, counts, signal = [100.0, 1.0], [20.0, 1000.0], [1.0, 0.0]
    problem = fh.LinearProblem(fh.Spectrum(values, counts), signal, 1e-6)
    lam, test = oracles.optimal_lambda(values, counts, signal, 1e-6, 300.0, decades=8, digits=30)
    assert lam == 0
    r = fh.optimal_ridge(problem, 300.0)
    assert (r.lam, r.status) == (0.0, fh.Status.BOUNDARY)
    assert r.success
    assert abs(r.test / test - 1) < 1e-13


@pytest.mark.parametrize("n", [300.0, 2000.0, np.inf])
def test_boundary_at_zero_without_noise(n):
    r = fh.optimal_ridge(fh.LinearProblem(fh.Spectrum.isotropic(1000), 1.0, 0.0), n)
    assert (r.lam, r.status) == (0.0, fh.Status.BOUNDARY)


@pytest.mark.parametrize("norms", [None, [0.5, 1.5]])
def test_boundary_at_infinity_without_signal(norms):
    r = fh.optimal_ridge(
        fh.LinearProblem(fh.Spectrum.power_law(300, 1.0), 0.0, 0.3, norms=norms), [100.0, 300.0, 1000.0]
    )
    assert np.isposinf(r.lam).all()
    assert (r.status == fh.Status.BOUNDARY).all()
    np.testing.assert_allclose(r.test, 0.3, rtol=2 * EPS)


def test_signal_on_null_levels_only():
    r = optimal_ridge(fh.LinearProblem(fh.Spectrum([0.0, 1.0], [50, 100]), [1.0, 0.0], 0.3), 200.0)
    assert (r.lam, r.status) == (np.inf, fh.Status.BOUNDARY)


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_arrays_equal_scalar_calls(threads):
    problem = fh.LinearProblem(fh.Spectrum.power_law(400, 1.2), np.arange(1.0, 401.0) ** -0.5, 0.2)
    n = np.array([[30.0, 100.0, 399.0], [400.0, 900.0, 1e5]])
    r = fh.optimal_ridge(problem, n, threads=threads)
    assert r.lam.shape == (2, 3)
    np.testing.assert_array_equal(r.n, n)
    for index in np.ndindex(n.shape):
        single = fh.optimal_ridge(problem, n[index])
        assert isinstance(single.lam, float)
        for name in FIELDS:
            np.testing.assert_allclose(
                getattr(r, name)[index], getattr(single, name), rtol=4 * EPS, atol=0, err_msg=name
            )


def test_bad_elements():
    problem = fh.LinearProblem(fh.Spectrum.isotropic(1000), 1.0, 0.1)
    r = fh.optimal_ridge(problem, [500.0, 0.0, -3.0, np.nan, 2000.0])
    assert r.status.tolist() == [fh.Status.CONVERGED] + [fh.Status.INVALID] * 3 + [fh.Status.CONVERGED]
    assert np.isnan(r.lam[1:4]).all()
    assert np.isnan(r.test[1:4]).all()
    np.testing.assert_allclose(r.lam[[0, 4]], [0.2, 0.05], rtol=4 * EPS)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty(shape):
    r = fh.optimal_ridge(fh.LinearProblem(fh.Spectrum.isotropic(1000), 1.0, 0.1), np.empty(shape))
    assert r.lam.shape == shape


@pytest.mark.parametrize(
    ("problem", "n", "threads", "error", "message"),
    [
        (None, 0.0, None, ValueError, "^n must"),
        (None, np.nan, None, ValueError, "^n must"),
        (None, "a", None, TypeError, "^n must"),
        (None, 100.0, 0, ValueError, "^threads must"),
        ("many", 100.0, None, ValueError, "^problem must have one target and no axis"),
        ("H", 100.0, None, TypeError, "^problem must be a LinearProblem"),
    ],
)
def test_bad_arguments(problem, n, threads, error, message):
    H = fh.Spectrum.isotropic(100)
    problem = {None: fh.LinearProblem(H, 1.0, 0.1), "many": fh.LinearProblem(H, [[1.0, 2.0]], 0.1), "H": H}[
        problem
    ]
    with pytest.raises(error, match=message):
        fh.optimal_ridge(problem, n, threads=threads)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(powers(-3, 3), powers(0, 3), powers(-4, 2)), min_size=1, max_size=5),
    powers(-4, 2),
    powers(-1, 1),
    st.lists(powers(-1, 1), min_size=1, max_size=4),
)
def test_no_ridge_on_a_grid_does_better(levels, noise, size, norms):
    t, k, b = map(np.array, zip(*levels, strict=True))
    problem = fh.LinearProblem(fh.Spectrum(t, k), b, noise, norms=norms)
    n = size * k.sum()
    r = optimal_ridge(problem, n)
    top = problem.spectrum.values.max()
    grid = ridge(problem, n, np.concatenate(([0.0, np.inf], top * np.geomspace(1e-12, 1e12, 481))))
    assert r.test <= grid.test.min() * (1 + 1e-14)
    assert (r.status is fh.Status.BOUNDARY) == (r.lam in (0.0, np.inf))


@pytest.mark.parametrize("n", [60.0, 120.0, 200.0, 1000.0])
@pytest.mark.parametrize("noise", [1e-23, 1e-16, 1e-5, 1e17])
@pytest.mark.parametrize(
    ("values", "multiplicity", "signal"),
    [([1.0, 2.0, 0.5], [30, 40, 50], 1.0), ([1.0, 1e-20], [40, 80], [0.0, 1.0])],
)
def test_optimum_on_every_scale(n, noise, values, multiplicity, signal):
    """No ridge of a fine grid over 80 decades does better, n = rank included."""
    problem = fh.LinearProblem(fh.Spectrum(values, multiplicity), signal, noise)
    best = fh.optimal_ridge(problem, n)
    grid = fh.ridge(problem, n, np.append(np.geomspace(1e-50, 1e30, 2001), 0.0))
    assert best.excess <= grid.excess.min() * (1 + 1e-9)


def test_optimum_with_intercept():
    problem = fh.LinearProblem(fh.Spectrum.power_law(200, 0.8), 1.0, 0.3)
    n = np.array([30.0, 150.0, 900.0])
    best = fh.optimal_ridge(problem, n, intercept=True)
    np.testing.assert_array_equal(best.n, n)
    for factor in (0.9, 1.1):
        assert (fh.ridge(problem, n, best.lam * factor, intercept=True).test > best.test).all()
    np.testing.assert_allclose(fh.ridge(problem, n, best.lam, intercept=True).test, best.test, rtol=1e-14)
    with pytest.raises(ValueError, match="n must be > 1"):
        fh.optimal_ridge(problem, 1.0, intercept=True)
