r"""Kernels of deep networks, entry by entry on blocks that stay in the cache.

Equations, for the correlation rho of two points at one layer:

* collapsed: kappa = sum_k c_k T_k(t), ``t = (sqrt(1 + rho) - sqrt(1 - rho))/sqrt(2)``. Functions of the angle are
  analytic in t on the whole of [-1, 1] (t = sqrt(2) sin(psi/2) where rho = sin psi), where a polynomial in rho stalls
  at both ends; 45 coefficients reach rounding for the powers of the positive part, at one square root of each gap;
* series: kappa = sum_k a_k(x) a_k(y) rho^k (Mehler), and its derivative by the same Horner steps, over as many terms
  as the largest |rho| of 64 entries needs.

Source: Daniely, Frostig and Singer (2016) for duals; Jacot, Gabriel and Hongler (2018) for the tangent kernel.

Why this form: eight steps of the recurrence a pass keep the running sums of 64 entries in registers and make each
pass a straight line of vector code: 1.5 ns an entry for two sums of 45 terms, 4.4 ns with the recurrence outermost.
"""

import numpy as np

from fasthde._jit import kernel

#: Entries of a row that are transformed together, and the steps of a pass; series are padded to a multiple.
LANES = 64
STEPS = 8

CONTRACT = frozenset({"contract"})
_HALF = np.sqrt(0.5)


@kernel(fastmath=CONTRACT, inline=True)
def _clenshaw(coef, t, b1, b2, width):
    """After this, b1 - t b2 is the sum of coef[k] T_k(t); coef's length is a multiple of STEPS."""
    for w in range(width):
        b1[w] = 0.0
        b2[w] = 0.0
    for top in range(coef.size - 1, 0, -STEPS):
        c0 = coef[top]
        c1 = coef[top - 1]
        c2 = coef[top - 2]
        c3 = coef[top - 3]
        c4 = coef[top - 4]
        c5 = coef[top - 5]
        c6 = coef[top - 6]
        c7 = coef[top - 7]
        for w in range(width):
            x = 2.0 * t[w]
            p = b1[w]
            q = b2[w]
            q = c0 + x * p - q
            p = c1 + x * q - p
            q = c2 + x * p - q
            p = c3 + x * q - p
            q = c4 + x * p - q
            p = c5 + x * q - p
            q = c6 + x * p - q
            p = c7 + x * q - p
            b1[w] = p
            b2[w] = q


@kernel(fastmath=CONTRACT)
def collapse_block(gram, slope, offset, near, diagonal, coef, work, first, second, found):
    """Two functions of rho = slope gram + offset; returns how many rows of `found` hold places with |rho| near 1.

    gram is (rows, columns), with the matrix's diagonal at columns i + diagonal; coef (1 or 2, degree + 1 padded);
    work (3, LANES); first and second (rows, columns); found (rows columns, 2).
    """
    t = work[0]
    b1 = work[1]
    b2 = work[2]
    count = 0
    for i in range(gram.shape[0]):
        row = gram[i]
        for start in range(0, row.size, LANES):
            width = min(LANES, row.size - start)
            close = 0
            for w in range(width):
                rho = slope * row[start + w] + offset
                lo = max(1.0 - rho, 0.0)
                hi = max(1.0 + rho, 0.0)
                t[w] = _HALF * (np.sqrt(hi) - np.sqrt(lo))
                close += 1 if min(lo, hi) < near else 0
            if close:
                for w in range(width):
                    rho = slope * row[start + w] + offset
                    if 1.0 - abs(rho) < near and start + w != i + diagonal:
                        found[count, 0] = i
                        found[count, 1] = start + w
                        count += 1
            out = first[i]
            _clenshaw(coef[0], t, b1, b2, width)
            for w in range(width):
                out[start + w] = b1[w] - t[w] * b2[w]
            if coef.shape[0] > 1:
                out = second[i]
                _clenshaw(coef[1], t, b1, b2, width)
                for w in range(width):
                    out[start + w] = b1[w] - t[w] * b2[w]
    return count


@kernel(fastmath=CONTRACT)
def begin_block(gram, slope, offset, sx, sy, near, diagonal, theta, rho, found):
    """First layer: theta = slope gram + offset, rho = theta sx sy; returns the number of near places."""
    count = 0
    for i in range(gram.shape[0]):
        close = 0
        for j in range(gram.shape[1]):
            value = slope * gram[i, j] + offset
            theta[i, j] = value
            r = min(max(value * (sx[i] * sy[j]), -1.0), 1.0)
            rho[i, j] = r
            close += 1 if 1.0 - abs(r) < near else 0
        if close:
            for j in range(gram.shape[1]):
                if 1.0 - abs(rho[i, j]) < near and j != i + diagonal:
                    found[count, 0] = i
                    found[count, 1] = j
                    count += 1
    return count


