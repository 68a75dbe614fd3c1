r"""Expectations over two correlated Gaussians of functions given piece by piece: exact at kinks, at any correlation.

Equation: u = tx (m + d), v = ty (m - d) with m, d independent of variances 1 - gap/2 and gap/2 have correlation
1 - gap. The inner integral over m runs over the pieces on which u, v and the Gaussian each stay within one piece
of their tables; the outer one, over y = d/sqrt(gap/2), ends its pieces where two kinks meet, d = (k/tx - k'/ty)/2.
Both are Gauss-Legendre rules of 24 nodes.

Source: theory as in Tsuchida, Roosta-Khorasani and Gallagher (2018) for the expectations; the split is ours.

Domain: 0 <= gap <= 1 (a negative correlation is the same with the second function reflected); functions that are
polynomials of degree 23 to rounding on the pieces of their tables.

Why this form: a merge of three sorted lists of breakpoints needs no sorting and no search, and 24 nodes are three
vectors: 60 to 120 us a pair for the value, the derivative's and both gaps, where the same rules in NumPy took 1.5 to
3 ms for each.
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel

#: Nodes of inner and outer rules, and coefficients of a piece.
NODES = 24

CONTRACT = frozenset({"contract"})

#: Integrals in the results: E f g, E f' g', (1/2) E(a - b)^2, (1/2) E(a + b)^2.
INTEGRALS = 4


@kernel(fastmath=SUM_MATH, inline=True)
def _piece(ends, table, k, scale, shift, z, out):
    """Out = the polynomial of piece k at scale z + shift."""
    half = 2.0 / (ends[k + 1] - ends[k])
    middle = 0.5 * (ends[k + 1] + ends[k])
    a = scale * half
    b = (shift - middle) * half
    c = table[k]
    for w in range(NODES):
        out[w] = 0.0
    for i in range(NODES - 1, 0, -8):
        c0 = c[i]
        c1 = c[i - 1]
        c2 = c[i - 2]
        c3 = c[i - 3]
        c4 = c[i - 4]
        c5 = c[i - 5]
        c6 = c[i - 6]
        c7 = c[i - 7]
        for w in range(NODES):
            x = a * z[w] + b
            p = out[w] * x + c0
            p = p * x + c1
            p = p * x + c2
            p = p * x + c3
            p = p * x + c4
            p = p * x + c5
            p = p * x + c6
            out[w] = p * x + c7


@kernel(fastmath=SUM_MATH)
def _inner(d, large, tx, ty, fe, ft, fd, ge, gt, gd, be, bt, affine, x, w, work, sums):
    """Integrals over m at one d; sums gets the four and E|f g|."""
    z = work[0]
    f = work[1]
    g = work[2]
    bell = work[3]
    slope = work[4]
    other = work[5]
    for k in range(sums.size):
        sums[k] = 0.0
    at = be[0]
    stop = be[be.size - 1]
    i = 0
    j = 0
    k = 0
    # breakpoints in z: (fe/tx - d)/large and (ge/ty + d)/large
    while i + 2 < fe.size and (fe[i + 1] / tx - d) / large <= at:
        i += 1
    while j + 2 < ge.size and (ge[j + 1] / ty + d) / large <= at:
        j += 1
    while at < stop:
        after = be[k + 1]
        nf = (fe[i + 1] / tx - d) / large if i + 2 < fe.size else stop
        ng = (ge[j + 1] / ty + d) / large if j + 2 < ge.size else stop
        end = min(after, min(nf, ng))
        half = 0.5 * (end - at)
        if half > 0.0:
            middle = at + half
            for n in range(NODES):
                z[n] = middle + half * x[n]
            _piece(fe, ft, i, tx * large, tx * d, z, f)
            _piece(ge, gt, j, ty * large, -ty * d, z, g)
            _piece(be, bt, k, 1.0, 0.0, z, bell)
            s0 = 0.0
            s2 = 0.0
            s3 = 0.0
            s4 = 0.0
            for n in range(NODES):
                weight = w[n] * bell[n]
                a = affine[0] * f[n] + affine[1]
                b = affine[2] * g[n] + affine[3]
                s0 += weight * f[n] * g[n]
                s2 += weight * (a - b) * (a - b)
                s3 += weight * (a + b) * (a + b)
                s4 += weight * abs(f[n] * g[n])
            sums[0] += half * s0
            sums[2] += half * 0.5 * s2
            sums[3] += half * 0.5 * s3
            sums[4] += half * s4
            if fd.size:
                _piece(fe, fd, i, tx * large, tx * d, z, slope)
                _piece(ge, gd, j, ty * large, -ty * d, z, other)
                s0 = 0.0
                s4 = 0.0
                for n in range(NODES):
                    term = w[n] * bell[n] * slope[n] * other[n]
                    s0 += term
                    s4 += abs(term)
                sums[1] += half * s0
                sums[5] += half * s4
        at = end
        if end >= after:
            k += 1
        if end >= nf and i + 2 < fe.size:
            i += 1
        if end >= ng and j + 2 < ge.size:
            j += 1


@kernel
def _breaks(ends, fixed, parts, kf, kg, tx, ty, small, fold):
    """Sorted ends of the outer pieces in y, some perhaps equal; returns their number."""
    count = 0
    first = fixed.size // 2 if fold else 0
    for p in range(first, fixed.size - 1):
        for q in range(parts):
            ends[count] = fixed[p] + (fixed[p + 1] - fixed[p]) * q / parts
            count += 1
    ends[count] = fixed[fixed.size - 1]
    count += 1
    low = ends[0] * small
    high = ends[count - 1] * small
    for a in range(kf.size):
        for b in range(kg.size):
            gap = 0.5 * (kf[a] / tx - kg[b] / ty)
            if low < gap < high and count < ends.size:
                y = gap / small
                c = count
                while ends[c - 1] > y:
                    ends[c] = ends[c - 1]
                    c -= 1
                ends[c] = y
                count += 1
    return count


@kernel(fastmath=CONTRACT)
def dual_rows(
    start, stop, same, gaps, taus, affine, fe, ft, fd, ge, gt, gd, kf, kg, be, bt, fixed, x, w, middle, last, tolerance,
    most, work, ends, out, error,
):  # fmt: skip
    """Integrals of pairs start .. stop-1.

    same: both functions are one; gaps (pairs,); taus (pairs, 2); affine (pairs, 4): a = affine[0] f + affine[1],
    b = affine[2] g + affine[3]; fe, ft, fd: ends of the pieces of the first function, their coefficients and those of
    the derivative (empty without one), ge, gt, gd of the second; kf, kg their kinks; be, bt the Gaussian; fixed:
    symmetric outer ends; x, w the rule; middle, last (3, NODES): from values to Legendre coefficients; most: parts of
    an outer piece; work (pairs, 7, NODES); ends (pairs, room); out (pairs, 4); error (pairs, 4): of
    the first two, and the integrals of their absolute values.
    """
    for p in range(start, stop):
        tx = taus[p, 0]
        ty = taus[p, 1]
        small = np.sqrt(0.5 * gaps[p])
        large = np.sqrt(1.0 - 0.5 * gaps[p])
        fold = same and tx == ty
        twice = 2.0 if fold else 1.0
        scratch = work[p]
        sums = scratch[6]
        parts = 1
        while True:
            count = _breaks(ends[p], fixed, parts, kf, kg, tx, ty, small, fold)
            for k in range(INTEGRALS):
                out[p, k] = 0.0
            size0 = 0.0
            size1 = 0.0
            err0 = 0.0
            err1 = 0.0
            for piece in range(count - 1):
                half = 0.5 * (ends[p, piece + 1] - ends[p, piece])
                centre = 0.5 * (ends[p, piece + 1] + ends[p, piece])
                if half <= 0.0:
                    continue
                m0 = 0.0
                m1 = 0.0
                m2 = 0.0
                l0 = 0.0
                l1 = 0.0
                l2 = 0.0
                n0 = 0.0
                n1 = 0.0
                n2 = 0.0
                o0 = 0.0
                o1 = 0.0
                o2 = 0.0
                for n in range(NODES):
                    y = centre + half * x[n]
                    bell = twice * np.exp(-0.5 * y * y) / np.sqrt(2.0 * np.pi)
                    _inner(
                        small * y,
                        large,
                        tx,
                        ty,
                        fe,
                        ft,
                        fd,
                        ge,
                        gt,
                        gd,
                        be,
                        bt,
                        affine[p],
                        x,
                        w,
                        scratch,
                        sums[:6],
                    )
                    weight = half * w[n] * bell
                    for k in range(INTEGRALS):
                        out[p, k] += weight * sums[k]
                    size0 += weight * sums[4]
                    size1 += weight * sums[5]
                    v = sums[0] * bell
                    m0 += middle[0, n] * v
                    m1 += middle[1, n] * v
                    m2 += middle[2, n] * v
                    l0 += last[0, n] * v
                    l1 += last[1, n] * v
                    l2 += last[2, n] * v
                    v = sums[1] * bell
                    n0 += middle[0, n] * v
                    n1 += middle[1, n] * v
                    n2 += middle[2, n] * v
                    o0 += last[0, n] * v
                    o1 += last[1, n] * v
                    o2 += last[2, n] * v
                # n nodes err like the coefficient of degree 2n
                mid = abs(m0) + abs(m1) + abs(m2)
                end = abs(l0) + abs(l1) + abs(l2)
                err0 += 2.0 * half * end * (min(end / mid, 1.0) ** 2 if mid > 0.0 else 0.0)
                mid = abs(n0) + abs(n1) + abs(n2)
                end = abs(o0) + abs(o1) + abs(o2)
                err1 += 2.0 * half * end * (min(end / mid, 1.0) ** 2 if mid > 0.0 else 0.0)
            if (err0 <= tolerance * size0 and err1 <= tolerance * size1) or parts >= most:
                break
            parts *= 2
        error[p, 0] = err0 + 3.6e-15 * size0
        error[p, 1] = err1 + 3.6e-15 * size1
        error[p, 2] = size0
        error[p, 3] = size1
