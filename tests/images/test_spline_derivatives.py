"""Derivatives of the spline image, in every nesting, against SciPy and finite differences."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

from regtools.images import SplineImage
from splines import DOMAINS, by_dim, random_image, random_points, scipy_derivative

TRANSFORMS = {"jacfwd": jacfwd, "jacrev": jacrev}
NESTINGS = [n for k in (1, 2, 3) for n in itertools.product(TRANSFORMS, repeat=k)]


@pytest.mark.parametrize("nesting", NESTINGS, ids="-".join)
@by_dim
def test_every_nesting_of_derivatives_agrees_with_scipy(domain, nesting):
    """Forward over forward included, where a hand-written rule goes wrong unseen."""
    image = random_image(domain)
    points = random_points(domain, n=3, margin=0.5)
    derivative = lambda x: image(x[None], 0.2)[0]  # noqa: E731
    for name in nesting:
        derivative = TRANSFORMS[name](derivative)
    coefficients = image.coefficients(0.2).numpy()
    for point in points:
        ours = derivative(point)
        for index in np.ndindex(*ours.shape):
            a = [index.count(k) for k in range(domain.dim)]
            expected = scipy_derivative(coefficients, domain, point[None], a).item()
            assert ours[index].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_no_order_is_the_last():
    """Three derivatives along each axis, by nested forward mode and by plain autograd."""
    domain = DOMAINS[1]
    image, point = random_image(domain), torch.tensor([1.3, 2.1], dtype=torch.float64)
    expected = scipy_derivative(image.coefficients().numpy(), domain, point[None], (3, 3)).item()
    nested = lambda x: image(x[None])[0]  # noqa: E731
    recorded = point.clone().requires_grad_()
    replayed = nested(recorded)
    for axis in (0, 0, 0, 1, 1, 1):
        nested = (lambda f, k: lambda x: jacfwd(f)(x)[k])(nested, axis)
        replayed = torch.autograd.grad(replayed, recorded, create_graph=True)[0][axis]
    assert nested(point).item() == pytest.approx(expected, rel=1e-10)
    assert replayed.item() == pytest.approx(expected, rel=1e-10)


def test_jvp_vjp_hessian_and_vmap_are_consistent():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain, n=6)
    terms = image.taylor(points, order=2)
    gradient = torch.stack([terms[(1, 0)], terms[(0, 1)]], 1)
    direction = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    _, tangent = jvp(image, (points,), (direction,))
    torch.testing.assert_close(tangent, (gradient * direction).sum(1))
    _, pull = vjp(image, points)
    torch.testing.assert_close(pull(direction[:, 0])[0], gradient * direction[:, :1])
    curvature = vmap(hessian(lambda x: image(x[None])[0]))(points)
    expected = torch.stack([2 * terms[(2, 0)], terms[(1, 1)], terms[(1, 1)], 2 * terms[(0, 2)]], 1)
    torch.testing.assert_close(curvature.flatten(1), expected)
    torch.testing.assert_close(vmap(image)(points.reshape(2, 3, 2)).flatten(), image(points))


@by_dim
def test_gradcheck_and_gradgradcheck(domain):
    """Points, data and theta together, against finite differences of second order."""
    data = random_image(domain).data.requires_grad_()
    points = random_points(domain, n=2, margin=0.0).requires_grad_()
    theta = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def evaluate(data, points, theta):
        return SplineImage(data, domain)(points, theta)

    inputs = (data, points, theta)
    fast = domain.dim > 1  # along random directions: many pixels make the full check slow
    assert torch.autograd.gradcheck(evaluate, inputs, check_forward_ad=True, fast_mode=fast)
    assert torch.autograd.gradgradcheck(evaluate, inputs, check_fwd_over_rev=True, fast_mode=fast)


def test_taylor_remainders_have_slope_two_and_three():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain, n=20, margin=0.0)
    direction = torch.from_numpy(np.random.default_rng(5).standard_normal(points.shape))
    f = lambda x: image(x, 0.5).square().sum()  # noqa: E731
    slope, bend = (
        jvp(f, (points,), (direction,))[1],
        jvp(lambda x: jvp(f, (x,), (direction,))[1], (points,), (direction,))[1],
    )
    steps = 2.0 ** -torch.arange(6, 14)
    values = torch.stack([f(points + t * direction) for t in steps]) - f(points)
    for remainder, order in [
        (values - steps * slope, 2),
        (values - steps * slope - steps**2 / 2 * bend, 3),
    ]:
        observed = torch.log2(remainder[:-1].abs() / remainder[1:].abs())
        assert observed.median().item() == pytest.approx(order, abs=0.1)


def test_derivative_in_theta_by_every_mode():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain)
    theta = torch.tensor(0.3, dtype=torch.float64)
    eps = 1e-5
    expected = (image(points, 0.3 + eps) - image(points, 0.3 - eps)) / (2 * eps)
    for derivative in (jacfwd, jacrev):
        ours = derivative(lambda t: image(points, t))(theta)
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-8)
    batch = vmap(lambda t: image(points, t))(torch.tensor([0.0, 0.3], dtype=torch.float64))
    torch.testing.assert_close(batch[1], image(points, 0.3))


@pytest.mark.parametrize("nesting", [n for n in NESTINGS if len(n) > 1], ids="-".join)
def test_nestings_in_theta_and_data(nesting):
    """Against finite differences of the derivative one order lower, at theta = 0 too."""
    domain = DOMAINS[1]
    data, points = random_image(domain).data, random_points(domain, n=3, margin=0.0)
    push = torch.randn(domain.m, dtype=data.dtype, generator=torch.Generator().manual_seed(4))

    def evaluate(s):  # theta and data move together along s
        return SplineImage(data + s * push, domain)(points, 0.05 + s**2)

    *inner, outer = nesting
    for name in inner:
        evaluate = TRANSFORMS[name](evaluate)
    s, eps = torch.tensor(0.3, dtype=data.dtype), 1e-5
    expected = (evaluate(s + eps) - evaluate(s - eps)) / (2 * eps)
    torch.testing.assert_close(TRANSFORMS[outer](evaluate)(s), expected, rtol=1e-6, atol=1e-6)


def test_derivatives_at_theta_zero():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain)
    zero, eps = torch.tensor(0.0, dtype=torch.float64), 1e-5
    ahead = [image(points, k * eps) for k in range(3)]
    slope = (4 * ahead[1] - 3 * ahead[0] - ahead[2]) / (2 * eps)
    ours = jacfwd(lambda t: image(points, t))(zero)
    torch.testing.assert_close(ours, slope, rtol=1e-5, atol=1e-5)


def test_dual_numbers_outside_and_inside_a_transform():
    """Forward mode by hand, which torch hides from code inside a transform."""
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain, n=4, margin=0.0)
    v = torch.from_numpy(np.random.default_rng(6).standard_normal(points.shape))
    loss = lambda x: image(x, 0.3).square().sum()  # noqa: E731
    eps = 1e-6
    expected = (grad(loss)(points + eps * v) - grad(loss)(points - eps * v)) / (2 * eps)

    def slope(x):
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(loss(forward_ad.make_dual(x, v))).tangent

    torch.testing.assert_close(grad(slope)(points), expected, rtol=1e-6, atol=1e-6)
    with forward_ad.dual_level():
        outside = forward_ad.unpack_dual(grad(loss)(forward_ad.make_dual(points, v))).tangent
    torch.testing.assert_close(outside, expected, rtol=1e-6, atol=1e-6)


def test_autograd_around_a_transform_and_linearize():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain, n=4, margin=0.0)
    v = torch.from_numpy(np.random.default_rng(6).standard_normal(points.shape))
    loss = lambda x: image(x, 0.3).square().sum()  # noqa: E731
    product = jvp(grad(loss), (points,), (v,))[1]
    recorded = points.clone().requires_grad_()
    (grad(loss)(recorded) * v).sum().backward()
    torch.testing.assert_close(recorded.grad, product)
    with warnings.catch_warnings():  # torch warns about its own graph
        warnings.simplefilter("ignore")
        _, push = linearize(image, points)
        torch.testing.assert_close(push(v), jvp(image, (points,), (v,))[1])


def test_mixed_derivative_in_theta_and_points():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain, n=5, margin=0.0)
    theta = torch.tensor(0.3, dtype=torch.float64)
    slope = lambda t: grad(lambda x: image(x, t).square().sum())(points)  # noqa: E731
    eps = 1e-5
    expected = (slope(theta + eps) - slope(theta - eps)) / (2 * eps)
    for derivative in (jacfwd, jacrev):
        torch.testing.assert_close(derivative(slope)(theta), expected, rtol=1e-6, atol=1e-7)


def test_linear_in_the_data():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain)
    evaluate = lambda data: SplineImage(data, domain)(points, 0.3)  # noqa: E731
    forward, reverse = jacfwd(evaluate)(image.data), jacrev(evaluate)(image.data)
    torch.testing.assert_close(forward, reverse)
    torch.testing.assert_close(torch.tensordot(forward, image.data, 2), image(points, 0.3))


def test_rate_of_the_taylor_terms_in_theta():
    image, points = random_image(DOMAINS[1]), random_points(DOMAINS[1])
    ahead, behind = (image.taylor(points, 0.3 + sign * 1e-5, order=2) for sign in (1, -1))
    for a, rate in image.taylor_theta_derivative(points, 0.3, order=2).items():
        torch.testing.assert_close(rate, (ahead[a] - behind[a]) / 2e-5, rtol=1e-6, atol=1e-7)
