"""What a spectral functional integrates: the functions, and the transform or bilinear form they meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthde import _validate as check
from fasthde._distribution import Distribution
from fasthde._kernels.chain import AFFINE, INVERSE, POISSON, SAMPLE, SEMICIRCLE
from fasthde.equivalents import _check_law, equivalent
from fasthde.laws import Law
from fasthde.spikes import spike_law

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Numbers = NDArray[Any]  # float64 or complex128
Function = Callable[[Numbers], Any]
Functions = Function | Sequence[Function]

EPS = float(np.finfo(float).eps)

#: Entries of a block of points times levels, or of nodes times nodes.
BLOCK = 1 << 18


# ------------------------------------------------------------------------------------------------ arguments


class Named(NamedTuple):
    """A function and what to call it in messages."""

    name: str
    f: Function


def distribution_of(law: Any) -> Distribution:
    if not isinstance(law, Distribution):
        raise TypeError(
            f"law must be a Law or another distribution of this package; got {type(law).__name__}. "
            "Build one with fh.sample_covariance(H, ratio) and its kin."
        )
    return law


def functions_of(f: Any) -> list[Named]:
    """The functions, behind the constant 1 that counts eigenvalues and checks the contours."""
    one = Named("1", np.ones_like)
    if callable(f):
        return [one, Named("f", f)]
    if not isinstance(f, Sequence) or not f or not all(callable(g) for g in f):
        raise TypeError(
            f"f must be a vectorised function or a non-empty list of them; got {type(f).__name__}. "
            "Use NumPy functions, as in lambda x: np.log(x)."
        )
    return [one, *(Named(f"f[{i}]", g) for i, g in enumerate(f))]


def evaluate(fs: Sequence[Named], x: Numbers) -> Numbers:
    """f(x) of each function, shape (functions, points)."""
    rows = []
    with np.errstate(all="ignore"):
        for name, f in fs:
            row = np.asarray(f(x))
            if row.shape != x.shape:
                raise ValueError(
                    f"{name} must be vectorised: {name}(x) of shape {x.shape} came out as {row.shape}. "
                    "Use NumPy functions."
                )
            if row.dtype.kind not in "biufc":
                raise TypeError(f"{name} must return numbers; got dtype {row.dtype}. Use NumPy functions.")
            rows.append(row)
    return np.array(rows)


def finite_values(fs: Sequence[Named], x: Array) -> Numbers:
    """The same on the continuous spectrum, where all must be finite."""
    values = evaluate(fs, x)
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{fs[i].name} must be finite on the spectrum; {fs[i].name}({x[j]:.6g}) = {values[i, j]}. "
            "Leave that part out with domain=, or change the function there."
        )
    return values


class Task(NamedTuple):
    """What a contour integral needs to know."""

    target: Target
    fs: Sequence[Named]
    window: tuple[float, float]
    points: Complex  # singular points of the functions, Im >= 0
    rtol: float


class Target(NamedTuple):
    """What f is integrated against: a transform, its density over the law's, and its point masses."""

    law: Distribution
    transform: Callable[[Complex], Complex]  # in the closed upper half-plane, off the spectrum
    ratio: Callable[[Array], Array] | None  # on the support
    where: Array
    mass: Array
    steep: bool = False  # the ratio is infinite at the edges


def target_of(law: Distribution, a: Any, b: Any, overlap: Any, spikes: Any) -> Target:
    bilinear = a is not None or overlap is not None
    if b is not None and a is None:
        raise TypeError("b goes with a; got b alone. Pass a as well, or their products as overlap.")
    extra = np.empty(0)
    if spikes is not None:
        extra = np.atleast_1d(check.finite("spikes", check.real_array("spikes", spikes)))
        if extra.ndim != 1:
            raise ValueError(f"spikes must be one-dimensional; got shape {extra.shape}.")
    if not bilinear and not extra.size:
        where = law.atoms
        return Target(
            law, law.stieltjes, None, np.array([x for x, _ in where]), np.array([m for _, m in where])
        )
    _check_law(law, "a bilinear form" if bilinear else "spikes")
    assert isinstance(law, Law)
    if bilinear:
        values = np.concatenate((law.spectrum.values, extra))
        return _bilinear(law, values, _overlap(values.size, a, b, overlap))
    return _spiked(law, extra)


def _overlap(size: int, a: Any, b: Any, overlap: Any) -> Array:
    if overlap is not None and a is not None:
        raise TypeError("give a and b, or overlap, not both: overlap holds the products a_i b_i.")
    given = {"overlap": overlap} if overlap is not None else {"a": a, "b": a if b is None else b}
    product = np.ones(size)
    for name, value in given.items():
        array = check.same_length(name, check.real_array(name, value), "levels and spikes", size)
        product = product * check.finite(name, array)
    return product


