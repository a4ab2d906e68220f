"""How fast is the spline image? Ratios against SciPy and against itself, one thread.

    python benchmarks/interpolation.py

Values, gradients, Hessians and a new theta on a slightly rotated grid, float64, on the
compiled path and on the torch path. SciPy's `map_coordinates(order=3, prefilter=False)`
evaluates the same spline from coefficients computed beforehand; so does our "values" row,
which repeats one theta. SciPy gets its coordinates in the memory layout it is fastest with.
"""

import itertools
import math
import os
import statistics
import subprocess
import sys
import tempfile

import scipy.ndimage
import torch
from _timing import ratio, side_by_side
from torch.func import vjp

from regtools.images import Domain, SplineImage, _taylor

ANGLE = 0.05  # radians: a row of points crosses many rows of the array
SIZES = (32, 64, 128, 256, 512, 1024)

FIRST_CALL = """
import time, torch
from regtools.images import Domain
from regtools.images import SplineImage
domain = Domain((0, 8, 0, 8), (8, 8))
image = SplineImage(torch.ones(8, 8, dtype=torch.float64), domain)
start = time.perf_counter()
for order in (0, 1, 2):
    image.taylor(domain.cell_centers(), order=order)
print(time.perf_counter() - start)
"""


def rotated_grid(domain):
    """Cell centres, turned about the middle of the box; shape (n, 2)."""
    turn = torch.tensor(
        [[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]],
        dtype=torch.float64,
    )
    centre = torch.tensor(domain.m, dtype=torch.float64) / 2
    return ((domain.cell_centers() - centre) @ turn.T + centre).contiguous()


def on_torch(function):
    """The same function on the torch path."""

    def evaluate():
        _taylor.COMPILED = False
        try:
            return function()
        finally:
            _taylor.COMPILED = True

    return evaluate


def measure(m):
    """Seconds side by side on an m x m image; the box is in pixel units."""
    domain = Domain((0, m, 0, m), (m, m))
    image = SplineImage(torch.randn(m, m, dtype=torch.float64), domain)
    points = rotated_grid(domain)
    coefficients = image.coefficients().numpy()
    u = points.T.numpy().copy() - 0.5
    ones = torch.ones(len(points), dtype=torch.float64)
    other, thetas = SplineImage(image.data, domain), itertools.count(1)  # `image` keeps theta = 0
    ours = {
        "values": lambda: image(points),
        "values, gradients": lambda: image.taylor(points, order=1),
        "values, gradients, Hessians": lambda: image.taylor(points, order=2),
        "all terms to order 3": lambda: image.taylor(points, order=3),
        "values, gradients by vjp": lambda: vjp(image, points)[1](ones),
    }
    functions = {
        "SciPy values": lambda: scipy.ndimage.map_coordinates(
            coefficients, u, order=3, prefilter=False
        ),
        **ours,
        **{f"torch: {name}": on_torch(function) for name, function in ours.items()},
        "coefficients of a new theta": lambda: other.coefficients(float(next(thetas))),
    }
    return side_by_side(functions, rounds=400 if m <= 64 else 15)


def first_call():
    """Seconds that the first calls of orders 0, 1 and 2 take in a new process."""
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "NUMBA_CACHE_DIR": empty}
        for state in ("nothing compiled", "compiled before"):
            command = [sys.executable, "-c", FIRST_CALL]
            run = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            yield state, float(run.stdout)


def main():
    torch.manual_seed(0)
    print("one thread, float64, a grid turned by 0.05 rad; nanoseconds per point")
    results = {m: measure(m) for m in SIZES}
    print(f"{'':34s}" + "".join(f"{m:>9d}²" for m in SIZES))
    for name in results[32]:
        cells = (1e9 * statistics.median(results[m][name]) / m**2 for m in results)
        print(f"{name:34s}" + "".join(f"{ns:10.0f}" for ns in cells))

    at = results[512]
    print("\nratios on 512², median over rounds")
    for name, other, limit in [
        ("values", "SciPy values", 0.5),
        ("values, gradients", "SciPy values", 0.5),
        ("values, gradients, Hessians", "SciPy values", 0.5),
        ("torch: values", "SciPy values", 2.5),
        ("torch: values, gradients", "torch: values", 3.0),
        ("torch: values, gradients by vjp", "torch: values", 3.0),
        ("coefficients of a new theta", "torch: values", 5.0),
    ]:
        print(f"{name:34s} / {other:13s} {ratio(at, name, other):5.2f}   (aim: at most {limit})")

    print("\nfirst calls of orders 0, 1 and 2 in a new process, seconds, Numba's import included")
    for state, seconds in first_call():
        print(f"{state:34s} {seconds:5.2f}")


if __name__ == "__main__":
    main()
