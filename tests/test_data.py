"""Bundled data sets and files, and the error each bad file gets."""

import pickle
import sys

import numpy as np
import pytest

import fasthde as fh
from fasthde import data

X = np.arange(24.0).reshape(8, 3) ** 1.3
Y = np.arange(8.0)


def test_digits_targets():
    parity = data.load("digits")
    assert parity.X.shape == (1797, 64)
    assert set(np.unique(parity.y)) == {-1.0, 1.0}
    assert data.load("digits", "at-least-5").y.mean() != parity.y.mean()
    assert (data.load("digits", 3).y == 1).sum() == 183
    with pytest.raises(ValueError, match="parity, at-least-5 or a digit"):
        data.load("digits", "ten")


def test_patches_are_cut_from_the_photographs():
    from sklearn.datasets import load_sample_images

    patches = data.load("patches")
    assert patches.X.shape == (32136, 256)
    grey = load_sample_images().images[0].astype(float).mean(axis=2)
    row, column = 103 - 1, 156 - 1  # the last patch of the first photograph
    index = row * 156 + column
    np.testing.assert_array_equal(
        patches.X[index].reshape(16, 16), grey[4 * row : 4 * row + 16, 4 * column : 4 * column + 16]
    )
    assert patches.y[index] == grey[4 * row + 8, 4 * column + 16]


def test_diabetes():
    diabetes = data.load("diabetes")
    assert diabetes.X.shape == (442, 10)
    with pytest.raises(ValueError, match="fixed one"):
        data.load("diabetes", "age")


def test_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"fasthde\[data\]"):
        data.load("digits")


def write(tmp_path, kind):
    path = tmp_path / f"table.{kind}"
    table = np.column_stack([X, Y])
    if kind == "npz":
        np.savez(path, X=X, y=Y)
    elif kind == "npy":
        np.save(path, table)
    elif kind == "csv":
        np.savetxt(path, table, delimiter=",", header="a,b,c,target", comments="")
    else:
        pd = pytest.importorskip("pandas")
        pd.DataFrame(table, columns=["a", "b", "c", "target"]).to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["npz", "npy", "csv", "parquet"])
def test_files_round_trip(tmp_path, kind):
    loaded = data.load(write(tmp_path, kind))
    np.testing.assert_allclose(loaded.X, X, rtol=1e-15)
    np.testing.assert_allclose(loaded.y, Y, rtol=1e-15)
    assert not loaded.X.flags.writeable


@pytest.mark.parametrize("kind", ["npy", "csv", "parquet"])
def test_target_by_number(tmp_path, kind):
    loaded = data.load(write(tmp_path, kind), 0)
    np.testing.assert_allclose(loaded.y, X[:, 0], rtol=1e-15)
    np.testing.assert_allclose(loaded.X[:, -1], Y, rtol=1e-15)
    np.testing.assert_array_equal(data.load(write(tmp_path, kind), "-1").y, Y)
    with pytest.raises(ValueError, match="below 4"):
        data.load(write(tmp_path, kind), 4)


def test_target_by_name(tmp_path):
    assert data.load(write(tmp_path, "csv"), "b").target == "b"
    (tmp_path / "twice.csv").write_text("a,a,y\n1,2,3\n4,5,6\n")
    with pytest.raises(ValueError, match="2 are named 'a'"):
        data.load(tmp_path / "twice.csv", "a")
    with pytest.raises(ValueError, match="columns: a, b, c, target"):
        data.load(write(tmp_path, "csv"), "price")
    np.savez(tmp_path / "two.npz", X=X, price=Y)
    assert data.load(tmp_path / "two.npz", "price").target == "price"
    with pytest.raises(ValueError, match="must hold arrays X and y; it holds X, price"):
        data.load(tmp_path / "two.npz")


