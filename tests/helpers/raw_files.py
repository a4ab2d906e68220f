"""Files of pictures byte by byte, with headers that no program would write."""

import locale
import struct
import zlib

import numpy as np
import SimpleITK as sitk
from PIL import Image

BYTES = bytes(range(120))  # a volume of 4 x 5 x 6
VOLUME = np.frombuffer(BYTES, np.uint8).reshape(6, 5, 4)
GREY = (4 * np.arange(54, dtype=np.uint8)).reshape(6, 9)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def put(path, content):
    path.write_bytes(content)
    return path


def cut(path, part):
    """Take away the end of a file."""
    whole = path.read_bytes()
    return put(path, whole[: int(part * len(whole))])


def pil(path, array, mode=None, **options):
    """A file written by Pillow."""
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def pages(path, *arrays, **options):
    """A TIFF of several pages."""
    first, *others = map(Image.fromarray, arrays)
    first.save(path, save_all=True, append_images=others, **options)
    return path


def itk(path, array, **header):
    """A file written by SimpleITK."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    for name, value in header.items():
        getattr(image, f"Set{name}")(value)
    sitk.WriteImage(image, str(path))
    return path


def tiff(path, width, height, bits=8, data=b"", tags=(), following=0):
    """A TIFF with one strip and tags of one's own; `following` is where its next page begins."""
    known = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 277: 1, 278: height}
    known |= {279: len(data)} | dict(tags)
    where = 8 + 2 + 12 * (len(known) + 1) + 4
    entries = sorted((known | {273: where}).items())
    content = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = struct.pack("<4sIH", b"II*\0", 8, len(entries))
    return put(path, head + content + struct.pack("<I", following) + data)


def png(path, width, height, colour=0, bits=8, rows=b"", clear=None):
    """A PNG; `rows` each begin with a byte 0."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0))
    transparent = b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return put(path, b"\x89PNG\r\n\x1a\n" + head + transparent + body)


def nifti(
    dims=(4, 5, 6),
    body=BYTES,
    code=2,
    bits=8,
    offset=352.0,
    spacing=(1, 1, 1),
    left=False,
    slope=0.0,
    shift=(0, 0, 0),
    quaternion=(0, 0, 0),
    matrix=None,
):
    """The bytes of a NIfTI; its qform stands unless there is only a matrix, the sform."""
    head = bytearray(352)
    sizes = [len(dims), *dims, 1, 1, 1, 1, 1, 1][:8]
    steps = [-1.0 if left else 1.0, *spacing, 1, 1, 1, 1, 1][:8]
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, *sizes)
    struct.pack_into("<2h8f2f", head, 70, code, bits, *([0.0] * 10))
    struct.pack_into("<8f", head, 76, *steps)
    struct.pack_into("<2f", head, 108, offset, slope)
    head[123] = 2  # mm
    struct.pack_into("<2h", head, 252, quaternion is not None, matrix is not None)
    struct.pack_into("<6f", head, 256, *(quaternion or (0, 0, 0)), *shift)
    if matrix is not None:
        struct.pack_into("<12f", head, 280, *np.ravel(matrix))
    head[344:348] = b"n+1\0"
    return bytes(head) + body


def nrrd(body=BYTES, **fields):
    """The bytes of a NRRD."""
    known = {"type": "uint8", "dimension": 3, "sizes": "4 5 6", "encoding": "raw"} | fields
    lines = "".join(f"{name.replace('_', ' ')}: {value}\n" for name, value in known.items())
    return f"NRRD0005\n{lines}\n".encode() + body


def mha(body=BYTES, file="LOCAL", **fields):
    """The bytes of a MetaImage."""
    known = {"ObjectType": "Image", "NDims": 3, "DimSize": "4 5 6", "ElementSpacing": "1 1 1"}
    known |= {"ElementType": "MET_UCHAR"} | fields | {"ElementDataFile": file}
    return "".join(f"{name} = {value}\n" for name, value in known.items()).encode() + body


def series(folder, heights, uid="1.2.3.4", shift=0.0, values=None):
    """A folder with DICOM slices at heights, each `shift` times its height to the side.

    A slice holds its number, or a file `values`.
    """
    slices = []
    for k, height in enumerate(heights):
        plane = np.full((6, 5), k, np.int16) if values is None else values
        slices.append((sitk.GetImageFromArray(plane), (0, shift * height, height)))
    return slices_in(folder, slices, uid)


def slices_in(folder, slices, uid="1.2.3.4"):
    """A folder with a file for each plane of SimpleITK, at its place, in no order of names."""
    folder.mkdir(exist_ok=True)
    kept = locale.setlocale(locale.LC_ALL)  # the writer of DICOM sets it to "C"
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, (plane, place) in enumerate(slices):
        tags = {
            "0008|0060": "CT",
            "0020|000e": uid,
            "0020|000d": "1.2.3",
            "0008|0018": f"{uid}.{k}",
            "0020|0032": "\\".join(map(str, place)),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(k),
        }
        for tag, value in tags.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}-{9 - k}.dcm"))
        writer.Execute(plane)
    locale.setlocale(locale.LC_ALL, kept)
    return folder
