"""Independent references for activations, dual functions and the exact kernels of deep networks.

Nothing here imports the package. "§" refers to the project's page of equations. Four kinds of reference:

* coefficients and moments: Gauss-Legendre rules split at the kinks, all orders at once, in fixed-point
  integers of 208 bits (`coefficients`, `moments`), and closed forms (`closed_coefficient`);
* dual functions in closed form, mpmath (`Phi.dual_mp`, `Phi.slope_mp`);
* dual functions by a two-dimensional rule in NumPy, split at the kinks of either argument and graded to the
  width of the smeared kink, about 1e-15 for every correlation (`pair_integrals`);
* deep kernels of two vectors by plain recursion (`deep`). The state of a pair is (qx, qy, E(u-v)^2, E(u+v)^2)
  in mpmath, so that nearly parallel and nearly opposite pairs lose nothing.

A correlation is given as the pair ``low = 1 - rho``, ``high = 1 + rho`` of exact numbers. Run this file to
compare the references with each other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from mpmath import mp, mpf
from scipy import special

DIGITS = 50
BITS = 208
ORDER = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Phi:
    """An activation for mpmath and for NumPy, with the derivative of each, its kinks and closed forms.

    `dual_mp` and `slope_mp`, where known, map (qx, qy, low, high) to E phi(u)phi(v) and E phi'(u)phi'(v).
    """

    name: str
    mp: Callable[[Any], Any]
    np: Callable[[Any], Any]
    slope: Callable[[Any], Any] | None
    slope_np: Callable[[Any], Any] | None
    kinks: tuple[float, ...] = ()
    degree: int | None = None
    dual_mp: Callable[..., Any] | None = None
    slope_mp: Callable[..., Any] | None = None

    @property
    def continuous(self):
        return self.slope is not None


# -------------------------------------------------------------------------------- duals in closed form


def _parts(qx, qy, low, high):
    """Covariance, product of standard deviations, correlation, sine of the angle, angle."""
    scale = mp.sqrt(qx * qy)
    rho = (high - low) / 2
    return scale * rho, scale, rho, mp.sqrt(low * high), 2 * mp.atan2(mp.sqrt(low), mp.sqrt(high))


def _dual_identity(qx, qy, low, high):
    return _parts(qx, qy, low, high)[0]


def _dual_one(qx, qy, low, high):
    return mpf(1)


def _dual_step(qx, qy, low, high):
    return (mp.pi - _parts(qx, qy, low, high)[4]) / (2 * mp.pi)


def _dual_sign(qx, qy, low, high):
    return 1 - 2 * _parts(qx, qy, low, high)[4] / mp.pi


def _dual_relu(qx, qy, low, high):
    _, scale, rho, sine, angle = _parts(qx, qy, low, high)
    return scale * (sine + rho * (mp.pi - angle)) / (2 * mp.pi)


def _dual_abs(qx, qy, low, high):
    _, scale, rho, sine, angle = _parts(qx, qy, low, high)
    return 2 * scale * (sine + rho * (mp.pi / 2 - angle)) / mp.pi


def _dual_relu2(qx, qy, low, high):
    """Arc-cosine kernel of order two."""
    _, scale, rho, sine, angle = _parts(qx, qy, low, high)
    return scale**2 * (3 * sine * rho + (mp.pi - angle) * (1 + 2 * rho**2)) / (2 * mp.pi)


def _dual_leaky(q):
    """q t + (1-q) relu(t), and E[u relu(v)] = cov/2."""

    def dual(qx, qy, low, high):
        cov = _parts(qx, qy, low, high)[0]
        return q**2 * cov + q * (1 - q) * cov + (1 - q) ** 2 * _dual_relu(qx, qy, low, high)

    def slope(qx, qy, low, high):
        return q**2 + q * (1 - q) + (1 - q) ** 2 * _dual_step(qx, qy, low, high)

    return dual, slope


def _determinant(qx, qy, low, high, factor=1):
    """det(I + factor Sigma) = 1 + f(qx + qy) + f^2 qx qy (1 - rho^2), without cancellation."""
    return 1 + factor * (qx + qy) + factor**2 * qx * qy * low * high


def _dual_erf(qx, qy, low, high):
    """atan instead of asin: the argument of asin comes close to 1 for large variances."""
    cov = _parts(qx, qy, low, high)[0]
    return 2 / mp.pi * mp.atan2(2 * cov, mp.sqrt(_determinant(qx, qy, low, high, 2)))


def _slope_erf(qx, qy, low, high):
    return 4 / mp.pi / mp.sqrt(_determinant(qx, qy, low, high, 2))


def _dual_cos(qx, qy, low, high):
    return mp.exp(-(qx + qy) / 2) * mp.cosh(_parts(qx, qy, low, high)[0])


def _dual_sin(qx, qy, low, high):
    return mp.exp(-(qx + qy) / 2) * mp.sinh(_parts(qx, qy, low, high)[0])


def _dual_exp(qx, qy, low, high):
    return mp.exp((qx + qy) / 2 + _parts(qx, qy, low, high)[0])


def _dual_gaussian(qx, qy, low, high):
    return 1 / mp.sqrt(_determinant(qx, qy, low, high))


def _slope_gaussian(qx, qy, low, high):
    """E[uv exp(-(u^2+v^2)/2)]: the tilted covariance Sigma (I + Sigma)^-1 has entry cov/det."""
    return _parts(qx, qy, low, high)[0] / _determinant(qx, qy, low, high) ** mpf(1.5)


def _gelu_parts(qx, qy, low, high):
    cov = _parts(qx, qy, low, high)[0]
    det = _determinant(qx, qy, low, high)
    both = mpf(1) / 4 + mp.atan2(cov, mp.sqrt(det)) / (2 * mp.pi)  # E[Phi(u) Phi(v)]
    return cov, det, both, 1 / (2 * mp.pi * mp.sqrt(det))  # last: E[pdf(u) pdf(v)]


def _dual_gelu(qx, qy, low, high):
    """Stein's lemma three times on E[u v Phi(u) Phi(v)]."""
    cov, _, both, density = _gelu_parts(qx, qy, low, high)
    return cov * both + density * (qx * qy + cov**2 * (1 / (1 + qx) + 1 / (1 + qy) - 1))


