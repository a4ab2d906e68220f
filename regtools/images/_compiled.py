"""The compiled CPU path of `local_taylor`: all derivatives in one pass over the stencil.

There is one kernel per number of axes, order and dtype.
"""

import itertools
import math
from functools import cache

import numpy as np
import torch

from ._numba import compiled, inlined, kept, share

_CHUNK = 64  # points whose cells are found first: a third faster than one point at a time
_POINTS_PER_THREAD = 2**14


def local_taylor(coefficients, points, domain, order):
    """Compute `_kernels.local_taylor` for plain CPU tensors of 2 or 3 axes, 4 or more cells each.

    Many points are shared among `torch.get_num_threads()` threads; each point is worked out
    alone, so their number does not change the result.
    """
    n = len(points)
    indices, kernel = _kernel(coefficients.ndim, order)
    shape = len(indices), n
    taylor = torch.empty(shape, dtype=coefficients.dtype, device=coefficients.device)
    # Detached, for NumPy: a tensor may be marked for recording while nothing is recorded.
    flat = coefficients.detach().reshape(-1).numpy()
    x = points.detach().resolve_neg().contiguous().numpy()
    arguments = taylor.numpy(), flat, tuple(coefficients.shape), x, domain.lower, domain.h
    share(kernel, n, n, _POINTS_PER_THREAD, *arguments)
    return dict(zip(indices, taylor.unbind(), strict=True))


@cache
def _kernel(dim, order):
    """Return the multi-indices in the order of the rows, and the function that fills these."""
    powers = itertools.product(range(order + 1), repeat=dim)
    indices = [a for a in powers if sum(a) <= order]
    return indices, kept((_over_squares if dim == 2 else _over_cubes)(order))


# `order` is a constant to the compiler below, which unrolls all loops but those over points.
# Indices of arrays are unsigned where it counts: no code then for those from the end.


def _over_squares(order):
    def taylor_2d(start, stop, out, flat, m, points, lower, h):
        cells, steps = np.empty((2, _CHUNK), np.int64), np.empty((2, _CHUNK))
        for first in range(start, stop, _CHUNK):
            chunk = points[first : min(first + _CHUNK, stop)]
            _find_cells(cells, steps, chunk, m, lower, h)
            for k in range(np.uintp(len(chunk))):
                i, j = cells[0, k], cells[1, k]
                s, t = steps[0, k], steps[1, k]
                at = np.uintp(first) + k
                if 0 <= i <= m[0] - 4 and 0 <= j <= m[1] - 4:
                    _square(out, at, flat, m, h, i, j, _weights(s), _weights(t), order)
                else:
                    _square_at_border(out, at, flat, m, h, i, j, s, t, order)

    return taylor_2d


def _over_cubes(order):
    def taylor_3d(start, stop, out, flat, m, points, lower, h):
        cells, steps = np.empty((3, _CHUNK), np.int64), np.empty((3, _CHUNK))
        for first in range(start, stop, _CHUNK):
            chunk = points[first : min(first + _CHUNK, stop)]
            _find_cells(cells, steps, chunk, m, lower, h)
            for k in range(np.uintp(len(chunk))):
                i, j, l = cells[0, k], cells[1, k], cells[2, k]  # noqa: E741
                s, t, u = steps[0, k], steps[1, k], steps[2, k]
                at = np.uintp(first) + k
                if 0 <= i <= m[0] - 4 and 0 <= j <= m[1] - 4 and 0 <= l <= m[2] - 4:
                    a, b, c = _weights(s), _weights(t), _weights(u)
                    _cube(out, at, flat, m, h, i, j, l, a, b, c, order)
                else:
                    _cube_at_border(out, at, flat, m, h, i, j, l, s, t, u, order)

    return taylor_3d


@inlined
def _find_cells(cells, steps, points, m, lower, h):
    """Store the first of the four cells about each point, and where the point is in the second."""
    for axis in range(len(m)):
        for k in range(np.uintp(len(points))):
            u = (points[k, axis] - lower[axis]) / h[axis] - 0.5
            cells[axis, k], steps[axis, k] = _located(u, m[axis])


@inlined
def _located(u, m):
    """Return the first of the four cells about u, and where u is in the second."""
    # Two pixels from the box the image is zero; stay near it, however far the point.
    u = min(max(u, -3.0), m + 1.5)
    cell = math.floor(u)
    return cell - 1, u - cell


