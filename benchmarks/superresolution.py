"""What does super-resolution cost? Jacobians against the objective, memory, growth with size.

    python benchmarks/superresolution.py [--write]

Runs on the paper's image where REGTOOLS_DATA names its folder, else on the drawn hand. Ratios come
from interleaved rounds in one run; each memory figure is the peak of a whole process of its own,
Python and torch included. One thread, float64. With --write the table of sizes, on the drawn hand,
goes into book/costs.json.
"""

import copy
import itertools
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from _costs import rounded, write
from _timing import ratio, side_by_side
from derivatives import TRIM

import regtools
from regtools.superresolution import (
    RULES,
    Projection,
    varpro,
)

NAME = "hands" if os.environ.get("REGTOOLS_DATA") else "hands-phantom"
SIZES = [(20, 2, 4), (32, 4, 16), (64, 4, 16), (128, 4, 16), (256, 4, 16), (512, 4, 16)]
"""Pixels along an axis, factor, frames."""
DIRECT = 128  # largest size for the direct solver


def make(name, m, factor, n_frames):
    """The paper's test problem, or a larger one of its kind, with a start over scales."""
    known = regtools.simulated_problem(name, m, factor=factor, seeds=range(2, 1 + n_frames))
    return known.problem, known.w0, known.image


def peak():
    """Largest resident size of this process so far, MB.

    Where there is /proc, it is read from there: elsewhere a child process starts with the peak of
    its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident():
    """Resident size now, MB, without what the allocator keeps for later."""
    if TRIM is not None:
        TRIM(0)
    return psutil.Process().memory_info().rss / 2**20


def run(name, m=20, factor=2, n_frames=4, repeats=1, **options):
    """Run `varpro` in this process; print what it took as JSON."""
    problem, w0, image = make(name, m, factor, n_frames)
    tol = options.get("tol_cg", 1e-8)
    projections, memory = [], []
    if options.get("n_iter_cg") is None:
        for _ in range(3):
            begin = time.perf_counter()
            problem.solve(problem.operator(w0), n_iter=None, tol=tol)
            projections.append(time.perf_counter() - begin)
    marks = [time.perf_counter()]

    def watch(state):
        marks.append(time.perf_counter())
        memory.append(resident())

    for _ in range(repeats):
        result = varpro(problem, w0, callback=watch, gtol=1e-14, **options)
    steps = [b - a for a, b in itertools.pairwise(marks)]
    json.dump(
        {
            "seconds": marks[-1] - marks[0],
            "step": statistics.median(steps),
            "projection": statistics.median(projections) if projections else None,
            "n_steps": len(steps),
            "iterations": result.n_iter_cg,
            "peak": peak(),
            "memory": [memory[min(4, len(memory) - 1)], memory[-1]],
            "error": regtools.relative_error(result.image, image),
            "status": result.status.value,
        },
        sys.stdout,
    )


def in_process(name=NAME, **options):
    """Call `run` in a process of its own."""
    command = [sys.executable, __file__, json.dumps({"name": name, **options})]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def jacobian_ratios(name=NAME):
    """Time one Jacobian by each rule against one evaluation of the objective, 200 iterations."""
    problem, w0, _ = make(name, 20, 2, 4)

    def objective():
        operator = problem.operator(w0)
        image = Projection(problem, "none", n_iter=200).project(operator).image
        return (operator(image) - problem.target).square().sum()

    functions = {"objective": objective}
    for rule in RULES:
        projection, operator = Projection(problem, rule, n_iter=200), problem.operator(w0)
        projected = projection.project(operator)

        def jacobian(projection=projection, operator=operator, projected=projected):
            fresh = copy.copy(operator)  # each Jacobian builds its own tangents
            return projection.linearize(fresh, projected)[1]

        functions[rule] = jacobian
    seconds = side_by_side(functions, rounds=30)
    return {rule: ratio(seconds, rule, "objective") for rule in RULES}


def main(into_book):
    torch.set_num_threads(1)
    print(f"image: {NAME}")
    print("\n20 × 20, 18 parameters, 200 CG iterations: one Jacobian / one objective evaluation")
    most = {"none": 3, "kaufman": 3, "implicit": 3, "unrolled": 6}
    for rule, factor in jacobian_ratios().items():
        print(f"  {rule:9s} {factor:5.2f}   (at most {most[rule]}; paper: 6 to 10)")

    print("\n20 × 20, ten steps, exact projections: the whole process")
    for rule in RULES:
        one = in_process(derivative=rule, max_iter=10)
        print(
            f"  {rule:9s} {one['seconds']:5.1f} s, peak {one['peak']:4.0f} MB, "
            f"relative error {100 * one['error']:.1f} %"
        )

    print("\n20 × 20, memory in use, MB, after step 5 and at the end")
    for label, options in [
        ("100 steps, none", {"derivative": "none", "max_iter": 100}),
        ("ten times 10 steps, unrolled", {"derivative": "unrolled", "max_iter": 10, "repeats": 10}),
    ]:
        one = in_process(**options)
        print(
            f"  {label:30s} {one['memory'][0]:.1f}, {one['memory'][1]:.1f} ({one['n_steps']} steps)"
        )
    print("20 × 20, 5 steps unrolled, peak of the process over the number of CG iterations")
    for count in (25, 100, 400, 1600):
        one = in_process(derivative="unrolled", max_iter=5, n_iter_cg=count)
        print(f"  {count:5d} {one['peak']:6.0f} MB")

    measured = sizes(NAME)
    if into_book and NAME == "hands-phantom":
        write({"superresolution": measured})


def sizes(name):
    """Print and return what ten steps by Kaufman's rule and one solve take at each size."""
    print("\nup to ten steps by Kaufman's rule and one solve, tolerance 1e-6; the whole process")
    print("  size   frames   solver    seconds   steps   CG iterations      peak   relative error")
    measured = {}
    for m, factor, n_frames in SIZES:
        for solver in ("cg", "direct") if m <= DIRECT else ("cg",):
            how = {"derivative": "kaufman", "one_solve": True, "max_iter": 10, "tol_cg": 1e-6}
            how |= {"m": m, "factor": factor, "n_frames": n_frames, "solver": solver}
            in_process(name, **how | {"max_iter": 1})  # compiles
            one = in_process(name, **how)
            print(
                f"  {m:3d}² {n_frames:6d}     {solver:7s} {one['seconds']:9.2f} "
                f"{one['n_steps']:7d} {one['iterations']:13d} {one['peak']:12.0f} MB "
                f"{100 * one['error']:10.1f} %"
            )
            measured[f"{m}-{solver}"] = {
                "seconds": rounded(one["seconds"]),
                "steps": one["n_steps"],
                "iterations": one["iterations"],
                "megabytes": rounded(one["peak"]),
            }
    return measured


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["--write"]):
        main(bool(sys.argv[1:]))
    else:
        torch.set_num_threads(1)
        run(**json.loads(sys.argv[1]))
