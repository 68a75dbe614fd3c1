"""Pictures hold what they were given."""

from types import SimpleNamespace

import numpy as np
import pytest

import fasthde as fh

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def curve():
    problem = fh.LinearProblem(fh.Spectrum.isotropic(50), 1.0, 0.1)
    n, lam = np.geomspace(25, 400, 30), np.array([1e-1, 1e-4])
    yield problem, n, lam, fh.ridge(problem, n[:, None], lam)
    plt.close("all")


def test_lines_and_points(curve):
    problem, n, lam, r = curve
    measured = fh.check(problem, [30, 100], lam, draws=3, rng=0)
    figure, axes = plt.subplots()
    ax = fh.plot.learning_curve(n, lam, r.test, train=r.train, measured=measured, rank=50, title="t", ax=axes)
    assert ax is axes
    drawn = [line.get_ydata() for line in ax.lines]
    for j in (1, 0):
        assert any(np.array_equal(y, r.test[:, j]) for y in drawn)
        assert any(np.array_equal(y, r.train[:, j]) for y in drawn)
        assert any(np.array_equal(y, measured.test[:, j]) for y in drawn)
    assert [t.get_text() for t in ax.get_legend().get_texts()][:2] == [
        "$\\lambda$ = 0.0001",
        "$\\lambda$ = 0.1",
    ]
    figure.canvas.draw()


def test_divergence_does_not_set_the_scale(curve):
    problem = curve[0]
    n = np.array([25.0, 50.0, 100.0])
    ax = fh.plot.learning_curve(n, np.array([0.0]), fh.ridge(problem, n[:, None], [0.0]).test)
    assert np.isfinite(ax.get_ylim()).all()
    assert ax.get_ylim()[1] < 100


def test_shapes(curve):
    _, n, lam, r = curve
    ax = fh.plot.learning_curve(n, 0.1, r.test[:, 0])
    assert np.array_equal(ax.lines[0].get_ydata(), r.test[:, 0])
    assert fh.plot.learning_curve(n[:1], lam, r.test[:1]).lines[0].get_marker() == "_"
    with pytest.raises(ValueError, match=r"test must have shape \(sizes, ridges\) = \(30, 2\)"):
        fh.plot.learning_curve(n, lam, r.test.T)


def test_save(curve, tmp_path):
    _, n, lam, r = curve
    ax = fh.plot.learning_curve(n, lam, r.test)
    for kind, magic in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        fh.plot.save(ax, str(tmp_path / f"a.{kind}"))
        assert (tmp_path / f"a.{kind}").read_bytes().startswith(magic)
    with pytest.raises(ValueError, match="must end in"):
        fh.plot.save(ax, str(tmp_path / "a.xyz"))


# ------------------------------------------------------------------------------------------------- density


@pytest.fixture
def close():
    yield
    plt.close("all")


pytestmark = pytest.mark.usefixtures("close")


def stairs(ax):
    """Heights and edges of the histogram."""
    data = ax.patches[0].get_data()
    return data.values, data.edges


def test_density_line_is_the_law_with_both_edges():
    law = fh.sample_covariance(fh.Spectrum([1, 3, 10]), 0.1)
    ax = fh.plot.density(law, title="three")
    (line,) = ax.lines
    x, y = line.get_data()
    kept = ~np.isnan(x)
    np.testing.assert_array_equal(y[kept], law.pdf(x[kept]))
    assert np.isin(law.support, x).all()
    assert np.count_nonzero(~kept) == 3  # nothing is drawn across the gaps
    for low, high in law.support:
        inside = x[(x >= low) & (x <= high)]
        assert inside[1] - low < 1e-5 * (high - low)
    assert y[kept].max() < ax.get_ylim()[1] < 1.3 * y[kept].max()
    assert ax.get_title() == "three"
    ax.figure.canvas.draw()


def test_density_at_given_points():
    law, x = fh.semicircle(), [2.5, 0.0, -1.0]
    drawn = fh.plot.density(law, x).lines[0]
    np.testing.assert_array_equal(drawn.get_xdata(), [-1.0, 0.0, 2.5])
    np.testing.assert_array_equal(drawn.get_ydata(), law.pdf([-1.0, 0.0, 2.5]))


@pytest.mark.parametrize("ratio", [1.0, 0.999])
def test_hard_edge_does_not_set_the_scale(ratio):
    law = fh.marchenko_pastur(ratio)
    ax = fh.plot.density(law)
    top = ax.get_ylim()[1]
    assert 1.0 < top < 5.0
    assert np.nanmax(ax.lines[0].get_ydata()) > 10 * top  # the line leaves at the top
    ax.figure.canvas.draw()


