"""The explorer of chapter 1."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..images import Domain, SplineImage, frequency_response, half_gain_wavelength
from ._shared import image_panel
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import plain, plot_frequency_response, plot_image, plot_profile

THETAS = np.geomspace(1e-3, 1e4, 57)


@dataclass(frozen=True)
class Blurred:
    """What the pictures show at one blur.

    Attributes
    ----------
    theta : float
        Blur in pixels⁴.
    image, profile : torch.Tensor
        Grey values at the cell centres, shape ``domain.m``, and along the line.
    """

    theta: float
    image: torch.Tensor
    profile: torch.Tensor


@dataclass(frozen=True, eq=False)
class ThetaView:
    """What `theta_explorer` computes, draws and says, with the same arguments."""

    data: torch.Tensor
    domain: Domain
    level: float = 0.45

    @cached_property
    def image(self):
        """The `SplineImage` of the data."""
        return SplineImage(self.data, self.domain)

    @cached_property
    def points(self):
        """The cell centres, as the data are."""
        return self.domain.cell_centers(dtype=self.data.dtype, device=self.data.device)

    @property
    def row(self):
        """Index of the pixels that the line runs through."""
        return int(self.level * self.domain.m[1])

    @property
    def height(self):
        """Where the line is."""
        return self.domain.omega[2] + (self.row + 0.5) * self.domain.h[1]

    @cached_property
    def line(self):
        """Points of the line, eight to a pixel, shape ``(n, 2)``."""
        left, right, *_ = self.domain.omega
        n, data = 8 * self.domain.m[0] + 1, self.data
        x = torch.linspace(left, right, n, dtype=data.dtype, device=data.device)
        return torch.stack([x, torch.full_like(x, self.height)], dim=1)

    def compute(self, theta):
        """Return the `Blurred` image."""
        image = self.image(self.points, theta).reshape(self.domain.m)
        return Blurred(theta, image, self.image(self.line, theta))

    def draw_image(self, result, ax):
        """Draw the image and the line."""
        plot_image(result.image, self.domain, ax)
        ax.axhline(self.height, color="w", lw=0.8)

    def draw_profile(self, result, ax):
        """Draw the grey values along the line, and the pixels they come from."""
        places = self.points.reshape(*self.domain.m, 2)[:, self.row, 0]
        samples = places, self.data[:, self.row]
        plot_profile(self.line[:, 0], result.profile, ax, samples=samples)
        ax.set(xlim=self.domain.omega[:2], ylim=(-20, 260))

    def draw_response(self, result, ax):
        """Draw the gain over the wavelength."""
        plot_frequency_response(result.theta, ax)

    def alt_image(self, result):
        """Return the text alternative of the image."""
        return f"The image at θ = {plain(result.theta)}."

    def describe(self, result):
        """Say which waves lose more than half of their height."""
        theta, half = result.theta, half_gain_wavelength(result.theta)
        if frequency_response(np.pi, theta) > 0.5:  # the shortest wave there is: 2 pixels
            return f"At θ = {plain(theta)} px⁴ every wave keeps more than half of its height."
        return (
            f"At θ = {plain(theta)} px⁴ waves along an axis that are shorter than "
            f"{half:.3g} pixels lose more than half of their height."
        )

    def explorer(self):
        """Return the slider and panels."""
        profile = "Grey values along the white line, and the pixels they come from."
        response = "Gain of the blur over the wavelength, an S-shaped curve."
        return Explorer(
            self.compute,
            [
                image_panel(self.draw_image, self.alt_image, self.domain, 2.5, 2.5),
                Panel(self.draw_profile, profile),
                Panel(self.draw_response, response),
            ],
            [Control("theta", "Blur θ", THETAS, "px⁴", initial=10.0, every=2, format=plain)],
            name="theta",
            describe=self.describe,
            title="What one number θ does to an image",
        )


def theta_explorer(data, domain, level=0.45):
    """Show what the blur theta does to an image, to one profile and to waves.

    Parameters
    ----------
    data : torch.Tensor
        Shape ``domain.m``, grey values 0 to 255.
    domain : Domain
        The box in two dimensions.
    level : float
        Height of the profile, as a fraction of the box.

    Returns
    -------
    Explorer
        One slider over theta, from 1e-3 to 1e4 pixels⁴.
    """
    return ThetaView(data, domain, level).explorer()
