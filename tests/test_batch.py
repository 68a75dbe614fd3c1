"""Many laws at once: the same numbers as one law at a time, and bad laws that leave their neighbours alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthde as fh

from . import oracle_laws as o
from .common import EPS

W1 = [1.0, 3.0, 10.0]


def points_of(law, count=9):
    low, high = law._hull()
    return low + (high - low) * (np.arange(count) + 0.37) / count


def assert_one_by_one(laws):
    x = np.concatenate([points_of(laws[i]) for i in range(len(laws))])
    z = np.concatenate([x + 0.1j * x.max(), x, [-0.3, -20.0, 1j, 2.0 - 1e-3j]])
    pdf, cdf, m = laws.pdf(x), laws.cdf(x), laws.stieltjes(z)
    assert pdf.shape == cdf.shape == (len(laws), x.size)
    for i in range(len(laws)):
        law = laws[i]
        np.testing.assert_allclose(laws.support[i], law.support, rtol=4 * EPS, atol=0)
        assert [a for a, _ in laws.atoms[i]] == [a for a, _ in law.atoms]
        np.testing.assert_allclose([v for _, v in laws.atoms[i]], [v for _, v in law.atoms], atol=4 * EPS)
        peak = law.pdf(points_of(law, 200)).max()
        # a closed form stands behind one law of a single level
        np.testing.assert_allclose(pdf[i], law.pdf(x), rtol=1e-12, atol=1e-13 * peak)
        np.testing.assert_allclose(cdf[i], law.cdf(x), rtol=0, atol=1e-13)
        np.testing.assert_allclose(m[i], law.stieltjes(z), rtol=1e-12, atol=0)


def test_grid_of_ratios():
    """One spectrum; a hard edge, an atom and several intervals among the laws."""
    laws = fh.batch(fh.Spectrum(W1), [0.1, 1.0, 100.0])
    assert len(laws) == 3
    assert (laws.status == fh.Status.CONVERGED).all()
    assert [len(s) for s in laws.support] == [3, 1, 1]
    assert_one_by_one(laws)


def test_spectra_of_different_sizes():
    spectra = [
        fh.Spectrum([1.0]),
        fh.Spectrum([0.0, 2.0, 0.0, 2.0]),
        fh.Spectrum.power_law(40, 1.2),
        fh.Spectrum([1.0, 7.0], weights=[0.9, 0.1]),
        fh.Spectrum([1e-8, 1.0, 1e8]),
        fh.Spectrum([5.0, 1.0, 3.0], [0.0, 2.0, 1.0]),
    ]
    laws = fh.batch(spectra, [0.5, 2.0, 0.5, 0.05, 0.3, 1.5])
    assert laws[1] == fh.Law(spectra[1]).sample_covariance(2.0)
    assert_one_by_one(laws)


@pytest.mark.parametrize("c", [0.1, 0.5])
def test_against_high_precision(c):
    laws = fh.batch([[1.0, 2.0, 2.0], W1], [0.7, c])
    x = points_of(laws[1], 40)
    want = np.array([float(o.chain_density(W1, None, [("sample_covariance", c)], v, dps=25)) for v in x])
    slope = np.abs(np.gradient(want, x))
    assert (np.abs(laws.pdf(x)[1] - want) <= 1e-13 * want.max() + 8 * EPS * x * slope).all()


_levels = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.7, 6.0, 50.0]), min_size=1, max_size=4).filter(any)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(_levels, st.sampled_from([0.02, 0.3, 1.0, 1.0 + 1e-6, 4.0])), min_size=1, max_size=4)
)
def test_any_laws(pairs):
    assert_one_by_one(fh.batch([fh.Spectrum(t) for t, _ in pairs], [c for _, c in pairs]))


def test_a_row_of_points_for_each_law():
    laws = fh.batch(fh.Spectrum(W1), [0.1, 2.0])
    x = np.array([[0.5, 1.0, 9.0], [0.0, 5.0, 300.0]])
    for f in laws.pdf, laws.cdf:
        got = f(x)
        for i in range(2):
            np.testing.assert_array_equal(got[i], f(x[i])[i])
    np.testing.assert_array_equal(laws.stieltjes(x + 1j)[1], laws.stieltjes(x[1] + 1j)[1])
    for f in laws.pdf, laws.cdf, laws.stieltjes:
        with pytest.raises(ValueError, match=r"must have one row a law, 2; got shape \(3, 1\)"):
            f(np.ones((3, 1)))


def test_bad_laws_leave_their_neighbours():
    good = fh.batch([W1, W1], [0.1, 0.5])
    rows = [W1, [1.0, np.nan, 3.0], W1, [0.0, 0.0, 0.0], [-1.0, 2.0, 3.0], W1, W1, [1e-200, 1.0, 2.0], W1]
    laws = fh.batch(rows, [0.1, 0.5, np.nan, 0.5, 0.5, -1.0, 0.0, 0.5, 0.5])
    invalid = [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(np.flatnonzero(laws.status == fh.Status.INVALID), invalid)
    x, z = np.linspace(-1.0, 20.0, 11), np.array([1j, -2.0, 3 - 1j])
    for f, at in (("pdf", x), ("cdf", x), ("stieltjes", z)):
        got, want = getattr(laws, f)(at), getattr(good, f)(at)
        assert np.isnan(got[invalid]).all()
        np.testing.assert_array_equal(got[[0, 8]], want)
    assert [s.shape for s in laws.support] == [(3, 2), *[(0, 2)] * 7, (1, 2)]
    assert repr(laws) == "LawBatch(9 laws, 7 invalid)"
    none = fh.batch(fh.Spectrum(W1), [-1.0])
    assert np.isnan(none.pdf(x)).all()
    assert np.isnan(none.stieltjes(z)).all()


def test_bad_points_leave_their_neighbours():
    laws = fh.batch(fh.Spectrum(W1), [0.1, 0.5])
    np.testing.assert_array_equal(
        np.isnan(laws.pdf([1.0, np.nan, 2.0, np.inf])), [[False, True, False, False]] * 2
    )
    z = [5.0, -1.0, np.nan, 1j, 0.0, complex(1, np.inf)]
    bad = [[False, False, True, False, False, True], [True, False, True, False, False, True]]
    np.testing.assert_array_equal(np.isnan(laws.stieltjes(z)), bad)
    # on edges, on an atom
    laws = fh.batch(fh.Spectrum(W1), [0.1, 2.0])
    assert np.isnan(laws.stieltjes(laws.support[0].ravel())[0]).all()
    np.testing.assert_array_equal(np.isnan(laws.stieltjes([0.0])), [[False], [True]])


@pytest.mark.parametrize(
    ("spectra", "ratio", "error", "message"),
    [
        (fh.Spectrum(W1), [[0.5]], ValueError, r"^ratio must have at most one dimension; got shape \(1, 1\)"),
        (fh.Spectrum(W1), "a", TypeError, "^ratio must"),
        ([W1, W1], [0.5, 0.5, 0.5], ValueError, "^spectra and ratio must be as many; got 2 and 3"),
        ([fh.Spectrum(W1), W1], [0.5, 0.5], TypeError, "^spectra must all be of class Spectrum; got list"),
        (np.ones((2, 2, 2)), [0.5, 0.5], ValueError, "^spectra must have two dimensions"),
        ([], [0.5], ValueError, "^spectra must not be empty"),
        ([["a"]], [0.5], TypeError, "^spectra must"),
    ],
)  # fmt: skip
def test_bad_arguments(spectra, ratio, error, message):
    with pytest.raises(error, match=message):
        fh.batch(spectra, ratio)


@pytest.mark.slow
def test_a_thousand_laws():
    """Bits do not depend on what else is in the batch, nor on threads."""
    rng = np.random.default_rng(0)
    spectra = [fh.Spectrum(rng.lognormal(0, 1, rng.integers(1, 30))) for _ in range(1000)]
    ratio = rng.lognormal(0, 1, 1000)
    laws, x = fh.batch(spectra, ratio), np.linspace(0, 20, 300)
    pdf = laws.pdf(x)
    assert (laws.status == fh.Status.CONVERGED).all()
    for i in range(0, 1000, 97):
        np.testing.assert_array_equal(fh.batch([spectra[i]], [ratio[i]]).pdf(x)[0], pdf[i])
