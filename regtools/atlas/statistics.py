"""What a thousand rows say: a number, and how far it can be off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.stats

from ..images import checks

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A number with its interval.

    Attributes
    ----------
    value, low, high : float
    n : int
        Problems behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def __format__(self, spec):
        """All three numbers by one format, as 0.5 [0.4, 0.6]."""
        value, low, high = (format(x, spec) for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


@dataclass(frozen=True)
class Comparison:
    """Two measurements of the same problems.

    Attributes
    ----------
    better : Interval
        Share of the problems where the first is lower by more than the tolerance.
    worse : Interval
        Share where it is higher by more than that.
    gap : Interval
        Median of first minus second.
    effect : float
        Rank-biserial correlation, -1 (the first always lower) to 1; 0 if all are equal.
    p : float
        Of Wilcoxon's signed-rank test; to be read with the effect only.
    """

    better: Interval
    worse: Interval
    gap: Interval
    effect: float
    p: float


def median(values, confidence: float = CONFIDENCE) -> Interval:
    """Return the median and its bootstrap interval.

    Parameters
    ----------
    values : array_like
        One a problem; NaN is left out.
    confidence : float
        Of the interval.

    Returns
    -------
    Interval
        NaN for no values; without width for a single one.

    References
    ----------
    Efron and Tibshirani (1993), percentile intervals. *The atlas*.
    """
    values = _finite(values)
    if len(values) < 2:
        value = float(values[0]) if len(values) else np.nan
        return Interval(value, value, value, len(values))
    found = scipy.stats.bootstrap(
        (values,),
        np.median,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(np.median(values)), float(found.low), float(found.high), len(values))


def share(successes, confidence: float = CONFIDENCE) -> Interval:
    """Return the share of successes and its Wilson interval.

    Parameters
    ----------
    successes : array_like of bool
        One a problem.
    confidence : float
        Of the interval.

    Returns
    -------
    Interval
        NaN for no problems.

    References
    ----------
    Wilson (1927). *The atlas*.
    """
    successes = np.asarray(successes, dtype=bool)
    n, k = len(successes), int(successes.sum())
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0)
    found = scipy.stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    return Interval(k / n, float(found.low), float(found.high), n)


def compare(first, second, tolerance: float = 0.0) -> Comparison:
    """Compare two measurements of the same problems.

    Parameters
    ----------
    first, second : array_like
        One number a problem, in the same order; pairs with NaN are left out.
    tolerance : float
        Differences up to this size count as none.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If they differ in length, or `tolerance` is below 0.

    References
    ----------
    Wilcoxon (1945); Kerby (2014). *The atlas*.
    """
    tolerance = checks.not_negative("tolerance", tolerance)
    first, second = (np.asarray(one, dtype=float) for one in (first, second))
    if first.shape != second.shape:
        raise ValueError(f"second must be as long as first, {len(first)}; got {len(second)}")
    gap = _finite(first - second)
    gap = np.where(np.abs(gap) <= tolerance, 0.0, gap)
    effect, p = 0.0, 1.0
    if moved := gap[gap != 0].tolist():
        ranks = scipy.stats.rankdata(np.abs(moved))
        effect = float(np.sign(moved) @ ranks / ranks.sum())
        p = float(scipy.stats.wilcoxon(moved).pvalue)
    return Comparison(share(gap < 0), share(gap > 0), median(gap), effect, p)


def _finite(values):
    values = np.asarray(values, dtype=float).ravel()
    return values[~np.isnan(values)]
