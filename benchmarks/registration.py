"""What does a registration cost, beside SimpleITK? Time, memory and error over the size.

    python benchmarks/registration.py [--write]     # SimpleITK: pip install 'regtools[peers]'

A pair is a scene of smooth blobs on black, evaluated exactly at the pixels of the template and,
moved by a known affine map, at those of the reference: nobody's interpolation made it. SimpleITK
runs as its own notebooks advise: mean squares, three levels, linear interpolation, scales from
physical shifts, here with all pixels and a step that goes down to 1e-4. Seconds are those of the
CPU, on one thread: medians of calls in turn, after one of each that is not counted. The error is
the mean distance from the true map in pixels.
"""

import argparse
import itertools
import math
import statistics
import time
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from _costs import BOOK, machine, rounded, write
from _timing import ratio, side_by_side

from regtools import register
from regtools.images import Domain, SplineImage
from regtools.registration import Affine, RegistrationProblem, second_order_model

try:
    import SimpleITK as sitk
except ImportError:
    sitk = None

EVALUATED = [(n, n) for n in (32, 64, 128, 256, 512, 1024, 2048)]
EVALUATED += [(n, n, n) for n in (16, 32, 64, 96, 128)]
REGISTERED = [(n, n) for n in (64, 256, 512, 1024)] + [(n, n, n) for n in (32, 64, 128)]


def scene(points, seed=0, n_blobs=80):
    """Grey values of a scene on [0, 1]^d at points, in blocks."""
    draw, dim = np.random.default_rng(seed), points.shape[1]
    centres = torch.from_numpy(draw.uniform(0.3, 0.7, (n_blobs, dim))).to(points)
    widths, heights = draw.uniform(0.02, 0.04, n_blobs), draw.uniform(20, 100, n_blobs)
    values = torch.zeros_like(points[:, 0])
    per_block = 2**15 if points.device.type == "cpu" else 2**22
    for part, total in zip(points.split(per_block), values.split(per_block), strict=True):
        for centre, width, height in zip(centres, widths, heights, strict=True):
            square = (part - centre).square().sum(dim=1)
            total += height * torch.exp(-square / (2 * width**2))
    return values


def pair_of(m, device="cpu"):
    """The two pictures and the map from points of the reference to the template, in pixels."""
    dim = len(m)
    draw = np.random.default_rng(1)
    turn = np.eye(dim) + draw.uniform(-0.08, 0.08, (dim, dim))
    shift = draw.uniform(-0.03, 0.03, dim)
    x = Domain([end for _ in m for end in (0.0, 1.0)], m).cell_centers(torch.float64, device)
    turned, moved = (torch.from_numpy(one).to(x) for one in (turn, shift))
    reference = scene((x - 0.5) @ turned.T + 0.5 + moved)
    sides = np.array(m, dtype=float)
    A = turn * sides[:, None] / sides
    b = sides * (0.5 + shift) - A @ (sides / 2)
    return scene(x).reshape(m), reference.reshape(m), A, b


