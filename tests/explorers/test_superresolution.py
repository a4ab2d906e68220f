import numpy as np
import pytest
import torch

from regtools import Domain, SuperResolutionProblem, simulate_frames
from regtools.explorers.superresolution import (
    SuperResolutionView,
    reconstruct_all,
    superresolution_explorer,
)
from regtools.images import random_maps

LAMS, COUNTS = [0.02, 0.5, 5.0], [1, 4, 60]


@pytest.fixture(scope="module")
def case():
    """Noisy frames of a smooth image that is not square, with its maps."""
    domain = Domain((0.0, 4.0, -1.0, 2.0), (12, 8))
    x, y = domain.cell_centers().T
    image = (100 + 60 * torch.sin(2 * x) * torch.cos(3 * y)).reshape(domain.m)
    w = random_maps(domain, (2, 3, 4), scales=(0.95, 1.05), angles=(-5, 5))
    frames = simulate_frames(image, domain, 2, w)
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(1)).double()
    return SuperResolutionProblem(frames + 10 * noise, domain, 2, lam=1.0), w, image


@pytest.fixture(scope="module")
def view(case):
    return SuperResolutionView(*case, LAMS, COUNTS)


def dense(problem, w, lam):
    """The least-squares matrix and right-hand side at one λ, built column by column."""
    here = SuperResolutionProblem(problem.frames, problem.domain, problem.factor, lam)
    operator = here.operator(w)
    columns = [operator(unit.reshape(here.domain.m)) for unit in torch.eye(96, dtype=torch.float64)]
    return torch.stack(columns, dim=1).numpy(), here.target.numpy()


@pytest.mark.parametrize("lam", LAMS)
def test_the_end_is_the_least_squares_image_and_its_norms(case, lam):
    problem, w, image = case
    one = reconstruct_all(*case, [lam], [500])[lam, 500]
    matrix, target = dense(problem, w, lam)
    expected = np.linalg.lstsq(matrix, target, rcond=None)[0]
    np.testing.assert_allclose(one.image.numpy().ravel(), expected, atol=1e-6)
    residual = matrix @ expected - target
    assert one.misfit == pytest.approx(np.linalg.norm(residual[: problem.n_data]))
    assert one.lam * one.roughness == pytest.approx(np.linalg.norm(residual[problem.n_data :]))
    truth = image.numpy().ravel()
    relative = np.linalg.norm(expected - truth) / np.linalg.norm(truth)
    assert one.error == pytest.approx(relative)


def test_an_early_stop_minimises_over_the_krylov_space(case):
    """One iteration is the best multiple of Aᵀb, whatever λ."""
    problem, w, _ = case
    one = reconstruct_all(*case, [0.5], [1])[0.5, 1]
    matrix, target = dense(problem, w, 0.5)
    direction = matrix.T @ target
    moved = matrix @ direction
    expected = direction * (moved @ target) / (moved @ moved)
    np.testing.assert_allclose(one.image.numpy().ravel(), expected, rtol=1e-10)


def test_roughness_falls_and_misfit_rises_with_lam(case):
    found = reconstruct_all(*case, LAMS, [500])
    misfits = [found[lam, 500].misfit for lam in LAMS]
    roughness = [found[lam, 500].roughness for lam in LAMS]
    assert misfits == sorted(misfits) and roughness == sorted(roughness, reverse=True)


def test_sliders_start_at_the_smallest_error(case, view):
    found = reconstruct_all(*case, LAMS, COUNTS)
    errors = {key: one.error for key, one in found.items()}
    explorer = superresolution_explorer(*case, LAMS, COUNTS)
    lam, count = (c.values[c.start] for c in explorer.controls)
    assert errors[lam, count] == min(errors.values())
    assert view.describe(view.compute(lam=lam, n_iter=count)).endswith("settings here.")


def test_it_says_where_more_iterations_do_harm(view):
    early, late = (view.compute(lam=0.02, n_iter=count) for count in (4, 60))
    assert early.error < 0.97 * late.error  # semi-convergence: the noise comes in later
    assert view.describe(early).endswith("after 60 iterations it will be worse.")
    assert "the smallest here is" in view.describe(late)
    assert "1 CG iteration: " in view.describe(view.compute(lam=5.0, n_iter=1))


def test_a_wrong_image_is_refused(case):
    problem, w, image = case
    with pytest.raises(ValueError, match=r"image must have shape \(12, 8\); got \(8, 12\)"):
        superresolution_explorer(problem, w, image.T, LAMS, COUNTS)
