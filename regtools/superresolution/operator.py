"""The matrix A_λ(w) of super-resolution at one w, applied but never formed densely.

Images may carry one axis more at the end, a block of images treated at once; so may the rows.
Adjoints are written out: nothing here is differentiated by a reverse pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from functools import cached_property

import torch

from ..images import AveragedRows, checks, local_taylor
from ._factor import BandedInverse
from ._sparse import RowPattern
from .layout import FrameLayout


class FrameOperator:
    r"""The map from an image to all rows of :math:`A_\lambda(w) f`, with adjoint and derivatives.

    Rows: the pixels of all frames, frame by frame in C order, then the differences, axis by axis.

    Parameters
    ----------
    layout : FrameLayout
        What does not depend on w.
    moved_points : torch.Tensor
        Where the points of all moving frames lie at w, shape ``(n_moving * n, dim)``, constants.
    chain : torch.Tensor, optional
        ∂[A row by row, b]/∂w of each moving frame, shape ``(n_moving, dim * (dim + 1), p)``,
        where the p parameters of a frame are not those of an affine map.
    """

    def __init__(
        self,
        layout: FrameLayout,
        moved_points: torch.Tensor,
        chain: torch.Tensor | None = None,
    ) -> None:
        self.layout, self._points, self._chain = layout, moved_points, chain
        self._still, self._still_adjoint = layout.still_rows
        averaged, pattern, factors = self._rows()
        values = factors * averaged.values
        self._moving, self._moving_adjoint = pattern.matrix(values), pattern.transposed(values)

    def __repr__(self):
        return f"FrameOperator({sum(self.layout.row_sizes)} rows, image {self.layout.canvas.m})"

    def smoothed(self, layout: FrameLayout) -> FrameOperator:
        """Return the operator at the same w with the differences of another layout."""
        other = copy(self)
        other.layout = layout
        other._still, other._still_adjoint = layout.still_rows
        other.__dict__.pop("inverse", None)
        return other

    @property
    def n_params(self):
        """Parameters of all moving frames."""
        dim = self.layout.canvas.dim
        each = dim * (dim + 1) if self._chain is None else self._chain.shape[2]
        return self.layout.n_moving * each

    def _rows(self):
        """Return the moving rows, where their entries stand, and what multiplies each of these.

        They take as much memory as the matrix, so they are not kept.
        """
        layout = self.layout
        averaged = AveragedRows(self._points, layout.canvas, layout.per_row)
        pattern = RowPattern(averaged.counts, averaged.columns, math.prod(layout.canvas.m))
        factors = layout.weighted(averaged.values.new_ones(layout.row_sizes[1]))
        return averaged, pattern, pattern.by_entry(factors)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the rows ``(n_rows[, p])`` of an image ``(*m[, p])``."""
        self._check("image", image, self.layout.canvas.m)
        moving, still = self._products(image)
        before = self.layout.row_sizes[0]
        return torch.cat([still[:before], moving, still[before:]])

    def adjoint(self, rows: torch.Tensor) -> torch.Tensor:
        """Return Aᵀ rows, shape ``(*m[, p])``."""
        self._check("rows", rows, (sum(self.layout.row_sizes),))
        before, within, _ = self.layout.row_sizes
        still = torch.cat([rows[:before], rows[before + within :]])
        return self._pulled(rows[before : before + within], still)

    def _products(self, image):
        """The rows of the moving frames, and those that do not depend on w."""
        layout, dim = self.layout, self.layout.canvas.dim
        moving = self._moving @ layout.coefficients(image).flatten(0, dim - 1)
        still = self._still @ image.flatten(0, dim - 1)
        if layout.psf and layout.fix_first:  # the differences are those of the sharp image
            blurred, before = layout.blur(image).flatten(0, dim - 1), layout.row_sizes[0]
            still[:before] = (self._still @ blurred)[:before]
        return moving, still

    def _pulled(self, moving, still):
        """Aᵀ of both."""
        layout, before = self.layout, self.layout.row_sizes[0]
        shape = *layout.canvas.m, *moving.shape[1:]
        image = layout.coefficients_adjoint((self._moving_adjoint @ moving).reshape(shape))
        if layout.psf and layout.fix_first:
            first, still = still.clone(), still.clone()
            first[before:], still[:before] = 0, 0
            image = image + layout.blur((self._still_adjoint @ first).reshape(shape))
        return image + (self._still_adjoint @ still).reshape(shape)

    def _check(self, name, value, shape):
        """Raise unless a tensor is like the points, of this shape, and perhaps one axis more."""
        checks.check_like(name, value, self._points)
        if tuple(value.shape[: len(shape)]) != tuple(shape) or value.ndim > len(shape) + 1:
            words = f"shape {tuple(shape)}, or one axis more; got {tuple(value.shape)}"
            raise ValueError(f"{name} must have {words}")

    def normal(
        self,
        image: torch.Tensor,
        change: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return :math:`A^T A` image, with `change` applied to the rows of the moving frames."""
        self._check("image", image, self.layout.canvas.m)
        moving, still = self._products(image)
        return self._pulled(moving if change is None else change(moving), still)

    @cached_property
    def inverse(self):
        """(AᵀA)⁻¹ by a banded Cholesky factor, a function of images; made when first asked for.

        Raises
        ------
        ValueError
            If there is a point-spread function, over which rows are no longer short, the factor
            would need more than 1 GiB, or the matrix is singular to rounding.
        """
        if self.layout.psf:
            raise ValueError('with a psf there is no short band: take solver="cg"')
        return BandedInverse(self._moving, self._still, self.layout.canvas.m)

    def normal_jvp(self, block: torch.Tensor) -> torch.Tensor:
        """Map a block [f, df_1, …, df_p] to [AᵀA f, …], each tangent with its own ∂_w(AᵀA) f."""
        layout = self.layout
        rows = self(block)
        product = rows[:, 0].clone()
        coefficients = layout.coefficients(block[..., 0].contiguous()).flatten()
        moved = (self._tangents[0] @ coefficients).reshape(-1, layout.n_moving, layout.frame_size)
        self._own_rows(rows[:, 1:]).add_(self._chained(moved.permute(1, 2, 0)).permute(1, 2, 0))
        image = self.adjoint(rows)
        image[..., 1:] += self.derivative_adjoint(product)
        return image

    def derivative(self, image: torch.Tensor) -> torch.Tensor:
        """Return ∂_w(A f) at a constant image, shape ``(n_rows, n_params)``.

        Parameters of a frame act on the rows of that frame only; all other entries are zero.
        """
        compact = self.compact_derivative(image)
        rows = image.new_zeros(sum(self.layout.row_sizes), self.n_params)
        self._own_rows(rows).add_(compact.permute(1, 2, 0))
        return rows

    def _own_rows(self, rows):
        """View those rows, of all parameters, where they act: (pixel, parameter, moving frame)."""
        layout = self.layout
        start, count = layout.row_sizes[0], layout.n_moving
        moving = rows[start : start + layout.row_sizes[1]]
        return moving.unflatten(0, (count, -1)).unflatten(2, (count, -1)).diagonal(dim1=0, dim2=2)

    def _chained(self, affine):
        """From derivatives in [A, b], shape ``(n_moving, k, dim * (dim + 1))``, to those in w."""
        return affine if self._chain is None else affine @ self._chain

    def compact_derivative(self, image: torch.Tensor) -> torch.Tensor:
        """Return the entries of `derivative` that are not zero.

        Shape ``(n_moving, pixels of a frame, parameters of a frame)``.
        """
        layout, dim = self.layout, self.layout.canvas.dim
        checks.check_like("image", image, self._points)
        checks.check_shape("image", image, layout.canvas.m)
        terms = local_taylor(layout.coefficients(image), self._points, layout.canvas, 1)
        per_row = layout.per_row
        homogeneous = layout.homogeneous.reshape(1, -1, per_row, dim + 1)
        parts = []
        for axis in range(dim):
            slope = terms[tuple(int(k == axis) for k in range(dim))]
            slope = layout.weighted(slope.reshape(-1, per_row))
            slope = slope.reshape(layout.n_moving, -1, per_row, 1)
            parts.append((slope * homogeneous).sum(2))
        linear, shift = [part[..., :-1] for part in parts], [part[..., -1:] for part in parts]
        return self._chained(torch.cat(linear + shift, dim=-1))

    def derivative_adjoint(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (∂_w Aᵀ) rows for one set of rows, shape ``(*m, n_params)``."""
        layout = self.layout
        checks.check_like("rows", rows, self._points)
        checks.check_shape("rows", rows, (sum(layout.row_sizes),))
        moving = rows[layout.row_sizes[0] :][: layout.row_sizes[1]]
        spread = (self._tangents[1] @ moving).reshape(
            -1, layout.n_moving, math.prod(layout.canvas.m)
        )
        spread = self._chained(spread.permute(1, 2, 0))  # (n_moving, cells, parameters of a frame)
        columns = spread.permute(1, 0, 2).reshape(*layout.canvas.m, self.n_params)
        return layout.coefficients_adjoint(columns)

    @cached_property
    def _tangents(self):
        """∂ of the moving rows in [A, b], one matrix an entry, and all their transposes."""
        averaged, pattern, factors = self._rows()
        merged = factors * averaged.tangents(self.layout.homogeneous)
        adjoint = pattern.transposed(*merged, block=self.layout.frame_size)
        return pattern.matrix(*merged), adjoint
