"""What `varpro`, `joint_gauss_newton` and `super_resolve` return, and tell on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..images import Domain
from ..solvers import Record, SolverResult
from .maps import FramesResult
from .problem import SuperResolutionProblem


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
    image_residual : float
        ‖Aᵀr‖ over ‖Aᵀ𝖽‖, of all rows: how accurate the image is, what `tol_cg` is compared with.
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
    image_residual: float
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


@dataclass(frozen=True, kw_only=True, repr=False)
class SuperResolved(SolverResult):
    """What `super_resolve` returns.

    Attributes
    ----------
    image : torch.Tensor
        The sharp image over the box of frame 0, shape `domain.m`, in the units of frame 0. With
        channels, they are the last axis.
    domain : Domain
        Its box and cells.
    w : torch.Tensor
        Affine parameters ``[A row by row, b]`` of each frame but frame 0, shape ``(q, 6)`` in two
        dimensions: frame j shows the image at A x + b.
    lam : float
        λ, as given or as chosen: a length.
    gain, offset : torch.Tensor
        Frame j is ``gain[j]`` times the image plus ``offset[j]``, shape ``(q + 1,)`` each, or
        ``(q + 1, c)``.
    misfit : torch.Tensor
        How far each frame is off, ``(q + 1,)``: root mean square in grey values of frame 0; NaN
        for one that was left out.
    overlap : torch.Tensor
        Which part of the pixels of each frame was used, shape ``(q + 1,)``.
    left_out : tuple of int
        Frames that were not used, as they do not show what frame 0 shows.
    surround : str
        "zero" or "overlap", as given or as chosen.
    canvas_image : torch.Tensor
        The image with its margin, of shape ``problem.canvas.m``, and channels.
    problem : SuperResolutionProblem
        The problem of the last round, of the frames that were used; with channels, of their mean.
    registration : FramesResult
        How the frames were registered at the start; None where `w0` was given.
    history : tuple of VarProResult
        One for each round.
    success, status, message, n_iter
        See `SolverResult`; `n_iter` counts the rounds.
    """

    image: torch.Tensor
    domain: Domain
    w: torch.Tensor
    lam: float
    gain: torch.Tensor
    offset: torch.Tensor
    misfit: torch.Tensor
    overlap: torch.Tensor
    left_out: tuple[int, ...]
    surround: str
    canvas_image: torch.Tensor = field(repr=False)
    problem: SuperResolutionProblem
    registration: FramesResult | None = field(repr=False)

    @property
    def shifts(self) -> torch.Tensor:
        """How far the middle of each frame but frame 0 lies from that of frame 0, ``(q, dim)``.

        In pixels of a frame. Up to whole pixels they say where within a pixel a frame looks: for a
        finer image they have to be spread. NaN for frames that were left out.
        """
        box, d = self.domain, self.domain.dim
        middle = self.w.new_tensor([(a + b) / 2 for a, b in zip(box.lower, box.upper, strict=True)])
        A, b = self.w[:, : d * d].reshape(-1, d, d), self.w[:, d * d :]
        return (A @ middle + b - middle) / self.w.new_tensor(self.problem.frame_domain.h)
