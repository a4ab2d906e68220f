"""CG inside variable projection: where it starts, how far it goes, how it is counted."""

import pytest
import torch

import dense_frames
from dense_frames import DOMAIN, start
from frame_problems import PROBLEM, W0, reduced_loss, run
from regtools.solvers import conjugate_gradient, differentiate_cg
from regtools.superresolution import (
    Implicit,
    Kaufman,
    Unrolled,
    enlarged_frame,
    joint_gauss_newton,
    varpro,
)
from regtools.superresolution import reduced as module


@pytest.mark.parametrize("derivative", ["none", "implicit", "unrolled"])
def test_a_number_of_iterations_starts_from_black_each_time(derivative):
    result = varpro(PROBLEM, W0, derivative, n_iter_cg=6, max_iter=3)
    for state in result.history:
        N, right = dense_frames.normal_equations(PROBLEM, state.w)
        image = dense_frames.cg(N, right, 6)
        rows = dense_frames.matrix(PROBLEM, state.w) @ image - dense_frames.target(PROBLEM)
        assert state.loss == pytest.approx(float(rows @ rows), rel=1e-8)


@pytest.mark.parametrize("derivative", ["unrolled", "implicit", "kaufman", "none"])
def test_a_number_of_iterations_starts_from_the_image_given(derivative):
    """Each time: from the image of dense CG begun there, in every accepted iterate."""
    image0 = enlarged_frame(PROBLEM.frames[0], PROBLEM.domain)
    for given in (image0, "frame 0"):
        ended = varpro(PROBLEM, W0, derivative, n_iter_cg=4, max_iter=3, image0=given)
        for state in ended.history:
            system = dense_frames.normal_equations(PROBLEM, state.w)
            image = dense_frames.cg(*system, 4, image0.flatten()).reshape(PROBLEM.domain.m)
            loss = float(PROBLEM.loss(state.w, image))
            assert state.loss == pytest.approx(loss, rel=1e-9)


def test_a_run_to_the_tolerance_begins_at_the_image_given():
    best = PROBLEM.reconstruct(W0)
    spent = [
        varpro(PROBLEM, W0, "kaufman", max_iter=1, image0=given).history[0].n_iter_cg
        for given in (None, best)
    ]
    assert spent[1] < spent[0]


def test_the_final_image_is_exact_though_the_projections_are_not():
    result = varpro(PROBLEM, W0, "unrolled", n_iter_cg=3, max_iter=3)
    best = dense_frames.projection(PROBLEM, result.w).reshape(DOMAIN.m)
    torch.testing.assert_close(result.image, best, rtol=0, atol=1e-6 * float(best.abs().max()))
    assert result.loss > 1.01 * reduced_loss(result.w)  # of the inexact image


@pytest.fixture
def iterations(monkeypatch):
    """Counts the products with AᵀA from outside: all but those with which a start is made, and
    with which a run to a tolerance ends, to ask for its residual."""
    count = [0]

    def counted(solver):
        def wrapper(A, *args, **options):
            def product(x):
                count[0] += 1
                return A(x)

            start = args[1] if solver is conjugate_gradient and len(args) > 1 else None
            start = options.get("x0", start)
            count[0] -= start is not None
            answer = solver(product, *args, **options)
            count[0] -= "tol" in options and options["tol"] is not None and answer.n_iter > 0
            return answer

        return wrapper

    for name in ("rules", "projection", "problem", "_tasks"):
        place = f"regtools.superresolution.{name}.conjugate_gradient"
        monkeypatch.setattr(place, counted(conjugate_gradient))
    place = "regtools.superresolution.rules.differentiate_cg"
    monkeypatch.setattr(place, counted(differentiate_cg))
    return lambda: count[0]


def tightening(state):
    """A tolerance of the projections that follows the run."""
    return 1e-3 if state is None or state.iteration < 2 else 1e-7


