"""Frames that are brighter than others, show something else, or hold pixels that are off."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import torch

from ..images import Domain, SplineImage
from ..registration import AffineSubset, filled
from ..solvers import conjugate_gradient
from .operator import FrameOperator
from .problem import SuperResolutionProblem

EXPOSURES = (None, "gain", "gain and offset")
SMOOTH = 0.3
"""λ in cells at which brightness is fitted to an image: weaker ones follow each frame by itself."""
HUBER, REJECT = 3.0, 10.0
"""From so many standard deviations on a pixel counts less, and a speck not at all."""
SPECKLE = 6.0
"""So many standard deviations from the median around it, a pixel is not used to register."""
FOREIGN = 0.5
"""A frame is left out if frame 0 explains so much less of it than of the others."""


def seen_by_frame_0(
    frame: torch.Tensor,
    mask: torch.Tensor | None,
    domain: Domain,
    transform: AffineSubset,
    w: torch.Tensor,
):
    """Return frame 0 moved by each map of `w`, and where it is known, ``(q, *m)`` each."""
    first = filled(SplineImage(frame, domain), mask)
    points = domain.cell_centers(frame.dtype, frame.device)
    moved = [transform(block, points) for block in w]
    known = torch.stack([domain.contains(y).to(frame.dtype) for y in moved])
    if mask is not None:
        trust = SplineImage(mask, domain, "mirror")
        known = known * torch.stack([trust(y).clamp(0, 1) for y in moved])
    values = torch.stack([first(y) for y in moved])
    return values.reshape(-1, *domain.m), known.reshape(-1, *domain.m)


def evened(frames: torch.Tensor, weights: torch.Tensor | None, surround: str) -> torch.Tensor:
    """Return frames of one brightness, to register: each over its spread, or what is black stays.

    Where the picture goes on outside, the mean of each frame is taken off first.
    """
    used = torch.ones_like(frames) if weights is None else weights
    count = used.flatten(1).sum(1)
    shape = -1, *[1] * (frames.ndim - 1)
    if surround == "overlap":
        mean = (used * frames).flatten(1).sum(1) / count
        frames = frames - mean.reshape(shape)
    spread = ((used * frames.square()).flatten(1).sum(1) / count).sqrt()
    return frames / spread.clamp(min=torch.finfo(frames.dtype).tiny).reshape(shape)


def despeckled(frames: torch.Tensor) -> torch.Tensor:
    """Return frames to register: a pixel far from the median around it becomes that median."""
    dim = frames.ndim - 1
    data = frames.cpu().numpy()
    around = scipy.ndimage.median_filter(data, size=(1, *[3] * dim))
    gap = np.abs(data - around)
    spread = 1.4826 * np.median(gap.reshape(len(data), -1), axis=1).reshape(-1, *[1] * dim)
    return frames.new_tensor(np.where(gap > SPECKLE * spread, around, data))


def fit_exposure(predicted: torch.Tensor, frames: torch.Tensor, weights: torch.Tensor, kind):
    """Return gain and offset of each frame, ``(n,)`` each: frame ≈ gain · predicted + offset.

    A frame without weight, or one to which nothing can be fitted, gets 1 and 0.
    """
    p, d, u = (part.flatten(1) for part in (predicted, frames, weights.square()))
    total = u.sum(1, keepdim=True).clamp(min=torch.finfo(frames.dtype).tiny)
    means = [(u * part).sum(1, keepdim=True) / total for part in (p, d)]
    if kind != "gain and offset":
        means = [torch.zeros_like(mean) for mean in means]
    p, d = p - means[0], d - means[1]
    gain = (u * p * d).sum(1) / (u * p * p).sum(1)
    gain = torch.where(torch.isfinite(gain) & (gain > 0), gain, 1)
    if kind is None:
        return torch.ones_like(gain), torch.zeros_like(gain)
    return gain, (means[1][:, 0] - gain * means[0][:, 0])


def taken_out(frames: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Return frames ``(n, *m)`` as bright as frame 0, from gain and offset of each."""
    shape = -1, *[1] * (frames.ndim - 1)
    return (frames - offset.reshape(shape)) / gain.reshape(shape)


