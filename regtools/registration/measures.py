r"""Distances that are a few lines each: functions of two pictures and of what is seen.

A distance takes the moved template, the reference and the trust in each cell, three tensors of the
shape of the reference, and returns one number: 0 where nothing can be better, 1 where nothing is
alike (of unrelated pictures it may be less). Grey values come counted from about 0 to 1. Gradient
and Hessian in w are not its business: automatic differentiation gives those in the moved values,
the chain rule of `second_order_model` does the rest. A distance of your own goes into `register` or
`RegistrationProblem` as ``distance=``, like these two.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.func import grad, jvp, vmap

from ..images import SplineImage, checks, tracing
from ..solvers import NotFiniteError
from .chain import along, bent, local, parts
from .distances import DISTANCES, SHARE, Jet
from .overlap import split

BINS = 32
"""Grey levels of `mutual_information`."""
_TINY = 1e-12
_COLUMNS = 12  # parameters that a distance is differentiated along at a time
_RANGE = (0.001, 0.999)  # parts of the pixels that are darker than 0 and than 1
_BEYOND = 0.1  # of the range, which has bins too


def mutual_information(
    values: torch.Tensor, reference: torch.Tensor, trust: torch.Tensor, bins: int = BINS
) -> torch.Tensor:
    r"""Return :math:`1 - 2 I / (H_\mathcal{T} + H_\mathcal{R})` of the grey values.

    The entropies H and the mutual information I are those of a joint histogram to which each cell
    adds a cubic B-spline in both grey values (a Parzen window), so that it can be differentiated
    twice, but where a value lies beyond all bins, a tenth of the range on either side. It is small
    where one picture's grey value says much about the other's, whatever the relation; it is not
    zero for equal pictures, as the windows overlap. Few cells look alike by chance: 0.9 of
    unrelated noise on 16 × 16 cells, 0.98 on 32 × 32.

    Parameters
    ----------
    values, reference, trust : torch.Tensor
        Of one shape: moved template and reference, counted from 0 to 1, and the weight of a cell.
    bins : int
        Grey levels of each picture, from 8.

    References
    ----------
    Studholme, Hill and Hawkes (1999), normalised by both entropies; Mattes and others (2003), for
    the windows. Chapter 9.
    """
    (left, there), (right, here) = (_windows(one.flatten(), bins) for one in (values, reference))
    shares = trust.flatten() * there[:, None] * here
    joint = values.new_zeros(bins * bins)
    joint = joint.index_add(0, (left[:, None] * bins + right).flatten(), shares.flatten())
    joint = (joint / (joint.sum() + _TINY)).reshape(bins, bins)
    return 2 * _entropy(joint) / (_entropy(joint.sum(0)) + _entropy(joint.sum(1)) + _TINY) - 1


def _windows(values, bins):
    """The four bins that each value falls into, and its shares of them, bins first."""
    cells = (values + _BEYOND) / (1 + 2 * _BEYOND) * (bins - 3)
    cells = cells.clamp(0, bins - 3)
    first = cells.detach().floor().clamp(max=bins - 4)
    t = cells - first
    s = 1 - t
    shares = [s**3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - s**2 + s**3 / 2, t**3 / 6]
    return first.long() + torch.arange(4, device=t.device)[:, None], torch.stack(shares)


def _entropy(shares):
    return -(shares * (shares + _TINY).log()).sum()


def gradient_fields(
    values: torch.Tensor, reference: torch.Tensor, trust: torch.Tensor
) -> torch.Tensor:
    r"""Return one minus the agreement of the normalised gradient fields (NGF).

    A field is :math:`n = \nabla u / \sqrt{\lvert \nabla u \rvert^2 + \eta^2}`, with central
    differences and with η² the mean of :math:`\lvert \nabla u \rvert^2`, so that noise in flat
    parts counts for little. Edges agree if they have one line, in either direction. The sum of
    :math:`(n_\mathcal{T} \cdot n_\mathcal{R})^2` is divided by what it is at most, by Cauchy and
    Schwarz, so equal pictures have the distance 0. Unrelated noise has about 0.6 in the plane and
    0.7 in space. Slopes are counted per cell, not per length.

    Parameters
    ----------
    values, reference, trust : torch.Tensor
        Of one shape, at least 3 cells wide: moved template and reference, and the weight of a cell.

    References
    ----------
    Haber and Modersitzki (2006), who do not divide. Chapter 9.
    """
    seen = trust[(slice(1, -1),) * trust.ndim]
    one, other = (_field(picture, seen) for picture in (values, reference))
    agreed = (seen * (one * other).sum(0).square()).sum()
    lengths = [(seen * field.square().sum(0).square()).sum() for field in (one, other)]
    return 1 - agreed / (lengths[0] * lengths[1] + _TINY).sqrt()


def _field(picture, seen):
    """The normalised gradients of the inner cells, axis first."""
    inner, slopes = slice(1, -1), []
    for k in range(picture.ndim):
        ahead, behind = ([inner] * picture.ndim for _ in range(2))
        ahead[k], behind[k] = slice(2, None), slice(None, -2)
        slopes.append((picture[tuple(ahead)] - picture[tuple(behind)]) / 2)
    slope = torch.stack(slopes)
    squares = slope.square().sum(0)
    eta = (seen * squares).sum() / (seen.sum() + _TINY)
    return slope / (squares + eta + _TINY).sqrt()


MEASURES: dict[str, Callable] = {"mi": mutual_information, "ngf": gradient_fields}


def chosen(distance: str | Callable) -> Callable | None:
    """Return the function that a word means, or a function itself; None for a sum of squares."""
    if callable(distance):
        return distance
    checks.check_choice("distance", distance, (*DISTANCES, *MEASURES))
    return MEASURES.get(distance)


def ranged(
    image: SplineImage, mask: torch.Tensor | None, centred: bool
) -> tuple[SplineImage, float, float]:
    """Return an image of grey values from about 0 to 1, and its dark end and range.

    The ends are those of all but a thousandth of the pixels. Where the image is black outside, and
    so not `centred`, black stays 0.
    """
    data = image.data.detach().numpy(force=True)
    known = data.ravel() if mask is None else data[mask.numpy(force=True) > 0.5]
    known = data.ravel() if known.size == 0 else known
    low, high = (float(end) for end in np.quantile(known, _RANGE))
    if not high > low:
        low, high = float(known.min()), float(known.max())
    low = low if centred else 0.0
    width = (high - low) or 1.0
    return SplineImage((image.data - low) / width, image.domain, image.extension), low, width


def measured(problem, values, reference, v):
    """Return the loss of a problem with a distance like these, over the volume of the box.

    Where the pictures overlap in part, a thousandth of the points count as seen and unlike.
    """
    m = problem.domain.m
    trust = torch.ones_like(values) if v is None else v.square()
    if v is not None and _none(v):
        return (0 * values * v).sum() + 1
    found = checked(
        problem.measure(values.reshape(m), reference.reshape(m), trust.reshape(m)), problem
    )
    if v is None:
        return found
    extra, seen = SHARE * math.prod(m), trust.sum()
    return (seen * found + extra) / (seen + extra)


def _none(v):
    """Whether nothing is seen, so that a distance would divide by zero."""
    if tracing.records_program():
        return False  # there are no numbers yet
    known = tracing.values(v)
    with tracing.outside_transforms(known):
        return not known.any()


def composed(problem, w, theta, exact):
    r"""A function φ of the moved values u and of the visibility v, see `measures`.

    Each is a function of y, so :math:`\nabla J = \sum_i \varphi_i \nabla u_i` and
    :math:`\nabla^2 J = J_u^\top \varphi'' J_u + \sum_i \varphi_i \nabla^2 u_i`: torch applies φ″
    to the columns of the Jacobian, and the image knows the rest.
    """
    reference = problem.kept_reference(theta)

    def phi(*moved):
        v = moved[1] if len(moved) > 1 else None
        return problem.box_volume * measured(problem, moved[0], reference, v)

    def moved(part):
        y, dy_dw, curvature = local(problem, w, part)
        functions = [split(problem.template.taylor(y, theta, 2 if exact else 1))]
        if problem.overlap is not None:
            functions.append(problem.overlap.taylor(y, 2 if exact else 1, part))
        return functions, dy_dw.unbind(1), curvature

    values, columns = [], []
    for part in parts(problem):
        functions, dy_dw, _ = moved(part)
        values.append(torch.stack([value for value, *_ in functions]))
        columns.append(torch.stack([along(slope, dy_dw) for _, slope, _ in functions]))
    values, columns = torch.cat(values, 1).unbind(), torch.cat(columns, 1)
    slopes = grad(phi, argnums=tuple(range(len(values))))
    pulls = slopes(*values)
    gradient = sum(pull @ one for pull, one in zip(pulls, columns, strict=True))
    matrix = gradient.new_zeros(len(w), len(w))
    if exact and any(pull.any() for pull in pulls):
        rates = vmap(lambda *column: jvp(slopes, values, column)[1], -1, -1, chunk_size=_COLUMNS)(
            *columns
        )
        # Forward over reverse, torch makes doubles of floats where a number has no axes.
        matrix = sum(rate.to(one).T @ one for rate, one in zip(rates, columns, strict=True))
        matrix = (matrix + matrix.T) / 2
        for part in parts(problem):
            functions, dy_dw, curvature = moved(part)
            for pull, one in zip(pulls, functions, strict=True):
                matrix = matrix + bent(one, dy_dw, curvature, pull[part])
    return Jet(phi(*values), gradient, matrix)


def checked(value, problem, name="distance"):
    """Return a number that a function of the reader gave; raise unless it is one, and finite."""
    if not torch.is_tensor(value) or value.ndim:
        got = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
        raise ValueError(f"{name} must return a tensor without axes; got {got}")
    name = f"what the {name} returns"
    checks.check_like(name, value, problem.reference._data)
    try:
        checks.check_finite(name, value, "value")
    except ValueError as error:
        raise NotFiniteError(str(error)) from error
    return value
