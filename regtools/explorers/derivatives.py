"""The explorer of chapter 2."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..registration import RegistrationProblem, second_order_model
from ..verify import TaylorTest, taylor_test
from ._shared import image_panel
from .controls import Control
from .explorer import Explorer, Panel
from .plotting import plot_residual

STEPS = 2.0 ** -np.arange(46.0)
"""The steps of the Taylor test: from 1 down to where only rounding is left."""

POSITIONS = np.linspace(-1, 1, 41)
"""Where the loss is drawn along the line, in units of the step t."""

ROUNDING = 1e-14
"""A remainder of so much of the slope, or less, has no digit that every arithmetic gives."""

NOISE = 1e-11
"""A remainder of so much of the slope, or less, no longer shows by which power it falls."""

MODELS = {
    "gradient": (1.0, None, 0.0),
    "gradient, 1 % too long": (1.01, None, 0.0),
    "gradient, Hessian": (1.0, "hessian", 1.0),
    "gradient, 2JᵀJ": (1.0, "gauss_newton", 1.0),
    "gradient, JᵀJ": (1.0, "gauss_newton", 0.5),
}
"""What the model is made of: factor of the gradient; which second derivative, and its factor.

J is the Jacobian of the residual, and 2JᵀJ the Gauss–Newton matrix."""


@dataclass(frozen=True)
class TaylorStep:
    """What the pictures show at one step with one model.

    Attributes
    ----------
    model : str
        A key of `MODELS`.
    step : float
        The step t.
    test : TaylorTest
        The remainders of this model at all steps.
    remainder : float
        The one at `step`.
    fall : float
        The power of t at which the remainder fell when t was halved to `step`; not finite at the
        first step, and where rounding is all that is left.
    loss, predicted : numpy.ndarray
        Change of the loss and of its model at `POSITIONS`, in units of t times the slope.
    residual : torch.Tensor
        Shape ``domain.m``, in grey values, at the step t.
    """

    model: str
    step: float
    test: TaylorTest
    remainder: float
    fall: float
    loss: np.ndarray
    predicted: np.ndarray
    residual: torch.Tensor


@dataclass(frozen=True, eq=False)
class TaylorView:
    """What `taylor_explorer` computes, draws and says, with the same arguments."""

    problem: RegistrationProblem
    w: torch.Tensor
    direction: torch.Tensor
    theta: float = 1.0

    def __post_init__(self):
        if self.problem.lam:
            raise ValueError(f"problem must have no regulariser; got lam = {self.problem.lam}")
        if self.slope == 0:
            raise ValueError("direction must not be orthogonal to the gradient: the slope is 0")

    @cached_property
    def derivatives(self):
        """The `SecondOrderModel` at `w`."""
        return second_order_model(self.problem, self.w, self.theta)

    @property
    def slope(self):
        """Derivative of the loss along the direction."""
        return float(self.derivatives.gradient @ self.direction)

    def loss(self, point):
        """Return the loss at a point."""
        return self.problem.loss(point, self.theta)

    @cached_property
    def start(self):
        """The loss at `w`."""
        return self.loss(self.w)

    def residual(self, point):
        """Return the residual at a point, in grey values."""
        return self.problem.residual(point, self.theta) / self.problem.weight

    @cached_property
    def largest(self):
        """The largest residual at `w`, where the colours end."""
        return self.problem.residual(self.w, self.theta).abs().max().item() / self.problem.weight

    def terms(self, model):
        """Return first and second derivative along the direction, as a model has them."""
        first, source, second = MODELS[model]
        if not source:
            return first * self.slope, 0.0
        matrix = getattr(self.derivatives, source)
        return first * self.slope, second * float(self.direction @ matrix @ self.direction)

    @cached_property
    def tests(self):
        """The `TaylorTest` of each model."""
        found = {}
        for model in MODELS:
            derivatives = [self.start.new_tensor(term) for term in self.terms(model)]
            found[model] = taylor_test(self.loss, self.w, self.direction, derivatives, STEPS)
        return found

    def compute(self, model, step):
        """Return the `TaylorStep` of one model and one step."""
        places, unit = step * POSITIONS, step * abs(self.slope)
        change = torch.stack([self.loss(self.w + t * self.direction) for t in places]) - self.start
        first, second = self.terms(model)
        test, k = self.tests[model], int(np.argmin(abs(STEPS - step)))
        return TaylorStep(
            model,
            step,
            test,
            float(test.remainders[k]),
            self.fall(test.remainders, k),
            change.cpu().numpy() / unit,
            (places * first + places**2 / 2 * second) / unit,
            self.residual(self.w + step * self.direction).reshape(self.problem.domain.m),
        )

    def fall(self, remainders, k):
        """Return by which power of t a remainder fell from the step before, or NaN."""
        if k == 0 or remainders[k] <= NOISE * abs(self.slope):
            return np.nan
        return float(np.log2(remainders[k - 1] / remainders[k]))

    def draw_line(self, result, ax):
        """Draw the loss along the line, and its model."""
        ax.plot(POSITIONS, result.loss, label="loss")
        ax.plot(POSITIONS, result.predicted, "--", label="model")
        ax.set(xlim=(-1, 1), ylim=(-2, 2), xlabel="position / $t$")
        ax.set(ylabel="change / ($t$ × slope)", title="loss from $-t$ to $t$")
        ax.legend(loc="upper center", ncols=2)

    def draw_remainders(self, result, ax):
        """Draw the remainders from the first step to this one, beside powers of the step."""
        n = int(np.argmin(abs(STEPS - result.step))) + 1
        slope, floor = abs(self.slope), 1e-16 * float(self.start)
        for order, style in [(1, ":"), (2, "--"), (3, "-.")]:
            guide = slope * STEPS**order
            ax.plot(STEPS, guide, style, color="0.7", lw=1, label=f"$t^{order}$")
        ax.plot(STEPS[:n], np.maximum(result.test.remainders[:n], floor), ".-", ms=3, lw=1)
        ax.plot(result.step, max(result.remainder, floor), "o", color="C1")
        ax.set(xscale="log", yscale="log", xlabel="step $t$", ylabel="remainder")
        ax.set(xlim=(3, 1e-14), ylim=(0.5 * floor, 20 * slope), title="what the model misses")
        ax.minorticks_off()
        ax.legend(loc="upper right")

    def draw_residual(self, result, ax):
        """Draw the residual image at the step, and what its colours mean."""
        domain, title = self.problem.domain, "residual at $w + tv$"
        picture = plot_residual(result.residual, domain, ax, title, largest=self.largest)
        bar = ax.figure.colorbar(picture, ax=ax, fraction=0.06, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize="small")

    def alt_remainders(self, result):
        """Return the text alternative of the remainders."""
        return (
            "The remainder over the step in logarithmic axes, from t = 1 on the left to "
            f"t = {_power(result.step)}, beside lines for t, t² and t³. {self.said_fall(result)}"
        )

    def alt_residual(self, result):
        """Return the text alternative of the residual image."""
        return f"The residual image at the step t = {_power(result.step)}."

    def said_fall(self, result):
        """Say by which power of t the remainder fell at the last halving of t."""
        if np.isfinite(result.fall):
            return f"When t was last halved it fell like t to the power {result.fall:.1f}."
        if result.step == STEPS[0]:
            return "Make t smaller, and see by which power of t it falls."
        return "So small, rounding decides, and no power is left to see."

    def describe(self, result):
        """Say how large the remainder is, and how fast it shrinks."""
        relative = result.remainder / abs(self.slope)
        shown = f"{_scientific(relative)} times the slope"
        size = shown if relative > ROUNDING else "lost in rounding"
        return (
            f"Model: {result.model}. At t = {_power(result.step)} the remainder is {size}. "
            f"{self.said_fall(result)}"
        )

    def explorer(self):
        """Return the sliders and panels."""
        return Explorer(
            self.compute,
            [
                Panel(
                    self.draw_line,
                    "The loss from -t to t along the line, and its model, dashed.",
                ),
                Panel(self.draw_remainders, self.alt_remainders),
                image_panel(self.draw_residual, self.alt_residual, self.problem.domain, 2.9, 2.5),
            ],
            [
                Control("step", "Step t", STEPS, every=5, format=_power),
                Control("model", "Model", list(MODELS), format=str, buttons=True),
            ],
            name="taylor",
            describe=self.describe,
            title="How far can you trust a derivative?",
        )


def taylor_explorer(problem, w, direction, theta=1.0):
    """Walk away from `w` and compare the loss with what its derivatives predict.

    Parameters
    ----------
    problem : RegistrationProblem
        In two dimensions, without a regulariser.
    w, direction : torch.Tensor
        Point and direction v, shape ``(n_params,)``. The longest step is t = 1.
    theta : float
        Blur in pixels⁴.

    Returns
    -------
    Explorer
        One slider over the step t, from 1 to 2⁻⁴⁵, and a row of buttons for the derivatives that
        the model uses, right and wrong ones.

    Raises
    ------
    ValueError
        If the loss has no slope along `direction`, or the problem has a regulariser.
    """
    return TaylorView(problem, w, direction, theta).explorer()


def _power(step):
    """Write a power of two, 2⁻⁹."""
    return "2" + _raised(round(np.log2(step)))


def _scientific(value):
    """Write a number with one digit, 3·10⁻⁷."""
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit}·10{_raised(int(exponent))}"


def _raised(exponent):
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