def domain_of(domain: Any, target: Target) -> tuple[float, float]:
    if domain is None:
        return -np.inf, np.inf
    ends = check.real_array("domain", domain)
    if ends.shape != (2,) or not ends[0] < ends[1]:
        raise ValueError(f"domain must be (low, high) with low < high; got {domain!r}.")
    for end in ends:
        for low, high in (*target.law.support, *zip(target.where, target.where, strict=True)):
            if low <= end <= high:
                part = (
                    f"the interval [{low:.6g}, {high:.6g}]" if low < high else f"the isolated point {low:.6g}"
                )
                raise ValueError(
                    f"domain must end off the spectrum; {end:.6g} lies in {part} of it. "
                    "Choose ends in the gaps of law.support, or -inf and inf."
                )
    return float(ends[0]), float(ends[1])


def singular_points(singularities: Any, window: tuple[float, float], target: Target) -> Complex:
    """Singular points of f in the upper half-plane (a mirror image obstructs as much)."""
    if singularities is None:
        return np.empty(0, np.complex128)
    raw = np.atleast_1d(np.asarray(singularities))
    if raw.ndim != 1 or raw.dtype.kind not in "biufc" or np.isnan(raw).any():
        raise ValueError(
            f"singularities must be a list of real or complex numbers; got {singularities!r}. "
            "For a branch cut give the points where it comes nearest to the spectrum."
        )
    points = raw.astype(np.complex128)
    points = points.real + 1j * np.abs(points.imag)
    for low, high in parts_of(target, window)[0]:
        bad = (points.imag == 0.0) & (points.real >= low) & (points.real <= high)
        if bad.any():
            raise ValueError(
                f"singularities must lie off the spectrum; {points[bad][0].real:.6g} lies in [{low:.6g}, {high:.6g}]. "
                'Leave it out and use method="real".'
            )
    return np.asarray(points)


