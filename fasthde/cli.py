"""The command ``fasthde``."""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import fasthde

if TYPE_CHECKING:
    from fasthde._check import CheckResult
    from fasthde._results import RidgeResult

Array = NDArray[np.float64]

#: Below this many samples the theory is printed with a caution.
SMALL = 60

#: Where the variance exceeds the noise, the estimator amplifies whatever the model leaves out (tails, dependence).
AMPLIFIED = 1.0


class _Bar:
    """A progress bar on standard error, shown on a terminal once the work has lasted a second."""

    def __init__(self, label: str):
        self.label, self.start, self.shown = label, time.monotonic(), 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or now - self.start < 1.0 or (now - self.shown < 0.1 and done < total):
            return
        self.shown = now
        filled = 30 * done // total
        left = (now - self.start) / done * (total - done)
        sys.stderr.write(
            f"\r{self.label} [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}, {left:4.0f} s left "
        )
        if done == total:
            sys.stderr.write("\r" + " " * 78 + "\r")
        sys.stderr.flush()


def _sizes(text: str) -> Array:
    """START:STOP:COUNT, geometric, ends included, whole numbers; or a comma-separated list."""
    try:
        if ":" in text:
            start, stop, count = (float(part) for part in text.split(":"))
            if not (0 < start <= stop and 1 <= count <= 10_000 and count == int(count) and np.isfinite(stop)):
                raise ValueError
            values = np.geomspace(start, stop, int(count))
        else:
            values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be START:STOP:COUNT with 0 < START <= STOP and COUNT <= 10000, or n1,n2,...; got {text!r}"
        ) from None
    values = np.unique(np.round(values))
    if not (values >= 2).all() or not np.isfinite(values).all():
        raise argparse.ArgumentTypeError(f"sample sizes must be at least 2; got {text!r}")
    return values


def _ridges(text: str) -> Array:
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas; got {text!r}") from None
    if not (values >= 0).all() or not np.isfinite(values).all():
        raise argparse.ArgumentTypeError(f"ridges must be finite and >= 0; got {text!r}")
    return np.unique(values)


def _draws(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number; got {text!r}") from None
    if value < 0 or value == 1:
        raise argparse.ArgumentTypeError(
            f"must be 0 (no experiment) or at least 2 (for a standard error); got {value}"
        )
    return value


def _atoms(text: str) -> tuple[Array, Array | None]:
    """VALUE or VALUE:MULTIPLICITY, separated by commas."""
    try:
        pairs = [[float(part) for part in item.split(":")] for item in text.split(",")]
        if any(len(pair) > 2 for pair in pairs):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be numbers separated by commas, each with a multiplicity or none, as 1:50,3:30,10:20; got {text!r}"
        ) from None
    values = np.array([pair[0] for pair in pairs])
    k = np.array([pair[-1] if len(pair) == 2 else 1.0 for pair in pairs])
    if not np.isfinite(values).all() or not (values >= 0).all():
        raise argparse.ArgumentTypeError(f"eigenvalues must be finite and >= 0; got {text!r}")
    if not np.isfinite(k).all() or not (k >= 0).all() or not k.sum() > 0:
        raise argparse.ArgumentTypeError(f"multiplicities must be finite, >= 0 and not all 0; got {text!r}")
    return values, k if any(len(pair) == 2 for pair in pairs) else None


def _weights(text: str) -> Array:
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas; got {text!r}") from None
    if not np.isfinite(values).all() or not (values >= 0).all() or not values.sum() > 0:
        raise argparse.ArgumentTypeError(f"weights must be finite, >= 0 and not all 0; got {text!r}")
    return values


