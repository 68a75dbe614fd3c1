"""Activations: what a nonlinearity is to a large random model.

A model sees an activation through numbers: its Hermite coefficients, a few moments, and its dual functions
E phi(u) phi(v). They are computed here at any variance to rounding, for named activations and for any vectorised
callable, with kinks and jumps where it has them.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthde import _dual, _validate
from fasthde import _hermite as _coefficients
from fasthde._mesh import MOST_KINKS, Mesh
from fasthde._named import ALIASES, TABLE, Named
from fasthde._results import Record, Status, freeze

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ActivationMoments(Record):
    """Gaussian moments of an activation at tau * xi, xi ~ N(0, 1); fields in the shape of ``tau``.

    Derivatives are taken through Stein's lemma, so kinks (and jumps, where the moment exists) are fine.

    Attributes
    ----------
    tau : float or ndarray
        Standard deviation of the argument.
    mean, second : float or ndarray
        E phi and E phi^2.
    slope, curvature : float or ndarray
        E phi' and E phi''.
    quadratic : float or ndarray
        E[phi'^2 + phi phi''], half the second derivative of phi^2: how E phi^2 moves with the variance.
    slope_second : float or ndarray
        E phi'^2; inf for a discontinuous phi.
    nonlinear : float or ndarray
        a_*^2 = E phi^2 - a_0^2 - a_1^2: what no linear function of xi explains.
    """

    tau: Any
    mean: Any
    second: Any
    slope: Any
    curvature: Any
    quadratic: Any
    slope_second: Any
    nonlinear: Any


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class DualResult(Record):
    """Values of a dual function, in the broadcast shape of its arguments.

    Attributes
    ----------
    value : float or ndarray
        E phi(u) phi(v), or E phi'(u) phi'(v).
    error : float or ndarray
        Estimated absolute error.
    status : int or ndarray
        `Status` code.
    """

    value: Any
    error: Any
    status: Any

    @property
    def success(self) -> Any:
        """Whether each element was solved to rounding level."""
        good = np.asarray(self.status) == Status.CONVERGED
        return bool(good) if good.ndim == 0 else good


class Activation:
    """A nonlinearity ``scale * f(t) + shift``; made by `activation`.

    Attributes
    ----------
    name : str
        Name of f.
    kinks : ndarray
        Points where f or one of its derivatives jumps.
    continuous : bool
        Whether f has no jump.
    degree : int or None
        phi(s t) = s^degree phi(t) for s > 0; None where that does not hold.
    scale, shift : float
        The affine map after f.

    Examples
    --------
    >>> import fasthde as fh
    >>> act = fh.activation("relu")
    >>> act.hermite(3).round(6)
    array([0.398942, 0.5     , 0.282095, 0.      ])
    >>> act.dual(1.0)
    0.5
    >>> act.centered()
    relu - 0.398942
    """

    __slots__ = ("_key", "_mesh", "_named", "_slope", "name", "scale", "shift")
    name: str
    scale: float
    shift: float
    _named: Named
    _key: tuple[Any, ...]
    _mesh: Mesh
    _slope: Mesh | None

    def __init__(self, name: str, named: Named, key: Any, mesh: Mesh, scale: float = 1.0, shift: float = 0.0):
        if not (np.isfinite(scale) and np.isfinite(shift)):
            raise ValueError(
                f"an activation must be scaled and shifted by finite numbers; got {scale} * {name} + {shift}."
            )
        values = {"name": name, "_named": named, "_key": key, "_mesh": mesh, "_slope": None}
        for attribute, value in {**values, "scale": float(scale), "shift": float(shift)}.items():
            object.__setattr__(self, attribute, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"an Activation is immutable; make a new one, for example 2 * act + 1, to change {name}."
        )

    # ------------------------------------------------------------------------------------------ what it is

    @property
    def kinks(self) -> Array:
        """Points where f or one of its derivatives jumps."""
        self._mesh.breaks(8.0)
        return self._mesh.kinks.copy()

    @property
    def continuous(self) -> bool:
        """Whether f has no jump."""
        return self._named.continuous and not (self._mesh.searching and self._mesh.jumps().size)

    @property
    def degree(self) -> int | None:
        """Degree of positive homogeneity."""
        return self._named.degree if self.shift == 0.0 else None

    def __call__(self, t: Any) -> Any:
        """Values at ``t``, elementwise."""
        argument = np.array(t, dtype=np.float64)  # a copy: f may work in place
        out = self.scale * np.asarray(self._named.f(argument)) + self.shift
        return float(out) if np.ndim(t) == 0 else out

    def derivative(self, t: Any) -> Any:
        """Derivative at ``t``; at a kink, one of its one-sided values or a value between.

        Parameters
        ----------
        t : array_like
            Real arguments.

        Returns
        -------
        float or ndarray
            phi'(t). A callable without ``derivative=`` is differentiated through its local Chebyshev series,
            to about 1e-12 of its size.

        Raises
        ------
        ValueError
            If phi jumps: its derivative is not a function.
        """
        self._need_derivative()
        t = np.asarray(t, dtype=np.float64)
        with np.errstate(over="ignore", under="ignore"):
            out = self.scale * np.asarray(self._df(t), dtype=np.float64)
        return float(out) if out.ndim == 0 else out

    def _df(self, t: Array) -> Any:
        return self._mesh.derivative(t) if self._named.df is None else self._named.df(t)

    def _need_derivative(self) -> None:
        if not self.continuous:
            raise ValueError(
                f"{self.name} must be continuous to have a derivative; it jumps at {self._mesh.jumps().tolist()}. "
                "Use a continuous activation, or the conjugate kernel, which needs no derivative."
            )

    def _slope_mesh(self) -> Mesh:
        """Pieces of phi', which are those of f."""
        self._need_derivative()
        if self._slope is None:
            self._mesh.breaks(8.0)
            made = Mesh(self._df, self._mesh.kinks, f"the derivative of {self.name}")
            object.__setattr__(self, "_slope", made)
            return made
        return self._slope

    # ------------------------------------------------------------------------------------------ numbers

    def hermite(self, order: int, tau: Any = 1.0) -> Array:
        """Hermite coefficients ``a_k(tau) = E[phi(tau xi) h_k(xi)]``, h_k = He_k/sqrt(k!).

        Parameters
        ----------
        order : int
            Highest k, from 0.
        tau : array_like
            Standard deviations of the argument, > 0.

        Returns
        -------
        ndarray, shape (..., order + 1)
            Absolute error about 1e-15 of sqrt(E phi^2).

        Raises
        ------
        ValueError
            If tau is not positive, or phi is not square-integrable under the Gaussian.

        Notes
        -----
        Closed forms where they are known, Gauss-Legendre quadrature between the kinks elsewhere.

        Examples
        --------
        >>> import fasthde as fh
        >>> fh.activation("tanh").hermite(3).round(8)
        array([ 0.        ,  0.60570551,  0.        , -0.14843719])
        """
        order = _validate.integer("order", order, 0)
        tau = _scales(tau)
        out = self.scale * _coefficients.hermite(self._named, self._mesh, order, tau)
        out[..., 0] += self.shift
        return out

    def moments(self, tau: Any = 1.0) -> ActivationMoments:
        """Gaussian moments at ``tau * xi``.

        Parameters
        ----------
        tau : array_like
            Standard deviations of the argument, > 0.

        Returns
        -------
        ActivationMoments
            Fields in the shape of ``tau``.

        Examples
        --------
        >>> import fasthde as fh
        >>> m = fh.activation("relu").moments()
        >>> m.second, m.slope, round(m.curvature, 6)
        (0.5, 0.5, 0.398942)
        """
        tau = _scales(tau)
        values = _coefficients.moments(self._named, self._mesh, tau, self.scale, self.shift)
        if self.continuous:
            small = _coefficients.small_scale_moments(
                self._mesh, self._slope_mesh(), tau, self.scale, self.shift
            )
            for field, value in small.items():
                values[field] = np.where(tau < _coefficients.SMALL, value, values[field])
            slope_second = self.scale**2 * _coefficients.second(self._slope_mesh(), tau)
        else:
            slope_second = np.full(tau.shape, np.inf)
        fields = {"tau": tau, **values, "slope_second": slope_second}
        if tau.ndim == 0:
            fields = {name: float(value) for name, value in fields.items()}
        return ActivationMoments(**{name: freeze(value) for name, value in fields.items()})

    def dual(
        self, rho: Any, qx: Any = 1.0, qy: Any = 1.0, *, derivative: bool = False, full_output: bool = False
    ) -> Any:
        """Dual function ``E phi(u) phi(v)`` of centred Gaussians with variances qx, qy and correlation rho.

        Parameters
        ----------
        rho : array_like
            Correlations in [-1, 1].
        qx, qy : array_like
            Variances, > 0; all three broadcast.
        derivative : bool
            ``E phi'(u) phi'(v)`` instead: the derivative with respect to the covariance (Price's theorem).
        full_output : bool
            Return a `DualResult` with an error estimate.

        Returns
        -------
        float, ndarray or DualResult
            In the broadcast shape.

        Raises
        ------
        ValueError
            For a scalar outside its range (in an array the element is NaN, with status INVALID); for
            ``derivative=True`` if phi jumps.

        Notes
        -----
        Closed form; else the Hermite series, where it converges; else a quadrature over (u + v)/2 and (u - v)/2
        split at the kinks of both factors, which is as good at rho = 1 - 1e-15 as at 0.

        Examples
        --------
        >>> import fasthde as fh
        >>> round(fh.activation("relu").dual(0.0), 12) == round(1 / (2 * 3.141592653589793), 12)
        True
        >>> fh.activation("tanh").dual([0.0, 0.5, 1.0]).round(8)
        array([0.        , 0.18632441, 0.39429449])
        """
        arguments = [_validate.real_array(n, v) for n, v in (("rho", rho), ("qx", qx), ("qy", qy))]
        if arguments[0].ndim == 0 and not abs(arguments[0]) <= 1:
            raise ValueError(f"rho must lie in [-1, 1]; got {float(arguments[0])}. It is a correlation.")
        for name, value in zip(("qx", "qy"), arguments[1:], strict=True):
            if value.ndim == 0 and not 0 < value < np.inf:
                raise ValueError(f"{name} must be finite and > 0; got {float(value)}. It is a variance.")
        if derivative:
            self._need_derivative()
        r, x, y = np.broadcast_arrays(*arguments)
        bad = ~((np.abs(r) <= 1) & (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y))
        value = np.full(r.shape, np.nan)
        error = np.full(r.shape, np.nan)
        size = np.full(r.shape, np.nan)
        good = ~bad
        if good.any():
            with np.errstate(all="ignore"):
                value[good], error[good], size[good] = _dual.dual(
                    self, x[good], y[good], 1.0 - r[good], 1.0 + r[good], derivative
                )
        status = np.where(bad, Status.INVALID, Status.CONVERGED)
        with np.errstate(invalid="ignore"):
            status[good & ~(error <= 1e-10 * size)] = Status.NOT_CONVERGED
        status[np.isinf(value)] = Status.DIVERGES  # beyond the range of numbers
        if r.ndim == 0:
            single = DualResult(float(value), float(error), Status(int(status)))
            return single if full_output else single.value
        return DualResult(freeze(value), freeze(error), freeze(status)) if full_output else value

    # ------------------------------------------------------------------------------------------ affine maps

    def _affine(self, scale: float, shift: float) -> Activation:
        made = Activation(self.name, self._named, self._key, self._mesh, scale, shift)
        object.__setattr__(made, "_slope", self._slope)
        return made

    def __mul__(self, factor: Any) -> Activation:
        if not _is_number(factor):
            return NotImplemented
        return self._affine(self.scale * float(factor), self.shift * float(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Activation:
        return self * (1.0 / divisor) if _is_number(divisor) else NotImplemented

    def __add__(self, term: Any) -> Activation:
        return self._affine(self.scale, self.shift + float(term)) if _is_number(term) else NotImplemented

    __radd__ = __add__

    def __sub__(self, term: Any) -> Activation:
        return self + (-term) if _is_number(term) else NotImplemented

    def __rsub__(self, term: Any) -> Activation:
        return -self + term if _is_number(term) else NotImplemented

    def __neg__(self) -> Activation:
        return self * -1.0

    def centered(self, tau: float = 1.0) -> Activation:
        """``phi - E phi(tau xi)``.

        Parameters
        ----------
        tau : float
            Standard deviation of the argument, > 0.

        Returns
        -------
        Activation
            With mean 0 at ``tau``.
        """
        tau = _validate.scalar("tau", tau, positive=True)
        return self - float(self.hermite(0, tau)[..., 0])

    def normalized(self, tau: float = 1.0) -> Activation:
        """``(phi - E phi)/sd phi`` under ``tau * xi``.

        Parameters
        ----------
        tau : float
            Standard deviation of the argument, > 0.

        Returns
        -------
        Activation
            With mean 0 and variance 1 at ``tau``.

        Raises
        ------
        ValueError
            If phi is constant there.
        """
        centred = self.centered(tau)
        variance = float(centred.moments(tau).second)
        if not variance > 1e-28 * max(self.shift**2, centred.shift**2, 1e-300):
            raise ValueError(
                f"{self.name} must not be constant to be normalised; its variance at tau = {tau} is 0."
            )
        return centred / float(np.sqrt(variance))

    # ------------------------------------------------------------------------------------------ as an object

    def _identity(self) -> tuple[Any, ...]:
        return (tuple(_token(part) for part in self._key), self.scale, self.shift)

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Activation) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> Any:
        return _rebuild, (self._key, self.scale, self.shift)

    def __repr__(self) -> str:
        text = self.name if self.scale == 1.0 else f"{self.scale:.6g} * {self.name}"
        if self.shift:
            text += f" {'+' if self.shift > 0 else '-'} {abs(self.shift):.6g}"
        return text


def activation(
    phi: str | Activation | Callable[[Array], Any],
    *,
    kinks: Sequence[float] | None = None,
    derivative: Callable[[Array], Any] | None = None,
    name: str | None = None,
    **parameters: Any,
) -> Activation:
    """An activation by name, or from any vectorised callable.

    Parameters
    ----------
    phi : str or callable or Activation
        identity, relu, leaky_relu (``slope=0.01``), abs, sign, step, hard_tanh, relu2, erf, tanh, sigmoid, softplus,
        silu, gelu, elu (``alpha=1.0``), selu, mish, arctan, sin, cos, exp, gaussian (exp(-t^2/2)), polynomial
        (``coefficients=[c0, c1, ...]``); or a function of a real array; an `Activation` is returned as it is.
    kinks : sequence of float, optional
        For a callable: points where it or one of its derivatives jumps; empty for a smooth function. Without it they
        are searched for, with a warning when in doubt.
    derivative : callable, optional
        For a callable: its derivative. Without it, it is taken from local Chebyshev series.
    name : str, optional
        For a callable: what to call it in messages.
    **parameters
        Of a named activation.

    Returns
    -------
    Activation
        Immutable; equal to others of the same name and parameters.

    Raises
    ------
    ValueError
        If the name is unknown, or the callable is not vectorised, not finite, or not square-integrable under the
        standard Gaussian.
    TypeError
        If ``phi`` is neither, or a parameter does not exist.

    Examples
    --------
    >>> import fasthde as fh
    >>> import numpy as np
    >>> fh.activation("leaky_relu", slope=0.1)(-2.0)
    -0.2
    >>> act = fh.activation(lambda t: np.maximum(t - 0.5, 0.0), name="shifted relu")
    >>> act.kinks
    array([0.5])
    """
    if isinstance(phi, Activation):
        if kinks is not None or derivative is not None or name is not None or parameters:
            raise TypeError(
                "phi is an Activation already; it takes no kinks, derivative, name or parameters."
            )
        return phi
    if isinstance(phi, str):
        if kinks is not None or derivative is not None or name is not None:
            raise TypeError(f"kinks, derivative and name belong to callables; {phi!r} brings its own.")
        return _by_name(phi, parameters)
    if not callable(phi):
        raise TypeError(
            f"phi must be a name or a vectorised callable; got {_validate._show(phi)}. "
            'For example activation("relu") or activation(numpy.tanh).'
        )
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string; got {_validate._show(name)}.")
    if parameters:
        raise TypeError(
            f"{', '.join(parameters)}: parameters belong to named activations. Bind them in the callable."
        )
    given = None if kinks is None else _validate.finite("kinks", _validate.real_array("kinks", kinks, ndim=1))
    if given is not None and given.size > MOST_KINKS:
        raise ValueError(f"kinks must be at most {MOST_KINKS}; got {given.size}. Smooth the activation.")
    return _from_callable(phi, given, derivative, name)


def _by_name(name: str, parameters: dict[str, Any]) -> Activation:
    tidy = name.strip().lower().replace("-", "_").replace(" ", "_")
    tidy = ALIASES.get(tidy, tidy)
    if tidy not in TABLE:
        near = difflib.get_close_matches(tidy, [*TABLE, *ALIASES], n=1, cutoff=0.5)
        hint = f"did you mean {ALIASES.get(near[0], near[0])!r}? " if near else ""
        raise ValueError(f"phi must be a known activation; got {name!r}: {hint}Known are {', '.join(TABLE)}.")
    known = inspect.signature(TABLE[tidy]).parameters
    for key in parameters:
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no parameters"
            raise TypeError(f"{key!r} is not a parameter of {tidy!r}, which {takes}.")
    frozen: list[tuple[str, Any]] = []
    for key in known:
        if key not in parameters and known[key].default is inspect.Parameter.empty:
            raise ValueError(
                f"{tidy} needs {key}=, for example activation('polynomial', coefficients=[0, 1, 0.5])."
            )
        array = _validate.finite(key, _validate.real_array(key, parameters.get(key, known[key].default)))
        if key == "coefficients":
            if array.ndim != 1 or not array.size:
                raise ValueError(
                    f"coefficients must be a list of numbers [c0, c1, ...]; got shape {array.shape}."
                )
            frozen.append((key, tuple(array.tolist())))
        elif array.ndim:
            raise ValueError(f"{key} must be a single number; got shape {array.shape}.")
        else:
            frozen.append((key, float(array)))
    return _named(tidy, tuple(frozen))


@functools.cache
def _named(name: str, parameters: tuple[tuple[str, Any], ...]) -> Activation:
    named = TABLE[name](**dict(parameters))
    return Activation(name, named, ("named", name, parameters), Mesh(named.f, np.array(named.kinks), name))


def _from_callable(
    f: Callable[[Array], Any], kinks: Array | None, df: Callable[[Array], Any] | None, name: str | None
) -> Activation:
    label = name or str(getattr(f, "__name__", type(f).__name__))
    label = "phi" if label == "<lambda>" else label
    probe = np.linspace(-3.0, 3.0, 7)
    with np.errstate(all="ignore"):
        _validate.vectorised(label, f, probe)
        if np.asarray(f(probe)).dtype in (np.float32, np.float16):
            raise TypeError(
                f"{label} must compute in float64; it returns {np.asarray(f(probe)).dtype}, whose rounding "
                "looks like kinks."
            )
        values = _validate.real_array(f"{label}(t)", f(probe))
        if df is not None:
            _validate.vectorised("derivative", df, probe)
    if not np.isfinite(values).all():
        where = float(probe[~np.isfinite(values)][0])
        raise ValueError(f"{label} must be finite; {label}({where:g}) is {values[~np.isfinite(values)][0]}.")
    given = None if kinks is None else np.unique(kinks)
    mesh = Mesh(f, given, label)
    _coefficients.integrable(mesh, 1.0)
    mesh.breaks(8.0)
    named = Named(f, df, () if given is None else tuple(given))
    if given is not None:
        named = dataclasses.replace(named, continuous=not mesh.jumps().size)
    key = ("callable", f, None if given is None else tuple(given.tolist()), df, label)
    return Activation(label, named, key, mesh)


def _rebuild(key: tuple[Any, ...], scale: float, shift: float) -> Activation:
    if key[0] == "named":
        base = _named(key[1], key[2])
    else:
        _, f, kinks, df, label = key
        base = _from_callable(f, None if kinks is None else np.array(kinks), df, label)
    return base._affine(scale, shift)


def _token(part: Any) -> Any:
    """A part of a key itself; a callable that is not hashable, or does not compare to a truth value, by identity."""
    if callable(part):
        try:
            hash(part)
            return part if isinstance(part == part, bool) else id(part)
        except TypeError:
            return id(part)
    return part


def _scales(tau: Any) -> Array:
    array = _validate.finite("tau", _validate.real_array("tau", tau))
    if not (array > 0).all():
        raise ValueError(
            f"tau must be > 0; got {float(array.min())}. It is the standard deviation of the argument."
        )
    return array


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    )


def _warmup() -> None:
    """Run each kernel once with the types that calls use."""
    activation("tanh").hermite(2)
