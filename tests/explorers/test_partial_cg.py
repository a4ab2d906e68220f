import numpy as np
import pytest
import torch

from problems import blob
from regtools.explorers.partial_cg import COUNTS, FRACTIONS, FractionView, fraction_explorer
from regtools.explorers.partial_columns import Columns
from regtools.images import Domain
from regtools.superresolution import (
    Implicit,
    SuperResolutionProblem,
    Unrolled,
    projection_jacobian,
    simulate_frames,
)

DOMAIN = Domain((0.0, 3.0, -1.0, 4.0), (8, 12))  # not square, not isotropic
MAPS = torch.tensor([0.98, -0.05, 0.04, 1.03, 0.06, -0.02], dtype=torch.float64)


@pytest.fixture(scope="module")
def problem():
    sharp = blob((1.3, 1.1), (0.6, 0.8), DOMAIN)
    frames = simulate_frames(sharp.data, DOMAIN, 2, MAPS)
    return SuperResolutionProblem(frames, DOMAIN, 2, lam=0.05)


@pytest.fixture(scope="module")
def view(problem):
    return FractionView(Columns(problem, MAPS))


@pytest.fixture(scope="module")
def dense(problem):
    """∂f/∂w and the Jacobian from dense matrices and finite differences of the exact image."""

    def matrix(w):
        eye = torch.eye(96, dtype=torch.float64).reshape(8, 12, 96)
        return problem.operator(w)(eye)

    def image(w):
        return torch.linalg.lstsq(matrix(w), problem.target[:, None]).solution[:, 0]

    columns, rows, step = [], [], 1e-5
    for k in range(6):
        change = step * torch.eye(6, dtype=torch.float64)[k]
        above, below = image(MAPS + change), image(MAPS - change)
        columns.append((above - below) / (2 * step))
        high, low = matrix(MAPS + change) @ above, matrix(MAPS - change) @ below
        rows.append((high - low) / (2 * step))
    return torch.stack(columns, 1), torch.stack(rows, 1)


def test_the_true_column_is_that_of_finite_differences(view, dense):
    """It is what the second panel draws, at every position alike."""
    ax = matplotlib_axes()
    view.draw_true(view.compute(fraction=0.5, n_iter=50), ax)
    drawn = ax.images[0].get_array().T
    true = dense[0][:, 4].reshape(8, 12).numpy()
    np.testing.assert_allclose(drawn, true, atol=1e-5 * np.abs(true).max())


def matplotlib_axes():
    from matplotlib.figure import Figure

    return Figure().add_subplot()


def test_a_wrong_column_has_a_scale_of_its_own(view):
    """No panel is saturated: the colours end at the largest entry, and the bar says where."""
    result = view.compute(fraction=0.5, n_iter=50)
    true = view.columns.true
    for factor in (1, 50):
        ax = matplotlib_axes()
        view.draw_last(type(result)(**{**vars(result), "unrolled": factor * true}), ax)
        largest = factor * float(true.abs().max())
        assert ax.images[0].get_clim() == pytest.approx((-largest, largest))
        bar = ax.figure.axes[1]
        assert list(bar.get_yticks()) == pytest.approx([-largest, 0, largest])


def test_errors_are_drawn_relative_to_no_derivative(view):
    result, ax = view.compute(fraction=0.7, n_iter=50), matplotlib_axes()
    view.draw_errors(result, ax)
    last, above, mark = ax.lines[:3]
    np.testing.assert_allclose(last.get_ydata()[0], 1)
    np.testing.assert_allclose(last.get_ydata(), result.errors_unrolled / result.errors_unrolled[0])
    assert len(above.get_ydata()) == 0
    assert mark.get_ydata()[0] == pytest.approx(result.error / result.errors_unrolled[0])


def test_errors_too_large_to_draw_have_an_arrow(view):
    whole, ax = view.compute(fraction=0.7, n_iter=50), matplotlib_axes()
    errors = whole.errors_unrolled.copy()
    errors[2:4] = 1e5 * errors[0]
    view.draw_errors(type(whole)(**{**vars(whole), "errors_unrolled": errors}), ax)
    line, above, mark = ax.lines[:3]
    assert max(line.get_ydata()) == mark.get_ydata()[0] == ax.get_ylim()[1]
    assert above.get_marker() == mark.get_marker() == "^"
    np.testing.assert_allclose(above.get_xdata(), [70, 80])


def test_it_opens_at_the_left_and_precisions_are_buttons(problem, columns):
    fraction, n_iter, bits = fraction_explorer(problem, MAPS, columns=columns).controls
    assert fraction.start == n_iter.start == bits.start == 0
    assert bits.buttons and bits.values == (53, 106, 400)
    assert len(fraction_explorer(problem, MAPS).controls) == 2


