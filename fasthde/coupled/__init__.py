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


def _warmup() -> None:
    """Run each kernel once with the types that calls use."""
    from fasthde.spectrum import Spectrum

    H = Spectrum([1.0, 3.0])
    laws = (
        separable(H, H, 0.5),
        mixture([H, H], [0.5, 0.5], 0.5),
        information_plus_noise(H, 0.5),
        variance_profile([[1.0]]),
    )
    for law in laws:
        law.pdf(1.0), law.stieltjes(1.0j), law.ppf(0.5)
