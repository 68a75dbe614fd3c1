"""The support of a chain: the real s-axis cut, operation by operation, to where z increases at every step."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._chain import EPS, NEAR, Chain
from fasthde._kernels import chain as kernels
from fasthde._kernels.chain import AFFINE, CORNER, INVERSE, POISSON, SAMPLE, SEMICIRCLE

Array = NDArray[np.float64]


class Outside(NamedTuple):
    """The complement of the support: components (low, high) of the s-axis, and what lies between them.

    ``edges`` are the support's ends, ``base`` the same before a last shift and scaling, ``s`` their places;
    ``hard`` the order L of each, where the density grows like distance**(-L/(L + 1)), 0 at a soft edge.
    """

    lows: Array
    highs: Array
    edges: Array
    base: Array
    s: Array
    hard: NDArray[np.int64]


def outside(chain: Chain) -> Outside:
    """Cut the s-axis step by step to where every z_j increases (theory.md, section 1)."""
    ops, par = chain.law[:2]
    lows, highs = np.array([-np.inf]), np.array([np.inf])
    hard: dict[float, tuple[int, float]] = {}  # s of a hard edge -> order, location
    fresh = True  # no operation but affine ones so far
    scale, offset = 1.0, 0.0  # the affine ones since the last other operation
    for j in range(ops.size):
        if ops[j] == AFFINE:
            scale, offset = par[j, 0] * scale, par[j, 0] * offset + par[j, 1]
            continue
        if fresh and ops[j] in (SAMPLE, SEMICIRCLE):
            lows, highs, guesses = _first_gaps(chain, j, scale, offset)
        else:
            lows, highs = _split(chain, j, lows, highs)
            if lows.size == 1:  # no pole: a point mass
                continue
            guesses = _middles(lows, highs)
        hard = _kept(chain, j, hard, scale, offset)
        fixed = np.array([np.isin(ends, list(hard)) for ends in (lows, highs)])
        found = np.ones(lows.size, bool)
        owner = np.zeros(lows.size, np.int64)
        kernels.cut_rows(0, lows.size, chain.pack, owner, j, lows, highs, guesses, fixed, found)
        if ops[j] == SAMPLE and chain.deltas[j] == 0.0 and not fixed[1, 0]:
            highs[0] = _zero(chain, j, scale, offset, fresh, highs[0])
            hard[float(highs[0])] = 1, 0.0
        lows, highs = lows[found], highs[found]
        for x, at in _thresholds(chain, j, lows, highs):
            for ends in (lows, highs):
                near = np.abs(ends - at) <= 1e-6 * chain.unit
                ends[near] = at
                if near.any() and at not in hard:
                    hard[at] = 1, x
        fresh = False
        scale, offset = 1.0, 0.0
    if fresh:  # atoms only
        none = np.empty(0)
        return Outside(lows, highs, none, none, none, np.empty(0, np.int64))
    s = np.stack((highs[:-1], lows[1:]), axis=1).ravel()
    state = np.empty((7, s.size))
    stop = ops.size - (ops[-1] == AFFINE)
    kernels.state_rows(chain.law, stop, s, state)
    base = state[0].copy()
    orders = np.zeros(s.size, np.int64)
    for i, v in enumerate(s):
        if float(v) in hard:
            orders[i], base[i] = hard[float(v)]
    if ops[stop - 1] in (SAMPLE, INVERSE):  # semidefinite
        base = np.maximum(base, 0.0)
    edges = par[-1, 0] * base + par[-1, 1] if stop < ops.size else base
    return Outside(lows, highs, edges, base, s, orders)


def _kept(
    chain: Chain, j: int, hard: dict[float, tuple[int, float]], scale: float, offset: float
) -> dict[float, tuple[int, float]]:
    """Hard edges that operation j leaves: at 0 if it multiplies, at atoms that outlive it if it adds or cuts."""
    kind = chain.law[0][j]
    out = {}
    for s, (order, place) in hard.items():
        x = scale * place + offset
        if kind in (SAMPLE, INVERSE):
            if x == 0.0 and chain.deltas[j] >= 0.0:
                out[s] = order + int(kind == SAMPLE and chain.deltas[j] == 0.0), 0.0
        elif kind in (POISSON, CORNER):
            atoms = chain.stages[j]
            near = min(atoms, key=lambda a: abs(a - x), default=np.inf)
            if abs(near - x) <= 8.0 * EPS * abs(x):
                left = atoms[near][0] - _loss(chain, j)
                if left > -_tolerance(near):
                    out[s] = order + int(left <= _tolerance(near)), near
    return out


def _loss(chain: Chain, j: int) -> float:
    """What a compound Poisson step or a corner takes from the mass of every atom."""
    p = chain.law[1][j]
    if chain.law[0][j] == POISSON:
        return math.fsum(chain.law[3][int(p[1]) : int(p[2])]) / float(p[0])
    return 1.0 - float(p[0])


def _tolerance(place: float) -> float:
    """How near to its threshold an atom counts as at it: at 0, gaps of any width are resolved."""
    return 4.0 * EPS if place == 0.0 else NEAR


def _first_gaps(chain: Chain, j: int, scale: float, offset: float) -> tuple[Array, Array, Array]:
    """Gaps of the population that can survive the first operation, and where P is likely to be largest there.

    Only neighbours with (a_i**(1/3) + a_j**(1/3))**3 <= (t_j - t_i)**2 can keep a gap, where a/(z - t)**2 is
    the term of one atom in 1 - P: 18 of 999 for t_i = i**-1.2.
    """
    t, w = chain.t, chain.w
    if chain.zero > 0.0:
        t, w = np.concatenate(([0.0], t)), np.concatenate(([chain.zero], w))
    z = scale * t + offset
    root = np.cbrt(chain.law[1][j, 0] * w / scale**2)
    if chain.law[0][j] == SAMPLE:  # an atom at 0 is no barrier
        t, root, z = t[z != 0.0], root[z != 0.0], z[z != 0.0]
        root = root * np.cbrt(z) ** 2  # in this order: the square of a tiny level would vanish
    gap = np.diff(t)
    can = (root[:-1] + root[1:]) ** 3 < gap**2
    left, right, a, b = t[:-1][can], t[1:][can], root[:-1][can], root[1:][can]
    total = float(np.sqrt((root**3).sum()))
    lows = np.concatenate(([-np.inf], left, [t[-1]]))
    highs = np.concatenate(([t[0]], right, [np.inf]))
    inner = left + (right - left) * a / (a + b)
    guesses = np.concatenate(([t[0] - total], inner, [t[-1] + total]))
    return lows, highs, guesses


def _middles(lows: Array, highs: Array) -> Array:
    with np.errstate(invalid="ignore"):
        guesses = 0.5 * (lows + highs)
    spread = np.nanmax(np.abs(np.concatenate((lows[1:], highs[:-1], [1e-300]))))
    guesses[0] = highs[0] - 1.372 * spread  # no round multiple: never at an atom
    guesses[-1] = lows[-1] + 1.372 * spread
    return guesses


def _split(chain: Chain, j: int, lows: Array, highs: Array) -> tuple[Array, Array]:
    """Cut the components at the poles of the function that operation j subtracts."""
    ops, par, tau = chain.law[:3]
    kind = ops[j]
    poles: list[float] = []
    atoms = chain.stages[j]
    places = [_place(chain, born, s, lows, highs) for _, s, born in atoms.values()]
    if kind == SEMICIRCLE:
        poles = places
    elif kind in (SAMPLE, INVERSE):
        poles = [s for x, s in zip(atoms, places, strict=True) if x != 0.0]
    else:
        pieces = _cut_at(lows, highs, places)
        levels = (
            [0.0]
            if kind == CORNER
            else [-1.0 / (par[j, 0] * tau[k]) for k in range(int(par[j, 1]), int(par[j, 2]))]
        )
        for level in levels:
            at = np.empty(pieces[0].size)
            kernels.level_rows(chain.law, j, *pieces, level, 0, chain.unit, at)
            poles += [float(s) for s in at[np.isfinite(at)]]
    return _cut_at(lows, highs, poles)


def _thresholds(chain: Chain, j: int, lows: Array, highs: Array) -> list[tuple[float, float]]:
    """Atoms, as (location, s), that operation j dissolves just so: the density is infinite there."""
    if chain.law[0][j] not in (POISSON, CORNER):
        return []
    loss = _loss(chain, j)
    return [
        (x, _place(chain, born, s, lows, highs))
        for x, (m, s, born) in chain.stages[j].items()
        if abs(m - loss) <= _tolerance(x)
    ]


def _place(chain: Chain, born: int, s: float | None, lows: Array, highs: Array) -> float:
    """The s of an atom: it was given, or it is where z vanishes after the operation that made the atom."""
    if s is not None:
        return s
    at = np.empty(lows.size)
    kernels.level_rows(chain.law, born, lows, highs, 0.0, 1, chain.unit, at)
    if np.isfinite(at).any():
        return float(at[np.isfinite(at)][0])
    ends = np.concatenate((highs[:-1], lows[1:]))  # atom and hard edge in one place
    state = np.empty((7, ends.size))
    kernels.state_rows(chain.law, born, ends, state)
    return float(ends[np.argmin(np.abs(state[0]))])


def _cut_at(lows: Array, highs: Array, poles: list[float]) -> tuple[Array, Array]:
    cuts = np.unique(np.array(poles, float))
    inside = cuts[((cuts[:, None] > lows) & (cuts[:, None] < highs)).any(axis=1)]
    return np.sort(np.concatenate((lows, inside))), np.sort(np.concatenate((highs, inside)))


def _zero(chain: Chain, j: int, scale: float, offset: float, fresh: bool, high: float) -> float:
    """The s at which z before operation j is 0: a hard edge."""
    if fresh:
        return -offset / scale
    at = np.empty(1)
    kernels.level_rows(
        chain.law, j, np.array([-np.inf]), np.array([high + abs(high) * 1e-6]), 0.0, 1, chain.unit, at
    )
    return float(at[0]) if np.isfinite(at[0]) else high
