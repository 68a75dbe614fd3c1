"""Spikes: closed forms, high precision, simulation, the way back from data, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from threadpoolctl import threadpool_limits

import fasthde as fh
from fasthde.spikes import (
    LowRankError,
    Spike,
    SpikedModel,
    low_rank_error,
    outlier_law,
    population_eigenvalues,
    population_spike,
    spike,
    spike_from_outlier,
    spike_law,
    spiked_model,
)
from tests import oracle_laws as oracle

INVALID, CONVERGED = fh.Status.INVALID, fh.Status.CONVERGED


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices: BLAS threads would only wait for each other."""
    with threadpool_limits(1):
        yield


def build(t, steps):
    law = fh.Law(fh.Spectrum(t))
    for name, *parameters in steps:
        law = getattr(law, name)(*parameters)
    return law


def within(rows, want, count=4.0):
    rows = np.asarray(rows)
    mean, error = rows.mean(0), rows.std(0, ddof=1) / np.sqrt(len(rows))
    assert len(rows) >= 10
    distance = np.abs(mean - np.asarray(want)) / error
    assert (distance < count).all(), (mean, want, distance)


# ------------------------------------------------------------------------------------------ the three models


@pytest.mark.parametrize(
    ("kind", "location", "alignment", "other"),
    [
        ("information-plus-noise", 4.2, 23 / 30, 23 / 35),
        ("additive", 3.75, 0.875, np.nan),
        ("covariance", 4.2, 23 / 30, np.nan),
    ],
)
def test_page(kind, location, alignment, other):
    """p = 600, n = 1200, l = 2.5: 4.200, .7667; 3.750, .8750; 4.200, .7667, and the simulation."""
    r = spiked_model(kind, 0.5, 2.5)
    assert r.location == pytest.approx(location, rel=1e-15)
    assert r.alignment == pytest.approx(alignment, rel=1e-15)
    assert r.sample_alignment == pytest.approx(other, rel=1e-15, nan_ok=True)
    assert r.detached is True
    assert r.status is CONVERGED
    assert r.threshold == pytest.approx(0.5**0.5 + (0.5 if kind == "additive" else 0), rel=1e-15)
    rng = np.random.default_rng(7)
    draws = [oracle.spike_simulation(kind.replace("-", "_"), 2.5, 300, 600, rng) for _ in range(24)]
    within([[d["location"], d["alignment"]] for d in draws], [r.location, r.alignment])
    if kind == "information-plus-noise":
        within([d["alignment_n"] for d in draws], r.sample_alignment)


@pytest.mark.parametrize("kind", ["additive", "covariance"])
@given(c=st.floats(0.01, 10), ell=st.floats(-0.99, 20))
@settings(max_examples=80)
def test_models_are_chains(kind, c, ell):
    """The table is the rule of the chain, on both sides of the bulk."""
    assume(abs(ell) > 1e-3)
    r = spiked_model(kind, c, ell)
    if kind == "additive":
        assume(abs(abs(ell - c) - c**0.5) > 1e-3)
        want = spike_law(fh.Law(fh.Spectrum([0.0])).add_wishart(c), ell)
    else:
        assume(abs(abs(ell) - c**0.5) > 1e-3)
        want = spike(fh.Spectrum([1.0]), c, 1 + ell)
    assert r.detached == want.detached
    if r.detached:
        assert r.location == pytest.approx(want.location, rel=1e-10, abs=1e-12)
        assert r.alignment == pytest.approx(want.alignment, rel=1e-9, abs=1e-12)
    else:
        assert r.location == pytest.approx(want.location, rel=1e-10, abs=1e-12)
        assert r.alignment == 0


def test_second_transition_of_the_additive_model():
    """c = 4, l = 1: between the atom at 0 and the bulk, which starts at 1."""
    r = spiked_model("additive", 4.0, 1.0)
    assert (r.location, r.detached) == (pytest.approx(2 / 3), True)
    assert r.alignment == pytest.approx(5 / 9)
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(16):
        x = rng.standard_normal((400, 100))
        m = x @ x.T / 100
        m[0, 0] += 1.0
        values, vectors = np.linalg.eigh(m)
        inside = np.flatnonzero((values > 1e-6) & (values < 0.9))
        assert inside.size == 1
        rows.append([values[inside[0]], vectors[0, inside[0]] ** 2])
    within(rows, [r.location, r.alignment])


