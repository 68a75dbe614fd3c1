"""The command ``fasthde network``."""

from __future__ import annotations

import argparse
import csv
import inspect
import io
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fasthde
from fasthde._cli_network_model import (
    Net,
    check_size,
    check_tangent,
    deep,
    equivalent,
    law_of,
    shape,
    simulate,
    statistics,
)

if TYPE_CHECKING:
    from fasthde.activations import Activation
    from fasthde.laws import Law
    from fasthde.networks import KernelEquivalent

Array = NDArray[np.float64]

#: Correlations of two inputs at which the dual functions are printed.
CORRELATIONS = (-1.0, -0.5, 0.0, 0.5, 0.9)

#: Samples where nothing says how many.
SAMPLES = 1000

FORMS = {
    "centered": "activations less their means",
    "normalized": "activations less their means, over their standard deviations",
    "plain": "activations as they are",
}


# --------------------------------------------------------------------------------------------------- arguments


def activations(text: str) -> list[tuple[str, Activation]]:
    """NAME, or NAME:PARAMETER..., separated by commas: what was written, and what it means."""
    try:
        return [_activation(*item.strip().split(":")) for item in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).replace("phi must", "must", 1)) from None


def _activation(name: str, *written: str) -> tuple[str, Activation]:
    from fasthde._named import ALIASES, TABLE
    from fasthde.activations import activation

    tidy = name.strip().lower().replace("-", "_").replace(" ", "_")
    tidy = ALIASES.get(tidy, tidy)
    takes = list(inspect.signature(TABLE[tidy]).parameters) if tidy in TABLE else []
    if tidy in TABLE and len(written) > len(takes) and takes != ["coefficients"]:
        raise ValueError(
            f"must give {tidy} {'one parameter' if takes else 'no parameter'}; got {':'.join(written)}."
        )
    parameters: dict[str, Any] = {}
    if takes == ["coefficients"]:
        if not written:
            raise ValueError(f"must give {tidy} its coefficients, as {tidy}:0:1:0.5 for t + t^2/2.")
        parameters = {"coefficients": [_number(v) for v in written]}
    elif written and tidy in TABLE:
        parameters = {takes[0]: _number(written[0])}
    return ":".join([tidy, *written]), activation(tidy, **parameters)


def widths(text: str) -> Array:
    """Whole numbers separated by commas."""
    if not all(part.strip().isdecimal() and 1 <= int(part) <= 10**9 for part in text.split(",")):
        raise argparse.ArgumentTypeError(
            f"must be whole numbers of units from 1 to 1000000000, separated by commas; got {text!r}"
        )
    return np.array([float(part) for part in text.split(",")])


def variances(*, positive: bool) -> Any:
    """Numbers separated by commas, > 0 or >= 0."""

    def convert(text: str) -> Array:
        try:
            values = np.array([_number(part) for part in text.split(",")])
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if not ((values > 0) if positive else (values >= 0)).all() or values.max() > 1e8:
            raise argparse.ArgumentTypeError(
                f"must be {'> 0' if positive else '>= 0'} and at most 1e8; got {text!r}"
            )
        return values

    return convert


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"must hold finite numbers; got {text!r}")
    return value


