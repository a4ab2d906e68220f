"""One page without anything from elsewhere, that lays pictures over each other."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from importlib.resources import files

import numpy as np

from ..images import checks

LARGEST, SMALLEST = 700, 420
"""Pixels of the longer side of a picture on the page."""
_PLANES = (("x, y", 2), ("x, z", 1), ("y, z", 0))  # along the axes of the fixed picture


def page_of(title, numbers: dict, tables: list, names: list[str], shown: dict) -> str:
    """Return a page, as text.

    Names and messages come from files that nobody has checked, so they are escaped. The page may
    load nothing: its policy allows only what it brings.

    Parameters
    ----------
    title : str
        Its first line.
    numbers : dict
        With "regtools", "status", "message" and "warnings".
    tables : list
        A heading, the names of the columns or None, rows, and a sentence or None, of each table.
    names : list of str
        Files beside the page, to be linked.
    shown : dict
        "views" as of `views_of`, "sides", the layers that the "fixed" one can be compared with, and
        what to "say" of each mode.
    """
    template = files("regtools.commands").joinpath("page.html").read_text("utf-8")
    links = " · ".join(f'<a href="{_safe(name)}">{_safe(name)}</a>' for name in names)
    filled = {
        "TITLE": _safe(title),
        "KIND": "bad" if numbers["warnings"] else "good",
        "STATUS": _safe(numbers["status"]),
        "MESSAGE": _safe(numbers["message"].removeprefix(numbers["status"]).lstrip(": ")),
        "WARNING": _safe(" ".join(numbers["warnings"])),
        "TABLES": "".join(_table(*one) for one in tables),
        "LINKS": links,
        "VERSION": _safe(numbers["regtools"]),
        "DATA": json.dumps(shown).replace("<", "\\u003c"),
    }
    # In one pass: what is filled in may hold braces of its own.
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda match: filled[match[1]], template)


def _safe(text):
    return html.escape(str(text), quote=True)


def _table(heading, columns, rows, words=None):
    head = "".join(f"<th>{_safe(one)}</th>" for one in columns or ())
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    wide = ' wide" tabindex="0' if head else ""  # it may scroll, so the keyboard can reach it
    words = f'<p class="soft">{_safe(words)}</p>' if words else ""
    table = f"<table>{head}<tbody>{_rows(rows)}</tbody></table>"
    return f'<h2>{_safe(heading)}</h2>\n<div class="scroll{wide}">{table}</div>\n{words}'


def file_name(path) -> str:
    """Return the last part of a path of any system."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _rows(rows):
    cells = ("".join(f"<td>{_safe(cell)}</td>" for cell in row) for row in rows)
    return "".join(f"<tr>{row}</tr>" for row in cells)


def percent(number):
    return "–" if number is None else f"{100 * number:.3g} %"


def short(number):
    return "–" if number is None else f"{number:.4g}"


def views_of(pictures: dict, domain) -> list[dict]:
    """Return PNGs of layers on one grid, for each plane through the middle.

    Parameters
    ----------
    pictures : dict
        Tensors by name, "fixed" first: it says which grey values are black and white. NaN
        becomes transparent.
    domain : Domain
        Their box; in two dimensions there may be an axis of channels more.
    """
    dim, m, h = domain.dim, domain.m, domain.h
    here = next(iter(pictures.values())).nan_to_num(0.0)
    low, high = np.quantile(here.numpy(), (0.005, 0.995))
    grey = lambda one: ((one - low) / max(high - low, 1e-300)).numpy()  # noqa: E731
    pictures = {name: grey(one) for name, one in pictures.items()}
    if dim == 2:
        planes = {name: one.swapaxes(0, 1) for name, one in pictures.items()}
        return [_view("picture", planes, h[0], h[1])]
    views = []
    for name, axis in _PLANES:
        middle = m[axis] // 2
        planes = {key: np.take(one, middle, axis).T for key, one in pictures.items()}
        if axis < 2:  # upwards is upwards
            planes = {key: plane[::-1] for key, plane in planes.items()}
        left = [k for k in range(3) if k != axis]
        views.append(_view(name, planes, h[left[0]], h[left[1]]))
    return views


def _view(name, planes, wide, tall):
    """Pictures of one plane, with square pixels, none of them larger than needed."""
    found = {"name": name}
    for key, plane in planes.items():
        height, width = plane.shape[:2]
        width, height = width * wide, height * tall
        longest = min(LARGEST, max(SMALLEST, 2 * max(plane.shape[:2])))
        scale = longest / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        found[key] = _png(plane, size)
        found["width"], found["height"] = size
    return found


def _png(plane, size):
    """A data URI of grey values or colours from 0 to 1; where they are NaN it is transparent."""
    image = checks.imported("PIL.Image", "the page needs {}", extra="images")
    known = np.isfinite(plane) if plane.ndim == 2 else np.isfinite(plane).all(-1)
    grey = (255 * np.nan_to_num(plane).clip(0, 1)).round().astype(np.uint8)
    layers = np.dstack([grey, np.where(known, 255, 0).astype(np.uint8)])
    stream = io.BytesIO()
    image.fromarray(layers).resize(size, image.Resampling.BICUBIC).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
