"""Linear equivalents of the kernels of deep networks."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._results import Status, freeze, warn_user
from fasthde.activations import Activation, activation
from fasthde.networks._jets import Layer, Level
from fasthde.networks._mixture import statistics_of
from fasthde.networks._statistics import ClassStatistics, WithStatistics

Array = NDArray[np.float64]

#: Relative differences of squared norms beyond which a second-order Taylor polynomial is a poor guide.
_FAR = 0.4

_KINDS = ("conjugate", "tangent")


# ---------------------------------------------------------------------------------------------------- results


class Equivalent(WithStatistics):
    """Matrices of an equivalent from the jets of its kernels."""

    __slots__ = ()

    def _jet(self, kind: str, layer: int | None) -> tuple[Array, float]:
        """Jet and size of the diagonal."""
        raise TypeError("an equivalent has jets")  # pragma: no cover

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
        u = self._deviations(x)
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
        u = self._deviations(x)
        A = np.zeros((k + 2, k + 2))
        A[:k, :k] = g[5] * self.statistics.T + g[0] * p
        A[:k, k] = A[k, :k] = g[1] * math.sqrt(p)
        A[:k, k + 1] = A[k + 1, :k] = g[3] * math.sqrt(p)
        A[k, k] = g[4]
        return np.column_stack((np.eye(k)[y] / math.sqrt(p), u, u * u)), A

    def _deviations(self, x: Array) -> Array:
        u, size = self.statistics.deviations(x), self.statistics.tau**2
        if abs(u.mean()) > _FAR * size:
            warn_user(
                f"X has mean squared norm {u.mean() + size:.4g} p and the statistics {size:.4g} p: the equivalent is "
                "that of data they describe. Centre or scale the data, or take statistics from it."
            )
        return u

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


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class KernelEquivalent(Equivalent):
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
            f"alpha {short(self.alpha[-1])}, beta {short(self.beta[-1])}, {Status(self.status).name})"
        )


def _restore(fields: dict[str, Any], activations: Any) -> KernelEquivalent:
    self = KernelEquivalent._from_fields(fields)
    object.__setattr__(self, "_activations", activations)
    return self


def short(row: Array) -> str:
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
        If p is below 20, or if traces of the classes' covariances differ by more than 40 %.

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

    (Gu et al. 2022; Tiomoko Ali, Liao & Couillet 2022; for one layer on the sphere, El Karoui 2010.) The general case
    is the second-order Taylor polynomial of an entry in the two norms and the inner product, composed layer by layer;
    derivatives are Hermite series. Means enter through the Gram matrix. Discontinuous activations have no finite
    tangent kernel: kappa is inf.

    Examples
    --------
    >>> import numpy as np
    >>> from fasthde import kernel_equivalent
    >>> from fasthde import GaussianMixture
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
    readout = check.flag("readout", readout)
    weights = _variances("weight_variance", weight_variance, L + readout, positive=True)
    biases = _variances("bias_variance", bias_variance, L + readout, positive=False)
    warn_statistics(stats)
    gram = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    level = Level(gram, gram, stats.tau**2, stats.tau**2, (1.0, 0.0))
    levels, scales, used, residual = [level], [], [], 0.0
    for k, raw in enumerate(stack):
        level = level.affine(weights[k], biases[k])
        scale = math.sqrt(level.square)
        phi = raw.centered(scale) if center else raw
        if center and not phi.moments(scale).second > 1e-28 * raw.moments(scale).second:
            raise ValueError(f"act[{k}] must not be constant: it is {raw(0.0):.6g} at scale {scale:.6g}.")
        layer = Layer(phi, scale, level.jet[0] / level.square, center)
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


def warn_statistics(stats: ClassStatistics) -> None:
    spread = float(np.abs(stats.t).max()) / math.sqrt(stats.dimension) / stats.tau**2
    if stats.dimension < 20:
        warn_user(f"data have dimension {stats.dimension}: the equivalents speak of large dimensions.")
    elif spread > _FAR:
        warn_user(
            f"data have classes whose covariances differ in trace by {spread:.0%} of the mean: the equivalents "
            f"speak of differences of order 1/sqrt(p), here {1 / math.sqrt(stats.dimension):.0%}."
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
