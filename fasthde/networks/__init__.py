"""Deep networks: exact kernels, their linear equivalents, and their laws."""

from fasthde.networks._api import (
    NetworkKernels,
    _warmup,
    conjugate_kernel,
    network_kernels,
    tangent_kernel,
)
from fasthde.networks._distance import DistanceEquivalent, distance_kernel_equivalent
from fasthde.networks._equilibrium import EquilibriumEquivalent, equilibrium_equivalent
from fasthde.networks._equivalents import KernelEquivalent, kernel_equivalent
from fasthde.networks._fourier import FourierEquivalent, random_fourier_equivalent
from fasthde.networks._laws import feature_gram_law, finite_width_law, inner_product_kernel_law
from fasthde.networks._mixture import GaussianMixture, UnitSphere
from fasthde.networks._statistics import ClassStatistics

__all__ = [
    "ClassStatistics",
    "DistanceEquivalent",
    "EquilibriumEquivalent",
    "FourierEquivalent",
    "GaussianMixture",
    "KernelEquivalent",
    "NetworkKernels",
    "UnitSphere",
    "_warmup",
    "conjugate_kernel",
    "distance_kernel_equivalent",
    "equilibrium_equivalent",
    "feature_gram_law",
    "finite_width_law",
    "inner_product_kernel_law",
    "kernel_equivalent",
    "network_kernels",
    "random_fourier_equivalent",
    "tangent_kernel",
]
