r"""Many coarse frames of one sharp image: the forward model and its joint least-squares problem.

Frame j shows the image moved and averaged, :math:`d^{(j)} = K I(w_j) f`. To move is to
interpolate by splines at the mapped cell centres, so it is linear in the pixels f and smooth in
w. The joint objective is

.. math::
   J(w, f) = \lVert A_\lambda(w) f - \mathsf d \rVert^2, \quad
   A_\lambda(w) = \begin{bmatrix} \sqrt{v_d}\,(I \otimes K)\,I(w) \\
   \lambda \sqrt{v_f}\,L \end{bmatrix}, \quad
   \mathsf d = \begin{bmatrix} \sqrt{v_d}\,d \\ 0 \end{bmatrix},

with the cell volumes :math:`v_d` of the frames and :math:`v_f` of the image, and L all forward
differences divided by h. A picture that goes on outside the frames wants a wider image, its
canvas: else what a moved frame sees there counts as black.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch.func import jacfwd

from ..images import Copied, Domain, SplineImage, checks, copy
from ..registration import Affine, AffineSubset
from ..solvers import CGResult, conjugate_gradient
from .accuracy import doubt
from .frames import (
    average_blocks,
    check_frames,
    check_image,
    check_rows,
    check_transform,
    check_weights,
    coarse_domain,
    differences,
)
from .layout import FrameLayout
from .operator import FrameOperator


class SuperResolutionProblem:
    r"""Find maps w and one sharp image f that explain all frames.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(q + 1, *m / factor)``, at least two frames of one size, finite.
    domain : Domain
        The box with the cells of the sharp image.
    factor : int
        Pixels of the image to one of a frame, along each axis.
    lam : float
        Weight λ > 0 of the differences, squared in the objective; a length. At λ = 0 pixels
        that no frame sees, and patterns that averaging removes, are free: the image would not be
        determined.
    fix_first : bool
        Whether frame 0 stays in place. If it may move too, a drift of everything together is left
        free.
    margin : int
        Cells that the image has on every side beyond those of `domain`. Beyond this canvas the
        image counts as black: give weight 0 to pixels that look there (`covered` names them).
    weights : torch.Tensor, optional
        What each row is multiplied by, from 0 to 1, shape of `frames`. Where it is 0 a pixel may
        be NaN.
    psf : float
        Standard deviation, in pixels of a frame, of a Gaussian that blurs the image before it is
        moved and averaged; exact for maps that turn and shift, which leave the blur as it is.
    transform : AffineSubset, optional
        The map of each frame: `Affine` by default, `Rigid` or `Translation`.

    Raises
    ------
    TypeError
        If `frames` or `weights` is not a float32 or float64 tensor, `domain` not a `Domain`, or
        `transform` no `AffineSubset`.
    ValueError
        If `frames` do not have the cells of `domain` over `factor`, are fewer than two or not
        finite, `factor` does not divide the cells, `lam` is not above 0, `margin` is no count,
        `weights` do not fit, `psf` is negative, or points or squares leave the dtype.

    References
    ----------
    Paper, equations (6) and (7), with L divided by h; Chung, Haber and Nagy (2006). Chapter 5.
    """

    frames, weights, target = Copied(), Copied(), Copied()
    _frames: Any
    _weights: Any

    def __init__(
        self,
        frames: torch.Tensor,
        domain: Domain,
        factor: int,
        lam: float,
        fix_first: bool = True,
        *,
        margin: int = 0,
        weights: torch.Tensor | None = None,
        psf: float = 0.0,
        transform: AffineSubset | None = None,
    ) -> None:
        options = {"margin": margin, "weights": copy(weights), "psf": psf, "transform": transform}
        own = {"frames": copy(frames), "domain": domain, "factor": factor, "lam": lam}
        self._given: dict[str, Any] = own | options | {"fix_first": fix_first}
        self.frame_domain = coarse_domain(domain, factor)
        if min(domain.m) < 4:
            raise ValueError(f"domain must have at least 4 cells along each axis; got {domain.m}")
        self.weights = check_weights(weights, frames)
        self.frames = check_frames(frames, domain.dim, self.frame_domain.m, self.weights)
        free = ". Without it, pixels that no frame sees are free and the image is not determined"
        self.lam = checks.weight("lam", checks.positive("lam", lam, note=free))
        self.factor = checks.whole("factor", factor)
        self.margin = checks.whole("margin", margin, least=0)
        most = max(self.frame_domain.m)
        words = f"from 0 to {most}, the pixels of a frame"
        self.psf = checks.number("psf", psf, words, lambda psf: 0 <= psf <= most)
        self.transform = Affine(domain.dim) if transform is None else transform
        check_transform(self.transform, domain.dim)
        self.domain = domain
        self.canvas = domain.padded(self.margin) if self.margin else domain
        self.fix_first = checks.check_flag("fix_first", fix_first)
        self.n_moving = len(self._frames) - self.fix_first
        self.n_params = self.n_moving * self.transform.n_params
        self.data_weight = math.sqrt(self.frame_domain.cell_volume)
        self.smooth_weight = self.lam * math.sqrt(domain.cell_volume)
        checks.check_places("frames", self._frames.dtype, domain)
        checks.check_squares("frames", self._frames, self.data_weight**2)
        rows = self._weighted(self._frames.flatten())
        self.target = torch.cat([rows, rows.new_zeros(self.n_rows - len(rows))])

    def _weighted(self, rows):
        """Multiply rows of the data by what they weigh."""
        rows = self.data_weight * rows
        return rows if self._weights is None else rows * self._weights.flatten()

    @property
    def difference_weights(self):
        """Weights of the differences along each axis: λ √v over h."""
        return tuple(self.smooth_weight / h for h in self.domain.h)

    @cached_property
    def layout(self):
        """The `FrameLayout`: all of the operator that does not depend on w."""
        return FrameLayout.of(
            self.domain,
            self.canvas,
            self.factor,
            n_moving=self.n_moving,
            fix_first=self.fix_first,
            data_weight=self.data_weight,
            difference_weights=self.difference_weights,
            weights=None if self._weights is None else self._weights.flatten(1),
            psf=self.psf * self.factor,
            like=self._frames,
        )

    @property
    def points(self):
        """Cell centres, those of one coarse pixel together, shape ``(n, dim)``."""
        return self.layout.points.clone()

    @property
    def row_sizes(self):
        """Number of rows of frame 0 if it stays, of the moving frames, and of the differences."""
        return self.layout.row_sizes

    @property
    def frame_size(self):
        """Number of pixels of a frame."""
        return self.layout.frame_size

    @property
    def n_rows(self):
        """Number of all rows."""
        return sum(self.row_sizes)

    @property
    def n_data(self):
        """Number of rows of the data, which come first."""
        return self._frames.numel()

    def __repr__(self):
        return (
            f"SuperResolutionProblem({len(self._frames)} frames of {self.frame_domain.m}, "
            f"image {self.canvas.m}, {self.n_params} parameters, lam={self.lam:g})"
        )

    def replaced(self, **options) -> SuperResolutionProblem:
        """Return the same problem with other arguments, such as ``lam=0.1``."""
        return SuperResolutionProblem(**self._given | options)

    def identity(self) -> torch.Tensor:
        """Return the parameters that move nothing, shape ``(n_params,)``."""
        one = self.transform.identity(self._frames.dtype, self._frames.device)
        return one.repeat(self.n_moving)

    def moved_points(self, w: torch.Tensor) -> torch.Tensor:
        """Return where the points of all moving frames lie, shape ``(n_moving * n, dim)``."""
        self.check_parameters(w)
        blocks = w.reshape(self.n_moving, -1)
        return torch.cat([self.transform(block, self.points) for block in blocks])

    def operator(self, w: torch.Tensor) -> FrameOperator:
        """Return the linear map :math:`A_\\lambda(w)` with its adjoint, a `FrameOperator`.

        `w` counts as constant; to differentiate in w, use `residual`.
        """
        self.check_parameters(w)
        hint = "the operator takes it as constant; differentiate residual(w, image), or call "
        checks.check_constant("w", w, hint + "projection_jacobian with w.detach()")
        w, chain = w.detach(), None
        if not isinstance(self.transform, Affine):
            blocks = w.reshape(self.n_moving, -1)
            chain = torch.stack([jacfwd(self.transform.affine)(block) for block in blocks])
        return FrameOperator(self.layout, self.moved_points(w), chain)

    def reconstruct(self, w: torch.Tensor, n_iter: int | None = None) -> torch.Tensor:
        """Return the image that fits best for given maps, shape `canvas.m`.

        Parameters
        ----------
        w : torch.Tensor
            Shape ``(n_params,)``.
        n_iter : int, optional
            Number of CG iterations, from a black image. None iterates to a relative residual of
            1e-10 of the normal equations.

        Raises
        ------
        ValueError, TypeError
            If `w` does not fit the problem, or `n_iter` is below 1.

        Warns
        -----
        RuntimeWarning
            If CG stops early, or rounding may have cost a tenth of the image.
        """
        result = self.solve(self.operator(w), n_iter=n_iter)
        if words := doubt(self, result):
            warnings.warn(f"the image is not accurate: {words}", RuntimeWarning, 2)
        return result.x

    def solve(
        self,
        operator: FrameOperator,
        *,
        n_iter: int | None = None,
        tol: float = 1e-10,
        start: torch.Tensor | None = None,
        preconditioner: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> CGResult:
        r"""Return the `CGResult` of the normal equations :math:`A^T A f = A^T \mathsf d`.

        `n_iter` iterations exactly, or as many as `tol` needs, from the image `start`. With
        ``operator.inverse`` as `preconditioner` it takes one or two.
        """
        checks.check_kind("operator", operator, FrameOperator)
        if start is not None:
            self.check_image(start, "start")
        how: dict[str, Any] = {"tol": tol} if n_iter is None else {"n_iter": n_iter}
        right, how["preconditioner"] = operator.adjoint(self.target), preconditioner
        return conjugate_gradient(operator.normal, right, start, **how)

    def residual(self, w: torch.Tensor, image: torch.Tensor, rows: str = "stacked") -> torch.Tensor:
        r"""Return :math:`A_\lambda(w) f - \mathsf d`, differentiable in `w` and `image`.

        Parameters
        ----------
        w : torch.Tensor
            Shape ``(n_params,)``.
        image : torch.Tensor
            Shape `canvas.m`.
        rows : {"stacked", "data"}
            All rows, or those of the data alone, which leave the differences out.

        Returns
        -------
        torch.Tensor
            Shape ``(n_rows,)`` or ``(n_data,)``: grey value × √volume.
        """
        check_rows(rows)
        self.check_parameters(w)
        self.check_image(image)
        dim = self.domain.dim
        blurred, parts = self.layout.blur(image), []
        if self.fix_first:
            parts.append(average_blocks(self.cropped(blurred), self.factor, dim).flatten())
        values = SplineImage(blurred, self.canvas)(self.moved_points(w))
        parts.append(values.reshape(-1, self.factor**dim).mean(1))
        residual = self._weighted(torch.cat(parts) - self._frames.flatten())
        if rows == "data":
            return residual
        smooth = [part.flatten() for part in differences(image, self.domain.h)]
        return torch.cat([residual, self.smooth_weight * torch.cat(smooth)])

    def loss(self, w: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Return the joint objective J(w, f), a number."""
        return self.residual(w, image).square().sum()

    def overlap(self, w: torch.Tensor) -> torch.Tensor:
        """Return which part of each moving frame lies on the canvas, ``(n_moving,)``."""
        return self._inside(w, 0).to(w.dtype).mean(1)

    def covered(self, w: torch.Tensor) -> torch.Tensor:
        """Return which pixels keep two cells, those of the spline, from beyond the canvas."""
        inside = self._inside(w, 2).reshape(self.n_moving, -1, self.factor**self.domain.dim).all(2)
        first = inside.new_ones(len(self._frames) - self.n_moving, inside.shape[1])
        return torch.cat([first, inside]).reshape(self._frames.shape)

    def _inside(self, w, cells):
        """Which points of the moving frames lie on the canvas, so many cells from its border."""
        self.check_parameters(w)
        points = self.moved_points(w.detach()).reshape(self.n_moving, -1, self.domain.dim)
        return self.canvas.contains(points, cells)

    def misfit(self, w: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Return how far each frame is off, ``(q + 1,)``: root mean square in grey values.

        Pixels count as their weights say; a frame without weight has NaN.
        """
        rows = self.residual(w, image, "data").reshape(len(self._frames), -1) / self.data_weight
        weights = torch.ones_like(rows) if self._weights is None else self._weights.flatten(1)
        return (rows.square().sum(1) / weights.square().sum(1)).sqrt()

    def cropped(self, image: torch.Tensor) -> torch.Tensor:
        """Return the part of an image of shape `canvas.m` that lies in `domain`."""
        self.check_image(image)
        for axis, m in enumerate(self.domain.m):
            image = image.narrow(axis, self.margin, m)
        return image

    def check_parameters(self, w: torch.Tensor, name: str = "w"):
        """Raise unless `w` can be the parameters of this problem."""
        checks.check_like(name, w, self._frames)
        if w.shape != (self.n_params,):
            shape = f"({self.n_params},), {self.n_moving} blocks of {self.transform.n_params}"
            raise ValueError(f"{name} must have shape {shape}; got {tuple(w.shape)}")
        checks.check_finite(name, w, "value")

    def check_image(self, image: torch.Tensor, name: str = "image"):
        """Raise unless `image` can be the sharp image of this problem."""
        checks.check_like(name, image, self._frames)
        check_image(name, image, self.canvas)
