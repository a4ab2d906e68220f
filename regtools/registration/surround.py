"""What lies outside the box of a picture: black, or more of the picture?"""

from __future__ import annotations

import torch

from ..images import checks

DARK = 0.2
"""Root mean square of a dark border, over the range of the grey values."""
TAILS = (0.001, 0.999)
"""Quantiles that make the range, so that single hot pixels do not count."""


def choose_surround(*pictures: torch.Tensor) -> str:
    """Return the `surround` that suits pictures: "zero" if each has a dark border.

    "zero" takes everything outside the box for zero, so the picture would have a step at a border
    that is not dark. The border is the outermost ring of pixels; it is dark if the root mean square
    of its grey values is at most a fifth of the range of the picture. Objects on black stay
    below 0.11 with noise of 5 % of the grey values, cut-outs of photographs lie above 0.3.

    Parameters
    ----------
    *pictures : torch.Tensor
        Floating-point, of any shape: a pair, or a stack of frames as ``choose_surround(*frames)``.

    Returns
    -------
    str
        "zero" or "overlap", see `RegistrationProblem`.

    Raises
    ------
    TypeError
        If a picture is not a float32 or float64 tensor.
    ValueError
        If there is none, or one is empty or not finite.

    References
    ----------
    The thresholds are measured in `benchmarks/scenes.py` and on the images of `load`. Chapter 3.
    """
    if not pictures:
        raise ValueError("pictures must hold at least one picture; got none")
    for k, picture in enumerate(pictures):
        checks.check_floating(f"picture {k}", picture)
        if not (picture.ndim and picture.numel()):
            raise ValueError(f"picture {k} must hold pixels; got shape {tuple(picture.shape)}")
        checks.check_finite(f"picture {k}", picture, "pixel")
    return "zero" if max(map(border_level, pictures)) <= DARK else "overlap"


def border(picture: torch.Tensor) -> torch.Tensor:
    """Return the outermost ring of pixels, shape ``(n,)``."""
    ring = torch.ones(picture.shape, dtype=torch.bool, device=picture.device)
    ring[(slice(1, -1),) * picture.ndim] = False
    return picture[ring]


def border_level(picture: torch.Tensor) -> float:
    """Return the root mean square of the border over the range of the grey values."""
    low, high = grey_range(picture)
    level = float(border(picture).square().mean().sqrt())
    return level / (high - low) if high > low else float(level > 0)


def grey_range(*pictures: torch.Tensor) -> tuple[float, float]:
    """Return the lowest and the highest grey value but for a thousandth of the pixels each."""
    values = torch.cat([picture.detach().flatten() for picture in pictures]).sort().values
    low, high = (float(values[round(q * (len(values) - 1))]) for q in TAILS)
    return low, high
