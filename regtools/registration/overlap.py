r"""Compare two images where both are known: the picture may go on outside its box.

Every point carries a visibility :math:`v_i`, one well inside the template's box and zero outside,
so a template that is cut off is not taken for a black one. With :math:`q_i = v_i (\mathcal T(y_i) -
\mathcal R(x_i))` the loss is

.. math::
   J = V\,\frac{Q + E \sigma^2}{D + E}, \quad Q = \sum_i q_i^2, \quad D = \sum_i v_i^2 ,

with the volume V of the box. It is normalised by the overlap D, so that pushing the template out of
sight does not pay: a thousandth of the points, :math:`E`, count as if they were seen and off by the
spread σ of the reference, and with nothing in sight the loss is :math:`V \sigma^2`.
"""

from __future__ import annotations

import math

import torch

from ..images import Copied, SplineImage, checks
from .distances import SHARE

FADE = 3.0
"""Cells within which the visibility rises from the border of the box to one."""
LEAST = 0.05
"""Part of the reference that must be covered for a result to count."""


class Overlap:
    """Visibility of the points of a pair.

    Parameters
    ----------
    template, reference : SplineImage
        The pair.
    template_mask, reference_mask : torch.Tensor, optional
        Shape ``domain.m``, between 0 and 1: how far each pixel is to be trusted.
    """

    seen = Copied()
    _seen: torch.Tensor

    def __init__(
        self,
        template: SplineImage,
        reference: SplineImage,
        template_mask: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
    ) -> None:
        self.domain = template.domain
        self.template_mask = None
        if template_mask is not None:
            self.template_mask = SplineImage(template_mask, template.domain, "mirror")
        for name, one in [("reference", reference.data), ("reference_mask", reference_mask)]:
            checks.check_constant(
                name, one, 'the spread of the reference in surround="overlap" is a constant'
            )
        data = reference.data.flatten()
        self.seen = torch.ones_like(data)
        if reference_mask is not None:
            self.seen = reference_mask.flatten()
        trusted = self.seen.square()
        mean = (trusted * data).sum() / trusted.sum()
        self.variance = float((trusted * (data - mean).square()).sum() / trusted.sum())
        self.extra = SHARE * len(data)

    def visibility(self, y: torch.Tensor) -> torch.Tensor:
        """Return v at the moved points ``(n, dim)``, differentiable in them, shape ``(n,)``."""
        v = self._seen
        for low, high in self._distances(y):
            v = v * _rise(low.clamp(0, 1)) * _rise(high.clamp(0, 1))
        return v if self.template_mask is None else v * self.template_mask(y)

    def taylor(self, y: torch.Tensor, order: int, part: slice = slice(None)):
        """Return value, gradient (dim columns) and Hessian (dim × dim columns, or None) of v.

        The points y are those of all cells, or of a part of them.
        """
        seen = self._seen[part]
        factors = [
            _product(_along(low, 1 / width), _along(high, -1 / width))
            for (low, high), width in zip(self._distances(y), self._widths(), strict=True)
        ]
        dim = len(factors)
        value = seen * math.prod(one[0] for one in factors)
        slope = [
            seen * math.prod(one[int(j == k)] for j, one in enumerate(factors)) for k in range(dim)
        ]
        second = [
            [
                seen * math.prod(one[(j == k) + (j == i)] for j, one in enumerate(factors))
                for i in range(dim)
            ]
            for k in range(dim)
        ]
        found = value, slope, second if order > 1 else None
        if self.template_mask is None:
            return found
        return times(found, split(self.template_mask.taylor(y, 0.0, order)))

    def _widths(self):
        return [FADE * h for h in self.domain.h]

    def _distances(self, y):
        """For each axis the distance to both borders, over the width of the rise."""
        bounds = zip(self.domain.lower, self.domain.upper, self._widths(), strict=True)
        for x, (lower, upper, width) in zip(y.unbind(-1), bounds, strict=True):
            yield (x - lower) / width, (upper - x) / width


def filled(image: SplineImage, mask: torch.Tensor | None) -> SplineImage:
    """Return the image for a surround that goes on; what the mask distrusts comes from around it.

    Else a dead pixel would spread with the blur. The fill is a smoothed image over a smoothed mask,
    as local as the mask allows.
    """
    data, domain = image.data, image.domain
    if mask is not None:
        x = domain.cell_centers(data.dtype, data.device)
        known, trust = (SplineImage(one, domain, "mirror") for one in (mask * data, mask))
        fill = (mask * data).sum() / mask.sum() * torch.ones_like(data)
        for theta in (1e4, 1e2, 1.0):
            share = trust(x, theta).reshape(data.shape)
            local = known(x, theta).reshape(data.shape) / share.clamp(min=0.2)
            fill = torch.where(share > 0.2, local, fill)
        data = mask * data + (1 - mask) * fill
    return SplineImage(data, domain, "mirror")


def out_of_sight(problem, point, theta) -> str:
    """Say what is wrong where the template has left the reference; empty if it has not."""
    share = problem.covered(point.w, theta)
    alone = problem.loss_out_of_sight(0.0)
    if share >= LEAST and point.loss < alone:
        return ""
    return (
        f"The template covers {100 * share:.0f} % of the reference, and the loss is "
        f"{point.loss / alone:.2g} of that with nothing in sight. Start with a w0 that puts the "
        "images on each other, or raise theta."
    )


def split(terms):
    """Value, gradient (d columns) and Hessian (d x d columns, or None) from Taylor terms."""
    dim = len(next(iter(terms)))
    unit = [tuple(int(k == j) for j in range(dim)) for k in range(dim)]
    slope = [terms[e] for e in unit]
    twice = [[tuple(map(sum, zip(e, f, strict=True))) for f in unit] for e in unit]
    if twice[0][0] not in terms:
        return terms[(0,) * dim], slope, None
    second = [[terms[a] * (2 if max(a) == 2 else 1) for a in row] for row in twice]
    return terms[(0,) * dim], slope, second


def times(one, other):
    """The product of two functions of y, each as value, gradient and Hessian."""
    (a, da, dda), (b, db, ddb) = one, other
    axes = range(len(da))
    slope = [a * db[k] + b * da[k] for k in axes]
    if dda is None or ddb is None:
        return a * b, slope, None
    second = [
        [a * ddb[k][i] + b * dda[k][i] + da[k] * db[i] + da[i] * db[k] for i in axes] for k in axes
    ]
    return a * b, slope, second


def _rise(t):
    """From 0 to 1 on [0, 1], with two derivatives that vanish at both ends."""
    return t**3 * (10 + t * (6 * t - 15))


def _along(t, scale):
    """The rise and its first two derivatives in y, for t = scale · y + …, clamped."""
    inside = t.clamp(0, 1)
    first = 30 * inside**2 * (1 - inside) ** 2
    second = 60 * inside * (1 - inside) * (1 - 2 * inside)
    return _rise(inside), scale * first, scale**2 * second


def _product(a, b):
    """The product of two functions of one variable, with two derivatives."""
    return a[0] * b[0], a[1] * b[0] + a[0] * b[1], a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2]
