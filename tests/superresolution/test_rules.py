"""Rules for ∂f/∂w: names, counts of iterations, rules of one's own."""

import math

import numpy as np
import pytest
import torch

from dense_frames import small_problem, start
from regtools.superresolution import (
    Implicit,
    Kaufman,
    NoDerivative,
    Projection,
    Rule,
    Unrolled,
    varpro,
)
from regtools.superresolution.rules import as_rule


def test_words_stand_for_the_rules():
    assert as_rule("none") == NoDerivative() and as_rule("kaufman") == Kaufman(None)
    assert as_rule("implicit") == Implicit(None) and as_rule("unrolled") == Unrolled()
    assert as_rule(Unrolled(last=0.7)) == Unrolled(last=0.7)


# --- counts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "n_iter", "inside"),
    [
        (0.29, 100, 29),  # 0.29 * 100 is below 29 in floating point
        (0.7, 200, 140),
        (0.95, 200, 190),
        (0.5, 5, 2),  # halves to the even one
        (0.5, 7, 4),
        (0.07, 150, 10),  # 10.5, in floating point more
        (0.35, 90, 32),  # 31.5, in floating point less
        (0.25, 10, 2),
        (0.001, 200, 0),
        (1, 200, 200),
        (0, 200, 0),
        (1.0, 3, 3),
        (np.float64(0.29), np.int64(100), 29),
    ],
)
def test_counts_are_rounded_exactly(fraction, n_iter, inside):
    assert Unrolled(last=fraction).counts(n_iter) == (n_iter - inside, inside, 0)
    assert Unrolled(first=fraction).counts(n_iter) == (0, inside, n_iter - inside)


def test_counts_of_all():
    assert Unrolled().counts(17) == (0, 17, 0)
    assert Unrolled().whole(17) and not Unrolled(last=0.5).whole(17)
    assert Unrolled(last=0.01).whole(17) and Unrolled(first=1.0).whole(17)


@pytest.mark.parametrize(
    ("rule", "n_iter", "spent"),
    [
        ("none", 9, 0),
        ("kaufman", 9, 9),
        (Kaufman(4), 9, 4),
        ("implicit", 9, 9),
        (Implicit(4), 9, 4),
        ("unrolled", 9, 9),
        (Unrolled(last=0.33), 9, 9),
        (Unrolled(first=0.33), 9, 3),
        (Unrolled(last=0), 9, 0),
    ],
    ids=str,
)
def test_iterations_spent_on_the_derivative(dense_2d, rule, n_iter, spent):
    projection = Projection(dense_2d.problem, rule, n_iter=n_iter)
    operator = dense_2d.problem.operator(dense_2d.w)
    applied = []
    normal, normal_jvp = operator.normal, operator.normal_jvp
    projected = projection.project(operator)
    operator.normal = lambda x: applied.append(1) or normal(x)
    operator.normal_jvp = lambda x: applied.append(1) or normal_jvp(x)
    moves, count = projection.tangents(operator, projected)
    assert count == spent and spent <= len(applied) <= spent + 1  # one more for a restart
    assert torch.equal(moves, projection.image_derivative(operator, projected))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Unrolled(last=1.1), "last must be a fraction between 0 and 1; got 1.1"),
        (lambda: Unrolled(last=-0.1), "last must be a fraction between 0 and 1; got -0.1"),
        (lambda: Unrolled(first=70), "first must be a fraction between 0 and 1; got 70"),
        (lambda: Unrolled(first=math.nan), "first must be a fraction .* got nan"),
        (lambda: Unrolled(last="70 %"), "last must be a number; got '70 %'"),
        (lambda: Unrolled(last=True), "last must be a number; got True"),
        (lambda: Unrolled(last=0.1, first=0.2), "last or first, not both; got 0.1 and 0.2"),
        (lambda: Implicit(0), "n_iter must be a whole number from 1, or None; got 0"),
        (lambda: Implicit(1.5), "n_iter must be a whole number from 1, or None; got 1.5"),
        (lambda: Kaufman(-1), "n_iter must be a whole number from 1, or None; got -1"),
    ],
)
def test_bad_rules_are_named(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


# --- rules of one's own ----------------------------------------------------------------


class Half(Kaufman):
    """Kaufman's rule with half the iterations."""

    label = "Kaufman, half"

    def count(self, n_iter):
        return None if n_iter is None else max(1, n_iter // 2)


class Doubled(Rule):
    """A wrong derivative: twice that of Kaufman's rule."""

    label = "doubled"

    def tangents(self, projection, operator, projected):
        df_dw, n_iter = Kaufman().tangents(projection, operator, projected)
        return 2 * df_dw, n_iter


def test_a_rule_of_ones_own_needs_one_class():
    problem = small_problem()
    w0 = start(problem)
    mine = varpro(problem, w0, Half(), n_iter_cg=8, max_iter=2)
    same = varpro(problem, w0, Kaufman(n_iter=4), n_iter_cg=8, max_iter=2)
    assert mine.loss == same.loss and mine.n_iter_cg == same.n_iter_cg
    free = [varpro(problem, w0, rule, max_iter=2).loss for rule in (Half(), "kaufman")]
    assert free[0] == free[1]  # both to the tolerance
    doubled = varpro(problem, w0, Doubled(), max_iter=2)
    assert doubled.loss != varpro(problem, w0, "kaufman", max_iter=2).loss


def test_a_rule_without_tangents_cannot_be_made():
    class Nothing(Rule):
        label = "nothing"

    with pytest.raises(TypeError, match="tangents"):
        Nothing()


class Wrong(Kaufman):
    """Gives back what no rule may."""

    label = "wrong"
    answer: object = None

    def tangents(self, setting, operator, projected):
        return Wrong.answer


@pytest.mark.parametrize(
    "answer", [torch.zeros(8, 12, 12), (torch.zeros(8, 12), 3), (torch.zeros(8, 12, 12), None)]
)
def test_what_a_rule_gives_is_checked(answer, monkeypatch):
    monkeypatch.setattr(Wrong, "answer", answer)
    problem = small_problem(q=6)  # many parameters: the tangents must be asked for all the same
    with pytest.raises(
        TypeError, match=r"Wrong.tangents must return a tensor of shape \(8, 12, 36"
    ):
        varpro(problem, start(problem), Wrong(), max_iter=1)


def test_a_count_below_one_is_no_count():
    class Nothing(Kaufman):
        label = "nothing"

        def count(self, n_iter):
            return 0

    problem = small_problem()
    with pytest.raises(ValueError, match=r"Nothing.count\(5\) must be a whole number"):
        varpro(problem, start(problem), Nothing(), n_iter_cg=5, max_iter=1)
    with pytest.raises(ValueError, match=r"got <class .*Nothing'>, a class: give an instance"):
        varpro(problem, start(problem), Nothing, max_iter=1)
