"""The kernels for GPUs, run by Triton's interpreter on the CPU, against the CPU kernels.

`make fused` installs Triton and runs these. With a GPU, `pytest --noconftest -m cuda` with the path
of this file runs what is marked so, with the machine's own PyTorch.
"""

import importlib.util
import itertools
import os
import warnings

import numpy as np
import pytest
import torch

from regtools import register
from regtools.images import Domain, SplineImage, _bands, _compiled, _fused, _sums, _taylor
from regtools.registration import Affine, RegistrationProblem, newton, second_order_model

CPU = torch.device("cpu")
# Triton asks for it when it is imported, so a process is one or the other.
INTERPRETER = os.environ.get("TRITON_INTERPRET") == "1"
interpreted = pytest.mark.skipif(
    not INTERPRETER or importlib.util.find_spec("triton") is None,
    reason="no interpreter of Triton: make fused",
)


@pytest.fixture
def kernels():
    """The module with the kernels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Triton about itself
        from regtools.images import _triton

        yield _triton


def random(shape, seed, dtype=torch.float64):
    draw = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(draw).to(dtype)


def close(ours, known, tol):
    for a, b in zip(ours, known, strict=True):
        for x, y in zip(a, b, strict=True):
            assert np.abs(x - y).max() <= tol * np.abs(y).max()


@interpreted
@pytest.mark.parametrize(
    ("order", "overlap"), [(2, "plain"), (2, "overlap"), (2, "masks"), (1, "masks")]
)
@pytest.mark.parametrize(
    ("m", "beyond", "dtype"),
    [
        ((5, 140), 0, torch.float64),
        ((9, 12), 2, torch.float32),
        ((4, 5, 9), 0, torch.float64),
        ((5, 4, 6), 1, torch.float64),
    ],
)
def test_sums(kernels, m, beyond, dtype, order, overlap):
    """Lines of more than one part, lattices wider than the box, points outside."""
    d, lattice = len(m), [n + 2 * beyond for n in m]
    half = np.array(m) / 2
    turn = np.eye(d) + 0.2 * random((d, d), 0).numpy()
    affine = np.concatenate([turn * half, (half - 0.5 + 0.7)[:, None]], axis=1)
    coefficients, mask = random(lattice, 1, dtype), random(lattice, 2, dtype)
    reference, seen = random(m, 3, dtype).flatten(), random(m, 4, dtype).flatten()
    seen = None if overlap == "plain" else seen
    mask = mask if overlap == "masks" else None
    known = _sums.sums_of_squares(
        m, coefficients, beyond, reference, affine, order, seen, mask, 2.0
    )
    sums = _sums._on_gpu(m, coefficients, beyond, reference, affine, order, seen, mask, 2.0)[:, 0]
    close([_sums._unpacked(one, d) for one in sums], known, 1e-12)


@interpreted
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("m", [(13, 9), (6, 5, 7), (3, 5)])
def test_taylor(kernels, m, order):
    """Points inside, at the border and far outside; an axis of three cells too."""
    d = len(m)
    domain = Domain(tuple(end for n in m for end in (0.5, 0.5 + 0.3 * n)), m)
    sides = 0.3 * torch.tensor(m, dtype=torch.float64)
    points = 0.5 + (1.6 * torch.from_numpy(np.random.default_rng(5).random((700, d))) - 0.3) * sides
    points[0] = 1e9
    coefficients = random(m, 6)
    known = (
        _taylor.by_torch(coefficients, points, domain, order)
        if min(m) < 4
        else _compiled.local_taylor(coefficients, points, domain, order)
    )
    ours = kernels.local_taylor(coefficients, points, domain, order)
    assert ours.keys() == known.keys()
    for a in known:
        assert float((ours[a] - known[a]).abs().max()) <= 1e-12 * float(known[a].abs().max())


@interpreted
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("m", [(4, 50), (33, 5), (6, 7, 9)])
def test_coefficients(kernels, m, mirrored):
    """Few and many lines, of every length modulo four; the blurs at which refinements begin."""
    from regtools.images import _triton_bands

    data = random(m, 10)
    for theta in (0.0, 0.5, 30.0, 1e6, 1e11):
        known = _bands.coefficients(data.numpy(), mirrored, theta)
        ours = _triton_bands.coefficients(data, mirrored, theta)
        assert np.abs(ours.numpy() - known).max() <= 1e-12 * np.abs(known).max()
        wide = _triton_bands.widened(ours, mirrored)
        assert np.array_equal(wide, _bands.widened(ours.numpy(), mirrored))
        if theta < 1e3:  # the curvature of what is nearly flat has no digits left
            rate = _bands.rate(known, mirrored, theta)
            ours = _triton_bands.rate(torch.from_numpy(known), mirrored, theta)
            assert np.abs(ours.numpy() - rate).max() <= 1e-12 * np.abs(rate).max()


@interpreted
def test_no_points(kernels):
    domain = Domain((0.0, 4.0, 0.0, 4.0), (4, 4))
    found = kernels.local_taylor(
        random((4, 4), 7), torch.empty(0, 2, dtype=torch.float64), domain, 1
    )
    assert [len(one) for one in found.values()] == [0, 0, 0]


@interpreted
def test_what_is_tried_on_a_new_device(kernels):
    assert _fused.worst_gap(CPU) < 1e-14


def of(pair, **options):
    """The problem of two pictures whose pixels are one wide."""
    m = tuple(pair[0].shape)
    domain = Domain(tuple(float(end) for n in m for end in (0, n)), m)
    images = (SplineImage(one, domain) for one in pair)
    return RegistrationProblem(*images, Affine(len(m)), **options)


@interpreted
@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_a_registration(kernels, monkeypatch, surround):
    """By the kernels and by the CPU ones the same steps are taken."""
    y, x = np.meshgrid(np.arange(12) + 0.5, np.arange(12) + 0.5)
    blob = lambda a, b: 100 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 10)  # noqa: E731
    pair = [torch.from_numpy(blob(a, 6.0) + blob(8.0, b)) for a, b in [(5.0, 7.0), (4.6, 7.5)]]
    problem = of(pair, surround=surround)
    known = newton(problem, 1.0, problem.identity())
    launches = itertools.count()

    def on_gpu(*arguments):
        next(launches)
        return _sums._on_gpu(*arguments)

    monkeypatch.setattr(_sums, "_on_cpu", on_gpu)
    found = newton(problem, 1.0, problem.identity())
    assert next(launches) > found.n_iter > 2 and found.success
    torch.testing.assert_close(found.w, known.w, rtol=0, atol=1e-9)


def test_devices_without_kernels():
    assert not _fused.works(CPU) and not _fused.works(torch.device("meta"))


@pytest.mark.parametrize("gap", [1e-3, float("nan"), RuntimeError("no such instruction")])
def test_kernels_that_are_wrong_are_not_used(monkeypatch, gap):
    def tried(device):
        if isinstance(gap, Exception):
            raise gap
        return gap

    monkeypatch.setattr(_fused, "worst_gap", tried)
    with pytest.warns(RuntimeWarning, match="fused kernels do not work on cuda"):
        assert not _fused.works.__wrapped__(torch.device("cuda"))
    monkeypatch.setattr(_fused, "worst_gap", lambda device: 1e-15)
    assert _fused.works.__wrapped__(torch.device("cuda"))


def test_without_triton_nothing_is_said(monkeypatch):
    def missing(device):
        raise ImportError("triton")

    monkeypatch.setattr(_fused, "worst_gap", missing)
    assert not _fused.works.__wrapped__(torch.device("cuda"))


on_a_gpu = pytest.mark.skipif(
    INTERPRETER or not torch.cuda.is_available(), reason="no GPU, or kernels interpreted"
)


@pytest.mark.cuda
@on_a_gpu
@pytest.mark.parametrize("extension", ["zero", "mirror"])
@pytest.mark.parametrize("m", [(40, 70), (12, 14, 16)])
def test_an_image_on_a_gpu(m, extension):
    """Coefficients, their slope in theta, and third derivatives as on the CPU."""
    domain = Domain(tuple(float(end) for n in m for end in (0, n)), m)
    x = domain.padded(2).cell_centers(torch.float64, CPU)[::3]
    data, found = random(m, 11), []
    for device in ("cpu", "cuda"):
        image = SplineImage(data.to(device), domain, extension)
        for theta in (0.0, 3.0, 200.0):
            terms = (
                image.taylor(x.to(device), theta, 3),
                image.taylor_theta_derivative(x.to(device), theta),
            )
            found.append([image.coefficients(theta), *(t for one in terms for t in one.values())])
    for cpu, gpu in zip(found[:3], found[3:], strict=True):
        for a, b in zip(cpu, gpu, strict=True):
            torch.testing.assert_close(b.cpu(), a, rtol=0, atol=1e-10 * float(a.abs().max()))


@pytest.mark.cuda
@on_a_gpu
def test_register_on_a_gpu():
    y, x = np.meshgrid(np.arange(48) + 0.5, np.arange(40) + 0.5)
    blob = lambda a, b: 100 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 40)  # noqa: E731
    pair = [torch.from_numpy(blob(a, 26) + blob(24, b)) for a, b in [(15, 33), (13, 35)]]
    known, found = (
        register(*(one.to(device) for one in pair), start="identity") for device in ("cpu", "cuda")
    )
    assert found.success and found.w.device.type == "cuda"
    torch.testing.assert_close(found.w.cpu(), known.w, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.warp().cpu(), known.warp(), rtol=0, atol=1e-4)


@pytest.mark.cuda
@on_a_gpu
@pytest.mark.parametrize("m", [(64, 70), (20, 24, 28)])
def test_on_a_gpu(m):
    """Loss, gradient and Hessian as on the CPU."""
    d, found = len(m), []
    pair = [random(m, seed).cumsum(0) for seed in (8, 9)]
    w = torch.cat([torch.eye(d).flatten(), torch.full((d,), 0.3)]).double() + 0.01
    for device in ("cpu", "cuda"):
        model = second_order_model(of([one.to(device) for one in pair]), w.to(device), 2.0)
        found.append([part.cpu() for part in (model.loss, model.gradient, model.hessian)])
    for cpu, gpu in zip(*found, strict=True):
        torch.testing.assert_close(gpu, cpu, rtol=1e-11, atol=1e-11 * float(cpu.abs().max()))
    assert _fused.works(torch.device("cuda", 0))
