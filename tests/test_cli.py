"""The command, called as a user would."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import fasthde
from fasthde import _cli_law
from fasthde.cli import main


def run(capsys, *arguments):
    try:
        code = main(list(arguments))
    except SystemExit as stop:  # argparse
        code = stop.code
    output = capsys.readouterr()
    return code, output.out, output.err


def test_version_and_info(capsys):
    assert run(capsys, "--version") == (0, f"fasthde {fasthde.__version__}\n", "")
    code, out, _ = run(capsys, "info")
    assert code == 0
    for word in ("fasthde", "numba", "numpy", "threads", "cache"):
        assert word in out


def test_curve_without_arguments_runs_on_digits(capsys):
    code, out, err = run(capsys, "curve")
    assert (code, err) == (0, "")
    assert "digits" in out
    lines = [line.split() for line in out.splitlines() if line[:1] == " " and "e-05" in line]
    test = np.array([float(line[4]) for line in lines])
    peak = test.argmax()
    assert 0 < peak < test.size - 1  # double descent is visible on the default ridges
    assert test[peak] > 5 * max(test[0], test[-1])
    assert "carry a caution" in out


def test_curve_writes_table_and_picture(capsys, tmp_path):
    out, png = tmp_path / "c.csv", tmp_path / "c.png"
    options = ["--data", "diabetes", "--n", "30:200:4", "--lam", "0,1e-2", "--check", "5"]
    code, _, _ = run(capsys, "curve", *options, "--out", str(out), "--plot", str(png))
    assert code == 0
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(r["n"]) for r in rows[::2]] == [30, 56, 106, 200]
    for row in rows:
        assert float(row["test"]) == pytest.approx(float(row["excess"]) + float(row["noise"]), rel=1e-12)
        assert float(row["measured_test_se"]) > 0
        assert row["status"] == "CONVERGED"
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.csv", "c.png"]


def test_units(capsys, tmp_path):
    rng = np.random.default_rng(0)
    X = 7.0 * rng.standard_normal((500, 25))
    np.savez(tmp_path / "d.npz", X=X, y=X[:, 0] + rng.standard_normal(500))
    arguments = ["curve", "--data", str(tmp_path / "d.npz"), "--n", "100,200", "--check", "0"]
    out = [tmp_path / "unit.csv", tmp_path / "raw.csv"]
    _, unit, _ = run(capsys, *arguments, "--lam", "0.1", "--out", str(out[0]))
    scale = np.sqrt(X.var(axis=0, ddof=1).mean())
    _, raw, _ = run(capsys, *arguments, "--lam", str(float(0.1 * scale**2)), "--raw", "--out", str(out[1]))
    assert f"X divided by {scale:.6g}" in unit
    assert "as in the data" in raw

    y = np.load(tmp_path / "d.npz")["y"]
    tests = [
        np.array([float(row["test"]) for row in csv.DictReader(path.read_text().splitlines())])
        for path in out
    ]
    np.testing.assert_allclose(tests[0] * y.var(), tests[1], rtol=1e-9)


BAD = {
    "missing": ["--data", "absent.csv"],
    "unknown set": ["--data", "digit"],
    "suffix": ["--data", "x.xlsx"],
    "n": ["--n", "0:10:3"],
    "n text": ["--n", "many"],
    "n order": ["--n", "100:10:3"],
    "n infinite": ["--n", "inf"],
    "n too large": ["--n", "20:5000:3"],
    "lam": ["--lam", "-1"],
    "lam nan": ["--lam", "nan"],
    "lam text": ["--lam", "a,b"],
    "check": ["--check", "1"],
    "check text": ["--check", "ten"],
    "seed": ["--seed", "-1"],
    "n count": ["--n", "5:50:1e9"],
    "plot suffix": ["--plot", "x.txt"],
    "plot folder": ["--plot", "no/such/folder/x.png"],
    "out suffix": ["--out", "x.txt"],
    "form": ["--form", "round"],
    "target": ["--data", "diabetes", "--target", "age"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_exits_2_with_one_line(capsys, name):
    code, _, err = run(capsys, "curve", *BAD[name])
    assert code == 2
    reason = [line for line in err.splitlines() if line.startswith("fasthde")]
    assert len(reason) == 1
    assert "error:" in reason[0]
    assert "Traceback" not in err


def test_no_command(capsys):
    assert run(capsys)[0] == 2


def test_constant_target(capsys, tmp_path):
    np.savez(tmp_path / "c.npz", X=np.random.default_rng(0).standard_normal((50, 3)), y=np.ones(50))
    code, _, err = run(capsys, "curve", "--data", str(tmp_path / "c.npz"))
    assert code == 2
    assert "constant" in err


def test_existing_output_survives_a_failed_run(capsys, tmp_path, monkeypatch):
    out = tmp_path / "c.csv"
    out.write_text("precious")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    code, _, err = run(capsys, "curve", "--n", "100", "--check", "0", "--out", str(out))
    assert code == 2
    assert "disk full" in err
    assert out.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["c.csv"]


def test_unwritable_folder_is_noticed_before_the_work(capsys, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    code, out, err = run(capsys, "curve", "--out", str(tmp_path / "c.csv"))
    assert (code, out) == (2, "")
    assert "--out: cannot write beside" in err


def test_the_data_file_is_never_the_output(capsys, tmp_path):
    path = tmp_path / "d.csv"
    rows = np.random.default_rng(0).standard_normal((50, 3))
    np.savetxt(path, rows, delimiter=",", header="a,b,y", comments="")
    before = path.read_bytes()
    code, _, err = run(
        capsys, "curve", "--data", str(path), "--check", "0", "--n", "10,20", "--out", str(path)
    )
    assert code == 2
    assert "must not be the data file" in err
    assert path.read_bytes() == before


def test_few_samples_a_feature_are_named(capsys, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "few.npz", X=rng.standard_normal((60, 20)), y=rng.standard_normal(60))
    code, out, err = run(capsys, "curve", "--data", str(tmp_path / "few.npz"), "--check", "0", "--n", "30,50")
    assert (code, err) == (0, "")
    assert "caution: 60 samples for 20 features" in out


# ----------------------------------------------------------------------------------------------------- law


def read(path):
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_law_prints_what_the_law_says(capsys):
    code, out, err = run(capsys, "law", "--atoms", "1:50,3:30,10:20", "--ratio", "0.1")
    assert (code, err) == (0, "")
    law = fasthde.sample_covariance(fasthde.Spectrum([1, 3, 10], [50, 30, 20]), 0.1)
    for (low, high), mass in zip(law.support, [0.5, 0.3, 0.2], strict=True):
        line = next(line for line in out.splitlines() if f"{low:.12g}" in line).split()
        assert [float(v) for v in line[:3]] == pytest.approx([low, high, mass], rel=1e-11)
        assert float(line[3]) == pytest.approx(law.pdf(float(line[4])), rel=1e-3)
    assert f"mean {law.mean():.10g}" in out
    assert "no atoms" in out


def test_law_carries_out_operations_from_left_to_right(capsys, tmp_path):
    table = tmp_path / "l.csv"
    steps = [
        "--ratio",
        "0.5",
        "--scale",
        "0.7",
        "--shift",
        "0.3",
        "--ratio",
        "1.5",
        "--shift",
        "-1",
        "--scale",
        "2",
    ]
    code, out, _ = run(
        capsys,
        "law",
        "--atoms",
        "1,3,10",
        "--weights",
        "2,1,1",
        *steps,
        "--out",
        str(table),
        "--points",
        "80",
    )
    assert code == 0
    law = fasthde.sample_covariance(fasthde.Spectrum([1, 3, 10], weights=[2, 1, 1]), 0.5)
    law = law.scale(0.7).shift(0.3).sample_covariance(1.5).shift(-1).scale(2)
    assert str(law) in out
    assert f"atom at -2 of mass {1 / 3:.12g}" in out
    columns = read(table)
    assert list(columns) == ["x", "pdf", "cdf"]
    np.testing.assert_array_equal(columns["pdf"], law.pdf(columns["x"]))
    np.testing.assert_array_equal(columns["cdf"], law.cdf(columns["x"]))
    assert np.isin(law.support, columns["x"]).all()
    assert columns["x"].size == 80 * len(law.support) + 1
    assert (np.diff(columns["x"]) > 0).all()
    assert np.diff(columns["x"])[1] < 1e-3 * np.ptp(law.support)  # dense at the edge


def test_law_table_of_a_hard_edge(capsys, tmp_path):
    table = tmp_path / "l.csv"
    assert run(capsys, "law", "--ratio", "1", "--out", str(table))[0] == 0
    columns = read(table)
    assert columns["pdf"][0] == np.inf
    np.testing.assert_array_equal(columns["pdf"], fasthde.marchenko_pastur(1.0).pdf(columns["x"]))


def test_law_picture_and_simulation(capsys, tmp_path):
    table, png = tmp_path / "l.csv", tmp_path / "l.png"
    options = [
        "--atoms",
        "1,3,10",
        "--ratio",
        "0.5",
        "--scale",
        "0.7",
        "--shift",
        "0.3",
        "--ratio",
        "1.5",
        "--semicircle",
        "0.2",
    ]
    options += ["--simulate", "300"]
    code, out, err = run(capsys, "law", *options, "--out", str(table), "--plot", str(png))
    assert (code, err) == (0, "")
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert png.stat().st_size > 10_000
    columns = read(table)
    assert columns["simulated_cdf"][-1] == 1.0
    assert np.abs(columns["simulated_cdf"] - columns["cdf"]).max() < 8 / 300
    assert "largest difference of the cdfs" in out
    assert run(capsys, "law", *options)[1] == out[: out.index("table written")]
    assert run(capsys, "law", *options, "--seed", "1")[1] != out[: out.index("table written")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.csv", "l.png"]


CHAINS = [
    [("ratio", 0.05)],
    [("ratio", 1.0)],
    [("ratio", 3.0), ("shift", 2.0)],
    [("semicircle", 0.5), ("scale", 2.0)],
    [("ratio", 2.0), ("ratio", 0.5)],
    [("ratio", 2.0), ("shift", 1.0), ("ratio", 1.5), ("semicircle", 0.3)],
]


def test_kolmogorov_sees_both_sides_of_an_atom():
    law, p = fasthde.marchenko_pastur(2.0), 1000
    quantiles = np.sort(law.ppf((np.arange(p) + 0.5) / p))
    assert _cli_law._kolmogorov(law, quantiles) == pytest.approx(0.5 / p, rel=1e-9)
    quantiles[:300] = -1.0
    assert _cli_law._kolmogorov(law, quantiles) == pytest.approx(0.3, rel=1e-9)


BAD_LAW = {
    "no operation": ([], "--ratio or --semicircle"),
    "only scaled": (["--scale", "2"], "--ratio or --semicircle"),
    "ratio zero": (["--ratio", "0"], "must be > 0"),
    "ratio negative": (["--ratio", "-1e-3"], "must be > 0"),
    "ratio text": (["--ratio", "half"], "must be a number"),
    "ratio nan": (["--ratio", "nan"], "must be finite"),
    "ratio extreme": (["--ratio", "1e-30"], "from 1e-8"),
    "atoms negative": (["--ratio", "1", "--atoms", "-1,2"], "eigenvalues must be finite and >= 0"),
    "atoms zero": (["--ratio", "1", "--atoms", "0,0"], "not zero"),
    "atoms text": (["--ratio", "1", "--atoms", "1,,3"], "numbers separated by commas"),
    "atoms colons": (["--ratio", "1", "--atoms", "1:2:3"], "numbers separated by commas"),
    "atoms infinite": (["--ratio", "1", "--atoms", "inf"], "finite"),
    "atoms enormous": (["--ratio", "1", "--atoms", "1e200"], "must lie between 1e-90"),
    "multiplicities": (["--ratio", "1", "--atoms", "1:0,2:0"], "not all 0"),
    "weights": (["--ratio", "1", "--atoms", "1,2", "--weights", "1"], "--weights must have one entry"),
    "weights negative": (["--ratio", "1", "--atoms", "1,2", "--weights", "-1,2"], "weights must be finite"),
    "both": (["--ratio", "1", "--atoms", "1:1,2:3", "--weights", "1,2"], "not both"),
    "scale": (["--ratio", "1", "--scale", "0"], "must be > 0"),
    "shift": (["--ratio", "1", "--shift", "inf"], "must be finite"),
    "semicircle": (["--ratio", "1", "--semicircle", "-1"], "must be > 0"),
    "indefinite": (["--ratio", "1", "--shift", "-1", "--ratio", "1"], "positive semidefinite"),
    "points": (["--ratio", "1", "--points", "1"], "from 2 to"),
    "simulate small": (["--ratio", "1", "--simulate", "3"], "from 10 to"),
    "simulate text": (["--ratio", "1", "--simulate", "1e3"], "whole number"),
    "simulate large": (["--ratio", "1", "--simulate", "900000"], "GB"),
    "simulate levels": (
        ["--ratio", "1", "--simulate", "10", "--atoms", ",".join(map(str, range(1, 13)))],
        "--simulate must be at least the number of levels, 12",
    ),
    "simulate no sample": (["--ratio", "500", "--simulate", "20"], "leaves no sample"),
    "seed": (["--ratio", "1", "--seed", "-1"], "--seed"),
    "plot suffix": (["--ratio", "1", "--plot", "x.txt"], "--plot must end in"),
    "out folder": (["--ratio", "1", "--out", "no/such/folder/x.csv"], "does not exist"),
}


@pytest.mark.parametrize("name", BAD_LAW)
def test_bad_law_exits_2_with_one_line(capsys, name):
    arguments, reason = BAD_LAW[name]
    code, out, err = run(capsys, "law", *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("fasthde")
    assert "error:" in err
    assert reason in err


def test_law_output_that_is_no_file(capsys, tmp_path):
    (tmp_path / "d.csv").mkdir()
    code, out, err = run(capsys, "law", "--ratio", "1", "--out", str(tmp_path / "d.csv"))
    assert (code, out) == (2, "")
    assert "is a directory or a device" in err


def test_module_entry_point_closed_pipe():
    """`fasthde curve | head -1` ends quietly."""
    code = f"{sys.executable} -m fasthde.cli curve --n 100,200 --check 0 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {code}"], capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr
