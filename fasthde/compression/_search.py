"""The step function with given moments that is nearest to an activation."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import ndtri

from fasthde._mesh import legendre
from fasthde.activations import Activation
from fasthde.compression._step import cells, density

Array = NDArray[np.float64]

#: Every level is taken with this probability at least: a huge level that is hardly ever taken matches on paper only.
_RARE = 1e-3

#: A match: no coefficient is off by more, relative to E phi**2.
MATCHED = 1e-12

#: Weight of a coefficient that is free, where the others cannot be matched.
_SOFT = 0.1

_STARTS = 96
_ROUNDS = 120
_REFINED = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Find a step function at argument xi: numbers relative to E phi**2 = 1, phi centred.

    ``target`` holds E[phi xi], E[phi h_2], E phi**2, E[phi**2 (xi**2 - 1)]/2 of phi; ``unit`` what those of the step
    function are multiplied with, powers of tau/scale; ``weight`` is 0 where a coefficient is free.
    """

    target: Array
    unit: Array
    weight: Array
    phi: Cumulative

    def residuals(self, s: Array, c: Array, squares: bool) -> tuple[Array, Array, Array]:
        """Mismatch (S, m) of the m coefficients that count, and its derivatives in s and in c.

        The mean of c is projected out. With squares: of the squares of slope and curvature, as kernels see them.
        """
        P, A, B, g = cells(s)
        d = c - np.sum(c * P, axis=1, keepdims=True)
        jump, square = c[:, :-1] - c[:, 1:], d[:, :-1] ** 2 - d[:, 1:] ** 2
        a2 = np.sum(c * B, axis=1)
        values = np.stack(
            [np.sum(c * A, axis=1), a2, np.sum(d * d * P, axis=1), np.sum(d * d * B, axis=1)], axis=1
        )
        a2 = a2[:, None]
        in_s = np.stack([
            jump * s * g,
            jump * (s * s - 1.0) * g,
            square * g,
            square * (s * s - 1.0) * g - 2.0 * a2 * jump * g,
        ], axis=1)  # fmt: skip
        in_c = np.stack([A, B, 2.0 * d * P, 2.0 * d * B - 2.0 * a2 * P], axis=1)
        values = values * self.unit
        unit = np.broadcast_to(self.unit, values.shape).copy()
        target = self.target
        if squares:
            unit[:, :2] *= 2.0 * values[:, :2]
            values[:, :2] **= 2
            target = np.concatenate([target[:2] ** 2, target[2:]])
        used = self.weight > 0
        w = self.weight[used]
        factor = (w * unit[:, used])[:, :, None]
        return w * (values - target)[:, used], factor * in_s[:, used], factor * in_c[:, used]

    def mismatch(self, s: Array, d: Array) -> Array:
        """The five coefficients of a centred step function less those of phi, slope and curvature squared."""
        P, A, B, _ = cells(s[None])
        values = self.unit * [
            float(np.sum(d * A)), float(np.sum(d * B)), float(np.sum(d * d * P)), float(np.sum(d * d * B))
        ]  # fmt: skip
        a, t = values[:2], self.target[:2]
        return np.concatenate([[float(np.sum(d * P))], (a - t) * (a + t), values[2:] - self.target[2:]])

    def distance(self, s: Array, c: Array) -> tuple[Array, Array, Array]:
        """E (step - phi)**2 and its derivatives."""
        P, _, _, g = cells(s)
        d = c - np.sum(c * P, axis=1, keepdims=True)
        F = np.diff(self.phi(s), axis=1, prepend=0.0, append=0.0)
        value = np.sum(d * d * P, axis=1) + 1.0 - 2.0 * np.sum(c * F, axis=1)
        jump, square = c[:, :-1] - c[:, 1:], d[:, :-1] ** 2 - d[:, 1:] ** 2
        return value, (square - 2.0 * jump * self.phi.values(s)) * g, 2.0 * d * P - 2.0 * F


