"""Frames of a picture that goes on outside: canvas, weights, brightness, and all in one call."""

import numpy as np
import pytest
import torch

from regtools import simulated_problem, super_resolve
from regtools.images import Domain
from regtools.solvers import Status
from regtools.superresolution import SuperResolutionProblem
from regtools.superresolution.exposure import agreed_exposure
from wide_scene import BOX, FACTOR, FINE, M, average, burst, enlarged, error, grid, maps, off, scene


def solved(frames, **options):
    """With a λ that suits these frames, as choosing one takes most of the time."""
    return super_resolve(frames, FACTOR, **{"domain": BOX, "lam": 0.1} | options)


@pytest.fixture(scope="module")
def clean():
    return super_resolve(burst(), FACTOR, domain=BOX)


def test_the_picture_goes_on_outside(clean):
    """Better than the best of the frames, by far, and the maps are right."""
    assert clean.success and clean.surround == "overlap" and clean.left_out == ()
    assert error(clean.image) < 0.4 * error(enlarged(burst()[0].numpy()))
    assert off(clean.w).max() < 0.05
    middle = np.full(2, M / 2)
    known = [(A @ middle + b - middle) / FACTOR for A, b in maps()]
    np.testing.assert_allclose(clean.shifts.numpy(), known, atol=0.05)
    assert clean.image.shape == BOX.m and clean.problem.margin >= 4
    assert float(clean.overlap.min()) > 0.98


def test_black_outside_needs_no_margin():
    found = solved(burst(black=True), lam=0.3)  # the sharp edge to black is hard for a spline
    assert found.surround == "zero" and found.problem.margin == 0
    assert error(found.image) < 0.6 * error(enlarged(burst()[0].numpy()))


def test_pixels_that_see_beyond_the_canvas_do_not_count():
    """With too little margin the image is hardly worse than with enough."""
    found = solved(burst(), margin=1)
    assert error(found.image) < 0.5 * error(enlarged(burst()[0].numpy()))
    assert float(found.overlap.min()) < 0.95


def test_without_a_canvas_the_image_is_spoilt(clean):
    """What the margin is for: the same frames and maps, black outside."""
    w = clean.w.flatten()
    narrow = SuperResolutionProblem(burst(), BOX, FACTOR, clean.lam)
    assert error(narrow.reconstruct(w)) > 3 * error(clean.image)


@pytest.mark.parametrize("black", [False, True], ids=["goes on", "black"])
def test_brightness_is_found(black):
    gains = np.array([1, 1.1, 0.9, 1.05, 0.95])
    frames = burst(black=black) * torch.from_numpy(gains)[:, None, None]
    found = solved(frames)
    np.testing.assert_allclose(found.gain.numpy(), gains, rtol=0.01)
    without = solved(frames, exposure=None, max_rounds=1)
    assert error(found.image) < 0.7 * error(without.image)


def test_gain_and_offset():
    gains, offsets = np.array([1, 1.1, 0.9, 1, 1]), np.array([0, 0.1, 0, -0.2, 0])
    frames = burst() * torch.from_numpy(gains)[:, None, None]
    frames += torch.from_numpy(offsets)[:, None, None]
    found = solved(frames, exposure="gain and offset")
    np.testing.assert_allclose(found.gain.numpy(), gains, rtol=0.02)
    np.testing.assert_allclose(found.offset.numpy(), offsets, atol=0.03)


def test_a_foreign_frame_is_left_out():
    frames = burst()
    frames[2] = torch.from_numpy(average(scene(grid() + 60), FINE * FACTOR))
    found = solved(frames)
    assert found.left_out == (2,) and "[2]" in found.message
    assert torch.isnan(found.misfit[2]) and found.overlap[2] == 0
    assert error(found.image) < 0.4 * error(enlarged(frames[0].numpy()))


def test_a_given_blur_is_undone():
    frames = burst(blur=1.0)
    plain = solved(frames)
    known = solved(frames, psf=0.5)
    assert error(known.image) < 0.6 * error(plain.image)


