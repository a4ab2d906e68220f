"""What a thousand rows say: a number, and how far it can be off.

Problems that share a picture are not independent. Handed the pictures as groups, an interval
counts with them: a median is taken over pictures drawn anew, a share has an effective number of
problems.
"""

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

    def percent(self, width: int = 0) -> str:
        """A share in per cent, as 50 % [40, 60] of 97; its first number as wide as is said."""
        value, low, high = 100 * self.value, 100 * self.low, 100 * self.high
        return f"{value:{width}.0f} % [{low:.0f}, {high:.0f}] of {self.n}"


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


def median(values, groups=None, confidence: float = CONFIDENCE) -> Interval:
    """Return the median and its bootstrap interval.

    Parameters
    ----------
    values : array_like
        One a problem; NaN is left out.
    groups : array_like, optional
        The picture of each problem, or what else problems share; whole groups are drawn.
    confidence : float
        Of the interval.

    Returns
    -------
    Interval
        NaN for no values; without width for a single one.

    Raises
    ------
    ValueError
        If `groups` differs in length.

    References
    ----------
    Efron and Tibshirani (1993), percentile intervals. *The atlas*.
    """
    values = np.asarray(values, dtype=float).ravel()
    groups = _grouped(values, groups)
    known = ~np.isnan(values)
    values, groups = values[known], groups[known]
    parts = [values[groups == one] for one in np.unique(groups)]
    middle = float(np.median(values)) if len(values) else np.nan
    if len(parts) < 2:
        return Interval(middle, middle, middle, len(values))
    found = scipy.stats.bootstrap(
        (np.arange(len(parts)),),
        lambda drawn: np.median(np.concatenate([parts[k] for k in drawn])),
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(middle, float(found.low), float(found.high), len(values))


def share(successes, groups=None, confidence: float = CONFIDENCE) -> Interval:
    """Return the share of successes and its Wilson interval.

    With groups it is that of an effective number of problems: fewer by the factor by which the
    variance between groups exceeds that of independent problems, and one a group where all
    problems agree.

    Parameters
    ----------
    successes : array_like of bool
        One a problem.
    groups : array_like, optional
        The picture of each problem, or what else problems share.
    confidence : float
        Of the interval.

    Returns
    -------
    Interval
        NaN for no problems.

    Raises
    ------
    ValueError
        If `groups` differs in length.

    References
    ----------
    Wilson (1927); Korn and Graubard (1998). *The atlas*.
    """
    successes = np.asarray(successes, dtype=bool)
    n, p = len(successes), float(np.mean(successes)) if len(successes) else np.nan
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0)
    n_effective = n / _design_effect(successes, _grouped(successes, groups))
    z = scipy.stats.norm.ppf((1 + confidence) / 2)
    middle = (p + z**2 / (2 * n_effective)) / (1 + z**2 / n_effective)
    half = z / (1 + z**2 / n_effective)
    half *= np.sqrt(p * (1 - p) / n_effective + z**2 / (4 * n_effective**2))
    return Interval(p, max(0.0, float(middle - half)), min(1.0, float(middle + half)), n)


def _design_effect(successes, groups):
    """By which factor the variance of a share exceeds that of independent problems, at least 1."""
    names, index = np.unique(groups, return_inverse=True)
    n, p, count = len(successes), successes.mean(), len(names)
    if p in (0.0, 1.0):
        return n / count
    if count < 2:
        return float(n)
    gaps = np.bincount(index, successes - p)
    between = float(gaps @ gaps) / n**2 * count / (count - 1)
    return min(max(1.0, between / (p * (1 - p) / (n - 1))), float(n))


def _grouped(values, groups):
    """Groups of the length of the values; each for itself if there are none."""
    if groups is None:
        return np.arange(len(values))
    groups = np.asarray(groups)
    if groups.shape != (len(values),):
        raise ValueError(f"groups must be as long as values, {len(values)}; got {len(groups)}")
    return groups


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
