"""The compiled kernel against the torch path, and which of the two is taken when."""

import numba
import numpy as np
import pytest
import scipy.interpolate
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from regtools.images import Domain, SplineImage, _compiled, _numba
from regtools.images import _taylor as _kernels

DOMAINS = [
    Domain((0.0, 3.0, -1.0, 4.0), (6, 9)),
    Domain((0.0, 3.0, -1.0, 4.0, 2.0, 2.5), (4, 6, 5)),
]
by_dim = pytest.mark.parametrize("domain", DOMAINS, ids=["2D", "3D"])


def random_coefficients(domain, dtype=torch.float64):
    return torch.randn(domain.m, generator=torch.Generator().manual_seed(0), dtype=dtype)


def points_of_all_kinds(domain, n=2000):
    """Inside, up to six pixels outside, at knots and far away."""
    m, lower, h = (np.array(x) for x in (domain.m, domain.lower, domain.h))
    rng = np.random.default_rng(1)
    u = rng.uniform(-6, m + 5, (n, domain.dim))
    u[: n // 4] = rng.integers(-4, m + 4, (n // 4, domain.dim))
    u[-4:] = [[1e9], [-1e9], [1e200], [-1e200]]
    u[-8:-4, 0] = [1e300, -1e300, 1e18, -1e18]
    return torch.from_numpy(lower + (u + 0.5) * h)


@pytest.fixture
def on_torch(monkeypatch):
    """Evaluate a function on the torch path."""

    def evaluate(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(_kernels, "COMPILED", False)
            return function(*arguments)

    return evaluate


@pytest.fixture
def taken(monkeypatch):
    """List which path each evaluation of a spline takes from here on."""
    paths = []
    compiled, block = _compiled.local_taylor, _kernels._block

    def spy(name, function):
        return lambda *arguments: paths.append(name) or function(*arguments)

    monkeypatch.setattr(_compiled, "local_taylor", spy("compiled", compiled))
    monkeypatch.setattr(_kernels, "_block", spy("torch", block))
    return paths


# --- agreement -------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(4))
@by_dim
def test_agrees_with_the_torch_path(domain, order, on_torch):
    coefficients, points = random_coefficients(domain), points_of_all_kinds(domain)
    ours = _kernels.local_taylor(coefficients, points, domain, order)
    expected = on_torch(_kernels.local_taylor, coefficients, points, domain, order)
    assert ours.keys() == expected.keys()
    for a, term in expected.items():
        scale = term.abs().max().item()
        assert scale > 0
        torch.testing.assert_close(ours[a], term, rtol=0, atol=1e-12 * scale)


@by_dim
def test_agrees_in_single_precision(domain, on_torch):
    """Where both start from the same numbers: points that float32 holds exactly."""
    unit = Domain([end for m in domain.m for end in (0, m)], domain.m)
    coefficients = random_coefficients(domain, torch.float32)
    points = ((points_of_all_kinds(unit) * 1024).round() / 1024)[:-8].float()
    ours = _kernels.local_taylor(coefficients, points, unit, 3)
    expected = on_torch(_kernels.local_taylor, coefficients, points, unit, 3)
    for a, term in expected.items():
        assert ours[a].dtype == torch.float32
        torch.testing.assert_close(ours[a], term, rtol=0, atol=1e-5 * term.abs().max().item())


@by_dim
def test_layout_does_not_matter(domain):
    coefficients, points = random_coefficients(domain), points_of_all_kinds(domain)
    expected = _kernels.local_taylor(coefficients, points, domain, 2)
    turned = coefficients.mT.contiguous().mT
    spread = torch.stack([points, points], dim=2)[..., 0]
    assert not (turned.is_contiguous() or spread.is_contiguous())
    ours = _kernels.local_taylor(turned, spread, domain, 2)
    for a, term in expected.items():
        torch.testing.assert_close(ours[a], term, rtol=0, atol=0)


@by_dim
def test_one_point_and_none(domain):
    coefficients, points = random_coefficients(domain), points_of_all_kinds(domain)
    expected = _kernels.local_taylor(coefficients, points, domain, 1)
    for n in (0, 1):
        for a, term in _kernels.local_taylor(coefficients, points[:n], domain, 1).items():
            torch.testing.assert_close(term, expected[a][:n], rtol=0, atol=0)


def test_threads_change_nothing(monkeypatch):
    domain = DOMAINS[0]
    coefficients, points = random_coefficients(domain), points_of_all_kinds(domain, 40_001)
    expected = _compiled.local_taylor(coefficients, points, domain, 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    started = []
    pool = _numba.ThreadPoolExecutor
    monkeypatch.setattr(_numba, "ThreadPoolExecutor", lambda n: started.append(n) or pool(n))
    ours = _compiled.local_taylor(coefficients, points, domain, 2)
    assert started == [2]
    for a, term in expected.items():
        torch.testing.assert_close(ours[a], term, rtol=0, atol=0)


def test_works_where_nothing_can_be_kept(monkeypatch):
    """Numba raises RuntimeError when it finds no directory for its cache."""
    njit = numba.njit

    def refuse(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    domain = DOMAINS[0]
    coefficients, points = random_coefficients(domain), points_of_all_kinds(domain)
    expected = _compiled.local_taylor(coefficients, points, domain, 0)
    with monkeypatch.context() as patch:
        patch.setattr(numba, "njit", refuse)
        _compiled._kernel.cache_clear()
        ours = _compiled.local_taylor(coefficients, points, domain, 0)
    _compiled._kernel.cache_clear()
    torch.testing.assert_close(ours[0, 0], expected[0, 0], rtol=0, atol=0)


# --- which path is taken ---------------------------------------------------------------


def total(image):
    return lambda points: image(points, 0.3).square().sum()


UNBATCHED = {
    "plain": lambda image, x: image(x, 0.3),
    "taylor": lambda image, x: image.taylor(x, 0.3, order=2)[(0,) * x.shape[1]],
    "grad": lambda image, x: grad(total(image))(x),
    "vjp": lambda image, x: vjp(total(image), x)[1](torch.ones((), dtype=x.dtype))[0],
    "jvp": lambda image, x: jvp(total(image), (x,), (torch.ones_like(x),))[1],
    "jacfwd": lambda image, x: jacfwd(total(image))(x),
    "hessian": lambda image, x: hessian(total(image))(x),
    "forward over forward": lambda image, x: jacfwd(jacfwd(total(image)))(x),
    "third": lambda image, x: jacfwd(jacrev(jacfwd(total(image))))(x[:2]),
    "theta a tensor": lambda image, x: image(x, torch.tensor(0.3, dtype=x.dtype)),
    "image made inside": lambda image, x: grad(
        lambda y: total(SplineImage(image.data, image.domain))(y)
    )(x),
    "autograd": lambda image, x: torch.autograd.grad(
        total(image)(y := x.clone().requires_grad_()), y
    )[0],
}
BATCHED_OR_TRACED = {
    "vmap over points": lambda image, x: vmap(lambda y: image(y[None], 0.3)[0])(x),
    "vmap over grad": lambda image, x: vmap(grad(lambda y: image(y[None], 0.3)[0]))(x),
    "grad over vmap": lambda image, x: grad(
        lambda x: vmap(lambda y: image(y[None], 0.3)[0])(x).sum()
    )(x),
    "theta": lambda image, x: jacfwd(lambda t: image(x, t))(torch.tensor(0.3, dtype=x.dtype)),
    "theta and points": lambda image, x: jacfwd(lambda t: grad(lambda y: image(y, t).sum())(x))(
        torch.tensor(0.3, dtype=x.dtype)
    ),
    "vmap over theta": lambda image, x: vmap(lambda t: image(x, t))(
        torch.tensor([0.3, 0.4], dtype=x.dtype)
    ),
    "four derivatives": lambda image, x: jacfwd(jacfwd(jacfwd(jacfwd(total(image)))))(x[:1]),
    "data": lambda image, x: jacrev(lambda data: SplineImage(data, image.domain)(x, 0.3))(
        image.data
    ),
    "data by autograd": lambda image, x: torch.autograd.grad(
        SplineImage(data := image.data.clone().requires_grad_(), image.domain)(x, 0.3).sum(), data
    )[0],
    "grad over points, autograd over data": lambda image, x: torch.autograd.grad(
        grad(total(SplineImage(data := image.data.clone().requires_grad_(), image.domain)))(
            x
        ).sum(),
        data,
    )[0],
}
CASES = [
    *(pytest.param(f, "compiled", id=name) for name, f in UNBATCHED.items()),
    *(pytest.param(f, "torch", id=name) for name, f in BATCHED_OR_TRACED.items()),
]


@pytest.mark.parametrize("function, path", CASES)
@by_dim
def test_path_taken_and_result(domain, function, path, taken, on_torch):
    image = SplineImage(random_coefficients(domain), domain)
    points = domain.cell_centers()[7:12] * 1.01
    ours = function(image, points)
    assert taken and set(taken) == {path}
    assert not torch._C._functorch.is_functorch_wrapped_tensor(ours)
    taken.clear()
    expected = on_torch(function, SplineImage(image.data, domain), points)
    assert set(taken) == {"torch"}
    assert expected.abs().max() > 0
    atol = 1e-12 * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(ours, expected, rtol=0, atol=atol)


def test_program_that_is_recorded_takes_the_torch_path(taken):
    domain = DOMAINS[0]
    image = SplineImage(random_coefficients(domain), domain)
    points = domain.cell_centers()
    program = make_fx(image)(points)
    assert taken == ["torch"]
    torch.testing.assert_close(program(points + 0.1), image(points + 0.1), rtol=0, atol=1e-12)


def test_one_axis_and_few_cells_take_the_torch_path(taken):
    line = Domain((0, 9), (9,))
    SplineImage(random_coefficients(line), line)(line.cell_centers())
    thin = Domain((0, 9, 0, 3), (9, 3))
    _kernels.local_taylor(random_coefficients(thin), thin.cell_centers(), thin, 1)
    assert taken == ["torch", "torch"]


def test_coefficients_are_kept_when_first_needed_inside_a_transform():
    domain = DOMAINS[0]
    image = SplineImage(random_coefficients(domain), domain)
    grad(total(image))(domain.cell_centers())
    kept = image._coefficients._kept
    assert kept[0] == 0.3 and not torch._C._functorch.is_functorch_wrapped_tensor(kept[1])
    total(image)(domain.cell_centers())
    assert image._coefficients._kept is kept


def test_recorded_data_stay_differentiable_after_a_call_that_records_nothing():
    domain = DOMAINS[0]
    data = random_coefficients(domain).requires_grad_()
    image = SplineImage(data, domain)
    with torch.no_grad():
        total(image)(domain.cell_centers())
    total(image)(domain.cell_centers()).backward()
    assert data.grad.abs().max() > 0


# --- the stencil of each point ---------------------------------------------------------


@by_dim
def test_stencil_gives_scipys_value_and_slopes(domain):
    """Also at knots, and off the box, where coefficients count as zero."""
    coefficients, points = random_coefficients(domain), points_of_all_kinds(domain)[:-8]
    index, weights = _kernels.stencil(points, domain)
    assert index.shape == (4**domain.dim, len(points)) and index.dtype == torch.long
    assert weights.shape == (1 + domain.dim, *index.shape)
    assert index.min() >= 0 and index.max() < coefficients.numel()
    ours = (weights * coefficients.flatten()[index]).sum(1)
    pad = 12
    knots = tuple(np.arange(-2.0 - pad, m + pad + 2) for m in domain.m)
    spline = scipy.interpolate.NdBSpline(knots, np.pad(coefficients.numpy(), pad), 3)
    u = (points.numpy() - domain.lower) / domain.h - 0.5
    for k, values in enumerate(ours.numpy()):
        nu = [int(axis == k - 1) for axis in range(domain.dim)]
        scale = 6.0**domain.dim / (domain.h[k - 1] if k else 1.0)
        np.testing.assert_allclose(values, scale * spline(u, nu=nu), atol=1e-10)


@by_dim
def test_stencil_far_away_weighs_nothing(domain):
    far = points_of_all_kinds(domain)[-8:]
    index, weights = _kernels.stencil(far, domain)
    assert index.min() >= 0 and index.max() < np.prod(domain.m)
    assert weights.abs().max() == 0


def test_stencil_in_single_precision():
    unit = Domain((0.0, 6.0, 0.0, 9.0), (6, 9))
    points = ((points_of_all_kinds(unit) * 1024).round() / 1024)[:-8]
    index, weights = _kernels.stencil(points.float(), unit)
    expected_index, expected = _kernels.stencil(points, unit)
    assert torch.equal(index, expected_index) and weights.dtype == torch.float32
    torch.testing.assert_close(weights.double(), expected, rtol=0, atol=1e-4)
