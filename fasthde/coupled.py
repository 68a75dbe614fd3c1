"""Laws whose deterministic equivalents have several coupled unknowns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _jit
from fasthde import _validate as check
from fasthde._distribution import Distribution, Solved
from fasthde._kernels import coupled as kernels
from fasthde._kernels.coupled import CONVERGED, MIXTURE, PROFILE, SEPARABLE, SIGNAL
from fasthde._results import Record, Status, freeze
from fasthde._kernels import series as series_kernels
from fasthde._series import Series, chebyshev
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)

_RATIO = "The ratio is p/n, dimension over samples."

#: Points a row of the kernel: each row has a workspace of its own.
_CHUNK = 32

#: Where the behaviour at 0 is read off, in units of the largest level: the first that is well conditioned.
_TINY = np.array([1e-60, 1e-40, 1e-30, 1e-24, 1e-20, 1e-16, 1e-13, 1e-11, 1e-9, 1e-8, 1e-7, 1e-6])


# ------------------------------------------------------------------------------------------- one irreducible part


class Solution(NamedTuple):
    """What the kernel returns, in the model's units."""

    m: Complex
    slope: Complex
    unknowns: Complex
    status: NDArray[np.int8]
    outside: NDArray[np.bool_]
    error: Array
    count: NDArray[np.int32]


