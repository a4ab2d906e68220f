"""Sums of squares of the difference of two images under an affine map, with their derivatives."""

import math
from itertools import combinations_with_replacement

import numpy as np

from . import _fused, _taylor, _tracing

_BLOCK = 2**12  # cells of a block, in whole lines
_PER_THREAD = 2**16  # cells


def sums_of_squares(
    m, coefficients, beyond, reference, affine, order, seen=None, mask=None, fade=1.0
):
    r"""Sum :math:`q^2` over the cells of a box, and its derivatives in an affine map.

    The cells stream by, no row of a Jacobian is kept: the derivatives are moments of those of
    :math:`q^2` against (ξ, 1), where ξ runs from −1 to 1 along each axis of the box. The template
    is looked at in :math:`u = \mathsf A (\xi, 1)`, counted in its own pixels. Without `seen` it is
    :math:`q = \mathcal T(u) - \mathcal R`; with it, :math:`q = v\,(\mathcal T - \mathcal R)`, and
    the sums of :math:`v^2` are returned too. Blocks of cells are summed in a fixed order, so the
    result does not depend on the number of threads.

    Parameters
    ----------
    m : tuple of int
        Cells of the box.
    coefficients : torch.Tensor
        Those of the template, of an image that `streams`, as `lattice_coefficients` gives them.
    beyond : int
        How many of them lie on either side of the template's box.
    reference : torch.Tensor
        Values at the cells, in C order.
    affine : numpy.ndarray
        Shape ``(d, d + 1)``; u = −½ is the lower border of the template's box.
    order : int
        2, or 1 to leave the curvature of the images out of the second moments.
    seen : torch.Tensor, optional
        v of each cell, where u is well inside the box.
    mask : torch.Tensor, optional
        Coefficients of what v is multiplied with at u.
    fade : float
        Pixels within which v rises from the border of the box.

    Returns
    -------
    list of tuple
        For q² and v² the value, the first moments ``(d (d + 1),)``, and the second moments
        ``(d (d + 1), d (d + 1))``, per pixel.
    """
    blocks = _on_cpu if coefficients.device.type == "cpu" else _on_gpu
    out = blocks(m, coefficients, beyond, reference, affine, order, seen, mask, fade)
    return [_unpacked(one, len(m)) for one in out.sum(axis=1)]


def _on_cpu(m, coefficients, beyond, reference, affine, order, seen, mask, fade):
    """The sums of each block, shape ``(families, blocks, numbers)``."""
    from . import _sum_kernels  # only here: Numba takes half a second to import
    from ._numba import share

    d, lines = len(m), math.prod(m[:-1])
    per_block = max(1, _BLOCK // m[-1])
    n_blocks = -(-lines // per_block)
    size = 1 + d * (d + 1) + d * (d + 1) // 2 * (d + 1) ** 2
    out = np.zeros((n_blocks, 1 if seen is None else 2, size))
    images = tuple(_flat(one) for one in (coefficients, reference, seen, mask))
    share(
        _sum_kernels.kernel(d, order, seen is not None),
        n_blocks,
        math.prod(m),
        _PER_THREAD,
        *(out, images, tuple(coefficients.shape), beyond, m, affine, fade, per_block),
    )
    return out.swapaxes(0, 1)


def _on_gpu(m, coefficients, beyond, reference, affine, order, seen, mask, fade):
    """The same by one launch; of one block."""
    from . import _triton_sums

    with _tracing.outside_transforms():
        found = _triton_sums.sums_of_squares(
            m, coefficients, beyond, reference, affine, order, seen, mask, fade
        )
    return found[:, None]


def _flat(tensor):
    if tensor is None:
        return np.empty(0)
    with _tracing.outside_transforms():
        return tensor.detach().reshape(-1).numpy()


def streams(image):
    """Say whether `sums_of_squares` takes an image: constant numbers and 2 or 3 axes."""
    data = image._data
    return (
        _taylor.COMPILED
        and data.ndim in (2, 3)
        and _tracing.is_plain(data)
        and not _tracing.records_program()
        and (data.device.type == "cpu" or _fused.works(data.device))
    )


def _unpacked(total, d):
    p = d * (d + 1)
    half, second = total[1 + p :].reshape(-1, d + 1, d + 1), np.empty((d, d + 1, d, d + 1))
    for one, (k, j) in zip(half, combinations_with_replacement(range(d), 2), strict=True):
        second[k, :, j] = second[j, :, k] = one
    return total[0], total[1 : 1 + p], second.reshape(p, p)
