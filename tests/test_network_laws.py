"""Laws of nonlinear random matrices and random Fourier features: equations, printed digits, simulation."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fasthde as fh
from fasthde.activations import activation
from fasthde.networks._equivalents import kernel_equivalent
from fasthde.networks._fourier import FourierEquivalent, random_fourier_equivalent
from fasthde.networks._laws import feature_gram_law, finite_width_law, inner_product_kernel_law
from fasthde.networks._mixture import UnitSphere
from tests import oracle_equivalents as o

Z = np.array([1.0 + 1.0j, 0.3 + 0.5j])


def moments(name, tau):
    """Hermite coefficients a_1, a_*^2 and the variance, from the oracle."""
    a, rest = o.kinked(o.FUNCTIONS[name], 0.0, tau, 1)
    return a[1], rest, a[1] ** 2 + rest


def compare(law, transform, rtol=1e-12):
    np.testing.assert_allclose(law.stieltjes(Z), [transform(complex(z)) for z in Z], rtol=rtol)


# ----------------------------------------------------------------------------------------------- equations


@pytest.mark.parametrize("name", ["tanh", "relu", "sign", "abs", "cos", "identity"])
@pytest.mark.parametrize(("c", "d"), [(0.5, 1.5), (2.0, 0.4)])
def test_feature_gram_against_its_equations(name, c, d):
    values, weights = [1.0, 3.0], [0.25, 0.75]
    a1, rest, _ = moments(name, np.sqrt(2.5))
    law = feature_gram_law(name, c, d, spectrum=fh.Spectrum(values, weights=weights))
    gram = o.gram_transform(values, weights, c)
    if abs(a1) > 1e-10:
        kernel = o.affine_transform(gram, a1**2 / 2.5, rest)
    else:
        kernel = lambda z: 1.0 / (rest - z)  # noqa: E731
    compare(law, o.affine_transform(o.sample_transform(kernel, 1.0 / d), d, 0.0))
    np.testing.assert_allclose(law.mean(), d * (a1**2 + rest), rtol=1e-12)


def test_feature_gram_of_isotropic_data_is_the_published_chain():
    a1, rest, _ = moments("tanh", 1.0)
    chain = fh.Law(fh.Spectrum([1.0])).sample_covariance(2.0).scale(a1**2).shift(rest)
    chain = chain.sample_covariance(1.0 / 1.5).scale(1.5)
    law = feature_gram_law("tanh", 0.5, 1.5)
    np.testing.assert_allclose(law.support, chain.support, rtol=1e-11)
    np.testing.assert_allclose(law.stieltjes(Z), chain.stieltjes(Z), rtol=1e-12)
    # the d x d matrix has the same positive eigenvalues
    np.testing.assert_allclose(law.companion().mean() * 1.5, law.mean(), rtol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("stack", [["tanh", "tanh"], ["relu", "gelu", "sin"], ["abs", "relu"], ["sign"]])
def test_finite_width_against_its_equations(stack, normalize):
    H = fh.Spectrum([1.0, 3.0], [100, 100])
    widths = [300.0, 500.0, 250.0][: len(stack)]
    n = 200 / 0.4
    law = finite_width_law(H, stack, widths, 0.4, normalize=normalize)
    m, tau = o.gram_transform([1.0, 3.0], [0.5, 0.5], 0.4), np.sqrt(2.0)
    for name, width in zip(stack, widths, strict=True):
        a1, rest, variance = moments(name, tau)
        unit = variance if normalize else 1.0
        if abs(a1) > 1e-10:
            kernel = o.affine_transform(m, a1**2 / (tau**2 * unit), rest / unit)
        else:
            kernel = lambda z, level=rest / unit: 1.0 / (level - z)  # noqa: E731
        m = o.sample_transform(kernel, n / width)
        tau = 1.0 if normalize else np.sqrt(variance)
    compare(law, m, rtol=1e-11)
    np.testing.assert_allclose(law.mean(), tau**2, rtol=1e-11)


def test_finite_width_is_the_published_chain():
    """tr C = p, normalised: x b**2, + (1 - b**2) and a sample covariance a layer."""
    a1, _, variance = moments("tanh", 1.0)
    b2 = a1**2 / variance
    H = fh.Spectrum([0.5, 1.5], [250, 250])
    chain = fh.sample_covariance(H, 0.5).companion().scale(2.0)
    for width in (1500.0, 800.0):
        chain = chain.scale(b2).shift(1.0 - b2).sample_covariance(1000.0 / width)
    law = finite_width_law(H, "tanh", [1500, 800], 0.5)
    np.testing.assert_allclose(law.support, chain.support, rtol=1e-10)
    np.testing.assert_allclose(law.stieltjes(Z), chain.stieltjes(Z), rtol=1e-12)
    # widths over p, for a measure
    measure = finite_width_law(fh.Spectrum([0.5, 1.5], weights=[1, 1]), "tanh", [3.0, 1.6], 0.5)
    np.testing.assert_allclose(measure.support, law.support, rtol=1e-12)


def test_wide_layers_are_the_linear_equivalent():
    """Infinitely wide: gain*XX'/p + rest, the conjugate kernel's equivalent on the sphere."""
    law = finite_width_law(fh.Spectrum([1.0], weights=[1.0]), "tanh", [1e9, 1e9], 0.5, normalize=False)
    eq = kernel_equivalent("tanh", UnitSphere(100), 2)
    gain, rest = eq.scalars()
    linear = fh.marchenko_pastur(0.5).companion().scale(2.0 * gain).shift(rest)
    np.testing.assert_allclose(law.stieltjes(Z), linear.stieltjes(Z), rtol=1e-7)


@pytest.mark.parametrize("name", ["tanh", "relu", "sign", "cos", "identity"])
@pytest.mark.parametrize("c", [0.25, 3.0])
def test_inner_product_kernel_against_its_equation(name, c):
    a1, rest, _ = moments(name, 1.0)
    compare(inner_product_kernel_law(name, c), o.inner_product_transform(a1, rest, c))
    compare(inner_product_kernel_law(-1.0 * activation(name), c), o.inner_product_transform(-a1, rest, c))


# ------------------------------------------------------------------------------------------- printed digits


def test_printed_edges():
    law = inner_product_kernel_law("tanh", 0.25)
    np.testing.assert_allclose(law.support, [[-1.191829, -0.051656], [0.092444, 4.875798]], rtol=0, atol=5e-7)
    law = inner_product_kernel_law("sign", 0.25)
    np.testing.assert_allclose(law.support, [[-2.984976, 6.685075]], rtol=0, atol=5e-7)


def test_signs_and_special_functions():
    law, mirror = (inner_product_kernel_law(s * activation("tanh"), 0.25) for s in (1.0, -1.0))
    np.testing.assert_allclose(mirror.support, -law.support[::-1, ::-1], rtol=1e-12)
    even = inner_product_kernel_law("cos", 0.25)
    radius = 2.0 * np.sqrt(moments("cos", 1.0)[1] / 0.25)
    np.testing.assert_allclose(even.support, [[-radius, radius]], rtol=1e-12)
    linear = inner_product_kernel_law("identity", 0.25)
    np.testing.assert_allclose(linear.support, fh.marchenko_pastur(4.0).shift(-1.0).support, atol=1e-14)
    assert linear.atoms == [(-1.0, 0.75)] or np.allclose(linear.atoms, [(-1.0, 0.75)])
    # a mean adds an eigenvalue, not a bulk
    np.testing.assert_allclose(
        inner_product_kernel_law(activation("tanh") + 2.0, 0.25).support, law.support, rtol=1e-12
    )


# ----------------------------------------------------------------------------------------------- simulation


def transform_of(eigenvalues):
    return np.mean(1.0 / (eigenvalues[:, None] - Z), axis=0)


def extrapolated(draw, n, draws):
    """Simulated transforms at infinite size: twice those of 2n less those of n, whose bias is of order 1/n."""
    found = {}
    for size in (n, 2 * n):
        m = np.array([transform_of(draw(size, np.random.default_rng([size, k]))) for k in range(draws)])
        found[size] = np.concatenate([m.real, m.imag], axis=1)
    mean = 2.0 * found[2 * n].mean(axis=0) - found[n].mean(axis=0)
    variance = 4.0 * found[2 * n].var(axis=0, ddof=1) + found[n].var(axis=0, ddof=1)
    return mean, np.sqrt(variance / draws)


def agree(law, draw, n, draws=20):
    mean, se = extrapolated(draw, n, draws)
    m = law.stieltjes(Z)
    want = np.concatenate([m.real, m.imag])
    assert (np.abs(mean - want) < 4.0 * se).all(), ((mean - want) / se, se)
    assert se.max() < 0.01


def data_of(n, ratio, rng):
    p = round(n * ratio)
    return rng.standard_normal((n, p)) * np.sqrt(np.repeat([1.0, 3.0], [p // 2, p - p // 2]))


@pytest.mark.parametrize("name", ["tanh", "relu", "sign"])
def test_simulated_feature_gram(name):
    def draw(n, rng):
        X = data_of(n, 0.5, rng)
        W = rng.standard_normal((round(1.5 * n), X.shape[1]))
        F = o.FUNCTIONS[name](X @ W.T / np.sqrt(X.shape[1]))
        return np.linalg.eigvalsh(F @ F.T / n)

    agree(feature_gram_law(name, 0.5, 1.5, spectrum=fh.Spectrum([1.0, 3.0])), draw, 120)


@pytest.mark.parametrize("name", ["tanh", "sign", "sin", "erf"])
def test_simulated_inner_product_kernel(name):
    def draw(n, rng):
        p = n // 2
        X = rng.standard_normal((n, p))
        K = o.FUNCTIONS[name](X @ X.T / np.sqrt(p)) / np.sqrt(p)
        np.fill_diagonal(K, 0.0)
        return np.linalg.eigvalsh(K)

    agree(inner_product_kernel_law(name, 0.5), draw, 160)


def test_simulated_even_kernel_approaches_its_semicircle():
    """The quadratic part has p**2/2 dimensions for n samples: errors of order 1/sqrt(p)."""
    law, found = inner_product_kernel_law("cos", 0.5), []
    for n in (100, 400):
        m = []
        for k in range(12):
            X = np.random.default_rng([n, k]).standard_normal((n, n // 2))
            K = np.cos(X @ X.T / np.sqrt(n // 2)) / np.sqrt(n // 2)
            np.fill_diagonal(K, 0.0)
            m.append(transform_of(np.linalg.eigvalsh(K)))
        found.append(np.abs(np.mean(m, axis=0) - law.stieltjes(Z)))
    assert (found[1] < 0.6 * found[0]).all(), found


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("stack", [["tanh", "tanh"], ["relu", "gelu"]])
def test_simulated_finite_widths(stack, normalize):
    def draw(n, rng):
        F, tau = data_of(n, 0.5, rng), np.sqrt(2.0)
        for name, share in zip(stack, (1.0, 2.0), strict=True):
            a, rest = o.kinked(o.FUNCTIONS[name], 0.0, tau, 1)
            size = np.sqrt(a[1] ** 2 + rest)
            W = rng.standard_normal((F.shape[1], round(share * n)))
            F = o.FUNCTIONS[name](F @ W / np.sqrt(F.shape[1])) - a[0]
            F, tau = (F / size, 1.0) if normalize else (F, size)
        return np.linalg.eigvalsh(F @ F.T / F.shape[1])

    law = finite_width_law(
        fh.Spectrum([1.0, 3.0], weights=[1, 1]), stack, [2.0, 4.0], 0.5, normalize=normalize
    )
    agree(law, draw, 160)


# ----------------------------------------------------------------------------------- random Fourier features


def problem(n=300, p=60, m=200, seed=0):
    rng = np.random.default_rng(seed)
    X, T, b = rng.standard_normal((n, p)), rng.standard_normal((m, p)), rng.standard_normal(p) / np.sqrt(p)
    y, t = np.tanh(X @ b) + 0.3 * rng.standard_normal(n), np.tanh(T @ b)
    return X, y, T, t


@pytest.mark.parametrize(("N", "lam"), [(100, 0.1), (150, 0.3), (300, 0.1), (600, 0.03)])
def test_random_fourier_features_against_simulation(N, lam):
    X, y, T, t = problem()
    r = random_fourier_equivalent(X, y, T, t, frequencies=N, lam=lam, bandwidth=7.0)
    assert r.success
    found = []
    for k in range(60):
        W = np.random.default_rng([N, k]).standard_normal((X.shape[1], N)) / 7.0
        F, G = (np.hstack([np.cos(A @ W), np.sin(A @ W)]) for A in (X, T))
        v = np.linalg.solve(F @ F.T / len(X) + lam * np.eye(len(X)), y)
        found.append([np.mean((lam * v) ** 2), np.mean((t - G @ (F.T @ v) / len(X)) ** 2)])
    mean, se = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(mean - [r.train, r.test]) < 4.0 * se).all(), ((mean - [r.train, r.test]) / se, mean)


def test_random_fourier_equations():
    """Both equations, by plain matrices; M is the Jacobian of their right side."""
    X, *_ = problem(60, 20)
    n, N, lam = 60, 45, 1e-3
    r = random_fourier_equivalent(X, frequencies=N, lam=lam, bandwidth=4.0)
    D, S = (np.sum((X[:, None] + s * X) ** 2, axis=2) / 16.0 for s in (-1.0, 1.0))
    K = [(np.exp(-D / 2) + s * np.exp(-S / 2)) / 2 for s in (1.0, -1.0)]
    delta = [r.delta_cos, r.delta_sin]
    Q = np.linalg.inv(N / n * sum(k / (1 + d) for k, d in zip(K, delta, strict=True)) + lam * np.eye(n))
    np.testing.assert_allclose([np.trace(k @ Q) / n for k in K], delta, rtol=1e-11)
    assert r.residual < 1e-14
    assert np.isnan(r.train)
    assert np.isnan(r.test)


def test_many_frequencies_are_the_kernel():
    X, y, T, t = problem(100, 20, 50)
    N = 1e9
    r = random_fourier_equivalent(X, y, T, t, frequencies=N, lam=N * 1e-4, bandwidth=5.0)
    K, C = (np.exp(-np.sum((A[:, None] - X) ** 2, axis=2) / 50.0) for A in (X, T))
    v = np.linalg.solve(K / 100 + 1e-4 * np.eye(100), y)
    np.testing.assert_allclose(r.train, np.mean((1e-4 * v) ** 2), rtol=1e-6)
    np.testing.assert_allclose(r.test, np.mean((t - C @ v / 100) ** 2), rtol=1e-6)


def test_grids_targets_and_bad_elements():
    X, y, T, t = problem(50, 20, 30)
    many = random_fourier_equivalent(
        X, np.column_stack([y, 2 * y]), T, np.column_stack([t, 2 * t]), frequencies=[[25], [100]],
        lam=[0.1, 1e-6, -1.0], bandwidth=4.0,
    )  # fmt: skip
    assert many.train.shape == (2, 3, 2)
    assert many.status.shape == many.delta_cos.shape == (2, 3)
    np.testing.assert_array_equal(many.status[:, 2], fh.Status.INVALID)
    assert np.isnan(many.test[:, 2]).all()
    assert many.success[:, :2].all()
    np.testing.assert_allclose(many.test[..., 1], 4 * many.test[..., 0], rtol=1e-12)
    for i, N in enumerate((25, 100)):
        for j, lam in enumerate((0.1, 1e-6)):
            one = random_fourier_equivalent(X, y, T, t, frequencies=N, lam=lam, bandwidth=4.0)
            assert isinstance(one.test, float)
            np.testing.assert_allclose(
                [one.test, one.train], [many.test[i, j, 0], many.train[i, j, 0]], rtol=1e-12
            )
    assert pickle.loads(pickle.dumps(many)) == many


def test_newton_descends_for_every_size_and_ridge(tmp_path):
    X, y, *_ = problem(80, 20)
    N, lam = np.array([25.0, 40.0, 41.0, 80.0, 1e4])[:, None], 10.0 ** np.arange(-13.0, 4.0, 2.0)
    r = random_fourier_equivalent(X, y, frequencies=N, lam=lam, bandwidth=4.0)
    assert r.success.all()
    assert r.residual.max() < 1e-10
    assert r.iterations.max() <= 40
    assert (np.diff(r.train, axis=1) > 0).all()
    r.save(tmp_path / "r.npz")
    assert FourierEquivalent.load(tmp_path / "r.npz") == r
    assert "CONVERGED" in repr(r)


def test_a_ridge_below_rounding_says_so():
    X = np.ones((30, 20)) + 1e-9 * np.random.default_rng(0).standard_normal((30, 20))
    r = random_fourier_equivalent(X, X[:, 0], frequencies=100, lam=1e-30)
    assert r.status == fh.Status.NOT_CONVERGED
    assert np.isnan(r.train)


# --------------------------------------------------------------------------------------------- bad input


ONE = fh.Spectrum.isotropic(100)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: feature_gram_law("tanh", 0.0, 1.0), ValueError, "ratio"),
        (lambda: feature_gram_law("tanh", 1.0, -1.0), ValueError, "width_ratio"),
        (lambda: feature_gram_law("tanh", 1.0, 1.0, spectrum=[1.0]), TypeError, "Spectrum"),
        (lambda: feature_gram_law("tanh", 1.0, 1.0, spectrum=fh.Spectrum([0.0])), ValueError, "zero"),
        (lambda: feature_gram_law(lambda t: 0 * t + 1.0, 1.0, 1.0), ValueError, "constant"),
        (lambda: feature_gram_law("tahn", 1.0, 1.0), ValueError, "tanh"),
        (lambda: inner_product_kernel_law("tanh", -1.0), ValueError, "ratio"),
        (lambda: inner_product_kernel_law(lambda t: 0 * t, 1.0), ValueError, "constant"),
        (lambda: finite_width_law(ONE, "tanh", [], 1.0), ValueError, "widths"),
        (lambda: finite_width_law(ONE, "tanh", [100, 0], 1.0), ValueError, "widths"),
        (lambda: finite_width_law(ONE, ["tanh"], [100, 100], 1.0), ValueError, "widths"),
        (lambda: finite_width_law(ONE, "tanh", [100], 0.0), ValueError, "ratio"),
        (lambda: finite_width_law("H", "tanh", [100], 1.0), TypeError, "Spectrum"),
        (lambda: random_fourier_equivalent(np.ones(5), frequencies=30, lam=1.0), ValueError, "X must"),
        (lambda: random_fourier_equivalent(problem()[0], frequencies=0, lam=1.0), ValueError, "frequencies"),
        (lambda: random_fourier_equivalent(problem()[0], frequencies=30, lam=0.0), ValueError, "lam"),
        (
            lambda: random_fourier_equivalent(problem()[0], frequencies=30, lam=1.0, bandwidth=0),
            ValueError,
            "band",
        ),
        (
            lambda: random_fourier_equivalent(problem()[0], np.ones(3), frequencies=30, lam=1.0),
            ValueError,
            "y must",
        ),
        (
            lambda: random_fourier_equivalent(*problem()[:3], frequencies=30, lam=1.0),
            ValueError,
            "go together",
        ),
        (
            lambda: random_fourier_equivalent(
                *problem()[:2], np.ones((4, 3)), np.ones(4), frequencies=30, lam=1.0
            ),
            ValueError,
            "columns of X",
        ),
        (
            lambda: random_fourier_equivalent(*problem()[:3], np.ones((200, 2)), frequencies=30, lam=1.0),
            ValueError,
            "targets of y",
        ),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_warnings_of_validity():
    with pytest.warns(fh.ValidityWarning, match="dimension 2"):
        finite_width_law(fh.Spectrum([1.0, 3.0]), "tanh", [1000], 0.5)
    with pytest.warns(fh.ValidityWarning, match="narrowest layer 10"):
        finite_width_law(ONE, "tanh", [1000, 10], 0.5)
    with pytest.warns(fh.ValidityWarning, match="fewer than 20"):
        random_fourier_equivalent(problem()[0], frequencies=5, lam=1.0)


def test_a_ridge_out_of_range_costs_its_neighbours_nothing():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    got = fh.random_fourier_equivalent(X, X[:, 0], frequencies=50, lam=[1e-300, 1e-2, 1e300])
    alone = fh.random_fourier_equivalent(X, X[:, 0], frequencies=50, lam=1e-2)
    assert got.status.tolist() == [fh.Status.NOT_CONVERGED, fh.Status.CONVERGED, fh.Status.CONVERGED]
    assert got.train[1] == alone.train
    assert np.isnan(got.train[0])
    assert got.train[2] == pytest.approx(np.mean(X[:, 0] ** 2), rel=1e-12)


@pytest.mark.parametrize("labels", [10**9, np.inf, -1, 0.5])
def test_odd_labels(labels):
    X = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(ValueError, match="labels"):
        fh.ClassStatistics.from_samples(X, [0] * 10 + [labels] * 10)


def test_flags_and_widths_of_another_kind():
    with pytest.raises(TypeError, match="readout"):
        fh.kernel_equivalent("tanh", fh.UnitSphere(100), 1, readout="no")
    with pytest.raises(TypeError, match="readout"):
        fh.conjugate_kernel(np.eye(3), "tanh", 1, readout=np.ones(3))
    with pytest.raises(TypeError, match="widths"):
        fh.compress_network("relu", 5)
