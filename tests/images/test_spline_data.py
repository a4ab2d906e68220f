"""What a spline image takes and keeps: dtype, device, bad input."""

import math

import numpy as np
import pytest
import torch
from torch.func import grad, vmap

from regtools.images import Domain, SplineImage
from splines import DOMAINS, by_dim, random_image, random_points


@by_dim
def test_float32_follows_the_data(domain):
    image = random_image(domain)
    single = SplineImage(image.data.float(), domain)
    points = random_points(domain)
    values = single(points.float(), 0.5)
    assert values.dtype == torch.float32 and single.coefficients(1.0).dtype == torch.float32
    torch.testing.assert_close(values.double(), image(points, 0.5), rtol=0, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_device_follows_the_data():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain)
    moved = SplineImage(image.data.cuda(), domain)
    slope = grad(lambda x: moved(x, 0.5).sum())(points.cuda())
    torch.testing.assert_close(slope.cpu(), grad(lambda x: image(x, 0.5).sum())(points))


def test_a_look_without_gradients_does_not_cut_the_data_off():
    domain = DOMAINS[1]
    data = random_image(domain).data.requires_grad_()
    image, points = SplineImage(data, domain), random_points(domain)
    with torch.no_grad():
        image(points)
    image(points).sum().backward()
    expected = grad(lambda d: SplineImage(d, domain)(points).sum())(data.detach())
    torch.testing.assert_close(data.grad, expected)


def test_changing_the_data_afterwards_changes_nothing():
    domain = DOMAINS[1]
    data = random_image(domain).data
    image, points = SplineImage(data, domain), random_points(domain)
    before = image(points)
    data.zero_()
    assert torch.equal(image(points), before) and image.data.abs().max() > 0


def test_coefficients_kept_inside_a_transform_serve_outside():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain)
    inside = grad(lambda x: image(x, 0.7).sum())(points)
    torch.testing.assert_close(image(points, 0.7), random_image(domain)(points, 0.7))
    torch.testing.assert_close(grad(lambda x: image(x, 0.7).sum())(points), inside)


def test_kept_coefficients_cannot_be_spoilt():
    domain = DOMAINS[1]
    image, points = random_image(domain), random_points(domain)
    first = image(points, 0.5)
    image.coefficients(0.5).zero_()
    torch.testing.assert_close(image(points, 0.5), first, rtol=0, atol=0)


def test_no_points_give_no_values():
    image = random_image(DOMAINS[1])
    assert image(torch.empty(0, 2, dtype=torch.float64)).shape == (0,)


def broken(value):
    data = torch.zeros(6, 9, dtype=torch.float64)
    data[2, 3] = value
    data[4, 0] = value
    return data


@pytest.mark.parametrize(
    "data, domain, error, words",
    [
        (
            torch.zeros(3, 9).double(),
            Domain((0, 1, 0, 1), (3, 9)),
            ValueError,
            r"data .* at least 4 .* got \(3, 9\)",
        ),
        (
            torch.zeros(6, 8).double(),
            DOMAINS[1],
            ValueError,
            r"data .* domain.m = \(6, 9\); got \(6, 8\)",
        ),
        (torch.zeros(54).double(), DOMAINS[1], ValueError, r"data .* got \(54,\)"),
        (
            broken(math.nan),
            DOMAINS[1],
            ValueError,
            r"data must be finite; 2 of 54 pixels .* \(2, 3\): nan",
        ),
        (broken(-math.inf), DOMAINS[1], ValueError, r"data must be finite; 2 of 54 .* -inf"),
        (
            torch.zeros(6, 9, dtype=torch.int64),
            DOMAINS[1],
            TypeError,
            "data must be a float32 or float64 .* got a torch.int64 tensor",
        ),
        (np.zeros((6, 9)), DOMAINS[1], TypeError, "data must be .* got ndarray"),
        (torch.zeros(6, 9).double(), (0, 1, 0, 1), TypeError, "domain must be a Domain; got tuple"),
    ],
)
def test_bad_data_is_named(data, domain, error, words):
    with pytest.raises(error, match=words):
        SplineImage(data, domain)


@pytest.mark.parametrize(
    "points, error, words",
    [
        (torch.zeros(5, 3).double(), ValueError, r"points must have shape \(n, 2\); got \(5, 3\)"),
        (torch.zeros(2).double(), ValueError, r"points must have shape \(n, 2\); got \(2,\)"),
        (
            torch.zeros(5, 2),
            TypeError,
            "points must be a tensor of dtype torch.float64; got .*float32",
        ),
        (np.zeros((5, 2)), TypeError, "points must be a tensor .* got ndarray"),
        (torch.full((5, 2), math.nan).double(), ValueError, "points must be finite; 10 of 10"),
    ],
)
def test_bad_points_are_named(points, error, words):
    with pytest.raises(error, match=words):
        random_image(DOMAINS[1])(points)


@pytest.mark.parametrize(
    "theta, error, words",
    [
        (-1.0, ValueError, "theta must be finite and at least 0 .* got -1.0"),
        (math.inf, ValueError, "theta must be finite .* inf"),
        (torch.tensor(math.nan), ValueError, "theta must be finite .* nan"),
        (torch.zeros(2), TypeError, r"theta must be a single number; got shape \(2,\)"),
        ("1.0", TypeError, "theta must be a number; got '1.0'"),
        (1j, TypeError, "theta must be a number; got 1j"),
        (10**400, TypeError, "theta must be a number"),
    ],
)
def test_bad_theta_is_named(theta, error, words):
    with pytest.raises(error, match=words):
        random_image(DOMAINS[1]).coefficients(theta)


def test_bad_order_is_named():
    for order in (4, -1, 1.0):
        with pytest.raises(ValueError, match=f"order must be 0, 1, 2 or 3; got {order}"):
            random_image(DOMAINS[1]).taylor(torch.zeros(1, 2, dtype=torch.float64), order=order)


def test_values_inside_vmap_are_checked_too():
    image = random_image(DOMAINS[1])
    batch = torch.zeros(3, 4, 2, dtype=torch.float64)
    batch[1, 2, 0] = math.nan
    with pytest.raises(ValueError, match="points must be finite; 1 of 24"):
        vmap(image)(batch)


@pytest.mark.parametrize("extension", ["zero", "mirror"])
@pytest.mark.parametrize("m", [(7,), (6, 9), (4, 5, 6)])
def test_values_at_the_cells_are_those_of_a_call(m, extension):
    domain = Domain([end for k in range(len(m)) for end in (k, k + 2.0)], m)
    data = torch.from_numpy(np.random.default_rng(0).standard_normal(m)).requires_grad_()
    image = SplineImage(data, domain, extension)
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    ours, called = image.at_cells(theta), image(domain.cell_centers(), theta)
    torch.testing.assert_close(ours, called, rtol=0, atol=1e-13)
    weights = torch.linspace(-1, 2, len(ours), dtype=torch.float64)
    pairs = zip(
        torch.autograd.grad(weights @ ours, (data, theta), retain_graph=True),
        torch.autograd.grad(weights @ called, (data, theta), retain_graph=True),
        strict=True,
    )
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    rate = image.taylor_theta_derivative(domain.cell_centers(), 0.7, 0)[(0,) * len(m)]
    torch.testing.assert_close(image.at_cells(0.7, rate=True), rate, rtol=0, atol=1e-12)
