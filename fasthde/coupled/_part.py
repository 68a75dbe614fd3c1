"""One irreducible system of equations: its call of the kernels, and the masses it can count."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _jit
from fasthde._kernels import coupled as kernels
from fasthde._kernels.coupled_edges import fold
from fasthde._kernels.coupled_equations import MIXTURE, PROFILE, ROWS, SEPARABLE, SIGNAL

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)

#: Points a row of the kernel: each row has a workspace of its own.
_CHUNK = 32


class Solution(NamedTuple):
    """What the kernel returns, in the model's units; ``noise`` is the relative error of imaginary parts."""

    m: Complex
    slope: Complex
    unknowns: Complex
    status: NDArray[np.int8]
    outside: NDArray[np.bool_]
    error: Array
    noise: Array
    evaluations: NDArray[np.int32]


class Part:
    """Equations whose unknowns all depend on each other; z of the kernel is z over ``unit``.

    Parameters
    ----------
    model : sequence
        The family's tuple, see `_kernels.coupled_equations`.
    unit : float
        Scale of the spectrum.
    unknowns : sequence of int
        Which unknowns of the law these are.
    atoms : list of (location, mass)
        Away from 0, in the model's units.
    hard_levels : list of float
        Where the density is infinite away from 0.
    """

    __slots__ = ("atoms", "hard_levels", "model", "size", "unit", "unknowns")

    def __init__(
        self,
        model: Sequence[Any],
        unit: float,
        unknowns: Any = (0,),
        atoms: Sequence[tuple[float, float]] = (),
        hard_levels: Sequence[float] = (),
    ):
        self.model: tuple[Any, ...] = tuple(
            np.ascontiguousarray(v) if isinstance(v, np.ndarray) else float(v) for v in model
        )
        self.unit = unit
        self.unknowns = np.asarray(unknowns)
        self.size = int(self.unknowns.size)
        self.atoms, self.hard_levels = list(atoms), list(hard_levels)

    @property
    def kind(self) -> int:
        """Family."""
        return len(self.model)

    @property
    def weights(self) -> Array:
        """Weights of the levels."""
        return self.model[0]  # type: ignore[no-any-return]

    @property
    def reach(self) -> float:
        """Bound of the spectrum, in the model's units."""
        return self.model[1]  # type: ignore[no-any-return]

    @property
    def base(self) -> float:
        """From where z is counted."""
        return float(self.model[4][2]) if self.kind == SIGNAL else 0.0

    def seen_from(self, base: float) -> Part:
        """The same equations in z - base, for points so close to a level of the signal that z has lost digits."""
        if base == self.base:
            return self
        w, reach, t, c, rest = self.model
        model = (w, reach, np.array([t[0], t[1], t[0] - base]), c, np.array([rest[0], rest[1], base]))
        return Part(model, self.unit, self.unknowns, self.atoms, self.hard_levels)

    def solve(self, z: Any) -> Solution:
        """Certified solutions at points z of the closed upper half-plane, in the model's units."""
        z = np.ascontiguousarray(z, dtype=np.complex128)
        k, n = self.size, self.weights.size
        rows = -(-z.size // _CHUNK)
        work = (
            np.empty((rows, k, k + 2), np.complex128),
            np.empty((rows, kernels.VECTORS, k), np.complex128),
            np.empty((rows, ROWS, n)),
        )
        out = np.empty((3, z.size), np.complex128)
        unknowns = np.empty((z.size, k), np.complex128)
        status, count = np.empty((2, z.size), np.int8), np.empty(z.size, np.int32)
        nodes = self.model[-1].size if self.kind == SEPARABLE else 0
        cost = 20.0 * z.size * (n * (1.0 + k * k / 4.0) + nodes + k**3)
        _jit.map_rows(
            kernels.coupled_rows, None, rows, cost, None,
            self.model, z, _CHUNK, work, out, unknowns, status, count,
        )  # fmt: skip
        return Solution(out[0], out[1], unknowns, status[0], status[1] == 1, out[2].real, out[2].imag, count)

    def fold(self, z: float, x: Array) -> float:
        """The edge near a real solution x at z outside the support, or NaN."""
        k, n = self.size, 2 * self.size + 1
        work = (
            np.empty(k, np.complex128), np.empty((4, k)), np.empty((k, k + 2), np.complex128),
            np.empty((n, n + 2), np.complex128), np.empty(n, np.complex128), np.empty(n, np.complex128),
            np.empty((ROWS, self.weights.size)),
        )  # fmt: skip
        return float(fold(self.model, float(z), np.ascontiguousarray(x), *work))

    def mass_at_zero(self) -> float:
        """What the rank of the pattern of non-zero variances leaves: a minimum cut."""
        if self.kind == PROFILE:
            w, _, t = self.model
            return max(0.0, math.fsum(w) - _flow(w, w, t > 0))
        w, _, t, c, rest, *other = self.model
        if self.kind == MIXTURE and not (t > 0).all():
            patterns, which = np.unique(t > 0, axis=1, return_inverse=True)
            return max(
                0.0,
                math.fsum(w) - _flow(np.bincount(which.ravel(), w).astype(float), other[0] / c, patterns.T),
            )
        return max(0.0, -float(rest[1]) / float(c))

    def below(self, z: Array, unknowns: Complex) -> Array:
        """Mass of the continuous part (and at 0) below points outside the support."""
        mass = self._below(z, unknowns)
        for location, size in self.atoms:
            mass = mass - size * (z > location - self.base)
        return mass

    def _below(self, z: Array, unknowns: Complex) -> Array:
        """Levels and nodes whose denominators are negative.

        On the axis the logarithmic potential ``int log(x - z)`` has the imaginary part -pi times the mass below z;
        it is the sum of the logarithms of all denominators and a real part.
        """
        x = unknowns.real
        with np.errstate(all="ignore"):
            if self.kind == PROFILE:
                return np.asarray((x < 0.0) @ self.weights)
            w, _, t, c, _, *other = self.model
            if self.kind == SIGNAL:
                b, noise = 1.0 + x[:, :1], -x[:, 1:] * t[1]
                g = ((t[2] - z[:, None]) + noise) + x[:, :1] * (noise - (self.base + z[:, None]))
                return np.asarray((g / b < 0.0) @ w - (b[:, 0] < 0.0) / c)
            if self.kind == MIXTURE:
                (u,) = other
                f = 1.0 / (1.0 + x)
                return np.asarray(((f * u) @ t - z[:, None] < 0.0) @ w - (f < 0.0) @ u / c)
            u, tau = other
            d = 1.0 + x * tau
            e = (u * tau / d).sum(axis=1)
            return np.asarray((e[:, None] * t - z[:, None] < 0.0) @ w - (d < 0.0) @ u / c)


def snap(rest: float) -> float:
    """0 for counts that agree to rounding: a hard edge."""
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
        for a, b in itertools.pairwise(path):
            if a[0] == 1:
                amount = min(amount, sent[b[1], a[1]])
        for a, b in itertools.pairwise(path):
            if a[0] == 0:
                sent[a[1], b[1]] += amount
            else:
                sent[b[1], a[1]] -= amount
        spare[path[0][1]] -= amount
        room[end[1]] -= amount
