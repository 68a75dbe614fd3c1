"""Laws whose deterministic equivalents have several coupled unknowns."""

from fasthde.coupled._law import CoupledEquivalent
from fasthde.coupled._mixture import Mixture, mixture
from fasthde.coupled._profile import VarianceProfile, variance_profile
from fasthde.coupled._separable import Separable, separable
from fasthde.coupled._signal import InformationPlusNoise, information_plus_noise

__all__ = [
    "CoupledEquivalent",
    "InformationPlusNoise",
    "Mixture",
    "Separable",
    "VarianceProfile",
    "information_plus_noise",
    "mixture",
    "separable",
    "variance_profile",
]
