"""Compilation policy: cache, flags, threads, forks. Everything runs in processes of its own, on copies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.common import EPS

ROOT = Path(__file__).parents[1]

#: A problem whose numbers every process must agree on: prints them in full.
NUMBERS = """
import warnings
import numpy as np, fasthde as fh
def numbers(threads=1):
    H = fh.Spectrum.power_law(60, 1.0)
    problem = fh.LinearProblem(H, 1.0, [0.1, 0.3], norms=[0.5, 1.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fh.ValidityWarning)
        r = fh.ridge(problem, [30.0, 61.0, 200.0], [[1.0], [1e-3], [0.0]], test_spectrum=H, threads=threads)
        best = fh.optimal_ridge(problem, [40.0, 90.0], threads=threads)
    return [float(v).hex() for a in (r.test, r.train, r.kappa, best.lam) for v in np.ravel(a)]
"""


def environment(**changes: object) -> dict[str, str]:
    """This process's environment without numba's settings and without pytest's, plus the changes."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PYTEST_", "OMP_"))}
    return {**env, **{k: str(v) for k, v in changes.items()}}


def copy_package(folder: Path) -> Path:
    """A copy of the package to import with PYTHONPATH, without its caches."""
    shutil.copytree(ROOT / "fasthde", folder / "fasthde", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(code: str, *arguments: object, at: Path, timeout: float = 240, **env: object) -> str:
    """Run code with warnings as errors in the folder of a copy; its output."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    env = environment(PYTHONPATH=at, **env)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=at, env=env, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def floats(text: str) -> np.ndarray:
    return np.array([float.fromhex(word) for word in text.split()])


def assert_same_numbers(got: np.ndarray, want: np.ndarray) -> None:
    """To the last bits, which have a test of their own: test_first_and_later_processes_agree."""
    np.testing.assert_allclose(got, want, rtol=4 * EPS, atol=0)


SHOW = NUMBERS + "print(*numbers())"


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A copy that nobody edits while the tests run."""
    return copy_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def warm(package, tmp_path_factory) -> Path:
    """A cache that holds the kernels of NUMBERS, serial and parallel."""
    folder = tmp_path_factory.mktemp("warm")
    code = NUMBERS + "first = numbers(1); assert first == numbers(2); print(*first)"
    (folder / "first").write_text(run(code, at=package, NUMBA_CACHE_DIR=folder))
    return folder


@pytest.fixture(scope="module")
def want(package, warm) -> np.ndarray:
    return floats(run(SHOW, at=package, NUMBA_CACHE_DIR=warm))


@pytest.mark.parametrize("part", [slice(0, 27), slice(27, None)], ids=["ridge", "optimal_ridge"])
def test_first_and_later_processes_agree(warm, want, part):
    """The process that compiles and those that load from its cache give the same bits."""
    np.testing.assert_array_equal(floats((warm / "first").read_text())[part], want[part])


def cached(folder: Path, suffix: str = "nbc") -> list[Path]:
    return sorted(folder.rglob(f"*.{suffix}"))


# -------------------------------------------------------------------------------------------------------- cache


def test_an_edited_helper_gives_new_numbers(tmp_path):
    """optimum.py's cached function calls ridge.py's signal_sum: editing ridge.py alone must reach it."""
    copy_package(tmp_path)
    code = (
        "import fasthde as fh\n"
        f"assert fh.__file__.startswith({str(tmp_path)!r}), fh.__file__\n"
        "from fasthde._kernels import optimum\n"
        "p = fh.LinearProblem(fh.Spectrum([3.0, 1.0], 200), [1.0, 2.0], 0.3)\n"
        "r = fh.optimal_ridge(p, 500.0, threads=1); print(r.lam.hex(), r.excess.hex())\n"
        "print(sum(optimum.optimum_rows.stats.cache_hits.values()))"
    )
    cache = tmp_path / "cache"
    first = run(code, at=tmp_path, NUMBA_CACHE_DIR=cache).split()
    again = run(code, at=tmp_path, NUMBA_CACHE_DIR=cache).split()
    assert_same_numbers(floats(" ".join(again[:2])), floats(" ".join(first[:2])))
    assert (first[2], again[2]) == ("0", "1"), "the second process loads from the cache"
    before = {*cached(cache), *cached(cache, "nbi")}

    source = tmp_path / "fasthde" / "_kernels" / "ridge.py"
    head, rest = source.read_text().split("\ndef signal_sum(", 1)
    body, tail = rest.split("\n@kernel", 1)
    body, count = re.subn(r"(?m)^( +)return (.+)$", r"\1return 2.0 * (\2)", body)
    assert count >= 1
    source.write_text(f"{head}\ndef signal_sum({body}\n@kernel{tail}")
    edited = run(code, at=tmp_path, NUMBA_CACHE_DIR=cache).split()
    assert edited[2] == "0"
    for old, new in zip(floats(" ".join(first[:2])), floats(" ".join(edited[:2])), strict=True):
        assert abs(new / old - 1) > 1e-3, "optimum.py's kernel still uses the old helper"
    after = {*cached(cache), *cached(cache, "nbi")}
    assert after
    assert not before & after, "files of the old stamp are deleted"


@pytest.mark.parametrize("damage", ["truncated code", "truncated index", "garbage"])
def test_damaged_cache_files_are_recompiled(package, warm, want, tmp_path, damage):
    folder = tmp_path / "cache"
    shutil.copytree(warm, folder)
    suffix = "nbi" if damage == "truncated index" else "nbc"
    victims = [path for path in cached(folder, suffix) if "ridge_rows" in path.name]
    assert victims
    for path in victims:
        path.write_bytes(b"\0garbage" * 99 if damage == "garbage" else path.read_bytes()[:100])
    assert_same_numbers(floats(run(SHOW, at=package, NUMBA_CACHE_DIR=folder)), want)
    code = (
        SHOW + "\nfrom fasthde._kernels import ridge; print(sum(ridge.ridge_rows.stats.cache_hits.values()))"
    )
    assert int(run(code, at=package, NUMBA_CACHE_DIR=folder).split()[-1]) >= 1, (
        "repaired for the next process"
    )


def test_the_stamp_carries_the_compiler_settings(package):
    code = "from fasthde import _jit; print(_jit.STAMP)"
    settings: tuple[dict, ...] = ({}, {}, {"NUMBA_BOUNDSCHECK": 1}, {"NUMBA_OPT": 0}, {"NUMBA_DEBUGINFO": 1})
    stamps = [run(code, at=package, **env) for env in settings]
    assert stamps[0] == stamps[1]
    assert len(set(stamps)) == 4
    assert all(len(stamp) == 12 for stamp in stamps)


def test_boundscheck_runs_right(package, want, tmp_path):
    """Nothing reads outside an array; a cache of its own."""
    got = floats(run(SHOW, at=package, NUMBA_BOUNDSCHECK=1, NUMBA_CACHE_DIR=tmp_path))
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_without_jit(package, want):
    """Python itself runs the kernels, with warnings as errors."""
    code = NUMBERS + "print(*numbers(), *numbers(2))"
    got = floats(run(code, at=package, NUMBA_DISABLE_JIT=1))
    np.testing.assert_allclose(got, np.tile(want, 2), rtol=1e-13)


def test_without_jit_at_the_threshold_and_warmup(package):
    code = (
        "import fasthde as fh; from fasthde import _jit\n"
        "fh.warmup(); assert _jit.cache_info()['files'] == 0, _jit.cache_info()\n"
        "p = fh.LinearProblem(fh.Spectrum.isotropic(100), 1.0, 0.1)\n"
        "print(fh.ridge(p, 100, 0.0).status.name)"
    )
    assert run(code, at=package, NUMBA_DISABLE_JIT=1) == "DIVERGES"


def test_warmup_and_cache_info(package, tmp_path):
    code = (
        "from fasthde import _jit; import fasthde as fh\n"
        "print(_jit.cache_info()['files']); fh.warmup(); info = _jit.cache_info()\n"
        f"assert info['stamp'] == _jit.STAMP and info['path'].startswith(r'{tmp_path}'), info\n"
        "print(info['files'])\n"
    )
    # after warmup no call compiles anything new
    code += NUMBERS + (
        "from fasthde._kernels import chain, fixed_point, optimum, quadrature, ridge, series\n"
        "modules = chain, fixed_point, optimum, quadrature, ridge, series\n"
        "found = {n: d for m in modules for n, d in vars(m).items() if hasattr(d, 'signatures')}\n"
        "count = lambda: {n: len(d.signatures) for n, d in found.items()}\n"
        "before = count(); numbers(1); numbers(2)\n"
        "fh.ridge(fh.LinearProblem(fh.Spectrum.isotropic(100), 1.0, 0.1), 50, 1)\n"
        "fh.Spectrum.power_law(10000, 1.5).compress()\n"
        "import numpy as np; x = np.random.default_rng(0).standard_normal((300, 4))\n"
        "fh.LinearProblem.from_data(x, x[:, 0])\n"
        "law = fh.sample_covariance(fh.Spectrum([1, 3, 10]), 1.0).scale(2).companion().add_semicircle(0.1)\n"
        "law = law.shift(1.0).add_compound_poisson(0.5, [1.0, 2.0]).corner(0.5)\n"
        "law.cdf([1.0, 2.0]); law.ppf([0.1, 0.9]); law.stieltjes([1j, 2.0]); law.stieltjes(-30.0); law.atoms\n"
        "law.expect(np.cos); law.pdf_near_edge(0, 1e-9)\n"
        "laws = fh.batch([fh.Spectrum([1.0, 0.0]), fh.Spectrum([3.0])], [0.5, 2.0])\n"
        "laws.cdf([0.5]); laws.stieltjes([-1.0])\n"
        "assert count() == before, (before, count())\n"
    )
    before, after = map(int, run(code, at=package, NUMBA_CACHE_DIR=tmp_path).split())
    assert before == 0
    assert after >= 20


@pytest.mark.slow
def test_eight_processes_on_an_empty_cache(package, want, tmp_path):
    command = [sys.executable, "-W", "error", "-c", SHOW]
    env = environment(NUMBA_CACHE_DIR=tmp_path, PYTHONPATH=package)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    jobs = [subprocess.Popen(command, env=env, cwd=package, **pipes) for _ in range(8)]
    outputs = [job.communicate(timeout=600) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 8, outputs
    for output, _ in outputs:
        assert_same_numbers(floats(output), want)
    assert_same_numbers(floats(run(SHOW, at=package, NUMBA_CACHE_DIR=tmp_path)), want)


# -------------------------------------------------------------------------------------------------------- flags

_ALL = """
import importlib, pkgutil
import fasthde._kernels as package
def kernels():
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"fasthde._kernels.{info.name}")
        for name, value in vars(module).items():
            if hasattr(value, "targetoptions") and value.py_func.__module__ == module.__name__:
                found[f"{info.name}.{name}"] = value
    return found
"""

_SIGNATURES = (
    NUMBERS
    + _ALL
    + """
import pickle, sys
fh.Spectrum.power_law(6000, 1.0).compress()
print(*numbers(1)); numbers(2); fh.warmup()
with open(sys.argv[1], "wb") as file:
    pickle.dump({name: d.signatures for name, d in kernels().items()}, file)
from fasthde import _jit; assert _jit.cache_info()["files"] == 0, _jit.cache_info()
"""
)

_FASTMATH_FIRST = (
    _ALL
    + """
import pickle, sys
import numba
with open(sys.argv[1], "rb") as file:
    signatures = pickle.load(file)
for name, dispatcher in kernels().items():
    assert signatures[name], f"{name} was never compiled: extend warmup"
    if dispatcher.targetoptions.get("forceinline"):  # reached by users through its callers only
        continue
    for signature in signatures[name]:
        caller = "lambda {0}: kernel({0})".format(", ".join(f"x{i}" for i in range(len(signature))))
        user = eval(caller, {"kernel": dispatcher})
        numba.njit(fastmath=True, error_model="python", boundscheck=False)(user).compile(signature)
        assert len(dispatcher.signatures) >= 1, name
"""
)

_GUARDS = (
    NUMBERS
    + """
p = fh.LinearProblem(fh.Spectrum([3.0, 1.0, 0.0], 100), 1.0, [0.1, 0.3], norms=[0.5, 1.5])
nan, inf = np.nan, np.inf
r = fh.ridge(p, [100.0, nan, -1.0, 0.0, inf, 200.0], [[0.1], [nan], [-1.0], [0.0], [inf]], threads=1)
good = np.array([True, False, False, False, True, True]) & np.array([[True], [False], [False], [True], [True]])
assert ((r.status == fh.Status.INVALID) == ~good).all(), r.status
assert (np.isnan(r.test) == ~good).all() and (np.isnan(r.kappa) == ~good).all()
assert fh.ridge(p, 200.0, 0.0).status is fh.Status.DIVERGES
assert fh.ridge(p, 100.0, inf).kappa == inf
best = fh.optimal_ridge(p, [100.0, nan, inf], threads=1)
assert best.status.tolist() == [0, 2, 4], best.status
from fasthde._kernels import optimum, ridge
assert sum(ridge.ridge_rows.stats.cache_hits.values()), "not loaded from the cache under test"
assert sum(optimum.optimum_rows.stats.cache_hits.values()), "not loaded from the cache under test"
print(*numbers())
"""
)


def test_every_kernel_states_its_flags(package):
    code = (
        _ALL
        + """
found = kernels()
assert len(found) >= 20, sorted(found)
for name, d in found.items():
    options = d.targetoptions
    missing = {"fastmath", "error_model", "nogil"} - set(options)
    assert not missing, (name, missing)
    assert options["error_model"] == "numpy" and options["nogil"] is True, (name, options)
    assert options["fastmath"] is not True, name
    assert not {"nnan", "ninf", "arcp", "afn", "fast"} & set(options["fastmath"] or ()), (name, options)
    if not options.get("parallel"):
        assert options.get("_nrt") is False, (name, options)
print(len(found))
"""
    )
    assert int(run(code, at=package)) >= 20


@pytest.mark.slow  # two minutes of compilation; the flags themselves are checked above
def test_uncached_and_a_fastmath_caller_first(package, want, tmp_path):
    """Every cache location below a regular file: right numbers, nothing written. Then, on a fresh cache, a
    user's fastmath caller compiles each kernel first; a later process must still have its NaN guards."""
    closed = copy_package(tmp_path / "closed")
    (closed / "fasthde" / "_kernels" / "__pycache__").write_text("not a folder")
    file = closed / "file"
    file.write_text("not a folder")
    places = {"NUMBA_CACHE_DIR": file / "a", "HOME": file / "b", "XDG_CACHE_HOME": file / "c"}
    uncached = run(_SIGNATURES, tmp_path / "signatures", at=closed, **places)
    assert_same_numbers(floats(uncached), want)
    assert not cached(closed)
    cache = tmp_path / "cache"
    run(_FASTMATH_FIRST, tmp_path / "signatures", at=package, NUMBA_CACHE_DIR=cache)
    assert_same_numbers(floats(run(_GUARDS, at=package, NUMBA_CACHE_DIR=cache)), want)


# ------------------------------------------------------------------------------------------------ threads, forks

_GRID = (
    NUMBERS
    + """
import threading, os, sys
problem = fh.LinearProblem(fh.Spectrum.power_law(2000, 1.1), 1.0, [0.1, 0.3], norms=[0.5, 1.5])
n, lam = np.geomspace(30, 20000, 80)[:, None], np.geomspace(1e-8, 10, 60)
def solve(threads):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fh.ValidityWarning)
        return fh.ridge(problem, n, lam, threads=threads)
"""
)

_FOUR_THREADS = (
    _GRID
    + """
serial = solve(1)
for threads in (None, 2, 3, 7):
    assert solve(threads) == serial, threads
warnings.simplefilter("ignore", fh.ValidityWarning)  # catch_warnings is not for threads
got = {}
def work(i, threads):
    for repeat in range(3):
        got[i, repeat] = fh.ridge(problem, n, lam, threads=threads)
jobs = [threading.Thread(target=work, args=(i, t)) for i, t in enumerate((None, 2, 2, 3))]
for job in jobs: job.start()
for _ in range(3):
    assert fh.ridge(problem, n, lam, threads=2) == serial  # the main thread at the same time
for job in jobs: job.join()
assert len(got) == 12 and all(r == serial for r in got.values())
import numba; print(numba.threading_layer())
"""
)


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_four_threads_at_once(package, warm, layer):
    assert (
        run(_FOUR_THREADS, at=package, NUMBA_CACHE_DIR=warm, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)
        == layer
    )


_FORKS = (
    _GRID
    + """
import multiprocessing, time
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork beside threads: that is the point
serial = solve(1)
assert solve(2) == serial  # a parallel call before the fork
def child(queue):
    queue.put([solve(t) == serial for t in (1, 2, None)])
pid = os.fork()
if pid == 0:
    good = all(solve(t) == serial for t in (1, 2, None))
    os._exit(0 if good else 3)
for _ in range(600):
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: break
    time.sleep(0.1)
assert done and status == 0, (done, status)
context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
assert queue.get(timeout=60) == [True] * 3
process.join(60)
assert process.exitcode == 0, process.exitcode
assert solve(2) == serial  # and the parent goes on
print("done")
"""
)


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_fork_after_a_parallel_call(package, warm, layer):
    assert (
        run(_FORKS, at=package, NUMBA_CACHE_DIR=warm, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)
        == "done"
    )


def test_thread_count_is_restored(package, warm):
    code = _GRID + (
        "import numba; before = numba.get_num_threads(); solve(1); solve(2); print(before, numba.get_num_threads())"
    )
    before, after = run(code, at=package, NUMBA_CACHE_DIR=warm, NUMBA_NUM_THREADS=3).split()
    assert before == after == "3"


# ------------------------------------------------------------------------------------------------------- import


def test_import_loads_neither_numba_nor_scipy(package):
    code = "import sys, fasthde; print(sorted({'numba', 'scipy', 'llvmlite'} & set(sys.modules)))"
    assert run(code, at=package) == "[]"


def test_objects_need_no_compiler(package):
    """Building a spectrum and a problem compiles nothing."""
    code = (
        "import sys, fasthde as fh; H = fh.Spectrum.power_law(100, 1.0); repr(H); H.trace\n"
        "print('numba' in sys.modules)"
    )
    assert run(code, at=package) == "False"
