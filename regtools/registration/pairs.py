"""Register a pair of images: choose what lies outside and where to begin, follow, keep the best."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..images import Domain, Picture, SplineImage, checks
from ..solvers import SolverResult, Status
from ._arguments import opaque, without_nan
from .boxes import laid
from .itk import as_headers_say, boxes_of, to_files, write_transform
from .path import PathResult, check_thetas
from .problem import SURROUNDS, RegistrationProblem
from .search import Attempt, Search, covered, wishes
from .surround import choose_surround
from .transforms import Affine
from .warping import nearest, warped


@dataclass(frozen=True, kw_only=True, repr=False)
class Registration(SolverResult):
    """A map that moves the template onto the reference, and how it was found.

    Attributes
    ----------
    w : torch.Tensor
        Parameters of the map, shape ``(n_params,)``: the template at y(x; w) shows what the
        reference shows at x.
    transform : Affine
        The map y(x; w).
    problem : RegistrationProblem
        What was minimised; its residual tells how well the images agree.
    path : PathResult
        The path that ended lowest.
    starts : tuple of Attempt
        Every start that was tried, in this order.
    surround : {"zero", "overlap"}
        What was taken to lie outside the box.
    overlap : float
        Share of the reference that the moved template covers, 0 to 1; with a reference mask of what
        this mask trusts.
    misfit : float
        Loss at the last scale over that of a constant template with the mean of the reference.
    gain, offset : float
        What the moved template is multiplied with and what is added, to be nearest to the
        reference where both are seen; of either distance. A negative gain says that dark and bright
        are exchanged.
    pictures : tuple of Picture or None
        Template and reference, where these were read from files.
    history : tuple of Step
        The scales of `path`.
    n_iter : int
        Corrector steps, summed over all starts.
    success, status, message
        Those of the best start, see `SolverResult`. A success says that its path ended at a minimum
        with the images on each other, not that it is the right one: look at `misfit` and `starts`.
    """

    w: torch.Tensor
    transform: Affine
    problem: RegistrationProblem = field(repr=False)
    path: PathResult = field(repr=False)
    starts: tuple[Attempt, ...] = field(repr=False)
    surround: str
    overlap: float
    misfit: float
    gain: float
    offset: float
    template: SplineImage = field(repr=False)
    pictures: tuple[Picture, Picture] | None = field(default=None, repr=False)

    def warp(
        self,
        picture: torch.Tensor | None = None,
        *,
        by_nearest: bool = False,
        outside: float = 0.0,
    ) -> torch.Tensor:
        """Return the template, moved onto the grid of the reference.

        Parameters
        ----------
        picture : torch.Tensor, optional
            What to move instead, such as another channel of the template, of its shape; with an
            axis more, all channels of the last axis.
        by_nearest : bool
            Whether to take the nearest pixel instead of a spline: for labels, of any type.
        outside : float
            What stands where the template is not known.

        Returns
        -------
        torch.Tensor
            Of the shape of the reference; `outside` where the template is not known: see `covered`,
            and where `picture` is NaN.

        Raises
        ------
        TypeError, ValueError
            If `picture` has another shape than the template or, unless it is moved `by_nearest`,
            another dtype, or is not finite, or `outside` is not a finite number.
        """
        data, domain = self.template.data, self.template.domain
        by_nearest = checks.check_flag("by_nearest", by_nearest)
        outside = checks.number("outside", outside)
        if picture is not None:
            if not (by_nearest and torch.is_tensor(picture)):
                checks.check_like("picture", picture, data)
            if picture.ndim == data.ndim + 1 and picture.shape[:-1] == data.shape:
                options = {"by_nearest": by_nearest, "outside": outside}
                return torch.stack([self.warp(one, **options) for one in picture.unbind(-1)], -1)
            if picture.shape != data.shape:
                shapes = f"{tuple(data.shape)}; got {tuple(picture.shape)}"
                raise ValueError(f"picture must have the shape of the template, {shapes}")
            data = picture
        y, m = self.transform(self.w, self.problem.points), self.problem.domain.m
        if by_nearest:
            return nearest(data, domain, y, outside).reshape(m)
        extension = "zero" if self.surround == "zero" else "mirror"
        return warped(data, domain, y, extension, outside).reshape(m)

    def in_files(self) -> tuple[np.ndarray, np.ndarray]:
        """Return A and b in the coordinates of the files, from the reference's to the template's.

        Raises
        ------
        ValueError
            If the pictures were not read from files.
        """
        return to_files(self.w, self._pictures())

    def write_transform(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write the map as an ITK transform file, see `regtools.registration.itk`.

        Raises
        ------
        ValueError
            If the pictures were not read from files; and as `itk.write_transform`.
        """
        write_transform(path, self.w, self._pictures(), overwrite=overwrite)

    def _pictures(self):
        if self.pictures is None:
            raise ValueError("pictures must come from read_image: tensors have no place in a file")
        return self.pictures

    def covered(self) -> torch.Tensor:
        """Return where the moved template covers the reference, of its shape, bool."""
        return covered(self.problem, self.w)


def register(
    template: torch.Tensor | SplineImage | Picture,
    reference: torch.Tensor | SplineImage | Picture,
    *,
    domain: Domain | None = None,
    transform: Affine | None = None,
    surround: str = "auto",
    distance: str = "ncc",
    start: str | torch.Tensor | Sequence[str | torch.Tensor] = "auto",
    template_mask: torch.Tensor | None = None,
    reference_mask: torch.Tensor | None = None,
    thetas: Sequence[float] | None = None,
    callback: Callable[[Any], object] | None = None,
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
    transform : Affine, optional
        The map; an affine one of the right dimension if left out.
    surround : {"auto", "zero", "overlap"}
        What lies outside the box, see `RegistrationProblem`; "auto" asks `choose_surround`, or
        takes "overlap" where there is a mask.
    distance : {"ssd", "ncc"}
        Squared differences, for two pictures of one brightness, or correlation, which gain and
        offset do not change, see `regtools.registration.distances`.
    start : {"auto", "identity", "moments", "angles", "features"}, tensor, or sequence of these
        Where to begin, see `regtools.registration.starts`; a tensor holds parameters of your own,
        shape ``(n_params,)`` or ``(k, n_params)``. Of a sequence all are tried. "auto" tries the
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

    Returns
    -------
    Registration

    Raises
    ------
    TypeError
        If an image is neither a tensor nor a `SplineImage`, only one is, dtypes differ, `transform`
        is not an `Affine`, or `start` is of another type.
    ValueError
        If the numbers of axes differ, `domain` is given with a `SplineImage`, an image is constant
        or not finite, `surround`, `distance` or `start` is another word, a mask is given with
        "zero", or none of the starts asked for exists for these images.
    ImportError
        If `start` names "features", and scikit-image is not installed.

    References
    ----------
    Paper, section 3, for one start. Chapter 3.
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
    moving, fixed = _images(template, reference, domain, boxes)
    transform = Affine(moving.domain.dim) if transform is None else transform
    if not isinstance(transform, Affine):
        raise TypeError(f"transform must be an Affine, or None; got {type(transform).__name__}")
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
    problem.together = None if pictures is None else as_headers_say(*pictures)
    thetas = default_thetas(problem.domain) if thetas is None else check_thetas(thetas)
    search = Search(problem, thetas, callback)
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


def _inverted(gain):
    """What to say of a negative gain."""
    return "" if gain >= 0 else f" Dark and bright are exchanged: the gain is {gain:.2g}."


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
