r"""The fixed point of ridge regression on random features, one (n and width, lambda) grid at a time.

Equation: with m the smaller and M the larger of the samples n and the features d, g = M - m and P = n lambda/nu::

    df1(nu) + s(nu) = m,   s = 2 P/(g + sqrt(g**2 + 4 P)),   df1 = sum k t/(t + nu) + tail/nu

which is ``(n - df1)(1 - df1/d) = (n lambda/d)/nu`` solved for the smaller factor. With e = 1 - df1/n, a = 1 - df1/d,
D = df1 - df2, u = t/(t + nu) and v = nu/(t + nu)::

    bias = [sum b v**2 + h sum b u v]/(1 - Y),   variance = noise Y/(1 - Y),   train = e**2 test
    h = D/(d a + D),   Y = (d/n) [(df1/d)**2 + a**2 df2/(d a + D)],   1 - Y = e + (d/n) a h

Source: Defilippis, Loureiro & Misiakiewicz (2024).

Why this form

* The ridge acts like one more isotropic tail: one decreasing function of nu, from lambda = inf to lambda = 0, on both
  sides of the interpolation threshold and at it. e and a are s and s + g over n and d, never a difference.
  A kernel is d = inf, with n in the place of n/M.
* As in `fixed_point`, ``m - df1`` is an exact count plus terms of the size of D, the root is predicted along
  descending lambda, and the last step is taken on a series.

Tuples: grid = (n, width, n/M, lam, log lam, order), levels = (t, k, edge, above, above_low), scale = (trace, rank,
rank_low, tail), signal = (t, b, b of the tail, noise), output = (fields, status, iterations, doubt).
"""

import numpy as np

from fasthde._jit import SUM_MATH, driver, kernel, prange
from fasthde._kernels.fixed_point import (
    EPS,
    MAX_ITERATIONS,
    REACH,
    _next_point,
    _split,
    dimension_sums,
    predict,
)

CONVERGED, NOT_CONVERGED, INVALID, DIVERGES = 0, 1, 2, 3

#: Rows of the output array.
FIELDS = (
    "test", "train", "excess", "bias", "variance", "in_sample_bias", "in_sample_variance", "kappa", "df1", "df2",
    "residual", "squared_bias", "variance_samples", "variance_weights", "variance_interaction",
)  # fmt: skip


@kernel(fastmath=SUM_MATH, inline=True)
def _signal_sums(t, b, nu):
    """Sums of b v**2 and b u v."""
    missed = 0.0
    mixed = 0.0
    for i in range(t.size):
        r = 1.0 / (t[i] + nu)
        v = nu * r
        bv = b[i] * v
        missed += bv * v
        mixed += bv * (t[i] * r)
    return missed, mixed


@kernel(inline=True)
def _surplus(p, gap, small):
    """The surplus s and -dlog s/dlog nu at p = P/M, gap = g/M and small = 1/M, which have limits for M = inf."""
    root = np.sqrt(gap * gap + 4.0 * p * small)
    if root == 0.0:
        return 0.0, 0.5
    return 2.0 * p / (gap + root), 0.5 * (1.0 + gap / root)


