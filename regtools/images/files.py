r"""Pictures in files, with their place in the world.

`read_image` reads what SimpleITK reads: PNG, JPEG and TIFF, NIfTI, NRRD, MetaImage, and DICOM, a
file or a folder with one series. Axis 0 is ITK's first axis: the columns of a photograph, from left
to right; axis 1 its rows, from top to bottom. So a point is (x, y) or (x, y, z) everywhere, with y
downwards in photographs.

A medical picture has a place in the patient: voxel k lies at :math:`p = o + D\,(s \circ k)` in
millimetres, with origin o, spacing s and the axes of the picture as columns of D, in ITK's
coordinates (LPS: to the left, to the back, to the head). Its box is counted along its own axes,
:math:`x = D^\top p`, so that cells are not oblique; `Picture.to_patient` and `from_patient`
go between the two. Photographs and the like have pixels only: what their files say of resolution is
for printers. Their box is counted in pixels, from 0.
"""

from __future__ import annotations

import locale
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from . import _checks as checks
from ._headers import check_header, check_pages
from ._nifti import check_axes, check_nifti
from ._places import check_slices, existing, series, to_write
from ._short import ShortRepr
from ._whole import check_jpeg, grey_and_alpha
from .domain import Domain
from .spline import SplineImage

MAX_PIXELS = 2**28
"""Pixels times channels that are read unless more are asked for: 2 GB as float64."""
_FLAT = ("JPEGImageIO", "PNGImageIO", "TIFFImageIO")  # pixels without a place
_FORMATS = (*_FLAT, "GDCMImageIO", "MetaImageIO", "NiftiImageIO", "NrrdImageIO")
_LUMINANCE = (0.2125, 0.7154, 0.0721)


