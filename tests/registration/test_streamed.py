"""The pass that streams the cells of an affine map, against the sums by blocks of points."""

import numpy as np
import pytest
import torch

from regtools.images import Domain, SplineImage, _numba, _taylor
from regtools.registration import (
    Affine,
    RegistrationProblem,
    Rigid,
    Tikhonov,
    Translation,
    chain,
    gradient,
    mixed_derivative,
    second_order_model,
)

MAPS = {
    "affine": lambda domain: Affine(domain.dim),
    "rigid": Rigid,
    "shift": lambda domain: Translation(domain.dim),
}
SURROUNDS = ("zero", "overlap", "masked")


def problem_of(m, surround, make, dtype=torch.float64):
    """Noise, on a box that is not at the origin; nothing about it is smooth or symmetric."""
    draw = np.random.default_rng(sum(m))
    omega = [end for k in range(len(m)) for end in (3.0 * k, 3.0 * k + 5 + k)]
    domain = Domain(omega, m)
    first, second, third, fourth = (torch.from_numpy(draw.random(m)).to(dtype) for _ in range(4))
    options = {"surround": "overlap"} if surround != "zero" else {}
    if surround == "masked":
        options |= {"template_mask": third, "reference_mask": fourth}
    transform = make(domain)
    images = SplineImage(first, domain), SplineImage(second, domain)
    regularizer = Tikhonov(0.1 + transform.identity(dtype))
    problem = RegistrationProblem(*images, transform, regularizer, 0.3, **options)
    w = transform.identity(dtype)
    return problem, w + 0.05 * torch.from_numpy(draw.standard_normal(len(w))).to(dtype)


@pytest.fixture
def by_blocks(monkeypatch):
    """A function that computes a model the other way, in small blocks."""

    def compute(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(_taylor, "COMPILED", False)
            patch.setattr(chain, "_BLOCK", 97)
            return second_order_model(*arguments)

    return compute


def assert_close(ours, other, rtol):
    assert ours.dtype == other.dtype and ours.shape == other.shape
    assert (ours - other).abs().max() <= rtol * other.abs().max()


@pytest.mark.parametrize("make", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("surround", SURROUNDS)
@pytest.mark.parametrize("m", [(40, 31), (9, 140), (20, 9, 13)])
def test_the_sums_are_those_by_blocks(m, surround, make, by_blocks):
    problem, w = problem_of(m, surround, make)
    for exact in (True, False):
        ours = second_order_model(problem, w, 2.0, exact)
        other = by_blocks(problem, w, 2.0, exact)
        assert_close(ours.loss, other.loss, 1e-13)
        assert_close(ours.gradient, other.gradient, 1e-12)
        assert_close(ours.gauss_newton, other.gauss_newton, 1e-12)
        if exact:
            assert_close(ours.hessian, other.hessian, 1e-12)
        else:
            assert ours.hessian is None
    assert_close(gradient(problem, w, 2.0), other.gradient, 1e-12)
    assert_close(ours.residual.square().sum() + problem.penalty(w), ours.loss, 1e-12)
    squares = 2 * ours.jacobian.T @ ours.jacobian
    stiffness = 2 * 0.3**2 * torch.eye(len(w), dtype=torch.float64)
    assert_close(squares + stiffness, ours.gauss_newton, 1e-12)


@pytest.mark.parametrize("make", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("surround", SURROUNDS)
@pytest.mark.parametrize("m", [(40, 31), (20, 9, 13)])
def test_the_mixed_derivative_is_the_one_by_the_chain_rule(m, surround, make, monkeypatch):
    problem, w = problem_of(m, surround, make)
    ours = mixed_derivative(problem, w, 2.0)
    monkeypatch.setattr(_taylor, "COMPILED", False)
    assert_close(ours, mixed_derivative(problem, w, 2.0), 1e-11)


@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_single_precision(surround):
    problem, w = problem_of((30, 25), surround, MAPS["affine"], torch.float32)
    other, v = problem_of((30, 25), surround, MAPS["affine"])
    ours, theirs = second_order_model(problem, w, 2.0), second_order_model(other, v, 2.0)
    assert ours.hessian.dtype == torch.float32
    assert_close(ours.gradient.double(), theirs.gradient, 1e-4)
    assert_close(ours.hessian.double(), theirs.hessian, 1e-4)


@pytest.mark.parametrize("m", [(600, 400), (60, 70, 50)])
def test_threads_change_no_bit(m, monkeypatch):
    problem, w = problem_of(m, "overlap", MAPS["affine"])
    expected = second_order_model(problem, w, 2.0)
    started, pool = [], _numba.ThreadPoolExecutor
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(_numba, "ThreadPoolExecutor", lambda n: started.append(n) or pool(n))
    ours = second_order_model(problem, w, 2.0)
    assert started == [3]
    assert torch.equal(ours.hessian, expected.hessian)
    assert torch.equal(ours.gradient, expected.gradient)


def test_far_from_the_box_and_across_its_border(by_blocks):
    """Every way a stencil can stick out, and points so far away that nothing is seen."""
    problem, w = problem_of((12, 9), "masked", MAPS["affine"])
    draw = np.random.default_rng(5)
    for size in (0.5, 3.0, 40.0):
        far = w + size * torch.from_numpy(draw.standard_normal(6))
        ours, other = second_order_model(problem, far, 0.1), by_blocks(problem, far, 0.1)
        assert_close(ours.loss, other.loss, 1e-12)
        assert_close(ours.hessian, other.hessian, 1e-11)


class Doubled(Affine):
    """A map of one's own that looks like an affine one."""

    def __call__(self, w, x):
        return super().__call__(w, x) + 1e-3 * x**2

    def jacobian(self, w, x):
        return super().jacobian(w, x)


def test_a_map_of_ones_own_is_asked(by_blocks):
    problem, w = problem_of((12, 9), "zero", lambda domain: Doubled(2))
    ours, other = second_order_model(problem, w, 1.0), by_blocks(problem, w, 1.0)
    assert_close(ours.loss, problem.loss(w, 1.0), 1e-13)
    assert_close(ours.hessian, other.hessian, 1e-12)


def test_what_is_looked_at_later_belongs_to_the_same_parameters():
    problem, w = problem_of((12, 9), "zero", MAPS["affine"])
    found = second_order_model(problem, w, 1.0)
    expected = problem.residual(w, 1.0)
    w += 1.0
    assert torch.equal(found.residual, expected)
    assert found.gauss_newton is found.gauss_newton


def test_no_array_over_the_points_is_formed(monkeypatch):
    problem, w = problem_of((30, 40), "overlap", MAPS["affine"])

    def refuse(*_):
        raise AssertionError("the points were asked for")

    monkeypatch.setattr(type(problem.domain), "cell_centers", refuse)
    second_order_model(problem, w, 1.0)
    assert "_points" not in vars(problem)
