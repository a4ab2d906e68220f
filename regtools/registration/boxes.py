"""How the boxes of two pictures compare."""

import math

import torch

from ..images import Domain


def laid(shape, domain):
    """A box of so many cells, all alike, as large as another and about the same centre."""
    if tuple(shape) == domain.m:
        return domain
    volume = math.prod(high - low for low, high in zip(domain.lower, domain.upper, strict=True))
    # Cells that are wider along one axis stay so.
    shares = [h / domain.cell_volume ** (1 / domain.dim) for h in domain.h]
    width = (volume / math.prod(shape)) ** (1 / domain.dim)
    ends = []
    for low, high, m, share in zip(domain.lower, domain.upper, shape, shares, strict=True):
        half = m * share * width / 2
        ends += [(low + high) / 2 - half, (low + high) / 2 + half]
    return Domain(tuple(ends), tuple(shape))


def one_to_one(template, reference):
    """Return ``[A row by row, b]`` that takes centre to centre and cell to cell; None if all do."""
    if template == reference:
        return None
    there, here = (
        torch.tensor([box.lower, box.upper, box.h], dtype=torch.float64)
        for box in (template, reference)
    )
    A = torch.diag(there[2] / here[2])
    centre, middle = (one[:2].mean(0) for one in (there, here))
    return torch.cat([A.flatten(), centre - A @ middle])


def pixels_per_pixel(domain, other):
    """Return how many pixels of another box a pixel of one is wide, in the mean of the axes."""
    return (domain.cell_volume / other.cell_volume) ** (1 / domain.dim)


def coarser_box(box, domain, coarse):
    """Return a box with cells about as wide as those of `coarse`, which `domain` is made to."""
    if box == domain:
        return coarse
    return box.coarser(max(1, round(pixels_per_pixel(coarse, box))))
