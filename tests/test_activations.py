"""Activations: coefficients, moments and dual functions against mpmath, kinks found, refusals."""

from __future__ import annotations

import functools
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import fasthde as fh
from tests import oracle_networks as oracle
from tests.oracle_networks import NAMED, mp, mpf, phi

NAMES = list(NAMED)
CONTINUOUS = [n for n in NAMES if phi(n, **NAMED[n]).continuous]
ORDER = oracle.ORDER
EPS = float(np.finfo(float).eps)


@functools.cache
def make(name):
    return fh.activation(name, **NAMED[name])


def wanted(name):
    return phi(name, **NAMED[name])


def norm(name, tau=1.0):
    """sqrt of nu at tau."""
    return math.sqrt(float(oracle.moments(wanted(name), tau)["second"]))


def floats(values):
    return np.array([float(v) for v in values])


# ------------------------------------------------------------------------- the references among themselves


@pytest.mark.parametrize("name", [n for n in NAMES if oracle.closed_coefficient(n, 0) is not None])
def test_reference_coefficients(name):
    """Quadrature of 50 digits and the closed forms of every order."""
    got = oracle.coefficients(wanted(name))
    with mp.workdps(oracle.DIGITS):
        want = [oracle.closed_coefficient(name, k, **NAMED[name]) for k in range(ORDER + 1)]
        assert max(abs(a - b) for a, b in zip(got, want, strict=True)) < 1e-22
        second = oracle.moments(wanted(name))["second"]
        assert abs(second - oracle.closed_second(name, **NAMED[name])) < 1e-30


@pytest.mark.parametrize("name", [n for n in NAMES if n != "exp"])
def test_reference_duals(name):
    """The rule in NumPy against closed forms (any correlation) and series of 50 digits (moderate ones)."""
    correlations = (-0.999, 0.3, 1 - 1e-6, 1 - 1e-12)
    assert oracle.compare_duals([name], ((0.25, 4.0),), correlations) < 8e-16


# ----------------------------------------------------------------------------------------------- functions

GRID = np.array(
    [-30.0, -6.0, -2.5, -1.5, -0.75, -0.3, -1e-3, -1e-9, 1e-9, 1e-3, 0.3, 0.75, 1.5, 2.5, 6.0, 30.0]
)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives(name):
    f, act = wanted(name), make(name)
    with mp.workdps(30):
        want = floats(f.mp(mpf(t)) for t in GRID)
    assert act.name == name
    assert act.continuous == f.continuous
    assert np.array_equal(act.kinks, f.kinks)
    assert act.degree == f.degree or name == "polynomial"
    condition = 2 + GRID**2  # of the normal tail
    assert np.all(np.abs(act(GRID) - want) <= 4 * EPS * condition * np.abs(want))
    assert act(GRID.reshape(4, 4)).shape == (4, 4)
    assert np.ndim(act(0.3)) == 0
    if f.continuous:
        with mp.workdps(30):
            want = floats(f.slope(mpf(t)) for t in GRID)
        assert np.allclose(act.derivative(GRID), want, rtol=64 * EPS, atol=2e-15)
    else:
        with pytest.raises(ValueError, match=name):
            act.derivative(GRID)


def test_defaults_of_the_parameters():
    t = np.array([-1.0, 2.0])
    assert np.array_equal(fh.activation("leaky_relu")(t), [-0.01, 2])
    assert np.allclose(fh.activation("elu")(t), [math.expm1(-1), 2], rtol=EPS)
    assert fh.activation("elu", alpha=0.5)(-1.0) == pytest.approx(0.5 * math.expm1(-1), rel=2 * EPS)


# --------------------------------------------------------------------------------------- Hermite coefficients

TABLE = {  # a0 a1 a2 a3 nu of the page of equations, its printed digits
    "elu": (0.16052057, 0.76157829, 0.18496378, -0.05607861, 0.64494542),
    "tanh": (0, 0.60570551, 0, -0.14843719, 0.39429449),
    "sigmoid": (0.5, 0.20662096, 0, -0.02547326, 0.29337904),
    "silu": (0.20662096, 0.5, 0.24808519, 0, 0.35577552),
    "softplus": (0.80605918, 0.5, 0.14610308, 0, 0.92124591),
    "arctan": (0, 0.65567954, 0, -0.12711181, 0.44970092),
}


@pytest.mark.parametrize("name", TABLE)
def test_printed_table(name):
    act = fh.activation(name)
    got = np.append(act.hermite(3), act.moments().second)
    assert np.all(np.abs(got - TABLE[name]) <= 0.5001e-8)


@pytest.mark.parametrize("name", [n for n in NAMES if oracle.closed_coefficient(n, 0) is not None])
def test_closed_coefficients(name):
    """General k of the page of equations, tau = 1."""
    with mp.workdps(40):
        want = floats(oracle.closed_coefficient(name, k, **NAMED[name]) for k in range(ORDER + 1))
        second = float(oracle.closed_second(name, **NAMED[name]))
    act = make(name)
    assert np.max(np.abs(act.hermite(ORDER) - want)) <= 2e-15 * math.sqrt(second)
    assert act.moments().second == pytest.approx(second, rel=2e-15)


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("name", NAMES)
def test_coefficients(name, tau):
    want = floats(oracle.coefficients(wanted(name), tau))
    got = make(name).hermite(ORDER, tau)
    assert got.shape == (ORDER + 1,)
    assert np.max(np.abs(got - want)) <= 2e-15 * norm(name, tau)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "exp"])
