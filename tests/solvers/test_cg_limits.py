"""Where CG, or a derivative through it, comes to the end of the digits: it says so."""

import warnings
from functools import partial

import pytest
import torch
from torch.func import jacfwd, jacrev

from regtools.solvers import Status, conjugate_gradient, differentiate_cg

EYE = torch.eye(5, dtype=torch.float64)
A = EYE + torch.diag(torch.arange(5.0, dtype=torch.float64))
B = torch.tensor([1.0, -2.0, 0.5, 3.0, 1.0], dtype=torch.float64)


SLOPE = torch.diag(torch.linspace(1, 2, 5, dtype=torch.float64))


def tangents(matrix, right, x0=None, **options):
    """The derivative along dA = SLOPE, db = (1, …, 1) that CG carries, and the right one."""

    def product(X):
        return matrix @ X + torch.stack([0 * X[:, 0], SLOPE @ X[:, 0]], dim=1)

    ones = torch.ones(5, 1, dtype=torch.float64)
    found = differentiate_cg(product, right, ones, n_iter=9, x0=x0, **options)
    x = torch.linalg.solve(matrix, right)
    return found, torch.linalg.solve(matrix, ones[:, 0] - SLOPE @ x)


CASES = {
    "b = 0": (A, 0 * B, None),
    "A = I": (EYE, B, None),
    "b an eigenvector": (A, EYE[2], None),
    "a start at the solution": (A, A @ B, B),
}


@pytest.mark.parametrize("case", CASES)
def test_a_derivative_that_lags_is_no_success(case):
    matrix, right, x0 = CASES[case]
    found, expected = tangents(matrix, right, x0)
    assert (found.dx[:, 0] - expected).norm() > 0.1 * expected.norm()
    assert found.status is Status.BREAKDOWN and not found.success
    assert "solve A dx = db - dA x" in found.message
    study, _ = tangents(matrix, right, x0, frozen=True)
    assert study.success  # frozen steps are another derivative, and asked for


@pytest.mark.parametrize("transform", [jacfwd, jacrev])
@pytest.mark.parametrize("case", CASES)
def test_a_derivative_through_the_loop_that_lags_is_announced(case, transform):
    matrix, right, x0 = CASES[case]
    stops = {"n_iter": 9}, {"tol": 1e-10}
    for run in (partial(conjugate_gradient, x0=x0, **stop) for stop in stops):
        with pytest.warns(RuntimeWarning, match="CG met the solution after .* implicitly"):
            transform(lambda b, run=run: run(matrix, b).x)(right)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conjugate_gradient(matrix, right, x0, n_iter=9)  # without a derivative all is well


@pytest.mark.parametrize("transform", [jacfwd, jacrev])
def test_a_derivative_that_arrives_is_not(transform):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dx = transform(lambda b: conjugate_gradient(A, b, n_iter=9).x)(B)
    torch.testing.assert_close(dx, torch.linalg.inv(A), rtol=0, atol=1e-9)
    found, expected = tangents(A, B)
    assert found.success
    torch.testing.assert_close(found.dx[:, 0], expected, rtol=0, atol=1e-9)


def test_a_singular_inconsistent_system_ends_with_something_finite():
    torch.manual_seed(0)
    low = torch.randn(8, 3, dtype=torch.float64)
    right = torch.randn(8, dtype=torch.float64)
    for options in ({"tol": 1e-8, "max_iter": 400}, {"n_iter": 400}):
        found = conjugate_gradient(low @ low.T, right, **options)
        assert not found.success and found.status is Status.BREAKDOWN
        assert torch.isfinite(found.x).all() and found.residual_norm < 1e9 * float(right.norm())
        assert "singular" in found.message


def test_the_residual_is_the_true_one():
    """That of the recurrence falls on; the error is what the residual and the condition make."""
    values = torch.logspace(0, 6, 40, dtype=torch.float32)
    right = values * torch.linspace(1, 2, 40)
    found = conjugate_gradient(torch.diag(values), right, tol=1e-6, max_iter=4000)
    true = float((right.double() - values.double() * found.x.double()).norm())
    assert found.residual_norm == pytest.approx(true, rel=0.3)
    error = (found.x - torch.linspace(1, 2, 40)).norm() / torch.linspace(1, 2, 40).norm()
    assert found.success and 0.001 < float(error) <= 1.01 * found.error_bound
    assert "off by up to" in found.inaccuracy


def test_what_rounding_does_not_allow_is_no_success():
    """A matrix with a large norm and a solution that nearly cancels: eps · ‖A‖ ‖x‖ > tol ‖b‖."""
    torch.manual_seed(1)
    Q, _ = torch.linalg.qr(torch.randn(60, 60, dtype=torch.float64))
    values = torch.logspace(0, 4, 60, dtype=torch.float64)
    matrix = (Q * values) @ Q.T
    right = Q[:, 0] + 1e-3 * Q[:, 40]  # mostly along the smallest eigenvalue
    found = conjugate_gradient(matrix.float(), right.float(), tol=0.0)
    true = float((right - matrix @ found.x.double()).norm())
    assert not found.success and found.status in (Status.SMALL_STEP, Status.MAX_ITERATIONS)
    assert found.tolerance < true
    double = conjugate_gradient(matrix, right, tol=1e-6)
    assert double.success


@pytest.mark.parametrize("power", [1, 3, 6])
def test_the_condition_is_that_of_the_matrix(power):
    """Once CG has seen all of it; SciPy's singular values are the judge."""
    matrix = torch.diag(torch.logspace(0, power, 9, dtype=torch.float64))
    found = conjugate_gradient(matrix, torch.ones(9).double(), tol=1e-12)
    assert found.condition == pytest.approx(10.0**power, rel=1e-3)
    assert conjugate_gradient(matrix, torch.zeros(9).double()).condition != found.condition


def test_a_column_of_zeros_does_not_hide_that_another_is_stuck():
    """Its residual over its tolerance is 0 / 0."""
    torch.manual_seed(1)
    Q, _ = torch.linalg.qr(torch.randn(60, 60, dtype=torch.float64))
    matrix = ((Q * torch.logspace(0, 4, 60, dtype=torch.float64)) @ Q.T).float()
    right = (Q[:, 0] + 1e-3 * Q[:, 40]).float()
    both = torch.stack([right, 0 * right], dim=1)
    found = conjugate_gradient(matrix, both, tol=0.0, columns=True)
    assert found.status is Status.SMALL_STEP and found.n_iter < 600  # ten times the unknowns
    assert not found.x[:, 1].any()
