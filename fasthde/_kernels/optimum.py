r"""The ridge of least test error, as a root of the analytic derivative.

Equation: with ' = d/dlog(kappa) at fixed n (so dlog(delta) = -(D/(n V)) dlog(kappa)),
E1 = sum k t kappa**2/(t + kappa)**3 and E2 = sum k t**2 kappa/(t + kappa)**3::

    df1' = -D,  df2' = -2 E2,  D' = E2 - E1,  B' = 2 sum c t kappa**2/(t+kappa)**3
    R = (B + S df2/n)/den,  den = (D + q df2)/df1,  q = V/U,  S = E[noise a**2/tau]/E[a]**2

Why this form: a minimum found from values alone is good to the square root of the rounding error; the
derivative gives lambda itself to 1e-13 and its sign tells a boundary optimum from a flat interior one.
"""

import numpy as np

from fasthde._jit import SUM_MATH, driver, kernel, prange
from fasthde._kernels.ridge import norm_outputs, signal_sum, solve

DECADES = 16  # of lambda on either side of trace/n
STEPS = 4  # grid points a decade


@kernel(fastmath=SUM_MATH)
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


@kernel
def _norm_slopes(tau, w, noise, eps, eps1):
    """V-dot/V for dV/dlog(delta), and dlog(S)/dlog(delta)."""
    a = 0.0
    a_below = 0.0
    s = 0.0
    s_below = 0.0
    v = 0.0
    v_dot = 0.0
    for j in range(tau.size):
        r = 1.0 / (eps + tau[j] * eps1)
        below = eps * r
        u = tau[j] * eps1 * r
        a += w[j] * tau[j] * r
        a_below += w[j] * tau[j] * r * below
        s += w[j] * noise[j] * tau[j] * r * r
        s_below += w[j] * noise[j] * tau[j] * r * r * below
        v += w[j] * u * below
        v_dot += w[j] * u * below * (below - u)
    return v_dot / v, 2.0 * (s_below / s - a_below / a) if s > 0.0 else 0.0


@kernel
def excess_and_slope(n, lam, guess, levels, signal, norms, split):
    """Excess error and the sign-carrying d(excess)/dlog(kappa), with the solved delta and split."""
    tau, w, noise, _ = norms
    point, delta, _, _, _, split = solve(n, lam, guess, levels, norms, split)
    kappa, eps, eps1, df1, df2, d, q, _, a = point
    _, noise_a2, _, _ = norm_outputs(tau, w, noise, eps, eps1)
    s = noise_a2 / (a * a)
    den = (d + q * df2) / df1
    excess = (signal_sum(signal[0], signal[1], kappa) + s * df2 / n) / den
    e2, b3 = _cubic_sums(levels[0], levels[1], signal[0], signal[1], kappa)
    v_dot, s_dot = _norm_slopes(tau, w, noise, eps, eps1)
    q_slope = q * (d / df1) - (d / df1) * v_dot  # V'/U = -(D/n)(V-dot/V)/U
    den_slope = ((2.0 * e2 - d) + q_slope * df2 - 2.0 * q * e2) / df1 + den * (d / df1)
    s_slope = -s * s_dot * (d / (q * df1)) if s_dot != 0.0 else 0.0  # n V = q df1
    slope = (2.0 * b3 + (s_slope * df2 - 2.0 * s * e2) / n - excess * den_slope) / den
    return excess, slope, delta, split


@kernel
def optimum_rows(start, stop, n_rows, levels, scale, signal, norms, best, boundary):
    """Best lambda for each n; boundary says that it is 0 or inf."""
    trace = scale[0]
    points = 2 * DECADES * STEPS + 1
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
        lam = 10.0**DECADES * trace / n
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
    for i in prange(bounds.size - 1):
        optimum_rows(bounds[i], bounds[i + 1], n_rows, levels, scale, signal, norms, best, boundary)
