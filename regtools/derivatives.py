r"""Derivatives of a registration problem, adjoints, and the test that no derivative may skip.

The images know their own derivatives (`SplineImage.taylor`), the transformation knows how
points move, and the chain rule joins the two:

.. math::
   J = \lVert r \rVert^2, \quad r = \sqrt{h}\,(\mathcal T(y(w)) - \mathcal R), \quad
   \nabla J = 2 r^\top \partial r, \quad
   \nabla^2 J = 2\,\partial r^\top \partial r + 2 \sum_i r_i \nabla^2 r_i .

All functions take ``(problem, w, theta)`` and are differentiable in `theta`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.func import grad, vjp
from torch.func import hessian as ad_hessian


@dataclass(frozen=True)
class LocalModel:
    """Loss with first and second derivatives at one point, computed together.

    Attributes
    ----------
    loss : torch.Tensor
        A number.
    residual : torch.Tensor
        Shape ``(n,)``.
    gradient : torch.Tensor
        Shape ``(p,)``.
    jacobian : torch.Tensor
        Shape ``(n, p)``: derivative of the residual.
    gauss_newton, hessian : torch.Tensor or None
        Shape ``(p, p)``: 2 JᵀJ and the exact Hessian, both with the regulariser's Hessian.
    """

    loss: torch.Tensor
    residual: torch.Tensor
    gradient: torch.Tensor
    jacobian: torch.Tensor
    gauss_newton: torch.Tensor
    hessian: torch.Tensor | None


def local_model(problem, w, theta, exact=True):
    """Return everything a Newton or Gauss–Newton step needs, in one pass over the image.

    Parameters
    ----------
    problem : RegistrationProblem
        The pair, the map and the regulariser.
    w : torch.Tensor
        Parameters, shape ``(p,)``.
    theta : float or torch.Tensor
        Blur in pixels⁴.
    exact : bool
        Whether to form the exact Hessian too.

    Returns
    -------
    LocalModel

    References
    ----------
    Paper, section 3.3.2, with the factors 2 that belong to ‖r‖² (not ‖r‖²/2).
    """
    y, moves, curvature = problem.transform.local(w, problem.points)
    value, slope, bend = _split(problem.template.taylor(y, theta, 2 if exact else 1))
    residual = problem.weight * (value - problem.reference_values(theta))
    # Sums over the few axes, written out: batches of tiny matrices are slow in torch.
    moves = moves.unbind(1)
    jacobian = problem.weight * _along(slope, moves)
    gauss_newton = 2 * jacobian.T @ jacobian
    loss, gradient = residual.square().sum(), 2 * residual @ jacobian
    hessian = None
    if exact:
        pull = 2 * problem.weight * residual
        bent = [_along([pull * entry for entry in row], moves) for row in bend]
        hessian = gauss_newton + torch.cat(moves).T @ torch.cat(bent)
        hessian = hessian + curvature(torch.stack([pull * entry for entry in slope], dim=1))
    if problem.lam:
        stiffness = ad_hessian(problem.penalty)(w)
        loss, gradient = loss + problem.penalty(w), gradient + grad(problem.penalty)(w)
        gauss_newton = gauss_newton + stiffness
        hessian = None if hessian is None else hessian + stiffness
    return LocalModel(loss, residual, gradient, jacobian, gauss_newton, hessian)


def gradient(problem, w, theta):
    """Return ∇_w J, shape ``(p,)``: one reverse pass through the transformation."""
    y = problem.transform(w, problem.points)
    value, slope, _ = _split(problem.template.taylor(y, theta, 1))
    residual = value - problem.reference_values(theta)
    pull = (2 * problem.domain.cell_volume * residual)[:, None] * torch.stack(slope, dim=1)
    result = problem.transform.pull_back(w, problem.points, pull)
    return result + grad(problem.penalty)(w) if problem.lam else result


def jacobian(problem, w, theta):
    """Return ∂r/∂w, shape ``(n, p)``."""
    return local_model(problem, w, theta, exact=False).jacobian


def hessian(problem, w, theta):
    """Return the exact Hessian ∇²_w J, shape ``(p, p)``."""
    return local_model(problem, w, theta).hessian


def gauss_newton_hessian(problem, w, theta):
    """Return 2 JᵀJ plus the Hessian of the regulariser, shape ``(p, p)``."""
    return local_model(problem, w, theta, exact=False).gauss_newton


def mixed_derivative(problem, w, theta):
    """Return ∂_θ ∇_w J, shape ``(p,)``: the gradient, differentiated along theta.

    Of ∇J = 2 Σ r ∂r both factors change with theta. Images are linear in their coefficients,
    so their rates are splines too (`SplineImage.taylor_rate`).

    References
    ----------
    Paper, section 3.2: the right-hand side of dw/dθ.
    """
    y = problem.transform(w, problem.points)
    value, slope, _ = _split(problem.template.taylor(y, theta, 1))
    value_rate, slope_rate, _ = _split(problem.template.taylor_rate(y, theta, 1))
    (still,) = problem.reference.taylor_rate(problem.points, theta, 0).values()
    residual, rate = value - problem.reference_values(theta), value_rate - still
    scale = 2 * problem.domain.cell_volume
    columns = [rate * a + residual * b for a, b in zip(slope, slope_rate, strict=True)]
    return problem.transform.pull_back(w, problem.points, scale * torch.stack(columns, dim=1))


def _split(terms):
    """Value, gradient (d columns) and Hessian (d x d columns, or None) from Taylor terms."""
    dim = len(next(iter(terms)))
    unit = [tuple(int(k == j) for j in range(dim)) for k in range(dim)]
    slope = [terms[e] for e in unit]
    twice = [[tuple(map(sum, zip(e, f, strict=True))) for f in unit] for e in unit]
    if twice[0][0] not in terms:
        return terms[(0,) * dim], slope, None
    bend = [[terms[a] * (2 if max(a) == 2 else 1) for a in row] for row in twice]
    return terms[(0,) * dim], slope, bend


def _along(columns, moves):
    """Sum over the axes of a column (n,) times the moves (n, p) along that axis."""
    return sum(column[:, None] * move for column, move in zip(columns, moves, strict=True))


def adjoint(operator, like):
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
    """
    _, pull_back = vjp(operator, like)
    return lambda v: pull_back(v)[0]


