r"""Laws with coupled unknowns: Newton with the analytic Jacobian, down from large Im z, and its certificate.

The equations and the tuples are those of `coupled_equations`.

The certificate. In every family the imaginary parts x of the unknowns obey x = M x + v Im z with M >= 0 entry by
entry and v > 0. A solution with all x > 0 therefore has a spectral radius rho(M) < 1; the difference of two
solutions is mapped to itself by a matrix bounded by the geometric mean of their two M (Cauchy-Schwarz), so it is
0: **a solution with all Im > 0 is the right one**, however it was found. On the real axis the same holds of a
solution with all Im > 0 (x is in the bulk) and of a real one with rho(M) < 1, which is to say with
d(unknown)/dz = (1 - M)^{-1} v > 0 in all components (x is outside the support).

Why this form

* Down from large Im z in steps that certify themselves, each tried boldly; the predictor is a power law in Im z,
  exact for 1/z, for constants and for the z**(-1/2) of a hard edge.
* Outside the support the Newton iteration is the same one at Im z = 0, where imaginary parts are exact zeros.

work = (complex K x (K + 2) systems, complex VECTORS x K, real ROWS x N), one of each a row of points.
"""

import numpy as np

from fasthde._jit import kernel, reciprocal
from fasthde._kernels.coupled_equations import at_infinity, equations, transform

CONVERGED, NOT_CONVERGED, INVALID = 0, 1, 2
EPS = 2.220446049250313e-16

#: Complex vectors of length K in the workspace.
VECTORS = 5

#: Evaluations of a Newton iteration before it is given up for a shorter step.
LIMIT = 12

#: Where a trial starts from: the point before; large z; then the solution above, in this order.
NEIGHBOUR, START, REAL, STRAIGHT, DOWN = 0, 1, 2, 3, 4


@kernel(inline=True)
def _size(x):
    """|Re| + |Im|: a pivot's size without a square root."""
    return abs(x.real) + abs(x.imag)


@kernel
def eliminate(system, step, slope):
    """Gaussian elimination: J step = F, J slope = -F_z. Returns whether every pivot was finite and not 0."""
    k = step.size
    for j in range(k):
        pivot = j
        for i in range(j + 1, k):
            if _size(system[i, j]) > _size(system[pivot, j]):
                pivot = i
        if not 0.0 < _size(system[pivot, j]) < np.inf:
            return False
        if pivot != j:
            for m in range(j, k + 2):
                held = system[j, m]
                system[j, m] = system[pivot, m]
                system[pivot, m] = held
        r = reciprocal(system[j, j])
        for i in range(j + 1, k):
            f = system[i, j] * r
            if f != 0.0:
                for m in range(j + 1, k + 2):
                    system[i, m] -= f * system[j, m]
    for j in range(k - 1, -1, -1):
        a = system[j, k]
        b = -system[j, k + 1]
        for m in range(j + 1, k):
            a -= system[j, m] * step[m]
            b -= system[j, m] * slope[m]
        r = reciprocal(system[j, j])
        step[j] = a * r
        slope[j] = b * r
    return True


# ----------------------------------------------------------------------------------------------------- Newton


@kernel
def _newton(model, z, x, step, slope, system, rows):
    """Newton from x, in place; slope becomes dx/dz. From Im x > 0 it stays there; real x stays real.

    Ends when a step is at rounding level: of the unknowns, or of what their conditioning makes of it. Returns
    (converged and certified, relative error, relative error of the imaginary parts, evaluations): the last step.
    """
    upper = x[0].imag > 0.0
    last = np.inf
    count = 0
    while count < LIMIT:
        equations(model, z, x, system, rows)
        count += 1
        if not eliminate(system, step, slope):
            break
        damp = 1.0
        size = 0.0
        drift = 0.0  # of the imaginary parts: outside the support nothing but rounding is left of them
        for a in range(x.size):
            size = max(size, _size(step[a]) / _size(x[a]))
            if upper:
                drift = max(drift, abs(step[a].imag) / x[a].imag)
                if step[a].imag > 0.9 * x[a].imag:
                    damp = min(damp, 0.9 * x[a].imag / step[a].imag)
        if not size < np.inf:
            break
        for a in range(x.size):
            x[a] = x[a] - damp * step[a]
        if drift < 0.1 and (size <= 4.0 * EPS or (size < 1e-6 and size > 0.25 * last)):
            good = True
            for a in range(x.size):
                good = good and (x[a].imag if upper else slope[a].real) > 0.0
            return good, max(size, EPS), max(drift, EPS), count
        last = size if damp == 1.0 else np.inf
    return False, np.inf, np.inf, count


@kernel
def _remaining(level, x, slope):
    """Largest share of Im x that a straight line leaves on the real axis."""
    share = 0.0
    for a in range(x.size):
        share = max(share, (x[a].imag - level * slope[a].real) / x[a].imag)
    return share


