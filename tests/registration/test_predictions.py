"""The comparison of predictions along a path."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch

from problems import two_blobs
from regtools.registration import (
    Affine,
    Tikhonov,
    compare_predictions,
    gradient,
    newton,
    predictor_corrector,
    relative_spectrum,
    second_order_model,
)

THETAS = [10.0, 6.0, 3.0, 1.0, 0.3]


@pytest.fixture(scope="module")
def problem():
    return two_blobs()


@pytest.fixture(scope="module")
def path(problem):
    return predictor_corrector(problem, THETAS, problem.transform.identity(), gtol=1e-10)


@pytest.fixture(scope="module")
def comparisons(problem, path):
    return compare_predictions(problem, path)


def test_exact_and_gauss_newton_steps_are_those_of_the_solver(problem, path, comparisons):
    w0 = problem.transform.identity()
    approximate = predictor_corrector(
        problem, THETAS, w0, corrector="newton", predictor="gauss-newton", gtol=1e-10
    )
    assert len(comparisons) == 4
    for one, exact, other in zip(comparisons, path.steps[1:], approximate.steps[1:], strict=True):
        assert torch.equal(one.w, exact.w_start) and torch.equal(one.w_corrected, exact.w)
        for step, w in [(one.steps["exact"], exact), (one.steps["2JTJ"], other)]:
            torch.testing.assert_close(one.w + step, w.w_predicted, rtol=0, atol=1e-7)
        assert one.losses["exact"] == pytest.approx(exact.loss_predicted)
        assert one.losses["start"] == pytest.approx(exact.loss_start)
        slope = gradient(problem, exact.w_start, one.theta).norm()
        assert one.gradient_norms["start"] == pytest.approx(float(slope))


def test_half_the_matrix_doubles_the_step_and_the_printed_sign_turns_it(comparisons):
    for one in comparisons:
        torch.testing.assert_close(one.steps["JTJ"], 2 * one.steps["2JTJ"], rtol=1e-9, atol=0)
        torch.testing.assert_close(one.steps["printed sign"], -one.steps["exact"])


def test_the_exact_step_follows_the_minimiser_by_finite_differences(problem, path, comparisons):
    """dw*/dtheta from two minimisations, not from any formula; 2JᵀJ differs from it."""
    theta, eps = THETAS[2], 1e-3
    ends = [newton(problem, theta + e, path.steps[2].w, gtol=1e-13).w for e in (eps, -eps)]
    expected = (THETAS[3] - theta) * (ends[0] - ends[1]) / (2 * eps)
    error = {n: float((s - expected).norm()) for n, s in comparisons[2].steps.items()}
    assert error["exact"] < 1e-4 * expected.norm() < error["2JTJ"]


def test_gains_have_the_sign_and_reference_of_their_definition(problem, comparisons):
    one = comparisons[1]
    old = float(problem.loss(one.w, one.theta_before))
    new = float(problem.loss(one.w, one.theta))
    predicted = float(problem.loss(one.w + one.steps["exact"], one.theta))
    assert one.loss_gain("exact") == pytest.approx((new - predicted) / new) and predicted < new
    assert one.loss_gain("exact", "before") == pytest.approx((old - predicted) / old)
    assert one.loss_gain("exact") > 0 > one.loss_gain("printed sign")
    assert one.gradient_gain("exact") > 0 > one.gradient_gain("printed sign")
    assert one.gradient_gain("exact", "before") < -100  # the old gradient is zero but for rounding
    assert one.excess(new) == 1 and one.excess(one.losses["corrected"]) == 0


def test_relative_spectrum_agrees_with_scipy_and_ignores_units(problem, path, comparisons):
    for one, step in zip(comparisons, path.steps, strict=False):
        model = second_order_model(problem, step.w, step.theta)
        expected = scipy.linalg.eigh(model.hessian, model.gauss_newton, eigvals_only=True)
        np.testing.assert_allclose(one.relative_spectrum, expected, rtol=1e-6)
    units = torch.tensor([1e3, 1.0, 1.0, 1e-3, 10.0, 1.0], dtype=torch.float64)
    scaled = {
        name: getattr(model, name) * units * units[:, None] for name in ("hessian", "gauss_newton")
    }
    other = relative_spectrum(SimpleNamespace(**scaled))
    np.testing.assert_allclose(other, expected, rtol=1e-6)


def test_small_steps_leave_what_the_spectrum_says(problem):
    """For a tiny step the gradient left is (I − ∇²J K⁻¹) times the gradient."""
    path = predictor_corrector(problem, [3.0, 2.999], problem.transform.identity(), gtol=1e-13)
    (one,) = compare_predictions(problem, path)
    model = second_order_model(problem, one.w, 3.0)
    for name, matrix in [
        ("exact", model.hessian),
        ("2JTJ", model.gauss_newton),
        ("JTJ", model.gauss_newton / 2),
    ]:
        push = matrix @ one.steps[name]
        left = (-push + model.hessian @ one.steps[name]).norm() / push.norm()
        assert 1 - one.gradient_gain(name) == pytest.approx(float(left), abs=2e-3)


def test_bad_input_is_named(problem):
    w0 = problem.transform.identity()
    with pytest.raises(ValueError, match="path must have at least 2 scales; got 1"):
        compare_predictions(problem, predictor_corrector(problem, [3.0], w0))
    pulled = two_blobs(Affine(2), regularizer=Tikhonov(w0), lam=2.0)
    with pytest.raises(ValueError, match=r"no regulariser; got lam = 2\.0"):
        compare_predictions(pulled, predictor_corrector(pulled, [3.0, 2.0], w0))
