"""Conjugate and tangent kernels of deep networks: arguments in, matrices out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde import _validate
from fasthde._results import Record, Status, warn_user
from fasthde.activations import Activation, activation
from fasthde.networks import _exact

Array = NDArray[np.float64]
Phi = str | Activation | Callable[[Array], Any]

#: Memory of a streamed kernel where the caller sets no limit.
_STREAM_LIMIT = 2**30


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class NetworkKernels(Record):
    """Kernels of a deep network.

    Attributes
    ----------
    conjugate, tangent : ndarray, shape (n, n) or (n, m), or None
        The matrices; None where not asked for, or given to a callback.
    error : float
        Estimated largest error of an entry, relative to the square root of its two diagonal entries.
    status : Status
        NOT_CONVERGED where ``error`` exceeds 1e-10.
    methods : str
        How each layer was computed: ``collapsed`` for inputs of one norm (the whole network is one function of the
        angle), or for each layer homogeneous, series or closed.
    """

    conjugate: Array | None
    tangent: Array | None
    error: float
    status: Status
    methods: str

    @property
    def success(self) -> bool:
        """Whether the error is below 1e-10."""
        return self.status == Status.CONVERGED

    def __repr__(self) -> str:
        have = [name for name in ("conjugate", "tangent") if getattr(self, name) is not None]
        return (
            f"NetworkKernels({', '.join(have)}; error {self.error:.1e}, {self.status.name}, {self.methods})"
        )


def conjugate_kernel(
    X: Any,
    act: Phi | Sequence[Phi],
    depth: int | None = None,
    *,
    weight_variance: Any = 1.0,
    bias_variance: Any = 0.0,
    Y: Any = None,
    readout: bool = False,
    out: Any = None,
    memory_limit: int | None = None,
    threads: int | None = None,
    full_output: bool = False,
) -> Any:
    r"""Conjugate kernel (NNGP kernel) of an infinitely wide fully connected network.

    ``K_0 = weight_variance X X^T/d + bias_variance``, ``K_l = weight_variance E[phi_l(u) phi_l(v)] + bias_variance``
    with (u, v) of covariance K_{l-1}; returned is ``E[phi_L(u) phi_L(v)]`` of the last activation.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Inputs, one a row, neither centred nor scaled.
    act : str, callable, Activation, or a sequence of them
        Activation of all layers, or one a layer.
    depth : int, optional
        Number of activations; needed with a single activation.
    weight_variance, bias_variance : float or sequence
        Variances of the weights (times fan-in), > 0, and biases, >= 0: one for all affine maps, or one a map (``depth``
        of them, one more with ``readout``).
    Y : array_like, shape (m, d), optional
        Second set of inputs.
    readout : bool
        Apply the last affine map too: ``weight_variance (.) + bias_variance``.
    out : ndarray, path, or callable, optional
        Where the kernel goes: an array of its shape; a .npy file, written block by block (the result is then a
        read-only memory map); or a function called as ``out(rows, columns, block)`` with slices, of a symmetric kernel
        for its upper half.
    memory_limit : int, optional
        Bytes: of the blocks on their way to a file or callback (1 GiB by default; 4 MiB are used in any case), or of
        the result, which is refused if it is larger.
    threads : int, optional
        Number of threads; the result does not depend on it.
    full_output : bool
        Return `NetworkKernels` with an error estimate.

    Returns
    -------
    ndarray, shape (n, n) or (n, m), or NetworkKernels
        The kernel, to about 1e-13 of its diagonal; nothing when it went to a callback.

    Raises
    ------
    ValueError
        For wrong shapes or values, an unknown activation, a depth that contradicts the sequence, or a variance that
        overflows.

    Notes
    -----
    Inputs of one norm: the network is one function of the angle, a Chebyshev series built once and applied at the cost
    of the Gram matrix. Unequal norms: each layer is a homogeneous function, a Hermite series for every point, or a
    closed form. With a kink, pairs with 1 - abs(rho) < 1e-5 are computed from differences of the inputs, and pairs
    beyond the reach of a series one by one. Source: Neal (1996); Cho and Saul (2009); Lee et al. (2018).

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.conjugate_kernel([[1.0, 0.0], [0.0, 1.0]], "relu", depth=1).round(6)
    array([[0.25    , 0.079577],
           [0.079577, 0.25    ]])
    """
    result = _kernels(
        X, act, depth, weight_variance, bias_variance, Y, readout, [out], memory_limit, threads, "conjugate"
    )
    return result if full_output else _plain(result).conjugate


def tangent_kernel(
    X: Any,
    act: Phi | Sequence[Phi],
    depth: int | None = None,
    *,
    weight_variance: Any = 1.0,
    bias_variance: Any = 0.0,
    Y: Any = None,
    readout: bool = False,
    out: Any = None,
    memory_limit: int | None = None,
    threads: int | None = None,
    full_output: bool = False,
) -> Any:
    r"""Neural tangent kernel of an infinitely wide fully connected network, in NTK parametrisation.

    ``Theta_0 = K_0``, ``T_l = E[phi_l phi_l] + Theta_{l-1} E[phi_l' phi_l']``,
    ``Theta_l = weight_variance T_l + bias_variance``; returned is T_L.

    Parameters
    ----------
    X, act, depth, weight_variance, bias_variance, Y, readout, out, memory_limit, threads, full_output
        As of `conjugate_kernel`.

    Returns
    -------
    ndarray, shape (n, n) or (n, m), or NetworkKernels
        The kernel.

    Raises
    ------
    ValueError
        As `conjugate_kernel`, and for an activation that jumps: its tangent kernel is infinite on the diagonal.

    Notes
    -----
    Source: Jacot, Gabriel and Hongler (2018).

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.tangent_kernel([[1.0, 0.0], [0.0, 1.0]], "relu", depth=1).round(6)
    array([[0.5     , 0.079577],
           [0.079577, 0.5     ]])
    """
    result = _kernels(
        X, act, depth, weight_variance, bias_variance, Y, readout, [out], memory_limit, threads, "tangent"
    )
    return result if full_output else _plain(result).tangent


def network_kernels(
    X: Any,
    act: Phi | Sequence[Phi],
    depth: int | None = None,
    *,
    weight_variance: Any = 1.0,
    bias_variance: Any = 0.0,
    Y: Any = None,
    readout: bool = False,
    out: Any = None,
    memory_limit: int | None = None,
    threads: int | None = None,
) -> NetworkKernels:
    """Conjugate and tangent kernels together, from one pass over the Gram matrix.

    Parameters
    ----------
    X, act, depth, weight_variance, bias_variance, Y, readout, memory_limit, threads
        As of `conjugate_kernel`.
    out : pair, or callable, optional
        Two arrays or two paths; or a function called as ``out(rows, columns, conjugate, tangent)``.

    Returns
    -------
    NetworkKernels
        Both matrices with an error estimate.

    Examples
    --------
    >>> import fasthde as fh
    >>> both = fh.network_kernels([[1.0, 0.0], [0.6, 0.8]], ["tanh", "relu"])
    >>> both.conjugate.shape, both.tangent.shape, both.status.name
    ((2, 2), (2, 2), 'CONVERGED')
    """
    outs = [out] if out is None or callable(out) else _pair(out)
    return _kernels(
        X, act, depth, weight_variance, bias_variance, Y, readout, outs, memory_limit, threads, "both"
    )


# ------------------------------------------------------------------------------------------------ arguments


def _pair(out: Any) -> list[Any]:
    """Two arrays or two paths, apart from each other."""
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise TypeError(
            f"out must be a pair (conjugate, tangent) of arrays or of paths, or a callable; got {_validate._show(out)}."
        )
    first, second = out
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        if np.shares_memory(first, second):
            raise ValueError(
                "out must be two arrays that share no memory; one kernel would overwrite the other."
            )
    elif isinstance(first, str | os.PathLike) and isinstance(second, str | os.PathLike):
        if os.path.realpath(first) == os.path.realpath(second):
            raise ValueError(f"out must be two different paths; got {first!r} twice.")
    else:
        raise TypeError("out must be two arrays or two paths; one callable takes both kernels.")
    return [first, second]


def _kernels(
    X: Any,
    act: Any,
    depth: int | None,
    weight_variance: Any,
    bias_variance: Any,
    Y: Any,
    readout: bool,
    outs: list[Any],
    memory_limit: int | None,
    threads: int | None,
    which: str,
) -> NetworkKernels:
    x = points("X", X)
    y = None if Y is None else points("Y", Y)
    if y is not None and y.shape[1] != x.shape[1]:
        raise ValueError(f"Y must have the {x.shape[1]} columns of X; got shape {y.shape}. Points are rows.")
    acts = stack(act, depth)
    tangent = which != "conjugate"
    if tangent:
        for one in acts:
            one._need_derivative()
    readout = _validate.flag("readout", readout)
    maps = len(acts) + readout
    weights = (
        *_per_map("weight_variance", weight_variance, maps, positive=True),
        *(() if readout else (1.0,)),
    )
    biases = (*_per_map("bias_variance", bias_variance, maps, positive=False), *(() if readout else (0.0,)))
    threads = _validate.threads(threads)
    limit = None if memory_limit is None else _validate.integer("memory_limit", memory_limit, 1)
    with np.errstate(all="ignore"):  # what overflows is refused by name
        kernel = _exact.Kernel(x, y, _exact.Network(acts, weights, biases, tangent))
    made = _deliver(kernel, outs, limit, threads, which)
    methods = ", ".join(layer.kind for layer in kernel.layers) or "collapsed"
    status = Status.CONVERGED if kernel.error <= 1e-10 else Status.NOT_CONVERGED
    return NetworkKernels(made.get("conjugate"), made.get("tangent"), kernel.error, status, methods)


def _deliver(
    kernel: _exact.Kernel, outs: list[Any], limit: int | None, threads: int | None, which: str
) -> dict[str, Array]:
    names = ["conjugate", "tangent"] if kernel.network.tangent else ["conjugate"]
    wanted = names if which == "both" else [which]
    shape = (kernel.x.shape[0], kernel.y.shape[0])
    keep = [names.index(name) for name in wanted]
    if callable(outs[0]):
        for rows, columns, blocks in _exact.parts(kernel, len(names), limit or _STREAM_LIMIT, threads):
            for i, j in _exact.pieces(rows, columns, (limit or _STREAM_LIMIT) // (8 * len(keep))):
                here = (
                    slice(i.start - rows.start, i.stop - rows.start),
                    slice(j.start - columns.start, j.stop - columns.start),
                )
                outs[0](i, j, *(blocks[k][here] for k in keep))
            del blocks  # before the next ones are made
        return {}
    if isinstance(outs[0], str | os.PathLike):
        _exact.into_files(kernel, outs, keep, limit or _STREAM_LIMIT, threads)
        return {name: np.load(path, mmap_mode="r") for name, path in zip(wanted, outs, strict=True)}
    if outs[0] is None:
        size = 8 * shape[0] * shape[1] * len(wanted)
        if limit is not None and size > limit:
            raise ValueError(
                f"memory_limit must hold the result, {size} bytes; got {limit}. Give out=, a path or a callable, to "
                "stream it."
            )
        outs = [np.empty(shape) for _ in wanted]
    for out in outs:
        if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.float64:
            raise ValueError(
                f"out must be a float64 array of shape {shape}, a path, or a callable; got "
                f"{getattr(out, 'dtype', type(out).__name__)} {getattr(out, 'shape', '')}."
            )
        if not out.flags.writeable:
            raise ValueError("out must be writeable; got a read-only array.")
    _exact.into_arrays(kernel, outs, keep, threads)
    return dict(zip(wanted, outs, strict=True))


def _plain(result: NetworkKernels) -> NetworkKernels:
    if not result.success:
        warn_user(
            f"the kernel is good to {result.error:.1e} of its diagonal only ({result.methods}): smaller variances, or "
            "full_output=True to take note of it."
        )
    return result


def points(name: str, value: Any) -> Array:
    """Rows of finite numbers, at least one of at least one."""
    array = _validate.real_array(name, value, ndim=2)
    _validate.not_empty(name, array)
    return np.ascontiguousarray(_validate.finite(name, array))


def stack(act: Any, depth: int | None) -> tuple[Activation, ...]:
    """Activations of all layers."""
    if isinstance(act, str | Activation) or callable(act):
        if depth is None:
            raise ValueError(
                "depth must be given with a single activation: the number of layers, for example depth=3."
            )
        return (activation(act),) * _validate.integer("depth", depth, 1)
    try:
        acts = tuple(activation(one) for one in act)
    except TypeError as error:
        raise TypeError(f"act must be an activation or a sequence of them: {error}") from None
    if not acts:
        raise ValueError("act must hold at least one activation; got an empty sequence.")
    if depth is not None and _validate.integer("depth", depth, 1) != len(acts):
        raise ValueError(f"depth must be the length of act, {len(acts)}; got {depth}. Leave it out.")
    return acts


def _per_map(name: str, value: Any, maps: int, *, positive: bool) -> tuple[float, ...]:
    array = _validate.real_array(name, value)
    if array.ndim == 0:
        return (_validate.scalar(name, array, positive=positive),) * maps
    if array.shape != (maps,):
        raise ValueError(
            f"{name} must be a number or one for each of the {maps} maps; got shape {array.shape}."
        )
    return tuple(_validate.scalar(f"{name}[{k}]", v, positive=positive) for k, v in enumerate(array))


def _warmup() -> None:
    """Run each kernel once with the types that calls use."""
    x = np.array([[1.0, 2.0], [0.5, 0.5], [1.0, 2.0 + 1e-9]])
    for acts in (["relu"], ["tanh"], ["hard_tanh"]):
        network_kernels(x, acts)
    network_kernels(x / np.sqrt((x**2).sum(axis=1, keepdims=True)), ["relu"])
