"""Spectral laws: density, support, transform, atoms and quantiles against the oracle, closed forms, simulation."""

from __future__ import annotations

import itertools
import math
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import fasthde as fh
from tests import oracle_laws as o
from tests.common import EPS, powers

pairs = partial(zip, strict=True)

SC = "sample_covariance"
W1 = list(o.W1_VALUES)


def law_of(t, steps, w=None):
    law = fh.Law(fh.Spectrum(t) if w is None else fh.Spectrum(t, weights=w))
    for name, *parameters in steps:
        law = getattr(law, name)(*parameters)
    return law


def reference(t, w, steps, x, dps=20):
    """m and dm/dz at z = x + i0, or at complex z."""
    states = o._solve(t, w, steps, x, dps)[1]
    _, dz, m, dm = states[-1]
    return m, dm / dz


def check_density(law, t, w, steps, points, peak=None):
    """W1's criterion: 1e-13 of the peak, and what the rounding of x itself, and of the edges of its interval, does."""
    got = law.pdf(points)
    m, slope = np.array([reference(t, w, steps, mpf(float(x))) for x in points]).T
    want = np.array([float(v.imag / mp.pi) for v in m])
    slope = np.array([float(v.imag / mp.pi) for v in slope])
    allowed = 1e-13 * (want.max() if peak is None else peak) + 4 * EPS * np.abs(points * slope)
    edges = law.support
    at = np.clip(np.searchsorted(edges[:, 1], points), 0, len(edges) - 1)
    allowed += 4 * EPS * want * np.abs(edges[at]).max(axis=1) / np.diff(edges)[at, 0]
    assert (np.abs(got - want) <= allowed).all(), (np.abs(got - want) / allowed).max()


def inner_points(law, count=7):
    """Points of every interval, denser towards its edges."""
    u = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.concatenate([a + (b - a) * u for a, b in law.support] or [[]])


def check_transform(law, t, w, steps, z, rtol=1e-12, dps=20):
    """Status, residual, conjugate symmetry, and m within rtol and what the rounding of z does."""
    r = law.stieltjes(z, full_output=True)
    assert np.all(r.status == fh.Status.CONVERGED)
    assert np.all(r.success)
    assert np.max(r.residual) <= 1e-13
    np.testing.assert_array_equal(law.stieltjes(np.conj(z)), np.conj(r.value))
    for point, got in pairs(np.ravel(z), np.ravel(r.value)):
        m, slope = reference(t, w, steps, point, dps)
        allowed = rtol * abs(m) + 4 * EPS * abs(point) * abs(slope)
        assert abs(complex(got) - m) <= allowed, (point, got, complex(m))


def check_edges(law, want, rtol=1e-14):
    got = law.support
    assert got.shape == (len(want), 2)
    assert (got.ravel()[:-1] <= got.ravel()[1:]).all()
    with mp.workdps(50):
        for a, b in pairs(got.ravel(), [x for pair in want for x in pair]):
            assert abs(mpf(float(a)) - b) <= rtol * abs(b), (a, float(b))


# ----------------------------------------------------------------------------------------------------- density


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("c", [0.1, 0.5])
def test_w1_density(c, count):
    x, want = o.w1_reference(c, count, 30)
    law = fh.sample_covariance(fh.Spectrum(W1), c)
    got = law.pdf(x)
    slope = (law.pdf(x * (1 + 1e-6)) - law.pdf(x * (1 - 1e-6))) / 2e-6  # of x, times x
    np.testing.assert_array_less(np.abs(got - want), 1e-13 * want.max() + 4 * EPS * np.abs(slope) + 1e-300)


@pytest.mark.parametrize("c", [1.0, 2.0, 1e-4, 1e-2, 1e4, 1 - 1e-4, 1 + 1e-6])
def test_density_at_other_ratios(c):
    law = fh.sample_covariance(fh.Spectrum(W1), c)
    check_density(law, W1, None, [(SC, c)], inner_points(law, 9))


@pytest.mark.parametrize("spectrum", [[1, 3, 10], [1], [0, 1, 3]])
@pytest.mark.parametrize("c", [0.1, 1.0, 1.5, 3.0])
def test_density_outside_and_at_the_edges(spectrum, c):
    law = fh.sample_covariance(fh.Spectrum(spectrum), c)
    a, b = law.support[0, 0], law.support[-1, 1]
    hard = a == 0.0
    assert hard == (c * np.mean(np.array(spectrum) > 0) == 1.0)
    assert law.pdf(a) == (np.inf if hard else 0.0)
    assert law.pdf(b) == 0.0
    outside = [-np.inf, -1.0, np.nextafter(a, -1), np.nextafter(b, 1e9), 2 * b, np.inf]
    np.testing.assert_array_equal(law.pdf(outside), 0.0)
    assert np.isnan(law.pdf(np.nan))
    np.testing.assert_array_equal(np.isnan(law.pdf([np.nan, 1.0, np.nan, -1.0])), [True, False, True, False])
    for left, right in pairs(law.support[:-1, 1], law.support[1:, 0]):
        assert law.pdf(0.5 * (left + right)) == 0.0
    assert (law.pdf(inner_points(law)) > 0).all()


def test_shapes_of_values():
    law = fh.sample_covariance(fh.Spectrum(W1), 0.5)
    grid = np.linspace(0.2, 20, 12).reshape(3, 2, 2)
    for f in (law.pdf, law.cdf, law.stieltjes, lambda x: law.ppf(np.asarray(x) / 21)):
        assert f(grid).shape == (3, 2, 2)
        assert isinstance(f(grid[0, 0, 0]), float)
        assert isinstance(f(np.array(3)), float)
        assert f([]).shape == (0,)
        assert f(np.empty((0, 3))).shape == (0, 3)
        np.testing.assert_array_equal(f([1, 2]), f(np.array([1.0, 2.0])))
        np.testing.assert_array_equal(f(grid.T[::-1]), f(grid).T[::-1])
    assert isinstance(law.stieltjes(1j), complex)


def test_many_points_equal_few():
    """Above 200 000 points the evaluation runs in threads."""
    law = fh.sample_covariance(fh.Spectrum(W1), 0.1)
    x = np.linspace(-1, 16, 250_001)
    some = slice(None, None, 997)
    np.testing.assert_array_equal(law.pdf(x)[some], law.pdf(x[some]))
    np.testing.assert_array_equal(law.cdf(x)[some], law.cdf(x[some]))


# ------------------------------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("c", [0.1, 0.5, 1.0, 2.0, 1e-4, 1e4, 1 - 1e-6, 1 + 1e-6, 1 - 1e-12, 1 + 1e-12])
def test_w1_edges(c):
    """Relative to the edge also where it is 0.25 (1 - c)²: nothing cancels."""
    check_edges(fh.sample_covariance(fh.Spectrum(W1), c), o.scm_edges(W1, None, c))


@pytest.mark.slow
def test_w2_edges():
    law = fh.sample_covariance(fh.Spectrum(o.W2_VALUES), 0.5)
    check_edges(law, o.w2_edges())


def test_w2_edges_in_brief():
    """17 intervals, two of them 2.2e-5 apart; the top one by bisection of dz/ds in doubles."""
    law = fh.sample_covariance(fh.Spectrum(o.W2_VALUES), 0.5)
    assert law.support.shape == (17, 2)
    gaps = law.support[1:, 0] - law.support[:-1, 1]
    assert gaps.min() == pytest.approx(2.2e-5, rel=0.05)
    assert abs(law.expect(np.ones_like) - 1) <= 1e-13
    check_density(law, o.W2_VALUES, None, [(SC, 0.5)], law.support[[0, 5, 16]].mean(1))
    t = np.array(o.W2_VALUES)
    low, high = 1.0, 10.0
    for _ in range(200):
        s = 0.5 * (low + high)
        low, high = (s, high) if 5e-4 * np.sum((t / (s - t)) ** 2) > 1 else (low, s)
    assert law.support[-1, 1] == pytest.approx(s * (1 - 5e-4 * np.sum(t / (t - s))), rel=1e-14)


@pytest.mark.parametrize(
    ("values", "steps", "want", "digits"),
    [
        ([1, 3, 7], [(SC, 0.1)],
         [(0.600418, 1.285018), (1.936307, 3.999019), (4.928488, 9.984083)], 5e-7),
        ([1, 3, 5], [(SC, 0.1)], [(0.598747, 1.280686), (1.903417, 7.235208)], 5e-7),
        ([1, 7], [(SC, 0.1)] * 2, [(0.42347, 1.57701), (3.50884, 12.47013)], 5e-6),
        ([1, 7], [(SC, 2), ("shift", 0.1), (SC, 0.05)], [(0.06871, 0.13110), (0.46115, 29.949)], 5e-4),
        ([1], [(SC, 4), ("scale", 0.60570551), ("shift", -0.60570551),
               ("add_semicircle", 4 * (0.39429449 - 0.60570551**2))],
         [(-1.191829, -0.051656), (0.092444, 4.875798)], 5e-6),
        ([1], [(SC, 1), (SC, 1)], [(0, 6.75)], 1e-14),
        ([1], [(SC, 1), (SC, 1), (SC, 1)], [(0, 256 / 27)], 1e-14),
        ([0], [("add_semicircle", 0.25), ("shift", 3.0)], [(2, 4)], 1e-15),
        ([1], [("add_semicircle", 1.0), ("scale", 2.0)], [(-2, 6)], 1e-15),
    ],
)  # fmt: skip
def test_edges_known(values, steps, want, digits):
    """The page of equations, and Fuss-Catalan laws (L + 1)^(L + 1)/L^L."""
    np.testing.assert_allclose(law_of(values, steps).support, want, rtol=0, atol=digits)


@pytest.mark.parametrize("c", [1e-6, 0.1, 0.5, 1 - 1e-8, 1.0, 1 + 1e-8, 3.0, 1e6])
def test_edges_of_marchenko_pastur(c):
    with mp.workdps(40):
        root = mp.sqrt(mpf(c))
        check_edges(fh.marchenko_pastur(c).scale(2.0), [(2 * (1 - root) ** 2, 2 * (1 + root) ** 2)], 4 * EPS)


@pytest.mark.parametrize("gap", [0, 1])
@pytest.mark.parametrize("closeness", [1e-3, 3e-4, 1e-5, 3e-6, 1e-8, 1e-11, -1e-5, -1e-8, -1e-12])
def test_nearly_merging_intervals(gap, closeness):
    """c just below (above) the value at which a gap closes: relative widths 2e-5, 3e-6, 2e-8, … 2e-17."""
    with mp.workdps(50):
        low, high = mpf(W1[gap]), mpf(W1[gap + 1])
        for _ in range(150):
            s = (low + high) / 2
            left = mp.fsum(t * t / (s - t) ** 3 for t in W1) > 0
            low, high = (s, high) if left else (low, s)
        c = float(3 / mp.fsum((t / (s - t)) ** 2 for t in W1) * (1 - mpf(closeness)))
    law = fh.sample_covariance(fh.Spectrum(W1), c)
    want = o.scm_edges(W1, None, c, 50)
    assert len(want) == 3 - gap - (closeness < 0)
    check_edges(law, want)
    assert abs(law.expect(np.ones_like) - 1) <= 1e-14
    assert law.moment(2) == pytest.approx(float(o.free_moments(W1, None, [(SC, c)], 2)[1]), rel=1e-14)
    where = inner_points(law, 3)
    check_density(law, W1, None, [(SC, c)], where)