@kernel(inline=True)
def _solve(m, gap, small, strength, x, levels, tail, split):
    """Root nu of df1 + s = m from a start x, with strength = n lambda/M.

    Returns (nu, s, df1, df2, D), the estimated relative error, dlog(nu)/dlog(strength), evaluations and split.
    """
    t, k, edge, above, above_low = levels
    low = 0.0
    high = np.inf
    iteration = 0
    while True:
        split = _split(edge, x, split)
        threshold = edge[split - 1] if split > 0 else np.inf
        sum1, df2, m1, m2, m3 = dimension_sums(t, k, x, threshold)
        free = tail / x
        s, bend = _surplus(strength / x, gap, small)
        count = (m - above[split]) - above_low[split]
        miss = count - sum1 - free - s
        slope = m1 + free + s * bend
        iteration += 1
        if abs(miss) <= REACH * slope or iteration == MAX_ITERATIONS:
            break
        if miss > 0.0:
            high = x
        else:
            low = x
        new = 0.0
        whole = count - sum1
        if 0.0 < whole < -miss:  # to the left, where m - df1 and s are like powers
            new = x * np.exp(np.log((s + free) / whole) / (m1 / whole + (s * bend + free) / (s + free)))
        elif miss < -m:  # far to the left, where the logarithm of a sum of powers is nearly straight
            new = x * np.exp((m - miss) * np.log1p(-miss / m) / slope)
        # steps on logarithms from the left and from the right may chase each other: every fourth halves the bracket
        if iteration % 4 == 0 and 4.0 * low < high < np.inf and low > 0.0:
            x = np.sqrt(low) * np.sqrt(high)
        elif low < new < high:
            x = new
        else:
            x = _next_point(x, miss, slope, 1.0, s + free, s * bend + free, low, high)
    error = abs(miss) / slope
    if error <= REACH:
        z = 0.0
        for _ in range(3):
            free = tail / (x * (1.0 + z))
            s, bend = _surplus(strength / (x * (1.0 + z)), gap, small)
            rest = count - sum1 + z * (m1 - z * (m2 - z * m3)) - free - s
            step = -rest / (m1 - 2.0 * z * m2 + (free + s * bend) / (1.0 + z))
            z += step
            if abs(step) <= 2.0 * EPS:
                break
        free = tail / (x * (1.0 + z))
        s, bend = _surplus(strength / (x * (1.0 + z)), gap, small)
        error = 4.0 * abs(z * z * z) + EPS
        sum1 -= z * (m1 - z * (m2 - z * m3))
        df2 -= z * (2.0 * (m1 - m2) - z * (3.0 * (m2 - m3)))
        m1 = (1.0 + z) * (m1 - z * (2.0 * m2 - z * (3.0 * m3)))
        x *= 1.0 + z
    d = m1 + free
    pull = s * bend / (d + s * bend) if s > 0.0 else 0.0
    return (x, s, above[split] + sum1 + free, df2, d), error, pull, iteration, split


@kernel(inline=True)
def _risk(point, n, width, signal, out, r, c):
    """Write every field at a solved point = (nu, s, df1, df2, D)."""
    nu, s, df1, df2, d = point
    t, b, b_tail, noise = signal
    gap = abs(n - width)
    if n <= width:
        e = s / n
        a = 1.0 if width == np.inf else (s + gap) / width
    else:
        e = 1.0 if n == np.inf else (s + gap) / n
        a = s / width
    if nu == 0.0:
        missed, mixed = 0.0, 0.0
    elif nu == np.inf:
        missed, mixed = np.sum(b), 0.0
    else:
        missed, mixed = _signal_sums(t, b, nu)
    missed += b_tail
    if width == np.inf:
        h = 0.0
        lost = 1.0 if n == np.inf else e + d / n  # 1 - Y
        y = 0.0 if n == np.inf else df2 / n
    else:
        h = d / (width * a + d) if d > 0.0 else 0.0
        lost = e if n == np.inf else e + (width / n) * a * h
        y = 0.0
        if n < np.inf:
            y = (df1 / n) * (df1 / width)
            if df2 > 0.0:
                y += (width / n) * a * a * (df2 / (width * a + d)) if a > 0.0 else 0.0
    narrow = e + d / n if n < np.inf else 1.0  # 1 - df2/n
    weights = h * mixed
    total = missed + weights
    bias = 0.0
    if total > 0.0:
        bias = total / lost if lost > 0.0 else np.inf
    variance = 0.0
    if noise * y > 0.0:
        variance = noise * y / lost if lost > 0.0 else np.inf
    samples = 0.0
    if missed * df2 > 0.0 and n < np.inf:
        samples = missed * (df2 / n) / narrow if narrow > 0.0 else np.inf
    both = 0.0
    if n < np.inf:
        both = weights * y + (missed * (d / n) * h / narrow if missed * d > 0.0 else 0.0)
        if both > 0.0:
            both = both / lost if lost > 0.0 else np.inf
    test = bias + variance + noise
    out[0, r, c] = test
    out[1, r, c] = e * e * test if e > 0.0 else 0.0
    out[2, r, c] = bias + variance
    out[3, r, c] = bias
    out[4, r, c] = variance
    out[5, r, c] = e * e * bias if e > 0.0 else 0.0
    out[6, r, c] = noise * (1.0 - e) * (1.0 - e) + (e * e * variance if e > 0.0 else 0.0)
    out[7, r, c] = nu
    out[8, r, c] = df1
    out[9, r, c] = df2
    out[11, r, c] = missed
    out[12, r, c] = samples
    out[13, r, c] = weights
    out[14, r, c] = both


