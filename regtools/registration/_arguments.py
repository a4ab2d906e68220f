"""What a registration problem asks of its two images and its map."""

import torch

from ..images import SplineImage, checks
from .transforms import Transform


def check_pair(template, reference, transform):
    """Raise unless the images have as many axes, one dtype and device, and the map its numbers."""
    for name, image in [("template", template), ("reference", reference)]:
        if not isinstance(image, SplineImage):
            raise TypeError(f"{name} must be a SplineImage; got {type(image).__name__}")
    if template.domain.dim != reference.domain.dim:
        raise ValueError(
            "template and reference must have the same number of axes; "
            f"got {template.domain.dim} and {reference.domain.dim}"
        )
    if (template.data.dtype, template.data.device) != (
        reference.data.dtype,
        reference.data.device,
    ):
        raise TypeError(
            "template and reference must have the same dtype and device; got "
            f"{template.data.dtype} on {template.data.device} and "
            f"{reference.data.dtype} on {reference.data.device}"
        )
    if not isinstance(transform, Transform):
        name = getattr(transform, "__name__", type(transform).__name__)
        raise TypeError(f"transform must be an instance of a Transform; got {name}")
    for name in ("dim", "n_params"):
        try:
            checks.whole(name, getattr(transform, name, None))
        except ValueError as error:
            kind = type(transform).__name__
            words = f"transform must set {name}, a whole number from 1; {kind} does not"
            raise TypeError(words) from error
    if transform.dim != template.domain.dim:
        raise ValueError(f"transform must have dim = {template.domain.dim}; got {transform.dim}")
    for name, image in [("template", template), ("reference", reference)]:
        checks.check_unbatched(name, image.data)
        if image.data.min() == image.data.max():
            raise ValueError(f"{name} must not be constant: there is nothing to register")
        checks.check_squares(name, image.data, image.domain.cell_volume)


def check_mask(name, mask, image):
    """Raise unless a mask is None, or numbers from 0 to 1 like those of its image."""
    if mask is None:
        return
    checks.check_like(name, mask, image.data)
    if mask.shape != image.data.shape:
        shapes = f"{tuple(image.data.shape)}; got {tuple(mask.shape)}"
        raise ValueError(f"{name} must have the shape of its image, {shapes}")
    checks.check_finite(name, mask, "pixel")
    if mask.min() < 0 or mask.max() > 1 or mask.max() == 0:
        raise ValueError(
            f"{name} must lie between 0 and 1 and not be zero everywhere; "
            f"got {float(mask.min()):g} to {float(mask.max()):g}"
        )


def opaque(picture, mask):
    """A mask that leaves out what is transparent in a picture."""
    known = picture.known
    if known is None or mask is None:
        return known if mask is None else mask
    fits = torch.is_tensor(mask) and mask.shape == known.shape
    return mask * known.to(mask) if fits else mask  # else the problem says what is wrong


def without_nan(picture, mask, name):
    """Zero where a tensor is NaN, and a mask that is zero there too."""
    if not (torch.is_tensor(picture) and picture.is_floating_point()):
        return picture, mask
    checks.check_dense(name, picture)
    checks.check_unbatched(name, picture)
    known = ~torch.isnan(picture)
    if known.all():
        return picture, mask
    if not known.any():
        raise ValueError(f"{name} must hold numbers; every pixel is NaN")
    filled = torch.where(known, picture, 0)
    if mask is None:
        return filled, known.to(picture)
    fits = torch.is_tensor(mask) and mask.shape == picture.shape
    return filled, torch.where(
        known, mask, 0
    ) if fits else mask  # else the problem says what is wrong


def check_known(name, picture, mask):
    """Raise where all that is known of a picture has one value."""
    if not (torch.is_tensor(picture) and torch.is_tensor(mask) and mask.is_floating_point()):
        return
    checks.check_dense(f"{name}_mask", mask)
    checks.check_unbatched(f"{name}_mask", mask)
    if mask.shape != picture.shape or mask.device != picture.device:
        return  # the problem says what is wrong
    known = picture[mask > 0]
    if known.numel() and known.min() == known.max():
        words = "where it is known: there is nothing to register"
        raise ValueError(f"{name} must not be constant {words}")