def test_dead_pixels(clean):
    """As NaN, or with weight 0 and anything in them: the same image, hardly worse than without."""
    rng = np.random.default_rng(3)
    dead = torch.from_numpy(rng.uniform(size=burst().shape) < 0.05)
    holes = torch.where(dead, torch.nan, burst())
    found = solved(holes)
    assert found.success and error(found.image) < 1.5 * error(clean.image)
    filled = torch.where(dead, 1e3, burst())
    weights = (~dead).to(filled)
    again = solved(filled, weights=weights)
    assert torch.equal(again.image, found.image)


def test_hot_pixels_that_nobody_knows_of(clean):
    """Huber's weights hold what one in a hundred wrong pixels would spoil."""
    rng = np.random.default_rng(4)
    hot = torch.from_numpy(rng.uniform(size=burst().shape) < 0.01)
    frames = burst() + 2.0 * hot
    robust, plain = solved(frames, robust="huber"), solved(frames, max_rounds=1)
    assert error(robust.image) < 0.7 * error(plain.image)


def test_fewer_parameters_cost_less_with_noise():
    """Frames that only shift: an affine map fits the noise as well."""
    known = maps(turn=0.0)
    grain = 0.05 * torch.from_numpy(np.random.default_rng(5).standard_normal(burst().shape))
    gaps = {}
    for kind in ("affine", "rigid", "translation"):
        found = solved(burst(known) + grain, frames_transform=kind, lam=0.5)
        gaps[kind] = off(found.w, known).mean()
    assert gaps["translation"] < 0.9 * gaps["affine"] and gaps["rigid"] < gaps["affine"]


def test_unit_of_length_and_origin_do_not_matter():
    far = Domain((5.0, 5.0 + 1e-3 * M, -70.0, -70.0 + 1e-3 * M), (M, M))
    found = solved(burst(), domain=far, lam=1e-4)
    near = solved(burst())
    assert float((found.image - near.image).norm() / near.image.norm()) < 1e-3


def test_float32():
    found = solved(burst().float())
    assert found.success and found.image.dtype == found.w.dtype == torch.float32
    assert error(found.image) < 0.3 * error(enlarged(burst()[0].numpy()))


def test_volumes():
    """Three blobs by a formula, three frames that shift."""

    def grey(y):
        centres, heights = [(8, 8, 6), (4, 10, 8), (12, 5, 5)], (0.3, 0.3, -0.3)
        return 1 + sum(
            height * np.exp(-((y - centre) ** 2).sum(-1) / 14)
            for centre, height in zip(np.array(centres), heights, strict=True)
        )

    m = (16, 16, 12)
    x = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in m), indexing="ij"), -1)
    shifts = np.array([[0, 0, 0], [0.7, -0.6, 0.4], [-0.9, 0.5, 1.1]])
    frames = [grey(x + s).reshape(8, 2, 8, 2, 6, 2).mean((1, 3, 5)) for s in shifts]
    box = Domain((0, 16, 0, 16, 0, 12), m)
    found = super_resolve(
        torch.from_numpy(np.stack(frames)), 2, domain=box, frames_transform="translation", lam=0.1
    )
    assert found.success and found.image.shape == m
    np.testing.assert_allclose(found.w[:, -3:].numpy(), shifts[1:], atol=0.05)


def test_rounds_end_and_say_why(clean):
    assert clean.n_iter == len(clean.history) and "converged after" in clean.message
    short = solved(burst(), max_rounds=1)
    assert not short.success and short.status is Status.MAX_ITERATIONS
    assert "max_rounds" in short.message


def test_interrupted_after_a_round():
    seen = []

    def interrupt(result):
        seen.append(result)
        if len(seen) == 2:
            raise KeyboardInterrupt

    found = solved(burst(), lam=0.1, callback=interrupt)
    assert found.status is Status.STOPPED and not found.success and found.n_iter == 2
    assert error(found.image) < 1


