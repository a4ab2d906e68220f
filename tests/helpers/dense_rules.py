"""All that the rules for ∂f/∂w are made of, from dense matrices."""

import torch
from torch.func import jacfwd

import compare
import dense_frames
from dense_frames import cg, normal_equations
from regtools.superresolution import Implicit, Kaufman, Projection, Unrolled, projection_jacobian

N_ITER = 14  # of about 50 that this problem needs: what is left out matters


def close(ours, expected, tol=1e-10):
    """As `compare.close`; a projection by CG has fewer digits."""
    compare.close(ours, expected, tol)


class Dense:
    """All that the rules are made of at one w, from dense matrices."""

    def __init__(self, problem, w):
        self.problem, self.w = problem, w
        self.A, self.b = dense_frames.matrix(problem, w), dense_frames.target(problem)
        self.dA = jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
        self.N, self.right = self.A.T @ self.A, self.A.T @ self.b
        self.f = torch.linalg.solve(self.N, self.right)
        self.shape = (*problem.domain.m, problem.n_params)

    def tangent_right(self, f, kaufman=False):
        """The right-hand side −(∂A)ᵀ r − Aᵀ D of the tangent equations."""
        right = -self.A.T @ self.D(f)
        if not kaufman:
            right -= torch.einsum("rnk,r->nk", self.dA, self.A @ f - self.b)
        return right

    def D(self, f):
        return torch.einsum("rnk,n->rk", self.dA, f)

    def columns(self, right, n_iter):
        """CG for each column alone."""
        return torch.stack([cg(self.N, one, n_iter) for one in right.T], dim=1)

    def jacobian(self, f, df):
        return self.D(f) + self.A @ df

    def through_cg(self, n_iter, x0=None):
        """∂/∂w of CG's iterate, by `jacfwd` of a dense CG."""

        def iterate(w):
            return cg(*normal_equations(self.problem, w), n_iter, x0)

        return jacfwd(iterate)(self.w)


def found(dense, rule, n_iter, tol=1e-12, image0=None):
    """Image, ∂f/∂w and Jacobian by the code under test, as matrices."""
    projection = Projection(dense.problem, rule, n_iter=n_iter, tol=tol, image0=image0)
    operator = dense.problem.operator(dense.w)
    projected = projection.project(operator)
    moves, jacobian = projection.linearize(operator, projected)
    assert moves.shape == dense.shape
    assert torch.equal(moves, projection.image_derivative(operator, projected))
    return projected.image.flatten(), moves.flatten(0, -2), jacobian


def check(dense, rule, n_iter, image, df, tol=1e-9, image0=None):
    ours = found(dense, rule, n_iter, image0=image0)
    close(ours[0], image, tol)
    close(ours[1], df, tol)
    close(ours[2], dense.jacobian(image, df), tol)
    close(
        projection_jacobian(
            dense.problem, dense.w, rule, n_iter_cg=n_iter, tol_cg=1e-12, image0=image0
        ),
        ours[2],
    )


# Those that differ from each other where CG has not converged.
RULES = {
    "none": "none",
    "kaufman": "kaufman",
    "kaufman, count": Kaufman(5),
    "implicit": "implicit",
    "implicit, count": Implicit(5),
    "unrolled": "unrolled",
    "last 30 %": Unrolled(last=0.3),
    "last 50 %": Unrolled(last=0.5),
    "first 30 %": Unrolled(first=0.3),
    "first 50 %": Unrolled(first=0.5),
}
