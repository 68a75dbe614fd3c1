"""Real inputs: files, and the data sets that scikit-learn's wheel carries."""

from __future__ import annotations

import csv
import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze

Array = NDArray[np.float64]

BUNDLED = ("digits", "patches", "diabetes")
SUFFIXES = (".npz", ".npy", ".csv", ".parquet")


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset(Record):
    """Inputs and target of a supervised problem.

    Attributes
    ----------
    name : str
        Where it comes from.
    X : ndarray, shape (n_samples, n_features)
        Inputs.
    y : ndarray, shape (n_samples,)
        Target.
    target : str
        What y is.
    """

    name: str
    X: Array
    y: Array
    target: str

    def __repr__(self) -> str:
        return f"Dataset({self.name}: {self.X.shape[0]} samples x {self.X.shape[1]} features, target {self.target})"


def load(name: str | os.PathLike[str], target: str | int | None = None) -> Dataset:
    """Load a bundled data set, or a file.

    Parameters
    ----------
    name : str or path-like
        ``"digits"`` (1797 x 64; target ``"parity"``, ``"at-least-5"``, or one digit against the rest),
        ``"patches"`` (32 136 grey 16 x 16 patches of two photographs, stride 4, target the pixel right of the
        middle row), ``"diabetes"`` (442 x 10) -- these need scikit-learn -- or a file: .npz, .npy, .csv, .parquet.
    target : str or int, optional
        Target column of a file by name or number (default: the last; in an npz the array ``y``), or target of
        the digits.

    Returns
    -------
    Dataset
        Finite float64 arrays.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        With the reason in one line.

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.data.load("digits")
    Dataset(digits: 1797 samples x 64 features, target parity)
    """
    text = os.fspath(name)
    if text in BUNDLED:
        return _bundled(text, target)
    path = Path(text).expanduser()
    if not path.suffix and not path.exists():
        raise ValueError(
            f"data must be one of {', '.join(BUNDLED)} or a file ({', '.join(SUFFIXES)}); got {text!r}."
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"data file must end in {', '.join(SUFFIXES)}; got {text!r}. Convert it first.")
    if not path.exists():
        raise FileNotFoundError(f"data file {text!r} does not exist.")
    if path.is_dir():
        raise ValueError(f"data file {text!r} is a directory.")
    reader = {".npz": _npz, ".npy": _npy, ".csv": _csv, ".parquet": _parquet}[path.suffix.lower()]
    x, y, label = reader(path, target)
    return _dataset(text, x, y, label)


def _dataset(name: str, x: Any, y: Any, target: str) -> Dataset:
    x = check.real_array("X", x, ndim=2)
    y = check.real_array("y", y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"y must hold one target; got shape {y.shape}. Save one column of it.")
    check.not_empty("X", x)
    check.same_length("y", y, "samples (rows of X)", x.shape[0])
    hint = "Remove or impute the rows with missing values first."
    return Dataset(name, freeze(check.finite("X", x, hint)), freeze(check.finite("y", y, hint)), target)


# ------------------------------------------------------------------------------------------------- bundled


def _bundled(name: str, target: str | int | None) -> Dataset:
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            f"the data set {name!r} comes with scikit-learn, which is not installed: pip install 'fasthde[data]'."
        ) from None
    if name == "digits":
        x, digit = datasets.load_digits(return_X_y=True)
        label = "parity" if target is None else str(target)
        if label == "parity":
            y = digit % 2
        elif label == "at-least-5":
            y = digit >= 5
        elif label in set("0123456789"):
            y = digit == int(label)
        else:
            raise ValueError(f"target of digits must be parity, at-least-5 or a digit; got {label!r}.")
        return _dataset(name, x, 2.0 * y - 1.0, label)
    if target is not None:
        raise ValueError(f"target can be chosen for files and digits; {name!r} has a fixed one.")
    if name == "diabetes":
        x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
        return _dataset(name, x, y, "disease progression")
    return _dataset(name, *_patches(datasets), "next pixel")


