"""What several test files use: comparison with the oracle, random problems, quiet calls."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

import fasthde as fh
from tests import oracles

EPS = float(np.finfo(float).eps)

#: Fields of a RidgeResult that the oracle knows.
RISKS = (
    "test", "train", "excess", "bias", "variance", "noise", "in_sample_bias", "in_sample_variance",
    "kappa", "df1", "df2",
)  # fmt: skip

#: All numeric fields of broadcast shape but the solver's diary.
FIELDS = (*RISKS, "n", "lam", "status")


@contextlib.contextmanager
def small_systems() -> Iterator[None]:
    """Allow ValidityWarning, and nothing else, inside the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fh.ValidityWarning)
        yield


def ridge(*args: Any, **kwargs: Any) -> fh.RidgeResult:
    """fh.ridge, silent about small systems."""
    with small_systems():
        return fh.ridge(*args, **kwargs)


def optimal_ridge(*args: Any, **kwargs: Any) -> fh.RidgeResult:
    """fh.optimal_ridge, silent about small systems."""
    with small_systems():
        return fh.optimal_ridge(*args, **kwargs)


def oracle(
    problem: fh.LinearProblem, n: float, lam: float, test_values: Any = None, digits: int = 25
) -> dict:
    """The oracle at the problem's own (rescaled) numbers; levels of multiplicity 0 left out."""
    used = problem.spectrum.multiplicity > 0
    norms = {} if problem.norms is None else {"tau": problem.norms, "weights": problem.norm_weights}
    if test_values is not None:
        norms["test_values"] = np.asarray(test_values, float)[used]
    return oracles.ridge(
        problem.spectrum.values[used], problem.spectrum.multiplicity[used], problem.signal[used],
        problem.noise, n, lam, digits=digits, **norms,
    )  # fmt: skip


def close(got: Any, want: Any, rtol: float) -> bool:
    """Relative error at most rtol; infinities equal; below 1e-290 both count as zero."""
    if want == oracles.mp.inf:
        return float(got) == np.inf
    if not np.isfinite(float(got)):
        return False
    return bool(abs(oracles.mpf(float(got)) - want) <= rtol * abs(want) + oracles.mpf("1e-290"))


def assert_matches(result: fh.RidgeResult, want: dict, rtol: float = 1e-13) -> None:
    """Every field of a scalar result against the oracle, and a status that says the same."""
    wrong = {
        f: (getattr(result, f), float(want[f])) for f in RISKS if not close(getattr(result, f), want[f], rtol)
    }
    assert not wrong, f"got / want: {wrong}"
    expected = fh.Status.DIVERGES if want["test"] == oracles.mp.inf else fh.Status.CONVERGED
    assert result.status is expected
    assert result.success
    assert result.residual <= 1e-14


def assert_same(a: fh.RidgeResult, b: fh.RidgeResult, rtol: float, fields: tuple[str, ...] = FIELDS) -> None:
    """Two results field by field (rtol = 0: bitwise)."""
    for name in fields:
        x, y = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        assert x.shape == y.shape, name
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-290 if rtol else 0.0, err_msg=name)


def take(result: fh.RidgeResult, index: Any) -> dict[str, np.ndarray]:
    """Elements of a result, as a dict of arrays."""
    return {name: np.asarray(getattr(result, name))[index] for name in FIELDS}


# --------------------------------------------------------------------------------------- random problems


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers spread evenly in the logarithm."""
    return st.floats(low, high).map(lambda x: float(10.0**x))


@st.composite
def spectra(draw: Any, min_size: int = 1, max_size: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Levels over up to 20 decades, with duplicates and zeros; multiplicities 1, integers, or real to 1e12."""
    wide = draw(st.sampled_from([10.0, 1.0]))
    values = draw(st.lists(powers(-wide, wide), min_size=min_size, max_size=max_size))
    if draw(st.booleans()):
        values.append(values[0])
    if draw(st.booleans()):
        values.insert(draw(st.integers(0, len(values))), 0.0)
    kind = draw(st.sampled_from(["ones", "integers", "real"]))
    size = len(values)
    if kind == "ones":
        counts = [1.0] * size
    elif kind == "integers":
        counts = [float(k) for k in draw(st.lists(st.integers(1, 1000), min_size=size, max_size=size))]
    else:
        counts = draw(st.lists(powers(-2, 12), min_size=size, max_size=size))
    return np.array(values), np.array(counts)


@st.composite
def norm_laws(draw: Any, dead: bool | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Norms and weights. Where some norms are 0 they carry half of the weight, so that n P(tau > 0) is exact."""
    if draw(st.booleans()) if dead is None else dead:
        alive = draw(st.sampled_from([1, 2, 4]))
        tau = draw(st.lists(powers(-2, 2), min_size=alive, max_size=alive))
        return np.array([*tau, 0.0]), np.array([1.0] * alive + [float(alive)])
    size = draw(st.integers(1, 6))
    tau = draw(st.lists(powers(-2, 2), min_size=size, max_size=size))
    return np.array(tau), np.array(draw(st.lists(st.integers(1, 9), min_size=size, max_size=size)), float)


@st.composite
def sample_sizes(draw: Any, values: np.ndarray, counts: np.ndarray) -> float:
    """At the rank, near it, at and near plateaus of the spectrum, and anywhere."""
    rank = float(counts[values > 0].sum())
    plateau = float(draw(st.sampled_from(list(np.cumsum(counts[np.argsort(-values)])))))
    return draw(
        st.sampled_from(
            [rank, rank * (1 + 1e-4), rank * (1 - 1e-4), plateau, plateau * (1 + 1e-6), plateau * (1 - 1e-9)]
        )
        | powers(-3, 3).map(lambda x: rank * x)
    )


#: Ridges: none, from kappa = lam to kappa/lam far beyond 1e12, and infinite.
ridges = st.just(0.0) | st.just(float(np.inf)) | powers(-3, 3) | powers(-12, 12) | powers(-80, 80)


@st.composite
def cases(
    draw: Any, *, elliptical: bool, shift: bool = False, min_size: int = 1, max_size: int = 7
) -> tuple[fh.LinearProblem, float, float, np.ndarray | None]:
    """(problem, n, lam, test eigenvalues or None)."""
    values, counts = draw(spectra(min_size, max_size))
    size = len(values)
    signal = draw(st.lists(st.sampled_from([0.0, 1.0, 1e-6, 3.0]), min_size=size, max_size=size))
    norms: dict[str, Any] = {}
    noises = st.sampled_from([0.0, 0.1, 1e-8, 5.0])
    noise: Any = draw(noises)
    if elliptical:
        tau, weights = draw(norm_laws())
        norms = {"norms": tau, "norm_weights": weights}
        noise = draw(st.lists(noises, min_size=len(tau), max_size=len(tau)))
    problem = fh.LinearProblem(fh.Spectrum(values, counts), signal, noise, **norms)
    new = None
    if shift:
        new = np.array(draw(st.lists(powers(-3, 3) | st.just(0.0), min_size=size, max_size=size)))
        if not (new[values > 0] > 0).any():  # nothing left to predict: test_shift_without_any_level
            new[values > 0] = 1.0
    return problem, draw(sample_sizes(values, counts)), draw(ridges), new
