"""Coupled laws: equations against the oracle, support, density, hard edges, special cases, simulation, bad input."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthde as fh
from tests import oracle_laws as o
from tests.common import EPS

pairs = partial(zip, strict=True)

LEVELS = [1.0, 3.0, 10.0]
OTHER = [5.0, 1.0, 2.0]
PROFILE = [[1.0, 2.0, 0.1], [2.0, 0.5, 1.0], [0.1, 1.0, 3.0]]


def measure(values, weights):
    return fh.Spectrum(values, weights=weights)


class Model:
    """A law, its oracle, and moments from the matrices: E tr M/p and E tr M^2/p in the limit."""

    def __init__(self, kind, *args):
        self.kind = kind
        if kind == "separable":
            t, w, tau, u, c = args
            self.law = fh.separable(measure(t, w), measure(tau, u), c)
            self.oracle = lambda z, dps=20: o.separable_m(t, w, tau, u, c, z, dps)
            t, w, tau, u = (np.asarray(v, float) for v in (t, w, tau, u))
            w, u = w / w.sum(), u / u.sum()
            first = (w @ t) * (u @ tau)
            second = (w @ t**2) * (u @ tau) ** 2 + c * (w @ t) ** 2 * (u @ tau**2)
        elif kind == "mixture":
            rows, w, pi, c = args
            self.law = fh.mixture([measure(t, w) for t in rows], pi, c)
            self.oracle = lambda z, dps=20: o.mixture_m(rows, pi, c, z, w, dps)
            rows, w, pi = (np.asarray(v, float) for v in (rows, w, pi))
            w, pi = w / w.sum(), pi / pi.sum()
            mean = pi @ rows
            first, second = w @ mean, w @ mean**2 + c * np.sum(pi * (rows @ w) ** 2)
        elif kind == "information plus noise":
            a, t, w, c = args
            self.law = fh.information_plus_noise(measure(a, w), c, measure(t, w))
            self.oracle = lambda z, dps=20: o.information_plus_noise_m(a, t, w, c, z, dps)
            a, t, w = (np.asarray(v, float) for v in (a, t, w))
            w = w / w.sum()
            first = w @ (a + t)
            second = w @ (a + t) ** 2 + c * ((w @ t) ** 2 + 2 * (w @ t) * (w @ a))
        else:
            v, w = args
            self.law = fh.variance_profile(v, w)
            self.oracle = lambda z, dps=20: o.variance_profile_m(v, z, w, dps)
            w = np.asarray(w, float) / np.sum(w)
            first, second = 0.0, w @ np.asarray(v) @ w
        self.first, self.second = float(first), float(second)


_THIRD = [1.0, 1.0, 1.0]
MODELS = {
    "separable": ("separable", LEVELS, _THIRD, [0.5, 1.0, 2.5], _THIRD, 0.5),
    "separable, gaps": ("separable", LEVELS, _THIRD, [0.5, 1.5], [1, 1], 0.02),
    "separable, gaps of both sides": ("separable", [1.0, 40.0], [1, 1], [0.1, 8.0], [3, 1], 1.5),
    "separable, c = 2, zeros": ("separable", [0.0, 1.0, 3.0], _THIRD, [0.0, 1.0, 4.0], [1, 1, 2], 2.0),
    "separable, hard edge": ("separable", [0.0, 1.0, 3.0], [2, 1, 1], [0.0, 1.0, 4.0], [2, 1, 1], 1.0),
    "separable, c = 1e-3": ("separable", LEVELS, _THIRD, [0.5, 1.5], [1, 1], 1e-3),
    "separable, c = 1e3": ("separable", LEVELS, _THIRD, [0.5, 1.5], [1, 1], 1e3),
    "mixture": ("mixture", [LEVELS, OTHER], _THIRD, [0.25, 0.75], 0.5),
    "mixture, c = 2": ("mixture", [LEVELS, OTHER], [1, 2, 1], [0.25, 0.75], 2.0),
    "mixture, hard edge": ("mixture", [LEVELS, OTHER], [1, 2, 1], [0.25, 0.75], 1.0),
    "mixture, disjoint": ("mixture", [[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 9.0]], [1] * 4, [0.4, 0.6], 0.3),
    "mixture, nearly disjoint": ("mixture", [[1.0, 2.0, 1e-3], [1e-4, 1e-3, 9.0]], [1] * 3, [0.4, 0.6], 0.8),
    "mixture, shared level": ("mixture", [[1.0, 2.0, 0.0], [0.0, 1.0, 9.0]], [1] * 3, [0.1, 0.9], 1.6),
    "mixture, three classes": ("mixture", [[1.0, 0.1], [5.0, 20.0], [0.0, 1.0]], [1, 3], [1, 2, 2], 0.05),
    "mixture, c = 1e-3": ("mixture", [LEVELS, OTHER], [1, 2, 1], [0.25, 0.75], 1e-3),
    "mixture, c = 1e3": ("mixture", [LEVELS, OTHER], [1, 2, 1], [0.25, 0.75], 1e3),
    "low rank": ("information plus noise", [9.0, 4.0, 0.0], _THIRD, [1, 1, 38], 0.2),
    "information plus noise": ("information plus noise", [2.0, 0.0, 0.5], LEVELS, _THIRD, 0.5),
    "information plus noise, c = 2": ("information plus noise", [2.0, 0.0, 0.0], LEVELS, _THIRD, 2.0),
    "information plus noise, hard edge": ("information plus noise", [2.0, 0.0, 0.5], LEVELS, _THIRD, 1.0),
    "noiseless level": ("information plus noise", [2.0, 0.0, 5.0], [0.0, 1.0, 1.0], [2, 1, 3], 0.5),
    "noiseless atom": ("information plus noise", [2.0, 0.0, 5.0], [0.0, 1.0, 1.0], [6, 1, 3], 0.5),
    "noiseless hard level": ("information plus noise", [2.0, 3.0], [0.0, 1.0], [1, 1], 0.5),
    "noise of three sizes": ("information plus noise", [4.0, 4.0, 4.0], [1e-3, 0.1, 2.0], _THIRD, 0.1),
    "information plus noise, c = 1e-3": ("information plus noise", [2.0, 0.0, 0.5], LEVELS, _THIRD, 1e-3),
    "information plus noise, c = 1e3": ("information plus noise", [2.0, 0.0], [1.0, 2.0], [1e-4, 1], 1e3),
    "profile": ("profile", PROFILE, _THIRD),
    "profile, bipartite": ("profile", [[0.0, 1.0], [1.0, 0.0]], [3, 1]),
    "profile, bipartite hard edge": ("profile", [[0.0, 1.0], [1.0, 0.0]], [1, 1]),
    "profile, cube root": ("profile", [[0.0, 1.0], [1.0, 1.0]], [1, 1]),
    "profile, two parts": ("profile", [[1.0, 0.0, 0.0], [0.0, 4.0, 1.0], [0.0, 1.0, 0.0]], [1, 2, 1]),
    "profile, strong": ("profile", [[0.01, 1.0], [1.0, 100.0]], [9, 1]),
}  # fmt: skip
_built: dict[str, Model] = {}


def model(name):
    """One object a test run: its series is made once."""
    if name not in _built:
        _built[name] = Model(*MODELS[name])
    return _built[name]


def hull(law):
    low, high = law._hull()
    return low, high - low


def inner_points(law, count):
    u = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.concatenate([a + (b - a) * u for a, b in law.support])


def total_mass(law):
    return sum(m for _, m in law.atoms) + law._series.total[1].sum()


# --------------------------------------------------------------------------------------------- transform, density


@pytest.mark.parametrize("name", list(MODELS))
def test_transform(name):
    """At 30 digits, from far away to close to the axis; m of conjugates; status and residual."""
    m = model(name)
    low, width = hull(m.law)
    z = np.array([low + width * (0.3 + 1.0j), low + width * (0.7 + 0.02j), low - width * (0.2 - 1e-3j)])
    r = m.law.stieltjes(z, full_output=True)
    assert np.all(r.success)
    assert np.max(r.residual) <= 1e-13
    assert np.all(r.iterations >= 1)
    want = np.array([complex(m.oracle(complex(x))) for x in z])
    np.testing.assert_allclose(r.value, want, rtol=2e-13)
    assert np.all(r.value.imag > 0)
    np.testing.assert_array_equal(m.law.stieltjes(np.conj(z)), np.conj(r.value))


@pytest.mark.parametrize(
    "name",
    ["separable", "separable, c = 2, zeros", "mixture", "mixture, c = 2", "low rank", "noiseless level",
     "information plus noise, c = 2", "profile", "profile, cube root"],
)  # fmt: skip
def test_density(name):
    """Without smoothing: the oracle's at Im z = 1e-13 of the hull, in the bulk."""
    m = model(name)
    width = hull(m.law)[1]
    for x in inner_points(m.law, 2):
        want = m.oracle(complex(x, 1e-13 * width))
        assert m.law.pdf(x) == pytest.approx(float(want.imag) / np.pi, rel=1e-10)
        assert m.law.stieltjes(x, side="+") == pytest.approx(complex(want), rel=1e-10)


