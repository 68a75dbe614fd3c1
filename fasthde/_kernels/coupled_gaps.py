"""Gaps of the separable law: one point in each, from the real curve that parametrises the outside.

See `gaps` for the equation. Source: Couillet & Hachem 2014 for the curve; Silverstein & Choi 1995 for
T = I.
"""

import numpy as np

from fasthde._jit import SUM_MATH, kernel

EPS = 2.220446049250313e-16


@kernel(fastmath=SUM_MATH, inline=True)
def _poles(t, w, s):
    """Sums of w t/(t - s), w t**2/(t - s)**2 and w t**2/(t - s)**3."""
    a = 0.0
    b = 0.0
    d = 0.0
    for i in range(t.size):
        r = 1.0 / (t[i] - s)
        x = w[i] * t[i] * r
        a += x
        x *= t[i] * r
        b += x
        d += x * r
    return a, b, d


@kernel
def _window(t, w, low, high, limit):
    """Where sum w t**2/(t - s)**2 < limit in (low, high), neighbouring levels: (found, from, to)."""
    left = low
    right = high
    s = 0.5 * (low + high)
    value = np.inf
    for _ in range(80):
        s = 0.5 * (left + right)
        _, value, d = _poles(t, w, s)
        if value < limit or not left < s < right:
            break
        if d > 0.0:
            right = s
        else:
            left = s
    if not value < limit:
        return False, low, high
    first = s
    last = s
    left = low
    right = high
    for _ in range(60):
        x = 0.5 * (left + first)
        if _poles(t, w, x)[1] < limit:
            first = x
        else:
            left = x
        y = 0.5 * (last + right)
        if _poles(t, w, y)[1] < limit:
            last = y
        else:
            right = y
    return True, first, last


@kernel
def _inverse(t, w, low, high, level):
    """The s in (low, high) with sum w t/(t - s) = level; high = -inf: s > low or, for a positive level, s < 0.

    On the outer interval 1/s is used, in which the interval is connected.
    """
    outer = high == -np.inf
    if outer:  # x = -1/s in (-1/t_max, inf)
        left = -1.0 / low
        right = max(1.0, -left)
        if level <= 0.0:
            right = 0.0
        else:
            while _poles(t, w, -1.0 / right)[0] < level:
                left = right
                right *= 4.0
                if right > 1e300:
                    return np.nan
    else:
        left = low
        right = high
    for _ in range(200):
        x = 0.5 * (left + right)
        if outer and left > 0.0 and right > 4.0 * left:
            x = np.sqrt(left * right)
        if not left < x < right:
            break
        s = (-1.0 / x if x != 0.0 else np.inf) if outer else x
        value = 0.0 if s == np.inf else _poles(t, w, s)[0]
        if value > level:
            right = x
        else:
            left = x
        if right - left <= 4.0 * EPS * abs(x):
            break
    x = 0.5 * (left + right)
    if not outer:
        return x
    return -1.0 / x if x != 0.0 else np.inf


@kernel
def _total(u):
    total = 0.0
    for j in range(u.size):
        total += u[j]
    return total


@kernel
def _mix(t, w, tau, u, c, s, low, high):
    """rho(M) and z at the real point with s on one side and its partner in (low, high) on the other."""
    a, b, _ = _poles(t, w, s)
    if high != -np.inf and not a < 0.0:
        return np.inf, 0.0
    if not c * a < _total(u):
        return np.inf, 0.0
    q = _inverse(tau, u, low, high, c * a)
    if not (abs(q) > 0.0):
        return np.inf, 0.0
    # with delta = -1/q: e = E[tau/(1 + tau delta)] = -q E[tau/(tau - q)], and E[(tau/(1 + tau delta))**2]
    e = 0.0
    f = 0.0
    delta = -1.0 / q
    for j in range(tau.size):
        x = tau[j] / (1.0 + tau[j] * delta)
        e += u[j] * x
        f += u[j] * x * x
    if not e > 0.0:
        return np.inf, 0.0
    return c * b * f / (e * e), s * e


