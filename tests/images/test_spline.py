"""The spline image against SciPy, closed forms and finite differences."""

import itertools
import math
import warnings

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

from regtools.images import (
    Domain,
    SplineImage,
    frequency_response,
    half_gain_wavelength,
    local_taylor,
)

# Non-square, anisotropic, not at the origin; one for each number of axes.
DOMAINS = [
    Domain((-1.0, 4.0), (9,)),
    Domain((0.0, 3.0, -1.0, 4.0), (6, 9)),
    Domain((0.0, 3.0, -1.0, 4.0, 2.0, 2.5), (4, 6, 5)),
]
THETAS = [0.0, 1e-3, 1.0, 1e3]
by_dim = pytest.mark.parametrize("domain", DOMAINS, ids=["1D", "2D", "3D"])


def random_image(domain, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return SplineImage(torch.randn(domain.m, generator=generator, dtype=dtype), domain)


def random_points(domain, n=40, seed=1, margin=3.0):
    """Points in the box and up to `margin` pixels outside."""
    u = np.random.default_rng(seed).uniform(size=(n, domain.dim))
    low = np.array(domain.lower) - margin * np.array(domain.h)
    high = np.array(domain.upper) + margin * np.array(domain.h)
    return torch.from_numpy(low + u * (high - low))


def scipy_derivative(coefficients, domain, points, a):
    """Derivative `a` of the same spline, by SciPy, in physical units."""
    pad = 8
    padded = np.pad(coefficients, pad)
    knots = tuple(np.arange(-2.0 - pad, m + pad + 2) for m in coefficients.shape)
    spline = scipy.interpolate.NdBSpline(knots, padded, 3)
    u = (points.numpy() - domain.lower) / domain.h - 0.5
    scale = np.prod([6.0 / h**k for h, k in zip(domain.h, a, strict=True)])
    return scale * spline(u, nu=list(a))


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
    """P in the test above is a claim too: integrate b''(u - i) b''(u - j) exactly."""
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


# --- derivatives -----------------------------------------------------------------------

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


# --- behaviour -------------------------------------------------------------------------


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


def test_rate_of_the_taylor_terms_in_theta():
    image, points = random_image(DOMAINS[1]), random_points(DOMAINS[1])
    ahead, behind = (image.taylor(points, 0.3 + sign * 1e-5, order=2) for sign in (1, -1))
    for a, rate in image.taylor_theta_derivative(points, 0.3, order=2).items():
        torch.testing.assert_close(rate, (ahead[a] - behind[a]) / 2e-5, rtol=1e-6, atol=1e-7)


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