def test_coefficients_of_a_large_argument(name):
    """tau = 20: steep activations; exp leaves the range of floats there."""
    want = floats(oracle.coefficients(wanted(name), 20.0))
    assert np.max(np.abs(make(name).hermite(60, 20.0) - want[:61])) <= 1e-14 * norm(name, 20.0)


def test_a_few_orders_and_many_scales():
    tau = np.array([[0.3, 1.0], [2.5, 0.3]])
    act = fh.activation("gelu")
    got = act.hermite(7, tau)
    assert got.shape == (2, 2, 8)
    for i in np.ndindex(2, 2):
        assert np.allclose(got[i], act.hermite(ORDER, tau[i])[:8], rtol=0, atol=2e-15)
    assert act.hermite(0).shape == (1,)
    assert act.hermite(0, tau).shape == (2, 2, 1)


# ------------------------------------------------------------------------------------------------ moments

FIELDS = ("mean", "second", "slope", "curvature", "quadratic", "slope_second", "nonlinear")


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("name", NAMES)
def test_moments(name, tau):
    """Every field against 50 digits; slope, curvature and quadratic divide by tau or its square."""
    want = oracle.moments(wanted(name), tau)
    got = make(name).moments(tau)
    scale = norm(name, tau)
    units = {
        "mean": scale, "second": scale**2, "slope": scale / tau, "curvature": 1.5 * scale / tau**2,
        "quadratic": max(scale**2 / tau**2, abs(float(want["quadratic"]))), "nonlinear": scale**2,
    }  # fmt: skip
    for field in FIELDS:
        value, truth = getattr(got, field), float(want[field])
        if field == "slope_second":
            assert value == truth or value == pytest.approx(truth, rel=1e-14)
        else:
            assert abs(value - truth) <= 4e-15 * units[field], field
    assert got.tau == tau


def test_moments_broadcast():
    act = fh.activation("tanh")
    tau = np.array([0.3, 1.0, 2.5])
    m = act.moments(tau)
    for field in (*FIELDS, "tau"):
        assert getattr(m, field).shape == (3,)
        one = [getattr(act.moments(t), field) for t in tau]
        assert np.allclose(getattr(m, field), one, rtol=1e-14, atol=1e-15)
    assert np.ndim(act.moments(1.0).mean) == 0
    assert act.moments() == act.moments(1.0)
    assert pickle.loads(pickle.dumps(m)) == m
    with pytest.raises((AttributeError, TypeError)):
        m.mean = 0.0


def test_the_small_part_of_an_almost_linear_activation():
    """nonlinear = nu - a_0^2 - a_1^2 is a sum of squares: no cancellation at small tau."""
    tau = 1e-3
    f = phi("tanh")
    want = float(mp.fsum(a * a for a in oracle.coefficients(f, tau)[2:]))
    assert fh.activation("tanh").moments(tau).nonlinear == pytest.approx(want, rel=1e-6)


# ------------------------------------------------------------------------------------------- dual functions

VARIANCES = [(1.0, 1.0), (0.25, 4.0), (2.25, 2.2)]


@functools.cache
def reference_dual(name, rho, qx, qy, derivative):
    f = wanted(name)
    if name == "hard_tanh":
        f = oracle.numeric(f)
    return float(oracle.dual(f, 1 - mpf(rho), 1 + mpf(rho), qx, qy, derivative))


def slope_scale(name, qx, qy):
    return math.sqrt(reference_dual(name, 1.0, qx, qx, True) * reference_dual(name, 1.0, qy, qy, True))


@pytest.mark.parametrize(("qx", "qy"), VARIANCES)
@pytest.mark.parametrize("name", NAMES)
def test_duals(name, qx, qy):
    """Values to 1e-14 of the scale, the error estimate above the error, for every correlation."""
    act = make(name)
    rho = np.array(oracle.CORRELATIONS if (qx, qy) != (2.25, 2.2) else (-1 + 1e-12, -0.5, 0.9, 1 - 1e-6, 1.0))
    for derivative in (False, True):
        if derivative and not act.continuous:
            continue
        scale = (
            slope_scale(name, qx, qy) if derivative else norm(name, math.sqrt(qx)) * norm(name, math.sqrt(qy))
        )
        want = np.array([reference_dual(name, float(r), qx, qy, derivative) for r in rho])
        got = act.dual(rho, qx, qy, derivative=derivative, full_output=True)
        gap = np.abs(got.value - want)
        assert np.max(gap) <= 1e-14 * scale, (derivative, gap / scale)
        assert np.all(gap <= got.error + 1e-15 * scale), (derivative, gap / scale)
        assert np.all(got.error <= 1e-12 * scale), (derivative, got.error / scale)
        plain = act.dual(rho, qx, qy, derivative=derivative)
        assert np.array_equal(plain, got.value)
        one = act.dual(float(rho[3]), qx, qy, derivative=derivative)
        assert np.ndim(one) == 0
        assert abs(one - want[3]) <= 1e-14 * scale


@pytest.mark.parametrize("name", NAMES)
def test_a_small_value_is_no_failure(name):
    """The status looks at the error beside sqrt(E phi(u)^2 E phi(v)^2): the value itself may be 0."""
    act = make(name)
    for derivative in (False, True)[: 1 + act.continuous]:
        r = act.dual(np.array(oracle.CORRELATIONS), 0.25, 4.0, derivative=derivative, full_output=True)
        assert np.all(r.status == fh.Status.CONVERGED), (derivative, r.status)
        assert np.all(r.success)


