r"""Derivatives of a registration problem, composed from those of the image and of the map.

The images know their own derivatives (`SplineImage.taylor`), the transformation knows how
points move, and the chain rule joins the two:

.. math::
   J = \lVert r \rVert^2, \quad r = \sqrt{h}\,(\mathcal T(y(w)) - \mathcal R), \quad
   \nabla J = 2 r^\top \partial r, \quad
   \nabla^2 J = 2\,\partial r^\top \partial r + 2 \sum_i r_i \nabla^2 r_i .

All functions take ``(problem, w, theta)`` and are differentiable in `theta`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.func import grad
from torch.func import hessian as ad_hessian

from ..images import ShortRepr
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
    problem.check_parameters(w)
    y, dy_dw, curvature = problem.transform.local(w, problem.points)
    value, slope, second = _split(problem.template.taylor(y, theta, 2 if exact else 1))
    residual = problem.weight * (value - problem.reference_values(theta))
    # Sums over the few axes, written out: batches of tiny matrices are slow in torch.
    dy_dw = dy_dw.unbind(1)
    jacobian = problem.weight * _along(slope, dy_dw)
    gauss_newton = 2 * jacobian.T @ jacobian
    loss, gradient = residual.square().sum(), 2 * residual @ jacobian
    hessian = None
    if exact:
        pull = 2 * problem.weight * residual
        rows = [_along([pull * entry for entry in row], dy_dw) for row in second]
        hessian = gauss_newton + torch.cat(dy_dw).T @ torch.cat(rows)
        hessian = hessian + curvature(torch.stack([pull * entry for entry in slope], dim=1))
    if problem.lam:
        stiffness = ad_hessian(problem.penalty)(w)
        loss, gradient = loss + problem.penalty(w), gradient + grad(problem.penalty)(w)
        gauss_newton = gauss_newton + stiffness
        hessian = None if hessian is None else hessian + stiffness
    return SecondOrderModel(loss, residual, gradient, jacobian, gauss_newton, hessian)


def gradient(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor
) -> torch.Tensor:
    """Return ∇_w J, shape ``(p,)``: one reverse pass through the transformation.

    References
    ----------
    Chapter 2.
    """
    problem.check_parameters(w)
    y = problem.transform(w, problem.points)
    value, slope, _ = _split(problem.template.taylor(y, theta, 1))
    residual = value - problem.reference_values(theta)
    pull = (2 * problem.domain.cell_volume * residual)[:, None] * torch.stack(slope, dim=1)
    result = problem.transform.pull_back(w, problem.points, pull)
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
    problem.check_parameters(w)
    y = problem.transform(w, problem.points)
    value, slope, _ = _split(problem.template.taylor(y, theta, 1))
    value_rate, slope_rate, _ = _split(problem.template.taylor_theta_derivative(y, theta, 1))
    (still,) = problem.reference.taylor_theta_derivative(problem.points, theta, 0).values()
    residual, rate = value - problem.reference_values(theta), value_rate - still
    scale = 2 * problem.domain.cell_volume
    columns = [rate * a + residual * b for a, b in zip(slope, slope_rate, strict=True)]
    return problem.transform.pull_back(w, problem.points, scale * torch.stack(columns, dim=1))


def _split(terms):
    """Value, gradient (d columns) and Hessian (d x d columns, or None) from Taylor terms."""
    dim = len(next(iter(terms)))
    unit = [tuple(int(k == j) for j in range(dim)) for k in range(dim)]
    slope = [terms[e] for e in unit]
    twice = [[tuple(map(sum, zip(e, f, strict=True))) for f in unit] for e in unit]
    if twice[0][0] not in terms:
        return terms[(0,) * dim], slope, None
    second = [[terms[a] * (2 if max(a) == 2 else 1) for a in row] for row in twice]
    return terms[(0,) * dim], slope, second


def _along(columns, dy_dw):
    """Sum over the axes of a column (n,) times the derivatives (n, p) of y along that axis."""
    return sum(column[:, None] * dy for column, dy in zip(columns, dy_dw, strict=True))
