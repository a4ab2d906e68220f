"""`regtools register`: from two files to a moved picture, a map and a page."""

from __future__ import annotations

import math

import numpy as np
import torch

import regtools

from ..images import read_image, write_image
from ..registration import (
    Registration,
    identity_starts,
    read_transform,
    register,
    split_affine,
    warped,
)
from .folder import NUMBERS, PAGE, ending, finite, output, write_texts
from .page import file_name, page_of, percent, short, views_of

TRANSFORM = "map.tfm"
MISFIT, OVERLAP = {"ncc": 0.5, "ssd": 0.5, "mi": 0.9, "ngf": 0.5}, 0.2
SIZE = 16.0
"""From here on a result is doubted, and the exit status says so. Unrelated noise has 1, or 0.6
by "ngf"."""
TRANSFORMS = ("affine", "similarity", "rigid", "translation")
DISTANCES = {
    "ncc": "correlation",
    "ssd": "squared differences",
    "mi": "mutual information",
    "ngf": "gradient fields",
}


def add_register(commands) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "register",
        help="move one picture onto another",
        description="Find the map that moves one picture onto another. Writes the moved "
        "picture, the map as an ITK transform, the numbers as JSON, and a page to look at.",
    )
    command.set_defaults(run=run_register)
    command.add_argument("fixed", help="the picture that stays: a file, or a folder with a series")
    command.add_argument("moving", help="the picture that is moved onto it")
    command.add_argument("-o", "--output", required=True, help="the folder for what is written")
    command.add_argument("--transform", choices=TRANSFORMS, default="affine",
                         help="the kind of map (affine)")  # fmt: skip
    command.add_argument("--distance", choices=tuple(DISTANCES), default="ncc",
                         help="correlation (ncc, the default), squared differences (ssd) or, for "
                         "two kinds of picture, mutual information (mi), edges (ngf)")  # fmt: skip
    command.add_argument("--surround", choices=("auto", "zero", "overlap"), default="auto",
                         help="what lies outside a picture: black, or more of it")  # fmt: skip
    command.add_argument("--mask", help="a picture on the grid of fixed: not 0 where it counts")
    command.add_argument("--start", help="an ITK transform to begin with, instead of a search")
    command.add_argument("--labels", help="a picture on the grid of moving, moved by nearest pixel")
    command.add_argument("--outside", type=float, default=0.0,
                         help="what stands where moving is not known (0)")  # fmt: skip


def run_register(options, say) -> bool:
    """Register two files; say whether there is no reason to doubt the result."""
    fixed, moving = read_image(options.fixed), read_image(options.moving)
    labels = None if options.labels is None else _labels(options.labels, moving)
    names = [f"moved{ending(fixed, moving)}", TRANSFORM, NUMBERS, PAGE]
    if labels is not None:
        names.append(f"labels{ending(fixed, labels)}")
    given = [options.fixed, options.moving, options.mask, options.start, options.labels]
    with output(options, names, given) as folder:
        return _registered(options, folder, fixed, moving, labels, names, say)


def _registered(options, folder, fixed, moving, labels, names, say):
    moved = names[0]
    for name, one in (("fixed ", fixed), ("moving", moving)):
        size = " x ".join(map(str, one.domain.m))
        say(f"{name} {one.path}: {size} {'voxels' if one.domain.dim == 3 else 'pixels'}")
    found = register(
        moving,
        fixed,
        transform=options.transform,
        distance=options.distance,
        surround=options.surround,
        start="auto" if options.start is None else read_transform(options.start, (moving, fixed)),
        reference_mask=None if options.mask is None else _mask(options.mask, fixed),
        callback=lambda attempt: say("  " + _of_attempt(attempt)),
        progress=say.progress,
    )
    say(found.message)
    values = found.warp(moving.data, outside=options.outside)
    write_image(folder / moved, values, fixed, dtype=moving.dtype, overwrite=options.force)
    if labels is not None:
        values = found.warp(labels.data, by_nearest=True)
        kind = {"dtype": labels.dtype, "overwrite": options.force}
        write_image(folder / names[-1], values, fixed, **kind)
    found.write_transform(folder / TRANSFORM, overwrite=options.force)
    numbers = numbers_of(found)
    files = [name for name in names if name != PAGE]
    return write_texts(folder, numbers, _page(found, numbers, files), files, say)


