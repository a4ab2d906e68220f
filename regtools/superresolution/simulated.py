"""Super-resolution problems made from an image that is known, so that errors can be measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch

from ..images import Domain, ShortRepr, load, random_maps
from .frames import simulate_frames
from .maps import register_frames
from .problem import SuperResolutionProblem


@dataclass(frozen=True, eq=False, repr=False)
class Simulated(ShortRepr):
    """A problem and the truth behind it.

    Attributes
    ----------
    image : torch.Tensor
        The true image, shape `domain.m`.
    domain : Domain
        The box with its cells.
    w_true : torch.Tensor
        The maps that the frames were made with.
    frames : torch.Tensor
        Shape ``(q + 1, *m / factor)``.
    problem : SuperResolutionProblem
        Of these frames.
    """

    image: torch.Tensor
    domain: Domain
    w_true: torch.Tensor
    frames: torch.Tensor
    problem: SuperResolutionProblem

    @cached_property
    def _registered(self):
        return register_frames(self.frames, self.domain, surround="zero").w

    @property
    def w0(self) -> torch.Tensor:
        """The start: frames registered to frame 0 over scales, computed at the first use."""
        return self._registered.clone()


def simulated_problem(
    name: str = "hands-phantom",
    m: int | tuple[int, int] = 20,
    *,
    factor: int = 2,
    seeds: Iterable[int] = (2, 3, 4),
    lam: float = 1e-2,
) -> Simulated:
    """Return the test problem of the book: frames of a known image under random maps.

    Parameters
    ----------
    name : str
        One of `DATASETS`; of a pair the reference is taken.
    m : int or pair of int
        Cells of the image.
    factor : int
        Pixels of the image to one of a frame, along each axis.
    seeds : iterable of int
        One moved frame each, see `random_maps`.
    lam : float
        Weight λ of the differences, a length.

    Returns
    -------
    Simulated

    Raises
    ------
    ValueError, TypeError
        As `load`, `simulate_frames` and `SuperResolutionProblem`.

    References
    ----------
    Paper, section 4.3, with the defaults. Chapters 6 to 8.
    """
    loaded = load(name, m)
    w_true = random_maps(loaded.domain, seeds)
    frames = simulate_frames(loaded.image, loaded.domain, factor, w_true)
    problem = SuperResolutionProblem(frames, loaded.domain, factor, lam)
    return Simulated(loaded.image, loaded.domain, w_true, frames, problem)
