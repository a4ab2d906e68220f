"""How far to trust a map: the covariance, against maps found with many draws of the noise."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from moved_pairs import BOX, off, scene, turn
from regtools import Affine, RegistrationProblem, Rigid, SplineImage, newton, register
from regtools.images import Domain
from regtools.registration.trust import covariance, displacement_error

A, B = turn(7, (1.03, 0.97), (0.4, -0.3))
X = BOX.cell_centers().numpy()
DRAWS = 24


def drawn(sigma, seed, smooth=0.0):
    rng = np.random.default_rng(seed)
    noise = [rng.standard_normal(BOX.m) for _ in range(2)]
    if smooth:
        noise = [scipy.ndimage.gaussian_filter(one, smooth) for one in noise]
        noise = [one / one.std() for one in noise]
    return [one + sigma * torch.from_numpy(part) for one, part in zip(CLEAN, noise, strict=True)]


CLEAN = scene(A, B, noise=0.0)


@pytest.mark.parametrize(("distance", "smooth"), [("ssd", 0), ("ncc", 0), ("ncc", 1.5)])
def test_maps_scatter_as_far_as_is_said(distance, smooth):
    """The root mean square over draws of the noise, white and of a length of its own."""
    said, found = [], []
    for seed in range(DRAWS):
        images = [SplineImage(one, BOX) for one in drawn(6.0, seed, smooth)]
        task = RegistrationProblem(*images, Affine(2), surround="overlap", distance=distance)
        end = newton(task, 0.1, torch.from_numpy(np.concatenate([A.ravel(), B])))
        error = displacement_error(task, end.w, covariance(task, end.w, 0.1))
        assert end.success and error.shape == BOX.m
        said.append(float(error.square().mean()))
        found.append(end.w.numpy())
    moved = np.stack([X @ w[:4].reshape(2, 2).T + w[4:] for w in found])
    scatter = ((moved - moved.mean(0)) ** 2).sum(-1).mean() * DRAWS / (DRAWS - 1)
    assert 0.7 < np.sqrt(np.mean(said) / scatter) < 1.3


def sandwich(H, scores):
    """The covariance from the Hessian and the scores of 20 x 17 cells, in 6 x 6 blocks."""
    scores = scores.reshape(20, 17, 6)
    ends = [[-(-k * n // 6) for k in range(7)] for n in (20, 17)]
    blocks = np.array(
        [
            scores[a:b, c:d].sum((0, 1))
            for a, b in zip(ends[0], ends[0][1:], strict=False)
            for c, d in zip(ends[1], ends[1][1:], strict=False)
        ]
    )
    return np.linalg.solve(H, np.linalg.solve(H, blocks.T @ blocks * 36 / 30).T)


def test_blocks_and_scores():
    """By NumPy, from the residual and its Jacobian, where all is seen."""
    domain = Domain((0, 20, 0, 17), (20, 17))
    rng = np.random.default_rng(2)
    images = [SplineImage(torch.from_numpy(rng.random(domain.m)), domain) for _ in range(2)]
    task = RegistrationProblem(*images, Affine(2))
    w = newton(task, 1.0, task.identity()).w
    r = task.residual(w, 1.0).numpy()
    J = torch.func.jacfwd(lambda v: task.residual(v, 1.0))(w).numpy()
    H = torch.func.hessian(lambda v: task.loss(v, 1.0))(w).numpy()
    scores = 2 * r[:, None] * J
    expected = sandwich(H, scores)
    found = covariance(task, w, 1.0).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    error = displacement_error(task, w, torch.from_numpy(found)).numpy()
    y = np.hstack([np.kron(np.eye(2), domain.cell_centers()[11].numpy()), np.eye(2)])
    assert error.ravel()[11] ** 2 == pytest.approx(np.trace(y @ expected @ y.T), rel=1e-4)


def test_gain_and_offset_follow_the_map():
    """By NumPy: of correlation the slopes are those beside the template and a constant."""
    domain = Domain((0, 20, 0, 17), (20, 17))
    rng = np.random.default_rng(4)
    pictures = [torch.from_numpy(rng.random(domain.m) + 3) for _ in range(2)]
    images = [SplineImage(one, domain) for one in pictures]
    task = RegistrationProblem(*images, Affine(2), distance="ncc")
    w = newton(task, 1.0, task.identity()).w
    H = torch.func.hessian(lambda v: task.loss(v, 1.0))(w).numpy()
    u, J = (
        task.template(task.moved_points(w), 1.0).numpy(),
        torch.func.jacfwd(lambda v: task.template(task.moved_points(v), 1.0))(w).numpy(),
    )
    v = task.reference_values(1.0).numpy()
    linear = np.stack([u, np.ones_like(u)], 1)
    (gain, offset), *_ = np.linalg.lstsq(linear, v, rcond=None)
    beside = J - linear @ np.linalg.lstsq(linear, J, rcond=None)[0]
    scale = task.box_volume / ((v - v.mean()) ** 2).sum()
    scores = 2 * scale * gain * (gain * u + offset - v)[:, None] * beside
    expected = sandwich(H, scores)
    found = covariance(task, w, 1.0).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_penalised_map_has_none():
    pair = [SplineImage(one, BOX) for one in drawn(3.0, 1)]
    task = RegistrationProblem(*pair, Affine(2), lambda w: (w**2).sum(), 1.0, surround="overlap")
    assert covariance(task, newton(task, 0.1, task.identity()).w, 0.1) is None


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_it_is_a_length_in_the_unit_of_the_box(unit):
    pair = drawn(3.0, 1)
    known = register(*pair, domain=BOX, start="identity")
    box = Domain(tuple(unit * end for end in BOX.omega), BOX.m)
    other = register(*(50 * one for one in pair), domain=box, start="identity")
    ours, theirs = known.displacement_error(), other.displacement_error()
    torch.testing.assert_close(theirs / unit, ours, rtol=1e-4, atol=0)


def test_register_says_it_for_turns_and_not_for_other_distances():
    pair = drawn(3.0, 1)
    found = register(*pair, domain=BOX, start="identity", transform="rigid")
    assert isinstance(found.transform, Rigid) and found.covariance.shape == (3, 3)
    assert found.displacement_error().shape == BOX.m
    other = register(*pair, domain=BOX, start="identity", distance="mi")
    assert other.covariance is None and other.displacement_error() is None
    assert off(other.w, A, B) < 0.3


def test_where_nothing_holds_the_map_there_is_none():
    x = torch.arange(16.0, dtype=torch.float64)
    images = [
        SplineImage((x[:, None] + 0 * x) + s, Domain((0, 16, 0, 16), (16, 16))) for s in (0, 1)
    ]
    task = RegistrationProblem(*images, Affine(2), surround="overlap")
    assert covariance(task, task.identity(), 1.0) is None
