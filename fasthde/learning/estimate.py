"""From a real sample to the population of a LinearProblem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _measure
from fasthde import _validate as check
from fasthde._kernels import fixed_point
from fasthde._results import warn_user
from fasthde.spectrum import Spectrum

if TYPE_CHECKING:
    from fasthde.learning.problem import LinearProblem

Array = NDArray[np.float64]

#: Below this many samples a feature the spread of the sample's spectrum costs 5 % of the test error and more.
FEW = 10

#: Ridge of the leverages, relative to the mean eigenvalue. Without it a sample that alone spans a direction (a
#: pixel that is nearly always black) would get a norm of a thousand.
WEAK_RIDGE = 1e-3


def estimate_problem(
    X: ArrayLike, y: ArrayLike, *, center: bool, elliptical: bool, nodes: int
) -> LinearProblem:
    """See `LinearProblem.from_data`."""
    from fasthde.learning.problem import LinearProblem

    hint = "Remove or impute the rows with missing values first."
    x = check.not_empty("X", check.finite("X", check.real_array("X", X, ndim=2), hint))
    targets = check.finite("y", check.real_array("y", y), hint)
    if targets.ndim not in (1, 2) or targets.shape[0] != x.shape[0]:
        hint = " Is X transposed? Samples go in rows." if targets.shape[:1] == x.shape[1:] else ""
        raise ValueError(
            f"y must have one row for each of the {x.shape[0]} samples; got shape {targets.shape}.{hint}"
        )
    single = targets.ndim == 1 or targets.shape[1] == 1
    targets = targets.reshape(x.shape[0], -1)
    check.integer("nodes", nodes, 1)
    check.ordinary_size("X", x)
    check.ordinary_size("y", targets)
    if center:
        x = np.where(np.ptp(x, axis=0) == 0, 0.0, x - x.mean(axis=0))  # a constant less its mean may be 1e-17
        targets = targets - targets.mean(axis=0)
    constant = (np.ptp(targets, axis=0) == 0) if center else (targets == 0).all(axis=0)
    if constant.any():
        raise ValueError("y must not be constant: there is nothing to predict.")

    samples, features = x.shape
    freedom = samples - int(center)
    if freedom <= 0:
        raise ValueError(f"X must have at least two samples; got {samples}.")
    values, vectors = np.linalg.eigh(x.T @ x / freedom)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int((values > max(samples, features) * np.finfo(float).eps * max(values[0], 0.0)).sum())
    if rank == 0:
        raise ValueError("X must not be constant: every column has variance 0.")
    if freedom <= rank:
        raise ValueError(
            f"X must have more samples than its rank{' + 1' if center else ''}; got {samples} samples of rank {rank}. "
            "Least squares then fits without error, so neither the noise nor the spectrum can be read off the "
            "sample. Reduce the features (principal components), or build Spectrum and LinearProblem from a model."
        )
    values = np.where(np.arange(features) < rank, values, 0.0)

    if freedom < FEW * rank:
        warn_user(
            f"{samples} samples for {rank} features: the sample's spectrum is wider than the population's, and "
            f"test errors come out low, of the order of {0.5 * rank / freedom:.0%}. More samples, or fewer features."
        )

    # least squares in the eigenbasis: columns of u are orthonormal
    t = values[:rank]
    u = (x @ vectors[:, :rank]) / np.sqrt(freedom * t)
    loads = u.T @ targets
    power = loads**2 / freedom  # of each direction: t_j b_j, inflated by the variance of least squares
    residual = targets - u @ loads
    mean_square = (residual**2).mean(axis=0)
    norms = weights = None
    if elliptical:
        norms, weights, noise, variance = _norms_and_noise(
            u, t, loads, targets, power, mean_square, freedom, nodes
        )
    else:
        noise = mean_square * (samples / (freedom - rank))
        variance = noise / freedom
    signal = np.zeros((features, targets.shape[1]))
    signal[:rank] = _free_of_variance(t, power, variance) / t[:, None]
    return LinearProblem(
        Spectrum(values),
        signal[:, 0] if single else signal,
        noise[..., 0] if single else noise,
        norms=norms,
        norm_weights=weights,
    )


def _profile(raw: Array, squares: Array, nodes: int) -> tuple[Array, Array, Array]:
    """Quantile nodes of the norms (mean 1), their weights, and the mean square in each."""
    if not raw.sum() > 0:
        raise ValueError(
            "X must have samples that share directions: each non-zero sample alone spans one, so the norms cannot be "
            "told from the covariance. Use elliptical=False."
        )
    groups = np.array_split(np.argsort(raw, kind="stable"), min(nodes, raw.size))
    node = np.array([raw[g].mean() for g in groups])
    weight = np.array([g.size for g in groups]) / raw.size
    return node / np.dot(weight, node), weight, np.array([squares[g].mean(axis=0) for g in groups])


def _norms_and_noise(
    u: Array,
    t: Array,
    loads: Array,
    targets: Array,
    power: Array,
    mean_square: Array,
    freedom: int,
    nodes: int,
) -> tuple[Array, Array, Array, Array]:
    """Norms and noise from few samples a feature, and the variance of least squares in each direction.

    Sample norms relative to the sample's own covariance saturate; the leverages h of a weak ridge do not:
    tau is proportional to h/(1 - h). The mean square of leave-one-out residuals r/(1 - h) at norm tau is
    ``tau R + noise(tau)``, and the ridge's excess error R is linear in the noise: one division solves for it.
    That gives the profile; its level is set by the residuals of least squares, whose mean square
    ``E[(tau R0 + noise)/(1 + tau delta)**2]`` does not depend on the spectrum.
    """
    lam = WEAK_RIDGE * t.mean()
    shrink = t / (t + lam)
    leverage = (u**2) @ shrink
    rest = 1.0 - leverage - 1.0 / u.shape[0]
    alive = rest > 1e-9  # a sample that alone spans a direction tells nothing about its own noise
    squares = ((targets - (u * shrink) @ loads)[alive] / rest[alive, None]) ** 2
    node, weight, square = _profile(leverage[alive] / rest[alive], squares, nodes)

    levels, scale = _measure.levels(t, np.ones(t.size), compress=False)
    norms = (node, weight, np.zeros(node.size), 1.0, 0.0)
    point = fixed_point.solve(float(freedom), lam, scale[0] / (freedom * lam), tuple(levels), norms, 0)[0]
    _, share = _excess_per_noise(point, node, weight, freedom)
    kappa, _, _, df1, df2, d, q, _, _ = point
    bias = df1 / (d + q * df2) * ((kappa / (t + kappa)) ** 2 @ power)
    excess = (bias + share @ square) / (1.0 + share @ node)
    noise = np.maximum(square - node[:, None] * excess, 0.0)

    point = fixed_point.solve_saturated(float(freedom), float(t.size), float(freedom - t.size), norms)[0]
    below, share = _excess_per_noise(point, node, weight, freedom)
    predicted = (weight * below**2) @ (noise + node[:, None] * (share @ noise))
    level = np.divide(mean_square, predicted, out=np.zeros_like(predicted), where=predicted > 0)
    flat = mean_square * (
        u.shape[0] / (freedom - t.size)
    )  # no profile to be seen: the plain estimate everywhere
    noise = np.where(predicted > 0, noise * level, flat)
    load = weight * (1.0 - below)
    return node, weight, noise, (load @ noise) / (load.sum() * freedom)


def _excess_per_noise(
    point: tuple[float, ...], node: Array, weight: Array, freedom: int
) -> tuple[Array, Array]:
    """1/(1 + tau delta) at each node, and the excess error that a unit of noise there adds."""
    _, eps, eps1, df1, df2, d, q, _, a = point
    den = eps + node * eps1
    return eps / den, weight * node / den**2 / a**2 * (df2 / freedom) * df1 / (d + q * df2)


def _free_of_variance(values: Array, power: Array, variance: Any) -> Array:
    """Remove the variance of the coefficients, a common factor for each factor 4 of the spectrum."""
    group = np.unique(np.frexp(values / values[0])[1] >> 1, return_inverse=True)[1]
    total = np.array([np.bincount(group, weights=p) for p in power.T]).T
    noise = np.bincount(group)[:, None] * variance
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(total > 0, np.maximum(1.0 - noise / total, 0.0), 0.0)
    return power * kept[group]