def test_models_below_the_threshold():
    c = np.array([0.25, 1.0, 4.0])
    for kind in ("information-plus-noise", "additive", "covariance"):
        r = spiked_model(kind, c, np.sqrt(c) if kind != "additive" else c)
        np.testing.assert_allclose(r.location, [2.25, 4, 9], rtol=1e-15)
        np.testing.assert_array_equal(r.alignment, 0)
        assert not r.detached.any()
        np.testing.assert_array_equal(r.status, CONVERGED)
    np.testing.assert_array_equal(spiked_model("information-plus-noise", 0.5, [0.0, 0.1]).sample_alignment, 0)
    assert spiked_model("covariance", 0.25, -0.6).location == pytest.approx(0.4 * (1 - 0.25 / 0.6))
    assert spiked_model("covariance", 0.25, -0.4).location == pytest.approx(0.25)
    # at the threshold the outlier leaves the edge
    for kind, ell in (("information-plus-noise", 0.5), ("additive", 0.75), ("covariance", 0.5)):
        assert spiked_model(kind, 0.25, ell * (1 + 1e-9)).location == pytest.approx(2.25, rel=1e-12)


def test_low_rank_error():
    r = low_rank_error(0.5, [0.0, 1.0, 2.5])
    np.testing.assert_allclose(r.error, [1, 1, (1 + 0.5**0.5) ** 2 / 3.75], rtol=1e-15)
    np.testing.assert_allclose(r.classical, [1, 0.5, 2 / 7], rtol=1e-15)
    assert low_rank_error(1e-12, 2.5).error == pytest.approx(low_rank_error(1e-12, 2.5).classical, rel=1e-5)
    rng = np.random.default_rng(4)
    rows = []
    for _ in range(10):
        x = rng.standard_normal((500, 1000))
        m = x @ x.T / 1000
        m[0, 0] += 4.0
        values = np.linalg.eigvalsh(m)
        rows.append(values[-2] / values[-1])
    within(rows, low_rank_error(0.5, 4.0).error)


def test_model_arguments():
    r = spiked_model("covariance", [[0.5], [-1.0], [np.nan]], [2.5, np.nan, -2.0])
    assert r.location.shape == (3, 3)
    np.testing.assert_array_equal(r.status, [[0, 2, 2], [2, 2, 2], [2, 2, 2]])
    np.testing.assert_array_equal(r.success, r.status == 0)
    assert np.isnan(r.location[r.status == 2]).all()
    assert not r.detached[r.status == 2].any()
    np.testing.assert_array_equal(low_rank_error([0.5, 0.0], 1.0).status, [0, 2])
    with pytest.raises(ValueError, match=r"^kind must be one of 'information-plus-noise'.*; got 'wigner'"):
        spiked_model("wigner", 0.5, 1.0)
    with pytest.raises(ValueError, match=r"^ratio must be > 0; got 0.0. The ratio is p/n"):
        spiked_model("additive", 0.0, 1.0)
    with pytest.raises(ValueError, match=r"^ratio must be finite and > 0; got inf"):
        low_rank_error(np.inf, 1.0)
    with pytest.raises(ValueError, match=r"^strength must be finite and >= 0; got -1.0"):
        spiked_model("information-plus-noise", 0.5, -1.0)
    with pytest.raises(ValueError, match=r"^strength must be finite and >= -1; got -2.0"):
        spiked_model("covariance", 0.5, -2.0)
    with pytest.raises(ValueError, match=r"^strength must be finite; got nan"):
        spiked_model("additive", 0.5, np.nan)
    with pytest.raises(ValueError, match=r"^ratio and strength must broadcast; got shapes \(2,\) and \(3,\)"):
        spiked_model("additive", [0.5, 1], [1, 2, 3])


# ----------------------------------------------------------------------------------------------- any chain

