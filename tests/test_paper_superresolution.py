"""Section 4 of the paper on its own image: Figures 5 to 11, and what the figures do not show.

Its 20×20 image, four 10×10 frames under the maps of seeds 2, 3, 4, λ = 1e-2. The published runs
start from a registration at one scale, square and sum the data alone, and move frame 0 too.
"""

import itertools
import os
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import regtools
from regtools.images import SplineImage
from regtools.registration import Affine
from regtools.solvers import Status
from regtools.superresolution import (
    Implicit,
    Kaufman,
    Projection,
    SuperResolutionProblem,
    Unrolled,
    joint_gauss_newton,
    register_frames,
    simulate_frames,
    varpro,
)

pytestmark = pytest.mark.skipif(
    "REGTOOLS_DATA" not in os.environ,
    reason="the paper's pair is not redistributed: set REGTOOLS_DATA to the folder that holds it",
)


@cache
def paper():
    """The image, its frames, the problem and its start: stacked, and as published."""
    pair = regtools.load("hands", 20)
    image, domain = pair.reference, pair.domain
    w_true = regtools.random_maps(domain, (2, 3, 4))
    frames = simulate_frames(image, domain, 2, w_true)
    w0 = register_frames(frames, domain, thetas=[1e-3]).w
    identity = Affine(2).identity()
    return SimpleNamespace(
        image=image,
        domain=domain,
        frames=frames,
        w_true=w_true,
        stacked=(SuperResolutionProblem(frames, domain, 2, 1e-2), w0),
        data=(
            SuperResolutionProblem(frames, domain, 2, 1e-2, fix_first=False),
            torch.cat([identity, w0]),
        ),
    )


def error(image):
    """Relative error of a reconstruction, per cent."""
    return 100 * float((image - paper().image).norm() / paper().image.norm())


@cache
def run(rows, derivative, max_iter=10, n_iter_cg=None, damping=1e-3, image0=None):
    problem, w0 = getattr(paper(), rows)
    return varpro(
        problem,
        w0,
        derivative,
        n_iter_cg=n_iter_cg,
        rows=rows,
        max_iter=max_iter,
        damping=damping,
        image0=image0,
    )


def error_after(rows, derivative, steps, max_iter):
    """The error after some steps of a longer run."""
    problem, _ = getattr(paper(), rows)
    return error(problem.reconstruct(run(rows, derivative, max_iter).history[steps].w))


# --- Figures 4 to 6 --------------------------------------------------------------------


def test_the_problem():
    (stacked, _), (data, _) = paper().stacked, paper().data
    assert paper().frames.shape == (4, 10, 10) and paper().image.shape == (20, 20)
    assert (stacked.n_params, data.n_params) == (18, 24)


def test_at_the_true_maps():
    problem, w0 = paper().stacked
    assert error(problem.reconstruct(paper().w_true)) == pytest.approx(6.7, abs=0.1)
    assert error(problem.reconstruct(w0)) == pytest.approx(37.2, abs=1)


def test_published_settings():
    """The paper prints 10.7 % and 25.61 %."""
    assert error(run("data", "implicit").image) == pytest.approx(10.6, abs=0.3)
    assert error_after("data", "none", 10, 50) == pytest.approx(25.2, abs=0.7)


def test_stacked_rows():
    assert error(run("stacked", "implicit").image) == pytest.approx(9.7, abs=0.3)
    assert error_after("stacked", "none", 10, 50) == pytest.approx(27.4, abs=0.4)


def test_none_is_unconverged():
    assert error_after("data", "none", 50, 50) == pytest.approx(17.3, abs=0.5)
    assert error_after("stacked", "none", 50, 50) == pytest.approx(14.4, abs=0.5)
    assert run("stacked", "none", 50).status is Status.MAX_ITERATIONS
    # With the derivative nothing changes any more after eight of ten steps.
    eighth, last = (run("stacked", "implicit").history[k].loss for k in (8, 10))
    assert last == pytest.approx(eighth, rel=1e-4)
    assert error_after("stacked", "implicit", 8, 10) == pytest.approx(9.7, abs=0.3)


