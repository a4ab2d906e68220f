"""What tests of super-resolution share."""

import pytest
import scipy.optimize
import torch

import dense_frames
from dense_frames import BOX, small_problem, start
from dense_rules import Dense
from frame_problems import PROBLEM, W0


@pytest.fixture(scope="module")
def scipys():
    """The minimiser that SciPy finds, from the same start, with its own Jacobian."""
    residual = lambda w: dense_frames.reduced_residual(PROBLEM, torch.from_numpy(w)).numpy()  # noqa: E731
    return scipy.optimize.least_squares(residual, W0.numpy(), xtol=1e-13, ftol=1e-13, gtol=1e-9)


PROBLEMS = {
    "first fixed": {},
    "first free": {"fix_first": False},
    "3D": {"domain": BOX, "q": 1},
}


@pytest.fixture(scope="module", params=PROBLEMS.values(), ids=PROBLEMS)
def dense(request):
    problem = small_problem(**request.param)
    return Dense(problem, start(problem))


@pytest.fixture(scope="module")
def dense_2d():
    problem = small_problem()
    return Dense(problem, start(problem))
