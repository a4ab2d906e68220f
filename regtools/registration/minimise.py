"""Minimise the loss of a registration problem at one theta; say how it ended, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import torch

from ..images import checks
from ..solvers import (
    FREE,
    GRADIENT_ADVICE,
    LeastSquares,
    NotFiniteError,
    Status,
    UndefinedStartError,
    Work,
    gradient_message,
    minimise_damped,
    tell,
)
from .model import second_order_model
from .overlap import out_of_sight
from .problem import RegistrationProblem
from .results import Result, State

GTOL = 1e-8
_ONE_EVALUATION = Work(n_evaluations=1)
ADVICE = GRADIENT_ADVICE | {
    Status.NO_OVERLAP: (
        "The gradient is exactly zero at w0: the moved template does not meet the reference. "
        "Start with a w0 that puts the images on each other, or raise theta."
    ),
    Status.NOT_FINITE: (
        "The loss stopped being finite; the last finite point is returned. "
        "Check the data, or add a regularizer that bounds w."
    ),
}


def newton(
    problem: RegistrationProblem,
    theta: float,
    w0: torch.Tensor,
    *,
    gtol: float = GTOL,
    max_iter: int = 200,
    callback: Callable[[Any], object] | None = None,
) -> Result:
    r"""Minimise the loss by Newton's method in a trust region, with exact Hessians.

    SciPy's ``trust-exact`` does the minimisation; loss, gradient and Hessian are computed
    together, once per point. What is solved for is z with :math:`w = w_0 + S z`, where one unit of
    z moves points by about a cell (`Transform.scaling`; z = w for a map without one). So neither
    the units of length and of grey values nor the origin change the answer. Chapters 3 and 4
    explain it.

    Parameters
    ----------
    problem : RegistrationProblem
        What to minimise.
    theta : float
        Blur in pixels⁴.
    w0 : torch.Tensor
        Start, shape ``(n_params,)``.
    gtol : float
        Stop when ‖∂J/∂z‖ ≤ gtol · max(‖R‖², J(w0)), where ‖R‖² is the loss with nothing of the
        template in sight, the `loss_out_of_sight` of the problem. Below 32 times the rounding unit
        of the images it counts as that.
    max_iter : int
        Largest number of steps.
    callback : callable, optional
        ``callback(state)`` after each accepted step. Ctrl-C, or StopIteration raised in it,
        returns the best point so far.

    Returns
    -------
    Result

    Raises
    ------
    TypeError
        If `w0` is not a tensor of the dtype of the images.
    ValueError
        If `w0` has another shape than ``(n_params,)``, `w0`, or the loss there, is not finite,
        `theta` is negative, `gtol` is not above 0, or `max_iter` is below 1.

    References
    ----------
    Conn, Gould and Toint, *Trust-Region Methods* (2000), chapter 7; paper, section 3.2.
    """
    task = _Task(problem, theta, gtol, max_iter, exact=True)
    start = task.start(w0)
    track = _Tracker(task, start, callback)
    status = task.hopeless(start, start)
    if status is not None or start.gradient_norm <= track.tolerance:
        return track.result(status or Status.CONVERGED)
    status = Status.SMALL_STEP
    try:
        with np.errstate(all="ignore"):
            answer = scipy.optimize.minimize(
                lambda x: track.evaluate(x).loss,
                np.zeros(len(start.w)),
                jac=lambda x: track.evaluate(x).gradient,
                hess=lambda x: track.evaluate(x).matrix,
                method="trust-exact",
                options={"gtol": track.tolerance, "maxiter": task.max_iter},
                callback=lambda intermediate_result: track.accept(intermediate_result.x),
            )
        track.accept(answer.x)
        if answer.status == 1:
            status = Status.MAX_ITERATIONS
        else:
            track.finish()
    except NotFiniteError:
        status = Status.NOT_FINITE
    except KeyboardInterrupt:
        status = Status.STOPPED
    return track.result(status)


def levenberg_marquardt(
    problem: RegistrationProblem,
    theta: float,
    w0: torch.Tensor,
    *,
    gtol: float = GTOL,
    max_iter: int = 200,
    callback: Callable[[Any], object] | None = None,
) -> Result:
    r"""Minimise the loss by Gauss–Newton steps with Nielsen's damping.

    Each step solves :math:`(H + \gamma I)\,\delta = -\nabla J` with the Gauss–Newton matrix
    :math:`H = 2 J^T J`; `minimise_damped` chooses γ. Chapter 4 compares it with `newton`.

    Parameters
    ----------
    problem, theta, w0, gtol, max_iter, callback
        As for `newton`.

    Returns
    -------
    Result

    Raises
    ------
    ValueError, TypeError
        As `newton`.

    References
    ----------
    Madsen, Nielsen and Tingleff, *Methods for Non-Linear Least Squares Problems* (2004),
    section 3.2.
    """
    task = _Task(problem, theta, gtol, max_iter, exact=False)
    stop = {"gtol": task.gtol, "max_iter": task.max_iter}
    run = minimise_damped(task, task.start(w0), callback=callback, **stop)
    spent = run.work.n_evaluations
    return _result(task, run.point, run.history, spent, run.tolerance, run.status)


@dataclass(frozen=True)
class _Point:
    """Loss, gradient and matrix at one w, as float64 arrays: point and model in one.

    Gradient and matrix are those in z, `hessian` is the matrix in w.
    """

    w: torch.Tensor
    loss: float
    gradient: np.ndarray
    matrix: np.ndarray
    hessian: np.ndarray
    work: Work = _ONE_EVALUATION

    @property
    def gradient_norm(self):
        return float(np.linalg.norm(self.gradient))

    @property
    def scale(self):
        return float(self.matrix.diagonal().max())


@dataclass(frozen=True)
class _Step:
    change: np.ndarray  # of z
    predicted: float
    work: Work = FREE


@dataclass(frozen=True)
class _Model:
    """What `_Point` knows already, at no further cost."""

    gradient_norm: float
    scale: float
    work: Work = FREE


class _Task(LeastSquares):
    """The loss at one theta."""

    def __init__(self, problem, theta, gtol, max_iter, exact):
        checks.check_kind("problem", problem, RegistrationProblem)
        eps = torch.finfo(problem.reference.data.dtype).eps
        self.gtol = max(checks.positive("gtol", gtol), 32 * eps)
        self.max_iter = checks.whole("max_iter", max_iter)
        self.problem, self.theta = problem, checks.not_negative("theta", theta)
        self.exact, self.undefined = exact, False

    def start(self, w0):
        """Check the start, and evaluate there."""
        self.problem.check_start(w0)
        S = self.problem.scaling
        self.S = np.eye(len(w0)) if S is None else S.numpy(force=True).astype(float)
        try:
            start = self.evaluate(w0.detach().clone())
        except NotFiniteError as error:
            raise UndefinedStartError("the loss or its derivatives are not finite at w0") from error
        if not self.size(start) > 0:
            raise ValueError(f"theta must be smaller; at {self.theta:g} nothing is left to see")
        return start

    def evaluate(self, w):
        model = second_order_model(self.problem, w, self.theta, self.exact)
        matrix = model.gauss_newton if model.hessian is None else model.hessian
        found = model.loss, model.gradient, matrix
        parts = [part.numpy(force=True).astype(float) for part in found]
        if not all(np.isfinite(part).all() for part in parts):
            raise NotFiniteError
        loss, slope, hessian = parts
        return _Point(w, float(loss), self.S.T @ slope, self.S.T @ hessian @ self.S, hessian)

    def size(self, start):
        """What a gradient is compared with: a loss, and so in its unit whatever that is."""
        return max(self.problem.loss_out_of_sight(self.theta), start.loss)

    def moved(self, w, dz):
        """The parameters after a step in z."""
        return w.new_tensor(w.numpy(force=True) + self.S @ dz)

    def hopeless(self, point, model):
        return Status.NO_OVERLAP if point.gradient_norm == 0 and point.loss > 0 else None

    def model(self, point):
        return _Model(point.gradient_norm, point.scale)

    def step(self, point, model, gamma):
        damped = point.matrix + gamma * np.eye(len(point.gradient))
        change = np.linalg.solve(damped, -point.gradient)
        return _Step(change, -change @ (point.gradient + 0.5 * point.matrix @ change))

    def negligible(self, point, step):
        small = np.linalg.norm(step.change) <= 1e-14
        return small or torch.equal(self.moved(point.w, step.change), point.w)

    def trial(self, point, step):
        return self.tried(self.moved(point.w, step.change))

    def tried(self, w):
        """Evaluate; where that is not possible the loss is infinite, so that steps get shorter."""
        try:
            return self.evaluate(w)
        except NotFiniteError:
            self.undefined = True
            slope, matrix = np.zeros(len(w)), np.zeros((len(w), len(w)))
            return _Point(w, math.inf, slope, matrix, matrix)

    def ratio(self, point, model, step, trial):
        if abs(point.loss - trial.loss) <= 4 * np.finfo(float).eps * point.loss:
            # The loss can tell no more; near a minimum the gradient still can.
            return 1.0 if trial.gradient_norm < point.gradient_norm else -1.0
        return super().ratio(point, model, step, trial)

    def state(self, iteration, point, model, damping, work):
        self.undefined = False
        return State(iteration, self.theta, point.w, point.loss, point.gradient_norm)


class _Tracker:
    """What SciPy's minimiser does not do: each point is evaluated once, accepted ones are kept."""

    def __init__(self, task, start, callback):
        self.task, self.callback = task, callback
        self.point = self.start = start
        self.last = np.zeros(len(start.w)), start
        self.tolerance = task.gtol * task.size(start)
        self.history, self.n_evaluations = [task.state(0, start, None, None, None)], 1

    def evaluate(self, x):
        if not np.array_equal(self.last[0], x):
            self.last = x.copy(), self.task.tried(self.task.moved(self.start.w, x))
            self.n_evaluations += 1
        return self.last[1]

    def accept(self, x):
        """Make `x` the current point, unless it already is."""
        if torch.equal(self.task.moved(self.start.w, x), self.point.w):
            return
        self.keep(self.evaluate(x))

    def keep(self, point):
        self.point = point
        self.history.append(self.task.state(len(self.history), point, None, None, None))
        tell(self.callback, self.history[-1])

    def finish(self):
        """Go on by Newton steps where the loss can tell no more, but the gradient still can."""
        while self.point.gradient_norm > self.tolerance and len(self.history) <= self.task.max_iter:
            step = self.task.step(self.point, None, 1e-12 * self.point.scale)
            trial = self.task.trial(self.point, step)
            self.n_evaluations += 1
            if not self.task.ratio(self.point, None, step, trial) > 0:
                return
            self.keep(trial)

    def result(self, status):
        return _result(
            self.task, self.point, self.history, self.n_evaluations, self.tolerance, status
        )


def _result(task, point, history, n_evaluations, tolerance, status):
    if status not in (Status.NO_OVERLAP, Status.STOPPED) and point.gradient_norm <= tolerance:
        status = Status.CONVERGED
    if status is Status.SMALL_STEP and task.undefined:
        status = Status.NOT_FINITE  # what kept the steps small
    n_iter, advice = len(history) - 1, ADVICE[status]
    if task.problem.overlap is not None and (lost := out_of_sight(task.problem, point, task.theta)):
        status, advice = Status.NO_OVERLAP, lost
    return Result(
        success=status is Status.CONVERGED,
        status=status,
        message=gradient_message(status, n_iter, point.gradient_norm, tolerance, advice),
        n_iter=n_iter,
        history=tuple(history),
        w=point.w,
        loss=point.loss,
        gradient_norm=point.gradient_norm,
        hessian=point.w.new_tensor(point.hessian),
        n_evaluations=n_evaluations,
        gradient_tolerance=tolerance,
    )
