"""The law of the Hessian weights g, as numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze
from fasthde.hessian._cells import Array, Cells

_EPS = float(np.finfo(float).eps)


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class WeightLaw(Record):
    """Law of the weights g of a Hessian, as numbers: atoms, and cells on which g has a smooth density.

    Made by `hessian_law` from a model; `discrete` makes one from values and probabilities.

    Attributes
    ----------
    values, probability : ndarray, shape (24 cells,)
        Quadrature nodes: E[f(g)] is ``sum probability f(values)`` over nodes and atoms.
    second : ndarray, shape (3, 24 cells)
        Each node's part of E[s1**2; g], E[s1 s2; g] and E[s2**2; g], with s = U'z the coordinates of the sample in
        the span of ``C^1/2 w`` and ``C^1/2 w*``.
    middle, half : ndarray, shape (cells,)
        The cells' centres and half-widths on the axis of g.
    smooth : ndarray of bool, shape (cells,)
        Whether the density has a resolved Legendre series there.
    coefficients : ndarray, shape (4, cells, 24)
        Legendre coefficients of the density and of its three second moments.
    atoms, masses : ndarray, shape (atoms,)
        Point masses away from 0.
    atom_second : ndarray, shape (3, atoms)
        As ``second``.
    zero : float
        P(g = 0).
    hull : ndarray, shape (4,)
        Smallest and largest g in use (probability beyond: 1e-60), and the ends of the support itself, maybe infinite.
    whole : bool
        Whether the continuous part is to be taken as one interval (two-dimensional quadrature).
    error : float
        Estimated absolute error of E[1/(1 - g/x)] at a distance from the support.
    """

    values: Array
    probability: Array
    second: Array
    middle: Array
    half: Array
    smooth: NDArray[np.bool_]
    coefficients: Array
    atoms: Array
    masses: Array
    atom_second: Array
    zero: float
    hull: Array
    whole: bool
    error: float

    @classmethod
    def discrete(cls, values: ArrayLike, probability: ArrayLike | None = None) -> WeightLaw:
        """Weights that take a few values, independently of the data.

        Parameters
        ----------
        values : array_like, shape (k,)
            Values of g, of either sign.
        probability : array_like, shape (k,), optional
            Their probabilities (normalised to 1); equal by default.

        Returns
        -------
        WeightLaw

        Examples
        --------
        >>> from fasthde.hessian import WeightLaw
        >>> WeightLaw.discrete([1.0, -1.0, 0.0], [2, 1, 1]).mean()
        0.25
        """
        g = np.atleast_1d(check.finite("values", check.real_array("values", values)))
        check.not_empty("values", g)
        if g.ndim != 1:
            raise ValueError(f"values must be one-dimensional; got shape {g.shape}.")
        p = np.ones(g.size) if probability is None else check.real_array("probability", probability)
        check.non_negative(
            "probability", check.same_length("probability", p, "values", g.size), "Drop the value."
        )
        if not p.sum() > 0:
            raise ValueError(f"probability must not be all zero; got {g.size} zeros.")
        p = p / p.sum()
        return pack(Cells.empty(), g, np.stack([p, p, 0.0 * p, p]), None, False, 0.0)

    def expect(self, f: Callable[[Array], Any]) -> Any:
        """E[f(g)] by the nodes.

        Parameters
        ----------
        f : callable
            Vectorised.

        Returns
        -------
        float or complex

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> g = hessian_law(fh.Spectrum([1.0]), 0.5, "poisson", w=1.0).weights
        >>> abs(g.expect(lambda x: x) - 1.6487212707001282) < 1e-13
        True
        """
        total = np.dot(np.asarray(f(self.values)), self.probability)
        total = total + np.dot(np.asarray(f(self.atoms)), self.masses)
        if self.zero > 0.0:
            total = total + self.zero * np.asarray(f(np.zeros(1)))[0]
        return total.item()

    def mean(self) -> float:
        """E[g]."""
        return float(np.dot(self.values, self.probability) + np.dot(self.atoms, self.masses))

    @property
    def _nodes(self) -> Any:
        """What the kernels take."""
        return (
            self.values, self.probability, self.smooth, self.middle, self.half,
            self.coefficients[0], self.atoms, self.masses,
        )  # fmt: skip

    @property
    def _channels(self) -> Any:
        return self.second, np.ascontiguousarray(self.coefficients[1:]), self.atom_second

    @property
    def _pieces(self) -> Array:
        """Intervals that hold all of g but its mass at 0, shape (k, 2), ascending and disjoint."""
        ends = np.stack([self.middle - self.half, self.middle + self.half], axis=1)
        if self.whole and ends.size:
            ends = np.array([[ends.min(), ends.max()]])
        ends = np.concatenate([ends, np.stack([self.atoms, self.atoms], axis=1)])
        ends = ends[np.argsort(ends[:, 0], kind="stable")]
        out: list[list[float]] = []
        for a, b in ends:
            if out and a <= out[-1][1] + 1e-9 * max(abs(a), abs(out[-1][1])):
                out[-1][1] = max(out[-1][1], b)
            else:
                out.append([a, b])
        return np.array(out).reshape(-1, 2)

    def __repr__(self) -> str:
        parts = [f"{self.middle.size} cells"] * int(self.middle.size > 0)
        parts += [f"{self.atoms.size} atoms"] * int(self.atoms.size > 0)
        parts += [f"P(g = 0) = {self.zero:.6g}"] * int(self.zero > 0)
        low, high = self.hull[2:]
        return f"WeightLaw({', '.join(parts)}, support [{low:.6g}, {high:.6g}], mean {self.mean():.6g})"


def pack(
    cells: Cells, atoms: Array, masses: Array, limits: tuple[float, float] | None, whole: bool, error: float
) -> WeightLaw:
    """Merge what coincides, drop g = 0, normalise, freeze."""
    order = np.lexsort((cells.high, cells.low))
    cells = cells.take(order)
    size = cells.low.size
    scale = np.maximum(np.abs(cells.low), np.abs(cells.high))
    same = np.zeros(size, bool)  # equal to the one before, as for an even function of a symmetric variable
    for ends in (cells.low, cells.high):
        same[1:] = (same[1:] | (ends is cells.low)) & (np.abs(np.diff(ends)) <= 4 * _EPS * scale[1:])
    if size:
        width = cells.high - cells.low
        near = np.abs(np.diff(cells.g, axis=0)).max(axis=1) <= 1e-9 * width[1:]
        same[1:] &= near & (cells.smooth[1:] == cells.smooth[:-1])
    first = np.flatnonzero(~same)
    if first.size:
        q = np.add.reduceat(cells.q, first, axis=1)
        table = np.add.reduceat(cells.coefficients, first, axis=1)
    else:
        q, table = cells.q, cells.coefficients
    g, low, high, smooth = cells.g[first], cells.low[first], cells.high[first], cells.smooth[first]
    zero = float(masses[0, atoms == 0.0].sum())
    kept = (atoms != 0.0) & (masses[0] > 0.0)
    atoms, masses = atoms[kept], masses[:, kept]
    if atoms.size:
        rank = np.argsort(atoms, kind="stable")
        atoms, masses = atoms[rank], masses[:, rank]
        start = np.flatnonzero(np.concatenate(([True], np.diff(atoms) > 64 * _EPS * np.abs(atoms[1:]))))
        atoms, masses = atoms[start], np.add.reduceat(masses, start, axis=1)
    total = q[0].sum() + masses[0].sum() + zero
    q, masses, table, zero = q / total, masses / total, table / total, zero / total
    points = np.concatenate([atoms, low, high])
    hull = (float(points.min()), float(points.max())) if points.size else (0.0, 0.0)
    outer = hull if limits is None else (min(hull[0], limits[0]), max(hull[1], limits[1]))
    flat = np.ascontiguousarray(q.reshape(4, -1))
    arrays: list[Any] = [
        g.ravel(), flat[0], flat[1:], 0.5 * (low + high), 0.5 * (high - low), smooth, table,
        atoms, masses[0], masses[1:],
    ]  # fmt: skip
    numbers: list[Any] = [zero, freeze(np.array([*hull, *outer])), whole, max(error, abs(float(total) - 1.0))]
    return WeightLaw(*(freeze(np.ascontiguousarray(v)) for v in arrays), *numbers)
