"""Pictures of deep networks: activations, dual functions, coefficients by layer, the kernel's spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check

Array = NDArray[np.float64]

#: Lines of a deep network in one panel, at most.
_LINES = 5

_ALPHA = (r"$\alpha_1$", r"$\alpha_2$", r"$\alpha_3$", r"$\alpha_4$", r"$\tau^2$")
_BETA = (r"$\beta_1$", r"$\beta_2$", r"$\beta_3$", r"$\kappa^2$")


def dual(
    act: Any,
    variance: float = 1.0,
    *,
    derivative: bool = False,
    label: str | None = None,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Dual function of an activation against the correlation.

    Parameters
    ----------
    act : Activation, str or callable, or sequence of them
        Activations, a line for each.
    variance : float, optional
        Variance of both arguments, > 0.
    derivative : bool, optional
        Draw ``E phi'(u) phi'(v)`` instead.
    label : str, optional
        Name in the legend, of a single activation; its own name by default.
    title : str, optional
        Title.
    ax : matplotlib Axes, optional
        Drawn into, in the next colours if it holds lines; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        For a variance that is not positive, an unknown activation, or ``derivative=True`` where one jumps.

    Examples
    --------
    >>> import fasthde as fh
    >>> ax = fh.plot.dual(["relu", "tanh"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['relu', 'tanh']
    """
    from fasthde import plot
    from fasthde.activations import activation

    q = check.scalar("variance", variance, positive=True)
    acts = [activation(a) for a in (act if isinstance(act, list | tuple) else [act])]
    if not acts:
        raise ValueError("act must not be empty; name one activation or more.")
    rho = _correlations()
    values = [np.asarray(a.dual(rho, q, q, derivative=derivative)) for a in acts]
    ax = plot._axes(ax)
    for a, value in zip(acts, values, strict=True):
        colour = plot.COLOURS[len(ax.lines) % len(plot.COLOURS)]
        name = label if label is not None and len(acts) == 1 else repr(a)
        ax.plot(rho, value, color=colour, lw=1.8, label=name)
    ax.set_xlabel(r"correlation $\rho$")
    ax.set_ylabel(r"$E\,\varphi'(u)\,\varphi'(v)$" if derivative else r"$E\,\varphi(u)\,\varphi(v)$")
    ax.set_xlim(-1.0, 1.0)
    _finish(ax, title)
    return ax


