"""`_bands` on a GPU: stencils by PyTorch, and the substitution along each line in Triton."""

import numpy as np
import torch
import triton
import triton.language as tl

from ._bands import factored, refinements
from ._bases import PAD

_LINES = 32  # worked on by one program, side by side
_EDGE = 4  # zeros at both ends of the factor


def coefficients(data, mirrored, theta):
    """Return the coefficients of `data` along all axes, shape of `data`, float64."""
    found = data.to(torch.float64)
    for axis in range(data.ndim):
        found = _solve_along(axis, found, mirrored, theta, False)
    return found


def rate(coefficients, mirrored, theta):
    """Return the derivative of the coefficients in θ: minus the sum of M⁻¹P c over the axes."""
    known = coefficients.to(torch.float64)
    axes = range(known.ndim)
    return -sum(_solve_along(axis, known, mirrored, theta, True) for axis in axes)


def widened(inner, mirrored):
    """Return the coefficients with those beyond the box, where the image goes on."""
    for axis, m in enumerate(inner.shape if mirrored else ()):
        rows = torch.from_numpy(np.pad(np.arange(m), PAD, mode="symmetric"))
        inner = inner.index_select(axis, rows.to(inner.device))
    return inner.contiguous()


def _solve_along(axis, array, mirrored, theta, of_bending):
    """Solve M c = Bᵀ line, or M c = P line, for every line of an axis."""
    moved = array.movedim(axis, 0)
    lines = moved.reshape(len(moved), -1)
    factor = torch.from_numpy(factored(len(lines), mirrored, theta)).to(array.device)
    right = _bent(lines, mirrored) if of_bending else _smoothed(lines, mirrored)
    found = _substituted(right, factor)
    for _ in range(refinements(theta)):
        known = _smoothed(_smoothed(found, mirrored), mirrored) + theta * _bent(found, mirrored)
        found += _substituted(right - known, factor)
    return found.reshape(moved.shape).movedim(0, axis)


def _edged(lines, n, mirrored):
    """Rows with `n` more at both ends: what a mirror shows there, or zeros."""
    if mirrored:
        return torch.cat([lines[:n].flip(0), lines, lines[-n:].flip(0)])
    zeros = torch.zeros_like(lines[:n])
    return torch.cat([zeros, lines, zeros])


def _three(lines, centre, side):
    """One of B, E and K; the first and the last row are used up."""
    return centre * lines[1:-1] + side * (lines[:-2] + lines[2:])


def _smoothed(lines, mirrored):
    return _three(_edged(lines, 1, mirrored), 4.0, 1.0)


def _bent(lines, mirrored):
    """P x = Eᵀ K E x."""
    return _three(_three(_three(_edged(lines, 3, mirrored), -2.0, 1.0), 24.0, 6.0), -2.0, 1.0)


def _substituted(right, factor):
    """Solve L D Lᵀ x = right."""
    out, (m, n) = right.contiguous().clone(), right.shape
    # Zeros before the first row and behind the last, so that rows at the ends need no care.
    factor = torch.nn.functional.pad(factor, (_EDGE, _EDGE)).contiguous()
    _substitute[(triton.cdiv(n, _LINES),)](out, factor, m, n, _EDGE, _LINES, num_warps=1)
    return out


@triton.jit(do_not_specialize=["n"])
def _substitute(x, factor, m, n, edge: tl.constexpr, lines: tl.constexpr):
    """Four rows at a time: they are asked for before the first of them is waited for."""
    line = tl.program_id(0).to(tl.int64) * lines + tl.arange(0, lines)
    live, size = line < n, m + 2 * edge
    n = n.to(tl.int64)
    inverse, one, two, three = factor, factor + size, factor + 2 * size, factor + 3 * size
    a = tl.zeros((lines,), tl.float64)
    b, c = a, a
    for first in range(0, m, 4):
        at = x + first * n + line
        p, q = _row(at, first, m, live), _row(at + n, first + 1, m, live)
        r, s = _row(at + 2 * n, first + 2, m, live), _row(at + 3 * n, first + 3, m, live)
        for k in tl.static_range(4):
            here = p if k == 0 else (q if k == 1 else (r if k == 2 else s))
            i = first + k + edge
            here -= tl.load(one + i - 1) * a
            here -= tl.load(two + i - 2) * b
            here -= tl.load(three + i - 3) * c
            tl.store(at + k * n, here, mask=live & (line * 0 + first + k < m))
            a, b, c = here, a, b
    a = tl.zeros((lines,), tl.float64)
    b, c = a, a
    for first in range(0, m, 4):
        last = m - 1 - first
        at = x + last * n + line
        p, q = _row(at, first, m, live), _row(at - n, first + 1, m, live)
        r, s = _row(at - 2 * n, first + 2, m, live), _row(at - 3 * n, first + 3, m, live)
        for k in tl.static_range(4):
            here = p if k == 0 else (q if k == 1 else (r if k == 2 else s))
            i = last - k + edge
            here *= tl.load(inverse + i)
            here -= tl.load(one + i) * a
            here -= tl.load(two + i) * b
            here -= tl.load(three + i) * c
            tl.store(at - k * n, here, mask=live & (line * 0 + first + k < m))
            a, b, c = here, a, b


@triton.jit
def _row(at, i, m, live):
    return tl.load(at, mask=live & (at.to(tl.int64) * 0 + i < m), other=0.0)
