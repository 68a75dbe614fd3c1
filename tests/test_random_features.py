"""Random features and kernel ridge: against 40 digits and simulation, at the interpolation peak, limits, errors."""

from __future__ import annotations

import itertools
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthde as fh
from tests import oracle_features as oracle

SHARED = (
    "kappa", "df1", "df2", "bias", "variance", "test", "train", "squared_bias", "variance_samples",
    "variance_weights", "variance_interaction",
)  # fmt: skip


def power_problem(p=60, exponent=1.2, noise=0.3, tail=0.02, tail_power=0.05):
    t = np.arange(1, p + 1.0) ** -exponent
    k = np.where(np.arange(p) % 3 == 0, 4.0, 1.0)
    b = np.arange(1, p + 1.0) ** -1.7
    return fh.KernelProblem(fh.Spectrum(t, k), b, noise, tail=tail, tail_power=tail_power)


def compare(problem, width, n, lam, rel=2e-12):
    got = (
        fh.kernel_ridge(problem, n, lam)
        if width is None
        else fh.random_features(problem, None, width, n, lam)
    )
    H = problem.spectrum
    want = oracle.solve(
        H.values,
        H.multiplicity,
        problem.power,
        problem.noise,
        width,
        n,
        lam,
        problem.tail,
        problem.tail_power,
    )
    assert got.status == fh.Status.CONVERGED
    for name in SHARED:
        # what is far below the test error is good to a fraction of it
        scale = 1e-13 * want["test"] if name not in ("kappa", "df1", "df2") else 0.0
        assert getattr(got, name) == pytest.approx(want[name], rel=rel, abs=scale), name
    return got


@pytest.mark.filterwarnings("ignore::fasthde.ValidityWarning")
@pytest.mark.parametrize("tail", [0.0, 0.02])
@pytest.mark.parametrize("lam", [1e-10, 1e-3, 1e4])
@pytest.mark.parametrize(
    ("width", "n"), [(40, 70), (70, 40), (50, 50), (500, 30), (30, 500), (700, 900), (None, 55)]
)
def test_forty_digits(width, n, lam, tail):
    compare(power_problem(tail=tail), width, n, lam)


@pytest.mark.filterwarnings("ignore::fasthde.ValidityWarning")
@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.floats(0.0, 4.0), st.floats(0.0, 4.0), st.floats(-12.0, 6.0), st.floats(-8.0, 0.0),
    st.booleans(),
)  # fmt: skip
def test_forty_digits_anywhere(seed, width, n, lam, tail, equal):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 30))
    problem = fh.KernelProblem(
        fh.Spectrum(10.0 ** rng.uniform(-6, 3, size), 10.0 ** rng.uniform(-1, 3, size)),
        10.0 ** rng.uniform(-6, 2, size) * rng.integers(0, 2, size),
        float(rng.integers(0, 2)),
        tail=10.0**tail * float(rng.integers(0, 2)),
    )
    compare(problem, 10.0**width, 10.0 ** (width if equal else n), 10.0**lam)


@pytest.mark.parametrize("gap", [0.0, 1e-9, -1e-9, 1e-5, 1.0])
def test_interpolation_peak(gap):
    # the ridge alone decides at width = n; test errors of 1e4 with all digits
    got = compare(power_problem(p=100), 100.0 + gap, 100.0, 1e-12, rel=1e-10)
    assert got.test > (1e4 if gap < 1e-3 else 10.0)


def test_ridgeless():
    problem = power_problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fh.ValidityWarning)
        for width, n in ((40, 70), (70, 40), (700, 900), (900, 700)):
            exact = fh.random_features(problem, None, width, n, 0.0)
            near = oracle.solve(
                problem.spectrum.values, problem.spectrum.multiplicity, problem.power, problem.noise, width, n, 1e-25,
                problem.tail, problem.tail_power,
            )  # fmt: skip
            for name in ("test", "kappa", "bias", "variance", "df1", "variance_weights"):
                assert getattr(exact, name) == pytest.approx(near[name], rel=1e-11), name
            assert exact.train == pytest.approx(near["train"], rel=1e-11, abs=1e-20)
        peak = fh.random_features(problem, None, 50, 50, 0.0)
    assert peak.status == fh.Status.DIVERGES
    assert peak.success
    assert peak.test == math.inf


