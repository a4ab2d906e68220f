"""Residual and objective against dense matrices, and what makes no problem."""

import math
import re

import pytest
import torch
from torch.func import grad, jacfwd, jacrev, vmap

import dense_frames
import wide_scene
from compare import close
from dense_frames import BOX, DOMAIN, picture, small_problem, start, true_maps
from frame_problems import FRAMES, PROBLEM, W0, WITH_NAN, each_problem, noise, smooth_frames
from regtools.images import Domain
from regtools.registration import Affine
from regtools.superresolution import (
    SuperResolutionProblem,
    register_frames,
    simulate_frames,
    varpro,
)
from regtools.superresolution.frames import average_blocks


@each_problem
def test_residual_is_operator_minus_target(options):
    problem = small_problem(**options)
    w, image = start(problem), picture(problem.canvas)
    expected = dense_frames.matrix(problem, w) @ image.flatten() - dense_frames.target(problem)
    close(problem.residual(w, image), expected)
    close(problem.operator(w)(image) - problem.target, expected)
    close(problem.residual(w, image, rows="data"), expected[: problem.n_data])
    assert float(problem.loss(w, image)) == pytest.approx(float(expected @ expected))


def test_objective_written_out():
    """Equation (6) with volumes: the sum over frames, and λ² times the integral of slopes."""
    problem, image = small_problem(lam=0.3), picture()
    w = start(problem)
    frames = dense_frames.dense_frames(image, DOMAIN, 2, w)
    cell = (2.0 / 8) * (5.0 / 12)
    data = 4 * cell * (frames - problem.frames).square().sum()
    slopes = [image.diff(dim=0) * 8 / 2.0, image.diff(dim=1) * 12 / 5.0]
    smooth = 0.3**2 * cell * sum(s.square().sum() for s in slopes)
    assert float(problem.loss(w, image)) == pytest.approx(float(data + smooth), rel=1e-12)


def test_fix_first_leaves_frame_0_in_place():
    fixed, free = small_problem(), small_problem(fix_first=False)
    assert fixed.n_params == 12 and free.n_params == 18
    w = start(fixed)
    shifted = torch.cat([Affine(2).identity(), w])
    close(free.residual(shifted, picture()), fixed.residual(w, picture()))
    shifted[4] += 0.1
    n = free.frame_size
    change = free.residual(shifted, picture()) - fixed.residual(w, picture())
    assert change[:n].norm() > 1 and change[n:].norm() == 0


def test_identity_moves_nothing():
    for problem in (small_problem(), small_problem(fix_first=False), small_problem(domain=BOX)):
        frames = average_blocks(picture(problem.domain), 2, problem.domain.dim)
        rows = problem.residual(problem.identity(), picture(problem.domain), rows="data")
        expected = problem.data_weight * (frames - problem.frames).flatten()
        close(rows, expected, 1e-11)
        assert problem.overlap(problem.identity()).tolist() == [1.0] * problem.n_moving


def test_residual_is_differentiable_in_every_way():
    problem = small_problem()
    w, image = start(problem), picture()
    dense = lambda w, f: (  # noqa: E731
        dense_frames.matrix(problem, w) @ f.flatten() - dense_frames.target(problem)
    )
    loss = lambda w, f: dense(w, f).square().sum()  # noqa: E731
    close(jacrev(problem.residual)(w, image), jacfwd(dense)(w, image), 1e-11)
    close(grad(problem.loss)(w, image), grad(loss)(w, image), 1e-11)
    close(grad(problem.loss, argnums=1)(w, image), grad(loss, argnums=1)(w, image), 1e-11)
    mixed = jacfwd(grad(problem.loss, argnums=1))(w, image)
    close(mixed, jacfwd(grad(loss, argnums=1))(w, image), 1e-11)
    twice = jacfwd(jacfwd(problem.loss))(w, image)
    close(twice, jacfwd(jacfwd(loss))(w, image), 1e-10)
    several = torch.stack([w, w + 0.01])
    together = vmap(lambda w: problem.residual(w, image))(several)
    close(together, torch.stack([dense(w, image) for w in several]), 1e-11)


def test_overlap_counts_points_in_the_box():
    problem = small_problem()
    w = problem.identity()
    w[4] = 0.25 * 2.0  # a quarter of the width: two of eight columns leave
    w[11] = 1e3
    assert problem.overlap(w).tolist() == [0.75, 0.0]


