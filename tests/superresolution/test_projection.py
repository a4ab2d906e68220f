"""The derivative of an exact projection by each rule, against dense formulas."""

import math

import numpy as np
import pytest
import torch
from torch.func import jacfwd

import dense_frames
from dense_frames import cg, normal_equations
from dense_rules import RULES, close, found
from regtools.superresolution import Implicit, Projection, Unrolled, projection_jacobian


def test_implicit_is_the_derivative_of_the_dense_solution(dense):
    problem = dense.problem
    image, df, jacobian = found(dense, "implicit", None)
    close(image, dense.f, 1e-9)
    close(df, jacfwd(lambda w: dense_frames.projection(problem, w))(dense.w), 1e-8)
    close(jacobian, jacfwd(lambda w: dense_frames.reduced_residual(problem, w))(dense.w), 1e-8)


def test_implicit_by_finite_differences(dense_2d):
    """The reduced residual itself, by NumPy's least squares, at w ± h e_k."""
    problem, w = dense_2d.problem, dense_2d.w

    def residual(w):
        A, b = dense_frames.matrix(problem, w).numpy(), dense_frames.target(problem).numpy()
        return A @ np.linalg.lstsq(A, b, rcond=None)[0] - b

    ours = projection_jacobian(problem, w)
    for k, step in enumerate(1e-5 * torch.eye(len(w), dtype=w.dtype)):
        slope = (residual(w + step) - residual(w - step)) / 2e-5
        close(ours[:, k], torch.from_numpy(slope), 1e-6)


@pytest.mark.parametrize(
    ("rule", "n_iter", "order"),
    [("implicit", None, 2), ("unrolled", 6, 2), ("kaufman", None, 1), ("none", None, 1)],
)
def test_taylor_slopes(dense_2d, rule, n_iter, order):
    """Remainders of the reduced residual fall with t² where the rule is exact, else with t."""
    problem, w = dense_2d.problem, dense_2d.w

    def residual(w):
        if n_iter is None:
            return dense_frames.reduced_residual(problem, w)
        image = cg(*normal_equations(problem, w), n_iter)
        return dense_frames.matrix(problem, w) @ image - dense_frames.target(problem)

    v = torch.from_numpy(np.random.default_rng(4).standard_normal(len(w)))
    slope = projection_jacobian(problem, w, rule, n_iter_cg=n_iter, tol_cg=1e-13) @ v
    steps = 2.0 ** -np.arange(8, 15)
    errors = [float((residual(w + t * v) - residual(w) - t * slope).norm()) for t in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)


def test_unrolled_to_convergence_is_the_same(dense):
    exact = jacfwd(lambda w: dense_frames.reduced_residual(dense.problem, w))(dense.w)
    close(found(dense, "unrolled", None)[2], exact, 1e-4)


def test_kaufman_is_d_projected_off_the_range(dense):
    A = dense.A
    off_range = torch.eye(len(A), dtype=A.dtype) - A @ torch.linalg.pinv(A)
    _, df, jacobian = found(dense, "kaufman", None)
    close(jacobian, off_range @ dense.D(dense.f), 1e-8)
    close(df, -torch.linalg.pinv(A) @ dense.D(dense.f), 1e-8)
    assert (A.T @ jacobian).abs().max() < 1e-8 * jacobian.abs().max()


def test_golub_and_pereyra(dense):
    """J = P⊥ D − (A†)ᵀ (∂A)ᵀ r: the formula of the text, and where the rules stand in it."""
    A, plus = dense.A, torch.linalg.pinv(dense.A)
    off_range = torch.eye(len(A), dtype=A.dtype) - A @ plus
    D, r = dense.D(dense.f), A @ dense.f - dense.b
    first = off_range @ D
    second = -plus.T @ torch.einsum("rnk,r->nk", dense.dA, r)
    exact = jacfwd(lambda w: dense_frames.reduced_residual(dense.problem, w))(dense.w)
    close(first + second, exact, 1e-9)
    close(found(dense, "implicit", None)[2], first + second, 1e-8)
    close(found(dense, "kaufman", None)[2], first, 1e-8)
    close(found(dense, "none", None)[2], D, 1e-8)
    assert second.norm() > 1e-3 * exact.norm() and (D - first).norm() > 0.1 * exact.norm()