CHAINS = [
    ([1.0, 3.0, 10.0], [("sample_covariance", 0.1)], 5.0),
    ([1.0, 3.0], [("sample_covariance", 0.1)], 0.2),
    ([1.0, 3.0], [("sample_covariance", 2.0)], 12.0),
    (
        [1.0, 3.0],
        [("sample_covariance", 0.3), ("scale", 0.7), ("shift", 0.3), ("sample_covariance", 0.4)],
        12.0,
    ),
    ([1.0, 2.0], [("add_semicircle", 0.2), ("shift", 3.0), ("sample_covariance", 0.2)], 6.0),
    ([1.0, 3.0], [("multiply_inverse_wishart", 0.2)], 8.0),
    ([1.0, 3.0], [("multiply_inverse_wishart", 0.2)], 0.1),
    ([0.0, 1.0], [("add_compound_poisson", 0.5, [1.0, -0.5], [0.5, 0.5])], 4.0),
    ([0.0, 1.0], [("add_compound_poisson", 2.0, [1.0, -0.5], [0.5, 0.5])], -2.5),
    ([0.0], [("add_semicircle", 1.0)], 2.0),
]


@pytest.mark.parametrize(("t", "steps", "value"), CHAINS, ids=lambda x: None)
def test_chains_against_high_precision_and_simulation(t, steps, value):
    r = spike_law(build(t, steps), value)
    assert r.detached is True
    assert r.value == value
    with mp.workdps(40):
        zs, _, phi = oracle.chain_point(t, None, steps, mpf(value))
        slopes = [
            mp.diff(lambda s, j=j: oracle.chain_point(t, None, steps, s)[0][j], mpf(value))
            for j in range(len(zs))
        ]
        assert all(x > 0 for x in slopes)
        location, alignment = float(zs[-1]), float(phi * slopes[-1])
    assert r.location == pytest.approx(location, rel=4e-15)
    assert r.alignment == pytest.approx(alignment, rel=2e-14)
    rng = np.random.default_rng(1)
    within(
        [oracle.spike_chain_simulation(t, steps, value, 300, rng) for _ in range(12)], [location, alignment]
    )


def test_swallowed_by_a_second_step():
    """Outside after the first step, inside after the second: every step must let it out."""
    t, steps = [1.0], [("sample_covariance", 0.1), ("sample_covariance", 2.0)]
    with mp.workdps(30):
        curve = [mp.diff(lambda s, j=j: oracle.chain_point(t, None, steps, s)[0][j], mpf(2)) for j in (1, 2)]
    assert curve[0] > 0 > curve[1]
    law = build(t, steps)
    r = spike_law(law, [2.0, 8.0])
    np.testing.assert_array_equal(r.detached, [False, True])
    assert r.location[0] == law.support[0, 1]
    assert r.location[1] > law.support[0, 1]
    # increasing at the end is not enough: false critical points of the page's example
    law = build([1.0, 7.0], [("sample_covariance", 2.0), ("shift", 0.1), ("sample_covariance", 0.05)])
    s = np.linspace(-60, 60, 4001)[1:-1]
    r = spike_law(law, s[s > 0])
    inside = (r.location[r.detached][:, None] > law.support[:, 0]) & (
        r.location[r.detached][:, None] < law.support[:, 1]
    )
    assert not inside.any()


def test_companion_and_corner():
    """The eigenvalue lives on; its vector lives in another space."""
    rng = np.random.default_rng(0)
    for t, steps, value in (
        ([1.0, 2.0], [("corner", 0.5)], 5.0),
        ([1.0, 2.0], [("sample_covariance", 2.0), ("companion",), ("sample_covariance", 0.5)], 20.0),
    ):
        r = spike_law(build(t, steps), value)
        assert r.detached
        assert np.isnan(r.alignment)
        tops = []
        for _ in range(16):
            values = np.repeat(t, 150)
            values[0] = value
            tops.append(np.linalg.eigvalsh(oracle.chain_matrix(values, steps, 300, rng))[-1])
        within(tops, r.location)


def test_one_step_formula():
    """z'(l) = 1 - c sum w t^2/(l - t)^2, alignment l z'/z; ratio and value broadcast."""
    H = fh.Spectrum([1, 3, 10], [1, 2, 1])
    t, w = H.values, H.multiplicity / 4
    c, ell = np.array([[0.02], [0.3], [2.0]]), np.array([0.3, 2.0, 5.0, 11.0, 30.0])
    r = spike(H, c, ell)
    gap = ell[:, None] - t
    slope = 1 - c * (w * t**2 / gap**2).sum(-1)
    z = ell * (1 + c * (w * t / gap).sum(-1))
    np.testing.assert_array_equal(r.detached, slope > 0)
    np.testing.assert_allclose(r.location[r.detached], z[r.detached], rtol=1e-14)
    np.testing.assert_allclose(r.alignment[r.detached], (ell * slope / z)[r.detached], rtol=1e-13)
    np.testing.assert_array_equal(r.alignment[~r.detached], 0)
    np.testing.assert_array_equal(r.value, np.broadcast_to(ell, (3, 5)))
    one = spike(H, 0.02, 2.0)
    assert (one.location, one.alignment) == (r.location[0, 1], r.alignment[0, 1])


