r"""Damped Gauss–Newton steps: the one loop behind all least-squares solvers of the package.

At a point the residual is replaced by a linear model, and a step minimises the model plus
:math:`\gamma \lVert \delta \rVert^2`. Nielsen's rule moves the damping γ with the ratio ρ of actual
to predicted decrease: it is multiplied by max(1/3, 1 − (2ρ − 1)³) after a success, and by 2, 4,
8, … after failures.
"""

import abc
import math
from dataclasses import dataclass
from typing import Any

from .status import NotFiniteError, Status, tell


@dataclass(frozen=True)
class Work:
    """What a point, a model or a step cost."""

    n_evaluations: int = 0
    n_iter_cg: int = 0

    def __add__(self, other):
        return Work(self.n_evaluations + other.n_evaluations, self.n_iter_cg + other.n_iter_cg)


FREE = Work()
"""What is known already costs nothing."""


class LeastSquares(abc.ABC):
    """A least-squares problem as `minimise_damped` sees it.

    Points, models and steps are whatever an implementation makes them, with these attributes:

    - a point has ``loss``;
    - a model has ``gradient_norm`` and ``scale``, the largest diagonal entry of its matrix;
    - a step has ``predicted``, the decrease that the model promises;
    - each of them has ``work``, a `Work`.
    """

    @abc.abstractmethod
    def model(self, point):
        """Return the model of the objective at a point, with its derivatives."""

    @abc.abstractmethod
    def step(self, point, model, gamma):
        """Return the step that minimises the model with the damping γ."""

    @abc.abstractmethod
    def trial(self, point, step):
        """Return the point after a step, or None if it must not be taken.

        A point whose loss is not finite is refused by the loop.
        """

    @abc.abstractmethod
    def negligible(self, point, step):
        """Whether a step changes nothing but the last digits."""

    def ratio(self, point, model, step, trial):
        """Return ρ, the decrease over what was predicted; −1 refuses the step."""
        return (point.loss - trial.loss) / step.predicted if step.predicted > 0 else -1.0

    def hopeless(self, point, model):
        """Return a status if no step can help at the start, else None."""
        return None

    @abc.abstractmethod
    def size(self, start):
        """Return what the gradient is compared with, from the start: a loss, in its unit."""

    def refined(self, point, state):
        """Return the accepted point, computed again more accurately, or None to keep it."""
        return None

    def doubted(self, point):
        """Return a point whose gradient is small, computed again to be sure, or None if it is."""
        return None

    @abc.abstractmethod
    def state(self, iteration, point, model, damping, work):
        """Return what the history keeps of an accepted point."""


@dataclass
class Descent:
    """A run of `minimise_damped`: where it stands and what it has spent."""

    point: Any = None
    model: Any = None
    tolerance: float = math.nan
    history: tuple = ()
    work: Work = FREE
    status: Status | None = None

    @property
    def n_iter(self):
        """Accepted steps."""
        return len(self.history) - 1


def minimise_damped(problem, start, *, gtol, max_iter, damping=1e-3, callback=None):
    """Minimise by damped steps.

    Parameters
    ----------
    problem : LeastSquares
        Makes points, models and steps.
    start : point
        With a finite loss.
    gtol : float
        Stop when the gradient norm is at most gtol · `LeastSquares.size`.
    max_iter : int
        Largest number of accepted steps.
    damping : float
        First γ, relative to the first `scale` that is not zero.
    callback : callable, optional
        ``callback(state)`` after each accepted step. Ctrl-C, or StopIteration raised in it, ends
        the run with what there is; before the first model is known Ctrl-C passes through.

    Returns
    -------
    Descent
        Its status is converged, small step, maximum number of iterations, not finite, stopped, or
        what `LeastSquares.hopeless` says.

    References
    ----------
    Madsen, Nielsen and Tingleff, *Methods for Non-Linear Least Squares Problems* (2004),
    section 3.2; Nielsen, IMM-REP-1999-05. Chapter 4 explains the damping.
    """
    run = Descent(tolerance=gtol * problem.size(start), work=start.work)
    scale = None

    def modelled(point):
        model = problem.model(point)
        run.work += model.work
        if not math.isfinite(model.gradient_norm):
            raise NotFiniteError(
                "the gradient must be finite at the start; look at the data, and at a derivative "
                "of your own"
            )
        return model

    def accept(point, gamma):
        nonlocal scale
        model = modelled(point)
        run.point, run.model = point, model
        scale = scale or model.scale
        relative = math.nan if gamma is None else gamma / scale
        state = problem.state(len(run.history), point, model, relative, run.work)
        run.history = (*run.history, state)
        if gamma is not None:
            tell(callback, state)
        replace(problem.refined(point, state))

    def replace(better):
        """Go on from the same place, known better; None changes nothing."""
        if better is not None:
            run.work += better.work
            run.point, run.model = better, modelled(better)

    def arrived():
        """Whether the gradient is small, and still is when it is computed again."""
        if run.model.gradient_norm <= run.tolerance:
            replace(problem.doubted(run.point))
        return run.model.gradient_norm <= run.tolerance

    def descend():
        accept(start, None)
        if (status := problem.hopeless(run.point, run.model)) is not None:
            return status
        # A scale of zero leaves any damping: the first steps then move what is not damped.
        gamma, growth = damping * (scale or 1.0), 2.0
        while not arrived():
            if run.n_iter >= max_iter:
                return Status.MAX_ITERATIONS
            step = problem.step(run.point, run.model, gamma)
            run.work += step.work
            if problem.negligible(run.point, step):
                return Status.SMALL_STEP
            trial, rho = problem.trial(run.point, step), -1.0
            if trial is not None:
                run.work += trial.work
                rho = problem.ratio(run.point, run.model, step, trial)
            if rho > 0:
                accept(trial, gamma)
                gamma, growth = gamma * max(1 / 3, 1 - (2 * rho - 1) ** 3), 2.0
            else:
                gamma, growth = gamma * growth, 2 * growth
        return Status.CONVERGED

    try:
        run.status = descend()
    except NotFiniteError:
        if not run.history:
            raise
        run.status = Status.NOT_FINITE
    except KeyboardInterrupt:
        if not run.history:
            raise
        run.status = Status.STOPPED
    return run
