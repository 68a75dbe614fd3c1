"""Print the figures and their targets as one table, measured in one run: ``python -m benchmarks.report``."""

import json
import os
import platform
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

from . import common
from .ratios import l1_calls


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


def rows():
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
        "plain": lambda: ridge(small, *args, compress=False),
        "infinity": lambda: ridge(large, *args_large),
    }
    times = common.interleaved(
        {**own, "brentq": calls["brentq"], "find_root": calls["find_root"]}, repeats=10
    )
    brentq, find_root = (times[name] * scale[name] for name in ("brentq", "find_root"))
    surface = common.least(lambda: ridge(large, *common.grid(10**6, 1000, 1000)), repeats=7)
    compression = compression_seconds()

    def more(what, value, bound):
        return what, value, "x", f">= {bound} x", value >= bound

    def less(what, value, unit, bound):
        return what, value, unit, f"<= {bound} {unit}", value <= bound

    return [
        ("brentq loop for kappa (scaled from 200 points)", brentq * 1e3, "ms", "", None),
        ("find_root for kappa (scaled from 10 of 50 chunks)", find_root * 1e3, "ms", "", None),
        ("L1, all fields", times["L1"] * 1e3, "ms", "", None),
        more("L1, times faster than brentq", brentq / times["L1"], 400),
        more("L1, times faster than find_root", find_root / times["L1"], 250),
        ("L1 on one thread", times["one"] * 1e3, "ms", "", None),
        ("L1, problem built and compressed in each call", times["new"] * 1e3, "ms", "", None),
        ("  that, times faster than brentq", brentq / times["new"], "x", "", None),
        ("L1 uncompressed", times["plain"] * 1e3, "ms", "", None),
        more("L1 uncompressed, times faster than brentq", brentq / times["plain"], 70),
        less("L1 infinity (p = 10**6)", times["infinity"] * 1e3, "ms", 3),
        less("L1 infinity over L1", times["infinity"] / times["L1"], "x", 2.5),
        less("compression of 10**6 values and signal", compression, "s", 0.1),
        less("surface of 10**6 points", surface, "s", 0.15),
        less("surface, peak memory over its results", over / 1e6, "MB", 50),
        ("  size of these results", size / 1e6, "MB", "", None),
    ]


def main():
    """Print the table."""
    load = f", load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba"))
    print(f"Python {platform.python_version()}, {versions}; {os.cpu_count()} CPUs{load}")
    print(
        "Least times of one run, indicative: other work on the machine moves them. The ratios move less, but"
    )
    print("a process that takes one of the cores slows the threads of fasthde and not the references.\n")
    print(f"{'':52}{'measured':>12}    {'target':<12}")
    for what, value, unit, target, met in rows():
        verdict = {True: "met", False: "MISSED", None: ""}[met]
        print(f"{what:52}{value:>9.4g} {unit:<2}    {target:<12} {verdict}".rstrip())


if __name__ == "__main__":
    if sys.argv[1:] == ["--surface-memory"]:
        print(json.dumps(surface_memory()))
    else:
        main()
