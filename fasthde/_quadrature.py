"""Two routes to an integral over a spectrum: pieces of the real axis, and contours around it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _series
from fasthde._distribution import Distribution
from fasthde._targets import (
    EPS,
    Array,
    Complex,
    Named,
    Numbers,
    Target,
    Task,
    evaluate,
    finite_values,
    parts_of,
)

#: Contours tried, as fractions of the widest one: a function that grows off the axis needs a tight one.
FRACTIONS = (0.5, 0.25, 0.125, 0.0625, 0.03125)

#: Largest number of nodes on the upper half of a contour.
NODES = 2048

#: A real-axis integral whose relative error is larger cannot check a contour.
KNOWN = 1e-4

#: How the reason begins for a function that fails at complex arguments.
RAISED = "it raised"


# --------------------------------------------------------------------------------------------- the real axis


class Axis(NamedTuple):
    """Integrals on the real axis, for each function: value, error, and the integral of its modulus."""

    value: Numbers
    error: Array
    scale: Array
    fraction: float
    nodes: int


def series_of(law: Distribution) -> _series.Series:
    """Quadrature of the continuous part; from the transform alone where a law gives nothing better."""
    kind = type(law)
    if kind._make_series is Distribution._make_series and kind._density is Distribution._density:

        def density(x: Array) -> Array:
            return np.asarray(law.stieltjes(x, side="+").imag / np.pi)

        return _series.build(density, law.support.ravel(), law._powers.ravel(), law._hard.ravel())
    return law._series


def on_axis(target: Target, fs: Sequence[Named], window: tuple[float, float], rtol: float) -> Axis:
    support = target.law.support
    series = series_of(target.law)
    chosen = (support[:, 0] > window[0]) & (support[:, 1] < window[1])
    interval = series._half(np.arange(series.u0.size)) // 2 if support.size else np.empty(0, int)
    piece = np.flatnonzero(chosen[interval])
    value: Numbers = np.zeros(len(fs))
    error, scale, nodes = np.zeros(len(fs)), np.zeros(len(fs)), 0
    if piece.size:
        value, error, scale, nodes = _series.halve(
            lambda a, b, piece: _rule(target, fs, series, a, b, piece), piece, rtol
        )
    fraction = float(series.total[1][chosen].sum()) if support.size else 0.0
    inside = (target.where > window[0]) & (target.where < window[1])
    if target.ratio is None:
        fraction += float(target.mass[inside].sum())
    else:
        fraction += sum(m for x, m in target.law.atoms if window[0] < x < window[1])
    x, mass = target.where[inside], target.mass[inside]
    if x.size:
        at, noise = at_points(fs, x, mass)
        value, error, scale = value + at.sum(axis=1), error + noise, scale + np.abs(at).sum(axis=1)
    return Axis(value, error, scale, fraction, nodes)


def at_points(fs: Sequence[Named], x: Array, mass: Array) -> tuple[Numbers, Array]:
    """Contributions of point masses, and their rounding errors."""
    values = evaluate(fs, x)
    wrong = np.isnan(values) & (mass != 0.0)
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"{fs[i].name} must be defined on the spectrum; {fs[i].name}({x[j]:.6g}) is NaN at a point mass. "
            "Leave it out with domain=, or change the function there."
        )
    step = 2.0**-26
    with np.errstate(all="ignore"):
        terms = np.where(mass == 0.0, 0.0, values * mass)
        tilt = np.abs(evaluate(fs, x * (1.0 + step)) - values) / step
        noise = 4.0 * EPS * np.abs(mass) * (np.abs(values) + np.where(np.isfinite(tilt), tilt, 0.0))
    return terms, np.where(np.isfinite(terms), np.where(mass == 0.0, 0.0, noise), np.inf).sum(axis=1)


def _rule(
    target: Target,
    fs: Sequence[Named],
    series: _series.Series,
    a: Array,
    b: Array,
    piece: NDArray[np.int64],
) -> tuple[Numbers, Array, Array]:
    """Integrals over pieces, of moduli, and rounding errors: each of shape (functions, pieces).

    Rounding: of f and of the weights, of x in f, and of the density, by the last coefficients of its series.
    """
    x, w = series.rule(a, b, piece)
    density = np.abs(w)
    if target.ratio is not None:
        factor = target.ratio(x.ravel()).reshape(x.shape)
        w, density = w * factor, density * (1.0 + np.abs(factor))
    values = finite_values(fs, x.ravel()).reshape(len(fs), *x.shape)
    terms = values * w
    size = np.abs(values)
    with np.errstate(over="ignore"):  # next to a singularity
        tilt = np.abs(np.diff(values, axis=2)) / np.maximum(np.abs(np.diff(x, axis=1)), 1e-300)
    tilt = np.concatenate((tilt, tilt[:, :, -1:]), axis=2) * np.abs(x)
    relative = 4.0 + (_tail(series, a, b, piece) / EPS)[:, None] + np.zeros_like(x)
    if target.steep:  # the rounding of x against its distance from the edge
        edge = series.halves[0][series._half(piece)][:, None]
        relative += np.abs(x) / np.maximum(np.abs(x - edge), EPS * np.abs(x))
    noise = EPS * ((size * relative + tilt) * density).sum(axis=2)
    return terms.sum(axis=2), np.abs(terms).sum(axis=2), noise


def _tail(series: _series.Series, a: Array, b: Array, piece: NDArray[np.int64]) -> Array:
    """Last coefficients of each part's series, relative to the density in its middle."""
    middle = np.abs(_series._rows(series.pdf[piece], 0.5 * (a + b)[:, None] - 1.0)[:, 0])
    tail = np.abs(series.pdf[piece, -3:]).max(axis=1)
    return np.asarray(np.minimum(tail / np.maximum(middle, 1e-300), 1.0))


