"""The paper's test problem, and the maps it draws."""

import numpy as np
import pytest
import torch

from dense_frames import BOX
from regtools.images import Domain, random_maps
from regtools.registration import Affine
from regtools.superresolution import register_frames, simulate_frames, simulated_problem


def test_random_maps_are_as_the_paper_draws_them():
    """Scales of 0.95 to 1.3, then a turn of up to 45 degrees, about the centre of the box."""
    domain = Domain((0.0, 20.0, 0.0, 25.0), (20, 20))
    w, seeds = random_maps(domain, (2, 3, 4)), (2, 3, 4)
    assert w.shape == (18,) and w.dtype == torch.float64
    for seed, block in zip(seeds, w.reshape(3, 6).numpy(), strict=True):
        A, b = block[:4].reshape(2, 2), block[4:]
        scales = np.linalg.norm(A, axis=0)  # A = R diag(scales): the columns of A stay orthogonal
        assert A[:, 0] @ A[:, 1] == pytest.approx(0, abs=1e-14) and np.linalg.det(A) > 0
        angle = np.degrees(np.arctan2(A[1, 0], A[0, 0]))
        np.testing.assert_allclose(A @ (10, 12.5) + b, (10, 12.5), atol=1e-12)
        unit = np.random.RandomState(seed).rand(3)
        np.testing.assert_allclose([*scales, angle], [0.95, 0.95, 0] + unit * [0.35, 0.35, 45])
    assert (random_maps(domain, (5,)) - random_maps(domain, (6,))).norm() > 0.01
    still = random_maps(domain, (5,), scales=(1, 1), angles=(0, 0))
    torch.testing.assert_close(still, Affine(2).identity())
    with pytest.raises(ValueError, match="domain must have 2 axes; got 3"):
        random_maps(BOX, (2,))


def test_the_test_problem_is_that_of_the_paper():
    known = simulated_problem()
    assert known.image.shape == (20, 20) and known.frames.shape == (4, 10, 10)
    maps = random_maps(known.domain, (2, 3, 4))
    assert torch.equal(known.w_true, maps) and known.problem.lam == 0.01
    assert torch.equal(known.frames, simulate_frames(known.image, known.domain, 2, maps))
    assert torch.equal(known.w0, register_frames(known.frames, known.domain).w)