@pytest.mark.parametrize("name", list(MODELS))
def test_mass_and_moments(name):
    m = model(name)
    assert abs(total_mass(m.law) - 1) <= 1e-13
    scale = np.sqrt(m.second)
    assert abs(m.law.mean() - m.first) <= 1e-12 * scale
    assert m.law.moment(2) == pytest.approx(m.second, rel=1e-12)
    assert m.law.var() == pytest.approx(m.second - m.first**2, rel=1e-10)


@pytest.mark.parametrize("name", list(MODELS))
def test_density_gives_the_transform(name):
    """Int pdf/(x - z) = stieltjes(z), at complex z and at real z off the spectrum, gaps included."""
    m = model(name)
    low, width = hull(m.law)
    gaps = m.law.support.ravel()[1:-1].reshape(-1, 2)
    where = np.concatenate(
        ([low - 0.3 * width, low + 1.2 * width], gaps[gaps[:, 1] > gaps[:, 0]].mean(axis=1))
    )
    where = where[~np.isin(where, [a for a, _ in m.law.atoms])]
    for z in [*where, low + width * (0.4 + 0.1j)]:
        got = m.law.stieltjes(z)
        assert isinstance(got, complex if isinstance(z, complex) else float)
        assert m.law.expect(lambda x, z=z: 1 / (x - z)) == pytest.approx(got, rel=1e-11)


