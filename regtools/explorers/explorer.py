"""Interactive figures that work with and without a kernel.

An explorer has three layers: a pure ``compute(**values)``, pure ``plot(result, ax)`` functions,
and the thin widget of this module. Its output carries the live widget for JupyterLab, a PNG for
print and, where the book is made, a static page with precomputed pictures and native sliders.
"""

from __future__ import annotations

import html
import itertools
import os
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import matplotlib.style
from matplotlib.figure import Figure
from PIL import Image

from . import _page
from .controls import Control
from .plotting import STYLE

__all__ = ["Explorer", "Panel"]


@dataclass(frozen=True)
class Panel:
    """One picture.

    Parameters
    ----------
    plot : callable
        ``plot(result, ax)`` draws on empty axes. Fix the axis limits, else the picture jumps
        from one slider position to the next.
    alt : str or callable
        Text alternative, or ``alt(result)`` that makes it.
    size : tuple of float
        Width and height in inches. Panels share a row in proportion to their widths.
    lossless : bool
        False for photographs, which then weigh less.
    """

    plot: Callable[[Any, Any], None]
    alt: str | Callable[[Any], str]
    size: tuple[float, float] = (2.6, 2.5)
    lossless: bool = True

    def __post_init__(self):
        if not callable(self.plot):
            raise TypeError(f"plot must be callable, got {type(self.plot).__name__}")
        if not callable(self.alt) and not (isinstance(self.alt, str) and self.alt.strip()):
            raise TypeError(f"alt must be text or callable, got {self.alt!r}")
        if len(self.size) != 2 or not all(0 < length < 20 for length in self.size):
            raise ValueError(f"size must be two lengths in inches below 20, got {self.size!r}")

    def picture(self, result, rc) -> Image.Image:
        """Draw the result, without pyplot's global state."""
        with matplotlib.style.context([STYLE, rc]):
            figure = Figure(figsize=self.size, dpi=_page.DPI, layout="constrained")
            self.plot(result, figure.add_subplot())
            return _page.drawn(figure)

    def description(self, result) -> str:
        """Text alternative of the picture."""
        return _sentence("alt", self.alt(result) if callable(self.alt) else self.alt)


