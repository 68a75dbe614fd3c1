"""Jets: the second-order Taylor polynomials by which the kernels of wide networks depend on their inputs.

Off the diagonal, an entry of any of these kernels is a smooth function of three numbers of order ``1/sqrt(p)``:
``u_i`` and ``u_j``, by how much the squared norms of the two inputs differ from their mean, and ``s``, their inner
product. Its Taylor polynomial to second order, a *jet*, is carried from layer to layer. Terms of third order, and
``u s``, are matrices of norm O(1/sqrt(p)); ``s**2`` is its mean. A jet is the row of six coefficients of

    1,   u_i + u_j,   s,   u_i**2 + u_j**2,   u_i u_j,   s**2.

For centred activations without biases only the third, fifth and sixth are not zero: the published recursions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde.activations import Activation, activation

Array = NDArray[np.float64]

#: Hermite coefficients used where the correlation at the centre is not 0, at most.
_MOST = 1000


class Layer:
    """Derivatives ``E phi^(j)(a) phi^(k)(b)``, a and b of one variance ``tau**2`` and correlation rho."""

    def __init__(self, act: Activation, tau: float, rho: float, centred: bool):
        self.tau, self.rho = tau, rho if abs(rho) > 1e-15 else 0.0
        self.order, self.residual = _order(self.rho)
        self.a = np.array(act.hermite(self.order + 8, tau))
        if centred:
            self.a[0] = 0.0
        moments = act.moments(tau)
        self.slope_second = float(moments.slope_second)
        # E phi(sqrt(q) xi)**2 as a function of q: value, slope, half its curvature
        self.moment = float(moments.second), float(moments.quadratic), 0.0
        if self(2, 0) != 0.0:
            square = activation(lambda t: act(t) ** 2, kinks=list(act.kinks), name=f"{act.name}**2")
            self.moment = (
                *self.moment[:2],
                math.sqrt(24.0) * float(square.hermite(4, tau)[4]) / (8.0 * tau**4),
            )

    def __call__(self, j: int, k: int) -> float:
        n = np.arange(self.order + 1.0)
        up = np.ones_like(n)
        for i in range(1, max(j, k) + 1):
            up = up * np.where(i <= j, np.sqrt(n + i), 1.0) * np.where(i <= k, np.sqrt(n + i), 1.0)
        a, m = self.a, self.order + 1
        power = self.rho**n if self.rho else np.where(n == 0, 1.0, 0.0)
        return math.fsum(up * a[j : j + m] * a[k : k + m] * power) / self.tau ** (j + k)

    def compose(self, jet: Array, diagonal: tuple[float, float], shift: int = 0) -> Array:
        """Jet of ``E phi^(shift)(a) phi^(shift)(b)`` from that of the covariance of a and b."""
        s = shift
        slope, bend = diagonal
        one, cross = self(1 + s, 1 + s), self(2 + s, 2 + s)
        # derivatives in a variance are halves of second derivatives of phi
        q, qq, qr, qc = (
            0.5 * self(2 + s, s), 0.25 * self(4 + s, s), 0.25 * cross, 0.5 * self(3 + s, 1 + s)
        )  # fmt: skip
        _, u, g, uu, ur, ss = jet
        return np.array([
            self(s, s),
            q * slope + one * u,
            one * g,
            q * bend + 0.5 * qq * slope**2 + qc * slope * u + one * uu + 0.5 * cross * u * u,
            qr * slope**2 + 2.0 * qc * slope * u + one * ur + cross * u * u,
            one * ss + 0.5 * cross * g * g,
        ])  # fmt: skip


def _order(rho: float) -> tuple[int, float]:
    """Terms of a Hermite series at correlation rho, and the relative size of the rest."""
    if rho == 0.0:
        return 0, 0.0
    rate = -math.log(abs(rho)) if abs(rho) < 1.0 else 0.0
    order = 0
    while order < _MOST and 4.0 * math.log(order + 1.0) - rate * order > -38.0:
        order += 10
    rest = 4.0 * math.log(order + 1.0) - rate * order
    return order, 0.0 if rest <= -38.0 else min(1.0, math.exp(rest))


def _product(a: Array, b: Array) -> Array:
    """Jet of a product."""
    return np.array([
        a[0] * b[0],
        a[0] * b[1] + a[1] * b[0],
        a[0] * b[2] + a[2] * b[0],
        a[0] * b[3] + a[3] * b[0] + a[1] * b[1],
        a[0] * b[4] + a[4] * b[0] + 2.0 * a[1] * b[1],
        a[0] * b[5] + a[5] * b[0] + a[2] * b[2],
    ])  # fmt: skip


class Level(NamedTuple):
    """Jets and diagonals of both kernels after so many layers."""

    jet: Array
    tangent: Array
    square: float
    kappa: float
    diagonal: tuple[float, float]  # of the conjugate kernel: slope in u, half its curvature

    def affine(self, weight: float, bias: float) -> Level:
        constant = np.array([bias, 0.0, 0.0, 0.0, 0.0, 0.0])
        return Level(
            weight * self.jet + constant,
            weight * self.tangent + constant,
            weight * self.square + bias,
            weight * self.kappa + bias,
            (weight * self.diagonal[0], weight * self.diagonal[1]),
        )

    def activate(self, layer: Layer) -> Level:
        jet = layer.compose(self.jet, self.diagonal)
        value, first, half = layer.moment
        return Level(
            jet,
            jet + _product(self.tangent, layer.compose(self.jet, self.diagonal, 1)),
            value,
            value + self.kappa * layer.slope_second,
            (first * self.diagonal[0], first * self.diagonal[1] + half * self.diagonal[0] ** 2),
        )
