"""Local Taylor coefficients of a cubic spline: the one place that evaluates splines.

A compiled kernel does the work: on the CPU `_compiled`, on a GPU `_triton`. Plain torch is the path
without one, for one axis, for what is batched or differentiated, and the oracle in tests.
"""

import math

import numpy as np
import torch

from . import _fused, _tracing

COMPILED = True  # tests set it to False to have the torch path everywhere

_PAD = 4  # zeros around the coefficients, so that every stencil below lies inside
_BLOCK = 2**18  # stencil entries worked on at a time: about what a processor's cache holds

# Row i: the cubic in t in [0, 1) by which the coefficient at floor(u) + i - 1 enters.
_PIECES = np.array([[1, -3, 3, -1], [4, 0, -6, 3], [1, 3, 3, -3], [0, 0, 0, 1]], dtype=float)
# [k, i]: the same pieces differentiated k times and divided by k!, in powers of t.
TAYLOR_PIECES = np.zeros((4, 4, 4))
for _k in range(4):
    for _p in range(_k, 4):
        TAYLOR_PIECES[_k, :, _p - _k] = math.comb(_p, _k) * _PIECES[:, _p]


def local_taylor(coefficients, points, domain, order):
    r"""Return the Taylor coefficients of a spline at points, in physical units.

    Parameters
    ----------
    coefficients : torch.Tensor
        Shape ``(m0,)``, ``(m0, m1)`` or ``(m0, m1, m2)``; zero outside. May be
        differentiated.
    points : torch.Tensor
        Shape ``(n, dim)``, physical units. Constants: derivatives with respect to them are
        what is returned.
    domain : Domain
        The box that the coefficients fill.
    order : int
        Highest total order, at least 0. No axis needs more than 3, so 3 · dim gives all terms.

    Returns
    -------
    dict
        Multi-index ``a`` to :math:`\partial^a \mathcal T / a!`, shape ``(n,)``, for all
        ``sum(a) <= order`` and ``max(a) <= 3``.
    """
    m = coefficients.shape
    if COMPILED and order <= 3 and _is_plain(coefficients, points):
        if coefficients.device.type == "cpu" and min(m) >= 4:
            from . import _compiled  # only here: Numba takes half a second to import

            return _compiled.local_taylor(coefficients, points, domain, order)
        if _fused.works(coefficients.device):
            from . import _triton  # only here: it may not be there

            return _triton.local_taylor(coefficients, points, domain, order)
    return by_torch(coefficients, points, domain, order)


def by_torch(coefficients, points, domain, order):
    """The same in plain PyTorch, for any device, differentiable in the coefficients."""
    m = coefficients.shape
    padded = torch.nn.functional.pad(coefficients, [_PAD] * (2 * len(m))).reshape(-1)
    columns = zip(points.unbind(-1), domain.lower, domain.h, strict=True)
    u = [(x - lower) / h - 0.5 for x, lower, h in columns]
    blocks = zip(*(x.split(_BLOCK // 4 ** len(m)) for x in u), strict=True)
    parts = [_block(padded, m, block, order) for block in blocks]
    return {
        a: torch.cat([part[a] for part in parts])
        / math.prod(h**k for h, k in zip(domain.h, a, strict=True))
        for a in parts[0]
    }


def _is_plain(coefficients, points):
    return (
        coefficients.ndim in (2, 3)
        and _tracing.is_plain(coefficients)
        and _tracing.is_plain(points)
        and not _tracing.records_program()
    )


def _block(padded, m, u, order):
    dim, n = len(m), len(u[0])
    step = torch.arange(4, device=padded.device)
    corner, offsets = step.new_zeros(()), step.new_zeros(())
    weights = []
    for k in range(dim):
        stride = math.prod(cells + 2 * _PAD for cells in m[k + 1 :])
        # Two pixels from the box the image is zero; stay near it, however far the point.
        inside = u[k].clamp(-3, m[k] + 1.5)
        cell = inside.floor()
        weights.append(_weights(inside - cell, order))
        corner = corner + (cell.long() + _PAD - 1) * stride
        offsets = offsets + (step * stride).reshape([4] + [1] * (dim - k))
    stencil = (corner + offsets).reshape(-1)
    terms = {(): padded.index_select(0, stencil).reshape([4] * dim + [n])}
    for k in reversed(range(dim)):  # contract the last axis of the stencil first
        terms = {
            (p, *a): _contract(term, weights[k][p])
            for a, term in terms.items()
            for p in range(min(order - sum(a), 3) + 1)
        }
    return terms


def _weights(t, order):
    """Return derivatives k / k! of the basis, k = 0 … 3 or `order`; shape (k, 4, n)."""
    dtype = np.float32 if t.dtype == torch.float32 else np.float64
    pieces = TAYLOR_PIECES[: order + 1].reshape(-1, 4).astype(dtype)
    powers = torch.stack([torch.ones_like(t), t, t * t, t * t * t])
    return (torch.as_tensor(pieces, device=t.device) @ powers).unflatten(0, (-1, 4))


def _contract(term, weight):
    """Sum over the last stencil axis; four fused steps beat one large product and a sum."""
    columns = term.unbind(-2)
    total = columns[0] * weight[0]
    for i in (1, 2, 3):
        total = torch.addcmul(total, columns[i], weight[i])
    return total


def stencil(points, domain):
    """Return which coefficients enter at each point, and with what weights.

    Parameters
    ----------
    points : torch.Tensor
        Shape ``(n, dim)``, physical units; constants.
    domain : Domain
        The box that the coefficients fill.

    Returns
    -------
    tuple of torch.Tensor
        Flat indices, shape ``(4 ** dim, n)``, and weights, shape ``(1 + dim, 4 ** dim, n)``: those
        of the value, then those of the derivative along each axis. Cells outside the array get
        an index inside and the weight zero.
    """
    step = torch.arange(-1, 3, device=points.device)[:, None]
    index = torch.zeros_like(points[None, :, 0], dtype=torch.long)
    weights = [torch.ones_like(points[None, :, 0])]
    for x, lower, h, m in zip(points.unbind(-1), domain.lower, domain.h, domain.m, strict=True):
        u = ((x - lower) / h - 0.5).clamp(-3, m + 1.5)
        first = u.floor()
        cells = first.long() + step
        inside = (cells >= 0) & (cells < m)
        index = _outer(torch.add, index * m, cells.clamp(0, m - 1))
        value, slope = _weights(u - first, 1) * inside
        along = _outer(torch.mul, weights[0], slope / h)
        weights = [_outer(torch.mul, weight, value) for weight in weights] + [along]
    return index, torch.stack(weights)


def _outer(combine, a, b):
    """Combine every row of `a` with every row of `b`."""
    return combine(a[:, None], b[None]).flatten(0, 1)
