r"""Laws whose equivalents have several coupled unknowns: one Newton solver, four families.

Equations, at Im z >= 0 (weights w of the p levels, c = p/n; each unknown keeps Im >= 0)::

    separable    delta = c sum w t Q,              Q = 1/(e t - z),  e = E[tau/(1 + tau delta)]
    mixture      delta_a = c sum w t_a Q,          Q = 1/(sum_a pi_a t_a/(1 + delta_a) - z)
    signal       delta = c sum w t Q,              Q = B/(l + B A),  B = 1 + delta,  A = e t - z
    + noise      e = (1 - c w_+)/B + c sum_{l>0} w A/(l + B A)       (unknowns delta and -e)
    profile      g_i = -1/(z + sum_j w_j v_ij g_j)

Source: Zhang 2006, Paul & Silverstein 2009 (separable); Benaych-Georges & Couillet 2016 (mixture); Dozier &
Silverstein 2007, Hachem, Loubaton & Najim 2007 (signal plus noise); Ajanki, Erdos & Krueger 2017 (profile).

The certificate. In every family the imaginary parts x of the unknowns obey x = M x + v Im z with M >= 0 entry by
entry and v > 0. A solution with all x > 0 therefore has a spectral radius rho(M) < 1; the difference of two
solutions is mapped to itself by a matrix bounded by the geometric mean of their two M (Cauchy-Schwarz), so it is
0: **a solution with all Im > 0 is the right one**, however it was found. On the real axis the same holds of a
solution with all Im > 0 (x is in the bulk) and of a real one with rho(M) < 1, which is to say with
d(unknown)/dz = (1 - M)^{-1} v > 0 in all components (x is outside the support).

Why this form

* The unknowns stay finite and non-zero from z = infinity to the real axis. Where a hard edge at 0 makes the
  Jacobian singular like sqrt(z), one equation is replaced by the count ``1 - c w = ...``, in which everything
  that cancels has been cancelled: the density at 1e-20 has 14 digits, where it had 6.
* Down from large Im z in steps that certify themselves, each tried boldly; the predictor is a power law in Im z,
  exact for 1/z, for constants and for the z**(-1/2) of a hard edge.
* Outside the support the Newton iteration is the same one at Im z = 0, where imaginary parts are exact zeros.

Tuples: model = (kind, c, reach, rest, w, t, tau, u), all rescaled so that the largest t, tau or v is 1:
kind, then c = p/n; reach bounds the spectrum; rest = [1 - c w_+, 1 - c w], w the levels' weights, t (rows of)
levels, tau and u nodes (the other side's values and weights); levels that carry nothing are left out.
work = (complex K x (K + 2) systems, complex K vectors, real N vectors).
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel, reciprocal

SEPARABLE, MIXTURE, SIGNAL, PROFILE = 0, 1, 2, 3

CONVERGED, NOT_CONVERGED, INVALID = 0, 1, 2
EPS = 2.220446049250313e-16

#: Complex vectors of length K and real vectors of length N in the workspace.
VECTORS, ROWS = 5, 4

#: Evaluations of a Newton iteration before it is given up for a shorter step.
LIMIT = 12


# ------------------------------------------------------------------------------------- sums over the levels


@kernel(fastmath=SUM_MATH, inline=True)
def _separable_sums(w, t, er, ei, zr, zi):
    """Sums of w t Q, w t**2 Q**2, w t Q**2 and w Q."""
    sr = si = pr = pi = rr = ri = qr = qi = 0.0
    for i in range(w.size):
        dr = t[i] * er - zr
        di = t[i] * ei - zi
        n = 1.0 / (dr * dr + di * di)
        ar = dr * n
        ai = -di * n
        b = w[i] * t[i]
        qr += w[i] * ar
        qi += w[i] * ai
        sr += b * ar
        si += b * ai
        br = b * (ar * ar - ai * ai)
        bi = b * (2.0 * (ar * ai))
        rr += br
        ri += bi
        pr += t[i] * br
        pi += t[i] * bi
    return complex(sr, si), complex(pr, pi), complex(rr, ri), complex(qr, qi)


@kernel(fastmath=SUM_MATH, inline=True)
def _node_sums(u, tau, dr, di):
    """e = sum u tau/(1 + tau delta), -de/ddelta, and sum u/(1 + tau delta)."""
    er = ei = fr = fi = hr = hi = 0.0
    for j in range(u.size):
        ar = 1.0 + tau[j] * dr
        ai = tau[j] * di
        n = 1.0 / (ar * ar + ai * ai)
        ar = ar * n
        ai = -ai * n
        b = u[j] * tau[j]
        hr += u[j] * ar
        hi += u[j] * ai
        er += b * ar
        ei += b * ai
        fr += b * tau[j] * (ar * ar - ai * ai)
        fi += b * tau[j] * (2.0 * (ar * ai))
    return complex(er, ei), complex(fr, fi), complex(hr, hi)


@kernel(fastmath=SUM_MATH, inline=True)
def _signal_sums(c, w, l, t, dr, di, er, ei, zr, zi):
    """The eight sums of signal plus noise; r = 1/G, G = l + A + delta A, A = e t - z. See `_signal`.

    At a level without noise (t = 0) l - z is exact: z may come close.
    """
    s1r = s1i = s2r = s2i = p1r = p1i = p2r = p2i = p3r = p3i = q1r = q1i = q2r = q2i = q0r = q0i = 0.0
    for i in range(w.size):
        ar = t[i] * er - zr
        ai = t[i] * ei - zi
        gr = ((l[i] - zr) + t[i] * er) + (dr * ar - di * ai)
        gi = ai + (dr * ai + di * ar)
        n = 1.0 / (gr * gr + gi * gi)
        rr = gr * n
        ri = -gi * n
        b = c * w[i]
        b2 = b if l[i] > 0.0 else 0.0
        used = b if l[i] + t[i] > 0.0 else 0.0
        s1r += b * t[i] * rr
        s1i += b * t[i] * ri
        q0r += used * rr
        q0i += used * ri
        s2r += b2 * (ar * rr - ai * ri)
        s2i += b2 * (ar * ri + ai * rr)
        xr = rr * rr - ri * ri
        xi = 2.0 * (rr * ri)
        p1r += b * t[i] * l[i] * xr
        p1i += b * t[i] * l[i] * xi
        p2r += b * t[i] * t[i] * xr
        p2i += b * t[i] * t[i] * xi
        q1r += b * t[i] * xr
        q1i += b * t[i] * xi
        q2r += b2 * l[i] * xr
        q2i += b2 * l[i] * xi
        yr = ar * rr - ai * ri
        yi = ar * ri + ai * rr
        p3r += b2 * (yr * yr - yi * yi)
        p3i += b2 * (2.0 * (yr * yi))
    return (
        complex(s1r, s1i), complex(s2r, s2i), complex(p1r, p1i), complex(p2r, p2i), complex(p3r, p3i),
        complex(q1r, q1i), complex(q2r, q2i), complex(q0r, q0i),
    )  # fmt: skip


@kernel(fastmath=SUM_MATH, inline=True)
def _dot(a, br, bi):
    """Complex dot product with a real vector."""
    sr = 0.0
    si = 0.0
    for i in range(a.size):
        sr += a[i] * br[i]
        si += a[i] * bi[i]
    return complex(sr, si)


@kernel(fastmath=SUM_MATH, inline=True)
def _dot3(a, b, xr, xi):
    """Complex sum of a b x, a and b real."""
    sr = 0.0
    si = 0.0
    for i in range(a.size):
        ab = a[i] * b[i]
        sr += ab * xr[i]
        si += ab * xi[i]
    return complex(sr, si)


# ---------------------------------------------------------------------------- equations: system = [J | F | F_z]


@kernel(inline=True)
def _largest(a, b, d):
    return max(abs(a), max(abs(b), abs(d)))


@kernel
def _separable(model, z, x, system):
    """One unknown; e is explicit in it."""
    kind, c, reach, rest, w, t, tau, u = model
    delta = x[0]
    e, f, h = _node_sums(u, tau[0], delta.real, delta.imag)
    s, p, r, q = _separable_sums(w, t[0], e.real, e.imag, z.real, z.imag)
    ed = e * delta
    zq = c * (z * q)
    if _largest(complex(rest[0], 0.0), h, zq) < 0.5 * abs(ed):
        system[0, 0] = (e - delta * f) - c * (z * r * f)
        system[0, 1] = rest[0] - h - zq
        system[0, 2] = -c * (e * r)
    else:
        system[0, 0] = 1.0 - c * (p * f)
        system[0, 1] = delta - c * s
        system[0, 2] = -c * r


@kernel
def _resolvent(model, z, x, rows):
    """rows 0, 1: Q of every level of a mixture, real and imaginary parts."""
    kind, c, reach, rest, w, t, tau, u = model
    qr = rows[0]
    qi = rows[1]
    for i in range(w.size):
        qr[i] = -z.real
        qi[i] = -z.imag
    for a in range(u.size):
        f = u[a] * reciprocal(1.0 + x[a])
        fr = f.real
        fi = f.imag
        ta = t[a]
        for i in range(w.size):
            qr[i] += fr * ta[i]
            qi[i] += fi * ta[i]
    for i in range(w.size):
        n = 1.0 / (qr[i] * qr[i] + qi[i] * qi[i])
        qr[i] *= n
        qi[i] *= -n


@kernel
def _mixture(model, z, x, system, rows):
    """One unknown a class."""
    kind, c, reach, rest, w, t, tau, u = model
    k = u.size
    _resolvent(model, z, x, rows)
    qr = rows[0]
    qi = rows[1]
    yr = rows[2]
    yi = rows[3]
    for i in range(w.size):
        b = c * w[i]
        yr[i] = b * (qr[i] * qr[i] - qi[i] * qi[i])
        yi[i] = b * (2.0 * (qr[i] * qi[i]))
    h = complex(0.0, 0.0)
    fd = complex(0.0, 0.0)
    fr = complex(0.0, 0.0)
    top = 0
    best = -1.0
    for a in range(k):
        f = u[a] * reciprocal(1.0 + x[a])
        r = _dot(t[a], yr, yi)
        system[a, k] = x[a] - c * _dot3(w, t[a], qr, qi)
        system[a, k + 1] = -r
        h = h + f
        fd = fd + f * x[a]
        fr = fr + f * r
        if abs(f * x[a]) > best:
            best = abs(f * x[a])
            top = a
        for b in range(a + 1):
            p = _dot3(t[a], t[b], yr, yi)
            system[a, b] = p
            system[b, a] = p
    zq = c * (z * _dot(w, qr, qi))
    count = _largest(complex(rest[0], 0.0), h, zq) < 0.5 * abs(fd)
    for b in range(k):
        g = reciprocal(1.0 + x[b])
        g = u[b] * (g * g)
        if count:
            system[top, b] = g * (1.0 + z * system[b, k + 1])
        for a in range(k):
            if not (count and a == top):
                system[a, b] = (1.0 if a == b else 0.0) - system[a, b] * g
    if count:
        system[top, k] = rest[0] - h - zq
        system[top, k + 1] = -fr


@kernel
def _signal(model, z, x, system):
    """Two unknowns, delta and -e."""
    kind, c, reach, rest, w, t, tau, u = model
    b = 1.0 + x[0]
    e = -x[1]
    s1, s2, p1, p2, p3, q1, q2, q0 = _signal_sums(
        c, w, t[0], t[1], x[0].real, x[0].imag, e.real, e.imag, z.real, z.imag
    )
    bb = b * b
    rb = reciprocal(b)
    system[0, 0] = 1.0 - p1
    system[0, 1] = -bb * p2
    system[0, 2] = x[0] - b * s1
    system[0, 3] = -bb * q1
    zq = z * (b * q0)
    if _largest(complex(rest[1], 0.0), e, zq) < 0.5 * abs(e * b):
        system[1, 0] = -z * q2
        system[1, 1] = 1.0 - z * (bb * q1)
        system[1, 2] = x[1] + rest[1] - zq
        system[1, 3] = -b * (q2 + (b * e) * q1)
    else:
        system[1, 0] = -(rest[0] * (rb * rb) + p3)
        system[1, 1] = 1.0 - p1
        system[1, 2] = x[1] + rest[0] * rb + s2
        system[1, 3] = -q2


@kernel
def _profile(model, z, x, system):
    """One unknown a block; t[i, j] = w_j v_ij."""
    kind, c, reach, rest, w, t, tau, u = model
    k = w.size
    for i in range(k):
        d = z
        for j in range(k):
            d = d + t[i, j] * x[j]
        r = reciprocal(d)
        rr = r * r
        for j in range(k):
            system[i, j] = -t[i, j] * rr
        system[i, i] = system[i, i] + 1.0
        system[i, k] = x[i] + r
        system[i, k + 1] = -rr


@kernel
def equations(model, z, x, system, rows):
    kind = model[0]
    if kind == SEPARABLE:
        _separable(model, z, x, system)
    elif kind == MIXTURE:
        _mixture(model, z, x, system, rows)
    elif kind == SIGNAL:
        _signal(model, z, x, system)
    else:
        _profile(model, z, x, system)


@kernel(inline=True)
def _size(x):
    """|Re| + |Im|: a pivot's size without a square root."""
    return abs(x.real) + abs(x.imag)


