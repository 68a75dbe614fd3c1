r"""Hessian laws: one unknown delta, the law of the Hessian weights g as numbers.

Equation (arXiv 2103.01519, Theorem 1), c = p/n, weights w of the levels t of C::

    delta = c sum w t/(t e - z),     e = E[g/(1 + g delta)],     m = sum w/(t e - z)

and, where everything in it cancels (z near 0, p near n), its count: P(g /= 0) - c (1 - w_0) = E[1/(1 + g delta);
g /= 0] + c z sum_{t > 0} w/(t e - z).

The certificate. Whatever the signs of g, Im delta = M Im delta + v Im z with M = c E[g^2/|1 + g delta|^2] sum w
t^2/|t e - z|^2 and v > 0, so a solution with Im delta > 0 (or a real one with d delta/dz > 0) is the right one,
however it was found.

The law of g. On the real axis delta tends to real values, and 1/(1 + g delta) has its pole gamma = -1/delta in the
support of g: a sum over nodes is then off by its spacing, however many there are. So g comes in cells, on each of
which it has a density whose Legendre coefficients a_k are known as well. Off a cell (outside a Bernstein ellipse)
its 24 nodes are summed. On and near it the integral is exact, with x = (gamma - mid)/half::

    int rho(t)/(x - t) dt = sum a_k (P_k(x) L(x) - N_k(x)),     L = log((x + 1)/(x - 1)),

N_k the polynomials of the recurrence of P_k with N_0 = 0, N_1 = 2 (Legendre functions of the second kind). The
branch of L is the one continued through the cell from above: Newton may pass the real axis and come back, and tails
of the density have their full relative precision, 1e-60 or not.

Tuple: law = (g, q, near, mid, half, coefficients, atoms, masses, w, t, head): nodes g with masses q, 24 a cell, the
cells with their Legendre coefficients, the atoms; the levels; head = (c, rest = P(g /= 0) - c (1 - w_0), w_0,
sum w t, a scale of z).
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel, reciprocal

CONVERGED, NOT_CONVERGED, INVALID = 0, 1, 2
EPS = 2.220446049250313e-16

#: Nodes and coefficients a cell.
NODES = 24

#: |x - 1| + |x + 1| of the ellipse of radius 2.6, outside which 24 Gauss nodes are exact: 2.6**-48 = 1e-20.
NEAR = 2.6 + 1.0 / 2.6

#: Evaluations of a Newton iteration before it is given up for a shorter step.
LIMIT = 25


# ---------------------------------------------------------------------------------------------- the law of g


@kernel(fastmath=SUM_MATH)
def _sums(g, q, start, stop, dr, di):
    """Sums of q g/(1 + g d), q g**2/(1 + g d)**2 and q/(1 + g d) over nodes start..stop."""
    er = ei = fr = fi = hr = hi = 0.0
    for j in range(start, stop):
        ar = 1.0 + g[j] * dr
        ai = g[j] * di
        n = 1.0 / (ar * ar + ai * ai)
        ar = ar * n
        ai = -ai * n
        b = q[j] * g[j]
        hr += q[j] * ar
        hi += q[j] * ai
        er += b * ar
        ei += b * ai
        b *= g[j]
        fr += b * (ar * ar - ai * ai)
        fi += b * (2.0 * (ar * ai))
    return complex(er, ei), complex(fr, fi), complex(hr, hi)


@kernel(inline=True)
def _is_near(x):
    if not (abs(x.real) < 0.5 * NEAR and abs(x.imag) < 0.5 * NEAR):
        return False
    y = x.imag * x.imag
    a = x.real - 1.0
    b = x.real + 1.0
    return np.sqrt(a * a + y) + np.sqrt(b * b + y) < NEAR


@kernel
def _cauchy(coefficient, x):
    """Integral of the cell's density over x - t, and its derivative in x, continued from Im x > 0."""
    up = x + 1.0
    down = x - 1.0
    a = up.real * up.real + up.imag * up.imag
    b = down.real * down.real + down.imag * down.imag
    ratio = up * complex(down.real, -down.imag)
    angle = np.arctan2(ratio.imag, ratio.real)
    if -1.0 < x.real < 1.0:
        if x.imag == 0.0:
            angle = -np.pi
        elif x.imag < 0.0:
            angle -= 2.0 * np.pi
    log = complex(0.5 * np.log(a / b), angle)
    dlog = -2.0 * reciprocal(up * down)
    p0 = complex(1.0, 0.0)
    p1 = x
    dp0 = complex(0.0, 0.0)
    dp1 = complex(1.0, 0.0)
    n0 = complex(0.0, 0.0)
    n1 = complex(2.0, 0.0)
    dn0 = complex(0.0, 0.0)
    dn1 = complex(0.0, 0.0)
    value = coefficient[0] * log
    slope = coefficient[0] * dlog
    for k in range(1, NODES):
        c = coefficient[k]
        value = value + c * (p1 * log - n1)
        slope = slope + c * (dp1 * log + p1 * dlog - dn1)
        r = 1.0 / (k + 1.0)
        a = (2.0 * k + 1.0) * r
        b = k * r
        p2 = a * (x * p1) - b * p0
        dp2 = a * (p1 + x * dp1) - b * dp0
        n2 = a * (x * n1) - b * n0
        dn2 = a * (n1 + x * dn1) - b * dn0
        p0 = p1
        p1 = p2
        dp0 = dp1
        dp1 = dp2
        n0 = n1
        n1 = n2
        dn0 = dn1
        dn1 = dn2
    return value, slope