def test_histogram_has_the_mass_of_the_continuous_part():
    rng = np.random.default_rng(0)
    eigenvalues = np.concatenate(
        (1e-14 * rng.standard_normal(500), fh.marchenko_pastur(0.5).rvs(500, rng=rng))
    )
    law = fh.marchenko_pastur(2.0)  # an atom of mass 1/2 at 0; the Gram law twice as wide
    eigenvalues[500:] *= 2.0
    ax = fh.plot.density(law, sample=eigenvalues)
    heights, edges = stairs(ax)
    assert np.dot(heights, np.diff(edges)) == pytest.approx(0.5, abs=1e-12)
    assert heights.max() < 1.5 * np.nanmax(ax.lines[0].get_ydata())
    assert np.isin(law.support, edges).all()
    assert ax.texts[0].get_text() == "mass 0.5"
    shares = [
        c.get_offsets() for c in ax.collections[1:]
    ]  # after the stem: the law's dot, the sample's circle
    np.testing.assert_allclose(np.concatenate(shares), [[0.0, 0.5], [0.0, 0.5]], atol=1e-12)


def test_bins():
    law = fh.sample_covariance(fh.Spectrum([1, 100]), 0.01)
    sample = law.rvs(300, rng=0)
    for bins in (None, 20):
        heights, edges = stairs(fh.plot.density(law, sample=sample, bins=bins))
        assert np.isin(law.support, edges).all()
        assert all(np.count_nonzero((edges > a) & (edges < b)) >= 7 for a, b in law.support)
        assert np.dot(heights, np.diff(edges)) == pytest.approx(1.0)
    heights, edges = stairs(fh.plot.density(law, sample=sample, bins=[0.5, 1.5, 50.0]))
    np.testing.assert_array_equal(edges, [0.5, 1.5, 50.0])
    np.testing.assert_allclose(heights, [np.mean(sample < 1.5), 0.0])


def test_outliers_are_in_the_histogram():
    law = fh.marchenko_pastur(0.5)
    ax = fh.plot.density(law, sample=np.append(law.rvs(99, rng=0), [1e6]))
    heights, edges = stairs(ax)
    assert np.dot(heights, np.diff(edges)) == pytest.approx(1.0)
    assert ax.get_xlim()[1] > 1e6
    assert edges.size < 2000


def test_several_laws_on_one_axes():
    ax = fh.plot.density(fh.marchenko_pastur(0.1), label="c = 0.1")
    top = ax.get_ylim()[1]
    assert fh.plot.density(fh.marchenko_pastur(0.5), label="c = 0.5", ax=ax) is ax
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    assert ax.get_ylim()[1] == top
    assert ax.get_xlim()[1] > fh.marchenko_pastur(0.5).support[0, 1]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["c = 0.1", "c = 0.5"]


def test_any_object_with_support_atoms_and_pdf():
    flat = SimpleNamespace(
        support=[(0.0, 2.0)], atoms=[(3.0, 0.2)], pdf=lambda x: np.where((x >= 0) & (x <= 2), 0.4, 0)
    )
    ax = fh.plot.density(flat, sample=np.array([0.5, 1.5, 3.0]))
    assert 0.4 < ax.get_ylim()[1] < 2.0
    heights, edges = stairs(ax)
    assert np.dot(heights, np.diff(edges)) == pytest.approx(2 / 3)
    with pytest.raises(TypeError, match="law must have support"):
        fh.plot.density(np.ones(3))


def test_atoms_alone():
    law = fh.Law(fh.Spectrum([1.0, 2.0]))
    ax = fh.plot.density(law, sample=[1.0, 2.0, 2.0])
    assert [t.get_text() for t in ax.texts] == ["mass 0.5", "mass 0.5"]
    assert not ax.patches
    ax = fh.plot.density(law, sample=[1.0, 1.2, 1.8, 2.0])
    heights, edges = stairs(ax)
    assert np.dot(heights, np.diff(edges)) == pytest.approx(0.5)
    fh.plot.density(fh.Law(fh.Spectrum([0.0]))).figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sample": []}, "sample must not be empty"),
        ({"sample": [1.0, np.nan]}, "sample must be finite"),
        ({"x": [np.inf]}, "x must be finite"),
        ({"bins": 0}, "bins must be an integer >= 1"),
        ({"bins": 10**6}, "at most 10000"),
        ({"bins": [1.0]}, "bins must be a number, or"),
        ({"bins": [2.0, 1.0]}, "bins must be a number, or"),
    ],
)
def test_density_arguments(options, reason):
    with pytest.raises(ValueError, match=reason):
        fh.plot.density(fh.semicircle(), **options)