@kernel
def _eliminate(system, step, slope):
    """Gaussian elimination: J step = F, J slope = -F_z. Returns whether every pivot was finite and not 0."""
    k = step.size
    for j in range(k):
        pivot = j
        for i in range(j + 1, k):
            if _size(system[i, j]) > _size(system[pivot, j]):
                pivot = i
        if not 0.0 < _size(system[pivot, j]) < np.inf:
            return False
        if pivot != j:
            for m in range(j, k + 2):
                held = system[j, m]
                system[j, m] = system[pivot, m]
                system[pivot, m] = held
        r = reciprocal(system[j, j])
        for i in range(j + 1, k):
            f = system[i, j] * r
            if f != 0.0:
                for m in range(j + 1, k + 2):
                    system[i, m] -= f * system[j, m]
    for j in range(k - 1, -1, -1):
        a = system[j, k]
        b = -system[j, k + 1]
        for m in range(j + 1, k):
            a -= system[j, m] * step[m]
            b -= system[j, m] * slope[m]
        r = reciprocal(system[j, j])
        step[j] = a * r
        slope[j] = b * r
    return True


# ----------------------------------------------------------------------------------------------------- Newton


@kernel
def _newton(model, z, x, step, slope, system, rows):
    """Newton from x, in place; slope becomes dx/dz. From Im x > 0 it stays there; real x stays real.

    Returns (converged and certified, estimated relative error, evaluations).
    """
    upper = x[0].imag > 0.0
    last = np.inf
    error = np.inf
    count = 0
    while count < LIMIT:
        equations(model, z, x, system, rows)
        count += 1
        if not _eliminate(system, step, slope):
            return False, np.inf, count
        damp = 1.0
        size = 0.0
        drift = 0.0  # of the imaginary parts: outside the support nothing but rounding is left of them
        for a in range(x.size):
            size = max(size, _size(step[a]) / _size(x[a]))
            if upper:
                drift = max(drift, abs(step[a].imag) / x[a].imag)
                if step[a].imag > 0.9 * x[a].imag:
                    damp = min(damp, 0.9 * x[a].imag / step[a].imag)
        if not size < np.inf:
            return False, np.inf, count
        for a in range(x.size):
            x[a] = x[a] - damp * step[a]
        if damp == 1.0:
            ratio = size / last if last < np.inf else 1.0
            error = size * ratio * ratio
            if drift < 0.1 and (size <= 4.0 * EPS or (ratio < 0.1 and error <= 0.1 * EPS)):
                break
            if drift < 0.1 and size < 1e-6 and 0.25 < ratio and last < np.inf:  # rounding level
                error = size
                break
            last = size
        else:
            last = np.inf
    else:
        return False, np.inf, count
    for a in range(x.size):
        positive = x[a].imag if upper else slope[a].real
        if not positive > 0.0:
            return False, error, count
    return True, max(error, EPS), count