def _slope_gelu(qx, qy, low, high):
    """phi' = Phi + t pdf, and E[u pdf(u) Phi(v)] = cov E[pdf pdf]/(1+qx)."""
    cov, det, both, density = _gelu_parts(qx, qy, low, high)
    return both + cov * density * (1 / (1 + qx) + 1 / (1 + qy)) + cov * density / det


def _density_gap(qx, qy, sine_angle):
    """p(1,1) - p(1,-1), times the Jacobian d cov/d angle, p the density of (u, v) at sin(angle)."""
    cos2 = mp.cos(sine_angle) ** 2
    scale = mp.sqrt(qx * qy)
    even = (1 / qx + 1 / qy) / 2
    odd = mp.sin(sine_angle) / scale
    return (mp.exp(-(even - odd) / cos2) - mp.exp(-(even + odd) / cos2)) / (2 * mp.pi)


def _angle(low, high):
    """asin(rho)."""
    return mp.atan2(high - low, 2 * mp.sqrt(low * high))


def _dual_hard_tanh(qx, qy, low, high):
    """Price: d2/dcov2 E[phi phi] = E[phi'' phi''] = 2(p(1,1) - p(1,-1)), integrated from independence."""
    cov = _parts(qx, qy, low, high)[0]
    top, scale = _angle(low, high), mp.sqrt(qx * qy)
    first = mp.erf(1 / mp.sqrt(2 * qx)) * mp.erf(1 / mp.sqrt(2 * qy))
    second = mp.quad(
        lambda a: 2 * (cov - scale * mp.sin(a)) * _density_gap(qx, qy, a), mp.linspace(0, top, 5)
    )
    return cov * first + second


def _slope_hard_tanh(qx, qy, low, high):
    first = mp.erf(1 / mp.sqrt(2 * qx)) * mp.erf(1 / mp.sqrt(2 * qy))
    return first + mp.quad(lambda a: 2 * _density_gap(qx, qy, a), mp.linspace(0, _angle(low, high), 5))


