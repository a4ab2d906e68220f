"""What all results share, and what each says when it was no success."""

import numpy as np
import pytest
import torch

from dense_frames import DOMAIN, small_problem, start
from problems import two_blobs
from regtools import (
    Status,
    conjugate_gradient,
    differentiate_cg,
    newton,
    predictor_corrector,
    register,
    register_frames,
    second_order_model,
    varpro,
)
from regtools.images import Domain, load
from regtools.registration import State, Step
from regtools.solvers import SolverResult
from regtools.superresolution import VarProState

EYE = torch.eye(3, dtype=torch.float64)


def results():
    """One result of every solver."""
    pair = two_blobs()
    w0 = pair.transform.identity()
    problem = small_problem()
    ones = torch.ones(3, dtype=torch.float64)
    yield conjugate_gradient(2 * EYE, ones), float
    yield differentiate_cg(lambda block: 2 * block, ones, EYE, n_iter=2), type(None)
    yield newton(pair, 1.0, w0), State
    yield predictor_corrector(pair, [10.0, 1.0], w0), object
    yield register(pair.template, pair.reference, thetas=[10.0], start="identity"), Step
    yield register_frames(problem.frames, DOMAIN, thetas=[100.0]), object
    yield varpro(problem, start(problem), max_iter=1), VarProState


@pytest.mark.parametrize(("result", "kept"), list(results()), ids=lambda r: type(r).__name__)
def test_all_results_share_five_fields(result, kept):
    assert isinstance(result, SolverResult)
    assert isinstance(result.success, bool) and isinstance(result.status, Status)
    assert result.message and isinstance(result.n_iter, int)
    assert isinstance(result.history, tuple)
    assert all(isinstance(entry, kept) for entry in result.history)


def test_path_has_the_loss_of_its_last_scale():
    problem = two_blobs()
    path = predictor_corrector(problem, [10.0, 1.0], problem.transform.identity())
    assert path.loss == pytest.approx(float(problem.loss(path.w, 1.0)), rel=1e-12)
    assert path.steps is path.history and len(path.steps) == 2


def test_cg_keeps_its_residuals():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 6))
    A, b = torch.from_numpy(A @ A.T + np.eye(6)), torch.from_numpy(rng.standard_normal(6))
    result = conjugate_gradient(A, b, n_iter=4)
    assert len(result.history) == 5 and result.history[0] == pytest.approx(float(b.norm()))
    assert result.history[-1] == result.residual_norm
    assert result.history[-1] == pytest.approx(float((b - A @ result.x).norm()), rel=1e-6)


def test_a_differentiated_cg_that_breaks_down_is_no_success():
    result = differentiate_cg(lambda block: 0 * block, torch.ones(3), torch.eye(3), n_iter=2)
    assert not result.success and result.status is Status.BREAKDOWN
    assert "not positive definite" in result.message


def test_reprs_are_short():
    problem = small_problem()
    for result in (
        varpro(problem, start(problem), max_iter=1),
        register_frames(problem.frames, DOMAIN, thetas=[100.0]),
        newton(two_blobs(), 1.0, two_blobs().transform.identity()),
        register(two_blobs().template, two_blobs().reference, thetas=[1.0]),
        register(two_blobs().template, two_blobs().reference, thetas=[1.0]).starts[0],
        predictor_corrector(two_blobs(), [1.0], two_blobs().transform.identity()),
        load("hands-phantom", 16),
        problem.layout,
        problem.operator(start(problem)),
        second_order_model(two_blobs(), two_blobs().transform.identity(), 1.0),
    ):
        text = repr(result)
        assert len(text) < 300 and "tensor(" not in text and type(result).__name__ in text
    assert "Domain" in repr(Domain((0, 1, 0, 1), (4, 4)))
    assert repr(two_blobs()).startswith("RegistrationProblem(")
    assert repr(two_blobs().transform) == "Affine(2)"
