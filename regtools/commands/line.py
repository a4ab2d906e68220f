"""What stands behind the command `regtools`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

import regtools

from ..images import read_image, write_image
from ..registration import Registration, read_transform, register
from .page import page_of

TRANSFORM, NUMBERS, PAGE = "map.tfm", "result.json", "index.html"
MISFIT, OVERLAP = 0.5, 0.2
"""From here on a result is doubted, and the exit status says so."""
_DONE, _DOUBTED, _REFUSED, _STOPPED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        What follows the name of the program; of the process if left out.

    Returns
    -------
    int
        0 if the registration is a success, 1 if there is reason to doubt it, 2 if an argument or a
        file does not fit, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, options.threads))
    try:
        return _register(options)
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return _STOPPED
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"regtools: {error}", file=sys.stderr)
        return _REFUSED
    finally:
        torch.set_num_threads(before)


def _parser():
    parser = argparse.ArgumentParser(prog="regtools", description="Register two pictures.")
    parser.add_argument("--version", action="version", version=regtools.__version__)
    command = parser.add_subparsers(dest="command", required=True).add_parser(
        "register",
        help="move one picture onto another",
        description="Find the affine map that moves one picture onto another. Writes the moved "
        "picture, the map as an ITK transform, the numbers as JSON, and a page to look at.",
    )
    command.add_argument("fixed", help="the picture that stays: a file, or a folder with a series")
    command.add_argument("moving", help="the picture that is moved onto it")
    command.add_argument("-o", "--output", required=True, help="the folder for what is written")
    command.add_argument("--distance", choices=("ncc", "ssd"), default="ncc",
                         help="correlation (the default), or squared differences")  # fmt: skip
    command.add_argument("--surround", choices=("auto", "zero", "overlap"), default="auto",
                         help="what lies outside a picture: black, or more of it")  # fmt: skip
    command.add_argument("--mask", help="a picture on the grid of fixed: not 0 where it counts")
    command.add_argument("--start", help="an ITK transform to begin with, instead of a search")
    command.add_argument("--labels", help="a picture on the grid of moving, moved by nearest pixel")
    command.add_argument("--outside", type=float, default=0.0,
                         help="what stands where moving is not known (0)")  # fmt: skip
    command.add_argument("--force", action="store_true", help="replace files that are there")
    command.add_argument("--quiet", action="store_true", help="say nothing but errors")
    command.add_argument("--threads", type=int, default=2, help="of the processor (2)")
    return parser


def _register(options):
    say = (lambda *words: None) if options.quiet else (lambda *words: print(*words, flush=True))
    fixed, moving = read_image(options.fixed), read_image(options.moving)
    folder = Path(options.output)
    moved = f"moved{_ending(fixed, moving)}"
    labels = None if options.labels is None else _labels(options.labels, moving)
    names = [moved, TRANSFORM, NUMBERS, PAGE]
    if labels is not None:
        names.append(f"labels{_ending(fixed, labels)}")
    _check_free(folder, names, options.force)
    given = options.fixed, options.moving, options.mask, options.start, options.labels
    read = {Path(one).resolve() for one in given if one}
    if read & {(folder / name).resolve() for name in names}:
        raise ValueError(f"output must not hold what is read; {folder} does")
    made = _made(folder)
    try:
        return _registered(options, fixed, moving, labels, names, say)
    finally:
        for one in made:  # what is still empty was made for nothing
            if not any(one.iterdir()):
                one.rmdir()


def _made(folder):
    """Make a folder, now and not after a long registration; return those that are new."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"output must be a folder to write to; {folder} is not")
    return new


def _registered(options, fixed, moving, labels, names, say):
    folder, (moved, *_) = Path(options.output), names
    for name, one in (("fixed ", fixed), ("moving", moving)):
        size = " x ".join(map(str, one.domain.m))
        say(f"{name} {one.path}: {size} {'voxels' if one.domain.dim == 3 else 'pixels'}")
    found = register(
        moving,
        fixed,
        distance=options.distance,
        surround=options.surround,
        start="auto" if options.start is None else read_transform(options.start, (moving, fixed)),
        reference_mask=None if options.mask is None else _mask(options.mask, fixed),
        callback=lambda attempt: say("  " + _of_attempt(attempt)),
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
    (folder / NUMBERS).write_text(json.dumps(numbers, indent=1, ensure_ascii=False), "utf-8")
    files = [name for name in names if name != PAGE]
    (folder / PAGE).write_text(page_of(found, numbers, files), "utf-8")
    say(f"written to {folder}: {', '.join([*files, PAGE])}")
    for warning in numbers["warnings"]:
        say(f"warning: {warning}")
    return _DOUBTED if numbers["warnings"] else _DONE


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
        "distance": found.problem.distance,
        "surround": found.surround,
        "misfit": _finite(found.misfit),
        "overlap": _finite(found.overlap),
        "gain": _finite(found.gain),
        "offset": _finite(found.offset),
        "starts": [
            {
                "name": one.name,
                "misfit": _finite(one.misfit),
                "status": None if one.status is None else one.status.value,
                "message": one.message,
            }
            for one in found.starts
        ],
        "path": [
            {"theta": step.theta, "steps": step.n_iter, "loss": _finite(step.loss)}
            for step in found.path.steps
        ],
    }


def _warnings(found):
    """What speaks against a result, whatever its status."""
    if not found.success:
        yield "This is not called a success: look at the pictures before you use the map."
    if not found.misfit <= MISFIT:
        yield (
            f"The pictures have little in common: {100 * found.misfit:.0f} % of the variation of "
            "the fixed one is not explained by the moved one. Perhaps the map is wrong."
        )
    if found.overlap < OVERLAP:
        yield f"The moved picture covers only {100 * found.overlap:.0f} % of the fixed one."
    if found.gain < 0:
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


def _finite(number):
    return float(number) if np.isfinite(number) else None


def _ending(fixed, moving):
    """A format that holds the moved picture: that of the fixed one, where it loses nothing."""
    name = Path(fixed.path).name.lower()
    if fixed.unit == "pixel" and fixed.domain.dim == 2:
        if moving.dtype in ("uint8", "uint16") and moving.n_channels != 2:
            return ".png"
        fits = moving.dtype in ("int8", "int16", "float32") and moving.n_channels == 1
        return ".tif" if fits else ".nrrd"
    for ending in (".nii.gz", ".nii", ".mha", ".nrrd", ".tif", ".tiff"):
        if name.endswith(ending):
            return ending
    return ".nrrd"


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
    places = (found.to_file(found.domain), picture.to_file(picture.domain))
    if picture.unit == "mm" and not all(map(np.allclose, *places)):
        raise ValueError(f"{name} must lie where the {other} picture lies: their headers differ")
    return found


def _check_free(folder, names, force):
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output must be a folder; {folder} is a file")
    there = [name for name in names if (folder / name).exists()]
    if there and not force:
        raise FileExistsError(f"{folder} has {', '.join(there)}; --force replaces them")
