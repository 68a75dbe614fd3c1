"""fasthde: the compiled engine for high-dimensional equivalents.

Names load on first use: ``import fasthde`` loads neither numba nor scipy.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Spectrum": "fasthde.spectrum",
    "Law": "fasthde.laws",
    "marchenko_pastur": "fasthde.laws",
    "semicircle": "fasthde.laws",
    "sample_covariance": "fasthde.laws",
    "wachter": "fasthde.laws",
    "batch": "fasthde._batch",
    "LawBatch": "fasthde._batch",
    "manova": "fasthde.laws",
    "Equivalent": "fasthde.equivalents",
    "TwoResolvent": "fasthde.equivalents",
    "two_resolvent": "fasthde.equivalents",
    "Spike": "fasthde.spikes",
    "SpikedModel": "fasthde.spikes",
    "spike": "fasthde.spikes",
    "spike_from_outlier": "fasthde.spikes",
    "population_spike": "fasthde.spikes",
    "population_eigenvalues": "fasthde.spikes",
    "spiked_model": "fasthde.spikes",
    "low_rank_error": "fasthde.spikes",
    "Functional": "fasthde.functionals",
    "LinearStatistic": "fasthde.fluctuations",
    "functional": "fasthde.functionals",
    "linear_statistic": "fasthde.fluctuations",
    "separable": "fasthde.coupled",
    "mixture": "fasthde.coupled",
    "information_plus_noise": "fasthde.coupled",
    "variance_profile": "fasthde.coupled",
    "hessian_law": "fasthde.hessian",
    "HessianLaw": "fasthde.hessian",
    "Activation": "fasthde.activations",
    "ActivationMoments": "fasthde.activations",
    "DualResult": "fasthde.activations",
    "activation": "fasthde.activations",
    "NetworkKernels": "fasthde.networks",
    "conjugate_kernel": "fasthde.networks",
    "tangent_kernel": "fasthde.networks",
    "network_kernels": "fasthde.networks",
    "linearize": "fasthde._linearize",
    "Linearization": "fasthde._linearize",
    "GaussianMixture": "fasthde.networks",
    "UnitSphere": "fasthde.networks",
    "ClassStatistics": "fasthde.networks",
    "kernel_equivalent": "fasthde.networks",
    "KernelEquivalent": "fasthde.networks",
    "equilibrium_equivalent": "fasthde.networks",
    "EquilibriumEquivalent": "fasthde.networks",
    "distance_kernel_equivalent": "fasthde.networks",
    "DistanceEquivalent": "fasthde.networks",
    "feature_gram_law": "fasthde.networks",
    "inner_product_kernel_law": "fasthde.networks",
    "finite_width_law": "fasthde.networks",
    "random_fourier_equivalent": "fasthde.networks",
    "FourierEquivalent": "fasthde.networks",
    "quantize_activation": "fasthde.compression",
    "QuantizedActivation": "fasthde.compression",
    "sparse_ternary_weights": "fasthde.compression",
    "ternarize": "fasthde.compression",
    "TernaryWeights": "fasthde.compression",
    "compress_network": "fasthde.compression",
    "CompressedNetwork": "fasthde.compression",
    "compress_mlp": "fasthde.compression",
    "CompressedMLP": "fasthde.compression",
    "LinearProblem": "fasthde.learning.problem",
    "KernelProblem": "fasthde.learning.kernel_problem",
    "random_features": "fasthde.learning.random_features",
    "random_features_on": "fasthde.learning.random_features_on",
    "ConditionalResult": "fasthde.learning.random_features_on",
    "kernel_ridge": "fasthde.learning.random_features",
    "FeaturesResult": "fasthde._results",
    "ridge": "fasthde.learning.ridge",
    "optimal_ridge": "fasthde.learning.ridge",
    "convert_ridge": "fasthde.learning.ridge",
    "RidgeResult": "fasthde._results",
    "Status": "fasthde._results",
    "ValidityWarning": "fasthde._results",
    "check": "fasthde._check",
    "CheckResult": "fasthde._check",
    "data": "fasthde.data",
    "plot": "fasthde.plot",
    "warmup": "fasthde._jit",
}
_MODULES = {"data", "plot"}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fasthde' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
