"""What all results share, and what each says when it was no success."""

import numpy as np
import pytest
import torch

from dense_frames import DOMAIN, small_problem, start
from problems import two_blobs
from regtools import (
    Kaufman,
    RegistrationProblem,
    Status,
    Transform,
    conjugate_gradient,
    differentiate_cg,
    gradient,
    hessian,
    newton,
    predictor_corrector,
    register,
    register_frames,
    second_order_model,
    simulate_frames,
    simulated_problem,
    taylor_test,
    varpro,
)
from regtools.images import Domain, load, random_maps
from regtools.registration import State, Step
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

    monkeypatch.setattr("regtools.superresolution.maps.predictor_corrector", second_gives_up)
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
        return None if n_iter is None else max(1, n_iter // 2)


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
    free = [varpro(problem, w0, rule, max_iter=2).loss for rule in (Half(), "kaufman")]
    assert free[0] == free[1]  # both to the tolerance
    doubled = varpro(problem, w0, Doubled(), max_iter=2)
    assert doubled.loss != varpro(problem, w0, "kaufman", max_iter=2).loss


def test_a_rule_without_tangents_cannot_be_made():
    class Nothing(Rule):
        label = "nothing"

    with pytest.raises(TypeError, match="tangents"):
        Nothing()


class Wrong(Kaufman):
    """Gives back what no rule may."""

    label = "wrong"
    answer: object = None

    def tangents(self, setting, operator, projected):
        return Wrong.answer


@pytest.mark.parametrize(
    "answer", [torch.zeros(8, 12, 12), (torch.zeros(8, 12), 3), (torch.zeros(8, 12, 12), None)]
)
def test_what_a_rule_gives_is_checked(answer, monkeypatch):
    monkeypatch.setattr(Wrong, "answer", answer)
    problem = small_problem(q=6)  # many parameters: the tangents must be asked for all the same
    with pytest.raises(
        TypeError, match=r"Wrong.tangents must return a tensor of shape \(8, 12, 36"
    ):
        varpro(problem, start(problem), Wrong(), max_iter=1)


def test_a_count_below_one_is_no_count():
    class Nothing(Kaufman):
        label = "nothing"

        def count(self, n_iter):
            return 0

    problem = small_problem()
    with pytest.raises(ValueError, match=r"Nothing.count\(5\) must be a whole number"):
        varpro(problem, start(problem), Nothing(), n_iter_cg=5, max_iter=1)
    with pytest.raises(ValueError, match=r"got <class .*Nothing'>, a class: give an instance"):
        varpro(problem, start(problem), Nothing, max_iter=1)


# --- maps of one's own -----------------------------------------------------------------


class Similarity(Transform):
    """Scale, angle and shift, about a centre."""

    dim, n_params = 2, 4

    def __init__(self, centre):
        self.centre = torch.tensor(centre, dtype=torch.float64)

    def __call__(self, w, x):
        scale, angle = w[0], w[1]
        turn = torch.stack(
            [torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)]
        )
        return (x - self.centre) @ (scale * turn.reshape(2, 2)).T + self.centre + w[2:]

    def identity(self, dtype=torch.float64, device=None):
        return torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=dtype, device=device)


def test_a_map_of_ones_own_needs_one_class():
    problem = two_blobs(Similarity((1.5, 1.5)))
    w = torch.tensor([1.1, 0.2, 0.1, -0.2], dtype=torch.float64)
    v = torch.tensor([0.3, -0.5, 0.2, 0.4], dtype=torch.float64)
    slope, bend = gradient(problem, w, 1.0) @ v, v @ hessian(problem, w, 1.0) @ v
    test = taylor_test(lambda w: problem.loss(w, 1.0), w, v, [slope, bend])
    assert test.order == pytest.approx(3, abs=0.1)
    path = predictor_corrector(problem, [10.0, 1.0, 0.1], problem.transform.identity())
    assert path.success and path.loss < float(problem.loss(problem.transform.identity(), 0.1))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (Similarity, "instance of a Transform; got Similarity"),
        (lambda w, x: x, "instance of a Transform; got <lambda>"),
        (type("Bare", (Similarity,), {"n_params": None})((0, 0)), "must set n_params"),
    ],
)
def test_what_is_no_map_is_refused(transform, message):
    with pytest.raises(TypeError, match=message):
        RegistrationProblem(two_blobs().template, two_blobs().reference, transform)


def test_parameters_of_another_length_are_refused():
    problem = two_blobs(Similarity((1.5, 1.5)))
    for function in (problem.loss, lambda w, t: gradient(problem, w, t)):
        with pytest.raises(ValueError, match=r"w must have shape \(4,\); got \(6,\)"):
            function(torch.zeros(6, dtype=torch.float64), 1.0)


def test_a_pair_makes_a_problem():
    pair = load("hands-phantom", 16)
    problem = RegistrationProblem.of(pair, two_blobs().transform, lam=0.0)
    assert torch.equal(problem.template.data, pair.template)
    assert torch.equal(problem.reference.data, pair.reference) and problem.domain == pair.domain
    assert problem.identity().dtype == torch.float64
    assert torch.equal(problem.identity(), problem.transform.identity())
    assert pair.image is pair.reference


def test_the_test_problem_is_that_of_the_paper():
    known = simulated_problem()
    assert known.image.shape == (20, 20) and known.frames.shape == (4, 10, 10)
    maps = random_maps(known.domain, (2, 3, 4))
    assert torch.equal(known.w_true, maps) and known.problem.lam == 0.01
    assert torch.equal(known.frames, simulate_frames(known.image, known.domain, 2, maps))
    assert torch.equal(known.w0, register_frames(known.frames, known.domain).w)


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
