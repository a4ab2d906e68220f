r"""Rules for the derivative of the projection f(w), each a class that does all that is its own.

With :math:`A^T A f = A^T \mathsf d` the residual :math:`r(w) = A(w) f(w) - \mathsf d` depends on
w twice:

.. math::
   \partial_w r = D + A\,\partial_w f, \quad D = (\partial_w A) f, \quad
   A^T A\,\partial_w f = -(\partial_w A)^T r - A^T D .

The rules differ in what they do about the second term. To add one, subclass `Rule` in a file of
your own and hand an instance to `varpro`. Chapters 6 and 8 compare those that are here.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import torch

from ..images import ShortRepr, checks
from ..solvers import CGResult, conjugate_gradient, differentiate_cg
from .operator import FrameOperator


@dataclass(frozen=True, repr=False)
class Projected(ShortRepr):
    """An image and how CG came to it.

    Attributes
    ----------
    image : torch.Tensor
        Shape `canvas.m`.
    n_iter : int
        CG iterations that the image took, as the rule splits them; from a warm start, those since.
    spent : int
        CG iterations done in all, those included that only found out how many are needed.
    result : CGResult
        Of the run that ended with the image.
    """

    image: torch.Tensor
    n_iter: int
    spent: int
    result: CGResult


class Setting(Protocol):
    """What a rule is told, and may ask for: `Projection` is one.

    Attributes
    ----------
    problem : SuperResolutionProblem
    n_iter : int or None
        CG iterations of the image; None runs to `tol`.
    tol : float
        Relative residual of the normal equations.
    image0 : torch.Tensor or None
        Where CG starts; None is a black image.
    """

    problem: Any
    n_iter: int | None
    tol: float
    image0: torch.Tensor | None

    def run_cg(self, operator: FrameOperator, start: torch.Tensor | None) -> CGResult:
        """Solve for the image from `start`."""
        ...

    def solve(
        self, operator: FrameOperator, right: torch.Tensor, *, n_iter: int | None = None
    ) -> tuple[torch.Tensor, int]:
        """Solve AᵀA X = `right` column by column; return X and the CG iterations done.

        CG ends as the rule's `count` says, or after `n_iter` iterations.
        """
        ...


class Rule(abc.ABC):
    """One way to differentiate the projection.

    A subclass needs a `label` and `tangents`; the rest has defaults. Hand an instance to `varpro`,
    and compare its `projection_jacobian` with that of a rule you trust.

    The methods get the `Setting` of the projection and the `FrameOperator` at w. With them D is
    ``operator.derivative(image)``, Aᵀ ``operator.adjoint(rows)``, and (∂A)ᵀ r
    ``operator.derivative_adjoint(rows)``; ``setting.solve(operator, right)`` solves the tangent
    equations AᵀA ∂f = −(∂A)ᵀ r − AᵀD.

    Attributes
    ----------
    label : str
        For legends.
    warm_start : bool
        Whether CG may start at the image that a step predicts, where it runs to a tolerance.
    one_solve : bool
        Whether the steps are those of Kaufman's rule. Then `varpro` with stacked rows and 32
        parameters or more gets a step from one solve of the size of the image: it never asks for
        `tangents`, and `count` limits that solve. A subclass with `tangents` of its own has False
        unless it says otherwise.

    Examples
    --------
    Kaufman's rule with half of the iterations of the image:

    >>> class Half(Kaufman):
    ...     label = "Kaufman, half"
    ...
    ...     def count(self, n_iter):
    ...         return None if n_iter is None else max(1, n_iter // 2)

    References
    ----------
    Chapter 6.
    """

    label = ""
    warm_start = True
    one_solve = False

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "tangents" in vars(cls) and "one_solve" not in vars(cls):
            cls.one_solve = False

    def __repr__(self):
        return f"{type(self).__name__}()"

    def count(self, n_iter: int | None) -> int | None:
        """Return the CG iterations of the tangent equations, or None: to the tolerance.

        `n_iter` is that of the image; without a number given to `varpro` it is None, as the image
        runs to a tolerance.
        """
        return n_iter

    def project(
        self, setting: Setting, operator: FrameOperator, start: torch.Tensor | None = None
    ) -> Projected:
        """Return the `Projected` image; `start` is the image that a step predicts."""
        free = setting.n_iter is None and self.warm_start and start is not None
        result = setting.run_cg(operator, start if free else setting.image0)
        return Projected(result.x, result.n_iter, result.n_iter, result)

    @abc.abstractmethod
    def tangents(
        self, setting: Setting, operator: FrameOperator, projected: Projected
    ) -> tuple[torch.Tensor, int]:
        """Return ∂f/∂w, shape ``(*m, n_params)``, and how many CG iterations it took."""


@dataclass(frozen=True)
class NoDerivative(Rule):
    """Take the image as a constant: ∂f/∂w = 0, the earlier practice that the paper improves on.

    References
    ----------
    Chapter 6.
    """

    label = "none"

    def tangents(
        self, setting: Setting, operator: FrameOperator, projected: Projected
    ) -> tuple[torch.Tensor, int]:
        """Return zeros."""
        image = projected.image
        return image.new_zeros(*image.shape, setting.problem.n_params), 0


@dataclass(frozen=True)
class _OwnCG(Rule):
    """A rule that solves a linear system of its own by CG, all parameters as one block."""

    n_iter: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "n_iter", checks.count("n_iter", self.n_iter))

    def count(self, n_iter):
        """Return the rule's own number of iterations, else that of the image."""
        return self.n_iter or n_iter


@dataclass(frozen=True)
class Kaufman(_OwnCG):
    """Drop the term with (∂A)ᵀr: the Jacobian is D, projected off the range of A.

    Parameters
    ----------
    n_iter : int, optional
        CG iterations for the projection of D; by default as many as for the image.

    References
    ----------
    Kaufman (1975); Golub and Pereyra (2003). Chapters 6 and 8.
    """

    label = "Kaufman"
    one_solve = True

    def tangents(
        self, setting: Setting, operator: FrameOperator, projected: Projected
    ) -> tuple[torch.Tensor, int]:
        """Return the ∂f/∂w that its Jacobian belongs to."""
        right = -operator.adjoint(operator.derivative(projected.image))
        return setting.solve(operator, right)


@dataclass(frozen=True)
class Implicit(_OwnCG):
    """Solve the tangent equations by their own CG, all parameters as one block.

    Parameters
    ----------
    n_iter : int, optional
        CG iterations; by default as many as for the image.

    References
    ----------
    Golub and Pereyra (1973); O'Leary and Rust (2013). Chapters 6 to 8.
    """

    label = "implicit"

    def tangents(
        self, setting: Setting, operator: FrameOperator, projected: Projected
    ) -> tuple[torch.Tensor, int]:
        """Return ∂f/∂w as exactly as its CG iterations give it."""
        image = projected.image
        right = -operator.adjoint(operator.derivative(image))
        right = right - operator.derivative_adjoint(operator(image) - setting.problem.target)
        return setting.solve(operator, right)


@dataclass(frozen=True)
class Unrolled(Rule):
    """Differentiate the CG iterations themselves: all, or a part of them.

    The count is rounded to the nearest whole number, halves to the even one. CG restarts where
    differentiation begins or ends, as in the published code.

    Parameters
    ----------
    last, first : float, optional
        Fraction between 0 and 1 of the iterations, counted from the end or from the beginning; at
        most one of the two. Neither means all. With `first`, what the remaining iterations add
        counts as constant.

    References
    ----------
    Paper, section 4.3.1. Chapters 7 and 8.
    """

    warm_start = False

    last: float | None = None
    first: float | None = None

    def __post_init__(self):
        for name, value in (("last", self.last), ("first", self.first)):
            if value is not None:
                words = "a fraction between 0 and 1"
                part = checks.number(name, value, words, lambda part: 0 <= part <= 1)
                object.__setattr__(self, name, part)
        if self.last is not None and self.first is not None:
            raise ValueError(f"give last or first, not both; got {self.last} and {self.first}")

    @property
    def label(self):
        """Which iterations are differentiated."""
        if self.last is None and self.first is None:
            return "all CG iterations"
        return f"first {self.first:.0%}" if self.last is None else f"last {self.last:.0%}"

    def counts(self, n_iter: int) -> tuple[int, int, int]:
        """Return how many of `n_iter` iterations come before, in and after differentiation."""
        n_iter = checks.whole("n_iter", n_iter, least=0)
        # Of the decimal number: in floating point 0.07 * 150 is above one half, 0.29 * 750 below.
        if self.first is not None:
            inside = round(Fraction(str(self.first)) * n_iter)
            return 0, inside, n_iter - inside
        inside = n_iter if self.last is None else round(Fraction(str(self.last)) * n_iter)
        return n_iter - inside, inside, 0

    def whole(self, n_iter: int) -> bool:
        """Say whether CG runs through: differentiated as a whole, or not at all."""
        return sum(n > 0 for n in self.counts(n_iter)) < 2

    def project(
        self, setting: Setting, operator: FrameOperator, start: torch.Tensor | None = None
    ) -> Projected:
        """Return the image; CG restarts where differentiation begins or ends."""
        n_iter, spent = setting.n_iter, 0
        if n_iter is None or self.whole(n_iter):
            whole = super().project(setting, operator)
            n_iter, spent = whole.n_iter, whole.spent
            if self.whole(n_iter):
                return whole
        # A restart changes the last digits.
        one, two = (n for n in self.counts(n_iter) if n)
        right = operator.adjoint(setting.problem.target)
        begin = conjugate_gradient(operator.normal, right, setting.image0, n_iter=one)
        result = conjugate_gradient(operator.normal, right, x0=begin.x, n_iter=two)
        return Projected(result.x, n_iter, spent + begin.n_iter + result.n_iter, result)

    def tangents(
        self, setting: Setting, operator: FrameOperator, projected: Projected
    ) -> tuple[torch.Tensor, int]:
        """Return the derivative of those iterations."""
        target, n_params = setting.problem.target, setting.problem.n_params
        before, inside, _ = self.counts(projected.n_iter)
        right, start, spent = operator.adjoint(target), setting.image0, 0
        if not inside:
            return right.new_zeros(*right.shape, n_params), 0
        if before:
            begin = conjugate_gradient(operator.normal, right, start, n_iter=before)
            start, spent = begin.x, begin.n_iter
        slopes = operator.derivative_adjoint(target)
        found = differentiate_cg(operator.normal_jvp, right, slopes, n_iter=inside, x0=start)
        return found.dx, spent + found.n_iter


RULES = {
    "none": NoDerivative(),
    "kaufman": Kaufman(),
    "implicit": Implicit(),
    "unrolled": Unrolled(),
}
"""The rules that have a name."""


def as_rule(derivative: str | Rule) -> Rule:
    """Return the rule that a name stands for, or the rule itself."""
    if isinstance(derivative, Rule):
        return derivative
    if not isinstance(derivative, str) or derivative not in RULES:
        hint = ", a class: give an instance" if isinstance(derivative, type) else ""
        raise ValueError(
            f"derivative must be one of {list(RULES)}, or an Implicit, Kaufman, Unrolled or other "
            f"Rule; got {derivative!r}{hint}"
        )
    return RULES[derivative]
