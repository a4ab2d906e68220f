"""No unit of length, no unit of grey values, no origin and no added constant changes an answer.

Each property is tried on pictures and units that hypothesis draws. The same problem is posed in
two systems of units; the two answers must agree as places, in cells, to 1e-8 of the picture.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from regtools import (
    Affine,
    RegistrationProblem,
    Rigid,
    SplineImage,
    SuperResolutionProblem,
    choose_lam,
    joint_gauss_newton,
    levenberg_marquardt,
    newton,
    predictor_corrector,
    register_frames,
    simulate_frames,
    super_resolve,
    varpro,
)
from regtools.images import Domain

M, SIDES = (20, 24), (10.0, 18.0)
few = settings(
    max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)


@st.composite
def systems(draw, constant=False):
    """A unit of grey values, a unit of length, an origin in sides of the box, a constant."""
    grey, length = draw(st.floats(-17, 12)), draw(st.floats(-6, 6))
    origin = draw(st.tuples(st.floats(-5e3, 5e3), st.floats(-5e3, 5e3)))
    added = draw(st.floats(-10, 10)) if constant else 0.0
    return 10**grey, 10**length, origin, added


PLAIN = 1.0, 1.0, (0.0, 0.0), 0.0


def box(system, m=M):
    _, length, origin, _ = system
    ends = [(length * o * s, length * (o + 1) * s) for o, s in zip(origin, SIDES, strict=True)]
    return Domain(tuple(end for pair in ends for end in pair), m)


def picture(seed, A=((1.0, 0.0), (0.0, 1.0)), shift=(0.0, 0.0), m=M):
    """Three smooth spots on black, moved about the centre of the box, by a formula."""
    rng = np.random.default_rng(seed)
    x = Domain((-1.0, 1.0, -1.0, 1.0), m).cell_centers().numpy() @ np.array(A).T + shift
    spots = [
        rng.uniform(60, 100)
        * np.exp(-(((x - rng.uniform(-0.35, 0.35, 2)) / rng.uniform(0.15, 0.3, 2)) ** 2).sum(1))
        for _ in range(3)
    ]
    return torch.from_numpy(np.sum(spots, axis=0)).reshape(m)


def pair(seed):
    a = math.radians(8)
    turned = (math.cos(a), -math.sin(a)), (math.sin(a), math.cos(a))
    return picture(seed), picture(seed, turned, (0.05, -0.04))


def problem(system, seed, surround, kind=Affine):
    grey, _, _, added = system
    domain = box(system)
    images = [SplineImage(grey * (data + added), domain) for data in pair(seed)]
    transform = kind(2) if kind is Affine else kind(domain)
    return RegistrationProblem(*images, transform, surround=surround)


def places(transform, domain, w):
    """Where each block of parameters puts the cell centres, in parts of the box."""
    x = domain.cell_centers()
    lower, upper = (torch.tensor(one, dtype=x.dtype) for one in (domain.lower, domain.upper))
    moved = [transform(one, x) for one in w.reshape(-1, transform.n_params)]
    return (torch.cat(moved) - lower) / (upper - lower)


def agree(one, other, tol=1e-8):
    torch.testing.assert_close(one, other, rtol=0, atol=tol)


SOLVERS = {
    "newton": lambda p: newton(p, 1.0, p.identity()),
    "levenberg_marquardt": lambda p: levenberg_marquardt(p, 1.0, p.identity()),
    "path": lambda p: predictor_corrector(p, [30.0, 3.0, 0.3], p.identity()),
}


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("surround", ["zero", "overlap"])
@few
@given(data=st.data(), seed=st.integers(0, 99))
def test_registration(surround, solve, data, seed):
    system = data.draw(systems(constant=surround == "overlap"))
    ends = []
    for one in (PLAIN, system):
        task = problem(one, seed, surround)
        result = solve(task)
        ends.append((result.status, result.n_iter, places(task.transform, task.domain, result.w)))
    (status, n_iter, here), (other_status, other_n_iter, there) = ends
    assert (status, n_iter) == (other_status, other_n_iter)
    agree(here, there)


@few
@given(system=systems(), seed=st.integers(0, 99))
def test_rigid_registration(system, seed):
    ends = []
    for one in (PLAIN, system):
        task = problem(one, seed, "zero", Rigid)
        result = newton(task, 1.0, task.identity())
        ends.append(places(task.transform, task.domain, result.w))
    agree(*ends)


def burst(seed):
    """Four frames of one picture; the maps as parts of the box."""
    rng = np.random.default_rng(seed)
    fine = (16, 20)
    unit = Domain((-1.0, 1.0, -1.0, 1.0), fine)
    maps = [np.r_[1, 0, 0, 1, rng.uniform(-0.08, 0.08, 2)] for _ in range(3)]
    maps = [one + np.r_[rng.uniform(-0.04, 0.04, 4), 0, 0] for one in maps]
    return simulate_frames(picture(seed, m=fine), unit, 2, torch.from_numpy(np.concatenate(maps)))


def frames_problem(system, seed, **options):
    grey, length, *_ = system
    frames = grey * burst(seed)
    return SuperResolutionProblem(frames, box(system, (16, 20)), 2, 0.3 * length, **options)


REDUCED = {
    "implicit": lambda p: varpro(p, p.identity(), "implicit", tol_cg=1e-11, max_iter=8),
    "kaufman, one solve": lambda p: varpro(
        p, p.identity(), "kaufman", tol_cg=1e-11, max_iter=8, one_solve=True
    ),
    "unrolled": lambda p: varpro(p, p.identity(), "unrolled", n_iter_cg=12, max_iter=5),
    "joint": lambda p: joint_gauss_newton(p, p.identity(), tol_cg=1e-11, max_iter=8),
}


@pytest.mark.parametrize("solve", REDUCED.values(), ids=REDUCED)
@settings(few, max_examples=3)
@given(system=systems(), seed=st.integers(0, 99))
def test_super_resolution(solve, system, seed):
    ends, images = [], []
    for one in (PLAIN, system):
        task = frames_problem(one, seed)
        result = solve(task)
        ends.append(places(task.transform, task.domain, result.w))
        images.append(result.image / one[0])
    agree(*ends)
    agree(*images, tol=1e-6)


@settings(few, max_examples=3)
@given(system=systems(), seed=st.integers(0, 99))
def test_registered_frames(system, seed):
    ends = []
    for one in (PLAIN, system):
        found = register_frames(one[0] * burst(seed), box(one, (16, 20)))
        ends.append((found.status, found.surround, places(Affine(2), box(one), found.w)))
    assert ends[0][:2] == ends[1][:2]
    agree(ends[0][2], ends[1][2])


@settings(few, max_examples=2)
@given(system=systems(), seed=st.integers(0, 99))
def test_smoothing_and_bursts(system, seed):
    lams, images = [], []
    for one in (PLAIN, system):
        grey, length, *_ = one
        task = frames_problem(one, seed)
        lams.append(choose_lam(task, task.identity())[0] / length)
        found = super_resolve(grey * burst(seed), 2, domain=box(one, (8, 10)), max_rounds=2)
        images.append(found.image / grey)
    assert lams[1] == pytest.approx(lams[0], rel=1e-6)
    agree(*images, tol=1e-4)  # its images are solved for to a relative residual of 1e-5


@pytest.mark.parametrize("grey", [1e-6, 1e-17])
def test_small_grey_values_are_registered(grey):
    """They were: the identity, after no step, with success."""
    task = problem((grey, 1.0, (0.0, 0.0), 0.0), 3, "zero")
    result = SOLVERS["path"](task)
    assert result.success and result.n_iter > 3
    assert float(places(task.transform, task.domain, result.w - task.identity()).abs().max()) > 0.01


def test_an_exact_fit_is_a_success():
    data = picture(7)
    image = SplineImage(1e6 * data, box(PLAIN))
    task = RegistrationProblem(image, image, Affine(2))
    w0 = task.identity() + 0.01
    result = newton(task, 0.1, w0)
    assert result.success and result.loss < 1e-12 * task.loss_out_of_sight(0.1)


def test_single_precision_ends_with_success():
    """It took 122 iterations to a "small step"."""
    images = [SplineImage(data.float(), box(PLAIN)) for data in pair(3)]
    task = RegistrationProblem(*images, Affine(2))
    result = newton(task, 1.0, task.identity())
    double = newton(problem(PLAIN, 3, "zero"), 1.0, Affine(2).identity())
    assert result.success and result.n_iter <= double.n_iter + 3
    torch.testing.assert_close(result.w.double(), double.w, rtol=0, atol=1e-4)


def test_single_precision_far_from_the_origin_is_refused():
    far = Domain((5e5, 5e5 + 640, 4.1e6, 4.1e6 + 800), (64, 64))
    data = torch.rand(64, 64)
    with pytest.raises(ValueError, match=r"data must not be .* so far from the origin"):
        SplineImage(data, far)
    near = SplineImage(data, Domain((0.0, 640.0, 0.0, 800.0), (64, 64)))
    torch.testing.assert_close(near(near.domain.cell_centers(torch.float32)), data.flatten())
    double = SplineImage(data.double(), far)
    torch.testing.assert_close(
        double(far.cell_centers()), data.double().flatten(), rtol=1e-6, atol=0
    )
    with pytest.raises(ValueError, match=r"frames must not be .* so far"):
        SuperResolutionProblem(torch.rand(3, 32, 32), far, 2, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [-1, 1])
def test_squares_that_leave_the_dtype_are_refused(dtype, sign):
    grey = 10.0 ** (sign * (18 if dtype == torch.float32 else 160))
    images = [SplineImage((grey * data).to(dtype), box(PLAIN)) for data in pair(5)]
    with pytest.raises(ValueError, match="template must not be so small"):
        RegistrationProblem(*images, Affine(2))
    with pytest.raises(ValueError, match="frames must not be so small"):
        SuperResolutionProblem((grey * burst(1)).to(dtype), box(PLAIN, (16, 20)), 2, 0.3)
