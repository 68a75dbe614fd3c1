"""Status codes, the immutable record shared by all objects, and the result of a ridge curve."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray


class Status(IntEnum):
    """What an element of a result is worth.

    Attributes
    ----------
    CONVERGED
        Solved to rounding level.
    NOT_CONVERGED
        The estimated relative error of the root, ``residual``, exceeds 1e-14.
    INVALID
        The element's arguments are outside the domain; its values are NaN.
    DIVERGES
        The quantity is infinite there (a ridgeless estimator at the interpolation threshold).
    BOUNDARY
        An optimum at the boundary of the search (``lam = 0``, where a negative ridge would be better still or
        nothing is gained by one, or ``lam = inf``).
    """

    CONVERGED = 0
    NOT_CONVERGED = 1
    INVALID = 2
    DIVERGES = 3
    BOUNDARY = 4


class ValidityWarning(UserWarning):
    """The theory speaks of large systems, and some elements are small ones."""


def write_aside(path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file beside its destination, then rename: a failed run never loses an existing file."""
    target = Path(os.path.realpath(path))  # a link keeps pointing where it does
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder of {os.fspath(path)!r} does not exist.")
    if target.exists() and not target.is_file():
        raise ValueError(f"{os.fspath(path)!r} must be a regular file; it is a directory or a device.")
    handle, name = tempfile.mkstemp(prefix=".fasthde-", suffix=target.suffix, dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        if target.exists():
            os.chmod(name, target.stat().st_mode)
        else:
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def warn_user(message: str) -> None:
    """Warn at the line outside the package from which it was entered."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fasthde."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, ValidityWarning, stacklevel=level)


def freeze(value: Any) -> Any:
    """Make an array read-only."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")
    return bool(a == b or (a != a and b != b))


class Record:
    """Immutable object with named fields: equal by content, picklable, saved as npz.

    A subclass is a frozen, slotted dataclass; fields whose names begin with an underscore are caches and
    take no part.
    """

    __slots__ = ()

    @classmethod
    def _names(cls) -> list[str]:
        return [f.name for f in dataclasses.fields(cls) if not f.name.startswith("_")]  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(getattr(self, n), getattr(other, n)) for n in self._names())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return _restore, (type(self), {n: getattr(self, n) for n in self._names()})

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> Self:
        self = object.__new__(cls)
        for f in dataclasses.fields(cls):  # type: ignore[arg-type]
            object.__setattr__(self, f.name, freeze(fields.get(f.name)))
        return self

    def _flat(self, prefix: str = "") -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name in self._names():
            value = getattr(self, name)
            if isinstance(value, Record):
                flat.update(value._flat(f"{prefix}{name}."))
            elif value is not None:
                flat[prefix + name] = value
        return flat

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all fields to an npz file; an existing file is replaced only when the new one is complete.

        Parameters
        ----------
        path : path-like
            Destination.
        """
        arrays = {"__class__": np.array(type(self).__name__), **self._flat()}
        write_aside(path, lambda stream: np.savez(stream, **arrays))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an object written by `save`.

        Parameters
        ----------
        path : path-like
            File written by `save`.

        Returns
        -------
        object
            Equal to the one that was saved.
        """
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                flat = {n: file[n] for n in file.files}
        except FileNotFoundError:
            raise
        except Exception as error:  # zipfile, zlib, tokenize and NumPy each have their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"path must hold a {cls.__name__}; {os.fspath(path)!r} cannot be read: {reason}."
            ) from None
        kind = str(flat.pop("__class__", "nothing of fasthde"))
        if kind != cls.__name__:
            raise ValueError(f"path must hold a {cls.__name__}; {os.fspath(path)} holds {kind}.")
        return cls._from_flat(flat)

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> Self:
        plain = {n: v.item() if np.ndim(v) == 0 else v for n, v in flat.items()}
        if isinstance(plain.get("status"), int):
            plain["status"] = Status(plain["status"])
        return cls._from_fields(plain)


def _restore(cls: type[Record], fields: dict[str, Any]) -> Record:
    return cls._from_fields(fields)


