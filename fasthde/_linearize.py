r"""High-dimensional linearisation of a nonlinear function of an inner product.

An inner product of two large vectors is nearly constant, or nearly Gaussian, depending on how it is scaled. In the
first case a smooth function is its Taylor polynomial there; in the second it is its projection on Hermite polynomials
plus noise that no polynomial of the argument explains.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._mesh import legendre
from fasthde._results import Record, Status, freeze
from fasthde._series import chebyshev
from fasthde.activations import Activation, activation

Array = NDArray[np.float64]
Function = Callable[[Array], Any]

_EPS = float(np.finfo(float).eps)


# ---------------------------------------------------------------------------------------------------- results


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Linearization(Record):
    """Polynomial equivalent of a nonlinear function of an inner product, see `linearize`; callable.

    Attributes
    ----------
    regime : str
        ``"LLN"`` or ``"CLT"``.
    order : int
        Degree of the polynomial.
    at, scale : float
        Mean of the argument, and the standard deviation of its fluctuations (times sqrt(n) for LLN).
    coefficients : ndarray, shape (order + 1,)
        LLN: Taylor coefficients ``phi^(k)(at)/k!``. CLT: Hermite coefficients
        ``a_k = E[phi(at + scale xi) h_k(xi)]``, h_k normalised.
    errors : ndarray, shape (order + 1,)
        Estimated absolute errors of the coefficients.
    noise : float
        Standard deviation of the independent noise: CLT ``sqrt(E phi**2 - sum a_k**2)``, LLN 0.
    status : int
        `Status` code: NOT_CONVERGED where the estimated error of a Taylor coefficient is above 1e-6 of
        what phi varies by on the interval around ``at`` that it was taken from.
    """

    regime: str
    order: int
    at: Any
    scale: Any
    coefficients: Array
    errors: Array
    noise: Any
    status: Any
    _phi: Any = None

    @property
    def success(self) -> bool:
        """Whether all coefficients are accurate."""
        return bool(self.status == Status.CONVERGED)

    @property
    def rate(self) -> float:
        """Exponent r of the error ``O(n**-r)`` of one entry: ``(order + 1)/2`` for LLN, 0 for CLT."""
        return 0.5 * (self.order + 1) if self.regime == "LLN" else 0.0

    @property
    def affine(self) -> tuple[float, float]:
        """Intercept and slope of the polynomial's linear part: ``intercept + slope*t``."""
        c = np.append(self.coefficients, 0.0)
        slope = float(c[1] if self.regime == "LLN" else c[1] / self.scale)
        return float(c[0] - slope * self.at), slope

    def __call__(self, t: ArrayLike) -> Any:
        """The polynomial at t.

        Parameters
        ----------
        t : array_like
            Values of the argument of phi: ``x'y`` for LLN, ``sqrt(n) x'y`` for CLT.

        Returns
        -------
        float or ndarray
            In the shape of t.
        """
        x = check.real_array("t", t) - self.at
        if self.regime == "LLN":
            out = np.polynomial.polynomial.polyval(x, self.coefficients)
        else:
            root = np.sqrt(np.cumprod(np.maximum(np.arange(self.order + 1.0), 1.0)))
            out = np.polynomial.hermite_e.hermeval(x / self.scale, self.coefficients / root)
        return float(out) if np.ndim(out) == 0 else np.asarray(out)

    def sample(self, t: ArrayLike, rng: Any = None) -> Array:
        """Draw the equivalent of the vector ``phi(t)``: the polynomial plus independent Gaussian noise.

        Parameters
        ----------
        t : array_like
            Arguments, such as ``sqrt(n)*(X @ y)``.
        rng : int, SeedSequence, Generator or None, optional
            Source of randomness.

        Returns
        -------
        ndarray
            In the shape of t: ``a_0 + a_1 t + noise*z`` for order 1 in the CLT regime.
        """
        values = np.asarray(self(t))
        return np.asarray(values + self.noise * np.random.default_rng(rng).standard_normal(values.shape))

    def error(self, n: ArrayLike) -> Any:
        """Root mean square of ``phi - polynomial`` over Gaussian fluctuations.

        Parameters
        ----------
        n : array_like
            Dimension, > 0: the argument of phi is ``N(at, scale**2/n)`` for LLN and ``N(at, scale**2)`` for CLT.

        Returns
        -------
        float or ndarray
            In the shape of n; it falls like ``n**-rate`` or faster (where the next coefficients vanish).
        """
        size = check.swept("n", n, zero=False, hint="n is a dimension.")
        if self.regime == "CLT":
            out = np.where(size > 0, self.noise, np.nan)
        else:
            if self._phi is None:
                raise ValueError(
                    "error needs phi, a function, which a file does not hold: call linearize again."
                )
            with np.errstate(invalid="ignore", divide="ignore"):
                widths = np.where(size > 0, self.scale / np.sqrt(size), np.nan)
            out = np.reshape([self._deviation(float(w)) for w in widths.ravel()], size.shape)
        return float(out) if out.ndim == 0 else out

    def _deviation(self, width: float) -> float:
        x, w = legendre()
        kinks = self._phi.kinks if isinstance(self._phi, Activation) else np.empty(0)
        cuts = (kinks - self.at) / width
        ends = np.unique(np.concatenate([np.linspace(-10.0, 10.0, 21), cuts[np.abs(cuts) < 10.0]]))
        half = np.diff(ends)[:, None] / 2
        t = (ends[:-1, None] + half + half * x).ravel()
        weight = (half * w).ravel() * np.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
        with np.errstate(all="ignore"):
            miss = np.asarray(self._phi(self.at + width * t), np.float64) - self(self.at + width * t)
        return float(np.sqrt(weight @ miss**2))

    def __reduce__(self) -> Any:
        return _restore, ({n: getattr(self, n) for n in self._names()}, self._phi)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{c:.6g}" for c in self.coefficients)
        noise = f", noise {self.noise:.6g}" if self.regime == "CLT" else f", rate {self.rate:g}"
        return f"Linearization({self.regime}, coefficients [{numbers}]{noise}, {Status(self.status).name})"