def dot_product_test(operator, adjoint, u, v):
    """Return the relative gap between ⟨A u, v⟩ and ⟨u, Aᵀ v⟩: rounding if they are adjoint.

    Parameters
    ----------
    operator, adjoint : callable
        ``u -> A u`` and ``v -> A^T v``.
    u, v : torch.Tensor
        Test vectors with the shapes of input and output; random ones catch every error.
    """
    forward, backward = operator(u), adjoint(v)
    gap = (forward * v).sum() - (u * backward).sum()
    return float(gap.abs() / (forward.norm() * v.norm()))


@dataclass(frozen=True)
class TaylorTest:
    """Result of `taylor_test`: steps, remainders (both arrays) and the observed order."""

    steps: np.ndarray
    remainders: np.ndarray
    order: float

    def __str__(self):
        rows = [f"{t:9.2e}  {e:9.2e}" for t, e in zip(self.steps, self.remainders, strict=True)]
        return "\n".join(["     step  remainder", *rows, f"observed order {self.order:.2f}"])


def taylor_test(function, w, direction, derivatives, steps=None):
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
    """
    steps = 2.0 ** -np.arange(20.0) if steps is None else np.asarray(steps, dtype=float)
    start = function(w)
    remainders, rounding = [], 0.0
    for t in steps:
        there = function(w + t * direction)
        expected, factor = start, 1.0
        for k, derivative in enumerate(derivatives, start=1):
            factor *= t / k
            expected = expected + factor * derivative
        remainders.append(float((there - expected).norm()))
        rounding = max(rounding, 1e-15 * float(there.norm()))
    remainders = np.array(remainders)
    clear = remainders > 1e3 * rounding
    pairs = clear[:-1] & clear[1:]
    if not pairs.any():
        return TaylorTest(steps, remainders, float("inf"))  # exact up to rounding
    slopes = np.log(remainders[:-1][pairs] / remainders[1:][pairs])
    slopes /= np.log(steps[:-1][pairs] / steps[1:][pairs])
    return TaylorTest(steps, remainders, float(np.median(slopes[-4:])))
