r"""Loss, gradient and Hessian of a registration problem at one point, for a Newton step.

The images know their own derivatives (`SplineImage.taylor`), the transformation knows how
points move, and the chain rule joins the two:

.. math::
   J = \lVert r \rVert^2, \quad r = \sqrt{h}\,(\mathcal T(y(w)) - \mathcal R), \quad
   \nabla J = 2 r^\top \partial r, \quad
   \nabla^2 J = 2\,\partial r^\top \partial r + 2 \sum_i r_i \nabla^2 r_i .

The points are summed in one pass: those of an affine map in `sums_of_squares`, those of any other
in blocks, so no array with a row for each point and a column for each parameter is formed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch.func import grad, jacfwd
from torch.func import hessian as ad_hessian

from ..images import ShortRepr, checks, tracing
from . import _affine
from .chain import along, bent, local, parts
from .distances import Jet, from_squares, looks, unlikeness
from .measures import composed
from .overlap import split, times
from .problem import RegistrationProblem


@dataclass(frozen=True, repr=False)
class SecondOrderModel(ShortRepr):
    """Loss with first and second derivatives at one point.

    Attributes
    ----------
    loss : torch.Tensor
        A number.
    gradient : torch.Tensor
        Shape ``(p,)``.
    hessian : torch.Tensor or None
        Shape ``(p, p)``: the exact Hessian, if it was asked for.
    gauss_newton : torch.Tensor
        Shape ``(p, p)``: 2 JᵀJ, with the regulariser's Hessian as the other. This and the next two
        are computed when they are first looked at.
    residual : torch.Tensor
        Shape ``(n,)``.
    jacobian : torch.Tensor
        Shape ``(n, p)``: derivative of the residual.
    """

    loss: torch.Tensor
    gradient: torch.Tensor
    hessian: torch.Tensor | None
    _gauss_newton: Callable[[], torch.Tensor] = field(repr=False)
    _residual: Callable[[], torch.Tensor] = field(repr=False)
    _jacobian: Callable[[], torch.Tensor] = field(repr=False)

    @cached_property
    def gauss_newton(self):
        """2 JᵀJ, shape ``(p, p)``."""
        return self._gauss_newton()

    @cached_property
    def residual(self):
        """The residual, shape ``(n,)``."""
        return self._residual()

    @cached_property
    def jacobian(self):
        """The derivative of the residual, shape ``(n, p)``."""
        return self._jacobian()


def second_order_model(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor, exact: bool = True
) -> SecondOrderModel:
    """Return everything a Newton or Gauss–Newton step needs, in one pass over the image.

    Parameters
    ----------
    problem : RegistrationProblem
        The pair, the map and the regulariser.
    w : torch.Tensor
        Parameters, shape ``(p,)``.
    theta : float or torch.Tensor
        Blur in pixels⁴.
    exact : bool
        Whether to form the exact Hessian.

    Returns
    -------
    SecondOrderModel

    References
    ----------
    Paper, section 3.3.2, with the factors 2 that belong to ‖r‖² (not ‖r‖²/2). Chapters 2 and 4.
    """
    checks.check_kind("problem", problem, RegistrationProblem)
    problem.check_parameters(w)
    exact, theta = checks.check_flag("exact", exact), checks.check_theta(theta)
    if tracing.is_followed(w):
        return _by_ad(problem, w, theta, exact)
    w = tracing.constant(w).clone()
    loss, gradient, matrix = _numbers(problem, w, theta, exact)

    def gauss_newton():
        if problem.measure is not None:
            return problem.residual(w, theta)  # which raises, and says why
        if problem.distance == "ncc":
            changes = dense_jacobian(problem, w, theta)
            found = 2 * changes.T @ changes
            return found + ad_hessian(problem.penalty)(w) if problem.lam else found
        return matrix if not exact else _numbers(problem, w, theta, False)[2]

    return SecondOrderModel(
        loss,
        gradient,
        matrix if exact else None,
        gauss_newton,
        lambda: problem.residual(w, theta),
        lambda: dense_jacobian(problem, w, theta),
    )


def _by_ad(problem, w, theta, exact):
    """The model from the loss or the residual alone, to be differentiated further."""
    if problem.measure is not None:
        return _measured_by_ad(problem, w, theta, exact)
    residual = problem.residual(w, theta)
    changes = jacfwd(lambda v: problem.residual(v, theta))(w)
    loss, gradient = residual.square().sum(), 2 * residual @ changes
    gauss_newton = 2 * changes.T @ changes
    hessian = ad_hessian(lambda v: problem.unlikeness(v, theta))(w) if exact else None
    if problem.lam:
        stiffness = ad_hessian(problem.penalty)(w)
        loss, gradient = loss + problem.penalty(w), gradient + grad(problem.penalty)(w)
        gauss_newton = gauss_newton + stiffness
        hessian = None if hessian is None else hessian + stiffness
    parts = [lambda one=one: one for one in (gauss_newton, residual, changes)]
    return SecondOrderModel(loss, gradient, hessian, *parts)


def _measured_by_ad(problem, w, theta, exact):
    def loss(v):
        return problem.loss(v, theta)

    hessian = ad_hessian(loss)(w) if exact else None
    nothing = partial(problem.residual, w, theta)  # which raises, and says why
    return SecondOrderModel(loss(w), grad(loss)(w), hessian, nothing, nothing, nothing)


def _numbers(problem, w, theta, exact):
    """Loss, gradient, and the Hessian or its Gauss–Newton part, with the regulariser.

    Of correlation the matrix is right only where it is `exact`; of a measure there is none else.
    """
    if problem.measure is None:
        found = _of_squares(problem, w, theta, exact)
    else:
        found = composed(problem, w, theta, exact)
    found = [part.to(w) for part in found]
    if not problem.lam:
        return found
    more = problem.penalty(w), grad(problem.penalty)(w), ad_hessian(problem.penalty)(w)
    return [one + other for one, other in zip(found, more, strict=True)]


def _of_squares(problem, w, theta, exact):
    wished = _looked_at(problem, theta)
    if _affine.fits(problem, w, theta):
        passes = [_affine.sums(problem, w, theta, 2 if exact else 1, look) for look in wished]
        families = [one[0] for one in passes] + passes[0][1:]
        families = [Jet(*(torch.as_tensor(part, device="cpu") for part in one)) for one in families]
    else:
        families = _sums_by_blocks(problem, w, theta, exact, wished)
    if problem.distance == "ncc":
        return _correlated(problem, families, wished[0][1])
    return (_plain if problem.overlap is None else _normalised)(problem, families, exact)


def _plain(problem, families, exact):
    return [problem.domain.cell_volume * part for part in families[0]]


def _normalised(problem, families, exact):
    """The loss of `overlap`, V (Q + E σ²) / (D + E), with its derivatives."""
    (Q, D), overlap, volume = families, problem.overlap, problem.box_volume
    top, bottom = Q + overlap.extra * overlap.variance, D + overlap.extra
    found = top / bottom * volume
    if exact:
        return found
    N, M = top.value, bottom.value
    both = torch.outer(Q.gradient, D.gradient) / M**2
    alone = torch.outer(D.gradient, D.gradient) * N / M**3
    return found._replace(matrix=volume * (Q.matrix / M - (both + both.T - alone) / 2))


def _looked_at(problem, theta):
    """What the sums of squares are of; where all is seen those of ℛ alone do not change with w."""
    reference = problem.kept_reference(theta)
    if problem.distance == "ssd":
        return [(1.0, reference)]
    return looks(reference) if problem.overlap is not None else looks(reference)[:3]


def _correlated(problem, families, reference):
    """The loss of `distances`, V (1 − ρ²), with its derivatives."""
    n = len(problem._points)
    if problem.overlap is None:
        _, *still = families[0] * 0.0
        known = reference.square().sum(), (reference + 1).square().sum(), reference.new_tensor(n)
        families = [*families, *(Jet(value.to(still[0]), *still) for value in known)]
    overlap = problem.overlap is not None
    return unlikeness(from_squares(*families), n, overlap) * problem.box_volume


def _sums_by_blocks(problem, w, theta, exact, wished):
    """The sums of squares for any map: of each look, and of the visibility where there is one."""
    totals, order = None, 2 if exact else 1
    for part in parts(problem):
        y, dy_dw, curvature = local(problem, w, part)
        terms = problem.template.taylor(y, theta, order)
        seen = [_difference(terms, factor, reference[part]) for factor, reference in wished]
        if problem.overlap is not None:
            v = problem.overlap.taylor(y, order, part)
            seen = [*(times(v, one) for one in seen), v]
        found = [_squares(one, dy_dw, curvature) for one in seen]
        if totals is None:
            totals = found
        else:
            totals = [one + other for one, other in zip(totals, found, strict=True)]
    return totals


def _difference(terms, factor, reference):
    """A multiple of 𝒯(y), minus ℛ, with its derivatives in y, from Taylor terms."""
    value, slope, second = split({a: factor * term for a, term in terms.items()})
    return value - reference, slope, second


def _squares(terms, dy_dw, curvature):
    """Sum the squares of a function of y, given as value, gradient and Hessian."""
    value, slope, second = terms
    # Sums over the few axes, written out: batches of tiny matrices are slow in torch.
    dy_dw = dy_dw.unbind(1)
    changes = along(slope, dy_dw)
    gradient, matrix = 2 * value @ changes, 2 * changes.T @ changes
    if second is not None:
        matrix = matrix + bent(terms, dy_dw, curvature, 2 * value)
    return Jet(value.square().sum(), gradient, matrix)


def dense_jacobian(problem, w, theta):
    """∂r/∂w, shape ``(n, p)``, or ``(n + 1, p)`` with "overlap"."""
    if problem.distance != "ssd":
        return jacfwd(lambda v: problem.residual(v, theta))(w)
    y, dy_dw, _ = local(problem, w)
    terms = problem.template.taylor(y, theta, 1)
    terms, dy_dw = _difference(terms, 1.0, problem.kept_reference(theta)), dy_dw.unbind(1)
    if problem.overlap is None:
        return problem.weight * along(terms[1], dy_dw)
    overlap = problem.overlap
    v = overlap.taylor(y, 1)
    q, slope, _ = times(v, terms)
    D_gradient, M = 2 * v[0] @ along(v[1], dy_dw), v[0].square().sum() + overlap.extra
    rows = torch.cat([q, q.new_full((1,), (overlap.extra * overlap.variance) ** 0.5)])
    changes = along(slope, dy_dw)
    changes = torch.cat([changes, torch.zeros_like(changes[:1])])
    root = (problem.box_volume / M).sqrt()
    return root * (changes - rows[:, None] * D_gradient / (2 * M))
