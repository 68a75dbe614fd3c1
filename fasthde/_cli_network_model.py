"""What ``fasthde network`` computes: the network, its kernels, their law, a network drawn."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fasthde

if TYPE_CHECKING:
    from fasthde.activations import Activation
    from fasthde.laws import Law
    from fasthde.networks import KernelEquivalent
    from fasthde.spectrum import Spectrum

Array = NDArray[np.float64]


class Net(NamedTuple):
    """The network that the arguments describe, and its data."""

    names: list[str]
    acts: list[Activation]
    weights: Array
    biases: Array
    form: str
    H: Spectrum
    ratio: float
    samples: int
    widths: Array | None

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.acts)

    @property
    def uniform(self) -> bool:
        """Whether all layers are the same."""
        same = all(act == self.acts[0] for act in self.acts)
        return same and np.ptp(self.weights) == 0 and np.ptp(self.biases) == 0


def check_tangent(net: Net) -> None:
    """Refuse networks whose tangent kernel has no law here."""
    if net.widths is not None:
        raise ValueError(
            "--kernel tangent must be without --widths: the law at finite widths is that of the conjugate kernel. "
            "Leave out one of them."
        )
    for name, act in zip(net.names, net.acts, strict=True):
        if not act.continuous:
            raise ValueError(
                f"--kernel tangent must have continuous activations: {name} jumps, so that its tangent kernel is "
                "infinite on the diagonal. Use --kernel conjugate."
            )


def statistics(net: Net) -> Any:
    """What kernels see of the data."""
    p = max(1, round(net.ratio * net.samples))
    tau = math.sqrt(net.H.moment(1))
    return fasthde.ClassStatistics(tau, [0.0], [[net.H.moment(2)]], [1.0], p)


def equivalent(net: Net) -> KernelEquivalent:
    """Equivalent of the network whose activations have the form asked for."""
    acts = list(net.acts)
    square = net.H.moment(1)
    for k, act in enumerate(acts):
        scale = math.sqrt(net.weights[k] * square + net.biases[k])
        where = f"--activation: layer {k + 1}, {net.names[k]}, of input scale {scale:.4g}"
        try:
            if net.form == "normalized":
                acts[k] = act.normalized(scale)
            moments = acts[k].moments(scale)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        square = float(moments.second)
        if net.form == "centered":
            square = float(moments.nonlinear) + (scale * float(moments.slope)) ** 2
        if not square > 1e-28 * float(moments.second):
            raise ValueError(f"{where}, must not be constant there: use --form normalized, or another one.")
        if not square > 1e-100:
            raise ValueError(
                f"{where}, shrinks to nothing: use a larger --weight-variance or --form normalized."
            )
        if not square < 1e100:
            raise ValueError(f"{where}, grows without bound: use a smaller --weight-variance or --depth.")
    return fasthde.kernel_equivalent(
        acts, statistics(net), weight_variance=net.weights, bias_variance=net.biases,
        center=net.form == "centered",
    )  # fmt: skip


def law_of(net: Net, eq: KernelEquivalent, kind: str) -> Law:
    """Limiting spectrum: the Gram matrix of the data, then a map or a map and a sample covariance for each layer."""
    from fasthde.networks._laws import _data_gram, _through

    law = _data_gram(net.H, net.ratio)
    if net.widths is None:
        gram, rest = eq.scalars(kind)
        size = float((eq.tau if kind == "conjugate" else eq.kappa)[-1]) ** 2
        return _through(law, *_tidy(gram, rest, float(eq.tau[0]) ** 2, size))
    _check_widths(net, eq)
    for l, width in enumerate(net.widths):  # noqa: E741
        law = _through(law, *_step(net, eq, l)).sample_covariance(net.samples / float(width))
    return law


def _check_widths(net: Net, eq: KernelEquivalent) -> None:
    """A mean common to all samples, drawn anew for each unit, makes units unlike: no sample covariance of them."""
    if net.biases.any():
        raise ValueError(
            "--bias-variance must be 0 with --widths: units with biases of their own are no sample of one kernel. "
            "Leave out one of them."
        )
    for l in range(net.depth - 1):  # noqa: E741
        if abs(eq.conjugate[l + 1, 0]) > 1e-12 * eq.tau[l + 1] ** 2:
            raise ValueError(
                f"--form plain with --widths must have activations of mean 0 before the last layer; {net.names[l]} "
                f"has mean {net.acts[l].moments(float(eq.scales[l])).mean:.4g}. Use --form centered, or leave out "
                "--widths."
            )


def _step(net: Net, eq: KernelEquivalent, l: int) -> tuple[float, float]:  # noqa: E741
    """What layer l + 1 multiplies the bulk of the kernel before it by, and adds to it."""
    moments = eq.activations[l].moments(float(eq.scales[l]))
    gain, rest = float(net.weights[l]) * float(moments.slope) ** 2, float(moments.nonlinear)
    return _tidy(gain, rest, float(eq.tau[l]) ** 2, float(moments.second))


def _tidy(gain: float, rest: float, before: float, after: float) -> tuple[float, float]:
    """Rounding levels, beside the diagonals before and after, become 0."""
    return (gain if gain * before > 1e-28 * after else 0.0), (rest if rest > 1e-14 * after else 0.0)


# ---------------------------------------------------------------------------------------------- many layers


class Deep(NamedTuple):
    """Where many equal layers lead: variance of the pre-activations, and correlation of two inputs."""

    variance: float  # 0 or inf where it has no limit
    growth: float  # of a variance that has none, by layer; otherwise the slope of its map
    kept: bool  # whether every variance is kept
    chi: float  # weight variance x E phi'^2: what a layer multiplies squared gradients by
    steep: float  # slope of the correlation map at 1; chi where the variance is fixed
    correlation: float
    slope: float  # there
    linear: bool  # whether the correlation map keeps every correlation


def deep(act: Activation, weight: float, bias: float, form: str, start: float) -> Deep:
    """Fixed points of the maps of one layer, of pre-activations, reached from a variance and from correlations >= 0.

    The correlation map has a power series of coefficients >= 0: it is convex on [0, 1], where it has at most one fixed
    point besides 1, and that one attracts if the slope at 1 exceeds 1.
    """
    if form == "normalized":
        q, at, kept = weight + bias, weight + bias, False
    else:
        q, at, kept = _variance(act, weight, bias, form, start)
    scale = math.sqrt(at)
    phi = act
    if form != "plain":
        phi = act.centered(scale) if form == "centered" else act.normalized(scale)
    moments = phi.moments(scale)
    level = weight * float(moments.second) + bias
    chi = weight * float(moments.slope_second)
    growth = level / at
    if form == "normalized":
        growth = 0.0
    elif 0 < q < math.inf:
        raw = act.moments(scale)
        growth = float(raw.quadratic)
        if form == "centered":  # the mean is removed at every variance
            growth -= float(raw.mean) * float(raw.curvature)
        growth *= weight

    def ahead(rho: float) -> float:
        return (weight * float(phi.dual(rho, at, at)) + bias) / level - rho

    steep = chi * at / level
    linear = abs(steep - 1.0) <= 1e-9 and abs(ahead(0.0)) <= 1e-9
    rho = _root(ahead) if steep > 1.0 + 1e-9 else 1.0
    slope = steep if rho == 1.0 else _slope(phi, weight, at, level, rho)
    return Deep(q, growth, kept, chi, steep, rho, slope, linear)


def _variance(
    act: Activation, weight: float, bias: float, form: str, start: float
) -> tuple[float, float, bool]:
    """First fixed variance in the direction in which the map leads, the last one seen, and whether all are fixed."""
    from scipy.optimize import brentq

    def excess(q: float) -> float:
        """log(V(q)/q)."""
        moments = act.moments(math.sqrt(q))
        square = float(moments.second) - (float(moments.mean) ** 2 if form == "centered" else 0.0)
        return math.log(max(weight * square + bias, 1e-300) / q)

    first = excess(start)
    if abs(first) < 1e-12:
        return start, start, abs(excess(2.0 * start)) < 1e-12
    up, low = first > 0, start
    for _ in range(80):
        high = low * (math.sqrt(2.0) if up else math.sqrt(0.5))
        try:
            value = excess(high)
        except (ValueError, OverflowError):  # no longer square-integrable
            break
        if not math.isfinite(value):
            break
        if (value > 0) != up:
            q = float(brentq(excess, low, high, xtol=1e-15 * low, rtol=1e-14))
            return q, q, False
        low = high
    return (math.inf if up else 0.0), low, False


def _root(ahead: Any) -> float:
    """Fixed point of a convex map below 1, whose slope there exceeds 1."""
    from scipy.optimize import brentq

    if ahead(0.0) <= 1e-14:
        return 0.0
    high = 0.5
    while ahead(high) >= 0.0:
        high = 0.5 * (1.0 + high)
        if high > 1.0 - 1e-9:
            return 1.0
    return float(brentq(ahead, 0.0, high, xtol=1e-14))


def _slope(phi: Activation, weight: float, q: float, level: float, rho: float) -> float:
    """Slope of the correlation map inside (-1, 1), where jumps do no harm."""
    if phi.continuous:
        return weight * float(phi.dual(rho, q, q, derivative=True)) * q / level
    step = 1e-5 * (1.0 - rho)
    values = phi.dual([rho - step, rho + step], q, q)
    return weight * float(values[1] - values[0]) / (2.0 * step * level)


# ----------------------------------------------------------------------------------------------- simulation


def shape(net: Net, n: int) -> tuple[int, list[int]]:
    """Dimension and widths beside n samples, in the proportions asked for."""
    p = round(net.ratio * n)
    wide = [] if net.widths is None else [round(float(w) * n / net.samples) for w in net.widths]
    return p, wide


def check_size(net: Net, n: int) -> None:
    """Refuse a simulation without dimension or units, or beyond the memory."""
    from fasthde._simulate import memory

    p, wide = shape(net, n)
    levels = int(np.count_nonzero(net.H.multiplicity > 0))
    if p < levels:
        raise ValueError(
            f"--simulate {n} leaves a dimension of {p} at --ratio {net.ratio:g}; use at least "
            f"{math.ceil(levels / net.ratio)} samples."
        )
    if min(wide, default=1) < 1:
        raise ValueError(
            f"--simulate {n} leaves a layer without units at --samples {net.samples}; use more samples."
        )
    sizes = [p, *wide]
    need = max(n * (a + b) + a * b for a, b in itertools.pairwise(sizes)) if wide else n * p
    total, have = 8.0 * (2.0 * need + 5.0 * n * n), memory()
    if total > 0.5 * have:
        raise ValueError(
            f"--simulate {n} needs about {total / 1e9:.3g} GB of the {have / 1e9:.3g} GB of memory; use fewer samples"
            + (", and --samples to keep the proportions." if wide else ".")
        )


def simulate(net: Net, eq: KernelEquivalent, kind: str, n: int, seed: int) -> Array:
    """Eigenvalues of the kernel of Gaussian data: of one network drawn, or of the infinitely wide one."""
    from fasthde._simulate import apportion

    rng = np.random.default_rng(seed)
    p, wide = shape(net, n)
    x = rng.standard_normal((n, p)) * np.sqrt(np.repeat(net.H.values, apportion(net.H.multiplicity, p)))
    if net.widths is None:
        of = fasthde.conjugate_kernel if kind == "conjugate" else fasthde.tangent_kernel
        try:
            kernel = of(x, eq.activations, weight_variance=net.weights, bias_variance=net.biases)
        except ValueError as error:
            raise ValueError(f"--simulate {n}: the exact kernel of these samples fails: {error}") from None
        return np.asarray(np.linalg.eigvalsh(kernel))
    for act, width, weight in zip(eq.activations, wide, net.weights, strict=True):
        x = act(x @ rng.standard_normal((x.shape[1], width)) * math.sqrt(weight / x.shape[1]))
    return np.asarray(np.linalg.eigvalsh(x @ x.T / x.shape[1]))
