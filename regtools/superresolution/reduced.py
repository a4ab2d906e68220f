r"""Solver 2: variable projection. Gauss–Newton on the maps alone, the image follows.

The reduced objective is :math:`\tilde J(w) = \lVert A(w) f(w) - \mathsf d \rVert^2` with the
image f(w) that fits best. Each step needs the Jacobian of the residual, and with it some rule for
the derivative of the projection, see `regtools.superresolution.rules`. Chapters 5 to 8 explain it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..images import checks
from ..solvers import GRADIENT_ADVICE, Status, gradient_message, minimise_damped
from ._tasks import Joint, OneSolve, WithJacobian
from .accuracy import certain, doubt
from .frames import check_rows
from .problem import SuperResolutionProblem
from .projection import starting_image
from .results import VarProResult, VarProState
from .rules import Rule, as_rule

ADVICE = GRADIENT_ADVICE | {
    Status.SMALL_STEP: (
        GRADIENT_ADVICE[Status.SMALL_STEP]
        + " If the images are rough, raise n_iter_cg or lower tol_cg first."
    ),
    Status.NOT_FINITE: (
        "The gradient stopped being finite; the last finite point is returned. Look at the frames, "
        "and at a rule of your own."
    ),
    Status.NO_OVERLAP: (
        "Frames {lost} lie outside the box at w0, so their pixels say nothing about the image. "
        "Start from register_frames, or leave these frames out."
    ),
}
GTOL = 1e-8
MANY_PARAMETERS = 32
"""From here on Kaufman's step is computed by one solve instead of one for each parameter."""


def varpro(
    problem: SuperResolutionProblem,
    w0: torch.Tensor,
    derivative: str | Rule = "implicit",
    *,
    n_iter_cg: int | None = None,
    rows: str = "stacked",
    max_iter: int = 50,
    gtol: float = GTOL,
    tol_cg: float | Callable[[VarProState | None], float] = 1e-8,
    tol_image: float = 1e-10,
    damping: float = 1e-3,
    callback: Callable[[Any], object] | None = None,
    image0: torch.Tensor | str | None = None,
    scaled: bool = True,
    one_solve: bool | None = None,
    solver: str = "cg",
) -> VarProResult:
    r"""Minimise the reduced objective by Gauss–Newton steps with Levenberg–Marquardt damping.

    Each step solves :math:`(J^T J + \gamma I)\,\delta = -J^T r`; `minimise_damped` chooses γ.

    Parameters
    ----------
    problem : SuperResolutionProblem
    w0 : torch.Tensor
        Start, shape ``(n_params,)``, for example from `register_frames`.
    derivative : str or Rule
        What is done about the derivative of the projection: "none", "kaufman", "implicit",
        "unrolled", or `Kaufman`, `Implicit`, `Unrolled` with their options, or a `Rule` of your
        own.
    n_iter_cg : int, optional
        CG iterations of each projection, exactly, each from `image0`. None iterates to `tol_cg`,
        starting from the image that the last step predicts ("unrolled": always from `image0`).
    rows : {"stacked", "data"}
        What is squared and summed: all rows, or, as in the published code, the data alone, whose
        gradient is wrong without the derivative of the projection.
    max_iter : int
        Largest number of accepted steps.
    gtol : float
        Stop when ‖2 Jᵀr‖ ≤ gtol · max(‖𝖽‖², loss at w0), with J the Jacobian in what is solved
        for. Below 32 times the rounding unit of the frames it counts as that. Before the run says
        so, where a tolerance ends CG, the image is solved again to a tenth of its residual: a rough
        one can hide a gradient. If that is not small then, the run goes on with this tolerance.
    tol_cg : float or callable
        Relative residual of the normal equations where no number of iterations is given; or a
        function of the last `VarProState`, None at the start, that gives it.
    tol_image : float
        The same for the solve at the end, which gives the image.
    damping : float
        First γ, relative to the largest diagonal entry of JᵀJ; where one solve makes a step, of
        DᵀD, which is larger.
    callback : callable, optional
        ``callback(state)`` after each accepted step. Ctrl-C, or StopIteration raised in it,
        returns the best so far.
    image0 : torch.Tensor or "frame 0", optional
        Where CG starts: an image of shape `canvas.m`, or frame 0 as `enlarged_frame` reads it at
        the cells of the image, as published. Black by default. Few iterations from another start
        are another objective.
    scaled : bool
        Whether to solve for z with :math:`w = w_0 + S z`, where one unit of z moves the points of
        a frame by about a cell (`Transform.scaling`): no unit and no origin then matters. False
        damps w itself, as published.
    one_solve : bool, optional
        Whether a step of Kaufman's rule is computed by one solve of the size of the image, instead
        of one for each parameter; by default from 32 parameters on.
    solver : {"cg", "direct"}
        "direct" preconditions CG with a banded Cholesky factor of AᵀA, made anew at each w: one or
        two iterations for an image, and at most one more than parameters where one solve makes a
        step. For small pictures, see *What it costs*; without a psf.

    Returns
    -------
    VarProResult

    Raises
    ------
    TypeError
        If `w0` or `image0` is not a tensor of the dtype of the frames.
    ValueError
        If `w0` or `image0` has another shape or is not finite, `derivative` or `rows` has another
        name, a count is below 1, a tolerance or `damping` is not above 0, or `solver` is "direct"
        where iterations are counted or differentiated, or the factor would be too large.

    References
    ----------
    Paper, section 4.2; Golub and Pereyra (1973, 2003). Chapters 5 and 6.
    """
    check_rows(rows)
    image0 = starting_image(problem, image0)
    settings = {"derivative": derivative, "n_iter": n_iter_cg, "image0": image0}
    settings["solver"] = solver
    can = as_rule(derivative).one_solve and rows == "stacked"
    if one_solve is not None:
        one_solve = checks.check_flag("one_solve", one_solve)
    if one_solve and not can:
        raise ValueError("one_solve must be left out: it needs Kaufman's rule and stacked rows")
    if one_solve is None:
        one_solve = problem.n_params >= MANY_PARAMETERS
    kind = OneSolve if can and one_solve else WithJacobian
    task = kind(problem, rows, tol_cg, settings, scaled)
    tol_image = checks.tolerance("tol_image", tol_image)
    return _minimise(task, w0, None, gtol, max_iter, damping, callback, tol_image)


def joint_gauss_newton(
    problem: SuperResolutionProblem,
    w0: torch.Tensor,
    *,
    image0: torch.Tensor | str | None = None,
    max_iter: int = 50,
    gtol: float = GTOL,
    tol_cg: float | Callable[[VarProState | None], float] = 1e-8,
    damping: float = 1e-3,
    callback: Callable[[Any], object] | None = None,
    scaled: bool = True,
) -> VarProResult:
    r"""Minimise over maps and image together, without projecting: the method to compare with.

    Each step minimises :math:`\lVert D\,\delta w + A\,\delta f + r \rVert^2 + \gamma \lVert \delta
    w \rVert^2`. From the best image, with the same γ, its part in w is Kaufman's step of `varpro`.
    But then the image moves along a straight line instead of being solved for again, and is no
    longer the best one.

    Parameters
    ----------
    problem, w0, max_iter, gtol, damping, callback, scaled
        As for `varpro`; the gradient is that in what is solved for and, times the root mean square
        of the frames, in the image.
    image0 : torch.Tensor or "frame 0", optional
        Start, as for `varpro`; by default the image that fits `w0` best.
    tol_cg : float
        Relative residual of the linear system of each step.

    Returns
    -------
    VarProResult

    Raises
    ------
    ValueError, TypeError
        As `varpro`.

    References
    ----------
    Chung, Haber and Nagy (2006). Chapter 5.
    """
    image0 = starting_image(problem, image0)
    settings = {"derivative": "kaufman", "n_iter": None, "image0": image0}
    task = Joint(problem, "stacked", tol_cg, settings, scaled)
    return _minimise(task, w0, image0, gtol, max_iter, damping, callback)


def _minimise(task, w0, image, gtol, max_iter, damping, callback, tol_image=1e-10):
    """Run a task to the end; `image` is its start if the image is a variable and given."""
    gtol, damping = checks.positive("gtol", gtol), checks.positive("damping", damping)
    problem = task.problem
    checks.check_constant("w0", w0)
    problem.check_parameters(w0, "w0")
    gtol = max(gtol, 32 * torch.finfo(w0.dtype).eps)
    max_iter = checks.whole("max_iter", max_iter)
    lost = (problem.overlap(w0) == 0).nonzero().flatten().tolist()
    task.lost = [frame + problem.fix_first for frame in lost]
    start = task.point(w0.detach().clone(), task.projection(None), image, image is None)
    if not math.isfinite(start.loss):
        raise ValueError("the objective is not finite at w0; look at frames and w0")
    run = minimise_damped(
        task, start, gtol=gtol, max_iter=max_iter, damping=damping, callback=callback
    )
    return _result(task, run, tol_image)


def _result(task, run, tol_image):
    problem, w = task.problem, run.point.w
    inverse = run.point.projection.preconditioner(run.point.operator)
    final = problem.solve(run.point.operator, tol=tol_image, preconditioner=inverse)
    advice = ADVICE[run.status].format(lost=task.lost)
    if words := doubt(problem, final):
        advice += f" The image is not accurate: {words}"
    n_iter, norm = run.n_iter, run.model.gradient_norm
    return VarProResult(
        success=run.status is Status.CONVERGED and certain(problem, final),
        status=run.status,
        message=gradient_message(run.status, n_iter, norm, run.tolerance, advice),
        n_iter=n_iter,
        history=run.history,
        w=w,
        image=final.x,
        misfit=problem.misfit(w, final.x),
        overlap=problem.overlap(w),
        loss=run.point.loss,
        gradient_norm=norm,
        n_evaluations=run.work.n_evaluations,
        n_iter_cg=run.work.n_iter_cg + final.n_iter,
        gradient_tolerance=run.tolerance,
    )
