"""Measures as the kernels want them: blocks, exact counts, Gauss compression, padding."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels import quadrature

Array = NDArray[np.float64]

#: Nodes for each factor 4 of the spectrum inside the solvers: every sum to 1e-15.
SOLVER_ORDER = 16

#: Above this size atoms are first replaced by three-point rules on bins of relative width 1/128.
_FINE = 4096

#: Sums run over multiples of the vector length times the unrolling, so that no scalar remainder is left.
_LANES = 16


class Levels(NamedTuple):
    """Positive eigenvalues t in descending blocks, with the exact multiplicity above each block."""

    t: Array
    k: Array
    edge: Array
    above: Array
    above_low: Array


def order_for(rtol: float) -> int:
    """Nodes for each factor 4 of the spectrum: on [a, 4a] the rule converges like 3**(-2 m)."""
    return max(2, math.ceil(math.log(1.0 / rtol) / (2.0 * math.log(3.0))))


def _bins(t: Array) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Permutation into bins [4**(j-1), 4**j) * 2, descending; their bounds and exponents 2 j.

    A factor 4 needs 8 nodes an octave where a factor 2 needs 10. 16-bit keys make NumPy's stable sort a
    radix sort.
    """
    key = -(np.frexp(t)[1].astype(np.int16) >> 1)
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key)) + 1
    bounds = np.concatenate(([0], starts, [t.size])).astype(np.int64)
    return order, bounds, -2 * key[bounds[:-1]].astype(np.int64)


def _rules(x: Array, w: Array, bounds: NDArray[np.int64], m: int) -> tuple[Array, Array]:
    """Gauss rules of many measures at once, (blocks, m) nodes and weights; weight 0 where a rule is shorter."""
    blocks = bounds.size - 1
    alpha, beta, mass = np.empty((blocks, m)), np.empty((blocks, m - 1)), np.empty(blocks)
    basis = np.empty((m + 1, int(np.diff(bounds).max())))
    quadrature.lanczos(x, w, bounds, m, basis, alpha, beta, mass)
    return _gauss(alpha, beta, mass)


def _gauss(alpha: Array, beta: Array, mass: Array) -> tuple[Array, Array]:
    """Golub-Welsch: nodes and weights from Jacobi coefficients."""
    m = alpha.shape[1]
    jacobi = np.zeros((alpha.shape[0], m, m))
    i = np.arange(m)
    jacobi[:, i, i] = alpha
    jacobi[:, i[1:], i[:-1]] = beta
    nodes, vectors = np.linalg.eigh(jacobi)
    weights = mass[:, None] * vectors[:, 0, :] ** 2
    weights[nodes > 1.5] = 0.0
    return nodes, weights


def _thin(t: Array, w: Array) -> tuple[Array, Array]:
    """Three-point Gauss rules on bins of relative width 1/128 (leading bits of the numbers): one pass."""
    exponent = np.frexp(t)[1]
    low = int(exponent.min())
    slots = (int(exponent.max()) - low + 1) * 128
    moments = np.zeros((slots, 6))
    quadrature.fine_moments(t, w, low, moments)
    used = np.flatnonzero(moments[:, 0] > 0.0)
    alpha, beta = np.empty((used.size, 3)), np.empty((used.size, 2))
    quadrature.three_point(moments[used], alpha, beta)
    x, weights = _gauss(alpha, beta, moments[used, 0])
    keep = weights > 0.0
    nodes = np.ldexp((128.0 + (used % 128)[:, None] + 0.5 + 0.5 * x) / 256.0, (used // 128 + low)[:, None])
    return nodes[keep], weights[keep]


def reduce(t: Array, w: Array, m: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Replace each bin of a positive measure by its m-point Gauss rule where it has more atoms than m.

    Returns nodes, weights, and the bounds of the bins among the nodes, descending.
    """
    if t.size > _FINE:
        t, w = _thin(t, w)
    order, bounds, exponent = _bins(t)
    t, w = t[order], w[order]
    nodes, weights = [], []
    big = np.diff(bounds) > m
    if big.any():
        inside = np.repeat(big, np.diff(bounds))
        scaled = np.ldexp(t[inside], -np.repeat(exponent[big], np.diff(bounds)[big]))
        ends = np.concatenate(([0], np.cumsum(np.diff(bounds)[big]))).astype(np.int64)
        # bins hold [2**(e-1), 2**(e+1)): after scaling [1/2, 2)
        gauss_x, gauss_w = _rules((scaled - 1.25) / 0.75, w[inside], ends, m)
    row = 0
    for j, (a, b) in enumerate(pairwise(bounds)):
        if big[j]:
            keep = gauss_w[row] > 0.0
            nodes.append(np.ldexp(1.25 + 0.75 * gauss_x[row, keep], int(exponent[j])))
            weights.append(gauss_w[row, keep])
            row += 1
        else:
            nodes.append(t[a:b])
            weights.append(w[a:b])
    return np.concatenate(nodes), np.concatenate(weights), np.cumsum([0] + [v.size for v in nodes])


def pad(*arrays: Array) -> tuple[Array, ...]:
    """Pad the first array with its last value and the others with zeros, to a multiple of the vector length."""
    size = arrays[0].size
    extra = -size % (_LANES if size > _LANES // 2 else 8)
    fill = arrays[0][-1] if size else 1.0
    extra = extra if size else 8
    return tuple(
        np.ascontiguousarray(np.concatenate((a, np.full(extra, fill if i == 0 else 0.0))))
        for i, a in enumerate(arrays)
    )


def measure(t: Array, w: Array, compress: bool) -> tuple[Array, Array]:
    """A positive measure without its atom at zero, reduced and padded."""
    keep = (t > 0.0) & (w > 0.0)
    t, w = t[keep], w[keep]
    if compress and t.size > SOLVER_ORDER:
        t, w = reduce(t, w, SOLVER_ORDER)[:2]
    return pad(t, w)  # type: ignore[return-value]


def levels(t: Array, k: Array, compress: bool) -> tuple[Levels, tuple[float, float, float]]:
    """Levels with exact counts, and (trace, rank, low part of the rank)."""
    keep = (t > 0.0) & (k > 0.0)
    t, k = t[keep], k[keep]
    trace = float(np.dot(t, k))
    if compress and t.size > SOLVER_ORDER:
        nodes, weights, bounds = reduce(t, k, SOLVER_ORDER)
        order, counted_bounds, _ = _bins(t)
    else:
        order = np.argsort(-t, kind="stable")
        nodes, weights = t[order], k[order]
        bounds = np.concatenate(([0], np.flatnonzero(np.diff(nodes)) + 1, [t.size]))
        counted_bounds = bounds.astype(np.int64)
    high, low = np.zeros(bounds.size), np.zeros(bounds.size)
    quadrature.exact_cumsum(k[order], counted_bounds, high, low)
    edge = np.minimum.reduceat(nodes, bounds[:-1])
    node_t, node_k = pad(nodes, weights)
    return Levels(node_t, node_k, edge, high, low), (trace, float(high[-1]), float(low[-1]))
