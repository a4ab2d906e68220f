"""Files that look bad, or are seldom seen, and what `read_image` must make of them."""

import gzip

import numpy as np
from PIL import Image

from picture_rows import Read, Refused, row
from raw_files import (
    BYTES,
    COLOUR,
    GREY,
    VOLUME,
    itk,
    mha,
    nifti,
    nrrd,
    pages,
    pil,
    png,
    put,
    series,
)

ALPHA = 255 - GREY
CLEAR = np.dstack([GREY, ALPHA])
NAN, INF = float("nan"), float("inf")


def flat(name, values, make, **stated):
    row(name, Read(values, **stated), make)


def file(name, content, values=VOLUME, **stated):
    """A row for a volume of these bytes; the row has its name."""
    row(name, Read(values, unit="mm", **stated), lambda folder: put(folder / name, content))


# --- names ----------------------------------------------------------------------------------

for _name in ("ä ö 中.png", "line\nfeed.png", "-x.png", "a%20b.png", "[a]*?.png", "'\".PNG"):
    flat(f"name {_name!a}", GREY, lambda folder, n=_name: pil(folder / n, GREY, format="PNG"))
for _name in ("a.jpg", "a.tif", "a.nii", "none"):
    flat(
        f"a PNG that ends as {_name}",
        GREY,
        lambda folder, n=_name: pil(folder / n, GREY, format="PNG"),
    )


def linked(folder):
    pil(folder / "there.png", GREY)
    (folder / "here.png").symlink_to("there.png")
    return folder / "here.png"


def linked_series(folder):
    series(folder / "there", (0, 2, 4))
    (folder / "here").symlink_to("there")
    return folder / "here"


SLICES = np.repeat(np.arange(3, dtype=np.int16), 30).reshape(3, 6, 5)
flat("a link", GREY, linked)
flat("a link to a series", SLICES, linked_series, unit="mm", spacing=(1, 1, 2))

flat(
    "a folder with one file of several slices",
    VOLUME,
    lambda folder: series(folder / "s", (0,), values=VOLUME),
    unit="mm",
)
flat("a folder with one slice", SLICES[0], lambda f: series(f / "s", (3,)), unit="mm")

# --- transparency, palettes, other colours ---------------------------------------------------

flat("PNG: grey and alpha", CLEAR, lambda f: pil(f / "a.png", CLEAR), known=ALPHA / 255)
flat("TIFF: grey and alpha", CLEAR, lambda f: pil(f / "a.tif", CLEAR), known=ALPHA / 255)
HIDDEN = np.dstack([GREY, np.zeros_like(GREY)])
flat("PNG: all of it transparent counts as known", HIDDEN, lambda f: pil(f / "a.png", HIDDEN))
ONE = np.dstack([GREY, np.where(GREY == 8, 0, 255).astype(np.uint8)])
flat(
    "PNG: one grey value is transparent",
    ONE,
    lambda f: pil(f / "a.png", GREY, transparency=8),
    known=GREY != 8,
)
TWO = np.array([[0, 85, 170, 255]], np.uint8)
flat(
    "PNG: one of four grey values is transparent",
    np.dstack([TWO, np.array([[255, 0, 255, 255]], np.uint8)]),
    lambda f: png(f / "a.png", 4, 1, bits=2, rows=b"\0\x1b", clear=1),
    known=TWO != 85,
)
WIDE = np.array([[3, 258, 700]], np.uint16)
flat(
    "PNG: one grey value of 16 bits is transparent",
    np.dstack([WIDE, np.array([[65535, 0, 65535]], np.uint16)]),
    lambda f: png(f / "a.png", 3, 1, bits=16, rows=b"\0" + WIDE.astype(">u2").tobytes(), clear=258),
    known=WIDE != 258,
)
DEEP = 257 * np.dstack([COLOUR, ALPHA]).astype(np.uint16)
ROWS_OF_DEEP = b"".join(b"\0" + one.astype(">u2").tobytes() for one in DEEP)
flat(
    "PNG: colours and alpha of 16 bits",
    DEEP,
    lambda f: png(f / "a.png", 9, 6, colour=6, bits=16, rows=ROWS_OF_DEEP),
    known=ALPHA / 255,
)
PALETTE = Image.fromarray(COLOUR).quantize(8)
PAINTED = np.asarray(PALETTE.convert("RGB"))
INDEX = np.asarray(PALETTE)


def palette(folder, **options):
    PALETTE.save(folder / "a.png", **options)
    return folder / "a.png"


