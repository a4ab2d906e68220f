"""How variable projection ends, its dtype and memory, bad input."""

import itertools
import math
import re

import pytest
import torch

import dense_frames
from dense_frames import DOMAIN, small_problem
from frame_problems import PROBLEM, W0, reduced_loss, run
from regtools import Kaufman, load, simulated_problem
from regtools.solvers import Status, conjugate_gradient
from regtools.superresolution import SuperResolutionProblem, joint_gauss_newton, varpro
from regtools.superresolution import reduced as module
from regtools.superresolution._tasks import Step, WithJacobian


def test_too_few_steps_is_said():
    result = varpro(PROBLEM, W0, max_iter=2)
    assert not result.success and result.status is Status.MAX_ITERATIONS and result.n_iter == 2
    assert module.ADVICE[Status.MAX_ITERATIONS] in result.message
    assert result.gradient_norm > result.gradient_tolerance


def test_no_further_decrease_is_said():
    result = varpro(PROBLEM, run().w, gtol=1e-15, max_iter=200)
    assert not result.success and result.status is Status.SMALL_STEP
    assert module.ADVICE[Status.SMALL_STEP] in result.message
    assert "If the images are rough, raise n_iter_cg" in result.message


def test_start_at_the_minimum_needs_no_step():
    best = run().w
    result = varpro(PROBLEM, best, gtol=1e-5)
    assert result.success and result.n_iter == 0 and torch.equal(result.w, best)


@pytest.mark.parametrize("solve", [varpro, joint_gauss_newton])
def test_ctrl_c_in_the_callback_returns_the_best_so_far(solve):
    def interrupt(state):
        if state.iteration == 2:
            raise KeyboardInterrupt

    result = solve(PROBLEM, W0, callback=interrupt)
    assert result.status is Status.STOPPED and not result.success
    assert result.n_iter == 2 and len(result.history) == 3
    assert result.loss == result.history[-1].loss < result.history[0].loss
    assert torch.equal(result.w, result.history[-1].w)
    best = dense_frames.projection(PROBLEM, result.w).reshape(DOMAIN.m)
    torch.testing.assert_close(result.image, best, rtol=0, atol=1e-6 * float(best.abs().max()))


def test_ctrl_c_while_a_step_is_computed_returns_the_best_so_far(monkeypatch):
    calls = itertools.count()

    def later(*arguments, **options):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return conjugate_gradient(*arguments, **options)

    monkeypatch.setattr("regtools.superresolution.problem.conjugate_gradient", later)
    result = varpro(PROBLEM, W0)
    assert result.status is Status.STOPPED and 0 < result.n_iter < 8
    assert result.loss < reduced_loss(W0)


