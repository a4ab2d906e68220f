r"""The projection f(w) of variable projection, and the Jacobian of what it leaves.

For given maps w the best image solves :math:`A^T A f = A^T b`. The residual
:math:`r(w) = A(w) f(w) - b` then depends on w twice:

.. math::
   \partial_w r = D + A\,\partial_w f, \quad D = (\partial_w A) f, \quad
   A^T A\,\partial_w f = -(\partial_w A)^T r - A^T D .

The rules here differ in what they do about the second term.
"""

from dataclasses import dataclass
from fractions import Fraction

import torch

from ._checks import check_n_iter, check_positive, is_number
from .conjugate_gradient import CGResult, conjugate_gradient, differentiate_cg
from .superresolution import enlarged_frame


@dataclass(frozen=True)
class NoDerivative:
    """Take the image as a constant: ∂f/∂w = 0, the earlier practice that the paper improves on."""


@dataclass(frozen=True)
class Kaufman:
    """Drop the term with (∂A)ᵀr: the Jacobian is D, projected off the range of A.

    Parameters
    ----------
    n_iter : int, optional
        CG iterations for the projection of D; by default as many as for the image.

    References
    ----------
    Kaufman (1975); Golub and Pereyra (2003).
    """

    n_iter: int | None = None

    def __post_init__(self):
        check_n_iter("n_iter", self.n_iter)


@dataclass(frozen=True)
class Implicit:
    """Solve the tangent equations by their own CG, all parameters as one block.

    Parameters
    ----------
    n_iter : int, optional
        CG iterations; by default as many as for the image.

    References
    ----------
    Golub and Pereyra (1973); O'Leary and Rust (2013).
    """

    n_iter: int | None = None

    def __post_init__(self):
        check_n_iter("n_iter", self.n_iter)