def _restore(fields: dict[str, Any], phi: Any) -> Linearization:
    self = Linearization._from_fields(fields)
    object.__setattr__(self, "_phi", phi)
    return self


# --------------------------------------------------------------------------------------------------- functions


def linearize(
    phi: Any, regime: str = "CLT", order: int = 1, *, at: float = 0.0, scale: float = 1.0
) -> Linearization:
    r"""High-dimensional linearisation: what a nonlinear function of an inner product is equivalent to.

    Two regimes, for x with independent entries of variance 1/n and y of length ``scale``. Where the argument
    concentrates (LLN), ``phi(x'y)`` is its Taylor polynomial, with an error that vanishes. Where it fluctuates (CLT),
    ``phi(sqrt(n) x'y)`` is its projection on Hermite polynomials plus noise, with an error that does not.

    Parameters
    ----------
    phi : str, Activation or callable
        Function, vectorised. For LLN only its values around ``at`` matter.
    regime : {"CLT", "LLN"}, optional
        Scaling of the argument.
    order : int, optional
        Degree of the polynomial, >= 0.
    at : float, optional
        Mean of the argument, the point of concentration.
    scale : float, optional
        Standard deviation of the argument (CLT), or sqrt(n) times it (LLN), > 0.

    Returns
    -------
    Linearization
        Callable; ``coefficients``, ``errors``, ``noise``, ``rate``, ``affine``, and methods `error` and `sample`.

    Raises
    ------
    ValueError
        For an unknown regime or name, a phi that is not vectorised or not finite around ``at``; LLN: a phi with a
        kink, a jump or another singularity at ``at``; CLT: a phi that is not square-integrable.

    Notes
    -----
    .. math::

        \text{LLN:}\quad & \varphi(x^\top y) = \sum_{k \le K} \frac{\varphi^{(k)}(\mu)}{k!} (x^\top y - \mu)^k
            + O(n^{-(K+1)/2}), \\
        \text{CLT:}\quad & \varphi(\sqrt n X y) \leftrightarrow a_0 + a_1 \sqrt n X y
            + \sqrt{\nu - a_0^2 - a_1^2}\; z, \qquad \nu = E\varphi^2

    (arXiv 2506.13139). Derivatives come from Chebyshev series on intervals around ``at``, each of the radius with the
    smallest estimated error.

    Examples
    --------
    The same function in both regimes:

    >>> from fasthde import linearize
    >>> linearize("tanh", "LLN", order=3).coefficients.round(8)
    array([ 0.        ,  1.        ,  0.        , -0.33333333])
    >>> clt = linearize("tanh", "CLT")
    >>> round(clt.affine[1], 8), round(clt.noise, 8)
    (0.60570551, 0.16557574)
    """
    if regime not in ("LLN", "CLT"):
        raise ValueError(f'regime must be "LLN" or "CLT"; got {regime!r}.')
    K = check.integer("order", order, 0)
    mean = float(check.finite("at", check.real_array("at", at, ndim=0), "It is a point."))
    size = check.scalar("scale", scale, positive=True)
    if regime == "LLN":
        if K > _NODES - 8:
            raise ValueError(
                f"order must be at most {_NODES - 8} in the LLN regime, whose derivatives come from {_NODES} values; "
                f"got {K}."
            )
        f = phi if callable(phi) else activation(phi)
        kinks = f.kinks if isinstance(f, Activation) else None
        c, errors, good = taylor("phi", f, mean, K, kinks)
        noise = 0.0
    else:
        f = activation(phi)
        g = f if mean == 0.0 else activation(lambda t: f(mean + t), kinks=list(f.kinks - mean), name=f.name)
        c, rest = _project(g, size, K)
        errors = np.full(K + 1, 4.0 * _EPS * math.sqrt(float(np.sum(c**2)) + rest))
        noise, good = math.sqrt(rest), True
    return Linearization(
        regime=regime,
        order=K,
        at=mean,
        scale=size,
        coefficients=freeze(c),
        errors=freeze(errors),
        noise=noise,
        status=Status.CONVERGED if good else Status.NOT_CONVERGED,
        _phi=f,
    )


