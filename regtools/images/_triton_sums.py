"""The kernel of `sums_of_squares` for GPUs, in Triton; see `_triton`.

A program works on cells of one line of the box, along which only the last coordinate changes. So it
sums moments against that one; those against the others are made of the sums of all lines.
"""

import math

import numpy as np
import torch
import triton
import triton.language as tl

from ._triton import _located, _weight, pieces

CELLS = 128  # of a program; a power of two


def sums_of_squares(m, coefficients, beyond, reference, affine, order, seen, mask, fade):
    """Return the sums, ``(families, numbers)``; see `_sums`."""
    d, lines = len(m), math.prod(m[:-1])
    parts = triton.cdiv(m[-1], CELLS)
    families = 1 if seen is None else 2
    data = coefficients.detach().contiguous()
    place = {"dtype": torch.float64, "device": data.device}
    out = torch.empty((families, lines, parts, 1 + 2 * d + 3 * d * (d + 1) // 2), **place)
    numbers = torch.tensor([*affine.flatten(), beyond, fade], dtype=torch.float64)
    given = [data if one is None else one.detach().contiguous() for one in (reference, seen, mask)]
    fill = [1] * (3 - d)
    _sums[(lines, parts)](
        *(out, data, *given, numbers.to(data.device), pieces(data), out[0].numel()),
        *(*fill, *m, *fill, *coefficients.shape),
        *(d, order, out.shape[-1], seen is not None, mask is not None, CELLS),
    )
    return _across(out.sum(dim=2), m)


def _across(of_lines, m):
    """Sum over the lines: the value, first and second moments against (ξ, 1)."""
    d = len(m)
    ends = [(2 * torch.arange(n, device=of_lines.device).to(of_lines) + 1 - n) / n for n in m[:-1]]
    xi = [one.flatten() for one in torch.meshgrid(*ends, indexing="ij")]
    X = torch.stack([*xi, torch.ones_like(xi[0])])
    products = (X[:, None] * X).reshape(d * d, -1)
    found = (products @ of_lines).cpu().numpy().reshape(len(of_lines), d, d, -1)
    # A coordinate of (ξ, 1) is a row of X and a power of the last one.
    coordinates = [*((a, 0) for a in range(d - 1)), (d - 1, 1), (d - 1, 0)]
    first = [found[:, a, -1, 1 + 2 * j + p] for j in range(d) for a, p in coordinates]
    second = [
        found[:, a, b, 1 + 2 * d + 3 * k + p + q]
        for k in range(d * (d + 1) // 2)
        for a, p in coordinates
        for b, q in coordinates
    ]
    return np.stack([found[:, -1, -1, 0], *first, *second], axis=1)


@triton.jit
def _rise(t):
    s = 1 - t
    inside = (t > 0) & (t < 1)
    value = tl.where(t >= 1, 1.0, t * t * t * (10 + t * (6 * t - 15)))
    value = tl.where(t <= 0, 0.0, value)
    slope = tl.where(inside, 30 * t * t * s * s, 0.0)
    return value, slope, tl.where(inside, 60 * t * s * (s - t), 0.0)


@triton.jit
def _rising(u, m, fade):
    """The rise from both borders of one axis: value, slope, curvature."""
    l0, l1, l2 = _rise((u + 0.5) / fade)
    h0, h1, h2 = _rise((m - 0.5 - u) / fade)
    return (
        l0 * h0,
        (l1 * h0 - l0 * h1) / fade,
        (l2 * h0 - 2 * l1 * h1 + l0 * h2) / (fade * fade),
    )


# A function of u is ten numbers: the value, three slopes, and the second derivatives 00, 01, 02,
# 11, 12, 22. On two axes the first one is not there, and what belongs to it is zero.


@triton.jit
def _weights(pieces, t):
    """For each of four cells the weights for the value, the slope and half the curvature."""
    return (
        (_weight(pieces, t, 0, 0), _weight(pieces, t, 0, 1), _weight(pieces, t, 0, 2)),
        (_weight(pieces, t, 1, 0), _weight(pieces, t, 1, 1), _weight(pieces, t, 1, 2)),
        (_weight(pieces, t, 2, 0), _weight(pieces, t, 2, 1), _weight(pieces, t, 2, 2)),
        (_weight(pieces, t, 3, 0), _weight(pieces, t, 3, 1), _weight(pieces, t, 3, 2)),
    )


@triton.jit
def _function(flat, live, pieces, i, j, k, s, t, u, l0, l1, l2, d: tl.constexpr):
    """The spline at points, with slopes and curvatures per pixel; each coefficient is read once."""
    zero = t * 0
    f, f0, f1, f2 = zero, zero, zero, zero
    f00, f01, f02, f11, f12, f22 = zero, zero, zero, zero, zero, zero
    along_0, along_1, along_2 = _weights(pieces, s), _weights(pieces, t), _weights(pieces, u)
    for a in tl.static_range(4 if d == 3 else 1):
        p00, p01, p02, p10, p11, p20 = zero, zero, zero, zero, zero, zero
        for b in tl.static_range(4):
            r0, r1, r2 = zero, zero, zero
            for c in tl.static_range(4):
                x, y, z = i + a, j + b, k + c
                inside = live & (x >= 0) & (x < l0) & (y >= 0) & (y < l1) & (z >= 0) & (z < l2)
                value = tl.load(flat + (x * l1 + y) * l2 + z, mask=inside, other=0.0)
                value = value.to(tl.float64)
                w0, w1, w2 = along_2[c]
                r0 += value * w0
                r1 += value * w1
                r2 += value * w2
            w0, w1, w2 = along_1[b]
            p00 += r0 * w0
            p01 += r1 * w0
            p02 += r2 * w0
            p10 += r0 * w1
            p11 += r1 * w1
            p20 += r0 * w2
        if d == 3:
            w0, w1, w2 = along_0[a]
            f += p00 * w0
            f0 += p00 * w1
            f1 += p10 * w0
            f2 += p01 * w0
            f00 += 2 * p00 * w2
            f01 += p10 * w1
            f02 += p01 * w1
            f11 += 2 * p20 * w0
            f12 += p11 * w0
            f22 += 2 * p02 * w0
        else:
            f, f1, f2, f11, f12, f22 = p00, p10, p01, 2 * p20, p11, 2 * p02
    return f, f0, f1, f2, f00, f01, f02, f11, f12, f22


@triton.jit
def _times(f, f0, f1, f2, f00, f01, f02, f11, f12, f22,
           g, g0, g1, g2, g00, g01, g02, g11, g12, g22):  # fmt: skip
    """The product of two functions."""
    return (
        f * g,
        f * g0 + f0 * g,
        f * g1 + f1 * g,
        f * g2 + f2 * g,
        f * g00 + 2 * f0 * g0 + f00 * g,
        f * g01 + f0 * g1 + f1 * g0 + f01 * g,
        f * g02 + f0 * g2 + f2 * g0 + f02 * g,
        f * g11 + 2 * f1 * g1 + f11 * g,
        f * g12 + f1 * g2 + f2 * g1 + f12 * g,
        f * g22 + 2 * f2 * g2 + f22 * g,
    )


@triton.jit
def _add(out, live, z, f, f0, f1, f2, f00, f01, f02, f11, f12, f22,
         d: tl.constexpr, order: tl.constexpr):  # fmt: skip
    """Store the sums of f², of its slopes against (1, z), of its curvatures against (1, z, z²).

    Of order 1 the curvatures of f are left out, as Gauss and Newton do.
    """
    e = 2 * f if order == 2 else f * 0
    tl.store(out, tl.sum(tl.where(live, f * f, 0.0), 0))
    out += 1
    for j in tl.static_range(3 - d, 3):
        slope = tl.where(live, 2 * f * _pick(f0, f1, f2, j), 0.0)
        tl.store(out, tl.sum(slope, 0))
        tl.store(out + 1, tl.sum(slope * z, 0))
        out += 2
    for j in tl.static_range(3 - d, 3):
        for i in tl.static_range(j, 3):
            if j == 0:
                own = _pick(f00, f01, f02, i)
            elif j == 1:
                own = f11 if i == 1 else f12
            else:
                own = f22
            curved = 2 * _pick(f0, f1, f2, j) * _pick(f0, f1, f2, i) + e * own
            curved = tl.where(live, curved, 0.0)
            tl.store(out, tl.sum(curved, 0))
            tl.store(out + 1, tl.sum(curved * z, 0))
            tl.store(out + 2, tl.sum(curved * z * z, 0))
            out += 3


@triton.jit
def _pick(a, b, c, k: tl.constexpr):
    if k == 0:
        one = a
    elif k == 1:
        one = b
    else:
        one = c
    return one


@triton.jit
def _looked_at(numbers, x, y, z, row: tl.constexpr, d: tl.constexpr):
    """Where the template is looked at along one axis, in cells of its lattice."""
    at = numbers + row * (d + 1)
    u = tl.load(at + d - 2) * y + tl.load(at + d - 1) * z + tl.load(at + d)
    if d == 3:
        u += tl.load(at) * x
    return u


@triton.jit
def _sums(out, flat, reference, seen, mask, numbers, pieces, family, m0, m1, m2, l0, l1, l2,
          d: tl.constexpr, order: tl.constexpr, size: tl.constexpr, overlap: tl.constexpr,
          masked: tl.constexpr, cells: tl.constexpr):  # fmt: skip
    line, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    k = part * cells + tl.arange(0, cells)
    live, at = k < m2, line * m2 + k
    z = (2 * k + 1 - m2).to(tl.float64) / m2
    x = (2 * (line // m1) + 1 - m0).to(tl.float64) / m0  # zero where there are two axes
    y = (2 * (line % m1) + 1 - m1).to(tl.float64) / m1
    out += (line * tl.num_programs(1) + part) * size
    beyond, fade = tl.load(numbers + d * (d + 1)), tl.load(numbers + d * (d + 1) + 1)
    u0 = _looked_at(numbers, x, y, z, 0, d) if d == 3 else z * 0
    u1 = _looked_at(numbers, x, y, z, d - 2, d)
    u2 = _looked_at(numbers, x, y, z, d - 1, d)
    i, s = _located(u0 + beyond, l0)
    if d == 2:
        i, s = i * 0, s * 0
    j, t = _located(u1 + beyond, l1)
    k, u = _located(u2 + beyond, l2)
    f, f0, f1, f2, f00, f01, f02, f11, f12, f22 = _function(
        flat, live, pieces, i, j, k, s, t, u, l0, l1, l2, d
    )
    f -= tl.load(reference + at, mask=live, other=0.0).to(tl.float64)
    if overlap:
        # As the lattice ends a little beyond the box, so does the place that is looked at.
        a, a1, a2 = (
            _rising((i + 1) + s - beyond, l0 - 2 * beyond, fade)
            if d == 3
            else (z * 0 + 1, z * 0, z * 0)
        )
        b, b1, b2 = _rising((j + 1) + t - beyond, l1 - 2 * beyond, fade)
        c, c1, c2 = _rising((k + 1) + u - beyond, l2 - 2 * beyond, fade)
        v, v0, v1, v2 = a * b * c, a1 * b * c, a * b1 * c, a * b * c1
        v00, v01, v02 = a2 * b * c, a1 * b1 * c, a1 * b * c1
        v11, v12, v22 = a * b2 * c, a * b1 * c1, a * b * c2
        if masked:
            g, g0, g1, g2, g00, g01, g02, g11, g12, g22 = _function(
                mask, live, pieces, i, j, k, s, t, u, l0, l1, l2, d
            )
            v, v0, v1, v2, v00, v01, v02, v11, v12, v22 = _times(
                v,
                v0,
                v1,
                v2,
                v00,
                v01,
                v02,
                v11,
                v12,
                v22,
                g,
                g0,
                g1,
                g2,
                g00,
                g01,
                g02,
                g11,
                g12,
                g22,
            )
        w = tl.load(seen + at, mask=live, other=0.0).to(tl.float64)
        v, v0, v1, v2 = v * w, v0 * w, v1 * w, v2 * w
        v00, v01, v02, v11, v12, v22 = v00 * w, v01 * w, v02 * w, v11 * w, v12 * w, v22 * w
        f, f0, f1, f2, f00, f01, f02, f11, f12, f22 = _times(
            v, v0, v1, v2, v00, v01, v02, v11, v12, v22,
            f, f0, f1, f2, f00, f01, f02, f11, f12, f22,
        )  # fmt: skip
        _add(
            out + family, live, z,
            v, v0, v1, v2, v00, v01, v02, v11, v12, v22, d, order,
        )  # fmt: skip
    _add(out, live, z, f, f0, f1, f2, f00, f01, f02, f11, f12, f22, d, order)
