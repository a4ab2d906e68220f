import numpy as np
import pytest
import torch

from regtools.explorers.inexact_projection import InexactView, Shown, inexact_explorer
from regtools.images import Domain
from regtools.superresolution import (
    Iterate,
    SuperResolutionProblem,
    exact_iterates,
    simulate_frames,
    varpro,
)

DOMAIN = Domain((0.0, 3.0, -1.0, 4.0), (8, 12))  # not square, not isotropic
COUNTS = (1, 4, 40)
TRUE = torch.tensor([1.02, 0.03, -0.05, 0.97, 0.2, -0.1], dtype=torch.float64)
START = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def truth():
    x = DOMAIN.cell_centers().numpy()
    grey = 100 * np.exp(-(((x - (1.4, 1.2)) / (0.7, 1.0)) ** 2).sum(1))
    return torch.from_numpy(grey).reshape(DOMAIN.m)


@pytest.fixture(scope="module")
def problem(truth):
    return SuperResolutionProblem(simulate_frames(truth, DOMAIN, 2, TRUE), DOMAIN, 2, lam=0.05)


@pytest.fixture(scope="module")
def runs(problem):
    return {k: varpro(problem, START, "unrolled", n_iter_cg=k, max_iter=3) for k in COUNTS}


@pytest.fixture(scope="module")
def iterates(problem, runs, truth):
    """By rule and count."""
    none = {k: varpro(problem, START, "none", n_iter_cg=k, max_iter=3) for k in COUNTS}
    return {
        rule: {k: exact_iterates(problem, run, truth, k) for k, run in found.items()}
        for rule, found in [("none", none), ("unrolled", runs)]
    }


@pytest.fixture(scope="module")
def view(problem, iterates, truth):
    return InexactView(problem, iterates, truth)


def dense(problem, w):
    """The matrix of all rows, column by column from the residual itself, not from the operator."""
    eye = torch.eye(96, dtype=torch.float64).reshape(96, *DOMAIN.m)
    nothing = problem.residual(w, torch.zeros_like(eye[0]))
    columns = [problem.residual(w, one) - nothing for one in eye]
    return torch.stack(columns, dim=1).numpy(), -nothing.numpy()


@pytest.mark.parametrize("count", COUNTS)
def test_iterates_are_solved_exactly(problem, runs, truth, count):
    iterates = exact_iterates(problem, runs[count], truth, count)
    assert [one.step for one in iterates] == [s.iteration for s in runs[count].history]
    for one, state in zip(iterates, runs[count].history, strict=True):
        matrix, target = dense(problem, state.w)
        best, (loss,), *_ = np.linalg.lstsq(matrix, target)
        image = one.image.numpy().ravel()
        assert np.linalg.norm(image - best) < 1e-7 * np.linalg.norm(best)
        assert one.loss == pytest.approx(loss, rel=1e-9)
        error = np.linalg.norm(best - truth.numpy().ravel()) / np.linalg.norm(truth.numpy())
        assert one.error == pytest.approx(error, rel=1e-6)


def test_the_inexact_error_is_that_of_the_krylov_space(problem, runs, truth):
    """CG minimises over span{g, Ng, …}: solve that small problem densely."""
    one = exact_iterates(problem, runs[4], truth, 4)[1]
    matrix, target = dense(problem, runs[4].history[1].w)
    basis = [matrix.T @ target]
    for _ in range(3):
        basis.append(matrix.T @ (matrix @ basis[-1]))
        basis[-1] /= np.linalg.norm(basis[-1])
    basis = np.linalg.qr(np.stack(basis, axis=1))[0]
    image = basis @ np.linalg.lstsq(matrix @ basis, target)[0]
    error = np.linalg.norm(image - truth.numpy().ravel()) / np.linalg.norm(truth.numpy())
    assert one.inexact_error == pytest.approx(error, rel=1e-6)
    assert one.inexact_error != pytest.approx(one.error, rel=1e-3)


