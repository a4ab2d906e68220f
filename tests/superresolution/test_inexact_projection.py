"""Each rule for ∂f/∂w after a number of CG iterations, against what it claims to be."""

import itertools

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import torch

from dense_frames import cg
from dense_rules import N_ITER, RULES, check, close, found
from regtools.superresolution import (
    Implicit,
    Kaufman,
    NoDerivative,
    Projection,
    Unrolled,
    enlarged_frame,
    projection_jacobian,
)


def test_none_takes_the_image_as_constant(dense):
    image = cg(dense.N, dense.right, N_ITER)
    check(dense, "none", N_ITER, image, torch.zeros(dense.shape).double().flatten(0, -2))


@pytest.mark.parametrize("count", [None, 5, 30])
def test_kaufman_with_a_count(dense, count):
    image = cg(dense.N, dense.right, N_ITER)
    right = dense.tangent_right(image, kaufman=True)
    check(dense, Kaufman(count), N_ITER, image, dense.columns(right, count or N_ITER))


@pytest.mark.parametrize("count", [None, 5, 30])
def test_implicit_with_a_count(dense, count):
    image = cg(dense.N, dense.right, N_ITER)
    right = dense.tangent_right(image)
    check(dense, Implicit(count), N_ITER, image, dense.columns(right, count or N_ITER))


def test_implicit_with_a_count_after_an_exact_projection(dense):
    right = dense.tangent_right(dense.f)
    image, df, _ = found(dense, Implicit(7), None)
    close(image, dense.f, 1e-9)
    close(df, dense.columns(right, 7), 1e-8)


@pytest.mark.parametrize("n_iter", [1, 5, N_ITER])
def test_unrolled_is_the_derivative_of_the_iterate(dense, n_iter):
    image = cg(dense.N, dense.right, n_iter)
    check(dense, "unrolled", n_iter, image, dense.through_cg(n_iter))


@pytest.mark.parametrize("last", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_last_iterations_restart_where_differentiation_begins(dense, last):
    inside = round(last * N_ITER)
    before = cg(dense.N, dense.right, N_ITER - inside)
    image = cg(dense.N, dense.right, inside, before)
    df = torch.zeros_like(dense.through_cg(1))
    if inside:
        df = dense.through_cg(inside, before if inside < N_ITER else None)
    check(dense, Unrolled(last=last), N_ITER, image, df)


@pytest.mark.parametrize("first", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_first_iterations_and_a_constant_rest(dense, first):
    inside = round(first * N_ITER)
    before = cg(dense.N, dense.right, inside)
    image = cg(dense.N, dense.right, N_ITER - inside, before)
    df = dense.through_cg(inside) if inside else torch.zeros_like(dense.through_cg(1))
    check(dense, Unrolled(first=first), N_ITER, image, df)


@pytest.mark.parametrize("last", [0.0, 0.5, 1.0])
def test_cg_may_start_at_an_image(dense, last):
    """A constant one: its derivative is zero, and that of the iterates starts from zero."""
    image0 = torch.linspace(-1, 2, len(dense.f), dtype=torch.float64).sin()
    inside = round(last * N_ITER)
    before = cg(dense.N, dense.right, N_ITER - inside, image0)
    image = cg(dense.N, dense.right, inside, before)
    df = dense.through_cg(inside, before) if inside else torch.zeros_like(dense.through_cg(1))
    shaped = image0.reshape(dense.problem.domain.m)
    check(dense, Unrolled(last=last), N_ITER, image, df, image0=shaped)


@pytest.mark.parametrize("rule", [NoDerivative(), Kaufman(), Implicit(), Unrolled(first=0.5)])
def test_every_rule_starts_at_the_image(dense_2d, rule):
    image0 = dense_2d.problem.frames.mean().expand(dense_2d.problem.domain.m)
    begin = image0.flatten()
    expected = cg(dense_2d.N, dense_2d.right, 6, begin)
    if isinstance(rule, Unrolled):  # which restarts
        expected = cg(dense_2d.N, dense_2d.right, 3, cg(dense_2d.N, dense_2d.right, 3, begin))
        df = dense_2d.through_cg(3, begin)
    elif isinstance(rule, NoDerivative):
        df = torch.zeros_like(dense_2d.through_cg(1))
    else:
        right = dense_2d.tangent_right(expected, kaufman=isinstance(rule, Kaufman))
        df = dense_2d.columns(right, 6)
    check(dense_2d, rule, 6, expected, df, image0=image0)


def test_frame_0_is_enlarged_for_a_start(dense_2d):
    """As a spline of the coarse pixels, read at the fine cells: here axis by axis, by SciPy's."""
    problem, values = dense_2d.problem, dense_2d.problem.frames[0].numpy()
    element = scipy.interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    for axis, (m, fine) in enumerate(zip(values.shape, problem.domain.m, strict=True)):
        rows = scipy.linalg.toeplitz([4.0, 1.0] + [0.0] * (m - 2))
        bend = scipy.linalg.toeplitz(([96.0, -54.0, 0.0, 6.0] + [0.0] * m)[:m])
        coefficients = np.linalg.solve(rows.T @ rows + 1e-2 * bend, rows.T)
        u = (np.arange(fine) + 0.5) * m / fine - 0.5
        read = 6 * np.nan_to_num(element(u[:, None] - np.arange(m))) @ coefficients
        values = np.moveaxis(np.tensordot(read, values, (1, axis)), 0, axis)
    close(enlarged_frame(problem.frames[0], problem.domain), torch.from_numpy(values))
    ours = found(dense_2d, "unrolled", 3, image0="frame 0")
    given = found(dense_2d, "unrolled", 3, image0=torch.from_numpy(values))
    for one, other in zip(ours, given, strict=True):
        close(one, other, 1e-9)


def test_a_restart_changes_the_image(dense_2d):
    """Nothing is restarted where all or nothing is differentiated."""
    images = {
        last: found(dense_2d, Unrolled(last=last), N_ITER)[0]
        for last in (0.0, 0.01, 0.5, 0.99, 1.0)
    }
    through = cg(dense_2d.N, dense_2d.right, N_ITER)
    for last in (0.0, 0.01, 0.99, 1.0):
        close(images[last], through)
    assert (images[0.5] - through).norm() > 1e-4 * through.norm()


@pytest.mark.parametrize("part", [{"last": 0.5}, {"first": 0.5}], ids=str)
def test_fractions_of_as_many_iterations_as_the_tolerance_needs(dense_2d, part):
    projection = Projection(dense_2d.problem, Unrolled(**part), n_iter=None, tol=1e-8)
    projected = projection.project(dense_2d.problem.operator(dense_2d.w))
    whole = Projection(dense_2d.problem, "none", n_iter=None, tol=1e-8)
    needed = whole.project(dense_2d.problem.operator(dense_2d.w)).n_iter
    assert projected.n_iter == needed > 10
    close(projected.image.flatten(), dense_2d.f, 1e-4)


def test_every_option_changes_the_result(dense_2d):
    jacobians = {
        (name, n_iter): projection_jacobian(dense_2d.problem, dense_2d.w, rule, n_iter_cg=n_iter)
        for name, rule in RULES.items()
        for n_iter in (N_ITER, 10)
    }
    jacobians["implicit", "exact"] = projection_jacobian(dense_2d.problem, dense_2d.w)
    for (one, a), (other, b) in itertools.combinations(jacobians.items(), 2):
        assert (a - b).norm() > 1e-3 * b.norm(), (one, other)
