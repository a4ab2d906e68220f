r"""The normal matrix of one w, factorised: what makes CG a direct solver for small pictures.

In the spline coefficients c, with the pixels :math:`f = B c`, all rows are short: those of a frame
reach over a few cells, the differences over four. So :math:`B^\top A^\top A\, B` is a band, and
:math:`(A^\top A)^{-1} = B\,(\cdot)^{-1} B^\top` costs one banded Cholesky factor, and two sweeps
for each right-hand side.
"""

from __future__ import annotations

import scipy.linalg
import scipy.sparse
import torch

from ..images import banded_gram


class BandedInverse:
    """(AᵀA)⁻¹ of a `FrameOperator`, to rounding, to be called with an image or a block of them.

    Parameters
    ----------
    moving, still : torch.Tensor
        Sparse matrices: rows that act on coefficients, and rows that act on pixels.
    m : tuple of int
        Cells of the image.

    Raises
    ------
    ValueError
        If the band would need more than 1 GiB, or the matrix is singular to rounding.
    """

    def __init__(self, moving: torch.Tensor, still: torch.Tensor, m: tuple) -> None:
        self._spline = _spline_matrix(m)
        parts = [_csr(moving), (_csr(still) @ self._spline).tocsr()]
        for part in parts:
            part.sort_indices()
        band = banded_gram(parts)
        instead = 'take solver="cg"'
        if band is None:
            raise ValueError(f"the factor of an image of {m} would need over 1 GiB: {instead}")
        try:
            self._factor = scipy.linalg.cholesky_banded(
                band.T, lower=True, overwrite_ab=True, check_finite=False
            )
        except scipy.linalg.LinAlgError:
            raise ValueError(
                f"the normal matrix is singular to rounding: raise lam, or {instead}"
            ) from None

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return (AᵀA)⁻¹ image."""
        right = image.double().numpy(force=True).reshape(self._spline.shape[0], -1)
        solved = scipy.linalg.cho_solve_banded(
            (self._factor, True), self._spline.T @ right, check_finite=False
        )
        return torch.from_numpy(self._spline @ solved).reshape(image.shape).to(image)


def _csr(matrix):
    """A sparse matrix of torch as one of SciPy, in double precision."""
    values = matrix.values().double(), matrix.col_indices(), matrix.crow_indices()
    return scipy.sparse.csr_matrix(tuple(part.cpu().numpy() for part in values), matrix.shape)


def _spline_matrix(m):
    """B: from coefficients to pixels, black outside."""
    matrix = scipy.sparse.identity(1)
    for n in m:
        line = scipy.sparse.diags([1.0, 4.0, 1.0], [-1, 0, 1], shape=(n, n))
        matrix = scipy.sparse.kron(matrix, line)
    return matrix.tocsr()