@pytest.mark.parametrize("name", list(MODELS))
def test_one_sided_limits(name):
    m = model(name)
    x = inner_points(m.law, 8)  # an even number: the density may be infinite at the centre
    above = m.law.stieltjes(x, side="+")
    np.testing.assert_allclose(m.law.pdf(x), above.imag / np.pi, rtol=1e-9)
    np.testing.assert_array_equal(m.law.stieltjes(x, side="-"), above.conj())
    assert np.all(np.isnan(m.law.stieltjes(x)))
    outside = m.law.support[-1, 1] + 1.0
    assert m.law.stieltjes(outside, side="+") == m.law.stieltjes(outside)


@pytest.mark.parametrize("name", list(MODELS))
def test_quantiles(name):
    m = model(name)
    atoms = dict(m.law.atoms)
    q = np.linspace(0.02, 0.98, 25)
    x = m.law.ppf(q)
    assert np.all(np.diff(x) >= 0)
    smooth = ~np.isin(x, list(atoms))
    # in a gap the cdf is flat: there q is that of an edge
    np.testing.assert_allclose(m.law.cdf(x[smooth]), q[smooth], rtol=0, atol=1e-12)
    for a, mass in atoms.items():
        assert m.law.cdf(a) - m.law.cdf(np.nextafter(a, -np.inf)) == pytest.approx(mass, abs=1e-7)
        assert m.law.ppf(m.law.cdf(a) - 0.5 * mass) == a
    assert m.law.ppf(1.0) == m.law.support[-1, 1]
    np.testing.assert_allclose(m.law.cdf([-np.inf, np.inf]), [0.0, 1.0], rtol=0, atol=8 * EPS)
    draws = m.law.rvs(400, rng=3)
    assert abs(draws.mean() - m.first) <= 5 * np.sqrt((m.second - m.first**2) / 400)


