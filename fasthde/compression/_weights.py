"""Ternary weights, and what they cost to store."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class TernaryWeights(Record):
    """Weights in {-a, 0, a}; see `sparse_ternary_weights` and `ternarize`.

    Attributes
    ----------
    signs : ndarray of int8, shape (...)
        -1, 0 or 1.
    scale : float
        The size a of the weights that are not 0.
    """

    signs: NDArray[np.int8]
    scale: float

    @property
    def sparsity(self) -> float:
        """Proportion of zeros."""
        return float(np.mean(self.signs == 0))

    def matrix(self) -> Array:
        """The weights as an ordinary array."""
        return np.asarray(self.scale * self.signs)

    def bits(self, storage: str = "entropy") -> float:
        """Size in bits, with 32 for the scale.

        Parameters
        ----------
        storage : {"entropy", "packed"}, optional
            What an arithmetic coder reaches, at the sparsity of these weights; or five weights a byte.

        Returns
        -------
        float
        """
        return 32.0 + weight_bits(self.signs.size, self.sparsity, storage)

    def __repr__(self) -> str:
        return (
            f"TernaryWeights(shape {self.signs.shape}, sparsity {self.sparsity:.4f}, scale {self.scale:.6g})"
        )


def weight_bits(count: int, sparsity: float, storage: str) -> float:
    """Bits of so many ternary weights."""
    if storage not in ("entropy", "packed"):
        raise ValueError(f'storage must be "entropy" or "packed"; got {storage!r}.')
    if storage == "packed":
        return 8.0 * math.ceil(count / 5)  # 3**5 = 243
    kept = 1.0 - sparsity
    zeros = -sparsity * math.log2(sparsity) if sparsity else 0.0
    signs = kept * (1.0 - math.log2(kept)) if kept else 0.0
    return count * (zeros + signs)


def sparsity_of(value: Any) -> float:
    number = check.scalar("sparsity", value, hint="It is the proportion of zeros.")
    if not number < 1.0:
        raise ValueError(f"sparsity must be below 1; got {number}. It is the proportion of zeros.")
    return number


def sparse_ternary_weights(shape: int | Sequence[int], sparsity: float, rng: Any = None) -> TernaryWeights:
    r"""Independent random weights in {-a, 0, a} of mean 0 and variance 1.

    Parameters
    ----------
    shape : int or sequence of int
        Shape.
    sparsity : float
        Probability of 0, in [0, 1).
    rng : int, SeedSequence, Generator or None, optional
        Source of randomness.

    Returns
    -------
    TernaryWeights
        With :math:`a = (1 - \text{sparsity})^{-1/2}`.

    Raises
    ------
    ValueError
        If the sparsity is not in [0, 1), or a size is not positive.

    Notes
    -----
    The kernel of a wide network is that of Gaussian weights whatever their law, as long as they are independent with
    mean 0, variance 1 and bounded fourth moments: here :math:`E w^4 = 1/(1 - \text{sparsity})`. (Gu et al. 2022,
    Theorem 1.)

    Examples
    --------
    >>> from fasthde.compression import sparse_ternary_weights
    >>> w = sparse_ternary_weights((400, 300), 0.9, rng=0)
    >>> w
    TernaryWeights(shape (400, 300), sparsity 0.8996, scale 3.16228)
    """
    zeros = sparsity_of(sparsity)
    sizes = [check.integer("shape", n, 1) for n in np.atleast_1d(shape).tolist()]
    u = np.random.default_rng(rng).random(sizes)
    half = 0.5 * (1.0 - zeros)
    signs = (u < half).astype(np.int8) - (u >= 1.0 - half).astype(np.int8)
    return TernaryWeights(freeze(signs), 1.0 / math.sqrt(1.0 - zeros))


def ternarize(W: ArrayLike, sparsity: float) -> TernaryWeights:
    """Ternary weights from trained ones: signs of the largest, at a scale that keeps the sum of squares.

    Parameters
    ----------
    W : array_like
        Weights of a layer, any shape.
    sparsity : float
        Proportion of the weights to set to 0, in [0, 1): those of smallest magnitude. One at least stays.

    Returns
    -------
    TernaryWeights

    Raises
    ------
    ValueError
        If W is empty, not finite or all zero, or the sparsity is not in [0, 1).

    Notes
    -----
    The second moment of the weights is what the scale of the next layer's input depends on; the least-squares scale
    (the mean magnitude of those kept) makes every layer shrink. Weights that are 0 stay 0.

    Examples
    --------
    >>> from fasthde.compression import ternarize
    >>> w = ternarize([[3.0, -1.0], [0.5, -4.0]], sparsity=0.5)
    >>> w.signs
    array([[ 1,  0],
           [ 0, -1]], dtype=int8)
    >>> round(w.scale**2, 9)  # (9 + 1 + 0.25 + 16)/2
    13.125
    """
    w = check.not_empty("W", check.finite("W", check.real_array("W", W)))
    check.ordinary_size("W", w)
    drop = min(math.floor(sparsity_of(sparsity) * w.size + 0.5), w.size - 1)
    order = np.argsort(np.abs(w), axis=None, kind="stable")
    signs = np.sign(w).astype(np.int8)
    signs.flat[order[:drop]] = 0
    kept = np.count_nonzero(signs)
    if not kept:
        raise ValueError("W must not be all zero.")
    return TernaryWeights(freeze(signs), float(np.linalg.norm(w)) / math.sqrt(kept))
