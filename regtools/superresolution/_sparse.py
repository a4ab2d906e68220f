"""Sparse matrices of one pattern, filled with many values, and their transposes."""

import warnings

import scipy.sparse
import torch

LIMIT = torch.iinfo(torch.int32).max
"""The indices of a matrix are int32, which take half the memory and time of int64."""


class RowPattern:
    """Where the entries of a matrix stand.

    Parameters
    ----------
    counts, columns : torch.Tensor
        How many entries each row has, and the column of each entry, ascending in a row.
    n_columns : int
        Width of the matrix.
    """

    def __init__(self, counts, columns, n_columns):
        self.shape = len(counts), n_columns
        self._counts, self._columns, self._starts = counts, columns, _starts(counts)

    def by_entry(self, factors):
        """Return for each entry the factor of its row."""
        return factors.repeat_interleave(self._counts)

    def matrix(self, *values):
        """Return the matrices with these entries, stacked vertically."""
        return _csr(self._starts, self._columns, values, self.shape)

    def transposed(self, *values, block=None):
        """Return their transposes, stacked vertically.

        With `block`, each matrix is first cut into groups of so many rows, and the transpose of
        every group is stacked: the columns of the result are still all rows of the matrix.
        """
        n_rows, n_columns = self.shape
        key, tall = self._columns, n_columns
        if block is not None:
            groups = torch.arange(n_rows, device=key.device) // block * n_columns
            key, tall = key + self.by_entry(groups), n_columns * (n_rows // block)
        if key.device.type == "cpu":  # SciPy counts, in linear time
            where = key.numpy(), self._starts.numpy()
            turned = [
                scipy.sparse.csr_array((one.numpy(), *where), (n_rows, tall)).tocsc()
                for one in values
            ]
            first = turned[0]
            starts, rows = torch.from_numpy(first.indptr), torch.from_numpy(first.indices)
            values = [torch.from_numpy(one.data) for one in turned]
        else:
            key, order = key.sort(stable=True)
            starts = _starts(torch.bincount(key, minlength=tall))
            rows = self.by_entry(torch.arange(n_rows, device=key.device))[order]
            values = [one[order] for one in values]
        return _csr(starts, rows, values, (tall, n_rows))


def fixed_width(columns, values, n_columns):
    """Return matrices with rows of one width, stacked vertically, and the transpose of the stack.

    Parameters
    ----------
    columns : list of torch.Tensor
        For each matrix the column indices, shape ``(n_rows, width)``.
    values : list of torch.Tensor
        For each matrix the entries of every row, shape ``(width,)``.
    n_columns : int
        Width of the matrices.
    """
    counts = torch.cat([c.new_full(c.shape[:1], c.shape[1]) for c in columns])
    entries = torch.cat([v.expand(c.shape).flatten() for c, v in zip(columns, values, strict=True)])
    pattern = RowPattern(counts, torch.cat([c.flatten() for c in columns]), n_columns)
    return pattern.matrix(entries), pattern.transposed(entries)


def _starts(counts):
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _csr(starts, columns, values, shape):
    copies, n_entries = len(values), len(columns)
    offsets = torch.arange(copies, device=starts.device)[:, None] * n_entries
    most = max(n_entries * copies, copies * shape[0], shape[1])
    if most > LIMIT:
        raise ValueError(
            f"frames must be fewer or smaller: a matrix has {most} entries, rows or columns, and "
            f"its indices end at {LIMIT}"
        )
    starts = torch.cat([(starts[:-1] + offsets).flatten(), starts[-1:] * copies])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")  # 2.11
        return torch.sparse_csr_tensor(
            starts.int(),
            columns.repeat(copies).int(),
            torch.cat(list(values)),
            size=(copies * shape[0], shape[1]),
            device=starts.device,
            check_invariants=False,
        )
