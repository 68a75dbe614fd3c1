r"""Errors of ridge regression at the solved fixed point, one (n, lambda) grid at a time.

Equation: at a solved point, with f = E[tau**2/(1 + tau delta)**2], G2 = (1/n) sum k t**2/(e t + lambda)**2
and c = b t::

    bias = sum c (kappa/(t + kappa))**2 / (1 - f G2)
    variance = E[noise tau/(1 + tau delta)**2] G2/(1 - f G2)
    1 - f G2 = (D + q df2)/df1,  q = V/U

Source: El Karoui (2018); Hastie et al. (2022) for the plain form.

Why this form: every output is a quotient of sums of positive terms. Row kernels are serial; rows are values of n.

Tuples: grid = (n, lam, log lam, order), scale = (trace, rank, rank_low),
signal = (t, c, mean noise, noise at norm 0), shift = (given, t, b t', b t' at t = 0, t, k t'/t),
output = (fields, status, iterations, doubt).
"""

import numpy as np

from fasthde._jit import SUM_MATH, driver, kernel, prange
from fasthde._kernels.fixed_point import dimension_sums, exact_product, predict, solve, solve_saturated

CONVERGED, NOT_CONVERGED, INVALID, DIVERGES = 0, 1, 2, 3

#: Rows of the output array.
FIELDS = (
    "test", "train", "excess", "bias", "variance", "in_sample_bias", "in_sample_variance",
    "kappa", "df1", "df2", "residual",
)  # fmt: skip


@kernel(fastmath=SUM_MATH, inline=True)
def signal_sum(t, c, kappa):
    """Sum of c (kappa/(t + kappa))**2. One division for two atoms (their number is even): 0.18 for 0.31 ns."""
    total = 0.0
    if kappa < 1e-150 or t[0] + kappa > 1e150:  # the product of two sums would leave the range
        for i in range(t.size):
            v = kappa / (t[i] + kappa)
            total += c[i] * (v * v)
        return total
    half = t.size // 2
    for i in range(half):
        first = t[i] + kappa
        second = t[i + half] + kappa
        r = kappa / (first * second)
        v = r * second
        w = r * first
        total += c[i] * (v * v) + c[i + half] * (w * w)
    return total


@kernel(inline=True)
def bias_sum(t, c, kappa):
    """`signal_sum` with its limits: nothing is missed at kappa = 0, everything at kappa = inf."""
    if kappa == 0.0:
        return 0.0
    if kappa == np.inf:
        return np.sum(c)
    return signal_sum(t, c, kappa)


@kernel(fastmath=SUM_MATH, inline=True)
def variance_sum(t, h, kappa):
    """Sum of h (t/(t + kappa))**2, for h = k t'/t under covariate shift."""
    total = 0.0
    for i in range(t.size):
        u = t[i] / (t[i] + kappa)
        total += h[i] * (u * u)
    return total


@kernel(inline=True)
def norm_outputs(tau, w, noise, eps, eps1):
    """E[tau/den**2], E[noise tau/den**2], E[noise (eps/den)**2], E[noise u**2]; den = eps + tau eps1."""
    a2 = 0.0
    noise_a2 = 0.0
    noise_below = 0.0
    noise_u2 = 0.0
    for j in range(tau.size):
        r = 1.0 / (eps + tau[j] * eps1)
        below = eps * r
        u = tau[j] * eps1 * r
        a2 += w[j] * tau[j] * r * r
        noise_a2 += w[j] * noise[j] * (tau[j] * r * r)
        noise_below += w[j] * noise[j] * below * below
        noise_u2 += w[j] * noise[j] * u * u
    return a2, noise_a2, noise_below, noise_u2


@kernel(inline=True)
def risk(point, n, signal, norms, shift, out, r, c):
    """Write every field at a solved point = (kappa, eps, 1 - eps, df1, df2, D, q, gamma, a)."""
    kappa, eps, eps1, df1, df2, d, q, gamma, a = point
    tau, w, noise, _, _ = norms
    signal_t, signal_c, mean_noise, dead_noise = signal
    shifted, shift_c_t, shift_c, shift_c0, shift_h_t, shift_h = shift
    den = d + q * df2
    if kappa == np.inf:
        gain = 1.0
    else:
        gain = df1 / den if den > 0.0 else np.inf
    if tau.size == 1 and tau[0] == 1.0:
        a2, noise_a2, noise_below, noise_u2 = 1.0, noise[0], noise[0] * eps * eps, noise[0] * eps1 * eps1
    else:
        a2, noise_a2, noise_below, noise_u2 = norm_outputs(tau, w, noise, eps, eps1)
    raw_bias = bias_sum(signal_t, signal_c, kappa)
    noise_ratio = noise_a2 if a == 1.0 else noise_a2 / (a * a)
    bias = raw_bias * gain if raw_bias > 0.0 else 0.0
    variance = noise_ratio * (df2 / n) * gain if noise_ratio > 0.0 else 0.0
    excess = bias + variance
    below2 = eps * eps * a2  # E[tau/(1 + tau delta)**2], 0 at interpolation, also where the variance diverges
    out[1, r, c] = (excess * below2 if below2 > 0.0 else 0.0) + noise_below + dead_noise
    out[5, r, c] = bias * below2
    out[6, r, c] = noise_u2 + (variance * below2 if below2 > 0.0 else 0.0)
    if shifted:
        # f G' with f = W/delta**2 and G' = (1/n) sum k t t'/(e t + lambda)**2
        new = variance_sum(shift_h_t, shift_h, kappa)
        spread = gamma * (new / df1) if gamma > 0.0 else 0.0
        bias = bias_sum(shift_c_t, shift_c, kappa) + shift_c0 + spread * bias
        variance = noise_ratio * (new / n) * gain if noise_ratio * new > 0.0 else 0.0
        excess = bias + variance
    out[0, r, c] = excess + mean_noise
    out[2, r, c] = excess
    out[3, r, c] = bias
    out[4, r, c] = variance
    out[7, r, c] = kappa
    out[8, r, c] = df1
    out[9, r, c] = df2


