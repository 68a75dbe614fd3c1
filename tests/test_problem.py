"""LinearProblem: what it accepts, rescales and refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import fasthde as fh
from tests.common import norm_laws

H = fh.Spectrum([1.0, 2.0, 0.0], [2.0, 3.0, 5.0])


def test_scalar_signal_is_spread_over_all_directions():
    problem = fh.LinearProblem(H, 10.0, 0.1)
    np.testing.assert_allclose(problem.signal, [2, 3, 5], rtol=1e-15)
    assert problem.targets is None
    assert problem.noise == 0.1


def test_signal_keeps_the_order_of_the_values():
    problem = fh.LinearProblem(H, [1, 2, 3], 0)
    np.testing.assert_array_equal(problem.signal, [1, 2, 3])
    assert problem.signal.dtype == np.float64


def test_several_targets():
    problem = fh.LinearProblem(H, np.ones((3, 4)), [0.1, 0.2, 0.3, 0.4])
    assert problem.targets == 4
    np.testing.assert_array_equal(problem.noise, [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_array_equal(fh.LinearProblem(H, np.ones((3, 4)), 0.5).noise, [0.5] * 4)
    assert fh.LinearProblem(H, np.ones((3, 1)), 0.5).targets == 1


@settings(max_examples=100)
@given(norm_laws())
def test_norms_are_rescaled_to_mean_one(law):
    tau, weights = law
    problem = fh.LinearProblem(H, 1.0, 0.1, norms=tau, norm_weights=weights)
    mean = float(np.dot(weights, tau) / weights.sum())
    assert problem.norm_weights.sum() == pytest.approx(1.0, rel=1e-15)
    assert np.dot(problem.norm_weights, problem.norms) == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(problem.spectrum.values, H.values * mean, rtol=1e-14)
    np.testing.assert_array_equal(problem.spectrum.multiplicity, H.multiplicity)
    np.testing.assert_allclose(problem.norms * mean, tau, rtol=1e-14)


def test_norm_weights_default_to_equal():
    a = fh.LinearProblem(H, 1.0, [0.1, 0.2], norms=[0.5, 1.5])
    assert a == fh.LinearProblem(H, 1.0, [0.1, 0.2], norms=[0.5, 1.5], norm_weights=[3, 3])
    np.testing.assert_array_equal(a.norm_weights, [0.5, 0.5])


def test_noise_of_equal_norms_is_averaged():
    from tests.common import ridge

    a = fh.LinearProblem(H, 1.0, [0.1, 0.3, 0.7], norms=[0.5, 0.5, 2.0], norm_weights=[1, 1, 2])
    b = fh.LinearProblem(H, 1.0, [0.2, 0.7], norms=[0.5, 2.0])
    assert ridge(a, 30, 0.2).test == pytest.approx(ridge(b, 30, 0.2).test, rel=1e-14)


def test_nodes_of_weight_zero_do_not_matter():
    from tests.common import FIELDS, assert_same, ridge

    a = fh.LinearProblem(H, 1.0, [0.1, 9.0, 0.7], norms=[0.5, 4.0, 1.5], norm_weights=[1, 0, 1])
    b = fh.LinearProblem(H, 1.0, [0.1, 0.7], norms=[0.5, 1.5])
    assert_same(ridge(a, [3, 30], 0.2), ridge(b, [3, 30], 0.2), 1e-14, FIELDS)


def test_inputs_are_copied_and_frozen():
    signal, noise, norms = np.ones(3), np.array([0.1, 0.2]), np.array([0.5, 1.5])
    problem = fh.LinearProblem(H, signal, noise, norms=norms)
    for array in (signal, noise, norms):
        array[:] = 7
    assert problem == fh.LinearProblem(H, np.ones(3), [0.1, 0.2], norms=[0.5, 1.5])
    for name in ("signal", "noise", "norms", "norm_weights"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(problem, name)[0] = 1


def test_prepared_once():
    problem = fh.LinearProblem(H, 1.0, 0.1)
    assert problem._prepare() is problem._prepare()
    assert problem._prepare(False) is not problem._prepare(True)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"spectrum": [1, 2]}, TypeError, r"^spectrum must be a Spectrum; got list.*fh\.Spectrum"),
        ({"spectrum": fh.Spectrum([1.0], weights=[1.0])}, TypeError, "measure"),
        ({"spectrum": fh.Spectrum([0.0])}, ValueError, "^spectrum must have a positive eigenvalue"),
        (
            {"spectrum": fh.Spectrum([0.0, 1.0], [1, 0])},
            ValueError,
            "^spectrum must have a positive eigenvalue",
        ),
        (
            {"signal": [1.0]},
            ValueError,
            r"^signal must have one entry for each of the 3 levels.*got shape \(1,\)",
        ),
        ({"signal": np.ones((3, 0))}, ValueError, "^signal must"),
        ({"signal": np.ones((3, 1, 1))}, ValueError, "^signal must"),
        ({"signal": np.ones((2, 3))}, ValueError, "^signal must"),
        ({"signal": [1, -1, 0]}, ValueError, "^signal must be >= 0; got -1.0 at index 1"),
        (
            {"signal": [[1, 0]] * 2 + [[0, -2]]},
            ValueError,
            r"^signal must be >= 0; got -2.0 at index \(2, 1\)",
        ),
        ({"signal": -1}, ValueError, "^signal must be >= 0"),
        ({"signal": np.inf}, ValueError, "^signal must be finite"),
        ({"signal": [1, np.nan, 0]}, ValueError, "^signal must be finite"),
        ({"signal": "strong"}, TypeError, "^signal must"),
        ({"signal": [1j, 0, 0]}, TypeError, "^signal must"),
        ({"signal": [[1, 2], [3]]}, ValueError, "^signal must be a rectangular"),
        ({"noise": -0.1}, ValueError, "^noise must be >= 0"),
        ({"noise": np.nan}, ValueError, "^noise must be finite"),
        ({"noise": [0.1, 0.2]}, ValueError, r"^noise must have shape \(\); got \(2,\)"),
        ({"noise": "loud"}, TypeError, "^noise must"),
        ({"noise": 1j}, TypeError, "^noise must"),
        ({"norms": []}, ValueError, "^norms must not be empty"),
        ({"norms": 2.0}, ValueError, "^norms must have 1 dim"),
        ({"norms": [[1.0, 2.0]]}, ValueError, "^norms must have 1 dim"),
        ({"norms": [0.0, 0.0]}, ValueError, "^norms must have a positive mean"),
        ({"norms": [1.0, -1.0]}, ValueError, "^norms must be >= 0"),
        ({"norms": [1.0, np.inf]}, ValueError, "^norms must be finite"),
        ({"norms": ["a"]}, TypeError, "^norms must"),
        (
            {"norms": [1.0, 2.0], "noise": [0.1, 0.2, 0.3]},
            ValueError,
            r"^noise must have shape \(\) or \(2,\)",
        ),
        ({"norms": [1.0, 2.0], "norm_weights": [1.0]}, ValueError, "^norm_weights must have one entry"),
        ({"norms": [1.0, 2.0], "norm_weights": [0.0, 0.0]}, ValueError, "^norm_weights must not all be zero"),
        ({"norms": [1.0, 2.0], "norm_weights": [2.0, -1.0]}, ValueError, "^norm_weights must be >= 0"),
        ({"norms": [1.0, 2.0], "norm_weights": [np.nan, 1.0]}, ValueError, "^norm_weights must be finite"),
        ({"norm_weights": [1.0]}, ValueError, "^norm_weights was given without norms"),
    ],
)
def test_refusals(changes, error, message):
    with pytest.raises(error, match=message):
        fh.LinearProblem(**{"spectrum": H, "signal": 1.0, "noise": 0.1, **changes})


@pytest.mark.parametrize(
    ("problem", "parts"),
    [
        (fh.LinearProblem(H, 10.0, 0.1), ["3 levels", "signal 10", "noise 0.1"]),
        (fh.LinearProblem(H, np.ones((3, 2)), 0.1), ["2 targets", "signal 6"]),
        (
            fh.LinearProblem(H, 1.0, [0.1, 0.3], norms=[0.5, 1.5]),
            ["elliptical, 2 norms of variance 0.25", "noise 0.2"],
        ),
        (fh.LinearProblem(H, np.ones((3, 2)), 0.1, norms=[0.5, 1.5]), ["2 targets", "elliptical"]),
    ],
)
def test_repr(problem, parts):
    assert repr(problem).startswith("LinearProblem(Spectrum(")
    for part in parts:
        assert part in repr(problem)
