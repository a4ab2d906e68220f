import numpy as np
import pytest
import torch

from regtools import Domain, SplineImage, SuperResolutionProblem, simulate_frames
from regtools.explorers.superresolution import (
    SuperResolutionView,
    combine,
    superresolution_explorer,
)
from regtools.images import random_maps

COUNTS, SIGMAS, LAMS = [1, 2, 4], [0.0, 10.0], [0.02, 0.5, 5.0]


@pytest.fixture(scope="module")
def case():
    """Frames of a smooth image that is not square, their box, factor and maps, and the image."""
    domain = Domain((0.0, 4.0, -1.0, 2.0), (12, 8))
    x, y = domain.cell_centers().T
    image = (100 + 60 * torch.sin(2 * x) * torch.cos(3 * y)).reshape(domain.m)
    w = random_maps(domain, (2, 3, 4), scales=(0.95, 1.05), angles=(-5, 5))
    return simulate_frames(image, domain, 2, w), domain, 2, w, image


@pytest.fixture(scope="module")
def view(case):
    return SuperResolutionView(*case, COUNTS, SIGMAS, LAMS)


def dense_image(frames, domain, w, lam):
    """The least-squares image of at least two frames, built column by column."""
    problem = SuperResolutionProblem(frames, domain, 2, lam)
    operator = problem.operator(w)
    columns = [operator(unit.reshape(domain.m)) for unit in torch.eye(96, dtype=torch.float64)]
    matrix = torch.stack(columns, dim=1).numpy()
    return np.linalg.lstsq(matrix, problem.target.numpy(), rcond=None)[0]


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("count", [2, 4])
def test_it_combines_the_first_frames(case, count, lam):
    frames, domain, factor, w, _ = case
    first, moving = frames[:count], w[: 6 * (count - 1)]
    found = combine(first, domain, factor, moving, lam, tol=1e-10)
    expected = dense_image(first, domain, moving, lam)
    np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-4)


def test_the_frames_have_their_noise(case, view):
    frames, domain, factor, w, _ = case
    one = view.compute(count=2, sigma=10.0, lam=0.5)
    noisy = (frames + 10 * view.noise)[:2]
    assert torch.equal(one.image, combine(noisy, domain, factor, w[:6], 0.5))
    assert float((one.image - combine(frames[:2], domain, factor, w[:6], 0.5)).std()) > 1


def test_one_frame_is_fitted_alone(case):
    """The 24 averages and the differences of the image, without any other frame."""
    frames, domain, factor, w, _ = case
    lam = 0.5
    average = np.kron(np.eye(6), np.full((1, 2), 0.5)), np.kron(np.eye(4), np.full((1, 2), 0.5))
    steps = [np.diff(np.eye(m), axis=0) / h for m, h in zip(domain.m, domain.h, strict=True)]
    rows = np.concatenate(
        [
            2 * np.kron(*average),  # a frame's cell holds four of the image
            lam * np.kron(steps[0], np.eye(8)),
            lam * np.kron(np.eye(12), steps[1]),
        ]
    )
    target = np.zeros(len(rows))
    target[:24] = 2 * frames[0].numpy().ravel()
    expected = np.linalg.lstsq(rows, target, rcond=None)[0]
    found = combine(frames[:1], domain, factor, w[:0], lam, tol=1e-10)
    np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-4)


def test_the_noise_has_the_size_that_the_slider_says(view):
    assert float(view.noise.std()) == pytest.approx(1, abs=0.15)
    quiet, loud = (view.compute(count=2, sigma=s, lam=0.5).frame for s in SIGMAS)
    torch.testing.assert_close(loud - quiet, 10 * view.noise[0])


def test_errors_are_those_of_the_pictures(case, view):
    frames, domain, _, _, image = case
    one = view.compute(count=4, sigma=0.0, lam=0.02)
    for picture, error in ((one.enlarged, one.enlarged_error), (one.image, one.error)):
        expected = np.linalg.norm(picture - image) / np.linalg.norm(image)
        assert error == pytest.approx(expected)
    coarse = Domain(domain.omega, (6, 4))
    spline = SplineImage(frames[0], coarse, extension="mirror")
    assert torch.equal(one.enlarged.flatten(), spline(domain.cell_centers()))


def test_it_opens_at_the_left_and_not_on_the_answer(case, view):
    explorer = superresolution_explorer(*case, COUNTS, SIGMAS, LAMS)
    assert [control.start for control in explorer.controls] == [0, 0, 0]
    first = view.compute(count=1, sigma=0.0, lam=0.02)
    assert view.compute(count=4, sigma=0.0, lam=0.02).error < 0.8 * first.error


def test_it_says_whether_the_frames_were_worth_it(view):
    good = view.compute(count=4, sigma=0.0, lam=0.02)
    bad = view.compute(count=4, sigma=10.0, lam=0.02)
    assert good.error < good.enlarged_error and "%, better than" in view.describe(good)
    assert bad.error > bad.enlarged_error and "%, not better than" in view.describe(bad)
    assert view.describe(view.compute(count=1, sigma=0.0, lam=5.0)).startswith("1 frame, noise 0,")


def test_what_is_not_allowed_is_refused(case):
    frames, domain, factor, w, image = case
    with pytest.raises(ValueError, match=r"sharp must have shape \(12, 8\); got \(8, 12\)"):
        superresolution_explorer(frames, domain, factor, w, image.T, COUNTS, SIGMAS, LAMS)
    for counts in ([0, 1], [1, 5]):
        with pytest.raises(ValueError, match="counts must lie between 1 and 4"):
            superresolution_explorer(*case, counts, SIGMAS, LAMS)
