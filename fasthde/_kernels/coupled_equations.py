r"""Equations of the laws with coupled unknowns: four families, each a system of its own.

At Im z >= 0 (weights w of the p levels, c = p/n; each unknown keeps Im >= 0)::

    separable    delta = c sum w t Q,              Q = 1/(e t - z),  e = E[tau/(1 + tau delta)]
    mixture      delta_a = c sum w t_a Q,          Q = 1/(sum_a pi_a t_a/(1 + delta_a) - z)
    signal       delta = c sum w t Q,              Q = B/(l + B A),  B = 1 + delta,  A = e t - z
    + noise      e = (1 - c w_+)/B + c sum_{l>0} w A/(l + B A)       (unknowns delta and -e)
    profile      g_i = -1/(z + sum_j w_j v_ij g_j)

Source: Zhang 2006, Paul & Silverstein 2009, Couillet & Hachem 2014 (separable); Couillet, Debbah & Silverstein
2011, Benaych-Georges & Couillet 2016 (mixture); Dozier & Silverstein 2007, Hachem, Loubaton & Najim 2007 (signal
plus noise); Girko 2001, Ajanki, Erdos & Krueger 2017 (profile).

Why this form

* The unknowns stay finite and non-zero from z = infinity to the real axis. Where a hard edge at 0 makes the
  Jacobian singular like sqrt(z), one equation is replaced by the count ``1 - c w = ...``, in which everything
  that cancels has been cancelled: the density at 1e-20 has 14 digits, where it had 6.
* The family is the *length* of the tuple ``model``, which numba knows when it compiles: the branches of the
  other families are cut before type inference, and a first law compiles its own family only.

Tuples, all rescaled so that the largest t, tau or v is 1: profile (w, reach, t), signal (w, reach, t, c, rest),
mixture (w, reach, t, c, rest, u), separable (w, reach, t, c, rest, u, tau).

w       weights of the levels; those that carry nothing are left out
reach   bounds the spectrum
t       levels; rows of levels for a mixture, [l, t, l - base] for the signal, w_j v_ij for the profile
c       p/n
rest    [1 - c w_+, 1 - c w], for the signal also base, from which its z is counted
u, tau  weights of the classes or of the other side, and the other side's values

system = [J | F | F_z], complex K x (K + 2); rows: real, ROWS x N.
"""

from fasthde._jit import SUM_MATH, kernel, reciprocal

#: Families, told apart by the length of their tuple.
PROFILE, SIGNAL, MIXTURE, SEPARABLE = 3, 5, 6, 7

#: Real vectors of length N in the workspace.
ROWS = 4


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
    """E = sum u tau/(1 + tau delta), -de/ddelta, and sum u/(1 + tau delta)."""
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
def _signal_sums(c, w, level, t, gap, base, dr, di, er, ei, zr, zi):
    """The eight sums of signal plus noise; r = 1/G, G = l + A + delta A, A = e t - base - z. See `_signal`.

    gap = l - base: next to a level, l - (base + z) keeps all the digits of z.
    """
    s1r = s1i = s2r = s2i = p1r = p1i = p2r = p2i = p3r = p3i = q1r = q1i = q2r = q2i = q0r = q0i = 0.0
    for i in range(w.size):
        ar = t[i] * er - (base + zr)
        ai = t[i] * ei - zi
        gr = ((gap[i] - zr) + t[i] * er) + (dr * ar - di * ai)
        gi = ai + (dr * ai + di * ar)
        n = 1.0 / (gr * gr + gi * gi)
        rr = gr * n
        ri = -gi * n
        b = c * w[i]
        b2 = b if level[i] > 0.0 else 0.0
        used = b if level[i] + t[i] > 0.0 else 0.0
        s1r += b * t[i] * rr
        s1i += b * t[i] * ri
        q0r += used * rr
        q0i += used * ri
        s2r += b2 * (ar * rr - ai * ri)
        s2i += b2 * (ar * ri + ai * rr)
        xr = rr * rr - ri * ri
        xi = 2.0 * (rr * ri)
        p1r += b * t[i] * level[i] * xr
        p1i += b * t[i] * level[i] * xi
        p2r += b * t[i] * t[i] * xr
        p2i += b * t[i] * t[i] * xi
        q1r += b * t[i] * xr
        q1i += b * t[i] * xi
        q2r += b2 * level[i] * xr
        q2i += b2 * level[i] * xi
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
    w, _, t, c, rest, u, tau = model
    delta = x[0]
    e, f, h = _node_sums(u, tau, delta.real, delta.imag)
    s, p, r, q = _separable_sums(w, t, e.real, e.imag, z.real, z.imag)
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
    """Rows 0, 1: Q of every level of a mixture, real and imaginary parts."""
    w, _, t, _, _, u = model
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
    w, _, t, c, rest, u = model
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
    w, _, t, c, rest = model
    b = 1.0 + x[0]
    e = -x[1]
    s1, s2, p1, p2, p3, q1, q2, q0 = _signal_sums(
        c, w, t[0], t[1], t[2], rest[2], x[0].real, x[0].imag, e.real, e.imag, z.real, z.imag
    )
    z = z + rest[2]
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
    w, _, t = model
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
    """Jacobian, residual and derivative in z of the family's equations at the unknowns x."""
    if len(model) == SEPARABLE:
        _separable(model, z, x, system)
    elif len(model) == MIXTURE:
        _mixture(model, z, x, system, rows)
    elif len(model) == SIGNAL:
        _signal(model, z, x, system)
    else:
        _profile(model, z, x, system)


