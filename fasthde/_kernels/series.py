r"""Densities as piecewise Chebyshev series, and everything that follows from them.

Each interval [a, b] of the support is halved; in each half the coordinate is u = (distance to the edge/(b - a))
to the power 1/q, with q = 2 at a square-root edge and q = L + 1 at a hard edge, where the density grows like
distance**(-L/(L + 1)). In u the density, times u**(q - 1) at a hard edge, is analytic up to and including the
edge, so pieces of 24 nodes converge geometrically; pieces are halved until their last coefficients are at
rounding level, which follows cusps and wide dynamic ranges without any parameter.

Why this form: no trigonometry and no global series. A closing gap (H = {1, 3, 10}, c = 1/2) needs 4096 terms of
one series for 5e-7, and 40 pieces for 4e-14. A thousand points are evaluated in 10 microseconds: points are
located first, then 64 at a time run through Clenshaw's recurrence side by side.

Tuples: halves = (edge, sign, width, q, hard, first), one entry a half-interval, q = 1/power; pieces = (u0, u1,
coefficients of the density, coefficients of the mass from the edge).
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel
from fasthde._kernels.chain import CONVERGED, EPS, pick, solve

NODES = 24
BLOCK = 64


@kernel(fastmath=SUM_MATH, inline=True)
def _coefficients(values, matrix, out):
    """Chebyshev coefficients of values at the nodes."""
    n = values.size
    for k in range(n):
        total = 0.0
        for i in range(n):
            total += matrix[k, i] * values[i]
        out[k] = total


@kernel(inline=True)
def settled(coefficients, peak, noise, before):
    """Whether a piece is resolved, and its last coefficients over their floor at the rounding of its peak.

    ``noise`` is what the rounding of x itself may do to the density, eps |x f'(x)|; ``before`` is the second result
    for twice the piece, or infinite. What halving does not lessen is noise, what it does lessen is not.
    """
    n = coefficients.size
    tail = max(abs(coefficients[n - 1]), max(abs(coefficients[n - 2]), abs(coefficients[n - 3])))
    floor = 4.0 * EPS * peak + 1e-300
    ratio = tail / floor
    return ratio <= 1.0 or (tail <= floor + 2.0 * noise and (ratio <= 16.0 or ratio > 0.1 * before)), ratio


@kernel(inline=True)
def integrate(u0, u1, width, q, hard, c, base, out):
    """Series of the mass from the edge: the integral of the density from the piece's series, plus base."""
    n = c.size
    half = 0.5 * (u1 - u0)
    mid = 0.5 * (u1 + u0)
    # g = density dx/du: c times q width, and at a soft edge (q = 2) times u = mid + half t as well
    scale = q * width * half
    for k in range(n + 2):
        out[k] = 0.0
    for k in range(n + 1):
        if hard:
            g = c[k] if k < n else 0.0
        else:
            g = mid * c[k] if k < n else 0.0
            if k == 1:
                g += half * (c[0] + (0.5 * c[2] if n > 2 else 0.0))
            else:
                if k > 0:
                    g += 0.5 * half * c[k - 1]
                if k + 1 < n:
                    g += 0.5 * half * c[k + 1]
        g *= scale
        # integral of T_k: T_{k+1}/(2(k+1)) - T_{k-1}/(2(k-1))
        if k == 0:
            out[1] += g
        elif k == 1:
            out[2] += 0.25 * g
        else:
            out[k + 1] += g / (2.0 * (k + 1))
            out[k - 1] -= g / (2.0 * (k - 1))
    total = 0.0
    sign = 1.0
    for k in range(n + 2):
        total += sign * out[k]
        sign = -sign
    out[0] += base - total
    end = 0.0
    for k in range(n + 2):
        end += out[k]
    return end


@kernel
def integrate_rows(halves, counts, u0s, u1s, pdf, mass):
    """`integrate` for pieces that stand one after the other."""
    _, _, width, q, hard = halves
    i = 0
    for k in range(counts.size):
        base = 0.0
        for _ in range(counts[k]):
            base = integrate(u0s[i], u1s[i], width[k], q[k], hard[k], pdf[i], base, mass[i])
            i += 1


