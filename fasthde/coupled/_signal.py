"""A fixed matrix plus noise: ``X = A + C^1/2 Z``."""

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

_EPS = float(np.finfo(float).eps)

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class InformationPlusNoise(Coupled):
    """Law of ``X X'/n`` for ``X = A + C^1/2 Z``; see `information_plus_noise`.

    Parameters
    ----------
    signal, H : Spectrum
        Eigenvalues of ``A A'/n`` and of C in the same eigenbasis.
    ratio : float
        p/n.
    """

    signal: Spectrum
    H: Spectrum
    ratio: float
    _cache: dict[str, Any] | None

    def __init__(self, signal: Spectrum, ratio: float, H: Spectrum | None = None):
        s = as_spectrum("signal", signal)
        c = check.scalar("ratio", ratio, positive=True, hint=RATIO)
        if H is None:
            ones = np.ones(s.values.size)
            H = Spectrum(ones, weights=s.multiplicity) if s.is_measure else Spectrum(ones, s.multiplicity)
        noise = as_spectrum("H", H)
        w = proportions(s)
        if noise.values.size != w.size:
            raise ValueError(
                f"H must have the {w.size} levels of signal; got {noise.values.size}. "
                "Level i of both belongs to the same eigenspace: A A' and C commute."
            )
        if not np.allclose(proportions(noise), w, rtol=1e-12, atol=0.0):
            raise ValueError(
                "H must have the multiplicities of signal, level by level: "
                "level i of both belongs to the same eigenspace. Repeat levels to line them up."
            )
        if not (noise.values * w > 0).any():
            raise ValueError(
                "H must have a positive eigenvalue; all are 0. Without noise the law is the signal's."
            )
        rank = math.fsum(w[s.values > 0])
        if c * rank > 1.0 + 1e-12:
            raise ValueError(
                f"signal must have at most n positive eigenvalues, a fraction {1.0 / c:.6g} of them at ratio {c:g}; "
                f"got {rank:.6g}. A is p x n: fill up with zeros."
            )
        set_ = object.__setattr__
        set_(self, "signal", s)
        set_(self, "H", noise)
        set_(self, "ratio", c)
        set_(self, "_cache", None)

    def _build(self) -> tuple[list[Part], float]:
        c = self.ratio
        both, w = merge(np.array([self.signal.values, self.H.values]), proportions(self.signal))
        used = (both > 0).any(axis=0)
        zero = math.fsum(w[~used])
        (a, t), w = both[:, used], w[used]
        unit = float(t.max())
        a, t = a / unit, t / unit
        reach = (math.sqrt(a.max()) + 1.0 + math.sqrt(c)) ** 2
        rest = np.array([max(0.0, snap(1.0 - c * math.fsum(w[a > 0]))), snap(1.0 - c * math.fsum(w)), 0.0])
        # a noiseless level keeps the mass that exceeds the rank of the noise; a hard edge where they are equal
        excess = np.where(t == 0, w - math.fsum(w[t > 0]), -1.0)
        atoms = [(float(x), float(y)) for x, y in zip(a, excess, strict=True) if y > 8.0 * _EPS]
        hard = [float(x) for x, y in zip(a, excess, strict=True) if abs(y) <= 8.0 * _EPS]
        return [Part((w, reach, np.array([a, t, a]), c, rest), unit, (0, 1), atoms, hard)], float(zero)

    def _entries(self, z: Any, x: Any) -> Any:
        b, a = 1.0 + x[:, :1], -x[:, 1:] * self.H.values - z
        level = self.signal.values
        r = 1.0 / ((level - z) - x[:, 1:] * self.H.values + x[:, :1] * a)
        other = np.where(level > 0, a * r, 1.0 / b)
        return b * r, -np.concatenate((other, 1.0 / b), axis=1) / z

    def _named(self, z: Any, x: Any) -> Any:
        return np.concatenate((x[:, :1], x[:, 1:] / z), axis=1)

    def __repr__(self) -> str:
        return f"InformationPlusNoise(signal={self.signal!r}, H={self.H!r}, ratio={self.ratio:.6g})"


def information_plus_noise(signal: Spectrum, ratio: float, H: Spectrum | None = None) -> InformationPlusNoise:
    r"""Law of information plus noise: ``X X'/n`` for ``X = A + C^1/2 Z`` with A a fixed matrix.

    Z is p x n with independent entries of mean 0 and variance 1; ``A A'`` and C share an eigenbasis.

    Parameters
    ----------
    signal : Spectrum
        Eigenvalues of ``A A'/n``; at most n of them positive.
    ratio : float
        ``c = p/n`` > 0.
    H : Spectrum, optional
        Eigenvalues of C on the same levels, with the multiplicities of signal; 1 without it. Levels of value 0 carry
        no noise.

    Returns
    -------
    InformationPlusNoise
        Law with `support`, `atoms`, `pdf`, `cdf`, `ppf`, `moment`, `expect`, `rvs`, `stieltjes` and `equivalent`,
        whose unknowns are (delta, delta~). A level without noise is an atom of the mass that exceeds the rank of the
        noise.

    Raises
    ------
    TypeError
        For signal or H that is not a Spectrum.
    ValueError
        For levels or multiplicities that do not match, noise that is all 0, a signal of more than n positive
        eigenvalues, or a ratio that is not finite and > 0.

    Notes
    -----
    With l_i the eigenvalue of ``A A'/n`` and t_i that of C on level i of weight w_i,

    .. math::

        \delta = c \sum_i w_i t_i Q_i, \qquad
        Q_i = \Big( \frac{l_i}{1 + \delta} - z\, (1 + \tilde\delta\, t_i) \Big)^{-1}, \qquad
        \tilde\delta = \frac1n \operatorname{tr}
        \Big( \tfrac1n A^\top (I + \tilde\delta C)^{-1} A - z (1 + \delta) I \Big)^{-1}

    and ``m = sum_i w_i Q_i`` (Dozier & Silverstein 2007; Hachem, Loubaton & Najim 2007). Without signal the law is
    `sample_covariance`.

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.information_plus_noise(fh.Spectrum([9, 0], [10, 90]), 0.2)
    >>> law.support.round(6)
    array([[ 0.319321,  1.995337],
           [ 8.991848, 11.466276]])
    >>> round(law.mean(), 12)
    1.9
    """
    return InformationPlusNoise(signal, ratio, H)