@kernel
def ridge_rows(start, stop, grid, levels, scale, signal, norms, shift, output):
    """Solve rows start..stop; `order` sorts each row's lambda descending."""
    n_rows, lam_rows, log_lam, order = grid
    out, status, iterations, doubt = output
    trace, rank, rank_low = scale
    total, total_low = norms[3], norms[4]
    shared = lam_rows.shape[0] == 1
    for r in range(start, stop):
        n = n_rows[r]
        q = 0 if shared else r
        count, count_low = exact_product(n, total)
        excess_samples = ((count - rank) - rank_low) + (count_low + n * total_low)
        split = 0
        seen = 0  # solved neighbours at larger lambda, the nearest last: log lambda, log delta, slope
        l1 = l2 = l3 = x1 = x2 = x3 = s1 = s2 = s3 = 0.0
        kappa1 = trace / (n * total)
        doubtful = 0
        for position in range(lam_rows.shape[1]):
            c = order[q, position]
            lam = lam_rows[q, c]
            if not (n > 0.0 and lam >= 0.0):
                for field in range(out.shape[0]):
                    out[field, r, c] = np.nan
                status[r, c] = INVALID
                iterations[r, c] = 0
                continue
            asked = lam if lam > 1e-280 * trace / n or excess_samples == 0.0 else 0.0
            if lam == np.inf:  # nothing is learned
                point, error, used = (lam, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0), 0.0, 0
            elif n == np.inf:  # nothing fluctuates: delta = 0
                df1, df2, d, _, _ = dimension_sums(levels[0], levels[1], lam, np.inf)
                point, error, used = (lam, 1.0, 0.0, df1, df2, d, 1.0, 0.0, 1.0), 0.0, 0
            elif (
                asked > 0.0 or excess_samples < 0.0
            ):  # without a ridge and with n < rank, kappa stays positive
                start = min(kappa1, trace / (n * total))
                log_now = log_lam[q, c]
                x = np.inf
                if asked > 0.0:
                    start = min(trace / (n * lam), 1e290)
                    if seen > 0:
                        x = predict(log_now, seen, l1, l2, l3, x1, x2, x3, s1, s2, s3)
                    if abs(x) < 600.0:
                        start = np.exp(x)
                point, delta, error, slope, used, split = solve(n, asked, start, levels, norms, split)
                kappa1 = point[0]
                if asked > 0.0:
                    miss = delta / start - 1.0
                    if abs(miss) < 1e-4 and abs(x) < 600.0:  # a series for the logarithm: 10 ns
                        x += miss * (1.0 - miss * (0.5 - miss / 3.0))
                    else:
                        x = np.log(delta)
                    l1, x1, s1 = l2, x2, s2
                    l2, x2, s2 = l3, x3, s3
                    l3, x3, s3 = log_now, x, -slope
                    seen = min(seen + 1, 3)
            elif excess_samples > 0.0:  # least squares
                point, error, used = solve_saturated(n, rank, excess_samples, norms)
            else:  # n = rank exactly: kappa ~ sqrt(n lambda/tr C^+) -> 0, and the variance diverges like 1/kappa
                point, error, used = (0.0, 0.0, 1.0, rank, rank, 0.0, 0.0, 1.0, total), 0.0, 0
            risk(point, n, signal, norms, shift, out, r, c)
            iterations[r, c] = used
            out[10, r, c] = error
            # written so that NaN, too, is not converged
            status[r, c] = CONVERGED if error <= 1e-14 and out[0, r, c] >= 0.0 else NOT_CONVERGED
            if out[0, r, c] == np.inf:
                status[r, c] = DIVERGES
            if n < 20.0 or out[8, r, c] * out[8, r, c] < 20.0 * out[9, r, c]:
                doubtful += 1
        doubt[r] = doubtful


@driver
def ridge_driver(bounds, grid, levels, scale, signal, norms, shift, output):
    """Rows in parallel, a block each."""
    for i in prange(bounds.size - 1):
        ridge_rows(bounds[i], bounds[i + 1], grid, levels, scale, signal, norms, shift, output)