@pytest.mark.parametrize("name", list(o.CHAINS))
def test_edges_of_chains_by_bracketing(name):
    """1e-14 to either side of every edge the oracle finds density, and none; no interval is missing, the mass is 1."""
    steps = o.CHAINS[name]
    law = law_of(W1, steps)
    size = np.abs(law.support).max()
    assert abs(law.expect(np.ones_like) - 1) <= 1e-13
    for a, b in law.support:
        for edge, inward in (a, 1), (b, -1):
            # an edge much closer to 0 than the support is wide: the steps add numbers of that size
            step = 1e-14 * max(abs(edge), 0.01 * size)
            with mp.workdps(40):
                inside, outside = (mpf(float(edge)) + sign * inward * mpf(step) for sign in (1, -1))
            assert o.chain_density(W1, None, steps, inside, 20) > 0
            assert o.chain_density(W1, None, steps, outside, 20) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", list(o.CHAINS))
def test_edges_of_chains(name):
    want = o.chain_edges(W1, None, o.CHAINS[name], 30)
    law = law_of(W1, o.CHAINS[name])
    size = float(max(abs(x) for pair in want for x in pair))
    np.testing.assert_allclose(law.support, np.array(want, float), rtol=1e-14, atol=1e-16 * size)


# --------------------------------------------------------------------------------------------------- transform


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("c", [0.1, 0.5, 2.0])
def test_w3_transform(c, every):
    """600 points above the hull, down to Im z = 1e-6, and 33 ridges: no wrong branch, 1e-12."""
    z = o.w3_points(c=c)[::every]
    law = fh.sample_covariance(fh.Spectrum(W1), c)
    np.testing.assert_allclose(law.stieltjes(z), o.w3_reference(c=c, points=z), rtol=1e-12)


@pytest.mark.parametrize("c", [0.1, 0.5, 1.0, 2.0])
def test_ridge_side(c):
    """Real z: float64, and the same numbers as complex z on the axis."""
    law = fh.sample_covariance(fh.Spectrum(W1), c)
    z = -np.geomspace(1e-12, 1e6, 19)
    m = law.stieltjes(z)
    assert m.dtype == np.float64
    want = [float(o.chain_stieltjes(W1, None, [(SC, c)], mpf(float(x)), 25).real) for x in z]
    np.testing.assert_allclose(m, want, rtol=1e-13)
    np.testing.assert_allclose(law.stieltjes(z + 0j), want, rtol=1e-13)


def _companion_roots(t, c, z):
    """m of a sample covariance from all roots in s, by eigenvalues of companion matrices in double precision."""
    full = np.poly(t)
    inner = sum(c / len(t) * x * np.poly(np.delete(t, j)) for j, x in enumerate(t))
    for point in z:
        # z (t - s)… = s (Π(s - t) + c Σ w t Π'(s - t))
        poly = np.polysub(np.append(np.polyadd(full, inner), 0.0), point * np.append(0.0, full))
        roots = np.roots(poly)
        s = roots[roots.imag.argmax()]
        yield np.mean(s / (point * (t - s)))


@pytest.mark.slow
@pytest.mark.parametrize("c", [0.1, 0.5, 2.0, 30.0])
def test_no_wrong_branch(c):
    """12 000 points a hair above the axis, from all polynomial roots: spectra with gaps, hull and beyond."""
    rng = np.random.default_rng(0)
    for t in W1, [0.01, 1.0, 1.1, 4.0, 40.0], np.arange(1, 9.0) ** -1.2:
        law = fh.sample_covariance(fh.Spectrum(t), c)
        a, b = law.support[0, 0], law.support[-1, 1]
        z = rng.uniform(a - 0.1 * (b - a), b + 0.1 * (b - a), 1000) + 1e-4j
        r = law.stieltjes(z, full_output=True)
        assert (r.status == fh.Status.CONVERGED).all()
        want = np.array(list(_companion_roots(np.array(t), c, z)))
        np.testing.assert_allclose(r.value, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.slow
def test_no_wrong_branch_w2():
    """W2's 1000 levels: Im m against the density smoothed at Im z = 1e-4."""
    law = fh.sample_covariance(fh.Spectrum(o.W2_VALUES), 0.5)
    rng = np.random.default_rng(1)
    z = rng.uniform(-0.1, 5.0, 12_000) + 1e-4j
    r = law.stieltjes(z, full_output=True)
    assert (r.status == fh.Status.CONVERGED).all()
    assert r.residual.max() <= 1e-13
    x, weight = law._series.rule()
    x, weight = x.ravel(), weight.ravel()
    far = np.abs(x[:, None] - z.real[:400]).min(0) > 0  # every point of the rule differs from z
    direct = np.array([np.sum(weight / (x - v)) for v in z[:400]])
    smooth = np.array([np.abs(law.pdf(v.real)) for v in z[:400]]) == 0.0  # off the support the rule is exact
    np.testing.assert_allclose(r.value[:400][far & smooth], direct[far & smooth], rtol=1e-8)
    np.testing.assert_allclose(r.value.imag / np.pi, law.pdf(z.real), atol=0.15 * law.pdf(z.real).max())


def test_false_root_is_refused():
    """{1, 7}, two steps: a second root has Im s > 0 and Im m > 0 as well (page of equations, section 1)."""
    law = law_of([1, 7], [(SC, 0.3), (SC, 0.4)])
    s = law._solve(np.array([2 + 0.05j]))[1][0]
    assert abs(s - (3.160 + 1.026j)) < 8e-4
    check_transform(law, [1, 7], None, [(SC, 0.3), (SC, 0.4)], np.array([2 + 0.05j, 2 + 1e-9j]))


@pytest.mark.parametrize("name", list(o.CHAINS))
def test_transform_of_chains(name):
    steps = o.CHAINS[name]
    law = law_of(W1, steps)
    low, high = law._hull()
    x = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), 6)
    z = (x[:, None] + 1j * (high - low) * np.array([1.0, 1e-2, 1e-6])).ravel()
    check_transform(law, W1, None, steps, z, 1e-13)


@pytest.mark.parametrize("name", list(o.CHAINS))
def test_density_of_chains(name):
    law = law_of(W1, o.CHAINS[name])
    check_density(law, W1, None, o.CHAINS[name], inner_points(law, 5))


@pytest.mark.parametrize(
    "z", [1e300 + 1e300j, 1e-300 + 1e-300j, 1e150j, 1e-12j, 3 + 1e-300j, -1e-300, -1e300, 1e300]
)
@pytest.mark.parametrize("c", [0.5, 1.0, 2.0])
def test_transform_at_extreme_points(c, z):
    """m = -1/z far away; near 0 it is m(0), or diverges like -mass/z and 1/√-z."""
    for t in W1, [1.0]:
        law = fh.sample_covariance(fh.Spectrum(t), c)
        r = law.stieltjes(z, full_output=True)
        assert r.status == fh.Status.CONVERGED
        if abs(z) > 1e100:
            assert r.value == pytest.approx(-1 / z, rel=1e-14)
        elif abs(z) < 1e-100 and c != 1.0:
            near = fh.sample_covariance(fh.Spectrum(t), c).stieltjes(-1e-20)
            assert r.value == pytest.approx(near if c < 1 else -0.5 / z, rel=1e-14)
        elif abs(z) < 1e-100:
            assert r.value == pytest.approx(law.stieltjes(-1e-20) * np.sqrt(1e-20 / -z + 0j), rel=1e-9)
        elif z == 3 + 1e-300j:
            assert r.value == pytest.approx(law.stieltjes(3.0, side="+"), rel=1e-14)


def test_on_the_support():
    law = fh.sample_covariance(fh.Spectrum(W1), 2.0)
    a, b = law.support[0]
    mid = 0.5 * (a + b)
    r = law.stieltjes([mid, a, b, 0.0, -1.0, 2 * b], full_output=True)
    np.testing.assert_array_equal(np.isnan(r.value), [True, True, True, True, False, False])
    np.testing.assert_array_equal(r.status, [fh.Status.INVALID] * 4 + [fh.Status.CONVERGED] * 2)
    np.testing.assert_array_equal(r.success, [False] * 4 + [True] * 2)
    assert np.isnan(r.residual[:4]).all()
    assert "INVALID" in repr(r)
    up, down = law.stieltjes(mid, side="+"), law.stieltjes(mid, side="-")
    assert up == np.conj(down)
    assert up.imag == pytest.approx(np.pi * law.pdf(mid), rel=1e-13)
    assert up == pytest.approx(law.stieltjes(mid + 1e-13j), rel=1e-11)
    for side in "+", "-":  # off the support both limits are the value; at an atom there is none
        sided = law.stieltjes([-1.0, 2 * b], side=side)
        assert sided.dtype == np.complex128
        np.testing.assert_array_equal(sided, r.value[4:])
        assert np.isnan(law.stieltjes(0.0, side=side))
        assert abs(law.stieltjes(b, side=side) - law.stieltjes(b * (1 + 1e-14))) < 1e-5
    assert np.isnan(law.stieltjes(mid + 0j))
    assert law.stieltjes(complex(mid, -0.0), side="-") == down


@pytest.mark.parametrize(
    "law", [fh.semicircle(), fh.marchenko_pastur(0.5), fh.sample_covariance(fh.Spectrum(W1), 0.5)]
)
def test_bad_elements_of_z_leave_their_neighbours(law):
    bad = [
        np.nan,
        np.inf,
        -np.inf,
        complex(np.nan, 1),
        complex(1, np.nan),
        complex(np.inf, 1),
        complex(1, np.inf),
    ]
    good = np.array([1 + 1j, -5.0, 3 - 2j, 100.0])
    z = np.array([bad[0], good[0], *bad[1:5], good[1], good[2], *bad[5:], good[3]], complex)
    r = law.stieltjes(z, full_output=True)
    clean = np.isin(z, good)
    np.testing.assert_array_equal(r.value[clean], law.stieltjes(good))
    assert np.isnan(r.value[~clean]).all()
    assert (r.status[~clean] == fh.Status.INVALID).all()
    assert (r.status[clean] == fh.Status.CONVERGED).all()
    real = law.stieltjes([np.nan, -5.0, np.inf])
    assert real.dtype == np.float64
    np.testing.assert_array_equal(np.isnan(real), [True, False, True])


# -------------------------------------------------------------------------------------------- chains at random

_ratios = st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0]) | powers(-1.5, 1.5)

