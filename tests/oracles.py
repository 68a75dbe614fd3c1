"""Independent high-precision oracles and simulations for the ridge equations.

Nothing here imports the package. Inputs are floats taken as exact; results are mpmath numbers.
"§4" is the section "Ridge regression" of the project's page of equations. Run this file to check
every formula against simulation, the ridgeless limits against lam -> 0, and the known anchors.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from mpmath import mp, mpf

pairs = partial(zip, strict=True)


def _root(fun, low, high, digits):
    """Zero of an increasing function of log x: Newton kept inside a verified bracket, else bisection.

    `fun(x)` returns the value and its derivative with respect to log x.
    """
    assert fun(low)[0] <= 0 <= fun(high)[0], "not a bracket"
    a, b = mp.log(low), mp.log(high)
    tol = mpf(10) ** -digits
    x, before = (a + b) / 2, b - a
    for _ in range(20000):
        value, slope = fun(mp.exp(x))
        a, b = (x, b) if value < 0 else (a, x)
        step = -value / slope if slope > 0 else mp.inf
        if not (a <= x + step <= b and 2 * abs(step) <= before):
            step = (a + b) / 2 - x
        x, before = x + step, abs(step)
        if before < tol:
            return mp.exp(x)
    raise ArithmeticError("no convergence")


def _mean(weights, terms):
    return mp.fsum(w * v for w, v in pairs(weights, terms))


def ridge(
    values, multiplicity, signal, noise, n, lam, *, tau=(1,), weights=(1,), test_values=None, digits=40
):
    """Ridge risks of the elliptical model (§4), of the plain one when tau = [1], as a dict of mpf.

    Solves δ = (1/n) Σ k t/(e t + λ), e = E[τ/(1+τδ)] as one increasing equation in log δ,
    E[τδ/(1+τδ)] = df1(λ/e)/n, on the bracket Σ k t/(Eτ t + λ)/n <= δ <= Σ k t/(nλ). λ = 0 and λ = inf
    are exact limits. With P(τ=0) = q the ridgeless case is decided by comparing n(1-q) with the rank
    (exactly when q = 0, else to 1e-13, q being rounded). `signal` is the total squared coefficient of
    each level. `test_values` shift excess, bias, variance and test; train and in-sample stay unshifted.
    Weights are divided by their sum; E τ = 1 is asserted to 1e-12.
    """
    # every cancellation (n against df1, 1 - fG) loses at most the digits of the ranges below
    logs = []
    for group in ([*values, lam], multiplicity, tau):
        finite = [mp.log10(x) for x in group if 0 < x < mp.inf] or [mpf(0)]
        logs.append(max(finite) - min(finite))
    logs.append(abs(mp.log10(sum(float(k) for k in multiplicity)) - mp.log10(n)))
    with mp.workdps(int(digits + 30 + sum(logs))):
        out = _ridge(values, multiplicity, signal, noise, mpf(n), mpf(lam), tau, weights, test_values, digits)
    with mp.workdps(digits):
        return {key: +value for key, value in out.items()}


def _ridge(values, multiplicity, signal, noise, n, lam, tau, weights, test_values, digits):
    t, k, b = ([mpf(float(x)) for x in v] for v in (values, multiplicity, signal))
    tau, w = ([mpf(float(x)) for x in v] for v in (tau, weights))
    noise = [mpf(float(x)) for x in np.broadcast_to(noise, len(tau))]
    shifted = t if test_values is None else [mpf(float(x)) for x in test_values]
    assert len(t) == len(k) == len(b) == len(shifted)
    assert min(*t, *b, *shifted, *tau, *w, *noise, lam) >= 0
    assert min(*k, n) > 0
    assert abs(mp.fsum(w) - 1) < mpf("1e-12")
    w = [x / mp.fsum(w) for x in w]
    mean_tau = _mean(w, tau)
    assert abs(mean_tau - 1) < mpf("1e-12")
    alive = mp.fsum(x for x, s in pairs(w, tau) if s > 0)  # 1 - q
    rank = mp.fsum(x for x, v in pairs(k, t) if v > 0)

    def norms(delta):  # E u and E u(1-u), u = τδ/(1+τδ)
        u = [s * delta / (1 + s * delta) for s in tau]
        return _mean(w, u), _mean(w, [x * (1 - x) for x in u])

    def counts(kappa):  # df1 and df1 - df2
        r = [v / (v + kappa) for v in t]
        return _mean(k, r), _mean(k, [x * (1 - x) for x in r])

    # --- δ and κ
    gap = n * alive - rank
    critical = lam == 0 and (gap == 0 if alive == 1 else abs(gap) <= mpf("1e-13") * rank)
    if lam == mp.inf:
        kappa, delta = mp.inf, mpf(0)
    elif rank == 0:
        kappa, delta = lam / mean_tau, mpf(0)
    elif lam > 0:

        def balance(delta):
            u, v = norms(delta)
            df1, drop = counts(lam * delta / u)
            return u - df1 / n, v + drop / n * (1 - v / u)

        low = mp.fsum(x * v / (mean_tau * v + lam) for x, v in pairs(k, t)) / n
        high = mp.fsum(x * v for x, v in pairs(k, t)) / (n * lam)
        delta = _root(balance, low / 2, high * 2, digits + 10)
        kappa = lam * delta / norms(delta)[0]
    elif critical:
        kappa, delta = mpf(0), mp.inf
    elif gap < 0:  # n(1-q) < rank: df1(κ0) = n(1-q)

        def balance(kappa):
            df1, drop = counts(kappa)
            return n * alive - df1, drop

        low = -gap / mp.fsum(x / v for x, v in pairs(k, t) if v > 0)
        high = mp.fsum(x * v for x, v in pairs(k, t)) / (n * alive)
        kappa, delta = _root(balance, low / 2, high * 2, digits + 10), mp.inf
    else:  # n(1-q) > rank: E[τδ/(1+τδ)] = rank/n; U <= δ and alive - U <= Σ w/(τδ) give the bracket

        def balance(delta):
            u, v = norms(delta)
            return u - rank / n, v

        low = rank / (n * mean_tau)
        high = mp.fsum(x / s for x, s in pairs(w, tau) if s > 0) / (alive - rank / n)
        kappa, delta = mpf(0), _root(balance, low / 2, high * 2, digits + 10)

    # --- sums over levels: learned share r = t/(t+κ), its complement and t t'/(t+κ)²
    if kappa == mp.inf:
        learned, missed = [mpf(0)] * len(t), [mpf(1)] * len(t)
        cross = learned
    else:
        learned = [v / (v + kappa) if v > 0 else mpf(0) for v in t]
        missed = [kappa / (v + kappa) if v > 0 else mpf(1) for v in t]
        cross = [x * y / (v + kappa) if v > 0 else mpf(0) for x, y, v in pairs(learned, shifted, t)]
    df1, df2, df2_shifted = _mean(k, learned), _mean(k, [x * x for x in learned]), _mean(k, cross)
    raw = mp.fsum(x * v * m * m for x, v, m in pairs(b, t, missed))
    raw_shifted = mp.fsum(x * v * m * m for x, v, m in pairs(b, shifted, missed))

    # --- means over norms; in units of e², so that δ = inf is a plain limit
    level = _mean(w, noise)
    if delta == mp.inf:
        shrink = [mpf(s == 0) for s in tau]  # 1/(1+τδ)
        f = 1 / alive
        noisy = mp.fsum(x * v / s for x, v, s in pairs(w, noise, tau) if s > 0) / alive**2
        leverage = mpf(0)
    else:
        shrink = [1 / (1 + s * delta) for s in tau]
        e = _mean(w, [s * h for s, h in pairs(tau, shrink)])
        f = _mean(w, [(s * h) ** 2 for s, h in pairs(tau, shrink)]) / e**2
        noisy = _mean(w, [v * s * h * h for v, s, h in pairs(noise, tau, shrink)]) / e**2
        leverage = _mean(w, [s * h * h for s, h in pairs(tau, shrink)])
    kept = _mean(w, [v * h * h for v, h in pairs(noise, shrink)])
    fitted = _mean(w, [v * (1 - h) ** 2 for v, h in pairs(noise, shrink)])

    # --- risks; 1 - fG vanishes only at the interpolation threshold
    if critical and rank > 0:
        bias, bias_shifted = mpf(0), raw_shifted  # κ Σ b/t ... -> 0; the null levels stay
        variance = mpf(0) if noisy == 0 else mp.inf
        variance_shifted = mpf(0) if noisy == 0 or df2_shifted == 0 else mp.inf
        spread = mpf(0)  # E[τ/(1+τδ)²] variance -> 0 although the variance -> inf
    else:
        room = 1 - f * df2 / n
        bias = raw / room
        bias_shifted = raw_shifted + f * df2_shifted / n / room * raw
        variance, variance_shifted = noisy * df2 / n / room, noisy * df2_shifted / n / room
        spread = leverage * variance
    excess = bias_shifted + variance_shifted
    names = "kappa delta df1 df2 bias variance noise excess test train in_sample_bias in_sample_variance"
    risks = bias_shifted, variance_shifted, level, excess, excess + level, leverage * bias + spread + kept
    in_sample = leverage * bias, fitted + spread
    return dict(pairs(names.split(), (kappa, delta, df1, df2, *risks, *in_sample)))


def optimal_lambda(
    values, multiplicity, signal, noise, n, *, tau=(1,), weights=(1,), test_values=None, decades=12, digits=40
):
    """Ridge in [0, inf] of least test error (§4), and that error: log grid, then golden section.

    Every local minimum of an eighth-of-a-decade grid is refined; λ = 0 and λ = inf are candidates. The
    minimiser of a smooth function known to `digits` digits is good to about half of them.
    """
    more = {"tau": tau, "weights": weights, "test_values": test_values}

    def test(log_lam, digits):
        return ridge(values, multiplicity, signal, noise, n, mp.exp(log_lam), digits=digits, **more)["test"]

    candidates = [(mp.exp(x), test(x, digits)) for x in (-mp.inf, mp.inf)]
    with mp.workdps(digits):
        middle = mp.log(max(values))
        grid = [middle + mp.log(10) * mpf(j) / 8 for j in range(-8 * decades, 8 * decades + 1)]
        coarse = [test(x, 20) for x in grid]
        golden = (mp.sqrt(5) - 1) / 2
        for j in range(1, len(grid) - 1):
            if not coarse[j - 1] > coarse[j] <= coarse[j + 1]:
                continue
            a, d = grid[j - 1], grid[j + 1]
            x, y = d - golden * (d - a), a + golden * (d - a)
            fx, fy = test(x, digits), test(y, digits)
            while d - a > mpf(10) ** (-digits // 2):
                if fx <= fy:
                    d, y, fy = y, x, fx
                    x = d - golden * (d - a)
                    fx = test(x, digits)
                else:
                    a, x, fx = x, y, fy
                    y = a + golden * (d - a)
                    fy = test(y, digits)
            candidates.append((mp.exp((a + d) / 2), min(fx, fy)))
    return min(candidates, key=lambda pair: pair[1])


def gauss_sums(values, weights, kappas):
    """Sums Σ w t/(t+κ), Σ w (t/(t+κ))², Σ w t/(t+κ)² (§1, Compression): shape (3, len(kappas)).

    From mpmath up to 2000 values, above by pairwise summation in 80-bit long doubles. All
    weights >= 0, so the relative error is below 1e-17.
    """
    wide = np.longdouble
    assert np.finfo(wide).eps < 2e-19, "needs 80-bit or wider long doubles"
    t, w = np.asarray(values, wide), np.asarray(weights, wide)
    assert np.all(w >= 0)
    t, w = t[t > 0], w[t > 0]
    out = np.empty((3, len(kappas)), wide)
    for j, kappa in enumerate(kappas):
        if len(t) <= 2000:
            with mp.workdps(40):
                rows = [[mpf(float(x)) for x in row] for row in pairs(w, t)]
                rows = [(x, v, v + mpf(float(kappa))) for x, v in rows]
                sums = mp.fsum(x * v / s for x, v, s in rows), mp.fsum(x * (v / s) ** 2 for x, v, s in rows)
                sums += (mp.fsum(x * v / s**2 for x, v, s in rows),)
                out[:, j] = [wide(mp.nstr(s, 30)) for s in sums]
        else:
            s = t + wide(kappa)
            out[:, j] = np.sum(w * t / s), np.sum(w * (t / s) ** 2), np.sum(w * t / (s * s))
    return out


def simulate_ridge(
    values, multiplicity, signal, noise, n, lam, *, tau=(1,), weights=(1,), test_values=None, draws=20, rng
):  # fmt: skip
    """Mean and standard error of the risks of §4 over draws of X, rows √τ C^{1/2}z with Gaussian z.

    Given X the mean over the noise is an exact trace. Norms are drawn systematically (node counts are n
    times the weights, up to rounding); β* is spread evenly over each eigenspace with random signs. With
    β̂ = (X'X/n + λ)⁻¹X'y/n (minimum norm at λ = 0): in_sample_bias = |E X(β̂-β*)|²/n, in_sample_variance =
    E|X(β̂-Eβ̂)|²/n, train = E|y-Xβ̂|²/n, excess = E (β̂-β*)'C'(β̂-β*) with C' the test covariance.
    """
    rng = np.random.default_rng(rng)
    tau, weights = (np.array([1.0] if v is None else v, float) for v in (tau, weights))
    weights /= weights.sum()
    noise = np.broadcast_to(np.asarray(noise, float), tau.shape)
    k = np.asarray(multiplicity, int)
    t = np.repeat(np.asarray(values, float), k)
    shifted = t if test_values is None else np.repeat(np.asarray(test_values, float), k)
    size = np.repeat(np.sqrt(np.asarray(signal, float) / k), k)
    rows = []
    for _ in range(draws):
        place = (np.arange(n) + rng.random()) / n
        node = np.minimum(np.searchsorted(np.cumsum(weights), place), len(tau) - 1)
        var = noise[node]
        x = np.sqrt(tau[node])[:, None] * rng.standard_normal((n, len(t))) * np.sqrt(t)
        beta = size * rng.choice([-1.0, 1.0], len(t))
        u, s, vt = np.linalg.svd(x / np.sqrt(n), full_matrices=False)
        keep = s > 1e-10 * s[0]
        u, s, vt = u[:, keep], s[keep], vt[keep]
        error = beta - vt.T @ (s**2 / (s**2 + lam) * (vt @ beta))
        to_beta = (vt.T * (s / (s**2 + lam))) @ u.T / np.sqrt(n)
        hat = (u * (s**2 / (s**2 + lam))) @ u.T
        bias, variance = shifted @ error**2, shifted @ to_beta**2 @ var
        bias_in, variance_in = np.sum((x @ error) ** 2) / n, np.sum(hat**2 @ var) / n
        train = bias_in + np.sum((np.eye(n) - hat) ** 2 @ var) / n
        test = bias + variance + weights @ noise
        rows.append((test, bias + variance, bias, variance, train, bias_in, variance_in))
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / np.sqrt(draws)
    names = "test", "excess", "bias", "variance", "train", "in_sample_bias", "in_sample_variance"
    return {key: (float(m), float(s)) for key, m, s in pairs(names, mean, error)}


def _check_formulas():
    """Anchors, closed forms, the page's cancellation-free forms, and λ = 0 against λ = 1e-40."""

    def close(got, want, tol):
        assert abs(got - want) <= tol * abs(want), (got, want)

    def total(*terms):
        return mp.fsum(map(mp.fprod, pairs(*[map(mpf, v) for v in terms])))

    flat = ([1], [1000], [1], 0.1)
    for n, lam, want in (2000, 0.05, 0.0844289), (500, 0.2, 0.5741657):
        best, least = optimal_lambda(*flat, n)
        risk = least - mpf(0.1)
        print(f"C=I, n={n}: optimum {mp.nstr(best, 12)} (want {lam}), risk {mp.nstr(risk, 10)} (want {want})")
        close(best, lam, 1e-15), close(risk, want, 1e-6)
    for n, want in (2000, mpf(0.1)), (500, mpf("0.6")):
        close(ridge(*flat, n, 0)["excess"], want, 1e-16)
    anchor = ridge([1, 3, 7], [0.25, 0.25, 0.5], [1, 1, 1], 0, 1.5, 0.5)
    close(anchor["delta"], 1, 1e-35), close(anchor["kappa"], 1, 1e-35)
    lam = mpf(1e-8)
    with mp.workdps(40):
        close(ridge(*flat, 1000, 1e-8)["kappa"], (lam + mp.sqrt(lam**2 + 4 * lam)) / 2, 1e-35)
    t, k, b = [0, 0.3, 1, 4], [20, 100, 150, 50], [0.2, 0.5, 0.3, 1]
    with mp.workdps(60):
        for n, lam in (450, 1e-6), (150, 0.1), (300, 2):  # §4, plain
            r, n, lam = ridge(t, k, b, 0.3, n, lam, digits=50), mpf(n), mpf(lam)
            q, s2 = r["kappa"], mpf(0.3)
            share = [x / (x + q) ** 2 for x in t]
            D, B = q * total(k, share), q**2 * total(b, share)
            close(lam / q + r["df1"] / n, 1, 1e-45), close(D, r["df1"] - r["df2"], 1e-45)
            room = lam / q + D / n
            close(r["test"], (B + s2) / room, 1e-45), close(r["train"], (lam / q) ** 2 * r["test"], 1e-45)
            close(r["in_sample_bias"], (lam / q) ** 2 * r["bias"], 1e-45)
            close(r["in_sample_variance"], s2 / n * (r["df2"] + D**2 / (n * room)), 1e-45)
        tau, w, noise = [0.25, 0.5, 2.5], [0.25, 0.4375, 0.3125], [0.1, 0.3, 0.9]
        tau = [float(x / np.dot(tau, w)) for x in tau]
        for n in (150, 450):  # 1 - fG without cancellation
            r = ridge(t, k, b, noise, n, 1e-3, tau=tau, weights=w, digits=50)
            u = [r["delta"] * x / (1 + r["delta"] * x) for x in tau]
            U, V, D = np.dot(w, u), np.dot(w, [x * (1 - x) for x in u]), r["df1"] - r["df2"]
            raw = total(b, t, [(r["kappa"] / (x + r["kappa"])) ** 2 for x in t])
            close(r["bias"], raw * n * U**2 / (U * D + V * r["df2"]), 1e-45), close(r["df1"], n * U, 1e-45)
    zero_tau, zero_w = [0.0, 0.5, 1.5], [0.25, 0.1875, 0.5625]
    zero_tau = [float(x / np.dot(zero_tau, zero_w)) for x in zero_tau]
    for norms in ([1], [1], 0.3), (tau, w, noise), (zero_tau, zero_w, noise):
        for n in (100, 250, 350, 1000, 300, 400):
            for shift in None, [0.7, 2, 0.1, 1]:
                more = {"tau": norms[0], "weights": norms[1], "test_values": shift}
                small = 0, mpf(10) ** -40, mpf(10) ** -44
                at, near, nearer = (ridge(t, k, b, norms[2], n, x, **more) for x in small)
                for key, v in at.items():
                    if v == mp.inf:
                        assert min(near[key] / 1e18, nearer[key] / near[key] / 99) > 1, key
                    else:
                        slow = 1e-17 if at["variance"] == mp.inf else 1e-34
                        assert abs(near[key] - v) < slow * max(1, abs(v)), (key, n, v, near[key])
    print("ridgeless limits agree with λ = 1e-40 (to 1e-34; at n = rank, where κ ~ √λ, to 1e-17)")
    t = np.arange(1, 3001.0) ** -1.2
    sums = gauss_sums(t, t, [1e-9, 1e-3])
    parts = [gauss_sums(x, x, [1e-9, 1e-3]) for x in (t[:1500], t[1500:])]
    print("gauss_sums, long double against mpmath:", float(np.max(abs(sum(parts) / sums - 1))))


def _check_simulation(scale=1, draws=30, seed=0):
    """Predicted / simulated(standard error), then the difference in standard errors."""
    middle = (np.arange(40) + 0.5) / 40
    tau = np.exp(0.8 * np.array([float(mp.sqrt(2) * mp.erfinv(2 * x - 1)) for x in middle]))
    tau /= tau.mean()
    heavy = {"tau": tau, "weights": np.full(40, 1 / 40)}
    gaps = {"tau": np.array([0, 0.5, 1.5]) / 0.95, "weights": np.array([0.2, 0.25, 0.55])}
    grow, gap_noise = 0.1 + 0.3 * tau, [0.2, 0.1, 0.5]
    shift = {"test_values": [1.0, 2.0, 0.2, 0.7]}
    levels, k, b = [0, 0.3, 1, 4], np.array([20, 100, 150, 50]) * scale, [0.3, 0.5, 0.3, 1]  # rank 300
    problems = {
        "plain n>p": (0.3, 450, 0.1, {}), "plain n<p": (0.3, 150, 0.1, {}),
        "plain ridgeless n>p": (0.3, 600, 0, {}), "plain ridgeless n<p": (0.3, 150, 0, {}),
        "plain shift n>p": (0.3, 450, 0.1, shift), "plain shift n<p": (0.3, 200, 0.1, shift),
        "plain shift ridgeless n>p": (0.3, 600, 0, shift), "plain shift ridgeless n<p": (0.3, 150, 0, shift),
        "elliptical n>p": (grow, 450, 0.1, heavy), "elliptical n<p": (grow, 150, 0.1, heavy),
        "elliptical ridgeless n>p": (grow, 600, 0, heavy), "elliptical ridgeless n<p": (grow, 150, 0, heavy),
        "elliptical shift": (grow, 250, 0.1, heavy | shift),
        "elliptical shift ridgeless n<p": (grow, 150, 0, heavy | shift),
        "elliptical shift ridgeless n>p": (grow, 600, 0, heavy | shift),
        "P(τ=0)=.2 ridgeless n<p": (gap_noise, 200, 0, gaps),
        "P(τ=0)=.2 ridgeless n>p": (gap_noise, 600, 0, gaps),
    }  # fmt: skip
    for name, (noise, n, lam, more) in problems.items():
        predicted = ridge(levels, k, b, noise, n * scale, lam, digits=20, **more)
        simulated = simulate_ridge(levels, k, b, noise, n * scale, lam, draws=draws, rng=seed, **more)
        print(name)
        for key, (mean, error) in simulated.items():
            want = float(predicted[key])
            z = (mean - want) / max(error, 1e-12)
            flag = "" if abs(mean - want) <= 4 * error + 0.01 * abs(want) + 1e-12 else "   <-- DIFFERS"
            print(f"    {key:20s} {want:.5f} / {mean:.5f}({error:.5f})  {z:+.1f}{flag}")


if __name__ == "__main__":
    _check_formulas()
    _check_simulation()