def _mixed_moment(i, j, qx, qy, cov):
    """E[u^i v^j] of centred Gaussians (Isserlis): pairs within u, within v, and between."""
    total = mpf(0)
    for k in range(min(i, j) + 1):
        if (i - k) % 2 or (j - k) % 2:
            continue
        ways = math.comb(i, k) * math.comb(j, k) * math.factorial(k)
        total += ways * mp.fac2(i - k - 1) * mp.fac2(j - k - 1) * (
            cov**k * qx ** ((i - k) // 2) * qy ** ((j - k) // 2)
        )  # fmt: skip
    return total


def _dual_polynomial(c):
    def dual(qx, qy, low, high):
        cov = _parts(qx, qy, low, high)[0]
        return mp.fsum(
            mpf(a) * mpf(b) * _mixed_moment(i, j, qx, qy, cov)
            for i, a in enumerate(c)
            for j, b in enumerate(c)
        )

    return dual


# ----------------------------------------------------------------------------------------- activations

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _cdf(t):
    return mp.erfc(-t / mp.sqrt(2)) / 2


def _pdf(t):
    return mp.exp(-t * t / 2) / mp.sqrt(2 * mp.pi)


def _pdf_np(t):
    return np.exp(-t * t / 2) / math.sqrt(2 * math.pi)


def _sigmoid(t):
    return 1 / (1 + mp.exp(-t))


def _softplus(t):
    return mp.log1p(mp.exp(-abs(t))) + max(t, mpf(0))


def _softplus_np(t):
    return np.log1p(np.exp(-np.abs(t))) + np.maximum(t, 0)


def _mish_slope(t):
    w = mp.tanh(_softplus(t))
    return w + t * (1 - w * w) * _sigmoid(t)


def _mish_slope_np(t):
    w = np.tanh(_softplus_np(t))
    return w + t * (1 - w * w) * special.expit(t)


def _elu(alpha, scale=1.0):
    a, s = mpf(alpha), mpf(scale)
    return {
        "mp": lambda t: s * (t if t > 0 else a * mp.expm1(t)),
        "np": lambda t: scale * np.where(t > 0, t, alpha * np.expm1(np.minimum(t, 0))),
        "slope": lambda t: s * (mpf(1) if t > 0 else a * mp.exp(t)),
        "slope_np": lambda t: scale * np.where(t > 0, 1.0, alpha * np.exp(np.minimum(t, 0))),
        "kinks": (0.0,),
    }


def _build(name, params):
    zero, one = mpf(0), mpf(1)
    if name == "identity":
        return {
            "mp": lambda t: t, "np": lambda t: t, "slope": lambda t: one, "slope_np": np.ones_like,
            "degree": 1, "dual_mp": _dual_identity, "slope_mp": _dual_one,
        }  # fmt: skip
    if name == "relu":
        return {
            "mp": lambda t: max(t, zero), "np": lambda t: np.maximum(t, 0),
            "slope": lambda t: one if t > 0 else zero, "slope_np": lambda t: (t > 0) * 1.0,
            "kinks": (0.0,), "degree": 1, "dual_mp": _dual_relu, "slope_mp": _dual_step,
        }  # fmt: skip
    if name == "leaky_relu":
        slope = params.get("slope", 0.01)
        q = mpf(slope)
        dual, dual_slope = _dual_leaky(q)
        return {
            "mp": lambda t: t if t > 0 else q * t, "np": lambda t: np.where(t > 0, t, slope * t),
            "slope": lambda t: one if t > 0 else q, "slope_np": lambda t: np.where(t > 0, 1.0, slope),
            "kinks": (0.0,), "degree": 1, "dual_mp": dual, "slope_mp": dual_slope,
        }  # fmt: skip
    if name == "abs":
        return {
            "mp": abs, "np": np.abs, "slope": mp.sign, "slope_np": np.sign,
            "kinks": (0.0,), "degree": 1, "dual_mp": _dual_abs, "slope_mp": _dual_sign,
        }  # fmt: skip
    if name == "sign":
        return {
            "mp": mp.sign, "np": np.sign, "slope": None, "slope_np": None,
            "kinks": (0.0,), "degree": 0, "dual_mp": _dual_sign,
        }  # fmt: skip
    if name == "step":
        return {
            "mp": lambda t: one if t > 0 else zero, "np": lambda t: (t > 0) * 1.0, "slope": None,
            "slope_np": None, "kinks": (0.0,), "degree": 0, "dual_mp": _dual_step,
        }  # fmt: skip
    if name == "hard_tanh":
        return {
            "mp": lambda t: min(max(t, -one), one), "np": lambda t: np.clip(t, -1, 1),
            "slope": lambda t: one if -1 < t < 1 else zero, "slope_np": lambda t: (np.abs(t) < 1) * 1.0,
            "kinks": (-1.0, 1.0), "dual_mp": _dual_hard_tanh, "slope_mp": _slope_hard_tanh,
        }  # fmt: skip
    if name == "relu2":
        return {
            "mp": lambda t: max(t, zero) ** 2, "np": lambda t: np.maximum(t, 0) ** 2,
            "slope": lambda t: 2 * max(t, zero), "slope_np": lambda t: 2 * np.maximum(t, 0),
            "kinks": (0.0,), "degree": 2, "dual_mp": _dual_relu2,
            "slope_mp": lambda *a: 4 * _dual_relu(*a),
        }  # fmt: skip
    if name == "erf":
        return {
            "mp": mp.erf, "np": special.erf,
            "slope": lambda t: 2 / mp.sqrt(mp.pi) * mp.exp(-t * t),
            "slope_np": lambda t: 2 / math.sqrt(math.pi) * np.exp(-t * t),
            "dual_mp": _dual_erf, "slope_mp": _slope_erf,
        }  # fmt: skip
    if name == "tanh":
        return {
            "mp": mp.tanh, "np": np.tanh,
            "slope": lambda t: mp.sech(t) ** 2, "slope_np": lambda t: 1 / np.cosh(t) ** 2,
        }  # fmt: skip
    if name == "sigmoid":
        return {
            "mp": _sigmoid, "np": special.expit,
            "slope": lambda t: _sigmoid(t) * _sigmoid(-t),
            "slope_np": lambda t: special.expit(t) * special.expit(-t),
        }  # fmt: skip
    if name == "softplus":
        return {"mp": _softplus, "np": _softplus_np, "slope": _sigmoid, "slope_np": special.expit}
    if name == "silu":
        return {
            "mp": lambda t: t * _sigmoid(t), "np": lambda t: t * special.expit(t),
            "slope": lambda t: _sigmoid(t) * (1 + t * _sigmoid(-t)),
            "slope_np": lambda t: special.expit(t) * (1 + t * special.expit(-t)),
        }  # fmt: skip
    if name == "gelu":
        return {
            "mp": lambda t: t * _cdf(t), "np": lambda t: t * special.ndtr(t),
            "slope": lambda t: _cdf(t) + t * _pdf(t),
            "slope_np": lambda t: special.ndtr(t) + t * _pdf_np(t),
            "dual_mp": _dual_gelu, "slope_mp": _slope_gelu,
        }  # fmt: skip
    if name == "elu":
        return _elu(params.get("alpha", 1.0))
    if name == "selu":
        return _elu(SELU_ALPHA, SELU_SCALE)
    if name == "mish":
        return {
            "mp": lambda t: t * mp.tanh(_softplus(t)), "np": lambda t: t * np.tanh(_softplus_np(t)),
            "slope": _mish_slope, "slope_np": _mish_slope_np,
        }  # fmt: skip
    if name == "arctan":
        return {
            "mp": mp.atan, "np": np.arctan,
            "slope": lambda t: 1 / (1 + t * t), "slope_np": lambda t: 1 / (1 + t * t),
        }  # fmt: skip
    if name == "sin":
        return {
            "mp": mp.sin, "np": np.sin, "slope": mp.cos, "slope_np": np.cos,
            "dual_mp": _dual_sin, "slope_mp": _dual_cos,
        }  # fmt: skip
    if name == "cos":
        return {
            "mp": mp.cos, "np": np.cos, "slope": lambda t: -mp.sin(t), "slope_np": lambda t: -np.sin(t),
            "dual_mp": _dual_cos, "slope_mp": _dual_sin,
        }  # fmt: skip
    if name == "exp":
        return {
            "mp": mp.exp, "np": np.exp, "slope": mp.exp, "slope_np": np.exp,
            "dual_mp": _dual_exp, "slope_mp": _dual_exp,
        }  # fmt: skip
    if name == "gaussian":
        return {
            "mp": lambda t: mp.exp(-t * t / 2), "np": lambda t: np.exp(-t * t / 2),
            "slope": lambda t: -t * mp.exp(-t * t / 2), "slope_np": lambda t: -t * np.exp(-t * t / 2),
            "dual_mp": _dual_gaussian, "slope_mp": _slope_gaussian,
        }  # fmt: skip
    if name == "polynomial":
        c = params["coefficients"]
        d = [k * x for k, x in enumerate(c)][1:] or [0.0]
        return {
            "mp": lambda t: mp.fsum(mpf(x) * t**k for k, x in enumerate(c)),
            "np": lambda t: np.polynomial.polynomial.polyval(t, c),
            "slope": lambda t: mp.fsum(mpf(x) * t**k for k, x in enumerate(d)),
            "slope_np": lambda t: np.polynomial.polynomial.polyval(t, d) + 0 * t,
            "dual_mp": _dual_polynomial(c), "slope_mp": _dual_polynomial(d),
        }  # fmt: skip
    raise KeyError(name)


@cache
def _phi(name, params):
    with mp.workdps(DIGITS):
        return Phi(name, **_build(name, dict(params)))


def phi(name, **params):
    """A named activation; lists of parameters are taken as tuples."""
    fixed = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in params.items()}
    return _phi(name, tuple(sorted(fixed.items())))