@kernel
def node_sums(law, d):
    """E = E[g/(1 + g d)], -de/dd = E[g**2/(1 + g d)**2] and h = E[1/(1 + g d); g /= 0]."""
    g, q, near, mid, half, coefficient, atoms, masses, _, _, _ = law
    e, f, h = _sums(atoms, masses, 0, atoms.size, d.real, d.imag)
    some = abs(d.real) + abs(d.imag) > 0.0
    gamma = -reciprocal(d) if some else complex(0.0, 0.0)
    start = 0  # nodes not yet summed
    for k in range(mid.size):
        if not (some and near[k]):
            continue
        r = 1.0 / half[k]
        x = complex((gamma.real - mid[k]) * r, gamma.imag * r)
        if _is_near(x):
            e1, f1, h1 = _sums(g, q, start, NODES * k, d.real, d.imag)
            start = NODES * (k + 1)
            value, slope = _cauchy(coefficient[k], x)
            mass = 2.0 * coefficient[k, 0]
            y = gamma * r
            a = y * value
            h = h + h1 + a
            e = e + e1 + gamma * (a - mass)
            f = f + f1 + gamma * gamma * (mass - 2.0 * a - y * y * slope)
    e1, f1, h1 = _sums(g, q, start, g.size, d.real, d.imag)
    return e + e1, f + f1, h + h1


@kernel
def sums_rows(law, d, out):
    """`node_sums` at many points."""
    for i in range(d.size):
        out[0, i], out[1, i], out[2, i] = node_sums(law, d[i])