COUNTED = [
    {"derivative": "none", "n_iter_cg": 8},
    {"derivative": "none", "tol_cg": tightening},
    {"derivative": "kaufman", "n_iter_cg": 8},
    {"derivative": "implicit"},
    {"derivative": "implicit", "tol_cg": tightening},
    {"derivative": Kaufman(3), "rows": "data"},
    {"derivative": Implicit(3), "n_iter_cg": 8},
    {"derivative": "unrolled", "n_iter_cg": 8},
    {"derivative": "unrolled"},
    {"derivative": "unrolled", "n_iter_cg": 500},  # more than it takes
    {"derivative": Unrolled(last=0.5), "n_iter_cg": 8},
    {"derivative": Unrolled(last=0.5), "n_iter_cg": 500},
    {"derivative": Unrolled(last=0.0), "n_iter_cg": 8},
    {"derivative": Unrolled(first=0.25), "n_iter_cg": 8},
    {"derivative": Unrolled(first=0.25)},
    {"derivative": Unrolled(last=0.25), "tol_cg": tightening},
    {"derivative": "implicit", "damping": 1e-8},
]


def check_counts(result, iterations, seen):
    assert [state.n_iter_cg for state in result.history[1:]] == seen
    assert result.n_iter_cg == iterations() > result.history[-1].n_iter_cg


@pytest.mark.parametrize("options", COUNTED, ids=range(len(COUNTED)))
def test_every_cg_iteration_is_counted_and_none_twice(iterations, options):
    seen, far = [], start(PROBLEM, size=0.5, seed=4)  # from where trials are refused
    w0 = far if "damping" in options else W0
    result = varpro(
        PROBLEM, w0, max_iter=4, callback=lambda _: seen.append(iterations()), **options
    )
    check_counts(result, iterations, seen)
    assert len(seen) == 4
    assert result.n_evaluations > 5 or "damping" not in options


@pytest.mark.parametrize("derivative", ["kaufman", Kaufman(4)], ids=str)
def test_cg_iterations_are_counted_where_one_solve_makes_a_step(
    iterations, monkeypatch, derivative
):
    monkeypatch.setattr(module, "MANY_PARAMETERS", 1)
    seen = []
    result = varpro(
        PROBLEM, W0, derivative, tol_cg=tightening, callback=lambda _: seen.append(iterations())
    )
    check_counts(result, iterations, seen)


@pytest.mark.parametrize("image0", [None, torch.zeros(DOMAIN.m).double()], ids=["best", "black"])
def test_cg_iterations_of_the_joint_method_are_counted(iterations, image0):
    seen = []
    result = joint_gauss_newton(
        PROBLEM, W0, image0=image0, max_iter=6, callback=lambda _: seen.append(iterations())
    )
    check_counts(result, iterations, seen)


def test_a_warm_start_saves_iterations_and_changes_nothing():
    warm, cold = run("implicit"), run("unrolled")
    assert warm.loss == pytest.approx(cold.loss, rel=1e-7)
    per_point = lambda r: r.history[-1].n_iter_cg / r.n_evaluations  # noqa: E731
    assert per_point(warm) < 0.95 * per_point(cold)


def test_tolerance_of_the_projections_may_follow_the_run():
    seen = []

    def tolerance(state):
        seen.append(state)
        return 1e-3 if state is None or state.iteration < 5 else 1e-9

    loose = varpro(PROBLEM, W0, tol_cg=tolerance, max_iter=10)
    tight = varpro(PROBLEM, W0, tol_cg=1e-9, max_iter=10)
    assert seen[0] is None and {state.iteration for state in seen if state} == set(range(11))
    assert loose.loss == pytest.approx(tight.loss, rel=1e-5)
    assert loose.history[-1].n_iter_cg < tight.history[-1].n_iter_cg
    sloppy = varpro(PROBLEM, W0, tol_cg=0.1, max_iter=3)
    assert sloppy.history[0].loss > 1.001 * tight.history[0].loss
