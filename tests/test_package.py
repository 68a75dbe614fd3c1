"""The package's face: names, laziness, version."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fasthde as fh

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", fh.__all__)
def test_public_names(name):
    value = getattr(fh, name)
    assert value is getattr(fh, name)
    assert value.__doc__, "public names are documented"


def test_names_that_callers_rely_on():
    promised = {
        "Spectrum", "LinearProblem", "ridge", "optimal_ridge", "convert_ridge", "check", "warmup", "Status",
        "ValidityWarning",
    }  # fmt: skip
    assert promised <= set(fh.__all__)
    namespace: dict = {}
    exec("from fasthde import *", namespace)
    assert set(fh.__all__) <= set(namespace)


def test_dir():
    assert set(fh.__all__) <= set(dir(fh))
    assert "__version__" in dir(fh)


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="module 'fasthde' has no attribute 'rigde'"):
        fh.rigde
    assert not hasattr(fh, "numba")


def test_version():
    with open(ROOT / "pyproject.toml", "rb") as file:
        assert tomllib.load(file)["project"]["version"] == fh.__version__


def test_py_typed():
    assert (Path(fh.__file__).parent / "py.typed").is_file()


def test_import_is_light():
    """`import fasthde` and `dir(fasthde)` load neither numba nor scipy nor NumPy's users."""
    heavy = "{'numba', 'llvmlite', 'scipy', 'matplotlib', 'sklearn', 'pandas', 'numpy'}"
    code = f"import sys, fasthde; dir(fasthde); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_only_jit_imports_numba():
    for path in (ROOT / "fasthde").rglob("*.py"):
        if path.name != "_jit.py":
            text = path.read_text()
            assert "import numba" not in text, path
            assert "from numba" not in text, path
