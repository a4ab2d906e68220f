"""What the minimisers return, and tell on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..solvers import Record, SolverResult


@dataclass(frozen=True, repr=False)
class State(Record):
    """What a solver tells its callback after each accepted iterate."""

    iteration: int
    theta: float
    w: torch.Tensor
    loss: float
    gradient_norm: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(SolverResult):
    """The end of a minimisation.

    Attributes
    ----------
    w : torch.Tensor
        Best parameters found, shape ``(p,)``.
    loss, gradient_norm : float
        At `w`; the gradient in what is solved for, see `newton`.
    hessian : torch.Tensor
        The second-derivative matrix of the method at `w`, shape ``(p, p)``.
    n_evaluations : int
        Points at which loss and derivatives were computed.
    gradient_tolerance : float
        The right-hand side of the gradient test.
    history : tuple of State
        Start and every accepted iterate.
    success, status, message, n_iter
        See `SolverResult`.
    """

    w: torch.Tensor
    loss: float
    gradient_norm: float
    hessian: torch.Tensor = field(repr=False)
    n_evaluations: int
    gradient_tolerance: float