def test_kaufman_and_unrolled_do_as_well():
    exact = run("stacked", "implicit").loss
    assert run("stacked", "kaufman").loss == pytest.approx(exact, rel=0.01)
    assert run("stacked", "unrolled", n_iter_cg=200).loss == pytest.approx(exact, rel=0.01)
    for result in (run("stacked", "kaufman"), run("stacked", "unrolled", n_iter_cg=200)):
        assert error(result.image) == pytest.approx(9.7, abs=0.3)
    assert run("stacked", "none", 50).history[10].loss > 2 * exact


# --- which rows, and their gradients ---------------------------------------------------


@cache
def dense(which):
    """Image, ∂f/∂w, D, Jacobian and residual by dense algebra, at one of the starts."""
    problem, w = paper().stacked
    if which == "scales":
        w = register_frames(paper().frames, paper().domain).w
    return at(problem, w)


def at(problem, w):
    operator = problem.operator(w)
    A = operator(torch.eye(400, dtype=torch.float64).reshape(20, 20, 400))
    f = torch.linalg.lstsq(A, problem.target[:, None]).solution[:, 0]
    r, D = A @ f - problem.target, operator.derivative(f.reshape(20, 20))
    right = -operator.derivative_adjoint(r).reshape(400, -1) - A.T @ D
    df = torch.linalg.solve(A.T @ A, right)
    return SimpleNamespace(w=w, f=f, df=df, D=D, J=D + A @ df, r=r, A=A)


@pytest.mark.parametrize(("which", "expected"), [("scales", 1.95), ("published", 2.16)])
def test_gradient_without_the_derivative_of_the_projection(which, expected):
    """Of the data rows it is wrong by 195 % where the registration over scales starts."""
    here, n = dense(which), paper().stacked[0].n_data
    exact, without = (M[:n].T @ here.r[:n] for M in (here.J, here.D))
    assert float((without - exact).norm() / exact.norm()) == pytest.approx(expected, abs=0.1)
    exact, without = (M.T @ here.r for M in (here.J, here.D))
    assert (without - exact).norm() < 1e-9 * exact.norm()


def test_conditioning():
    A = dense("published").A
    assert float(torch.linalg.cond(A.T @ A)) == pytest.approx(1.3e4, rel=0.1)


# --- Figure 7: parts of 200 iterations -------------------------------------------------


@cache
def derivative_errors():
    """Relative errors of ∂f/∂w at the published start, each the median of five.

    Those of a part of the iterations change in their first digit with the last digit of w. So w
    is shifted a little, five times.
    """
    problem, w0 = paper().stacked
    rules = {0.5: Unrolled(last=0.5), 0.7: Unrolled(last=0.7), 0.9: Unrolled(last=0.9)}
    rules |= {0.0: Unrolled(last=0.0), 0.95: Unrolled(last=0.95), 1.0: Unrolled()}
    rules |= {count: Implicit(count) for count in (25, 50, 100, 200)}
    rules |= {"first": Unrolled(first=0.7)}
    errors = {name: [] for name in rules}
    truth = dense("published").df
    for seed in range(5):
        noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(18))
        operator = problem.operator(w0 + 1e-9 * noise)
        for name, rule in rules.items():
            projection = Projection(problem, rule, n_iter=200)
            df = projection.image_derivative(operator, projection.project(operator))
            errors[name].append(float((df.reshape(400, -1) - truth).norm() / truth.norm()))
    return {name: np.median(five) for name, five in errors.items()}


def test_a_part_of_the_iterations_is_worse_than_none():
    errors = derivative_errors()
    assert errors[0.0] == pytest.approx(1, abs=1e-9)
    assert errors[0.5] > 50 and errors[0.7] > 50
    assert 0.01 < errors[1.0] < 0.1
    assert errors[0.95] < 0.2 and errors[0.9] < 0.1 * min(errors[0.5], errors[0.7])
    assert errors[1.0] < 1.5 * errors[0.95] < 3 * errors[0.9]
    assert errors["first"] < 0.2  # the first 70 % do what the last 70 % do not


def test_tangent_equations_improve_steadily():
    errors = derivative_errors()
    counts = [errors[count] for count in (25, 50, 100, 200)]
    assert counts == pytest.approx([0.64, 0.45, 0.22, 0.037], rel=0.15)
    assert all(b < 0.8 * a for a, b in itertools.pairwise(counts))


