"""What takes pixels to the coefficients that interpolate them, applied again and again.

Along each axis a tridiagonal system, solved in linear time. This is `_bands` at θ = 0, without what
that needs for a blur, for the loops in which an image is only one of many right-hand sides.
"""

import math
from functools import lru_cache

import numpy as np

from ._numba import compiled, kept, share

_LANES = 32  # lines worked on together
_PER_THREAD = 2**16  # entries


def solved(pixels: np.ndarray, dim: int) -> np.ndarray:
    """Return the coefficients of the spline through `pixels`, black outside, along `dim` axes."""
    found = np.ascontiguousarray(pixels)
    for axis in range(dim):
        m, stride = pixels.shape[axis], math.prod(pixels.shape[axis + 1 :])
        out = np.empty_like(found)
        n_blocks = -(-found.size // (m * _LANES))
        arguments = found.reshape(-1), out.reshape(-1), _pivots(m), stride
        share(_lines, n_blocks, found.size, _PER_THREAD, *arguments)
        found = out
    return found


@lru_cache(maxsize=32)
def _pivots(m: int) -> np.ndarray:
    """Return one over the pivots of the matrix with 4 on its diagonal and 1 beside it."""
    found, last = np.empty(m), 0.0
    for i in range(m):
        last = found[i] = 1 / (4 - last)
    return found


@kept
def _lines(start, stop, source, out, inverse, stride):
    m = len(inverse)
    n_lines = len(source) // m
    x = np.empty((m, _LANES))
    for block in range(start, stop):
        lanes = min(_LANES, n_lines - block * _LANES)
        _copy(x, source, block * _LANES, lanes, stride, False)
        for i in range(1, m):
            for lane in range(lanes):
                x[i, lane] -= inverse[i - 1] * x[i - 1, lane]
        for lane in range(lanes):
            x[m - 1, lane] *= inverse[m - 1]
        for i in range(m - 2, -1, -1):
            for lane in range(lanes):
                x[i, lane] = inverse[i] * (x[i, lane] - x[i + 1, lane])
        _copy(x, out, block * _LANES, lanes, stride, True)


@compiled
def _copy(x, array, first, lanes, stride, back):
    """Copy lines of an array to the columns of `x`, or back; a line has `stride` between pixels."""
    m = len(x)
    at = np.empty(lanes, np.int64)
    for lane in range(lanes):
        line = first + lane
        at[lane] = line // stride * (m * stride) + line % stride
    for i in range(m):
        for lane in range(lanes):
            if back:
                array[at[lane] + i * stride] = x[i, lane]
            else:
                x[i, lane] = array[at[lane] + i * stride]
