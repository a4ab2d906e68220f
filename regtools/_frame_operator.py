"""The matrix A_λ(w) of super-resolution at one w, applied but never formed densely.

Images may carry one axis more at the end, a block of images treated at once; so may the rows.
Adjoints are written out: nothing here is differentiated by a reverse pass.
"""

import math
from functools import cached_property, lru_cache

import numpy as np
import scipy.linalg
import torch

from ._kernels import local_taylor, stencil
from ._sparse import RowPattern


class FrameOperator:
    r"""The map from an image to all rows of :math:`A_\lambda(w) f`, with adjoint and derivatives.

    Rows: the pixels of all frames, frame by frame in C order, then the differences, axis by axis.

    Parameters
    ----------
    problem : SuperResolutionProblem
        Gives domain, factor, weights and points.
    w : torch.Tensor
        Shape ``(n_params,)``, constants.
    """

    def __init__(self, problem, w):
        self.problem, self.w = problem, w
        self._points = problem.moved_points(w)
        self._still, self._still_adjoint = problem.still_rows
        pattern, fill = self._rows()
        values = pattern.merged(fill[0])
        self._moving, self._moving_adjoint = pattern.matrix(values), pattern.transposed(values)

    def _rows(self):
        """Where the entries of the moving rows stand, and what fills them: value and slopes.

        A row averages the points of one coarse pixel, which stand together.
        """
        problem = self.problem
        n_rows, per_row = problem.row_sizes[1], problem.factor**problem.domain.dim
        index, weights = stencil(self._points, problem.domain)
        weights *= problem.data_weight / per_row
        index, *weights = (
            part.reshape(-1, n_rows, per_row).transpose(0, 1).flatten(1)
            for part in (index, *weights)
        )
        return RowPattern(index, math.prod(problem.domain.m)), weights

    def __call__(self, image):
        """Return the rows ``(n_rows[, p])`` of an image ``(*m[, p])``."""
        dim = self.problem.domain.dim
        moving = self._moving @ _interpolate(image, dim).flatten(0, dim - 1)
        first, smooth = self._still @ image.flatten(0, dim - 1), self.problem.row_sizes[0]
        return torch.cat([first[:smooth], moving, first[smooth:]])

    def adjoint(self, rows):
        """Return Aᵀ rows, shape ``(*m[, p])``."""
        before, within, _ = self.problem.row_sizes
        shape = *self.problem.domain.m, *rows.shape[1:]
        still = torch.cat([rows[:before], rows[before + within :]])
        moving = (self._moving_adjoint @ rows[before : before + within]).reshape(shape)
        moving = _interpolate(moving, self.problem.domain.dim)  # B is symmetric
        return moving + (self._still_adjoint @ still).reshape(shape)

    def normal(self, image):
        """Return :math:`A^T A` image."""
        return self.adjoint(self(image))

    def normal_jvp(self, block):
        """Map a block [f, df_1, …, df_p] to [AᵀA f, …], each tangent with its own ∂_w(AᵀA) f."""
        problem, dim = self.problem, self.problem.domain.dim
        rows = self(block)
        product = rows[:, 0].clone()
        coefficients = _interpolate(block[..., 0].contiguous(), dim).flatten()
        moved = (self._tangents[0] @ coefficients).reshape(-1, problem.n_moving, problem.frame_size)
        self._own_rows(rows[:, 1:]).add_(moved.permute(2, 0, 1))
        image = self.adjoint(rows)
        image[..., 1:] += self.derivative_adjoint(product)
        return image

    def derivative(self, image):
        """Return ∂_w(A f) at a constant image, shape ``(n_rows, n_params)``.

        Parameters of a frame act on the rows of that frame only; all other entries are zero.
        """
        rows = image.new_zeros(self.problem.n_rows, self.problem.n_params)
        self._own_rows(rows).add_(self.compact_derivative(image).permute(1, 2, 0))
        return rows

    def _own_rows(self, rows):
        """View those rows, of all parameters, where they act: (pixel, parameter, moving frame)."""
        problem = self.problem
        start, count = problem.row_sizes[0], problem.n_moving
        moving = rows[start : start + problem.row_sizes[1]]
        return moving.unflatten(0, (count, -1)).unflatten(2, (count, -1)).diagonal(dim1=0, dim2=2)

    def compact_derivative(self, image):
        """Return the entries of `derivative` that are not zero.

        Shape ``(n_moving, pixels of a frame, parameters of a frame)``.
        """
        problem, dim = self.problem, self.problem.domain.dim
        terms = local_taylor(_interpolate(image, dim), self._points, problem.domain, 1)
        per_row = problem.factor**dim
        lever = problem.lever.reshape(1, -1, per_row, dim + 1)
        scale = problem.data_weight / per_row
        parts = []
        for axis in range(dim):
            slope = terms[tuple(int(k == axis) for k in range(dim))]
            slope = scale * slope.reshape(problem.n_moving, -1, per_row, 1)
            parts.append((slope * lever).sum(2))
        linear, shift = [part[..., :-1] for part in parts], [part[..., -1:] for part in parts]
        return torch.cat(linear + shift, dim=-1)

    def derivative_adjoint(self, rows):
        """Return (∂_w Aᵀ) rows for one set of rows, shape ``(*m, n_params)``."""
        problem, dim = self.problem, self.problem.domain.dim
        moving = rows[problem.row_sizes[0] :][: problem.row_sizes[1]]
        spread = (self._tangents[1] @ moving).reshape(
            -1, problem.n_moving, math.prod(problem.domain.m)
        )
        columns = spread.permute(2, 1, 0).reshape(*problem.domain.m, problem.n_params)
        return _interpolate(columns, dim)

    @cached_property
    def _tangents(self):
        """∂_w of the moving rows, one matrix a parameter of a frame, and all their transposes."""
        problem, dim = self.problem, self.problem.domain.dim
        pattern, (_, *slopes) = self._rows()
        lever = problem.lever.reshape(problem.frame_size, 1, -1, dim + 1)
        lever = lever.repeat(problem.n_moving, 1, 1, 1)
        slopes = [slope.reshape(len(slope), -1, lever.shape[2]) for slope in slopes]
        pairs = [(slope, b) for slope in slopes for b in range(dim)]
        pairs += [(slope, dim) for slope in slopes]
        merged = [pattern.merged((slope * lever[..., b]).flatten(1)) for slope, b in pairs]
        adjoint = pattern.transposed(*merged, block=problem.frame_size)
        return pattern.matrix(*merged), adjoint


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
