"""Isolated eigenvalues of a Hessian and their eigenvectors: zeros of det[I + S K] on the gaps of its law."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fasthde._results import freeze
from fasthde.hessian._cells import Array
from fasthde.hessian._results import HessianSpike
from fasthde.hessian._support import Gap

if TYPE_CHECKING:
    from fasthde.hessian._law import HessianLaw

_EPS = float(np.finfo(float).eps)


def find_spikes(law: HessianLaw) -> list[HessianSpike]:
    """All isolated eigenvalues, ascending."""
    if law._plane.rank == 0 or law._empty:
        return []
    found = [s for gap in law._true_gaps for s in _search(law, gap)]
    return sorted(found, key=lambda s: s.location)


def _matrices(law: HessianLaw, d: float, side: tuple[float, float]) -> tuple[float, Array, Array]:
    """z, K = U'C^1/2 (e C - z)^-1 C^1/2 U and S at a real delta."""
    z = law._curve.place(d, side)
    e = law._curve.sums(d)[0]
    r = 1.0 / (e * law.spectrum.values - z)
    basis = law._basis
    return z, np.einsum("i,idk,idl->kl", r, basis, basis), law._perturbation(np.array([d]))[0][0].real


def _bounds(law: HessianLaw, gap: Gap) -> tuple[float, float]:
    """Ends of delta: those that are no points of the curve, z = +-inf (delta = 0) and z = 0 (delta = +-inf), nearly."""
    start, stop = gap.start, gap.stop
    size = float(np.abs(law.weights.hull[:2]).max())
    if np.isinf(gap.low) and start == 0.0:
        start = min(1e-12 / size, 1e-3 * stop)
    if np.isinf(gap.high) and stop == 0.0:
        stop = max(-1e-12 / size, 1e-3 * start)
    if np.isinf(start):
        start = min(-1e12 / size, 1e3 * stop) if np.isfinite(stop) else -1e12 / size
    if np.isinf(stop):
        stop = max(1e12 / size, 1e3 * start)
    return start, stop


def _search(law: HessianLaw, gap: Gap) -> list[HessianSpike]:
    """Zeros of the eigenvalues of ``K^-1 + S``.

    Its inverse is the part of the resolvent in the plane of w and w*, which increases in z: each eigenvalue decreases
    between the zeros of det K and has one zero at most.
    """
    from scipy import optimize

    rank = law._plane.rank
    start, stop = _bounds(law, gap)
    sign = float(np.sign(start)) if start * stop > 0.0 else 0.0

    def delta(x: float) -> float:
        """From the coordinate along the gap: log |delta|, or delta itself where it changes sign."""
        return sign * float(np.exp(x)) if sign else x

    def of_k(x: float) -> Array:
        return np.asarray(np.linalg.eigvalsh(_matrices(law, delta(x), gap.side)[1]))

    def of_n(x: float) -> Array:
        with np.errstate(all="ignore"):
            _, K, S = _matrices(law, delta(x), gap.side)
            N = np.linalg.inv(K) + S
        return np.asarray(np.linalg.eigvalsh(N)) if np.isfinite(N).all() else np.full(rank, np.nan)

    def root(f: Callable[[float], Array], i: int, a: float, b: float) -> float:
        return float(optimize.brentq(lambda x: f(x)[i], a, b, xtol=1e-300, rtol=4 * _EPS, maxiter=300))

    first, last = (float(np.log(abs(x))) if sign else x for x in (start, stop))
    cuts = [first, last]
    if gap.side[0] < gap.side[1]:  # s between levels of C: K has both signs
        step = 1e-13 * (last - first)
        k1, k2 = of_k(first + step), of_k(last - step)
        cuts += [root(of_k, i, first + step, last - step) for i in range(rank) if k1[i] < 0.0 < k2[i]]
    cuts.sort(reverse=last < first)
    out = []
    for a, b in itertools.pairwise(cuts):
        low, at_low = _finite(of_n, a, b, a != first)
        high, at_high = _finite(of_n, b, a, b != last)
        for i in range(rank):
            if at_low[i] > 0.0 > at_high[i]:
                out.append(_spike(law, delta(root(of_n, i, low, high)), gap.side, i))
    return out


def _finite(f: Callable[[float], Array], end: float, other: float, open_: bool) -> tuple[float, Array]:
    """The point nearest to an end at which f is finite; 1e-11 of the length away from a pole."""
    for step in (0.0, 1e-13, 1e-11, 1e-9, 1e-7):
        if step < 1e-11 and open_:
            continue
        x = end + step * (other - end)
        value = f(x)
        if not np.isnan(value).any():
            break
    return x, value


def _spike(law: HessianLaw, d: float, side: tuple[float, float], index: int) -> HessianSpike:
    """Location, and the residue of the equivalent there."""
    z, K, S = _matrices(law, d, side)
    inverse = np.linalg.inv(K)
    x = np.linalg.eigh(inverse + S)[1][:, index]
    # d(K^-1 + S)/dz along the curve
    e, f = law._curve.sums(d)
    rate = 1.0 / float(law._curve([d], side)[2, 0])
    levels, basis = law.spectrum.values, law._basis
    r = 1.0 / (e * levels - z)
    dK = np.einsum("i,idk,idl->kl", r * r * (1.0 + levels * f * rate), basis, basis)
    dS = -law._perturbation(np.array([d]))[1][0].real * rate
    slope = float(x @ (dS - inverse @ dK @ inverse) @ x)
    vector = np.einsum("i,idk,k->id", r, basis, inverse @ x) / np.sqrt(abs(slope))
    cosines = []
    for v in (law.w, law.w_star):
        norm = float((v * v).sum())
        cosines.append(float((v * vector).sum()) ** 2 / norm if norm else np.nan)
    return HessianSpike(z, cosines[0], cosines[1], freeze(vector))
