"""Variable projection against SciPy's least squares, dense steps and finite differences."""

import itertools
import math
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import scipy.optimize
import torch
from torch.func import jacfwd

import dense_frames
from dense_frames import BOX, DOMAIN, small_problem, start, true_maps
from regtools.solvers import Status, conjugate_gradient, differentiate_cg
from regtools.superresolution import (
    Implicit,
    Kaufman,
    SuperResolutionProblem,
    Unrolled,
    enlarged_frame,
    joint_gauss_newton,
    projection_jacobian,
    simulate_frames,
    varpro,
)
from regtools.superresolution import reduced as module
from regtools.superresolution._tasks import OneSolve, Step, WithJacobian

PROBLEM = small_problem()
W0 = start(PROBLEM)
EXACT = ("implicit", "kaufman")


@cache
def run(derivative="implicit", **options):
    """A run that several tests look at."""
    return varpro(PROBLEM, W0, derivative, **options)


def reduced_loss(w, problem=PROBLEM, n=None):
    """The reduced objective by dense algebra; of the first n rows."""
    return float(dense_frames.reduced_residual(problem, w)[:n].square().sum())


def slope(function, w, step=1e-5):
    """Central differences of a number."""
    shifts = step * torch.eye(len(w), dtype=w.dtype)
    return torch.tensor([(function(w + s) - function(w - s)) / (2 * step) for s in shifts]).double()


@pytest.fixture(scope="module")
def scipys():
    """The minimiser that SciPy finds, from the same start, with its own Jacobian."""
    residual = lambda w: dense_frames.reduced_residual(PROBLEM, torch.from_numpy(w)).numpy()  # noqa: E731
    return scipy.optimize.least_squares(residual, W0.numpy(), xtol=1e-13, ftol=1e-13, gtol=1e-9)


# --- where it ends ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "derivative",
    ["implicit", "kaufman", "unrolled", Implicit(30), Kaufman(30)],
    ids=str,
)
def test_finds_the_minimum_that_scipy_finds(derivative, scipys):
    result = run(derivative)
    assert result.success and result.status is Status.CONVERGED, result.message
    assert result.loss == pytest.approx(2 * scipys.cost, rel=1e-7)
    np.testing.assert_allclose(result.w.numpy(), scipys.x, atol=1e-4)
    best = dense_frames.projection(PROBLEM, result.w).reshape(DOMAIN.m)
    torch.testing.assert_close(result.image, best, rtol=0, atol=1e-6 * float(best.abs().max()))
    assert result.loss < 0.7 * reduced_loss(W0)


def test_without_derivative_it_is_slower_but_goes_to_the_same_place(scipys):
    none = run("none", max_iter=400, gtol=1e-4)
    assert none.success, none.message
    assert none.loss == pytest.approx(2 * scipys.cost, rel=1e-4)
    assert none.n_iter > 2 * run("implicit", gtol=1e-4).n_iter


def test_recovers_maps_and_image_of_frames_without_noise():
    w, image = true_maps(q=5), dense_frames.picture()
    frames = simulate_frames(image, DOMAIN, 2, w)
    problem = SuperResolutionProblem(frames, DOMAIN, 2, lam=1e-4)
    result = varpro(problem, start(problem), max_iter=30)
    assert (result.w - w).norm() < 0.01 < (start(problem) - w).norm()
    assert (result.image - image).norm() < 0.02 * image.norm()


def test_three_dimensions():
    problem = small_problem(domain=BOX, q=1)
    result = varpro(problem, start(problem), max_iter=5)
    expected = reduced_loss(result.w, problem)
    assert result.loss == pytest.approx(expected, rel=1e-6)
    assert result.loss < 0.9 * reduced_loss(start(problem), problem)


def test_first_frame_free_ends_lower():
    """Six parameters more, and the published rows: what is summed is the data alone."""
    problem = small_problem(fix_first=False)
    w0 = torch.cat([torch.tensor([1.0, 0, 0, 1, 0, 0]).double(), W0])
    fixed = run(rows="data", max_iter=6)
    free = varpro(problem, w0, rows="data", max_iter=6)
    assert free.loss < 0.99 * fixed.loss
    assert free.history[0].loss == pytest.approx(fixed.history[0].loss, rel=1e-7)


