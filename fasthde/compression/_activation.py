"""Quantised activations."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Record, Status, freeze
from fasthde.activations import Activation, activation
from fasthde.compression._search import MATCHED, Cumulative, Problem, search
from fasthde.compression._step import StepFunction

Array = NDArray[np.float64]

COEFFICIENTS = ("mean", "slope", "curvature", "second", "quadratic")

_MOST_LEVELS = 64


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class QuantizedActivation(Record):
    """Step function that stands for an activation; see `quantize_activation`.

    Attributes
    ----------
    name : str
        The activation.
    thresholds : ndarray, shape (k - 1,)
        Where the step function jumps.
    levels : ndarray, shape (k,)
        Its values, of mean 0 at ``scale``.
    tau, scale : float
        Standard deviations of the arguments of the activation and of the step function.
    mean : float
        E phi(tau xi), which was subtracted: ``phi - mean`` is what the step function stands for.
    mismatch : ndarray, shape (5,)
        Step function less activation, relative to ``E phi**2`` of the centred activation, in the order of
        `COEFFICIENTS`: ``mean/sqrt(E phi**2)``, ``tau**2 (E phi')**2``, ``tau**4 (E phi'')**2/2``, ``E phi**2``,
        ``tau**2 E[phi'**2 + phi phi'']``.
    shift : float
        E phi**2 of the step function less that of the activation: what to subtract from the ridge of a last layer.
    distance : float
        E (step - phi)**2/E phi**2.
    status : int
        `Status` code: NOT_CONVERGED where no step function of so many levels was found that matches; it is then the
        least squares of the mismatch.
    residual : float
        Largest mismatch among the coefficients that were to be kept.
    """

    name: str
    thresholds: Array
    levels: Array
    tau: float
    scale: float
    mean: float
    mismatch: Array
    shift: float
    distance: float
    status: Any
    residual: float

    @property
    def success(self) -> bool:
        """Whether the coefficients match to rounding."""
        return bool(self.status == Status.CONVERGED)

    @property
    def activation(self) -> Activation:
        """The step function as an `Activation`."""
        return as_activation(self.thresholds, self.levels, self.name)

    @property
    def bits(self) -> float:
        """Bits that store one value: log2 of the number of different levels."""
        return _level_bits(self.levels)

    def __repr__(self) -> str:
        rows = [
            f"QuantizedActivation({self.name}, {self.levels.size} levels, tau {self.tau:.6g}, "
            f"{Status(self.status).name})",
            f"  thresholds  {row_text(self.thresholds)}",
            f"  levels      {row_text(self.levels)}",
        ]
        rows += [f"  {n:<11} {v:+.1e}" for n, v in zip(COEFFICIENTS, self.mismatch, strict=True)]
        return "\n".join(rows)


def row_text(values: Array) -> str:
    return " ".join(f"{v:.5g}" for v in values)


def as_activation(thresholds: Array, levels: Array, name: str) -> Activation:
    finite = np.isfinite(thresholds)
    step = StepFunction(thresholds[finite], levels[: int(finite.sum()) + 1])
    return activation(step, kinks=step.thresholds.tolist(), name=f"{name} in {step.levels.size} levels")


def _level_bits(levels: Array) -> float:
    size = float(np.max(np.abs(levels)))
    return math.log2(np.unique(np.round(levels / size, 9)).size) if size else 0.0


def quantize_activation(
    act: Any,
    levels: int = 3,
    tau: float = 1.0,
    *,
    scale: float | None = None,
    keep_second: bool = True,
    keep_quadratic: bool = True,
    weights: ArrayLike | None = None,
) -> QuantizedActivation:
    r"""Step function of few levels with the coefficients of an activation that the conjugate kernel sees.

    Parameters
    ----------
    act : Activation, str or callable
        Activation phi; its mean is subtracted.
    levels : int, optional
        Number of levels k, from 2 (binary) to 64.
    tau : float, optional
        Standard deviation of its argument, > 0.
    scale : float, optional
        Standard deviation of the step function's argument; tau by default. A hidden layer of a compressed network may
        have another scale than its original.
    keep_second : bool, optional
        Match E phi**2. Not needed in a hidden layer whose successor is quantised at its new scale, nor in the last
        layer when the ridge moves by `shift`; and three levels hardly ever can.
    keep_quadratic : bool, optional
        Match ``E[phi'**2 + phi phi'']``. Not needed in the last layer.
    weights : array_like, shape (4,), optional
        Where no step function matches: weights > 0 of slope, curvature, second and quadratic in the sum of squares, 1
        by default, and 0.1 for those not to be kept. The mean is always 0.

    Returns
    -------
    QuantizedActivation
        ``thresholds``, ``levels``, ``mismatch``, ``shift``, ``status``, ..., and the step function as ``activation``.

    Raises
    ------
    ValueError
        For less than 2 levels or more than 64, scales or weights that are not positive, a constant activation, or one
        that is not square-integrable.

    Notes
    -----
    A step function with levels :math:`c_j` on :math:`(s_{j-1}, s_j]` (in units of the scale), g the normal density, has

    .. math::

        E\varphi = \sum_j c_j [\Phi]_{s_{j-1}}^{s_j}, \quad
        E[\varphi \xi] = -\sum_j c_j [g]_{s_{j-1}}^{s_j}, \quad
        E[\varphi (\xi^2 - 1)] = -\sum_j c_j [s g]_{s_{j-1}}^{s_j}, \quad
        E[\varphi^2 (\xi^2 - 1)] = -\sum_j c_j^2 [s g]_{s_{j-1}}^{s_j} .

    By Stein's lemma these are :math:`\tau E\varphi'`, :math:`\tau^2 E\varphi''` and
    :math:`2\tau^2 E[\varphi'^2 + \varphi\varphi'']`. There are 2k - 1 unknowns for at most five numbers. The search
    starts from 96 places, the first being the step function nearest to phi (dynamic programming); Levenberg-Marquardt
    from each, and among the matches the one nearest to phi in mean square, polished by Newton's method. Each level is
    taken with probability 1e-3 at least. Signs of slope and curvature, which the kernel does not see, are those of phi.
    (Gu et al. 2022.)

    Since :math:`E\varphi^2 \ge \tau^2 (E\varphi')^2/(1 - D_k)` with :math:`D_k` the distortion of the best k-level
    quantiser of a Gaussian (0.363, 0.190, 0.117 for k = 2, 3, 4), a nearly linear activation needs many levels if
    E phi**2 is to be kept.

    Examples
    --------
    >>> from fasthde.compression import quantize_activation
    >>> q = quantize_activation("tanh", keep_second=False)
    >>> q.thresholds.round(4), q.levels.round(4), q.success
    (array([-0.643,  0.643]), array([-0.9335,  0.    ,  0.9335]), True)
    >>> round(q.shift, 4)
    0.059
    """
    phi = activation(act)
    k = check.integer("levels", levels, 2)
    if k > _MOST_LEVELS:
        raise ValueError(f"levels must be at most {_MOST_LEVELS}; got {k}. So many are no compression.")
    tau = check.scalar("tau", tau, positive=True, hint="It is the standard deviation of the argument.")
    scale = tau if scale is None else check.scalar("scale", scale, positive=True)
    weight = np.ones(4)
    if weights is not None:
        weight = check.same_length("weights", check.real_array("weights", weights), "coefficients", 4)
        if not (weight > 0).all() or not np.isfinite(weight).all():
            raise ValueError(
                f"weights must be finite and > 0; got {weights}. Use keep_second=False to leave one free."
            )
    kept = np.array([True, True, keep_second, keep_quadratic])

    mean = float(phi.hermite(0, tau)[0])
    unit = phi.normalized(tau)
    nu = (phi.scale / unit.scale) ** 2
    m = unit.moments(tau)
    ratio = tau / scale
    problem = Problem(
        target=np.array(
            [tau * m.slope, tau**2 * m.curvature / math.sqrt(2.0), m.second, tau**2 * m.quadratic]
        ),
        unit=np.array([ratio, ratio**2 / math.sqrt(2.0), 1.0, 0.5 * ratio**2]),
        weight=np.where(kept, weight, 0.0),
        phi=Cumulative(unit, tau),
    )
    s, d = search(problem, k)
    mismatch = problem.mismatch(s, d)
    residual = float(np.max(np.abs(mismatch[np.concatenate([[True], kept])])))
    return QuantizedActivation(
        name=phi.name,
        thresholds=freeze(scale * s),
        levels=freeze(np.where(np.abs(d) < 1e-15 * np.max(np.abs(d)), 0.0, math.sqrt(nu) * d)),
        tau=tau,
        scale=scale,
        mean=mean,
        mismatch=freeze(mismatch),
        shift=float(nu * mismatch[3]),
        distance=float(problem.distance(s[None], d[None])[0][0]),
        status=Status.CONVERGED if residual <= MATCHED else Status.NOT_CONVERGED,
        residual=residual,
    )
