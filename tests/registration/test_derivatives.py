"""Derivatives of loss and residual against finite steps and automatic differentiation."""

import numpy as np
import pytest
import torch
from torch.func import grad, jacfwd, jacrev
from torch.func import hessian as ad_hessian

from problems import DOMAIN, near_identity, two_blobs
from regtools.registration import (
    Affine,
    NeuralODE,
    Tikhonov,
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    mixed_derivative,
    second_order_model,
)
from regtools.verify import taylor_test

THETA = 0.3


def problems():
    affine, flow = Affine(2), NeuralODE(2, domain=DOMAIN)
    yield two_blobs(affine)
    yield two_blobs(affine, regularizer=Tikhonov(affine.identity()), lam=2.0)
    yield two_blobs(flow, regularizer=Tikhonov(flow.identity()), lam=0.5)


each_problem = pytest.mark.parametrize(
    "problem", list(problems()), ids=["affine", "regularised", "flow"]
)


@each_problem
def test_taylor_slopes_of_loss_and_residual(problem):
    """Finite steps of the functions themselves: the outside truth for every derivative."""
    w = near_identity(problem.transform)
    v = torch.randn(w.shape, dtype=w.dtype, generator=torch.Generator().manual_seed(7))
    v = v / v.norm()
    steps = 2.0 ** -np.arange(4, 14)
    slope = gradient(problem, w, THETA) @ v
    bend = v @ hessian(problem, w, THETA) @ v
    loss = lambda w: problem.loss(w, THETA)  # noqa: E731
    assert taylor_test(loss, w, v, [slope], steps).order == pytest.approx(2, abs=0.1)
    assert taylor_test(loss, w, v, [slope, bend], steps).order == pytest.approx(3, abs=0.1)
    residual = lambda w: problem.residual(w, THETA)  # noqa: E731
    moved = jacobian(problem, w, THETA) @ v
    assert taylor_test(residual, w, v, [moved], steps).order == pytest.approx(2, abs=0.1)


@each_problem
def test_composed_rules_equal_automatic_differentiation(problem):
    w = near_identity(problem.transform)
    loss = lambda w: problem.loss(w, THETA)  # noqa: E731
    model = second_order_model(problem, w, THETA)
    close = {"rtol": 1e-10, "atol": 1e-9}
    torch.testing.assert_close(model.loss, loss(w))
    torch.testing.assert_close(model.gradient, grad(loss)(w), **close)
    torch.testing.assert_close(gradient(problem, w, THETA), grad(loss)(w), **close)
    torch.testing.assert_close(model.hessian, ad_hessian(loss)(w), **close)
    torch.testing.assert_close(hessian(problem, w, THETA), model.hessian, **close)
    moved = jacrev(lambda w: problem.residual(w, THETA))(w)
    torch.testing.assert_close(model.jacobian, moved, **close)
    stiffness = 2 * problem.lam**2 * torch.eye(len(w), dtype=w.dtype)
    expected = 2 * moved.T @ moved + stiffness
    torch.testing.assert_close(model.gauss_newton, expected, **close)
    torch.testing.assert_close(gauss_newton_hessian(problem, w, THETA), expected, **close)


@each_problem
def test_mixed_derivative_by_finite_differences_in_theta(problem):
    w, eps = near_identity(problem.transform), 1e-4
    ahead, behind = (gradient(problem, w, THETA + sign * eps) for sign in (1, -1))
    expected = (ahead - behind) / (2 * eps)
    error = (mixed_derivative(problem, w, THETA) - expected).norm() / expected.norm()
    assert error < 1e-5


def test_gradient_is_differentiable_in_theta_by_both_modes():
    problem = two_blobs()
    w, theta = near_identity(problem.transform), torch.tensor(THETA, dtype=torch.float64)
    forward, reverse = (d(lambda t: gradient(problem, w, t))(theta) for d in (jacfwd, jacrev))
    torch.testing.assert_close(forward, reverse)
    torch.testing.assert_close(forward, mixed_derivative(problem, w, THETA))