def _patches(datasets: Any, size: int = 16, stride: int = 4) -> tuple[Array, Array]:
    """Grey patches of the photographs and the pixel to the right of each patch's middle row."""
    try:
        images = datasets.load_sample_images().images
    except ImportError:
        raise ImportError("the photographs need pillow: pip install 'fasthde[data]'.") from None
    inputs, targets = [], []
    for image in images:
        grey = np.asarray(image, np.float64).mean(axis=2)
        windows = np.lib.stride_tricks.sliding_window_view(grey, (size, size + 1))[::stride, ::stride]
        inputs.append(windows[..., :size].reshape(-1, size * size))
        targets.append(windows[..., size // 2, size].reshape(-1))
    return np.concatenate(inputs), np.concatenate(targets)


# --------------------------------------------------------------------------------------------------- files


def _read_numpy(path: Path, wanted: tuple[str, ...]) -> tuple[Any, list[str] | None]:
    """The array of an npy file and None, or a dict of an npz file's wanted arrays and all its names."""
    try:
        with path.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content, None
            return {name: content[name] for name in wanted if name in content.files}, content.files
    except MemoryError:
        raise ValueError(
            f"data file {str(path)!r} does not fit in memory, or its header is damaged."
        ) from None
    except Exception as error:  # zipfile, zlib, tokenize and NumPy each have their own
        reason = " ".join(str(error).split()) or type(error).__name__
        if "pickle" in reason:
            reason = "it is not a plain NumPy file, or holds pickled objects, which are never loaded"
        raise ValueError(f"data file {str(path)!r} cannot be read as {path.suffix}: {reason}.") from None


def _columns(table: Array, names: list[str] | None, target: str | int | None) -> tuple[Array, Array, str]:
    """Split a table into inputs and the target column."""
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(
            f"a data table needs samples in rows and at least two columns; got shape {table.shape}."
        )
    count = table.shape[1]
    if target is None:
        index = count - 1
    elif names is not None and isinstance(target, str) and names.count(target) > 1:
        raise ValueError(f"target must name one column; {names.count(target)} are named {target!r}.")
    elif names is not None and isinstance(target, str) and target in names:
        index = names.index(target)
    else:
        try:
            index = int(target)
        except (ValueError, TypeError):
            known = (
                "it has no header"
                if names is None
                else "columns: " + ", ".join(names[:12]) + (", ..." if count > 12 else "")
            )
            raise ValueError(f"target must name a column; got {target!r} ({known}).") from None
        if not -count <= index < count:
            raise ValueError(f"target must be a column number below {count}; got {index}.")
        index %= count
    return np.delete(table, index, axis=1), table[:, index], names[index] if names else f"column {index}"


def _npz(path: Path, target: str | int | None) -> tuple[Any, Any, str]:
    key = "y" if target is None else str(target)
    arrays, names = _read_numpy(path, ("X", key))
    if names is None:
        raise ValueError(f"data file {str(path)!r} is not an npz archive; rename it to .npy.")
    if "X" not in arrays or key not in arrays:
        held = ", ".join(sorted(names)) or "nothing"
        raise ValueError(f"data file {str(path)!r} must hold arrays X and {key}; it holds {held}.")
    return arrays["X"], arrays[key], key


def _npy(path: Path, target: str | int | None) -> tuple[Any, Any, str]:
    table, names = _read_numpy(path, ())
    if names is not None:
        raise ValueError(f"data file {str(path)!r} is an npz archive; rename it to .npz.")
    return _columns(check.real_array("the table", table), None, target)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv(path: Path, target: str | int | None) -> tuple[Any, Any, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            delimiter = max(",;\t", key=first.count)
            row = next(csv.reader([first], delimiter=delimiter), [])
            names = (
                None if row and all(_is_number(v) or not v.strip() for v in row) else [v.strip() for v in row]
            )
            if names is None:
                stream.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # an empty table
                table = np.loadtxt(
                    stream, delimiter=delimiter, ndmin=2, quotechar='"', comments=None, encoding="utf-8"
                )
    except csv.Error as error:
        raise ValueError(f"data file {str(path)!r} cannot be read as .csv: {error}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"data file {str(path)!r} is not text in UTF-8, so it is no .csv.") from None
    except ValueError as error:
        raise ValueError(
            f"data file {str(path)!r} must hold numbers only below its header: {' '.join(str(error).split())} "
            "Fields are separated by commas, semicolons or tabs, decimals by points; encode or drop non-numeric "
            "columns and missing values first."
        ) from None
    except UserWarning:
        table = np.empty((0, 0))
    if table.size == 0:
        raise ValueError(f"data file {str(path)!r} holds no rows.")
    _check_header(path, row, names, table.shape[1])
    return _columns(table, names, target)


def _check_header(path: Path, first: list[str], names: list[str] | None, count: int) -> None:
    """Refuse the headers with which a column would be taken for its neighbour, or an index for a feature."""
    if names is None:
        if count > 2 and [v.strip() for v in first] == [str(i) for i in range(count)]:
            raise ValueError(
                f"data file {str(path)!r} begins with the row 0, 1, ..., {count - 1}; name or drop this header."
            )
        return
    if any(_is_number(name) for name in names):
        raise ValueError(
            f"data file {str(path)!r} begins with a row of numbers and text: name every column in words, drop the "
            "row, or fill its missing values."
        )
    if len(names) != count:
        raise ValueError(
            f"data file {str(path)!r} names {len(names)} columns but has {count}; mend the header."
        )
    if "" in names:
        raise ValueError(
            f"data file {str(path)!r} has a column without a name (number {names.index('')}); name it, or drop the "
            "index it may be: DataFrame.to_csv(..., index=False)."
        )


def _parquet(path: Path, target: str | int | None) -> tuple[Any, Any, str]:
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("parquet files need pandas and pyarrow: pip install 'fasthde[data]'.") from None
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise ImportError("parquet files need pyarrow: pip install 'fasthde[data]'.") from None
    except Exception as error:  # every engine has its own classes
        raise ValueError(
            f"data file {str(path)!r} cannot be read as .parquet: {' '.join(str(error).split())[:120]}."
        ) from None
    bad = [str(c) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    if bad:
        raise ValueError(
            f"data file {str(path)!r} must hold numeric columns only; not numeric: {', '.join(bad[:6])}."
        )
    return _columns(
        frame.to_numpy(dtype=np.float64, na_value=np.nan), [str(c) for c in frame.columns], target
    )
