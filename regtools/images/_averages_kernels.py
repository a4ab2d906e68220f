"""The loops of `AveragedRows`.

Points of one row stand close together, so their stencils overlap: each row is added up in a window
around its points and read out in order. Two axes are three, the first of a single cell.
"""

import numpy as np

from ._compiled import _located, _weights
from ._numba import compiled, kept, share

_PER_THREAD = 2**14  # points


def sizes(where):
    """Return how many entries each row has, and how many cells the largest window."""
    points, *_, per_row = where
    window, counts = np.zeros((2, len(points) // per_row), np.int64)
    _shared(_sizes, where, window)
    most = int(window.max(initial=0))
    _shared(_count, where, counts, most)
    return counts, most


def filled(where, window, starts, columns, homogeneous):
    """Fill `columns`; return the entries, or with `homogeneous` their derivatives in [A, b]."""
    d = where[0].shape[1]
    out = np.empty((d * (d + 1) if len(homogeneous) else 1, starts[-1]))
    _shared(_fill, where, out, window, starts, columns, homogeneous)
    return out


def located(points, domain, per_row):
    """Return points and box as the kernels take them."""
    lead = 3 - domain.dim
    lower, h = np.zeros(3), np.ones(3)
    lower[lead:], h[lead:] = domain.lower, domain.h
    return points, lead, (1,) * lead + tuple(domain.m), lower, h, per_row


def _shared(kernel, where, out, *arguments):
    points, *_, per_row = where
    n_rows = len(points) // per_row
    share(kernel, n_rows, len(points), _PER_THREAD, out, *where, *arguments)


@compiled
def _row_space(per_row):
    """Room for the ends of a window, and for where each point of a row lies."""
    ends = np.empty((2, 3), np.int64)
    return ends[0], ends[1], np.empty((3, per_row), np.int64), np.empty((3, per_row))


@compiled
def _reach(row, points, lead, m, lower, h, per_row, low, high, firsts, places):
    """Find the four cells of each point of a row along each axis, and the window of all."""
    low[:], high[:], firsts[:], places[:] = 0, 0, 0, 0.0
    for axis in range(lead, 3):
        low[axis], high[axis] = m[axis], -1
        for k in range(per_row):
            u = (points[row * per_row + k, axis - lead] - lower[axis]) / h[axis] - 0.5
            first, t = _located(u, m[axis])
            firsts[axis, k], places[axis, k] = first, t
            low[axis] = min(low[axis], max(first, 0))
            high[axis] = max(high[axis], min(first + 3, m[axis] - 1))


@compiled
def _size(low, high):
    size = 1
    for axis in range(3):
        size *= max(high[axis] - low[axis] + 1, 0)
    return size


@kept
def _sizes(start, stop, out, points, lead, m, lower, h, per_row):
    low, high, firsts, places = _row_space(per_row)
    for row in range(start, stop):
        _reach(row, points, lead, m, lower, h, per_row, low, high, firsts, places)
        out[row] = _size(low, high)


@compiled
def _place(places, weights, k, lead, h, low, high, firsts, at):
    """Store where the four cells of a point lie in the window, −1 outside, and their weights."""
    for axis in range(lead, 3):
        value, slope, _, _ = _weights(places[axis, k])
        for step in range(4):
            cell = firsts[axis, k] + step
            at[axis, step] = cell - low[axis] if low[axis] <= cell <= high[axis] else -1
            weights[0, axis, step] = value[step]
            weights[1, axis, step] = slope[step] / h[axis]


@kept
def _count(start, stop, out, points, lead, m, lower, h, per_row, window):
    low, high, firsts, places = _row_space(per_row)
    at, weights = np.zeros((3, 4), np.int64), np.ones((2, 3, 4))
    touched = np.zeros(window, np.bool_)
    for row in range(start, stop):
        _reach(row, points, lead, m, lower, h, per_row, low, high, firsts, places)
        size = _size(low, high)
        if size == 0:
            continue
        wide, deep = high[1] - low[1] + 1, high[2] - low[2] + 1
        touched[:size] = False
        for k in range(per_row):
            _place(places, weights, k, lead, h, low, high, firsts, at)
            for a in range(1 if lead else 4):
                for b in range(4):
                    if at[0, a] < 0 or at[1, b] < 0:
                        continue
                    line = (at[0, a] * wide + at[1, b]) * deep
                    for c in range(4):
                        if at[2, c] >= 0:
                            touched[line + at[2, c]] = True
        total = 0
        for cell in range(size):
            total += touched[cell]
        out[row] = total


@kept
def _fill(
    start, stop, out, points, lead, m, lower, h, per_row, window, starts, columns, homogeneous
):
    low, high, firsts, places = _row_space(per_row)
    at, weights = np.zeros((3, 4), np.int64), np.ones((2, 3, 4))
    touched, sums = np.zeros(window, np.bool_), np.zeros((window, len(out)))
    d, slopes = 3 - lead, len(homogeneous) > 0
    for row in range(start, stop):
        _reach(row, points, lead, m, lower, h, per_row, low, high, firsts, places)
        size = _size(low, high)
        if size == 0:
            continue
        wide, deep = high[1] - low[1] + 1, high[2] - low[2] + 1
        touched[:size] = False
        sums[:size] = 0.0
        for k in range(per_row):
            _place(places, weights, k, lead, h, low, high, firsts, at)
            point = (row * per_row + k) % len(homogeneous) if slopes else 0
            for a in range(1 if lead else 4):
                for b in range(4):
                    if at[0, a] < 0 or at[1, b] < 0:
                        continue
                    line = (at[0, a] * wide + at[1, b]) * deep
                    square = weights[0, 0, a] * weights[0, 1, b]
                    for c in range(4):
                        if at[2, c] < 0:
                            continue
                        cell = line + at[2, c]
                        touched[cell] = True
                        if not slopes:
                            sums[cell, 0] += square * weights[0, 2, c]
                            continue
                        for axis in range(d):
                            along = axis + lead
                            slope = weights[int(along == 0), 0, a]
                            slope *= weights[int(along == 1), 1, b]
                            slope *= weights[int(along == 2), 2, c]
                            for e in range(d):
                                sums[cell, axis * d + e] += slope * homogeneous[point, e]
                            sums[cell, d * d + axis] += slope
        entry = starts[row]
        for cell in range(size):
            if touched[cell]:
                i, j, l = cell // (wide * deep), cell // deep % wide, cell % deep  # noqa: E741
                columns[entry] = ((i + low[0]) * m[1] + j + low[1]) * m[2] + l + low[2]
                for kind in range(len(out)):
                    out[kind, entry] = sums[cell, kind]
                entry += 1