@kernel
def _start(model, z, x):
    """The solution at large z, to leading order."""
    kind, c, reach, rest, w, t, tau, u = model
    r = reciprocal(z)
    if kind == PROFILE:
        for i in range(x.size):
            x[i] = -r
        return
    if kind == SEPARABLE:
        mean = 0.0
        for j in range(u.size):
            mean += u[j] * tau[0, j]
        total = 0.0
        for i in range(w.size):
            total += w[i] * t[0, i]
        x[0] = -c * total * r
    elif kind == SIGNAL:
        total = 0.0
        for i in range(w.size):
            total += w[i] * t[1, i]
        x[0] = -c * total * r
        x[1] = -reciprocal(1.0 + x[0])
    else:
        for a in range(x.size):
            total = 0.0
            for i in range(w.size):
                total += w[i] * t[a, i]
            x[a] = -c * total * r


@kernel
def _outside(model, z, y, x, slope, trial, step, held, system, rows):
    """Try real unknowns at the real point z, from the solution x with slope at z + i y."""
    for a in range(x.size):
        trial[a] = complex(x[a].real + y * slope[a].imag, 0.0)
    return _newton(model, complex(z.real, 0.0), trial, step, held, system, rows)


@kernel(inline=True)
def _accept(trial, held, x, slope):
    for a in range(x.size):
        x[a] = trial[a]
        slope[a] = held[a]


