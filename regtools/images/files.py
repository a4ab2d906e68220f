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
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from . import _checks as checks
from ._short import ShortRepr
from ._whole import check_jpeg, nans_of
from .domain import Domain
from .spline import SplineImage

MAX_PIXELS = 2**28
"""Pixels times channels that are read unless more are asked for: 2 GB as float64."""
_FLAT = (".png", ".jpg", ".jpeg", ".tif", ".tiff")  # pixels without a place
_FORMATS = tuple(
    f"{name}ImageIO" for name in ("GDCM", "JPEG", "Meta", "Nifti", "Nrrd", "PNG", "TIFF")
)
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
        above 0, or axes that are not at right angles; or if a folder holds no DICOM series, or
        several.
    ImportError
        If SimpleITK is not installed.

    References
    ----------
    Chapter 9.
    """
    sitk = _sitk("read_image needs {}")
    max_pixels = checks.whole("max_pixels", max_pixels)
    place = _existing(path)
    names = _series(sitk, place) if place.is_dir() else [str(place)]
    reader = sitk.ImageFileReader()
    reader.SetFileName(names[0])
    try:
        reader.ReadImageInformation()
        n_pixels = math.prod(reader.GetSize()) * len(names) * reader.GetNumberOfComponents()
    except RuntimeError as error:
        raise ValueError(f"path must name a picture: {_reason(error, place)}") from error
    if n_pixels > max_pixels:
        words = "raise max_pixels if there is memory for it"
        raise ValueError(
            f"path has {n_pixels} pixels, more than max_pixels = {max_pixels}; {words}"
        )
    format_ = reader.GetImageIOFromFileName(names[0])
    if format_ not in _FORMATS:
        raise ValueError(f"path must name a picture of a known format; {place} is {format_}")
    if format_ == "JPEGImageIO":
        check_jpeg(place)
    unknown = nans_of(place) if format_ == "NiftiImageIO" else None
    try:
        image = sitk.ReadImage(names if place.is_dir() else names[0])
        array = sitk.GetArrayFromImage(image)
    except RuntimeError as error:
        raise ValueError(f"path must name a whole picture: {_reason(error, place)}") from error
    if unknown is not None and unknown.any():  # SimpleITK made them 0
        array[unknown.reshape(array.shape)] = np.nan
    return _picture(image, array, place)


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


def to_write(path, overwrite):
    """Return a path at which something may be written."""
    checks.check_flag("overwrite", overwrite)
    place = Path(path)
    if not place.parent.is_dir():
        raise FileNotFoundError(f"path must lie in a folder that exists; got {place}")
    if place.exists() and not overwrite:
        raise FileExistsError(f"path must be free, or overwrite true; there is {place}")
    return place


def _sitk(need):
    return checks.imported("SimpleITK", need, extra="images")


def _existing(path):
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a string or a path; got {checks.kind(path)}")
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"path must name a file or a folder; there is no {place}")
    return place


def _series(sitk, folder):
    """The files of the one series in a folder, in order."""
    found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(found) != 1:
        what = "none" if not found else f"{len(found)}"
        raise ValueError(f"path must be a folder with one DICOM series; {folder} holds {what}")
    return list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), found[0]))


def _reason(error, place):
    """The last line of what SimpleITK says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{place}: {lines[-1] if lines else error}"


def _picture(image, array, place):
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
    if dim not in (2, 3):
        raise ValueError(f"path must hold a picture of 2 or 3 axes; {place} has {dim}")
    if not (np.isfinite(spacing).all() and (spacing > 0).all() and np.isfinite(origin).all()):
        raise ValueError(f"path must have a spacing above 0; {place} has {spacing.tolist()}")
    if not np.allclose(direction.T @ direction, np.eye(dim), atol=1e-4):
        raise ValueError(f"path must have axes at right angles; those of {place} are not")
    m = array.shape[:dim]
    flat = place.suffix.lower() in _FLAT
    lower = np.zeros(dim) if flat else direction.T @ origin - spacing / 2
    upper = lower + (np.array(m) if flat else spacing * m)
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
