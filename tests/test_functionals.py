"""Spectral functionals and their fluctuations: closed forms, 30-digit contours, exact moments, simulation."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import fasthde as fh
from fasthde._distribution import Distribution
from fasthde.coupled import separable
from fasthde.fluctuations import LinearStatistic, linear_statistic
from fasthde.functionals import Functional, functional
from fasthde.spikes import spike_law
from tests.common import powers
from tests.oracle_laws import (
    chain_matrix,
    chain_point,
    chain_root,
    chain_stieltjes,
    mp,
    mpf,
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Hundreds of small eigenvalue problems: BLAS threads would only wait for each other."""
    with threadpool_limits(1, user_api="blas"):
        yield


def build(values, steps, weights=None):
    law = fh.Law(fh.Spectrum(values, weights=weights))
    for name, *numbers in steps:
        law = getattr(law, name)(*numbers)
    return law


def rel(got, want):
    return float(np.max(np.abs(np.asarray(got) - np.asarray(want)) / np.abs(np.asarray(want))))


# ------------------------------------------------------------------------------------------ closed forms

METHODS = ["auto", "real", "contour"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("c", [0.1, 0.5, 0.9, 0.999])
def test_marchenko_pastur(c, method):
    """log, inverse and square: (c - 1) log(1 - c)/c - 1, 1/(1 - c), 1 + c."""
    r = functional(fh.marchenko_pastur(c), [np.log, lambda x: 1 / x, np.square], method=method)
    want = np.array([(c - 1) / c * np.log1p(-c) - 1, 1 / (1 - c), 1 + c])
    assert rel(r.value, want) < 2e-14
    assert np.all(np.abs(r.value - want) <= r.error)
    assert np.all(r.error <= 1e-12 * np.maximum(np.abs(want), 1.6))
    assert r.success.all()
    assert r.fraction == pytest.approx(1.0, abs=1e-14)
    assert r.checked.all() == (method != "real")
    assert r.method == ("contour" if method == "contour" else "real")


@pytest.mark.parametrize("method", METHODS)
def test_semicircle(method):
    """exp: the Bessel function I_1(2)."""
    r = functional(fh.semicircle(), np.exp, method=method)
    want = float(mp.besseli(1, 2))
    assert abs(r.value - want) <= r.error <= 1e-12 * want


def test_an_almost_hard_edge_costs_little():
    """Contours are ellipses in a logarithm: the lowest eigenvalue at 2.5e-21 takes 330 nodes more."""
    c = 1 - 1e-10
    real, ring = (functional(fh.marchenko_pastur(c), np.log, method=m) for m in ("real", "contour"))
    want = (c - 1) / c * np.log1p(-c) - 1
    for r in (real, ring):
        assert abs(r.value - want) <= r.error < 1e-13
    assert ring.nodes - real.nodes < 1000


def test_kinks_and_steps_on_the_real_axis():
    law = fh.marchenko_pastur(0.5)
    r = functional(law, [lambda x: np.abs(x - 1.0), lambda x: x > 1.0, lambda x: np.maximum(x, 1.5)])
    with mp.workdps(25):
        a, b = (1 - mp.sqrt("0.5")) ** 2, (1 + mp.sqrt("0.5")) ** 2

        def angle(f, low, high):
            """int f dF from low to high, x = mid - half cos."""
            mid, half = (a + b) / 2, (b - a) / 2

            def inner(t):
                x = mid - half * mp.cos(t)
                return f(x) * (half * mp.sin(t)) ** 2 / (mp.pi * x)

            return mp.quad(inner, [mp.acos((mid - v) / half) for v in (low, high)])

        def one(x):
            return mpf(1)

        want = [
            angle(lambda x: 1 - x, a, 1) + angle(lambda x: x - 1, 1, b),
            angle(one, 1, b),
            mpf("1.5") * angle(one, a, mpf("1.5")) + angle(lambda x: x, mpf("1.5"), b),
        ]
    assert [float(abs(mpf(float(v)) - w)) for v, w in zip(r.value, want, strict=True)] <= list(r.error)
    assert r.error.max() < 1e-12
    assert not r.checked.any()
    assert r.success.all()


# --------------------------------------------------------------------------------- contours in 30 digits


def reference(values, weights, steps, functions, low, high, left, right, overlap=None, dps=20):
    """-(1/2 pi i) of the integrals of f F, on an ellipse in log((z - left)/(right - z)) around [low, high]."""
    with mp.workdps(dps + 10):
        low, high, left, right = map(mpf, (low, high, left, right))
        ends = [mp.log((x - left) / (right - x)) for x in (low, high)]
        middle, half = sum(ends) / 2, (ends[1] - ends[0]) / 2
        short = mp.pi / 2
        rate = min(mp.asinh(short / half), mp.asinh(mp.pi / half) - mp.asinh(short / half))
        count = int((dps + 3) * mp.log(10) / rate) + 2
        total = [mpf(0)] * len(functions)
        for k in range(count):
            turn = mp.expj(mp.pi * (k + mpf("0.5")) / count)
            place = middle + mp.sqrt(half**2 + short**2) * turn.real + 1j * short * turn.imag
            z = left + (right - left) / (1 + mp.exp(-place))
            slope = -mp.sqrt(half**2 + short**2) * turn.imag + 1j * short * turn.real
            dz = (z - left) * (right - z) / (right - left) * slope
            if overlap is None:
                transform = chain_stieltjes(values, weights, steps, z, dps)
            else:
                s = chain_root(values, weights, steps, z, dps)
                factor = chain_point(values, weights, steps, s)[2]
                transform = factor * mp.fsum(
                    mpf(float(o)) / (mpf(float(t)) - s) for o, t in zip(overlap, values, strict=True)
                )
            total = [v - (f(z) * transform * dz).imag / count for v, f in zip(total, functions, strict=True)]
        return total


CHAINS = {
    "gap": ([1.0, 3.0, 7.0], [("sample_covariance", 0.1)]),
    "small": ([0.01, 1.0, 3.0], [("sample_covariance", 0.6)]),
    "two": (
        [1.0, 7.0],
        [("sample_covariance", 0.3), ("scale", 0.7), ("shift", 0.3), ("sample_covariance", 0.4)],
    ),
    "noise": (
        [1.0, 7.0],
        [("sample_covariance", 0.3), ("shift", 1.0), ("add_semicircle", 0.1), ("add_wishart", 0.5, 0.3)],
    ),
    "inverse": ([1.0, 2.0], [("multiply_inverse_wishart", 0.3), ("sample_covariance", 0.2)]),
}


@pytest.mark.parametrize("form", ["trace", "bilinear"])
@pytest.mark.parametrize("name", CHAINS)
def test_chains_against_high_precision(name, form):
    """True errors below the estimated ones, on the axis and on contours; overlaps of both signs."""
    values, steps = CHAINS[name]
    law = build(values, steps)
    overlap = (
        np.linspace(1, 2, len(values)) * (-1.0) ** np.arange(len(values)) if form == "bilinear" else None
    )
    low, high = law.support[0, 0], law.support[-1, 1]
    want = reference(
        values,
        None,
        steps,
        [mp.log, lambda z: z**3, lambda z: mp.exp(-2 * z)],
        low,
        high,
        0,
        2 * high,
        overlap,
    )
    for method in ("real", "contour"):
        r = functional(
            law, [np.log, lambda z: z**3, lambda z: np.exp(-2 * z)], overlap=overlap, method=method
        )
        error = np.array([float(abs(mpf(float(v)) - w)) for v, w in zip(r.value, want, strict=True)])
        assert np.all(error <= r.error), (method, error, r.error)
        assert np.all(error[:2] <= 2e-14 * np.abs(r.value[:2]))
        assert r.success.all()


# --------------------------------------------------------------------------- bilinear forms: exact moments

ATOMS = [
    ([1.0, 2.0], [0.5, 0.5], 0.5),
    ([1.0, 2.0], [0.5, 0.5], 2.0),  # zeros of the sample
    ([0.0, 1.0, 2.0], [0.5, 0.25, 0.25], 0.5),  # zeros of the population
    ([0.0, 1.0, 2.0], [0.5, 0.25, 0.25], 3.0),  # both
    ([0.0, 1.0, 2.0], [0.5, 0.25, 0.25], 2.0),  # an atom that the support reaches
    ([1.0, 2.0], [0.5, 0.5], 1.0),  # a hard edge
]


def moments(values, weights, c, t, overlap):
    """Overlap with 1, M, M**2 of a sample covariance: sums of o, o t, o (t**2 + c mean(t) t)."""
    mean = np.dot(values, weights)
    return [overlap.sum(), overlap @ t, overlap @ (t * t + c * mean * t)]


POWERS = [np.ones_like, lambda x: x, lambda x: x * x]


@pytest.mark.parametrize("spikes", [None, [10.0], [1.7, 0.01]])
@pytest.mark.parametrize(("values", "weights", "c"), ATOMS)
def test_moments_with_atoms_and_spikes(values, weights, c, spikes):
    law = build(values, [("sample_covariance", c)], weights)
    t = np.concatenate((values, spikes or []))
    a, b = np.linspace(1, 2, t.size), np.linspace(2, -1, t.size)
    want = moments(values, weights, c, t, a * b)
    for method in ("real", "contour"):
        r = functional(law, POWERS, a=a, b=b, spikes=spikes, method=method)
        scale = np.abs(moments(values, weights, c, t, np.abs(a * b)))
        assert np.all(np.abs(r.value - want) <= 4e-15 * scale)
        assert np.all(np.abs(r.value - want) <= r.error + 4e-16 * scale)
        assert r.success.all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(powers(-2, 2), powers(-1, 1)), min_size=1, max_size=5, unique_by=lambda v: v[0]),
    powers(-1, 1),
    st.lists(powers(-2, 2), max_size=2),
)
def test_moments_of_any_spectrum(levels, c, spikes):
    values, weights = np.array(levels).T
    weights = weights / weights.sum()
    law = build(values, [("sample_covariance", c)], weights)
    t = np.concatenate((values, spikes))
    overlap = np.linspace(1, -0.5, t.size)
    r = functional(law, POWERS, overlap=overlap, spikes=spikes)
    want = moments(values, weights, c, t, overlap)
    assert np.all(np.abs(r.value - want) <= np.maximum(r.error, 1e-12 * np.abs(want)))
    assert r.checked.all()


