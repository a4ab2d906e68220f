"""The explorer of chapter 1."""

import numpy as np
import torch

from ..images import SplineImage, frequency_response, half_gain_wavelength
from ._shared import picture_size
from .explorer import Control, Explorer, Panel
from .plotting import plain, plot_frequency_response, plot_image, plot_profile


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
    image = SplineImage(data, domain)
    left, right, bottom, _ = domain.omega
    thetas = np.geomspace(1e-3, 1e4, 57)
    row = int(level * domain.m[1])
    height = bottom + (row + 0.5) * domain.h[1]
    x = torch.linspace(left, right, 8 * domain.m[0] + 1, dtype=data.dtype, device=data.device)
    line = torch.stack([x, torch.full_like(x, height)], dim=1)
    grid = domain.cell_centers(dtype=data.dtype, device=data.device)
    pixels = grid.reshape(*domain.m, 2)[:, row, 0], data[:, row]

    def compute(theta):
        return theta, image(grid, theta).reshape(domain.m), image(line, theta)

    def draw_image(result, ax):
        plot_image(result[1], domain, ax)
        ax.axhline(height, color="w", lw=0.8)

    def draw_profile(result, ax):
        plot_profile(x, result[2], ax, samples=pixels)
        ax.set(xlim=(left, right), ylim=(-20, 260))

    def draw_response(result, ax):
        plot_frequency_response(result[0], ax)

    def describe(result):
        theta, half = result[0], half_gain_wavelength(result[0])
        if frequency_response(np.pi, theta) > 0.5:  # the shortest wave there is: 2 pixels
            return f"At θ = {plain(theta)} px⁴ every wave keeps more than half of its height."
        return (
            f"At θ = {plain(theta)} px⁴ waves along an axis that are shorter than "
            f"{half:.3g} pixels lose more than half of their height."
        )

    return Explorer(
        compute,
        [
            Panel(
                draw_image,
                lambda result: f"The image at θ = {plain(result[0])}.",
                size=picture_size(domain, 2.5, 2.5),
                lossless=False,
            ),
            Panel(draw_profile, "Grey values along the white line, and the pixels they come from."),
            Panel(draw_response, "Gain of the blur over the wavelength, an S-shaped curve."),
        ],
        [Control("theta", "Blur θ", thetas, "px⁴", initial=10.0, every=2, format=plain)],
        name="theta",
        describe=describe,
        title="What one number θ does to an image",
    )
