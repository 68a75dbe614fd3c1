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


# ------------------------------------------------------------------------------- workloads of random features

#: Points of L2, and how many of them the references solve.
FEATURE_GRID, FEATURE_POINTS = 4000, 40


@lru_cache(maxsize=1)
def feature_levels():
    """Eigenvalues, multiplicities and power of L2."""
    t = np.arange(1, 1001.0) ** -1.2
    t /= t.sum()
    tail = 0.25 - 1.0 / (2.0 * np.pi)  # E relu(xi)**2 - a_0**2 - a_1**2 = 1/2 - 1/(2 pi) - 1/4
    values = np.concatenate((t / 4.0, [tail / 1e6, 1.0 / (2.0 * np.pi)]))
    power = np.concatenate((np.arange(1, 1001.0) ** -0.8 * t, [0.0, 0.0]))
    return values, np.concatenate((np.ones(1000), [1e6, 1.0])), power


def feature_problem():
    """L2 as a KernelProblem, with noise .01."""
    fh = package()
    values, multiplicity, power = feature_levels()
    return fh.KernelProblem(fh.Spectrum(values, multiplicity), power, 0.01)


def feature_grid():
    """Widths, shape (200, 1), and ridges, shape (20,)."""
    return np.geomspace(50.0, 20000.0, 200)[:, None], np.geomspace(1e-6, 100.0, 20)


@lru_cache(maxsize=1)
def feature_subset():
    """Flat numbers of the points of L2 that the references solve."""
    return np.sort(np.random.default_rng(SEED).choice(FEATURE_GRID, FEATURE_POINTS, replace=False))


def feature_fixed_point(subset, tol=1e-9, limit=10**4):
    """The coupled equations of L2 iterated in NumPy as they are usually printed, until they stand still or too long."""
    t, k, _ = feature_levels()
    width, lam = (v.ravel()[subset] for v in np.broadcast_arrays(*feature_grid()))
    n, found = 1000.0, np.empty(subset.size)
    for i, (d, ridge) in enumerate(zip(width, n * lam / width, strict=True)):
        one, two = 1.0, 1.0
        for _ in range(limit):
            df = np.sum(k * t / (t + two))
            new = 0.5 * (one + 0.5 * ((ridge / n + one * df / n) + one))
            both = new + np.sum(k * t * two / (t + two)) / d
            moved = abs(both - two) / both + abs(new - one) / new
            one, two = new, both
            if moved < tol:
                break
        found[i] = two
    return found


def feature_brentq(subset):
    """Roots nu of L2 one by one by brentq, in its logarithm."""
    from scipy.optimize import brentq

    t, k, _ = feature_levels()
    width, lam = (v.ravel()[subset] for v in np.broadcast_arrays(*feature_grid()))

    def root(d, ridge, n=1000.0):
        m, g = min(n, d), abs(n - d)

        def miss(x):
            nu = np.exp(x)
            p = n * ridge / nu
            return np.sum(k * t / (t + nu)) + 2.0 * p / (g + np.sqrt(g * g + 4.0 * p)) - m

        return np.exp(brentq(miss, -60.0, 30.0, xtol=1e-14, rtol=1e-14))

    return np.array([root(d, ridge) for d, ridge in zip(width, lam, strict=True)])


# ------------------------------------------------------------------------------------------ workloads of laws

#: Populations with equal weights, and p/n: the workloads W1 (three levels) and W2 (a thousand).
LAWS = {
    "W1 c=.1": ((1.0, 3.0, 10.0), 0.1),
    "W1 c=.5": ((1.0, 3.0, 10.0), 0.5),
    "W2": (tuple((np.arange(1, 1001.0) ** -1.2).tolist()), 0.5),
}

#: Intervals of the support of each.
INTERVALS = {"W1 c=.1": 3, "W1 c=.5": 1, "W2": 17, "chain": 1}

#: Laws of a batch, levels of each population, and points at which each density is wanted.
BATCH, LEVELS, BATCH_POINTS = 1000, 3, 500


def spectrum(name):
    """Population of a workload; "chain" starts from that of W1."""
    return package().Spectrum(LAWS.get(name, LAWS["W1 c=.5"])[0])