def random_chain(rng):
    """One to three operations on up to five levels over five decades, zeros among them; None if not defined."""
    values = 10 ** rng.uniform(-3, 2, rng.integers(1, 6))
    values[0] *= rng.random() > 0.3
    if not values.any():
        return None
    law = fh.Law(fh.Spectrum(values, weights=rng.random(values.size) + 0.05))
    for _ in range(rng.integers(1, 4)):
        name, number = [
            ("sample_covariance", 10 ** rng.uniform(-1.5, 1)),
            ("scale", 10 ** rng.uniform(-1.5, 1)),
            ("shift", 10 ** rng.uniform(-1.5, 1)),
            ("add_semicircle", 10 ** rng.uniform(-4, 0)),
            ("add_wishart", 10 ** rng.uniform(-1.5, 1)),
            ("multiply_inverse_wishart", rng.uniform(0.05, 0.8)),
        ][rng.integers(6)]
        try:
            law = getattr(law, name)(number)
        except ValueError:  # data of an indefinite population
            return None
    return law


@pytest.mark.parametrize("seed", range(60))
def test_any_chain_on_both_routes(seed):
    """Real axis and contours agree, and forms count the whole overlap: isolated, touching and absent atoms, spikes."""
    rng = np.random.default_rng(seed)
    law = random_chain(rng)
    if law is None:
        return
    low, high = law._hull()
    size = max(abs(low), abs(high))
    f = [np.ones_like, lambda x: (x / size) ** 3, lambda x: np.exp(-x / size), lambda x: 1 / (x - low + size)]
    spikes = 10 ** rng.uniform(-2, 3, rng.integers(0, 3))
    overlap = rng.standard_normal(law.spectrum.values.size + spikes.size)
    r = functional(law, f)
    assert r.checked.all()
    assert r.success.all()
    assert r.value[0] == pytest.approx(1.0, rel=1e-12)
    r = functional(law, f, overlap=overlap, spikes=spikes)
    assert r.checked.all()
    assert r.success.all()
    assert abs(r.value[0] - overlap.sum()) <= 1e-12 * np.abs(overlap).sum()


