"""LinearProblem: a population for linear regression."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, freeze
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]


#: A target of a problem as the kernels want it: (levels, scale, signal, norms).
Prepared = tuple[Any, tuple[float, float, float], Any, Any]


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class LinearProblem(Record):
    r"""Linear regression on a random design: y = x'beta + noise.

    Plain: x = C^{1/2} z. Elliptical (``norms`` given): x = sqrt(tau) C^{1/2} z with E tau = 1, and a noise
    variance that may depend on tau.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues of the population covariance C, with multiplicities.
    signal : array_like, shape (levels,) or () or (levels, targets)
        Total squared coefficient of beta over each level's eigenspace, in the order of
        ``spectrum.values``; a scalar s spreads s over all directions, ``s * multiplicity/dimension``.
    noise : array_like, shape () or (nodes,); with several targets also (targets,) or (nodes, targets)
        Noise variance, or one value for each norm.
    norms : array_like, shape (nodes,), optional
        Support of tau, >= 0; rescaled to mean 1 (the factor goes into the spectrum).
    norm_weights : array_like, shape (nodes,), optional
        Probabilities of the norms (normalised to 1); default equal.

    Raises
    ------
    ValueError, TypeError
        For negative, non-finite or mismatched input, a spectrum that is a measure, or one that is all zero.

    Notes
    -----
    arXiv 2506.13139 and Hastie et al. (2022) for the plain model; El Karoui (2018) for the elliptical one.

    Examples
    --------
    >>> import fasthde as fh
    >>> problem = fh.LinearProblem(fh.Spectrum.isotropic(512), signal=1.0, noise=0.1)
    >>> round(fh.ridge(problem, n=1024, lam=0.0).excess, 12)
    0.1
    """

    spectrum: Spectrum
    signal: Array
    noise: Array
    norms: Array | None
    norm_weights: Array | None
    _cache: dict[bool, list[Prepared]]

    def __init__(
        self,
        spectrum: Spectrum,
        signal: ArrayLike,
        noise: ArrayLike,
        *,
        norms: ArrayLike | None = None,
        norm_weights: ArrayLike | None = None,
    ):
        H = as_spectrum("spectrum", spectrum)
        dimension = H.dimension  # refuses measures
        if not (H.values[H.multiplicity > 0] > 0).any():
            raise ValueError(
                "spectrum must have a positive eigenvalue; all are 0. There is nothing to learn from."
            )
        b = check.real_array("signal", signal)
        if b.ndim == 0:
            b = float(check.non_negative("signal", b, "It is a squared norm.")) * (H.multiplicity / dimension)
        if b.ndim not in (1, 2) or b.shape[0] != H.values.size or b.size == 0:
            raise ValueError(
                f"signal must have one entry for each of the {H.values.size} levels of the spectrum "
                f"(a second axis for targets); got shape {b.shape}."
            )
        check.non_negative("signal", b, "It holds squared coefficients; square beta first.")
        targets = b.shape[1:]
        tau = weights = None
        if norms is not None:
            tau = check.not_empty("norms", check.real_array("norms", norms, ndim=1))
            check.non_negative("norms", tau, "They are squared sample norms relative to their mean.")
            weights = (
                np.ones(tau.size) if norm_weights is None else check.real_array("norm_weights", norm_weights)
            )
            check.non_negative(
                "norm_weights",
                check.same_length("norm_weights", weights, "norms", tau.size),
                "Drop the node.",
            )
            if not weights.sum() > 0:
                raise ValueError("norm_weights must not all be zero.")
            weights = weights / weights.sum()
            mean = float(np.dot(weights, tau))
            if not mean > 0:
                raise ValueError("norms must have a positive mean; all are 0.")
            if abs(mean - 1.0) > 1e-15:
                tau = tau / mean
                H = Spectrum(H.values * mean, H.multiplicity)
        elif norm_weights is not None:
            raise ValueError("norm_weights was given without norms; pass norms=, the values they weigh.")
        s = check.non_negative("noise", check.real_array("noise", noise), "It is a variance.")
        nodes = () if tau is None else (tau.size,)
        allowed = {(), nodes, targets, nodes + targets}
        if s.shape not in allowed:
            shapes = " or ".join(str(shape) for shape in sorted(allowed, key=len))
            raise ValueError(f"noise must have shape {shapes}; got {s.shape}.")
        if s.shape == nodes and targets:
            s = np.repeat(s[..., None], targets[0], axis=-1)
        s = np.broadcast_to(s, nodes + targets).copy()
        for name, value in (("signal", b), ("noise", s), ("norms", tau), ("norm_weights", weights)):
            object.__setattr__(self, name, freeze(value))
        object.__setattr__(self, "spectrum", H)
        object.__setattr__(self, "_cache", {})

    @classmethod
    def from_data(
        cls, X: ArrayLike, y: ArrayLike, center: bool = True, *, elliptical: bool = True, nodes: int = 50
    ) -> LinearProblem:
        """Estimate the population behind a real sample: spectrum, signal, norms and noise profile.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Inputs, more samples than their rank (two more when centred).
        y : array_like, shape (n_samples,) or (n_samples, targets)
            Targets; a single column is one target.
        center : bool, optional
            Subtract the column means of X and the mean of y (one degree of freedom).
        elliptical : bool, optional
            Estimate the distribution of sample norms and the noise as a function of the norm; False gives
            the plain model, whose test error on samples of unequal norm can be off three-fold.
        nodes : int, optional
            Quantile nodes of the norm distribution.

        Returns
        -------
        LinearProblem
            In the units of X and y.

        Warns
        -----
        ValidityWarning
            With fewer than ten samples a feature.

        Raises
        ------
        ValueError
            If there are not more samples than the rank of X (the residuals then carry no noise), or y is
            constant.

        Notes
        -----
        Norms from the leverages h of a weak ridge, tau proportional to h/(1 - h); the noise profile from the
        leave-one-out residuals r/(1 - h), whose mean square at given tau is ``tau R + noise(tau)`` with R the
        excess error, itself linear in the noise (El Karoui 2018); its level from the residuals of least
        squares. Coefficients are freed of their variance, in groups of a factor 4 of the spectrum. The spectrum is
        the sample's own, which is spread: below ten samples a feature a warning says so.

        Examples
        --------
        >>> import fasthde as fh, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((4000, 20))
        >>> y = X[:, 0] + 0.5 * rng.standard_normal(4000)
        >>> problem = fh.LinearProblem.from_data(X, y, elliptical=False)
        >>> round(float(problem.noise), 2), round(float(problem.signal.sum()), 1)
        (0.25, 1.0)
        """
        from fasthde.learning.estimate import estimate_problem

        return estimate_problem(X, y, center=center, elliptical=elliptical, nodes=nodes)

    @property
    def targets(self) -> int | None:
        """Number of targets, None for a single one without its own axis."""
        return self.signal.shape[1] if self.signal.ndim == 2 else None

    def _prepare(self, compress: bool = True) -> list[Prepared]:
        if compress not in self._cache:
            self._cache[compress] = self._build(compress)
        return self._cache[compress]

    def _build(self, compress: bool) -> list[Prepared]:
        from fasthde import _measure

        t, k = self.spectrum.values, self.spectrum.multiplicity
        levels, scale = _measure.levels(t, k, compress)
        signal = self.signal.reshape(t.size, -1)
        noise = self.noise[..., None] if self.targets is None else self.noise
        tau = np.ones(1) if self.norms is None else self.norms
        weights = np.ones(1) if self.norm_weights is None else self.norm_weights
        noise = noise.reshape(tau.size, -1)
        # equal norms are one node: the noise enters linearly; norm 0 carries noise but never any signal
        alive, which = np.unique(tau, return_inverse=True)
        w = np.bincount(which, weights=weights)
        use = (alive > 0) & (w > 0)
        targets = []
        for j in range(signal.shape[1]):
            moment = np.bincount(which, weights=weights * noise[:, j])
            with np.errstate(invalid="ignore"):
                profile = (moment / w)[use]
            mean = float(np.dot(weights, noise[:, j]))
            dead = float(moment[~use].sum())
            measure = _measure.measure(t, signal[:, j] * t, compress)
            # the part of the norms that are not 0, in two doubles: n times it is compared with whole counts
            total = 1.0 if use.all() else math.fsum(w[use])
            total_low = 0.0 if use.all() else math.fsum([*w[use], -total])
            nodes: Any = (alive[use], w[use])
            if nodes[0].size == 1 and total == 1.0:
                nodes = (np.ones(1), np.ones(1))
            norms = (*nodes, profile, total, total_low)
            targets.append((tuple(levels), scale, (*measure, mean, dead), norms))
        return targets

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> LinearProblem:
        self = object.__new__(cls)
        for name in cls._names():
            object.__setattr__(self, name, freeze(fields.get(name)))
        object.__setattr__(self, "_cache", {})
        return self

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> LinearProblem:
        head = "spectrum."
        inner = {n[len(head) :]: v for n, v in flat.items() if n.startswith(head)}
        fields = {n: v for n, v in flat.items() if not n.startswith(head)}
        return cls._from_fields({**fields, "spectrum": Spectrum._from_flat(inner)})

    def __repr__(self) -> str:
        parts = [repr(self.spectrum), f"signal {self.signal.sum():.6g}", f"noise {self._mean_noise():.6g}"]
        if self.targets is not None:
            parts.append(f"{self.targets} targets")
        if self.norms is not None and self.norm_weights is not None:
            var = float(np.dot(self.norm_weights, (self.norms - 1.0) ** 2))
            parts.append(f"elliptical, {self.norms.size} norms of variance {var:.3g}")
        return f"LinearProblem({', '.join(parts)})"

    def _mean_noise(self) -> float:
        noise = self.noise if self.targets is None else self.noise.sum(axis=-1)
        return float(noise if self.norm_weights is None else np.dot(self.norm_weights, noise))
