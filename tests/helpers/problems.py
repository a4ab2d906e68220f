"""Small registration problems that several test files share."""

import numpy as np
import torch

from regtools.images import Domain, SplineImage, load
from regtools.registration import Affine, RegistrationProblem, Transform

DOMAIN = Domain((0.0, 3.0, -1.0, 4.0), (12, 17))  # not square, not isotropic


def blob(centre, width, domain=DOMAIN):
    """A smooth bright spot of the given widths along the two axes."""
    x = domain.cell_centers().numpy()
    grey = 100 * np.exp(-(((x - centre) / width) ** 2).sum(1))
    return SplineImage(torch.from_numpy(grey).reshape(domain.m), domain)


def two_blobs(transform=None, **options):
    """A spot to be moved onto another one of a slightly different shape."""
    template, reference = blob((1.4, 1.2), (0.7, 1.0)), blob((1.6, 1.5), (0.8, 0.9))
    return RegistrationProblem(template, reference, transform or Affine(2), **options)


class LogShift(Transform):
    """The shift by log w: not defined at w <= 0."""

    dim, n_params = 2, 2

    def __call__(self, w, x):
        return x + torch.log(w)

    def identity(self, dtype=torch.float64, device=None):
        return torch.ones(2, dtype=dtype, device=device)


def near_identity(transform, size=0.05, seed=0):
    """The identity and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(transform.n_params, generator=generator, dtype=torch.float64)
    return transform.identity() + size * noise


def pair_problem(name, m=32):
    """A pair of the book or the paper, with affine maps."""
    return RegistrationProblem.of(load(name, m), Affine(2))
