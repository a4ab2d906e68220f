"""Fewer, wider pixels where the blur is strong: the same end for less."""

import numpy as np
import pytest
import torch

import regtools
from regtools.images import Domain, SplineImage, averaged, half_gain_wavelength
from regtools.registration import (
    Affine,
    RegistrationProblem,
    Rigid,
    Tikhonov,
    predictor_corrector,
    register,
)
from regtools.registration.path import coarsened


@pytest.mark.parametrize(
    ("m", "new"), [((12, 8), (6, 4)), ((13, 9), (5, 4)), ((10, 7, 6), (4, 7, 5))]
)
def test_averages_over_cells(m, new):
    """Against a grid so fine that both kinds of cells are whole blocks of it."""
    data = torch.from_numpy(np.random.default_rng(0).random(m))
    fine = data
    for axis, cells in enumerate(new):
        fine = fine.repeat_interleave(cells, axis)
    for axis, cells in enumerate(new):
        fine = fine.unflatten(axis, (cells, -1)).mean(axis + 1)
    torch.testing.assert_close(averaged(data, new), fine, rtol=1e-13, atol=0)
    assert averaged(data.float(), new).dtype == torch.float32
    assert float(averaged(data, new).mean()) == pytest.approx(float(data.mean()), rel=1e-12)


def camera_problem(m=48, transform=None, **options):
    """A photograph and a moved copy, cut out of it by SciPy."""
    image = regtools.load("camera", 2 * m)
    domain = Domain((0.0, 3.0, 1.0, 3.0), (m, m))
    cut = slice(m // 2, m // 2 + m)
    draw = np.random.default_rng(3)
    turn = np.eye(2) + draw.uniform(-0.06, 0.06, (2, 2))
    centre = np.full(2, m - 0.5)
    moved = scipy_affine(image.data.numpy(), turn, centre - turn @ centre + [1.7, -2.3])
    pictures = [torch.from_numpy(one[cut, cut].copy()) for one in (image.data.numpy(), moved)]
    images = [SplineImage(one, domain) for one in pictures]
    return RegistrationProblem(*images, transform or Affine(2), surround="overlap", **options)


def scipy_affine(picture, turn, shift):
    import scipy.ndimage

    return scipy.ndimage.affine_transform(picture, turn, shift, order=3, mode="nearest")


THETAS = np.geomspace(3000, 1e-2, 12)


@pytest.mark.parametrize("predictor", [None, "newton"])
@pytest.mark.parametrize("corrector", ["newton", "gauss-newton"])
def test_the_end_is_the_same(corrector, predictor):
    problem = camera_problem()
    options = {"corrector": corrector, "predictor": predictor}
    full = predictor_corrector(problem, THETAS, problem.identity(), **options)
    coarse = predictor_corrector(problem, THETAS, problem.identity(), coarse=True, **options)
    assert full.success and coarse.success
    S = problem.scaling
    gap = torch.linalg.solve(S, full.w - coarse.w).norm()
    assert gap < 1e-5  # cells
    assert coarse.loss == pytest.approx(full.loss, rel=1e-9)
    assert [step.theta for step in coarse.steps] == list(THETAS)
    cells = [step.result.history[0].theta / step.theta for step in coarse.steps]
    assert cells[0] == pytest.approx(2.0**-8) and cells[-1] == 1  # two levels up; all pixels


def test_predictions_cross_the_levels():
    """A prediction from wide pixels to narrow ones is in the right unit of theta."""
    problem = camera_problem()
    path = predictor_corrector(problem, THETAS, problem.identity(), coarse=True)
    gains = [
        step.gradient_norm_predicted < step.gradient_norm_start
        for step in path.steps[1:]
        if step.gradient_norm_start > 10 * step.result.gradient_tolerance
    ]
    assert len(gains) > 6 and sum(gains) >= 0.8 * len(gains)


def test_wider_pixels_keep_what_a_problem_is():
    mask = torch.ones(48, 48, dtype=torch.float64)
    mask[:10] = 0
    regularizer = Tikhonov(Affine(2).identity())
    problem = camera_problem(
        regularizer=regularizer, lam=0.2, template_mask=mask, reference_mask=mask
    )
    coarse = problem.coarser(4)
    assert coarse is problem.coarser(4) and coarse is not problem
    assert coarse.domain == Domain(problem.domain.omega, (12, 12))
    assert (coarse.lam, coarse.surround) == (0.2, "overlap")
    assert coarse.overlap.seen.reshape(12, 12)[:2].max() == 0
    assert coarse.overlap.seen.reshape(12, 12)[3:].min() == 1
    assert problem.coarser(1) is problem
    w = problem.identity()
    one, other = problem.loss(w, 4.0**4 * 5.0), coarse.loss(w, 5.0)
    assert float(one) == pytest.approx(float(other), rel=0.15)  # both integrals over the box
    with pytest.raises(ValueError, match="factor"):
        problem.coarser(0)


def test_eight_cells_lie_on_a_wave_that_is_damped_to_half():
    problem = camera_problem()
    for theta in (0.0, 1.0, 41.0, 43.0, 700.0, 1e4, 1e7):
        coarse, blur = coarsened(problem, theta)
        factor = problem.domain.m[0] / coarse.domain.m[0]
        assert blur == pytest.approx(theta / factor**4, rel=1e-9) or coarse.domain.m[0] == 4
        if factor > 1:
            assert half_gain_wavelength(blur) >= 8 or coarse.domain.m[0] == 4
        if coarse.domain.m[0] > 4:
            assert half_gain_wavelength(blur) < 16


def test_other_maps_take_wider_pixels_too():
    domain = Domain((0.0, 3.0, 1.0, 3.0), (48, 48))
    problem = camera_problem(transform=Rigid(domain))
    full = predictor_corrector(problem, THETAS, problem.identity())
    coarse = predictor_corrector(problem, THETAS, problem.identity(), coarse=True)
    assert torch.linalg.solve(problem.scaling, full.w - coarse.w).norm() < 1e-5


def test_register_finds_the_minimiser_of_all_pixels():
    problem = camera_problem()
    pictures = (problem._pair[0].data, problem._pair[1].data)
    found = register(*pictures, domain=problem.domain, surround="overlap", start="identity")
    assert found.success and found.path.steps[-1].result.history[0].theta == pytest.approx(0.01)
    assert (
        found.path.steps[-1].result.gradient_norm <= found.path.steps[-1].result.gradient_tolerance
    )
