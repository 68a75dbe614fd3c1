"""Linearisation in two regimes: exact derivatives, exact errors, simulation."""

from __future__ import annotations

import pickle

import mpmath as mp
import numpy as np
import pytest

import fasthde as fh
from fasthde._linearize import Linearization, linearize
from tests import oracle_equivalents as o

#: Function in NumPy and in mpmath, and the point.
SMOOTH = [
    (np.exp, mp.exp, 0.0),
    (np.exp, mp.exp, 3.0),
    (np.tanh, mp.tanh, 0.7),
    (np.log, mp.log, 2.0),
    (np.sqrt, mp.sqrt, 0.01),
    (np.sin, mp.sin, 100.0),
    (lambda t: 1 / (1 + 25 * t * t), lambda t: 1 / (1 + 25 * t * t), 0.1),
    (lambda t: np.exp(-1000 * t), lambda t: mp.exp(-1000 * t), 0.002),
    (lambda t: 5 + 1e-6 * np.sin(t), lambda t: 5 + mp.mpf("1e-6") * mp.sin(t), 0.3),
    (lambda t: np.sin(300 * t), lambda t: mp.sin(300 * t), 0.1),
    (lambda t: np.abs(t - 1e-3), lambda t: abs(t - mp.mpf("1e-3")), 0.0),
]


@pytest.mark.parametrize(("f", "exact", "at"), SMOOTH)
def test_taylor_coefficients_and_their_errors(f, exact, at):
    lin = linearize(f, "LLN", 5, at=at)
    with mp.workdps(40):
        want = np.array([float(c) for c in mp.taylor(exact, mp.mpf(at), 5)])
    miss = np.abs(lin.coefficients - want)
    assert (miss <= lin.errors).all(), (miss, lin.errors)
    assert lin.success == (at != 0.3)  # a variation of 1e-6 leaves few digits for the fifth derivative
    # the first three to 1e-8 of the size that the last terms have at the radius of convergence
    assert (miss[:3] <= 1e-7 * np.abs(want[:3]) + 1e-9 * np.abs(want).max()).all()


@pytest.mark.parametrize("at", [0.0, 0.7, -2.0])
@pytest.mark.parametrize("c", [[2.0], [0.0, 1.0], [1.0, -3.0, 0.5], [0.0, 0.0, 0.0, 4.0]])
def test_polynomials_are_their_own_series(c, at):
    f = np.polynomial.Polynomial(c)
    lin = linearize(f, "LLN", 4, at=at)
    t = at + np.linspace(-1.0, 1.0, 11)
    np.testing.assert_allclose(lin(t), f(t), rtol=0, atol=1e-9)
    assert lin.error(100) < 1e-9


def test_symmetric_functions_have_exact_zeros():
    np.testing.assert_array_equal(linearize("tanh", "LLN", 5).coefficients[[0, 2, 4]], 0.0)
    np.testing.assert_array_equal(linearize(np.cos, "LLN", 5).coefficients[[1, 3, 5]], 0.0)


@pytest.mark.parametrize(
    "f",
    [
        np.abs,
        np.sign,
        lambda t: 3.0 + np.maximum(t, 0.0),
        lambda t: np.maximum(t, 0.0) ** 2,
        lambda t: np.abs(t) ** 0.5,
        lambda t: np.abs(t) ** 3 + 100.0,
        "relu",
        "sign",
        "elu",
        "hard_tanh",
    ],
)
def test_kinks_at_the_point_are_refused(f):
    at = 1.0 if isinstance(f, str) and f == "hard_tanh" else 0.0
    with pytest.raises(ValueError, match="must be smooth at"):
        linearize(f, "LLN", at=at)


@pytest.mark.parametrize("f", [np.log, lambda t: 1.0 / t, lambda t: t * np.nan])
def test_singularities_at_the_point_are_refused(f):
    with pytest.raises(ValueError, match="must be finite around 0"):
        linearize(f, "LLN")


