"""The forward model against SciPy and dense matrices: K, I(w), L, adjoints, derivatives, frames."""

import math
import re

import numpy as np
import pytest
import scipy.interpolate
import torch
from torch.func import grad, jacfwd, jacrev, vmap

import dense_frames
from dense_frames import BOX, DOMAIN, picture, small_problem, start, true_maps
from regtools.images import Domain, SplineImage, load, random_maps
from regtools.registration import Affine, Rigid, Translation
from regtools.solvers import Status
from regtools.superresolution import (
    SuperResolutionProblem,
    register_frames,
    simulate_frames,
)
from regtools.superresolution.frames import average_blocks, differences

THIRDS = Domain((0.0, 2.0, -1.0, 4.0), (9, 12))


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def close(ours, expected, tol=1e-12):
    """Both agree to `tol`, relative to the size of the whole."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=tol * float(expected.abs().max()))


def pixels(domain):
    """All images with one bright pixel, as a block."""
    n = math.prod(domain.m)
    return torch.eye(n, dtype=torch.float64).reshape(*domain.m, n)


CASES = {
    "first fixed": {},
    "first free": {"fix_first": False},
    "factor 1": {"factor": 1, "q": 1},
    "factor 3": {"factor": 3, "domain": THIRDS},
    "4 frames": {"q": 3},
    "3D": {"domain": BOX},
    "3D, first free": {"domain": BOX, "fix_first": False},
    "margin": {"margin": 3},
    "weights": {"weighted": True},
    "blur": {"psf": 0.6},
    "blur, first free": {"psf": 0.6, "fix_first": False},
    "shifts": {"transform": Translation(2)},
    "turns": {"transform": Rigid(DOMAIN)},
    "all at once": {"margin": 2, "weighted": True, "psf": 0.4, "transform": Rigid(DOMAIN)},
    "3D, all at once": {
        "domain": BOX,
        "margin": 1,
        "weighted": True,
        "psf": 0.4,
        "transform": Translation(3),
        "q": 1,
    },
}
each_problem = pytest.mark.parametrize("options", CASES.values(), ids=CASES)


# --- the dense matrices that everything is compared with -------------------------------


@pytest.mark.parametrize("domain", [DOMAIN, BOX], ids=["2D", "3D"])
def test_dense_interpolation_is_scipys(domain):
    """Also off the box, where coefficients count as zero."""
    generator = np.random.default_rng(2)
    u = generator.uniform(-3, np.add(domain.m, 2), (50, domain.dim))
    points = np.array(domain.lower) + (u + 0.5) * domain.h
    image, pad = picture(domain).numpy(), 8
    coefficients = image
    for axis, m in enumerate(domain.m):
        band = np.stack([np.ones(m), np.full(m, 4.0), np.ones(m)])
        rows = np.moveaxis(coefficients, axis, 0).reshape(m, -1)
        solved = scipy.linalg.solve_banded((1, 1), band, rows)
        shape = np.moveaxis(coefficients, axis, 0).shape
        coefficients = np.moveaxis(solved.reshape(shape), 0, axis)
    knots = tuple(np.arange(-2.0 - pad, m + pad + 2) for m in domain.m)
    spline = scipy.interpolate.NdBSpline(knots, np.pad(coefficients, pad), 3)
    dense = dense_frames.interpolation_matrix(torch.from_numpy(points), domain)
    expected = torch.from_numpy(6.0**domain.dim * spline(u))
    close(dense @ picture(domain).flatten(), expected)


def test_block_averages_by_hand():
    image = torch.arange(24.0).reshape(4, 6)
    assert average_blocks(image, 2, 2).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    assert torch.equal(average_blocks(image, 1, 2), image)


@pytest.mark.parametrize(("domain", "factor"), [(DOMAIN, 2), (DOMAIN, 4), (THIRDS, 3), (BOX, 2)])
def test_block_averages_are_kronecker_products(domain, factor):
    expected = dense_frames.averaging(domain, factor)
    ours = average_blocks(pixels(domain), factor, domain.dim)
    close(ours.reshape(expected.shape), expected)


def test_differences_by_hand():
    along_0, along_1 = differences(torch.tensor([[1.0, 4.0], [3.0, 10.0]]), (0.5, 2.0))
    assert along_0.tolist() == [[4.0, 12.0]] and along_1.tolist() == [[1.5], [3.5]]


@pytest.mark.parametrize("domain", [DOMAIN, BOX], ids=["2D", "3D"])
def test_differences_are_kronecker_products_over_h(domain):
    parts = differences(pixels(domain), domain.h)
    ours = torch.cat([part.flatten(0, domain.dim - 1) for part in parts])
    close(ours, dense_frames.difference_matrix(domain))


def test_differences_of_a_plane_are_its_slopes():
    """L divides by h: the same plane on a finer grid has the same differences."""
    for m in [(8, 12), (16, 36)]:
        domain = Domain(DOMAIN.omega, m)
        x = domain.cell_centers()
        plane = (3 * x[:, 0] - 2 * x[:, 1]).reshape(m)
        along_0, along_1 = differences(plane, domain.h)
        torch.testing.assert_close(along_0, torch.full_like(along_0, 3))
        torch.testing.assert_close(along_1, torch.full_like(along_1, -2))


# --- frames from an image --------------------------------------------------------------


def test_simulated_frames_by_scipy():
    """Coefficients, spline, map and averages by NumPy and SciPy alone, in plain loops."""
    image, w, factor, pad = picture(), true_maps(), 2, 8
    basis = [scipy.linalg.toeplitz([4.0, 1.0] + [0.0] * (m - 2)) for m in DOMAIN.m]
    c = np.linalg.solve(basis[0], image.numpy()) @ np.linalg.inv(basis[1])
    knots = tuple(np.arange(-2.0 - pad, m + pad + 2) for m in DOMAIN.m)
    spline = scipy.interpolate.NdBSpline(knots, 36 * np.pad(c, pad), 3)
    frames = simulate_frames(image, DOMAIN, factor, w)
    assert frames.shape == (3, 4, 6) and frames.dtype == torch.float64
    for j, block in enumerate([Affine(2).identity(), w[:6], w[6:]]):
        A, b = block[:4].reshape(2, 2).numpy(), block[4:].numpy()
        for i0 in range(4):
            for i1 in range(6):
                total = 0.0
                for k0 in range(2):
                    for k1 in range(2):
                        cell = np.array([2 * i0 + k0, 2 * i1 + k1])
                        y = A @ (DOMAIN.lower + (cell + 0.5) * DOMAIN.h) + b
                        total += spline((y - DOMAIN.lower) / DOMAIN.h - 0.5).item()
                assert float(frames[j, i0, i1]) == pytest.approx(total / 4, abs=1e-10)


@pytest.mark.parametrize(("domain", "factor"), [(DOMAIN, 1), (DOMAIN, 4), (THIRDS, 3), (BOX, 2)])
def test_simulated_frames_in_all_sizes(domain, factor):
    image, w = picture(domain), true_maps(domain)
    expected = dense_frames.dense_frames(image, domain, factor, w)
    close(simulate_frames(image, domain, factor, w), expected)


def test_simulated_frames_are_differentiable():
    image, w = picture(), true_maps()
    in_w = jacfwd(lambda w: simulate_frames(image, DOMAIN, 2, w))(w)
    close(in_w, jacfwd(lambda w: dense_frames.dense_frames(image, DOMAIN, 2, w))(w), 1e-11)
    in_image = jacrev(lambda f: simulate_frames(f, DOMAIN, 2, w))(image)
    zero = jacfwd(lambda f: dense_frames.dense_frames(f, DOMAIN, 2, w))(image)
    close(in_image, zero, 1e-11)


def test_random_maps_are_as_the_paper_draws_them():
    """Scales of 0.95 to 1.3, then a turn of up to 45 degrees, about the centre of the box."""
    domain = Domain((0.0, 20.0, 0.0, 25.0), (20, 20))
    w, seeds = random_maps(domain, (2, 3, 4)), (2, 3, 4)
    assert w.shape == (18,) and w.dtype == torch.float64
    for seed, block in zip(seeds, w.reshape(3, 6).numpy(), strict=True):
        A, b = block[:4].reshape(2, 2), block[4:]
        scales = np.linalg.norm(A, axis=0)  # A = R diag(scales): the columns of A stay orthogonal
        assert A[:, 0] @ A[:, 1] == pytest.approx(0, abs=1e-14) and np.linalg.det(A) > 0
        angle = np.degrees(np.arctan2(A[1, 0], A[0, 0]))
        np.testing.assert_allclose(A @ (10, 12.5) + b, (10, 12.5), atol=1e-12)
        unit = np.random.RandomState(seed).rand(3)
        np.testing.assert_allclose([*scales, angle], [0.95, 0.95, 0] + unit * [0.35, 0.35, 45])
    assert (random_maps(domain, (5,)) - random_maps(domain, (6,))).norm() > 0.01
    still = random_maps(domain, (5,), scales=(1, 1), angles=(0, 0))
    torch.testing.assert_close(still, Affine(2).identity())
    with pytest.raises(ValueError, match="domain must have 2 axes; got 3"):
        random_maps(BOX, (2,))


def test_true_image_leaves_no_residual_in_the_data():
    w = true_maps()
    frames = simulate_frames(picture(), DOMAIN, 2, w)
    problem = SuperResolutionProblem(frames, DOMAIN, 2, lam=0.1)
    assert problem.residual(w, picture(), rows="data").abs().max() < 1e-12


# --- the matrix A(w) -------------------------------------------------------------------


@each_problem
def test_operator_is_the_dense_matrix(options):
    problem = small_problem(**options)
    w = start(problem)
    expected = dense_frames.matrix(problem, w)
    operator = problem.operator(w)
    assert expected.shape == (problem.n_rows, math.prod(problem.canvas.m))
    close(operator(pixels(problem.canvas)), expected)
    rows = torch.eye(problem.n_rows, dtype=torch.float64)
    close(operator.adjoint(rows).flatten(0, -2), expected.T)
    close(problem.target, dense_frames.target(problem))
    assert problem.n_data == problem.frames.numel() < problem.n_rows


@each_problem
def test_dot_product(options):
    problem = small_problem(**options)
    operator = problem.operator(start(problem))
    image, rows = noise(*problem.canvas.m), noise(problem.n_rows, seed=1)
    forward, backward = (operator(image) * rows).sum(), (image * operator.adjoint(rows)).sum()
    assert float(forward) == pytest.approx(float(backward), abs=1e-11 * float(rows.norm() ** 2))
    assert abs(float(forward)) > 1e-3


@each_problem
def test_blocks_are_treated_image_by_image(options):
    problem = small_problem(**options)
    operator = problem.operator(start(problem))
    images, rows = noise(*problem.canvas.m, 3), noise(problem.n_rows, 3, seed=1)
    for function, block in [(operator, images), (operator.adjoint, rows)]:
        alone = torch.stack([function(one.contiguous()) for one in block.unbind(-1)], dim=-1)
        close(function(block), alone)
    normal = torch.stack([operator.adjoint(operator(f)) for f in images.unbind(-1)], dim=-1)
    close(operator.normal(images), normal)


@each_problem
def test_residual_is_operator_minus_target(options):
    problem = small_problem(**options)
    w, image = start(problem), picture(problem.canvas)
    expected = dense_frames.matrix(problem, w) @ image.flatten() - dense_frames.target(problem)
    close(problem.residual(w, image), expected)
    close(problem.operator(w)(image) - problem.target, expected)
    close(problem.residual(w, image, rows="data"), expected[: problem.n_data])
    assert float(problem.loss(w, image)) == pytest.approx(float(expected @ expected))


def test_objective_written_out():
    """Equation (6) with volumes: the sum over frames, and λ² times the integral of slopes."""
    problem, image = small_problem(lam=0.3), picture()
    w = start(problem)
    frames = dense_frames.dense_frames(image, DOMAIN, 2, w)
    cell = (2.0 / 8) * (5.0 / 12)
    data = 4 * cell * (frames - problem.frames).square().sum()
    slopes = [image.diff(dim=0) * 8 / 2.0, image.diff(dim=1) * 12 / 5.0]
    smooth = 0.3**2 * cell * sum(s.square().sum() for s in slopes)
    assert float(problem.loss(w, image)) == pytest.approx(float(data + smooth), rel=1e-12)


def test_fix_first_leaves_frame_0_in_place():
    fixed, free = small_problem(), small_problem(fix_first=False)
    assert fixed.n_params == 12 and free.n_params == 18
    w = start(fixed)
    shifted = torch.cat([Affine(2).identity(), w])
    close(free.residual(shifted, picture()), fixed.residual(w, picture()))
    shifted[4] += 0.1
    n = free.frame_size
    change = free.residual(shifted, picture()) - fixed.residual(w, picture())
    assert change[:n].norm() > 1 and change[n:].norm() == 0


def test_identity_moves_nothing():
    for problem in (small_problem(), small_problem(fix_first=False), small_problem(domain=BOX)):
        frames = average_blocks(picture(problem.domain), 2, problem.domain.dim)
        rows = problem.residual(problem.identity(), picture(problem.domain), rows="data")
        expected = problem.data_weight * (frames - problem.frames).flatten()
        close(rows, expected, 1e-11)
        assert problem.overlap(problem.identity()).tolist() == [1.0] * problem.n_moving


# --- derivatives of A(w) ---------------------------------------------------------------


@each_problem
def test_derivatives_equal_those_of_the_dense_matrix(options):
    problem = small_problem(**options)
    w, image, rows = start(problem), picture(problem.canvas), noise(problem.n_rows, seed=1)
    operator, dA = problem.operator(w), jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
    D = torch.einsum("rnk,n->rk", dA, image.flatten())
    close(operator.derivative(image), D, 1e-11)
    close(jacfwd(problem.residual)(w, image), D, 1e-11)
    adjoint = torch.einsum("rnk,r->nk", dA, rows)
    close(operator.derivative_adjoint(rows).reshape(adjoint.shape), adjoint, 1e-11)
    compact = operator.compact_derivative(image)
    assert compact.shape == (problem.n_moving, problem.frame_size, len(w) // problem.n_moving)
    before = problem.row_sizes[0]
    for j, own in enumerate(compact):
        rows_of_frame = slice(before + j * len(own), before + (j + 1) * len(own))
        columns = slice(j * own.shape[1], (j + 1) * own.shape[1])
        close(own, D[rows_of_frame, columns], 1e-11)


@each_problem
def test_normal_jvp_equals_the_derivative_of_the_dense_normal_matrix(options):
    problem = small_problem(**options)
    w, p = start(problem), problem.n_params
    block = noise(*problem.canvas.m, 1 + p)
    flat = block.flatten(0, -2)
    A = dense_frames.matrix(problem, w)
    dA = jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
    f, df = flat[:, 0], flat[:, 1:]
    moved = torch.einsum("rnk,n->rk", dA, f)
    tangent = torch.einsum("rnk,r->nk", dA, A @ f) + A.T @ moved + A.T @ (A @ df)
    ours = problem.operator(w).normal_jvp(block).reshape(flat.shape)
    close(ours[:, 0], A.T @ (A @ f))
    close(ours[:, 1:], tangent, 1e-11)


def test_dot_product_of_the_derivative():
    """⟨(∂_k A) f, v⟩ = ⟨f, (∂_k Aᵀ) v⟩ for every parameter."""
    problem = small_problem(fix_first=False)
    operator = problem.operator(start(problem))
    f, v = noise(*DOMAIN.m), noise(problem.n_rows, seed=1)
    left = operator.derivative(f).T @ v
    right = (f[..., None] * operator.derivative_adjoint(v)).sum((0, 1))
    close(left, right, 1e-11)


@pytest.mark.parametrize("options", [CASES["first fixed"], CASES["3D"]], ids=["2D", "3D"])
def test_taylor_slopes(options):
    """A(w + t v) f − A(w) f − t D v falls with t²."""
    problem = small_problem(**options)
    w, image = start(problem), picture(problem.domain)
    v, rows = noise(problem.n_params, seed=4), noise(problem.n_rows, seed=1)
    operator = problem.operator(w)
    for value, slope in [
        (lambda at: at(image), operator.derivative(image) @ v),
        (lambda at: at.adjoint(rows), operator.derivative_adjoint(rows) @ v),
    ]:
        steps = 2.0 ** -np.arange(6, 12)
        errors = [
            float((value(problem.operator(w + t * v)) - value(operator) - t * slope).norm())
            for t in steps
        ]
        order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        assert order == pytest.approx(2, abs=0.1)


def test_residual_is_differentiable_in_every_way():
    problem = small_problem()
    w, image = start(problem), picture()
    dense = lambda w, f: (  # noqa: E731
        dense_frames.matrix(problem, w) @ f.flatten() - dense_frames.target(problem)
    )
    loss = lambda w, f: dense(w, f).square().sum()  # noqa: E731
    close(jacrev(problem.residual)(w, image), jacfwd(dense)(w, image), 1e-11)
    close(grad(problem.loss)(w, image), grad(loss)(w, image), 1e-11)
    close(grad(problem.loss, argnums=1)(w, image), grad(loss, argnums=1)(w, image), 1e-11)
    mixed = jacfwd(grad(problem.loss, argnums=1))(w, image)
    close(mixed, jacfwd(grad(loss, argnums=1))(w, image), 1e-11)
    twice = jacfwd(jacfwd(problem.loss))(w, image)
    close(twice, jacfwd(jacfwd(loss))(w, image), 1e-10)
    several = torch.stack([w, w + 0.01])
    together = vmap(lambda w: problem.residual(w, image))(several)
    close(together, torch.stack([dense(w, image) for w in several]), 1e-11)


def test_operator_takes_w_as_constant_and_says_so():
    problem = small_problem()
    w, image = start(problem), picture()
    for function in (lambda w: problem.operator(w)(image), problem.reconstruct):
        for transform in (jacfwd, jacrev):
            with pytest.raises(ValueError, match="w must not be differentiated here"):
                transform(function)(w)


# --- the image for given maps ----------------------------------------------------------


@each_problem
def test_reconstruction_solves_the_dense_problem(options):
    problem = small_problem(**options)
    w = start(problem)
    A, b = dense_frames.matrix(problem, w), dense_frames.target(problem)
    expected = torch.from_numpy(np.linalg.lstsq(A.numpy(), b.numpy(), rcond=None)[0])
    ours = problem.reconstruct(w)
    assert ours.shape == problem.canvas.m
    close(ours.flatten(), expected, 1e-7)


@pytest.mark.parametrize("n_iter", [1, 4, 15])
def test_reconstruction_by_a_number_of_iterations(n_iter):
    problem = small_problem()
    w = start(problem)
    N, right = dense_frames.normal_equations(problem, w)
    expected = dense_frames.cg(N, right, n_iter)
    close(problem.reconstruct(w, n_iter).flatten(), expected, 1e-10)


def test_reconstruction_comes_close_to_the_image():
    """More frames than unknowns, little smoothing and no noise: the image itself comes back."""
    image, w = picture(), true_maps(q=6)
    frames = simulate_frames(image, DOMAIN, 2, w)
    problem = SuperResolutionProblem(frames, DOMAIN, 2, lam=1e-5)
    assert (problem.reconstruct(w) - image).norm() < 1e-3 * image.norm()
    alone = torch.kron(frames[0], torch.ones(2, 2, dtype=torch.float64))
    assert (alone - image).norm() > 0.1 * image.norm()


def test_more_smoothing_means_smaller_differences():
    w = start(small_problem())
    sizes = []
    for lam in (0.01, 0.1, 1.0, 100.0):
        image = small_problem(lam=lam).reconstruct(w)
        sizes.append(sum(float(d.square().sum()) for d in differences(image, DOMAIN.h)))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 1e-3 * sizes[0]


def test_overlap_counts_points_in_the_box():
    problem = small_problem()
    w = problem.identity()
    w[4] = 0.25 * 2.0  # a quarter of the width: two of eight columns leave
    w[11] = 1e3
    assert problem.overlap(w).tolist() == [0.75, 0.0]


# --- starting guess --------------------------------------------------------------------


def smooth_frames(w, factor=2):
    """Frames of two soft blobs that averaging hardly changes."""
    domain = Domain(DOMAIN.omega, (32, 48))
    x = domain.cell_centers().numpy()
    grey = 100 * np.exp(-(((x - (0.9, 1.2)) / (0.35, 0.8)) ** 2).sum(1))
    grey += 60 * np.exp(-(((x - (1.3, 2.3)) / (0.3, 0.5)) ** 2).sum(1))
    image = torch.from_numpy(grey).reshape(domain.m)
    return simulate_frames(image, domain, factor, w), domain


def test_register_frames_finds_the_maps():
    w = true_maps()
    frames, domain = smooth_frames(w)
    seen = []
    found = register_frames(frames, domain, callback=seen.append).w
    off = lambda guess: float((guess - w).norm())  # noqa: E731
    assert off(found) < 0.02 < 0.25 < off(Affine(2).identity().repeat(2))
    assert len(seen) == 2
    assert torch.equal(torch.cat([path.w for path in seen]), found)
    # The cells of `domain` do not matter, its box does.
    assert torch.equal(register_frames(frames, DOMAIN).w, found)
    # What the solver takes: frame j shows the image at y(x; w_j), not the other way round.
    problem = SuperResolutionProblem(frames, domain, 2, lam=0.01)
    data = lambda w: float(problem.residual(w, problem.reconstruct(w), "data").norm())  # noqa: E731
    assert data(found) < 0.1 * data(problem.identity())


def test_register_frames_over_scales_beats_the_finest_scale_alone():
    """On the drawn hand, turned by up to 45 degrees."""
    pair = load("hands-phantom", 20)
    w = random_maps(pair.domain, (2, 3, 4))
    frames = simulate_frames(pair.reference, pair.domain, 2, w)
    problem = SuperResolutionProblem(frames, pair.domain, 2, lam=1e-2)

    def error(w):
        return float((problem.reconstruct(w) - pair.reference).norm() / pair.reference.norm())

    over_scales = error(register_frames(frames, pair.domain).w)
    alone = error(register_frames(frames, pair.domain, thetas=[1e-3]).w)
    assert error(w) < over_scales < 0.4 < 0.8 < alone


def test_register_frames_in_three_dimensions():
    domain = Domain(BOX.omega, (8, 10, 12))
    x = domain.cell_centers().numpy()
    grey = 100 * np.exp(-(((x - (0.9, 1.2, 1.4)) / (0.5, 1.2, 0.2)) ** 2).sum(1))
    grey += 100 * np.exp(-(((x - (1.3, 2.3, 1.6)) / (0.4, 0.9, 0.3)) ** 2).sum(1))
    grey += 60 * np.exp(-(((x - (0.5, 2.9, 1.7)) / (0.4, 0.8, 0.2)) ** 2).sum(1))
    w = Affine(3).identity()
    w[9:] = torch.tensor([0.1, -0.2, 0.05])
    image = SplineImage(torch.from_numpy(grey).reshape(domain.m), domain)
    moved = image(Affine(3)(w, domain.cell_centers())).reshape(domain.m)
    found = register_frames(torch.stack([image.data, moved]), domain, thetas=[1.0, 0.1]).w
    torch.testing.assert_close(found, w, rtol=0, atol=0.05)


# --- dtype and memory ------------------------------------------------------------------


def test_an_image_that_cg_does_not_reach_is_announced():
    """In single precision a tiny λ is lost in rounding; how CG then ends hangs on rounding too."""
    problem = SuperResolutionProblem(FRAMES.float(), DOMAIN, 2, 1e-8)
    with pytest.warns(RuntimeWarning, match="not accurate: (maximum number|breakdown)"):
        problem.reconstruct(W0.float())
    solved = problem.solve(problem.operator(W0.float()))
    assert not solved.success
    assert solved.status in (Status.MAX_ITERATIONS, Status.BREAKDOWN)
    assert not solved.residual_norm <= solved.tolerance  # also where it is not a number


def test_float32_follows_the_frames():
    exact = small_problem()
    problem = SuperResolutionProblem(exact.frames.float(), DOMAIN, 2, 0.05)
    w, image = start(exact), picture()
    operator, single = exact.operator(w), problem.operator(w.float())
    rows = noise(problem.n_rows)
    for ours, expected in [
        (problem.identity(), exact.identity()),
        (problem.residual(w.float(), image.float()), exact.residual(w, image)),
        (single(image.float()), operator(image)),
        (single.adjoint(rows.float()), operator.adjoint(rows)),
        (single.derivative(image.float()), operator.derivative(image)),
        (single.derivative_adjoint(rows.float()), operator.derivative_adjoint(rows)),
        (problem.overlap(w.float()), exact.overlap(w)),
        (problem.reconstruct(w.float()), exact.reconstruct(w)),
    ]:
        assert ours.dtype == torch.float32
        close(ours.double(), expected, 1e-4)
    frames = simulate_frames(image.float(), DOMAIN, 2, w.float())
    close(frames.double(), simulate_frames(image, DOMAIN, 2, w), 1e-4)
    assert frames.dtype == torch.float32
    # A strong blur, as single precision does not reach the default tolerance of a sharp image.
    frames, domain = smooth_frames(true_maps())
    found = register_frames(frames.float(), domain, thetas=[100.0]).w
    assert found.dtype == torch.float32
    close(found.double(), register_frames(frames, domain, thetas=[100.0]).w, 1e-3)


def test_frames_may_be_changed_afterwards():
    frames = small_problem().frames.clone()
    problem = SuperResolutionProblem(frames, DOMAIN, 2, 0.05)
    frames.zero_()
    close(problem.frames, small_problem().frames)


# --- bad input -------------------------------------------------------------------------

FRAMES = small_problem().frames
with_nan = FRAMES.clone()
with_nan[1, 2, 3] = math.nan


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"frames": list(FRAMES)}, TypeError, "frames must be one tensor; got list; .*torch.stack"),
        (
            {"frames": [FRAMES[0], FRAMES[1, 1:]]},
            ValueError,
            r"frames must all have one size.*3, 6",
        ),
        ({"frames": FRAMES.numpy()}, TypeError, "frames must be one tensor; got ndarray"),
        ({"frames": FRAMES.int()}, TypeError, "frames must be a float32 or float64 .*int32"),
        ({"frames": FRAMES[:1]}, ValueError, "frames must hold at least 2 frames; got 1"),
        ({"frames": FRAMES[0]}, ValueError, r"frames must have shape \(q \+ 1, 4, 6\).* \(4, 6\)"),
        ({"frames": FRAMES.mT}, ValueError, r"frames must have shape \(q \+ 1, 4, 6\).*, 6, 4\)"),
        ({"frames": with_nan}, ValueError, r"frames must be finite; 1 of 72 .* \(1, 2, 3\)"),
        ({"domain": 3}, TypeError, "domain must be a Domain; got int"),
        ({"domain": Domain((0, 1), (8,))}, ValueError, r"frames must have shape \(q \+ 1, 4\)"),
        (
            {"domain": Domain((0, 1, 0, 1), (2, 8))},
            ValueError,
            r"domain must have at least 4 cells",
        ),
        ({"factor": 3}, ValueError, r"factor must divide domain.m = \(8, 12\); got 3"),
        ({"factor": 0}, ValueError, "factor must be a whole number from 1; got 0"),
        ({"factor": 2.0}, ValueError, "factor must be a whole number from 1; got 2.0"),
        ({"factor": True}, ValueError, "factor must be a whole number from 1; got True"),
        ({"lam": 0.0}, ValueError, "lam must be finite and above 0; got 0.0. .*not determined"),
        ({"lam": -1.0}, ValueError, "lam must be finite and above 0; got -1.0. .*not determined"),
        ({"lam": math.nan}, ValueError, "lam must be finite and above 0; got nan"),
        ({"lam": math.inf}, ValueError, "lam must be finite and above 0; got inf"),
        ({"lam": None}, TypeError, "lam must be a number; got None"),
        ({"lam": True}, TypeError, "lam must be a number; got True"),
    ],
)
def test_bad_problems_are_named(change, error, words):
    arguments = {"frames": FRAMES, "domain": DOMAIN, "factor": 2, "lam": 0.05, **change}
    with pytest.raises(error, match=words):
        SuperResolutionProblem(**arguments)


PROBLEM = small_problem()
W0 = start(PROBLEM)
BAD_W = [
    (W0.float(), TypeError, "w must be a tensor of dtype torch.float64; got a torch.float32"),
    (W0.numpy(), TypeError, "w must be a tensor of dtype torch.float64; got ndarray"),
    (W0[:6], ValueError, r"w must have shape \(12,\), 2 blocks of 6; got \(6,\)"),
    (W0.reshape(2, 6), ValueError, r"w must have shape \(12,\), .*; got \(2, 6\)"),
    (W0 * math.nan, ValueError, r"w must be finite; 12 of 12 values are not"),
]


@pytest.mark.parametrize(("w", "error", "words"), BAD_W)
def test_bad_parameters_are_named(w, error, words):
    for call in (
        PROBLEM.operator,
        PROBLEM.reconstruct,
        PROBLEM.overlap,
        lambda w: PROBLEM.residual(w, picture()),
        lambda w: PROBLEM.loss(w, picture()),
    ):
        with pytest.raises(error, match=words):
            call(w)


BAD_IMAGES = [
    (picture().T, ValueError, r"image must have shape \(8, 12\); got \(12, 8\)"),
    (picture()[..., None], ValueError, r"image must have shape \(8, 12\); got \(8, 12, 1\)"),
    (picture() * math.nan, ValueError, "image must be finite; 96 of 96 pixels are not"),
    (picture().numpy(), TypeError, "image must be a .*; got ndarray"),
    (picture().long(), TypeError, "image must be a .*; got a torch.int64"),
]


@pytest.mark.parametrize(("image", "error", "words"), BAD_IMAGES)
def test_bad_images_are_named(image, error, words):
    with pytest.raises(error, match=words):
        PROBLEM.residual(W0, image)
    with pytest.raises(error, match=words):
        small_problem(fix_first=False).loss(start(small_problem(fix_first=False)), image)
    with pytest.raises(error, match=words):
        simulate_frames(image, DOMAIN, 2, true_maps())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w": true_maps().float()}, TypeError, "w must be a tensor of dtype torch.float64; got"),
        ({"w": true_maps().tolist()}, TypeError, "w must be a tensor of dtype .*; got list"),
        (
            {"w": true_maps()[:5]},
            ValueError,
            r"w must hold blocks of 6 .* got shape \(5,",
        ),
        ({"w": true_maps()[:0]}, ValueError, r"w must hold blocks of 6 .* got shape \(0,"),
        ({"w": true_maps().reshape(2, 6)}, ValueError, r"w must hold blocks of 6 .* \(2, 6\)"),
        ({"w": true_maps() * math.inf}, ValueError, "w must be finite; 12 of 12 values"),
        ({"factor": 5}, ValueError, r"factor must divide domain.m = \(8, 12\); got 5"),
        ({"domain": None}, TypeError, "domain must be a Domain; got NoneType"),
    ],
)
def test_bad_input_to_simulate_frames_is_named(change, error, words):
    arguments = {"image": picture(), "domain": DOMAIN, "factor": 2, "w": true_maps(), **change}
    with pytest.raises(error, match=words):
        simulate_frames(**arguments)


def test_bad_rows_and_counts_are_named():
    with pytest.raises(ValueError, match=re.escape("rows must be one of ['stacked', 'data']")):
        PROBLEM.residual(W0, picture(), rows="all")
    for n_iter in (0, 2.5, True):
        with pytest.raises(ValueError, match=f"n_iter must be a whole number .* got {n_iter}"):
            PROBLEM.reconstruct(W0, n_iter)


CONSTANT = torch.stack([FRAMES[0], torch.full_like(FRAMES[0], 7.0)])


@pytest.mark.parametrize(
    ("frames", "error", "words"),
    [
        (list(FRAMES), TypeError, "frames must be one tensor; got list; .*torch.stack"),
        ([FRAMES[0], FRAMES[1, 1:]], ValueError, "frames must all have one size"),
        (FRAMES[0], ValueError, r"frames must have shape \(q \+ 1, m0, m1\); got \(4, 6\)"),
        (FRAMES[:1], ValueError, "frames must hold at least 2 frames; got 1"),
        (with_nan, ValueError, "frames must be finite; 1 of 72"),
        (FRAMES.long(), TypeError, "frames must be a float32 or float64 tensor"),
        (FRAMES[:, :3], ValueError, r"frames must have at least 4 pixels .* got \(3, 6\)"),
        (CONSTANT, ValueError, r"frames must not be constant, .*; got \[1\]"),
        (torch.zeros(3, 4, 6).double(), ValueError, r"frames must not be constant.*\[0, 1, 2\]"),
    ],
)
def test_bad_input_to_register_frames_is_named(frames, error, words):
    with pytest.raises(error, match=words):
        register_frames(frames, DOMAIN)


def test_bad_box_for_register_frames_is_named():
    with pytest.raises(TypeError, match="domain must be a Domain; got tuple"):
        register_frames(FRAMES, (0, 1))


def test_repr_says_what_it_is():
    assert repr(PROBLEM) == (
        "SuperResolutionProblem(3 frames of (4, 6), image (8, 12), 12 parameters, lam=0.05)"
    )
