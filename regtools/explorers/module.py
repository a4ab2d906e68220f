"""Explorers that compute in the reader's browser: one JavaScript module, with or without a kernel.

The module is a file of this folder that exports ``mount(root, data)``, which fills an empty
element of class ``rt-explorer``, and has a style sheet of the same name; ``dom.js``, what all of
them build elements with, and what else it stands on come before it. In JupyterLab the module is an
anywidget, in a static page an inline script: a page opened from a file may not load other files.
"""

from __future__ import annotations

import html
import json
import os
from typing import Any

import anywidget
import traitlets

from . import _page

__all__ = ["ModuleExplorer"]

# How the two hosts start a module.
_RENDER = "\nexport default { render({ model, el }) { return mount(el, model.get('data')); } };\n"
_START = """
for (const root of document.querySelectorAll("[data-module='NAME']:not([data-ready])")) {
  const source = root.querySelector("script[type='application/json']");
  root.dataset.ready = "";
  mount(root, JSON.parse(source.textContent));
}
"""


class ModuleExplorer(anywidget.AnyWidget):
    """A figure that computes in the browser, live in JupyterLab and in a page without a kernel.

    A subclass sets `module`, the name of its JavaScript file without ``.js``, and, in `before`, the
    names of files that it stands on.

    Parameters
    ----------
    data : dict
        What ``mount`` gets; it must be JSON.
    picture : PIL.Image.Image
        What print shows.
    alt : str
        One sentence that says what the explorer is, for print and for screen readers.
    """

    module = ""
    before: tuple[str, ...] = ()
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict[str, Any], picture, alt: str):
        self._text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
        self._png, self._alt = _page.encode(picture, "PNG", optimize=True), alt
        self._esm, self._css = self._script() + _RENDER, self._style()
        super().__init__(data=data)
        self.add_class("rt-explorer").add_class("rt-module")

    def __repr__(self):
        return f"{type(self).__name__}({self.module!r})"

    def _repr_mimebundle_(  # ty: ignore[incompatible-method-override]
        self, include=None, exclude=None
    ):
        page = self.static_page() if os.environ.get("REGTOOLS_STATIC_PAGES") == "1" else None
        return _page.mimebundle(self, self._png, page, include, exclude)

    @classmethod
    def _script(cls):
        return "\n".join(_page.asset(f"{name}.js") for name in ("dom", *cls.before, cls.module))

    @classmethod
    def _style(cls):
        return _page.asset("explorer.css") + "\n" + _page.asset(f"{cls.module}.css")

    def static_page(self) -> str:
        """Return HTML text that shows the explorer without a kernel."""
        start = _START.replace("NAME", self.module)
        return (
            f'<div class="rt-explorer rt-module" data-module="{self.module}" role="group" '
            f'aria-label="{html.escape(self._alt)}">\n'
            f"<style>{self._style()}</style>\n"
            f'<p class="rt-hint">{html.escape(self._alt)} Run the cell to use it.</p>\n'
            f'<script type="application/json">{self._text}</script>\n'
            f'<script type="module">{self._script()}{start}</script>\n</div>'
        )
