"""Edges of the coupled laws: folds of the real solution curve, by Newton on the extended system.

At an edge the real unknowns x stop being a function of z: F(x, z) = 0 and J(x, z) v = 0, with v normalised
(Seydel 1979). Derivatives of J are complex steps of 1e-100 through the analytic Jacobian, hence exact to rounding; the
step in z at convergence is of second order in what is left of x and v.
"""

import numpy as np

from fasthde._jit import kernel
from fasthde._kernels.coupled import eliminate
from fasthde._kernels.coupled_equations import equations

EPS = 2.220446049250313e-16

#: Step of the complex-step derivatives: its square vanishes beside everything.
STEP = 1e-100


@kernel
def _bend(system, scale, v, matrix, column):
    """Column of d(J v): imaginary parts of a Jacobian evaluated a complex step away."""
    k = v.size
    for a in range(k):
        total = 0.0
        for b in range(k):
            total += system[a, b].imag / STEP * scale[b] * v[b]
        matrix[k + a, column] = total


@kernel
def fold(model, z, x, u, real, system, matrix, step, other, rows):
    """The fold near the real point (z, x), or NaN. Overwrites u (complex, K) and the other work arrays.

    real: 4 x K; system: K x (K + 2), matrix: N x (N + 2) and step, other: N with N = 2 K + 1, all complex.
    """
    k = x.size
    n = 2 * k + 1
    scale, y, v, norm = real[0], real[1], real[2], real[3]
    for a in range(k):
        scale[a] = abs(x[a])
        y[a] = 1.0 if x[a] > 0.0 else -1.0
        u[a] = x[a]
    # first v: the direction in which x moves with z
    equations(model, complex(z, 0.0), u, system, rows)
    if not eliminate(system, step[:k], other[:k]):
        return np.nan
    big = 0.0
    for a in range(k):
        v[a] = other[a].real / scale[a]
        big = max(big, abs(v[a]))
    length = 0.0
    for a in range(k):
        v[a] /= big
        length += v[a] * v[a]
    for a in range(k):
        norm[a] = v[a] / length
    before = np.inf
    for _ in range(30):
        for i in range(n):
            for j in range(n + 2):
                matrix[i, j] = 0.0
        for a in range(k):
            u[a] = y[a] * scale[a]
        equations(model, complex(z, STEP), u, system, rows)
        _bend(system, scale, v, matrix, 2 * k)
        for b in range(k):
            u[b] = complex(y[b] * scale[b], STEP * scale[b])
            equations(model, complex(z, 0.0), u, system, rows)
            _bend(system, scale, v, matrix, b)
            u[b] = y[b] * scale[b]
        equations(model, complex(z, 0.0), u, system, rows)
        for a in range(k):
            total = 0.0
            for b in range(k):
                entry = system[a, b].real * scale[b]
                matrix[a, b] = entry
                matrix[k + a, k + b] = entry
                total += entry * v[b]
            matrix[a, 2 * k] = system[a, k + 1].real
            matrix[a, n] = system[a, k].real
            matrix[k + a, n] = total
            matrix[2 * k, k + a] = norm[a]
            matrix[2 * k, n] += norm[a] * v[a]
        matrix[2 * k, n] -= 1.0
        for i in range(n):
            top = 0.0
            for j in range(n):
                top = max(top, abs(matrix[i, j].real))
            if not 0.0 < top < np.inf:
                return np.nan
            for j in range(n + 1):
                matrix[i, j] = matrix[i, j].real / top
        if not eliminate(matrix, step, other):
            return np.nan
        z -= step[2 * k].real
        size = abs(step[2 * k].real) / abs(z)
        for a in range(k):
            y[a] -= step[a].real
            v[a] -= step[k + a].real
            size = max(size, abs(step[a].real) / abs(y[a]))
        if not size < np.inf:
            return np.nan
        if size <= 4.0 * EPS or (before < 1e-9 and size > 0.3 * before):
            return z
        before = size
    return np.nan
