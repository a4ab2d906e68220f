"""The explorer of chapter 7."""

from dataclasses import dataclass

import numpy as np
import torch

from ..explorer import Control, Explorer, Panel
from ..plotting import RULES, plot_residual
from ..projection import Implicit, Projection, Unrolled
from ._shared import picture_size, relative_error

FRACTIONS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
COUNTS = (50, 100, 200, 400)


@dataclass(frozen=True)
class Fraction:
    """What the pictures show at one fraction and one number of CG iterations.

    Errors are those of the Jacobian of all rows, relative to its norm.

    Attributes
    ----------
    n_iter, count : int
        CG iterations of the image, and how many of them are differentiated.
    fraction : float
        The part that is differentiated.
    unrolled, implicit : torch.Tensor
        Shape ``domain.m``: one column of ∂f/∂w, from the last `count` iterations and from as many
        iterations of the tangent equations.
    errors_unrolled, errors_implicit : numpy.ndarray
        For each of `FRACTIONS`.
    """

    n_iter: int
    count: int
    fraction: float
    unrolled: torch.Tensor
    implicit: torch.Tensor
    errors_unrolled: np.ndarray
    errors_implicit: np.ndarray

    @property
    def error(self):
        """The error of the unrolled Jacobian at this fraction."""
        return float(self.errors_unrolled[FRACTIONS.index(self.fraction)])

    @property
    def error_implicit(self):
        """The error of the implicit rule at this fraction."""
        return float(self.errors_implicit[FRACTIONS.index(self.fraction)])


def fraction_explorer(problem, w, parameter=4):
    """Show what differentiating the last part of the CG iterations gives.

    Parameters
    ----------
    problem : SuperResolutionProblem
        In two dimensions.
    w : torch.Tensor
        Where the Jacobian is taken, shape ``(n_params,)``.
    parameter : int
        Whose column of ∂f/∂w is drawn; by default the first moving frame's shift to the right.

    Returns
    -------
    Explorer
        Two sliders, over `FRACTIONS` and `COUNTS`. A count is computed once, when first shown.

    Raises
    ------
    ValueError
        If there is no such parameter, and as `Projection`.
    """
    if parameter not in range(problem.n_params):
        raise ValueError(f"parameter must be below {problem.n_params}, from 0; got {parameter}")
    operator, domain = problem.operator(w), problem.domain
    exact = Projection(problem, "implicit", tol=1e-12)
    truth, jacobian = exact.linearize(operator, exact.project(operator))
    column = truth[..., parameter]
    largest = float(column.abs().max())
    known = {}

    def part(fraction, n_iter):
        rule = Unrolled(last=fraction)
        return rule, rule.counts(n_iter)[1]

    def linearize(rule, n_iter):
        projection = Projection(problem, rule, n_iter)
        moves, there = projection.linearize(operator, projection.project(operator))
        return moves[..., parameter], relative_error(there, jacobian)

    def all_fractions(n_iter):
        if n_iter not in known:
            pairs = []
            for fraction in FRACTIONS:
                rule, count = part(fraction, n_iter)
                rules = (rule, Implicit(n_iter=count) if count else "none")
                pairs.append([linearize(rule, n_iter) for rule in rules])
            known[n_iter] = pairs
        return known[n_iter]

    def compute(fraction, n_iter):
        pairs = all_fractions(n_iter)
        (unrolled, _), (implicit, _) = pairs[FRACTIONS.index(fraction)]
        errors = np.array([[error for _, error in pair] for pair in pairs])
        _, count = part(fraction, n_iter)
        return Fraction(n_iter, count, fraction, unrolled, implicit, *errors.T.copy())

    def draw_errors(result, ax):
        percents = 100 * np.array(FRACTIONS)
        for errors, rule, label in [
            (result.errors_unrolled, "unrolled", "last iterations"),
            (result.errors_implicit, "implicit", "own CG"),
        ]:
            style = RULES[rule] | {"label": label}
            ax.semilogy(percents, errors, marker=".", **style)
            at = errors[FRACTIONS.index(result.fraction)]
            ax.semilogy(100 * result.fraction, at, "o", color=style["color"], ms=7, clip_on=False)
        ax.axhline(result.errors_unrolled[0], color="0.6", lw=0.8, ls=":", zorder=0)
        ax.set(xlim=(0, 100), ylim=(1e-3, 1e11), yticks=[1e-2, 1, 1e2, 1e4, 1e6, 1e8])
        ax.minorticks_off()
        ax.set(xlabel="part differentiated [%]", ylabel="error of the Jacobian")
        ax.legend(loc="upper right")

    def image_panel(title, choose, verdict):
        size = picture_size(domain, 1.75, 2.0)

        def draw(result, ax):
            plot_residual(choose(result), domain, ax, title, largest=largest)

        def alt(result):
            words = verdict(relative_error(choose(result), column))
            return f"{title}, one column of the image's derivative: {words}."

        return Panel(draw, alt, size=size, lossless=False)

    def describe(result):
        if not result.count:
            return f"Nothing is differentiated: relative error {result.error:.1f}."
        ratio = result.error / result.errors_unrolled[0]
        if result.fraction == 1 and ratio < 1 / 4:
            words = "less than a quarter of the error without a derivative"
        else:
            words = _beside_none(ratio)
        return (
            f"The last {result.count} of {result.n_iter} iterations: {words}. As many of "
            f"the tangent equations' own CG: relative error {_short(result.error_implicit)}."
        )

    return Explorer(
        compute,
        [
            Panel(
                draw_errors,
                lambda result: (
                    "Relative error of the Jacobian over the part that is differentiated, for the "
                    "last iterations and for the tangent equations' own CG; marked: the last "
                    f"{result.count} of {result.n_iter} iterations."
                ),
                size=(2.8, 2.2),
            ),
            image_panel("true", lambda result: column, lambda error: "what is wanted"),
            image_panel("last iterations", lambda result: result.unrolled, _beside_truth),
            image_panel("own CG", lambda result: result.implicit, lambda e: f"error {_short(e)}"),
        ],
        [
            Control(
                "fraction",
                "Part differentiated",
                FRACTIONS,
                "of the iterations",
                initial=0.7,
                format="{:.0%}",
            ),
            Control("n_iter", "CG iterations", COUNTS, initial=200, every=3, format="{:d}"),
        ],
        name="fraction",
        describe=describe,
        title="Differentiate the last part of CG",
    )


# The digits of these errors hang on rounding, their classes do not.


def _beside_none(ratio):
    """Class of an error of the Jacobian, relative to that without a derivative."""
    if ratio > 100:
        return "more than a hundred times as wrong as no derivative at all"
    return "not far above the error without a derivative, or below it"


def _beside_truth(error):
    """Class of an error of the column, relative to its norm."""
    return f"wrong by {'more' if error > 5 else 'less'} than five times its size"


def _short(value):
    """One significant digit, and no exponent."""
    return np.format_float_positional(value, precision=1, fractional=False, trim="-")
