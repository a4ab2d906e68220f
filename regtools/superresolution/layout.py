"""What of the matrix A_λ(w) does not depend on w: which rows there are, and what fills them."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy.linalg
import scipy.special
import torch

from ..images import Domain, ShortRepr, interpolating
from ._sparse import fixed_width


@dataclass(frozen=True, eq=False, repr=False)
class FrameLayout(ShortRepr):
    """Which rows there are and what fills those that do not move.

    Attributes
    ----------
    canvas : Domain
        The cells of the image: those of the frames and a margin around them.
    factor : int
        Pixels of the image to one of a frame, along each axis.
    n_moving : int
        Number of frames that move.
    fix_first : bool
        Whether frame 0 has rows of its own, which do not move.
    data_weight : float
        What the rows of the frames are multiplied by.
    difference_weights : tuple of float
        What the differences along each axis are multiplied by.
    points : torch.Tensor
        Cell centres within the frames, those of one coarse pixel together, shape ``(n, dim)``.
    cells : torch.Tensor
        The numbers of these cells on the canvas, shape ``(n,)``.
    weights : torch.Tensor or None
        What each pixel of a frame is multiplied by besides, shape ``(frames, frame_size)``.
    psf : float
        Standard deviation of the blur, in cells of the image; 0 is none.
    """

    canvas: Domain
    factor: int
    n_moving: int
    fix_first: bool
    data_weight: float
    difference_weights: tuple
    points: torch.Tensor
    cells: torch.Tensor
    weights: torch.Tensor | None = None
    psf: float = 0.0

    @classmethod
    def of(cls, domain: Domain, canvas: Domain, factor: int, *, like, **others):
        """Make a layout with the dtype and device of the tensor `like`."""
        centres = domain.cell_centers(like.dtype, like.device)
        numbers = torch.arange(math.prod(canvas.m), device=like.device).reshape(canvas.m)
        for axis, (m, wide) in enumerate(zip(domain.m, canvas.m, strict=True)):
            numbers = numbers.narrow(axis, (wide - m) // 2, m)
        return cls(
            canvas=canvas,
            factor=factor,
            points=_grouped(centres, domain, factor),
            cells=_grouped(numbers.reshape(-1, 1), domain, factor)[:, 0],
            **others,
        )

    @property
    def per_row(self):
        """Pixels of the image that a pixel of a frame averages."""
        return self.factor**self.canvas.dim

    @cached_property
    def frame_size(self):
        """Pixels of a frame."""
        return len(self.points) // self.per_row

    @cached_property
    def row_sizes(self):
        """Number of rows of frame 0 if it stays, of the moving frames, and of the differences."""
        cells = math.prod(self.canvas.m)
        differences = sum(cells // m * (m - 1) for m in self.canvas.m)
        return [self.frame_size * self.fix_first, self.frame_size * self.n_moving, differences]

    @cached_property
    def homogeneous(self):
        """The points with a one appended: what multiplies A and b, shape ``(n, dim + 1)``."""
        return torch.cat([self.points, torch.ones_like(self.points[:, :1])], dim=1)

    def weighted(self, moving: torch.Tensor):
        """Multiply ``(n_moving * frame_size, ...)`` rows of the moving frames by their weights."""
        moving = moving * (self.data_weight / self.per_row)
        if self.weights is None:
            return moving
        own = self.weights[len(self.weights) - self.n_moving :].flatten()
        return moving * own.reshape(-1, *[1] * (moving.ndim - 1))

    @cached_property
    def still_rows(self):
        """The rows that do not depend on w, frame 0 and differences: a matrix and its transpose."""
        cells = torch.arange(math.prod(self.canvas.m), device=self.points.device)
        columns, values = [], []
        if self.fix_first:
            columns.append(self.cells.reshape(-1, self.per_row))
            own = self.points.new_tensor([self.data_weight / self.per_row])
            values.append(own if self.weights is None else own * self.weights[0][:, None])
        for axis, (m, weight) in enumerate(
            zip(self.canvas.m, self.difference_weights, strict=True)
        ):
            pairs = [cells.reshape(self.canvas.m).narrow(axis, k, m - 1) for k in (0, 1)]
            columns.append(torch.stack(pairs, dim=-1).reshape(-1, 2))
            values.append(weight * self.points.new_tensor([-1.0, 1.0]))
        return fixed_width(columns, values, len(cells))

    def coefficients(self, image: torch.Tensor):
        """Return the spline coefficients ``(*m[, p])`` that interpolate the blurred pixels."""
        return interpolating(self.blur(image), self.canvas.dim)

    def coefficients_adjoint(self, image: torch.Tensor):
        """Apply the transpose of `coefficients`."""
        return self.blur(interpolating(image, self.canvas.dim))

    def blur(self, image: torch.Tensor):
        """Apply the point-spread function to an image ``(*m[, p])``; it is symmetric."""
        if self.psf:
            for axis, m in enumerate(self.canvas.m):
                matrix = _blur(m, self.psf, image.dtype, image.device)
                image = torch.tensordot(matrix, image, dims=([1], [axis])).movedim(0, axis)
        return image.contiguous()


def _grouped(values, domain, factor):
    """Order what belongs to the cells so that those of one coarse pixel stand together."""
    dim = domain.dim
    shape = [part for m in domain.m for part in (m // factor, factor)]
    order = [*range(0, 2 * dim, 2), *range(1, 2 * dim, 2), 2 * dim]
    return values.reshape(*shape, -1).permute(order).reshape(len(values), -1)


@lru_cache(maxsize=32)
def _blur(m, psf, dtype, device):
    """The blur along one axis: a discrete Gaussian of standard deviation `psf` cells.

    What lies outside is black.
    """
    matrix = scipy.linalg.toeplitz(scipy.special.ive(np.arange(m), psf**2))
    return torch.as_tensor(matrix, dtype=dtype, device=device)
