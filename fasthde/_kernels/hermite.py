r"""Hermite coefficients of many functions at once: ``out[i, k] = sum_j f[i, j] h_k(t[i, j])``.

Equation: ``h_{k+1} = (t h_k - sqrt(k) h_{k-1})/sqrt(k + 1)``, h_k = He_k/sqrt(k!), stable upwards on the whole line.

Domain: any order; the caller's weights carry exp(-t^2/2), which keeps every product a number.

Why this form: the polynomials of a row of nodes stay in the first-level cache while all orders are summed
(three flops a node and order); a table of h_k for every row would stream through memory.
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel


@kernel(fastmath=SUM_MATH)
def hermite_rows(start, stop, t, f, work, out):
    """Coefficients 0 .. out.shape[1]-1 of rows start .. stop-1; work is (rows, 2, nodes)."""
    nodes = t.shape[1]
    for i in range(start, stop):
        x = t[i]
        g = f[i]
        older = work[i, 0]
        newer = work[i, 1]
        total = 0.0
        for j in range(nodes):
            older[j] = 0.0
            newer[j] = g[j]
            total += g[j]
        out[i, 0] = total
        for k in range(1, out.shape[1]):
            up = 1.0 / np.sqrt(1.0 * k)
            back = np.sqrt(k - 1.0) * up
            total = 0.0
            for j in range(nodes):
                h = up * (x[j] * newer[j]) - back * older[j]
                older[j] = newer[j]
                newer[j] = h
                total += h
            out[i, k] = total
