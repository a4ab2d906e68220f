"""What stands behind the command `regtools`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

import regtools

from ..images import Picture, read_image, write_image
from ..registration import Registration, register
from .page import page_of

TRANSFORM, NUMBERS, PAGE = "map.tfm", "result.json", "index.html"
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
        0 if the registration is a success, 1 if it is not, 2 if an argument or a file does not
        fit, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    torch.set_num_threads(max(1, options.threads))
    try:
        return _register(options)
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return _STOPPED
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"regtools: {error}", file=sys.stderr)
        return _REFUSED


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
    command.add_argument("--force", action="store_true", help="replace files that are there")
    command.add_argument("--quiet", action="store_true", help="say nothing but errors")
    command.add_argument("--threads", type=int, default=2, help="of the processor (2)")
    return parser


def _register(options):
    say = (lambda *words: None) if options.quiet else (lambda *words: print(*words, flush=True))
    fixed, moving = read_image(options.fixed), read_image(options.moving)
    folder = Path(options.output)
    moved = f"moved{_ending(fixed, moving)}"
    _check_free(folder, (moved, TRANSFORM, NUMBERS, PAGE), options.force)
    for name, one in (("fixed ", fixed), ("moving", moving)):
        size = " x ".join(map(str, one.domain.m))
        say(f"{name} {one.path}: {size} {'voxels' if one.domain.dim == 3 else 'pixels'}")
    found = register(
        moving,
        fixed,
        distance=options.distance,
        surround=options.surround,
        reference_mask=None if options.mask is None else _mask(options.mask, fixed),
        callback=lambda attempt: say("  " + _of_attempt(attempt)),
    )
    say(found.message)
    folder.mkdir(parents=True, exist_ok=True)
    values = found.warp(moving.data)
    here = _with_type(fixed, moving.dtype)
    write_image(folder / moved, values, here, overwrite=options.force)
    found.write_transform(folder / TRANSFORM, overwrite=options.force)
    numbers = numbers_of(found)
    (folder / NUMBERS).write_text(json.dumps(numbers, indent=1, ensure_ascii=False), "utf-8")
    files = [moved, TRANSFORM, NUMBERS]
    (folder / PAGE).write_text(page_of(found, numbers, files), "utf-8")
    say(f"written to {folder}: {', '.join([*files, PAGE])}")
    return _DONE if found.success else _DOUBTED


def numbers_of(found: Registration) -> dict:
    """Return what a registration of files has found, as JSON takes it."""
    A, b = found.in_files()
    moving, fixed = found.pictures or (None, None)
    assert moving is not None and fixed is not None
    return {
        "regtools": regtools.__version__,
        "fixed": _of_picture(fixed),
        "moving": _of_picture(moving),
        "success": found.success,
        "status": found.status.value,
        "message": found.message,
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
        return ".tif" if moving.dtype.startswith("float") else ".png"
    for ending in (".nii.gz", ".nii", ".mha", ".nrrd", ".tif", ".tiff"):
        if name.endswith(ending):
            return ending
    return ".nrrd"


def _with_type(picture, dtype):
    """The grid of a picture, for values of another type."""
    return Picture(**(vars(picture) | {"dtype": dtype}))


def _mask(path, fixed):
    mask = read_image(path).grey
    if mask.shape != fixed.grey.shape:
        shapes = f"{tuple(fixed.domain.m)}; got {tuple(mask.shape)}"
        raise ValueError(f"mask must have the size of the fixed picture, {shapes}")
    return (mask != 0).to(torch.float64)


def _check_free(folder, names, force):
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output must be a folder; {folder} is a file")
    there = [name for name in names if (folder / name).exists()]
    if there and not force:
        raise FileExistsError(f"{folder} has {', '.join(there)}; --force replaces them")