@kernel
def _neighbour(model, z, jump, x, slope, trial, step, held, system, rows):
    """Try to step from the solution at z - jump to z: a quarter of the evaluations of the way down."""
    goal = z.imag
    for a in range(x.size):
        move = slope[a] * jump
        y = x[a] + move
        if not _size(move) <= 0.5 * _size(x[a]) or (y.imag <= 0.0 and (goal > 0.0 or x[a].imag != 0.0)):
            return False, np.inf, 0
        if y.imag > 0.0 and x[a].imag == 0.0:
            return False, np.inf, 0
        trial[a] = y
    ok, error, count = _newton(model, z, trial, step, held, system, rows)
    if ok:
        _accept(trial, held, x, slope)
    return ok, error, count


@kernel
def solve(model, z, near, jump, vectors, system, rows):
    """Certified unknowns at z, Im z >= 0; on the real axis their limits from above.

    Result in vectors[0] (unknowns) and vectors[1] (their derivatives), which hold the solution at z - jump before
    the call if ``near``. Returns (status, outside, error, evaluations).
    """
    x, slope, trial, step, held = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    reach = model[2]
    goal = z.imag
    spent = 0
    if near:
        ok, error, spent = _neighbour(model, z, jump, x, slope, trial, step, held, system, rows)
        if ok:
            return CONVERGED, x[0].imag == 0.0, error, spent
    # a start from which Newton converges: above, or already far out
    level = goal if abs(z) > 4.0 * reach else max(goal, 2.0 * reach)
    for _ in range(60):
        _start(model, complex(z.real, level), x)
        ok, error, count = _newton(model, complex(z.real, level), x, step, slope, system, rows)
        spent += count
        if ok:
            break
        level = max(2.0 * level, reach)
    if not ok:
        return NOT_CONVERGED, False, error, spent
    if level == goal:
        return CONVERGED, goal == 0.0, error, spent
    # descend
    leap = 2.0  # in log Im z
    while spent < 1000:
        # straight to the goal from where x is nearly linear; first to real unknowns, if no Im x would be left
        bend = 0.0
        flat = 0.0
        for a in range(x.size):
            bend = max(bend, level * _size(slope[a]) / _size(x[a]))
            flat = max(flat, (x[a].imag - level * slope[a].real) / x[a].imag)
        if goal == 0.0 and flat < 0.3:
            ok, error, count = _outside(model, z, level, x, slope, trial, step, held, system, rows)
            spent += count
            if ok:
                _accept(trial, held, x, slope)
                return CONVERGED, True, error, spent
        if bend < 0.6 and (goal > 0.0 or flat > 0.1):
            for a in range(x.size):
                y = x[a] - (level - goal) * complex(-slope[a].imag, slope[a].real)
                trial[a] = complex(
                    y.real, max(y.imag, 0.1 * x[a].imag * (1.0 if flat > 0.1 else goal / level))
                )
            ok, error, count = _newton(model, z, trial, step, held, system, rows)
            spent += count
            if ok:
                _accept(trial, held, x, slope)
                return CONVERGED, False, error, spent
        move = leap
        new = level * np.exp(-move)
        if goal > 0.0 and new < 1.5 * goal:
            move = np.log(level / goal)
            new = goal
        for a in range(x.size):
            # a power of Im z: d log x/d log y = i y x'/x
            rate = complex(-level * slope[a].imag, level * slope[a].real) * reciprocal(x[a])
            gain = np.exp(-move * rate.real)
            turn = -move * rate.imag
            y = x[a] * complex(gain * np.cos(turn), gain * np.sin(turn))
            trial[a] = complex(y.real, max(y.imag, 1e-3 * x[a].imag * np.exp(-move)))
        ok, error, count = _newton(model, complex(z.real, new), trial, step, held, system, rows)
        spent += count
        if ok:
            _accept(trial, held, x, slope)
            level = new
            leap = min(2.0 * move, 12.0)
            if new == goal:
                return CONVERGED, False, error, spent
        else:
            leap = 0.5 * move
            if leap < 1e-3:
                break
    return NOT_CONVERGED, False, error, spent


