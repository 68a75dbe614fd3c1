"""Random networks with quantised activations and sparse ternary weights."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Status, ValidityWarning, freeze
from fasthde.compression._activation import QuantizedActivation, row_text
from fasthde.compression._layers import Layers, level_counts, quantize_layer, size_text, stacked
from fasthde.compression._weights import TernaryWeights, sparse_ternary_weights, sparsity_of, weight_bits
from fasthde.networks._equivalents import KernelEquivalent, activations_of, kernel_equivalent
from fasthde.networks._mixture import GaussianMixture, UnitSphere
from fasthde.networks._statistics import ClassStatistics
from fasthde.networks._statistics import data as matrix_of

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompressedNetwork(Layers):
    """Random network with quantised activations and sparse ternary weights; see `compress_network`.

    Attributes
    ----------
    names : ndarray of str, shape (L,)
        Activations of the original.
    thresholds, levels : ndarray, shape (L, k - 1) and (L, k)
        Step functions; shorter rows are filled with inf and their last level.
    tau, scale : ndarray, shape (L,)
        Standard deviation of the argument of each activation, in the original and in the compressed network.
    mismatch : ndarray, shape (L, 5)
        As in `QuantizedActivation`.
    alpha, compressed_alpha : ndarray, shape (L + 1, 4)
        Coefficients of the conjugate kernels, as in `KernelEquivalent`.
    identity : ndarray, shape (2,)
        Their coefficients of the identity after the last layer, original and compressed.
    error : float
        Predicted ``|CK - CK_c|/|CK|`` in operator norm, from the linear equivalents on the data.
    shifted_error : float
        The same for ``CK_c - shift I``: for a ridge regression whose ridge is lowered by ``shift``.
    shift : float
        E phi**2 of the compressed less that of the original network after the last layer.
    widths : ndarray of int, shape (L + 1,)
        Dimension of the data and widths of the layers.
    sparsity : float
        Proportion of zeros among the weights.
    storage : str
        How weights are stored.
    original_bits, bits : float
        Size of weights and activation functions: floats and nothing; ternary weights, thresholds and levels.
    original_activation_bits, activation_bits : float
        Size of all activations of one sample.
    status : ndarray of int, shape (L,)
        `Status` code of each layer, as in `QuantizedActivation`.
    """

    names: NDArray[np.str_]
    thresholds: Array
    levels: Array
    tau: Array
    scale: Array
    mismatch: Array
    alpha: Array
    compressed_alpha: Array
    identity: Array
    error: float
    shifted_error: float
    shift: float
    widths: NDArray[np.int64]
    sparsity: float
    storage: str
    original_bits: float
    bits: float
    original_activation_bits: float
    activation_bits: float
    status: Any

    @property
    def success(self) -> bool:
        """Whether every layer matches."""
        return bool(np.all(np.asarray(self.status) == Status.CONVERGED))

    def weights(self, rng: Any = None) -> tuple[TernaryWeights, ...]:
        """Draw the weights.

        Parameters
        ----------
        rng : int, SeedSequence, Generator or None, optional
            Source of randomness.

        Returns
        -------
        tuple of TernaryWeights
            One of shape (width, previous width) a layer.
        """
        rng = np.random.default_rng(rng)
        pairs = zip(self.widths[1:].tolist(), self.widths[:-1].tolist(), strict=True)
        return tuple(sparse_ternary_weights(pair, self.sparsity, rng) for pair in pairs)

    def features(self, X: ArrayLike, rng: Any = None) -> Array:
        """Last layer of one such network: a sample of the random model.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Inputs, not scaled.
        rng : int, SeedSequence, Generator or None, optional
            Source of the weights; the same for the same seed.

        Returns
        -------
        ndarray, shape (n_samples, width)
            F, with ``F F'/width`` close to the compressed conjugate kernel.
        """
        h = matrix_of("X", X)
        if h.shape[1] != self.widths[0]:
            raise ValueError(f"X must have {self.widths[0]} columns; got shape {h.shape}.")
        for w, phi in zip(self.weights(rng), self.activations, strict=True):
            h = phi(h @ w.matrix().T / math.sqrt(h.shape[1]))
        return h

    def __repr__(self) -> str:
        widths = " - ".join(str(w) for w in self.widths)
        good = "matched" if self.success else "not matched"
        rows = [f"CompressedNetwork({widths}, sparsity {self.sparsity:.4g}, {good})", *self._table()]
        rows += [
            f"  alpha       {row_text(self.alpha[-1, :3])}",
            f"  compressed  {row_text(self.compressed_alpha[-1, :3])}",
            f"  predicted error {self.error:.2e}, {self.shifted_error:.2e} after a shift of {self.shift:.4g}",
            f"  weights     {size_text(self.original_bits)} -> {size_text(self.bits)} ({self.storage}): "
            f"{self.ratio:.1f} times less",
            f"  activations {size_text(self.original_activation_bits)} -> {size_text(self.activation_bits)} a sample",
        ]
        return "\n".join(rows)


def compress_network(
    act: Any,
    widths: Sequence[int],
    data: Any = 1.0,
    *,
    labels: ArrayLike | None = None,
    n_samples: int | None = None,
    levels: Any = 3,
    sparsity: float = 0.9,
    ridge_shift: bool = True,
    storage: str = "entropy",
    float_bits: int = 32,
) -> CompressedNetwork:
    r"""Quantised activations and sparse ternary weights with the conjugate kernel of a given random network.

    Parameters
    ----------
    act : Activation, str or callable, or sequence of them
        Activation of all layers, or one a layer; their means are subtracted, layer by layer.
    widths : sequence of int
        Dimension of the data, then the width of each layer.
    data : float, GaussianMixture, UnitSphere or array_like of shape (n_samples, n_features), optional
        Model of the inputs, not scaled: a number is the standard deviation of independent Gaussian entries; from an
        array the statistics of its classes are estimated.
    labels : array_like of int, shape (n_samples,), optional
        Classes of the rows of an array; one class by default.
    n_samples : int, optional
        For a model: samples on which the error is predicted; the dimension by default, 1000 at most. They are drawn
        from it with a fixed seed.
    levels : int or sequence of int, optional
        Number of levels, for all layers or one a layer.
    sparsity : float, optional
        Proportion of weights that are 0, in [0, 1).
    ridge_shift : bool, optional
        Let E phi**2 of the last layer be free: the compressed kernel is then ``CK + shift I``, which is a ridge larger
        by ``shift``.
    storage : {"entropy", "packed"}, optional
        Size of the ternary weights: what an arithmetic coder reaches, or five a byte.
    float_bits : int, optional
        Size of a weight and of an activation of the original, and of a threshold and a level.

    Returns
    -------
    CompressedNetwork
        ``activations``, ``alpha``, ``compressed_alpha``, ``error``, ``shifted_error``, ``shift``, ``bits``, ``ratio``,
        ..., and methods `weights` and `features`.

    Raises
    ------
    TypeError
        For data of another kind.
    ValueError
        For widths that fit neither the activations nor the data, and other values out of range.

    Notes
    -----
    Layer by layer at :math:`\tau_l^2 = E\varphi_l(\tau_{l-1}\xi)^2`, the step function keeps
    :math:`E\varphi_l`, :math:`(E\varphi_l')^2`, :math:`(E\varphi_l'')^2` and, but for the last layer,
    :math:`E[\varphi_l'^2 + \varphi_l\varphi_l'']`; with them all coefficients :math:`\alpha` of the recursion in
    `kernel_equivalent` stay. :math:`E\varphi_l^2` enters that recursion through the next layer's scale alone, at which
    the next step function is made, and in the end through the identity. So three levels suffice, at the price of a
    shift that grows with depth; with more levels it is smaller. The errors are operator norms of

    .. math:: \Delta\alpha_1 X^\top X + V\, \Delta A\, V^\top + (\Delta\tau_L^2 - \tau_0^2 \Delta\alpha_1) I

    on the data, relative to the equivalent of the original: the limit, 0 for a match; at finite dimension p another
    :math:`O(p^{-1/2})` comes on top. (Gu et al. 2022; Tiomoko Ali et al. 2022.) The tangent kernel is not kept: that of
    a step function is infinite on the diagonal.

    Examples
    --------
    >>> from fasthde.compression import compress_network
    >>> net = compress_network("relu", [784, 3000, 1000], sparsity=0.9)
    >>> net.success, net.shifted_error < 1e-12, round(net.ratio, 1)
    (True, True, 56.2)
    """
    if not np.iterable(widths):
        raise TypeError(
            f"widths must be a sequence: the data's dimension, and one width a layer; got {widths!r}."
        )
    sizes = [check.integer("widths", w, 1) for w in widths]
    if len(sizes) < 2:
        raise ValueError(
            f"widths must hold the data's dimension and one width a layer; got {len(sizes)} number(s)."
        )
    depth = len(sizes) - 1
    if isinstance(act, list | tuple) and len(act) != depth:
        raise ValueError(
            f"widths must hold {len(act) + 1} numbers for {len(act)} activations; got {len(sizes)}."
        )
    stack = activations_of(act, depth)
    counts = level_counts(levels, depth)
    zeros = sparsity_of(sparsity)
    width = check.integer("float_bits", float_bits, 1)
    weight_bits(1, zeros, storage)
    stats, X, y = _inputs(data, labels, n_samples, sizes[0])

    original = kernel_equivalent(stack, stats)
    quantized: list[QuantizedActivation] = []
    scale = stats.tau
    for row, (phi, k) in enumerate(zip(stack, counts, strict=True)):
        tau, last = float(original.scales[row]), row == depth - 1
        quantized.append(quantize_layer(phi, k, tau, scale, last, ridge_shift))
        scale = math.sqrt(original.tau[row + 1] ** 2 + quantized[-1].shift)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValidityWarning)  # said once
        compressed = kernel_equivalent([q.activation for q in quantized], stats)
    shift = float(compressed.tau[-1] ** 2 - original.tau[-1] ** 2)
    error, shifted = _errors(original, compressed, shift, X, y)

    count = [a * b for a, b in zip(sizes[1:], sizes[:-1], strict=True)]
    functions = sum(2 * k - 1 for k in counts)
    fields = {
        **stacked(quantized),
        "alpha": original.alpha,
        "compressed_alpha": compressed.alpha,
        "identity": np.array([e.scalars()[1] for e in (original, compressed)]),
        "widths": np.array(sizes),
        "status": np.array([q.status for q in quantized]),
    }
    return CompressedNetwork(
        **{name: freeze(value) for name, value in fields.items()},
        error=error,
        shifted_error=shifted,
        shift=shift,
        sparsity=zeros,
        storage=storage,
        original_bits=float(width * sum(count)),
        bits=float(sum(weight_bits(c, zeros, storage) for c in count) + width * functions),
        original_activation_bits=float(width * sum(sizes[1:])),
        activation_bits=float(sum(w * q.bits for w, q in zip(sizes[1:], quantized, strict=True))),
    )


def _inputs(
    value: Any, labels: ArrayLike | None, n: int | None, dimension: int
) -> tuple[ClassStatistics, Array, NDArray[np.int64]]:
    """Statistics of the inputs, and samples with their classes."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        tau = check.scalar(
            "data", value, positive=True, hint="A number is the standard deviation of the entries."
        )
        value = GaussianMixture(np.zeros((1, dimension)), tau**2)
    if isinstance(value, GaussianMixture | UnitSphere):
        if labels is not None:
            raise TypeError("labels belong to an array of samples; a model of the data brings its own.")
        if value.dimension != dimension:
            raise ValueError(
                f"widths must start with the dimension of the data, {value.dimension}; got {dimension}."
            )
        count = min(dimension, 1000) if n is None else check.integer("n_samples", n, 2)
        return value.statistics, *value.sample(count, rng=0)
    if not isinstance(value, np.ndarray | list):
        raise TypeError(
            "data must be a number, a GaussianMixture, a UnitSphere or an array of samples; "
            f"got {type(value).__name__}."
        )
    X = matrix_of("data", value)
    if X.shape[1] != dimension:
        raise ValueError(f"widths must start with the dimension of the data, {X.shape[1]}; got {dimension}.")
    if n is not None:
        raise TypeError("n_samples belongs to a model of the data; an array is used as it is.")
    stats = ClassStatistics.from_samples(X, labels)
    return stats, X, stats._labels(labels, X.shape[0])


def _errors(
    original: KernelEquivalent, compressed: KernelEquivalent, shift: float, X: Array, y: NDArray[np.int64]
) -> tuple[float, float]:
    """Relative operator norms of the difference of the equivalents, as it is and without the shift."""
    kernel = original.matrix(X, y)
    values = np.linalg.eigvalsh(compressed.matrix(X, y) - kernel)
    norm = float(np.max(np.abs(np.linalg.eigvalsh(kernel))))
    return float(np.max(np.abs(values))) / norm, float(np.max(np.abs(values - shift))) / norm
