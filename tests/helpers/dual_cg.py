"""CG and its derivative on few unknowns, twice over, for the explorer that computes in the browser.

`recurrence` is CG on dual numbers in whatever numbers it is given: floats, as the browser has them,
to the last bit, or fractions. `galerkin` knows neither step lengths nor dual numbers: it minimises
over the Krylov space in fractions, and differentiates by a difference so small that it is exact.
"""

import flint

STEP = flint.fmpq(1, 2**700)  # h; the difference is wrong by h²


def recurrence(matrix, right, tangent, start, count):
    """Iterates and their derivatives, lists of `count` + 1 pairs; the start is a constant."""

    def dot(u, v):
        total = u[0] * v[0]
        for a, b in zip(u[1:], v[1:], strict=True):
            total = total + a * b
        return total

    def both(u, v, du, dv):  # of uᵀv: the browser adds up products that are dual, one by one
        slopes = [a * db + da * b for a, b, da, db in zip(u, v, du, dv, strict=True)]
        total = slopes[0]
        for slope in slopes[1:]:
            total = total + slope
        return dot(u, v), total

    def times(v):
        return [dot(row, v) for row in matrix]

    def ratio(a, da, b, db):
        value = a / b
        return value, (da - value * db) / b

    zero = 0 * right[0]
    f, df = list(start), [zero for _ in start]
    rho = [b - image for b, image in zip(right, times(f), strict=True)]
    drho = list(tangent)
    delta, ddelta = rho, drho
    square, dsquare = both(rho, rho, drho, drho)
    path = [(f, df)]
    for _ in range(count):
        image, dimage = times(delta), times(ddelta)
        alpha, dalpha = ratio(square, dsquare, *both(delta, image, ddelta, dimage))
        df = [x + (alpha * b + dalpha * a) for x, a, b in zip(df, delta, ddelta, strict=True)]
        f = [x + alpha * a for x, a in zip(f, delta, strict=True)]
        drho = [x - (alpha * b + dalpha * a) for x, a, b in zip(drho, image, dimage, strict=True)]
        rho = [x - alpha * a for x, a in zip(rho, image, strict=True)]
        after, dafter = both(rho, rho, drho, drho)
        beta, dbeta = ratio(after, dafter, square, dsquare)
        ddelta = [y + (beta * b + dbeta * a) for y, a, b in zip(drho, delta, ddelta, strict=True)]
        delta = [x + beta * a for x, a in zip(rho, delta, strict=True)]
        square, dsquare = after, dafter
        path.append((f, df))
    return path


def galerkin(matrix, right, tangent, start, count):
    """The iterate after `count` steps and its derivative, as lists of fractions, exactly but h²."""
    exact = fractions(matrix)

    def iterate(step):
        begin = _column(start)
        column = _column(right) + step * _column(tangent) - exact * begin
        columns = []
        for _ in range(min(count, len(start))):
            columns.append([x for (x,) in column.tolist()])
            column = exact * column
        if not columns:
            return start
        space = flint.fmpq_mat(columns).transpose()
        first = space.transpose() * _column(columns[0])
        best = (space.transpose() * exact * space).solve(first)
        return [x for (x,) in (begin + space * best).tolist()]

    pairs = zip(iterate(STEP), iterate(-STEP), strict=True)
    return iterate(flint.fmpq(0)), [(above - below) / (2 * STEP) for above, below in pairs]


def restarted(system, start, count):
    """`galerkin` of a `SmallSystem` that begins anew after `start` of `count` iterations."""
    numbers = system.matrix, system.right, system.tangent
    stopped, _ = galerkin(*numbers, [flint.fmpq(0)] * len(system.right), start)
    return galerkin(*numbers, stopped, count - start)


def relative_error(system, slopes):
    """Error of a derivative in the norm of the matrix, relative to that of none."""
    matrix = fractions(system.matrix)
    true = matrix.solve(_column(system.tangent))

    def square(u):
        return (u.transpose() * matrix * u)[0, 0]

    ratio = square(_column(slopes) - true) / square(true)
    return float(flint.arb(ratio).sqrt())


def fractions(rows):
    """The matrix of these numbers, exactly; doubles are fractions."""
    return flint.fmpq_mat([[_fraction(x) for x in row] for row in rows])


def _column(numbers):
    return fractions([[x] for x in numbers])


def _fraction(x):
    return x if isinstance(x, flint.fmpq) else flint.fmpq(*float(x).as_integer_ratio())
