"""Deterministic equivalents of a law's resolvent, and of two resolvents with a matrix in between."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasthde import _validate as check
from fasthde._distribution import _complex_array
from fasthde._kernels.chain import AFFINE, CORNER, INVERSE, POISSON, SAMPLE, SEMICIRCLE
from fasthde._results import Record, Status, freeze
from fasthde.laws import Law
from fasthde.spectrum import Spectrum, as_spectrum

Array = NDArray[np.float64]
Numbers = NDArray[Any]  # float64 or complex128

#: Entries of a block of points times levels: it stays in cache.
_BLOCK = 1 << 18

#: Relative difference of the moments of C and of the law's spectrum that passes as the same matrix.
_SAME = 1e-6


# ------------------------------------------------------------------------------------------- one resolvent


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Equivalent(Record):
    """Deterministic equivalent ``factor (C - omega)^-1`` of a resolvent ``(M - z)^-1``.

    Every field has the shape of ``z``; scalars in, scalars out.

    Attributes
    ----------
    omega : float, complex or ndarray
        Subordination point.
    factor : float, complex or ndarray
        Scalar in front.
    stieltjes : float, complex or ndarray
        Normalised trace, the law's ``stieltjes(z)``.
    status : int or ndarray
        `Status` code: INVALID on the spectrum and for z that is not a number.
    residual : float or ndarray
        Estimated relative error of omega.
    """

    omega: Any
    factor: Any
    stieltjes: Any
    status: Any
    residual: Any

    @property
    def success(self) -> Any:
        """Whether each element is solved."""
        return _success(self.status)

    def diagonal(self, t: ArrayLike) -> Any:
        """Equivalent in the eigenbasis of C, ``factor/(t - omega)``.

        Parameters
        ----------
        t : array_like
            Eigenvalues of C.

        Returns
        -------
        float, complex or ndarray
            Shape ``z.shape + t.shape``.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.equivalents import equivalent
        >>> equivalent(fh.marchenko_pastur(2.0), -0.3).diagonal([1.0]).round(12)
        array([2.])
        """
        levels = check.real_array("t", t)
        omega, factor = _behind(self.omega, levels.ndim), _behind(self.factor, levels.ndim)
        with np.errstate(divide="ignore", invalid="ignore"):
            return _plain(factor / (levels - omega))

    def matrix(self, C: ArrayLike) -> NDArray[Any]:
        """Equivalent as a matrix, ``factor (C - omega)^-1``.

        Parameters
        ----------
        C : array_like, shape (p, p)
            The symmetric population matrix.

        Returns
        -------
        ndarray, shape z.shape + (p, p)

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.equivalents import equivalent
        >>> equivalent(fh.marchenko_pastur(2.0), -0.3).matrix([[1.0, 0.0], [0.0, 1.0]]).round(12)
        array([[2., 0.],
               [0., 2.]])
        """
        t, basis = _eigen(C)
        diagonal = np.asarray(self.diagonal(t))
        return np.asarray((basis * diagonal[..., None, :]) @ basis.T)

    def bilinear(self, C: ArrayLike, a: ArrayLike, b: ArrayLike) -> Any:
        """Bilinear form ``a' Q b`` of the equivalent, by solving with C, not by inverting it.

        Parameters
        ----------
        C : array_like, shape (p, p) or (p,)
            The symmetric population matrix; or its eigenvalues, for a and b in its eigenbasis.
        a, b : array_like, shape (p,) or (p, k)
            Vectors, or matrices of columns.

        Returns
        -------
        float, complex or ndarray
            Shape ``z.shape``; for matrices ``z.shape + (k_a, k_b)`` (an axis less for each vector).

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.equivalents import equivalent
        >>> C = [[2.0, 1.0], [1.0, 2.0]]
        >>> Q = equivalent(fh.sample_covariance(fh.Spectrum.from_covariance(C), 0.5), -1.0)
        >>> bool(abs(Q.bilinear(C, [1.0, 0.0], [1.0, 0.0]) - Q.matrix(C)[0, 0]) < 1e-15)
        True
        """
        matrix = check.finite("C", check.real_array("C", C))
        if matrix.ndim != 1:
            matrix = _symmetric("C", matrix)
        left, right = _columns("a", a, len(matrix)), _columns("b", b, len(matrix))
        omega = np.asarray(self.omega)
        if matrix.ndim == 2 and omega.ndim == 0 and self.success:
            shifted = matrix.astype(omega.dtype)
            shifted[np.diag_indices(len(matrix))] -= omega
            return _plain(np.asarray(self.factor * (left.T @ np.linalg.solve(shifted, right))))
        if matrix.ndim == 2:
            matrix, basis = np.linalg.eigh(matrix)
            left, right = basis.T @ left, basis.T @ right
        diagonal = np.asarray(self.diagonal(matrix))
        columns = left.reshape(len(left), -1), right.reshape(len(right), -1)
        form = (columns[0].T * diagonal[..., None, :]) @ columns[1]
        return _plain(form.reshape(omega.shape + left.shape[1:] + right.shape[1:]))

    def trace(self, spectrum: Spectrum) -> Any:
        """Integral of ``factor/(t - omega)`` over a measure, normalised.

        Parameters
        ----------
        spectrum : Spectrum
            That of C gives the normalised trace, ``stieltjes``; the squared coefficients of a vector on the
            eigenvectors of C as weights give its quadratic form.

        Returns
        -------
        float, complex or ndarray
            In the shape of z.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.equivalents import equivalent
        >>> H = fh.Spectrum([1, 3, 10])
        >>> Q = equivalent(fh.sample_covariance(H, 0.5), -1.0)
        >>> abs(Q.trace(H) - Q.stieltjes) < 1e-15
        True
        """
        H = as_spectrum("spectrum", spectrum)
        used = H.multiplicity > 0
        t, w = H.values[used], (H.multiplicity / H.multiplicity.sum())[used]
        omega = np.asarray(self.omega)
        with np.errstate(divide="ignore", invalid="ignore"):
            sums = _sums(t, w[None], omega.ravel())[0]
        return _plain(self.factor * sums.reshape(omega.shape))

    def __repr__(self) -> str:
        return _describe(self, np.shape(self.omega))


def equivalent(law: Law, z: ArrayLike, *, side: str | None = None) -> Equivalent:
    r"""Deterministic equivalent of the resolvent ``(M - z)^-1`` of a law's random matrix.

    Parameters
    ----------
    law : Law
        Any chain but one with `Law.companion` or `Law.corner`.
    z : array_like
        Complex numbers, or real ones off the spectrum.
    side : {"+", "-"}, optional
        On the support, the limit from the upper or the lower half-plane; NaN without it.

    Returns
    -------
    Equivalent
        ``omega`` and ``factor`` in the shape of z; float64 for real z (unless a side is given), complex128
        otherwise; conjugate symmetric.

    Raises
    ------
    TypeError
        After `Law.companion` and `Law.corner`: the matrix then lives in another space than C.

    Notes
    -----
    .. math:: (M - z I)^{-1} \leftrightarrow \phi\, (C - \omega I)^{-1}

    for traces against any fixed matrix and for bilinear forms; C is the fixed matrix the chain starts from. Each
    sample covariance step divides the factor by ``1 - c - c z m = z_after/z_before``, each inverse Wishart step by
    its ``z_after/z_before``, each scaling by its number (arXiv 2506.13139; Silverstein & Bai 1995; Hachem, Loubaton
    & Najim 2007).

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.equivalents import equivalent
    >>> H = fh.Spectrum([1.0, 3.0, 7.0], weights=[0.25, 0.25, 0.5])
    >>> Q = equivalent(fh.sample_covariance(H, 2/3), -0.5)
    >>> round(Q.omega, 12), round(Q.factor, 12)
    (-1.0, 2.0)
    """
    _check_law(law, "equivalent")
    if side not in (None, "+", "-"):
        raise ValueError(f'side must be "+", "-" or None; got {side!r}.')
    points = _complex_array("z", z)
    solved = _solve(law, points.ravel(), side)
    factor = _walk(law, solved).factor
    fields = (solved.s, factor, solved.m, solved.status, solved.residual)
    return Equivalent(*_shaped(points.shape, fields, at=3))


# ------------------------------------------------------------------------------------------ two resolvents


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class TwoResolvent(Record):
    """Deterministic equivalent of ``Q(z1) A Q(z2)``.

    With ``R_i = (C - omega_i)^-1`` it is ``factor R1 A R2 + (constant + linear C) R1 R2``, in the
    eigenbasis of C. Numbers have the broadcast shape of z1 and z2.

    Attributes
    ----------
    trace : float, complex or ndarray
        Normalised trace of the equivalent.
    status : int or ndarray
        `Status` code: INVALID where z1 or z2 is on the spectrum or not a number.
    residual : float or ndarray
        Estimated relative error of the worse subordination point.
    omega1, omega2 : float, complex or ndarray
        Subordination points.
    factor, constant, linear : float, complex or ndarray
        Coefficients above; factor is 0 for A = I.
    levels, multiplicity : ndarray, shape (levels,)
        Eigenvalues of C.
    observable : ndarray, shape (levels,) or (p, p), or None
        A in the eigenbasis of C; None for the identity.
    basis : ndarray, shape (p, p), or None
        Eigenvectors of C in columns, where C was given.
    """

    trace: Any
    status: Any
    residual: Any
    omega1: Any
    omega2: Any
    factor: Any
    constant: Any
    linear: Any
    levels: Array
    multiplicity: Array
    observable: Array | None
    basis: Array | None

    @property
    def success(self) -> Any:
        """Whether each element is solved."""
        return _success(self.status)

    def diagonal(self) -> NDArray[Any]:
        """Diagonal of the equivalent in the eigenbasis of C.

        Returns
        -------
        ndarray, shape z.shape + (levels,)
            In the order of ``levels``.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.equivalents import two_resolvent
        >>> two_resolvent(fh.marchenko_pastur(2.0), -0.3, -0.3).diagonal().round(12)  # m' = 100/17
        array([5.88235294])
        """
        linear, constant = _behind(self.linear, 1), _behind(self.constant, 1)
        both = constant + linear * self.levels
        if self.observable is not None:
            own = self.observable if self.observable.ndim == 1 else np.diag(self.observable)
            both = both + _behind(self.factor, 1) * own
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(
                both / (self.levels - _behind(self.omega1, 1)) / (self.levels - _behind(self.omega2, 1))
            )

    def matrix(self) -> NDArray[Any]:
        """Equivalent as a matrix.

        Returns
        -------
        ndarray, shape z.shape + (p, p)
            In the basis of C where C was given, in its eigenbasis (the order of ``levels``) otherwise.

        Raises
        ------
        ValueError
            In the eigenbasis, for levels of multiplicity other than 1.

        Examples
        --------
        >>> import fasthde as fh, numpy as np
        >>> from fasthde.equivalents import two_resolvent
        >>> law = fh.sample_covariance(fh.Spectrum([1.0, 2.0]), 0.5)
        >>> two_resolvent(law, -1.0, -2.0, A=np.ones((2, 2))).matrix().round(6)
        array([[0.218242, 0.157946],
               [0.142782, 0.126542]])
        """
        if self.basis is None and (self.multiplicity != 1).any():
            raise ValueError(
                "matrix() needs unit multiplicities: a level of multiplicity k is no single direction. "
                "Use diagonal(), one entry a level, or pass C to two_resolvent."
            )
        inner = np.zeros(
            (*np.shape(self.trace), self.levels.size, self.levels.size), np.asarray(self.trace).dtype
        )
        index = np.arange(self.levels.size)
        if self.observable is not None and self.observable.ndim == 2:
            left, right = self._sides()
            inner += _behind(self.factor, 2) * left[..., :, None] * self.observable * right[..., None, :]
        inner[..., index, index] = self.diagonal()
        return inner if self.basis is None else self.basis @ inner @ self.basis.T

    def bilinear(self, a: ArrayLike, b: ArrayLike) -> Any:
        """Bilinear form ``a' Q(z1) A Q(z2) b`` of the equivalent.

        Parameters
        ----------
        a, b : array_like, shape (p,)
            Vectors in the basis of C where C was given, in its eigenbasis (the order of ``levels``) otherwise.

        Returns
        -------
        float, complex or ndarray
            In the broadcast shape of z1 and z2.

        Examples
        --------
        >>> import fasthde as fh
        >>> from fasthde.equivalents import two_resolvent
        >>> law = fh.sample_covariance(fh.Spectrum([1.0, 2.0]), 0.5)
        >>> round(two_resolvent(law, -1.0, -2.0).bilinear([1.0, 0.0], [1.0, 0.0]), 6)
        0.218242
        """
        if self.basis is None and (self.multiplicity != 1).any():
            raise ValueError(
                "bilinear() needs unit multiplicities: a level of multiplicity k is no single direction. "
                "Sum diagonal() against the squared coefficients, or pass C to two_resolvent."
            )
        vectors = []
        for name, value in (("a", a), ("b", b)):
            vector = check.same_length(name, check.real_array(name, value), "dimensions", self.levels.size)
            check.finite(name, vector)
            vectors.append(vector if self.basis is None else self.basis.T @ vector)
        left, right = (v * side for v, side in zip(vectors, self._sides(), strict=True))
        form = np.sum(
            left * right * (_behind(self.constant, 1) + _behind(self.linear, 1) * self.levels), axis=-1
        )
        if self.observable is not None:
            middle = right * self.observable if self.observable.ndim == 1 else right @ self.observable.T
            form = form + self.factor * np.sum(left * middle, axis=-1)
        return _plain(np.asarray(form))

    def _sides(self) -> tuple[NDArray[Any], NDArray[Any]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1.0 / (self.levels - _behind(self.omega1, 1)), 1.0 / (
                self.levels - _behind(self.omega2, 1)
            )

    def __repr__(self) -> str:
        return _describe(self, np.shape(self.trace))


def two_resolvent(
    law: Law, z1: ArrayLike, z2: ArrayLike, A: ArrayLike | None = None, C: ArrayLike | None = None
) -> TwoResolvent:
    r"""Deterministic equivalent of ``Q(z1) A Q(z2)`` with ``Q(z) = (M - z)^-1`` and a fixed matrix A.

    Parameters
    ----------
    law : Law
        Any chain but one with `Law.companion` or `Law.corner`.
    z1, z2 : array_like
        Complex numbers in the same or in opposite half-planes, or real ones off the spectrum; equal ones give
        the derivative. They broadcast.
    A : array_like, shape (levels,) or (p, p), optional
        A matrix that does not depend on the data: None is the identity; a vector is diagonal in the eigenbasis
        of C, one number for each level in the order of ``law.spectrum.values``; a full matrix is in the
        basis of C where C is given, otherwise in its eigenbasis, which needs unit multiplicities.
    C : array_like, shape (p, p), optional
        The symmetric matrix the chain starts from, with the law's spectrum.

    Returns
    -------
    TwoResolvent
        ``trace``, ``diagonal()``, ``matrix()``, ``bilinear(a, b)``; float64 when z1 and z2 are real.

    Raises
    ------
    TypeError
        After `Law.companion` and `Law.corner`.
    ValueError
        If A or C does not fit the law's spectrum.

    Notes
    -----
    One sample covariance, with ``R_i = (C - s_i)^-1``:

    .. math:: Q_1 A Q_2 \leftrightarrow \frac{s_1 s_2}{z_1 z_2} \Big[R_1 A R_2
              + \frac{\frac1n \mathrm{tr}\, C R_1 A R_2}{1 - \frac1n \mathrm{tr}\, C R_1 C R_2} R_1 C R_2\Big].

    Along a chain, with differences ``d`` between the two sides, y and phi before the step and z after it:
    an additive step ``z = y + nu(m)`` with ``dnu = -k dm`` adds ``k tr(T)/dz`` times ``d(phi R)`` to T; a
    multiplicative one, ``z = y gamma(h)`` with ``dgamma = -k dh``, adds ``k tr(A d(y phi R))/(dy dz)`` times
    ``d(y phi R)`` and divides by ``gamma1 gamma2``. All ``d`` are carried as divided differences in s and
    never formed by subtraction, so ``z1 = z2`` is as accurate as any other pair (arXiv 2506.13139; for the
    free sums and products Biane 1998).

    For ``A`` the random matrix M itself use ``Q1 M Q2 = (z1 Q1 - z2 Q2)/(z1 - z2)``.

    Examples
    --------
    >>> import fasthde as fh
    >>> from fasthde.equivalents import two_resolvent
    >>> law = fh.marchenko_pastur(2.0)
    >>> r = two_resolvent(law, -0.3, -0.3)  # the derivative of the Stieltjes transform
    >>> abs(r.trace - 100/17) < 1e-14
    True
    >>> law = fh.sample_covariance(fh.Spectrum([1, 3, 10]), 0.5)
    >>> round(two_resolvent(law, -1.0, -1.0, A=[1, 0, 0]).trace, 6)
    0.128619
    """
    _check_law(law, "two_resolvent")
    points1, points2 = _complex_array("z1", z1), _complex_array("z2", z2)
    try:
        shape = np.broadcast_shapes(points1.shape, points2.shape)
    except ValueError:
        raise ValueError(
            f"z1 and z2 must broadcast; got shapes {points1.shape} and {points2.shape}. "
            "For every pair use z1[:, None] and z2."
        ) from None
    levels, multiplicity, observable, basis = _observable(law, A, C)
    one, two = _solve(law, points1.ravel(), None), _solve(law, points2.ravel(), None)
    index1, index2 = (
        np.broadcast_to(np.arange(p.size).reshape(p.shape), shape).ravel() for p in (points1, points2)
    )
    with np.errstate(all="ignore"):
        side1, side2 = _walk(law, one).take(index1), _walk(law, two).take(index2)
        sums = _pairs(_weights(levels, multiplicity, observable), one.s, two.s, index1, index2)
        total, factor, constant, linear = _carry(law, side1, side2, sums)
    status = np.maximum(one.status[index1], two.status[index2])  # INVALID before NOT_CONVERGED
    residual = np.maximum(one.residual[index1], two.residual[index2])
    names = ("trace", "status", "residual", "omega1", "omega2", "factor", "constant", "linear")
    fields = (total, status, residual, side1.s, side2.s, factor, constant, linear)
    return TwoResolvent(
        **dict(zip(names, _shaped(shape, fields, at=1), strict=True)),
        levels=levels, multiplicity=multiplicity, observable=observable, basis=basis,
    )  # fmt: skip


def _observable(law: Law, A: Any, C: Any) -> tuple[Array, Array, Array | None, Array | None]:
    """Levels, multiplicities, A in the eigenbasis, and the basis."""
    H = law.spectrum
    levels, multiplicity, basis = H.values, H.multiplicity, None
    matrix = None if A is None else check.finite("A", check.real_array("A", A))
    if C is not None:
        levels, basis = _eigen(C)
        for k in (1, 2):
            own, given = H.moment(k), float(np.mean(levels**k))
            if abs(own - given) > _SAME * max(abs(own), abs(given)):
                raise ValueError(
                    f"C must have the law's spectrum; tr C^{k}/p is {given:.6g}, of the law's {own:.6g}. "
                    "Build the law from fh.Spectrum.from_covariance(C)."
                )
        multiplicity = freeze(np.ones(levels.size))
        levels, basis = freeze(levels), freeze(basis)
    p = levels.size
    if matrix is None:
        return levels, multiplicity, None, basis
    if matrix.ndim == 1 and basis is None:
        return levels, multiplicity, freeze(check.same_length("A", matrix, "levels", p)), None
    if matrix.shape != (p, p):
        kind = f"a {p} x {p} matrix" if basis is not None else f"a vector of {p} levels or a {p} x {p} matrix"
        raise ValueError(f"A must be {kind}, like C; got shape {matrix.shape}.")
    if basis is None:
        if H.is_measure or (multiplicity != 1).any():
            raise ValueError(
                "A must be a vector, one number for each level, where levels have multiplicities other than 1; "
                f"got shape {matrix.shape}. Pass C as well, or list every eigenvalue in the Spectrum."
            )
        return levels, multiplicity, freeze(matrix), None
    return levels, multiplicity, freeze(basis.T @ matrix @ basis), basis


# ---------------------------------------------------------------------------------- the chain on both sides


class _Solved(NamedTuple):
    """Points z, flat, with their subordination points; float64 where all is real."""

    z: Numbers
    s: Numbers
    m: Numbers
    residual: Array
    status: NDArray[np.int64]


class _Side(NamedTuple):
    """One point's way along the chain: what each step found, and what it did.

    ``end`` is the point itself; ``z``, ``m`` and their product ``zm`` are those before each step; ``move`` is gamma
    of a multiplicative step (z -> z gamma), nu of an additive one (z -> z + nu), 1 of an affine one.
    """

    s: Numbers
    end: Numbers
    z: list[Numbers]
    m: list[Numbers]
    zm: list[Numbers]
    move: list[Numbers]
    factor: Numbers

    def take(self, index: NDArray[np.int64]) -> _Side:
        """The points of an index."""
        return _Side(
            *([w[index] for w in v] if isinstance(v, list) else v[index] for v in self)  # type: ignore[arg-type]
        )


def _solve(law: Law, z: Numbers, side: str | None) -> _Solved:
    """The subordination point of each z; NaN and INVALID on the spectrum."""
    real = z.dtype.kind == "f" and side is None
    flat = z.astype(np.complex128)
    s, m = np.full(flat.size, np.nan, np.complex128), np.full(flat.size, np.nan, np.complex128)
    residual = np.full(flat.size, np.nan)
    status = np.full(flat.size, int(Status.INVALID), np.int64)
    finite = np.isfinite(flat)
    axis = finite & (flat.imag == 0.0)
    atom = axis & np.isin(flat.real, [a for a, _ in law.atoms])
    inside = axis & law._on_support(flat.real)
    off = axis & ~inside & ~atom
    if off.any():
        m[off], s[off], residual[off], status[off], _ = law._solve_real(flat.real[off])
    above = finite & (flat.imag != 0.0)
    if side is not None:
        above |= inside & ~atom
    if above.any():
        half = flat[above].real + 1j * np.abs(flat[above].imag)
        m2, s2, residual[above], status[above], _ = law._solve(half)
        below = (flat[above].imag < 0.0) | ((flat[above].imag == 0.0) & (side == "-"))
        m[above], s[above] = np.where(below, m2.conj(), m2), np.where(below, s2.conj(), s2)
    bad = status != Status.CONVERGED
    s[bad], m[bad] = np.nan, np.nan
    if real:
        return _Solved(flat.real, s.real, m.real, residual, status)
    return _Solved(flat, s, m, residual, status)


def _walk(law: Law, solved: _Solved) -> _Side:
    """Carry z, m, h from s through the steps."""
    chain = law._chain
    ops, par = chain.law[:2]
    with np.errstate(all="ignore"):
        sums = _sums(chain.t, np.array((chain.w, chain.w * chain.t)), solved.s)
        first = _forward(law, solved, sums, -1, solved.z)
        lost = [j for j in range(ops.size) if ops[j] == SAMPLE and par[j, 2] > 0.0]
        if not lost:
            return first
        # A step that brings zeros (c above the rank) has a root of gamma at z = 0: there gamma follows from the
        # factor, which is the quotient of two accurate traces. Products leave z m alone.
        j = lost[-1]
        small = np.abs(first.move[j]) < 0.1
        products = all(
            ops[i] in (SAMPLE, INVERSE) or (ops[i] == AFFINE and par[i, 1] == 0.0)
            for i in range(j + 1, ops.size)
        )
        m = first.zm[j] / solved.z if products else solved.m
        factor = np.where(small, m / first.m[0], first.factor)
        gamma = np.where(small, first.move[j] * (first.factor / factor), first.move[j])
        return _forward(law, solved, sums, j, gamma)._replace(factor=factor)


def _forward(law: Law, solved: _Solved, sums: Numbers, known: int, gamma: Numbers) -> _Side:
    """The walk; gamma of the step ``known`` is given."""
    s = solved.s
    ops, par, tau, u = law._chain.law[:4]
    zero = law._chain.zero
    m, h = sums
    y = s * m  # z m + mass at 0
    if zero > 0.0:
        m = m - zero / s
    z = s
    factor = np.ones_like(s)
    zs, ms, zms, moves = [], [], [], []
    for j in range(ops.size):
        c = par[j, 0]
        zs.append(z)
        ms.append(m)
        product = h - 1.0
        move = np.ones_like(s)
        if ops[j] == AFFINE:
            b = par[j, 1]
            z, m, factor = c * z + b, m / c, factor / c
            if b != 0.0:
                h = h + b * m
                y = z * m + par[j, 2]
        elif ops[j] in (SAMPLE, INVERSE):
            if j == known:
                move = gamma
            elif ops[j] == SAMPLE:  # 1 - c h by the form without cancellation
                near = np.abs(y) < np.abs(h)
                product = np.where(near, y - (1.0 - (1.0 - par[j, 1]) / c), product)
                move = np.where(near, par[j, 1] - c * y, 1.0 - c * h)
            else:
                move = 1.0 / ((1.0 - c) + c * h)
            if ops[j] == SAMPLE and par[j, 2] > 0.0:
                y = -move / c
            z, m, factor = z * move, m / move, factor / move
        elif ops[j] == SEMICIRCLE:
            move = -c * m
            z, h = z + move, h + m * move
            y = z * m
        else:
            assert ops[j] == POISSON
            move, lost = np.zeros_like(s), np.zeros_like(s)
            for k in range(int(par[j, 1]), int(par[j, 2])):
                r = u[k] / (1.0 + c * tau[k] * m)
                move, lost = move + tau[k] * r, lost + r / c
            z, h = z + move, h + m * move
            y = y - lost + max(par[j, 4], 0.0) if par[j, 3] > 0.0 else z * m
        zms.append(product)
        moves.append(move)
    return _Side(s, solved.z, zs, ms, zms, moves, factor)


def _carry(law: Law, one: _Side, two: _Side, sums: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """The equivalent ``factor R1 A R2 + (constant + linear C) R1 R2`` and its trace along the chain.

    d(x) is the divided difference of x in s, n(x) = (s1 x2 - s2 x1)/(s1 - s2), so that
    d(x R) = (n(x) + d(x) C) R1 R2. All traces are sums over the levels: of R1 R2, C R1 R2, and with A in front.
    """
    ops, par = law._chain.law[:2]
    s1, s2 = one.s, two.s
    flat, tilted, *own = sums
    dtype = sums.dtype
    ones, zeros = np.ones(s1.size, dtype), np.zeros(s1.size, dtype)
    factor, constant, linear = ones, zeros, zeros
    dz, dm, dh = ones, flat, tilted
    phi1, phi2, dphi, nphi = ones, ones, zeros, ones
    dq, nq = ones, zeros  # q = z phi: the sample covariance leaves it alone
    strengths = [_strength(law, j, one, two) for j in range(ops.size)]
    for j in range(ops.size):
        c, k = par[j, 0], strengths[j]
        z1, m1 = one.z[j], one.m[j]
        x1, x2 = one.move[j], two.move[j]
        if ops[j] == AFFINE:
            b = par[j, 1]
            dz, dm = c * dz, dm / c
            dh = dh + b * dm
            factor, constant, linear = factor / c**2, constant / c**2, linear / c**2
            phi1, phi2, dphi, nphi = phi1 / c, phi2 / c, dphi / c, nphi / c
            dq, nq = dq + b * dphi, nq + b * nphi
            continue
        if ops[j] in (SAMPLE, INVERSE):
            dx = -k * dh
            inverse = -dx / (x1 * x2)
            dm = dm / x2 + m1 * inverse
            terms = np.abs(dz * x2) + np.abs(z1 * dx)
            old, new = dz, _better(law, j, one, two, dz * x2 + z1 * dx, terms, strengths, dm)
            if own:
                pull = k * (dq * own[1] + nq * own[0]) / (old * new)
                constant, linear = constant + pull * nq, linear + pull * dq
                factor, constant, linear = (v / (x1 * x2) for v in (factor, constant, linear))
            dphi, nphi = dphi / x2 + phi1 * inverse, nphi / x2 - s2 * phi1 * inverse
            phi1, phi2 = phi1 / x1, phi2 / x2
        else:
            dx = -k * dm
            new = _better(law, j, one, two, dz + dx, np.abs(dz) + np.abs(dx), strengths, dm)
            if own:
                pull = k * (factor * own[0] + constant * flat + linear * tilted) / new
                constant, linear = constant + pull * nphi, linear + pull * dphi
            dh = dh + dm * x2 + m1 * dx
            dq, nq = dq + dx * phi2 + x1 * dphi, nq + x2 * nphi - s2 * phi1 * dx
        dz = new
    if not own:  # Q1 Q2 = (Q1 - Q2)/(z1 - z2)
        return dm / dz, zeros, nphi / dz, dphi / dz
    return factor * own[0] + constant * flat + linear * tilted, factor, constant, linear


def _strength(law: Law, j: int, one: _Side, two: _Side) -> Numbers:
    """The k of step j: ``dnu = -k dm`` of an additive step, ``dgamma = -k dh`` of a multiplicative one."""
    ops, par, tau, u = law._chain.law[:4]
    c = par[j, 0]
    k = np.zeros(one.s.size, np.result_type(one.s, two.s))
    if ops[j] == POISSON:
        for i in range(int(par[j, 1]), int(par[j, 2])):
            ct = c * tau[i]
            k += u[i] * ct * tau[i] / ((1.0 + ct * one.m[j]) * (1.0 + ct * two.m[j]))
        return k
    return np.asarray(k + (c * one.move[j] * two.move[j] if ops[j] == INVERSE else c))


def _better(
    law: Law,
    j: int,
    one: _Side,
    two: _Side,
    carried: Numbers,
    terms: Array,
    strengths: list[Numbers],
    dm: Numbers,
) -> Numbers:
    """Difference of z after step j, from z itself where that is better and only sums follow.

    In opposite half-planes near the axis it is small. The quotient of the differences of z and s is accurate there,
    and on the way back a sum adds numbers of one sign in the imaginary part.
    """
    ops, par = law._chain.law[:2]
    if carried.dtype.kind == "f" or np.isin(ops[j + 1 :], (SAMPLE, INVERSE)).any():
        return carried
    gap = one.s - two.s
    quotient = (one.end - two.end) / gap
    dm = dm / np.prod(par[j + 1 :, 0][ops[j + 1 :] == AFFINE])
    for i in range(ops.size - 1, j, -1):
        if ops[i] == AFFINE:
            quotient, dm = quotient / par[i, 0], dm * par[i, 0]
        else:
            quotient = quotient + strengths[i] * dm
    size = np.abs(one.s) + np.abs(two.s)
    better = (size / np.abs(gap)) ** 2 < terms / np.abs(carried)
    opposite = one.end.imag * two.end.imag < 0.0
    return np.where(opposite & better, quotient, carried)


def _weights(levels: Array, multiplicity: Array, observable: Array | None) -> tuple[Array, Array]:
    """Levels in use, and the weights of tr R1 R2, tr C R1 R2 and the same with A: shape (2 or 4, levels)."""
    used = multiplicity > 0
    t, w = levels[used], (multiplicity / multiplicity.sum())[used]
    rows = [w, w * t]
    if observable is not None:
        a = (observable if observable.ndim == 1 else np.diag(observable))[used]
        rows += [w * a, w * a * t]
    return t, np.array(rows)


def _sums(t: Array, weights: Array, s: Numbers) -> Numbers:
    """Sums of weights/(t - s) over the levels: shape (rows of weights, points)."""
    out = np.empty((len(weights), s.size), s.dtype)
    step = max(1, _BLOCK // max(t.size, 1))
    for i in range(0, s.size, step):
        out[:, i : i + step] = weights @ (1.0 / (t[:, None] - s[i : i + step]))
    return out


def _pairs(
    weights: tuple[Array, Array],
    s1: Numbers,
    s2: Numbers,
    index1: NDArray[np.int64],
    index2: NDArray[np.int64],
) -> Numbers:
    """Sums of weights/((t - s1)(t - s2)) over the levels, for pairs of points: shape (rows of weights, pairs)."""
    t, rows = weights
    dtype = np.result_type(s1, s2)
    if s1.size * s2.size <= 2 * index1.size:  # every pair: a matrix product
        table = np.zeros((len(rows), s1.size, s2.size), dtype)
        step = max(1, _BLOCK // max(s1.size, s2.size, 1))
        for i in range(0, t.size, step):
            left, right = (1.0 / (t[i : i + step] - s[:, None]) for s in (s1, s2))
            for k, row in enumerate(rows):
                table[k] += (left * row[i : i + step]) @ right.T
        return np.asarray(table[:, index1, index2])
    out = np.empty((len(rows), index1.size), dtype)
    step = max(1, _BLOCK // max(t.size, 1))
    for i in range(0, index1.size, step):
        at1, at2 = s1[index1[i : i + step]], s2[index2[i : i + step]]
        out[:, i : i + step] = rows @ (1.0 / (t[:, None] - at1) / (t[:, None] - at2))
    return out


# ------------------------------------------------------------------------------------------------- arguments


def _check_law(law: Any, name: str) -> None:
    if not isinstance(law, Law):
        raise TypeError(
            f"law must be a Law, a chain of operations on a Spectrum; got {type(law).__name__}. "
            "Build one with fh.sample_covariance(H, ratio) and its kin."
        )
    ops, par = law._chain.law[:2]
    if ((ops == SAMPLE) & (par[:, 3] > 0.0)).any():
        raise TypeError(
            f"law must have no companion() for {name}: the Gram matrix lives in the space of the samples, not in that "
            "of C. There the equivalent is law.stieltjes(z) times the identity; leave companion() out for that of C."
        )
    if (ops == CORNER).any():
        raise TypeError(
            f"law must have no corner() for {name}: in its random basis that of C is lost. The equivalent "
            "is law.stieltjes(z) times the identity."
        )


def _symmetric(name: str, matrix: Array) -> Array:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix; got shape {matrix.shape}.")
    check.not_empty(name, matrix)
    gap = float(np.abs(matrix - matrix.T).max())
    if gap > 1e-8 * float(np.abs(matrix).max()):
        raise ValueError(
            f"{name} must be symmetric; entries differ by {gap:.3g}. Use ({name} + {name}.T)/2 if that is meant."
        )
    return (matrix + matrix.T) / 2


def _eigen(C: Any) -> tuple[Array, Array]:
    matrix = _symmetric("C", check.finite("C", check.real_array("C", C, ndim=2)))
    t, basis = np.linalg.eigh(matrix)
    return t, basis


def _columns(name: str, value: Any, p: int) -> Array:
    array = check.finite(name, check.real_array(name, value))
    if array.ndim not in (1, 2) or array.shape[0] != p:
        raise ValueError(f"{name} must have shape ({p},) or ({p}, k), like C; got {array.shape}.")
    return array


# -------------------------------------------------------------------------------------------------- results


def _behind(value: Any, count: int) -> NDArray[Any]:
    """The array with ``count`` axes of length 1 behind its own."""
    array = np.asarray(value)
    return array.reshape(array.shape + (1,) * count)


def _plain(value: NDArray[Any]) -> Any:
    return value[()].item() if np.ndim(value) == 0 else value


def _shaped(shape: tuple[int, ...], fields: tuple[NDArray[Any], ...], at: int) -> list[Any]:
    """Read-only fields in the shape of the arguments, the status in place ``at``; scalars as Python's own."""
    out = [_plain(freeze(np.array(v).reshape(shape))) for v in fields]
    if not shape:
        out[at] = Status(out[at])
    return out


def _success(status: Any) -> Any:
    good = np.asarray(status) == Status.CONVERGED
    return bool(good) if good.ndim == 0 else good


def _describe(record: Any, shape: tuple[int, ...]) -> str:
    names = ", ".join(Status(s).name for s in np.unique(record.status))
    residual = np.asarray(record.residual)
    worst = float(np.max(residual[np.isfinite(residual)], initial=0.0))
    return f"{type(record).__name__}, shape {shape}, {names}, residual <= {worst:.1e}"
