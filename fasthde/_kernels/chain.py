r"""A law as an explicit curve: the subordination point s, and free operations carried along it.

Equation (arXiv 2506.13139; Marchenko & Pastur 1967, Silverstein 1995, Biane 1997, Nica & Speicher 2006).
From g(s) = sum w/(t - s) the state is (z, m, h) with m = int mu(dx)/(x - z) and h = 1 + z m::

    sample covariance   z <- z f, m <- m/f, h <- h         f = 1 - c h     (its Gram side: m <- -1/z, h <- c h)
    affine              z <- a z + b, m <- m/a
    semicircle          z <- z - v m
    compound Poisson    z <- z + sum u tau/(1 + c tau m)
    inverse Wishart     z <- z/e, m <- m e, h <- h         e = 1 - c + c h
    corner              z <- z + (1 - q)/m, m <- m/q, h <- h/q

For z in the upper half-plane the point s is the only one with Im z_j > 0 at every step j (a certificate: any
way of finding it will do); x is outside the support iff x = z(s) at a real s with dz_j/ds > 0 at every step.

Why this form

* h is carried, not formed as 1 + z m, and so is y = z m + (mass at 0): wherever 1 - c h is small it is taken as
  (1 - c (1 - mass)) - c y. Edges near 0 (c near 1) and hard edges keep their relative precision.
* Taylor coefficients up to the second order in s travel together: a Newton step becomes a Halley step, and
  near the root m is extrapolated instead of evaluated again (1.4 times fewer sums).
* Each step subtracts from z a function N with Im N > 0 (in -1/z for the inverse Wishart step), so its own
  derivative P = 1 - N' is strictly concave between the poles of N: one maximum, at most two roots.

* A million atoms are summed through a binary tree, whose nodes carry 16-point Gauss rules of their atoms: a node
  is used when s is at least .75 of its width away (error 3.1**-32), so a sum costs a thousand terms at any p.

Tuples: law = (ops, par, tau, u, t, w, wt, head, low, high, part). t, w, wt = w t are the atoms away from 0, followed by
the rules of the tree; node k of the tree, whose children are 2 k and 2 k + 1, spans [low[k], high[k]] and has its
rule at part[k, 0:2], its atoms, if it is a leaf, at part[k, 2:4]. head = (mass at 0, mass at 0 of the final law,
whether all operations are multiplicative, mean of the population, places in wide gaps of the spectrum, ascending).
par holds, operation by operation: (c, 1 - c (1 - mass at 0), whether it brings zeros, whether the Gram side is
taken); (a, b, mass at 0 afterwards); (v); (c, first and last point, whether there is an atom at 0, what dissolves
atoms less its mass); (c); (q, 0, 0, as before).
A pack holds many laws with the same operations, one after the other: par and head one row a law, and the bounds
of each law's atoms; ``owner`` says which law an element belongs to.
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel, reciprocal

SAMPLE, AFFINE, SEMICIRCLE, POISSON, INVERSE, CORNER = 0, 1, 2, 3, 4, 5

CONVERGED, NOT_CONVERGED, INVALID = 0, 1, 2
EPS = 2.220446049250313e-16


@kernel(inline=True)
def pick(pack, i):
    """Law i of a pack."""
    ops, par, tau, u, t, w, wt, head, low, high, part, first = pack
    a = first[i]
    b = first[i + 1]
    return ops, par[i], tau, u, t[a:b], w[a:b], wt[a:b], head[i], low[i], high[i], part[i]


# ------------------------------------------------------------------------------------------------- the sums


@kernel(fastmath=SUM_MATH, inline=True)
def real_sums(t, w, wt, cut, s):
    """Taylor coefficients g0, g1, g2 of sum w/(t - s), and sum w t/(t - s) as e + c: c counts the atoms above cut."""
    g0 = 0.0
    g1 = 0.0
    g2 = 0.0
    e = 0.0
    c = 0.0
    for i in range(t.size):
        r = 1.0 / (t[i] - s)
        a = w[i] * r
        above = t[i] > cut
        c += w[i] if above else 0.0
        e += s * a if above else wt[i] * r
        g0 += a
        a *= r
        g1 += a
        g2 += a * r
    return g0, g1, g2, e, c


@kernel(fastmath=SUM_MATH, inline=True)
def complex_sums(t, w, wt, cut, x, y):
    """The same at s = x + i y, real and imaginary parts apart: one division an atom."""
    g0r = 0.0
    g0i = 0.0
    g1r = 0.0
    g1i = 0.0
    g2r = 0.0
    g2i = 0.0
    er = 0.0
    ei = 0.0
    c = 0.0
    y2 = y * y
    for i in range(t.size):
        d = t[i] - x
        q = 1.0 / (d * d + y2)
        rr = d * q
        ri = y * q
        ar = w[i] * rr
        ai = w[i] * ri
        above = t[i] > cut
        c += w[i] if above else 0.0
        er += x * ar - y * ai if above else wt[i] * rr
        ei += x * ai + y * ar if above else wt[i] * ri
        g0r += ar
        g0i += ai
        br = ar * rr - ai * ri
        bi = ar * ri + ai * rr
        g1r += br
        g1i += bi
        g2r += br * rr - bi * ri
        g2i += br * ri + bi * rr
    return complex(g0r, g0i), complex(g1r, g1i), complex(g2r, g2i), complex(er, ei), c


@kernel(inline=True)
def _next(node):
    """The node after this one and all below it, in depth-first order; 0 at the end."""
    while node % 2 == 1:
        node >>= 1
    return node + 1 if node > 0 else 0


@kernel(inline=True)
def _gap(head, size):
    """The first wide gap of the spectrum above |s|; inf without one."""
    for k in range(4, head.size):
        if head[k] > size:
            return head[k]
    return np.inf


@kernel(inline=True)
def gather_real(law, s):
    """`real_sums` over the tree."""
    _, _, _, _, t, w, wt, head, low, high, part = law
    cut = _gap(head, abs(s))
    g0 = 0.0
    g1 = 0.0
    g2 = 0.0
    e = 0.0
    c = 0.0
    node = 1
    while node > 0:
        d = max(low[node] - s, s - high[node])
        far = d >= 0.75 * (high[node] - low[node])
        leaf = 2 * node >= low.size
        if far or leaf:
            k = 0 if far else 2
            a = part[node, k]
            b = part[node, k + 1]
            a0, a1, a2, b0, b1 = real_sums(t[a:b], w[a:b], wt[a:b], cut, s)
            g0 += a0
            g1 += a1
            g2 += a2
            e += b0
            c += b1
            node = _next(node)
        else:
            node = 2 * node
    return g0, g1, g2, e, c


@kernel(inline=True)
def gather_complex(law, x, y):
    """`complex_sums` over the tree."""
    _, _, _, _, t, w, wt, head, low, high, part = law
    cut = _gap(head, np.sqrt(x * x + y * y))
    g0 = 0.0j
    g1 = 0.0j
    g2 = 0.0j
    e = 0.0j
    c = 0.0
    node = 1
    while node > 0:
        d = max(max(low[node] - x, x - high[node]), 0.0)
        span = 0.75 * (high[node] - low[node])
        far = d * d + y * y >= span * span
        leaf = 2 * node >= low.size
        if far or leaf:
            k = 0 if far else 2
            a = part[node, k]
            b = part[node, k + 1]
            a0, a1, a2, b0, b1 = complex_sums(t[a:b], w[a:b], wt[a:b], cut, x, y)
            g0 += a0
            g1 += a1
            g2 += a2
            e += b0
            c += b1
            node = _next(node)
        else:
            node = 2 * node
    return g0, g1, g2, e, c


# ------------------------------------------------------------------------------------------------- the steps


@kernel(inline=True)
def _start(s, g0, g1, g2, e, c, mass):
    """State at the population: z, m, h with their Taylor coefficients, y = z m + mass at 0."""
    y = s * g0
    h0 = e + c
    h1 = g0 + s * g1
    h2 = g1 + s * g2
    if mass > 0.0:
        r = reciprocal(s)
        a = mass * r
        g0 = g0 - a
        a = a * r
        g1 = g1 + a
        g2 = g2 - a * r
    return g0, g1, g2, h0, h1, h2, y


@kernel(inline=True)
def _deficit(p, delta, y, h, e, c):
    """F = 1 - p h by the form that cancels least, and the size of its constant.

    h = y + (1 - mass at 0) = e + c with c the count of the levels above the next wide gap: where the large levels
    alone use up the samples, p c = 1, f is far smaller than any sum over all levels.
    """
    size_y = abs(y.real) + abs(y.imag)
    size_e = abs(e.real) + abs(e.imag)
    if size_y <= 1.000001 * size_e and size_y < abs(h.real) + abs(
        h.imag
    ):  # y = e up to rounding: delta is exact
        return delta - p * y, abs(delta)
    constant = 1.0 - p * c
    return constant - p * e, abs(constant)


@kernel(inline=True)
def steps(ops, par, tau, u, stop, s, g0, g1, g2, e, c, mass):
    """Carry the state through the first ``stop`` operations.

    Returns z0, z1, z2, m0, m1, m2, h0, h1, h2, y, e, c (h = e + c), the smallest imaginary part of z before an
    operation, and the size of the numbers that were added up to z0: what its rounding is relative to.
    """
    m0, m1, m2, h0, h1, h2, y = _start(s, g0, g1, g2, e, c, mass)
    z0 = s
    z1 = s * 0.0 + 1.0
    z2 = s * 0.0
    low = np.inf
    big = 0.0
    for j in range(stop):
        op = ops[j]
        if op != AFFINE:  # which keeps the sign, and may be the last: z itself can be real
            low = min(low, z0.imag)
        p = par[j, 0]
        if op == SAMPLE:
            f0, size = _deficit(p, par[j, 1], y, h0, e, c)
            f1 = -p * h1
            f2 = -p * h2
            if par[j, 2] > 0.0:  # the mass at 0 becomes 1 - 1/c
                y = f0 * (-1.0 / p)
            if par[j, 3] > 0.0:  # Gram side: m = -1/z
                r = reciprocal(z0)
                m0 = -r
                m1 = z1 * r * r
                m2 = (z2 - z1 * z1 * r) * r * r
                h0 = p * h0
                e = p * e
                c = p * c
                h1 = -f1
                h2 = -f2
                y = p * y
            else:
                r = reciprocal(f0)
                m0 = m0 * r
                m1 = (m1 - m0 * f1) * r
                m2 = (m2 - m1 * f1 - m0 * f2) * r
            big = max(big * (abs(f0.real) + abs(f0.imag)), size * (abs(z0.real) + abs(z0.imag)))
            z2 = z2 * f0 + z1 * f1 + z0 * f2
            z1 = z1 * f0 + z0 * f1
            z0 = z0 * f0
        elif op == AFFINE:
            b = par[j, 1]
            big = max(p * big, abs(b))
            z0 = p * z0 + b
            z1 = p * z1
            z2 = p * z2
            r = 1.0 / p
            m0 = m0 * r
            m1 = m1 * r
            m2 = m2 * r
            if b != 0.0:
                h0 = h0 + b * m0
                h1 = h1 + b * m1
                h2 = h2 + b * m2
                y = z0 * m0 + par[j, 2]
                e = h0
                c = 0.0
        elif op == SEMICIRCLE:
            big = max(big, abs(z0.real) + abs(z0.imag))
            z0 = z0 - p * m0
            z1 = z1 - p * m1
            z2 = z2 - p * m2
            h0 = h0 - p * (m0 * m0)
            h1 = h1 - 2.0 * p * (m0 * m1)
            h2 = h2 - p * (2.0 * (m0 * m2) + m1 * m1)
            y = z0 * m0
            e = h0
            c = 0.0
        elif op == POISSON:
            k0 = s * 0.0
            k1 = s * 0.0
            k2 = s * 0.0
            lost = s * 0.0
            for k in range(int(par[j, 1]), int(par[j, 2])):
                ct = p * tau[k]
                r = reciprocal(1.0 + ct * m0)
                a = u[k] * tau[k] * r
                lost = lost + (u[k] / p) * r
                k0 = k0 + a
                a = a * (-ct) * r
                k1 = k1 + a * m1
                k2 = k2 + a * (m2 - ct * r * (m1 * m1))
            h0 = h0 + m0 * k0
            h1 = h1 + m0 * k1 + m1 * k0
            h2 = h2 + m0 * k2 + m1 * k1 + m2 * k0
            big = max(big, abs(z0.real) + abs(z0.imag))
            before = abs(z0.real) + abs(z0.imag)
            z0 = z0 + k0
            z1 = z1 + k1
            z2 = z2 + k2
            e = h0
            c = 0.0
            if par[j, 3] > 0.0:  # with an atom at 0
                y = y - lost
                zm = y + par[j, 4]
                if abs(z0.real) + abs(z0.imag) < 0.5 * before:
                    r = reciprocal(m0)
                    z0 = zm * r
                    z1 = (h1 - z0 * m1) * r
                    z2 = (h2 - z1 * m1 - z0 * m2) * r
                if par[j, 4] > 0.0:
                    y = zm
            else:
                y = z0 * m0
        elif op == INVERSE:
            e0 = (1.0 - p) + p * h0
            e1 = p * h1
            e2 = p * h2
            r = reciprocal(e0)
            big *= abs(r.real) + abs(r.imag)
            z0 = z0 * r
            z1 = (z1 - z0 * e1) * r
            z2 = (z2 - z1 * e1 - z0 * e2) * r
            m2 = m2 * e0 + m1 * e1 + m0 * e2
            m1 = m1 * e0 + m0 * e1
            m0 = m0 * e0
        else:  # CORNER
            r = reciprocal(m0)
            a = (1.0 - p) * r
            before = abs(z0.real) + abs(z0.imag)
            big = max(big, before)
            z0 = z0 + a
            zm = y + par[j, 4]
            if par[j, 3] > 0.0 and abs(z0.real) + abs(z0.imag) < 0.5 * before:  # with an atom at 0
                z0 = zm * r
                z1 = (h1 - z0 * m1) * r
                z2 = (h2 - z1 * m1 - z0 * m2) * r
            else:
                z1 = z1 - a * r * m1
                z2 = z2 - a * r * (m2 - r * (m1 * m1))
            q = 1.0 / p
            m0 = m0 * q
            m1 = m1 * q
            m2 = m2 * q
            h0 = h0 * q
            h1 = h1 * q
            h2 = h2 * q
            e = h0
            c = 0.0
            if par[j, 3] > 0.0:
                y = (zm if par[j, 4] > 0.0 else y) * q
            else:
                y = z0 * m0
    return z0, z1, z2, m0, m1, m2, h0, h1, h2, y, e, c, low, big


# ----------------------------------------------------------------------------------------- the complex plane


@kernel(inline=True)
def _square_root(z):
    """Principal root."""
    a = z.real
    b = z.imag
    scale = 1.0
    if abs(a) + abs(b) < 1e-150:  # next to a double root at 0: the squares below would vanish
        a *= 2.0**800
        b *= 2.0**800
        scale = 2.0**-400
    r = np.sqrt(0.5 * (np.sqrt(a * a + b * b) + abs(a)))
    if r == 0.0:
        return complex(0.0, 0.0)
    q = 0.5 * abs(b) / r * scale
    r *= scale
    if a >= 0.0:
        return complex(r, q if b >= 0.0 else -q)
    return complex(q, r if b >= 0.0 else -r)


@kernel(inline=True)
def _correction(f, z1, z2):
    """The root of f + z1 x + z2 x**2 nearest to 0."""
    d = z1 * z1 - 4.0 * (z2 * f)
    a = _square_root(d)
    if a.real * z1.real + a.imag * z1.imag < 0.0:
        a = -a
    return -2.0 * f * reciprocal(z1 + a)


@kernel(inline=True)
def newton(law, z, s, limit):
    """Solve z(s) = z in the upper half-plane from s; z may be real (the density's side of the axis).

    Returns s, m, dm/dz, dz/ds, y, whether the certificate holds, the last correction relative to s,
    the count; before the last three the size of the numbers added up to z.
    """
    ops, par, tau, u, _, _, _, head, _, _, _ = law
    m = complex(np.nan, np.nan)
    y = m
    slope = m
    mz = m
    certified = False
    big = 0.0
    size = np.inf
    last = np.inf
    count = 0
    for _ in range(limit):
        count += 1
        g0, g1, g2, e, c = gather_complex(law, s.real, s.imag)
        z0, z1, z2, m0, m1, m2, _, h1, h2, y0, _, _, low, big = steps(
            ops, par, tau, u, ops.size, s, g0, g1, g2, e, c, head[0]
        )
        x = _correction(z0 - z, z1, z2)
        size = abs(x.real) + abs(x.imag)
        if not size < np.inf:
            certified = False
            break
        scale = abs(s.real) + abs(s.imag)
        m = m0 + x * (m1 + x * m2)
        y = y0 + x * (h1 + x * h2)
        slope = z1 + 2.0 * (x * z2)
        mz = (m1 + 2.0 * (x * m2)) * reciprocal(slope)
        # cubic convergence: what is left after this correction is below rounding
        near = size <= 3e-6 * abs(s.imag) and size * abs(z2) <= 1e-3 * abs(z1)
        floor = size <= 2.0 * EPS * scale or (size <= 1e-9 * scale and size > 0.3 * last)
        if s.imag + x.imag <= 0.0:  # never leave the half-plane; off the support, straight to the axis
            top = 0.25 * s.imag
            if z.imag > 0.0 and s.imag * abs(z2) < 1e-2 * z1.real:
                top = min(top, z.imag / z1.real)
            s = complex(s.real + x.real, top)
        else:
            s = s + x
        last = size
        if near or floor:
            # a root on the real axis itself counts only where z increases
            real = s.imag * abs(z2) < 1e-3 * abs(z1) and z1.real < 0.0
            certified = low > 0.0 and s.imag > 0.0 and not real
            size = size * size / (abs(s.imag) + 1e-300) * EPS if near else size / (scale + 1e-300)
            break
    return s, m, mz, slope, y, big, certified, size, count


@kernel(inline=True)
def _far(law, z):
    """The subordination point of a large z: z = scale s + constant + O(1/s)."""
    ops, par, tau, u, _, _, _, head, _, _, _ = law
    scale = 1.0
    constant = 0.0
    mean = head[3]
    for j in range(ops.size):
        p = par[j, 0]
        if ops[j] == SAMPLE:
            # f = 1 - c h, h = -mean/z
            constant += p * mean
            if par[j, 3] > 0.0:
                mean *= p
        elif ops[j] == AFFINE:
            scale *= p
            constant = p * constant + par[j, 1]
            mean = p * mean + par[j, 1]
        elif ops[j] == POISSON:
            for k in range(int(par[j, 1]), int(par[j, 2])):
                constant += u[k] * tau[k]
                mean += u[k] * tau[k]
        elif ops[j] == INVERSE:
            # z/(1 - c + c h), h = -mean/z
            r = 1.0 / (1.0 - p)
            constant = constant * r + p * mean * r * r
            scale *= r
            mean *= r
        elif ops[j] == CORNER:
            # (1 - q)/m = -(1 - q)(z - mean)
            scale *= p
            constant = p * constant + (1.0 - p) * mean
    return (z - constant) * (1.0 / scale)


@kernel(inline=True)
def solve(law, z, guess, reach):
    """The subordination point of z, Im z >= 0; a point of the real axis is taken as the limit from above.

    First from the guess, if Im guess > 0. Then down from Im z = reach in steps that certify, each as long as it
    can be: since the certificate excludes every other root, a bold step that passes it needs no second thought.
    Returns s, m, dm/dz, dz/ds, y, the size of what was added up to z, status, residual, iterations.
    """
    target = z.imag
    level = max(reach, target)
    trial = target
    spent = 0
    phase = 0 if guess.imag > 0.0 else 1
    s = guess
    slope = complex(1.0, 0.0)
    m = complex(np.nan, np.nan)
    mz = m
    y = m
    big = 0.0
    size = np.inf
    state = NOT_CONVERGED
    while spent < 2000:
        if phase == 0:
            height = target
            start = guess
        elif phase == 1:  # from high up, where the linear part of z(s) is a good start
            height = level
            far = _far(law, complex(z.real, level))
            start = complex(far.real, max(far.imag, 1e-3 * abs(far.real)))
        else:  # to the linear prediction, but never below a tenth of the height
            height = trial
            drop = complex(0.0, trial - level) * reciprocal(slope)
            start = complex(s.real + drop.real, max(s.imag + drop.imag, 0.1 * s.imag))
        s2, m2, mz2, slope2, y2, big, ok, size2, count = newton(law, complex(z.real, height), start, 30)
        spent += count
        if ok:
            s, m, mz, slope, y, size = s2, m2, mz2, slope2, y2, size2
            if height == target:
                state = CONVERGED
                break
            level = height
            trial = target
            phase = 2
        elif phase == 0:
            phase = 1
        elif phase == 1:
            if level > 1e12 * reach:
                break
            level *= 8.0
        else:
            trial = np.sqrt(trial * level) if trial > 1e-12 * level else 1e-3 * level
            if trial > 0.999 * level:
                break
    return s, m, mz, slope, y, big, state, size, spent


@kernel(inline=True)
def _divide(law, y, z):
    """Whether m is better taken from y = z m + (mass at 0) and the exact z: near an atom at 0, or at z -> 0."""
    mass = law[7][1]
    return z > 0.0 and (law[7][2] > 0.0 or y < 0.5 * mass)


@kernel
def transform_rows(start, stop, z, owner, reach, pack, out, status, count):
    """m, s, residual and dm/dz at points of the closed upper half-plane: the rows of out."""
    for i in range(start, stop):
        if not (z[i].imag >= 0.0 and abs(z[i].real) < np.inf and z[i].imag < np.inf):
            out[0, i] = complex(np.nan, np.nan)
            out[1, i] = complex(np.nan, np.nan)
            out[2, i] = complex(np.nan, 0.0)
            out[3, i] = complex(np.nan, np.nan)
            status[i] = INVALID
            count[i] = 0
            continue
        law = pick(pack, owner[i])
        s, m, mz, _, y, _, state, size, spent = solve(law, z[i], complex(0.0, 0.0), reach[owner[i]])
        if state != CONVERGED:
            m = complex(np.nan, np.nan)
        if state == CONVERGED and _divide(law, abs(y.real) + abs(y.imag), abs(z[i].real) + z[i].imag):
            m = (y - law[7][1]) / z[i]
        out[0, i] = m
        out[1, i] = s
        out[2, i] = complex(size, 0.0)
        out[3, i] = mz
        status[i] = state
        count[i] = spent


# --------------------------------------------------------------------------------------------- the real axis


@kernel(inline=True)
def at_real(law, stop, s):
    """`steps` at a real s."""
    ops, par, tau, u, _, _, _, head, _, _, _ = law
    g0, g1, g2, e, c = gather_real(law, s)
    return steps(ops, par, tau, u, stop, s, g0, g1, g2, e, c, head[0])


@kernel(inline=True)
def _real_root(law, x, low, high, guess):
    """The s in (low, high), where z increases, with z(s) = x: Halley steps kept in the bracket."""
    s = guess
    size = np.inf
    last = np.inf
    m = np.nan
    y = np.nan
    width = max(1e-3 * abs(guess), 1e-300)
    count = 0
    state = NOT_CONVERGED
    for _ in range(600):  # a third nearer a step towards a double root at 0
        count += 1
        z0, z1, z2, m, m1, _, _, h1, _, y, _, _, _, _ = at_real(law, law[0].size, s)
        f = z0 - x
        if f > 0.0:
            high = min(high, s)
        else:
            low = max(low, s)
        d = z1 * z1 - 4.0 * z2 * f
        step = -2.0 * f / (z1 + np.sqrt(d)) if d > 0.0 and z1 > 0.0 else np.nan
        size = abs(step)
        if size <= 2.0 * EPS * abs(s) or (size <= 1e-9 * abs(s) and size > 0.3 * last) or f == 0.0:
            state = CONVERGED
            if size > 0.0:
                m += step * m1
                y += step * h1
            break
        last = size
        s2 = s + step
        if not (low < s2 < high):
            if low == -np.inf:
                s2 = high - width
                width *= 4.0
            elif high == np.inf:
                s2 = low + width
                width *= 4.0
            else:
                s2 = 0.5 * (low + high)
                if s2 in (low, high):
                    state = CONVERGED  # neighbouring numbers: x is an edge to rounding
                    size = 0.0
                    break
        s = s2
    return s, m, y, state, size / (abs(s) + 1e-300), count


@kernel
def real_rows(start, stop, x, owner, component, lows, highs, pack, out, status, count):
    """m, s and residual at real points outside the support, each in its component (low, high) of the s-axis."""
    for i in range(start, stop):
        k = component[i]
        if k < 0:
            out[0, i] = np.nan
            out[1, i] = np.nan
            out[2, i] = np.nan
            status[i] = INVALID
            count[i] = 0
            continue
        low = lows[k]
        high = highs[k]
        law = pick(pack, owner[i])
        guess = _far(law, complex(x[i], 0.0)).real
        if not low < guess < high:
            if low == -np.inf:
                guess = high - 0.1 * abs(high) if high != 0.0 else -abs(guess) - 1e-300
            elif high == np.inf:
                guess = low + 0.1 * abs(low) if low != 0.0 else abs(guess) + 1e-300
            else:
                guess = 0.5 * (low + high)
        s, m, y, state, size, spent = _real_root(law, x[i], low, high, guess)
        if _divide(law, abs(y), abs(x[i])):
            m = (y - law[7][1]) / x[i]
        out[0, i] = m
        out[1, i] = s
        out[2, i] = size
        status[i] = state
        count[i] = spent


# ------------------------------------------------------------------------------------------------ the support


@kernel(inline=True)
def profile(law, j, s):
    """P of operation j at s (its derivative in its own coordinate) and dP/ds."""
    ops, par, tau, u, _, _, _, _, _, _, _ = law
    z0, z1, z2, m0, m1, m2, h0, h1, h2, y, e, c, _, _ = at_real(law, j, s)
    p = par[j, 0]
    op = ops[j]
    r = 1.0 / z1
    mz = m1 * r
    mzs = 2.0 * (m2 * z1 - m1 * z2) * (r * r)
    if op == SAMPLE:
        f, _ = _deficit(p, par[j, 1], y, h0, e, c)
        hz = h1 * r
        return f - p * z0 * hz, -p * (2.0 * h1 + z0 * (2.0 * (h2 * z1 - h1 * z2) * (r * r)))
    if op == SEMICIRCLE:
        return 1.0 - p * mz, -p * mzs
    if op == POISSON:
        value = 1.0
        slope = 0.0
        for k in range(int(par[j, 1]), int(par[j, 2])):
            ct = p * tau[k]
            q = 1.0 / (1.0 + ct * m0)
            a = u[k] * tau[k] * ct * q * q
            value -= a * mz
            slope -= a * (mzs - 2.0 * ct * q * m1 * mz)
        return value, slope
    if op == INVERSE:
        return 1.0 - p * z0 * z0 * mz, -p * z0 * (2.0 * z1 * mz + z0 * mzs)
    q = (1.0 - p) / (m0 * m0)
    return 1.0 - q * mz, -q * (mzs - 2.0 * m1 * mz / m0)


@kernel(inline=True)
def _cut(law, j, low, high, guess, fixed_low, fixed_high):
    """The part of (low, high), without poles inside, where P > 0: (found, low', high').

    At a fixed end, a hard edge that stays, P is positive.

    First a point where P > 0 (none: no gap), by 1 - P as two poles of order two at the ends; then the root on
    either side by Newton on (1 - P)**(-1/2), which is linear near a pole: four evaluations for a dozen.
    """
    searching, rising, falling = 0, 1, 2
    s = guess
    left = low  # bracket of what is sought
    right = high
    top = guess  # a point with P > 0
    top_value = 0.0
    top_slope = 0.0
    edge = low
    before = np.inf
    last = np.inf
    width = max(1e-3 * abs(s), 1e-300)
    phase = searching
    if low == -np.inf or fixed_low:
        if high == np.inf or fixed_high:
            return True, low, high
        phase = falling
    elif high == np.inf:
        phase = rising
    fresh = True  # s is to be evaluated
    value = 0.0
    slope = 0.0
    for _ in range(600):
        if fresh:
            value, slope = profile(law, j, s)
        fresh = True
        if phase == searching:
            if value > 0.0:
                top = s
                top_value = value
                top_slope = slope
                phase = rising
                left = low
                right = s
                width = max(1e-3 * abs(s), 1e-300)
                last = np.inf
                fresh = False
                continue
            if slope > 0.0:
                left = s
            else:
                right = s
            p = s - low
            q = high - s
            k = 1.0 - value
            x = (0.5 * slope + k / q) * (p * q / (p + q))
            y = k - x
            s2 = np.nan
            if x > 0.0 and y > 0.0:
                x = (x * p * p) ** (1.0 / 3.0)
                y = (y * q * q) ** (1.0 / 3.0)
                s2 = low + (high - low) * (x / (x + y))
            gap = right - left
            if not left < s2 < right or gap > 0.6 * before:
                s2 = 0.5 * (left + right)
            before = gap
            if abs(s2 - s) <= 1e-9 * min(p, q) or not left < s2 < right:
                return False, low, high
            s = s2
            continue
        if (value > 0.0) == (phase == rising):
            right = s
        else:
            left = s
        q = 1.0 - value
        step = -2.0 * q * (value / (1.0 + np.sqrt(q))) / slope if q > 0.0 else np.nan
        size = abs(step)
        done = value == 0.0 or size <= EPS * abs(s) or (size <= 1e-9 * abs(s) and size > 0.3 * last)
        last = size
        s2 = s + step
        if done:
            s2 = s2 if size <= 1e-9 * abs(s) else s
        elif not left < s2 < right:
            if left == -np.inf:
                s2 = right - width
                width *= 4.0
            elif right == np.inf:
                s2 = left + width
                width *= 4.0
            else:
                s2 = 0.5 * (left + right)
                done = s2 in (left, right)
        s = s2
        if done:
            if phase == falling:
                return True, edge, s
            edge = s
            if high == np.inf or fixed_high:
                return True, edge, high
            phase = falling  # again from the point found first
            s = top
            value = top_value
            slope = top_slope
            left = top
            right = high
            last = np.inf
            fresh = False
    return False, low, high


@kernel
def cut_rows(start, stop, pack, owner, j, lows, highs, guesses, fixed, found):
    """Cut every interval of the s-axis by P > 0 of operation j, in place."""
    for k in range(start, stop):
        found[k], lows[k], highs[k] = _cut(
            pick(pack, owner[k]), j, lows[k], highs[k], guesses[k], fixed[0, k], fixed[1, k]
        )


@kernel
def level_rows(law, j, lows, highs, level, kind, unit, out):
    """The s in each (low, high) where m (kind 0) or z (kind 1) of the first j steps, increasing, takes a level.

    NaN where it does not; ``unit`` is the size of the s-axis.
    """
    for k in range(lows.size):
        low = lows[k]
        high = highs[k]
        width = unit
        if low == -np.inf:
            s = high - width if high < np.inf else width
        elif high == np.inf:
            s = low + width
        else:
            s = 0.5 * (low + high)
        seen_low = False
        seen_high = False
        for _ in range(1200):
            z0, z1, _, m0, m1, _, _, _, _, _, _, _, _, _ = at_real(law, j, s)
            f = (z0 if kind == 1 else m0) - level
            d = z1 if kind == 1 else m1
            if f > 0.0:
                high = s
                seen_high = True
            else:
                low = s
                seen_low = True
            s2 = s - f / d
            if not abs(s2) < 1e60 * unit:  # far out m is -1/s: it vanishes by underflow only
                break
            if f == 0.0 or abs(s2 - s) <= EPS * abs(s) or (kind == 1 and abs(s2) < 1e-30 * unit):
                seen_low = True
                seen_high = True
                s = s2
                break
            if not (low < s2 < high):
                if low == -np.inf:
                    width *= 4.0
                    s2 = high - width
                elif high == np.inf:
                    width *= 4.0
                    s2 = low + width
                else:
                    s2 = 0.5 * (low + high)
                    if s2 in (low, high):
                        break
            s = s2
        out[k] = s if seen_low and seen_high else np.nan


@kernel
def state_rows(law, stop, s, out):
    """z0, z1, z2, m0, m1, m2, h0 after ``stop`` operations at real points."""
    for k in range(s.size):
        z0, z1, z2, m0, m1, m2, h0, _, _, _, _, _, _, _ = at_real(law, stop, s[k])
        out[0, k] = z0
        out[1, k] = z1
        out[2, k] = z2
        out[3, k] = m0
        out[4, k] = m1
        out[5, k] = m2
        out[6, k] = h0


@kernel
def state_batch(pack, owner, stop, s, out):
    """`state_rows` for points of the laws of a pack."""
    for k in range(s.size):
        z0, z1, z2, m0, m1, m2, h0, _, _, _, _, _, _, _ = at_real(pick(pack, owner[k]), stop, s[k])
        out[0, k] = z0
        out[1, k] = z1
        out[2, k] = z2
        out[3, k] = m0
        out[4, k] = m1
        out[5, k] = m2
        out[6, k] = h0
