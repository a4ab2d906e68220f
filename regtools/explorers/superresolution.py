"""The explorer of chapter 5."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..images import Domain, SplineImage
from ..superresolution import SuperResolutionProblem
from ..verify import relative_error
from ._shared import image_panel
from .controls import Control
from .explorer import Explorer
from .plotting import plain, plot_image


@dataclass(frozen=True, eq=False)
class Combined:
    """One frame, the same enlarged, and the image that several frames give.

    Attributes
    ----------
    count : int
        Number of frames that were combined.
    sigma : float
        Standard deviation of the noise in the frames, in grey values.
    lam : float
        Weight of the differences, a length.
    frame : torch.Tensor
        Frame 0 with its noise, shape ``m / factor``.
    enlarged : torch.Tensor
        The cubic spline through it (bicubic interpolation), shape ``domain.m``.
    image : torch.Tensor
        The super-resolved image, shape ``domain.m``.
    enlarged_error, error : float
        Distance of the last two to the sharp image, relative to its norm.
    """

    count: int
    sigma: float
    lam: float
    frame: torch.Tensor
    enlarged: torch.Tensor
    image: torch.Tensor
    enlarged_error: float
    error: float


def enlarge_smoothly(frame, domain):
    """Return a frame read as a cubic spline at the cells of `domain`, mirrored at its border."""
    coarse = Domain(domain.omega, tuple(frame.shape))
    spline = SplineImage(frame, coarse, extension="mirror")
    return spline(domain.cell_centers()).reshape(domain.m)


def combine(frames, domain, factor, w, lam, tol=1e-4):
    """Return the image that fits frames best at known maps, shape ``domain.m``.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(count, *m / factor)``; one alone is allowed.
    domain : Domain
        The box with the cells of the image.
    factor : int
        Pixels of the image to one of a frame, along each axis.
    w : torch.Tensor
        Affine maps of the frames after the first, one after the other.
    lam : float
        Weight of the differences.
    tol : float
        Relative residual at which CG ends; the default is enough for a picture.
    """
    if len(frames) == 1:  # a problem wants two frames; the second has weight 0
        frames = torch.cat([frames, frames])
        weights = torch.ones_like(frames)
        weights[1] = 0
        problem = SuperResolutionProblem(frames, domain, factor, lam, weights=weights)
        w = problem.identity()
    else:
        problem = SuperResolutionProblem(frames, domain, factor, lam)
    return problem.solve(problem.operator(w), tol=tol).x


@dataclass(frozen=True, eq=False)
class SuperResolutionView:
    """What `superresolution_explorer` computes, draws and says, with the same arguments."""

    frames: torch.Tensor
    domain: Domain
    factor: int
    w: torch.Tensor
    sharp: torch.Tensor
    counts: Sequence[int]
    sigmas: Sequence[float]
    lams: Sequence[float]

    @cached_property
    def noise(self):
        """Noise of standard deviation 1, the same at each setting."""
        return torch.from_numpy(np.random.default_rng(0).standard_normal(self.frames.shape))

    def compute(self, count, sigma, lam):
        """Return what `count` frames with this noise give at this λ, a `Combined`."""
        noisy = self.frames + sigma * self.noise
        enlarged = enlarge_smoothly(noisy[0], self.domain)
        moving = self.w.reshape(len(self.frames) - 1, -1)[: count - 1].flatten()
        image = combine(noisy[:count], self.domain, self.factor, moving, lam)
        errors = [relative_error(one, self.sharp) for one in (enlarged, image)]
        return Combined(count, sigma, lam, noisy[0], enlarged, image, *errors)

    def draw_frame(self, one, ax):
        """Draw frame 0."""
        plot_image(one.frame, self.domain, ax, "one coarse frame")

    def draw_enlarged(self, one, ax):
        """Draw the enlarged frame."""
        title = f"enlarged: error {100 * one.enlarged_error:.1f} %"
        plot_image(one.enlarged, self.domain, ax, title)

    def draw_image(self, one, ax):
        """Draw the super-resolved image."""
        title = f"{frames_of(one.count)}: error {100 * one.error:.1f} %"
        plot_image(one.image, self.domain, ax, title)

    def alt_frame(self, one):
        """Return the text alternative of the frame."""
        return f"Frame 0, in large square pixels, with noise of {plain(one.sigma)} grey values."

    def alt_enlarged(self, one):
        """Return the text alternative of the enlarged frame."""
        error = f"{100 * one.enlarged_error:.1f} %"
        return f"Frame 0 enlarged by a cubic spline: smooth and blurred, error {error}."

    def alt_image(self, one):
        """Return the text alternative of the image."""
        return (
            f"The image from {frames_of(one.count)} at λ = {plain(one.lam)}, "
            f"error {100 * one.error:.1f} %."
        )

    def describe(self, one):
        """Say the setting and its error, next to that of the enlarged frame."""
        better = "better" if one.error < one.enlarged_error else "not better"
        return (
            f"{frames_of(one.count)}, noise {plain(one.sigma)}, λ = {plain(one.lam)}: error "
            f"{100 * one.error:.1f} %, {better} than one frame enlarged, "
            f"{100 * one.enlarged_error:.1f} %."
        )

    def explorer(self):
        """Return the sliders and panels; all sliders start at the left."""
        return Explorer(
            self.compute,
            [
                image_panel(self.draw_frame, self.alt_frame, self.domain, 1.8, 2.1),
                image_panel(self.draw_enlarged, self.alt_enlarged, self.domain, 1.8, 2.1),
                image_panel(self.draw_image, self.alt_image, self.domain, 1.8, 2.1),
            ],
            [
                Control("count", "frames", self.counts, format="{:d}"),
                Control("sigma", "noise", self.sigmas, unit="grey values", format=plain),
                Control("lam", "λ", self.lams, format=plain),
            ],
            name="superresolution",
            describe=self.describe,
            title="How many frames, how much noise, which λ?",
        )


def frames_of(count):
    """Write how many frames there are."""
    return "1 frame" if count == 1 else f"{count} frames"


def superresolution_explorer(frames, domain, factor, w, sharp, counts, sigmas, lams):
    """Show what some of the frames, with noise, give at a λ; the maps are known.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(q + 1, *m / factor)``, without noise.
    domain : Domain
        The box with the cells of the image.
    factor : int
        Pixels of the image to one of a frame, along each axis.
    w : torch.Tensor
        Affine maps of all frames but frame 0, shape ``(6 * q,)`` in two dimensions.
    sharp : torch.Tensor
        The true image, shape ``domain.m``, to measure errors.
    counts : sequence of int
        Numbers of frames, from 1 to q + 1, ascending.
    sigmas : sequence of float
        Standard deviations of the noise, in grey values, ascending.
    lams : sequence of float
        Weights of the differences, ascending.

    Returns
    -------
    Explorer
        Three sliders; panels for one frame, the same enlarged, and the super-resolved image.

    Raises
    ------
    ValueError, TypeError
        If `sharp`, `w`, `frames` or an entry of `counts` or `lams` is not allowed.
    """
    whole = SuperResolutionProblem(frames, domain, factor, max(lams))
    whole.check_image(sharp, "sharp")
    whole.check_parameters(w)
    counts = [int(count) for count in counts]
    if not 1 <= min(counts) <= max(counts) <= len(frames):
        raise ValueError(f"counts must lie between 1 and {len(frames)}; got {counts}")
    sigmas, lams = [float(sigma) for sigma in sigmas], [float(lam) for lam in lams]
    view = SuperResolutionView(frames, domain, factor, w, sharp, counts, sigmas, lams)
    return view.explorer()
