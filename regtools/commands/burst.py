"""`regtools super-resolve`: from several frames to one sharp picture and a page."""

from __future__ import annotations

import itertools

import numpy as np
import torch

import regtools

from ..images import SplineImage, read_frames, write_image
from ..superresolution import SuperResolved, super_resolve
from .folder import NUMBERS, PAGE, finite, output, write_texts
from .page import file_name, page_of, percent, short, views_of

STILL, OUTLIER, USED = 0.1, 2.0, 0.5
"""Pixels of motion below which frames stand still; misfit, over the median, that stands out; part
of a frame that should be used. From here on a result is doubted."""
_SAY = {
    "wipe": "Left of the border the sharp picture, right of it frame 0.",
    "blink": "The sharp picture and frame 0 in turn.",
    "board": "Squares of both pictures.",
    "difference": "Grey where both agree, bright or dark where frame 0 is brighter.",
}


def add_super_resolve(commands) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "super-resolve",
        help="make one sharp picture of several frames",
        description="Make one picture with more pixels than each frame, of frames that are moved "
        "against each other by parts of a pixel. The first frame says what part of the scene is "
        "shown. Writes the picture, its numbers as JSON, and a page to look at.",
    )
    command.set_defaults(run=run_super_resolve)
    command.add_argument("frames", nargs="+", help="files, or one file with several pages")
    command.add_argument("-o", "--output", required=True, help="the folder for what is written")
    command.add_argument("--crop", type=_pairs, metavar="X0:X1,Y0:Y1",
                         help="columns X0 to X1 - 1, rows Y0 to Y1 - 1 alone")  # fmt: skip
    command.add_argument("--factor", type=int, default=2,
                         help="pixels to one of a frame, along each axis (2)")  # fmt: skip
    command.add_argument("--transform", choices=("affine", "rigid", "translation"),
                         default="affine", help="how frames move (affine)")  # fmt: skip
    command.add_argument("--lam", type=float, help="smoothing, a length; chosen if left out")
    command.add_argument("--noise", type=float, help="of a pixel in grey values, if it is known")
    command.add_argument("--psf", type=float, default=0.0,
                         help="sigma of the blur, in pixels of a frame (0)")  # fmt: skip
    command.add_argument("--robust", action="store_true", help="for frames with hot pixels")
    command.add_argument("--surround", choices=("auto", "zero", "overlap"), default="auto",
                         help="what lies outside a frame: black, or more of the scene")  # fmt: skip


def run_super_resolve(options, say) -> bool:
    """Resolve files; say whether there is no reason to doubt the result."""
    frames = read_frames(options.frames)
    if options.crop:
        frames = frames.cropped(*options.crop)
    kind = np.dtype(frames.first.dtype)
    flat = frames.domain.dim == 2 and frames.first.unit == "pixel"  # no place to be lost
    exact = "sharp.tif" if flat and frames.channel_axis is None else "sharp.nrrd"
    names = [exact, NUMBERS, PAGE]
    if kind.name in ("uint8", "uint16") and flat:
        names.insert(1, "sharp.png")
    with output(options, names, options.frames) as folder:
        size = " x ".join(map(str, frames.domain.m))
        say(f"{len(frames.data)} frames of {size} pixels")
        found = super_resolve(
            frames.data,
            options.factor,
            domain=frames.domain,
            lam="auto" if options.lam is None else options.lam,
            noise=options.noise,
            surround=options.surround,
            frames_transform=options.transform,
            weights=frames.weights,
            psf=options.psf,
            robust="huber" if options.robust else None,
            channel_axis=frames.channel_axis,
            callback=lambda run: say(f"  {run.message}"),
            progress=say.progress,
        )
        say(found.message)
        sharp = frames.finer(found.image)
        write_image(folder / exact, found.image, sharp, overwrite=options.force)
        if "sharp.png" in names:
            values = {"dtype": kind.name, "overwrite": options.force}
            write_image(folder / "sharp.png", found.image, sharp, **values)
        numbers = numbers_of(found, frames)
        files = [name for name in names if name != PAGE]
        return write_texts(folder, numbers, _page(found, frames, numbers, files), files, say)


def _pairs(text):
    """Numbers as "0:10,5:20"."""
    return [tuple(map(int, part.split(":"))) for part in text.split(",")]