#: Every name, with the parameters that one test run uses.
NAMED = {
    "identity": {}, "relu": {}, "leaky_relu": {"slope": 0.2}, "abs": {}, "sign": {}, "step": {},
    "hard_tanh": {}, "relu2": {}, "erf": {}, "tanh": {}, "sigmoid": {}, "softplus": {}, "silu": {},
    "gelu": {}, "elu": {"alpha": 1.0}, "selu": {}, "mish": {}, "arctan": {}, "sin": {}, "cos": {}, "exp": {},
    "gaussian": {}, "polynomial": {"coefficients": (0.5, -1.0, 0.25, 0.125)},
}  # fmt: skip


# ------------------------------------------------------------------------ one-dimensional rules, exact


@cache
def legendre(m):
    """Nodes and weights on [-1, 1] to DIGITS digits, by Newton's method."""
    with mp.workdps(DIGITS + 10):
        nodes, weights = [], []
        for i in range(m):
            x = mp.cos(mp.pi * (i + mpf(3) / 4) / (m + mpf(1) / 2))
            for _ in range(60):
                p, before = mpf(1), mpf(0)
                for k in range(m):
                    p, before = ((2 * k + 1) * x * p - k * before) / (k + 1), p
                slope = m * (before - x * p) / (1 - x * x)
                step = p / slope
                x -= step
                if abs(step) < mpf(10) ** -(DIGITS + 5):
                    break
            nodes.append(x)
            weights.append(2 / ((1 - x * x) * slope**2))
        return nodes, weights


