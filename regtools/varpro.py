r"""Solver 2: variable projection. Gauss–Newton on the maps alone, the image follows.

The reduced objective is :math:`\tilde J(w) = \lVert A(w) f(w) - b \rVert^2` with the image f(w)
that fits best. Each step needs the Jacobian of the residual, and with it some rule for the
derivative of the projection, see `regtools.projection`.
"""

import math
from dataclasses import dataclass, field

import torch

from ._checks import check_positive, check_whole
from .conjugate_gradient import conjugate_gradient
from .optimize import ADVICE, Status
from .projection import Kaufman, Projection, starting_image
from .superresolution import check_rows

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


@dataclass(frozen=True)
class VarProResult:
    """The end of `varpro` or `joint_gauss_newton`.

    Attributes
    ----------
    w : torch.Tensor
        Best maps found, shape ``(n_params,)``.
    image : torch.Tensor
        The image for these maps, from an accurate solve, shape `domain.m`.
    loss, gradient_norm : float
        At `w`, as in the history.
    success : bool
        Whether the gradient test was met.
    status : Status
        How it ended.
    message : str
        The same in words, with both sides of the gradient test and advice.
    n_iter, n_evaluations : int
        Accepted steps, and projections computed.
    n_iter_cg : int
        CG iterations spent in all, counted as in the history; those of the accurate solve at the
        end included.
    gradient_tolerance : float
        The right-hand side of the gradient test.
    history : tuple of VarProState
        Start and every accepted iterate.
    """

    w: torch.Tensor
    image: torch.Tensor
    loss: float
    gradient_norm: float
    success: bool
    status: Status
    message: str
    n_iter: int
    n_evaluations: int
    n_iter_cg: int
    gradient_tolerance: float
    history: tuple = field(repr=False)