class Part:
    """Equations whose unknowns all depend on each other; z of the kernel is z over ``unit``.

    Attributes
    ----------
    model : tuple
        As the kernels want it.
    unknowns : ndarray of int
        Which unknowns of the law these are.
    atoms : list of (location, mass)
        Away from 0, in the model's units.
    hard_levels : list of float
        Where the density is infinite away from 0.
    """

    __slots__ = ("atoms", "hard_levels", "model", "size", "unit", "unknowns")

    def __init__(
        self,
        kind: int,
        unit: float,
        c: float,
        reach: float,
        rest: tuple[float, float],
        w: Array,
        t: Array,
        tau: Array | None = None,
        u: Array | None = None,
        unknowns: Any = (0,),
        atoms: Sequence[tuple[float, float]] = (),
        hard_levels: Sequence[float] = (),
    ):
        one = np.ones(1)
        self.atoms, self.hard_levels = list(atoms), list(hard_levels)
        self.unit = unit
        self.unknowns = np.asarray(unknowns)
        self.size = self.unknowns.size
        self.model = (
            kind, c, reach, np.array([_snap(rest[0]), _snap(rest[1])]), np.ascontiguousarray(w), np.ascontiguousarray(t),
            np.ascontiguousarray(np.atleast_2d(one if tau is None else tau)),
            np.ascontiguousarray(one if u is None else u),
        )  # fmt: skip

    @property
    def kind(self) -> int:
        """Family."""
        return int(self.model[0])

    def solve(self, z: Any) -> Solution:
        """Certified solutions at points z of the closed upper half-plane, in the model's units."""
        z = np.ascontiguousarray(z, dtype=np.complex128)
        k, n = self.size, self.model[4].size
        rows = -(-z.size // _CHUNK)
        work = (
            np.empty((rows, k, k + 2), np.complex128),
            np.empty((rows, kernels.VECTORS, k), np.complex128),
            np.empty((rows, kernels.ROWS, n)),
        )
        out = np.empty((3, z.size), np.complex128)
        unknowns = np.empty((z.size, k), np.complex128)
        status, count = np.empty(z.size, np.int8), np.empty(z.size, np.int32)
        cost = 20.0 * z.size * (n * (1.0 + k * k / 4.0) + self.model[7].size + k**3)
        _jit.map_rows(
            kernels.coupled_rows, None, rows, cost, None,
            self.model, z, _CHUNK, work, out, unknowns, status, count,
        )  # fmt: skip
        return Solution(out[0], out[1], unknowns, status, out[2].imag == 1.0, out[2].real, count)

    def system(self, z: complex, x: Complex) -> tuple[Complex, Complex, Complex]:
        """Jacobian, residual and derivative in z of the equations at any point."""
        k = self.size
        out = np.empty((k, k + 2), np.complex128)
        kernels.equations(
            self.model, z, np.ascontiguousarray(x), out, np.empty((kernels.ROWS, self.model[4].size))
        )
        return out[:, :k], out[:, k], out[:, k + 1]

    def mass_at_zero(self) -> float:
        """What the rank of the pattern of non-zero variances leaves: a minimum cut."""
        kind, c, _, rest, w, t, _, u = self.model
        if kind == PROFILE:
            return max(0.0, math.fsum(w) - _flow(w, w, t > 0))
        if kind == MIXTURE and not (t > 0).all():
            patterns, which = np.unique(t > 0, axis=1, return_inverse=True)
            return max(0.0, math.fsum(w) - _flow(np.bincount(which.ravel(), w), u / c, patterns.T))
        return max(0.0, -float(rest[1]) / c)

    def below(self, z: Array, unknowns: Complex) -> Array:
        """Mass of the continuous part (and at 0) below points outside the support."""
        mass = self._below(z, unknowns)
        for location, size in self.atoms:
            mass = mass - size * (z > location)
        return mass

    def _below(self, z: Array, unknowns: Complex) -> Array:
        """Levels and nodes whose denominators are negative.

        On the axis the logarithmic potential ``int log(x - z)`` has the imaginary part -pi times the mass below z;
        it is the sum of the logarithms of all denominators and a real part.
        """
        kind, c, _, _, w, t, tau, u = self.model
        x = unknowns.real
        with np.errstate(all="ignore"):
            if kind == PROFILE:
                return np.asarray((x < 0.0) @ w)
            if kind == SIGNAL:
                b = 1.0 + x[:, :1]
                negative = t[0] / b - x[:, 1:] * t[1] - z[:, None] < 0.0
                return np.asarray(negative @ w - (b[:, 0] < 0.0) / c)
            if kind == MIXTURE:
                f = 1.0 / (1.0 + x)
                return np.asarray(((f * u) @ t - z[:, None] < 0.0) @ w - (f < 0.0) @ u / c)
            d = 1.0 + x * tau[0]
            e = (u * tau[0] / d).sum(axis=1)
            return np.asarray((e[:, None] * t[0] - z[:, None] < 0.0) @ w - (d < 0.0) @ u / c)


def _snap(rest: float) -> float:
    """Counts that agree to rounding agree: a hard edge."""
    return 0.0 if abs(rest) <= 8.0 * _EPS else rest


def _flow(rows: Array, columns: Array, linked: NDArray[np.bool_]) -> float:
    """Largest mass that rows can send to columns along links (augmenting paths)."""
    sent = np.zeros(linked.shape)
    spare, room = rows.astype(float).copy(), columns.astype(float).copy()
    floor = 4.0 * _EPS * float(max(rows.max(), columns.max()))
    while True:
        # breadth first from rows with something left; a path goes forward along links and back along flow
        parent: dict[tuple[int, int], tuple[int, int] | None] = {
            (0, int(i)): None for i in np.flatnonzero(spare > floor)
        }
        queue, end = list(parent), None
        while queue and end is None:
            side, i = queue.pop(0)
            if side == 1 and room[i] > floor:
                end = (1, i)
                break
            for j in np.flatnonzero(linked[i]) if side == 0 else np.flatnonzero(sent[:, i] > floor):
                node = (1 - side, int(j))
                if node not in parent:
                    parent[node] = (side, i)
                    queue.append(node)
        if end is None:
            return float(sent.sum())
        path = [end]
        while (before := parent[path[-1]]) is not None:
            path.append(before)
        path.reverse()
        amount = min(spare[path[0][1]], room[end[1]])
        for a, b in zip(path[:-1], path[1:], strict=True):
            if a[0] == 1:
                amount = min(amount, sent[b[1], a[1]])
        for a, b in zip(path[:-1], path[1:], strict=True):
            if a[0] == 0:
                sent[a[1], b[1]] += amount
            else:
                sent[b[1], a[1]] -= amount
        spare[path[0][1]] -= amount
        room[end[1]] -= amount


# ------------------------------------------------------------------------------------------------- the support


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
    kind, c, reach = part.model[:3]
    top = 1.01 * reach
    tiny, at_zero, exponent = _origin(part)
    zero = part.mass_at_zero()
    zero = zero if zero > 4.0 * _EPS else 0.0
    if kind == SEPARABLE:
        _, _, _, _, w, t, tau, u = part.model
        found = np.empty(t.shape[1] + 2 * tau.shape[1] + 8)
        count = kernels.separable_gaps(
            t[0], w, tau[0], u, c, np.empty((t.shape[1], 2)), np.empty((tau.shape[1], 4)), found
        )
        points = np.concatenate(([tiny] if at_zero else [], np.sort(found[:count]), [top]))
        state = part.solve(points)
        sample = Sample(points, state.outside, part.below(points, state.unknowns))
    else:
        sample = scan(part, tiny, top)
    edges = _refine(part, sample, at_zero)
    if not at_zero:
        edges = np.concatenate(([0.0], edges))
    powers, hard = np.full(edges.size, 2.0), np.zeros(edges.size, bool)
    if kind == PROFILE:  # symmetric; x next to 0 keeps its digits in pieces that end there
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


def _origin(part: Part) -> tuple[float, bool, float]:
    """A point next to 0, whether it is outside the support, and the power by which the density grows there.

    Hard edges of several orders lose digits near 0: the first point that agrees with the next one is taken.
    """
    near = part.solve(_TINY)
    with np.errstate(all="ignore"):
        power = np.where(near.outside, 0.0, -(near.slope * _TINY).imag / near.m.imag)
    good = (near.status == CONVERGED) & (near.error < 1e-8)
    for i in range(_TINY.size - 1):
        if good[i] and good[i + 1] and near.outside[i] == near.outside[i + 1]:
            if abs(power[i + 1] - power[i]) < 5e-3:
                return float(_TINY[i]), bool(near.outside[i]), float(power[i]) if power[i] > 0.01 else 0.0
    raise ArithmeticError("the law could not be solved near 0; please report it.")


class Sample(NamedTuple):
    """Points of the real axis, whether they are outside the support, and the mass below those that are."""

    x: Array
    outside: NDArray[np.bool_]
    below: Array


def _refine(part: Part, sample: Sample, left_open: bool) -> Array:
    """Edges between the gaps of a sample, ascending: for each gap its right end, then the next one's left end."""
    label = np.where(sample.outside, np.round(sample.below * 1e9), np.nan)
    where = np.flatnonzero(sample.outside)
    # (last point of a gap, first point beyond it) for right ends; mirrored for left ends
    brackets: list[tuple[float, float, float]] = []
    first = 0 if left_open else -1
    gaps = [where[0]] + [b for a, b in zip(where[:-1], where[1:], strict=True) if label[a] != label[b]]
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


def scan(part: Part, tiny: float, top: float) -> Sample:
    """Samples of (0, top] dense enough to have a point in every gap.

    A first grid is geometric, linear, and drawn to where the levels would lie without noise. Between two
    points outside with different masses below there is a bulk: halved until it is seen. Between two points inside,
    the transform at the middle must agree with the cubic through the ends, and a minimum of the density is
    followed until it is a gap or flat.
    """
    reach = part.model[2]
    seeds = _seeds(part)
    middle = 0.5 * (seeds[1:] + seeds[:-1]) if seeds.size else seeds
    x = np.concatenate((
        [tiny, top], reach * np.geomspace(1e-18, 1.0, 61), reach * np.linspace(0.0, 1.0, 65)[1:], seeds, middle
    ))  # fmt: skip
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
    return resolvable & known & (hidden | mixed | (inside & (dip | untested)))


def _seeds(part: Part) -> Array:
    """Where the levels lie without noise, in ascending order."""
    kind, _, _, _, _, t, _, u = part.model
    if kind == MIXTURE:
        return np.unique(u @ t)
    if kind == SIGNAL:
        return np.unique(t[0] + t[1])
    return np.empty(0)


# ---------------------------------------------------------------------------------------------------- the series


def _fit(density: Any, edges: Array, q: Array, hard: NDArray[np.bool_]) -> Series:
    """Series of a density given pointwise: all pieces at once, unresolved ones halved in the next round.

    Resolved means that the last coefficients are at the rounding of the peak or of x; or that halving no longer
    lessens them: the rounding of the solved unknowns.
    """
    series = Series(edges, q, hard)
    node, matrix = chebyshev()
    edge, sign, width, power, is_hard = series.halves
    half = np.arange(edge.size)
    u0, u1 = np.zeros(edge.size), 0.5 ** (1.0 / power)
    before = np.full(edge.size, np.inf)
    peak = np.zeros(edge.size)
    kept: list[tuple[Any, ...]] = []
    while half.size:
        u = 0.5 * (u0 + u1)[:, None] + 0.5 * (u1 - u0)[:, None] * node
        h = half[:, None]
        x = edge[h] + sign[h] * (width[h] * u ** power[h])
        values = density(x.ravel()).reshape(x.shape) * np.where(is_hard[h], u ** (power[h] - 1.0), 1.0)
        if np.isnan(values).any():
            raise ArithmeticError(
                f"the density could not be solved at x = {x[np.isnan(values)][0]:.17g}; please report this law."
            )
        coefficients = values @ matrix.T
        np.maximum.at(peak, half, values.max(axis=1))
        step = np.abs(np.diff(values, axis=1)) / np.maximum(np.abs(np.diff(x, axis=1)), 1e-300)
        noise = (step * np.abs(x[:, 1:])).max(axis=1)
        tail = np.abs(coefficients[:, -3:]).max(axis=1)
        good = tail <= 4.0 * _EPS * peak[half] + 0.25 * _EPS * noise
        good |= (tail <= 1e-11 * peak[half]) & (tail > 0.1 * before)
        good |= u1 - u0 < 1e-12
        kept.append((half[good], u0[good], u1[good], coefficients[good]))
        middle = 0.5 * (u0 + u1)[~good]
        half, before = np.tile(half[~good], 2), np.tile(tail[~good], 2)
        u0, u1 = np.concatenate((u0[~good], middle)), np.concatenate((middle, u1[~good]))
    half, u0, u1, pdf = (np.concatenate(v) for v in zip(*kept, strict=True))
    order = np.lexsort((u0, half))
    half, u0, u1, pdf = half[order].astype(np.int64), u0[order], u1[order], np.ascontiguousarray(pdf[order])
    mass = np.empty((half.size, node.size + 2))
    counts = np.bincount(half, minlength=edge.size).astype(np.int64)
    series_kernels.integrate_rows(series.halves, counts, u0, u1, pdf, mass)
    return series.fill(half, u0, u1, pdf, mass)


# ------------------------------------------------------------------------------------------------ the equivalent


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class CoupledEquivalent(Record):
    """Deterministic equivalent of the resolvent of a coupled law, in the eigenbasis of its covariances.

    Attributes
    ----------
    z : complex, float or ndarray
        Spectral parameter.
    unknowns : ndarray, shape (..., k)
        Solution of the law's equations: (delta, delta~), the delta of each class, or g.
    entries, companion : ndarray, shape (..., levels), or None
        See `diagonal` and `companion_diagonal`.
    trace : complex, float or ndarray
        Normalised trace, the Stieltjes transform.
    status : int or ndarray
        `Status` code.
    residual : float or ndarray
        Estimated relative error of the unknowns.
    """

    z: Any
    unknowns: NDArray[Any]
    entries: NDArray[Any]
    companion: NDArray[Any] | None
    trace: Any
    status: Any
    residual: Any

    @property
    def success(self) -> Any:
        """Whether each element is solved."""
        good = np.asarray(self.status) == Status.CONVERGED
        return bool(good) if good.ndim == 0 else good

    def diagonal(self) -> NDArray[Any]:
        """Entries of the equivalent of the resolvent on the levels, in the order given.

        Returns
        -------
        ndarray, shape (..., levels)
        """
        return self.entries

    def companion_diagonal(self) -> NDArray[Any]:
        """Entries of the equivalent of the companion resolvent ``(X'X/n - z)^-1``.

        Returns
        -------
        ndarray, shape (..., nodes)
            One for each value of T, class, or level (then a last one for directions without signal).

        Raises
        ------
        TypeError
            For a variance profile, which has no companion.
        """
        if self.companion is None:
            raise TypeError("this equivalent has no companion: a symmetric matrix is not a product X X'.")
        return self.companion

    def __repr__(self) -> str:
        names = ", ".join(Status(s).name for s in np.unique(self.status))
        return f"CoupledEquivalent, z of shape {np.shape(self.z)}, {self.entries.shape[-1]} levels, {names}"


# ------------------------------------------------------------------------------------------------------ the laws


class _Coupled(Distribution):
    """What the coupled laws share: parts, support, density, transforms."""

    __slots__ = ()

    def _build(self) -> tuple[list[Part], float]:
        """Irreducible parts, and the weight of levels that carry nothing."""
        raise NotImplementedError

    def _entries(self, z: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Diagonals of the equivalents from z (a column) and the unknowns (rows)."""
        raise NotImplementedError

    @property
    def _parts(self) -> tuple[list[Part], float]:
        return self._memo("model", self._build)  # type: ignore[no-any-return]

    @property
    def _ends(self) -> list[Ends]:
        return self._memo("ends", lambda: [find_ends(p) for p in self._parts[0]])  # type: ignore[no-any-return]

    # --------------------------------------------------------------------------------- what Distribution asks

    @property
    def support(self) -> Array:
        """Intervals of the continuous part, shape (k, 2), ascending, to machine precision."""
        return self._memo("support", self._find_support)  # type: ignore[no-any-return]

    def _find_support(self) -> Array:
        pieces = self._pieces()[0].reshape(-1, 2)
        joined: list[list[float]] = []
        for a, b in pieces.tolist():
            if joined and a == joined[-1][1]:
                joined[-1][1] = b
            else:
                joined.append([a, b])
        return freeze(np.array(joined).reshape(-1, 2))  # type: ignore[no-any-return]

    def _pieces(self) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Intervals on which the density is analytic, with powers and hard edges."""
        rows: list[tuple[float, float, bool]] = []
        spans: list[tuple[float, float]] = []
        for part, ends in zip(self._parts[0], self._ends, strict=True):
            edges = ends.edges * part.unit
            rows += [
                (float(e), float(q), bool(h)) for e, q, h in zip(edges, ends.powers, ends.hard, strict=True)
            ]
            spans += [(float(a), float(b)) for a, b in edges.reshape(-1, 2)]
        worst: dict[float, tuple[float, bool]] = {}
        for e, q, h in rows:
            known = worst.get(e, (2.0, False))
            worst[e] = (max(known[0], q), known[1] or h)
        cuts = sorted(worst)
        edges, powers, hard = [], [], []
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            if any(low <= a and b <= high for low, high in spans):
                edges += [a, b]
                powers += [worst[a][0], worst[b][0]]
                hard += [worst[a][1], worst[b][1]]
        return np.array(edges), np.array(powers), np.array(hard, bool)

    def _make_series(self) -> Series:
        return _fit(self._density, *self._pieces())

    @property
    def atoms(self) -> list[tuple[float, float]]:
        """Point masses as (location, mass), ascending."""
        zero = self._parts[1] + sum(e.zero for e in self._ends)
        atoms = [(0.0, zero)] if zero > 0.0 else []
        for part in self._parts[0]:
            atoms += [(a * part.unit, m) for a, m in part.atoms]
        return sorted(atoms)

    def _solve(self, z: Complex) -> tuple[Complex, Complex, NDArray[np.int64], Array, NDArray[np.int64]]:
        """m, all unknowns, status, residual and evaluations at points of the closed upper half-plane."""
        parts, zero = self._parts
        total = sum(p.size for p in parts)
        names = np.concatenate([p.unknowns for p in parts])
        unknowns = np.zeros((z.size, max(total, int(names.max()) + 1)), np.complex128)
        with np.errstate(divide="ignore", invalid="ignore"):
            m = -zero / z if zero > 0.0 else np.zeros(z.size, np.complex128)
        status, residual = np.zeros(z.size, np.int64), np.zeros(z.size)
        count = np.zeros(z.size, np.int64)
        for part in parts:
            state = part.solve(z / part.unit)
            m = m + state.m / part.unit
            unknowns[:, part.unknowns] = state.unknowns
            status = np.maximum(status, state.status)
            residual = np.maximum(residual, state.error)
            count += state.count
        return m, unknowns, status, residual, count

    def _density(self, x: Array) -> Array:
        out = np.zeros(x.size)
        for part in self._parts[0]:
            state = part.solve(x / part.unit)
            out += np.where(state.outside, 0.0, state.m.imag) / (np.pi * part.unit)
        lost = np.isnan(out)
        if lost.any():  # within the rounding of an edge
            edges = self._pieces()[0]
            near = np.abs(x[lost, None] - edges).min(axis=1) <= 64.0 * _EPS * np.abs(x[lost])
            out[lost] = np.where(near, 0.0, np.nan)
        return out

    def _transform(self, z: Complex) -> Solved:
        m, _, status, residual, count = self._solve(z)
        return m, None, residual, status, count  # type: ignore[return-value]

    def _real_transform(self, x: Array) -> Solved:
        m, _, status, residual, count = self._solve(x.astype(np.complex128))
        return m.real, None, residual, status, count  # type: ignore[return-value]

    def equivalent(self, z: ArrayLike, *, side: str | None = None) -> CoupledEquivalent:
        """Deterministic equivalent of the resolvent in the eigenbasis of the covariances.

        Parameters
        ----------
        z : array_like
            Complex numbers, or real ones off the spectrum.
        side : {"+", "-"}, optional
            On the support, the limit from the upper or the lower half-plane; NaN and INVALID without it.

        Returns
        -------
        CoupledEquivalent
            Real for real z (unless a side is given).
        """
        raw = np.asarray(z)
        points = raw.astype(np.complex128) if raw.dtype.kind == "c" else check.real_array("z", z)
        if side not in (None, "+", "-"):
            raise ValueError(f'side must be "+", "-" or None; got {side!r}.')
        real = points.dtype.kind == "f" and side is None
        flat = points.ravel().astype(np.complex128)
        good = np.isfinite(flat.real) & np.isfinite(flat.imag)
        on_axis = np.flatnonzero(good & (flat.imag == 0.0))
        bad = np.isin(flat.real[on_axis], self._atom_table[0]) if on_axis.size else np.empty(0, bool)
        if side is None and on_axis.size:
            bad |= self._on_support(flat.real[on_axis])
        good[on_axis[bad]] = False
        below = (flat.imag < 0.0) | ((flat.imag == 0.0) & (side == "-"))
        up = np.where(good, flat.real + 1j * np.abs(flat.imag), np.nan)
        m, unknowns, status, residual, _ = self._solve(up)
        residual = np.where(status == Status.INVALID, np.nan, residual)
        with np.errstate(all="ignore"):
            entries, companion = self._entries(up[:, None], unknowns)
            unknowns = self._named(up[:, None], unknowns)

        def shaped(value: Any, *tail: int) -> Any:
            if value is None:
                return None
            if value.dtype.kind == "c":
                value = np.where(below[:, None] if value.ndim == 2 else below, value.conj(), value)
                value = value.real if real else value
            value = freeze(np.ascontiguousarray(value.reshape(points.shape + tail)))
            return value if value.ndim else value.item()

        return CoupledEquivalent(
            z=freeze(points) if points.ndim else points.item(),
            unknowns=shaped(unknowns, unknowns.shape[1]),
            entries=shaped(entries, entries.shape[1]),
            companion=shaped(companion, 0 if companion is None else companion.shape[1]),
            trace=shaped(m),
            status=shaped(status),
            residual=shaped(residual),
        )

    def _named(self, z: Complex, x: Complex) -> Complex:
        """Unknowns as they are called in the documentation."""
        return x

    # ------------------------------------------------------------------------------------------------- records

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> Any:
        fields: dict[str, Any] = {}
        inner: dict[str, dict[str, Any]] = {}
        for name, value in flat.items():
            head, dot, tail = name.partition(".")
            if dot:
                inner.setdefault(head, {})[tail] = value
            else:
                fields[name] = value.item() if np.ndim(value) == 0 else value
        fields |= {head: Spectrum._from_flat(rows) for head, rows in inner.items()}
        return cls._from_fields(fields)


def _proportions(H: Spectrum) -> Array:
    return np.asarray(H.multiplicity / math.fsum(H.multiplicity))


def _merge(values: Array, w: Array) -> tuple[Array, Array]:
    """Distinct columns in ascending order with their total weights; columns of weight 0 left out."""
    keep = w > 0
    levels, which = np.unique(values[..., keep], axis=-1, return_inverse=True)
    weights = (
        [math.fsum(w[keep][which.ravel() == i]) for i in range(levels.shape[-1])]
        if (levels.shape[-1] < keep.sum())
        else list(w[keep][np.argsort(which.ravel())])
    )
    return levels, np.array(weights)


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Separable(_Coupled):
    """Law of ``X X'/n`` for ``X = C^1/2 Z T^1/2``; see `separable`.

    Parameters
    ----------
    H, T : Spectrum
        Eigenvalues of C and T; only their proportions count.
    ratio : float
        p/n.
    """

    H: Spectrum
    T: Spectrum
    ratio: float
    _cache: dict[str, Any] | None

    def __init__(self, H: Spectrum, T: Spectrum, ratio: float):
        for name, value in (("H", H), ("T", T)):
            spectrum = as_spectrum(name, value)
            if not (spectrum.values[spectrum.multiplicity > 0] > 0).any():
                raise ValueError(
                    f"{name} must have a positive eigenvalue; all are 0. The matrix X would vanish."
                )
            object.__setattr__(self, name, spectrum)
        object.__setattr__(self, "ratio", check.scalar("ratio", ratio, positive=True, hint=_RATIO))
        object.__setattr__(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        c = self.ratio
        t, w = _merge(self.H.values, _proportions(self.H))
        tau, u = _merge(self.T.values, _proportions(self.T))
        zero = float(w[t == 0].sum())
        t, w, tau, u = t[t > 0], w[t > 0], tau[tau > 0], u[tau > 0]
        unit = (t[-1], tau[-1])
        rest = math.fsum(u) - c * math.fsum(w)
        part = Part(
            SEPARABLE, float(unit[0] * unit[1]), c, (1.0 + math.sqrt(c)) ** 2, (rest, rest),
            w, (t / unit[0])[None], tau / unit[1], u,
        )  # fmt: skip
        return [part], zero

    def _entries(self, z: Any, x: Any) -> Any:
        d, dd = np.split(self._named(z, x), 2, axis=1)
        tau, u = self.T.values, _proportions(self.T)
        return 1.0 / ((u * tau / (1.0 + d * tau)).sum(axis=1, keepdims=True) * self.H.values - z), -1.0 / (
            z * (1.0 + d * tau)
        )

    def _named(self, z: Any, x: Any) -> Any:
        tau, u = self.T.values, _proportions(self.T)
        d = x / tau.max(initial=0.0, where=self.T.multiplicity > 0)
        return np.concatenate((d, -(u * tau / (1.0 + d * tau)).sum(axis=1, keepdims=True) / z), axis=1)

    def __repr__(self) -> str:
        return f"Separable(H={self.H!r}, T={self.T!r}, ratio={self.ratio:.6g})"


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Mixture(_Coupled):
    """Law of ``X X'/n`` for columns of several commuting covariances; see `mixture`.

    Parameters
    ----------
    levels : ndarray, shape (classes, levels)
        Eigenvalues of each class's covariance in the common eigenbasis.
    multiplicity : ndarray, shape (levels,)
        Multiplicities, or weights of a measure.
    weights : ndarray, shape (classes,)
        Proportions of the classes.
    ratio : float
        p/n.
    """

    levels: Array
    multiplicity: Array
    weights: Array
    ratio: float
    _cache: dict[str, Any] | None

    def __init__(self, spectra: Sequence[Spectrum], weights: ArrayLike, ratio: float):
        if isinstance(spectra, Spectrum) or not isinstance(spectra, Sequence):
            raise TypeError(f"spectra must be a list of Spectrum, one a class; got {type(spectra).__name__}.")
        if not len(spectra):
            raise ValueError("spectra must not be empty; pass one Spectrum a class.")
        classes = [as_spectrum(f"spectra[{a}]", s) for a, s in enumerate(spectra)]
        first = _proportions(classes[0])
        for a, s in enumerate(classes):
            if s.values.size != first.size:
                raise ValueError(
                    f"spectra[{a}] must have the {first.size} levels of spectra[0]; got {s.values.size}. "
                    "Level i of every class belongs to the same eigenspace: the covariances commute."
                )
            if not np.allclose(_proportions(s), first, rtol=1e-12, atol=0.0):
                raise ValueError(
                    f"spectra[{a}] must have the multiplicities of spectra[0], level by level: "
                    "level i of every class belongs to the same eigenspace. Repeat levels to line them up."
                )
        levels = np.array([s.values for s in classes])
        if not (levels * first > 0).any():
            raise ValueError("spectra must have a positive eigenvalue; all are 0. The matrix X would vanish.")
        pi = check.same_length("weights", check.real_array("weights", weights), "classes", len(classes))
        check.non_negative("weights", pi, "They are proportions of the classes.")
        if not pi.sum() > 0:
            raise ValueError("weights must not all be zero.")
        if not (levels * first * pi[:, None] > 0).any():
            raise ValueError("weights must be positive for some class whose eigenvalues are not all 0.")
        set_ = object.__setattr__
        set_(self, "levels", freeze(levels))
        set_(self, "multiplicity", freeze(classes[0].multiplicity.copy()))
        set_(self, "weights", freeze(pi / math.fsum(pi)))
        set_(self, "ratio", check.scalar("ratio", ratio, positive=True, hint=_RATIO))
        set_(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        c, pi = self.ratio, self.weights
        t, w = _merge(self.levels, self.multiplicity / math.fsum(self.multiplicity))
        alive = (pi > 0) & (t > 0).any(axis=1)
        zero = math.fsum(w[~(t[alive] > 0).any(axis=0)])
        parts = []
        for group in _components(((t > 0).astype(float) @ (t > 0).T > 0) & alive & alive[:, None], alive):
            used = (t[group] > 0).any(axis=0)
            unit = float(t[group].max())
            u, v = pi[group], w[used]
            rest = math.fsum(u) - c * math.fsum(v)
            parts.append(
                Part(
                    MIXTURE, unit, c, (1.0 + math.sqrt(c)) ** 2, (rest, rest),
                    v, t[np.ix_(group, used)] / unit, None, u, group,
                )
            )  # fmt: skip
        return parts, float(zero)

    def _entries(self, z: Any, x: Any) -> Any:
        f = 1.0 / (1.0 + self._named(z, x))
        return 1.0 / ((f * self.weights) @ self.levels - z), -f / z

    def _named(self, z: Any, x: Any) -> Any:
        return np.concatenate((x, np.zeros((x.shape[0], self.weights.size - x.shape[1]))), axis=1)

    def __repr__(self) -> str:
        return (
            f"Mixture({self.weights.size} classes, {self.levels.shape[1]} levels, "
            f"values {self.levels.min():.6g} .. {self.levels.max():.6g}, ratio {self.ratio:.6g})"
        )


def _components(linked: NDArray[np.bool_], alive: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Connected groups of indices."""
    left = set(np.flatnonzero(alive).tolist())
    groups = []
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = set(np.flatnonzero(linked[sorted(edge)].any(axis=0)).tolist()) & left - group
        groups.append(np.array(sorted(group)))
        left -= group
    return groups


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class InformationPlusNoise(_Coupled):
    """Law of ``X X'/n`` for ``X = A + C^1/2 Z``; see `information_plus_noise`.

    Parameters
    ----------
    signal, H : Spectrum
        Eigenvalues of ``A A'/n`` and of C in the same eigenbasis.
    ratio : float
        p/n.
    """

    signal: Spectrum
    H: Spectrum
    ratio: float
    _cache: dict[str, Any] | None

    def __init__(self, signal: Spectrum, ratio: float, H: Spectrum | None = None):
        s = as_spectrum("signal", signal)
        c = check.scalar("ratio", ratio, positive=True, hint=_RATIO)
        if H is None:
            ones = np.ones(s.values.size)
            H = Spectrum(ones, weights=s.multiplicity) if s.is_measure else Spectrum(ones, s.multiplicity)
        noise = as_spectrum("H", H)
        w = _proportions(s)
        if noise.values.size != w.size:
            raise ValueError(
                f"H must have the {w.size} levels of signal; got {noise.values.size}. "
                "Level i of both belongs to the same eigenspace: A A' and C commute."
            )
        if not np.allclose(_proportions(noise), w, rtol=1e-12, atol=0.0):
            raise ValueError(
                "H must have the multiplicities of signal, level by level: "
                "level i of both belongs to the same eigenspace. Repeat levels to line them up."
            )
        if not (noise.values * w > 0).any():
            raise ValueError(
                "H must have a positive eigenvalue; all are 0. Without noise the law is the signal's."
            )
        rank = math.fsum(w[s.values > 0])
        if c * rank > 1.0 + 1e-12:
            raise ValueError(
                f"signal must have at most n positive eigenvalues, a fraction {1.0 / c:.6g} of them at ratio {c:g}; "
                f"got {rank:.6g}. A is p x n: fill up with zeros."
            )
        set_ = object.__setattr__
        set_(self, "signal", s)
        set_(self, "H", noise)
        set_(self, "ratio", c)
        set_(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        c = self.ratio
        both, w = _merge(np.array([self.signal.values, self.H.values]), _proportions(self.signal))
        used = (both > 0).any(axis=0)
        zero = math.fsum(w[~used])
        (a, t), w = both[:, used], w[used]
        unit = float(t.max())
        a, t = a / unit, t / unit
        reach = (math.sqrt(a.max()) + 1.0 + math.sqrt(c)) ** 2
        rest = (max(0.0, _snap(1.0 - c * math.fsum(w[a > 0]))), 1.0 - c * math.fsum(w))
        # a noiseless level keeps the mass that exceeds the rank of the noise; a hard edge where they are equal
        excess = np.where(t == 0, w - math.fsum(w[t > 0]), -1.0)
        atoms = [(float(x), float(y)) for x, y in zip(a, excess, strict=True) if y > 8.0 * _EPS]
        hard = [float(x) for x, y in zip(a, excess, strict=True) if abs(y) <= 8.0 * _EPS]
        part = Part(SIGNAL, unit, c, reach, rest, w, np.array([a, t]), None, None, (0, 1), atoms, hard)
        return [part], float(zero)

    def _entries(self, z: Any, x: Any) -> Any:
        b, a = 1.0 + x[:, :1], -x[:, 1:] * self.H.values - z
        level = self.signal.values
        r = 1.0 / ((level - z) - x[:, 1:] * self.H.values + x[:, :1] * a)
        other = np.where(level > 0, a * r, 1.0 / b)
        return b * r, -np.concatenate((other, 1.0 / b), axis=1) / z

    def _named(self, z: Any, x: Any) -> Any:
        return np.concatenate((x[:, :1], x[:, 1:] / z), axis=1)

    def __repr__(self) -> str:
        return f"InformationPlusNoise(signal={self.signal!r}, H={self.H!r}, ratio={self.ratio:.6g})"


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class VarianceProfile(_Coupled):
    """Law of a symmetric matrix with independent entries of given variances; see `variance_profile`.

    Parameters
    ----------
    variances : ndarray, shape (k, k)
        p times the variance of the entries of each pair of blocks.
    weights : ndarray, shape (k,)
        Proportions of the blocks.
    """

    variances: Array
    weights: Array
    _cache: dict[str, Any] | None

    def __init__(self, v: ArrayLike, weights: ArrayLike | None = None):
        s = check.not_empty("v", check.real_array("v", v, ndim=2))
        if s.shape[0] != s.shape[1]:
            raise ValueError(f"v must be square, one row and column a block; got shape {s.shape}.")
        check.non_negative("v", s, "It holds variances.")
        gap = float(np.abs(s - s.T).max())
        if gap > 1e-12 * float(s.max()):
            raise ValueError(
                f"v must be symmetric; entries differ by {gap:.3g}. Use (v + v.T)/2 if that is meant."
            )
        k = s.shape[0]
        w = np.ones(k) if weights is None else check.real_array("weights", weights)
        check.non_negative("weights", check.same_length("weights", w, "blocks", k), "They are proportions.")
        if not w.sum() > 0:
            raise ValueError("weights must not all be zero.")
        w = w / math.fsum(w)
        if not (s * w * w[:, None] > 0).any():
            raise ValueError(
                "v must have a positive entry between blocks of positive weight; the matrix would be 0."
            )
        set_ = object.__setattr__
        set_(self, "variances", freeze((s + s.T) / 2.0))
        set_(self, "weights", freeze(w))
        set_(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        v, w = self.variances, self.weights
        alive = (w > 0) & ((v * w) > 0).any(axis=1)
        parts = []
        for group in _components((v > 0) & alive & alive[:, None], alive):
            block = v[np.ix_(group, group)]
            unit = float((block @ w[group]).max())
            parts.append(
                Part(
                    PROFILE, math.sqrt(unit), 1.0, 2.0, (0.0, 0.0), w[group], block * w[group] / unit,
                    unknowns=group,
                )
            )  # fmt: skip
        return parts, math.fsum(w[~alive])

    def _entries(self, z: Any, x: Any) -> Any:
        return self._named(z, x), None

    def _named(self, z: Any, x: Any) -> Any:
        k = self.weights.size
        g = np.concatenate((x, np.zeros((x.shape[0], k - x.shape[1]))), axis=1)
        for part in self._parts[0]:
            g[:, part.unknowns] /= part.unit
        dead = np.setdiff1d(np.arange(k), np.concatenate([p.unknowns for p in self._parts[0]]))
        g[:, dead] = -1.0 / (z + g @ (self.variances * self.weights)[dead].T)
        return g

    def __repr__(self) -> str:
        return (
            f"VarianceProfile({self.weights.size} blocks, variances "
            f"{self.variances.min():.6g} .. {self.variances.max():.6g})"
        )


# -------------------------------------------------------------------------------------------------- constructors


def separable(H: Spectrum, T: Spectrum, ratio: float) -> Separable:
    return Separable(H, T, ratio)


def mixture(spectra: Sequence[Spectrum], weights: ArrayLike, ratio: float) -> Mixture:
    return Mixture(spectra, weights, ratio)


def information_plus_noise(signal: Spectrum, ratio: float, H: Spectrum | None = None) -> InformationPlusNoise:
    return InformationPlusNoise(signal, ratio, H)


def variance_profile(v: ArrayLike, weights: ArrayLike | None = None) -> VarianceProfile:
    return VarianceProfile(v, weights)
