from dataclasses import replace

import numpy as np
import pytest
import torch

from regtools import SuperResolutionProblem, load, random_maps, simulate_frames, varpro
from regtools.explorers.projection_derivative import RuleView, rule_explorer

RULES = ("none", "kaufman")


@pytest.fixture(scope="module")
def hand():
    """A hand of 8 × 12 pixels, in a box with cells that are not square."""
    return load("hands-phantom", (8, 12))


@pytest.fixture(scope="module")
def problem(hand):
    maps = random_maps(hand.domain, seeds=(2, 3))
    frames = simulate_frames(hand.reference, hand.domain, 2, maps)
    return SuperResolutionProblem(frames, hand.domain, 2, lam=1e-2)


@pytest.fixture(scope="module")
def runs(hand, problem):
    maps = random_maps(hand.domain, seeds=(2, 3))
    away = maps + 0.02 * torch.linspace(-1, 1, len(maps), dtype=maps.dtype)
    return {rule: varpro(problem, away, derivative=rule, max_iter=3) for rule in RULES}


@pytest.fixture(scope="module")
def view(hand, problem, runs):
    return RuleView(problem, hand.reference, runs)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("step", [0, 2])
def test_a_moment_is_that_of_the_run(hand, problem, runs, view, rule, step):
    moment, state = view.compute(rule=rule, step=step), runs[rule].history[step]
    assert moment.state is state and moment.rule == rule
    assert moment.loss == pytest.approx(state.loss / runs[rule].history[0].loss)
    # The image solves the normal equations, seen through the dense matrix.
    n = hand.reference.numel()
    eye = torch.eye(n, dtype=torch.float64).reshape(*hand.domain.m, n)
    matrix = problem.operator(state.w)(eye).numpy()
    best, *_ = np.linalg.lstsq(matrix, problem.target.numpy(), rcond=None)
    np.testing.assert_allclose(moment.image.flatten(), best, atol=1e-3)
    true = hand.reference.numpy().flatten()
    expected = np.linalg.norm(best - true) / np.linalg.norm(true)
    assert moment.error == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(moment.difference.flatten(), best - true, atol=1e-3)


def test_a_run_that_ended_earlier_shows_its_last_step(hand, problem, runs):
    short = replace(runs["kaufman"], history=runs["kaufman"].history[:2])
    view = RuleView(problem, hand.reference, runs | {"kaufman": short})
    assert view.compute(rule="kaufman", step=3).state.iteration == 1
    assert view.compute(rule="none", step=3).state.iteration == 3


def test_it_says_what_is_seen(view):
    moment = view.compute(rule="none", step=1)
    text = view.describe(moment)
    assert text.startswith("No derivative of the projection, after 1 step: ")
    assert f"error {100 * moment.error:.0f} %" in text
    assert "after 0 steps" in view.describe(view.compute(rule="kaufman", step=0))


def test_sliders_offer_the_rules_that_were_run_and_every_step(hand, problem, runs):
    rule, step = rule_explorer(problem, hand.reference, runs).controls
    assert rule.values == RULES and rule.texts == ["none", "Kaufman"]
    assert step.values == (0, 1, 2, 3) and step.start == 3


@pytest.mark.parametrize("names", [["none"], ["none", "magic"]])
def test_runs_must_be_of_two_known_rules(hand, problem, runs, names):
    with pytest.raises(ValueError, match="runs must hold at least 2 of"):
        rule_explorer(problem, hand.reference, {name: runs["none"] for name in names})


def test_other_mistakes_are_named(hand, problem, runs):
    with pytest.raises(ValueError, match=r"image must have shape \(8, 12\); got \(12, 8\)"):
        rule_explorer(problem, hand.reference.T, runs)
    still = {rule: replace(run, history=run.history[:1]) for rule, run in runs.items()}
    with pytest.raises(ValueError, match="at least one step"):
        rule_explorer(problem, hand.reference, still)