# -------------------------------------------------------------------------------------------------- contours


class Contour(NamedTuple):
    """An ellipse in ``log((z - left)/(right - z))``, foci at the ends of what it encloses."""

    left: float
    right: float
    middle: float
    long: float
    short: float

    def at(self, part: Array) -> tuple[Complex, Complex]:
        """Points at parts of the upper half, from 0 to 1, and their derivatives by the angle, halved at the ends.

        The halves are the weights of the trapezoidal rule; the ends are real.
        """
        ends = (part == 0.0) | (part == 1.0)
        sine, cosine = np.where(ends, 0.0, np.sin(np.pi * part)), np.cos(np.pi * part)
        turn = self.middle + self.long * cosine + 1j * self.short * sine
        width = self.right - self.left
        below, above = width / (1.0 + np.exp(-turn)), width / (1.0 + np.exp(turn))
        slope = (-self.long * sine + 1j * self.short * cosine) * np.where(ends, 0.5, 1.0)
        return np.asarray(self.left + below), np.asarray(below * above / width * slope)


def contour_around(
    low: float, high: float, barriers: Array, points: Complex, fraction: float
) -> tuple[Contour, int]:
    """A contour around [low, high] between the barriers on the axis, inside singular points, and a node count.

    Half of the way out (fraction 1/2) balances the two rates of convergence; the count is for 16 digits.
    """
    width = high - low if high > low else 0.1 * (abs(low) or 1.0)
    left = float(np.max(barriers[barriers < low], initial=low - 2.0 * width))
    right = float(np.min(barriers[barriers > high], initial=high + 2.0 * width))
    start = math.log((low - left) / (right - low))
    stop = math.log((high - left) / (right - high))
    middle, half = 0.5 * (start + stop), 0.5 * (stop - start)
    short = np.pi * fraction
    far = points[(points.real != left) & (points.real != right)]
    if far.size:
        with np.errstate(all="ignore"):
            place = np.log((far - left) / (right - far)) - middle
            # the ellipse through the nearest point
            sum_ = 0.5 * (np.abs(place - half) + np.abs(place + half))
            reach = float(np.nanmin(np.sqrt(np.maximum(sum_**2 - half**2, 0.0))))
        short = fraction * min(np.pi, reach)
    rate = math.asinh(short / half) if half > 0.0 else math.log(2.0)
    count = min(NODES, max(16, math.ceil(20.0 / rate)))
    return Contour(left, right, middle, math.hypot(half, short), short), count


