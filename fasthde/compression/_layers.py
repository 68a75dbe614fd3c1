"""What compressed networks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde import _validate as check
from fasthde._results import Record
from fasthde.activations import Activation
from fasthde.compression._activation import QuantizedActivation, as_activation, quantize_activation, row_text

Array = NDArray[np.float64]


def stacked(quantized: Sequence[QuantizedActivation]) -> dict[str, Any]:
    """Thresholds and levels of the layers as arrays, shorter rows filled with inf and their last level."""
    most = max(q.levels.size for q in quantized)
    thresholds = np.full((len(quantized), most - 1), np.inf)
    levels = np.empty((len(quantized), most))
    for row, q in enumerate(quantized):
        thresholds[row, : q.thresholds.size] = q.thresholds
        levels[row] = np.append(q.levels, np.full(most - q.levels.size, q.levels[-1]))
    return {
        "names": np.array([q.name for q in quantized]),
        "thresholds": thresholds,
        "levels": levels,
        "tau": np.array([q.tau for q in quantized]),
        "scale": np.array([q.scale for q in quantized]),
        "mismatch": np.array([q.mismatch for q in quantized]),
    }


class Layers(Record):
    """What compressed networks have in common: layers of step functions, and their size."""

    __slots__ = ()
    names: NDArray[np.str_]
    thresholds: Array
    levels: Array
    original_bits: float
    bits: float

    @property
    def activations(self) -> tuple[Activation, ...]:
        """Step function of each layer."""
        rows = zip(self.thresholds, self.levels, self.names, strict=True)
        return tuple(as_activation(s, c, str(name)) for s, c, name in rows)

    @property
    def ratio(self) -> float:
        """Size of the original over the size of the compressed network."""
        return self.original_bits / self.bits

    def _table(self) -> list[str]:
        rows = [f"  {'layer':<18}{'levels':>7}  thresholds"]
        for s, name in zip(self.thresholds, self.names, strict=True):
            finite = s[np.isfinite(s)]
            rows.append(f"  {name:<18}{finite.size + 1:>7}  {row_text(finite)}")
        return rows


def size_text(bits: float) -> str:
    for unit, size in (("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)):
        if bits >= size:
            return f"{bits / size:.4g} {unit}"
    return f"{bits:.0f} bit"


def level_counts(levels: Any, layers: int) -> list[int]:
    if np.ndim(levels) == 0:
        return [check.integer("levels", levels, 2)] * layers
    counts = [check.integer("levels", k, 2) for k in levels]
    if len(counts) != layers:
        raise ValueError(
            f"levels must be one number, or one for each of the {layers} layers; got {len(counts)}."
        )
    return counts


def quantize_layer(
    phi: Activation, k: int, tau: float, scale: float, last: bool, ridge_shift: bool
) -> QuantizedActivation:
    """A hidden layer need not keep E phi**2, the last one need not keep the quadratic coefficient."""
    return quantize_activation(
        phi, k, tau, scale=scale, keep_second=last and not ridge_shift, keep_quadratic=not last
    )
