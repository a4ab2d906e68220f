"""The second explorer of chapter 9: slices through a volume, and on them another one's outlines."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..registration import Registration
from .controls import Control
from .explorer import Explorer, Panel

PLACES = tuple(range(10, 91, 10))
"""Where slices lie, in per cent of each side of the box."""
LEVELS = (1 / 3, 2 / 3)
"""Of the range of grey values, where outlines are drawn."""


@dataclass(frozen=True)
class Slices:
    """One registration, and where it is cut."""

    found: Registration
    name: str
    place: int

    def index(self, axis: int) -> int:
        """The slice across an axis."""
        m = self.found.problem.domain.m[axis]
        return min(m - 1, int(m * self.place / 100))


class SlicesView:
    """What `slices_explorer` computes, draws and says, with the same arguments."""

    def __init__(self, results: Mapping[str, Registration]):
        for name, one in results.items():
            if not isinstance(one, Registration):
                raise TypeError(f"results must hold Registrations; {name} is {one!r}")
            if one.problem.domain.dim != 3:
                raise ValueError(f"results must be of volumes; {name} is of pictures")
        self.results = dict(results)
        self.moved = functools.cache(lambda name: self.results[name].warp().numpy(force=True))

    def compute(self, name, place):
        """Return the slices at a place of one registration."""
        return Slices(self.results[name], name, place)

    def draw(self, shown, ax, axis=0):
        """Draw a slice of the reference across an axis, and the outlines of the template."""
        domain, k = shown.found.problem.domain, shown.index(axis)
        across, up = (one for one in range(3) if one != axis)
        fixed = shown.found.problem.reference.data.numpy(force=True)
        moved, lines = self.moved(shown.name), []
        low, high = np.quantile(fixed, (0.01, 0.99))
        shape = domain.h[up] / domain.h[across]
        view = {"origin": "lower", "cmap": "gray", "vmin": low, "vmax": high, "aspect": shape}
        ax.imshow(np.take(fixed, k, axis).T, **view)
        dark, bright = np.quantile(moved, (0.01, 0.99))
        cut = np.take(moved, k, axis).T
        lines = [dark + part * (bright - dark) for part in LEVELS]
        lines = [level for level in lines if cut.min() < level < cut.max()]
        if lines:
            ax.contour(cut, lines, colors="C1", linewidths=0.7)
        ax.set(xticks=[], yticks=[], title=f"axis {axis}: {k + 1} of {domain.m[axis]}")
        ax.spines[:].set_visible(False)

    def alt(self, shown, axis=0):
        """Return the text alternative."""
        return f"Slice across axis {axis} of the reference, on it outlines of the moved template."

    def describe(self, shown):
        """Say how the registration ended."""
        found = shown.found
        misfit = f"misfit {100 * found.misfit:.0f} %"
        return f"{shown.name}: {found.status.value}, {misfit}. Do the outlines follow the borders?"


def slices_explorer(results: Mapping[str, Registration]) -> Explorer:
    """Show three slices through a volume, and on them the outlines of the one moved onto it.

    Parameters
    ----------
    results : mapping of str to Registration
        Registrations of one pair of volumes, by the word on their button; at least two.

    Returns
    -------
    Explorer
        Buttons for the registration, a slider for where it is cut.

    Raises
    ------
    TypeError, ValueError
        If one is not a `Registration`, or not of volumes, or there are fewer than two.

    References
    ----------
    Chapter 9.
    """
    view = SlicesView(results)
    return Explorer(
        view.compute,
        [
            Panel(
                functools.partial(view.draw, axis=axis),
                functools.partial(view.alt, axis=axis),
                (1.9, 2.0),
                lossless=False,
            )
            for axis in range(3)
        ],
        [
            Control("name", "Distance", tuple(results), format="{}", buttons=True),
            Control("place", "Slice at", PLACES, "%", initial=50, every=2, format="{}"),
        ],
        name="slices",
        describe=view.describe,
        title="Three slices",
    )