def _net(args: argparse.Namespace) -> Net:
    names, acts = [list(column) for column in zip(*args.activation, strict=True)]
    depth, count = args.depth, len(acts)
    if depth is None:
        depth = count if count > 1 or args.widths is None else args.widths.size
    if count not in (1, depth):
        raise ValueError(
            f"--depth must be the number of activations, {count}; got {depth}. Leave it out, or name one activation."
        )
    values, multiplicity = args.atoms
    H = fasthde.Spectrum(values, multiplicity)
    if not H.moment(1) > 0:
        raise ValueError("--atoms must not all be 0: the data would vanish.")
    return Net(
        names * (depth // count),
        acts * (depth // count),
        _per_layer("--weight-variance", args.weight_variance, depth),
        _per_layer("--bias-variance", args.bias_variance, depth),
        args.form,
        H,
        args.ratio,
        args.samples or args.simulate or SAMPLES,
        None if args.widths is None else _per_layer("--widths", args.widths, depth),
    )


def _per_layer(option: str, values: Array, depth: int) -> Array:
    if values.size not in (1, depth):
        raise ValueError(f"{option} must be one number, or one a layer, {depth} of them; got {values.size}.")
    return np.broadcast_to(values, (depth,))


# ----------------------------------------------------------------------------------------------------- command


def run(args: argparse.Namespace) -> None:
    """Print coefficients, dual functions and spectrum; write what was asked for."""
    from fasthde._cli_law import _describe_law, _write_law

    net = _net(args)
    if (
        args.out is not None
        and args.spectrum is not None
        and Path(args.out).resolve() == Path(args.spectrum).resolve()
    ):
        raise ValueError(f"--spectrum must not be the file of --out, {args.out!r}; name another.")
    if args.kernel == "tangent":
        check_tangent(net)
    if args.simulate:
        check_size(net, args.simulate)
    with warnings.catch_warnings(record=True) as cautions, np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("always", fasthde.ValidityWarning)
        eq = equivalent(net)
        law = law_of(net, eq, args.kernel)
        columns = _columns(net, eq)
        text = [
            _head(net, cautions, float(eq.residual)),
            _coefficients(columns),
            _kernels(columns),
            _duals(columns),
        ]
        if net.uniform:
            text.append(_deep(net))
        text.append(_spectrum_head(net, eq, args.kernel) + "\n" + _describe_law(law))
        sample = None
        if args.simulate:
            sample = simulate(net, eq, args.kernel, args.simulate, args.seed)
            text.append(_compare(net, law, sample, args))
    if args.out:
        _write(args.out, columns)
    if args.spectrum:
        _write_law(args.spectrum, law, args.points, sample)
    if args.plot:
        _draw(net, eq, law, sample, args)
    print("\n\n".join(text))
    for what, path in (("table", args.out), ("spectrum", args.spectrum), ("picture", args.plot)):
        if path:
            print(f"{what} written to {path}")


# --------------------------------------------------------------------------------------------------- tables


def _columns(net: Net, eq: KernelEquivalent) -> dict[str, list[Any]]:
    """The table of the layers, a row each from layer 0, the inputs."""
    from fasthde._plot_network import composed

    rows: list[dict[str, Any]] = []
    rho = np.array([*CORRELATIONS, 1.0])
    levels = composed(eq.activations, float(eq.tau[0]) ** 2, rho, net.weights.tolist(), net.biases.tolist())
    for l in range(net.depth + 1):  # noqa: E741
        row: dict[str, Any] = {"layer": l, "activation": "", "scale": math.nan}
        row |= dict.fromkeys(("a_0", "a_1", "a_2", "a_star^2", "chi"), math.nan)
        if l:
            scale = float(eq.scales[l - 1])
            raw = net.acts[l - 1]
            moments = raw.moments(scale)
            used = eq.activations[l - 1].scale / raw.scale
            row |= {"activation": net.names[l - 1], "scale": scale, "a_star^2": float(moments.nonlinear)}
            row |= {f"a_{k}": float(a) for k, a in enumerate(raw.hermite(2, scale))}
            row["chi"] = float(net.weights[l - 1]) * used**2 * float(moments.slope_second)
        row |= {"tau": float(eq.tau[l])} | {f"alpha_{k + 1}": float(v) for k, v in enumerate(eq.alpha[l])}
        row |= {"kappa": float(eq.kappa[l])} | {f"beta_{k + 1}": float(v) for k, v in enumerate(eq.beta[l])}
        row |= {
            f"correlation({r:g})": float(v / levels[l][-1])
            for r, v in zip(CORRELATIONS, levels[l], strict=False)
        }
        rows.append(row)
    return {name: [row[name] for row in rows] for name in rows[0]}


def _head(net: Net, cautions: list[warnings.WarningMessage], residual: float) -> str:
    stack = " > ".join(_runs(net.names))
    lines = [
        f"network: {stack}, depth {net.depth}; {FORMS[net.form]}",
        f"weight variance {_short(net.weights)}, bias variance {_short(net.biases)}",
    ]
    covariance = (
        "I" if (net.H.values == 1.0).all() else f"with {net.H.values.size} levels, mean {net.H.moment(1):.4g}"
    )
    lines.append(f"data: Gaussian, covariance {covariance}, p/n = {net.ratio:g} (dimension over samples)")
    if net.widths is not None:
        lines[-1] += f"; widths {_short(net.widths)} beside n = {net.samples} samples"
    seen = dict.fromkeys(str(caution.message) for caution in cautions)
    if net.widths is not None and net.widths.min() < 20:
        seen[f"the narrowest layer has {net.widths.min():g} units: the law speaks of large widths."] = None
    if residual > 1e-14:
        seen[f"a Hermite series was cut: coefficients may be off by {residual:.1g} of their size."] = None
    return "\n".join([*lines, *(f"caution: {message}" for message in seen)])


def _runs(names: list[str]) -> list[str]:
    from fasthde.networks._equivalents import _runs

    return _runs(names)


def _short(values: Array) -> str:
    return f"{values[0]:g}" if np.ptp(values) == 0 else ", ".join(f"{v:g}" for v in values)


def _coefficients(columns: dict[str, list[Any]]) -> str:
    return _table(
        "activations at the scale of their inputs: Hermite coefficients a_k, a_*^2 = E phi^2 - a_0^2 - a_1^2,\n"
        "chi = weight variance x E phi'^2 of the network's activation",
        columns, ["layer", "activation", "scale", "a_0", "a_1", "a_2", "a_star^2", "chi"], 1,
    )  # fmt: skip


def _kernels(columns: dict[str, list[Any]]) -> str:
    names = [
        "layer", "tau", "alpha_1", "alpha_2", "alpha_3", "alpha_4", "kappa", "beta_1", "beta_2", "beta_3",
    ]  # fmt: skip
    title = "kernels after each layer: conjugate (diagonal tau^2, alpha) and tangent (diagonal kappa^2, beta)"
    return _table(title, columns, names, 0)


def _duals(columns: dict[str, list[Any]]) -> str:
    names = ["layer", *(name for name in columns if name.startswith("correlation"))]
    title = "dual functions, composed: correlation of the features of two inputs, by that of the inputs"
    return _table(title, columns, names, 0)


def _table(title: str, columns: dict[str, list[Any]], names: list[str], start: int) -> str:
    wide = max(10, *(len(name) for name in columns["activation"]))
    size = {"layer": 5, "activation": wide} | {n: 10 for n in names if n not in ("layer", "activation")}
    labels = {name: name for name in names} | {"a_star^2": "a_*^2"}
    labels |= {name: name[11:].strip("()") for name in names if name.startswith("correlation")}
    head = " ".join(f"{labels[name]:>{size[name]}}" for name in names)
    lines = [title, head, "-" * len(head)]
    for l in range(start, len(columns["layer"])):  # noqa: E741
        cells = (columns[name][l] for name in names)
        lines.append(" ".join(_cell(v, size[n]) for n, v in zip(names, cells, strict=True)))
    return "\n".join(lines)


def _cell(value: Any, size: int) -> str:
    if isinstance(value, float):
        value = 0.0 if abs(value) < 1e-15 else value
        return f"{value:{size}.5g}"
    return f"{value:>{size}}"


def _write(path: str, columns: dict[str, list[Any]]) -> None:
    from fasthde._results import write_aside

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([("" if math.isnan(v) else repr(v)) if isinstance(v, float) else v for v in row])
    write_aside(path, lambda stream: stream.write(text.getvalue().encode()))


# -------------------------------------------------------------------------------------------------- deep limit


def _deep(net: Net) -> str:
    act, weight, bias = net.acts[0], float(net.weights[0]), float(net.biases[0])
    found = deep(act, weight, bias, net.form, weight * net.H.moment(1) + bias)
    fixed = 0.0 < found.variance < math.inf
    lines = ["many such layers, of pre-activations:"]
    if found.kept:
        lines.append(f"  variance: kept, whatever it is; here {found.variance:.6g}")
    elif fixed:
        drawn = "" if abs(found.growth) < 1 else ", which does not attract"
        lines.append(
            f"  variance: fixed at {found.variance:.6g} (slope of its map {found.growth:.4g}){drawn}"
        )
    else:
        where = "falls to 0" if found.variance == 0.0 else "grows without bound"
        steady = 0.001 < found.growth < 1000.0
        pace = f"in the end by a factor {found.growth:.6g} a layer" if steady else "ever faster"
        if steady and abs(found.growth - 1.0) < 1e-5:
            pace = "more slowly than by any factor a layer"
        lines.append(f"  variance: {where}, {pace}")
        if not steady and act.degree is None:  # no limit to speak of
            return "\n".join(lines)
    text = f"  chi_1 = weight variance x E phi'^2 = {found.chi:.6g}"
    if math.isinf(found.chi):
        text += ": the activation jumps"
    elif not fixed:
        text += " there, the factor of squared gradients"
    elif abs(found.chi - 1.0) <= 1e-6:
        text += ": edge of chaos"
    else:
        text += ": ordered, gradients vanish" if found.chi < 1 else ": chaotic, gradients explode"
    lines.append(text)
    if found.linear:
        lines.append(f"  correlation map: {'' if fixed else 'in the end '}every correlation is kept")
        return "\n".join(lines)
    points = f"1 (slope {found.steep:.6g})"
    if found.correlation < 1.0:
        points = f"{found.correlation:.6g} (slope {found.slope:.6g}), {points}"
    lines.append(f"  correlation map: fixed points on [0, 1] {points}")
    if abs(found.slope - 1.0) <= 1e-6:
        pace = " slower than exponentially" if found.steep - 1.0 <= 1e-6 else ""
        lines.append(f"  correlations from 0 on tend to {found.correlation:.6g}{pace}")
    else:
        pace = f"by a factor {found.slope:.4g} a layer"
        lines.append(f"  correlations from 0 on tend to {found.correlation:.6g} {pace}")
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------- spectrum


def _spectrum_head(net: Net, eq: KernelEquivalent, kind: str) -> str:
    gram, rest = eq.scalars(kind)
    kernel = "conjugate" if kind == "conjugate" else "tangent"
    if net.widths is None:
        return (
            f"limiting spectrum of the {kernel} kernel, infinitely wide:\nthat of {gram:.6g} XX'/p + {rest:.6g} I, "
            "which a matrix of low rank does not change"
        )
    return f"limiting spectrum of the {kernel} kernel of a network of these widths"


def _compare(net: Net, law: Law, sample: Array, args: argparse.Namespace) -> str:
    from fasthde._cli_law import _kolmogorov
    from fasthde._plot_network import gathered, outlying

    n = sample.size
    p, wide = shape(net, n)
    near, mine = gathered(sample, law)
    far = outlying(sample, law, 0.1) & ~mine
    what = f"one network of widths {_short(np.array(wide))}" if wide else "the exact kernel"
    inside = sample[~far]
    rows = [("mean", law.mean(), inside.mean()), ("deviation", math.sqrt(law.var()), inside.std())]
    if len(law.support):
        bulk = sample[~mine & ~far]
        rows.append(("bulk from", law.support[0, 0], bulk.min(initial=math.inf)))
        rows.append(("to", law.support[-1, 1], bulk.max(initial=-math.inf)))
        for place, mass in law.atoms:
            own = sample[mine & (near == place)]
            if place:
                rows.append((f"{own.size} at the atom", place, own.mean() if own.size else math.nan))
                rows.append(("spread by", 0.0, own.std() if own.size else math.nan))
            else:
                rows.append(("mass at 0", mass, own.size / n))
    lines = [
        f"simulation: {what} on {n} samples of dimension {p}, seed {args.seed}",
        f"{'':16} {'law':>14} {'simulation':>14} {'difference':>12}",
    ]
    lines += [f"{name:16} {t:14.6g} {s:14.6g} {s - t:12.2g}" for name, t, s in rows]
    if len(law.support):
        distance = _kolmogorov(law, near)
        lines.append(f"largest difference of the cdfs {distance:.2g}, {distance * n:.1f} eigenvalues of {n}")
    if far.any():
        values = ", ".join(f"{v:.5g}" for v in sample[far][::-1][:4])
        lines.append(
            f"{far.sum()} far outside, left out of these: {values}{', ...' if far.sum() > 4 else ''}"
        )
    return "\n".join(lines)


def _draw(net: Net, eq: KernelEquivalent, law: Law, sample: Array | None, args: argparse.Namespace) -> None:
    import matplotlib.pyplot as plt

    from fasthde import plot

    stack = ", ".join(_runs(net.names)) if net.depth > 1 else net.names[0]
    title = (
        f"{stack} ({args.form}), weight variance {_short(net.weights)}, bias variance {_short(net.biases)}"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fasthde.ValidityWarning)  # printed already
        axes = plot.network(
            eq.activations, statistics(net), weight_variance=net.weights, bias_variance=net.biases, law=law,
            center=args.form == "centered", sample=sample, title=title,
        )  # fmt: skip
    width = "infinitely wide" if net.widths is None else f"widths {_short(net.widths)}, n = {net.samples}"
    pad = 6.0 if len(law.support) else 16.0
    what = f"limiting spectrum of the {args.kernel} kernel\n{width}, p/n = {net.ratio:g}"
    axes[-1].set_title(what, fontsize=11, pad=pad)
    plot.save(axes[0], args.plot)
    plt.close(axes[0].figure)
