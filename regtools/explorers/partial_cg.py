"""The explorer of chapter 7."""

import functools
from dataclasses import dataclass

import numpy as np
import torch

from ..superresolution import Implicit, Projection, Unrolled
from ._shared import picture_size, relative_error
from .explorer import Control, Explorer, Panel
from .plotting import RULE_STYLES, plot_residual

FRACTIONS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
COUNTS = (50, 100, 200, 400)
DOUBLE = 53  # bits
HIGHEST = 1e20  # error that is drawn; an arrow marks what is larger
PARAMETER = 4  # the first moving frame's shift to the right


@dataclass(frozen=True)
class Fraction:
    """What the pictures show at one fraction and one number of CG iterations.

    Errors are those of one column of the Jacobian of all rows, relative to its norm.

    Attributes
    ----------
    n_iter, count : int
        CG iterations of the image, and how many of them are differentiated.
    bits : int
        Precision of the last iterations and their derivative.
    fraction : float
        The part that is differentiated.
    unrolled, implicit : torch.Tensor
        Shape ``domain.m``: one column of ∂f/∂w, from the last `count` iterations and from as many
        iterations of the tangent equations in double precision.
    errors_unrolled, errors_implicit : numpy.ndarray
        For each of `FRACTIONS`.
    """

    n_iter: int
    count: int
    bits: int
    fraction: float
    unrolled: torch.Tensor
    implicit: torch.Tensor
    errors_unrolled: np.ndarray
    errors_implicit: np.ndarray

    @property
    def error(self):
        """The error of the last iterations at this fraction."""
        return float(self.errors_unrolled[FRACTIONS.index(self.fraction)])

    @property
    def error_implicit(self):
        """The error of the implicit rule at this fraction."""
        return float(self.errors_implicit[FRACTIONS.index(self.fraction)])


def fraction_explorer(problem, w, parameter=PARAMETER, columns=None):
    """Show what differentiating the last part of the CG iterations gives.

    Parameters
    ----------
    problem : SuperResolutionProblem
        In two dimensions.
    w : torch.Tensor
        Where the Jacobian is taken, shape ``(n_params,)``.
    parameter : int
        The column of ∂f/∂w that is drawn; by default the first moving frame's shift to the right.
    columns : mapping, optional
        The same column in other precisions than double: of a number of bits, an array of shape
        ``(len(COUNTS), len(FRACTIONS), *domain.m)``, as `tools/many_bits.py` computes it.

    Returns
    -------
    Explorer
        Two sliders, over `FRACTIONS` and `COUNTS`, and one over the precisions if there are
        several. A count is computed once, when first shown.

    Raises
    ------
    ValueError
        If there is no such parameter or `columns` has another shape, and as `Projection`.
    """
    if parameter not in range(problem.n_params):
        raise ValueError(f"parameter must be below {problem.n_params}, from 0; got {parameter}")
    operator, domain = problem.operator(w), problem.domain
    shape = (len(COUNTS), len(FRACTIONS), *domain.m)
    stored = {int(bits): np.asarray(array, dtype=float) for bits, array in (columns or {}).items()}
    for bits, array in stored.items():
        if array.shape != shape:
            raise ValueError(f"columns must have shape {shape}; got {array.shape} for {bits} bits")
    exact = Projection(problem, "implicit", tol=1e-12)
    truth, jacobian = exact.linearize(operator, exact.project(operator))
    column, size = truth[..., parameter], jacobian[:, parameter].norm()
    largest = float(column.abs().max())

    def error(wrong):
        """Of the column of the Jacobian, whose only wrong part is A ∂f."""
        return float(operator(wrong - column).norm() / size)

    def part(fraction, n_iter):
        rule = Unrolled(last=fraction)
        return rule, rule.counts(n_iter)[1]

    @functools.cache
    def linearize(rule, n_iter):
        projection = Projection(problem, rule, n_iter=n_iter)
        return projection.linearize(operator, projection.project(operator))[0][..., parameter]

    def last_iterations(fraction, n_iter, bits):
        if bits == DOUBLE:
            return linearize(part(fraction, n_iter)[0], n_iter)
        array = stored[bits][COUNTS.index(n_iter), FRACTIONS.index(fraction)]
        return torch.from_numpy(array).to(column)

    def own_cg(fraction, n_iter):
        count = part(fraction, n_iter)[1]
        return linearize(Implicit(n_iter=count) if count else "none", n_iter)

    def compute(fraction, n_iter, bits=DOUBLE):
        unrolled = [last_iterations(each, n_iter, bits) for each in FRACTIONS]
        implicit = [own_cg(each, n_iter) for each in FRACTIONS]
        errors = [np.array([error(each) for each in row]) for row in (unrolled, implicit)]
        at, count = FRACTIONS.index(fraction), part(fraction, n_iter)[1]
        return Fraction(n_iter, count, bits, fraction, unrolled[at], implicit[at], *errors)

    def draw_errors(result, ax):
        percents = 100 * np.array(FRACTIONS)
        for errors, rule, label in [
            (result.errors_unrolled, "unrolled", "last iterations"),
            (result.errors_implicit, "implicit", "own CG"),
        ]:
            style = RULE_STYLES[rule] | {"label": label}
            ax.semilogy(percents, errors, marker=".", **style)
            at = errors[FRACTIONS.index(result.fraction)]
            place, marker = (min(at, HIGHEST), "o" if at <= HIGHEST else "^")
            options = {"color": style["color"], "ms": 7, "clip_on": False}
            ax.semilogy(100 * result.fraction, place, marker, **options)
        ax.axhline(result.errors_unrolled[0], color="0.6", lw=0.8, ls=":", zorder=0)
        ax.set(xlim=(0, 100), ylim=(1e-3, HIGHEST), yticks=[1, 1e4, 1e8, 1e12, 1e16])
        ax.minorticks_off()
        ax.set(xlabel="part differentiated [%]", ylabel="error of the column")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

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
        elif result.bits == DOUBLE or ratio > 100:
            words = _beside_none(ratio)
        else:
            words = f"{_short(ratio)} times the error without a derivative"
        digits = "" if result.bits == DOUBLE else f" in {result.bits} bits"
        return (
            f"The last {result.count} of {result.n_iter} iterations{digits}: {words}. As many of "
            f"the tangent equations' own CG: relative error {_short(result.error_implicit)}."
        )

    bits = sorted({DOUBLE, *stored})
    options = {"unit": "bits", "initial": DOUBLE, "format": "{:d}"}
    precisions = [Control("bits", "Precision", bits, **options)] if stored else []
    return Explorer(
        compute,
        [
            Panel(
                draw_errors,
                lambda result: (
                    "Relative error of a column of the Jacobian over the part that is "
                    "differentiated, for the last iterations and for the tangent equations' own "
                    "CG, in logarithmic scale; marked: the last "
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
            *precisions,
        ],
        name="fraction",
        describe=describe,
        title="Differentiate the last part of CG",
    )


# In double precision the digits of these errors hang on rounding, their classes do not.


def _beside_none(ratio):
    """Class of an error of the Jacobian, relative to that without a derivative."""
    if ratio > 100:
        return "more than a hundred times as wrong as no derivative at all"
    return "not far above the error without a derivative, or below it"


def _beside_truth(error):
    """Class of an error of the column, relative to its norm."""
    return f"wrong by {'more' if error > 5 else 'less'} than five times its size"


def _short(value):
    """One significant digit, and no exponent; small numbers hang on rounding."""
    if value < 0.005:
        return "below 0.005"
    return np.format_float_positional(value, precision=1, fractional=False, trim="-")
