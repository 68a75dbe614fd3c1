"""Equivalents of one and two resolvents: high precision, simulation, symmetries, refusals."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpc, mpf
from threadpoolctl import threadpool_limits

import fasthde as fh
from fasthde.equivalents import Equivalent, TwoResolvent, equivalent, two_resolvent
from tests import oracle_laws as oracle

pairs = partial(zip, strict=True)

T = [1.0, 3.0, 10.0]

#: Every operation, alone and in company.
CHAINS = {
    "nothing": [],
    "one": [("sample_covariance", 0.5)],
    "wide": [("sample_covariance", 2.0)],
    "three": [("sample_covariance", 0.5), ("sample_covariance", 0.7), ("sample_covariance", 1.5)],
    "page": [
        ("sample_covariance", 0.5), ("scale", 0.7), ("shift", 0.3), ("sample_covariance", 1.5),
        ("add_semicircle", 0.2),
    ],
    "semicircle": [("add_semicircle", 0.8), ("shift", 3.0), ("sample_covariance", 0.4)],
    "wishart": [("add_wishart", 0.6, 2.0), ("sample_covariance", 0.3), ("add_wishart", 2.0, 0.5)],
    "compound": [("sample_covariance", 0.5), ("add_compound_poisson", 0.7, [1.0, -0.5, 4.0], [0.3, 0.5, 0.2])],
    "inverse": [("sample_covariance", 0.5), ("multiply_inverse_wishart", 0.4)],
    "all": [
        ("add_compound_poisson", 0.5, [0.5, 2.0], [0.5, 0.5]), ("multiply_inverse_wishart", 0.3), ("scale", 0.5),
        ("sample_covariance", 0.4), ("add_semicircle", 0.3), ("shift", 2.0), ("multiply_inverse_wishart", 0.2),
    ],
}  # fmt: skip

chains = pytest.mark.parametrize("steps", CHAINS.values(), ids=CHAINS)


@pytest.fixture
def one_thread():
    """Small matrices: BLAS threads would only wait for each other."""
    with threadpool_limits(1):
        yield


def build(steps, spectrum=None):
    law = fh.Law(fh.Spectrum(T) if spectrum is None else spectrum)
    for name, *parameters in steps:
        law = getattr(law, name)(*parameters)
    return law


def agree(got, want, rtol):
    """Componentwise in modulus."""
    got, want = np.ravel(got), np.array([mpc(x) for x in np.ravel(np.array(want, dtype=object))])
    for a, b in pairs(got, want):
        assert abs(mpc(complex(a)) - b) <= rtol * abs(b), (a, complex(b), float(abs(mpc(complex(a)) / b - 1)))


# -------------------------------------------------------------------------------------------- one resolvent


@chains
def test_factor_against_high_precision(steps):
    law = build(steps)
    low, high = law._hull()
    points = [5 + 1j, 0.7 + 0.01j, -2 + 3j, low - 0.7, high + 1.3]
    for z in points:
        q = equivalent(law, z)
        s = oracle.chain_root(T, None, steps, mpc(z), 30)
        with mp.workdps(40):
            _, m, phi = oracle.chain_point(T, None, steps, s)
        agree([q.omega, q.factor, q.stieltjes], [s, phi, m], 2e-14)
        assert q.status is fh.Status.CONVERGED
        assert isinstance(q.factor, complex if isinstance(z, complex) else float)


@pytest.mark.parametrize("name", ["wide", "one", "three"])
def test_factor_near_zero(name):
    """With zeros in the spectrum the factor has a pole at 0: no digit is lost on the way there."""
    steps = CHAINS[name]
    z = -np.geomspace(1e-1, 1e-13, 5)
    q = equivalent(build(steps), z)
    for i, x in enumerate(z):
        s = oracle.chain_root(T, None, steps, mpf(float(x)), 30)
        with mp.workdps(40):
            _, _, phi = oracle.chain_point(T, None, steps, s)
        agree([q.omega[i], q.factor[i]], [s, phi], 4e-15)


def test_anchors():
    q = equivalent(fh.sample_covariance(fh.Spectrum([1, 3, 7], weights=[1, 1, 2]), 2 / 3), -0.5)
    assert q.omega == pytest.approx(-1, rel=1e-15)
    assert q.factor == pytest.approx(2, rel=1e-15)
    assert equivalent(fh.marchenko_pastur(2.0), -0.3).diagonal(1.0) == pytest.approx(2, rel=1e-15)
    plain = equivalent(fh.Law(fh.Spectrum(T)), [2j, -1.0])
    np.testing.assert_array_equal(plain.omega, [2j, -1.0])
    np.testing.assert_array_equal(plain.factor, [1, 1])


@chains
def test_trace_is_the_stieltjes_transform(steps):
    law = build(steps)
    z = np.array([[1 + 1j, 5 - 0.3j], [0.2 - 2j, 30 + 1e-3j]])
    q = equivalent(law, z)
    np.testing.assert_allclose(q.trace(law.spectrum), q.stieltjes, rtol=1e-13)
    np.testing.assert_allclose(q.stieltjes, law.stieltjes(z), rtol=1e-13)
    np.testing.assert_allclose(q.diagonal(T).mean(-1), q.stieltjes, rtol=1e-13)


def test_sides_and_invalid_points():
    law = fh.sample_covariance(fh.Spectrum(T), 2.0)
    x = law.support.mean()
    z = [x, 0.0, np.nan, np.inf, -1.0]
    q = equivalent(law, z)
    assert q.omega.dtype == q.factor.dtype == np.float64
    np.testing.assert_array_equal(q.status, [2, 2, 2, 2, 0])
    np.testing.assert_array_equal(np.isnan(q.factor), [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(q.success, [0, 0, 0, 0, 1])
    up, down = equivalent(law, z, side="+"), equivalent(law, z, side="-")
    np.testing.assert_array_equal(up.status, [0, 2, 2, 2, 0])
    assert up.omega[0].imag > 0
    assert up.factor[0] == down.factor[0].conjugate()
    near = equivalent(law, x + 1e-12j)
    assert up.factor[0] == pytest.approx(near.factor, rel=1e-10)
    assert equivalent(law, x).status is fh.Status.INVALID
    with pytest.raises(ValueError, match=r'^side must be "\+", "-" or None; got .up.'):
        equivalent(law, -1.0, side="up")


def test_matrix_and_bilinear():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 6))
    C = x.T @ x / 9
    law = fh.sample_covariance(fh.Spectrum.from_covariance(C), 0.5).shift(1.0)
    a, b = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
    t, u = np.linalg.eigh(C)
    for z in (-1.0, 2 + 1j, np.array([[-1.0], [-3.0]]), np.array([1j, 2 - 1j])):
        q = equivalent(law, z)
        shape = np.shape(z)
        want = np.empty((*shape, 6, 6), np.result_type(z, float))
        for i in np.ndindex(shape):
            omega, factor = np.asarray(q.omega)[i], np.asarray(q.factor)[i]
            want[i] = factor * np.linalg.inv(C - omega * np.eye(6))
        np.testing.assert_allclose(q.matrix(C), want, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(q.bilinear(C, a, b), a.T @ want @ b, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(
            q.bilinear(C, a[:, 0], b), (a.T @ want @ b)[..., 0, :], rtol=1e-11, atol=1e-13
        )
        np.testing.assert_allclose(
            q.bilinear(C, a[:, 0], b[:, 0]), (a.T @ want @ b)[..., 0, 0], rtol=1e-11, atol=1e-13
        )
        np.testing.assert_allclose(q.bilinear(t, u.T @ a, u.T @ b), a.T @ want @ b, rtol=1e-11, atol=1e-13)
        assert q.matrix(C).dtype == want.dtype
    scalar = equivalent(law, -1.0)
    assert isinstance(scalar.bilinear(C, a[:, 0], a[:, 0]), float)
    assert isinstance(scalar.trace(law.spectrum), float)
    nan = equivalent(law, [np.nan, -1.0])
    assert np.isnan(nan.matrix(C)[0]).all()
    assert np.isnan(equivalent(law, np.nan).bilinear(C, a[:, 0], a[:, 0]))


@pytest.mark.usefixtures("one_thread")
def test_matrix_against_simulation():
    """The whole matrix over two sample covariance steps, by random bilinear forms."""
    steps = [("sample_covariance", 0.5), ("sample_covariance", 0.7)]
    p, z = 360, 1.5 + 0.6j
    rng = np.random.default_rng(3)
    t = np.repeat(T, p // 3)
    basis = np.linalg.qr(rng.standard_normal((p, p)))[0]
    a = rng.standard_normal((p, 6)) / np.sqrt(p)
    want = equivalent(build(steps), z).bilinear((basis * t) @ basis.T, a, a)
    rows = []
    for _ in range(16):
        m = basis @ oracle.chain_matrix(t, steps, p, rng) @ basis.T
        rows.append(a.T @ np.linalg.solve(m - z * np.eye(p), a))
    _within(rows, want)


def _within(rows, want, count=4.0):
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / np.sqrt(len(rows))
    assert len(rows) >= 10
    distance = np.abs(mean - want) / error
    assert (distance < count).all(), (mean, want, distance)


# -------------------------------------------------------------------------------- two resolvents: reference


def _page(t, w, steps, s1, s2, a):
    """The recursion of the page on diagonals, with plain differences (s1 != s2): T[A] and T[A = I]."""
    one = [mpf(1)] * len(t)

    def trace(x):
        return mp.fsum(u * v for u, v in pairs(w, x))

    r = [[1 / (x - s) for x in t] for s in (s1, s2)]
    y = [s1, s2]
    phi = [mpf(1), mpf(1)]
    T = [u * v * x for u, v, x in pairs(a, *r)]
    for name, *c in steps:
        m = [phi[i] * trace(r[i]) for i in range(2)]
        gap = y[0] - y[1]
        unit = [(phi[0] * u - phi[1] * v) / gap for u, v in pairs(*r)]
        data = [(y[0] * phi[0] * u - y[1] * phi[1] * v) / gap for u, v in pairs(*r)]
        pull = trace([u * v for u, v in pairs(a, data)])
        if name == "scale":
            c = mpf(c[0])
            y, phi, T = [c * v for v in y], [v / c for v in phi], [v / c**2 for v in T]
        elif name == "shift":
            y = [v + c[0] for v in y]
        elif name == "sample_covariance":
            z = [v * (1 - c[0] * (1 + v * u)) for v, u in pairs(y, m)]
            D = (z[0] - z[1]) / gap
            out = y[0] * y[1] / (z[0] * z[1])
            T = [out * (u + c[0] * pull / D * v) for u, v in pairs(T, data)]
            phi = [f * u / v for f, u, v in pairs(phi, y, z)]
            y = z
        elif name == "multiply_inverse_wishart":
            # Conditional on M: Q1 A Q2 = (y1 y2/(z1 z2)) (R1 A R2 + x tr(A R2 M R1) R1 M R2) with one number x, which
            # A = I gives: there Q1 Q2 = (Q1 - Q2)/(z1 - z2).
            z = [v / (1 + c[0] * v * u) for v, u in pairs(y, m)]
            out = y[0] * y[1] / (z[0] * z[1])
            both = trace(unit)  # of R1 R2
            full = trace(data)  # of R1 M R2
            whole = (y[0] / z[0] * m[0] - y[1] / z[1] * m[1]) / (z[0] - z[1])
            x = (whole / out - both) / full**2
            T = [out * (u + x * pull * v) for u, v in pairs(T, data)]
            phi = [f * u / v for f, u, v in pairs(phi, y, z)]
            y = z
        else:
            if name == "add_semicircle":
                k, z = mpf(c[0]), [v - c[0] * u for v, u in pairs(y, m)]
            else:
                values, weights = ([c[1]], [1]) if name == "add_wishart" else (c[1], c[2])
                f = [[1 + mpf(c[0]) * v * u for v in values] for u in m]
                k = mp.fsum(u * mpf(c[0]) * v**2 / (p * q) for v, u, p, q in pairs(values, weights, *f))
                z = [y[i] + mp.fsum(u * v / p for v, u, p in pairs(values, weights, f[i])) for i in range(2)]
            more = k * trace(T) / (1 - k * trace(unit))
            T = [u + more * v for u, v in pairs(T, unit)]
            y = z
    gap = y[0] - y[1]
    return T, [(phi[0] * u - phi[1] * v) / gap for u, v in pairs(*r)], one


def reference(steps, z1, z2, a, t=T, dps=30):
    """Diagonal of the equivalent of Q1 diag(a) Q2; z1 = z2 through points 1e-20 apart."""
    points = []
    with mp.workdps(dps + 30):
        for z in (z1, z2):
            s = oracle.chain_root(t, None, steps, mpc(z.real, abs(z.imag)), dps + 35)
            points.append(s.conjugate() if z.imag < 0 else s)
        if z1 == z2:
            points[1] = points[0] * (1 + mpf(10) ** -20)
        w = [mpf(1) / len(t)] * len(t)
        got = _page([mpf(x) for x in t], w, steps, *points, [mpf(x) for x in a])
        return got[0], mp.fsum(got[0]) / len(t), got[1]


PAIRS = [
    (5 + 1j, 2 - 0.5j),
    (5 + 1j, 5 + 1j),
    (5 + 1j, 5 - 1j),
    (0.5 + 0.2j, 0.5 + 0.2001j),
    (2 + 1e-5j, 2 - 1e-5j),
]


@chains
def test_two_resolvents_against_high_precision(steps):
    law, a = build(steps), [0.3, -1.0, 2.0]
    low, high = law._hull()
    real = [
        (low - 0.5, low - 3.0),
        (low - 0.5, high + 2.0),
        (low - 0.5, low - 0.5),
        (low - 0.5, low - 0.5 - 1e-9),
    ]
    for z1, z2 in PAIRS + [(complex(x), complex(y)) for x, y in real]:
        diagonal, trace, unit = reference(steps, z1, z2, a)
        if z1.imag == z2.imag == 0:
            z1, z2 = z1.real, z2.real
        r = two_resolvent(law, z1, z2, A=a)
        scale = max(abs(x) for x in diagonal)
        assert max(abs(mpc(complex(x)) - y) for x, y in pairs(r.diagonal(), diagonal)) <= 4e-14 * scale
        assert abs(mpc(complex(r.trace)) - trace) <= 4e-14 * scale
        agree(two_resolvent(law, z1, z2).diagonal(), unit, 4e-14)
        assert np.asarray(r.trace).dtype == (float if isinstance(z1, float) else complex)
        assert r.status is fh.Status.CONVERGED


@pytest.mark.parametrize("ratios", [(0.5,), (0.5, 0.7), (2.0, 0.7, 1.3)], ids=str)
@pytest.mark.parametrize(
    "z", [(-1.0, -2.5), (1 + 1j, 2 - 0.5j), (1 + 1j, 3 + 1j), (0.3 + 1j, 0.3 - 1j)], ids=str
)
def test_closed_formula_of_pure_sample_covariances(ratios, z):
    """s1 s2/(z1 z2) R1 A R2 + (1/(z1 z2)) sum_l y1 y2 c_l/((D_1...D_{l-1})^2 D_l) tr(A R1 C R2) R1 C R2."""
    t, a = np.array(T), np.array([0.3, -1.0, 2.0])
    law = build([("sample_covariance", c) for c in ratios])
    ways = []
    for x in z:
        s = equivalent(law, x).omega
        y, m = [s], np.mean(1 / (t - s))
        for c in ratios:
            y.append(y[-1] * (1 - c * (1 + y[-1] * m)))
            m = m * y[-2] / y[-1]
        ways.append(y)
    (s1, *_), (s2, *_) = ways
    r = 1 / ((t - s1) * (t - s2))
    total, product = 0, 1
    for j, c in enumerate(ratios):
        D = (ways[0][j + 1] - ways[1][j + 1]) / (ways[0][j] - ways[1][j])
        total += ways[0][j] * ways[1][j] * c / (product**2 * D)
        product *= D
    want = s1 * s2 * a * r + total * np.mean(a * t * r) * t * r
    np.testing.assert_allclose(two_resolvent(law, *z, A=a).diagonal(), want / np.prod(z), rtol=1e-13)


def test_derivative_of_marchenko_pastur():
    law = fh.marchenko_pastur(2.0)
    assert two_resolvent(law, -0.3, -0.3).trace == pytest.approx(100 / 17, rel=1e-15)
    assert two_resolvent(law, -0.3, -0.3, A=[1.0]).trace == pytest.approx(100 / 17, rel=1e-15)
    z = -np.geomspace(1e-12, 1e12, 25)  # zeros make it 1/(2 z^2) near 0
    c = mpf(2)
    for x, got in pairs(z, two_resolvent(law, z, z, A=[1.0]).trace):
        with mp.workdps(60):

            def m(y):
                return (1 - c - y - mp.sqrt((1 - c - y) ** 2 - 4 * c * y) * (-1 if y < 0 else 1)) / (
                    2 * c * y
                )

            root = mp.sqrt((1 - c - mpf(x)) ** 2 - 4 * c * mpf(x))
            value = (1 - c - mpf(x) + root) / (2 * c * mpf(x))
            if value < 0:
                value = (1 - c - mpf(x) - root) / (2 * c * mpf(x))
            slope = -(c * value**2 + value) / (2 * c * mpf(x) * value - (1 - c - mpf(x)))
        assert abs(got - slope) <= 4e-15 * slope


@chains
def test_near_the_axis_from_both_sides(steps):
    """Q(z) Q(conj z) has trace Im m/Im z: as accurate at a distance of 1e-10 as anywhere."""
    if not steps:
        return
    law = build(steps)
    x = law.support.mean(axis=1)[-1]
    z = x + 1j * np.array([1e-1, 1e-5, 1e-10])
    got = two_resolvent(law, z, z.conj(), A=np.ones(3)).trace
    np.testing.assert_allclose(got, law.stieltjes(z).imag / z.imag, rtol=4e-14)
    np.testing.assert_allclose(two_resolvent(law, z, z.conj()).trace, got, rtol=4e-14)


# ------------------------------------------------------------------------------- two resolvents: simulation


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "z1", "z2"),
    [
        ("one", -0.5, -2.0), ("wide", -0.3, -0.3), ("three", 2 + 1j, 1 - 1.5j), ("page", 3 + 1j, -1 + 1j),
        ("wishart", -0.5, -0.5), ("compound", 3 + 1j, 3 - 1j), ("inverse", -0.5, -2.0), ("all", 4 + 1j, 3 + 2j),
    ],
)  # fmt: skip
def test_two_resolvents_against_simulation(name, z1, z2):
    """Trace and bilinear forms with a full A in a rotated basis, and with a diagonal one."""
    steps, p = CHAINS[name], 300
    rng = np.random.default_rng(11)
    t = np.repeat(T, p // 3)
    basis = np.linalg.qr(rng.standard_normal((p, p)))[0]
    C = (basis * t) @ basis.T
    a = rng.standard_normal((p, 3)) / np.sqrt(p)
    A = np.eye(p) + p * np.outer(a[:, 0], a[:, 1]) / 4
    r = two_resolvent(build(steps), z1, z2, A=A, C=C)
    want = [r.trace, r.bilinear(a[:, 0], a[:, 1]), r.bilinear(a[:, 2], a[:, 2]), r.bilinear(a[:, 1], a[:, 2])]
    law = build(steps, fh.Spectrum(t))
    levels = np.where(t == 1.0, 1.0, 0.0)
    low = two_resolvent(law, z1, z2, A=levels)
    want += [low.trace, low.bilinear(a[:, 0], a[:, 0])]
    rows = []
    for _ in range(12):
        m = oracle.chain_matrix(t, steps, p, rng)
        q1, q2 = (np.linalg.inv(m - z * np.eye(p)) for z in (z1, z2))
        b = basis.T @ a
        inner = q1 @ (basis.T @ A @ basis) @ q2
        only = (q1 * levels) @ q2
        rows.append(
            [
                np.trace(inner) / p, b[:, 0] @ inner @ b[:, 1], b[:, 2] @ inner @ b[:, 2], b[:, 1] @ inner @ b[:, 2],
                np.trace(only) / p, a[:, 0] @ only @ a[:, 0],
            ]
        )  # fmt: skip
    _within(rows, want)


def test_page_formula_of_one_sample_covariance():
    """(1 + d1)(1 + d2) [R1 A R2 + chi R1 C R2] with matrices, against the scalars of the package."""
    rng = np.random.default_rng(5)
    p, c = 40, 0.5
    x = rng.standard_normal((p, 2 * p))
    C, A = x @ x.T / (2 * p), rng.standard_normal((p, p))
    law = fh.sample_covariance(fh.Spectrum.from_covariance(C), c)
    for z1, z2 in ((-0.5, -2.0), (1 + 1j, 2 - 0.3j), (-1.0, 1j)):
        s = [equivalent(law, z).omega for z in (z1, z2)]
        r1, r2 = (np.linalg.inv(C - v * np.eye(p)) for v in s)
        n = p / c
        chi = np.trace(C @ r1 @ A @ r2) / n / (1 - np.trace(C @ r1 @ C @ r2) / n)
        want = s[0] * s[1] / (z1 * z2) * (r1 @ A @ r2 + chi * r1 @ C @ r2)
        r = two_resolvent(law, z1, z2, A=A, C=C)
        np.testing.assert_allclose(r.matrix(), want, rtol=1e-10, atol=1e-12)
        assert r.trace == pytest.approx(np.trace(want) / p, rel=1e-12)
        u, v = rng.standard_normal((2, p))
        assert r.bilinear(u, v) == pytest.approx(u @ want @ v, rel=1e-10)


# ------------------------------------------------------------------------------------------------ properties

positive = st.floats(0.1, 3.0)


@st.composite
def laws(draw):
    """A chain of up to four steps that keeps populations positive, and the shift that does so."""
    law = fh.Law(fh.Spectrum(draw(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["sample", "inverse", "semicircle", "poisson", "scale", "shift"]))
        if name == "sample":
            law = law.sample_covariance(draw(positive))
        elif name == "inverse":
            law = law.multiply_inverse_wishart(draw(st.floats(0.05, 0.7)))
        elif name == "semicircle":
            v = draw(positive)
            law = law.add_semicircle(v).shift(2.1 * v**0.5)
        elif name == "poisson":
            law = law.add_compound_poisson(draw(positive), draw(st.lists(positive, min_size=1, max_size=3)))
        elif name == "scale":
            law = law.scale(draw(positive))
        else:
            law = law.shift(draw(positive))
    return law


upper = st.builds(complex, st.floats(-5, 30), st.floats(0.05, 10))


@given(laws(), upper, upper, st.booleans())
@settings(max_examples=60)
def test_symmetries(law, z1, z2, opposite):
    if opposite:
        z2 = z2.conjugate()
    size = law.spectrum.values.size
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, size, size))
    r = two_resolvent(law, z1, z2, A=A)
    scale = np.abs(r.matrix()).max()
    near = {"rtol": 0, "atol": 2e-12 * scale}
    np.testing.assert_allclose(two_resolvent(law, z2, z1, A=A.T).matrix(), r.matrix().T, **near)
    flipped = two_resolvent(law, z1.conjugate(), z2.conjugate(), A=A)
    np.testing.assert_allclose(flipped.matrix(), r.matrix().conj(), **near)
    sum_ = two_resolvent(law, z1, z2, A=A + 2 * B).matrix()
    scale += np.abs(two_resolvent(law, z1, z2, A=B).matrix()).max()
    np.testing.assert_allclose(
        sum_, r.matrix() + 2 * two_resolvent(law, z1, z2, A=B).matrix(), rtol=0, atol=4e-12 * scale
    )
    # tr(B Q1 A Q2) = tr(A Q2 B Q1)
    left = np.trace(B @ r.matrix())
    right = np.trace(A @ two_resolvent(law, z2, z1, A=B).matrix())
    assert abs(left - right) <= 1e-11 * scale * size
    assert r.trace == pytest.approx(np.trace(r.matrix()) / size, rel=1e-9, abs=1e-12 * scale)


@given(laws(), upper, upper, st.booleans())
@settings(max_examples=60)
def test_identity_is_the_difference_of_resolvents(law, z1, z2, opposite):
    if opposite:
        z2 = z2.conjugate()
    one = two_resolvent(law, z1, z2)
    ones = two_resolvent(law, z1, z2, A=np.ones(law.spectrum.values.size))
    np.testing.assert_allclose(one.diagonal(), ones.diagonal(), rtol=1e-11)
    if abs(z1 - z2) > 0.1:
        q1, q2 = (equivalent(law, z).diagonal(law.spectrum.values) for z in (z1, z2))
        scale = np.abs(q1).max() + np.abs(q2).max()
        np.testing.assert_allclose(one.diagonal() * (z1 - z2), q1 - q2, rtol=0, atol=1e-12 * scale)


@given(laws(), upper)
@settings(max_examples=60)
def test_positive_for_a_positive_matrix(law, z):
    rng = np.random.default_rng(1)
    size = law.spectrum.values.size
    x = rng.standard_normal((size, size))
    matrix = two_resolvent(law, z, z.conjugate(), A=x @ x.T).matrix()
    values = np.linalg.eigvalsh((matrix + matrix.conj().T) / 2)
    assert values[0] >= -1e-12 * values[-1]


# --------------------------------------------------------------------------------------------------- interface


def test_broadcasting_and_types():
    law = build(CHAINS["page"]).shift(2.0)
    z1, z2 = np.array([[-1.0], [-2.0], [np.nan]]), np.array([-1.0, -3.0])
    r = two_resolvent(law, z1, z2, A=[1, 0, 2])
    assert r.trace.shape == r.status.shape == r.omega1.shape == (3, 2)
    assert r.trace.dtype == np.float64
    assert r.diagonal().shape == (3, 2, 3)
    assert r.matrix().shape == (3, 2, 3, 3)
    assert r.bilinear([1, 0, 0], [1, 2, 0]).shape == (3, 2)
    np.testing.assert_array_equal(r.status, [[0, 0], [0, 0], [2, 2]])
    np.testing.assert_array_equal(r.success, [[1, 1], [1, 1], [0, 0]])
    assert np.isnan(r.trace[2]).all()
    for i in range(2):
        for j in range(2):
            one = two_resolvent(law, z1[i, 0], z2[j], A=[1, 0, 2])
            assert isinstance(one.trace, float)
            assert one.trace == pytest.approx(r.trace[i, j], rel=1e-15)
    assert two_resolvent(law, -1.0, 2j).trace == pytest.approx(
        two_resolvent(law, -1 + 0j, 2j).trace, rel=1e-15
    )
    assert isinstance(two_resolvent(law, -1.0, -2 + 0j).trace, complex)
    assert two_resolvent(law, np.empty((0, 1)), [1j, 2j]).trace.shape == (0, 2)


def test_levels_of_the_spectrum():
    """Order and multiplicities are those of the spectrum; zeros and unused levels take their place."""
    H = fh.Spectrum([10, 0, 1, 3, 2, 3], [1, 2, 1, 2, 0, 1])
    flat = fh.Spectrum([0, 0, 1, 3, 3, 3, 10])
    steps = CHAINS["one"]
    a = two_resolvent(build(steps, H), -1.0, 1j, A=[5, 1, 2, 3, 100, 3])
    b = two_resolvent(build(steps, flat), -1.0, 1j, A=[1, 1, 2, 3, 3, 3, 5])
    assert a.trace == pytest.approx(b.trace, rel=1e-14)
    np.testing.assert_allclose(a.diagonal()[[1, 1, 2, 3, 5, 3, 0]], b.diagonal(), rtol=1e-14)
    with pytest.raises(ValueError, match=r"^matrix\(\) needs unit multiplicities"):
        a.matrix()
    with pytest.raises(ValueError, match=r"^bilinear\(\) needs unit multiplicities"):
        a.bilinear(np.ones(6), np.ones(6))
    # a compressed spectrum is the same law
    big = fh.Spectrum.power_law(500, 1.0)
    small = two_resolvent(build(steps, big.compress()), -0.1, 1j).trace
    assert small == pytest.approx(two_resolvent(build(steps, big), -0.1, 1j).trace, rel=1e-12)


def test_many_points_go_in_blocks():
    law = fh.sample_covariance(fh.Spectrum.power_law(3000, 1.0), 0.5)
    z = np.linspace(-2, -1, 200)
    r, q = two_resolvent(law, z, z), equivalent(law, z)
    assert r.trace[150] == pytest.approx(two_resolvent(law, z[150], z[150]).trace, rel=1e-14)
    assert q.factor[150] == pytest.approx(equivalent(law, z[150]).factor, rel=1e-14)
    # a table of all pairs is summed as a matrix product, a list of them one by one
    z1, z2 = z[::20], z[::25] + 1j
    table = two_resolvent(law, z1[:, None], z2).trace
    pick = np.array([0, 3, 7, 9]), np.array([7, 0, 2, 5])
    np.testing.assert_allclose(table[pick], two_resolvent(law, z1[pick[0]], z2[pick[1]]).trace, rtol=1e-14)


@pytest.mark.parametrize("function", [equivalent, lambda law, z: two_resolvent(law, z, z)])
def test_laws_without_a_basis(function):
    law = fh.marchenko_pastur(0.5)
    with pytest.raises(
        TypeError, match=r"^law must have no companion\(\).*law.stieltjes\(z\) times the identity"
    ):
        function(law.companion(), -1.0)
    with pytest.raises(TypeError, match=r"^law must have no companion\(\)"):
        function(law.companion().sample_covariance(0.5), -1.0)
    with pytest.raises(
        TypeError, match=r"^law must have no corner\(\).*law.stieltjes\(z\) times the identity"
    ):
        function(law.corner(0.5).shift(1.0), -1.0)
    with pytest.raises(TypeError, match=r"^law must be a Law.*got Spectrum"):
        function(fh.Spectrum(T), -1.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"z2": "a"}, TypeError, "^z2 must"),
        (
            {"z1": [1j, 2j], "z2": [1j, 2j, 3j]},
            ValueError,
            r"^z1 and z2 must broadcast; got shapes \(2,\) and \(3,\)",
        ),
        ({"A": [1, 2]}, ValueError, "^A must have one entry for each of the 3 levels"),
        ({"A": np.ones((2, 3))}, ValueError, "^A must be a vector of 3 levels or a 3 x 3 matrix"),
        ({"A": [1, 2, np.nan]}, ValueError, "^A must be finite; got nan at index 2"),
        ({"A": [1, 2, 3j]}, TypeError, "^A must hold real numbers"),
        (
            {"C": np.eye(3)},
            ValueError,
            "^C must have the law's spectrum; tr C.1/p is 1, of the law's 4.66667",
        ),
        ({"C": np.diag(T), "A": [1, 2, 3]}, ValueError, "^A must be a 3 x 3 matrix, like C"),
        ({"C": np.ones((2, 3))}, ValueError, "^C must be a square matrix"),
        ({"C": [[1.0, 2.0], [0.0, 1.0]]}, ValueError, "^C must be symmetric; entries differ by 2"),
        ({"C": T}, ValueError, "^C must have 2 dimension"),
    ],
)
def test_refusals(arguments, error, message):
    call = {"z1": -1.0, "z2": 1j, **arguments}
    with pytest.raises(error, match=message):
        two_resolvent(build(CHAINS["one"]), **call)


def test_full_matrix_needs_unit_multiplicities():
    for H in (fh.Spectrum(T, [2, 1, 1]), fh.Spectrum(T, weights=[1, 1, 1])):
        with pytest.raises(ValueError, match=r"^A must be a vector, one number for each level"):
            two_resolvent(build(CHAINS["one"], H), -1.0, -2.0, A=np.eye(3))


def test_equivalent_refusals():
    q = equivalent(build(CHAINS["one"]), -1.0)
    with pytest.raises(ValueError, match=r"^C must be symmetric"):
        q.matrix([[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match=r"^a must have shape \(3,\) or \(3, k\), like C; got \(2,\)"):
        q.bilinear(np.eye(3), [1, 2], [1, 2, 3])
    with pytest.raises(TypeError, match=r"^spectrum must be a Spectrum"):
        q.trace(T)
    with pytest.raises(TypeError, match=r"^z must"):
        equivalent(build(CHAINS["one"]), "a")


def test_records(tmp_path):
    law = build(CHAINS["page"])
    q = equivalent(law, [1j, 2j])
    r = two_resolvent(law, 1j, [1j, 2j], A=np.eye(3))
    one = two_resolvent(law, 1j, 2j)
    for record in (q, r, one, equivalent(law, 1j)):
        assert pickle.loads(pickle.dumps(record)) == record
        record.save(tmp_path / "r.npz")
        assert type(record).load(tmp_path / "r.npz") == record
    assert isinstance(q, Equivalent)
    assert isinstance(r, TwoResolvent)
    assert repr(q).startswith("Equivalent, shape (2,), CONVERGED, residual <= ")
    assert repr(one).startswith("TwoResolvent, shape (), CONVERGED")
    with pytest.raises(AttributeError):
        q.omega = 1
    with pytest.raises(ValueError, match="read-only"):
        q.omega[0] = 1
