"""The path over scales: predictions by finite differences, and how it ends."""

import numpy as np
import pytest
import torch

from problems import pair_problem, two_blobs
from regtools.registration import (
    Affine,
    Prediction,
    Tikhonov,
    gradient,
    hessian,
    newton,
    predictor_corrector,
)
from regtools.solvers import Status

THETAS = [10.0, 3.0, 1.0, 0.3]


@pytest.mark.parametrize("predictor", ["newton", "gauss-newton", None])
@pytest.mark.parametrize("corrector", ["newton", "gauss-newton"])
def test_every_combination_reaches_the_minimum_of_the_last_scale(corrector, predictor):
    problem = two_blobs()
    w0 = problem.transform.identity()
    path = predictor_corrector(problem, THETAS, w0, corrector=corrector, predictor=predictor)
    assert path.success and len(path.steps) == 4
    alone = newton(problem, THETAS[-1], w0)
    torch.testing.assert_close(path.w, alone.w, rtol=0, atol=1e-4)
    used = {step.prediction for step in path.steps[1:]}
    assert used == {Prediction.USED if predictor else Prediction.OFF}


def test_prediction_is_the_euler_step_by_finite_differences():
    """dw*/dtheta measured by minimising at two nearby scales, not by any formula."""
    problem = two_blobs()
    w0, theta, eps = problem.transform.identity(), 3.0, 1e-3
    ahead, behind = (newton(problem, theta + sign * eps, w0, gtol=1e-13).w for sign in (1, -1))
    velocity = (ahead - behind) / (2 * eps)
    path = predictor_corrector(problem, [theta, 2.5], w0, gtol=1e-13)
    expected = path.steps[0].w - 0.5 * velocity
    step = path.steps[1]
    error = (step.w_predicted - expected).norm() / (0.5 * velocity).norm()
    assert error < 1e-4
    assert (step.w_predicted - step.w).norm() < (step.w_start - step.w).norm()


def test_steps_record_loss_and_gradient_at_the_new_theta():
    problem = two_blobs()
    path = predictor_corrector(problem, THETAS, problem.transform.identity())
    for before, step in zip(path.steps, path.steps[1:], strict=False):
        assert torch.equal(step.w_start, before.w)
        for w, loss, norm in [
            (step.w_start, step.loss_start, step.gradient_norm_start),
            (step.w_predicted, step.loss_predicted, step.gradient_norm_predicted),
            (step.w, step.loss, step.gradient_norm),
        ]:
            assert loss == pytest.approx(float(problem.loss(w, step.theta)))
            slope = float(problem.scaled(gradient(problem, w, step.theta)).norm())
            assert norm == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_an_indefinite_hessian_skips_the_prediction():
    """Stop the corrector after one step, far from the minimum, where the Hessian is indefinite."""
    problem = pair_problem("hands-phantom")
    w0 = problem.transform.identity()
    path = predictor_corrector(problem, [1.0, 0.5], w0, max_iter=1)
    first, second = path.steps
    assert torch.linalg.eigvalsh(hessian(problem, first.w, 1.0))[0] < 0
    assert second.prediction is Prediction.INDEFINITE
    assert torch.equal(second.w_predicted, second.w_start)
    assert not path.success and path.status is Status.MAX_ITERATIONS


def test_single_scale_fails_and_the_path_does_not():
    problem = pair_problem("hands-phantom")
    w0 = problem.transform.identity()
    path = predictor_corrector(problem, np.logspace(3, -3, 30), w0)
    alone = newton(problem, 1e-3, w0)
    assert path.success and alone.success
    assert alone.loss > 2.5 * path.steps[-1].loss
    # The hand was turned by 155 degrees: the path finds the turn, to the spread of the fingers.
    matrix = path.w[:4].reshape(2, 2).numpy()
    u, _, vt = np.linalg.svd(matrix)
    angle = np.degrees(np.arctan2((u @ vt)[1, 0], (u @ vt)[0, 0]))
    assert abs(abs(angle) - 155) < 25


def test_ctrl_c_returns_the_path_so_far():
    problem = two_blobs()
    seen = []

    def interrupt(step):
        seen.append(step.theta)
        if len(seen) == 2:
            raise KeyboardInterrupt

    path = predictor_corrector(problem, THETAS, problem.transform.identity(), callback=interrupt)
    assert path.status is Status.STOPPED and not path.success
    assert len(path.steps) == 2 and torch.equal(path.w, path.steps[-1].w)
    assert "2 of 4 scales" in path.message


def test_no_overlap_ends_the_path_and_says_so():
    problem = two_blobs()
    w0 = problem.transform.identity()
    w0[4] = 1e3
    path = predictor_corrector(problem, THETAS, w0)
    assert path.status is Status.NO_OVERLAP and len(path.steps) == 1
    assert "does not meet the reference" in path.message


def test_regulariser_is_followed_too():
    transform = Affine(2)
    problem = two_blobs(transform, regularizer=Tikhonov(transform.identity()), lam=5.0)
    path = predictor_corrector(problem, THETAS, transform.identity())
    free = predictor_corrector(two_blobs(transform), THETAS, transform.identity())
    pull = lambda w: float((w - transform.identity()).norm())  # noqa: E731
    assert path.success and 0 < pull(path.w) < 0.9 * pull(free.w)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"thetas": []}, ValueError, "thetas must hold at least one scale"),
        ({"thetas": [1.0, 1.0]}, ValueError, "thetas must strictly decrease; got 1.0 then 1.0"),
        ({"thetas": [1.0, np.nan]}, ValueError, "thetas must be finite .* nan at index 1"),
        ({"thetas": [1.0, -1.0]}, ValueError, "thetas must be finite and at least 0; got -1.0"),
        ({"thetas": 3.0}, TypeError, "thetas must be a sequence of numbers; got 3.0"),
        ({"w0": torch.zeros(7).double()}, ValueError, r"w0 must have shape \(6,\)"),
        ({"corrector": "bfgs"}, ValueError, "corrector must be one of .* got 'bfgs'"),
        ({"predictor": "bfgs"}, ValueError, "predictor must be one of .* got 'bfgs'"),
    ],
)
def test_bad_input_is_named(change, error, words):
    arguments = {"thetas": THETAS, "w0": Affine(2).identity(), **change}
    with pytest.raises(error, match=words):
        predictor_corrector(two_blobs(), **arguments)
