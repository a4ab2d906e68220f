"""A picture at the points to which a map moves the cells of another grid."""

import torch

from ..images import SplineImage, checks


def warped(picture, domain, points, extension, outside):
    """Return a picture, as a spline, at points; `outside` where it is not known.

    That is where it is NaN and, unless it is black there, outside its box.
    """
    known = ~torch.isnan(picture)
    data = torch.where(known, picture, 0.0)
    checks.check_finite("picture", data, "pixel")
    values = SplineImage(data, domain, extension)(points)
    seen = torch.ones_like(values, dtype=torch.bool)
    if not known.all():
        seen = SplineImage(known.to(data), domain, extension)(points) > 0.5
    if extension != "zero" or outside != 0:
        seen &= domain.contains(points)
    return torch.where(seen, values, outside)


def nearest(picture, domain, points, outside):
    """Return the pixel in whose cell each point lies, as labels need it, or `outside`."""
    lower, h = (points.new_tensor(one) for one in (domain.lower, domain.h))
    cells = ((points - lower) / h).floor().long()
    most = cells.new_tensor(domain.m) - 1
    values = picture[tuple(torch.minimum(cells.clamp(min=0), most).unbind(-1))]
    return torch.where(domain.contains(points), values, torch.as_tensor(outside).to(values))