def _project(act: Activation, scale: float, order: int) -> tuple[Array, float]:
    """Hermite coefficients up to the order, and the rest of the second moment."""
    a = act.hermite(max(order, 1), scale)
    rest = (
        float(act.moments(scale).nonlinear)
        if order >= 1
        else float(act.centered(scale).moments(scale).second)
    )
    return np.array(a[: order + 1]), max(rest - float(np.sum(a[2 : order + 1] ** 2)), 0.0)


# -------------------------------------------------------------------------------------------- Taylor series


class _Fit(NamedTuple):
    """Chebyshev series on one interval around the point."""

    taylor: Array
    errors: Array
    smooth: bool  # resolved to rounding
    telling: bool  # values vary by much more than rounding
    relative: Array  # errors over how much the function varies on the interval


_NODES = 32


def taylor(
    name: str, f: Function, at: float, order: int, kinks: Array | None = None
) -> tuple[Array, Array, bool]:
    """Taylor coefficients ``f^(k)(at)/k!`` for k = 0..order, estimated absolute errors, and whether these are small.

    The radius of the interval trades truncation for rounding; each coefficient takes the best of its own.
    """
    unit = max(1.0, abs(at))
    if kinks is not None and kinks.size and np.abs(kinks - at).min() <= 1e-12 * unit:
        raise ValueError(
            f"{name} must be smooth at {at:g}, where its argument concentrates; it has a kink or a jump there. "
            "Use the CLT regime, whose Hermite coefficients need no derivatives, if the argument fluctuates."
        )
    with np.errstate(all="ignore"):
        check.vectorised(name, f, at + 1e-3 * unit * np.array([-1.0, 0.0, 1.0]))
        fits = [fit for j in range(26) if (fit := _fit(f, at, 4.0 * unit * 2.0**-j, order)) is not None]
        value = float(np.asarray(f(np.array([at])), np.float64)[0])
    if not fits or not np.isfinite(value):
        raise ValueError(f"{name} must be finite around {at:g}; its values there are not.")
    if not any(fit.smooth and fit.telling for fit in fits) and any(fit.telling for fit in fits):
        raise ValueError(
            f"{name} must be smooth at {at:g}, where its argument concentrates; no interval around it is resolved by "
            f"a polynomial of degree {_NODES - 1}. It has a kink, a jump or another singularity there."
        )
    if any(fit.smooth for fit in fits):  # wide intervals over a singularity tell nothing of the point
        fits = [fit for fit in fits if fit.smooth]
    errors = np.array([fit.errors for fit in fits])
    best = np.argmin(errors, axis=0)
    c, relative = (
        np.array([getattr(fit, n) for fit in fits])[best, np.arange(order + 1)]
        for n in ("taylor", "relative")
    )
    spread = errors[best, np.arange(order + 1)]
    c[0], spread[0] = value, _EPS * (abs(value) + (abs(at * c[1]) if order else 0.0))
    return c, spread, bool((relative[1:] <= 1e-6).all())