def _contours(task: Task, fraction: float, apart: bool) -> list[tuple[Contour, int]]:
    """Contours around the spectrum in the window: one around all where nothing is in the way, or one for each part."""
    inside, outside = parts_of(task.target, task.window)
    points = task.points
    real = points[points.imag == 0.0].real
    groups: list[tuple[float, float]] = []
    for low, high in inside:
        if groups and low <= groups[-1][1]:  # a point mass at an edge
            groups[-1] = (groups[-1][0], max(high, groups[-1][1]))
        elif groups and not apart and not ((real > groups[-1][1]) & (real < low)).any():
            groups[-1] = (groups[-1][0], high)
        else:
            groups.append((low, high))
    found = []
    for low, high in groups:
        others = [end for part in (*groups, *outside) if part != (low, high) for end in part]
        barriers = np.concatenate((others, real, [0.0] if low > 0.0 or high < 0.0 else []))
        found.append(contour_around(low, high, barriers, points[points.imag > 0.0], fraction))
    return found


class _Ring(NamedTuple):
    """Contour integrals: value and error for each function, which of them agree with the real axis, why others not."""

    value: Numbers
    error: Array
    good: NDArray[np.bool_]
    reasons: list[str]
    nodes: int


def compare(task: Task, axis: Axis, improve: bool) -> _Ring:
    """Contour integrals, on ever tighter contours until they agree with the real axis (improve: to rtol)."""
    count = len(task.fs)
    value, error = np.zeros(count, axis.value.dtype), np.full(count, np.inf)
    good, reasons, nodes = np.zeros(count, bool), [""] * count, 0
    attempts = [(fraction, False) for fraction in FRACTIONS]
    if len(parts_of(task.target, task.window)[0]) > 1:
        attempts += [(FRACTIONS[0], True), (FRACTIONS[2], True)]
    target_error = task.rtol * axis.scale
    for fraction, apart in attempts:
        wanted = np.where(improve | (axis.error > target_error), error > target_error, ~good)
        wanted &= np.isfinite(axis.value)
        todo = [int(i) for i in np.flatnonzero(wanted) if not reasons[i].startswith(RAISED)]
        if not todo:
            break
        total, doubt, used = _around_all(task, todo, axis, (fraction, apart), reasons)
        nodes += used
        near = (np.abs(total - axis.value) <= 4.0 * (doubt + axis.error)) & (axis.error <= KNOWN * axis.scale)
        sharp = doubt <= np.maximum(1e3 * target_error, 10.0 * axis.error)
        if todo[0] == 0 and sharp[0] and abs(total[0] - axis.value[0]) > 4.0 * (doubt[0] + axis.error[0]):
            raise ArithmeticError(
                f"contours count a mass of {total[0]} where the real axis counts {axis.value[0]}; "
                "please report this law: " + repr(task.target.law)
            )
        for i in todo:
            if sharp[i] and near[i] and doubt[i] < error[i]:
                value[i], error[i], good[i] = total[i], doubt[i], True
            elif not reasons[i]:
                reasons[i] = f"it integrates to {total[i]:.12g} on the widest"
    return _Ring(value, error, good, reasons, nodes)


