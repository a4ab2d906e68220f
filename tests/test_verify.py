"""The tests of derivatives and adjoints see what is wrong."""

import pytest
import torch
from torch.func import grad

from regtools.verify import adjoint, dot_product_test, taylor_test


def test_adjoint_without_a_matrix():
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(n, generator=generator, dtype=torch.float64) for n in (9, 8))
    difference = lambda x: x.diff() * torch.arange(1.0, 9.0)  # noqa: E731
    matrix = torch.diag(torch.arange(1.0, 9.0).double()) @ torch.eye(9).double().diff(dim=0)
    transposed = adjoint(difference, torch.zeros(9, dtype=torch.float64))
    torch.testing.assert_close(transposed(v), matrix.T @ v)
    assert dot_product_test(difference, transposed, u, v) < 1e-15
    assert dot_product_test(difference, lambda v: 1.01 * transposed(v), u, v) > 1e-4


def test_taylor_test_sees_a_wrong_derivative():
    w, v = torch.tensor([0.7, 0.2]).double(), torch.tensor([1.0, 2.0]).double()
    f = lambda w: torch.sin(w[0]) * w[1]  # noqa: E731
    right = v @ grad(f)(w)
    assert taylor_test(f, w, v, [right]).order == pytest.approx(2, abs=0.05)
    assert taylor_test(f, w, v, [1.01 * right]).order == pytest.approx(1, abs=0.05)
    report = str(taylor_test(f, w, v, [right]))
    assert "observed order 2.0" in report and report.count("\n") == 21


def test_taylor_test_of_a_linear_function_is_exact():
    w, v = torch.ones(3).double(), torch.tensor([1.0, 0.5, 2.0]).double()
    assert taylor_test(lambda w: 2 * w, w, v, [2 * v]).order == float("inf")
