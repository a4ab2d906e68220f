"""Whether the kernels of `_triton`, `_triton_bands` and `_triton_sums` can be used on a device."""

import warnings
from functools import cache

import numpy as np
import torch


@cache
def works(device: torch.device) -> bool:
    """Say whether a device is a GPU on which the kernels are there, compile, and are right.

    Tried once, on a picture of 5 × 6 pixels against the kernels of the CPU.
    """
    if device.type != "cuda":
        return False
    try:
        gap = worst_gap(device)
    except ImportError:  # no Triton; plain PyTorch is the way then
        return False
    except Exception as error:  # whatever a compiler or a driver may raise
        gap = f"{type(error).__name__}: {error}"
    else:
        if gap < 1e-10:
            return True
    warnings.warn(
        f"the fused kernels do not work on {device} ({gap}); plain PyTorch, slower, is used",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def worst_gap(device: torch.device) -> float:
    """Return how far the kernels of a device are from those of the CPU, relative to the size."""
    from . import _bands, _compiled, _sums, _triton, _triton_bands
    from .domain import Domain

    m, cpu = (5, 6), torch.device("cpu")
    domain = Domain((0.0, 5.0, 0.0, 6.0), m)
    draw = torch.Generator(cpu).manual_seed(0)
    data = torch.rand((4, *m), generator=draw, dtype=torch.float64, device=cpu)
    points = 1.2 * domain.cell_centers(torch.float64, cpu) - 0.4
    affine = np.array([[2.4, 0.3, 2.1], [-0.2, 2.9, 2.6]])  # to pixels

    def found(place, local_taylor, by_blocks, bands, picture):
        coefficients, mask, reference, seen = data.to(place)
        terms = local_taylor(coefficients, points.to(place), domain, 2).values()
        sums = by_blocks(m, coefficients, 0, reference, affine, 2, seen, mask, 2.0).sum(axis=1)
        solved = bands.coefficients(picture, True, 3.0)
        solved = solved.cpu() if torch.is_tensor(solved) else torch.from_numpy(solved)
        return [*(term.cpu() for term in terms), *torch.from_numpy(sums), solved]

    known = found(cpu, _compiled.local_taylor, _sums._on_cpu, _bands, data[0].numpy())
    tried = found(device, _triton.local_taylor, _sums._on_gpu, _triton_bands, data[0].to(device))
    gaps = [(a - b).abs().max() / b.abs().max() for a, b in zip(tried, known, strict=True)]
    return float(torch.stack(gaps).max())
