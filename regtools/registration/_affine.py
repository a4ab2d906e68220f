"""Sums over the points of a problem whose map is affine: one compiled pass, see `sums_of_squares`.

One small matrix makes the derivatives in the entries of A and b from moments of (ξ, 1); those in
the parameters of a map with fewer of them follow by the chain rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.func import hessian, jacfwd

from ..images import streams, sums_of_squares, tracing
from ..solvers import NotFiniteError
from .overlap import FADE
from .transforms import Affine, AffineSubset, Transform

_DEFINED_HERE = (Transform, AffineSubset, Affine)
_METHODS = ("__call__", "local", "jacobian", "pull_back", "curvature")


def fits(problem, w, theta):
    """Say whether the points of a problem can stream: constants, and no map of one's own."""
    kind = type(problem.transform)
    return (
        isinstance(problem.transform, AffineSubset)
        and all(_origin(kind, name) in _DEFINED_HERE for name in _METHODS)
        and (not torch.is_tensor(theta) or tracing.is_plain(theta))
        and tracing.is_plain(w)
        and all(map(streams, _images(problem)))
    )


def _origin(kind, name):
    """The class that defines a method."""
    return next(one for one in kind.__mro__ if name in vars(one))


def _images(problem):
    mask = None if problem.overlap is None else problem.overlap.template_mask
    return [problem.template, problem.reference, *([] if mask is None else [mask])]


def sums(problem, w, theta, order, look=None):
    """Return (value, gradient, matrix) in w for each family of squares, as NumPy arrays.

    Of order 2 the matrix is the Hessian, of order 1 the part of it that Gauss and Newton keep. A
    `look` is a factor of the template and what the reference is replaced by.
    """
    theta = float(theta)
    factor, reference = (1.0, problem.kept_reference(theta)) if look is None else look
    coefficients = problem.template.lattice_coefficients(theta)
    coefficients = coefficients if factor == 1 else factor * coefficients
    found = _pass(problem, w, (coefficients, reference), order)
    if isinstance(problem.transform, Affine):
        return found
    return [_in_parameters(problem.transform, w, order, *one) for one in found]


def mixed_sums(problem, w, theta):
    """Return (value, gradient in w) of the sum of 2 q q′, with q′ = ∂q/∂θ, and of the sum of v².

    Both are linear in the images, so 4 q q′ s = (q + s q′)² − (q − s q′)², and the sums of squares
    give it; s makes both parts alike, so that little is lost by the difference.
    """
    theta = float(theta)
    template, reference = problem.template, problem.reference
    images = template.lattice_coefficients(theta), problem.kept_reference(theta)
    rates = template.lattice_coefficients(theta, rate=True), reference.at_cells(theta, rate=True)
    (squares, *visible), (rate_squares, *_) = (_pass(problem, w, one, 1) for one in (images, rates))
    found = [(0.0, np.zeros_like(squares[1])), *(one[:2] for one in visible)]
    if squares[0] > 0 and rate_squares[0] > 0:
        found[0] = _product(problem, w, images, rates, math.sqrt(squares[0] / rate_squares[0]))
    if isinstance(problem.transform, Affine):
        return found
    changes = _changes(problem.transform, w)
    return [(value, changes.T @ gradient) for value, gradient in found]


def _product(problem, w, images, rates, s):
    """The value and the gradient of the sum of 2 q q′."""
    up, down = (
        _pass(problem, w, [a + sign * s * b for a, b in zip(images, rates, strict=True)], 1)[0]
        for sign in (1, -1)
    )
    return tuple((up[k] - down[k]) / (2 * s) for k in (0, 1))


@dataclass(frozen=True, eq=False)
class Frame:
    """What turns a map of points into one of pixels, and derivatives back; the same for all w.

    Attributes
    ----------
    centre, half : numpy.ndarray
        Those of the reference's box, shape ``(d,)``.
    lower, h : numpy.ndarray
        Where the template's box begins, and the widths of its cells.
    chain : numpy.ndarray
        From derivatives per pixel, against (ξ, 1), to those in the entries of A and b.
    """

    centre: np.ndarray
    half: np.ndarray
    lower: np.ndarray
    h: np.ndarray
    chain: np.ndarray

    @classmethod
    def of(cls, reference, template):
        """Return the frame of two boxes."""
        low, high = np.array(reference.lower), np.array(reference.upper)
        lower, h = np.array(template.lower), np.array(template.h)
        d, centre, half = reference.dim, (low + high) / 2, (high - low) / 2
        chain = np.zeros((d * d + d, d, d + 1))
        for k in range(d):
            for j in range(d):
                chain[d * k + j, k, [j, d]] = half[j] / h[k], centre[j] / h[k]
            chain[d * d + k, k, d] = 1 / h[k]
        return cls(centre, half, lower, h, chain.reshape(d * d + d, -1))

    def in_pixels(self, affine):
        """Return the map from (ξ, 1) to pixels, shape ``(d, d + 1)``, of ``[A row by row, b]``."""
        d = len(self.h)
        A, b = affine[: d * d].reshape(d, d), affine[d * d :]
        shift = A @ self.centre + b - self.lower
        places = np.concatenate([A * self.half, shift[:, None]], axis=1) / self.h[:, None]
        places[:, d] -= 0.5
        return places


def _pass(problem, w, images, order):
    """The families in the entries of A and b, for a template and a reference."""
    frame, transform, overlap = problem.frame, problem.transform, problem.overlap
    with tracing.outside_transforms():
        places = frame.in_pixels(transform.affine(w).numpy(force=True).astype(float))
    if not np.isfinite(places).all():
        problem.moved_points(w)  # which raises, and says more
        raise NotFiniteError("w must be where the map is defined; it leaves the finite numbers")
    more = {}
    if overlap is not None:
        mask = overlap.template_mask
        mask = None if mask is None else mask.lattice_coefficients(0.0)
        more = {"seen": overlap._seen, "mask": mask, "fade": FADE}
    coefficients, reference = images
    beyond = problem.template.beyond
    found = sums_of_squares(
        problem.domain.m, coefficients, beyond, reference, places, order, **more
    )
    chain = frame.chain
    return [(value, chain @ first, chain @ second @ chain.T) for value, first, second in found]


def _changes(transform, w):
    return jacfwd(transform.affine)(w).numpy(force=True).astype(float)


def _in_parameters(transform, w, order, value, gradient, matrix):
    """The chain rule through ``transform.affine``."""
    changes = _changes(transform, w)
    matrix = changes.T @ matrix @ changes
    if order == 2:
        pull = w.new_tensor(gradient)
        matrix = matrix + hessian(lambda v: pull @ transform.affine(v))(w).numpy(force=True)
    return value, changes.T @ gradient, matrix