_operations = st.one_of(
    st.tuples(st.just(SC), _ratios),
    st.tuples(st.just(SC), _ratios),
    st.tuples(st.just("scale"), powers(-1, 1)),
    st.tuples(st.just("shift"), st.sampled_from([0.5, 2.0, -0.2, -1.0])),
    st.tuples(st.just("add_semicircle"), powers(-2, 1)),
    st.tuples(st.just("add_wishart"), _ratios, powers(-1, 1)),
    st.lists(
        st.tuples(st.sampled_from([-1.0, 0.0, 0.3, 1.0, 4.0]), st.integers(1, 4)), min_size=1, max_size=3
    )
    .filter(lambda rows: any(v for v, _ in rows))  # nothing is added: the oracle knows no such step
    .flatmap(
        lambda rows: st.tuples(
            st.just("add_compound_poisson"),
            _ratios,
            st.just([v for v, _ in rows]),
            st.just([float(k) for _, k in rows]),
        )
    ),
    st.tuples(st.just("multiply_inverse_wishart"), st.sampled_from([0.05, 0.3, 0.5, 0.8])),
    st.tuples(st.just("corner"), st.sampled_from([0.2, 0.5, 0.9])),
    st.just(("companion",)),
)


def _loss(step):
    """What a step takes from the mass of every atom, where that does not depend on the atom."""
    if step[0] == "corner":
        return 1.0 - step[1]
    if step[0] == "add_wishart":
        return 1.0 / step[1]
    if step[0] == "add_compound_poisson":
        return sum(k for v, k in pairs(step[2], step[3]) if v != 0.0) / sum(step[3]) / step[1]
    return np.inf


@st.composite
def random_chains(draw):
    """(t, w, steps, law): up to four operations of any kind on up to four levels, zeros and duplicates included."""
    t = draw(st.lists(st.sampled_from([0.0, 1.0, 3.0]) | powers(-1.5, 1.5), min_size=1, max_size=4))
    t = t if any(t) else [*t, 1.0]
    # nearer coincidences have tests of their own
    assume(all(a == b or abs(a - b) > 1e-5 * max(a, b) for a, b in itertools.combinations(t, 2)))
    w = [float(k) for k in draw(st.lists(st.integers(1, 5), min_size=len(t), max_size=len(t)))]
    law, steps, data = law_of(t, [], w), [], False
    for step in draw(st.lists(_operations, min_size=1, max_size=4)):
        if step[0] == "companion" and not data:
            continue
        low, high = law._hull()
        refused = step[0] in (SC, "multiply_inverse_wishart") and (low < 0.0 or low == high == 0.0)
        if refused:  # the law has a negative part, or it is 0
            with pytest.raises(ValueError, match="semidefinite" if low < 0.0 else "not zero"):
                getattr(law, step[0])(*step[1:])
            continue
        # An atom away from 0 that a step uses up exactly leaves an infinite density where x knows its distance to
        # rounding only (tested above, less sharply), or, with noise of both signs, within the support (not covered).
        loss = _loss(step)
        assume(all(abs(m - loss) > 1e-6 for x, m in law.atoms if x != 0.0 or len(step) == 4))
        law = getattr(law, step[0])(*step[1:])
        steps.append(step)
        data = step[0] == SC or (data and step[0] == "scale")
    return t, w, steps, law


def _check_chain(t, w, steps, law):
    atoms = {float(x): float(m) for x, m in o.chain_atoms(t, w, steps).items()}
    assert len(law.atoms) == len(atoms)
    for (x, mass), y in pairs(law.atoms, sorted(atoms)):
        assert x == pytest.approx(y, rel=1e-14, abs=1e-15)
        assert mass == pytest.approx(atoms[y], abs=1e-14)
    assert abs(law.expect(np.ones_like) - 1) <= 1e-12
    for k, want in enumerate(o.free_moments(t, w, steps), 1):
        assert abs(law.moment(k) - float(want)) <= 1e-12 * law.expect(lambda x, k=k: np.abs(x) ** k)
    low, high = law._hull()
    span = max(high - low, 1e-2 * max(abs(low), abs(high))) or 1.0
    z = np.array(
        [low + 0.3 * span + 0.1j * span, low - 0.1 * span + 1e-4j * span, high - 0.2 * span + 1e-3j * span]
    )
    check_transform(law, t, w, steps, z)
    assert abs(law.expect(lambda x: 1 / (x - z[0])) - law.stieltjes(z[0])) <= 1e-12 * abs(law.stieltjes(z[0]))
    real = np.array([low - 0.3 * span, high + 0.3 * span])
    check_transform(law, t, w, steps, real)
    assert law.stieltjes(real).dtype == np.float64
    assert law.cdf(low - 0.1 * span) == 0.0
    assert law.cdf(high) == pytest.approx(1.0, abs=1e-12)
    points = inner_points(law, 1)
    if points.size:
        check_density(law, t, w, steps, points, law.pdf(inner_points(law, 9)).max())


@settings(max_examples=50)
@given(random_chains())
def test_random_chains(case):
    _check_chain(*case)


@pytest.mark.slow
@settings(max_examples=1500)
@given(random_chains())
def test_many_random_chains(case):
    _check_chain(*case)


@pytest.mark.parametrize(
    ("t", "w", "steps"),
    [
        ([0, 1], [1, 1], [(SC, 2.0)]),  # hard edge with an atom of mass 1/2 on it
        ([0, 1, 5], None, [(SC, 1.5), (SC, 1.5)]),
        (W1, None, [(SC, 2.0), (SC, 2.0)]),
        (W1, None, [(SC, 1.0)] * 4),
        (W1, None, [(SC, 1.0), ("shift", 1.0), (SC, 1.0)]),
        (W1, None, [(SC, 4.0), ("companion",), (SC, 1.0)]),
        (W1, None, [(SC, 1.0), ("multiply_inverse_wishart", 0.5)]),
        ([0, 1, 5], None, [("add_wishart", 3.0, 1.0)]),  # atoms of mass 1/c: gone, hard edges in their place
        ([0, 1, 5], None, [("corner", 2 / 3)]),
        ([0, 1], None, [("corner", 0.5), (SC, 1.0)]),
        ([0, 1], [4, 1], [("corner", 0.2)]),
        ([1], None, [(SC, 5.0), ("corner", 0.2)]),
        ([3], None, [(SC, 5.0), (SC, 0.1), ("corner", 0.2)]),
        (W1, None, [(SC, 1 + 1e-8), (SC, 1.0)]),
        (W1, None, [(SC, 1 - 1e-8), (SC, 1 - 1e-8)]),
        ([1e-6, 1, 1e6], None, [(SC, 0.5), ("add_wishart", 2.0, 1.0)]),
        ([1], None, [("add_semicircle", 1e-4), (SC, 0.5)]),
        ([1, 3], None, [("add_semicircle", 4.0), ("shift", 20.0), (SC, 0.5), ("add_semicircle", 0.1)]),
    ],
)
def test_chosen_chains(t, w, steps):
    """Hard edges of higher order, on atoms and in company; scales far apart."""
    _check_chain(t, w, steps, law_of(t, steps, w))


# -------------------------------------------------------------------------------------------------- simulation

_SIMULATED = {
    "sc": [(SC, 0.5)],
    "five steps": o.CHAINS["five steps"],
    "compound Poisson c=5": o.CHAINS["compound Poisson c=5"],
    "sc inverse semicircle corner": o.CHAINS["sc inverse semicircle corner"],
    "companion": o.CHAINS["companion"],
}


def _check_simulation(steps, p, draws, seed):
    """Spectra of random matrices: m at three points within 4 standard errors, and the distance of the distributions.

    Allowance for real matrices: 3/p of m, 6/p in the cdf (bias, and the jump of an empirical cdf).
    """
    law = law_of(W1, steps)
    rng = np.random.default_rng(seed)
    x = np.array([o.spectrum(o.chain_matrix(W1, steps, p, rng)) for _ in range(draws)])
    low, high = law._hull()
    for u in 0.1, 0.5, 0.9:
        z = low + (high - low) * (u + 0.2j)
        rows = (1 / (x - z)).mean(1)
        error = np.std(rows) / np.sqrt(max(draws - 1, 1))
        assert abs(rows.mean() - law.stieltjes(z)) <= 4 * error + 3 / p * abs(law.stieltjes(z)), z
    flat = np.sort(x.ravel())
    for a, mass in law.atoms:
        near = np.abs(flat - a) < 1e-7 * (high - low)
        assert near.mean() == pytest.approx(mass, abs=1e-12)
        flat[near] = a
    level = np.arange(flat.size + 1) / flat.size
    left = law.cdf(np.nextafter(flat, -np.inf))
    assert np.maximum(np.abs(law.cdf(flat) - level[1:])[np.append(np.diff(flat) > 0, True)].max(), 0) <= 6 / p
    assert np.abs(left - level[:-1])[np.append(True, np.diff(flat) > 0)].max() <= 6 / p


@pytest.mark.parametrize("name", list(_SIMULATED))
def test_against_simulation(name):
    _check_simulation(_SIMULATED[name], 360, 10, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(o.CHAINS))
def test_against_large_simulation(name):
    _check_simulation(o.CHAINS[name], 1500, 2, 2)


@pytest.mark.slow
@settings(max_examples=15, derandomize=True, phases=[Phase.generate])
@given(random_chains())
def test_random_chains_against_large_simulation(case):
    """Ten matrices of dimension 1500: the transform within 4 standard errors and the bias of real ones, 3/p."""
    t, w, steps, law = case
    ratios = [s[1] for s in steps if s[0] not in ("scale", "shift", "add_semicircle", "corner", "companion")]
    assume(all(0.2 <= c <= 5.0 for c in ratios) and len({s[0] for s in steps}) >= 2)  # what fits the memory
    low, high = law._hull()
    assume(high > low)
    z = low + (high - low) * (np.array([0.1, 0.5, 0.9]) + 0.2j)
    mean, error = o.simulate_stieltjes(t, steps, z, 1500, 10, 5, w)
    want = law.stieltjes(z)
    assert (np.abs(mean - want) <= 4 * error + 3 / 1500 * np.abs(want)).all()


# ------------------------------------------------------------------------------------------- atoms and quantiles