def test_float32_follows_the_frames():
    exact = small_problem()
    problem = SuperResolutionProblem(exact.frames.float(), DOMAIN, 2, 0.05)
    w, image = start(exact), picture()
    operator, single = exact.operator(w), problem.operator(w.float())
    rows = noise(problem.n_rows)
    for ours, expected in [
        (problem.identity(), exact.identity()),
        (problem.residual(w.float(), image.float()), exact.residual(w, image)),
        (single(image.float()), operator(image)),
        (single.adjoint(rows.float()), operator.adjoint(rows)),
        (single.derivative(image.float()), operator.derivative(image)),
        (single.derivative_adjoint(rows.float()), operator.derivative_adjoint(rows)),
        (problem.overlap(w.float()), exact.overlap(w)),
        (problem.reconstruct(w.float()), exact.reconstruct(w)),
    ]:
        assert ours.dtype == torch.float32
        close(ours.double(), expected, 1e-4)
    frames = simulate_frames(image.float(), DOMAIN, 2, w.float())
    close(frames.double(), simulate_frames(image, DOMAIN, 2, w), 1e-4)
    assert frames.dtype == torch.float32
    # A strong blur, as single precision does not reach the default tolerance of a sharp image.
    frames, domain = smooth_frames(true_maps())
    found = register_frames(frames.float(), domain, thetas=[100.0]).w
    assert found.dtype == torch.float32
    close(found.double(), register_frames(frames, domain, thetas=[100.0]).w, 1e-3)


def test_frames_may_be_changed_afterwards():
    frames = small_problem().frames.clone()
    problem = SuperResolutionProblem(frames, DOMAIN, 2, 0.05)
    frames.zero_()
    close(problem.frames, small_problem().frames)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"frames": list(FRAMES)}, TypeError, "frames must be one tensor; got list; .*torch.stack"),
        (
            {"frames": [FRAMES[0], FRAMES[1, 1:]]},
            ValueError,
            r"frames must all have one size.*3, 6",
        ),
        ({"frames": FRAMES.numpy()}, TypeError, "frames must be one tensor; got ndarray"),
        ({"frames": FRAMES.int()}, TypeError, "frames must be a float32 or float64 .*int32"),
        ({"frames": FRAMES[:1]}, ValueError, "frames must hold at least 2 frames; got 1"),
        ({"frames": FRAMES[0]}, ValueError, r"frames must have shape \(q \+ 1, 4, 6\).* \(4, 6\)"),
        ({"frames": FRAMES.mT}, ValueError, r"frames must have shape \(q \+ 1, 4, 6\).*, 6, 4\)"),
        ({"frames": WITH_NAN}, ValueError, r"frames must be finite; 1 of 72 .* \(1, 2, 3\)"),
        ({"domain": 3}, TypeError, "domain must be a Domain; got int"),
        ({"domain": Domain((0, 1), (8,))}, ValueError, r"frames must have shape \(q \+ 1, 4\)"),
        (
            {"domain": Domain((0, 1, 0, 1), (2, 8))},
            ValueError,
            r"domain must have at least 4 cells",
        ),
        ({"factor": 3}, ValueError, r"factor must divide domain.m = \(8, 12\); got 3"),
        ({"factor": 0}, ValueError, "factor must be a whole number from 1; got 0"),
        ({"factor": 2.0}, ValueError, "factor must be a whole number from 1; got 2.0"),
        ({"factor": True}, ValueError, "factor must be a whole number from 1; got True"),
        ({"lam": 0.0}, ValueError, "lam must be finite and above 0; got 0.0. .*not determined"),
        ({"lam": -1.0}, ValueError, "lam must be finite and above 0; got -1.0. .*not determined"),
        ({"lam": math.nan}, ValueError, "lam must be finite and above 0; got nan"),
        ({"lam": math.inf}, ValueError, "lam must be finite and above 0; got inf"),
        ({"lam": None}, TypeError, "lam must be a number; got None"),
        ({"lam": True}, TypeError, "lam must be a number; got True"),
    ],
)
def test_bad_problems_are_named(change, error, words):
    arguments = {"frames": FRAMES, "domain": DOMAIN, "factor": 2, "lam": 0.05, **change}
    with pytest.raises(error, match=words):
        SuperResolutionProblem(**arguments)


