"""Frames of a picture that goes on outside: canvas, weights, λ, brightness, and all in one call.

The frames are made without the package: a picture given by a formula, sampled finely, averaged.
"""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import torch

import dense_frames
from dense_frames import small_problem, start
from regtools import choose_lam, predictor_corrector, register_frames, super_resolve, varpro
from regtools.images import Domain
from regtools.solvers import Status
from regtools.superresolution import SuperResolutionProblem

M, FACTOR, FINE = 24, 2, 4
BOX = Domain((0, M, 0, M), (M, M))
WAVES = np.random.default_rng(7).uniform(-1, 1, (12, 3))
BLOBS = np.random.default_rng(8).uniform(-20, M + 20, (60, 2))


def scene(y, blur=0.0):
    """Grey values about 1 at points (..., 2), everywhere; waves of four cells and more, blobs.

    A Gaussian blur acts on each wave and blob by a formula.
    """
    grey = np.ones(y.shape[:-1])
    for a, b, phase in WAVES:
        k = np.array([a, b]) * 2 * np.pi / 4
        grey += 0.05 * np.exp(-(blur**2) * (k @ k) / 2) * np.cos(y @ k + 6 * phase)
    for j, centre in enumerate(BLOBS):
        square = 1.5**2 + blur**2
        tall = (-1) ** j * 0.4 * 1.5**2 / square
        grey += tall * np.exp(-((y - centre) ** 2).sum(-1) / (2 * square))
    return grey


def average(values, size):
    m = len(values) // size
    return values.reshape(m, size, m, size).mean((1, 3))


def grid():
    x = (np.arange(M * FINE) + 0.5) / FINE
    return np.stack(np.meshgrid(x, x, indexing="ij"), -1)


TRUTH = average(scene(grid()), FINE)


def maps(n=4, turn=4.0, seed=1):
    """Small turns about the centre and shifts of up to three cells."""
    rng, centre = np.random.default_rng(seed), np.full(2, M / 2)
    found = []
    for _ in range(n):
        t = np.deg2rad(rng.uniform(-turn, turn))
        A = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        found.append((A, centre + rng.uniform(-3, 3, 2) - A @ centre))
    return found


def burst(known=None, black=False, **options):
    """Frames of the scene, frame 0 unmoved."""

    def seen(y):
        inside = ((y >= 0) & (y <= M)).all(-1)
        return scene(y, **options) * (inside if black else 1)

    moved = [(np.eye(2), np.zeros(2)), *(maps() if known is None else known)]
    frames = [average(seen(grid() @ A.T + b), FINE * FACTOR) for A, b in moved]
    return torch.from_numpy(np.stack(frames))


def error(image):
    return np.linalg.norm(np.asarray(image) - TRUTH) / np.linalg.norm(TRUTH - TRUTH.mean())


def enlarged(frame):
    """Cubic interpolation of one frame, by SciPy."""
    x = (np.arange(M) + 0.5) / FACTOR - 0.5
    places = np.stack(np.meshgrid(x, x, indexing="ij"))
    return scipy.ndimage.map_coordinates(frame, places, order=3, mode="nearest")


def off(w, known=None):
    """Mean distance of the mapped points from the true ones, in cells of the image."""
    x, gaps = BOX.cell_centers().numpy(), []
    for block, (A, b) in zip(w.numpy(), maps() if known is None else known, strict=True):
        gaps.append(np.linalg.norm(x @ (block[:4].reshape(2, 2) - A).T + block[4:] - b, axis=1))
    return np.mean(gaps, axis=1)


def solved(frames, **options):
    """With a λ that suits these frames, as choosing one takes most of the time."""
    return super_resolve(frames, FACTOR, **{"domain": BOX, "lam": 0.1} | options)


@pytest.fixture(scope="module")
def clean():
    return super_resolve(burst(), FACTOR, domain=BOX)


# --- one call --------------------------------------------------------------------------


def test_the_picture_goes_on_outside(clean):
    """Better than the best of the frames, by far, and the maps are right."""
    assert clean.success and clean.surround == "overlap" and clean.left_out == ()
    assert error(clean.image) < 0.4 * error(enlarged(burst()[0].numpy()))
    assert off(clean.w).max() < 0.05
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


# --- the parts -------------------------------------------------------------------------


def test_surround_is_seen_at_the_borders():
    assert register_frames(burst(), BOX, thetas=[10.0]).surround == "overlap"
    assert register_frames(burst(black=True), BOX, thetas=[10.0]).surround == "zero"


