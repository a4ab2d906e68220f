"""What returns a constant refuses an argument that autograd follows, and names it."""

import pytest
import torch
from torch.func import grad, jacfwd, vmap

from problems import near_identity, two_blobs
from regtools import (
    Affine,
    RegistrationProblem,
    SplineImage,
    SuperResolutionProblem,
    choose_lam,
    conjugate_gradient,
    enlarged_frame,
    gradient,
    hessian,
    joint_gauss_newton,
    levenberg_marquardt,
    newton,
    predictor_corrector,
    projection_jacobian,
    register,
    register_frames,
    simulate_frames,
    simulated_problem,
    super_resolve,
    varpro,
)

SMALL = simulated_problem("hands-phantom", 8, seeds=(2,))
PROBLEM, FRAMES, W = SMALL.problem, SMALL.frames, SMALL.problem.identity()
PAIR, START = two_blobs(), near_identity(Affine(2))
TEMPLATE, REFERENCE = PAIR.template.data, PAIR.reference.data
MASK = torch.ones_like(REFERENCE)


def pair(template=TEMPLATE, reference=REFERENCE, **options):
    images = (SplineImage(data, PAIR.domain) for data in (template, reference))
    return RegistrationProblem(*images, Affine(2), **options)


# argument: a call that takes it, and what it is
CALLS = {
    "w": [
        (PROBLEM.reconstruct, W),
        (lambda w: PROBLEM.operator(w)(SMALL.image), W),
        (lambda w: projection_jacobian(PROBLEM, w), W),
        (lambda w: choose_lam(PROBLEM, w)[0], W),
    ],
    "w0": [
        (lambda w: newton(PAIR, 0.5, w).w, START),
        (lambda w: levenberg_marquardt(PAIR, 0.5, w).w, START),
        (lambda w: predictor_corrector(PAIR, [1.0, 0.5], w).w, START),
        (lambda w: varpro(PROBLEM, w, max_iter=1).w, W),
        (lambda w: joint_gauss_newton(PROBLEM, w, max_iter=1).w, W),
        (lambda w: super_resolve(FRAMES, 2, w0=w, lam=1.0, max_rounds=1).w, W),
    ],
    "image0": [
        (lambda x: varpro(PROBLEM, W, image0=x, max_iter=1).w, SMALL.image),
        (lambda x: joint_gauss_newton(PROBLEM, W, image0=x, max_iter=1).w, SMALL.image),
        (lambda x: projection_jacobian(PROBLEM, W, image0=x, n_iter_cg=3), SMALL.image),
    ],
    "frames": [
        (lambda x: SuperResolutionProblem(x, SMALL.domain, 2, 1.0).target, FRAMES),
        (lambda x: register_frames(x, SMALL.domain, thetas=[1.0]).w, FRAMES),
        (lambda x: super_resolve(x, 2, w0=W, lam=1.0, max_rounds=1).w, FRAMES),
    ],
    "weights": [
        (
            lambda x: SuperResolutionProblem(FRAMES, SMALL.domain, 2, 1.0, weights=x).target,
            torch.ones_like(FRAMES),
        ),
    ],
    "template": [
        (lambda x: newton(pair(template=x), 0.5, START, max_iter=1).w, TEMPLATE),
        (lambda x: register(x, REFERENCE, start="identity", surround="zero").w, TEMPLATE),
    ],
    "reference": [
        (lambda x: newton(pair(reference=x), 0.5, START, max_iter=1).w, REFERENCE),
        # its spread would be taken as a constant
        (lambda x: pair(reference=x, surround="overlap").loss(START, 0.5), REFERENCE),
    ],
    "reference_mask": [
        (lambda x: pair(surround="overlap", reference_mask=x).loss(START, 0.5), MASK),
    ],
    "template_mask": [
        (
            lambda x: newton(pair(surround="overlap", template_mask=x), 0.5, START, max_iter=1).w,
            MASK,
        ),
    ],
    "start": [
        (lambda x: register(TEMPLATE, REFERENCE, start=x, surround="zero").w, START),
    ],
}
EACH = pytest.mark.parametrize(
    ("name", "call", "value"), [(name, *case) for name, cases in CALLS.items() for case in cases]
)