def parts_of(
    target: Target, window: tuple[float, float]
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Components of the spectrum inside and outside the window, ascending."""
    parts = sorted(
        (float(u), float(v)) for u, v in (*target.law.support, *zip(target.where, target.where, strict=True))
    )
    inside = [part for part in parts if window[0] < part[0] < window[1]]
    return inside, [part for part in parts if part not in inside]


# -------------------------------------------------------------------------------------- forms and spikes


def cauchy_sum(values: Array, weights: Array, s: Complex, power: int = 1) -> Complex:
    """Sums of weights/(values - s)**power at each s; weights of shape (levels,) or (levels, columns)."""
    out = np.empty((s.size, *weights.shape[1:]), np.complex128)
    step = max(1, BLOCK // max(values.size, 1))
    for i in range(0, s.size, step):
        part = s[i : i + step, None]
        gap = values - part.real  # in real arithmetic: five times faster
        scale = 1.0 / (gap * gap + part.imag**2)
        a, b = gap * scale, part.imag * scale
        if power == 1:
            x, y = a, b
        elif power == 2:
            x, y = a * a - b * b, 2.0 * a * b
        else:
            x, y = a * (a * a - 3.0 * b * b), b * (3.0 * a * a - b * b)
        out[i : i + step] = x @ weights + 1j * (y @ weights)
    return out


class _Form(NamedTuple):
    """A form of the resolvent: its transform, and its isolated poles beside the law's atoms."""

    transform: Callable[[Complex], Complex]
    where: Array
    mass: Array
    size: float  # total mass in absolute value


def _bilinear(law: Law, values: Array, overlap: Array) -> Target:
    """``a' Q b`` of the deterministic equivalent, with the isolated eigenvalues of spikes."""
    H = law.spectrum
    spiked = ~np.isin(values, H.values[H.multiplicity > 0.0])  # nothing else detaches
    own = np.zeros(values.size)
    own[: H.values.size] = H.multiplicity / H.multiplicity.sum()
    both = np.stack((own, overlap), axis=1)

    def form(part: Law) -> _Form:
        def transform(z: Complex) -> Complex:
            Q = equivalent(part, z)
            return np.asarray(Q.factor * cauchy_sum(values, overlap, Q.omega))

        found = spike_law(part, values[spiked])
        out = np.asarray(found.detached)
        mass = (found.alignment * overlap[spiked])[out]
        return _Form(transform, found.location[out], mass, float(np.abs(overlap).sum()))

    def ratio(x: Array) -> Array:
        m, s = law._solve(x.astype(np.complex128))[:2]
        trace, bilinear = cauchy_sum(values, both, s).T
        return np.asarray((m * bilinear / trace).imag / m.imag)

    return _collect(law, form, ratio)


def _spiked(law: Law, spikes: Array) -> Target:
    """Normalised trace where r of the p eigenvalues of C are spikes, to first order in 1/p."""
    H = law.spectrum
    if H.is_measure:
        raise TypeError(
            "spikes in the trace form count 1/p each, and the law's spectrum is a measure without dimension; "
            "build it with multiplicity=."
        )
    touched = [x for x, _ in law.atoms if np.isin(x, law.support)]
    if touched:
        raise ValueError(
            "spikes in the trace form need atoms apart from the support; this law's support reaches the atom at "
            f"{touched[0]:g}. Put the spikes into the law's spectrum."
        )
    p, count = H.dimension, spikes.size
    values = np.concatenate((spikes, H.values))
    weights = np.concatenate((np.ones(count), -count * H.multiplicity / p)) / p

    def moved(s: Complex) -> Complex:
        return np.asarray(cauchy_sum(values, weights, s) / _slope(law, s))

    def form(_: Law) -> _Form:
        def transform(z: Complex) -> Complex:
            Q = equivalent(law, z)
            return np.asarray(Q.stieltjes + moved(Q.omega))

        found = spike_law(law, spikes)
        where = found.location[np.asarray(found.detached)]
        return _Form(transform, where, np.full(where.size, 1.0 / p), 1.0)

    def ratio(x: Array) -> Array:
        Q = equivalent(law, x, side="+")
        return np.asarray(1.0 + moved(Q.omega).imag / Q.stieltjes.imag)

    return _collect(law, form, ratio)._replace(steep=True)


def _collect(law: Law, form: Callable[[Law], _Form], ratio: Callable[[Array], Array]) -> Target:
    own = form(law)
    atoms = np.array([x for x, _ in law.atoms])
    mass = np.array([_residue(law, float(x), form) for x in atoms])
    mass[np.abs(mass) < 1e-14 * np.abs(mass).max(initial=own.size)] = 0.0
    return Target(
        law, own.transform, ratio, np.concatenate((atoms, own.where)), np.concatenate((mass, own.mass))
    )


def _residue(law: Law, x: float, form: Callable[[Law], _Form]) -> float:
    """Mass of a form at an atom of the law, by the trapezoidal rule on a circle around it.

    Where the support reaches the atom (a hard edge), in the law before the step that made it so: such steps
    keep the mass at 0. A last shift and scaling only move it.
    """
    here = form(law)
    others = np.concatenate(
        (law.support.ravel(), [y for y, _ in law.atoms if y != x], here.where[here.where != x])
    )
    gap = float(np.abs(others - x).min(initial=np.inf))
    last = law._steps[-1] if len(law.kinds) else None
    if last is not None and last.kind == AFFINE:
        before = law._then(replace=1)
        return _residue(
            before, min((y for y, _ in before.atoms), key=lambda y: abs(last.a * y + last.b - x)), form
        )
    if last is not None and gap == 0.0 and x == 0.0 and last.kind in (SAMPLE, INVERSE):
        return _residue(law._then(replace=1), 0.0, form)
    radius = 0.5 * gap if np.isfinite(gap) else max(1.0, abs(x))
    turn = np.exp(1j * np.pi * np.arange(33) / 32)
    turn[-1] = -1.0
    terms = (here.transform(x + radius * turn) * turn).real
    terms[[0, -1]] *= 0.5
    return -radius * float(terms.sum()) / 32.0


def _slope(law: Law, s: Complex) -> Complex:
    """dz/ds of a chain at complex s."""
    ops, par, tau, u = law._chain.law[:4]
    H = law.spectrum
    w = H.multiplicity / H.multiplicity.sum()
    z, dz = s.copy(), np.ones_like(s)
    m, dm = cauchy_sum(H.values, w, s), cauchy_sum(H.values, w, s, 2)
    for op, (p, q, r, *_) in zip(ops, par, strict=True):
        y, dy = 1.0 + z * m, dz * m + z * dm
        if op == AFFINE:
            z, dz, m, dm = p * z + q, p * dz, m / p, dm / p
        elif op == SEMICIRCLE:
            z, dz = z - p * m, dz - p * dm
        elif op == POISSON:
            values, share = tau[int(q) : int(r)], u[int(q) : int(r)]
            part = 1.0 / (1.0 + p * m[:, None] * values)
            z = z + part @ (share * values)
            dz = dz - dm * (part**2 @ (p * share * values**2))
        else:  # z is multiplied by e, and m divided: 1 - c y, or 1/(1 - c + c y)
            if op == SAMPLE:
                e, de = 1.0 - p * y, -p * dy
            else:
                e = 1.0 / (1.0 - p + p * y)
                de = -p * dy * e * e
            z, dz, m, dm = z * e, dz * e + z * de, m / e, (dm - m / e * de) / e
    return np.asarray(dz)
