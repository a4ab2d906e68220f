"""Registration of frames: maps found, frames lost, what each frame says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import wide_scene
from dense_frames import BOX, DOMAIN, true_maps
from frame_problems import FRAMES, WITH_NAN, smooth_frames
from regtools.images import Domain, SplineImage, load, random_maps
from regtools.registration import Affine, predictor_corrector
from regtools.solvers import Status
from regtools.superresolution import (
    SuperResolutionProblem,
    register_frames,
    simulate_frames,
    simulated_problem,
)
from regtools.superresolution.maps import scales_of


def test_register_frames_finds_the_maps():
    w = true_maps()
    frames, domain = smooth_frames(w)
    seen = []
    found = register_frames(frames, domain, callback=seen.append).w
    off = lambda guess: float((guess - w).norm())  # noqa: E731
    assert off(found) < 0.02 < 0.25 < off(Affine(2).identity().repeat(2))
    assert len(seen) == 2
    assert torch.equal(torch.cat([path.w for path in seen]), found)
    # The cells of `domain` do not matter, its box does.
    assert torch.equal(register_frames(frames, DOMAIN).w, found)
    # What the solver takes: frame j shows the image at y(x; w_j), not the other way round.
    problem = SuperResolutionProblem(frames, domain, 2, lam=0.01)
    data = lambda w: float(problem.residual(w, problem.reconstruct(w), "data").norm())  # noqa: E731
    assert data(found) < 0.1 * data(problem.identity())


def test_register_frames_over_scales_beats_the_finest_scale_alone():
    """On the drawn hand, turned by up to 45 degrees."""
    pair = load("hands-phantom", 20)
    w = random_maps(pair.domain, (2, 3, 4))
    frames = simulate_frames(pair.reference, pair.domain, 2, w)
    problem = SuperResolutionProblem(frames, pair.domain, 2, lam=1e-2)

    def error(w):
        return float((problem.reconstruct(w) - pair.reference).norm() / pair.reference.norm())

    over_scales = error(register_frames(frames, pair.domain).w)
    alone = error(register_frames(frames, pair.domain, thetas=[1e-3]).w)
    assert error(w) < over_scales < 0.4 < alone


def test_register_frames_in_three_dimensions():
    domain = Domain(BOX.omega, (8, 10, 12))
    x = domain.cell_centers().numpy()
    grey = 100 * np.exp(-(((x - (0.9, 1.2, 1.4)) / (0.5, 1.2, 0.2)) ** 2).sum(1))
    grey += 100 * np.exp(-(((x - (1.3, 2.3, 1.6)) / (0.4, 0.9, 0.3)) ** 2).sum(1))
    grey += 60 * np.exp(-(((x - (0.5, 2.9, 1.7)) / (0.4, 0.8, 0.2)) ** 2).sum(1))
    w = Affine(3).identity()
    w[9:] = torch.tensor([0.1, -0.2, 0.05])
    image = SplineImage(torch.from_numpy(grey).reshape(domain.m), domain)
    moved = image(Affine(3)(w, domain.cell_centers())).reshape(domain.m)
    found = register_frames(torch.stack([image.data, moved]), domain, thetas=[1.0, 0.1]).w
    torch.testing.assert_close(found, w, rtol=0, atol=0.05)


CONSTANT = torch.stack([FRAMES[0], torch.full_like(FRAMES[0], 7.0)])


@pytest.mark.parametrize(
    ("frames", "error", "words"),
    [
        (list(FRAMES), TypeError, "frames must be one tensor; got list; .*torch.stack"),
        ([FRAMES[0], FRAMES[1, 1:]], ValueError, "frames must all have one size"),
        (FRAMES[0], ValueError, r"frames must have shape \(q \+ 1, m0, m1\); got \(4, 6\)"),
        (FRAMES[:1], ValueError, "frames must hold at least 2 frames; got 1"),
        (WITH_NAN, ValueError, "frames must be finite; 1 of 72"),
        (FRAMES.long(), TypeError, "frames must be a float32 or float64 tensor"),
        (FRAMES[:, :3], ValueError, r"frames must have at least 4 pixels .* got \(3, 6\)"),
        (CONSTANT, ValueError, r"frames must not be constant, .*; got \[1\]"),
        (torch.zeros(3, 4, 6).double(), ValueError, r"frames must not be constant.*\[0, 1, 2\]"),
    ],
)
def test_bad_input_to_register_frames_is_named(frames, error, words):
    with pytest.raises(error, match=words):
        register_frames(frames, DOMAIN)


def test_bad_box_for_register_frames_is_named():
    with pytest.raises(TypeError, match="domain must be a Domain; got tuple"):
        register_frames(FRAMES, (0, 1))


# --- pictures that go on outside -------------------------------------------------------


def test_surround_is_seen_at_the_borders():
    goes_on, black = wide_scene.burst(), wide_scene.burst(black=True)
    assert register_frames(goes_on, wide_scene.BOX, thetas=[10.0]).surround == "overlap"
    assert register_frames(black, wide_scene.BOX, thetas=[10.0]).surround == "zero"


def test_a_frame_that_a_strong_blur_loses_is_tried_again():
    frames = wide_scene.burst()
    lost = register_frames(frames, wide_scene.BOX, thetas=[1e6]).w
    found = register_frames(frames, wide_scene.BOX, thetas=[1e6, 10.0, 1.0, 0.1])
    assert wide_scene.off(lost.reshape(-1, 6)).max() > 3
    assert found.success and wide_scene.off(found.w.reshape(-1, 6)).max() < 0.3


def test_interrupted_in_a_second_try(monkeypatch):
    """Ctrl-C there ends the whole run, as in the first."""
    calls = []

    def stopped(problem, thetas, w0, **options):
        calls.append(thetas)
        path = predictor_corrector(problem, [1e6], w0)
        if len(calls) == 2:
            path = replace(path, success=False, status=Status.STOPPED)
        return path

    monkeypatch.setattr("regtools.superresolution.maps.predictor_corrector", stopped)
    monkeypatch.setattr("regtools.superresolution.maps.POOR", 0.0)  # every frame is tried again
    found = register_frames(wide_scene.burst(), wide_scene.BOX, thetas=[1e6, 1.0])
    assert len(calls) == 2 and found.status is Status.STOPPED and not found.success


# --- what each frame says --------------------------------------------------------------


@pytest.fixture(scope="module")
def hand():
    """Four frames of the drawn hand."""
    pair = load("hands-phantom", 20)
    w = random_maps(pair.domain, (2, 3, 4))
    return simulate_frames(pair.reference, pair.domain, 2, w), pair.domain


def test_each_frame_has_its_status(hand):
    frames, domain = hand
    result = register_frames(frames, domain)
    assert result.success and result.status is Status.CONVERGED
    assert result.message == "3 frames registered to frame 0."
    assert len(result.frames) == 4 and all(frame.success for frame in result.frames)
    assert torch.equal(torch.cat([frame.w for frame in result.frames[1:]]), result.w)
    assert result.n_iter == sum(frame.n_iter for frame in result.frames) > 0
    assert result.frames[0].n_iter == 0 and "stays" in result.frames[0].message


def test_a_frame_that_is_not_registered_is_named(hand, monkeypatch):
    frames, domain = hand
    calls = []

    def second_gives_up(*arguments, **options):
        calls.append(1)
        options |= {"max_iter": 1} if len(calls) == 2 else {}
        return predictor_corrector(*arguments, **options)

    monkeypatch.setattr("regtools.superresolution.maps.predictor_corrector", second_gives_up)
    result = register_frames(frames, domain)
    assert [frame.success for frame in result.frames] == [True, True, False, True]
    assert not result.success and result.status is Status.MAX_ITERATIONS
    assert "1 of 3 frames" in result.message and "[2]. Frame 2:" in result.message


def test_interrupted_frames_are_told_from_registered_ones(hand):
    frames, domain = hand

    def interrupt(path):
        raise KeyboardInterrupt

    result = register_frames(frames, domain, callback=interrupt)
    assert not result.success and result.status is Status.STOPPED
    assert [frame.status for frame in result.frames] == [
        Status.CONVERGED,
        Status.CONVERGED,
        Status.STOPPED,
        Status.STOPPED,
    ]
    identity = torch.tensor([1.0, 0, 0, 1, 0, 0], dtype=torch.float64)
    assert torch.equal(result.w[6:], identity.repeat(2)) and not torch.equal(result.w[:6], identity)
    assert "[2, 3]" in result.message


def test_large_frames_begin_with_a_stronger_blur():
    """A turn that is found in a small frame is found in one of 128 pixels too."""
    assert scales_of((10, 12)) == scales_of((32, 40)) == [100, 10, 1, 0.1]
    assert scales_of((128, 200)) == [1e4, 1e3, 100, 10, 1, 0.1]
    known = simulated_problem("hands-phantom", 512, factor=4, seeds=(6, 13))
    move, x = Affine(2), known.problem.frame_domain.cell_centers()

    def off(w):
        pairs = zip(w.reshape(-1, 6), known.w_true.reshape(-1, 6), strict=True)
        gaps = [(move(a, x) - move(b, x)).norm(dim=1).mean() for a, b in pairs]
        return float(max(gaps)) / known.problem.frame_domain.h[0]

    assert off(register_frames(known.frames, known.domain).w) < 0.1
    assert off(register_frames(known.frames, known.domain, thetas=[100, 10, 1, 0.1]).w) > 5
