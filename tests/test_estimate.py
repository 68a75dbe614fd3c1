"""LinearProblem.from_data: recovers a known population, and predicts real data."""

import numpy as np
import pytest

import fasthde as fh


def elliptical_sample(rng, n, p, spread=0.75):
    """x = sqrt(tau) C^1/2 z with log-normal tau of mean 1, noise variance .1 + .3 tau."""
    t = np.arange(1, p + 1) ** -0.7
    t /= t.mean()
    tau = np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    X = np.sqrt(tau)[:, None] * rng.standard_normal((n, p)) * np.sqrt(t)
    beta = rng.choice([-1.0, 1.0], p) / np.sqrt(np.arange(1, p + 1))
    y = X @ beta + np.sqrt(0.1 + 0.3 * tau) * rng.standard_normal(n)
    return X, y, t, beta


def draws(estimate, count=12):
    values = np.array([estimate(np.random.default_rng(seed)) for seed in range(count)])
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(count)


few = pytest.mark.filterwarnings("ignore::fasthde.ValidityWarning")


@few
@pytest.mark.parametrize("samples", [300, 600, 2400])
def test_plain_noise_and_signal_are_unbiased(samples):
    p = 100

    def estimate(rng):
        X = rng.standard_normal((samples, p)) * np.sqrt(np.linspace(0.2, 1.8, p))
        y = X @ np.full(p, 0.1) + 0.5 * rng.standard_normal(samples)
        problem = fh.LinearProblem.from_data(X, y, elliptical=False)
        return float(problem.noise), float(problem.signal @ problem.spectrum.values), problem.spectrum.trace

    mean, error = draws(estimate)
    np.testing.assert_array_less(abs(mean - [0.25, 1.0, 100.0]), 4 * error)


@few
def test_elliptical_noise_profile_from_three_samples_a_feature():
    p = 200

    def estimate(rng):
        X, y, _, _ = elliptical_sample(rng, 3 * p, p)
        problem = fh.LinearProblem.from_data(X, y)
        w, tau = np.sqrt(problem.norm_weights), problem.norms
        line = np.linalg.lstsq(np.stack([w, w * tau], axis=1), w * problem.noise, rcond=None)[0]
        return *line, w**2 @ problem.noise

    mean, error = draws(estimate)
    np.testing.assert_array_less(abs(mean - [0.1, 0.3, 0.4]), 4 * error + 0.02)


@few
@pytest.mark.parametrize("ratio", [3, 10, 40])
def test_norms_do_not_saturate(ratio):
    """The variance of tau is exp(.75^2) - 1 = .755; sample Mahalanobis norms at three samples a feature find .12."""

    def estimate(rng):
        X, y, _, _ = elliptical_sample(rng, ratio * 80, 80)
        problem = fh.LinearProblem.from_data(X, y)
        return problem.norm_weights @ (problem.norms - 1) ** 2

    mean, _ = draws(estimate, 10)
    assert 0.55 < mean < 0.9


def test_estimated_problem_predicts_fresh_samples():
    """Prediction from 4000 samples over that of the true problem: 1 within 4 standard errors and p/n."""
    p, size, lam = 50, 4000, [1e-2, 1.0]

    def estimate(rng):
        X, y, t, beta = elliptical_sample(rng, size, p)
        problem = fh.LinearProblem.from_data(X, y)
        tau = np.exp(0.75 * rng.standard_normal(4000) - 0.75**2 / 2)
        truth = fh.LinearProblem(fh.Spectrum(t), beta**2, 0.1 + 0.3 * tau / tau.mean(), norms=tau)
        n = np.array([[40.0], [200.0]])
        return (fh.ridge(problem, n, lam).test / fh.ridge(truth, n, lam).test).ravel()

    mean, error = draws(estimate)
    np.testing.assert_array_less(abs(mean - 1.0), 4 * error + p / size)


def test_estimated_problem_predicts_subsamples():
    X, y, _, _ = elliptical_sample(np.random.default_rng(0), 20_000, 150)
    measured = fh.check(
        fh.LinearProblem.from_data(X, y), [75, 400], [1e-2, 1.0], data=(X, y), draws=40, rng=1
    )
    assert (abs(measured.z_score) < 4).all()


def test_units_carry_through():
    X, y, _, _ = elliptical_sample(np.random.default_rng(3), 900, 30)
    one, other = fh.LinearProblem.from_data(X, y), fh.LinearProblem.from_data(10 * X, 3 * y)
    a, b = fh.ridge(one, 200, [0.1, 1.0]), fh.ridge(other, 200, [10.0, 100.0])
    np.testing.assert_allclose(b.test, 9 * a.test, rtol=1e-9)


def test_several_targets_equal_one_by_one():
    X, y, _, _ = elliptical_sample(np.random.default_rng(4), 900, 30)
    Y = np.stack([y, y**2, np.abs(y)], axis=1)
    for elliptical in (True, False):
        together = fh.LinearProblem.from_data(X, Y, elliptical=elliptical)
        r = fh.ridge(together, [100.0, 300.0], 0.1)
        assert r.test.shape == (2, 3)
        for j in range(3):
            alone = fh.LinearProblem.from_data(X, Y[:, j], elliptical=elliptical)
            np.testing.assert_allclose(r.test[:, j], fh.ridge(alone, [100.0, 300.0], 0.1).test, rtol=1e-12)


