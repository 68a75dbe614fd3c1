"""Accuracy and time of neural-tangents and fasthde on L3, side by side in one run.

neural-tangents (Apache-2.0) does not import on current versions of JAX; with the last one that it works on, in an
environment of its own::

    python -m venv ../peers_venv
    ../peers_venv/bin/pip install "jax==0.4.31" "jaxlib==0.4.31" "neural-tangents==0.6.5" mpmath
    ../peers_venv/bin/pip install -e .
    ../peers_venv/bin/python -m benchmarks.peers.neural_tangents_kernels [points]    # from the root of the repository

Both run in float64 on the CPU with all cores. Activations without a closed form there go through its
``ElementwiseNumerical`` (a two-dimensional Gauss-Hermite rule; degree 25, as 100 needs 80 GB for 500 points);
compilation is not counted.

asv does not see this folder: it has no ``__init__.py``.
"""

import sys
import time
from functools import partial
from importlib.metadata import version

import numpy as np

from benchmarks import common
from tests import oracle_networks as oracle

#: Near-duplicate, opposite, ordinary pairs, and a point with itself.
PAIRS = [(0, 1), (0, 2), (1, 2), (0, 3), (4, 5), (0, 0)]


def theirs(name):
    """The kernel function of three hidden layers and a readout."""
    import jax
    from neural_tangents import stax

    layer = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu}.get(name)
    if layer is None:
        function = {"tanh": jax.numpy.tanh, "silu": jax.nn.silu}[name]

        def layer():
            return stax.ElementwiseNumerical(function, deg=25)

    dense = {"W_std": 1.5, "b_std": 0.1}
    blocks = [part for _ in range(3) for part in (stax.Dense(1, **dense), layer())]
    kernel = jax.jit(stax.serial(*blocks, stax.Dense(1, **dense))[2], static_argnums=(1, 2))

    def call(x):
        both = kernel(x, None, ("nngp", "ntk"))
        return np.asarray(both.nngp), np.asarray(both.ntk)

    return call


def ours(name):
    """The same from fasthde."""
    fh = common.package()

    def call(x):
        both = fh.network_kernels(x, name, 3, weight_variance=2.25, bias_variance=0.01, readout=True)
        return both.conjugate, both.tangent

    return call


def largest_error(got, want):
    """Over the pairs and both kernels, relative to the square root of the diagonal entries."""
    i, j = np.array(PAIRS).T
    return max(
        np.nanmax(np.abs(k[i, j] - reference) / np.sqrt(k[i, i] * k[j, j]))
        for k, reference in zip(got, want, strict=True)
    )


def main(points):
    """Print the table."""
    import jax

    jax.config.update("jax_enable_x64", True)
    names = ("neural-tangents", "jax", "numpy", "numba")
    print(", ".join(f"{name} {version(name)}" for name in names))
    for norms in ("one norm", "unequal"):
        x = common.kernel_inputs(norms, 64, points)
        print(f"\nL3, {points} points, d = 64, {norms}: seconds, largest error")
        for name in common.L3_ACTIVATIONS:
            stack = [oracle.phi(name)] * 3
            want = oracle.deep_matrix(
                x, stack, pairs=PAIRS, weight_variance=2.25, bias_variance=0.01, readout=True
            )
            calls = {"fasthde": ours(name), "neural-tangents": theirs(name)}
            for label, call in calls.items():
                start = time.perf_counter()
                got = call(x)
                first = time.perf_counter() - start
                best = min(common.seconds(partial(call, x)) for _ in range(5 if first < 5 else 1))
                print(f"  {name:6}{label:18}{best:10.4f}{largest_error(got, want):12.1e}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)
