"""Registration by correlation, against NumPy's correlation and torch's derivatives of the loss."""

import itertools

import numpy as np
import pytest
import torch
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
    gradient,
    levenberg_marquardt,
    mixed_derivative,
    newton,
    predictor_corrector,
    register,
    second_order_model,
    taylor_test,
)
from regtools.images import Domain
from regtools.registration import _affine
from regtools.registration.distances import SHARE

RNG = np.random.default_rng(5)
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


def problem(kind="overlap", transform="affine", pictures=PICTURES, **options):
    images = [SplineImage(data, DOMAIN) for data in pictures]
    return RegistrationProblem(*images, MAPS[transform], distance="ncc", **KINDS[kind], **options)


def place(task):
    """Some w with parts of the template out of sight."""
    w = task.identity()
    return w + 0.05 * torch.from_numpy(np.random.default_rng(6).standard_normal(len(w)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_one_minus_the_squared_correlation(kind):
    """Of the cells as they are seen; a thousandth of them more count as unlike as can be."""
    task, theta = problem(kind), 0.7
    w = place(task)
    y = task.moved_points(w)
    v = np.ones(len(y)) if task.overlap is None else task.overlap.visibility(y).numpy()
    values = [task.template(y, theta).numpy(), task.reference_values(theta).numpy()]
    (own, cross), (_, spread) = np.cov(values, aweights=v**2, bias=True)
    seen, own, extra = (v**2).sum() * spread, (v**2).sum() * own, SHARE * len(y)
    rho2 = cross**2 * (v**2).sum() ** 2 / (seen * own) * own**2 / (own**2 + extra**2)
    extra = extra if task.overlap is not None else 0.0
    expected = ((1 - rho2) * seen + extra) / (seen + extra)
    assert float(task.loss(w, theta)) == pytest.approx(task.box_volume * expected, rel=1e-9)
    assert task.loss_out_of_sight(theta) == pytest.approx(task.box_volume)


@pytest.mark.parametrize("kind", KINDS)
def test_gain_and_offset_do_not_matter(kind):
    """Black outside the box has to stay black, so there only the reference is lifted."""
    a, b = (-3e-4, 0.0) if kind == "zero" else (-3e-4, 7.0)
    template, reference = PICTURES
    known, other = problem(kind), problem(kind, pictures=[a * template + b, 50 * reference + 9])
    w, theta = place(known), 0.0 if kind == "zero" else 0.5
    first, second = second_order_model(known, w, theta), second_order_model(other, w, theta)
    torch.testing.assert_close(second.loss, first.loss, rtol=1e-9, atol=0)
    for one, two in [(first.gradient, second.gradient), (first.hessian, second.hessian)]:
        torch.testing.assert_close(two, one, rtol=0, atol=1e-8 * float(one.abs().max()))
    (gain, offset), (found, lift) = known.brightness(w, theta), other.brightness(w, theta)
    # R ≈ g T + o, so 50 R + 9 ≈ (50 g / a) (a T + b) + 50 o + 9 − 50 g b / a
    assert found == pytest.approx(50 * gain / a, rel=1e-7)
    assert lift == pytest.approx(50 * offset + 9 - 50 * gain * b / a, rel=1e-6)


@pytest.mark.parametrize("transform", MAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_are_those_of_the_loss(kind, transform):
    task, theta = problem(kind, transform), 0.6
    w = place(task)
    model = second_order_model(task, w, theta)
    assert float(model.loss) == pytest.approx(float(task.loss(w, theta)), rel=1e-10)
    slope = grad(lambda x: task.loss(x, theta))(w)
    curved = ad_hessian(lambda x: task.loss(x, theta))(w)
    for ours, known in [(model.gradient, slope), (model.hessian, curved)]:
        size = float(known.abs().max() + 0.01 * model.loss)
        torch.testing.assert_close(ours, known, rtol=0, atol=1e-9 * size)
    torch.testing.assert_close(gradient(task, w, theta), model.gradient, rtol=1e-12, atol=1e-12)
    changes = model.jacobian
    assert float((model.residual @ model.residual) / model.loss) == pytest.approx(1, rel=1e-10)
    torch.testing.assert_close(2 * model.residual @ changes, slope, rtol=0, atol=1e-8)
    torch.testing.assert_close(model.gauss_newton, 2 * changes.T @ changes, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["zero", "overlap"])
def test_volumes_and_both_ways_of_summing(kind, monkeypatch):
    m = (6, 7, 8)
    domain = Domain((0, 6, 0, 7, 0, 8), m)
    images = [SplineImage(torch.from_numpy(RNG.random(m)), domain) for _ in range(2)]
    task = RegistrationProblem(*images, Affine(3), surround=kind, distance="ncc")
    w = place(task)
    streamed = second_order_model(task, w, 0.4)
    known = ad_hessian(lambda x: task.loss(x, 0.4))(w)
    monkeypatch.setattr(_affine, "fits", lambda *arguments: False)
    for model in (streamed, second_order_model(task, w, 0.4)):
        scale = float(known.abs().max())
        torch.testing.assert_close(model.hessian, known, rtol=0, atol=1e-9 * scale)


def test_taylor_and_theta():
    task = problem(regularizer=lambda w: (w**2).sum(), lam=0.3)
    w = place(task)
    model = second_order_model(task, w, 0.5)
    direction = torch.from_numpy(RNG.standard_normal(len(w)))
    assert model.hessian is not None
    terms = [direction @ model.gradient, direction @ model.hessian @ direction]
    found = taylor_test(lambda x: task.loss(x, 0.5), w, direction, terms)
    assert found.order == pytest.approx(3, abs=0.1)
    step = 1e-4
    ends = [gradient(task, w, 0.5 + s) for s in (step, -step)]
    expected = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(mixed_derivative(task, w, 0.5), expected, rtol=1e-6, atol=1e-7)


def test_float32_follows_float64():
    double = problem()
    single = problem(pictures=[data.float() for data in PICTURES])
    w = place(double)
    a, b = second_order_model(double, w, 0.5), second_order_model(single, w.float(), 0.5)
    assert b.hessian is not None and b.hessian.dtype == torch.float32
    torch.testing.assert_close(b.loss.double(), a.loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        b.hessian.double(), a.hessian, rtol=0, atol=1e-3 * float(a.hessian.abs().max())
    )


def test_a_patch_without_structure_gives_finite_numbers():
    """What is seen of the template is constant: nothing correlates."""
    flat = torch.zeros(DOMAIN.m, dtype=torch.float64)
    flat[:2] = 1.0
    for kind in ("zero", "overlap"):
        task = problem(kind, pictures=[flat, PICTURES[1]])
        far = task.identity()
        far[-2] += 0.75 * (DOMAIN.upper[0] - DOMAIN.lower[0])
        model = second_order_model(task, far, 0.0)
        assert torch.isfinite(model.hessian).all() and torch.isfinite(model.gradient).all()
        assert float(model.loss) <= task.box_volume * (1 + 1e-12)


def test_both_correctors_and_the_prediction_end_at_one_map():
    A, b = turn(6)
    pair = scene(A, b, noise=1.0)
    images = [SplineImage(255 - pair[0], BOX), SplineImage(pair[1], BOX)]
    task = RegistrationProblem(*images, Affine(2), surround="overlap", distance="ncc")
    ways = itertools.product(("newton", "gauss-newton"), ("newton", None))
    ends = [
        predictor_corrector(
            task, [30.0, 3.0, 0.3], task.identity(), corrector=corrector, predictor=predictor
        )
        for corrector, predictor in ways
    ]
    for one in ends:
        assert one.success and off(one.w, A, b) < 0.1
        torch.testing.assert_close(one.w, ends[0].w, rtol=0, atol=1e-5)
    assert newton(task, 0.3, ends[0].w).n_iter == 0
    assert levenberg_marquardt(task, 0.3, ends[0].w).success


def test_coarser_problems_are_compared_alike():
    task = problem()
    assert task.coarser(2).distance == "ncc" and "ncc" in repr(task)
    A, b = turn(6)
    images = [SplineImage(data, BOX) for data in scene(A, b, noise=1.0)]
    task = RegistrationProblem(*images, Affine(2), surround="overlap", distance="ncc")
    found = newton(task.coarser(2), 1.0, task.identity())
    assert found.success and off(found.w, A, b) < 0.5


@pytest.mark.parametrize(
    ("changed", "gain"), [(lambda x: 1.4 * x + 11, 1.4), (lambda x: 255 - x, -1.0)]
)
def test_register_does_not_mind_brightness(changed, gain):
    A, b = turn(9)
    template, reference = scene(A, b, noise=1.0)
    found = register(template, changed(reference), domain=BOX, distance="ncc")
    assert found.success and off(found.w, A, b) < 0.1 and found.misfit < 0.05
    assert found.gain == pytest.approx(gain, rel=0.03)
    moved = found.gain * found.warp() + found.offset
    covered = found.covered()
    assert float((moved - changed(reference))[covered].abs().mean()) < 4
    assert ("exchanged" in found.message) == (gain < 0)


@pytest.mark.parametrize("distance", ["ssd", "ncc"])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_gain_is_that_of_any_unit(unit, distance):
    A, b = turn(5)
    pair = [unit * one for one in scene(A, b, noise=0.5)]
    found = register(*pair, domain=BOX, start="identity", distance=distance)
    assert found.success and found.gain == pytest.approx(1.0, rel=0.01)
    assert abs(found.offset) < 2 * unit


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="distance must be"):
        RegistrationProblem(*(SplineImage(x, DOMAIN) for x in PICTURES), Affine(2), distance="nmi")
    with pytest.raises(ValueError, match="distance must be"):
        register(*PICTURES, distance="nmi")
