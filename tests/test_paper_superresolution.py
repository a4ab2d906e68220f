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
from regtools.optimize import Status
from regtools.projection import Implicit, Projection, Unrolled
from regtools.superresolution import SuperResolutionProblem, register_frames, simulate_frames
from regtools.transforms import Affine
from regtools.varpro import varpro

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
    w0 = register_frames(frames, domain, thetas=[1e-3])
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
def run(rows, derivative, max_iter=10, n_iter_cg=None):
    problem, w0 = getattr(paper(), rows)
    return varpro(problem, w0, derivative, n_iter_cg, rows, max_iter)


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
    assert error_after("stacked", "none", 10, 50) == pytest.approx(28, abs=1)


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
        w = register_frames(paper().frames, paper().domain)
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
            projection = Projection(problem, rule, 200)
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


def test_optimisation_with_a_part_of_the_iterations():
    whole, most, part, none = (
        run("stacked", Unrolled(last=last), n_iter_cg=200) for last in (1.0, 0.95, 0.7, 0.0)
    )
    assert error(whole.image) == pytest.approx(9.7, abs=0.3)
    assert error(most.image) == pytest.approx(9.7, abs=0.6)
    assert error(none.image) == pytest.approx(27.4, abs=1)
    assert part.loss > none.loss > 1.5 * whole.loss
    # The paper leaves out the first iterations as worse than the last.
    first = run("stacked", Unrolled(first=0.7), n_iter_cg=200)
    assert error(first.image) == pytest.approx(9.7, abs=0.6)


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
