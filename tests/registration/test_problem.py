"""The residual of a pair against SciPy, and what makes no problem."""

import numpy as np
import pytest
import scipy.interpolate
import torch

from problems import DOMAIN, blob, near_identity, two_blobs
from regtools.images import Domain, SplineImage, load
from regtools.registration import Affine, RegistrationProblem, Tikhonov


def test_residual_and_loss_by_scipy():
    """Both images from SciPy's B-splines at the coefficients, moved by NumPy."""
    problem = two_blobs()
    w, theta = near_identity(problem.transform), 0.4
    x = DOMAIN.cell_centers().numpy()
    y = x @ w[:4].reshape(2, 2).numpy().T + w[4:].numpy()

    def evaluate(image, points):
        c = np.pad(image.coefficients(theta).numpy(), 8)
        knots = tuple(np.arange(-10.0, m + 10.0) for m in DOMAIN.m)
        u = (points - DOMAIN.lower) / DOMAIN.h - 0.5
        return 36 * scipy.interpolate.NdBSpline(knots, c, 3)(u)

    difference = evaluate(problem.template, y) - evaluate(problem.reference, x)
    area = 3.0 / 12 * 5.0 / 17
    residual = problem.residual(w, theta).numpy()
    np.testing.assert_allclose(residual, np.sqrt(area) * difference, atol=1e-10)
    assert problem.loss(w, theta).item() == pytest.approx(area * np.sum(difference**2))


def test_loss_of_an_image_with_itself_is_zero():
    image = blob((1.4, 1.2), (0.7, 1.0))
    problem = RegistrationProblem(image, image, Affine(2))
    size = problem.loss_out_of_sight(0.5)
    assert problem.loss(problem.transform.identity(), 0.5) <= 1e-28 * size


def test_regulariser_enters_with_lam_squared():
    plain = two_blobs()
    pulled = two_blobs(regularizer=Tikhonov(plain.transform.identity()), lam=3.0)
    w = near_identity(plain.transform)
    extra = pulled.loss(w, 0.1) - plain.loss(w, 0.1)
    assert extra.item() == pytest.approx(9 * float((w - plain.transform.identity()).square().sum()))


def image(data, domain=DOMAIN):
    return SplineImage(data, domain)


SPOT = blob((1.4, 1.2), (0.7, 1.0))
CUBE = image(torch.rand(5, 5, 5, dtype=torch.float64), Domain((0.0, 3.0) * 3, (5, 5, 5)))


@pytest.mark.parametrize(
    ("template", "reference", "transform", "options", "error", "words"),
    [
        (SPOT.data, SPOT, Affine(2), {}, TypeError, "template must be a SplineImage; got Tensor"),
        (SPOT, None, Affine(2), {}, TypeError, "reference must be a SplineImage; got NoneType"),
        (SPOT, CUBE, Affine(2), {}, ValueError, "same number of axes; got 2 and 3"),
        (image(SPOT.data.float()), SPOT, Affine(2), {}, TypeError, "float32 on .*float64 on"),
        (SPOT, SPOT, Affine(3), {}, ValueError, "transform must have dim = 2; got 3"),
        (SPOT, image(SPOT.data * 0 + 7), Affine(2), {}, ValueError, "reference must not be const"),
        (SPOT, SPOT, Affine(2), {"lam": 1.0}, ValueError, "lam = 1.0 needs a regularizer"),
        (SPOT, SPOT, Affine(2), {"lam": -1.0}, ValueError, "lam must be finite and at least 0"),
    ],
)
def test_bad_input_is_named(template, reference, transform, options, error, words):
    with pytest.raises(error, match=words):
        RegistrationProblem(template, reference, transform, **options)


def test_float32_follows_the_images():
    spots = [image(i.data.float()) for i in (SPOT, blob((1.6, 1.5), (0.8, 0.9)))]
    problem = RegistrationProblem(*spots, Affine(2))
    w = problem.transform.identity(dtype=torch.float32)
    assert problem.residual(w, 0.5).dtype == torch.float32


def test_a_pair_makes_a_problem():
    pair = load("hands-phantom", 16)
    problem = RegistrationProblem.of(pair, two_blobs().transform, lam=0.0)
    assert torch.equal(problem.template.data, pair.template)
    assert torch.equal(problem.reference.data, pair.reference) and problem.domain == pair.domain
    assert problem.identity().dtype == torch.float64
    assert torch.equal(problem.identity(), problem.transform.identity())
    assert pair.image is pair.reference
