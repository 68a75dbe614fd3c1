"""KernelProblem: a population for regression with a kernel or with random features."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _measure
from fasthde import _validate as check
from fasthde._results import Record, freeze
from fasthde.activations import activation
from fasthde.learning.problem import LinearProblem
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]

#: A problem as the kernel wants it: (levels, scale, signal).
Prepared = tuple[Any, tuple[float, float, float, float], Any]

#: What E phi^2 - a_0^2 - a_1^2 may be by rounding alone.
_ROUNDING = 32 * float(np.finfo(float).eps)


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class KernelProblem(Record):
    r"""Regression in the eigenbasis of a kernel's integral operator: y = f(x) + noise.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues of the operator ``f -> E k(., x) f(x)``, with multiplicities.
    power : array_like, shape (levels,)
        Squared coefficient of the target on the orthonormal eigenfunctions of each level, in all.
    noise : float
        Noise variance, >= 0.
    tail : float, optional
        Trace of infinitely many eigenvalues too small to be learned: it acts like a ridge. >= 0.
    tail_power : float, optional
        Squared norm of the target outside of the levels, which no number of samples learns. >= 0.

    Raises
    ------
    ValueError, TypeError
        For negative, non-finite or mismatched input, a spectrum that is a measure, or an operator that is all zero.

    See Also
    --------
    KernelProblem.from_linear : the operator of an activation's random features on Gaussian data.

    Notes
    -----
    A `LinearProblem` with eigenvalues t and signal b is the problem of the linear kernel, with power t b.

    Examples
    --------
    >>> import fasthde as fh
    >>> problem = fh.KernelProblem(fh.Spectrum.power_law(1000, 1.5), fh.Spectrum.power_law(1000, 2.0).values, 0.01)
    >>> round(fh.kernel_ridge(problem, n=200, lam=1e-3).test, 4)
    0.0298
    """

    spectrum: Spectrum
    power: Array
    noise: float
    tail: float
    tail_power: float
    _cache: dict[bool, Prepared]

    def __init__(
        self,
        spectrum: Spectrum,
        power: ArrayLike,
        noise: float,
        *,
        tail: float = 0.0,
        tail_power: float = 0.0,
    ):
        H = as_spectrum("spectrum", spectrum)
        _ = H.dimension  # refuses measures
        b = check.same_length("power", check.real_array("power", power, ndim=1), "levels", H.values.size)
        check.non_negative("power", b, "It holds squared coefficients.")
        rest = check.scalar("tail", tail)
        if not rest > 0.0 and not (H.values * H.multiplicity > 0.0).any():
            raise ValueError("spectrum must have a positive eigenvalue, or tail be positive; all are 0.")
        object.__setattr__(self, "spectrum", H)
        object.__setattr__(self, "power", freeze(b.copy()))
        object.__setattr__(self, "noise", check.scalar("noise", noise))
        object.__setattr__(self, "tail", rest)
        object.__setattr__(self, "tail_power", check.scalar("tail_power", tail_power))
        object.__setattr__(self, "_cache", {})

    @classmethod
    def from_linear(cls, problem: LinearProblem, act: Any) -> KernelProblem:
        r"""Operator of the features ``phi(w'x)``, w standard normal, on Gaussian data with a linear target.

        Parameters
        ----------
        problem : LinearProblem
            Plain, with one target: its covariance C, its signal and its noise.
        act : Activation, str or callable
            Activation phi.

        Returns
        -------
        KernelProblem

        Raises
        ------
        ValueError
            For an elliptical problem or one with several targets, or an activation that vanishes.

        Notes
        -----
        With :math:`\tau^2 = \operatorname{tr} C` and Hermite coefficients :math:`a_k(\tau)`: levels
        :math:`a_1^2 t_i/\tau^2`, one more level :math:`a_0^2` of multiplicity 1 for the mean, and the rest,
        :math:`\sum_{k\ge2} a_k^2`, as a tail. This Gaussian equivalence needs an effective rank
        ``(tr C)^2/tr C^2`` that is not small: at 14 it errs by 4 to 15 %.
        (Goldt et al. 2022; Hu & Lu 2023; arXiv 2506.13139.)

        Examples
        --------
        >>> import fasthde as fh
        >>> linear = fh.LinearProblem(fh.Spectrum.isotropic(400), 1.0, 0.1)
        >>> problem = fh.KernelProblem.from_linear(linear, "relu")
        >>> problem.spectrum.values.round(3), round(problem.tail, 3)
        (array([ 0.25 , 63.662]), 36.338)
        """
        if not isinstance(problem, LinearProblem):
            raise TypeError(f"problem must be a LinearProblem; got {type(problem).__name__}.")
        if problem.norms is not None or problem.targets is not None:
            raise ValueError("problem must be plain, without norms, and have a single target.")
        phi = activation(act)
        H = problem.spectrum
        variance = H.trace
        tau = math.sqrt(variance)
        mean, slope = (float(a) for a in phi.hermite(1, tau))
        second = float(phi.moments(tau).second)
        tail = second - mean**2 - slope**2
        if tail < _ROUNDING * second:
            tail = 0.0
        values, power = (slope**2 / variance) * H.values, H.values * problem.signal
        multiplicity = H.multiplicity
        if mean**2 > _ROUNDING * second:
            values = np.append(values, mean**2)
            multiplicity, power = np.append(multiplicity, 1.0), np.append(power, 0.0)
        return cls(Spectrum(values, multiplicity), power, float(problem.noise), tail=tail)

    def _prepare(self, compress: bool = True) -> Prepared:
        if compress not in self._cache:
            t, k = self.spectrum.values, self.spectrum.multiplicity
            levels, scale = _measure.levels(t, k, compress)
            unseen = float(self.power[t == 0.0].sum()) + self.tail_power
            signal = _measure.measure(t, self.power, compress)
            self._cache[compress] = (tuple(levels), (*scale, self.tail), (*signal, unseen, self.noise))
        return self._cache[compress]

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> KernelProblem:
        self = object.__new__(cls)
        for name in cls._names():
            object.__setattr__(self, name, freeze(fields.get(name)))
        object.__setattr__(self, "_cache", {})
        return self

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> KernelProblem:
        head = "spectrum."
        inner = {n[len(head) :]: v for n, v in flat.items() if n.startswith(head)}
        fields = {n: v for n, v in flat.items() if not n.startswith(head)}
        return cls._from_fields({**fields, "spectrum": Spectrum._from_flat(inner)})

    def __repr__(self) -> str:
        return (
            f"KernelProblem({self.spectrum!r}, power {self.power.sum() + self.tail_power:.6g}, "
            f"noise {self.noise:.6g}, tail {self.tail:.6g})"
        )