def _fit(f: Function, at: float, h: float, order: int) -> _Fit | None:
    x, matrix = chebyshev(_NODES)
    x = 0.5 * (x - x[::-1])
    values = np.asarray(f(at + h * np.append(x, 0.0)), np.float64)
    if not np.isfinite(values).all():
        return None
    centred = values[:-1] - values[-1]  # the constant term is taken from f itself
    a = np.empty(_NODES)  # even and odd part each from its own: an odd function has no even coefficient
    a[::2] = matrix[::2] @ (0.5 * (centred + centred[::-1]))
    a[1::2] = matrix[1::2] @ (0.5 * (centred - centred[::-1]))
    moving = float(np.abs(a[1:]).max())
    noise = _EPS * (float(np.abs(values).max()) + abs(at) / h * moving)
    tail = float(np.abs(a[-4:]).max())
    kept = int(np.flatnonzero(np.abs(a) > 2.0 * noise)[-1]) + 1 if (np.abs(a) > 2.0 * noise).any() else 1
    table = _monomials(max(_NODES, order + 1))[: order + 1]
    power = h ** -np.arange(order + 1.0)
    # what is kept carries the noise of a coefficient each; what is cut is of its size and falls geometrically
    # (a coefficient beyond those kept, of the noise of the first columns that reach it)
    reached = np.minimum(np.maximum(kept, np.arange(order + 1) + 1) + 4, _NODES)
    used = np.cumsum(np.abs(table), axis=1)[np.arange(order + 1), reached - 1]
    errors = (
        2.0 * noise * used + (tail > 4.0 * noise) * tail * np.abs(table[:, :_NODES]).sum(axis=1)
    ) * power
    return _Fit(
        (table[:, :kept] @ a[:kept]) * power,
        errors,
        smooth=tail <= max(1e-9 * moving, 8.0 * noise),
        telling=noise < 1e-6 * moving,
        relative=errors / power / (moving or 1.0),
    )


def _monomials(size: int) -> Array:
    """Coefficients of the Chebyshev polynomials, one a column."""
    table = np.zeros((size, size))
    table[0, 0] = 1.0
    if size > 1:
        table[1, 1] = 1.0
    for j in range(2, size):
        table[1:, j] = 2.0 * table[:-1, j - 1]
        table[:, j] -= table[:, j - 2]
    return table