def test_stacked_gradient_does_not_depend_on_the_rule(dense):
    """The envelope theorem: at the best image 2 Jᵀr is the gradient, whatever ∂f/∂w is."""
    r = dense.A @ dense.f - dense.b
    loss = lambda w: dense_frames.reduced_residual(dense.problem, w).square().sum()  # noqa: E731
    exact = jacfwd(loss)(dense.w)
    for rule in ("implicit", "kaufman", "none", Implicit(3), Unrolled()):
        close(2 * found(dense, rule, None)[2].T @ r, exact, 1e-7)


def test_data_gradient_needs_the_derivative_of_the_projection(dense):
    n = dense.problem.n_data
    r = (dense.A @ dense.f - dense.b)[:n]
    loss = lambda w: dense_frames.reduced_residual(dense.problem, w)[:n].square().sum()  # noqa: E731
    exact = jacfwd(loss)(dense.w)
    gradient = lambda rule: 2 * found(dense, rule, None)[2][:n].T @ r  # noqa: E731
    close(gradient("implicit"), exact, 1e-7)
    assert (gradient("none") - exact).norm() > 0.05 * exact.norm()


def test_the_tolerance_counts(dense_2d):
    exact = projection_jacobian(dense_2d.problem, dense_2d.w, tol_cg=1e-13)
    errors = [
        float((projection_jacobian(dense_2d.problem, dense_2d.w, tol_cg=tol) - exact).norm())
        for tol in (1e-2, 1e-5, 1e-8)
    ]
    assert errors[0] > 100 * errors[1] > 1e4 * errors[2] > 0


def test_starting_image_serves_a_run_to_the_tolerance_only(dense_2d):
    operator = dense_2d.problem.operator(dense_2d.w)
    near = dense_2d.f.reshape(dense_2d.problem.domain.m) + 1e-5
    for rule in ("none", "kaufman", "implicit"):
        warm = Projection(dense_2d.problem, rule, n_iter=None, tol=1e-6).project(operator, near)
        cold = Projection(dense_2d.problem, rule, n_iter=None, tol=1e-6).project(operator)
        assert warm.n_iter < cold.n_iter
    for rule, n_iter in [("unrolled", None), ("unrolled", 5), ("implicit", 5)]:
        projection = Projection(dense_2d.problem, rule, n_iter=n_iter, tol=1e-6)
        given, black = projection.project(operator, near), projection.project(operator)
        assert torch.equal(given.image, black.image)


# --- dtype, memory, bad input ----------------------------------------------------------


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_float32_follows_the_frames(dense_2d, rule):
    exact = dense_2d.problem
    single = type(exact)(exact.frames.float(), exact.domain, exact.factor, exact.lam)
    ours = projection_jacobian(single, dense_2d.w.float(), rule, n_iter_cg=6)
    assert ours.dtype == torch.float32
    close(ours.double(), projection_jacobian(exact, dense_2d.w, rule, n_iter_cg=6), 1e-3)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"derivative": "golub"},
            ValueError,
            "derivative must be one of .*'implicit'.* got 'golub'",
        ),
        ({"derivative": None}, ValueError, "derivative must be one of .* got None"),
        ({"derivative": Unrolled}, ValueError, "derivative must be one of .* got <class"),
        ({"derivative": 0.7}, ValueError, "derivative must be one of .* got 0.7"),
        ({"n_iter_cg": 0}, ValueError, "n_iter_cg must be a whole number from 1, or None; got 0"),
        ({"n_iter_cg": 1.5}, ValueError, "n_iter_cg must be a whole number .* got 1.5"),
        ({"tol_cg": 0.0}, ValueError, "tol_cg must be finite and above 0; got 0.0"),
        ({"image0": "black"}, ValueError, "image0 must be an image or \"frame 0\"; got 'black'"),
        ({"image0": torch.zeros(3, 3).double()}, ValueError, "image0 must have shape"),
        ({"image0": 0.0}, TypeError, "image0 must be a tensor of dtype torch.float64; got float"),
        ({"tol_cg": math.nan}, ValueError, "tol_cg must be finite and above 0; got nan"),
        ({"w": torch.zeros(5).double()}, ValueError, r"w must have shape \(12,\)"),
        ({"w": torch.zeros(12)}, TypeError, "w must be a tensor of dtype torch.float64"),
    ],
)
def test_bad_input_is_named(dense_2d, change, error, words):
    arguments = {"w": dense_2d.w, **change}
    with pytest.raises(error, match=words):
        projection_jacobian(dense_2d.problem, **arguments)