# --- gradient and history --------------------------------------------------------------


@pytest.mark.parametrize("derivative", ["implicit", "kaufman", "unrolled", "none"])
def test_stacked_gradient_by_finite_differences(derivative):
    """Also without any derivative of the projection: the image is the best one."""
    result = varpro(PROBLEM, W0, derivative, max_iter=1, tol_cg=1e-12)
    expected = slope(reduced_loss, W0)
    assert result.history[0].gradient_norm == pytest.approx(float(expected.norm()), rel=1e-6)
    r = dense_frames.reduced_residual(PROBLEM, W0)
    gradient = 2 * projection_jacobian(PROBLEM, W0, derivative, tol_cg=1e-12).T @ r
    assert (gradient - expected).norm() < 1e-6 * expected.norm()


def test_data_gradient_by_finite_differences():
    n = PROBLEM.n_data
    expected = float(slope(lambda w: reduced_loss(w, n=n), W0).norm())
    with_it = varpro(PROBLEM, W0, "implicit", rows="data", max_iter=1, tol_cg=1e-12)
    assert with_it.history[0].gradient_norm == pytest.approx(expected, rel=1e-6)
    without = varpro(PROBLEM, W0, "none", rows="data", max_iter=1, tol_cg=1e-12)
    assert abs(without.history[0].gradient_norm - expected) > 0.02 * expected


@pytest.mark.parametrize("rows", ["stacked", "data"])
def test_history_tells_the_run(rows):
    seen = []
    result = varpro(PROBLEM, W0, rows=rows, callback=seen.append, max_iter=6)
    history = result.history
    assert seen == list(history[1:]) and len(seen) == result.n_iter == 6
    assert [state.iteration for state in history] == list(range(7))
    assert torch.equal(history[0].w, W0) and torch.equal(history[-1].w, result.w)
    n = PROBLEM.n_data if rows == "data" else None
    for state in history:
        assert state.loss == pytest.approx(reduced_loss(state.w, n=n), rel=1e-6)
    losses = [state.loss for state in history]
    assert all(b < a for a, b in itertools.pairwise(losses))
    assert math.isnan(history[0].damping) and all(state.damping > 0 for state in seen)
    for field in ("n_iter_cg", "n_evaluations"):
        counts = [getattr(state, field) for state in history]
        assert all(b > a > 0 for a, b in itertools.pairwise(counts))
    assert (result.loss, result.gradient_norm) == (history[-1].loss, history[-1].gradient_norm)
    assert result.n_evaluations == history[-1].n_evaluations >= 7


def test_history_holds_no_images():
    result = varpro(PROBLEM, W0, max_iter=2)
    for state in result.history:
        tensors = [value for value in vars(state).values() if torch.is_tensor(value)]
        assert [tuple(tensor.shape) for tensor in tensors] == [(12,)]


def test_both_sides_of_the_test_are_reported():
    result = run(gtol=1e-4)
    assert result.success and result.gradient_norm <= result.gradient_tolerance
    assert result.gradient_tolerance == pytest.approx(1e-4 * reduced_loss(W0), rel=1e-6)
    assert f"{result.gradient_norm:.3e}" in result.message
    assert f"{result.gradient_tolerance:.3e}" in result.message
    assert result.history[-2].gradient_norm > result.gradient_tolerance  # no step too many
    assert run().n_iter > result.n_iter and run().loss <= result.loss


def test_the_first_step_is_a_damped_gauss_newton_step():
    """With γ relative to the largest diagonal entry of JᵀJ, from the dense Jacobian."""
    J = jacfwd(lambda w: dense_frames.reduced_residual(PROBLEM, w))(W0)
    r = dense_frames.reduced_residual(PROBLEM, W0)
    for damping in (1e-3, 10.0):
        gamma = damping * (J.T @ J).diagonal().max()
        step = torch.linalg.solve(J.T @ J + gamma * torch.eye(12).double(), -J.T @ r)
        result = varpro(PROBLEM, W0, damping=damping, max_iter=1, tol_cg=1e-12)
        torch.testing.assert_close(result.w, W0 + step, rtol=0, atol=1e-7)
        assert result.history[1].damping == pytest.approx(damping)


