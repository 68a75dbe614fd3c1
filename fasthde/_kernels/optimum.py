r"""The ridge of least test error, as a root of the analytic derivative.

Equation: with ' = d/dlog(kappa) at fixed n (so dlog(delta) = -(D/(n V)) dlog(kappa)),
E2 = sum k t**2 kappa/(t + kappa)**3 and B3 = sum c t kappa**2/(t + kappa)**3::

    R = (B + S df2/n)/(1 - f),   f = gamma df2/df1,   S = E[noise a**2/tau]/E[a]**2,   gamma = E[u**2]/U
    (1 - f)**2 R' = (2 B3 + (S' df2 - 2 S E2)/n)(1 - f) + (B + S df2/n) f'
    f'/f = gamma'/gamma - 2 E2/df2 + D/df1

Why this form: a minimum found from values alone is good to the square root of the rounding error. f' by its
logarithm keeps its digits where f is small (a ridge far above the spectrum), and the sign of R' tells a
boundary optimum from a flat interior one.
"""

import numpy as np

from fasthde._jit import SUM_MATH, driver, kernel, prange
from fasthde._kernels.fixed_point import solve
from fasthde._kernels.ridge import norm_outputs, signal_sum

DECADES = 16  # of lambda on either side of trace/n, at least
STEPS = 4  # grid points a decade
MARGIN = 1e5  # beyond the outermost scales


@kernel(fastmath=SUM_MATH, inline=True)
def _cubic_sums(t, k, c_t, c, kappa):
    """E2 and sum c t kappa**2/(t + kappa)**3."""
    e2 = 0.0
    for i in range(t.size):
        r = 1.0 / (t[i] + kappa)
        u = t[i] * r
        v = kappa * r
        e2 += k[i] * u * v * u
    b3 = 0.0
    for i in range(c_t.size):
        r = 1.0 / (c_t[i] + kappa)
        v = kappa * r
        b3 += c[i] * (c_t[i] * r) * (v * v)
    return e2, b3


@kernel(inline=True)
def _norm_slopes(tau, w, noise, eps, eps1):
    """dlog(gamma)/dlog(delta)/V and dlog(S)/dlog(delta)/V, V = E u(1 - u)."""
    a = 0.0
    a_below = 0.0
    s = 0.0
    s_below = 0.0
    u1 = 0.0
    u2 = 0.0
    u2_below = 0.0
    v = 0.0
    for j in range(tau.size):
        r = 1.0 / (eps + tau[j] * eps1)
        below = eps * r
        u = tau[j] * eps1 * r
        a += w[j] * tau[j] * r
        a_below += w[j] * tau[j] * r * below
        s += w[j] * noise[j] * tau[j] * r * r
        s_below += w[j] * noise[j] * tau[j] * r * r * below
        u1 += w[j] * u
        u2 += w[j] * u * u
        u2_below += w[j] * u * u * below
        v += w[j] * u * below
    gamma_dot = 2.0 * u2_below / u2 - v / u1
    s_dot = 2.0 * (s_below / s - a_below / a) if s > 0.0 else 0.0
    return gamma_dot / v, s_dot / v


@kernel(inline=True)
def excess_and_slope(n, lam, guess, levels, signal, norms, split):
    """Excess error and the sign-carrying (1 - f)**2 R', with the solved delta and split."""
    tau, w, noise, _, _ = norms
    point, delta, _, _, _, split = solve(n, lam, guess, levels, norms, split)
    kappa, eps, eps1, df1, df2, d, q, gamma, a = point
    s = norm_outputs(tau, w, noise, eps, eps1)[1] / (a * a)
    f = gamma * df2 / df1
    rest = (d + q * df2) / df1  # 1 - f, from positive terms
    whole = signal_sum(signal[0], signal[1], kappa) + s * df2 / n
    e2, b3 = _cubic_sums(levels[0], levels[1], signal[0], signal[1], kappa)
    gamma_dot, s_dot = _norm_slopes(tau, w, noise, eps, eps1)
    f_slope = f * ((d / df1 - gamma_dot * (d / n)) - 2.0 * e2 / df2)
    s_slope = -s * s_dot * (d / n)
    slope = (2.0 * b3 + (s_slope * df2 - 2.0 * s * e2) / n) * rest + whole * f_slope
    return whole / rest, slope, delta, split


