"""Super-resolution once more, with dense matrices written from the formulas: the truth in tests.

Of the package it uses `Domain` and the settings of a problem, nothing that computes. All of it
works under `torch.func`, so that `jacfwd` gives exact derivatives.
"""

import math
from functools import reduce

import numpy as np
import torch

from regtools.images import Domain
from regtools.registration import Affine
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


def small_problem(
    fix_first=True, q=2, lam=0.05, factor=2, noise=0.5, domain=DOMAIN, weighted=False, **options
):
    """Frames of `picture` under `true_maps`, with noise, so that the residual does not vanish."""
    frames = dense_frames(picture(domain), domain, factor, true_maps(domain, q))
    rng = np.random.default_rng(5)
    frames = frames + noise * torch.from_numpy(rng.standard_normal(frames.shape))
    if weighted:
        options["weights"] = torch.from_numpy(rng.uniform(0.2, 1, frames.shape))
        options["weights"].flatten()[::7] = 0
    return SuperResolutionProblem(frames, domain, factor, lam, fix_first, **options)


def scaling(problem):
    """S of dw = S dz for affine maps: z[k, i] moves x by h_k (x_i - c_i) / (half the side), z[k]
    by h_k, along axis k."""
    domain, d = problem.domain, problem.domain.dim
    lower, upper, h = (
        torch.tensor(one, dtype=torch.float64) for one in (domain.lower, domain.upper, domain.h)
    )
    linear = torch.diag(h)[:, :, None] / ((upper - lower) / 2)  # along k, of column (k', i)
    S = torch.zeros(d * (d + 1), d * (d + 1), dtype=torch.float64)
    S[: d * d, : d * d] = torch.diag(torch.diagonal(linear).T.flatten())
    S[d * d :, : d * d] = -(linear * (lower + upper) / 2).flatten(1)
    S[d * d :, d * d :] = torch.diag(h)
    return torch.block_diag(*[S] * problem.n_moving)


def start(problem, size=0.02, seed=3):
    """Parameters near those that the frames of `small_problem` were made with."""
    if not isinstance(problem.transform, Affine):
        return torch.from_numpy(0.1 * np.random.default_rng(seed).standard_normal(problem.n_params))
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


def moved(x, block, domain=None):
    """y = A x + b; or a shift; or, about the centre of `domain`, a turn and a shift."""
    dim = x.shape[1]
    if len(block) == dim:
        return x + block
    if len(block) == 3:
        cos, sin = block[0].cos(), block[0].sin()
        turn = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
        centre = x.new_tensor(domain.lower) / 2 + x.new_tensor(domain.upper) / 2
        return (x - centre) @ turn.T + centre + block[1:]
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
    """The cubic B-spline with φ(0) = 4, from truncated powers."""
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


def canvas(problem):
    """The box with its margin."""
    domain, margin = problem.domain, problem.margin
    sides = zip(domain.lower, domain.upper, domain.h, strict=True)
    omega = [end for lo, hi, h in sides for end in (lo - margin * h, hi + margin * h)]
    return Domain(tuple(omega), tuple(m + 2 * margin for m in domain.m))


def crop(m, margin):
    """Along one axis: the pixels of the box among those of the canvas."""
    return torch.nn.functional.pad(eye(m), (margin, margin))


def blur(m, sigma):
    """Along one axis the discrete Gaussian, by its frequency response exp(σ² (cos ω − 1))."""
    long = 4096
    response = np.exp(sigma**2 * (np.cos(2 * np.pi * np.fft.fftfreq(long)) - 1))
    kernel = torch.from_numpy(np.fft.ifft(response).real)
    steps = torch.arange(m)
    return kernel[(steps[:, None] - steps).abs()]


def matrix(problem, w):
    """A_λ(w), dense, from the settings of a problem."""
    domain, wide, factor = problem.domain, canvas(problem), problem.factor
    dim, average = domain.dim, averaging(domain, factor)
    volume_f = math.prod(domain.h)
    volume_d = volume_f * factor**dim
    x = domain.cell_centers()
    psf = kron(*(blur(m, problem.psf * factor) for m in wide.m))
    parts = []
    if problem.fix_first:
        parts.append(average @ kron(*(crop(m, problem.margin) for m in domain.m)) @ psf)
    for block in w.reshape(len(problem.frames) - problem.fix_first, -1):
        points = interpolation_matrix(moved(x, block, domain), wide)
        parts.append(average @ points @ psf)
    rows = math.sqrt(volume_d) * torch.cat(parts)
    if problem.weights is not None:
        rows = problem.weights.flatten()[:, None] * rows
    return torch.cat([rows, problem.lam * math.sqrt(volume_f) * difference_matrix(wide)])


def target(problem):
    """b, the weighted frames and zeros."""
    domain = problem.domain
    data = math.sqrt(math.prod(domain.h) * problem.factor**domain.dim) * problem.frames.flatten()
    if problem.weights is not None:
        data = problem.weights.flatten() * data
    return torch.cat([data, data.new_zeros(len(difference_matrix(canvas(problem))))])


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
