"""Runs whose projections were not exact, looked at with exact ones."""

from dataclasses import dataclass

import torch

from ..images import checks


@dataclass(frozen=True)
class Iterate:
    """One iterate of a run, looked at with an exact solve.

    Attributes
    ----------
    count : int
        CG iterations of each projection of the run.
    step : int
        Accepted steps so far; the last one where the run has ended before.
    image : torch.Tensor
        Shape ``domain.m``: the image that fits the maps best, from an accurate solve.
    error : float
        Norm of `image` minus the true image, relative to the true image.
    inexact_error : float
        The same for the image after `count` CG iterations, which the run itself has seen.
    loss : float
        Reduced objective, that is, with the exact image.
    """

    count: int
    step: int
    image: torch.Tensor
    error: float
    inexact_error: float
    loss: float


def exact_iterates(problem, run, truth, count):
    """Solve exactly at every iterate of a run whose projections were not exact.

    Parameters
    ----------
    problem : SuperResolutionProblem
        What was minimised.
    run : VarProResult
        From `varpro`, with ``n_iter_cg=count``.
    truth : torch.Tensor
        The image that the frames come from, shape `domain.m`.
    count : int
        CG iterations of each projection of the run.

    Returns
    -------
    list of Iterate
        The start and every accepted iterate.

    References
    ----------
    Paper, section 4.3.2: final errors are measured after an exact solve.
    """
    checks.check_shape("truth", truth, problem.canvas.m)
    return [_look_at(problem, state, truth, count) for state in run.history]


def _look_at(problem, state, truth, count):
    image = problem.reconstruct(state.w)
    # `verify` has this as relative_error, but comes after this wing.
    error, inexact_error = (
        float((found - truth).norm() / truth.norm())
        for found in (image, problem.reconstruct(state.w, count))
    )
    loss = float(problem.loss(state.w, image))
    return Iterate(count, state.iteration, image, error, inexact_error, loss)