flat("PNG: a palette", PAINTED, palette)
flat(
    "PNG: a palette with a transparent colour",
    np.dstack([PAINTED, np.where(INDEX == 0, 0, 255).astype(np.uint8)]),
    lambda f: palette(f, transparency=0),
    known=INDEX != 0,
)
flat(
    "PNG: bits are 0 and 255",
    255 * (GREY > 99).astype(np.uint8),
    lambda f: pil(f / "a.png", GREY > 99),
)


def cmyk(folder):
    return pil(folder / "a.jpg", np.full((16, 16, 3), (200, 100, 50), np.uint8), "CMYK")


# Cyan, magenta, yellow and black become red, green and blue, as Pillow makes them.
flat("JPEG: CMYK", np.full((16, 16, 3), (200, 100, 50), np.uint8), cmyk)
for _way in (3, 6, 8):
    _tags = Image.Exif()
    _tags[274] = _way
    flat(
        f"EXIF orientation {_way} is not heeded in a PNG",
        COLOUR,
        lambda f, t=_tags: pil(f / "a.png", COLOUR, exif=t),
    )
LIGHT = np.full((16, 24), 99, np.uint8)
flat(
    "EXIF orientation 6 is not heeded in a JPEG",
    LIGHT,
    lambda f: pil(f / "a.jpg", LIGHT, exif=_tags),
)
DOWN = Image.Exif()
DOWN[274] = 4
flat("TIFF: rows from bottom to top", GREY[::-1], lambda f: pil(f / "a.tif", GREY, exif=DOWN))
MIRRORED = Image.Exif()
MIRRORED[274] = 2
flat(
    "TIFF: rows from right to left become colours",
    np.dstack([GREY[:, ::-1]] * 3 + [np.full_like(GREY, 255)]),
    lambda f: pil(f / "a.tif", GREY, exif=MIRRORED),
)
flat(
    "TIFF: pages are a volume",
    np.stack([GREY, GREY + 1]),
    lambda f: pages(f / "a.tif", GREY, GREY + 1),
)


def without_last_byte(path):
    return put(path, path.read_bytes()[:-1])


flat(
    "TIFF: only the name of the program is cut",
    GREY,
    lambda f: without_last_byte(itk(f / "a.tif", GREY)),
)

# --- sizes ------------------------------------------------------------------------------------

for _ending in ("png", "tif"):
    for _name, _values in (("row", GREY[:1]), ("column", GREY[:, :1]), ("pixel", GREY[:1, :1])):
        flat(
            f"one {_name} as {_ending}",
            _values,
            lambda f, e=_ending, v=_values: pil(f / f"a.{e}", v),
        )
file("slice.mha", mha(VOLUME[0].tobytes(), DimSize="4 5 1"), VOLUME[0])
file("frame.nii", nifti((4, 5, 6, 1)), VOLUME)
file("longer.mha", mha(BYTES + bytes(99)), VOLUME)

# --- numbers ----------------------------------------------------------------------------------

LARGE = np.array([[2**53 + 1, 2**64 - 1], [2**63, 7]], np.uint64)
REAL = np.linspace(-1, 1, 120).reshape(6, 5, 4)
HOLES = np.where(np.arange(120).reshape(REAL.shape) % 2, NAN, REAL)
POLES = np.where(np.arange(120).reshape(REAL.shape) % 2, INF, -INF)


def kept(name, values, ending, **stated):
    row(name, Read(values, unit="mm", **stated), lambda f: itk(f / f"a.{ending}", values))


for _ending in ("nrrd", "mha", "nii"):
    kept(f"whole numbers of 64 bits in {_ending}", LARGE, _ending)
    kept(f"bytes with a sign in {_ending}", VOLUME.astype(np.int8) - 60, _ending)
    for _name, _values in (("NaN", HOLES * NAN), ("half NaN", HOLES), ("infinite", POLES)):
        kept(f"{_name} in {_ending}", _values, _ending)
FEEDS = np.full((103, 102, 101), ord("\n"), np.uint8)  # more than is looked at of a header
for _ending in ("nrrd", "mha"):
    kept(f"a volume of line feeds in {_ending}", FEEDS, _ending)
COMPLEX = np.array([[1 + 2j, 3 - 1j]], np.complex64)
flat(
    "complex numbers in mha are two channels",  # nothing in the file tells
    np.dstack([COMPLEX.real, COMPLEX.imag]),
    lambda f: itk(f / "a.mha", COMPLEX),
    unit="mm",
    known=np.array([[1.0, 0.0]]),
)
file("packed.nii.gz", gzip.compress(nifti()))
file("not-packed.nii.gz", nifti())
file("slope.nii", nifti(slope=2.0), 2.0 * VOLUME, dtype="float32")
file("slope-nan.nii", nifti(slope=NAN))
file("poles.nii", nifti(body=POLES.astype("<f4").tobytes(), code=16, bits=32, slope=-2.0), -POLES,
     dtype="float32")  # fmt: skip