@pytest.mark.parametrize("name", NAMES)
def test_exact_diagonals(name):
    """dual(1, q, q) is the second moment; dual(-1) that of phi(u) phi(-u); of the slopes likewise."""
    act = make(name)
    for q in (0.3, 1.0, 2.5):
        m = act.moments(math.sqrt(q))
        assert act.dual(1.0, q, q) == pytest.approx(m.second, rel=4e-15)
        if act.continuous:
            assert act.dual(1.0, q, q, derivative=True) == pytest.approx(m.slope_second, rel=4e-15)
        assert act.dual(0.0, q, q) == pytest.approx(m.mean**2, rel=1e-14, abs=1e-15 * m.second)


def test_duals_broadcast():
    act = fh.activation("silu")
    rho, q = np.array([[-0.2], [0.5], [1.0]]), np.array([0.5, 1.0, 2.0, 3.0])
    got = act.dual(rho, q, 1.5)
    assert got.shape == (3, 4)
    for i, j in np.ndindex(3, 4):
        assert got[i, j] == pytest.approx(act.dual(float(rho[i, 0]), float(q[j]), 1.5), rel=1e-14)


# ------------------------------------------------------------------------- derived activations and equality


@pytest.mark.parametrize("name", NAMES)
def test_centred_and_normalised(name):
    act, tau = make(name), 0.3
    m = act.moments(tau)
    a = act.hermite(20, tau)
    sd = math.sqrt(float(oracle.moments(wanted(name), tau)["second"]) - m.mean**2)
    t = np.array([-1.2, 0.4, 2.0])
    c, z = act.centered(tau), act.normalized(tau)
    scale = norm(name, tau)
    assert np.allclose(c(t), act(t) - m.mean, rtol=0, atol=4e-15 * max(scale, 1))
    assert np.allclose(z(t), (act(t) - m.mean) / sd, rtol=1e-13, atol=1e-14)
    assert abs(c.hermite(20, tau)[0]) <= 2e-15 * scale
    assert np.allclose(c.hermite(20, tau)[1:], a[1:], rtol=0, atol=4e-15 * scale)
    assert np.allclose(z.hermite(20, tau)[1:], a[1:] / sd, rtol=0, atol=4e-15 * scale / sd)
    n = z.moments(tau)
    assert abs(n.mean) <= 4e-15 * scale / sd
    assert n.second == pytest.approx(1.0, rel=1e-14)
    assert np.array_equal(z.kinks, act.kinks)
    assert z.continuous == act.continuous
    for rho in (-0.5, 0.3, 1.0):
        want = reference_dual(name, rho, tau**2, tau**2, False) - m.mean**2
        assert c.dual(rho, tau**2, tau**2) == pytest.approx(want, rel=0, abs=1e-13 * scale**2)


@pytest.mark.parametrize("name", NAMES)
def test_scaled_and_shifted(name):
    act = make(name)
    new = -2.5 * act + 0.75
    t = np.array([-1.2, 0.4, 2.0])
    a = act.hermite(30)
    assert np.allclose(new(t), -2.5 * act(t) + 0.75, rtol=4 * EPS, atol=1e-15)
    want = -2.5 * a + 0.75 * (np.arange(31) == 0)
    scale = 2.5 * norm(name) + 0.75
    assert np.allclose(new.hermite(30), want, rtol=0, atol=2e-15 * scale)
    value = 6.25 * act.dual(0.3) - 2 * 2.5 * 0.75 * a[0] + 0.75**2
    assert new.dual(0.3) == pytest.approx(value, rel=0, abs=1e-13 * scale**2)
    if act.continuous:
        assert np.allclose(new.derivative(t), -2.5 * act.derivative(t), rtol=4 * EPS, atol=1e-15)
        assert new.dual(0.3, derivative=True) == pytest.approx(
            6.25 * act.dual(0.3, derivative=True), rel=1e-13
        )
    assert new.degree is None or new.degree == act.degree


@pytest.mark.parametrize("name", NAMES)
def test_equality_and_pickling(name):
    act = make(name)
    assert fh.activation(act) is act
    assert fh.activation(name, **NAMED[name]) == act
    assert pickle.loads(pickle.dumps(act)) == act
    assert act != make("tanh" if name != "tanh" else "relu")
    for other in (act.centered(1.3), act.normalized(0.7), 2 * act + 1):
        assert (other == act) == (
            act.moments(1.3).mean == 0 and np.array_equal(other([0.4, 2]), act([0.4, 2]))
        )
        copy = pickle.loads(pickle.dumps(other))
        assert copy == other
        assert np.array_equal(copy.hermite(5), other.hermite(5))
    assert name in repr(act)


def test_parameters_take_part_in_equality():
    assert fh.activation("leaky_relu", slope=0.1) != fh.activation("leaky_relu", slope=0.2)
    assert fh.activation("elu", alpha=1.0) == fh.activation("elu")
    assert fh.activation("polynomial", coefficients=[0, 1]) != fh.activation(
        "polynomial", coefficients=[0, 2]
    )


# ------------------------------------------------------------------------------------- callables and kinks


def bump(t):
    """A function of this module, so that it pickles."""
    return np.exp(-np.abs(t))


ROOT, E3, PI5 = math.sqrt(0.5), math.e / 3, math.pi / 5

