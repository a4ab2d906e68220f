"""The box Ω, its cells and their centres: the one coordinate convention of the package."""

import math
from dataclasses import dataclass

import torch

from ._checks import (
    as_real,
    as_whole,
    check_constant,
    check_dtype,
    check_floating,
    not_negative,
    whole,
)


@dataclass(frozen=True)
class Domain:
    r"""A box in 1, 2 or 3 dimensions, divided into equal cells.

    Axis ``k`` of a data array runs along axis ``k`` of space: ``data[i, j]`` belongs to
    the cell whose centre is ``(lower[0] + (i + 1/2) h[0], lower[1] + (j + 1/2) h[1])``.
    To look at a 2D array with the second axis pointing up, draw
    ``imshow(data.T, origin="lower")``.

    Parameters
    ----------
    omega : sequence of float
        Lower and upper end of each axis, ``(lo0, hi0)``, ``(lo0, hi0, lo1, hi1)`` or
        ``(lo0, hi0, lo1, hi1, lo2, hi2)``, in physical units.
    m : sequence of int
        Number of cells along each axis, ``(m0,)``, ``(m0, m1)`` or ``(m0, m1, m2)``.

    Raises
    ------
    ValueError
        If `omega` or `m` has the wrong length, an interval is empty or reversed, a bound
        is not finite, or a number of cells is smaller than 1.
    TypeError
        If `omega` does not hold numbers or `m` does not hold whole numbers.

    References
    ----------
    Modersitzki, *FAIR* (SIAM, 2009), section 2.1; paper, section 2.1. Chapter 1.
    """

    omega: tuple[float, ...]
    m: tuple[int, ...]

    def __post_init__(self):
        object.__setattr__(self, "omega", _omega(self.omega))
        object.__setattr__(self, "m", _m(self.m))
        if len(self.m) != self.dim:
            raise ValueError(
                f"m must have one entry per axis of omega: omega has {self.dim} axes, "
                f"m has {len(self.m)} entries {self.m}"
            )
        if not 0 < self.cell_volume < math.inf:
            raise ValueError(f"omega must have cells with a volume; that of {self} is out of range")

    @property
    def dim(self):
        """Number of axes: 1, 2 or 3."""
        return len(self.omega) // 2

    @property
    def lower(self):
        """Lower corner of the box, a tuple of `dim` floats."""
        return self.omega[0::2]

    @property
    def upper(self):
        """Upper corner of the box, a tuple of `dim` floats."""
        return self.omega[1::2]

    @property
    def h(self):
        """Cell widths, a tuple of `dim` floats in physical units."""
        return tuple(
            (hi - lo) / m for lo, hi, m in zip(self.lower, self.upper, self.m, strict=True)
        )

    @property
    def cell_volume(self):
        """Product of the cell widths: the weight of the midpoint rule."""
        return math.prod(self.h)

    def padded(self, cells: int) -> "Domain":
        """Return the box with so many more cells, of the same width, on every side."""
        cells = whole("cells", cells, least=0)
        sides = zip(self.lower, self.upper, self.h, strict=True)
        omega = [bound for low, high, h in sides for bound in (low - cells * h, high + cells * h)]
        return Domain(tuple(omega), tuple(m + 2 * cells for m in self.m))

    def coarser(self, factor: int) -> "Domain":
        """Return the box with cells about `factor` times as wide; an axis keeps at least 4."""
        factor = whole("factor", factor)
        return Domain(self.omega, tuple(min(m, max(4, -(-m // factor))) for m in self.m))

    def contains(self, points: torch.Tensor, cells: float = 0.0) -> torch.Tensor:
        """Return which of the points ``(..., dim)`` lie in the box, `cells` from its border."""
        check_floating("points", points)
        if points.shape[-1:] != (self.dim,):
            raise ValueError(f"points must have shape (..., {self.dim}); got {tuple(points.shape)}")
        ends = [self.lower, self.upper, self.h]
        lower, upper, h = torch.tensor(ends, dtype=points.dtype, device=points.device)
        rim = not_negative("cells", cells) * h
        lower, upper = lower + rim, upper - rim
        return ((points >= lower) & (points <= upper)).all(-1)

    def cell_centers(
        self, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return the centres of all cells.

        Parameters
        ----------
        dtype : torch.dtype
            float32 or float64.
        device : torch.device, optional
            Where the points are made.

        Returns
        -------
        torch.Tensor
            Shape ``(prod(m), dim)``, in the C order of the data array, physical units.
        """
        check_dtype(dtype)
        axes = [
            lo + (torch.arange(m, dtype=dtype, device=device) + 0.5) * h
            for lo, m, h in zip(self.lower, self.m, self.h, strict=True)
        ]
        return torch.cartesian_prod(*axes).reshape(-1, self.dim)


def _omega(omega):
    try:
        omega = tuple(omega)
        for bound in omega:
            check_constant("omega", bound)
        omega = tuple(map(as_real, omega))
    except (TypeError, OverflowError) as error:
        raise TypeError(f"omega must be a sequence of numbers; got {omega!r}") from error
    if len(omega) not in (2, 4, 6):
        raise ValueError(
            "omega must hold a lower and an upper end for 1, 2 or 3 axes (2, 4 or 6 numbers); "
            f"got {len(omega)}: {omega}"
        )
    for axis, (lo, hi) in enumerate(zip(omega[0::2], omega[1::2], strict=True)):
        if not (lo < hi and math.isfinite(hi - lo)):
            raise ValueError(
                f"omega must have a finite lower end below its upper end on each axis; "
                f"got ({lo}, {hi}) on axis {axis}"
            )
    return omega


def _m(m):
    try:
        m = tuple(map(as_whole, m))
    except TypeError as error:
        raise TypeError(
            f"m must be a sequence of whole numbers, one per axis; got {m!r}"
        ) from error
    if any(cells < 1 for cells in m):
        raise ValueError(f"m must hold at least one cell per axis; got {m}")
    if math.prod(m) > 2**40:
        raise ValueError(f"m must hold fewer cells, as no memory has room for them; got {m}")
    return m
