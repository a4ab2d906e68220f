"""The explorer of chapter 4."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps

from ..registration import (
    Comparison,
    RegistrationProblem,
    compare_predictions,
    predictor_corrector,
)
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import plain, plot_residual

LENGTHS = np.linspace(-0.25, 1.5, 15)
"""Parts of a predicted step at which the loss is drawn."""

LIMIT = 160.0  # grey values at which the colours of the residual end

LABELS = {"exact": "exact Hessian", "2JTJ": "Gauss–Newton"}
STYLES = {
    "exact": {"color": "C0", "ls": "-", "marker": "o"},
    "2JTJ": {"color": "C2", "ls": "--", "marker": "s"},
}


@dataclass(frozen=True)
class Predictions:
    """What the pictures show at one scale of one pair.

    Attributes
    ----------
    pair : str
        Name of the pair.
    comparison : Comparison
        The predicted steps from this scale to the next.
    before : list of Comparison
        Those from the first scale to this one.
    difference : torch.Tensor
        Shape ``domain.m``: moved template minus reference at this scale, grey values.
    curves : dict
        Excess loss at `LENGTHS` along each step, by the names in `LABELS`.
    """

    pair: str
    comparison: Comparison
    before: list
    difference: torch.Tensor
    curves: dict


class HessianView:
    """What `hessian_explorer` computes, draws and says, with the same arguments."""

    def __init__(
        self,
        problems: Mapping[str, RegistrationProblem],
        thetas: Sequence[float],
        w0: torch.Tensor,
    ):
        self.problems = dict(problems)
        self.comparisons = {
            pair: compare_predictions(problem, predictor_corrector(problem, thetas, w0))
            for pair, problem in self.problems.items()
        }
        """The `Comparison` of each step of the path, by pair."""
        self.thetas = [one.theta_before for one in next(iter(self.comparisons.values()))]

    def compute(self, pair, theta):
        """Return the `Predictions` from `theta` to the next scale."""
        problem, k = self.problems[pair], self.thetas.index(theta)
        one = self.comparisons[pair][k]
        moved = problem.template(problem.transform(one.w, problem.points), theta)
        difference = moved - problem.reference(problem.points, theta)

        def excess(name, length):
            w = one.w + length * one.steps[name]
            return one.excess(float(problem.loss(w, one.theta)))

        return Predictions(
            pair,
            one,
            self.comparisons[pair][: k + 1],
            difference.reshape(problem.domain.m),
            {name: np.array([excess(name, s) for s in LENGTHS]) for name in LABELS},
        )

    def draw_residual(self, result, ax):
        """Draw what the map leaves of the difference."""
        domain = self.problems[result.pair].domain
        picture = plot_residual(result.difference, domain, ax, "What stays", largest=LIMIT)
        ticks = [-LIMIT, 0, LIMIT]
        bar = {"location": "bottom", "shrink": 0.8, "pad": 0.02, "label": "grey values"}
        ax.figure.colorbar(picture, ax=ax, ticks=ticks, **bar)

    def draw_spectra(self, result, ax):
        """Draw the relative spectrum from the first scale to this one."""
        plot_spectra(result.before, ax)
        ax.axvline(result.comparison.theta_before, color="0.7", lw=0.8, zorder=0)
        ax.set(xlim=(1.5 * self.thetas[0], self.thetas[-1] / 1.5), title="Six ratios, so far")
        if len(result.comparison.relative_spectrum) != 6:
            ax.set(title="Ratios, so far")

    def draw_losses(self, result, ax):
        """Draw the loss along each predicted step."""
        one = result.comparison
        for name, label in LABELS.items():
            style = STYLES[name]
            ax.plot(LENGTHS, result.curves[name], label=label, **style | {"marker": ""})
            at_one = one.excess(one.losses[name])
            ax.plot(1, at_one, style["marker"], color=style["color"], ms=5, clip_on=False)
        ax.axhline(0, color="k", lw=0.8, zorder=0)
        ax.axhline(1, color="0.7", lw=0.8, ls=":", zorder=0)
        ax.text(-0.22, 0.03, "next minimum", color="0.3", fontsize="small")
        ax.text(0.15, 1.03, "no prediction", color="0.3", fontsize="small")
        ax.set(xlim=(-0.25, 1.5), ylim=(-0.1, 2), xlabel="part of the predicted step")
        ax.set(ylabel="excess loss", title="One predicted step")
        ax.legend(loc="upper center")

    def alt_residual(self, result):
        """Return the text alternative of the residual."""
        return (
            "Moved template minus reference, red where the template is brighter; "
            f"largest difference {float(result.difference.abs().max()):.0f} grey values."
        )

    def alt_spectra(self, result):
        """Return the text alternative of the ratios."""
        values = ", ".join(f"{mu:.2f}" for mu in result.comparison.relative_spectrum)
        return (
            f"True curvature over Gauss–Newton's, from the first scale to this one; here {values}."
        )

    def alt_losses(self, result):
        """Return the text alternative of the losses."""
        left = self._left(result)
        return (
            "Loss along the two predicted steps, 1 without prediction and 0 at the next minimum; "
            f"at the end of the step {left['exact']:.2f} with the exact Hessian, "
            f"{left['2JTJ']:.2f} with Gauss–Newton."
        )

    def describe(self, result):
        """Say the ratios, and what each prediction leaves."""
        one, left = result.comparison, self._left(result)
        low, high = one.relative_spectrum[[0, -1]]
        return (
            f"At θ = {plain(one.theta_before)} ({result.pair}) the ratios lie between {low:.2f} "
            f"and {high:.2f}. Of the loss above the minimum at θ = {plain(one.theta)}, the step "
            f"leaves {100 * left['exact']:.0f} % with the exact Hessian and "
            f"{100 * left['2JTJ']:.0f} % with Gauss–Newton."
        )

    @staticmethod
    def _left(result):
        one = result.comparison
        return {name: one.excess(one.losses[name]) for name in LABELS}

    def explorer(self):
        """Return the controls and panels."""
        controls = [Control("theta", "Blur θ", self.thetas, "px⁴", format=plain)]
        if len(self.problems) > 1:
            pairs = Control("pair", "Pair", list(self.problems), format="{}", buttons=True)
            controls.insert(0, pairs)
        compute, (first, *_) = self.compute, self.problems
        return Explorer(
            compute if len(controls) > 1 else lambda theta: compute(first, theta),
            [
                Panel(self.draw_spectra, self.alt_spectra, size=(2.7, 2.7)),
                Panel(self.draw_residual, self.alt_residual, size=(1.8, 2.7), lossless=False),
                Panel(self.draw_losses, self.alt_losses, size=(2.7, 2.7)),
            ],
            controls,
            name="hessian",
            describe=self.describe,
            title="What Gauss–Newton makes of the curvature",
        )


def plot_spectra(comparisons, ax):
    """Draw the relative spectrum over theta, coloured by order, with dots at the last scale.

    Parameters
    ----------
    comparisons : list of Comparison
        Steps of one path, from `compare_predictions`.
    ax : matplotlib.axes.Axes
        Where to draw.
    """
    thetas = [one.theta_before for one in comparisons]
    spectra = np.array([one.relative_spectrum for one in comparisons])
    last = spectra.shape[1] - 1
    colours = colormaps["viridis"](np.linspace(0, 0.85, last + 1))
    for k, (values, colour) in enumerate(zip(spectra.T, colours, strict=True)):
        label = {0: "smallest", last: "largest"}.get(k)
        ax.plot(thetas, values, color=colour, lw=1.2)
        ax.plot(thetas[-1], values[-1], "o", color=colour, ms=4, label=label, clip_on=False)
    ax.axhline(1, color="0.5", lw=0.8, ls="--", zorder=0)
    ax.set(xscale="log", ylim=(0, 1.45), xlabel="θ [pixels⁴], blur decreases →")
    ax.set(ylabel=r"ratio of curvatures $\mu_k$", yticks=[0, 0.5, 1])
    ax.legend(loc="upper right", ncols=2, handletextpad=0, columnspacing=0.5)


def hessian_explorer(problems, thetas, w0):
    """Show the relative spectrum along a path, and what it does to a predicted step.

    Parameters
    ----------
    problems : dict
        `RegistrationProblem` by the name that its button shows, without a regulariser. One
        problem has no buttons.
    thetas : sequence of float
        Scales of the path, decreasing, in pixels⁴; at least three.
    w0 : torch.Tensor
        Start of the path, shape ``(n_params,)``.

    Returns
    -------
    Explorer
        A slider over theta, the scale from which a step is predicted, and a button for each pair.

    References
    ----------
    Chapter 4.
    """
    return HessianView(problems, thetas, w0).explorer()
