"""The density at a given distance from an edge, by power series around it: no digit is lost to the edge itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde._kernels.chain import AFFINE, CORNER, INVERSE, POISSON, SAMPLE, SEMICIRCLE

Array = NDArray[np.float64]

#: Terms of the series; used within a fifth of the radius of convergence.
ORDER = 24
REACH = 0.2


def _multiply(a: Array, b: Array) -> Array:
    return np.asarray(np.convolve(a, b)[: a.size])


def _invert(a: Array) -> Array:
    out = np.zeros_like(a)
    out[0] = 1.0 / a[0]
    for k in range(1, a.size):
        out[k] = -np.dot(a[1 : k + 1], out[k - 1 :: -1][:k]) / a[0]
    return out


def chain_series(law: tuple[Any, ...], s: float) -> tuple[Array, Array]:
    """Taylor coefficients of z and m around a real s; law = (ops, par, tau, u, t, w, head) as in `_kernels.chain`."""
    ops, par, tau, u, t, w, head = law
    r = 1.0 / (t - s)
    powers = r[:, None] ** np.arange(1, ORDER + 1)
    m, h = w @ powers, (w * t) @ powers
    if head[0] > 0.0:
        m = m - head[0] * (-1.0) ** np.arange(ORDER) / s ** np.arange(1, ORDER + 1)
    one, z = np.zeros(ORDER), np.zeros(ORDER)
    one[0], z[:2] = 1.0, (s, 1.0)
    for op, row in zip(ops, par, strict=True):
        p = row[0]
        if op == SAMPLE:
            f = one - p * h
            if row[3]:
                m, h = -_invert(z), p * h
            else:
                m = _multiply(m, _invert(f))
            z = _multiply(z, f)
        elif op == AFFINE:
            z, m = p * z + row[1] * one, m / p
            h = h + row[1] * m
        elif op == SEMICIRCLE:
            z, h = z - p * m, h - p * _multiply(m, m)
        elif op == POISSON:
            for k in range(int(row[1]), int(row[2])):
                part = u[k] * tau[k] * _invert(one + p * tau[k] * m)
                z, h = z + part, h + _multiply(m, part)
        elif op == INVERSE:
            e = (1.0 - p) * one + p * h
            z, m = _multiply(z, _invert(e)), _multiply(m, e)
        elif op == CORNER:
            z, m, h = z + (1.0 - p) * _invert(m), m / p, h / p
    return z, m


def near_edge(law: tuple[Any, ...], s: float, sign: float, offset: Array) -> Array:
    """Density at distances ``offset`` > 0 inside a soft edge, NaN beyond the reach of the series.

    sigma = s - s_edge solves sum_{k >= 2} z_k sigma**k = sign offset exactly, since z_1 is 0 at an edge.
    """
    z, m = chain_series(law, s)
    k = np.arange(2, ORDER)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.nanmax(np.abs(z[2:] / z[2]) ** (1.0 / np.maximum(k - 1.0, 1.0)) * (k > 2), initial=0.0)
        growth = max(growth, float(np.nanmax(np.abs(m[2:] / m[1]) ** (1.0 / (k - 1.0)), initial=0.0)))
    z[:2] = 0.0
    sigma = 1j * np.sqrt(offset / abs(z[2]))
    good = np.abs(sigma) * growth < REACH
    x = sigma[good]
    slopes = z[1:] * np.arange(1, ORDER)
    for _ in range(12):
        step = (np.polyval(z[::-1], x) - sign * offset[good]) / np.polyval(slopes[::-1], x)
        x = x - step
    m[0] = 0.0  # real
    out = np.full(offset.shape, np.nan)
    out[good] = np.polyval(m[::-1], x).imag / np.pi
    return out
