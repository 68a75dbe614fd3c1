"""Spectrum: builders, numbers, compression, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthde as fh
from tests import oracles
from tests.common import spectra

KAPPAS = np.geomspace(1e-9, 1e3, 13)


# ------------------------------------------------------------------------------------------------- construction


def test_order_and_multiplicities_are_kept():
    H = fh.Spectrum([1, 0, 10, 3], multiplicity=[1, 2, 0.5, 4])
    np.testing.assert_array_equal(H.values, [1, 0, 10, 3])
    np.testing.assert_array_equal(H.multiplicity, [1, 2, 0.5, 4])
    assert H.values.dtype == H.multiplicity.dtype == np.float64
    assert H.dimension == 7.5
    assert H.trace == pytest.approx(1 + 5 + 12, rel=1e-15)


def test_defaults_and_scalars():
    assert fh.Spectrum([2, 3]) == fh.Spectrum([2.0, 3.0], [1, 1])
    assert fh.Spectrum([2, 3], 5) == fh.Spectrum([2, 3], [5, 5])
    assert fh.Spectrum(4.0).values.shape == (1,)
    assert fh.Spectrum(range(1, 4)) == fh.Spectrum((1, 2, 3))
    assert fh.Spectrum(np.array([1, 2], np.float32)).values.dtype == np.float64
    assert fh.Spectrum([True, False]) == fh.Spectrum([1, 0])


def test_inputs_are_copied():
    values, counts = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    H = fh.Spectrum(values, counts)
    values[0], counts[0] = 9, 9
    assert fh.Spectrum([1, 2], [3, 4]) == H
    assert values.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        H.values[0] = 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"values": []}, ValueError, "^values must not be empty"),
        (
            {"values": [[1, 2], [3, 4]]},
            ValueError,
            r"^values must be one-dimensional; got shape \(2, 2\).*from_covariance",
        ),
        ({"values": [[1, 2], [3]]}, ValueError, "^values must be a rectangular array"),
        ({"values": ["a"]}, TypeError, "^values must"),
        ({"values": "abc"}, TypeError, "^values must"),
        ({"values": [1j]}, TypeError, "^values must hold real numbers; got dtype complex128"),
        ({"values": [1, object()]}, TypeError, "^values must be numeric"),
        ({"values": [1, None]}, (TypeError, ValueError), "^values must"),
        ({"values": [1, np.nan]}, ValueError, r"^values must be finite; got nan at index 1 \(1 in all\)"),
        (
            {"values": [np.inf, 1, np.inf]},
            ValueError,
            r"^values must be finite; got inf at index 0 \(2 in all\)",
        ),
        ({"values": [1, 2, -3e-20]}, ValueError, "^values must be >= 0; got -3e-20 at index 2"),
        (
            {"values": [1, 2], "multiplicity": [1]},
            ValueError,
            "^multiplicity must have one entry for each of the 2",
        ),
        ({"values": [1, 2], "multiplicity": [[1, 2]]}, ValueError, "^multiplicity must"),
        (
            {"values": [1, 2], "multiplicity": [1, -1]},
            ValueError,
            "^multiplicity must be >= 0; got -1.0 at index 1",
        ),
        ({"values": [1, 2], "multiplicity": [1, np.nan]}, ValueError, "^multiplicity must be finite"),
        ({"values": [1, 2], "multiplicity": [np.inf, 1]}, ValueError, "^multiplicity must be finite"),
        ({"values": [1, 2], "multiplicity": 0}, ValueError, "^multiplicity must not all be zero"),
        ({"values": [1, 2], "multiplicity": ["a", "b"]}, TypeError, "^multiplicity must"),
        ({"values": [1, 2], "multiplicity": [1j, 1]}, TypeError, "^multiplicity must"),
        ({"values": [1, 2], "weights": [1]}, ValueError, "^weights must have one entry"),
        ({"values": [1, 2], "weights": [1, -1]}, ValueError, "^weights must be >= 0"),
        ({"values": [1, 2], "weights": [0, 0]}, ValueError, "^weights must not all be zero"),
        ({"values": [1, 2], "weights": [np.nan, 0]}, ValueError, "^weights must be finite"),
        (
            {"values": [1, 2], "multiplicity": [1, 1], "weights": [1, 1]},
            TypeError,
            "multiplicity or weights, not both",
        ),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        fh.Spectrum(**arguments)


# ----------------------------------------------------------------------------------------------------- measures


def test_measure_is_normalised_and_has_no_dimension():
    H = fh.Spectrum([1, 3, 10], weights=[2, 1, 1])
    np.testing.assert_array_equal(H.multiplicity, [0.5, 0.25, 0.25])
    assert H.moment(1) == 3.75
    for name in ("dimension", "trace", "effective_rank"):
        with pytest.raises(TypeError, match="measure"):
            getattr(H, name)
    with pytest.raises(TypeError, match="measure"):
        fh.LinearProblem(H, 1.0, 0.1)
    assert "measure" in repr(H)
    assert H.compress().is_measure
    assert fh.Spectrum([1, 3, 10], [0.5, 0.25, 0.25]) != H


def test_zero_measure_has_no_effective_rank_either():
    with pytest.raises(TypeError, match="measure"):
        fh.Spectrum([0.0], weights=[1.0]).effective_rank


# ------------------------------------------------------------------------------------------------------ builders


def test_isotropic():
    H = fh.Spectrum.isotropic(512, 2.5)
    assert (H.values.tolist(), H.multiplicity.tolist()) == ([2.5], [512.0])
    assert H.effective_rank == 512
    assert fh.Spectrum.isotropic(0.5).dimension == 0.5


@pytest.mark.parametrize(
    ("p", "exponent", "scale"), [(1, 2.0, 1.0), (1000, 1.2, 3.0), (50, 0.0, 1.0), (20, -1.0, 0.5)]
)
def test_power_law(p, exponent, scale):
    H = fh.Spectrum.power_law(p, exponent, scale)
    np.testing.assert_allclose(H.values, [scale * i**-exponent for i in range(1, p + 1)], rtol=1e-15)
    assert H.dimension == p


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: fh.Spectrum.isotropic(0), ValueError, "^p must be finite and > 0; got 0"),
        (lambda: fh.Spectrum.isotropic(np.nan), ValueError, "^p must"),
        (lambda: fh.Spectrum.isotropic([1, 2]), ValueError, "^p must be a single number"),
        (lambda: fh.Spectrum.isotropic("a"), TypeError, "^p must"),
        (lambda: fh.Spectrum.isotropic(3, value=-1), ValueError, "^value must"),
        (lambda: fh.Spectrum.power_law(0, 1.0), ValueError, "^p must be an integer >= 1; got 0"),
        (lambda: fh.Spectrum.power_law(1.5, 1.0), TypeError, "^p must be an integer"),
        (lambda: fh.Spectrum.power_law(True, 1.0), TypeError, "^p must be an integer"),
        (lambda: fh.Spectrum.power_law("10", 1.0), TypeError, "^p must be an integer"),
        (lambda: fh.Spectrum.power_law(10, 1.0, scale=0.0), ValueError, "^scale must be finite and > 0"),
        (lambda: fh.Spectrum.power_law(10, 1.0, scale=np.inf), ValueError, "^scale must"),
        (lambda: fh.Spectrum.power_law(10, np.nan), ValueError, "^exponent must"),
        (lambda: fh.Spectrum.power_law(10, "steep"), TypeError, "^exponent must"),
        (lambda: fh.Spectrum.from_covariance([[1, 2], [0, 1]]), ValueError, "^covariance must be symmetric"),
        (lambda: fh.Spectrum.from_covariance(np.ones((2, 3))), ValueError, r"^covariance must be square; got .*3\)"),
        (lambda: fh.Spectrum.from_covariance([[1, 2], [2, 1]]), ValueError, "^covariance must be positive"),
        (lambda: fh.Spectrum.from_covariance([[-1.0]]), ValueError, "^covariance must be positive"),
        (lambda: fh.Spectrum.from_covariance([[1, np.nan], [0, 1]]), ValueError, r"^covariance must be finite.*0, 1"),
        (lambda: fh.Spectrum.from_covariance([1, 2]), ValueError, "^covariance must have 2 dim"),
        (lambda: fh.Spectrum.from_covariance(np.zeros((0, 0))), ValueError, "^covariance must not be empty"),
        (lambda: fh.Spectrum.from_covariance([[1j]]), TypeError, "^covariance must"),
        (lambda: fh.Spectrum.from_samples(np.zeros((0, 3))), ValueError, "^X must not be empty"),
        (lambda: fh.Spectrum.from_samples([1.0, 2.0]), ValueError, "^X must have 2 dim"),
        (lambda: fh.Spectrum.from_samples([[1.0, np.inf]]), ValueError, "^X must be finite"),
        (lambda: fh.Spectrum.from_samples([["a"]]), TypeError, "^X must"),
        (lambda: fh.Spectrum.from_samples([[1, 2], [3]]), ValueError, "^X must"),
        (lambda: fh.Spectrum.from_density(np.ones_like, (3, 1), 5), ValueError, "^support must be"),
        (lambda: fh.Spectrum.from_density(np.ones_like, (-1, 1), 5), ValueError, "^support must be"),
        (lambda: fh.Spectrum.from_density(np.ones_like, (0, np.inf), 5), ValueError, "^support must be finite"),
        (lambda: fh.Spectrum.from_density(np.ones_like, (0, 1, 2), 5), ValueError, "^support must be"),
        (lambda: fh.Spectrum.from_density(lambda x: -x, (0, 1), 5), ValueError, r"^pdf\(x\) must be >= 0"),
        (lambda: fh.Spectrum.from_density(lambda x: np.nan * x, (0, 1), 5), ValueError, r"^pdf\(x\) must be finite"),
        (lambda: fh.Spectrum.from_density(lambda x: 0 * x, (0, 1), 5), ValueError, "^pdf must have positive mass"),
        (lambda: fh.Spectrum.from_density(lambda x: np.ones(3), (0, 1), 5), ValueError, "^pdf"),
        (lambda: fh.Spectrum.from_density(np.ones_like, (0, 1), 0), ValueError, "^p must"),
        (lambda: fh.Spectrum.from_density(np.ones_like, (0, 1), 5, nodes=1), ValueError, "^nodes must"),
        (lambda: fh.Spectrum([1, 2]).compress(0), ValueError, "^rtol must"),
        (lambda: fh.Spectrum([1, 2]).compress(1.0), ValueError, "^rtol must lie in"),
        (lambda: fh.Spectrum([1, 2]).compress(1e-16), ValueError, "^rtol must lie in"),
        (lambda: fh.Spectrum([1, 2]).compress(np.nan), ValueError, "^rtol must"),
        (lambda: fh.Spectrum([1, 2]).compress("a"), TypeError, "^rtol must"),
    ],
)  # fmt: skip
def test_builders_refuse(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_from_covariance():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    t = np.array([5.0, 3.0, 1.0, 0.5, 0.0, 0.0])
    H = fh.Spectrum.from_covariance(q * t @ q.T)
    np.testing.assert_allclose(H.values, t, atol=1e-14)
    np.testing.assert_array_equal(H.values[4:], 0)  # rounding-level eigenvalues become 0
    assert H.dimension == 6
    assert fh.Spectrum.from_covariance(np.zeros((3, 3))).values.tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (1, 3)])
@pytest.mark.parametrize("center", [False, True])
def test_from_samples(shape, center):
    X = np.random.default_rng(1).standard_normal(shape) + 2
    before = X.copy()
    H = fh.Spectrum.from_samples(X, center=center)
    Y = X - X.mean(0) if center else X
    want = np.zeros(shape[1])
    s = np.linalg.svd(Y, compute_uv=False) ** 2 / shape[0]
    want[: s.size] = s
    np.testing.assert_allclose(H.values, want, atol=1e-12)
    assert H.dimension == shape[1]
    assert np.count_nonzero(H.values) == min(shape[1], shape[0] - center)
    np.testing.assert_array_equal(X, before)


def test_from_density_of_marchenko_pastur():
    c = 0.25
    low, high = (1 - c**0.5) ** 2, (1 + c**0.5) ** 2
    H = fh.Spectrum.from_density(
        lambda x: np.sqrt((x - low) * (high - x)) / (2 * np.pi * c * x), (low, high), p=300
    )
    assert H.dimension == pytest.approx(300, rel=1e-14)
    assert H.moment(1) == pytest.approx(1.0, rel=1e-13)
    assert H.moment(2) == pytest.approx(1 + c, rel=1e-13)
    assert H.moment(3) == pytest.approx(1 + 3 * c + c * c, rel=1e-13)
    assert H.moment(-1) == pytest.approx(1 / (1 - c), rel=1e-13)


def test_from_density_edges_intervals_and_scale():
    arcsine = fh.Spectrum.from_density(lambda x: 7 / np.sqrt(x * (2 - x)), (0.0, 2.0), p=1.0)
    assert arcsine.moment(2) == pytest.approx(1.5, rel=1e-11)  # this pdf rounds 2 - x
    two = fh.Spectrum.from_density(lambda x: np.ones_like(x), [(1.0, 2.0), (4.0, 7.0)], p=40, nodes=64)
    assert two.values.size == 128
    assert two.moment(1) == pytest.approx((1.5 + 3 * 5.5) / 4, rel=1e-13)
    assert fh.Spectrum.from_density(lambda x: 3.0, (0, 1), 5).moment(1) == pytest.approx(0.5, rel=1e-13)


# ------------------------------------------------------------------------------------------------------- numbers


def test_moments_and_effective_rank():
    H = fh.Spectrum([1.0, 3.0, 0.0], [2.0, 1.0, 1.0])
    assert H.moment(0) == 1.0
    assert H.moment(1) == 1.25
    assert H.moment(2) == 2.75
    assert H.moment(-1) == np.inf
    assert H.moment(0.5) == pytest.approx((2 + 3**0.5) / 4, rel=1e-15)
    assert H.effective_rank == pytest.approx(25 / 11, rel=1e-15)
    assert fh.Spectrum([0.0, 0.0]).effective_rank == 0.0
    assert fh.Spectrum([1e200, 1e200]).effective_rank == pytest.approx(2.0)
    assert fh.Spectrum([1.0, 0.0], [1, 0]).moment(-1) == 1.0  # a level of multiplicity 0 is no level


@settings(max_examples=100)
@given(spectra(), st.floats(1e-3, 1e3))
def test_effective_rank_is_free_of_scale(spectrum, a):
    H = fh.Spectrum(*spectrum)
    scaled = fh.Spectrum(a * H.values, H.multiplicity)
    assert scaled.effective_rank == pytest.approx(H.effective_rank, rel=1e-13)
    assert H.effective_rank <= H.dimension * (1 + 1e-13)
    assert scaled.trace == pytest.approx(a * H.trace, rel=1e-13)


# --------------------------------------------------------------------------------------------------- compression

_RNG = np.random.default_rng(2)
SPECTRA = {
    "power law": np.arange(1.0, 5001.0) ** -1.2,
    "slow power law": np.arange(1.0, 3001.0) ** -0.3,
    "steep": np.arange(1.0, 2001.0) ** -4.0,
    "lognormal": np.exp(3 * _RNG.standard_normal(3000)),
    "uniform": _RNG.random(3000),
    "clusters": np.concatenate([c * (1 + 1e-6 * _RNG.standard_normal(700)) for c in (1e-3, 1.0, 1.01, 50.0)]),
    "tight clusters": np.concatenate([c * (1 + 4e-16 * _RNG.integers(0, 9, 700)) for c in (0.7, 1.9)]),
    "duplicates": np.repeat([3.0, 1.0, 0.2, 0.1], 1000),
    "few atoms": np.array([4.0, 3.0, 2.5, 1.0, 1e-5]),
    "sixteen in a bin": np.linspace(2.0, 7.9, 16),
    "seventeen in a bin": np.linspace(2.0, 7.9, 17),
    "powers of two": 2.0 ** _RNG.integers(-30, 30, 3000),
    "twenty decades": 10 ** _RNG.uniform(-10, 10, 4000),
}


def worst_error(values, weights, H, kappas=KAPPAS):
    want = oracles.gauss_sums(values, weights, kappas)
    got = oracles.gauss_sums(H.values, H.multiplicity, kappas)
    return float(np.max(np.abs(got / want - 1)))


@pytest.mark.parametrize("name", SPECTRA)
def test_compress_keeps_all_sums(name):
    t = SPECTRA[name]
    k = np.random.default_rng(3).uniform(0.5, 2.0, t.size)
    H = fh.Spectrum(t, k)
    h = H.compress()
    assert worst_error(t, k, h) <= 2e-14
    assert h.values.size <= min(t.size, 15 * (1 + np.log2(t.max() / t.min()) / 2 + 1))
    assert h.dimension == pytest.approx(H.dimension, rel=1e-14)
    assert h.trace == pytest.approx(H.trace, rel=1e-14)
    assert np.all(np.diff(h.values) <= 0)
    assert np.all(h.multiplicity > 0)
    assert h.values.min() >= t.min() * (1 - 1e-14)
    assert h.values.max() <= t.max() * (1 + 1e-14)


@pytest.mark.parametrize("rtol", [1e-15, 1e-12, 1e-8, 1e-4, 0.1])
def test_compress_to_a_tolerance(rtol):
    t = SPECTRA["power law"]
    H = fh.Spectrum(t)
    h = H.compress(rtol)
    assert worst_error(t, np.ones(t.size), h) <= max(20 * rtol, 1e-14)
    assert rtol < 1e-14 or h.values.size <= H.compress().values.size


@pytest.mark.parametrize("p", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_compress_many_atoms(p):
    t = np.arange(1.0, p + 1.0) ** -1.2
    h = fh.Spectrum(t).compress()
    assert h.values.size < 250
    assert worst_error(t, np.ones(p), h) <= 2e-14
    b = t * np.random.default_rng(0).random(p)  # a signal's measure
    assert worst_error(t, b, fh.Spectrum(t, b).compress()) <= 2e-14


def test_compress_keeps_the_zero_level_last():
    h = fh.Spectrum([0.0, 2.0, 0.0, 1.0], [3, 1, 4, 0]).compress()
    np.testing.assert_array_equal(h.values, [2, 0])
    np.testing.assert_array_equal(h.multiplicity, [1, 7])
    assert fh.Spectrum([0.0, 0.0]).compress() == fh.Spectrum([0.0], [2.0])
    measure = fh.Spectrum([0.0, 2.0], weights=[1, 3]).compress()
    np.testing.assert_array_equal(measure.multiplicity, [0.75, 0.25])


def test_compress_extreme_values():
    t = np.array([1e-308, 3e-320, 1e300, 1.7e308, 1.0])
    h = fh.Spectrum(t).compress()
    np.testing.assert_allclose(np.sort(h.values), np.sort(t), rtol=1e-15)
    many = np.concatenate([s * np.linspace(1.0, 3.9, 3000) for s in (1e-300, 1.0, 1e300)])
    h = fh.Spectrum(many).compress()
    for s in (1e-300, 1.0, 1e300):
        part = many[(many >= s) & (many <= 4 * s)]
        near = (h.values >= s * (1 - 1e-12)) & (h.values <= 4 * s)
        got = np.sum(h.multiplicity[near] * (h.values[near] / s))
        assert got == pytest.approx(np.sum(part / s), rel=1e-13)


def test_compress_twice_and_order():
    t = SPECTRA["uniform"]
    h = fh.Spectrum(t).compress()
    assert worst_error(h.values, h.multiplicity, h.compress()) <= 2e-14
    shuffled = fh.Spectrum(np.random.default_rng(5).permutation(t)).compress()
    assert worst_error(t, np.ones(t.size), shuffled) <= 2e-14


@pytest.mark.parametrize(
    ("H", "text"),
    [
        (
            fh.Spectrum([1, 3, 10], [50, 30, 20]),
            "Spectrum(3 levels, dimension 100, values 1 .. 10, effective rank 49.8276)",
        ),
        (fh.Spectrum([2.0]), "Spectrum(1 level, dimension 1, values 2, effective rank 1)"),
        (fh.Spectrum([1, 2], weights=[1, 1]), "Spectrum(2 levels, measure, values 1 .. 2)"),
    ],
)
def test_repr(H, text):
    assert repr(H) == text
