"""Where each frame lies: registered to frame 0, over scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..images import Domain, SplineImage, checks
from ..registration import (
    Affine,
    AffineSubset,
    PathResult,
    RegistrationProblem,
    check_thetas,
    choose_surround,
    predictor_corrector,
)
from ..solvers import SolverResult, Status, tell
from .frames import check_frames, check_pixels, check_transform, check_weights

SMALL = 32
"""Pixels of a frame up to which θ = 100 is strong enough to begin with."""
DARK = 0.08
"""What counts as black at a border: below this part of a bright grey value."""
POOR = 0.05
"""A loss above this part of that with nothing in sight is worth another try."""
COVERED = 0.5
"""So is a result that has less than this part of the frame in common with frame 0."""
MORE = 0.1
"""How much more of the borders of the moved frames is black where they have left the picture."""


@dataclass(frozen=True, kw_only=True, repr=False)
class FramesResult(SolverResult):
    """What `register_frames` returns.

    Attributes
    ----------
    w : torch.Tensor
        q blocks of parameters: what `SuperResolutionProblem` with `fix_first` and the same
        transform takes. Where a frame was not registered, the identity.
    surround : str
        "zero" or "overlap", as given or as chosen.
    history : tuple of PathResult
        How each frame was registered, also called ``frames``; frame 0 stays where it is.
    success : bool
        Whether every frame met the gradient test at the last scale.
    status, message, n_iter
        Of the first frame that did not, if there is one; see `SolverResult`.
    """

    w: torch.Tensor
    surround: str = "zero"

    @property
    def frames(self):
        """The `PathResult` of each frame, frame 0 included."""
        return self.history


def register_frames(
    frames: torch.Tensor,
    domain: Domain,
    *,
    thetas: Sequence[float] | None = None,
    surround: str = "auto",
    weights: torch.Tensor | None = None,
    transform: AffineSubset | None = None,
    callback: Callable[[Any], object] | None = None,
) -> FramesResult:
    """Return a starting guess for w: register every frame to frame 0, over scales.

    Both images are blurred, and each scale starts where the one before has ended. A frame that
    fits badly is tried again from a weaker blur.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(q + 1, m0, m1)``.
    domain : Domain
        The box; its number of cells does not matter.
    thetas : sequence of float, optional
        Decreasing blur in pixels⁴ of the frames. By default 100, 10, 1, 0.1; frames of more than 32
        pixels begin with a stronger blur, of the same part of their width.
    surround : {"auto", "zero", "overlap"}
        What lies outside the frames, see `RegistrationProblem`: "overlap" for frames cut out of a
        larger picture, "zero" for one that is black outside. "auto" looks at the borders of the
        frames, and the result says what it chose.
    weights : torch.Tensor, optional
        How far each pixel is to be trusted, from 0 to 1, shape of `frames`; a pixel of weight 0
        may be NaN. It needs the surround "overlap", which "auto" then takes.
    transform : AffineSubset, optional
        The map of each frame: `Affine` by default, `Rigid` or `Translation`.
    callback : callable, optional
        ``callback(path)`` after each frame. Ctrl-C, or StopIteration raised in it, returns the
        frames so far, with the status "stopped".

    Returns
    -------
    FramesResult
        The maps are its ``w``.

    Raises
    ------
    TypeError
        If `frames` is not a float32 or float64 tensor, or `domain` not a `Domain`.
    ValueError
        If `frames` are not at least two finite images of one size, one of them is constant, so
        that nothing tells where it belongs, `surround` is another word, or `weights` do not fit.

    References
    ----------
    Paper, section 4.3, where one image alone was blurred and each scale started afresh. Chapter 5.
    """
    checks.check_domain(domain)
    weights = check_weights(weights, frames)
    unseen = [] if weights is None else [j for j, one in enumerate(weights) if one.max() == 0]
    if unseen:
        raise ValueError(
            f"weights must not be zero all over a frame; those of {unseen} are. Leave these out"
        )
    frames = check_frames(frames, domain.dim, weights=weights)
    check_pixels(frames)
    constant = [j for j, frame in enumerate(frames) if frame.min() == frame.max()]
    if constant:
        raise ValueError(
            f"frames must not be constant, as nothing tells where they belong; got {constant}. "
            "Leave these out, or give their maps yourself"
        )
    checks.check_choice("surround", surround, ["auto", "zero", "overlap"])
    if surround == "auto":
        surround = surround_of(frames, weights)
    domain = Domain(domain.omega, tuple(frames.shape[1:]))
    first, *others = (SplineImage(frame, domain) for frame in frames)
    masks = [*weights] if weights is not None else [None] * len(frames)
    transform = Affine(domain.dim) if transform is None else transform
    check_transform(transform, domain.dim)
    thetas = check_thetas(scales_of(domain.m) if thetas is None else thetas)
    w0 = transform.identity(frames.dtype, frames.device)
    paths = [_untouched(w0, Status.CONVERGED, "frame 0 stays where it is")]
    try:
        for other, mask in zip(others, masks[1:], strict=True):
            # Frame j shows the image at y(x; w_j), and frame 0 the image itself.
            pair = RegistrationProblem(
                first,
                other,
                transform,
                surround=surround,
                template_mask=masks[0],
                reference_mask=mask,
            )
            paths.append(_best_path(pair, thetas, w0))
            tell(callback, paths[-1])
            if paths[-1].status is Status.STOPPED:
                break
    except KeyboardInterrupt:
        pass  # in the callback: the frames not yet reached say so
    missing = len(frames) - len(paths)
    paths += [_untouched(w0, Status.STOPPED, "interrupted before this frame")] * missing
    return _frames_result(paths, surround)


def scales_of(m: tuple) -> list[float]:
    """Return a blur for each power of ten, from one that suits frames of so many pixels to 0.1.

    What θ leaves of a wave depends on θ over the fourth power of its length.
    """
    first = 2 + round(4 * math.log10(max(min(m) / SMALL, 1)))
    return [10.0**power for power in range(first, -2, -1)]


def _best_path(pair, thetas, w0):
    """The path over all scales; where it ends badly, the best of those that begin later.

    A strong blur leaves little of a texture, and a frame may drift off before it is seen again.
    """
    nothing = pair.loss_out_of_sight(0.0)

    def poor(path):
        """Whether little is in common, and how far it is apart: a small overlap fits easily."""
        return pair.covered(path.w) < COVERED, path.loss / nothing

    coarse = min(pair.domain.m) > SMALL
    best = predictor_corrector(pair, thetas, w0, coarse=coarse)
    for k in range(1, len(thetas)):
        if poor(best) < (False, POOR) or best.status is Status.STOPPED:
            break
        later = predictor_corrector(pair, thetas[k:], w0, coarse=coarse)
        if later.status is Status.STOPPED:  # Ctrl-C: keep what there is, and say so
            return replace(best, success=False, status=later.status, message=later.message)
        best = min(best, later, key=poor)
    return best


def _untouched(w, status, message):
    """The path of a frame that was not moved."""
    converged = status is Status.CONVERGED
    return PathResult(success=converged, status=status, message=message, n_iter=0, w=w)


def _frames_result(paths, surround):
    failed = [(j, path) for j, path in enumerate(paths) if not path.success]
    status, message = Status.CONVERGED, f"{len(paths) - 1} frames registered to frame 0."
    if failed:
        first, path = failed[0]
        status = path.status
        message = (
            f"{len(failed)} of {len(paths) - 1} frames are not registered to the gradient test: "
            f"{[j for j, _ in failed]}. Frame {first}: {path.message} Look at these frames, or "
            "leave them out."
        )
    return FramesResult(
        success=not failed,
        status=status,
        message=message,
        n_iter=sum(path.n_iter for path in paths),
        history=tuple(paths),
        w=torch.cat([path.w for path in paths[1:]]),
        surround=surround,
    )


def surround_of(frames: torch.Tensor, weights: torch.Tensor | None = None) -> str:
    """Say from the borders of frames whether the picture goes on outside: "overlap", or "zero".

    Only "overlap" knows weights.

    It is black outside where `choose_surround` says so, or where the borders of the other frames
    are darker than that of frame 0, because they have left the picture.
    """
    if weights is not None:
        return "overlap"
    if choose_surround(*frames) == "zero":
        return "zero"
    bright, dim = np.quantile(frames.abs().cpu().numpy(), 0.98), frames.ndim - 1
    pool = torch.nn.functional.avg_pool1d if dim == 2 else torch.nn.functional.avg_pool2d
    faces = [frames.select(axis, end) for axis in range(1, dim + 1) for end in (0, -1)]
    # Three pixels together: noise is not light.
    smooth = [pool(face[:, None], 3, stride=1).flatten(1) for face in faces]
    black = torch.cat(smooth, 1).abs() <= DARK * float(bright)
    first, *others = black.to(frames.dtype).mean(1).tolist()
    return "zero" if sum(others) / len(others) > first + MORE else "overlap"
