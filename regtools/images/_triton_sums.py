"""The kernel of `sums_of_squares` for GPUs, in Triton; see `_triton`."""

import math

import torch
import triton
import triton.language as tl

from ._triton import CELLS, _located, _weight


def sums_of_squares(m, coefficients, reference, affine, order, seen, mask, fade):
    """Return the sums of each block of cells, ``(families, blocks, numbers)``; see `_sums`."""
    d, n = len(m), math.prod(m)
    blocks = triton.cdiv(n, CELLS)
    families = 1 if seen is None else 2
    size = 1 + d * (d + 1) + d * (d + 1) // 2 * (d + 1) ** 2
    data = coefficients.detach().contiguous()
    out = torch.empty((families, blocks, size), dtype=torch.float64, device=data.device)
    beyond = (coefficients.shape[0] - m[0]) / 2
    numbers = torch.tensor([*affine.flatten(), beyond, fade], dtype=torch.float64)
    numbers = numbers.to(data.device)
    given = [data if one is None else one.detach().contiguous() for one in (reference, seen, mask)]
    fill = [1] * (3 - d)
    _sums[(blocks,)](
        *(out, data, *given, numbers, n, blocks * size),
        *(*fill, *m, *fill, *coefficients.shape),
        *(d, order, size, seen is not None, mask is not None, CELLS),
    )
    return out


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
def _function(flat, live, i, j, k, s, t, u, l0, l1, l2, d: tl.constexpr):
    """The spline at points, with slopes and curvatures per pixel; each coefficient is read once."""
    zero = t * 0
    f, f0, f1, f2 = zero, zero, zero, zero
    f00, f01, f02, f11, f12, f22 = zero, zero, zero, zero, zero, zero
    for a in tl.static_range(4 if d == 3 else 1):
        p00, p01, p02, p10, p11, p20 = zero, zero, zero, zero, zero, zero
        for b in tl.static_range(4):
            r0, r1, r2 = zero, zero, zero
            for c in tl.static_range(4):
                x, y, z = i + a, j + b, k + c
                inside = live & (x >= 0) & (x < l0) & (y >= 0) & (y < l1) & (z >= 0) & (z < l2)
                value = tl.load(flat + (x * l1 + y) * l2 + z, mask=inside, other=0.0)
                value = value.to(tl.float64)
                r0 += value * _weight(u, c, 0)
                r1 += value * _weight(u, c, 1)
                r2 += value * _weight(u, c, 2)
            w0, w1, w2 = _weight(t, b, 0), _weight(t, b, 1), _weight(t, b, 2)
            p00 += r0 * w0
            p01 += r1 * w0
            p02 += r2 * w0
            p10 += r0 * w1
            p11 += r1 * w1
            p20 += r0 * w2
        if d == 3:
            w0, w1, w2 = _weight(s, a, 0), _weight(s, a, 1), _weight(s, a, 2)
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
def _add(out, live, x, y, z, f, f0, f1, f2, f00, f01, f02, f11, f12, f22,
         d: tl.constexpr, order: tl.constexpr):  # fmt: skip
    """Store the sums of f² against 1, of its slopes against X, of its curvatures against X Xᵀ.

    X is (ξ, 1). Of order 1 the curvatures of f are left out, as Gauss and Newton do.
    """
    e = 2 * f if order == 2 else f * 0
    tl.store(out, tl.sum(tl.where(live, f * f, 0.0), 0))
    out += 1
    for j in tl.static_range(3 - d, 3):
        slope = 2 * f * _pick(f0, f1, f2, j)
        for a in tl.static_range(3 - d, 4):
            term = slope if a == 3 else slope * _pick(x, y, z, a)
            tl.store(out, tl.sum(tl.where(live, term, 0.0), 0))
            out += 1
    for j in tl.static_range(3 - d, 3):
        for i in tl.static_range(j, 3):
            if j == 0:
                own = _pick(f00, f01, f02, i)
            elif j == 1:
                own = f11 if i == 1 else f12
            else:
                own = f22
            curved = 2 * _pick(f0, f1, f2, j) * _pick(f0, f1, f2, i) + e * own
            for a in tl.static_range(3 - d, 4):
                part = curved if a == 3 else curved * _pick(x, y, z, a)
                for b in tl.static_range(3 - d, 4):
                    term = part if b == 3 else part * _pick(x, y, z, b)
                    tl.store(out, tl.sum(tl.where(live, term, 0.0), 0))
                    out += 1


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
def _sums(out, flat, reference, seen, mask, numbers, n, family, m0, m1, m2, l0, l1, l2,
          d: tl.constexpr, order: tl.constexpr, size: tl.constexpr, overlap: tl.constexpr,
          masked: tl.constexpr, cells: tl.constexpr):  # fmt: skip
    block = tl.program_id(0).to(tl.int64)
    at = block * cells + tl.arange(0, cells)
    live = at < n
    i, j, k = at // (m1 * m2), at // m2 % m1, at % m2
    x = ((2 * i + 1 - m0) / m0.to(tl.float64)) if d == 3 else at.to(tl.float64) * 0
    y = (2 * j + 1 - m1).to(tl.float64) / m1
    z = (2 * k + 1 - m2).to(tl.float64) / m2
    beyond, fade = tl.load(numbers + d * (d + 1)), tl.load(numbers + d * (d + 1) + 1)
    u0 = _looked_at(numbers, x, y, z, 0, d) if d == 3 else x
    u1 = _looked_at(numbers, x, y, z, d - 2, d)
    u2 = _looked_at(numbers, x, y, z, d - 1, d)
    i, s = _located(u0 + beyond, l0)
    if d == 2:
        i, s = i * 0, s * 0
    j, t = _located(u1 + beyond, l1)
    k, u = _located(u2 + beyond, l2)
    f, f0, f1, f2, f00, f01, f02, f11, f12, f22 = _function(
        flat, live, i, j, k, s, t, u, l0, l1, l2, d
    )
    f -= tl.load(reference + at, mask=live, other=0.0).to(tl.float64)
    if overlap:
        # As the lattice ends a little beyond the box, so does the place that is looked at.
        a, a1, a2 = _rising((i + 1) + s - beyond, m0, fade) if d == 3 else (x * 0 + 1, x * 0, x * 0)
        b, b1, b2 = _rising((j + 1) + t - beyond, m1, fade)
        c, c1, c2 = _rising((k + 1) + u - beyond, m2, fade)
        v, v0, v1, v2 = a * b * c, a1 * b * c, a * b1 * c, a * b * c1
        v00, v01, v02 = a2 * b * c, a1 * b1 * c, a1 * b * c1
        v11, v12, v22 = a * b2 * c, a * b1 * c1, a * b * c2
        if masked:
            g, g0, g1, g2, g00, g01, g02, g11, g12, g22 = _function(
                mask, live, i, j, k, s, t, u, l0, l1, l2, d
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
            out + family + block * size, live, x, y, z,
            v, v0, v1, v2, v00, v01, v02, v11, v12, v22, d, order,
        )  # fmt: skip
    _add(out + block * size, live, x, y, z, f, f0, f1, f2, f00, f01, f02, f11, f12, f22, d, order)