# ---------------------------------------------------------------------------------------------------- outputs


@kernel
def _finish(model, z, x, slope, rows):
    """m and dm/dz at a solution, in the model's units."""
    kind, c, reach, rest, w, t, tau, u = model
    m = complex(0.0, 0.0)
    dm = complex(0.0, 0.0)
    if kind == PROFILE:
        for i in range(w.size):
            m = m + w[i] * x[i]
            dm = dm + w[i] * slope[i]
        return m, dm
    if kind == SEPARABLE:
        e, f, h = _node_sums(u, tau[0], x[0].real, x[0].imag)
        s, p, r, q = _separable_sums(w, t[0], e.real, e.imag, z.real, z.imag)
        m = q
        # Q' = Q**2 (1 - t e'), e' = -f delta'
        q2 = complex(0.0, 0.0)
        for i in range(w.size):
            v = reciprocal(t[0, i] * e - z)
            q2 = q2 + w[i] * (v * v)
        dm = q2 + r * (f * slope[0])
    elif kind == MIXTURE:
        _resolvent(model, z, x, rows)
        for i in range(w.size):
            v = complex(rows[0, i], rows[1, i])
            d = complex(1.0, 0.0)
            for a in range(x.size):
                g = reciprocal(1.0 + x[a])
                d = d + (u[a] * t[a, i]) * (g * g * slope[a])
            m = m + w[i] * v
            dm = dm + w[i] * (v * v * d)
    else:
        b = 1.0 + x[0]
        for i in range(w.size):
            a = -(x[1] * t[1, i]) - z
            r = reciprocal(((t[0, i] - z) - x[1] * t[1, i]) + x[0] * a)
            m = m + w[i] * (b * r)
            # d(B/G) = (l dB - B**2 dA)/G**2
            dm = dm + w[i] * ((t[0, i] * slope[0] + (b * b) * (t[1, i] * slope[1] + 1.0)) * (r * r))
    return m, dm


