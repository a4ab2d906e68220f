r"""How far a map can be off: its covariance, from the exact Hessian and from what is left.

At a minimum the scores :math:`\psi_i`, the parts of the gradient that belong to one cell each, add
up to zero. With other noise they would not, and to first order the minimum would move by
:math:`-H^{-1} \sum_i \psi_i`. So the covariance is :math:`H^{-1} S H^{-1}`, with S that of the sum
of the scores. What two pictures leave is rarely white: edges leave lines. Therefore the scores are
first summed in blocks, six an axis in 2D and four in 3D, and only the blocks count as
independent. Of correlation gain and offset are projected out of the slopes, as they follow the map.

This is the scatter of the map. It does not know of a bias, and there is one that noise makes:
interpolation smooths the noise of the template between its pixels, which pulls the minimum to where
it smooths most. Where two grids are turned against each other by a degree or more it averages out.
Where they are shifted only, the error was up to five times the estimate. It holds for a last θ that
is small, as a blur makes what is left smooth.
"""

from __future__ import annotations

import torch

from . import distances
from .chain import along, local, parts
from .model import second_order_model
from .overlap import split

BLOCKS = {1: 36, 2: 6, 3: 4}
"""Blocks an axis, by the number of axes."""


def covariance(problem, w, theta) -> torch.Tensor | None:
    """Return the covariance of w, shape ``(p, p)``; None where it cannot be known, or is penalised.

    Parameters
    ----------
    problem : RegistrationProblem
        Its distance is a sum of squares.
    w : torch.Tensor
        A minimum.
    theta : float
        Blur in pixels⁴, at which w is one.

    References
    ----------
    White (1982); Huber's sandwich. Chapter 9.
    """
    if problem.lam:
        return None
    hessian = second_order_model(problem, w, theta).hessian
    try:
        blocks = _scores(problem, w, theta)
    except torch.linalg.LinAlgError:  # nothing is seen, or nothing but one grey value
        return None
    n, p = blocks.shape
    scaled = problem.scaled(hessian).double()
    if n <= p or not torch.linalg.eigvalsh(scaled)[0] > 0:
        return None
    blocks = blocks if problem.scaling is None else blocks @ problem.scaling
    steps = torch.linalg.solve(scaled, blocks.double().T)
    found = (steps @ steps.T) * (n / (n - p))
    if problem.scaling is not None:
        found = problem.scaling.double() @ found @ problem.scaling.double().T
    return found.to(w)


def _scores(problem, w, theta):
    """The scores, summed in those blocks in which something is seen, shape ``(n_blocks, p)``."""
    gain, offset, scale = _linear(problem, w, theta)
    reference, index = problem.kept_reference(theta), _blocks(problem.domain.m, w.device)
    n = int(index.max()) + 1
    totals, weights = w.new_zeros(n, len(w)), w.new_zeros(n)
    follow = _followed(problem, w, theta)
    for part in parts(problem):
        value, seen, changes = _seen(problem, w, theta, part)
        if follow is not None:
            changes = changes - torch.stack([value, torch.ones_like(value)], 1) @ follow
        pull = 2 * scale * gain * seen * (gain * value + offset - reference[part])
        totals = totals.index_add(0, index[part], pull[:, None] * changes)
        weights = weights.index_add(0, index[part], seen)
    return totals[weights > 0.01 * len(index) / n]


def _seen(problem, w, theta, part):
    """The moved values of some points, their squared visibility, and their derivatives in w."""
    y, dy_dw, _ = local(problem, w, part)
    value, slope, _ = split(problem.template.taylor(y, theta, 1))
    seen = torch.ones_like(value)
    if problem.overlap is not None:
        seen = problem.overlap.taylor(y, 1, part)[0] ** 2
    return value, seen, along(slope, dy_dw.unbind(1))


def _followed(problem, w, theta):
    """What of the derivatives gain and offset undo, shape ``(2, p)``, or None."""
    if problem.distance == "ssd":
        return None
    square, product = w.new_zeros(2, 2), w.new_zeros(2, len(w))
    for part in parts(problem):
        value, seen, changes = _seen(problem, w, theta, part)
        linear = torch.stack([value, torch.ones_like(value)], 1)
        square, product = square + (seen * linear.T) @ linear, product + (seen * linear.T) @ changes
    return torch.linalg.solve(square, product)


def _linear(problem, w, theta):
    """Gain and offset of the template, and what the squares are multiplied with, in the loss."""
    overlap = problem.overlap
    if problem.distance == "ssd":
        if overlap is None:
            return 1.0, 0.0, problem.domain.cell_volume
        seen = overlap.visibility(problem.moved_points(w)).square().sum()
        return 1.0, 0.0, problem.box_volume / (seen + overlap.extra)
    values, reference, v = problem._seen(w, theta)
    moments, n = distances.Moments.of(values, reference, v), len(values)
    gain, offset = distances.brightness(moments, n)
    extra = distances.SHARE * n if overlap is not None else 0.0
    return gain, offset, problem.box_volume / (moments.spreads(n)[2] + extra)


def _blocks(m, device):
    """The block of each cell, shape ``(n,)`` in C order."""
    count = BLOCKS[len(m)]
    along_axes = [torch.arange(k, device=device) * min(count, k) // k for k in m]
    index = torch.zeros(1, dtype=torch.long, device=device)
    for one, k in zip(along_axes, m, strict=True):
        index = (index[:, None] * min(count, k) + one).flatten()
    return index


def displacement_error(problem, w, found) -> torch.Tensor:
    """Return the root mean square error of y(x; w) at each cell, of the shape of the reference."""
    errors = []
    for part in parts(problem):
        _, dy_dw, _ = local(problem, w, part)
        spread = torch.einsum("ndp,pq,ndq->n", dy_dw, found.to(w), dy_dw)
        errors.append(spread.clamp(min=0).sqrt())
    return torch.cat(errors).reshape(problem.domain.m)
