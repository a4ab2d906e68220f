"""The explorer of chapter 2."""

from dataclasses import dataclass

import numpy as np
import torch

from ..registration import second_order_model
from ..verify import TaylorTest, taylor_test
from ._shared import picture_size
from .explorer import Control, Explorer, Panel
from .plotting import plot_residual

STEPS = 2.0 ** -np.arange(46.0)
"""The steps of the Taylor test: from 1 down to where only rounding is left."""

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
class View:
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
    positions, loss, predicted : numpy.ndarray
        Positions on the line in units of t, from -1 to 1, and the change of the loss and of
        its model there, in units of t times the slope.
    residual : torch.Tensor
        Shape ``domain.m``, in grey values, at the step t.
    """

    model: str
    step: float
    test: TaylorTest
    remainder: float
    positions: np.ndarray
    loss: np.ndarray
    predicted: np.ndarray
    residual: torch.Tensor


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
    if problem.lam:
        raise ValueError(f"problem must have no regulariser; got lam = {problem.lam}")
    here = second_order_model(problem, w, theta)
    slope = float(here.gradient @ direction)
    if slope == 0:
        raise ValueError("direction must not be orthogonal to the gradient: the slope is 0")

    def loss(point):
        return problem.loss(point, theta)

    terms, tests = {}, {}
    for name, (first, source, second) in MODELS.items():
        bend = float(direction @ getattr(here, source) @ direction) if source else 0.0
        terms[name] = first * slope, second * bend
        derivatives = [here.loss.new_tensor(term) for term in terms[name]]
        tests[name] = taylor_test(loss, w, direction, derivatives, STEPS)
    positions = np.linspace(-1, 1, 41)
    start = loss(w)
    largest = problem.residual(w, theta).abs().max().item() / problem.weight

    def compute(model, step):
        places = step * positions
        change = torch.stack([loss(w + t * direction) for t in places]) - start
        first, second = terms[model]
        residual = problem.residual(w + step * direction, theta) / problem.weight
        return View(
            model,
            step,
            tests[model],
            float(tests[model].remainders[np.argmin(abs(STEPS - step))]),
            positions,
            change.cpu().numpy() / (step * abs(slope)),
            (places * first + places**2 / 2 * second) / (step * abs(slope)),
            residual.reshape(problem.domain.m),
        )

    floor, ceiling = 1e-16 * float(start), 20 * abs(slope)

    def draw_line(view, ax):
        ax.plot(view.positions, view.loss, label="loss")
        ax.plot(view.positions, view.predicted, "--", label="model")
        ax.set(xlim=(-1, 1), ylim=(-2, 2), xlabel="position / $t$")
        ax.set(ylabel="change / ($t$ × slope)")
        ax.legend(loc="upper center")

    def draw_remainders(view, ax):
        for order, style in [(1, ":"), (2, "--"), (3, "-.")]:
            guide = abs(slope) * STEPS**order
            ax.plot(STEPS, guide, style, color="0.7", lw=1, label=f"$t^{order}$")
        ax.plot(STEPS, np.maximum(view.test.remainders, floor), ".-", ms=3, lw=1)
        ax.plot(view.step, max(view.remainder, floor), "o", color="C1")
        ax.set(xscale="log", yscale="log", xlabel="step $t$", ylabel="remainder")
        ax.set(xlim=(1e-14, 3), ylim=(0.5 * floor, ceiling))
        ax.minorticks_off()
        ax.legend(loc="upper left")

    def draw_residual(view, ax):
        plot_residual(view.residual, problem.domain, ax, largest=largest)

    def describe(view):
        relative = view.remainder / abs(slope)
        shown = f"{_scientific(relative)} times the slope"
        size = shown if relative > ROUNDING else "lost in rounding"
        return (
            f"Model: {view.model}. At t = {_power(view.step)} the remainder is {size}; above "
            f"rounding it shrinks like t to the power {view.test.order:.1f}."
        )

    return Explorer(
        compute,
        [
            Panel(draw_line, "The loss from -t to t along the line, and its model, dashed."),
            Panel(
                draw_remainders,
                lambda view: (
                    "The remainder over the step in logarithmic axes: it falls like t to the "
                    f"power {view.test.order:.1f} and then stays at the level of rounding. "
                    "The current step is marked."
                ),
            ),
            Panel(
                draw_residual,
                lambda view: f"The residual image at the step t = {_power(view.step)}.",
                size=picture_size(problem.domain, 2.4, 2.5),
                lossless=False,
            ),
        ],
        [
            Control("model", "Model", list(MODELS), initial="gradient, 1 % too long", format=str),
            Control("step", "Step t", STEPS, initial=2.0**-9, every=9, format=_power),
        ],
        name="taylor",
        describe=describe,
        title="How far can you trust a derivative?",
    )


def _power(step):
    """Write a power of two, 2⁻⁹."""
    return "2" + _raised(round(np.log2(step)))


def _scientific(value):
    """Write a number with one digit, 3·10⁻⁷."""
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit}·10{_raised(int(exponent))}"


def _raised(exponent):
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
