"""Figures 7 to 9 of the paper on its own image; chapter 8 quotes some of them."""

import itertools
from functools import cache

import numpy as np
import pytest
import torch

from paper_frames import dense, error, paper, run
from paper_pair import on_the_papers_pair
from regtools.superresolution import Implicit, Projection, Unrolled

pytestmark = on_the_papers_pair


@cache
def derivative_errors():
    """Relative errors of ∂f/∂w at the published start, each the median of five.

    Those of a part of the iterations change in their first digit with the last digit of w. So w
    is shifted a little, five times.
    """
    problem, w0 = paper().stacked
    rules = {0.5: Unrolled(last=0.5), 0.7: Unrolled(last=0.7), 0.9: Unrolled(last=0.9)}
    rules |= {0.0: Unrolled(last=0.0), 0.95: Unrolled(last=0.95), 1.0: Unrolled()}
    rules |= {count: Implicit(count) for count in (25, 50, 100, 200)}
    rules |= {"first": Unrolled(first=0.7)}
    errors = {name: [] for name in rules}
    truth = dense("published").df
    for seed in range(5):
        noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(18))
        operator = problem.operator(w0 + 1e-9 * noise)
        for name, rule in rules.items():
            projection = Projection(problem, rule, n_iter=200)
            df = projection.image_derivative(operator, projection.project(operator))
            errors[name].append(float((df.reshape(400, -1) - truth).norm() / truth.norm()))
    return {name: np.median(five) for name, five in errors.items()}


def test_a_part_of_the_iterations_is_worse_than_none():
    errors = derivative_errors()
    assert errors[0.0] == pytest.approx(1, abs=1e-9)
    assert errors[0.5] > 50 and errors[0.7] > 50
    assert 0.01 < errors[1.0] < 0.1
    assert errors[0.95] < 0.2 and errors[0.9] < 0.1 * min(errors[0.5], errors[0.7])
    assert errors[1.0] < 1.5 * errors[0.95] < 3 * errors[0.9]
    assert errors["first"] < 0.2  # the first 70 % do what the last 70 % do not


def test_tangent_equations_improve_steadily():
    errors = derivative_errors()
    counts = [errors[count] for count in (25, 50, 100, 200)]
    assert counts == pytest.approx([0.64, 0.45, 0.22, 0.037], rel=0.15)
    assert all(b < 0.8 * a for a, b in itertools.pairwise(counts))


# --- Figures 8, 9: the optimisation with a part ----------------------------------------


# Errors after ten steps with 200 iterations from frame 0, stacked rows and data rows; chapter 8
# quotes some.
PARTS = [
    (Unrolled(last=0.0), 27.4, 24.5),
    (Unrolled(last=0.9), 9.7, 11.6),
    (Unrolled(last=0.95), 9.7, 10.5),
    (Unrolled(last=1.0), 9.7, 10.5),
    (Unrolled(first=0.25), 10.0, 13.7),
    (Unrolled(first=0.5), 9.7, 10.8),
    (Unrolled(first=0.7), 9.7, 10.9),
    (Implicit(10), 13.0, 16.2),
    (Implicit(25), 9.8, 15.3),
    (Implicit(50), 9.6, 14.3),
    (Implicit(100), 9.7, 10.8),
    (Implicit(200), 9.7, 10.7),
]


@pytest.mark.parametrize(("rule", "stacked", "data"), PARTS, ids=lambda value: str(value))
def test_table_of_chapter_7(rule, stacked, data):
    for rows, expected in (("stacked", stacked), ("data", data)):
        # The last decimal of a rule that differentiates a part hangs on rounding.
        margin = 0.04 if isinstance(rule, Implicit) or not rule.last else 0.12
        found = error(run(rows, rule, n_iter_cg=200, image0="frame 0").image)
        assert found == pytest.approx(expected, rel=margin), rows


@pytest.mark.parametrize("rows", ["stacked", "data"])
@pytest.mark.parametrize("image0", [None, "frame 0"])
def test_the_last_80_percent_leave_the_start_but_stay_behind(rows, image0):
    found = error(run(rows, Unrolled(last=0.8), n_iter_cg=200, image0=image0).image)
    assert 13 < found < 33


@pytest.mark.parametrize("rows", ["stacked", "data"])
def test_half_of_the_iterations_do_not_leave_the_start(rows):
    for last, least in ((0.5, 36), (0.7, 30)):  # the second hangs on rounding: 34 to 37
        found = error(run(rows, Unrolled(last=last), n_iter_cg=200, image0="frame 0").image)
        assert found > least
    # Nearly undamped they leave it, and the last 70 % beat no derivative at all.
    half, most, none = (
        run(rows, Unrolled(last=last), n_iter_cg=200, damping=1e-12, image0="frame 0")
        for last in (0.5, 0.7, 0.0)
    )
    assert most.loss < none.loss and error(most.image) < 30 and error(half.image) < 34
    assert rows == "stacked" or half.loss < none.loss


def test_order_of_the_losses():
    whole, part, none = (
        run("stacked", Unrolled(last=last), n_iter_cg=200) for last in (1.0, 0.7, 0.0)
    )
    assert part.loss > none.loss > 1.5 * whole.loss