def test_kinks_elsewhere_are_no_obstacle():
    lin = linearize("relu", "LLN", 2, at=0.5)
    np.testing.assert_allclose(lin.coefficients, [0.5, 1.0, 0.0], atol=1e-9)
    assert lin.error(1e4) < 1e-3  # the Gaussian reaches the kink with probability 1e-500
    np.testing.assert_allclose(lin.error(4.0), o.taylor_error(np.abs, 0.5, 0.5) / 2.0, rtol=1e-6)


# -------------------------------------------------------------------------------------------------- regimes


def test_errors_have_the_rates_of_the_theorem():
    """``n**-(k+1)/2`` for a general function; faster by what vanishes for an odd one."""
    n = np.array([1e4, 1e6])
    for order in range(4):
        lin = linearize(np.exp, "LLN", order, at=0.3, scale=1.7)
        rate = np.log(lin.error(n[0]) / lin.error(n[1])) / np.log(100.0)
        assert abs(rate - lin.rate) < 0.01
        double = np.prod(np.arange(2 * order + 1, 0, -2.0))
        leading = np.exp(0.3) / mp.factorial(order + 1) * np.sqrt(double) * 1.7 ** (order + 1)
        np.testing.assert_allclose(lin.error(1e6) * 1e6**lin.rate, float(leading), rtol=0.01)
    odd = linearize("tanh", "LLN", 1).error(n)
    np.testing.assert_allclose(np.log(odd[0] / odd[1]) / np.log(100.0), 1.5, atol=0.01)
    clt = linearize("tanh", "CLT", 1)
    assert clt.rate == 0.0
    np.testing.assert_array_equal(clt.error(n), clt.noise)


def test_the_two_regimes_of_tanh():
    """The same function, two equivalents: the numbers of theory, and the errors of simulated vectors."""
    lln, clt = linearize("tanh", "LLN"), linearize("tanh", "CLT")
    np.testing.assert_allclose(lln.affine, (0.0, 1.0), atol=1e-12)
    np.testing.assert_allclose(clt.affine, (0.0, 0.60570551), atol=1e-8)
    np.testing.assert_allclose(clt.noise**2, 0.39429449 - 0.60570551**2, atol=2e-8)
    n, m, draws = 400, 4000, 12
    found = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        y = rng.standard_normal(n)
        y /= np.linalg.norm(y)
        t = (rng.standard_normal((m, n)) / np.sqrt(n)) @ y
        found.append(
            [
                np.mean((np.tanh(t) - lln(t)) ** 2),
                np.mean((np.tanh(np.sqrt(n) * t) - clt(np.sqrt(n) * t)) ** 2),
                np.mean((np.tanh(np.sqrt(n) * t) - lln(np.sqrt(n) * t)) ** 2),
            ]
        )
    mean, se = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(draws)
    assert abs(mean[0] - lln.error(n) ** 2) < 4 * se[0]
    assert abs(mean[1] - clt.noise**2) < 4 * se[1]
    # each is wrong for the other's regime
    assert mean[2] > 5 * mean[1]


def test_samples_have_the_moments_of_the_function():
    """Mean, variance and covariance with the argument of phi(sqrt(n) X y), of its equivalent, and of theory."""
    lin = linearize("relu", "CLT", scale=1.3)
    draws, m = 12, 4000
    a = o.hermite(o.FUNCTIONS["relu"], 1, 1.3)
    want = [a[0], 0.5 * 1.3**2, 1.3 * a[1]]
    for sampled in (True, False):
        found = []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            t = 1.3 * rng.standard_normal(m)
            v = lin.sample(t, rng) if sampled else np.maximum(t, 0.0)
            found.append([v.mean(), np.mean(v**2), np.mean(v * t)])
        se = np.std(found, axis=0, ddof=1) / np.sqrt(draws)
        assert (np.abs(np.mean(found, axis=0) - want) < 4 * se).all()
    np.testing.assert_array_equal(lin.sample([1.0, 2.0], 3), lin.sample([1.0, 2.0], 3))
    lln = linearize("tanh", "LLN")
    np.testing.assert_array_equal(lln.sample([0.1, 0.2], 0), lln([0.1, 0.2]))


