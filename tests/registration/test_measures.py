"""Distances as functions of two pictures, against NumPy and SciPy, and torch's derivatives."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch.func import grad
from torch.func import hessian as ad_hessian

from moved_pairs import BOX, off, scene, turn
from problems import DOMAIN
from regtools import (
    Affine,
    NeuralODE,
    RegistrationProblem,
    Rigid,
    SplineImage,
    gauss_newton_hessian,
    gradient,
    jacobian,
    levenberg_marquardt,
    mixed_derivative,
    newton,
    predictor_corrector,
    register,
    second_order_model,
    taylor_test,
)
from regtools.images import Domain
from regtools.registration import gradient_fields, mutual_information
from regtools.registration.distances import SHARE

RNG = np.random.default_rng(8)
PICTURES = [torch.from_numpy(40 + 100 * RNG.random(DOMAIN.m)) for _ in range(2)]
MASKS = [torch.from_numpy(RNG.random(DOMAIN.m)) for _ in range(2)]
KINDS = {
    "zero": {"surround": "zero"},
    "overlap": {"surround": "overlap"},
    "masks": {
        "surround": "overlap",
        "template_mask": MASKS[0],
        "reference_mask": MASKS[1],
    },
}
MAPS = {"affine": Affine(2), "rigid": Rigid(DOMAIN), "network": NeuralODE(2, 3, domain=DOMAIN)}


def cubes(values, reference, trust):
    """A distance that nobody would take, with all derivatives."""
    return (trust * (values - reference).abs() ** 3).sum() / trust.sum()


DISTANCES = {"mi": "mi", "ngf": "ngf", "own": cubes}


def problem(distance, kind="overlap", transform="affine", pictures=PICTURES, **options):
    images = [SplineImage(data, DOMAIN) for data in pictures]
    options = KINDS[kind] | options
    return RegistrationProblem(*images, MAPS[transform], distance=DISTANCES[distance], **options)


def place(task):
    w = task.identity()
    return w + 0.05 * torch.from_numpy(np.random.default_rng(6).standard_normal(len(w)))


def entropy(shares):
    return -sum(p * math.log(p) for p in np.ravel(shares) if p > 0)


def windows(value, bins):
    """Cubic B-splines of SciPy on a row of bins, with a tenth of the range on either side."""
    at = min(max((value + 0.1) / 1.2 * (bins - 3), 0.0), bins - 3.0)
    bump = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    return np.nan_to_num(bump(at + 1 - np.arange(bins)))


def test_mutual_information_is_that_of_the_joint_histogram():
    bins = 10
    left, right, trust = (RNG.random((5, 4)) for _ in range(3))
    left[0, 0], right[1, 1] = -0.4, 1.3  # beyond all bins
    joint = np.zeros((bins, bins))
    for a, b, seen in zip(left.flat, right.flat, trust.flat, strict=True):
        joint += seen * np.outer(windows(a, bins), windows(b, bins))
    assert joint.sum() == pytest.approx(trust.sum())
    joint /= joint.sum()
    one, other, both = entropy(joint.sum(0)), entropy(joint.sum(1)), entropy(joint)
    expected = 1 - 2 * (one + other - both) / (one + other)
    found = mutual_information(*map(torch.from_numpy, (left, right, trust)), bins=bins)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_mutual_information_does_not_mind_how_grey_values_answer_each_other():
    picture, other = (torch.from_numpy(RNG.random((40, 40))) for _ in range(2))
    trust = torch.ones_like(picture)
    alike = float(mutual_information(picture, 1 - picture, trust))
    assert alike == pytest.approx(float(mutual_information(picture, picture, trust)), rel=1e-9)
    assert alike < 0.6 < 0.9 < float(mutual_information(picture, other, trust)) <= 1


@pytest.mark.parametrize("m", [(6, 7), (5, 6, 7)])
def test_gradient_fields_are_those_of_numpy(m):
    left, right, trust = (RNG.random(m) for _ in range(3))
    inner = (slice(1, -1),) * len(m)
    seen, fields = trust[inner], []
    for picture in (left, right):
        slope = np.stack([part[inner] for part in np.gradient(picture)])
        eta = (seen * (slope**2).sum(0)).sum() / seen.sum()
        fields.append(slope / np.sqrt((slope**2).sum(0) + eta))
    one, other = fields
    agreed = (seen * (one * other).sum(0) ** 2).sum()
    most = np.prod([(seen * (field**2).sum(0) ** 2).sum() for field in fields])
    found = gradient_fields(*map(torch.from_numpy, (left, right, trust)))
    assert float(found) == pytest.approx(1 - agreed / math.sqrt(most), rel=1e-9)
    same = gradient_fields(*map(torch.from_numpy, (left, 3 - 2 * left, trust)))
    assert float(same) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("transform", MAPS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_derivatives_are_those_of_the_loss(distance, kind, transform):
    task, theta = problem(distance, kind, transform), 0.6
    w = place(task)
    model = second_order_model(task, w, theta)
    assert float(model.loss) == pytest.approx(float(task.loss(w, theta)), rel=1e-12)
    slope = grad(lambda x: task.loss(x, theta))(w)
    curved = ad_hessian(lambda x: task.loss(x, theta))(w)
    for ours, known in [(model.gradient, slope), (model.hessian, curved)]:
        size = float(known.abs().max() + 0.01 * model.loss)
        torch.testing.assert_close(ours, known, rtol=0, atol=1e-9 * size)
    torch.testing.assert_close(gradient(task, w, theta), model.gradient, rtol=1e-12, atol=1e-12)


def test_volumes_in_blocks(monkeypatch):
    m = (6, 7, 8)
    domain = Domain((0, 6, 0, 7, 0, 8), m)
    images = [SplineImage(torch.from_numpy(RNG.random(m)), domain) for _ in range(2)]
    task = RegistrationProblem(*images, Affine(3), surround="overlap", distance="ngf")
    w = place(task)
    whole = second_order_model(task, w, 0.4)
    monkeypatch.setattr("regtools.registration.chain._BLOCK", 50)
    monkeypatch.setattr("regtools.registration.measures._COLUMNS", 5)
    parts = second_order_model(task, w, 0.4)
    known = ad_hessian(lambda x: task.loss(x, 0.4))(w)
    for model in (whole, parts):
        torch.testing.assert_close(
            model.hessian, known, rtol=0, atol=1e-9 * float(known.abs().max())
        )


@pytest.mark.parametrize("distance", DISTANCES)
def test_taylor_and_theta(distance):
    task = problem(distance, regularizer=lambda w: (w**2).sum(), lam=0.3)
    w = place(task)
    model = second_order_model(task, w, 0.5)
    direction = 0.1 * torch.from_numpy(RNG.standard_normal(len(w)))
    assert model.hessian is not None
    terms = [direction @ model.gradient, direction @ model.hessian @ direction]
    found = taylor_test(lambda x: task.loss(x, 0.5), w, direction, terms)
    assert found.order == pytest.approx(3, abs=0.2)
    step = 1e-4
    ends = [gradient(task, w, 0.5 + s) for s in (step, -step)]
    expected = (ends[0] - ends[1]) / (2 * step)
    scale = float(expected.abs().max())
    torch.testing.assert_close(mixed_derivative(task, w, 0.5), expected, rtol=0, atol=1e-5 * scale)


def test_what_partly_overlaps_is_normalised():
    """A thousandth of the cells count as seen and unlike, so hiding does not pay."""
    task = problem("own")
    w = place(task)
    y = task.moved_points(w)
    v = task.overlap.visibility(y).numpy()
    low, high = (np.quantile(PICTURES[0], part) for part in (0.001, 0.999))
    values = (SplineImage(PICTURES[0], DOMAIN, "mirror")(y, 0.6).numpy() - low) / (high - low)
    low, high = (np.quantile(PICTURES[1], part) for part in (0.001, 0.999))
    x = DOMAIN.cell_centers()
    reference = (SplineImage(PICTURES[1], DOMAIN, "mirror")(x, 0.6).numpy() - low) / (high - low)
    cubed, extra = (v**2 * np.abs(values - reference) ** 3).sum(), SHARE * len(v)
    expected = task.box_volume * (cubed + extra) / ((v**2).sum() + extra)
    assert float(task.loss(w, 0.6)) == pytest.approx(expected, rel=1e-9)
    far = task.identity()
    far[-2] += 10 * (DOMAIN.upper[0] - DOMAIN.lower[0])
    for distance in DISTANCES:
        lost = problem(distance)
        assert float(lost.loss(far, 0.6)) == pytest.approx(lost.box_volume, rel=0.02)
        assert lost.loss_out_of_sight(0.6) == lost.box_volume


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_of_grey_values_do_not_matter(distance, unit):
    known = problem(distance)
    other = problem(distance, pictures=[unit * PICTURES[0] + 3 * unit, PICTURES[1]])
    w = place(known)
    assert float(other.loss(w, 0.5)) == pytest.approx(float(known.loss(w, 0.5)), rel=1e-8)


def folded(picture):
    return 2 * (picture - picture.median()).abs()


@pytest.mark.parametrize("changed", [folded, lambda x: 255 - x])
@pytest.mark.parametrize("distance", ["mi", "ngf"])
def test_register_finds_what_two_kinds_of_picture_share(distance, changed):
    A, b = turn(9)
    template, reference = scene(A, b, noise=1.0)
    found = register(template, changed(reference), domain=BOX, distance=distance, start="identity")
    assert found.success and off(found.w, A, b) < 0.5
    if changed is folded:
        other = register(template, folded(reference), domain=BOX, start="identity")
        assert off(other.w, A, b) > 2 * off(found.w, A, b)


def test_a_distance_of_ones_own_is_minimised_in_one_line():
    A, b = turn(6)
    pair = scene(A, b, noise=1.0)
    found = register(*pair, domain=BOX, distance=cubes, start="identity")
    assert found.success and off(found.w, A, b) < 0.1
    images = [SplineImage(one, BOX) for one in pair]
    task = RegistrationProblem(*images, Affine(2), surround="overlap", distance=cubes)
    assert "cubes" in repr(task) and task.coarser(2).distance is cubes
    ends = [
        predictor_corrector(task, [30.0, 3.0, 0.3], task.identity(), predictor=predictor)
        for predictor in ("newton", None)
    ]
    torch.testing.assert_close(ends[0].w, ends[1].w, rtol=0, atol=1e-5)
    assert newton(task, 0.3, ends[0].w).n_iter == 0


def test_a_distance_below_zero_does_not_end_the_search():
    """Its best is -1, which is no misfit; the pictures are turned by 150 degrees."""

    def likeness(values, reference, trust):
        a, b = (one - (trust * one).sum() / trust.sum() for one in (values, reference))
        return -((trust * a * b).sum() ** 2) / ((trust * a * a).sum() * (trust * b * b).sum())

    A, b = turn(150)
    pair = scene(A, b, noise=1.0)
    found = register(*pair, domain=BOX, distance=likeness, transform="rigid")
    assert found.success and off(found.affine, A, b) < 0.2


@pytest.mark.parametrize("blind", [lambda a, b, v: (b * v).sum(), lambda a, b, v: a.detach().sum()])
def test_a_distance_that_does_not_look_gets_nowhere(blind):
    images = [SplineImage(data, DOMAIN) for data in PICTURES]
    task = RegistrationProblem(*images, Affine(2), distance=blind)
    found = newton(task, 0.5, task.identity())
    assert not found.success and "gradient is exactly zero" in found.message


@pytest.mark.parametrize("transform", ["affine", "similarity", "rigid", "translation"])
def test_every_kind_of_map_in_single_precision(transform):
    A, b = turn(3)
    pair = [one.float() for one in scene(A, b, noise=1.0)]
    found = register(*pair, domain=BOX, transform=transform, start="identity")
    assert found.w.dtype == torch.float32 and found.affine.dtype == torch.float32
    other = register(pair[0][2:-2], pair[1], domain=BOX, transform=transform, start="identity")
    assert other.w.dtype == torch.float32


def test_what_needs_a_residual_says_so():
    task = problem("mi")
    w = task.identity()
    for need in (task.residual, lambda w, t: jacobian(task, w, t)):
        with pytest.raises(ValueError, match=r'distance must be "ssd" or "ncc" for a residual'):
            need(w, 0.5)
    with pytest.raises(ValueError, match="distance must be"):
        gauss_newton_hessian(task, w, 0.5)
    with pytest.raises(ValueError, match="distance must be"):
        levenberg_marquardt(task, 0.5, w)
    with pytest.raises(ValueError, match="distance must be"):
        predictor_corrector(task, [1.0, 0.1], w, predictor="gauss-newton")


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        (lambda a, b, v: 0.5, ValueError, "distance must return a tensor without axes; got float"),
        (lambda a, b, v: a - b, ValueError, r"got \(\d+, \d+\)"),
        (lambda a, b, v: (a - b).sum().float(), TypeError, "what the distance returns"),
        (lambda a, b, v: (a - b).sum() / 0, ValueError, "what the distance returns must be finite"),
    ],
)
def test_a_distance_that_is_none_is_named(wrong, kind, words):
    images = [SplineImage(data, DOMAIN) for data in PICTURES]
    task = RegistrationProblem(*images, Affine(2), distance=wrong)
    with pytest.raises(kind, match=words):
        task.loss(task.identity(), 0.5)


def test_float32_follows_float64():
    for distance in DISTANCES:
        double = problem(distance)
        single = problem(distance, pictures=[data.float() for data in PICTURES])
        w = place(double)
        a, b = second_order_model(double, w, 0.5), second_order_model(single, w.float(), 0.5)
        assert b.hessian is not None and b.hessian.dtype == torch.float32
        torch.testing.assert_close(b.loss.double(), a.loss, rtol=1e-4, atol=0)
        torch.testing.assert_close(
            b.gradient.double(), a.gradient, rtol=0, atol=2e-3 * float(a.gradient.abs().max())
        )
