"""Hessians of generalised linear models: bulk, isolated eigenvalues and resolvent of (1/n) X diag(g) X'."""

from fasthde.hessian._build import hessian_law
from fasthde.hessian._law import HessianLaw
from fasthde.hessian._results import HessianEquivalent, HessianSpike
from fasthde.hessian._weights import WeightLaw

__all__ = ["HessianEquivalent", "HessianLaw", "HessianSpike", "WeightLaw", "hessian_law"]


def _warmup() -> None:
    """Run each kernel once with the types that calls use."""
    from fasthde.spectrum import Spectrum

    law = hessian_law(Spectrum([1.0, 2.0]), 0.5, "logistic", w=[2.0, 1.0], w_star=[1.0, 0.0])
    law.pdf(0.1), law.ppf(0.5), law.stieltjes(-1.0), law.stieltjes(1.0j), law.equivalent(-1.0), law.spikes
