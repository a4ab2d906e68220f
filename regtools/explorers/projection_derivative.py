"""The explorer of chapter 6."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from ..superresolution import VarProState
from ._shared import picture_size, relative_error
from .explorer import Control, Explorer, Panel
from .plotting import RULE_STYLES, plot_image, plot_residual

LIMIT = 120.0  # grey values at which the colours of the error end
LONG = {
    "unrolled": "All CG iterations differentiated",
    "implicit": "Implicit derivative",
    "kaufman": "Kaufman's derivative",
    "none": "No derivative of the projection",
}


@dataclass(frozen=True)
class Moment:
    """What the pictures show: one run after some of its steps.

    Attributes
    ----------
    rule : str
        How the projection was differentiated.
    state : VarProState
        Of the run after that many steps, or its last one if it ended before.
    loss : float
        Relative to the start of the run.
    image, difference : torch.Tensor
        Shape `domain.m`: the image that fits these maps best, and that minus the true one.
    error : float
        Norm of the difference over that of the true image.
    """

    rule: str
    state: VarProState
    loss: float
    image: torch.Tensor
    difference: torch.Tensor
    error: float


def rule_explorer(problem, image, runs):
    """Step through runs of `varpro` that differ in how the projection was differentiated.

    Parameters
    ----------
    problem : SuperResolutionProblem
        In two dimensions.
    image : torch.Tensor
        The true sharp image, shape `domain.m`, for the error.
    runs : dict
        `VarProResult` by rule, at least two; the keys are names from `RULE_STYLES`.

    Returns
    -------
    Explorer
        Two sliders: the rule, and the Gauss–Newton step.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two runs, a key is not the name of a rule, the image does not fit
        the problem, or no run made a step.
    """
    unknown = [name for name in runs if name not in RULE_STYLES]
    if unknown or len(runs) < 2:
        raise ValueError(f"runs must hold at least 2 of {list(RULE_STYLES)}; got {list(runs)}")
    domain = problem.domain
    problem.check_image(image)
    last = max(len(run.history) for run in runs.values()) - 1
    if last < 1:
        raise ValueError("runs must hold at least one step; all ended at their start")
    curves = {
        name: np.array([state.loss for state in run.history]) / run.history[0].loss
        for name, run in runs.items()
    }
    names = [name for name in RULE_STYLES if name in runs][::-1]
    order = sorted(names, key=lambda name: name != "implicit")  # a solid line hides broken ones
    lowest = min(curve.min() for curve in curves.values())
    size = picture_size(domain, 2.4, 2.6)

    @lru_cache(maxsize=256)
    def compute(rule, step):
        step = min(step, len(runs[rule].history) - 1)
        state = runs[rule].history[step]
        found = problem.reconstruct(state.w)
        difference = found - image
        error = relative_error(found, image)
        return Moment(rule, state, float(curves[rule][step]), found, difference, error)

    def draw_image(moment, ax):
        plot_image(moment.image, domain, ax, "image")

    def draw_error(moment, ax):
        plot_residual(moment.difference, domain, ax, "error", largest=LIMIT)

    def draw_losses(moment, ax):
        for name in order:
            ax.semilogy(curves[name], **RULE_STYLES[name])
        color = RULE_STYLES[moment.rule]["color"]
        ax.plot(moment.state.iteration, moment.loss, "o", color=color, ms=7, clip_on=False)
        ax.set(xlim=(0, last), ylim=(0.9 * lowest, 1.05), xlabel="Gauss–Newton step")
        ax.set_ylabel("relative loss")
        ticks = [t for t in (0.001, 0.01, 0.1, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1) if t > 0.9 * lowest]
        ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.legend(loc="center right")

    def describe(moment):
        count = moment.state.iteration
        return (
            f"{LONG[moment.rule]}, after {count} step{'s' if count != 1 else ''}: "
            f"reconstruction error {100 * moment.error:.0f} %, loss {moment.loss:.2f} of the start."
        )

    return Explorer(
        compute,
        [
            Panel(
                draw_image,
                lambda moment: f"The image after {moment.state.iteration} steps.",
                size=size,
                lossless=False,
            ),
            Panel(
                draw_error,
                "Image minus the true one, red where it is too bright, blue where too dark.",
                size=size,
                lossless=False,
            ),
            Panel(
                draw_losses,
                "Relative loss over Gauss–Newton steps, one curve a rule, with the current point.",
                size=(3.0, 2.6),
            ),
        ],
        [
            Control("rule", "Derivative", names, format=lambda name: RULE_STYLES[name]["label"]),
            Control("step", "Step", range(last + 1), initial=last, every=2, format="{:d}"),
        ],
        name="rule",
        describe=describe,
        title="Ten steps with four derivatives of the projection",
    )
