"""Ridge regression: learning curves, the best ridge, and the scalings in use."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _jit
from fasthde import _validate as check
from fasthde._grid import Grid
from fasthde._kernels import optimum
from fasthde._kernels import ridge as kernels
from fasthde._results import RidgeResult, Status, ValidityWarning, freeze, warn_user
from fasthde.learning.problem import LinearProblem, Prepared
from fasthde.spectrum import Spectrum

Array = NDArray[np.float64]

_N_HINT = "Pass the number of training samples."
_LAM_HINT = (
    "The ridge multiplies I in X'X/n + lam I; 0 is the ridgeless limit. Other scalings: fh.convert_ridge."
)


def ridge(
    problem: LinearProblem,
    n: ArrayLike,
    lam: ArrayLike,
    *,
    intercept: bool = False,
    test_spectrum: ArrayLike | Spectrum | None = None,
    compress: bool = True,
    threads: int | None = None,
) -> RidgeResult:
    r"""Predict the errors of ridge regression, ``beta = (X'X/n + lam I)^-1 X'y/n``.

    Parameters
    ----------
    problem : LinearProblem
        The population, plain or elliptical.
    n : array_like
        Training samples, > 0 (need not be integers; inf gives the population limit). Broadcasts with lam.
    lam : array_like
        Ridge, >= 0. 0 is the exact ridgeless limit (minimum-norm interpolation when n is below the rank).
    intercept : bool, optional
        The fit centres X and y by its training means (scikit-learn's default). It costs one sample, and the
        error of the means multiplies the test error by ``1 + 1/n``.
    test_spectrum : array_like, shape (levels,), or Spectrum, optional
        Covariate shift: eigenvalues of the test covariance on the eigenvectors of the training one, in the
        order of the problem's levels (beware of builders that sort). ``test``, ``excess``, ``bias`` and
        ``variance`` are then those of the test distribution; its norms do not matter, and the noise is that of
        the problem.
    compress : bool, optional
        Sum over Gauss nodes instead of all levels (same numbers to 1e-14; see `Spectrum.compress`).
    threads : int, optional
        None chooses; an int forces. Results do not depend on it.

    Returns
    -------
    RidgeResult
        Fields in the broadcast shape of n and lam.

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
    kappa solves ``lam/kappa + df1(kappa)/n = 1``; with ``eta = df2/n``,

    .. math:: \mathrm{test} = \frac{\kappa^2 \sum_i b_i t_i/(t_i+\kappa)^2 + \sigma^2}{1-\eta}, \qquad
              \mathrm{train} = (\lambda/\kappa)^2\, \mathrm{test}

    (Hastie, Montanari, Rosset & Tibshirani 2022; arXiv 2506.13139; the elliptical form El Karoui 2018).

    Examples
    --------
    >>> import fasthde as fh
    >>> problem = fh.LinearProblem(fh.Spectrum.isotropic(1000), signal=1.0, noise=0.1)
    >>> r = fh.ridge(problem, n=[500, 2000], lam=[[0.0], [0.1]])
    >>> r.test.round(4)
    array([[0.7   , 0.2   ],
           [0.6783, 0.1914]])
    """
    _check_problem(problem)
    n_array = _samples(n, intercept)
    lam_array = check.swept("lam", lam, zero=True, hint=_LAM_HINT)
    threads = check.threads(threads)
    shift = _shifts(problem, test_spectrum, compress)
    prepared = problem._prepare(bool(compress))
    used_n, used_lam = _centred(n_array, lam_array) if intercept else (n_array, lam_array)
    results = [_solve(prepared, j, used_n, used_lam, shift[j], threads) for j in range(len(prepared))]
    if intercept:
        for j, (fields, _) in enumerate(results):
            own = fields
            if test_spectrum is not None:  # the training means have the training covariance
                own = _solve(prepared, j, used_n, used_lam, _NO_SHIFT, threads)[0]
            _add_intercept(fields, own["bias"], own["variance"], n_array, lam_array)
    small, where = results[0][1]
    _warn_small(small, where + intercept)
    fields = results[0][0]
    if problem.targets is not None:
        every = [r[0] for r in results]
        fields = {name: np.stack([f[name] for f in every], axis=-1) for name in fields}
    return _wrap(fields, problem.spectrum.values)


def _samples(n: ArrayLike, intercept: Any) -> Array:
    array = check.swept("n", n, zero=False, hint=_N_HINT)
    if check.flag("intercept", intercept) and array.ndim == 0 and array <= 1:
        raise ValueError(f"n must be > 1 with intercept=True, which costs one sample; got {float(array)}.")
    return array


def _check_problem(problem: Any) -> None:
    if not isinstance(problem, LinearProblem):
        raise TypeError(
            f"problem must be a LinearProblem; got {type(problem).__name__}. "
            "Build one with fh.LinearProblem(H, signal, noise) or fh.LinearProblem.from_data(X, y)."
        )


def _centred(n: Array, lam: Array) -> tuple[Array, Array]:
    """Samples about their mean: n - 1 of them, in a Gram matrix divided by n."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return n - 1.0, np.where(np.isinf(n), lam, lam * n / (n - 1.0))


def _add_intercept(fields: dict[str, Any], bias: Any, variance: Any, n: Array, lam: Array) -> None:
    """Errors of the means: bias and variance over n of the prediction there, and the noise over n."""
    with np.errstate(divide="ignore"):
        part = 1.0 / n
    for name in ("in_sample_bias", "in_sample_variance", "train"):
        fields[name] = fields[name] * (1.0 - part)
    fields["in_sample_variance"] = fields["in_sample_variance"] + fields["noise"] * part
    fields["bias"] = fields["bias"] + bias * part
    fields["variance"] = fields["variance"] + (variance + fields["noise"]) * part
    fields["excess"] = fields["bias"] + fields["variance"]
    fields["test"] = fields["excess"] + fields["noise"]
    shape = np.shape(fields["test"])
    fields["n"], fields["lam"] = np.broadcast_to(n, shape), np.broadcast_to(lam, shape)
    if not shape:
        kinds: dict[str, Any] = {"status": Status, "iterations": int}
        fields.update({name: kinds.get(name, float)(value) for name, value in fields.items()})


_NO_SHIFT = (False, np.ones(1), np.zeros(1), 0.0, np.ones(1), np.zeros(1))


def _shifts(problem: LinearProblem, test_spectrum: Any, compress: bool) -> list[Any]:
    """Covariate shift as two measures a target: b t' and k t'/t."""
    count = problem.targets or 1
    if test_spectrum is None:
        return [_NO_SHIFT] * count
    from fasthde import _measure

    H = problem.spectrum
    if isinstance(test_spectrum, Spectrum):
        if not np.array_equal(test_spectrum.multiplicity, H.multiplicity):
            raise ValueError(
                "test_spectrum must have the multiplicities of the training spectrum, level by level."
            )
        test_spectrum = test_spectrum.values
    new = check.same_length(
        "test_spectrum", check.real_array("test_spectrum", test_spectrum), "levels", H.values.size
    )
    check.non_negative("test_spectrum", new, "It holds eigenvalues of a covariance.")
    alive = H.values > 0
    ratio = H.multiplicity[alive] * (new[alive] / H.values[alive])
    spread = _measure.measure(H.values[alive], ratio, compress)
    signal = problem.signal.reshape(H.values.size, -1)
    dead = H.values == 0
    return [
        (
            True,
            *_measure.measure(H.values, signal[:, j] * new, compress),
            float((signal[:, j] * new)[dead].sum()),
            *spread,
        )
        for j in range(count)
    ]


def _solve(
    prepared: list[Prepared], target: int, n: Array, lam: Array, shift: Any, threads: int | None
) -> tuple[dict[str, Any], tuple[int, Array]]:
    """Solve a grid for one target: fields by name, and how many elements are small systems, at which n."""
    grid = Grid(n, lam)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_lam = np.log(grid.lam)
    out = np.empty((len(kernels.FIELDS), *grid.size))
    status, iterations = np.empty(grid.size, np.int8), np.empty(grid.size, np.int16)
    doubt = np.zeros(grid.n.size, np.int64)
    levels, _, signal, norms = prepared[target]
    if out.size:
        work = 3.0 * status.size * (levels[0].size + signal[0].size + 4 * norms[0].size)
        _jit.map_rows(
            kernels.ridge_rows, kernels.ridge_driver, grid.n.size, work, threads,
            (grid.n, grid.lam, log_lam, grid.order), *prepared[target], shift, (out, status, iterations, doubt),
        )  # fmt: skip
    fields: dict[str, Any] = {name: grid.back(row) for name, row in zip(kernels.FIELDS, out, strict=True)}
    fields |= {"status": grid.back(status), "iterations": grid.back(iterations)}
    if grid.shape:
        fields |= {"n": np.broadcast_to(n, grid.shape), "lam": np.broadcast_to(lam, grid.shape)}
        fields["noise"] = np.broadcast_to(np.float64(signal[2]), grid.shape)
        if (status == Status.INVALID).any():
            fields["noise"] = np.where(np.isnan(fields["test"]), np.nan, fields["noise"])
    else:
        fields |= {"n": n.item(), "lam": lam.item(), "noise": signal[2], "status": Status(fields["status"])}
    return fields, (int(doubt.sum()), grid.n[doubt > 0])


def _wrap(fields: dict[str, Any], levels: Array) -> RidgeResult:
    return RidgeResult(**{name: freeze(value) for name, value in fields.items()}, levels=levels)


def _warn_small(count: int, n: Array) -> None:
    if count:
        shown = ", ".join(f"{v:g}" for v in np.unique(n)[:5])
        warn_user(
            f"{count} element(s) speak of a small system (n or df1**2/df2 below 20), among them n = {shown}: "
            "the theory's error there is of order one over that number."
        )


def optimal_ridge(
    problem: LinearProblem, n: ArrayLike, *, intercept: bool = False, threads: int | None = None
) -> RidgeResult:
    """Find the ridge of least test error for each n.

    Parameters
    ----------
    problem : LinearProblem
        The population, plain or elliptical, with a single target.
    n : array_like
        Training samples, > 0.
    intercept : bool, optional
        As in `ridge`.
    threads : int, optional
        None chooses; an int forces.

    Returns
    -------
    RidgeResult
        As from `ridge` at the optimum, which is ``lam``. ``status`` is BOUNDARY where the optimum lies at
        ``lam = 0`` (no positive ridge helps; a negative one might) or at ``lam = inf`` (nothing to learn).

    Raises
    ------
    ValueError
        For a scalar n <= 0, or a problem with several targets.

    Notes
    -----
    The global minimum of a grid over all scales of the problem (32 decades at least) is refined to a root of the
    analytic derivative of the test error, so ``lam`` itself is accurate to a relative 1e-12 times
    ``1 + kappa/lam`` (a ridge far below kappa hardly moves anything), not only to the square root of the
    rounding error. When the signal is spread in proportion to the multiplicities,
    ``lam = (p/n) noise/|beta|**2`` for any spectrum.

    Examples
    --------
    >>> import fasthde as fh
    >>> problem = fh.LinearProblem(fh.Spectrum.isotropic(1000), signal=1.0, noise=0.1)
    >>> best = fh.optimal_ridge(problem, n=2000)
    >>> round(best.lam, 12), round(best.excess, 7)
    (0.05, 0.0844289)
    """
    _check_problem(problem)
    if problem.targets is not None:
        raise ValueError(
            f"problem must have one target and no axis for targets; its signal has shape {problem.signal.shape}. "
            "Build one LinearProblem for each."
        )
    n_array = _samples(n, intercept)
    used_n = n_array - 1.0 if intercept else n_array
    threads = check.threads(threads)
    prepared = problem._prepare()
    levels, _, signal, norms = prepared[0]
    rows = np.ascontiguousarray(used_n.reshape(-1))
    best, boundary = np.empty(rows.size), np.zeros(rows.size, np.bool_)
    if rows.size:
        work = 600.0 * rows.size * (levels[0].size + signal[0].size + 4 * norms[0].size)
        _jit.map_rows(
            optimum.optimum_rows, optimum.optimum_driver, rows.size, work, threads,
            rows, *prepared[0], best, boundary,
        )  # fmt: skip
    lam = best.reshape(n_array.shape)
    fields, (small, where) = _solve(prepared, 0, used_n, lam, _NO_SHIFT, threads)
    if intercept:
        with np.errstate(divide="ignore", invalid="ignore"):
            lam = np.where(np.isinf(n_array), lam, lam * (n_array - 1.0) / n_array)
        _add_intercept(fields, fields["bias"], fields["variance"], n_array, lam)
    at_boundary = boundary.reshape(n_array.shape) & (np.asarray(fields["status"]) == Status.CONVERGED)
    marked = np.where(at_boundary, np.int8(Status.BOUNDARY), fields["status"])
    fields["status"] = marked if marked.ndim else Status(int(marked))
    _warn_small(small, where + intercept)
    return _wrap(fields, problem.spectrum.values)


def convert_ridge(
    value: ArrayLike, n: ArrayLike, src: str = "sklearn", dst: str = "fasthde", *, p: ArrayLike | None = None
) -> Any:
    """Convert a ridge between the scalings in use.

    Parameters
    ----------
    value : array_like
        Ridge in the scaling `src`, >= 0.
    n : array_like
        Number of training samples.
    src, dst : str
        One of

        * ``"fasthde"``: ``X'X/n + lam I``, the loss ``|y - X b|^2/n + lam |b|^2``;
        * ``"sklearn"``: ``X'X + alpha I``, the loss ``|y - X b|^2 + alpha |b|^2`` (also kernel ridge's K + alpha I);
        * ``"half"``: the loss ``|y - X b|^2/(2 n) + lam |b|^2``, ``X'X/n + 2 lam I``
          (weight decay beside a halved mean square);
        * ``"dimension"``: ``X'X/p + lam I``, common where the data are normalised by the dimension (needs `p`).
    p : array_like, optional
        Dimension, for ``"dimension"``.

    Returns
    -------
    float or ndarray
        The same estimator's ridge in the scaling `dst`.

    Raises
    ------
    ValueError
        For an unknown scaling, or ``"dimension"`` without p.

    Examples
    --------
    >>> import fasthde as fh
    >>> fh.convert_ridge(50.0, n=1000)  # scikit-learn's alpha to lam
    0.05
    >>> fh.convert_ridge(0.05, n=1000, src="fasthde", dst="sklearn")  # and back
    50.0
    """
    if src == dst:
        raise ValueError(
            f"src and dst must differ; both are {src!r}. Name the scaling at hand and the one wanted."
        )
    lam = check.swept("value", value, zero=True, hint="A ridge is not negative.")
    size = check.swept("n", n, zero=False, hint=_N_HINT)
    # a bad element becomes NaN, its neighbours are converted
    lam, size = np.where(lam >= 0, lam, np.nan), np.where(size > 0, size, np.nan)
    one = np.ones_like(size)
    factors: dict[str, Any] = {"fasthde": one, "sklearn": 1.0 / size, "half": 2.0 * one}
    if p is not None:
        features = check.swept("p", p, zero=False, hint="Pass the number of features.")
        factors["dimension"] = np.where(features > 0, features, np.nan) / size
    for name, scaling in (("src", src), ("dst", dst)):
        if scaling not in factors:
            known = ", ".join(repr(s) for s in [*factors, *([] if p is not None else ["dimension"])])
            need = " (needs p=)" if scaling == "dimension" else ""
            raise ValueError(f"{name} must be one of {known}; got {scaling!r}{need}.")
    converted = lam * factors[src] / factors[dst]
    return float(converted) if np.ndim(converted) == 0 else converted


def _warmup() -> None:
    """Run each kernel once with the types that calls use."""
    problem = LinearProblem(Spectrum.power_law(5000, 1.0), 1.0, 0.1)  # so many are thinned first
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValidityWarning)
        for threads in (1, 2):
            ridge(problem, [30.0, 60.0], [[1.0], [0.0]], threads=threads)
            optimal_ridge(problem, [30.0, 60.0], threads=threads)
        x = np.random.default_rng(0).standard_normal((40, 2))
        LinearProblem.from_data(x, x[:, 0])
