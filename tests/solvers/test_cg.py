"""CG against SciPy and dense solves: iterates, stopping, breakdown, columns."""

import math

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from compare import close
from regtools.solvers import Status, conjugate_gradient
from regtools.solvers.cg import ADVICE
from systems import COLUMNS, MATRIX, RIGHT, N, differentiated, symmetric, vector


def scipys(A, b, n_iter, x0=None):
    """The iterate of SciPy's CG after exactly so many iterations."""
    answer = scipy.sparse.linalg.cg(A.numpy(), b.numpy(), x0, rtol=0, atol=0, maxiter=n_iter)
    return torch.from_numpy(answer[0])


# --- the iterates ----------------------------------------------------------------------


@pytest.mark.parametrize("x0", [None, vector(N, seed=2)], ids=["from zero", "from x0"])
@pytest.mark.parametrize(("n_iter", "tol"), [(1, 1e-14), (2, 1e-13), (3, 1e-13), (5, 1e-12)])
def test_iterates_equal_scipys(n_iter, tol, x0):
    ours = conjugate_gradient(MATRIX, RIGHT, x0, n_iter=n_iter)
    start = None if x0 is None else x0.numpy()
    close(ours.x, scipys(MATRIX, RIGHT, n_iter, start), tol)
    assert ours.n_iter == n_iter


def test_iterate_50_equals_scipys():
    """On a spectrum so dense that 50 iterations are far from the end, and rounding stays small."""
    matrix, right = symmetric(np.linspace(1, 1000, 300)), vector(300)
    expected, solution = scipys(matrix, right, 50), torch.linalg.solve(matrix, right)
    assert (expected - solution).norm() > 1e-3 * solution.norm()
    close(conjugate_gradient(matrix, right, n_iter=50).x, expected, 1e-8)


def test_a_matrix_a_function_and_any_shape_are_the_same():
    as_vector = conjugate_gradient(MATRIX, RIGHT, n_iter=7).x
    as_image = conjugate_gradient(
        lambda x: (MATRIX @ x.flatten()).reshape(4, 15), RIGHT.reshape(4, 15), n_iter=7
    ).x
    close(as_image.flatten(), as_vector)


def test_one_number():
    result = conjugate_gradient(lambda x: 4 * x, torch.tensor(2.0).double())
    assert result.success and result.x.shape == () and float(result.x) == 0.5


# --- when it stops ---------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-2, 1e-6, 1e-10])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_tolerance_is_relative_to_the_right_hand_side(tol, size):
    right = size * RIGHT
    result = conjugate_gradient(MATRIX, right, tol=tol)
    assert result.success and result.status is Status.CONVERGED
    assert result.tolerance == pytest.approx(tol * float(right.norm()))
    residual = float((right - MATRIX @ result.x).norm())
    assert residual == pytest.approx(result.residual_norm, rel=1e-3)
    assert residual <= result.tolerance
    before = conjugate_gradient(MATRIX, right, n_iter=result.n_iter - 1)
    assert before.residual_norm > result.tolerance  # it stops as soon as it may
    assert f"{result.residual_norm:.3e}" in result.message
    assert f"{result.tolerance:.3e}" in result.message


def test_the_tolerance_is_relative_to_b_from_any_start():
    x0 = 1e8 * vector(N, seed=2)
    result = conjugate_gradient(MATRIX, RIGHT, x0, tol=1e-6)
    assert result.success
    assert result.tolerance == pytest.approx(1e-6 * float(RIGHT.norm()))


def test_by_default_ten_digits():
    result = conjugate_gradient(MATRIX, RIGHT)
    assert result.success
    assert result.tolerance == pytest.approx(1e-10 * float(RIGHT.norm()))
    close(result.x, torch.linalg.solve(MATRIX, RIGHT), 1e-7)


def test_exactly_so_many_iterations_is_a_success():
    result = conjugate_gradient(MATRIX, RIGHT, n_iter=4)
    assert result.success and result.status is Status.DONE and result.n_iter == 4
    assert result.residual_norm > result.tolerance
    assert ADVICE[Status.DONE] in result.message


