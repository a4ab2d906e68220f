"""Parametric maps y(x; w) of space: what a map needs, and the affine ones."""

from __future__ import annotations

import abc

import torch
from torch.func import hessian, jacfwd, vjp

from ..images import Domain, checks


class Transform(abc.ABC):
    """A parametric map y(x; w): subclass it to add one.

    A subclass sets `dim` and `n_params`, and defines ``transform(w, x)`` and `identity`. The
    derivatives in w come from automatic differentiation; a map that knows a shorter way overrides
    them. Build what depends on w from torch operations such as `torch.stack`: a new
    ``torch.tensor(...)``, ``float(w[0])`` or ``math.cos(w[0])`` cuts the derivative without an
    error. Run `taylor_test` on the loss with a map of your own. A map does not look at the numbers:
    NaN in `w` or `x` gives NaN, which problems and solvers refuse.

    Attributes
    ----------
    dim : int
        Number of axes.
    n_params : int
        Length of w.

    Examples
    --------
    Shifts along both axes:

    >>> class Shift(Transform):
    ...     dim, n_params = 2, 2
    ...
    ...     def __call__(self, w, x):
    ...         return x + w
    ...
    ...     def identity(self, dtype=torch.float64, device=None):
    ...         return torch.zeros(2, dtype=dtype, device=device)

    References
    ----------
    Chapter 2.
    """

    dim: int
    n_params: int

    def __repr__(self):
        return f"{type(self).__name__}({self.dim})"

    @abc.abstractmethod
    def __call__(self, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Map points `x` of shape ``(n, dim)``; returns the same shape."""

    @abc.abstractmethod
    def identity(
        self, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return the parameters of y(x) = x, shape ``(n_params,)``."""

    def scaling(self, domain: Domain) -> torch.Tensor | None:
        """Return S with dw = S dz, where one unit of z moves points by about one cell, or None."""
        return None

    def local(self, w: torch.Tensor, x: torch.Tensor):
        """Return y, ∂y/∂w and a function ``weights -> curvature``, which may share work."""
        return self(w, x), self.jacobian(w, x), lambda weights: self.curvature(w, x, weights)

    def jacobian(self, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return ∂y/∂w at every point, shape ``(n, dim, n_params)``."""
        check_shapes(self, w, x)
        return jacfwd(lambda v: self(v, x))(w)

    def pull_back(self, w: torch.Tensor, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the gradient in w of ``sum(weights * y)``, shape ``(n_params,)``.

        `weights` has shape ``(n, dim)`` and counts as constant.
        """
        check_weights(self, w, x, weights)
        return vjp(lambda v: self(v, x), w)[1](weights)[0]

    def curvature(self, w: torch.Tensor, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the Hessian in w of ``sum(weights * y)``, shape ``(n_params, n_params)``.

        `weights` has shape ``(n, dim)`` and counts as constant.
        """
        check_weights(self, w, x, weights)
        return hessian(lambda v: (weights * self(v, x)).sum())(w)


class AffineSubset(Transform):
    """Maps that are affine, with parameters of their own.

    A subclass defines `affine`, which everything else here comes from, and `from_affine`; zeros
    are the identity unless it says otherwise. `SuperResolutionProblem` takes such maps.

    Attributes
    ----------
    turns : bool
        Whether the maps can turn a picture: if not, a search does not try angles.

    References
    ----------
    Chapter 5.
    """

    turns = True

    @abc.abstractmethod
    def affine(self, w: torch.Tensor) -> torch.Tensor:
        """Return ``[A row by row, b]`` of :math:`y = A x + b`, shape ``(dim * (dim + 1),)``."""

    @abc.abstractmethod
    def from_affine(self, affine: torch.Tensor) -> torch.Tensor:
        """Return the parameters of a map of this kind that is close to an affine one."""

    def identity(
        self, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return zeros, shape ``(n_params,)``."""
        checks.check_dtype(dtype)
        return torch.zeros(self.n_params, dtype=dtype, device=device)

    def __call__(self, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Map points `x` of shape ``(n, dim)``; returns the same shape."""
        check_shapes(self, w, x)
        affine = self.affine(w)
        checks.check_shape(f"{type(self).__name__}.affine", affine, (self.dim * (self.dim + 1),))
        matrix = affine[: self.dim**2].reshape(self.dim, self.dim)
        return x @ matrix.T + affine[self.dim**2 :]


class Affine(AffineSubset):
    r"""The affine map :math:`y = A x + b`.

    Parameters are ``w = [A row by row, b]``: 6 in two dimensions, 12 in three. A has no
    unit; b has the unit of the domain.

    Parameters
    ----------
    dim : int
        2 or 3.

    Raises
    ------
    ValueError
        If `dim` is not 2 or 3; when called, if `w` or `x` has the wrong shape.

    References
    ----------
    Paper, section 2.1; Modersitzki, *FAIR* (SIAM, 2009), section 4.2. Chapters 2 and 3.
    """

    def __init__(self, dim: int) -> None:
        self.dim = check_dim(dim)
        self.n_params = self.dim * (self.dim + 1)

    def affine(self, w: torch.Tensor) -> torch.Tensor:
        """Return a copy of `w`."""
        checks.check_vector("w", w, self.n_params)
        return w.clone()

    def from_affine(self, affine: torch.Tensor) -> torch.Tensor:
        """Return a copy of `affine`."""
        checks.check_vector("affine", affine, self.n_params)
        return affine.clone()

    def identity(
        self, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return the parameters of y(x) = x, shape ``(n_params,)``."""
        checks.check_dtype(dtype)
        matrix = torch.eye(self.dim, dtype=dtype, device=device).flatten()
        return torch.cat([matrix, matrix.new_zeros(self.dim)])

    def scaling(self, domain: Domain) -> torch.Tensor:
        """Return S with dw = S dz: z changes A about the centre of the box, and the shift there."""
        check_axes(self, domain)
        d, p = self.dim, self.n_params
        S = torch.zeros(p, p, dtype=torch.float64, device="cpu")
        for k, h in enumerate(domain.h):
            S[d * d + k, d * d + k] = h
            for i, (low, high) in enumerate(zip(domain.lower, domain.upper, strict=True)):
                S[d * k + i, d * k + i] = 2 * h / (high - low)
                S[d * d + k, d * k + i] = -h * (low + high) / (high - low)
        return S

    def jacobian(self, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return ∂y/∂w, shape ``(n, dim, n_params)``: it does not depend on `w`."""
        check_shapes(self, w, x)
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        linear = (eye[:, :, None] * x[:, None, None, :]).flatten(2)
        return torch.cat([linear, eye.expand(len(x), -1, -1)], dim=2)

    def pull_back(self, w: torch.Tensor, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the gradient in w of ``sum(weights * y)``, shape ``(n_params,)``."""
        check_weights(self, w, x, weights)
        return torch.cat([(weights.T @ x).flatten(), weights.sum(0)])

    def curvature(self, w: torch.Tensor, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return zeros: the map is linear in w."""
        check_weights(self, w, x, weights)
        return w.new_zeros(self.n_params, self.n_params)


class Placed(AffineSubset):
    """A map of another kind, and after it a fixed affine one: what the headers of files say.

    Parameters
    ----------
    inner : AffineSubset
        The map with parameters.
    after : torch.Tensor
        ``[A row by row, b]`` of the fixed one.
    """

    def __init__(self, inner: AffineSubset, after: torch.Tensor) -> None:
        self.inner, self.after = inner, after.detach().clone()
        self.dim, self.n_params, self.turns = inner.dim, inner.n_params, inner.turns
        self._before = inverse(self.after)

    def __repr__(self):
        return repr(self.inner)

    def affine(self, w: torch.Tensor) -> torch.Tensor:
        """Return ``[A row by row, b]`` of both."""
        return composed(self.after.to(w), self.inner.affine(w))

    def from_affine(self, affine: torch.Tensor) -> torch.Tensor:
        """Return the parameters of a map that is close to an affine one after the fixed one."""
        return self.inner.from_affine(composed(self._before.to(affine), affine))

    def identity(
        self, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return the parameters at which only the fixed map moves points."""
        return self.inner.identity(dtype, device)

    def scaling(self, domain: Domain) -> torch.Tensor | None:
        """Return that of the map with parameters."""
        return self.inner.scaling(domain)


def split_affine(affine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A and b of ``[A row by row, b]``."""
    d = 2 if len(affine) == 6 else 3
    checks.check_vector("affine", affine, d * (d + 1))
    return affine[: d * d].reshape(d, d), affine[d * d :]


def composed(outer: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """Return ``[A row by row, b]`` of outer(inner(x))."""
    (A, b), (C, d) = split_affine(outer), split_affine(inner)
    return torch.cat([(A @ C).flatten(), A @ d + b])


def inverse(affine: torch.Tensor) -> torch.Tensor:
    """Return ``[A⁻¹ row by row, −A⁻¹ b]``.

    Raises
    ------
    ValueError
        If A is singular to rounding.
    """
    A, b = split_affine(affine)
    if not torch.linalg.cond(A) < 1 / torch.finfo(A.dtype).eps:
        raise ValueError("affine must have an inverse; its matrix is singular")
    back = torch.linalg.inv(A)
    return torch.cat([back.flatten(), -back @ b])


def check_dim(dim):
    try:
        found = checks.whole("dim", dim)
    except ValueError:
        found = None
    if found not in (2, 3):
        raise ValueError(f"dim must be 2 or 3; got {checks.shown(dim)}")
    return found


def check_axes(transform, domain):
    checks.check_domain(domain)
    if domain.dim != transform.dim:
        raise ValueError(f"domain must have dim = {transform.dim} axes; got {domain.dim}")


def check_shapes(transform, w, x):
    checks.check_floating("x", x)
    checks.check_vector("w", w, transform.n_params, x)
    if x.ndim != 2 or x.shape[1] != transform.dim:
        raise ValueError(f"x must have shape (n, {transform.dim}); got {tuple(x.shape)}")


def check_weights(transform, w, x, weights):
    check_shapes(transform, w, x)
    checks.check_like("weights", weights, x)
    checks.check_shape("weights", weights, x.shape)
