import numpy as np
import pytest
import torch

from regtools import SuperResolutionProblem, load, random_maps, simulate_frames, varpro
from regtools.explorers.projection_derivative import RuleView, rule_explorer

RULES = ("none", "kaufman", "implicit")
OPTIONS = {"rules": RULES, "lams": (0.01, 0.1), "noises": (0.0, 2.0), "max_iter": 3}


@pytest.fixture(scope="module")
def hand():
    """A hand of 8 × 12 pixels, in a box with cells that are not square."""
    return load("hands-phantom", (8, 12))


@pytest.fixture(scope="module")
def maps(hand):
    return random_maps(hand.domain, seeds=(2, 3))


@pytest.fixture(scope="module")
def problem(hand, maps):
    frames = simulate_frames(hand.reference, hand.domain, 2, maps)
    return SuperResolutionProblem(frames, hand.domain, 2, lam=0.5)


@pytest.fixture(scope="module")
def away(maps):
    return maps + 0.02 * torch.linspace(-1, 1, len(maps), dtype=maps.dtype)


@pytest.fixture(scope="module")
def view(hand, problem, away):
    return RuleView(problem, hand.reference, away, **OPTIONS)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("lam", "noise"), [(0.01, 0.0), (0.1, 2.0)])
def test_an_outcome_is_that_of_the_run(hand, problem, away, view, rule, lam, noise):
    outcome = view.compute(rule=rule, lam=lam, noise=noise)
    normal = torch.randn(
        problem.frames.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    noisy = SuperResolutionProblem(problem.frames + noise * normal, hand.domain, 2, lam)
    expected = varpro(noisy, away, rule, max_iter=3)
    assert outcome.run.n_iter == expected.n_iter
    assert outcome.run.loss == pytest.approx(expected.loss, rel=1e-4)
    norms = np.array([state.gradient_norm for state in expected.history])
    np.testing.assert_allclose(outcome.gradients(rule), norms / norms[0], rtol=0.01)
    # The image solves the normal equations, seen through the dense matrix.
    n = hand.reference.numel()
    eye = torch.eye(n, dtype=torch.float64).reshape(*hand.domain.m, n)
    matrix = noisy.operator(outcome.run.w)(eye).numpy()
    best, *_ = np.linalg.lstsq(matrix, noisy.target.numpy(), rcond=None)
    true = hand.reference.numpy().flatten()
    np.testing.assert_allclose(outcome.difference.flatten(), best - true, atol=1e-3)
    assert outcome.error == pytest.approx(
        np.linalg.norm(best - true) / np.linalg.norm(true), rel=1e-5
    )
    start = noisy.operator(away)(eye).numpy()
    best, *_ = np.linalg.lstsq(start, noisy.target.numpy(), rcond=None)
    expected_error = np.linalg.norm(best - true) / np.linalg.norm(true)
    assert outcome.error_start == pytest.approx(expected_error, rel=1e-5)


def test_the_rules_of_one_setting_share_their_runs(view):
    one, two, three = (view.compute(rule=rule, lam=0.1, noise=0.0) for rule in RULES)
    assert one.runs is two.runs is three.runs and list(one.runs) == list(RULES)


def test_noise_is_one_pattern_that_is_scaled(problem, view):
    one, two = (view.noisy(0.1, noise).frames - problem.frames for noise in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one)
    assert 0.7 < float(one.std()) < 1.3
    assert view.noisy(0.1, 0.0).lam == 0.1


def test_it_says_what_is_seen(view):
    outcome = view.compute(rule="none", lam=0.1, noise=2.0)
    text = view.describe(outcome)
    assert text.startswith("No derivative of the projection, λ = 0.1, noise of 2 grey values: ")
    assert f"off by {100 * outcome.error:.0f} % ({100 * outcome.error_start:.0f} % at" in text
    assert "no noise" in view.describe(view.compute(rule="kaufman", lam=0.1, noise=0.0))


def test_it_opens_at_the_left_with_a_button_for_each_rule(hand, problem, away):
    rule, lam, noise = rule_explorer(problem, hand.reference, away, **OPTIONS).controls
    assert rule.values == RULES and rule.texts == ["none", "Kaufman", "implicit"] and rule.buttons
    assert lam.values == (0.01, 0.1) and noise.texts == ["0 grey values", "2 grey values"]
    assert [control.start for control in (rule, lam, noise)] == [0, 0, 0]


@pytest.mark.parametrize("names", [["none"], ["none", "unrolled"]])
def test_rules_must_be_known_ones(hand, problem, away, names):
    with pytest.raises(ValueError, match="rules must be at least 2 of"):
        rule_explorer(problem, hand.reference, away, rules=names)


def test_other_mistakes_are_named(hand, problem, away):
    with pytest.raises(ValueError, match=r"image must have shape \(8, 12\); got \(12, 8\)"):
        rule_explorer(problem, hand.reference.T, away)
    with pytest.raises(ValueError, match="w0 must have shape"):
        rule_explorer(problem, hand.reference, away[:5])
