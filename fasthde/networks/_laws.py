"""Laws of nonlinear random matrices: what an activation does to a spectrum is a step or two of a chain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fasthde import _validate as check
from fasthde._results import warn_user
from fasthde.activations import Activation, activation
from fasthde.laws import Law, sample_covariance
from fasthde.networks._equivalents import activations_of
from fasthde.spectrum import Spectrum, as_spectrum

_RATIO = "The ratio is p/n, dimension over samples."


def feature_gram_law(act: Any, ratio: float, width_ratio: float, *, spectrum: Spectrum | None = None) -> Law:
    r"""Law of the Gram matrix of random features, ``Phi Phi'/n`` with ``Phi = phi(X W'/sqrt(p))``.

    X is n x p with rows of covariance C, W is d x p with independent entries of variance 1, and phi acts on entries.

    Parameters
    ----------
    act : Activation, str or callable
        Activation phi.
    ratio : float
        ``p/n`` > 0.
    width_ratio : float
        ``d/n`` > 0, features over samples.
    spectrum : Spectrum, optional
        Eigenvalues of C; only their proportions count. The identity by default.

    Returns
    -------
    Law
        Of the n x n matrix; ``.companion()`` is that of the d x d matrix ``Phi' Phi/n``.

    Raises
    ------
    ValueError
        For ratios that are not positive, a zero spectrum, or an activation that is constant.

    Notes
    -----
    With :math:`\tau^2 = \operatorname{tr} C/p` and Hermite coefficients at :math:`\tau`, the kernel of the features has
    the law of :math:`(a_1/\tau)^2 XX^\top\!/p + a_*^2 I`, and d of them are a sample of it: the chain C, sample
    covariance (p/n), companion, :math:`\times\, (n/p)(a_1/\tau)^2`, :math:`+\, a_*^2`, sample covariance (n/d),
    :math:`\times\, d/n` (Pennington & Worah 2017; Benigni & Péché 2021). The mean of phi adds a single eigenvalue and
    does not change the law.

    Examples
    --------
    >>> from fasthde import feature_gram_law
    >>> law = feature_gram_law("tanh", ratio=0.5, width_ratio=1.5)
    >>> law.support.round(6)
    array([[2.274000e-03, 7.637200e-02],
           [8.782300e-02, 4.472196e+00]])
    """
    c = check.scalar("ratio", ratio, positive=True, hint=_RATIO)
    d = check.scalar("width_ratio", width_ratio, positive=True, hint="It is d/n, features over samples.")
    H = Spectrum([1.0]) if spectrum is None else as_spectrum("spectrum", spectrum)
    gain, rest, _ = _gain(activation(act), _scale(H), "act")
    return _through(_data_gram(H, c), gain, rest).sample_covariance(1.0 / d).scale(d)


def finite_width_law(
    H: Spectrum, act: Any, widths: ArrayLike, ratio: float, *, normalize: bool = True
) -> Law:
    r"""Law of the conjugate kernel of a deep network of finite widths, ``Phi_L Phi_L'/w_L``.

    ``Phi_l = phi_l(Phi_(l-1) W_l'/sqrt(w_(l-1)))`` with independent weights of variance 1 and ``Phi_0 = X``, n x p with
    rows of covariance C; widths are proportional to n.

    Parameters
    ----------
    H : Spectrum
        Eigenvalues of C. Its dimension is p, the unit of the widths; a measure (``weights=``) has dimension 1, so that
        widths are multiples of p.
    act : Activation, str or callable, or sequence of them
        Activation of every layer, or one a layer.
    widths : array_like, shape (depth,)
        Widths w_1, ..., w_L of the layers, > 0.
    ratio : float
        ``p/n`` > 0.
    normalize : bool, optional
        Give each activation variance 1 at the scale of its input, ``sqrt(tr C/p)`` for the first and 1 after it;
        otherwise they are only centred, and scales follow from layer to layer.

    Returns
    -------
    Law
        Of the n x n matrix; ``.companion()`` is that of the w_L x w_L covariance of the last features.

    Raises
    ------
    ValueError
        For widths or a ratio that are not positive, another number of widths than of activations, a zero spectrum,
        or an activation that is constant.

    Warns
    -----
    ValidityWarning
        If p or a width is below 20 (unless H is a measure).

    Notes
    -----
    With :math:`b^2 = a_1^2/(\nu - a_0^2)` at unit scale, the chain C with ``tr C = p``, sample covariance (p/n),
    companion, :math:`\times\, n/p`, then a layer each of :math:`\times\, b^2`, :math:`+\, (1 - b^2)`, sample
    covariance :math:`(n/w_l)` (Fan & Wang 2020). For another trace the first layer is taken at
    :math:`\tau^2 = \operatorname{tr} C/p`: :math:`\times\, a_1^2/(\tau^2 v)` and :math:`+\, a_*^2/v` with v the
    variance of :math:`\varphi(\tau\xi)`. Activations are always centred. Those with a mean obey no such chain: the mean
    of a layer's features is a random vector that all units of the next layer share.

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde import finite_width_law
    >>> law = finite_width_law(fh.Spectrum.isotropic(500), "tanh", widths=[1000, 2000], ratio=0.5)
    >>> round(law.mean(), 12), law.support.round(4)
    (1.0, array([[0.0114, 9.3485]]))
    """
    spectrum = as_spectrum("H", H)
    c = check.scalar("ratio", ratio, positive=True, hint=_RATIO)
    w = np.atleast_1d(check.finite("widths", check.real_array("widths", widths)))
    if w.ndim != 1 or not w.size or (w <= 0).any():
        raise ValueError(f"widths must be positive numbers, one a layer; got {check._show(widths)}.")
    if isinstance(act, list | tuple) and len(act) != w.size:
        raise ValueError(f"widths must have one entry for each of the {len(act)} activations; got {w.size}.")
    p = 1.0 if spectrum.is_measure else spectrum.dimension
    if not spectrum.is_measure and min(p, float(w.min())) < 20:
        warn_user(
            f"H has dimension {p:g} and the narrowest layer {w.min():g} units: the law speaks of large ones. Widths "
            "count in the dimension of H; give multiplicities, or a measure (weights=) and widths over p."
        )
    tau, law = _scale(spectrum), _data_gram(spectrum, c)
    for l, (phi, width) in enumerate(zip(activations_of(act, w.size), w, strict=True)):  # noqa: E741
        gain, rest, variance = _gain(phi, tau, f"act[{l}]")
        unit = variance if normalize else 1.0
        law = _through(law, gain / unit, rest / unit).sample_covariance(p / (c * float(width)))
        tau = 1.0 if normalize else math.sqrt(variance)
    return law


def inner_product_kernel_law(act: Any, ratio: float) -> Law:
    r"""Law of the kernel matrix ``f(x_i'x_j/sqrt(p))/sqrt(p)`` with zero diagonal, of independent data.

    Parameters
    ----------
    act : Activation, str or callable
        Function f; kinks and jumps are allowed.
    ratio : float
        ``p/n`` > 0, for n samples with p independent entries of variance 1.

    Returns
    -------
    Law
        Of the n x n matrix.

    Raises
    ------
    ValueError
        For a ratio that is not positive, or a constant function.

    Notes
    -----
    The free sum of :math:`a_1 (XX^\top\!/p - I)` and of a semicircle of variance
    :math:`(\nu - a_0^2 - a_1^2)/c` (Cheng & Singer 2013; Do & Vu 2013). The sign of :math:`a_1` may be any, and for
    :math:`a_1 = 0` the semicircle is all. The mean of f adds a single eigenvalue and does not change the law.

    Examples
    --------
    >>> from fasthde import inner_product_kernel_law
    >>> inner_product_kernel_law("tanh", ratio=0.25).support.round(6)
    array([[-1.191829, -0.051656],
           [ 0.092444,  4.875798]])
    """
    c = check.scalar("ratio", ratio, positive=True, hint=_RATIO)
    phi = activation(act)
    gain, rest, _ = _gain(phi, 1.0, "act")
    a1 = math.copysign(math.sqrt(gain), float(phi.hermite(1)[1]))
    law = Law(Spectrum([0.0])).add_compound_poisson(1.0 / c, [a1]).shift(-a1)
    return law.add_semicircle(rest / c) if rest else law


# ------------------------------------------------------------------------------------------------------ pieces


def _scale(H: Spectrum) -> float:
    """Standard deviation of an entry of the data."""
    tau = math.sqrt(H.moment(1))
    if not tau > 0:
        raise ValueError("the spectrum must not be zero: the data would vanish.")
    return tau


def _gain(act: Activation, tau: float, name: str) -> tuple[float, float, float]:
    """What phi multiplies a Gram matrix by, adds to it, and its variance; rounding levels become 0."""
    m = act.moments(tau)
    gain, rest = float(m.slope) ** 2, float(m.nonlinear)
    variance = gain * tau**2 + rest
    if not variance > 1e-28 * float(m.second):
        raise ValueError(f"{name} must not be constant; its variance at scale {tau:.6g} is 0.")
    if gain * tau**2 < 1e-28 * variance:
        gain, rest = 0.0, variance
    elif rest < 1e-28 * variance:
        gain, rest = variance / tau**2, 0.0
    return gain, rest, variance


def _data_gram(H: Spectrum, ratio: float) -> Law:
    """Law of the n x n matrix ``X X'/p``."""
    return sample_covariance(H, ratio).companion().scale(1.0 / ratio)


def _through(law: Law, gain: float, rest: float) -> Law:
    """Law of the kernel of the features of data with the given law."""
    return law.scale(gain).shift(rest) if gain else Law(Spectrum([rest]))
