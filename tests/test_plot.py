"""Pictures hold what they were given."""

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
