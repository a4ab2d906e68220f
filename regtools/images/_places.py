"""Where pictures lie: names that can be opened, and folders with one DICOM series."""

import os
import stat
from pathlib import Path

import numpy as np

from . import _checks as checks

_OFF = 0.1  # of a pixel: how far a slice may lie from where the volume has it


def check_name(place):
    """Raise where a name is no text: SimpleITK ends the whole process at such a name."""
    try:
        str(place).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"path must have a name that UTF-8 can write; got {place!a}") from error


def existing(path, what="a file or a folder"):
    """Return the path of a file or a folder that is there, and that does not wait for a writer."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a string or a path; got {checks.kind(path)}")
    place = Path(path)
    check_name(place)
    try:
        mode = place.stat().st_mode
    except PermissionError:
        raise
    except (OSError, ValueError) as error:  # a byte 0 in the name is a ValueError
        raise FileNotFoundError(f"path must name {what}; there is no {place}") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"path must name {what}; {place} is a pipe or a device")
    return place


def to_write(path, overwrite):
    """Return a path at which something may be written."""
    checks.check_flag("overwrite", overwrite)
    place = Path(path)
    check_name(place)
    if not place.parent.is_dir():
        raise FileNotFoundError(f"path must lie in a folder that exists; got {place}")
    if place.exists() and not overwrite:
        raise FileExistsError(f"path must be free, or overwrite true; there is {place}")
    return place


def series(sitk, folder):
    """Return the files of the one DICOM series in a folder, in order."""
    for name in os.listdir(folder):
        check_name(folder / name)
    found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(found) != 1:
        what = "none" if not found else f"{len(found)}"
        raise ValueError(f"path must be a folder with one DICOM series; {folder} holds {what}")
    return list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), found[0]))


def check_slices(reader, names, image, folder):
    """Raise unless each slice of a series lies where the volume made of them has it."""
    if image.GetDimension() != 3:
        raise ValueError(f"path must be a series of single slices; files of {folder} have several")
    for k, name in enumerate(names):
        reader.SetFileName(name)
        reader.ReadImageInformation()
        there, here = reader.GetOrigin(), image.TransformIndexToPhysicalPoint((0, 0, k))
        if np.linalg.norm(np.subtract(there, here)) > _OFF * min(image.GetSpacing()):
            words = f"slice {k} of {folder} lies at {there}, and at equal steps would at {here}"
            raise ValueError(
                f"path must be a series without gaps, at equal steps along its normal: {words}"
            )
