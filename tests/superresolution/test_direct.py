"""The direct solver: CG with a banded factor, against dense matrices and against plain CG."""

import numpy as np
import pytest
import torch

import dense_frames
from compare import close
from dense_frames import DOMAIN, small_problem, start
from frame_problems import FRAMES, W0, each_problem
from regtools.solvers import Status
from regtools.superresolution import (
    Implicit,
    Kaufman,
    SuperResolutionProblem,
    Unrolled,
    joint_gauss_newton,
    projection_jacobian,
    varpro,
)


@each_problem
def test_the_inverse_is_that_of_the_dense_normal_matrix(options):
    problem = small_problem(**options)
    w = start(problem)
    operator, A = problem.operator(w), dense_frames.matrix(problem, w)
    if problem.psf:
        with pytest.raises(ValueError, match='psf there is no short band: take solver="cg"'):
            _ = operator.inverse
        return
    right = np.random.default_rng(0).standard_normal((*problem.canvas.m, 2))
    expected = np.linalg.solve((A.T @ A).numpy(), right.reshape(-1, 2)).reshape(right.shape)
    close(operator.inverse(torch.from_numpy(right)), torch.from_numpy(expected), 1e-9)
    one = operator.inverse(torch.from_numpy(right[..., 0].copy()))
    close(one, torch.from_numpy(expected[..., 0]), 1e-9)


@pytest.mark.parametrize("rule", ["none", "kaufman", "implicit"])
def test_jacobians_are_those_of_cg(rule):
    problem = small_problem(lam=0.01)
    w = start(problem)
    ours = projection_jacobian(problem, w, rule, solver="direct")
    close(ours, projection_jacobian(problem, w, rule, tol_cg=1e-13), 1e-6)


@pytest.mark.parametrize("one_solve", [False, True])
def test_a_run_takes_the_steps_of_cg_in_few_iterations(one_solve):
    problem = SuperResolutionProblem(FRAMES, DOMAIN, 2, 0.01)
    how = {"max_iter": 6, "one_solve": one_solve}
    direct = varpro(problem, W0, "kaufman", solver="direct", **how)
    plain = varpro(problem, W0, "kaufman", tol_cg=1e-12, **how)
    close(direct.w, plain.w, 1e-5)
    close(direct.image, plain.image, 1e-5)
    steps = direct.n_evaluations
    most = steps * (2 + problem.n_params + 1) if one_solve else 4 * steps
    assert direct.n_iter_cg <= most < plain.n_iter_cg


def test_the_joint_method_and_a_rule_to_the_tolerance():
    problem = SuperResolutionProblem(FRAMES, DOMAIN, 2, 0.01)
    assert joint_gauss_newton(problem, W0, max_iter=2).n_iter == 2
    implicit = varpro(problem, W0, Implicit(), solver="direct", max_iter=2)
    assert implicit.status in (Status.MAX_ITERATIONS, Status.CONVERGED)


def test_another_lam_is_another_factor():
    problem = SuperResolutionProblem(FRAMES, DOMAIN, 2, 0.01)
    other, operator = problem.replaced(lam=1.0), problem.operator(W0)
    assert operator.inverse is operator.inverse
    smoothed = operator.smoothed(other.layout)
    found = other.solve(smoothed, preconditioner=smoothed.inverse)
    assert found.n_iter <= 2
    close(found.x, other.reconstruct(W0), 1e-7)


def test_single_precision():
    problem = SuperResolutionProblem(FRAMES.float(), DOMAIN, 2, 0.1)
    w = W0.float()
    operator = problem.operator(w)
    found = problem.solve(operator, tol=1e-5, preconditioner=operator.inverse)
    assert found.success and found.x.dtype == torch.float32 and found.n_iter <= 3
    close(found.x.double(), problem.reconstruct(w).double(), 1e-3)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (Unrolled(), {}),
        (Unrolled(last=0.5), {}),
        ("kaufman", {"n_iter_cg": 5}),
        (Kaufman(n_iter=5), {}),
    ],
)
def test_it_refuses_to_count_iterations(rule, options):
    problem = small_problem()
    with pytest.raises(ValueError, match='solver must be "cg" where its iterations are counted'):
        varpro(problem, start(problem), rule, solver="direct", **options)


def test_bad_names_and_singular_matrices():
    problem = small_problem()
    with pytest.raises(ValueError, match=r"solver must be one of \['cg', 'direct'\]; got 'lu'"):
        varpro(problem, start(problem), solver="lu")
    free = SuperResolutionProblem(FRAMES, DOMAIN, 2, 1e-12)
    with pytest.raises(ValueError, match="singular to rounding: raise lam, or take solver"):
        varpro(free, W0, solver="direct")


def test_a_factor_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("regtools.images._gram.LARGEST", 1000)
    with pytest.raises(ValueError, match="would need over 1 GiB"):
        varpro(SuperResolutionProblem(FRAMES, DOMAIN, 2, 1.0), W0, solver="direct")