@pytest.mark.parametrize(
    ("t", "w", "steps", "want"),
    [
        ([1, 3], None, [], [(1, 0.5), (3, 0.5)]),
        ([3, 1, 3], None, [("scale", 2.0), ("shift", -7.0)], [(-5, 1 / 3), (-1, 2 / 3)]),
        ([1], None, [(SC, 4.0)], [(0, 0.75)]),
        ([1], None, [(SC, 4.0), ("shift", 1.0)], [(1, 0.75)]),
        ([1], None, [(SC, 4.0), ("companion",)], []),
        ([1], None, [(SC, 0.25), ("companion",)], [(0, 0.75)]),
        ([1], None, [(SC, 0.25), ("scale", 3.0), ("shift", 2.0), ("companion",)], [(2, 0.75)]),
        ([0, 1], [3, 1], [(SC, 0.5)], [(0, 0.75)]),
        ([0, 1], [3, 1], [(SC, 2.0)], [(0, 0.75)]),
        ([0, 1], [3, 1], [(SC, 8.0)], [(0, 0.875)]),
        ([0, 1], [3, 1], [(SC, 8.0), (SC, 2.0)], [(0, 0.875)]),
        ([0, 1], [3, 1], [(SC, 8.0), (SC, 16.0)], [(0, 0.9375)]),
        ([0, 1], [3, 1], [(SC, 8.0), ("companion",)], []),
        ([0, 1], [3, 1], [("multiply_inverse_wishart", 0.5)], [(0, 0.75)]),
        ([0, 1], [3, 1], [("add_wishart", 2.0, 1.0)], [(0, 0.25)]),
        ([0, 1], [3, 1], [("add_wishart", 8.0, 5.0)], [(0, 0.625), (1, 0.125)]),
        ([0, 1], [3, 1], [("add_wishart", 4 / 3, 1.0)], []),
        ([0, 1], [3, 1], [("add_wishart", 0.5, 1.0)], []),
        ([0, 1], [3, 1], [("shift", 3.0), ("add_wishart", 2.0, 1.0)], [(3, 0.25)]),
        ([0, 1], [3, 1], [("add_compound_poisson", 1.0, [0, 1, -2], [0.5, 0.25, 0.25]), ("shift", 2.0)],
         [(2, 0.25)]),
        ([0, 1], [3, 1], [("corner", 0.5)], [(0, 0.5)]),
        ([0, 1], [3, 1], [("corner", 0.125)], []),
        ([0, 1], [1, 1], [("shift", 1.0), ("corner", 0.75)], [(1, 1 / 3), (2, 1 / 3)]),
        ([0, 1], [3, 1], [("add_semicircle", 0.1)], []),
        ([1], None, [("corner", 0.5), ("scale", 2.0)], [(2, 1)]),
        ([1], None, [(SC, 2.0), ("shift", -1.0), ("add_wishart", 4.0, 1.0), ("scale", 2.0)], [(-2, 0.25)]),
    ],
)  # fmt: skip
def test_atoms(t, w, steps, want):
    law = law_of(t, steps, w)
    assert [a for a, _ in law.atoms] == [a for a, _ in want]
    np.testing.assert_allclose([m for _, m in law.atoms], [m for _, m in want], rtol=0, atol=4 * EPS)
    for a, m in law.atoms:
        assert isinstance(a, float)
        assert isinstance(m, float)
        assert law.cdf(a) - law.cdf(np.nextafter(a, -np.inf)) == pytest.approx(m, abs=1e-9)
        assert np.isnan(law.stieltjes(a))
        assert law.ppf(law.cdf(a) - 0.5 * m) == a
    if law.atoms:
        a, m = law.atoms[0]
        # to the rounding of a against the distance
        assert law.stieltjes(a + 1e-12j) * -1e-12j == pytest.approx(m, rel=1e-5 + 4 * EPS * abs(a) / 1e-12)


_QUANTILES = {
    "W1": (W1, None, [(SC, 0.1)]),
    "two thirds at 0": (W1, None, [(SC, 3.0)]),
    "atoms between intervals": ([0, 1, 9], None, [("add_wishart", 8.0, 1.0)]),
    "negative": (W1, None, [(SC, 3.0), ("shift", -2.0)]),
    "hard": (W1, None, [(SC, 1.0)]),
    "hard of order 2": (W1, None, [(SC, 1.0), (SC, 1.0)]),
    "semicircle": ([0], None, [("add_semicircle", 1.0)]),
    "points": ([1, 2, 5], [1, 1, 2], []),
}


@pytest.mark.parametrize("name", list(_QUANTILES))
def test_quantiles(name):
    t, w, steps = _QUANTILES[name]
    law = law_of(t, steps, w)
    low, high = law._hull()
    q = np.concatenate(([0.0, 1e-300, 1e-12], np.linspace(0, 1, 101)[1:-1], [1 - 1e-12, 1.0]))
    x = law.ppf(q)
    assert (np.diff(x) >= 0).all()
    assert x[0] == low
    assert x[-1] == pytest.approx(high, rel=1e-15)
    cdf = law.cdf(x)
    at_atom = np.isin(x, [a for a, _ in law.atoms])
    # the rounding of x moves the mass by pdf · eps|x|
    slack = 1e-14 + 4 * EPS * np.abs(x) * np.nan_to_num(law.pdf(x), posinf=0.0)
    assert (cdf[1:] >= (q - slack)[1:]).all()
    np.testing.assert_array_less(np.abs(cdf - q)[~at_atom][1:], slack[~at_atom][1:])
    points = inner_points(law, 5)
    np.testing.assert_allclose(
        law.ppf(law.cdf(points)), points, rtol=0, atol=1e-13 * np.abs([low, high]).max()
    )
    np.testing.assert_array_equal(
        np.isnan(law.ppf([-1e-9, 1 + 1e-9, np.nan, -np.inf, np.inf, 0.5])), [True] * 5 + [False]
    )
    assert isinstance(law.ppf(0.5), float)


def test_quantiles_at_jumps():
    """cdf of {1: 1/4, 2: 1/4, 5: 1/2} and of an atom below a bulk, at and around the levels of the jumps."""
    law = fh.Law(fh.Spectrum([1, 2, 5], weights=[1, 1, 2]))
    np.testing.assert_array_equal(
        law.ppf([0, 0.25, np.nextafter(0.25, 1), 0.5, np.nextafter(0.5, 1), 1]), [1, 1, 2, 2, 5, 5]
    )
    np.testing.assert_array_equal(
        law.cdf([0.9, 1, 1.5, 2, 4.9, 5, 9, np.inf, -np.inf]), [0, 0.25, 0.25, 0.5, 0.5, 1, 1, 1, 0]
    )
    assert np.isnan(law.cdf(np.nan))
    law = fh.marchenko_pastur(4.0)
    np.testing.assert_array_equal(law.ppf([0, 1e-9, 0.75]), 0.0)
    assert law.ppf(np.nextafter(0.75, 1)) == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_array_equal(law.cdf([-1e-300, 0.0, 0.5, 1.0]), [0, 0.75, 0.75, 0.75])
    law = fh.sample_covariance(fh.Spectrum(W1), 0.1)  # gaps: a third of the mass to the left of each
    for k in (1, 2):
        assert law.cdf(0.5 * (law.support[k - 1, 1] + law.support[k, 0])) == pytest.approx(k / 3, abs=1e-14)
        assert law.support[k - 1, 1] * (1 - 1e-4) <= law.ppf(k / 3) <= law.support[k, 0] * (1 + 1e-4)


@pytest.mark.parametrize("name", list(_QUANTILES))
def test_draws(name):
    t, w, steps = _QUANTILES[name]
    law = law_of(t, steps, w)
    n = 20_000
    x = np.sort(law.rvs(n, rng=7))
    assert abs(x.mean() - law.mean()) <= 4 * law.std() / np.sqrt(n)
    level = np.arange(n + 1) / n
    last, first = np.append(np.diff(x) > 0, True), np.append(True, np.diff(x) > 0)
    distance = max(
        np.abs(law.cdf(x) - level[1:])[last].max(),
        np.abs(law.cdf(np.nextafter(x, -np.inf)) - level[:-1])[first].max(),
    )
    assert distance <= 1.95 / np.sqrt(n)  # one in a thousand
    for a, m in law.atoms:
        assert abs(np.mean(x == a) - m) <= 4 * np.sqrt(m * (1 - m) / n)


def test_draws_seed_and_shape():
    law = fh.marchenko_pastur(2.0)
    assert isinstance(law.rvs(rng=0), float)
    assert law.rvs((2, 3), rng=0).shape == (2, 3)
    np.testing.assert_array_equal(law.rvs(5, rng=3), law.rvs(5, rng=np.random.default_rng(3)))
    np.testing.assert_array_equal(law.rvs(5, rng=3), law.rvs(5, rng=np.random.SeedSequence(3)))
    rng = np.random.default_rng(3)
    assert not np.array_equal(law.rvs(5, rng=rng), law.rvs(5, rng=rng))
    assert not np.array_equal(law.rvs(5), law.rvs(5))


# ------------------------------------------------------------------------------------------------ closed forms


def _mp_density(c, x):
    """Marchenko-Pastur density and its relative sensitivity to the rounding of x."""
    with mp.workdps(40):
        c, x = mpf(c), mpf(float(x))
        a, b = (1 - mp.sqrt(c)) ** 2, (1 + mp.sqrt(c)) ** 2
        f = mp.sqrt((x - a) * (b - x)) / (2 * mp.pi * c * x)
        return float(f), float(x * (0.5 / (x - a) + 0.5 / (b - x) + 1 / x))


@pytest.mark.parametrize("c", [0.1, 0.5, 1.0, 2.0, 50.0, 1 - 1e-8, 1 + 1e-8, 1 - 1e-12, 1 + 1e-12, 1e-3, 1e3])
def test_marchenko_pastur_in_closed_form_and_by_series(c):
    law = fh.marchenko_pastur(c)
    assert law._closed is not None
    (a, b) = law.support[0]
    x = a + (b - a) * np.concatenate((np.linspace(0.02, 0.98, 13) ** 2, [1e-3, 1e-5]))
    want, sensitivity = np.array([_mp_density(c, v) for v in x]).T
    allowed = want * (1e-13 + 4 * EPS * sensitivity)
    np.testing.assert_array_less(np.abs(law.pdf(x) - want), allowed)
    np.testing.assert_array_less(np.abs(law._series.density(x) - want), allowed)
    np.testing.assert_allclose(law._outside.edges, [a, b], rtol=8 * EPS, atol=1e-30)
    z = np.concatenate((x + 1e-3j, x + 1j, [1j, -1 + 1e-6j, 1e3 + 1e-9j]))
    np.testing.assert_allclose(law.stieltjes(z), law._solve(z)[0], rtol=1e-12)
    real = np.array([-1e3, -1.0, -1e-3, 1.5 * b, 1e3 * b])
    np.testing.assert_allclose(law.stieltjes(real), law._solve_real(real)[0], rtol=1e-13)
    with mp.workdps(40):
        for point, m in pairs(z, law.stieltjes(z)):
            p, c_, y = 1 - mpf(c) - mp.mpc(point), mpf(c), mp.mpc(point)
            roots = [(p + sign * mp.sqrt(p * p - 4 * c_ * y)) / (2 * c_ * y) for sign in (1, -1)]
            best = min(roots, key=lambda r: abs(r - complex(m)))
            assert abs(complex(m) - best) <= 1e-12 * abs(best)
            assert best.imag > 0


@pytest.mark.parametrize("variance", [1e-6, 1.0, 1e6])
def test_semicircle_in_closed_form_and_by_series(variance):
    law = fh.semicircle(variance).shift(0.25)
    assert law._closed is not None
    r = 2 * np.sqrt(variance)
    x = r * np.linspace(-0.99, 0.99, 15)
    want = np.sqrt(r * r - x * x) / (2 * np.pi * variance)
    atol = 1e-13 * want.max() * max(1.0, 1e-3 / r)  # x + 1/4 is rounded
    np.testing.assert_allclose(law.pdf(x + 0.25), want, rtol=0, atol=atol)
    np.testing.assert_allclose(law._series.density(x + 0.25), want, rtol=0, atol=atol)
    z = 0.25 + r * (np.linspace(-1.5, 1.5, 7) + 0.01j)
    m = law.stieltjes(z)
    y = z - 0.25
    np.testing.assert_allclose(variance * m * m + y * m + 1, 0, atol=1e-12)
    np.testing.assert_allclose(m, law._solve(z)[0], rtol=1e-12)


