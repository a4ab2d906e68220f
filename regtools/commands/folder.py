"""The folder that a command writes to: nothing in it is replaced unless that is asked for."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

NUMBERS, PAGE = "result.json", "index.html"


@contextmanager
def output(options, names: list[str], given: list[str]) -> Generator[Path]:
    """Make the folder before a long run and not after it; take it away if it stays empty.

    Parameters
    ----------
    options
        With the folder `output`, and whether to `force`.
    names : list of str
        What will be written.
    given : list of str
        The files that are read, and must not be among these.

    Raises
    ------
    ValueError
        If a file would be read and written.
    FileExistsError, PermissionError
        If a name is taken, the folder is a file, or nothing can be written there.
    """
    folder = Path(options.output)
    _check_free(folder, names, options.force)
    read = {Path(one).resolve() for one in given if one}
    if read & {(folder / name).resolve() for name in names}:
        raise ValueError(f"output must not hold what is read; {folder} does")
    made = _made(folder)
    try:
        yield folder
    finally:
        for one in made:  # what is still empty was made for nothing
            if not any(one.iterdir()):
                one.rmdir()


def write_texts(folder: Path, numbers: dict, page: str, names: list[str], say) -> bool:
    """Write numbers and page beside what else is there; say it, and whether nothing is doubted."""
    text = json.dumps(numbers, indent=1, ensure_ascii=False)
    (folder / NUMBERS).write_text(text, "utf-8")
    (folder / PAGE).write_text(page, "utf-8")
    say(f"written to {folder}: {', '.join([*names, PAGE])}")
    for warning in numbers["warnings"]:
        say(f"warning: {warning}")
    return not numbers["warnings"]


def finite(number) -> float | None:
    """Return a number as JSON takes it."""
    return float(number) if math.isfinite(number) else None


def _made(folder):
    """Make a folder, now and not after a long registration; return those that are new."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"output must be a folder to write to; {folder} is not")
    return new


def _check_free(folder, names, force):
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output must be a folder; {folder} is a file")
    there = [name for name in names if (folder / name).exists()]
    if there and not force:
        raise FileExistsError(f"{folder} has {', '.join(there)}; --force replaces them")


def ending(fixed, moving) -> str:
    """Return a format that holds values of `moving` on the grid of `fixed`, losing nothing."""
    name = Path(fixed.path).name.lower()
    if fixed.unit == "pixel" and fixed.domain.dim == 2:
        if moving.dtype in ("uint8", "uint16") and moving.n_channels != 2:
            return ".png"
        fits = moving.dtype in ("int8", "int16", "float32") and moving.n_channels == 1
        return ".tif" if fits else ".nrrd"
    for one in (".nii.gz", ".nii", ".mha", ".nrrd", ".tif", ".tiff"):
        if name.endswith(one):
            return one
    return ".nrrd"
