"""Workloads, references and clocks shared by the benchmarks.

asv imports every module here only to list it, so nothing but NumPy is imported at the top.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np

SEED = 20240229
NOISE = 0.01
RATIOS, RIDGES = 200, 50
GRID = RATIOS * RIDGES

#: Points of the L1 grid on which the brentq loop is timed; the time is scaled by GRID/BRENTQ_POINTS.
BRENTQ_POINTS = 200

#: find_root works on chunks of CHUNK points; CHUNKS of the GRID/CHUNK are timed, the time is scaled.
CHUNK, CHUNKS = 200, 10


# ----------------------------------------------------------------------------------------------- workloads


@lru_cache(maxsize=2)
def population(p):
    """Eigenvalues ``i**-1.5`` and squared coefficients ``(i**-1.1)**2`` for i = 1..p."""
    i = np.arange(1, p + 1, dtype=np.float64)
    return i**-1.5, i**-2.2


def package():
    """Import fasthde; its remarks on small systems are of no interest to a clock."""
    import fasthde as fh

    warnings.simplefilter("ignore", fh.ValidityWarning)
    return fh


def problem(p, **norms):
    """A new linear problem, with nothing compressed yet."""
    fh = package()
    t, b = population(p)
    return fh.LinearProblem(fh.Spectrum(t), b, NOISE, **norms)


def norms(count=50):
    """Log-normal squared sample norms, in ascending order."""
    return np.sort(np.random.default_rng(SEED).lognormal(sigma=0.5, size=count))


def grid(p, ratios=RATIOS, ridges=RIDGES):
    """Sample sizes, shape (ratios, 1), for p/n in [.05, 20], and ridges in [1e-10, 1], shape (ridges,)."""
    return p / np.geomspace(0.05, 20.0, ratios)[:, None], np.geomspace(1e-10, 1.0, ridges)


@lru_cache(maxsize=1)
def points(p):
    """The grid as two flat arrays, in row-major order: 50 ridges for each ratio."""
    n, lam = np.broadcast_arrays(*grid(p))
    return n.ravel(), lam.ravel()


# ---------------------------------------------------------------------------------------------- references


def brentq_subset():
    """Indices of the points on which the brentq loop is timed."""
    return np.sort(np.random.default_rng(SEED).choice(GRID, BRENTQ_POINTS, replace=False))


def brentq_loop(p, index):
    """kappa, and nothing else, point by point: a plain NumPy residual in ``scipy.optimize.brentq``.

    The bracket is [lam, lam + tr C/n]. xtol is the smallest normal number, so that rtol (4 eps, the least
    that brentq accepts) decides: kappa goes down to 1e-10.
    """
    from scipy.optimize import brentq

    t = population(p)[0]
    trace = float(t.sum())
    n, lam = (a[index].tolist() for a in points(p))

    def residual(kappa, n, lam):
        return lam / kappa + np.sum(t / (t + kappa)) / n - 1.0

    rtol, xtol = 4 * np.finfo(float).eps, np.finfo(float).tiny
    return [
        brentq(residual, ll, ll + trace / nn, args=(nn, ll), xtol=xtol, rtol=rtol)
        for nn, ll in zip(n, lam, strict=True)
    ]


def find_root_subset():
    """Numbers of the chunks on which find_root is timed."""
    return np.sort(np.random.default_rng(SEED).choice(GRID // CHUNK, CHUNKS, replace=False))


def find_root_chunks(p, chunks):
    """kappa, and nothing else, by ``scipy.optimize.elementwise.find_root`` with its default tolerances.

    The vectorised residual works on (points of the chunk not yet solved, p) arrays.
    """
    from scipy.optimize.elementwise import find_root

    t = population(p)[0]
    trace = t.sum()
    n, lam = (a.reshape(-1, CHUNK) for a in points(p))

    def residual(kappa, n, lam):
        return lam / kappa + np.sum(t / (t + kappa[:, None]), axis=1) / n - 1.0

    return [find_root(residual, (lam[j], lam[j] + trace / n[j]), args=(n[j], lam[j])).x for j in chunks]


# -------------------------------------------------------------------------------------------------- clocks


def settle_allocator():
    """Put malloc in the state that favours the references: free one block of 16 MB.

    glibc then keeps the temporaries of find_root (1.6 MB each) on its heap, where a fresh process maps new
    pages for every one of them: find_root takes .39 s for L1 after this call and .85 s before it. Whether an
    earlier line of a program happened to do the same must not decide a ratio.
    """
    block = np.ones(1 << 21)
    del block


def seconds(function):
    """Duration of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def least(function, repeats=20):
    """Least duration of several calls, after one that is not counted."""
    function()
    return min(seconds(function) for _ in range(repeats))


def interleaved(functions, repeats=7, budget=0.02):
    """Least duration of each of several functions, which take turns: a slow spell hits them all.

    Parameters
    ----------
    functions : dict of callables
    repeats : int
        Turns.
    budget : float
        Seconds for further calls of a function in its turn: the first one of a short function also refills
        the caches that the others emptied.
    """
    calls = {name: 1 + int(budget / max(seconds(function), 1e-4)) for name, function in functions.items()}
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name] += [seconds(function) for _ in range(calls[name])]
    return {name: min(values) for name, values in times.items()}


# -------------------------------------------------------------------------------------------------- memory


def result_bytes(result):
    """Memory behind the fields of a result: each buffer once, a broadcast view as what it views."""
    owners = {}
    for name in result._names():
        array = getattr(result, name)
        if name == "levels" or not isinstance(array, np.ndarray):
            continue  # levels belongs to the problem
        while isinstance(array.base, np.ndarray):
            array = array.base
        owners[id(array)] = array.nbytes
    return sum(owners.values())


def _resident():
    """Bytes (now, at the peak) of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # a child's ru_maxrss starts from its parent's on Linux; VmHWM is the process's own
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return tuple(1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, peak


def memory_over_results(function):
    """Bytes at the peak of a call above those before it, less the bytes of its result; and the latter."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that glibc still holds would hide part of the result
    # forget the peak of the preparation; where that is not possible the figure is an upper bound
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = _resident()[0]
    result = function()
    return _resident()[1] - before - result_bytes(result), result_bytes(result)