@kernel
def _lowest(t, w, tau, u, c, first, last, low, high):
    """A point of the curve s in (first, last) where rho(M) < 1: (found, z). {rho(M) < 1} is connected there."""
    samples = 24
    best = np.inf
    at = 0
    for k in range(samples):
        value, z = _mix(t, w, tau, u, c, first + (last - first) * ((k + 0.5) / samples), low, high)
        if value < 1.0:
            return True, z
        if value < best:
            best = value
            at = k
    if best == np.inf:
        return False, 0.0
    # golden section around the least sample
    left = first + (last - first) * ((at - 0.5) / samples)
    right = first + (last - first) * ((at + 1.5) / samples)
    left = max(left, first)
    right = min(right, last)
    ratio = 0.3819660112501051
    x = left + ratio * (right - left)
    y = right - ratio * (right - left)
    fx, zx = _mix(t, w, tau, u, c, x, low, high)
    fy, zy = _mix(t, w, tau, u, c, y, low, high)
    for _ in range(60):
        if fx < 1.0:
            return True, zx
        if fy < 1.0:
            return True, zy
        if fx < fy:
            right = y
            y, fy, zy = x, fx, zx
            x = left + ratio * (right - left)
            fx, zx = _mix(t, w, tau, u, c, x, low, high)
        else:
            left = x
            x, fx, zx = y, fy, zy
            y = right - ratio * (right - left)
            fy, zy = _mix(t, w, tau, u, c, y, low, high)
        if not left < x < y < right:
            break
    return False, 0.0


@kernel
def windows(t, w, limit, out):
    """Where sum w t**2/(t - s)**2 < limit between neighbouring levels: rows (from, to, level, next level)."""
    count = 0
    for i in range(t.size - 1):
        a = (w[i] * t[i] * t[i]) ** (1.0 / 3.0) + (w[i + 1] * t[i + 1] * t[i + 1]) ** (1.0 / 3.0)
        if a * a * a < limit * (t[i + 1] - t[i]) ** 2:
            found, first, last = _window(t, w, t[i], t[i + 1], limit)
            if found:
                out[count, 0] = first
                out[count, 1] = last
                out[count, 2] = t[i]
                out[count, 3] = t[i + 1]
                count += 1
    return count


@kernel
def gaps(t, w, tau, u, c, near, far, out):
    """A point in every gap with s in a row of ``near`` and its partner in one of ``far``: their number.

    Real delta and d = -1/s parametrise the outside: c E[d t/(1 + d t)] = E[tau delta/(1 + tau delta)] and
    z = -E[tau delta/(1 + tau delta)]/(delta d) > 0, outside iff rho(M) < 1. Between two gaps with d and delta in
    the same intervals between poles there would be no mass: the mass below a gap counts the levels and the nodes
    beyond the poles. So each pair of intervals holds one gap at most. rho(M) exceeds both c E[u**2] and
    E[v**2]/c, u = d t/(1 + d t) and v = tau delta/(1 + tau delta), which leaves few pairs: both sides in a row of
    `windows`, or the partner in the outer interval, which is the row (.., .., largest level, -inf).
    """
    count = 0
    for i in range(near.shape[0]):
        low = c * _poles(t, w, near[i, 0])[0]
        high = c * _poles(t, w, near[i, 1])[0]
        for j in range(far.shape[0]):
            outer = far[j, 3] == -np.inf
            if not outer and (
                _poles(tau, u, far[j, 0])[0] >= min(high, 0.0) or low >= _poles(tau, u, far[j, 1])[0]
            ):
                continue  # nowhere the same count on both sides
            found, z = _lowest(t, w, tau, u, c, near[i, 0], near[i, 1], far[j, 2], far[j, 3])
            if found:
                out[count] = z
                count += 1
    return count
