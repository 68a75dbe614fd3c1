"""The command ``fasthde network``, called as a user would."""

import csv
import re

import numpy as np
import pytest

import fasthde as fh
from fasthde._cli_network_model import deep
from fasthde.cli import main


def run(capsys, *arguments):
    try:
        code = main(["network", *arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    output = capsys.readouterr()
    return code, output.out, output.err


def good(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    return out


def table(text, start):
    """Numbers of the printed table whose title starts so, five digits each; a name becomes NaN."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(start))
    first += next(i for i, line in enumerate(lines[first:]) if line.startswith("---")) + 1
    rows = []
    for line in lines[first:]:
        if not line.strip() or line.startswith(("atom", "no atoms")):
            break
        rows.append([float(v) if re.fullmatch(r"[-+.\deinf]+", v) else np.nan for v in line.split()])
    return np.array(rows)


def read(path):
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [row[name] for row in rows] for name in rows[0]}


def numbers(values):
    return np.array([np.nan if v == "" else float(v) for v in values])


# ------------------------------------------------------------------------------------------------ quadrature

FUNCTIONS = {"relu": lambda t: np.maximum(t, 0.0), "tanh": np.tanh, "abs": np.abs}


def nodes():
    """Gauss-Legendre on both sides of 0, for functions with a kink there."""
    x, w = np.polynomial.legendre.leggauss(200)
    x, w = 6.0 * (x + 1.0), 6.0 * w
    x = np.concatenate((-x[::-1], x))
    return x, np.concatenate((w[::-1], w)) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def moments(f, s):
    """a_0, a_1, a_2, E f^2, E f'^2 (by differences) and E[f'^2 + f f''] at s xi."""
    x, w = nodes()
    y = f(s * x)
    h = 1e-6
    slope = (f(s * x + h) - f(s * x - h)) / (2 * h)
    a = [w @ y, w @ (y * x), w @ (y * (x * x - 1)) / np.sqrt(2)]
    return a, w @ y**2, w @ slope**2


def recursion(names, weight, center=True):
    """Theory of centred stacks on data of covariance I: rows tau, alpha, kappa, beta by layer; and what each saw."""
    tau2, kappa2 = 1.0, 1.0
    alpha, beta = np.array([1.0, 0, 0, 1.0]), np.array([1.0, 0, 0])
    rows, seen = [[1.0, *alpha, 1.0, *beta]], []
    for name in names:
        # the affine map before the layer
        s = np.sqrt(weight * tau2)
        alpha, beta, theta = weight * alpha, weight * beta, weight * kappa2
        a, second, slope2 = moments(FUNCTIONS[name], s)
        b1, b2 = a[1] / s, np.sqrt(2) * a[2] / s**2
        x, w = nodes()
        phi = FUNCTIONS[name](s * x) - a[0]
        quadratic = w @ (phi**2 * (x * x - 1)) / (2 * s * s)
        seen.append([s, *a, second - a[0] ** 2 - a[1] ** 2, weight * slope2])
        old = alpha
        alpha = np.array([
            b1**2 * old[0],
            b1**2 * old[1] + 0.25 * b2**2 * old[3] ** 2,
            b1**2 * old[2] + 0.5 * b2**2 * old[0] ** 2,
            old[3] * quadratic,
        ])  # fmt: skip
        beta = np.array([
            alpha[0] + b1**2 * beta[0],
            alpha[1] + b1**2 * beta[1] + 0.0,
            alpha[2] + b1**2 * beta[2] + b2**2 * old[0] * beta[0],
        ])  # fmt: skip
        tau2 = second - a[0] ** 2
        kappa2 = tau2 + theta * slope2
        rows.append([np.sqrt(tau2), *alpha, np.sqrt(kappa2), *beta])
    return np.array(rows), np.array(seen)


@pytest.mark.parametrize(
    ("options", "names", "weight"),
    [
        (["--activation", "relu", "--depth", "3"], ["relu"] * 3, 1.0),
        (["--activation", "tanh,relu,abs", "--weight-variance", "1.7"], ["tanh", "relu", "abs"], 1.7),
    ],
)
def test_coefficients_against_the_recursion(capsys, tmp_path, options, names, weight):
    path = tmp_path / "l.csv"
    out = good(capsys, *options, "--out", str(path))
    kernels, seen = recursion(names, weight)
    printed = table(out, "kernels after each layer")
    np.testing.assert_allclose(printed[:, 1:], kernels, rtol=5.1e-5, atol=1e-12)
    np.testing.assert_allclose(table(out, "activations at")[:, 2:], seen, rtol=5.1e-5, atol=1e-12)
    columns = read(path)
    assert columns["activation"] == ["", *names]
    assert columns["layer"] == [str(l) for l in range(len(names) + 1)]  # noqa: E741
    order = ["tau", "alpha_1", "alpha_2", "alpha_3", "alpha_4", "kappa", "beta_1", "beta_2", "beta_3"]
    np.testing.assert_allclose(
        np.column_stack([numbers(columns[n]) for n in order]), kernels, rtol=1e-8, atol=1e-13
    )
    order = ["scale", "a_0", "a_1", "a_2", "a_star^2", "chi"]
    found = np.column_stack([numbers(columns[n]) for n in order])
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], seen, rtol=1e-8, atol=1e-13)


def arc_cosine(rho):
    rho = np.clip(rho, -1.0, 1.0)
    return (np.sqrt(1 - rho**2) + (np.pi - np.arccos(rho)) * rho) / np.pi


def test_dual_functions_against_cho_and_saul(capsys):
    out = good(
        capsys, "--activation", "relu", "--depth", "4", "--form", "plain", "--weight-variance", "2",
        "--bias-variance", "0,0.5,0,0",
    )  # fmt: skip
    rho, q = np.array([-1.0, -0.5, 0.0, 0.5, 0.9]), 1.0
    printed = table(out, "dual functions")
    np.testing.assert_allclose(printed[0, 1:], rho)
    for l, bias in enumerate([0.0, 0.5, 0.0, 0.0]):  # noqa: E741
        above = 2.0 * q + bias
        rho, q = arc_cosine((2.0 * q * rho + bias) / above), above / 2.0
        np.testing.assert_allclose(printed[l + 1, 1:], rho, rtol=5.1e-5, atol=1e-9)


def test_normalized_form_has_variance_one(capsys):
    out = good(capsys, "--activation", "relu,tanh", "--form", "normalized", "--weight-variance", "3")
    np.testing.assert_allclose(table(out, "kernels after")[:, 1], 1.0, rtol=1e-5)
    (_, second, slope2), a1 = moments(FUNCTIONS["relu"], np.sqrt(3.0)), np.sqrt(3.0) / 2
    variance = second - 3.0 / (2 * np.pi)
    row = table(out, "activations at")[0]
    np.testing.assert_allclose(row[7], 3.0 * slope2 / variance, rtol=5.1e-5)  # of the scaled activation
    np.testing.assert_allclose(row[4], a1, rtol=5.1e-5)  # of relu itself


def test_discontinuous_activations_have_no_tangent_kernel_but_the_rest(capsys):
    out = good(capsys, "--activation", "sign", "--depth", "2")
    kernels = table(out, "kernels after")
    np.testing.assert_allclose(kernels[:, 2], [1.0, 2 / np.pi, (2 / np.pi) ** 2], rtol=5.1e-5)
    assert np.isinf(kernels[1:, 6]).all()
    np.testing.assert_allclose(table(out, "dual functions")[1, 1:4], [-1.0, -1 / 3, 0.0], atol=1e-5)
    assert "the activation jumps" in out


# ----------------------------------------------------------------------------------------------- many layers


def iterated(name, weight, bias, rho, center=False, layers=2000):
    """Variance and correlation after many layers, by a product rule in both Gaussians."""
    x, w = np.polynomial.hermite_e.hermegauss(120)
    w = w / w.sum()
    f, q = FUNCTIONS[name], weight + bias
    for _ in range(layers):
        s = np.sqrt(q)
        mean = w @ f(s * x) if center else 0.0
        inner = f(s * (rho * x[:, None] + np.sqrt(1 - rho**2) * x)) - mean
        outer = f(s * x) - mean
        cross = float((w * outer) @ inner @ w)
        new = weight * float(w @ outer**2) + bias
        q, rho = new, (weight * cross + bias) / new
    return q, rho


@pytest.mark.parametrize(("weight", "bias"), [(3.0, 0.1), (1.5, 0.05), (2.0, 0.0)])
def test_many_layers_of_tanh_by_iteration(capsys, weight, bias):
    found = deep(fh.activation("tanh"), weight, bias, "plain", weight + bias)
    layers = 400
    (q, rho), (_, high) = (iterated("tanh", weight, bias, r, layers=layers) for r in (0.1, 0.95))
    assert found.variance == pytest.approx(q, rel=1e-8)
    assert found.correlation == pytest.approx(rho, abs=1e-6)
    assert found.correlation == pytest.approx(high, abs=1e-6)
    x, w = nodes()
    chi = weight * (w @ (1 / np.cosh(np.sqrt(q) * x) ** 4))
    assert found.chi == pytest.approx(chi, rel=1e-8)
    assert found.steep == pytest.approx(found.chi, rel=1e-12)
    assert found.growth == pytest.approx(slope_of_variance(q, weight), rel=1e-5)
    assert (found.correlation < 1.0) == (chi > 1.0)
    if 0.0 < found.correlation < 1.0:  # one more layer shrinks the distance by the slope
        (_, one), (_, two) = (iterated("tanh", weight, bias, 0.1, layers=k) for k in (40, 41))
        rate = (two - found.correlation) / (one - found.correlation)
        assert rate == pytest.approx(found.slope, rel=0.02)


def slope_of_variance(q, weight, h=1e-4):
    x, w = nodes()
    up, down = (w @ np.tanh(np.sqrt(q + d) * x) ** 2 for d in (h, -h))
    return weight * (up - down) / (2 * h)


def test_edge_of_chaos(capsys):
    he = ["--activation", "relu", "--form", "plain", "--weight-variance", "2"]
    out = good(capsys, *he)
    assert "variance: kept, whatever it is" in out
    assert "chi_1 = weight variance x E phi'^2 = 1: edge of chaos" in out
    assert "tend to 1 slower than exponentially" in out
    out = good(capsys, *he, "--weight-variance", "1.6", "--bias-variance", "0.1")
    assert "variance: fixed at 0.5 (slope of its map 0.8)" in out
    assert "= 0.8: ordered" in out
    out = good(capsys, *he, "--weight-variance", "3")
    assert "grows without bound, in the end by a factor 1.5 a layer" in out
    assert "= 1.5 there" in out
    out = good(capsys, "--activation", "tanh")
    assert "variance: falls to 0, more slowly than by any factor a layer" in out
    assert "in the end every correlation is kept" in out
    out = good(capsys, "--activation", "tanh", "--weight-variance", "3", "--bias-variance", "0.1")
    assert "chaotic" in out
    assert "every correlation is kept" in good(capsys, "--activation", "identity")
    assert "many such layers" not in good(capsys, "--activation", "relu,tanh")


def test_centred_layers_decorrelate():
    found = deep(fh.activation("relu"), 2.0, 0.0, "centered", 2.0)
    assert (found.variance, found.correlation) == (0.0, 0.0)
    variance = 0.5 - 0.5 / np.pi
    assert found.growth == pytest.approx(2 * variance, rel=1e-12)
    assert found.steep == pytest.approx(0.5 / variance, rel=1e-12)
    assert found.slope == pytest.approx(0.25 / variance, rel=1e-12)
    found = deep(fh.activation("relu"), 2.0, 0.5, "centered", 2.5)
    assert found.variance == pytest.approx(0.5 / (1 - 2 * variance), rel=1e-12)
    assert found.growth == pytest.approx(2 * variance, rel=1e-9)
    assert deep(fh.activation("tanh"), 1.5, 0.5, "normalized", 2.0).variance == 2.0


def test_jumps_in_the_correlation_map():
    """sign: the map is (2/pi) asin, fixed where it says so."""
    found = deep(fh.activation("sign"), 1.0, 0.2, "plain", 1.2)
    rho = found.correlation
    assert rho == pytest.approx((2 / np.pi * np.arcsin(rho) + 0.2) / 1.2, abs=1e-12)
    assert found.slope == pytest.approx(2 / np.pi / np.sqrt(1 - rho**2) / 1.2, rel=1e-8)
    assert found.chi == np.inf


# ------------------------------------------------------------------------------------------------- spectrum


def support_of(text):
    """First interval of the support, and its mass."""
    return table(text, f"{'support from':>20}")[0][:3]


def test_infinite_width_is_a_marchenko_pastur_law(capsys):
    """XX'/p of n samples: (1 +- sqrt(n/p))^2, and n - p zeros."""
    out = good(capsys, "--activation", "relu", "--depth", "3", "--ratio", "0.25")
    kernels, _ = recursion(["relu"] * 3, 1.0)
    gram, square = kernels[-1, 1], kernels[-1, 0] ** 2
    rest = square - gram
    row = support_of(out)
    np.testing.assert_allclose(row[:3], [rest + gram * 1.0, rest + gram * 9.0, 0.25], rtol=1e-9)
    assert f"atom at {rest:.10g}"[:18] in out
    assert "of mass 0.75" in out
    out = good(capsys, "--activation", "relu", "--depth", "3", "--ratio", "0.25", "--kernel", "tangent")
    gram, square = kernels[-1, 6], kernels[-1, 5] ** 2
    row = support_of(out)
    np.testing.assert_allclose(row[:2], [square, square + 8.0 * gram], rtol=1e-7)


@pytest.mark.parametrize("form", ["centered", "normalized"])
def test_finite_widths_are_the_published_law(capsys, tmp_path, form):
    path = tmp_path / "s.csv"
    out = good(
        capsys, "--activation", "relu,tanh", "--widths", "1600,700", "--samples", "800", "--ratio", "0.5",
        "--atoms", "1:3,4:1", "--form", form, "--spectrum", str(path), "--points", "60",
    )  # fmt: skip
    H = fh.Spectrum([1, 4], [300, 100])
    law = fh.finite_width_law(H, ["relu", "tanh"], [1600, 700], 0.5, normalize=form == "normalized")
    row = support_of(out)
    np.testing.assert_allclose(row[:2], law.support[0], rtol=1e-9)
    assert "atom at 0 of mass 0.125" in out
    assert "widths 1600, 700 beside n = 800 samples" in out
    columns = {name: numbers(values) for name, values in read(path).items()}
    inside = (columns["x"] > law.support[0, 0]) & (columns["x"] < law.support[0, 1])
    np.testing.assert_allclose(columns["pdf"][inside][1:-1], law.pdf(columns["x"])[inside][1:-1], rtol=1e-6)


def test_units_of_the_data_scale_a_homogeneous_network(capsys):
    options = ["--activation", "relu", "--depth", "2"]
    for more in ([], ["--widths", "700"]):
        one, large = (good(capsys, *options, *more, "--atoms", v) for v in ("1", "1e60"))
        np.testing.assert_allclose(support_of(large)[:2], 1e60 * support_of(one)[:2], rtol=1e-9)


def test_weight_variance_scales_a_homogeneous_network(capsys):
    options = ["--activation", "relu", "--depth", "3", "--widths", "700"]
    one, six = (good(capsys, *options, "--weight-variance", v) for v in ("1", "2,3,1"))
    a, b = (support_of(text) for text in (one, six))
    np.testing.assert_allclose(b[:2], 6.0 * a[:2], rtol=1e-9)


def test_even_activations_leave_no_data(capsys):
    out = good(capsys, "--activation", "cos", "--depth", "2", "--simulate", "60")
    assert "of mass 1" in out
    out = good(capsys, "--activation", "cos", "--widths", "500,500", "--samples", "250")
    variance = (1 + np.exp(-2)) / 2 - np.exp(-1)
    tau2 = variance
    second = (1 + np.exp(-2 * tau2)) / 2 - np.exp(-tau2)
    low, high = second * (1 - np.sqrt(0.5)) ** 2, second * (1 + np.sqrt(0.5)) ** 2
    np.testing.assert_allclose(support_of(out)[:2], [low, high], rtol=1e-9)


# ----------------------------------------------------------------------------------------------- simulation


def agreement(text):
    """Printed rows name: law, simulation; and the Kolmogorov distance."""
    lines = text[text.index("simulation:") :].splitlines()
    rows = {}
    for line in lines[2:]:
        found = re.match(r"(\S.{15}) +(\S+) +(\S+) +(\S+)$", line)
        if found:
            rows[found[1].strip()] = float(found[2]), float(found[3])
    return rows, float(re.search(r"cdfs (\S+),", text)[1])


@pytest.mark.parametrize(
    "options",
    [
        ["--activation", "relu", "--depth", "3", "--widths", "500"],
        ["--activation", "tanh,sign", "--widths", "800,300", "--form", "normalized"],
        ["--activation", "relu", "--widths", "500", "--form", "plain"],
        ["--activation", "sin", "--depth", "2", "--widths", "600", "--weight-variance", "1.5,0.7"],
        ["--activation", "tanh", "--depth", "2", "--widths", "900", "--atoms", "1:3,6:1", "--ratio", "2"],
    ],
)
def test_drawn_networks_have_the_law(capsys, options):
    """Eigenvalues repel each other: a cdf is off by a few of them, where another law is by dozens."""
    out = good(capsys, *options, "--simulate", "400", "--seed", "3")
    rows, distance = agreement(out)
    assert distance < 10 / 400
    law, drawn = rows["mean"]
    assert drawn == pytest.approx(law, rel=0.02)
    law, drawn = rows["deviation"]
    assert drawn == pytest.approx(law, rel=0.03)
    if "mass at 0" in rows:
        assert rows["mass at 0"][0] == pytest.approx(rows["mass at 0"][1], abs=1e-12)
    assert ("1 far outside" in out) == ("plain" in options)


def test_simulation_tells_laws_apart():
    """The comparison is worth something: a layer fewer differs by dozens of eigenvalues."""
    from fasthde._cli_law import _kolmogorov

    F = np.random.default_rng(0).standard_normal((400, 200))
    for _ in range(2):
        W = np.random.default_rng(F.shape[1]).standard_normal((F.shape[1], 500))
        F = np.tanh(F @ W / np.sqrt(F.shape[1])) / np.sqrt(0.39429449039746)
    x = np.linalg.eigvalsh(F @ F.T / 500)
    H = fh.Spectrum.isotropic(200)
    one, two = (fh.finite_width_law(H, "tanh", [500] * k, 0.5) for k in (1, 2))
    assert _kolmogorov(two, x) < 10 / 400 < 20 / 400 < _kolmogorov(one, x)


@pytest.mark.parametrize("kernel", ["conjugate", "tangent"])
@pytest.mark.parametrize(
    "network",
    [
        ["--activation", "relu", "--depth", "3"],
        ["--activation", "tanh,relu", "--form", "plain", "--bias-variance", "0.2"],
    ],
)
def test_exact_kernels_have_the_law(capsys, kernel, network):
    """The equivalent errs by 1/sqrt(p), by which its atom spreads; a common mean is one far eigenvalue."""
    spread = []
    for n in (150, 600):
        out = good(capsys, *network, "--kernel", kernel, "--simulate", str(n))
        rows, distance = agreement(out)
        assert distance < 1.0 / np.sqrt(n)
        law, drawn = rows["mean"]
        assert drawn == pytest.approx(law, rel=1.0 / np.sqrt(n))
        law, drawn = rows["deviation"]
        assert drawn == pytest.approx(law, rel=3.0 / np.sqrt(n))
        law, drawn = rows[f"{n // 2} at the atom"]
        spread.append(rows["spread by"][1])
        assert abs(drawn - law) < spread[-1]
        assert ("1 far outside" in out) == ("plain" in network)
    assert 1.5 < spread[0] / spread[1] < 2.7


def test_simulation_in_proportion_and_by_seed(capsys):
    options = ["--activation", "relu", "--widths", "6000,3000", "--samples", "4000", "--simulate", "200"]
    out = good(capsys, *options)
    assert "one network of widths 300, 150 on 200 samples of dimension 100, seed 0" in out
    assert "widths 6000, 3000 beside n = 4000 samples" in out
    assert good(capsys, *options) == out
    assert good(capsys, *options, "--seed", "1") != out


# -------------------------------------------------------------------------------------------- arguments, files


def test_defaults_and_depth(capsys):
    out = good(capsys)
    assert out.startswith("network: relu, depth 1; activations less their means")
    assert "p/n = 0.5" in out
    assert "depth 2" in good(capsys, "--activation", "tanh", "--widths", "300,400")
    assert "network: tanh > relu x 2, depth 3" in good(capsys, "--activation", "tanh,ReLU, relu")
    out = good(capsys, "--activation", "leaky-relu:0.3,elu:2,polynomial:0:1:0.5,swish")
    assert "leaky_relu:0.3 > elu:2 > polynomial:0:1:0.5 > silu" in out
    np.testing.assert_allclose(table(out, "activations at")[0][4], 1.3 / 2, rtol=1e-5)


def test_files(capsys, tmp_path):
    paths = [tmp_path / name for name in ("n.png", "l.csv", "s.csv")]
    out = good(
        capsys, "--activation", "relu", "--depth", "2", "--widths", "300", "--simulate", "200", "--plot", str(paths[0]),
        "--out", str(paths[1]), "--spectrum", str(paths[2]),
    )  # fmt: skip
    assert [out.count(f"written to {path}") for path in paths] == [1, 1, 1]
    assert paths[0].read_bytes()[:4] == b"\x89PNG"
    assert paths[0].stat().st_size > 50_000
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in paths)
    columns = read(paths[2])
    assert list(columns) == ["x", "pdf", "cdf", "simulated_cdf"]
    assert np.abs(numbers(columns["simulated_cdf"]) - numbers(columns["cdf"])).max() < 0.03


@pytest.mark.parametrize(
    "options",
    [
        ["--activation", "sign,cos", "--simulate", "100"],
        ["--activation", "gelu", "--form", "plain", "--depth", "40", "--kernel", "tangent"],
        ["--activation", "cos", "--simulate", "50"],
    ],
)
def test_pictures_of_unusual_networks(capsys, tmp_path, options):
    good(capsys, *options, "--plot", str(tmp_path / "n.svg"))
    assert (tmp_path / "n.svg").read_bytes().startswith(b"<?xml")


def test_cautions(capsys):
    assert "caution: data have dimension 10" in good(capsys, "--ratio", "0.01")
    assert "caution: the narrowest layer has 7 units" in good(capsys, "--widths", "7")
    assert "caution" not in good(capsys, "--widths", "70")


BAD = {
    "unknown": (["--activation", "rleu"], "did you mean 'relu'?"),
    "unknown second": (["--activation", "tanh,signoid"], "did you mean 'sigmoid'?"),
    "empty": (["--activation", "relu,"], "--activation: must be a known activation"),
    "parameter": (["--activation", "relu:2"], "must give relu no parameter"),
    "parameters": (["--activation", "elu:2:3"], "must give elu one parameter"),
    "parameter text": (["--activation", "elu:big"], "finite numbers; got 'big'"),
    "coefficients": (["--activation", "polynomial"], "polynomial:0:1:0.5"),
    "constant": (["--activation", "polynomial:2"], "layer 1, polynomial:2, of input scale 1, must not be"),
    "constant normalized": (["--activation", "polynomial:2", "--form", "normalized"], "must not be constant"),
    "depth": (["--depth", "0"], "--depth: must be a whole number from 1"),
    "depth of a list": (["--activation", "relu,tanh", "--depth", "3"], "--depth must be the number of activ"),
    "widths": (["--depth", "3", "--widths", "100,200"], "--widths must be one number, or one a layer, 3"),
    "widths of a list": (["--activation", "relu,tanh", "--widths", "1,2,3"], "--widths must be one number"),
    "widths zero": (["--widths", "0"], "--widths: must be whole numbers of units"),
    "widths fraction": (["--widths", "10.5"], "--widths: must be whole"),
    "ratio": (["--ratio", "-0.5"], "--ratio: must be > 0"),
    "ratio text": (["--ratio", "half"], "--ratio: must be a number"),
    "weights": (["--weight-variance", "0"], "--weight-variance: must be > 0"),
    "weights of a list": (["--weight-variance", "1,2"], "--weight-variance must be one number"),
    "biases": (["--bias-variance", "-1"], "--bias-variance: must be >= 0"),
    "biases text": (["--bias-variance", "x"], "--bias-variance: must hold finite numbers"),
    "atoms": (["--atoms", "0"], "--atoms must not all be 0"),
    "form": (["--form", "raw"], "--form"),
    "tangent jumps": (["--activation", "relu,step", "--kernel", "tangent"], "step jumps"),
    "tangent widths": (
        ["--kernel", "tangent", "--widths", "100"],
        "--kernel tangent must be without --widths",
    ),
    "biases at finite width": (["--widths", "100", "--bias-variance", "1"], "--bias-variance must be 0 with"),
    "means at finite width": (
        ["--widths", "100,100", "--form", "plain"],
        "relu has mean 0.3989. Use --form centered",
    ),
    "explosion": (["--activation", "exp", "--depth", "4"], "--activation: layer 3, exp"),
    "growth": (
        ["--activation", "relu2", "--depth", "30", "--weight-variance", "9"],
        "grows without bound: use a smaller --weight-variance or --depth",
    ),
    "decay": (["--depth", "600"], "shrinks to nothing: use a larger --weight-variance or --form normalized"),
    "simulate": (["--simulate", "5"], "--simulate: must be a whole number from 10"),
    "simulate large": (["--simulate", "500000"], "GB of memory"),
    "simulate no dimension": (["--simulate", "10", "--ratio", "0.001"], "use at least 1000 samples"),
    "simulate no unit": (["--widths", "3", "--samples", "9000", "--simulate", "50"], "without units"),
    "samples": (["--samples", "1"], "--samples: must be a whole number"),
    "seed": (["--seed", "-1"], "--seed"),
    "plot": (["--plot", "x.txt"], "--plot must end in"),
    "out": (["--out", "no/such/folder/x.csv"], "--out: the folder"),
    "spectrum": (["--spectrum", "x.png"], "--spectrum must end in .csv"),
    "one file": (["--spectrum", "x.csv", "--out", "./x.csv"], "--spectrum must not be the file of --out"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_exits_2_with_one_line(capsys, name):
    arguments, reason = BAD[name]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("fasthde")
    assert "error:" in err
    assert reason in err


def test_unwritable_folder_is_noticed_before_the_work(capsys, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    code, out, err = run(capsys, "--spectrum", str(tmp_path / "c.csv"))
    assert (code, out) == (2, "")
    assert "--spectrum: cannot write beside" in err
