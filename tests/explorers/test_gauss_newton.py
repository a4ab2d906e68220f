"""The explorer of chapter 4."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from problems import blob, two_blobs
from regtools.explorers.gauss_newton import LENGTHS, HessianView, hessian_explorer, plot_spectra
from regtools.registration import (
    Affine,
    RegistrationProblem,
    compare_predictions,
    predictor_corrector,
)

THETAS = [10.0, 6.0, 3.0, 1.0, 0.3]


@pytest.fixture(scope="module")
def problems():
    near, far = blob((1.4, 1.2), (0.7, 1.0)), blob((1.5, 1.3), (0.7, 1.0))
    return {"two shapes": two_blobs(), "one shape": RegistrationProblem(near, far, Affine(2))}


@pytest.fixture(scope="module")
def w0(problems):
    return problems["two shapes"].transform.identity()


@pytest.fixture(scope="module")
def view(problems, w0):
    return HessianView(problems, THETAS, w0)


@pytest.fixture(scope="module")
def page(problems, w0):
    text = hessian_explorer(problems, THETAS, w0).static_page()
    return json.loads(re.search(r'application/json">(.*?)</script>', text, re.S)[1])


@pytest.mark.parametrize("pair", ["two shapes", "one shape"])
def test_explorer_computes_the_loss_along_each_step(problems, view, pair):
    result, problem = view.compute(pair=pair, theta=THETAS[2]), problems[pair]
    one = result.comparison
    assert (one.theta_before, one.theta) == (THETAS[2], THETAS[3])
    assert set(result.curves) == {"exact", "2JTJ"}
    np.testing.assert_array_equal(LENGTHS, np.linspace(-0.25, 1.5, 15))
    for name, curve in result.curves.items():
        assert curve[2] == pytest.approx(1)  # s = 0: no prediction
        w = one.w + LENGTHS[7] * one.steps[name]
        loss = float(problem.loss(w, THETAS[3]))
        lowest, start = one.losses["corrected"], float(problem.loss(one.w, THETAS[3]))
        assert curve[7] == pytest.approx((loss - lowest) / (start - lowest))


def test_explorer_shows_the_residual_of_its_scale(problems, view):
    result = view.compute(pair="two shapes", theta=THETAS[1])
    problem = problems["two shapes"]
    residual = problem.residual(result.comparison.w, THETAS[1]) / problem.domain.cell_volume**0.5
    np.testing.assert_allclose(result.difference.flatten(), residual, atol=1e-10)


def test_explorer_opens_at_the_left_and_tells_no_later_scale(problems, view, w0):
    explorer = hessian_explorer(problems, THETAS, w0)
    assert [control.start for control in explorer.controls] == [0, 0]
    assert [control.buttons for control in explorer.controls] == [True, False]
    ax = plt.figure().add_subplot()
    for theta in THETAS[:-1]:
        ax.clear()
        view.draw_spectra(view.compute(pair="two shapes", theta=theta), ax)
        curves = [line.get_xdata() for line in ax.lines if not isinstance(line.get_color(), str)]
        assert len(curves) == 12, "six curves and their dots"
        assert {x[-1] for x in curves} == {theta} == {min(x) for x in curves}
    plt.close("all")


def test_spectra_are_told_apart(view):
    ax = plt.figure().add_subplot()
    plot_spectra(view.comparisons["two shapes"], ax)
    curves = [line for line in ax.lines if len(line.get_xdata()) == len(THETAS) - 1]
    assert len({tuple(line.get_color()) for line in curves}) == len(curves) == 6
    expected = [one.relative_spectrum for one in view.comparisons["two shapes"]]
    np.testing.assert_array_equal([line.get_ydata() for line in curves], np.transpose(expected))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["smallest", "largest"]
    plt.close("all")


def test_explorer_says_what_it_shows(problems, page, w0):
    assert page["values"] == [
        ["two shapes", "one shape"],
        ["10 px⁴", "6 px⁴", "3 px⁴", "1 px⁴"],
    ]
    path = predictor_corrector(problems["one shape"], THETAS, w0)
    one = compare_predictions(problems["one shape"], path)[2]
    left = 100 * one.excess(one.losses["2JTJ"])
    said = page["describe"][4 + 2]
    assert said.startswith("At θ = 3 (one shape) ")
    assert f"{left:.0f} % with Gauss–Newton" in said
    low, high = one.relative_spectrum[[0, -1]]
    assert f"between {low:.2f} and {high:.2f}" in said
    assert f"here {low:.2f}, " in page["panels"][0]["alt"][4 + 2]
    assert all(len(set(panel["pictures"])) == 8 for panel in page["panels"])


def test_one_pair_needs_no_button(problems, w0):
    explorer = hessian_explorer({"two shapes": problems["two shapes"]}, THETAS, w0)
    assert [control.name for control in explorer.controls] == ["theta"]
