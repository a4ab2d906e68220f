"""Pictures of different size, spacing and place, against formulas and torch's derivatives."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch.func import hessian as ad_hessian

from moved_pairs import BOX, off, spots, turn
from regtools import (
    Affine,
    RegistrationProblem,
    Rigid,
    SplineImage,
    gradient,
    load,
    mixed_derivative,
    predictor_corrector,
    register,
    second_order_model,
)
from regtools.images import Domain
from regtools.registration import _affine

OTHER = Domain((-3.0, 31.0, -16.0, 30.0), (50, 44))  # cells of 0.68 x 1.05 about BOX
CUBE = Domain((4.0, 24.0, -3.0, 17.0, -4.0, 16.0), (18, 20, 16))
SLAB = Domain((1.0, 25.0, -6.0, 20.0, -7.0, 19.0), (25, 20, 32))
RNG = np.random.default_rng(7)
KINDS = ("zero", "overlap", "masks")


def noise(domain):
    return torch.from_numpy(50 + 100 * RNG.random(domain.m))


def random_problem(boxes, kind, distance):
    template, reference = (SplineImage(noise(box), box) for box in boxes)
    options = {"surround": "zero" if kind == "zero" else "overlap", "distance": distance}
    if kind == "masks":
        masks = (torch.from_numpy(RNG.random(box.m)) for box in boxes)
        options |= dict(zip(("template_mask", "reference_mask"), masks, strict=True))
    return RegistrationProblem(template, reference, Affine(boxes[0].dim), **options)


def drawn(A, b, boxes=(OTHER, BOX)):
    """The spots on one grid, and seen through the map on another."""
    places = boxes[0].cell_centers().numpy(), boxes[1].cell_centers().numpy() @ A.T + b
    values = (torch.from_numpy(spots(x, boxes[0].dim)) for x in places)
    return [SplineImage(one.reshape(box.m), box) for one, box in zip(values, boxes, strict=True)]


@pytest.mark.parametrize("distance", ["ssd", "ncc"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boxes", [(OTHER, BOX), (BOX, OTHER), (SLAB, CUBE)])
def test_derivatives_are_those_of_the_loss(boxes, kind, distance, monkeypatch):
    task, theta = random_problem(boxes, kind, distance), 0.3
    w = task.identity() + 0.02 * torch.from_numpy(RNG.standard_normal(task.transform.n_params))
    known = ad_hessian(lambda x: task.loss(x, theta))(w)
    rate = [gradient(task, w, theta + step) for step in (1e-4, -1e-4)]
    rate = (rate[0] - rate[1]) / 2e-4
    for fits in (True, False):  # streamed, and in blocks
        if not fits:
            monkeypatch.setattr(_affine, "fits", lambda *arguments: False)
        model = second_order_model(task, w, theta)
        assert float(model.loss) == pytest.approx(float(task.loss(w, theta)), rel=1e-9)
        size = 1e-9 * float(known.abs().max())
        torch.testing.assert_close(model.hessian, known, rtol=0, atol=size)
        mixed = mixed_derivative(task, w, theta)
        torch.testing.assert_close(mixed, rate, rtol=0, atol=1e-5 * float(rate.abs().max()))


def test_the_blur_is_one_length_on_both_grids():
    """A wave loses as much on a fine grid as on a coarse one, theta in pixels of the reference."""
    boxes = Domain((0.0, 60.0, 0.0, 60.0), (150, 150)), Domain((0.0, 60.0, 0.0, 60.0), (60, 60))
    waves = [torch.cos(2 * torch.pi * box.cell_centers()[:, 0] / 12) for box in boxes]
    images = [SplineImage(one.reshape(box.m), box) for one, box in zip(waves, boxes, strict=True)]
    task = RegistrationProblem(*images, Affine(2))
    middle = torch.tensor([[36.0, 30.0]], dtype=torch.float64)
    for theta in (1.0, 13.0, 100.0):
        fine, coarse = (float(one(middle, theta)) for one in (task.template, task.reference))
        assert fine == pytest.approx(coarse, rel=0.02)
        assert coarse == pytest.approx(1 / (1 + theta * (2 * np.pi / 12) ** 4), rel=0.1)


@pytest.mark.parametrize("distance", ["ssd", "ncc"])
@pytest.mark.parametrize("boxes", [(OTHER, BOX), (BOX, OTHER), (SLAB, CUBE)])
def test_the_map_is_found(boxes, distance):
    dim = boxes[0].dim
    if dim == 2:
        A, b = turn(14, (1.04, 0.97), (0.7, -0.5))
    else:
        A = np.eye(3) + 0.05 * np.random.default_rng(3).standard_normal((3, 3))
        b = np.array([14.0, 8.0, 5.0]) - A @ [14.2, 7.7, 5.3]
    found = register(*drawn(A, b, boxes), start="identity", distance=distance)
    assert found.success and off(found.w, A, b, boxes[1]) < (0.05 if dim == 2 else 0.1)
    assert found.warp().shape == found.covered().shape == boxes[1].m
    rough = (found.warp() - found.problem.reference.data).abs() if distance == "ssd" else None
    assert rough is None or float(rough.mean()) < 1


def test_every_start_knows_both_boxes():
    A, b = turn(150, (1.03, 0.98), (0.5, -0.4))
    pair = drawn(A, b)
    for start in ("moments", "angles"):
        found = register(*pair, start=start)
        assert found.success and off(found.w, A, b) < 0.05, start


def test_features_know_both_boxes():
    """A photograph, cut out and half as fine, by SciPy."""
    big = load("camera", (192, 192)).data.numpy()
    a = np.radians(100)
    R = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    box = Domain((0.0, 80.0, 0.0, 64.0), (80, 64))
    half = Domain((0.0, 80.0, 0.0, 80.0), (40, 40))  # cells of 2 x 2
    smooth = scipy.ndimage.gaussian_filter(big, 1.0)
    places = (half.cell_centers().numpy() - 40) @ R.T + [40.0, 32.0]
    sampled = scipy.ndimage.map_coordinates(smooth, (places + 55.5).T, order=3)
    template = SplineImage(torch.from_numpy(big[56:136, 56:120].copy()), box)
    reference = SplineImage(torch.from_numpy(sampled.reshape(half.m)), half)
    found = register(template, reference)
    assert found.surround == "overlap" and found.success
    assert off(found.w, R, np.array([40.0, 32.0]) - R @ [40.0, 40.0], half) < 0.1
    assert any(one.name == "features" and one.w0 is not None for one in found.starts)


def test_tensors_of_another_shape_are_laid_on_each_other():
    """One scene in 96 x 64 and in 60 x 40 pixels; and a template that is cut off."""
    fine, coarse = (Domain((0.0, 60.0, 0.0, 40.0), m) for m in ((96, 64), (60, 40)))
    scene = lambda x: 100 * np.sin(x[:, 0] / 5) * np.cos(x[:, 1] / 4 + x[:, 0] / 9)  # noqa: E731
    pair = [
        torch.from_numpy(scene(box.cell_centers().numpy())).reshape(box.m) for box in (fine, coarse)
    ]
    found = register(*pair, start="identity")
    assert found.success and found.problem.template.domain == fine
    torch.testing.assert_close(found.w, found.problem.identity(), rtol=0, atol=2e-3)
    moved = found.warp(pair[0] + 1000)
    assert float((moved - pair[1] - 1000)[found.covered()].abs().mean()) < 1
    box = register(pair[1][:, :30], pair[1], start="identity").problem.template.domain
    assert np.allclose(box.h, box.h[0]) and box.cell_volume * 1800 == pytest.approx(2400)
    assert np.allclose(np.add(box.lower, box.upper) / 2, (30, 20))
    stretched = Domain((0.0, 60.0, 0.0, 80.0), (60, 40))  # cells of 1 x 2
    box = register(pair[0], pair[1], domain=stretched, start="identity").problem.template.domain
    assert box.h[1] == pytest.approx(2 * box.h[0])


def test_scales_with_fewer_pixels_end_at_the_same_map():
    A, b = turn(9)
    task = RegistrationProblem(*drawn(A, b), Rigid(BOX), surround="overlap", distance="ncc")
    thetas = [3e3, 3e2, 30.0, 1.0, 0.01]
    ends = [predictor_corrector(task, thetas, task.identity(), coarse=c) for c in (True, False)]
    torch.testing.assert_close(ends[0].w, ends[1].w, rtol=0, atol=1e-6)
    coarse = task.coarser(4)
    assert coarse.domain.m == (12, 10) and coarse.template.domain.omega == OTHER.omega
    assert coarse.template.domain.m == (17, 15)
