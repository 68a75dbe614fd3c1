"""Independent high-precision oracles and simulations for the laws.

Nothing here imports the package. "§" refers to the project's page of equations. A chain is a list of
steps applied from left to right to the point spectrum Σ w δ_t (w is divided by its sum, None: equal):

    ("sample_covariance", c)  ("scale", a)  ("shift", b)  ("add_semicircle", v)  ("add_wishart", c, v)
    ("add_compound_poisson", c, values, weights)     M + (1/n) Z diag(tau) Z', Z p x n, tau ~ values
    ("multiply_inverse_wishart", c)                  M^(1/2) (ZZ'/n)^-1 M^(1/2), p/n = c < 1
    ("corner", q)                                    block of qp rows of a randomly rotated M
    ("companion",)                                   n x n Gram matrix of the last sample covariance

Results are mpmath numbers unless a function says otherwise. Run this file to compare everything with
simulation; `_check_*` print predicted / simulated(standard error).
"""

from __future__ import annotations

import warnings
from fractions import Fraction
from functools import partial
from math import comb

import numpy as np
from mpmath import mp, mpc, mpf

pairs = partial(zip, strict=True)

AFFINE = {"scale", "shift", "companion"}


# ------------------------------------------------------------------------------------- chains


def _exact(x):
    """Numbers of a chain as mpf, floats being exact."""
    return x if isinstance(x, mpf | mpc) else mpf(float(x))


def _measure(t, w=None):
    """Distinct atoms in ascending order with weights of sum one, as mpf."""
    w = [1] * len(t) if w is None else list(w)
    mass = {}
    for x, y in pairs(t, w):
        mass[_exact(x)] = mass.get(_exact(x), mpf(0)) + _exact(y)
    total = mp.fsum(mass.values())
    keep = sorted(x for x in mass if mass[x] > 0)
    return keep, [mass[x] / total for x in keep]


def _steps(steps, number=_exact):
    """Steps with their parameters as `number`, weights of compound Poisson steps of sum one."""
    out = []
    for name, *parameters in steps:
        if name == "add_compound_poisson":
            c, values, weights = parameters
            weights = [_exact(x) for x in weights]
            weights = [x / mp.fsum(weights) for x in weights]
            out.append((name, number(c), [number(x) for x in values], [number(x) for x in weights]))
        else:
            out.append((name, *[number(x) for x in parameters]))
    return out


def _start(t, w, s):
    """g = Σ w/(t-s) and its derivative; mpmath for mpmath s, NumPy otherwise."""
    if isinstance(s, mpf | mpc):
        r = [1 / (x - s) for x in t]
        return mp.fsum(map(mp.fmul, w, r)), mp.fsum(y * x * x for x, y in pairs(r, w))
    with np.errstate(all="ignore"):
        r = 1 / (t - s)
        return complex(w @ r), complex(w @ (r * r))


def _walk(t, w, steps, s):
    """Every (z, dz/ds, m, dm/ds) along the chain, and the factor ϕ (None where there is none)."""
    z, dz, phi, ratio, origin = s, s * 0 + 1, s * 0 + 1, None, None
    m, dm = _start(t, w, s)
    states = [(z, dz, m, dm)]
    for name, *a in steps:
        if name == "sample_covariance":
            h, dh = z * m, dz * m + z * dm
            new = z * (1 - a[0] * (1 + h))
            dnew = dz * (1 - a[0] * (1 + h)) - a[0] * z * dh
            phi = phi and phi * z / new
            z, dz, m, dm = new, dnew, h / new, (dh - h / new * dnew) / new
            ratio, origin = a[0], True
        elif name == "multiply_inverse_wishart":
            h, dh = z * m, dz * m + z * dm
            new = z / (1 + a[0] * h)
            dnew = (dz - new * a[0] * dh) / (1 + a[0] * h)
            phi = phi and phi * z / new
            z, dz, m, dm = new, dnew, h / new, (dh - h / new * dnew) / new
            origin = False
        elif name == "scale":
            z, dz, m, dm = a[0] * z, a[0] * dz, m / a[0], dm / a[0]
            phi = phi and phi / a[0]
        elif name == "shift":
            z, origin = z + a[0], False
        elif name == "add_semicircle":
            z, dz, origin = z - a[0] * m, dz - a[0] * dm, False
        elif name == "add_wishart":
            d = 1 + a[0] * a[1] * m
            z, dz, origin = z + a[1] / d, dz - a[0] * a[1] ** 2 * dm / (d * d), False
        elif name == "add_compound_poisson":
            for u, tau in pairs(a[2], a[1]):
                d = 1 + a[0] * tau * m
                z, dz = z + u * tau / d, dz - u * a[0] * tau**2 * dm / (d * d)
            origin = False
        elif name == "corner":
            z, dz = z + (1 - a[0]) / m, dz - (1 - a[0]) * dm / (m * m)
            m, dm, phi, origin = m / a[0], dm / a[0], None, False
        elif name == "companion":
            assert origin, "companion belongs to a sample covariance, scalings only in between"
            m, dm = ratio * m - (1 - ratio) / z, ratio * dm + (1 - ratio) * dz / (z * z)
            phi, origin = None, False
        else:
            raise ValueError(name)
        states.append((z, dz, m, dm))
    return states, phi


def chain_point(t, w, steps, s):
    """The curve at s: (list of z_0..z_L, m, ϕ); ϕ is None after a corner or a companion."""
    s = s if isinstance(s, mpf | mpc) else mp.mpmathify(s)
    states, phi = _walk(*_measure(t, w), _steps(steps), s)
    return [state[0] for state in states], states[-1][2], phi


def _newton(t, w, steps, z, s, tol, limit=60):
    """Root s of z_L(s) = z with the states there, or None."""
    try:
        for _ in range(limit):
            states = _walk(t, w, steps, s)[0]
            move = (z - states[-1][0]) / states[-1][1]
            s = s + move
            if abs(move) <= tol * abs(s):
                return s, _walk(t, w, steps, s)
    except (ZeroDivisionError, OverflowError):
        pass
    return None


def _heights(states):
    return [state[0].imag for state in states]


def _descend(t, w, steps, x, low, tol, unit):
    """Follow the right root from large Im z to x + i·low; yields (s, Im z) at each accepted point.

    By the criterion Im z_j > 0 for all j the root is unique, so every accepted point is right.
    """
    y = (abs(x) + max(abs(v) for v in t) + 1) * 1000
    for _ in range(40):
        far = _walk(t, w, steps, unit * y)[0][-1][0] / (unit * y)
        found = _newton(t, w, steps, x + unit * y, (x + unit * y) / far, tol)
        if found and min(_heights(found[1][0])) > 0:
            break
        y = y * 10
    else:
        raise ArithmeticError("no start")
    s, slope = found[0], 1 / found[1][0][-1][1]
    yield s, y
    shrink = 0.5
    while y > low:
        target = max(y * shrink, low)
        guess = s - unit * (y - target) * slope
        found = _newton(t, w, steps, x + unit * target, guess, tol, 12)
        found = found or _newton(t, w, steps, x + unit * target, s, tol, 12)
        if found and min(_heights(found[1][0])) > 0 and abs(found[0]) < mp.inf:
            s, slope, y = found[0], 1 / found[1][0][-1][1], target
            shrink = max(shrink**1.5, 0.1)
            yield s, y
        else:
            shrink = shrink**0.3
            if shrink > 0.9999:
                return


def _polish(t, w, steps, z, s, dps):
    """Newton at the working precision from s and the criterion; (s, states, ϕ) or None.

    Real z: either Im z_j > 0 before the last free operation, or s real and all dz_j/ds > 0.
    """
    found = _newton(t, w, steps, z, mpc(s), mpf(10) ** (-dps - 10))
    if not found:
        return None
    s, (states, phi) = found
    if z.imag > 0:
        return (s, states, phi) if min(_heights(states)) > 0 else None
    free = max((j for j, step in enumerate(steps) if step[0] not in AFFINE), default=-1) + 1
    small = mpf(10) ** (-dps - 10)
    if abs(s.imag) > small * abs(s):
        ok = all(state[0].imag > small * abs(state[0]) for state in states[:free])
        return (s, states, phi) if ok else None
    found = _newton(t, w, steps, z.real, s.real, mpf(10) ** (-dps - 10))
    if not found:
        return None
    s, (states, phi) = found
    return (s, states, phi) if all(state[1] > 0 for state in states) else None


