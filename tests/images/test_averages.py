"""Rows that average points, compiled and by torch, against values and slopes of spline images."""

import numpy as np
import pytest
import torch

from compare import close
from regtools.images import AveragedRows, Domain, local_taylor
from regtools.images._averages import _Merged


def entries(rows, values, n_columns):
    """The dense matrix."""
    counts = rows.counts.numpy()
    matrix = np.zeros((len(counts), n_columns))
    np.add.at(matrix, (np.repeat(np.arange(len(counts)), counts), rows.columns.numpy()), values)
    return torch.from_numpy(matrix)


def by_torch(points, domain, per_row):
    rows = object.__new__(_Merged)
    rows.__init__(points, domain, per_row)
    return rows


BOXES = [
    Domain((-1.0, 2.0, 0.5, 4.0), (7, 9)),
    Domain((0.0, 1.0, -1.0, 2.0, 0.0, 3.0), (5, 4, 6)),
]


@pytest.mark.parametrize("make", [AveragedRows, by_torch], ids=["compiled", "torch"])
@pytest.mark.parametrize("domain", BOXES, ids=["2D", "3D"])
@pytest.mark.parametrize("spread", [0.4, 3.0])
def test_rows_are_sums_of_values_and_slopes(make, domain, spread):
    rng, d, per_row = np.random.default_rng(0), domain.dim, 5
    lower, upper = np.array(domain.lower), np.array(domain.upper)
    centres = rng.uniform(lower - 0.5, upper + 0.5, (12, 1, d))
    points = centres + rng.uniform(-spread, spread, (12, per_row, d))
    points[0] = 1e6  # nothing there
    points = torch.from_numpy(points.reshape(-1, d))
    rows = make(points, domain, per_row)
    coefficients = torch.from_numpy(rng.standard_normal(domain.m))
    terms = local_taylor(coefficients, points, domain, 1)
    n, flat = coefficients.numel(), coefficients.flatten()
    value = terms[(0,) * d].reshape(-1, per_row).sum(1)
    close(entries(rows, rows.values, n) @ flat, value, 1e-12)
    homogeneous = torch.from_numpy(rng.standard_normal((20, d + 1)))
    homogeneous[:, -1] = 1
    x = homogeneous.repeat(3, 1).reshape(12, per_row, d + 1)
    slopes = [terms[tuple(int(k == axis) for k in range(d))] for axis in range(d)]
    slopes = [slope.reshape(-1, per_row, 1) * x for slope in slopes]
    expected = [slope[..., b].sum(1) for slope in slopes for b in range(d)]
    expected += [slope[..., d].sum(1) for slope in slopes]
    found = [entries(rows, one, n) @ flat for one in rows.tangents(homogeneous)]
    close(torch.stack(found), torch.stack(expected), 1e-12)
    steps = rows.columns.diff()
    ends = rows.counts.cumsum(0)[:-1] - 1
    inside = torch.ones(len(steps), dtype=torch.bool)
    inside[ends[(ends >= 0) & (ends < len(steps))]] = False
    assert bool((steps[inside] > 0).all())


def test_no_bit_depends_on_the_number_of_threads():
    domain = Domain((0.0, 1.0, 0.0, 1.0), (50, 60))
    points = torch.from_numpy(np.random.default_rng(1).uniform(0, 1, (60000, 2)))
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(AveragedRows(points, domain, 4))
    finally:
        torch.set_num_threads(threads)
    one, other = found
    assert torch.equal(one.values, other.values) and torch.equal(one.columns, other.columns)


def test_single_precision():
    domain = BOXES[0]
    points = torch.from_numpy(np.random.default_rng(2).uniform(0, 2, (30, 2))).float()
    rows = AveragedRows(points, domain, 3)
    assert rows.values.dtype == torch.float32
    close(rows.values.double(), AveragedRows(points.double(), domain, 3).values, 1e-6)