def _around_all(
    task: Task, todo: list[int], axis: Axis, attempt: tuple[float, bool], reasons: list[str]
) -> tuple[Numbers, Array, int]:
    """Integrals over all contours of one attempt: value and error of each function, NaN for those left out."""
    real = axis.value.dtype.kind != "c"
    total, doubt, nodes = np.full(len(task.fs), np.nan, axis.value.dtype), np.full(len(task.fs), np.nan), 0
    total[todo], doubt[todo] = 0.0, 0.0
    for contour, start in _contours(task, *attempt):
        part, uncertain, used = _around(task, todo, contour, start, axis.scale, real, reasons)
        total[todo] += part.real if real else part
        doubt[todo] += uncertain
        nodes += used
    return total, doubt, nodes


def _around(
    task: Task, todo: list[int], contour: Contour, start: int, scale: Array, real: bool, reasons: list[str]
) -> tuple[Complex, Array, int]:
    """Integrals around one contour: nodes on the upper half are doubled, the old ones kept, until two values agree."""
    count = start
    value, noise = _trapezoid(task, todo, contour, np.arange(count + 1) / count, real, reasons)
    value, noise, used = value / count, noise / count, count + 1
    while True:
        between = (np.arange(count) + 0.5) / count
        part, more = _trapezoid(task, todo, contour, between, real, reasons)
        used += count
        error = 0.5 * np.abs(value - part / count)
        value, noise = 0.5 * (value + part / count), 0.5 * (noise + more / count)
        enough = (error + noise <= task.rtol * scale[todo]) | (error <= noise) | ~np.isfinite(error)
        count *= 2
        if enough.all() or 2 * count > max(NODES, 4 * start):
            return value, np.where(np.isfinite(error), error + noise, np.inf), used


def _trapezoid(
    task: Task, todo: list[int], contour: Contour, part: Array, real: bool, reasons: list[str]
) -> tuple[Complex, Array]:
    """Sum of ``-f F dz/(2 pi i)`` over nodes of the upper half and their mirror images, and its rounding error."""
    z, dz = contour.at(part)
    with np.errstate(all="ignore"):
        factor = task.target.transform(z) * dz
        upper = complex_values(task.fs, todo, z, reasons)
        terms = upper * factor
        if real:
            sums = -terms.imag.sum(axis=1) + 0j
        else:  # f(conj z) is not conj f(z)
            lower = complex_values(task.fs, todo, z.conj(), reasons)
            sums = 0.5j * (terms - lower * factor.conj()).sum(axis=1)
        tilt = np.abs(np.diff(upper, axis=1)) / np.maximum(np.abs(np.diff(z)), 1e-300) * np.abs(z[1:])
        tilt = np.concatenate((tilt[:, :1], tilt), axis=1)
        noise = EPS * ((16.0 * np.abs(upper) + tilt) * np.abs(factor)).sum(axis=1)
    return sums, noise


def complex_values(fs: Sequence[Named], todo: list[int], z: Complex, reasons: list[str]) -> Complex:
    """f(z) at complex points; NaN from a function that does not take them."""
    rows = np.full((len(todo), z.size), np.nan, np.complex128)
    for row, i in enumerate(todo):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                rows[row] = evaluate([fs[i]], z)[0]
        except Exception as problem:  # whatever a user's function raises for complex numbers
            reasons[i] = f"{RAISED} {type(problem).__name__} for complex arguments: {problem}"
    return rows


def refuse(fs: Sequence[Named], ring: _Ring, axis: Axis) -> None:
    """Name the first function whose contour integral is not the sum over the spectrum."""
    for i, (name, _) in enumerate(fs):
        if ring.good[i]:
            continue
        if not np.isfinite(axis.value[i]):
            raise ValueError(
                f'{name} must be finite on the spectrum for method="contour"; its sum is {axis.value[i]}. '
                "Leave the point mass where it is infinite out with domain=."
            )
        raise ValueError(
            f'{name} must be analytic inside the contours around the spectrum for method="contour": '
            f"{ring.reasons[i]}, and to {axis.value[i]:.12g} on the real axis. A pole or a branch cut within? "
            'Name it with singularities=, or use method="real", which needs no analytic function.'
        )