def _span(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array[()]:.6g}" if array.dtype.kind == "f" else str(array[()])
    seen = array[np.isfinite(array)]
    if not seen.size:
        return "all NaN"
    low, high = seen.min(), seen.max()
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class RidgeResult(Record):
    """Deterministic equivalents of ridge regression on a grid of (n, lam).

    Every field has the broadcast shape of ``n`` and ``lam`` (with several targets, a last axis of targets);
    scalars in, scalars out.

    Attributes
    ----------
    test : float or ndarray
        Expected squared error on a new sample, noise included: ``excess + noise``.
    train : float or ndarray
        Expected mean squared error on the training sample.
    excess, bias, variance : float or ndarray
        Test error above the noise, and its two parts.
    noise : float or ndarray
        Mean noise variance.
    in_sample_bias, in_sample_variance : float or ndarray
        Bias and variance of the predictions at the training inputs.
    kappa : float or ndarray
        Renormalised ridge.
    df1, df2 : float or ndarray
        Effective dimensions ``tr C (C + kappa)^-1`` and ``tr C^2 (C + kappa)^-2``.
    n, lam : float or ndarray
        Sample size and ridge of each element.
    status, residual, iterations : int, float, int or ndarray
        `Status` code, estimated relative error of the root, number of evaluations of the spectral sums.
    levels : ndarray, shape (levels,)
        Eigenvalues of the population covariance, for `learnability`.
    """

    test: Any
    train: Any
    excess: Any
    bias: Any
    variance: Any
    noise: Any
    in_sample_bias: Any
    in_sample_variance: Any
    kappa: Any
    df1: Any
    df2: Any
    n: Any
    lam: Any
    status: Any
    residual: Any
    iterations: Any
    levels: NDArray[np.float64]

    @property
    def success(self) -> Any:
        """Whether each element holds the exact answer: solved, divergent, or an optimum at a boundary."""
        status = np.asarray(self.status)
        good = (status != Status.NOT_CONVERGED) & (status != Status.INVALID)
        return bool(good) if good.ndim == 0 else good

    def learnability(self) -> NDArray[np.float64]:
        """Fraction of each level's signal that is learned, ``t/(t + kappa)``.

        Returns
        -------
        ndarray, shape (..., levels)
            Between 0 and 1; 0 for a level with t = 0.

        Examples
        --------
        >>> import fasthde as fh
        >>> problem = fh.LinearProblem(fh.Spectrum([1.0, 0.0], [50, 50]), signal=1.0, noise=0.1)
        >>> fh.ridge(problem, n=100, lam=0.0).learnability()
        array([1., 0.])
        """
        t = self.levels
        kappa = np.asarray(self.kappa)[..., None]
        with np.errstate(invalid="ignore"):
            learned = t / (t + kappa)
        return np.where(t > 0, learned, np.where(np.isnan(kappa), np.nan, 0.0))

    def __repr__(self) -> str:
        shape = np.shape(self.test)
        counts = {
            Status(s).name: int(c) for s, c in zip(*np.unique(self.status, return_counts=True), strict=True)
        }
        status = ", ".join(name if len(counts) == 1 else f"{c} {name}" for name, c in counts.items())
        names = [n for n in self._names() if n not in ("status", "residual", "iterations", "levels")]
        gap = max(18, *(len(name) for name in names))
        rows = [f"  {name:<{gap}} {_span(getattr(self, name))}" for name in names]
        return "\n".join([f"{type(self).__name__}, shape {shape}, {status}", *rows])


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeaturesResult(RidgeResult):
    """Deterministic equivalents of ridge regression on random features, or on a kernel.

    As `RidgeResult` in the broadcast shape of n, width and lam, with ``kappa`` the effective ridge of the kernel,
    ``df1`` and ``df2`` of its operator, ``levels`` the operator's eigenvalues, and

    Attributes
    ----------
    width : float or ndarray
        Number of features of each element; inf for a kernel.
    squared_bias : float or ndarray
        Squared error of the prediction averaged over features, samples and noise.
    variance_samples, variance_weights, variance_interaction : float or ndarray
        What the samples alone add, the features' weights alone, and both together; with ``squared_bias`` they make
        ``bias``. ``variance`` is what the noise adds.
    """

    width: Any
    squared_bias: Any
    variance_samples: Any
    variance_weights: Any
    variance_interaction: Any
