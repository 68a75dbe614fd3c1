r"""Kernels of deep networks, entry by entry on blocks that stay in the cache.

Equations, for the correlation rho of two points at one layer:

* collapsed: kappa = sum_k c_k T_k(t), ``t = (sqrt(1 + rho) - sqrt(1 - rho))/sqrt(2)``. Functions of the angle are
  analytic in t on the whole of [-1, 1] (t = sqrt(2) sin(psi/2) where rho = sin psi), where a polynomial in rho stalls
  at both ends; 40 coefficients reach rounding for the powers of the positive part, at one square root of each gap;
* series: kappa = sum_k a_k(x) a_k(y) rho^k (Mehler), and its derivative by the same Horner steps, over as many terms
  as the largest |rho| of 64 entries needs.

Source: Daniely, Frostig and Singer (2016) for duals; Jacot, Gabriel and Hongler (2018) for the tangent kernel.

Why this form: eight steps of the recurrence a pass keep the running sums of 64 entries in registers and make each
pass a straight line of vector code: 1.5 ns an entry for two sums of 40 terms, 4.4 ns with the recurrence outermost.
"""

import numpy as np

from fasthde._jit import kernel

#: Entries of a row that are transformed together, and the steps of a pass; series are padded to a multiple.
LANES = 64
STEPS = 8

CONTRACT = frozenset({"contract"})
_HALF = np.sqrt(0.5)

#: Where no |rho| of 64 entries exceeds the first or second, a polynomial in rho itself does, without square roots:
#: 24 or 40 terms for 45 to 70, the rule for data of some dimension (9.5 to 2.5 ns an entry for both kernels).
INNER = (0.35, 0.65)


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


@kernel(fastmath=CONTRACT, inline=True)
def _horner(coef, x, out, width):
    """Out = sum coef[k] x^k; coef's length is a multiple of STEPS."""
    for w in range(width):
        out[w] = 0.0
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
            t = x[w]
            p = out[w] * t + c0
            p = p * t + c1
            p = p * t + c2
            p = p * t + c3
            p = p * t + c4
            p = p * t + c5
            p = p * t + c6
            out[w] = p * t + c7


@kernel(fastmath=CONTRACT, inline=True)
def _angular(coef, low, mid, t, b1, b2, width, largest, first, second):
    """Values at the correlations t (overwritten) of one or two functions, by the shortest polynomial that reaches."""
    if largest <= INNER[0]:
        scale = 1.0 / INNER[0]
        for w in range(width):
            t[w] *= scale
        _horner(low[0], t, first, width)
        if coef.shape[0] > 1:
            _horner(low[1], t, second, width)
    elif largest <= INNER[1]:
        scale = 1.0 / INNER[1]
        for w in range(width):
            t[w] *= scale
        _horner(mid[0], t, first, width)
        if coef.shape[0] > 1:
            _horner(mid[1], t, second, width)
    else:
        for w in range(width):
            t[w] = _HALF * (np.sqrt(1.0 + t[w]) - np.sqrt(1.0 - t[w]))
        _clenshaw(coef[0], t, b1, b2, width)
        for w in range(width):
            first[w] = b1[w] - t[w] * b2[w]
        if coef.shape[0] > 1:
            _clenshaw(coef[1], t, b1, b2, width)
            for w in range(width):
                second[w] = b1[w] - t[w] * b2[w]


@kernel(fastmath=CONTRACT)
def collapse_block(gram, slope, offset, near, diagonal, coef, low, mid, work, first, second, found):
    """Two functions of rho = slope gram + offset; returns how many rows of `found` hold places with |rho| near 1.

    gram is (rows, columns), with the matrix's diagonal at columns i + diagonal; coef (1 or 2, degree + 1 padded);
    low, mid the same for Horner's scheme in rho/INNER; work (3, LANES); first and second (rows, columns);
    found (rows columns, 2).
    """
    t = work[0]
    count = 0
    for i in range(gram.shape[0]):
        row = gram[i]
        for start in range(0, row.size, LANES):
            width = min(LANES, row.size - start)
            largest = 0.0
            for w in range(width):
                rho = min(max(slope * row[start + w] + offset, -1.0), 1.0)
                t[w] = rho
                largest = max(largest, abs(rho))
            if 1.0 - largest < near:
                for w in range(width):
                    if 1.0 - abs(t[w]) < near and start + w != i + diagonal:
                        found[count, 0] = i
                        found[count, 1] = start + w
                        count += 1
            _angular(
                coef, low, mid, t, work[1], work[2], width, largest,
                first[i, start : start + width], second[i, start : start + width],
            )  # fmt: skip
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
def collapsed_layer(rho, coef, low, mid, fx, fy, dx, dy, work, kappa, slope):
    """Homogeneous activation: kappa = fx fy times the first function of rho, slope = dx dy times the second."""
    t = work[0]
    for i in range(rho.shape[0]):
        for start in range(0, rho.shape[1], LANES):
            width = min(LANES, rho.shape[1] - start)
            largest = 0.0
            for w in range(width):
                t[w] = rho[i, start + w]
                largest = max(largest, abs(t[w]))
            first = kappa[i, start : start + width]
            second = slope[i, start : start + width]
            _angular(coef, low, mid, t, work[1], work[2], width, largest, first, second)
            for w in range(width):
                first[w] *= fx[i] * fy[start + w]
                second[w] *= dx[i] * dy[start + w]


@kernel(fastmath=CONTRACT)
def series_layer(rho, ax, ay, dx, dy, work, pack, kappa, slope):
    """Kappa = sum ax[i, k] ay[k, j] rho^k, slope = dx dy d kappa/d rho; ax (rows, K), ay (K, columns), K = 0 mod STEPS.

    pack, (K, LANES), holds the columns' coefficients of one strip in the first-level cache.
    """
    p = work[0]
    d = work[1]
    for start in range(0, rho.shape[1], LANES):
        width = min(LANES, rho.shape[1] - start)
        for k in range(ay.shape[0]):
            for w in range(width):
                pack[k, w] = ay[k, start + w]
        for i in range(rho.shape[0]):
            r = rho[i, start : start + width]
            largest = 0.0
            for w in range(width):
                p[w] = 0.0
                d[w] = 0.0
                largest = max(largest, abs(r[w]))
            terms = ax.shape[1]
            if largest < 0.99:  # rho^terms < 1e-18: most pairs need a tenth of a long series
                terms = min(terms, STEPS * (int(-41.5 / STEPS / np.log(max(largest, 1e-3))) + 2))
            for top in range(terms - 1, 0, -STEPS):
                a0 = ax[i, top]
                a1 = ax[i, top - 1]
                a2 = ax[i, top - 2]
                a3 = ax[i, top - 3]
                a4 = ax[i, top - 4]
                a5 = ax[i, top - 5]
                a6 = ax[i, top - 6]
                a7 = ax[i, top - 7]
                for w in range(width):
                    x = r[w]
                    u = p[w]
                    v = d[w] * x + u
                    u = u * x + a0 * pack[top, w]
                    v = v * x + u
                    u = u * x + a1 * pack[top - 1, w]
                    v = v * x + u
                    u = u * x + a2 * pack[top - 2, w]
                    v = v * x + u
                    u = u * x + a3 * pack[top - 3, w]
                    v = v * x + u
                    u = u * x + a4 * pack[top - 4, w]
                    v = v * x + u
                    u = u * x + a5 * pack[top - 5, w]
                    v = v * x + u
                    u = u * x + a6 * pack[top - 6, w]
                    v = v * x + u
                    u = u * x + a7 * pack[top - 7, w]
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
