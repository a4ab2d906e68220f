r"""Conjugate gradients for :math:`A x = b`, and the rules for differentiating them.

With A symmetric positive definite, iterate k minimises the error in the A-norm over the Krylov
space :math:`x_0 + \mathrm{span}\{r_0, A r_0, \dots, A^{k-1} r_0\}`. The step sizes depend on the
data, so :math:`x_k` is *not* linear in b, although :math:`A^{-1} b` is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch

from ..images import checks, tracing
from .cg_result import CGResult
from .status import Status, message

ADVICE = {
    Status.CONVERGED: "The residual is below its tolerance.",
    Status.DONE: "As many as were asked for.",
    Status.MAX_ITERATIONS: "The residual is still above its tolerance; raise max_iter or tol.",
    Status.SMALL_STEP: (
        "Rounding keeps the residual above its tolerance; take float64, or raise tol if the result "
        "is good enough."
    ),
    Status.BREAKDOWN: (
        "The matrix is not positive definite, or not finite, along a search direction; the last "
        "good iterate is returned. Check A, that it is symmetric, and whether it is singular."
    ),
}
LAG = (
    "CG met the solution after {} iterations, before its derivative: that is not the derivative of "
    "the solution. Differentiate implicitly: solve A dx = db - dA x"
)


def conjugate_gradient(
    A: torch.Tensor | Callable[[torch.Tensor], torch.Tensor],
    b: torch.Tensor,
    x0: torch.Tensor | None = None,
    *,
    n_iter: int | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    columns: bool = False,
    preconditioner: Callable[[torch.Tensor], torch.Tensor] | None = None,
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
        Stop when ‖b − A x‖ ≤ tol ‖b‖; 1e-10 if neither it nor `n_iter` is given. Below 8 rounding
        units of the dtype it counts as that.
    max_iter : int, optional
        Most iterations where `tol` decides, 10 per unknown by default.
    columns : bool
        Whether the last axis of `b` numbers independent systems with one A. They advance
        together, each with its own step sizes.
    preconditioner : callable, optional
        A symmetric positive definite approximation of A⁻¹. The test of `tol` stays the same.

    Returns
    -------
    CGResult

    Raises
    ------
    ValueError, TypeError
        If `b` is not a finite floating-point tensor, `x0` or the matrix does not fit, A changes
        the shape, a count is below 1, `tol` is not from 0 to below 1, or `n_iter` is given with one
        of the other two.

    Warns
    -----
    RuntimeWarning
        If a derivative is taken through a run that meets the solution too soon: with b = 0, a start
        at the solution, or b an eigenvector, the iterate arrives and its derivative does not.

    References
    ----------
    Hestenes and Stiefel (1952); Nocedal and Wright, *Numerical Optimization* (2006), algorithm
    5.2. Chapter 7.
    """
    apply, tol, most, exactly = _check(A, b, x0, n_iter, tol, max_iter, columns)
    axes = tuple(range(b.ndim - columns))
    unknowns = b.numel() // b.shape[-1] if columns else b.numel()
    most = most or 10 * unknowns
    r = b if x0 is None else b - apply(x0)
    # Squares of tiny and of huge numbers leave the range of floating point; powers of two cost no
    # digit.
    size = unit(b, r, axes)
    b, r, x = b / size, r / size, torch.zeros_like(b) if x0 is None else x0 / size
    rr, bb = dot(r, r, axes), dot(b, b, axes)
    base = torch.where(bb > 0, bb, rr)  # where b is zero, the start
    limit = base * tol**2
    # Of a matrix whose condition is below 1 / eps the residual cannot grow as much.
    bound = rr / torch.finfo(b.dtype).eps
    active, broken = rr > limit, ~torch.isfinite(rr + limit)
    k, squares, steps, missed, stuck = 0, [tracing.values(rr)], [], math.inf, False

    def preconditioned(r, rr):
        if preconditioner is None:
            return r, rr
        z = preconditioner(r)
        return z, dot(r, z, axes)

    while True:
        p, rz = preconditioned(r, rr)
        while k < most and _any(active):
            Ap = apply(p)
            pAp = dot(p, Ap, axes)
            good = active & (pAp > 0) & torch.isfinite(pAp)
            broken, active = broken | (active & ~good), good
            if not _any(active):
                break
            # A column that is done keeps its x: its step is zero, and no division by zero arises.
            alpha = torch.where(active, rz, 0) / torch.where(active, pAp, 1)
            x_new, r_new = x + alpha * p, r - alpha * Ap
            rr_new = dot(r_new, r_new, axes)
            wild = active & ~(rr_new <= bound)
            if _any(wild):
                broken, active = broken | wild, active & ~wild
                x_new, r_new = torch.where(wild, x, x_new), torch.where(wild, r, r_new)
                rr_new = torch.where(wild, rr, rr_new)
                if not _any(active):
                    break
            z, rz_new = preconditioned(r_new, rr_new)
            beta = torch.where(active, rz_new, 0) / torch.where(active, rz, 1)
            x, r, p, rr, rz, k = x_new, r_new, z + beta * p, rr_new, rz_new, k + 1
            squares.append(tracing.values(rr))
            steps.append((tracing.values(alpha), tracing.values(beta)))
            active = active & (rr > limit)
        if exactly or not k or _any(active | broken):
            break
        # In a long run the residual of the recurrence drifts off: ask A, and go on from there.
        r = b - apply(x)
        rr = dot(r, r, axes)
        squares[-1], active = tracing.values(rr), rr > limit
        if not _any(active):
            break
        excess = float(tracing.values(torch.where(active, rr / limit, 0)).max())
        if excess > missed / 4:
            stuck = True
            break
        missed = excess
    if _any(broken):
        status = Status.BREAKDOWN
    elif stuck:
        status = Status.SMALL_STEP
    elif _any(active):
        status = Status.DONE if exactly else Status.MAX_ITERATIONS
    else:
        status = Status.CONVERGED
        early = k < min(most, unknowns) and (exactly or _sudden(squares, b.dtype))
        if early and tracing.is_followed(r):
            warnings.warn(LAG.format(k), RuntimeWarning, stacklevel=2)
    left = math.nan
    if preconditioner is not None:
        change, steps = preconditioner(r), []
        parts = dot(change, change, axes) / dot(x, x, axes).clamp(min=1e-300)
        left = float(tracing.values(parts).max()) ** 0.5
    return _result(x * size, squares, base, tol, size, k, status, steps, left)


