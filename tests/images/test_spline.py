"""The spline image against SciPy and closed forms: values, coefficients, blur."""

import itertools
import math

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad

from regtools.images import (
    Domain,
    SplineImage,
    frequency_response,
    half_gain_wavelength,
    local_taylor,
)
from splines import DOMAINS, by_dim, random_image, random_points, scipy_derivative

THETAS = [0.0, 1e-3, 1.0, 1e3]


# --- the spline itself -----------------------------------------------------------------


@by_dim
def test_cell_centres_reproduce_the_data(domain):
    image = random_image(domain)
    values = image(domain.cell_centers())
    torch.testing.assert_close(values, image.data.flatten(), rtol=0, atol=1e-12)


def test_basis_is_six_times_scipys_b_spline():
    u = torch.linspace(-3, 3, 241, dtype=torch.float64)
    delta = torch.zeros(7, dtype=torch.float64)
    delta[3] = 1
    cells = Domain((-0.5, 6.5), (7,))  # pixel coordinates
    element = scipy.interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    for order in range(3):
        ours = math.factorial(order) * local_taylor(delta, u[:, None] + 3, cells, order)[(order,)]
        reference = 6 * np.nan_to_num(element.derivative(order)(u.numpy()))
        np.testing.assert_allclose(ours.numpy(), reference, atol=1e-12)
    knots = torch.tensor([[3.0], [4.0], [2.0]], dtype=torch.float64)
    assert local_taylor(delta, knots, cells, 0)[(0,)].tolist() == [4, 1, 1]


@pytest.mark.parametrize("theta", THETAS)
@by_dim
def test_coefficients_agree_with_scipys_banded_solve(domain, theta):
    image = random_image(domain)
    expected = image.data.numpy()
    for axis, m in enumerate(domain.m):
        basis = np.diag(np.full(m, 4.0)) + np.diag(np.ones(m - 1), 1) + np.diag(np.ones(m - 1), -1)
        moments = scipy.linalg.toeplitz(np.r_[96.0, -54.0, 0.0, 6.0, np.zeros(m - 4)])
        normal = basis.T @ basis + theta * moments
        bands = np.zeros((4, m))
        for k in range(4):
            bands[3 - k, k:] = np.diagonal(normal, k)
        rhs = np.tensordot(basis.T, expected, axes=([1], [axis]))
        solved = scipy.linalg.solveh_banded(bands, rhs.reshape(m, -1)).reshape(rhs.shape)
        expected = np.moveaxis(solved, 0, axis)
    np.testing.assert_allclose(image.coefficients(theta).numpy(), expected, rtol=1e-10, atol=1e-13)


def test_penalty_is_the_gram_matrix_of_second_derivatives():
    """P in the test above is a claim too: integrate φ''(u - i) φ''(u - j) exactly."""
    element = scipy.interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    bend = element.derivative(2)
    nodes, weights = np.polynomial.legendre.leggauss(3)
    u = np.concatenate([k + 0.5 + nodes / 2 for k in range(-2, 6)])
    weights = np.tile(weights / 2, 8)
    row = [
        36 * np.sum(weights * np.nan_to_num(bend(u)) * np.nan_to_num(bend(u - j))) for j in range(5)
    ]
    np.testing.assert_allclose(row, [96, -54, 0, 6, 0], atol=1e-12)


@by_dim
def test_values_and_derivatives_agree_with_scipy_everywhere(domain):
    image, points = random_image(domain), random_points(domain)
    coefficients = image.coefficients(0.7).numpy()
    terms = image.taylor(points, theta=0.7, order=3)
    assert len(terms) == math.comb(3 + domain.dim, domain.dim)
    for a, term in terms.items():
        expected = scipy_derivative(coefficients, domain, points, a)
        derivative = term.numpy() * math.prod(math.factorial(k) for k in a)
        np.testing.assert_allclose(
            derivative, expected, rtol=1e-10, atol=1e-10 * abs(expected).max()
        )
    np.testing.assert_allclose(
        image(points, 0.7).numpy(), terms[(0,) * domain.dim].numpy(), atol=1e-14
    )


def test_more_points_than_one_block():
    domain = DOMAINS[2]
    image, points = random_image(domain), random_points(domain, n=9000)
    expected = scipy_derivative(image.coefficients().numpy(), domain, points, (0, 0, 0))
    np.testing.assert_allclose(image(points).numpy(), expected, atol=1e-12)