#: Undeclared kinks: (function, reference, accuracy of the places found).
FOUND = {
    "jump": (
        lambda t: np.where(t > ROOT, 1.0, np.sin(t)),
        lambda t: mpf(1) if t > ROOT else mp.sin(t), (ROOT,), False, 1e-15,
    ),
    "small jump": (
        lambda t: np.tanh(t) + 1e-6 * (t > E3),
        lambda t: mp.tanh(t) + (mpf(1e-6) if t > E3 else 0), (E3,), False, 1e-14,
    ),
    "slope": (lambda t: np.abs(t - E3), lambda t: abs(t - mpf(E3)), (E3,), True, 1e-8),
    "slope on a curve": (
        lambda t: np.cos(t) + 0.1 * np.maximum(t + PI5, 0),
        lambda t: mp.cos(t) + mpf(0.1) * max(t + mpf(PI5), mpf(0)), (-PI5,), True, 1e-8,
    ),
    "second derivative": (
        lambda t: np.tanh(t) + np.maximum(t - PI5, 0) ** 2,
        lambda t: mp.tanh(t) + max(t - mpf(PI5), mpf(0)) ** 2, (PI5,), True, 1e-5,
    ),
    "clip": (
        lambda t: np.clip(t, -math.sqrt(3), math.log(2)),
        lambda t: min(max(t, -mpf(math.sqrt(3))), mpf(math.log(2))), (-math.sqrt(3), math.log(2)), True, 1e-8,
    ),
    "jump and slope": (
        lambda t: np.abs(t) + (t > ROOT), lambda t: abs(t) + (t > ROOT), (0.0, ROOT), False, 1e-8,
    ),
    "quantiser": (
        lambda t: np.clip(np.floor(2 * t), -4, 3) / 2 + 0.25,
        lambda t: min(max(mp.floor(2 * t), mpf(-4)), mpf(3)) / 2 + mpf(0.25),
        (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5), False, 1e-15,
    ),
    "ramp": (
        lambda t: np.clip(50 * (t - PI5), 0, 1), lambda t: min(max(50 * (t - mpf(PI5)), mpf(0)), mpf(1)),
        (PI5, PI5 + 0.02), True, 1e-8,
    ),
    "far jump": (
        lambda t: np.tanh(t) + (t > 5.3), lambda t: mp.tanh(t) + (t > mpf(5.3)), (5.3,), False, 1e-14,
    ),
    "exponential kink": (bump, lambda t: mp.exp(-abs(t)), (0.0,), True, 1e-8),
    "steep but smooth": (lambda t: np.tanh(15 * t), lambda t: mp.tanh(15 * t), (), True, 1e-8),
    "smooth": (lambda t: np.sin(3 * t) * np.exp(-t * t), lambda t: mp.sin(3 * t) * mp.exp(-t * t), (), True, 1),
}  # fmt: skip


@functools.cache
def found(case):
    function, reference, kinks, continuous, _ = FOUND[case]
    slope = (lambda t: mpf(0)) if continuous else None
    return fh.activation(function), oracle.Phi(case, reference, function, slope, None, kinks)


@pytest.mark.parametrize("case", FOUND)
def test_kinks_are_found(case):
    """No kink lost, none invented (a smooth function may be split where that does no harm)."""
    act, f = found(case)
    assert act.continuous == f.continuous
    if case == "steep but smooth":
        assert act.kinks.size <= 4
        return
    assert act.kinks.shape == (len(f.kinks),), act.kinks
    assert np.all(np.abs(act.kinks - f.kinks) <= FOUND[case][4]), act.kinks - f.kinks


@pytest.mark.parametrize("tau", [1.0, 2.0])
@pytest.mark.parametrize("case", FOUND)
def test_coefficients_of_callables(case, tau):
    act, f = found(case)
    if case == "steep but smooth":
        tau = tau / 2
    want = floats(oracle.coefficients(f, tau))[:101]
    second = float(oracle.moments(f, tau)["second"])
    assert np.max(np.abs(act.hermite(100, tau) - want)) <= 1e-14 * math.sqrt(second)
    assert act.moments(tau).second == pytest.approx(second, rel=1e-14)


@pytest.mark.parametrize("case", [c for c in FOUND if c != "steep but smooth"])  # beyond the reference
def test_duals_of_callables(case):
    act, f = found(case)
    scale = float(oracle.moments(f, 1.0)["second"])
    for rho in (-1.0, -0.999, -0.5, 0.3, 0.9, 1 - 1e-6, 1.0):
        want = float(oracle.dual(f, 1 - mpf(rho), 1 + mpf(rho)))
        r = act.dual(rho, full_output=True)
        assert abs(r.value - want) <= 1e-13 * scale, rho
        assert abs(r.value - want) <= r.error + 1e-15 * scale, rho


@pytest.mark.parametrize("case", ["slope on a curve", "clip", "second derivative", "smooth"])
def test_declared_kinks_and_derivative(case):
    """Declared kinks are taken as they are, a given derivative is used; without one it is found."""
    function, _, kinks, _, _ = FOUND[case]
    slopes = {
        "slope on a curve": lambda t: -np.sin(t) + 0.1 * (t > -PI5),
        "clip": lambda t: ((t > -math.sqrt(3)) & (t < math.log(2))) * 1.0,
        "second derivative": lambda t: 1 / np.cosh(t) ** 2 + 2 * np.maximum(t - PI5, 0),
        "smooth": lambda t: (3 * np.cos(3 * t) - 2 * t * np.sin(3 * t)) * np.exp(-t * t),
    }
    d = slopes[case]
    given_ = fh.activation(function, kinks=list(kinks), derivative=d, name=case)
    bare = fh.activation(function, kinks=list(kinks))
    assert given_.name == case
    assert np.array_equal(given_.kinks, kinks)
    t = np.linspace(-3.01, 3.02, 41)
    assert np.array_equal(given_.derivative(t), d(t))
    assert np.allclose(bare.derivative(t), d(t), rtol=0, atol=1e-8)
    scale = given_.moments().slope_second
    assert scale == pytest.approx(oracle.pair_integrals(d, d, kinks, kinks, 1, 1, 0, 2)[0], rel=1e-14)
    for rho in (-0.5, 0.3, 0.999, 1.0):
        want = oracle.pair_integrals(d, d, kinks, kinks, 1.0, 1.5, 1 - mpf(rho), 1 + mpf(rho))[0]
        assert given_.dual(rho, 1.0, 1.5, derivative=True) == pytest.approx(want, rel=0, abs=1e-13 * scale)
        r = bare.dual(rho, 1.0, 1.5, derivative=True, full_output=True)
        assert abs(r.value - want) <= max(1e-10 * scale, r.error)


