r"""Conjugate gradients for :math:`A x = b`, and the rules for differentiating them.

With A symmetric positive definite, iterate k minimises the error in the A-norm over the Krylov
space :math:`x_0 + \mathrm{span}\{r_0, A r_0, \dots, A^{k-1} r_0\}`. The step sizes depend on the
data, so :math:`x_k` is *not* linear in b, although :math:`A^{-1} b` is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..images import checks, tracing
from .status import SolverResult, Status, message

ADVICE = {
    Status.CONVERGED: "The residual is below its tolerance.",
    Status.DONE: "As many as were asked for.",
    Status.MAX_ITERATIONS: "The residual is still above its tolerance; raise max_iter or tol.",
    Status.BREAKDOWN: (
        "The matrix is not positive definite, or not finite, along a search direction; the last "
        "good iterate is returned. Check A, and that it is symmetric."
    ),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class CGResult(SolverResult):
    """What `conjugate_gradient` returns.

    Attributes
    ----------
    x : torch.Tensor
        The last iterate, shape of `b`.
    residual_norm, tolerance : float
        Both sides of the stopping test ‖b − A x‖ ≤ tol ‖b‖, the residual as the recurrence has
        it; of the column that is worst, if there are several.
    history : tuple of float
        That residual norm at the start and after each iteration.
    success : bool
        Whether the test was met, or as many iterations were done as were asked for.
    status, message, n_iter
        See `SolverResult`.
    """

    x: torch.Tensor
    residual_norm: float
    tolerance: float


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


def conjugate_gradient(
    A: torch.Tensor | Callable[[torch.Tensor], torch.Tensor],
    b: torch.Tensor,
    x0: torch.Tensor | None = None,
    *,
    n_iter: int | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    columns: bool = False,
) -> CGResult:
    r"""Solve :math:`A x = b` with A symmetric positive definite.

    Works under the transforms of `torch.func`: the loop is differentiated as it runs.

    Parameters
    ----------
    A : callable or torch.Tensor
        ``A(x)`` with the shape of `x`, or a square matrix.
    b : torch.Tensor
        Any shape: the whole tensor is one vector, unless `columns`.
    x0 : torch.Tensor, optional
        Start, shape of `b`; zero by default.
    n_iter : int, optional
        Iterations, exactly (fewer if nothing is left to do), which counts as success.
    tol : float, optional
        Stop when ‖b − A x‖ ≤ tol ‖b‖; 1e-10 if neither it nor `n_iter` is given.
    max_iter : int, optional
        Most iterations where `tol` decides, 10 per unknown by default.
    columns : bool
        Whether the last axis of `b` numbers independent systems with one A. They advance
        together, each with its own step sizes.

    Returns
    -------
    CGResult

    Raises
    ------
    ValueError, TypeError
        If `b` is not a finite floating-point tensor, `x0` or the matrix does not fit, A changes
        the shape, a count is below 1, `tol` is negative, or `n_iter` is given with one of the
        other two.

    References
    ----------
    Hestenes and Stiefel (1952); Nocedal and Wright, *Numerical Optimization* (2006), algorithm
    5.2. Chapter 7.
    """
    apply, limit_tol, most, exactly = _check(A, b, x0, n_iter, tol, max_iter, columns)
    axes = tuple(range(b.ndim - columns))
    unknowns = b.numel() // b.shape[-1] if columns else b.numel()
    most = most or 10 * unknowns
    x = torch.zeros_like(b) if x0 is None else x0
    r = b if x0 is None else b - apply(x0)
    rr, bb = _dot(r, r, axes), _dot(b, b, axes)
    # Relative to b, or to the start where b is zero; below the floor rounding leaves nothing to do.
    limit = torch.where(bb > 0, bb, rr) * max(limit_tol, _floor(b.dtype)) ** 2
    p, k, squares = r, 0, [tracing.values(rr)]
    active, broken = rr > limit, torch.zeros_like(rr, dtype=torch.bool)
    while k < most and _any(active):
        Ap = apply(p)
        pAp = _dot(p, Ap, axes)
        good = active & (pAp > 0) & torch.isfinite(pAp)
        broken, active = broken | (active & ~good), good
        if not _any(active):
            break
        # A column that is done keeps its x: its step is zero, and no division by zero arises.
        alpha = torch.where(active, rr, 0) / torch.where(active, pAp, 1)
        x, r = x + alpha * p, r - alpha * Ap
        rr_new = _dot(r, r, axes)
        beta = torch.where(active, rr_new, 0) / torch.where(active, rr, 1)
        p, rr, k = r + beta * p, rr_new, k + 1
        squares.append(tracing.values(rr))
        active = active & (rr > limit)
    broken = broken | ~torch.isfinite(rr + limit)  # a start that is not finite, an overflow
    return _result(x, squares, limit, k, active, broken, exactly)


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

    Raises
    ------
    ValueError, TypeError
        If `b` is not a float32 or float64 tensor, the shapes do not fit, or a count is none.

    References
    ----------
    Gratton, Titley-Peloquin, Toint and Tshimanga (2014); Christianson (2018). Chapters 6 and 7.
    """
    checks.check_floating("b", b)
    checks.check_shape("db, but for its last axis,", db[..., 0], b.shape)
    n_iter, skip = (checks.whole(*one, least=0) for one in [("n_iter", n_iter), ("skip", skip)])
    axes = tuple(range(b.ndim))
    X = torch.zeros_like(torch.cat([b[..., None], db], dim=-1))
    if x0 is not None:
        checks.check_shape("x0", x0, b.shape)
        X[..., 0] = x0
    R = torch.cat([b[..., None], db], dim=-1)
    R = R - jvp(X) if x0 is not None else R
    if skip:
        R[..., 1:] = 0
    rr = _dual_dot(R, R, axes)
    limit = float(_dot(b, b, axes)) * _floor(b.dtype) ** 2
    P, k = R.clone(), 0
    while k < n_iter and rr[0] > limit:
        AP = jvp(P)
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
    if not bool(torch.isfinite(X).all()):
        status = Status.BREAKDOWN
    else:
        status = Status.DONE if k == n_iter else Status.CONVERGED
    size = f"|residual| = {float(rr[0].clamp(min=0).sqrt()):.3e}"
    return DifferentiatedCG(
        success=status is not Status.BREAKDOWN,
        status=status,
        message=message(status, k, size, ADVICE[status]),
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


def _dot(u, v, axes):
    return (u * v).sum(axes)


def _floor(dtype):
    """Relative residual below which the iterates no longer change."""
    return torch.finfo(dtype).eps ** 2


def _any(mask):
    """Whether any entry is true, seen through every transform."""
    return bool(tracing.values(mask).any())


def _check(A, b, x0, n_iter, tol, max_iter, columns):
    if not torch.is_tensor(b) or not b.is_floating_point():
        raise TypeError(f"b must be a floating-point tensor; got {checks.kind(b)}")
    if not tracing.records_program() and not bool(torch.isfinite(tracing.values(b)).all()):
        raise ValueError("b must be finite; some entries are not")
    if columns and b.ndim < 2:
        raise ValueError(f"b must have at least 2 axes if columns are given; got {b.ndim}")
    if x0 is not None and (not torch.is_tensor(x0) or x0.dtype != b.dtype):
        raise TypeError(f"x0 must be a tensor of the dtype of b, {b.dtype}; got {checks.kind(x0)}")
    if x0 is not None and x0.shape != b.shape:
        shapes = f"{tuple(b.shape)}; got {tuple(x0.shape)}"
        raise ValueError(f"x0 must have the shape of b, {shapes}")
    if torch.is_tensor(A):
        if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[1:] != b.shape[:1]:
            raise ValueError(
                f"A must be a square matrix that fits b of shape {tuple(b.shape)}; "
                f"got {tuple(A.shape)}"
            )
        if A.dtype != b.dtype:
            raise TypeError(f"A must have the dtype of b, {b.dtype}; got {A.dtype}")
    elif not callable(A):
        raise TypeError(f"A must be a function or a matrix; got {type(A).__name__}")

    def apply(x):
        product = A @ x if torch.is_tensor(A) else A(x)
        if product.shape != x.shape:
            raise ValueError(f"A must keep the shape {tuple(x.shape)}; got {tuple(product.shape)}")
        return product

    n_iter, max_iter = checks.count("n_iter", n_iter), checks.count("max_iter", max_iter)
    if n_iter is not None and (tol is not None or max_iter is not None):
        raise ValueError("n_iter is a count and goes alone; with tol, give max_iter")
    exactly, most = n_iter is not None, n_iter or max_iter
    tol = 1e-10 if tol is None else checks.number("tol", tol, "at least 0", lambda tol: tol >= 0)
    return apply, 0.0 if exactly else tol, most, exactly


def _result(x, squares, limit, n_iter, active, broken, exactly):
    rr, limit = squares[-1].flatten(), tracing.values(limit).flatten()
    if _any(broken):
        status = Status.BREAKDOWN
    elif not _any(active):
        status = Status.CONVERGED
    else:
        status = Status.DONE if exactly else Status.MAX_ITERATIONS
    with tracing.outside_transforms():  # numbers by now; older versions of torch wrap them again
        worst = int((rr - limit).argmax())
        norms = torch.stack(squares).reshape(len(squares), -1)[:, worst].sqrt().tolist()
        tolerance = float(limit[worst].sqrt())
    test = f"|residual| = {norms[-1]:.3e}, tolerance {tolerance:.3e}"
    return CGResult(
        success=status in (Status.CONVERGED, Status.DONE),
        status=status,
        message=message(status, n_iter, test, ADVICE[status]),
        n_iter=n_iter,
        history=tuple(norms),
        x=x,
        residual_norm=norms[-1],
        tolerance=tolerance,
    )
