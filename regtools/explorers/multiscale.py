"""The explorer of chapter 3."""

from dataclasses import dataclass

import numpy as np
import torch

from ..registration import Prediction, Step, predictor_corrector
from ._shared import picture_size
from .explorer import Control, Explorer, Panel
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
    thetas = [float(theta) for theta in thetas]
    path = predictor_corrector(problem, thetas, w0)
    if len(path.steps) < len(thetas):
        raise ValueError(f"the path ended early: {path.message}")
    steps = {step.theta: step for step in path.steps}
    domain = problem.domain
    size = picture_size(domain, 2.5, 2.6)

    def compute(theta):
        step = steps[theta]
        moved = problem.template(problem.transform(step.w, problem.points), theta)
        difference = moved - problem.reference(problem.points, theta)
        way = step.w - step.w_start
        losses = [float(problem.loss(step.w_start + s * way, theta)) for s in FRACTIONS]
        gain = step.loss_start - step.loss
        unit = gain if gain > 0 else 1.0
        pull = step.result.hessian @ way
        length = float(way @ pull)
        return Scale(
            step,
            moved.reshape(domain.m),
            difference.reshape(domain.m),
            (np.array(losses) - step.loss) / unit,
            float((step.w_predicted - step.w_start) @ pull) / length if length > 0 else 0.0,
            (step.loss_predicted - step.loss) / unit,
        )

    def draw_moved(scale, ax):
        plot_image(scale.moved, domain, ax)

    def draw_residual(scale, ax):
        plot_residual(scale.difference, domain, ax, largest=LIMIT)

    def draw_slice(scale, ax):
        ax.plot(FRACTIONS, scale.losses, color="0.6", lw=1.2)
        ax.plot(0, 1, "o", color="C1", label="old minimiser", clip_on=False)
        if scale.step.prediction is Prediction.USED:
            ax.plot(scale.along, scale.loss_predicted, "D", color="C0", label="predicted")
        ax.plot(1, 0, "*", color="C2", ms=10, label="corrected", clip_on=False)
        ax.set(xlim=(-0.8, 1.8), ylim=(-0.15, 2.6), yticks=[0, 1, 2])
        ax.set(xlabel="way to the new minimiser", ylabel="loss above the new minimum")
        ax.legend(loc="upper center")

    def describe(scale):
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

    return Explorer(
        compute,
        [
            Panel(
                draw_moved,
                lambda scale: f"The moved template at θ = {plain(scale.step.theta)}.",
                size=size,
                lossless=False,
            ),
            Panel(
                draw_residual,
                lambda scale: (
                    "Moved template minus reference, red where the template is brighter; "
                    f"largest difference {float(scale.difference.abs().max()):.0f} grey values."
                ),
                size=size,
                lossless=False,
            ),
            Panel(
                draw_slice,
                "Loss along the line from the old minimiser through the new one, with both "
                "points and the predicted one.",
                size=(3.0, 2.6),
            ),
        ],
        [Control("theta", "Blur θ", thetas, "px⁴", initial=thetas[len(thetas) // 2], format=plain)],
        name="path",
        describe=describe,
        title="Follow the minimiser from blurred to sharp",
    )