@pytest.mark.parametrize("name", ["relu", "tanh", "sign", "cos", "gelu"])
@pytest.mark.parametrize(("at", "scale"), [(0.0, 1.0), (0.5, 1.3)])
def test_hermite_projection(name, at, scale):
    f = o.FUNCTIONS[name]
    for order in (0, 1, 4):
        lin = linearize(name, "CLT", order, at=at, scale=scale)
        shifted = o.kinked(lambda t: f(at + t), -at / scale, scale, order)
        np.testing.assert_allclose(lin.coefficients, shifted[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(lin.noise**2, shifted[1], rtol=1e-9, atol=1e-14)
        # the polynomial is what the coefficients say
        x = np.array([-1.5, 0.0, 0.4])
        h = [
            np.ones(3),
            x,
            (x**2 - 1) / np.sqrt(2),
            (x**3 - 3 * x) / np.sqrt(6),
            (x**4 - 6 * x**2 + 3) / np.sqrt(24),
        ]
        want = sum(c * v for c, v in zip(lin.coefficients, h, strict=False))
        np.testing.assert_allclose(lin(at + scale * x), want, rtol=1e-12, atol=1e-14)


def test_affine_part():
    for lin in (linearize("gelu", "CLT", at=0.4, scale=2.0), linearize("gelu", "LLN", at=0.4)):
        intercept, slope = lin.affine
        t = np.array([-1.0, 0.3, 2.0])
        np.testing.assert_allclose(intercept + slope * t, lin(t), rtol=1e-12)
    assert linearize("gelu", "LLN", 0).affine == (0.0, 0.0)


# -------------------------------------------------------------------------------------------------- objects


def test_objects(tmp_path):
    for lin in (linearize("tanh", "CLT", 3), linearize(np.tanh, "LLN", 3, at=0.2)):
        lin.save(tmp_path / "x.npz")
        loaded = Linearization.load(tmp_path / "x.npz")
        assert loaded == lin == pickle.loads(pickle.dumps(lin))
        assert loaded(0.3) == lin(0.3)
        assert isinstance(lin(0.3), float)
        assert isinstance(lin.error(100), float)
        assert lin.regime in repr(lin)
        assert pickle.loads(pickle.dumps(lin)).error(50.0) == lin.error(50.0)
        assert np.isnan(lin.error([-1.0, 50.0])[0])
    with pytest.raises(ValueError, match="a file does not hold"):
        loaded.error(10)
    assert lin.status == fh.Status.CONVERGED


@pytest.mark.parametrize(
    ("args", "options", "error", "text"),
    [
        (("tanh", "lln"), {}, ValueError, "regime"),
        (("tnah",), {}, ValueError, "tanh"),
        ((3.0,), {}, TypeError, "phi"),
        (("tanh", "CLT", -1), {}, ValueError, "order"),
        (("tanh", "CLT", 1.5), {}, TypeError, "order"),
        (("tanh",), {"scale": 0.0}, ValueError, "scale"),
        (("tanh",), {"at": np.inf}, ValueError, "at must be finite"),
        ((lambda t: np.exp(t * t), "CLT"), {}, ValueError, "square-integrable"),
        ((lambda t: float(t), "LLN"), {}, ValueError, "vectorised"),
        ((lambda t: 1.0, "LLN"), {}, ValueError, "vectorised"),
    ],
)
def test_bad_input(args, options, error, text):
    with pytest.raises(error, match=text):
        linearize(*args, **options)


def test_bad_dimension():
    with pytest.raises(ValueError, match="n must"):
        linearize("tanh").error(0)
