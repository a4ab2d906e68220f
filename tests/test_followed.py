"""A parameter that is differentiated further: the right derivative comes out, or an error."""

import pytest
import torch
from torch.func import grad, jacfwd, jacrev, jvp

from problems import DOMAIN, near_identity, two_blobs
from regtools import (
    Affine,
    NeuralODE,
    Rigid,
    Tikhonov,
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    mixed_derivative,
    second_order_model,
)

THETA = 0.5
MAPS = {"affine": Affine(2), "rigid": Rigid(DOMAIN), "flow": NeuralODE(2, 2, DOMAIN)}


def by_autograd(function):
    """The Jacobian of a function by ordinary autograd, row by row."""

    def jacobian_at(w):
        w = w.clone().requires_grad_()
        rows = function(w).flatten()
        columns = [torch.autograd.grad(row, w, retain_graph=True)[0] for row in rows]
        return torch.stack(columns).reshape(*function(w).shape, len(w))

    return jacobian_at


WAYS = {"jacfwd": jacfwd, "jacrev": jacrev, "autograd": by_autograd}


def agree(found, truth):
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9 * float(truth.abs().max()))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_the_derivative_of_the_gradient_is_the_hessian(surround, way):
    transform = MAPS["rigid"]
    w, pull = near_identity(transform), Tikhonov(transform.identity())
    problem = two_blobs(transform, regularizer=pull, lam=0.3, surround=surround)
    # Of the loss alone: what torch itself makes of it is the measure.
    truth = torch.func.hessian(lambda v: problem.loss(v, THETA))(w)
    agree(WAYS[way](lambda v: gradient(problem, v, THETA))(w), truth)


@pytest.mark.parametrize("name", MAPS)
def test_the_derivative_of_the_gradient_is_the_hessian_for_each_map(name):
    transform = MAPS[name]
    problem, w = two_blobs(transform), near_identity(transform)
    v = torch.linspace(-1, 1, len(w), dtype=w.dtype)
    truth = jvp(grad(lambda u: problem.loss(u, THETA)), (w,), (v,))[1]
    agree(jvp(lambda u: gradient(problem, u, THETA), (w,), (v,))[1], truth)


@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_the_other_functions_are_differentiated_further(surround):
    transform = MAPS["rigid"]
    problem, w = two_blobs(transform, surround=surround), near_identity(transform)
    t = torch.tensor(THETA, dtype=w.dtype)

    def residual(v):
        return problem.residual(v, THETA)

    def half(v):
        rows = jacfwd(residual)(v)
        return 2 * rows.T @ rows

    mixed = torch.func.hessian(lambda v, s: problem.loss(v, s), argnums=(0, 1))
    agree(jacfwd(lambda v: jacobian(problem, v, THETA))(w), jacfwd(jacfwd(residual))(w))
    agree(jacfwd(lambda v: gauss_newton_hessian(problem, v, THETA))(w), jacfwd(half)(w))
    agree(
        jacfwd(lambda v: mixed_derivative(problem, v, THETA))(w),
        jacfwd(lambda v: mixed(v, t)[0][1])(w),
    )
    model = jacfwd(lambda v: second_order_model(problem, v, THETA).loss)(w)
    agree(model, grad(lambda v: problem.loss(v, THETA))(w))


@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_the_hessian_has_the_third_derivative(surround):
    transform = MAPS["rigid"]
    problem, w = two_blobs(transform, surround=surround), near_identity(transform)
    v = torch.linspace(-1, 1, len(w), dtype=w.dtype)
    truth = jvp(torch.func.hessian(lambda u: problem.loss(u, THETA)), (w,), (v,))[1]
    agree(jvp(lambda u: hessian(problem, u, THETA), (w,), (v,))[1], truth)


def test_finite_differences_agree():
    problem, w = two_blobs(surround="overlap"), near_identity(Affine(2))
    v, t = torch.linspace(-1, 1, 6, dtype=w.dtype), 1e-5
    there, back = (hessian(problem, w + s * v, THETA) for s in (t, -t))
    found = jvp(lambda u: hessian(problem, u, THETA), (w,), (v,))[1]
    torch.testing.assert_close(found, (there - back) / (2 * t), rtol=1e-5, atol=1e-2)


def test_an_open_dual_level_is_seen():
    problem, w = two_blobs(), near_identity(Affine(2))
    v = torch.ones_like(w)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(w, v)
        found = torch.autograd.forward_ad.unpack_dual(gradient(problem, dual, THETA)).tangent
    truth = torch.func.hessian(lambda u: problem.loss(u, THETA))(w) @ v
    torch.testing.assert_close(found, truth)


def test_what_is_not_followed_takes_the_short_way(monkeypatch):
    problem, w = two_blobs(), near_identity(Affine(2))
    monkeypatch.setattr(type(problem), "residual", None)  # only automatic differentiation asks it
    gradient(problem, w, THETA)
    with torch.no_grad():
        hessian(problem, w.clone().requires_grad_(), THETA)
    t = torch.tensor(THETA, dtype=w.dtype)
    with torch.autograd.forward_ad.dual_level():
        hessian(problem, w, torch.autograd.forward_ad.make_dual(t, torch.ones_like(t)))
    jacfwd(lambda s: gradient(problem, w, s))(t)