@pytest.mark.parametrize("fraction", [0.0, 0.7, 1.0])
def test_errors_are_those_of_a_column_of_the_jacobian(problem, view, dense, fraction):
    result = view.compute(fraction=fraction, n_iter=50)
    assert result.count == round(50 * fraction)
    rules = [Unrolled(last=fraction), Implicit(n_iter=result.count) if fraction else "none"]
    for rule, error in zip(rules, [result.error, result.error_implicit], strict=True):
        there, true = projection_jacobian(problem, MAPS, rule, n_iter_cg=50)[:, 4], dense[1][:, 4]
        expected = float((there - true).norm() / true.norm())
        assert error == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_own_cg_lowers_the_error_with_every_iteration(view):
    """With 30 iterations, far above the level where rounding takes over (1e-10, after 50)."""
    errors = view.compute(fraction=1.0, n_iter=30).errors_implicit
    assert errors.shape == (len(FRACTIONS),)
    assert (np.diff(errors) < 0).all()


def test_without_derivative_both_rules_are_one(view):
    result = view.compute(fraction=0.0, n_iter=COUNTS[0])
    assert not result.unrolled.any()
    assert result.error == result.error_implicit > 0
    text = view.describe(result)
    assert text.startswith(f"None of the {COUNTS[0]} iterations is differentiated in 53 bits: ")
    more = type(result)(**{**vars(result), "bits": 106})
    assert "in 106 bits" in view.describe(more)


@pytest.mark.parametrize(
    ("fraction", "factor", "words"),
    [
        (1.0, 0.2, "less than a quarter of the error without a derivative"),
        (1.0, 0.3, "not far above the error without a derivative, or below it"),
        (0.9, 0.2, "not far above the error without a derivative, or below it"),
        (0.9, 99.0, "not far above the error without a derivative, or below it"),
        (0.9, 101.0, "more than a hundred times as wrong as no derivative at all"),
    ],
)
def test_it_says_which_side_of_no_derivative(view, fraction, factor, words):
    whole = view.compute(fraction=fraction, n_iter=50)
    errors = whole.errors_unrolled.copy()
    errors[FRACTIONS.index(fraction)] = factor * errors[0]
    text = view.describe(type(whole)(**{**vars(whole), "errors_unrolled": errors}))
    assert text.startswith(f"The last {whole.count} of 50 iterations in 53 bits: {words}. ")
    shown = text.partition("own CG: ")[2].partition(" times that error")[0]
    ratio = whole.error_implicit / errors[0]
    if ratio < 0.005:
        assert shown == "below 0.005"
    else:
        assert float(shown) == pytest.approx(float(f"{ratio:.0e}"))


def test_the_texts_of_a_column_give_classes(problem, view):
    result = view.compute(fraction=1.0, n_iter=50)
    panels = fraction_explorer(problem, MAPS).panels
    _, true, last = (panel.description(result) for panel in panels)
    assert true.endswith("what is wanted.") and "wrong by less than five times" in last
    wrong = type(result)(**{**vars(result), "unrolled": -9 * result.unrolled})
    assert "wrong by more than five times" in view.alt_last(wrong)


@pytest.fixture(scope="module")
def columns(problem, dense):
    """The true column, and an error that grows with the precision."""
    sizes = np.ones((len(COUNTS), len(FRACTIONS), 1, 1))
    sizes[:, 0] = 0  # nothing is differentiated
    true = sizes * dense[0][:, 4].reshape(DOMAIN.m).numpy()
    return {"106": 1.5 * true, "400": 9e9 * true}


def test_other_precisions_are_shown_as_given(problem, view, columns, dense):
    several = FractionView(Columns(problem, MAPS, columns=columns))
    here = several.compute(fraction=0.7, n_iter=100, bits=53)
    np.testing.assert_array_equal(
        here.errors_unrolled, view.compute(fraction=0.7, n_iter=100).errors_unrolled
    )
    more = several.compute(fraction=0.7, n_iter=100, bits=106)
    many = several.compute(fraction=0.7, n_iter=100, bits=400)
    np.testing.assert_array_equal(more.errors_implicit, here.errors_implicit)
    assert many.error / more.error == pytest.approx((9e9 - 1) / 0.5, rel=1e-6)
    torch.testing.assert_close(many.unrolled, 6e9 * more.unrolled, rtol=1e-14, atol=0)
    # Half of what the image's derivative contributes to the column.
    operator = problem.operator(MAPS)
    column = dense[0][:, 4].reshape(DOMAIN.m)
    expected = 0.5 * float(operator(column).norm() / dense[1][:, 4].norm())
    assert more.error == pytest.approx(expected, rel=1e-4)
    assert "70 of 100 iterations in 400 bits: more than" in several.describe(many)
    ratio = more.error / here.errors_unrolled[0]
    expected = f"{ratio:.1g} times the error without a derivative"
    assert f"70 of 100 iterations in 106 bits: {expected}" in several.describe(more)
    assert "iterations in 53 bits: " in several.describe(here)


def test_columns_of_another_shape_are_refused(problem, columns):
    with pytest.raises(ValueError, match=r"columns must have shape .* for 106 bits"):
        fraction_explorer(problem, MAPS, columns={"106": columns["106"][:2]})


def test_a_parameter_that_is_not_there_is_refused(problem):
    with pytest.raises(ValueError, match="parameter must be below 6"):
        fraction_explorer(problem, MAPS, parameter=6)
