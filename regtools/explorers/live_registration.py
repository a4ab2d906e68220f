"""The registration that runs in the reader's browser: the first page, and chapter 3."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..images import Pair, checks
from ..registration import (
    Affine,
    RegistrationProblem,
    choose_surround,
    newton,
    predictor_corrector,
)
from . import _page
from .module import ModuleExplorer

THETAS = np.logspace(3, -3, 13).tolist()


class RegistrationExplorer(ModuleExplorer):
    """What `registration_explorer` shows."""

    module = "register"
    before = ("registration",)


def registration_explorer(
    pair, surround=None, *, title="Register two pictures", choose_first=False
):
    """Show a registration that the reader can turn, drag, start and stop in the browser.

    It computes there, with the same image model, loss and path as the package, in affine maps and
    two dimensions; no kernel is asked.

    Parameters
    ----------
    pair : Pair
        Two pictures, as `load` returns them; grey values are rounded to tenths.
    surround : {"zero", "overlap"}, optional
        See `RegistrationProblem`. Default: as `choose_surround` says.
    title : str
        Heading of the explorer.
    choose_first : bool
        Let the reader choose the first θ of the path: 10, 100 or 1000.

    Returns
    -------
    RegistrationExplorer

    Raises
    ------
    TypeError, ValueError
        If `pair` is not a `Pair` in two dimensions, `surround` has another name, or
        `choose_first` is not a bool.

    References
    ----------
    The first page of the book; chapter 3.
    """
    checks.check_kind("pair", pair, Pair)
    if pair.domain.dim != 2:
        raise ValueError(f"pair must have two dimensions; got {pair.domain.dim}")
    checks.check_flag("choose_first", choose_first)
    surround = surround or choose_surround(pair.template, pair.reference)
    problem = RegistrationProblem.of(pair, Affine(2), surround=surround)
    data = {
        "title": title,
        "m": list(pair.domain.m),
        "box": [float(x) for x in pair.domain.omega],
        "template": pair.template.flatten().double().round(decimals=1).tolist(),
        "reference": pair.reference.flatten().double().round(decimals=1).tolist(),
        "surround": surround,
        "choose_first": choose_first,
    }
    alt = (
        "A registration to try: turn or drag the template, then let it be laid onto the reference, "
        "at a single scale or from blurred to sharp."
    )
    return RegistrationExplorer(data, _picture(problem), alt)


def _picture(problem):
    """For print: the pair, and both pictures over each other at the ends of two runs."""
    w0, theta = problem.identity(), THETAS[-1]
    single = newton(problem, theta, w0).w
    followed = predictor_corrector(problem, THETAS, w0).w
    shape = problem.domain.m

    def moved(w):
        return problem.template(problem.moved_points(w), theta).reshape(shape)

    reference = problem.reference_values(theta).reshape(shape)
    high = float(reference.max())
    panels = [("template", moved(w0), None), ("reference", reference, None)]
    panels += [
        (name, moved(w), reference)
        for name, w in [("start", w0), ("single scale", single), ("blurred to sharp", followed)]
    ]
    left, right, bottom, top = problem.domain.omega
    figure = Figure(figsize=(7, 1.3 * (top - bottom) / (right - left) + 0.3), dpi=_page.DPI)
    figure.set_layout_engine("constrained")
    for ax, (name, one, other) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        grey = [(x / high).clamp(0, 1).numpy(force=True).T for x in (one, other) if x is not None]
        t, r = grey[0], grey[-1]
        ax.imshow(
            np.stack([t, (t + r) / 2, r], -1), origin="lower", extent=(left, right, bottom, top)
        )
        ax.set_title(name, fontsize=9)
        ax.set_axis_off()
    return _page.drawn(figure)
