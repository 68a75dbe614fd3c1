"""Argument checks and their messages: name, constraint, value received, next step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def real_array(name: str, value: Any, *, ndim: int | None = None) -> Array:
    """Convert to float64 without guessing: complex, strings and ragged lists are refused."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} must not have masked entries; drop or fill them first.")
    if hasattr(value, "toarray"):
        raise TypeError(
            f"{name} must be a dense array; got {type(value).__name__}. Convert it with .toarray()."
        )
    try:
        raw = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of real numbers: {error}") from None
    if raw.dtype == object and raw.size:
        try:
            if any(isinstance(entry, str) or entry is None for entry in raw.flat):
                raise TypeError
            raw = raw.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} must be numeric; got {_show(value)}. "
                "Pass a list or array of numbers; convert or drop other entries."
            ) from None
    if raw.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must hold real numbers; got dtype {raw.dtype}. Convert it with .astype(float) if that is meant."
        )
    array = raw.astype(np.float64)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s); got shape {array.shape}.")
    return array


def finite(name: str, array: Array, hint: str = "Remove or impute these entries first.") -> Array:
    """Refuse NaN and infinity, saying where the first one is."""
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0]) if array.ndim else ()
        at = f" at index {where[0] if len(where) == 1 else where}" if where else ""
        raise ValueError(f"{name} must be finite; got {array[where]}{at} ({int(bad.sum())} in all). {hint}")
    return array


def non_negative(name: str, array: Array, hint: str) -> Array:
    """Refuse negative entries of a finite array."""
    finite(name, array)
    bad = array < 0
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        at = f" at index {where[0] if len(where) == 1 else where}" if where else ""
        raise ValueError(f"{name} must be >= 0; got {array[where]}{at}. {hint}")
    return array


def ordinary_size(name: str, array: Array) -> Array:
    """Refuse data whose squares leave the range of float64."""
    size = float(np.abs(array).max())
    if size > 1e100 or 0 < size < 1e-100:
        raise ValueError(
            f"{name} must be of ordinary size; its largest entry is {size:.3g}. Divide it by a constant."
        )
    return array


def not_empty(name: str, array: Array) -> Array:
    """Refuse empty arrays."""
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}.")
    return array


def same_length(name: str, array: Array, other: str, size: int) -> Array:
    """Require ``array`` to be one-dimensional with ``size`` entries."""
    if array.shape != (size,):
        raise ValueError(
            f"{name} must have one entry for each of the {size} {other}; got shape {array.shape}."
        )
    return array


def scalar(name: str, value: Any, *, positive: bool = False, hint: str = "") -> float:
    """A finite real number, >= 0 or > 0."""
    array = real_array(name, value)
    if array.ndim:
        raise ValueError(f"{name} must be a single number; got shape {array.shape}.")
    number = float(array)
    if not np.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(
            f"{name} must be finite and {'> 0' if positive else '>= 0'}; got {number}. {hint}".strip()
        )
    return number


def integer(name: str, value: Any, minimum: int) -> int:
    """An integer not below ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        else:
            raise TypeError(f"{name} must be an integer >= {minimum}; got {_show(value)}.")
    if value < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}; got {value}.")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or False, nothing else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {_show(value)}.")
    return bool(value)


def swept(name: str, value: Any, *, zero: bool, hint: str) -> Array:
    """A swept argument: a bad scalar raises, a bad element of an array is left for its status."""
    array = real_array(name, value)
    if array.ndim == 0 and not (array >= 0 if zero else array > 0):
        raise ValueError(f"{name} must be {'>= 0' if zero else '> 0'}; got {float(array)}. {hint}")
    return array


def threads(value: int | None) -> int | None:
    """Thread count: None or an integer >= 1."""
    return None if value is None else integer("threads", value, 1)


def vectorised(name: str, f: Callable[[Array], Any], x: Array) -> None:
    """Refuse a function that does not take arrays, tried on two points or more."""
    try:
        shape = np.shape(f(x))
    except Exception as error:
        raise ValueError(
            f"{name} must be vectorised: it raised {type(error).__name__} for an array ({error}). Use NumPy functions."
        ) from error
    if shape != x.shape:
        raise ValueError(
            f"{name} must be vectorised: {name}(x) of shape {x.shape} came out as {shape}. Use NumPy functions."
        )
