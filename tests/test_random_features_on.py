"""Random features given the data: against the printed equations, against trained models, limits, errors."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

import fasthde as fh
from tests import oracle_features as oracle


def sample(n=120, m=90, p=15, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n + m, p)) * rng.uniform(0.5, 1.5, (n + m, 1)) / math.sqrt(p)
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.standard_normal(n + m)
    return x[:n], y[:n], x[n:], y[n:]


@pytest.mark.parametrize("lam", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize("d", [40, 120, 500])
def test_printed_equations(d, lam):
    x, y, xt, aim = sample()
    K, side = oracle.relu_kernel(x, x), oracle.relu_kernel(x, xt)
    own = np.mean(np.sum(xt**2, axis=1)) / 2
    train, test = oracle.conditional(K, y, side, own, aim, d, lam)
    got = fh.random_features_on(x, y, xt, aim, "relu", d, lam)
    assert got.status == fh.Status.CONVERGED
    assert got.train == pytest.approx(train, rel=1e-9)
    assert got.test == pytest.approx(test, rel=1e-9)


@pytest.mark.parametrize(("act", "d", "lam"), [
    ("relu", 60, 0.0), ("relu", 600, 0.0), ("tanh", 300, 1e-3), ("sign", 150, 0.05), ("cos", 300, 0.01),
    ("abs", 60, 0.1),
])  # fmt: skip
def test_trained_models(act, d, lam):
    x, y, xt, aim = sample(300, 300, 40)
    phi = fh.activation(act)
    rng = np.random.default_rng(1)
    drawn = np.array([oracle.trained(phi, x, y, xt, aim, d, lam, rng) for _ in range(40)])
    got = fh.random_features_on(x, y, xt, aim, act, d, lam)
    spread = drawn.std(axis=0) / math.sqrt(len(drawn))
    want = np.array([got.train, got.test])
    assert (np.abs(drawn.mean(axis=0) - want) < 4 * spread + 0.015 * want + 1e-15).all()


def test_digits():
    data = fh.data.load("digits")
    order = np.random.default_rng(0).permutation(data.y.size)
    x, y = (data.X - data.X.mean(axis=0))[order] / 20.0, data.y[order]
    x, y, xt, aim = x[:500], y[:500], x[500:1200], y[500:1200]
    widths = np.array([125, 250, 1500])
    got = fh.random_features_on(x, y, xt, aim, "relu", widths, 0.01)
    rng = np.random.default_rng(1)
    for i, d in enumerate(widths):
        drawn = np.array([
            oracle.trained(fh.activation("relu"), x, y, xt, aim, d, 0.01, rng) for _ in range(20)
        ])  # fmt: skip
        want, spread = np.array([got.train[i], got.test[i]]), drawn.std(axis=0) / math.sqrt(20)
        assert (np.abs(drawn.mean(axis=0) - want) < 4 * spread + 0.01 * want).all(), (
            d,
            want,
            drawn.mean(axis=0),
        )


def test_ridgeless_limits():
    x, y, xt, aim = sample()
    wide = np.array([30.0, 119.0, 121.0, 1000.0])
    exact = fh.random_features_on(x, y, xt, aim, "relu", wide, 0.0)
    near = fh.random_features_on(x, y, xt, aim, "relu", wide, 1e-13)
    np.testing.assert_allclose(exact.test, near.test, rtol=1e-6)
    np.testing.assert_allclose(exact.train[:2], near.train[:2], rtol=1e-7)
    assert (exact.train[2:] == 0).all()
    peak = fh.random_features_on(x, y, xt, aim, "relu", 120, 0.0)
    assert peak.status == fh.Status.DIVERGES
    assert peak.test == math.inf
    assert peak.success
    kernel = fh.random_features_on(x, y, xt, aim, "relu", np.inf, 0.0)
    K, side = oracle.relu_kernel(x, x), oracle.relu_kernel(x, xt)
    want = np.mean((aim - side.T @ np.linalg.solve(K, y)) ** 2)
    assert kernel.test == pytest.approx(want, rel=1e-8)
    many = fh.random_features_on(x, y, xt, aim, "relu", 1e10, 0.0)
    assert many.test == pytest.approx(want, rel=1e-6)
    nothing = fh.random_features_on(x, y, xt, aim, "relu", 100, np.inf)
    assert nothing.test == pytest.approx(np.mean(aim**2))
    assert nothing.train == pytest.approx(np.mean(y**2))


def test_duplicated_samples():
    """A singular kernel matrix: what the targets of equal samples disagree on is never fitted."""
    x, y, xt, aim = sample(60)
    x, y = np.concatenate((x, x)), np.concatenate((y, y + 0.2))
    got = fh.random_features_on(x, y, xt, aim, "tanh", [500, 1000], 0.0)
    np.testing.assert_allclose(got.train, 0.01, rtol=1e-6)
    assert np.isfinite(got.test).all()
    assert fh.random_features_on(x, y, xt, aim, "tanh", 60, 0.0).status == fh.Status.DIVERGES


def test_large_grids_agree_with_single_points():
    """Grids interpolate the part of the test error that needs the whole kernel matrix."""
    x, y, xt, aim = sample()
    widths, ridges = np.geomspace(20, 4000, 60)[:, None], np.geomspace(1e-9, 100, 40)
    whole = fh.random_features_on(x, y, xt, aim, "gelu", widths, ridges)
    assert whole.test.shape == (60, 40)
    rng = np.random.default_rng(0)
    for i, j in zip(rng.integers(0, 60, 25), rng.integers(0, 40, 25), strict=True):
        one = fh.random_features_on(x, y, xt, aim, "gelu", widths[i, 0], ridges[j])
        assert whole.test[i, j] == pytest.approx(one.test, rel=1e-12)
        assert whole.train[i, j] == pytest.approx(one.train, rel=1e-12)


def test_targets_scale_and_files(tmp_path):
    x, y, xt, aim = sample()
    both = fh.random_features_on(
        x, np.stack((y, -y), 1), xt, np.stack((aim, 3 * aim), 1), "relu", [50, 200], 0.1
    )
    assert both.test.shape == (2, 2)
    one = fh.random_features_on(x, y, xt, aim, "relu", [50, 200], 0.1)
    np.testing.assert_allclose(both.test[:, 0], one.test, rtol=1e-13)
    np.testing.assert_allclose(both.train[:, 1], one.train, rtol=1e-13)
    scaled = fh.random_features_on(2 * x, y, 2 * xt, aim, "tanh", 50, 0.1)
    other = fh.random_features_on(x, y, xt, aim, "tanh", 50, 0.1, weight_variance=4.0)
    assert scaled.test == pytest.approx(other.test, rel=1e-12)
    alone = fh.random_features_on(x, y, act="relu", width=[50, 200], lam=0.1)
    np.testing.assert_allclose(alone.train, one.train, rtol=1e-14)
    assert np.isnan(alone.test).all()
    one.save(tmp_path / "r.npz")
    assert fh.ConditionalResult.load(tmp_path / "r.npz") == one == pickle.loads(pickle.dumps(one))
    assert "CONVERGED" in repr(one)
    assert isinstance(scaled.test, float)


def test_bad_elements_and_arguments():
    x, y, xt, aim = sample()
    got = fh.random_features_on(x, y, xt, aim, "relu", [50.0, -1.0, np.nan, 200.0], 0.1)
    assert got.status.tolist() == [0, 2, 2, 0]
    assert np.isnan(got.test[1:3]).all()
    good = fh.random_features_on(x, y, xt, aim, "relu", [50.0, 200.0], 0.1)
    np.testing.assert_array_equal(got.test[[0, 3]], good.test)
    for match, call in {
        "go together": lambda: fh.random_features_on(x, y, xt, width=9.0),
        "X_test must have the 15": lambda: fh.random_features_on(x, y, xt[:, 1:], aim, "relu", 50, 1),
        "y must have one row": lambda: fh.random_features_on(x, y[1:], width=50),
        "y_test must have the 1": lambda: fh.random_features_on(
            x, y, xt, np.stack((aim, aim), 1), "relu", 50, 1
        ),
        "width must be > 0": lambda: fh.random_features_on(x, y, width=0),
        "lam must be >= 0": lambda: fh.random_features_on(x, y, width=50, lam=-1),
        "broadcast": lambda: fh.random_features_on(x, y, width=[50, 60], lam=[1, 2, 3]),
        "weight_variance": lambda: fh.random_features_on(x, y, width=50, weight_variance=0),
        "must not vanish": lambda: fh.random_features_on(x, y, act=lambda t: 0 * t, width=50),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.warns(fh.ValidityWarning, match="fewer than 20"):
        fh.random_features_on(x, y, width=5, lam=1.0)
