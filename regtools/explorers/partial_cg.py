"""The explorer of chapter 7: part of CG, and how wrong its derivative is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..verify import relative_error
from ._colour_bar import colour_bar
from .controls import Control
from .explorer import Explorer, Panel
from .partial_columns import COUNTS, DOUBLE, FRACTIONS, PARAMETER, Columns, differentiated
from .plotting import RULE_STYLES, plot_residual

LOWEST, HIGHEST = 1e-6, 1e4  # error over that without a derivative; an arrow marks what is larger


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
    unrolled : torch.Tensor
        Shape ``domain.m``: one column of ∂f/∂w, from the last `count` iterations.
    errors_unrolled, errors_implicit : numpy.ndarray
        For each of `FRACTIONS`: from the last iterations, and from as many iterations of the
        tangent equations in double precision.
    """

    n_iter: int
    count: int
    bits: int
    fraction: float
    unrolled: torch.Tensor
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


@dataclass(frozen=True, eq=False)
class FractionView:
    """What `fraction_explorer` computes, draws and says of some `Columns`."""

    columns: Columns

    def compute(self, fraction, n_iter, bits=DOUBLE):
        """Return the `Fraction`."""
        columns = self.columns
        unrolled = [columns.last_iterations(each, n_iter, bits) for each in FRACTIONS]
        implicit = [columns.own_cg(each, n_iter) for each in FRACTIONS]
        errors = [np.array([columns.error(each) for each in row]) for row in (unrolled, implicit)]
        at, count = FRACTIONS.index(fraction), differentiated(fraction, n_iter)
        return Fraction(n_iter, count, bits, fraction, unrolled[at], *errors)

    def draw_errors(self, result, ax):
        """Draw the errors over the fraction, relative to no derivative, and mark this one."""
        percents, none = 100 * np.array(FRACTIONS), result.errors_unrolled[0]
        for errors, rule, label in [
            (result.errors_unrolled, "unrolled", "last iterations"),
            (result.errors_implicit, "implicit", "own CG"),
        ]:
            style = RULE_STYLES[rule] | {"label": label}
            ratios = errors / none
            ax.semilogy(percents, np.minimum(ratios, HIGHEST), marker=".", **style)
            options = {"color": style["color"], "clip_on": False, "ls": ""}
            above = ratios > HIGHEST
            ax.semilogy(percents[above], np.full(above.sum(), HIGHEST), marker="^", **options)
            at = FRACTIONS.index(result.fraction)
            place, marker = min(ratios[at], HIGHEST), "^" if above[at] else "o"
            ax.semilogy(percents[at], place, marker=marker, ms=8, **options)
        ax.axhline(1, color="0.6", lw=0.8, ls=":", zorder=0)
        ax.text(100, 1.6, "no derivative", color="0.4", ha="right", va="bottom", fontsize=7)
        ax.set(xlim=(0, 100), ylim=(LOWEST, HIGHEST), yticks=[1e-6, 1e-4, 1e-2, 1, 1e2, 1e4])
        ax.minorticks_off()
        ax.set(xlabel="part differentiated [%]", title="error / error without")
        ax.legend(loc="lower left", fontsize=7)

    def draw_true(self, result, ax):
        """Draw the true column."""
        self._draw(self.columns.true, ax, "true derivative")

    def draw_last(self, result, ax):
        """Draw the column from the last iterations."""
        self._draw(result.unrolled, ax, f"last {result.count} iterations")

    def _draw(self, column, ax, title):
        """Scaled as the true column; where it is much larger, by itself."""
        largest, own = (float(each.abs().max()) for each in (self.columns.true, column))
        largest = largest if own < 2 * largest else own
        picture = plot_residual(column, self.columns.problem.domain, ax, title, largest=largest)
        colour_bar(picture, ax)

    def _distance(self, column):
        return relative_error(column, self.columns.true)

    def alt_errors(self, result):
        """Return the text alternative of the errors."""
        return (
            "Error of a column of the Jacobian, relative to no derivative, over the part that is "
            "differentiated, for the last iterations and for the tangent equations' own CG, in "
            "logarithmic scale; "
            f"marked: the last {result.count} of {result.n_iter} iterations."
        )

    def alt_last(self, result):
        """Return the text alternative of the column from the last iterations."""
        return _alt("last iterations", _beside_truth(self._distance(result.unrolled)))

    def describe(self, result):
        """Say how wrong the last iterations are beside no derivative and beside their own CG."""
        none, bits = result.errors_unrolled[0], f"in {result.bits} bits"
        if not result.count:
            return (
                f"None of the {result.n_iter} iterations is differentiated {bits}: "
                "the error is that of no derivative."
            )
        ratio = result.error / none
        if result.fraction == 1 and ratio < 1 / 4:
            words = "less than a quarter of the error without a derivative"
        elif result.bits == DOUBLE or ratio > 100:
            words = _beside_none(ratio)
        else:
            words = f"{_short(ratio)} times the error without a derivative"
        return (
            f"The last {result.count} of {result.n_iter} iterations {bits}: {words}. As many of "
            f"the tangent equations' own CG: {_short(result.error_implicit / none)} times that "
            "error."
        )

    def explorer(self):
        """Return the controls and panels."""
        options: dict[str, Any] = {"unit": "of the iterations", "format": "{:.0%}"}
        bits = sorted({DOUBLE, *self.columns.stored})
        precision: dict[str, Any] = {"unit": "bits", "format": "{:d}", "buttons": True}
        size = (2.1, 2.0)
        return Explorer(
            self.compute,
            [
                Panel(self.draw_errors, self.alt_errors, size=(2.8, 2.2)),
                Panel(self.draw_true, _alt("true", "what is wanted"), size, lossless=False),
                Panel(self.draw_last, self.alt_last, size, lossless=False),
            ],
            [
                Control("fraction", "Part differentiated", FRACTIONS, **options),
                Control("n_iter", "CG iterations", COUNTS, every=2, format="{:d}"),
                *([Control("bits", "Precision", bits, **precision)] if self.columns.stored else []),
            ],
            name="fraction",
            describe=self.describe,
            title="Differentiate the last part of CG",
        )


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
        Two sliders, over `FRACTIONS` and `COUNTS`, and a row of buttons if there are several
        precisions. A count is computed once, when first shown.

    Raises
    ------
    ValueError
        If there is no such parameter or `columns` has another shape, and as `Projection`.
    """
    return FractionView(Columns(problem, w, parameter, columns)).explorer()


def _alt(title, words):
    return f"{title}, one column of the image's derivative: {words}."


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
