r"""Derivatives of a registration problem, composed from those of the image and of the map.

The images know their own derivatives (`SplineImage.taylor`), the transformation knows how
points move, and the chain rule joins the two:

.. math::
   J = \lVert r \rVert^2, \quad r = \sqrt{h}\,(\mathcal T(y(w)) - \mathcal R), \quad
   \nabla J = 2 r^\top \partial r, \quad
   \nabla^2 J = 2\,\partial r^\top \partial r + 2 \sum_i r_i \nabla^2 r_i .

All functions take ``(problem, w, theta)`` and are differentiable in both. The chain rule takes the
derivatives of the images as constants, so a `w` that is differentiated further goes through
automatic differentiation of the residual instead, which is slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.func import grad, jacfwd, jvp
from torch.func import hessian as ad_hessian

from ..images import ShortRepr, checks, tracing
from .overlap import split, times
from .problem import RegistrationProblem


@dataclass(frozen=True, repr=False)
class SecondOrderModel(ShortRepr):
    """Loss with first and second derivatives at one point, computed together.

    Attributes
    ----------
    loss : torch.Tensor
        A number.
    residual : torch.Tensor
        Shape ``(n,)``.
    gradient : torch.Tensor
        Shape ``(p,)``.
    jacobian : torch.Tensor
        Shape ``(n, p)``: derivative of the residual.
    gauss_newton, hessian : torch.Tensor or None
        Shape ``(p, p)``: 2 JᵀJ and the exact Hessian, both with the regulariser's Hessian.
    """

    loss: torch.Tensor
    residual: torch.Tensor
    gradient: torch.Tensor
    jacobian: torch.Tensor
    gauss_newton: torch.Tensor
    hessian: torch.Tensor | None


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
        Whether to form the exact Hessian too.

    Returns
    -------
    SecondOrderModel

    References
    ----------
    Paper, section 3.3.2, with the factors 2 that belong to ‖r‖² (not ‖r‖²/2). Chapters 2 and 4.
    """
    checks.check_kind("problem", problem, RegistrationProblem)
    problem.check_parameters(w)
    exact = checks.check_flag("exact", exact)
    if tracing.is_followed(w):
        return _with_penalty(problem, w, *_by_ad(problem, w, theta, exact))
    if problem.overlap is not None:
        return _with_penalty(problem, w, *_normalised(problem, w, theta, exact))
    y, dy_dw, curvature = _local(problem, w)
    value, slope, second = split(problem.template.taylor(y, theta, 2 if exact else 1))
    difference = value - problem.reference_values(theta), slope, second
    found = _squares(difference, dy_dw.unbind(1), curvature, problem.weight)
    return _with_penalty(problem, w, *found)


def _local(problem, w):
    """The moved points and their derivatives in w, each of the shape that is asked for."""
    y, dy_dw, curvature = problem.transform.local(w, problem.points)
    y = _constant(problem, problem.checked_points(y))
    p, name = len(w), type(problem.transform).__name__
    checks.check_shape(f"{name}.jacobian", dy_dw, (*y.shape, p))

    def checked(weights):
        found = curvature(weights)
        checks.check_shape(f"{name}.curvature", found, (p, p))
        return found

    return y, dy_dw, checked


def _constant(problem, y):
    """Return the moved points; raise if autograd follows what the map holds besides w.

    A transform, over theta say, wraps them though they do not depend on theta: they are unwrapped.
    """
    if tracing.inside_transforms() and not tracing.is_recorded(y):
        return tracing.constant(y)
    name = f"what {type(problem.transform).__name__} makes of the points"
    hint = "freeze what the map holds besides w, or use torch.no_grad()"
    checks.check_constant(name, y, hint, batched=True)
    return y


def _pulled(problem, w, weights):
    """The gradient in w of ``sum(weights * y)``."""
    found = problem.transform.pull_back(w, problem.points, weights)
    checks.check_shape(f"{type(problem.transform).__name__}.pull_back", found, w.shape)
    return found


