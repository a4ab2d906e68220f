"""Files that `read_image` must refuse by name."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from picture_rows import Named, row
from raw_files import (
    BYTES,
    COLOUR,
    GREY,
    VOLUME,
    cut,
    itk,
    mha,
    nifti,
    nrrd,
    pages,
    pil,
    png,
    put,
    series,
    tiff,
)

ENDINGS = ("png", "jpg", "tif", "nii", "nii.gz", "nrrd", "mha", "dcm")
NONE = "must name a picture of a known format"
CUT = "must name a"
WHOLE = "must name a whole picture"
NAN, INF = float("nan"), float("inf")


def bad(name, words, make, kind=ValueError, apart=False):
    row(name, Named(words, kind), make, apart)


def file(name, words, content, **options):
    """A row for a file of these bytes; the row has its name."""
    bad(name, words, lambda folder: put(folder / name, content), **options)


# --- no picture ---------------------------------------------------------------------------

for _ending in ENDINGS:
    file(f"empty.{_ending}", NONE, b"")
    file(f"text.{_ending}", NONE, b"no picture")
for _ending in ("nii", "jpg", "tif", "dcm", "png", "mha"):
    file(f"noise.{_ending}", "must name a picture", bytes(range(256)) * 4)
file("unknown.xyz", NONE, b"???")
file("<b>name.png", NONE, b"no picture")
file("page.html", NONE, b"<html><body><img src='a.png'></body></html>")


def zipped(folder):
    with zipfile.ZipFile(folder / "zip.png", "w") as archive:
        archive.writestr("a.png", pil(folder / "a.png", GREY).read_bytes())
    return folder / "zip.png"


def array(folder):
    np.save(folder / "a.npy", GREY)
    return folder / "a.npy"


bad("a zip with a picture in it", NONE, zipped)
bad("an array of NumPy", NONE, array)
for _ending in ("gif", "webp", "ppm", "tga"):
    bad(f"a {_ending}", NONE, lambda folder, e=_ending: pil(folder / f"a.{e}", GREY))
bad("a bmp", "of a known format; ", lambda folder: pil(folder / "a.bmp", GREY))
bad("a gif with another ending", NONE, lambda folder: pil(folder / "a.png", GREY, format="GIF"))

# --- no file ------------------------------------------------------------------------------

GONE = {"words": "there is no", "kind": FileNotFoundError}


def link(name, target):
    def make(folder):
        (folder / name).symlink_to(target)
        return folder / name

    return make


def pipe(folder):
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


def undecoded(folder):
    place = Path(os.fsdecode(os.fsencode(folder) + b"/a\xff.png"))
    return pil(folder / "a.png", GREY).rename(place)


def undecoded_slice(folder):
    first = sorted(series(folder / "series", (0, 2, 4)).iterdir())[0]
    first.rename(os.fsdecode(os.fsencode(first.parent) + b"/a\xff.dcm"))
    return first.parent


bad("missing", make=lambda folder: folder / "none.png", **GONE)
bad("a link to nothing", make=link("a.png", "gone.png"), **GONE)
bad("a link to itself", make=link("ring.png", "ring.png"), **GONE)
bad("a name too long", make=lambda folder: folder / f"{'a' * 5000}.png", **GONE)
bad("a byte 0 in the name", make=lambda folder: folder / "a\0.png", **GONE)
bad("a URL", make=lambda folder: Path(f"file://{pil(folder / 'a.png', GREY)}"), **GONE)
bad("a device", "is a pipe or a device", lambda folder: Path("/dev/zero"))
bad("a pipe", "is a pipe or a device", pipe, apart=True)
bad("a name that is no text", "a name that UTF-8 can write", undecoded, apart=True)
bad("a slice whose name is none", "a name that UTF-8 can write", undecoded_slice, apart=True)

# --- cut ----------------------------------------------------------------------------------


def part_of(ending, part):
    def make(folder):
        size = (30, 40) if ending in ("png", "jpg", "tif", "dcm") else (20, 21, 22)
        values = np.random.default_rng(6).integers(0, 255, size).astype(np.uint8)
        return cut(itk(folder / f"a.{ending}", values), part)

    return make


for _ending in ENDINGS:
    for _part in (0.1, 0.6, 0.9):
        bad(f"{_part} of {_ending}", CUT, part_of(_ending, _part))
for _part in (0.5, 0.8):
    bad(
        f"{_part} of a TIFF with pages",
        CUT,
        lambda folder, p=_part: cut(pages(folder / "a.tif", *[GREY] * 4), p),
    )
file("no-checksum.nii.gz", WHOLE, gzip.compress(nifti())[:-8])
file("short.nii", WHOLE, nifti(body=BYTES[:-1]))
file("short-slope.nii", WHOLE, nifti(body=BYTES[:-1], slope=2.0))
file("short.mha", WHOLE, mha(BYTES[:-1]))
file("no-body.hdr", WHOLE, nifti(body=b"")[:348].replace(b"n+1", b"ni1"))
bad(
    "a PNG with an alpha channel, cut",
    WHOLE,
    lambda folder: cut(pil(folder / "a.png", np.dstack([GREY, GREY[::-1]])), 0.6),
)

# --- folders ------------------------------------------------------------------------------

ONE, EVEN = "must be a folder with one DICOM series", "must be a series without gaps"


def other_files(folder):
    pil(folder / "a.png", GREY)
    return folder


def two_series(folder):
    series(folder / "two", (0, 2, 4))
    return series(folder / "two", (0, 2), uid="1.2.3.5")


bad("an empty folder", ONE, lambda folder: folder)
bad("a folder without DICOM", ONE, other_files)
bad("a folder with two series", f"{ONE}; ", two_series)
bad("a missing slice", EVEN, lambda folder: series(folder / "s", (0, 2, 6, 8)))
bad("a slice twice", EVEN, lambda folder: series(folder / "s", (0, 2, 2, 4)))
bad(
    "a series of volumes",
    "must be a series of single slices",
    lambda folder: series(folder / "s", (0, 9), values=VOLUME),
)
bad("slices that slide", EVEN, lambda folder: series(folder / "s", (0, 2, 4), shift=0.2))

# --- headers of a size that is not there ---------------------------------------------------

MANY = "more than max_pixels"


def huge(name, words, make):
    bad(f"huge: {name}", words, make, apart=True)


for _name, _content, _words in [
    ("a.mha", mha(DimSize="90000 90000 90000"), "has 729000000000000 pixels, "),
    ("b.mha", mha(DimSize="2000 2000 60"), WHOLE),
    ("c.mha", mha(ElementNumberOfChannels=1000000), WHOLE),
    ("a.nrrd", nrrd(sizes="90000 90000 90000"), MANY),
    ("b.nrrd", nrrd(sizes="2000 2000 60"), WHOLE),
    ("a.nii", nifti((32767, 32767, 32767)), MANY),
    ("b.nii", nifti((600, 600, 600)), WHOLE),
    ("b.nii.gz", gzip.compress(nifti((600, 600, 600))), WHOLE),
    ("far.nii", nifti(offset=1e30), WHOLE),
    ("long.nii.gz", gzip.compress(nifti(body=bytes(3 * 10**8)), 1), "must end after its last"),
    ("long.mha", mha(Comment="x" * 2**21), "must have a header below 1 MB"),
    ("long.nrrd", nrrd(content="x" * 2**21), "must have a header below 1 MB"),
]:
    huge(_name, _words, lambda folder, n=_name, c=_content: put(folder / n, c))
huge("a.png", MANY, lambda folder: png(folder / "a.png", 10**5, 10**5))
huge("clear.png", MANY, lambda folder: png(folder / "a.png", 10**5, 10**5, colour=4))
huge("b.png", "must name a picture", lambda folder: png(folder / "a.png", 2**31 - 1, 2**31 - 1))
huge("a.tif", MANY, lambda folder: tiff(folder / "a.tif", 2**31 - 1, 2**31 - 1))
huge("b.tif", WHOLE, lambda folder: tiff(folder / "a.tif", 16000, 16000))
bad(
    "a ring of pages",
    "pages that come to an end",
    lambda folder: tiff(folder / "a.tif", 5, 4, data=bytes(20), following=8),
    apart=True,
)

# --- pages and numbers of a TIFF that would be misread -------------------------------------

PAGES = "must have pages of one size and kind"


def tif(name, words, *arrays, **options):
    bad(f"TIFF: {name}", words, lambda folder: pages(folder / "a.tif", *arrays, **options))


tif("a smaller page", PAGES, GREY, GREY[:4, :5])
tif("a larger page", PAGES, GREY[:4, :5], GREY)
tif("a page that lies on its side", PAGES, GREY, GREY.T)
tif("a page in colour", PAGES, GREY, COLOUR)
tif("a page of more bits", PAGES, GREY, GREY.astype(np.uint16))
for _way in (5, 6, 7, 8):
    _tags = Image.Exif()
    _tags[274] = _way
    tif(f"orientation {_way}", f"has orientation {_way}", GREY, exif=_tags)


def strip(name, words, **options):
    kinds = {"width": 4, "height": 3, "data": bytes(500)} | options
    bad(f"TIFF: {name}", words, lambda folder: tiff(folder / "a.tif", **kinds))


LEFT = "must have 8 bits, or rows that follow each other"
strip("floats of 16 bits", "must hold floats of 32 bits", bits=16, tags={339: 3})
strip("complex numbers", "must name a picture", bits=128, tags={339: 6})
strip("five channels", "must have 1, 3 or 4 channels", tags={277: 5})
strip("transparency of 16 bits", "must have 1, 3 or 4 channels", bits=16, tags={277: 2, 338: 2})
strip("16 bits from right to left", LEFT, bits=16, tags={274: 2})
strip("16 bits in planes", LEFT, bits=16, tags={277: 3, 284: 2})
strip("16 bits in tiles", LEFT, bits=16, tags={322: 16, 323: 16})
bad(
    "PNG: grey with transparency of 16 bits",
    "with transparency of 8 bits",
    lambda folder: png(folder / "a.png", 1, 1, colour=4, bits=16, rows=bytes(5)),
)

# --- axes, spacing, kinds of numbers -------------------------------------------------------

AXES, ABOVE, RIGHT = "picture of 2 or 3 axes", "must have a spacing above 0", "at right angles"
SPACING, ORIGIN = "Zero-valued spacing", "must have a finite origin"
TURN = (0.8, 0, 0.6, 0, 1, 0, -0.6, 0, 0.8)
for _name, _words, _content in [
    ("line.mha", AXES, mha(NDims=1, DimSize=120, ElementSpacing=1)),
    ("four.mha", AXES, mha(NDims=4, DimSize="2 3 4 5", ElementSpacing="1 1 1 1")),
    ("none.mha", AXES, mha(DimSize="0 5 6")),
    ("zero.mha", SPACING, mha(ElementSpacing="0 1 1")),
    ("nan.mha", SPACING, mha(ElementSpacing="nan 1 1")),
    ("inf.mha", SPACING, mha(ElementSpacing="inf 1 1")),
    ("origin.mha", ORIGIN, mha(Offset="0 nan 0")),
    ("infinite.mha", ORIGIN, mha(Offset="inf 0 0")),
    ("drowned.mha", "drown its spacing", mha(Offset="1e18 0 0")),
    ("sheared.mha", RIGHT, mha(TransformMatrix="1 0.5 0 0 1 0 0 0 1")),
    ("flat.mha", "Bad direction", mha(TransformMatrix="1 0 0 0 1 0 0 0 0")),
    ("bool.mha", "Unknown PixelType", mha(ElementType="MET_BOOL")),
    ("line.nrrd", AXES, nrrd(dimension=1, sizes="120")),
    ("four.nrrd", AXES, nrrd(dimension=4, sizes="2 3 4 5")),
    ("zero.nrrd", "spacing (0) invalid", nrrd(spacings="0 1 1")),
    ("sheared.nrrd", RIGHT, nrrd(space_dimension=3, space_directions="(1,0,0) (1,1,0) (0,0,1)")),
    ("block.nrrd", "nrrdTypeBlock", nrrd(type="block", block_size=1)),
    ("line.nii", AXES, nifti((120,))),
    ("four.nii", AXES, nifti((2, 3, 4, 5))),
    ("negative-size.nii", "must name a picture", nifti((-4, 5, 6))),
    ("zero.nii", ABOVE, nifti(spacing=(0, 1, 1))),
    ("negative.nii", ABOVE, nifti(spacing=(-1, 1, 1))),
    ("nan.nii", ABOVE, nifti(spacing=(NAN, 1, 1))),
    ("inf.nii", ABOVE, nifti(spacing=(INF, 1, 1))),
    ("no-matrix.nii", "at right angles", nifti(quaternion=None, matrix=[[NAN] * 4] * 3)),
    ("sheared.nii", "orthonormal", nifti(quaternion=None, matrix=np.eye(3, 4) + np.eye(3, 4, 1))),
    ("two-spacings.nii", "must have one spacing", nifti(spacing=(2,) * 3, matrix=3 * np.eye(3, 4))),
    ("offset-nan.nii", "behind the header", nifti(offset=NAN)),
    ("offset-inf.nii", "behind the header", nifti(offset=INF)),
    ("offset-0.nii", "behind the header", nifti(offset=0.0)),
    ("offset-negative.nii", "behind the header", nifti(offset=-4.0)),
    ("complex.nii", "must hold real numbers", nifti((5, 3), code=32, bits=64)),
    ("long-double.nii", "Unknown component type", nifti((5,), code=1536, bits=128)),
]:
    file(_name, _words, _content)
bad(
    "complex.nrrd",
    "must hold real numbers",
    lambda folder: itk(folder / "a.nrrd", VOLUME.astype(np.complex64)),
)
bad(
    "an oblique slice",
    "a single slice that is not axial",
    lambda folder: itk(folder / "a.nrrd", VOLUME[:1], Direction=TURN),
)

# --- values in another file ----------------------------------------------------------------

OUTSIDE = "must have its values in its own folder"


def detached(name, make, before=lambda folder: None):
    """A header in a folder beside a file that it must not read."""

    def made(folder):
        inner = folder / "inner"
        inner.mkdir()
        put(folder / "secret.raw", BYTES)
        before(inner)
        return put(inner / name.partition(": ")[0], make(str(folder / "secret.raw")))

    bad(name, OUTSIDE, made)


def linked(inner):
    (inner / "a.raw").symlink_to(inner.parent / "secret.raw")


UP = "../secret.raw"
detached("a.nhdr: above", lambda secret: nrrd(b"", data_file=UP))
detached("b.nhdr: absolute", lambda secret: nrrd(b"", data_file=secret))
detached("c.nrrd: other words", lambda secret: nrrd(b"", DATAFILE=secret))
detached("d.nhdr: a list", lambda secret: nrrd(f"{UP}\n".encode(), data_file="LIST")[:-1])
detached("e.nhdr: numbered", lambda secret: nrrd(b"", data_file="../secre%d.raw 1 6 1"))
detached("f.nhdr: linked", lambda secret: nrrd(b"", data_file="a.raw"), linked)
detached("g.nhdr: after a return", lambda secret: nrrd(b"", content=f"a\rdata file: {secret}"))
detached("h.nhdr: standard input", lambda secret: nrrd(b"", data_file="-"))
detached("a.mhd: above", lambda secret: mha(b"", UP))
detached("b.mha: absolute", lambda secret: mha(b"", secret))
detached("c.mhd: a list", lambda secret: mha(b"", f"LIST\n{secret}"))
detached("d.mhd: linked", lambda secret: mha(b"", "a.raw"), linked)
detached("e.mhd: a colon", lambda secret: mha(b"", secret).replace(b"File =", b"File:"))
detached("f.mhd: byte 0", lambda secret: mha(b"", f"{secret}\0"))
detached("g.mhd: numbered link", lambda secret: mha(b"", "%d.raw 1 6 1"),
         lambda inner: (inner / "1.raw").symlink_to(inner.parent / "secret.raw"))  # fmt: skip