def _solve(t, w, steps, z, dps):
    """(s, states, ϕ) of the right root at Im z > 0, or of its limit on the real axis."""
    with mp.workdps(dps + 25):
        z = mpc(z)
        assert z.imag >= 0
        t, w = _measure(t, w)
        steps = _steps(steps)
        td, wd = np.array([float(v) for v in t]), np.array([float(v) for v in w])
        plain = _steps(steps, float)
        scale = abs(z) + mpf(10) ** -30
        low = float(z.imag) if z.imag > 0 else float(scale) * 1e-9
        *_, (s, _) = _descend(td, wd, plain, float(z.real), low, 1e-9, 1j)
        found = _polish(t, w, steps, z, s, dps)
        if found:
            return found
        # double precision was not enough: the same descent in mpmath, down to the last digits
        low = z.imag if z.imag > 0 else scale * mpf(10) ** (-dps - 15)
        for s, y in _descend(t, w, steps, z.real, low, mpf(10) ** -15, mpc(0, 1)):
            if y < 1e-3 * scale or y == z.imag:
                found = _polish(t, w, steps, z, s, dps)
                if found:
                    return found
    raise ArithmeticError(f"no root at {z}")


def chain_root(t, w, steps, z, dps=40):
    """The right s for Im z > 0, or its limit for real z, which may not be an edge or an atom.

    Im z_j(s) > 0 at all steps (on the axis: before the last free operation, or s real with all
    dz_j/ds > 0), found by homotopy from large Im z. The criterion singles out one root.
    """
    with mp.workdps(dps):
        return +_solve(t, w, steps, z, dps)[0]


def chain_stieltjes(t, w, steps, z, dps=40):
    """m(z) for Im z > 0; the limit from above for real z."""
    with mp.workdps(dps):
        return +_solve(t, w, steps, z, dps)[1][-1][2]


def chain_density(t, w, steps, x, dps=40):
    """Im m(x + i0)/π on the real axis, 0 outside the support."""
    with mp.workdps(dps):
        return chain_stieltjes(t, w, steps, x, dps).imag / mp.pi


def chain_atoms(t, w, steps):
    """Atoms {location: mass} by the mass rules of free operations."""
    atoms, ratio = dict(pairs(*_measure(t, w))), None
    for name, *a in _steps(steps):
        if name == "sample_covariance":
            atoms, ratio = {mpf(0): max(atoms.get(mpf(0), mpf(0)), 1 - 1 / a[0])}, a[0]
        elif name == "multiply_inverse_wishart":
            atoms = {mpf(0): atoms.get(mpf(0), mpf(0))}
        elif name == "scale":
            atoms = {a[0] * x: v for x, v in atoms.items()}
        elif name == "shift":
            atoms = {a[0] + x: v for x, v in atoms.items()}
        elif name == "add_semicircle":
            atoms = {}
        elif name == "add_wishart":
            atoms = {x: v - 1 / a[0] for x, v in atoms.items()}
        elif name == "add_compound_poisson":
            alive = mp.fsum(u for u, tau in pairs(a[2], a[1]) if tau != 0)
            atoms = {x: v - alive / a[0] for x, v in atoms.items()}
        elif name == "corner":
            atoms = {x: 1 - (1 - v) / a[0] for x, v in atoms.items()}
        elif name == "companion":
            atoms = {mpf(0): ratio * atoms.get(mpf(0), mpf(0)) + 1 - ratio}
        atoms = {x: v for x, v in atoms.items() if v > mpf(10) ** -14}
    return atoms


# ------------------------------------------------------- one sample covariance: polynomial roots


def scm_roots(t, w, c, z, dps=50):
    """All s with z = s(1 - c Σ w t/(t-s)), as roots of a polynomial."""
    with mp.workdps(dps + 15):
        t, w = _measure(t, w)
        keep = [j for j, x in enumerate(t) if x != 0]
        t, w, c, z = [t[j] for j in keep], [w[j] for j in keep], _exact(c), mpc(z)

        def product(roots):  # Π (x - s), ascending powers of s
            out = [mpf(1)]
            for x in roots:
                out = [x * a - b for a, b in pairs([*out, mpf(0)], [mpf(0), *out])]
            return out

        full = product(t)
        inner = list(full)
        for j, (x, y) in enumerate(pairs(t, w)):
            for i, a in enumerate(product(t[:j] + t[j + 1 :])):
                inner[i] -= c * y * x * a
        poly = [a - z * b for a, b in pairs([mpf(0), *inner], [*full, mpf(0)])]
        if z.imag == 0:
            poly = [a.real for a in poly]
        with warnings.catch_warnings():  # the order of coefficients that old and new mpmath both take
            warnings.simplefilter("ignore", DeprecationWarning)
            return mp.polyroots(poly[::-1], maxsteps=500, extraprec=2 * mp.prec)


