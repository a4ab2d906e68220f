"""Maps with fewer parameters than an affine one: shifts, turns about a centre, similarities."""

from __future__ import annotations

import torch

from ..images import Domain, checks
from .transforms import AffineSubset, check_axes, check_dim


class Translation(AffineSubset):
    """The shift :math:`y = x + w`; w has the unit of the domain.

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
    Modersitzki, *FAIR* (SIAM, 2009), section 4.1. Chapter 5.
    """

    turns = False

    def __init__(self, dim: int) -> None:
        self.dim = check_dim(dim)
        self.n_params = self.dim

    def affine(self, w: torch.Tensor) -> torch.Tensor:
        """Return ``[A row by row, b]`` with A = I and b = w."""
        checks.check_vector("w", w, self.n_params)
        eye = torch.eye(self.dim, dtype=w.dtype, device=w.device)
        return torch.cat([eye.flatten(), w])

    def from_affine(self, affine: torch.Tensor) -> torch.Tensor:
        """Return b: the shift of the coordinate origin, right where A = I."""
        checks.check_vector("affine", affine, self.dim * (self.dim + 1))
        return affine[self.dim**2 :].clone()

    def scaling(self, domain: Domain) -> torch.Tensor:
        """Return S with dw = S dz: one unit of z is a cell."""
        check_axes(self, domain)
        return torch.diag(torch.tensor(domain.h, dtype=torch.float64, device="cpu"))


class Rigid(AffineSubset):
    r"""A turn about a centre, and a shift: :math:`y = R (x - c) + c + b`.

    Parameters are ``w = [angle, b]`` in two dimensions, the angle in radians from the first axis
    to the second, and ``[rotation vector, b]`` in three; b has the unit of the domain.

    Parameters
    ----------
    domain : Domain
        Two or three axes; c is the centre of the box.

    Raises
    ------
    ValueError
        If `domain` has one axis; when called, if `w` or `x` has the wrong shape.
    TypeError
        If `domain` is not a `Domain`.

    References
    ----------
    Modersitzki, *FAIR* (SIAM, 2009), section 4.3. Chapter 5.
    """

    def __init__(self, domain: Domain) -> None:
        checks.check_domain(domain)
        self.dim = check_dim(domain.dim)
        self.n_turns = 1 if self.dim == 2 else 3
        self.n_params = self.n_turns + self.dim
        self.centre = [
            (low + high) / 2 for low, high in zip(domain.lower, domain.upper, strict=True)
        ]

    def affine(self, w: torch.Tensor) -> torch.Tensor:
        """Return ``[A row by row, b]`` with A = R and b = c − R c + shift."""
        checks.check_vector("w", w, self.n_params)
        turn, shift = w[: self.n_turns], w[self.n_turns :]
        return self._about_centre(torch.linalg.matrix_exp(_skew(turn)), shift)

    def _about_centre(self, A, shift):
        """The map that applies A about the centre, and then shifts."""
        centre = A.new_tensor(self.centre)
        return torch.cat([A.flatten(), centre - A @ centre + shift])

    def from_affine(self, affine: torch.Tensor) -> torch.Tensor:
        """Return the turn closest to A, and the shift of the centre."""
        checks.check_vector("affine", affine, self.dim * (self.dim + 1))
        checks.check_finite("affine", affine, "value")
        A = affine[: self.dim**2].reshape(self.dim, self.dim)
        U, _, Vh = torch.linalg.svd(A)
        flip = torch.ones(self.dim, dtype=A.dtype, device=A.device)
        flip[-1] = torch.linalg.det(U @ Vh).sign()
        R = (U * flip) @ Vh
        centre = affine.new_tensor(self.centre)
        return torch.cat([_turn(R), A @ centre + affine[self.dim**2 :] - centre])

    def scaling(self, domain: Domain) -> torch.Tensor:
        """Return S with dw = S dz: one unit of z moves a corner of the box by about a cell."""
        check_axes(self, domain)
        ends = [domain.lower, domain.upper, domain.h]
        lower, upper, h = torch.tensor(ends, dtype=torch.float64, device="cpu")
        turn = h.min() / ((upper - lower).norm() / 2)
        return torch.diag(torch.cat([turn.expand(self.n_params - self.dim), h]))


class Similarity(Rigid):
    r"""A turn and a change of size about a centre, and a shift: :math:`y = e^s R (x - c) + c + b`.

    Parameters are ``w = [turn, s, b]`` with the turn and the shift b of `Rigid` and the
    logarithm s of the factor by which lengths grow.

    Parameters
    ----------
    domain : Domain
        Two or three axes; c is the centre of the box.

    Raises
    ------
    ValueError, TypeError
        As `Rigid`.

    References
    ----------
    Modersitzki, *FAIR* (SIAM, 2009), section 4.3, without the size. Chapter 5.
    """

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain)
        self.n_params += 1

    def affine(self, w: torch.Tensor) -> torch.Tensor:
        """Return ``[A row by row, b]`` with A = eˢ R and b = c − A c + shift."""
        checks.check_vector("w", w, self.n_params)
        turn, growth, shift = w[: self.n_turns], w[self.n_turns], w[self.n_turns + 1 :]
        return self._about_centre(growth.exp() * torch.linalg.matrix_exp(_skew(turn)), shift)

    def from_affine(self, affine: torch.Tensor) -> torch.Tensor:
        """Return the turn closest to A, the root of its volume, and the shift of the centre."""
        turned = super().from_affine(affine)
        d = self.dim
        size = torch.linalg.det(affine[: d * d].reshape(d, d)).abs()
        if not size > 0:
            raise ValueError("affine must keep some volume; its matrix is singular")
        return torch.cat([turned[: self.n_turns], size.log()[None] / d, turned[self.n_turns :]])


def _skew(turn):
    """The matrix whose exponential is the rotation."""
    if len(turn) == 1:
        zero = torch.zeros_like(turn[0])
        return torch.stack([zero, -turn[0], turn[0], zero]).reshape(2, 2)
    a, b, c = turn.unbind()
    zero = torch.zeros_like(a)
    return torch.stack([zero, -c, b, c, zero, -a, -b, a, zero]).reshape(3, 3)


def _turn(R):
    """The angle or rotation vector of a rotation below half a turn."""
    if len(R) == 2:
        return torch.atan2(R[1, 0], R[0, 0])[None]
    axis = torch.stack([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    sine, cosine = axis.norm(), (R.trace() - 1) / 2
    if cosine > 0:
        return axis if sine == 0 else axis / sine * torch.atan2(sine, cosine)
    # Near half a turn the axis is that of (R + Rᵀ) / 2 = cos I + (1 − cos) a aᵀ.
    outer = (R + R.T) / 2 - cosine * torch.eye(3, dtype=R.dtype, device=R.device)
    column = outer[:, outer.diagonal().argmax()]
    column = column * torch.where(column @ axis < 0, -1.0, 1.0)
    return column / column.norm() * torch.atan2(sine, cosine)
