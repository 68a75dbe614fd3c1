"""Pairs of points that are nearly equal or nearly opposite, with gaps 1 -+ rho that no difference of numbers gives.

A kinked activation's tangent kernel moves like sqrt(1 - rho), and 1 - rho from the Gram matrix is good to 1e-16 only:
1e-8 in the kernel. From differences of the vectors, and layer by layer through (1/2) E(phi(u) -+ phi(v))^2, it is
good to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fasthde import _dual
from fasthde.activations import Activation

Array = NDArray[np.float64]


def affine_gaps(
    ax: Array, ay: Array, difference: Array, lo: Array, hi: Array, bias: float
) -> tuple[Array, Array]:
    """Gaps after adding ``bias`` to all covariances; difference = sqrt(ax) - sqrt(ay)."""
    root = np.sqrt(ax * ay)
    norm = np.sqrt((ax + bias) * (ay + bias))
    with np.errstate(invalid="ignore", divide="ignore"):
        below = (root * lo + bias * difference**2 / (norm + bias + root)) / norm
        above = (root * hi + bias + bias * (ax + ay + bias) / (norm + root)) / norm
    return np.nan_to_num(below, nan=1.0), np.nan_to_num(above, nan=1.0)


def first_gaps(x: Array, y: Array, weight: float, bias: float) -> tuple[Array, Array]:
    """1 - rho and 1 + rho of the first layer for rows x[i], y[i]; weight includes the division by the dimension."""
    nx, ny = np.sqrt((x * x).sum(axis=1)), np.sqrt((y * y).sum(axis=1))
    minus, plus = x - y, x + y
    across = (minus * plus).sum(axis=1)  # |x|^2 - |y|^2
    with np.errstate(invalid="ignore", divide="ignore"):
        along = across / (nx + ny)
        lo = np.maximum((minus * minus).sum(axis=1) - along**2, 0.0) / (2 * nx * ny)
        hi = np.maximum((plus * plus).sum(axis=1) - along**2, 0.0) / (2 * nx * ny)
    lo, hi = np.nan_to_num(lo, nan=1.0), np.nan_to_num(hi, nan=1.0)
    root = np.sqrt(weight)
    return affine_gaps(weight * nx**2, weight * ny**2, root * np.nan_to_num(along), lo, hi, bias)


def dual_gaps(act: Activation, qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    """Gaps of E phi(u) phi(v) relative to sqrt(E phi(u)^2 E phi(v)^2)."""
    if act._named.gap is not None and not act.shift:
        return act._named.gap(lo, hi)
    norm = [np.sqrt(_dual.dual(act, q, q, 0 * q, 0 * q + 2.0, False)[0]) for q in (qx, qy)]
    scale, shift = act.scale, act.shift

    def integrand(fu: Array, fv: Array, part: NDArray[np.int64]) -> list[Array]:
        u = (scale * fu + shift) / norm[0][part, None, None, None]
        v = (scale * fv + shift) / norm[1][part, None, None, None]
        return [(u - v) ** 2 / 2, (u + v) ** 2 / 2]

    got = _dual.integrals(act._mesh, qx, qy, lo, hi, integrand)[0]
    return got[0], got[1]


def exact(
    x: Array,
    y: Array,
    qx: Sequence[Array],
    qy: Sequence[Array],
    acts: Sequence[Activation],
    weights: Sequence[float],
    biases: Sequence[float],
    tangent: bool,
) -> tuple[Array, Array]:
    """CK and NTK of pairs of rows, with variances qx[l], qy[l] of the arguments of layer l."""
    lo, hi = first_gaps(x, y, weights[0] / x.shape[1], biases[0])
    theta = np.sqrt(qx[0] * qy[0]) * np.where(lo < hi, 1.0 - lo, hi - 1.0)
    kappa = theta
    for k, act in enumerate(acts):
        weight, bias = weights[k + 1], biases[k + 1]
        kappa = _dual.dual(act, qx[k], qy[k], lo, hi, False)[0]
        if tangent:
            theta = weight * (kappa + theta * _dual.dual(act, qx[k], qy[k], lo, hi, True)[0]) + bias
        kappa = weight * kappa + bias
        if k + 1 < len(acts):
            ax, ay = qx[k + 1] - bias, qy[k + 1] - bias
            lo, hi = affine_gaps(
                ax, ay, np.sqrt(ax) - np.sqrt(ay), *dual_gaps(act, qx[k], qy[k], lo, hi), bias
            )
    return kappa, theta