def network(
    act: Any,
    data: Any = None,
    depth: int | None = None,
    *,
    weight_variance: ArrayLike = 1.0,
    bias_variance: ArrayLike = 0.0,
    center: bool = True,
    law: Any = None,
    sample: ArrayLike | None = None,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """A deep network at a glance: activations, dual functions, coefficients of its kernels by layer, a spectrum.

    Parameters
    ----------
    act, data, depth, weight_variance, bias_variance, center
        As of `kernel_equivalent`; without data, inputs of squared norm p and covariance I.
    law : Law, optional
        Limiting spectrum of a kernel, drawn on the right.
    sample : array_like, optional
        Eigenvalues, whose histogram is drawn under the law. Those with the ranks of an atom are counted there, though
        they spread at finite size (at an atom at 0, those that are 0); far ones are left out and named.
    title : str, optional
        Title of the figure.
    ax : sequence of matplotlib Axes, optional
        Four axes, five with a law, drawn into; a new figure by default.

    Returns
    -------
    ndarray of matplotlib Axes
        Activations, dual functions, conjugate kernel, tangent kernel; with a law, its density.

    Raises
    ------
    ValueError
        As `kernel_equivalent`; for another number of axes, or a sample without a law.

    Notes
    -----
    The dual function of layer l is composed of those of the layers before: the correlation of the features of two
    inputs of one norm, against the correlation of the inputs. Coefficients are absolute values; those that are 0 have
    no place on a logarithmic axis.

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.finite_width_law(fh.Spectrum.isotropic(400), "relu", [800, 800], 0.5)
    >>> axes = fh.plot.network("relu", depth=2, law=law)
    >>> [a.get_title() for a in axes[-2:]]
    ['tangent kernel', 'limiting spectrum']
    """
    from fasthde.networks import ClassStatistics, kernel_equivalent

    if sample is not None and law is None:
        raise ValueError("law must be given with a sample: the law that its eigenvalues are compared with.")
    if data is None:
        data = ClassStatistics(1.0, [0.0], [[1.0]], [1.0], 1_000)
    eq = kernel_equivalent(
        act, data, depth, weight_variance=weight_variance, bias_variance=bias_variance, center=center
    )
    weights, biases = (np.broadcast_to(v, eq.depth).tolist() for v in (weight_variance, bias_variance))
    rho = _correlations()
    curves = composed(eq.activations, float(eq.tau[0]) ** 2, rho, weights, biases)
    count = 4 if law is None else 5
    axes = _panels(count) if ax is None else np.asarray(ax, dtype=object).ravel()
    if axes.size != count:
        raise ValueError(f"ax must hold {count} axes; got {axes.size}.")

    _draw_activations(axes[0], eq)
    axes[1].plot(rho, rho, color="0.6", lw=1.0, ls="--", label="inputs")
    shown = np.unique(np.linspace(1, eq.depth, min(eq.depth, _LINES)).round().astype(int))
    for l, colour in zip(shown, _shades(shown.size), strict=True):  # noqa: E741
        axes[1].plot(rho, curves[l] / curves[l][-1], color=colour, lw=1.8, label=f"layer {l}")
    axes[1].set_xlim(-1.0, 1.0)
    axes[1].set_xlabel(r"correlation $\rho$ of the inputs")
    axes[1].set_ylabel(r"$\kappa_l(\rho)/\kappa_l(1)$")
    _finish(axes[1], "dual functions, composed")
    _draw_levels(axes[2], np.column_stack((eq.alpha, eq.tau**2)), _ALPHA, "conjugate kernel")
    name = "tangent kernel" if np.isfinite(eq.kappa[-1]) else "tangent kernel, of infinite diagonal"
    _draw_levels(axes[3], np.column_stack((eq.beta, eq.kappa**2)), _BETA, name)
    if law is not None:
        _draw_spectrum(axes[4], law, sample)
    if title:
        axes[0].figure.suptitle(title, fontsize=12)
    return axes


def composed(
    acts: Sequence[Any], square: float, rho: Array, weights: Sequence[float], biases: Sequence[float]
) -> list[Array]:
    """Kernel after each layer, from layer 0, of two inputs of one squared norm and correlations rho, the last one 1."""
    kernel = square * np.asarray(rho, dtype=np.float64)
    levels = [kernel]
    for act, weight, bias in zip(acts, weights, biases, strict=True):
        kernel = weight * kernel + bias
        q = float(kernel[-1])
        kernel = np.asarray(act.dual(np.clip(kernel / q, -1.0, 1.0), q, q))
        levels.append(kernel)
    return levels


def gathered(sample: Array, law: Any) -> tuple[Array, NDArray[np.bool_]]:
    """Eigenvalues in order, those that belong to an atom moved onto it, and which those are.

    At finite size an atom spreads into the eigenvalues whose ranks it has; not so an atom at 0, which is a rank.
    """
    x = np.sort(sample)
    mine = np.zeros(x.size, dtype=bool)
    if not len(law.support):
        return x, mine
    size = max(float(np.abs(x).max()), float(np.abs(law.support).max()))
    for place, mass in law.atoms:
        if abs(place) <= 1e-12 * size:
            own = np.abs(x) <= 1e-10 * size
        else:
            top = round(float(law.cdf(place)) * x.size)
            own = np.zeros(x.size, dtype=bool)
            own[max(top - round(mass * x.size), 0) : top] = True
        x[own] = place
        mine |= own
    return x, mine


def outlying(sample: Array, law: Any, margin: float) -> NDArray[np.bool_]:
    """Eigenvalues beyond the law by more than so many of its widths; beside a single atom, of widths of their own."""
    if len(law.support):
        ends = np.append(law.support, [a for a, _ in law.atoms])
        low, high = ends.min(), ends.max()
    else:
        low, high = np.quantile(sample, [0.02, 0.98])
        margin += 1.0
    room = margin * (high - low)
    far = np.asarray((sample < low - room) | (sample > high + room))
    return far if far.mean() <= 0.1 else np.zeros(far.size, dtype=bool)  # otherwise the law is at fault


# ------------------------------------------------------------------------------------------------------ panels


def _correlations() -> Array:
    """Correlations, dense towards both ends, where dual functions of kinks bend."""
    return -np.cos(np.linspace(0.0, np.pi, 301))


def _shades(count: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0.85, 0.1, count) if count > 1 else [0.3])


