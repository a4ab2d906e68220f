"""Maps of one's own: what a class of them must have."""

import pytest
import torch

from problems import two_blobs
from regtools import (
    RegistrationProblem,
    Transform,
    gradient,
    hessian,
    predictor_corrector,
    taylor_test,
)


class Similarity(Transform):
    """Scale, angle and shift, about a centre."""

    dim, n_params = 2, 4

    def __init__(self, centre):
        self.centre = torch.tensor(centre, dtype=torch.float64)

    def __call__(self, w, x):
        scale, angle = w[0], w[1]
        turn = torch.stack(
            [torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)]
        )
        return (x - self.centre) @ (scale * turn.reshape(2, 2)).T + self.centre + w[2:]

    def identity(self, dtype=torch.float64, device=None):
        return torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=dtype, device=device)


def test_a_map_of_ones_own_needs_one_class():
    problem = two_blobs(Similarity((1.5, 1.5)))
    w = torch.tensor([1.1, 0.2, 0.1, -0.2], dtype=torch.float64)
    v = torch.tensor([0.3, -0.5, 0.2, 0.4], dtype=torch.float64)
    slope, bend = gradient(problem, w, 1.0) @ v, v @ hessian(problem, w, 1.0) @ v
    test = taylor_test(lambda w: problem.loss(w, 1.0), w, v, [slope, bend])
    assert test.order == pytest.approx(3, abs=0.1)
    path = predictor_corrector(problem, [10.0, 1.0, 0.1], problem.transform.identity())
    assert path.success and path.loss < float(problem.loss(problem.transform.identity(), 0.1))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (Similarity, "instance of a Transform; got Similarity"),
        (lambda w, x: x, "instance of a Transform; got <lambda>"),
        (type("Bare", (Similarity,), {"n_params": None})((0, 0)), "must set n_params"),
    ],
)
def test_what_is_no_map_is_refused(transform, message):
    with pytest.raises(TypeError, match=message):
        RegistrationProblem(two_blobs().template, two_blobs().reference, transform)


def test_parameters_of_another_length_are_refused():
    problem = two_blobs(Similarity((1.5, 1.5)))
    for function in (problem.loss, lambda w, t: gradient(problem, w, t)):
        with pytest.raises(ValueError, match=r"w must have shape \(4,\); got \(6,\)"):
            function(torch.zeros(6, dtype=torch.float64), 1.0)