def agreed_exposure(
    problem: SuperResolutionProblem,
    w: torch.Tensor,
    kind: str,
    operator: FrameOperator | None = None,
):
    """Return gain and offset of each frame, ``(n,)``, that one image explains best at given maps.

    With the image that fits best, the residual of frames s d − t is linear in the factors s and
    the shifts t. All factors are treated alike, so that what noise takes from them, it takes from
    all; then frame 0 is made the measure. `operator` is that of the problem at `w`, if it is there.
    """
    rows, n = problem.target[: problem.n_data].reshape(len(problem.frames), -1), problem.n_rows
    used = torch.ones_like(rows) if problem.weights is None else problem.weights.flatten(1)
    columns = [torch.block_diag(*rows[:, :, None])]
    if kind == "gain and offset":
        columns.append(torch.block_diag(*used[:, :, None])[:, 1:] * problem.data_weight)
    data = torch.cat(columns, dim=1)
    data = torch.cat([data, data.new_zeros(n - len(data), data.shape[1])])
    operator = problem.operator(w) if operator is None else operator
    fitted = conjugate_gradient(operator.normal, operator.adjoint(data), tol=1e-3, columns=True)
    left = data - operator(fitted.x)
    sizes = data.square().sum(0)
    least = torch.finfo(data.dtype).eps * sizes.sum().clamp(min=torch.finfo(data.dtype).tiny)
    sizes[len(rows) :] = 0
    square = left.T @ left
    square.diagonal().add_(least)
    found = torch.linalg.solve(square, sizes)
    found = found / found[0]
    factors, shifts = found[: len(rows)], -found[len(rows) :]
    factors = torch.where(torch.isfinite(factors) & (factors > 0), factors, 1)
    if kind != "gain and offset":
        return 1 / factors, torch.zeros_like(factors)
    shifts = torch.cat([shifts.new_zeros(1), torch.where(torch.isfinite(shifts), shifts, 0)])
    return 1 / factors, shifts / factors


def explained(predicted: torch.Tensor, frames: torch.Tensor, weights: torch.Tensor) -> list[float]:
    """Return which part of the variance of each frame its prediction explains, at most 1."""
    shape = -1, *[1] * (frames.ndim - 1)
    gain, offset = fit_exposure(predicted, frames, weights, "gain and offset")
    u = weights.square().flatten(1)
    left = (gain.reshape(shape) * predicted + offset.reshape(shape) - frames).flatten(1)
    mean = (u * frames.flatten(1)).sum(1, keepdim=True) / u.sum(1, keepdim=True)
    spread = frames.flatten(1) - mean
    shares = 1 - (u * left.square()).sum(1) / (u * spread.square()).sum(1)
    return torch.where(torch.isfinite(shares), shares, 0).tolist()


def foreign(shares: list[float]) -> list[int]:
    """Return which entries are much below the median."""
    middle = float(np.median(shares))
    return [k for k, share in enumerate(shares) if share < FOREIGN * middle]


def huber_weights(residual: torch.Tensor, used: torch.Tensor, specks: torch.Tensor) -> torch.Tensor:
    """Return by what each pixel is multiplied so that its square counts as Huber's function.

    Of `specks`, which stand out in their own frame, those far off do not count at all. The spread
    is estimated from the median of the pixels `used`, so that a few cannot set it.
    """
    size = residual.abs()
    spread = 1.4826 * size[used].median()
    weights = (HUBER * spread / size.clamp(min=torch.finfo(size.dtype).tiny)).clamp(max=1).sqrt()
    return torch.where(specks & (size > REJECT * spread), 0, weights)
