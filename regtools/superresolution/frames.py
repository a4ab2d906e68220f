"""Frames: how they come from an image, how one is enlarged, how they are registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..images import Domain, SplineImage, checks
from ..registration import Affine, PathResult, RegistrationProblem, predictor_corrector
from ..solvers import SolverResult, Status


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
    frame_domain = coarse_domain(domain, factor)
    check_image("image", image, domain)
    spline, transform = SplineImage(image, domain), Affine(domain.dim)
    checks.check_dtype("w", w, image.dtype)
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
    checks.check_whole("factor", factor)
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
    coarse = Domain(domain.omega, tuple(frame.shape))
    points = domain.cell_centers(frame.dtype, frame.device)
    return SplineImage(frame, coarse)(points, theta).reshape(domain.m)


@dataclass(frozen=True, kw_only=True, repr=False)
class FramesResult(SolverResult):
    """What `register_frames` returns.

    Attributes
    ----------
    w : torch.Tensor
        q blocks of affine parameters: what `SuperResolutionProblem` with `fix_first` takes. Where
        a frame was not registered, the identity.
    history : tuple of PathResult
        How each frame was registered, also called ``frames``; frame 0 stays where it is.
    success : bool
        Whether every frame met the gradient test at the last scale.
    status, message, n_iter
        Of the first frame that did not, if there is one; see `SolverResult`.
    """

    w: torch.Tensor

    @property
    def frames(self):
        """The `PathResult` of each frame, frame 0 included."""
        return self.history


def register_frames(
    frames: torch.Tensor,
    domain: Domain,
    *,
    thetas: Sequence[float] = (100.0, 10.0, 1.0, 0.1),
    surround: str = "zero",
    callback: Callable[[Any], object] | None = None,
) -> FramesResult:
    """Return a starting guess for w: register every frame to frame 0, over scales.

    Both images are blurred, and each scale starts where the one before has ended.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(q + 1, m0, m1)``.
    domain : Domain
        The box; its number of cells does not matter.
    thetas : sequence of float
        Decreasing blur in pixels⁴ of the frames.
    surround : {"zero", "overlap"}
        What lies outside the frames, see `RegistrationProblem`: "overlap" for frames cut out of a
        larger picture.
    callback : callable, optional
        ``callback(path)`` after each frame. Ctrl-C returns the frames so far, with the status
        "stopped".

    Returns
    -------
    FramesResult
        The maps are its ``w``.

    Raises
    ------
    TypeError
        If `frames` is not a float32 or float64 tensor, or `domain` not a `Domain`.
    ValueError
        If `frames` are not at least two finite images of one size, or one of them is constant, so
        that nothing tells where it belongs.

    References
    ----------
    Paper, section 4.3, where one image alone was blurred and each scale started afresh. Chapter 5.
    """
    checks.check_domain(domain)
    frames = check_frames(frames, domain.dim)
    if min(frames.shape[1:]) < 4:
        raise ValueError(
            f"frames must have at least 4 pixels along each axis; got {tuple(frames.shape[1:])}"
        )
    constant = [j for j, frame in enumerate(frames) if frame.min() == frame.max()]
    if constant:
        raise ValueError(
            f"frames must not be constant, as nothing tells where they belong; got {constant}. "
            "Leave these out, or give their maps yourself"
        )
    domain = Domain(domain.omega, tuple(frames.shape[1:]))
    first, *others = (SplineImage(frame, domain) for frame in frames)
    transform = Affine(domain.dim)
    w0 = transform.identity(frames.dtype, frames.device)
    paths = [_untouched(w0, Status.CONVERGED, "frame 0 stays where it is")]
    try:
        for other in others:
            # Frame j shows the image at y(x; w_j), and frame 0 the image itself.
            pair = RegistrationProblem(first, other, transform, surround=surround)
            paths.append(predictor_corrector(pair, thetas, w0))
            if callback is not None:
                callback(paths[-1])
            if paths[-1].status is Status.STOPPED:
                break
    except KeyboardInterrupt:
        pass  # in the callback: the frames not yet reached say so
    missing = len(frames) - len(paths)
    paths += [_untouched(w0, Status.STOPPED, "interrupted before this frame")] * missing
    return _frames_result(paths)


def _untouched(w, status, message):
    """The path of a frame that was not moved."""
    converged = status is Status.CONVERGED
    return PathResult(success=converged, status=status, message=message, n_iter=0, w=w)


def _frames_result(paths):
    failed = [(j, path) for j, path in enumerate(paths) if not path.success]
    status, message = Status.CONVERGED, f"{len(paths) - 1} frames registered to frame 0."
    if failed:
        first, path = failed[0]
        status = path.status
        message = (
            f"{len(failed)} of {len(paths) - 1} frames are not registered to the gradient test: "
            f"{[j for j, _ in failed]}. Frame {first}: {path.message} Look at these frames, or "
            "leave them out."
        )
    return FramesResult(
        success=not failed,
        status=status,
        message=message,
        n_iter=sum(path.n_iter for path in paths),
        history=tuple(paths),
        w=torch.cat([path.w for path in paths[1:]]),
    )


def check_image(name: str, image: torch.Tensor, domain: Domain):
    """Raise unless `image` can be a sharp image on `domain`."""
    checks.check_floating(name, image)
    if tuple(image.shape) != domain.m:
        raise ValueError(f"{name} must have shape {domain.m}; got {tuple(image.shape)}")
    checks.check_finite(name, image, "pixel")


def check_frames(frames: torch.Tensor, dim: int, m=None):
    """Return a copy of `frames`; raise unless they can be frames of a problem."""
    if not torch.is_tensor(frames):
        sizes = {tuple(frame.shape) for frame in frames} if _is_images(frames) else set()
        if len(sizes) > 1:
            raise ValueError(f"frames must all have one size; got {sorted(sizes)}")
        hint = "; stack them with torch.stack(frames)" if sizes else ""
        raise TypeError(f"frames must be one tensor; got {type(frames).__name__}{hint}")
    checks.check_floating("frames", frames)
    if frames.ndim != 1 + dim or (m and tuple(frames.shape[1:]) != m):
        sizes = ", ".join(str(m[k]) if m else f"m{k}" for k in range(dim))
        why = ", the cells of domain over factor" if m else ""
        raise ValueError(f"frames must have shape (q + 1, {sizes}){why}; got {tuple(frames.shape)}")
    if len(frames) < 2:
        raise ValueError(f"frames must hold at least 2 frames; got {len(frames)}")
    checks.check_finite("frames", frames, "pixel")
    return frames.detach().clone()


def _is_images(frames):
    return isinstance(frames, (list, tuple)) and all(map(torch.is_tensor, frames))