def numbers_of(found: SuperResolved, frames) -> dict:
    """Return what was found, as JSON takes it."""
    lists = {
        name: [[finite(x) for x in row] if isinstance(row, list) else finite(row) for row in rows]
        for name in ("gain", "offset", "misfit", "overlap")
        for rows in [getattr(found, name).tolist()]
    }
    return {
        "regtools": regtools.__version__,
        "frames": list(frames.paths),
        "size": list(found.domain.m),
        "unit": frames.first.unit,
        "success": found.success,
        "status": found.status.value,
        "message": found.message,
        "warnings": list(_warnings(found, frames)),
        "lam": found.lam,
        "surround": found.surround,
        "left_out": list(found.left_out),
        "maps": found.w.reshape(len(frames.paths) - 1, -1).tolist(),
        **lists,
    }


def _warnings(found, frames):
    """What speaks against a result."""
    if not found.success:
        yield "This is not called a success: look at the picture before you use it."
    for k in found.left_out:
        yield f"Frame {k} was left out, as it does not show what frame 0 shows."
    known = [k for k in range(len(frames.paths)) if k not in found.left_out]
    middle = float(found.misfit[known].median())
    for k in known:
        if found.misfit[k] > OUTLIER * middle:
            yield f"Frame {k} is off by {float(found.misfit[k]) / middle:.1f} times the median."
        if found.overlap[k] < USED:
            yield f"Of frame {k} only {percent(float(found.overlap[k]))} was used."
    unknown = frames.data.isnan() if frames.channel_axis is None else frames.data.isnan().any(-1)
    if frames.weights is not None:
        unknown = unknown | (frames.weights == 0)
    if holes := int(unknown.all(0).sum()):
        yield f"{holes} pixels are unknown in all frames; what stands there has been filled in."
    if max(_moved(found, frames)) < STILL:
        yield "The frames have hardly moved: they say nothing of what is finer than their pixels."


def _moved(found, frames):
    """How far the corners of each frame have moved, in its pixels: root mean square."""
    box, d = frames.domain, frames.domain.dim
    corners = np.array(list(itertools.product(*zip(box.lower, box.upper, strict=True))))
    moved = []
    for w in found.w.reshape(len(frames.paths) - 1, -1).numpy(force=True):
        gap = corners @ w[: d * d].reshape(d, d).T + w[d * d :] - corners
        moved.append(float(np.sqrt(((gap / box.h) ** 2).sum(1).mean())))
    return [0.0, *(step if np.isfinite(step) else 0.0 for step in moved)]


def _page(found, frames, numbers, names):
    """The page, as text."""
    y = found.domain.cell_centers()
    channels = frames.data[0][..., None] if frames.channel_axis is None else frames.data[0]
    box = frames.domain
    enlarged = torch.stack(
        [SplineImage(one.nan_to_num(0.0), box, "mirror")(y) for one in channels.unbind(-1)], -1
    )
    blocks = channels
    for axis, (n, m) in enumerate(zip(box.m, found.domain.m, strict=True)):
        blocks = blocks.repeat_interleave(m // n, dim=axis)
    layers = {
        "fixed": found.image,
        "pixels": blocks.reshape(found.image.shape),
        "enlarged": enlarged.reshape(found.image.shape),
    }
    of = "beside it, frame 0"
    sides = [
        {"key": "pixels", "name": "its pixels", "of": of},
        {"key": "enlarged", "name": "enlarged by a spline", "of": of},
    ]
    unit = "mm" if numbers["unit"] == "mm" else "pixels of a frame"
    facts = [
        ("frames", f"{len(frames.paths)} of {' × '.join(map(str, box.m))}"),
        ("picture", " × ".join(map(str, found.domain.m))),
        (f"smoothing λ, {unit}", short(found.lam)),
        ("outside of a frame", {"zero": "black", "overlap": "not known"}[found.surround]),
    ]
    rows = [
        (k, file_name(path), f"{step:.2f}", _of_channels(gain), _three(misfit), percent(used))
        for k, (path, step, gain, misfit, used) in enumerate(
            zip(
                frames.paths,
                _moved(found, frames),
                numbers["gain"],
                numbers["misfit"],
                numbers["overlap"],
                strict=True,
            )
        )
    ]
    columns = "frame", "file", "moved, pixels", "gain", "misfit", "used"
    words = (
        "Moved: how far its corners lie from those of frame 0, in the mean. Gain: its brightness "
        "over that of frame 0. Misfit: root mean square in grey values. It should be similar "
        "for all."
    )
    tables = [("What was found", None, facts), ("Frame by frame", columns, rows, words)]
    shown = {"views": views_of(layers, found.domain), "sides": sides, "say": _SAY}
    title = f"{len(frames.paths)} frames, from {file_name(frames.paths[0])} on"
    return page_of(title, numbers, tables, names, shown)


def _of_channels(gain):
    return " ".join(map(_three, gain)) if isinstance(gain, list) else _three(gain)


def _three(number):
    return "–" if number is None else f"{number:.3g}"