def law(name, population=None):
    """A new law, with nothing prepared yet; "chain" has five steps."""
    fh = package()
    H = spectrum(name) if population is None else population
    if name != "chain":
        return fh.sample_covariance(H, LAWS[name][1])
    return fh.Law(H).sample_covariance(0.5).scale(0.7).shift(0.3).sample_covariance(1.5).add_semicircle(0.2)


def prepare(law):
    """The same law with its support and its series: a density at one point asks for both."""
    law.support  # noqa: B018
    law.pdf(0.0)
    return law


def prepared(name):
    """A law of a workload, ready for use, with the right number of intervals."""
    new = prepare(law(name))
    assert len(new.support) == INTERVALS[name], (name, len(new.support))
    return new


def midpoints(law, count=1000):
    """Midpoints of equal parts of the hull of the support."""
    a, b = law.support[0, 0], law.support[-1, 1]
    return a + (b - a) * (np.arange(count) + 0.5) / count


def transform_points(law):
    """W3: 100 midpoints of the hull at Im z = 1e-1 .. 1e-6, then 33 points -lambda; 633 complex numbers."""
    x = midpoints(law, 100)
    return np.concatenate([*(x + 1j * 10.0**-k for k in range(1, 7)), -negative_points() + 0j])


def negative_points():
    """The lambda of the last 33 points of W3: ridges from 1e-6 to 100."""
    return np.logspace(-6, 2, 33)


@lru_cache(maxsize=1)
def batch_pairs():
    """Population levels in [1, 100], a row a law, and ratios p/n in [.05, 5]: logarithmically uniform."""
    rng = np.random.default_rng(SEED)
    return 100.0 ** rng.random((BATCH, LEVELS)), 0.05 * 100.0 ** rng.random(BATCH)


def batch():
    """The laws of all pairs, new, with their supports."""
    return package().batch(*batch_pairs())


def batch_points(laws):
    """BATCH_POINTS midpoints of the hull of each law, a row a law."""
    return np.array([midpoints(_Hull(s), BATCH_POINTS) for s in laws.support])


class _Hull:
    def __init__(self, support):
        self.support = support


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


# -------------------------------------------------------------------------------------- references for laws

#: Height above the axis over the width of the hull, damping, tolerance and greatest number of the iteration.
FP_HEIGHT, FP_DAMPING, FP_TOLERANCE, FP_LIMIT = 1e-7, 0.5, 1e-8, 1000

#: Points of W2 on which the fixed point is timed; the time is scaled by 1000/FP_POINTS.
FP_POINTS = 50


def fixed_point_density(t, c, x):
    """Density of a sample covariance by the damped fixed point of the companion transform, in plain NumPy.

    ``v <- -1/(z - c mean(t/(1 + t v)))`` at z = x + i eta; converged points leave the iteration, the others
    stop at FP_LIMIT.
    """
    t = np.asarray(t, float)
    z = x + 1j * (FP_HEIGHT * (x[-1] - x[0]))
    v = -1 / z
    active = np.arange(x.size)
    for _ in range(FP_LIMIT):
        old = v[active]
        new = -1 / (z[active] - c * np.mean(t / (1 + t * old[:, None]), axis=1))
        v[active] = FP_DAMPING * new + (1 - FP_DAMPING) * old
        active = active[np.abs(new - old) > FP_TOLERANCE * np.abs(new)]
        if not active.size:
            break
    return ((v + (1 - c) / z) / c).imag / np.pi


def fixed_point_subset():
    """Numbers of the points of W2 on which the fixed point is timed."""
    return np.sort(np.random.default_rng(SEED).choice(1000, FP_POINTS, replace=False))