@pytest.mark.parametrize("c", [1 - 1e-8, 1 + 1e-8, 1 - 1e-10, 1 + 1e-10, 1 - 1e-12, 1 + 1e-12, 1 + 1e-15])
def test_ratios_next_to_one(c):
    """A soft edge at 1e-17 … 1e-31 under a density of 1e4 … 1e15: the bulk does not notice it."""
    law = fh.sample_covariance(fh.Spectrum(W1), c)
    assert abs(law.expect(np.ones_like) - 1) <= 1e-13
    for k, want in enumerate(o.free_moments(W1, None, [(SC, c)]), 1):
        assert law.moment(k) == pytest.approx(float(want), rel=1e-13)
    x = np.array([1e-3, 0.1, 1.0, 5.0, 10.0, 20.0])
    check_density(law, W1, None, [(SC, c)], x)
    np.testing.assert_allclose(
        law.cdf(x), fh.sample_covariance(fh.Spectrum(W1), 1.0).cdf(x), atol=2e-4 * np.sqrt(abs(c - 1)) + 1e-13
    )


@pytest.mark.parametrize(("c1", "c2"), [(0.2, 0.4), (0.5, 0.01), (2.0, 0.5), (1.0, 0.5), (0.9, 0.9)])
def test_wachter(c1, c2):
    """(1 - c2) √((b - x)(x - a))/(2π x (c1 + c2 x)), Wachter (1980)."""
    law = fh.wachter(c1, c2)
    h = np.sqrt(c1 + c2 - c1 * c2)
    a, b = ((1 - h) / (1 - c2)) ** 2, ((1 + h) / (1 - c2)) ** 2
    np.testing.assert_allclose(law.support, [[a, b]], rtol=1e-14, atol=1e-30)
    assert law.atoms == ([(0.0, 1 - 1 / c1)] if c1 > 1 else [])
    x = a + (b - a) * np.linspace(0.05, 0.95, 11) ** 2
    want = (1 - c2) * np.sqrt((b - x) * (x - a)) / (2 * np.pi * x * (c1 + c2 * x))
    np.testing.assert_allclose(law.pdf(x), want, rtol=2e-12)
    assert law.pdf(law.support[0, 0]) == (np.inf if c1 == 1.0 else 0.0)


