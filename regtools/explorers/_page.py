"""The static page of an explorer: sliders of the browser's own, pictures computed beforehand."""

from __future__ import annotations

import base64
import html
import io
import json
from importlib import resources
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

DPI = 160  # about two pixels of the picture for one of the screen where three panels share a row


def asset(name):
    """A style or script of this folder, without blank lines, which would end a Markdown block."""
    text = resources.files("regtools.explorers").joinpath(name).read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if line.strip())


def mimebundle(explorer, png, page, include, exclude):
    """What an explorer shows: its live view, its print and, where there is one, its page."""
    view = {"version_major": 2, "version_minor": 0, "model_id": explorer.model_id}
    bundle = {
        "text/plain": repr(explorer),
        "image/png": png,
        "application/vnd.jupyter.widget-view+json": view,
    }
    if page is not None:
        bundle["text/html"] = page
    wanted = set(bundle if include is None else include) - set(exclude or ())
    return {mime: data for mime, data in bundle.items() if mime in wanted}


def drawn(figure):
    """The picture of a figure that stands outside pyplot's global state."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB")


def encode(picture, format, **options):
    """Picture as base64 text; the bytes hold no date or other metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def encode_small(picture, lossless):
    """Encode for the static page, where the weight of a hundred pictures counts."""
    if lossless:  # 64 colours keep the smooth edges of lines and letters at two thirds the weight
        drawing = picture.quantize(64, dither=Image.Dither.NONE).convert("RGB")
        return encode(drawing, "WEBP", method=4, lossless=True)
    return encode(picture, "WEBP", method=4, quality=80)


def side_by_side(pictures):
    """One PNG with all panels, for print."""
    width, height = sum(p.width for p in pictures), max(p.height for p in pictures)
    row, left = Image.new("RGB", (width, height), "white"), 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width
    return encode(row, "PNG", optimize=True)


def img(size, mime, data, alt):
    """HTML of one picture; width and height reserve its place before it is decoded."""
    width, height = (round(DPI * length) for length in size)
    # dark-light keeps the theme from inverting contrast; sync decoding avoids a blank flash.
    return (
        f'<img class="dark-light" decoding="sync" width="{width}" height="{height}" '
        f'style="--rt-inches:{size[0]:g}" alt="{html.escape(alt)}" '
        f'src="data:{mime};base64,{data}">'
    )


def heading(title):
    """HTML of the explorer's title, if it has one."""
    return f'<p class="rt-title">{html.escape(title)}</p>' if title else ""


def element(page, control):
    """HTML of one control over its static values."""
    name, label = f"rt-{page}-{control.name}", html.escape(control.label)
    texts, at = control.static_texts, control.static.index(control.start)
    if control.buttons:
        choices = "".join(
            f'<label><input type="radio" name="{name}" value="{k}" autocomplete="off" disabled'
            f"{' checked' if k == at else ''}><span>{html.escape(text)}</span></label>"
            for k, text in enumerate(texts)
        )
        return (
            f'<div class="rt-control"><span id="{name}">{label}</span>'
            f'<div class="rt-choices" role="radiogroup" aria-labelledby="{name}">{choices}</div>'
            "</div>"
        )
    text = html.escape(texts[at])
    # The readout is as wide as its longest text, else the slider would change its length under
    # the pointer. It is not announced, because aria-valuetext says the same.
    return (
        f'<div class="rt-control"><label for="{name}">{label}</label>'
        f'<input type="range" id="{name}" aria-label="{label}" aria-valuetext="{text}" min="0" '
        f'max="{len(texts) - 1}" step="1" value="{at}" autocomplete="off" disabled>'
        f'<output for="{name}" aria-live="off" style="min-width:{max(map(len, texts))}ch">'
        f"{text}</output></div>"
    )


class StaticPage:
    """Collects the frames of an explorer in C order, then writes its page.

    Equal pictures of a panel are stored once, so a panel that ignores a slider costs nothing more.
    """

    def __init__(self, panels):
        self.panels = panels
        self.lines = []
        self.stores: list[dict[str, Any]] = [
            {"alt": [], "picture": [], "pictures": {}} for _ in panels
        ]

    def add(self, line, alts, pictures):
        """Append the description, text alternatives and pictures of one setting."""
        self.lines.append(line)
        for panel, store, alt, picture in zip(
            self.panels, self.stores, alts, pictures, strict=True
        ):
            seen = store["pictures"]  # base64 text -> its place
            store["alt"].append(alt)
            data = encode_small(picture, panel.lossless)
            store["picture"].append(seen.setdefault(data, len(seen)))

    def html(self, name, title, controls, initial):
        """HTML that shows frame ``initial`` at first."""
        panels = [{**store, "pictures": list(store["pictures"])} for store in self.stores]
        images = [
            img(p.size, "image/webp", d["pictures"][d["picture"][initial]], d["alt"][initial])
            for p, d in zip(self.panels, panels, strict=True)
        ]
        values = [control.static_texts for control in controls]
        data = json.dumps({"values": values, "describe": self.lines, "panels": panels})
        data = data.replace("<", "\\u003c")  # "</script>" in a text would end the script
        return (
            f'<div class="rt-explorer" id="rt-{name}" data-name="{name}" role="group" '
            f'aria-label="{html.escape(title or name)}">\n'
            f"<style>{asset('explorer.css')}</style>\n{heading(title)}\n"
            f'<div class="rt-controls">{"".join(element(name, c) for c in controls)}</div>\n'
            '<p class="rt-hint">The initial setting; run the cell to move the sliders.</p>\n'
            f'<p class="rt-describe" aria-live="polite">{html.escape(self.lines[initial])}</p>\n'
            f'<div class="rt-panels">{"".join(images)}</div>\n'
            f'<script type="application/json">{data}</script>\n'
            f"<script>{asset('explorer.js')}</script>\n</div>"
        )
