r"""Linear equivalents of the kernels of deep networks.

Off the diagonal, an entry of any of these kernels is a smooth function of three numbers of order ``1/sqrt(p)``:
``u_i`` and ``u_j``, by how much the squared norms of the two inputs differ from their mean, and ``s`` their inner
product. Its Taylor polynomial to second order, a *jet*, is carried from layer to layer. Terms of third order, and
``u s``, are matrices of norm O(1/sqrt(p)); ``s**2`` is its mean. A jet is the row of six coefficients of

    1,   u_i + u_j,   s,   u_i**2 + u_j**2,   u_i u_j,   s**2.

For centred activations without biases, only the third, fifth and sixth are not zero: the published recursions.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from fasthde import _validate as check
from fasthde._results import Record, Status, freeze, warn_user
from fasthde.activations import Activation, activation
from fasthde.networks._mixture import ClassStatistics, statistics_of

Array = NDArray[np.float64]

#: Hermite coefficients used where the correlation at the centre is not 0, at most.
_MOST = 1000

_KINDS = ("conjugate", "tangent")


# ---------------------------------------------------------------------------------------------------- results


class _Equivalent(Record):
    """Matrices of an equivalent from the jets of its kernels."""

    __slots__ = ()
    statistics: ClassStatistics

    def _jet(self, kind: str, layer: int | None) -> tuple[Array, float]:
        """Jet and size of the diagonal."""
        raise NotImplementedError  # pragma: no cover

    def matrix(
        self, X: ArrayLike, labels: ArrayLike | None = None, kind: str = "conjugate", layer: int | None = None
    ) -> Array:
        """Equivalent of the kernel matrix of the rows of X.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Data, not scaled.
        labels : array_like of int, shape (n_samples,), optional
            Classes of the rows; needed when there is more than one.
        kind : {"conjugate", "tangent"}, optional
            Which kernel.
        layer : int, optional
            Number of layers, from 0 (the data's Gram matrix) to the depth; by default the depth.

        Returns
        -------
        ndarray, shape (n_samples, n_samples)

        Raises
        ------
        ValueError
            For data of another dimension, labels that do not fit, or a kernel that is infinite.
        """
        (g, d), x = self._jet(kind, layer), self.statistics._data(X)
        y = self.statistics._labels(labels, x.shape[0])
        u = self.statistics.deviations(x)
        K = (g[2] / x.shape[1]) * (x @ x.T)
        K += (g[5] / x.shape[1]) * self.statistics.T[np.ix_(y, y)]
        K += g[4] * np.outer(u, u)
        side = g[1] * u + g[3] * u * u + 0.5 * g[0]
        K += side[:, None] + side
        K[np.diag_indices_from(K)] += d
        return np.asarray(K)

    def low_rank(
        self, X: ArrayLike, labels: ArrayLike | None = None, kind: str = "conjugate", layer: int | None = None
    ) -> tuple[Array, Array]:
        """Part of low rank: the equivalent is ``gram*X X'/p + V A V' + identity*I``, see `scalars`.

        Parameters
        ----------
        X, labels, kind, layer
            As in `matrix`.

        Returns
        -------
        V : ndarray, shape (n_samples, classes + 2)
            ``[J/sqrt(p), u, u**2]``, J the indicators of the classes.
        A : ndarray, shape (classes + 2, classes + 2)
            Symmetric.
        """
        (g, _), x = self._jet(kind, layer), self.statistics._data(X)
        y, k, p = self.statistics._labels(labels, x.shape[0]), self.statistics.classes, x.shape[1]
        u = self.statistics.deviations(x)
        A = np.zeros((k + 2, k + 2))
        A[:k, :k] = g[5] * self.statistics.T + g[0] * p
        A[:k, k] = A[k, :k] = g[1] * math.sqrt(p)
        A[:k, k + 1] = A[k + 1, :k] = g[3] * math.sqrt(p)
        A[k, k] = g[4]
        return np.column_stack((np.eye(k)[y] / math.sqrt(p), u, u * u)), A

    def scalars(self, kind: str = "conjugate", layer: int | None = None) -> tuple[float, float]:
        """Coefficients of ``X X'/p`` and of the identity.

        Parameters
        ----------
        kind, layer
            As in `matrix`.

        Returns
        -------
        gram, identity : float
        """
        g, d = self._jet(kind, layer)
        return float(g[2]), d

    def _layer_jet(self, jets: Array, diagonal: float) -> tuple[Array, float]:
        return jets, float(diagonal - jets[0] - self.statistics.tau**2 * jets[2])

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> Self:
        nested = {n.removeprefix("statistics."): v for n, v in flat.items() if n.startswith("statistics.")}
        self = super()._from_flat({n: v for n, v in flat.items() if not n.startswith("statistics.")})
        object.__setattr__(self, "statistics", ClassStatistics._from_flat(nested))
        return self


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class KernelEquivalent(_Equivalent):
    """Linear equivalents of the kernels of a deep network, at every depth; see `kernel_equivalent`.

    Rows l = 0..L: level 0 is the Gram matrix of the data, level l the kernel after l activations, before the affine
    map that follows it (included in the last level with a readout).

    Attributes
    ----------
    alpha : ndarray, shape (L + 1, 4)
        Conjugate kernels: the coefficients of ``X X'/p``, of the product of the norms' deviations, of the overlap
        ``T/p``, and the slope of the diagonal in the squared norm.
    beta : ndarray, shape (L + 1, 3)
        Tangent kernels: the first three of the same.
    tau, kappa : ndarray, shape (L + 1,)
        Square roots of the diagonals of the conjugate and of the tangent kernels.
    scales : ndarray, shape (L,)
        Standard deviation of the input of each activation.
    conjugate, tangent : ndarray, shape (L + 1, 6)
        Entries off the diagonal: the coefficients of 1, ``u_i + u_j``, ``x_i.x_j/p``, ``u_i**2 + u_j**2``,
        ``u_i u_j`` and ``T/p``, with ``u = |x|**2/p - tau_0**2``.
    statistics : ClassStatistics
        Of the data.
    status : int
        `Status` code: NOT_CONVERGED where a Hermite series was cut above rounding.
    residual : float
        Estimated relative size of what the series leave out.
    """

    alpha: Array
    beta: Array
    tau: Array
    kappa: Array
    scales: Array
    conjugate: Array
    tangent: Array
    statistics: ClassStatistics
    status: Any
    residual: Any
    _activations: Any = None

    @property
    def depth(self) -> int:
        """Number of activations L."""
        return int(self.scales.size)

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activation of each layer, centred: those of the network that the equivalent describes."""
        if self._activations is None:
            raise ValueError(
                "activations are functions, which a file does not hold: call kernel_equivalent again."
            )
        return tuple(self._activations)

    @property
    def success(self) -> bool:
        """Whether every series was summed to rounding."""
        return bool(self.status == Status.CONVERGED)

    def layer(self, depth: int) -> KernelEquivalent:
        """Equivalent of the network that ends after so many layers.

        Parameters
        ----------
        depth : int
            From 0 to the depth.

        Returns
        -------
        KernelEquivalent
        """
        last = self._level(depth)
        rows = {
            n: getattr(self, n)[: last + 1] for n in ("alpha", "beta", "tau", "kappa", "conjugate", "tangent")
        }
        return KernelEquivalent(
            **rows,
            scales=self.scales[:last],
            statistics=self.statistics,
            status=self.status,
            residual=self.residual,
            _activations=self._activations and self._activations[:last],
        )

    def _level(self, layer: int | None) -> int:
        if layer is None:
            return self.depth
        level = check.integer("layer", layer, 0)
        if level > self.depth:
            raise ValueError(f"layer must be at most {self.depth}, the depth; got {level}.")
        return level

    def _jet(self, kind: str, layer: int | None) -> tuple[Array, float]:
        if kind not in _KINDS:
            raise ValueError(f'kind must be "conjugate" or "tangent"; got {kind!r}.')
        level = self._level(layer)
        jets, size = (self.conjugate, self.tau) if kind == "conjugate" else (self.tangent, self.kappa)
        if np.isinf(size[level]):
            raise ValueError(
                'kind "tangent" has an infinite diagonal: an activation jumps, so that E phi\'**2 is infinite. '
                "The conjugate kernel is finite."
            )
        return self._layer_jet(jets[level], float(size[level]) ** 2)

    def __reduce__(self) -> Any:
        fields = {n: getattr(self, n) for n in self._names()}
        return _restore, (fields, self._activations)

    def __repr__(self) -> str:
        names = (
            "" if self._activations is None else ", " + ", ".join(_runs([a.name for a in self._activations]))
        )
        return (
            f"KernelEquivalent(depth {self.depth}{names}, dimension {self.statistics.dimension}, "
            f"alpha {_short(self.alpha[-1])}, beta {_short(self.beta[-1])}, {Status(self.status).name})"
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class EquilibriumEquivalent(_Equivalent):
    """Linear equivalent of the conjugate kernel of a deep equilibrium network; see `equilibrium_equivalent`.

    Attributes
    ----------
    alpha : ndarray, shape (4,)
        As in `KernelEquivalent`.
    tau : float
        Square root of the kernel's diagonal.
    scale : float
        Standard deviation of the activation's input at equilibrium, ``tau*``.
    slopes : ndarray, shape (2,)
        ``sigma_a**2 (E phi')**2`` and ``sigma_a**2`` times the slope of the second moment: both below 1 for a
        stable equilibrium.
    statistics : ClassStatistics
        Of the data.
    status : int
        `Status` code: INVALID (alpha NaN) where the equilibrium is not stable.
    residual : float
        Relative error of the equation of tau*.
    """

    alpha: Array
    tau: Any
    scale: Any
    slopes: Array
    statistics: ClassStatistics
    status: Any
    residual: Any
    _activation: Any = None

    @property
    def activation(self) -> Activation:
        """The activation, centred at equilibrium."""
        if self._activation is None:
            raise ValueError("the activation is a function, which a file does not hold; compute it again.")
        return self._activation  # type: ignore[no-any-return]

    @property
    def success(self) -> bool:
        """Whether the equilibrium is stable."""
        return bool(self.status == Status.CONVERGED)

    def _jet(self, kind: str, layer: int | None) -> tuple[Array, float]:
        if kind != "conjugate" or layer is not None:
            raise ValueError('kind must be "conjugate" and layer None: an equilibrium has one kernel.')
        jet = np.array([0.0, 0.0, self.alpha[0], 0.0, self.alpha[1], self.alpha[2]])
        return self._layer_jet(jet, self.tau**2)

    def __repr__(self) -> str:
        return (
            f"EquilibriumEquivalent(scale {self.scale:.6g}, alpha {_short(self.alpha)}, "
            f"{Status(self.status).name})"
        )


def _restore(fields: dict[str, Any], activations: Any) -> KernelEquivalent:
    self = KernelEquivalent._from_fields(fields)
    object.__setattr__(self, "_activations", activations)
    return self


def _short(row: Array) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in row) + ")"


def _runs(names: list[str]) -> list[str]:
    """Repeated names counted: tanh x 3."""
    out: list[tuple[str, int]] = []
    for name in names:
        if out and out[-1][0] == name:
            out[-1] = (name, out[-1][1] + 1)
        else:
            out.append((name, 1))
    return [n if k == 1 else f"{n} x {k}" for n, k in out]


# ------------------------------------------------------------------------------------------------------- jets


class _Layer:
    """Derivatives ``E phi^(j)(a) phi^(k)(b)``, a and b of one variance ``tau**2`` and correlation rho."""

    def __init__(self, act: Activation, tau: float, rho: float, centred: bool):
        self.tau, self.rho = tau, rho if abs(rho) > 1e-15 else 0.0
        self.order, self.residual = _order(self.rho)
        self.a = np.array(act.hermite(self.order + 8, tau))
        if centred:
            self.a[0] = 0.0
        moments = act.moments(tau)
        self.slope_second = float(moments.slope_second)
        # E phi(sqrt(q) xi)**2 as a function of q: value, slope, half its curvature
        self.moment = float(moments.second), float(moments.quadratic), 0.0
        if self(2, 0) != 0.0:
            square = activation(lambda t: act(t) ** 2, kinks=list(act.kinks), name=f"{act.name}**2")
            self.moment = (
                *self.moment[:2],
                math.sqrt(24.0) * float(square.hermite(4, tau)[4]) / (8.0 * tau**4),
            )

    def __call__(self, j: int, k: int) -> float:
        n = np.arange(self.order + 1.0)
        up = np.ones_like(n)
        for i in range(1, max(j, k) + 1):
            up = up * np.where(i <= j, np.sqrt(n + i), 1.0) * np.where(i <= k, np.sqrt(n + i), 1.0)
        a, m = self.a, self.order + 1
        power = self.rho**n if self.rho else np.where(n == 0, 1.0, 0.0)
        return math.fsum(up * a[j : j + m] * a[k : k + m] * power) / self.tau ** (j + k)

    def compose(self, jet: Array, diagonal: tuple[float, float], shift: int = 0) -> Array:
        """Jet of ``E phi^(shift)(a) phi^(shift)(b)`` from that of the covariance of a and b."""
        s = shift
        slope, bend = diagonal
        one, cross = self(1 + s, 1 + s), self(2 + s, 2 + s)
        # derivatives in a variance are halves of second derivatives of phi
        q, qq, qr, qc = (
            0.5 * self(2 + s, s), 0.25 * self(4 + s, s), 0.25 * cross, 0.5 * self(3 + s, 1 + s)
        )  # fmt: skip
        _, u, g, uu, ur, ss = jet
        return np.array([
            self(s, s),
            q * slope + one * u,
            one * g,
            q * bend + 0.5 * qq * slope**2 + qc * slope * u + one * uu + 0.5 * cross * u * u,
            qr * slope**2 + 2.0 * qc * slope * u + one * ur + cross * u * u,
            one * ss + 0.5 * cross * g * g,
        ])  # fmt: skip


def _order(rho: float) -> tuple[int, float]:
    """Terms of a Hermite series at correlation rho, and the relative size of the rest."""
    if rho == 0.0:
        return 0, 0.0
    rate = -math.log(abs(rho)) if abs(rho) < 1.0 else 0.0
    order = 0
    while order < _MOST and 4.0 * math.log(order + 1.0) - rate * order > -38.0:
        order += 10
    rest = 4.0 * math.log(order + 1.0) - rate * order
    return order, 0.0 if rest <= -38.0 else min(1.0, math.exp(rest))


def _product(a: Array, b: Array) -> Array:
    """Jet of a product."""
    return np.array([
        a[0] * b[0],
        a[0] * b[1] + a[1] * b[0],
        a[0] * b[2] + a[2] * b[0],
        a[0] * b[3] + a[3] * b[0] + a[1] * b[1],
        a[0] * b[4] + a[4] * b[0] + 2.0 * a[1] * b[1],
        a[0] * b[5] + a[5] * b[0] + a[2] * b[2],
    ])  # fmt: skip


# --------------------------------------------------------------------------------------------------- functions


def kernel_equivalent(
    act: Any,
    data: Any,
    depth: int | None = None,
    *,
    weight_variance: ArrayLike = 1.0,
    bias_variance: ArrayLike = 0.0,
    center: bool = True,
    readout: bool = False,
) -> KernelEquivalent:
    r"""Linear equivalents of the kernels of a deep network on a mixture of classes.

    The conjugate kernel (of the features at initialisation) and the neural tangent kernel of a wide network of any
    depth become, in operator norm and up to an error of order :math:`1/\sqrt p`, a multiple of the data's Gram matrix,
    a matrix of low rank and a multiple of the identity.

    Parameters
    ----------
    act : Activation, str or callable, or sequence of them
        Activation of every layer, or one a layer.
    data : GaussianMixture, UnitSphere, ClassStatistics or array_like of shape (n_samples, n_features)
        Model of the inputs, rows of dimension p not scaled; from an array, the statistics of one class are estimated.
    depth : int, optional
        Number of activations, >= 1; by default 1, or the length of act.
    weight_variance, bias_variance : float or array_like, shape (depth,), optional
        Variances of the weights, > 0, and of the biases, >= 0, one a layer (depth + 1 with a readout).
    center : bool, optional
        Subtract from each activation its mean at the scale of its input, as the theorem asks; the result's
        `activations` are those. Otherwise they are kept as they are, and constants travel along.
    readout : bool, optional
        Apply the last affine map to both kernels: ``weight_variance*K + bias_variance``.

    Returns
    -------
    KernelEquivalent
        ``alpha``, ``beta``, ``tau``, ``kappa``, ``scales``, ``conjugate``, ``tangent``, ``statistics``, ``status``,
        ``residual``, and methods `matrix`, `low_rank`, `scalars` and `layer`.

    Raises
    ------
    TypeError
        For data of another kind.
    ValueError
        For an unknown activation, a depth that is not the number of activations, or bad variances.

    Warns
    -----
    ValidityWarning
        If p is below 20.

    Notes
    -----
    Without biases, with unit weights and centred activations, writing x for the rows over :math:`\sqrt p`,
    :math:`b_1 = E\varphi_l'(\tau_{l-1}\xi)`, :math:`b_2 = E\varphi_l''`, :math:`V = [J/\sqrt p, \psi]`,

    .. math::

        \alpha_{l,1} &= b_1^2 \alpha_{l-1,1}, &
        \alpha_{l,2} &= b_1^2 \alpha_{l-1,2} + \tfrac14 b_2^2 \alpha_{l-1,4}^2, \\
        \alpha_{l,3} &= b_1^2 \alpha_{l-1,3} + \tfrac12 b_2^2 \alpha_{l-1,1}^2, &
        \alpha_{l,4} &= \alpha_{l-1,4}\, E[\varphi_l'^2 + \varphi_l \varphi_l''], \\
        K_l &\leftrightarrow \alpha_{l,1} X^\top X + V A_l V^\top
            + (\tau_l^2 - \tau_0^2 \alpha_{l,1}) I, & \tau_l^2 &= E\varphi_l(\tau_{l-1}\xi)^2,

    and likewise for the tangent kernel :math:`\Theta_l = K_l + \Theta_{l-1} \circ K_l'` with

    .. math::

        \beta_{l,1} &= \alpha_{l,1} + b_1^2 \beta_{l-1,1}, \qquad
        \beta_{l,2} = \alpha_{l,2} + b_1^2 \beta_{l-1,2}, \\
        \beta_{l,3} &= \alpha_{l,3} + b_1^2 \beta_{l-1,3} + b_2^2 \alpha_{l-1,1} \beta_{l-1,1}, \qquad
        \kappa_l^2 = \tau_l^2 + \kappa_{l-1}^2 E\varphi_l'(\tau_{l-1}\xi)^2 .

    (Gu et al. 2022; Ali, Liao & Couillet 2022; for one layer on the sphere, El Karoui 2010.) The general case is the
    second-order Taylor polynomial of an entry in the two norms and the inner product, composed layer by layer;
    derivatives are Hermite series. Means enter through the Gram matrix. Discontinuous activations have no finite
    tangent kernel: kappa is inf.

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde.networks._equivalents import kernel_equivalent
    >>> from fasthde.networks._mixture import GaussianMixture
    >>> mean = np.zeros(500)
    >>> mean[0] = 2.0
    >>> mixture = GaussianMixture([-mean, mean], [1.0, 1.1])
    >>> eq = kernel_equivalent("relu", mixture, depth=2)
    >>> eq.alpha.round(4)
    array([[1.    , 0.    , 0.    , 1.    ],
           [0.25  , 0.0379, 0.0758, 0.3408],
           [0.0625, 0.0224, 0.0328, 0.1162]])
    """
    stats = statistics_of(data)
    stack = activations_of(act, depth)
    L = len(stack)
    weights = _variances("weight_variance", weight_variance, L + readout, positive=True)
    biases = _variances("bias_variance", bias_variance, L + readout, positive=False)
    if stats.dimension < 20:
        warn_user(f"data have dimension {stats.dimension}: the equivalents speak of large dimensions.")

    gram = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    level = _Level(gram, gram, stats.tau**2, stats.tau**2, (1.0, 0.0))
    levels, scales, used, residual = [level], [], [], 0.0
    for k, raw in enumerate(stack):
        level = level.affine(weights[k], biases[k])
        scale = math.sqrt(level.square)
        phi = raw.centered(scale) if center else raw
        layer = _Layer(phi, scale, level.jet[0] / level.square, center)
        level = level.activate(layer)
        residual = max(residual, layer.residual)
        scales.append(scale)
        used.append(phi)
        levels.append(level)
    if readout:
        levels[-1] = level.affine(weights[-1], biases[-1])

    jets, tangents = np.array([v.jet for v in levels]), np.array([v.tangent for v in levels])
    arrays = {
        "alpha": np.column_stack((jets[:, [2, 4, 5]], [v.diagonal[0] for v in levels])),
        "beta": tangents[:, [2, 4, 5]],
        "tau": np.sqrt([v.square for v in levels]),
        "kappa": np.sqrt([v.kappa for v in levels]),
        "scales": np.array(scales),
        "conjugate": jets,
        "tangent": tangents,
    }
    return KernelEquivalent(
        **{n: freeze(v) for n, v in arrays.items()},
        statistics=stats,
        status=Status.NOT_CONVERGED if residual > 1e-14 else Status.CONVERGED,
        residual=residual,
        _activations=tuple(used),
    )


def equilibrium_equivalent(
    act: Any, data: Any, *, activation_variance: float, input_variance: float = 1.0
) -> EquilibriumEquivalent:
    r"""Linear equivalent of the conjugate kernel of a deep equilibrium network.

    A network without end whose every layer sees the input again, ``z = phi(A z + B x)`` at equilibrium, with the
    entries of A of variance ``activation_variance/width`` and those of B of variance ``input_variance/p``.

    Parameters
    ----------
    act : Activation, str or callable
        Activation; its mean at equilibrium is subtracted.
    data : GaussianMixture, UnitSphere, ClassStatistics or array_like of shape (n_samples, n_features)
        As in `kernel_equivalent`.
    activation_variance : float
        ``sigma_a**2`` >= 0.
    input_variance : float, optional
        ``sigma_b**2`` > 0.

    Returns
    -------
    EquilibriumEquivalent
        ``alpha``, ``tau``, ``scale``, ``slopes``, ``activation``, ``status``, ``residual`` and the methods `matrix`,
        `low_rank` and `scalars`. INVALID where a slope is not below 1: the kernel has no stable equilibrium.

    Raises
    ------
    ValueError
        For bad variances, or when the kernel's diagonal grows without limit.

    Notes
    -----
    With :math:`\tau_*^2 = \sigma_a^2 E\varphi(\tau_*\xi)^2 + \sigma_b^2 \tau_0^2`,
    :math:`d_4 = E[\varphi'^2 + \varphi\varphi'']`, :math:`L_1 = \sigma_b^2/(1 - \sigma_a^2 b_1^2)` and
    :math:`L_4 = \sigma_b^2/(1 - \sigma_a^2 d_4)`,

    .. math:: \alpha_1 = b_1^2 L_1, \qquad \alpha_2 = \frac{b_2^2 L_4^2}{4 (1 - \sigma_a^2 b_1^2)}, \qquad
        \alpha_3 = \frac{b_2^2 L_1^2}{2 (1 - \sigma_a^2 b_1^2)}, \qquad \alpha_4 = d_4 L_4 .

    (The recursions of `kernel_equivalent` with the input added at every layer; Ling et al. 2024, arXiv:2402.02697.)

    Examples
    --------
    >>> from fasthde.networks._equivalents import equilibrium_equivalent
    >>> from fasthde.networks._mixture import UnitSphere
    >>> eq = equilibrium_equivalent("tanh", UnitSphere(400), activation_variance=0.5)
    >>> eq.success, round(eq.scale, 6)
    (True, 1.102229)
    """
    stats = statistics_of(data)
    phi = activation(act)
    a2 = check.scalar("activation_variance", activation_variance)
    b2 = check.scalar("input_variance", input_variance, positive=True)
    source = b2 * stats.tau**2

    def gap(q: float) -> float:
        m = phi.moments(math.sqrt(q))
        return a2 * (float(m.second) - float(m.mean) ** 2) + source - q

    high = 2.0 * source
    while gap(high) > 0.0:
        high *= 2.0
        if high > 1e12 * source:
            raise ValueError(
                f"activation_variance must leave the diagonal finite; at {a2} it grows without limit. Lower it."
            )
    q = float(optimize.brentq(gap, source, high, xtol=1e-300, rtol=1e-15)) if a2 else source
    scale = math.sqrt(q)
    centred = phi.centered(scale)
    layer = _Layer(centred, scale, 0.0, True)
    slope, bend, quadratic = layer(1, 1), layer(2, 2), layer.moment[1]
    slopes = np.array([a2 * slope, a2 * quadratic])
    alpha = np.full(4, np.nan)
    if (slopes < 1.0).all():
        inner, norm = b2 / (1.0 - slopes[0]), b2 / (1.0 - slopes[1])
        alpha = np.array([
            slope * inner,
            0.25 * bend * norm**2 / (1.0 - slopes[0]),
            0.5 * bend * inner**2 / (1.0 - slopes[0]),
            quadratic * norm,
        ])  # fmt: skip
    return EquilibriumEquivalent(
        alpha=freeze(alpha),
        tau=math.sqrt(layer.moment[0]),
        scale=scale,
        slopes=freeze(slopes),
        statistics=stats,
        status=Status.CONVERGED if (slopes < 1.0).all() else Status.INVALID,
        residual=abs(gap(q)) / q,
        _activation=centred,
    )


class _Level(NamedTuple):
    """Jets and diagonals of both kernels after so many layers."""

    jet: Array
    tangent: Array
    square: float
    kappa: float
    diagonal: tuple[float, float]  # of the conjugate kernel: slope in u, half its curvature

    def affine(self, weight: float, bias: float) -> _Level:
        constant = np.array([bias, 0.0, 0.0, 0.0, 0.0, 0.0])
        return _Level(
            weight * self.jet + constant,
            weight * self.tangent + constant,
            weight * self.square + bias,
            weight * self.kappa + bias,
            (weight * self.diagonal[0], weight * self.diagonal[1]),
        )

    def activate(self, layer: _Layer) -> _Level:
        jet = layer.compose(self.jet, self.diagonal)
        value, first, half = layer.moment
        return _Level(
            jet,
            jet + _product(self.tangent, layer.compose(self.jet, self.diagonal, 1)),
            value,
            value + self.kappa * layer.slope_second,
            (first * self.diagonal[0], first * self.diagonal[1] + half * self.diagonal[0] ** 2),
        )


def activations_of(act: Any, depth: int | None) -> list[Activation]:
    """One activation a layer."""
    if isinstance(act, list | tuple):
        stack = [activation(a) for a in act]
        if not stack:
            raise ValueError("act must not be empty; name one activation a layer.")
        if depth is not None and check.integer("depth", depth, 1) != len(stack):
            raise ValueError(f"depth must be {len(stack)}, the number of activations given; got {depth}.")
        return stack
    return [activation(act)] * (1 if depth is None else check.integer("depth", depth, 1))


def _variances(name: str, value: ArrayLike, count: int, *, positive: bool) -> list[float]:
    v = check.finite(name, check.real_array(name, value))
    if v.ndim == 0:
        v = np.full(count, float(v))
    check.same_length(name, v, "affine maps", count)
    if (v <= 0).any() if positive else (v < 0).any():
        raise ValueError(f"{name} must be {'> 0' if positive else '>= 0'}; got {float(v.min())}.")
    return [float(x) for x in v]
