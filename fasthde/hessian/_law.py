"""The law of a Hessian."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _jit
from fasthde._distribution import Distribution, Solved, _complex_array, _out
from fasthde._kernels import hessian as kernels
from fasthde._results import Status, freeze
from fasthde._series import Series, build
from fasthde.hessian._cells import Array
from fasthde.hessian._models import Plane, plane_of
from fasthde.hessian._results import HessianEquivalent, HessianSpike
from fasthde.hessian._spikes import find_spikes
from fasthde.hessian._support import Curve, Gap
from fasthde.hessian._weights import WeightLaw
from fasthde.spectrum import Spectrum

Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)

#: Deviation of the mass from 1 beyond which a law is refused.
_MASS = 1e-7

#: Density times |x| below which a tail is noise: of exact weights, and of those from a two-dimensional quadrature.
_LEAST, _LEAST_WHOLE = 1e-36, 1e-9

#: Levels and points that share one sweep of the density kernel.
_CHUNK = 24


@dataclasses.dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class HessianLaw(Distribution):
    """Law of the eigenvalues of a Hessian ``(1/n) X diag(g) X'``, its isolated eigenvalues and its resolvent.

    Built by `hessian_law`; immutable.

    Attributes
    ----------
    spectrum : Spectrum
        Eigenvalues of the covariance C of the features.
    ratio : float
        p/n.
    weights : WeightLaw
        Law of the weights g.
    w, w_star : ndarray, shape (levels, d)
        Coordinates in the eigenspaces of C.
    model : str
        What the weights came from.
    """

    spectrum: Spectrum
    ratio: float
    weights: WeightLaw
    w: Array
    w_star: Array
    model: str
    _cache: dict[str, Any] | None

    def __init__(
        self, spectrum: Spectrum, ratio: float, weights: WeightLaw, w: Array, w_star: Array, model: str
    ):
        set_ = object.__setattr__
        set_(self, "spectrum", spectrum)
        set_(self, "ratio", ratio)
        set_(self, "weights", weights)
        set_(self, "w", freeze(w))
        set_(self, "w_star", freeze(w_star))
        set_(self, "model", model)
        set_(self, "_cache", None)

    # ------------------------------------------------------------------------------------------- prepared

    @property
    def _prepared(self) -> Any:
        """The kernels' tuple."""
        return self._memo("prepared", self._prepare)

    def _prepare(self) -> Any:
        t, index = np.unique(self.spectrum.values, return_inverse=True)
        k = np.bincount(index, self.spectrum.multiplicity, t.size)
        w = k / k.sum()
        used = (t > 0.0) & (w > 0.0)
        bare = float(w[t == 0.0].sum())
        t, w = np.ascontiguousarray(t[used]), np.ascontiguousarray(w[used])
        rest = (1.0 - self.weights.zero) - self.ratio * (1.0 - bare)
        if abs(rest) <= 8.0 * _EPS * max(1.0, self.ratio):
            rest = 0.0
        square = float(self.weights.expect(lambda g: g * g))
        top = float(t.max(initial=0.0))
        scale = top * np.sqrt(square) * (1.0 + np.sqrt(self.ratio)) ** 2
        head = np.array([self.ratio, rest, bare, float(w @ t), scale])
        return *self.weights._nodes, w, t, head

    @property
    def _empty(self) -> bool:
        """Whether the Hessian is 0."""
        return self._prepared[9].size == 0 or self.weights.zero >= 1.0

    @property
    def _curve(self) -> Curve:
        return self._memo("curve", lambda: Curve(self._prepared, self.weights))  # type: ignore[no-any-return]

    @property
    def _gaps(self) -> list[Gap]:
        return self._memo("gaps", lambda: [] if self._empty else self._curve.gaps())  # type: ignore[no-any-return]

    @property
    def _plane(self) -> Plane:
        return self._memo("plane", lambda: plane_of(self.spectrum.values, self.w, self.w_star))  # type: ignore[no-any-return]

    def _edges(self, gaps: list[Gap]) -> Array:
        """Intervals between gaps."""
        low = -np.inf
        out = []
        for g in gaps:
            if g.low > low and (np.isinf(low) or g.low - low > 8.0 * _EPS * max(abs(low), abs(g.low))):
                out.append((low, g.low))
            low = max(low, g.high)
        if low < np.inf:
            out.append((low, np.inf))
        edges = np.array(out).reshape(-1, 2)
        if self._prepared[10][1] == 0.0:
            edges[np.abs(edges) <= self._curve.rounding] = 0.0
        return edges

    @property
    def _true_gaps(self) -> list[Gap]:
        """Gaps without the ends of the support of g that the quadrature leaves out."""
        return self._memo("true_gaps", self._clip_gaps)  # type: ignore[no-any-return]

    def _clip_gaps(self) -> list[Gap]:
        low, high, least, most = (float(x) for x in self.weights.hull)
        out = []
        for g in self._gaps:
            # gamma = -1/delta runs from a to b, through infinity where a > b
            a, b = _gamma(g.start, -1.0), _gamma(g.stop, 1.0)
            start, stop = a, b
            if a >= high - 1e-9 * abs(high) and a < most:
                start = most
            if b <= low + 1e-9 * abs(low) and b > least:
                stop = least
            if (a <= b and not start < stop) or (start == np.inf and stop == -np.inf):
                continue
            if start != a:
                g = self._moved(g, start, 0)
            if stop != b:
                g = self._moved(g, stop, 1)
            out.append(g)
        return out

    def _moved(self, gap: Gap, gamma: float, which: int) -> Gap:
        """The gap with one end at another gamma."""
        if gamma == 0.0:
            z, d = 0.0, np.inf if which else -np.inf
        else:
            d = -1.0 / gamma
            z = self._curve.place(d, gap.side)
        return gap._replace(stop=d, high=z) if which else gap._replace(start=d, low=z)

    # ------------------------------------------------------------------------------------------- the law

    @property
    def support(self) -> Array:
        """Intervals of the continuous part, shape (k, 2), ascending; infinite where the weights are unbounded.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> hessian_law(fh.Spectrum([1.0]), 0.25, "least_squares").support
        array([[0.25, 2.25]])
        """
        return self._memo("support", self._find_support)  # type: ignore[no-any-return]

    def _find_support(self) -> Array:
        if self._empty:
            return freeze(np.empty((0, 2)))  # type: ignore[no-any-return]
        return freeze(self._edges(self._true_gaps))  # type: ignore[no-any-return]

    @property
    def atoms(self) -> list[tuple[float, float]]:
        """Point masses as (location, mass): at 0 when samples of weight g /= 0 are fewer than dimensions of C.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> hessian_law(fh.Spectrum([1.0]), 4.0, "logistic", w=1.0).atoms
        [(0.0, 0.75)]
        """
        if self._empty:
            return [(0.0, 1.0)]
        head = self._prepared[10]
        mass = float(1.0 - (1.0 - self.weights.zero) / self.ratio if head[1] < 0.0 else head[2])
        return [(0.0, mass)] if mass > 0.0 else []

    def _make_series(self) -> Series:
        if self._empty:
            return Series(np.zeros(0), np.zeros(0), np.zeros(0, bool))
        gaps = self._gaps
        edges = self._edges(gaps)
        rest = self._prepared[10][1]
        points: list[float] = []
        for low, high in edges.tolist():
            marks = self._marks(low, high, gaps)
            if low < 0.0 < high and rest <= 0.0:
                marks.append(0.0)
            chain = _decades([low, *sorted(set(marks)), high])
            points += [x for pair in itertools.pairwise(chain) for x in pair]
        at = np.array(points)
        power = np.full(at.size, 2.0)
        hard = (at == 0.0) & (rest == 0.0)
        power[hard & ~np.isin(at, edges)] = 1.5  # infinite on both sides: distance**(-1/3)
        for i in np.flatnonzero((at == 0.0) & (rest < 0.0)):
            # small eigenvalues from small weights, whose density may be a negative power at 0
            x = (at[i ^ 1] - at[i]) * np.array([1e-14, 1e-10])
            near, far = self._density_and_error(x)[0]
            if near > 2.0 * far > 0.0:
                hard[i], power[i] = True, 1.0 / (1.0 - min(np.log10(near / far) / 4.0, 0.97))
        series = build(self._density_and_error, at, power, hard)
        mass = series.total[1].sum() + self._atom_table[1].sum()
        if not abs(mass - 1.0) < _MASS:  # a density on a wrong root never passes in silence
            raise ArithmeticError(
                f"the density has mass {mass:.12g} instead of 1; please report this law: {self!r}"
            )
        return series

    def _marks(self, low: float, high: float, gaps: list[Gap]) -> list[float]:
        """Points at which long tails are cut, so that each part has its full relative precision."""
        marks: list[float] = []
        weights = self.weights
        to_zero = bool((weights._pieces == 0.0).any())  # a power there, no tail
        order = np.argsort(weights.values)
        values, mass = weights.values[order], weights.probability[order]
        for gap in gaps:
            for edge, meets, sign in ((gap.low, gap.at_end[0], 1.0), (gap.high, gap.at_end[1], -1.0)):
                if not meets or edge != (high if sign > 0 else low) or (edge == 0.0 and to_zero):
                    continue
                # where g exceeds with probability 1e-27, 1e-24, ..., 1e-3
                tail = slice(None, None, -1 if sign > 0 else 1)
                index = np.searchsorted(np.cumsum(mass[tail]), 10.0 ** np.arange(-27.0, -2.0, 3.0))
                gamma = np.unique(values[tail][np.minimum(index, values.size - 1)])[tail]
                gamma = gamma[gamma != 0.0]
                last = edge
                for x in self._curve(-1.0 / gamma, gap.side)[0].tolist() if gamma.size else []:
                    if low < x < high and sign * (last - x) > 0.02 * abs(last):
                        marks.append(x)
                        last = x
        return marks

    def _solve(self, z: Complex) -> tuple[Complex, Array, Any, Any]:
        """delta, its derivative, e, m (rows), residual, status and count in the closed upper half-plane."""
        points = np.ascontiguousarray(z, np.complex128)
        out = np.empty((5, points.size), np.complex128)
        status, count = np.empty(points.size, np.int64), np.zeros(points.size, np.int64)
        rows = -(-points.size // _CHUNK)
        law = self._prepared
        work = 6.0 * points.size * (law[0].size + law[8].size + 50)
        args = (points, _CHUNK, law, out, status, count)
        _jit.map_rows(kernels.transform_rows, None, rows, work, None, *args)
        return out[:4], out[4].real, status, count

    def _density_and_error(self, x: Array) -> tuple[Array, Array]:
        """Density, and the errors below which no series has to follow it.

        Next to an edge, and where a tail is thinner than rounding, the limit itself may not be found: then the density
        seen from a little above the axis, which is an error of its own size.
        """
        found, _, status, _ = self._solve(x.astype(np.complex128))
        density, error = found[3].imag / np.pi, (_LEAST_WHOLE if self.weights.whole else _LEAST) / np.abs(x)
        for height in 16.0 ** np.arange(-13.0, -3.0):
            lost = np.flatnonzero(status != Status.CONVERGED)
            if not lost.size:
                return density, error
            found, _, status[lost], _ = self._solve(x[lost] + 1j * height * np.abs(x[lost]))
            density[lost] = error[lost] = found[3].imag / np.pi
        raise ArithmeticError(
            f"the density could not be found at {x[lost][:3]}; please report this law: {self!r}"
        )

    def _pdf(self, x: Array) -> Array:
        series = self._series
        inner = np.setdiff1d(series.edges, self.support.ravel())
        # where two parts of one interval meet the density is not 0
        at = np.where(np.isin(x, inner) & (x != 0.0), np.nextafter(x, np.inf), x)
        return np.asarray(series.density(at))

    def _transform(self, z: Complex) -> Solved:
        if self._empty:
            return -1.0 / z, z, np.zeros(z.size), np.zeros(z.size, np.int64)
        found, residual, status, count = self._solve(z)
        return found[3], found[0], residual, status, count  # type: ignore[return-value]

    def _real_transform(self, x: Array) -> Solved:
        m, *rest = self._transform(x.astype(np.complex128))
        return m.real, *rest  # type: ignore[return-value]

    # ------------------------------------------------------------------------------- resolvent and spikes

    def _perturbation(self, d: Complex) -> tuple[Complex, Complex]:
        """S and -dS/d delta at many delta, shape (size, r, r)."""
        r = self._plane.rank
        d = np.ascontiguousarray(np.atleast_1d(d), np.complex128)
        out = np.empty((3, 2, d.size), np.complex128)
        kernels.channel_rows(self._prepared, self.weights._channels, d, out)
        plain = np.empty((3, d.size), np.complex128)
        kernels.sums_rows(self._prepared, d, plain)
        eye = np.eye(2)
        both = []
        for k in (0, 1):
            full = np.stack([np.stack([out[0, k], out[1, k]], -1), np.stack([out[1, k], out[2, k]], -1)], -2)
            both.append((full - plain[k][:, None, None] * eye)[:, :r, :r])
        return both[0], both[1]

    @property
    def _basis(self) -> Array:
        """``C^1/2 U`` in the eigenbasis, shape (levels, d, r)."""
        pair = np.stack([self.w, self.w_star], axis=-1)
        return np.asarray(self.spectrum.values[:, None, None] * (pair @ self._plane.turn))

    def equivalent(self, z: ArrayLike) -> HessianEquivalent:
        """Deterministic equivalent of the resolvent ``(H - z)^-1``.

        Parameters
        ----------
        z : array_like
            Complex numbers, or real ones off the spectrum.

        Returns
        -------
        HessianEquivalent

        Notes
        -----
        ``Q = (e C + C^1/2 U S U' C^1/2 - z)^-1`` with ``U = orth[C^1/2 w, C^1/2 w*]`` and
        ``S = E[g (s s' - I)/(1 + g delta)]``, s = U'C^{-1/2} x (arXiv 2103.01519, Theorem 4).

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> law = hessian_law(fh.Spectrum([1.0]), 0.5, "logistic", w=1.0)
        >>> law.equivalent(-1.0).S.shape
        (1, 1)
        """
        points = _complex_array("z", z)
        flat: Any = points.ravel().astype(np.complex128)
        half = flat.real + 1j * np.abs(flat.imag)
        if self._empty:
            first = -self.ratio * self._prepared[10][3] / half
            found, status = np.stack([first, first, 0.0 * half, -1.0 / half]), np.zeros(flat.size, np.int64)
        else:
            found, _, status, _ = self._solve(half)
        on = (flat.imag == 0.0) & (self._on_support(flat.real) | np.isin(flat.real, self._atom_table[0]))
        status = np.where(on, int(Status.INVALID), status)
        d: Any = np.where(status == Status.CONVERGED, found[0], np.nan)
        e: Any = np.where(status == Status.CONVERGED, found[2], np.nan)
        S: Any = self._perturbation(np.nan_to_num(d))[0]
        S = np.where((status == Status.CONVERGED)[:, None, None], S, np.nan)
        below = flat.imag < 0.0
        d, e = (np.where(below, v.conj(), v) for v in (d, e))
        S = np.where(below[:, None, None], S.conj(), S)
        if points.dtype.kind == "f":
            d, e, S, flat = d.real, e.real, S.real, flat.real
        z, d, e, status = (_out(freeze(v.reshape(points.shape))) for v in (flat, d, e, status))
        S = freeze(S.reshape(*points.shape, *S.shape[1:]))
        levels, basis = self.spectrum.values, freeze(self._basis)
        return HessianEquivalent(z, d, e, S, status, levels, basis, self.w, self.w_star)

    @property
    def spikes(self) -> list[HessianSpike]:
        """Isolated eigenvalues, ascending: above, below and between the bulks; empty where there is none.

        Notes
        -----
        Zeros of ``det[I + S U'C^1/2 (e C - z)^-1 C^1/2 U]`` off the support; alignments are residues of the
        equivalent (arXiv 2103.01519, Theorems 2 and 3).

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.hessian import hessian_law
        >>> law = hessian_law(fh.Spectrum([1.0]), 0.1, "logistic", w=2.0)
        >>> [round(s.location, 6) for s in law.spikes]
        [0.052093]
        """
        return list(self._memo("spikes", lambda: find_spikes(self)))

    # ------------------------------------------------------------------------------------------- housekeeping

    def _quantile(self, q: Array) -> Array:
        x = Distribution._quantile(self, q)
        ends = self.support
        if ends.size:
            x[(q == 1.0) & np.isinf(ends[-1, 1])] = np.inf
            x[(q == 0.0) & np.isinf(ends[0, 0])] = -np.inf
        return x

    def __repr__(self) -> str:
        H = self.spectrum
        levels = f"{H.values[0]:g}" if H.values.size == 1 else f"{H.values.size} levels"
        return f"HessianLaw({levels}, ratio {self.ratio:g}, {self.model}, E[g] = {self.weights.mean():.6g})"

    @classmethod
    def _from_flat(cls, flat: dict[str, Any]) -> Self:
        def part(prefix: str) -> dict[str, Any]:
            return {n.removeprefix(prefix): v for n, v in flat.items() if n.startswith(prefix)}

        rest = {n: v for n, v in flat.items() if "." not in n}
        plain = {n: v.item() if np.ndim(v) == 0 else v for n, v in rest.items()}
        return cls._from_fields({
            "spectrum": Spectrum._from_flat(part("spectrum.")), "weights": WeightLaw._from_flat(part("weights.")),
            **plain,
        })  # fmt: skip


def _decades(points: list[float]) -> list[float]:
    """Points with more in between where they are of one sign and eight powers of ten apart: steep w have such laws."""
    out = points[:1]
    for a, b in itertools.pairwise(points):
        if a * b > 0.0 and np.isfinite(a + b):
            count = int(abs(np.log10(b / a)) / 8.0)
            out += np.geomspace(a, b, count + 2)[1:-1].tolist()
        out.append(b)
    return out


def _gamma(d: float, sign: float) -> float:
    """-1/delta; for delta = 0 infinity with the sign of the side it is on."""
    return -1.0 / d if d else sign * np.inf