def test_not_detached():
    """Right of all levels of its bulk: the right edge; left of them: the left edge; between two: NaN."""
    law = fh.sample_covariance(fh.Spectrum([1, 3, 10]), 0.1)
    edges = law.support.ravel()
    ell = [0.9, 1.1, 2.7, 3.5, 9.0, 11.0]
    r = spike_law(law, ell)
    assert not r.detached.any()
    np.testing.assert_array_equal(r.location, edges)
    # noise that has a bulk of its own, away from all levels
    alone = fh.Law(fh.Spectrum([0.0])).add_wishart(2.0)
    np.testing.assert_allclose(spike_law(alone, [1.9, 2.1]).location, alone.support[0], rtol=1e-14)
    np.testing.assert_array_equal(r.status, CONVERGED)
    merged = fh.sample_covariance(fh.Spectrum([1, 3, 10]), 0.5)
    assert np.isnan(spike_law(merged, 5.0).location)
    assert spike_law(merged, 5.0).alignment == 0
    assert spike_law(merged, 5.0).status is CONVERGED


def test_zero_spike():
    """No variance in the population, none in the sample."""
    r = spike(fh.Spectrum([1, 3]), [0.5, 2.0], 0.0)
    np.testing.assert_array_equal(r.location, 0)
    np.testing.assert_allclose(r.alignment, [1, 0], rtol=1e-14)
    np.testing.assert_array_equal(r.detached, [True, False])


def test_law_without_steps():
    r = spike_law(fh.Law(fh.Spectrum([1, 3])), [2.0, -5.0])
    np.testing.assert_array_equal(r.location, [2, -5])
    np.testing.assert_array_equal(r.alignment, 1)


def test_bad_elements():
    H = fh.Spectrum([1, 3, 5], [1, 1, 0])
    r = spike(H, 0.01, [1.0, 3.0, 5.0, np.nan, np.inf, -1.0])
    np.testing.assert_array_equal(r.status, [2, 2, 0, 2, 2, 2])
    np.testing.assert_array_equal(r.success, [0, 0, 1, 0, 0, 0])
    assert np.isnan(r.location[[0, 1, 3, 4, 5]]).all()
    np.testing.assert_array_equal(r.detached, [0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(spike(H, [0.01, -1.0, np.nan, np.inf], 5.0).status, [0, 2, 2, 2])
    assert spike(H, np.empty(0), 5.0).location.shape == (0,)
    for bad in (1.0, np.nan, -1.0):
        with pytest.raises(
            ValueError, match=r"^value must be finite, different from every eigenvalue.*; got"
        ):
            spike(H, 0.01, bad)
    with pytest.raises(ValueError, match=r"^ratio must be > 0; got -1.0"):
        spike(H, -1.0, 5.0)
    with pytest.raises(ValueError, match=r"^value must be finite"):
        spike(H, [0.1, 0.2], np.nan)
    with pytest.raises(ValueError, match=r"^ratio and value must broadcast"):
        spike(H, [0.1, 0.2], [1, 2, 3])
    with pytest.raises(TypeError, match=r"^H must be a Spectrum"):
        spike([1, 3], 0.1, 5.0)
    for function in (spike_law, outlier_law):
        with pytest.raises(TypeError, match=r"^law must be a Law; got Spectrum"):
            function(H, 5.0)
    # a negative eigenvalue is welcome where nobody takes it for a covariance
    assert spike_law(fh.semicircle(), -2.0).location == -2.5
    assert spike_law(fh.semicircle().shift(4.0).sample_covariance(0.1), -3.0).status is CONVERGED
    with pytest.raises(ValueError, match=r"^value must be.*positive semidefinite"):
        spike_law(fh.semicircle().shift(4.0).sample_covariance(0.1), -5.0)


# ------------------------------------------------------------------------------------------- the way back


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=4),
    st.floats(0.01, 5),
    st.floats(0, 40),
)
@settings(max_examples=120)
def test_there_and_back(values, ratio, ell):
    H = fh.Spectrum(values)
    assume(all(abs(ell - t) > 1e-6 for t in values))
    r = spike(H, ratio, ell)
    if not r.detached:
        assert r.alignment == 0
        return
    assert 0 <= r.alignment <= 1 + 1e-12
    edges = fh.sample_covariance(H, ratio).support
    assume((np.abs(edges - r.location) > 1e-6 * r.location).all())
    assert ((r.location < edges[:, 0]) | (r.location > edges[:, 1])).all()
    assume(r.location > 0)
    back = spike_from_outlier(H, ratio, r.location)
    assert back.value == pytest.approx(ell, rel=1e-9)
    assert back.alignment == pytest.approx(r.alignment, rel=1e-6, abs=1e-9)
    assert back.detached