def test_a_callable_that_pickles():
    act = fh.activation(bump)
    copy = pickle.loads(pickle.dumps(act))
    assert copy == act
    assert np.array_equal(copy.hermite(10), act.hermite(10))


def test_kinks_are_sorted():
    act = fh.activation(lambda t: np.clip(t, -1, 2), kinks=[2.0, -1.0])
    assert np.array_equal(act.kinks, [-1.0, 2.0])


def test_kinks_move_with_the_scale():
    """hard_tanh at tau = .3 has its kinks at xi = 3.33, at tau = 20 at .05."""
    act = fh.activation(lambda t: np.clip(t, -1, 1))
    for tau in (0.3, 20.0):
        want = floats(oracle.coefficients(phi("hard_tanh"), tau))[:61]
        assert np.max(np.abs(act.hermite(60, tau) - want)) <= 1e-14 * norm("hard_tanh", tau)


# ---------------------------------------------------------------------------------------------- properties

SMOOTH_ENOUGH = st.sampled_from(NAMES)
variances = st.floats(0.05, 4.0)


@settings(max_examples=60)
@given(SMOOTH_ENOUGH, st.floats(0.2, 2.5))
def test_parseval(name, tau):
    """The sum of squares is nu: from below for a kink, equal where the coefficients fall fast."""
    act = make(name)
    m, a = act.moments(tau), act.hermite(150, tau)
    total = math.fsum(a * a)
    assert total <= m.second * (1 + 1e-14)
    assert m.nonlinear == pytest.approx(m.second - a[0] ** 2 - a[1] ** 2, rel=0, abs=4e-15 * m.second)
    if not act.kinks.size and tau <= 1 and name != "arctan":
        assert total == pytest.approx(m.second, rel=1e-13)


@settings(max_examples=60)
@given(SMOOTH_ENOUGH, st.floats(-0.5, 0.5), variances, variances)
def test_dual_is_the_series(name, rho, qx, qy):
    act = make(name)
    a, b = act.hermite(60, math.sqrt(qx)), act.hermite(60, math.sqrt(qy))
    scale = math.sqrt(act.moments(math.sqrt(qx)).second * act.moments(math.sqrt(qy)).second)
    want = math.fsum(a * b * rho ** np.arange(61))
    assert act.dual(rho, qx, qy) == pytest.approx(want, rel=0, abs=1e-14 * scale)


@settings(max_examples=60)
@given(SMOOTH_ENOUGH, st.floats(-1, 1), variances, variances)
def test_dual_is_symmetric_and_bounded(name, rho, qx, qy):
    act = make(name)
    scale = math.sqrt(act.dual(1.0, qx, qx) * act.dual(1.0, qy, qy))
    value = act.dual(rho, qx, qy)
    assert value == pytest.approx(act.dual(rho, qy, qx), rel=0, abs=4e-15 * scale)
    assert abs(value) <= scale * (1 + 1e-14)


@settings(max_examples=40)
@given(st.sampled_from(CONTINUOUS), st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), variances, variances)
def test_price(name, low, high, qx, qy):
    """d/drho E phi phi = sqrt(qx qy) E phi' phi', integrated between two correlations."""
    act = make(name)
    t, w = special.roots_legendre(40)
    rho = (low + high) / 2 + (high - low) / 2 * t
    slopes = act.dual(rho, qx, qy, derivative=True)
    want = (high - low) / 2 * (w @ slopes) * math.sqrt(qx * qy)
    scale = math.sqrt(act.dual(1.0, qx, qx) * act.dual(1.0, qy, qy)) + abs(want)
    assert act.dual(high, qx, qy) - act.dual(low, qx, qy) == pytest.approx(want, rel=0, abs=2e-14 * scale)


@settings(max_examples=40)
@given(
    st.sampled_from([n for n in NAMES if phi(n, **NAMED[n]).degree is not None]),
    st.floats(0.05, 20.0),
    st.floats(-1, 1),
)
def test_homogeneous(name, c, rho):
    act = make(name)
    k = act.degree
    t = np.array([-2.0, -0.3, 0.7])
    assert np.allclose(act(c * t), c**k * act(t), rtol=1e-14)
    assert np.allclose(act.hermite(30, c), c**k * act.hermite(30), rtol=0, atol=2e-15 * c**k * norm(name))
    assert act.dual(rho, c * c, 1.0) == pytest.approx(c**k * act.dual(rho), rel=0, abs=4e-15 * c**k)


