"""Differentiate part of CG in 53, 106 and 400 bits: what rounding does to the derivative.

    python -m tools.many_bits [--output FILE] [--workers N]

For several problems and directions, the error of the derivative of the image relative to the error
of taking no derivative at all, both in the norm of the Jacobian, for the last and the first part of
200 CG iterations from a black image. The problem itself, its matrix and the derivative of that, is
rounded to double precision once and then exact; CG, its tangents and the true derivative are
computed by python-flint in the precision asked for. Takes some ten minutes.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import flint
import torch
from tqdm import tqdm

import regtools

OUTPUT = Path(__file__).resolve().parents[1] / "notebooks" / "data" / "many_bits.json"
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


def matrices(name, m, seeds):
    """Return N, Aᵀb and their derivatives along random unit directions, as double tensors.

    Taken where `register_frames` starts the search, as in chapter 7.
    """
    loaded = regtools.load(name, m)
    image = loaded.reference if name == "hands-phantom" else loaded.data
    maps = regtools.random_maps(loaded.domain, seeds)
    frames = regtools.simulate_frames(image, loaded.domain, 2, maps)
    problem = regtools.SuperResolutionProblem(frames, loaded.domain, 2, lam=1e-2)
    operator = problem.operator(regtools.register_frames(frames, loaded.domain))
    n = image.numel()
    eye = torch.eye(n, dtype=torch.float64)
    N = operator.normal(eye.reshape(*loaded.domain.m, n)).reshape(n, n)
    # Each unit image with zero tangents gives (∂_k N) times it.
    slopes = torch.stack(
        [
            operator.normal_jvp(_alone(one, problem.n_params))[..., 1:].reshape(n, -1)
            for one in eye.reshape(n, *loaded.domain.m)
        ],
        dim=1,
    )
    right = operator.adjoint(problem.target).reshape(n)
    right_slopes = operator.derivative_adjoint(problem.target).reshape(n, -1)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(problem.n_params, N_DIRECTIONS, generator=generator, dtype=torch.float64)
    v = v / v.norm(dim=0)
    dN = torch.einsum("ijp,pk->kij", slopes, v)
    return (N + N.T) / 2, right, (dN + dN.mT) / 2, right_slopes @ v


def _alone(image, n_params):
    return torch.cat([image[..., None], image.new_zeros(*image.shape, n_params)], dim=-1)


def _matrix(tensor):
    return flint.arb_mat(*tensor.shape, [flint.arb(x) for x in tensor.flatten().tolist()])


def _rounded(matrix):
    """Without the error bounds, which would grow from step to step."""
    return flint.arb_mat(matrix.nrows(), matrix.ncols(), [x.mid() for x in matrix.entries()])


def _columns(matrix):
    rows = matrix.tolist()
    return [[row[k] for row in rows] for k in range(matrix.ncols())]


def _dot(u, v):
    total = flint.arb(0)
    for a, b in zip(u, v, strict=True):
        total = total + a * b
    return total.mid()


def _add(u, factor, v):
    return [(a + factor * b).mid() for a, b in zip(u, v, strict=True)]


class Tangents:
    """CG with its derivatives along several directions, in the precision of `flint.ctx`.

    Vectors are lists of columns: the value, and then one derivative for each direction.
    """

    def __init__(self, N, right, dN, dright):
        self.N, self.dN = _matrix(N), [_matrix(one) for one in dN]
        self.right = _columns(_matrix(torch.cat([right[:, None], dright], dim=1)))
        self.zero = [[flint.arb(0)] * len(right) for _ in self.right]

    def apply(self, columns):
        """N x, and for each direction N dx + dN x."""
        block = flint.arb_mat([list(row) for row in zip(*columns, strict=True)])
        product = _columns(_rounded(self.N * block))
        if len(columns) == 1:
            return product
        value = flint.arb_mat([[x] for x in columns[0]])
        moved = [_columns(one * value)[0] for one in self.dN]
        extra = [_add(a, flint.arb(1), b) for a, b in zip(product[1:], moved, strict=True)]
        return [product[0], *extra]

    def run(self, n_iter, start=None, derivatives=True, keep=()):
        """Return x after `n_iter` iterations from a constant start, and copies after some."""
        zero, right = (self.zero, self.right) if derivatives else (self.zero[:1], self.right[:1])
        x = list(zero) if start is None else [start, *zero[1:]]
        product = self.apply(x)
        r = [_add(b, flint.arb(-1), a) for b, a in zip(right, product, strict=True)]
        p, rr, kept = r, self._products(r, r), {}
        for k in range(1, n_iter + 1):
            q = self.apply(p)
            alpha = self._ratio(rr, self._products(p, q))
            x, r = self._step(x, alpha, p), self._step(r, [-a for a in alpha], q)
            before, rr = rr, self._products(r, r)
            p = self._step(r, self._ratio(rr, before), p)
            if k in keep:
                kept[k] = x
        return x, kept

    def solution(self):
        """The exact image and its derivatives."""
        f = _columns(_rounded(self.N.solve(flint.arb_mat([[x] for x in self.right[0]]))))
        rest = self.apply([f[0], *self.zero[1:]])[1:]
        right = [_add(b, flint.arb(-1), a) for b, a in zip(self.right[1:], rest, strict=True)]
        block = flint.arb_mat([list(row) for row in zip(*right, strict=True)])
        return f + _columns(_rounded(self.N.solve(block)))

    def norms(self, columns):
        """Norms of A times each column."""
        block = flint.arb_mat([list(row) for row in zip(*columns, strict=True)])
        images = _columns(self.N * block)
        return [float(_dot(u, v).sqrt()) for u, v in zip(columns, images, strict=True)]

    @staticmethod
    def _products(u, v):
        value = _dot(u[0], v[0])
        rest = [(_dot(a, v[0]) + _dot(u[0], b)).mid() for a, b in zip(u[1:], v[1:], strict=True)]
        return [value, *rest]

    @staticmethod
    def _ratio(a, b):
        value = (a[0] / b[0]).mid()
        return [
            value,
            *(((da - value * db) / b[0]).mid() for da, db in zip(a[1:], b[1:], strict=True)),
        ]

    @staticmethod
    def _step(x, factor, p):
        """x + factor p, with the derivative of the product."""
        value = _add(x[0], factor[0], p[0])
        rest = [
            _add(_add(dx, factor[0], dp), df, p[0])
            for dx, df, dp in zip(x[1:], factor[1:], p[1:], strict=True)
        ]
        return [value, *rest]


def errors(bits, N, right, dN, dright, n_iter=N_ITER):
    """Errors over that of no derivative, one a direction, for each part of the iterations."""
    flint.ctx.prec = 400
    exact = Tangents(N, right, dN, dright)
    truth = exact.solution()[1:]
    none = exact.norms(truth)

    def relative(tangents):
        gaps = [_add(one, flint.arb(-1), true) for one, true in zip(tangents, truth, strict=True)]
        return [gap / size for gap, size in zip(exact.norms(gaps), none, strict=True)]

    flint.ctx.prec = bits
    cg, found = Tangents(N, right, dN, dright), {}
    counts = {percent: round(percent * n_iter / 100) for percent in {*LAST, *FIRST}}
    whole, kept = cg.run(n_iter, keep={counts[percent] for percent in FIRST})
    starts = {n_iter - counts[percent] for percent in LAST if percent < 100}
    _, images = cg.run(max(starts), derivatives=False, keep=starts)
    for percent in LAST:
        inside = counts[percent]
        if percent < 100:
            tangents = cg.run(inside, images[n_iter - inside][0])[0][1:]
        else:
            tangents = whole[1:]
        flint.ctx.prec = 400
        found[f"last {percent}"] = relative(tangents)
        flint.ctx.prec = bits
    flint.ctx.prec = 400
    for percent in FIRST:
        found[f"first {percent}"] = relative(kept[counts[percent]][1:])
    return found


def measure(problem):
    """Run all precisions on one problem."""
    torch.set_num_threads(1)
    inputs = matrices(*problem)
    return {str(bits): errors(bits, *inputs) for bits in BITS}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where to write")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.workers) as pool:
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
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps({"n_iter": N_ITER, "problems": rows}, indent=1) + "\n")
    print(f"{arguments.output} is written")


if __name__ == "__main__":
    main()
