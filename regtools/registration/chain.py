"""The chain rule through the map of a problem: how points move with w, block by block."""

import torch

from ..images import checks, tracing

_BLOCK = 2**14  # points at a time


def parts(problem):
    n = len(problem._points)
    return [slice(first, first + _BLOCK) for first in range(0, n, _BLOCK)]


def local(problem, w, part=slice(None)):
    """The moved points and their derivatives in w, each of the shape that is asked for."""
    x = problem._points[part]
    y, dy_dw, curvature = problem.transform.local(w, x.clone())
    y = constant(problem, problem.checked_points(y, x))
    p, name = len(w), type(problem.transform).__name__
    checks.check_shape(f"{name}.jacobian", dy_dw, (*y.shape, p))

    def checked(weights):
        found = curvature(weights)
        checks.check_shape(f"{name}.curvature", found, (p, p))
        return found

    return y, dy_dw, checked


def constant(problem, y):
    """Return the moved points; raise if autograd follows what the map holds besides w.

    A transform, over theta say, wraps them though they do not depend on theta: they are unwrapped.
    """
    if tracing.inside_transforms() and not tracing.is_recorded(y):
        return tracing.constant(y)
    name = f"what {type(problem.transform).__name__} makes of the points"
    hint = "freeze what the map holds besides w, or use torch.no_grad()"
    checks.check_constant(name, y, hint, batched=True)
    return y


def along(columns, dy_dw):
    """Sum over the axes of a column (n,) times the derivatives (n, p) of y along that axis."""
    return sum(column[:, None] * dy for column, dy in zip(columns, dy_dw, strict=True))


def bent(terms, dy_dw, curvature, weights):
    """The Hessian in w of a weighted sum of a function of y."""
    _, slope, second = terms
    rows = [along([weights * entry for entry in row], dy_dw) for row in second]
    pull = torch.stack([weights * entry for entry in slope], dim=1)
    return torch.cat(dy_dw).T @ torch.cat(rows) + curvature(pull)