@pytest.mark.parametrize(
    ("c1", "c2"), [(0.5, 0.5), (0.2, 0.7), (1.0, 1.0), (2.0, 0.5), (0.5, 3.0 / 2), (1.9, 1.9), (1.0, 0.3)]
)
def test_manova(c1, c2):
    """With a = 1/c1, b = 1/c2: (a + b) √((y₊ - y)(y - y₋))/(2π y(1 - y)), y± = (√(a(a + b - 1)) ± √b)²/(a + b)²."""
    law = fh.manova(c1, c2)
    a, b = 1 / c1, 1 / c2
    low, high = ((np.sqrt(a * (a + b - 1)) + s * np.sqrt(b)) ** 2 / (a + b) ** 2 for s in (-1, 1))
    np.testing.assert_allclose(law.support, [[low, high]], rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(law.support[0, 1] - 1, high - 1, rtol=1e-12, atol=2e-16)
    want = [(0.0, 1 - a)] * (a < 1) + [(1.0, 1 - b)] * (b < 1)
    np.testing.assert_allclose(np.reshape(law.atoms, (-1, 2)), np.reshape(want, (-1, 2)), atol=4 * EPS)
    y = low + (high - low) * np.linspace(0.05, 0.95, 11)
    want = (a + b) * np.sqrt((high - y) * (y - low)) / (2 * np.pi * y * (1 - y))
    np.testing.assert_allclose(law.pdf(y), want, rtol=2e-12)
    assert law.mean() == pytest.approx(a / (a + b), rel=1e-13)
    np.testing.assert_allclose(law.cdf(y), 1 - fh.manova(c2, c1).cdf(1 - y), atol=1e-13)


def test_fuss_catalan_moments():
    """Powers L + 1 of a Ginibre matrix: moments binom((L+1)k, k)/(Lk + 1)."""
    law = fh.marchenko_pastur(1.0)
    for L in (1, 2, 3, 4):
        assert law._powers[0, 0] == L + 1
        for k in range(1, 6):
            assert law.moment(k) == pytest.approx(math.comb((L + 1) * k, k) / (L * k + 1), rel=1e-13)
        law = law.sample_covariance(1.0)


_W1_LAW = fh.Law(fh.Spectrum(W1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # free additivity, the same matrix in two ways
        (_W1_LAW.add_semicircle(0.3).add_semicircle(0.2), _W1_LAW.add_semicircle(0.5)),
        (
            _W1_LAW.add_wishart(0.5, 2.0).add_semicircle(0.3),
            _W1_LAW.add_semicircle(0.3).add_wishart(0.5, 2.0),
        ),
        (
            _W1_LAW.add_compound_poisson(0.5, [1.0, 3.0]),
            _W1_LAW.add_wishart(1.0, 0.5).add_wishart(1.0, 1.5),
        ),
        (fh.Law(fh.Spectrum([0.0])).add_wishart(0.5, 2.0), fh.marchenko_pastur(0.5).scale(2.0)),
        (
            _W1_LAW.sample_covariance(0.5).multiply_inverse_wishart(0.3),
            _W1_LAW.multiply_inverse_wishart(0.3).sample_covariance(0.5),
        ),
        (
            _W1_LAW.sample_covariance(0.5).sample_covariance(2.0),
            _W1_LAW.sample_covariance(2.0).sample_covariance(0.5),
        ),
        (
            _W1_LAW.sample_covariance(2.0).companion(),
            fh.Law(fh.Spectrum([0.0])).add_compound_poisson(0.5, [2.0, 6.0, 20.0]),
        ),
        (_W1_LAW.corner(0.5).corner(0.5), _W1_LAW.corner(0.25)),
        (fh.semicircle(2.0).corner(0.5), fh.semicircle(1.0)),
        (fh.marchenko_pastur(2.0).companion(), fh.marchenko_pastur(0.5).scale(2.0)),
    ],
)
def test_one_law_in_two_ways(one, other):
    np.testing.assert_allclose(one.support, other.support, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(one.atoms, other.atoms, atol=1e-14)
    x = inner_points(one)
    np.testing.assert_allclose(one.pdf(x), other.pdf(x), rtol=1e-11, atol=1e-13 * one.pdf(x).max())
    np.testing.assert_allclose(one.cdf(x), other.cdf(x), atol=1e-13)
    z = np.concatenate((x + 0.3j, [-5.0, 1e3]))
    np.testing.assert_allclose(one.stieltjes(z), other.stieltjes(z), rtol=1e-13)


# --------------------------------------------------------------------------------------------------- near edges

_OFFSETS = [1e-25, 1e-16, 1e-12, 1e-8, 1e-4, 1e-2, 1e-1]


@pytest.mark.parametrize(
    ("t", "steps"),
    [
        (W1, [(SC, 0.1)]),
        (W1, [(SC, 0.5)]),
        (W1, [(SC, 2.0), ("shift", 3.0)]),
        ([1, 7], [(SC, 0.1), (SC, 0.1)]),
        (W1, o.CHAINS["five steps"]),
        (W1, [("add_semicircle", 0.5), ("scale", 0.1)]),
        (W1, [("add_wishart", 0.1, 1.0), ("corner", 0.5)]),
    ],
)
def test_density_near_soft_edges(t, steps):
    """At the exact edge plus 1e-25 … 1e-1 in 60 digits."""
    law = law_of(t, steps)
    edges = law.support.ravel()
    width = np.repeat(np.diff(law.support).ravel(), 2)
    for k in {0, 1, edges.size - 1}:
        with mp.workdps(80):
            edge = _exact_edge(t, steps, law._outside.s[k])
            assert abs(edge - mpf(float(edges[k]))) <= 1e-13 * np.abs(edges).max()
            offsets = np.array([d for d in _OFFSETS if d < 0.3 * width[k]])
            got = law.pdf_near_edge(k, offsets)
            for d, value in pairs(offsets, got):
                x = edge + (1 if k % 2 == 0 else -1) * mpf(float(d))
                want = o.chain_density(t, None, steps, x, 60)
                assert abs(mpf(float(value)) / want - 1) <= 1e-13, (k, d)


def _exact_edge(t, steps, near):
    """z where dz/ds vanishes, at the working precision."""
    measure, exact = o._measure(t), o._steps(steps)
    s = mp.findroot(lambda s: o._walk(*measure, exact, s)[0][-1][1], mpf(float(near)))
    return o._walk(*measure, exact, s)[0][-1][0]


@pytest.mark.parametrize(
    ("t", "steps"),
    [
        ([1], [(SC, 1.0)]),
        (W1, [(SC, 1.0)]),
        ([0, 1], [(SC, 2.0)]),
        (W1, [(SC, 1.0), ("scale", 3.0)]),
        (W1, [(SC, 1.0), (SC, 1.0)]),
        (W1, [(SC, 0.5), (SC, 1.0)]),
    ],
)
def test_density_near_hard_edges(t, steps):
    law = law_of(t, steps)
    assert law.pdf_near_edge(0, 0.0) == np.inf
    for d, value in pairs(_OFFSETS, law.pdf_near_edge(0, _OFFSETS)):
        want = o.chain_density(t, None, steps, mpf(d), 40)
        assert abs(mpf(value) / want - 1) <= 1e-13, d


def test_near_edge_arguments():
    law = fh.sample_covariance(fh.Spectrum(W1), 0.1)
    width = float(np.diff(law.support[0])[0])
    np.testing.assert_array_equal(
        np.isnan(law.pdf_near_edge(0, [-1e-9, np.nan, 1.01 * width, 0.0, 0.5 * width])),
        [True, True, True, False, False],
    )
    assert law.pdf_near_edge(0, 0.0) == 0.0
    assert isinstance(law.pdf_near_edge(5, 1e-9), float)
    assert law.pdf_near_edge(0, np.full((2, 3), 1e-9)).shape == (2, 3)
    mid = float(law.support[0].mean())
    np.testing.assert_allclose(law.pdf_near_edge(0, mid - law.support[0, 0]), law.pdf(mid), rtol=1e-13)
    np.testing.assert_allclose(law.pdf_near_edge(1, law.support[0, 1] - mid), law.pdf(mid), rtol=1e-13)
    for k, error in (6, ValueError), (-1, ValueError), (0.5, TypeError), ("0", TypeError):
        with pytest.raises(error, match=r"^k must"):
            law.pdf_near_edge(k, 1e-3)
    with pytest.raises(TypeError, match=r"^offset must"):
        law.pdf_near_edge(0, "x")
    with pytest.raises(ValueError, match=r"^k must"):
        fh.Law(fh.Spectrum([1.0])).pdf_near_edge(0, 1e-3)


# --------------------------------------------------------------------------------------------- algebra, objects


def test_affine_steps_merge():
    law = fh.sample_covariance(fh.Spectrum(W1), 0.5)
    assert law.scale(2.0).scale(0.5) == law
    assert law.shift(2.0).shift(-2.0) == law
    assert law.scale(2.0).shift(3.0) == law.shift(1.5).scale(2.0)
    assert law.scale(2.0).shift(3.0).scale(0.5).shift(-1.5) == law
    assert len(law.scale(2.0).shift(1.0).scale(3.0).kinds) == 2
    assert law.scale(1.0) is law
    assert law.shift(0.0) is law
    assert law.corner(1.0) is law
    assert law.add_compound_poisson(0.5, [0.0, 0.0]) is law
    assert law.add_compound_poisson(0.5, [0.0, 2.0], [1, 0]) is law
    assert law.add_compound_poisson(0.5, [2.0]) == law.add_wishart(0.5, 2.0)
    assert law.add_compound_poisson(0.5, [1.0, 2.0], [1, 3]) == law.add_compound_poisson(
        0.5, [1.0, 2.0], [0.25, 0.75]
    )


def test_companion_twice():
    law = fh.sample_covariance(fh.Spectrum(W1), 0.5)
    assert law.companion().companion() == law
    assert law.scale(2.0).companion().shift(1.0).companion() == law.scale(2.0).shift(1.0)
    assert law.companion() != law
    np.testing.assert_array_equal(law.companion().support, law.support)
    x = inner_points(law)
    np.testing.assert_allclose(law.companion().pdf(x), 0.5 * law.pdf(x), rtol=1e-13)


def test_equality_pickle_and_files(tmp_path):
    laws = [
        fh.semicircle(),
        fh.marchenko_pastur(0.5),
        fh.Law(fh.Spectrum([1, 2], weights=[0.3, 0.7])),
        fh.sample_covariance(fh.Spectrum(W1, [10, 20, 30]), 0.5).companion(),
        law_of(
            W1, o.CHAINS["compound Poisson"] + [("scale", 2.0), ("add_wishart", 0.5, 1.0), ("corner", 0.5)]
        ),
        fh.wachter(0.2, 0.4),
    ]
    for i, law in enumerate(laws):
        law.pdf(1.0)  # caches take no part
        copy = pickle.loads(pickle.dumps(law))
        law.save(tmp_path / "law.npz")
        loaded = fh.Law.load(tmp_path / "law.npz")
        for other in copy, loaded:
            assert other == law
            assert other._cache is None
            assert repr(other) == repr(law)
            np.testing.assert_array_equal(other.pdf([0.5, 1.0, 2.0]), law.pdf([0.5, 1.0, 2.0]))
            assert other.shift(1.0) == law.shift(1.0)
        for j, other in enumerate(laws):
            assert (law == other) == (i == j)
        assert law != "law"
    with pytest.raises(TypeError):
        hash(laws[0])


def test_objects_do_not_change():
    values = np.array([1.0, 3.0])
    law = fh.Law(fh.Spectrum(values)).add_compound_poisson(0.5, values)
    before = law.pdf(2.0)
    values[:] = 7.0
    fresh = pickle.loads(pickle.dumps(law))
    assert fresh.pdf(2.0) == before
    for array in law.support, law.kinds, law.numbers, law.points:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        law.spectrum = None
    law.atoms.append((0.0, 1.0))
    assert law.atoms == []
    support = fh.marchenko_pastur(0.5).support
    with pytest.raises(ValueError, match="read-only"):
        support[0, 0] = 9.0


def test_repr():
    law = law_of(
        W1,
        [(SC, 0.5), ("scale", 2.0), ("shift", -0.1), ("add_semicircle", 0.2), ("add_wishart", 0.5, 3.0),
         ("add_compound_poisson", 0.5, [1.0, 2.0]), ("corner", 0.5)],
    )  # fmt: skip
    assert repr(law) == (
        "Law(3 levels).sample_covariance(0.5).scale(2).shift(-0.1).add_semicircle(0.2).add_wishart(0.5, 3)"
        ".add_compound_poisson(0.5, ...).corner(0.5)"
    )
    assert repr(fh.marchenko_pastur(2.0).companion()) == "Law(1).sample_covariance(2).companion()"
    assert repr(fh.wachter(0.5, 0.25)) == "Law(1).sample_covariance(0.5).multiply_inverse_wishart(0.25)"


def test_construction_is_lazy():
    """Building a chain computes nothing, and compiles nothing."""
    code = (
        "import fasthde as fh\n"
        "law = fh.wachter(.5, .5).scale(2.).shift(1.).sample_covariance(2.).companion().corner(.5)\n"
        "law = law.add_semicircle(.1).add_compound_poisson(.5, [1., 2.]); law == law; repr(law)\n"
        "from fasthde._kernels import chain, series\n"
        "print(sum(len(k.signatures) for m in (chain, series) for k in vars(m).values() if hasattr(k, 'signatures')))"
    )
    root = Path(fh.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "0"


# --------------------------------------------------------------------------------------------------- bad input

_LAW = fh.marchenko_pastur(0.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        *[(f, ValueError, "^ratio must be finite and > 0.*p/n")
          for c in (0.0, -1.0, np.nan, np.inf)
          for f in (
              lambda c=c: fh.marchenko_pastur(c),
              lambda c=c: fh.sample_covariance(fh.Spectrum(W1), c),
              lambda c=c: _LAW.sample_covariance(c),
              lambda c=c: _LAW.multiply_inverse_wishart(c),
              lambda c=c: _LAW.add_wishart(c),
              lambda c=c: _LAW.add_compound_poisson(c, [1.0]),
          )],
        (lambda: fh.marchenko_pastur([0.5, 1.0]), ValueError, "^ratio must be a single number"),
        (lambda: fh.marchenko_pastur("x"), TypeError, "^ratio must"),
        (lambda: fh.marchenko_pastur(1j), TypeError, "^ratio must"),
        (lambda: _LAW.multiply_inverse_wishart(1.0), ValueError, "^ratio must be < 1"),
        (lambda: fh.wachter(0.0, 0.5), ValueError, "^ratio"),
        (lambda: fh.wachter(0.5, 1.0), ValueError, "^ratio.*< 1"),
        (lambda: fh.manova(0.0, 0.5), ValueError, "^ratio1 must"),
        (lambda: fh.manova(0.5, -1.0), ValueError, "^ratio2 must"),
        (lambda: fh.manova(3.0, 3.0), ValueError, "^ratio1 and ratio2 must leave n1 . n2 >= p.*got 3.0 and 3.0"),
        (lambda: fh.semicircle(0.0), ValueError, "^variance must be finite and > 0"),
        (lambda: fh.semicircle(-1.0), ValueError, "^variance must"),
        (lambda: _LAW.add_semicircle(0.0), ValueError, "^variance must.*leave it out"),
        (lambda: _LAW.add_semicircle(np.inf), ValueError, "^variance must"),
        (lambda: _LAW.add_wishart(0.5, 0.0), ValueError, "^variance must"),
        (lambda: _LAW.add_wishart(0.5, -1.0), ValueError, "^variance must"),
        (lambda: _LAW.scale(0.0), ValueError, "^a must be finite and > 0"),
        (lambda: _LAW.scale(-1.0), ValueError, "^a must"),
        (lambda: _LAW.scale([1.0, 2.0]), ValueError, "^a must"),
        (lambda: _LAW.shift(np.nan), ValueError, "^b must be finite"),
        (lambda: _LAW.shift([1.0]), ValueError, "^b must"),
        (lambda: _LAW.shift("1"), TypeError, "^b must"),
        (lambda: _LAW.corner(0.0), ValueError, "^fraction must"),
        (lambda: _LAW.corner(1.5), ValueError, "^fraction must be <= 1"),
        (lambda: _LAW.corner(np.nan), ValueError, "^fraction must"),
        (lambda: _LAW.add_compound_poisson(0.5, []), ValueError, "^values must not be empty"),
        (lambda: _LAW.add_compound_poisson(0.5, [np.nan]), ValueError, "^values must be finite"),
        (lambda: _LAW.add_compound_poisson(0.5, [[1.0]]), ValueError, "^values must be one-dimensional"),
        (lambda: _LAW.add_compound_poisson(0.5, [1.0, 2.0], [1.0]), ValueError, "^weights must have one entry"),
        (lambda: _LAW.add_compound_poisson(0.5, [1.0, 2.0], [1.0, -1.0]), ValueError, "^weights must be >= 0"),
        (lambda: _LAW.add_compound_poisson(0.5, [1.0, 2.0], [0.0, 0.0]), ValueError, "^weights must not all be"),
        (lambda: _LAW.add_compound_poisson(0.5, [1.0, 2.0], [np.nan, 1.0]), ValueError, "^weights must"),
        (lambda: _LAW.add_compound_poisson(0.5, ["a"]), TypeError, "^values must"),
        (lambda: fh.semicircle().companion(), TypeError, r"^companion\(\) must follow sample_covariance"),
        (lambda: fh.Law(fh.Spectrum(W1)).companion(), TypeError, r"^companion\(\) must follow"),
        (lambda: _LAW.add_semicircle(1.0).companion(), TypeError, r"^companion\(\) must follow"),
        (lambda: _LAW.corner(0.5).companion(), TypeError, r"^companion\(\) must follow"),
        (lambda: fh.semicircle().sample_covariance(0.5), ValueError, "positive semidefinite population.*starts at -2"),
        (lambda: _LAW.shift(-1.0).sample_covariance(0.5), ValueError, "positive semidefinite.*Shift"),
        (lambda: _LAW.shift(-1.0).multiply_inverse_wishart(0.5), ValueError, "^multiply_inverse_wishart.*semidefinite"),
        (lambda: _LAW.add_compound_poisson(0.5, [-1.0]).sample_covariance(1.0), ValueError, "semidefinite"),
        (lambda: fh.sample_covariance(fh.Spectrum([0.0]), 0.5), ValueError, "not zero"),
        (lambda: fh.Law(fh.Spectrum([0.0, 0.0])).multiply_inverse_wishart(0.5), ValueError, "not zero"),
        (lambda: fh.Law(fh.Spectrum([1.0])).shift(-1.0).sample_covariance(0.5), ValueError, "not zero"),
        (lambda: fh.Law("x"), (TypeError, ValueError), "^spectrum must"),
        (lambda: fh.sample_covariance([-1.0, 2.0], 0.5), (TypeError, ValueError), "spectrum|values"),
        (lambda: _LAW.stieltjes(1.0, side="up"), ValueError, "^side must be"),
        (lambda: _LAW.stieltjes("x"), TypeError, "^z must"),
        (lambda: _LAW.stieltjes([None]), TypeError, "^z must"),
        (lambda: _LAW.pdf("x"), TypeError, "^x must"),
        (lambda: _LAW.pdf(1j), TypeError, "^x must"),
        (lambda: _LAW.pdf([[1], [2, 3]]), ValueError, "^x must"),
        (lambda: _LAW.cdf("x"), TypeError, "^x must"),
        (lambda: _LAW.ppf("x"), TypeError, "^q must"),
        (lambda: _LAW.moment("x"), TypeError, "^k must"),
        (lambda: _LAW.moment(np.nan), ValueError, "^k must"),
        (lambda: _LAW.moment([1, 2]), ValueError, "^k must"),
        (lambda: _LAW.expect(3.0), TypeError, "^f must be a vectorised function"),
        (lambda: _LAW.expect(np.log, rtol=0.0), ValueError, "^rtol must"),
        (lambda: _LAW.expect(lambda x: 1.0), ValueError, "^f must be vectorised"),
        (lambda: _LAW.expect(lambda x: x[:, None]), ValueError, "^f must be vectorised"),
        (lambda: fh.Law(fh.Spectrum(W1)).expect(lambda x: 1.0), ValueError, "^f must be vectorised"),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_semidefinite_populations_are_taken():
    """Shifted just so far that the spectrum starts at 0, or that an atom lies there."""
    assert fh.semicircle().shift(2.0).sample_covariance(0.5).support[0, 0] >= 0
    assert fh.Law(fh.Spectrum([1.0, 2.0])).shift(-1.0).sample_covariance(0.5).atoms == [(0.0, 0.5)]
    law = fh.marchenko_pastur(0.25).shift(-0.25).sample_covariance(0.5)
    assert abs(law.expect(np.ones_like) - 1) <= 1e-12
    law = fh.Law(fh.Spectrum(W1)).add_compound_poisson(0.5, [-0.1]).shift(2.0).sample_covariance(0.5)
    assert law.mean() == pytest.approx(14 / 3 - 0.1 + 2, rel=1e-13)


# ---------------------------------------------------------------------------------------------- expectations


@pytest.mark.parametrize("c", [0.1, 0.5, 0.99, 1.0, 2.0, 10.0])
def test_expectations_of_marchenko_pastur(c):
    """E log = -1 - (1 - c)/c log(1 - c); with an atom at 0 the companion's; E 1/x = 1/(1 - c)."""
    law = fh.marchenko_pastur(c)
    if c == 1.0:
        assert law.expect(np.log) == pytest.approx(-1.0, abs=2e-14)
        assert law.expect(np.sqrt) == pytest.approx(8 / (3 * np.pi), rel=1e-14)
        assert law.moment(0.5) == law.expect(np.sqrt)
        return
    if c < 1:
        assert law.expect(np.log) == pytest.approx(-1 - (1 - c) / c * np.log1p(-c), rel=1e-13)
        assert law.expect(lambda x: 1 / x) == pytest.approx(1 / (1 - c), rel=1e-13)
        assert law.moment(-2) == pytest.approx((1 - c) ** -3, rel=1e-13)
    else:
        assert law.expect(np.log) == -np.inf
        got = law.expect(lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), 0.0))
        assert got == pytest.approx((np.log(c) - 1 - (c - 1) * np.log1p(-1 / c)) / c, rel=1e-13, abs=1e-14)
        assert law.moment(-1) == np.inf
    for k in range(1, 9):
        want = sum(math.comb(k, j) * math.comb(k - 1, j) * c**j / (j + 1) for j in range(k))
        assert law.moment(k) == pytest.approx(want, rel=1e-13)
    assert law.moment(0) == pytest.approx(1.0, rel=1e-14)
    assert law.mean() == pytest.approx(1.0, rel=1e-14)
    assert law.var() == pytest.approx(c, rel=1e-13)
    assert law.std() == pytest.approx(np.sqrt(c), rel=1e-13)


def test_expectations_of_the_semicircle():
    law = fh.semicircle(4.0)
    t = 0.7
    bessel = float(mp.besseli(1, 4 * t) / (2 * t))
    assert law.expect(lambda x: np.exp(t * x)) == pytest.approx(bessel, rel=1e-13)
    wave = law.expect(lambda x: np.exp(1j * t * x))
    assert isinstance(wave, complex)
    assert wave == pytest.approx(float(mp.besselj(1, 4 * t) / (2 * t)), abs=1e-14)
    assert law.expect(np.abs) == pytest.approx(16 / (3 * np.pi), rel=1e-13)
    assert law.moment(3) == pytest.approx(0.0, abs=1e-13)
    assert law.expect(lambda x: np.abs(x - 1)) == pytest.approx(
        float(mp.quad(lambda x: abs(x - 1) * mp.sqrt(16 - x * x) / (8 * mp.pi), [-4, 1, 4])), rel=1e-13
    )


_FUNCTIONS = {
    "log": (np.log, mp.log, []),
    "sqrt": (np.sqrt, mp.sqrt, []),
    "inverse": (lambda x: 1 / x, lambda x: 1 / x, []),
    "cube": (lambda x: x**3, lambda x: x**3, []),
    "kink": (lambda x: np.abs(x - 1), lambda x: abs(x - 1), [1]),
    "two kinks": (
        lambda x: np.maximum(np.abs(x - 1), np.abs(x - 1.5)),
        lambda x: max(abs(x - 1), abs(x - 1.5)),
        [1.25],
    ),
    "jump": (lambda x: (x > 1.1) * 1.0, lambda x: mpf(x > mpf(1.1)), [mpf(1.1)]),
    "exp": (np.exp, mp.exp, []),
    "wave": (lambda x: np.cos(40 * x), lambda x: mp.cos(40 * x), []),
    "pole nearby": (lambda x: 1 / ((x - 1) ** 2 + 1e-4), lambda x: 1 / ((x - 1) ** 2 + mpf(1e-4)), [1]),
    "root at a kink": (lambda x: np.sqrt(np.abs(x - 1)), lambda x: mp.sqrt(abs(x - 1)), [1]),
    "complex": (lambda x: 1 / (x - 1 - 0.5j), lambda x: 1 / (x - 1 - mp.mpc(0, 0.5)), []),
}  # fmt: skip


@pytest.mark.parametrize("name", list(_FUNCTIONS))
def test_error_estimate_is_honest(name):
    """MP at c = 1/2 against mpmath: the value to 1e-12, the estimate neither too low nor useless."""
    f, exact, breaks = _FUNCTIONS[name]
    c = mpf(0.5)
    with mp.workdps(25):
        a, b = (1 - mp.sqrt(c)) ** 2, (1 + mp.sqrt(c)) ** 2

        def integrand(theta):  # x = mid - half cos θ: no root is left at the edges
            x = (a + b) / 2 - (b - a) / 2 * mp.cos(theta)
            return exact(x) * (b - a) ** 2 / 4 * mp.sin(theta) ** 2 / (2 * mp.pi * c * x)

        cuts = [mp.acos((a + b - 2 * x) / (b - a)) for x in breaks]
        want = complex(
            mp.quad(
                integrand,
                [
                    *np.linspace(0, float(min([mp.pi, *cuts])), 9)[:-1],
                    *cuts,
                    *np.linspace(float(max([0, *cuts])), mp.pi, 9)[1:],
                ],
            )
        )
    value, error = fh.marchenko_pastur(0.5).expect(f, full_output=True)
    assert isinstance(error, float)
    size = abs(want) + 1e-3
    assert abs(value - want) <= max(error, 0) + 2e-14 * size
    assert error <= 1e-11 * size


@pytest.mark.parametrize(
    ("f", "want", "bound"),
    [
        (lambda x: np.cos(1e4 * x), 0.0, 1e-5),  # (1e4)**-1.5 at the edges
        (lambda x: np.cos(1e5 * x), 0.0, 0.1),
        (lambda x: np.float32(x) * 1.0, 14 / 3, 1e-6),
        (lambda x: np.round(x, 6), 14 / 3, 1e-6),
        (lambda x: 1 / (x - 2 - 1e-9j), None, 1e-2),
    ],
    ids=["wave", "fast wave", "single precision", "steps", "pole at the axis"],
)
def test_rough_functions_end(f, want, bound):
    """A function whose own rounding exceeds rtol: bounded work, and an estimate that says so."""
    seen = 0

    def counted(x):
        nonlocal seen
        seen += x.size
        if seen > 3_000_000:
            raise RuntimeError("halved without end")
        return f(x)

    law = fh.sample_covariance(fh.Spectrum(W1), 0.5)
    value, error = law.expect(counted, full_output=True)
    want = law.stieltjes(2 + 1e-9j) if want is None else want
    assert abs(value - want) <= error + 1e-5 * (want == 0.0)
    assert 0 < error < bound


def test_expectations_that_do_not_exist():
    assert np.isnan(_LAW.expect(lambda x: np.full(x.shape, np.nan)))
    assert fh.Law(fh.Spectrum([0.0, 1.0])).expect(lambda x: 1 / x) == np.inf
    law = fh.marchenko_pastur(1.0)  # the density is infinite at the hard edge
    for order in (-0.5, -1, -3):
        assert law.moment(order) == np.inf
    assert law.expect(lambda x: -1 / x) == -np.inf
    value, error = fh.marchenko_pastur(1.0).expect(lambda x: x**-0.4, full_output=True)
    want = 4**-0.4 * math.gamma(0.1) / (math.sqrt(math.pi) * math.gamma(1.6))  # x/4 ~ Beta(1/2, 3/2)
    assert abs(value / want - 1) <= 1e-13
    assert error <= 1e-12 * want


def test_an_expectation_that_does_not_settle_says_so():
    law = fh.marchenko_pastur(0.5)
    with pytest.warns(fh.ValidityWarning, match="expect: the integral may be off by"):
        law.expect(lambda x: 1 / (x - 1))
    value, error = law.expect(lambda x: 1 / (x - 1), full_output=True)
    assert error > 0.1 * abs(value)


def test_fractional_moments_of_negative_eigenvalues():
    assert fh.semicircle().moment(3) == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(
        ValueError, match=r"^k must be a whole number for a law with negative eigenvalues; got 0.5"
    ):
        fh.semicircle().moment(0.5)


@pytest.mark.parametrize("f", [math.log, lambda x: 1.0 if x > 0 else 2.0, lambda x: x.sum()])
def test_functions_of_single_numbers(f):
    for call in (fh.semicircle().expect, lambda g: fh.functional(fh.semicircle(), g)):
        with pytest.raises(ValueError, match=r"^f must be vectorised: .* Use NumPy functions"):
            call(f)


def test_large_rtol_costs_less():
    law = fh.sample_covariance(fh.Spectrum(W1), 0.5)
    counts = []
    for rtol in (1e-13, 1e-4):
        seen = []
        value = law.expect(lambda x, seen=seen: seen.append(x.size) or np.abs(x - 1), rtol=rtol)
        counts.append(sum(seen))
        assert value == pytest.approx(law.expect(lambda x: np.abs(x - 1)), rel=rtol)
    assert counts[1] < counts[0]


# ------------------------------------------------------------------------------------------------------- extremes


@pytest.mark.parametrize("size", [1e-90, 1e-20, 1e20, 1e89])
@pytest.mark.parametrize("steps", [[(SC, 0.5)], [(SC, 0.5), (SC, 2.0)], [(SC, 1.0)]])
def test_scale_of_the_spectrum(size, steps):
    """Everything scales with the eigenvalues."""
    unit, law = law_of(W1, steps), law_of([size * t for t in W1], steps)
    np.testing.assert_allclose(law.support, size * unit.support, rtol=1e-14)
    x = inner_points(unit, 5)
    np.testing.assert_allclose(law.pdf(size * x), unit.pdf(x) / size, rtol=1e-12)
    np.testing.assert_allclose(law.cdf(size * x), unit.cdf(x), atol=1e-13)
    z = np.array([1 + 1j, 5 + 0.01j])
    np.testing.assert_allclose(law.stieltjes(size * z), unit.stieltjes(z) / size, rtol=1e-13)
    np.testing.assert_allclose(law.stieltjes(-size), unit.stieltjes(-1.0) / size, rtol=1e-13)


@pytest.mark.parametrize("t", [[1e-200, 1.0], [5e-324, 1.0], [1.0, 1e91], [1e-91]])
def test_levels_out_of_range(t):
    """Third powers of the levels must be numbers."""
    with pytest.raises(ValueError, match=r"must lie between 1e-90 and 1e\+90; got .* Set to 0"):
        fh.sample_covariance(fh.Spectrum(t), 0.5).support


@pytest.mark.parametrize("c", [0.3, 1.0, 3.0])
def test_exponential_spectrum(c):
    """87 decades, nearly every level with an interval of its own."""
    H = fh.Spectrum(np.exp(-np.arange(200.0)))
    law = fh.sample_covariance(H, c)
    assert abs(law.expect(np.ones_like) - 1) <= 1e-12
    assert law.mean() == pytest.approx(H.moment(1), rel=1e-13)
    assert law.moment(2) == pytest.approx(H.moment(2) + c * H.moment(1) ** 2, rel=1e-13)
    if c < 1:  # log det: sum of the levels' logarithms and that of a Wishart matrix
        want = -99.5 + (c - 1) / c * np.log1p(-c) - 1
        assert law.expect(np.log) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("c", [1e-8, 1e-6, 1e-3, 1e3, 1e6, 1e8])
def test_ratio_far_from_one(c):
    """An interval of relative width 4√c (1/√c) holds what the rounding of its edges allows."""
    law = fh.sample_covariance(fh.Spectrum(W1), c)
    check_edges(law, o.scm_edges(W1, None, c))
    assert abs(law.expect(np.ones_like) - 1) <= 1e-12
    assert law.moment(2) == pytest.approx(float(o.free_moments(W1, None, [(SC, c)], 2)[1]), rel=1e-12)


def test_wide_spectrum():
    t = [1e-10, 1.0, 1e10]
    law = fh.sample_covariance(fh.Spectrum(t), 0.5)
    check_edges(law, o.scm_edges(t, None, 0.5))
    np.testing.assert_allclose(law.cdf([1e-3, 1e3]), [1 / 3, 2 / 3], rtol=1e-13)
    check_transform(law, t, None, [(SC, 0.5)], np.array([1e-10 + 1e-11j, 1 + 0.1j, 1e10 + 1e8j]))


def test_a_rare_level():
    t, w = [1.0, 100.0], [1 - 1e-12, 1e-12]
    law = fh.sample_covariance(fh.Spectrum(t, weights=w), 0.5)
    check_edges(law, o.scm_edges(t, w, 0.5))
    assert law.cdf(50.0) == pytest.approx(1 - 1e-12, abs=1e-15)
    assert law.ppf(1 - 1e-13) > 100


@pytest.mark.slow
@pytest.mark.parametrize("c", [0.5, 1.0, 2.0])
def test_million_levels(c):
    t = np.arange(1, 1_000_001.0) ** -1.2
    law = fh.sample_covariance(fh.Spectrum(t), c)
    assert law.support[0, 0] >= 0
    assert len(law.support) < 1000
    assert abs(law.expect(np.ones_like) - 1) <= 1e-12
    m1, m2, m3 = (math.fsum(t**k) / t.size for k in (1, 2, 3))
    assert law.mean() == pytest.approx(m1, rel=1e-12)
    assert law.moment(2) == pytest.approx(m2 + c * m1**2, rel=1e-12)
    assert law.moment(3) == pytest.approx(m3 + 3 * c * m1 * m2 + c * c * m1**3, rel=1e-12)
    assert law.atoms == ([(0.0, 0.5)] if c == 2 else [])
    z = np.array([1e-3 + 1e-6j, 1.0 + 1e-3j])
    r = law.stieltjes(z, full_output=True)
    assert (r.status == fh.Status.CONVERGED).all()
    s = law._solve(z)[1]
    for point, root in pairs(z, s):
        assert abs(root * (1 - c * np.mean(t / (t - root))) / point - 1) <= 1e-12


# ------------------------------------------------------------------------------------------- near coincidences


def _mass(law):
    return law.expect(np.ones_like)


@pytest.mark.parametrize("step", [("add_wishart", 5.0), ("corner", 0.9), ("add_semicircle", 0.1), (SC, 0.1)])
def test_levels_equal_to_rounding(step):
    """The eigenvalues of a computed covariance are not quite equal where they should be."""
    rng = np.random.default_rng(0)
    t = np.repeat(W1, 50) * (1.0 + 4 * EPS * rng.standard_normal(150))
    law, want = law_of(t, [step]), law_of(W1, [step])
    np.testing.assert_allclose(law.support, want.support, rtol=1e-13)
    np.testing.assert_allclose(law.atoms, want.atoms, rtol=1e-13)
    x = inner_points(want)
    np.testing.assert_allclose(law.pdf(x), want.pdf(x), rtol=1e-11)
    np.testing.assert_allclose(law.cdf(x), want.cdf(x), atol=1e-13)


def test_a_mass_that_is_missing_is_said():
    series = fh.marchenko_pastur(0.5)._series
    assert series.checked(1.0) is series
    with pytest.warns(fh.ValidityWarning, match="good to 1e-08 only"):
        series.checked(1.0 - 1e-8)
    with pytest.raises(ArithmeticError, match=r"accounts for a mass of 1 where 0.9 is due"):
        series.checked(0.9)
    law = law_of([1.0, 1.000000002302585], [("add_wishart", 1.0, 2.9163775740531204)])
    assert abs(_mass(law) - 1) < 1e-8  # an edge that varies within the rounding of x


@pytest.mark.parametrize("gap", [1e-6, 1e-8, 1e-10, 3e-12, 1e-14, EPS])
@pytest.mark.parametrize("step", [("corner", 0.3), ("add_wishart", 50.0)])
def test_mass_of_narrow_intervals(gap, step):
    """x itself knows a narrow interval to eps/width only; its mass is known."""
    law = law_of([1.0, 1.0 + gap], [step])
    assert abs(_mass(law) - 1) <= 1e-12
    assert abs(law.cdf(np.inf) - 1) <= 1e-12


def test_a_fine_grid_is_not_one_level():
    t = 1.0 + 1e-13 * np.arange(2000)
    assert fh.Law(fh.Spectrum(t))._chain.t.size == 2000
    assert fh.Law(fh.Spectrum(t[:50]))._chain.t.size == 1


def test_atoms_that_a_shift_brings_together():
    law = fh.Law(fh.Spectrum([1, 1 + 1e-10])).shift(1e7)
    assert law.atoms == [(10000001.0, 1.0)]
    law = fh.Law(fh.Spectrum([1.0, 2.0])).add_wishart(8.0, 1e-3).scale(1e-17).shift(1.0)
    assert sum(m for _, m in law.atoms) == pytest.approx(0.75, rel=1e-14)


@pytest.mark.parametrize(
    ("steps", "mass"),
    [
        ([("corner", 0.9)], 1 / 9),
        ([("add_wishart", 20.0, 0.1)], 0.15),
        ([("corner", 0.8)], 0.0),  # of order 2
        ([("add_wishart", 5.0, 0.1), (SC, 0.5)], 0.0),
        ([("corner", 0.9), ("corner", 8 / 9)], 0.0),
        ([("corner", 0.7)], 0.0),
    ],
)
def test_hard_edge_at_an_atom_that_stays(steps, mass):
    """A hard edge with an atom in its place outlives what leaves a part of the atom."""
    first = law_of([0, 1, 2, 3, 4], [(SC, 1.25)])
    law = law_of([0, 1, 2, 3, 4], [(SC, 1.25), *steps])
    assert [(a, pytest.approx(m)) for a, m in law.atoms] == ([(0.0, pytest.approx(mass))] if mass else [])
    assert first._hard.tolist() == [[True, False]]
    assert abs(_mass(law) - 1) <= 1e-12
    q = np.array([0.01, 0.1, 0.2, 0.5, 0.9, 0.99])
    x = law.ppf(q)
    assert (np.diff(x) >= 0).all()
    np.testing.assert_allclose(np.maximum(law.cdf(x), mass), np.maximum(q, mass), atol=1e-12)
    if mass:
        assert law.pdf(0.0) == np.inf
    z = np.array([0.5 + 0.1j, 3 + 1e-3j, 1e-3 + 1e-3j])
    check_transform(law, [0, 1, 2, 3, 4], None, [(SC, 1.25), *steps], z)


@pytest.mark.parametrize("delta", [1e-4, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12, 1e-14])
@pytest.mark.parametrize("sign", [-1, 1])
def test_next_to_a_threshold_at_zero(delta, sign):
    """A second sample covariance, a noise, a corner that just dissolve, or leave, the atom at 0."""
    d = 1 + sign * delta
    for law in (
        fh.marchenko_pastur(2).sample_covariance(2 * d),
        fh.Law(fh.Spectrum([0, 1], [2, 1])).add_wishart(1.5 * d),
        fh.manova(d, 0.5),
        fh.marchenko_pastur(0.5).sample_covariance(d).multiply_inverse_wishart(0.05),
    ):
        assert law.support[0, 0] >= 0.0
        assert abs(_mass(law) - 1) <= 1e-12
        assert law.mean() == pytest.approx(law.expect(lambda x: x), rel=1e-13)
        assert law.cdf(law.ppf(0.9)) == pytest.approx(0.9, abs=1e-12)


def test_next_to_a_threshold_away_from_zero():
    """The edge is nearer to 1 than its neighbour among the numbers."""
    for delta in (1e-12, -1e-12, 0.0, 1e-9, 1e-6, -1e-6):
        law, noise = (
            law_of([1.0], [("add_wishart", 1 + delta, 0.3)]),
            fh.marchenko_pastur(1 + delta).scale(0.3),
        )
        x = np.array([1e-3, 0.1, 0.5, 1.0])
        np.testing.assert_allclose(law.pdf(1 + x), noise.pdf(x), rtol=1e-11)
        assert sum(m for _, m in law.atoms) == pytest.approx(max(0.0, 1 - 1 / (1 + delta)), abs=1e-15)
        assert abs(_mass(law) - 1) <= 1e-12 + abs(delta)  # within an ulp of 1 lies sqrt(eps) of the mass


def test_corner_of_a_gram_matrix_with_a_hard_edge():
    law = fh.Law(fh.Spectrum([0, 1, 1])).corner(0.9)
    rest = 1 - dict(law.atoms)[0.0]
    law = law.sample_covariance(1 / rest).companion().corner(0.5)
    assert len(law.support) == 1
    assert abs(_mass(law) - 1) <= 1e-12
    assert not law.atoms
