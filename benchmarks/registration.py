"""What does a registration cost, beside SimpleITK? Time, memory and error over the size.

    python benchmarks/registration.py            # with SimpleITK: pip install 'regtools[bench]'

A pair is a scene of smooth blobs on black, evaluated exactly at the pixels of the template and,
moved by a known affine map, at those of the reference: nobody's interpolation made it. SimpleITK
runs as its own notebooks advise: mean squares, three levels, linear interpolation, scales from
physical shifts, here with all pixels and a step that goes down to 1e-4. Seconds are those of the
CPU, on one thread, of one run; the error is the mean distance from the true map in pixels.
"""

import argparse
import time
import tracemalloc

import numpy as np
import torch
from _timing import ratio, side_by_side

from regtools import register
from regtools.images import Domain, SplineImage
from regtools.registration import Affine, RegistrationProblem, second_order_model

try:
    import SimpleITK as sitk
except ImportError:
    sitk = None

SIZES = [(64, 64), (256, 256), (512, 512), (1024, 1024), (32,) * 3, (64,) * 3, (128,) * 3]
LARGEST = 2**20 if sitk is None else 2**21


def scene(points, seed=0, n_blobs=80):
    """Grey values of a scene on [0, 1]^d at points, in blocks."""
    draw, dim = np.random.default_rng(seed), points.shape[1]
    centres = draw.uniform(0.3, 0.7, (n_blobs, dim))
    widths, heights = draw.uniform(0.02, 0.04, n_blobs), draw.uniform(20, 100, n_blobs)
    values = np.empty(len(points))
    for part in np.array_split(np.arange(len(points)), max(1, len(points) // 2**15)):
        total = np.zeros(len(part))
        for centre, width, height in zip(centres, widths, heights, strict=True):
            square = np.square(points[part] - centre).sum(axis=1)
            total += height * np.exp(-square / (2 * width**2))
        values[part] = total
    return values


def pair_of(m):
    """The two pictures and the map from points of the reference to the template, in pixels."""
    dim = len(m)
    draw = np.random.default_rng(1)
    turn = np.eye(dim) + draw.uniform(-0.08, 0.08, (dim, dim))
    shift = draw.uniform(-0.03, 0.03, dim)
    x = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in m), indexing="ij"), -1)
    x = x.reshape(-1, dim) / m
    reference = scene((x - 0.5) @ turn.T + 0.5 + shift)
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
    found = register(
        torch.from_numpy(template), torch.from_numpy(reference), surround="zero", start="identity"
    )
    w, d = found.w.numpy(), template.ndim
    return w[: d * d].reshape(d, d), w[d * d :]


def by_simpleitk(template, reference):
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    moving, fixed = (sitk.GetImageFromArray(one.T.copy()) for one in (template, reference))
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


def seconds(function, *arguments):
    start = time.process_time()
    result = function(*arguments)
    return time.process_time() - start, result


def evaluation(m):
    """Newton evaluation over the kernel's own time, and memory beyond images and coefficients."""
    template, reference, A, b = pair_of(m)
    domain = Domain([end for n in m for end in (0.0, float(n))], m)
    images = [SplineImage(torch.from_numpy(one), domain) for one in (template, reference)]
    problem = RegistrationProblem(*images, Affine(len(m)))
    w = torch.from_numpy(np.concatenate([A.ravel(), b]))
    second_order_model(problem, w, 1.0)
    tracemalloc.start()
    second_order_model(problem, w, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    points = problem.moved_points(w)
    times = side_by_side(
        {
            "model": lambda: second_order_model(problem, w, 1.0),
            "kernel": lambda: problem.template.taylor(points, 1.0, 2),
        },
        rounds=7,
    )
    return ratio(times, "model", "kernel"), min(times["model"]), peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--largest", type=int, default=LARGEST, help="pixels of the largest pair")
    largest = parser.parse_args().largest
    sizes = [m for m in SIZES if np.prod(m) <= largest]
    warm = [np.random.default_rng(0).random((16,) * d) for d in (2, 3)]
    for one in warm:
        register(torch.from_numpy(one), torch.from_numpy(one), surround="zero", start="identity")
    print("Newton evaluation, affine:  over the kernel    ms   ns per pixel   memory, MB")
    for m in [(32, 32), *sizes]:
        over, each, peak = evaluation(m)
        size = " × ".join(map(str, m))
        print(
            f"  {size:22s} {over:14.2f} {1e3 * each:8.2f} {1e9 * each / np.prod(m):9.0f}"
            f" {peak / 1e6:14.1f}"
        )
    print("\nregistration             regtools: s    error    SimpleITK: s    error    ratio")
    for m in sizes:
        template, reference, *truth = pair_of(m)
        spent, found = seconds(by_regtools, template, reference)
        size = " × ".join(map(str, m))
        print(f"  {size:22s} {spent:10.2f} {off(*found, truth, m):10.4f}", end="", flush=True)
        if sitk is None:
            print("    not installed")
            continue
        other, found = seconds(by_simpleitk, template, reference)
        print(f" {other:12.2f} {off(*found, truth, m):10.4f} {spent / other:9.2f}")


if __name__ == "__main__":
    main()
