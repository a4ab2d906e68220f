"""The explorer of chapter 1."""

from collections.abc import Mapping
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


@dataclass(frozen=True, eq=False)
class Scene:
    """One image, and the line along which its grey values are drawn."""

    name: str
    data: torch.Tensor
    domain: Domain
    level: float

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

    def blurred(self, theta):
        """Return the `Blurred` image."""
        image = self.image(self.points, theta).reshape(self.domain.m)
        return Blurred(self, theta, image, self.image(self.line, theta))


@dataclass(frozen=True)
class Blurred:
    """What the pictures show of one image at one blur.

    Attributes
    ----------
    scene : Scene
        The image that is blurred.
    theta : float
        Blur in pixels⁴.
    image, profile : torch.Tensor
        Grey values at the cell centres, shape ``domain.m``, and along the line.
    """

    scene: Scene
    theta: float
    image: torch.Tensor
    profile: torch.Tensor


@dataclass(frozen=True, eq=False)
class ThetaView:
    """What `theta_explorer` computes, draws and says, with the same arguments."""

    images: Mapping[str, tuple[torch.Tensor, Domain]]
    level: float = 0.45

    def __post_init__(self):
        if not self.images:
            raise ValueError("images must hold at least one image; got none")

    @cached_property
    def scenes(self):
        """The `Scene` of each image."""
        return {name: Scene(name, *pair, self.level) for name, pair in self.images.items()}

    def compute(self, theta, image=None):
        """Return the `Blurred` image of a name, or the first one."""
        return self.scenes[next(iter(self.scenes)) if image is None else image].blurred(theta)

    def draw_image(self, result, ax):
        """Draw the image and the line."""
        plot_image(result.image, result.scene.domain, ax, f"image at θ = {plain(result.theta)}")
        ax.axhline(result.scene.height, color="w", lw=0.8)

    def draw_profile(self, result, ax):
        """Draw the grey values along the line, and the pixels they come from."""
        scene = result.scene
        places = scene.points.reshape(*scene.domain.m, 2)[:, scene.row, 0]
        samples = places, scene.data[:, scene.row]
        plot_profile(scene.line[:, 0], result.profile, ax, samples=samples, label="image")
        ax.set(xlim=scene.domain.omega[:2], ylim=(-20, 310), title="along the white line")
        ax.legend(loc="upper right", ncols=2, handlelength=1, columnspacing=1)

    def draw_response(self, result, ax):
        """Draw the gain over the wavelength."""
        plot_frequency_response(result.theta, ax)
        ax.set(ylabel="", title="part of its height a wave keeps")

    def alt_image(self, result):
        """Return the text alternative of the image."""
        return f"The {result.scene.name} at θ = {plain(result.theta)}."

    def alt_profile(self, result):
        """Return the text alternative of the grey values."""
        return f"Grey values of the {result.scene.name} along the white line, and its pixels."

    def describe(self, result):
        """Say which waves lose more than half of their height."""
        theta, half = result.theta, half_gain_wavelength(result.theta)
        said = f"The {result.scene.name} at θ = {plain(theta)} px⁴:"
        if frequency_response(np.pi, theta) > 0.5:  # the shortest wave there is: 2 pixels
            return f"{said} every wave keeps more than half of its height."
        return (
            f"{said} waves along an axis that are shorter than "
            f"{half:.3g} pixels lose more than half of their height."
        )

    def explorer(self):
        """Return the controls and panels."""
        response = "Gain of the blur over the wavelength, an S-shaped curve."
        domain = next(iter(self.scenes.values())).domain
        controls = [Control("theta", "Blur θ", THETAS, "px⁴", every=2, format=plain)]
        if len(self.scenes) > 1:
            controls.append(Control("image", "Image", list(self.scenes), format=str, buttons=True))
        return Explorer(
            self.compute,
            [
                image_panel(self.draw_image, self.alt_image, domain, 2.5, 2.5),
                Panel(self.draw_profile, self.alt_profile),
                Panel(self.draw_response, response),
            ],
            controls,
            name="theta",
            describe=self.describe,
            title="What one number θ does to an image",
        )


def theta_explorer(images, level=0.45):
    """Show what the blur theta does to images, to one profile of each and to waves.

    Parameters
    ----------
    images : dict
        For each name a pair of data and `Domain`: shape ``domain.m``, two axes, grey values 0 to
        255. With more than one image there is a row of buttons that chooses.
    level : float
        Height of the profile, as a fraction of the box.

    Returns
    -------
    Explorer
        One slider over theta, from 1e-3 to 1e4 pixels⁴.

    Raises
    ------
    ValueError
        If `images` is empty.
    """
    return ThetaView(images, level).explorer()
