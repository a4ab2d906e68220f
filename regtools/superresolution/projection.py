"""The projection f(w) of variable projection, and the Jacobian of what it leaves."""

from __future__ import annotations

from typing import Any

import torch

from ..images import checks
from ..solvers import conjugate_gradient
from .frames import check_solver, enlarged_frame
from .operator import FrameOperator
from .problem import SuperResolutionProblem
from .rules import Projected, Rule, Unrolled, as_rule


class Projection:
    """The map w ↦ f(w) with one way to compute it, and one rule for its derivative.

    Parameters
    ----------
    problem : SuperResolutionProblem
        Whose image is wanted.
    derivative : str or Rule
        "none", "kaufman", "implicit", "unrolled", or a `Rule`.
    n_iter : int, optional
        CG iterations, exactly. None iterates to `tol`.
    tol : float
        Relative residual of the normal equations, and of the tangent equations.
    image0 : torch.Tensor or "frame 0", optional
        Where CG starts, as `starting_image` takes it. It does not depend on w.
    solver : {"cg", "direct"}
        Whether CG is preconditioned by a factor of the normal matrix, see `varpro`.

    Raises
    ------
    ValueError
        If `derivative` or `solver` has another name, `n_iter` is below 1, `tol` is not above 0,
        `image0` does not fit, or a number of iterations is given to the direct solver.
    TypeError
        If `image0` is not a tensor of the dtype of the frames.
    """

    def __init__(
        self,
        problem: SuperResolutionProblem,
        derivative: str | Rule = "implicit",
        *,
        n_iter: int | None = None,
        tol: float = 1e-10,
        image0: torch.Tensor | str | None = None,
        solver: str = "cg",
    ) -> None:
        self.problem, self.rule = problem, as_rule(derivative)
        self.n_iter = checks.count("n_iter_cg", n_iter)
        self.tol = checks.tolerance("tol_cg", tol)
        self.image0 = starting_image(problem, image0)
        check_solver(solver)
        self.solver = solver
        if solver == "direct" and (isinstance(self.rule, Unrolled) or "n_iter" in self.stop()):
            raise ValueError(
                f'solver must be "cg" where its iterations are counted or differentiated; got '
                f'"direct" with {self.rule!r} and n_iter_cg = {n_iter}'
            )

    def __repr__(self):
        return f"Projection({self.rule!r}, n_iter={self.n_iter}, tol={self.tol:g})"

    def run_cg(self, operator: FrameOperator, start: torch.Tensor | None):
        """Return the `CGResult` of the image from `start`, to the count or the tolerance."""
        return self.problem.solve(
            operator,
            n_iter=self.n_iter,
            tol=self.tol,
            start=start,
            preconditioner=self.preconditioner(operator),
        )

    def preconditioner(self, operator: FrameOperator):
        """Return what preconditions CG for the normal matrix of `operator`, None if nothing."""
        return operator.inverse if self.solver == "direct" else None

    def stop(self) -> dict[str, Any]:
        """Say where CG ends for what the rule solves: the options of `conjugate_gradient`."""
        name = f"{type(self.rule).__name__}.count({self.n_iter})"
        count = checks.count(name, self.rule.count(self.n_iter))
        return {"tol": self.tol} if count is None else {"n_iter": count}

    def solve(self, operator: FrameOperator, right: torch.Tensor, *, n_iter: int | None = None):
        """Solve AᵀA X = `right`, column by column; return X and the CG iterations done.

        CG ends as the rule's `count` says, or after `n_iter` iterations.
        """
        stop: dict[str, Any] = self.stop() if n_iter is None else {"n_iter": n_iter}
        inverse = self.preconditioner(operator)
        result = conjugate_gradient(
            operator.normal, right, columns=True, preconditioner=inverse, **stop
        )
        return result.x, result.n_iter

    def project(self, operator: FrameOperator, start: torch.Tensor | None = None) -> Projected:
        """Return the `Projected` image.

        Parameters
        ----------
        operator : FrameOperator
            From ``problem.operator(w)``.
        start : torch.Tensor, optional
            Where CG starts, if it runs to the tolerance and the rule allows it; else, and without
            it, CG starts at `image0`.
        """
        found = self.rule.project(self, operator, start)
        checks.check_kind(f"what {type(self.rule).__name__}.project returns", found, Projected)
        return found

    def tangents(self, operator: FrameOperator, projected: Projected) -> tuple[torch.Tensor, int]:
        """Return ∂f/∂w as the rule has it, and how many CG iterations it took."""
        found = self.rule.tangents(self, operator, projected)
        shape = *self.problem.canvas.m, self.problem.n_params
        if not (
            isinstance(found, tuple)
            and len(found) == 2
            and torch.is_tensor(found[0])
            and (found[0].shape, found[0].dtype) == (shape, projected.image.dtype)
            and isinstance(found[1], int)
        ):
            parts = found if isinstance(found, tuple) else [found]
            got = [checks.shown(part) for part in parts]
            raise TypeError(
                f"{type(self.rule).__name__}.tangents must return a tensor of shape {shape} and "
                f"a whole number; got {got}"
            )
        return found

    def image_derivative(self, operator: FrameOperator, projected: Projected) -> torch.Tensor:
        """Return ∂f/∂w as the rule has it, shape ``(*m, n_params)``.

        For Kaufman's rule it solves the tangent equations without the term (∂A)ᵀr.
        """
        return self.tangents(operator, projected)[0]

    def jacobian(
        self, operator: FrameOperator, projected: Projected, df_dw: torch.Tensor
    ) -> torch.Tensor:
        """Return ∂_w (A f) of all rows from ∂f/∂w, shape ``(n_rows, n_params)``."""
        return operator.derivative(projected.image) + operator(df_dw)

    def linearize(
        self, operator: FrameOperator, projected: Projected
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ∂f/∂w, and with it ∂_w (A f) of all rows."""
        df_dw = self.image_derivative(operator, projected)
        return df_dw, self.jacobian(operator, projected, df_dw)


def starting_image(
    problem: SuperResolutionProblem, image0: torch.Tensor | str | None
) -> torch.Tensor | None:
    """Return the image at which CG starts, or None for a black one.

    Parameters
    ----------
    problem : SuperResolutionProblem
    image0 : torch.Tensor or "frame 0" or None
        An image of shape `canvas.m`, or what `enlarged_frame` makes of frame 0, which goes on
        beyond the frame as it ends.

    Raises
    ------
    ValueError, TypeError
        If `image0` is none of these.
    """
    checks.check_kind("problem", problem, SuperResolutionProblem)
    if image0 is None:
        return None
    if isinstance(image0, str):
        if image0 != "frame 0":
            raise ValueError(f'image0 must be an image or "frame 0"; got {image0!r}')
        image = enlarged_frame(problem.frames[0], problem.domain)
        for axis, m in enumerate(problem.domain.m):
            cells = torch.arange(-problem.margin, m + problem.margin, device=image.device)
            image = image.index_select(axis, cells.clamp(0, m - 1))
        return image
    checks.check_constant("image0", image0)
    problem.check_image(image0, "image0")
    return image0.clone()


def projection_jacobian(
    problem: SuperResolutionProblem,
    w: torch.Tensor,
    derivative: str | Rule = "implicit",
    *,
    n_iter_cg: int | None = None,
    tol_cg: float = 1e-10,
    image0: torch.Tensor | str | None = None,
    solver: str = "cg",
) -> torch.Tensor:
    r"""Return the Jacobian of :math:`r(w) = A(w) f(w) - \mathsf d` that `varpro` uses.

    Parameters
    ----------
    problem : SuperResolutionProblem
    w : torch.Tensor
        Shape ``(n_params,)``.
    derivative, n_iter_cg, tol_cg, image0, solver
        As for `varpro`.

    Returns
    -------
    torch.Tensor
        Shape ``(n_rows, n_params)``; the first ``problem.n_data`` rows are those of the data.

    Raises
    ------
    ValueError, TypeError
        If `w` does not fit `problem`, and as `Projection`.

    References
    ----------
    Paper, equation (8); Golub and Pereyra (1973). Chapter 6.
    """
    options: dict[str, Any] = {"tol": tol_cg, "image0": image0, "solver": solver}
    projection = Projection(problem, derivative, n_iter=n_iter_cg, **options)
    checks.check_constant("w", w)
    operator = problem.operator(w)
    return projection.linearize(operator, projection.project(operator))[1]
