"""Broadcast grids of (n, lam) as the row kernels want them: rows of n, each with its column of lam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Grid:
    """Axes along which n varies become rows, the others columns, sorted by descending lam.

    Attributes
    ----------
    shape : tuple of int
        Broadcast shape of n and lam.
    n : ndarray, shape (rows,)
    lam : ndarray, shape (1, columns) where all rows share it, or (rows, columns)
    order : ndarray of int, like lam
        Positions in descending order: the kernels predict each root from its neighbours at larger lam.
    """

    __slots__ = ("_inverse", "_moved", "lam", "n", "order", "shape")

    def __init__(self, n: Array, lam: Array):
        if n.ndim == 0 and lam.ndim == 0:  # a third of the time of a scalar call
            self.shape: tuple[int, ...] = ()
            self.n, self.lam, self.order = n.reshape(1), lam.reshape(1, 1), np.zeros((1, 1), np.int32)
            self._inverse: list[int] | None = None
            return
        try:
            self.shape = np.broadcast_shapes(n.shape, lam.shape)
        except ValueError:
            raise ValueError(
                f"n and lam must broadcast together; got shapes {n.shape} and {lam.shape}. "
                "For every pair of them pass n[:, None] and lam."
            ) from None
        axes = len(self.shape)
        n = n.reshape((1,) * (axes - n.ndim) + n.shape)
        lam = lam.reshape((1,) * (axes - lam.ndim) + lam.shape)
        rows = [a for a in range(axes) if n.shape[a] != 1]
        columns = [a for a in range(axes) if n.shape[a] == 1]
        moved = rows + columns
        self._moved = tuple(self.shape[a] for a in moved)
        self._inverse = None if moved == sorted(moved) else [moved.index(a) for a in range(axes)]
        self.n = np.ascontiguousarray(n.transpose(moved).reshape(-1))
        lam = lam.transpose(moved)
        if all(size == 1 for size in lam.shape[: len(rows)]):
            lam = lam.reshape(1, lam.size)
        else:
            lam = np.broadcast_to(lam, self._moved).reshape(self.n.size, math.prod(self._moved[len(rows) :]))
        self.lam = np.ascontiguousarray(lam)
        self.order = np.argsort(-self.lam, axis=1, kind="stable").astype(np.int32)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n.size, self.lam.shape[1]

    def back(self, values: NDArray[Any]) -> Any:
        """Put (rows, columns) values in the broadcast shape (a view); a scalar for a scalar grid."""
        if not self.shape:
            return values.item()
        if self._inverse is None:
            return values.reshape(self.shape)
        return values.reshape(self._moved).transpose(self._inverse)