def _scm_s(t, w, c, z, dps):
    """The root in the upper half plane (one at most); on the real axis None where there is none."""
    up = [s for s in scm_roots(t, w, c, z, dps) if s.imag > mpf(10) ** (-dps // 2) * abs(s)]
    assert len(up) <= 1
    assert up or mpc(z).imag == 0
    return up[0] if up else None


def scm_roots_stieltjes(t, w, c, z, dps=50):
    """m(z), Im z > 0, of a sample covariance from all roots: s is the one in the upper half plane."""
    s = _scm_s(t, w, c, z, dps)
    with mp.workdps(dps):
        t, w = _measure(t, w)
        return mp.fsum(y * s / (z * (x - s)) for x, y in pairs(t, w))


def scm_roots_density(t, w, c, x, dps=50):
    """Density of a sample covariance at real x != 0 from all roots."""
    s = _scm_s(t, w, c, _exact(x), dps)
    if s is None:
        return mpf(0)
    with mp.workdps(dps):
        t, w = _measure(t, w)
        return mp.fsum((y * s / (a - s)).imag for a, y in pairs(t, w)) / (mp.pi * _exact(x))


def scm_edges(t, w, c, dps=40):
    """Support [(a, b), …] of the continuous part of a sample covariance, one critical point at a time.

    D(s) = 1 - c Σ w t²/(s-t)² is concave between poles: its maximum by bisection of D', its zeros on
    either side by bisection in doubles, Newton, and a sign check (else bisection in mpmath). A scan in
    doubles rejects gaps where max D < -1e-4.
    """
    with mp.workdps(dps + 15):
        t, w = _measure(t, w)
        keep = [j for j, x in enumerate(t) if x != 0]
        t, w, c = [t[j] for j in keep], [w[j] for j in keep], _exact(c)

        def rate(s):
            return 1 - c * mp.fsum(y * (x / (s - x)) ** 2 for x, y in pairs(t, w))

        def bend(s):  # D'/(2c), decreasing in every gap
            return mp.fsum(y * x * x / (s - x) ** 3 for x, y in pairs(t, w))

        def image(s):
            return s * (1 - c * mp.fsum(y * x / (x - s) for x, y in pairs(t, w)))

        def bisect(fun, a, b):  # fun(a) < 0 < fun(b) or the reverse, ends not evaluated
            up = fun((a + b) / 2 + (b - a) * (mpf("0.5") - mpf(10) ** -8)) > 0
            for _ in range(mp.prec):
                x = (a + b) / 2
                a, b = (a, x) if (fun(x) > 0) == up else (x, b)
                if abs(b - a) <= mpf(10) ** (-dps - 5) * abs(x):
                    break
            return (a + b) / 2

        td, wd = np.array([float(x) for x in t]), np.array([float(x) for x in w])

        def rough(s):
            return 1 - float(c) * np.sum(wd * (td / (s - td)) ** 2)

        def zero(a, b):  # of D between a (negative) and b (positive): bisection in doubles, then Newton
            low, high = float(a), float(b)
            for _ in range(200):
                x = (low + high) / 2
                if x in (low, high):
                    break
                low, high = (low, x) if rough(x) > 0 else (x, high)
            x = mpf(high)
            for _ in range(12):
                move = rate(x) / (2 * c * bend(x))
                x -= move
                if not min(a, b) < x < max(a, b):
                    break
                if abs(move) <= mpf(10) ** (-dps // 2 - 5) * abs(x):
                    move = (b - a) * mpf(10) ** -dps
                    if rate(x - move) < 0 < rate(x + move):
                        return x
            return bisect(rate, a, b)

        a, b = td[:-1].copy(), td[1:].copy()
        for _ in range(60):
            x = (a + b) / 2
            with np.errstate(all="ignore"):
                right = ((wd * td**2) / (x[:, None] - td) ** 3).sum(1) > 0
            a, b = np.where(right, x, a), np.where(right, b, x)
        with np.errstate(all="ignore"):
            top = 1 - float(c) * ((wd * td**2) / ((a + b)[:, None] / 2 - td) ** 2).sum(1)
        second = mp.fsum(y * x * x for x, y in pairs(t, w))
        far = 2 * (max(map(abs, t)) + mp.sqrt(c * second))
        cuts = [zero(t[0], t[0] - far)]
        for j in np.flatnonzero(top > -1e-4):
            best = mpf((a[j] + b[j]) / 2)
            if top[j] < 1e-4:
                best = bisect(bend, t[j], t[j + 1])
            if rate(best) > 0:
                cuts += [zero(t[j], best), zero(t[j + 1], best)]
        cuts.append(zero(t[-1], t[-1] + far))
        edges = [image(s) for s in cuts]
    with mp.workdps(dps):
        return [(+edges[j], +edges[j + 1]) for j in range(0, len(edges), 2)]


# --------------------------------------------------------------------- edges of a chain, stage by stage


def chain_edges(t, w, steps, dps=40, points=201):
    """Support [(a, b), …] of the continuous part, by brute force; isolated atoms are left out.

    Keeps the intervals of real s on which all steps increase. Each step cuts them at the poles of m
    and of the step (sign changes on a grid), then at the zeros of D_j = dz_j/dz_{j-1} (sign changes
    and local maxima on a grid, bisection). What the images z_L do not cover is the support.
    """
    with mp.workdps(dps + 25):
        t, w = _measure(t, w)
        steps = _steps(steps)
        width = max(abs(x) for x in t) + 1
        tiny = mpf(10) ** (-dps - 5)
        parts = [(-mp.inf, t[0]), *pairs(t[:-1], t[1:]), (t[-1], mp.inf)]

        def place(a, b, u):  # u in (-1, 1) to (a, b), clustered at finite ends
            u = 40 * mpf(u)
            if a == -mp.inf:
                return b - width * mp.exp(-u)
            if b == mp.inf:
                return a + width * mp.exp(u)
            return a + (b - a) / (1 + mp.exp(-u))

        def bisect(fun, a, b):
            low = fun(a) > 0
            for _ in range(2 * mp.prec):
                x = (a + b) / 2
                if abs(b - a) <= tiny * tiny**0.3 * abs(x):
                    break
                try:
                    a, b = (x, b) if (fun(x) > 0) == low else (a, x)
                except ZeroDivisionError:  # on the point itself: a hard edge at s = 0
                    return x
            return (a + b) / 2

        for j, (name, *p) in enumerate(steps, 1):
            if name in AFFINE:
                continue

            def before(s, j=j):
                return _walk(t, w, steps[: j - 1], s)[0][-1]

            def rate(s, j=j):
                states = _walk(t, w, steps[:j], s)[0]
                return states[-1][1] / states[-2][1]

            poles = [lambda s: before(s)[2]]  # changes sign at its poles, and at a corner's
            if name == "add_wishart":
                poles.append(lambda s, p=p: 1 + p[0] * p[1] * before(s)[2])
            elif name == "add_compound_poisson":
                poles += [lambda s, p=p, x=x: 1 + p[0] * x * before(s)[2] for x in p[1] if x]
            elif name == "multiply_inverse_wishart":
                poles.append(lambda s, p=p: 1 + p[0] * before(s)[0] * before(s)[2])
            grid = [mpf(2 * i + 1 - points) / points for i in range(points)]
            fresh = []
            for a, b in parts:
                s = [place(a, b, u) for u in grid]
                marks = {a, b}
                for fun in poles:
                    values = [fun(x) for x in s]
                    for i in range(points - 1):
                        if (values[i] > 0) != (values[i + 1] > 0):
                            marks.add(bisect(fun, s[i], s[i + 1]))
                marks = sorted(marks)
                fresh += pairs(marks[:-1], marks[1:])
            kept = []
            for a, b in fresh:
                s = [place(a, b, u) for u in grid]
                d = [rate(x) for x in s]
                for i in range(1, points - 1):
                    if d[i - 1] <= d[i] >= d[i + 1] and d[i] <= 0:
                        lo, hi, x = s[i - 1], s[i + 1], s[i]
                        for _ in range(120):
                            u, v = lo + (hi - lo) / 3, hi - (hi - lo) / 3
                            du, dv = rate(u), rate(v)
                            lo, hi = (u, hi) if du < dv else (lo, v)
                            if max(du, dv) > 0:
                                x = u if du > 0 else v
                                break
                        if rate(x) > 0:
                            s[i], d[i] = x, rate(x)
                start = a if d[0] > 0 else None
                for i in range(points - 1):
                    if (d[i] > 0) != (d[i + 1] > 0):
                        cut = bisect(rate, s[i], s[i + 1])
                        if d[i] > 0:
                            kept.append((start, cut))
                        start = cut
                if d[-1] > 0:
                    kept.append((start, b))
            parts = kept

        def image(end, other):
            if abs(end) == mp.inf:
                return end
            reach = min(abs(other - end), width)
            return _walk(t, w, steps, end + mp.sign(other - end) * reach * tiny)[0][-1][0]

        gaps = sorted((image(a, b), image(b, a)) for a, b in parts)
        assert gaps[0][0] == -mp.inf
        assert gaps[-1][1] == mp.inf
        size = max(abs(gaps[0][1]), abs(gaps[-1][0]))
        edges = [(x[1], y[0]) for x, y in pairs(gaps[:-1], gaps[1:])]
        assert all(y - x > -(mpf(10) ** (5 - dps)) * size for x, y in edges), "gaps overlap"
        edges = [(x, y) for x, y in edges if y - x > mpf(10) ** (5 - dps) * size]
    with mp.workdps(dps):
        return [(+x, +y) for x, y in edges]


# ------------------------------------------------------------------------------------ simulated chains


def _population(t, w, p):
    """p eigenvalues at the mid-quantiles of the measure."""
    t = np.asarray(t, float)
    w = np.ones(len(t)) if w is None else np.asarray(w, float)
    return t[np.minimum(np.searchsorted(np.cumsum(w) / w.sum(), (np.arange(p) + 0.5) / p), len(t) - 1)]


def _root(matrix):
    x, u = np.linalg.eigh(matrix)
    assert x[0] > -1e-8 * abs(x[-1]), "not a covariance"
    return (u * np.sqrt(np.maximum(x, 0))) @ u.T


def chain_matrix(t, steps, p, rng, w=None):
    """A random matrix of the chain, from real Gaussians; n = p/c rounded, dimension p until a companion
    (then n) or a corner (then qp). C is diagonal, its eigenvalues at the mid-quantiles of (t, w)."""
    rng = np.random.default_rng(rng)
    m, data = np.diag(_population(t, w, p)), None
    for name, *a in steps:
        p = len(m)
        if name == "sample_covariance":
            n = round(p / a[0])
            data = _root(m) @ rng.standard_normal((p, n)) / np.sqrt(n)
            m = data @ data.T
            continue
        if name == "scale":
            m = a[0] * m
            data = None if data is None else np.sqrt(a[0]) * data
            continue
        if name == "companion":
            m = data.T @ data
        elif name == "shift":
            m = m + a[0] * np.eye(p)
        elif name == "add_semicircle":
            b = rng.standard_normal((p, p))
            m = m + np.sqrt(a[0] / (2 * p)) * (b + b.T)
        elif name == "add_wishart":
            z = rng.standard_normal((p, round(p / a[0])))
            m = m + a[1] * (z @ z.T) / z.shape[1]
        elif name == "add_compound_poisson":
            z = rng.standard_normal((p, round(p / a[0])))
            m = m + (z * _population(a[1], a[2], z.shape[1])) @ z.T / z.shape[1]
        elif name == "multiply_inverse_wishart":
            z = rng.standard_normal((p, round(p / a[0])))
            half = _root(m)
            m = half @ np.linalg.solve(z @ z.T / z.shape[1], half)
            m = (m + m.T) / 2
        elif name == "corner":
            q = np.linalg.qr(rng.standard_normal((p, round(a[0] * p))))[0]
            m = q.T @ m @ q
        else:
            raise ValueError(name)
        data = None
    return m


def spectrum(matrix):
    """Eigenvalues of a symmetric matrix, ascending."""
    return np.linalg.eigvalsh(matrix)


def simulate_stieltjes(t, steps, z, p, draws, rng, w=None):
    """Mean and standard error of tr (M - z)^-1/dim, for each z."""
    rng = np.random.default_rng(rng)
    z = np.atleast_1d(z)
    rows = [(1 / (spectrum(chain_matrix(t, steps, p, rng, w))[:, None] - z)).mean(0) for _ in range(draws)]
    return np.mean(rows, 0), np.std(rows, 0, ddof=1) / np.sqrt(draws)


def spike_chain_simulation(t, steps, spike, p, rng, w=None):
    """One eigenvalue of C replaced by `spike`: eigenvalue whose vector is the most aligned with that of
    the spike, and the squared alignment."""
    values = _population(t, w, p)
    values[0] = spike
    x, u = np.linalg.eigh(chain_matrix(values, steps, p, rng))
    best = np.argmax(u[0] ** 2)
    return x[best], u[0, best] ** 2


# --------------------------------------------------------------------------------------------- moments


def _multiply(a, b):
    return [sum(a[i] * b[k - i] for i in range(k + 1)) for k in range(len(a))]


def _reverse(a):
    """Compositional inverse of a_1 x + a_2 x² + …; a[0] = 0. Order by order."""
    b = [Fraction(0)] * len(a)
    b[1] = 1 / a[1]
    for k in range(2, len(a)):
        power, total = b, Fraction(0)
        for j in range(2, k + 1):
            power = _multiply(power, b)
            total += a[j] * power[k]
        b[k] = -total / a[1]
    return b


def _cumulants(m):
    """Free cumulants from m[0] = 1, m[1], …: m_n = Σ_s κ_s [x^(n-s)] M(x)^s."""
    k = [Fraction(0)] * len(m)
    for n in range(1, len(m)):
        power, rest = [Fraction(1)] + [Fraction(0)] * (len(m) - 1), Fraction(0)
        for s in range(1, n):
            power = _multiply(power, m)
            rest += k[s] * power[n - s]
        k[n] = m[n] - rest
    return k


def _moments(k):
    m = [Fraction(1)] + [Fraction(0)] * (len(k) - 1)
    for n in range(1, len(k)):
        power = [Fraction(1)] + [Fraction(0)] * (len(k) - 1)
        for s in range(1, n + 1):
            power = _multiply(power, m)
            m[n] += k[s] * power[n - s]
    return m


def free_moments(t, w, steps, kmax=4):
    """Moments 1..kmax of the law as exact Fractions, by free cumulants and S-transforms.

    No root, no map of §1: semicircle κ_2 = v, Wishart κ_k = c^(k-1) v^k, compound Poisson
    κ_k = c^(k-1) E tau^k, corner κ_k -> q^(k-1) κ_k, Wishart S = 1/(1+cx), its inverse S = 1-c-cx.
    """
    w = [1] * len(t) if w is None else w
    t, w = [Fraction(float(x)) for x in t], [Fraction(float(x)) for x in w]
    m = [sum(y * x**k for x, y in pairs(t, w)) / sum(w) for k in range(kmax + 1)]
    ratio = None
    for name, *a in steps:
        if name == "add_compound_poisson":
            values, weights = ([Fraction(float(x)) for x in v] for v in a[1:])
            a = [Fraction(float(a[0])), values, [x / sum(weights) for x in weights]]
        else:
            a = [Fraction(float(x)) for x in a]
        if name in ("sample_covariance", "multiply_inverse_wishart"):
            ratio = a[0] if name == "sample_covariance" else ratio
            if m[1] == 0:
                continue
            if name == "sample_covariance":  # S' = S S_W in χ = Sx/(1+x)
                factor = [(-a[0]) ** k for k in range(kmax + 1)]
            else:
                factor = [1 - a[0], -a[0], *[Fraction(0)] * (kmax - 1)]
            chi = _multiply(_reverse([Fraction(0), *m[1:]]), factor)
            m = [Fraction(1), *_reverse(chi)[1:]]
        elif name == "scale":
            m = [x * a[0] ** k for k, x in enumerate(m)]
        elif name == "shift":
            m = [sum(comb(k, j) * m[j] * a[0] ** (k - j) for j in range(k + 1)) for k in range(kmax + 1)]
        elif name == "companion":
            m = [Fraction(1), *[ratio * x for x in m[1:]]]
        else:
            k = _cumulants(m)
            if name == "add_semicircle":
                extra = [a[0] if j == 2 else 0 for j in range(kmax + 1)]
            elif name == "add_wishart":
                extra = [0, *[a[0] ** (j - 1) * a[1] ** j for j in range(1, kmax + 1)]]
            elif name == "add_compound_poisson":
                extra = [0] + [
                    a[0] ** (j - 1) * sum(u * x**j for x, u in pairs(a[1], a[2])) for j in range(1, kmax + 1)
                ]
            elif name == "corner":
                k, extra = [0, *[x * a[0] ** j for j, x in enumerate(k[1:])]], [0] * (kmax + 1)
            else:
                raise ValueError(name)
            m = _moments([Fraction(x + y) for x, y in pairs(k, extra)])
    return m[1:]


# ---------------------------------------------------------- fluctuations of linear spectral statistics


def bai_silverstein(t, w, c, f, dps=20, left=None):
    """Limits of mean and variance of Σ f(λ_i) - p∫f dF for a real Gaussian sample covariance.

    Bai & Silverstein (2004), theorem 1.1, with the companion transform u = -1/s:
    mean = -(1/2πi)∮ f c∫u³t²/(1+tu)³dH / (1 - c∫u²t²/(1+tu)²dH)² dz,
    variance = -(1/2π²)∮∮ f(z1)f(z2)/(u1-u2)² du1 du2, trapezoid rule on two contours around the hull of
    the support, ellipses in log(z - left) that leave out the half line z <= left: by default 0 when the
    support starts above 0, else a half width below it. `f` takes mpc and is real on the real axis.
    """
    edges = scm_edges(t, w, c, dps + 10)
    with mp.workdps(dps + 15):
        low, high = edges[0][0], edges[-1][1]
        if left is None:
            left = mpf(0) if low > mpf(10) ** -5 * high else low - (high - low) / 2
        middle = (mp.log(high - left) + mp.log(low - left)) / 2
        half = (mp.log(high - left) - mp.log(low - left)) / 2
        reach = mp.asinh(mp.pi / half)
        count = int((dps + 5) * mp.log(10) / (reach / 3) / 2) + 2  # nodes in the upper half
        steps, (tt, ww), cc = [("sample_covariance", _exact(c))], _measure(t, w), _exact(c)
        tol, contours, mean = mpf(10) ** (-dps - 8), [], mpf(0)
        for rho in reach / 3, 2 * reach / 3:
            s, nodes = None, []
            for k in range(count):
                theta = mp.pi * (k + mpf("0.5")) / count
                z = mp.exp(middle + half * mp.cosh(mpc(rho, theta)))
                dz = z * half * mp.sinh(mpc(rho, theta)) * mpc(0, 1) * mp.pi / count
                z += left
                found = s is not None and _newton(tt, ww, steps, z, s, tol, 25)
                if not found or found[0].imag <= 0:
                    found = _newton(tt, ww, steps, z, chain_root(t, w, steps, z, dps), tol)
                s, (states, _) = found
                assert s.imag > 0
                nodes.append((f(z), s, dz / states[-1][1], dz))
            contours.append(nodes)
        for value, s, _, dz in contours[0]:
            u = -1 / s
            third = cc * mp.fsum(y * u**3 * x * x / (1 + x * u) ** 3 for x, y in pairs(tt, ww))
            second = cc * mp.fsum(y * u**2 * x * x / (1 + x * u) ** 2 for x, y in pairs(tt, ww))
            mean -= (value * third / (1 - second) ** 2 * dz).imag / mp.pi
        # lower halves by conjugation: ∮∮ = 2 Re Σ_{upper} Σ_{upper} (pair with (1,2) and (1,conj 2))
        total = mpf(0)
        u2 = [(v, -1 / s, ds / (s * s)) for v, s, ds, _ in contours[1]]
        for v1, s1, ds1, _ in contours[0]:
            u1, du1, row = -1 / s1, ds1 / (s1 * s1), mpf(0)
            for v2, u, du in u2:
                row += v2 * du / (u1 - u) ** 2 - mp.conj(v2 * du) / (u1 - mp.conj(u)) ** 2
            total += 2 * (v1 * du1 * row).real
        variance = -total / (2 * mp.pi**2)
    with mp.workdps(dps):
        return +mean, +variance


def simulate_statistic(t, c, f, p, draws, rng, w=None):
    """Σ f(λ_i) over draws of a sample covariance, an array; subtract p∫f dF of (t, p/round(p/c))."""
    rng, steps = np.random.default_rng(rng), [("sample_covariance", c)]
    return np.array([np.sum(f(spectrum(chain_matrix(t, steps, p, rng, w)))) for _ in range(draws)])


# ------------------------------------------------------------------------------------- two resolvents


def two_resolvent_simulation(t, steps, z1, z2, A, p, draws, rng, w=None, B=None):
    """Mean and standard error of tr(B Q(z1) A Q(z2))/p; A and B p x p or diagonals, in the basis of C."""
    rng = np.random.default_rng(rng)
    A, B = (np.eye(p) if x is None else np.diag(x) if np.ndim(x) == 1 else np.asarray(x) for x in (A, B))
    rows = []
    for _ in range(draws):
        x, u = np.linalg.eigh(chain_matrix(t, steps, p, rng, w))
        a, b = u.T @ A @ u, u.T @ B @ u
        rows.append(np.sum(b.T * a / np.multiply.outer(x - z1, x - z2)) / p)
    return np.mean(rows), np.std(rows, ddof=1) / np.sqrt(draws)


# -------------------------------------------------------------------------------------- coupled laws


def _fixed_point(update, size, z, dps):
    """Solution of x = update(z, x): damped iteration from large Im z down, then Newton in mpmath.

    `update` maps {Im x·sign > 0} into itself, all unknowns being written so, hence has one fixed point
    there; the signs are asserted on the result. Entries of x are transforms with Im > 0.
    """
    z = mpc(z)
    assert z.imag > 0
    goal, x = complex(z), np.full(size, 1j)
    y = 100 * (abs(goal) + 1)
    while True:
        now = complex(goal.real, y)
        for _ in range(3000):
            new = (x + update(now, x)) / 2
            done = np.max(abs(new - x)) <= 1e-10 * np.max(abs(x))
            x = new
            if done:
                break
        if y == goal.imag:
            break
        y = max(y / 2, goal.imag)
    assert np.min(x.imag) > 0
    if dps is None:  # many unknowns: Newton in double precision
        for _ in range(3):
            r = update(goal, x) - x
            jac = np.empty((size, size), complex)
            for j in range(size):
                h = 1e-7 * abs(x[j])
                step = np.zeros(size)
                step[j] = h
                jac[:, j] = (update(goal, x + step) - update(goal, x - step)) / (2 * h)
            x = x + np.linalg.solve(np.eye(size) - jac, r)
        assert np.min(x.imag) > 0
        return x
    with mp.workdps(2 * dps + 20):
        x = np.array([mpc(v) for v in x])
        for _ in range(30):
            r, jac = update(z, x) - x, mp.matrix(size, size)
            for j in range(size):
                h = mpf(10) ** (-dps - 10) * abs(x[j])
                step = np.array([h if i == j else mpf(0) for i in range(size)])
                column = (update(z, x + step) - update(z, x)) / h
                for i in range(size):
                    jac[i, j] = (i == j) - column[i]
            move = mp.lu_solve(jac, mp.matrix(list(r)))
            x = x + np.array(list(move))
            if max(abs(v) for v in move) <= mpf(10) ** (-dps - 5) * max(abs(v) for v in x):
                break
        else:
            raise ArithmeticError("Newton did not converge")
        assert min(v.imag for v in x) > 0, "left the domain"
        return x


def _arrays(z, *columns):
    """Columns as arrays of floats, or of mpf when z is an mpmath number."""
    number = _exact if isinstance(z, mpc) else float
    return [np.array([number(x) for x in column]) for column in columns]


def _unit(w, size):
    w = [mpf(1)] * size if w is None else [_exact(x) for x in w]
    return [x / mp.fsum(w) for x in w]


def separable_m(t, w, tau, u, c, z, dps=30):
    """m of C^(1/2) Z T Z' C^(1/2)/n at Im z > 0 (§2); (t, w) the law of C, (tau, u) of T, any sign.

    δ = cΣ w t/(e t - z), e = Σ u τ/(1+τδ), in δ and -e, which keep Im > 0.
    """
    with mp.workdps(2 * (dps or 15) + 20):
        w, u, c = _unit(w, len(t)), _unit(u, len(tau)), _exact(c)

        def update(z, x):
            a, b, y, v, (k,) = _arrays(z, t, w, tau, u, [c])
            delta = k * np.sum(b * a / (-x[1] * a - z))
            return np.array([delta, -np.sum(v * y / (1 + y * x[0]))])

        x = _fixed_point(update, 2, z, dps)
        a, b = _arrays(mpc(z), t, w)
        m = np.sum(b / (-x[1] * a - mpc(z)))
    with mp.workdps(dps):
        return +m


def separable_matrix(t, tau, rng):
    """C^(1/2) Z T Z' C^(1/2)/n for the p eigenvalues t and the n eigenvalues tau."""
    z = np.random.default_rng(rng).standard_normal((len(t), len(tau)))
    x = np.sqrt(np.asarray(t, float))[:, None] * z
    return (x * tau) @ x.T / len(tau)


def mixture_m(covariances, proportions, c, z, w=None, dps=30):
    """m for columns of covariance diag(covariances[a]) with probability proportions[a] (§2)."""
    with mp.workdps(2 * dps + 20):
        w, share, c = _unit(w, len(covariances[0])), _unit(proportions, len(proportions)), _exact(c)

        def resolvent(z, x):
            b, q, *rows = _arrays(z, w, share, *covariances)
            return b, rows, 1 / (sum(v * row / (1 + d) for v, row, d in pairs(q, rows, x)) - z)

        def update(z, x):
            b, rows, q = resolvent(z, x)
            (k,) = _arrays(z, [c])[0]
            return np.array([k * np.sum(b * row * q) for row in rows])

        x = _fixed_point(update, len(covariances), z, dps)
        b, _, q = resolvent(mpc(z), x)
        m = np.sum(b * q)
    with mp.workdps(dps):
        return +m


def mixture_matrix(covariances, counts, rng):
    """XX'/n with counts[a] columns of covariance diag(covariances[a])."""
    rng = np.random.default_rng(rng)
    x = [
        np.sqrt(np.asarray(v, float))[:, None] * rng.standard_normal((len(v), k))
        for v, k in pairs(covariances, counts)
    ]
    x = np.hstack(x)
    return x @ x.T / x.shape[1]


def information_plus_noise_m(a, t, w, c, z, dps=30):
    """m of XX'/n, X = A + C^(1/2)Z, AA'/n = diag(a) and C = diag(t) with joint weights w (§2).

    For c > 1 at most 1/c of the mass may have a > 0. Unknowns δ and zδ~, both with Im > 0.
    """
    with mp.workdps(2 * dps + 20):
        w, c = _unit(w, len(a)), _exact(c)
        assert c * mp.fsum(y for x, y in pairs(a, w) if x) <= 1 + mpf(10) ** -12

        def update(z, x):
            v, s, b, (k,) = _arrays(z, a, t, w, [c])
            delta = k * np.sum(b * s / (-z - x[1] * s + v / (1 + x[0])))
            other = k * np.sum(b * z / (-z * (1 + x[0]) + v / (1 + x[1] / z * s))) - (1 - k) / (1 + x[0])
            return np.array([delta, other])

        x = _fixed_point(update, 2, z, dps)
        v, s, b = _arrays(mpc(z), a, t, w)
        m = np.sum(b / (-mpc(z) - x[1] * s + v / (1 + x[0])))
    with mp.workdps(dps):
        return +m


def information_plus_noise_matrix(a, t, n, rng):
    """XX'/n with X = A + diag(t)^(1/2) Z, AA'/n = diag(a); for p > n the nonzero a must be at most n."""
    a, t = np.asarray(a, float), np.asarray(t, float)
    x = np.sqrt(t)[:, None] * np.random.default_rng(rng).standard_normal((len(a), n))
    rows = np.flatnonzero(a)
    x[rows, np.arange(len(rows))] += np.sqrt(n * a[rows])
    return x @ x.T / n


def variance_profile_m(v, z, weights=None, dps=30):
    """m of a symmetric matrix with entries of variance v_ij/p (§2): g_i = -1/(z + Σ_j v_ij w_j g_j).

    `v` per entry, or per block with the blocks' weights. Above 12 unknowns in double precision.
    """
    size = len(v)
    with mp.workdps(2 * dps + 20):
        w = _unit(weights, size)
        plain, exact = np.array(_arrays(1j, w, *v)), np.array(_arrays(mpc(1), w, *v))

        def update(z, g):
            b, *rows = exact if isinstance(z, mpc) else plain
            return -1 / (z + rows @ (b * g))

        g = _fixed_point(update, size, z, dps if size <= 12 else None)
        m = mp.fsum(x * mpc(y) for x, y in pairs(w, g))
    with mp.workdps(dps):
        return +m


def variance_profile_matrix(v, rng):
    """Symmetric Gaussian matrix with entries of variance v_ij/p."""
    v = np.asarray(v, float)
    upper = np.triu(np.random.default_rng(rng).standard_normal(v.shape))
    return np.sqrt(v / len(v)) * (upper + np.triu(upper, 1).T)


# ----------------------------------------------------------------------------------------------- spikes


def spike_simulation(model, ell, p, n, rng):
    """Largest eigenvalue and squared alignments of one draw of a model of §3, a dict.

    model: "information_plus_noise" (X = √(nℓ) u v' + Z; also alignment_n), "additive" (ℓuu' + ZZ'/n) or
    "covariance" (C = I + ℓuu').
    """
    rng = np.random.default_rng(rng)
    u, v = rng.standard_normal(p), rng.standard_normal(n)
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    z = rng.standard_normal((p, n))
    if model == "information_plus_noise":
        x = z + np.sqrt(n * ell) * np.outer(u, v)
    elif model == "covariance":
        x = z + (np.sqrt(1 + ell) - 1) * np.outer(u, u @ z)
    elif model == "additive":
        x = z
    else:
        raise ValueError(model)
    m = x @ x.T / n + (ell * np.outer(u, u) if model == "additive" else 0)
    values, vectors = np.linalg.eigh(m)
    top = vectors[:, -1]
    out = {"location": values[-1], "alignment": (top @ u) ** 2}
    if model == "information_plus_noise":
        right = x.T @ top
        out["alignment_n"] = (right @ v) ** 2 / (right @ right)
    return out


# --------------------------------------------------------------------- Hessians of generalised linear models


def hessian_weights(kind, h, h_star, rng, truncate=3.0):
    """g = ℓ″(y, h), y drawn from h_star = w*'x. Logistic and probit: labels ±1 from the model; Poisson:
    y ~ Poisson(exp h*); phase: y = h*², ℓ = (h²-y)²/4, g = 3h² - y; phase_truncated: that clipped to
    ±truncate; spectral: min(h*², truncate). A callable: kind(h, h_star, rng)."""
    rng = np.random.default_rng(rng)
    if callable(kind):
        return kind(h, h_star, rng)
    if kind == "logistic":
        return 1 / (2 + np.exp(h) + np.exp(-h))
    if kind == "probit":
        y = np.where(rng.standard_normal(len(h)) < h_star, 1.0, -1.0)
        phi = np.exp(-(h**2) / 2) / np.sqrt(2 * np.pi)
        ratio = phi / np.array([float(mp.ncdf(v)) for v in y * h])
        return ratio * (ratio + y * h)
    if kind == "poisson":
        return np.exp(h)
    if kind == "phase":
        return 3 * h**2 - h_star**2
    if kind == "phase_truncated":
        return np.clip(3 * h**2 - h_star**2, -truncate, truncate)
    if kind == "spectral":
        return np.minimum(h_star**2, truncate)
    raise ValueError(kind)


def hessian_matrix(kind, p, n, w, w_star, rng, covariance=None, truncate=3.0):
    """(1/n) X diag(g) X' with columns x ~ N(0, C), C the identity, a diagonal or a matrix (§9)."""
    rng = np.random.default_rng(rng)
    x = rng.standard_normal((p, n))
    if covariance is not None:
        cov = np.asarray(covariance, float)
        x = np.sqrt(cov)[:, None] * x if cov.ndim == 1 else _root(cov) @ x
    g = hessian_weights(kind, np.asarray(w) @ x, np.asarray(w_star) @ x, rng, truncate)
    return (x * g) @ x.T / n


def hessian_cloud(kind, u, v, truncate=3.0, nodes=(24, 160)):
    """g, s (2, N) and probabilities of a plain quadrature for u'x, v'x with x = s ~ N(0, I_2); u and v in R^2.

    Trapezoidal rules, exact to rounding for analytic weights; polar coordinates for the truncated ones. Of the
    coordinate that g does not see only moments up to 2 matter: +-1.
    """
    u, v = np.asarray(u, float), np.asarray(v, float)
    line = np.linspace(-12.5, 12.5, 1501)
    density = np.exp(-(line**2) / 2) / np.sqrt(2 * np.pi) * 25 / (line.size - 1)
    if kind in ("logistic", "poisson", "spectral") or isinstance(kind, tuple):
        way = v if kind == "spectral" or isinstance(kind, tuple) else u
        size = np.hypot(*way)
        way = way / size if size else np.array([1.0, 0.0])
        if kind == "spectral":  # min(v^2, truncate): flat beyond the kink
            edge = np.sqrt(truncate) / size
            x, q = np.polynomial.legendre.leggauss(200)
            line, density = edge * x, edge * q * np.exp(-((edge * x) ** 2) / 2) / np.sqrt(2 * np.pi)
            tail = float(mp.erfc(edge / mp.sqrt(2))) / 2
            second = tail + edge * np.exp(-(edge**2) / 2) / np.sqrt(2 * np.pi)  # E[t^2; t > edge]
            far = np.sqrt(second / tail)
            line, density = np.r_[-far, line, far], np.r_[tail, density, tail]
        s = np.concatenate(
            [np.outer(way, line) + r * np.array([[-way[1]], [way[0]]]) for r in (-1.0, 1.0)], 1
        )
        q = np.concatenate([density, density]) / 2
        g = kind[0](v @ s) if isinstance(kind, tuple) else hessian_weights(kind, u @ s, v @ s, None, truncate)
        return g, s, q
    if kind == "probit":
        size = np.hypot(*u)
        way = u / size if size else np.array([1.0, 0.0])
        line, density = line[::2], 2 * density[::2]
        other = np.linspace(-9.0, 9.0, 73)
        weight = np.exp(-(other**2) / 2) / np.sqrt(2 * np.pi) * (other[1] - other[0])
        a, b = np.meshgrid(line, other, indexing="ij")
        s = way[:, None] * a.ravel() + np.array([-way[1], way[0]])[:, None] * b.ravel()
        q = np.outer(density, weight).ravel()
        phi = [mp.npdf(size * x) for x in line]
        ratio = [p / mp.ncdf(size * x) for p, x in pairs(phi, line)]
        curve = np.array([float(r * (r + size * x)) for r, x in pairs(ratio, line)])
        from scipy import special

        up = special.ndtr(v @ s)
        down = special.ndtr(-(v @ s))
        g = np.concatenate([np.repeat(curve, other.size), np.repeat(curve[::-1], other.size)])
        return g, np.concatenate([s, s], axis=1), np.concatenate([q * up, q * down])
    if kind in ("phase", "phase_truncated"):
        form = 3 * np.outer(u, u) - np.outer(v, v)  # g = r^2 k(angle)
        cross = np.sqrt(max(form[0, 1] ** 2 - form[0, 0] * form[1, 1], 0.0))
        zeros = {
            float(np.arctan2(-form[0, 1] + sign * cross, form[1, 1]) % np.pi) for sign in (1, -1)
        } if form[1, 1] else {np.pi / 2, float(np.arctan2(-form[0, 0], 2 * form[0, 1]) % np.pi)}  # fmt: skip
        first = min(zeros)
        ends = [first, *sorted(z for z in zeros if z > first), first + np.pi]
        # g has a logarithmic singularity at 0, where the angle is near a zero of k: panels shrink towards these
        grade = np.concatenate([[0], 4.0 ** np.arange(-9.0, 0), [0.5], 1 - 4.0 ** -np.arange(1.0, 10), [1]])
        cuts = [a + (b - a) * grade for a, b in pairs(ends[:-1], ends[1:]) if b > a]
        x, q = np.polynomial.legendre.leggauss(nodes[0])
        angle = np.concatenate(
            [(a + b + (b - a) * x) / 2 for cut in cuts for a, b in pairs(cut[:-1], cut[1:])]
        )
        weight = (
            np.concatenate([(b - a) * q / 2 for cut in cuts for a, b in pairs(cut[:-1], cut[1:])]) / np.pi
        )
        way = np.stack([np.cos(angle), np.sin(angle)])
        k = np.einsum("ij,ik,jk->k", form, way, way)
        limit = np.inf if kind == "phase" else truncate
        with np.errstate(divide="ignore"):
            edge = np.minimum(np.sqrt(limit / np.abs(k)), 12.0)
        x, q = np.polynomial.legendre.leggauss(nodes[1])
        r = edge[:, None] * (x + 1) / 2
        q = weight[:, None] * q * edge[:, None] / 2 * r * np.exp(-(r**2) / 2)
        inner = (way[:, :, None] * r).reshape(2, -1)
        mean = edge**2 + 2  # E[r^2 | r > edge]
        outer = way * np.sqrt(mean)
        g = np.concatenate([(k[:, None] * r**2).ravel(), np.clip(k * edge**2, -limit, limit)])
        return (
            g,
            np.concatenate([inner, outer], 1),
            np.concatenate([q.ravel(), weight * np.exp(-(edge**2) / 2)]),
        )
    # kind(u, v), analytic in both
    line = np.linspace(-12.5, 12.5, 601)
    density = np.exp(-(line**2) / 2) / np.sqrt(2 * np.pi) * 25 / (line.size - 1)
    s = np.stack([x.ravel() for x in np.meshgrid(line, line, indexing="ij")])
    return kind(u @ s, v @ s), s, np.outer(density, density).ravel()


class HessianOracle:
    """The two equations of §9 over a cloud of weights; t, k the levels and their shares, w and w* a number each."""

    def __init__(self, kind, t, k, c, w, w_star, truncate=3.0, nodes=(24, 160)):
        self.t, self.k = np.asarray(t, float), np.asarray(k, float) / np.sum(k)
        self.c, self.w, self.w_star = float(c), np.asarray(w, float), np.asarray(w_star, float)
        pair = np.sqrt(self.t)[:, None] * np.stack([self.w, self.w_star], axis=1)
        self.u, r = np.linalg.qr(np.concatenate([pair, np.zeros((2, 2))]))
        self.u = self.u[: self.t.size]  # a direction of length 0 in the plane has no part in the data
        self.g, self.s, self.q = hessian_cloud(kind, r[:, 0], r[:, 1], truncate, nodes)
        assert abs(self.q.sum() - 1) < 1e-12

    def e(self, d):
        return np.sum(self.q * self.g / (1 + self.g * d))

    def S(self, d):
        x = self.q * self.g / (1 + self.g * d)
        return np.einsum("k,ik,jk->ij", x, self.s, self.s) - x.sum() * np.eye(2)

    def _step(self, d, z):
        return self.c * np.sum(self.k * self.t / (self.t * self.e(d) - z))

    def solve(self, z):
        """Delta at complex z by plain iteration far up, then Newton with a numerical derivative on the way down."""
        z = complex(z)
        height = max(z.imag, 3.0 * self.t.max() * np.sqrt(np.sum(self.q * self.g**2)) * (1 + self.c))
        d = 0j
        for _ in range(300):
            d = self._step(d, complex(z.real, height))
        while True:
            for _ in range(100):
                here = complex(z.real, height)
                h = 1e-7 * abs(d)
                slope = 1 - (self._step(d + h, here) - self._step(d - h, here)) / (2 * h)
                move = (d - self._step(d, here)) / slope
                d -= move
                if abs(move) < 1e-14 * abs(d):
                    break
            assert abs(move) < 1e-12 * abs(d), (z, height)
            assert d.imag > 0, (z, height)
            if height <= z.imag:
                return d
            height = max(z.imag, height * 0.8 if height > 1e-3 * abs(z.real) else 0.0)

    def m(self, z, d=None):
        d = self.solve(z) if d is None else d
        return np.sum(self.k / (self.t * self.e(d) - z))

    def bilinear(self, x, y, z, d=None):
        """x'Qy of the full equivalent."""
        d = self.solve(z) if d is None else d
        basis = np.sqrt(self.t)[:, None] * self.u
        full = self.e(d) * np.diag(self.t) + basis @ self.S(d) @ basis.T
        return np.asarray(x) @ np.linalg.solve(full - z * np.eye(self.t.size), np.asarray(y) + 0j)

    def place(self, d):
        """z beyond the bulk at a real delta: below for delta > 0, above for delta < 0; NaN where there is none."""
        from scipy import optimize

        e = self.e(d)
        size = self.c * self.t.max() / abs(d)
        ends = np.sort(self.t * e)

        def f(z):
            return self.c * np.sum(self.k * self.t / (self.t * e - z)) - d

        near = 1e-13 * max(abs(ends[0]), abs(ends[-1]))
        a, b = (ends[0] - 2 * size, ends[0] - near) if d > 0 else (ends[-1] + near, ends[-1] + 2 * size)
        return optimize.brentq(f, a, b, xtol=1e-15, rtol=1e-15) if f(a) * f(b) < 0 else np.nan

    def determinant(self, d):
        z = self.place(d)
        basis = np.sqrt(self.t)[:, None] * self.u
        K = basis.T @ (basis / (self.t * self.e(d) - z)[:, None])
        return np.linalg.det(np.eye(2) + self.S(d) @ K)

    def isolated(self, count=150):
        """Eigenvalues beyond the bulk: sign changes of det[I + S K] along the increasing branch."""
        from scipy import optimize

        low, high = self.g.min(), self.g.max()
        grids = []
        if high > 0:
            grids.append(-1 / (high * (1 + np.logspace(4, -7, count))))
        else:
            grids.append(-np.logspace(-4, 4, count) / abs(low))
        grids.append(
            1 / (-low * (1 + np.logspace(4, -7, count))) if low < 0 else np.logspace(-4, 4, count) / high
        )
        found = []
        for d in grids:
            z = np.array([self.place(x) for x in d])
            rising = np.diff(z) * np.diff(d) > 0
            if not rising.all():  # from z = +-inf to the edge, where z turns
                i = max(int(np.argmin(rising)), 1)
                sign = np.sign(d[i])  # below: z has its maximum
                edge = optimize.minimize_scalar(
                    lambda x, sign=sign: -sign * self.place(x), bounds=sorted((d[i - 1], d[i + 1])), method="bounded",
                    options={"xatol": 1e-12 * abs(d[i])},
                ).x  # fmt: skip
                d = np.concatenate([d[:i], d[i - 1] + (edge - d[i - 1]) * (1 - np.logspace(-0.1, -5, 20))])
            value = np.array([self.determinant(x) for x in d])
            for i in np.flatnonzero(value[1:] * value[:-1] < 0):
                root = optimize.brentq(self.determinant, d[i], d[i + 1], xtol=1e-300, rtol=1e-15)
                found.append(self.place(root))
        return sorted(found)

    def alignment(self, v, z, radius):
        """Squared cosine with v of the eigenvector at z: the residue of v'Qv over a circle."""
        angle = 2 * np.pi * (np.arange(32) + 0.5) / 32
        turn = np.exp(1j * angle[angle < np.pi])
        values = np.array([self.bilinear(v, v, z + radius * x) for x in turn])
        return -np.real(np.sum(values * turn)) * radius / 16 / (np.asarray(v) @ v)


# ------------------------------------------------------------------------------------------- workloads

W1_VALUES = (1.0, 3.0, 10.0)
W2_VALUES = tuple(np.arange(1, 1001.0) ** -1.2)


def _midpoints(edges, count):
    a, b = edges[0][0], edges[-1][1]
    return [float(a + (b - a) * (j + mpf("0.5")) / count) for j in range(count)]


def w1_reference(c, count=1000, dps=50):
    """W1: the points x_j as floats and the density there, 50-digit roots rounded to float. c as a float."""
    x = np.array(_midpoints(scm_edges(W1_VALUES, None, c, dps), count))
    return x, np.array([float(scm_roots_density(W1_VALUES, None, c, v, dps)) for v in x])


def w2_edges(dps=40):
    """W2, W4: the 17 support intervals, t_i = i^-1.2, c = .5."""
    return scm_edges(W2_VALUES, None, 0.5, dps)


def w3_points(t=W1_VALUES, w=None, c=0.5):
    """W3: 600 points over the hull, Im z = 1e-1 … 1e-6, then -logspace(-6, 2, 33), as complex."""
    x = np.array(_midpoints(scm_edges(t, w, c), 100))
    upper = [x + 1j * 10.0**-k for k in range(1, 7)]
    return np.concatenate([*upper, -np.logspace(-6, 2, 33) + 0j])


def w3_reference(t=W1_VALUES, w=None, c=0.5, points=None, dps=20):
    """W3: m at w3_points (or at `points`), rounded to complex."""
    points = w3_points(t, w, c) if points is None else points
    return np.array([complex(chain_stieltjes(t, w, [("sample_covariance", c)], z, dps)) for z in points])


# ---------------------------------------------------------------------------------------------- checks

CHAINS = {
    "corner": [("corner", 0.5)],
    "inverse Wishart": [("multiply_inverse_wishart", 0.5)],
    "compound Poisson": [("add_compound_poisson", 0.5, [-2, 1, 4], [0.2, 0.4, 0.4])],
    "compound Poisson c=5": [("add_compound_poisson", 5, [1, 4], [0.6, 0.4])],
    "Wishart c=5": [("add_wishart", 5, 1.5)],
    "F": [("multiply_inverse_wishart", 0.25), ("sample_covariance", 2)],
    "sc corner sc": [("sample_covariance", 0.5), ("corner", 0.5), ("sample_covariance", 1.5)],
    "five steps": [
        ("sample_covariance", 0.5), ("scale", 0.7), ("shift", 0.3), ("sample_covariance", 1.5),
        ("add_semicircle", 0.2),
    ],
    "companion": [
        ("sample_covariance", 2), ("scale", 2.0), ("companion",), ("add_wishart", 0.5, 1.0),
        ("sample_covariance", 0.5), ("companion",), ("add_semicircle", 0.5),
    ],
    "sc inverse semicircle corner": [
        ("sample_covariance", 0.5), ("multiply_inverse_wishart", 0.25), ("add_semicircle", 0.5), ("corner", 0.5),
    ],
    "false critical points": [("sample_covariance", 2), ("shift", 0.1), ("sample_covariance", 0.05)],
}  # fmt: skip


def _check_chains(p=720, draws=4, seed=0):
    """Transforms, atoms, edges and moments of CHAINS over {1, 3, 10}."""
    t, z = [1, 3, 10], np.array([2 + 0.5j, 5 + 1j, -1 + 0.3j])
    for name, steps in CHAINS.items():
        print(name)
        sim, error = simulate_stieltjes(t, steps, z, p, draws, seed)
        for a, b, e in pairs(z, sim, error):
            print(f"    m({a:.2g}) {complex(chain_stieltjes(t, None, steps, a, 15)):.5f} / {b:.5f}({e:.5f})")
        x = spectrum(chain_matrix(t, steps, p, seed))
        atoms, edges = chain_atoms(t, None, steps), chain_edges(t, None, steps, 30)
        for a, mass in atoms.items():
            print(f"    atom {float(a):g} {float(mass):.5f} / {np.mean(abs(x - float(a)) < 1e-8):.5f}")
        away = x[[all(abs(v - float(a)) > 1e-8 for a in atoms) for v in x]]
        print("    support", [tuple(round(float(v), 5) for v in e) for e in edges], away[0], away[-1])
        for k, value in enumerate(free_moments(t, None, steps), 1):
            print(f"    moment {k} {float(value):.5g} / {np.mean(x**k):.5g}")


def _check_coupled(p=600, draws=4, seed=0):
    rng, t = np.random.default_rng(seed), [1, 3, 10]
    full, profile = np.repeat(t, p // 3), [[1, 2, 0.1], [2, 0.5, 1], [0.1, 1, 3]]
    for c in 0.5, 2:
        n = round(p / c)
        other, tau = np.repeat([5, 1, 2], p // 3), np.resize([-1, 0.5, 2, 3], n)
        models = {
            "separable": (
                lambda z, c=c: separable_m(t, None, [-1, 0.5, 2, 3], None, c, z),
                lambda tau=tau: separable_matrix(full, tau, rng),
            ),
            "mixture": (
                lambda z, c=c: mixture_m([t, [5, 1, 2]], [0.25, 0.75], c, z),
                lambda n=n, other=other: mixture_matrix([full, other], [n // 4, n - n // 4], rng),
            ),
            "information plus noise": (
                lambda z, c=c: information_plus_noise_m([2, 0, 0], t, None, c, z),
                lambda n=n: information_plus_noise_matrix(np.repeat([2, 0, 0], p // 3), full, n, rng),
            ),
            "variance profile": (
                lambda z: variance_profile_m(profile, z),
                lambda: variance_profile_matrix(np.kron(profile, np.ones((p // 3, p // 3))), rng),
            ),
        }
        for name, (predict, draw) in models.items():
            x = [spectrum(draw()) for _ in range(draws)]
            for z in 3 + 1j, -1 + 0.1j:
                s = [np.mean(1 / (v - z)) for v in x]
                error = np.std(s, ddof=1) / np.sqrt(draws)
                print(f"{name} c={c} m({z}) {complex(predict(z)):.5f} / {np.mean(s):.5f}({error:.5f})")


def _check_spikes(draws=8):
    for model in "information_plus_noise", "additive", "covariance":
        rows = [spike_simulation(model, 2.5, 600, 1200, seed) for seed in range(draws)]
        print(model, {key: round(float(np.mean([r[key] for r in rows])), 4) for key in rows[0]})


def _check_fluctuations(p=120, draws=1500):
    t, c = [1, 3, 10], 0.5
    for label, f, g in ("log", mp.log, np.log), ("square", lambda z: z * z, np.square):
        mean, variance = bai_silverstein(t, None, c, f)
        sums = simulate_statistic(t, c, g, p, draws, 0)
        small = simulate_statistic(t, c, g, p // 4, draws, 1)
        gap = np.mean(small) - np.mean(sums) / 4  # mean·(1 - 1/4), since p∫f dF is linear in p
        error = np.hypot(np.std(small), np.std(sums) / 4) / np.sqrt(draws)
        print(f"{label}: mean {mp.nstr(0.75 * mean, 6)} / {gap:.4f}({error:.4f}),", end=" ")
        print(
            f"variance {mp.nstr(variance, 6)} / {np.var(sums):.4f}({np.var(sums) * np.sqrt(2 / draws):.4f})"
        )


if __name__ == "__main__":
    _check_chains()
    _check_coupled()
    _check_spikes()
    _check_fluctuations()
