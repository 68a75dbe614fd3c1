"""Where a function is smooth: pieces between its kinks that a polynomial resolves, and Gauss rules on them.

Gauss-Hermite quadrature is the wrong tool for activations: a kink leaves 3e-3 at 50 nodes, a pole near the axis
(tanh at a large variance) as much. Pieces that end at the kinks and that a polynomial of degree 19 resolves
integrate to rounding with 24 Gauss-Legendre nodes each.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde._results import warn_user
from fasthde._series import chebyshev

Array = NDArray[np.float64]

#: Chebyshev nodes of a piece; its last three coefficients must vanish to `_TOLERANCE`.
_POINTS = 20
_TOLERANCE = 1e-13

#: A piece that is not resolved at the first width (relative to the distance from 0 beyond 1) holds a kink, unless it
#: is resolved at a later one; then two kinks, or a steep slope, shared it. The last is that of declared functions.
_NARROW = (2.0**-9, 2.0**-13, 2.0**-20)
_FINEST = 2.0**-15
#: Of the grids of a search; a kink hides where it lies within 1e-3 of a piece's width from its end: two grids do not.
_OFFSETS = (0.0271828182, 0.0193147181)
MOST_KINKS = 64
_MANY_PIECES = 20_000

#: Gauss-Legendre nodes of a piece.
NODES = 24

#: Beyond 37 standard deviations a Gaussian is not a number any more.
_REACHES = (9.5, 13.0, 19.0, 27.0, 37.0)


@functools.cache
def legendre(n: int = NODES) -> tuple[Array, Array]:
    """Nodes and weights on [-1, 1]."""
    return np.polynomial.legendre.leggauss(n)


def lobatto(f: Array) -> Array:
    """Chebyshev coefficients of values at cos(pi k/n), k = 0..n, along the last axis."""
    from scipy.fft import dct

    n = f.shape[-1] - 1
    c: Array = np.asarray(dct(f, type=1, axis=-1), dtype=np.float64) / n
    c[..., [0, -1]] /= 2
    return c


def _distinct(points: Array) -> Array:
    """Sorted, without those that two grids located to different last digits."""
    kept: list[float] = []
    for point in np.unique(points).tolist():
        if not kept or point - kept[-1] > 2e-6 * max(1.0, abs(point)):
            kept.append(point)
    return np.array(kept)


@functools.cache
def _to_powers() -> Array:
    """From Chebyshev coefficients to those of powers."""
    rows = [np.polynomial.chebyshev.cheb2poly(np.eye(NODES)[k]) for k in range(NODES)]
    return np.array([np.pad(row, (0, NODES - row.size)) for row in rows])


class Mesh:
    """Breakpoints of a function, found on first use and extended as far as asked.

    Parameters
    ----------
    f : callable
        Vectorised function.
    kinks : ndarray or None
        Points where it or a derivative jumps; None looks for them.
    name : str
        For messages.
    """

    __slots__ = (
        "_ends",
        "_found",
        "_lock",
        "_near",
        "_powers",
        "f",
        "kinks",
        "name",
        "reach",
        "scale",
        "searching",
    )

    def __init__(self, f: Callable[[Array], Any], kinks: Array | None, name: str):
        self.f, self.name = f, name
        self.searching = kinks is None
        self.kinks = np.empty(0) if kinks is None else kinks
        self.reach = 0.0
        self.scale = 0.0
        self._ends = np.empty(0)
        self._found = False
        self._powers: tuple[Array, Array] | None = None
        self._near: tuple[float, Mesh] | None = None
        self._lock = threading.RLock()  # an activation is shared by all threads

    def values(self, t: Array) -> Array:
        """The function as float64; overflow is left as inf."""
        with np.errstate(all="ignore"):
            return np.asarray(self.f(t), dtype=np.float64)

    def breaks(self, reach: float) -> Array:
        """Ends of the pieces that cover [-reach, reach]."""
        reach = max(reach, 8.0)
        with self._lock:
            return self._covered(reach)

    def _covered(self, reach: float) -> Array:
        if reach > self.reach:
            reach = 2.0 ** np.ceil(np.log2(reach))
            self.scale = self.scale or self._size()
            if self.searching:
                self._search(reach)
            with np.errstate(all="ignore"):  # far out a function may leave the range of numbers
                self._ends = self._merged(self._resolve(-reach, reach, _FINEST)[0])
            self.reach = reach
        return self._ends

    def _size(self) -> float:
        for end, count in ((3.0, 61), (4.0, 1601), (64.0, 1281)):  # a bump, or 0 around the origin
            sizes = np.abs(self.values(np.linspace(-end, end, count)))
            size = float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))
            if size:
                return size
        return 1e-300

    def _resolve(self, a: float, b: float, width: float, offset: float = _OFFSETS[0]) -> tuple[Array, Array]:
        """Ends of pieces between a and b, and which of them (by their left ends) stay unresolved when narrow."""
        start: list[Any] = [[a, b], self.kinks[(self.kinks > a) & (self.kinks < b)]]
        if self.searching:  # small steps: a bump may hide between few points; no kink lies on this grid
            for end, step in ((min(float(b), 4.0), 0.0625), (min(float(b), 64.0), 0.5)):
                start.append(np.arange(-end, end - 1.0, step) + offset)
            powers: Array = 1.0271828 * 2.0 ** np.arange(6.0, max(6.0, float(np.ceil(np.log2(b)))))
            start += [powers[powers < b], -powers[powers < b]]
        else:
            powers = np.asarray(2.0 ** np.arange(np.ceil(np.log2(b))))
            start += [[0.0], powers, -powers]
        ends = np.unique(np.concatenate(start))
        left, right = ends[:-1], ends[1:]
        done: list[Array] = [np.array([b])]
        failed: list[Array] = []
        x, matrix = chebyshev(_POINTS)
        while left.size:
            half = (right - left)[:, None] / 2
            with np.errstate(all="ignore"):
                values = self.values((left + right)[:, None] / 2 + half * x)
                tail = np.abs(values @ matrix[-3:].T).max(axis=1)
                middle = np.abs(values @ matrix[9:12].T).max(axis=1)
                size = np.maximum(np.abs(values).max(axis=1), self.scale)
                geometric = (tail <= 1e-2 * middle) | (middle <= 1e-14 * size)  # at a kink: a power
                finite = np.isfinite(values)
                smooth = (tail <= _TOLERANCE * size) & geometric & finite.all(axis=1)
                smooth |= ~finite.any(axis=1)  # beyond the range of numbers
            narrow = right - left <= width * np.maximum(1.0, np.abs(left))
            failed.append(left[narrow & ~smooth & finite.all(axis=1)])
            done.append(left[smooth | narrow])
            left, right = left[~(smooth | narrow)], right[~(smooth | narrow)]
            middle = (left + right) / 2
            left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
            if left.size > _MANY_PIECES:
                raise ValueError(
                    f"{self.name} oscillates too fast between {a:g} and {b:g}: it would need more than {_MANY_PIECES} "
                    "pieces. Choose a smaller variance."
                )
        return np.sort(np.concatenate(done)), np.sort(np.concatenate(failed))

    def _merged(self, ends: Array) -> Array:
        """Fewer pieces: neighbours whose union one polynomial resolves, kinks apart (a third remain of a ReLU's)."""
        x, matrix = chebyshev(_POINTS)
        kept = [float(ends[0])]
        for middle, right in itertools.pairwise(ends[1:].tolist()):
            half = (right - kept[-1]) / 2
            values = self.values(kept[-1] + half + half * x)
            if not np.isfinite(values).all():  # beyond the range of numbers, and of any Gaussian
                kept.append(middle)
                continue
            fit = matrix @ values
            size = max(self.scale, float(np.abs(fit).sum()))
            check = kept[-1] + half + half * np.linspace(-0.99, 0.99, 41)  # points between those of the fit
            miss = self.values(check) - np.polynomial.chebyshev.chebval((check - kept[-1] - half) / half, fit)
            # a polynomial over a wide piece is good to eps of its largest value: the middle of the line, where the
            # Gaussian sits, gets pieces of its own
            wide = right - kept[-1] > max(2.0, min(abs(kept[-1]), abs(right)))
            if wide or middle in self.kinks or not np.abs(miss).max() <= _TOLERANCE * size:
                kept.append(middle)
        return np.array([*kept, float(ends[-1])])

    # -------------------------------------------------------------------------------------------- kinks

    def _search(self, reach: float) -> None:
        """Find the kinks in [-reach, reach]: pieces that halving does not resolve."""
        doubt: list[float] = []
        for width in np.repeat(_NARROW, 2):  # a second round where two kinks shared a piece
            pieces = [self._resolve(-reach, reach, width, offset) for offset in _OFFSETS]
            failed = np.concatenate([left for _, left in pieces])
            if failed.size > 2 * MOST_KINKS:
                warn_user(
                    f"{self.name} is not smooth near {failed.size} points in [{-reach:g}, {reach:g}]: its moments are "
                    "good to a few digits only. Declare its kinks, or smooth it."
                )
                return
            doubt, found = [], [self.kinks]
            for ends, lefts in pieces:
                for left in lefts:
                    kink = self._locate(float(left), float(ends[np.searchsorted(ends, left) + 1]))
                    if kink is None:
                        doubt.append(float(left))
                    else:
                        found.append(np.array([kink]))
            self.kinks = _distinct(np.concatenate(found)) + 0.0
            if not failed.size:
                break
        if doubt and not self._found:
            self._found = True
            warn_user(
                f"{self.name} is not smooth near {', '.join(f'{t:.6g}' for t in sorted(doubt)[:5])}, and no single "
                "kink was found there. Declare kinks=[...] if it has some."
            )

    def _locate(self, left: float, right: float) -> float | None:
        """The point in [left, right] where the polynomial from the left hands over to the one from the right."""
        x, matrix = chebyshev(10)
        for reach in (32.0, 4.0, 1.0):  # wide stretches tell the place best, unless another kink is near
            width = reach * (right - left) / 2
            centres = (left - width, right + width)
            fits = [matrix @ self.values(centre + width * x) for centre in centres]
            for centre, fit in zip(centres, fits, strict=True):  # rounding must not be extrapolated
                fit[np.abs(fit) <= 1e-15 * (np.abs(fit).max() + abs(centre * fit[1]) / width)] = 0.0
            if all(np.abs(fit[-3:]).max() <= 1e-13 * max(self.scale, np.abs(fit).max()) for fit in fits):
                break
        else:
            return None

        def side(which: int, t: Array) -> Any:
            value = np.polynomial.chebyshev.chebval((t - centres[which]) / width, fits[which])
            return np.abs(self.values(t) - value)

        a, b = left, right
        for _ in range(9):  # each round narrows the bracket 32 times
            t = np.linspace(a, b, 33)
            mine = side(0, t) <= side(1, t)
            last = int(np.flatnonzero(mine)[-1]) if mine.any() else 0
            a, b = float(t[last]), float(t[min(last + 1, 32)])
            if b - a < 4e-16:
                break
        middle = self._exact(a, b)
        before, after = np.linspace(left, a, 9), np.linspace(b, right, 9)  # one kink only, or look closer
        miss = max(float(side(0, before).max()), float(side(1, after).max()))
        if not miss <= 1e-11 * max(self.scale, float(np.abs(fits[0]).sum())):
            return None
        tidy = round(middle, 4)  # where the derivatives jump, the values say little about the place
        between = np.linspace(min(middle, tidy), max(middle, tidy), 5)
        alike = max(side(0, between).max(), side(1, between).max()) <= 1e-14 * self.scale
        return tidy if alike else middle

    def _exact(self, a: float, b: float) -> float:
        """The jump itself by bisection, where there is one."""
        below, above = self.values(np.array([a, b]))
        if abs(above - below) > 1e-6 * self.scale:
            while True:
                middle = (a + b) / 2
                if not a < middle < b:
                    break
                value = float(self.values(np.array([middle]))[0])
                if abs(value - below) <= abs(value - above):
                    a = middle
                else:
                    b = middle
            return b
        return (a + b) / 2

    def on(self, ends: Array) -> Array:
        """Coefficients of `table` on given pieces."""
        with self._lock:
            if self._powers is None or self._powers[0] is not ends:
                self._ends, self.reach = ends, float(ends[-1])
                self.scale = self.scale or self._size()
            return self._table(ends)[1]

    def magnified(self, unit: float) -> Mesh:
        """The mesh of t -> f(unit t)."""
        with self._lock:
            if self._near is None or self._near[0] != unit:
                self.breaks(1.0)  # finds the kinks
                self._near = unit, Mesh(lambda t: self.f(unit * t), self.kinks / unit, self.name)
            return self._near[1]

    def jumps(self) -> Array:
        """Kinks at which the function itself jumps."""
        if not self.kinks.size:
            return self.kinks
        with self._lock:
            self.scale = self.scale or self._size()
        kinks = self.kinks
        size = np.maximum(1.0, np.abs(kinks))
        gaps = [np.abs(self.values(kinks + h * size) - self.values(kinks - h * size)) for h in (1e-9, 4e-15)]
        # over a steep slope the second is smaller by far; beside a function that is 0 around the origin, too
        local = np.maximum(np.abs(self.values(kinks + size)), np.abs(self.values(kinks - size)))
        return kinks[np.minimum(*gaps) > 1e-6 * np.maximum(self.scale, local)]

    def table(self, reach: float) -> tuple[Array, Array]:
        """Ends of pieces that cover [-reach, reach], and coefficients of powers of each piece's own coordinate."""
        with self._lock:
            return self._table(self.breaks(reach))

    def _table(self, ends: Array) -> tuple[Array, Array]:
        if self._powers is None or self._powers[0] is not ends:
            x, matrix = chebyshev(NODES)
            half = np.diff(ends)[:, None] / 2
            values = self.values(ends[:-1, None] + half + half * x)
            values[~np.isfinite(values).all(axis=1)] = 0.0  # far out, where the Gaussian is none
            fit = values @ matrix.T
            self._powers = ends, np.ascontiguousarray(fit @ _to_powers())
        return self._powers

    def derivative(self, t: Array) -> Array:
        """The derivative from the polynomial of each piece: to about 1e-13 of the function's size."""
        t = np.asarray(t, dtype=np.float64)
        ends = self.breaks(float(np.abs(t).max(initial=1.0)) * 1.0001)
        piece = np.clip(np.searchsorted(ends, t.ravel(), side="right") - 1, 0, ends.size - 2)
        used, where = np.unique(piece, return_inverse=True)
        left, right = ends[used], ends[used + 1]
        half = (right - left) / 2
        x, matrix = chebyshev(_POINTS)
        inside = (t.ravel() - (left + half)[where]) / half[where]
        with np.errstate(all="ignore"):
            fit = self.values((left + half)[:, None] + half[:, None] * x) @ matrix.T
            slope = np.polynomial.chebyshev.chebder(fit, axis=1) / half[:, None]
            out = np.polynomial.chebyshev.chebval(inside, slope[where].T, tensor=False)
        return np.asarray(out, dtype=np.float64).reshape(t.shape)


# ------------------------------------------------------------------------------------------------ Gaussian nodes


def reach(mesh: Mesh, tau: float, drop: float) -> float:
    """R such that ``f(tau t)^2 exp(-t^2/2)`` is below exp(-drop) of its largest value for abs(t) > R."""
    for end in _REACHES:
        t = np.linspace(0.0, end, 201)
        with np.errstate(all="ignore"):
            values = mesh.values(tau * np.array([-t, t]))
            size = 2 * np.log(np.maximum(np.abs(values), 1e-300)) - t * t / 2
        if np.isnan(values).any():
            where = float((tau * np.array([-t, t]))[np.isnan(values)][0])
            raise ValueError(
                f"{mesh.name} must be finite; it is NaN at t = {where:.6g}. Define it on the whole line."
            )
        size = np.max(size, axis=0)
        if size[-1] < np.max(size) - drop:
            return end
    if size[-1] < np.max(size) - 39.0:
        return end
    raise ValueError(
        f"{mesh.name} must be square-integrable under the Gaussian; {mesh.name}(t)^2 exp(-t^2/{2 * tau * tau:.4g}) "
        f"does not vanish at t = {_REACHES[-1] * tau:.4g}. Choose an activation that grows more slowly, or a smaller "
        "variance."
    )


def gaussian_nodes(mesh: Mesh, tau: Array, order: int) -> tuple[Array, Array]:
    """Nodes t and weights w, shape (tau.size, nodes), with ``E g(xi) = sum w g(t)`` for g = f(tau t) h_k(t).

    Pieces end at the breaks of t -> f(tau t), and are short enough for h_k of the given order, which oscillates
    with wave number sqrt(order).
    """
    # f h_k exp(-t^2/2) must vanish, at any k; a bump is widest at the smallest tau
    end = max(reach(mesh, float(extreme), 78.0) for extreme in (tau.min(), tau.max()))
    parts = int(np.ceil(2 * end / min(2.0, 14.0 / np.sqrt(order + 1.0))))
    breaks = mesh.breaks(end * float(tau.max()))
    uniform = np.linspace(-end, end, parts + 1)
    if tau.size == 1:
        inner = breaks / tau[0]
        ends = np.unique(np.concatenate([uniform, inner[np.abs(inner) < end]]))[None]
    else:
        inner = np.clip(breaks / tau[:, None], -end, end)
        ends = np.sort(
            np.concatenate([np.broadcast_to(uniform, (tau.size, parts + 1)), inner], axis=1), axis=1
        )
    x, w = legendre()
    half = np.diff(ends)[..., None] / 2
    t = (ends[:, :-1, None] + half + half * x).reshape(tau.size, -1)
    weight = (half * w).reshape(tau.size, -1) * np.exp(-t * t / 2) / np.sqrt(2 * np.pi)
    return t, weight
