"""What do derivatives of a registration loss cost? Against a textbook baseline, and against J.

    python benchmarks/derivatives.py

The baseline is what one writes first: coefficients by dense solves at every evaluation, a sum
of 16 gathers, and `torch.func` applied to the whole loss. Both sides compute the same numbers
(checked). One thread, float64, ratios of interleaved rounds in one run, five calls in a row.
"""

import ctypes
import statistics
import time

import numpy as np
import psutil
import torch
from _timing import ratio, side_by_side
from torch.func import grad, hessian, jacfwd

import regtools
from regtools import predictor_corrector
from regtools.images import SplineImage
from regtools.registration import Affine, NeuralODE, RegistrationProblem, second_order_model

THETA = 1.0
TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
TRANSFORMS = [  # parameters, map, rounds of measurement
    (6, lambda domain: Affine(2), 60),
    (50, lambda domain: NeuralODE(2, domain=domain), 15),
]
PAPER = {6: (2.5, 5.7, 11), 50: (2.7, 24, 17)}  # Table 1: gradient, Hessian, Jacobian


class Textbook:
    """Residual and loss as in a first implementation; nothing is kept between evaluations."""

    def __init__(self, problem):
        self.problem, self.domain = problem, problem.domain
        self.axes = []
        for m in self.domain.m:
            eye = [torch.diag(torch.ones(m - abs(k)).double(), k) for k in range(-3, 4)]
            basis = 4 * eye[3] + eye[2] + eye[4]
            moments = 96 * eye[3] - 54 * (eye[2] + eye[4]) + 6 * (eye[0] + eye[6])
            self.axes.append((basis, moments))

    def coefficients(self, data, theta):
        for axis, (basis, moments) in enumerate(self.axes):
            lines = (basis.T @ data.movedim(axis, 0)).contiguous()
            solved = torch.linalg.solve(basis.T @ basis + theta * moments, lines)
            data = solved.movedim(0, axis)
        return data

    def evaluate(self, data, points, theta):
        c, (m0, m1) = self.coefficients(data, theta), self.domain.m
        lower, h = points.new_tensor(self.domain.lower), points.new_tensor(self.domain.h)
        u = (points - lower) / h - 0.5
        cell = u.detach().floor()
        t, cell = u - cell, cell.long()
        weights = [(1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]
        total = torch.zeros(len(points), dtype=points.dtype)
        for a in range(4):
            for b in range(4):
                i, j = cell[:, 0] + a - 1, cell[:, 1] + b - 1
                inside = (i >= 0) & (i < m0) & (j >= 0) & (j < m1)
                entry = c[i.clamp(0, m0 - 1), j.clamp(0, m1 - 1)]
                total = (
                    total + torch.where(inside, entry, 0.0) * weights[a][:, 0] * weights[b][:, 1]
                )
        return total

    def forward(self, w):
        y = self.problem.transform(w, self.problem.points)
        return self.evaluate(self.problem.template.data, y, THETA)

    def residual(self, w):
        reference = self.evaluate(self.problem.reference.data, self.problem.points, THETA)
        return self.problem.weight * (self.forward(w) - reference)

    def loss(self, w):
        return self.residual(w).square().sum()


def pair_problem(m, transform_of, name="hands-phantom"):
    pair = regtools.load(name, m)
    images = [SplineImage(data, pair.domain) for data in (pair.template, pair.reference)]
    return RegistrationProblem(*images, transform_of(pair.domain))


def measure(transform_of, rounds, name="hands-phantom"):
    problem = pair_problem(32, transform_of, name)
    book = Textbook(problem)
    w = problem.transform.identity()
    w = w + 0.02 * torch.randn(len(w), dtype=w.dtype, generator=torch.Generator().manual_seed(0))
    model = second_order_model(problem, w, THETA)
    for ours, theirs in [
        (model.loss, book.loss(w)),
        (model.gradient, grad(book.loss)(w)),
        (model.hessian, hessian(book.loss)(w)),
        (model.jacobian, jacfwd(book.residual)(w)),
    ]:
        assert (ours - theirs).norm() <= 1e-9 * theirs.norm()
    functions = {
        "loss": lambda: problem.loss(w, THETA),
        "gradient": lambda: regtools.gradient(problem, w, THETA),
        "Newton": lambda: second_order_model(problem, w, THETA),
        "forward": lambda: problem.template(problem.transform(w, problem.points), THETA),
        "Jacobian": lambda: regtools.jacobian(problem, w, THETA),
        "textbook loss": lambda: book.loss(w),
        "textbook gradient": lambda: grad(book.loss)(w),
        "textbook Newton": lambda: (book.loss(w), grad(book.loss)(w), hessian(book.loss)(w)),
        "textbook Hessian": lambda: hessian(book.loss)(w),
        "textbook forward": lambda: book.forward(w),
        "textbook Jacobian": lambda: jacfwd(book.residual)(w),
    }
    return side_by_side(functions, rounds=rounds, in_a_row=5)


def main():
    aims = {
        6: [("gradient", "textbook gradient", 15), ("Newton", "textbook Newton", 150)],
        50: [("Newton", "textbook Hessian", 3), ("Jacobian", "textbook Jacobian", 3)],
    }
    most = {6: (2.5, 4, 5), 50: (None, None, None)}
    for p, transform_of, rounds in TRANSFORMS:
        seconds = measure(transform_of, rounds)
        print(f"\n{p} parameters, 32 × 32, milliseconds (median):")
        for name in ("loss", "gradient", "Newton", "forward", "Jacobian"):
            old = f"textbook {name}"
            print(
                f"  {name:9s} {1e3 * statistics.median(seconds[name]):8.3f}"
                f"   textbook {1e3 * statistics.median(seconds[old]):8.3f}"
            )
        print("  times faster than the textbook baseline:")
        for ours, theirs, aim in aims[p]:
            print(f"    {ours:9s} {ratio(seconds, theirs, ours):6.1f}   (aim: at least {aim})")
        print("  factors over loss, loss, forward (ours; paper's Table 1; aim at most):")
        for (name, base), paper, limit in zip(
            [("gradient", "loss"), ("Newton", "loss"), ("Jacobian", "forward")],
            PAPER[p],
            most[p],
            strict=True,
        ):
            note = "" if limit is None else f"   {limit}"
            print(f"    {name:9s} {ratio(seconds, name, base):6.2f}   {paper}{note}")

    print("\nwhole path, 40 scales, exact Hessians, 6 parameters:")
    for m in (32, 64, 128, 256, 512):
        print(f"  {m:3d}²  " + follow(m))


def follow(m):
    """Time one path and watch the memory of the process along it."""
    problem = pair_problem(m, lambda domain: Affine(2))
    memory = []

    def watch(step):
        if TRIM is not None:
            TRIM(0)  # count what is in use, not what the allocator keeps for later
        memory.append(psutil.Process().memory_info().rss / 2**20)

    start = time.perf_counter()
    w0 = problem.transform.identity()
    path = predictor_corrector(problem, np.logspace(3, -3, 40), w0, callback=watch)
    spent = time.perf_counter() - start
    evaluations = sum(step.result.n_evaluations for step in path.steps)
    each = 1e9 * spent / evaluations / m**2
    return (
        f"{spent:7.2f} s  {each:6.0f} ns per pixel and evaluation; memory in use, MB, after scale "
        f"10, 25, 40: {memory[9]:.0f}, {memory[24]:.0f}, {memory[39]:.0f}; {path.status.value}"
    )


if __name__ == "__main__":
    main()