@dataclass(frozen=True, repr=False, eq=False)
class Picture(ShortRepr):
    """A picture with its place.

    Attributes
    ----------
    data : torch.Tensor
        Grey values as in the file, float64, shape ``domain.m``, or ``(*domain.m, c)`` with c > 1
        channels.
    domain : Domain
        The box, counted along the axes of the picture, in `unit`.
    unit : {"mm", "pixel"}
        What lengths are counted in.
    origin, spacing : numpy.ndarray
        Those of the file, shape ``(dim,)``: where ITK has the centre of the first pixel, and how
        far the next one is.
    direction : numpy.ndarray
        The axes of the picture as columns, shape ``(dim, dim)``.
    dtype : str
        NumPy's name of the type in the file.
    path : str
        Where it was read.

    References
    ----------
    Chapter 9.
    """

    data: torch.Tensor = field(repr=False)
    domain: Domain
    unit: str
    origin: np.ndarray = field(repr=False)
    spacing: np.ndarray = field(repr=False)
    direction: np.ndarray = field(repr=False)
    dtype: str
    path: str

    @property
    def n_channels(self):
        """Number of channels."""
        return self.data.shape[-1] if self.data.ndim > self.domain.dim else 1

    @property
    def grey(self) -> torch.Tensor:
        """One value a pixel, shape ``domain.m``: of colours the luminance, else the mean.

        A fourth channel, and a second of two, is taken for transparency, see `known`.
        """
        n = self.n_channels
        if n == 1:
            return self.data
        if n in (3, 4):
            return self.data[..., :3] @ self.data.new_tensor(_LUMINANCE)
        return self.data[..., 0] if n == 2 else self.data.mean(dim=-1)

    @property
    def known(self) -> torch.Tensor | None:
        """How opaque each pixel is, 0 to 1, shape ``domain.m``; None if all are, or none can tell.

        What a file keeps of colours where it is transparent is not meant to be seen.
        """
        if self.n_channels not in (2, 4):
            return None
        kind = np.dtype(self.dtype)
        most = float(np.iinfo(self.dtype).max) if kind.kind in "iu" else 1.0
        opaque = (self.data[..., -1] / most).nan_to_num(0.0).clamp(0, 1)
        return None if opaque.min() == 1 or opaque.max() == 0 else opaque

    def image(self) -> SplineImage:
        """Return the grey picture as a function on its box."""
        return SplineImage(self.grey, self.domain)

    def to_patient(self, points: torch.Tensor) -> torch.Tensor:
        """Return points of the box, ``(n, dim)``, in the coordinates of the file."""
        matrix, shift = self.to_file(self.domain)
        return points @ points.new_tensor(matrix).T + points.new_tensor(shift)

    def from_patient(self, points: torch.Tensor) -> torch.Tensor:
        """Return points in the coordinates of the file, ``(n, dim)``, in those of the box."""
        matrix, shift = self.to_file(self.domain)
        return (points - points.new_tensor(shift)) @ points.new_tensor(np.linalg.inv(matrix)).T

    def to_file(self, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
        """Return matrix and shift from points of a box filled by the pixels to those of the file.

        `domain` is the box of the picture, or another one in which its pixels were laid.
        """
        lower, h = np.array(domain.lower), np.array(domain.h)
        matrix = self.direction * (self.spacing / h)
        return matrix, self.origin - matrix @ (lower + h / 2)


def read_image(path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture from a file, or a DICOM series from a folder.

    Parameters
    ----------
    path : str or path
        The file, of a format that SimpleITK reads, or the folder.
    max_pixels : int
        Largest number of pixels times channels; looked at before any memory is taken.

    Returns
    -------
    Picture

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If it holds no picture that can be read, is damaged, has not 2 or 3 axes, is a single slice
        that is not axial, has more pixels than `max_pixels`, complex numbers, a spacing that is not
        above 0, or axes that are not at right angles; if its values stand in a file outside of its
        folder, or its pages differ; or if a folder holds no DICOM series, several, or one with
        gaps.
    ImportError
        If SimpleITK is not installed.

    Notes
    -----
    Pixels stay where the file has them: what a camera says of how it was held (EXIF) is not heeded.
    Whole numbers above 2⁵³ become the nearest of float64.

    References
    ----------
    Chapter 9.
    """
    sitk = _sitk("read_image needs {}")
    max_pixels = checks.whole("max_pixels", max_pixels)
    place = existing(path)
    names = series(sitk, place) if place.is_dir() else [str(place)]
    clear = check_pages(Path(names[0]))
    reader = sitk.ImageFileReader()
    format_ = reader.GetImageIOFromFileName(names[0])
    if format_ not in _FORMATS:
        known = "none of PNG, JPEG, TIFF, NIfTI, NRRD, MetaImage and DICOM, or cut"
        what = f"{place} is {format_ or known}"
        raise ValueError(f"path must name a picture of a known format; {what}")
    check_header(Path(names[0]), format_)

    def check_count(n_pixels):
        if n_pixels > max_pixels:
            words = "raise max_pixels if there is memory for it"
            raise ValueError(
                f"path has {n_pixels} pixels, more than max_pixels = {max_pixels}; {words}"
            )

    array = None
    if clear or format_ == "PNGImageIO":
        array = grey_and_alpha(place, format_, check_count)
    if array is not None:
        return _picture(sitk.GetImageFromArray(array, isVector=True), array, place, True)
    reader.SetFileName(names[0])
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(f"path must name a picture: {_reason(error, place)}") from error
    dim, size = reader.GetDimension(), reader.GetSize()
    check_count(math.prod(size) * len(names) * reader.GetNumberOfComponents())
    if dim not in (2, 3) or min(size) == 0:
        words = f"{place} has {dim}" if min(size, default=0) else f"{place} has size {size}"
        raise ValueError(f"path must hold a picture of 2 or 3 axes; {words}")
    if format_ == "JPEGImageIO":
        check_jpeg(place)
    header, odd = check_nifti(place) if format_ == "NiftiImageIO" else (None, None)
    try:
        image = sitk.ReadImage(names if len(names) > 1 else names[0])
        array = sitk.GetArrayFromImage(image)
    except RuntimeError as error:
        raise ValueError(f"path must name a whole picture: {_reason(error, place)}") from error
    if len(names) > 1:
        check_slices(reader, names, image, place)
    if header is not None:
        check_axes(header, image, place)
    if odd is not None:  # SimpleITK made them 0
        array[odd[0].reshape(array.shape)] = odd[1]
    return _picture(image, array, place, format_ in _FLAT)


def write_image(
    path: str | os.PathLike,
    data: torch.Tensor,
    like: Picture,
    *,
    dtype: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write values on the grid of a picture, with its place and its type of numbers.

    Parameters
    ----------
    path : str or path
        The file; its ending says the format.
    data : torch.Tensor
        Shape ``like.domain.m``, or with an axis of channels more.
    like : Picture
        Where the values belong.
    dtype : str, optional
        NumPy's name of the type in the file; that of `like` if left out. Of whole numbers, values
        are rounded, and those that the type cannot hold become the nearest that it can; NaN
        becomes 0.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    TypeError
        If `data` is not a tensor, or `like` not a `Picture`.
    ValueError
        If `data` has another shape, or the format cannot be written.
    FileExistsError
        If there is a file, and `overwrite` is false.
    FileNotFoundError
        If its folder does not exist.
    ImportError
        If SimpleITK is not installed.

    References
    ----------
    Chapter 9.
    """
    sitk = _sitk("write_image needs {}")
    checks.check_kind("like", like, Picture)
    checks.check_floating("data", data)
    m, dim = like.domain.m, like.domain.dim
    if tuple(data.shape[:dim]) != m or data.ndim > dim + 1:
        shapes = f"{m}, or one axis more; got {tuple(data.shape)}"
        raise ValueError(f"data must have the shape of the picture, {shapes}")
    place = to_write(path, overwrite)
    array = data.numpy(force=True)
    try:
        kind = np.dtype(like.dtype if dtype is None else dtype)
    except TypeError as error:
        raise ValueError(f"dtype must name a type of NumPy; got {dtype!r}") from error
    if kind.kind not in "iuf":
        raise ValueError(f"dtype must be of whole or floating-point numbers; got {kind}")
    if kind.kind in "iu":
        limits = np.iinfo(kind.name)
        most = float(limits.max)  # of 64 bits it is one too many
        most = np.nextafter(most, 0) if int(most) > limits.max else most
        array = np.nan_to_num(array.astype(np.float64), nan=0.0).round().clip(limits.min, most)
    axes = (*reversed(range(dim)), *range(dim, data.ndim))
    array = np.ascontiguousarray(array.astype(kind).transpose(axes))
    image = sitk.GetImageFromArray(array, isVector=data.ndim > dim)
    image.SetOrigin(like.origin.tolist())
    image.SetSpacing(like.spacing.tolist())
    image.SetDirection(like.direction.flatten().tolist())
    language = locale.setlocale(locale.LC_ALL)  # the writer of DICOM sets another
    try:
        sitk.WriteImage(image, str(place))
    except RuntimeError as error:
        raise ValueError(f"path cannot be written: {_reason(error, place)}") from error
    finally:
        locale.setlocale(locale.LC_ALL, language)


def _sitk(need):
    return checks.imported("SimpleITK", need, extra="images")


def _reason(error, place):
    """What SimpleITK says, without where in its source it stands."""
    words = " ".join(re.split(r"\.[a-z]+:\d+:|ERROR: ", str(error))[-1].split())
    return f"{place}: {re.sub('[(]0x[0-9a-f]+[)]', '', words.rpartition('[nrrd] ')[2])}"


def _picture(image, array, place, flat):
    dim = image.GetDimension()
    if np.iscomplexobj(array):
        raise ValueError(f"path must hold real numbers; {place} holds complex ones")
    origin, spacing = np.array(image.GetOrigin()), np.array(image.GetSpacing())
    direction = np.array(image.GetDirection()).reshape(dim, dim)
    axes = (*reversed(range(dim)), *range(dim, array.ndim))
    array = array.transpose(axes)
    if dim == 3 and array.shape[2] == 1:  # a single slice
        array, dim = array[:, :, 0], 2
        origin, spacing, direction = origin[:2], spacing[:2], direction[:2, :2]
        if not np.allclose(direction.T @ direction, np.eye(2), atol=1e-4):
            words = "a single slice that is not axial has no place in the plane of x and y"
            raise ValueError(f"path must hold a volume, or an axial slice: {place}; {words}")
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ValueError(f"path must have a spacing above 0; {place} has {spacing.tolist()}")
    if not np.allclose(direction.T @ direction, np.eye(dim), atol=1e-4):
        raise ValueError(f"path must have axes at right angles; those of {place} are not")
    m = array.shape[:dim]
    lower = np.zeros(dim) if flat else direction.T @ origin - spacing / 2
    upper = lower + (np.array(m) if flat else spacing * m)
    if not (np.isfinite(lower).all() and (np.abs([lower, upper]) < 1e9 * (upper - lower)).all()):
        words = f"{place} begins at {origin.tolist()} with steps of {spacing.tolist()}"
        raise ValueError(f"path must have an origin that does not drown its spacing; {words}")
    ends = tuple(float(end) for pair in zip(lower, upper, strict=True) for end in pair)
    return Picture(
        data=torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)),
        domain=Domain(ends, m),
        unit="pixel" if flat else "mm",
        origin=origin,
        spacing=spacing,
        direction=direction,
        dtype=str(array.dtype),
        path=str(place),
    )
