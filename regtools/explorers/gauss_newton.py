"""The explorer of chapter 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..registration import (
    Comparison,
    RegistrationProblem,
    compare_predictions,
    predictor_corrector,
)
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import plain

LENGTHS = np.linspace(-0.25, 1.5, 15)
"""Parts of a predicted step at which the loss is drawn."""

LABELS = {
    "exact": "exact",
    "2JTJ": r"$2\mathsf{J}^\top\mathsf{J}$",
    "JTJ": r"$\mathsf{J}^\top\mathsf{J}$",
}
STYLES = {
    "exact": {"color": "C0", "ls": "-", "marker": "o"},
    "2JTJ": {"color": "C2", "ls": "--", "marker": "s"},
    "JTJ": {"color": "C1", "ls": ":", "marker": "^"},
}
NAMES = {"exact": "the exact Hessian", "2JTJ": "2JᵀJ", "JTJ": "JᵀJ"}


@dataclass(frozen=True)
class Predictions:
    """What the pictures show at one scale.

    Attributes
    ----------
    comparison : Comparison
        The predicted steps to this scale.
    curves : dict
        Excess loss at `LENGTHS` along each step, by the names in `LABELS`.
    """

    comparison: Comparison
    curves: dict


@dataclass(frozen=True, eq=False)
class HessianView:
    """What `hessian_explorer` computes, draws and says, with the same arguments."""

    problem: RegistrationProblem
    thetas: Sequence[float]
    w0: torch.Tensor

    @cached_property
    def comparisons(self):
        """The `Comparison` of each step of the path."""
        path = predictor_corrector(self.problem, self.thetas, self.w0)
        return compare_predictions(self.problem, path)

    def compute(self, theta):
        """Return the `Predictions` of the step to `theta`."""
        one = {other.theta: other for other in self.comparisons}[theta]

        def excess(name, length):
            return one.excess(float(self.problem.loss(one.w + length * one.steps[name], theta)))

        curves = {name: np.array([excess(name, s) for s in LENGTHS]) for name in LABELS}
        return Predictions(one, curves)

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
        ax.text(-0.22, 0.03, "corrected", color="0.3", fontsize="small")
        ax.text(0.15, 1.03, "no prediction", color="0.3", fontsize="small")
        ax.set(xlim=(-0.25, 1.5), ylim=(-0.1, 2), xlabel="part $s$ of the predicted step")
        ax.set(ylabel="excess loss")
        ax.legend(loc="upper center")

    def draw_spectra(self, result, ax):
        """Draw the eigenvalues of each matrix where 2JᵀJ is the identity."""
        spectrum = result.comparison.relative_spectrum
        index = np.arange(1, len(spectrum) + 1)
        for name, values in [
            ("exact", spectrum),
            ("2JTJ", np.ones_like(spectrum)),
            ("JTJ", np.full_like(spectrum, 0.5)),
        ]:
            ax.plot(index, values, label=LABELS[name], ms=4, **STYLES[name])
        ax.set(yscale="log", ylim=(0.1, 2), xlim=(0.7, len(spectrum) + 0.3), xticks=index)
        ax.set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
        ax.minorticks_off()
        ax.set(xlabel="number", ylabel="eigenvalue (scaled)")

    def draw_gains(self, result, ax):
        """Draw the part of the gradient removed along the path, and mark this scale."""
        one = result.comparison
        scales = [other.theta for other in self.comparisons]
        for name, style in STYLES.items():
            gains = [other.gradient_gain(name) for other in self.comparisons]
            ax.plot(scales, gains, **style | {"marker": ""})
            ax.plot(one.theta, one.gradient_gain(name), style["marker"], color=style["color"], ms=5)
        ax.axvline(one.theta, color="0.7", lw=0.8, zorder=0)
        ax.axhline(0, color="k", lw=0.8, zorder=0)
        ax.set(xscale="log", xlim=(1.2 * scales[0], scales[-1] / 1.2), ylim=(-1, 1.05))
        ax.set(xlabel="θ [pixels⁴], the path runs →", ylabel="part of gradient removed")

    def alt_losses(self, result):
        """Return the text alternative of the losses."""
        one = result.comparison
        parts = [f"{one.excess(one.losses[name]):.2f} with {NAMES[name]}" for name in LABELS]
        return (
            "Loss along the predicted steps, 1 without prediction and 0 at the corrected point; "
            f"at the end of the step {', '.join(parts)}."
        )

    def alt_spectra(self, result):
        """Return the text alternative of the eigenvalues."""
        low, high = result.comparison.relative_spectrum[[0, -1]]
        return (
            "Eigenvalues in parameters in which 2JᵀJ is the identity: all 1 for 2JᵀJ, all 0.5 for "
            f"JᵀJ, {low:.2f} to {high:.2f} for the exact Hessian."
        )

    def describe(self, result):
        """Say how much of the gradient each matrix removes."""
        one = result.comparison
        gains = [f"{100 * one.gradient_gain(name):.0f} %" for name in LABELS]
        return (
            f"From θ = {plain(one.theta_before)} to {plain(one.theta)}: of the gradient norm, the "
            f"exact Hessian removes {gains[0]}, 2JᵀJ {gains[1]}, JᵀJ {gains[2]}."
        )

    def explorer(self):
        """Return the slider and panels."""
        thetas = [one.theta for one in self.comparisons]
        gains = "Part of the gradient norm removed over θ, one curve a matrix."
        return Explorer(
            self.compute,
            [
                Panel(self.draw_losses, self.alt_losses),
                Panel(self.draw_spectra, self.alt_spectra),
                Panel(self.draw_gains, gains),
            ],
            [Control("theta", "Next θ", thetas, "px⁴", initial=1.0, every=3, format=plain)],
            name="hessian",
            describe=self.describe,
            title="One step, predicted with three matrices",
        )


def hessian_explorer(problem, thetas, w0):
    """Compare the steps predicted by the exact Hessian, 2JᵀJ and JᵀJ along a path.

    Parameters
    ----------
    problem : RegistrationProblem
        Without a regulariser.
    thetas : sequence of float
        Scales of the path, decreasing, in pixels⁴; at least three.
    w0 : torch.Tensor
        Start of the path, shape ``(n_params,)``.

    Returns
    -------
    Explorer
        One slider over theta, the scale that is predicted.
    """
    return HessianView(problem, thetas, w0).explorer()
