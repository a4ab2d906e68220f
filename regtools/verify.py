"""Adjoints by reverse mode, the tests that no derivative and no adjoint may skip, and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.func import vjp

from .images import ShortRepr


def adjoint(
    operator: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    r"""Return the adjoint of a linear operator that is given as a function.

    A linear map is its own derivative, so its reverse-mode product is
    :math:`A^\top v`, without a matrix.

    Parameters
    ----------
    operator : callable
        ``operator(u) -> v``, linear and written in torch.
    like : torch.Tensor
        Any input of the right shape and dtype.

    Returns
    -------
    callable
        ``v -> A^T v``.

    References
    ----------
    Chapter 2.
    """
    pull_back = vjp(operator, like)[1]
    return lambda v: pull_back(v)[0]


def dot_product_test(
    operator: Callable[[torch.Tensor], torch.Tensor],
    adjoint: Callable[[torch.Tensor], torch.Tensor],
    u: torch.Tensor,
    v: torch.Tensor,
) -> float:
    """Return the relative gap between ⟨A u, v⟩ and ⟨u, Aᵀ v⟩: rounding if they are adjoint.

    Parameters
    ----------
    operator, adjoint : callable
        ``u -> A u`` and ``v -> A^T v``.
    u, v : torch.Tensor
        Test vectors with the shapes of input and output; random ones catch every error.

    References
    ----------
    Chapter 2.
    """
    forward, backward = operator(u), adjoint(v)
    gap = (forward * v).sum() - (u * backward).sum()
    return float(gap.abs() / (forward.norm() * v.norm()))


def relative_error(value: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the norm of the difference over that of the truth.

    Parameters
    ----------
    value, truth : torch.Tensor
        Of one shape; the truth not zero.

    References
    ----------
    Chapter 5.
    """
    return float((value - truth).norm() / truth.norm())


@dataclass(frozen=True, repr=False)
class TaylorTest(ShortRepr):
    """Result of `taylor_test`: steps, remainders (both arrays) and the observed order."""

    steps: np.ndarray
    remainders: np.ndarray
    order: float

    def __str__(self):
        rows = [f"{t:9.2e}  {e:9.2e}" for t, e in zip(self.steps, self.remainders, strict=True)]
        return "\n".join(["     step  remainder", *rows, f"observed order {self.order:.2f}"])


def taylor_test(
    function: Callable[[torch.Tensor], torch.Tensor],
    w: torch.Tensor,
    direction: torch.Tensor,
    derivatives: Sequence[torch.Tensor],
    steps: Sequence[float] | np.ndarray | None = None,
) -> TaylorTest:
    r"""Walk away from `w` and see what the derivatives leave unexplained.

    The remainder :math:`\lVert f(w + t v) - \sum_k t^k d_k / k! \rVert` shrinks like
    :math:`t^{K+1}` if all K derivatives are right, and like a lower power if one is wrong.

    Parameters
    ----------
    function : callable
        ``f(w)``, a number or a vector.
    w, direction : torch.Tensor
        Point and direction v, the same shape.
    derivatives : sequence of torch.Tensor
        Directional derivatives d_1, d_2, … along v, each with the shape of ``f(w)``.
    steps : sequence of float, optional
        Decreasing steps t; 2⁰ … 2⁻¹⁹ by default.

    Returns
    -------
    TaylorTest
        The observed order is the median slope over the steps whose remainder stands well
        above rounding.

    References
    ----------
    Chapter 2.
    """
    sizes = 2.0 ** -np.arange(20.0) if steps is None else np.asarray(steps, dtype=float)
    start = function(w)
    gaps, rounding = [], 0.0
    for t in sizes:
        there = function(w + t * direction)
        expected, factor = start, 1.0
        for k, derivative in enumerate(derivatives, start=1):
            factor *= t / k
            expected = expected + factor * derivative
        gaps.append(float((there - expected).norm()))
        rounding = max(rounding, 1e-15 * float(there.norm()))
    remainders = np.array(gaps)
    clear = remainders > 1e3 * rounding
    pairs = clear[:-1] & clear[1:]
    if not pairs.any():
        return TaylorTest(sizes, remainders, float("inf"))  # exact up to rounding
    slopes = np.log(remainders[:-1][pairs] / remainders[1:][pairs])
    slopes /= np.log(sizes[:-1][pairs] / sizes[1:][pairs])
    return TaylorTest(sizes, remainders, float(np.median(slopes[-4:])))
