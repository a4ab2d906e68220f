"""Colours and other channels of one burst: maps from their mean, then all images at once.

Channels of one camera move together, so one operator serves them all, and their images are the
columns of one system.
"""

from __future__ import annotations

import dataclasses

import torch

from ..images import checks
from ..solvers import conjugate_gradient
from .exposure import SMOOTH, agreed_exposure, taken_out
from .results import SuperResolved
from .smoothing import choose_lam


def split_channels(frames: torch.Tensor, channel_axis: int) -> torch.Tensor:
    """Return frames with their channels on the last axis; a view.

    Raises
    ------
    TypeError, ValueError
        If `frames` is no tensor of floating-point numbers, or has no such axis beside that of the
        frames and at least two of space.
    """
    checks.check_floating("frames", frames)
    axis = checks.whole("channel_axis", channel_axis, least=-frames.ndim)
    axis += frames.ndim if axis < 0 else 0
    if not 0 < axis < frames.ndim or frames.ndim not in (4, 5) or not frames.shape[axis]:
        raise ValueError(
            "channel_axis must name an axis of frames, not the first, and leave (q + 1, m0, m1"
            f"[, m2]); got {channel_axis} and frames of shape {tuple(frames.shape)}"
        )
    return frames.movedim(axis, -1)


def resolve_channels(
    found: SuperResolved,
    frames: torch.Tensor,
    *,
    lam: float | str,
    noise: float | None,
    exposure: str | None,
) -> SuperResolved:
    """Return what was found on the mean of the channels, with an image for each of them.

    Maps, pixels to use and frames to leave out stay. Brightness is fitted to each channel; λ,
    unless given, is chosen for all of them together.

    Parameters
    ----------
    found : SuperResolved
        From the mean of `frames` over their last axis.
    frames : torch.Tensor
        Shape ``(q + 1, *m, c)``.
    lam, noise, exposure
        As given to `super_resolve`; `noise` is that of a channel.
    """
    problem, w = found.problem, found.history[-1].w
    used = [j for j in range(len(frames)) if j not in found.left_out]
    operator = problem.operator(w)
    gains, offsets, tasks = [], [], []
    for one in frames.unbind(-1):
        gain, offset = found.gain.clone(), torch.zeros_like(found.offset)
        task = _of(problem, one, used, gain, offset, lam=SMOOTH * min(found.domain.h))
        if exposure is not None:
            smooth = operator.smoothed(task.layout)
            more, shift = agreed_exposure(task, w, exposure, smooth)
            offset[used] += gain[used] * shift
            gain[used] *= more
        gains.append(gain)
        offsets.append(offset)
        tasks.append(_of(problem, one, used, gain, offset))
    if isinstance(lam, str):
        rows = torch.stack([task.target[: task.n_data] for task in tasks], dim=1)
        chosen, _ = choose_lam(problem, w, noise=noise, near=problem.lam, rows=rows)
        tasks = [task.replaced(lam=chosen) for task in tasks]
    operator = operator.smoothed(tasks[0].layout)
    right = operator.adjoint(torch.stack([task.target for task in tasks], dim=1))
    solved = conjugate_gradient(operator.normal, right, tol=1e-5, columns=True)
    images = solved.x.unbind(-1)
    misfit = found.misfit.clone()
    squares = [task.misfit(w, image).square() for task, image in zip(tasks, images, strict=True)]
    misfit[used] = torch.stack(squares).mean(0).sqrt()
    words = f"{found.message} The channels have λ = {tasks[0].lam:.3g}."
    if not solved.success:
        words += f" Their images are not accurate: {solved.message}"
    return dataclasses.replace(
        found,
        success=found.success and solved.success,
        status=found.status if solved.success else solved.status,
        message=words,
        image=torch.stack([problem.cropped(image) for image in images], dim=-1),
        canvas_image=solved.x,
        lam=tasks[0].lam,
        gain=torch.stack(gains, dim=-1),
        offset=torch.stack(offsets, dim=-1),
        misfit=misfit,
    )


def _of(problem, channel, used, gain, offset, **options):
    """The problem of one channel, brightness taken out."""
    data = taken_out(channel[used], gain[used], offset[used])
    return problem.replaced(frames=data, **options)
