"""Rows that average points of a spline image: which coefficients enter each, with what weights."""

import numpy as np
import torch

from ._taylor import stencil


class AveragedRows:
    """The means over groups of points, as rows of a sparse matrix on the coefficients.

    Parameters
    ----------
    points : torch.Tensor
        Shape ``(n_rows * per_row, d)``, those of a row together, physical units; constants.
    domain : Domain
        The box that the coefficients fill.
    per_row : int
        Points of a row.

    Attributes
    ----------
    counts, columns : torch.Tensor
        How many entries each row has, and the coefficient of each entry, ascending in a row.
    values : torch.Tensor
        The entries, row by row: sums over the points, not yet divided.
    """

    counts: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor

    def __new__(cls, points, domain, per_row):
        kind = _Compiled if points.device.type == "cpu" else _Merged
        return super().__new__(kind)

    def tangents(self, homogeneous):
        r"""Return ∂ of the entries in [A, b] where :math:`y = A x + b`, ``(d (d + 1), entries)``.

        A row by row, then b; `homogeneous` holds (x, 1) of each point, used cyclically.
        """
        raise NotImplementedError


class _Compiled(AveragedRows):
    """In one pass over the points."""

    def __init__(self, points, domain, per_row):
        from . import _averages_kernels as kernels  # only here: Numba takes half a second to import

        self._dtype = points.dtype
        self._where = kernels.located(points.double().numpy(force=True), domain, per_row)
        counts, self._window = kernels.sizes(self._where)
        self._starts = np.concatenate([[0], counts.cumsum()])
        self._columns = np.empty(self._starts[-1], np.int32)
        self.counts, self.columns = torch.from_numpy(counts), torch.from_numpy(self._columns)
        self.values = self._filled(np.empty((0, 0)))[0]

    def _filled(self, homogeneous):
        from . import _averages_kernels as kernels

        how = self._where, self._window, self._starts, self._columns, homogeneous
        return torch.from_numpy(kernels.filled(*how)).to(self._dtype)

    def tangents(self, homogeneous):
        return self._filled(homogeneous.double().numpy(force=True))


class _Merged(AveragedRows):
    """By torch alone, on any device: all stencils of a row, sorted, equal columns added up."""

    def __init__(self, points, domain, per_row):
        self._per_row, self._n_rows = per_row, len(points) // per_row
        index, weights = stencil(points, domain)
        columns, self._order = self._by_row(index).sort(dim=1)
        self._value, *self._slopes = map(self._by_row, weights)
        first = torch.ones_like(columns, dtype=torch.bool)
        first[:, 1:] = columns[:, 1:] != columns[:, :-1]
        self._slot = first.flatten().cumsum(0) - 1
        self.counts, self.columns = first.sum(1), columns[first]
        self.values = self._merged(self._value)

    def _by_row(self, part):
        return part.reshape(-1, self._n_rows, self._per_row).transpose(0, 1).flatten(1)

    def _merged(self, values):
        sums = values.new_zeros(len(self.columns))
        return sums.index_add_(0, self._slot, values.gather(1, self._order).flatten())

    def tangents(self, homogeneous):
        d = homogeneous.shape[1] - 1
        repeated = homogeneous.repeat(len(self._value) * self._per_row // len(homogeneous), 1)
        repeated = repeated.reshape(self._n_rows, 1, self._per_row, d + 1)
        slopes = [one.unflatten(1, (-1, self._per_row)) for one in self._slopes]
        pairs = [(slope, b) for slope in slopes for b in range(d)]
        pairs += [(slope, d) for slope in slopes]
        merged = [self._merged((slope * repeated[..., b]).flatten(1)) for slope, b in pairs]
        return torch.stack(merged)
