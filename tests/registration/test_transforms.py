import numpy as np
import pytest
import scipy.integrate
import torch
from torch.func import grad, hessian, jacfwd

from regtools.images import Domain
from regtools.registration import Affine, NeuralODE, Transform

BOX = Domain((0.0, 20.0, -5.0, 25.0), (4, 5))


def random_w(transform, seed=0, size=0.3):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(transform.n_params, generator=generator, dtype=torch.float64)
    return transform.identity() + size * noise


def random_x(dim, n=7, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 20, size=(n, dim)))


@pytest.mark.parametrize(
    ("transform", "n_params"),
    [(Affine(2), 6), (Affine(3), 12), (NeuralODE(2), 50), (NeuralODE(3, width=4), 16 + 4 + 12 + 3)],
)
def test_number_of_parameters_and_exact_identity(transform, n_params):
    x = random_x(transform.dim)
    w = transform.identity()
    assert transform.n_params == n_params and w.shape == (n_params,)
    assert torch.equal(transform(w, x), x)
    assert transform.identity(dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("dim", [2, 3])
def test_affine_is_a_matrix_and_a_shift(dim):
    rng = np.random.default_rng(2)
    matrix, shift, x = rng.normal(size=(dim, dim)), rng.normal(size=dim), rng.normal(size=(5, dim))
    w = torch.from_numpy(np.concatenate([matrix.ravel(), shift]))
    expected = np.stack([matrix @ point + shift for point in x])
    np.testing.assert_allclose(Affine(dim)(w, torch.from_numpy(x)).numpy(), expected, atol=1e-14)


def test_flow_agrees_with_scipys_integrator():
    transform = NeuralODE(2, domain=BOX)
    w, x = random_w(transform), random_x(2)

    def velocity(t, flat):
        points = torch.from_numpy(flat.reshape(-1, 2))
        return transform.velocity(w, points, t).numpy().ravel()

    answer = scipy.integrate.solve_ivp(velocity, (0, 1), x.numpy().ravel(), rtol=1e-10, atol=1e-10)
    moved = transform(w, x)
    assert (moved - x).abs().max() > 0.1
    np.testing.assert_allclose(moved.numpy().ravel(), answer.y[:, -1], atol=1e-4)


def test_velocity_is_the_network_of_the_docstring():
    transform = NeuralODE(2, width=3)
    w, x = random_w(transform), random_x(2, n=4)
    v = w.numpy()
    w1, b1, w2, b2 = v[:9].reshape(3, 3), v[9:12], v[12:18].reshape(2, 3), v[18:]
    expected = [w2 @ np.tanh(w1 @ np.append(point, 0.3) + b1) + b2 for point in x.numpy()]
    np.testing.assert_allclose(transform.velocity(w, x, 0.3).numpy(), expected, atol=1e-14)


@pytest.mark.parametrize("transform", [Affine(2), Affine(3), NeuralODE(2, domain=BOX)])
def test_derivatives_in_w(transform):
    w, x = random_w(transform), random_x(transform.dim)
    torch.testing.assert_close(transform.jacobian(w, x), jacfwd(lambda v: transform(v, x))(w))
    weights = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(4))
    weighted = lambda v: (weights * transform(v, x)).sum()  # noqa: E731
    torch.testing.assert_close(transform.pull_back(w, x, weights), grad(weighted)(w))
    torch.testing.assert_close(transform.curvature(w, x, weights), hessian(weighted)(w))
    y, moves, curvature = transform.local(w, x)
    torch.testing.assert_close(y, transform(w, x))
    torch.testing.assert_close(moves, transform.jacobian(w, x))
    torch.testing.assert_close(curvature(weights), hessian(weighted)(w))


def test_many_points_are_taken_in_blocks():
    transform = NeuralODE(2, width=2, domain=BOX)
    w, x = random_w(transform), random_x(2, n=2500)
    y, moves, curvature = transform.local(w, x)
    assert torch.equal(y, transform(w, x)) and moves.shape == (2500, 2, transform.n_params)
    torch.testing.assert_close(moves[-3:], jacfwd(lambda v: transform(v, x[-3:]))(w))
    weights = torch.zeros_like(x)
    weights[[5, -5]] = 1.0
    expected = hessian(lambda v: transform(v, x[[5, -5]]).sum())(w)
    torch.testing.assert_close(curvature(weights), expected)


def test_closed_forms_of_affine_equal_the_general_ones():
    transform = Affine(3)
    w, x = random_w(transform), random_x(3)
    torch.testing.assert_close(transform.jacobian(w, x), Transform.jacobian(transform, w, x))
    weights = torch.ones_like(x)
    general = Transform.curvature(transform, w, x, weights)
    torch.testing.assert_close(transform.curvature(w, x, weights), general)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Affine(1), "dim must be 2 or 3; got 1"),
        (lambda: NeuralODE(4), "dim must be 2 or 3; got 4"),
        (lambda: NeuralODE(2, width=0), "width must be a whole number from 1; got 0"),
        (lambda: NeuralODE(3, domain=BOX), "domain must have dim = 3 axes; got 2"),
        (lambda: Affine(2)(torch.zeros(5), torch.zeros(1, 2)), r"w must have shape \(6,\)"),
        (lambda: Affine(2)(torch.zeros(6), torch.zeros(1, 3)), r"x must have shape \(n, 2\)"),
        (lambda: NeuralODE(2)(torch.zeros(6), torch.zeros(1, 2)), r"w must have shape \(50,\)"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