class Cumulative:
    """E[phi(tau xi) 1(xi < s)] of the centred and normalised phi, by Gauss-Legendre on its smooth pieces."""

    def __init__(self, act: Activation, tau: float, points: int = 200):
        self.act, self.tau = act, tau
        self.quantiles = ndtri(np.arange(1, points) / points)
        inner = act._mesh.breaks(10.0 * tau) / tau
        ends = [np.linspace(-10.0, 10.0, 81), inner[np.abs(inner) < 10.0], self.quantiles]
        self.ends = np.unique(np.concatenate(ends))
        x, w = legendre()
        half = np.diff(self.ends)[:, None] / 2
        t = self.ends[:-1, None] + half + half * x
        parts, values = half * w * density(t), self.values(t)
        self.sums = np.concatenate([[0.0], np.cumsum(np.sum(parts * values, axis=1))])
        self.squares = np.concatenate([[0.0], np.cumsum(np.sum(parts * values**2, axis=1))])

    def values(self, s: Array) -> Array:
        """phi(tau s)."""
        return np.asarray(self.act(self.tau * s))

    def __call__(self, s: Array) -> Array:
        x, w = legendre()
        i = np.clip(np.searchsorted(self.ends, s) - 1, 0, self.ends.size - 2)
        left = self.ends[i]
        half = (s - left)[..., None] / 2
        t = left[..., None] + half + half * x
        return np.asarray(self.sums[i] + np.sum(half * w * density(t) * self.values(t), axis=-1))

    def conditional(self, s: Array) -> Array:
        """E[phi | cell] of the cells between the thresholds s, shape (S, k)."""
        zero = np.zeros((s.shape[0], 1))
        return np.asarray(np.diff(self(s), axis=1, prepend=zero, append=zero) / cells(s)[0])

    def nearest_steps(self, k: int) -> Array:
        """Probabilities of the k cells of the step function nearest to phi, thresholds at quantiles.

        Dynamic programming: the nearest in all, on this grid.
        """
        i = np.concatenate([[0], np.searchsorted(self.ends, self.quantiles), [self.ends.size - 1]])
        P = np.linspace(0.0, 1.0, i.size)
        F, Q = self.sums[i], self.squares[i]
        width = P - P[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = np.where(width > 0, Q - Q[:, None] - (F - F[:, None]) ** 2 / width, np.inf)
        best, back = cost[0], []
        for _ in range(k - 1):
            total = best[:, None] + cost
            back.append(np.argmin(total, axis=0))
            best = np.min(total, axis=0)
        cuts = [i.size - 1]
        for previous in reversed(back):
            cuts.append(int(previous[cuts[-1]]))
        return np.diff(P[[0, *reversed(cuts)]])


def floor_of(k: int) -> float:
    """Smallest probability of one of k levels."""
    return min(_RARE, 0.1 / k)


def _thresholds(z: Array) -> tuple[Array, Array]:
    """Thresholds (S, k - 1) of cells with probabilities softmax(z) kept off 0, and their derivatives in z."""
    k = z.shape[1]
    floor = floor_of(k)
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    soft = e / np.sum(e, axis=1, keepdims=True)
    s = ndtri(np.cumsum(floor + (1.0 - k * floor) * soft, axis=1)[:, :-1])
    slope = (1.0 - k * floor) * (soft[:, :, None] * np.eye(k) - soft[:, :, None] * soft[:, None, :])
    return s, np.cumsum(slope, axis=1)[:, :-1] / density(s)[:, :, None]


def _in_z(problem: Problem, z: Array, c: Array, squares: bool) -> tuple[Array, Array]:
    s, slope = _thresholds(z)
    r, in_s, in_c = problem.residuals(s, c, squares)
    return r, np.concatenate([in_s @ slope, in_c], axis=2)


def _fit(problem: Problem, z: Array, c: Array, squares: bool) -> tuple[Array, Array, Array]:
    """Levenberg-Marquardt from all starts at once; returns z, c and the sums of squares."""
    k = z.shape[1]
    damping = np.full(z.shape[0], 1e-2)
    r, J = _in_z(problem, z, c, squares)
    f = np.sum(r * r, axis=1)
    for _ in range(_ROUNDS):
        if np.count_nonzero(f < 1e-26) > z.shape[0] // 3 or (damping > 1e7).all():
            break
        square = J @ J.transpose(0, 2, 1) + damping[:, None, None] * np.eye(J.shape[1])
        step = -np.squeeze(J.transpose(0, 2, 1) @ np.linalg.solve(square, r[:, :, None]), axis=2)
        step /= np.maximum(np.max(np.abs(step), axis=1, keepdims=True), 1.0)
        z_new, c_new = z + step[:, :k], c + step[:, k:]
        r_new, J_new = _in_z(problem, z_new, c_new, squares)
        f_new = np.sum(r_new * r_new, axis=1)
        good = f_new < f
        z, c, r = (np.where(good[:, None], a, b) for a, b in ((z_new, z), (c_new, c), (r_new, r)))
        J, f = np.where(good[:, None, None], J_new, J), np.where(good, f_new, f)
        damping = np.where(good, np.maximum(damping / 4.0, 1e-14), damping * 4.0)
    return z, c, f


def _nearest(problem: Problem, s: Array, c: Array) -> tuple[Array, Array]:
    """From a match to the match nearest to phi."""
    k = c.size
    lower = np.eye(k, k - 1) - np.eye(k, k - 1, -1)  # derivatives of the probabilities in Phi(s)

    def distance(x: Array) -> tuple[float, Array]:
        value, in_s, in_c = problem.distance(x[None, : k - 1], x[None, k - 1 :])
        return float(value[0]), np.concatenate([in_s[0], in_c[0]])

    def match(x: Array) -> list[Array]:
        return [part[0] for part in problem.residuals(x[None, : k - 1], x[None, k - 1 :], False)]

    constraints = [
        {"type": "eq", "fun": lambda x: match(x)[0], "jac": lambda x: np.concatenate(match(x)[1:], axis=1)},
        {
            "type": "ineq",
            "fun": lambda x: cells(x[None, : k - 1])[0][0] - floor_of(k),
            "jac": lambda x: np.concatenate([lower * density(x[: k - 1]), np.zeros((k, k))], axis=1),
        },
    ]
    found = optimize.minimize(
        distance, np.concatenate([s, c]), jac=True, method="SLSQP", constraints=constraints,
        options={"maxiter": 200, "ftol": 1e-12},
    )  # fmt: skip
    return found.x[: k - 1], found.x[k - 1 :]


def _stationary(problem: Problem, s: Array, c: Array) -> tuple[Array, Array]:
    """The nearest match to rounding, not only to the root of it: Lagrange's equations by Powell's hybrid method."""
    k = c.size
    if 2 * k - 2 <= np.count_nonzero(problem.weight):
        return s, c

    def parts(x: Array) -> tuple[Array, Array, Array]:
        s, c = x[None, : k - 1], x[None, k - 1 :]
        _, *slope = problem.distance(s, c)
        r, *jacobian = problem.residuals(s, c, False)
        P, _, _, g = cells(s)
        mean = np.concatenate([(c[0, :-1] - c[0, 1:]) * g[0], P[0]])
        return (
            np.concatenate(slope, axis=1)[0],
            np.append(r, np.sum(c * P)),
            np.vstack([np.concatenate(jacobian, axis=2)[0], mean]),
        )

    def equations(v: Array) -> Array:
        slope, r, jacobian = parts(v[: 2 * k - 1])
        return np.concatenate([slope + v[2 * k - 1 :] @ jacobian, r])

    x = np.concatenate([s, c])
    slope, _, jacobian = parts(x)
    start = np.concatenate([x, np.linalg.lstsq(jacobian.T, -slope, rcond=None)[0]])
    found = optimize.root(equations, start, method="hybr", options={"xtol": 1e-14})
    y = found.x[: 2 * k - 1]
    # a level at its smallest probability, or one too many: there the equations say nothing
    if np.max(np.abs(y - x)) < 1e-3 and np.max(np.abs(found.fun)) < 1e-12 and (np.diff(y[: k - 1]) > 0).all():
        t, d, size = _polish(problem, y[: k - 1], y[k - 1 :])
        if size < 0.1 * MATCHED:
            return t, d
    return s, c


def _polish(problem: Problem, s: Array, c: Array) -> tuple[Array, Array, float]:
    """Newton's shortest steps onto the match; returns thresholds, centred levels and the largest mismatch."""
    best: tuple[float, Array, Array] = (np.inf, s, c)
    for _ in range(8):
        r, in_s, in_c = problem.residuals(s[None], c[None], False)
        size = float(np.max(np.abs(r)))
        if not size < best[0]:
            break
        best = size, s, c
        step = np.linalg.lstsq(np.concatenate([in_s[0], in_c[0]], axis=1), -r[0], rcond=1e-12)[0]
        s, c = s + step[: s.size], c + step[s.size :]
        if not (np.diff(s) > 0).all():
            break
    size, s, c = best
    return s, c - float(np.sum(c * cells(s[None])[0])), size


def search(problem: Problem, k: int) -> tuple[Array, Array]:
    """Thresholds and centred levels."""
    rng = np.random.default_rng(2022)
    P = np.concatenate([[problem.phi.nearest_steps(k)], rng.dirichlet(np.full(k, 2.0), _STARTS - 1)])
    z = np.log(P + 0.1 * _RARE)
    c = problem.phi.conditional(_thresholds(z)[0])
    c[1::3] += 0.3 * rng.standard_normal(c[1::3].shape)
    c[2::3] += rng.standard_normal(c[2::3].shape)
    z, c, f = _fit(problem, z, c, False)
    found = _matches(problem, z[f < 1e-22], c[f < 1e-22])
    if found:
        # mirror images are equally near: the one with the larger thresholds
        _, s, c = max(found, key=lambda row: (-round(row[0], 9), tuple(row[1].round(6))))
        return _stationary(problem, s, c)
    weight = np.where(problem.weight > 0, problem.weight, _SOFT)
    problem = dataclasses.replace(problem, weight=weight)
    z, c, f = _fit(problem, z, c, True)
    return _least_squares(problem, *(a[np.argsort(f, kind="stable")[:8]] for a in (z, c)))


def _matches(problem: Problem, z: Array, c: Array) -> list[tuple[float, Array, Array]]:
    """Matches to rounding: distances to phi, thresholds, levels. Those with freedom left move as near as they can."""
    if not z.size:
        return []
    k = z.shape[1]
    near = problem.distance(_thresholds(z)[0], c)[0]
    freedom = 2 * k - 2 - np.count_nonzero(problem.weight)
    found = []
    for i in np.argsort(near, kind="stable")[:_REFINED]:
        tries = [(_thresholds(z[i : i + 1])[0][0], c[i])]
        if freedom > 0:
            tries.insert(0, _nearest(problem, *tries[0]))
        for start in tries:
            s, d, size = _polish(problem, *start)
            if size < 0.1 * MATCHED and (np.diff(s) > 0).all():
                found.append((float(problem.distance(s[None], d[None])[0][0]), s, d))
                break
    return found


def _least_squares(problem: Problem, z: Array, c: Array) -> tuple[Array, Array]:
    """The least sum of squared mismatches from several starts."""
    k = z.shape[1]

    def parts(x: Array) -> tuple[Array, Array]:
        r, J = _in_z(problem, x[None, :k], x[None, k:], True)
        return r[0], J[0]

    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    fits = [
        optimize.least_squares(lambda x: parts(x)[0], start, lambda x: parts(x)[1], max_nfev=300, **tight)
        for start in np.concatenate([z, c], axis=1)
    ]
    x = min(fits, key=lambda fit: float(fit.cost)).x
    s = _thresholds(x[None, :k])[0][0]
    return s, x[k:] - float(np.sum(x[k:] * cells(s[None])[0]))