@kernel(inline=True)
def march(
    law, reach, edge, sign, width, q, hard, s_edge, bend, nodes, matrix, room, u0s, u1s, pdf, mass, work
):
    """Series of one half-interval, from its edge to its middle, the subordination point followed all the way.

    ``bend`` is |x - edge|/|s - s_edge|**q at the edge. Returns (pieces, status); -1 pieces when there is no room.
    """
    n = nodes.size
    values = work[0]
    end = 0.5 ** (1.0 / q)
    start = 0.0
    trial = end
    if not hard and 0.0 < abs(edge) < 1e-8 * width:
        # nearly a hard edge: the density turns within a few times this distance, which rounding can hide
        trial = min(end, 8.0 * np.sqrt(abs(edge) / width))
    count = 0
    base = 0.0
    before = np.inf
    state = CONVERGED
    # the last two solved points before the piece, kept for a second trial
    ua = 0.0
    ub = -1.0
    sa = complex(s_edge, 0.0)
    sb = sa
    da = complex(0.0, 0.0)
    db = da
    turn = complex(np.cos(np.pi - np.pi / q), np.sin(np.pi - np.pi / q)) if q > 2.0 else complex(0.0, 1.0)
    first_slope = turn * (width / bend) ** (1.0 / q)
    while start < end:
        stop = min(end, start + trial)
        if end - stop < 0.1 * trial:
            stop = end
        u1 = ua
        u2 = ub
        s1 = sa
        s2 = sb
        d1 = da
        d2 = db
        good = True
        noise = 0.0
        for i in range(n):
            u = 0.5 * (start + stop) + 0.5 * (stop - start) * nodes[i]
            power = u if q == 2.0 else u ** (q - 1.0)
            offset = width * power * u
            x = edge + sign * offset
            if u2 >= 0.0 and u1 > u2:
                # cubic Hermite through the last two points
                r = (u - u1) / (u1 - u2)
                e = u1 - u2
                guess = s1 + (u - u1) * (
                    d1
                    + r * ((d1 - (s1 - s2) * (1.0 / e)) + (1.0 + r) * (d1 + d2 - 2.0 * (s1 - s2) * (1.0 / e)))
                )
            elif u1 > 0.0:
                guess = s1 + (u - u1) * d1
            else:
                guess = s1 + u * first_slope
            if guess.imag <= 0.0:
                guess = complex(guess.real, max(0.5 * s1.imag, 1e-300))
            s, m, mz, slope, _, big, state, _, _ = solve(law, complex(x, 0.0), guess, reach)
            if state != CONVERGED:
                good = False
                break
            # the value at the node itself, not at its neighbour among the floating-point numbers
            f = (m.imag + mz.imag * (sign * offset - (x - edge))) / np.pi
            if hard:
                f *= power
            values[i] = f
            e = max(abs(x), big) * (power if hard else 1.0)
            noise += (e * mz.real) ** 2 + (e * mz.imag) ** 2
            u2 = u1
            s2 = s1
            d2 = d1
            u1 = u
            s1 = s
            q1 = sign * q * width * power
            q2 = 1.0 / (slope.real * slope.real + slope.imag * slope.imag)
            d1 = complex(slope.real * q1 * q2, -slope.imag * q1 * q2)
            if u2 <= 0.0:
                u2 = -1.0
        if good:
            if count >= room:
                return -1, state
            _coefficients(values, matrix, pdf[count])
            top = (
                0.0  # of this piece: beside a nearly hard edge the others are smaller by orders, and heavier
            )
            for i in range(n):
                top = max(top, values[i])
            good, before = settled(pdf[count], top, EPS * np.sqrt(noise / n) / np.pi, before)
        tiny = stop - start < 1e-13 * (start + 1e-8)
        if tiny and state != CONVERGED:
            return -2, state
        if good or tiny:
            u0s[count] = start
            u1s[count] = stop
            base = integrate(start, stop, width, q, hard, pdf[count], base, mass[count])
            count += 1
            trial = 2.0 * (stop - start)
            start = stop
            before = before if before > 1.0 else np.inf  # noise goes on into the next piece
            ua = u1
            ub = u2
            sa = s1
            sb = s2
            da = d1
            db = d2
        else:
            trial = 0.5 * (stop - start)
    return count, CONVERGED


@kernel
def series_rows(
    start,
    stop,
    pack,
    owner,
    reach,
    halves,
    s_edge,
    bend,
    nodes,
    matrix,
    room,
    counts,
    u0s,
    u1s,
    pdf,
    mass,
    work,
):
    """Series of half-intervals start..stop, each in a block of ``room`` pieces of its own."""
    edge, sign, width, q, hard = halves
    for k in range(start, stop):
        a = k * room
        b = a + room
        counts[k], _ = march(
            pick(pack, owner[k]), reach[owner[k]], edge[k], sign[k], width[k], q[k], hard[k], s_edge[k], bend[k],
            nodes, matrix, room, u0s[a:b], u1s[a:b], pdf[a:b], mass[a:b], work[k],
        )  # fmt: skip