@kernel(inline=True)
def _range(n, levels, trace, signal, norms):
    """Ridges between which every minimum lies.

    Far above (below) the spectrum bias and variance are powers of kappa, which balance at
    noise sum k t**2/(n sum c t) (noise sum k/t / (n sum c/t**2)) for plain data; norms move that by a factor.
    """
    t, k = levels[0], levels[1]
    signal_t, c, noise, _ = signal
    top = t[0]
    bottom = t[0]
    squares = 0.0
    inverse = 0.0
    for i in range(t.size):
        if k[i] > 0.0:
            top = max(top, t[i])
            bottom = min(bottom, t[i])
            squares += k[i] * t[i] * t[i]
            inverse += k[i] / t[i]
    above = 0.0
    below = 0.0
    for i in range(c.size):
        above += c[i] * signal_t[i]
        below += c[i] / signal_t[i] / signal_t[i]
    high = max(10.0**DECADES * trace / n, top * MARGIN)
    low = min(10.0**-DECADES * trace / n, bottom / MARGIN)
    if noise > 0.0 and above > 0.0:
        high = max(high, MARGIN * noise * (squares / above / n))
        # at n = rank the balance is struck by kappa**2 = n lambda/sum k/t
        kappa = noise * (inverse / below / n)
        low = min(low, min(kappa, kappa * (kappa * inverse / n)) / MARGIN)
    return max(low, 1e-290), min(high, 1e290)


@kernel
def optimum_rows(start, stop, n_rows, levels, scale, signal, norms, best, boundary):
    """Best lambda for each n; boundary says that it is 0 or inf."""
    trace = scale[0]
    ratio = 10.0 ** (-1.0 / STEPS)
    for r in range(start, stop):
        n = n_rows[r]
        best[r] = np.nan
        if not (n > 0.0 and n < np.inf):
            if n == np.inf:  # no variance: nothing is gained by a ridge
                best[r] = 0.0
                boundary[r] = True
            continue
        lowest = np.inf
        split = 0
        smallest, lam = _range(n, levels, trace, signal, norms)
        points = int(np.ceil(STEPS * np.log10(lam / smallest))) + 1
        delta = trace / (n * lam)
        last_slope = 0.0
        for i in range(points):
            excess, slope, delta, split = excess_and_slope(n, lam, delta, levels, signal, norms, split)
            if i == 0 and slope < 0.0:
                lowest, best[r], boundary[r] = excess, np.inf, True
            if i > 0 and slope < 0.0 and last_slope >= 0.0:  # a minimum between this point and the last
                low, high, f_low, f_high = lam, lam / ratio, slope, last_slope
                x, guess, at = low, delta, split
                value = excess
                side = 0
                for _ in range(200):
                    if high - low <= 4e-16 * high:
                        break
                    x = low - f_low * ((high - low) / (f_high - f_low))
                    if not low < x < high:
                        x = np.sqrt(low * high)
                        if not low < x < high:
                            break
                    value, f, guess, at = excess_and_slope(n, x, guess, levels, signal, norms, at)
                    if f == 0.0:
                        break
                    if f < 0.0:
                        if x - low <= 4e-16 * x:
                            break
                        low, f_low = x, f
                        if side == -1:
                            f_high *= 0.5  # Illinois
                        side = -1
                    else:
                        if high - x <= 4e-16 * x:
                            break
                        high, f_high = x, f
                        if side == 1:
                            f_low *= 0.5
                        side = 1
                if value < lowest:
                    lowest, best[r], boundary[r] = value, x, False
            if i == points - 1 and slope >= 0.0 and excess <= lowest:
                best[r], boundary[r] = 0.0, True
            last_slope = slope
            lam *= ratio
            delta /= ratio


@driver
def optimum_driver(bounds, n_rows, levels, scale, signal, norms, best, boundary):
    """Rows in parallel, a block each."""
    for i in prange(bounds.size - 1):
        optimum_rows(bounds[i], bounds[i + 1], n_rows, levels, scale, signal, norms, best, boundary)
