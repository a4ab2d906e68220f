"""The explorer of chapter 3."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..registration import Prediction, RegistrationProblem, Step, predictor_corrector
from ._shared import image_panel
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import plain, plot_image, plot_residual

FRACTIONS = np.linspace(-0.8, 1.8, 53)
LIMIT = 120.0  # grey values at which the colours of the residual end


@dataclass(frozen=True)
class Scale:
    """What the pictures show at one scale.

    Losses are relative: 0 at the new minimiser, 1 at the old one.

    Attributes
    ----------
    step : Step
        The step of the path.
    moved, difference : torch.Tensor
        Shape ``domain.m``: template at y(x; w*), and that minus the reference, grey values.
    losses : numpy.ndarray
        Loss along the line from the old minimiser through the new one.
    along, loss_predicted : float
        Where the predicted point stands: its projection on that line in the norm of the Hessian,
        with the old minimiser at 0 and the new one at 1, and its loss.
    """

    step: Step
    moved: torch.Tensor
    difference: torch.Tensor
    losses: np.ndarray
    along: float
    loss_predicted: float


@dataclass(frozen=True, eq=False)
class PathView:
    """What `path_explorer` computes, draws and says, with the same arguments."""

    problem: RegistrationProblem
    thetas: Sequence[float]
    w0: torch.Tensor

    @cached_property
    def steps(self):
        """The `Step` of each scale, by theta."""
        path = predictor_corrector(self.problem, self.thetas, self.w0)
        if len(path.steps) < len(self.thetas):
            raise ValueError(f"the path ended early: {path.message}")
        return {step.theta: step for step in path.steps}

    def compute(self, theta):
        """Return the `Scale`."""
        problem, step = self.problem, self.steps[theta]
        moved = problem.template(problem.transform(step.w, problem.points), theta)
        difference = moved - problem.reference(problem.points, theta)
        gain = step.loss_start - step.loss
        unit = gain if gain > 0 else 1.0
        return Scale(
            step,
            moved.reshape(problem.domain.m),
            difference.reshape(problem.domain.m),
            (self._losses(step) - step.loss) / unit,
            _foot(step),
            (step.loss_predicted - step.loss) / unit,
        )

    def _losses(self, step):
        """The loss at `FRACTIONS` of the way to the new minimiser."""
        way = step.w - step.w_start
        points = [step.w_start + s * way for s in FRACTIONS]
        return np.array([float(self.problem.loss(point, step.theta)) for point in points])

    def draw_moved(self, scale, ax):
        """Draw the moved template."""
        plot_image(scale.moved, self.problem.domain, ax)

    def draw_residual(self, scale, ax):
        """Draw the moved template minus the reference."""
        plot_residual(scale.difference, self.problem.domain, ax, largest=LIMIT)

    def draw_slice(self, scale, ax):
        """Draw the loss through both minimisers, and the predicted point."""
        ax.plot(FRACTIONS, scale.losses, color="0.6", lw=1.2)
        ax.plot(0, 1, "o", color="C1", label="old minimiser", clip_on=False)
        if scale.step.prediction is Prediction.USED:
            ax.plot(scale.along, scale.loss_predicted, "D", color="C0", label="predicted")
        ax.plot(1, 0, "*", color="C2", ms=10, label="corrected", clip_on=False)
        ax.set(xlim=(-0.8, 1.8), ylim=(-0.15, 2.6), yticks=[0, 1, 2])
        ax.set(xlabel="way to the new minimiser", ylabel="loss above the new minimum")
        ax.legend(loc="upper center")

    def alt_moved(self, scale):
        """Return the text alternative of the moved template."""
        return f"The moved template at θ = {plain(scale.step.theta)}."

    def alt_residual(self, scale):
        """Return the text alternative of the residual."""
        return (
            "Moved template minus reference, red where the template is brighter; "
            f"largest difference {float(scale.difference.abs().max()):.0f} grey values."
        )

    def describe(self, scale):
        """Say what the prediction did, and what was left to the corrector."""
        step = scale.step
        text = f"At θ = {plain(step.theta)} px⁴ "
        iterations = f"{step.n_iter} Newton step{'s' if step.n_iter != 1 else ''}"
        if step.prediction is not Prediction.USED:
            return text + f"nothing was predicted; the corrector took {iterations}."
        gone = 1 - scale.loss_predicted
        if gone < 0:
            return text + f"the prediction made the loss worse; the corrector took {iterations}."
        return text + (
            f"the prediction took away {100 * gone:.0f} % of the loss above the new minimum; "
            f"the corrector took {iterations} for the rest."
        )

    def explorer(self):
        """Return the slider and panels."""
        domain, thetas = self.problem.domain, list(self.steps)
        start = thetas[len(thetas) // 2]
        line = (
            "Loss along the line from the old minimiser through the new one, with both "
            "points and the predicted one."
        )
        return Explorer(
            self.compute,
            [
                image_panel(self.draw_moved, self.alt_moved, domain, 2.5, 2.6),
                image_panel(self.draw_residual, self.alt_residual, domain, 2.5, 2.6),
                Panel(self.draw_slice, line, size=(3.0, 2.6)),
            ],
            [Control("theta", "Blur θ", thetas, "px⁴", initial=start, format=plain)],
            name="path",
            describe=self.describe,
            title="Follow the minimiser from blurred to sharp",
        )


def path_explorer(problem, thetas, w0):
    """Show the registration at every scale of a path, and what the prediction did.

    Parameters
    ----------
    problem : RegistrationProblem
        A pair in two dimensions.
    thetas : sequence of float
        Scales in pixels⁴, strictly decreasing.
    w0 : torch.Tensor
        Start at the first scale.

    Returns
    -------
    Explorer
        One slider over the scales. The path is computed once, here.

    Raises
    ------
    ValueError
        If the path ends early, and as `predictor_corrector`.
    """
    return PathView(problem, [float(theta) for theta in thetas], w0).explorer()


def _foot(step):
    """Foot of the predicted point on the way from the old minimiser (0) to the new one (1)."""
    way = step.w - step.w_start
    pull = step.result.hessian @ way
    length = float(way @ pull)
    return float((step.w_predicted - step.w_start) @ pull) / length if length > 0 else 0.0