def dot(u, v, axes):
    return (u * v).sum(axes)


def floor(dtype):
    """Relative residual below which the iterates no longer change."""
    return torch.finfo(dtype).eps ** 2


def _any(mask):
    """Whether any entry is true, seen through every transform."""
    return bool(tracing.values(mask).any())


def unit(b, r, axes):
    """The power of two below the largest entry of both, one for each column."""
    if tracing.records_program():
        return 1.0  # there are no numbers yet
    sizes = []
    for tensor in (b, r):
        values = tracing.values(tensor).abs()
        with tracing.outside_transforms(values):
            sizes.append(values.amax(axes) if values.ndim == b.ndim else values.max())
    with tracing.outside_transforms(*sizes):
        size = torch.maximum(*sizes)
        mantissa, _ = torch.frexp(size)
        plain = (size > 0) & torch.isfinite(size)
        return torch.where(plain, size / (2 * mantissa), torch.ones_like(size))


def _sudden(squares, dtype):
    """Whether the solution was met all at once, and not approached."""
    tiny = (16 * torch.finfo(dtype).eps) ** 2 * squares[0]
    return bool(len(squares) == 1 or (squares[-1] <= torch.minimum(tiny, squares[-2] / 1e12)).any())


def _check(A, b, x0, n_iter, tol, max_iter, columns):
    if not torch.is_tensor(b) or not b.is_floating_point():
        raise TypeError(f"b must be a floating-point tensor; got {checks.kind(b)}")
    checks.check_dense("b", b)
    if not tracing.records_program() and not bool(torch.isfinite(tracing.values(b)).all()):
        raise ValueError("b must be finite; some entries are not")
    checks.check_flag("columns", columns)
    if columns and b.ndim < 2:
        raise ValueError(f"b must have at least 2 axes if columns are given; got {b.ndim}")
    if x0 is not None and (not torch.is_tensor(x0) or x0.dtype != b.dtype):
        raise TypeError(f"x0 must be a tensor of the dtype of b, {b.dtype}; got {checks.kind(x0)}")
    if x0 is not None and x0.shape != b.shape:
        shapes = f"{tuple(b.shape)}; got {tuple(x0.shape)}"
        raise ValueError(f"x0 must have the shape of b, {shapes}")
    for name, tensor in (("x0", x0), ("A", A)):
        if torch.is_tensor(tensor) and tensor.device != b.device:
            raise TypeError(f"{name} must be on {b.device}, as b; got {tensor.device}")
    if x0 is not None:
        checks.check_dense("x0", x0)
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
        checks.check_like("what A returns", product, x)
        if product.shape != x.shape:
            raise ValueError(f"A must keep the shape {tuple(x.shape)}; got {tuple(product.shape)}")
        return product

    n_iter, max_iter = checks.count("n_iter", n_iter), checks.count("max_iter", max_iter)
    if n_iter is not None and (tol is not None or max_iter is not None):
        raise ValueError("n_iter is a count and goes alone; with tol, give max_iter")
    # Below these rounding leaves nothing to do, and no residual can be told from zero.
    eps, exactly, most = torch.finfo(b.dtype).eps, n_iter is not None, n_iter or max_iter
    tol = 1e-10 if tol is None else checks.number("tol", tol, "at least 0", lambda tol: tol >= 0)
    if tol >= 1:
        raise ValueError(f"tol must be below 1, as nothing is left to do there; got {tol}")
    return apply, eps**2 if exactly else max(tol, 8 * eps), most, exactly


def _result(x, squares, base, tol, units, n_iter, status, steps, left):
    base = tracing.values(base)
    with tracing.outside_transforms():  # numbers by now; older versions of torch wrap them again
        worst = int(torch.where(base > 0, squares[-1] / base, squares[-1]).argmax())
        own = float((units * torch.ones_like(base)).flatten()[worst])
        norms = own * torch.stack(squares).reshape(len(squares), -1)[:, worst].sqrt()
        size = own * float(base.flatten()[worst].sqrt())
        lanczos = [
            torch.stack(one).reshape(n_iter, -1)[:, worst].tolist()
            for one in zip(*steps, strict=True)
        ]
    norms, tolerance = norms.tolist(), tol * size
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
        relative_residual=norms[-1] / size if size else 0.0,
        _steps=tuple(lanczos),
        _left=left,
    )
