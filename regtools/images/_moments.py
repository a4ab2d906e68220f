"""Functions of u as tuples, and their sums along a line.

A tuple holds the value, the slopes, and the second derivatives, those of the upper triangle row by
row: 6 numbers on two axes, 10 on three. The sums of a line are value against 1, slopes against 1
and x, second derivatives against 1, x and x².
"""

from ._numba import compiled, inlined

ZEROS_2D = (0.0,) * 14
ZEROS_3D = (0.0,) * 25


@inlined
def squared_2d(f, order):
    """Return f²; of order 1 without the second derivatives of f, as Gauss and Newton do."""
    g = 2 * f[0]
    e = g if order == 2 else 0.0
    return (
        f[0] * f[0],
        g * f[1],
        g * f[2],
        2 * f[1] * f[1] + e * f[3],
        2 * f[1] * f[2] + e * f[4],
        2 * f[2] * f[2] + e * f[5],
    )


@inlined
def times_2d(f, g):
    """Return the product of two functions."""
    return (
        f[0] * g[0],
        f[0] * g[1] + f[1] * g[0],
        f[0] * g[2] + f[2] * g[0],
        f[0] * g[3] + 2 * f[1] * g[1] + f[3] * g[0],
        f[0] * g[4] + f[1] * g[2] + f[2] * g[1] + f[4] * g[0],
        f[0] * g[5] + 2 * f[2] * g[2] + f[5] * g[0],
    )


@inlined
def scaled_2d(f, by):
    """Return a multiple of a function."""
    return f[0] * by, f[1] * by, f[2] * by, f[3] * by, f[4] * by, f[5] * by


@inlined
def added_2d(line, f, x):
    """Return the sums of a line with one cell more."""
    xx = x * x
    return (
        line[0] + f[0],
        line[1] + f[1],
        line[2] + f[1] * x,
        line[3] + f[2],
        line[4] + f[2] * x,
        line[5] + f[3],
        line[6] + f[3] * x,
        line[7] + f[3] * xx,
        line[8] + f[4],
        line[9] + f[4] * x,
        line[10] + f[4] * xx,
        line[11] + f[5],
        line[12] + f[5] * x,
        line[13] + f[5] * xx,
    )


@inlined
def squared_3d(f, order):
    """Return f²; of order 1 without the second derivatives of f, as Gauss and Newton do."""
    g = 2 * f[0]
    e = g if order == 2 else 0.0
    return (
        f[0] * f[0],
        g * f[1],
        g * f[2],
        g * f[3],
        2 * f[1] * f[1] + e * f[4],
        2 * f[1] * f[2] + e * f[5],
        2 * f[1] * f[3] + e * f[6],
        2 * f[2] * f[2] + e * f[7],
        2 * f[2] * f[3] + e * f[8],
        2 * f[3] * f[3] + e * f[9],
    )


@inlined
def times_3d(f, g):
    """Return the product of two functions."""
    return (
        f[0] * g[0],
        f[0] * g[1] + f[1] * g[0],
        f[0] * g[2] + f[2] * g[0],
        f[0] * g[3] + f[3] * g[0],
        f[0] * g[4] + 2 * f[1] * g[1] + f[4] * g[0],
        f[0] * g[5] + f[1] * g[2] + f[2] * g[1] + f[5] * g[0],
        f[0] * g[6] + f[1] * g[3] + f[3] * g[1] + f[6] * g[0],
        f[0] * g[7] + 2 * f[2] * g[2] + f[7] * g[0],
        f[0] * g[8] + f[2] * g[3] + f[3] * g[2] + f[8] * g[0],
        f[0] * g[9] + 2 * f[3] * g[3] + f[9] * g[0],
    )


@inlined
def scaled_3d(f, by):
    """Return a multiple of a function."""
    return (
        f[0] * by,
        f[1] * by,
        f[2] * by,
        f[3] * by,
        f[4] * by,
        f[5] * by,
        f[6] * by,
        f[7] * by,
        f[8] * by,
        f[9] * by,
    )


@inlined
def added_3d(line, f, x):
    """Return the sums of a line with one cell more."""
    xx = x * x
    return (
        line[0] + f[0],
        line[1] + f[1],
        line[2] + f[1] * x,
        line[3] + f[2],
        line[4] + f[2] * x,
        line[5] + f[3],
        line[6] + f[3] * x,
        line[7] + f[4],
        line[8] + f[4] * x,
        line[9] + f[4] * xx,
        line[10] + f[5],
        line[11] + f[5] * x,
        line[12] + f[5] * xx,
        line[13] + f[6],
        line[14] + f[6] * x,
        line[15] + f[6] * xx,
        line[16] + f[7],
        line[17] + f[7] * x,
        line[18] + f[7] * xx,
        line[19] + f[8],
        line[20] + f[8] * x,
        line[21] + f[8] * xx,
        line[22] + f[9],
        line[23] + f[9] * x,
        line[24] + f[9] * xx,
    )


@inlined
def visible_2d(u, v, m, fade):
    """Return the visibility: it rises from the borders of the box."""
    a, b = _rising(u, m[0], fade), _rising(v, m[1], fade)
    return a[0] * b[0], a[1] * b[0], a[0] * b[1], a[2] * b[0], a[1] * b[1], a[0] * b[2]


@inlined
def visible_3d(u, v, w, m, fade):
    """Return the visibility: it rises from the borders of the box."""
    a, b, c = _rising(u, m[0], fade), _rising(v, m[1], fade), _rising(w, m[2], fade)
    return (
        a[0] * b[0] * c[0],
        a[1] * b[0] * c[0],
        a[0] * b[1] * c[0],
        a[0] * b[0] * c[1],
        a[2] * b[0] * c[0],
        a[1] * b[1] * c[0],
        a[1] * b[0] * c[1],
        a[0] * b[2] * c[0],
        a[0] * b[1] * c[1],
        a[0] * b[0] * c[2],
    )


@compiled
def _rising(u, m, fade):
    """Return the rise from both borders of one axis: value, slope, curvature."""
    low, high = _rise((u + 0.5) / fade), _rise((m - 0.5 - u) / fade)
    return (
        low[0] * high[0],
        (low[1] * high[0] - low[0] * high[1]) / fade,
        (low[2] * high[0] - 2 * low[1] * high[1] + low[0] * high[2]) / (fade * fade),
    )


@compiled
def _rise(t):
    if t <= 0:
        return 0.0, 0.0, 0.0
    if t >= 1:
        return 1.0, 0.0, 0.0
    s = 1 - t
    return t * t * t * (10 + t * (6 * t - 15)), 30 * t * t * s * s, 60 * t * s * (s - t)


@compiled
def end_line(total, line, lead, d):
    """Add the sums of a line to those of a block; `lead` is what X is without its x."""
    total[0] += line[0]
    at = 1
    for k in range(d):
        none, once = line[1 + 2 * k], line[2 + 2 * k]
        for a in range(d + 1):
            total[at + a] += once if a == d - 1 else none * lead[a]
        at += d + 1
    for p in range(d * (d + 1) // 2):
        none, once, twice = (
            line[1 + 2 * d + 3 * p],
            line[2 + 2 * d + 3 * p],
            line[3 + 2 * d + 3 * p],
        )
        for a in range(d + 1):
            for b in range(d + 1):
                if a == d - 1 and b == d - 1:
                    total[at] += twice
                elif a == d - 1 or b == d - 1:
                    total[at] += once * lead[a + b - d + 1]
                else:
                    total[at] += none * lead[a] * lead[b]
                at += 1
