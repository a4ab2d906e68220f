"""Nothing that is handed in or out is the package's own: in-place use changes nothing else."""

import dataclasses
import enum

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from problems import DOMAIN, near_identity, two_blobs
from regtools import (
    Affine,
    RegistrationProblem,
    SplineImage,
    SuperResolutionProblem,
    Tikhonov,
    conjugate_gradient,
    joint_gauss_newton,
    levenberg_marquardt,
    newton,
    predictor_corrector,
    register,
    register_frames,
    simulated_problem,
    super_resolve,
    taylor_test,
    varpro,
)
from regtools.registration import compare_predictions

SMALL = simulated_problem("hands-phantom", 8, seeds=(2,))
W0 = SMALL.problem.identity()
START = near_identity(Affine(2))


def pair_of(data, mask, pull):
    """A problem of three tensors that a caller may change afterwards."""
    images = SplineImage(data, DOMAIN), SplineImage(data.flip(0), DOMAIN)
    options = {"surround": "overlap", "reference_mask": mask, "template_mask": mask}
    return RegistrationProblem(*images, Affine(2), Tikhonov(pull), 0.5, **options)


def frames_of(frames, weights):
    return SuperResolutionProblem(frames, SMALL.domain, 2, 0.5, weights=weights)


def rows(problem):
    """What a problem computes, as one tensor."""
    if isinstance(problem, RegistrationProblem):
        loss = [problem.loss(START, theta)[None] for theta in (0.5, 0.5, 1.0)]
        return torch.cat([*loss, problem.residual(START, 0.5)])
    replaced = problem.replaced(lam=0.25)
    parts = [problem.residual(W0, SMALL.image), replaced.residual(W0, SMALL.image)]
    return torch.cat([*parts, problem.reconstruct(W0).flatten()])


