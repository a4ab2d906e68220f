"""Intervals and comparisons, against numbers from books and by simulation."""

import math

import numpy as np
import pytest
import scipy.stats

from regtools.atlas import compare, median, share


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 20, 0.0, 0.1611),
        (15, 148, 0.0624, 0.1605),  # both from Newcombe (1998), table I
        (81, 263, 0.2553, 0.3662),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_of_newcombe(k, n, low, high):
    found = share(np.arange(n) < k)
    assert found.value == k / n and found.n == n
    assert (round(found.low, 4), round(found.high, 4)) == pytest.approx((low, high), abs=1e-4)


def test_the_median_is_covered_as_often_as_said():
    """Of 300 draws of a skewed variable; Wilson's interval around 95 % is 2.5 % wide."""
    rng = np.random.default_rng(5)
    truth, held = math.exp(1.0), 0
    for _ in range(300):
        found = median(rng.lognormal(1.0, 1.0, 41))
        held += found.low <= truth <= found.high
    assert 0.91 <= held / 300 <= 0.98
    same = median([3.0, 1.0, 2.0, math.nan])
    assert (same.value, same.n) == (2.0, 3)
    assert median([7.0]).low == 7.0 and math.isnan(median([]).value)
    assert math.isnan(share([]).value)


def test_the_interval_is_always_the_same():
    values = np.random.default_rng(0).standard_normal(30)
    assert median(values) == median(values)
    assert f"{median([1.0, 1.0, 1.0]):.1f}" == "1.0 [1.0, 1.0]"


def test_pairs_are_compared():
    """Against SciPy, and by counting the ranks by hand."""
    first, second = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 4, 6, 4, 4.5])
    found = compare(first, second)
    # Gaps -1, -2, -3, 0, 0.5: ranks 2, 3, 4 against 1.
    assert found.effect == pytest.approx((1 - 9) / 10)
    assert (found.better.value, found.worse.value) == (3 / 5, 1 / 5)
    assert found.gap.value == -1.0
    assert found.p == scipy.stats.wilcoxon([-1.0, -2, -3, 0.5]).pvalue
    near = compare(first, second, tolerance=1.0)
    assert (near.better.value, near.worse.value) == (2 / 5, 0.0)
    equal = compare(first, first)
    assert (equal.effect, equal.p, equal.better.value) == (0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="second must be as long as first, 5; got 4"):
        compare(first, second[:4])


def test_problems_of_one_picture_count_with_it():
    """Rows that only repeat say nothing more; independent ones count fully."""
    pictures = np.arange(16)
    successes = pictures < 5
    alone, repeated = share(successes), share(np.repeat(successes, 10), np.repeat(pictures, 10))
    assert repeated.n == 160 and repeated.value == alone.value
    # Of 16 groups the variance is estimated with 15 degrees of freedom.
    assert repeated.low == pytest.approx(alone.low, abs=0.01) and repeated.low <= alone.low
    none = share(np.zeros(160, bool), np.repeat(pictures, 10))
    assert none.high == pytest.approx(share(np.zeros(16, bool)).high)
    rng = np.random.default_rng(1)
    apart = rng.random(1600) < 0.3
    grouped, free = share(apart, np.repeat(pictures, 100)), share(apart)
    assert grouped.high - grouped.low < 2 * (free.high - free.low)
    values = rng.standard_normal(16)
    assert median(np.repeat(values, 10), np.repeat(pictures, 10)).low == pytest.approx(
        median(values).low, abs=0.3
    )
    with pytest.raises(ValueError, match="groups must be as long as values, 3; got 2"):
        median([1.0, 2.0, 3.0], ["a", "b"])
    with pytest.raises(ValueError, match="groups must be as long as values, 3; got 2"):
        share([True, False, True], ["a", "b"])


def test_shares_of_groups_are_covered():
    """Twelve problems on each of 16 pictures, each picture with its own chance."""
    rng, held = np.random.default_rng(7), 0
    pictures = np.repeat(np.arange(16), 12)
    for _ in range(400):
        chance = rng.beta(1.0, 2.0, 16)
        found = share(rng.random(192) < chance[pictures], pictures)
        held += found.low <= 1 / 3 <= found.high
    assert 0.90 <= held / 400 <= 0.99
