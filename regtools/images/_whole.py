"""What SimpleITK does not say: whether a JPEG or NIfTI file is whole, and where it holds no number.

Its reader fills in zeros where a file ends too early, and in NIfTI where a value is NaN.
"""

import gzip
import math
import struct
import zlib

import numpy as np

from . import _checks as checks

_FLOATS = {16: "f4", 64: "f8"}


def check_jpeg(place):
    """Raise where a JPEG ends too early."""
    opened = checks.imported("PIL.Image", "a JPEG needs {}", extra="images").open
    try:
        with opened(place) as image:
            image.load()
    except OSError as error:
        raise ValueError(f"path must name a whole picture: {place} ends too early") from error


def nans_of(place):
    """Return where values are NaN, in the order of the file, or None if none can be.

    Raises
    ------
    ValueError
        If the file ends too early.
    """
    name = place.name.lower()
    body = place
    if name.endswith((".hdr", ".img")):
        place = place.with_suffix(".hdr" if place.suffix.islower() else ".HDR")
        body = place.with_suffix(".img" if place.suffix.islower() else ".IMG")
    words = f"path must name a whole picture: {body} ends too early"
    try:
        header = _bytes(place) if place != body else None
        content = _bytes(body)
        count, code, bits, offset, order = _layout(content if header is None else header)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise ValueError(words) from error
    if len(content) < offset + count * bits // 8:
        raise ValueError(words)
    if code not in _FLOATS:
        return None
    return np.isnan(np.frombuffer(content, order + _FLOATS[code], count, offset))


def _bytes(place):
    opened = gzip.open if place.name.lower().endswith(".gz") else open
    with opened(place, "rb") as stream:
        return stream.read()


def _layout(header):
    """Number of values, code of their type, bits of each, where they begin, and the byte order."""
    for order in "<>":
        (size,) = struct.unpack_from(order + "i", header)
        if size == 348:
            dims = struct.unpack_from(order + "8h", header, 40)
            code, bits = struct.unpack_from(order + "2h", header, 70)
            (offset,) = struct.unpack_from(order + "f", header, 108)
        elif size == 540:
            code, bits = struct.unpack_from(order + "2h", header, 12)
            dims = struct.unpack_from(order + "8q", header, 16)
            (offset,) = struct.unpack_from(order + "q", header, 168)
        else:
            continue
        count = math.prod(max(1, n) for n in dims[1 : 1 + max(0, dims[0])])
        return count, code, bits, int(offset), order
    raise struct.error("no header")
