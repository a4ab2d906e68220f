"""What the explorer of chapter 7 compares: a column of ∂f/∂w, and what CG makes of it."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..superresolution import Implicit, Projection, SuperResolutionProblem, Unrolled

FRACTIONS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
COUNTS = (50, 100, 200, 400)
DOUBLE = 53  # bits
PARAMETER = 4  # the first moving frame's shift to the right


@dataclass(frozen=True, eq=False)
class Columns:
    """One column of ∂f/∂w: the true one, and those from a part of the CG iterations.

    Parameters
    ----------
    problem : SuperResolutionProblem
        In two dimensions.
    w : torch.Tensor
        Where the derivative is taken, shape ``(n_params,)``.
    parameter : int
        Which column.
    columns : mapping, optional
        The same column in other precisions than double: of a number of bits, an array of shape
        ``(len(COUNTS), len(FRACTIONS), *domain.m)``.

    Raises
    ------
    ValueError
        If there is no such parameter or `columns` has another shape.
    """

    problem: SuperResolutionProblem
    w: torch.Tensor
    parameter: int = PARAMETER
    columns: Mapping | None = None

    def __post_init__(self):
        n_params = self.problem.n_params
        if self.parameter not in range(n_params):
            raise ValueError(f"parameter must be below {n_params}, from 0; got {self.parameter}")
        shape = (len(COUNTS), len(FRACTIONS), *self.problem.domain.m)
        for bits, array in self.stored.items():
            if array.shape != shape:
                raise ValueError(
                    f"columns must have shape {shape}; got {array.shape} for {bits} bits"
                )

    @cached_property
    def stored(self):
        """The columns in other precisions, by the number of bits."""
        items = (self.columns or {}).items()
        return {int(bits): np.asarray(array, dtype=float) for bits, array in items}

    @cached_property
    def operator(self):
        """The `FrameOperator` at `w`."""
        return self.problem.operator(self.w)

    @cached_property
    def exact(self):
        """∂f/∂w and the Jacobian, from accurate solves."""
        projection = Projection(self.problem, "implicit", tol=1e-12)
        return projection.linearize(self.operator, projection.project(self.operator))

    @property
    def true(self):
        """The true column, shape ``domain.m``."""
        return self.exact[0][..., self.parameter]

    @cached_property
    def size(self):
        """Norm of the true column of the Jacobian."""
        return self.exact[1][:, self.parameter].norm()

    def error(self, wrong):
        """Return the relative error of that column, whose only wrong part is A ∂f."""
        return float(self.operator(wrong - self.true).norm() / self.size)

    @cached_property
    def by_rule(self):
        """A function of a rule and a number of CG iterations that computes a column once."""

        @functools.cache
        def column(rule, n_iter):
            projection = Projection(self.problem, rule, n_iter=n_iter)
            projected = projection.project(self.operator)
            return projection.linearize(self.operator, projected)[0][..., self.parameter]

        return column

    def last_iterations(self, fraction, n_iter, bits=DOUBLE):
        """Return the column from the last part of `n_iter` iterations."""
        if bits == DOUBLE:
            return self.by_rule(Unrolled(last=fraction), n_iter)
        array = self.stored[bits][COUNTS.index(n_iter), FRACTIONS.index(fraction)]
        return torch.from_numpy(array).to(self.true)

    def own_cg(self, fraction, n_iter):
        """Return the column from as many iterations of the tangent equations."""
        count = differentiated(fraction, n_iter)
        return self.by_rule(Implicit(n_iter=count) if count else "none", n_iter)


def differentiated(fraction, n_iter):
    """Return how many iterations the last part of `n_iter` has."""
    return Unrolled(last=fraction).counts(n_iter)[1]
