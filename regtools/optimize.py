"""Minimise the loss of a registration problem at one theta; say how it ended, and why."""

import enum
import math
from dataclasses import dataclass, field

import numpy as np
import scipy.optimize
import torch

from .derivatives import local_model


class Status(enum.Enum):
    """How a solver ended."""

    CONVERGED = "converged"
    SMALL_STEP = "small step"
    MAX_ITERATIONS = "maximum number of iterations"
    NO_OVERLAP = "no overlap"
    NOT_FINITE = "not finite"
    STOPPED = "stopped"
    DONE = "all iterations done"
    BREAKDOWN = "breakdown"


ADVICE = {
    Status.CONVERGED: "The gradient is below its tolerance.",
    Status.SMALL_STEP: (
        "No further decrease within rounding, while the gradient is above its tolerance; "
        "raise gtol if the result is good enough."
    ),
    Status.MAX_ITERATIONS: (
        "The gradient is still above its tolerance; raise max_iter or start closer."
    ),
    Status.NO_OVERLAP: (
        "The gradient is exactly zero at w0: the moved template does not meet the reference. "
        "Start with a w0 that puts the images on each other, or raise theta."
    ),
    Status.NOT_FINITE: (
        "The loss stopped being finite; the last finite point is returned. "
        "Check the data, or add a regularizer that bounds w."
    ),
    Status.STOPPED: "Interrupted; the best point so far is returned.",
    Status.DONE: "As many as were asked for.",
    Status.BREAKDOWN: (
        "The matrix is not positive definite, or not finite, along a search direction; the last "
        "good iterate is returned. Check A, and that it is symmetric."
    ),
}


@dataclass(frozen=True)
class State:
    """What a solver tells its callback after each accepted iterate."""

    iteration: int
    theta: float
    w: torch.Tensor
    loss: float
    gradient_norm: float


@dataclass(frozen=True)
class Result:
    """The end of a minimisation.

    Attributes
    ----------
    w : torch.Tensor
        Best parameters found, shape ``(p,)``.
    loss, gradient_norm : float
        At `w`.
    hessian : torch.Tensor
        The second-derivative matrix of the method at `w`, shape ``(p, p)``.
    success : bool
        Whether the gradient test was met.
    status : Status
        How it ended.
    message : str
        The same in words, with both sides of the gradient test and advice.
    n_iter, n_evaluations : int
        Accepted steps, and points at which loss and derivatives were computed.
    gradient_tolerance : float
        The right-hand side of the gradient test.
    history : tuple of State
        Start and every accepted iterate.
    """

    w: torch.Tensor
    loss: float
    gradient_norm: float
    hessian: torch.Tensor
    success: bool
    status: Status
    message: str
    n_iter: int
    n_evaluations: int
    gradient_tolerance: float
    history: tuple = field(repr=False)


def newton(problem, theta, w0, gtol=1e-6, max_iter=200, callback=None):
    r"""Minimise the loss by Newton's method in a trust region, with exact Hessians.

    SciPy's ``trust-exact`` does the minimisation; loss, gradient and Hessian are computed
    together, once per point.

    Parameters
    ----------
    problem : RegistrationProblem
        What to minimise.
    theta : float
        Blur in pixels⁴.
    w0 : torch.Tensor
        Start, shape ``(n_params,)``.
    gtol : float
        Stop when ‖∇J‖ ≤ gtol · max(1, J(w0)).
    max_iter : int
        Largest number of steps.
    callback : callable, optional
        ``callback(state)`` after each accepted step. Ctrl-C returns the best point so far.

    Returns
    -------
    Result

    Raises
    ------
    ValueError, TypeError
        If `w0`, `theta`, `gtol` or `max_iter` is not as described.

    References
    ----------
    Conn, Gould and Toint, *Trust-Region Methods* (2000), chapter 7; paper, section 3.2.
    """
    track = _Tracker(problem, theta, w0, gtol, max_iter, callback, exact=True)
    if (ended := track.begin()) is not None:
        return track.result(ended)
    status = Status.SMALL_STEP
    try:
        with np.errstate(all="ignore"):
            answer = scipy.optimize.minimize(
                lambda w: track.evaluate(w)[0],
                track.w.numpy(force=True),
                jac=lambda w: track.evaluate(w)[1],
                hess=lambda w: track.evaluate(w)[2],
                method="trust-exact",
                options={"gtol": track.gradient_tolerance, "maxiter": max_iter},
                callback=lambda intermediate_result: track.accept(intermediate_result.x),
            )
        track.accept(answer.x)
        if answer.status == 1:
            status = Status.MAX_ITERATIONS
    except _NotFiniteError:
        status = Status.NOT_FINITE
    except KeyboardInterrupt:
        status = Status.STOPPED
    return track.result(status)


