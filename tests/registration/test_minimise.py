import itertools

import numpy as np
import pytest
import scipy.optimize
import torch

from problems import blob, near_identity, two_blobs
from regtools.registration import (
    Affine,
    NeuralODE,
    RegistrationProblem,
    Tikhonov,
    levenberg_marquardt,
    newton,
)
from regtools.registration.minimise import ADVICE
from regtools.solvers import Status

THETA = 0.3
each_solver = pytest.mark.parametrize("solve", [newton, levenberg_marquardt])


@each_solver
def test_finds_the_minimum_that_scipy_finds(solve):
    problem = two_blobs()
    w0 = problem.transform.identity()
    expected = scipy.optimize.least_squares(
        lambda w: problem.residual(torch.from_numpy(w), THETA).numpy(), w0.numpy(), xtol=1e-12
    )
    result = solve(problem, THETA, w0, gtol=1e-8)
    assert result.success and result.status is Status.CONVERGED
    np.testing.assert_allclose(result.w.numpy(), expected.x, atol=1e-5)
    assert result.loss == pytest.approx(2 * expected.cost, rel=1e-8)
    assert result.loss < 0.2 * float(problem.loss(w0, THETA))


@each_solver
def test_reports_both_sides_of_the_test_and_a_falling_history(solve):
    problem = two_blobs()
    seen = []
    result = solve(problem, THETA, problem.transform.identity(), callback=seen.append)
    assert result.gradient_norm <= result.gradient_tolerance
    assert f"{result.gradient_norm:.3e}" in result.message
    assert f"{result.gradient_tolerance:.3e}" in result.message
    losses = [state.loss for state in result.history]
    assert all(b < a for a, b in itertools.pairwise(losses))
    assert len(seen) == result.n_iter == len(losses) - 1
    assert result.n_evaluations < 3 * result.n_iter + 3  # each point once


@each_solver
def test_too_few_iterations_is_said(solve):
    problem = two_blobs()
    result = solve(problem, THETA, problem.transform.identity(), gtol=1e-12, max_iter=1)
    assert not result.success and result.status is Status.MAX_ITERATIONS
    assert ADVICE[Status.MAX_ITERATIONS] in result.message


@each_solver
def test_no_overlap_is_said(solve):
    problem = two_blobs()
    w0 = problem.transform.identity()
    w0[4] = 1e3
    result = solve(problem, THETA, w0)
    assert not result.success and result.status is Status.NO_OVERLAP
    assert torch.equal(result.w, w0) and "does not meet the reference" in result.message


@each_solver
def test_a_loss_that_becomes_infinite_ends_with_the_last_good_point(solve):
    transform = Affine(2)
    regularizer = lambda w: torch.where(w[5] < -0.3, torch.inf, 0.0) + 0 * w.sum()  # noqa: E731
    problem = two_blobs(transform, regularizer=regularizer, lam=1.0)
    result = solve(problem, THETA, transform.identity())
    assert not result.success and result.status is Status.NOT_FINITE
    assert torch.isfinite(result.w).all() and np.isfinite(result.loss)
    assert ADVICE[Status.NOT_FINITE] in result.message


@each_solver
def test_ctrl_c_returns_the_best_so_far(solve):
    problem = two_blobs()

    def interrupt(state):
        if state.iteration == 2:
            raise KeyboardInterrupt

    w0 = problem.transform.identity()
    result = solve(problem, THETA, w0, callback=interrupt, gtol=1e-12)
    assert result.status is Status.STOPPED and result.n_iter == 2
    assert result.loss < float(problem.loss(w0, THETA))


@each_solver
def test_regularised_flow_converges(solve):
    transform = NeuralODE(2, width=2)
    problem = two_blobs(transform, regularizer=Tikhonov(transform.identity()), lam=3.0)
    result = solve(problem, THETA, near_identity(transform, size=1e-3), gtol=1e-6)
    assert result.success, result.message


@each_solver
def test_start_at_the_minimum_needs_no_step(solve):
    image = blob((1.4, 1.2), (0.7, 1.0))
    problem = RegistrationProblem(image, image, Affine(2))
    result = solve(problem, THETA, problem.transform.identity())
    assert result.success and result.n_iter == 0 and result.loss < 1e-20


@each_solver
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w0": torch.zeros(5).double()}, ValueError, r"w0 must have shape \(6,\); got \(5,\)"),
        ({"w0": torch.zeros(6)}, TypeError, "w0 must be a tensor of dtype torch.float64"),
        ({"w0": np.zeros(6)}, TypeError, "w0 must be a tensor .* got ndarray"),
        ({"w0": torch.full((6,), np.nan).double()}, ValueError, "w0 must be finite"),
        ({"gtol": 0.0}, ValueError, "gtol must be finite and above 0; got 0.0"),
        ({"max_iter": 0}, ValueError, "max_iter must be a whole number from 1; got 0"),
        ({"theta": -1.0}, ValueError, "theta must be finite and at least 0"),
    ],
)
def test_bad_input_is_named(solve, change, error, words):
    arguments = {"theta": THETA, "w0": Affine(2).identity(), **change}
    with pytest.raises(error, match=words):
        solve(two_blobs(), **arguments)