@kernel
def channel_rows(law, channels, d, out):
    """E[g k/(1 + g d)] and E[g**2 k/(1 + g d)**2] for the channels k: second moments of the directions.

    channels = (nodes' masses (m, size), coefficients (m, cells, 24), atoms' masses (m, atoms)); out (m, 2, points).
    """
    g, _, near, mid, half, _, atoms, _, _, _, _ = law
    nodes, table, points = channels
    for i in range(d.size):
        some = abs(d[i].real) + abs(d[i].imag) > 0.0
        gamma = -reciprocal(d[i]) if some else complex(0.0, 0.0)
        for m in range(nodes.shape[0]):
            e, f, _ = _sums(atoms, points[m], 0, atoms.size, d[i].real, d[i].imag)
            for k in range(mid.size):
                r = 1.0 / half[k]
                x = complex((gamma.real - mid[k]) * r, gamma.imag * r)
                if some and near[k] and _is_near(x):
                    value, slope = _cauchy(table[m, k], x)
                    mass = 2.0 * table[m, k, 0]
                    y = gamma * r
                    a = y * value
                    e = e + gamma * (a - mass)
                    f = f + gamma * gamma * (mass - 2.0 * a - y * y * slope)
                else:
                    e1, f1, _ = _sums(g, nodes[m], NODES * k, NODES * (k + 1), d[i].real, d[i].imag)
                    e = e + e1
                    f = f + f1
            out[m, 0, i] = e
            out[m, 1, i] = f


# ---------------------------------------------------------------------------------------------- the equation


@kernel(fastmath=SUM_MATH)
def _level_sums(w, t, er, ei, zr, zi):
    """Sums of w t Q, w t**2 Q**2, w t Q**2, w Q and w t**2 |Q|**2, Q = 1/(t e - z)."""
    sr = si = pr = pi = rr = ri = qr = qi = size = 0.0
    for i in range(w.size):
        dr = t[i] * er - zr
        di = t[i] * ei - zi
        n = 1.0 / (dr * dr + di * di)
        ar = dr * n
        ai = -di * n
        b = w[i] * t[i]
        size += b * t[i] * n
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
    return complex(sr, si), complex(pr, pi), complex(rr, ri), complex(qr, qi), size


@kernel(inline=True)
def _size(x):
    """|Re| + |Im|."""
    return abs(x.real) + abs(x.imag)


@kernel(inline=True)
def _equation(law, z, d):
    """F, dF/d delta and dF/dz at delta = d, and the size of the terms of F, whose rounding is that of F."""
    w, t, head = law[8], law[9], law[10]
    c = head[0]
    e, f, h = node_sums(law, d)
    s, p, r, q, size = _level_sums(w, t, e.real, e.imag, z.real, z.imag)
    zq = c * (z * q)
    terms = max(abs(head[1]), max(_size(h), _size(zq)))
    if terms < 0.5 * _size(e * d):
        return head[1] - h - zq, (e - d * f) - c * (z * r * f), -c * (e * r), terms
    return d - c * s, 1.0 - c * (p * f), -c * r, max(_size(d), c * np.sqrt(size))


@kernel
def newton(law, z, d):
    """Newton from d. A real start stays real as long as the equation is.

    Returns d, d delta/dz, whether it converged and is certified, the estimated relative error, the evaluations.
    """
    last = np.inf
    error = np.inf
    slope = complex(np.nan, np.nan)
    count = 0
    done = False
    while count < LIMIT:
        value, jacobian, dz, terms = _equation(law, z, d)
        count += 1
        r = reciprocal(jacobian)
        step = value * r
        slope = -dz * r
        size = _size(step) / _size(d)
        if not size < np.inf:
            return d, slope, False, np.inf, count
        new = d - step
        damped = False
        # at the real axis the equation is continued through it; elsewhere the half-plane is not left
        far = z.imag > 0.0 or abs(new.imag) > 0.02 * abs(new.real) or d.imag > 0.1 * abs(d.real)
        if d.imag > 0.0 and new.imag <= 0.1 * d.imag and far:
            new = complex(new.real, 0.1 * d.imag)
            damped = True
        small = abs(step.imag) <= 1e-9 * abs(new.imag)
        d = new
        if damped:
            last = np.inf
            continue
        ratio = size / last if last < np.inf else 1.0
        error = size * ratio * ratio
        if small and (size <= 4.0 * EPS or (ratio < 0.1 and error <= 0.1 * EPS)):
            done = True
            break
        rounding = 4.0 * EPS * (_size(d) + terms * _size(r))
        # an imaginary part below that may be a real root's: only one that no longer moves counts
        small = small or (_size(step) < rounding and d.imag > 4.0 * rounding)
        if size < 1e-7 and ratio > 0.25 and last < np.inf and small:
            error = size
            done = True
            break
        last = size
    if not done:
        return d, slope, False, error, count
    if d.imag > 0.0:
        return d, slope, True, max(error, EPS), count
    if z.imag == 0.0 and abs(d.imag) <= 1e-13 * abs(d.real) and slope.real > 0.0:
        return complex(d.real, 0.0), slope, True, max(error, EPS), count
    return d, slope, False, error, count


