"""One random matrix of a chain, drawn for real: its eigenvalues, to set beside the law."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde._chain import Step, points_of
from fasthde._kernels.chain import AFFINE, INVERSE, POISSON, SAMPLE, SEMICIRCLE
from fasthde.spectrum import Spectrum

Array = NDArray[np.float64]


def eigenvalues(H: Spectrum, steps: Sequence[Step], points: Array, p: int, rng: np.random.Generator) -> Array:
    """Ascending eigenvalues of one matrix whose fixed matrix has dimension p.

    Gaussian matrices know no direction: only the eigenvalues of the matrix go from one operation to the next.
    """
    check_size(H, steps, p)
    x: Any = np.sort(np.repeat(H.values, apportion(H.multiplicity, p)))
    for step in steps:
        size, a = x.size, step.a
        if step.kind == SAMPLE:
            x = _sample_covariance(x, round(size / a), rng)
            if step.gram:  # the same positive eigenvalues, other zeros
                n = round(size / a)
                x = x[size - n :] if n <= size else np.concatenate((np.zeros(n - size), x))
        elif step.kind == AFFINE:
            x = a * x + step.b
        elif step.kind == SEMICIRCLE:
            noise = rng.standard_normal((size, size))
            noise += noise.T.copy()
            noise *= np.sqrt(a / (2.0 * size))
            noise[np.diag_indices(size)] += x
            x = np.linalg.eigvalsh(noise)
        elif step.kind == POISSON:
            tau, u = points[:, points_of(step, steps, points.shape[1])]
            n = round(size / a)
            k = apportion(np.append(u, max(0.0, 1.0 - u.sum())), n)[:-1]  # the rest are columns of weight 0
            z = rng.standard_normal((size, int(k.sum())))
            matrix = (z * np.repeat(tau / n, k)) @ z.T
            matrix[np.diag_indices(size)] += x
            x = np.linalg.eigvalsh(matrix)
        elif step.kind == INVERSE:
            z = rng.standard_normal((size, round(size / a)))
            root = np.sqrt(x)
            w = np.linalg.inv(z @ z.T / z.shape[1])
            x = np.maximum(np.linalg.eigvalsh(root[:, None] * w * root), 0.0)
        else:
            basis = np.linalg.qr(rng.standard_normal((size, round(a * size))))[0]
            x = np.linalg.eigvalsh(basis.T @ (x[:, None] * basis))
        x = np.sort(x)
    return np.asarray(x, np.float64)


def check_size(H: Spectrum, steps: Sequence[Step], p: int) -> None:
    """Refuse a dimension at which the matrix cannot be drawn, before any work is done."""
    levels = np.count_nonzero(H.multiplicity > 0)
    if p < levels:
        raise ValueError(f"p must be at least the number of levels, {levels}; got {p}.")
    size, most = float(p), float(p)
    for step in steps:
        if step.kind in (SAMPLE, POISSON, INVERSE):
            n = size / step.a
            if round(n) < 1:
                raise ValueError(
                    f"p = {p} leaves no sample at ratio {step.a:g}: {n:.3g} of them. "
                    f"Use at least {int(np.ceil(p / n))}."
                )
            most = max(most, np.sqrt(size * n) if step.kind != SAMPLE else size)
            size = n if step.gram else size
        elif step.kind not in (AFFINE, SEMICIRCLE):
            size *= step.a
    need, have = 32.0 * most * most, memory()
    if need > 0.5 * have:
        raise ValueError(
            f"p = {p} needs about {need / 1e9:.3g} GB of the {have / 1e9:.3g} GB of memory; "
            f"use at most {int(p * np.sqrt(0.5 * have / need))}."
        )


def memory() -> float:
    """Bytes this process may use; infinite where the system does not say."""
    limits = [float("inf")]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        limits.append(float(os.sysconf("SC_PHYS_PAGES")) * float(os.sysconf("SC_PAGE_SIZE")))
    with contextlib.suppress(ValueError, OSError):
        limits.append(float(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits)


def apportion(weights: Array, p: int) -> NDArray[np.int64]:
    """Whole multiplicities with sum p, by the largest remainders."""
    share = weights * (p / weights.sum())
    whole = np.floor(share).astype(np.int64)
    whole[np.argsort(whole - share, kind="stable")[: p - int(whole.sum())]] += 1
    return np.asarray(whole)


def _sample_covariance(x: Array, n: int, rng: np.random.Generator) -> Array:
    """Eigenvalues of D^1/2 Z Z' D^1/2/n, D = diag(x); with n above the rank, Z Z' by its Cholesky factor (Bartlett)."""
    positive = x[x > 0.0]
    rank = positive.size
    if n < rank:
        z = rng.standard_normal((n, rank))
    else:
        z = np.tril(rng.standard_normal((rank, rank)), -1).T
        z[np.diag_indices(rank)] = np.sqrt(rng.chisquare(n - np.arange(rank)))
    z *= np.sqrt(positive / n)
    found = np.asarray(np.linalg.eigvalsh(z @ z.T), np.float64)
    return np.concatenate((np.zeros(x.size - found.size), np.maximum(found, 0.0)))