def levenberg_marquardt(problem, theta, w0, gtol=1e-6, max_iter=200, callback=None):
    r"""Minimise the loss by Gauss–Newton steps with Nielsen's damping.

    Each step solves :math:`(H + \gamma I)\,\delta = -\nabla J` with the Gauss–Newton matrix
    :math:`H = 2 J^T J`. The damping γ follows the ratio ρ of actual to predicted decrease: it
    is multiplied by max(1/3, 1 − (2ρ − 1)³) after a success, and by 2, 4, 8, … after failures.

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
    section 3.2; Nielsen, IMM-REP-1999-05.
    """
    track = _Tracker(problem, theta, w0, gtol, max_iter, callback, exact=False)
    if (ended := track.begin()) is not None:
        return track.result(ended)
    status = Status.MAX_ITERATIONS
    loss, gradient, matrix = track.evaluate(track.w.numpy(force=True))
    gamma, growth = 1e-3 * matrix.diagonal().max(), 2.0
    try:
        for _ in range(10 * max_iter):
            if track.n_iter >= max_iter:
                break
            w = track.w.numpy(force=True)
            step = np.linalg.solve(matrix + gamma * np.eye(len(w)), -gradient)
            if np.linalg.norm(step) <= 1e-14 * (1 + np.linalg.norm(w)):
                status = Status.SMALL_STEP
                break
            new_loss, new_gradient, new_matrix = track.evaluate(w + step)
            predicted = -step @ (gradient + 0.5 * matrix @ step)
            rho = (loss - new_loss) / predicted if predicted > 0 else -1.0
            if abs(loss - new_loss) <= 4 * np.finfo(float).eps * loss:
                # The loss can tell no more; near a minimum the gradient still can.
                rho = 1.0 if np.linalg.norm(new_gradient) < track.gradient_norm else -1.0
            if rho > 0:
                track.accept(w + step)
                loss, gradient, matrix = new_loss, new_gradient, new_matrix
                gamma, growth = gamma * max(1 / 3, 1 - (2 * rho - 1) ** 3), 2.0
                if track.gradient_norm <= track.gradient_tolerance:
                    status = Status.CONVERGED
                    break
            else:
                gamma, growth = gamma * growth, 2 * growth
    except _NotFiniteError:
        status = Status.NOT_FINITE
    except KeyboardInterrupt:
        status = Status.STOPPED
    return track.result(status)


class _NotFiniteError(ArithmeticError):
    """The loss or a derivative left the finite numbers at a point that was tried."""


class _Tracker:
    """Checks the input, evaluates each point once and keeps the accepted ones."""

    def __init__(self, problem, theta, w0, gtol, max_iter, callback, exact):
        check_start(problem, w0)
        if not (math.isfinite(gtol) and gtol > 0):
            raise ValueError(f"gtol must be finite and above 0; got {gtol}")
        if max_iter < 1:
            raise ValueError(f"max_iter must be at least 1; got {max_iter}")
        self.problem, self.theta, self.gtol = problem, float(theta), gtol
        self.callback, self.exact = callback, exact
        self.w = w0.detach().clone()
        self.history, self.n_evaluations = [], 0
        self._last = None

    def evaluate(self, w):
        """Loss, gradient and matrix at `w` as float64 arrays; kept for the next call."""
        if self._last is None or not np.array_equal(self._last[0], w):
            model = local_model(
                self.problem, self.w.new_tensor(np.asarray(w)), self.theta, self.exact
            )
            matrix = model.hessian if self.exact else model.gauss_newton
            parts = [
                part.numpy(force=True).astype(float)
                for part in (model.loss, model.gradient, matrix)
            ]
            if not all(np.isfinite(part).all() for part in parts):
                raise _NotFiniteError
            self.n_evaluations += 1
            self._last = np.array(w, copy=True), float(parts[0]), parts[1], parts[2]
        return self._last[1:]

    def begin(self):
        """Evaluate the start; return a status if there is nothing to do."""
        try:
            self.accept(self.w.numpy(force=True), first=True)
        except _NotFiniteError as error:
            raise ValueError("the loss or its derivatives are not finite at w0") from error
        self.gradient_tolerance = self.gtol * max(1.0, self.loss)
        if self.gradient_norm == 0 and self.loss > 0:
            return Status.NO_OVERLAP
        return Status.CONVERGED if self.gradient_norm <= self.gradient_tolerance else None

    def accept(self, w, first=False):
        """Make `w` the current point, unless it already is."""
        if not first and np.array_equal(w, self.w.numpy(force=True)):
            return
        loss, gradient, matrix = self.evaluate(w)
        self.w = self.w.new_tensor(np.asarray(w))
        self.loss, self.gradient_norm = loss, float(np.linalg.norm(gradient))
        self.matrix = matrix
        state = State(len(self.history), self.theta, self.w, loss, self.gradient_norm)
        self.history.append(state)
        if self.callback is not None and not first:
            self.callback(state)

    @property
    def n_iter(self):
        return len(self.history) - 1

    def result(self, status):
        if status is not Status.NO_OVERLAP and self.gradient_norm <= self.gradient_tolerance:
            status = Status.CONVERGED
        test = f"|gradient| = {self.gradient_norm:.3e}, tolerance {self.gradient_tolerance:.3e}"
        return Result(
            w=self.w,
            loss=self.loss,
            gradient_norm=self.gradient_norm,
            hessian=self.w.new_tensor(self.matrix),
            success=status is Status.CONVERGED,
            status=status,
            message=f"{status.value} after {self.n_iter} iterations: {test}. {ADVICE[status]}",
            n_iter=self.n_iter,
            n_evaluations=self.n_evaluations,
            gradient_tolerance=self.gradient_tolerance,
            history=tuple(self.history),
        )


def check_start(problem, w0):
    n_params, dtype = problem.transform.n_params, problem.reference.data.dtype
    if not torch.is_tensor(w0) or w0.dtype != dtype:
        kind = w0.dtype if torch.is_tensor(w0) else type(w0).__name__
        raise TypeError(f"w0 must be a tensor of dtype {dtype}; got {kind}")
    if w0.shape != (n_params,):
        raise ValueError(f"w0 must have shape ({n_params},); got {tuple(w0.shape)}")
    if not torch.isfinite(w0).all():
        raise ValueError(f"w0 must be finite; got {w0.tolist()}")
