"""The explorer of chapter 6."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from ..superresolution import SuperResolutionProblem, VarProState
from ..verify import relative_error
from ._shared import error_alt, image_panel
from .controls import Control
from .explorer import Explorer, Panel
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


@dataclass(frozen=True, eq=False)
class RuleView:
    """What `rule_explorer` computes, draws and says, with the same arguments."""

    problem: SuperResolutionProblem
    image: torch.Tensor
    runs: Mapping

    def __post_init__(self):
        unknown = [name for name in self.runs if name not in RULE_STYLES]
        if unknown or len(self.runs) < 2:
            known, given = list(RULE_STYLES), list(self.runs)
            raise ValueError(f"runs must hold at least 2 of {known}; got {given}")
        self.problem.check_image(self.image)
        if self.last < 1:
            raise ValueError("runs must hold at least one step; all ended at their start")

    @property
    def last(self):
        """Steps of the longest run."""
        return max(len(run.history) for run in self.runs.values()) - 1

    @cached_property
    def curves(self):
        """The losses of each run, relative to its start."""
        return {
            name: np.array([state.loss for state in run.history]) / run.history[0].loss
            for name, run in self.runs.items()
        }

    @property
    def rules(self):
        """The names of the runs as the slider has them."""
        return [name for name in RULE_STYLES if name in self.runs][::-1]

    def compute(self, rule, step):
        """Return the `Moment` of one run after some steps."""
        step = min(step, len(self.runs[rule].history) - 1)
        state = self.runs[rule].history[step]
        found = self.problem.reconstruct(state.w)
        difference, error = found - self.image, relative_error(found, self.image)
        return Moment(rule, state, float(self.curves[rule][step]), found, difference, error)

    def draw_image(self, moment, ax):
        """Draw the image that fits the maps."""
        plot_image(moment.image, self.problem.domain, ax, "image")

    def draw_error(self, moment, ax):
        """Draw that image minus the true one."""
        plot_residual(moment.difference, self.problem.domain, ax, "error", largest=LIMIT)

    def draw_losses(self, moment, ax):
        """Draw the losses of all runs over the steps, and mark this moment."""
        # The solid line of the implicit rule would hide broken ones that are drawn before it.
        for name in sorted(self.rules, key=lambda name: name != "implicit"):
            ax.semilogy(self.curves[name], **RULE_STYLES[name])
        color = RULE_STYLES[moment.rule]["color"]
        ax.plot(moment.state.iteration, moment.loss, "o", color=color, ms=7, clip_on=False)
        low = 0.9 * min(curve.min() for curve in self.curves.values())
        ax.set(xlim=(0, self.last), ylim=(low, 1.05), xlabel="Gauss–Newton step")
        ax.set_ylabel("relative loss")
        ticks = [t for t in (0.001, 0.01, 0.1, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1) if t > low]
        ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.legend(loc="center right")

    def alt_image(self, moment):
        """Return the text alternative of the image."""
        return f"The image after {moment.state.iteration} steps."

    def describe(self, moment):
        """Say the error of the image and the loss."""
        count = moment.state.iteration
        return (
            f"{LONG[moment.rule]}, after {count} step{'s' if count != 1 else ''}: "
            f"reconstruction error {100 * moment.error:.0f} %, loss {moment.loss:.2f} of the start."
        )

    def explorer(self):
        """Return the sliders and panels."""
        domain, steps = self.problem.domain, range(self.last + 1)
        curves = "Relative loss over Gauss–Newton steps, one curve a rule, with the current point."

        def label(rule):
            return RULE_STYLES[rule]["label"]

        return Explorer(
            lru_cache(maxsize=256)(self.compute),
            [
                image_panel(self.draw_image, self.alt_image, domain, 2.4, 2.6),
                image_panel(self.draw_error, error_alt("Image"), domain, 2.4, 2.6),
                Panel(self.draw_losses, curves, size=(3.0, 2.6)),
            ],
            [
                Control("rule", "Derivative", self.rules, format=label),
                Control("step", "Step", steps, initial=self.last, every=2, format="{:d}"),
            ],
            name="rule",
            describe=self.describe,
            title="Ten steps with four derivatives of the projection",
        )


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
    return RuleView(problem, image, runs).explorer()
