"""Differentiate part of CG in 53, 106 and 400 bits: what rounding does to the derivative.

    python -m tools.many_bits [--only errors|columns] [--workers N]

errors: for several problems and directions, the error of the derivative of the image relative to
the error of taking no derivative at all, both in the norm of the Jacobian, for the last and the
first part of 200 CG iterations from a black image. Takes some ten minutes.
columns: for the explorer of chapter 7, one column of that derivative on the chapter's own problem,
for several parts of several numbers of iterations. Takes some five minutes.

The problem itself, its matrix and the derivative of that, is rounded to double precision once and
then exact; CG, its tangents and the true derivative are computed by python-flint in the precision
asked for.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import flint
import numpy as np
import torch
from tqdm import tqdm

import regtools
from regtools import Unrolled
from regtools.explorers.partial_cg import COUNTS, FRACTIONS, PARAMETER
from tools.files import replace_text

DATA = Path(__file__).resolve().parents[1] / "notebooks" / "data"
OUTPUT = DATA / "many_bits.json"
COLUMNS = DATA / "many_bits_columns.npz"
PROBLEMS = [
    ("hands-phantom", 20, (2, 3, 4)),
    ("hands-phantom", 20, (5, 6, 7)),
    ("retina", 20, (2, 3, 4)),
    ("retina", 20, (5, 6, 7)),
    ("cells", (20, 24), (2, 3, 4)),
    ("cells", (20, 24), (5, 6, 7)),
    ("camera", 20, (2, 3, 4)),
    ("microaneurysms", 20, (2, 3, 4)),
]
BITS = (53, 106, 400)
LAST = (50, 70, 80, 90, 95, 100)
FIRST = (50, 70, 90)
N_ITER = 200
N_DIRECTIONS = 3


def matrices(name, m, seeds, parameter=None):
    """Return N, Aᵀb and their derivatives along some directions, as double tensors.

    The directions are random ones of unit length, or a single parameter.

    Taken where `register_frames` starts the search, as in chapter 7. Made symmetric, since N as it
    comes, asymmetric in its last digit, harms the last 70 % in 106 bits as much as rounding in 53.
    """
    known = regtools.simulated_problem(name, m, seeds=seeds)
    problem, operator = known.problem, known.problem.operator(known.w0)
    n = known.image.numel()
    eye = torch.eye(n, dtype=torch.float64)
    N = operator.normal(eye.reshape(*known.domain.m, n)).reshape(n, n)
    # Each unit image with zero tangents gives (∂_k N) times it.
    slopes = torch.stack(
        [
            operator.normal_jvp(_alone(one, problem.n_params))[..., 1:].reshape(n, -1)
            for one in eye.reshape(n, *known.domain.m)
        ],
        dim=1,
    )
    right = operator.adjoint(problem.target).reshape(n)
    right_slopes = operator.derivative_adjoint(problem.target).reshape(n, -1)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(problem.n_params, N_DIRECTIONS, generator=generator, dtype=torch.float64)
    v = v / v.norm(dim=0)
    if parameter is not None:
        v = torch.eye(problem.n_params, dtype=torch.float64)[:, [parameter]]
    dN = torch.einsum("ijp,pk->kij", slopes, v)
    return (N + N.T) / 2, right, (dN + dN.mT) / 2, right_slopes @ v


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


def errors(bits, N, right, dN, dright, n_iter=N_ITER):
    """Errors over that of no derivative, one a direction, for each part of the iterations."""
    flint.ctx.prec = bits
    cg = Tangents(N, right, dN, dright)
    counts = {percent: round(percent * n_iter / 100) for percent in {*LAST, *FIRST}}
    late, early = parts(cg, n_iter, [counts[k] for k in LAST], [counts[k] for k in FIRST])
    blocks = {f"first {percent}": early[counts[percent]] for percent in FIRST}
    blocks |= {f"last {percent}": late[counts[percent]] for percent in LAST}
    flint.ctx.prec = max(BITS)
    exact = Tangents(N, right, dN, dright)
    truth = exact.solution()
    none = exact.norms(truth)
    return {
        part: [gap / size for gap, size in zip(exact.norms(block - truth), none, strict=True)]
        for part, block in blocks.items()
    }


def measure(problem):
    """Run all precisions on one problem."""
    torch.set_num_threads(1)
    inputs = matrices(*problem)
    return {str(bits): errors(bits, *inputs) for bits in BITS}


def columns(bits):
    """The column of the explorer, shape (number of COUNTS, number of FRACTIONS, *m)."""
    name, m, seeds = PROBLEMS[0]
    inputs = matrices(name, m, seeds, PARAMETER)
    flint.ctx.prec = bits
    cg, rows = Tangents(*inputs), []
    for n_iter in COUNTS:
        inside = [Unrolled(last=fraction).counts(n_iter)[1] for fraction in FRACTIONS]
        late = parts(cg, n_iter, inside)[0]
        moves = {k: [float(block[i, 1]) for i in range(block.nrows())] for k, block in late.items()}
        rows.append([moves.get(k, [0.0] * len(inputs[1])) for k in inside])
    return np.array(rows).reshape(len(COUNTS), len(FRACTIONS), m, m)


def write_errors(pool):
    """Write the errors of all problems."""
    runs = list(tqdm(pool.map(measure, PROBLEMS), total=len(PROBLEMS), unit="problem"))
    rows = [
        {
            "image": name,
            "seeds": list(seeds),
            "errors": {
                bits: {part: [float(f"{x:.1e}") for x in row] for part, row in parts.items()}
                for bits, parts in run.items()
            },
        }
        for (name, _, seeds), run in zip(PROBLEMS, runs, strict=True)
    ]
    replace_text(OUTPUT, json.dumps({"n_iter": N_ITER, "problems": rows}, indent=1) + "\n")
    print(f"{OUTPUT} is written")


def write_columns(pool):
    """Write the explorer's column in the precisions that double arithmetic does not give."""
    bits = BITS[1:]
    found = list(tqdm(pool.map(columns, bits), total=len(bits), unit="precision"))
    np.savez_compressed(COLUMNS, **{str(b): array for b, array in zip(bits, found, strict=True)})
    print(f"{COLUMNS} is written")


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["errors", "columns"], help="one of the two files")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    with ProcessPoolExecutor(arguments.workers) as pool:
        if arguments.only != "columns":
            write_errors(pool)
        if arguments.only != "errors":
            write_columns(pool)


if __name__ == "__main__":
    main()
