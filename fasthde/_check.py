"""Theory against experiment: the same estimator fitted for real, on drawn or on given samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from fasthde import _jit
from fasthde import _validate as check_
from fasthde._results import Record, freeze
from fasthde.data import Dataset
from fasthde.learning.problem import LinearProblem

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class CheckResult(Record):
    """Theory and experiment side by side on a grid of sample sizes and ridges.

    Attributes
    ----------
    n : ndarray, shape (sizes,)
        Training samples.
    lam : ndarray, shape (ridges,)
        Ridges.
    theory_test, theory_train : ndarray, shape (sizes, ridges)
        Predicted errors.
    test, train : ndarray, shape (sizes, ridges)
        Measured errors, mean over draws.
    test_se, train_se : ndarray, shape (sizes, ridges)
        Standard errors of these means.
    draws : int
        Number of draws.
    """

    n: Array
    lam: Array
    theory_test: Array
    theory_train: Array
    test: Array
    train: Array
    test_se: Array
    train_se: Array
    draws: int

    @property
    def ratio(self) -> Array:
        """Predicted over measured test error."""
        return np.asarray(self.theory_test / self.test)

    @property
    def z_score(self) -> Array:
        """Predicted minus measured test error in standard errors."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((self.theory_test - self.test) / self.test_se)

    def __repr__(self) -> str:
        worst = float(np.nanmax(np.abs(self.ratio - 1.0)))
        middle = float(np.nanmedian(np.abs(self.ratio - 1.0)))
        return (
            f"CheckResult({self.n.size} sizes x {self.lam.size} ridges, {self.draws} draws: "
            f"|theory/experiment - 1| median {middle:.2%}, worst {worst:.2%})"
        )