# --- Figures 8, 9: the optimisation with a part ----------------------------------------


# The table of chapter 7: errors after ten steps with 200 iterations from frame 0, stacked rows and
# data rows.
PARTS = [
    (Unrolled(last=0.0), 27.4, 24.5),
    (Unrolled(last=0.9), 9.7, 11.3),
    (Unrolled(last=0.95), 9.7, 10.5),
    (Unrolled(last=1.0), 9.7, 10.5),
    (Unrolled(first=0.25), 10.0, 13.7),
    (Unrolled(first=0.5), 9.7, 10.8),
    (Unrolled(first=0.7), 9.7, 10.9),
    (Implicit(10), 13.0, 16.2),
    (Implicit(25), 9.8, 15.3),
    (Implicit(50), 9.6, 14.3),
    (Implicit(100), 9.7, 10.8),
    (Implicit(200), 9.7, 10.7),
]


@pytest.mark.parametrize(("rule", "stacked", "data"), PARTS, ids=lambda value: str(value))
def test_table_of_chapter_7(rule, stacked, data):
    for rows, expected in (("stacked", stacked), ("data", data)):
        # The last decimal of a rule that differentiates a part hangs on rounding.
        margin = 0.04 if isinstance(rule, Implicit) or not rule.last else 0.1
        found = error(run(rows, rule, n_iter_cg=200, image0="frame 0").image)
        assert found == pytest.approx(expected, rel=margin), rows


@pytest.mark.parametrize("rows", ["stacked", "data"])
@pytest.mark.parametrize("image0", [None, "frame 0"])
def test_the_last_80_percent_leave_the_start_but_stay_behind(rows, image0):
    found = error(run(rows, Unrolled(last=0.8), n_iter_cg=200, image0=image0).image)
    assert 13 < found < 33


@pytest.mark.parametrize("rows", ["stacked", "data"])
def test_half_of_the_iterations_do_not_leave_the_start(rows):
    for last, least in ((0.5, 36), (0.7, 30)):  # the second hangs on rounding: 34 to 37
        found = error(run(rows, Unrolled(last=last), n_iter_cg=200, image0="frame 0").image)
        assert found > least
    # Nearly undamped they leave it, and the last 70 % beat no derivative at all.
    half, most, none = (
        run(rows, Unrolled(last=last), n_iter_cg=200, damping=1e-12, image0="frame 0")
        for last in (0.5, 0.7, 0.0)
    )
    assert most.loss < none.loss and error(most.image) < 30 and error(half.image) < 34
    assert rows == "stacked" or half.loss < none.loss


def test_order_of_the_losses():
    whole, part, none = (
        run("stacked", Unrolled(last=last), n_iter_cg=200) for last in (1.0, 0.7, 0.0)
    )
    assert part.loss > none.loss > 1.5 * whole.loss


# --- Figures 10, 11: inexact projections -----------------------------------------------


def test_inexact_projections():
    """All iterations differentiated, errors with an exact last image."""
    counts = (1, 5, 10, 25, 50, 100)
    results = {n: run("stacked", "unrolled", n_iter_cg=n) for n in counts}
    problem, _ = paper().stacked
    reduced = [float(problem.loss(results[n].w, results[n].image)) for n in counts]
    assert all(b < 1.005 * a for a, b in itertools.pairwise(reduced))
    assert reduced[0] > 2 * reduced[2] and reduced[1] > 1.05 * reduced[4]
    errors = {n: error(result.image) for n, result in results.items()}
    assert errors[1] > 30  # one iteration does not even keep the start
    assert 12 < errors[5] < 17
    assert errors[10] < 14 and errors[25] < 12
    assert errors[50] == pytest.approx(9.7, abs=0.5) and errors[100] == pytest.approx(9.7, abs=0.5)
    assert errors[10] < 0.6 * error_after("stacked", "none", 10, 50)


