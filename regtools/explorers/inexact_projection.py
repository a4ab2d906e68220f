"""The explorer of chapter 8."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.ticker import MaxNLocator

from ..superresolution import SuperResolutionProblem
from ._colour_bar import colour_bar
from ._shared import error_alt
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import plot_image, plot_residual

LIMIT = 120.0  # grey values at which the colours of the error end
CLOSE = 0.1  # in the logarithm of the error: curves that end nearer share a label


def _iterations(count):
    return f"{count} CG iteration{'s' if count > 1 else ''}"


@dataclass(frozen=True)
class Shown:
    """One iterate, and the rule it comes from."""

    rule: str
    iterate: object


@dataclass(frozen=True, eq=False)
class InexactView:
    """What `inexact_explorer` computes, draws and says, with the same arguments."""

    problem: SuperResolutionProblem
    iterates: Mapping
    truth: torch.Tensor

    def __post_init__(self):
        if not self.iterates:
            raise ValueError("iterates must name at least 1 rule; got none")
        counts = {rule: sorted(found) for rule, found in self.iterates.items()}
        for rule, found in self.iterates.items():
            if len(found) < 2 or not all(found.values()):
                raise ValueError(
                    f"iterates must be at least 2 lists a rule; got counts {counts[rule]}"
                )
            if counts[rule] != self.counts:
                raise ValueError(f"iterates must have the same counts for each rule; got {counts}")
        self.problem.check_image(self.truth, "truth")

    @functools.cached_property
    def counts(self):
        """The numbers of CG iterations, from few to many."""
        return sorted(next(iter(self.iterates.values())))

    @functools.cached_property
    def last(self):
        """Steps of the longest run."""
        runs = [found for by_count in self.iterates.values() for found in by_count.values()]
        return max(len(found) for found in runs) - 1

    @functools.cached_property
    def limits(self):
        """Lowest and highest error of all, with a margin."""
        runs = [found for by_count in self.iterates.values() for found in by_count.values()]
        errors = [100 * one.error for found in runs for one in found]
        return 0.9 * min(errors), 1.1 * max(errors)

    def compute(self, count, step, rule):
        """Return the `Shown` iterate, the last one if the run has ended before."""
        found = self.iterates[rule][count]
        return Shown(rule, found[min(step, len(found) - 1)])

    def draw_image(self, shown, ax):
        """Draw the exact image."""
        plot_image(shown.iterate.image, self.problem.domain, ax, "exact image")

    def draw_error(self, shown, ax):
        """Draw the exact image minus the true one."""
        gap, domain = shown.iterate.image - self.truth, self.problem.domain
        colour_bar(plot_residual(gap, domain, ax, "its error", largest=LIMIT), ax)

    def draw_curves(self, shown, ax):
        """Draw the errors of this rule's runs over the steps, and mark this iterate."""
        one, low, high = shown.iterate, *self.limits
        for count in self.counts:
            errors = [100 * other.error for other in self.iterates[shown.rule][count]]
            style = {"color": "0.75", "lw": 1, "label": "other counts"}
            if count == one.count:
                style = {"color": "C0", "lw": 1.8, "zorder": 3, "label": _iterations(count)}
            ax.plot(range(len(errors)), errors, **style)
        ax.plot(one.step, 100 * one.error, "o", color="C0", ms=6, zorder=4, clip_on=False)
        for x, y, name in self._ends(shown):
            place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            ax.annotate(name, (x, y), color="0.4", fontsize=7, annotation_clip=False, **place)
        ticks = [tick for tick in (5, 10, 15, 20, 30, 50, 100) if low <= tick <= high]
        ax.set(yscale="log", ylim=(low, high), xlim=(0, max(self.last, 1)))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.set_yticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.set(xlabel="Gauss–Newton step", ylabel="error [%]", title=f"error, rule {shown.rule}")
        handles, labels = ax.get_legend_handles_labels()
        by_label = dict(sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0]))
        ax.legend(by_label.values(), by_label.keys(), loc="upper right", fontsize=7)

    def _ends(self, shown):
        """Where the other curves end, and their counts; those that end together as one."""
        ends = {}
        for count in self.counts:
            if count != shown.iterate.count:
                found = self.iterates[shown.rule][count]
                height = round(math.log(100 * found[-1].error) / CLOSE)
                ends.setdefault((len(found) - 1, height), []).append((count, found[-1].error))
        for (x, _), members in ends.items():
            y = 100 * math.exp(sum(math.log(error) for _, error in members) / len(members))
            yield x, y, ", ".join(str(count) for count, _ in members)

    def alt_image(self, shown):
        """Return the text alternative of the image."""
        return f"The exact image after {shown.iterate.step} steps, rule {shown.rule}."

    def describe(self, shown):
        """Say the errors of the exact and of the inexact image."""
        one = shown.iterate
        return (
            f"After {one.step} Gauss–Newton steps with {_iterations(one.count)} a "
            f"projection and the rule {shown.rule}, the exact image for these maps has an error "
            f"of {100 * one.error:.0f} % (the inexact one {100 * one.inexact_error:.0f} %)."
        )

    def explorer(self):
        """Return the controls and panels."""
        left, right, bottom, top = self.problem.domain.omega
        width = 2.2 * (right - left) / (top - bottom)
        curves = (
            "Error of the exact image over the Gauss–Newton steps, one curve for each number "
            "of CG iterations, which stands at its end, with this one in blue."
        )
        steps, rules = list(range(self.last + 1)), list(self.iterates)
        buttons, compute = [], functools.partial(self.compute, rule=rules[0])
        if len(rules) > 1:
            compute = self.compute
            buttons = [Control("rule", "Derivative", rules, format="{}", buttons=True)]
        return Explorer(
            compute,
            [
                Panel(self.draw_image, self.alt_image, (width, 2.3), lossless=False),
                Panel(self.draw_error, error_alt("That image"), (width + 0.4, 2.3), lossless=False),
                Panel(self.draw_curves, curves, size=(2.9, 2.4)),
            ],
            [
                Control("count", "CG iterations", self.counts, format="{}"),
                Control("step", "Gauss–Newton step", steps, every=5),
                *buttons,
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
        For each rule, by its name, a dict of lists from `exact_iterates` by number of CG
        iterations; at least two, the same numbers for each rule.
    truth : torch.Tensor
        The image that the frames come from, shape `domain.m`.

    Returns
    -------
    Explorer
        Sliders over the CG iterations and over the Gauss–Newton steps, and a row of buttons if
        there are several rules.

    Raises
    ------
    ValueError, TypeError
        If there is no rule, if a rule has fewer than two lists, an empty one or other counts than
        the first, or if `truth` does not fit.
    """
    return InexactView(problem, iterates, truth).explorer()
