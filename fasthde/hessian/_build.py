"""From a model to its law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fasthde import _validate as check
from fasthde.hessian._cells import Array, Cut
from fasthde.hessian._custom import custom_weights
from fasthde.hessian._law import HessianLaw
from fasthde.hessian._models import MODELS, plane_of
from fasthde.hessian._results import coordinates, pad
from fasthde.hessian._weights import WeightLaw
from fasthde.spectrum import Spectrum, as_spectrum


def hessian_law(
    spectrum: Spectrum,
    ratio: float,
    model: str | WeightLaw | Callable[[Array, Array], Any],
    w: ArrayLike | None = None,
    w_star: ArrayLike | None = None,
    *,
    cosine: float | None = None,
    response: Callable[[Array], Any] | None = None,
    truncation: ArrayLike | None = None,
    clipping: ArrayLike | None = None,
) -> HessianLaw:
    """Law of the Hessian of a generalised linear model at a point w, for Gaussian features.

    The Hessian of ``(1/n) sum l(y_i, w'x_i)`` is ``H = (1/n) sum g_i x_i x_i'`` with weights
    ``g_i = l''(y_i, w'x_i)``, features x ~ N(0, C) and responses y that depend on ``w*'x``.

    Parameters
    ----------
    spectrum : Spectrum
        Eigenvalues of C.
    ratio : float
        p/n, dimension over samples, > 0.
    model : str, WeightLaw or callable
        ``"logistic"``: y = +-1, loss log(1 + exp(-y u)), g = 1/(4 cosh(u/2)**2);
        ``"probit"``: P(y = 1) = Phi(w*'x), loss -log Phi(y u);
        ``"poisson"``: loss exp(u) - y u, g = exp(u), unbounded;
        ``"phase_retrieval"``: y = (w*'x)**2, loss (u**2 - y)**2/4, g = 3 u**2 - y, of both signs and unbounded;
        ``"least_squares"``: g = 1.
        A `WeightLaw`: weights independent of the features. A callable ``second_derivative(y, u)``, vectorised: the
        user's own model, with y from ``response``.
    w, w_star : array_like, optional
        The point, and the vector behind the responses; None is 0. A number is a norm, spread over the eigenbasis
        like a random direction. An array of shape (levels,) has coordinates along one direction of each eigenspace,
        the same for both vectors; (levels, d) along d orthogonal ones.
    cosine : float, optional
        Of the angle between w and w*, when both are given as numbers; needed then.
    response : callable, optional
        For a callable model: ``response(v)`` at v = w*'x returns y, or a pair (values, probabilities) of arrays with a
        first axis of outcomes (a quadrature of the law of y given v). Without it y = v.
    truncation : float or (low, high), optional
        Weights beyond it are set to 0 (trimming): ``|g| > truncation``, or g outside [low, high].
    clipping : float or (low, high), optional
        Weights beyond it are set to it.

    Returns
    -------
    HessianLaw

    Raises
    ------
    ValueError
        For arguments outside their domain.
    TypeError
        For arguments of the wrong kind.

    Notes
    -----
    ``delta = (1/n) tr C Q``, ``e = E[g/(1 + g delta)]``, ``Q = (e C - z)^-1`` (arXiv 2103.01519, Theorem 1). Spectral
    initialisation (Mondelli & Montanari 2019; Lu & Li 2020) is the case ``second_derivative = lambda y, u: f(y)``.

    Weights that depend on one direction (all named models; most models with discrete responses) have their law found to
    rounding, and densities keep their relative precision in tails down to probability 1e-27. Where a callable depends
    on y and u in a truly two-dimensional way, its law comes from a quadrature with the error ``law.weights.error``
    (1e-7 to 1e-10 with clipping or truncation), and gaps of the law of g itself are not looked for. Weights below
    1e-140 are 0.

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.hessian import hessian_law
    >>> law = hessian_law(fh.Spectrum([1.0]), 0.1, "logistic", w=2.0)
    >>> law.support.round(6), [round(s.location, 6) for s in law.spikes]
    (array([[0.064207, 0.280473]]), [0.052093])

    Spectral initialisation of phase retrieval at n/p = 5 with f(y) = (y - 1)/(y + sqrt(5) - 1):

    >>> law = hessian_law(fh.Spectrum([1.0]), 0.2, lambda y, u: (y - 1)/(y + 5**0.5 - 1), w_star=1.0,
    ...                   response=lambda v: v**2)
    >>> top = law.spikes[-1]
    >>> round(top.location, 5), round(top.alignment_star, 4)
    (0.39929, 0.7999)
    """
    spectrum = as_spectrum("spectrum", spectrum)
    c = check.scalar("ratio", ratio, positive=True, hint="The ratio is p/n, dimension over samples.")
    first, second = _vectors(spectrum, w, w_star, cosine)
    cut = _limits(truncation, clipping)
    plane = plane_of(spectrum.values, first, second)
    if isinstance(model, WeightLaw):
        if response is not None or cut.levels.size:
            raise TypeError(
                "response, truncation and clipping belong to a named or a callable model; a WeightLaw is taken as is."
            )
        return HessianLaw(spectrum, c, model, first, second, "given weights")
    if isinstance(model, str):
        if model not in MODELS:
            raise ValueError(
                f"model must be one of {', '.join(sorted(MODELS))}, or a callable; got {model!r}."
            )
        if response is not None:
            raise TypeError(f"response belongs to a callable model; {model!r} has its own.")
        if model == "phase_retrieval" and plane.rank == 0:
            raise ValueError(
                "w or w_star must not be 0 for phase_retrieval: every weight would be 0. Give w_star."
            )
        return HessianLaw(spectrum, c, MODELS[model](plane, cut), first, second, model)
    if not callable(model):
        raise TypeError(
            f"model must be a name, a WeightLaw or second_derivative(y, u); got {type(model).__name__}. "
            f"Names are {', '.join(sorted(MODELS))}."
        )
    if response is not None and not callable(response):
        raise TypeError(f"response must be a function of v = w*'x; got {type(response).__name__}.")
    name = getattr(model, "__name__", type(model).__name__)
    return HessianLaw(spectrum, c, custom_weights(model, response, plane, cut), first, second, name)


def _vectors(spectrum: Spectrum, w: Any, w_star: Any, cosine: float | None) -> tuple[Array, Array]:
    """Both vectors as coordinates of shape (levels, d), the same d."""
    levels = spectrum.values.size
    share = np.sqrt(spectrum.multiplicity / spectrum.multiplicity.sum())
    parts: list[Array] = []
    norms = []
    for name, value in (("w", w), ("w_star", w_star)):
        raw = check.real_array(name, 0.0 if value is None else value)
        if raw.ndim == 0:
            norm = check.scalar(name, raw, hint="A number is a norm; use an array for coordinates.")
            norms.append(norm)
            parts.append(norm * share[:, None])
        else:
            parts.append(coordinates(name, raw, levels))
    if len(norms) == 2 and all(norms):
        if cosine is None:
            raise ValueError(
                f"cosine must be given when w and w_star are both norms ({norms[0]:g} and {norms[1]:g}): 0 for "
                "independent directions, 1 for the same. Or pass coordinates."
            )
        x = float(check.finite("cosine", check.real_array("cosine", cosine, ndim=0)))
        if not -1.0 <= x <= 1.0:
            raise ValueError(f"cosine must lie in [-1, 1]; got {x}. It is w'w*/(|w| |w*|).")
        parts[1] = norms[1] * share[:, None] * np.array([x, np.sqrt((1.0 - x) * (1.0 + x))])
    elif cosine is not None:
        raise ValueError(
            "cosine needs both w and w_star as positive numbers; with coordinates, or a vector that is 0, the angle is "
            "known already. Leave it out."
        )
    depth = max(p.shape[1] for p in parts)
    a, b = (np.ascontiguousarray(pad(p, depth)) for p in parts)
    for name, v in (("w", a), ("w_star", b)):
        if (v[spectrum.multiplicity == 0] != 0.0).any():
            raise ValueError(f"{name} must be 0 on levels of multiplicity 0. Drop these levels.")
    return a, b


def _limits(truncation: Any, clipping: Any) -> Cut:
    if truncation is not None and clipping is not None:
        raise TypeError(
            "give truncation or clipping, not both: one sets large weights to 0, the other to the limit."
        )
    name, value = ("truncation", truncation) if clipping is None else ("clipping", clipping)
    if value is None:
        return Cut(-np.inf, np.inf, False)
    raw = check.real_array(name, value)
    if raw.ndim == 0:
        top = check.scalar(name, raw, positive=True)
        return Cut(-top, top, clipping is not None)
    if raw.shape != (2,) or not raw[0] < raw[1]:
        raise ValueError(f"{name} must be a number > 0, or (low, high) with low < high; got {raw.tolist()}.")
    return Cut(float(raw[0]), float(raw[1]), clipping is not None)