@kernel
def features_rows(start, stop, grid, levels, scale, signal, output):
    """Solve rows start..stop; `order` sorts each row's lambda descending."""
    n_rows, width_rows, part_rows, lam_rows, log_lam, order = grid
    out, status, iterations, doubt = output
    trace, rank, rank_low, tail = scale
    shared = lam_rows.shape[0] == 1
    for r in range(start, stop):
        n, width = n_rows[r], width_rows[r]
        q = 0 if shared else r
        m = min(n, width)
        most = max(n, width)
        gap = (most - m) / most if most < np.inf else 1.0
        small = 1.0 / most
        split = 0
        seen = 0  # solved neighbours at larger lambda, the nearest last: log lambda, log nu, slope
        l1 = l2 = l3 = x1 = x2 = x3 = s1 = s2 = s3 = 0.0
        whole = trace + tail
        surplus = (m - rank) - rank_low
        doubtful = 0
        for position in range(lam_rows.shape[1]):
            c = order[q, position]
            lam = lam_rows[q, c]
            if not (n > 0.0 and width > 0.0 and m < np.inf and lam >= 0.0):
                for field in range(out.shape[0]):
                    out[field, r, c] = np.nan
                status[r, c] = INVALID
                iterations[r, c] = 0
                continue
            used, error = 0, 0.0
            strength = part_rows[r] * lam
            if lam == np.inf:  # nothing is learned
                point = (lam, m, 0.0, 0.0, 0.0)
            elif strength == 0.0 and tail == 0.0 and surplus >= 0.0:  # least squares
                point = (0.0, surplus, rank, rank, 0.0)
            else:
                guess = (whole + strength) / m
                if strength > 0.0 and seen > 0:
                    x = predict(log_lam[q, c], seen, l1, l2, l3, x1, x2, x3, s1, s2, s3)
                    # dlog(nu)/dlog(lambda) lies between 0 and 1
                    guess = np.exp(min(max(x, x3 + (log_lam[q, c] - l3)), x3))
                elif seen > 0:
                    guess = min(guess, np.exp(x3))
                point, error, slope, used, split = _solve(m, gap, small, strength, guess, levels, tail, split)
                if strength > 0.0:
                    l1, x1, s1 = l2, x2, s2
                    l2, x2, s2 = l3, x3, s3
                    l3, x3, s3 = log_lam[q, c], np.log(point[0]), slope
                    seen = min(seen + 1, 3)
            _risk(point, n, width, signal, out, r, c)
            iterations[r, c] = used
            out[10, r, c] = error
            # written so that NaN, too, is not converged
            status[r, c] = CONVERGED if error <= 1e-14 and out[0, r, c] >= 0.0 else NOT_CONVERGED
            if out[0, r, c] == np.inf:
                status[r, c] = DIVERGES
            if m < 20.0 or out[8, r, c] * out[8, r, c] < 20.0 * out[9, r, c]:
                doubtful += 1
        doubt[r] = doubtful


@driver
def features_driver(bounds, grid, levels, scale, signal, output):
    """Rows in parallel, a block each."""
    for i in prange(bounds.size - 1):
        features_rows(bounds[i], bounds[i + 1], grid, levels, scale, signal, output)
