r"""What two pictures are compared by: squared differences, or correlation.

With a visibility :math:`v_i` (one everywhere where the surround is zero) both are functions of six
sums over the points: of :math:`v^2` times 1, 𝒯, ℛ, 𝒯², 𝒯ℛ and ℛ². The **normalised cross-
correlation** ρ is that of the grey values that are seen, and does not change if one picture becomes
:math:`a \mathcal T + b`. As the loss :math:`1 - \rho^2` is the smallest sum of squares over a and
b, relative to that of ℛ about its mean, it is a least-squares loss in which the brightness has been
projected out.

A sum comes with its gradient and Hessian in w as a `Jet`, and arithmetic with jets is the chain
rule: the loss is written once, for jets and for plain tensors alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..images import SplineImage

DISTANCES = ("ssd", "ncc")
SHARE = 1e-3
"""Part of the points that counts as seen, and as unlike as can be."""
_TINY = 1e-12  # of a sum, against a division by zero


class Jet(NamedTuple):
    """A number with its gradient ``(p,)`` and its Hessian ``(p, p)``, or part of it."""

    value: torch.Tensor
    gradient: torch.Tensor
    matrix: torch.Tensor

    def __add__(self, other):
        if isinstance(other, Jet):
            return Jet(*(a + b for a, b in zip(self, other, strict=True)))
        return self._replace(value=self.value + other)

    def __sub__(self, other):
        return self + (other * -1.0 if isinstance(other, Jet) else -other)

    def __mul__(self, other):
        if not isinstance(other, Jet):
            return Jet(*(other * part for part in self))
        both = torch.outer(self.gradient, other.gradient)
        return Jet(
            self.value * other.value,
            self.value * other.gradient + other.value * self.gradient,
            self.value * other.matrix + other.value * self.matrix + both + both.T,
        )

    def __truediv__(self, other):
        if not isinstance(other, Jet):
            return self * (1 / other)
        value = self.value / other.value
        gradient = (self.gradient - value * other.gradient) / other.value
        both = torch.outer(gradient, other.gradient)
        matrix = (self.matrix - value * other.matrix - both - both.T) / other.value
        return Jet(value, gradient, matrix)


class Moments(NamedTuple):
    """Sums over the points of v² times 1, 𝒯, ℛ, 𝒯², 𝒯ℛ and ℛ²: jets or tensors."""

    one: Jet | torch.Tensor
    t: Jet | torch.Tensor
    r: Jet | torch.Tensor
    tt: Jet | torch.Tensor
    tr: Jet | torch.Tensor
    rr: Jet | torch.Tensor

    @classmethod
    def of(cls, values, reference, v):
        """Sum over the points."""
        seen = torch.ones_like(values) if v is None else v.square()
        t, r = seen * values, seen * reference
        products = t @ values, t @ reference, r @ reference
        return cls(seen.sum(), t.sum(), r.sum(), *products)

    def spreads(self, n):
        """Sums of squares and products about the means: of 𝒯, of both, and of ℛ."""
        one = self.one + _TINY * n
        return (
            self.tt - self.t * self.t / one + _TINY * n,
            self.tr - self.t * self.r / one,
            self.rr - self.r * self.r / one,
        )


# q = a 𝒯 − ℛ′ of these a and ℛ′, in units of ℛ and 1, have squares that give all six sums.
_LOOKS = ((1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, -1.0), (0.0, 1.0, 0.0), (0.0, 1.0, 1.0))


def looks(reference):
    """Return pairs of a factor of the template and a reference whose squares give the moments."""
    return [(a, b * reference + c) for a, b, c in _LOOKS]


def from_squares(both, template, lifted, reference, raised, one):
    """Return the moments, from the sums of squares of the `looks` and of the visibility."""
    return Moments(
        one=one,
        t=(lifted - template - one) * 0.5,
        r=(raised - reference - one) * 0.5,
        tt=template,
        tr=(template + reference - both) * 0.5,
        rr=reference,
    )


def unlikeness(moments, n, overlap):
    """Return 1 − ρ² of n points.

    Where the pictures overlap in part, a thousandth of the points count as seen and unlike, so that
    pushing the template out of sight does not pay. Nor does it pay to look at where the template
    is nearly constant: a gain that would lift less than a thousandth of its spread is damped.
    """
    t, both, r = moments.spreads(n)
    extra = _extra(n, overlap)
    least = SHARE * n
    return (r - both * both * t / (t * t + least * least) + extra) / (r + extra)


def brightness(moments, n):
    """Return the gain a and the offset b for which a 𝒯 + b is nearest to ℛ, damped as above."""
    t, both, _ = moments.spreads(n)
    gain = both * t / (t * t + (SHARE * n) ** 2)
    return gain, (moments.r - gain * moments.t) / (moments.one + _TINY * n)


def matched(values, reference, v, units):
    """Return gain and offset of the template in the units of the files, see `brightness`."""
    # Counted in its own range each, so that the damping means the same in all units.
    ranges = [float(one.detach().std()) or 1.0 for one in (values, reference)]
    moments = Moments.of(values / ranges[0], reference / ranges[1], v)
    (t_mean, t_spread), (r_mean, r_spread) = units
    gain, offset = (float(part) for part in brightness(moments, len(values)))
    gain *= r_spread * ranges[1] / (t_spread * ranges[0])
    return gain, r_mean + r_spread * ranges[1] * offset - gain * t_mean


def residual(values, reference, v):
    """Return the residual whose squares add up to n · `unlikeness`, shape ``(n + 2,)``."""
    moments, n = Moments.of(values, reference, v), len(values)
    (gain, offset), (t, _, r) = brightness(moments, n), moments.spreads(n)
    rows = gain * values + offset - reference
    rows = rows if v is None else v * rows
    extra = _extra(n, v is not None)
    more = torch.stack([gain * SHARE * n / t.sqrt(), rows.new_tensor(extra**0.5)])
    return (n / (r + extra)).sqrt() * torch.cat([rows, more])


def _extra(n, overlap):
    return (SHARE if overlap else _TINY) * n


def standardised(
    image: SplineImage, mask: torch.Tensor | None, centred: bool
) -> tuple[SplineImage, float, float]:
    """Return an image of spread one, of mean zero if it is to be `centred`, and both numbers.

    Correlation does not see the difference; rounding does, and with it units do not matter.
    """
    data = image.data.detach()
    trust = torch.ones_like(data) if mask is None else mask.detach().square()
    mean = float((trust * data).sum() / trust.sum())
    spread = float((trust * (data - mean).square()).sum() / trust.sum()) ** 0.5
    mean = mean if centred else 0.0
    return SplineImage((image.data - mean) / spread, image.domain, image.extension), mean, spread
