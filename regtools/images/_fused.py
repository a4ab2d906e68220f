"""Whether the kernels of `_triton` and `_triton_sums` can be used on a device."""

import warnings
from functools import cache

import torch


@cache
def works(device: torch.device) -> bool:
    """Say whether a device is a GPU on which the kernels are there, compile, and are right.

    Tried once, on a picture of 5 × 6 pixels against the same sums in plain PyTorch.
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
    """Return the largest gap between the kernels and plain PyTorch, relative to the size."""
    from . import _taylor, _triton, _triton_sums
    from .domain import Domain

    m = (5, 6)
    domain = Domain((0.0, 5.0, 0.0, 6.0), m)
    draw = torch.Generator().manual_seed(0)
    data = torch.rand((3, 30), generator=draw, dtype=torch.float64).to(device)
    coefficients, reference, seen = data[0].reshape(m), data[1], data[2]
    affine = torch.tensor([[2.4, 0.3, 2.1], [-0.2, 2.9, 2.6]], dtype=torch.float64)  # to pixels
    x = 2 * domain.cell_centers().to(device) / torch.tensor(m, device=device) - 1
    points = x @ affine[:, :2].T.to(device) + affine[:, 2].to(device) + 0.5
    ours = _triton.local_taylor(coefficients, points, domain, 2)
    known = _taylor.by_torch(coefficients, points, domain, 2)
    gaps = [float((ours[a] - known[a]).abs().max() / known[a].abs().max()) for a in known]
    sums = _triton_sums.sums_of_squares(
        m, coefficients, reference, affine.numpy(), 2, seen, None, 2.0
    )
    plain = _triton_sums.sums_of_squares(
        m, coefficients, reference, affine.numpy(), 2, None, None, 2.0
    )
    loss = (known[0, 0] - reference).square().sum()
    slope = (2 * (known[0, 0] - reference) * known[1, 0]).sum()
    gaps += [float((plain[0, :, k].sum() - one).abs() / loss) for k, one in ((0, loss), (3, slope))]
    gaps.append(0.0 if bool(sums.isfinite().all()) else float("inf"))
    return max(gaps)
