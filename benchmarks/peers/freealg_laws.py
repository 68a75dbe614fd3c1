"""Accuracy and time of freealg and fasthde on W1, W3 and W4, side by side in one run.

freealg (BSD-3-Clause) installs from the package registry; keep it in an environment of its own::

    python -m venv ../peers_venv
    ../peers_venv/bin/pip install freealg mpmath
    ../peers_venv/bin/pip install -e .
    ../peers_venv/bin/python -m benchmarks.peers.freealg_laws        # from the root of the repository

Written for freealg 0.12.2 and the calls that its docstrings describe: ``density(x, eta)``, ``stieltjes(z)`` and
``support()`` of ``DeformedMarchenkoPastur``, which is the law of W1, and ``density`` of ``CompoundFreePoisson``,
the law of the Gram matrix of the same data, whose continuous part is c times that of W1.

asv does not see this folder: it has no ``__init__.py``.
"""

import warnings
from importlib.metadata import version

import numpy as np

from benchmarks import common
from tests import oracle_laws as oracle

#: Heights above the axis for freealg's densities: its default (by class), and two smaller ones.
HEIGHTS = (None, 1e-6, 1e-9)


def quiet(call):
    """A call whose NumPy warnings are not printed."""

    def run():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return call()

    return run


def density_table(t, c):
    """Rows (what, seconds, largest and median error over the peak, points off by more than 1e-3 of it)."""
    import freealg

    x, reference = oracle.w1_reference(c)
    peak = reference.max()
    w = np.full(len(t), 1.0 / len(t))
    fh = common.package()
    ready = common.prepare(fh.sample_covariance(fh.Spectrum(t), c))
    deformed = freealg.distributions.DeformedMarchenkoPastur(t=t, w=w, c=c)
    poisson = freealg.distributions.CompoundFreePoisson(t=t, w=w, lam=c)
    calls = {
        "fasthde, law ready": lambda: ready.pdf(x),
        "fasthde, new law": lambda: fh.sample_covariance(fh.Spectrum(t), c).pdf(x),
        "fixed point, NumPy": lambda: common.fixed_point_density(t, c, x),
        "numpy.roots, point by point": lambda: common.roots_density(t, c, x),
    }
    for eta in HEIGHTS:
        option, text = ({}, "default eta") if eta is None else ({"eta": eta}, f"eta={eta:g}")
        calls[f"freealg DeformedMarchenkoPastur, {text}"] = quiet(
            lambda option=option: deformed.density(x, **option)
        )
        calls[f"freealg CompoundFreePoisson/c, {text}"] = quiet(
            lambda option=option: poisson.density(x, **option) / c
        )
    times = common.interleaved(calls, repeats=3)
    for name, call in calls.items():
        error = np.abs(np.nan_to_num(call(), nan=np.inf) - reference) / peak
        yield name, times[name], error.max(), np.median(error), int((error > 1e-3).sum())


def transform_table(t, c):
    """Rows (what, seconds, largest relative error, wrong points) for W3 and its part on the negative axis."""
    import freealg

    z = oracle.w3_points(t, None, c)
    above = z.imag > 0.0
    reference = np.array([complex(oracle.scm_roots_stieltjes(t, None, c, v, 30)) for v in z[above]])
    chain = [("sample_covariance", c)]
    line = np.array([complex(oracle.chain_stieltjes(t, None, chain, v, 30)) for v in z[~above]])
    fh = common.package()
    ready = common.prepare(fh.sample_covariance(fh.Spectrum(t), c))
    deformed = freealg.distributions.DeformedMarchenkoPastur(t=t, w=np.full(len(t), 1.0 / len(t)), c=c)
    for where, points, truth in (
        ("600 points above the hull", z[above], reference),
        ("33 points -lambda", z[~above], line),
    ):
        calls = {
            "fasthde": lambda points=points: ready.stieltjes(points),
            "freealg": quiet(lambda points=points: deformed.stieltjes(points)),
        }
        if not points.imag.any():  # a hair above the axis, for what that is worth
            calls["freealg, z + 1e-12i"] = quiet(lambda points=points: deformed.stieltjes(points + 1e-12j))
        times = common.interleaved(calls, repeats=3)
        for name, call in calls.items():
            error = np.nan_to_num(np.abs(call() - truth) / np.abs(truth), nan=np.inf)
            yield f"{name}, {where}", times[name], error.max(), np.median(error), int((error > 1e-3).sum())


def support_table(t, c):
    """Rows (what, seconds, largest absolute error of an edge, intervals found and wanted)."""
    import freealg

    edges = np.array(oracle.scm_edges(t, None, c), float)
    fh = common.package()
    deformed = freealg.distributions.DeformedMarchenkoPastur(t=t, w=np.full(len(t), 1.0 / len(t)), c=c)
    calls = {
        "fasthde": lambda: fh.sample_covariance(fh.Spectrum(t), c).support,
        "freealg": quiet(deformed.support),
    }
    times = common.interleaved(calls, repeats=3)
    for name, call in calls.items():
        found = np.asarray(call(), float)
        error = np.abs(found - edges).max() if found.shape == edges.shape else np.inf
        yield name, times[name], error, len(found), len(edges)


def main():
    """Print the tables."""
    names = ("freealg", "fasthde", "numpy", "scipy")
    print(", ".join(f"{name} {version(name)}" for name in names))
    t = oracle.W1_VALUES
    for c in (0.1, 0.5):
        print(f"\nW1, c = {c}: density at 1000 points, errors over the peak against 50 digits")
        print(f"{'':52}{'ms':>9}{'largest':>10}{'median':>10}{'> 1e-3':>8}")
        for what, seconds, *figures in density_table(t, c):
            print("{:52}{:>9.4g}{:>10.1e}{:>10.1e}{:>8d}".format(what, seconds * 1e3, *figures))
        print(f"W3, c = {c}: transform, relative errors against 30 digits")
        for what, seconds, *figures in transform_table(t, c):
            print("{:52}{:>9.4g}{:>10.1e}{:>10.1e}{:>8d}".format(what, seconds * 1e3, *figures))
        print(f"W4, c = {c}: edges{'ms':>45}{'largest':>10}{'intervals':>12}")
        for what, seconds, error, found, wanted in support_table(t, c):
            print(f"{what:52}{seconds * 1e3:>9.4g}{error:>10.1e}{found:>9d}/{wanted}")


if __name__ == "__main__":
    main()
