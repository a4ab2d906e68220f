"""The normal matrix of short rows, as a band."""

import numpy as np
import scipy.sparse

LARGEST = 2**27
"""Most entries of a band: 1 GiB."""


def banded_gram(parts: list[scipy.sparse.csr_matrix]) -> np.ndarray | None:
    """Return the lower band of the sum of all SᵀS, line i the entries (i, i), (i + 1, i), ….

    Parameters
    ----------
    parts : list of scipy.sparse.csr_matrix
        The matrices S, with sorted indices and one number of columns.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(columns, width + 1)``; its transpose is what LAPACK takes. None if it would have
        more than `LARGEST` entries.
    """
    from . import _gram_kernel  # only here: Numba takes half a second to import

    n = parts[0].shape[1]
    width = max(_reach(part) for part in parts)
    if n * (width + 1) > LARGEST:
        return None
    band = np.zeros((n, width + 1))
    for part in parts:
        _gram_kernel.add(band, part.indptr, part.indices, part.data)
    return band


def _reach(part):
    """The largest distance between two entries of a row."""
    starts, ends = part.indptr[:-1], part.indptr[1:]
    filled = ends > starts
    return int((part.indices[ends[filled] - 1] - part.indices[starts[filled]]).max(initial=0))