def test_many_features_are_a_kernel():
    problem = power_problem()
    kernel = fh.kernel_ridge(problem, 300, 1e-3)
    wide = fh.random_features(problem, None, 1e14, 300, 1e-3 * 1e14)  # features are not normalised
    assert wide.test == pytest.approx(kernel.test, rel=1e-10)
    assert kernel.width == math.inf
    assert kernel.variance_weights == 0.0
    limit = fh.random_features(problem, None, np.inf, 300, 1.0)
    assert limit.test == fh.kernel_ridge(problem, 300, 0.0).test


def test_linear_kernel_is_ridge():
    H = fh.Spectrum.power_law(200, 1.0)
    signal = np.arange(1, 201.0) ** -0.5
    linear = fh.LinearProblem(H, signal, 0.2)
    kernel = fh.KernelProblem(H, H.values * signal, 0.2)
    n, lam = np.array([60.0, 150.0, 400.0])[:, None], np.array([1e-4, 0.01, 1.0])
    a, b = fh.ridge(linear, n, lam), fh.kernel_ridge(kernel, n, lam)
    for name in ("test", "train", "bias", "variance", "in_sample_bias", "in_sample_variance", "kappa", "df1"):
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(b.learnability(), a.learnability(), rtol=1e-12)


def test_many_samples():
    problem = power_problem()
    limit = fh.random_features(problem, None, 50, np.inf, 0.01)
    near = fh.random_features(problem, None, 50, 1e13, 0.01)
    assert limit.test == pytest.approx(near.test, rel=1e-11)
    assert limit.variance == 0.0
    assert limit.train == limit.test
    both = fh.random_features(problem, None, [np.inf, 50.0], np.inf, 0.01)
    assert both.status.tolist() == [fh.Status.INVALID, fh.Status.CONVERGED]


def test_parts_add_up():
    problem = power_problem()
    r = fh.random_features(
        problem, None, np.geomspace(30, 3000, 9)[:, None], 200.0, np.geomspace(1e-6, 10, 7)
    )
    parts = r.squared_bias + r.variance_samples + r.variance_weights + r.variance_interaction
    np.testing.assert_allclose(parts, r.bias, rtol=1e-13)
    np.testing.assert_allclose(r.bias + r.variance + r.noise, r.test, rtol=1e-14)
    assert all((getattr(r, name) >= 0).all() for name in SHARED)


def gaussian_equivalent(p, decay=0.4):
    covariance = np.arange(1, p + 1.0) ** -decay
    covariance /= covariance.sum()
    beta = math.sqrt(2.0) * np.cos(np.arange(p))
    return covariance, beta, fh.LinearProblem(fh.Spectrum(covariance), beta**2, 0.2)


@pytest.mark.parametrize(
    ("act", "width", "n", "lam"), [("relu", 150, 250, 0.05), ("tanh", 350, 200, 0.02), ("erf", 200, 200, 0.1)]
)
def test_simulated_errors(act, width, n, lam):
    covariance, beta, problem = gaussian_equivalent(300)
    phi = fh.activation(act)
    rng = np.random.default_rng(1)
    drawn = [
        np.mean(oracle.errors(phi, covariance, beta, 0.2, width, n, lam, rng)[0, 0] ** 2) for _ in range(24)
    ]
    want = fh.random_features(problem, act, width, n, lam)
    assert abs(np.mean(drawn) - want.excess) < 4 * np.std(drawn) / math.sqrt(len(drawn)) + 0.01 * want.excess


@pytest.mark.parametrize(("width", "n"), [(120, 200), (240, 150)])
def test_simulated_parts(width, n):
    """Predictions averaged over weights or samples, by products of independent ones."""
    covariance, beta, problem = gaussian_equivalent(200)
    want = fh.random_features(problem, "tanh", width, n, 0.03)
    phi = fh.activation("tanh")
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(30):
        e = oracle.errors(phi, covariance, beta, 0.2, width, n, 0.03, rng, samples=3, weights=3, n_test=500)
        flat = e.reshape(9, -1)
        pair = (flat @ flat.T / flat.shape[1]).reshape(3, 3, 3, 3)
        i, a, j, b = np.indices(pair.shape)
        rows.append(
            [
                pair[(i == j) & (a != b)].mean(),
                pair[(i != j) & (a == b)].mean(),
                pair[(i != j) & (a != b)].mean(),
            ]
        )
    got, spread = np.mean(rows, axis=0), np.std(rows, axis=0) / math.sqrt(len(rows))
    eta = want.df2 / n  # same samples, other weights: the kernel's error, its noise included
    theory = np.array([
        want.squared_bias + want.variance_samples + 0.2 * eta / (1 - eta),
        want.squared_bias + want.variance_weights,
        want.squared_bias,
    ])  # fmt: skip
    assert (np.abs(got - theory) < 4 * spread + 0.01 * theory).all(), (got, theory, spread)