def numbers_of(found: Registration) -> dict:
    """Return what a registration of files has found, as JSON takes it."""
    assert found.pictures is not None
    moving, fixed = found.pictures
    A, b = found.in_files()
    if fixed.unit == "pixel":  # from pixel to pixel, whatever the files say of printing
        b = (A @ fixed.origin + b - moving.origin) / moving.spacing
        A = A * fixed.spacing / moving.spacing[:, None]
    return {
        "regtools": regtools.__version__,
        "fixed": _of_picture(fixed),
        "moving": _of_picture(moving),
        "success": found.success,
        "status": found.status.value,
        "message": found.message,
        "warnings": list(_warnings(found)),
        "matrix": A.tolist(),
        "shift": b.tolist(),
        "inverse": _inverse(A, b),
        "transform": repr(getattr(found.transform, "inner", found.transform)).split("(")[0].lower(),
        "distance": found.problem.distance,
        "surround": found.surround,
        "misfit": finite(found.misfit),
        "error": _error(found),
        "overlap": finite(found.overlap),
        "gain": finite(found.gain),
        "offset": finite(found.offset),
        "starts": [
            {
                "name": one.name,
                "misfit": finite(one.misfit),
                "status": None if one.status is None else one.status.value,
                "message": one.message,
            }
            for one in found.starts
        ],
        "path": [
            {"theta": step.theta, "steps": step.n_iter, "loss": finite(step.loss)}
            for step in found.path.steps
        ],
    }


def _page(found, numbers, names):
    """The page, as text."""
    where = (
        "The map takes points of the fixed picture to points of the moving one: in millimetres "
        "those of the patient, in pixels counted from the centre of the first one, to the right "
        "and down. The error by noise does not know of a wrong end or of a map of the wrong kind, "
        "and is too small where the pictures are shifted but not turned."
    )
    columns = "blur θ, pixels⁴", "steps", "loss"
    tables = [
        ("What was found", None, _facts(numbers), where),
        ("Where the search began", ("start", "misfit", "how it ended"), _starts(numbers)),
        ("The path from blurred to sharp", columns, _path(numbers)),
    ]
    moving, fixed = (file_name(numbers[one]["path"]) for one in ("moving", "fixed"))
    of = "moving picture"
    sides = [{"key": key, "name": f"{key} registration", "of": of} for key in ("before", "after")]
    shown = {"views": _views(found), "sides": sides, "say": _SAY}
    return page_of(f"{moving} on {fixed}", numbers, tables, names, shown)


_SAY = {
    "wipe": "Left of the border the fixed picture, right of it the moving one.",
    "blink": "Fixed and moving in turn: what does not move agrees.",
    "board": "Squares of both pictures: lines should go on across them.",
    "difference": "Grey where both agree, bright or dark where one is brighter.",
}


def _facts(numbers):
    size = lambda one: " × ".join(map(str, one["size"]))  # noqa: E731
    matrix = "; ".join(" ".join(f"{x:.5g}" for x in row) for row in numbers["matrix"])
    unit = "mm" if numbers["fixed"]["unit"] == "mm" else "pixels"
    yield "fixed", f"{numbers['fixed']['path']}, {size(numbers['fixed'])}"
    yield "moving", f"{numbers['moving']['path']}, {size(numbers['moving'])}"
    yield "matrix", matrix
    yield f"shift, {unit}", " ".join(f"{x:.5g}" for x in numbers["shift"])
    if numbers["error"] is not None:
        of = unit if unit == "mm" else "pixels of moving"
        yield f"error by noise, {of}", f"± {numbers['error']:.2g}"
    yield "misfit", percent(numbers["misfit"])
    yield "part of fixed that is covered", percent(numbers["overlap"])
    if numbers["distance"] in ("ssd", "ncc"):
        yield "brightness", f"moving × {short(numbers['gain'])} + {short(numbers['offset'])}"
    yield "kind of map", numbers["transform"]
    yield "compared by", DISTANCES[numbers["distance"]]
    yield "outside of a picture", {"zero": "black", "overlap": "not known"}[numbers["surround"]]