def test_too_few_iterations_for_the_tolerance_is_said():
    result = conjugate_gradient(MATRIX, RIGHT, max_iter=4, tol=1e-6)
    assert not result.success and result.status is Status.MAX_ITERATIONS and result.n_iter == 4
    assert "raise max_iter or tol" in result.message
    close(result.x, scipys(MATRIX, RIGHT, 4))


def test_without_a_number_it_gives_up_at_ten_per_unknown():
    """A shift whose symmetric part is positive definite: CG never gets there."""
    turn = torch.tensor([[1.0, 30.0], [-30.0, 1.0]], dtype=torch.float64)
    result = conjugate_gradient(turn, torch.ones(2, dtype=torch.float64))
    assert result.status in (Status.MAX_ITERATIONS, Status.BREAKDOWN) and not result.success
    assert result.n_iter <= 20


def test_nothing_left_to_do_ends_early():
    result = conjugate_gradient(3 * torch.eye(4).double(), torch.ones(4).double(), n_iter=50)
    assert result.success and result.n_iter == 1
    close(result.x, torch.ones(4).double() / 3)


def test_more_iterations_than_rounding_allows_stay_at_the_solution():
    result = conjugate_gradient(symmetric(np.logspace(0, 1, 8)), vector(8), n_iter=500)
    assert result.success and torch.isfinite(result.x).all()
    close(result.x, torch.linalg.solve(symmetric(np.logspace(0, 1, 8)), vector(8)), 1e-13)


@pytest.mark.parametrize("options", [{}, {"n_iter": 5}, {"tol": 1e-3}], ids=str)
def test_zero_right_hand_side(options):
    zero = torch.zeros(N, dtype=torch.float64)
    result = conjugate_gradient(MATRIX, zero, **options)
    assert result.success and result.n_iter == 0 and torch.equal(result.x, zero)
    assert result.residual_norm == result.tolerance == 0
    away = conjugate_gradient(MATRIX, zero, RIGHT, **options)
    assert away.success and torch.isfinite(away.x).all()
    if "n_iter" not in options:  # then the tolerance is relative to where it starts
        limit = options.get("tol", 1e-10) * float((MATRIX @ RIGHT).norm())
        assert away.tolerance == pytest.approx(limit)
        assert float((MATRIX @ away.x).norm()) <= 1.001 * limit


def test_start_at_the_solution_needs_no_iteration():
    solution = vector(N, seed=4)
    result = conjugate_gradient(MATRIX, MATRIX @ solution, solution, tol=1e-10)
    assert result.success and result.n_iter == 0 and torch.equal(result.x, solution)


# --- breakdown -------------------------------------------------------------------------


def test_indefinite_matrix_breaks_down_and_keeps_the_last_good_iterate():
    matrix = symmetric(np.r_[-3.0, np.linspace(1, 9, N - 1)])
    results = [conjugate_gradient(matrix, RIGHT, n_iter=k) for k in range(1, 30)]
    broken = next(result for result in results if not result.success)
    assert broken.status is Status.BREAKDOWN and broken.n_iter > 0
    assert "not positive definite" in broken.message
    close(broken.x, scipys(matrix, RIGHT, broken.n_iter), 1e-10)


def test_negative_definite_matrix_breaks_down_at_once():
    result = conjugate_gradient(-MATRIX, RIGHT, tol=1e-6)
    assert result.status is Status.BREAKDOWN and result.n_iter == 0
    assert torch.equal(result.x, torch.zeros_like(RIGHT))


