"""Super-resolution problems of the atlas, and what is measured on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..images import Domain
from ..superresolution import (
    Implicit,
    Kaufman,
    Rule,
    SuperResolutionProblem,
    Unrolled,
    choose_lam,
    enlarged_frame,
    follow_gradient,
    joint_gauss_newton,
    projection_jacobian,
    register_frames,
    simulate_frames,
    varpro,
)
from ..verify import relative_error
from .pairs import random_map
from .pictures import picture
from .problems import Problem

RULES = ("none", "kaufman", "implicit")
STEPS, FEW = 40, 10
COUNTS = (1, 5, 10, 25, 50)
CONSTANTS = (1e-2, 1e-3, 1e-4)
LAMS = np.geomspace(0.003, 3, 13)
CAPPED, ROUGH = Kaufman(n_iter=50), 1e-4
LAST = (50, 70, 90, 100)
STRETCH, TURNED = 0.03, 10.0
"""How much frames stretch; where they turn by more than so many degrees, by six times as much."""


@dataclass(frozen=True)
class Burst:
    """Frames of a known picture, and the problem of finding it."""

    problem: SuperResolutionProblem
    image: torch.Tensor
    w_true: torch.Tensor
    w0: torch.Tensor
    sigma: float

    def error(self, image: torch.Tensor) -> float:
        """Return the relative error of an image over the box of frame 0, in per cent."""
        return 100 * relative_error(self.problem.cropped(image), self.image)


def burst(problem: Problem) -> Burst:
    """Return the frames of a problem: four for a factor of two, else eight.

    A scene is averaged on a larger box, of which frames are cut out, so that they see what lies
    beyond that of frame 0.
    """
    n, factor, shown = problem.size, problem.factor, picture(problem)
    q = 3 if factor == 2 else 7
    rng, far = problem.rng("maps"), problem.degrees > TURNED
    maps = [
        random_map(rng, n, problem.degrees, (6 if far else 1) * STRETCH, 0.75 * factor)
        for _ in range(q)
    ]
    w_true = torch.from_numpy(np.concatenate([np.append(A.ravel(), b) for A, b in maps]))
    scene = problem.kind == "scene"
    margin = factor * (3 + n // 16) if scene else 0
    wide = min(2 * margin, n)  # the frames that are cut see this much more
    cells = slice(n - wide, 2 * n + wide)
    large = Domain((-wide, n + wide) * 2, (n + 2 * wide,) * 2)
    frames = simulate_frames(torch.from_numpy(shown[cells, cells].copy()), large, factor, w_true)
    inner = slice(wide // factor, wide // factor + n // factor)
    frames = frames[:, inner, inner]
    sigma = 2.55 * problem.noise
    noise = problem.rng("noise").standard_normal(tuple(frames.shape))
    frames = frames + sigma * torch.from_numpy(noise)
    domain = Domain((0, n, 0, n), (n, n))
    w0 = register_frames(frames, domain, surround="overlap" if scene else "zero").w
    task = SuperResolutionProblem(frames, domain, factor, problem.lam or 1.0, margin=margin)
    if scene:
        task = task.replaced(weights=task.covered(w0).to(w0))
    image = torch.from_numpy(shown[n : 2 * n, n : 2 * n].copy())
    return Burst(task, image, w_true, w0, sigma)


def rules(problem: Problem) -> dict:
    """Measure rules for the derivative of the projection to their ends, the joint method so far."""
    one = burst(problem)
    task = one.problem
    runs = {rule: varpro(task, one.w0, rule, max_iter=STEPS, solver="direct") for rule in RULES}
    runs["joint"] = joint_gauss_newton(task, one.w0, max_iter=FEW, tol_cg=1e-4)
    lowest = min(run.loss for run in runs.values())
    row = {
        "error_start": one.error(solved(task, one.w0)),
        "error_true": one.error(solved(task, one.w_true)),
        "residual": lowest**0.5 / float(task.target.norm()),
    }
    for name, run in runs.items():
        near = [k for k, state in enumerate(run.history) if state.loss <= 1.01 * lowest]
        early = run.history[min(FEW, len(run.history) - 1)]
        row |= {
            f"error_{name}": one.error(solved(task, early.w)),
            f"end_{name}": one.error(run.image),
            f"excess_{name}": run.loss / lowest - 1,
            f"steps_{name}": float(near[0]) if near else np.nan,
            f"iterations_{name}": run.n_iter_cg,
        }
    return row


def counts(problem: Problem) -> dict:
    """Measure fixed counts of CG from two starts, and tolerances that follow the gradient."""
    one = burst(problem)
    task = one.problem
    ends = {}
    for word, start in (("black", None), ("frame_0", "frame 0")):
        for k in COUNTS:
            found = varpro(
                task, one.w0, "unrolled", max_iter=FEW, n_iter_cg=k, image0=start, tol_image=ROUGH
            )
            ends[f"{word}_{k}"] = found
    for c in CONSTANTS:
        ends[f"tied_{c:g}"] = varpro(
            task, one.w0, CAPPED, tol_cg=follow_gradient(c), one_solve=True, tol_image=ROUGH
        )
    for tol in (1e-4, 1e-6):
        ends[f"fixed_{tol:g}"] = varpro(
            task, one.w0, CAPPED, tol_cg=tol, one_solve=True, tol_image=ROUGH
        )
    long = varpro(
        task, ends["fixed_1e-06"].w, "kaufman", tol_cg=1e-8, one_solve=True, solver="direct"
    )
    images = {name: solved(task, found.w) for name, found in ends.items()}
    losses = {name: float(task.loss(ends[name].w, image)) for name, image in images.items()}
    lowest = min(*losses.values(), long.loss)
    row = {"error_start": one.error(solved(task, one.w0)), "error_long": one.error(long.image)}
    for name, found in ends.items():
        row |= {
            f"error_{name}": one.error(images[name]),
            f"excess_{name}": losses[name] / lowest - 1,
            f"iterations_{name}": found.history[-1].n_iter_cg,
        }
    return row


def solves(problem: Problem) -> dict:
    """Measure what solves cost in CG, with a cap and without, and the gradient of the data rows.

    Steps by one solve, to the end; `gradient_data` is how far the gradient of the data rows alone
    is off without a derivative of the projection, `gradient_stacked` that of all rows.
    """
    one = burst(problem)
    task, w0 = one.problem, one.w0
    image = solved(task, w0)
    full, none = (
        projection_jacobian(task, w0, rule, solver="direct") for rule in ("implicit", "none")
    )
    residual = task.residual(w0, image)
    row: dict = {"iterations_image": task.solve(task.operator(w0), tol=1e-6).n_iter}
    for name, rows in (("data", slice(task.n_data)), ("stacked", slice(None))):
        true = full[rows].T @ residual[rows]
        row[f"gradient_{name}"] = float((none[rows].T @ residual[rows] - true).norm() / true.norm())
    runs = {
        name: varpro(task, w0, rule, max_iter=STEPS, tol_cg=1e-6, one_solve=True)
        for name, rule in (("whole", Kaufman()), ("capped", CAPPED))
    }
    lowest = min(run.loss for run in runs.values())
    for name, run in runs.items():
        row |= {
            f"excess_{name}": run.loss / lowest - 1,
            f"iterations_{name}": run.n_iter_cg,
            f"steps_{name}": run.n_iter,
            f"success_{name}": bool(run.success),
        }
    return row


def last_part(problem: Problem) -> dict:
    """Measure the Jacobian where the last part of CG is differentiated, in 53 and 106 bits.

    Relative to the error of taking no derivative: above 1 it is worse than none.
    """
    one = burst(problem)
    task = one.problem
    n_iter = problem.size**2 // 2
    exact = projection_jacobian(task, one.w0, "implicit", solver="direct")
    none = projection_jacobian(task, one.w0, "none", solver="direct") - exact
    row = {}
    ways: dict[str, Rule] = {f"double_{part}": Unrolled(last=part / 100) for part in LAST}
    ways |= {f"own_{part}": Implicit(n_iter=n_iter * part // 100) for part in (25, 50)}
    for name, rule in ways.items():
        found = projection_jacobian(task, one.w0, rule, n_iter_cg=n_iter)
        row[name] = float((found - exact).norm() / none.norm())
    from .many_bits import errors, matrices, unit_directions  # python-flint serves here alone

    numbers = matrices(task, one.w0, unit_directions(task.n_params, 1))
    for bits in (53, 106):
        found = errors(bits, *numbers, n_iter, LAST)
        row |= {f"bits_{bits}_{part}": found[f"last {part}"][0] for part in LAST}
    return row


def solved(task: SuperResolutionProblem, w: torch.Tensor) -> torch.Tensor:
    """Return the image of some maps; the banded factor makes a few iterations enough."""
    operator = task.operator(w)
    return task.solve(operator, tol=1e-8, preconditioner=operator.inverse).x


def smoothing(problem: Problem) -> dict:
    """Measure how λ may be chosen, at the true maps, over the error with the best of 13."""
    one = burst(problem)
    task, w = one.problem, one.w_true
    found = []
    for lam in LAMS:
        weighted = task.replaced(lam=float(lam))
        image = solved(weighted, w)
        rows = weighted.residual(w, image)
        data = float(rows[: weighted.n_data].norm())
        # The other rows are λ times the differences of the image.
        rough = float(rows[weighted.n_data :].norm()) / lam
        found.append((one.error(image), np.log(data), np.log(rough)))
    errors, x, y = np.array(found).T
    best = int(errors.argmin())
    by_gcv = choose_lam(task, w)[0]
    choices = {"gcv": by_gcv, "corner": float(LAMS[corner(x, y)])}
    if one.sigma:
        choices["noise"] = choose_lam(task, w, noise=one.sigma)[0]
    row = {"best": errors[best], "lam_best": float(LAMS[best])}
    for name, lam in choices.items():
        weighted = task.replaced(lam=lam)
        image = solved(weighted, w)
        row |= {f"lam_{name}": lam, f"over_{name}": one.error(image) / errors[best]}
    frame = enlarged_frame(task.frames[0], Domain(task.domain.omega, (problem.size,) * 2))
    row["frame_0"] = 100 * relative_error(frame, one.image)
    return row


def corner(x: np.ndarray, y: np.ndarray) -> int:
    """Return where a curve of points bends most to the left: the corner of an L-curve.

    Parameters
    ----------
    x, y : numpy.ndarray
        Logarithms of data residual and roughness, by growing λ.

    Returns
    -------
    int
        The index of the point where the circle through it and both neighbours is smallest.

    References
    ----------
    Hansen (1992). *The atlas*.
    """
    points = np.stack([x, y], axis=1)
    bends = np.full(len(points), -np.inf)
    for k in range(1, len(points) - 1):
        before, after = points[k] - points[k - 1], points[k + 1] - points[k]
        area = before[0] * after[1] - before[1] * after[0]
        sides = np.linalg.norm([before, after, before + after], axis=1).prod()
        bends[k] = 2 * area / sides if sides else -np.inf
    return int(bends.argmax())