BAD_W = [
    (W0.float(), TypeError, "w must be a tensor of dtype torch.float64; got a torch.float32"),
    (W0.numpy(), TypeError, "w must be a tensor of dtype torch.float64; got ndarray"),
    (W0[:6], ValueError, r"w must have shape \(12,\), 2 blocks of 6; got \(6,\)"),
    (W0.reshape(2, 6), ValueError, r"w must have shape \(12,\), .*; got \(2, 6\)"),
    (W0 * math.nan, ValueError, r"w must be finite; 12 of 12 values are not"),
]


@pytest.mark.parametrize(("w", "error", "words"), BAD_W)
def test_bad_parameters_are_named(w, error, words):
    for call in (
        PROBLEM.operator,
        PROBLEM.reconstruct,
        PROBLEM.overlap,
        lambda w: PROBLEM.residual(w, picture()),
        lambda w: PROBLEM.loss(w, picture()),
    ):
        with pytest.raises(error, match=words):
            call(w)


BAD_IMAGES = [
    (picture().T, ValueError, r"image must have shape \(8, 12\); got \(12, 8\)"),
    (picture()[..., None], ValueError, r"image must have shape \(8, 12\); got \(8, 12, 1\)"),
    (picture() * math.nan, ValueError, "image must be finite; 96 of 96 pixels are not"),
    (picture().numpy(), TypeError, "image must be a .*; got ndarray"),
    (picture().long(), TypeError, "image must be a .*; got a torch.int64"),
]


@pytest.mark.parametrize(("image", "error", "words"), BAD_IMAGES)
def test_bad_images_are_named(image, error, words):
    with pytest.raises(error, match=words):
        PROBLEM.residual(W0, image)
    with pytest.raises(error, match=words):
        small_problem(fix_first=False).loss(start(small_problem(fix_first=False)), image)
    with pytest.raises(error, match=words):
        simulate_frames(image, DOMAIN, 2, true_maps())


def test_bad_rows_and_counts_are_named():
    with pytest.raises(ValueError, match=re.escape("rows must be one of ['stacked', 'data']")):
        PROBLEM.residual(W0, picture(), rows="all")
    for n_iter in (0, 2.5, True):
        with pytest.raises(ValueError, match=f"n_iter must be a whole number .* got {n_iter}"):
            PROBLEM.reconstruct(W0, n_iter)


def test_repr_says_what_it_is():
    assert repr(PROBLEM) == (
        "SuperResolutionProblem(3 frames of (4, 6), image (8, 12), 12 parameters, lam=0.05)"
    )


def test_covered_pixels_see_the_canvas_alone():
    """By hand: a shift by three cells along the first axis."""
    w = torch.tensor([1, 0, 0, 1, 3.0, 0], dtype=torch.float64)
    frames = wide_scene.burst()[:2]
    for margin, last in [(0, 9), (2, 10), (5, 12)]:
        problem = SuperResolutionProblem(
            frames, wide_scene.BOX, wide_scene.FACTOR, 0.1, margin=margin
        )
        first, moved = problem.covered(w)
        assert first.all()
        # Pixel i reaches to cell 2 i + 1, whose centre lies 3 further at 2 i + 4.5.
        rows = [2 * i + 4.5 <= wide_scene.M + margin - 2 for i in range(12)]
        assert moved[:, 6].tolist() == rows and sum(rows) == last


def test_misfit_of_each_frame():
    problem = small_problem(margin=2, weighted=True)
    w, image = start(problem), dense_frames.picture(dense_frames.canvas(problem))
    rows = dense_frames.matrix(problem, w) @ image.flatten() - dense_frames.target(problem)
    rows = rows[: problem.n_data].reshape(len(problem.frames), -1) / problem.data_weight
    weights = problem.weights.flatten(1)
    expected = [float(r.norm() / u.norm()) for r, u in zip(rows, weights, strict=True)]
    assert problem.misfit(w, image).tolist() == pytest.approx(expected, rel=1e-10)
    found = varpro(problem, w, "kaufman", max_iter=3)
    torch.testing.assert_close(found.misfit, problem.misfit(found.w, found.image))
    torch.testing.assert_close(found.overlap, problem.overlap(found.w))
