"""Simulated matrices follow their laws, operation by operation."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fasthde as fh
from fasthde import _simulate
from fasthde._cli_law import _kolmogorov

from .common import EPS

W = fh.Law(fh.Spectrum([1.0, 4.0, 0.0], [5, 3, 2]))
P = fh.Law(fh.Spectrum([1.0, 4.0], [5, 3]))

LAWS = {
    "atoms": W,
    "wide data": W.sample_covariance(0.3),
    "few samples": W.sample_covariance(3.0),
    "twice": W.sample_covariance(2.0).sample_covariance(0.5),
    "four": W.sample_covariance(2.0).shift(1.0).sample_covariance(1.5).add_semicircle(0.3),
    "semicircle": W.scale(2.0).shift(-1.0).add_semicircle(0.7),
    "wishart": W.add_wishart(2.5, 1.5),
    "compound": W.add_compound_poisson(0.5, [0.0, 1.0, -2.0], [0.5, 0.25, 0.25]),
    "two compounds": W.add_compound_poisson(0.5, [1.0, -2.0]).add_compound_poisson(2.0, [3.0, 1.0, 2.0]),
    "inverse": P.multiply_inverse_wishart(0.4),
    "F": P.sample_covariance(0.5).multiply_inverse_wishart(0.3),
    "corner": W.corner(0.3),
    "small corner": W.corner(0.9),
    "gram of many": W.sample_covariance(0.4).companion(),
    "gram of few": W.sample_covariance(4.0).scale(2.0).shift(1.0).companion().add_semicircle(0.2),
}


@pytest.mark.parametrize("name", LAWS)
def test_simulated_matrix_follows_the_law(name):
    law, p = LAWS[name], 400
    with threadpool_limits(1, user_api="blas"):
        found = law.simulate(p, rng=0)
    assert (np.diff(found) >= 0).all()
    size = found.size
    assert _kolmogorov(law, np.round(found, 12) if len(law.atoms) else found) < 6 / size
    for place, mass in law.atoms:
        at = np.abs(found - place) <= 1e-10 * np.abs(found).max()
        assert np.count_nonzero(at) == pytest.approx(mass * size, abs=1.0)
    # means of p eigenvalues vary by about 1/p, not 1/sqrt(p)
    assert found.mean() == pytest.approx(law.mean(), abs=8 * law.std() / size)


def test_dimension():
    assert LAWS["gram of many"].simulate(40, rng=0).size == 100
    assert LAWS["gram of few"].simulate(40, rng=0).size == 10
    assert LAWS["corner"].simulate(40, rng=0).size == 12
    np.testing.assert_array_equal(W.simulate(10), [0, 0, 1, 1, 1, 1, 1, 4, 4, 4])


def test_seed():
    law = LAWS["four"]
    np.testing.assert_array_equal(law.simulate(30, rng=3), law.simulate(30, rng=np.random.default_rng(3)))
    assert not np.array_equal(law.simulate(30), law.simulate(30))


@pytest.mark.parametrize(
    ("law", "p", "error", "message"),
    [
        (W, 2, ValueError, "^p must be at least the number of levels, 3; got 2"),
        (W, 2.5, TypeError, "^p must"),
        (
            W.sample_covariance(100.0),
            20,
            ValueError,
            r"^p = 20 leaves no sample at ratio 100: .* at least 100",
        ),
        (
            W.sample_covariance(0.01).companion(),
            2_000_000,
            ValueError,
            "^p = 2000000 needs about .* use at most",
        ),
        (W, 3_000_000, ValueError, "^p = 3000000 needs about"),
    ],
)
def test_refusals(law, p, error, message):
    with pytest.raises(error, match=message):
        law.simulate(p)


def test_apportionment():
    k = _simulate.apportion(np.array([1.0, 1.0, 1.0, 0.0, 4.5]), 100)
    assert k.sum() == 100
    assert k[3] == 0
    np.testing.assert_allclose(k, np.array([1, 1, 1, 0, 4.5]) / 0.075, atol=1)


def test_no_system_limits(monkeypatch):
    monkeypatch.delattr("os.sysconf", raising=False)
    assert _simulate.memory() > 0


def test_rank_of_few_samples():
    """n samples leave at most n positive eigenvalues, and exactly zero for the rest."""
    x = LAWS["few samples"].simulate(300, rng=1)
    assert np.count_nonzero(x == 0.0) == 200
    assert x[200] > 1e3 * EPS
