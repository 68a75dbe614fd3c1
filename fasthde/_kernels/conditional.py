r"""Errors of random features given the data, at solved points: sums over the eigenvalues of the kernel matrix.

Equation: with eigenvalues S of the kernel matrix, u = S/(S + theta), v = theta/(S + theta), D = sum u v, the surplus
s = d - df1(theta) and h = 1/(D + s)::

    train = (1/n) sum y**2 v**2 + (h D/n) sum y**2 u v
    test = first(theta) + h [sum y**2 S/(S + theta)**2] [own - sum (1 + v) g/(S + theta)]

y are the targets in the eigenbasis, g the mean squares of the test kernel there, own the mean of the test kernel's
diagonal, first the error of kernel regression at ridge theta.

Source: Louart, Liao & Couillet (2018); Liao, Couillet & Mahoney (2020).

Why this form: as printed, the equations have 1 - (1/d) tr (K Q)**2 and powers of lambda, which cancel near the
interpolation threshold and underflow without a ridge; here all sums are of positive terms.
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel


@kernel(fastmath=SUM_MATH, inline=True)
def _sums(values, squares, cross, theta):
    """D, and the sums of y**2 v**2, y**2 u v, y**2 S/(S + theta)**2 and (1 + v) g/(S + theta); all S are positive."""
    d = 0.0
    missed = 0.0
    mixed = 0.0
    norm = 0.0
    seen = 0.0
    for i in range(values.size):
        r = 1.0 / (values[i] + theta)
        u = values[i] * r
        v = theta * r
        d += u * v
        missed += squares[i] * (v * v)
        mixed += squares[i] * (u * v)
        norm += squares[i] * (u * r)
        seen += cross[i] * ((1.0 + v) * r)
    return d, missed, mixed, norm, seen


@kernel
def conditional_rows(start, stop, theta, surplus, values, squares, dead, cross, own, first, n, train, test):
    """Points start..stop of one target; dead is its sum of squares where the kernel matrix is singular."""
    for i in range(start, stop):
        if not theta[i] >= 0.0:
            train[i] = np.nan
            test[i] = np.nan
            continue
        if theta[i] == np.inf:
            train[i] = (np.sum(squares) + dead) / n
            test[i] = first[i]
            continue
        d, missed, mixed, norm, seen = _sums(values, squares, cross, theta[i])
        below = d + surplus[i]
        gain = d / below if d > 0.0 else 0.0
        train[i] = (missed + dead + gain * mixed) / n
        spread = norm * max(own - seen, 0.0)
        if below > 0.0:
            test[i] = first[i] + spread / below
        else:
            test[i] = np.inf if spread > 0.0 else first[i]