def test_levels_of_a_hard_edge_in_a_chain():
    """Two data steps of ratio 2: the atom at 1/2 and the support touch; the levels' forms average to the trace."""
    law = build([1.0, 3.0], [("sample_covariance", 2.0), ("sample_covariance", 2.0), ("shift", 0.5)])
    f = [np.ones_like, lambda x: x, np.exp, lambda x: 1 / x]
    parts = [functional(law, f, overlap=v).value for v in ([1.0, 0.0], [0.0, 1.0])]
    assert rel(0.5 * (parts[0] + parts[1]), functional(law, f).value) < 1e-13
    assert rel([v[1] for v in parts], [1.5, 3.5]) < 1e-14


def test_an_atom_of_an_addition():
    law = fh.Law(fh.Spectrum([1.0, 5.0], [90, 10])).add_wishart(2.0)
    parts = [functional(law, POWERS, overlap=v) for v in ([1.0, 0.0], [0.0, 1.0])]
    assert rel(0.9 * parts[0].value + 0.1 * parts[1].value, functional(law, POWERS).value) < 1e-14
    assert rel([v.value[1] for v in parts], [2.0, 6.0]) < 1e-14
    assert all(v.checked.all() for v in parts)


# -------------------------------------------------------------------------------------------------- spikes


@pytest.mark.parametrize("steps", [CHAINS[n][1] for n in ("small", "two", "noise", "inverse")])
def test_an_outlier_is_a_pole(steps):
    """Alone in the domain it counts f(location) times alignment, and f(location)/p in the trace."""
    law = fh.Law(fh.Spectrum([1.0, 2.0], [30, 30]))
    for name, *numbers in steps:
        law = getattr(law, name)(*numbers)
    spike = spike_law(law, 30.0)
    assert spike.detached
    domain = (0.5 * (law.support[-1, 1] + spike.location), np.inf)
    f = [np.log, np.sqrt]
    want = np.array([np.log(spike.location), np.sqrt(spike.location)])
    for method in ("real", "contour"):
        r = functional(law, f, overlap=[0.7, 0.0, 2.0], spikes=[30.0], domain=domain, method=method)
        assert rel(r.value, 2.0 * spike.alignment * want) < 1e-13
        assert np.all(np.abs(r.value - 2.0 * spike.alignment * want) <= r.error)
        assert r.fraction == 0.0
        s = functional(law, f, spikes=[30.0], domain=domain, method=method)
        assert rel(s.value, want / 60) < 1e-13
    # a level of multiplicity 0 is a spike too
    same = fh.Law(fh.Spectrum([1.0, 2.0, 30.0], [30, 30, 0]))
    for name, *numbers in steps:
        same = getattr(same, name)(*numbers)
    assert functional(same, f, overlap=[0.7, 0.0, 2.0], domain=domain).value == pytest.approx(
        functional(law, f, overlap=[0.7, 0.0, 2.0], spikes=[30.0], domain=domain).value, rel=1e-14
    )


