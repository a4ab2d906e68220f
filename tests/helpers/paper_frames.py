"""Section 4 of the paper on its own image: the problem, runs, dense derivatives.

Its 20×20 image, four 10×10 frames under the maps of seeds 2, 3, 4, λ = 1e-2. The published runs
start from a registration at one scale, square and sum the data alone, and move frame 0 too.
"""

from functools import cache
from types import SimpleNamespace

import torch

import regtools
from regtools.registration import Affine
from regtools.superresolution import (
    SuperResolutionProblem,
    register_frames,
    simulate_frames,
    varpro,
)


@cache
def paper():
    """The image, its frames, the problem and its start: stacked, and as published."""
    pair = regtools.load("hands", 20)
    image, domain = pair.reference, pair.domain
    w_true = regtools.random_maps(domain, (2, 3, 4))
    frames = simulate_frames(image, domain, 2, w_true)
    w0 = register_frames(frames, domain, thetas=[1e-3]).w
    identity = Affine(2).identity()
    return SimpleNamespace(
        image=image,
        domain=domain,
        frames=frames,
        w_true=w_true,
        stacked=(SuperResolutionProblem(frames, domain, 2, 1e-2), w0),
        data=(
            SuperResolutionProblem(frames, domain, 2, 1e-2, fix_first=False),
            torch.cat([identity, w0]),
        ),
    )


def error(image):
    """Relative error of a reconstruction, per cent."""
    return 100 * float((image - paper().image).norm() / paper().image.norm())


@cache
def run(rows, derivative, max_iter=10, n_iter_cg=None, damping=1e-3, image0=None):
    problem, w0 = getattr(paper(), rows)
    return varpro(
        problem,
        w0,
        derivative,
        n_iter_cg=n_iter_cg,
        rows=rows,
        max_iter=max_iter,
        damping=damping,
        image0=image0,
        scaled=False,
    )


def error_after(rows, derivative, steps, max_iter):
    """The error after some steps of a longer run."""
    problem, _ = getattr(paper(), rows)
    return error(problem.reconstruct(run(rows, derivative, max_iter).history[steps].w))


@cache
def dense(which):
    """Image, ∂f/∂w, D, Jacobian and residual by dense algebra, at one of the starts."""
    problem, w = paper().stacked
    if which == "scales":
        w = register_frames(paper().frames, paper().domain).w
    return at(problem, w)


def at(problem, w):
    operator = problem.operator(w)
    A = operator(torch.eye(400, dtype=torch.float64).reshape(20, 20, 400))
    f = torch.linalg.lstsq(A, problem.target[:, None]).solution[:, 0]
    r, D = A @ f - problem.target, operator.derivative(f.reshape(20, 20))
    right = -operator.derivative_adjoint(r).reshape(400, -1) - A.T @ D
    df = torch.linalg.solve(A.T @ A, right)
    return SimpleNamespace(w=w, f=f, df=df, D=D, J=D + A @ df, r=r, A=A)
