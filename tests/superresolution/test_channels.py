"""Colours: maps from the mean, an image for each channel, all in one call."""

import dataclasses

import numpy as np
import pytest
import torch

from regtools import choose_lam, super_resolve
from regtools.solvers import Status
from regtools.superresolution import SuperResolutionProblem
from wide_scene import BOX, FACTOR, M, burst, enlarged, error, off

LEVELS = [(1.0, 0.0), (0.5, 0.5), (0.3, 1.0)]
"""A channel is the scene times one number plus another."""
GAINS = np.array([[1, 1.1, 0.9, 1.05, 0.95], [1, 1, 1, 1, 1], [1, 0.95, 1.02, 0.9, 1.1]])
NOISE = 0.004


def colours():
    """Frames with channels last; each channel has its own brightness and noise."""
    frames, rng = burst().numpy(), np.random.default_rng(3)
    found = []
    for (slope, level), gain in zip(LEVELS, GAINS, strict=True):
        channel = gain[:, None, None] * (slope * frames + level)
        found.append(channel + NOISE * rng.standard_normal(frames.shape))
    return torch.from_numpy(np.stack(found, -1))


def solved(frames, **options):
    return super_resolve(frames, FACTOR, **{"domain": BOX, "channel_axis": -1} | options)


@pytest.fixture(scope="module")
def found():
    return solved(colours())


def test_each_channel_is_sharp(found):
    assert found.success and found.image.shape == (M, M, 3) and off(found.w).max() < 0.05
    assert found.canvas_image.shape == (*found.problem.canvas.m, 3)
    for c, (slope, level) in enumerate(LEVELS):
        frame = (colours()[0, ..., c].numpy() - level) / slope
        image = (found.image[..., c].numpy() - level) / slope
        assert error(image) < 0.6 * error(enlarged(frame))


def test_each_channel_has_its_brightness(found):
    np.testing.assert_allclose(found.gain.T.numpy(), GAINS, rtol=0.01)
    assert found.offset.shape == (5, 3) and float(found.offset.abs().max()) == 0


def test_brightness_with_an_offset():
    """Each frame and channel is brighter by a number of its own, frame 0 excepted."""
    shift = torch.from_numpy(0.1 * np.random.default_rng(4).standard_normal((5, 1, 1, 3)))
    shift[0] = 0
    frames = colours() + shift
    with_offset = solved(frames, exposure="gain and offset", lam=0.1)
    without = solved(frames, lam=0.1, w0=with_offset.w.flatten(), max_rounds=1)
    for c, (slope, level) in enumerate(LEVELS):
        errors = [error((one.image[..., c] - level) / slope) for one in (with_offset, without)]
        assert errors[0] < 0.5 * errors[1]


def test_where_the_channels_stand_does_not_matter(found):
    ahead = solved(colours().movedim(-1, 1), channel_axis=1, w0=found.w.flatten(), max_rounds=1)
    last = solved(colours(), w0=found.w.flatten(), max_rounds=1)
    torch.testing.assert_close(ahead.image, last.image, rtol=0, atol=1e-9)


