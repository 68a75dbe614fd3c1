"""Print the figures and their targets as one table, measured in one run: ``python -m benchmarks.report``.

``python -m benchmarks.report ridge``, ``... laws``, ``... networks`` and ``... features`` print one section. The last
three compare with the references of tests/oracle_*.py and need mpmath.
"""

import json
import os
import platform
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from . import common
from .ratios import l1_calls, l2_calls

#: Digits of the references, and points at which the errors of the laws are measured.
DIGITS, SAMPLE = 40, 50

#: The same for the chain, and for transforms of W2, where each point of the reference takes a fifth of a second.
SAMPLE_CHAIN, SAMPLE_W2 = 20, 20


def surface_memory():
    """Peak memory of the surface over its result, and the size of the result; wants a fresh process."""
    ridge = common.package().ridge
    problem = common.problem(10**6)
    ridge(problem, *common.grid(10**6))
    return common.memory_over_results(lambda: ridge(problem, *common.grid(10**6, 1000, 1000)))


def surface_memory_apart():
    """`surface_memory` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.report", "--surface-memory"],
        cwd=Path(__file__).resolve().parents[1], stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def compression_seconds(repeats=5):
    """Least time of the first point of a new problem with 10**6 levels: its two compressions, then a root."""
    ridge = common.package().ridge
    return min(common.seconds(partial(ridge, common.problem(10**6), 1.5e6, 1e-3)) for _ in range(repeats))


def more(what, value, bound):
    """Row of a figure to be at least a bound, in times."""
    return what, value, "x", f">= {bound} x", value >= bound


def less(what, value, unit, bound):
    """Row of a figure to be at most a bound."""
    return what, value, unit, f"<= {bound:g} {unit}".rstrip(), value <= bound


def plain(what, value, unit):
    """Row of a figure without a target."""
    return what, value, unit, "", None


def ridge_rows():
    """Measure: (what, value, unit, target, whether it is met or None)."""
    over, size = surface_memory_apart()
    ridge = common.package().ridge

    small, large = common.problem(10**3), common.problem(10**6)
    args, args_large = common.grid(10**3), common.grid(10**6)
    calls, scale = l1_calls()
    own = {
        "L1": calls["fasthde"],
        "new": lambda: ridge(common.problem(10**3), *args),
        "one": lambda: ridge(small, *args, threads=1),
        "uncompressed": lambda: ridge(small, *args, compress=False),
        "infinity": lambda: ridge(large, *args_large),
    }
    times = common.interleaved(
        {**own, "brentq": calls["brentq"], "find_root": calls["find_root"]}, repeats=10
    )
    brentq, find_root = (times[name] * scale[name] for name in ("brentq", "find_root"))
    surface = common.least(lambda: ridge(large, *common.grid(10**6, 1000, 1000)), repeats=7)
    compression = compression_seconds()

    return [
        plain("brentq loop for kappa (scaled from 200 points)", brentq * 1e3, "ms"),
        plain("find_root for kappa (scaled from 10 of 50 chunks)", find_root * 1e3, "ms"),
        plain("L1, all fields", times["L1"] * 1e3, "ms"),
        more("L1, times faster than brentq", brentq / times["L1"], 400),
        more("L1, times faster than find_root", find_root / times["L1"], 250),
        plain("L1 on one thread", times["one"] * 1e3, "ms"),
        plain("L1, problem built and compressed in each call", times["new"] * 1e3, "ms"),
        plain("  that, times faster than brentq", brentq / times["new"], "x"),
        plain("L1 uncompressed", times["uncompressed"] * 1e3, "ms"),
        more("L1 uncompressed, times faster than brentq", brentq / times["uncompressed"], 70),
        less("L1 infinity (p = 10**6)", times["infinity"] * 1e3, "ms", 3),
        less("L1 infinity over L1", times["infinity"] / times["L1"], "x", 2.5),
        less("compression of 10**6 values and signal", compression, "s", 0.1),
        less("surface of 10**6 points", surface, "s", 0.15),
        less("surface, peak memory over its results", over / 1e6, "MB", 50),
        plain("  size of these results", size / 1e6, "MB"),
    ]


# ---------------------------------------------------------------------------------------------------- features


def feature_error(result):
    """Largest relative error of test, train and bias at some points of L2, with those nearest to n among them."""
    from tests import oracle_features as oracle

    values, multiplicity, power = common.feature_levels()
    width, lam = common.feature_grid()
    peak = int(np.argmin(np.abs(width[:, 0] - 1000.0)))
    rng = np.random.default_rng(common.SEED)
    places = [(peak, 0), (peak, 7), *zip(rng.integers(0, 200, 6), rng.integers(0, 20, 6), strict=True)]
    worst = 0.0
    for i, j in places:
        want = oracle.solve(values, multiplicity, power, 0.01, width[i, 0], 1000.0, lam[j])
        worst = max(
            worst, *(abs(getattr(result, f)[i, j] / want[f] - 1.0) for f in ("test", "train", "bias"))
        )
    return worst


def feature_rows():
    """Measure: (what, value, unit, target, whether it is met or None)."""
    fh = common.package()
    problem = common.feature_problem()
    width, lam = common.feature_grid()
    calls, scale = l2_calls()
    calls["one"] = partial(fh.random_features, problem, None, width, 1000, lam, threads=1)
    calls["uncompressed"] = partial(fh.random_features, problem, None, width, 1000, lam, compress=False)
    times = common.interleaved(calls)
    brentq, plain_loop = times["brentq"] * scale, times["fixed point"] * scale
    return [
        plain("brentq loop for nu (scaled from 40 points)", brentq * 1e3, "ms"),
        plain("fixed point in NumPy for nu, to 1e-8 (scaled)", plain_loop * 1e3, "ms"),
        less("L2, all fields", times["fasthde"] * 1e3, "ms", 6),
        less("L2 uncompressed", times["uncompressed"] * 1e3, "ms", 6),
        plain("L2 on one thread", times["one"] * 1e3, "ms"),
        more("L2, times faster than the fixed point", plain_loop / times["fasthde"], 1000),
        plain("L2, times faster than brentq", brentq / times["fasthde"], "x"),
        less(
            "largest error against 40 digits, at the peak too", feature_error(calls["fasthde"]()), "", 1e-12
        ),
    ]


# ---------------------------------------------------------------------------------------------------- laws


def sample(size, count):
    """A random choice of indices, fixed by the seed, with the first and the last."""
    inner = np.random.default_rng(common.SEED).choice(np.arange(1, size - 1), count - 2, replace=False)
    return np.sort(np.concatenate(([0, size - 1], inner)))


def density_reference(name, x):
    """Density of a workload at single points: all roots of the polynomial for W1, a homotopy for the others."""
    from tests import oracle_laws as oracle

    if name == "chain":
        steps = oracle.CHAINS["five steps"]
        return np.array([float(oracle.chain_density(oracle.W1_VALUES, None, steps, v, DIGITS)) for v in x])
    t, c = common.LAWS[name]
    if name == "W2":
        steps = [("sample_covariance", c)]
        return np.array([float(oracle.chain_density(t, None, steps, v, DIGITS)) for v in x])
    return np.array([float(oracle.scm_roots_density(t, None, c, v, DIGITS)) for v in x])


def rounding(law, x):
    """4 eps abs(x pdf'): what the rounding of x alone may change."""
    h = 1e-6 * np.abs(x)
    return 4 * np.finfo(float).eps * np.abs(x * (law.pdf(x + h) - law.pdf(x - h)) / (2 * h))


def density_points(name, law):
    """Points for the errors: of the workload, or one in each of many intervals, away from the middle."""
    if len(law.support) <= 3:
        x = common.midpoints(law)
        return x[sample(x.size, SAMPLE if name.startswith("W1") else SAMPLE_CHAIN)]
    where = np.random.default_rng(common.SEED).uniform(0.01, 0.99, len(law.support))
    return law.support[:, 0] + where * np.diff(law.support, axis=1).ravel()


def transform_error(name, law, points):
    """Largest relative error of the transform, and how many of the points are on a wrong branch."""
    from tests import oracle_laws as oracle

    if name == "chain":
        t, steps = oracle.W1_VALUES, oracle.CHAINS["five steps"]
    else:
        t, c = common.LAWS[name]
        steps = [("sample_covariance", c)]
    reference = np.array([complex(oracle.chain_stieltjes(t, None, steps, z, DIGITS)) for z in points])
    error = np.abs(law.stieltjes(points) - reference) / np.abs(reference)
    return error.max(), int((error > 1e-6).sum())


def edge_error(name, law):
    """Largest relative error of an edge."""
    from tests import oracle_laws as oracle

    if name == "chain":
        ends = oracle.chain_edges(oracle.W1_VALUES, None, oracle.CHAINS["five steps"], DIGITS)
    else:
        ends = oracle.scm_edges(common.LAWS[name][0], None, common.LAWS[name][1], DIGITS)
    reference = np.array(ends, float)
    return np.abs(law.support / reference - 1.0).max()


def density_rows(name, new_bound, pdf_bound):
    """W1, W2, chain: construction, density, errors, references."""
    calls, scale = common.law_calls(name)
    H, ready = common.spectrum(name), common.prepared(name)
    own = {
        "support": lambda: common.law(name, H).support,
        "construction": lambda: common.prepare(common.law(name, H)),
    }
    times = common.interleaved({**own, **calls})
    for reference, factor in scale.items():
        times[reference] *= factor
    x = common.midpoints(ready)
    peak = ready.pdf(x).max()
    at = density_points(name, ready)
    reference = density_reference(name, at)
    error = np.abs(ready.pdf(at) - reference)
    beyond = np.maximum(error - rounding(ready, at), 0.0)
    inside = reference > 0.0

    found, wanted = len(ready.support), common.INTERVALS[name]

    def timed(what, part, bound):
        value = times[part] * 1e3
        return plain(what, value, "ms") if bound is None else less(what, value, "ms", bound)

    rows = [
        (name, None),
        ("intervals of the support", found, "", f"= {wanted}", found == wanted),
        plain("support of a new law (W4)", times["support"] * 1e3, "ms"),
        timed("construction: new law, support, series", "construction", new_bound),
        timed("density, 1000 points, law ready", "pdf", pdf_bound),
        plain(f"  largest error of {at.size} points, over the peak", error.max() / peak, ""),
        less("  the same beyond 4 eps abs(x pdf')", beyond.max() / peak, "", 1e-13),
        plain("  the same over the density there", (beyond[inside] / reference[inside]).max(), ""),
        less("edges, largest relative error (W4)", edge_error(name, ready), "", 1e-14),
    ]
    if "fixed_point" in calls:
        subset = common.fixed_point_subset() if name == "W2" else np.arange(x.size)
        distance = np.abs(calls["fixed_point"]() - ready.pdf(x[subset])).max() / peak
        scaled = f" (scaled from {subset.size} points)" if name == "W2" else ""
        rows += [
            plain(f"fixed point{scaled}", times["fixed_point"] * 1e3, "ms"),
            plain("  its largest distance from ours, over the peak", distance, ""),
            plain("  times the density, law ready", times["fixed_point"] / times["pdf"], "x"),
            plain("  times construction and density", times["fixed_point"] / times["new"], "x"),
        ]
    if "roots" in calls:
        distance = np.abs(calls["roots"]() - ready.pdf(x)).max() / peak
        rows += [
            plain("numpy.roots, point by point", times["roots"] * 1e3, "ms"),
            plain("  its largest distance from ours, over the peak", distance, ""),
            plain("  times the density, law ready", times["roots"] / times["pdf"], "x"),
            plain("  times construction and density", times["roots"] / times["new"], "x"),
        ]
    return [
        *rows,
        plain("eigvalsh of one 1000 x 1000 matrix, one thread", times["eigvalsh"] * 1e3, "ms"),
        plain("  times construction and density", times["eigvalsh"] / times["new"], "x"),
    ]


def transform_rows(name, count):
    """W3: times, the error of a sample, wrong branches."""
    law = common.prepared(name)
    points, negative = common.transform_points(law), -common.negative_points()
    if name == "chain":
        points = points[points.imag > 0.0]  # this law reaches below zero
    calls = {"all": lambda: law.stieltjes(points), "eigvalsh": common.sample_eigenvalues}
    if name != "chain":
        calls["negative"] = lambda: law.stieltjes(negative)
    times = common.interleaved(calls)
    error, wrong = transform_error(name, law, points[sample(points.size, count)])
    solved = law.stieltjes(points, full_output=True)
    failed = int(np.sum(~solved.success) + np.sum(solved.value.imag[points.imag > 0.0] <= 0.0))
    rows = [
        (f"W3 on {name}", None),
        plain(f"transform, {points.size} points", times["all"] * 1e3, "ms"),
        plain("  for 1000 points", times["all"] * 1e6 / points.size, "ms"),
    ]
    if name != "chain":
        rows.append(plain("transform at 33 real points -lambda", times["negative"] * 1e3, "ms"))
    return [
        *rows,
        less(f"largest relative error of {count} points", error, "", 1e-12),
        less("  of these on a wrong branch", wrong, "", 0),
        less("points unsolved or with Im m <= 0, of all", failed, "", 0),
        plain("eigvalsh times all points", times["eigvalsh"] / times["all"], "x"),
    ]


def batch_rows():
    """1000 laws with 500 points each."""
    from tests import oracle_laws as oracle

    levels, ratios = common.batch_pairs()
    laws = common.batch()
    x = common.batch_points(laws)
    rho = laws.pdf(x)
    times = common.interleaved(
        {
            "support": common.batch,
            "construction": lambda: common.batch().pdf([1.0]),
            "pdf": lambda: laws.pdf(x),
            "new": lambda: common.batch().pdf(x),
            "eigvalsh": common.sample_eigenvalues,
        }
    )
    row = sample(common.BATCH, SAMPLE)
    column = np.random.default_rng(common.SEED).integers(0, common.BATCH_POINTS, SAMPLE)
    error = beyond = 0.0
    for i, j in zip(row, column, strict=True):
        reference = float(oracle.scm_roots_density(levels[i], None, ratios[i], x[i, j], DIGITS))
        peak, off = rho[i].max(), abs(rho[i, j] - reference)
        error = max(error, off / peak)
        beyond = max(beyond, (off - rounding(laws[i], x[i, j])) / peak)
    points = common.BATCH * common.BATCH_POINTS
    return [
        (f"batch of {common.BATCH} laws, {common.BATCH_POINTS} points each", None),
        plain("laws and supports", times["support"] * 1e3, "ms"),
        plain("construction: supports and series", times["construction"] * 1e3, "ms"),
        plain("  for each law", times["construction"] * 1e3 / common.BATCH, "ms"),
        plain("density, all points, laws ready", times["pdf"] * 1e3, "ms"),
        plain("  for 1000 points", times["pdf"] * 1e6 / points, "ms"),
        plain(f"  largest error of {SAMPLE} points, over the peak", error, ""),
        less("  the same beyond 4 eps abs(x pdf')", beyond, "", 1e-13),
        plain("eigvalsh times construction and density", times["eigvalsh"] / times["new"], "x"),
    ]


def law_rows():
    """Rows as those of `ridge_rows`; (title, None) opens a workload."""
    return [
        *density_rows("W1 c=.1", 0.5, 0.03),
        *density_rows("W1 c=.5", 1.0, 0.06),
        *density_rows("W2", 10.0, None),
        *transform_rows("W1 c=.5", SAMPLE),
        *transform_rows("W2", SAMPLE_W2),
        *density_rows("chain", None, None),
        *transform_rows("chain", SAMPLE),
        *batch_rows(),
    ]


def network_rows():
    """L4 and L3, with errors against the references of tests/oracle_networks.py."""
    from tests import oracle_networks as oracle

    fh = common.package()
    common.hermite_table(fh)
    error = 0.0
    for name, mine in zip(common.L4_ACTIVATIONS, common.hermite_table(fh), strict=True):
        f = oracle.phi(name)
        reference = np.array([float(a) for a in oracle.coefficients(f)[:51]])
        error = max(
            error, np.abs(mine - reference).max() / float(fh.activation(name).moments().second) ** 0.5
        )
    rows = [
        ("L4: Hermite coefficients 0..50 of ten activations", None),
        less("all ten", common.least(lambda: common.hermite_table(fh)) * 1e3, "ms", 20.0),
        less("largest error, over sqrt(E phi^2)", error, "", 2e-15),
    ]
    common.settle_allocator()
    pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (0, 0), (4, 5)]
    for norms, bounds in (("one norm", {64: 2.5, 784: 1.3}), ("unequal", {64: None})):
        for d, bound in bounds.items():
            x = common.kernel_inputs(norms, d)
            rows.append((f"L3: CK and NTK, three layers, 2000 points, d = {d}, {norms}", None))
            for name in common.L3_ACTIVATIONS:
                calls = {"kernels": partial(common.kernels, fh, x, name), "product": lambda x=x: x @ x.T}
                times = common.interleaved(calls, repeats=9)
                if bound is not None:
                    rows.append(less(name, times["kernels"] / times["product"], "x", bound))
                else:
                    rows.append(less(name, times["kernels"] * 1e3, "ms", 200.0 if name == "tanh" else 100.0))
                got = common.kernels(fh, x, name)
                stack = [oracle.phi(name)] * 3
                want = oracle.deep_matrix(x, stack, pairs=pairs, weight_variance=2.25, bias_variance=0.01)
                i, j = np.array(pairs).T
                worst = 0.0
                for mine, reference in zip((got.conjugate, got.tangent), want, strict=True):
                    scale = np.sqrt(mine[i, i] * mine[j, j])
                    worst = max(worst, (np.abs(mine[i, j] - reference) / scale).max())
                rows.append(less("  largest error, near and opposite pairs among them", worst, "", 1e-10))
            rows.append(plain("product of the inputs", times["product"] * 1e3, "ms"))
    return rows


SECTIONS = {"ridge": ridge_rows, "laws": law_rows, "features": feature_rows, "networks": network_rows}


def main(sections):
    """Print the tables."""
    load = f", load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba"))
    print(f"Python {platform.python_version()}, {versions}; {os.cpu_count()} CPUs{load}")
    print(
        "Least times of one run, indicative: other work on the machine moves them. The ratios move less, but"
    )
    print("a process that takes one of the cores slows the threads of fasthde and not the references.")
    for section in sections:
        print(f"\n{section:52}{'measured':>12}    {'target':<12}")
        for what, *row in SECTIONS[section]():
            if row == [None]:
                print(f"-- {what}")
                continue
            value, unit, target, met = row
            verdict = {True: "met", False: "MISSED", None: ""}[met]
            print(f"{what:52}{value:>9.4g} {unit:<2}    {target:<12} {verdict}".rstrip())


if __name__ == "__main__":
    if sys.argv[1:] == ["--surface-memory"]:
        print(json.dumps(surface_memory()))
    elif set(sys.argv[1:]) <= set(SECTIONS):
        main(sys.argv[1:] or list(SECTIONS))
    else:
        sys.exit(f"usage: python -m benchmarks.report [{' | '.join(SECTIONS)}]")