@pytest.mark.parametrize("options", [{"tol": 1e-6}, {"n_iter": 1}, {"n_iter": 3}], ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
def test_what_is_not_finite_breaks_down(value, options):
    from_the_start = conjugate_gradient(lambda x: value * x, RIGHT, **options)
    in_the_first_residual = conjugate_gradient(lambda x: value * x, RIGHT, RIGHT, **options)
    later_on = iter([1.0, value, value])
    after_a_step = conjugate_gradient(lambda x: next(later_on) * MATRIX @ x, RIGHT, n_iter=3)
    x0 = torch.full_like(RIGHT, value)
    in_x0 = conjugate_gradient(MATRIX, RIGHT, x0, **options)
    for result in (from_the_start, in_the_first_residual, after_a_step, in_x0):
        assert result.status is Status.BREAKDOWN and not result.success
    for result in (from_the_start, in_the_first_residual, after_a_step):
        assert torch.isfinite(result.x).all()
    close(after_a_step.x, scipys(MATRIX, RIGHT, 1))


@pytest.mark.parametrize("unit", [1e-300, 1e-23, 1e200])
def test_the_size_of_the_right_hand_side_does_not_matter(unit):
    expected = conjugate_gradient(MATRIX, RIGHT, tol=1e-6)
    result = conjugate_gradient(MATRIX, unit * RIGHT, tol=1e-6)
    assert result.success and result.n_iter == expected.n_iter
    close(result.x / unit, expected.x, 1e-13)
    assert result.residual_norm == pytest.approx(unit * expected.residual_norm)
    single = conjugate_gradient(MATRIX.float(), (1e-23 * RIGHT).float(), tol=1e-4)
    close(single.x.double() / 1e-23, torch.linalg.solve(MATRIX, RIGHT), 1e-3)


@pytest.mark.parametrize("options", [{"n_iter": 9}, {"tol": 1e-5}], ids=str)
def test_columns_are_solved_as_if_alone(options):
    together = conjugate_gradient(MATRIX, COLUMNS, columns=True, **options)
    alone = [conjugate_gradient(MATRIX, b, **options) for b in COLUMNS.T]
    for x, one in zip(together.x.T, alone, strict=True):
        close(x, one.x, 1e-10)
    assert together.success and together.n_iter == max(one.n_iter for one in alone)
    assert together.x[:, 3].abs().max() == 0
    assert len({one.n_iter for one in alone}) > 1
    worst = max(alone, key=lambda one: one.relative_residual)
    assert together.residual_norm == pytest.approx(worst.residual_norm, rel=1e-6)
    assert together.tolerance == pytest.approx(worst.tolerance)


def test_without_columns_a_block_is_one_vector():
    whole = conjugate_gradient(MATRIX, COLUMNS, n_iter=6).x
    alone = conjugate_gradient(
        torch.kron(MATRIX, torch.eye(4).double()), COLUMNS.flatten(), n_iter=6
    ).x
    close(whole.flatten(), alone, 1e-11)
    assert (whole - conjugate_gradient(MATRIX, COLUMNS, n_iter=6, columns=True).x).norm() > 1e-2


def test_images_in_columns():
    right, x0 = vector(4, 15, 2), vector(4, 15, 2, seed=5)
    apply = lambda x: (MATRIX @ x.flatten(0, 1)).reshape(x.shape)  # noqa: E731
    together = conjugate_gradient(apply, right, x0, n_iter=5, columns=True).x
    for k in range(2):
        alone = scipys(MATRIX, right[..., k].flatten(), 5, x0[..., k].flatten().numpy())
        close(together[..., k].flatten(), alone)


def test_a_broken_column_does_not_stop_the_others():
    matrix = torch.diag(torch.tensor([1.0, 2.0, 5.0, -1.0])).double()
    right = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).double()
    result = conjugate_gradient(matrix, right, columns=True, tol=1e-12)
    assert result.status is Status.BREAKDOWN and not result.success
    close(result.x[:, 0], torch.tensor([1.0, 0.5, 0.2, 0.0], dtype=torch.float64))
    assert torch.isfinite(result.x).all()


# --- dtype, memory, bad input ----------------------------------------------------------


def test_float32_follows_the_input():
    result = conjugate_gradient(MATRIX.float(), RIGHT.float(), tol=1e-5)
    assert result.success and result.x.dtype == torch.float32
    close(result.x.double(), torch.linalg.solve(MATRIX, RIGHT), 1e-2)
    x, dx, _ = differentiated(lambda block: 2 * block, RIGHT[:3].float(), torch.eye(3), n_iter=3)
    assert x.dtype == dx.dtype == torch.float32


