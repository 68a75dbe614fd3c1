"""Large spectra as binary trees of Gauss rules, for Cauchy sums at any point in a time that hardly grows with p."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fasthde._measure import _rules

Array = NDArray[np.float64]

#: Spectra up to this size are summed atom by atom; at a thousand the tree makes a series 2.5 times faster.
SMALL = 400

#: Atoms of a leaf, and nodes of a rule.
LEAF, ORDER = 128, 16


def grow(t: Array, w: Array) -> tuple[Array, Array, Array, Array, NDArray[np.int64]]:
    """Tree over ascending atoms: (t, w with the rules behind, low, high, part), see `_kernels.chain`."""
    p = t.size
    if p <= SMALL:
        part = np.zeros((2, 4), np.int64)
        part[1, 1::2] = p
        return t, w, np.zeros(2), np.full(2, np.inf), part
    depth = int(np.ceil(np.log2(p / LEAF)))
    leaves = 1 << depth
    bounds = np.arange(leaves + 1) * p // leaves
    low, high = np.zeros(2 * leaves), np.zeros(2 * leaves)
    part = np.zeros((2 * leaves, 4), np.int64)
    low[leaves:], high[leaves:] = t[bounds[:-1]], t[bounds[1:] - 1]
    part[leaves:, 2], part[leaves:, 3] = bounds[:-1], bounds[1:]
    nodes, weights = [t], [w]
    x, v, ends = t, w, bounds
    size, first = p, leaves
    while True:  # from the leaves to the root: the rule of a node from those of its children
        if first < leaves:
            low[first : 2 * first] = low[2 * first : 4 * first : 2]
            high[first : 2 * first] = high[2 * first + 1 : 4 * first : 2]
            ends = np.arange(first + 1) * (2 * ORDER)
        middle = 0.5 * (low[first : 2 * first] + high[first : 2 * first])
        half = np.maximum(0.5 * (high[first : 2 * first] - low[first : 2 * first]), 1e-300)
        counts = np.diff(ends)
        scaled = (x - np.repeat(middle, counts)) / np.repeat(half, counts)
        rule, weight = _rules(scaled, v, ends.astype(np.int64), ORDER)
        rule = np.where(weight > 0.0, rule, 0.0)
        x, v = (middle[:, None] + half[:, None] * rule).ravel(), weight.ravel()
        nodes.append(x)
        weights.append(v)
        part[first : 2 * first, 0] = size + ORDER * np.arange(first)
        part[first : 2 * first, 1] = part[first : 2 * first, 0] + ORDER
        size += x.size
        if first == 1:
            return np.concatenate(nodes), np.concatenate(weights), low, high, part
        first //= 2
