"""Pairs of pictures, one of which is the other seen through a known map."""

import numpy as np
import scipy.ndimage
import torch

from regtools import Affine, RegistrationProblem, SplineImage, load
from regtools.images import Domain

BOX = Domain((2.0, 26.0, -10.0, 22.0), (48, 40))  # not square, cells of 0.5 x 0.8
SHORT = np.geomspace(300, 0.1, 6)
FINE = [1.0, 0.1, 0.01]


def turn(degrees, scales=(1.0, 1.0), shift=(0.0, 0.0), domain=BOX):
    """A matrix about the centre of the box, and the shift that belongs to it."""
    a = np.radians(degrees)
    A = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) * scales
    centre = np.add(domain.lower, domain.upper) / 2
    return A, centre + shift - A @ centre


def scene(A, b, noise=2.0):
    """Two cut-outs of a photograph that goes on around the box; SciPy applies the map."""
    big = load("camera", tuple(3 * m for m in BOX.m)).data.numpy()
    y = BOX.cell_centers().numpy() @ A.T + b
    places = (y - BOX.lower) / BOX.h - 0.5 + BOX.m
    reference = scipy.ndimage.map_coordinates(big, places.T, order=3).reshape(BOX.m)
    m0, m1 = BOX.m
    rng = np.random.default_rng(0)
    pair = big[m0 : 2 * m0, m1 : 2 * m1], reference
    return [torch.from_numpy(one + rng.normal(0, noise, BOX.m)) for one in pair]


def spots(x, dim=2):
    """Three bright spots on black, none like another, near the middle of the box."""
    centres = np.array([(14, 8, 5), (10, 3, 7), (16, 12, 4)], dtype=float)[:, :dim]
    widths, heights = (2.0, 1.5, 1.2), (200.0, 150.0, 100.0)
    return sum(
        height * np.exp(-(((x - centre) / width) ** 2).sum(1) / 2)
        for centre, width, height in zip(centres, widths, heights, strict=True)
    )


def drawn(A, b, domain=BOX):
    """The spots, and the spots seen through the map, without interpolation.

    Nothing is left at the end, so that the gradient test becomes a matter of rounding.
    """
    x = domain.cell_centers().numpy()
    pair = spots(x, domain.dim), spots(x @ A.T + b, domain.dim)
    return [torch.from_numpy(one).reshape(domain.m) for one in pair]


def task(pair, domain=BOX, **options):
    images = [SplineImage(data, domain) for data in pair]
    return RegistrationProblem(*images, Affine(domain.dim), **options)


def off(w, A, b, domain=BOX):
    """Mean distance of the mapped points, in cells."""
    d, x, w = domain.dim, domain.cell_centers().numpy(), w.numpy()
    gap = x @ (w[: d * d].reshape(d, d) - A).T + w[d * d :] - b
    return float(np.linalg.norm(gap / domain.h, axis=1).mean())


TURNED = turn(172, (0.95, 1.05), (0.7, -1.0))


def smooth():
    """A pair without features."""
    pair = (scipy.ndimage.gaussian_filter(one.numpy(), 6) for one in drawn(*turn(5)))
    return [torch.from_numpy(one) for one in pair]
