r"""Solver 2: variable projection. Gauss–Newton on the maps alone, the image follows.

The reduced objective is :math:`\tilde J(w) = \lVert A(w) f(w) - b \rVert^2` with the image f(w)
that fits best. Each step needs the Jacobian of the residual, and with it some rule for the
derivative of the projection, see `regtools.superresolution.rules`. Chapters 5 to 8 explain it.
"""

import math
from dataclasses import dataclass, replace

import torch

from ..images import checks
from ..solvers import (
    FREE,
    LeastSquares,
    SolverResult,
    Status,
    Work,
    conjugate_gradient,
    gradient_message,
    minimise_damped,
)
from .problem import check_rows
from .projection import Projection, starting_image

ADVICE = {
    Status.CONVERGED: "The gradient is below its tolerance.",
    Status.SMALL_STEP: (
        "No further decrease within rounding, while the gradient is above its tolerance; "
        "raise gtol if the result is good enough. If the images are rough, raise n_iter_cg or "
        "lower tol_cg first."
    ),
    Status.MAX_ITERATIONS: (
        "The gradient is still above its tolerance; raise max_iter or start closer."
    ),
    Status.NO_OVERLAP: (
        "Frames {lost} lie outside the box at w0, so their pixels say nothing about the image. "
        "Start from register_frames, or leave these frames out."
    ),
    Status.STOPPED: "Interrupted; the best point so far is returned.",
}
MANY_PARAMETERS = 32
"""From here on Kaufman's step is computed by one solve instead of one for each parameter."""


@dataclass(frozen=True)
class VarProState:
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


@dataclass(frozen=True, kw_only=True)
class VarProResult(SolverResult):
    """The end of `varpro` or `joint_gauss_newton`.

    Attributes
    ----------
    w : torch.Tensor
        Best maps found, shape ``(n_params,)``.
    image : torch.Tensor
        The image for these maps, from an accurate solve, shape `domain.m`.
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
    loss: float
    gradient_norm: float
    n_evaluations: int
    n_iter_cg: int
    gradient_tolerance: float


def varpro(
    problem,
    w0,
    derivative="implicit",
    *,
    n_iter_cg=None,
    rows="stacked",
    max_iter=50,
    gtol=1e-6,
    tol_cg=1e-8,
    damping=1e-3,
    callback=None,
    image0=None,
):
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
        Stop when ‖2 Jᵀr‖ ≤ gtol · max(1, loss at w0).
    tol_cg : float or callable
        Relative residual of the normal equations where no number of iterations is given; or a
        function of the last `VarProState`, None at the start, that gives it.
    damping : float
        First γ, relative to the largest diagonal entry of JᵀJ; where one solve makes a step, of
        DᵀD, which is larger.
    callback : callable, optional
        ``callback(state)`` after each accepted step. Ctrl-C returns the best so far.
    image0 : torch.Tensor or "frame 0", optional
        Where CG starts: an image of shape `domain.m`, or frame 0 as `enlarged_frame` reads it at
        the cells of the image, as published. Black by default. Few iterations from another start
        are another objective.

    Returns
    -------
    VarProResult

    Raises
    ------
    TypeError
        If `w0` or `image0` is not a tensor of the dtype of the frames.
    ValueError
        If `w0` or `image0` has another shape or is not finite, `derivative` or `rows` has another
        name, a count is below 1, or a tolerance or `damping` is not above 0.

    References
    ----------
    Paper, section 4.2; Golub and Pereyra (1973, 2003). Chapters 5 and 6.
    """
    check_rows(rows)
    image0 = starting_image(problem, image0)
    settings = {"derivative": derivative, "n_iter": n_iter_cg, "image0": image0}
    first = _projection(problem, tol_cg, None, settings)
    if first.rule.one_solve and rows == "stacked" and problem.n_params >= MANY_PARAMETERS:
        task = _OneSolve(problem, rows, tol_cg, settings)
    else:
        task = _WithJacobian(problem, rows, tol_cg, settings)
    return _minimise(task, w0, None, gtol, max_iter, damping, callback)


