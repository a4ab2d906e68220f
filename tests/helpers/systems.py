"""Linear systems for CG."""

import numpy as np
import torch

from regtools.solvers import differentiate_cg

N = 60


def differentiated(*arguments, **options):
    """x, dx and the number of iterations."""
    result = differentiate_cg(*arguments, **options)
    assert result.success and result.history == ()
    return result.x, result.dx, result.n_iter


def symmetric(eigenvalues, seed=0):
    """A dense symmetric matrix with given eigenvalues."""
    shape = len(eigenvalues), len(eigenvalues)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal(shape))
    return torch.from_numpy(q * eigenvalues @ q.T)


def vector(*shape, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


MATRIX, RIGHT = symmetric(np.linspace(1, 300, N)), vector(N)
COLUMNS = torch.stack([RIGHT, MATRIX @ RIGHT, 1e-5 * vector(N, seed=8), 0 * RIGHT], dim=1)
