"""A number may be of any kind: Python's, NumPy's or torch's, and nothing else is one."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from problems import DOMAIN, two_blobs
from regtools import (
    Affine,
    Domain,
    Kaufman,
    NeuralODE,
    SplineImage,
    SuperResolutionProblem,
    Tikhonov,
    Unrolled,
    choose_lam,
    conjugate_gradient,
    levenberg_marquardt,
    load,
    newton,
    predictor_corrector,
    projection_jacobian,
    simulate_frames,
    simulated_problem,
    super_resolve,
    varpro,
)
from regtools.images import checks, frequency_response, half_gain_wavelength

SMALL = simulated_problem("hands-phantom", 8, seeds=(2,))
W0 = SMALL.problem.identity()
MATRIX, RIGHT = torch.eye(3).double(), torch.ones(3).double()
PULL = Tikhonov(Affine(2).identity())
START = Affine(2).identity()


def options(value, **name):
    """A super-resolution problem with one argument replaced."""
    (name,) = name
    given = {"frames": SMALL.frames, "domain": SMALL.domain, "factor": 2, "lam": 0.5}
    return SuperResolutionProblem(**given | {name: value})


# name: a call that takes the number and returns another one, and a value that is right
REAL = {
    "theta": (lambda v: float(two_blobs().loss(START, v)), 0.5),
    "theta ": (lambda v: newton(two_blobs(), v, START).loss, 0.5),
    "theta  ": (half_gain_wavelength, 0.5),
    "theta   ": (lambda v: float(frequency_response(1.0, v)), 0.5),
    "thetas": (lambda v: predictor_corrector(two_blobs(), [v], START).loss, 0.5),
    "gtol": (lambda v: newton(two_blobs(), 0.5, START, gtol=v).loss, 0.25),
    "gtol ": (lambda v: levenberg_marquardt(two_blobs(), 0.5, START, gtol=v).loss, 0.25),
    "gtol  ": (lambda v: varpro(SMALL.problem, W0, gtol=v, max_iter=1).loss, 0.25),
    "damping": (lambda v: varpro(SMALL.problem, W0, damping=v, max_iter=1).loss, 0.25),
    "tol_cg": (lambda v: varpro(SMALL.problem, W0, tol_cg=v, max_iter=1).loss, 0.25),
    "tol_image": (
        lambda v: float(varpro(SMALL.problem, W0, tol_image=v, max_iter=1).image.sum()),
        0.25,
    ),
    "tol_cg ": (lambda v: float(projection_jacobian(SMALL.problem, W0, tol_cg=v).norm()), 0.25),
    "lam": (lambda v: float(two_blobs(regularizer=PULL, lam=v).loss(START + 1, 0.5)), 0.5),
    "lam ": (lambda v: options(v, lam=0).lam, 0.5),
    "psf": (lambda v: float(options(v, psf=0).reconstruct(W0).sum()), 0.5),
    "lam  ": (lambda v: super_resolve(SMALL.frames, 2, lam=v, w0=W0, max_rounds=1).lam, 0.5),
    "noise": (lambda v: choose_lam(SMALL.problem, W0, noise=v)[0], 2.0),
    "near": (lambda v: choose_lam(SMALL.problem, W0, noise=1.0, near=v)[0], 0.5),
    "tol": (lambda v: choose_lam(SMALL.problem, W0, noise=1.0, tol=v)[0], 0.25),
    "tol ": (lambda v: float(conjugate_gradient(MATRIX, RIGHT, tol=v).x.sum()), 0.25),
    "omega": (lambda v: Domain((0.0, v), (4,)).upper[0], 0.5),
    "last": (lambda v: Unrolled(last=v).last, 0.25),
}
WHOLE = {
    "max_iter": (lambda v: newton(two_blobs(), 0.5, START, max_iter=v).loss, 2),
    "max_iter ": (lambda v: levenberg_marquardt(two_blobs(), 0.5, START, max_iter=v).loss, 2),
    "max_iter  ": (lambda v: varpro(SMALL.problem, W0, max_iter=v).loss, 2),
    "max_iter   ": (lambda v: conjugate_gradient(MATRIX, RIGHT, max_iter=v).n_iter, 2),
    "n_iter": (lambda v: conjugate_gradient(MATRIX, RIGHT, n_iter=v).n_iter, 2),
    "n_iter ": (lambda v: Kaufman(n_iter=v).n_iter, 2),
    "n_iter_cg": (lambda v: varpro(SMALL.problem, W0, n_iter_cg=v, max_iter=1).loss, 2),
    "n_probes": (lambda v: choose_lam(SMALL.problem, W0, n_probes=v)[0], 2),
    "factor": (lambda v: options(v, factor=0).lam, 2),
    "factor ": (lambda v: float(simulate_frames(SMALL.image, SMALL.domain, v, W0).sum()), 2),
    "factor  ": (lambda v: super_resolve(SMALL.frames, v, lam=0.5, w0=W0, max_rounds=1).lam, 2),
    "max_rounds": (lambda v: super_resolve(SMALL.frames, 2, lam=1, w0=W0, max_rounds=v).lam, 1),
    "margin": (lambda v: float(options(v, margin=0).reconstruct(W0).sum()), 2),
    "width": (lambda v: NeuralODE(2, v).n_params, 2),
    "dim": (lambda v: Affine(v).n_params, 2),
    "m": (lambda v: Domain((0, 1), (v,)).m[0], 4),
    "m ": (lambda v: load("hands-phantom", v).domain.m[0], 8),
    "order": (lambda v: len(IMAGE.taylor(POINTS, 0.0, v)), 2),
}
IMAGE, POINTS = SplineImage(torch.rand(12, 17).double(), DOMAIN), torch.rand(3, 2).double()
ALL = REAL | WHOLE


def kinds(value):
    """One number in every kind that there is; float32 holds it exactly."""
    if isinstance(value, int):
        yield from (np.int64(value), np.uint8(value), np.array(value), torch.tensor(value))
    else:
        yield from (np.float32(value), np.float64(value), np.array(value), np.array(value, "f4"))
        yield from (torch.tensor(value), torch.tensor(value).double())
        yield from (Fraction(value), Decimal(value))


def parts(values):
    return pytest.mark.parametrize(("name", "call", "value"), [(n, *c) for n, c in values.items()])


@parts(ALL)
def test_every_kind_of_number_gives_the_same(name, call, value):
    expected = call(value)
    for other in kinds(value):
        assert call(other) == expected, repr(other)


NEVER = ["1", 1j, True, np.bool_(True), torch.tensor(True), [1.0], np.complex128(1), -1, "nan"]
NEVER += [np.ones(2), torch.ones(1), float("nan")]


@parts(ALL)
@pytest.mark.parametrize("wrong", NEVER, ids=str)
def test_what_is_no_number_is_named(name, call, value, wrong):
    with pytest.raises((TypeError, ValueError), match=name.strip()):
        call(wrong)


@parts(REAL)
def test_a_number_that_no_float_holds_is_named(name, call, value):
    with pytest.raises((TypeError, ValueError), match=name.strip()):
        call(10**400)


@parts(REAL)
def test_a_number_that_is_differentiated_is_refused_or_followed(name, call, value):
    followed = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    if name == "theta":
        return  # the loss is differentiable in it
    with pytest.raises((TypeError, ValueError), match=name.strip()):
        call(followed)


@settings(derandomize=True, deadline=None)
@given(st.floats() | st.integers() | st.fractions() | st.decimals())
def test_a_number_is_what_float_makes_of_it(value):
    try:
        expected = float(value)
    except (OverflowError, ValueError):
        expected = float("nan")
    if np.isfinite(expected) and expected > 0:
        assert checks.positive("x", value) == expected
    else:
        with pytest.raises((TypeError, ValueError), match=r"^x must be"):
            checks.positive("x", value)


@settings(derandomize=True, deadline=None)
@given(st.integers(), st.sampled_from([int, np.int64, torch.tensor]))
def test_a_whole_number_is_what_int_makes_of_it(value, kind):
    if abs(value) >= 2**63:
        return
    if value >= 1:
        assert checks.whole("x", kind(value)) == value
        assert type(checks.whole("x", kind(value))) is int
    else:
        with pytest.raises(ValueError, match=r"^x must be a whole number from 1"):
            checks.whole("x", kind(value))