class Explorer(ipywidgets.VBox):
    """Sliders that recompute pictures live, or switch precomputed ones in a static page.

    The initial pictures are computed here, so that an error fails the notebook cell (IPython only
    prints what is raised while displaying). An error at another position is shown in the explorer.

    The static page is computed here too, and is part of the output, if the environment variable
    REGTOOLS_STATIC_PAGES is 1. `make notebooks` and the tests of the notebooks set it. Elsewhere a
    live view needs no page; `static_page` returns it.

    Parameters
    ----------
    compute : callable
        ``compute(**values) -> result``, one keyword for each control.
    panels : sequence of Panel
        Side by side where there is room, else stacked.
    controls : sequence of Control
        One to three. The static page holds the product of their static values.
    name : str
        Identifies the explorer in its page: lower-case letters, digits and hyphens.
    describe : callable
        ``describe(result) -> str``, one plain sentence that says what is seen.
    title : str
        Heading of the explorer.
    rc : mapping
        Matplotlib settings for the pictures, on top of the style of the book.

    Raises
    ------
    TypeError, ValueError
        If a function is not callable, `panels` or `controls` hold something else or are too few or
        too many, or `name` has other characters. Errors of the four functions pass through.
    """

    def __init__(
        self,
        compute: Callable[..., Any],
        panels: Sequence[Panel],
        controls: Sequence[Control],
        *,
        name: str,
        describe: Callable[[Any], str],
        title: str = "",
        rc: Mapping[str, Any] | None = None,
    ):
        for argument, value in (("compute", compute), ("describe", describe)):
            if not callable(value):
                raise TypeError(f"{argument} must be callable, got {type(value).__name__}")
        panels, controls = tuple(panels), tuple(controls)
        if not panels or not all(isinstance(panel, Panel) for panel in panels):
            raise TypeError(f"panels must be one or more Panel, got {panels!r}")
        if not all(isinstance(control, Control) for control in controls):
            raise TypeError(f"controls must be Control, got {controls!r}")
        names = [control.name for control in controls]
        if not 1 <= len(set(names)) == len(names) <= 3:
            raise ValueError(f"controls must be 1 to 3 with different names, got {names}")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ValueError(f"name must match [a-z][a-z0-9-]*, got {name!r}")
        self._compute, self._describe = compute, describe
        self._panels, self._controls = panels, controls
        self._name, self._title, self._rc = name, title, dict(rc or {})
        self._initial = self._evaluate([control.start for control in controls])
        self._png = _page.side_by_side(self._initial[2])
        self._html = None
        if os.environ.get("REGTOOLS_STATIC_PAGES") == "1":
            self.static_page()

        width = f"{0.6 * max(len(control.label) for control in controls):.1f}em"
        self._sliders = [control.widget(width) for control in controls]
        self._line, self._error, self._pictures = (ipywidgets.HTML() for _ in range(3))
        head = ipywidgets.HTML(
            f"<style>{_page.asset('explorer.css')}</style>{_page.heading(title)}"
        )
        super().__init__([head, *self._sliders, self._line, self._error, self._pictures])
        self.add_class("rt-explorer").add_class("rt-live")
        self._show(*self._initial)
        # Computing inside the observer is what keeps a drag from queueing: the front end sends the
        # newest position only when the kernel has finished with the one before.
        for slider in self._sliders:
            slider.observe(self._update, names="index")

    @property
    def controls(self):
        """The sliders' `Control`, a tuple."""
        return self._controls

    @property
    def panels(self):
        """The pictures' `Panel`, a tuple."""
        return self._panels

    def __repr__(self):
        controls = ", ".join(f"{c.name}: {len(c.values)} values" for c in self._controls)
        return f"Explorer({self._name!r}, {controls})"

    def _repr_mimebundle_(  # ty: ignore[incompatible-method-override]
        self, include=None, exclude=None
    ):
        return _page.mimebundle(self, self._png, self._html, include, exclude)

    def static_page(self):
        """Return HTML text that shows the explorer without a kernel.

        It holds the product of the static values. They are computed at the first call, and errors
        of the four functions pass through.
        """
        if self._html is None:
            page = _page.StaticPage(self._panels)
            start = tuple(control.start for control in self._controls)
            frames = list(itertools.product(*(control.static for control in self._controls)))
            for indices in frames:
                page.add(*(self._initial if indices == start else self._evaluate(indices)))
            self._html = page.html(self._name, self._title, self._controls, frames.index(start))
        return self._html

    def _evaluate(self, indices):
        """Description, text alternatives and pictures at one index for each control."""
        pairs = zip(self._controls, indices, strict=True)
        result = self._compute(**{control.name: control.values[i] for control, i in pairs})
        line = _sentence("describe", self._describe(result))
        alts = [panel.description(result) for panel in self._panels]
        return line, alts, [panel.picture(result, self._rc) for panel in self._panels]

    def _update(self, change=None):
        """Recompute at the sliders' positions; an error takes the place of the pictures."""
        self._pictures.add_class("rt-busy")
        try:
            self._show(*self._evaluate([slider.value for slider in self._sliders]))
        except Exception as error:
            trace = "".join(traceback.format_exception(error)).splitlines()[-8:]
            self._line.value = self._pictures.value = ""
            self._error.value = (
                '<div class="rt-error" role="alert">This setting could not be computed: '
                f"<strong>{html.escape(f'{type(error).__name__}: {error}')}</strong>"
                f"<pre>{html.escape(chr(10).join(trace))}</pre></div>"
            )
        finally:
            self._pictures.remove_class("rt-busy")

    def _show(self, line, alts, pictures):
        """Make these the live view."""
        data = [_page.encode(picture, "PNG", compress_level=1) for picture in pictures]
        images = [
            _page.img(panel.size, "image/png", *pair)
            for panel, *pair in zip(self._panels, data, alts, strict=True)
        ]
        self._error.value = ""
        self._line.value = f'<p class="rt-describe" aria-live="polite">{html.escape(line)}</p>'
        self._pictures.value = f'<div class="rt-panels">{"".join(images)}</div>'


def _sentence(argument, text):
    if not isinstance(text, str) or not text.strip():
        raise TypeError(f"{argument} must return text, got {text!r}")
    return text.strip()