def test_polynomials_know_their_degree():
    """A multiple of a power of even order or of t is homogeneous; the flag, where given, is right."""
    for c in ([0.0, 2.0], [0.0, 0.0, 3.0], [1.0, 1.0], [0.0, 0.0, 0.0, 1.0]):
        act = fh.activation("polynomial", coefficients=c)
        if act.degree is not None:
            assert act(3.0) == pytest.approx(3.0**act.degree * act(1.0))
            assert act(-6.0) == pytest.approx(3.0**act.degree * act(-2.0))


# ----------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("rleu", "relu"),
        ("geluu", "gelu"),
        ("lekay_relu", "leaky_relu"),
        ("hard_tan", "hard_tanh"),
        ("Tahn", "tanh"),
    ],
)
def test_unknown_name(name, nearest):
    with pytest.raises(ValueError, match=rf"{name}.*{nearest}|{nearest}.*{name}"):
        fh.activation(name)


def test_unknown_parameter():
    with pytest.raises((TypeError, ValueError), match="slope"):
        fh.activation("relu", slope=0.1)
    with pytest.raises((TypeError, ValueError), match="slop"):
        fh.activation("leaky_relu", slop=0.1)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="slope"):
            fh.activation("leaky_relu", slope=bad)
        with pytest.raises(ValueError, match="coefficients"):
            fh.activation("polynomial", coefficients=[0.0, bad])


@pytest.mark.parametrize("value", [3.0, None, [1.0, 2.0]])
def test_not_an_activation(value):
    with pytest.raises(TypeError, match=r"activation|callable|name"):
        fh.activation(value)


def use(function, **options):
    """Everything that a callable is needed for; the refusal may come with any of it."""
    act = fh.activation(function, **options)
    act.hermite(5)
    act.moments()
    act.dual(0.5)


@pytest.mark.parametrize(
    "function",
    [lambda t: 1.0 if t > 0 else 0.0, lambda t: math.tanh(t), lambda t: 1.0, lambda t: np.ones(3), np.sum],
    ids=["if", "math", "constant", "shape", "sum"],
)
@pytest.mark.parametrize("kinks", [None, [0.0]])
def test_not_vectorised(function, kinks):
    with pytest.raises(ValueError, match="vectorised"):
        use(function, kinks=kinks)


@pytest.mark.parametrize("kinks", [None, [0.0]])
def test_not_finite(kinks):
    with pytest.raises(ValueError, match=r"NaN|nan|finite"):
        use(lambda t: np.where(t > 1.3, np.nan, t), kinks=kinks)
    with pytest.raises(ValueError, match=r"inf|finite"):
        use(lambda t: np.where(np.abs(t) < 0.5, np.inf, t), kinks=kinks)


def growth(power, rate):
    """exp(rate |t|^power), quiet where it leaves the range of floats."""

    def function(t):
        with np.errstate(over="ignore"):
            return np.exp(rate * np.abs(t) ** power)

    return function


@pytest.mark.parametrize(("power", "rate"), [(2, 0.5), (2, 0.25), (2, 0.3), (3, 0.2), (4, 1.0)])
@pytest.mark.parametrize("kinks", [None, []])
@pytest.mark.parametrize("method", ["hermite", "moments", "dual"])
def test_not_square_integrable(method, kinks, power, rate):
    """exp(t^2/2) and its like: E phi^2 is infinite at tau = 1, just so for exp(t^2/4)."""
    call = {
        "hermite": lambda a: a.hermite(5),
        "moments": lambda a: a.moments(),
        "dual": lambda a: a.dual(0.5),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fh.ValidityWarning)
        with pytest.raises(ValueError, match=r"square.integrable"):
            call[method](fh.activation(growth(power, rate), kinks=kinks))


def test_barely_square_integrable():
    """exp(t^2/5): E phi^2 = (1 - 4/5)^(-1/2) at tau = 1; a_2 from the variance 1/(1 - 2/5) of the tilted law."""
    act = fh.activation(growth(2, 0.2), kinks=[])
    a = act.hermite(4)
    assert a[0] == pytest.approx(0.6**-0.5, rel=1e-13)
    assert a[2] == pytest.approx((1 / 0.6 - 1) / math.sqrt(2) * 0.6**-0.5, rel=1e-13)
    assert act.moments().second == pytest.approx(0.2**-0.5, rel=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.5])