@pytest.mark.parametrize(
    "text",
    [
        "1;2;3\n4;5;6\n7;8;9\n",
        "\ufeffa\tb\tc\n1\t2\t3\n4\t5\t6\n7\t8\t9\n",
        '"a","b","c"\n1,2,3\n4,5,6\n7,8,9\n',
    ],
)
def test_csv_dialects(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    loaded = data.load(path)
    np.testing.assert_array_equal(loaded.y, [3, 6, 9])
    np.testing.assert_array_equal(loaded.X, [[1, 2], [4, 5], [7, 8]])


BAD = {
    "empty.csv": (b"", "holds no rows"),
    "header_only.csv": (b"a,b\n", "holds no rows"),
    "short_header.csv": (b"a,b\n1,2,3\n4,5,6\n", "names 2 columns but has 3"),
    "index.csv": (b",a,b\n0,1,2\n1,3,4\n", "index=False"),
    "numbers_for_names.csv": (b"0,1,2\n1.5,2.5,3.5\n4,5,6\n", "begins with the row 0, 1"),
    "mixed_header.csv": (b"1,NA,3\n4,5,6\n7,8,9\n", "numbers and text"),
    "hash.csv": (b"a,b\n1,2\n#3,4\n", "numbers only"),
    "comment.csv": (b"# made by hand\n1,2\n3,4\n", "names 1 columns but has 2"),
    "long_field.csv": (b'"' + b"a" * 140_000 + b'",b\n1,2\n', "cannot be read as .csv"),
    "damaged_header.npy": (b"\x93NUMPY\x01\x00\x88\x13{'descr': " + b"(" * 4991, "cannot be read as .npy"),
    "words.csv": (b"a,b\n1,red\n2,blue\n", "numbers only"),
    "gap.csv": (b"a,b\n1,2\n,3\n", "numbers only"),
    "ragged.csv": (b"1,2,3\n4,5\n", "numbers only"),
    "binary.csv": (bytes(range(128, 256)) * 9, "not text"),
    "one_column.csv": (b"a\n1\n2\n", "two columns"),
    "nan.csv": (b"a,b\n1,2\nnan,3\n", "X must be finite"),
    "inf.csv": (b"a,b\n1,inf\n2,3\n", "y must be finite"),
    "text.npy": (b"hello, this is no array", "cannot be read as .npy"),
    "text.npz": (b"hello, this is no archive", "cannot be read as .npz"),
    "empty.npy": (b"", "cannot be read as .npy"),
    "text.parquet": (b"hello", "cannot be read as .parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, name):
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        data.load(tmp_path / name)
    assert "\n" not in str(error.value)


def test_truncated_files(tmp_path):
    for kind in ("npz", "npy", "parquet"):
        path = write(tmp_path, kind)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(ValueError, match="cannot be read"):
            data.load(path)


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "evil.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="never loaded"):
        data.load(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="never loaded"):
        data.load(path)
    np.savez(tmp_path / "evil.npz", X=np.array([{}], dtype=object), y=Y)
    with pytest.raises(ValueError, match="cannot be read"):
        data.load(tmp_path / "evil.npz")


def test_what_is_no_data_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        data.load(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="must be one of digits"):
        data.load("digit")
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        data.load(tmp_path / "x.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="directory"):
        data.load(tmp_path / "folder.csv")
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="not an npz"):
        data.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", X=X, y=Y)
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    with pytest.raises(ValueError, match="is an npz"):
        data.load(tmp_path / "b.npy")


def test_wrong_arrays(tmp_path):
    for name, arrays, reason in [
        ("short", {"X": X, "y": Y[:-1]}, "one entry for each of the 8"),
        ("flat", {"X": Y, "y": Y}, r"2 dimension\(s\)"),
        ("empty", {"X": np.empty((0, 3)), "y": np.empty(0)}, "not be empty"),
        ("two", {"X": X, "y": X}, "one target"),
    ]:
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(ValueError, match=reason):
            data.load(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "words.npz", X=X, y=np.array(list("abcdefgh")))
    with pytest.raises(TypeError, match="real numbers"):
        data.load(tmp_path / "words.npz")
    np.savez(tmp_path / "column.npz", X=X, y=Y[:, None])
    assert data.load(tmp_path / "column.npz").y.shape == (8,)


def test_non_numeric_parquet(tmp_path):
    pd = pytest.importorskip("pandas")
    pd.DataFrame({"a": [1.0, 2.0], "colour": ["red", "blue"]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(ValueError, match="not numeric: colour"):
        data.load(tmp_path / "c.parquet")


def test_dataset_is_a_record(tmp_path):
    digits = fh.data.load("digits")
    digits.save(tmp_path / "d.npz")
    assert type(digits).load(tmp_path / "d.npz") == digits
    assert "1797 samples x 64 features" in repr(digits)
