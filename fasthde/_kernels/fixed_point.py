r"""The fixed point of ridge regression, plain and elliptical.

Equation (elliptical form; norms tau with weights w and mean 1, levels t of multiplicity k)::

    G(delta) = n U - df1(kappa) = 0,   kappa = lambda/e,
    U = E[tau delta/(1 + tau delta)],  e = E[tau/(1 + tau delta)],  df1 = sum k t/(t + kappa)

G increases strictly in delta, so there is one root. A single norm (tau = 1) gives the plain equation
``lambda/kappa + df1/n = 1``: one solver serves both.

Source: El Karoui (2018) for the elliptical form; arXiv 2506.13139, and Hastie et al. (2022), for the plain one.

Why this form

* The state is ``eps = 1/(1 + delta)`` together with ``1 - eps``: kappa = lambda/(eps a) with a = O(1) is
  regular from lambda = inf to lambda = 0, so the ridgeless limits need no formula of their own.
* ``n U - df1`` is evaluated as an exact count (n minus the number of eigenvalues above kappa, kept in two
  doubles) plus terms that are all of the size of D = df1 - df2: no digit is lost on a plateau of the
  spectrum nor at n = rank, where splitting at the rank alone loses eight.
* Along descending lambda the root is predicted by a Hermite extrapolation of log delta, whose slope
  needs no sum that is not already there.
* Near the root the sums need not be evaluated again: with M_j = sum k t kappa**j/(t + kappa)**(j+1),
  df1(kappa (1 + z)) = sum_j (-z)**j M_j, so steps below 3e-6 are finished on this series: 1.4 evaluations a
  point at five points a decade and 1 at a hundred, where an evaluation more was needed. (Two terms more reach
  5e-5 but cost 0.1 ns a level each time: slower on dense grids.)

Tuples: levels = (t, k, edge, above, above_low), norms = (tau, w, noise, total, total_low), see `_measure` and
`LinearProblem`.
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel

MAX_ITERATIONS = 200
REACH = 3e-6  # relative step that the series takes: the first neglected term is 4 z**3 = 1e-16
EPS = 2.220446049250313e-16


@kernel(fastmath=SUM_MATH, inline=True)
def dimension_sums(t, k, kappa, threshold):
    """Sums over the levels: tail, df2, M_1 = D, M_2, M_3.

    With u = t/(t + kappa) and v = 1 - u: tail = sum k u, levels t >= threshold giving -k v instead (they are
    counted outside), so df1 = (multiplicity above the threshold) + tail; df2 = sum k u**2; M_j = sum k u v**j.
    0.43 ns a level, of which the division takes 0.31; one division for two levels is not faster here.
    """
    tail = 0.0
    df2 = 0.0
    m1 = 0.0
    m2 = 0.0
    m3 = 0.0
    for i in range(t.size):
        r = 1.0 / (t[i] + kappa)
        u = t[i] * r
        v = kappa * r
        ku = k[i] * u
        tail += -k[i] * v if t[i] >= threshold else ku
        df2 += ku * u
        power = ku * v
        m1 += power
        power *= v
        m2 += power
        m3 += power * v
    return tail, df2, m1, m2, m3


@kernel(inline=True)
def norm_sums(tau, w, total, eps, eps1):
    """Sums over the sample norms, eps1 = 1 - eps: a, U - [weight with u > 1/2], that weight, V, gamma, q.

    a = E[tau/(eps + tau eps1)], so that e = eps a; gamma = E[u**2]/U = dlog(kappa)/dlog(delta); q = V/U.
    """
    if tau.size == 1 and tau[0] == 1.0:  # plain
        if eps < 0.5:
            return 1.0, -eps, 1.0, eps * eps1, eps1, eps
        return 1.0, eps1, 0.0, eps * eps1, eps1, eps
    a = 0.0
    tail = 0.0
    count = 0.0
    high = 0
    v = 0.0
    w2 = 0.0
    for j in range(tau.size):
        r = 1.0 / (eps + tau[j] * eps1)
        below = eps * r
        u = tau[j] * eps1 * r
        a += w[j] * (tau[j] * r)
        if u > 0.5:
            tail -= w[j] * below
            count += w[j]
            high += 1
        else:
            tail += w[j] * u
        v += w[j] * u * below
        w2 += w[j] * u * u
    if high == tau.size:
        count = total  # exactly, whatever the weights' rounding
    mean = count + tail
    return a, tail, count, v, w2 / mean, v / mean


@kernel(inline=True)
def _split(edge, kappa, start):
    """Number of blocks that lie wholly above kappa, searched from a nearby start."""
    s = start
    while s < edge.size and edge[s] > kappa:
        s += 1
    while s > 0 and edge[s - 1] <= kappa:
        s -= 1
    return s


@kernel(inline=True)
def _next_point(x, g, slope, gamma, rest, v, low, high):
    """Safeguarded Newton point; v = n V and rest = n P(tau > 0) - n U, so g + rest = n P(tau > 0) - df1.

    kappa G is convex and increasing, G convex and decreasing to the left of its root (exactly so for plain
    data): Newton on the one from the right, on the other from the left, is monotone. Far to the right the
    logarithms of g + rest and rest are compared instead, which are nearly straight lines in log delta: one step
    where halving kappa took two hundred (n = rank, lambda -> 0).
    """
    if rest > 0.0 and g > rest:
        whole = g + rest
        rise = (slope - v) / whole + v / rest
        new = x * np.exp(-np.log(whole / rest) / rise)
    else:
        new = x * (1.0 - g / (slope + gamma * max(g, 0.0)))
    if low < new < high:
        return new
    if high == np.inf:
        return 16.0 * x
    if low == 0.0:
        return x / 16.0
    return np.sqrt(low) * np.sqrt(high)


@kernel(inline=True)
def exact_product(a, b):
    """Product of a and b as a sum of two doubles (Dekker): n P(tau > 0) is compared with whole counts."""
    product = a * b
    split = 134217729.0 * a
    a1 = split - (split - a)
    a2 = a - a1
    split = 134217729.0 * b
    b1 = split - (split - b)
    b2 = b - b1
    return product, a2 * b2 - (((product - a1 * b1) - a2 * b1) - a1 * b2)


@kernel(inline=True)
def _surplus(n, weight, weight_low, above, above_low):
    """Samples of weight > 1/2 less eigenvalues above kappa, exactly."""
    if weight == 1.0 or weight == 0.0:
        return (n * weight - above) - above_low
    count, low = exact_product(n, weight)
    return ((count - above) - above_low) + (low + n * weight_low)


@kernel(inline=True)
def solve(n, lam, x, levels, norms, split):
    """Root of G from a starting delta x.

    With ``lam = 0``, x is kappa and the root that of ``df1(kappa) = n P(tau > 0)``.

    Returns (point, x, error, slope, iterations, split): point as `risk` wants it, the estimated relative error of
    x, -dlog(delta)/dlog(lambda), and the number of blocks above kappa.
    """
    t, k, edge, above, above_low = levels
    tau, w, _, total, total_low = norms
    plain = tau.size == 1 and tau[0] == 1.0
    ridgeless = lam == 0.0
    low = 0.0
    high = np.inf
    iteration = 0
    eps, eps1 = 0.0, 1.0
    a, u_tail, u_count, v, gamma, q = total, 0.0, total, 0.0, 1.0, 0.0
    while True:
        kappa = x
        if not ridgeless:
            eps = 1.0 / (1.0 + x)
            eps1 = x * eps
            a, u_tail, u_count, v, gamma, q = norm_sums(tau, w, total, eps, eps1)
            kappa = lam * (1.0 + x)
            if not plain:
                kappa /= a
        split = _split(edge, kappa, split)
        threshold = edge[split - 1] if split > 0 else np.inf
        tail, df2, m1, m2, m3 = dimension_sums(t, k, kappa, threshold)
        g = _surplus(n, u_count, total_low, above[split], above_low[split]) + (n * u_tail - tail)
        slope = n * v + m1 * gamma
        iteration += 1
        if abs(g) <= REACH * slope or iteration == MAX_ITERATIONS:
            break
        if g > 0.0:
            high = x
        else:
            low = x
        rest = -n * u_tail if u_count == total else n * ((total - u_count) - u_tail)
        x = _next_point(x, g, slope, gamma, rest, n * v, low, high)
    error = abs(g) / slope
    if error <= REACH:
        if plain or ridgeless:
            # n U = n - n eps/(1 + z): solve g + z (ne + M_1) - z**2 (ne + M_2) + ... = 0
            ne = n * eps
            scale = 1.0 / (ne + m1)
            z = -g * scale
            for _ in range(2):
                z = -(g - z * z * ((ne + m2) - z * (ne + m3))) * scale
            kappa *= 1.0 + z
            if ridgeless:
                x = kappa
            else:
                x += (1.0 + x) * z
                eps = 1.0 / (1.0 + x)
                eps1 = x * eps
                v, gamma, q = eps * eps1, eps1, eps
        else:
            center = kappa
            x -= x * (g / slope)
            z = 0.0
            for _ in range(3):
                eps = 1.0 / (1.0 + x)
                eps1 = x * eps
                a, u_tail, u_count, v, gamma, q = norm_sums(tau, w, total, eps, eps1)
                kappa = lam * (1.0 + x) / a
                z = kappa / center - 1.0
                g = _surplus(n, u_count, total_low, above[split], above_low[split])
                g += (n * u_tail - tail) + z * (m1 - z * (m2 - z * m3))
                step = g / (n * v + gamma * (m1 - 2.0 * z * m2))
                if abs(step) <= 8.0 * EPS:
                    break
                x -= x * step
        error = 4.0 * abs(z * z * z) + EPS
        tail -= z * (m1 - z * (m2 - z * m3))
        df2 -= z * (2.0 * (m1 - m2) - z * (3.0 * (m2 - m3)))
        m1 = (1.0 + z) * (m1 - z * (2.0 * m2 - z * (3.0 * m3)))
    point = (kappa, eps, eps1, above[split] + tail, df2, m1, q, gamma, a)
    return point, x, error, m1 / (n * v + m1 * gamma), iteration, split


@kernel
def solve_saturated(n, rank, excess_samples, norms):
    """The ridgeless limit with more samples than rank: kappa = 0 and n U(delta) = rank < n P(tau > 0)."""
    tau, w, _, total, _ = norms
    low, high = 0.0, np.inf
    x = rank / excess_samples
    iteration = 0
    while True:
        eps = 1.0 / (1.0 + x)
        eps1 = x * eps
        a, u_tail, u_count, v, gamma, q = norm_sums(tau, w, total, eps, eps1)
        if u_count == total:
            rest = -n * u_tail
            g = excess_samples - rest
        else:
            rest = n * ((total - u_count) - u_tail)
            g = (n * u_count - rank) + n * u_tail
        step = -g / (n * v)
        iteration += 1
        if abs(step) <= 4.0 * EPS or iteration == MAX_ITERATIONS or not low < x < high:
            return (0.0, eps, eps1, rank, rank, 0.0, q, gamma, a), step * step + EPS, iteration
        if g > 0.0:
            high = x
        else:
            low = x
        x = _next_point(x, g, n * v, gamma, rest, n * v, low, high)


@kernel(inline=True)
def predict(at, seen, l1, l2, l3, x1, x2, x3, s1, s2, s3):
    """Hermite extrapolation through the last one, two or three solved points (values and slopes).

    At five points a decade the tangent errs by 5e-3, two points by 3e-5, three by 1e-6.
    """
    ahead = at - l3
    if seen == 1 or not l2 > l3 or -ahead > 4.0 * (l2 - l3):
        return x3 + s3 * ahead
    h = l3 - l2
    a1 = (x3 - x2) / h
    b0, b1 = (s3 - a1) / h, (a1 - s2) / h
    c0 = (b0 - b1) / h
    if seen == 2 or not l1 > l2:
        return x3 + ahead * (s3 + ahead * (b0 + (ahead + h) * c0))
    g = l2 - l1
    w = h + g
    a2 = (x2 - x1) / g
    b2, b3 = (s2 - a2) / g, (a2 - s1) / g
    c1, c2 = (b1 - b2) / w, (b2 - b3) / g
    d0, d1 = (c0 - c1) / w, (c1 - c2) / w
    e0 = (d0 - d1) / w
    tail = c0 + (ahead + h) * (d0 + (ahead + h) * e0)
    return x3 + ahead * (s3 + ahead * (b0 + (ahead + h) * tail))
