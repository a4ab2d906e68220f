from dataclasses import replace

import numpy as np
import pytest
import torch

from problems import two_blobs
from regtools.explorers.multiscale import FRACTIONS, PathView, path_explorer
from regtools.registration import Prediction, predictor_corrector

THETAS = [10.0, 3.0, 1.0, 0.3]


@pytest.fixture(scope="module")
def problem():
    return two_blobs()


@pytest.fixture(scope="module")
def view(problem):
    return PathView(problem, THETAS, problem.transform.identity())


@pytest.mark.parametrize("k", range(4))
def test_pictures_and_losses_are_those_of_the_path(problem, view, k):
    path = predictor_corrector(problem, THETAS, problem.transform.identity())
    scale, step = view.compute(theta=THETAS[k]), path.steps[k]
    moved = problem.template(problem.transform(step.w, problem.points), THETAS[k])
    torch.testing.assert_close(scale.moved.flatten(), moved)
    blurred = problem.residual(step.w, THETAS[k]) / problem.weight
    torch.testing.assert_close((scale.moved - scale.reference).flatten(), blurred)
    residual = problem.residual(step.w, THETAS[-1]) / problem.weight
    torch.testing.assert_close(scale.difference.flatten(), residual)
    start, end = (problem.loss(w, THETAS[-1]) for w in (path.steps[0].w_start, step.w))
    assert scale.share == pytest.approx(float(end / start))
    old, new, predicted = (
        float(problem.loss(w, THETAS[k])) for w in (step.w_start, step.w, step.w_predicted)
    )
    # The slice runs through the old minimiser, where it is 1, and the new one, where it is 0.
    at_old, at_new = (int(np.argmin(np.abs(FRACTIONS - s))) for s in (0, 1))
    assert FRACTIONS[[at_old, at_new]] == pytest.approx([0, 1], abs=1e-12)
    assert scale.losses[[at_old, at_new]] == pytest.approx([1, 0], abs=1e-6)
    assert scale.losses.argmin() == at_new
    assert scale.loss_predicted == pytest.approx((predicted - old) / (old - new) + 1, abs=1e-6)


def test_the_predicted_point_is_projected_in_the_norm_of_the_hessian(problem, view):
    """The foot of the perpendicular minimises the distance: no point of the line is closer."""
    scale = view.compute(theta=1.0)
    step = scale.step
    assert step.prediction is Prediction.USED
    hessian, way = step.result.hessian, step.w - step.w_start

    def distance(along):
        gap = step.w_predicted - (step.w_start + along * way)
        return float(gap @ hessian @ gap)

    foot = distance(scale.along)
    assert foot < distance(scale.along + 1e-2) and foot < distance(scale.along - 1e-2)
    # In this norm the loss is a circle to second order: the prediction came closer than the start.
    assert foot < 0.5 * distance(0.0) and 0 < scale.loss_predicted < 1


def test_it_says_what_the_prediction_did(view):
    first, later = (view.describe(view.compute(theta=t)) for t in (10.0, 1.0))
    assert first.startswith("At θ = 10 px⁴ the path begins; the corrector took ")
    share = 100 * (1 - view.compute(theta=1.0).loss_predicted)
    assert f"took away {share:.0f} % of the loss" in later
    left = 100 * view.compute(theta=1.0).share
    assert f"the sharp images is now {left:.0f} % of what it was" in later


def test_a_path_without_a_prediction_says_so(view):
    scale = view.compute(theta=1.0)
    skipped = replace(scale, step=replace(scale.step, prediction=Prediction.INDEFINITE))
    assert "nothing was predicted" in view.describe(skipped)


def test_a_harmful_prediction_is_reported(view):
    scale = view.compute(theta=1.0)
    harmful = replace(scale, loss_predicted=1.2)
    assert "made the loss worse" in view.describe(harmful)


def test_a_start_at_the_minimum_does_not_divide_by_zero(problem):
    w = predictor_corrector(problem, [10.0], problem.transform.identity(), gtol=1e-13).w
    scale = PathView(problem, [10.0, 3.0], w).compute(theta=10.0)
    assert scale.step.n_iter == 0 and scale.along == 0 and np.isfinite(scale.losses).all()


def test_the_explorer_offers_every_scale_and_opens_at_the_first(problem):
    (theta,) = path_explorer(problem, THETAS, problem.transform.identity()).controls
    assert theta.values == tuple(THETAS) and theta.start == 0


def test_the_sharp_images_come_closer_along_the_path(view):
    """What a reader sees from left to right: the second picture is not blurred with the first."""
    shares = [view.compute(theta=theta).share for theta in THETAS]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 0.5 < 1


def test_a_path_that_ends_early_is_refused(problem):
    away = problem.transform.identity()
    away[4] = 1e3
    with pytest.raises(ValueError, match="the path ended early: 1 of 4 scales"):
        path_explorer(problem, THETAS, away)
