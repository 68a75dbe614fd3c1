"""The command ``fasthde law``."""

from __future__ import annotations

import argparse
import csv
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import fasthde

if TYPE_CHECKING:
    from fasthde.laws import Law

Array = NDArray[np.float64]


def run(args: argparse.Namespace) -> None:
    """Print the law, write what was asked for."""
    from fasthde import _simulate
    from fasthde.laws import Law

    values, multiplicity = args.atoms
    if args.weights is not None and multiplicity is not None:
        raise ValueError("give multiplicities in --atoms or --weights, not both.")
    if args.weights is not None and args.weights.size != values.size:
        raise ValueError(
            f"--weights must have one entry for each of the {values.size} atoms; got {args.weights.size}."
        )
    if not any(name in ("ratio", "semicircle") for name, _ in args.steps):
        raise ValueError("give --ratio or --semicircle: without one there are only the atoms.")
    spectrum = fasthde.Spectrum(values, multiplicity, weights=args.weights)
    with np.errstate(over="ignore", invalid="ignore"):
        law = Law(spectrum)
        for name, number in args.steps:
            law = getattr(law, METHODS[name])(number)
        size = np.abs(law.support).max(initial=0.0)
    if not 1e-100 < size < 1e100:  # a last --scale is not the law's to refuse
        raise ValueError(
            f"the law must be of ordinary size; its largest edge is {size:.3g}. Use other units."
        )
    if args.simulate:
        try:
            _simulate.check_size(spectrum, law._steps, args.simulate)
        except ValueError as error:
            raise ValueError(str(error).replace("p ", "--simulate ", 1)) from None
    text = _describe_law(law)  # before the simulation, which takes longest
    sample = None
    if args.simulate:
        sample = law.simulate(args.simulate, rng=args.seed)
        text += "\n\n" + _compare(law, sample, args.seed)
    if args.out:
        _write_law(args.out, law, args.points, sample)
    if args.plot:
        from fasthde import plot

        title = _title(values, args.steps)
        plot.save(plot.density(law, sample=sample, title=title), args.plot)
    print(text)
    for what, path in (("table", args.out), ("picture", args.plot)):
        if path:
            print(f"{what} written to {path}")


METHODS = {
    "ratio": "sample_covariance",
    "scale": "scale",
    "shift": "shift",
    "semicircle": "add_semicircle",
}


def _title(values: Array, steps: list[tuple[str, float]]) -> str:
    start = (
        "atoms " + ", ".join(f"{v:g}" for v in values) if values.size <= 6 else f"{values.size} eigenvalues"
    )
    done = [f"{name} {number:g}" for name, number in steps]
    return start + "".join(f", {step}" for step in (done if len(done) <= 6 else [*done[:5], "..."]))


def _describe_law(law: Law) -> str:
    """Support, atoms, moments and where the density is largest."""
    from fasthde import plot

    mean, variance = law.mean(), law.var()
    mean = 0.0 if abs(mean) < 1e-14 * np.sqrt(variance) else mean
    lines = [
        str(law),
        f"mean {mean:.12g}, variance {variance:.12g}",
        "",
        f"{'support from':>20} {'to':>20} {'mass':>15} {'largest density':>16}  at",
    ]
    lines.append("-" * (len(lines[-1]) + 6))
    for low, high in law.support:
        x = plot.clustered(low, high, 2001)
        pdf = np.asarray(law.pdf(x))
        peak = int(np.argmax(pdf))
        mass = law.cdf(high) - law.cdf(low) - sum(m for a, m in law.atoms if low < a <= high)
        lines.append(f"{low:20.12g} {high:20.12g} {mass:15.12g} {pdf[peak]:16.6g}  {x[peak]:.4g}")
    lines += [f"atom at {a:.12g} of mass {m:.12g}" for a, m in law.atoms[:10]]
    if len(law.atoms) > 10:
        lines.append(f"... {len(law.atoms)} atoms in all")
    return "\n".join(lines if law.atoms else [*lines, "no atoms"])


def _write_law(path: str, law: Law, points: int, sample: Array | None) -> None:
    from fasthde import plot
    from fasthde._results import write_aside

    pieces = [plot.clustered(low, high, points) for low, high in law.support]
    x = np.unique(np.concatenate([*pieces, [a for a, _ in law.atoms]]))
    columns = {"x": x, "pdf": law.pdf(x), "cdf": law.cdf(x)}
    if sample is not None:
        columns["simulated_cdf"] = np.searchsorted(sample, x, side="right") / sample.size
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([repr(float(v)) for v in row])
    write_aside(path, lambda stream: stream.write(text.getvalue().encode()))


def _compare(law: Law, sample: Array, seed: int) -> str:
    from fasthde import plot

    places, mass = np.array([a for a, _ in law.atoms]), np.array([m for _, m in law.atoms])
    free, share = plot.apart(sample, law.support, places)
    distance = _kolmogorov(law, sample)
    lines = [
        f"simulation: one matrix of dimension {sample.size}, seed {seed}",
        f"{'':16} {'law':>14} {'simulation':>14} {'difference':>12}",
    ]
    rows = [("mean", law.mean(), sample.mean()), ("variance", law.var(), sample.var())]
    rows += [(f"mass at {a:.4g}", m, s) for a, m, s in zip(places[:10], mass[:10], share[:10], strict=True)]
    lines += [f"{name:16} {t:14.6g} {s:14.6g} {s - t:12.2g}" for name, t, s in rows]
    edges = law.support.ravel()
    inside = np.searchsorted(edges, free) % 2 == 1
    lines.append(
        f"largest difference of the cdfs {distance:.2g}, {distance * sample.size:.1f} eigenvalues of {sample.size}; "
        f"{np.count_nonzero(~inside)} outside the support"
    )
    return "\n".join(lines)


def _kolmogorov(law: Law, sample: Array) -> float:
    """Largest difference between the cdfs of the law and of ascending eigenvalues, atoms on both sides."""
    values, count = np.unique(sample, return_counts=True)
    up = np.cumsum(count) / sample.size
    low = np.concatenate(([0.0], up[:-1]))
    at = np.asarray(law.cdf(values))
    before = np.asarray(law.cdf(np.nextafter(values, -np.inf)))
    return float(max(np.abs(at - up).max(), np.abs(before - low).max()))