def test_what_is_given_is_taken(clean):
    w0 = clean.w.flatten()
    found = solved(burst(), lam=0.5, margin=6, w0=w0, max_rounds=2)
    assert found.lam == 0.5 and found.problem.margin == 6 and found.registration is None
    known = super_resolve(
        burst() + 0.02 * torch.randn(5, 12, 12, generator=torch.Generator().manual_seed(1)),
        FACTOR,
        domain=BOX,
        noise=0.02,
        w0=w0,
    )
    assert float(known.misfit.square().mean().sqrt()) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": torch.ones(3, 8)}, "frames must have shape"),
        ({"frames": torch.ones(3, 8, 8)}, "frames must not be constant"),
        ({"factor": 0}, "factor must be"),
        ({"lam": "best"}, "lam must be one of"),
        ({"lam": -1.0}, "lam must be"),
        ({"margin": "wide"}, "margin must be one of"),
        ({"margin": -1}, "margin must be"),
        ({"surround": "grey"}, "surround must be one of"),
        ({"frames_transform": "shear"}, "frames_transform must be one of"),
        ({"exposure": "flash"}, "exposure must be one of"),
        ({"robust": "tukey"}, "robust must be one of"),
        ({"noise": 0.0}, "noise must be"),
        ({"psf": -0.5}, "psf must be"),
        ({"w0": torch.zeros(3, dtype=torch.float64)}, "w0 must have shape"),
        ({"weights": torch.ones(2, 2, dtype=torch.float64)}, "weights must have the shape"),
        ({"weights": 2 * torch.ones(5, 12, 12, dtype=torch.float64)}, "weights must lie"),
        ({"weights": (burst() > 0).double().index_fill(0, torch.tensor(3), 0)}, "zero all over"),
        ({"domain": Domain((0, 1, 0, 1, 0, 1), (4, 4, 4))}, "domain must have 2 axes"),
        ({"max_rounds": 0}, "max_rounds must be"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"frames": burst(), "factor": FACTOR, "domain": BOX} | change
    with pytest.raises(ValueError, match=message):
        super_resolve(**given)


@pytest.mark.parametrize("kind", ["gain", "gain and offset"])
def test_brightness_that_one_image_agrees_on(kind):
    """Exact data and a λ that hardly counts: what was put in comes out, noise shifts it little."""
    known = simulated_problem("cells", (20, 24), seeds=(2, 3, 4, 5, 6))
    gains = torch.tensor([1.0, 0.8, 1.3, 1.1, 0.9, 1.05], dtype=torch.float64)
    offsets = torch.tensor([0.0, 5, -4, 2, 8, -1], dtype=torch.float64)
    offsets *= float(kind == "gain and offset")
    frames = gains[:, None, None] * known.frames + offsets[:, None, None]
    problem = known.problem.replaced(frames=frames, lam=1e-4)
    gain, offset = agreed_exposure(problem, known.w_true, kind)
    torch.testing.assert_close(gain, gains, rtol=1e-3, atol=0)
    torch.testing.assert_close(offset, offsets, rtol=0, atol=0.05)
    noise = np.random.default_rng(0).standard_normal(frames.shape)
    noisy = problem.replaced(frames=frames + 2 * torch.from_numpy(noise), lam=0.1)
    gain, _ = agreed_exposure(noisy, known.w_true, kind)
    torch.testing.assert_close(gain, gains, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("name", "m", "seeds"),
    [("hands-phantom", 20, (2, 3, 4)), ("cells", (20, 24), (5, 6, 7)), ("camera", 20, (2, 3, 4))],
)
def test_few_frames_of_one_brightness_are_not_made_unequal(name, m, seeds):
    """Small frames that turn far; a brightness fitted to a sharp image stays where it began."""
    known = simulated_problem(name, m, seeds=seeds)
    ours = super_resolve(known.frames, 2, domain=known.domain)
    equal = super_resolve(known.frames, 2, domain=known.domain, exposure=None)
    assert float((ours.gain - 1).abs().max()) < 0.03
    errors = [float((one.image - known.image).norm()) for one in (ours, equal)]
    assert errors[0] < 1.3 * errors[1]
