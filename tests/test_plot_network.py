"""Pictures of networks hold what they were given."""

import numpy as np
import pytest

import fasthde as fh
from fasthde._plot_network import composed, gathered, outlying

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def lines(ax):
    return {line.get_label(): line.get_data() for line in ax.lines}


def test_dual_is_the_dual_function():
    ax = fh.plot.dual(["relu", "tanh"], 2.0, title="two")
    drawn = lines(ax)
    assert list(drawn) == ["relu", "tanh"]
    for name, (rho, values) in drawn.items():
        assert (rho[0], rho[-1]) == (-1.0, 1.0)
        np.testing.assert_array_equal(values, fh.activation(name).dual(rho, 2.0, 2.0))
    assert ax.get_title() == "two"
    assert fh.plot.dual("erf", derivative=True, label="slope", ax=ax) is ax
    rho, values = lines(ax)["slope"]
    np.testing.assert_allclose(values, 4 / np.pi / np.sqrt(9 - 4 * rho**2), rtol=1e-12)
    assert len({line.get_color() for line in ax.lines}) == 3
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "reason"),
    [
        (["relu", 0.0], {}, ValueError, "variance must be finite and > 0"),
        ([[]], {}, ValueError, "act must not be empty"),
        (["rleu"], {}, ValueError, "did you mean 'relu'"),
        (["sign"], {"derivative": True}, ValueError, "must be continuous"),
    ],
)
def test_dual_arguments(arguments, options, error, reason):
    with pytest.raises(error, match=reason):
        fh.plot.dual(*arguments, **options)
    assert not plt.get_fignums()


def test_network_panels_hold_the_equivalent():
    stack = ["tanh", "relu", "tanh"]
    axes = fh.plot.network(stack, weight_variance=1.5, bias_variance=0.1, title="three")
    eq = fh.kernel_equivalent(stack, fh.UnitSphere(100), weight_variance=1.5, bias_variance=0.1)
    assert axes.shape == (4,)
    acts = lines(axes[0])
    t, y = acts["relu"]
    np.testing.assert_array_equal(y, eq.activations[1](t))
    assert {"tanh", "relu"} <= set(acts)
    conjugate, tangent = lines(axes[2]), lines(axes[3])
    np.testing.assert_allclose(conjugate[r"$\alpha_1$"][1], eq.alpha[:, 0], rtol=1e-14)
    np.testing.assert_allclose(conjugate[r"$\alpha_3$"][1][1:], eq.alpha[1:, 2], rtol=1e-14)
    assert np.isnan(conjugate[r"$\alpha_3$"][1][0])  # 0 has no place on a logarithmic axis
    np.testing.assert_allclose(conjugate[r"$\tau^2$"][1], eq.tau**2, rtol=1e-14)
    np.testing.assert_allclose(tangent[r"$\beta_3$"][1][1:], eq.beta[1:, 2], rtol=1e-14)
    np.testing.assert_allclose(tangent[r"$\kappa^2$"][1], eq.kappa**2, rtol=1e-14)
    assert axes[2].get_yscale() == "log"
    assert axes[0].figure.get_suptitle() == "three"
    axes[0].figure.canvas.draw()


@pytest.mark.parametrize("center", [True, False])
def test_composed_duals_are_the_exact_kernel(center):
    """Two inputs of one norm on a circle."""
    options = {"weight_variance": [1.3, 0.8, 2.0], "bias_variance": [0.0, 0.3, 0.1]}
    stack = ["relu", "erf", "tanh"]
    axes = fh.plot.network(stack, center=center, **options)
    eq = fh.kernel_equivalent(stack, fh.UnitSphere(100), center=center, **options)
    rho, drawn = lines(axes[1])["layer 3"]
    circle = np.sqrt(2.0) * np.column_stack((rho, np.sqrt(1 - rho**2)))
    exact = fh.conjugate_kernel(circle, eq.activations, Y=[[np.sqrt(2.0), 0.0]], **options)[:, 0]
    np.testing.assert_allclose(drawn, exact / exact[-1], atol=2e-12)
    levels = composed(eq.activations, 1.0, np.array([0.2, 1.0]), *options.values())
    assert len(levels) == 4
    np.testing.assert_allclose([v[-1] for v in levels], eq.tau**2, rtol=1e-12)


