"""The tolerance that follows the gradient."""

from types import SimpleNamespace

import pytest

from frame_problems import PROBLEM, W0, reduced_loss
from regtools.superresolution import follow_gradient, varpro


def states(*norms):
    return [SimpleNamespace(gradient_norm=norm) for norm in norms]


def test_it_is_in_proportion_to_the_gradient_between_its_bounds():
    tolerance = follow_gradient(0.02, loosest=0.01, tightest=1e-4)
    found = [tolerance(state) for state in [None, *states(50.0, 10.0, 5.0, 0.01)]]
    assert found == pytest.approx([0.01, 0.01, 0.004, 0.002, 1e-4], rel=1e-12)


def test_it_begins_anew_with_each_run():
    tolerance = follow_gradient()
    for size in (1.0, 1e6):
        assert tolerance(None) == 1e-2
        assert [tolerance(s) for s in states(size, 1e-2 * size)] == pytest.approx([1e-3, 1e-5])


def test_a_gradient_of_zero_at_the_start_divides_nothing():
    tolerance = follow_gradient(tightest=1e-7)
    tolerance(None)
    assert [tolerance(state) for state in states(0.0, 0.0)] == [1e-7, 1e-7]


@pytest.mark.parametrize("one_solve", [False, True])
def test_varpro_follows_it_from_rough_images_to_an_accurate_end(one_solve):
    options = {"max_iter": 20, "one_solve": one_solve}
    seen, inner = [], follow_gradient()

    def watched(state):
        seen.append((state, inner(state)))
        return seen[-1][1]

    tied = varpro(PROBLEM, W0, "kaufman", tol_cg=watched, **options)
    tight = varpro(PROBLEM, W0, "kaufman", tol_cg=1e-8, **options)
    assert tied.success
    assert reduced_loss(tied.w) == pytest.approx(reduced_loss(tight.w), rel=1e-6)
    assert tied.history[0].n_iter_cg < 0.9 * tight.history[0].n_iter_cg
    assert seen[0] == (None, 1e-2) and seen[1][1] == pytest.approx(1e-3)
    first = tied.history[0].gradient_norm
    for state, asked in seen[1:]:
        assert asked == pytest.approx(max(1e-8, 1e-3 * state.gradient_norm / first))


def test_bounds_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least tightest; got 1e-09 and 1e-08"):
        follow_gradient(loosest=1e-9)
    with pytest.raises(ValueError, match="tightest must be"):
        follow_gradient(tightest=0)