def test_constant_columns_and_duplicates_have_no_rank():
    X, y, _, _ = elliptical_sample(np.random.default_rng(5), 900, 30)
    wide = np.column_stack([X, np.ones(900), X[:, 0]])
    problem = fh.LinearProblem.from_data(wide, y)
    assert (problem.spectrum.values > 0).sum() == 30
    assert problem.spectrum.dimension == 32


def test_centring():
    X, y, _, _ = elliptical_sample(np.random.default_rng(6), 900, 30)
    a, b = fh.LinearProblem.from_data(X, y), fh.LinearProblem.from_data(X + 5.0, y - 7.0)
    np.testing.assert_allclose(a.signal, b.signal, rtol=1e-6)
    raw = fh.LinearProblem.from_data(X + 5.0, y, center=False)
    assert raw.spectrum.values[0] > 20 * b.spectrum.values[0]


@pytest.mark.parametrize("samples", [20, 30, 31])
def test_too_few_samples_are_refused_with_the_reason(samples):
    X, y, _, _ = elliptical_sample(np.random.default_rng(7), samples, 30)
    with pytest.raises(ValueError, match=r"more samples than its rank.*neither the noise nor the spectrum"):
        fh.LinearProblem.from_data(X, y)


def test_few_samples_carry_a_warning():
    X, y, _, _ = elliptical_sample(np.random.default_rng(8), 40, 30)
    with pytest.warns(fh.ValidityWarning, match="40 samples for 30 features"):
        problem = fh.LinearProblem.from_data(X, y)
    assert np.isfinite(problem.noise).all()
    assert np.isfinite(fh.ridge(problem, 100, 0.1).test)


BAD = [
    (lambda X, y: (X, y[:-1]), ValueError, "one row for each of the 100 samples"),
    (lambda X, y: (np.where(X > 2, np.nan, X), y), ValueError, "X must be finite"),
    (lambda X, y: (X, np.where(y > 1, np.inf, y)), ValueError, "y must be finite"),
    (lambda X, y: (X, np.ones(100)), ValueError, "y must not be constant"),
    (lambda X, y: (np.ones((100, 3)), y), ValueError, "X must not be constant"),
    (lambda X, y: (np.empty((0, 3)), np.empty(0)), ValueError, "X must not be empty"),
    (lambda X, y: (X[:, 0], y), ValueError, "X must have 2 dimension"),
    (lambda X, y: (X.astype(str), y), TypeError, "X must hold real numbers"),
    (lambda X, y: (X, y[:, None, None]), ValueError, "y must have one row"),
]


@pytest.mark.parametrize(("change", "error", "reason"), BAD)
def test_bad_input(change, error, reason):
    rng = np.random.default_rng(9)
    X, y = change(rng.standard_normal((100, 3)), rng.standard_normal(100))
    with pytest.raises(error, match=reason):
        fh.LinearProblem.from_data(X, y)


def test_digits_figures():
    """Real data: 1797 digits; theory against fits away from the interpolation peak."""
    digits = fh.data.load("digits")
    X = digits.X / digits.X.std(axis=0).max()
    problem = fh.LinearProblem.from_data(X, digits.y)
    result = fh.check(problem, [150, 300, 600], [1e-3, 1e-1], data=(X, digits.y), draws=20, rng=0)
    assert (abs(result.ratio - 1) < 0.06).all()


@pytest.mark.slow
def test_patches_figures():
    """Raw photograph patches: median error of the elliptical form at most 6 %, the plain one far off."""
    patches = fh.data.load("patches")
    X = patches.X / np.sqrt(np.mean((patches.X - patches.X.mean(axis=0)) ** 2))
    y = patches.y / patches.y.std()
    n, lam = np.unique(np.round(np.geomspace(20, 4096, 25))), np.array([1e-5, 1e-3, 1e-1])
    elliptical, plain = (fh.LinearProblem.from_data(X, y, elliptical=e) for e in (True, False))
    with pytest.warns(fh.ValidityWarning):
        result = fh.check(elliptical, n, lam, data=(X, y), draws=10, rng=0)
    with pytest.warns(fh.ValidityWarning):
        wrong = fh.ridge(plain, n[:, None], lam, intercept=True)
    assert np.median(abs(result.ratio - 1)) <= 0.06
    ratio = n[:, None] / 256
    asked = (n[:, None] >= 60) & ~((ratio >= 0.25) & (ratio <= 4) & (lam < 1e-4))
    assert ((abs(result.ratio - 1) <= 0.15) | (abs(result.z_score) <= 3))[asked].all()
    assert (wrong.test / result.test).min() < 0.5


@few
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("elliptical", [True, False])
def test_without_noise(center, elliptical):
    """An exact linear function, also on three samples: noise at rounding level, no warning."""
    rng = np.random.default_rng(0)
    for X in (np.array([[1.0], [2.0], [4.0]]), rng.standard_normal((300, 10))):
        problem = fh.LinearProblem.from_data(X, X.sum(axis=1), center=center, elliptical=elliptical)
        assert (problem.noise < 1e-25).all()
        assert np.isfinite(fh.ridge(problem, 50.0, 0.1).test)


@few
def test_samples_that_share_no_direction():
    X = np.concatenate([np.eye(10) * 1e6, np.zeros((30, 10))])
    y = np.random.default_rng(0).standard_normal(40)
    with pytest.raises(ValueError, match="elliptical=False"):
        fh.LinearProblem.from_data(X, y, center=False)