def varpro(
    problem,
    w0,
    derivative="implicit",
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

    Each step solves :math:`(J^T J + \gamma I)\,\delta = -J^T r`. The damping follows the ratio ρ of
    actual to predicted decrease: it is multiplied by max(1/3, 1 − (2ρ − 1)³) after a success, and
    by 2, 4, 8, … after failures.

    Parameters
    ----------
    problem : SuperResolutionProblem
    w0 : torch.Tensor
        Start, shape ``(n_params,)``, for example from `register_frames`.
    derivative : str or rule
        What is done about the derivative of the projection: "none", "kaufman", "implicit",
        "unrolled", or `Kaufman`, `Implicit`, `Unrolled` with their options.
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
    ValueError, TypeError
        If an argument is not as described.

    References
    ----------
    Paper, section 4.2; Golub and Pereyra (1973, 2003); damping as in `levenberg_marquardt`.
    """
    run = _Run(problem, derivative, n_iter_cg, rows, tol_cg, gtol, callback, image0)
    return run.result(run.minimise(w0, max_iter, damping))


def joint_gauss_newton(
    problem, w0, image0=None, max_iter=50, gtol=1e-6, tol_cg=1e-8, damping=1e-3, callback=None
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
        If an argument is not as described.

    References
    ----------
    Chung, Haber and Nagy (2006).
    """
    run = _Run(problem, "kaufman", None, "stacked", tol_cg, gtol, callback, image0, joint=True)
    return run.result(run.minimise(w0, max_iter, damping))


class _Point:
    """What is known at one w: the operator, the image, the rows and their sum of squares."""

    def __init__(self, run, w, projection, start=None, project=True):
        self.w, self.projection, self.run = w, projection, run
        self.operator = run.problem.operator(w)
        self.image = start
        if project or start is None:
            self.project(projection)
        else:
            self._look()

    def project(self, projection):
        """Compute the image, from the one there is if the rule allows that."""
        self.projection = projection
        self.projected = projection.project(self.operator, self.image)
        self.image = self.projected.image
        self.run.n_evaluations += 1
        self.run.n_iter_cg += self.projected.spent
        self._look()

    def _look(self):
        self.all_rows = self.operator(self.image) - self.run.problem.target
        self.residual = self.all_rows[: self.run.n_used]
        self.loss = float(self.residual.square().sum())


@dataclass(frozen=True)
class _Step:
    """A damped step: the change of w, the image it predicts, the decrease it promises."""

    dw: torch.Tensor
    image: torch.Tensor
    predicted: float


class _JacobianModel:
    """Steps from the Jacobian itself."""

    def __init__(self, point):
        run, self.point = point.run, point
        found = point.operator, point.projected
        self.moves, n_iter = point.projection.tangents(*found)
        self.jacobian = point.projection.jacobian(*found, self.moves)[: run.n_used]
        run.n_iter_cg += n_iter
        self.matrix = self.jacobian.T @ self.jacobian
        self.half_gradient = self.jacobian.T @ point.residual
        self.gradient_norm = float(2 * self.half_gradient.norm())
        self.scale = float(self.matrix.diagonal().max())

    def step(self, gamma):
        eye = torch.eye(len(self.matrix), dtype=self.matrix.dtype, device=self.matrix.device)
        dw = torch.linalg.solve(self.matrix + gamma * eye, -self.half_gradient)
        expected = self.point.residual + self.jacobian @ dw
        image = self.point.image + self.moves @ dw
        return _Step(dw, image, self.point.loss - float(expected.square().sum()))


class _JointModel:
    r"""Kaufman's steps, each from one solve of the size of the image.

    The step minimises ‖D δw + A δf + r‖² + γ ‖δw‖². For a given δf the best δw costs one small
    solve for each frame, as D couples no two frames. What remains is a system for δf alone,
    :math:`A^T Q A\,\delta f = -A^T Q r` with :math:`Q = I - D (D^T D + \gamma I)^{-1} D^T`.
    """

    def __init__(self, point):
        problem = point.run.problem
        self.point = point
        self.moving = slice(problem.row_sizes[0], sum(problem.row_sizes[:2]))
        self.compact = point.operator.compact_derivative(point.image)
        self.square = self.compact.mT @ self.compact
        self.scale = float(self.square.diagonal(dim1=1, dim2=2).max())
        self.right = point.operator.adjoint(point.all_rows)
        half = self._transposed(point.all_rows)
        total = half.square().sum()
        if point.run.joint:  # elsewhere the image is the best one, and this part vanishes
            total = total + self.right.square().sum()
        self.gradient_norm = float(2 * total.sqrt())

    def step(self, gamma):
        point, operator = self.point, self.point.operator
        eye = torch.eye(self.square.shape[1], dtype=self.square.dtype, device=self.square.device)
        damped = self.square + gamma * eye

        def best(rows):
            """The δw that makes ‖D δw + rows‖² + γ ‖δw‖² least, one line a frame."""
            return -torch.linalg.solve(damped, self._transposed(rows)[..., None])[..., 0]

        def reduced(rows, dw):
            """The rows and D δw."""
            rows = rows.clone()
            rows[self.moving] += (self.compact @ dw[..., None]).flatten()
            return rows

        def normal(df):
            rows = operator(df)
            return operator.adjoint(reduced(rows, best(rows)))

        count = point.projection.derivative_count
        stop = {"n_iter": count} if count else {"tol": point.projection.tol}
        right = -operator.adjoint(reduced(point.all_rows, best(point.all_rows)))
        answer = conjugate_gradient(normal, right, **stop)
        point.run.n_iter_cg += answer.n_iter
        there = point.all_rows + operator(answer.x)
        dw = best(there)
        decrease = float(point.all_rows.square().sum() - reduced(there, dw).square().sum())
        return _Step(dw.flatten(), point.image + answer.x, decrease)

    def _transposed(self, rows):
        """Dᵀ rows, one line a frame."""
        own = rows[self.moving].reshape(len(self.compact), -1, 1)
        return (self.compact.mT @ own)[..., 0]


class _Run:
    """One run: its options, its counters and the accepted points."""

    def __init__(
        self, problem, derivative, n_iter_cg, rows, tol_cg, gtol, callback, image0=None, joint=False
    ):
        check_rows(rows)
        check_positive("gtol", gtol)
        self.problem, self.gtol, self.callback, self.joint = problem, gtol, callback, joint
        self.n_used = problem.n_rows if rows == "stacked" else problem.n_data
        self.derivative, self.n_iter, self.tol = derivative, n_iter_cg, tol_cg
        self.image0 = starting_image(problem, image0)
        self.history = []
        rule = self.projection().rule
        many = joint or problem.n_params >= MANY_PARAMETERS
        one_solve = isinstance(rule, Kaufman) and rows == "stacked" and many
        self.model = _JointModel if one_solve else _JacobianModel
        self.n_evaluations = self.n_iter_cg = 0

    def projection(self):
        """The projection to use from here on: its tolerance may depend on the last state."""
        tol = self.tol
        if callable(tol):
            tol = tol(self.history[-1] if self.history else None)
        return Projection(self.problem, self.derivative, self.n_iter, tol, self.image0)

    def minimise(self, w0, max_iter, damping):
        """Run to the end; return how it ended."""
        self.problem.check_parameters(w0, "w0")
        check_whole("max_iter", max_iter)
        check_positive("damping", damping)
        lost = (self.problem.overlap(w0) == 0).nonzero().flatten().tolist()
        self.lost = [frame + self.problem.fix_first for frame in lost]
        start = self.image0 if self.joint else None
        point = _Point(self, w0.detach().clone(), self.projection(), start, project=start is None)
        if not math.isfinite(point.loss):
            raise ValueError("the objective is not finite at w0; look at frames and w0")
        self.gradient_tolerance = self.gtol * max(1.0, point.loss)
        self.scale = None
        try:
            model = self.accept(point, None)
            if self.lost:
                return Status.NO_OVERLAP
            # The slopes of a black image are zero: joint steps then move the image alone.
            gamma, growth = damping * (self.scale or 1.0), 2.0
            while self.gradient_norm > self.gradient_tolerance:
                if len(self.history) > max_iter:
                    return Status.MAX_ITERATIONS
                step = model.step(gamma)
                if self.negligible(point, step):
                    return Status.SMALL_STEP
                trial = self.trial(point, step)
                gain = point.loss - trial.loss if trial else -1.0
                rho = gain / step.predicted if step.predicted > 0 else -1.0
                if not (rho > 0 and gain > 0):
                    gamma, growth = gamma * growth, 2 * growth
                    continue
                point, model = trial, self.accept(trial, gamma)
                gamma, growth = gamma * max(1 / 3, 1 - (2 * rho - 1) ** 3), 2.0
        except KeyboardInterrupt:
            if not self.history:
                raise
            return Status.STOPPED
        return Status.CONVERGED

    def negligible(self, point, step):
        """Whether a step changes nothing: the maps, and the image if it is a variable."""
        changes = [(step.dw, point.w)]
        if self.joint:
            changes.append((step.image - point.image, point.image))
        return all(float(dx.norm()) <= 1e-12 * (1 + float(x.norm())) for dx, x in changes)

    def trial(self, point, step):
        """The point after a step, or None where a frame has left the box or nothing is finite."""
        w = point.w + step.dw
        if not torch.isfinite(w).all() or bool((self.problem.overlap(w) == 0).any()):
            return None
        trial = _Point(self, w, point.projection, step.image, project=not self.joint)
        return trial if math.isfinite(trial.loss) else None

    def accept(self, point, gamma):
        """Record a point, return the model of the objective there."""
        model = self.model(point)
        self.record(point, model, gamma)
        projection = self.projection()
        if self.n_iter is None and projection.tol < point.projection.tol:
            point.project(projection)
            model = self.model(point)
            self.loss, self.gradient_norm = point.loss, model.gradient_norm
        return model

    def record(self, point, model, gamma):
        self.w, self.loss, self.gradient_norm = point.w, point.loss, model.gradient_norm
        self.scale = self.scale or model.scale
        state = VarProState(
            iteration=len(self.history),
            w=point.w,
            loss=point.loss,
            gradient_norm=model.gradient_norm,
            damping=math.nan if gamma is None else gamma / self.scale,
            n_iter_cg=self.n_iter_cg,
            n_evaluations=self.n_evaluations,
        )
        self.history.append(state)
        if self.callback is not None and gamma is not None:
            self.callback(state)

    def result(self, status):
        n_iter = len(self.history) - 1
        test = f"|gradient| = {self.gradient_norm:.3e}, tolerance {self.gradient_tolerance:.3e}"
        advice = ADVICE[status]
        if status is Status.NO_OVERLAP:
            advice = (
                f"Frames {self.lost} lie outside the box at w0, so their pixels say nothing "
                "about the image. Start from register_frames, or leave these frames out."
            )
        elif status is Status.SMALL_STEP:
            advice += " If the images are rough, raise n_iter_cg or lower tol_cg first."
        final = self.problem.project(self.problem.operator(self.w))
        if not final.success:
            advice += f" The image is not accurate: {final.message}"
        return VarProResult(
            w=self.w,
            image=final.x,
            loss=self.loss,
            gradient_norm=self.gradient_norm,
            success=status is Status.CONVERGED,
            status=status,
            message=f"{status.value} after {n_iter} iterations: {test}. {advice}",
            n_iter=n_iter,
            n_evaluations=self.n_evaluations,
            n_iter_cg=self.n_iter_cg + final.n_iter,
            gradient_tolerance=self.gradient_tolerance,
            history=tuple(self.history),
        )
