"""Support of an irreducible part: a point in every gap, then the edges."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.coupled import CONVERGED
from fasthde._kernels.coupled_equations import PROFILE, SEPARABLE
from fasthde._kernels.coupled_gaps import gaps, windows
from fasthde.coupled._part import Part
from fasthde.coupled._scan import Sample, scan

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)

#: Where the behaviour at 0 is read off, in units of the largest level: the first that is well conditioned.
_TINY = np.array([1e-60, 1e-40, 1e-30, 1e-24, 1e-20, 1e-16, 1e-13, 1e-11, 1e-9, 1e-8, 1e-7, 1e-6])


class Ends(NamedTuple):
    """Support of a part in the model's units, and the behaviour at its edges.

    ``powers`` of the coordinate at each edge, ``hard`` where the density is infinite, ``zero`` the mass at 0.
    """

    edges: Array
    powers: Array
    hard: NDArray[np.bool_]
    zero: float


def find_ends(part: Part) -> Ends:
    """Support: a point in every gap, the gaps' ends by bisection of the certificate, folds by Newton."""
    top = 1.01 * part.reach
    tiny, at_zero, exponent = _origin(part)
    zero = part.mass_at_zero()
    zero = zero if zero > 4.0 * _EPS else 0.0
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
    for level in part.hard_levels:
        at = int(np.argmin(np.abs(edges - level)))
        if abs(edges[at] - level) <= 1e-6 * level:
            edges[at], hard[at] = level, True
    return Ends(edges, powers, hard, zero)


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


def _origin(part: Part) -> tuple[float, bool, float]:
    """A point next to 0, whether it is outside the support, and the power by which the density grows there.

    Hard edges of several orders lose digits near 0: the first point that agrees with the next one is taken.
    """
    near = part.solve(_TINY)
    with np.errstate(all="ignore"):
        power = np.where(near.outside, 0.0, -(near.slope * _TINY).imag / near.m.imag)
    good = (near.status == CONVERGED) & (near.error < 1e-8)
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
            fold = _fold(part, inside[i], state.unknowns[j].real)
            low, high = sorted((inside[i], beyond[i]))
            slack = 4.0 * _EPS * abs(high)
            if low - slack <= fold <= high + slack:
                folds[j] = fold
            elif high - low <= slack:
                edges[i] = 0.5 * (low + high)
        # the fold of this gap: outside up to it, and no further
        found = np.flatnonzero(np.isfinite(folds))
        if found.size:
            a, b = inside[todo[found], None], folds[found, None]
            probes = np.concatenate((a + (b - a) * np.array([0.5, 0.9, 0.999]), b + 1e-6 * (b - a)), axis=1)
            state = part.solve(probes.ravel())
            same = state.outside & (
                np.round(part.below(probes.ravel(), state.unknowns) * 1e9)
                == np.repeat(labels[todo[found]], 4)
            )
            same = same.reshape(-1, 4)
            close = np.abs(b - a)[:, 0] <= 1e-9 * np.abs(b[:, 0])
            right = (same[:, :3].all(axis=1) & ~same[:, 3]) | close
            edges[todo[found[right]]] = folds[found[right]]
    return np.where(np.isnan(edges), inside, edges)


def _fold(part: Part, x: float, unknowns: Array) -> float:
    """The fold of the real solution curve near a point of it, or NaN.

    Newton on F = 0, J v = 0, v normalised (Seydel 1979); derivatives of J by complex steps, hence exact.
    """
    k = unknowns.size
    scale = np.abs(unknowns)
    y = np.ones(k) * np.sign(unknowns)
    jac, _, drive = part.system(complex(x), unknowns.astype(complex))
    try:
        v = np.linalg.solve((jac * scale).real, -drive.real)
    except np.linalg.LinAlgError:
        return float("nan")
    v /= np.abs(v).max()
    norm = v / np.dot(v, v)
    h = 1e-100
    matrix = np.zeros((2 * k + 1, 2 * k + 1))
    before = np.inf
    for _ in range(30):
        u = y * scale
        jac, rest, drive = part.system(complex(x), u.astype(complex))
        scaled = (jac * scale).real
        matrix[:k, :k] = scaled
        matrix[:k, 2 * k] = drive.real
        matrix[k : 2 * k, k : 2 * k] = scaled
        for b in range(k):
            at = u.astype(complex)
            at[b] += 1j * h * scale[b]
            matrix[k : 2 * k, b] = (part.system(complex(x), at)[0].imag / h * scale) @ v
        matrix[k : 2 * k, 2 * k] = (part.system(x + 1j * h, u.astype(complex))[0].imag / h * scale) @ v
        matrix[2 * k, k : 2 * k] = norm
        target = np.concatenate((rest.real, scaled @ v, [np.dot(norm, v) - 1.0]))
        rows = np.abs(matrix).max(axis=1)
        if not (np.isfinite(matrix).all() and (rows > 0.0).all()):
            return float("nan")
        try:
            step = np.linalg.solve(matrix / rows[:, None], target / rows)
        except np.linalg.LinAlgError:
            return float("nan")
        if not np.isfinite(step).all():
            return float("nan")
        y, v, x = y - step[:k], v - step[k : 2 * k], x - step[2 * k]
        if x == 0.0 or not y.all():
            return float("nan")
        size = max(abs(step[2 * k]) / abs(x), float((np.abs(step[:k]) / np.abs(y)).max()))
        if size <= 4.0 * _EPS or (before < 1e-9 and size > 0.3 * before):
            return float(x)
        before = size
    return float("nan")
