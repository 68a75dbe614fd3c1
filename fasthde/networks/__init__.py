"""Deep networks: exact kernels, their linear equivalents, and their laws."""

from fasthde.networks._api import (
    NetworkKernels,
    _warmup,
    conjugate_kernel,
    network_kernels,
    tangent_kernel,
)

__all__ = ["NetworkKernels", "_warmup", "conjugate_kernel", "network_kernels", "tangent_kernel"]
