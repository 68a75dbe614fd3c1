"""Exact kernels of infinitely wide networks: the matrix block by block, in memory, to a file, or to a callback."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from fasthde import _angular, _hermite, _jit
from fasthde._kernels import network as kernels
from fasthde._results import write_aside
from fasthde.activations import Activation
from fasthde.networks import _collapse, _pairs
from fasthde.networks._layers import Layer, second

Array = NDArray[np.float64]
Consumer = Callable[[slice, slice, list[Array]], None]

#: Rows and columns of a block. Columns are a multiple of rows, which makes one grid, and no power of two, which would
#: put all rows of a block on the same few lines of the first-level cache (transposing takes .5 ns an entry, 2.8 with
#: 512); half a megabyte a buffer, for long stretches of the transposed rows (20.6 ms for both kernels, 23.9 with 96).
ROWS, COLUMNS = 240, 240

#: Norms that differ by less than this are one norm.
_ONE_NORM = 1e-13

#: Pairs with 1 - |rho| below this are computed from differences: beyond, rounding of the
#: Gram matrix costs up to `_ROUNDING` where an activation has a kink.
_NEAR = 1e-5
_ROUNDING = 4 * float(np.finfo(float).eps) / _NEAR**0.5

_NOWHERE = -(2**40)


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


class _OneThreadBlas:
    """BLAS on one thread while any of our calls runs: the first in sets the limit, the last out lifts it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._limit = _blas().limit(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._limit.restore_original_limits()


_one_thread_blas = _OneThreadBlas()


class Network:
    """A stack of activations, and the affine maps around them: ``weights[l], biases[l]`` lead to activation l."""

    def __init__(
        self,
        acts: tuple[Activation, ...],
        weights: tuple[float, ...],
        biases: tuple[float, ...],
        tangent: bool,
    ):
        self.acts, self.weights, self.biases, self.tangent = acts, weights, biases, tangent
        self.kinked = any(act.kinks.size for act in acts)
        # a jump turns gaps into their square roots: what follows is no longer analytic in the angle
        self.analytic = all(act.continuous for act in acts[:-1])

    def after(self, layer: int) -> tuple[float, float]:
        """Affine map after activation ``layer``."""
        return self.weights[layer + 1], self.biases[layer + 1]


class Kernel:
    """Blocks of the kernel matrix of two sets of points."""

    def __init__(self, x: Array, y: Array | None, network: Network):
        self.network = network
        self.x = x
        self.symmetric = y is None
        self.y = x if y is None else y
        self.slope = network.weights[0] / x.shape[1]
        self.norms = [np.einsum("ij,ij->i", v, v) for v in ((x,) if y is None else (x, y))]
        self.variances = [self.slope * v + network.biases[0] for v in self.norms]
        every = np.concatenate(self.variances)
        self.q = float(every.mean())
        self.near = (_NEAR if network.analytic else 100 * _NEAR) if network.kinked else 0.0
        self.layers: list[Layer] = []
        floor = _ROUNDING if network.kinked else 0.0
        if np.ptp(every) <= _ONE_NORM * self.q and self.q > 0 and network.analytic:
            self.series = _collapse.network(
                network.acts, network.weights[1:], network.biases[1:], self.q, network.tangent
            )
            self.error = max(4 * self.series.error, floor)  # its values are rounded, too
            one = _angular.evaluate(self.series, np.zeros(1), np.full(1, 2.0))
            self.diagonals = [np.full(x.shape[0], v) for v in one[:, 0]]
            return
        self._build()
        self.error = max(self.error, floor)
        if any(layer.kind == "closed" for layer in self.layers):  # a large variance magnifies 1 - rho
            self.near = max(self.near, _NEAR)
        for layer in self.layers[1:]:  # rounding of rho, up to where exact pairs are the lesser evil
            if layer.kind == "closed":
                top = max(float(side.q.max()) for side in layer.sides)
                self.error = max(self.error, float(np.finfo(float).eps) * min(top, _pairs.STEEP))
                if top > _pairs.STEEP:
                    layer.limit = 1.0 - _NEAR

    def _build(self) -> None:
        """Variances, layers and diagonals, from the first layer to the last."""
        network, q = self.network, self.variances
        self.q_layers = [[], []] if not self.symmetric else [[]]  # type: list[list[Array]]
        self.inverse: list[list[Array]] = []
        self.error = 0.0
        theta = q[0]
        for k, act in enumerate(network.acts):
            top = max(float(v.max()) for v in q)
            if not np.isfinite(top):
                raise ValueError(_collapse.overflow(act, k + 1))
            floor = max(1e-40 * top, 1e-200)
            with np.errstate(divide="ignore"):
                self.inverse.append([np.where(v > floor, 1 / np.sqrt(v), 0.0) for v in q])
            q = [np.maximum(v, floor) for v in q]
            for side, v in zip(self.q_layers, q, strict=True):
                side.append(v)
            layer = Layer(act, q, network.tangent)
            self.layers.append(layer)
            self.error = max(self.error, layer.error)
            weight, bias = network.after(k)
            if network.tangent:
                gain = act.scale**2 * _slope_second(act, q[0])
                theta = weight * (second(act, q[0]) + theta * gain) + bias
            q = [weight * second(act, v) + bias for v in q]
        self.diagonals = [q[0], theta] if network.tangent else [q[0]]

    def work(self) -> dict[str, Any]:
        """Buffers of one thread."""
        shape = (ROWS, COLUMNS)
        made: dict[str, Any] = {name: np.empty(shape) for name in ("gram", "first", "second", "rho", "slope")}
        made["lanes"] = np.empty((3, kernels.LANES))
        longest = max((layer.sides[0].coefficients.shape[0] for layer in self.layers), default=1)
        made["pack"] = np.empty((longest, kernels.LANES))
        made["found"] = np.empty(((len(self.layers) + 1) * ROWS * COLUMNS, 2), np.int32)
        return made

    def block(self, rows: slice, columns: slice, work: dict[str, Any]) -> list[Array]:
        """CK (and NTK) of some rows and columns, in the buffers."""
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        size = shape[0] * shape[1]
        gram, first, second, rho, slope = (
            work[name].ravel()[:size].reshape(shape) for name in ("gram", "first", "second", "rho", "slope")
        )
        np.dot(self.x[rows], self.y[columns].T, out=gram)
        diagonal = rows.start - columns.start if self.symmetric else _NOWHERE
        found = work["found"]
        network = self.network
        if not self.layers:
            count = kernels.collapse_block(
                gram, self.slope / self.q, network.biases[0] / self.q, self.near, diagonal,
                *self.series.arrays, work["lanes"], first, second, found,
            )  # fmt: skip
        else:
            inverse = [
                side[rows if k == 0 else columns] for k, side in enumerate(self._pair(self.inverse[0]))
            ]
            theta = second
            count = kernels.begin_block(
                gram, self.slope, network.biases[0], *inverse, self.near, diagonal, theta, rho, found
            )
            for k, layer in enumerate(self.layers):
                if layer.limit < 1.0:
                    count = kernels.beyond(rho, layer.limit, diagonal, count, found)
                layer.apply(rho, rows, columns, work, first, slope)
                last = k + 1 == len(self.layers)
                following = self._pair(self.inverse[k if last else k + 1])
                x, y = layer.sides[0], layer.sides[-1]
                weight, bias = network.after(k)
                kernels.advance_block(
                    first, slope, layer.act.scale**2, x.mean[rows], y.mean[columns], weight, bias,
                    following[0][rows], following[1][columns], network.tangent, theta, rho,
                )  # fmt: skip
        out = [first, second] if network.tangent else [first]
        if count:
            with np.errstate(all="ignore"):  # of constants: 0/0
                self._correct(out, rows, columns, np.unique(found[:count], axis=0).T)
        if self.symmetric:
            i = np.arange(max(0, -diagonal), min(shape[0], shape[1] - diagonal))
            for block, values in zip(out, self.diagonals, strict=True):
                if i.size:
                    block[i, i + diagonal] = values[rows][i]
        return out

    @staticmethod
    def _pair(sides: list[Array]) -> list[Array]:
        return [sides[0], sides[-1]]

    def _correct(self, out: list[Array], rows: slice, columns: slice, places: NDArray[np.int32]) -> None:
        """Write nearly equal and nearly opposite pairs anew."""
        i, j = places
        x, y = self.x[rows][i], self.y[columns][j]
        network = self.network
        if not self.layers:
            lo, hi = _pairs.first_gaps(x, y, self.slope, network.biases[0])
            values = _angular.evaluate(self.series, lo, hi)
        else:
            q = [[v[rows][i] for v in self.q_layers[0]], [v[columns][j] for v in self.q_layers[-1]]]
            values = np.array(
                _pairs.exact(x, y, q[0], q[1], network.acts, network.weights, network.biases, network.tangent)
            )
        for block, value in zip(out, values, strict=False):
            block[i, j] = value


def _slope_second(act: Activation, q: Array) -> Array:
    """E phi'^2 of the base function."""
    if act._named.dual is not None:
        return act._named.dual(q, q, 0 * q, 0 * q + 2.0)[1]
    return _hermite.second(act._slope_mesh(), np.sqrt(q))


# ------------------------------------------------------------------------------------------------ the whole matrix


def run(kernel: Kernel, rows: slice, columns: slice, consume: Consumer, threads: int | None) -> None:
    """Compute a part of the matrix, of a symmetric one its upper half; blocks lie on one grid, whatever the part.

    The grid alone decides how the Gram matrix is summed: streaming gives the same bits as memory.
    """
    starts = range(rows.start, rows.stop, ROWS)

    def strips(first: int, last: int) -> None:
        work = kernel.work()
        for start in starts[first:last]:
            i = slice(start, min(start + ROWS, rows.stop))
            for left in range(columns.start, columns.stop, COLUMNS):
                right = min(left + COLUMNS, columns.stop)
                j = slice(max(left, start) if kernel.symmetric else left, right)
                if j.start < j.stop:
                    consume(i, j, kernel.block(i, j, work))

    with _one_thread_blas:
        _jit.map_blocks(strips, len(starts), threads)


def into_arrays(kernel: Kernel, outs: list[Array], keep: list[int], threads: int | None) -> None:
    """Fill whole matrices with the kernels numbered by ``keep`` (0 conjugate, 1 tangent)."""

    def consume(i: slice, j: slice, blocks: list[Array]) -> None:
        for out, k in zip(outs, keep, strict=True):
            block = blocks[k]
            if kernel.symmetric:
                _mirror(block, i, j)
                tail = max(j.start, i.stop)
                out[tail : j.stop, i] = block[:, tail - j.start :].T
            out[i, j] = block

    run(kernel, slice(0, kernel.x.shape[0]), slice(0, kernel.y.shape[0]), consume, threads)


def _mirror(block: Array, i: slice, j: slice) -> None:
    """Make the part of a block that crosses the diagonal symmetric to the last bit."""
    size = min(i.stop, j.stop) - j.start
    if size > 0:
        square = block[j.start - i.start :, :size]
        low = np.tril_indices(size, -1)
        square[low] = square.T[low]


def parts(kernel: Kernel, count: int, limit: int, threads: int | None) -> Any:
    """Yield ``rows, columns, blocks`` that cover the matrix (a symmetric one's upper half) within a memory limit."""
    n, m = kernel.x.shape[0], kernel.y.shape[0]
    # half of the limit for the block, half for its transpose on the way to a file
    side = int(np.sqrt(limit / (8 * 2 * count))) // COLUMNS * COLUMNS
    side = max(side, COLUMNS)
    for top in range(0, n, side):
        rows = slice(top, min(top + side, n))
        for left in range(top if kernel.symmetric else 0, m, side):
            columns = slice(left, min(left + side, m))
            blocks = [np.empty((rows.stop - top, columns.stop - left)) for _ in range(count)]

            def consume(i: slice, j: slice, made: list[Array], rows: slice = rows, columns: slice = columns,
                        blocks: list[Array] = blocks) -> None:  # fmt: skip
                for out, block in zip(blocks, made, strict=True):
                    if kernel.symmetric:
                        _mirror(block, i, j)
                    out[
                        i.start - rows.start : i.stop - rows.start,
                        j.start - columns.start : j.stop - columns.start,
                    ] = block

            run(kernel, rows, columns, consume, threads)
            if kernel.symmetric and top == left:
                for block in blocks:
                    for start in range(
                        ROWS, block.shape[0], ROWS
                    ):  # whole index arrays would weigh as much again
                        block[start:, start - ROWS : start] = block[start - ROWS : start, start:].T
            yield rows, columns, blocks
            del blocks  # before the next ones are made


def pieces(rows: slice, columns: slice, entries: int) -> Any:
    """Parts of a block of at most so many entries."""
    width = min(columns.stop - columns.start, max(1, entries))
    height = max(1, entries // width)
    for top in range(rows.start, rows.stop, height):
        for left in range(columns.start, columns.stop, width):
            yield slice(top, min(top + height, rows.stop)), slice(left, min(left + width, columns.stop))


def into_files(
    kernel: Kernel, paths: list[str | os.PathLike[str]], keep: list[int], limit: int, threads: int | None
) -> None:
    """Write .npy files; existing ones are replaced when the new ones are complete."""
    shape = (kernel.x.shape[0], kernel.y.shape[0])

    def write(streams: list[Any]) -> None:
        heads = []
        for stream in streams:
            header = {"descr": "<f8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.flush()
            heads.append(stream.tell())
            os.truncate(stream.fileno(), heads[-1] + 8 * shape[0] * shape[1])
        for rows, columns, blocks in parts(kernel, len(kernel.diagonals), limit, threads):
            for stream, head, block in zip(streams, heads, [blocks[k] for k in keep], strict=True):
                _write_rows(stream.fileno(), head, shape[1], rows, columns.start, block)
                if kernel.symmetric and rows != columns:
                    other = np.ascontiguousarray(block.T)
                    _write_rows(stream.fileno(), head, shape[1], columns, rows.start, other)
                    del other
            del block, blocks

    def nested(rest: list[str | os.PathLike[str]], streams: list[Any]) -> None:
        if rest:
            write_aside(rest[0], lambda stream: nested(rest[1:], [*streams, stream]))
        else:
            write(streams)

    nested([Path(p) for p in paths], [])


def _write_rows(handle: int, head: int, width: int, rows: slice, left: int, block: Array) -> None:
    for k, row in enumerate(range(rows.start, rows.stop)):
        data = memoryview(block[k]).cast("B")
        place = head + 8 * (row * width + left)
        while data:
            done = os.pwrite(handle, data, place)
            data, place = data[done:], place + done
