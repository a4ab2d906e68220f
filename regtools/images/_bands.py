r"""Spline coefficients in linear time: one banded system along each axis.

Along an axis the coefficients solve :math:`(B^\top B + \theta P)\,c = B^\top T`, a matrix with
three diagonals on either side. Where the image goes on beyond its box, what reaches out is folded
back as by a mirror. The factorisation is :math:`L D L^\top`; lines are worked on eight at a time.

A large θ makes the matrix badly conditioned, and a plain solution loses digits. But a smooth line
meets :math:`P = E^\top K E` through its second differences :math:`E c`, which are small. So the
residual can be had to all digits, and with it iterative refinement gives back what was lost.
"""

import math

import numpy as np

from ._bases import PAD
from ._numba import call, compiled, kept, share

_LANES = 32  # lines worked on together
_EDGE = 3  # rows at both ends of a line for what lies outside
_PER_THREAD = 2**18  # entries


def coefficients(data, mirrored, theta):
    """Return the coefficients of `data` along all axes, shape of `data`, float64."""
    for axis in range(data.ndim):
        data = _solve_along(axis, data, mirrored, theta, False)
    return data


def rate(coefficients, mirrored, theta):
    """Return the derivative of the coefficients in θ: minus the sum of M⁻¹P c over the axes."""
    axes = range(coefficients.ndim)
    return -sum(_solve_along(axis, coefficients, mirrored, theta, True) for axis in axes)


def widened(inner, mirrored):
    """Return the coefficients with those beyond the box, where the image goes on."""
    return np.pad(inner, PAD, mode="symmetric") if mirrored else inner


def factored(m, mirrored, theta):
    """Return 1/D and the three diagonals of L below it, of BᵀB + θP."""
    factor = np.empty((4, m))
    call(_factor, factor, mirrored, theta)
    return factor


def refinements(theta):
    """Return how often what is left over is solved for."""
    return int(theta > 1) + int(theta > 1e5) + int(theta > 1e10)


def _solve_along(axis, array, mirrored, theta, of_bending):
    """Solve M c = Bᵀ line, or M c = P line, for every line of an axis."""
    m, stride = array.shape[axis], math.prod(array.shape[axis + 1 :])
    factor, out = factored(m, mirrored, theta), np.empty(array.shape)
    flat = np.ascontiguousarray(array).reshape(-1)
    times = refinements(theta)
    arguments = flat, out.reshape(-1), factor, stride, mirrored, theta, of_bending, times
    share(_lines, -(-array.size // (m * _LANES)), array.size, _PER_THREAD, *arguments)
    return out


@kept
def _factor(factor, mirrored, theta):
    """Fill `factor` with 1/D and the three diagonals of L below it, of BᵀB + θP."""
    m = factor.shape[1]
    factor[:] = 0
    gram, bending = (18.0, 8.0, 1.0, 0.0), (96.0, -54.0, 0.0, 6.0)
    for i in range(m):
        for k in range(-3, 4):
            j = i + k
            if mirrored and not 0 <= j < m:
                j = -1 - j if j < 0 else 2 * m - 1 - j
            if i <= j < m:
                factor[j - i, i] += gram[abs(k)] + theta * bending[abs(k)]
    if not mirrored:  # a row of B is cut off at each end
        factor[0, 0] -= 1
        factor[0, m - 1] -= 1
    for i in range(m):
        last = min(3, m - 1 - i)
        for k in range(1, last + 1):
            part = factor[k, i] / factor[0, i]  # first: a product could overflow
            for j in range(k, last + 1):
                factor[j - k, i + k] -= part * factor[j, i]
        factor[0, i] = 1 / factor[0, i]
        for k in range(1, 4):
            factor[k, i] *= factor[0, i]


@kept
def _lines(start, stop, source, out, factor, stride, mirrored, theta, of_bending, times):
    m = factor.shape[1]
    n_lines = len(source) // m
    shape = m + 2 * _EDGE, _LANES
    x, right, left_over = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    work = np.zeros(shape), np.zeros(shape)
    for block in range(start, stop):
        lanes = min(_LANES, n_lines - block * _LANES)
        for lane in range(lanes):
            line = block * _LANES + lane
            at = line // stride * (m * stride) + line % stride
            for i in range(m):
                x[i + _EDGE, lane] = source[at + i * stride]
        _edges(x, mirrored)
        if of_bending:
            _bend(right, x, work)
        else:
            _tridiagonal(right, x, 4.0, 1.0, 0)
        x[:] = right
        _substitute(x, factor)
        for _ in range(times):
            _edges(x, mirrored)
            _bend(left_over, x, work)
            _tridiagonal(work[0], x, 4.0, 1.0, 0)
            _edges(work[0], mirrored)
            _tridiagonal(work[1], work[0], 4.0, 1.0, 0)
            for i in range(_EDGE, m + _EDGE):
                for lane in range(_LANES):
                    known = right[i, lane] - work[1][i, lane]
                    left_over[i, lane] = known - theta * left_over[i, lane]
            _substitute(left_over, factor)
            for i in range(_EDGE, m + _EDGE):
                for lane in range(_LANES):
                    x[i, lane] += left_over[i, lane]
        for lane in range(lanes):
            line = block * _LANES + lane
            at = line // stride * (m * stride) + line % stride
            for i in range(m):
                out[at + i * stride] = x[i + _EDGE, lane]


@compiled
def _edges(x, mirrored):
    """Fill the rows outside, with what a mirror shows there or with zeros."""
    for k in range(_EDGE):
        for lane in range(_LANES):
            low, high = x[_EDGE + k, lane], x[len(x) - _EDGE - 1 - k, lane]
            x[_EDGE - 1 - k, lane] = low if mirrored else 0.0
            x[len(x) - _EDGE + k, lane] = high if mirrored else 0.0


@compiled
def _tridiagonal(out, x, centre, side, beyond):
    """Apply one of B, E and K to the rows inside, and to so many beyond."""
    for i in range(_EDGE - beyond, len(x) - _EDGE + beyond):
        for lane in range(_LANES):
            out[i, lane] = centre * x[i, lane] + side * (x[i - 1, lane] + x[i + 1, lane])


@compiled
def _bend(out, x, work):
    """Store P x = Eᵀ K E x."""
    _tridiagonal(work[0], x, -2.0, 1.0, 2)
    _tridiagonal(work[1], work[0], 24.0, 6.0, 1)
    _tridiagonal(out, work[1], -2.0, 1.0, 0)


@compiled
def _substitute(x, factor):
    """Solve L D Lᵀ in place."""
    _edges(x, False)  # so that rows at the ends need no care
    m = factor.shape[1]
    for i in range(m):
        one = factor[1, i - 1] if i > 0 else 0.0
        two = factor[2, i - 2] if i > 1 else 0.0
        three = factor[3, i - 3] if i > 2 else 0.0
        for lane in range(_LANES):
            known = one * x[i + 2, lane] + two * x[i + 1, lane] + three * x[i, lane]
            x[i + _EDGE, lane] -= known
    for i in range(m - 1, -1, -1):
        inverse, one, two, three = factor[0, i], factor[1, i], factor[2, i], factor[3, i]
        for lane in range(_LANES):
            known = one * x[i + 4, lane] + two * x[i + 5, lane] + three * x[i + 6, lane]
            x[i + _EDGE, lane] = inverse * x[i + _EDGE, lane] - known
