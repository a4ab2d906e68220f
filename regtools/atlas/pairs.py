"""Registration problems of the atlas, and what is measured on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.stats
import torch

from ..images import Domain, SplineImage
from ..registration import (
    Affine,
    RegistrationProblem,
    compare_predictions,
    levenberg_marquardt,
    newton,
    predictor_corrector,
    register,
    second_order_model,
    split_affine,
)
from .pictures import hand, picture
from .problems import Problem

PREDICTORS = {"none": None, "2JTJ": "gauss-newton", "exact": "newton"}
COUNTS = (6, 11, 21, 41)
"""Scales from 1000 to 0.01."""
FIRST = (1.0, 10.0, 100.0, 1000.0, 10000.0)
PER_DECADE = (1, 2, 4)
LAST = (10.0, 1.0, 0.1, 0.01, 0.001)
DRAWS = 200
SHARP = 0.01


@dataclass(frozen=True)
class Pair:
    """Two pictures and the map between them; for two poses of a hand no map is the right one.

    Attributes
    ----------
    problem : RegistrationProblem
        By squared differences, with an affine map.
    A, b : numpy.ndarray
        The template at A x + b shows what the reference shows at x.
    """

    problem: RegistrationProblem
    A: np.ndarray
    b: np.ndarray
    poses: bool

    def off(self, w: torch.Tensor) -> float:
        """Return how far a map is off, mean over the box in cells; NaN where none is right."""
        if self.poses:
            return math.nan
        x, (A, b) = self.problem.points.numpy(), (one.numpy() for one in split_affine(w))
        return float(np.linalg.norm(x @ (A - self.A).T + b - self.b, axis=1).mean())

    @property
    def start(self) -> torch.Tensor:
        """The identity."""
        return self.problem.identity()

    @property
    def true(self) -> torch.Tensor:
        """The map that was drawn."""
        return torch.from_numpy(np.concatenate([self.A.ravel(), self.b]))


def random_map(rng: np.random.Generator, n: int, degrees: float, stretch: float, shift: float):
    """Return a matrix and a shift: a turn, two scales and a move about the middle of a box."""
    angle = np.radians(rng.uniform(-degrees, degrees))
    scales = 1 + rng.uniform(-stretch, stretch, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    A = turn * scales
    return A, n / 2 + rng.uniform(-shift, shift, 2) - A @ np.full(2, n / 2)


def pair(problem: Problem, noise: float | None = None) -> Pair:
    """Return the pair of a problem: SciPy's cubic splines make the reference.

    Parameters
    ----------
    problem : Problem
    noise : float, optional
        In the place of that of the problem.
    """
    n, shown = problem.size, picture(problem)
    A, b = random_map(problem.rng("maps"), n, problem.degrees, 0.1, n / 16)
    domain = Domain((0, n, 0, n), (n, n))
    places = domain.cell_centers().numpy() @ A.T + b + n - 0.5
    seen = hand(problem, "other pose", n) if problem.kind == "poses" else shown
    reference = scipy.ndimage.map_coordinates(seen, places.T, order=3).reshape(n, n)
    rng, sigma = problem.rng("noise"), 2.55 * (problem.noise if noise is None else noise)
    template, reference = (
        SplineImage(torch.from_numpy(one + sigma * rng.standard_normal((n, n))), domain)
        for one in (shown[n : 2 * n, n : 2 * n], reference)
    )
    surround = "overlap" if problem.kind == "scene" else "zero"
    return Pair(
        RegistrationProblem(template, reference, Affine(2), surround=surround),
        A,
        b,
        seen is not shown,
    )


def scales(problem: Problem) -> dict:
    """Measure where the path begins and ends, how many scales it has, and several starts."""
    one = pair(problem)

    def path(first, last, per_decade):
        count = 1 + math.ceil(per_decade * math.log10(first / last))
        thetas = np.geomspace(first, last, count).tolist() if first > last else [last]
        return predictor_corrector(one.problem, thetas, one.start, predictor=None)

    row = {"off_single": one.off(path(SHARP, SHARP, 1).w)}
    for first in FIRST:
        row[f"off_first_{first:g}"] = one.off(path(first, SHARP, 2).w)
    for per_decade in PER_DECADE:
        found = path(1000.0, SHARP, per_decade)
        row |= {f"off_per_{per_decade}": one.off(found.w), f"steps_per_{per_decade}": found.n_iter}
    for last in LAST:
        row[f"off_last_{last:g}"] = one.off(path(1000.0, last, 2).w)
    data = [image.data for image in (one.problem.template, one.problem.reference)]
    found = register(*data, domain=one.problem.domain)
    row["off_register"] = one.off(found.w)
    row["success_register"] = bool(found.success)
    row["starts_register"] = len(found.starts)
    return row


def predictions(problem: Problem) -> dict:
    """Measure what predictions save, and whether they find the map."""
    one, row = pair(problem), {}
    for count in COUNTS:
        thetas = np.geomspace(1000, SHARP, count).tolist()
        for name, predictor in PREDICTORS.items():
            found = predictor_corrector(one.problem, thetas, one.start, predictor=predictor)
            row |= {f"steps_{name}_{count}": found.n_iter, f"off_{name}_{count}": one.off(found.w)}
    return row


def digits(problem: Problem) -> dict:
    """Measure how many digits of a gradient finite differences give, with the best of 23 steps.

    At the identity and θ = 1, against the chain rule by hand; reverse mode stands beside.
    """
    one = pair(problem)
    task, w = one.problem, one.start

    def loss(w):
        return task.loss(w, 1.0)

    exact = second_order_model(task, w, 1.0).gradient
    errors: dict = {"one_sided": [], "central": [], "reverse": [torch.func.grad(loss)(w) - exact]}
    for step in np.geomspace(0.1, 1e-12, 23).tolist():
        up, down = (
            torch.stack([loss(w + sign * step * e) for e in torch.eye(len(w)).to(w)])
            for sign in (1, -1)
        )
        errors["one_sided"].append((up - loss(w)) / step - exact)
        errors["central"].append((up - down) / (2 * step) - exact)
    return {
        f"digits_{name}": -math.log10(
            max(min(float(one.norm()) for one in found) / float(exact.norm()), 1e-17)
        )
        for name, found in errors.items()
    }


def hessians(problem: Problem) -> dict:
    """Measure which matrices predict a step that lowers the loss, over 39 steps."""
    one = pair(problem)
    task, thetas = one.problem, np.geomspace(1000, 0.001, 40).tolist()
    path = predictor_corrector(task, thetas, one.start)
    row = {"off": one.off(path.w), "success": bool(path.success)}
    if len(path.steps) < 2:
        return row
    steps = compare_predictions(task, path)
    last = steps[-1].relative_spectrum
    spread = float(task.reference.data.var(correction=0)) * task.box_volume
    row |= {
        "steps": len(steps),
        "residual": math.sqrt(path.steps[-1].loss / spread),
        "lowest": float(last.min()),
        "highest": float(last.max()),
        "pace": float(np.abs(1 - last).max()),
    }
    for name in ("exact", "2JTJ", "JTJ", "printed sign"):
        word = name.replace(" ", "_")
        row[f"better_{word}"] = sum(step.loss_gain(name) > 0 for step in steps)
        row[f"published_{word}"] = sum(step.loss_gain(name, "before") > 0 for step in steps)
    before = path.steps[-2].w
    for name, corrector in (("newton", newton), ("lm", levenberg_marquardt)):
        row[f"{name}_steps"] = corrector(task, thetas[-1], before).n_iter
    return row


def ellipsoids(problem: Problem) -> dict:
    """Measure how often 95 % ellipsoids hold the minimiser that there is without noise.

    The noise lies on the reference alone. Where it is small, ŵ - w* = -H⁻¹ g, with the gradient g
    of the noise, whose covariance is 2 σ² v (2JᵀJ) for cells of volume v. So the covariance is
    2 σ² v H⁻¹ (2JᵀJ) H⁻¹, which is 2 σ² v (2JᵀJ)⁻¹ where H is 2JᵀJ. Both are taken at each ŵ,
    with σ² from its own residual, or given. Nothing is blurred, as that would smooth the noise.
    """
    one = pair(problem, 0.0)
    task, sigma = one.problem, 2.55 * problem.noise
    rest = newton(task, 0.0, one.true)
    limit = float(scipy.stats.chi2.ppf(0.95, task.transform.n_params))
    rng, volume = problem.rng("draws"), task.domain.cell_volume
    held = dict.fromkeys(("exact", "2JTJ", "exact_sandwich", "exact_known", "2JTJ_known"), 0)
    converged = 0
    for _ in range(DRAWS):
        noise = torch.from_numpy(sigma * rng.standard_normal(task.domain.m))
        noisy = SplineImage(task.reference.data + noise, task.domain)
        draw = RegistrationProblem(task.template, noisy, task.transform, surround=task.surround)
        found = newton(draw, 0.0, rest.w)
        if not found.success:
            continue
        converged += 1
        model = second_order_model(draw, found.w, 0.0)
        gap = found.w - rest.w
        H, G = model.hessian, model.gauss_newton
        assert H is not None
        own = float(found.loss) / (task.domain.cell_volume * (math.prod(task.domain.m) - 6))
        for name, square in (("", own), ("_known", sigma**2)):
            unit = 2 * square * volume
            held[f"2JTJ{name}"] += float(gap @ G @ gap) / unit <= limit
            held[f"exact{name}"] += float(gap @ H @ gap) / unit <= limit
        middle = H @ gap
        sandwich = float(middle @ torch.linalg.solve(G, middle)) / (2 * own * volume)
        held["exact_sandwich"] += sandwich <= limit
    spread = float(task.reference.data.var(correction=0)) * task.box_volume
    return {f"held_{name}": count for name, count in held.items()} | {
        "draws": converged,
        "residual": math.sqrt(rest.loss / spread),
        "off": one.off(rest.w),
    }
