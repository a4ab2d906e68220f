"""Maps and image together: joint Gauss-Newton against dense least squares."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.func import jacfwd

import dense_frames
from dense_frames import DOMAIN
from frame_problems import PROBLEM, W0, reduced_loss
from regtools.superresolution import joint_gauss_newton


def test_joint_gauss_newton_finds_the_same_minimum(scipys):
    result = joint_gauss_newton(PROBLEM, W0, max_iter=100, gtol=1e-5)
    assert result.success, result.message
    assert result.loss == pytest.approx(2 * scipys.cost, rel=1e-6)
    np.testing.assert_allclose(result.w.numpy(), scipys.x, atol=1e-3)
    losses = [state.loss for state in result.history]
    assert all(b < a for a, b in itertools.pairwise(losses))


@pytest.mark.parametrize("scaled", [True, False])
def test_first_joint_step_is_that_of_dense_least_squares(scaled):
    """From an image that is not the best one, so that all parts count."""
    S = dense_frames.scaling(PROBLEM) if scaled else torch.eye(12).double()
    image = dense_frames.picture() + 3.0
    A, b = dense_frames.matrix(PROBLEM, W0), dense_frames.target(PROBLEM)
    dA = jacfwd(lambda w: dense_frames.matrix(PROBLEM, w))(W0)
    D, r = torch.einsum("rnk,n->rk", dA, image.flatten()) @ S, A @ image.flatten() - b
    gamma = float(0.5 * D.square().sum(0).max())
    damping = torch.cat([math.sqrt(gamma) * torch.eye(12), torch.zeros(12, 96)], dim=1).double()
    system = torch.cat([torch.cat([D, A], dim=1), damping]).numpy()
    both = np.linalg.lstsq(system, -np.r_[r.numpy(), np.zeros(12)], rcond=None)[0]
    options = {"damping": 0.5, "max_iter": 1, "tol_cg": 1e-12, "scaled": scaled}
    result = joint_gauss_newton(PROBLEM, W0, image0=image, **options)
    np.testing.assert_allclose(result.w.numpy(), W0.numpy() + S.numpy() @ both[:12], atol=1e-8)
    moved = image.flatten() + torch.from_numpy(both[12:])
    rows = dense_frames.matrix(PROBLEM, result.w) @ moved - b
    assert result.loss == pytest.approx(float(rows @ rows), rel=1e-8)
    usual = PROBLEM.frames.square().mean().sqrt()
    gradient = torch.cat([D.T @ r, usual * (A.T @ r)])
    assert result.history[0].gradient_norm == pytest.approx(float(2 * gradient.norm()))
    assert result.history[0].loss == pytest.approx(float(r @ r))


def test_joint_run_starts_with_the_best_image_unless_told():
    result = joint_gauss_newton(PROBLEM, W0, max_iter=1)
    assert result.history[0].loss == pytest.approx(reduced_loss(W0), rel=1e-8)


def test_joint_run_starts_from_a_black_image_too(scipys):
    """Where nothing has a slope, so that the first step moves the image alone."""
    black = torch.zeros(DOMAIN.m, dtype=torch.float64)
    result = joint_gauss_newton(PROBLEM, W0, image0=black, max_iter=100, gtol=1e-6)
    assert result.success, result.message
    assert result.history[1].loss == pytest.approx(reduced_loss(W0), rel=1e-6)
    assert torch.equal(result.history[1].w, W0)
    assert result.loss == pytest.approx(2 * scipys.cost, rel=1e-4)


@pytest.mark.parametrize(
    ("image0", "error", "words"),
    [
        (dense_frames.picture().T, ValueError, r"image0 must have shape \(8, 12\); got \(12, 8\)"),
        (dense_frames.picture().float(), TypeError, "image0 must be a tensor of dtype .*float64"),
        (dense_frames.picture().numpy(), TypeError, "image0 must be a tensor .* got ndarray"),
        (dense_frames.picture() / 0, ValueError, "image0 must be finite"),
    ],
)
def test_bad_images_are_named(image0, error, words):
    with pytest.raises(error, match=words):
        joint_gauss_newton(PROBLEM, W0, image0=image0)
