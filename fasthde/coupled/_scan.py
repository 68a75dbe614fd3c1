"""Gaps of a law whose outside has no one-dimensional parametrisation: samples, halved where something may hide."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.coupled_equations import MIXTURE, SIGNAL
from fasthde.coupled._part import Part, Solution

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


class Sample(NamedTuple):
    """Points of the real axis, whether they are outside the support, and the mass below those that are."""

    x: Array
    outside: NDArray[np.bool_]
    below: Array


def scan(part: Part, tiny: float, top: float) -> Sample:
    """Samples of (0, top] dense enough to have a point in every gap.

    A first grid is geometric, linear, and drawn to where the levels would lie without noise. Between two
    points outside with different masses below there is a bulk: halved until it is seen. Between two points inside,
    the transform at the middle must agree with the cubic through the ends, and a minimum of the density is
    followed until it is a gap or flat.
    """
    reach = part.reach
    seeds = _seeds(part)
    middle = 0.5 * (seeds[1:] + seeds[:-1]) if seeds.size else seeds
    x = np.concatenate((
        [tiny, top], reach * np.geomspace(1e-18, 1.0, 61), reach * np.linspace(0.0, 1.0, 65)[1:], seeds, middle
    ))  # fmt: skip
    # a bulk and a gap may lie as close to a level without noise as rounding allows
    for level in _noiseless(part):
        step = level * 10.0 ** np.arange(-14.0, 0.0, 0.5)
        x = np.concatenate((x, level - step, level + step))
    x = np.unique(x[(x >= tiny) & (x <= top)])
    x = x[~np.isin(x, [a for a, _ in part.atoms] + part.hard_levels)]
    state = part.solve(x)
    points = _columns(part, x, state)
    if not (state.outside[0] or state.outside[1]):  # nothing but the power law of a hard edge
        points[5, 0] = 1.0
    # pairs that have not been looked into: (left, right, predicted transform at the middle)
    left, right = points[:, :-1], points[:, 1:]
    every = [points]
    for round_ in range(60):
        split = _doubtful(left, right, round_)
        if not split.any():
            break
        left, right = left[:, split], right[:, split]
        a, b = left[0].real, right[0].real
        wide = b > 4.0 * a
        new = np.where(wide, np.sqrt(a * b), 0.5 * (a + b))
        between = _columns(part, new, part.solve(new))
        # at the middle: does the cubic through both ends agree?
        s = (new - a) / (b - a)
        h = b - a
        guess = (
            (1 + 2 * s) * (1 - s) ** 2 * left[1] + s * s * (3 - 2 * s) * right[1]
            + h * s * (1 - s) * ((1 - s) * left[2] - s * right[2])
        )  # fmt: skip
        error = np.abs(guess - between[1]) / np.abs(between[1])
        good = (error < 0.03) & (left[3].real == 0) & (right[3].real == 0) & (between[3].real == 0)
        done = good.astype(float)
        left, right, between = left.copy(), right.copy(), between.copy()
        every.append(between.copy())
        first, second = left.copy(), between.copy()
        first[5] = second[5] = done
        left = np.concatenate((first, second), axis=1)
        right = np.concatenate((between, right), axis=1)
    table = np.concatenate(every, axis=1)
    table = table[:, np.argsort(table[0].real, kind="stable")]
    return Sample(table[0].real, table[3].real == 1.0, table[4].real)


def _columns(part: Part, x: Array, state: Solution) -> Complex:
    """Rows: x, m, dm/dx, outside, mass below, 1 where the interval to the right has passed the test, else 0."""
    below = np.where(state.outside, part.below(x, state.unknowns), np.nan)
    return np.stack((x, state.m, state.slope, state.outside, below, np.zeros(x.size))).astype(complex)


def _doubtful(left: Complex, right: Complex, round_: int) -> NDArray[np.bool_]:
    """Which intervals may hide something."""
    a, b = left[0].real, right[0].real
    width = b - a
    resolvable = width > 1e-13 * b
    out_a, out_b = left[3].real == 1.0, right[3].real == 1.0
    hidden = out_a & out_b & (np.abs(left[4].real - right[4].real) > 1e-9)
    mixed = (out_a != out_b) & (round_ < 8)
    inside = ~out_a & ~out_b
    rise_a, rise_b = left[2].imag, right[2].imag
    low = np.minimum(left[1].imag, right[1].imag)
    dip = (rise_a < 0.0) & (rise_b > 0.0) & (np.maximum(-rise_a, rise_b) * width > 0.1 * low)
    untested = (left[5].real == 0.0) & (width > 1e-6 * b)
    known = np.isfinite(left[1].real) & np.isfinite(right[1].real)
    return np.asarray(resolvable & known & (hidden | mixed | (inside & (dip | untested))))


def _seeds(part: Part) -> Array:
    """Where the levels lie without noise, in ascending order."""
    t = part.model[2]
    if part.kind == MIXTURE:
        return np.unique(part.model[5] @ t)
    if part.kind == SIGNAL:
        return np.unique(t[0] + t[1])
    return np.empty(0)


def _noiseless(part: Part) -> Array:
    if part.kind != SIGNAL:
        return np.empty(0)
    t = part.model[2]
    return np.asarray(t[0][t[1] == 0.0])
