"""Registration of pictures that go on outside their box, against NumPy and SciPy."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch.func import grad, jacfwd
from torch.func import hessian as ad_hessian

from problems import DOMAIN, near_identity
from regtools import (
    Affine,
    NeuralODE,
    RegistrationProblem,
    SplineImage,
    Status,
    gradient,
    levenberg_marquardt,
    load,
    mixed_derivative,
    newton,
    predictor_corrector,
    register_frames,
    second_order_model,
    taylor_test,
)
from regtools.images import Domain

RNG = np.random.default_rng(1)
PICTURES = [torch.from_numpy(100 * RNG.random(DOMAIN.m)) for _ in range(2)]
MASKS = [torch.from_numpy(RNG.random(DOMAIN.m)) for _ in range(2)]
MAPS = {"affine": Affine(2), "network": NeuralODE(2, 3, domain=DOMAIN)}


def problem(transform=MAPS["affine"], masked=False):
    names = ("template_mask", "reference_mask")
    masks = dict(zip(names, MASKS, strict=True)) if masked else {}
    images = [SplineImage(data, DOMAIN) for data in PICTURES]
    return RegistrationProblem(*images, transform, surround="overlap", **masks)


# --- the mirrored spline ---------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.0, 0.5, 5.0])
def test_a_mirrored_image_is_that_of_mirrored_data(theta):
    """Inside the box, the values of a picture made of many mirror images."""
    tiled = np.pad(PICTURES[0].numpy(), [(4 * m, 4 * m) for m in DOMAIN.m], "symmetric")
    wide = Domain((-12.0, 15.0, -21.0, 24.0), tuple(9 * m for m in DOMAIN.m))
    points = torch.from_numpy(RNG.uniform((0, -1), (3, 4), (300, 2)))
    ours = SplineImage(PICTURES[0], DOMAIN, "mirror")
    expected = SplineImage(torch.from_numpy(tiled), wide)(points, theta)
    torch.testing.assert_close(ours(points, theta), expected, rtol=0, atol=1e-6)


def test_blur_does_not_darken_the_border():
    white = SplineImage(torch.full(DOMAIN.m, 200.0, dtype=torch.float64), DOMAIN, "mirror")
    edge = torch.tensor([[0.0, -1.0], [3.0, 4.0], [0.1, 1.0]], dtype=torch.float64)
    assert white(edge, 1e4).tolist() == pytest.approx([200.0] * 3, rel=1e-12)
    dark = SplineImage(white.data, DOMAIN)
    assert float(dark(edge, 1e4).max()) < 150


def test_the_mirrored_image_interpolates():
    image = SplineImage(PICTURES[0], DOMAIN, "mirror")
    values = image(DOMAIN.cell_centers()).reshape(DOMAIN.m)
    torch.testing.assert_close(values, PICTURES[0], rtol=1e-11, atol=0)
    assert image.coefficients(0.3).shape == DOMAIN.m


def test_another_extension_is_refused():
    with pytest.raises(ValueError, match=r"extension must be one of \['zero', 'mirror'\]"):
        SplineImage(PICTURES[0], DOMAIN, "wrap")


# --- the loss --------------------------------------------------------------------------


def rise(t):
    t = np.clip(t, 0, 1)
    return 6 * t**5 - 15 * t**4 + 10 * t**3


@pytest.mark.parametrize("masked", [False, True])
def test_loss_is_that_of_the_formula(masked):
    """In NumPy, from the values of the images."""
    task, theta = problem(masked=masked), 0.4
    w = near_identity(task.transform, 0.1)
    x = DOMAIN.cell_centers().numpy()
    y = x @ w[:4].reshape(2, 2).numpy().T + w[4:].numpy()
    v = np.ones(len(x))
    for k, (low, high, h) in enumerate(zip(DOMAIN.lower, DOMAIN.upper, DOMAIN.h, strict=True)):
        v *= rise((y[:, k] - low) / (3 * h)) * rise((high - y[:, k]) / (3 * h))
    trust = np.ones(len(x))
    if masked:
        trust = MASKS[1].numpy().ravel()
        v *= SplineImage(MASKS[0], DOMAIN, "mirror")(torch.from_numpy(y)).numpy() * trust
    template, reference = (
        image(torch.from_numpy(points), theta).numpy()
        for image, points in ((task.template, y), (task.reference, x))
    )
    spread = np.average(
        (PICTURES[1].numpy().ravel() - np.average(PICTURES[1].numpy().ravel(), weights=trust**2))
        ** 2,
        weights=trust**2,
    )
    extra = 1e-3 * len(x)
    Q, D = np.sum((v * (template - reference)) ** 2), np.sum(v**2)
    expected = 15.0 * (Q + extra * spread) / (D + extra)
    assert float(task.loss(w, theta)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", MAPS)
def test_composed_derivatives_are_those_of_the_loss(name, masked):
    task, theta = problem(MAPS[name], masked), 0.7
    w = near_identity(task.transform, 0.1)
    model = second_order_model(task, w, theta)

    def loss(w):
        return task.loss(w, theta)

    def close(ours, expected):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-11 * float(expected.abs().max()))

    close(model.loss, loss(w))
    close(model.residual, task.residual(w, theta))
    close(model.gradient, grad(loss)(w))
    close(gradient(task, w, theta), grad(loss)(w))
    close(model.hessian, ad_hessian(loss)(w))
    close(model.jacobian, jacfwd(lambda w: task.residual(w, theta))(w))
    close(model.gauss_newton, 2 * model.jacobian.T @ model.jacobian)
    step = 1e-5
    change = gradient(task, w, theta + step) - gradient(task, w, theta - step)
    close_to = change / (2 * step)
    gap = (mixed_derivative(task, w, theta) - close_to).norm() / close_to.norm()
    assert float(gap) < 1e-7


def test_taylor_slope_is_three():
    task = problem(masked=True)
    w = near_identity(task.transform, 0.1)
    v = torch.tensor([0.05, -0.1, 0.08, 0.02, 0.3, -0.2], dtype=torch.float64)
    model = second_order_model(task, w, 0.5)
    terms = [model.gradient @ v, v @ model.hessian @ v]
    assert taylor_test(lambda w: task.loss(w, 0.5), w, v, terms).order == pytest.approx(3, abs=0.1)


# --- registration ----------------------------------------------------------------------


def scene(degrees, seed, m=48):
    """Two cut-outs of one photograph with mild noise, and the map that joins them."""
    big = load("camera", 3 * m).data.numpy()
    rng = np.random.default_rng(seed)
    angle, scale = np.deg2rad(rng.uniform(-degrees, degrees)), rng.uniform(0.9, 1.1, 2)
    A = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    domain = Domain((0, m, 0, m), (m, m))
    x, centre = domain.cell_centers().numpy(), np.full(2, m / 2)
    b = centre + rng.uniform(-3, 3, 2) - A @ centre
    places = (x @ A.T + b + m - 0.5).T
    reference = scipy.ndimage.map_coordinates(big, places, order=3).reshape(m, m)
    pair = [big[m : 2 * m, m : 2 * m], reference]
    pair = [torch.from_numpy(data + rng.normal(0, 2, data.shape)) for data in pair]
    return pair, domain, torch.from_numpy(np.concatenate([A.ravel(), b]))


def off(transform, w, known, domain):
    """Mean distance of the mapped points, in cells."""
    x = domain.cell_centers()
    return float((transform(w, x) - transform(known, x)).norm(dim=1).mean()) / domain.h[0]


THETAS = np.geomspace(1000, 0.01, 11)


@pytest.mark.parametrize("corrector", ["newton", "gauss-newton"])
@pytest.mark.parametrize(("degrees", "seed"), [(15, 0), (15, 1), (30, 2)])
def test_cut_outs_of_a_photograph_are_registered(degrees, seed, corrector):
    (template, reference), domain, known = scene(degrees, seed)
    transform = Affine(2)
    images = SplineImage(template, domain), SplineImage(reference, domain)
    task = RegistrationProblem(*images, transform, surround="overlap")
    path = predictor_corrector(
        task, THETAS, task.identity(), corrector=corrector, predictor=corrector
    )
    found = off(transform, path.w, known, domain)
    assert path.success and found < 0.05
    last = path.steps[-1]
    slope = task.scaling.T @ gradient(task, last.w_predicted, last.theta)
    assert last.gradient_norm_predicted == pytest.approx(float(slope.norm()), rel=1e-9)
    assert last.gradient_norm < last.gradient_norm_predicted
    black = RegistrationProblem(*images, transform)
    lost = predictor_corrector(black, THETAS, task.identity())
    assert off(transform, lost.w, known, domain) > 0.1  # what lies outside is not black


def test_the_answer_does_not_depend_on_the_unit_of_length_or_the_origin():
    (template, reference), domain, _ = scene(15, 0)
    ends = []
    for unit, corner in ((1.0, (0.0, 0.0)), (1e-3, (0.0, 0.0)), (1.0, (5e5, 4.1e6))):
        bounds = [c + unit * end for c in corner for end in (0, 48)]
        box = Domain(tuple(bounds), domain.m)
        images = [SplineImage(data, box) for data in (template, reference)]
        task = RegistrationProblem(*images, Affine(2), surround="overlap")
        # Far from the origin the points, and with them the gradient, have fewer digits.
        path = predictor_corrector(task, THETAS, task.identity(), gtol=1e-4)
        assert path.success
        ends.append((task.transform(path.w, box.cell_centers()) - torch.tensor(corner)) / unit)
    for other in ends[1:]:
        assert float((other - ends[0]).abs().max()) < 1e-4


def test_dead_pixels_are_left_out():
    (template, reference), domain, known = scene(15, 0)
    broken, alive = template.clone(), torch.ones_like(template)
    broken[10:24, 8:30], alive[10:24, 8:30] = 255.0, 0.0
    transform, errors = Affine(2), []
    for mask in (alive, None):
        images = SplineImage(broken, domain), SplineImage(reference, domain)
        task = RegistrationProblem(*images, transform, surround="overlap", template_mask=mask)
        path = predictor_corrector(task, THETAS, task.identity())
        errors.append(off(transform, path.w, known, domain))
    assert errors[0] < 0.1 < 0.3 < errors[1]


def test_out_of_sight_is_no_success():
    (template, reference), domain, _ = scene(15, 0)
    images = SplineImage(template, domain), SplineImage(reference, domain)
    task = RegistrationProblem(*images, Affine(2), surround="overlap")
    away = torch.tensor([1.0, 0, 0, 1, 500, 0], dtype=torch.float64)
    edge = torch.tensor([1.0, 0, 0, 1, 47, 0], dtype=torch.float64)
    for solver in (newton, levenberg_marquardt):
        for w0 in (away, edge):
            result = solver(task, 1.0, w0, max_iter=1)
            assert result.status is Status.NO_OVERLAP and not result.success
        assert "covers 0 % of the reference" in solver(task, 1.0, away).message
    volume = 48.0**2
    nothing = volume * float((reference - reference.mean()).square().mean())
    assert float(task.loss(away, 1.0)) == pytest.approx(nothing, rel=1e-12)


def test_frames_of_a_larger_picture_are_registered():
    (template, reference), domain, known = scene(10, 3)
    found = register_frames(torch.stack([template, reference]), domain, surround="overlap")
    assert found.success and off(Affine(2), found.w, known, domain) < 0.1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"surround": "black"}, ValueError, r"surround must be one of \['zero', 'overlap'\]"),
        ({"template_mask": MASKS[0]}, ValueError, 'a mask needs surround="overlap"'),
        ({"surround": "overlap", "template_mask": MASKS[0].float()}, TypeError, "template_mask"),
        ({"surround": "overlap", "reference_mask": MASKS[0][:4]}, ValueError, "the shape of its"),
        ({"surround": "overlap", "reference_mask": 2 * MASKS[0]}, ValueError, "between 0 and 1"),
        ({"surround": "overlap", "template_mask": 0 * MASKS[0]}, ValueError, "zero everywhere"),
    ],
)
def test_bad_input_is_named(options, error, message):
    images = [SplineImage(data, DOMAIN) for data in PICTURES]
    with pytest.raises(error, match=message):
        RegistrationProblem(*images, Affine(2), **options)
