"""The choice of λ by cross-validation and by a known noise, against dense matrices."""

import numpy as np
import pytest
import torch

import dense_frames
from dense_frames import small_problem
from regtools import choose_lam


def exact_score(problem, w, lam):
    """The score by dense matrices: n ‖d − S d‖² / (n − tr S)², in grey values squared."""
    task = problem.replaced(lam=lam)
    A, d = dense_frames.matrix(task, w), dense_frames.target(task)
    used = dense_frames.target(task.replaced(frames=torch.ones_like(task.frames))) > 0
    S = A @ torch.linalg.solve(A.T @ A, A.T)
    S, d, n = S[used][:, used], d[used], int(used.sum())
    misfit = (d - S @ d).square().sum() / problem.data_weight**2
    return float(n * misfit / (n - S.trace()) ** 2), float(S.trace() / n)


@pytest.mark.parametrize("options", [{}, {"margin": 2, "weighted": True}], ids=["plain", "weights"])
def test_cross_validation_by_dense_matrices(options):
    problem = small_problem(noise=5.0, **options)
    w = dense_frames.true_maps()
    lam, trials = choose_lam(problem, w, n_probes=400, tol=1e-10)
    for trial in trials[:6]:
        score, freedom = exact_score(problem, w, trial.lam)
        assert trial.freedom == pytest.approx(freedom, abs=0.01)
        assert trial.score == pytest.approx(score, rel=0.05)
    grid = np.geomspace(lam / 8, 8 * lam, 25)
    least = min(exact_score(problem, w, one)[0] for one in grid)
    assert exact_score(problem, w, lam)[0] < 1.02 * least


def test_known_noise_decides():
    problem = small_problem(noise=5.0)
    lam, trials = choose_lam(problem, dense_frames.true_maps(), noise=5.0, tol=1e-8)
    chosen = next(trial for trial in trials if trial.lam == lam)
    assert chosen.misfit == pytest.approx(5.0, rel=0.02) and np.isnan(chosen.score)
