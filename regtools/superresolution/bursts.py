r"""From frames to one sharp image in one call.

Each round fixes what is not a matter of least squares, and `varpro` does the rest: which pixels see
beyond the canvas, how bright each frame is, which pixels are off, and how strongly to smooth. The
rounds end when maps, brightness and λ stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..images import Domain, checks
from ._rounds import Rounds
from .channels import resolve_channels, split_channels
from .results import SuperResolved


def super_resolve(
    frames: torch.Tensor,
    factor: int,
    *,
    domain: Domain | None = None,
    lam: float | str = "auto",
    noise: float | None = None,
    margin: int | str = "auto",
    surround: str = "auto",
    frames_transform: str = "affine",
    weights: torch.Tensor | None = None,
    psf: float = 0.0,
    exposure: str | None = "gain",
    robust: str | None = None,
    channel_axis: int | None = None,
    w0: torch.Tensor | None = None,
    max_rounds: int = 5,
    callback: Callable[[Any], object] | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> SuperResolved:
    """Return one sharp image from several frames of the same scene.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(q + 1, m0, m1)``, or with three axes of space, and one more with `channel_axis`;
        frame 0 stays where it is.
    factor : int
        Pixels of the image to one of a frame, along each axis.
    domain : Domain, optional
        The box of a frame; its number of cells does not matter. By default a pixel of a frame is
        one unit wide.
    lam : float or "auto"
        Weight of the smoothing, a length; "auto" chooses it by `choose_lam`.
    noise : float, optional
        Standard deviation of the noise in grey values, of a channel if there are several, if it is
        known: then the λ that leaves a misfit of this size is taken, otherwise generalised
        cross-validation decides.
    margin : int or "auto"
        Cells of the image on every side beyond frame 0; "auto" takes what the frames see.
    surround : {"auto", "zero", "overlap"}
        Whether the picture is black outside or goes on, see `register_frames`.
    frames_transform : {"affine", "rigid", "translation"}
        How frames move. What they do not do should not be fitted: it costs accuracy.
    weights : torch.Tensor, optional
        How far each pixel is to be trusted, from 0 to 1, shape of `frames` without channels.
        Pixels that are NaN have weight 0 in any case.
    psf : float
        Standard deviation of a Gaussian blur, in pixels of a frame.
    exposure : {"gain", "gain and offset", None}
        How the brightness of frames may differ from that of frame 0.
    robust : {None, "huber"}
        "huber" for frames with pixels that are off, as hot ones are: what is far off counts less
        than its square, and specks do not count. Without such pixels it takes edges for outliers
        and costs accuracy, on both photographs tried. A frame that frame 0 does not explain is left
        out in any case.
    channel_axis : int, optional
        Which axis of `frames` numbers colours or other channels, -1 for the last. Their mean
        decides on the maps and on which pixels count; brightness is fitted to each channel, λ
        chosen for all together, and they are solved in one block.
    w0 : torch.Tensor, optional
        Maps to start from, parameters of `frames_transform`, shape ``(q * p,)``: each takes a point
        of its frame to the point of frame 0 that shows the same. By default from `register_frames`.
    max_rounds : int
        Most rounds.
    callback : callable, optional
        ``callback(result)`` with the `VarProResult` after each round. Ctrl-C, or StopIteration
        raised in it, returns the best so far.
    progress : callable, optional
        ``progress(name, done, total)`` after each frame that is registered, and after each of at
        most `max_rounds` rounds, to draw a bar.

    Returns
    -------
    SuperResolved

    Raises
    ------
    TypeError
        If `frames`, `weights` or `w0` is not a tensor of floating-point numbers, or `domain` not a
        `Domain`.
    ValueError
        If an option is none of those named, a tensor has another shape, or fewer than two frames
        are left to use.

    References
    ----------
    Chung, Haber and Nagy (2006); Golub, Heath and Wahba (1979); Huber (1964). Chapters 5 and 10.
    """
    colours = None
    if channel_axis is not None:
        colours = split_channels(frames, channel_axis)
        frames = colours.mean(-1)
    of_mean = noise
    if colours is not None and noise is not None:
        of_mean = checks.positive("noise", noise) / colours.shape[-1] ** 0.5
    found = Rounds(
        frames, factor, domain, weights, surround, frames_transform,
        lam=lam, noise=of_mean, margin=margin, psf=psf, exposure=exposure, robust=robust,
    ).run(w0, max_rounds, callback, progress)  # fmt: skip
    if colours is None:
        return found
    return resolve_channels(found, colours, lam=lam, noise=noise, exposure=exposure)
