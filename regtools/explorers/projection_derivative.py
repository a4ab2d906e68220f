"""The explorer of chapter 6."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from ..superresolution import RULES, Projected, Rule, SuperResolutionProblem, varpro
from ..verify import relative_error
from ._shared import error_alt, image_panel
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import RULE_STYLES, plot_image, plot_residual

LIMIT = 120.0  # grey values at which the colours of the error end
LOWEST = 1e-6  # where the axis of the gradients ends
LONG = {
    "none": "No derivative of the projection",
    "kaufman": "Kaufman's derivative",
    "implicit": "Implicit derivative",
}


@dataclass(frozen=True)
class Dense(Rule):
    """A named rule whose systems are solved by Cholesky's method, which is fast for small images.

    CG starts at the solution and stops there.
    """

    name: str

    def factor(self, operator, image):
        """Return A as a matrix, and the Cholesky factor of AᵀA."""
        n = image.numel()
        matrix = operator(torch.eye(n, dtype=image.dtype).reshape(*image.shape, n))
        return matrix, torch.linalg.cholesky(matrix.T @ matrix)

    def project(self, setting, operator, start=None):
        """Return the image."""
        right = operator.adjoint(setting.problem.target)
        factor = self.factor(operator, right)[1]
        solution = torch.cholesky_solve(right.reshape(-1, 1), factor).reshape(right.shape)
        result = setting.run_cg(operator, solution)
        return Projected(result.x, result.n_iter, result.n_iter, result)

    def tangents(self, setting, operator, projected):
        """Return ∂f/∂w as the rule has it."""
        image = projected.image
        if self.name == "none":
            return RULES["none"].tangents(setting, operator, projected)
        matrix, factor = self.factor(operator, image)
        right = matrix.T @ operator.derivative(image)
        if self.name == "implicit":
            rows = operator(image) - setting.problem.target
            right = right + operator.derivative_adjoint(rows).flatten(0, image.ndim - 1)
        return -torch.cholesky_solve(right, factor).reshape(*image.shape, -1), 0


@dataclass(frozen=True)
class Outcome:
    """What the pictures show: the runs of all rules at one weight and noise, and one of them.

    Attributes
    ----------
    rule : str
        Whose image is shown.
    lam, noise : float
        Weight of the differences, and standard deviation of the noise in grey values.
    runs : dict
        `VarProResult` by rule.
    difference : torch.Tensor
        Shape `domain.m`: the image of this rule minus the true one.
    error, error_start : float
        Norm of the difference over that of the true image, at the end and at the start.
    """

    rule: str
    lam: float
    noise: float
    runs: Mapping
    difference: torch.Tensor
    error: float
    error_start: float

    @property
    def run(self):
        """The run that is shown."""
        return self.runs[self.rule]

    def gradients(self, rule):
        """Return the gradient norms of a run, relative to its start."""
        norms = np.array([state.gradient_norm for state in self.runs[rule].history])
        return norms / norms[0]


@dataclass(frozen=True, eq=False)
class RuleView:
    """What `rule_explorer` computes, draws and says, with the same arguments."""

    problem: SuperResolutionProblem
    image: torch.Tensor
    w0: torch.Tensor
    rules: tuple = ("none", "kaufman", "implicit")
    lams: tuple = (0.01, 0.03, 0.1, 0.3, 1.0)
    noises: tuple = (0.0, 1.0, 2.0)
    max_iter: int = 10
    seed: int = 0
    _known: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        unknown = [name for name in self.rules if name not in LONG]
        if unknown or len(self.rules) < 2:
            raise ValueError(f"rules must be at least 2 of {list(LONG)}; got {list(self.rules)}")
        self.problem.check_image(self.image)
        self.problem.check_parameters(self.w0, "w0")

    def noisy(self, lam, noise):
        """Return the problem with this weight, and with noise added to its frames."""
        frames = self.problem.frames
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(frames.shape, generator=generator, dtype=torch.float64)
        return self.problem.replaced(lam=lam, frames=frames + noise * drawn.to(frames))

    def all_runs(self, lam, noise):
        """Return the runs of all rules, and the error of the image that they start from."""
        if (lam, noise) not in self._known:
            problem = self.noisy(lam, noise)
            runs = {
                rule: varpro(problem, self.w0, Dense(rule), max_iter=self.max_iter)
                for rule in self.rules
            }
            start = relative_error(problem.reconstruct(self.w0), self.image)
            self._known[lam, noise] = runs, start
        return self._known[lam, noise]

    def compute(self, rule, lam, noise):
        """Return the `Outcome` of the runs."""
        runs, start = self.all_runs(lam, noise)
        found = runs[rule].image
        error = relative_error(found, self.image)
        return Outcome(rule, lam, noise, runs, found - self.image, error, start)

    def draw_image(self, outcome, ax):
        """Draw the image that the run ends with."""
        plot_image(outcome.run.image, self.problem.domain, ax, f"image after {_steps(outcome)}")

    def draw_error(self, outcome, ax):
        """Draw that image minus the true one, with its scale of colours."""
        domain = self.problem.domain
        picture = plot_residual(outcome.difference, domain, ax, "error [grey values]", LIMIT)
        ticks = [-LIMIT, 0, LIMIT]
        ax.figure.colorbar(picture, ax=ax, shrink=0.8, ticks=ticks, extend="both")

    def draw_gradients(self, outcome, ax):
        """Draw the gradients of all runs over the steps; the run that is shown is the bold one."""
        for name in self.rules:
            shown = name == outcome.rule
            style = RULE_STYLES[name] | {"lw": 2.6 if shown else 1.2}
            ax.semilogy(np.maximum(outcome.gradients(name), LOWEST), **style)
        ax.set(xlim=(0, self.max_iter), ylim=(LOWEST, 3), xlabel="Gauss–Newton step")
        ax.set_title("gradient / gradient at the start")
        ax.legend(loc="lower left")

    def alt_image(self, outcome):
        """Return the text alternative of the image."""
        return f"The image after {_steps(outcome)}."

    def describe(self, outcome):
        """Say the weight, the noise, and how far the run came."""
        run = outcome.run
        noise = f"noise of {outcome.noise:g} grey values" if outcome.noise else "no noise"
        return (
            f"{LONG[outcome.rule]}, λ = {outcome.lam:g}, {noise}: after {_steps(outcome)} the "
            f"image is off by {100 * outcome.error:.0f} % ({100 * outcome.error_start:.0f} % at "
            f"the start), the loss is {run.loss / run.history[0].loss:.2f} of that at the start."
        )

    def explorer(self):
        """Return the controls and panels."""
        domain = self.problem.domain
        curves = (
            "Gradient norm over Gauss–Newton steps, relative to the start, one curve a rule; "
            "that of the chosen rule is bold."
        )
        picture = image_panel(self.draw_error, error_alt("Image"), domain, 2.4, 2.6)
        wider = Panel(picture.plot, picture.alt, (picture.size[0] + 0.6, 2.6), lossless=False)

        def label(rule):
            return RULE_STYLES[rule]["label"]

        return Explorer(
            lru_cache(maxsize=256)(self.compute),
            [
                image_panel(self.draw_image, self.alt_image, domain, 2.4, 2.6),
                wider,
                Panel(self.draw_gradients, curves, size=(3.0, 2.6)),
            ],
            [
                Control("rule", "Derivative", self.rules, format=label, buttons=True),
                Control("lam", "Weight λ", self.lams, every=2, format="{:g}"),
                Control("noise", "Noise", self.noises, "grey values", format="{:g}"),
            ],
            name="rule",
            describe=self.describe,
            title=f"{self.max_iter} steps: which derivative, and for which residual?",
        )


def _steps(outcome):
    count = outcome.run.history[-1].iteration
    return f"{count} step{'s' if count != 1 else ''}"


def rule_explorer(problem, image, w0, **options):
    """Compare runs of `varpro` that differ in how the projection was differentiated.

    Parameters
    ----------
    problem : SuperResolutionProblem
        In two dimensions; its λ is replaced, and noise is added to its frames.
    image : torch.Tensor
        The true sharp image, shape `domain.m`, for the error.
    w0 : torch.Tensor
        Where each run starts, shape ``(n_params,)``.
    **options
        rules : sequence of str
            At least two of "none", "kaufman" and "implicit", one button each.
        lams, noises : sequence of float
            At least two weights λ, and two standard deviations of the noise in grey values. The
            noise is one pattern, of seed `seed`, that is scaled.
        max_iter : int
            Largest number of steps of a run, 10 by default.
        seed : int
            Of the noise.

    Returns
    -------
    Explorer
        Buttons for the rule, sliders for λ and for the noise.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two rules, one has no known name, or the image or the start does
        not fit the problem.
    """
    return RuleView(problem, image, w0, **options).explorer()
