"""A chain of operations as numbers: what the kernels need of a law, and the atoms it has at every stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _tree
from fasthde._kernels.chain import AFFINE, INVERSE, POISSON, SAMPLE, SEMICIRCLE
from fasthde.spectrum import Spectrum

Array = NDArray[np.float64]

EPS = float(np.finfo(float).eps)

#: Neighbours of the spectrum this far apart (a factor) are counted apart: the large ones may use up the samples.
GAP = 30.0

#: Levels this close (relative) are taken as one.
SAME = 1e-12

#: An atom away from 0 whose mass is within this of what dissolves it leaves a gap below the rounding of its place.
NEAR = 1e-8

#: Numbers of an operation.
COLUMNS = 5

#: Positive eigenvalues lie between this and its inverse: their third powers must be numbers.
LEAST = 1e-90


class Step(NamedTuple):
    """One operation: its kind, the user's numbers, and whether it is taken on the Gram side."""

    kind: int
    a: float
    b: float = 0.0
    gram: bool = False


def points_of(step: Step, steps: Sequence[Step], total: int) -> slice:
    """The points of a compound Poisson step, which end where the next one's begin."""
    start = int(step.b)
    return slice(
        start, min((int(s.b) for s in steps if s.kind == POISSON and int(s.b) > start), default=total)
    )


class Chain:
    """What the kernels need of a law: distinct atoms, coded operations, atoms of the law at each stage.

    Parameters
    ----------
    H : Spectrum
        The fixed matrix.
    steps : sequence of Step
        The operations.
    points : ndarray, shape (2, k)
        Values and proportions of all compound Poisson steps, one after the other.

    Attributes
    ----------
    law : tuple
        See `_kernels.chain`.
    base : tuple
        The law before a last shift and scaling, ``scale x + offset``; ``pack`` is a pack of it.
    stages : list of Atoms
        Before each operation.
    atoms : list of (location, mass)
        Of the law itself.
    """

    __slots__ = (
        "atoms", "base", "deltas", "law", "offset", "pack", "scale", "stages", "t", "unit", "w", "zero",
    )  # fmt: skip

    def __init__(self, H: Spectrum, steps: Sequence[Step], points: Array):
        t, k = _levels(H, steps[0].b / steps[0].a if steps and steps[0].kind == AFFINE else 0.0)
        total = math.fsum(k)
        w = k / total
        positive = t > 0.0
        self.zero = float(w[~positive].sum())
        self.t, self.w = np.ascontiguousarray(t[positive]), np.ascontiguousarray(w[positive])
        rest = math.fsum(k[positive]) / total  # 1 - mass at 0, without cancellation
        ops, par = np.zeros(len(steps), np.int64), np.zeros((len(steps), COLUMNS))
        gone = (t > 0.0) & bool(steps and steps[0].kind == SAMPLE)  # dissolved at once
        atoms: Atoms = {float(x): (float(m), float(x), 0) for x, m in zip(t[~gone], w[~gone], strict=True)}
        self.stages, self.deltas = [], []
        for j, step in enumerate(steps):
            self.stages.append(dict(atoms))
            ops[j], par[j, 0] = step.kind, step.a
            mass, place, born = atoms.get(0.0, _NONE)
            if step.kind == SAMPLE:
                delta = 1.0 - step.a * rest
                # after other operations s knows the place where z vanishes to eps only
                if abs(delta) <= (
                    4.0 * EPS if all(o.kind == AFFINE and o.b == 0.0 for o in steps[:j]) else 1e-13
                ):
                    delta = 0.0
                par[j, 1], par[j, 3] = delta, step.gram
                if delta < 0.0:
                    par[j, 2] = 1.0
                    mass, place, born, rest = 1.0 - 1.0 / step.a, None, j + 1, 1.0 / step.a
                if step.gram:
                    mass, rest = 1.0 - step.a * rest, step.a * rest
                    if delta == 0.0:
                        mass, rest = 0.0, 1.0
                    if mass <= 4.0 * EPS:
                        mass = 0.0
                    place, born = None, j + 1
                atoms = {0.0: (mass, place, born)} if mass > 0.0 else {}
            elif step.kind == INVERSE:
                atoms = {0.0: (mass, place, born)} if mass > 0.0 else {}
            elif step.kind == AFFINE:
                par[j, 1] = step.b
                atoms = _moved(atoms, step.a, step.b)
                if step.b != 0.0:
                    rest = 1.0 - atoms.get(0.0, _NONE)[0]
                par[j, 2] = 1.0 - rest
            elif step.kind == SEMICIRCLE:
                atoms, rest = {}, 1.0
            elif step.kind == POISSON:
                own = points_of(step, steps, points.shape[1])
                par[j, 1], par[j, 2] = own.start, own.stop
                rank = math.fsum(points[1, own])
                par[j, 3], par[j, 4] = mass > 0.0, rank / step.a - mass
                atoms = _lessened(atoms, rank / step.a, 1.0)
                rest = 1.0 - atoms.get(0.0, _NONE)[0]
            else:
                par[j, 3], par[j, 4] = mass > 0.0, (1.0 - step.a) - mass
                atoms = _lessened(atoms, 1.0 - step.a, step.a)
                rest = 1.0 - atoms.get(0.0, _NONE)[0]
            self.deltas.append(par[j, 1] if step.kind == SAMPLE else 1.0)
        self.atoms = sorted((x, v[0]) for x, v in atoms.items())
        # writeable, as all arrays of kernels: no second compilation
        tau, u = (v.copy() for v in points)
        # size of the s-axis: spread of the atoms, or of what is added to them
        added = [np.sqrt(s.a) for s in steps if s.kind == SEMICIRCLE]
        self.unit = max(float(t.max()), *added, *np.abs(points[0]), *np.abs(par[:, 1][ops == AFFINE]), 1e-300)
        for size in (self.unit, *self.t[:1]):
            if size != 1e-300 and not LEAST <= size <= 1.0 / LEAST:
                raise ValueError(
                    f"positive eigenvalues of a law must lie between {LEAST} and {1.0 / LEAST:g}; got {size:.3g}. "
                    "Set to 0 those that are too small beside the others, or divide all by one number and .scale() "
                    "the law."
                )
        mean = float(self.w @ self.t)
        wide = self.t[1:] > GAP * self.t[:-1]
        gaps = np.sqrt(self.t[1:][wide]) * np.sqrt(self.t[:-1][wide])
        head = np.concatenate(([self.zero, atoms.get(0.0, _NONE)[0], _pure(ops, par), mean], gaps))
        t, w, *tree = _tree.grow(self.t, self.w)
        self.law = (ops, par, tau, u, t, w, w * t, head, *tree)
        # A last shift and scaling stay outside the kernels: z - b is exact next to an atom or a hard edge at b,
        # where (the law at s) + b would lose what s knows.
        self.scale, self.offset, self.base = 1.0, 0.0, self.law
        if ops.size and ops[-1] == AFFINE:
            self.scale, self.offset = float(par[-1, 0]), float(par[-1, 1])
            before = self.stages[-1].get(0.0, _NONE)[0]
            ops, par = ops[:-1].copy(), par[:-1].copy()
            head = np.concatenate(([self.zero, before, _pure(ops, par)], head[3:]))
            self.base = (ops, par, *self.law[2:7], head, *tree)
        self.pack = pack_of(self.base)


