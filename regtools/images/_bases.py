"""What diagonalises one axis of a spline image: (analysis, synthesis, eigenvalues).

The coefficients of a line T at the blur θ are synthesis · (analysis · T) / (1 + θ · eigenvalues).
"""

from functools import lru_cache

import numpy as np
import scipy.linalg

PAD = 5  # coefficients beyond the box of an image that goes on: two for its support, three more


@lru_cache(maxsize=32)
def zero_basis(m):
    """Diagonalise one axis: (V^T B^T, V, d) with c = V (V^T B^T T) / (1 + theta d)."""
    basis = scipy.linalg.toeplitz([4.0, 1.0] + [0.0] * (m - 2))
    moments = scipy.linalg.toeplitz([96.0, -54.0, 0.0, 6.0] + [0.0] * (m - 4))
    eigenvalues, vectors = scipy.linalg.eigh(moments, basis.T @ basis)
    return vectors.T @ basis.T, vectors, eigenvalues


@lru_cache(maxsize=32)
def mirror_basis(m):
    """The same for data mirrored at the borders: waves, with `PAD` values on each side."""
    wave = np.pi * np.arange(m) / m
    vectors = np.cos(np.outer(np.arange(-PAD, m + PAD) + 0.5, wave)) * np.sqrt(2 / m)
    vectors[:, 0] /= np.sqrt(2)
    gain = 4 + 2 * np.cos(wave)
    moments = 96 - 108 * np.cos(wave) + 12 * np.cos(3 * wave)
    return vectors[PAD:-PAD].T / gain[:, None], vectors, moments / gain**2