@kernel
def solve(law, z, guess):
    """Delta at z, Im z >= 0; on the real axis its limit from above. First from the guess, if its Im > 0.

    Returns delta, d delta/dz, status, residual, evaluations.
    """
    head = law[10]
    goal = z.imag
    spent = 0
    d = guess
    slope = complex(np.nan, np.nan)
    error = np.inf
    if guess.imag > 0.0:
        d, slope, ok, error, spent = newton(law, z, guess)
        if ok:
            return d, slope, CONVERGED, error, spent
    level = max(goal, max(abs(z.real), head[4]))
    ok = False
    for _ in range(60):
        high = complex(z.real, level)
        d, slope, ok, error, count = newton(law, high, -head[0] * head[3] * reciprocal(high))
        spent += count
        if ok:
            break
        level *= 4.0
    if not ok:
        return d, slope, NOT_CONVERGED, error, spent
    if level == goal:
        return d, slope, CONVERGED, error, spent
    leap = np.inf  # in log Im z
    while spent < 4000:
        if goal > 0.0:
            left = np.log(level / goal)
            move = min(left, leap)
            new = goal if move == left else level * np.exp(-move)
        else:
            # the limit itself: what is left of the imaginary part by the linear prediction
            flat = (d.imag - level * slope.real) / d.imag
            real = d.real + level * slope.imag
            axis = complex(z.real, 0.0)
            if flat < 0.3:
                d2, slope2, ok, error, count = newton(law, axis, complex(real, 0.0))
                spent += count
                if ok:
                    return d2, slope2, CONVERGED, error, spent
            if flat > 0.02:
                d2, slope2, ok, error, count = newton(law, axis, complex(real, max(flat, 0.05) * d.imag))
                spent += count
                if ok:
                    return d2, slope2, CONVERGED, error, spent
            move = min(leap, 3.0)
            new = level * np.exp(-move)
        # a power of Im z: d log delta/d log y = i y delta'/delta
        rate = complex(-level * slope.imag, level * slope.real) * reciprocal(d)
        gain = np.exp(min(-move * rate.real, 50.0))
        turn = -move * rate.imag
        trial = d * complex(gain * np.cos(turn), gain * np.sin(turn))
        trial = complex(trial.real, max(trial.imag, 1e-3 * d.imag * np.exp(-move)))
        d2, slope2, ok, error, count = newton(law, complex(z.real, new), trial)
        spent += count
        if ok:
            d = d2
            slope = slope2
            level = new
            leap = 2.0 * move
            if new == goal:
                return d, slope, CONVERGED, error, spent
        else:
            leap = 0.5 * move
            if leap < 1e-3:
                break
    return d, slope, NOT_CONVERGED, error, spent