@by_dim
def test_far_points_are_exactly_zero(domain):
    image = random_image(domain)
    far = torch.full((2, domain.dim), 1e200, dtype=torch.float64) * torch.tensor([[1.0], [-1.0]])
    assert image(far).tolist() == [0.0, 0.0]
    assert grad(lambda x: image(x).sum())(far).abs().max() == 0


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("other", [2.3, -0.7], ids=["inside", "corner"])
@pytest.mark.parametrize("edge", [-2, -1, "m", "m + 1"])
def test_twice_continuously_differentiable_across_the_border(axis, other, edge):
    domain = Domain((0.0, 3.0, -1.0, 4.0), (6, 9))
    image = random_image(domain)
    u = torch.full((2, 2), other, dtype=torch.float64)
    knot = edge if isinstance(edge, int) else domain.m[axis] + (edge == "m + 1")
    u[:, axis] = knot + torch.tensor([-1e-9, 1e-9], dtype=u.dtype)
    h, lower = torch.tensor([domain.h, domain.lower], dtype=u.dtype)
    terms = image.taylor(lower + (u + 0.5) * h, order=3)
    for a, term in terms.items():
        jump = (term[0] - term[1]).abs().item()
        if sum(a) <= 2:
            assert jump < 1e-6, a
    # The third derivative does jump: these are the knots, and the test would see a break.
    third = terms[(3, 0) if axis == 0 else (0, 3)]
    assert (third[0] - third[1]).abs() > 1e-3


def test_image_vanishes_from_two_pixels_outside():
    domain = Domain((0.0, 6.0), (6,))
    image = random_image(domain)
    u = torch.tensor([[-2.0], [-1.999], [6.999], [7.0]], dtype=torch.float64) + 0.5
    values = image(u)
    assert values[0] == 0 and values[3] == 0
    assert values[1] != 0 and values[2] != 0


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_permuting_axes_permutes_the_image(axes):
    domain = DOMAINS[2]
    omega = [end for k in axes for end in domain.omega[2 * k : 2 * k + 2]]
    turned_domain = Domain(omega, [domain.m[k] for k in axes])
    image = random_image(domain)
    turned = SplineImage(image.data.permute(axes), turned_domain)
    points = random_points(domain)
    torch.testing.assert_close(turned(points[:, axes], 0.3), image(points, 0.3), rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    m=st.tuples(st.integers(4, 12), st.integers(4, 12)),
    low=st.floats(-100, 100),
    width=st.floats(1e-2, 1e2),
    seed=st.integers(0, 100),
)
def test_scaling_and_shifting_the_box_changes_nothing(m, low, width, seed):
    """The image lives in pixels: moving the box and the points together is no change."""
    unit = Domain((0, m[0], 0, m[1]), m)
    moved = Domain((low, low + width, 0, m[1]), m)
    data = torch.from_numpy(np.random.default_rng(seed).standard_normal(m))
    points = random_points(unit, n=10, seed=seed)
    shifted = points.clone()
    shifted[:, 0] = low + points[:, 0] * width / m[0]
    expected = SplineImage(data, unit)(points, 0.1)
    torch.testing.assert_close(SplineImage(data, moved)(shifted, 0.1), expected, rtol=0, atol=1e-8)


# --- theta as blur ---------------------------------------------------------------------


@pytest.mark.parametrize("theta", [1.0, 16.0, 256.0])
def test_wavelength_of_half_gain(theta):
    """Blur a real cosine of wavelength 2 pi theta^(1/4) pixels and look at its middle."""
    m = 800
    i = np.arange(m)
    wave = np.cos((i - m // 2) / theta**0.25)
    domain = Domain((0, m), (m,))
    image = SplineImage(torch.from_numpy(wave), domain)
    gain = image(torch.tensor([[m // 2 + 0.5]], dtype=torch.float64), theta).item()
    assert gain == pytest.approx(0.5, abs=0.04)
    assert gain == pytest.approx(frequency_response(theta**-0.25, theta), abs=1e-6)
    assert half_gain_wavelength(theta) == pytest.approx(2 * math.pi * theta**0.25)


@pytest.mark.parametrize("theta", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("wavelength", [2.5, 8.0, 40.0])
def test_frequency_response_is_what_a_wave_suffers(theta, wavelength):
    m = 601
    nu = 2 * math.pi / wavelength
    wave = torch.from_numpy(np.cos(nu * (np.arange(m) - m // 2)))
    centre = torch.tensor([[m // 2 + 0.5]], dtype=torch.float64)
    gain = SplineImage(wave, Domain((0, m), (m,)))(centre, theta).item()
    assert frequency_response(nu, theta) == pytest.approx(gain, abs=1e-8)
