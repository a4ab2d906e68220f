"""Pixels to interpolating coefficients, against dense solutions by NumPy."""

import numpy as np
import pytest
import torch

from compare import close
from regtools.images import interpolating


def dense(image, dim):
    """B⁻¹ along each axis, as a dense solve."""
    for axis in range(dim):
        m = image.shape[axis]
        B = 4 * np.eye(m) + np.eye(m, k=1) + np.eye(m, k=-1)
        lines = np.moveaxis(image, axis, 0).reshape(m, -1)
        solved = np.linalg.solve(B, lines).reshape(np.moveaxis(image, axis, 0).shape)
        image = np.moveaxis(solved, 0, axis)
    return image


@pytest.mark.parametrize(
    ("shape", "dim"),
    [((4, 4), 2), ((33, 70), 2), ((70, 33, 5), 2), ((5, 6, 7), 3), ((6, 5, 4, 3), 3), ((40,), 1)],
)
def test_coefficients_solve_a_dense_system_along_each_axis(shape, dim):
    image = np.random.default_rng(0).standard_normal(shape)
    close(interpolating(torch.from_numpy(image), dim), torch.from_numpy(dense(image, dim)), 1e-14)


def test_an_image_that_is_no_plain_array_is_taken_as_well():
    image = torch.from_numpy(np.random.default_rng(1).standard_normal((9, 8, 6)))
    turned = image.permute(1, 2, 0)
    close(interpolating(turned, 2), torch.from_numpy(dense(turned.numpy(), 2)), 1e-14)
    single = interpolating(image.float(), 3)
    assert single.dtype == torch.float32
    close(single.double(), interpolating(image.float().double(), 3), 1e-7)


def test_no_bit_depends_on_the_number_of_threads():
    image = torch.from_numpy(np.random.default_rng(2).standard_normal((400, 500)))
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(interpolating(image, 2))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_the_map_is_symmetric():
    one, other = torch.from_numpy(np.random.default_rng(3).standard_normal((2, 12, 15)))
    ours, theirs = (interpolating(one, 2) * other).sum(), (one * interpolating(other, 2)).sum()
    close(ours, theirs, 1e-13)


def test_derivatives_and_batches_are_the_map_itself():
    rng = np.random.default_rng(4)
    image, slope = torch.from_numpy(rng.standard_normal((2, 6, 5, 3)))
    marked = image.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: interpolating(x, 2), marked)
    assert torch.autograd.gradgradcheck(lambda x: interpolating(x, 2).square(), marked)
    _, tangent = torch.func.jvp(lambda x: interpolating(x, 2), (image,), (slope,))
    assert torch.equal(tangent, interpolating(slope, 2))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(image, slope)
        found = torch.autograd.forward_ad.unpack_dual(interpolating(dual, 2))
        assert torch.equal(found.tangent, tangent)
        assert torch.equal(found.primal, interpolating(image, 2))
    batch = torch.func.vmap(lambda x: interpolating(x, 2), in_dims=2)(image)
    close(batch, interpolating(image, 2).movedim(2, 0), 1e-15)
    jacobian = torch.func.jacrev(lambda x: interpolating(x, 2))(image[..., 0])
    forward = torch.func.jacfwd(lambda x: interpolating(x, 2))(image[..., 0])
    close(jacobian, forward, 1e-15)
