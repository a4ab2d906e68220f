"""The kernel of `_compiled` for GPUs, in Triton; that of `_sum_kernels` is in `_triton_sums`.

PyTorch's CUDA builds bring it. The arithmetic is that of the CPU kernels, in float64 whatever the
images are in; only cells beyond the lattice are left out when they are read instead of by their
weights. All numbers that are no whole ones come in tensors: as arguments Triton would round them to
float32. With ``TRITON_INTERPRET=1`` the kernels run on the CPU; so they are tested without a GPU.
"""

import math

import torch
import triton
import triton.language as tl

from ._taylor import TAYLOR_PIECES

CELLS = 512  # of a block; a power of two


def local_taylor(coefficients, points, domain, order):
    """Compute `_taylor.local_taylor` in one launch, for tensors of 2 or 3 axes on one device."""
    d, n, data = coefficients.ndim, len(points), coefficients.detach().contiguous()
    terms = [
        (p, q, r)
        for p in range(1 if d == 2 else order + 1)
        for q in range(order + 1 - p)
        for r in range(order + 1 - p - q)
    ]
    indices = [term[3 - d :] for term in terms]
    out = torch.empty((len(terms), n), dtype=data.dtype, device=data.device)
    scales = [math.prod(h**-k for h, k in zip(domain.h, a, strict=True)) for a in indices]
    numbers = torch.tensor([*domain.lower, *domain.h, *scales], dtype=torch.float64)
    if n:
        _points[(triton.cdiv(n, CELLS), len(terms))](
            *(out, data, points.detach().contiguous(), pieces(data)),
            *(torch.tensor(terms).to(data.device), numbers.to(data.device), n),
            *(*[1] * (3 - d), *coefficients.shape, d, CELLS),
        )
    return dict(zip(indices, out.unbind(), strict=True))


def pieces(like):
    """Return what `_weight` needs, on the device of a tensor."""
    return torch.from_numpy(TAYLOR_PIECES).to(like.device)


@triton.jit
def _weight(pieces, t, k: tl.constexpr, p):
    """Derivative p / p! of the basis by which the k-th of four cells enters."""
    at = pieces + (4 * p + k) * 4
    return tl.load(at) + t * (tl.load(at + 1) + t * (tl.load(at + 2) + t * tl.load(at + 3)))


@triton.jit
def _located(u, m):
    """The first of the four cells about u, and where u is in the second."""
    u = tl.minimum(tl.maximum(u, -3.0), m + 1.5)
    cell = tl.floor(u)
    return cell.to(tl.int64) - 1, u - cell


@triton.jit
def _points(out, flat, points, pieces, terms, numbers, n, l0, l1, l2, d: tl.constexpr,
            cells: tl.constexpr):  # fmt: skip
    """One Taylor coefficient at a block of points; on two axes the first one is not there."""
    at = tl.program_id(0).to(tl.int64) * cells + tl.arange(0, cells)
    live, term = at < n, tl.program_id(1).to(tl.int64)
    p, q, r = (
        tl.load(terms + 3 * term),
        tl.load(terms + 3 * term + 1),
        tl.load(terms + 3 * term + 2),
    )
    i, s = at * 0, at.to(tl.float64) * 0
    if d == 3:
        x = tl.load(points + at * d, mask=live, other=0.0).to(tl.float64)
        i, s = _located((x - tl.load(numbers)) / tl.load(numbers + d) - 0.5, l0)
    h1, h2 = tl.load(numbers + 2 * d - 2), tl.load(numbers + 2 * d - 1)
    y = tl.load(points + at * d + d - 2, mask=live, other=0.0).to(tl.float64)
    z = tl.load(points + at * d + d - 1, mask=live, other=0.0).to(tl.float64)
    j, t = _located((y - tl.load(numbers + d - 2)) / h1 - 0.5, l1)
    k, u = _located((z - tl.load(numbers + d - 1)) / h2 - 0.5, l2)
    total = t * 0
    for a in tl.static_range(4 if d == 3 else 1):
        plane = t * 0
        for b in tl.static_range(4):
            line = t * 0
            for c in tl.static_range(4):
                x, y, z = i + a, j + b, k + c
                inside = live & (x >= 0) & (x < l0) & (y >= 0) & (y < l1) & (z >= 0) & (z < l2)
                value = tl.load(flat + (x * l1 + y) * l2 + z, mask=inside, other=0.0)
                line += value.to(tl.float64) * _weight(pieces, u, c, r)
            plane += line * _weight(pieces, t, b, q)
        total += plane * _weight(pieces, s, a, p) if d == 3 else plane
    total *= tl.load(numbers + 2 * d + term)
    tl.store(out + term * n + at, total.to(out.dtype.element_ty), mask=live)