@EACH
def test_what_ordinary_autograd_follows_is_refused(name, call, value):
    with pytest.raises(ValueError, match=rf"\b{name} must not be differentiated"):
        call(value.clone().requires_grad_())


@EACH
def test_what_a_transform_follows_is_refused(name, call, value):
    for transform in (jacfwd, grad):
        with pytest.raises(ValueError, match=rf"\b{name} must not be differentiated"):
            transform(lambda x: torch.as_tensor(call(x)).sum())(value)


@pytest.mark.parametrize(("name", "call", "value"), [("w", *c) for c in CALLS["w"]])
def test_what_vmap_batches_is_refused(name, call, value):
    with pytest.raises(ValueError, match=f"{name} must not be .* batched"):
        vmap(call)(value.repeat(2, 1))


@EACH
def test_where_nothing_is_recorded_a_mark_does_not_matter(name, call, value):
    with torch.no_grad():
        found = call(value.clone().requires_grad_())
    torch.testing.assert_close(found, call(value), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda x: simulate_frames(x, SMALL.domain, 2, W), SMALL.image),
        (lambda w: simulate_frames(SMALL.image, SMALL.domain, 2, w), W + 0.01),
        (lambda x: enlarged_frame(x, SMALL.domain), FRAMES[0]),
        (lambda w: PROBLEM.residual(w, SMALL.image), W + 0.01),
        (lambda x: PROBLEM.operator(W)(x), SMALL.image),
        (lambda w: PROBLEM.misfit(w, SMALL.image), W + 0.01),
        (lambda x: pair(template=x).loss(START, 0.5), TEMPLATE),
        (lambda x: pair(reference=x).loss(START, 0.5), REFERENCE),
        (lambda x: pair(surround="overlap", template_mask=x).loss(START, 0.5), MASK * 0.5),
        (lambda x: pair(template=x, surround="overlap").loss(START, 0.5), TEMPLATE),
        (lambda b: conjugate_gradient(torch.eye(4).double() + 1, b, n_iter=3).x, W[:4] + 0.5),
    ],
)
def test_what_is_not_refused_is_right(function, value):
    v = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=value.dtype)
    t = 1e-4 * float(value.abs().mean())
    truth = (function(value + t * v) - function(value - t * v)) / (2 * t)
    x = value.clone().requires_grad_()
    rows = function(x)
    weights = torch.linspace(1, 2, rows.numel(), dtype=rows.dtype).reshape(rows.shape)
    (slope,) = torch.autograd.grad((weights * rows).sum(), x)
    torch.testing.assert_close((slope * v).sum(), (weights * truth).sum(), rtol=1e-5, atol=1e-7)


def test_taylor_takes_constant_points():
    image, points = PAIR.template, PAIR.points
    for function in (image.taylor, image.taylor_theta_derivative):
        with pytest.raises(ValueError, match=r"points must not be differentiated here: .* call"):
            jacfwd(lambda x, function=function: function(x, 0.5)[0, 0])(points)
        several = vmap(lambda x, function=function: function(x, 0.5)[1, 0])(points[:, None])
        torch.testing.assert_close(several[:, 0], function(points, 0.5)[1, 0])


class Learned(Affine):
    """A map with a tensor of its own besides w."""

    own = torch.ones(1).double().requires_grad_()

    def __call__(self, w, x):
        return super().__call__(w, x) * self.own


def test_what_a_map_holds_besides_w_is_not_lost():
    problem = two_blobs(Learned(2))
    for call in (
        lambda: gradient(problem, START, 0.5),
        lambda: hessian(problem, START, 0.5),
        lambda: newton(problem, 0.5, START),
        lambda: predictor_corrector(problem, [1.0, 0.5], START),
    ):
        with pytest.raises(ValueError, match=r"what Learned makes .* not be differentiated here"):
            call()
        with torch.no_grad():
            call()
    (slope,) = torch.autograd.grad(problem.loss(START, 0.5), Learned.own)
    with torch.no_grad():
        ends = []
        for sign in (1, -1):
            Learned.own += sign * 1e-5
            ends.append(float(problem.loss(START, 0.5)))
            Learned.own -= sign * 1e-5
    assert float(slope) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)
