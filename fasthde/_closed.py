"""Closed forms of the two classical laws, in any position and scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.chain import AFFINE, SAMPLE, SEMICIRCLE

if TYPE_CHECKING:
    from fasthde._chain import Chain, Step

Array = NDArray[np.float64]


class Closed(NamedTuple):
    """``scale`` times a standard law plus ``offset``; ``ratio`` of Marchenko-Pastur, None for the semicircle."""

    ratio: float | None
    scale: float
    offset: float

    def _edges(self) -> tuple[float, float]:
        if self.ratio is None:
            return -2.0, 2.0
        root = np.sqrt(self.ratio)
        return ((1.0 - self.ratio) / (1.0 + root)) ** 2, (1.0 + root) ** 2

    def support(self) -> Array:
        """The interval."""
        a, b = self._edges()
        return np.array([[self.scale * a + self.offset, self.scale * b + self.offset]])

    def density(self, x: Array) -> Array:
        """Density of the continuous part."""
        (a, b) = self.support()[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            root = np.sqrt(np.maximum((x - a) * (b - x), 0.0))
            if self.ratio is None:
                return np.asarray(root / (2.0 * np.pi * self.scale**2))
            y = x - self.offset
            if a == self.offset:  # hard edge: root/y = sqrt((b - x)/(x - a))
                inside = (x >= a) & (x <= b)
                ratio = np.where(inside, np.sqrt(np.maximum(b - x, 0.0) / np.where(inside, x - a, 1.0)), 0.0)
            else:
                ratio = np.where(root > 0.0, root / np.where(root > 0.0, y, 1.0), 0.0)
            ratio = np.where(np.isnan(x), np.nan, ratio)
            return np.asarray(ratio / (2.0 * np.pi * self.ratio * self.scale))

    @np.errstate(all="ignore")
    def transform(self, z: NDArray[np.complex128]) -> Any:
        """Stieltjes transform in the closed upper half-plane: the root of the quadratic that decays."""
        y = (z - self.offset) / self.scale
        a, b = self._edges()
        root = _root(y - a) * _root(y - b)
        if self.ratio is None:
            return -2.0 / (y + root) / self.scale
        c = self.ratio
        p = (1.0 - c) - y
        far = 2.0 / (p - root)
        near = (p + root) / (2.0 * c * y)
        return np.where(np.abs(p - root) >= np.abs(p + root), far, near) / self.scale


def _root(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Square root continuous in the closed upper half-plane."""
    return np.sqrt(z.real + 1j * np.abs(z.imag))


def find(chain: Chain, steps: list[Step]) -> Closed | None:
    """The closed form of a chain that has one."""
    others = [i for i, s in enumerate(steps) if s.kind != AFFINE]
    if len(others) != 1 or chain.t.size + (chain.zero > 0.0) != 1:
        return None
    t = float(chain.t[0]) if chain.t.size else 0.0
    at = others[0]
    for s in steps[:at]:
        t = s.a * t + s.b
    a, b = 1.0, 0.0
    for s in steps[at + 1 :]:
        a, b = s.a * a, s.a * b + s.b
    step = steps[at]
    if step.kind == SEMICIRCLE:
        return Closed(None, a * float(np.sqrt(step.a)), a * t + b)
    if step.kind == SAMPLE and not step.gram and t > 0.0:
        return Closed(step.a, a * t, b)
    return None
