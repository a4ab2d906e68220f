"""The kernels of `sums_of_squares`: one per number of axes, order and surround.

A function of u is a tuple, see `_moments`. A line of cells along the last axis is summed in
scalars, and only its end multiplies by what is constant along it.
"""

from functools import cache

import numpy as np

from ._compiled import _CHUNK, _contract, _dot, _located, _moved_inside, _rows, _weights
from ._moments import (
    ZEROS_2D,
    ZEROS_3D,
    added_2d,
    added_3d,
    end_line,
    scaled_2d,
    scaled_3d,
    squared_2d,
    squared_3d,
    times_2d,
    times_3d,
    visible_2d,
    visible_3d,
)
from ._numba import compiled, inlined, kept


@cache
def kernel(d, order, overlap):
    """Return the function that adds up blocks of cells."""
    return kept((_over_2d if d == 2 else _over_3d)(order, overlap))


def _over_2d(order, overlap):
    def sums_2d(start, stop, out, images, lattice, beyond, m, affine, fade, per_block):
        flat, reference, seen, mask = images
        cells, steps = np.empty((2, _CHUNK), np.int64), np.empty((2, _CHUNK))
        lead, places = np.ones(3), _places(m[1])
        box = lattice[0] - 2 * beyond, lattice[1] - 2 * beyond
        for block in range(start, stop):
            for i in range(block * per_block, min((block + 1) * per_block, m[0])):
                lead[0] = _place(i, m[0])
                row, cover = ZEROS_2D, ZEROS_2D
                for first in range(0, m[1], _CHUNK):
                    part = places[first : first + _CHUNK]
                    for axis in range(2):
                        base = affine[axis, 0] * lead[0] + affine[axis, 2] + beyond
                        _locate(
                            cells[axis], steps[axis], base, affine[axis, 1], part, lattice[axis]
                        )
                    for k in range(np.uintp(len(part))):
                        at = i * m[1] + first + k
                        x = part[k]
                        a, b, s, t = cells[0, k], cells[1, k], steps[0, k], steps[1, k]
                        f = _minus(_terms_2d(flat, lattice, a, b, s, t, order), reference[at])
                        if overlap:
                            v = visible_2d(a + 1 + s - beyond, b + 1 + t - beyond, box, fade)
                            if len(mask):
                                v = times_2d(v, _terms_2d(mask, lattice, a, b, s, t, order))
                            v = scaled_2d(v, seen[at])
                            f = times_2d(v, f)
                            cover = added_2d(cover, squared_2d(v, order), x)
                        row = added_2d(row, squared_2d(f, order), x)
                end_line(out[block, 0], row, lead, 2)
                if overlap:
                    end_line(out[block, 1], cover, lead, 2)

    return sums_2d


