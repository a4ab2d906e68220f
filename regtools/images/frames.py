"""Several files of one scene, as frames of one tensor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from . import _checks as checks
from ._short import ShortRepr
from .domain import Domain
from .files import MAX_PIXELS, Picture, read_image


@dataclass(frozen=True, repr=False, eq=False)
class Frames(ShortRepr):
    """Frames of one size, in the order in which they were named.

    Attributes
    ----------
    data : torch.Tensor
        Grey values as in the files, float64, shape ``(q + 1, *domain.m)``; of colours with an
        axis of three channels at the end.
    domain : Domain
        The box of a frame, in the unit of the files.
    weights : torch.Tensor or None
        How opaque each pixel is, from 0 to 1, shape ``(q + 1, *domain.m)``; None if all are.
    first : Picture
        Frame 0.
    paths : tuple of str
        Where each was read; of a file with several pages, with the number of the page.

    References
    ----------
    Chapter 10.
    """

    data: torch.Tensor = field(repr=False)
    domain: Domain
    weights: torch.Tensor | None = field(repr=False)
    first: Picture
    paths: tuple[str, ...] = field(repr=False)

    @property
    def channel_axis(self) -> int | None:
        """What `super_resolve` takes by this name: -1 for colours, else None."""
        return -1 if self.data.ndim > self.domain.dim + 1 else None

    def cropped(self, *parts: tuple[int, int]) -> Frames:
        """Return a part of each frame, at its place in the world.

        Parameters
        ----------
        *parts : pair of int
            First pixel and end, one pair an axis: ``cropped((200, 300), (150, 250))`` keeps columns
            200 to 299 and rows 150 to 249 of photographs.

        Raises
        ------
        ValueError, TypeError
            If there is not one pair of whole numbers for each axis, or one is empty or leaves the
            frame.
        """
        dim, first = self.domain.dim, self.first
        if len(parts) != dim:
            raise ValueError(f"parts must be {dim} pairs, one an axis; got {len(parts)}")
        starts, ends = (
            np.array([checks.whole("parts", one[k], 0) for one in parts]) for k in (0, 1)
        )
        if (starts >= ends).any() or (ends > self.domain.m).any():
            words = f"within {self.domain.m}; got {parts}"
            raise ValueError(f"parts must hold pixels of the frames, {words}")
        index = tuple(slice(*pair) for pair in zip(starts, ends, strict=True))
        lower = (
            np.zeros(dim) if first.unit == "pixel" else self.domain.lower + starts * self.domain.h
        )
        upper = lower + (ends - starts) * self.domain.h
        box = tuple(float(end) for pair in zip(lower, upper, strict=True) for end in pair)
        domain = Domain(box, tuple((ends - starts).tolist()))
        origin = first.origin + first.direction @ (first.spacing * starts)
        weights = None if self.weights is None else self.weights[:, *index]
        return replace(
            self,
            data=self.data[:, *index],
            domain=domain,
            weights=weights,
            first=replace(first, data=first.data[index], domain=domain, origin=origin),
        )

    def finer(self, image: torch.Tensor) -> Picture:
        """Return an image over the box of frame 0 with its place in the world, to be written.

        Raises
        ------
        ValueError
            If its pixels are not whole parts of those of a frame.
        """
        checks.check_floating("image", image)
        dim, m = self.domain.dim, tuple(image.shape[: self.domain.dim])
        shares = {size / one for size, one in zip(m, self.domain.m, strict=False)}
        if image.ndim not in (dim, dim + 1) or len(shares) != 1 or min(shares) % 1:
            shape = f"a multiple of {self.domain.m}; got {tuple(image.shape)}"
            raise ValueError(f"image must have a shape that is {shape}")
        (factor,) = shares
        first = self.first
        half = first.direction @ first.spacing / 2  # from the centre of a pixel to its corner
        return replace(
            first,
            data=image,
            domain=Domain(self.domain.omega, m),
            origin=first.origin - half + half / factor,
            spacing=first.spacing / factor,
            dtype="float32",
        )


def read_frames(
    paths: str | os.PathLike | Sequence[str | os.PathLike], *, max_pixels: int = MAX_PIXELS
) -> Frames:
    """Read the frames of one scene: a file each, or one file with several pages.

    Parameters
    ----------
    paths : path or sequence of paths
        Files as `read_image` takes them, frame 0 first; or one file whose last axis counts frames.
    max_pixels : int
        Largest number of pixels times channels of all frames, looked at before a frame is read.

    Returns
    -------
    Frames

    Raises
    ------
    FileNotFoundError, ImportError
        As `read_image`.
    ValueError
        As `read_image`, and if there are fewer than two frames, or they differ in size, spacing or
        number of channels.

    References
    ----------
    Chapter 10.
    """
    if isinstance(paths, str | os.PathLike):
        return _pages(read_image(paths, max_pixels=max_pixels))
    try:
        paths = list(paths)
    except TypeError as error:
        raise TypeError(f"paths must be a path or a sequence; got {checks.kind(paths)}") from error
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"paths must hold strings and paths; got {checks.kind(path)}")
    if len(paths) == 1:
        return _pages(read_image(paths[0], max_pixels=max_pixels))
    if not paths:
        raise ValueError("paths must name at least two frames; got none")
    pictures, left = [], checks.whole("max_pixels", max_pixels)
    for path in paths:
        pictures.append(read_image(path, max_pixels=max(1, left)))
        left -= pictures[-1].data.numel()
        _check_alike(pictures[0], pictures[-1])
    known = [one.known for one in pictures]
    weights = None
    if any(one is not None for one in known):
        ones = torch.ones(pictures[0].domain.m, dtype=torch.float64)
        weights = torch.stack([ones if one is None else one for one in known])
    return Frames(
        torch.stack([_colours(one) for one in pictures]),
        pictures[0].domain,
        weights,
        pictures[0],
        tuple(one.path for one in pictures),
    )


def _colours(picture):
    """What is grey or coloured of a picture, without its transparency."""
    n = picture.n_channels
    if n in (2, 4):
        return picture.data[..., 0] if n == 2 else picture.data[..., :3]
    return picture.data


def _check_alike(first, other):
    for name, one, two in [
        ("size", first.domain.m, other.domain.m),
        ("number of channels", first.n_channels, other.n_channels),
    ]:
        if one != two:
            words = f"{first.path} has {one} and {other.path} has {two}"
            raise ValueError(f"paths must name frames of one {name}: {words}")
    if first.unit == "mm" and not np.allclose(first.spacing, other.spacing, rtol=1e-4):
        words = f"{first.path} and {other.path}"
        raise ValueError(f"paths must name frames of one spacing; those of {words} differ")


def _pages(picture):
    """The frames of a file with several pages."""
    m = picture.domain.m
    if len(m) != 3 or picture.n_channels > 1:
        words = f"{picture.path} has {len(m)} axes and {picture.n_channels} channels"
        raise ValueError(f"paths must name at least two frames, or a grey file with pages: {words}")
    box = Domain(picture.domain.omega[:4], m[:2])
    first = replace(
        picture,
        data=picture.data[..., 0].contiguous(),
        domain=box,
        origin=picture.origin[:2],
        spacing=picture.spacing[:2],
        direction=np.eye(2),
    )
    names = tuple(f"{picture.path}, page {k}" for k in range(m[2]))
    return Frames(picture.data.permute(2, 0, 1).contiguous(), box, None, first, names)
