"""Super-resolution once more, with dense matrices written from the formulas: the truth in tests.

Of the package it uses `Domain` and the settings of a problem, nothing that computes. All of it
works under `torch.func`, so that `jacfwd` gives exact derivatives.
"""

import math
from functools import reduce

import numpy as np
import torch

from regtools.images import Domain
from regtools.superresolution import SuperResolutionProblem

DOMAIN = Domain((0.0, 2.0, -1.0, 4.0), (8, 12))  # not square, not isotropic
BOX = Domain((0.0, 2.0, -1.0, 4.0, 1.0, 2.0), (4, 6, 8))


def picture(domain=DOMAIN, seed=0):
    """Grey values with blobs and some noise."""
    rng = np.random.default_rng(seed)
    x = (domain.cell_centers().numpy() - domain.lower) / np.subtract(domain.upper, domain.lower)
    grey = 5.0 * rng.standard_normal(len(x))
    for centre in rng.uniform(0.2, 0.8, (3, domain.dim)):
        grey += 100 * np.exp(-(((x - centre) / 0.2) ** 2).sum(1))
    return torch.from_numpy(grey).reshape(domain.m)


def true_maps(domain=DOMAIN, q=2):
    """Maps close to the identity that leave the centre about where it is."""
    rng, blocks = np.random.default_rng(1), []
    centre = np.add(domain.lower, domain.upper) / 2
    for _ in range(q):
        A = np.eye(domain.dim) + 0.08 * rng.standard_normal((domain.dim, domain.dim))
        shift = domain.h * rng.uniform(-1, 1, domain.dim)
        blocks += [A.ravel(), centre + shift - A @ centre]
    return torch.from_numpy(np.concatenate(blocks))


def small_problem(fix_first=True, q=2, lam=0.05, factor=2, noise=0.5, domain=DOMAIN):
    """Frames of `picture` under `true_maps`, with noise, so that the residual does not vanish."""
    frames = dense_frames(picture(domain), domain, factor, true_maps(domain, q))
    grain = torch.from_numpy(np.random.default_rng(5).standard_normal(frames.shape))
    return SuperResolutionProblem(frames + noise * grain, domain, factor, lam, fix_first)


def start(problem, size=0.02, seed=3):
    """Parameters near those that the frames of `small_problem` were made with."""
    w = true_maps(problem.domain, len(problem.frames) - 1)
    if not problem.fix_first:
        dim = problem.domain.dim
        w = torch.cat([eye(dim).flatten(), w.new_zeros(dim), w])
    return w + size * torch.from_numpy(np.random.default_rng(seed).standard_normal(len(w)))


def dense_frames(image, domain, factor, w):
    """All frames of an image, frame 0 unmoved."""
    average, n = averaging(domain, factor), domain.dim * (domain.dim + 1)
    frames = [average @ image.flatten()]
    for block in w.reshape(-1, n):
        points = moved(domain.cell_centers(), block)
        frames.append(average @ interpolation_matrix(points, domain) @ image.flatten())
    return torch.stack(frames).reshape(-1, *(m // factor for m in domain.m))


def moved(x, block):
    """y = A x + b."""
    dim = x.shape[1]
    return x @ block[: dim * dim].reshape(dim, dim).T + block[dim * dim :]


def kron(*matrices):
    """The Kronecker product of several matrices."""
    return reduce(torch.kron, matrices)


def eye(n):
    """The identity matrix."""
    return torch.eye(n, dtype=torch.float64)


def averaging(domain, factor):
    """K: the Kronecker product of averages along each axis."""
    ones = torch.full((1, factor), 1 / factor, dtype=torch.float64)
    return kron(*(torch.kron(eye(m // factor), ones) for m in domain.m))


def difference_matrix(domain):
    """L: differences over h along each axis, stacked."""
    parts = []
    for axis, h in enumerate(domain.h):
        factors = [eye(m) for m in domain.m]
        factors[axis] = factors[axis].diff(dim=0) / h
        parts.append(kron(*factors))
    return torch.cat(parts)


def basis(u):
    """The cubic B-spline with b(0) = 4, from truncated powers."""
    u = u.abs()
    return (2 - u).clamp(min=0) ** 3 - 4 * (1 - u).clamp(min=0) ** 3


def interpolation_matrix(points, domain):
    """I: values of the interpolating spline at points, for each image of one bright pixel."""
    values, inverses = [], []
    for x, lower, h, m in zip(points.unbind(-1), domain.lower, domain.h, domain.m, strict=True):
        nodes = torch.arange(m, dtype=torch.float64)
        values.append(basis((x[:, None] - lower) / h - 0.5 - nodes))
        inverses.append(torch.linalg.inv(basis(nodes[:, None] - nodes)))
    rows = reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).flatten(1), values)
    return rows @ kron(*inverses)


def matrix(problem, w):
    """A_λ(w), dense, from the settings of a problem."""
    domain, factor = problem.domain, problem.factor
    dim, average = domain.dim, averaging(domain, factor)
    volume_f = math.prod(domain.h)
    volume_d = volume_f * factor**dim
    x = domain.cell_centers()
    parts = [math.sqrt(volume_d) * average] if problem.fix_first else []
    for block in w.reshape(-1, dim * (dim + 1)):
        points = interpolation_matrix(moved(x, block), domain)
        parts.append(math.sqrt(volume_d) * average @ points)
    parts.append(problem.lam * math.sqrt(volume_f) * difference_matrix(domain))
    return torch.cat(parts)


def target(problem):
    """b, the weighted frames and zeros."""
    domain = problem.domain
    data = math.sqrt(math.prod(domain.h) * problem.factor**domain.dim) * problem.frames.flatten()
    return torch.cat([data, data.new_zeros(len(difference_matrix(domain)))])


def projection(problem, w):
    """f(w) by Cholesky's method, shape (n,)."""
    A = matrix(problem, w)
    factor = torch.linalg.cholesky(A.T @ A)
    return torch.cholesky_solve((A.T @ target(problem))[:, None], factor)[:, 0]


def reduced_residual(problem, w):
    """A(w) f(w) − b."""
    return matrix(problem, w) @ projection(problem, w) - target(problem)


def cg(N, b, n_iter, x=None):
    """Textbook CG, exactly `n_iter` iterations, for `torch.func` to go through."""
    x = torch.zeros_like(b) if x is None else x
    r = b - N @ x
    p, rr = r, r @ r
    for _ in range(n_iter):
        Np = N @ p
        alpha = rr / (p @ Np)
        x, r = x + alpha * p, r - alpha * Np
        rr, old = r @ r, rr
        p = r + rr / old * p
    return x


def normal_equations(problem, w):
    """AᵀA and Aᵀb."""
    A = matrix(problem, w)
    return A.T @ A, A.T @ target(problem)