def _pure(ops: NDArray[np.int64], par: Array) -> float:
    """1 if all operations are multiplicative."""
    return float(
        all(k in (SAMPLE, INVERSE) or (k == AFFINE and r[1] == 0.0) for k, r in zip(ops, par, strict=True))
    )


def pack_of(law: tuple[Any, ...]) -> tuple[Any, ...]:
    """A pack of one law."""
    return law[0], law[1][None], *law[2:7], *(v[None] for v in law[7:]), np.array([0, law[4].size])


#: Atoms of a law: location -> (mass, s or None where it is to be found, operations after which it lies at 0).
Atoms = dict[float, tuple[float, float | None, int]]

_NONE = (0.0, None, 0)


def _levels(H: Spectrum, shift: float) -> tuple[Array, Array]:
    """Distinct levels in ascending order, and their multiplicities.

    Levels equal to rounding, that of a shift in units of the levels included, are one, at their mean (what merging
    changes is of second order): between them, nothing could be resolved.
    """
    t, index = np.unique(H.values, return_inverse=True)
    k = np.asarray(np.bincount(index, H.multiplicity, t.size), np.float64)
    t, k = t[k > 0], k[k > 0]
    group = np.concatenate(([0], np.cumsum(np.diff(t) > SAME * np.maximum(t[1:], abs(shift)))))
    if group[-1] + 1 == t.size:
        return t, k
    first = np.flatnonzero(np.diff(group, prepend=-1))
    last = np.append(first[1:], t.size) - 1
    wide = t[last] - t[first] > 1e2 * SAME * np.maximum(t[last], abs(shift))  # a fine grid, not one level
    group = np.cumsum(np.isin(np.arange(t.size), first) | wide[group]) - 1
    first = np.flatnonzero(np.diff(group, prepend=-1))
    count = np.add.reduceat(k, first)
    return t[first] + np.add.reduceat((t - t[first][group]) * k, first) / count, count


def _moved(atoms: Atoms, a: float, b: float) -> Atoms:
    """Atoms of a x + b; what rounding brings to one place stays apart."""
    out: Atoms = {}
    for x, v in sorted(atoms.items()):
        y = a * x + b
        while y in out:
            y = math.nextafter(y, math.inf)
        out[y] = v
    return out


def _lessened(atoms: Atoms, loss: float, unit: float) -> Atoms:
    """Masses (m - loss)/unit where positive beyond rounding."""
    return {x: ((m - loss) / unit, s, born) for x, (m, s, born) in atoms.items() if m - loss > 4.0 * EPS}
