"""What SimpleITK cannot read, or does not say: grey with transparency, JPEG that is cut.

Of a JPEG that ends too early its reader fills in what is missing.
"""

import math
import zlib

import numpy as np

from . import _checks as checks

_PLUGINS = {"PNGImageIO": "Png", "TIFFImageIO": "Tiff"}


def check_jpeg(place):
    """Raise where a JPEG ends too early."""
    try:
        with _opened("Jpeg", place) as image:
            image.load()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"path must name a whole picture: {place} ends too early") from error


def grey_and_alpha(place, format_, check_count):
    """Return grey values and transparency, shape ``(rows, columns, 2)``; None of other pictures.

    SimpleITK refuses such a PNG, and leaves the transparency of such a TIFF out. `check_count` is
    called with the number of values before any memory is taken.
    """
    png = format_ == "PNGImageIO"
    try:
        with _opened(_PLUGINS[format_], place) as image:
            clear = image.info.get("transparency") if png else None  # the one value that is clear
            if image.mode not in ("LA", "La") and (
                clear is None or image.mode not in ("1", "L", "I;16")
            ):
                return _no_grey_of_16_bits(place) if png else None
            check_count(2 * math.prod(image.size))
            if clear is None:
                return np.asarray(image.convert("LA"))
            grey = np.asarray(image.convert("L") if image.mode == "1" else image)
            mode = image.mode
    except SyntaxError:  # not one of Pillow's
        return None
    except (OSError, zlib.error) as error:
        raise ValueError(f"path must name a whole picture: {place} ends too early") from error
    most = np.iinfo(grey.dtype).max
    if mode == "L":  # the file says it in bits of its own
        clear = clear * most // (2 ** _depth_and_kind(place)[0] - 1)
    return np.stack([grey, np.where(grey == clear, 0, most).astype(grey.dtype)], -1)


def _opened(name, place):
    """A picture opened by Pillow, whose `Image.open` has a limit of its own to its size."""
    checks.imported("PIL", "a JPEG or PNG needs {}", extra="images")
    plugin = checks.imported(f"PIL.{name}ImagePlugin", "{}")
    return getattr(plugin, f"{name}ImageFile")(place)


def _depth_and_kind(place):
    """Bits of a sample and type of colour in the header of a PNG."""
    with open(place, "rb") as stream:
        return stream.read(26)[24:]


def _no_grey_of_16_bits(place):
    if tuple(_depth_and_kind(place)) == (16, 4):
        words = f"{place} has 16: save it in colour, or without transparency"
        raise ValueError(f"path must hold grey values with transparency of 8 bits; {words}")