@pytest.mark.parametrize("spikes", [[6.0], [1.5], [0.05, 9.0]])
@pytest.mark.parametrize(
    "steps",
    [
        [("sample_covariance", 0.5)],
        [("sample_covariance", 2.0)],
        [
            ("sample_covariance", 0.3),
            ("scale", 0.7),
            ("shift", 0.3),
            ("add_semicircle", 0.05),
            ("add_wishart", 0.5),
        ],
        [("sample_covariance", 0.3), ("multiply_inverse_wishart", 0.2)],
    ],
)
def test_trace_with_spikes_is_the_derivative_by_the_spectrum(steps, spikes):
    """p times the change, against Richardson extrapolation of spectra in which the spikes are levels."""
    f = [np.ones_like, lambda x: x, lambda x: x * x, lambda x: 1 / (x + 0.3)]
    count = len(spikes)

    def law(p, extra):
        H = fh.Spectrum([1.0, 2.0, *spikes], [(p - extra * count) / 2] * 2 + [extra] * count)
        chain = fh.Law(H)
        for name, *numbers in steps:
            chain = getattr(chain, name)(*numbers)
        return chain

    def change(p):
        bulk, moved = (functional(law(p, extra), f, method="real").value for extra in (0, 1))
        return p * (moved - bulk)

    want = 2 * change(2e5) - change(1e5)
    bulk, spiked = functional(law(100, 0), f), functional(law(100, 0), f, spikes=spikes)
    got = 100 * (spiked.value - bulk.value)
    assert np.all(np.abs(got - want) <= 1e-5 * np.abs(want) + 2e-8)
    assert spiked.checked.all()


# ------------------------------------------------------------------------------------------------- domains