# ------------------------------------------------------------------------------------------------ evaluation


@kernel(inline=True)
def _locate(x, edges, halves, first, u0s, u1s, hint):
    """Half-interval, piece and u of x: (-1, 0, 0) outside the support. ``hint`` is the last half-interval."""
    _, _, width, q, _ = halves
    k = hint >> 1
    if not (edges[2 * k] <= x <= edges[2 * k + 1]):
        low = 0
        high = edges.size >> 1
        while low < high:  # the first interval whose right edge is not below x
            middle = (low + high) >> 1
            if edges[2 * middle + 1] < x:
                low = middle + 1
            else:
                high = middle
        k = low
        if 2 * k >= edges.size or not (edges[2 * k] <= x <= edges[2 * k + 1]):
            return -1, 0, 0.0
    left = x - edges[2 * k]
    right = edges[2 * k + 1] - x
    half = 2 * k
    offset = left
    if right < left:
        half += 1
        offset = right
    ratio = offset / width[half]
    u = np.sqrt(ratio) if q[half] == 2.0 else ratio ** (1.0 / q[half])
    a = first[half]
    b = first[half + 1]
    low = a
    high = b - 1
    while low < high:
        middle = (low + high) >> 1
        if u1s[middle] < u:
            low = middle + 1
        else:
            high = middle
    return half, low, u


@kernel(fastmath=SUM_MATH, inline=True)
def _recurrence(row, at, b1, b2):
    """Clenshaw's recurrence for one series at many points; the values in b1."""
    n = at.size
    for i in range(n):
        b1[i] = 0.0
        b2[i] = 0.0
    for k in range(row.size - 1, 0, -1):
        c = row[k]
        for i in range(n):
            v = c + 2.0 * at[i] * b1[i] - b2[i]
            b2[i] = b1[i]
            b1[i] = v
    c = row[0]
    for i in range(n):
        b1[i] = c + at[i] * b1[i] - b2[i]


@kernel(fastmath=SUM_MATH, inline=True)
def _recurrences(table, index, at, b1, b2):
    """The same with a series, row index[i], for each point."""
    n = at.size
    for i in range(n):
        b1[i] = 0.0
        b2[i] = 0.0
    for k in range(table.shape[1] - 1, 0, -1):
        for i in range(n):
            v = table[index[i], k] + 2.0 * at[i] * b1[i] - b2[i]
            b2[i] = b1[i]
            b1[i] = v
    for i in range(n):
        b1[i] = table[index[i], 0] + at[i] * b1[i] - b2[i]


@kernel(inline=True)
def _clenshaw(table, index, at, size, b1, b2):
    """Chebyshev series row index[i] at at[i], for i < size, side by side; the values in b1.

    Neighbours on one piece, as on a grid, share its coefficients: 18 microseconds for 31 at a thousand points of W1.
    """
    runs = 1
    for i in range(1, size):
        runs += index[i] != index[i - 1]
    if runs > 6:
        _recurrences(table, index[:size], at[:size], b1[:size], b2[:size])
        return
    start = 0
    for _ in range(runs):
        stop = start + 1
        while stop < size and index[stop] == index[start]:
            stop += 1
        _recurrence(table[index[start]], at[start:stop], b1[start:stop], b2[start:stop])
        start = stop


