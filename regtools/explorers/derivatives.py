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

MODELS = {
    "gradient": (1.0, None, 0.0),
    "gradient, 1 % too long": (1.01, None, 0.0),
    "gradient, exact Hessian": (1.0, "hessian", 1.0),
    "gradient, 2 ∂rᵀ∂r": (1.0, "gauss_newton", 1.0),
    "gradient, ∂rᵀ∂r": (1.0, "gauss_newton", 0.5),
}
"""What the model is made of: factor of the gradient; which second derivative, and its factor."""


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
    loss, predicted : numpy.ndarray
        Change of the loss and of its model at `POSITIONS`, in units of t times the slope.
    residual : torch.Tensor
        Shape ``domain.m``, in grey values, at the step t.
    """

    model: str
    step: float
    test: TaylorTest
    remainder: float
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
        test = self.tests[model]
        return TaylorStep(
            model,
            step,
            test,
            float(test.remainders[np.argmin(abs(STEPS - step))]),
            change.cpu().numpy() / unit,
            (places * first + places**2 / 2 * second) / unit,
            self.residual(self.w + step * self.direction).reshape(self.problem.domain.m),
        )

    def draw_line(self, result, ax):
        """Draw the loss along the line, and its model."""
        ax.plot(POSITIONS, result.loss, label="loss")
        ax.plot(POSITIONS, result.predicted, "--", label="model")
        ax.set(xlim=(-1, 1), ylim=(-2, 2), xlabel="position / $t$")
        ax.set(ylabel="change / ($t$ × slope)")
        ax.legend(loc="upper center")

    def draw_remainders(self, result, ax):
        """Draw the remainder over the step, beside powers of the step."""
        slope, floor = abs(self.slope), 1e-16 * float(self.start)
        for order, style in [(1, ":"), (2, "--"), (3, "-.")]:
            guide = slope * STEPS**order
            ax.plot(STEPS, guide, style, color="0.7", lw=1, label=f"$t^{order}$")
        ax.plot(STEPS, np.maximum(result.test.remainders, floor), ".-", ms=3, lw=1)
        ax.plot(result.step, max(result.remainder, floor), "o", color="C1")
        ax.set(xscale="log", yscale="log", xlabel="step $t$", ylabel="remainder")
        ax.set(xlim=(1e-14, 3), ylim=(0.5 * floor, 20 * slope))
        ax.minorticks_off()
        ax.legend(loc="upper left")

    def draw_residual(self, result, ax):
        """Draw the residual image at the step."""
        plot_residual(result.residual, self.problem.domain, ax, largest=self.largest)

    def alt_remainders(self, result):
        """Return the text alternative of the remainders."""
        return (
            "The remainder over the step in logarithmic axes: it falls like t to the "
            f"power {result.test.order:.1f} and then stays at the level of rounding. "
            "The current step is marked."
        )

    def alt_residual(self, result):
        """Return the text alternative of the residual image."""
        return f"The residual image at the step t = {_power(result.step)}."

    def describe(self, result):
        """Say how large the remainder is, and how fast it shrinks."""
        relative = result.remainder / abs(self.slope)
        shown = f"{_scientific(relative)} times the slope"
        size = shown if relative > ROUNDING else "lost in rounding"
        return (
            f"Model: {result.model}. At t = {_power(result.step)} the remainder is {size}; above "
            f"rounding it shrinks like t to the power {result.test.order:.1f}."
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
                image_panel(self.draw_residual, self.alt_residual, self.problem.domain, 2.4, 2.5),
            ],
            [
                Control(
                    "model", "Model", list(MODELS), initial="gradient, 1 % too long", format=str
                ),
                Control("step", "Step t", STEPS, initial=2.0**-9, every=9, format=_power),
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
        One slider over the derivatives that the model uses, right and wrong ones, and one
        over the step t, from 1 to 2⁻⁴⁵.

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
