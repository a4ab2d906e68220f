"""The image for given maps, against dense least squares."""

import re
import warnings

import numpy as np
import pytest
import torch

import dense_frames
from compare import close
from dense_frames import DOMAIN, picture, small_problem, start, true_maps
from frame_problems import FRAMES, W0, each_problem
from regtools.superresolution import SuperResolutionProblem, simulate_frames
from regtools.superresolution.frames import differences


@each_problem
def test_reconstruction_solves_the_dense_problem(options):
    problem = small_problem(**options)
    w = start(problem)
    A, b = dense_frames.matrix(problem, w), dense_frames.target(problem)
    expected = torch.from_numpy(np.linalg.lstsq(A.numpy(), b.numpy(), rcond=None)[0])
    ours = problem.reconstruct(w)
    assert ours.shape == problem.canvas.m
    close(ours.flatten(), expected, 1e-7)


@pytest.mark.parametrize("n_iter", [1, 4, 15])
def test_reconstruction_by_a_number_of_iterations(n_iter):
    problem = small_problem()
    w = start(problem)
    N, right = dense_frames.normal_equations(problem, w)
    expected = dense_frames.cg(N, right, n_iter)
    close(problem.reconstruct(w, n_iter).flatten(), expected, 1e-10)


def test_reconstruction_comes_close_to_the_image():
    """More frames than unknowns, little smoothing and no noise: the image itself comes back."""
    image, w = picture(), true_maps(q=6)
    frames = simulate_frames(image, DOMAIN, 2, w)
    problem = SuperResolutionProblem(frames, DOMAIN, 2, lam=1e-5)
    assert (problem.reconstruct(w) - image).norm() < 1e-3 * image.norm()
    alone = torch.kron(frames[0], torch.ones(2, 2, dtype=torch.float64))
    assert (alone - image).norm() > 0.1 * image.norm()


def test_more_smoothing_means_smaller_differences():
    w = start(small_problem())
    sizes = []
    for lam in (0.01, 0.1, 1.0, 100.0):
        image = small_problem(lam=lam).reconstruct(w)
        sizes.append(sum(float(d.square().sum()) for d in differences(image, DOMAIN.h)))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 1e-3 * sizes[0]


def test_an_image_that_cg_does_not_reach_is_announced():
    problem = SuperResolutionProblem(FRAMES.float(), DOMAIN, 2, 1e-8)
    with pytest.warns(RuntimeWarning, match="not accurate: lam = 1e-08 is lost in rounding"):
        problem.reconstruct(W0.float())
    # Which of these λ is the one hangs on rounding; at another CG may not come to its tolerance.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for lam in np.geomspace(1.5e-4, 1e-3, 15):
            problem.replaced(lam=float(lam)).reconstruct(W0.float())
    words = [str(one.message) for one in caught]
    assert all(one.startswith("the image is not accurate: ") for one in words)
    assert any(re.search(r"may be off by up to \d+ %, as the matr", one) for one in words)
