"""`taylor_test` in single precision: a right derivative has its order, a wrong one has not."""

import math

import pytest
import torch

from regtools import taylor_test

DIRECTIONS = [torch.tensor(v) for v in ([1.0, 0.5, -0.25], [0.1, 0.2, 0.3], [-3.0, 1.0, 2.0])]


def function(w):
    return torch.sin(w).sum() + w.prod()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("v", DIRECTIONS, ids=str)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_order_is_that_of_the_derivatives(dtype, v, size):
    w, v = torch.tensor([0.7, -1.2, 0.4], dtype=dtype), v.to(dtype)
    a, b, c = w.tolist()
    p, q, r = v.tolist()
    slope = [math.cos(a) + b * c, math.cos(b) + a * c, math.cos(c) + a * b]
    first = size * sum(s * t for s, t in zip(slope, (p, q, r), strict=True))
    second = -math.sin(a) * p * p - math.sin(b) * q * q - math.sin(c) * r * r
    second = size * (second + 2 * (c * p * q + b * p * r + a * q * r))
    first, second = (torch.tensor(d, dtype=dtype) for d in (first, second))

    def scaled(w):
        return size * function(w)

    assert taylor_test(scaled, w, v, [first]).order == pytest.approx(2, abs=0.25)
    assert taylor_test(scaled, w, v, [first, second]).order == pytest.approx(3, abs=0.35)
    assert taylor_test(scaled, w, v, [1.2 * first]).order < 1.7
    assert taylor_test(scaled, w, v, [first, 1.2 * second]).order < 2.7