def test_domains_add_up():
    law = build(*CHAINS["gap"])
    ends = [-np.inf, 1.5, 4.5, np.inf]
    f = [np.ones_like, np.log, lambda x: x**3]
    for form in ({}, {"overlap": [1.0, -2.0, 0.5]}):
        whole = functional(law, f, **form)
        parts = [functional(law, f, domain=d, **form) for d in itertools.pairwise(ends)]
        assert rel(sum(v.value for v in parts), whole.value) < 2e-14
        assert all(v.checked.all() for v in parts)
        assert [v.fraction for v in parts] == pytest.approx([1 / 3] * 3, abs=1e-14)
    middle = functional(law, lambda x: x, domain=(1.5, 4.5))
    assert middle.average == pytest.approx(middle.value * 3, rel=1e-14)


def test_fraction_counts_isolated_eigenvalues():
    law = fh.sample_covariance(fh.Spectrum([1, 3, 10], multiplicity=[100, 100, 99]), 0.05)
    r = functional(law, np.ones_like, domain=(1.7, np.inf), spikes=[25.0])
    assert r.fraction == r.value
    assert r.average == 1.0
    # 100 of the 298 levels that follow the law lie below, and one of the 299 eigenvalues is the spike
    assert r.fraction == pytest.approx(199 / 299 * 298 / 299 + 1 / 299, rel=1e-12)


@pytest.mark.parametrize("domain", [(1.0, 2.0), (-1.0, 3.0), (0.0, 5.0), (3.0, 1.5), (1.5, np.nan), 3.0])
def test_domain_must_end_in_gaps(domain):
    law = fh.sample_covariance(fh.Spectrum([0.0, 1.0, 3.0, 7.0], [1, 1, 1, 1]), 0.1)
    with pytest.raises(ValueError, match="domain"):
        functional(law, np.exp, domain=domain)


# ------------------------------------------------------------------------- functions that are not analytic


def test_a_pole_in_a_gap():
    """The joint contour holds the pole and is given up for one around each component."""
    law = build(*CHAINS["gap"])
    f = lambda x: 1 / (x - 1.6)  # noqa: E731
    want = -law.stieltjes(1.6) * -1.0
    for keywords in ({}, {"method": "contour"}, {"method": "contour", "singularities": [1.6]}):
        r = functional(law, f, **keywords)
        assert abs(r.value - want) <= r.error < 1e-11
        assert r.checked


@pytest.mark.parametrize("distance", [0.3, 0.01])
def test_poles_beside_the_support(distance):
    """Named, contours pass between; unnamed, tighter ones are tried, then the user is told."""
    law = fh.marchenko_pastur(0.5)
    f = lambda x: 1 / (x - (1 + 1j * distance))  # noqa: E731
    want = law.stieltjes(1 + 1j * distance)
    r = functional(law, f)
    assert abs(r.value - want) <= r.error
    assert r.checked == (distance > 0.1)
    named = functional(law, f, method="contour", singularities=[1 + 1j * distance])
    assert abs(named.value - want) <= named.error < 1e-10 * abs(want)
    if distance < 0.1:
        with pytest.raises(ValueError, match=r"f must be analytic .* singularities="):
            functional(law, f, method="contour")


@pytest.mark.parametrize(
    "f", [np.abs, lambda x: np.abs(x - 1), lambda x: x.real, lambda x: np.sqrt((x - 1) ** 2)]
)
def test_contours_refuse_what_is_not_analytic(f):
    law = fh.marchenko_pastur(0.5)
    r = functional(law, f)
    assert not r.checked
    assert r.success
    with pytest.raises(ValueError, match="f must be analytic"):
        functional(law, f, method="contour")


def test_functions_of_real_numbers_only():
    def f(x):
        if x.dtype.kind == "c":
            raise TypeError("real numbers only")
        return x**2

    law = fh.marchenko_pastur(0.5)
    r = functional(law, [f, np.square])
    assert r.value == pytest.approx([1.5, 1.5], rel=1e-14)
    assert r.checked.tolist() == [False, True]
    with pytest.raises(ValueError, match=r"f\[1\] must be analytic .* it raised TypeError"):
        functional(law, [np.square, f], method="contour")


def test_complex_functions():
    """exp(i x), and a function without symmetry, on both routes."""
    law = build(*CHAINS["noise"])
    f = lambda x: np.exp(1j * x) / (x + 1 - 2j)  # noqa: E731
    real, ring = functional(law, f, method="real"), functional(law, f, method="contour")
    assert abs(real.value - ring.value) <= real.error + ring.error < 1e-12
    assert abs(real.value.imag) > 0.01