def _with_penalty(problem, w, loss, residual, gradient, jacobian, gauss_newton, hessian):
    """The model with the regulariser added."""
    if problem.lam:
        stiffness = ad_hessian(problem.penalty)(w)
        loss, gradient = loss + problem.penalty(w), gradient + grad(problem.penalty)(w)
        gauss_newton = gauss_newton + stiffness
        hessian = None if hessian is None else hessian + stiffness
    return SecondOrderModel(loss, residual, gradient, jacobian, gauss_newton, hessian)


def _by_ad(problem, w, theta, exact):
    """Loss, residual and derivatives from the residual alone, to be differentiated further."""
    residual = problem.residual(w, theta)
    changes = jacfwd(lambda v: problem.residual(v, theta))(w)
    hessian = ad_hessian(lambda v: _square(problem, v, theta))(w) if exact else None
    gradient, gauss_newton = 2 * residual @ changes, 2 * changes.T @ changes
    return residual.square().sum(), residual, gradient, changes, gauss_newton, hessian


def _square(problem, w, theta):
    return problem.residual(w, theta).square().sum()


def _normalised(problem, w, theta, exact):
    """Loss, residual and derivatives where the loss is that of `overlap`."""
    y, dy_dw, curvature = _local(problem, w)
    order, overlap = 2 if exact else 1, problem.overlap
    value, slope, second = split(problem.template.taylor(y, theta, order))
    v = overlap.taylor(y, order)
    difference = value - problem.reference_values(theta), slope, second
    Q = _squares(times(v, difference), dy_dw.unbind(1), curvature)
    D = _squares(v, dy_dw.unbind(1), curvature)
    M = D.value + overlap.extra
    N = Q.value + overlap.extra * overlap.variance
    both = torch.outer(Q.gradient, D.gradient)
    both, alone = (both + both.T) / M**2, torch.outer(D.gradient, D.gradient) * N / M**3
    volume = problem.domain.cell_volume * len(y)
    root = (volume / M).sqrt()
    missing = (overlap.extra * overlap.variance) ** 0.5
    rows = torch.cat([Q.roots, Q.roots.new_full((1,), missing)])
    changes = torch.cat([Q.changes, torch.zeros_like(Q.changes[:1])])
    hessian = None
    if exact:
        hessian = Q.hessian / M - both - N * D.hessian / M**2 + 2 * alone
        hessian = volume * hessian
    return (
        volume * N / M,
        root * rows,
        volume * (Q.gradient / M - N * D.gradient / M**2),
        root * (changes - rows[:, None] * D.gradient / (2 * M)),
        volume * (Q.gauss_newton / M - both / 2 + alone / 2),
        hessian,
    )


class _Squares(NamedTuple):
    """A sum of squares over the points, with its derivatives in w."""

    value: torch.Tensor
    roots: torch.Tensor
    gradient: torch.Tensor
    changes: torch.Tensor
    gauss_newton: torch.Tensor
    hessian: torch.Tensor | None


def _squares(terms, dy_dw, curvature, weight=1.0):
    """Sum the squares of a function of y times a weight, given as value, gradient and Hessian."""
    value, slope, second = terms
    # Sums over the few axes, written out: batches of tiny matrices are slow in torch.
    roots, changes = weight * value, weight * _along(slope, dy_dw)
    gradient, gauss_newton = 2 * roots @ changes, 2 * changes.T @ changes
    hessian = None
    if second is not None:
        pull = 2 * weight * roots
        rows = [_along([pull * entry for entry in row], dy_dw) for row in second]
        hessian = gauss_newton + torch.cat(dy_dw).T @ torch.cat(rows)
        hessian = hessian + curvature(torch.stack([pull * entry for entry in slope], dim=1))
    return _Squares(roots.square().sum(), roots, gradient, changes, gauss_newton, hessian)


