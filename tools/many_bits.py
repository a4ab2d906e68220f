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
from regtools.atlas.many_bits import Tangents, errors, matrices, parts, unit_directions
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


def inputs(name, m, seeds, parameter=None):
    """Matrix, right-hand side and derivatives, where `register_frames` starts, as in chapter 7.

    Along random directions of unit length, or a single parameter.
    """
    known = regtools.simulated_problem(name, m, seeds=seeds)
    v = unit_directions(known.problem.n_params, N_DIRECTIONS)
    if parameter is not None:
        v = torch.eye(known.problem.n_params, dtype=torch.float64)[:, [parameter]]
    return matrices(known.problem, known.w0, v)


def measure(problem):
    """Run all precisions on one problem."""
    torch.set_num_threads(1)
    numbers = inputs(*problem)
    return {str(bits): errors(bits, *numbers, N_ITER, LAST, FIRST) for bits in BITS}


def columns(bits):
    """The column of the explorer, shape (number of COUNTS, number of FRACTIONS, *m)."""
    name, m, seeds = PROBLEMS[0]
    numbers = inputs(name, m, seeds, PARAMETER)
    flint.ctx.prec = bits
    cg, rows = Tangents(*numbers), []
    for n_iter in COUNTS:
        inside = [Unrolled(last=fraction).counts(n_iter)[1] for fraction in FRACTIONS]
        late = parts(cg, n_iter, inside)[0]
        moves = {k: [float(block[i, 1]) for i in range(block.nrows())] for k, block in late.items()}
        rows.append([moves.get(k, [0.0] * len(numbers[1])) for k in inside])
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
