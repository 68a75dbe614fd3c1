"""The real curve of a Hessian law, and its gaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fasthde._kernels import hessian as kernels
from fasthde.hessian._cells import Array
from fasthde.hessian._weights import WeightLaw

_EPS = float(np.finfo(float).eps)


class Gap(NamedTuple):
    """An interval (low, high) of z without spectrum; delta there rises from start to stop, s stays in ``side``."""

    low: float
    high: float
    start: float
    stop: float
    side: tuple[float, float]
    at_end: tuple[bool, bool]  # whether an end is where gamma = -1/delta meets the support of g


class Curve:
    """The real curve delta -> z, and the law's gaps on it."""

    def __init__(self, prepared: Any, weights: WeightLaw):
        self.prepared, self.weights = prepared, weights
        w, self.t, head = prepared[8:]
        self.c, self.rest = float(head[0]), float(head[1])
        self.rounding = 1e-12 * float(weights.expect(np.abs)) * float(head[3])  # of an edge at 0
        self.nonzero = 1.0 - weights.zero
        self.room = self.c * float(w.sum())  # c (1 - w_0)

    def __call__(self, d: ArrayLike, side: tuple[float, float]) -> Array:
        """z, M and dz/d delta."""
        points = np.atleast_1d(np.asarray(d, np.float64))
        out = np.empty((3, points.size))
        kernels.curve_rows(self.prepared, points, *side, out)
        return out

    def sums(self, d: float) -> tuple[float, float]:
        """E = E[g/(1 + g d)] and -de/dd at a real delta."""
        out = np.empty((3, 1), complex)
        kernels.sums_rows(self.prepared, np.array([complex(d, 0.0)]), out)
        return float(out[0, 0].real), float(out[1, 0].real)

    def strain(self, gamma: float) -> float:
        """E[(g/(gamma - g))**2], which must be below c (1 - w_0) in a gap."""
        if gamma == 0.0:
            return self.nonzero
        d = -1.0 / gamma
        value = self.sums(d)[1] * d * d
        return value if np.isfinite(value) else np.inf

    # ------------------------------------------------------------------------- where gamma = -1/delta can be

    def segments(self) -> list[tuple[float, float, bool, bool]]:
        """Intervals of gamma, 0 only at ends, where the strain is below c (1 - w_0), and which ends meet g."""
        pieces = self.weights._pieces
        found: list[tuple[float, float, bool, bool]] = []
        if not len(pieces):
            return found
        first, last = float(pieces[0, 0]), float(pieces[-1, 1])
        top, touch = self._ray(last, 1.0)
        found.append((top, np.inf, touch, False))
        bottom, touch = self._ray(first, -1.0)
        found.append((-np.inf, bottom, False, touch))
        for i in range(len(pieces) - 1):
            a, b = float(pieces[i, 1]), float(pieces[i + 1, 0])
            if self._may_hold(pieces, i):
                inner = self._between(a, b)
                if inner is not None:
                    found.append(inner)
        out = []
        for a, b, left, right in found:
            if a < 0.0 < b:
                out += [(a, 0.0, left, False), (0.0, b, False, right)]
            else:
                out.append((a, b, left, right))
        return out

    def _may_hold(self, pieces: Array, i: int) -> bool:
        """Two atoms alone: (a_i**(1/3) + a_j**(1/3))**3 < gap**2 c (1 - w_0)."""
        a, b = pieces[i], pieces[i + 1]
        if a[0] != a[1] or b[0] != b[1]:
            return True
        weights = self.weights
        own = [float(weights.masses[np.argmin(np.abs(weights.atoms - x))]) * x * x for x in (a[1], b[0])]
        return bool((np.cbrt(own[0]) + np.cbrt(own[1])) ** 3 < (b[0] - a[1]) ** 2 * self.room)

    def _ray(self, end: float, sign: float) -> tuple[float, bool]:
        """The point beyond ``end`` from which on the strain is below the room; whether that is the end itself."""
        near = end + sign * 1e-13 * abs(end)
        if self.strain(near) < self.room:
            return near, True
        if self.rest == 0.0 and end * sign <= 0.0:  # the strain is that room at 0
            if end == 0.0:
                return 0.0, False
            far = 0.0
        else:
            step = abs(end) if end else float(np.abs(self.weights.hull[:2]).max())
            while not self.strain(end + sign * step) < self.room:
                step *= 4.0
            far = end + sign * step
        return self._root(near, far), False

    def _between(self, a: float, b: float) -> tuple[float, float, bool, bool] | None:
        from scipy import optimize

        width = b - a
        lowest = optimize.minimize_scalar(
            lambda x: np.log(self.strain(a + width * x)),
            bounds=(0.0, 1.0),
            method="bounded",
            options={"xatol": 1e-9},
        )
        middle = a + width * float(lowest.x)
        if not self.strain(middle) < self.room:
            return None
        ends = []
        for end, sign in ((a, 1.0), (b, -1.0)):
            near = end + sign * 1e-13 * width
            touch = self.strain(near) < self.room
            ends.append((near if touch else self._root(near, middle), touch))
        return ends[0][0], ends[1][0], ends[0][1], ends[1][1]

    def _root(self, bad: float, good: float) -> float:
        """Boundary between strain >= room and < room."""
        for _ in range(200):
            middle = 0.5 * (bad + good)
            if middle in (bad, good):
                break
            if self.strain(middle) < self.room:
                good = middle
            else:
                bad = middle
        return good

    # ------------------------------------------------------------------------------------------------ the gaps

    def gaps(self) -> list[Gap]:
        """Gaps of the law of the nodes, in ascending order."""
        t = self.t
        outer = (float(t[-1]), float(t[0]))
        found: list[Gap] = []
        segments = self.segments()
        for a, b, left, right in segments:
            found += self._scan(_spread(a, b), outer, (a, b), (left, right))
        sides = self._inner_sides()
        if sides:
            rays = sorted(s for s in segments if np.isinf(s[0]) or np.isinf(s[1]))
            rest = [s for s in segments if not (np.isinf(s[0]) or np.isinf(s[1]))]
            grids = [(_spread(a, b), (a, b), (left, right)) for a, b, left, right in rest]
            if len(rays) == 2:  # delta passes 0 between the two
                (a, b, _, right), (a2, b2, left2, _) = rays
                upper, lower = _spread(a2, b2), _spread(a, b)
                # ascending delta: from the ray towards +inf through 0 to the ray from -inf
                grids.append((np.concatenate([upper, [np.inf], lower]), (a2, b), (left2, right)))
            for side in sides:
                for gamma, ends, touch in grids:
                    found += self._scan(gamma, side, ends, touch)
        if self.rest == 0.0:  # towards delta = +-inf M is 1: rounding opens and closes gaps
            found = [g for g in found if max(abs(g.low), abs(g.high)) > self.rounding]
        found.sort(key=lambda g: (g.low, g.high))
        return found

    def _inner_sides(self) -> list[tuple[float, float]]:
        """Gaps of spec(C) that stay open for a sample covariance with n P(g /= 0) samples: a necessary condition."""
        w, t = self.prepared[8:10]
        share = self.c * w * t * t
        root = np.cbrt(share)
        # two neighbours alone
        can = np.flatnonzero((root[:-1] + root[1:]) ** 3 < self.nonzero * np.diff(t) ** 2)
        out = []
        for low, high in zip(t[can], t[can + 1], strict=True):
            # the least value of c sum w t**2/(t - s)**2, which is convex
            a, b = float(low), float(high)
            for _ in range(50):
                s = 0.5 * (a + b)
                if (share / (t - s) ** 3).sum() > 0.0:
                    b = s
                else:
                    a = s
            if (share / (t - a) ** 2).sum() < self.nonzero or (share / (t - b) ** 2).sum() < self.nonzero:
                out.append((float(low), float(high)))
        return out

    def _scan(
        self, gamma: Array, side: tuple[float, float], ends: tuple[float, float], touch: tuple[bool, bool]
    ) -> list[Gap]:
        """Intervals of the curve where z increases."""
        from scipy import optimize

        with np.errstate(divide="ignore"):
            d = np.where(np.isinf(gamma), 0.0, -1.0 / gamma)
        if side[0] < side[1]:
            d = self._refine(d, side)
        m = self(d, side)[1]
        inside = m < 1.0

        def excess(x: float) -> float:
            value = float(self([x], side)[1, 0])
            return float(np.log(value)) if 0.0 < value < np.inf else (700.0 if value > 0.0 else -700.0)

        # dips below 1 between two points of the grid
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.log(m)
        extra = []
        for i in np.flatnonzero((level[1:-1] <= level[:-2]) & (level[1:-1] <= level[2:]) & ~inside[1:-1]) + 1:
            if not np.isfinite(level[i - 1] + level[i + 1]):
                continue
            best = optimize.minimize_scalar(
                excess, bounds=(d[i - 1], d[i + 1]), method="bounded",
                options={"xatol": 1e-10 * max(abs(d[i - 1]), abs(d[i + 1]))},
            )  # fmt: skip
            if best.fun < 0.0:
                extra.append(float(best.x))
        if extra:
            d = np.sort(np.concatenate([d, extra]))
            m = self(d, side)[1]
            inside = m < 1.0
        edges = np.diff(np.concatenate([[False], inside, [False]]).astype(int))
        gaps = []
        for i, j in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True):
            start, at_start = (float(d[0]), True) if i == 0 else (self._edge(d[i - 1], d[i], excess), False)
            stop, at_stop = (
                (float(d[-1]), True) if j == d.size - 1 else (self._edge(d[j + 1], d[j], excess), False)
            )
            low = float(self([start], side)[0, 0])
            high = float(self([stop], side)[0, 0])
            meets = [False, False]
            outer = side[0] >= side[1]
            if at_start:
                meets[0] = touch[0]
                if ends[0] == 0.0:
                    low, start = 0.0, -np.inf
                elif np.isinf(ends[0]) and outer:
                    low, start = -np.inf, 0.0
            if at_stop:
                meets[1] = touch[1]
                if ends[1] == 0.0:
                    high, stop = 0.0, np.inf
                elif np.isinf(ends[1]) and outer:
                    high, stop = np.inf, 0.0
            if high > low:
                gaps.append(Gap(low, high, start, stop, side, (meets[0], meets[1])))
        return gaps

    def _refine(self, d: Array, side: tuple[float, float]) -> Array:
        """More points where delta e lies in the range that the gap (t_i, t_j) of spec(C) can have."""
        w, t = self.prepared[8:10]
        low, high = side
        x = low + (high - low) * 0.5 * (1.0 + np.tanh(np.linspace(-12.0, 12.0, 101)))[1:-1]
        p = self.c * (w * t * t / (t - x[:, None]) ** 2).sum(axis=1)
        a = self.c * (w * t / (t - x[:, None])).sum(axis=1)
        can = p < self.nonzero
        if not can.any():
            i = int(np.argmin(p))
            can[max(i - 1, 0) : i + 2] = True
        least, most = float(a[can].min()), float(a[can].max())
        out = np.empty((3, d.size), complex)
        kernels.sums_rows(self.prepared, d.astype(complex), out)
        b = d * out[0].real
        lower, upper = np.minimum(b[:-1], b[1:]), np.maximum(b[:-1], b[1:])
        cells = np.flatnonzero((upper >= least) & (lower <= most))
        if cells.size > 60:
            return d
        steps = np.linspace(0.0, 1.0, 34)[1:-1]
        return np.sort(
            np.concatenate([d, (d[cells, None] + (d[cells + 1] - d[cells])[:, None] * steps).ravel()])
        )

    def _edge(self, outside: float, inside: float, excess: Callable[[float], float]) -> float:
        from scipy import optimize

        if not excess(outside) > 0.0:
            return float(outside)
        return float(optimize.brentq(excess, outside, inside, xtol=1e-300, rtol=4 * _EPS, maxiter=300))

    def place(self, d: float, side: tuple[float, float]) -> float:
        return float(self([d], side)[0, 0])


def _spread(a: float, b: float) -> Array:
    """Points of (a, b), ends included where finite and not 0, dense towards both; ascending."""
    n = 241
    if np.isinf(a) and np.isinf(b):
        raise AssertionError
    if np.isinf(b):
        scale = abs(a) if a != 0.0 else 1.0
        far = a + scale * np.exp(np.linspace(-32.0, 28.0, n))
        return np.concatenate([[a] if a != 0.0 else [], far])
    if np.isinf(a):
        return -_spread(-b, np.inf)[::-1]
    x = 0.5 * (1.0 + np.tanh(np.linspace(-16.0, 16.0, n)))
    points = np.where(x < 0.5, a + (b - a) * x, b - (b - a) * x[::-1])
    return np.unique(
        np.concatenate([[a] if a != 0.0 else [], points[points != 0.0], [b] if b != 0.0 else []])
    )
