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
    moved, reference : torch.Tensor
        Shape ``domain.m``: template at y(x; w*) and reference, both blurred, grey values.
    difference : torch.Tensor
        Shape ``domain.m``: the same, template minus reference, at the last scale of the path.
    share : float
        Loss of the minimiser at the last scale over that of the start of the path.
    losses : numpy.ndarray
        Loss along the line from the old minimiser through the new one.
    along, loss_predicted : float
        Where the predicted point stands: its projection on that line in the norm of the Hessian,
        with the old minimiser at 0 and the new one at 1, and its loss.
    """

    step: Step
    moved: torch.Tensor
    reference: torch.Tensor
    difference: torch.Tensor
    share: float
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
        step = self.steps[theta]
        moved, reference = self._images(step.w, theta)
        sharp_moved, sharp_reference = self._images(step.w, self.thetas[-1])
        gain = step.loss_start - step.loss
        unit = gain if gain > 0 else 1.0
        return Scale(
            step,
            moved,
            reference,
            sharp_moved - sharp_reference,
            self._sharp_loss(step.w) / (self._sharp_loss(self.w0) or 1.0),
            (self._losses(step) - step.loss) / unit,
            _foot(step),
            (step.loss_predicted - step.loss) / unit,
        )

    def _images(self, w, theta):
        """Moved template and reference at one blur."""
        problem = self.problem
        moved = problem.template(problem.transform(w, problem.points), theta)
        reference = problem.reference(problem.points, theta)
        return [image.reshape(problem.domain.m) for image in (moved, reference)]

    def _sharp_loss(self, w):
        return float(self.problem.loss(w, self.thetas[-1]))

    def _losses(self, step):
        """The loss at `FRACTIONS` of the way to the new minimiser."""
        way = step.w - step.w_start
        points = [step.w_start + s * way for s in FRACTIONS]
        return np.array([float(self.problem.loss(point, step.theta)) for point in points])

    def draw_moved(self, scale, ax):
        """Draw the moved template, and the reference as an outline."""
        domain, reference = self.problem.domain, scale.reference.numpy(force=True)
        title = "moved template, and\noutline of the reference"
        brightest = max(float(reference.max()), float(scale.moved.max()), 1e-12)
        plot_image(scale.moved, domain, ax, title, vmax=brightest)  # else blur leaves it all black
        centres = domain.cell_centers().reshape(*domain.m, 2).numpy()
        level = (reference.min() + reference.max()) / 2
        ax.contour(centres[..., 0], centres[..., 1], reference, [level], colors="C1")

    def draw_residual(self, scale, ax):
        """Draw what is left between the sharp images, with its colours."""
        title = "what is left between\nthe sharp images"
        picture = plot_residual(scale.difference, self.problem.domain, ax, title, largest=LIMIT)
        bar = ax.figure.colorbar(picture, ax=ax, shrink=0.8, pad=0.02, ticks=[-LIMIT, 0, LIMIT])
        bar.set_label("grey values", labelpad=-8)
        bar.outline.set_visible(False)

    def draw_slice(self, scale, ax):
        """Draw the loss through both minimisers, and the predicted point."""
        first = scale.step.prediction is Prediction.FIRST
        ax.plot(FRACTIONS, scale.losses, color="0.6", lw=1.2)
        ax.plot(0, 1, "o", color="C1", label="start" if first else "old minimiser", clip_on=False)
        if scale.step.prediction is Prediction.USED:
            ax.plot(scale.along, scale.loss_predicted, "D", color="C0", label="predicted")
        ax.plot(1, 0, "*", color="C2", ms=10, label="new minimiser", clip_on=False)
        ax.set(title="loss at this blur, on the\nway to the new minimiser")
        ax.set(xlim=(-0.8, 1.8), ylim=(-0.15, 2.6), xticks=[0, 1], yticks=[0, 1, 2])
        ax.set_xticklabels(["start" if first else "old", "new"])
        ax.set(ylabel="above the new minimum")
        ax.legend(loc="upper center")

    def alt_moved(self, scale):
        """Return the text alternative of the moved template."""
        theta = plain(scale.step.theta)
        return f"The moved template at θ = {theta}, with the outline of the reference."

    def alt_residual(self, scale):
        """Return the text alternative of the residual."""
        return (
            "Moved template minus reference, both sharp, red where the template is brighter; "
            f"largest difference {float(scale.difference.abs().max()):.0f} grey values."
        )

    def describe(self, scale):
        """Say what the prediction did, what was left to the corrector, and what that brought."""
        left = (
            f" The loss of the sharp images is now {100 * scale.share:.0f} % of what it was "
            "before registration."
        )
        return f"At θ = {plain(scale.step.theta)} px⁴ {self._work(scale)}.{left}"

    def _work(self, scale):
        step, gone = scale.step, 1 - scale.loss_predicted
        iterations = f"{step.n_iter} Newton step{'s' if step.n_iter != 1 else ''}"
        if step.prediction is Prediction.FIRST:
            return f"the path begins; the corrector took {iterations}"
        if step.prediction is not Prediction.USED:
            return f"nothing was predicted; the corrector took {iterations}"
        if gone < 0:
            return f"the prediction made the loss worse; the corrector took {iterations}"
        return (
            f"the prediction took away {100 * gone:.0f} % of the loss above the new minimum; "
            f"the corrector took {iterations} for the rest"
        )

    def explorer(self):
        """Return the slider and panels."""
        domain = self.problem.domain
        line = (
            "Loss along the line from the old minimiser through the new one, with both "
            "points and the predicted one."
        )
        moved = image_panel(self.draw_moved, self.alt_moved, domain, 2.4, 2.8)
        width, height = moved.size
        coloured = (width + 0.7, height)
        return Explorer(
            self.compute,
            [
                moved,
                Panel(self.draw_residual, self.alt_residual, size=coloured, lossless=False),
                Panel(self.draw_slice, line, size=(2.9, height)),
            ],
            [Control("theta", "Blur θ", list(self.steps), "px⁴", format=plain)],
            name="path",
            describe=self.describe,
            title="Follow the minimiser from blurred to sharp",
        )


def path_explorer(problem, thetas, w0):
    """Show the registration at every scale of a path, and what the prediction did.

    The first picture is blurred, as the solver sees it. The second one shows what the same map
    leaves of the sharp images, at the last scale: so it can be compared from scale to scale.

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