def test_ctrl_c_before_the_first_image_is_passed_on(monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("regtools.superresolution.problem.conjugate_gradient", interrupt)
    with pytest.raises(KeyboardInterrupt):
        varpro(PROBLEM, W0)


@pytest.mark.parametrize(("fix_first", "frame"), [(True, 2), (False, 1)])
def test_a_frame_outside_the_box_is_named(fix_first, frame):
    problem = small_problem(fix_first=fix_first)
    w0 = problem.identity()
    w0[6 + 4] = 1e3  # the second block
    result = varpro(problem, w0)
    assert result.status is Status.NO_OVERLAP and not result.success and result.n_iter == 0
    assert torch.equal(result.w, w0)
    assert f"Frames [{frame}] lie outside the box" in result.message
    assert "register_frames" in result.message


@pytest.mark.parametrize("wrong", [1e3, math.nan, math.inf])
def test_a_step_out_of_the_box_or_to_nowhere_is_refused(monkeypatch, wrong):
    step = WithJacobian.step
    calls = itertools.count()

    def sometimes_wrong(self, point, model, gamma):
        right = step(self, point, model, gamma)
        shift = torch.zeros(12).double()
        shift[4] = wrong if next(calls) % 2 == 0 else 0.0
        return Step(right.dw + shift, right.image, right.predicted)

    monkeypatch.setattr(WithJacobian, "step", sometimes_wrong)
    result = varpro(PROBLEM, W0, max_iter=3)
    assert result.n_iter == 3 and result.n_evaluations == 4 and next(calls) == 6
    assert all((PROBLEM.overlap(state.w) > 0.5).all() for state in result.history)
    ratios = [b.damping / a.damping for a, b in itertools.pairwise(result.history[1:])]
    assert all(0.666 <= ratio <= 2.001 for ratio in ratios)  # doubled once, then 1/3 to 1


def test_black_frames_have_a_black_image():
    problem = SuperResolutionProblem(torch.zeros(3, 4, 6).double(), DOMAIN, 2, 0.05)
    result = varpro(problem, W0)
    assert result.success and result.n_iter == 0 and result.loss == 0
    assert result.image.abs().max() == 0


def test_one_constant_frame_is_no_reason_to_fail():
    frames = PROBLEM.frames.clone()
    frames[2] = 30.0
    result = varpro(SuperResolutionProblem(frames, DOMAIN, 2, 0.05), W0, max_iter=5)
    losses = [state.loss for state in result.history]
    assert all(b < a for a, b in itertools.pairwise(losses)) and len(losses) > 1


# --- dtype and memory ------------------------------------------------------------------


@pytest.mark.parametrize("derivative", ["implicit", "kaufman", "unrolled", "none"])
def test_float32_follows_the_frames(derivative):
    problem = SuperResolutionProblem(PROBLEM.frames.float(), DOMAIN, 2, 0.05)
    result = varpro(problem, W0.float(), derivative, max_iter=3, tol_cg=1e-4)
    exact = run(derivative, max_iter=3)
    assert result.w.dtype == result.image.dtype == torch.float32
    assert result.loss == pytest.approx(exact.loss, rel=1e-2)
    by_default = varpro(problem, W0.float(), derivative, max_iter=1)  # tol_cg below rounding
    assert math.isfinite(by_default.loss) and by_default.loss < result.history[0].loss


def test_float32_ends_by_itself():
    problem = SuperResolutionProblem(PROBLEM.frames.float(), DOMAIN, 2, 0.05)
    result = varpro(problem, W0.float(), max_iter=60, tol_cg=1e-5)
    assert result.status in (Status.SMALL_STEP, Status.CONVERGED)
    assert result.loss == pytest.approx(run().loss, rel=1e-3)


def test_a_final_image_that_cg_does_not_reach_is_announced():
    problem = SuperResolutionProblem(PROBLEM.frames.float(), DOMAIN, 2, 1e-8)
    result = varpro(problem, W0.float(), n_iter_cg=5, max_iter=1)
    assert "The image is not accurate: lam = 1e-08 is lost in rounding" in result.message


def test_the_start_stays_as_it_was():
    w0 = W0.clone()
    result = varpro(PROBLEM, w0, max_iter=2)
    assert torch.equal(w0, W0) and result.history[0].w is not w0


# --- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w0": W0.float()}, TypeError, "w0 must be a tensor of dtype torch.float64; got"),
        ({"w0": W0.numpy()}, TypeError, "w0 must be a tensor .* got ndarray"),
        ({"w0": W0[:6]}, ValueError, r"w0 must have shape \(12,\), 2 blocks of 6; got \(6,\)"),
        ({"w0": W0 * math.nan}, ValueError, "w0 must be finite"),
        ({"derivative": "full"}, ValueError, "derivative must be one of .* got 'full'"),
        ({"n_iter_cg": 0}, ValueError, "n_iter_cg must be a whole number from 1, or None; got 0"),
        ({"n_iter_cg": 0.5}, ValueError, "n_iter_cg must be a whole number .* got 0.5"),
        ({"rows": "all"}, ValueError, re.escape("rows must be one of ['stacked', 'data']; got")),
        ({"max_iter": 0}, ValueError, "max_iter must be a whole number from 1; got 0"),
        ({"max_iter": 2.5}, ValueError, "max_iter must be a whole number from 1; got 2.5"),
        ({"gtol": 0.0}, ValueError, "gtol must be finite and above 0; got 0.0"),
        ({"gtol": math.nan}, ValueError, "gtol must be finite and above 0; got nan"),
        ({"tol_cg": -1.0}, ValueError, "tol_cg must be finite and above 0; got -1.0"),
        ({"tol_cg": lambda state: 0.0}, ValueError, "tol_cg must be finite and above 0; got 0.0"),
        ({"damping": 0.0}, ValueError, "damping must be finite and above 0; got 0.0"),
    ],
)
def test_bad_input_is_named(change, error, words):
    arguments = {"w0": W0, **change}
    with pytest.raises(error, match=words):
        varpro(PROBLEM, **arguments)


@pytest.mark.parametrize("one_solve", [False, True], ids=["columns", "one solve"])
@pytest.mark.parametrize("tol_cg", [1e-4, 1e-6])
def test_converged_is_true_of_a_better_image(one_solve, tol_cg):
    """A rough image and a capped derivative hide a gradient; success wants it small."""
    lam = 1e-2 * load("microaneurysms", 20).domain.h[0]
    known = simulated_problem("microaneurysms", 20, lam=lam)
    rule, how = Kaufman(n_iter=50), {"tol_cg": tol_cg, "one_solve": one_solve}
    run = varpro(known.problem, known.w0, rule, **how)
    assert run.success
    # The exact gradient, in the scale in which the run is solved.
    exact = varpro(known.problem, run.w, "implicit", tol_cg=1e-11, max_iter=1).history[0]
    assert exact.gradient_norm < 1.5 * run.gradient_tolerance


def test_history_says_how_accurate_each_image_is():
    known = simulated_problem("hands-phantom", 12)
    task, tol = known.problem, 1e-5
    counted = varpro(task, known.w0, "unrolled", n_iter_cg=3, max_iter=2)
    for state in counted.history:
        operator, image = task.operator(state.w), task.reconstruct(state.w, 3)
        left = operator.adjoint(operator(image) - task.target).norm()
        expected = float(left / operator.adjoint(task.target).norm())
        assert state.image_residual == pytest.approx(expected, rel=1e-9) and expected > tol
    bounded = varpro(task, known.w0, tol_cg=tol, max_iter=3)
    assert all(0 < state.image_residual <= tol for state in bounded.history)
    black = SuperResolutionProblem(0 * task.frames, known.domain, 2, 1.0)
    assert varpro(black, known.w0, max_iter=1).history[0].image_residual == 0
