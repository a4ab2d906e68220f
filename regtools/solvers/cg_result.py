"""What conjugate gradients return."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
import torch

from .status import SolverResult, Status


@dataclass(frozen=True, kw_only=True, repr=False)
class CGResult(SolverResult):
    """What `conjugate_gradient` returns.

    Attributes
    ----------
    x : torch.Tensor
        The last iterate, shape of `b`.
    residual_norm, tolerance : float
        Both sides of the stopping test ‖b − A x‖ ≤ tol ‖b‖; of the column that is worst, if there
        are several. Where the test is met the residual is computed anew; else it is that of the
        recurrence, which rounding makes too small in a long run.
    relative_residual : float
        The residual norm over ‖b‖.
    history : tuple of float
        That residual norm at the start and after each iteration.
    success : bool
        Whether the test was met, or as many iterations were done as were asked for.
    status, message, n_iter
        See `SolverResult`.
    """

    x: torch.Tensor
    residual_norm: float
    tolerance: float
    relative_residual: float = field(repr=False)
    _steps: tuple = field(default=(), repr=False)
    _left: float = field(default=math.nan, repr=False)

    @property
    def error_bound(self):
        """`condition` times `relative_residual`: the relative error of x, often a tenth of it.

        With a preconditioner, how much that would still change x, relative to x.
        """
        return self.condition * self.relative_residual if self._steps else self._left

    @property
    def inaccuracy(self):
        """In words, what may be wrong with x; empty if nothing is."""
        if not self.success:
            return self.message
        if self.status is Status.DONE or not self.error_bound > 0.1:
            return ""  # a count makes no claim
        condition = f"the matrix has a condition of {self.condition:.0e} and " * bool(self._steps)
        return (
            f"it may be off by up to {100 * self.error_bound:.0f} %, as {condition}the relative "
            f"residual is {self.relative_residual:.0e}. Take float64, a smaller tolerance, or a "
            "problem that is better conditioned"
        )

    @property
    def condition(self):
        """An estimate from below of the condition number of A, from the step sizes (Lanczos).

        NaN without an iteration, and with a preconditioner.
        """
        if not self._steps:
            return math.nan
        alpha, beta = (np.array(one) for one in self._steps)
        n = int((alpha > 0).cumprod().sum())
        diagonal = 1 / alpha[:n]
        diagonal[1:] += beta[: n - 1] / alpha[: n - 1]
        ritz = scipy.linalg.eigvalsh_tridiagonal(diagonal, beta[: n - 1] ** 0.5 / alpha[: n - 1])
        return float(ritz[-1] / max(ritz[0], 1e-300))
