"""Hessians of generalised linear models: bulk, isolated eigenvalues and resolvent of (1/n) X diag(g) X'."""

from fasthde.hessian._build import hessian_law
from fasthde.hessian._law import HessianLaw
from fasthde.hessian._results import HessianEquivalent, HessianSpike
from fasthde.hessian._weights import WeightLaw

__all__ = ["HessianEquivalent", "HessianLaw", "HessianSpike", "WeightLaw", "hessian_law"]
