"""Isolated eigenvalues and the equivalent of the resolvent."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fasthde import _validate as check
from fasthde._distribution import _out
from fasthde._results import Record
from fasthde.hessian._cells import Array


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class HessianSpike(Record):
    """Isolated eigenvalue of a Hessian.

    Attributes
    ----------
    location : float
        The eigenvalue.
    alignment, alignment_star : float
        Squared cosine of its eigenvector with w and with w*; NaN for a vector that is 0.
    vector : ndarray, shape (levels, d)
        The part of the unit eigenvector in the span of ``C w`` and ``C w*`` transformed by the bulk, in the
        coordinates of ``w``; what is left of it is of no fixed direction.
    """

    location: float
    alignment: float
    alignment_star: float
    vector: Array

    def __repr__(self) -> str:
        return (
            f"HessianSpike(location={self.location:.6g}, alignment={self.alignment:.6g}, "
            f"alignment_star={self.alignment_star:.6g})"
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class HessianEquivalent(Record):
    """Deterministic equivalent ``(e C + C^1/2 U S U' C^1/2 - z)^-1`` of the resolvent of a Hessian.

    Attributes
    ----------
    z : complex, float or ndarray
        Where.
    delta, e : complex, float or ndarray
        Solution of the fixed-point equation, in the shape of z.
    S : ndarray, shape (..., r, r)
        Perturbation in the plane of ``C^1/2 w`` and ``C^1/2 w*`` (r = 0, 1 or 2).
    status : int or ndarray
        `Status` code of each point.
    levels : ndarray, shape (levels,)
        Eigenvalues of C.
    basis : ndarray, shape (levels, d, r)
        ``C^1/2 U`` in the eigenbasis.
    w, w_star : ndarray, shape (levels, d)
        The two vectors in the eigenbasis.
    """

    z: Any
    delta: Any
    e: Any
    S: Any
    status: Any
    levels: Array
    basis: Array
    w: Array
    w_star: Array

    def bilinear(self, a: Any, b: Any) -> Any:
        """``a' Q b`` of the equivalent.

        Parameters
        ----------
        a, b : {"w", "w_star"} or array_like, shape (levels,) or (levels, d)
            Vectors by their coordinates in the eigenspaces of C, as in `hessian_law`.

        Returns
        -------
        complex, float or ndarray
            In the shape of z.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> law = hessian_law(fh.Spectrum([1.0]), 0.5, "logistic", w=[1.0], w_star=[1.0])
        >>> round(law.equivalent(-1.0).bilinear("w", "w"), 6)
        0.881094
        """
        x, y = (pad(self._vector(n, v), self.basis.shape[1]) for n, v in (("a", a), ("b", b)))
        depth = max(x.shape[1], y.shape[1], self.basis.shape[1])
        x, y, basis = pad(x, depth), pad(y, depth), pad(self.basis, depth)
        e, z, S = np.asarray(self.e), np.asarray(self.z), np.asarray(self.S)
        r = 1.0 / (e[..., None] * self.levels - z[..., None])
        plain = r @ (x * y).sum(axis=1)
        if self.basis.shape[2]:
            left = np.einsum("...i,id,idk->...k", r, x, basis)
            right = np.einsum("...i,id,idk->...k", r, y, basis)
            K = np.einsum("...i,idk,idl->...kl", r, basis, basis)
            middle = S @ np.linalg.inv(np.eye(K.shape[-1]) + K @ S)
            plain = plain - np.einsum("...k,...kl,...l->...", left, middle, right)
        return _out(np.asarray(plain))

    def _vector(self, name: str, value: Any) -> Array:
        if isinstance(value, str):
            if value not in ("w", "w_star"):
                raise ValueError(f'{name} must be "w", "w_star" or an array; got {value!r}.')
            return self.w if value == "w" else self.w_star
        return coordinates(name, value, self.levels.size)

    def __repr__(self) -> str:
        return f"HessianEquivalent, shape {np.shape(self.z)}, rank {self.basis.shape[2]}"


def pad(v: Array, depth: int) -> Array:
    missing = depth - v.shape[1]
    return v if missing <= 0 else np.concatenate([v, np.zeros((v.shape[0], missing, *v.shape[2:]))], axis=1)


def coordinates(name: str, value: Any, levels: int) -> Array:
    v = check.finite(name, check.real_array(name, value))
    if v.ndim not in (1, 2) or v.shape[0] != levels:
        raise ValueError(
            f"{name} must have one entry (or one row of coordinates) for each of the {levels} levels; got shape "
            f"{v.shape}."
        )
    return v[:, None] if v.ndim == 1 else v
