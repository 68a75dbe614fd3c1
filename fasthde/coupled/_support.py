"""Support of an irreducible part: a point in every gap, then the edges."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.coupled import CONVERGED
from fasthde._kernels.coupled_equations import PROFILE, SEPARABLE, SIGNAL
from fasthde._kernels.coupled_gaps import gaps, windows
from fasthde.coupled._part import Part
from fasthde.coupled._scan import Sample, scan

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)

#: Where the behaviour at 0 is read off, in units of the largest level: the first that is well conditioned.
_TINY = np.concatenate(([1e-60, 1e-50, 1e-40, 1e-35], 10.0 ** np.arange(-30.0, -5.0)))


class Ends(NamedTuple):
    """Support of a part in the model's units, and the behaviour at its edges.

    Edges are ``base + offset``; ``powers`` of the coordinate at each, ``hard`` where the density is infinite,
    ``zero`` the mass at 0.
    """

    base: Array
    offset: Array
    powers: Array
    hard: NDArray[np.bool_]
    zero: float

    @property
    def edges(self) -> Array:
        """Ends of the intervals, ascending."""
        return self.base + self.offset


def find_ends(part: Part) -> Ends:
    """Support: a point in every gap, the gaps' ends by bisection of the certificate, folds by Newton."""
    top = 1.01 * part.reach
    zero = part.mass_at_zero()
    zero = zero if zero > 4.0 * _EPS else 0.0
    tiny, at_zero, exponent = _origin(part, zero)
    if part.kind == SEPARABLE:
        found = _separable_gaps(part)
        points = np.concatenate(([tiny] if at_zero else [], found, [top]))
        state = part.solve(points)
        sample = Sample(points, state.outside, part.below(points, state.unknowns))
    else:
        sample = scan(part, tiny, top)
    edges = _refine(part, sample, at_zero)
    if not at_zero:
        edges = np.concatenate(([0.0], edges))
    powers, hard = np.full(edges.size, 2.0), np.zeros(edges.size, bool)
    if part.kind == PROFILE:  # symmetric; x next to 0 keeps its digits in pieces that end there
        edges = np.concatenate((-edges[::-1], edges))
        powers, hard = np.full(edges.size, 2.0), np.zeros(edges.size, bool)
        if exponent:
            middle = slice(edges.size // 2 - 1, edges.size // 2 + 1)
            powers[middle], hard[middle] = round(2.0 / (1.0 - exponent)), True
    elif not at_zero:
        powers[0], hard[0] = round(1.0 / (1.0 - exponent)), True
    ends = Ends(np.zeros(edges.size), edges, powers, hard, zero)
    return _beside_levels(part, ends) if part.kind == SIGNAL else ends


def _beside_levels(part: Part, ends: Ends) -> Ends:
    """Edges counted from the levels of the signal that they lie close to, and levels where the density is infinite."""
    base, edges, powers, hard, zero = ends
    for level in part.hard_levels:
        k = int(np.searchsorted(edges, level))
        near = [i for i in (k - 1, k) if 0 <= i < edges.size and abs(edges[i] - level) <= 1e-6 * level]
        if k % 2 == 1 and len(near) == 2:  # both ends of a narrow bulk
            near = [min(near, key=lambda i: abs(edges[i] - level))]
        if near:
            edges[near], hard[near] = level, True
        elif k % 2 == 1:  # in the interior: the two sides meet there
            local, small = part.seen_from(level), 1e-9 * min(level - edges[k - 1], edges[k] - level)
            state = local.solve(np.array([small]))
            exponent = float(-(state.slope * small).imag[0] / state.m.imag[0])
            edges = np.insert(edges, k, [level, level])
            powers = np.insert(powers, k, [round(2.0 / (1.0 - exponent))] * 2)
            hard = np.insert(hard, k, [True, True])
    base = np.zeros(edges.size)
    levels = part.model[2][0]
    for k in range(0, edges.size, 2):
        left, right = edges[k], edges[k + 1]
        middle = 0.5 * (left + right)
        level = float(levels[np.argmin(np.abs(levels - middle))])
        if left in part.hard_levels or right in part.hard_levels:
            level = left if left in part.hard_levels else right
        elif not right - left < 0.1 * left:
            continue
        local = part.seen_from(level)
        base[k : k + 2] = level
        for i, outward in ((k, -1.0), (k + 1, 1.0)):
            offset = edges[i] - level
            if not hard[i]:
                start = offset + 1e-3 * outward * (right - left)
                state = local.solve(np.array([start]))
                fold = local.fold(start, state.unknowns[0].real) if state.outside[0] else np.nan
                if abs(fold - offset) <= 1e-5 * (right - left) + 4.0 * _EPS * right:
                    offset = fold
            edges[i] = offset
    return Ends(base, edges, powers, hard, zero)


def _separable_gaps(part: Part) -> Array:
    """One point in every inner gap of a separable law, ascending (see `_kernels.coupled_gaps.gaps`)."""
    w, _, t, c, _, u, tau = part.model
    near, far = np.empty((t.size, 4)), np.empty((tau.size, 4))
    near, far = near[: windows(t, w, 1.0 / c, near)], far[: windows(tau, u, c, far)]
    outer = [np.array([[0.0, 0.0, side[-1], -np.inf]]) for side in (t, tau)]
    out = np.empty((len(near) + 1) * (len(far) + 1))
    count = gaps(tau, u, t, w, 1.0 / c, far, outer[0], out)
    out[:count] *= c
    count += gaps(t, w, tau, u, c, near, np.concatenate((outer[1], far)), out[count:])
    return np.sort(out[:count])


def _origin(part: Part, zero: float) -> tuple[float, bool, float]:
    """A point next to 0, whether it is outside the support, and the power by which the density grows there.

    Hard edges of several orders lose digits near 0: the first point that agrees with the next one is taken.
    Outside means that nothing but the given mass at 0 is below: a bulk may lie at 1e-20.
    """
    near = part.solve(_TINY)
    with np.errstate(all="ignore"):
        power = np.where(near.outside, 0.0, -(near.slope * _TINY).imag / near.m.imag)
        below = 0.5 * (zero + math.fsum(part.weights)) if part.kind == PROFILE else zero
        extra = near.outside & (np.abs(part.below(_TINY, near.unknowns) - below) > 1e-9)
    good = (near.status == CONVERGED) & (near.error < 1e-8) & ~extra
    for i in range(_TINY.size - 1):
        agree = near.outside[i] == near.outside[i + 1] and abs(power[i + 1] - power[i]) < 5e-3
        if good[i] and good[i + 1] and agree:
            return float(_TINY[i]), bool(near.outside[i]), float(power[i]) if power[i] > 0.01 else 0.0
    raise ArithmeticError("the law could not be solved near 0; please report it.")


def _refine(part: Part, sample: Sample, left_open: bool) -> Array:
    """Edges between the gaps of a sample, ascending: for each gap its right end, then the next one's left end."""
    label = np.where(sample.outside, np.round(sample.below * 1e9), np.nan)
    where = np.flatnonzero(sample.outside)
    # (last point of a gap, first point beyond it) for right ends; mirrored for left ends
    brackets: list[tuple[float, float, float]] = []
    first = 0 if left_open else -1
    gaps = [where[0]] + [b for a, b in itertools.pairwise(where) if label[a] != label[b]]
    for g in gaps:
        same = where[label[where] == label[g]]
        if g != gaps[0] or first == -1:
            brackets.append((sample.x[same[0]], sample.x[same[0] - 1] if same[0] > 0 else 0.0, label[g]))
        if g != gaps[-1]:
            brackets.append((sample.x[same[-1]], sample.x[same[-1] + 1], label[g]))
    inside = np.array([b[0] for b in brackets])  # in the gap
    beyond = np.array([b[1] for b in brackets])
    labels = np.array([b[2] for b in brackets])
    edges = np.full(inside.size, np.nan)
    for round_ in range(24):
        todo = np.flatnonzero(np.isnan(edges))
        if not todo.size:
            break
        if round_:
            for _ in range(5):
                a, b = inside[todo], beyond[todo]
                wide = (np.maximum(a, b) > 4.0 * np.minimum(a, b)) & (np.minimum(a, b) > 0.0)
                middle = np.where(wide, np.sqrt(a) * np.sqrt(b), 0.5 * (a + b))
                state = part.solve(middle)
                same = state.outside & (np.round(part.below(middle, state.unknowns) * 1e9) == labels[todo])
                inside[todo] = np.where(same, middle, a)
                beyond[todo] = np.where(same, b, middle)
        state = part.solve(inside[todo])
        folds = np.full(todo.size, np.nan)
        for j, i in enumerate(todo):
            fold = part.fold(inside[i], state.unknowns[j].real)
            low, high = sorted((inside[i], beyond[i]))
            slack = 4.0 * _EPS * abs(high)
            if low - slack <= fold <= high + slack:
                folds[j] = fold
            elif high - low <= slack:
                edges[i] = 0.5 * (low + high)
        found = todo[np.isfinite(folds)]
        if found.size:
            fold = folds[np.isfinite(folds)]
            edges[found] = np.where(_ends_gap(part, inside[found], fold, labels[found]), fold, np.nan)
    return np.where(np.isnan(edges), inside, edges)


def _ends_gap(part: Part, inside: Array, fold: Array, label: Array) -> NDArray[np.bool_]:
    """Whether the support begins at a fold found from a point of a gap: outside up to it, and no further.

    Points on the way are spread evenly and geometrically, as the fold may lie on another scale than the point.
    """
    a, b = inside[:, None], fold[:, None]
    share = np.array([0.5, 0.9, 0.999, 1.0 - 1e-6])
    step = np.minimum(1e-6 * np.abs(b - a), 1e-6 * np.abs(b)) * np.sign(b - a)
    x = np.concatenate(
        (a + (b - a) * share, np.exp(np.log(a) + np.log(b / a) * share[:3]), b - step, b + step), axis=1
    )
    state = part.solve(x.ravel())
    same = state.outside & (
        np.round(part.below(x.ravel(), state.unknowns) * 1e9) == np.repeat(label, x.shape[1])
    )
    same = same.reshape(x.shape)
    close = np.abs(fold - inside) <= 1e-9 * np.abs(fold)
    return np.asarray((same[:, :-1].all(axis=1) & ~same[:, -1]) | close)
