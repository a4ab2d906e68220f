"""The matrix A_λ(w) of super-resolution at one w, applied but never formed densely.

Images may carry one axis more at the end, a block of images treated at once; so may the rows.
Adjoints are written out: nothing here is differentiated by a reverse pass.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy.linalg
import torch

from ..images import Domain, ShortRepr, local_taylor, stencil
from ._sparse import RowPattern, fixed_width


@dataclass(frozen=True, eq=False, repr=False)
class FrameLayout(ShortRepr):
    """Which rows there are and what fills those that do not move.

    Attributes
    ----------
    domain : Domain
        The box with the cells of the image.
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
        Cell centres, those of one coarse pixel together, shape ``(n, dim)``.
    cells : torch.Tensor
        The numbers of these cells, shape ``(n,)``.
    """

    domain: Domain
    factor: int
    n_moving: int
    fix_first: bool
    data_weight: float
    difference_weights: tuple
    points: torch.Tensor
    cells: torch.Tensor

    @classmethod
    def of(cls, domain: Domain, factor: int, *, like, **others):
        """Make a layout with the dtype and device of the tensor `like`."""
        centres = domain.cell_centers(like.dtype, like.device)
        numbers = torch.arange(len(centres), device=like.device)
        return cls(
            domain=domain,
            factor=factor,
            points=_grouped(centres, domain, factor),
            cells=_grouped(numbers[:, None], domain, factor)[:, 0],
            **others,
        )

    @property
    def per_row(self):
        """Pixels of the image that a pixel of a frame averages."""
        return self.factor**self.domain.dim

    @cached_property
    def frame_size(self):
        """Pixels of a frame."""
        return len(self.points) // self.per_row

    @property
    def n_params(self):
        """Parameters of all moving frames."""
        return self.n_moving * self.domain.dim * (self.domain.dim + 1)

    @cached_property
    def row_sizes(self):
        """Number of rows of frame 0 if it stays, of the moving frames, and of the differences."""
        cells = len(self.points)
        differences = sum(cells // m * (m - 1) for m in self.domain.m)
        return [self.frame_size * self.fix_first, self.frame_size * self.n_moving, differences]

    @cached_property
    def homogeneous(self):
        """The points with a one appended: what multiplies A and b, shape ``(n, dim + 1)``."""
        return torch.cat([self.points, torch.ones_like(self.points[:, :1])], dim=1)

    @cached_property
    def still_rows(self):
        """The rows that do not depend on w, frame 0 and differences: a matrix and its transpose."""
        cells = torch.arange(len(self.points), device=self.points.device)
        columns, values = [], []
        if self.fix_first:
            columns.append(self.cells.reshape(-1, self.per_row))
            values.append(self.points.new_tensor([self.data_weight / self.per_row]))
        for axis, (m, weight) in enumerate(
            zip(self.domain.m, self.difference_weights, strict=True)
        ):
            pairs = [cells.reshape(self.domain.m).narrow(axis, k, m - 1) for k in (0, 1)]
            columns.append(torch.stack(pairs, dim=-1).reshape(-1, 2))
            values.append(weight * self.points.new_tensor([-1.0, 1.0]))
        return fixed_width(columns, values, len(cells))


class FrameOperator:
    r"""The map from an image to all rows of :math:`A_\lambda(w) f`, with adjoint and derivatives.

    Rows: the pixels of all frames, frame by frame in C order, then the differences, axis by axis.

    Parameters
    ----------
    layout : FrameLayout
        What does not depend on w.
    moved_points : torch.Tensor
        Where the points of all moving frames lie at w, shape ``(n_moving * n, dim)``, constants.
    """

    def __init__(self, layout: FrameLayout, moved_points: torch.Tensor) -> None:
        self.layout, self._points = layout, moved_points
        self._still, self._still_adjoint = layout.still_rows
        pattern, fill = self._rows()
        values = pattern.merged(fill[0])
        self._moving, self._moving_adjoint = pattern.matrix(values), pattern.transposed(values)

    def __repr__(self):
        return f"FrameOperator({sum(self.layout.row_sizes)} rows, image {self.layout.domain.m})"

    def _rows(self):
        """Where the entries of the moving rows stand, and what fills them: value and slopes.

        A row averages the points of one coarse pixel, which stand together.
        """
        layout = self.layout
        n_rows, per_row = layout.row_sizes[1], layout.per_row
        index, weights = stencil(self._points, layout.domain)
        weights *= layout.data_weight / per_row
        index, *weights = (
            part.reshape(-1, n_rows, per_row).transpose(0, 1).flatten(1)
            for part in (index, *weights)
        )
        return RowPattern(index, math.prod(layout.domain.m)), weights

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the rows ``(n_rows[, p])`` of an image ``(*m[, p])``."""
        dim = self.layout.domain.dim
        moving = self._moving @ _interpolate(image, dim).flatten(0, dim - 1)
        first, smooth = self._still @ image.flatten(0, dim - 1), self.layout.row_sizes[0]
        return torch.cat([first[:smooth], moving, first[smooth:]])

    def adjoint(self, rows: torch.Tensor) -> torch.Tensor:
        """Return Aᵀ rows, shape ``(*m[, p])``."""
        before, within, _ = self.layout.row_sizes
        shape = *self.layout.domain.m, *rows.shape[1:]
        still = torch.cat([rows[:before], rows[before + within :]])
        moving = (self._moving_adjoint @ rows[before : before + within]).reshape(shape)
        moving = _interpolate(moving, self.layout.domain.dim)  # B is symmetric
        return moving + (self._still_adjoint @ still).reshape(shape)

    def normal(self, image: torch.Tensor) -> torch.Tensor:
        """Return :math:`A^T A` image."""
        return self.adjoint(self(image))

    def normal_jvp(self, block: torch.Tensor) -> torch.Tensor:
        """Map a block [f, df_1, …, df_p] to [AᵀA f, …], each tangent with its own ∂_w(AᵀA) f."""
        layout, dim = self.layout, self.layout.domain.dim
        rows = self(block)
        product = rows[:, 0].clone()
        coefficients = _interpolate(block[..., 0].contiguous(), dim).flatten()
        moved = (self._tangents[0] @ coefficients).reshape(-1, layout.n_moving, layout.frame_size)
        self._own_rows(rows[:, 1:]).add_(moved.permute(2, 0, 1))
        image = self.adjoint(rows)
        image[..., 1:] += self.derivative_adjoint(product)
        return image

    def derivative(self, image: torch.Tensor) -> torch.Tensor:
        """Return ∂_w(A f) at a constant image, shape ``(n_rows, n_params)``.

        Parameters of a frame act on the rows of that frame only; all other entries are zero.
        """
        rows = image.new_zeros(sum(self.layout.row_sizes), self.layout.n_params)
        self._own_rows(rows).add_(self.compact_derivative(image).permute(1, 2, 0))
        return rows

    def _own_rows(self, rows):
        """View those rows, of all parameters, where they act: (pixel, parameter, moving frame)."""
        layout = self.layout
        start, count = layout.row_sizes[0], layout.n_moving
        moving = rows[start : start + layout.row_sizes[1]]
        return moving.unflatten(0, (count, -1)).unflatten(2, (count, -1)).diagonal(dim1=0, dim2=2)

    def compact_derivative(self, image: torch.Tensor) -> torch.Tensor:
        """Return the entries of `derivative` that are not zero.

        Shape ``(n_moving, pixels of a frame, parameters of a frame)``.
        """
        layout, dim = self.layout, self.layout.domain.dim
        terms = local_taylor(_interpolate(image, dim), self._points, layout.domain, 1)
        per_row = layout.per_row
        homogeneous = layout.homogeneous.reshape(1, -1, per_row, dim + 1)
        scale = layout.data_weight / per_row
        parts = []
        for axis in range(dim):
            slope = terms[tuple(int(k == axis) for k in range(dim))]
            slope = scale * slope.reshape(layout.n_moving, -1, per_row, 1)
            parts.append((slope * homogeneous).sum(2))
        linear, shift = [part[..., :-1] for part in parts], [part[..., -1:] for part in parts]
        return torch.cat(linear + shift, dim=-1)

    def derivative_adjoint(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (∂_w Aᵀ) rows for one set of rows, shape ``(*m, n_params)``."""
        layout, dim = self.layout, self.layout.domain.dim
        moving = rows[layout.row_sizes[0] :][: layout.row_sizes[1]]
        spread = (self._tangents[1] @ moving).reshape(
            -1, layout.n_moving, math.prod(layout.domain.m)
        )
        columns = spread.permute(2, 1, 0).reshape(*layout.domain.m, layout.n_params)
        return _interpolate(columns, dim)

    @cached_property
    def _tangents(self):
        """∂_w of the moving rows, one matrix a parameter of a frame, and all their transposes."""
        layout, dim = self.layout, self.layout.domain.dim
        pattern, (_, *slopes) = self._rows()
        homogeneous = layout.homogeneous.reshape(layout.frame_size, 1, -1, dim + 1)
        homogeneous = homogeneous.repeat(layout.n_moving, 1, 1, 1)
        slopes = [slope.reshape(len(slope), -1, homogeneous.shape[2]) for slope in slopes]
        pairs = [(slope, b) for slope in slopes for b in range(dim)]
        pairs += [(slope, dim) for slope in slopes]
        merged = [pattern.merged((slope * homogeneous[..., b]).flatten(1)) for slope, b in pairs]
        adjoint = pattern.transposed(*merged, block=layout.frame_size)
        return pattern.matrix(*merged), adjoint


def _grouped(values, domain, factor):
    """Order what belongs to the cells so that those of one coarse pixel stand together."""
    dim = domain.dim
    shape = [part for m in domain.m for part in (m // factor, factor)]
    order = [*range(0, 2 * dim, 2), *range(1, 2 * dim, 2), 2 * dim]
    return values.reshape(*shape, -1).permute(order).reshape(len(values), -1)


def _interpolate(image, dim):
    """Return the spline coefficients that interpolate the pixels: B⁻¹ along each axis."""
    shape, before = image.shape, 1
    for m in shape[:dim]:
        inverse = _inverse_basis(m, image.dtype, image.device)
        if before == 1:
            image = inverse @ image.reshape(m, -1)
        elif before * m == image.numel():
            image = image.reshape(-1, m) @ inverse  # symmetric, and faster than a batch
        else:
            image = inverse @ image.reshape(before, m, -1)
        before *= m
    return image.reshape(shape)


@lru_cache(maxsize=32)
def _inverse_basis(m, dtype, device):
    basis = scipy.linalg.toeplitz([4.0, 1.0] + [0.0] * (m - 2))
    return torch.as_tensor(np.linalg.inv(basis), dtype=dtype, device=device)