def test_a_cusp_is_exact_or_said(power):
    """|t|^p is no piecewise smooth function: right to 1e-12, or a warning comes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act = fh.activation(lambda t: np.abs(t) ** power)
        a, second = act.hermite(2), act.moments().second
    mean = 2 ** (power / 2) * math.gamma((power + 1) / 2) / math.sqrt(math.pi)  # E |xi|^p
    want = np.array([mean, 0, power * mean / math.sqrt(2)])
    square = 2**power * math.gamma(power + 0.5) / math.sqrt(math.pi)
    good = np.max(np.abs(a - want)) <= 1e-12 and abs(second - square) <= 1e-12
    assert good or any(issubclass(w.category, fh.ValidityWarning) for w in caught), (
        a - want,
        second - square,
    )


@pytest.mark.parametrize("name", ["sign", "step"])
def test_discontinuous(name):
    act = fh.activation(name)
    for call in (
        lambda: act.derivative(0.5),
        lambda: act.dual(0.5, derivative=True),
        lambda: (2 * act + 1).dual(0.5, derivative=True),
    ):
        with pytest.raises(ValueError, match=r"continuous|jump"):
            call()
    assert act.moments().slope_second == math.inf
    jump = fh.activation(lambda t: (t > ROOT) * 1.0)
    assert jump.moments().slope_second == math.inf
    with pytest.raises(ValueError, match=r"continuous|jump"):
        jump.derivative(0.5)


@pytest.mark.parametrize("tau", [-1.0, math.nan, math.inf, -math.inf])
def test_bad_tau(tau):
    act = fh.activation("tanh")
    for call in (act.moments, lambda t: act.hermite(3, t), act.centered, act.normalized):
        with pytest.raises(ValueError, match="tau"):
            call(tau)


def test_bad_order():
    act = fh.activation("tanh")
    with pytest.raises((ValueError, TypeError), match="order"):
        act.hermite(-1)
    with pytest.raises((ValueError, TypeError), match="order"):
        act.hermite(2.5)


def test_bad_kinks():
    for bad in ([math.nan], [math.inf], [[0.0, 1.0], [2.0, 3.0]]):
        with pytest.raises(ValueError, match="kinks"):
            fh.activation(np.abs, kinks=bad)


@pytest.mark.parametrize("name", ["relu", "tanh", "sign"])
def test_bad_scalars_of_a_dual(name):
    act = fh.activation(name)
    for rho in (1.1, -1.0000001, math.nan, math.inf):
        with pytest.raises(ValueError, match="rho"):
            act.dual(rho)
    for q in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="qx"):
            act.dual(0.5, q)
        with pytest.raises(ValueError, match="qy"):
            act.dual(0.5, 1.0, q)


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("name", ["relu", "tanh", "hard_tanh", "erf"])
def test_bad_elements_of_a_dual(name, derivative):
    """NaN with INVALID there; the neighbours have the bits that they have alone."""
    act = fh.activation(name)
    rho = np.array([0.5, 1.5, -0.2, math.nan, 1.0, -math.inf, -1.0])
    good = np.array([True, False, True, False, True, False, True])
    r = act.dual(rho, derivative=derivative, full_output=True)
    assert np.isnan(r.value[~good]).all()
    assert np.array_equal(r.status == fh.Status.INVALID, ~good)
    assert np.array_equal(r.value[good], act.dual(np.where(good, rho, 0.1), derivative=derivative)[good])
    q = np.array([1.0, -1.0, 2.0, math.nan])
    r = act.dual(0.5, q, 1.5, derivative=derivative, full_output=True)
    bad = np.array([False, True, False, True])
    assert np.array_equal(np.isnan(r.value), bad)
    assert np.array_equal(r.status == fh.Status.INVALID, bad)
    assert np.array_equal(act.dual(0.5, q, 1.5, derivative=derivative), r.value, equal_nan=True)


def test_strings_and_complex_numbers_are_refused():
    act = fh.activation("relu")
    with pytest.raises(TypeError, match="rho"):
        act.dual("half")
    with pytest.raises(TypeError, match="rho"):
        act.dual(0.5 + 0j)
    with pytest.raises(TypeError, match="tau"):
        act.hermite(3, "one")


def test_immutable():
    """Named activations are shared by everybody."""
    with pytest.raises(AttributeError, match="immutable"):
        fh.activation("relu").scale = 3.0
    assert fh.activation("relu").dual(1.0) == 0.5
    assert (1 - fh.activation("relu"))(2.0) == -1.0
    for number in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            fh.activation("relu") * number


def test_callables_by_identity():
    """A callable need not be hashable, nor compare to a truth value."""

    class Odd:
        __hash__ = None

        def __eq__(self, other):
            return np.array([True, False])

        def __call__(self, t):
            return np.tanh(t)

    one, other = Odd(), Odd()
    assert fh.activation(one) == fh.activation(one)
    assert fh.activation(one) != fh.activation(other)
    assert hash(fh.activation(one)) == hash(fh.activation(one))
    np.testing.assert_allclose(
        fh.conjugate_kernel(np.eye(3), one, 2), fh.conjugate_kernel(np.eye(3), "tanh", 2), atol=1e-14
    )


@pytest.mark.parametrize("q", [1e-20, 1e-12, 1e-6])
def test_tiny_variances_keep_relative_precision(q):
    relu = fh.activation(lambda t: np.maximum(t, 0.0), kinks=[0.0])
    np.testing.assert_allclose(relu.dual(0.5, q, q), fh.activation("relu").dual(0.5, q, q), rtol=1e-14)
    np.testing.assert_allclose(fh.activation("hard_tanh").dual(0.5, q, q), 0.5 * q, rtol=1e-14)


def test_a_steep_slope_is_no_jump():
    steep = fh.activation(lambda t: np.clip(2000 * t, -1, 1))
    assert steep.continuous
    want = 2000.0**2 * math.erf(1 / 2000 / math.sqrt(2))
    np.testing.assert_allclose(steep.moments().slope_second, want, rtol=1e-8)
    assert not fh.activation(lambda t: np.where(t > 1e-3, 1.0, -1.0)).continuous


def test_constants_zeros_and_overflow():
    constant = fh.activation("polynomial", coefficients=[5.0])
    np.testing.assert_allclose(constant.dual([0.0, 0.5, 1.0]), 25.0, rtol=1e-15)
    assert (0 * fh.activation("tanh")).dual(0.5) == 0.0
    both = fh.network_kernels(np.eye(3), 0 * fh.activation("hard_tanh") + 2.0, 2)
    np.testing.assert_allclose(both.conjugate, 4.0, rtol=1e-14)
    np.testing.assert_allclose(both.tangent, 4.0, rtol=1e-14)
    assert fh.activation("exp").dual(0.5, 1e4, 1e4, full_output=True).status is fh.Status.DIVERGES
    assert np.isnan(fh.activation("step")(np.nan))
    with pytest.raises(ValueError, match="order must be at most"):
        fh.linearize("tanh", "LLN", order=35)


def test_more_refusals():
    with pytest.raises(TypeError, match="float64"):
        fh.activation(lambda t: np.tanh(t.astype(np.float32)))
    with pytest.raises(ValueError, match="at most 64"):
        fh.activation(np.tanh, kinks=np.linspace(-3, 3, 2000))
    with pytest.raises(TypeError, match="name"):
        fh.activation(np.tanh, name=5)
    with pytest.raises(ValueError, match="coefficients"):
        fh.activation("polynomial")


# ------------------------------------------------------------------------------------------- hard cases


@pytest.mark.parametrize("order", [8, 12])
def test_taylor_coefficients_of_high_order(order):
    """Errors of coefficients beyond those a small interval resolves are not 0."""
    got = fh.linearize("exp", "LLN", order=order)
    want = 1 / special.factorial(np.arange(order + 1))
    assert (np.abs(got.coefficients - want) <= 3 * got.errors + 1e-16).all()
    assert got.coefficients[7] == pytest.approx(1 / 5040, rel=1e-3)


def test_a_bump_between_extreme_variances():
    """The longest series is needed at the scale of the bump, not at the least or largest scale."""
    act = fh.activation(lambda t: t + np.exp(-t * t), kinks=[])
    both = act.dual(0.5, [1e-8, 1.0, 1e10], [1e-8, 1.0, 1e10])
    np.testing.assert_allclose(both[1], act.dual(0.5), rtol=1e-12)
    P = np.array([[1, 0.3], [0.5, 1.2]]) * 2**0.5
    alone = fh.conjugate_kernel(P, act, 1)[0, 1]
    far = fh.conjugate_kernel(np.vstack([[[1e-4, 0]], P, [[1e5, 1e5]]]), act, 1)[1, 2]
    np.testing.assert_allclose(far, alone, rtol=1e-11)


@pytest.mark.parametrize("tau", [1e-3, 1e-6, 1e-8, 1e-10])
def test_moments_at_small_scales(tau):
    """phi'' and phi'^2 + phi phi'' at 0, where Stein's lemma has no digits left."""
    softplus = fh.activation("softplus").moments(tau)
    np.testing.assert_allclose(softplus.curvature, 0.25, rtol=1e-6)
    np.testing.assert_allclose(softplus.quadratic, 0.25 + np.log(2) * 0.25, rtol=1e-6)
    np.testing.assert_allclose(softplus.slope, 0.5, rtol=1e-12)
    np.testing.assert_allclose(fh.activation("sigmoid").moments(tau).quadratic, 0.0625, rtol=1e-6)
    relu = (fh.activation("relu") + 1.0).moments(tau)
    np.testing.assert_allclose(relu.curvature * tau, 1 / np.sqrt(2 * np.pi), rtol=1e-12)


def test_a_function_that_vanishes_around_the_origin_is_continuous():
    assert fh.activation(lambda t: np.maximum(t - 4, 0)).continuous
    assert fh.activation(lambda t: np.maximum(t - 50, 0), kinks=[50]).continuous
    assert fh.activation(lambda t: np.clip(1e7 * t, -1, 1), kinks=[-1e-7, 1e-7]).continuous
    assert not fh.activation(lambda t: np.where(t > 4.0, 1e-3, 0.0)).continuous


@pytest.mark.parametrize("steep", [100.0, 1e3, 1e4])
def test_duals_of_steep_sigmoids(steep):
    act = fh.activation(lambda t: np.tanh(steep * t))
    got = act.dual([0.0, 0.5], full_output=True)
    assert abs(got.value[0]) < 1e-12
    np.testing.assert_allclose(got.value[1], 1 / 3, atol=2 / steep)


def test_narrow_bumps_and_close_kinks():
    hat = fh.activation(lambda t: np.maximum(1 - np.abs(t - 1.1234) / 0.01, 0))
    np.testing.assert_allclose(hat.kinks, [1.1134, 1.1234, 1.1334], atol=1e-12)
    close = fh.activation(lambda t: np.clip(t, 0.2, 0.201) / 0.001)
    np.testing.assert_allclose(close.kinks, [0.2, 0.201], atol=1e-12)


def test_large_scales_of_callables_and_closed_forms():
    """Memory and time do not grow with the scale."""
    act = fh.activation(np.tanh)
    np.testing.assert_allclose(act.hermite(1, 1e6)[1], np.sqrt(2 / np.pi), rtol=1e-5)
    X = 1e4 * np.random.default_rng(0).standard_normal((3, 4))
    assert np.isfinite(fh.tangent_kernel(X, "cos", 1)).all()
    x = np.array([-1.0, 1.0])
    fh.activation(lambda t: np.maximum(t, 0, out=t))(x)
    assert x[0] == -1.0


def test_threads_share_an_activation():
    """Meshes are extended under a lock."""
    from concurrent.futures import ThreadPoolExecutor

    for _ in range(5):
        act = fh.activation(lambda t: np.clip(t, -1.0, 0.7), kinks=[-1.0, 0.7])
        scales = np.geomspace(0.01, 40.0, 24)
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda q, act=act: act.dual(0.3, q, q), scales))
        want = [
            fh.activation(lambda t: np.clip(t, -1.0, 0.7), kinks=[-1.0, 0.7]).dual(0.3, q, q) for q in scales
        ]
        np.testing.assert_allclose(got, want, rtol=1e-13)
