"""Maps between pictures that were read from files, in ITK's coordinates and its transform files."""

from __future__ import annotations

import os

import numpy as np
import torch

from ..images import Domain, Picture, checks, existing, to_write
from .boxes import laid


def boxes_of(template: Picture, reference: Picture) -> tuple[Domain, Domain]:
    """Return the boxes in which two pictures are compared.

    In millimetres each has its own. Pixels without a place are laid on each other.

    Raises
    ------
    ValueError
        If one is counted in millimetres and the other in pixels, or in another number of axes.
    """
    if template.unit != reference.unit:
        raise ValueError(
            "template and reference must be counted in one unit; "
            f"got {template.unit} ({template.path}) and {reference.unit} ({reference.path})"
        )
    if template.domain.dim != reference.domain.dim:
        raise ValueError(
            "template and reference must have as many axes; "
            f"got {template.domain.dim} ({template.path}) and {reference.domain.dim} "
            f"({reference.path})"
        )
    if template.unit == "pixel":
        return laid(template.domain.m, reference.domain), reference.domain
    return template.domain, reference.domain


def as_headers_say(template: Picture, reference: Picture) -> torch.Tensor | None:
    """Return the affine map at which both lie as their files say; None where these say nothing."""
    if reference.unit == "pixel":
        return None
    dim = reference.domain.dim
    return from_files(np.eye(dim), np.zeros(dim), (template, reference))


def to_files(w: torch.Tensor, pictures: tuple[Picture, Picture]) -> tuple[np.ndarray, np.ndarray]:
    """Return A and b of a map between boxes, as one between the points of the files."""
    (T, t), (R, r) = _frames(pictures)
    dim, numbers = len(t), w.numpy(force=True).astype(float)
    A, b = numbers[: dim * dim].reshape(dim, dim), numbers[dim * dim :]
    A = T @ A @ np.linalg.inv(R)
    return A, T @ b + t - A @ r


def from_files(A: np.ndarray, b: np.ndarray, pictures: tuple[Picture, Picture]) -> torch.Tensor:
    """Return the parameters of an `Affine` between boxes, from a map between the files' points."""
    (T, t), (R, r) = _frames(pictures)
    back = np.linalg.inv(T)
    return torch.from_numpy(np.concatenate([(back @ A @ R).ravel(), back @ (A @ r + b - t)]))


def _frames(pictures):
    boxes = boxes_of(*pictures)
    return [one.to_file(box) for one, box in zip(pictures, boxes, strict=True)]


def write_transform(
    path: str | os.PathLike,
    w: torch.Tensor,
    pictures: tuple[Picture, Picture],
    *,
    overwrite: bool = False,
) -> None:
    """Write an affine map as an ITK transform, from points of the reference to the template's.

    That is what SimpleITK's ``Resample(template, reference, transform)`` takes, and what 3D Slicer
    and ANTs read. Resampled with B-splines the picture is that of `Registration.warp`, but for two
    pixels at the border of the template.

    Parameters
    ----------
    path : str or path
        Ending in .tfm, .txt, .mat, .h5, .hdf5 or .xfm.
    w : torch.Tensor
        Parameters of an `Affine` between the boxes of the pictures.
    pictures : tuple of Picture
        Template and reference.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ValueError, TypeError
        If `w` has another shape, or the format cannot be written.
    FileExistsError, FileNotFoundError
        If there is a file and `overwrite` is false, or no such folder.
    ImportError
        If SimpleITK is not installed.
    """
    sitk = checks.imported("SimpleITK", "write_transform needs {}", extra="images")
    template, reference = _both(pictures)
    dim = reference.domain.dim
    checks.check_vector("w", w, dim * (dim + 1))
    checks.check_finite("w", w, "value")
    place = to_write(path, overwrite)
    A, b = to_files(w, (template, reference))
    transform = sitk.AffineTransform(dim)
    transform.SetMatrix(A.ravel().tolist())
    transform.SetTranslation(b.tolist())
    try:
        sitk.WriteTransform(transform, str(place))
    except RuntimeError as error:
        raise ValueError(f"path must end as a transform file does; got {place}") from error


def read_transform(path: str | os.PathLike, pictures: tuple[Picture, Picture]) -> torch.Tensor:
    """Return the parameters of an `Affine` from an ITK transform file, as a `start` of `register`.

    Parameters
    ----------
    path : str or path
        A transform that is affine, or made of such, as rigid ones and similarities are.
    pictures : tuple of Picture
        Template and reference.

    Returns
    -------
    torch.Tensor
        Shape ``(6,)`` or ``(12,)``, float64.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no transform, one that is not affine, or one of another number of axes.
    ImportError
        If SimpleITK is not installed.
    """
    sitk = checks.imported("SimpleITK", "read_transform needs {}", extra="images")
    template, reference = _both(pictures)
    place = existing(path, "a file")
    try:
        transform = sitk.ReadTransform(str(place))
    except RuntimeError as error:
        raise ValueError(f"path must hold a transform; {path} does not") from error
    dim = reference.domain.dim
    if transform.GetDimension() != dim:
        raise ValueError(f"path must hold a map of {dim} axes; got {transform.GetDimension()}")
    if not transform.IsLinear():
        raise ValueError(f"path must hold an affine map; {path} bends")
    b = np.array(transform.TransformPoint([0.0] * dim))
    columns = [np.array(transform.TransformPoint(unit.tolist())) - b for unit in np.eye(dim)]
    return from_files(np.stack(columns, axis=1), b, (template, reference))


def _both(pictures):
    try:
        template, reference = pictures
    except (TypeError, ValueError) as error:
        raise TypeError(f"pictures must be two of them; got {checks.kind(pictures)}") from error
    for one in (template, reference):
        checks.check_kind("pictures", one, Picture)
    return template, reference