def test_outliers_that_cannot_be():
    H = fh.Spectrum([1, 3])
    law = fh.sample_covariance(H, 0.05)
    gap = law.support.ravel()[1:3].mean()
    x = [law.support[0].mean(), gap, 0.0, -1.0, np.nan, np.inf, 100.0]
    r = spike_from_outlier(H, 0.05, x)
    np.testing.assert_array_equal(r.status, [2, 0, 0, 2, 2, 2, 0])
    assert r.value[1] == pytest.approx(outlier_law(law, gap).value)
    assert r.value[2] == 0
    np.testing.assert_array_equal(spike_from_outlier(H, [0.05, 0.0], 100.0).status, [0, 2])
    # for p > n nothing lies between 0 and the bulk
    low = fh.sample_covariance(H, 8.0).support[0, 0]
    for bad, ratio in (
        (law.support[0].mean(), 0.05),
        (0.5 * low, 8.0),
        (0.0, 8.0),
        (-1.0, 0.05),
        (np.nan, 0.05),
    ):
        with pytest.raises(ValueError, match=r"^location must lie off the law's support and atoms"):
            spike_from_outlier(H, ratio, bad)
    law = build([1.0, 2.0], [("add_compound_poisson", 0.5, [1.0, -0.5], [0.5, 0.5])])
    for value in (-2.0, 5.0):
        assert outlier_law(law, spike_law(law, value).location).value == pytest.approx(value, rel=1e-13)
    assert np.isnan(outlier_law(fh.semicircle().corner(0.5), 4.0).alignment)


