"""Ridge regression on random features and on kernels, conditional on nothing: the population alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _jit
from fasthde import _validate as check
from fasthde._grid import Grid
from fasthde._kernels import features as kernels
from fasthde._results import FeaturesResult, Status, ValidityWarning, freeze, warn_user
from fasthde.learning.kernel_problem import KernelProblem
from fasthde.learning.problem import LinearProblem
from fasthde.spectrum import Spectrum

Array = NDArray[np.float64]

_WIDTH_HINT = "Pass the number of random features."
_N_HINT = "Pass the number of training samples."
_LAM_HINT = "The ridge multiplies I in F'F/n + lam I, F the features; 0 is the ridgeless limit."


def random_features(
    problem: LinearProblem | KernelProblem,
    act: Any,
    width: ArrayLike,
    n: ArrayLike,
    lam: ArrayLike,
    *,
    compress: bool = True,
    threads: int | None = None,
) -> FeaturesResult:
    r"""Predict the errors of ridge regression on random features, ``F = phi(X W')`` with n rows and width columns.

    The estimate is ``(F'F/n + lam I)^-1 F'y/n``, its features are not normalised, and nothing is drawn: data, weights
    and noise are those of the population.

    Parameters
    ----------
    problem : LinearProblem or KernelProblem
        The population: of inputs with a linear target, or, with ``act=None``, of a kernel's operator.
    act : Activation, str, callable or None
        Activation phi; the weights W are standard normal.
    width : array_like
        Number d of features, > 0; inf gives the ridgeless kernel. Broadcasts with n and lam.
    n : array_like
        Training samples, > 0; inf gives the population limit.
    lam : array_like
        Ridge, >= 0. 0 is the exact ridgeless limit, which diverges at ``width = n``.
    compress : bool, optional
        Sum over Gauss nodes instead of all levels (same numbers to 1e-14).
    threads : int, optional
        None chooses; an int forces. Results do not depend on it.

    Returns
    -------
    FeaturesResult
        Fields in the broadcast shape of width, n and lam.

    Raises
    ------
    ValueError
        For a scalar width or n <= 0, or lam < 0. A bad element of an array becomes NaN with status INVALID instead,
        and so does one with both n and width infinite.

    Warns
    -----
    ValidityWarning
        When n, width or ``df1**2/df2`` is below 20 somewhere.

    See Also
    --------
    KernelProblem.from_linear : the operator that an activation has on a linear problem.

    Notes
    -----
    With the operator's eigenvalues :math:`\xi` and the target's power b on them, :math:`\nu` solves

    .. math:: (n - \mathrm{df}_1(\nu)) (1 - \mathrm{df}_1(\nu)/d) = \frac{n \lambda}{d \nu}, \qquad
              \mathrm{df}_j = \sum \Big(\frac{\xi}{\xi + \nu}\Big)^j,

    and with :math:`a = 1 - \mathrm{df}_1/d`, :math:`D = \mathrm{df}_1 - \mathrm{df}_2`, :math:`h = D/(d a + D)`,
    :math:`1 - \Upsilon = 1 - \mathrm{df}_1/n + (d/n)\, a h`

    .. math:: \mathrm{test} = \frac{1}{1 - \Upsilon} \Big[ \sum b \frac{\nu^2}{(\xi + \nu)^2}
              + h \sum b \frac{\xi \nu}{(\xi + \nu)^2} + \sigma^2 \Big], \qquad
              \mathrm{train} = (1 - \mathrm{df}_1/n)^2\, \mathrm{test}

    (Defilippis, Loureiro & Misiakiewicz 2024; arXiv 2506.13139). The first sum is the squared bias; averaging the
    prediction over the weights leaves the error of the kernel at ridge :math:`\nu`, which separates the
    parts of the samples and of the weights.

    Examples
    --------
    >>> import fasthde as fh
    >>> problem = fh.LinearProblem(fh.Spectrum.isotropic(400, 1 / 400), 400.0, 0.1)
    >>> r = fh.random_features(problem, "relu", width=[200, 400, 1600], n=400, lam=1e-4)
    >>> r.test.round(3)
    array([ 1.55 , 12.78 ,  0.617])
    """
    operator = _operator(problem, act)
    width_array = check.swept("width", width, zero=False, hint=_WIDTH_HINT)
    return _solve(operator, n, width_array, lam, compress, threads, kernel=False)


def kernel_ridge(
    problem: KernelProblem,
    n: ArrayLike,
    lam: ArrayLike,
    *,
    compress: bool = True,
    threads: int | None = None,
) -> FeaturesResult:
    r"""Predict the errors of kernel ridge regression, ``k(x, X) (K/n + lam I)^-1 y/n``.

    Parameters
    ----------
    problem : KernelProblem
        Operator of the kernel, target and noise.
    n : array_like
        Training samples, > 0. Broadcasts with lam.
    lam : array_like
        Ridge, >= 0; scikit-learn's ``alpha`` is ``n lam`` (`convert_ridge`).
    compress : bool, optional
        Sum over Gauss nodes instead of all levels (same numbers to 1e-14).
    threads : int, optional
        None chooses; an int forces. Results do not depend on it.

    Returns
    -------
    FeaturesResult
        Fields in the broadcast shape of n and lam; ``width`` is inf.

    Raises
    ------
    ValueError
        For a scalar n <= 0 or lam < 0. A bad element of an array becomes NaN with status INVALID instead.

    Warns
    -----
    ValidityWarning
        When n or ``df1**2/df2`` is below 20 somewhere.

    Notes
    -----
    The equations of `random_features` with infinitely many of them: ``n - df1 = n lam/kappa``, as in `ridge` on the
    eigenfunctions. A tail w of the operator acts like a further ridge ``w/n`` (Simon et al. 2023).

    Examples
    --------
    >>> import fasthde as fh
    >>> H = fh.Spectrum.power_law(2000, 2.0)
    >>> problem = fh.KernelProblem(H, H.values, noise=0.01, tail=1e-3)
    >>> fh.kernel_ridge(problem, n=[100, 1000], lam=1e-3).test.round(5)
    array([0.05086, 0.03581])
    """
    if not isinstance(problem, KernelProblem):
        raise TypeError(
            f"problem must be a KernelProblem; got {type(problem).__name__}. "
            "Build one with fh.KernelProblem(spectrum, power, noise) or fh.KernelProblem.from_linear(problem, act)."
        )
    return _solve(problem, n, np.array(np.inf), lam, compress, threads, kernel=True)


def _operator(problem: Any, act: Any) -> KernelProblem:
    if isinstance(problem, KernelProblem):
        if act is not None:
            raise ValueError(
                "act must be None with a KernelProblem, which is an activation's operator already."
            )
        return problem
    if not isinstance(problem, LinearProblem):
        raise TypeError(f"problem must be a LinearProblem or a KernelProblem; got {type(problem).__name__}.")
    if act is None:
        raise ValueError("act must be an activation with a LinearProblem; fh.activation lists the names.")
    return KernelProblem.from_linear(problem, act)


def _solve(
    problem: KernelProblem,
    n: ArrayLike,
    width: Array,
    lam: ArrayLike,
    compress: bool,
    threads: int | None,
    *,
    kernel: bool,
) -> FeaturesResult:
    n_array = check.swept("n", n, zero=False, hint=_N_HINT)
    lam_array = check.swept("lam", lam, zero=True, hint=_LAM_HINT)
    threads = check.threads(threads)
    try:
        pairs = np.broadcast_shapes(n_array.shape, width.shape)
        shape = np.broadcast_shapes(pairs, lam_array.shape)
    except ValueError:
        raise ValueError(
            f"width, n and lam must broadcast together; got shapes {width.shape}, {n_array.shape} and "
            f"{lam_array.shape}. For every combination give each an axis of its own."
        ) from None
    # rows are pairs of n and width, and a grid knows them by their number
    n_pairs, width_pairs = (np.broadcast_to(v, pairs) for v in (n_array, width))
    grid = Grid(np.arange(n_pairs.size, dtype=float).reshape(pairs), lam_array)
    row = grid.n.astype(np.intp)
    rows_n, rows_width = n_pairs.reshape(-1)[row], width_pairs.reshape(-1)[row]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_lam = np.log(grid.lam)
        part = np.where(np.isinf(rows_n), 1.0, rows_n / np.maximum(rows_n, 1.0 if kernel else rows_width))
    if kernel:
        part = rows_n.copy()
    out = np.empty((len(kernels.FIELDS), *grid.size))
    status, iterations = np.empty(grid.size, np.int8), np.empty(grid.size, np.int16)
    doubt = np.zeros(row.size, np.int64)
    levels, scale, signal = problem._prepare(bool(compress))
    if out.size:
        work = 6.0 * status.size * (levels[0].size + signal[0].size)
        _jit.map_rows(
            kernels.features_rows, kernels.features_driver, row.size, work, threads,
            (rows_n, rows_width, part, grid.lam, log_lam, grid.order), levels, scale, signal,
            (out, status, iterations, doubt),
        )  # fmt: skip
    fields: dict[str, Any] = {name: grid.back(row) for name, row in zip(kernels.FIELDS, out, strict=True)}
    fields |= {"status": grid.back(status), "iterations": grid.back(iterations)}
    if shape:
        fields |= {
            name: np.broadcast_to(v, shape)
            for name, v in (("n", n_array), ("lam", lam_array), ("width", width))
        }
        fields["noise"] = np.where(np.isnan(fields["test"]), np.nan, problem.noise)
    else:
        fields |= {
            "n": n_array.item(),
            "lam": lam_array.item(),
            "width": width.item(),
            "noise": problem.noise,
        }
        fields["status"] = Status(fields["status"])
    _warn_small(int(doubt.sum()), rows_n[doubt > 0], rows_width[doubt > 0])
    return FeaturesResult(
        **{name: freeze(value) for name, value in fields.items()}, levels=problem.spectrum.values
    )


def _warn_small(count: int, n: Array, width: Array) -> None:
    if count:
        pairs = sorted(set(zip(n.tolist(), width.tolist(), strict=True)))[:3]
        shown = ", ".join(f"n = {a:g} with width {b:g}" for a, b in pairs)
        warn_user(
            f"{count} element(s) speak of a small system (n, width or df1**2/df2 below 20), among them {shown}: "
            "the theory's error there is of order one over that number."
        )


def _warmup() -> None:
    """Run each kernel once with the types that calls use."""
    problem = LinearProblem(Spectrum.power_law(100, 1.0), 1.0, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValidityWarning)
        for threads in (1, 2):
            random_features(problem, "relu", [30.0, 60.0], 50.0, [[1.0], [0.0]], threads=threads)