@kernel
def transform_rows(start, stop, z, chunk, law, out, status, count):
    """delta, its derivative, e, m and the residual at points z, ``chunk`` a row, of the closed upper half-plane."""
    w, t, head = law[8], law[9], law[10]
    nan = complex(np.nan, np.nan)
    for row in range(start, stop):
        guess = complex(0.0, 0.0)
        before = complex(np.inf, 0.0)
        slope = complex(0.0, 0.0)
        for i in range(row * chunk, min((row + 1) * chunk, z.size)):
            count[i] = 0
            status[i] = INVALID
            for k in range(4):
                out[k, i] = nan
            out[4, i] = complex(np.nan, 0.0)
            if not (z[i].imag >= 0.0 and abs(z[i].real) < np.inf and z[i].imag < np.inf):
                continue
            start_at = complex(0.0, 0.0)
            if guess.imag > 0.0 and before.real < np.inf:  # the neighbour, continued
                near = guess + slope * (z[i] - before)
                start_at = (
                    near if near.imag > 0.5 * guess.imag and abs(near - guess) < 0.5 * abs(guess) else guess
                )
            d, slope, state, error, spent = solve(law, z[i], start_at)
            count[i] = spent
            status[i] = state
            out[4, i] = complex(error, 0.0)
            guess = complex(0.0, 0.0)
            if state != CONVERGED:
                continue
            guess = d
            before = z[i]
            e, _, _ = node_sums(law, d)
            _, _, _, q, _ = _level_sums(w, t, e.real, e.imag, z[i].real, z[i].imag)
            if head[2] > 0.0:
                q = q - head[2] * reciprocal(z[i])
            out[0, i] = d
            out[1, i] = slope
            out[2, i] = e
            out[3, i] = q


# ---------------------------------------------------------------------------------------------- the real curve


@kernel(fastmath=SUM_MATH)
def _ratio_sums(w, t, s):
    """Sums of w t/(t - s), w t/(t - s)**2 and w t**2/(t - s)**2."""
    a = b = p = 0.0
    for i in range(w.size):
        r = 1.0 / (t[i] - s)
        x = w[i] * t[i] * r
        a += x
        x *= r
        b += x
        p += x * t[i]
    return a, b, p


@kernel
def curve_rows(law, d, low, high, out):
    """The real curve: z, M and dz/d delta at real delta, s = z/e in the component (low, high) of spec(C)'s complement.

    The component beyond both ends of spec(C) is one, given as low >= high: s below ``high`` or above ``low``.
    """
    w, t, head = law[8], law[9], law[10]
    c = head[0]
    outer = low >= high
    for i in range(d.size):
        e0, f0, _ = node_sums(law, complex(d[i], 0.0))
        e = e0.real
        f = f0.real
        b = d[i] * e
        out[0, i] = np.nan
        out[1, i] = np.inf
        out[2, i] = np.nan
        if not abs(b) < np.inf or (b == 0.0 and d[i] == 0.0 and outer) or (e == 0.0 and not outer):
            continue
        if outer and abs(b) < 1e-14:  # s at infinity
            z = -c * head[3] / d[i]
            p = 0.0
            for k in range(w.size):
                p += w[k] * t[k] * t[k]
            out[0, i] = z
            out[1, i] = c * f * p / (z * z)
            out[2, i] = (1.0 - out[1, i]) * z * z / (c * head[3])
            continue
        # A(s) = c sum w t/(t - s) = b, increasing in s
        if outer and b > 0.0:
            left = high - c * head[3] / b
            right = high
        elif outer:
            left = low
            right = low - c * head[3] / b
        else:
            left = low
            right = high
        s = 0.5 * (left + right)
        for _ in range(200):
            a, slope, p = _ratio_sums(w, t, s)
            a *= c
            slope *= c
            if a > b:
                right = s
            else:
                left = s
            if outer:  # 1/A is nearly linear
                s2 = s + (a - a * a / b) / slope if a * b > 0.0 else np.nan
            else:
                s2 = s - (a - b) / slope
            if not left < s2 < right:
                s2 = 0.5 * (left + right)
            if abs(s2 - s) <= 2.0 * EPS * abs(s) or s2 in (left, right):
                s = s2
                break
            s = s2
        a, slope, p = _ratio_sums(w, t, s)
        m = c * f * p / (e * e)
        out[0, i] = s * e
        out[1, i] = m
        out[2, i] = (1.0 - m) * e * e / (c * slope)
