"""The one place that imports numba: compilation policy, cache, and threads.

Every kernel states its flags here. A kernel that leaves ``fastmath`` or ``error_model`` unset takes them
from its first caller, also a user's ``fastmath=True``, and writes the result to disk, where its NaN guards
stay lost for every later process.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numba.extending
from numba.core import caching, config

#: Reorderings that vectorise a sum and keep NaN and inf: eight times faster sums, same guards.
SUM_MATH = frozenset({"reassoc", "contract", "nsz"})

#: Below this many element-iterations a batch runs serially: starting threads can stall 8 ms.
PARALLEL_WORK = 1e5


# ------------------------------------------------------------------------------------------------- cache


def _package_stamp() -> str:
    """Hash of every source of compiled code and of the compiler settings numba leaves out of its key.

    numba looks only at the file of the cached function: after an upgrade that changes a helper in another
    file, its callers would be loaded from disk with the old numbers.
    """
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in [Path(__file__), *sorted((root / "_kernels").rglob("*.py"))]:
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    digest.update(repr((config.BOUNDSCHECK, config.OPT, config.DEBUGINFO_DEFAULT)).encode())
    return digest.hexdigest()[:12]


class _StampedImpl(caching.CompileResultCacheImpl):
    """Cache files carry the package stamp in their names."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-fh{STAMP}"


class _Cache(caching.FunctionCache):
    """numba's cache, which never lets a broken or full disk stop a computation."""

    _impl_class = _StampedImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # truncated or foreign file: compile instead
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):
            try:
                super().save_overload(sig, data)
            except Exception:  # a damaged index: start a new one
                self.flush()
                super().save_overload(sig, data)
            self._drop_old_stamps()

    def _drop_old_stamps(self) -> None:
        head = self._impl.filename_base.split("-fh")[0].rsplit("-", 1)[0]
        for path in Path(self.cache_path).glob(f"{head}-*-fh*.nb[ic]"):
            if f"-fh{STAMP}." not in path.name:
                path.unlink(missing_ok=True)


try:
    STAMP = _package_stamp()
except OSError:  # sources not readable as files (a zip): numba would be uncached anyway
    STAMP = ""


def _attach_cache(dispatcher: Any) -> Any:
    if STAMP and not config.DISABLE_JIT:
        # no locator can be found where no directory is writable (read-only container): stay uncached
        with contextlib.suppress(Exception):
            dispatcher._cache = _Cache(dispatcher.py_func)
    return dispatcher


# ---------------------------------------------------------------------------------------------- decorators


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    fastmath: frozenset[str] | bool = False,
    inline: bool = False,
) -> Any:
    """Compile a serial kernel: flags explicit, GIL released, compiled on first use, cached on disk.

    Kernels never allocate, so they are compiled without reference counting: counting every array argument of
    every inner call is an atomic operation on a line that all threads share (a third of the time of a ridge
    curve on one thread). The pieces of a hot loop are inlined: an array is seven words on the stack, and
    passing a dozen of them costs as much again as the sums (350 to 240 ns a point).
    """

    def decorate(f: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:  # compiled code is silent about divisions by zero
            import numpy as np

            return np.errstate(all="ignore")(f)
        flags = set(fastmath) if isinstance(fastmath, frozenset) else fastmath
        options = {
            "nogil": True,
            "fastmath": flags,
            "error_model": "numpy",
            "forceinline": inline,
            "_nrt": False,
        }
        return _attach_cache(numba.njit(**options)(f))

    return decorate if function is None else decorate(function)


def driver(function: Callable[..., Any]) -> Any:
    """Compile a thin Numba-parallel loop over a row kernel's blocks (see `map_rows`)."""
    return _attach_cache(numba.njit(nogil=True, fastmath=False, error_model="numpy", parallel=True)(function))


prange = numba.prange


def reciprocal(x: Any) -> Any:
    """1/x of a real or complex number; in kernels without numba's guarded complex division (1 ns for 16)."""
    import numpy as np

    return np.divide(1.0, x)  # without the compiler: infinite at 0, as compiled


@numba.extending.overload(
    reciprocal, jit_options={"error_model": "numpy", "forceinline": True, "_nrt": False}
)
def _reciprocal(x):  # type: ignore[no-untyped-def]
    if isinstance(x, numba.types.Complex):

        def of_complex(x):  # type: ignore[no-untyped-def]
            q = 1.0 / (x.real * x.real + x.imag * x.imag)
            return complex(x.real * q, -x.imag * q)

        return of_complex
    return lambda x: 1.0 / x


# ------------------------------------------------------------------------------------------------- threads

_forked = False
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()


def _after_fork_in_child() -> None:
    # GNU OpenMP ends a forked child that enters a parallel region; a pool's threads do not survive a fork.
    global _forked, _pools_lock
    _forked = True
    _pools.clear()
    _pools_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _prange_is_safe() -> bool:
    """Whether a Numba-parallel region can be entered here without risk to the process."""
    return _on_main_thread() and not _forked and multiprocessing.parent_process() is None


def _pool(threads: int) -> ThreadPoolExecutor:
    with _pools_lock:
        key = (os.getpid(), threads)
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="fasthde")
        return _pools[key]