@inlined
def _square(out, at, flat, m, h, i, j, a, b, order):
    row = np.uintp(m[1])
    corner = np.uintp(i) * row + np.uintp(j)
    f, g = _inverse_powers(h[0]), _inverse_powers(h[1])
    term = 0
    for p in range(order + 1):
        line = _contract(_rows(flat, corner, row), a[p])
        for q in range(order + 1 - p):
            out[term, at] = _dot(line, b[q]) * (f[p] * g[q])
            term += 1


@inlined
def _cube(out, at, flat, m, h, i, j, l, a, b, c, order):  # noqa: E741
    row, plane = np.uintp(m[2]), np.uintp(m[1] * m[2])
    corner = np.uintp(i) * plane + np.uintp(j) * row + np.uintp(l)
    f, g, e = _inverse_powers(h[0]), _inverse_powers(h[1]), _inverse_powers(h[2])
    term = 0
    for p in range(order + 1):
        square = (
            _contract(_rows(flat, corner, plane), a[p]),
            _contract(_rows(flat, corner + row, plane), a[p]),
            _contract(_rows(flat, corner + row + row, plane), a[p]),
            _contract(_rows(flat, corner + row + row + row, plane), a[p]),
        )
        for q in range(order + 1 - p):
            line = _contract(square, b[q])
            for r in range(order + 1 - p - q):
                out[term, at] = _dot(line, c[r]) * (f[p] * g[q] * e[r])
                term += 1


# Near the border the stencil moves inside the array and its weights move within the stencil.


@compiled
def _square_at_border(out, at, flat, m, h, i, j, s, t, order):
    i, a = _moved_inside(i, s, m[0])
    j, b = _moved_inside(j, t, m[1])
    _square(out, at, flat, m, h, i, j, a, b, order)


@compiled
def _cube_at_border(out, at, flat, m, h, i, j, l, s, t, u, order):  # noqa: E741
    i, a = _moved_inside(i, s, m[0])
    j, b = _moved_inside(j, t, m[1])
    l, c = _moved_inside(l, u, m[2])  # noqa: E741
    _cube(out, at, flat, m, h, i, j, l, a, b, c, order)


@inlined
def _moved_inside(first, t, m):
    """Return the first of four cells that lie inside, and the weights of the four.

    The weights of cells outside, where the image is zero, drop out. That a cell lies inside
    is certain, whatever `first` may be: nothing is ever read beyond the array.
    """
    inside = min(max(first, 0), m - 4)
    w, by = _weights(t), inside - first
    return inside, (_moved(w[0], by), _moved(w[1], by), _moved(w[2], by), _moved(w[3], by))


@compiled
def _moved(w, by):
    return _pick(w, by), _pick(w, by + 1), _pick(w, by + 2), _pick(w, by + 3)


@inlined
def _pick(w, k):
    return w[k] if 0 <= k < 4 else 0.0


@inlined
def _weights(t):
    """Return the weights of four cells, (p, cell): derivative p / p! of the basis."""
    return (
        (
            1 + t * (-3 + t * (3 - t)),
            4 + t * t * (-6 + t * 3),
            1 + t * (3 + t * (3 - t * 3)),
            t * t * t,
        ),
        (-3 + t * (6 - t * 3), t * (-12 + t * 9), 3 + t * (6 - t * 9), t * t * 3),
        (3 - t * 3, -6 + t * 9, 3 - t * 9, t * 3),
        (-1.0, 3.0, -3.0, 1.0),
    )


@inlined
def _inverse_powers(h):
    return 1.0, 1 / h, 1 / (h * h), 1 / (h * h * h)


@inlined
def _rows(flat, at, stride):
    """Return four times four neighbouring coefficients."""
    return (
        _four(flat, at),
        _four(flat, at + stride),
        _four(flat, at + stride + stride),
        _four(flat, at + stride + stride + stride),
    )


@inlined
def _four(flat, at):
    one = np.uintp(1)
    return flat[at], flat[at + one], flat[at + one + one], flat[at + one + one + one]


@inlined
def _contract(rows, w):
    a, b, c, d = rows
    return (
        w[0] * a[0] + w[1] * b[0] + w[2] * c[0] + w[3] * d[0],
        w[0] * a[1] + w[1] * b[1] + w[2] * c[1] + w[3] * d[1],
        w[0] * a[2] + w[1] * b[2] + w[2] * c[2] + w[3] * d[2],
        w[0] * a[3] + w[1] * b[3] + w[2] * c[3] + w[3] * d[3],
    )


@inlined
def _dot(a, b):
    return (a[0] * b[0] + a[2] * b[2]) + (a[1] * b[1] + a[3] * b[3])
