"""How fast is the spline image? Ratios against SciPy and against itself, one thread.

    python benchmarks/interpolation.py

Values, values with gradients and a new theta on a slightly rotated grid, float64. SciPy's
`map_coordinates(order=3, prefilter=False)` evaluates the same spline from coefficients
computed beforehand; so does our "values" row, which repeats one theta.
"""

import itertools
import math
import statistics

import scipy.ndimage
import torch
from timing import ratio, side_by_side
from torch.func import vjp

from regtools.domain import Domain
from regtools.interpolation import SplineImage

ANGLE = 0.05  # radians; enough that no stencil row is read in storage order


def rotated_grid(domain):
    """Cell centres, turned about the middle of the box; shape (n, 2)."""
    turn = torch.tensor(
        [[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]],
        dtype=torch.float64,
    )
    centre = torch.tensor(domain.m, dtype=torch.float64) / 2
    return ((domain.cell_centers() - centre) @ turn.T + centre).contiguous()


def measure(m):
    """Seconds side by side on an m x m image; the box is in pixel units."""
    domain = Domain((0, m, 0, m), (m, m))
    image = SplineImage(torch.randn(m, m, dtype=torch.float64), domain)
    points = rotated_grid(domain)
    coefficients = image.coefficients().numpy()
    u = points.T.numpy().copy() - 0.5
    ones = torch.ones(len(points), dtype=torch.float64)
    thetas = itertools.count(1)
    functions = {
        "SciPy values": lambda: scipy.ndimage.map_coordinates(
            coefficients, u, order=3, prefilter=False
        ),
        "values": lambda: image(points),
        "values and gradients (taylor)": lambda: image.taylor(points, order=1),
        "values and gradients (vjp)": lambda: vjp(image, points)[1](ones),
        "all terms to order 3": lambda: image.taylor(points, order=3),
        "coefficients of a new theta": lambda: image.coefficients(float(next(thetas))),
    }
    return side_by_side(functions, rounds=400 if m <= 64 else 15)


def main():
    torch.manual_seed(0)
    print("one thread, float64, a grid turned by 0.05 rad; nanoseconds per point")
    results = {}
    for m in (32, 64, 128, 256, 512, 1024):
        results[m] = measure(m)
        if m == 32:
            print(f"{'':30s}" + "".join(f"{k:>9d}²" for k in (32, 64, 128, 256, 512, 1024)))
    for name in results[32]:
        cells = (1e9 * statistics.median(results[m][name]) / m**2 for m in results)
        print(f"{name:30s}" + "".join(f"{ns:10.0f}" for ns in cells))

    at = results[512]
    print("\nratios on 512², median over rounds")
    for name, other, limit in [
        ("values", "SciPy values", 2.5),
        ("values and gradients (taylor)", "values", 3.0),
        ("values and gradients (vjp)", "values", 3.0),
        ("coefficients of a new theta", "values", 5.0),
    ]:
        print(f"{name:30s} / {other:13s} {ratio(at, name, other):5.2f}   (aim: at most {limit})")


if __name__ == "__main__":
    main()
