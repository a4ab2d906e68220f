"""Tolerances for the projections of variable projection that change during a run."""

from __future__ import annotations

from collections.abc import Callable

from ..images import checks
from .results import VarProState


def follow_gradient(
    c: float = 1e-3, *, loosest: float = 1e-2, tightest: float = 1e-8
) -> Callable[[VarProState | None], float]:
    r"""Return a tolerance for `varpro` in proportion to the norm of the gradient.

    The error that an inexact image makes in the gradient is in proportion to the tolerance, so
    this one stays small against the gradient: a run starts with rough images and ends with
    accurate ones. Hand it over as ``tol_cg=follow_gradient()``.

    Parameters
    ----------
    c : float
        The tolerance is c times the gradient norm over that at the start of the run.
    loosest, tightest : float
        The tolerance stays between these; the image at the start is solved to `loosest`.

    Returns
    -------
    callable
        Takes a `VarProState`, or None before the first, and returns the tolerance. It remembers
        the first gradient of a run, and begins anew with the next run.

    Raises
    ------
    ValueError
        If `c` is not above 0, a tolerance is not between 0 and 1, or `loosest` is below `tightest`.

    References
    ----------
    Nocedal and Wright (2006), chapter 7, on forcing terms. Chapter 8.
    """
    c = checks.positive("c", c)
    loosest = checks.tolerance("loosest", loosest)
    tightest = checks.tolerance("tightest", tightest)
    if loosest < tightest:
        raise ValueError(f"loosest must be at least tightest; got {loosest:g} and {tightest:g}")
    first = None

    def tolerance(state):
        nonlocal first
        if state is None:
            first = None
            return loosest
        if first is None:
            first = state.gradient_norm
        if not first:
            return tightest
        return max(tightest, min(loosest, c * state.gradient_norm / first))

    return tolerance