@kernel
def coupled_rows(start, stop, model, z, chunk, work, out, unknowns, status, count):
    """Points z, ``chunk`` of them a row, each row in its own workspace; within a row each starts from the last.

    out: m, dm/dz, (error, outside); status 0, 1 or 2.
    """
    systems, vectors, rows = work
    for row in range(start, stop):
        near = False
        last = complex(0.0, 0.0)
        for i in range(row * chunk, min((row + 1) * chunk, z.size)):
            if not (z[i].imag >= 0.0 and abs(z[i].real) < np.inf and z[i].imag < np.inf):
                for a in range(unknowns.shape[1]):
                    unknowns[i, a] = complex(np.nan, np.nan)
                out[0, i] = complex(np.nan, np.nan)
                out[1, i] = complex(np.nan, np.nan)
                out[2, i] = complex(np.nan, 0.0)
                status[i] = INVALID
                count[i] = 0
                continue
            state, outside, error, spent = solve(
                model, z[i], near, z[i] - last, vectors[row], systems[row], rows[row]
            )
            near = state == CONVERGED
            last = z[i]
            for a in range(unknowns.shape[1]):
                unknowns[i, a] = vectors[row, 0, a] if near else complex(np.nan, np.nan)
            out[0, i], out[1, i] = _finish(model, z[i], vectors[row, 0], vectors[row, 1], rows[row])
            if not near:
                out[0, i] = complex(np.nan, np.nan)
                out[1, i] = complex(np.nan, np.nan)
            out[2, i] = complex(error, 1.0 if outside else 0.0)
            status[i] = state
            count[i] = spent


