"""Variable projection against SciPy's least squares, dense steps and finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.func import jacfwd

import dense_frames
from dense_frames import BOX, DOMAIN, small_problem, start, true_maps
from frame_problems import PROBLEM, W0, reduced_loss, run
from regtools.solvers import Status
from regtools.superresolution import (
    Implicit,
    Kaufman,
    SuperResolutionProblem,
    projection_jacobian,
    simulate_frames,
    varpro,
)

SCALING = dense_frames.scaling(PROBLEM)


def slope(function, w, step=1e-5):
    """Central differences of a number."""
    shifts = step * torch.eye(len(w), dtype=w.dtype)
    return torch.tensor([(function(w + s) - function(w - s)) / (2 * step) for s in shifts]).double()


# --- where it ends ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "derivative",
    ["implicit", "kaufman", "unrolled", Implicit(30), Kaufman(30)],
    ids=str,
)
def test_finds_the_minimum_that_scipy_finds(derivative, scipys):
    result = run(derivative)
    assert result.success and result.status is Status.CONVERGED, result.message
    assert result.loss == pytest.approx(2 * scipys.cost, rel=1e-7)
    np.testing.assert_allclose(result.w.numpy(), scipys.x, atol=1e-4)
    best = dense_frames.projection(PROBLEM, result.w).reshape(DOMAIN.m)
    torch.testing.assert_close(result.image, best, rtol=0, atol=1e-6 * float(best.abs().max()))
    assert result.loss < 0.7 * reduced_loss(W0)


def test_without_derivative_it_is_slower_but_goes_to_the_same_place(scipys):
    none = run("none", max_iter=400, gtol=1e-7)
    assert none.success, none.message
    assert none.loss == pytest.approx(2 * scipys.cost, rel=1e-4)
    assert none.n_iter > 2 * run("implicit", gtol=1e-7).n_iter


def test_recovers_maps_and_image_of_frames_without_noise():
    w, image = true_maps(q=5), dense_frames.picture()
    frames = simulate_frames(image, DOMAIN, 2, w)
    problem = SuperResolutionProblem(frames, DOMAIN, 2, lam=1e-4)
    result = varpro(problem, start(problem), max_iter=30)
    assert (result.w - w).norm() < 0.01 < (start(problem) - w).norm()
    assert (result.image - image).norm() < 0.02 * image.norm()


def test_three_dimensions():
    problem = small_problem(domain=BOX, q=1)
    result = varpro(problem, start(problem), max_iter=5)
    expected = reduced_loss(result.w, problem)
    assert result.loss == pytest.approx(expected, rel=1e-6)
    assert result.loss < 0.9 * reduced_loss(start(problem), problem)


def test_first_frame_free_ends_lower():
    """Six parameters more, and the published rows: what is summed is the data alone."""
    problem = small_problem(fix_first=False)
    w0 = torch.cat([torch.tensor([1.0, 0, 0, 1, 0, 0]).double(), W0])
    fixed = run(rows="data", max_iter=6)
    free = varpro(problem, w0, rows="data", max_iter=6)
    assert free.loss < 0.99 * fixed.loss
    assert free.history[0].loss == pytest.approx(fixed.history[0].loss, rel=1e-7)


# --- gradient and history --------------------------------------------------------------


@pytest.mark.parametrize("derivative", ["implicit", "kaufman", "unrolled", "none"])
def test_stacked_gradient_by_finite_differences(derivative):
    """Also without any derivative of the projection: the image is the best one."""
    result = varpro(PROBLEM, W0, derivative, max_iter=1, tol_cg=1e-12)
    expected = slope(reduced_loss, W0)
    in_z = float((SCALING.T @ expected).norm())
    assert result.history[0].gradient_norm == pytest.approx(in_z, rel=1e-6)
    plain = varpro(PROBLEM, W0, derivative, max_iter=1, tol_cg=1e-12, scaled=False)
    assert plain.history[0].gradient_norm == pytest.approx(float(expected.norm()), rel=1e-6)
    r = dense_frames.reduced_residual(PROBLEM, W0)
    gradient = 2 * projection_jacobian(PROBLEM, W0, derivative, tol_cg=1e-12).T @ r
    assert (gradient - expected).norm() < 1e-6 * expected.norm()


def test_data_gradient_by_finite_differences():
    n = PROBLEM.n_data
    expected = float((SCALING.T @ slope(lambda w: reduced_loss(w, n=n), W0)).norm())
    with_it = varpro(PROBLEM, W0, "implicit", rows="data", max_iter=1, tol_cg=1e-12)
    assert with_it.history[0].gradient_norm == pytest.approx(expected, rel=1e-6)
    without = varpro(PROBLEM, W0, "none", rows="data", max_iter=1, tol_cg=1e-12)
    assert abs(without.history[0].gradient_norm - expected) > 0.02 * expected


@pytest.mark.parametrize("rows", ["stacked", "data"])
def test_history_tells_the_run(rows):
    seen = []
    result = varpro(PROBLEM, W0, rows=rows, callback=seen.append, max_iter=6)
    history = result.history
    assert seen == list(history[1:]) and len(seen) == result.n_iter == 6
    assert [state.iteration for state in history] == list(range(7))
    assert torch.equal(history[0].w, W0) and torch.equal(history[-1].w, result.w)
    n = PROBLEM.n_data if rows == "data" else None
    for state in history:
        assert state.loss == pytest.approx(reduced_loss(state.w, n=n), rel=1e-6)
    losses = [state.loss for state in history]
    assert all(b < a for a, b in itertools.pairwise(losses))
    assert math.isnan(history[0].damping) and all(state.damping > 0 for state in seen)
    for field in ("n_iter_cg", "n_evaluations"):
        counts = [getattr(state, field) for state in history]
        assert all(b > a > 0 for a, b in itertools.pairwise(counts))
    assert (result.loss, result.gradient_norm) == (history[-1].loss, history[-1].gradient_norm)
    assert result.n_evaluations == history[-1].n_evaluations >= 7


def test_history_holds_no_images():
    result = varpro(PROBLEM, W0, max_iter=2)
    for state in result.history:
        tensors = [value for value in vars(state).values() if torch.is_tensor(value)]
        assert [tuple(tensor.shape) for tensor in tensors] == [(12,)]


def test_both_sides_of_the_test_are_reported():
    result = run(gtol=1e-6)
    assert result.success and result.gradient_norm <= result.gradient_tolerance
    b = dense_frames.target(PROBLEM)
    assert result.gradient_tolerance == pytest.approx(1e-6 * float(b @ b), rel=1e-6)
    assert f"{result.gradient_norm:.3e}" in result.message
    assert f"{result.gradient_tolerance:.3e}" in result.message
    assert result.history[-2].gradient_norm > result.gradient_tolerance  # no step too many
    assert run().n_iter > result.n_iter and run().loss <= result.loss


def test_the_first_step_is_a_damped_gauss_newton_step():
    """With γ relative to the largest diagonal entry of JᵀJ, from the dense Jacobian."""
    in_w = jacfwd(lambda w: dense_frames.reduced_residual(PROBLEM, w))(W0)
    r, eye = dense_frames.reduced_residual(PROBLEM, W0), torch.eye(12).double()
    for damping, scaled in itertools.product((1e-3, 10.0), (True, False)):
        S = SCALING if scaled else eye
        J = in_w @ S
        gamma = damping * (J.T @ J).diagonal().max()
        step = S @ torch.linalg.solve(J.T @ J + gamma * eye, -J.T @ r)
        options = {"damping": damping, "max_iter": 1, "tol_cg": 1e-12, "scaled": scaled}
        result = varpro(PROBLEM, W0, **options)
        torch.testing.assert_close(result.w, W0 + step, rtol=0, atol=1e-7)
        assert result.history[1].damping == pytest.approx(damping)


def nielsen(one, two):
    """The factor to the damping after the step between two states."""
    J = jacfwd(lambda w: dense_frames.reduced_residual(PROBLEM, w))(one.w)
    r = dense_frames.reduced_residual(PROBLEM, one.w)
    promise = float(r @ r - (r + J @ (two.w - one.w)).square().sum())
    ratio = (one.loss - two.loss) / promise
    return max(1 / 3, 1 - (2 * ratio - 1) ** 3)


@pytest.mark.parametrize("seed", [3, 7])
def test_damping_follows_the_ratio_of_gain_and_promise(seed):
    """Nielsen's rule, with losses and models from dense algebra, from a start some way off."""
    result = varpro(PROBLEM, start(PROBLEM, size=0.15, seed=seed), max_iter=4, tol_cg=1e-12)
    states = result.history
    assert any(b.damping > 0.4 * a.damping for a, b in itertools.pairwise(states[1:]))
    assert result.n_evaluations == 5  # no step was refused, so that each γ follows from the last
    for one, two, three in zip(states, states[1:], states[2:], strict=False):
        assert three.damping == pytest.approx(nielsen(one, two) * two.damping, rel=1e-4)