def _starts(numbers):
    for one in numbers["starts"]:
        yield one["name"], percent(one["misfit"]), one["status"] or one["message"]


def _path(numbers):
    for step in numbers["path"]:
        yield f"{step['theta']:.3g}", step["steps"], short(step["loss"])


def _views(found):
    """For each plane the fixed picture, and the moving one before and after, as PNG."""
    problem, (moving, fixed) = found.problem, found.pictures
    gain, offset = found.gain, found.offset
    layers = {"fixed": fixed.grey.nan_to_num(0.0)}
    for name, w in (("before", identity_starts(problem)[0]), ("after", found.w)):
        y = found.transform(w, problem.points)
        values = warped(moving.grey, found.template.domain, y, "mirror", math.nan)
        layers[name] = (gain * values + offset).reshape(problem.domain.m)
    return views_of(layers, problem.domain)


def _inverse(A, b):
    """Matrix and shift from the moving picture to the fixed one; None if there is none."""
    if not np.linalg.cond(A) < 1 / np.finfo(float).eps:
        return None
    back = np.linalg.inv(A)
    return {"matrix": back.tolist(), "shift": (-back @ b).tolist()}


def _error(found):
    """The root mean square error by noise over what is covered, in mm or pixels of moving."""
    errors = found.displacement_error()
    if errors is None:
        return None
    return finite(float(errors[found.covered()].square().mean().sqrt()))


def _warnings(found):
    """What speaks against a result, whatever its status."""
    if not found.success:
        yield "This is not called a success: look at the pictures before you use the map."
    squares = found.problem.measure is None
    unlike = not found.misfit <= MISFIT[found.problem.distance]
    if unlike and not squares:
        yield "The pictures have little in common. Perhaps the map is wrong."
    elif unlike:
        yield (
            f"The pictures have little in common: {100 * found.misfit:.0f} % of the variation of "
            "the fixed one is not explained by the moved one. Perhaps the map is wrong."
        )
    A, _ = split_affine(found.affine)
    h, wide = (A.new_tensor(one.domain.h) for one in (found.problem, found.template))
    sizes = torch.linalg.svdvals(A * h / wide[:, None])
    if not sizes.min() > 1 / SIZE or not sizes.max() < SIZE:
        yield (
            f"A pixel of the fixed picture is {float(sizes.min()):.2g} to "
            f"{float(sizes.max()):.2g} pixels of the moving one wide: the map has collapsed."
        )
    if found.overlap < OVERLAP:
        yield f"The moved picture covers only {100 * found.overlap:.0f} % of the fixed one."
    if squares and found.gain < 0:
        yield "Dark and bright are exchanged between the two pictures."


def _of_picture(picture):
    return {
        "path": picture.path,
        "size": list(picture.domain.m),
        "spacing": picture.spacing.tolist(),
        "unit": picture.unit,
    }


def _of_attempt(one):
    if one.w is None:
        return f"start {one.name}: {one.message}"
    return f"start {one.name}: misfit {100 * one.misfit:.2g} %, {one.n_iter} steps"


def _mask(path, fixed):
    mask = _on_grid(path, fixed, "mask", "fixed")
    return (mask.grey.nan_to_num(0.0) != 0).to(torch.float64)


def _labels(path, moving):
    return _on_grid(path, moving, "labels", "moving")


def _on_grid(path, picture, name, other):
    """A picture that lies where another lies."""
    found = read_image(path)
    if found.domain.m != picture.domain.m:
        sizes = f"{picture.domain.m}; got {found.domain.m}"
        raise ValueError(f"{name} must have the size of the {other} picture, {sizes}")
    places = (found.to_file(picture.domain), picture.to_file(picture.domain))
    near = 1e-3 * float(picture.spacing.min())  # files round their headers
    ends = np.array([picture.domain.lower, picture.domain.upper])
    here, there = (ends @ matrix.T + shift for matrix, shift in places)
    if picture.unit == "mm" and not np.allclose(here, there, rtol=0, atol=near):
        raise ValueError(f"{name} must lie where the {other} picture lies: their headers differ")
    return found
