"""The explorer of chapter 2: what it computes, what it says, and that it can show a failure."""

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from problems import near_identity, two_blobs
from regtools.explorers.derivatives import (
    MODELS,
    POSITIONS,
    STEPS,
    TaylorView,
    _power,
    _scientific,
    taylor_explorer,
)
from regtools.registration import Tikhonov

THETA = 0.3
PROBLEM = two_blobs()
W = near_identity(PROBLEM.transform)
V = torch.tensor([0.1, -0.2, 0.1, 0.05, 0.3, -0.2], dtype=torch.float64)


@pytest.fixture(scope="module")
def view():
    return TaylorView(PROBLEM, W, V, THETA)


def loss(t):
    return PROBLEM.loss(W + t * V, THETA).item()


ORDERS = {
    "gradient": 2,
    "gradient, 1 % too long": 1,
    "gradient, Hessian": 3,
    "gradient, 2JᵀJ": 2,
    "gradient, JᵀJ": 2,
}


@pytest.mark.parametrize("model", MODELS)
def test_each_model_shows_its_order(view, model):
    result = view.compute(model=model, step=2.0**-10)
    assert result.test.order == pytest.approx(ORDERS[model], abs=0.1)
    assert result.fall == pytest.approx(ORDERS[model], abs=0.1)
    assert f"to the power {result.fall:.1f}." in view.describe(result)
    assert view.said_fall(result) in view.alt_remainders(result)
    assert "times the slope" in view.describe(result)
    lost = dataclasses.replace(result, remainder=0.0)
    assert "the remainder is lost in rounding." in view.describe(lost)
    assert "2⁻¹⁰" in view.describe(result) and model in view.describe(result)


def test_no_power_is_told_where_there_is_none(view):
    """At the first step there is nothing to compare with, at the last ones only rounding."""
    first, last = (view.compute(model="gradient", step=t) for t in (1.0, STEPS[-1]))
    assert not np.isfinite(first.fall) and "Make t smaller" in view.describe(first)
    assert not np.isfinite(last.fall) and "rounding decides" in view.describe(last)


def test_remainders_are_drawn_as_far_as_the_step_has_come(view):
    ax = Figure().add_subplot()
    view.draw_remainders(view.compute(model="gradient", step=2.0**-6), ax)
    assert ax.lines[3].get_xdata().tolist() == STEPS[:7].tolist()


def test_panels_have_titles_and_the_residual_a_scale(view):
    result = view.compute(model="gradient", step=1.0)
    for draw, axes in [(view.draw_line, 1), (view.draw_remainders, 1), (view.draw_residual, 2)]:
        ax = Figure().add_subplot()
        draw(result, ax)
        assert ax.get_title() and len(ax.figure.axes) == axes


def test_line_and_remainder_by_direct_calls(view):
    """The slope and the bend by finite differences, the rest by the loss itself."""
    t, eps = 2.0**-5, 1e-4
    slope = (loss(eps) - loss(-eps)) / (2 * eps)
    bend = (loss(eps) - 2 * loss(0) + loss(-eps)) / eps**2
    result = view.compute(model="gradient, Hessian", step=t)
    change = [loss(t * s) - loss(0) for s in POSITIONS]
    np.testing.assert_allclose(result.loss, np.array(change) / (t * abs(slope)), atol=1e-6)
    predicted = t * POSITIONS * slope + (t * POSITIONS) ** 2 / 2 * bend
    np.testing.assert_allclose(result.predicted, predicted / (t * abs(slope)), atol=1e-5)
    remainder = abs(loss(t) - loss(0) - t * slope - t**2 / 2 * bend)
    assert result.remainder == pytest.approx(remainder, rel=0.02)
    assert result.remainder == result.test.remainders[5]


def test_wrong_gradient_is_one_percent_too_long(view):
    right, wrong = (
        view.compute(model=name, step=0.25).predicted
        for name in ("gradient", "gradient, 1 % too long")
    )
    np.testing.assert_allclose(wrong, 1.01 * right)


def test_half_matrix_bends_half_as_much(view):
    none, full, half = (
        view.compute(model=name, step=0.25).predicted
        for name in ("gradient", "gradient, 2JᵀJ", "gradient, JᵀJ")
    )
    np.testing.assert_allclose(half - none, (full - none) / 2, atol=1e-12)
    assert abs(full - none).max() > 0.01


def test_residual_is_that_of_the_step(view):
    result = view.compute(model="gradient", step=1.0)
    grey = PROBLEM.residual(W + V, THETA) / PROBLEM.domain.cell_volume**0.5
    torch.testing.assert_close(result.residual.flatten(), grey)
    assert tuple(result.residual.shape) == PROBLEM.domain.m


def test_numbers_in_words():
    assert (_power(2.0**-45), _power(1.0)) == ("2⁻⁴⁵", "2⁰")
    assert [_scientific(x) for x in (3.2e-7, 140.0, 0.0)] == ["3·10⁻⁷", "1·10²", "0·10⁰"]


def test_rounding_is_reached(view):
    """The smallest steps show noise: a remainder that does not fall any more."""
    result = view.compute(model="gradient", step=STEPS[-1])
    remainders, steps = result.test.remainders, result.test.steps
    without_rounding = remainders[10] * (steps[-10] / steps[10]) ** 2
    assert remainders[-10:].max() > 100 * without_rounding  # single ones may be 0 by luck
    assert abs(result.loss - result.predicted).max() > 1e-3


def test_the_explorer_offers_every_model_and_step():
    step, model = taylor_explorer(PROBLEM, W, V, THETA).controls
    assert model.values == tuple(MODELS) and step.values == tuple(STEPS)
    assert model.buttons and (step.start, model.start) == (0, 0)


def test_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="orthogonal"):
        taylor_explorer(PROBLEM, W, torch.zeros_like(W), THETA)
    pulled = two_blobs(regularizer=Tikhonov(W), lam=1.0)
    with pytest.raises(ValueError, match="regulariser"):
        taylor_explorer(pulled, W, V, THETA)