def gradient(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor
) -> torch.Tensor:
    """Return ∇_w J, shape ``(p,)``: one reverse pass through the transformation.

    References
    ----------
    Chapter 2.
    """
    checks.check_kind("problem", problem, RegistrationProblem)
    problem.check_parameters(w)
    if tracing.is_followed(w):
        return grad(lambda v: problem.loss(v, theta))(w)
    if problem.overlap is not None:
        return second_order_model(problem, w, theta, exact=False).gradient
    y = _constant(problem, problem.moved_points(w))
    value, slope, _ = split(problem.template.taylor(y, theta, 1))
    residual = value - problem.reference_values(theta)
    pull = (2 * problem.domain.cell_volume * residual)[:, None] * torch.stack(slope, dim=1)
    result = _pulled(problem, w, pull)
    return result + grad(problem.penalty)(w) if problem.lam else result


def jacobian(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor
) -> torch.Tensor:
    """Return ∂r/∂w, shape ``(n, p)``.

    References
    ----------
    Chapter 2.
    """
    return second_order_model(problem, w, theta, exact=False).jacobian


def hessian(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor
) -> torch.Tensor:
    """Return the exact Hessian ∇²_w J, shape ``(p, p)``.

    References
    ----------
    Chapters 2 and 4.
    """
    exact = second_order_model(problem, w, theta).hessian
    assert exact is not None
    return exact


def gauss_newton_hessian(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor
) -> torch.Tensor:
    """Return 2 JᵀJ plus the Hessian of the regulariser, shape ``(p, p)``.

    References
    ----------
    Chapter 4.
    """
    return second_order_model(problem, w, theta, exact=False).gauss_newton


def mixed_derivative(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor
) -> torch.Tensor:
    """Return ∂_θ ∇_w J, shape ``(p,)``: the gradient, differentiated along theta.

    Of ∇J = 2 Σ r ∂r both factors change with theta. Images are linear in their coefficients,
    so their rates are splines too (`SplineImage.taylor_theta_derivative`).

    References
    ----------
    Paper, section 3.2: the right-hand side of dw/dθ. Chapter 3.
    """
    checks.check_kind("problem", problem, RegistrationProblem)
    problem.check_parameters(w)
    if tracing.is_followed(w):
        theta = torch.as_tensor(theta, dtype=w.dtype, device=w.device)
        slope = grad(lambda v, t: _square(problem, v, t))
        return jvp(lambda t: slope(w, t), (theta,), (torch.ones_like(theta),))[1]
    y = _constant(problem, problem.moved_points(w))
    value, slope, _ = split(problem.template.taylor(y, theta, 1))
    value_rate, slope_rate, _ = split(problem.template.taylor_theta_derivative(y, theta, 1))
    (still,) = problem.reference.taylor_theta_derivative(problem.points, theta, 0).values()
    residual, rate = value - problem.reference_values(theta), value_rate - still
    if problem.overlap is not None:
        terms = (residual, slope, None), (rate, slope_rate, None)
        return _normalised_mixed(problem, w, y, *terms)
    scale = 2 * problem.domain.cell_volume
    columns = [rate * a + residual * b for a, b in zip(slope, slope_rate, strict=True)]
    return _pulled(problem, w, scale * torch.stack(columns, dim=1))


def _normalised_mixed(problem, w, y, difference, difference_rate):
    """∂_θ ∇J where the loss is that of `overlap`: the visibility does not change with theta."""
    overlap, v = problem.overlap, problem.overlap.taylor(y, 1)
    q, slope, _ = times(v, difference)
    rate, slope_rate, _ = times(v, difference_rate)

    def pulled(columns):
        return _pulled(problem, w, 2 * torch.stack(columns, dim=1))

    along = pulled([rate * a + q * b for a, b in zip(slope, slope_rate, strict=True)])
    M = v[0].square().sum() + overlap.extra
    D_gradient = pulled([v[0] * a for a in v[1]])
    volume = problem.domain.cell_volume * len(y)
    return volume * (along / M - 2 * (q @ rate) * D_gradient / M**2)


def _along(columns, dy_dw):
    """Sum over the axes of a column (n,) times the derivatives (n, p) of y along that axis."""
    return sum(column[:, None] * dy for column, dy in zip(columns, dy_dw, strict=True))