# ------------------------------------------------------------------------------- gaps of the separable model


@kernel(fastmath=SUM_MATH, inline=True)
def _poles(t, w, s):
    """Sums of w t/(t - s), w t**2/(t - s)**2 and w t**2/(t - s)**3."""
    a = 0.0
    b = 0.0
    d = 0.0
    for i in range(t.size):
        r = 1.0 / (t[i] - s)
        x = w[i] * t[i] * r
        a += x
        x *= t[i] * r
        b += x
        d += x * r
    return a, b, d


@kernel
def _window(t, w, low, high, limit):
    """Where sum w t**2/(t - s)**2 < limit in (low, high), neighbouring levels: (found, from, to)."""
    left = low
    right = high
    s = 0.5 * (low + high)
    value = np.inf
    for _ in range(80):
        s = 0.5 * (left + right)
        a, value, d = _poles(t, w, s)
        if value < limit or not left < s < right:
            break
        if d > 0.0:
            right = s
        else:
            left = s
    if not value < limit:
        return False, low, high
    first = s
    last = s
    left = low
    right = high
    for _ in range(60):
        x = 0.5 * (left + first)
        if _poles(t, w, x)[1] < limit:
            first = x
        else:
            left = x
        y = 0.5 * (last + right)
        if _poles(t, w, y)[1] < limit:
            last = y
        else:
            right = y
    return True, first, last


@kernel
def _inverse(t, w, low, high, level):
    """The s in (low, high) with sum w t/(t - s) = level; high = -inf: s > low or, for a positive level, s < 0.

    On the outer interval 1/s is used, in which the interval is connected.
    """
    outer = high == -np.inf
    if outer:  # x = -1/s in (-1/t_max, inf)
        left = -1.0 / low
        right = max(1.0, -left)
        if level <= 0.0:
            right = 0.0
        else:
            while _poles(t, w, -1.0 / right)[0] < level:
                left = right
                right *= 4.0
                if right > 1e300:
                    return np.nan
    else:
        left = low
        right = high
    for _ in range(200):
        x = 0.5 * (left + right)
        if outer and left > 0.0 and right > 4.0 * left:
            x = np.sqrt(left * right)
        if not left < x < right:
            break
        s = (-1.0 / x if x != 0.0 else np.inf) if outer else x
        value = 0.0 if s == np.inf else _poles(t, w, s)[0]
        if value > level:
            right = x
        else:
            left = x
        if right - left <= 4.0 * EPS * abs(x):
            break
    x = 0.5 * (left + right)
    if not outer:
        return x
    return -1.0 / x if x != 0.0 else np.inf


@kernel
def _mix(t, w, tau, u, c, s, low, high):
    """rho(M) and z at the real point with s on one side and its partner in (low, high) on the other."""
    a, b, _ = _poles(t, w, s)
    if high != -np.inf and not a < 0.0:
        return np.inf, 0.0
    total = np.sum(u)
    if not c * a < total:
        return np.inf, 0.0
    q = _inverse(tau, u, low, high, c * a)
    if not (abs(q) > 0.0):
        return np.inf, 0.0
    # with delta = -1/q: e = E[tau/(1 + tau delta)] = -q E[tau/(tau - q)], and E[(tau/(1 + tau delta))**2]
    e = 0.0
    f = 0.0
    delta = -1.0 / q
    for j in range(tau.size):
        x = tau[j] / (1.0 + tau[j] * delta)
        e += u[j] * x
        f += u[j] * x * x
    if not e > 0.0:
        return np.inf, 0.0
    return c * b * f / (e * e), s * e


