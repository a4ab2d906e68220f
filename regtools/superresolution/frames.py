"""Frames: how they come from an image, and how one is enlarged."""

from __future__ import annotations

import torch

from ..images import Domain, SplineImage, checks
from ..registration import Affine, AffineSubset


def average_blocks(image: torch.Tensor, factor: int, dim: int):
    """Apply K: average blocks of `factor` pixels along each of the first `dim` axes."""
    shape = [part for m in image.shape[:dim] for part in (m // factor, factor)]
    blocks = image.reshape(*shape, *image.shape[dim:])
    return blocks.mean(dim=tuple(range(1, 2 * dim, 2)))


def differences(image: torch.Tensor, h):
    """Apply L: forward differences over h, one tensor for each axis of `h`."""
    return [image.diff(dim=axis) / width for axis, width in enumerate(h)]


def simulate_frames(
    image: torch.Tensor, domain: Domain, factor: int, w: torch.Tensor
) -> torch.Tensor:
    """Return the coarse frames that an image gives under q maps.

    Parameters
    ----------
    image : torch.Tensor
        The sharp image, shape `domain.m`.
    domain : Domain
        The box that it fills.
    factor : int
        Pixels averaged along each axis, k; divides every entry of `domain.m`.
    w : torch.Tensor
        q blocks of affine parameters, each ``[A row by row, b]``; frame 0 is not moved.

    Returns
    -------
    torch.Tensor
        Shape ``(q + 1, m0 / k, m1 / k)``, in the units of the image.

    Raises
    ------
    ValueError, TypeError
        If `factor` does not divide `domain.m`, `image` does not fit `domain`, or `w` is not made
        of such blocks, finite and of the dtype of `image`.

    References
    ----------
    Paper, section 4: d = (I ⊗ K) I(w) f. Chapter 5.
    """
    factor = checks.whole("factor", factor)
    frame_domain = coarse_domain(domain, factor)
    check_image("image", image, domain)
    spline, transform = SplineImage(image, domain), Affine(domain.dim)
    checks.check_like("w", w, image)
    if w.ndim != 1 or len(w) % transform.n_params or not len(w):
        raise ValueError(
            f"w must hold blocks of {transform.n_params} parameters, one a moved frame; "
            f"got shape {tuple(w.shape)}"
        )
    checks.check_finite("w", w, "value")
    points = domain.cell_centers(image.dtype, image.device)
    frames = [image]
    for block in w.reshape(-1, transform.n_params):
        frames.append(spline(transform(block, points)).reshape(domain.m))
    stacked = torch.stack(frames, dim=-1)
    return average_blocks(stacked, factor, domain.dim).movedim(-1, 0).reshape(-1, *frame_domain.m)


def coarse_domain(domain: Domain, factor: int):
    """Return the box with cells `factor` times as wide, checking that this is possible."""
    checks.check_domain(domain)
    factor = checks.whole("factor", factor)
    if any(m % factor for m in domain.m):
        raise ValueError(f"factor must divide domain.m = {domain.m}; got {factor}")
    return Domain(domain.omega, tuple(m // factor for m in domain.m))


def enlarged_frame(
    frame: torch.Tensor, domain: Domain, theta: float | torch.Tensor = 1e-2
) -> torch.Tensor:
    """Return a coarse frame as a smooth function, read at the cells of a finer image.

    Parameters
    ----------
    frame : torch.Tensor
        Floating-point, one axis of `domain` each, at least 4 pixels long.
    domain : Domain
        The box with the cells of the image.
    theta : float
        Blur in pixels⁴ of the frame.

    Returns
    -------
    torch.Tensor
        Shape `domain.m`.

    Raises
    ------
    ValueError, TypeError
        As `SplineImage`.

    References
    ----------
    What the published experiments of section 4.3 start their projections from. Chapter 8.
    """
    checks.check_domain(domain)
    checks.check_floating("frame", frame)
    if frame.ndim != domain.dim or min(frame.shape) < 4:
        raise ValueError(
            f"frame must have {domain.dim} axes, as domain, of at least 4 pixels each; "
            f"got {tuple(frame.shape)}"
        )
    checks.check_finite("frame", frame, "pixel")
    coarse = Domain(domain.omega, tuple(frame.shape))
    points = domain.cell_centers(frame.dtype, frame.device)
    return SplineImage(frame, coarse)(points, theta).reshape(domain.m)


def check_image(name: str, image: torch.Tensor, domain: Domain):
    """Raise unless `image` can be a sharp image on `domain`."""
    checks.check_floating(name, image)
    if tuple(image.shape) != domain.m:
        raise ValueError(f"{name} must have shape {domain.m}; got {tuple(image.shape)}")
    checks.check_finite(name, image, "pixel")


ROWS = ("stacked", "data")


def check_rows(rows: str):
    """Raise unless `rows` is "stacked" or "data"."""
    checks.check_choice("rows", rows, ROWS)


def check_solver(solver: str):
    """Raise unless `solver` is "cg" or "direct"."""
    checks.check_choice("solver", solver, ("cg", "direct"))


def check_transform(transform: AffineSubset, dim: int):
    """Raise unless this can be the map of the frames of a problem."""
    if not isinstance(transform, AffineSubset):
        kind = getattr(transform, "__name__", type(transform).__name__)
        raise TypeError(f"transform must be an instance of an AffineSubset; got {kind}")
    if transform.dim != dim:
        raise ValueError(f"transform must have dim = {dim}; got {transform.dim}")


def check_weights(weights: torch.Tensor | None, frames: torch.Tensor):
    """Return a copy of `weights`; raise unless they can be those of `frames`."""
    if weights is None:
        return None
    _check_stack(frames)
    checks.check_like("weights", weights, frames)
    checks.check_constant("weights", weights)
    if weights.shape != frames.shape:
        raise ValueError(
            f"weights must have the shape of frames, {tuple(frames.shape)}; "
            f"got {tuple(weights.shape)}"
        )
    checks.check_finite("weights", weights, "pixel")
    if weights.min() < 0 or weights.max() > 1 or weights.max() == 0:
        raise ValueError(
            "weights must lie between 0 and 1 and not be zero everywhere; "
            f"got {float(weights.min()):g} to {float(weights.max()):g}"
        )
    return weights.clone()


def check_frames(frames: torch.Tensor, dim: int, m=None, weights=None):
    """Return a copy of `frames`; raise unless they can be frames of a problem.

    Where `weights` are zero a frame may hold anything, and the copy holds 0.
    """
    _check_stack(frames)
    checks.check_constant("frames", frames)
    if frames.ndim != 1 + dim or (m and tuple(frames.shape[1:]) != m):
        sizes = ", ".join(str(m[k]) if m else f"m{k}" for k in range(dim))
        why = ", the cells of domain over factor" if m else ""
        raise ValueError(f"frames must have shape (q + 1, {sizes}){why}; got {tuple(frames.shape)}")
    if len(frames) < 2:
        raise ValueError(f"frames must hold at least 2 frames; got {len(frames)}")
    if weights is not None:
        frames = torch.where(weights > 0, frames, 0)
    checks.check_finite("frames", frames, "pixel")
    return frames.clone()


def check_pixels(frames):
    """Raise unless splines can go through frames."""
    if min(frames.shape[1:]) < 4:
        shape = tuple(frames.shape[1:])
        raise ValueError(f"frames must have at least 4 pixels along each axis; got {shape}")


def _check_stack(frames):
    """Raise unless `frames` is one tensor."""
    if not torch.is_tensor(frames):
        images = isinstance(frames, (list, tuple)) and all(map(torch.is_tensor, frames))
        sizes = {tuple(frame.shape) for frame in frames} if images else set()
        if len(sizes) > 1:
            raise ValueError(f"frames must all have one size; got {sorted(sizes)}")
        hint = "; stack them with torch.stack(frames)" if sizes else ""
        raise TypeError(f"frames must be one tensor; got {type(frames).__name__}{hint}")
    checks.check_floating("frames", frames)
