"""Register a pair of images: choose what lies outside and where to begin, follow, keep the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..images import Domain, Picture, SplineImage, checks
from ..solvers import Status
from ._arguments import check_known, opaque, without_nan
from .boxes import laid, one_to_one
from .itk import as_headers_say, boxes_of
from .path import check_thetas
from .problem import SURROUNDS, RegistrationProblem
from .registered import Registration
from .rigid import Rigid, Similarity, Translation
from .search import Search, covered, wishes
from .surround import choose_surround
from .transforms import Affine, AffineSubset, Placed


def register(
    template: torch.Tensor | SplineImage | Picture,
    reference: torch.Tensor | SplineImage | Picture,
    *,
    domain: Domain | None = None,
    transform: str | AffineSubset | None = None,
    surround: str = "auto",
    distance: str | Callable = "ncc",
    start: str | torch.Tensor | Sequence[str | torch.Tensor] = "auto",
    template_mask: torch.Tensor | None = None,
    reference_mask: torch.Tensor | None = None,
    thetas: Sequence[float] | None = None,
    callback: Callable[[Any], object] | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> Registration:
    r"""Find the map that moves the template onto the reference.

    A path over scales ends in the valley in which it begins, so it is followed from several starts
    and the lowest end is kept. Every start is reported.

    Parameters
    ----------
    template, reference : torch.Tensor, SplineImage or Picture
        The pair, of one dtype and device; grey values in any unit. A pixel of a tensor may
        be NaN: it is not known, as with a mask that is 0 there. Tensors may differ in shape: the
        template is then laid with its centre on that of the reference, with cells of
        one width that gives both boxes the same area or volume. A `SplineImage` has a box of its
        own, in one unit with that of the other. Of a `Picture`, as `read_image` returns it, the
        grey values are registered, transparent pixels count as not known, and the search
        begins where the headers put both.
    domain : Domain, optional
        The box of the reference, for two tensors. Without it cells have the width one.
    transform : {"affine", "similarity", "rigid", "translation"} or AffineSubset, optional
        The kind of map, affine if left out; by name about the centre of the reference and, of
        files, after what their headers say. Where lengths are counted in pixels, a rigid map
        and a translation take a pixel to a pixel.
    surround : {"auto", "zero", "overlap"}
        What lies outside the box, see `RegistrationProblem`; "auto" asks `choose_surround`, or
        takes "overlap" where there is a mask.
    distance : {"ssd", "ncc", "mi", "ngf"} or callable
        Squared differences, for two pictures of one brightness; correlation, which gain and offset
        do not change; mutual information or gradient fields, for two kinds of picture; or
        a function of your own, see `RegistrationProblem`.
    start : {"auto", "identity", "moments", "angles", "features"}, tensor, or sequence of these
        Where to begin, see `regtools.registration.starts`; a tensor holds parameters of your own,
        shape ``(n_params,)`` or ``(k, n_params)``, or those of affine maps. Of a sequence all are
        tried. "auto" tries the
        identity, moments where the surround is zero, features where scikit-image is installed, and
        angles; it stops early at a misfit below 0.5 %, or where features lead to the same
        end as another start. Of four or more starts by one name, as angles are, each is
        followed over one scale, and from there the two that are lowest and differ.
    template_mask, reference_mask : torch.Tensor, optional
        How far each pixel is to be trusted, from 0 to 1.
    thetas : sequence of float, optional
        Decreasing blur in pixels⁴. Two a decade if left out, from waves of half the shorter side
        of the box to 0.01.
    callback : callable, optional
        ``callback(attempt)`` after each start. Ctrl-C, or StopIteration raised in it, returns the
        best so far.
    progress : callable, optional
        ``progress(name, done, total)`` after each scale of a start, to draw a bar.

    Returns
    -------
    Registration

    Raises
    ------
    TypeError
        If an image is neither a tensor nor a `SplineImage`, only one is, dtypes differ, or
        `transform` or `start` is of another type.
    ValueError
        If the numbers of axes differ, `domain` is given with a `SplineImage`, an image is constant
        or not finite, `transform`, `surround`, `distance` or `start` is another word, a mask with
        "zero", or none of the starts asked for exists for these images.
    ImportError
        If `start` names "features", and scikit-image is not installed.

    References
    ----------
    Paper, section 3, for one start. Chapters 3 and 9.
    """
    pictures, boxes = None, None
    if isinstance(template, Picture) and isinstance(reference, Picture):
        if domain is not None:
            raise ValueError("domain must be left out where the pictures have theirs")
        pictures, boxes = (template, reference), boxes_of(template, reference)
        template_mask = opaque(template, template_mask)
        reference_mask = opaque(reference, reference_mask)
        template, reference = template.grey, reference.grey
    template, template_mask = without_nan(template, template_mask, "template")
    reference, reference_mask = without_nan(reference, reference_mask, "reference")
    check_known("template", template, template_mask)
    check_known("reference", reference, reference_mask)
    own_boxes = isinstance(template, SplineImage)
    moving, fixed = _images(template, reference, domain, boxes)
    together = None if pictures is None else as_headers_say(*pictures)
    if together is None and transform in ("rigid", "translation") and not own_boxes:
        together = one_to_one(moving.domain, fixed.domain)
    transform = _transform(transform, fixed.domain, together)
    masked = template_mask is not None or reference_mask is not None
    surround = _surround(surround, (moving, fixed), masked)
    problem = RegistrationProblem(
        moving,
        fixed,
        transform,
        surround=surround,
        template_mask=template_mask,
        reference_mask=reference_mask,
        distance=distance,
    )
    problem.together = together
    thetas = default_thetas(problem.domain) if thetas is None else check_thetas(thetas)
    search = Search(problem, thetas, callback, progress)
    search.run(wishes(start, problem))
    best = search.best()
    path, w = best.path, best.w
    assert path is not None and w is not None
    inside = covered(problem, w)
    trust = torch.ones_like(fixed.data) if reference_mask is None else reference_mask
    overlap = float(trust[inside].sum() / trust.sum())
    status = Status.STOPPED if search.stopped else best.status
    assert status is not None
    gain, offset = problem.brightness(w, thetas[-1])
    tried = sum(one.w0 is not None for one in search.attempts)
    return Registration(
        success=path.success and status is Status.CONVERGED,
        status=status,
        message=f"{status.value}: the lowest of {tried} starts is {best.name}, with a misfit of "
        f'{100 * best.misfit:.2g} %; surround="{surround}". {best.message}' + _inverted(gain),
        n_iter=sum(one.n_iter for one in search.attempts),
        history=path.history,
        w=w,
        transform=transform,
        problem=problem,
        path=path,
        starts=tuple(search.attempts),
        surround=surround,
        overlap=overlap,
        misfit=best.misfit,
        gain=gain,
        offset=offset,
        template=moving,
        pictures=pictures,
    )


_MAPS = {
    "affine": lambda domain: Affine(domain.dim),
    "similarity": Similarity,
    "rigid": Rigid,
    "translation": lambda domain: Translation(domain.dim),
}


def _inverted(gain):
    """What to say of a negative gain."""
    return "" if gain >= 0 else f" Dark and bright are exchanged: the gain is {gain:.2g}."


def _transform(transform, domain, together):
    """The map that is asked for by name, or as it is."""
    if isinstance(transform, AffineSubset):
        return transform
    transform = "affine" if transform is None else transform
    if not isinstance(transform, str):
        words = f"transform must be an AffineSubset, or one of {list(_MAPS)}"
        raise TypeError(f"{words}; got {checks.kind(transform)}")
    checks.check_choice("transform", transform, tuple(_MAPS))
    found = _MAPS[transform](domain)
    alone = together is None or isinstance(found, Affine)
    return found if alone else Placed(found, together)


def default_thetas(domain: Domain) -> list[float]:
    """Return two scales a decade, from waves of half the shorter side of the box to 0.01."""
    first = max(1.0, 1000 * (min(domain.m) / 64) ** 4)
    n = 1 + math.ceil(2 * math.log10(first / 0.01))
    return np.geomspace(first, 0.01, n).tolist()


def _images(template, reference, domain, boxes=None):
    """Both pictures as images in their boxes."""
    given = {"template": template, "reference": reference}
    images = [picture for picture in given.values() if isinstance(picture, SplineImage)]
    if len(images) == 2:
        if domain is not None:
            raise ValueError("domain must be left out where the images have theirs")
        return images
    for name, picture in given.items():
        if images or not torch.is_tensor(picture):
            kinds = " and ".join(checks.kind(one) for one in given.values())
            raise TypeError(f"{name} must be a tensor, or both images a SplineImage; got {kinds}")
        checks.check_floating(name, picture)
        checks.check_finite(name, picture, "pixel")
    if template.ndim != reference.ndim or template.ndim not in (2, 3):
        raise ValueError(
            "template and reference must have as many axes, 2 or 3; "
            f"got shapes {tuple(template.shape)} and {tuple(reference.shape)}"
        )
    for name, picture in given.items():
        if min(picture.shape) < 4:
            words = f"4 pixels along each axis; got {tuple(picture.shape)}"
            raise ValueError(f"{name} must have at least {words}")
    if boxes is not None:
        return [SplineImage(*one) for one in zip(given.values(), boxes, strict=True)]
    if domain is None:
        box = tuple(float(end) for m in reference.shape for end in (0, m))
        domain = Domain(box, tuple(reference.shape))
    checks.check_domain(domain)
    if tuple(reference.shape) != domain.m:
        shapes = f"{tuple(reference.shape)}; got {domain.m}"
        raise ValueError(f"domain.m must be the shape of the reference, {shapes}")
    boxes = laid(template.shape, domain), domain
    return [SplineImage(*one) for one in zip(given.values(), boxes, strict=True)]


def _surround(surround, images, masked):
    """The word that `RegistrationProblem` takes."""
    checks.check_choice("surround", surround, ("auto", *SURROUNDS))
    if surround == "zero" and masked:
        words = 'a mask needs surround="overlap", and so does a pixel that is NaN'
        raise ValueError(f'surround must not be "zero": {words}')
    if surround != "auto":
        return surround
    return "overlap" if masked else choose_surround(*(image.data for image in images))