def test_it_shows_the_iterate_of_the_sliders(iterates, view):
    for rule, found in iterates.items():
        for count in COUNTS:
            for step, one in enumerate(found[count]):
                shown = view.compute(count=count, step=step, rule=rule)
                assert shown.iterate is one and shown.rule == rule
                assert (one.count, one.step) == (count, step)


def test_a_run_that_has_ended_keeps_its_last_iterate(problem, iterates, truth):
    found = iterates["unrolled"]
    view = InexactView(problem, {"unrolled": {4: found[4], 40: found[40][:2]}}, truth)
    assert view.compute(count=40, step=3, rule="unrolled").iterate.step == 1
    assert view.compute(count=4, step=3, rule="unrolled").iterate.step == 3


def test_it_says_the_rule_and_both_errors(view):
    shown = view.compute(count=1, step=2, rule="unrolled")
    line, one = view.describe(shown), shown.iterate
    assert line.startswith("After 2 Gauss–Newton steps with 1 CG iteration a projection")
    assert "the rule unrolled" in line
    assert f"error of {100 * one.error:.0f} %" in line
    assert f"one {100 * one.inexact_error:.0f} %" in line
    other = view.describe(view.compute(count=4, step=0, rule="none"))
    assert "4 CG iterations a projection and the rule none" in other


def test_curves_are_those_of_the_rule(iterates, view):
    from matplotlib.figure import Figure

    for rule, found in iterates.items():
        ax = Figure().add_subplot()
        view.draw_curves(view.compute(count=4, step=1, rule=rule), ax)
        for line, count in zip(ax.lines, COUNTS, strict=False):
            errors = [100 * one.error for one in found[count]]
            np.testing.assert_allclose(line.get_ydata(), errors)
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert labels == ["4 CG iterations", "other counts"]
        ends = {text.get_text(): text.xy for text in ax.texts}
        assert set(ends) == {"1", "40"}
        for count in (1, 40):
            last = len(found[count]) - 1, 100 * found[count][-1].error
            assert ends[str(count)] == pytest.approx(last)
        assert rule in ax.get_title()


def test_curves_that_end_together_share_a_label(problem, iterates, truth):
    found = iterates["unrolled"]
    view = InexactView(problem, {"unrolled": {k: found[40] for k in (1, 2, 3)}}, truth)
    (end,) = view._ends(Shown("unrolled", Iterate(1, 0, truth, 1.0, 1.0, 1.0)))
    assert end == (len(found[40]) - 1, pytest.approx(100 * found[40][-1].error), "2, 3")


def test_the_explorer_offers_every_count_step_and_rule(problem, iterates, truth):
    controls = inexact_explorer(problem, iterates, truth).controls
    count, step, rule = controls
    assert count.values == COUNTS and step.values == (0, 1, 2, 3)
    assert rule.values == ("none", "unrolled") and rule.buttons
    assert all(control.start == 0 for control in controls)


def test_one_rule_needs_no_buttons(problem, iterates, truth):
    alone = inexact_explorer(problem, {"none": iterates["none"]}, truth)
    assert [control.name for control in alone.controls] == ["count", "step"]


def test_bad_arguments_are_refused(problem, iterates, truth):
    found = iterates["none"]
    with pytest.raises(ValueError, match="iterates must name at least 1 rule; got none"):
        inexact_explorer(problem, {}, truth)
    with pytest.raises(ValueError, match=r"at least 2 lists a rule; got counts \[1\]"):
        inexact_explorer(problem, {"none": {1: found[1]}}, truth)
    with pytest.raises(ValueError, match="iterates must be at least 2 lists a rule"):
        inexact_explorer(problem, {"none": {1: found[1], 4: []}}, truth)
    with pytest.raises(ValueError, match="must have the same counts for each rule"):
        inexact_explorer(problem, iterates | {"none": {1: found[1], 4: found[4]}}, truth)
    with pytest.raises(ValueError, match=r"truth must have shape \(8, 12\); got \(12, 8\)"):
        inexact_explorer(problem, iterates, truth.T)
