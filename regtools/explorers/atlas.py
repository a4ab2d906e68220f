"""The explorer of the atlas: what was measured on many problems, as distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..atlas import Interval, median
from .controls import Control
from .explorer import Explorer, Panel


@dataclass(frozen=True)
class Question:
    """One question, and the number that answers it on each problem.

    Attributes
    ----------
    study : str
        Where its rows are.
    value : callable
        Takes the table of the study, returns one number a row; NaN where it has none.
    axis : str
        What the number is, with its unit.
    border : float
        The number on which the answer turns, such as 0 for a difference.
    meaning : str
        What it says to lie above the border.
    log : bool
        Whether the axis is logarithmic.
    limits : tuple
        Ends of the axis; what lies beyond is drawn at the end.
    """

    study: str
    value: Callable[[Any], Any]
    axis: str
    border: float
    meaning: str
    log: bool
    limits: tuple[float, float]


def _map_error(study, column, meaning):
    """How far a map is off, and whether it counts as found."""

    def off(table):
        return table[column].clip(lower=1e-3)

    return Question(study, off, "error of the map, cells", 1.0, meaning, True, (1e-3, 300))


QUESTIONS = {
    "derivative": Question(
        "rules",
        lambda t: t["error_none"] - t["error_kaufman"],
        "error of none minus that of Kaufman, points",
        1.0,
        "the image is worse by more than a point without the derivative",
        False,
        (-5, 30),
    ),
    "Kaufman": Question(
        "rules",
        lambda t: t["steps_implicit"] - t["steps_kaufman"],
        "steps of implicit minus those of Kaufman",
        0.0,
        "the implicit rule takes more steps to within 1 % of the lowest loss",
        False,
        (-10, 10),
    ),
    "last part": Question(
        "last_part",
        lambda t: t["double_70"],
        "error of the Jacobian over that without derivative",
        1.0,
        "the last 70 % of CG differentiated is worse than no derivative",
        True,
        (1e-3, 1e8),
    ),
    "start": Question(
        "counts",
        lambda t: t["error_black_5"] - t["error_frame_0_5"],
        "error from black minus that from frame 0, points",
        1.0,
        "five iterations a step from frame 0 end nearer to the picture by more than a point",
        False,
        (-5, 15),
    ),
    "joint": Question(
        "rules",
        lambda t: t["error_joint"] - t["error_kaufman"],
        "error of joint minus that of Kaufman, points",
        1.0,
        "maps and image together are behind variable projection by more than a point",
        False,
        (-5, 15),
    ),
    "prediction": Question(
        "predictions",
        lambda t: 100 * (1 - t["steps_exact_41"] / t["steps_none_41"]),
        "corrector steps saved by prediction, per cent",
        0.0,
        "the prediction saves steps, with 41 scales",
        False,
        (-20, 60),
    ),
    "first θ": _map_error(
        "scales", "off_first_1000", "the path from θ = 1000 does not find the map"
    ),
    "one start": _map_error(
        "starts", "off_identity_ncc", "register from the identity alone does not find the map"
    ),
    "light": _map_error(
        "brightness", "off_lit_ngf", "gradient fields do not find the map with light from one side"
    ),
    "burst": Question(
        "images",
        lambda t: t["error_super_resolve"] / t["error_two_stages"],
        "error of super_resolve over that of two stages",
        1.0,
        "the error of super_resolve is above that of two stages",
        False,
        (0.5, 1.5),
    ),
    "2JᵀJ": Question(
        "hessians",
        lambda t: 100 * (1 - t["better_2JTJ"] / t["steps"]),
        "predictions by 2JᵀJ that raise the loss, per cent",
        0.0,
        "at least one of 39 predictions by 2JᵀJ raises the loss",
        False,
        (0, 50),
    ),
    "λ": Question(
        "smoothing",
        lambda t: 100 * (t["over_gcv"] - 1),
        "error over that with the best λ, per cent",
        10.0,
        "the λ of cross-validation costs more than a tenth",
        False,
        (-5, 100),
    ),
    "ellipsoids": Question(
        "ellipsoids",
        lambda t: 100 * t["held_exact_sandwich"] / t["draws"],
        "95 % ellipsoids that hold the minimiser, per cent",
        95.0,
        "the ellipsoids hold more often than they say",
        False,
        (50, 100),
    ),
}
"""By the word on the button."""
SPLITS = {"noise": "noise", "λ": "lam", "size": "size", "kind": "kind", "turn": "degrees"}
SAYS = {"noise": "noise {:g} %", "lam": "λ = {:g}", "size": "{:g} cells", "degrees": "up to {:g}°"}


@dataclass(frozen=True)
class Distributions:
    """What is shown: the numbers of each group, and what it is split by."""

    question: Question
    split: str
    groups: dict[str, Any]

    @cached_property
    def medians(self) -> dict[str, Interval]:
        """The median of each group, with its interval."""
        return {name: median(values, values.index) for name, values in self.groups.items()}


def plot_distributions(ax, groups, *, axis, limits, border=None, log=False):
    """Draw a row of dots for each group, and its median with the interval of 95 %.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    groups : mapping
        Numbers, one a problem, by the name of the group; NaN is left out. The index of a pandas
        series says which problems share a picture.
    axis : str
        What the numbers are.
    limits : tuple
        Ends of the axis; what lies beyond is drawn at the end.
    border : float, optional
        Where a dashed line stands.
    log : bool
        Whether the axis is logarithmic.
    """
    rng = np.random.default_rng(0)
    if log:
        ax.set_xscale("log")
    for y, values in enumerate(groups.values()):
        middle = median(values, values.index if hasattr(values, "notna") else None)
        values = np.asarray(values, dtype=float)
        values = values[~np.isnan(values)].clip(*limits)
        height = y + rng.uniform(-0.28, 0.28, len(values))
        ax.plot(values, height, ".", color="C0", ms=3, alpha=0.35)
        ends = np.clip([middle.low, middle.high], *limits)
        ax.plot(ends, [y, y], color="C1", lw=3, solid_capstyle="butt")
        ax.plot(np.clip(middle.value, *limits), y, "D", color="C1", ms=5)
    if border is not None:
        ax.axvline(border, color="0.4", lw=0.8, ls="--")
    ax.set(xlim=limits, xlabel=axis, ylim=(len(groups) - 0.5, -0.5))
    ax.set_yticks(range(len(groups)), list(groups))


class AtlasView:
    """What `atlas_explorer` computes, draws and says, with the same arguments."""

    def __init__(self, tables):
        missing = {one.study for one in QUESTIONS.values()} - set(tables)
        if missing:
            raise ValueError(f"tables must hold all studies; {sorted(missing)} are missing")
        self.tables = dict(tables)

    def compute(self, question, split):
        """Return the numbers of one question, split by a property of the problems."""
        asked, column = QUESTIONS[question], SPLITS[split]
        table = self.tables[asked.study]
        table = table.set_index("image", drop=False)
        values = asked.value(table).astype(float)
        known, groups = values.notna(), {}
        for one in sorted(table[column][known].unique()):
            name = SAYS[column].format(one) if column in SAYS else str(one)
            groups[name] = values[known & (table[column] == one)]
        return Distributions(asked, split, groups)

    def draw(self, shown, ax):
        """Draw each problem as a dot, and the median of a group with its interval."""
        asked = shown.question
        look = {
            "axis": asked.axis,
            "limits": asked.limits,
            "border": asked.border,
            "log": asked.log,
        }
        plot_distributions(ax, shown.groups, **look)

    def alt(self, shown):
        """Return the text alternative."""
        parts = [
            f"{name}: median {middle.value:.3g}, from {middle.low:.3g} to {middle.high:.3g}"
            for name, middle in shown.medians.items()
        ]
        return f"{shown.question.axis}. {'; '.join(parts)}."

    def describe(self, shown):
        """Say on how many problems the number is above its border, and what the split changes."""
        values = np.concatenate(list(shown.groups.values()))
        above = int((values > shown.question.border).sum())
        first = f"On {above} of {len(values)} problems {shown.question.meaning}."
        middles = [middle.value for middle in shown.medians.values()]
        if len(middles) == 1:
            return f"{first} All have one {shown.split}."
        return f"{first} By {shown.split} medians go from {min(middles):.3g} to {max(middles):.3g}."


def atlas_explorer(tables):
    """Show what was measured on many problems, question by question.

    Parameters
    ----------
    tables : mapping
        The table of each study by its name, as `regtools.atlas.Rows.read` returns it.

    Returns
    -------
    Explorer
        Buttons for the question, and for what the problems are split by.

    Raises
    ------
    ValueError
        If a study is missing.
    """
    view = AtlasView(tables)
    return Explorer(
        view.compute,
        [Panel(view.draw, view.alt, (5.4, 2.9))],
        [
            Control("question", "Question", tuple(QUESTIONS), format="{}", buttons=True),
            Control("split", "Split by", tuple(SPLITS), format="{}", buttons=True),
        ],
        name="atlas",
        describe=view.describe,
        title="Many problems",
    )
