"""The matrix A(w) and its derivatives against dense matrices."""

import math

import numpy as np
import pytest
import torch
from torch.func import jacfwd, jacrev

import dense_frames
from compare import close
from dense_frames import DOMAIN, picture, small_problem, start
from frame_problems import CASES, each_problem, noise, pixels


@each_problem
def test_operator_is_the_dense_matrix(options):
    problem = small_problem(**options)
    w = start(problem)
    expected = dense_frames.matrix(problem, w)
    operator = problem.operator(w)
    assert expected.shape == (problem.n_rows, math.prod(problem.canvas.m))
    close(operator(pixels(problem.canvas)), expected)
    rows = torch.eye(problem.n_rows, dtype=torch.float64)
    close(operator.adjoint(rows).flatten(0, -2), expected.T)
    close(problem.target, dense_frames.target(problem))
    assert problem.n_data == problem.frames.numel() < problem.n_rows


@each_problem
def test_dot_product(options):
    problem = small_problem(**options)
    operator = problem.operator(start(problem))
    image, rows = noise(*problem.canvas.m), noise(problem.n_rows, seed=1)
    forward, backward = (operator(image) * rows).sum(), (image * operator.adjoint(rows)).sum()
    assert float(forward) == pytest.approx(float(backward), abs=1e-11 * float(rows.norm() ** 2))
    assert abs(float(forward)) > 1e-3


@each_problem
def test_blocks_are_treated_image_by_image(options):
    problem = small_problem(**options)
    operator = problem.operator(start(problem))
    images, rows = noise(*problem.canvas.m, 3), noise(problem.n_rows, 3, seed=1)
    for function, block in [(operator, images), (operator.adjoint, rows)]:
        alone = torch.stack([function(one.contiguous()) for one in block.unbind(-1)], dim=-1)
        close(function(block), alone)
    normal = torch.stack([operator.adjoint(operator(f)) for f in images.unbind(-1)], dim=-1)
    close(operator.normal(images), normal)


# --- derivatives of A(w) ---------------------------------------------------------------


@each_problem
def test_derivatives_equal_those_of_the_dense_matrix(options):
    problem = small_problem(**options)
    w, image, rows = start(problem), picture(problem.canvas), noise(problem.n_rows, seed=1)
    operator, dA = problem.operator(w), jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
    D = torch.einsum("rnk,n->rk", dA, image.flatten())
    close(operator.derivative(image), D, 1e-11)
    close(jacfwd(problem.residual)(w, image), D, 1e-11)
    adjoint = torch.einsum("rnk,r->nk", dA, rows)
    close(operator.derivative_adjoint(rows).reshape(adjoint.shape), adjoint, 1e-11)
    compact = operator.compact_derivative(image)
    assert compact.shape == (problem.n_moving, problem.frame_size, len(w) // problem.n_moving)
    before = problem.row_sizes[0]
    for j, own in enumerate(compact):
        rows_of_frame = slice(before + j * len(own), before + (j + 1) * len(own))
        columns = slice(j * own.shape[1], (j + 1) * own.shape[1])
        close(own, D[rows_of_frame, columns], 1e-11)


@each_problem
def test_normal_jvp_equals_the_derivative_of_the_dense_normal_matrix(options):
    problem = small_problem(**options)
    w, p = start(problem), problem.n_params
    block = noise(*problem.canvas.m, 1 + p)
    flat = block.flatten(0, -2)
    A = dense_frames.matrix(problem, w)
    dA = jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
    f, df = flat[:, 0], flat[:, 1:]
    moved = torch.einsum("rnk,n->rk", dA, f)
    tangent = torch.einsum("rnk,r->nk", dA, A @ f) + A.T @ moved + A.T @ (A @ df)
    ours = problem.operator(w).normal_jvp(block).reshape(flat.shape)
    close(ours[:, 0], A.T @ (A @ f))
    close(ours[:, 1:], tangent, 1e-11)


def test_dot_product_of_the_derivative():
    """⟨(∂_k A) f, v⟩ = ⟨f, (∂_k Aᵀ) v⟩ for every parameter."""
    problem = small_problem(fix_first=False)
    operator = problem.operator(start(problem))
    f, v = noise(*DOMAIN.m), noise(problem.n_rows, seed=1)
    left = operator.derivative(f).T @ v
    right = (f[..., None] * operator.derivative_adjoint(v)).sum((0, 1))
    close(left, right, 1e-11)


@pytest.mark.parametrize("options", [CASES["first fixed"], CASES["3D"]], ids=["2D", "3D"])
def test_taylor_slopes(options):
    """A(w + t v) f − A(w) f − t D v falls with t²."""
    problem = small_problem(**options)
    w, image = start(problem), picture(problem.domain)
    v, rows = noise(problem.n_params, seed=4), noise(problem.n_rows, seed=1)
    operator = problem.operator(w)
    for value, slope in [
        (lambda at: at(image), operator.derivative(image) @ v),
        (lambda at: at.adjoint(rows), operator.derivative_adjoint(rows) @ v),
    ]:
        steps = 2.0 ** -np.arange(6, 12)
        errors = [
            float((value(problem.operator(w + t * v)) - value(operator) - t * slope).norm())
            for t in steps
        ]
        order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        assert order == pytest.approx(2, abs=0.1)


def test_operator_takes_w_as_constant_and_says_so():
    problem = small_problem()
    w, image = start(problem), picture()
    for function in (lambda w: problem.operator(w)(image), problem.reconstruct):
        for transform in (jacfwd, jacrev):
            with pytest.raises(ValueError, match="w must not be differentiated here"):
                transform(function)(w)
