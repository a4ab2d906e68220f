"""The loop of `banded_gram`."""

from ._numba import call, kept


def add(band, starts, columns, values):
    """Add SᵀS of sparse rows to its lower band."""
    call(_add, band, starts, columns, values)


@kept
def _add(band, starts, columns, values):
    for row in range(len(starts) - 1):
        for a in range(starts[row], starts[row + 1]):
            for b in range(a, starts[row + 1]):
                band[columns[a], columns[b] - columns[a]] += values[a] * values[b]
