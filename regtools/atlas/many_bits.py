"""Differentiate part of CG in as many bits as asked for, by python-flint.

The matrix, the right-hand side and their derivatives are rounded to double precision once and then
exact; from there on only CG rounds.
"""

from __future__ import annotations

import torch

from ..images import checks
from ..superresolution import SuperResolutionProblem

flint = checks.imported("flint", "many bits need {}", extra="atlas")

EXACT = 400
"""Bits of what counts as exact."""


def matrices(problem: SuperResolutionProblem, w: torch.Tensor, directions: torch.Tensor):
    """Return N, Aᵀb and their derivatives along some directions, as double tensors.

    Made symmetric, since N as it comes, asymmetric in its last digit, harms the last 70 % in 106
    bits as much as rounding in 53.

    Parameters
    ----------
    problem : SuperResolutionProblem
    w : torch.Tensor
        Where, shape ``(n_params,)``.
    directions : torch.Tensor
        Shape ``(n_params, k)``.
    """
    operator, m = problem.operator(w), problem.canvas.m
    n = m[0] * m[1]
    eye = torch.eye(n, dtype=torch.float64)
    N = operator.normal(eye.reshape(*m, n)).reshape(n, n)
    # Each unit image with zero tangents gives (∂_k N) times it.
    slopes = torch.stack(
        [
            operator.normal_jvp(_alone(one, problem.n_params))[..., 1:].reshape(n, -1)
            for one in eye.reshape(n, *m)
        ],
        dim=1,
    )
    right = operator.adjoint(problem.target).reshape(n)
    right_slopes = operator.derivative_adjoint(problem.target).reshape(n, -1)
    dN = torch.einsum("ijp,pk->kij", slopes, directions)
    return (N + N.T) / 2, right, (dN + dN.mT) / 2, right_slopes @ directions


def unit_directions(n_params: int, count: int) -> torch.Tensor:
    """Return random directions of unit length, shape ``(n_params, count)``, always the same."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(n_params, count, generator=generator, dtype=torch.float64)
    return v / v.norm(dim=0)


def _alone(image, n_params):
    return torch.cat([image[..., None], image.new_zeros(*image.shape, n_params)], dim=-1)


def _matrix(tensor):
    return flint.arb_mat(*tensor.shape, [flint.arb(x) for x in tensor.flatten().tolist()])


def _rounded(matrix):
    """Without the error bounds, which would grow from step to step."""
    return flint.arb_mat(matrix.nrows(), matrix.ncols(), [x.mid() for x in matrix.entries()])


class Tangents:
    """CG with its derivatives along several directions, in the precision of `flint.ctx`.

    A block has the value as its first column, and one column for the derivative along each
    direction.
    """

    def __init__(self, N, right, dN, dright):
        self.N, self.dN = _matrix(N), [_matrix(one) for one in dN]
        self.right = _matrix(torch.cat([right[:, None], dright], dim=1))
        self.unit = torch.eye(1 + len(dN), dtype=torch.float64)
        self.first = _matrix(self.unit[:, :1])

    def value(self, block):
        """The first column alone, as a block whose derivatives are zero."""
        return block * self.first * self.first.transpose()

    def apply(self, block):
        """N x, and for each direction N dx + dN x."""
        product, x = self.N * block, block * self.first
        for k, dN in enumerate(self.dN, start=1):
            product += dN * x * _matrix(self.unit[k : k + 1])
        return _rounded(product)

    def run(self, n_iter, start=None, keep=()):
        """Return the block after `n_iter` iterations from a constant start, and those at `keep`."""
        x = self.right * 0 if start is None else self.value(start)
        r = _rounded(self.right - self.apply(x))
        p, rr, kept = r, self._products(r, r), {}
        for k in range(1, n_iter + 1):
            q = self.apply(p)
            alpha = self._ratio(rr, self._products(p, q))
            x, r = _rounded(x + p * alpha), _rounded(r - q * alpha)
            before, rr = rr, self._products(r, r)
            p = _rounded(r + p * self._ratio(rr, before))
            if k in keep:
                kept[k] = x
        return x, kept

    def solution(self):
        """The exact image and its derivatives."""
        f = self.value(self.N.solve(self.right))
        return _rounded(f + self.N.solve(self.right - self.apply(f)))

    def norms(self, block):
        """Norms of A times each derivative."""
        squares = block.transpose() * self.N * block
        return [float(squares[k, k].mid().sqrt()) for k in range(1, block.ncols())]

    @staticmethod
    def _products(u, v):
        """The inner product of the values, and its derivatives."""
        gram = u.transpose() * v
        rest = [(gram[k, 0] + gram[0, k]).mid() for k in range(1, gram.nrows())]
        return [gram[0, 0].mid(), *rest]

    @staticmethod
    def _ratio(a, b):
        """The matrix that multiplies a block by the number a / b, by the product rule."""
        value, size = (a[0] / b[0]).mid(), len(a)
        entries = [value if i == j else flint.arb(0) for i in range(size) for j in range(size)]
        entries[1:size] = [((a[k] - value * b[k]) / b[0]).mid() for k in range(1, size)]
        return flint.arb_mat(size, size, entries)


def parts(cg, n_iter, last, first=()):
    """Return the blocks of the last and first so many of `n_iter` iterations, by their number."""
    keep = {*first, *(n_iter - inside for inside in last)}
    whole, kept = cg.run(n_iter, keep=keep)
    restarted = {k: cg.run(k, kept[n_iter - k])[0] for k in last if 0 < k < n_iter}
    return {n_iter: whole} | restarted, {k: kept[k] for k in first}


def errors(bits, N, right, dN, dright, n_iter, last, first=()):
    """Errors over that of no derivative, one a direction, for parts of the iterations.

    `last` and `first` are in per cent. Both errors are in the norm of the Jacobian.
    """
    flint.ctx.prec = bits
    cg = Tangents(N, right, dN, dright)
    counts = {percent: round(percent * n_iter / 100) for percent in {*last, *first}}
    late, early = parts(cg, n_iter, [counts[k] for k in last], [counts[k] for k in first])
    blocks = {f"first {percent}": early[counts[percent]] for percent in first}
    blocks |= {f"last {percent}": late[counts[percent]] for percent in last}
    flint.ctx.prec = EXACT
    exact = Tangents(N, right, dN, dright)
    truth = exact.solution()
    none = exact.norms(truth)
    return {
        part: [gap / size for gap, size in zip(exact.norms(block - truth), none, strict=True)]
        for part, block in blocks.items()
    }
