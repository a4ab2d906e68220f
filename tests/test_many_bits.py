"""CG with derivatives in many bits, against dense double precision and against itself."""

import json

import flint
import numpy as np
import pytest
import torch
from torch.func import jacfwd

import regtools
from dense_frames import cg
from regtools.atlas.many_bits import Tangents, _matrix, errors, parts
from regtools.explorers.partial_cg import COUNTS, FRACTIONS, PARAMETER
from regtools.superresolution import Projection
from tools import many_bits

N, P = 9, 3


@pytest.fixture
def system():
    """A well-conditioned system that moves with its parameters, and its derivatives."""
    generator = torch.Generator().manual_seed(3)
    draw = torch.randn(1 + P, 14, N, generator=generator, dtype=torch.float64)
    b = torch.randn(14, generator=generator, dtype=torch.float64)

    def matrix(v):
        A = draw[0] + torch.einsum("p,pij->ij", v, draw[1:])
        return A.T @ A

    def right(v):
        return (draw[0] + torch.einsum("p,pij->ij", v, draw[1:])).T @ b

    zero = torch.zeros(P, dtype=torch.float64)
    moved = jacfwd(matrix)(zero).movedim(-1, 0)
    symmetric = (matrix(zero) + matrix(zero).T) / 2, (moved + moved.mT) / 2  # to the last bit
    return matrix, right, (symmetric[0], right(zero), symmetric[1], jacfwd(right)(zero))


def dense(block):
    return torch.tensor([[float(x) for x in row] for row in block.tolist()], dtype=torch.float64)


@pytest.mark.parametrize("bits", [53, 200])
@pytest.mark.parametrize("n_iter", [1, 4, 7])
def test_tangents_are_those_of_a_dense_cg(system, bits, n_iter):
    matrix, right, numbers = system
    flint.ctx.prec = bits
    start = torch.linspace(-1, 1, N, dtype=torch.float64)
    block = _matrix(torch.cat([start[:, None], torch.ones(N, P).double()], dim=1))
    cg_bits = Tangents(*numbers)
    zero = torch.zeros(P, dtype=torch.float64)
    for x0, given in ((None, None), (start, block)):
        ours = dense(cg_bits.run(n_iter, given)[0])
        tangents = jacfwd(lambda v, x0=x0: cg(matrix(v), right(v), n_iter, x0))(zero)
        torch.testing.assert_close(ours[:, 0], cg(*numbers[:2], n_iter, x0), rtol=0, atol=1e-9)
        torch.testing.assert_close(ours[:, 1:], tangents, rtol=0, atol=1e-7)


def test_the_exact_solution_and_its_norms(system):
    matrix, right, numbers = system
    flint.ctx.prec = 200
    exact = Tangents(*numbers)
    zero = torch.zeros(P, dtype=torch.float64)
    moves = jacfwd(lambda v: torch.linalg.inv(matrix(v)) @ right(v))(zero)
    block = exact.solution()
    torch.testing.assert_close(dense(block)[:, 1:], moves, rtol=1e-9, atol=1e-12)
    expected = torch.einsum("ik,ij,jk->k", moves, numbers[0], moves).sqrt()
    assert exact.norms(block) == pytest.approx(expected.tolist(), rel=1e-9)


def test_parts_of_a_run_that_has_ended_are_exact(system):
    """With as many iterations as unknowns in many bits, 100 % are exact and a restart is not."""
    found = errors(400, *system[2], N, many_bits.LAST, many_bits.FIRST)
    assert max(found["last 100"]) < 1e-50
    assert min(found["last 50"]) > 1e-3 and min(found["first 50"]) > 1e-3


def test_parts_of_the_run_are_restarted_where_they_begin(system):
    """The middle of a run, by hand; zero iterations and all of them need no restart."""
    flint.ctx.prec = 106
    cg_bits = Tangents(*system[2])
    late, early = parts(cg_bits, 6, [0, 2, 6], [3])
    whole, kept = cg_bits.run(6, keep=(3, 4))
    assert set(late) == {2, 6} and set(early) == {3}
    assert dense(late[6]).equal(dense(whole)) and dense(early[3]).equal(dense(kept[3]))
    assert dense(late[2]).equal(dense(cg_bits.run(2, kept[4])[0]))


def test_columns_of_the_explorer_are_near_those_of_double_precision_where_rounding_is_small():
    """50 iterations, all differentiated: too few for rounding to matter."""
    stored = np.load(many_bits.COLUMNS)
    assert list(stored) == ["106", "400"]
    known = regtools.simulated_problem()
    problem, operator = known.problem, known.problem.operator(known.w0)
    projection = Projection(problem, "unrolled", n_iter=COUNTS[0])
    moves = projection.linearize(operator, projection.project(operator))[0][..., PARAMETER].numpy()
    for bits in stored:
        assert stored[bits].shape == (len(COUNTS), len(FRACTIONS), 20, 20)
        assert np.isfinite(stored[bits]).all() and not stored[bits][:, 0].any()
        gap = np.abs(stored[bits][0, -1] - moves).max()
        assert gap < 1e-4 * np.abs(moves).max()


def test_the_file_of_the_chapter_is_complete():
    stored = json.loads(many_bits.OUTPUT.read_text())["problems"]
    assert [(one["image"], tuple(one["seeds"])) for one in stored] == [
        (name, seeds) for name, _, seeds in many_bits.PROBLEMS
    ]
    for one in stored:
        assert list(one["errors"]) == [str(bits) for bits in many_bits.BITS]
        for by_part in one["errors"].values():
            assert set(by_part) == {f"last {k}" for k in many_bits.LAST} | {
                f"first {k}" for k in many_bits.FIRST
            }
            assert all(len(row) == many_bits.N_DIRECTIONS for row in by_part.values())
