"""A step to where a map is not defined is shortened; a callback may stop every solver."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch

from problems import LogShift, two_blobs
from regtools import (
    Affine,
    Status,
    gradient,
    joint_gauss_newton,
    levenberg_marquardt,
    newton,
    predictor_corrector,
    register,
    register_frames,
    simulated_problem,
    super_resolve,
    varpro,
)
from regtools.registration import Prediction

THETA = 0.5
each_solver = pytest.mark.parametrize("solve", [newton, levenberg_marquardt])


def lowest(problem):
    """The best shift, by SciPy and without a derivative, in log w."""

    def loss(shift):
        return float(problem.loss(torch.tensor(shift).exp(), THETA))

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 1000}
    return scipy.optimize.minimize(loss, [-0.2, -0.3], method="Nelder-Mead", options=options)


@each_solver
@pytest.mark.parametrize("w0", [(1.0, 1.0), (2.0, 2.0), (0.2, 3.0), (2.0, 0.5), (0.1, 0.1)])
def test_a_step_to_where_the_map_is_not_defined_is_shortened(solve, w0):
    problem = two_blobs(LogShift())
    met = []

    class Watched(LogShift):
        def __call__(self, w, x):
            met.append(bool((w <= 0).any()))
            return super().__call__(w, x)

    problem.transform = Watched()
    start = torch.tensor(w0, dtype=torch.float64)
    result = solve(problem, THETA, start)
    assert torch.isfinite(result.w).all() and result.loss <= float(problem.loss(start, THETA))
    assert result.status in (Status.CONVERGED, Status.NOT_FINITE)
    if solve is newton and w0 == (2.0, 2.0):
        assert any(met), "the case must meet what it is about"
        best = lowest(problem)
        assert result.success and result.loss == pytest.approx(best.fun, rel=1e-9)


@each_solver
def test_a_wall_in_the_way_ends_with_not_finite(solve):
    class Walled(Affine):
        def __call__(self, w, x):
            return super().__call__(w, x) + torch.where(w[5] < -0.1, torch.nan, 0.0)

    problem = two_blobs(Walled(2))
    result = solve(problem, THETA, problem.identity())
    assert result.status is Status.NOT_FINITE and "stopped being finite" in result.message
    assert -0.1 <= result.w[5] < -0.05, "the steps have gone on up to the wall"
    assert math.isfinite(result.loss) and torch.isfinite(result.hessian).all()


@each_solver
def test_a_start_where_the_map_is_not_defined_is_named(solve):
    with pytest.raises(ValueError, match="not finite at w0"):
        solve(two_blobs(LogShift()), THETA, torch.tensor([-1.0, 1.0]).double())


def test_a_function_of_w_names_w():
    problem, w = two_blobs(LogShift()), torch.tensor([-1.0, 1.0]).double()
    for function in (problem.loss, lambda w, theta: gradient(problem, w, theta)):
        with pytest.raises(ValueError, match=r"w must be where the map is defined: .* LogShift"):
            function(w, THETA)


def test_a_prediction_to_where_the_map_is_not_defined_is_left_out():
    class Ends(Affine):
        limit = -math.inf

        def __call__(self, w, x):
            return super().__call__(w, x) + torch.where(w[5] < self.limit, torch.nan, 0.0)

    transform, thetas = Ends(2), [10.0, 0.1]
    problem = two_blobs(transform)
    free = predictor_corrector(problem, thetas, problem.identity())
    first, second = free.steps
    assert second.prediction is Prediction.USED
    wall = float(first.w[5] + second.w_predicted[5]) / 2
    assert wall < first.w[5], "the case must go downwards"
    transform.limit = wall
    found = predictor_corrector(problem, thetas, problem.identity())
    assert found.steps[1].prediction is Prediction.NOT_FINITE
    assert torch.equal(found.steps[1].w_predicted, found.steps[1].w_start)


# --- a callback that stops ---------------------------------------------------------------

SMALL = simulated_problem("hands-phantom", 8, seeds=(2, 3))
W0 = SMALL.problem.identity()
PAIR = two_blobs()
START = PAIR.identity()
PICTURES = PAIR.template.data, PAIR.reference.data
SOLVERS = {
    "newton": (lambda stop: newton(PAIR, THETA, START, callback=stop), 2),
    "levenberg_marquardt": (lambda stop: levenberg_marquardt(PAIR, THETA, START, callback=stop), 2),
    "path": (lambda stop: predictor_corrector(PAIR, [9.0, 3.0, 1.0], START, callback=stop), 2),
    "register": (
        lambda stop: register(*PICTURES, start=["identity", START, START], callback=stop),
        2,
    ),
    "frames": (
        lambda stop: register_frames(SMALL.frames, SMALL.domain, thetas=[1.0], callback=stop),
        1,
    ),
    "varpro": (lambda stop: varpro(SMALL.problem, W0, callback=stop), 2),
    "joint": (lambda stop: joint_gauss_newton(SMALL.problem, W0, callback=stop), 2),
    "super_resolve": (
        lambda stop: super_resolve(SMALL.frames, 2, w0=W0, lam=1.0, callback=stop),
        1,
    ),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt])
def test_a_callback_stops_every_solver_alike(name, error):
    solve, after = SOLVERS[name]
    told = []

    def stop(state):
        told.append(state)
        if len(told) == after:
            raise error

    result = solve(stop)
    assert result.status is Status.STOPPED and not result.success
    assert len(told) == after
    assert torch.isfinite(result.w).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_other_errors_of_a_callback_come_out(name):
    def stop(state):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        SOLVERS[name][0](stop)


def test_an_iterator_that_ends_in_a_map_does_not_stop_a_solver():
    class Ends(Affine):
        calls = iter(np.zeros(4))

        def __call__(self, w, x):
            next(self.calls)
            return super().__call__(w, x)

    for solve in (newton, levenberg_marquardt):
        transform = Ends(2)
        transform.calls = iter(np.zeros(4))
        with pytest.raises((StopIteration, RuntimeError)):
            solve(two_blobs(transform), THETA, START)