def _breaks(kinks, tau):
    """Panels in xi: graded to the width 1/tau around 0, where poles are near, and split at kinks/tau."""
    reach, first = 16, 2.0 ** -max(1, math.ceil(math.log2(float(tau))) + 1)
    edges, x = [mpf(0)], mpf(first)
    while x < 2:
        edges.append(x)
        x *= 2
    edges += [mpf(x) for x in range(2, reach + 1, 2)]
    edges = {-x for x in edges} | set(edges)
    edges |= {mpf(k) / mpf(tau) for k in kinks if abs(mpf(k) / mpf(tau)) < reach}
    return tuple(sorted(edges))


def _fixed(x):
    return int(mp.nint(mp.ldexp(x, BITS)))


@cache
def _rule(breaks, m):
    """Nodes, weights of the Gaussian measure, and h_k exp(-x^2/4) at the nodes in fixed point."""
    with mp.workdps(DIGITS + 15):
        t, w = legendre(m)
        nodes = [a + (b - a) * (1 + s) / 2 for a, b in pairwise(breaks) for s in t]
        half = [mp.exp(-x * x / 4) for x in nodes]
        factor = 1 / mp.sqrt(2 * mp.pi)
        flat = [(b - a) / 2 * s * factor for a, b in pairwise(breaks) for s in w]
        weights = [f * h * h for f, h in zip(flat, half, strict=True)]
        outer = [f * h for f, h in zip(flat, half, strict=True)]
        x = np.array([_fixed(s) for s in nodes], object)
        roots = [_fixed(mp.sqrt(k)) for k in range(ORDER + 2)]
        inverse = [0] + [_fixed(1 / mp.sqrt(k)) for k in range(1, ORDER + 2)]
        rows = [np.array([_fixed(s) for s in half], object)]
        before = rows[0] * 0
        for k in range(ORDER):
            rows.append((((x * rows[-1]) >> BITS) - ((roots[k] * before) >> BITS)) * inverse[k + 1] >> BITS)
            before = rows[-2]
        return nodes, weights, outer, np.array(rows)


def _gauss(f, tau):
    return _rule(_breaks(f.kinks, tau), 28 if tau <= 4 else 44)  # sin(tau x) oscillates within a panel


@cache
def _values(f, tau):
    """phi(tau x) at the nodes of its rule."""
    return [f.mp(mpf(tau) * x) for x in _gauss(f, tau)[0]]


@cache
def coefficients(f, tau=1.0):
    """a_0 .. a_200 of phi(tau xi), as mpf (absolute error below 1e-25 of the norm)."""
    with mp.workdps(DIGITS):
        if f.name == "exp":  # its weight is shifted by tau, beyond the reach of the rule
            return [mp.exp(mpf(tau) ** 2 / 2) * mpf(tau) ** k / mp.sqrt(mp.fac(k)) for k in range(ORDER + 1)]
        _, _, outer, rows = _gauss(f, tau)
        product = np.array([_fixed(v * w) for v, w in zip(_values(f, tau), outer, strict=True)], object)
        return [mp.ldexp(mpf(int(s)), -2 * BITS) for s in rows @ product]


@cache
def moments(f, tau=1.0):
    """The fields of the moments as mpf; slope_second is inf for a discontinuous activation."""
    with mp.workdps(DIGITS):
        t = mpf(tau)
        a = coefficients(f, tau)
        nodes, weights, _, _ = _gauss(f, tau)
        values = _values(f, tau)
        second = mp.fsum(w * v * v for v, w in zip(values, weights, strict=True))
        quadratic = mp.fsum(
            w * v * v * (x * x - 1) for x, v, w in zip(nodes, values, weights, strict=True)
        ) / (2 * t * t)  # fmt: skip
        return {
            "mean": a[0],
            "second": second,
            "slope": a[1] / t,
            "curvature": mp.sqrt(2) * a[2] / t**2,
            "quadratic": quadratic,
            "slope_second": mp.fsum(w * f.slope(t * x) ** 2 for x, w in zip(nodes, weights, strict=True))
            if f.continuous
            else mp.inf,
            "nonlinear": second - a[0] ** 2 - a[1] ** 2,
        }


