"""What `varpro` and `joint_gauss_newton` return, and tell on the way."""

from dataclasses import dataclass

import torch

from ..solvers import Record, SolverResult


@dataclass(frozen=True, repr=False)
class VarProState(Record):
    """What `varpro` tells its callback after each accepted iterate.

    Attributes
    ----------
    iteration : int
        Accepted steps so far.
    w : torch.Tensor
        Shape ``(n_params,)``.
    loss : float
        Sum of squares of the rows that are minimised, with the image as it was computed.
    gradient_norm : float
        Of 2 Jᵀr, with the Jacobian of the rule: the gradient itself where the rule is exact. Where
        one solve makes a step (Kaufman, 32 parameters or more) of 2 Dᵀr, which for an accurate
        image is the same.
    damping : float
        γ of the step that led here, relative to what `damping` of `varpro` is, at the start; NaN
        at the start itself.
    n_iter_cg : int
        CG iterations spent so far, for images, tangents and steps, refused trials included. A
        block of right-hand sides counts once, although it costs more than a single one.
    n_evaluations : int
        Projections computed so far.
    """

    iteration: int
    w: torch.Tensor
    loss: float
    gradient_norm: float
    damping: float
    n_iter_cg: int
    n_evaluations: int


@dataclass(frozen=True, kw_only=True, repr=False)
class VarProResult(SolverResult):
    """The end of `varpro` or `joint_gauss_newton`.

    Attributes
    ----------
    w : torch.Tensor
        Best maps found, shape ``(n_params,)``.
    image : torch.Tensor
        The image for these maps, from an accurate solve, shape `canvas.m`.
    misfit : torch.Tensor
        How far each frame is off at `w` and `image`, shape ``(q + 1,)``: root mean square in grey
        values. One that stands out does not show the same scene.
    overlap : torch.Tensor
        Which part of each moving frame lies on the canvas, shape ``(n_moving,)``.
    loss, gradient_norm : float
        At `w`, as in the history.
    n_evaluations : int
        Projections computed.
    n_iter_cg : int
        CG iterations spent in all, counted as in the history; those of the accurate solve at the
        end included.
    gradient_tolerance : float
        The right-hand side of the gradient test.
    history : tuple of VarProState
        Start and every accepted iterate.
    success, status, message, n_iter
        See `SolverResult`.
    """

    w: torch.Tensor
    image: torch.Tensor
    misfit: torch.Tensor
    overlap: torch.Tensor
    loss: float
    gradient_norm: float
    n_evaluations: int
    n_iter_cg: int
    gradient_tolerance: float