def test_kernel_ridge_simulated():
    """A kernel given by its eigenfunctions: cosines on the circle."""
    k = np.arange(1, 40)
    xi, coefficient = k**-2.0, (-1.0) ** k / k
    problem = fh.KernelProblem(fh.Spectrum(xi, np.full(xi.size, 2.0)), coefficient**2, 0.05)
    rng = np.random.default_rng(0)
    n, lam, drawn = 60, 1e-3, []

    def functions(x):
        return math.sqrt(2.0) * np.concatenate((np.cos(np.outer(x, k)), np.sin(np.outer(x, k))), axis=1)

    weight, beta = np.concatenate((xi, xi)), np.concatenate((coefficient, coefficient)) / math.sqrt(2.0)
    for _ in range(200):
        f = functions(rng.uniform(0, 2 * np.pi, n))
        y = f @ beta + math.sqrt(0.05) * rng.standard_normal(n)
        fit = weight * (f.T @ np.linalg.solve((f * weight) @ f.T + n * lam * np.eye(n), y))
        drawn.append(np.sum((fit - beta) ** 2) + 0.05)
    got = fh.kernel_ridge(problem, n, lam).test
    assert abs(np.mean(drawn) - got) < 4 * np.std(drawn) / math.sqrt(len(drawn)) + 0.02 * got


def test_operator_of_an_activation():
    linear = fh.LinearProblem(fh.Spectrum([2.0, 0.5, 0.0], [10, 40, 5]), [3.0, 1.0, 2.0], 0.1)
    phi = fh.activation("softplus")
    problem = fh.KernelProblem.from_linear(linear, phi)
    tau = math.sqrt(40.0)
    a = phi.hermite(2, tau)
    np.testing.assert_allclose(
        problem.spectrum.values, [a[1] ** 2 / 20, a[1] ** 2 / 80, 0.0, a[0] ** 2], rtol=1e-14
    )
    np.testing.assert_allclose(problem.power, [6.0, 0.5, 0.0, 0.0])
    # the trace is E phi^2: nothing is lost
    whole = problem.spectrum.trace + problem.tail
    assert whole == pytest.approx(float(phi.moments(tau).second), rel=1e-14)
    centred = fh.KernelProblem.from_linear(linear, "tanh")
    assert centred.spectrum.values.size == 3
    identity = fh.KernelProblem.from_linear(linear, "identity")
    assert identity.tail == 0.0
    np.testing.assert_allclose(identity.spectrum.values, linear.spectrum.values, rtol=1e-14)
    nothing = fh.random_features(linear, "abs", 100, 100, 0.1)  # an even function learns nothing of a line
    assert nothing.squared_bias == pytest.approx(6.5, rel=1e-14)


def test_broadcasting_and_threads():
    problem = power_problem()
    width, n, lam = (
        np.geomspace(40, 400, 4)[:, None, None],
        np.array([50.0, 200.0])[:, None],
        np.geomspace(1e-4, 1, 5),
    )
    whole = fh.random_features(problem, None, width, n, lam)
    assert whole.test.shape == (4, 2, 5) == whole.width.shape == whole.n.shape == whole.lam.shape
    other = fh.random_features(problem, None, width, n, lam, threads=2)
    assert other == fh.random_features(problem, None, width, n, lam, threads=1) == whole
    for i, j, k in itertools.product(range(4), range(2), range(5)):
        one = fh.random_features(problem, None, width[i, 0, 0], n[j, 0], lam[k])
        assert isinstance(one.test, float)
        assert one.test == pytest.approx(whole.test[i, j, k], rel=1e-13)
    full = fh.random_features(problem, None, width, n, lam, compress=False)
    np.testing.assert_allclose(full.test, whole.test, rtol=1e-12)
    assert pickle.loads(pickle.dumps(whole)) == whole


def test_save_and_repr(tmp_path):
    problem = power_problem()
    problem.save(tmp_path / "problem.npz")
    assert fh.KernelProblem.load(tmp_path / "problem.npz") == problem == pickle.loads(pickle.dumps(problem))
    assert repr(problem).startswith("KernelProblem(Spectrum(")
    r = fh.kernel_ridge(problem, 100, [0.1, 1.0])
    r.save(tmp_path / "r.npz")
    assert fh.FeaturesResult.load(tmp_path / "r.npz") == r
    assert "FeaturesResult, shape (2,), CONVERGED" in repr(r)
    assert "variance_interaction" in repr(r)