def test_a_rough_function_is_given_up_in_time():
    r = functional(fh.marchenko_pastur(0.5), lambda x: np.sin(1e9 * x) ** 2)
    assert r.status is fh.Status.NOT_CONVERGED
    assert abs(r.value - 0.5) <= r.error < 0.5
    assert r.nodes < 2_000_000


def test_what_f_may_return():
    law = fh.marchenko_pastur(2.0)
    with pytest.raises(ValueError, match="f must be vectorised"):
        functional(law, lambda x: 1.0)
    with pytest.raises(ValueError, match=r"f\[1\] must be finite on the spectrum"):
        functional(law, [np.exp, lambda x: np.log(x - 1)])
    with pytest.raises(ValueError, match=r"f must be defined on the spectrum; f\(0\)"):
        functional(law, lambda x: np.where(x > 0, x, np.nan))
    with pytest.raises(TypeError, match="f must be a vectorised function"):
        functional(law, 3.0)
    with pytest.raises(TypeError, match="f must return numbers"):
        functional(law, lambda x: x.astype(str))


def test_infinite_at_an_atom():
    law = fh.marchenko_pastur(2.0)
    r = functional(law, [np.log, np.exp])
    assert r.value[0] == -np.inf
    assert r.status.tolist() == [fh.Status.DIVERGES, fh.Status.CONVERGED]
    assert r.checked.tolist() == [False, True]
    with pytest.raises(ValueError, match="domain="):
        functional(law, np.log, method="contour")
    # without the zeros: half the n x n Gram matrix's
    rest = functional(law, np.log, domain=(1e-3, np.inf))
    want = functional(law.companion(), np.log).value / 2
    assert abs(rest.value - want) <= rest.error
    assert rest.checked
    assert rest.fraction == pytest.approx(0.5, abs=1e-15)


def test_a_divergent_integral_is_not_converged():
    r = functional(fh.marchenko_pastur(1.0), lambda x: 1 / x)
    assert r.status is fh.Status.NOT_CONVERGED
    assert not r.success
    assert r.error > 0.1 * r.value
    with pytest.raises(ValueError, match="f must be analytic"):
        functional(fh.marchenko_pastur(1.0), lambda x: 1 / x, method="contour")
    with pytest.raises(ValueError, match="hard edge"):
        linear_statistic(fh.Spectrum([1.0]), 1.0, lambda x: 1 / x, p=100)


# -------------------------------------------------------------------------------------------- other laws


def test_coupled_law():
    """Separable: mean tau(C) tau(T), second moment by free probability."""
    C, T = np.array([1.0, 3.0]), np.array([0.5, 2.0])
    c = 0.4
    r = functional(separable(fh.Spectrum(C), fh.Spectrum(T), c), POWERS[1:])
    second = np.mean(C**2) * np.mean(T) ** 2 + c * np.mean(C) ** 2 * np.mean(T**2)
    assert rel(r.value, [C.mean() * T.mean(), second]) < 1e-13
    assert r.checked.all()
    with pytest.raises(TypeError, match="law must be a Law"):
        functional(separable(fh.Spectrum(C), fh.Spectrum(T), c), np.exp, a=[1.0, 1.0])


class Bare(Distribution):
    """Nothing but transform, support and atoms."""

    __slots__ = ("law",)

    def __init__(self, law):
        object.__setattr__(self, "law", law)

    @property
    def support(self):
        return self.law.support

    @property
    def atoms(self):
        return self.law.atoms

    def stieltjes(self, z, *, side=None, full_output=False):
        return self.law.stieltjes(z, side=side)


def test_transform_support_and_atoms_are_enough():
    law = build([1.0, 7.0], [("sample_covariance", 0.1)])
    for inner in (law, fh.marchenko_pastur(2.0)):
        for domain in (None, (0.01, 3.0) if inner is law else (0.01, 9.0)):
            want = functional(inner, [np.exp, lambda x: x], domain=domain)
            got = functional(Bare(inner), [np.exp, lambda x: x], domain=domain)
            assert rel(got.value, want.value) < 1e-13
            assert got.checked.all()


def test_a_law_of_atoms_only():
    law = fh.Law(fh.Spectrum([1.0, 2.0, 4.0])).shift(1.0)
    for method in METHODS:
        r = functional(law, np.log, method=method)
        assert abs(r.value - np.log([2, 3, 5]).mean()) <= r.error < 1e-13
        r = functional(law, np.log, a=[1, 2, 3], b=[1, 0, -1], method=method)
        assert abs(r.value - np.log([2, 3, 5]) @ [1, 0, -3]) <= r.error < 1e-12


