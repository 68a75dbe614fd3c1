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
from fasthde.networks._layers import half_means, second

Array = NDArray[np.float64]

#: Variance from which on a smooth activation magnifies gaps as a kink does: below, by rounding to 2e-11 at most.
STEEP = 1e5


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
    with np.errstate(invalid="ignore", divide="ignore"):
        one, other = (
            x / nx[:, None],
            y / ny[:, None],
        )  # directions: also parallel inputs of unequal norm come out right
        lo = ((one - other) ** 2).sum(axis=1) / 2
        hi = ((one + other) ** 2).sum(axis=1) / 2
        difference = ((x - y) * (x + y)).sum(axis=1) / (nx + ny)  # |x| - |y|
    lo, hi = np.nan_to_num(lo, nan=1.0), np.nan_to_num(hi, nan=1.0)
    root = np.sqrt(weight)
    return affine_gaps(weight * nx**2, weight * ny**2, root * np.nan_to_num(difference), lo, hi, bias)


def layer(
    act: Activation, qx: Array, qy: Array, lo: Array, hi: Array, tangent: bool, sharp: bool
) -> tuple[Array, Array, Array, Array]:
    """E phi(u) phi(v), E phi'(u) phi'(v), and the gaps of the first relative to sqrt(E phi(u)^2 E phi(v)^2).

    sharp: gaps to full relative precision; otherwise they are differences of numbers.
    """
    value = slope = None
    if act._named.dual is not None or not act.kinks.size:
        value = _dual.dual(act, qx, qy, lo, hi, False)[0]
        slope = _dual.dual(act, qx, qy, lo, hi, True)[0] if tangent else value
        if sharp and act._named.gap is not None and not act.shift:
            return value, slope, *act._named.gap(lo, hi)
    norm = [np.sqrt(second(act, q)) for q in (qx, qy)]
    if value is None or slope is None or sharp:
        affine = np.stack(
            [act.scale / norm[0], act.shift / norm[0], act.scale / norm[1], act.shift / norm[1]], axis=1
        )
        mesh = act._slope_mesh() if tangent and slope is None else None
        got = _dual.integrals(act._mesh, mesh, qx, qy, lo, hi, affine)[0].T
        if value is None or slope is None:
            means = half_means(act, qx) + half_means(act, qy)
            value, slope = act.scale**2 * got[0] + means, act.scale**2 * got[1]
        return value, slope, got[2], got[3]
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = np.clip(np.nan_to_num(value / (norm[0] * norm[1])), -1.0, 1.0)
    return value, slope, 1.0 - rho, 1.0 + rho


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
    return compose(lo, hi, qx, qy, acts, weights[1:], biases[1:], tangent)


def compose(
    lo: Array,
    hi: Array,
    qx: Sequence[Array],
    qy: Sequence[Array],
    acts: Sequence[Activation],
    weights: Sequence[float],
    biases: Sequence[float],
    tangent: bool,
) -> tuple[Array, Array]:
    """CK and NTK from the first layer's gaps; weights[l], biases[l] follow activation l."""
    theta = np.sqrt(qx[0] * qy[0]) * np.where(lo < hi, 1.0 - lo, hi - 1.0)
    kappa = theta
    for k, (act, weight, bias) in enumerate(zip(acts, weights, biases, strict=True)):
        steep = any(
            a.kinks.size or v.max(initial=0.0) > STEEP
            for a, v in zip(acts[k + 1 :], qx[k + 1 :], strict=True)
        )
        kappa, slope, *gaps = layer(act, qx[k], qy[k], lo, hi, tangent, steep)
        if tangent:
            theta = weight * (kappa + theta * slope) + bias
        kappa = weight * kappa + bias
        if k + 1 < len(acts):
            ax, ay = qx[k + 1] - bias, qy[k + 1] - bias
            lo, hi = affine_gaps(ax, ay, np.sqrt(ax) - np.sqrt(ay), gaps[0], gaps[1], bias)
    return kappa, theta
