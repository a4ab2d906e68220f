"""The explorer of chapter 4."""

import json
import re

import numpy as np
import pytest

from problems import two_blobs
from regtools.explorers.gauss_newton import LENGTHS, HessianView, hessian_explorer
from regtools.registration import MATRICES, compare_predictions, predictor_corrector

THETAS = [10.0, 6.0, 3.0, 1.0, 0.3]


@pytest.fixture(scope="module")
def problem():
    return two_blobs()


@pytest.fixture(scope="module")
def view(problem):
    return HessianView(problem, THETAS, problem.transform.identity())


def test_explorer_computes_the_loss_along_each_step(problem, view):
    result = view.compute(theta=THETAS[3])
    one, curves = result.comparison, result.curves
    assert one.theta == THETAS[3] and set(curves) == set(MATRICES) - {"printed sign"}
    np.testing.assert_array_equal(LENGTHS, np.linspace(-0.25, 1.5, 15))
    for name, curve in curves.items():
        assert curve[2] == pytest.approx(1)  # s = 0: no prediction
        w = one.w + LENGTHS[7] * one.steps[name]
        loss = float(problem.loss(w, THETAS[3]))
        lowest, start = one.losses["corrected"], float(problem.loss(one.w, THETAS[3]))
        assert curve[7] == pytest.approx((loss - lowest) / (start - lowest))


def test_explorer_says_what_it_shows(problem):
    path = predictor_corrector(problem, THETAS, problem.transform.identity(), gtol=1e-10)
    comparisons = compare_predictions(problem, path)
    page = hessian_explorer(problem, THETAS, problem.transform.identity()).static_page()
    data = json.loads(re.search(r'application/json">(.*?)</script>', page, re.S)[1])
    assert data["values"] == [["6 px⁴", "1 px⁴", "0.3 px⁴"]]
    gain = 100 * comparisons[2].gradient_gain("2JTJ")
    assert data["describe"][1].startswith("From θ = 3 to 1: ")
    assert f"2JᵀJ {gain:.0f} %" in data["describe"][1]
    low = comparisons[2].relative_spectrum[0]
    assert f"{low:.2f} to" in data["panels"][1]["alt"][1]
    assert all(len(set(panel["pictures"])) == 3 for panel in data["panels"])
