"""The command, called as a user would."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import fasthde
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


def test_module_entry_point_closed_pipe():
    """`fasthde curve | head -1` ends quietly."""
    code = f"{sys.executable} -m fasthde.cli curve --n 100,200 --check 0 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {code}"], capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr
