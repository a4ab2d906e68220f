r"""Follow the minimiser w*(θ) from a strong blur to a sharp image.

A minimiser satisfies :math:`\nabla_w J(w^*(\theta); \theta) = 0` for every θ. Differentiate:
:math:`\nabla_w^2 J \, \mathrm dw^*/\mathrm d\theta + \partial_\theta \nabla_w J = 0`. The
predictor takes one Euler step of this differential equation, the corrector minimises again.
Chapter 3 explains it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch

from ..images import checks, half_gain_wavelength
from ..solvers import NotFiniteError, Record, SolverResult, Status, UndefinedStartError, tell
from .derivatives import loss_and_gradient, mixed_derivative
from .minimise import GTOL, levenberg_marquardt, newton
from .model import second_order_model
from .problem import RegistrationProblem
from .results import Result

ROUGH = 1e-4
"""Gradient tolerance of the scales on the way, where `coarse` is asked for."""
_CORRECTORS = {"newton": newton, "gauss-newton": levenberg_marquardt}


class Prediction(enum.Enum):
    """What became of the prediction of a step."""

    USED = "used"
    OFF = "off"
    FIRST = "first scale: nothing to predict from"
    INDEFINITE = "skipped: the Hessian is not safely positive definite"
    NOT_FINITE = "skipped: the loss is not finite at the predicted point"


@dataclass(frozen=True, repr=False)
class Step(Record):
    """One scale of a path.

    Attributes
    ----------
    theta : float
        The scale.
    w, w_predicted, w_start : torch.Tensor
        Corrected parameters; predicted ones (the start of the corrector; equal to `w_start`
        if nothing was predicted); and the minimiser of the scale before.
    loss, loss_start, loss_predicted : float
        Loss at the three points, all at `theta`.
    gradient_norm, gradient_norm_start, gradient_norm_predicted : float
        Gradient norms at the three points, all at `theta`.
    n_iter : int
        Steps of the corrector.
    prediction : Prediction
        Whether a prediction was used, and if not, why.
    result : Result
        The corrector's own report.
    """

    theta: float
    w: torch.Tensor
    w_start: torch.Tensor
    w_predicted: torch.Tensor
    loss: float
    loss_start: float
    loss_predicted: float
    gradient_norm: float
    gradient_norm_start: float
    gradient_norm_predicted: float
    n_iter: int
    prediction: Prediction
    result: Result = field(repr=False)


@dataclass(frozen=True, kw_only=True, repr=False)
class PathResult(SolverResult):
    """The path over all scales, and how it ended.

    Attributes
    ----------
    w : torch.Tensor
        Parameters at the last scale, shape ``(n_params,)``.
    n_iter : int
        Corrector steps summed over the path.
    loss : float
        At the last scale; NaN if there is none yet.
    history : tuple of Step
        One for each scale, also called ``steps``.
    success, status, message
        See `SolverResult`.
    """

    also: ClassVar[tuple[str, ...]] = ("loss",)

    w: torch.Tensor

    @property
    def steps(self):
        """The `Step` of each scale."""
        return self.history

    @property
    def loss(self):
        """Loss at the last scale; NaN if there is none yet."""
        return self.steps[-1].loss if self.steps else math.nan


def predictor_corrector(
    problem: RegistrationProblem,
    thetas: Sequence[float],
    w0: torch.Tensor,
    *,
    corrector: str = "newton",
    predictor: str | None = "newton",
    callback: Callable[[Any], object] | None = None,
    gtol: float = GTOL,
    max_iter: int = 200,
    coarse: bool = False,
) -> PathResult:
    r"""Register over decreasing blur, predicting the minimiser of each next scale.

    Parameters
    ----------
    problem : RegistrationProblem
        What to minimise at each scale.
    thetas : sequence of float
        Scales in pixels⁴, strictly decreasing, not negative.
    w0 : torch.Tensor
        Start at the first scale, shape ``(n_params,)``.
    corrector : {"newton", "gauss-newton"}
        Minimiser at each scale: `newton` or `levenberg_marquardt`.
    predictor : {"newton", "gauss-newton", None}
        Matrix in :math:`\mathrm dw/\mathrm d\theta = -H^{-1} \partial_\theta \nabla_w J`: the
        exact Hessian or 2JᵀJ. None is the traditional multi-scale method. If it is the matrix
        of the corrector, the last one is reused.
    callback : callable, optional
        ``callback(step)`` after each scale. Ctrl-C, or StopIteration raised in it, returns the path
        so far.
    gtol, max_iter
        Handed to the corrector.
    coarse : bool
        Whether to spend little on the way: all scales but the last end at a gradient of 1e-4, and
        where theta is large they take fewer, wider pixels, as long as eight of them lie on a wave
        that the blur damps to one half. What is found at the last scale does not change; losses,
        and the thetas in each `Result`, are those of the wider pixels.

    Returns
    -------
    PathResult

    Raises
    ------
    TypeError
        If `thetas` is not a sequence of numbers, or `w0` not a tensor of the dtype of the images.
    ValueError
        If `thetas` is empty, negative, not finite or not decreasing, `corrector` or `predictor`
        has another name, and as the corrector.

    References
    ----------
    Paper, sections 3.2 and 3.3, with the sign of equation (5) corrected; Allgower and Georg,
    *Introduction to Numerical Continuation Methods* (2003), chapter 2.
    """
    thetas = check_thetas(thetas)
    checks.check_kind("problem", problem, RegistrationProblem)
    problem.check_start(w0)
    checks.check_choice("corrector", corrector, list(_CORRECTORS))
    checks.check_choice("predictor", predictor, [*_CORRECTORS, None])
    coarse = checks.check_flag("coarse", coarse)
    steps, status = [], Status.CONVERGED
    w, matrix, before = w0, None, None
    try:
        for k, theta in enumerate(thetas):
            task, blur, tolerance = problem, theta, gtol
            if coarse and k + 1 < len(thetas):
                (task, blur), tolerance = coarsened(problem, theta), max(gtol, ROUGH)
            correct = partial(_CORRECTORS[corrector], task, blur, gtol=tolerance, max_iter=max_iter)
            w_predicted, prediction = w, Prediction.FIRST if before is None else Prediction.OFF
            if before is not None and predictor is not None:
                w_predicted, prediction = _predict(*before, theta, w, matrix)
            try:
                result = correct(w_predicted)
            except UndefinedStartError:
                if w_predicted is w:
                    raise
                w_predicted, prediction = w, Prediction.NOT_FINITE
                result = correct(w)
            at_start = at_predicted = result.history[0].loss, result.history[0].gradient_norm
            if w_predicted is not w:
                at_start = _loss_and_slope(task, w, blur)
            step = Step(
                theta=theta,
                w=result.w,
                w_start=w,
                w_predicted=w_predicted,
                loss=result.loss,
                loss_start=at_start[0],
                loss_predicted=at_predicted[0],
                gradient_norm=result.gradient_norm,
                gradient_norm_start=at_start[1],
                gradient_norm_predicted=at_predicted[1],
                n_iter=result.n_iter,
                prediction=prediction,
                result=result,
            )
            steps.append(step)
            w, before = result.w, (task, blur, theta)
            matrix = _prediction_matrix(task, blur, result, corrector, predictor)
            tell(callback, step)
            if result.status in (Status.NO_OVERLAP, Status.NOT_FINITE, Status.STOPPED):
                status = result.status
                break
    except KeyboardInterrupt:
        status = Status.STOPPED
    return _path_result(w, steps, len(thetas), status)


def coarsened(problem, theta):
    """Return the problem with at least eight cells on a wave damped to half, and its theta."""
    factor = 1
    while half_gain_wavelength(theta) >= 16 * factor:
        factor *= 2
    coarse = problem.coarser(factor)
    return coarse, theta if coarse is problem else theta / factor**4


def _predict(task, blur, before, theta, w, matrix):
    """Euler step from scale `before` to `theta`; skipped where `matrix` cannot be trusted.

    `task` is the problem that was solved there, and `blur` the scale in its pixels.
    """
    matrix = task.scaled(matrix)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    if eigenvalues[0] <= 1e-12 * eigenvalues[-1].abs():
        return w, Prediction.INDEFINITE
    velocity = -torch.linalg.solve(matrix, task.scaled(mixed_derivative(task, w, blur)))
    return task.stepped(w, (theta - before) * blur / before * velocity), Prediction.USED


def _prediction_matrix(task, blur, result, corrector, predictor):
    """The predictor's matrix at the end of a scale, the corrector's own where it is the same."""
    if predictor is None or predictor == corrector:
        return result.hessian
    model = second_order_model(task, result.w, blur, exact=predictor == "newton")
    return model.hessian if predictor == "newton" else model.gauss_newton


def _loss_and_slope(problem, w, theta):
    """Loss and gradient norm at a point, as the solvers measure it; NaN where it is not defined."""
    try:
        loss, slope = loss_and_gradient(problem, w, theta)
    except NotFiniteError:
        return math.nan, math.nan
    return float(loss), float(problem.scaled(slope).norm())


def check_thetas(thetas):
    """Return the scales as floats; raise unless they can be those of a path."""
    try:
        thetas = list(thetas)
    except TypeError as error:
        raise TypeError(f"thetas must be a sequence of numbers; got {thetas!r}") from error
    if not thetas:
        raise ValueError("thetas must hold at least one scale; got none")
    for k, theta in enumerate(thetas):
        thetas[k] = theta = checks.not_negative("thetas", theta, note=f" at index {k}")
        if k and theta >= thetas[k - 1]:
            raise ValueError(
                f"thetas must strictly decrease; got {thetas[k - 1]} then {theta} at index {k}"
            )
    return thetas


def _path_result(w, steps, n_scales, status):
    rough = [step.theta for step in steps if not step.result.success]
    if status is Status.CONVERGED and not steps[-1].result.success:
        status = steps[-1].result.status
    message = f"{len(steps)} of {n_scales} scales"
    if steps:
        message += f"; at theta = {steps[-1].theta:.3g}: {steps[-1].result.message}"
    if rough and status is Status.CONVERGED:
        message += f" The corrector met no gradient test at {len(rough)} earlier scales."
    return PathResult(
        success=status is Status.CONVERGED and len(steps) == n_scales,
        status=status,
        message=message,
        n_iter=sum(step.n_iter for step in steps),
        history=tuple(steps),
        w=w,
    )
