"""Pictures: matplotlib is imported only when one is drawn; ``ax=None`` in, axes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