@kernel(inline=True)
def _evaluate(start, stop, x, edges, halves, first, u0s, u1s, table, total, kind, work, which, out):
    """Density (kind 0) or mass to the left (kind 1) of the continuous part at x.

    ``total`` holds the mass to the left of each interval and, behind it, of each interval itself.
    """
    _, _, _, q, hard = halves
    index = which[0]
    where = which[1]
    at = work[0]
    b1 = work[1]
    b2 = work[2]
    intervals = edges.size >> 1
    hint = 0
    for block in range(start, stop, BLOCK):
        size = min(BLOCK, stop - block)
        for i in range(size):
            v = x[block + i]
            half, piece, u = _locate(v, edges, halves, first, u0s, u1s, hint)
            where[i] = half
            index[i] = piece
            if half >= 0:
                hint = half
                at[i] = (2.0 * u - (u0s[piece] + u1s[piece])) / (u1s[piece] - u0s[piece])
                out[block + i] = u
            else:
                at[i] = 0.0
        _clenshaw(table, index, at, size, b1, b2)
        for i in range(size):
            half = where[i]
            v = x[block + i]
            if half < 0:
                if kind == 0:
                    out[block + i] = 0.0 if v == v else np.nan
                else:
                    mass = 0.0
                    for k in range(intervals):
                        if edges[2 * k + 1] < v:
                            mass = total[0, k] + total[1, k]
                    out[block + i] = mass if v == v else np.nan
            elif kind == 0:
                u = out[block + i]
                f = 0.0 if b1[i] < 0.0 else b1[i]
                if hard[half]:
                    f = f / u ** (q[half] - 1.0) if u > 0.0 else np.inf
                elif u == 0.0:
                    f = 0.0
                out[block + i] = f
            else:
                k = half >> 1
                out[block + i] = total[0, k] + (b1[i] if half % 2 == 0 else total[1, k] - b1[i])


@kernel
def evaluate_rows(start, stop, x, edges, halves, first, u0s, u1s, table, total, kind, work, which, out):
    """`_evaluate` of one law."""
    _evaluate(start, stop, x, edges, halves, first, u0s, u1s, table, total, kind, work, which, out)


@kernel(inline=True)
def _sum(c, t):
    """Chebyshev series and its derivative in t at one point."""
    n = c.size
    b1 = 0.0
    b2 = 0.0
    d1 = 0.0
    d2 = 0.0
    for k in range(n - 1, 0, -1):
        d = 2.0 * b1 + 2.0 * t * d1 - d2
        d2 = d1
        d1 = d
        b = c[k] + 2.0 * t * b1 - b2
        b2 = b1
        b1 = b
    return c[0] + t * b1 - b2, b1 + t * d1 - d2


@kernel
def quantile_rows(start, stop, half, level, halves, first, u0s, u1s, table, ends, out):
    """The point of half-interval half[i] with mass level[i] between it and the edge."""
    edge, sign, width, q, hard = halves
    for i in range(start, stop):
        k = half[i]
        target = level[i]
        low = first[k]
        high = first[k + 1] - 1
        while low < high:
            middle = (low + high) >> 1
            if ends[middle] < target:
                low = middle + 1
            else:
                high = middle
        a = -1.0
        b = 1.0
        t = 0.0
        before = 0.0 if low == first[k] else ends[low - 1]
        if ends[low] > before:
            t = 2.0 * (target - before) / (ends[low] - before) - 1.0
            if u0s[low] == 0.0 and not hard[k]:
                t = 2.0 * ((target - before) / (ends[low] - before)) ** (1.0 / 3.0) - 1.0
        t = min(max(t, -1.0), 1.0)
        last = np.inf
        for _ in range(80):
            f, d = _sum(table[low], t)
            f -= target
            if f > 0.0:
                b = t
            else:
                a = t
            t2 = t - f / d if d > 0.0 else 0.5 * (a + b)
            if not a <= t2 <= b:
                t2 = 0.5 * (a + b)
            step = abs(t2 - t)
            t = t2
            if step <= EPS or (step < 1e-8 and step >= 0.5 * last):
                break
            last = step
        u = 0.5 * (u0s[low] + u1s[low]) + 0.5 * (u1s[low] - u0s[low]) * t
        u = max(u, 0.0) if target > 0.0 else 0.0
        power = u * u if q[k] == 2.0 else u ** q[k]
        out[i] = edge[k] + sign[k] * width[k] * power


@kernel
def evaluate_batch(
    start, stop, x, edges, halves, spans, first, u0s, u1s, table, total, kind, work, which, out
):  # fmt: skip
    """`_evaluate` of laws start..stop at their rows of x; spans[i] is where law i's intervals begin."""
    edge, sign, width, q, hard = halves
    for i in range(start, stop):
        a = 2 * spans[i]
        b = 2 * spans[i + 1]
        row = i if x.shape[0] > 1 else 0
        if a == b:
            for j in range(x.shape[1]):
                out[i, j] = 0.0 if x[row, j] == x[row, j] else np.nan
            continue
        _evaluate(
            0, x.shape[1], x[row], edges[a:b], (edge[a:b], sign[a:b], width[a:b], q[a:b], hard[a:b]),
            first[a : b + 1], u0s, u1s, table, total[:, spans[i] : spans[i + 1]], kind, work[i], which[i], out[i],
        )  # fmt: skip
