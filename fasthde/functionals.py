"""Functionals of a spectrum: sums over eigenvalues and eigenvectors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._distribution import Distribution
from fasthde._quadrature import compare, on_axis, refuse
from fasthde._results import Record, Status, freeze
from fasthde._targets import (
    Functions,
    Numbers,
    Task,
    distribution_of,
    domain_of,
    functions_of,
    singular_points,
    target_of,
)

# ------------------------------------------------------------------------------------------------- results


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Functional(Record):
    """Value of a spectral functional.

    Fields but ``fraction``, ``method`` and ``nodes`` are arrays, one entry for each function, where several
    were given.

    Attributes
    ----------
    value : float, complex or ndarray
        The functional.
    error : float or ndarray
        Estimated absolute error.
    fraction : float
        Proportion of the eigenvalues in the domain, ``|I|/p``.
    checked : bool or ndarray
        Whether the contour and the real axis give the same value.
    status : int or ndarray
        `Status` code: NOT_CONVERGED where the error exceeds rtol times the integral of ``|f|``; DIVERGES where f is
        infinite at a point mass.
    method : str
        ``"real"`` or ``"contour"``: where the value comes from.
    nodes : int
        Points at which the law was evaluated.
    """

    value: Any
    error: Any
    fraction: Any
    checked: Any
    status: Any
    method: str
    nodes: int

    @property
    def success(self) -> Any:
        """Whether each value is good to the tolerance asked for."""
        good = np.asarray(self.status) == Status.CONVERGED
        return bool(good) if good.ndim == 0 else good

    @property
    def average(self) -> Any:
        """The trace form as a mean over the eigenvalues of the domain, ``(1/|I|) sum f``: value/fraction."""
        return self.value / self.fraction

    def __repr__(self) -> str:
        names = ", ".join(Status(s).name for s in np.unique(self.status))
        return f"Functional(value={self.value}, error={_short(self.error)}, {self.method}, {self.nodes} nodes, {names})"


def _short(value: Any) -> str:
    return np.array2string(np.asarray(value), precision=1)


# ---------------------------------------------------------------------------------------------- functionals


def functional(
    law: Distribution,
    f: Functions,
    *,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    overlap: ArrayLike | None = None,
    spikes: ArrayLike | None = None,
    domain: tuple[float, float] | None = None,
    singularities: ArrayLike | None = None,
    method: str = "auto",
    rtol: float = 1e-12,
) -> Functional:
    r"""Scalar eigenspectral functional: a sum of ``f(lambda_i)`` over eigenvalues, or with eigenvectors.

    Without a, b and overlap the trace form, ``(1/p) sum_i f(lambda_i)`` in the limit; with them the bilinear form
    ``sum_i f(lambda_i) (a' u_i)(u_i' b)``; both over the eigenvalues in the domain.

    Parameters
    ----------
    law : Law or other Distribution
        Any law for the trace form; a chain without companion() and corner() for the bilinear form and for spikes.
    f : callable, or sequence of callables
        Vectorised functions, real or complex; several share all nodes. Smooth on the spectrum, or integrable
        with singularities. For contours also defined at complex arguments and analytic.
    a, b : array_like, shape (levels + spikes,), optional
        Coefficients on eigenvectors of C, one unit vector for each level in the order of
        ``law.spectrum.values``, then one for each spike; b is a by default.
    overlap : array_like, shape (levels + spikes,), optional
        Instead of a and b: the sum of ``a_i b_i`` over each eigenspace (their projections' inner product).
    spikes : array_like, optional
        Further eigenvalues of C, of multiplicity 1 each, outside the law's spectrum (a repeated one counts again).
        In the bilinear form they are directions for a and b. In the trace form r of the p eigenvalues of C are
        the spikes, and the other p - r follow the law's spectrum; isolated eigenvalues count ``f/p`` each, and
        the displacement of the bulk, of the same order, is included.
    domain : (low, high), optional
        Only eigenvalues between; ends off the spectrum, -inf and inf allowed.
    singularities : array_like, optional
        Points of the complex plane where f is not analytic: contours pass between them and the spectrum. 0 is
        always left out where the spectrum in the domain lies on one side of it.
    method : {"auto", "real", "contour"}, optional
        Integrate on the real axis; on contours around the spectrum; or ("auto") on the real axis with contours as
        a check wherever f is analytic (``checked`` tells).
    rtol : float, optional
        Tolerance, relative to the integral of ``|f|``.

    Returns
    -------
    Functional
        ``value``, ``error``, ``fraction``, ``checked``, ``status``, ``method``, ``nodes``.

    Raises
    ------
    TypeError
        For arguments of the wrong kind, a bilinear form of a law that is no chain, or spikes in the trace form of a
        law whose spectrum has no dimension.
    ValueError
        If the domain ends on the spectrum, if f is not finite on it, or, for ``method="contour"``, if f has a pole,
        a branch cut or a kink inside every contour tried.

    Notes
    -----
    .. math:: \sum_{i \in I} f(\lambda_i)\, a^\top u_i u_i^\top b
        = -\frac{1}{2\pi i} \oint_\Gamma f(z)\, a^\top Q(z) b\, dz,
        \qquad Q \leftrightarrow \phi\,(C - s)^{-1}

    (arXiv 2506.13139, Definition 4). Real axis: the law's own quadrature, halved until it agrees with itself, with
    :math:`\mathrm{Im}\, a^\top \bar Q b/\pi` as density. Contours: ellipses in
    :math:`\log((z - l)/(r - z))`, l and r the nearest obstacles on either side, and the trapezoidal rule, which
    converges geometrically (Trefethen & Weideman 2014), with nodes doubled and kept. A spike :math:`\ell` that detaches
    is a pole at :math:`z_L(\ell)` with residue :math:`\phi(\ell) z_L'(\ell)`; r spikes among p eigenvalues move the
    normalised trace by :math:`p^{-1} s'(z) [\sum_\ell (\ell - s)^{-1} - r\, g(s)]`.

    Examples
    --------
    >>> import fasthde as fh, numpy as np
    >>> from fasthde.functionals import functional
    >>> law = fh.marchenko_pastur(0.5)
    >>> r = functional(law, np.log)
    >>> round(r.value, 12), r.checked  # log(2) - 1
    (-0.30685281944, True)

    The square of a sample covariance between eigenvectors of C, ``t**2 + c (mean t) t``:

    >>> H = fh.Spectrum([1.0, 3.0])
    >>> r = functional(fh.sample_covariance(H, 0.5), lambda x: x**2, a=[1.0, 1.0])
    >>> round(r.value, 10)
    14.0
    """
    law = distribution_of(law)
    fs = functions_of(f)
    tolerance = check.scalar("rtol", rtol, positive=True)
    if method not in ("auto", "real", "contour"):
        raise ValueError(f'method must be "auto", "real" or "contour"; got {method!r}.')
    with np.errstate(all="ignore"):
        for name, g in fs:
            check.vectorised(name, g, np.linspace(*law._hull(), 4)[1:-1])
    target = target_of(law, a, b, overlap, spikes)
    window = domain_of(domain, target)
    points = singular_points(singularities, window, target)
    axis = on_axis(target, fs, window, tolerance)
    value, error, nodes = axis.value, axis.error, axis.nodes
    checked = np.zeros(len(fs), bool)
    if method != "real":
        ring = compare(Task(target, fs, window, points, tolerance), axis, improve=method == "contour")
        checked, nodes = ring.good, nodes + ring.nodes
        if method == "contour":
            refuse(fs, ring, axis)
            value, error = ring.value, ring.error
        else:  # two routes bound each other's errors
            error = np.where(checked, np.minimum(error, np.abs(value - ring.value) + ring.error), error)
    return Functional(
        value=field_of(f, value),
        error=field_of(f, error),
        # the constant 1 counts the eigenvalues of the trace form, isolated ones included
        fraction=float(axis.value[0].real) if a is None and overlap is None else axis.fraction,
        checked=field_of(f, checked),
        status=status_of(f, error <= tolerance * axis.scale, axis.value),
        method="contour" if method == "contour" else "real",
        nodes=nodes,
    )


def field_of(f: Any, values: Numbers) -> Any:
    """One number for a single function, an array for several; the constant 1 in front is left out."""
    return values[1].item() if callable(f) else freeze(values[1:].copy())


def status_of(f: Any, good: NDArray[np.bool_], total: Numbers) -> Any:
    """Status of each function: whether it is good, and whether its sum is infinite."""
    status = np.where(good, Status.CONVERGED, Status.NOT_CONVERGED)
    status[np.isinf(total)] = Status.DIVERGES
    return Status(status[1]) if callable(f) else field_of(f, status)
