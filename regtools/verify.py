"""Adjoints by reverse mode, the tests that no derivative and no adjoint may skip, and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.func import vjp

from .images import ShortRepr, checks


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

    Raises
    ------
    TypeError, ValueError
        If `like` is not a float32 or float64 tensor, or `operator` not a function; when called, if
        `v` is not like ``operator(like)``.

    References
    ----------
    Chapter 2.
    """
    checks.check_callable("operator", operator)
    checks.check_floating("like", like)

    def checked(u):
        found = operator(u)
        checks.check_floating("operator(like)", found)
        return found

    rows, pull_back = vjp(checked, like)[:2]

    def apply(v):
        checks.check_like("v", v, rows)
        checks.check_shape("v, as operator(like),", v, rows.shape)
        return pull_back(v)[0]

    return apply


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

    Raises
    ------
    ValueError
        If `v` has not the shape of ``operator(u)``, nor ``adjoint(v)`` that of `u`, or one of
        ``operator(u)`` and `v` is zero.

    References
    ----------
    Chapter 2.
    """
    for name, function in (("operator", operator), ("adjoint", adjoint)):
        checks.check_callable(name, function)
    for name, vector in (("u", u), ("v", v)):
        checks.check_floating(name, vector)
        checks.check_finite(name, vector, "value")
    forward, backward = operator(u), adjoint(v)
    for name, vector in (("operator(u)", forward), ("adjoint(v)", backward)):
        checks.check_floating(name, vector)
        checks.check_finite(name, vector, "value")
    checks.check_shape("v, as operator(u),", v, forward.shape)
    checks.check_shape("adjoint(v), as u,", backward, u.shape)
    size = forward.norm() * v.norm()
    if not 0 < size < np.inf:
        raise ValueError("u and v must tell something; operator(u) or v is zero, or not finite")
    gap = (forward * v).sum() - (u * backward).sum()
    return float(gap.abs() / size)


def relative_error(value: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the norm of the difference over that of the truth.

    Parameters
    ----------
    value, truth : torch.Tensor
        Of one shape; the truth finite and not zero. Where `value` is not finite, nor is the error.

    Raises
    ------
    ValueError
        If the shapes differ, or `truth` is zero or not finite.

    References
    ----------
    Chapter 5.
    """
    checks.check_floating("truth", truth)
    checks.check_floating("value", value)
    checks.check_shape("value, as truth,", value, truth.shape)
    size = truth.norm()
    if not (torch.isfinite(size) and size > 0):
        raise ValueError(f"truth must be finite and not zero; its norm is {float(size)}")
    return float((value - truth).norm() / size)


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
        Decreasing steps t, above 0; 2⁰ … 2⁻¹⁹ by default.

    Returns
    -------
    TaylorTest
        The observed order is the median slope over the steps whose remainder stands well
        above the rounding of the dtype of `w`; infinite if none does, as where `function` is the
        polynomial that the derivatives say.

    Raises
    ------
    ValueError, TypeError
        If `w` is not a float32 or float64 tensor, `direction` has another shape than `w`, a
        derivative another than ``f(w)``, or `steps` do not decrease or are not above 0.

    References
    ----------
    Chapter 2.
    """
    checks.check_callable("function", function)
    checks.check_floating("w", w)
    checks.check_like("direction", direction, w)
    checks.check_shape("direction", direction, w.shape)
    for name, vector in (("w", w), ("direction", direction)):
        checks.check_finite(name, vector, "value")
    if not direction.any():
        raise ValueError("direction must not be zero: nothing would change along it")
    try:
        sizes = 2.0 ** -np.arange(20.0) if steps is None else np.array(steps, dtype=float)
    except ValueError as error:
        raise TypeError(f"steps must be numbers; got {steps!r}") from error
    falling = sizes.ndim == 1 and len(sizes) > 1 and bool((np.diff(sizes) < 0).all())
    if not (falling and np.isfinite(sizes).all() and sizes[-1] > 0):
        raise ValueError(f"steps must be two or more, decrease and be above 0; got {steps!r}")
    if not isinstance(derivatives, Sequence) or isinstance(derivatives, str):
        raise TypeError(f"derivatives must be a list of tensors; got {checks.kind(derivatives)}")
    start = function(w)
    checks.check_floating("function(w)", start)
    checks.check_finite("function(w)", start, "value")
    for k, derivative in enumerate(derivatives):
        checks.check_like(f"derivatives[{k}]", derivative, start)
        checks.check_shape(f"derivatives[{k}], as f(w),", derivative, start.shape)
        checks.check_finite(f"derivatives[{k}]", derivative, "value")
    # Single precision has 29 bits less, and cannot give away as many of them.
    single = torch.float32 in (w.dtype, start.dtype)
    digits, clearly = (1e-15 * 2.0**29, 30) if single else (1e-15, 1e3)
    gaps, rounding = [], 0.0
    for t in sizes:
        there = function(w + t * direction)
        expected, factor = start, 1.0
        for k, derivative in enumerate(derivatives, start=1):
            factor *= t / k
            expected = expected + factor * derivative
        gaps.append(float((there - expected).norm()))
        rounding = max(rounding, digits * float(there.norm()))
    remainders = np.array(gaps)
    if not np.isfinite(remainders).any():
        raise ValueError("steps must lead to where function is finite; at each it is not")
    clear = remainders > clearly * rounding
    pairs = clear[:-1] & clear[1:]
    if not pairs.any():
        return TaylorTest(sizes, remainders, float("inf"))  # exact up to rounding
    slopes = np.log(remainders[:-1][pairs] / remainders[1:][pairs])
    slopes /= np.log(sizes[:-1][pairs] / sizes[1:][pairs])
    return TaylorTest(sizes, remainders, float(np.median(slopes[-4:])))
