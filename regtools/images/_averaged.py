"""Pictures with fewer, wider pixels."""

import torch


def averaged(data, m):
    """Average a picture over the cells of a coarser grid of the same box.

    Parameters
    ----------
    data : torch.Tensor
        Any floating-point dtype and number of axes.
    m : sequence of int
        New number of cells along each axis, at most the old one; it need not divide it.

    Returns
    -------
    torch.Tensor
        Shape `m`; each value is the mean over its cell, and the mean of the whole stays.
    """
    found = data.double()
    for axis, cells in enumerate(m):
        if cells == found.shape[axis]:
            continue
        # The integral up to a border between cells is linear between those of the old pixels.
        total = torch.cumsum(found, axis)
        total = torch.cat([torch.zeros_like(total.narrow(axis, 0, 1)), total], axis)
        ends = torch.arange(cells + 1, dtype=torch.float64, device=data.device)
        ends = ends * found.shape[axis] / cells
        below = ends.long().clamp(max=found.shape[axis] - 1)
        part = (ends - below).reshape([-1 if k == axis else 1 for k in range(data.ndim)])
        low, high = (total.index_select(axis, below + k) for k in (0, 1))
        integral = low + part * (high - low)
        found = integral.diff(dim=axis) * (cells / found.shape[axis])
    return found.to(data.dtype)