@kernel(fastmath=CONTRACT)
def collapsed_layer(rho, coef, fx, fy, dx, dy, work, kappa, slope):
    """Homogeneous activation: kappa = fx fy sum coef[0] T(t), slope = dx dy sum coef[1] T(t)."""
    t = work[0]
    b1 = work[1]
    b2 = work[2]
    for i in range(rho.shape[0]):
        for start in range(0, rho.shape[1], LANES):
            width = min(LANES, rho.shape[1] - start)
            for w in range(width):
                r = rho[i, start + w]
                t[w] = _HALF * (np.sqrt(1.0 + r) - np.sqrt(1.0 - r))
            _clenshaw(coef[0], t, b1, b2, width)
            for w in range(width):
                kappa[i, start + w] = fx[i] * fy[start + w] * (b1[w] - t[w] * b2[w])
            if coef.shape[0] > 1:
                _clenshaw(coef[1], t, b1, b2, width)
                for w in range(width):
                    slope[i, start + w] = dx[i] * dy[start + w] * (b1[w] - t[w] * b2[w])


@kernel(fastmath=CONTRACT)
def series_layer(rho, ax, ay, dx, dy, work, kappa, slope):
    """Kappa = sum ax[i, k] ay[k, j] rho^k and slope = dx dy d kappa/d rho; ax (rows, K), ay (K, columns), K even."""
    p = work[0]
    d = work[1]
    for i in range(rho.shape[0]):
        for start in range(0, rho.shape[1], LANES):
            width = min(LANES, rho.shape[1] - start)
            r = rho[i, start : start + width]
            largest = 0.0
            for w in range(width):
                p[w] = 0.0
                d[w] = 0.0
                largest = max(largest, abs(r[w]))
            terms = ax.shape[1]
            if largest < 0.99:  # rho^terms < 1e-18: most pairs need a tenth of a long series
                terms = min(terms, 4 * (int(-10.5 / np.log(max(largest, 1e-3))) + 3))
            for top in range(terms - 1, 0, -4):
                a0 = ax[i, top]
                a1 = ax[i, top - 1]
                a2 = ax[i, top - 2]
                a3 = ax[i, top - 3]
                y0 = ay[top, start : start + width]
                y1 = ay[top - 1, start : start + width]
                y2 = ay[top - 2, start : start + width]
                y3 = ay[top - 3, start : start + width]
                for w in range(width):
                    x = r[w]
                    u = p[w]
                    v = d[w]
                    v = v * x + u
                    u = u * x + a0 * y0[w]
                    v = v * x + u
                    u = u * x + a1 * y1[w]
                    v = v * x + u
                    u = u * x + a2 * y2[w]
                    v = v * x + u
                    u = u * x + a3 * y3[w]
                    p[w] = u
                    d[w] = v
            for w in range(width):
                kappa[i, start + w] = p[w]
                slope[i, start + w] = dx[i] * dy[start + w] * d[w]


@kernel(fastmath=CONTRACT)
def advance_block(kappa, slope, gain, mx, my, weight, bias, sx, sy, tangent, theta, rho):
    """One layer on: kappa <- affine(gain kappa + mx + my), theta <- affine(the same + theta gain slope), next rho."""
    for i in range(rho.shape[0]):
        for j in range(rho.shape[1]):
            value = gain * kappa[i, j] + (mx[i] + my[j])
            if tangent:
                theta[i, j] = weight * (value + theta[i, j] * (gain * slope[i, j])) + bias
            value = weight * value + bias
            kappa[i, j] = value
            rho[i, j] = min(max(value * (sx[i] * sy[j]), -1.0), 1.0)


@kernel
def beyond(rho, limit, diagonal, count, found):
    """Append the places with |rho| > limit to `found`, which holds count; places already there may appear twice."""
    for i in range(rho.shape[0]):
        close = 0
        for j in range(rho.shape[1]):
            close += 1 if abs(rho[i, j]) > limit else 0
        if close:
            for j in range(rho.shape[1]):
                if abs(rho[i, j]) > limit and j != i + diagonal and count < found.shape[0]:
                    found[count, 0] = i
                    found[count, 1] = j
                    count += 1
    return count


@kernel
def mirror_block(block, out):
    """out[j, i] = block[i, j], in tiles that stay in the first-level cache."""
    for i0 in range(0, block.shape[0], 16):
        for j0 in range(0, block.shape[1], 16):
            for j in range(j0, min(j0 + 16, block.shape[1])):
                for i in range(i0, min(i0 + 16, block.shape[0])):
                    out[j, i] = block[i, j]
