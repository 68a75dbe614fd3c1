"""Pictures: matplotlib is imported only when one is drawn; ``ax=None`` in, axes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._plot_network import dual as dual
from fasthde._plot_network import network as network

if TYPE_CHECKING:
    from fasthde._check import CheckResult

Array = NDArray[np.float64]

#: Distinct under common colour-vision deficiencies, dark enough on white.
COLOURS = ("#1b6ca8", "#d1603d", "#2a9d5c", "#7a4ea3", "#b8860b", "#3b3b3b")


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("drawing needs matplotlib: pip install 'fasthde[plot]'.") from None
    return plt.subplots(figsize=(7.2, 4.6), layout="constrained")[1]


def _plain_ticks(ax: Any) -> None:
    """Plain numbers: learning curves rarely span many decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)))
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_formatter(NullFormatter())


def learning_curve(
    n: Array,
    lam: Array,
    test: Array,
    *,
    train: Array | None = None,
    measured: CheckResult | None = None,
    rank: float | None = None,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Test error against the number of samples, a line for each ridge, measured means over it.

    Parameters
    ----------
    n : ndarray, shape (sizes,)
        Sample sizes of the lines.
    lam : ndarray, shape (ridges,)
        Ridges.
    test : ndarray, shape (sizes, ridges)
        Predicted test errors.
    train : ndarray, shape (sizes, ridges), optional
        Predicted training errors, dotted.
    measured : CheckResult, optional
        Measured test errors with their standard errors.
    rank : float, optional
        Rank of the covariance, marked on the axis as the interpolation threshold.
    title : str, optional
        Title.
    ax : matplotlib Axes, optional
        Drawn into; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import fasthde as fh, numpy as np
    >>> problem = fh.LinearProblem(fh.Spectrum.isotropic(100), signal=1.0, noise=0.1)
    >>> n, lam = np.geomspace(30, 1000, 50), np.array([1e-3, 1e-1])
    >>> ax = fh.plot.learning_curve(n, lam, fh.ridge(problem, n[:, None], lam).test)
    >>> ax.get_xlabel()
    'training samples n'
    """
    n, lam, test = np.atleast_1d(n), np.atleast_1d(lam), np.asarray(test)
    if (
        n.ndim != 1
        or lam.ndim != 1
        or test.reshape(test.shape or (1,)).shape
        not in ((n.size, lam.size), *([(n.size,)] if lam.size == 1 else []))
    ):
        raise ValueError(
            f"test must have shape (sizes, ridges) = ({n.size}, {lam.size}) for one-dimensional n and lam; got n "
            f"{n.shape}, lam {lam.shape}, test {test.shape}."
        )
    test = test.reshape(n.size, lam.size)
    train = None if train is None else np.asarray(train).reshape(n.size, lam.size)
    ax = _axes(ax)
    order = np.argsort(lam)
    mark = "_" if n.size == 1 else None  # a line of one point would not be seen
    for i, j in enumerate(order):
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(n, test[:, j], color=colour, lw=1.8, marker=mark, label=f"$\\lambda$ = {lam[j]:g}")
        if train is not None:
            ax.plot(n, train[:, j], color=colour, lw=1.0, ls=":")
        if measured is not None:
            ax.errorbar(
                measured.n, measured.test[:, j], yerr=measured.test_se[:, j],
                fmt="o", ms=4.0, mfc="white", mec=colour, ecolor=colour, elinewidth=1.0, capsize=2.0,
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    drawn = [test] if measured is None else [test, measured.test]
    finite = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in drawn])
    ax.set_ylim(finite.min() / 1.25, min(finite.max(), 100.0 * np.median(finite)) * 1.4)
    _plain_ticks(ax)
    if rank is not None and n.min() < rank < n.max():
        ax.axvline(rank, color="0.6", lw=0.8, ls="--", zorder=0)
        ax.annotate(
            f"n = rank = {rank:g}", (rank, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -10),
            textcoords="offset points", fontsize=8, color="0.4",
        )  # fmt: skip
    ax.set_xlabel("training samples n")
    ax.set_ylabel("test error")
    ax.grid(alpha=0.25, lw=0.5, which="both")
    handles, labels = ax.get_legend_handles_labels()
    if measured is not None:
        extra = ax.errorbar(
            [], [], yerr=[], fmt="o", ms=4.0, mfc="white", mec="0.3", ecolor="0.3", capsize=2.0
        )
        handles, labels = [*handles, extra], [*labels, f"measured, {measured.draws} draws"]
    ax.legend(handles, labels, frameon=False, fontsize=9)
    if title:
        ax.set_title(title, fontsize=11)
    return ax


def density(
    law: Any,
    x: ArrayLike | None = None,
    *,
    sample: ArrayLike | None = None,
    bins: int | ArrayLike | None = None,
    label: str | None = "law",
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Density of a spectral law, its atoms, and the histogram of eigenvalues under it.

    Parameters
    ----------
    law : Law
        Or any object with ``support``, ``atoms`` and ``pdf``.
    x : array_like, optional
        Points of the line; by default dense towards the edges of the support.
    sample : array_like, optional
        Eigenvalues; their histogram has the mass of those not at an atom, as the density has.
    bins : int or array_like, optional
        Bins over the support, each interval cut into whole ones; or their edges. By the sample's size if left out.
    label : str, optional
        Name in the legend; None for no legend.
    title : str, optional
        Title.
    ax : matplotlib Axes, optional
        Drawn into, in the next colour if it holds lines; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    Where the density rises far above its mean over any bin, as at a hard edge, the line leaves at the top. A stem has
    the height of its mass, the axes that of mass 1; the share of the sample at an atom is an open circle.

    Examples
    --------
    >>> import fasthde as fh
    >>> law = fh.marchenko_pastur(2.0)
    >>> ax = fh.plot.density(law, sample=law.rvs(500, rng=0))
    >>> ax.texts[0].get_text()
    'mass 0.5'
    """
    if not all(hasattr(law, name) for name in ("support", "atoms", "pdf")):
        raise TypeError(
            f"law must have support, atoms and pdf; got {type(law).__name__}. Build one with fh.sample_covariance(...)."
        )
    support = np.asarray(law.support, dtype=np.float64).reshape(-1, 2)
    atoms = np.array(law.atoms, dtype=np.float64).reshape(-1, 2)
    values = None
    if sample is not None:
        values = check.not_empty("sample", check.finite("sample", check.real_array("sample", sample))).ravel()
    points = None if x is None else np.sort(check.finite("x", check.real_array("x", x)).ravel())
    cuts = _bins(bins, values)

    ax = _axes(ax)
    used = ax.has_data()
    (left, right), top = ax.get_xlim(), ax.get_ylim()[1]
    colour = COLOURS[len(ax.lines) % len(COLOURS)]
    free, share = (None, None) if values is None else apart(values, support, atoms[:, 0])
    edges = _bin_edges(support, free, cuts) if isinstance(cuts, int) else cuts
    heights, peak = [_mean_density(law, support, edges)], 0.0
    if free is not None and values is not None and edges.size > 1:
        count = np.histogram(free, edges)[0] / (values.size * np.diff(edges))
        ax.stairs(
            count, edges, fill=True, color=colour, alpha=0.28, lw=0.0, label=f"{values.size} eigenvalues"
        )
        heights.append(count)
    if support.size or points is not None:
        line = np.concatenate([_spaced(a, b) for a, b in support]) if points is None else points
        y = np.asarray(law.pdf(line), dtype=np.float64)
        y = np.where(np.isfinite(y), y, np.nan)
        ax.plot(line, y, color=colour, lw=1.8, label=label)
        peak = float(np.nanmax(y, initial=0.0))
    _stems(ax, atoms, share, colour)

    seen = [v.ravel() for v in (support, atoms[:, 0], values, points) if v is not None and v.size]
    low, high = min(v.min() for v in seen), max(v.max() for v in seen)
    pad = 0.03 * (high - low) or 0.1 * abs(high) or 1.0
    bar = max((float(h.max()) for h in heights if h.size), default=0.0)
    tallest = 1.1 * (max(peak, bar) if peak <= 2.5 * bar or not bar else bar) or 1.0
    if used:
        low, high, tallest = min(low - pad, left), max(high + pad, right), max(tallest, top)
        pad = 0.0
    if ax.get_xscale() == "linear":
        ax.set_xlim(low - pad, high + pad)
    if ax.get_yscale() == "linear":
        ax.set_ylim(0.0, tallest)
    ax.set_xlabel("eigenvalue")
    ax.set_ylabel("density")
    ax.grid(alpha=0.25, lw=0.5)
    if label and ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=9)
    if title:
        ax.set_title(title, fontsize=11)
    return ax