# ---------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"b": [1.0, 1.0]}, TypeError, "b goes with a"),
        ({"a": [1.0, 1.0], "overlap": [1.0, 1.0]}, TypeError, "not both"),
        ({"a": [1.0]}, ValueError, "a must have one entry for each of the 2 levels"),
        ({"overlap": [1.0, 2.0, 3.0]}, ValueError, "overlap must have one entry"),
        ({"a": [1.0, np.nan]}, ValueError, "a must be finite"),
        ({"spikes": [[1.0]]}, ValueError, "spikes must be one-dimensional"),
        ({"spikes": [5.0]}, TypeError, "measure without dimension"),
        ({"method": "magic"}, ValueError, "method must be"),
        ({"rtol": 0.0}, ValueError, "rtol must be"),
        ({"singularities": [1.0]}, ValueError, "singularities must lie off the spectrum"),
        ({"singularities": ["0"]}, ValueError, "singularities must be a list"),
    ],
)
def test_arguments(keywords, error, message):
    law = build([1.0, 2.0], [("sample_covariance", 0.5)], [0.5, 0.5])
    with pytest.raises(error, match=message):
        functional(law, np.exp, **keywords)


def test_laws_without_eigenvectors():
    law = fh.marchenko_pastur(0.5)
    with pytest.raises(TypeError, match="companion"):
        functional(law.companion(), np.exp, a=[1.0])
    with pytest.raises(TypeError, match="corner"):
        functional(law.corner(0.5), np.exp, spikes=[3.0])
    with pytest.raises(TypeError, match="law must be"):
        functional(fh.Spectrum([1.0]), np.exp)


def test_results_are_records(tmp_path):
    one = functional(fh.marchenko_pastur(0.5), np.log)
    several = functional(fh.marchenko_pastur(0.5), [np.log, np.exp])
    single = linear_statistic(fh.Spectrum([1.0]), 0.5, np.log, p=100)
    pair = linear_statistic(fh.Spectrum([1.0]), 0.5, [np.log, np.exp], p=100)
    for r, kind in (
        (one, Functional),
        (several, Functional),
        (single, LinearStatistic),
        (pair, LinearStatistic),
    ):
        r.save(tmp_path / "r.npz")
        assert kind.load(tmp_path / "r.npz") == r == pickle.loads(pickle.dumps(r))
        assert kind.__name__ in repr(r)
    assert isinstance(one.value, float)
    assert one.status is fh.Status.CONVERGED
    assert one.checked is True
    assert several.value.shape == several.error.shape == (2,)
    assert isinstance(single.variance, float)
    assert pair.covariance.shape == (2, 2)
    assert pair.variance == pytest.approx(pair.std**2)
    assert single.success
    assert pair.success.all()


# ---------------------------------------------------------------------------------------------- simulation


def test_simulated_bilinear_form():
    """a' f(M) b with a spike, after two data steps; both parts of the domain."""
    p, draws = 200, 24
    steps = [("sample_covariance", 0.3), ("sample_covariance", 0.5)]
    values = np.array([1.0] * (p // 2) + [3.0] * (p // 2))
    values[0] = 25.0
    law = fh.Law(fh.Spectrum([1.0, 3.0], [p / 2, p / 2])).sample_covariance(0.3).sample_covariance(0.5)
    overlap = [0.0, 1.0, 1.0]  # a = b = the spiked direction and one of level 3
    cut = 0.5 * (law.support[-1, 1] + spike_law(law, 25.0).location)
    f = [np.log, lambda x: x, lambda x: np.exp(-x)]
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(draws):
        x, u = np.linalg.eigh(chain_matrix(values, steps, p, rng))
        weight = u[0] ** 2 + u[-1] ** 2
        rows.append([[np.sum((weight * g(x))[part]) for g in f] for part in (x < cut, x > cut)])
    rows = np.array(rows)
    spread = rows.std(axis=0, ddof=1) / np.sqrt(draws)
    for i, domain in enumerate([(-np.inf, cut), (cut, np.inf)]):
        want = functional(law, f, overlap=overlap, spikes=[25.0], domain=domain).value
        assert np.all(np.abs(rows.mean(axis=0)[i] - want) <= 4 * spread[i])
