"""One page without anything from elsewhere, that shows how well two pictures agree."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
from importlib.resources import files

import numpy as np

from ..images import checks
from ..registration import Registration, identity_starts, warped

LARGEST, SMALLEST = 700, 420
"""Pixels of the longer side of a picture on the page."""
_PLANES = (("x, y", 2), ("x, z", 1), ("y, z", 0))  # along the axes of the fixed picture


def page_of(found: Registration, numbers: dict, names: list[str]) -> str:
    """Return the page, as text.

    Names and messages come from files that nobody has checked, so they are escaped. The page may
    load nothing: its policy allows only what it brings.

    Parameters
    ----------
    found : Registration
        Of two pictures that were read from files.
    numbers : dict
        As `line.numbers_of` gives them.
    names : list of str
        Files beside the page, to be linked.
    """
    data = json.dumps(_views(found)).replace("<", "\\u003c")
    template = files("regtools.commands").joinpath("page.html").read_text("utf-8")
    good = "bad" if numbers["warnings"] else "good"
    links = " · ".join(f'<a href="{_safe(name)}">{_safe(name)}</a>' for name in names)
    filled = {
        "TITLE": f"{_file(numbers['moving'])} on {_file(numbers['fixed'])}",
        "KIND": good,
        "STATUS": _safe(numbers["status"]),
        "MESSAGE": _safe(numbers["message"].removeprefix(f"{numbers['status']}: ")),
        "WARNING": _safe(" ".join(numbers["warnings"])),
        "FACTS": _rows(_facts(numbers)),
        "STARTS": _rows(_starts(numbers)),
        "PATH": _rows(_path(numbers)),
        "LINKS": links,
        "VERSION": _safe(numbers["regtools"]),
        "DATA": data,
    }
    # In one pass: what is filled in may hold braces of its own.
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda match: filled[match[1]], template)


def _safe(text):
    return html.escape(str(text), quote=True)


def _file(picture):
    return _safe(picture["path"].replace("\\", "/").rsplit("/", 1)[-1])


def _rows(rows):
    cells = ("".join(f"<td>{_safe(cell)}</td>" for cell in row) for row in rows)
    return "".join(f"<tr>{row}</tr>" for row in cells)


def _facts(numbers):
    size = lambda one: " × ".join(map(str, one["size"]))  # noqa: E731
    matrix = "; ".join(" ".join(f"{x:.5g}" for x in row) for row in numbers["matrix"])
    unit = "mm" if numbers["fixed"]["unit"] == "mm" else "pixels"
    yield "fixed", f"{numbers['fixed']['path']}, {size(numbers['fixed'])}"
    yield "moving", f"{numbers['moving']['path']}, {size(numbers['moving'])}"
    yield "matrix", matrix
    yield f"shift, {unit}", " ".join(f"{x:.5g}" for x in numbers["shift"])
    yield "misfit", _percent(numbers["misfit"])
    yield "part of fixed that is covered", _percent(numbers["overlap"])
    yield "brightness", f"moving × {_short(numbers['gain'])} + {_short(numbers['offset'])}"
    yield "compared by", {"ncc": "correlation", "ssd": "squared differences"}[numbers["distance"]]
    yield "outside of a picture", {"zero": "black", "overlap": "not known"}[numbers["surround"]]


def _starts(numbers):
    for one in numbers["starts"]:
        yield one["name"], _percent(one["misfit"]), one["status"] or one["message"]


def _path(numbers):
    for step in numbers["path"]:
        yield f"{step['theta']:.3g}", step["steps"], _short(step["loss"])


def _percent(number):
    return "–" if number is None else f"{100 * number:.3g} %"


def _short(number):
    return "–" if number is None else f"{number:.4g}"


def _views(found):
    """For each plane the fixed picture, and the moving one before and after, as PNG."""
    problem, (moving, fixed) = found.problem, found.pictures
    gain, offset = found.gain, found.offset
    here = fixed.grey.nan_to_num(0.0)
    dim, m, h = problem.domain.dim, problem.domain.m, problem.domain.h
    sides = {}
    for name, w in (("before", identity_starts(problem)[0]), ("after", found.w)):
        y = found.transform(w, problem.points)
        values = warped(moving.grey, found.template.domain, y, "mirror", math.nan)
        sides[name] = (gain * values + offset).reshape(m)
    low, high = np.quantile(here.numpy(), (0.005, 0.995))
    grey = lambda one: ((one - low) / max(high - low, 1e-300)).numpy()  # noqa: E731
    pictures = {"fixed": grey(here)} | {name: grey(one) for name, one in sides.items()}
    if dim == 2:
        return [_view("picture", {name: one.T for name, one in pictures.items()}, h[0], h[1])]
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
        height, width = plane.shape
        width, height = width * wide, height * tall
        longest = min(LARGEST, max(SMALLEST, 2 * max(plane.shape)))
        scale = longest / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        found[key] = _png(plane, size)
        found["width"], found["height"] = size
    return found


def _png(plane, size):
    """A data URI of grey values from 0 to 1; where they are NaN it is transparent."""
    image = checks.imported("PIL.Image", "the page needs {}", extra="images")
    known = np.isfinite(plane)
    grey = (255 * np.nan_to_num(plane).clip(0, 1)).round().astype(np.uint8)
    layers = np.dstack([grey, np.where(known, 255, 0).astype(np.uint8)])
    stream = io.BytesIO()
    image.fromarray(layers).resize(size, image.Resampling.BICUBIC).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