def clustered(low: float, high: float, count: int) -> Array:
    """Points of an interval, ends included, whose distance to an end falls with its square root."""
    angle = np.linspace(0.0, np.pi / 2, count)
    x = np.where(
        angle < np.pi / 4, low + (high - low) * np.sin(angle) ** 2, high - (high - low) * np.cos(angle) ** 2
    )
    x[0], x[-1] = low, high
    return x


def apart(sample: Array, support: Array, places: Array) -> tuple[Array, Array]:
    """The values that are at no atom, to the rounding of an eigenvalue, and the share at each atom."""
    if not places.size:
        return sample, places
    size = float(np.abs(np.concatenate((support.ravel(), places, sample))).max())
    nearest = np.searchsorted(0.5 * (places[:-1] + places[1:]), sample)
    at = np.abs(sample - places[nearest]) <= 1e-10 * size
    return sample[~at], np.bincount(nearest[at], minlength=places.size) / sample.size


def _spaced(low: float, high: float) -> Array:
    """Points of a line over an interval of the support; NaN ends it."""
    x = clustered(low, high, 1001)
    if low > 0.0 and high > 100.0 * low:  # several decades: right on a logarithmic axis as well
        x = np.union1d(x, np.geomspace(low, high, 501)[1:-1])
    return np.append(x, np.nan)


