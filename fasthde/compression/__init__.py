r"""Compression of wide networks that keeps the kernel: quantised activations and sparse ternary weights.

A wide network of random weights is, through its conjugate kernel, a function of very few numbers of each activation:
mean, slope, curvature, second moment, and how the second moment moves with the variance. Weights enter through their
variance alone. Step functions of three levels and weights in {-a, 0, a} with the same numbers make the same kernel.
"""

from fasthde.compression._activation import COEFFICIENTS, QuantizedActivation, quantize_activation
from fasthde.compression._mlp import CompressedMLP, compress_mlp
from fasthde.compression._network import CompressedNetwork, compress_network
from fasthde.compression._step import StepFunction
from fasthde.compression._weights import TernaryWeights, sparse_ternary_weights, ternarize

__all__ = [
    "COEFFICIENTS",
    "CompressedMLP",
    "CompressedNetwork",
    "QuantizedActivation",
    "StepFunction",
    "TernaryWeights",
    "compress_mlp",
    "compress_network",
    "quantize_activation",
    "sparse_ternary_weights",
    "ternarize",
]