def _over_3d(order, overlap):
    def sums_3d(start, stop, out, images, lattice, beyond, m, affine, fade, per_block):
        flat, reference, seen, mask = images
        cells, steps = np.empty((3, _CHUNK), np.int64), np.empty((3, _CHUNK))
        lead, places = np.ones(4), _places(m[2])
        box = lattice[0] - 2 * beyond, lattice[1] - 2 * beyond, lattice[2] - 2 * beyond
        for block in range(start, stop):
            for line in range(block * per_block, min((block + 1) * per_block, m[0] * m[1])):
                lead[0] = _place(line // m[1], m[0])
                lead[1] = _place(line % m[1], m[1])
                row, cover = ZEROS_3D, ZEROS_3D
                for first in range(0, m[2], _CHUNK):
                    part = places[first : first + _CHUNK]
                    for axis in range(3):
                        base = affine[axis, 0] * lead[0] + affine[axis, 1] * lead[1]
                        base += affine[axis, 3] + beyond
                        _locate(
                            cells[axis], steps[axis], base, affine[axis, 2], part, lattice[axis]
                        )
                    for k in range(np.uintp(len(part))):
                        at = line * m[2] + first + k
                        x = part[k]
                        a, b, c = cells[0, k], cells[1, k], cells[2, k]
                        s, t, u = steps[0, k], steps[1, k], steps[2, k]
                        f = _terms_3d(flat, lattice, a, b, c, s, t, u, order)
                        f = _minus(f, reference[at])
                        if overlap:
                            v = visible_3d(
                                a + 1 + s - beyond,
                                b + 1 + t - beyond,
                                c + 1 + u - beyond,
                                box,
                                fade,
                            )
                            if len(mask):
                                trust = _terms_3d(mask, lattice, a, b, c, s, t, u, order)
                                v = times_3d(v, trust)
                            v = scaled_3d(v, seen[at])
                            f = times_3d(v, f)
                            cover = added_3d(cover, squared_3d(v, order), x)
                        row = added_3d(row, squared_3d(f, order), x)
                end_line(out[block, 0], row, lead, 3)
                if overlap:
                    end_line(out[block, 1], cover, lead, 3)

    return sums_3d


@inlined
def _place(i, m):
    """Return ξ of cell i: from −1 to 1 over the box."""
    return (2 * i + 1 - m) / m


@compiled
def _places(m):
    places = np.empty(m)
    for i in range(m):
        places[i] = _place(i, m)
    return places


@inlined
def _locate(cells, steps, base, slope, places, m):
    """Store the first of the four cells about each point, and where the point is in the second."""
    for k in range(np.uintp(len(places))):
        cells[k], steps[k] = _located(base + slope * places[k], m)


@inlined
def _inside(first, t, m):
    if 0 <= first <= m - 4:
        return first, _weights(t)
    return _moved_inside(first, t, m)


@inlined
def _terms_2d(flat, m, i, j, s, t, order):
    i, a = _inside(i, s, m[0])
    j, b = _inside(j, t, m[1])
    row = np.uintp(m[1])
    rows = _rows(flat, np.uintp(i) * row + np.uintp(j), row)
    value, slope = _contract(rows, a[0]), _contract(rows, a[1])
    if order == 1:
        return _dot(value, b[0]), _dot(slope, b[0]), _dot(value, b[1]), 0.0, 0.0, 0.0
    return (
        _dot(value, b[0]),
        _dot(slope, b[0]),
        _dot(value, b[1]),
        2 * _dot(_contract(rows, a[2]), b[0]),
        _dot(slope, b[1]),
        2 * _dot(value, b[2]),
    )


@inlined
def _terms_3d(flat, m, i, j, l, s, t, u, order):  # noqa: E741
    i, a = _inside(i, s, m[0])
    j, b = _inside(j, t, m[1])
    l, c = _inside(l, u, m[2])  # noqa: E741
    row, plane = np.uintp(m[2]), np.uintp(m[1] * m[2])
    corner = np.uintp(i) * plane + np.uintp(j) * row + np.uintp(l)
    first, second = _rows(flat, corner, plane), _rows(flat, corner + row, plane)
    third = _rows(flat, corner + row + row, plane)
    fourth = _rows(flat, corner + row + row + row, plane)
    flats = first, second, third, fourth
    zero, one = _flattened(flats, a[0]), _flattened(flats, a[1])
    value, up = _contract(zero, b[0]), _contract(one, b[0])
    across = _contract(zero, b[1])
    if order == 1:
        slopes = _dot(up, c[0]), _dot(across, c[0]), _dot(value, c[1])
        return _dot(value, c[0]), *slopes, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    two = _flattened(flats, a[2])
    return (
        _dot(value, c[0]),
        _dot(up, c[0]),
        _dot(across, c[0]),
        _dot(value, c[1]),
        2 * _dot(_contract(two, b[0]), c[0]),
        _dot(_contract(one, b[1]), c[0]),
        _dot(up, c[1]),
        2 * _dot(_contract(zero, b[2]), c[0]),
        _dot(across, c[1]),
        2 * _dot(value, c[2]),
    )


@inlined
def _flattened(flats, w):
    a, b, c, d = flats
    return _contract(a, w), _contract(b, w), _contract(c, w), _contract(d, w)


@inlined
def _minus(f, value):
    return f[0] - value, *f[1:]