@kernel
def _propose(mode, z, level, move, jump, x, slope, trial):
    """Fill ``trial`` with a guess of the unknowns at z, from the solution x with slope at z.real + i level.

    For NEIGHBOUR that solution is at z - jump. Returns whether the guess is worth a try.
    """
    goal = z.imag
    if mode == NEIGHBOUR:
        for a in range(x.size):
            change = slope[a] * jump
            y = x[a] + change
            if not _size(change) <= 0.5 * _size(x[a]):
                return False
            if (y.imag <= 0.0) != (x[a].imag == 0.0 and goal == 0.0):
                return False
            trial[a] = y
    elif mode == REAL:
        for a in range(x.size):
            trial[a] = complex(x[a].real + level * slope[a].imag, 0.0)
    elif mode == STRAIGHT:
        least = 0.1 if _remaining(level, x, slope) > 0.1 else 0.1 * goal / level
        for a in range(x.size):
            y = x[a] - (level - goal) * complex(-slope[a].imag, slope[a].real)
            trial[a] = complex(y.real, max(y.imag, least * x[a].imag))
    else:
        for a in range(x.size):
            # a power of Im z: d log x/d log y = i y x'/x
            rate = complex(-level * slope[a].imag, level * slope[a].real) * reciprocal(x[a])
            gain = np.exp(-move * rate.real)
            turn = -move * rate.imag
            y = x[a] * complex(gain * np.cos(turn), gain * np.sin(turn))
            trial[a] = complex(y.real, max(y.imag, 1e-3 * x[a].imag * np.exp(-move)))
    return True


@kernel
def _next(mode, goal, level, x, slope):
    """What to try from the solution x at z.real + i level: REAL, STRAIGHT or DOWN, after ``mode`` in this order.

    Straight to the goal from where x is nearly linear in z; to real unknowns if no Im x would be left.
    """
    bend = 0.0
    for a in range(x.size):
        bend = max(bend, level * _size(slope[a]) / _size(x[a]))
    flat = _remaining(level, x, slope)
    if mode < REAL and goal == 0.0 and flat < 0.3:
        return REAL
    if mode < STRAIGHT and bend < 0.6 and (goal > 0.0 or flat > 0.1):
        return STRAIGHT
    return DOWN


@kernel
def solve(model, z, near, jump, vectors, system, rows):
    """Certified unknowns at z, Im z >= 0; on the real axis their limits from above.

    Result in vectors[0] (unknowns) and vectors[1] (their derivatives), which hold the solution at z - jump before
    the call if ``near``. Returns (status, error, error of the imaginary parts, evaluations).
    One loop with one call of Newton: each further call costs a third of a second of compilation.
    """
    x, slope, trial, step, held = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    reach = model[1]
    goal = z.imag
    level = goal if abs(z) > 4.0 * reach else max(goal, 2.0 * reach)
    mode = NEIGHBOUR if near else START
    leap = 2.0  # in log Im z
    move = 0.0
    spent = 0
    while spent < 1000:
        point = z
        if mode == START:
            point = complex(z.real, level)
            at_infinity(model, point, trial)
        else:
            if mode == DOWN:
                move = leap
                point = complex(z.real, level * np.exp(-move))
                if goal > 0.0 and point.imag < 1.5 * goal:
                    move = np.log(level / goal)
                    point = z
            if not _propose(mode, z, level, move, jump, x, slope, trial):
                mode = START
                continue
        ok, error, noise, count = _newton(model, point, trial, step, held, system, rows)
        spent += count
        if ok:
            for a in range(x.size):
                x[a] = trial[a]
                slope[a] = held[a]
            if point.imag == goal:
                return CONVERGED, error, noise, spent
            if mode == DOWN:
                leap = min(2.0 * move, 12.0)
            level = point.imag
            mode = _next(min(mode, START), goal, level, x, slope)
        elif mode == NEIGHBOUR:
            mode = START
        elif mode == START:
            level = max(2.0 * level, reach)
        elif mode == DOWN:
            leap = 0.5 * move
            if leap < 1e-3:
                break
        else:
            mode = _next(mode, goal, level, x, slope)
    return NOT_CONVERGED, np.inf, np.inf, spent


@kernel
def coupled_rows(start, stop, model, z, chunk, work, out, unknowns, status, count):
    """Solve at points z, ``chunk`` of them a row with a workspace of its own, each starting from the last one.

    out: m, dm/dz, (error, error of the imaginary parts); status: 0, 1 or 2, and whether z is outside the support.
    """
    systems, vectors, rows = work
    for row in range(start, stop):
        near = row < 0  # a boolean, no literal: one compilation less
        last = complex(0.0, 0.0)
        for i in range(row * chunk, min((row + 1) * chunk, z.size)):
            if not (z[i].imag >= 0.0 and abs(z[i].real) < np.inf and z[i].imag < np.inf):
                for a in range(unknowns.shape[1]):
                    unknowns[i, a] = complex(np.nan, np.nan)
                out[0, i] = complex(np.nan, np.nan)
                out[1, i] = complex(np.nan, np.nan)
                out[2, i] = complex(np.nan, 0.0)
                status[0, i] = INVALID
                status[1, i] = False
                count[i] = 0
                continue
            state, error, noise, spent = solve(
                model, z[i], near, z[i] - last, vectors[row], systems[row], rows[row]
            )
            near = state == CONVERGED
            last = z[i]
            for a in range(unknowns.shape[1]):
                unknowns[i, a] = vectors[row, 0, a] if near else complex(np.nan, np.nan)
            out[0, i], out[1, i] = transform(model, z[i], vectors[row, 0], vectors[row, 1], rows[row])
            if not near:
                out[0, i] = complex(np.nan, np.nan)
                out[1, i] = complex(np.nan, np.nan)
            out[2, i] = complex(error, noise)
            status[0, i] = state
            status[1, i] = near and vectors[row, 0, 0].imag == 0.0
            count[i] = spent