def _real(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number; got {text!r}") from None
    if not np.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be finite; got {text!r}")
    return value


def _positive(text: str) -> float:
    value = _real(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be > 0; got {text!r}")
    return value


def _ratio(text: str) -> float:
    value = _positive(text)
    if not 1e-8 <= value <= 1e8:
        raise argparse.ArgumentTypeError(f"must be from 1e-8 to 1e8; got {text!r}")
    return value


def _whole(low: int, high: int) -> Any:
    def convert(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}; got {text!r}")
        return int(text)

    return convert


class _Step(argparse.Action):
    """One operation of a law, kept in the order of the command line."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        name = self.option_strings[0].lstrip("-")
        namespace.steps = [*namespace.steps, (name, values)]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # no option looks like -1e-3 or -1,2

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number >= 0; got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fasthde", description="High-dimensional equivalents from the command line.")
    parser.add_argument("--version", action="version", version=f"fasthde {fasthde.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    curve = commands.add_parser(
        "curve",
        help="predict the learning curve of ridge regression on a data set, and check it against real fits",
        description="Predict how the test error of ridge regression falls with the number of samples, and check it.",
    )
    curve.add_argument(
        "--data", default="digits", metavar="digits|patches|diabetes|FILE", help="data set (default: digits)"
    )
    curve.add_argument(
        "--target",
        metavar="COL",
        help="target column of a file (default: last); of digits: parity (default), at-least-5, or a digit",
    )
    curve.add_argument(
        "--n",
        type=_sizes,
        metavar="START:STOP:COUNT",
        help="sample sizes, geometric, ends included (default: from the data)",
    )
    curve.add_argument(
        "--lam",
        type=_ridges,
        default="1e-5,1e-3,1e-1",
        metavar="L1,L2,...",
        help="ridges (default: 1e-5,1e-3,1e-1)",
    )
    curve.add_argument(
        "--check",
        type=_draws,
        default=10,
        metavar="DRAWS",
        help="draws of the experiment, 0 for none (default: 10)",
    )
    curve.add_argument(
        "--form",
        choices=("elliptical", "plain"),
        default="elliptical",
        help="model of the samples' norms (default: elliptical)",
    )
    curve.add_argument(
        "--raw",
        action="store_true",
        help="keep the units of the data instead of unit variances; --lam is then in these units",
    )
    curve.add_argument("--seed", type=_seed, default=0, help="seed of the experiment (default: 0)")
    curve.add_argument("--plot", metavar="FILE", help="picture to write (.png, .pdf, .svg)")
    curve.add_argument("--out", metavar="FILE", help="table to write (.csv)")
    curve.set_defaults(run=_curve)
    _add_law(commands)
    _add_network(commands)
    info = commands.add_parser("info", help="versions, threads and the state of the compilation cache")
    info.set_defaults(run=_info)
    return parser


def _add_law(commands: Any) -> None:
    law = commands.add_parser(
        "law",
        help="the spectrum of a large random matrix: support, atoms, density, and a simulated one beside it",
        description="Spectral law of a random matrix made from a fixed one. --ratio, --scale, --shift and --semicircle "
        "are operations on the matrix, carried out in the order in which they are given, each as often as wanted.",
        epilog="example: fasthde law --atoms 1,3,10 --ratio 0.1 --shift 0.5 --simulate 2000 --plot law.png",
    )
    law.add_argument(
        "--atoms",
        type=_atoms,
        default="1",
        metavar="T1[:K1],T2[:K2],...",
        help="eigenvalues of the fixed matrix, with multiplicities (default: 1)",
    )
    law.add_argument(
        "--weights", type=_weights, metavar="W1,W2,...", help="their proportions, in place of multiplicities"
    )
    for option, kind, metavar, text in (
        ("--ratio", _ratio, "C", "sample covariance: dimension over samples"),
        ("--scale", _positive, "A", "multiply by A"),
        ("--shift", _real, "B", "add B times the identity"),
        ("--semicircle", _positive, "V", "add a Wigner matrix of variance V (radius 2 sqrt(V))"),
    ):
        law.add_argument(option, type=kind, action=_Step, metavar=metavar, help=text)
    law.add_argument(
        "--points",
        type=_whole(2, 1_000_000),
        default=500,
        metavar="N",
        help="rows of --out for each interval of the support, dense towards its ends (default: 500)",
    )
    law.add_argument(
        "--simulate",
        type=_whole(10, 1_000_000),
        metavar="P",
        help="draw one such matrix of dimension P and compare (2000: seconds)",
    )
    law.add_argument("--seed", type=_seed, default=0, help="seed of the simulation (default: 0)")
    law.add_argument("--plot", metavar="FILE", help="picture to write (.png, .pdf, .svg)")
    law.add_argument("--out", metavar="FILE", help="table to write (.csv): x, pdf, cdf")
    law.set_defaults(run=_law, steps=[])


def _add_network(commands: Any) -> None:
    from fasthde import _cli_network as parts

    net = commands.add_parser(
        "network",
        help="a deep network as its kernels see it: coefficients by layer, dual functions, limiting spectrum",
        description="Hermite coefficients, conjugate and tangent kernels of a deep network with random weights, layer "
        "by layer, where many layers lead, and the limiting spectrum of the kernel of Gaussian data.",
        epilog="example: fasthde network --activation relu --depth 3 --widths 2000,1000,1000 --simulate 1000 "
        "--plot net.png",
    )
    net.add_argument(
        "--activation",
        type=parts.activations,
        default="relu",
        metavar="NAME[:PARAMETER],...",
        help="activation of all layers, or one a layer (default: relu); as leaky_relu:0.1, polynomial:0:1:0.5",
    )
    net.add_argument(
        "--depth",
        type=_whole(1, 1000),
        metavar="L",
        help="layers (default: as many as activations, or widths)",
    )
    net.add_argument(
        "--widths",
        type=parts.widths,
        metavar="W1,W2,...",
        help="units of the layers, one for all or one a layer (default: infinitely wide)",
    )
    net.add_argument(
        "--samples",
        type=_whole(2, 1_000_000_000),
        metavar="N",
        help="samples beside the widths (default: those of --simulate, or 1000)",
    )
    net.add_argument(
        "--ratio",
        type=_ratio,
        default=0.5,
        metavar="C",
        help="dimension over samples of the data (default: 0.5)",
    )
    net.add_argument(
        "--atoms",
        type=_atoms,
        default="1",
        metavar="T1[:K1],T2[:K2],...",
        help="eigenvalues of the covariance of the data, with multiplicities (default: 1)",
    )
    for option, positive, default in (("--weight-variance", True, "1"), ("--bias-variance", False, "0")):
        net.add_argument(
            option,
            type=parts.variances(positive=positive),
            default=default,
            metavar="V1,V2,...",
            help=f"one for all or one a layer (default: {default})",
        )
    net.add_argument(
        "--form",
        choices=tuple(parts.FORMS),
        default="centered",
        help="take the mean off each activation (default), set its variance to 1 as well, or leave it as it is",
    )
    net.add_argument(
        "--kernel",
        choices=("conjugate", "tangent"),
        default="conjugate",
        help="whose spectrum to print (default: conjugate)",
    )
    net.add_argument(
        "--simulate",
        type=_whole(10, 1_000_000),
        metavar="N",
        help="compare with the kernel of N Gaussian samples; with --widths, of one network drawn",
    )
    net.add_argument("--seed", type=_seed, default=0, help="seed of the simulation (default: 0)")
    net.add_argument("--plot", metavar="FILE", help="picture to write (.png, .pdf, .svg)")
    net.add_argument("--out", metavar="FILE", help="table of the layers to write (.csv)")
    net.add_argument("--spectrum", metavar="FILE", help="table of the spectrum to write (.csv): x, pdf, cdf")
    net.add_argument(
        "--points",
        type=_whole(2, 1_000_000),
        default=500,
        metavar="N",
        help="rows of --spectrum for each interval of the support (default: 500)",
    )
    net.set_defaults(run=_network)


def _check_outputs(args: argparse.Namespace, source: str | None = None) -> None:
    """Refuse an impossible destination before any work is done; ``source`` is a file that is read."""
    for option, path, kinds in (
        ("--plot", args.plot, (".png", ".pdf", ".svg")),
        ("--out", args.out, (".csv",)),
        ("--spectrum", getattr(args, "spectrum", None), (".csv",)),
    ):
        if path is None:
            continue
        if Path(path).suffix.lower() not in kinds:
            raise ValueError(f"{option} must end in {', '.join(kinds)}; got {path!r}.")
        if not Path(path).absolute().parent.is_dir():
            raise ValueError(f"{option}: the folder of {path!r} does not exist.")
        if Path(path).exists() and not Path(path).is_file():
            raise ValueError(f"{option}: {path!r} is a directory or a device.")
        try:
            tempfile.TemporaryFile(dir=Path(path).absolute().parent).close()
        except OSError as error:
            raise ValueError(f"{option}: cannot write beside {path!r}: {error.strerror or error}.") from None
        if source and Path(path).exists() and Path(source).exists() and Path(path).samefile(source):
            raise ValueError(f"{option} must not be the data file {path!r}.")
    if args.plot is not None:
        try:
            import matplotlib
        except ImportError:
            raise ImportError("--plot needs matplotlib: pip install 'fasthde[plot]'.") from None
        matplotlib.use("Agg")


# --------------------------------------------------------------------------------------------------- curve


def _curve(args: argparse.Namespace) -> None:
    from fasthde.data import load

    _check_outputs(args, args.data)
    data = load(args.data, args.target)
    x, y = data.X, data.y
    samples, features = x.shape
    centred = x - x.mean(axis=0)
    x_unit, y_unit = float(np.sqrt(np.mean(centred**2) * samples / max(samples - 1, 1))), float(y.std())
    if y_unit == 0.0:
        raise ValueError("the target must not be constant: there is nothing to predict.")
    if x_unit == 0.0:
        raise ValueError("the inputs must not be constant: every column has variance 0.")
    print(data)
    if args.raw:
        print("units: as in the data")
    else:
        x, y = x / x_unit, y / y_unit
        print(
            f"units: X divided by {x_unit:.6g} (mean variance of a feature 1), y by {y_unit:.6g} (variance 1)"
        )
    with warnings.catch_warnings(record=True) as cautions:
        warnings.simplefilter("always", fasthde.ValidityWarning)
        problem = fasthde.LinearProblem.from_data(x, y, elliptical=args.form == "elliptical")
    print(_describe(problem))
    for caution in cautions:
        print(f"caution: {caution.message}")

    n = args.n if args.n is not None else _default_sizes(samples, features)
    usable = n < samples
    if args.check and not usable.all():
        raise ValueError(
            f"--n must leave samples to test on: at most {samples - 1}; got {n.max():g}. Or use --check 0."
        )
    lam = args.lam
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fasthde.ValidityWarning)  # the table says it point by point
        predicted = fasthde.ridge(problem, n[:, None], lam[None, :], intercept=True)
        measured = (
            fasthde.check(
                problem, n, lam, data=(x, y), draws=args.check, rng=args.seed, progress=_Bar("fitting")
            )
            if args.check
            else None
        )
        notes = _cautions(predicted)
        if args.out:  # before printing: a reader who closes the pipe loses no file
            _write_csv(args.out, predicted, measured, notes)
        if args.plot:
            _draw(args, data, problem, n, lam, measured)
        print()
        print(_table(predicted, measured, notes, features))
        print(_verdict(measured, notes))
        for what, path in (("table", args.out), ("picture", args.plot)):
            if path:
                print(f"{what} written to {path}")


def _describe(problem: Any) -> str:
    H = problem.spectrum
    rank = int((H.values > 0).sum())
    text = (
        f"population: rank {rank}, effective rank {H.effective_rank:.1f}, "
        f"explained variance {problem.signal @ H.values:.4g}, noise {problem._mean_noise():.4g}"
    )
    if problem.norms is not None:
        spread = float(problem.norm_weights @ (problem.norms - 1.0) ** 2)
        text += f", variance of the squared norms {spread:.2f}"
    return text


def _default_sizes(samples: int, features: int) -> Array:
    stop = max(min(samples // 2, 16 * features), 3)
    return np.unique(np.round(np.geomspace(min(20, stop // 2 + 1), stop, 25)))


def _cautions(r: RidgeResult) -> np.ndarray[Any, Any]:
    """Why a prediction is not to be trusted, element by element; '' where nothing speaks against it."""
    notes = np.full(r.test.shape, "", dtype=object)
    notes[r.variance > AMPLIFIED * r.noise] = "variance above noise"
    notes[r.df1**2 < 20 * r.df2] = "few effective dimensions"
    notes[r.n < SMALL] = "small n"
    return notes


def _table(r: RidgeResult, measured: CheckResult | None, notes: Any, features: int) -> str:
    head = f"{'n':>7} {'n/p':>7} {'lambda':>8} {'train':>10} {'test':>10}"
    if measured is not None:
        head += f" {'measured':>10} {'+-':>9} {'ratio':>6}"
    lines = [head + "  caution", "-" * (len(head) + 9)]
    for i, j in np.ndindex(r.test.shape):
        line = f"{r.n[i, j]:7g} {r.n[i, j] / features:7.3g} {r.lam[i, j]:8.3g}"
        line += f" {r.train[i, j]:10.4g} {r.test[i, j]:10.4g}"
        if measured is not None:
            ratio = measured.theory_test[i, j] / measured.test[i, j]
            line += f" {measured.test[i, j]:10.4g} {measured.test_se[i, j]:9.2g} {ratio:6.3f}"
        lines.append(f"{line}  {notes[i, j]}".rstrip())
    return "\n".join(lines)


def _verdict(measured: CheckResult | None, notes: Any) -> str:
    caution = f"{np.count_nonzero(notes != '')} of {notes.size} points carry a caution"
    if measured is None:
        return f"\n{caution}."
    error = np.abs(measured.ratio - 1.0)
    text = f"\n|predicted/measured - 1|: median {np.median(error):.1%} over all points"
    trusted = notes == ""
    if trusted.any():
        text += (
            f"; without a caution: median {np.median(error[trusted]):.1%}, worst {error[trusted].max():.1%}"
        )
    return f"{text}. {caution}."


def _write_csv(path: str, r: RidgeResult, measured: CheckResult | None, notes: Any) -> None:
    from fasthde._results import write_aside

    names = [
        "n", "lam", "test", "train", "excess", "bias", "variance", "noise", "in_sample_bias", "in_sample_variance",
        "kappa", "df1", "df2", "status", "residual",
    ]  # fmt: skip
    columns = {name: np.asarray(getattr(r, name)) for name in names}
    columns["status"] = np.array([fasthde.Status(s).name for s in columns["status"].ravel()]).reshape(
        notes.shape
    )
    if measured is not None:
        for name in ("test", "test_se", "train", "train_se"):
            columns[f"measured_{name}"] = getattr(measured, name)
    columns["caution"] = notes
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for index in np.ndindex(notes.shape):
        writer.writerow(
            [v if isinstance(v, str) else repr(float(v)) for v in (c[index] for c in columns.values())]
        )
    write_aside(path, lambda stream: stream.write(text.getvalue().encode()))


def _draw(
    args: argparse.Namespace, data: Any, problem: Any, n: Any, lam: Any, measured: CheckResult | None
) -> None:
    from fasthde import plot

    fine = np.geomspace(n[0], n[-1], 400) if n.size > 1 else n
    lines = fasthde.ridge(problem, fine[:, None], lam[None, :], intercept=True)
    rank = float((problem.spectrum.values > 0).sum())
    title = f"Ridge regression on {Path(args.data).name}: theory ({args.form}) and experiment"
    if measured is None:
        title = f"Ridge regression on {Path(args.data).name}: theory ({args.form})"
    ax = plot.learning_curve(fine, lam, lines.test, measured=measured, rank=rank, title=title)
    if not args.raw:
        ax.set_ylabel("test error / variance of the target")
    plot.save(ax, args.plot)


# -------------------------------------------------------------------------------------- law, network, info


def _law(args: argparse.Namespace) -> None:
    from fasthde._cli_law import run

    _check_outputs(args)
    run(args)


def _network(args: argparse.Namespace) -> None:
    from fasthde._cli_network import run

    _check_outputs(args)
    run(args)


def _info(args: argparse.Namespace) -> None:
    import platform
    from importlib import metadata

    from fasthde import _jit

    print(f"fasthde {fasthde.__version__}")
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in (
        "numpy",
        "scipy",
        "numba",
        "llvmlite",
        "threadpoolctl",
        "matplotlib",
        "scikit-learn",
        "pandas",
    ):
        try:
            print(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            print(f"{package} not installed")
    print(f"threads {_jit.available_threads()}")
    cache = _jit.cache_info()
    where = cache["path"] or "none (no writable location: kernels are compiled in each process)"
    print(f"cache {where}")
    print(f"cached kernels {cache['files']}, stamp {cache['stamp']}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 for success, 2 for bad input with a one-line reason.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code.
    """
    args = _parser().parse_args(argv)
    try:
        args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (ValueError, TypeError, ArithmeticError, OSError, ImportError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            return 0
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"fasthde: error: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fasthde: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