def test_a_frame_that_a_strong_blur_loses_is_tried_again():
    frames = burst()
    lost = register_frames(frames, BOX, thetas=[1e6]).w
    found = register_frames(frames, BOX, thetas=[1e6, 10.0, 1.0, 0.1])
    assert off(lost.reshape(-1, 6)).max() > 3
    assert found.success and off(found.w.reshape(-1, 6)).max() < 0.3


def test_interrupted_in_a_second_try(monkeypatch):
    """Ctrl-C there ends the whole run, as in the first."""
    calls = []

    def stopped(problem, thetas, w0):
        calls.append(thetas)
        path = predictor_corrector(problem, [1e6], w0)
        if len(calls) == 2:
            path = replace(path, success=False, status=Status.STOPPED)
        return path

    monkeypatch.setattr("regtools.superresolution.maps.predictor_corrector", stopped)
    monkeypatch.setattr("regtools.superresolution.maps.POOR", 0.0)  # every frame is tried again
    found = register_frames(burst(), BOX, thetas=[1e6, 1.0])
    assert len(calls) == 2 and found.status is Status.STOPPED and not found.success


def test_covered_pixels_see_the_canvas_alone():
    """By hand: a shift by three cells along the first axis."""
    w = torch.tensor([1, 0, 0, 1, 3.0, 0], dtype=torch.float64)
    for margin, last in [(0, 9), (2, 10), (5, 12)]:
        problem = SuperResolutionProblem(burst()[:2], BOX, FACTOR, 0.1, margin=margin)
        first, moved = problem.covered(w)
        assert first.all()
        # Pixel i reaches to cell 2 i + 1, whose centre lies 3 further at 2 i + 4.5.
        rows = [2 * i + 4.5 <= M + margin - 2 for i in range(12)]
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


@pytest.mark.parametrize("derivative", ["kaufman", "implicit"])
def test_scaled_steps_find_the_same_minimum(derivative):
    """Scaling the parameters changes the way, not the end."""
    problem = small_problem(lam=0.3)
    w0 = start(problem)
    options = {"tol_cg": 1e-12, "max_iter": 300}
    plain = varpro(problem, w0, derivative, gtol=1e-7, **options)
    scaled = varpro(problem, w0, derivative, gtol=1e-8, scaled=True, **options)
    assert plain.success and scaled.success
    x = problem.points

    def places(found):
        return torch.cat([dense_frames.moved(x, block) for block in found.w.reshape(-1, 6)])

    torch.testing.assert_close(places(scaled), places(plain), rtol=0, atol=1e-3)
    assert scaled.loss <= plain.loss * (1 + 1e-8)


def exact_score(problem, w, lam):
    """The score by dense matrices: n ‖d − S d‖² / (n − tr S)², in grey values squared."""
    task = problem.replaced(lam=lam)
    A, d = dense_frames.matrix(task, w), dense_frames.target(task)
    used = dense_frames.target(task.replaced(frames=torch.ones_like(task.frames))) > 0
    S = A @ torch.linalg.solve(A.T @ A, A.T)
    S, d, n = S[used][:, used], d[used], int(used.sum())
    misfit = (d - S @ d).square().sum() / problem.data_weight**2
    return float(n * misfit / (n - S.trace()) ** 2), float(S.trace() / n)


@pytest.mark.parametrize("options", [{}, {"margin": 2, "weighted": True}], ids=["plain", "weights"])
def test_cross_validation_by_dense_matrices(options):
    problem = small_problem(noise=5.0, **options)
    w = dense_frames.true_maps()
    lam, trials = choose_lam(problem, w, n_probes=400, tol=1e-10)
    for trial in trials[:6]:
        score, freedom = exact_score(problem, w, trial.lam)
        assert trial.freedom == pytest.approx(freedom, abs=0.01)
        assert trial.score == pytest.approx(score, rel=0.05)
    grid = np.geomspace(lam / 8, 8 * lam, 25)
    least = min(exact_score(problem, w, one)[0] for one in grid)
    assert exact_score(problem, w, lam)[0] < 1.02 * least


def test_known_noise_decides():
    problem = small_problem(noise=5.0)
    lam, trials = choose_lam(problem, dense_frames.true_maps(), noise=5.0, tol=1e-8)
    chosen = next(trial for trial in trials if trial.lam == lam)
    assert chosen.misfit == pytest.approx(5.0, rel=0.02) and np.isnan(chosen.score)
