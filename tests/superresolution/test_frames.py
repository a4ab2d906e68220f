"""Frames of an image against SciPy and dense matrices: averages, differences, maps."""

import math

import numpy as np
import pytest
import scipy.interpolate
import torch
from torch.func import jacfwd, jacrev

import dense_frames
from compare import close
from dense_frames import BOX, DOMAIN, picture, true_maps
from frame_problems import THIRDS, pixels
from regtools.images import Domain
from regtools.registration import Affine
from regtools.superresolution import SuperResolutionProblem, simulate_frames
from regtools.superresolution.frames import average_blocks, differences


@pytest.mark.parametrize("domain", [DOMAIN, BOX], ids=["2D", "3D"])
def test_dense_interpolation_is_scipys(domain):
    """Also off the box, where coefficients count as zero."""
    generator = np.random.default_rng(2)
    u = generator.uniform(-3, np.add(domain.m, 2), (50, domain.dim))
    points = np.array(domain.lower) + (u + 0.5) * domain.h
    image, pad = picture(domain).numpy(), 8
    coefficients = image
    for axis, m in enumerate(domain.m):
        band = np.stack([np.ones(m), np.full(m, 4.0), np.ones(m)])
        rows = np.moveaxis(coefficients, axis, 0).reshape(m, -1)
        solved = scipy.linalg.solve_banded((1, 1), band, rows)
        shape = np.moveaxis(coefficients, axis, 0).shape
        coefficients = np.moveaxis(solved.reshape(shape), 0, axis)
    knots = tuple(np.arange(-2.0 - pad, m + pad + 2) for m in domain.m)
    spline = scipy.interpolate.NdBSpline(knots, np.pad(coefficients, pad), 3)
    dense = dense_frames.interpolation_matrix(torch.from_numpy(points), domain)
    expected = torch.from_numpy(6.0**domain.dim * spline(u))
    close(dense @ picture(domain).flatten(), expected)


def test_block_averages_by_hand():
    image = torch.arange(24.0).reshape(4, 6)
    assert average_blocks(image, 2, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    assert torch.equal(average_blocks(image, 1, 2), image)


@pytest.mark.parametrize(("domain", "factor"), [(DOMAIN, 2), (DOMAIN, 4), (THIRDS, 3), (BOX, 2)])
def test_block_averages_are_kronecker_products(domain, factor):
    expected = dense_frames.averaging(domain, factor)
    ours = average_blocks(pixels(domain), factor, domain.dim)
    close(ours.reshape(expected.shape), expected)


def test_differences_by_hand():
    along_0, along_1 = differences(torch.tensor([[1.0, 4.0], [3.0, 10.0]]), (0.5, 2.0))
    assert along_0.tolist() == [[4.0, 12.0]] and along_1.tolist() == [[1.5], [3.5]]


@pytest.mark.parametrize("domain", [DOMAIN, BOX], ids=["2D", "3D"])
def test_differences_are_kronecker_products_over_h(domain):
    parts = differences(pixels(domain), domain.h)
    ours = torch.cat([part.flatten(0, domain.dim - 1) for part in parts])
    close(ours, dense_frames.difference_matrix(domain))


def test_differences_of_a_plane_are_its_slopes():
    """L divides by h: the same plane on a finer grid has the same differences."""
    for m in [(8, 12), (16, 36)]:
        domain = Domain(DOMAIN.omega, m)
        x = domain.cell_centers()
        plane = (3 * x[:, 0] - 2 * x[:, 1]).reshape(m)
        along_0, along_1 = differences(plane, domain.h)
        torch.testing.assert_close(along_0, torch.full_like(along_0, 3))
        torch.testing.assert_close(along_1, torch.full_like(along_1, -2))


# --- frames from an image --------------------------------------------------------------


def test_simulated_frames_by_scipy():
    """Coefficients, spline, map and averages by NumPy and SciPy alone, in plain loops."""
    image, w, factor, pad = picture(), true_maps(), 2, 8
    basis = [scipy.linalg.toeplitz([4.0, 1.0] + [0.0] * (m - 2)) for m in DOMAIN.m]
    c = np.linalg.solve(basis[0], image.numpy()) @ np.linalg.inv(basis[1])
    knots = tuple(np.arange(-2.0 - pad, m + pad + 2) for m in DOMAIN.m)
    spline = scipy.interpolate.NdBSpline(knots, 36 * np.pad(c, pad), 3)
    frames = simulate_frames(image, DOMAIN, factor, w)
    assert frames.shape == (3, 4, 6) and frames.dtype == torch.float64
    for j, block in enumerate([Affine(2).identity(), w[:6], w[6:]]):
        A, b = block[:4].reshape(2, 2).numpy(), block[4:].numpy()
        for i0 in range(4):
            for i1 in range(6):
                total = 0.0
                for k0 in range(2):
                    for k1 in range(2):
                        cell = np.array([2 * i0 + k0, 2 * i1 + k1])
                        y = A @ (DOMAIN.lower + (cell + 0.5) * DOMAIN.h) + b
                        total += spline((y - DOMAIN.lower) / DOMAIN.h - 0.5).item()
                assert float(frames[j, i0, i1]) == pytest.approx(total / 4, abs=1e-10)


@pytest.mark.parametrize(("domain", "factor"), [(DOMAIN, 1), (DOMAIN, 4), (THIRDS, 3), (BOX, 2)])
def test_simulated_frames_in_all_sizes(domain, factor):
    image, w = picture(domain), true_maps(domain)
    expected = dense_frames.dense_frames(image, domain, factor, w)
    close(simulate_frames(image, domain, factor, w), expected)


def test_simulated_frames_are_differentiable():
    image, w = picture(), true_maps()
    in_w = jacfwd(lambda w: simulate_frames(image, DOMAIN, 2, w))(w)
    close(in_w, jacfwd(lambda w: dense_frames.dense_frames(image, DOMAIN, 2, w))(w), 1e-11)
    in_image = jacrev(lambda f: simulate_frames(f, DOMAIN, 2, w))(image)
    zero = jacfwd(lambda f: dense_frames.dense_frames(f, DOMAIN, 2, w))(image)
    close(in_image, zero, 1e-11)


def test_true_image_leaves_no_residual_in_the_data():
    w = true_maps()
    frames = simulate_frames(picture(), DOMAIN, 2, w)
    problem = SuperResolutionProblem(frames, DOMAIN, 2, lam=0.1)
    assert problem.residual(w, picture(), rows="data").abs().max() < 1e-12


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w": true_maps().float()}, TypeError, "w must be a tensor of dtype torch.float64; got"),
        ({"w": true_maps().tolist()}, TypeError, "w must be a tensor of dtype .*; got list"),
        (
            {"w": true_maps()[:5]},
            ValueError,
            r"w must hold blocks of 6 .* got shape \(5,",
        ),
        ({"w": true_maps()[:0]}, ValueError, r"w must hold blocks of 6 .* got shape \(0,"),
        ({"w": true_maps().reshape(2, 6)}, ValueError, r"w must hold blocks of 6 .* \(2, 6\)"),
        ({"w": true_maps() * math.inf}, ValueError, "w must be finite; 12 of 12 values"),
        ({"factor": 5}, ValueError, r"factor must divide domain.m = \(8, 12\); got 5"),
        ({"domain": None}, TypeError, "domain must be a Domain; got NoneType"),
    ],
)
def test_bad_input_to_simulate_frames_is_named(change, error, words):
    arguments = {"image": picture(), "domain": DOMAIN, "factor": 2, "w": true_maps(), **change}
    with pytest.raises(error, match=words):
        simulate_frames(**arguments)