CASES = {
    "pair": (
        pair_of,
        lambda: [two_blobs().template.data, torch.ones(DOMAIN.m).double(), START + 0],
    ),
    "frames": (frames_of, lambda: [SMALL.frames + 0, torch.ones_like(SMALL.frames)]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_handed_in_may_be_changed(name):
    make, inputs = CASES[name]
    given = inputs()
    problem, expected = make(*given), rows(make(*inputs()))
    for tensor in given:
        tensor.fill_(0.5)
    assert torch.equal(rows(problem), expected)


def handed_out(thing, depth=3):
    """Every tensor among the public attributes of an object, and of what these hold."""
    if torch.is_tensor(thing):
        yield thing
    elif depth and not isinstance(thing, (enum.Enum, type, str, int, float, np.ndarray)):
        if isinstance(thing, (tuple, list)):
            inside = list(thing)
        elif isinstance(thing, dict):
            inside = list(thing.values())
        else:
            names = [name for name in dir(thing) if not name.startswith("_") and name != "layout"]
            inside = [getattr(thing, name) for name in names]
        for one in inside:
            if not callable(one) or isinstance(one, (SplineImage, Tikhonov)):
                yield from handed_out(one, depth - 1)


@pytest.mark.parametrize("name", CASES)
def test_what_is_handed_out_may_be_changed(name):
    make, inputs = CASES[name]
    problem = make(*inputs())
    expected = rows(problem)
    found = list(handed_out(problem))
    if name == "pair":
        found += [problem.reference_values(0.5), problem.reference_values(0.5)]
        found += [problem.template.coefficients(0.5), problem.moved_points(START)]
        found += problem.template.taylor(problem.points, 0.5).values()
    assert len(found) >= 4
    for tensor in found:
        tensor.fill_(0.25)
    assert torch.equal(rows(problem), expected)


def test_a_map_that_changes_its_points_changes_no_others():
    class Shift(Affine):
        def __call__(self, w, x):
            x += 0.1
            return super().__call__(w, x)

    problem, plain = two_blobs(Shift(2)), two_blobs()
    first, second = (problem.loss(START, 0.5) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(problem.points, plain.points)


def tensors(thing):
    """Every tensor of a result, through histories and their entries."""
    if torch.is_tensor(thing):
        yield thing
    elif isinstance(thing, (tuple, list)):
        for one in thing:
            yield from tensors(one)
    elif isinstance(thing, dict):
        yield from tensors(list(thing.values()))
    elif dataclasses.is_dataclass(thing):
        fields = [field.name for field in dataclasses.fields(thing)]
        yield from tensors([getattr(thing, name) for name in fields if name not in AGAIN])


PICTURES = [image.data for image in (two_blobs().template, two_blobs().reference)]
AGAIN = ("path", "starts", "registration")  # objects that a history holds too
RESULTS = {
    "newton": lambda w: newton(two_blobs(), 0.5, w, max_iter=3),
    "levenberg_marquardt": lambda w: levenberg_marquardt(two_blobs(), 0.5, w, max_iter=3),
    "path": lambda w: predictor_corrector(two_blobs(), [10.0, 1.0, 0.5], w),
    "nothing to do": lambda w: newton(two_blobs(), 0.5, w, gtol=1e9),
    "register": lambda w: register(*PICTURES, start=w, surround="zero"),
}
SUPER = {
    "varpro": lambda w: varpro(SMALL.problem, w, max_iter=2),
    "joint": lambda w: joint_gauss_newton(SMALL.problem, w, max_iter=2),
    "frames": lambda w: register_frames(SMALL.frames, SMALL.domain, thetas=[1.0]),
    "super_resolve": lambda w: super_resolve(SMALL.frames, 2, w0=w, lam=1.0, max_rounds=2),
    "conjugate_gradient": lambda w: conjugate_gradient(torch.eye(6).double(), w, w),
}


@pytest.mark.parametrize(
    ("run", "w0"),
    [(run, START) for run in RESULTS.values()] + [(run, W0) for run in SUPER.values()],
    ids=[*RESULTS, *SUPER],
)
def test_tensors_of_a_result_share_no_memory(run, w0):
    w0 = w0.clone()
    found = [w0, *tensors(run(w0))]
    assert len(found) > 1
    places = [tensor.untyped_storage().data_ptr() for tensor in found]
    assert len(set(places)) == len(places)


def test_a_comparison_of_predictions_has_tensors_of_its_own():
    problem = two_blobs()
    path = predictor_corrector(problem, [10.0, 1.0], START)
    (found,) = compare_predictions(problem, path)
    found.w.zero_()
    found.w_corrected.zero_()
    assert path.steps[0].w.any() and path.w.any()


@pytest.mark.parametrize("solve", [newton, levenberg_marquardt])
def test_a_callback_may_change_what_it_is_told(solve):
    def spoil(state):
        state.w.fill_(1e3)

    plain = solve(two_blobs(), 0.5, START)
    assert torch.equal(solve(two_blobs(), 0.5, START, callback=spoil).w, plain.w)


def test_a_callback_of_varpro_may_change_what_it_is_told():
    def spoil(state):
        state.w.fill_(1e3)

    plain = varpro(SMALL.problem, W0, max_iter=3)
    assert torch.equal(varpro(SMALL.problem, W0, max_iter=3, callback=spoil).w, plain.w)


def test_a_start_that_is_kept_is_a_copy():
    sim = simulated_problem("hands-phantom", 8, seeds=(2,))
    first = sim.w0.clone()
    sim.w0.zero_()
    assert torch.equal(sim.w0, first)


def test_affine_hands_out_copies():
    w = START.clone()
    Affine(2).affine(w).zero_()
    Affine(2).from_affine(w).zero_()
    assert torch.equal(w, START)


def test_a_taylor_test_keeps_its_own_steps():
    steps = 2.0 ** -np.arange(6.0)
    w = torch.ones(2).double()
    found = taylor_test(lambda w: w.square().sum(), w, w, [2 * w @ w], steps)
    steps[:] = 0
    assert found.steps.all()


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["loss", "values", "spoil", "residual"]), max_size=8))
def test_the_loss_does_not_depend_on_what_was_asked_before(order):
    problem, fresh = two_blobs(), two_blobs()
    for what in order:
        if what == "spoil":
            problem.reference_values(0.5).zero_()
            problem.points.zero_()
        elif what == "values":
            problem.reference_values(1.0)
        else:
            getattr(problem, what)(START, 0.5)
    assert torch.equal(problem.loss(START, 0.5), fresh.loss(START, 0.5))