def test_one_channel_is_the_same_as_none():
    """With λ and the brightness given the same system is solved."""
    plain = solved(burst(), channel_axis=None, lam=0.1, exposure=None)
    one = solved(burst()[..., None], lam=0.1, exposure=None)
    torch.testing.assert_close(one.image[..., 0], plain.image, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(one.misfit, plain.misfit, rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(one.w, plain.w, rtol=0, atol=0)


def test_lam_is_chosen_for_all_channels(found):
    """Their mean has less noise and wants less smoothing."""
    assert found.lam > found.problem.lam
    rows = [
        found.problem.replaced(frames=channel / found.gain[:, c, None, None])
        for c, channel in enumerate(colours().unbind(-1))
    ]
    alone = [choose_lam(task, found.history[-1].w)[0] for task in rows]
    assert min(alone) < found.lam < max(alone)
    assert f"{found.lam:.3g}" in found.message


def test_lam_for_noise_that_is_known():
    """A channel keeps what it is known to have; pixels beyond the canvas do not count."""
    known = solved(colours(), noise=2 * NOISE)
    assert float(known.misfit.square().mean().sqrt()) == pytest.approx(2 * NOISE, rel=0.15)


def test_what_is_missing_in_one_channel_counts_in_none(found):
    frames = colours()
    frames[2, 3:6, 4:8, 1] = torch.nan
    holed = solved(frames, w0=found.w.flatten(), lam=found.lam, max_rounds=1)
    assert bool(holed.image.isfinite().all())
    gap = (holed.image - found.image).norm() / found.image.norm()
    assert 1e-6 < float(gap) < 0.05


@pytest.mark.parametrize("exposure", ["gain", "gain and offset", None])
def test_a_channel_that_is_black(found, exposure):
    frames = colours() if exposure else colours() / torch.from_numpy(GAINS.T[:, None, None])
    frames[..., 1] = 0
    black = solved(frames, w0=found.w.flatten(), max_rounds=1, exposure=exposure)
    assert float(black.image[..., 1].abs().max()) < 1e-12
    assert bool(black.gain.isfinite().all()) and float(black.gain.min()) > 0
    assert error(black.image[..., 0]) < 1.2 * error(found.image[..., 0])


def test_a_foreign_frame_is_left_out_of_all_channels():
    frames = colours()
    frames[3] = frames[3].flip(0).flip(1)
    without = solved(frames, lam=0.1)
    assert without.left_out == (3,) and bool(without.misfit[3].isnan())
    assert error(without.image[..., 0]) < 0.4


def test_volumes():
    """Three axes of space and one of channels."""
    x = torch.linspace(0, 1, 8, dtype=torch.float64)
    grey = torch.sin(5 * x)[:, None, None] + torch.cos(4 * x)[:, None] * torch.sin(3 * x + 1)
    frames = torch.stack([grey, grey.roll(1, 0)])
    w0 = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    both = super_resolve(
        torch.stack([frames, 2 * frames], 1), 2, channel_axis=1, w0=w0, lam=0.3,
        frames_transform="translation", max_rounds=1, exposure=None,
    )  # fmt: skip
    assert both.image.shape == (16, 16, 16, 2)
    torch.testing.assert_close(both.image[..., 1], 2 * both.image[..., 0], rtol=1e-3, atol=1e-3)


def test_images_that_cg_does_not_reach_are_no_success(found, monkeypatch):
    from regtools.superresolution import channels

    def stopped(*args, **options):
        return dataclasses.replace(
            cg(*args, **options), success=False, status=Status.MAX_ITERATIONS
        )

    cg = channels.conjugate_gradient
    monkeypatch.setattr(channels, "conjugate_gradient", stopped)
    failed = solved(colours(), lam=found.lam)
    assert not failed.success and "not accurate" in failed.message


@pytest.mark.parametrize("axis", [0, 4, -5, 1.5, "last", True])
def test_an_axis_that_is_none_is_named(axis):
    with pytest.raises(ValueError, match="channel_axis must"):
        solved(colours(), channel_axis=axis)


@pytest.mark.parametrize("shape", [(5, 12, 12), (5, 12, 12, 0), (5, 4, 4, 4, 4, 3)])
def test_frames_without_channels_are_named(shape):
    with pytest.raises(ValueError, match="channel_axis must"):
        solved(torch.ones(shape, dtype=torch.float64))


def test_lam_of_rows():
    """Two channels that are equal, and the frames as rows, are the frames."""
    frames = burst() + 0.01 * torch.from_numpy(
        np.random.default_rng(5).standard_normal((5, 12, 12))
    )
    task = SuperResolutionProblem(frames, BOX, FACTOR, 1.0, margin=4)
    own, w = task.target[: task.n_data], task.identity()
    plain, _ = choose_lam(task, w)
    for rows in (own[:, None], own[:, None].repeat(1, 2)):
        assert choose_lam(task, w, rows=rows)[0] == pytest.approx(plain, rel=1e-6)
    for bad in (own, own[1:, None], own[:, None][:, :0]):
        with pytest.raises(ValueError, match="rows must have shape"):
            choose_lam(task, w, rows=bad)
    with pytest.raises(TypeError, match="rows must"):
        choose_lam(task, w, rows="own")
