"""Shifts and turns: against SciPy's rotations, and as maps of a registration."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.func import hessian as func_hessian
from torch.func import jacfwd

from regtools import (
    Affine,
    Domain,
    RegistrationProblem,
    Rigid,
    Similarity,
    SplineImage,
    Translation,
    gradient,
    hessian,
    newton,
    taylor_test,
)
from regtools.registration import composed, inverse
from regtools.registration.transforms import Placed

PLANE = Domain((0.0, 4.0, -3.0, 3.0), (16, 24))
SPACE = Domain((0.0, 4.0, -3.0, 3.0, 1.0, 2.0), (4, 6, 5))
AFTER = torch.tensor([0.0, -1.2, 0.9, 0.1, 3.0, -2.0], dtype=torch.float64)
MAPS = [
    Translation(2),
    Translation(3),
    Rigid(PLANE),
    Rigid(SPACE),
    Similarity(PLANE),
    Similarity(SPACE),
]
each_map = pytest.mark.parametrize("transform", MAPS, ids=lambda t: f"{type(t).__name__} {t.dim}D")


RNG = np.random.default_rng(12)


def points(dim, n=9, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-5, 5, (n, dim)))


def parameters(transform, size=0.4, seed=0):
    return torch.from_numpy(size * np.random.default_rng(seed).standard_normal(transform.n_params))


@each_map
def test_identity_is_exact(transform):
    x, w = points(transform.dim), transform.identity()
    assert w.shape == (transform.n_params,) and torch.equal(transform(w, x), x)
    assert transform.identity(dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("domain", [PLANE, SPACE], ids=["2D", "3D"])
def test_turns_are_scipys(domain):
    transform = Rigid(domain)
    w, x = parameters(transform).numpy(), points(domain.dim).numpy()
    turn = w[: transform.n_turns]
    vector = turn if len(turn) == 3 else [0, 0, turn[0]]
    R = Rotation.from_rotvec(vector).as_matrix()[: domain.dim, : domain.dim]
    centre = np.add(domain.lower, domain.upper) / 2
    expected = (x - centre) @ R.T + centre + w[transform.n_turns :]
    ours = transform(torch.from_numpy(w), torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-12)


@each_map
def test_affine_parameters_move_as_the_map_does(transform):
    w, x = parameters(transform), points(transform.dim)
    torch.testing.assert_close(Affine(transform.dim)(transform.affine(w), x), transform(w, x))
    torch.testing.assert_close(transform.from_affine(transform.affine(w)), w)


@pytest.mark.parametrize("domain", [PLANE, SPACE], ids=["2D", "3D"])
def test_from_affine_drops_what_stretches(domain):
    """A = R U with U symmetric and positive: the closest turn is R."""
    transform, dim = Rigid(domain), domain.dim
    w = parameters(transform)
    affine = transform.affine(w)
    U = torch.diag(torch.linspace(0.8, 1.3, dim, dtype=torch.float64))
    A = affine[: dim**2].reshape(dim, dim) @ U
    found = transform.from_affine(torch.cat([A.flatten(), affine[dim**2 :]]))
    torch.testing.assert_close(found[: transform.n_turns], w[: transform.n_turns])


@pytest.mark.parametrize("domain", [PLANE, SPACE], ids=["2D", "3D"])
def test_from_affine_takes_the_closest_turn_of_a_mirrored_map_too(domain):
    """No random turn is closer, that is, has a larger trace(RᵀA)."""
    transform, dim = Rigid(domain), domain.dim
    A = np.random.default_rng(3).normal(size=(dim, dim))
    A = A if np.linalg.det(A) < 0 else A[::-1].copy()
    affine = torch.from_numpy(np.concatenate([A.ravel(), np.zeros(dim)]))
    R = transform.affine(transform.from_affine(affine))[: dim**2].reshape(dim, dim).numpy()
    assert np.linalg.det(R) == pytest.approx(1)
    if dim == 2:
        others = Rotation.from_euler("z", np.linspace(0, 360, 2000)[:, None], degrees=True)
    else:
        others = Rotation.from_rotvec(np.random.default_rng(1).normal(0, 2, (5000, 3)))
    others = others.as_matrix()[:, :dim, :dim]
    assert np.trace(R.T @ A) > np.einsum("kij,ij->k", others, A).max() - 1e-6


@each_map
def test_one_unit_of_scaling_moves_points_by_about_a_cell(transform):
    domain = PLANE if transform.dim == 2 else SPACE
    S, x = transform.scaling(domain), domain.cell_centers()
    for column in S.T:
        moved = transform(transform.identity() + column, x) - x
        cells = (moved / torch.tensor(domain.h)).norm(dim=1).max()
        assert 0.15 < float(cells) <= 1.5


@each_map
def test_derivatives_by_differences(transform):
    w, x = parameters(transform), points(transform.dim)
    weights, step = points(transform.dim, seed=2), 1e-5
    columns, rows = [], []
    for e in torch.eye(transform.n_params, dtype=torch.float64):
        columns.append((transform(w + step * e, x) - transform(w - step * e, x)) / (2 * step))
        up, down = (transform.pull_back(w + s * step * e, x, weights) for s in (1, -1))
        rows.append((up - down) / (2 * step))
    near = {"rtol": 0, "atol": 1e-7}
    torch.testing.assert_close(transform.jacobian(w, x), torch.stack(columns, -1), **near)
    torch.testing.assert_close(transform.curvature(w, x, weights), torch.stack(rows), **near)
    twice = jacfwd(jacfwd(lambda v: (weights * transform(v, x)).sum()))(w)
    torch.testing.assert_close(transform.curvature(w, x, weights), twice)


def blobs(y):
    grey = torch.zeros(len(y), dtype=torch.float64)
    for k, centre in enumerate(np.random.default_rng(5).uniform([0, -3], [4, 3], (12, 2))):
        grey += (-1) ** k * torch.exp(-2 * (y - torch.from_numpy(centre)).square().sum(1))
    return grey


@pytest.mark.parametrize(
    "transform", [Translation(2), Rigid(PLANE), Similarity(PLANE)], ids=["shift", "turn", "size"]
)
def test_newton_finds_the_map(transform):
    """Template and reference by a formula, so that the map is exact."""
    x, true = PLANE.cell_centers(), parameters(transform, 0.15)
    pair = blobs(x).reshape(PLANE.m), blobs(transform(true, x)).reshape(PLANE.m)
    images = [SplineImage(data, PLANE) for data in pair]
    problem = RegistrationProblem(*images, transform, surround="overlap")
    found = newton(problem, 0.01, transform.identity())
    gap = transform(found.w, x) - transform(true, x)
    assert float((gap / torch.tensor(PLANE.h)).norm(dim=1).max()) < 0.05
    w = parameters(transform, 0.1, seed=3)
    H = func_hessian(lambda v: problem.loss(v, 1.0))(w)
    torch.testing.assert_close(hessian(problem, w, 1.0), H)
    v = parameters(transform, 0.1, seed=4)
    derivatives = [gradient(problem, w, 1.0) @ v, v @ H @ v]
    assert taylor_test(lambda u: problem.loss(u, 1.0), w, v, derivatives).order > 2.8


@pytest.mark.parametrize("domain", [PLANE, SPACE], ids=["2D", "3D"])
def test_a_similarity_is_scipys_turn_times_a_factor(domain):
    transform = Similarity(domain)
    w, x = parameters(transform).numpy(), points(domain.dim).numpy()
    turn, growth, shift = np.split(w, [transform.n_turns, transform.n_turns + 1])
    vector = turn if len(turn) == 3 else [0, 0, turn[0]]
    R = Rotation.from_rotvec(vector).as_matrix()[: domain.dim, : domain.dim]
    centre = np.add(domain.lower, domain.upper) / 2
    expected = np.exp(growth) * (x - centre) @ R.T + centre + shift
    ours = transform(torch.from_numpy(w), torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    with pytest.raises(ValueError, match="affine must keep some volume"):
        transform.from_affine(torch.zeros(domain.dim * (domain.dim + 1), dtype=torch.float64))


def test_every_turn_of_space_has_a_vector():
    """Half turns too, exact ones and nearly exact ones."""
    transform = Rigid(SPACE)
    vectors = [np.pi * axis / np.linalg.norm(axis) for axis in RNG.standard_normal((20, 3))]
    vectors += [np.pi * np.array(axis) for axis in ([1, 0, 0], [0, 0.6, 0.8], [0, 0, -1.0])]
    vectors += [(1 - size) * vectors[k] for k, size in enumerate([1e-3, 1e-6, 1e-9, 1e-12])]
    cube = Rotation.create_group("O").as_matrix()
    matrices = [*(Rotation.from_rotvec(one).as_matrix() for one in vectors), *cube.round()]
    for R in matrices:
        affine = torch.from_numpy(np.concatenate([R.ravel(), np.zeros(3)]))
        again = transform.affine(transform.from_affine(affine))
        torch.testing.assert_close(again, affine, rtol=0, atol=1e-7)


@each_map
def test_inverse_and_composition_move_points_there_and_back(transform):
    d, x = transform.dim, points(transform.dim)
    one, other = (transform.affine(parameters(transform, seed=k)) for k in (5, 6))
    there = Affine(d)(one, x)
    torch.testing.assert_close(Affine(d)(inverse(one), there), x)
    torch.testing.assert_close(Affine(d)(composed(other, one), x), Affine(d)(other, there))
    with pytest.raises(ValueError, match="affine must have an inverse"):
        inverse(0 * one)


@pytest.mark.parametrize("inner", [Translation(2), Rigid(PLANE), Similarity(PLANE)])
def test_a_placed_map_is_followed_by_a_fixed_one(inner):
    transform, x, w = Placed(inner, AFTER), points(2), parameters(inner)
    torch.testing.assert_close(transform(w, x), Affine(2)(AFTER, inner(w, x)))
    torch.testing.assert_close(transform.from_affine(transform.affine(w)), w)
    torch.testing.assert_close(transform(transform.identity(), x), Affine(2)(AFTER, x))
    assert repr(transform) == repr(inner) and transform.turns == inner.turns
    assert torch.equal(transform.scaling(PLANE), inner.scaling(PLANE))


def test_bad_input_is_named():
    with pytest.raises(TypeError, match="domain must be a Domain"):
        Rigid(2)
    with pytest.raises(ValueError, match="dim must be 2 or 3"):
        Rigid(Domain((0, 1), (4,)))
    with pytest.raises(ValueError, match="dim must be 2 or 3"):
        Translation(1)
    with pytest.raises(ValueError, match=r"w must have shape \(3,\)"):
        Rigid(PLANE)(torch.zeros(6), torch.zeros(4, 2))