file("wrong-bits.nii", nifti(body=REAL.tobytes(), code=64, bits=8), REAL)

# --- places -----------------------------------------------------------------------------------

LEFT = np.diag([-1.0, 1.0, 1.0])
LPS = np.diag([-1.0, -1.0, 1.0])  # the axes of NIfTI, in ITK's
file("negative.mha", mha(ElementSpacing="-2 1 1"), spacing=(2, 1, 1), direction=LEFT)
file("negative.nrrd", nrrd(spacings="-2 1 1"), spacing=(2, 1, 1), direction=LEFT)
file("unknown-spacing.nrrd", nrrd(spacings="nan 1 1"), spacing=(1, 1, 1))
file("left.mha", mha(TransformMatrix="-1 0 0 0 1 0 0 0 1"), direction=LEFT)
file("left.nii", nifti(left=True), direction=LPS @ np.diag([1.0, 1.0, -1.0]))
file(
    "right-anterior.nrrd",
    nrrd(
        space="right-anterior-superior",
        space_directions="(2,0,0) (0,3,0) (0,0,4)",
        space_origin="(1,2,3)",
    ),
    spacing=(2, 3, 4),
    direction=LPS,
    origin=(-1, -2, 3),
)
SWAPPED = np.array([[0.0, 2, 0, 5], [2, 0, 0, 6], [0, 0, 2, 7]])
SKEWED = np.array([[1.0, 0.5, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7]])
file(
    "two-places.nii",  # the matrix counts
    nifti(spacing=(2, 2, 2), shift=(10, 20, 30), matrix=SWAPPED),
    spacing=(2, 2, 2),
    direction=LPS @ SWAPPED[:, :3] / 2,
    origin=(-5, -6, 7),
)
file(
    "skewed.nii",  # the matrix does not count
    nifti(shift=(10, 20, 30), matrix=SKEWED),
    direction=LPS,
    origin=(-10, -20, 30),
)
file(
    "matrix.nii",  # it has the spacing that the header lacks
    nifti(spacing=(0, 1, 1), quaternion=None, matrix=np.eye(3, 4)),
    spacing=(1, 1, 1),
    direction=LPS,
)


# --- values in another file of the same folder ---------------------------------------------------


def detached(name, make):
    def made(folder):
        put(folder / "a.raw", BYTES)
        for k in range(6):
            put(folder / f"{k}.raw", VOLUME[k].tobytes())
        return put(folder / name.partition(": ")[0], make(folder))

    row(name, Read(VOLUME, unit="mm"), made)


detached("i.nhdr: beside it", lambda folder: nrrd(b"", data_file="a.raw"))
detached("j.nhdr: absolute, beside it", lambda folder: nrrd(b"", data_file=folder / "a.raw"))
detached("k.nhdr: numbered, beside it", lambda folder: nrrd(b"", data_file="%d.raw 0 5 1"))
detached("i.mhd: beside it", lambda folder: mha(b"", "a.raw"))
detached(
    "j.mhd: a list, beside it",
    lambda folder: mha(b"", "LIST\n" + "\n".join(f"{k}.raw" for k in range(6))),
)
detached("k.mhd: numbered, beside it", lambda folder: mha(b"", "%d.raw 0 5 1"))
detached(
    "l.mha: a word of the header in the values' file", lambda folder: mha(Comment="data file: /a")
)

# --- pictures that are read, and cannot be registered --------------------------------------


def useless(name, words, values):
    row(f"useless: {name}", Refused(words), lambda folder: itk(folder / "a.mha", values))


RANDOM = np.random.default_rng(7).random((12, 14)).astype(np.float32)
FEW = "must have at least 4 pixels along each axis; got "
PLACES = np.arange(RANDOM.size).reshape(RANDOM.shape)
useless("constant", "must not be constant", np.ones_like(RANDOM))
useless("all NaN", "must hold numbers", np.full_like(RANDOM, NAN))
useless("infinite", "must be finite", np.where(PLACES == 5, np.float32(INF), RANDOM))
useless("one row", f"{FEW}(14, 1)", RANDOM[:1])
useless("one column", f"{FEW}(1, 12)", RANDOM[:, :1])
useless("one pixel", f"{FEW}(1, 1)", RANDOM[:1, :1])
KNOWN = "must not be constant where it is known"
useless("one that is known", KNOWN, np.where(PLACES == 5, RANDOM, np.float32(NAN)))
useless("constant and NaN", KNOWN, np.where(PLACES > 50, np.float32(1), np.float32(NAN)))
