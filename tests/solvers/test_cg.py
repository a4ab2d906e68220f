"""CG and its derivatives against SciPy, dense solves, a textbook loop and finite differences."""

import math

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch.func import grad, jacfwd, jacrev, jvp, vmap

import dense_frames
from regtools.solvers import Status, conjugate_gradient, differentiate_cg
from regtools.solvers.cg import ADVICE

N = 60


def differentiated(*arguments, **options):
    """x, dx and the number of iterations."""
    result = differentiate_cg(*arguments, **options)
    assert result.success and result.history == ()
    return result.x, result.dx, result.n_iter


def symmetric(eigenvalues, seed=0):
    """A dense symmetric matrix with given eigenvalues."""
    shape = len(eigenvalues), len(eigenvalues)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal(shape))
    return torch.from_numpy(q * eigenvalues @ q.T)


def vector(*shape, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


MATRIX, RIGHT = symmetric(np.linspace(1, 300, N)), vector(N)


def scipys(A, b, n_iter, x0=None):
    """The iterate of SciPy's CG after exactly so many iterations."""
    answer = scipy.sparse.linalg.cg(A.numpy(), b.numpy(), x0, rtol=0, atol=0, maxiter=n_iter)
    return torch.from_numpy(answer[0])


def close(ours, expected, tol=1e-12):
    """Both agree to `tol`, relative to the size of the whole."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=tol * float(expected.abs().max()))


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


def test_overflow_is_no_success():
    result = conjugate_gradient(MATRIX, 1e200 * RIGHT, tol=1e-6)
    assert result.status is Status.BREAKDOWN and not result.success


# --- several columns -------------------------------------------------------------------

COLUMNS = torch.stack([RIGHT, MATRIX @ RIGHT, 1e-5 * vector(N, seed=8), 0 * RIGHT], dim=1)


@pytest.mark.parametrize("options", [{"n_iter": 9}, {"tol": 1e-5}], ids=str)
def test_columns_are_solved_as_if_alone(options):
    together = conjugate_gradient(MATRIX, COLUMNS, columns=True, **options)
    alone = [conjugate_gradient(MATRIX, b, **options) for b in COLUMNS.T]
    for x, one in zip(together.x.T, alone, strict=True):
        close(x, one.x, 1e-10)
    assert together.success and together.n_iter == max(one.n_iter for one in alone)
    assert together.x[:, 3].abs().max() == 0
    assert len({one.n_iter for one in alone}) > 1
    worst = max(alone, key=lambda one: one.residual_norm**2 - one.tolerance**2)
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


# --- derivatives of the loop as it runs ------------------------------------------------

SIZE, PARAMETERS = 7, 3
W = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)


def small_matrix(w):
    """A positive definite matrix that depends on w."""
    base = symmetric(np.linspace(1, 30, SIZE), seed=2)
    directions = [symmetric(np.linspace(-2, 2, SIZE), seed=3 + k) for k in range(PARAMETERS)]
    change = sum(w[k].sin() * directions[k] for k in range(PARAMETERS))
    return base + change @ change + change


def small_right(w):
    return torch.stack([(w * (k + 1)).sin().sum() + 1 for k in range(SIZE)])


def solved(w):
    return torch.linalg.solve(small_matrix(w), small_right(w))


def iterate(n_iter, **options):
    """The map from w to an iterate, by the code under test."""
    return lambda w: conjugate_gradient(small_matrix(w), small_right(w), n_iter=n_iter, **options).x


def textbook(n_iter):
    """The same by a loop of a few lines."""
    return lambda w: dense_frames.cg(small_matrix(w), small_right(w), n_iter)


def slopes(function, w, step=1e-5):
    """Central differences, one column for each parameter."""
    shifts = step * torch.eye(len(w)).double()
    return torch.stack([(function(w + s) - function(w - s)) / (2 * step) for s in shifts], -1)


TRANSFORMS = {
    "jacfwd": lambda f: jacfwd(f)(W),
    "jacrev": lambda f: jacrev(f)(W),
    "jvp": lambda f: torch.stack([jvp(f, (W,), (e,))[1] for e in torch.eye(3).double()], -1),
    "jvp under vmap": lambda f: vmap(lambda e: jvp(f, (W,), (e,))[1])(torch.eye(3).double()).T,
    "autograd": lambda f: torch.autograd.functional.jacobian(f, W),
}


@pytest.mark.parametrize("n_iter", [1, 3, 5])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_derivative_of_an_iterate_is_that_of_the_iterate(transform, n_iter):
    ours = transform(iterate(n_iter))
    close(ours, jacfwd(textbook(n_iter))(W), 1e-11)
    close(ours, slopes(textbook(n_iter), W), 1e-7)
    distance = ours - jacfwd(solved)(W)
    assert distance.norm() > 1e-3 * ours.norm()  # the solution has another derivative


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_after_all_iterations_it_is_that_of_the_solution(transform):
    close(transform(iterate(None, tol=1e-14)), jacfwd(solved)(W), 1e-8)


def test_gradient_of_a_number():
    loss = lambda f: lambda w: f(w).square().sum()  # noqa: E731
    close(grad(loss(iterate(4)))(W), grad(loss(textbook(4)))(W), 1e-11)
    close(grad(loss(iterate(4)))(W), slopes(loss(textbook(4)), W), 1e-7)


NESTED = {
    "forward over forward": lambda f: jacfwd(jacfwd(f))(W),
    "forward over reverse": lambda f: jacfwd(jacrev(f))(W),
    "reverse over forward": lambda f: jacrev(jacfwd(f))(W),
    "reverse over reverse": lambda f: jacrev(jacrev(f))(W),
}


@pytest.mark.parametrize("transform", NESTED.values(), ids=NESTED)
def test_second_derivatives(transform):
    partly = transform(iterate(4))
    close(partly, transform(textbook(4)), 1e-9)
    close(partly, slopes(jacfwd(textbook(4)), W), 1e-6)
    # Not jacfwd(jacfwd(solved)): forward over forward, torch.linalg.solve is wrong (torch 2.13).
    close(transform(iterate(None, tol=1e-14)), slopes(jacfwd(solved), W), 1e-7)


def test_vmap_over_right_hand_sides_and_matrices():
    """Each lane stops for itself, though all advance together."""
    rights = torch.stack([torch.eye(SIZE).double()[0], vector(SIZE), 0 * vector(SIZE)])
    matrices = torch.stack([torch.diag(torch.arange(1.0, 8.0)).double(), small_matrix(W)] * 2)[:3]
    together = vmap(lambda A, b: conjugate_gradient(A, b, tol=1e-12).x)(matrices, rights)
    for A, b, x in zip(matrices, rights, together, strict=True):
        close(x, torch.linalg.solve(A, b) if b.abs().max() else torch.zeros(SIZE).double(), 1e-11)
    one_matrix = vmap(lambda b: conjugate_gradient(MATRIX, b, n_iter=5).x)(COLUMNS.T)
    close(one_matrix.T, conjugate_gradient(MATRIX, COLUMNS, n_iter=5, columns=True).x)


def test_derivative_of_a_column_that_is_done_is_finite():
    """Where nothing is left the step is zero over zero unless it is guarded."""

    def both(w):
        right = torch.stack([small_right(w), 0 * small_right(w)], dim=1)
        return conjugate_gradient(small_matrix(w), right, n_iter=4, columns=True).x

    for transform in (jacfwd, jacrev):
        derivative = transform(both)(W)
        close(derivative[:, 0], jacfwd(textbook(4))(W), 1e-11)
        assert derivative[:, 1].abs().max() == 0


def test_derivative_with_respect_to_x0():
    start = vector(SIZE, seed=6)
    ours = jacfwd(lambda x: conjugate_gradient(small_matrix(W), small_right(W), x, n_iter=3).x)
    expected = jacfwd(lambda x: dense_frames.cg(small_matrix(W), small_right(W), 3, x))
    close(ours(start), expected(start), 1e-11)


# --- derivatives carried along ---------------------------------------------------------


def block_product(w, matrix=small_matrix):
    """Map [x, dx_1, …] to [A x, …], from the derivative of the dense matrix."""
    A, dA = matrix(w), jacfwd(matrix)(w)

    def apply(block):
        product = A @ block
        product[:, 1:] += torch.einsum("ijk,j->ik", dA, block[:, 0])
        return product

    return apply


def carried(n_iter, **options):
    return differentiated(
        block_product(W), small_right(W), jacfwd(small_right)(W), n_iter=n_iter, **options
    )[:2]


@pytest.mark.parametrize("n_iter", [1, 2, 3, 5, 7])
def test_carried_derivatives_equal_jvp_tangent_by_tangent(n_iter):
    x, dx = carried(n_iter)
    close(x, iterate(n_iter)(W))
    for k, direction in enumerate(torch.eye(PARAMETERS).double()):
        value, tangent = jvp(iterate(n_iter), (W,), (direction,))
        close(x, value)
        close(dx[:, k], tangent, 1e-10)
    close(dx, slopes(textbook(n_iter), W), 1e-6)


def test_carried_derivatives_of_all_iterations_are_those_of_the_solution():
    x, dx = carried(7)
    close(x, solved(W), 1e-8)
    close(dx, jacfwd(solved)(W), 1e-6)


@pytest.mark.parametrize("n_iter", [1, 2, 4])
def test_carried_derivatives_from_a_constant_start(n_iter):
    start = vector(SIZE, seed=6)
    x, dx = carried(n_iter, x0=start)
    restarted = lambda w: dense_frames.cg(small_matrix(w), small_right(w), n_iter, start)  # noqa: E731
    close(x, restarted(W), 1e-11)
    close(dx, jacfwd(restarted)(W), 1e-10)


def test_no_iteration_leaves_the_start_and_no_derivative():
    x, dx = carried(0)
    assert x.abs().max() == 0 and dx.abs().max() == 0 and dx.shape == (SIZE, PARAMETERS)
    start = vector(SIZE, seed=6)
    x, dx = carried(0, x0=start)
    assert torch.equal(x, start) and dx.abs().max() == 0


def test_derivatives_of_images():
    """Right-hand sides of any shape: the tangents are the last axis."""
    flat = block_product(W)
    to_image = lambda block: flat(block.reshape(SIZE, -1)).reshape(block.shape)  # noqa: E731
    right, slope = small_right(W), jacfwd(small_right)(W)
    x, dx, _ = differentiated(to_image, right.reshape(1, 7), slope.reshape(1, 7, 3), n_iter=4)
    close(x.flatten(), carried(4)[0])
    close(dx.reshape(7, 3), carried(4)[1])


def test_no_derivative_where_the_right_hand_side_vanishes():
    zero = torch.zeros(SIZE).double()
    x, dx, _ = differentiated(block_product(W), zero, jacfwd(small_right)(W), n_iter=5)
    assert torch.isfinite(dx).all() and x.abs().max() == 0


def test_more_iterations_than_unknowns_stay_finite():
    """The residual vanishes to the last digit, and 0 / 0 with it unless the loop ends."""
    identity = lambda block: 2 * block  # noqa: E731
    right = torch.ones(3).double()
    x, dx, n_iter = differentiated(identity, right, torch.eye(3).double(), n_iter=50)
    close(x, right / 2)
    assert torch.isfinite(dx).all() and n_iter == 1


@pytest.mark.parametrize("skip", [1, 2, 4, 6])
def test_skip_takes_the_first_iterations_as_constants(skip):
    """The loop is run at W, then goes on with a matrix that depends on w."""
    n_iter, A, b = 6, small_matrix(W), small_right(W)
    x, r = torch.zeros(SIZE).double(), b
    p, rr = r, r @ r
    for _ in range(skip):
        alpha = rr / (p @ A @ p)
        x, r = x + alpha * p, r - alpha * A @ p
        rr, old = r @ r, rr
        p = r + rr / old * p
    state = x, r, p, rr

    def rest(w):
        x, r, p, rr = state
        for _ in range(skip, n_iter):
            Ap = small_matrix(w) @ p
            alpha = rr / (p @ Ap)
            x, r = x + alpha * p, r - alpha * Ap
            rr, old = r @ r, rr
            p = r + rr / old * p
        return x

    x, dx = carried(n_iter, skip=skip)
    close(x, textbook(n_iter)(W), 1e-10)
    expected = jacfwd(rest)(W)
    if skip == n_iter:
        assert dx.abs().max() == expected.abs().max() == 0
    else:
        close(dx, expected, 1e-8)
        assert (dx - carried(n_iter)[1]).norm() > 1e-3 * dx.norm()


def test_frozen_takes_the_step_sizes_as_constants():
    n_iter, A, b = 5, small_matrix(W), small_right(W)
    r = p = b
    sizes = []
    for _ in range(n_iter):
        alpha = (r @ r) / (p @ A @ p)
        new = r - alpha * A @ p
        beta = (new @ new) / (r @ r)
        sizes.append((alpha, beta))
        r, p = new, new + beta * p

    def with_these(w):
        x, r = torch.zeros(SIZE).double(), small_right(w)
        p = r
        for alpha, beta in sizes:
            x, r = x + alpha * p, r - alpha * small_matrix(w) @ p
            p = r + beta * p
        return x

    x, dx = carried(n_iter, frozen=True)
    close(x, textbook(n_iter)(W), 1e-11)
    close(dx, jacfwd(with_these)(W), 1e-10)
    assert (dx - carried(n_iter)[1]).norm() > 1e-3 * dx.norm()


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