def off(A, b, truth, m):
    """Mean distance of two maps over the pixels of the reference."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (4000, len(m))) * m
    gap = x @ (A - truth[0]).T + b - truth[1]
    return float(np.linalg.norm(gap, axis=1).mean())


def by_regtools(template, reference):
    found = register(template, reference, distance="ssd", surround="zero", start="identity")
    w, d = found.w.numpy(), template.ndim
    return w[: d * d].reshape(d, d), w[d * d :]


def by_simpleitk(template, reference):
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    moving, fixed = (sitk.GetImageFromArray(one.numpy().T.copy()) for one in (template, reference))
    dim = template.ndim
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(dim), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 500)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    composed = sitk.AffineTransform(start)
    A = np.array(composed.GetMatrix()).reshape(dim, dim)
    centre, move = np.array(composed.GetCenter()), np.array(composed.GetTranslation())
    # y = A (x − c) + c + t between pixel indices; a pixel's centre is half a pixel further here.
    b = move + centre - A @ centre
    half = np.full(dim, 0.5)
    return A, b + half - A @ half


def peak_beyond(function):
    """Bytes by which the process grows at most while a function runs; NaN where Linux is not."""
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        forget.write_text("5")  # the high-water mark starts anew
        before = _field(status, "VmRSS")
        function()
        return 1024 * max(0, _field(status, "VmHWM") - before)
    except OSError:
        return math.nan


def _field(status, name):
    return int(status.read_text().split(f"{name}:")[1].split()[0])


def evaluation(m):
    """A Newton evaluation and new coefficients, beside the kernel for values and derivatives."""
    template, reference, A, b = pair_of(m)
    domain = Domain([end for n in m for end in (0.0, float(n))], m)
    images = [SplineImage(one, domain) for one in (template, reference)]
    problem = RegistrationProblem(*images, Affine(len(m)))
    w = torch.from_numpy(np.concatenate([A.ravel(), b]))
    second_order_model(problem, w, 1.0)
    peak = peak_beyond(lambda: second_order_model(problem, w, 1.0))
    points = problem.moved_points(w)
    thetas = itertools.cycle([1.0, 2.0])
    functions = {
        "evaluation": lambda: second_order_model(problem, w, 1.0),
        "kernel": lambda: images[0].taylor(points, 1.0, 2),
        "coefficients": lambda: images[1].coefficients(next(thetas)),
    }
    times = side_by_side(functions, rounds=9)
    found = {name: rounded(statistics.median(spent)) for name, spent in times.items()}
    found["over_kernel"] = rounded(ratio(times, "evaluation", "kernel"))
    found["megabytes"] = rounded(peak / 1e6)
    torch.set_num_threads(2)
    two = side_by_side({"two": functions["evaluation"]}, rounds=9)["two"]
    torch.set_num_threads(1)
    found["two_threads"] = rounded(found["evaluation"] / statistics.median(two))
    return found


def registration(m):
    """Both packages on one pair."""
    template, reference, *truth = pair_of(m)
    found, ways = {}, {"regtools": by_regtools}
    if sitk is not None:
        ways["simpleitk"] = by_simpleitk

    def call(name):
        found[name] = ways[name](template, reference)

    calls = {name: partial(call, name) for name in ways}
    spent = side_by_side(calls, rounds=9, budget_s=3.0, clock=time.process_time)
    result = {
        "seconds": rounded(statistics.median(spent["regtools"])),
        "error": rounded(off(*found["regtools"], truth, m)),
    }
    if sitk is not None:
        result["simpleitk_seconds"] = rounded(statistics.median(spent["simpleitk"]))
        result["simpleitk_error"] = rounded(off(*found["simpleitk"], truth, m))
        result["ratio"] = rounded(ratio(spent, "regtools", "simpleitk"))
    return result


def draw(measured, path):
    """Draw seconds over pixels, with lines of slope one."""
    from regtools.explorers import use_style  # only here: a machine with a GPU may lack anywidget

    use_style()
    fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.5, 3.2))
    for ax, dim in zip(axes, (2, 3), strict=True):
        sizes = {
            math.prod(map(int, name.split("x"))): one
            for name, one in measured["evaluations"].items()
            if len(name.split("x")) == dim
        }
        n = np.array(list(sizes))
        for key, style in [("evaluation", "o-"), ("kernel", "s--"), ("coefficients", "^:")]:
            ax.loglog(n, [one[key] for one in sizes.values()], style, ms=4, label=key)
        line = sizes[n[-1]]["evaluation"] / n[-1]
        ax.loglog(n, line * n, color="0.7", lw=1, label="n")
        growth = n * np.log(n)
        ax.loglog(
            n, line * n[-1] * growth / growth[-1], color="0.7", ls=(0, (1, 2)), label="n log n"
        )
        ax.set(xlabel=f"pixels, {dim} axes", title=f"{dim}D")
    axes[0].set_ylabel("seconds, one thread")
    axes[0].legend()
    fig.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write book/costs.json and its figure")
    parser.add_argument("--largest", type=int, default=2**22, help="pixels of the largest pair")
    options = parser.parse_args()
    for d in (2, 3):
        one = torch.from_numpy(np.random.default_rng(0).random((16,) * d))
        by_regtools(one, one)
    measured = {"machine": machine(), "evaluations": {}, "registrations": {}}
    print(
        "Newton evaluation           ms  over the kernel  two threads  memory MB  coefficients ms"
    )
    for m in EVALUATED:
        if math.prod(m) <= options.largest:
            one = measured["evaluations"][named(m)] = evaluation(m)
            print(
                f"  {named(m):20s} {1e3 * one['evaluation']:8.3g} {one['over_kernel']:12.2g}"
                f" {one['two_threads']:14.2g} {one['megabytes']:10.2g}"
                f" {1e3 * one['coefficients']:12.3g}"
            )
    print("\nregistration            seconds, error in pixels   SimpleITK            ratio")
    for m in REGISTERED:
        if math.prod(m) <= options.largest:
            one = measured["registrations"][named(m)] = registration(m)
            print(f"  {named(m):20s} {one['seconds']:8.3g} {one['error']:10.2g}", end="      ")
            if sitk is None:
                print("  not installed")
                continue
            print(f"{one['simpleitk_seconds']:8.3g} {one['simpleitk_error']:10.2g}", end="")
            print(f" {one['ratio']:9.2g}")
    if options.write:
        write(measured)
        draw(measured, BOOK / "_static" / "costs.png")


def named(m):
    return "x".join(map(str, m))


if __name__ == "__main__":
    main()