@pytest.mark.parametrize("name", list(MODELS))
def test_edges(name):
    """Where the density sets in: real solutions outside, complex ones inside, both a rounding away."""
    m = model(name)
    edges = m.law.support.ravel()
    sign = np.tile([-1.0, 1.0], edges.size // 2)
    width = np.repeat(np.diff(edges)[::2], 2)
    step = 1e-7 * np.minimum(width, np.abs(edges)) + 1e-9 * width * (edges == 0)
    gap = np.concatenate(([np.inf], np.diff(edges)[1::2], [np.inf]))
    wide = np.repeat(gap, 2)[1:-1] > 4 * step
    wide &= (edges != 0.0) & ~np.isin(edges, [0.0])
    out, inside = (edges + sign * step)[wide], (edges - sign * step)[wide]
    assert np.all(m.law.pdf(out) == 0.0)
    assert np.all(m.law.pdf(inside) > 0.0)
    m_out = m.law.stieltjes(out)
    assert m_out.dtype == float
    assert np.all(np.isfinite(m_out))
    assert np.all(m.law.stieltjes(inside, side="+").imag > 0)


def test_atoms():
    """Masses by counting ranks."""
    want = {
        "separable, c = 2, zeros": [(0.0, 1 - 0.375)],
        "separable, hard edge": [(0.0, 0.5)],
        "separable, c = 1e3": [(0.0, 0.999)],
        "mixture, disjoint": [],
        "mixture, shared level": [(0.0, 1 - 1 / 1.6)],
        "low rank": [],
        "information plus noise, c = 2": [(0.0, 0.5)],
        "noiseless atom": [(2.0, 0.2)],
        "noiseless level": [],
        "profile, bipartite": [(0.0, 0.5)],
        "profile, bipartite hard edge": [],
        "profile, cube root": [],
    }
    for name, atoms in want.items():
        got = model(name).law.atoms
        assert [a for a, _ in got] == [a for a, _ in atoms], name
        np.testing.assert_allclose([a for _, a in got], [a for _, a in atoms], rtol=0, atol=8 * EPS)


@pytest.mark.parametrize(
    ("name", "at", "power"),
    [
        ("separable, hard edge", 0.0, 0.5),
        ("mixture, hard edge", 0.0, 0.5),
        ("information plus noise, hard edge", 0.0, 0.5),
        ("noiseless hard level", 3.0 - 1.0, 0.5),
        ("profile, bipartite hard edge", 0.0, 0.0),
        ("profile, cube root", 0.0, 1 / 3),
    ],
)
def test_hard_edges(name, at, power):
    """The density follows a power law all the way to where it is infinite."""
    law = model(name).law
    edge = law.support.ravel()[np.argmin(np.abs(law.support.ravel() - at))] if power == 0.5 else at
    assert edge == at
    side = -1.0 if at in law.support[:, 1] else 1.0
    low, high = (1e-7, 1e-6) if at else (1e-13, 1e-12)
    near, far = law.pdf([at + side * low, at + side * high])
    assert np.log10(near / far) == pytest.approx(power, abs=2e-3)
    if at == 0.0 and power:
        assert law.pdf(at) == np.inf


def test_density_next_to_a_hard_edge():
    """To the last digit at 1e-20: every difference that cancels has been taken analytically."""
    flat = fh.separable(fh.Spectrum([2.0]), fh.Spectrum([3.0]), 1.0)
    law = fh.separable(fh.Spectrum([1.0, 3.0]), fh.Spectrum([0.5, 1.5]), 1.0)
    x = 10.0 ** np.arange(-20.0, -8.0)
    m = law.stieltjes(x, side="+")
    np.testing.assert_allclose(m.imag * np.sqrt(x), m.imag[0] * np.sqrt(x[0]), rtol=1e-7)
    np.testing.assert_allclose(law.pdf(x), m.imag / np.pi, rtol=1e-11)
    np.testing.assert_allclose(flat.pdf(x), fh.marchenko_pastur(1.0).pdf(x / 6.0) / 6.0, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ special cases


def same_law(law, other, atol=1e-12):
    np.testing.assert_allclose(law.support, other.support, rtol=1e-13, atol=atol)
    assert [a for a, _ in law.atoms] == [a for a, _ in other.atoms]
    np.testing.assert_allclose([m for _, m in law.atoms], [m for _, m in other.atoms], atol=4 * EPS)
    x = inner_points(other, 15)
    np.testing.assert_allclose(law.pdf(x), other.pdf(x), rtol=1e-11, atol=1e-13 * np.max(other.pdf(x)))
    low, width = hull(other)
    z = low + width * np.array([-0.4, 1.3, 0.5 + 1e-9j, 0.2 + 1j, -1e-3 + 1e-5j])
    np.testing.assert_allclose(law.stieltjes(z), other.stieltjes(z), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x), other.cdf(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("c", [1e-3, 0.1, 0.5, 1.0, 1.5, 10.0, 1e3])
def test_one_covariance(c):
    """T = I, equal classes, and no signal are the generalised Marchenko-Pastur law."""
    H = measure(LEVELS, [1, 2, 1])
    want = fh.sample_covariance(H, c)
    same_law(fh.separable(H, fh.Spectrum([1.0, 1.0]), c), want)
    same_law(fh.mixture([H], [3.0], c), want)
    same_law(fh.mixture([H, H], [0.2, 0.8], c), want)
    zero = measure(np.zeros(3), [1, 2, 1])
    same_law(fh.information_plus_noise(zero, c, H), want)
    same_law(fh.information_plus_noise(zero, c), fh.marchenko_pastur(c))


@pytest.mark.parametrize("c", [1e-2, 0.3, 1.0, 4.0])
def test_compound_poisson(c):
    """C = I: the free compound Poisson law; with values 0 on the other side too."""
    tau, u = [0.0, 0.5, 1.0, 6.0], [0.1, 0.3, 0.3, 0.3]
    want = fh.Law(fh.Spectrum([0.0])).add_compound_poisson(c, tau, u)
    same_law(fh.separable(fh.Spectrum([1.0]), measure(tau, u), c), want)


@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
def test_semicircle(size):
    same_law(fh.variance_profile([[size]]), fh.semicircle(size))
    same_law(fh.variance_profile([[size, size], [size, size]], [1, 3]), fh.semicircle(size))
    # sums of independent blocks of equal row sums
    same_law(fh.variance_profile([[2 * size, size], [size, 2 * size]]), fh.semicircle(1.5 * size))


def test_bipartite_is_a_singular_value_law():
    """[[0, v], [v, 0]]: +- the singular values of a rectangular matrix."""
    law = fh.variance_profile([[0.0, 1.0], [1.0, 0.0]], [0.25, 0.75])
    mp = fh.marchenko_pastur(1 / 3).scale(0.75)  # X X' of p/4 rows and 3p/4 columns, entries of variance 1/p
    np.testing.assert_allclose(law.support[1] ** 2, mp.support[0], rtol=1e-14)
    x = inner_points(mp, 9)
    np.testing.assert_allclose(law.pdf(np.sqrt(x)), 0.25 * 2 * np.sqrt(x) * mp.pdf(x), rtol=1e-12)
    assert law.atoms[0] == (0.0, pytest.approx(0.5, abs=4 * EPS))


def test_swapping_the_sides():
    """X X' and X'X have the same nonzero eigenvalues."""
    H, T, c = measure(LEVELS, _THIRD), measure([0.5, 2.0], [1, 2]), 0.4
    one, two = fh.separable(H, T, c), fh.separable(T, H, 1 / c).support * c
    np.testing.assert_allclose(one.support, two, rtol=1e-13)


def test_mixture_of_proportional_classes_is_separable():
    H, tau, pi = measure(LEVELS, _THIRD), [0.5, 2.0], [0.25, 0.75]
    mixed = fh.mixture([measure(np.multiply(LEVELS, x), _THIRD) for x in tau], pi, 0.7)
    same_law(mixed, fh.separable(H, measure(tau, pi), 0.7))


def test_scale_and_unused_entries():
    """Units drop out; classes, levels and blocks of weight 0 and repeated levels change nothing."""
    base = fh.separable(measure(LEVELS, _THIRD), measure([0.5, 1.5], [1, 1]), 0.5)
    for s in (1e-100, 1e-8, 1e100):
        law = fh.separable(measure(np.multiply(LEVELS, s), _THIRD), measure([0.5, 1.5], [1, 1]), 0.5)
        np.testing.assert_allclose(law.support, s * base.support, rtol=1e-13)
        np.testing.assert_allclose(law.pdf(3.0 * s) * s, base.pdf(3.0), rtol=1e-11)
    split = fh.separable(
        measure([10, 1, 3, 10, 7], [1, 2, 2, 1, 0]), measure([1.5, 0.5, 9.0], [1, 1, 0]), 0.5
    )
    same_law(split, base)
    same_law(
        fh.mixture(
            [measure([*LEVELS, 4.0], [1, 1, 1, 0])] * 2 + [measure([9.0] * 4, [1, 1, 1, 0])], [1, 2, 0], 0.5
        ),
        fh.sample_covariance(fh.Spectrum(LEVELS), 0.5),
    )
    v = np.array(PROFILE)
    wide = np.zeros((4, 4))
    wide[:3, :3] = v
    wide[3] = wide[:, 3] = 5.0
    same_law(fh.variance_profile(wide, [1, 1, 1, 0]), fh.variance_profile(v))


@pytest.mark.parametrize("closeness", [1e-2, 1e-4, 1e-6, 1e-8])
def test_nearly_merging_intervals(closeness):
    """A gap opens at the ratio where the compound Poisson law's does; both find it on either side."""
    H = measure([1.0, 8.0], [1, 1])
    low, high = 0.01, 3.0
    for _ in range(60):
        c = 0.5 * (low + high)
        low, high = (c, high) if len(fh.sample_covariance(H, c).support) == 2 else (low, c)
    for c in (low * (1 - closeness), high * (1 + closeness)):
        want = fh.sample_covariance(H, c)
        for law in (fh.separable(H, fh.Spectrum([1.0]), c), fh.mixture([H, H], [1, 1], c)):
            assert law.support.shape == want.support.shape
            np.testing.assert_allclose(
                law.support.ravel()[[0, -1]], want.support.ravel()[[0, -1]], rtol=1e-13
            )
            # the gap's ends are as ill-conditioned as its width
            np.testing.assert_allclose(law.support, want.support, rtol=1e-13 + 1e-14 / closeness)
            assert abs(total_mass(law) - 1) <= 1e-12


def test_narrow_bulks_far_from_zero():
    """Signals with weak noise: bulks 1e-6 wide keep their mass to rounding."""
    law = fh.information_plus_noise(fh.Spectrum([1.0, 2.0, 3.0]), 0.5, fh.Spectrum([1e-12] * 3))
    assert len(law.support) == 3
    np.testing.assert_allclose(law.support.mean(axis=1), [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(law._series.total[1], 1 / 3, rtol=1e-12)


# -------------------------------------------------------------------------------------------------- equivalents


def check_simulation(law, draw, z, draws, seed, traces):
    """Transform and a diagonal entry's average of complex Gaussian matrices, within 4 standard errors.

    Complex entries have no bias of order 1/p, which real ones have.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(draws):
        values, vectors = np.linalg.eigh(draw(rng))
        for point in z:
            diagonal = (np.abs(vectors) ** 2 / (values - point)).sum(axis=1)
            rows.append([diagonal.mean(), *(diagonal[k].mean() for k in traces)])
    rows = np.array(rows).reshape(draws, len(z), -1)
    mean, error = rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(draws)
    for i, point in enumerate(z):
        entries = law.equivalent(point).diagonal()
        want = np.array([law.stieltjes(point), *entries])
        assert law.equivalent(point).trace == pytest.approx(law.stieltjes(point), rel=1e-13)
        assert np.all(np.abs(mean[i] - want) <= 4 * error[i]), (point, mean[i] - want, error[i])


def gaussian(rng, p, n):
    return (rng.standard_normal((p, n)) + 1j * rng.standard_normal((p, n))) / np.sqrt(2)


_POINTS = [3 + 1j, -1 + 0.1j, -0.5]
_SIZES = [(150, 12), pytest.param(900, 20, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("p", "draws"), _SIZES)
@pytest.mark.parametrize("c", [0.5, 2.0])
@pytest.mark.parametrize("kind", ["separable", "mixture", "information plus noise"])
def test_against_simulation(kind, c, p, draws):
    """Rows 1 to 3 of the table: traces, and the matrix equivalent level by level."""
    n, third = round(p / c), p // 3
    groups = [slice(k * third, (k + 1) * third) for k in range(3)]
    t = np.repeat(LEVELS, third)
    if kind == "separable":
        tau = np.resize([0.5, 1.0, 2.5], n)
        law = fh.separable(fh.Spectrum(LEVELS), fh.Spectrum(tau), c)

        def draw(rng):
            return np.sqrt(t)[:, None] * gaussian(rng, p, n) * np.sqrt(tau)

    elif kind == "mixture":
        other, first = np.repeat(OTHER, third), n // 3
        law = fh.mixture([fh.Spectrum(LEVELS), fh.Spectrum(OTHER)], [first, n - first], c)

        def draw(rng):
            scale = np.where(np.arange(n) < first, t[:, None], other[:, None])
            return np.sqrt(scale) * gaussian(rng, p, n)

    else:
        law = fh.information_plus_noise(fh.Spectrum([2.0, 0, 0]), c, fh.Spectrum(LEVELS))

        def draw(rng):
            x = np.sqrt(t)[:, None] * gaussian(rng, p, n)
            x[:third, :third] += np.sqrt(n * 2.0) * np.eye(third)
            return x

    def square(rng):
        x = draw(rng)
        return x @ x.conj().T / n

    check_simulation(law, square, _POINTS, draws, 5, groups)


@pytest.mark.parametrize(("p", "draws"), _SIZES)
def test_profile_against_simulation(p, draws):
    """Row 4 of the table."""
    third = p // 3
    groups = [slice(k * third, (k + 1) * third) for k in range(3)]
    v = np.kron(PROFILE, np.ones((third, third)))

    def draw(rng):
        upper = np.triu(gaussian(rng, p, p), 1)
        return np.sqrt(v / p) * (upper + upper.conj().T + np.diag(rng.standard_normal(p)))

    check_simulation(fh.variance_profile(PROFILE), draw, [0.5 + 0.5j, 1j, 4.0], draws, 6, groups)


@pytest.mark.parametrize("name", [n for n in MODELS if not n.startswith("profile")])
def test_equivalents_of_both_sides(name):
    """Traces: of the levels it is m; of the companion c m - (1 - c)/z."""
    law = model(name).law
    low, width = hull(law)
    z = low + width * np.array([0.5 + 0.3j, 0.2 - 0.1j, -0.5])
    e = law.equivalent(z)
    assert np.all(e.success)
    m, c = law.stieltjes(z), law.ratio
    want = c * m - (1 - c) / z
    if isinstance(law, type(fh.separable(fh.Spectrum([1]), fh.Spectrum([1]), 1.0))):
        w, u = law.H.multiplicity, law.T.multiplicity
    elif hasattr(law, "levels"):
        w, u = law.multiplicity, law.weights
    else:
        w = law.signal.multiplicity
        share = c * w / w.sum() * (law.signal.values > 0)
        u = np.append(share, 1 - share.sum())
    np.testing.assert_allclose(e.diagonal() @ (w / w.sum()), m, rtol=1e-12)
    np.testing.assert_allclose(e.companion_diagonal() @ (u / u.sum()), want, rtol=1e-10 * max(1, c))
    np.testing.assert_array_equal(e.trace, m)


def test_equivalent_of_a_profile():
    law = fh.variance_profile(PROFILE)
    e = law.equivalent([0.3 + 1j, 5.0 + 0j])
    g = e.unknowns
    np.testing.assert_allclose(g, -1 / (e.z[:, None] + g @ np.array(PROFILE) / 3), rtol=1e-13)
    np.testing.assert_array_equal(g, e.diagonal())
    with pytest.raises(TypeError, match="no companion"):
        e.companion_diagonal()
    assert repr(e) == "CoupledEquivalent, z of shape (2,), 3 levels, CONVERGED"


def test_unknowns_solve_the_equations():
    t, w = np.array(LEVELS), np.full(3, 1 / 3)
    law = fh.separable(fh.Spectrum(t), fh.Spectrum([0.5, 1.5]), 0.5)
    z = 2 + 0.3j
    delta, other = law.equivalent(z).unknowns
    tau, u = np.array([0.5, 1.5]), np.full(2, 0.5)
    assert delta == pytest.approx(0.5 * np.sum(w * t * (-1 / z) / (1 + other * t)), rel=1e-13)
    assert other == pytest.approx(np.sum(u * tau * (-1 / z) / (1 + delta * tau)), rel=1e-13)
    law = fh.information_plus_noise(fh.Spectrum([2.0, 0, 0]), 0.5, fh.Spectrum(t))
    delta, other = law.equivalent(z).unknowns
    q = 1 / (np.array([2.0, 0, 0]) / (1 + delta) - z * (1 + other * t))
    assert delta == pytest.approx(0.5 * np.sum(w * t * q), rel=1e-13)
    q2 = 1 / (np.array([2.0, 0, 0]) / (1 + other * t) - z * (1 + delta))
    assert other == pytest.approx(0.5 * np.sum(w * q2) - 0.5 / (z * (1 + delta)), rel=1e-13)


# ------------------------------------------------------------------------------------------------- random models


def levels(draw, size, zero=True):
    kind = draw(st.sampled_from(["close", "wide", "integers"]))
    if kind == "integers":
        values = draw(st.lists(st.integers(1, 5), min_size=size, max_size=size))
    else:
        span = 0.5 if kind == "close" else 2.0
        values = [10.0**x for x in draw(st.lists(st.floats(-span, span), min_size=size, max_size=size))]
    values = [float(v) for v in values]
    if zero and draw(st.integers(0, 3)) == 0:
        values[draw(st.integers(0, size - 1))] = 0.0
    return values if any(values) else [1.0] * size


def shares(draw, size):
    return [float(k) for k in draw(st.lists(st.integers(1, 9), min_size=size, max_size=size))]


@st.composite
def random_models(draw):
    kind = draw(st.sampled_from(["separable", "mixture", "information plus noise", "profile"]))
    k = draw(st.integers(1, 4))
    c = draw(st.sampled_from([1.0, 0.5, 2.0]) | st.floats(-2, 2).map(lambda x: 10.0**x))
    w = shares(draw, k)
    if kind == "separable":
        q = draw(st.integers(1, 4))
        return kind, levels(draw, k), w, levels(draw, q), shares(draw, q), c
    if kind == "mixture":
        q = draw(st.integers(1, 4))
        return kind, [levels(draw, k) for _ in range(q)], w, shares(draw, q), c
    if kind == "information plus noise":
        a = levels(draw, k)
        for i in np.argsort(a)[::-1]:
            if c * sum(y for x, y in pairs(a, w) if x > 0) / sum(w) > 1:
                a[i] = 0.0
        return kind, a, levels(draw, k), w, c
    v = np.array([levels(draw, k) for _ in range(k)])
    return kind, ((v + v.T) / 2).tolist(), w


def check_random(case):
    m = Model(*case)
    assert abs(total_mass(m.law) - 1) <= 1e-12
    assert abs(m.law.mean() - m.first) <= 1e-11 * np.sqrt(m.second)
    assert m.law.moment(2) == pytest.approx(m.second, rel=1e-11)
    low, width = hull(m.law)
    z = low + width * np.array([0.3 + 0.5j, 0.7 + 1e-2j, -0.1 + 1e-3j, 1.4, -0.3])
    r = m.law.stieltjes(z, full_output=True)
    assert np.all(r.success)
    assert np.max(r.residual) <= 1e-12
    assert np.all(r.value[:3].imag > 0)
    got = np.array([m.law.expect(lambda x, z=z: 1 / (x - z)) for z in z])
    np.testing.assert_allclose(got, r.value, rtol=1e-10)
    x = inner_points(m.law, 4)  # not at 0, where m may be infinite
    inside = m.law.stieltjes(x, side="+")
    assert np.all(inside.imag >= 0)
    return m


@given(random_models())
@settings(max_examples=150)
def test_random_models(case):
    check_random(case)


@pytest.mark.slow
@given(random_models())
@settings(max_examples=1500)
def test_many_random_models(case):
    m = check_random(case)
    low, width = hull(m.law)
    z = low + width * (0.4 + 0.2j)
    assert m.law.stieltjes(z) == pytest.approx(complex(m.oracle(z)), rel=1e-12)


# ------------------------------------------------------------------------------------------- objects, bad input

_ALL = {
    "separable": lambda: fh.separable(fh.Spectrum(LEVELS), fh.Spectrum([0.5, 1.5]), 0.5),
    "mixture": lambda: fh.mixture([fh.Spectrum(LEVELS), fh.Spectrum(OTHER)], [0.25, 0.75], 0.5),
    "information plus noise": lambda: fh.information_plus_noise(fh.Spectrum([2.0, 0, 0]), 0.5),
    "profile": lambda: fh.variance_profile(PROFILE),
}


@pytest.mark.parametrize("name", list(_ALL))
def test_equality_pickle_and_files(name, tmp_path):
    law = _ALL[name]()
    law.pdf(1.0)  # caches take no part
    law.save(tmp_path / "law.npz")
    for other in pickle.loads(pickle.dumps(law)), type(law).load(tmp_path / "law.npz"):
        assert other == law
        assert other._cache is None
        assert repr(other) == repr(law)
        np.testing.assert_array_equal(other.pdf([0.5, 1.0, 2.0]), law.pdf([0.5, 1.0, 2.0]))
    for other_name, make in _ALL.items():
        assert (make() == law) == (other_name == name)
    assert law != "law"
    with pytest.raises(TypeError):
        hash(law)
    with pytest.raises(AttributeError):
        setattr(law, law._names()[0], 2.0)
    with pytest.raises(ValueError, match="read-only"):
        law.support[0, 0] = 9.0
    law.atoms.append((5.0, 1.0))
    assert law.atoms == []
    e = law.equivalent([1.0 + 1j])
    assert pickle.loads(pickle.dumps(e)) == e


def test_repr():
    measured = "Spectrum(2 levels, measure, values 0.5 .. 1.5)"
    text = repr(fh.separable(measure([0.5, 1.5], [1, 1]), measure([0.5, 1.5], [1, 1]), 0.5))
    assert text == f"Separable(H={measured}, T={measured}, ratio=0.5)"
    assert repr(_ALL["mixture"]()) == "Mixture(2 classes, 3 levels, values 1 .. 10, ratio 0.5)"
    assert repr(_ALL["profile"]()) == "VarianceProfile(3 blocks, variances 0.1 .. 3)"
    assert repr(_ALL["information plus noise"]()).startswith("InformationPlusNoise(signal=Spectrum(3 levels")


def test_values_given_are_copied():
    v, w = np.array(PROFILE), np.ones(3)
    law = fh.variance_profile(v, w)
    v[:] = w[:] = 7.0
    assert law == fh.variance_profile(PROFILE)


@pytest.mark.parametrize("name", list(_ALL))
def test_bad_elements_of_z_leave_their_neighbours(name):
    law = _ALL[name]()
    inside = law.support.mean(axis=1)[0]
    good = np.array([1 + 1j, 40.0, 3 - 2j, -50.0])
    bad = [np.nan, np.inf, complex(np.nan, 1), complex(1, np.nan), complex(1, np.inf), inside]
    z = np.array([bad[0], good[0], *bad[1:4], good[1], good[2], *bad[4:], good[3]], complex)
    clean = np.isin(z, good)
    r = law.stieltjes(z, full_output=True)
    np.testing.assert_array_equal(r.value[clean], law.stieltjes(good))
    assert np.all(np.isnan(r.value[~clean]))
    assert np.all((r.status == fh.Status.INVALID) == ~clean)
    e = law.equivalent(z)
    np.testing.assert_array_equal(e.diagonal()[clean], law.equivalent(good).diagonal())
    assert np.all(np.isnan(e.diagonal()[~clean]))
    assert np.all((e.status == fh.Status.INVALID) == ~clean)
    assert np.all(np.isnan(e.residual[~clean]))
    assert e.success.tolist() == clean.tolist()


def test_shapes():
    for make in _ALL.values():
        law = make()
        assert isinstance(law.pdf(1.0), float)
        assert isinstance(law.stieltjes(1 + 1j), complex)
        assert isinstance(law.stieltjes(-30.0), float)
        assert law.pdf([[1.0, 2.0, 3.0]]).shape == (1, 3)
        assert law.stieltjes(np.full((2, 1), 1j)).shape == (2, 1)
        assert law.rvs((2, 3), rng=0).shape == (2, 3)
        assert law.equivalent(-30.0).diagonal().dtype == float
        assert law.equivalent(np.full((2, 1), 1j)).diagonal().shape == (2, 1, 3)
        assert isinstance(law.equivalent(1j).trace, complex)
        assert isinstance(law.equivalent(1j).status, int)


_H = fh.Spectrum(LEVELS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        *[(f, ValueError, "^ratio must be finite and > 0.*p/n")
          for c in (0.0, -1.0, np.nan, np.inf)
          for f in (lambda c=c: fh.separable(_H, _H, c), lambda c=c: fh.mixture([_H], [1.0], c),
                    lambda c=c: fh.information_plus_noise(_H, c))],
        (lambda: fh.separable([1.0], _H, 0.5), TypeError, "^H must be a Spectrum; got list.*fh.Spectrum"),
        (lambda: fh.separable(_H, np.ones(3), 0.5), TypeError, "^T must be a Spectrum"),
        (lambda: fh.separable(_H, fh.Spectrum([0.0]), 0.5), ValueError, "^T must have a positive eigenvalue"),
        (lambda: fh.separable(fh.Spectrum([0.0, 1.0], [1, 0]), _H, 0.5), ValueError, "^H must have a positive"),
        (lambda: fh.mixture(_H, [1.0], 0.5), TypeError, "^spectra must be a list of Spectrum"),
        (lambda: fh.mixture([], [], 0.5), ValueError, "^spectra must not be empty"),
        (lambda: fh.mixture([_H, [1.0]], [1, 1], 0.5), TypeError, r"^spectra\[1\] must be a Spectrum"),
        (lambda: fh.mixture([_H, fh.Spectrum([1.0])], [1, 1], 0.5), ValueError, r"^spectra\[1\].*3 levels.*got 1"),
        (lambda: fh.mixture([_H, fh.Spectrum(LEVELS, [1, 2, 3])], [1, 1], 0.5), ValueError, "multiplicities.*line"),
        (lambda: fh.mixture([fh.Spectrum([0.0])], [1.0], 0.5), ValueError, "^spectra must have a positive"),
        (lambda: fh.mixture([_H, _H], [1.0], 0.5), ValueError, "^weights must have one entry"),
        (lambda: fh.mixture([_H, _H], [1.0, -1.0], 0.5), ValueError, "^weights must be >= 0"),
        (lambda: fh.mixture([_H, _H], [0.0, 0.0], 0.5), ValueError, "^weights must not all be zero"),
        (lambda: fh.mixture([_H, _H], [np.nan, 1.0], 0.5), ValueError, "^weights must be finite"),
        (lambda: fh.mixture([fh.Spectrum([0.0]), fh.Spectrum([1.0])], [1, 0], 0.5), ValueError,
         "^weights must be positive for some class"),
        (lambda: fh.information_plus_noise(_H, 2.0), ValueError, "^signal must have at most n positive.*fill up"),
        (lambda: fh.information_plus_noise([1.0], 0.5), TypeError, "^signal must be a Spectrum"),
        (lambda: fh.information_plus_noise(_H, 0.5, fh.Spectrum([1.0])), ValueError, "^H must have the 3 levels"),
        (lambda: fh.information_plus_noise(_H, 0.5, fh.Spectrum(LEVELS, [1, 2, 3])), ValueError,
         "^H must have the multiplicities of signal"),
        (lambda: fh.information_plus_noise(_H, 0.5, fh.Spectrum(np.zeros(3))), ValueError,
         "^H must have a positive eigenvalue.*signal's"),
        (lambda: fh.variance_profile(1.0), ValueError, "^v must be two-dimensional|^v must"),
        (lambda: fh.variance_profile([[1.0, 2.0]]), ValueError, r"^v must be square.*got shape \(1, 2\)"),
        (lambda: fh.variance_profile([[1.0, 2.0], [1.0, 1.0]]), ValueError, r"^v must be symmetric.*v \+ v.T"),
        (lambda: fh.variance_profile([[-1.0]]), ValueError, "^v must be >= 0"),
        (lambda: fh.variance_profile([[np.nan]]), ValueError, "^v must be finite"),
        (lambda: fh.variance_profile([["a"]]), TypeError, "^v must"),
        (lambda: fh.variance_profile(np.zeros((2, 2))), ValueError, "^v must have a positive entry"),
        (lambda: fh.variance_profile([[1.0, 0.0], [0.0, 0.0]], [0, 1]), ValueError, "^v must have a positive entry"),
        (lambda: fh.variance_profile([[1.0]], [1.0, 1.0]), ValueError, "^weights must have one entry"),
        (lambda: fh.variance_profile([[1.0]], [-1.0]), ValueError, "^weights must be >= 0"),
        (lambda: fh.variance_profile([[1.0]], [0.0]), ValueError, "^weights must not all be zero"),
        (lambda: fh.variance_profile([[1.0]]).stieltjes(1j, side="up"), ValueError, "^side must be"),
        (lambda: fh.variance_profile([[1.0]]).equivalent(1j, side="up"), ValueError, "^side must be"),
        (lambda: fh.variance_profile([[1.0]]).equivalent("a"), TypeError, "^z must"),
        (lambda: fh.variance_profile([[1.0]]).pdf("a"), TypeError, "^x must"),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_construction_is_lazy():
    law = fh.separable(_H, _H, 0.5)
    assert law._cache is None
    assert law == fh.separable(_H, _H, 0.5)
    assert law._cache is None
