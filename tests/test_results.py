"""What all results share, and what each says when it was no success."""

import numpy as np
import pytest
import torch

from dense_frames import DOMAIN, small_problem, start
from problems import two_blobs
from regtools import (
    Kaufman,
    Status,
    conjugate_gradient,
    differentiate_cg,
    newton,
    predictor_corrector,
    register_frames,
    simulate_frames,
    varpro,
)
from regtools.images import Domain, load, random_maps
from regtools.registration import State
from regtools.solvers import SolverResult
from regtools.superresolution import Rule, VarProState

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


# --- frames ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def burst():
    """Four frames of the drawn hand."""
    pair = load("hands-phantom", 20)
    w = random_maps(pair.domain, (2, 3, 4))
    return simulate_frames(pair.reference, pair.domain, 2, w), pair.domain


def test_each_frame_has_its_status(burst):
    frames, domain = burst
    result = register_frames(frames, domain)
    assert result.success and result.status is Status.CONVERGED
    assert result.message == "3 frames registered to frame 0."
    assert len(result.frames) == 4 and all(frame.success for frame in result.frames)
    assert torch.equal(torch.cat([frame.w for frame in result.frames[1:]]), result.w)
    assert result.n_iter == sum(frame.n_iter for frame in result.frames) > 0
    assert result.frames[0].n_iter == 0 and "stays" in result.frames[0].message


def test_a_frame_that_is_not_registered_is_named(burst, monkeypatch):
    frames, domain = burst
    calls = []

    def second_gives_up(*arguments):
        calls.append(1)
        options = {"max_iter": 1} if len(calls) == 2 else {}
        return predictor_corrector(*arguments, **options)

    monkeypatch.setattr("regtools.superresolution.frames.predictor_corrector", second_gives_up)
    result = register_frames(frames, domain)
    assert [frame.success for frame in result.frames] == [True, True, False, True]
    assert not result.success and result.status is Status.MAX_ITERATIONS
    assert "1 of 3 frames" in result.message and "[2]. Frame 2:" in result.message


def test_interrupted_frames_are_told_from_registered_ones(burst):
    frames, domain = burst

    def interrupt(path):
        raise KeyboardInterrupt

    result = register_frames(frames, domain, callback=interrupt)
    assert not result.success and result.status is Status.STOPPED
    assert [frame.status for frame in result.frames] == [
        Status.CONVERGED,
        Status.CONVERGED,
        Status.STOPPED,
        Status.STOPPED,
    ]
    identity = torch.tensor([1.0, 0, 0, 1, 0, 0], dtype=torch.float64)
    assert torch.equal(result.w[6:], identity.repeat(2)) and not torch.equal(result.w[:6], identity)
    assert "[2, 3]" in result.message


# --- rules of one's own ----------------------------------------------------------------


class Half(Kaufman):
    """Kaufman's rule with half the iterations."""

    label = "Kaufman, half"

    def count(self, n_iter):
        return max(1, n_iter // 2)


class Doubled(Rule):
    """A wrong derivative: twice that of Kaufman's rule."""

    label = "doubled"

    def tangents(self, projection, operator, projected):
        df_dw, n_iter = Kaufman().tangents(projection, operator, projected)
        return 2 * df_dw, n_iter


def test_a_rule_of_ones_own_needs_one_class():
    problem = small_problem()
    w0 = start(problem)
    mine = varpro(problem, w0, Half(), n_iter_cg=8, max_iter=2)
    same = varpro(problem, w0, Kaufman(n_iter=4), n_iter_cg=8, max_iter=2)
    assert mine.loss == same.loss and mine.n_iter_cg == same.n_iter_cg
    doubled = varpro(problem, w0, Doubled(), max_iter=2)
    assert doubled.loss != varpro(problem, w0, "kaufman", max_iter=2).loss


def test_a_rule_without_tangents_cannot_be_made():
    class Nothing(Rule):
        label = "nothing"

    with pytest.raises(TypeError, match="tangents"):
        Nothing()


def test_reprs_are_short():
    problem = small_problem()
    for result in (
        varpro(problem, start(problem), max_iter=1),
        register_frames(problem.frames, DOMAIN, thetas=[100.0]),
        newton(two_blobs(), 1.0, two_blobs().transform.identity()),
    ):
        text = repr(result)
        assert len(text) < 300 and "tensor(" not in text and type(result).__name__ in text
    assert "Domain" in repr(Domain((0, 1, 0, 1), (4, 4)))
    assert repr(two_blobs()).startswith("RegistrationProblem(")
    assert repr(two_blobs().transform) == "Affine(2)"
