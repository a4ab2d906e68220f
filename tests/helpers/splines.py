"""Random spline images, and SciPy's derivatives of the same splines."""

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import torch

from regtools.images import Domain, SplineImage

# Non-square, anisotropic, not at the origin; one for each number of axes.
DOMAINS = [
    Domain((-1.0, 4.0), (9,)),
    Domain((0.0, 3.0, -1.0, 4.0), (6, 9)),
    Domain((0.0, 3.0, -1.0, 4.0, 2.0, 2.5), (4, 6, 5)),
]
by_dim = pytest.mark.parametrize("domain", DOMAINS, ids=["1D", "2D", "3D"])


def random_image(domain, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return SplineImage(torch.randn(domain.m, generator=generator, dtype=dtype), domain)


def random_points(domain, n=40, seed=1, margin=3.0):
    """Points in the box and up to `margin` pixels outside."""
    u = np.random.default_rng(seed).uniform(size=(n, domain.dim))
    low = np.array(domain.lower) - margin * np.array(domain.h)
    high = np.array(domain.upper) + margin * np.array(domain.h)
    return torch.from_numpy(low + u * (high - low))


def scipy_derivative(coefficients, domain, points, a):
    """Derivative `a` of the same spline, by SciPy, in physical units."""
    pad = 8
    padded = np.pad(coefficients, pad)
    knots = tuple(np.arange(-2.0 - pad, m + pad + 2) for m in coefficients.shape)
    spline = scipy.interpolate.NdBSpline(knots, padded, 3)
    u = (points.numpy() - domain.lower) / domain.h - 0.5
    scale = np.prod([6.0 / h**k for h, k in zip(domain.h, a, strict=True)])
    return scale * spline(u, nu=list(a))
