"""The explorer of chapter 8."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from ..superresolution import SuperResolutionProblem
from ._shared import error_alt, image_panel
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import plot_image, plot_residual

LIMIT = 80.0  # grey values at which the colours of the error end


@dataclass(frozen=True, eq=False)
class InexactView:
    """What `inexact_explorer` computes, draws and says, with the same arguments."""

    problem: SuperResolutionProblem
    iterates: Mapping
    truth: torch.Tensor

    def __post_init__(self):
        if len(self.iterates) < 2 or not all(self.iterates.values()):
            raise ValueError(f"iterates must be at least 2 lists; got counts {list(self.iterates)}")
        self.problem.check_image(self.truth, "truth")

    @cached_property
    def along(self):
        """The iterates, sorted by the number of CG iterations."""
        return dict(sorted(self.iterates.items()))

    @property
    def last(self):
        """Steps of the longest run."""
        return max(len(found) for found in self.along.values()) - 1

    def compute(self, count, step):
        """Return the `Iterate`, the last one if the run has ended before."""
        found = self.along[count]
        return found[min(step, len(found) - 1)]

    def draw_image(self, one, ax):
        """Draw the exact image."""
        plot_image(one.image, self.problem.domain, ax)

    def draw_error(self, one, ax):
        """Draw the exact image minus the true one."""
        plot_residual(one.image - self.truth, self.problem.domain, ax, largest=LIMIT)

    def draw_curves(self, one, ax):
        """Draw the errors of all runs over the steps, and mark this iterate."""
        for count, found in self.along.items():
            errors = [100 * other.error for other in found]
            shown = count == one.count
            style = {"color": "C0", "lw": 1.8, "zorder": 3} if shown else {"color": "0.75", "lw": 1}
            ax.plot(range(len(errors)), errors, **style)
        ax.plot(one.step, 100 * one.error, "o", color="C0", ms=6, zorder=4, clip_on=False)
        errors = [other.error for found in self.along.values() for other in found]
        low, high = 0.9 * (100 * min(errors)), 1.1 * (100 * max(errors))
        ticks = [tick for tick in (5, 10, 15, 20, 30, 50, 100) if low <= tick <= high]
        ax.set(yscale="log", ylim=(low, high), xlim=(0, max(self.last, 1)))
        ax.set_yticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.set(xlabel="Gauss–Newton step", ylabel="error [%]")

    def alt_image(self, one):
        """Return the text alternative of the image."""
        return f"The exact image after {one.step} steps."

    def describe(self, one):
        """Say the errors of the exact and of the inexact image."""
        plural = "s" if one.count > 1 else ""
        return (
            f"After {one.step} Gauss–Newton steps with {one.count} CG iteration{plural} a "
            f"projection, the exact image for these maps has an error of {100 * one.error:.0f} % "
            f"(the inexact one {100 * one.inexact_error:.0f} %)."
        )

    def explorer(self):
        """Return the sliders and panels."""
        domain, steps = self.problem.domain, list(range(self.last + 1))
        curves = (
            "Error of the exact image over the Gauss–Newton steps, one curve for each number "
            "of CG iterations, with this one in blue."
        )
        return Explorer(
            self.compute,
            [
                image_panel(self.draw_image, self.alt_image, domain, 2.3, 2.4),
                image_panel(self.draw_error, error_alt("That image"), domain, 2.3, 2.4),
                Panel(self.draw_curves, curves, size=(2.9, 2.4)),
            ],
            [
                Control("count", "CG iterations", list(self.along), initial=25, format="{}"),
                Control("step", "Gauss–Newton step", steps, initial=self.last, every=5),
            ],
            name="inexact",
            describe=self.describe,
            title="Projections with few CG iterations",
        )


def inexact_explorer(problem, iterates, truth):
    """Show the reconstructions of runs that differ in the CG iterations of each projection.

    Parameters
    ----------
    problem : SuperResolutionProblem
        In two dimensions.
    iterates : dict
        Lists from `exact_iterates` by number of CG iterations; at least two.
    truth : torch.Tensor
        The image that the frames come from, shape `domain.m`.

    Returns
    -------
    Explorer
        Sliders over the CG iterations and over the Gauss–Newton steps.

    Raises
    ------
    ValueError, TypeError
        If `iterates` are fewer than two lists or hold an empty one, or `truth` does not fit.
    """
    return InexactView(problem, iterates, truth).explorer()
