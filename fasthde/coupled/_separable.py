"""Samples of unequal norm: ``X = C^1/2 Z T^1/2``."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde import _validate as check
from fasthde.coupled._law import RATIO, Coupled, merge, proportions
from fasthde.coupled._part import Part, snap
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Separable(Coupled):
    """Law of ``X X'/n`` for ``X = C^1/2 Z T^1/2``; see `separable`.

    Parameters
    ----------
    H, T : Spectrum
        Eigenvalues of C and T; only their proportions count.
    ratio : float
        p/n.
    """

    H: Spectrum
    T: Spectrum
    ratio: float
    _cache: dict[str, Any] | None

    def __init__(self, H: Spectrum, T: Spectrum, ratio: float):
        for name, value in (("H", H), ("T", T)):
            spectrum = as_spectrum(name, value)
            if not (spectrum.values[spectrum.multiplicity > 0] > 0).any():
                raise ValueError(
                    f"{name} must have a positive eigenvalue; all are 0. The matrix X would vanish."
                )
            object.__setattr__(self, name, spectrum)
        object.__setattr__(self, "ratio", check.scalar("ratio", ratio, positive=True, hint=RATIO))
        object.__setattr__(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        c = self.ratio
        t, w = merge(self.H.values, proportions(self.H))
        tau, u = merge(self.T.values, proportions(self.T))
        zero = float(w[t == 0].sum())
        t, w, tau, u = t[t > 0], w[t > 0], tau[tau > 0], u[tau > 0]
        rest = np.full(2, snap(math.fsum(u) - c * math.fsum(w)))
        model = (w, (1.0 + math.sqrt(c)) ** 2, t / t[-1], c, rest, u, tau / tau[-1])
        return [Part(model, float(t[-1] * tau[-1]))], zero

    def _entries(self, z: Any, x: Any) -> Any:
        delta = self._named(z, x)[:, :1]
        tau, u = self.T.values, proportions(self.T)
        node = 1.0 / (1.0 + delta * tau)
        e = (u * tau * node).sum(axis=1, keepdims=True)
        return 1.0 / (e * self.H.values - z), -node / z

    def _named(self, z: Any, x: Any) -> Any:
        tau, u = self.T.values, proportions(self.T)
        d = x / tau.max(initial=0.0, where=self.T.multiplicity > 0)
        return np.concatenate((d, -(u * tau / (1.0 + d * tau)).sum(axis=1, keepdims=True) / z), axis=1)

    def __repr__(self) -> str:
        return f"Separable(H={self.H!r}, T={self.T!r}, ratio={self.ratio:.6g})"


def separable(H: Spectrum, T: Spectrum, ratio: float) -> Separable:
    r"""Law of a sample covariance whose samples have unequal norms: ``X X'/n`` for ``X = C^1/2 Z T^1/2``.

    Z is p x n with independent entries of mean 0 and variance 1, C (p x p) and T (n x n) are positive
    semidefinite. With T diagonal this is the elliptical model: sample j has covariance ``tau_j C``.

    Parameters
    ----------
    H : Spectrum
        Eigenvalues of C, in the units of the data squared; only their proportions count.
    T : Spectrum
        Eigenvalues of T, >= 0; only their proportions count.
    ratio : float
        ``c = p/n`` > 0.

    Returns
    -------
    Separable
        Law with `support`, `atoms`, `pdf`, `cdf`, `ppf`, `moment`, `expect`, `rvs`, `stieltjes` and `equivalent`,
        whose unknowns are (delta, delta~).

    Raises
    ------
    TypeError
        For H or T that is not a Spectrum.
    ValueError
        For a spectrum without a positive eigenvalue, or a ratio that is not finite and > 0.

    Notes
    -----
    With ``H = sum w_i delta(t_i)`` and T's law ``sum u_j delta(tau_j)``,

    .. math::

        \delta = c \sum_i \frac{w_i t_i}{e\, t_i - z}, \qquad
        e = -z \tilde\delta = \sum_j \frac{u_j \tau_j}{1 + \tau_j \delta}, \qquad
        m = \sum_i \frac{w_i}{e\, t_i - z}

    (Zhang 2006; Paul & Silverstein 2009). A real z is outside the support iff it belongs to a real pair
    (delta, delta~) on the increasing branch (Couillet & Hachem 2014; Silverstein & Choi 1995 for T = I), which
    gives one point in every gap. For T = I the law is `sample_covariance`, for one level of C a compound Poisson law.

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.separable(fh.Spectrum([1, 3, 10]), fh.Spectrum([0.5, 1.5]), 0.1)
    >>> law.support.round(6)
    array([[ 0.562412,  1.308055],
           [ 1.857835,  4.178035],
           [ 6.613399, 14.77443 ]])
    >>> round(law.mean(), 12)
    4.666666666667
    """
    return Separable(H, T, ratio)
