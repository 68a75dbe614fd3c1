"""Theory against experiment: the experiment itself."""

import threading

import numpy as np
import pytest

import fasthde as fh
from fasthde._check import ridge_path


@pytest.mark.parametrize(("n", "p"), [(50, 20), (20, 50), (30, 30)])
@pytest.mark.parametrize("ridges", [[1e-2, 1.0], [1e-14, 1e-2], [0.0, 1e-2]])
def test_ridge_path_against_direct_solution(n, p, ridges):
    rng = np.random.default_rng(n + p)
    X, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    path = ridge_path(X, y, np.array(ridges))
    for j, lam in enumerate(ridges):
        if lam == 0:
            direct = np.linalg.lstsq(X, y, rcond=None)[0]
        elif n >= p:
            direct = np.linalg.solve(X.T @ X / n + lam * np.eye(p), X.T @ y / n)
        else:
            direct = X.T @ np.linalg.solve(X @ X.T / n + lam * np.eye(n), y / n)
        np.testing.assert_allclose(path[:, j], direct, rtol=1e-6, atol=1e-8 * abs(direct).max())


def test_ridge_path_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 12)), rng.standard_normal(40)
    fit = linear_model.Ridge(
        alpha=fh.convert_ridge(0.3, 40, src="fasthde", dst="sklearn"), fit_intercept=False
    ).fit(X, y)
    np.testing.assert_allclose(ridge_path(X, y, np.array([0.3]))[:, 0], fit.coef_, rtol=1e-10)