def check(
    problem: LinearProblem,
    n: ArrayLike,
    lam: ArrayLike,
    *,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    draws: int = 10,
    rng: Any = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Fit ridge regression for real and set the measured errors beside the predicted ones.

    Parameters
    ----------
    problem : LinearProblem
        The population that the prediction is made from, with a single target.
    n : array_like of int, shape (sizes,) or ()
        Training samples, >= 1.
    lam : array_like, shape (ridges,) or ()
        Ridges, >= 0.
    data : (X, y), optional
        Real samples, or a `data.Dataset`: each draw trains on n of them, drawn without replacement and centred
        by their own means, and tests on all others. Without it, Gaussian samples are drawn from `problem`
        (elliptical ones where it has norms), nothing is centred, and the test error is the exact conditional
        expectation.
    draws : int, optional
        Draws for each size, >= 2.
    rng : int, SeedSequence or Generator, optional
        Seed; results do not depend on the number of threads.
    threads : int, optional
        None uses all cores.
    progress : callable, optional
        Called with (draws done, draws in all).

    Returns
    -------
    CheckResult

    Raises
    ------
    ValueError
        For a size that leaves no test sample, a problem with several targets, or fewer than two draws.

    Examples
    --------
    >>> import fasthde as fh
    >>> problem = fh.LinearProblem(fh.Spectrum.isotropic(100), signal=1.0, noise=0.1)
    >>> result = fh.check(problem, n=[50, 200], lam=[0.1], draws=20, rng=0)
    >>> bool((abs(result.ratio - 1) < 0.1).all())
    True
    """
    from fasthde.learning.ridge import _check_problem, ridge

    _check_problem(problem)
    if problem.targets is not None:
        raise ValueError(
            f"problem must have one target; it has {problem.targets}. Build one LinearProblem for each."
        )
    sizes = np.atleast_1d(check_.finite("n", check_.real_array("n", n)))
    ridges = np.atleast_1d(
        check_.non_negative("lam", check_.real_array("lam", lam), "A ridge is not negative.")
    )
    if sizes.ndim != 1 or ridges.ndim != 1:
        raise ValueError(f"n and lam must be one-dimensional; got shapes {sizes.shape} and {ridges.shape}.")
    if (sizes != np.round(sizes)).any() or (sizes < 1).any():
        raise ValueError(
            f"n must hold whole numbers >= 1, since samples are drawn; got {sizes.tolist()[:6]}."
        )
    check_.not_empty("n", sizes)
    check_.not_empty("lam", ridges)
    draws = check_.integer("draws", draws, 2)
    threads = check_.threads(threads) or _jit.available_threads()
    experiment = _synthetic(problem) if data is None else _real(problem, data, int(sizes.max()))
    theory = ridge(problem, sizes[:, None], ridges[None, :], intercept=data is not None)
    seeds = np.random.SeedSequence(np.random.default_rng(rng).integers(2**63, size=4).tolist()).spawn(
        sizes.size * draws
    )
    jobs = [(int(size), seeds[i * draws + j]) for i, size in enumerate(sizes) for j in range(draws)]
    done = 0
    out = np.empty((len(jobs), 2, ridges.size))
    # small factorisations: one BLAS thread in each of our own threads is up to six times faster than the reverse
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(threads) as pool,
    ):
        for i, result in enumerate(
            pool.map(lambda job: experiment(job[0], ridges, np.random.default_rng(job[1])), jobs)
        ):
            out[i] = result
            done += 1
            if progress is not None:
                progress(done, len(jobs))
    table = out.reshape(sizes.size, draws, 2, ridges.size)
    mean, error = table.mean(axis=1), table.std(axis=1, ddof=1) / np.sqrt(draws)
    fields = {
        "n": sizes, "lam": ridges, "theory_test": theory.test, "theory_train": theory.train,
        "test": mean[:, 0], "train": mean[:, 1], "test_se": error[:, 0], "train_se": error[:, 1],
    }  # fmt: skip
    return CheckResult(draws=draws, **{name: freeze(np.ascontiguousarray(f)) for name, f in fields.items()})


def ridge_path(x: Array, y: Array, lam: Array) -> Array:
    """Ridge coefficients for many ridges from one factorisation; lam = 0 gives the minimum-norm solution.

    Parameters
    ----------
    x : ndarray, shape (n, p)
    y : ndarray, shape (n,)
    lam : ndarray, shape (ridges,)

    Returns
    -------
    ndarray, shape (p, ridges)
    """
    n, p = x.shape
    small = x.T @ x / n if n >= p else x @ x.T / n
    top = float(np.trace(small))
    if lam.min() > 1e-9 * top:  # rounding of the Gram matrix stays far below the ridge
        values, vectors = np.linalg.eigh(small)
        values = np.maximum(values, 0.0)
        if n >= p:
            return np.asarray(vectors @ ((vectors.T @ (x.T @ y / n))[:, None] / (values[:, None] + lam)))
        return np.asarray(x.T @ (vectors @ ((vectors.T @ y / n)[:, None] / (values[:, None] + lam))))
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    keep = s > max(n, p) * np.finfo(float).eps * s[0]
    u, s, vt = u[:, keep], s[keep], vt[keep]
    return np.asarray(vt.T @ ((s / n * (u.T @ y))[:, None] / (s[:, None] ** 2 / n + lam)))


def _real(problem: LinearProblem, data: Any, largest: int) -> Callable[..., Array]:
    """Subsampling experiment on given data."""
    if isinstance(data, Dataset):
        data = data.X, data.y
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"data must be a pair (X, y) or a Dataset; got {type(data).__name__}.")
    x = check_.finite("X", check_.real_array("X", data[0], ndim=2))
    target = check_.finite("y", check_.real_array("y", data[1]))
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    check_.same_length("y", target, "samples", x.shape[0])
    if x.shape[1] != problem.spectrum.dimension:
        raise ValueError(
            f"X must have the problem's dimension {problem.spectrum.dimension:g}; it has {x.shape[1]} features. "
            "Estimate the problem from the same data."
        )
    if largest >= x.shape[0]:
        raise ValueError(
            f"n must leave samples to test on: at most {x.shape[0] - 1} of {x.shape[0]}; got {largest}."
        )

    def experiment(n: int, lam: Array, rng: np.random.Generator) -> Array:
        chosen = rng.permutation(x.shape[0])[:n]
        inputs, outputs = x[chosen], target[chosen]
        x_mean, y_mean = inputs.mean(axis=0), outputs.mean()
        coefficients = ridge_path(inputs - x_mean, outputs - y_mean, lam)
        squares = (target[:, None] - (x @ coefficients + (y_mean - x_mean @ coefficients))) ** 2
        inside = squares[chosen].sum(axis=0)
        squares[chosen] = 0.0
        return np.array([squares.sum(axis=0) / (x.shape[0] - n), inside / n])

    return experiment


def _synthetic(problem: LinearProblem) -> Callable[..., Array]:
    """Draw from the population itself, in the eigenbasis of its covariance."""
    k = problem.spectrum.multiplicity
    if (k != np.round(k)).any() or k.sum() > 20_000:
        raise ValueError(
            "problem must have whole multiplicities and dimension <= 20000 to be sampled; "
            f"got dimension {problem.spectrum.dimension:g}. Check a smaller system of the same ratios."
        )
    repeat = k.astype(np.int64)
    t = np.repeat(problem.spectrum.values, repeat)
    beta = np.sqrt(np.repeat(problem.signal / np.maximum(k, 1.0), repeat))
    mean_noise = problem._mean_noise()

    def experiment(n: int, lam: Array, rng: np.random.Generator) -> Array:
        x = rng.standard_normal((n, t.size)) * np.sqrt(t)
        deviation = np.sqrt(problem.noise)
        if problem.norms is not None:
            which = rng.choice(problem.norms.size, size=n, p=problem.norm_weights)
            x *= np.sqrt(problem.norms[which])[:, None]
            deviation = deviation[which]
        y = x @ beta + deviation * rng.standard_normal(n)
        coefficients = ridge_path(x, y, lam)
        test = t @ (coefficients - beta[:, None]) ** 2 + mean_noise
        return np.array([test, ((y[:, None] - x @ coefficients) ** 2).mean(axis=0)])

    return experiment
