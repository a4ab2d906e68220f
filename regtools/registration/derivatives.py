r"""Derivatives of a registration problem, each by itself.

All functions take ``(problem, w, theta)`` and are differentiable in both. The chain rule of
`second_order_model` takes the derivatives of the images as constants, so a `w` that is
differentiated further goes through automatic differentiation of the residual instead, which is
slower.
"""

from __future__ import annotations

import torch
from torch.func import grad, jacfwd, jvp

from ..images import checks, tracing
from . import _affine
from .chain import constant
from .model import dense_jacobian, second_order_model
from .overlap import split, times
from .problem import RegistrationProblem


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
    if _in_one_pass(problem, w, theta):
        return second_order_model(problem, w, theta, exact=False).gradient
    y = constant(problem, problem.moved_points(w))
    value, slope, _ = split(problem.template.taylor(y, theta, 1))
    residual = value - problem.reference_values(theta)
    pull = (2 * problem.domain.cell_volume * residual)[:, None] * torch.stack(slope, dim=1)
    result = _pulled(problem, w, pull)
    return result + grad(problem.penalty)(w) if problem.lam else result


def loss_and_gradient(problem, w, theta):
    """Return J and its gradient at a constant w, in one pass over the points if that is less."""
    if not _in_one_pass(problem, w, theta):
        return problem.loss(w, theta), gradient(problem, w, theta)
    model = second_order_model(problem, w, theta, exact=False)
    return model.loss, model.gradient


def _in_one_pass(problem, w, theta):
    """Whether the Gauss–Newton model is the short way to the gradient; else a reverse pass is."""
    known = problem.overlap is not None or problem.distance != "ssd"
    return known or _affine.fits(problem, w, checks.check_theta(theta))


def jacobian(
    problem: RegistrationProblem, w: torch.Tensor, theta: float | torch.Tensor
) -> torch.Tensor:
    """Return ∂r/∂w, shape ``(n, p)``.

    References
    ----------
    Chapter 2.
    """
    checks.check_kind("problem", problem, RegistrationProblem)
    problem.check_parameters(w)
    if tracing.is_followed(w):
        return jacfwd(lambda v: problem.residual(v, theta))(w)
    return dense_jacobian(problem, tracing.constant(w), checks.check_theta(theta))


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
    if tracing.is_followed(w) or problem.distance != "ssd":
        theta = torch.as_tensor(theta, dtype=w.dtype, device=w.device)
        slope = grad(lambda v, t: problem.unlikeness(v, t))
        return jvp(lambda t: slope(w, t), (theta,), (torch.ones_like(theta),))[1]
    if _affine.fits(problem, w, checks.check_theta(theta)):
        return _streamed_mixed(problem, w, theta)
    y = constant(problem, problem.moved_points(w))
    value, slope, _ = split(problem.template.taylor(y, theta, 1))
    value_rate, slope_rate, _ = split(problem.template.taylor_theta_derivative(y, theta, 1))
    still = problem.reference.at_cells(theta, rate=True)
    residual, rate = value - problem.reference_values(theta), value_rate - still
    if problem.overlap is not None:
        terms = (residual, slope, None), (rate, slope_rate, None)
        return _normalised_mixed(problem, w, y, *terms)
    scale = 2 * problem.domain.cell_volume
    columns = [rate * a + residual * b for a, b in zip(slope, slope_rate, strict=True)]
    return _pulled(problem, w, scale * torch.stack(columns, dim=1))


def _streamed_mixed(problem, w, theta):
    (value, along), *visible = _affine.mixed_sums(problem, w, theta)
    if problem.overlap is None:
        return w.new_tensor(problem.domain.cell_volume * along)
    ((D_value, D_gradient),) = visible
    M = D_value + problem.overlap.extra
    return w.new_tensor(problem.box_volume * (along - value / M * D_gradient) / M)


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


def _pulled(problem, w, weights):
    """The gradient in w of ``sum(weights * y)``."""
    found = problem.transform.pull_back(w, problem.points, weights)
    checks.check_shape(f"{type(problem.transform).__name__}.pull_back", found, w.shape)
    return found