# The table of chapter 8, from frame 0 as published: what the paper's figure shows, unrolled with
# the data rows, and with all rows.
FROM_FRAME_0 = [
    (1, 23.0, 23.1, 23.7),
    (5, 12.4, 12.6, 12.0),
    (10, 11.5, 11.4, 10.7),
    (25, 11.0, 10.8, 9.9),
    (50, 11.1, 11.1, 9.4),
    (100, 10.4, 10.5, 9.7),
]


@pytest.mark.parametrize(("count", "paper", "published", "stacked"), FROM_FRAME_0)
def test_figure_10_from_frame_0(count, paper, published, stacked):
    found = {
        rows: error(run(rows, "unrolled", n_iter_cg=count, image0="frame 0").image)
        for rows in ("data", "stacked")
    }
    assert found["data"] == pytest.approx(paper, abs=0.5)
    assert found["data"] == pytest.approx(published, abs=0.3)
    assert found["stacked"] == pytest.approx(stacked, abs=0.3)


# From a black image: unrolled and Kaufman with all rows, unrolled with the data rows.
INEXACT = [
    (1, 43.4, 23.7, 45.2),
    (5, 14.1, 11.2, 24.1),
    (10, 11.9, 11.4, 13.1),
    (25, 10.6, 10.7, 11.6),
    (50, 9.7, 9.6, 13.7),
    (100, 9.7, 9.8, 10.9),
    (None, 9.7, 9.7, 10.5),
]


@pytest.mark.parametrize(("count", "unrolled", "kaufman", "published"), INEXACT)
def test_table_of_chapter_8(count, unrolled, kaufman, published):
    rule = "unrolled" if count else "implicit"
    for rows, name, expected in (
        ("stacked", rule, unrolled),
        ("stacked", "kaufman", kaufman),
        ("data", rule, published),
    ):
        found = error(run(rows, name, n_iter_cg=count).image)
        assert found == pytest.approx(expected, rel=0.04), (rows, name)


def test_rough_images():
    """Without derivative they do less harm; Kaufman's rule with accurate tangents forgives them."""
    assert error(run("stacked", "none", n_iter_cg=10).image) == pytest.approx(12.2, abs=0.4)
    accurate = run("stacked", Kaufman(200), n_iter_cg=5)
    assert error(accurate.image) == pytest.approx(10.0, abs=0.4)


# --- Chapter 5: the joint method, and frame 0 set free ---------------------------------


@cache
def joint(start):
    """A joint run from the published maps and one of three images."""
    problem, w0 = paper().stacked
    images = {
        "best": None,
        "frame 0": paper().frames[0].repeat_interleave(2, 0).repeat_interleave(2, 1),
        "grey": torch.full((20, 20), float(paper().frames.mean()), dtype=torch.float64),
    }
    return joint_gauss_newton(problem, w0, image0=images[start], max_iter=20, tol_cg=1e-6)


def steps_to(result, lowest, excess):
    """Steps until the loss is within a part of the lowest one."""
    return next(s.iteration for s in result.history if s.loss < (1 + excess) * lowest)


def test_joint_method_needs_more_steps():
    problem, w0 = paper().stacked
    projected = varpro(problem, w0, "kaufman", max_iter=20, tol_cg=1e-6)
    runs = [joint(start) for start in ("best", "frame 0", "grey")]
    lowest = min(run.loss for run in [projected, *runs])
    assert [steps_to(run, lowest, 1e-3) for run in runs] == pytest.approx([15, 10, 7], abs=1)
    assert steps_to(projected, lowest, 1e-3) == pytest.approx(5, abs=1)
    for run in runs:
        assert error(run.image) == pytest.approx(error(projected.image), abs=0.1)


def test_everything_may_drift_if_frame_0_is_free():
    problem, w0 = paper().data
    errors, drifts = [], []
    for steps in (10, 20):
        run = varpro(problem, w0, "kaufman", max_iter=steps)
        moved = Affine(2)(run.w[:6], paper().domain.cell_centers())
        back = SplineImage(run.image, paper().domain)(moved).reshape(20, 20)
        assert error(back) == pytest.approx(10, abs=0.4)
        errors.append(error(run.image))
        drifts.append(float((moved - paper().domain.cell_centers()).norm(dim=1).max()))
    assert errors == pytest.approx([11.4, 13], abs=0.5)
    assert drifts == pytest.approx([0.8, 1.3], abs=0.1)
