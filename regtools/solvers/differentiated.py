"""Conjugate gradients that carry the derivatives of their iterates along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..images import checks
from .cg import ADVICE, LAG, dot, floor, unit
from .status import SolverResult, Status, message

LATE = 1e-3
"""What may be left of the residual of a derivative when the iterate has arrived."""


@dataclass(frozen=True, kw_only=True, repr=False)
class DifferentiatedCG(SolverResult):
    """What `differentiate_cg` returns.

    Attributes
    ----------
    x : torch.Tensor
        The last iterate, shape of `b`.
    dx : torch.Tensor
        Its derivatives, with one axis more.
    success, status, message, n_iter
        See `SolverResult`; there is no history.
    """

    x: torch.Tensor
    dx: torch.Tensor

    def __post_init__(self):
        """Keep both as they are: parts of one block that nobody else has."""


def differentiate_cg(
    jvp: Callable[[torch.Tensor], torch.Tensor],
    b: torch.Tensor,
    db: torch.Tensor,
    *,
    n_iter: int,
    x0: torch.Tensor | None = None,
    skip: int = 0,
    frozen: bool = False,
) -> DifferentiatedCG:
    r"""Run CG and carry its exact derivatives along, all directions as one block.

    Every recurrence is differentiated by hand, so that memory depends neither on the number of
    iterations nor on a record of them. A tangent costs one more column in the product with A.

    Parameters
    ----------
    jvp : callable
        Takes a block ``[x, dx_1, …, dx_p]`` along its last axis and returns
        ``[A x, d_1(A x), …]`` with :math:`d_k (A x) = (d_k A)\,x + A\,dx_k`.
    b : torch.Tensor
        Right-hand side.
    db : torch.Tensor
        Its derivatives, with one axis more, of length p.
    n_iter : int
        Iterations, exactly; fewer if the residual vanishes.
    x0 : torch.Tensor, optional
        Start, a constant; zero by default.
    skip : int
        For study: the first `skip` iterations are taken as constants and the recurrence goes on
        from there. (To restart instead, as published, hand over their result as `x0`.)
    frozen : bool
        For study: take the step sizes as constants.

    Returns
    -------
    DifferentiatedCG
        Its status is "breakdown" where the iterate arrives before its derivative: with b = 0, a
        start at the solution, or b an eigenvector.

    Raises
    ------
    ValueError, TypeError
        If `b` is not a float32 or float64 tensor, the shapes do not fit, or a count is none.

    References
    ----------
    Gratton, Titley-Peloquin, Toint and Tshimanga (2014); Christianson (2018). Chapters 6 and 7.
    """
    checks.check_callable("jvp", jvp)
    checks.check_floating("b", b)
    checks.check_like("db", db, b)
    checks.check_shape("db, but for its last axis,", db, (*b.shape, *db.shape[-1:]))
    checks.check_finite("b", b, "value")
    checks.check_finite("db", db, "value")
    n_iter, skip = (checks.whole(*one, least=0) for one in [("n_iter", n_iter), ("skip", skip)])
    frozen, axes = checks.check_flag("frozen", frozen), tuple(range(b.ndim))

    def product(block):
        found = jvp(block)
        checks.check_like("what jvp returns", found, block)
        checks.check_shape("what jvp returns", found, block.shape)
        return found

    X = torch.zeros_like(torch.cat([b[..., None], db], dim=-1))
    if x0 is not None:
        checks.check_like("x0", x0, b)
        checks.check_shape("x0", x0, b.shape)
        checks.check_finite("x0", x0, "value")
        X[..., 0] = x0
    R = torch.cat([b[..., None], db], dim=-1)
    R = R - product(X) if x0 is not None else R
    size = unit(b, R[..., 0], axes)  # as in `conjugate_gradient`
    R, X, first = R / size, X / size, R[..., 1:].flatten(0, -2).norm(dim=0) / size
    if skip:
        R[..., 1:] = 0
    rr = _dual_dot(R, R, axes)
    limit = float(dot(b / size, b / size, axes)) * floor(b.dtype) ** 2
    P, k = R.clone(), 0
    while k < n_iter and rr[0] > limit:
        AP = product(P)
        if k < skip:
            AP[..., 1:] = 0
        alpha = _dual_ratio(rr, _dual_dot(P, AP, axes))
        alpha = _constant(alpha) if frozen or k < skip else alpha
        X = X + _dual_scale(alpha, P)
        R = R - _dual_scale(alpha, AP)
        rr_new = _dual_dot(R, R, axes)
        beta = _dual_ratio(rr_new, rr)
        beta = _constant(beta) if frozen or k < skip else beta
        P, rr, k = R + _dual_scale(beta, P), rr_new, k + 1
    status, advice = Status.DONE if k == n_iter else Status.CONVERGED, ""
    left = R[..., 1:].flatten(0, -2).norm(dim=0)
    if not bool(torch.isfinite(X).all()):
        status = Status.BREAKDOWN
    elif k < n_iter and not (skip or frozen) and bool((left > LATE * first).any()):
        status, advice = Status.BREAKDOWN, LAG.format(k)
    X = X * size
    test = f"|residual| = {float(size * rr[0].clamp(min=0).sqrt()):.3e}"
    return DifferentiatedCG(
        success=status is not Status.BREAKDOWN,
        status=status,
        message=message(status, k, test, advice or ADVICE[status]),
        n_iter=k,
        x=X[..., 0],
        dx=X[..., 1:],
    )


# A dual number is a value followed by its derivatives, along the last axis.


def _dual_dot(u, v, axes):
    product = (u[..., :1] * v).sum(axes)
    other = product if u is v else (v[..., :1] * u).sum(axes)
    return torch.cat([product[:1], product[1:] + other[1:]])


def _dual_ratio(a, b):
    value = a[:1] / b[:1]
    return torch.cat([value, (a[1:] - value * b[1:]) / b[:1]])


def _dual_scale(number, u):
    scaled = number[0] * u
    scaled[..., 1:] += number[1:] * u[..., :1]
    return scaled


def _constant(number):
    return torch.cat([number[:1], torch.zeros_like(number[1:])])