def joint_gauss_newton(
    problem, w0, *, image0=None, max_iter=50, gtol=1e-6, tol_cg=1e-8, damping=1e-3, callback=None
):
    r"""Minimise over maps and image together, without projecting: the method to compare with.

    Each step minimises :math:`\lVert D\,\delta w + A\,\delta f + r \rVert^2 + \gamma \lVert \delta
    w \rVert^2`. From the best image, with the same γ, its part in w is Kaufman's step of `varpro`.
    But then the image moves along a straight line instead of being solved for again, and is no
    longer the best one.

    Parameters
    ----------
    problem, w0, max_iter, gtol, damping, callback
        As for `varpro`; the gradient is that in w and in the image.
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
    task = _Joint(problem, "stacked", tol_cg, settings)
    return _minimise(task, w0, image0, gtol, max_iter, damping, callback)


def _minimise(task, w0, image, gtol, max_iter, damping, callback):
    """Run a task to the end; `image` is its start if the image is a variable and given."""
    checks.check_positive("gtol", gtol)
    problem = task.problem
    problem.check_parameters(w0, "w0")
    checks.check_whole("max_iter", max_iter)
    checks.check_positive("damping", damping)
    lost = (problem.overlap(w0) == 0).nonzero().flatten().tolist()
    task.lost = [frame + problem.fix_first for frame in lost]
    start = task.point(w0.detach().clone(), task.projection(None), image, image is None)
    if not math.isfinite(start.loss):
        raise ValueError("the objective is not finite at w0; look at frames and w0")
    run = minimise_damped(
        task, start, gtol=gtol, max_iter=max_iter, damping=damping, callback=callback
    )
    return _result(task, run)


def _result(task, run):
    final = task.problem.solve(task.problem.operator(run.point.w))
    advice = ADVICE[run.status].format(lost=task.lost)
    if not final.success:
        advice += f" The image is not accurate: {final.message}"
    n_iter, norm = run.n_iter, run.model.gradient_norm
    return VarProResult(
        success=run.status is Status.CONVERGED,
        status=run.status,
        message=gradient_message(run.status, n_iter, norm, run.tolerance, advice),
        n_iter=n_iter,
        history=run.history,
        w=run.point.w,
        image=final.x,
        loss=run.point.loss,
        gradient_norm=norm,
        n_evaluations=run.work.n_evaluations,
        n_iter_cg=run.work.n_iter_cg + final.n_iter,
        gradient_tolerance=run.tolerance,
    )


def _projection(problem, tol, state, settings):
    """The projection to use after a state: its tolerance may depend on it."""
    return Projection(problem, tol=tol(state) if callable(tol) else tol, **settings)


@dataclass(frozen=True)
class _Point:
    """What is known at one w: the operator, the image, the rows and their sum of squares."""

    w: torch.Tensor
    projection: Projection
    operator: object
    image: torch.Tensor
    projected: object  # None where the image is a variable
    all_rows: torch.Tensor
    residual: torch.Tensor  # the rows that are squared
    loss: float
    work: Work


@dataclass(frozen=True)
class _Step:
    """A damped step: the change of w, the image it predicts, the decrease it promises."""

    dw: torch.Tensor
    image: torch.Tensor
    predicted: float
    work: Work = FREE


class _Task(LeastSquares):
    """The reduced objective; subclasses say how a step is found."""

    def __init__(self, problem, rows, tol, settings):
        self.problem, self.tol, self.settings = problem, tol, settings
        self.n_used = problem.n_rows if rows == "stacked" else problem.n_data
        self.lost = []

    def projection(self, state):
        return _projection(self.problem, self.tol, state, self.settings)

    def point(self, w, projection, image=None, project=True):
        """The point at w, its image computed from `image` where the rule allows that."""
        operator, projected, work = self.problem.operator(w), None, Work()
        if project:
            projected = projection.project(operator, image)
            image, work = projected.image, Work(1, projected.spent)
        return self._with_rows(w, projection, operator, image, projected, work)

    def _with_rows(self, w, projection, operator, image, projected, work):
        all_rows = operator(image) - self.problem.target
        residual = all_rows[: self.n_used]
        loss = float(residual.square().sum())
        return _Point(w, projection, operator, image, projected, all_rows, residual, loss, work)

    def hopeless(self, point, model):
        return Status.NO_OVERLAP if self.lost else None

    def negligible(self, point, step):
        return _tiny(step.dw, point.w)

    def trial(self, point, step):
        """The point after a step, unless a frame has left the box."""
        w = point.w + step.dw
        if not torch.isfinite(w).all() or bool((self.problem.overlap(w) == 0).any()):
            return None
        return self.point(w, point.projection, step.image)

    def refined(self, point, state):
        """The point projected again, if the tolerance has become smaller."""
        projection = self.projection(state)
        if projection.n_iter is not None or projection.tol >= point.projection.tol:
            return None
        projected = projection.project(point.operator, point.image)
        work = Work(1, projected.spent)
        return self._with_rows(
            point.w, projection, point.operator, projected.image, projected, work
        )

    def state(self, iteration, point, model, damping, work):
        return VarProState(
            iteration=iteration,
            w=point.w,
            loss=point.loss,
            gradient_norm=model.gradient_norm,
            damping=damping,
            n_iter_cg=work.n_iter_cg,
            n_evaluations=work.n_evaluations,
        )


def _tiny(change, value):
    return float(change.norm()) <= 1e-12 * (1 + float(value.norm()))


@dataclass(frozen=True)
class _JacobianModel:
    """∂f/∂w, the Jacobian, and what steps are solved with."""

    df_dw: torch.Tensor
    jacobian: torch.Tensor
    matrix: torch.Tensor
    half_gradient: torch.Tensor
    work: Work

    @property
    def gradient_norm(self):
        return float(2 * self.half_gradient.norm())

    @property
    def scale(self):
        return float(self.matrix.diagonal().max())


class _WithJacobian(_Task):
    """Steps from the Jacobian itself."""

    def model(self, point):
        found = point.operator, point.projected
        df_dw, n_iter_cg = point.projection.tangents(*found)
        jacobian = point.projection.jacobian(*found, df_dw)[: self.n_used]
        return _JacobianModel(
            df_dw,
            jacobian,
            jacobian.T @ jacobian,
            jacobian.T @ point.residual,
            Work(n_iter_cg=n_iter_cg),
        )

    def step(self, point, model, gamma):
        eye = torch.eye(len(model.matrix), dtype=model.matrix.dtype, device=model.matrix.device)
        dw = torch.linalg.solve(model.matrix + gamma * eye, -model.half_gradient)
        expected = point.residual + model.jacobian @ dw
        image = point.image + model.df_dw @ dw
        return _Step(dw, image, point.loss - float(expected.square().sum()))


@dataclass(frozen=True)
class _CompactModel:
    """The entries of D that are not zero, one block a frame, and the square of each block."""

    compact: torch.Tensor
    square: torch.Tensor
    gradient_norm: float
    work: Work = FREE

    @property
    def scale(self):
        return float(self.square.diagonal(dim1=1, dim2=2).max())

    def transposed(self, moving):
        """Dᵀ of the rows of the moving frames, one line a frame."""
        own = moving.reshape(len(self.compact), -1, 1)
        return (self.compact.mT @ own)[..., 0]


class _OneSolve(_Task):
    r"""Kaufman's steps, each from one solve of the size of the image.

    The step minimises ‖D δw + A δf + r‖² + γ ‖δw‖². For a given δf the best δw costs one small
    solve for each frame, as D couples no two frames. What remains is a system for δf alone,
    :math:`A^T Q A\,\delta f = -A^T Q r` with :math:`Q = I - D (D^T D + \gamma I)^{-1} D^T`.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        still, moving, _ = self.problem.row_sizes
        self.moving = slice(still, still + moving)

    def model(self, point):
        compact = point.operator.compact_derivative(point.image)
        model = _CompactModel(compact, compact.mT @ compact, math.nan)
        half = model.transposed(point.all_rows[self.moving])
        norm = float(2 * (half.square().sum() + self.image_gradient(point)).sqrt())
        return replace(model, gradient_norm=norm)

    def image_gradient(self, point):
        """Square of half the gradient in the image: it vanishes at the best image."""
        return 0.0

    def step(self, point, model, gamma):
        operator, square = point.operator, model.square
        eye = torch.eye(square.shape[1], dtype=square.dtype, device=square.device)
        damped = square + gamma * eye

        def best(rows):
            """The δw that makes ‖D δw + rows‖² + γ ‖δw‖² least, one line a frame."""
            right = model.transposed(rows[self.moving])[..., None]
            return -torch.linalg.solve(damped, right)[..., 0]

        def reduced(rows, dw):
            """The rows and D δw."""
            rows = rows.clone()
            rows[self.moving] += (model.compact @ dw[..., None]).flatten()
            return rows

        def normal(df):
            rows = operator(df)
            return operator.adjoint(reduced(rows, best(rows)))

        right = -operator.adjoint(reduced(point.all_rows, best(point.all_rows)))
        answer = conjugate_gradient(normal, right, **point.projection.stop())
        there = point.all_rows + operator(answer.x)
        dw = best(there)
        decrease = float(point.all_rows.square().sum() - reduced(there, dw).square().sum())
        work = Work(n_iter_cg=answer.n_iter)
        return _Step(dw.flatten(), point.image + answer.x, decrease, work)


class _Joint(_OneSolve):
    """The same steps with the image as a variable, moved and not solved for again."""

    def image_gradient(self, point):
        return point.operator.adjoint(point.all_rows).square().sum()

    def negligible(self, point, step):
        return _tiny(step.dw, point.w) and _tiny(step.image - point.image, point.image)

    def point(self, w, projection, image=None, project=False):
        return super().point(w, projection, image, project)