def nielsen(one, two):
    """The factor to the damping after the step between two states."""
    J = jacfwd(lambda w: dense_frames.reduced_residual(PROBLEM, w))(one.w)
    r = dense_frames.reduced_residual(PROBLEM, one.w)
    promise = float(r @ r - (r + J @ (two.w - one.w)).square().sum())
    ratio = (one.loss - two.loss) / promise
    return max(1 / 3, 1 - (2 * ratio - 1) ** 3)


@pytest.mark.parametrize("seed", [3, 7])
def test_damping_follows_the_ratio_of_gain_and_promise(seed):
    """Nielsen's rule, with losses and models from dense algebra, from a start some way off."""
    result = varpro(PROBLEM, start(PROBLEM, size=0.15, seed=seed), max_iter=4, tol_cg=1e-12)
    states = result.history
    assert any(b.damping > 0.4 * a.damping for a, b in itertools.pairwise(states[1:]))
    assert result.n_evaluations == 5  # no step was refused, so that each γ follows from the last
    for one, two, three in zip(states, states[1:], states[2:], strict=False):
        assert three.damping == pytest.approx(nielsen(one, two) * two.damping, rel=1e-4)


def test_a_refused_step_is_tried_again_with_more_damping():
    """From far off, undamped steps go wrong; the loss never rises."""
    far = start(PROBLEM, size=0.5, seed=4)
    result = varpro(PROBLEM, far, damping=1e-8, max_iter=3, tol_cg=1e-12)
    states = result.history
    assert all(b.loss < a.loss for a, b in itertools.pairwise(states))
    assert result.n_evaluations > result.n_iter + 1
    raised = []
    for one, two, three in zip(states, states[1:], states[2:], strict=False):
        growth = math.log2(three.damping / (nielsen(one, two) * two.damping))
        assert growth == pytest.approx(round(growth), abs=1e-3)
        raised.append(round(growth))
    # After k refusals in a row 2 · 4 · 8 ⋯ 2ᵏ.
    assert max(raised) > 0 and set(raised) <= {k * (k + 1) // 2 for k in range(12)}


# --- how the image is computed ---------------------------------------------------------


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
    """Counts the products with AᵀA from outside: all but the one with which a start costs."""
    count = [0]

    def counted(solver):
        def wrapper(A, *args, **options):
            def product(x):
                count[0] += 1
                return A(x)

            start = args[1] if solver is conjugate_gradient and len(args) > 1 else None
            start = options.get("x0", start)
            count[0] -= start is not None
            return solver(product, *args, **options)

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


# --- Kaufman's step by one solve -------------------------------------------------------


@dataclass
class At:
    """A way to compute steps, at one point."""

    task: object
    point: object
    model: object

    def step(self, gamma):
        return self.task.step(self.point, self.model, gamma)

    @property
    def gradient_norm(self):
        return self.model.gradient_norm

    @property
    def scale(self):
        return self.model.scale


def models(problem, w, tol=1e-13):
    """Both ways to compute Kaufman's step, at one point."""
    settings = {"derivative": "kaufman", "n_iter": None, "image0": None}
    tasks = [kind(problem, "stacked", tol, settings) for kind in (WithJacobian, OneSolve)]
    point = tasks[0].point(w, tasks[0].projection(None))
    return [At(task, point, task.model(point)) for task in tasks]


@pytest.mark.parametrize("gamma", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize(
    "options", [{}, {"fix_first": False}, {"domain": BOX, "q": 1}], ids=["2D", "first free", "3D"]
)
def test_kaufmans_step_is_the_joint_step(options, gamma):
    """Both equal the w part of min ‖D δw + A δf + r‖² + γ ‖δw‖², by NumPy's least squares."""
    problem = small_problem(**options)
    w = start(problem)
    A, b = dense_frames.matrix(problem, w), dense_frames.target(problem)
    f = dense_frames.projection(problem, w)
    dA = jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
    D, r, p, n = torch.einsum("rnk,n->rk", dA, f), A @ f - b, len(w), len(f)
    damping = torch.cat([math.sqrt(gamma) * torch.eye(p), torch.zeros(p, n)], dim=1).double()
    system = torch.cat([torch.cat([D, A], dim=1), damping]).numpy()
    right = -np.r_[r.numpy(), np.zeros(p)]
    both = torch.from_numpy(np.linalg.lstsq(system, right, rcond=None)[0])
    dw, df = both[:p], both[p:]
    promise = float(r @ r - (D @ dw + A @ df + r).square().sum())
    by_jacobian, by_one_solve = models(problem, w)
    for model in (by_jacobian, by_one_solve):
        step = model.step(gamma)
        torch.testing.assert_close(step.dw, dw, rtol=0, atol=1e-7 * float(dw.abs().max()))
        image = (f + df).reshape(problem.domain.m)
        torch.testing.assert_close(step.image, image, rtol=0, atol=1e-6 * float(image.abs().max()))
        assert step.predicted == pytest.approx(promise, rel=1e-6)
        gradient = float((2 * D.T @ r).norm())
        assert model.gradient_norm == pytest.approx(gradient, rel=1e-6)
    # Relative to which the damping counts: of P⊥ D here, of D there.
    off_range = torch.eye(len(A)).double() - A @ torch.linalg.pinv(A)
    projected = (off_range @ D).square().sum(0).max()
    assert by_jacobian.scale == pytest.approx(float(projected), rel=1e-6)
    assert by_one_solve.scale == pytest.approx(float(D.square().sum(0).max()), rel=1e-6)


def test_the_undamped_step_is_kaufmans_gauss_newton_step():
    """Golub and Pereyra without their second term: δw = −(P⊥D)† r."""
    A, b = dense_frames.matrix(PROBLEM, W0), dense_frames.target(PROBLEM)
    f = dense_frames.projection(PROBLEM, W0)
    dA = jacfwd(lambda w: dense_frames.matrix(PROBLEM, w))(W0)
    off_range = torch.eye(len(A)).double() - A @ torch.linalg.pinv(A)
    J = off_range @ torch.einsum("rnk,n->rk", dA, f)
    expected = -torch.linalg.pinv(J) @ (A @ f - b)
    for model in models(PROBLEM, W0):
        torch.testing.assert_close(model.step(1e-9).dw, expected, rtol=0, atol=1e-6)


def watch(monkeypatch, name, used):
    """Note in `used` when a class of the module is instantiated."""
    kind = getattr(module, name)

    def spy(*arguments):
        used.append(name)
        return kind(*arguments)

    monkeypatch.setattr(module, name, spy)


def test_many_parameters_take_the_one_solve(monkeypatch, scipys):
    used = []
    for name in ("OneSolve", "WithJacobian"):
        watch(monkeypatch, name, used)
    few = varpro(PROBLEM, W0, "kaufman")
    assert set(used) == {"WithJacobian"}
    monkeypatch.setattr(module, "MANY_PARAMETERS", 12)
    for rule, options in [("implicit", {}), ("none", {}), ("kaufman", {"rows": "data"})]:
        used.clear()
        varpro(PROBLEM, W0, rule, max_iter=1, **options)
        assert set(used) == {"WithJacobian"}
    used.clear()
    many = varpro(PROBLEM, W0, "kaufman")
    assert set(used) == {"OneSolve"}
    assert few.success and many.success
    assert many.loss == pytest.approx(few.loss, rel=1e-7)
    assert many.loss == pytest.approx(2 * scipys.cost, rel=1e-7)
    np.testing.assert_allclose(many.w.numpy(), few.w.numpy(), atol=1e-4)


def test_six_moving_frames_are_many(monkeypatch):
    problem, used = small_problem(q=6), []
    watch(monkeypatch, "OneSolve", used)
    varpro(problem, start(problem), "kaufman", max_iter=1)
    assert problem.n_params == 36 and used == ["OneSolve"]
    implicit, kaufman = (varpro(problem, start(problem), d, max_iter=6) for d in EXACT)
    assert kaufman.loss == pytest.approx(implicit.loss, rel=1e-2)
    assert kaufman.loss < 0.8 * kaufman.history[0].loss


# --- maps and image together -----------------------------------------------------------


def test_joint_gauss_newton_finds_the_same_minimum(scipys):
    result = joint_gauss_newton(PROBLEM, W0, max_iter=100, gtol=1e-5)
    assert result.success, result.message
    assert result.loss == pytest.approx(2 * scipys.cost, rel=1e-6)
    np.testing.assert_allclose(result.w.numpy(), scipys.x, atol=1e-3)
    losses = [state.loss for state in result.history]
    assert all(b < a for a, b in itertools.pairwise(losses))


def test_first_joint_step_is_that_of_dense_least_squares():
    """From an image that is not the best one, so that all parts count."""
    image = dense_frames.picture() + 3.0
    A, b = dense_frames.matrix(PROBLEM, W0), dense_frames.target(PROBLEM)
    dA = jacfwd(lambda w: dense_frames.matrix(PROBLEM, w))(W0)
    D, r = torch.einsum("rnk,n->rk", dA, image.flatten()), A @ image.flatten() - b
    gamma = float(0.5 * D.square().sum(0).max())
    damping = torch.cat([math.sqrt(gamma) * torch.eye(12), torch.zeros(12, 96)], dim=1).double()
    system = torch.cat([torch.cat([D, A], dim=1), damping]).numpy()
    both = np.linalg.lstsq(system, -np.r_[r.numpy(), np.zeros(12)], rcond=None)[0]
    result = joint_gauss_newton(PROBLEM, W0, image0=image, damping=0.5, max_iter=1, tol_cg=1e-12)
    np.testing.assert_allclose(result.w.numpy(), W0.numpy() + both[:12], atol=1e-8)
    moved = image.flatten() + torch.from_numpy(both[12:])
    rows = dense_frames.matrix(PROBLEM, result.w) @ moved - b
    assert result.loss == pytest.approx(float(rows @ rows), rel=1e-8)
    gradient = torch.cat([D.T @ r, A.T @ r])
    assert result.history[0].gradient_norm == pytest.approx(float(2 * gradient.norm()))
    assert result.history[0].loss == pytest.approx(float(r @ r))


def test_joint_run_starts_with_the_best_image_unless_told():
    result = joint_gauss_newton(PROBLEM, W0, max_iter=1)
    assert result.history[0].loss == pytest.approx(reduced_loss(W0), rel=1e-8)


def test_joint_run_starts_from_a_black_image_too(scipys):
    """Where nothing has a slope, so that the first step moves the image alone."""
    black = torch.zeros(DOMAIN.m, dtype=torch.float64)
    result = joint_gauss_newton(PROBLEM, W0, image0=black, max_iter=100, gtol=1e-4)
    assert result.success, result.message
    assert result.history[1].loss == pytest.approx(reduced_loss(W0), rel=1e-6)
    assert torch.equal(result.history[1].w, W0)
    assert result.loss == pytest.approx(2 * scipys.cost, rel=1e-4)


# --- how it ends -----------------------------------------------------------------------


def test_too_few_steps_is_said():
    result = varpro(PROBLEM, W0, max_iter=2)
    assert not result.success and result.status is Status.MAX_ITERATIONS and result.n_iter == 2
    assert module.ADVICE[Status.MAX_ITERATIONS] in result.message
    assert result.gradient_norm > result.gradient_tolerance


def test_no_further_decrease_is_said():
    result = varpro(PROBLEM, run().w, gtol=1e-15, max_iter=200)
    assert not result.success and result.status is Status.SMALL_STEP
    assert module.ADVICE[Status.SMALL_STEP] in result.message
    assert "If the images are rough, raise n_iter_cg" in result.message


def test_start_at_the_minimum_needs_no_step():
    best = run().w
    result = varpro(PROBLEM, best, gtol=1e-5)
    assert result.success and result.n_iter == 0 and torch.equal(result.w, best)


@pytest.mark.parametrize("solve", [varpro, joint_gauss_newton])
def test_ctrl_c_in_the_callback_returns_the_best_so_far(solve):
    def interrupt(state):
        if state.iteration == 2:
            raise KeyboardInterrupt

    result = solve(PROBLEM, W0, callback=interrupt)
    assert result.status is Status.STOPPED and not result.success
    assert result.n_iter == 2 and len(result.history) == 3
    assert result.loss == result.history[-1].loss < result.history[0].loss
    assert torch.equal(result.w, result.history[-1].w)
    best = dense_frames.projection(PROBLEM, result.w).reshape(DOMAIN.m)
    torch.testing.assert_close(result.image, best, rtol=0, atol=1e-6 * float(best.abs().max()))


def test_ctrl_c_while_a_step_is_computed_returns_the_best_so_far(monkeypatch):
    calls = itertools.count()

    def later(*arguments, **options):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return conjugate_gradient(*arguments, **options)

    monkeypatch.setattr("regtools.superresolution.problem.conjugate_gradient", later)
    result = varpro(PROBLEM, W0)
    assert result.status is Status.STOPPED and 0 < result.n_iter < 8
    assert result.loss < reduced_loss(W0)


def test_ctrl_c_before_the_first_image_is_passed_on(monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("regtools.superresolution.problem.conjugate_gradient", interrupt)
    with pytest.raises(KeyboardInterrupt):
        varpro(PROBLEM, W0)


@pytest.mark.parametrize(("fix_first", "frame"), [(True, 2), (False, 1)])
def test_a_frame_outside_the_box_is_named(fix_first, frame):
    problem = small_problem(fix_first=fix_first)
    w0 = problem.identity()
    w0[6 + 4] = 1e3  # the second block
    result = varpro(problem, w0)
    assert result.status is Status.NO_OVERLAP and not result.success and result.n_iter == 0
    assert torch.equal(result.w, w0)
    assert f"Frames [{frame}] lie outside the box" in result.message
    assert "register_frames" in result.message


@pytest.mark.parametrize("wrong", [1e3, math.nan, math.inf])
def test_a_step_out_of_the_box_or_to_nowhere_is_refused(monkeypatch, wrong):
    step = WithJacobian.step
    calls = itertools.count()

    def sometimes_wrong(self, point, model, gamma):
        right = step(self, point, model, gamma)
        shift = torch.zeros(12).double()
        shift[4] = wrong if next(calls) % 2 == 0 else 0.0
        return Step(right.dw + shift, right.image, right.predicted)

    monkeypatch.setattr(WithJacobian, "step", sometimes_wrong)
    result = varpro(PROBLEM, W0, max_iter=3)
    assert result.n_iter == 3 and result.n_evaluations == 4 and next(calls) == 6
    assert all((PROBLEM.overlap(state.w) > 0.5).all() for state in result.history)
    ratios = [b.damping / a.damping for a, b in itertools.pairwise(result.history[1:])]
    assert all(2 / 3 <= ratio <= 2.001 for ratio in ratios)  # doubled once, then 1/3 to 1


def test_black_frames_have_a_black_image():
    problem = SuperResolutionProblem(torch.zeros(3, 4, 6).double(), DOMAIN, 2, 0.05)
    result = varpro(problem, W0)
    assert result.success and result.n_iter == 0 and result.loss == 0
    assert result.image.abs().max() == 0


def test_one_constant_frame_is_no_reason_to_fail():
    frames = PROBLEM.frames.clone()
    frames[2] = 30.0
    result = varpro(SuperResolutionProblem(frames, DOMAIN, 2, 0.05), W0, max_iter=5)
    losses = [state.loss for state in result.history]
    assert all(b < a for a, b in itertools.pairwise(losses)) and len(losses) > 1


# --- dtype and memory ------------------------------------------------------------------


@pytest.mark.parametrize("derivative", ["implicit", "kaufman", "unrolled", "none"])
def test_float32_follows_the_frames(derivative):
    problem = SuperResolutionProblem(PROBLEM.frames.float(), DOMAIN, 2, 0.05)
    result = varpro(problem, W0.float(), derivative, max_iter=3, tol_cg=1e-4)
    exact = run(derivative, max_iter=3)
    assert result.w.dtype == result.image.dtype == torch.float32
    assert result.loss == pytest.approx(exact.loss, rel=1e-2)
    by_default = varpro(problem, W0.float(), derivative, max_iter=1)  # tol_cg below rounding
    assert math.isfinite(by_default.loss) and by_default.loss < result.history[0].loss


def test_float32_ends_by_itself():
    problem = SuperResolutionProblem(PROBLEM.frames.float(), DOMAIN, 2, 0.05)
    result = varpro(problem, W0.float(), max_iter=60, tol_cg=1e-5)
    assert result.status in (Status.SMALL_STEP, Status.CONVERGED)
    assert result.loss == pytest.approx(run().loss, rel=1e-3)


def test_a_final_image_that_cg_does_not_reach_is_announced():
    problem = SuperResolutionProblem(PROBLEM.frames.float(), DOMAIN, 2, 1e-8)
    result = varpro(problem, W0.float(), n_iter_cg=5, max_iter=1)
    assert "The image is not accurate: maximum number of iterations" in result.message


def test_the_start_stays_as_it_was():
    w0 = W0.clone()
    result = varpro(PROBLEM, w0, max_iter=2)
    assert torch.equal(w0, W0) and result.history[0].w is not w0


# --- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w0": W0.float()}, TypeError, "w0 must be a tensor of dtype torch.float64; got"),
        ({"w0": W0.numpy()}, TypeError, "w0 must be a tensor .* got ndarray"),
        ({"w0": W0[:6]}, ValueError, r"w0 must have shape \(12,\), 2 blocks of 6; got \(6,\)"),
        ({"w0": W0 * math.nan}, ValueError, "w0 must be finite"),
        ({"derivative": "full"}, ValueError, "derivative must be one of .* got 'full'"),
        ({"n_iter_cg": 0}, ValueError, "n_iter_cg must be a whole number from 1, or None; got 0"),
        ({"n_iter_cg": 0.5}, ValueError, "n_iter_cg must be a whole number .* got 0.5"),
        ({"rows": "all"}, ValueError, re.escape("rows must be one of ['stacked', 'data']; got")),
        ({"max_iter": 0}, ValueError, "max_iter must be a whole number from 1; got 0"),
        ({"max_iter": 2.5}, ValueError, "max_iter must be a whole number from 1; got 2.5"),
        ({"gtol": 0.0}, ValueError, "gtol must be finite and above 0; got 0.0"),
        ({"gtol": math.nan}, ValueError, "gtol must be finite and above 0; got nan"),
        ({"tol_cg": -1.0}, ValueError, "tol_cg must be finite and above 0; got -1.0"),
        ({"tol_cg": lambda state: 0.0}, ValueError, "tol_cg must be finite and above 0; got 0.0"),
        ({"damping": 0.0}, ValueError, "damping must be finite and above 0; got 0.0"),
    ],
)
def test_bad_input_is_named(change, error, words):
    arguments = {"w0": W0, **change}
    with pytest.raises(error, match=words):
        varpro(PROBLEM, **arguments)


@pytest.mark.parametrize(
    ("image0", "error", "words"),
    [
        (dense_frames.picture().T, ValueError, r"image0 must have shape \(8, 12\); got \(12, 8\)"),
        (dense_frames.picture().float(), TypeError, "image0 must be a tensor of dtype .*float64"),
        (dense_frames.picture().numpy(), TypeError, "image0 must be a tensor .* got ndarray"),
        (dense_frames.picture() / 0, ValueError, "image0 must be finite"),
    ],
)
def test_bad_images_are_named(image0, error, words):
    with pytest.raises(error, match=words):
        joint_gauss_newton(PROBLEM, W0, image0=image0)
