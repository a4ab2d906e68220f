"""What a reader moves: a slider, or a row of buttons."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import ipywidgets
import numpy as np

__all__ = ["Control"]


@dataclass(frozen=True)
class Control:
    """One slider, or one row of buttons.

    Parameters
    ----------
    name : str
        Keyword under which ``compute`` gets the value.
    label : str
        Text at the left of the slider.
    values : sequence
        The positions of the live slider, or the buttons; at least two, in order.
    unit : str
        Shown behind the value.
    initial : optional
        Where the slider starts; a number is moved to the nearest value. Default: the first value.
    every : int
        The static page holds every so many-th value, and always the first, last and initial one.
    format : str or callable
        ``str.format`` template, or function, that turns a value into its text.
    buttons : bool
        True for values that have no order, as the names of methods: each gets a button.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or two values would read the same.
    """

    name: str
    label: str
    values: Sequence[Any] | np.ndarray
    unit: str = ""
    initial: Any = None
    every: int = 1
    format: str | Callable[[Any], str] = "{:.3g}"
    buttons: bool = False

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"name must be a Python identifier, got {self.name!r}")
        of = f"of control {self.name!r} must be"
        if not isinstance(self.label, str) or not self.label.strip():
            raise ValueError(f"label {of} text, got {self.label!r}")
        if isinstance(self.values, str) or not hasattr(self.values, "__len__"):
            raise TypeError(f"values {of} a sequence, got {type(self.values).__name__}")
        if len(self.values) < 2:
            raise ValueError(f"values {of} at least 2, got {len(self.values)}")
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every {of} a whole number from 1, got {self.every!r}")
        # NumPy scalars become Python's, so that compute and JSON see plain numbers.
        plain = tuple(v.item() if isinstance(v, np.generic) else v for v in self.values)
        object.__setattr__(self, "values", plain)
        texts = self.texts
        if len(set(texts)) < len(texts):
            same = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(
                f"format of control {self.name!r} shows several values as {same!r}; "
                "give it more digits or remove the repeated value"
            )
        self.start  # noqa: B018 - raises here rather than at the first display

    @property
    def texts(self) -> list[str]:
        """The readout of each value."""
        show = self.format if callable(self.format) else self.format.format
        try:
            return [f"{show(value)} {self.unit}".strip() for value in self.values]
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"format of control {self.name!r} cannot show its values: {error}"
            ) from error

    @property
    def start(self) -> int:
        """Index of the initial value."""
        if self.initial is None:
            return 0
        if self.initial in self.values:
            return list(self.values).index(self.initial)
        numbers = all(isinstance(value, Real) for value in (self.initial, *self.values))
        if not numbers or not math.isfinite(self.initial):
            raise ValueError(
                f"initial of control {self.name!r} must be one of {list(self.values)} "
                f"or a finite number, got {self.initial!r}"
            )
        return int(np.argmin([abs(value - self.initial) for value in self.values]))

    @property
    def static(self) -> list[int]:
        """Indices of the values that the static page holds."""
        last = len(self.values) - 1
        return sorted({*range(0, last, self.every), last, self.start})

    @property
    def static_texts(self) -> list[str]:
        """The readouts of the static page."""
        return [self.texts[index] for index in self.static]

    def widget(self, label_width: str) -> ipywidgets.SelectionSlider | ipywidgets.ToggleButtons:
        """The live control; `value` is the index of what is chosen."""
        options = list(zip(self.texts, range(len(self.values)), strict=True))
        style = {"description_width": label_width}
        common: dict[str, Any] = {"options": options, "index": self.start}
        if self.buttons:
            return ipywidgets.ToggleButtons(
                **common, description=self.label, style=style | {"button_width": "auto"}
            )
        return ipywidgets.SelectionSlider(
            **common,
            description=self.label,
            continuous_update=True,
            style=style,
            layout={"width": "100%"},
        )
