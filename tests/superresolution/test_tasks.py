"""Kaufman's step by one solve and by the Jacobian, against dense least squares."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.func import jacfwd

import dense_frames
from dense_frames import BOX, small_problem, start
from frame_problems import PROBLEM, W0
from regtools.superresolution import reduced as module
from regtools.superresolution import varpro
from regtools.superresolution._tasks import OneSolve, WithJacobian

EXACT = ("implicit", "kaufman")


@dataclass
class At:
    """A way to compute steps, at one point."""

    task: object
    point: object
    model: object

    def step(self, gamma):
        return self.task.step(self.point, self.model, gamma)

    @property
    def gradient_norm(self):
        return self.model.gradient_norm

    @property
    def scale(self):
        return self.model.scale


def models(problem, w, tol=1e-13):
    """Both ways to compute Kaufman's step, at one point."""
    settings = {"derivative": "kaufman", "n_iter": None, "image0": None}
    tasks = [kind(problem, "stacked", tol, settings, False) for kind in (WithJacobian, OneSolve)]
    point = tasks[0].point(w, tasks[0].projection(None))
    return [At(task, point, task.model(point)) for task in tasks]


@pytest.mark.parametrize("gamma", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize(
    "options", [{}, {"fix_first": False}, {"domain": BOX, "q": 1}], ids=["2D", "first free", "3D"]
)
def test_kaufmans_step_is_the_joint_step(options, gamma):
    """Both equal the w part of min ‖D δw + A δf + r‖² + γ ‖δw‖², by NumPy's least squares."""
    problem = small_problem(**options)
    w = start(problem)
    A, b = dense_frames.matrix(problem, w), dense_frames.target(problem)
    f = dense_frames.projection(problem, w)
    dA = jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
    D, r, p, n = torch.einsum("rnk,n->rk", dA, f), A @ f - b, len(w), len(f)
    damping = torch.cat([math.sqrt(gamma) * torch.eye(p), torch.zeros(p, n)], dim=1).double()
    system = torch.cat([torch.cat([D, A], dim=1), damping]).numpy()
    right = -np.r_[r.numpy(), np.zeros(p)]
    both = torch.from_numpy(np.linalg.lstsq(system, right, rcond=None)[0])
    dw, df = both[:p], both[p:]
    promise = float(r @ r - (D @ dw + A @ df + r).square().sum())
    by_jacobian, by_one_solve = models(problem, w)
    for model in (by_jacobian, by_one_solve):
        step = model.step(gamma)
        torch.testing.assert_close(step.dw, dw, rtol=0, atol=1e-7 * float(dw.abs().max()))
        image = (f + df).reshape(problem.domain.m)
        torch.testing.assert_close(step.image, image, rtol=0, atol=1e-6 * float(image.abs().max()))
        assert step.predicted == pytest.approx(promise, rel=1e-6)
        gradient = float((2 * D.T @ r).norm())
        assert model.gradient_norm == pytest.approx(gradient, rel=1e-6)
    # Relative to which the damping counts: of P⊥ D here, of D there.
    off_range = torch.eye(len(A)).double() - A @ torch.linalg.pinv(A)
    projected = (off_range @ D).square().sum(0).max()
    assert by_jacobian.scale == pytest.approx(float(projected), rel=1e-6)
    assert by_one_solve.scale == pytest.approx(float(D.square().sum(0).max()), rel=1e-6)


def test_the_undamped_step_is_kaufmans_gauss_newton_step():
    """Golub and Pereyra without their second term: δw = −(P⊥D)† r."""
    A, b = dense_frames.matrix(PROBLEM, W0), dense_frames.target(PROBLEM)
    f = dense_frames.projection(PROBLEM, W0)
    dA = jacfwd(lambda w: dense_frames.matrix(PROBLEM, w))(W0)
    off_range = torch.eye(len(A)).double() - A @ torch.linalg.pinv(A)
    J = off_range @ torch.einsum("rnk,n->rk", dA, f)
    expected = -torch.linalg.pinv(J) @ (A @ f - b)
    for model in models(PROBLEM, W0):
        torch.testing.assert_close(model.step(1e-9).dw, expected, rtol=0, atol=1e-6)


def test_a_frame_that_sees_a_corner_is_not_moved_along_what_it_does_not_know():
    """Its 6 × 6 matrix has rank four and γ is nothing beside it: the least step, by NumPy."""
    problem, w = PROBLEM, W0.clone()
    w[4:6] += 0.85 * (torch.tensor(problem.domain.upper) - torch.tensor(problem.domain.lower))
    A, b = dense_frames.matrix(problem, w), dense_frames.target(problem)
    f = dense_frames.projection(problem, w)
    dA = jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
    D, r, p = torch.einsum("rnk,n->rk", dA, f), A @ f - b, len(w)
    own = torch.linalg.eigvalsh(D[:, :6].T @ D[:, :6])
    assert own[0] < 1e-14 * own[-1], "the frame sees more than that"
    both = np.linalg.lstsq(torch.cat([D, A], 1).numpy(), -r.numpy(), rcond=1e-13)[0]
    known = torch.from_numpy(both[:p])
    for model in models(problem, w):
        dw = model.step(1e-300).dw
        torch.testing.assert_close(dw, known, rtol=0, atol=1e-4 * float(known.abs().max()))


def watch(monkeypatch, name, used):
    """Note in `used` when a class of the module is instantiated."""
    kind = getattr(module, name)

    def spy(*arguments):
        used.append(name)
        return kind(*arguments)

    monkeypatch.setattr(module, name, spy)


def test_many_parameters_take_the_one_solve(monkeypatch, scipys):
    used = []
    for name in ("OneSolve", "WithJacobian"):
        watch(monkeypatch, name, used)
    few = varpro(PROBLEM, W0, "kaufman")
    assert set(used) == {"WithJacobian"}
    monkeypatch.setattr(module, "MANY_PARAMETERS", 12)
    for rule, options in [("implicit", {}), ("none", {}), ("kaufman", {"rows": "data"})]:
        used.clear()
        varpro(PROBLEM, W0, rule, max_iter=1, **options)
        assert set(used) == {"WithJacobian"}
    used.clear()
    many = varpro(PROBLEM, W0, "kaufman")
    assert set(used) == {"OneSolve"}
    assert few.success and many.success
    assert many.loss == pytest.approx(few.loss, rel=1e-7)
    assert many.loss == pytest.approx(2 * scipys.cost, rel=1e-7)
    np.testing.assert_allclose(many.w.numpy(), few.w.numpy(), atol=1e-4)


def test_six_moving_frames_are_many(monkeypatch):
    problem, used = small_problem(q=6), []
    watch(monkeypatch, "OneSolve", used)
    varpro(problem, start(problem), "kaufman", max_iter=1)
    assert problem.n_params == 36 and used == ["OneSolve"]
    implicit, kaufman = (varpro(problem, start(problem), d, max_iter=6) for d in EXACT)
    assert kaufman.loss == pytest.approx(implicit.loss, rel=1e-2)
    assert kaufman.loss < 0.8 * kaufman.history[0].loss
