"""What a header says that SimpleITK would follow too far: into other files, or round in a ring.

A header comes from elsewhere and is not to be trusted. One of NRRD or MetaImage may name the file
that holds the values, anywhere on the machine; one of TIFF where the next page begins. Pages that
differ from the first one, and some kinds of numbers, SimpleITK reads as something else.
"""

import glob
import os
import re
import struct
from pathlib import Path

_LONGEST = 2**20  # bytes of a text header
_DATA_FILE = {  # how it is named, and how the header ends
    "NrrdImageIO": (rb"(?i)(?:^|[\r\n])data\s{0,9}file\s{0,9}:([^\r\n]*)", rb"\n\r?\n|\r\r"),
    "MetaImageIO": (rb"ElementDataFile[\s=:]{0,99}([^\r\n]*)", rb"ElementDataFile"),
}
_NO_ORIGIN = rb"(?i)(?:^|[\r\n])\s{0,9}(?:Offset|Origin|Position)\s*[=:][^\r\n]*(?:nan|inf)[^\r\n]*"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PAGES = 2**16
_WIDTH, _LENGTH, _BITS, _PHOTOMETRIC, _SAMPLES, _FORMAT = 256, 257, 258, 262, 277, 339
_SUBFILE, _ORIENTATION, _PLANAR, _TILE, _EXTRA = 254, 274, 284, 322, 338
_ALIKE = {
    _WIDTH: "columns",
    _LENGTH: "rows",
    _BITS: "bits",
    _PHOTOMETRIC: "as photometric interpretation",
    _SAMPLES: "channels",
    _FORMAT: "as format of samples",
}
_TAGS = {*_ALIKE, _SUBFILE, _ORIENTATION, _PLANAR, _TILE, _EXTRA}
_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # of TIFF's types of whole numbers


def check_header(place, format_):
    """Raise where a text header names another file, or has no numbers for a place."""
    if format_ not in _DATA_FILE:
        return
    name, end = _DATA_FILE[format_]
    with open(place, "rb") as stream:
        head = stream.read(_LONGEST)
    named = re.findall(name, head)
    if len(head) == _LONGEST and (_lists(named) or not re.search(end, head)):
        raise ValueError(f"path must have a header below 1 MB; that of {place} is longer")
    folder = os.path.realpath(place.parent)
    for one in _names(head, named, place.parent):
        file = "" if "\0" in one else os.path.realpath(os.path.join(folder, one))
        if not Path(file).is_relative_to(folder) or one == "-":  # the standard input
            words = f"{place} names {one!a}"
            raise ValueError(f"path must have its values in its own folder: {words}")
    if format_ == "MetaImageIO" and (odd := re.search(_NO_ORIGIN, head)):  # which is read as 0
        words = f"{place} says {odd.group().decode(errors='replace').strip()}"
        raise ValueError(f"path must have a finite origin; {words}")


def _lists(named):
    return any(one.split()[:1] == [b"LIST"] for one in named)


def _names(head, named, folder):
    """All names that a header may mean, also as a list or as a pattern with numbers."""
    for one in map(os.fsdecode, map(bytes.strip, named)):
        if one.upper() != "LOCAL":
            yield one
            first = one.split()[0] if one else ""
            yield first
            numbered = re.sub(r"%\d*d", "*", glob.escape(first))
            yield from glob.glob(numbered, root_dir=folder) if "*" in numbered else ()
    if _lists(named):
        after = re.split(rb"[:=\s]LIST[^\r\n]*[\r\n]", head, maxsplit=1)[-1]
        yield from (os.fsdecode(line.strip()) for line in re.split(rb"[\r\n]+", after))


def check_pages(place):
    """Return whether a file is a TIFF of grey values with transparency.

    Raise where a TIFF is cut, would be misread, or has a ring of pages, in which SimpleITK stays.
    """
    with open(place, "rb") as stream:
        if stream.read(4) not in _TIFF:
            return False
        stream.seek(0)
        try:
            pages = [one for one in _directories(stream, place) if not one.get(_SUBFILE, 0) & 5]
        except (struct.error, OverflowError) as error:
            words = f"path must name a whole picture: {place} ends too early"
            raise ValueError(words) from error
    for k, page in enumerate(pages):  # those of less resolution, and masks, are not read
        for tag, what in _ALIKE.items():
            here, there = page.get(tag), pages[0].get(tag)
            if here != there:
                words = f"page {k} of {place} has {here} {what}, page 0 {there}"
                raise ValueError(f"path must have pages of one size and kind; {words}")
        _check_page(page, len(pages), place)
    return bool(pages) and pages[0].get(_SAMPLES) == 2


def _check_page(page, n_pages, place):
    """Raise where SimpleITK would read something else than stands in the file."""
    way, bits, samples = (page.get(tag, 1) for tag in (_ORIENTATION, _BITS, _SAMPLES))
    if way not in (1, 2, 3, 4):
        words = f"{place} has orientation {way}, which exchanges them"
        raise ValueError(f"path must have rows from top to bottom or back: {words}")
    if page.get(_FORMAT) == 3 and bits < 32:
        raise ValueError(f"path must hold floats of 32 bits; {place} has some of {bits}")
    clear = samples == 2 and bits == 8 and page.get(_EXTRA) in (1, 2) and n_pages == 1
    if samples not in (1, 3, 4) and not clear:  # all but the first would be left out
        words = f"or be grey with transparency of 8 bits; {place} has {samples} of {bits} bits"
        raise ValueError(f"path must have 1, 3 or 4 channels on each page, {words}")
    parted = page.get(_PLANAR) == 2 and samples > 1
    if bits > 8 and (_TILE in page or parted or way in (2, 3)):
        words = f"{place} has {bits}, in tiles, planes or another orientation"
        raise ValueError(f"path must have 8 bits, or rows that follow each other: {words}")


def _directories(stream, place):
    """What the tags of each page say, as far as they are looked at."""
    order = ">" if stream.read(2) == b"MM" else "<"

    def take(layout, at=None):
        stream.seek(stream.tell() if at is None else at)
        return struct.unpack(order + layout, stream.read(struct.calcsize(order + layout)))

    (version,) = take("H")
    number, many, entry = ("Q", "Q", "HHQ8s") if version == 43 else ("I", "H", "HHI4s")
    (at,) = take(number, 8 if version == 43 else 4)
    seen = set()
    while at:
        if at in seen or len(seen) == _MOST_PAGES:
            words = "begins again" if at in seen else f"has more than {_MOST_PAGES}"
            raise ValueError(f"path must have pages that come to an end; {place} {words}")
        seen.add(at)
        (count,) = take(many, at)
        entries = [take(entry) for _ in range(min(count, 2**16))]
        (at,) = take(number)
        tags = {}
        for tag, kind, length, value in entries:
            if tag in _TAGS and kind in _CODES and length:
                layout = order + _CODES[kind]
                if length * struct.calcsize(layout) > len(value):
                    (place_of,) = struct.unpack(order + number, value)
                    (tags[tag],) = take(_CODES[kind], place_of)
                else:
                    (tags[tag],) = struct.unpack_from(layout, value)
        yield tags