def available_threads() -> int:
    """Number of threads that ``threads=None`` may use."""
    return int(config.NUMBA_NUM_THREADS)


@contextlib.contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def map_rows(
    rows_kernel: Any, rows_driver: Any, rows: int, work: float, threads: int | None, *args: Any
) -> None:
    """Run ``rows_kernel(start, stop, *args)`` over ``range(rows)``.

    Serial when the work is small or when called from a thread that is not the main one; the Numba-parallel
    driver on the main thread; a thread pool where a parallel region is not safe (threads, forked children) or
    where there is no driver: the two measured the same, and compiling a driver takes as long as its kernel.
    Each row writes its own slots, so the result does not depend on the number of threads.

    Parameters
    ----------
    rows_kernel, rows_driver
        The serial nogil kernel and its `driver`, which takes ``(bounds, *args)``, or None.
    rows : int
        Number of rows.
    work : float
        Element-iterations of the whole batch.
    threads : int or None
        None chooses; an int forces.
    *args
        Passed on.
    """
    if threads is None:
        threads = available_threads() if work > PARALLEL_WORK and _on_main_thread() else 1
    threads = min(threads, rows)
    if threads <= 1:
        rows_kernel(0, rows, *args)
        return
    import numpy as np

    blocks = min(rows, 8 * threads)  # uneven rows: eight blocks a thread keep both ends busy
    bounds = np.linspace(0, rows, blocks + 1).astype(np.int64)
    if rows_driver is not None and _prange_is_safe() and threads <= available_threads():
        with _numba_threads(threads):
            rows_driver(bounds, *args)
        return
    pool = _pool(threads)
    for job in [pool.submit(rows_kernel, bounds[i], bounds[i + 1], *args) for i in range(blocks)]:
        job.result()


def map_blocks(block: Callable[[int, int], None], rows: int, threads: int | None) -> None:
    """Run ``block(start, stop)``, a Python function around nogil kernels, over ``range(rows)`` in a thread pool."""
    count = threads or (available_threads() if _on_main_thread() else 1)
    bounds = [rows * i // (4 * count) for i in range(4 * count + 1)]
    if count <= 1:
        block(0, rows)
        return
    for job in [_pool(count).submit(block, a, b) for a, b in itertools.pairwise(bounds) if b > a]:
        job.result()


# --------------------------------------------------------------------------------------------- public extras


def cache_info() -> dict[str, Any]:
    """Where compiled kernels are kept, and how many files of this version are there."""
    from fasthde._kernels import ridge

    cache = getattr(ridge.ridge_rows, "_cache", None)
    path = getattr(cache, "cache_path", None)
    if path is None:
        return {"path": None, "files": 0, "stamp": STAMP}
    files = len(list(Path(path).glob(f"*-fh{STAMP}*.nbc"))) if Path(path).is_dir() else 0
    return {"path": path, "files": files, "stamp": STAMP}


def warmup() -> None:
    """Compile every kernel, or load it from the on-disk cache, so that the next call runs at full speed.

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.warmup()
    """
    from fasthde import activations, coupled, hessian, laws, networks
    from fasthde.learning import random_features, random_features_on, ridge

    for module in (ridge, random_features, random_features_on, laws, coupled, hessian, activations, networks):
        module._warmup()