def roots_density(t, c, x):
    """Density of a sample covariance by ``numpy.roots``, point by point.

    ``x prod(s - t) = s (prod(s - t) + c mean_i(t_i prod_{j != i}(s - t_j)))`` has degree 4 in s for three
    levels and one root at most in the upper half-plane.
    """
    t = np.asarray(t, float)
    full = np.poly(t)
    inner = sum(t[i] * np.poly(np.delete(t, i)) for i in range(t.size)) / t.size
    right = np.append(np.polyadd(full, c * inner), 0.0)
    out = np.empty(x.size)
    for j, value in enumerate(x):
        s = np.roots(np.polysub(right, value * full))
        s = s[s.imag.argmax()]
        out[j] = np.mean(s / (t - s)).imag / (np.pi * value)
    return out


@lru_cache(maxsize=1)
def sample_matrix(p=1000):
    """Sample covariance of 2 p Gaussian samples whose population is that of W1."""
    t = np.resize(LAWS["W1 c=.5"][0], p)
    data = np.random.default_rng(SEED).standard_normal((2 * p, p)) * np.sqrt(t)
    return data.T @ data / (2 * p)


def sample_eigenvalues():
    """LAPACK's eigenvalues of one 1000 x 1000 sample covariance, on one thread: the unit of the laws."""
    with blas().limit(limits=1, user_api="blas"):
        return np.linalg.eigvalsh(sample_matrix())


@lru_cache(maxsize=1)
def blas():
    """Control of the BLAS threads; finding the libraries takes milliseconds, once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def law_calls(name):
    """The calls that a law is timed by and those of its references, checked, and factors that scale them.

    ``pdf`` is the density at 1000 points of a law ready for use, ``new`` makes the law, its support and its
    series first. Only W1 has a polynomial to solve; W2 has its fixed point timed on FP_POINTS points.
    """
    H, ready = spectrum(name), prepared(name)
    x = midpoints(ready)
    calls = {
        "pdf": lambda: ready.pdf(x),
        "new": lambda: law(name, H).pdf(x),
        "eigvalsh": sample_eigenvalues,
    }
    scale = {"eigvalsh": 1.0}
    check_unit()
    if name == "chain":
        return calls, scale
    t, c = LAWS[name]
    rho = ready.pdf(x)
    peak = rho.max()
    # a comparison of times means something only if all find the same density, each to its own accuracy
    subset = fixed_point_subset() if name == "W2" else np.arange(1000)
    line = x[subset]
    calls["fixed_point"], scale["fixed_point"] = (
        lambda: fixed_point_density(t, c, line),
        x.size / line.size,
    )
    error = np.abs(calls["fixed_point"]() - rho[subset]) / peak
    assert np.median(error) <= 1e-6, np.median(error)
    assert error.max() <= 5e-3, error.max()
    if name != "W2":
        calls["roots"], scale["roots"] = lambda: roots_density(t, c, x), 1.0
        np.testing.assert_allclose(calls["roots"](), rho, rtol=0, atol=1e-12 * peak)
    return calls, scale


def check_unit():
    """The eigenvalues behind `sample_eigenvalues` follow the law of W1 to the fluctuations of one matrix."""
    values = sample_eigenvalues()
    below = prepared("W1 c=.5").cdf(values)
    gap = np.abs(below - (np.arange(values.size) + 0.5) / values.size).max()
    assert gap <= 5e-3, gap


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


# ------------------------------------------------------------------------------------------------- networks

L3_ACTIVATIONS = ["relu", "erf", "gelu", "tanh", "silu"]
L4_ACTIVATIONS = ["relu", "tanh", "gelu", "erf", "sigmoid", "silu", "softplus", "elu", "hard_tanh", "arctan"]


def hermite_table(fh):
    """L4: coefficients 0..50 of ten activations."""
    return [fh.activation(name).hermite(50) for name in L4_ACTIVATIONS]


@lru_cache(maxsize=4)
def kernel_inputs(norms, d, n=2000):
    """Gaussian points, with a near-duplicate and an antipodal pair, of one norm or as they come."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((n, d))
    x[1] = x[0] + 1e-9 * rng.standard_normal(d)
    x[2] = -x[0]
    return x * np.sqrt(d / (x**2).sum(axis=1, keepdims=True)) if norms == "one norm" else x


def kernels(fh, x, activation):
    """L3: both kernels of three hidden layers."""
    return fh.network_kernels(x, activation, 3, weight_variance=2.25, bias_variance=0.01)


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
