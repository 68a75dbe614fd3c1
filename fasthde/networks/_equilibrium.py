"""Linear equivalent of the kernel of a deep equilibrium network."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from fasthde import _validate as check
from fasthde._results import Status, freeze
from fasthde.activations import Activation, activation
from fasthde.networks._equivalents import Equivalent, short, warn_statistics
from fasthde.networks._jets import Layer
from fasthde.networks._mixture import statistics_of
from fasthde.networks._statistics import ClassStatistics

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class EquilibriumEquivalent(Equivalent):
    """Linear equivalent of the conjugate kernel of a deep equilibrium network; see `equilibrium_equivalent`.

    Attributes
    ----------
    alpha : ndarray, shape (4,)
        As in `KernelEquivalent`.
    tau : float
        Square root of the kernel's diagonal.
    scale : float
        Standard deviation of the activation's input at equilibrium, ``tau*``.
    slopes : ndarray, shape (2,)
        ``sigma_a**2 (E phi')**2`` and ``sigma_a**2`` times the slope of the second moment: both below 1 for a
        stable equilibrium.
    statistics : ClassStatistics
        Of the data.
    status : int
        `Status` code: INVALID (alpha NaN) where the equilibrium is not stable.
    residual : float
        Relative error of the equation of tau*.
    """

    alpha: Array
    tau: Any
    scale: Any
    slopes: Array
    statistics: ClassStatistics
    status: Any
    residual: Any
    _activation: Any = None

    def __reduce__(self) -> Any:
        fields = {n: getattr(self, n) for n in self._names()}
        return _restore, (fields, self._activation)

    @property
    def activation(self) -> Activation:
        """The activation, centred at equilibrium."""
        if self._activation is None:
            raise ValueError("the activation is a function, which a file does not hold; compute it again.")
        return self._activation  # type: ignore[no-any-return]

    @property
    def success(self) -> bool:
        """Whether the equilibrium is stable."""
        return bool(self.status == Status.CONVERGED)

    def _jet(self, kind: str, layer: int | None) -> tuple[Array, float]:
        if kind != "conjugate" or layer is not None:
            raise ValueError('kind must be "conjugate" and layer None: an equilibrium has one kernel.')
        jet = np.array([0.0, 0.0, self.alpha[0], 0.0, self.alpha[1], self.alpha[2]])
        return self._layer_jet(jet, self.tau**2)

    def __repr__(self) -> str:
        return (
            f"EquilibriumEquivalent(scale {self.scale:.6g}, alpha {short(self.alpha)}, "
            f"{Status(self.status).name})"
        )


def _restore(fields: dict[str, Any], activation_: Any) -> EquilibriumEquivalent:
    made = EquilibriumEquivalent._from_fields(fields)
    object.__setattr__(made, "_activation", activation_)
    return made


def equilibrium_equivalent(
    act: Any, data: Any, *, activation_variance: float, input_variance: float = 1.0
) -> EquilibriumEquivalent:
    r"""Linear equivalent of the conjugate kernel of a deep equilibrium network.

    A network without end whose every layer sees the input again, ``z = phi(A z + B x)`` at equilibrium, with the
    entries of A of variance ``activation_variance/width`` and those of B of variance ``input_variance/p``.

    Parameters
    ----------
    act : Activation, str or callable
        Activation; its mean at equilibrium is subtracted.
    data : GaussianMixture, UnitSphere, ClassStatistics or array_like of shape (n_samples, n_features)
        As in `kernel_equivalent`.
    activation_variance : float
        ``sigma_a**2`` >= 0.
    input_variance : float, optional
        ``sigma_b**2`` > 0.

    Returns
    -------
    EquilibriumEquivalent
        ``alpha``, ``tau``, ``scale``, ``slopes``, ``activation``, ``status``, ``residual`` and the methods `matrix`,
        `low_rank` and `scalars`. INVALID where a slope is not below 1: the kernel has no stable equilibrium.

    Raises
    ------
    ValueError
        For bad variances, or when the kernel's diagonal grows without limit.

    Notes
    -----
    With :math:`\tau_*^2 = \sigma_a^2 E\varphi(\tau_*\xi)^2 + \sigma_b^2 \tau_0^2`,
    :math:`d_4 = E[\varphi'^2 + \varphi\varphi'']`, :math:`L_1 = \sigma_b^2/(1 - \sigma_a^2 b_1^2)` and
    :math:`L_4 = \sigma_b^2/(1 - \sigma_a^2 d_4)`,

    .. math:: \alpha_1 = b_1^2 L_1, \qquad \alpha_2 = \frac{b_2^2 L_4^2}{4 (1 - \sigma_a^2 b_1^2)}, \qquad
        \alpha_3 = \frac{b_2^2 L_1^2}{2 (1 - \sigma_a^2 b_1^2)}, \qquad \alpha_4 = d_4 L_4 .

    (The recursions of `kernel_equivalent` with the input added at every layer; Ling et al. 2024, arXiv:2402.02697.)

    Examples
    --------
    >>> from fasthde import equilibrium_equivalent
    >>> from fasthde import UnitSphere
    >>> eq = equilibrium_equivalent("tanh", UnitSphere(400), activation_variance=0.5)
    >>> eq.success, round(eq.scale, 6)
    (True, 1.102229)
    """
    stats = statistics_of(data)
    warn_statistics(stats)
    phi = activation(act)
    a2 = check.scalar("activation_variance", activation_variance)
    b2 = check.scalar("input_variance", input_variance, positive=True)
    source = b2 * stats.tau**2

    def gap(q: float) -> float:
        m = phi.moments(math.sqrt(q))
        return a2 * (float(m.second) - float(m.mean) ** 2) + source - q

    high = 2.0 * source
    while gap(high) > 0.0:
        high *= 2.0
        if high > 1e12 * source:
            raise ValueError(
                f"activation_variance must leave the diagonal finite; at {a2} it grows without limit. Lower it."
            )
    q = float(optimize.brentq(gap, source, high, xtol=1e-300, rtol=1e-15)) if a2 else source
    scale = math.sqrt(q)
    centred = phi.centered(scale)
    layer = Layer(centred, scale, 0.0, True)
    slope, bend, quadratic = layer(1, 1), layer(2, 2), layer.moment[1]
    slopes = np.array([a2 * slope, a2 * quadratic])
    alpha = np.full(4, np.nan)
    if (slopes < 1.0).all():
        inner, norm = b2 / (1.0 - slopes[0]), b2 / (1.0 - slopes[1])
        alpha = np.array([
            slope * inner,
            0.25 * bend * norm**2 / (1.0 - slopes[0]),
            0.5 * bend * inner**2 / (1.0 - slopes[0]),
            quadratic * norm,
        ])  # fmt: skip
    return EquilibriumEquivalent(
        alpha=freeze(alpha),
        tau=math.sqrt(layer.moment[0]),
        scale=scale,
        slopes=freeze(slopes),
        statistics=stats,
        status=Status.CONVERGED if (slopes < 1.0).all() else Status.INVALID,
        residual=abs(gap(q)) / q,
        _activation=centred,
    )