@pytest.mark.parametrize(("p", "n", "ell"), [(100, 200, 4.0), (200, 100, 8.0), (60, 300, 0.2)])
def test_population_spike(p, n, ell):
    """Estimates of the population eigenvalue and of the alignment from one sample's eigenvalues."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(300):
        x = rng.standard_normal((n, p))
        x[:, 0] *= ell**0.5
        values, vectors = np.linalg.eigh(x @ x.T / n if p > n else x.T @ x / n)
        top = -1 if ell > 1 else 0
        vector = x.T @ vectors[:, top] if p > n else vectors[:, top]
        true = vector[0] ** 2 / (vector @ vector)
        r = population_spike(values, n, values[top])
        # zeros beyond the rank may be there or not
        if p > n:
            all_ = np.concatenate((values, np.zeros(p - n)))
            assert population_spike(all_, n, values[top]).value == pytest.approx(r.value, rel=1e-12)
        rows.append([r.value, r.alignment - true])
    within(rows, [ell, 0.0])


def test_several_population_spikes():
    rng = np.random.default_rng(0)
    scale = np.ones(200)
    scale[:3] = 6.0, 9.0, 14.0
    rows = []
    for _ in range(40):
        x = rng.standard_normal((600, 200)) * np.sqrt(scale)
        values = np.linalg.eigvalsh(x.T @ x / 600)
        r = population_spike(values, 600, values[-3:])
        assert r.detached.all()
        rows.append(r.value)
    within(rows, [6, 9, 14])


def test_population_spike_of_the_limit():
    """On the quantiles of the law it inverts `spike`."""
    law = fh.sample_covariance(fh.Spectrum([1, 2]), 0.5)
    values = law.ppf((np.arange(4000) + 0.5) / 4000)
    r = spike_law(law, 9.0)
    back = population_spike(values, 8000, r.location)
    assert back.value == pytest.approx(9.0, rel=2e-4)
    assert back.alignment == pytest.approx(r.alignment, rel=2e-4)
    # the same with the outlier in the list
    assert population_spike([*values, r.location], 8000, r.location) == back


def test_population_spike_refusals():
    values = np.linspace(1, 2, 50)
    r = population_spike(values, 100, [4.0, -1.0, np.nan, 0.0])
    np.testing.assert_array_equal(r.status, [0, 2, 2, 2])
    assert np.isnan(r.value[1:]).all()
    with pytest.raises(ValueError, match=r"^location must be > 0 and an isolated eigenvalue.*got -1.0"):
        population_spike(values, 100, -1.0)
    with pytest.raises(ValueError, match=r"^sample_eigenvalues must be >= 0; got -1.0 at index 1"):
        population_spike([1.0, -1.0], 100, 4.0)
    with pytest.raises(ValueError, match=r"^sample_eigenvalues must be one-dimensional"):
        population_spike(np.eye(3), 100, 4.0)
    with pytest.raises(TypeError, match=r"^n must be an integer"):
        population_spike(values, 10.5, 4.0)


# ---------------------------------------------------------------------------------------------- Mestre's


def test_population_eigenvalues():
    """True 1 and 2 on the page; here the mean of draws, in units of its own error."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(30):
        x = rng.standard_normal((1500, 150)) * np.repeat(np.sqrt([2.0, 1.0, 7.0]), [30, 70, 50])
        rows.append(population_eigenvalues(np.linalg.eigvalsh(x.T @ x / 1500)[::-1], 1500, [70, 30, 50]))
    within(rows, [1.0, 2.0, 7.0])
    rows = []
    for _ in range(30):
        x = rng.standard_normal((4000, 100)) * np.repeat(np.sqrt([2.0, 1.0]), [30, 70])
        rows.append(population_eigenvalues(np.linalg.eigvalsh(x.T @ x / 4000), 4000, [70, 30]))
    within(rows, [1.0, 2.0])


def test_population_eigenvalues_without_spread():
    """All in one group: the trace."""
    values = np.array([0.5, 3.0, 1.0])
    got = population_eigenvalues(values, 10, [3])
    np.testing.assert_allclose(got, [1.5], rtol=1e-13)  # sum(lambda - eta) = sum(lambda)/n


@pytest.mark.parametrize(
    ("n", "multiplicities", "error", "message"),
    [
        (3, [2, 1], ValueError, r"^n must be > p = 3; got 3"),
        (10, [2, 2], ValueError, r"^multiplicities must be integers >= 1 with sum p = 3; got \[2.0, 2.0\]"),
        (10, [3, 0], ValueError, r"^multiplicities must be integers >= 1"),
        (10, [1.5, 1.5], ValueError, r"^multiplicities must be integers >= 1"),
        (10, [np.nan, 3], ValueError, r"^multiplicities must be finite"),
        ("a", [3], TypeError, r"^n must be an integer"),
    ],
)
def test_population_eigenvalues_refusals(n, multiplicities, error, message):
    with pytest.raises(error, match=message):
        population_eigenvalues([1.0, 2.0, 3.0], n, multiplicities)


def test_records(tmp_path):
    H = fh.Spectrum([1.0])
    records = [
        spike(H, 0.5, 3.5), spike(H, 0.5, [3.5, 1.2]), spiked_model("additive", 0.5, 2.5),
        spiked_model("additive", [0.5, 1.0], 2.5), low_rank_error(0.5, 2.5), low_rank_error(0.5, [2.5, 3.0]),
    ]  # fmt: skip
    for record in records:
        assert pickle.loads(pickle.dumps(record)) == record
        record.save(tmp_path / "r.npz")
        assert type(record).load(tmp_path / "r.npz") == record
    assert [type(r) for r in records[::2]] == [Spike, SpikedModel, LowRankError]
    assert repr(records[0]) == "Spike(location=4.2, alignment=0.766667, detached=True, value=3.5, CONVERGED)"
    assert repr(records[1]) == "Spike, shape (2,), CONVERGED"
    assert isinstance(records[0].status, fh.Status)
    with pytest.raises(ValueError, match="read-only"):
        records[1].location[0] = 1