# ----------------------------------------------------------------------------------------- start and transform


@kernel
def _first_moment(w, t):
    total = 0.0
    for i in range(w.size):
        total += w[i] * t[i]
    return total


@kernel
def at_infinity(model, z, x):
    """Unknowns at large z, to leading order."""
    r = reciprocal(z + model[4][2]) if len(model) == SIGNAL else reciprocal(z)
    if len(model) == SEPARABLE:
        x[0] = -model[3] * _first_moment(model[0], model[2]) * r
    elif len(model) == MIXTURE:
        for a in range(x.size):
            x[a] = -model[3] * _first_moment(model[0], model[2][a]) * r
    elif len(model) == SIGNAL:
        x[0] = -model[3] * _first_moment(model[0], model[2][1]) * r
        x[1] = -reciprocal(1.0 + x[0])
    else:
        for i in range(x.size):
            x[i] = -r


@kernel
def _of_separable(model, z, x, slope):
    w, _, t, _, _, u, tau = model
    e, f, _ = _node_sums(u, tau, x[0].real, x[0].imag)
    _, _, r, q = _separable_sums(w, t, e.real, e.imag, z.real, z.imag)
    # Q' = Q**2 (1 - t e'), e' = -f delta'
    q2 = complex(0.0, 0.0)
    for i in range(w.size):
        v = reciprocal(t[i] * e - z)
        q2 = q2 + w[i] * (v * v)
    return q, q2 + r * (f * slope[0])


@kernel
def _of_mixture(model, z, x, slope, rows):
    w, _, t, _, _, u = model
    m = complex(0.0, 0.0)
    dm = complex(0.0, 0.0)
    _resolvent(model, z, x, rows)
    for i in range(w.size):
        v = complex(rows[0, i], rows[1, i])
        d = complex(1.0, 0.0)
        for a in range(x.size):
            g = reciprocal(1.0 + x[a])
            d = d + (u[a] * t[a, i]) * (g * g * slope[a])
        m = m + w[i] * v
        dm = dm + w[i] * (v * v * d)
    return m, dm


@kernel
def _of_signal(model, z, x, slope):
    w, _, t, _, rest = model
    m = complex(0.0, 0.0)
    dm = complex(0.0, 0.0)
    b = 1.0 + x[0]
    for i in range(w.size):
        a = -(x[1] * t[1, i]) - (rest[2] + z)
        r = reciprocal(((t[2, i] - z) - x[1] * t[1, i]) + x[0] * a)
        m = m + w[i] * (b * r)
        # d(B/G) = (l dB - B**2 dA)/G**2
        dm = dm + w[i] * ((t[0, i] * slope[0] + (b * b) * (t[1, i] * slope[1] + 1.0)) * (r * r))
    return m, dm


@kernel
def _of_profile(model, x, slope):
    w = model[0]
    m = complex(0.0, 0.0)
    dm = complex(0.0, 0.0)
    for i in range(w.size):
        m = m + w[i] * x[i]
        dm = dm + w[i] * slope[i]
    return m, dm


@kernel
def transform(model, z, x, slope, rows):
    """The Stieltjes transform and its derivative at solved unknowns."""
    if len(model) == SEPARABLE:
        return _of_separable(model, z, x, slope)
    elif len(model) == MIXTURE:
        return _of_mixture(model, z, x, slope, rows)
    elif len(model) == SIGNAL:
        return _of_signal(model, z, x, slope)
    return _of_profile(model, x, slope)
