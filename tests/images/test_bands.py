"""Coefficients by banded systems, against a solution to sixty digits."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch

from regtools.images import Domain, SplineImage, _bands, _numba
from regtools.images._bases import PAD, mirror_basis, zero_basis

GRAM, BENDING = (18, 8, 1, 0), (96, -54, 0, 6)
THETAS = (0.0, 1e-3, 0.5, 30.0, 1e3, 1e5, 1e8, 1e12)


def in_decimals(line, mirrored, theta, bend=False):
    """Solve (BᵀB + θP) c = Bᵀ line, or = P line, for one line in sixty digits."""
    with localcontext() as context:
        context.prec = 60
        m, theta = len(line), Decimal(theta)

        def folded(j):
            if 0 <= j < m or not mirrored:
                return j
            return -1 - j if j < 0 else 2 * m - 1 - j

        line = [Decimal(float(value)) for value in line]
        matrix, right = [[Decimal(0)] * 4 for _ in range(m)], [Decimal(0)] * m
        rhs = BENDING if bend else (4, 1, 0, 0)
        for i in range(m):
            for k in range(-3, 4):
                j = folded(i + k)
                if not 0 <= j < m:
                    continue
                right[i] += rhs[abs(k)] * line[j]
                if i <= j:
                    cut = int(not mirrored and k == 0 and i in (0, m - 1))
                    matrix[i][j - i] += GRAM[abs(k)] - cut + theta * BENDING[abs(k)]
        for i in range(m):  # eliminate downwards, then substitute upwards
            for k in range(1, min(4, m - i)):
                factor = matrix[i][k] / matrix[i][0]
                right[i + k] -= factor * right[i]
                for j in range(k, min(4, m - i)):
                    matrix[i + k][j - k] -= factor * matrix[i][j]
        for i in reversed(range(m)):
            known = sum(matrix[i][k] * right[i + k] for k in range(1, min(4, m - i)))
            right[i] = (right[i] - known) / matrix[i][0]
        return np.array([float(value) for value in right])


def off(ours, other):
    return np.abs(ours - other).max() / np.abs(other).max()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("m", [4, 5, 7, 33, 4096])
def test_coefficients_have_all_digits_at_any_blur(m, mirrored):
    draw = np.random.default_rng(m)
    line = 100 + 50 * draw.standard_normal(m)
    for theta in THETAS if m < 100 else (0.0, 1e8):
        ours = _bands.coefficients(line, mirrored, theta)
        assert off(ours, in_decimals(line, mirrored, theta)) < 2e-13, theta


@pytest.mark.parametrize("mirrored", [False, True])
def test_rate_along_one_axis(mirrored):
    line = 100 + 50 * np.random.default_rng(1).standard_normal(33)
    for theta in THETAS[:5]:
        expected = -in_decimals(in_decimals(line, mirrored, theta), mirrored, theta, bend=True)
        ours = _bands.rate(_bands.coefficients(line, mirrored, theta), mirrored, theta)
        assert off(ours, expected) < 1e-12, theta


def by_basis(data, mirrored, theta):
    """Coefficients and rate from the eigenvectors of each axis."""
    make, inner = (mirror_basis, slice(PAD, -PAD)) if mirrored else (zero_basis, slice(None))
    bases = [make(m) for m in data.shape]
    shapes = [[-1 if k == axis else 1 for k in range(data.ndim)] for axis in range(data.ndim)]
    found, slope = data, 0.0
    for axis, ((analysis, _, d), shape) in enumerate(zip(bases, shapes, strict=True)):
        gain = 1 / (1 + theta * d.reshape(shape))
        found = np.moveaxis(np.tensordot(analysis, found, (1, axis)), 0, axis) * gain
        slope = slope - d.reshape(shape) * gain
    both = [found, found * slope]
    for axis, (_, synthesis, _) in enumerate(bases):
        lines = synthesis[inner]
        both = [np.moveaxis(np.tensordot(lines, one, (1, axis)), 0, axis) for one in both]
    return both


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("shape", [(9,), (7, 40), (4, 5, 6)])
def test_all_axes_agree_with_the_eigenvectors(shape, mirrored):
    data = np.random.default_rng(2).standard_normal(shape)
    for theta in (0.0, 0.3, 40.0):
        expected, rate = by_basis(data, mirrored, theta)
        ours = _bands.coefficients(data, mirrored, theta)
        assert off(ours, expected) < 1e-12
        assert off(_bands.rate(ours, mirrored, theta), rate) < 1e-11


def test_threads_and_strides_change_no_bit(monkeypatch):
    data = np.random.default_rng(3).standard_normal((1200, 701))
    expected = _bands.coefficients(data, True, 3.0)
    started, pool = [], _numba.ThreadPoolExecutor
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(_numba, "ThreadPoolExecutor", lambda n: started.append(n) or pool(n))
    assert np.array_equal(_bands.coefficients(data, True, 3.0), expected)
    assert np.array_equal(_bands.coefficients(np.asfortranarray(data), True, 3.0), expected)
    assert started == [2] * 4


@pytest.mark.parametrize("extension", ["zero", "mirror"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_gives_the_same_by_both_ways(extension, dtype):
    """A theta that is differentiated takes the eigenvectors."""
    domain = Domain((0, 9, 0, 14), (9, 14))
    data = torch.from_numpy(np.random.default_rng(4).standard_normal((9, 14))).to(dtype)
    image = SplineImage(data, domain, extension)
    theta = torch.tensor(2.0, dtype=dtype, requires_grad=True)
    eps = torch.finfo(dtype).eps
    one, other = image.coefficients(2.0), image.coefficients(theta).detach()
    assert one.dtype == dtype and one.shape == (9, 14)
    torch.testing.assert_close(one, other, rtol=0, atol=100 * eps)
    torch.testing.assert_close(image.coefficients(theta.detach()), one, rtol=0, atol=0)
    x = domain.cell_centers(dtype)
    ours = image.taylor_theta_derivative(x, 2.0)
    theirs = image.taylor_theta_derivative(x, theta)
    for a, term in ours.items():
        torch.testing.assert_close(term, theirs[a].detach(), rtol=0, atol=1000 * eps)