def _bins(bins: Any, sample: Array | None) -> int | Array:
    if bins is None:
        return 60 if sample is None else int(np.clip(1.5 * np.sqrt(sample.size), 10, 80))
    if np.ndim(bins) == 0:
        count = check.integer("bins", bins, 1)
        if count > 10_000:
            raise ValueError(f"bins must be at most 10000; got {count}.")
        return count
    edges = check.finite("bins", check.real_array("bins", bins, ndim=1))
    if edges.size < 2 or not (np.diff(edges) > 0).all():
        raise ValueError("bins must be a number, or at least two edges in ascending order.")
    return edges


def _bin_edges(support: Array, sample: Array | None, bins: int) -> Array:
    """Edges of the bins: whole bins in each interval of the support and each gap, and beyond as far as the sample."""
    if not support.size:
        if sample is None or not sample.size:
            return np.empty(0)
        return np.histogram_bin_edges(sample, bins)
    width = float(np.diff(support, axis=1).sum()) / bins
    ends = support.ravel()
    pieces = []
    for k in range(ends.size - 1):
        least = min(8, bins) if k % 2 == 0 else 1
        count = int(np.clip(round((ends[k + 1] - ends[k]) / width), least, bins))
        pieces.append(np.linspace(ends[k], ends[k + 1], count + 1))
    if sample is not None and sample.size:
        low, high = sample.min(), sample.max()
        if low < ends[0]:
            count = int(np.ceil(min((ends[0] - low) / width, 1000.0)))
            pieces.append(ends[0] - max(width, (ends[0] - low) / count) * np.arange(1, count + 1))
        if high > ends[-1]:
            count = int(np.ceil(min((high - ends[-1]) / width, 1000.0)))
            pieces.append(ends[-1] + max(width, (high - ends[-1]) / count) * np.arange(1, count + 1))
    return np.unique(np.concatenate(pieces))


def _mean_density(law: Any, support: Array, edges: Array) -> Array:
    """Mean of the density over each bin, by the midpoint rule in the angle: finite at a hard edge."""
    total = np.zeros(max(edges.size - 1, 0))
    if not total.size:
        return total
    for a, b in support:
        cells = clustered(a, b, 1001)
        middle = clustered(a, b, 2001)[1::2]
        mass = np.nan_to_num(np.asarray(law.pdf(middle), dtype=np.float64), posinf=0.0)
        mass = mass * 0.5 * (b - a) * np.sin(np.pi * (np.arange(1000) + 0.5) / 1000) * (np.pi / 1000)
        total += np.diff(np.interp(edges, cells, np.concatenate(([0.0], np.cumsum(mass)))))
    return np.asarray(total / np.diff(edges))


def _stems(ax: Any, atoms: Array, share: Array | None, colour: str) -> None:
    """Atoms in the units of mass: 1 at the top of the axes, whatever the scale of the density."""
    if not atoms.size:
        return
    across = ax.get_xaxis_transform()
    where, mass = atoms.T
    ax.vlines(where, 0.0, mass, color=colour, lw=2.2, transform=across)
    ax.scatter(where, mass, s=22, color=colour, transform=across, clip_on=False, zorder=3)
    if share is not None:
        ax.scatter(
            where,
            share,
            s=60,
            facecolors="none",
            edgecolors="0.25",
            transform=across,
            clip_on=False,
            zorder=4,
        )
    if len(atoms) <= 8:
        for a, m in atoms:
            ax.annotate(
                f"mass {m:.4g}", (a, m), xycoords=across, xytext=(7, -3), textcoords="offset points",
                fontsize=8, color="0.25", bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.5},
            )  # fmt: skip


def save(ax: Any, path: str) -> None:
    """Write the figure of an axes to a file; an existing one is replaced only by a complete one.

    Parameters
    ----------
    ax : matplotlib Axes
        As returned by the functions here.
    path : str
        Destination; the suffix gives the format (png, pdf, svg).
    """
    from pathlib import Path

    from fasthde._results import write_aside

    figure = ax.figure
    kind = Path(path).suffix.lstrip(".").lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"plot file must end in .png, .pdf or .svg; got {path!r}.")
    write_aside(path, lambda stream: figure.savefig(stream, format=kind, dpi=160))