def _panels(count: int) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("drawing needs matplotlib: pip install 'fasthde[plot]'.") from None
    columns: list[Any] = [["act", "alpha"], ["dual", "beta"]]
    if count == 5:
        columns = [[*row, "law", "law"] for row in columns]
    size = (7.6 if count == 4 else 14.0, 6.4)
    figure, axes = plt.subplot_mosaic(columns, figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    return np.array([axes[name] for name in ("act", "dual", "alpha", "beta", "law")[:count]], dtype=object)


def _finish(ax: Any, title: str | None) -> None:
    ax.grid(alpha=0.25, lw=0.5)
    ax.legend(frameon=False, fontsize=9)
    if title:
        ax.set_title(title, fontsize=11)


def _draw_activations(ax: Any, eq: Any) -> None:
    """Every activation once, as in the first layer that has it."""
    from fasthde import plot

    reach = 3.0 * float(eq.scales.max())
    t = np.unique(np.concatenate((np.linspace(-reach, reach, 601), [0.0])))
    drawn: list[Any] = []
    for act in eq.activations:
        base = act._affine(1.0, 0.0)
        if base in drawn or len(drawn) == _LINES:
            continue
        drawn.append(base)
        y = np.asarray(act(t), dtype=np.float64)
        for jump in act.kinks if not act.continuous else ():
            y = np.where(np.abs(t - jump) <= reach / 600, np.nan, y)
        colour = plot.COLOURS[(len(drawn) - 1) % len(plot.COLOURS)]
        ax.plot(t, y, color=colour, lw=1.8, label=act.name)
    ax.axhline(0.0, color="0.8", lw=0.8, zorder=0)
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("t")
    ax.set_ylabel(r"$\varphi(t)$")
    _finish(ax, "activations" if len(drawn) > 1 else "activation")


def _draw_levels(ax: Any, values: Array, names: Sequence[str], title: str) -> None:
    """Coefficients against the layer, on a logarithmic axis."""
    from matplotlib.ticker import MaxNLocator

    from fasthde import plot

    layers = np.arange(values.shape[0])
    size = np.abs(values)
    finite = size[np.isfinite(size)]
    size = np.where((size > 1e-14 * finite.max(initial=0.0)) & np.isfinite(size), size, np.nan)
    for k, name in enumerate(names):
        last = k == len(names) - 1
        y = size[:, k]
        if np.isnan(y[1:]).all():
            continue
        shown = rf"$|{name.strip('$')}|$" if (values[~np.isnan(y), k] < 0).any() else name
        mark = {"marker": "os^D"[k % 4], "ms": 4.5} if layers.size <= 30 else {}
        colour = "0.35" if last else plot.COLOURS[k]
        ax.plot(layers, y, color=colour, lw=1.4, ls="--" if last else "-", mfc="white", label=shown, **mark)
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("layer")
    ax.set_ylabel("coefficient")
    _finish(ax, title)


def _draw_spectrum(ax: Any, law: Any, sample: ArrayLike | None) -> None:
    from fasthde import plot

    title = "limiting spectrum"
    if sample is None:
        plot.density(law, title=title, ax=ax)
        return
    x = check.not_empty("sample", check.finite("sample", check.real_array("sample", sample))).ravel()
    x, mine = gathered(x, law)
    far = outlying(x, law, 1.0) & ~mine
    bins = None
    if not len(law.support):  # bins of the sample's own
        bins = np.linspace(x[~far].min(), x[~far].max(), 41) if np.ptp(x[~far]) else None
    plot.density(law, sample=x, bins=bins, title=title, ax=ax)
    if not len(law.support):
        ax.collections[-1].remove()  # the share of eigenvalues exactly there
    if far.any():
        seen = np.concatenate((np.ravel(law.support), [a for a, _ in law.atoms], x[~far]))
        room = 0.03 * float(np.ptp(seen))
        ax.set_xlim(seen.min() - room, seen.max() + room)
        values = ", ".join(f"{v:.4g}" for v in x[far][::-1][:3]) + (", ..." if far.sum() > 3 else "")
        ax.annotate(
            f"not shown: {values}",
            (0.98, 0.6),
            xycoords="axes fraction",
            ha="right",
            fontsize=9,
            color="0.25",
        )
