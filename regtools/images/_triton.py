"""The kernel of `_compiled` for GPUs, in Triton; that of `_sum_kernels` is in `_triton_sums`.

PyTorch's CUDA builds bring it. The arithmetic is that of the CPU kernels, in float64 whatever the
images are in; only cells beyond the lattice are left out when they are read instead of by their
weights. All numbers that are no whole ones come in tensors: as arguments Triton would round them to
float32. With ``TRITON_INTERPRET=1`` the kernels run on the CPU; so they are tested without a GPU.
"""

import torch
import triton
import triton.language as tl

CELLS = 512  # of a block; a power of two


def local_taylor(coefficients, points, domain, order):
    """Compute `_taylor.local_taylor` in one pass, for tensors of 2 or 3 axes on one device."""
    d, n, data = coefficients.ndim, len(points), coefficients.detach().contiguous()
    indices = [
        (p, q, r)[3 - d :]
        for p in range(1 if d == 2 else order + 1)
        for q in range(order + 1 - p)
        for r in range(order + 1 - p - q)
    ]
    out = torch.empty((len(indices), n), dtype=data.dtype, device=data.device)
    numbers = torch.tensor([*domain.lower, *domain.h], dtype=torch.float64).to(data.device)
    if n:
        _points[(triton.cdiv(n, CELLS),)](
            *(out, data, points.detach().contiguous(), numbers, n),
            *(*[1] * (3 - d), *coefficients.shape, d, order, CELLS),
        )
    return dict(zip(indices, out.unbind(), strict=True))


@triton.jit
def _weight(t, k: tl.constexpr, p: tl.constexpr):
    """Derivative p / p! of the basis by which the k-th of four cells enters."""
    if p == 0:
        if k == 0:
            w = 1 + t * (-3 + t * (3 - t))
        elif k == 1:
            w = 4 + t * t * (-6 + t * 3)
        elif k == 2:
            w = 1 + t * (3 + t * (3 - t * 3))
        else:
            w = t * t * t
    elif p == 1:
        if k == 0:
            w = -3 + t * (6 - t * 3)
        elif k == 1:
            w = t * (-12 + t * 9)
        elif k == 2:
            w = 3 + t * (6 - t * 9)
        else:
            w = t * t * 3
    elif p == 2:
        if k == 0:
            w = 3 - t * 3
        elif k == 1:
            w = -6 + t * 9
        elif k == 2:
            w = 3 - t * 9
        else:
            w = t * 3
    else:
        if k == 0:
            w = t * 0 - 1
        elif k == 1:
            w = t * 0 + 3
        elif k == 2:
            w = t * 0 - 3
        else:
            w = t * 0 + 1
    return w


@triton.jit
def _located(u, m):
    """The first of the four cells about u, and where u is in the second."""
    u = tl.minimum(tl.maximum(u, -3.0), m + 1.5)
    cell = tl.floor(u)
    return cell.to(tl.int64) - 1, u - cell


@triton.jit
def _term(flat, live, i, j, k, s, t, u, l0, l1, l2, p: tl.constexpr, q: tl.constexpr,
          r: tl.constexpr, d: tl.constexpr):  # fmt: skip
    """One Taylor coefficient, per pixel; on two axes the first one is not there."""
    total = t * 0
    for a in tl.static_range(4 if d == 3 else 1):
        plane = t * 0
        for b in tl.static_range(4):
            line = t * 0
            for c in tl.static_range(4):
                x, y, z = i + a, j + b, k + c
                inside = live & (x >= 0) & (x < l0) & (y >= 0) & (y < l1) & (z >= 0) & (z < l2)
                value = tl.load(flat + (x * l1 + y) * l2 + z, mask=inside, other=0.0)
                line += value.to(tl.float64) * _weight(u, c, r)
            plane += line * _weight(t, b, q)
        total += plane * _weight(s, a, p) if d == 3 else plane
    return total


@triton.jit
def _points(out, flat, points, numbers, n, l0, l1, l2, d: tl.constexpr, order: tl.constexpr,
            cells: tl.constexpr):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * cells + tl.arange(0, cells)
    live = at < n
    h0 = tl.load(numbers + d)  # the first axis of three; of two it does not count
    i, s = at * 0, at.to(tl.float64) * 0
    if d == 3:
        x = tl.load(points + at * d, mask=live, other=0.0).to(tl.float64)
        i, s = _located((x - tl.load(numbers)) / h0 - 0.5, l0)
    h1, h2 = tl.load(numbers + 2 * d - 2), tl.load(numbers + 2 * d - 1)
    y = tl.load(points + at * d + d - 2, mask=live, other=0.0).to(tl.float64)
    z = tl.load(points + at * d + d - 1, mask=live, other=0.0).to(tl.float64)
    j, t = _located((y - tl.load(numbers + d - 2)) / h1 - 0.5, l1)
    k, u = _located((z - tl.load(numbers + d - 1)) / h2 - 0.5, l2)
    row = at
    by_p = h0 * 0 + 1
    for p in tl.static_range(order + 1 if d == 3 else 1):
        by_q = by_p
        for q in tl.static_range(order + 1 - p):
            by_r = by_q
            for r in tl.static_range(order + 1 - p - q):
                value = _term(flat, live, i, j, k, s, t, u, l0, l1, l2, p, q, r, d)
                tl.store(out + row, (value / by_r).to(out.dtype.element_ty), mask=live)
                row += n
                by_r *= h2
            by_q *= h1
        by_p *= h0