def hermite_at_zero(k):
    """He_k(0)."""
    return mpf(0) if k % 2 else (-1) ** (k // 2) * mp.fac2(k - 1)


def closed_coefficient(name, k, slope=0.01, **_):
    """a_k at tau = 1 in closed form (§6, "General k" and the table), None where there is none."""
    root, pi = mp.sqrt(mp.fac(k)), mp.pi
    if name == "relu":
        if k < 2:
            return 1 / mp.sqrt(2 * pi) if k == 0 else mpf(1) / 2
        if k == 2:
            return 1 / (2 * mp.sqrt(pi))
        return mpf(0) if k % 2 else (-1) ** (k // 2 - 1) * mp.fac2(k - 3) / mp.sqrt(2 * pi * mp.fac(k))
    if name == "leaky_relu":
        q = mpf(slope)
        return (1 + q) / 2 if k == 1 else (1 - q) * closed_coefficient("relu", k)
    if name == "abs":
        return mpf(0) if k % 2 else 2 * closed_coefficient("relu", k)
    if name == "sign":
        return 2 * hermite_at_zero(k - 1) / mp.sqrt(2 * pi * mp.fac(k)) if k % 2 else mpf(0)
    if name == "step":
        return mpf(1) / 2 if k == 0 else closed_coefficient("sign", k) / 2
    if name == "erf":
        if k % 2 == 0:
            return mpf(0)
        return 2 / mp.sqrt(3 * pi) * (mpf(-2) / 3) ** ((k - 1) // 2) * mp.fac2(k - 2) / root
    if name in ("cos", "sin"):
        odd = int(name == "sin")
        return mpf(0) if k % 2 != odd else (-1) ** (k // 2) * mp.exp(mpf(-1) / 2) / root
    if name == "exp":
        return mp.exp(mpf(1) / 2) / root
    if name == "gelu":
        if k < 3:
            return (1 / (2 * mp.sqrt(pi)), mpf(1) / 2, 3 / (4 * mp.sqrt(2 * pi)))[k]
        if k % 2:
            return mpf(0)

        def inner(j):
            return mpf(-1) ** (j // 2) / mpf(2) ** (j // 2) * mp.fac2(j - 1) / mp.sqrt(4 * pi)

        tail = (k - 2) * (k - 3) * inner(k - 4)
        return (2 * inner(k - 2) - inner(k) - (2 * k - 3) * inner(k - 2) - tail) / root
    return None


def closed_second(name, slope=0.01, **_):
    """nu = E phi^2 at tau = 1 in closed form (§6), None where there is none."""
    q = mpf(slope)
    return {
        "relu": lambda: mpf(1) / 2, "leaky_relu": lambda: (1 + q * q) / 2, "abs": lambda: mpf(1),
        "sign": lambda: mpf(1), "step": lambda: mpf(1) / 2,
        "erf": lambda: 2 / mp.pi * mp.asin(mpf(2) / 3), "cos": lambda: (1 + mp.exp(-2)) / 2,
        "sin": lambda: (1 - mp.exp(-2)) / 2, "exp": lambda: mp.exp(2),
        "gelu": lambda: mpf(1) / 3 + 1 / (2 * mp.pi * mp.sqrt(3)),
    }.get(name, lambda: None)()  # fmt: skip


# ------------------------------------------------------------------ two-dimensional rules in NumPy

_REACH = 9.5
_NEAR = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 12])


@cache
def _legendre_np(m):
    t, w = legendre(m)
    return np.array([float(x) for x in t]), np.array([float(x) for x in w])


def _panels(scale):
    """Equal panels of the Gaussian measure, short against the distance of poles at about 1/scale."""
    width = 2.0 ** -max(-1, math.ceil(math.log2(max(scale, 1e-9) / 2)))
    count = math.ceil(2 * _REACH / width)
    if count > 5000:
        raise ValueError(f"the rule is not made for a standard deviation of {scale:.3g}")
    return np.linspace(-_REACH, _REACH, count + 1)


def _spread(edges, m):
    """Nodes and Gaussian weights on panels; edges (..., P+1) -> (..., P, m)."""
    t, w = _legendre_np(m)
    half = np.diff(edges, axis=-1)[..., None] / 2
    x = edges[..., :-1, None] + half * (1 + t)
    return x, half * w * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def pair_integrals(f, g, kinks_f, kinks_g, qx, qy, low, high, m=20):
    """E f(u)g(v), E (f(u)-g(v))^2 and E (f(u)+g(v))^2 in float64.

    u = sx xi, v = sy (rho xi + s eta). The inner panels are split where v meets a kink; that smears the kink
    over a width s of xi, to which the outer panels are graded.
    """
    qx, qy = mpf(qx), mpf(qy)
    flip = high < low
    if flip:  # v -> -v
        low, high = high, low
        kinks_g = tuple(-k for k in kinks_g)
    sign = -1.0 if flip else 1.0
    sx, sy = float(mp.sqrt(qx)), float(mp.sqrt(qy))
    rho, s = float(1 - mpf(low)), float(mp.sqrt(mpf(low) * mpf(high)))
    marks = [k / sx for k in kinks_f if sx]
    zones = [k / (sy * rho) for k in kinks_g if sy * rho]
    if s == 0:
        marks += zones
    else:
        for centre in zones:
            steps = s / rho * np.concatenate([_NEAR, 16.0 * 2.0 ** np.arange(60)])
            steps = steps[steps < 2]
            marks += [*(centre + steps), *(centre - steps)]
    outer = np.union1d(_panels(max(sx, sy * rho)), [x for x in marks if abs(x) < _REACH])
    x, wx = (a.ravel() for a in _spread(outer, m))
    fu = f(sx * x)[:, None]
    if s == 0 or not sy:
        gv, w = g(sign * sy * rho * x)[:, None], wx[:, None]
    else:
        edges = np.broadcast_to(_panels(sy * s), (x.size, _panels(sy * s).size))
        if sy and kinks_g:
            cuts = (np.array(kinks_g) / sy - rho * x[:, None]) / s
            edges = np.sort(np.concatenate([edges, np.clip(cuts, -_REACH, _REACH)], axis=1), axis=1)
        e, we = (a.reshape(x.size, -1) for a in _spread(edges, m))
        gv = g(sign * sy * (rho * x[:, None] + s * e))
        w = wx[:, None] * we
    return float(np.sum(w * fu * gv)), float(np.sum(w * (fu - gv) ** 2)), float(np.sum(w * (fu + gv) ** 2))


def numeric(f):
    """The same activation without closed forms: its duals come from `pair_integrals`."""
    return dataclasses.replace(f, dual_mp=None, slope_mp=None)


def dual(f, low, high, qx=1.0, qy=1.0, derivative=False):
    """E phi(u)phi(v), or of the slopes, as mpf: closed form where there is one, else the rule in NumPy."""
    with mp.workdps(DIGITS):
        low, high = mpf(low), mpf(high)
        closed = f.slope_mp if derivative else f.dual_mp
        if closed is not None:
            return closed(mpf(qx), mpf(qy), low, high)
        g = f.slope_np if derivative else f.np
        return mpf(pair_integrals(g, g, f.kinks, f.kinks, qx, qy, low, high)[0])


def mehler(f, rho, qx=1.0, qy=1.0):
    """Sum of a_k(sx) a_k(sy) rho^k and the size of its last terms; for moderate rho."""
    with mp.workdps(DIGITS):
        a = coefficients(f, math.sqrt(qx))
        b = coefficients(f, math.sqrt(qy))
        terms = [x * y * mpf(rho) ** k for k, (x, y) in enumerate(zip(a, b, strict=True))]
        return mp.fsum(terms), max(abs(t) for t in terms[-6:])


# --------------------------------------------------------------------------------------- deep kernels


def _layer(f, qx, qy, minus, plus):
    """Second moments of the images and E phi'phi', from those of the arguments."""
    if qx * qy > 0:
        scale = 2 * mp.sqrt(qx * qy)
        gap = (mp.sqrt(qx) - mp.sqrt(qy)) ** 2
        low, high = max((minus - gap) / scale, mpf(0)), max((plus - gap) / scale, mpf(0))
        low, high = (low, 2 - low) if low < high else (2 - high, high)
    else:
        low = high = mpf(1)
    zero, two = mpf(0), mpf(2)
    if f.dual_mp is not None and qx * qy > 0:
        cov = f.dual_mp(qx, qy, low, high)
        q = [f.dual_mp(t, t, zero, two) for t in (qx, qy)]
        below, above = q[0] + q[1] - 2 * cov, q[0] + q[1] + 2 * cov
    else:
        cov, below, above = map(mpf, pair_integrals(f.np, f.np, f.kinks, f.kinks, qx, qy, low, high))
        q = [mpf(pair_integrals(f.np, f.np, f.kinks, f.kinks, t, t, zero, two)[0]) for t in (qx, qy)]
        if low == 0 and qx == qy:  # one and the same variable
            cov, q[1], below, above = q[0], q[0], zero, 4 * q[0]
        cov = (above - below) / 4
    slope = mp.nan
    if f.continuous:
        if f.slope_mp is not None and qx * qy > 0:
            slope = f.slope_mp(qx, qy, low, high)
        else:
            d = f.slope_np
            slope = mpf(pair_integrals(d, d, f.kinks, f.kinks, qx, qy, low, high)[0])
    return q[0], q[1], cov, below, above, slope


def deep(x, y, stack, weight_variance=1.0, bias_variance=0.0, readout=False):
    """Conjugate and tangent kernel of two vectors, as mpf (tangent NaN above a discontinuous activation).

    `stack` holds one Phi a layer; variances are numbers or one a layer (one more with `readout`).
    """
    with mp.workdps(DIGITS):
        count = len(stack) + int(readout)
        wv, bv = (
            [mpf(float(s)) for s in (v if np.ndim(v) else [v] * count)]
            for v in (weight_variance, bias_variance)
        )
        x, y = [mpf(float(s)) for s in x], [mpf(float(s)) for s in y]
        d = len(x)
        qx, qy = (wv[0] * mp.fsum(s * s for s in v) / d + bv[0] for v in (x, y))
        minus = wv[0] * mp.fsum((s - t) ** 2 for s, t in zip(x, y, strict=True)) / d
        plus = wv[0] * mp.fsum((s + t) ** 2 for s, t in zip(x, y, strict=True)) / d + 4 * bv[0]
        theta = (plus - minus) / 4
        for level, f in enumerate(stack):
            qx, qy, cov, minus, plus, slope = _layer(f, qx, qy, minus, plus)
            theta = cov + (theta * slope if theta else mpf(0))
            if level + 1 < count:
                w, b = wv[level + 1], bv[level + 1]
                qx, qy, cov = w * qx + b, w * qy + b, w * cov + b
                minus, plus, theta = w * minus, w * plus + 4 * b, w * theta + b
        return cov, theta


def deep_matrix(X, stack, Y=None, pairs=None, **options):
    """Both kernels as float arrays; with `pairs`, arrays over these index pairs only."""
    Y = X if Y is None else Y
    chosen = [(i, j) for i in range(len(X)) for j in range(len(Y))] if pairs is None else pairs
    both = np.array([[float(v) for v in deep(X[i], Y[j], stack, **options)] for i, j in chosen]).T
    return both if pairs is not None else both.reshape(2, len(X), len(Y))


# ----------------------------------------------------------------------------------------- simulation


def simulate(X, stack, widths, rng, weight_variance=1.0, bias_variance=0.0, sparsity=None):
    """Empirical conjugate kernel of one random network; ternary weights where a sparsity is given.

    Entries of the weights have mean 0 and variance weight_variance/fan-in; ternary ones are 0 with
    probability `sparsity`, else plus or minus one value. Biases are Gaussian.
    """
    h = np.asarray(X, float)
    for f, width in zip(stack, widths, strict=True):
        fan = h.shape[1]
        if sparsity is None:
            W = rng.standard_normal((width, fan))
        else:
            side = (1 - sparsity) / 2
            W = rng.choice([-1.0, 0.0, 1.0], (width, fan), p=[side, sparsity, side]) / math.sqrt(1 - sparsity)
        bias = math.sqrt(bias_variance) * rng.standard_normal(width)
        h = f.np(h @ W.T * math.sqrt(weight_variance / fan) + bias)
    return h @ h.T / widths[-1]


# -------------------------------------------------------------------- the references against each other

CORRELATIONS = (-1.0, -1 + 1e-12, -0.999, -0.5, 0.0, 0.3, 0.9, 1 - 1e-6, 1 - 1e-12, 1.0)


def compare_duals(names, variances=((1.0, 1.0), (0.25, 4.0), (2.25, 2.2)), correlations=CORRELATIONS):
    """Largest difference between the rule in NumPy and closed forms or the series, relative to the scale."""
    worst = 0.0
    for name in names:
        f = phi(name, **NAMED[name])
        for qx, qy in variances:
            for g, kinks, closed in ((f.np, f.kinks, f.dual_mp), (f.slope_np, f.kinks, f.slope_mp)):
                if g is None:
                    continue
                scale = math.sqrt(
                    pair_integrals(g, g, kinks, kinks, qx, qx, 0, 2)[0]
                    * pair_integrals(g, g, kinks, kinks, qy, qy, 0, 2)[0]
                )
                for rho in correlations:
                    low, high = 1 - mpf(rho), 1 + mpf(rho)
                    got = pair_integrals(g, g, kinks, kinks, qx, qy, low, high)[0]
                    with mp.workdps(DIGITS):
                        if closed is not None:
                            want = closed(mpf(qx), mpf(qy), low, high)
                        elif g is f.np and abs(rho) <= 0.9:
                            want, tail = mehler(f, rho, qx, qy)
                            if tail > 1e-17:
                                continue
                        else:
                            continue
                        worst = max(worst, float(abs(got - want)) / scale)
    return worst


if __name__ == "__main__":
    mp.dps = DIGITS
    for which, settings in NAMED.items():
        function = phi(which, **settings)
        closed_forms = [closed_coefficient(which, k, **settings) for k in range(ORDER + 1)]
        if closed_forms[0] is not None:
            pairs = zip(coefficients(function), closed_forms, strict=True)
            print(which, "coefficients", mp.nstr(max(abs(x - y) for x, y in pairs), 2))
        if which != "exp":  # its weight is shifted beyond the reach of the rule
            print(which, "duals", f"{compare_duals([which]):.1e}")
