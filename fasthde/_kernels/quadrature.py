r"""Gauss rules of discrete measures: a million atoms become a few hundred nodes.

Equation: for a positive measure on [a, 4a] the m-point Gauss rule integrates ``1/(t + kappa)``, kappa >= 0,
with relative error of order ``3**(-2 m)`` (the pole lies at 5/3 in units of the half width, 5/3 + 4/3 = 3).

Source: Golub and Welsch (1969); Lanczos recurrence with reorthogonalisation; Chebyshev's algorithm.

Why this form: a rule of m nodes is exact to degree 2m - 1, so the rule of a union of rules is the rule of
the union. One pass over the atoms reduces bins of relative width 1/128 to three points each through their
moments (error 514**-6), in any order of the atoms; Lanczos sees only the few thousand atoms that remain.
"""

import math

import numpy as np

from fasthde._jit import SUM_MATH, kernel


@kernel(fastmath=SUM_MATH)
def _dot(p, q):
    total = 0.0
    for i in range(p.size):
        total += p[i] * q[i]
    return total


@kernel
def lanczos(x, w, bounds, m, basis, alpha, beta, mass):
    """Jacobi coefficients alpha (blocks, m) and beta (blocks, m - 1) of each block's measure, x in [-1, 1].

    basis is workspace, (m + 1, longest block).

    A measure with fewer than m points of support ends early; its matrix is then padded with a decoupled
    eigenvalue 2, whose eigenvector has no first component, so its weight is zero.
    """
    for b in range(bounds.size - 1):
        lo, hi = bounds[b], bounds[b + 1]
        size = hi - lo
        xb = x[lo:hi]
        wb = w[lo:hi]
        total = 0.0
        for i in range(size):
            total += wb[i]
        mass[b] = total
        for i in range(size):
            basis[0, i] = np.sqrt(wb[i] / total)
        for j in range(m):
            p = basis[j, :size]
            new = basis[j + 1, :size]
            for i in range(size):
                new[i] = xb[i] * p[i]
            alpha[b, j] = _dot(new, p)
            if j == m - 1:
                break
            for _ in range(2):  # Gram-Schmidt twice: orthogonal to rounding however small the remainder
                for q in range(j + 1):
                    other = basis[q, :size]
                    amount = _dot(new, other)
                    for i in range(size):
                        new[i] -= amount * other[i]
            off = np.sqrt(_dot(new, new))
            if off <= 1e-13:
                for i in range(j + 1, m):
                    alpha[b, i] = 2.0
                    beta[b, i - 1] = 0.0
                break
            beta[b, j] = off
            for i in range(size):
                new[i] /= off


@kernel
def fine_moments(t, w, low, moments):
    """Add each atom to the moments 0..5 of its bin, x in [-1, 1); bins of [2**(e-1), 2**e) from e = low."""
    for i in range(t.size):
        mantissa, exponent = math.frexp(t[i])
        place = mantissa * 256.0 - 128.0
        j = int(place)
        x = 2.0 * (place - j) - 1.0
        row = moments[(exponent - low) * 128 + j]
        term = w[i]
        for power in range(6):
            row[power] += term
            term *= x


@kernel
def three_point(moments, alpha, beta):
    """Jacobi coefficients of order 3 from moments 0..5 (Chebyshev's algorithm); short measures end early."""
    for b in range(moments.shape[0]):
        m = moments[b]
        a0 = m[1] / m[0]
        # moments of p1 = x - a0 against x**k, then of p2 = (x - a1) p1 - b1 p0
        s1, s2, s3, s4 = m[2] - a0 * m[1], m[3] - a0 * m[2], m[4] - a0 * m[3], m[5] - a0 * m[4]
        b1 = s1 / m[0]
        alpha[b, 0], alpha[b, 1], alpha[b, 2] = a0, 2.0, 2.0
        beta[b, 0], beta[b, 1] = 0.0, 0.0
        if b1 <= 1e-14:
            continue
        a1 = s2 / s1 - a0
        alpha[b, 1], beta[b, 0] = a1, math.sqrt(b1)
        r2 = s3 - a1 * s2 - b1 * m[2]
        r3 = s4 - a1 * s3 - b1 * m[3]
        b2 = r2 / s1
        if b2 <= 1e-12:
            continue
        alpha[b, 2], beta[b, 1] = r3 / r2 - s2 / s1, math.sqrt(b2)


@kernel
def exact_cumsum(k, bounds, high, low):
    """Cumulative sums of k at the bounds in two doubles (high + low), by error-free addition."""
    s = 0.0
    e = 0.0
    j = 0
    for i in range(k.size + 1):
        while j < bounds.size and bounds[j] == i:
            high[j] = s + e
            low[j] = e - (high[j] - s)
            j += 1
        if i < k.size:
            t = s + k[i]
            z = t - s
            e += (s - (t - z)) + (k[i] - z)
            s = t