def test_inputs_stay_as_they_were():
    right, start = COLUMNS.clone(), vector(N, 4, seed=9)
    kept = start.clone()
    conjugate_gradient(MATRIX, right, start, n_iter=3, columns=True)
    assert torch.equal(right, COLUMNS) and torch.equal(start, kept)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"b": np.ones(N)}, TypeError, "b must be a floating-point tensor; got .*ndarray"),
        ({"b": torch.ones(N, dtype=torch.long)}, TypeError, "b must be .* got a torch.int64"),
        ({"b": RIGHT * math.nan}, ValueError, "b must be finite"),
        ({"x0": RIGHT[1:]}, ValueError, r"x0 must have the shape of b, \(60,\); got \(59,\)"),
        ({"x0": RIGHT.float()}, TypeError, "x0 must be .* dtype of b, .*float64; got .*float32"),
        ({"x0": 0.0}, TypeError, "x0 must be a tensor .* got float"),
        ({"A": MATRIX[1:]}, ValueError, r"A must be a square matrix .*\(60,\); got \(59, 60\)"),
        ({"A": MATRIX[1:, 1:]}, ValueError, r"A must be a square matrix .* got \(59, 59\)"),
        ({"A": MATRIX.float()}, TypeError, "A must have the dtype of b, .*64; got .*32"),
        ({"A": 3.0}, TypeError, "A must be a function or a matrix; got float"),
        ({"A": lambda x: x[:, None]}, ValueError, r"A must keep the shape \(60,\); got \(60, 1\)"),
        ({"b": RIGHT[0]}, ValueError, r"A must be a square matrix that fits b of shape \(\)"),
        ({"columns": True}, ValueError, "b must have at least 2 axes .* got 1"),
        ({"n_iter": 0}, ValueError, "n_iter must be a whole number from 1, or None; got 0"),
        ({"n_iter": 2.0}, ValueError, "n_iter must be a whole number from 1, or None; got 2.0"),
        ({"n_iter": True}, ValueError, "n_iter must be a whole number .* got True"),
        ({"tol": -1e-3}, ValueError, "tol must be at least 0; got -0.001"),
        ({"tol": math.nan}, ValueError, "tol must be at least 0; got nan"),
    ],
)
def test_bad_input_is_named(change, error, words):
    arguments = {"A": MATRIX, "b": RIGHT, **change}
    with pytest.raises(error, match=words):
        conjugate_gradient(**arguments)


def test_whole_numbers_of_numpy_count():
    assert conjugate_gradient(MATRIX, RIGHT, n_iter=np.int64(3)).n_iter == 3


# --- with a preconditioner -------------------------------------------------------------


@pytest.mark.parametrize("n_iter", [1, 3, 8])
def test_preconditioned_iterates_equal_scipys(n_iter):
    inverse = torch.diag(1 / MATRIX.diagonal())
    ours = conjugate_gradient(MATRIX, RIGHT, n_iter=n_iter, preconditioner=lambda r: inverse @ r)
    theirs, _ = scipy.sparse.linalg.cg(
        MATRIX.numpy(), RIGHT.numpy(), rtol=0, atol=0, maxiter=n_iter, M=inverse.numpy()
    )
    close(ours.x, torch.from_numpy(theirs), 1e-12)


def test_the_inverse_as_preconditioner_needs_one_iteration():
    inverse = torch.linalg.inv(MATRIX)
    found = conjugate_gradient(MATRIX, RIGHT, tol=1e-9, preconditioner=lambda r: inverse @ r)
    assert found.success and found.n_iter == 1
    assert math.isnan(found.condition) and found.error_bound < 1e-8 and not found.inaccuracy


def test_columns_and_what_the_preconditioner_would_still_add():
    inverse = torch.linalg.inv(MATRIX)
    rough = {"n_iter": 2, "columns": True}
    diagonal = 1 / MATRIX.diagonal()[:, None]
    found = conjugate_gradient(MATRIX, COLUMNS, preconditioner=lambda r: diagonal * r, **rough)
    for k, column in enumerate(COLUMNS.T):
        alone = conjugate_gradient(
            MATRIX, column, n_iter=2, preconditioner=lambda r: diagonal[:, 0] * r
        )
        close(found.x[:, k], alone.x, 1e-12)
    early = conjugate_gradient(
        MATRIX, RIGHT, 0.9 * inverse @ RIGHT, tol=0.2, preconditioner=lambda r: inverse @ r
    )
    assert early.n_iter == 0 and early.error_bound == pytest.approx(1 / 9)
    assert "off by up to 11 %, as the relative residual is 1e-01" in early.inaccuracy
