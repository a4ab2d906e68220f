"""What torch is set to, and how far indices reach."""

import pytest
import torch

from problems import DOMAIN, near_identity, two_blobs
from regtools import (
    Affine,
    NeuralODE,
    Rigid,
    SplineImage,
    Translation,
    choose_lam,
    hessian,
    levenberg_marquardt,
    load,
    newton,
    projection_jacobian,
    random_maps,
    register,
    simulated_problem,
    super_resolve,
    varpro,
)
from regtools.images import DATASETS
from regtools.superresolution import _sparse

SMALL = simulated_problem("hands-phantom", 8, seeds=(2,))
W = SMALL.problem.identity()


@pytest.fixture
def elsewhere():
    """A default device that is not the one of the data."""
    torch.set_default_device("meta")
    yield torch.device("meta")
    torch.set_default_device(None)


MADE_OF_NOTHING = {
    "Affine": lambda: Affine(2).identity(),
    "Rigid": lambda: Rigid(DOMAIN).identity(),
    "Translation": lambda: Translation(2).identity(),
    "NeuralODE": lambda: NeuralODE(2).identity(),
    "cell_centers": DOMAIN.cell_centers,
    "load": lambda: load(DATASETS[0], 8).template,
    "random_maps": lambda: random_maps(DOMAIN, [1]),
}


@pytest.mark.parametrize("name", MADE_OF_NOTHING)
def test_what_is_made_of_nothing_is_on_the_default_device(name, elsewhere):
    assert MADE_OF_NOTHING[name]().device == elsewhere


def test_an_identity_goes_where_it_is_asked_for(elsewhere):
    for transform in (Affine(2), Rigid(DOMAIN), NeuralODE(2)):
        assert transform.identity(device=torch.device("cpu")).device.type == "cpu"


def test_the_flow_starts_at_the_same_numbers_whatever_the_device(elsewhere):
    given = NeuralODE(2).identity(device=torch.device("cpu"))
    torch.set_default_device(None)
    assert torch.equal(given, NeuralODE(2).identity())


def maps():
    for transform in (Affine(2), Rigid(DOMAIN), NeuralODE(2, 2, DOMAIN)):
        yield transform, near_identity(transform)


def on_the_pair(function):
    return lambda: [function(two_blobs(transform), w) for transform, w in MAPS]


MAPS = list(maps())
PAIR = two_blobs()
PICTURES = PAIR.template.data, PAIR.reference.data
POINTS = DOMAIN.cell_centers()
MADE_OF_TENSORS = {
    "image": lambda: [SplineImage(PICTURES[0], DOMAIN, one)(POINTS, 0.5) for one in EXTENSIONS],
    "hessian": lambda: [hessian(pair, w, 0.5) for pair, w in PAIRS],
    "newton": lambda: [newton(PAIR, 0.5, MAPS[0][1], max_iter=2).w],
    "levenberg_marquardt": lambda: [levenberg_marquardt(p, 0.5, w, max_iter=2).w for p, w in PAIRS],
    "register": lambda: [
        register(*PICTURES, start=["identity", "moments", "angles"], surround=one).w
        for one in ("zero", "overlap")
    ],
    "varpro": lambda: [varpro(SMALL.problem, W, max_iter=2).w],
    "projection": lambda: [projection_jacobian(SMALL.problem, W)],
    "reconstruct": lambda: [SMALL.problem.reconstruct(W)],
    "choose_lam": lambda: [torch.tensor(choose_lam(SMALL.problem, W)[0], device="cpu")],
    "super_resolve": lambda: [super_resolve(SMALL.frames, 2, w0=W, lam=1.0, max_rounds=1).image],
}
EXTENSIONS = ("zero", "mirror")
PAIRS = [(two_blobs(transform), w) for transform, w in MAPS]


@pytest.mark.parametrize("name", MADE_OF_TENSORS)
def test_what_is_made_of_tensors_stays_where_they_are(name, elsewhere):
    found = MADE_OF_TENSORS[name]()
    torch.set_default_device(None)
    for one, other in zip(found, MADE_OF_TENSORS[name](), strict=True):
        assert torch.equal(one, other)


def test_an_index_that_does_not_fit_is_named(monkeypatch):
    problem = SMALL.problem
    # One moved frame of 16 pixels, each seeing up to (4 + 2 - 1)² pixels of the image.
    most = 16 * 25
    monkeypatch.setattr(_sparse, "LIMIT", most)
    problem.operator(W)
    monkeypatch.setattr(_sparse, "LIMIT", 63)  # pixels of the image less one
    with pytest.raises(ValueError, match=r"frames must be fewer or smaller: .* end at 63"):
        problem.replaced(lam=1.0).operator(W)


def test_all_tangents_in_one_matrix_count(monkeypatch):
    operator, rows = SMALL.problem.operator(W), torch.ones(SMALL.problem.n_rows).double()
    monkeypatch.setattr(_sparse, "LIMIT", 16 * 25)  # enough for one, not for six
    with pytest.raises(ValueError, match="frames must be fewer or smaller"):
        operator.derivative_adjoint(rows)


def test_the_limit_is_where_the_indices_end():
    assert torch.tensor(_sparse.LIMIT).int() == _sparse.LIMIT
    assert torch.tensor(_sparse.LIMIT + 1).int() < 0