def test_a_refused_step_is_tried_again_with_more_damping():
    """From far off, undamped steps go wrong; the loss never rises."""
    far = start(PROBLEM, size=0.5, seed=4)
    result = varpro(PROBLEM, far, damping=1e-8, max_iter=3, tol_cg=1e-12)
    states = result.history
    assert all(b.loss < a.loss for a, b in itertools.pairwise(states))
    assert result.n_evaluations > result.n_iter + 1
    raised = []
    for one, two, three in zip(states, states[1:], states[2:], strict=False):
        growth = math.log2(three.damping / (nielsen(one, two) * two.damping))
        assert growth == pytest.approx(round(growth), abs=1e-3)
        raised.append(round(growth))
    # After k refusals in a row 2 · 4 · 8 ⋯ 2ᵏ.
    assert max(raised) > 0 and set(raised) <= {k * (k + 1) // 2 for k in range(12)}


@pytest.mark.parametrize("derivative", ["kaufman", "implicit"])
def test_scaled_steps_find_the_same_minimum(derivative):
    """Scaling the parameters changes the way, not the end."""
    problem = small_problem(lam=0.3)
    w0 = start(problem)
    options = {"tol_cg": 1e-12, "max_iter": 300}
    plain = varpro(problem, w0, derivative, gtol=1e-8, scaled=False, **options)
    scaled = varpro(problem, w0, derivative, gtol=1e-8, **options)
    assert plain.success and scaled.success
    x = problem.points

    def places(found):
        return torch.cat([dense_frames.moved(x, block) for block in found.w.reshape(-1, 6)])

    torch.testing.assert_close(places(scaled), places(plain), rtol=0, atol=1e-5)
    assert scaled.loss <= plain.loss * (1 + 1e-8)