@dataclass(frozen=True)
class Unrolled:
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
    Paper, section 4.3.1.
    """

    last: float | None = None
    first: float | None = None

    def __post_init__(self):
        for name, value in (("last", self.last), ("first", self.first)):
            if value is not None and not (is_number(value) and 0 <= value <= 1):
                raise ValueError(f"{name} must be a fraction between 0 and 1; got {value!r}")
        if self.last is not None and self.first is not None:
            raise ValueError(f"give last or first, not both; got {self.last} and {self.first}")

    def counts(self, n_iter):
        """Return how many of `n_iter` iterations come before, in and after differentiation."""
        # Of the decimal number: in floating point 0.07 * 150 is above one half, 0.29 * 750 below.
        if self.first is not None:
            inside = round(Fraction(str(self.first)) * n_iter)
            return 0, inside, n_iter - inside
        inside = n_iter if self.last is None else round(Fraction(str(self.last)) * n_iter)
        return n_iter - inside, inside, 0

    def whole(self, n_iter):
        """Say whether CG runs through: differentiated as a whole, or not at all."""
        return sum(n > 0 for n in self.counts(n_iter)) < 2


NAMES = {
    "none": NoDerivative(),
    "kaufman": Kaufman(),
    "implicit": Implicit(),
    "unrolled": Unrolled(),
}


def as_rule(derivative):
    """Return the rule that a name stands for, or the rule itself."""
    if isinstance(derivative, (NoDerivative, Kaufman, Implicit, Unrolled)):
        return derivative
    if not isinstance(derivative, str) or derivative not in NAMES:
        raise ValueError(
            f"derivative must be one of {list(NAMES)}, or an Implicit, Kaufman or Unrolled; "
            f"got {derivative!r}"
        )
    return NAMES[derivative]


@dataclass(frozen=True)
class Projected:
    """An image and how CG came to it.

    Attributes
    ----------
    image : torch.Tensor
        Shape `domain.m`.
    n_iter : int
        CG iterations that the image took, as the rule splits them.
    spent : int
        CG iterations done in all, those included that only found out how many are needed.
    result : CGResult
        Of the run that ended with the image.
    """

    image: torch.Tensor
    n_iter: int
    spent: int
    result: CGResult


class Projection:
    """The map w ↦ f(w) with one way to compute it, and one rule for its derivative.

    Parameters
    ----------
    problem : SuperResolutionProblem
        Whose image is wanted.
    derivative : str or rule
        "none", "kaufman", "implicit", "unrolled", or `Kaufman`, `Implicit`, `Unrolled`.
    n_iter : int, optional
        CG iterations, exactly. None iterates to `tol`.
    tol : float
        Relative residual of the normal equations, and of the tangent equations.
    image0 : torch.Tensor or "frame 0", optional
        Where CG starts, as `starting_image` takes it. It does not depend on w.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.
    """

    def __init__(self, problem, derivative="implicit", n_iter=None, tol=1e-10, image0=None):
        check_n_iter("n_iter_cg", n_iter)
        check_positive("tol_cg", tol)
        self.problem, self.rule = problem, as_rule(derivative)
        self.n_iter, self.tol = n_iter, tol
        self.image0 = starting_image(problem, image0)

    @property
    def derivative_count(self):
        """CG iterations of the tangent equations, or None: to the tolerance."""
        return getattr(self.rule, "n_iter", None) or self.n_iter

    def project(self, operator, start=None):
        """Return the `Projected` image.

        Parameters
        ----------
        operator : FrameOperator
            From ``problem.operator(w)``.
        start : torch.Tensor, optional
            Where CG starts, if it runs to the tolerance and is not unrolled; else, and without
            it, CG starts at `image0`.
        """
        problem, rule = self.problem, self.rule
        unrolled = isinstance(rule, Unrolled)
        free = self.n_iter is None and not unrolled
        n_iter, spent = self.n_iter, 0
        if self.n_iter is None or not unrolled or rule.whole(self.n_iter):
            begin = start if free and start is not None else self.image0
            result = problem.project(operator, self.n_iter, self.tol, begin)
            n_iter = spent = result.n_iter
            if not unrolled or rule.whole(n_iter):
                return Projected(result.x, n_iter, spent, result)
        # CG restarts where differentiation begins or ends, which changes the last digits.
        one, two = (n for n in rule.counts(n_iter) if n)
        right = operator.adjoint(problem.target)
        begin = conjugate_gradient(operator.normal, right, self.image0, n_iter=one)
        result = conjugate_gradient(operator.normal, right, x0=begin.x, n_iter=two)
        return Projected(result.x, n_iter, spent + begin.n_iter + result.n_iter, result)

    def image_derivative(self, operator, projected):
        """Return ∂f/∂w as the rule has it, shape ``(*m, n_params)``.

        For Kaufman's rule it solves the tangent equations without the term (∂A)ᵀr.
        """
        return self.tangents(operator, projected)[0]

    def tangents(self, operator, projected):
        """Return `image_derivative`, and how many CG iterations it took."""
        problem, rule, image = self.problem, self.rule, projected.image
        if isinstance(rule, NoDerivative):
            return image.new_zeros(*image.shape, problem.n_params), 0
        if isinstance(rule, Unrolled):
            return self._unrolled(operator, projected.n_iter)
        right = -operator.adjoint(operator.derivative(image))
        if isinstance(rule, Implicit):
            right = right - operator.derivative_adjoint(operator(image) - problem.target)
        count = self.derivative_count
        stop = {"n_iter": count} if count else {"tol": self.tol}
        result = conjugate_gradient(operator.normal, right, columns=True, **stop)
        return result.x, result.n_iter

    def jacobian(self, operator, projected, moves):
        """Return ∂_w (A f) of all rows from ∂f/∂w, shape ``(n_rows, n_params)``."""
        return operator.derivative(projected.image) + operator(moves)

    def linearize(self, operator, projected):
        """Return ∂f/∂w, and with it ∂_w (A f) of all rows."""
        moves = self.image_derivative(operator, projected)
        return moves, self.jacobian(operator, projected, moves)

    def _unrolled(self, operator, n_iter):
        before, inside, _ = self.rule.counts(n_iter)
        right, start, spent = operator.adjoint(self.problem.target), self.image0, 0
        if not inside:
            return right.new_zeros(*right.shape, self.problem.n_params), 0
        if before:
            begin = conjugate_gradient(operator.normal, right, start, n_iter=before)
            start, spent = begin.x, begin.n_iter
        right_derivative = operator.derivative_adjoint(self.problem.target)
        _, moves, n_iter = differentiate_cg(
            operator.normal_jvp, right, right_derivative, n_iter=inside, x0=start
        )
        return moves, spent + n_iter


def starting_image(problem, image0):
    """Return the image at which CG starts, or None for a black one.

    Parameters
    ----------
    problem : SuperResolutionProblem
    image0 : torch.Tensor or "frame 0" or None
        An image of shape `domain.m`, or what `enlarged_frame` makes of frame 0.

    Raises
    ------
    ValueError, TypeError
        If `image0` is none of these.
    """
    if image0 is None:
        return None
    if isinstance(image0, str):
        if image0 != "frame 0":
            raise ValueError(f'image0 must be an image or "frame 0"; got {image0!r}')
        return enlarged_frame(problem.frames[0], problem.domain)
    problem.check_image(image0, "image0")
    return image0.detach()


def projection_jacobian(
    problem, w, derivative="implicit", n_iter_cg=None, tol_cg=1e-10, image0=None
):
    r"""Return the Jacobian of :math:`r(w) = A(w) f(w) - b` that `varpro` uses.

    Parameters
    ----------
    problem : SuperResolutionProblem
    w : torch.Tensor
        Shape ``(n_params,)``.
    derivative, n_iter_cg, tol_cg, image0
        As for `varpro`.

    Returns
    -------
    torch.Tensor
        Shape ``(n_rows, n_params)``; the first ``problem.n_data`` rows are those of the data.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.

    References
    ----------
    Paper, equation (8); Golub and Pereyra (1973).
    """
    projection = Projection(problem, derivative, n_iter_cg, tol_cg, image0)
    operator = problem.operator(w)
    return projection.linearize(operator, projection.project(operator))[1]