def test_bad_elements_leave_their_neighbours():
    problem = power_problem()
    good = fh.random_features(problem, None, 100, 200, [0.1, 1.0])
    bad = fh.random_features(problem, None, 100, 200, [0.1, -1.0, np.nan, 1.0])
    assert bad.status.tolist() == [0, fh.Status.INVALID, fh.Status.INVALID, 0]
    np.testing.assert_allclose(bad.test[[0, 3]], good.test, rtol=1e-13)
    assert np.isnan(bad.test[1:3]).all()
    assert np.isnan(bad.noise[1:3]).all()
    rows = fh.random_features(problem, None, [-5.0, 100.0], 200, 0.1)
    assert rows.status.tolist() == [fh.Status.INVALID, 0]
    nothing = fh.random_features(problem, None, 100, 200, np.inf)
    assert nothing.excess == pytest.approx(problem.power.sum() + problem.tail_power)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda p: fh.random_features(p, None, 0, 10, 1), ValueError, "width must be > 0"),
        (lambda p: fh.random_features(p, None, 10, -1, 1), ValueError, "n must be > 0"),
        (lambda p: fh.random_features(p, None, 10, 10, -1), ValueError, "lam must be >= 0"),
        (lambda p: fh.random_features(p, "relu", 10, 10, 1), ValueError, "act must be None"),
        (lambda p: fh.random_features(3, "relu", 10, 10, 1), TypeError, "LinearProblem or a KernelProblem"),
        (lambda p: fh.random_features(p, None, [30, 40], [30, 40, 50], 1), ValueError, "broadcast"),
        (lambda p: fh.kernel_ridge(fh.LinearProblem(fh.Spectrum.isotropic(9), 1, 1), 9, 1), TypeError, "KernelProblem"),
        (lambda p: fh.KernelProblem(fh.Spectrum([1.0]), [-1.0], 0.1), ValueError, "power"),
        (lambda p: fh.KernelProblem(fh.Spectrum([1.0]), [1.0, 2.0], 0.1), ValueError, "levels"),
        (lambda p: fh.KernelProblem(fh.Spectrum([0.0]), [1.0], 0.1), ValueError, "tail"),
        (lambda p: fh.KernelProblem(fh.Spectrum([1.0]), [1.0], -0.1), ValueError, "noise"),
        (lambda p: fh.KernelProblem(fh.Spectrum([1.0]), [1.0], 0.1, tail=np.inf), ValueError, "tail"),
    ],
)  # fmt: skip
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(power_problem())


def test_errors_of_an_activation():
    H = fh.Spectrum.isotropic(100)
    with pytest.raises(ValueError, match="plain"):
        fh.random_features(fh.LinearProblem(H, 1.0, 0.1, norms=[0.5, 1.5]), "relu", 100, 100, 1.0)
    with pytest.raises(ValueError, match="single target"):
        fh.random_features(fh.LinearProblem(H, [[1.0, 1.0]], 0.1), "relu", 100, 100, 1.0)
    with pytest.raises(ValueError, match="act must be an activation"):
        fh.random_features(fh.LinearProblem(H, 1.0, 0.1), None, 100, 100, 1.0)
    with pytest.warns(fh.ValidityWarning, match="width 5"):
        fh.random_features(fh.LinearProblem(H, 1.0, 0.1), "relu", 5, 100, 1.0)


@pytest.mark.filterwarnings("ignore::fasthde.ValidityWarning")
def test_extreme_problems_converge():
    """Spectra over up to 40 decades, n and width at the rank and beside it, ridges of 300 decades."""
    rng = np.random.default_rng(3)
    for _ in range(150):
        size, span = int(rng.integers(1, 60)), rng.choice([1, 5, 20])
        t, k = 10.0 ** rng.uniform(-span, span, size), np.ceil(10.0 ** rng.uniform(0, 6, size))
        problem = fh.KernelProblem(
            fh.Spectrum(t, k), 10.0 ** rng.uniform(-10, 3, size), 1e-5, tail=rng.choice([0.0, 1e-8, 1.0, 1e6])
        )
        n = np.array([k.sum(), k.sum() * (1 + 1e-12), 10.0 ** rng.uniform(0, 8), 20.0])
        width = rng.permutation([*n[1:], np.inf])[:, None, None]
        lam = np.concatenate(
            (10.0 ** rng.uniform(-300, 300, 4), 10.0 ** rng.uniform(-20, 20, 6), [0.0, np.inf])
        )
        r = fh.random_features(problem, None, width, n[:, None], lam)
        assert r.success.all()
        assert (r.test > 0).all()
