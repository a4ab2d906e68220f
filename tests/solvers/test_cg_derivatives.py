"""Derivatives of CG against a textbook loop, dense solves and finite differences."""

import numpy as np
import pytest
import torch
from torch.func import grad, jacfwd, jacrev, jvp, vmap

import dense_frames
from compare import close
from regtools.solvers import conjugate_gradient, differentiate_cg
from systems import COLUMNS, MATRIX, differentiated, symmetric, vector

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
    found = differentiate_cg(block_product(W), zero, jacfwd(small_right)(W), n_iter=5)
    assert torch.isfinite(found.dx).all() and found.x.abs().max() == 0 and not found.success


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
