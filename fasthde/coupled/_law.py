"""What the coupled laws share: parts, support, density, transforms and equivalents."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._distribution import Distribution, Solved
from fasthde._results import Record, Status, freeze
from fasthde._series import Series, build
from fasthde.coupled._part import Part
from fasthde.coupled._support import Ends, find_ends
from fasthde.spectrum import Spectrum

#: Hint of every error message on the ratio.
RATIO = "The ratio is p/n, dimension over samples."

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)


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


class Coupled(Distribution):
    """What the coupled laws share: parts, support, density, transforms."""

    __slots__ = ()

    def _build(self) -> tuple[list[Part], float]:
        """Irreducible parts, and the weight of levels that carry nothing."""
        raise NotImplementedError

    def _entries(self, z: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Diagonals of the equivalents from z (a column) and the unknowns (rows)."""
        raise NotImplementedError

    @property
    def _systems(self) -> tuple[list[Part], float]:
        return self._memo("model", self._build)  # type: ignore[no-any-return]

    @property
    def _ends(self) -> list[Ends]:
        return self._memo("ends", lambda: [find_ends(p) for p in self._systems[0]])  # type: ignore[no-any-return]

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
        for part, ends in zip(self._systems[0], self._ends, strict=True):
            scaled = ends.edges * part.unit
            rows += [
                (float(e), float(q), bool(h)) for e, q, h in zip(scaled, ends.powers, ends.hard, strict=True)
            ]
            spans += [(float(a), float(b)) for a, b in scaled.reshape(-1, 2)]
        worst: dict[float, tuple[float, bool]] = {}
        for e, q, h in rows:
            known = worst.get(e, (2.0, False))
            worst[e] = (max(known[0], q), known[1] or h)
        cuts = sorted(worst)
        edges: list[float] = []
        powers: list[float] = []
        hard: list[bool] = []
        for a, b in itertools.pairwise(cuts):
            if any(low <= a and b <= high for low, high in spans):
                edges += [a, b]
                powers += [worst[a][0], worst[b][0]]
                hard += [worst[a][1], worst[b][1]]
        return np.array(edges), np.array(powers), np.array(hard, bool)

    def _make_series(self) -> Series:
        parts, ends = self._systems[0], self._ends
        if len(parts) > 1 or not ends[0].base.any():
            return build(self._noisy_density, *self._pieces())
        part, found = parts[0], ends[0]

        def density(half: NDArray[np.int64], x: Array) -> tuple[Array, Array]:
            out = np.empty((2, x.size))
            for level in np.unique(found.base):
                at = found.base[half] == level
                out[:, at] = self._bulk(part.seen_from(float(level)), x[at] / part.unit)
            return out[0], out[1]

        offset = found.offset * part.unit
        same = found.base[::2] == found.base[1::2]
        edges = found.edges * part.unit
        width = np.where(same, np.diff(offset)[::2], np.diff(edges)[::2])
        return build(density, edges, found.powers, found.hard, (offset, np.repeat(width, 2)))

    @property
    def atoms(self) -> list[tuple[float, float]]:
        """Point masses as (location, mass), ascending."""
        zero = self._systems[1] + sum(e.zero for e in self._ends)
        atoms = [(0.0, zero)] if zero > 0.0 else []
        for part in self._systems[0]:
            atoms += [(a * part.unit, m) for a, m in part.atoms]
        return sorted(atoms)

    def _solve(self, z: Complex) -> tuple[Complex, Complex, NDArray[np.int64], Array, NDArray[np.int64]]:
        """m, all unknowns, status, residual and evaluations at points of the closed upper half-plane."""
        parts, zero = self._systems
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
            count += state.evaluations
        return m, unknowns, status, residual, count

    def _density(self, x: Array) -> Array:
        return self._noisy_density(x)[0]

    def _noisy_density(self, x: Array) -> tuple[Array, Array]:
        """Density and its rounding errors."""
        value, error = np.zeros(x.size), np.zeros(x.size)
        for part in self._systems[0]:
            more, noise = self._bulk(part, x / part.unit)
            value += more
            error += noise
        return value, error

    @staticmethod
    def _bulk(part: Part, x: Array) -> tuple[Array, Array]:
        """Density of a part at points in its units, and its errors; 0 outside and within the rounding of an edge."""
        state = part.solve(x)
        out = np.where(state.outside, 0.0, state.m.imag) / (np.pi * part.unit)
        noise = np.where(np.isfinite(state.noise), state.noise, 0.0)
        for step in (64.0 * _EPS, 1e-12, 1e-10):
            lost = np.flatnonzero(np.isnan(out))
            if not lost.size:
                break
            # an edge: a neighbour outside, or the nearest one that can be solved, for what it is worth
            near = part.solve((x[lost] * (1.0 + step * np.array([[-1.0], [1.0]]))).ravel())
            values = np.where(near.outside, 0.0, near.m.imag).reshape(2, -1) / (np.pi * part.unit)
            out[lost] = np.fmin(values[0], values[1])
            noise[lost] = 1.0
        return out, out * noise

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
            Real for real z (unless a side is given). Bad elements of z are NaN with INVALID.

        Raises
        ------
        TypeError, ValueError
            For z that is not numeric, or another side.

        Examples
        --------
        >>> import fasthde as fh
        >>> law = fh.separable(fh.Spectrum([1, 3]), fh.Spectrum([0.5, 1.5]), 0.5)
        >>> law.equivalent(-1.0).diagonal().round(6)
        array([0.595475, 0.329164])
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
        up = np.full(flat.size, np.nan, np.complex128)
        up[good] = flat.real[good] + 1j * np.abs(flat.imag[good])
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
            value = freeze(np.ascontiguousarray(value).reshape(points.shape + tail))
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


def proportions(H: Spectrum) -> Array:
    return np.asarray(H.multiplicity / math.fsum(H.multiplicity))


def merge(values: Array, w: Array) -> tuple[Array, Array]:
    """Distinct columns in ascending order with their total weights; columns of weight 0 left out."""
    keep = w > 0
    levels, which = np.unique(values[..., keep], axis=-1, return_inverse=True)
    weights = (
        [math.fsum(w[keep][which.ravel() == i]) for i in range(levels.shape[-1])]
        if (levels.shape[-1] < keep.sum())
        else list(w[keep][np.argsort(which.ravel())])
    )
    return levels, np.array(weights)


def components(linked: NDArray[np.bool_], alive: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
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