PROBLEMS = {
    "plain": lambda: fh.LinearProblem(
        fh.Spectrum([3.0, 1.0, 0.2, 0.0], [60, 100, 40, 10]), [1.0, 0.5, 0.5, 1.0], 0.3
    ),
    "elliptical": lambda: fh.LinearProblem(
        fh.Spectrum.power_law(200, 0.8),
        1.0,
        [0.1, 0.2, 0.9],
        norms=[0.2, 0.8, 3.0],
        norm_weights=[0.3, 0.5, 0.2],
    ),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_drawn_samples_agree_with_theory(kind):
    result = fh.check(PROBLEMS[kind](), [100, 400], [1e-2, 0.3], draws=40, rng=1)
    assert (abs(result.z_score) < 4).all()
    assert (abs(result.theory_train - result.train) < 4 * result.train_se + 0.01).all()
    assert repr(result).startswith("CheckResult(2 sizes x 2 ridges, 40 draws")


def test_intercept_costs_a_sample():
    """Plain Gaussian data with a mean, centred by the training means, at small n."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((40_000, 25)) + 3.0
    y = X @ np.full(25, 0.3) + rng.standard_normal(40_000) + 5.0
    problem = fh.LinearProblem(fh.Spectrum.isotropic(25), 25 * 0.09, 1.0)
    n = np.array([25, 60])
    result = fh.check(problem, n, [0.5], data=(X, y), draws=400, rng=3)
    without = fh.ridge(problem, n[:, None], [0.5])
    assert (abs(result.z_score) < 4).all()
    assert (abs(result.theory_train - result.train) < 4 * result.train_se + 0.01).all()
    assert abs(without.test[0] - result.test[0]) > 4 * result.test_se[0]


def test_small_sizes_are_named_as_given():
    problem = fh.LinearProblem(fh.Spectrum.isotropic(25), 1.0, 1.0)
    with pytest.warns(fh.ValidityWarning, match=r"among them n = 12, 20:"):
        fh.ridge(problem, [12, 20, 60], 0.1, intercept=True)


def test_intercept_fields_add_up():
    problem = PROBLEMS["plain"]()
    n, lam = np.array([60.0, 200.0, np.inf])[:, None], np.array([0.0, 0.1])
    r = fh.ridge(problem, n, lam, intercept=True)
    np.testing.assert_allclose(r.test, r.excess + r.noise, rtol=1e-15)
    np.testing.assert_allclose(r.excess, r.bias + r.variance, rtol=1e-15)
    np.testing.assert_array_equal(r.n, np.broadcast_to(n, r.test.shape))
    np.testing.assert_array_equal(r.lam, np.broadcast_to(lam, r.test.shape))
    plain = fh.ridge(problem, n, lam)
    np.testing.assert_array_equal(r.test[-1], plain.test[-1])
    assert np.isnan(fh.ridge(problem, [1.0, 50.0], 0.1, intercept=True).test[0])


def test_reproducible_for_any_number_of_threads():
    problem = PROBLEMS["plain"]()
    one = fh.check(problem, [50, 80], [0.1], draws=4, rng=7, threads=1)
    many = fh.check(problem, [50, 80], [0.1], draws=4, rng=7, threads=4)
    assert one == many
    assert one != fh.check(problem, [50, 80], [0.1], draws=4, rng=8)
    generator = np.random.default_rng(7)
    first, second = (fh.check(problem, [50], [0.1], draws=3, rng=generator) for _ in range(2))
    assert first != second


def test_from_another_thread_and_progress():
    seen, results = [], []
    problem = PROBLEMS["plain"]()

    def work():
        results.append(
            fh.check(
                problem, [50], [0.1], draws=3, rng=0, progress=lambda done, total: seen.append((done, total))
            )
        )

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert results[0] == fh.check(problem, [50], [0.1], draws=3, rng=0)


def test_save_and_load(tmp_path):
    result = fh.check(PROBLEMS["plain"](), [50], [0.1], draws=3, rng=0)
    result.save(tmp_path / "c.npz")
    assert fh.CheckResult.load(tmp_path / "c.npz") == result


def test_bad_input():
    problem = PROBLEMS["plain"]()
    X, y = np.ones((30, 4)), np.ones(30)
    for arguments, keywords, reason in [
        (([50.5], [0.1]), {}, "whole numbers"),
        (([50], [-0.1]), {}, "lam must be >= 0"),
        (([50], [0.1]), {"draws": 1}, "draws must be an integer >= 2"),
        (([30], [0.1]), {"data": (np.ones((30, 210)), y)}, "at most 29 of 30"),
        (([10], [0.1]), {"data": (X, y)}, "dimension 210; it has 4"),
        (([], [0.1]), {}, "n must not be empty"),
        (([50], []), {}, "lam must not be empty"),
        (([50], [0.1]), {"threads": 0}, "threads must be"),
        (([10], [0.1]), {"data": (X, y[:-1])}, "one entry for each of the 30"),
        (([[10]], [0.1]), {}, "one-dimensional"),
    ]:
        with pytest.raises(ValueError, match=reason):
            fh.check(problem, *arguments, **keywords)
    with pytest.raises(TypeError, match="must be a LinearProblem"):
        fh.check("ridge", [10], [0.1])
    with pytest.raises(TypeError, match="pair"):
        fh.check(problem, [10], [0.1], data=X)
    with pytest.raises(ValueError, match="whole multiplicities"):
        fh.check(fh.LinearProblem(fh.Spectrum.isotropic(1e9), 1.0, 0.1), [50], [0.1])
    with pytest.raises(ValueError, match="one target"):
        fh.check(fh.LinearProblem(fh.Spectrum.isotropic(50), np.ones((1, 2)), 0.1), [50], [0.1])


def test_intercept_under_covariate_shift():
    """The error of the training means has the training covariance (simulated: 5.121(7), predicted 5.091)."""
    p, n, lam, noise = 40, 30, 0.2, 0.5
    problem = fh.LinearProblem(fh.Spectrum.isotropic(p), 1.0, noise)
    predicted = fh.ridge(problem, n, lam, intercept=True, test_spectrum=[10.0])
    shifted = fh.ridge(problem, n - 1, lam * n / (n - 1), test_spectrum=[10.0])
    own = fh.ridge(problem, n - 1, lam * n / (n - 1))
    assert predicted.test == pytest.approx(shifted.excess + own.excess / n + noise * (1 + 1 / n), rel=1e-13)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, n, p))
    y = X[..., 0] + np.sqrt(noise) * rng.standard_normal((4000, n))
    x_mean, y_mean = X.mean(axis=1), y.mean(axis=1)
    centred = X - x_mean[:, None]
    gram = centred.transpose(0, 2, 1) @ centred / n + lam * np.eye(p)
    moment = centred.transpose(0, 2, 1) @ (y - y_mean[:, None])[..., None] / n
    miss = np.linalg.solve(gram, moment)[..., 0] - np.eye(p)[0]
    offset = y_mean - x_mean[:, 0] - (x_mean * miss).sum(axis=1)
    errors = 10.0 * (miss**2).sum(axis=1) + offset**2 + noise
    mean, error = np.mean(errors), np.std(errors, ddof=1) / np.sqrt(len(errors))
    assert abs(predicted.test - mean) < 4 * error + 0.005 * mean  # finite size; the wrong form is 2.4 % off
