"""Named models: the law of the weights of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fasthde.hessian._cells import Array, Cells, Cut, Source, make_cells
from fasthde.hessian._weights import WeightLaw, pack

#: Half-width of the range of a standard normal variable: the tail beyond has probability 1e-60.
_RANGE = 16.5


class Plane(NamedTuple):
    """The plane of ``C^1/2 w`` and ``C^1/2 w*``: u = a s1, v = b s1 + c s2; basis U = C^1/2 [w, w*] T."""

    a: float
    b: float
    c: float
    turn: Array

    @property
    def rank(self) -> int:
        return int(self.turn.shape[1])


def plane_of(t: Array, w: Array, w_star: Array) -> Plane:
    """Gram-Schmidt in the metric of C; coordinates (levels, d)."""

    def product(x: Array, y: Array) -> float:
        return float(np.sum(t[:, None] * x * y))

    first, second = product(w, w), product(w_star, w_star)
    if first == 0.0:
        if second == 0.0:
            return Plane(0.0, 0.0, 0.0, np.zeros((2, 0)))
        return Plane(0.0, second**0.5, 0.0, np.array([[0.0], [second**-0.5]]))
    a = first**0.5
    b = product(w, w_star) / a
    rest = w_star - (b / a) * w
    c = product(rest, rest) ** 0.5
    if c <= 1e-14 * max(second**0.5, 1e-300):
        return Plane(a, b, 0.0, np.array([[1.0 / a], [0.0]]))
    return Plane(a, b, c, np.array([[1.0 / a, -b / (a * c)], [0.0, 1.0 / c]]))


def normal(t: Array) -> Array:
    return np.asarray(np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi))


def along(angle: float) -> Callable[[Array], Array]:
    """Channels of a variable t = cos(angle) s1 + sin(angle) s2, the other coordinate integrated out."""
    p, q = np.cos(angle), np.sin(angle)

    def channels(t: Array) -> Array:
        f, s = normal(t), t * t
        return np.stack([f, f * (p * p * s + q * q), f * (p * q * (s - 1.0)), f * (q * q * s + p * p)])

    return channels


def standard_breaks(extra: tuple[float, ...] = ()) -> Array:
    return np.unique(np.array([-_RANGE, 0.0, _RANGE, *(x for x in extra if abs(x) < _RANGE)]))


def _line(
    g: Callable[[Array], Array], angle: float, limits: tuple[float, float] | None, cut: Cut
) -> WeightLaw:
    """Weights that are a function of one standard normal variable."""
    channels = along(angle)
    source = Source(lambda t, _: g(t), lambda t, _: channels(t), 1, standard_breaks(), 1e-62, 1e-13, 50)
    cells, atoms, masses, _ = make_cells(source, cut.levels)
    return pack(*cut.apply(cells, atoms, masses), cut.limits(limits), False, 0.0)


# --------------------------------------------------------------------------------------------------- the models


def _logistic(plane: Plane, cut: Cut) -> WeightLaw:
    def g(t: Array) -> Array:
        x = np.exp(-np.abs(plane.a * t))
        return np.asarray(x / (1.0 + x) ** 2)

    return _line(g, 0.0, (0.0, 0.25) if plane.a else None, cut)


def _poisson(plane: Plane, cut: Cut) -> WeightLaw:
    if plane.a * _RANGE > 700.0:
        raise ValueError(
            f"w must keep exp(w'x) finite: sqrt(w'Cw) must be below 42; got {plane.a:.4g}. Use a smaller w."
        )
    return _line(lambda t: np.exp(plane.a * t), 0.0, (0.0, np.inf) if plane.a else None, cut)


def _probit(plane: Plane, cut: Cut) -> WeightLaw:
    """Weights r (r + t), r = phi(t)/Phi(t), of t = y u; both signs of y alike, s turned with it."""
    from scipy import special

    d = np.hypot(1.0, plane.c)

    def g(t: Array) -> Array:
        x = np.asarray(plane.a * t)
        far = np.maximum(-x, 4.0)
        rest = far  # r + t as a continued fraction where it cancels
        for k in range(80, 1, -1):
            rest = far + k / rest
        rest = 1.0 / rest
        r = np.sqrt(2.0 / np.pi) / special.erfcx(-np.maximum(x, -4.0) / np.sqrt(2.0))
        return np.where(x < -4.0, rest * (far + rest), r * (r + x))

    def channels(t: Array, _: Any) -> Array:
        # s2 of a sample with y = 1: E[Phi(A + c s2)] and its moments, A = b s1
        at = plane.b * t / d
        f, density = 2.0 * normal(t), normal(at)
        mass = special.ndtr(at)
        return np.stack([
            f * mass, f * t * t * mass, f * t * (plane.c / d) * density,
            f * (mass - (plane.c / d) ** 2 * at * density),
        ])  # fmt: skip

    breaks = standard_breaks((-4.0 / plane.a,)) if plane.a else standard_breaks()
    source = Source(lambda t, _: g(t), channels, 1, breaks, 1e-62, 1e-13, 50)
    if plane.rank == 1 and plane.a == 0.0:  # s1 along w*: y turns it
        return _line(g, 0.0, None, cut)
    cells, atoms, masses, _ = make_cells(source, cut.levels)
    return pack(*cut.apply(cells, atoms, masses), cut.limits((0.0, 1.0) if plane.a else None), False, 0.0)


def _least_squares(plane: Plane, cut: Cut) -> WeightLaw:
    one = np.ones((4, 1))
    one[2] = 0.0
    return pack(*cut.apply(Cells.empty(), np.ones(1), one), None, False, 0.0)


def _bessel_ratio(x: Array) -> Array:
    """K_1(x)/K_0(x) - 1; for large x by the series of its Riccati equation, where the quotient cancels."""
    from scipy import special

    a = [0.0, 0.5]
    for n in range(2, 26):
        a.append(0.5 * ((2 - n) * a[n - 1] - sum(a[i] * a[n - i] for i in range(1, n))))
    near, far = np.minimum(x, 40.0), 1.0 / np.maximum(x, 40.0)
    quotient = special.k1e(near) / special.k0e(near) - 1.0
    return np.where(x < 40.0, quotient, np.polynomial.polynomial.polyval(far, a))


def _phase_retrieval(plane: Plane, cut: Cut) -> WeightLaw:
    """G = 3 u**2 - v**2: a difference of two chi-squares, whose density is a Bessel function."""
    if plane.rank < 2:
        k = 3.0 * plane.a**2 - plane.b**2
        limits = (0.0, np.inf) if k > 0 else (-np.inf, 0.0)
        return _line(lambda t: k * t * t, 0.0, limits if k else None, cut)
    from scipy import special

    form = np.array(
        [[3.0 * plane.a**2 - plane.b**2, -plane.b * plane.c], [-plane.b * plane.c, -(plane.c**2)]]
    )
    values, axes = np.linalg.eigh(form)
    minus, plus = -values[0], values[1]  # g = plus x**2 - minus y**2
    y, x = axes[:, 0], axes[:, 1]
    bend = 0.25 * (1.0 / plus + 1.0 / minus)

    def channels(g: Array, _: Any) -> Array:
        size = np.maximum(np.abs(g), 1e-300)
        up = g > 0.0
        own, other = np.where(up, plus, minus), np.where(up, minus, plus)
        f = special.k0e(bend * size) * np.exp(-0.5 * size / own) / (2.0 * np.pi * np.sqrt(plus * minus))
        # E[x**2 | g], E[y**2 | g] from the mean of 1/k, k = plus cos**2 - minus sin**2
        inverse = 2.0 * bend * _bessel_ratio(bend * size)
        scale = size / (plus + minus)
        large, small = scale * (1.0 + other / own + other * inverse), scale * own * inverse
        x2, y2 = f * np.where(up, large, small), f * np.where(up, small, large)
        return np.stack([
            f, x2 * x[0] ** 2 + y2 * y[0] ** 2, x2 * x[0] * x[1] + y2 * y[0] * y[1], x2 * x[1] ** 2 + y2 * y[1] ** 2,
        ])  # fmt: skip

    far = 2.0 * 138.0
    steps = 8.0 ** -np.arange(22.0)
    breaks = np.concatenate([-far * minus * steps, [0.0], far * plus * steps[::-1]])
    source = Source(lambda g, _: g, channels, 1, np.sort(breaks), 1e-62, 1e-13, 50)
    cells, atoms, masses, _ = make_cells(source, cut.levels)
    return pack(*cut.apply(cells, atoms, masses), cut.limits((-np.inf, np.inf)), False, 0.0)


MODELS: dict[str, Callable[[Plane, Cut], WeightLaw]] = {
    "logistic": _logistic,
    "probit": _probit,
    "poisson": _poisson,
    "phase_retrieval": _phase_retrieval,
    "least_squares": _least_squares,
}
