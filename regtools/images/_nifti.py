"""What SimpleITK does not say of a NIfTI file: whether it is whole, and what is no finite number.

Its reader fills in zeros where a file ends too early and where a value is NaN or infinite, and
takes a spacing that is 0 or NaN for 1.
"""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np

_FLOATS = {16: "f4", 64: "f8"}
_PART, _MORE = 2**24, 2**28  # bytes that are read at once, and that may follow the last value
_UNITS = {1: 1000.0, 3: 0.001}  # metres and micrometres, in mm


@dataclass(frozen=True)
class _Header:
    order: str  # of bytes
    single: int | None  # where values may begin, if they stand in the same file
    known: bool  # whether it is NIfTI, and not what was before it
    dims: tuple
    code: int
    bits: int
    offset: float
    slope: float
    spacing: tuple
    units: int
    placed: bool  # by the matrix
    matrix: np.ndarray

    @property
    def size(self):
        """Number of values."""
        return math.prod(max(1, n) for n in self.dims)


def check_nifti(place):
    """Return the header, and where values are NaN or infinite, in the order of the file, and these.

    None stands for both if all are finite.

    Raises
    ------
    ValueError
        If the file ends too early, or its header has no place for the values, or no spacing.
    """
    name = place.name.lower()
    body = place
    if name.endswith((".hdr", ".img")):
        place = place.with_suffix(".hdr" if place.suffix.islower() else ".HDR")
        body = place.with_suffix(".img" if place.suffix.islower() else ".IMG")
    try:
        with _opened(place) as stream:
            header = _header(stream.read(540))
        _check(header, place, place == body)
        with _opened(body) as stream:
            return header, _odd(stream, header, body)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise ValueError(f"path must name a whole picture: {body} ends too early") from error


def check_axes(header, image, place):
    """Raise where the matrix of the header turns the axes, and its spacing is not that of them."""
    if not (header.known and header.placed):
        return
    dim = image.GetDimension()
    axes = (np.diag([-1.0, -1.0, 1.0]) @ header.matrix)[:dim, :dim]
    if not np.isfinite(axes).all():  # the direction is not either
        return
    lengths = np.linalg.norm(axes, axis=0)
    direction = np.reshape(image.GetDirection(), (dim, dim))
    spacing = np.array(image.GetSpacing()) / _UNITS.get(header.units, 1.0)
    if np.allclose(axes, direction * lengths, rtol=0, atol=1e-3 * lengths.max()) and not (
        np.allclose(lengths, spacing, rtol=1e-2, atol=0)
    ):
        words = f"{place} has {spacing.tolist()}, and {lengths.tolist()} in its matrix (sform)"
        raise ValueError(f"path must have one spacing: {words}")


def _check(header, place, alone):
    """Raise where a header says what cannot be."""
    least = header.single if alone and header.single else 0
    if not (math.isfinite(header.offset) and (header.offset >= least or not header.known)):
        words = f"{place} has them at byte {header.offset:g}"
        raise ValueError(f"path must have its values behind the header; {words}")
    sizes = [(one, n) for one, n in zip(header.spacing, header.dims[:3], strict=False) if n > 1]
    none = any(not math.isfinite(one) or one == 0 for one, _ in sizes)
    if header.known and ((none and not header.placed) or any(one < 0 for one, _ in sizes)):
        spacing = [one for one, _ in sizes]
        raise ValueError(f"path must have a spacing above 0; {place} has {spacing}")


def _odd(stream, header, body):
    """What is not finite, after a look at whether all is there."""
    kind = _FLOATS.get(header.code)
    each = max(header.bits // 8, 0 if kind is None else np.dtype(kind).itemsize)
    n_bytes = header.size * each
    if _skip(stream, max(0, int(header.offset))) or (kind is None and _skip(stream, n_bytes)):
        raise EOFError
    found = None
    if kind is not None:
        parts = b"".join(_parts(stream, n_bytes))
        if len(parts) < n_bytes:
            raise EOFError
        values = np.frombuffer(parts, header.order + kind)
        odd = ~np.isfinite(values)
        found = (odd, values[odd] * (-1 if header.slope < 0 else 1)) if odd.any() else None
    if not _skip(stream, _MORE):  # to its end, where the checksum stands
        raise ValueError(f"path must end after its last value; {body} goes on")
    return found


def _parts(stream, n_bytes):
    """What follows in a stream, in parts: memory is taken for what is there, not what is said."""
    while n_bytes > 0 and (part := stream.read(min(n_bytes, _PART))):
        n_bytes -= len(part)
        yield part


def _skip(stream, n_bytes):
    """Read on; return how many bytes there were too few."""
    return n_bytes - sum(map(len, _parts(stream, n_bytes)))


def _opened(place):
    with open(place, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return (gzip.open if packed else open)(place, "rb")


def _header(content):
    """The header, of either version and order of bytes."""
    for order in "<>":

        def take(layout, at, order=order):
            return struct.unpack_from(order + layout, content, at)

        (size,) = take("i", 0)
        if size == 348:
            magic, single = content[344:348], 352
            dims, kinds = take("8h", 40), take("2h", 70)
            spacing, (offset, slope) = take("8f", 76), take("2f", 108)
            units, (code,), matrix = content[123], take("h", 254), take("12f", 280)
        elif size == 540:
            magic, single = content[4:8], 544
            kinds, dims, spacing = take("2h", 12), take("8q", 16), take("8d", 104)
            offset, slope = *take("q", 168), *take("d", 176)
            (units,), (code,), matrix = take("i", 500), take("i", 348), take("12d", 400)
        else:
            continue
        return _Header(
            order=order,
            single=single if magic[:2] == b"n+" else None,
            known=magic[:2] in (b"n+", b"ni"),
            dims=dims[1 : 1 + max(0, dims[0])],
            code=kinds[0],
            bits=kinds[1],
            offset=offset,
            slope=slope,
            spacing=spacing[1 : 1 + max(0, dims[0])],
            units=units & 7,
            placed=code > 0,
            matrix=np.array(matrix).reshape(3, 4)[:, :3],
        )
    raise struct.error("no header")
