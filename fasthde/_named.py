"""The named activations: function, derivative, kinks, and closed forms where they exist.

A closed form is one of two functions of NumPy arrays, both exact at every variance:

* ``hermite(order, tau)``: coefficients a_0..a_order of t -> phi(tau t), shape ``tau.shape + (order + 1,)``;
* ``dual(qx, qy, lo, hi)``: E phi(u) phi(v) and E phi'(u) phi'(v) at correlation rho = 1 - lo = hi - 1. Both gaps are
  given because rho alone has lost what the square-root singularities at rho = +-1 need.

Sources: Cho and Saul (2009) for the powers of the positive part, Williams (1997) for erf and the Gaussian, Louart,
Liao and Couillet (2018) for the others; the forms for GELU follow from Stein's lemma.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Dual = Callable[[Array, Array, Array, Array], tuple[Array, Array]]


@dataclasses.dataclass(frozen=True)
class Named:
    """One activation of the table.

    ``degree`` is that of positive homogeneity; coefficients ``vanish``, ``vanish + 2``, ... are 0 by parity.
    """

    f: Callable[[Array], Any]
    df: Callable[[Array], Any] | None
    kinks: tuple[float, ...] = ()
    continuous: bool = True
    degree: int | None = None
    vanish: int | None = None
    hermite: Callable[[int, Array], Array] | None = None
    dual: Dual | None = None
    gap: Callable[[Array, Array], tuple[Array, Array]] | None = None


# ------------------------------------------------------------------------------------------------ closed Hermite


def _powers(order: int, first: int, start: Array, ratio: Callable[[Array], Any]) -> Array:
    """a_first = start, a_{k+2} = ratio(k) a_k; the other parity is exactly 0."""
    out = np.zeros((*start.shape, order + 1))
    k = np.arange(first, order - 1, 2, dtype=np.float64)
    if first <= order:
        out[..., first] = start
        factors = np.broadcast_to(ratio(k), (*start.shape, k.size))
        out[..., first + 2 :: 2] = start[..., None] * np.cumprod(factors, axis=-1)
    return out


def _root(k: Array) -> Array:
    return np.sqrt((k + 1.0) * (k + 2.0))


def _relu_hermite(order: int, tau: Array) -> Array:
    out = _powers(order, 2, tau / (2 * np.sqrt(np.pi)), lambda k: -(k - 1.0) / _root(k))
    out[..., 0] = tau / np.sqrt(2 * np.pi)
    if order:
        out[..., 1] = tau / 2
    return out


def _leaky_hermite(slope: float) -> Callable[[int, Array], Array]:
    def hermite(order: int, tau: Array) -> Array:
        out = (1 - slope) * _relu_hermite(order, tau)
        if order:
            out[..., 1] = tau * (1 + slope) / 2
        return out

    return hermite


def _relu2_hermite(order: int, tau: Array) -> Array:
    out = np.zeros((*tau.shape, order + 1))
    out[..., 0] = tau**2 / 2
    if order:
        k = np.arange(1, order + 1)
        out[..., 1:] = 2 * tau[..., None] * _relu_hermite(order - 1, tau) / np.sqrt(k)
    return out


def _sign_hermite(order: int, tau: Array) -> Array:
    return _powers(order, 1, np.full(tau.shape, np.sqrt(2 / np.pi)), lambda k: -k / _root(k))


def _step_hermite(order: int, tau: Array) -> Array:
    out = _sign_hermite(order, tau) / 2
    out[..., 0] = 0.5
    return out


def _erf_hermite(order: int, tau: Array) -> Array:
    r = (2 * tau**2 / (1 + 2 * tau**2))[..., None]
    return _powers(order, 1, tau * 2 / np.sqrt(np.pi * (1 + 2 * tau**2)), lambda k: -r * k / _root(k))


def _gaussian_hermite(order: int, tau: Array) -> Array:
    r = (tau**2 / (1 + tau**2))[..., None]
    return _powers(order, 0, 1 / np.sqrt(1 + tau**2), lambda k: -r * (k + 1) / _root(k))


def _gelu_hermite(order: int, tau: Array) -> Array:
    out = np.zeros((*tau.shape, order + 1))
    g = _gaussian_hermite(max(order - 2, 0), tau) / np.sqrt(2 * np.pi)
    r = (tau**2 / (1 + tau**2))[..., None]
    k = np.arange(2, order + 1)
    if order > 1:
        out[..., 2:] = tau[..., None] ** 2 * g * (2 - r + (k - 2) * (1 - r)) / np.sqrt(k * (k - 1.0))
    out[..., 0] = tau**2 * g[..., 0]
    if order:
        out[..., 1] = tau / 2
    return out


def _exponential_hermite(order: int, tau: Array, sign: float) -> Array:
    """Coefficients of exp(tau t), sign 1, or those of exp(i tau t) without the powers of i, sign -1."""
    from scipy.special import gammaln

    k = np.arange(1, order + 1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        start = np.exp(sign * tau**2 / 2)[..., None]
        out = np.concatenate([start, start * np.cumprod(tau[..., None] / np.sqrt(k), axis=-1)], axis=-1)
        if (
            sign < 0 and tau.max(initial=0.0) > 30
        ):  # the first coefficients underflow, the later ones need not
            k = np.arange(order + 1)
            far = np.exp(k * np.log(tau)[..., None] - (tau**2)[..., None] / 2 - gammaln(k + 1) / 2)
            out = np.where(tau[..., None] > 30, far, out)
    return out


def _exp_hermite(order: int, tau: Array) -> Array:
    return _exponential_hermite(order, tau, 1.0)


_TURN = np.array([1.0, 1.0, -1.0, -1.0])


def _cos_hermite(order: int, tau: Array) -> Array:
    k = np.arange(order + 1)
    return np.where(k % 2 == 0, _TURN[k % 4] * _exponential_hermite(order, tau, -1.0), 0.0)


def _sin_hermite(order: int, tau: Array) -> Array:
    k = np.arange(order + 1)
    return np.where(k % 2 == 1, _TURN[k % 4] * _exponential_hermite(order, tau, -1.0), 0.0)


def monomials_to_hermite(order: int, tau: Array, coefficients: Array) -> Array:
    """Hermite coefficients of the polynomial with the given coefficients, in powers of tau t."""
    out = np.zeros((*tau.shape, order + 1))
    power = np.zeros((len(coefficients), len(coefficients)))  # t^j = sum_k power[j, k] h_k
    power[0, 0] = 1.0
    k = np.arange(1, len(coefficients))
    for j in range(1, len(coefficients)):
        power[j, 1:] += np.sqrt(k) * power[j - 1, :-1]
        power[j, :-1] += np.sqrt(k) * power[j - 1, 1:]
    scaled = coefficients * tau[..., None] ** np.arange(len(coefficients))
    keep = min(order + 1, len(coefficients))
    out[..., :keep] = (scaled @ power)[..., :keep]
    return out


# ------------------------------------------------------------------------------------------------ closed duals


def _small_sine(x: Array) -> Array:
    """Sin x - x cos x without cancellation at small x >= 0."""
    y = x * x
    series = (
        x
        * y
        * (1 / 3 - y * (1 / 30 - y * (1 / 840 - y * (1 / 45360 - y * (1 / 3991680 - y * (1 / 518918400))))))
    )
    return np.where(x < 0.5, series, np.sin(x) - x * np.cos(x))


def angle(lo: Array, hi: Array) -> Array:
    """Arccos of the correlation, with full relative precision at both ends."""
    return 2 * np.arctan2(np.sqrt(lo), np.sqrt(hi))


def _leaky_dual(slope: float) -> Dual:
    def dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
        theta, rest = angle(lo, hi), angle(hi, lo)
        both = np.sqrt(qx * qy) / (2 * np.pi)
        value = both * ((1 + slope**2) * _small_sine(rest) - 2 * slope * _small_sine(theta))
        return value, ((1 + slope**2) * rest + 2 * slope * theta) / (2 * np.pi)

    return dual


_BRACKET = np.array([(-1) ** j * (2 * j - 2) / math.factorial(2 * j + 1) for j in range(2, 13)])


def _leaky_gap(slope: float) -> Callable[[Array, Array], tuple[Array, Array]]:
    def gap(lo: Array, hi: Array) -> tuple[Array, Array]:
        near, far = (np.minimum(lo, hi), np.maximum(lo, hi)) if slope == -1 else (lo, hi)  # abs is even
        change = (1 - slope) ** 2 / (np.pi * (1 + slope**2)) * _small_sine(angle(near, far))
        return near - change, far + change

    return gap


def _relu2_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    rest = angle(hi, lo)
    c, s = np.cos(rest), np.sin(rest)
    y = 2 * rest  # the bracket is (2y + y cos y - 3 sin y)/2: its first five powers cancel
    series = y**5 * np.polynomial.polynomial.polyval(y * y, _BRACKET) / 2
    bracket = np.where(rest < 0.7, series, rest * (1 + 2 * c * c) - 3 * s * c)
    return qx * qy * bracket / (2 * np.pi), 4 * _leaky_dual(0.0)(qx, qy, lo, hi)[0]


def _step_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    value = angle(hi, lo) / (2 * np.pi) + 0 * (qx * qy)
    return value, np.full_like(value, np.nan)


def _sign_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    value = 2 / np.pi * np.arctan2(_rho(lo, hi), np.sqrt(lo * hi)) + 0 * (qx * qy)
    return value, np.full_like(value, np.nan)


def _rho(lo: Array, hi: Array) -> Array:
    return np.where(lo < hi, 1.0 - lo, hi - 1.0)


def _identity_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    value = np.sqrt(qx * qy) * _rho(lo, hi)
    return value, np.ones_like(value)


def _erf_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    root = np.sqrt(1 + 2 * qx + 2 * qy + 4 * qx * qy * lo * hi)
    return 2 / np.pi * np.arctan2(2 * np.sqrt(qx * qy) * _rho(lo, hi), root), 4 / np.pi / root


def _gaussian_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    inverse = 1 / (1 + qx + qy + qx * qy * lo * hi)
    root = np.sqrt(inverse)
    return root, np.sqrt(qx * qy) * _rho(lo, hi) * root * inverse


def _gelu_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    c = np.sqrt(qx * qy) * _rho(lo, hi)
    d = 1 + qx + qy + qx * qy * lo * hi
    root = np.sqrt(d)
    bell = 1 / (2 * np.pi * root)
    both = 0.25 + np.arctan2(c, root) / (2 * np.pi)
    inverse = 1 / (1 + qx) + 1 / (1 + qy)
    value = c * both + bell * (qx * qy * lo * hi + c * c * inverse)
    return value, both + bell * c * (inverse + 1 / d)


def _cosh_dual(sign: float) -> Dual:
    def dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
        c = np.sqrt(qx * qy) * _rho(lo, hi)
        near, far = np.exp(c - (qx + qy) / 2), np.exp(-c - (qx + qy) / 2)
        odd = np.exp(-(qx + qy) / 2) * np.sinh(np.clip(c, -1, 1))  # no cancellation at small c
        even, odd = (near + far) / 2, np.where(np.abs(c) < 1, odd, (near - far) / 2)
        return (even, odd) if sign > 0 else (odd, even)

    return dual


def _exp_dual(qx: Array, qy: Array, lo: Array, hi: Array) -> tuple[Array, Array]:
    value = np.exp((qx + qy) / 2 + np.sqrt(qx * qy) * _rho(lo, hi))
    return value, value


# ------------------------------------------------------------------------------------------------ functions


def _relu(t: Array) -> Any:
    return np.maximum(t, 0.0)


def _step(t: Array) -> Any:
    return np.heaviside(t, 0.5)


def _erf(t: Array) -> Any:
    from scipy.special import erf

    return erf(t)


def _sigmoid(t: Array) -> Any:
    from scipy.special import expit

    return expit(t)


def _gelu(t: Array) -> Any:
    from scipy.special import ndtr

    return t * ndtr(t)


def _gelu_slope(t: Array) -> Any:
    from scipy.special import ndtr

    return ndtr(t) + t * np.exp(-t * t / 2) / np.sqrt(2 * np.pi)


def _sigmoid_slope(t: Array) -> Any:
    return _sigmoid(t) * _sigmoid(-t)


def _silu(t: Array) -> Any:
    return t * _sigmoid(t)


def _silu_slope(t: Array) -> Any:
    return _sigmoid(t) * (1 + t * _sigmoid(-t))


def _softplus(t: Array) -> Any:
    return np.logaddexp(0.0, t)


def _tanh_slope(t: Array) -> Any:
    return 1 / np.cosh(np.minimum(np.abs(t), 350.0)) ** 2


def _mish(t: Array) -> Any:
    return t * np.tanh(_softplus(t))


def _mish_slope(t: Array) -> Any:
    return np.tanh(_softplus(t)) + t * _tanh_slope(_softplus(t)) * _sigmoid(t)


def _gaussian(t: Array) -> Any:
    return np.exp(-t * t / 2)


def _leaky(slope: float = 0.01) -> Named:
    return Named(
        lambda t: np.where(t > 0, t, slope * t),
        lambda t: np.where(t > 0, 1.0, slope),
        (0.0,) if slope != 1 else (),
        degree=1,
        hermite=_leaky_hermite(slope),
        dual=_leaky_dual(slope),
        gap=_leaky_gap(slope),
    )


def _elu(alpha: float = 1.0) -> Named:
    return Named(
        lambda t: np.where(t > 0, t, alpha * np.expm1(np.minimum(t, 0.0))),
        lambda t: np.where(t > 0, 1.0, alpha * np.exp(np.minimum(t, 0.0))),
        (0.0,),
    )


def _selu() -> Named:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    elu = _elu(alpha)
    assert elu.df is not None
    slope = elu.df
    return Named(lambda t: scale * elu.f(t), lambda t: scale * slope(t), (0.0,))


def _polynomial(coefficients: Any) -> Named:
    c = np.asarray(coefficients, dtype=np.float64)
    poly = np.polynomial.Polynomial(c)
    slope = poly.deriv()
    return Named(
        lambda t: poly(t),
        lambda t: slope(t) + 0.0 * t,
        hermite=lambda order, tau: monomials_to_hermite(order, tau, c),
    )


#: Name -> (maker, its parameters and their defaults).
TABLE: dict[str, Callable[..., Named]] = {
    "identity": lambda: Named(
        lambda t: 1.0 * t,
        np.ones_like,
        degree=1,
        hermite=lambda order, tau: monomials_to_hermite(order, tau, np.array([0.0, 1.0])),
        dual=_identity_dual,
    ),
    "relu": lambda: Named(
        _relu,
        lambda t: np.heaviside(t, 0.0),
        (0.0,),
        degree=1,
        hermite=_relu_hermite,
        dual=_leaky_dual(0.0),
        gap=_leaky_gap(0.0),
    ),
    "leaky_relu": _leaky,
    "abs": lambda: Named(
        np.abs,
        np.sign,
        (0.0,),
        degree=1,
        hermite=_leaky_hermite(-1.0),
        dual=_leaky_dual(-1.0),
        gap=_leaky_gap(-1.0),
    ),
    "sign": lambda: Named(
        np.sign, None, (0.0,), continuous=False, degree=0, hermite=_sign_hermite, dual=_sign_dual
    ),
    "step": lambda: Named(
        _step, None, (0.0,), continuous=False, degree=0, hermite=_step_hermite, dual=_step_dual
    ),
    "hard_tanh": lambda: Named(
        lambda t: np.clip(t, -1.0, 1.0), lambda t: np.where(np.abs(t) < 1, 1.0, 0.0), (-1.0, 1.0), vanish=0
    ),
    "relu2": lambda: Named(
        lambda t: _relu(t) ** 2,
        lambda t: 2 * _relu(t),
        (0.0,),
        degree=2,
        hermite=_relu2_hermite,
        dual=_relu2_dual,
    ),
    "erf": lambda: Named(
        _erf, lambda t: 2 / np.sqrt(np.pi) * np.exp(-t * t), hermite=_erf_hermite, dual=_erf_dual
    ),
    "tanh": lambda: Named(np.tanh, _tanh_slope, vanish=0),
    "sigmoid": lambda: Named(_sigmoid, _sigmoid_slope, vanish=2),
    "softplus": lambda: Named(_softplus, _sigmoid, vanish=3),
    "silu": lambda: Named(_silu, _silu_slope, vanish=3),
    "gelu": lambda: Named(_gelu, _gelu_slope, hermite=_gelu_hermite, dual=_gelu_dual),
    "elu": _elu,
    "selu": _selu,
    "mish": lambda: Named(_mish, _mish_slope),
    "arctan": lambda: Named(np.arctan, lambda t: 1 / (1 + t * t), vanish=0),
    "sin": lambda: Named(np.sin, np.cos, hermite=_sin_hermite, dual=_cosh_dual(-1.0)),
    "cos": lambda: Named(np.cos, lambda t: -np.sin(t), hermite=_cos_hermite, dual=_cosh_dual(1.0)),
    "exp": lambda: Named(np.exp, np.exp, hermite=_exp_hermite, dual=_exp_dual),
    "gaussian": lambda: Named(
        _gaussian, lambda t: -t * _gaussian(t), hermite=_gaussian_hermite, dual=_gaussian_dual
    ),
    "polynomial": _polynomial,
}

#: Names in use elsewhere.
ALIASES = {
    "linear": "identity",
    "logistic": "sigmoid",
    "swish": "silu",
    "heaviside": "step",
    "hardtanh": "hard_tanh",
    "leakyrelu": "leaky_relu",
    "rbf": "gaussian",
}