@kernel
def _lowest(t, w, tau, u, c, first, last, low, high):
    """A point of the curve s in (first, last) where rho(M) < 1: (found, z). {rho(M) < 1} is connected there."""
    samples = 24
    best = np.inf
    at = 0
    for k in range(samples):
        value, z = _mix(t, w, tau, u, c, first + (last - first) * ((k + 0.5) / samples), low, high)
        if value < 1.0:
            return True, z
        if value < best:
            best = value
            at = k
    if best == np.inf:
        return False, 0.0
    # golden section around the least sample
    left = first + (last - first) * ((at - 0.5) / samples)
    right = first + (last - first) * ((at + 1.5) / samples)
    left = max(left, first)
    right = min(right, last)
    ratio = 0.3819660112501051
    x = left + ratio * (right - left)
    y = right - ratio * (right - left)
    fx, zx = _mix(t, w, tau, u, c, x, low, high)
    fy, zy = _mix(t, w, tau, u, c, y, low, high)
    for _ in range(60):
        if fx < 1.0:
            return True, zx
        if fy < 1.0:
            return True, zy
        if fx < fy:
            right = y
            y, fy, zy = x, fx, zx
            x = left + ratio * (right - left)
            fx, zx = _mix(t, w, tau, u, c, x, low, high)
        else:
            left = x
            x, fx, zx = y, fy, zy
            y = right - ratio * (right - left)
            fy, zy = _mix(t, w, tau, u, c, y, low, high)
        if not left < x < y < right:
            break
    return False, 0.0


@kernel
def separable_gaps(t, w, tau, u, c, windows, other, out):
    """One point in every gap of the support of the separable model that is not one of the two outer ones.

    Real delta and d = -1/s parametrise the outside: c E[d t/(1 + d t)] = E[tau delta/(1 + tau delta)] and
    z = -E[tau delta/(1 + tau delta)]/(delta d) > 0, outside iff rho(M) < 1. Between two gaps with d and delta in
    the same intervals between poles there would be no mass: the mass below a gap counts the levels and the nodes
    beyond the poles. So each pair of intervals holds one gap at most. rho(M) exceeds both c E[u**2] and
    E[v**2]/c, u = d t/(1 + d t) and v = tau delta/(1 + tau delta), which leaves few pairs. Returns their number.
    """
    count = 0
    near = 0
    for i in range(t.size - 1):
        a = (w[i] * t[i] * t[i]) ** (1.0 / 3.0) + (w[i + 1] * t[i + 1] * t[i + 1]) ** (1.0 / 3.0)
        if c * a * a * a < (t[i + 1] - t[i]) ** 2:
            found, first, last = _window(t, w, t[i], t[i + 1], 1.0 / c)
            if found:
                windows[near, 0] = first
                windows[near, 1] = last
                near += 1
    far = 0
    for j in range(tau.size - 1):
        a = (u[j] * tau[j] * tau[j]) ** (1.0 / 3.0) + (u[j + 1] * tau[j + 1] * tau[j + 1]) ** (1.0 / 3.0)
        if a * a * a < c * (tau[j + 1] - tau[j]) ** 2:
            found, first, last = _window(tau, u, tau[j], tau[j + 1], c)
            if found:
                other[far, 0] = first
                other[far, 1] = last
                other[far, 2] = tau[j]
                other[far, 3] = tau[j + 1]
                found, z = _lowest(tau, u, t, w, 1.0 / c, first, last, t[-1], -np.inf)
                if found:
                    out[count] = c * z
                    count += 1
                far += 1
    for i in range(near):
        first = windows[i, 0]
        last = windows[i, 1]
        found, z = _lowest(t, w, tau, u, c, first, last, tau[-1], -np.inf)
        if found:
            out[count] = z
            count += 1
        low = c * _poles(t, w, first)[0]
        high = c * _poles(t, w, last)[0]
        for j in range(far):
            if _poles(tau, u, other[j, 0])[0] < min(high, 0.0) and low < _poles(tau, u, other[j, 1])[0]:
                found, z = _lowest(t, w, tau, u, c, first, last, other[j, 2], other[j, 3])
                if found:
                    out[count] = z
                    count += 1
    return count