def test_many_layers_show_a_few_lines():
    axes = fh.plot.network("tanh", depth=40, weight_variance=2.0)
    names = list(lines(axes[1]))
    assert names[:2] == ["inputs", "layer 1"]
    assert names[-1] == "layer 40"
    assert len(names) == 6


def test_jumps_and_signs():
    axes = fh.plot.network(["sign", "cos"])
    t, y = lines(axes[0])["sign"]
    assert np.isnan(y[np.abs(t) < 1e-12]).all()  # no upright line
    assert axes[3].get_title() == "tangent kernel, of infinite diagonal"
    axes = fh.plot.network("cos", center=False)
    assert r"$|\alpha_4|$" in lines(axes[2])  # negative
    assert r"$\alpha_1$" not in lines(axes[2])  # 0
    axes[0].figure.canvas.draw()


def test_spectrum_panel_and_given_axes():
    law = fh.finite_width_law(fh.Spectrum.isotropic(100), "relu", [300], 0.5)
    sample = np.append(law.rvs(400, rng=0), 1e4)
    figure, given = plt.subplots(1, 5)
    axes = fh.plot.network("relu", law=law, sample=sample, ax=given)
    assert all(a is b for a, b in zip(axes, given, strict=True))
    x, y = lines(axes[4])["law"]
    kept = ~np.isnan(x)
    np.testing.assert_array_equal(y[kept], law.pdf(x[kept]))
    assert [t.get_text() for t in axes[4].texts] == ["not shown: 1e+04"]
    assert axes[4].get_xlim()[1] < 1.2 * law.support[0, 1]
    figure.canvas.draw()


def test_point_mass():
    law = fh.Law(fh.Spectrum([0.5]))
    sample = np.append(np.random.default_rng(0).normal(0.5, 0.01, 500), 40.0)
    ax = fh.plot.network("cos", law=law, sample=sample)[-1]
    heights, edges = ax.patches[0].get_data().values, ax.patches[0].get_data().edges
    assert np.dot(heights, np.diff(edges)) == pytest.approx(500 / 501)
    assert ax.get_xlim()[1] < 0.6
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sample": [1.0]}, "law must be given"),
        ({"ax": [1, 2, 3]}, "ax must hold 4 axes; got 3"),
        ({"law": fh.semicircle(), "ax": [1, 2, 3, 4]}, "ax must hold 5 axes; got 4"),
        ({"law": fh.semicircle(), "sample": [np.nan]}, "sample must be finite"),
        ({"weight_variance": [1.0, 2.0]}, "weight_variance must"),
    ],
)
def test_network_arguments(options, reason):
    with pytest.raises(ValueError, match=reason):
        fh.plot.network("relu", depth=1, **options)


def test_gathered_and_outlying():
    law = fh.marchenko_pastur(2.0).companion().scale(0.5).shift(3.0)  # companion: no atom
    assert not law.atoms
    x = np.array([3.5, 3.1, 4.0])
    moved, mine = gathered(x, law)
    np.testing.assert_array_equal(moved, np.sort(x))
    assert not mine.any()
    law = fh.marchenko_pastur(2.0).shift(1.0)  # half of it at 1
    x = np.array([0.8, 0.9, 1.3, 1.1, 2.0, 3.0, 4.0, 99.0])
    moved, mine = gathered(x, law)
    np.testing.assert_array_equal(moved, [1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 99.0])
    assert mine.tolist() == [True] * 4 + [False] * 4
    law = fh.marchenko_pastur(2.0)  # half of it at 0: a rank
    moved, mine = gathered(np.array([-1e-15, 1e-14, 0.1, 0.3, 3.0]), law)
    np.testing.assert_array_equal(moved, [0.0, 0.0, 0.1, 0.3, 3.0])
    assert mine.sum() == 2
    wide = np.append(law.rvs(30, rng=0), [99.0])
    assert wide[outlying(wide, law, 0.5)].tolist() == [99.0]
    assert not outlying(np.full(30, 100.0), law, 0.5).any()  # the law is at fault
    point = fh.Law(fh.Spectrum([0.5]))
    wide = np.append(np.linspace(0.4, 0.6, 50), [99.0])
    np.testing.assert_array_equal(gathered(wide, point)[0], wide)
    assert wide[outlying(wide, point, 0.5)].tolist() == [99.0]
