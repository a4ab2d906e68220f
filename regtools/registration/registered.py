"""What a registration has found: the map, what it moves, and how far it can be trusted."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from ..images import Picture, SplineImage, checks
from ..solvers import SolverResult
from .itk import to_files, write_transform
from .path import PathResult
from .problem import RegistrationProblem
from .search import Attempt, covered
from .transforms import AffineSubset, inverse
from .trust import covariance, displacement_error
from .warping import nearest, warped


@dataclass(frozen=True, kw_only=True, repr=False)
class Registration(SolverResult):
    """A map that moves the template onto the reference, and how it was found.

    Attributes
    ----------
    w : torch.Tensor
        Parameters of the map, shape ``(n_params,)``: the template at y(x; w) shows what the
        reference shows at x.
    transform : AffineSubset
        The map y(x; w).
    problem : RegistrationProblem
        What was minimised; its residual tells how well the images agree.
    path : PathResult
        The path that ended lowest.
    starts : tuple of Attempt
        Every start that was tried, in this order.
    surround : {"zero", "overlap"}
        What was taken to lie outside the box.
    overlap : float
        Share of the reference that the moved template covers, 0 to 1; with a reference mask of what
        this mask trusts.
    misfit : float
        Loss at the last scale over that of a constant template with the mean of the reference.
    gain, offset : float
        What the moved template is multiplied with and what is added, to be nearest to the
        reference where both are seen; of either distance. A negative gain says that dark and bright
        are exchanged.
    pictures : tuple of Picture or None
        Template and reference, where these were read from files.
    history : tuple of Step
        The scales of `path`.
    n_iter : int
        Corrector steps, summed over all starts.
    success, status, message
        Those of the best start, see `SolverResult`. A success says that its path ended at a minimum
        with the images on each other, not that it is the right one: look at `misfit` and `starts`.
    """

    w: torch.Tensor
    transform: AffineSubset
    problem: RegistrationProblem = field(repr=False)
    path: PathResult = field(repr=False)
    starts: tuple[Attempt, ...] = field(repr=False)
    surround: str
    overlap: float
    misfit: float
    gain: float
    offset: float
    template: SplineImage = field(repr=False)
    pictures: tuple[Picture, Picture] | None = field(default=None, repr=False)

    def warp(
        self,
        picture: torch.Tensor | None = None,
        *,
        by_nearest: bool = False,
        outside: float = 0.0,
    ) -> torch.Tensor:
        """Return the template, moved onto the grid of the reference.

        Parameters
        ----------
        picture : torch.Tensor, optional
            What to move instead, such as another channel of the template, of its shape; with an
            axis more, all channels of the last axis.
        by_nearest : bool
            Whether to take the nearest pixel instead of a spline: for labels, of any type.
        outside : float
            What stands where the template is not known.

        Returns
        -------
        torch.Tensor
            Of the shape of the reference; `outside` where the template is not known: see `covered`,
            and where `picture` is NaN.

        Raises
        ------
        TypeError, ValueError
            If `picture` has another shape than the template or, unless it is moved `by_nearest`,
            another dtype, or is not finite, or `outside` is not a finite number.
        """
        data, domain = self.template.data, self.template.domain
        by_nearest = checks.check_flag("by_nearest", by_nearest)
        outside = checks.number("outside", outside)
        if picture is not None:
            if not (by_nearest and torch.is_tensor(picture)):
                checks.check_like("picture", picture, data)
            if picture.ndim == data.ndim + 1 and picture.shape[:-1] == data.shape:
                options = {"by_nearest": by_nearest, "outside": outside}
                return torch.stack([self.warp(one, **options) for one in picture.unbind(-1)], -1)
            if picture.shape != data.shape:
                shapes = f"{tuple(data.shape)}; got {tuple(picture.shape)}"
                raise ValueError(f"picture must have the shape of the template, {shapes}")
            data = picture
        y, m = self.transform(self.w, self.problem.points), self.problem.domain.m
        if by_nearest:
            return nearest(data, domain, y, outside).reshape(m)
        extension = "zero" if self.surround == "zero" else "mirror"
        return warped(data, domain, y, extension, outside).reshape(m)

    @property
    def affine(self) -> torch.Tensor:
        """The map as ``[A row by row, b]`` of y = A x + b, whatever its own parameters."""
        return self.transform.affine(self.w)

    @property
    def inverse(self) -> torch.Tensor:
        """The map from the box of `template` to that of the reference, ``[A row by row, b]``.

        Raises
        ------
        ValueError
            If the matrix is singular.
        """
        return inverse(self.affine)

    @cached_property
    def covariance(self) -> torch.Tensor | None:
        """How far `w` can be off by noise, shape ``(p, p)``, see `regtools.registration.trust`.

        None where it is not known: no sum of squares, or no positive Hessian.
        """
        if self.problem.measure is not None:
            return None
        return covariance(self.problem, self.w, self.path.steps[-1].theta)

    def displacement_error(self) -> torch.Tensor | None:
        """Return how far y(x; w) scatters by noise: the root mean square of its length.

        In the unit of the boxes; of files in millimetres or in pixels of the template. It knows of
        what the two pictures leave unexplained at random. It does not know of a wrong valley, of
        what no map of this kind can do, nor of the pull of interpolated noise between grids that
        are shifted but not turned, see `regtools.registration.trust`.

        Returns
        -------
        torch.Tensor or None
            Of the shape of the reference; None as `covariance`.
        """
        if self.covariance is None:
            return None
        error = displacement_error(self.problem, self.w, self.covariance)
        if self.pictures is not None and self.pictures[0].unit == "pixel":
            error = error / self.template.domain.h[0]  # one width along all axes, see `laid`
        return error

    def in_files(self) -> tuple[np.ndarray, np.ndarray]:
        """Return A and b in the coordinates of the files, from the reference's to the template's.

        Raises
        ------
        ValueError
            If the pictures were not read from files.
        """
        return to_files(self.affine, self._pictures())

    def write_transform(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write the map as an ITK transform file, see `regtools.registration.itk`.

        Raises
        ------
        ValueError
            If the pictures were not read from files; and as `itk.write_transform`.
        """
        write_transform(path, self.affine, self._pictures(), overwrite=overwrite)

    def _pictures(self):
        if self.pictures is None:
            raise ValueError("pictures must come from read_image: tensors have no place in a file")
        return self.pictures

    def covered(self) -> torch.Tensor:
        """Return where the moved template covers the reference, of its shape, bool."""
        return covered(self.problem, self.w)
