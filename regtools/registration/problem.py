r"""The residual and loss of a template/reference pair under a parametric map."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch

from ..images import Copied, Pair, SplineImage, averaged, checks, copy, tracing
from ..solvers import NotFiniteError
from . import _affine, distances, measures
from ._arguments import check_mask, check_pair
from .boxes import coarser_box, pixels_per_pixel
from .overlap import Overlap, filled
from .transforms import Transform

SURROUNDS = ("zero", "overlap")
MASKS = ("template_mask", "reference_mask")


class RegistrationProblem:
    r"""Find w such that the moved template :math:`\mathcal T(y(x; w))` matches the reference.

    The residual is :math:`r_i = \sqrt{h_1 h_2}\,(\mathcal T(y(x_i; w)) - \mathcal R(x_i))` at the
    cell centres of the reference, both images blurred by the same theta. The loss is
    :math:`J = \lVert r \rVert^2 + \lambda^2 S(w)`.

    Parameters
    ----------
    template, reference : SplineImage
        With as many axes, the same dtype and device. Boxes and cells may differ, where both are
        counted in one unit: the loss is summed over the cells of the reference, θ is counted in
        its pixels, and the template has the same blur in that unit.
    transform : Transform
        The map y(x; w), for example `Affine`, `NeuralODE` or a subclass of your own.
    regularizer : callable, optional
        ``S(w)``, a differentiable number, such as `Tikhonov`.
    lam : float
        Weight λ ≥ 0 of the regulariser, squared in the loss.
    surround : {"zero", "overlap"}
        What lies outside the box. "zero": nothing, as in the paper; right where the border is
        dark. "overlap": the picture goes on there, unknown, and the images are compared where
        both are known, see `regtools.registration.overlap`.
    template_mask, reference_mask : torch.Tensor, optional
        With "overlap": how far each pixel is to be trusted, from 0 to 1, shape ``domain.m``.
    distance : {"ssd", "ncc", "mi", "ngf"} or callable
        Squared differences; one minus the squared correlation, which gain and offset do not
        change, see `regtools.registration.distances`; mutual information, gradient fields or a
        function of your own, see `regtools.registration.measures`: these have no residual.

    Raises
    ------
    TypeError
        If `template` or `reference` is not a `SplineImage`, their dtypes or devices differ, or
        `transform` is not a `Transform` with its two numbers.
    ValueError
        If the numbers of axes differ, that of `transform` is another, an image is constant or its
        squares leave the dtype, `lam` is negative, not finite, or given without a regulariser,
        `surround` or `distance` is another word, or a mask is given without "overlap" or is none.

    References
    ----------
    Paper, equation (2); Modersitzki, *FAIR* (SIAM, 2009), chapter 6.
    """

    scaling = Copied()

    def __init__(
        self,
        template: SplineImage,
        reference: SplineImage,
        transform: Transform,
        regularizer: Callable[[torch.Tensor], torch.Tensor] | None = None,
        lam: float = 0.0,
        *,
        surround: str = "zero",
        template_mask: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
        distance: str | Callable = "ssd",
    ) -> None:
        check_pair(template, reference, transform)
        lam = checks.weight("lam", lam)
        if regularizer is not None:
            checks.check_callable("regularizer", regularizer, also=", or None")
        if lam > 0 and regularizer is None:
            raise ValueError(f"lam = {lam} needs a regularizer; got None")
        checks.check_choice("surround", surround, SURROUNDS)
        self.measure = measures.chosen(distance)
        # dw = S dz: solvers look for z, whatever the unit of length and the origin.
        scaling = transform.scaling(reference.domain)
        self.scaling = None if scaling is None else scaling.to(template.data)
        self.surround, self.overlap = surround, None
        self._pair, self._masks = (template, reference), (template_mask, reference_mask)
        for name, mask, image in zip(MASKS, self._masks, self._pair, strict=True):
            check_mask(name, mask, image)
            if mask is not None and surround != "overlap":
                raise ValueError('a mask needs surround="overlap"')
        self.distance, self._units = distance, ((0.0, 1.0), (0.0, 1.0))
        if distance != "ssd":
            counted = distances.standardised if self.measure is None else measures.ranged
            (template, *one), (reference, *other) = (
                counted(image, mask, surround == "overlap")
                for image, mask in zip(self._pair, self._masks, strict=True)
            )
            self._units = one, other
        if surround == "overlap":
            self.overlap = Overlap(template, reference, template_mask, reference_mask)
            template, reference = (
                filled(template, template_mask),
                filled(reference, reference_mask),
            )
        if template.domain != reference.domain:
            template = template.counted(pixels_per_pixel(reference.domain, template.domain) ** 4)
        self.template, self.reference = template, reference
        self.transform, self.regularizer, self.lam = transform, regularizer, lam
        self.domain = reference.domain
        self.weight = math.sqrt(self.domain.cell_volume)
        self._kept, self._coarser = None, {}
        self.together = None  # parameters at which both lie as their files say

    @classmethod
    def of(cls, pair: Pair, transform: Transform, **options) -> RegistrationProblem:
        """Make the problem of a `Pair`, as `load` returns it; options as above."""
        checks.check_kind("pair", pair, Pair)
        template = SplineImage(pair.template, pair.domain)
        return cls(template, SplineImage(pair.reference, pair.domain), transform, **options)

    def __repr__(self):
        name = getattr(self.distance, "__name__", self.distance)
        words = f"{self.transform} on {self.domain}, {name}, lam={self.lam:g}"
        return f"RegistrationProblem({words})"

    @cached_property
    def _points(self):
        data = self.reference._data
        with tracing.outside_transforms():
            return self.domain.cell_centers(data.dtype, data.device)

    @cached_property
    def frame(self):
        """What an affine map needs to be counted in pixels."""
        return _affine.Frame.of(self.domain, self.template.domain)

    @property
    def box_volume(self):
        """The volume of the box, as the sum of those of its cells."""
        return self.domain.cell_volume * math.prod(self.domain.m)

    @property
    def points(self) -> torch.Tensor:
        """The cell centres of the reference, shape ``(n, dim)`` in C order; a copy."""
        return copy(self._points)

    def identity(self) -> torch.Tensor:
        """Return the parameters of y(x) = x, with the dtype and device of the images."""
        data = self.reference.data
        return self.transform.identity(data.dtype, data.device)

    def residual(self, w: torch.Tensor, theta: float | torch.Tensor) -> torch.Tensor:
        """Return the residual, shape ``(n,)`` in C order of the cells, grey value × √volume.

        With ``surround="overlap"`` or ``distance="ncc"`` it has entries more, for what is not
        seen. With "ncc" grey values are counted in spreads of the reference.

        Parameters
        ----------
        w : torch.Tensor
            Shape ``(transform.n_params,)``.
        theta : float or torch.Tensor
            Blur of both images in pixels⁴.

        Raises
        ------
        ValueError
            If `distance` is no sum of squares.
        """
        if self.measure is not None:
            words = 'distance must be "ssd" or "ncc" for a residual and for Gauss–Newton'
            raise ValueError(f"{words}; got {self.distance!r}")
        values, reference, v = self._seen(w, theta)
        if self.distance == "ncc":
            return self.weight * distances.residual(values, reference, v)
        difference = values - reference
        if self.overlap is None or v is None:
            return self.weight * difference
        missing = difference.new_full((1,), (self.overlap.extra * self.overlap.variance) ** 0.5)
        seen = v.square().sum() + self.overlap.extra
        rows = torch.cat([v * difference, missing])
        return (self.box_volume / seen).sqrt() * rows

    def _seen(self, w, theta):
        """Moved template, reference and visibility (or None) at the cell centres."""
        y = self.moved_points(w)
        v = None if self.overlap is None else self.overlap.visibility(y)
        return self.template(y, theta), self.reference_values(theta), v

    def moved_points(self, w: torch.Tensor) -> torch.Tensor:
        """Return the moved cell centres y(x; w), shape ``(n, dim)``.

        Raises
        ------
        NotFiniteError
            A ValueError: if the map is not defined at `w`.
        ValueError, TypeError
            If `w` has another shape than ``(n_params,)``, or the map changes that of the points.
        """
        self.check_parameters(w)
        return self.checked_points(self.transform(w, self.points), self._points)

    def checked_points(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return what the map made of points x; raise unless these can be looked at."""
        name = f"what {type(self.transform).__name__} makes of the points"
        checks.check_like(name, y, x)
        checks.check_shape(name, y, x.shape)
        try:
            checks.check_finite(name, y, "value")
        except ValueError as error:
            raise NotFiniteError(f"w must be where the map is defined: {error}") from error
        return y

    def check_constants(self) -> None:
        """Raise if an image or a mask is differentiated: what a solver returns is a constant."""
        mask = None if self.overlap is None else self.overlap.template_mask
        named = {"template_mask": mask, "template": self.template, "reference": self.reference}
        for name, image in named.items():
            if image is not None:
                checks.check_constant(name, image.data)

    def check_start(self, w0: torch.Tensor) -> None:
        """Raise unless a solver can start at `w0`."""
        self.check_constants()
        checks.check_constant("w0", w0)
        self.check_parameters(w0, "w0")
        checks.check_finite("w0", w0, "value")

    def check_parameters(self, w: torch.Tensor, name: str = "w") -> None:
        """Raise unless `w` has the shape ``(n_params,)``, and is like the images."""
        checks.check_vector(name, w, self.transform.n_params, self.reference._data)

    def reference_values(self, theta: float | torch.Tensor) -> torch.Tensor:
        """Return the reference at the cell centres, shape ``(n,)``; kept while theta stays."""
        return copy(self.kept_reference(checks.check_theta(theta)))

    def kept_reference(self, theta):
        """Return the reference at the cell centres; not to be changed."""
        if torch.is_tensor(theta) or not tracing.is_plain(self.reference._data):
            return self.reference.at_cells(theta)
        kept = self._kept
        if kept is None or kept[0] != theta:
            kept = self._kept = theta, self.reference.at_cells(theta)
        return kept[1]

    def coarser(self, factor: int) -> RegistrationProblem:
        """Return the problem with fewer cells, about `factor` times as wide; kept.

        Pixels are averaged. The box and the parameters stay, and a blur of theta pixels⁴ is one of
        theta / factor⁴ of the wider pixels.

        Parameters
        ----------
        factor : int
            At least 1; an axis keeps at least 4 cells.

        Raises
        ------
        ValueError
            If `factor` is not a whole number from 1.
        """
        factor = checks.whole("factor", factor)
        domain = self.domain.coarser(factor)
        if domain == self.domain:
            return self
        if factor not in self._coarser:
            options: dict = {"surround": self.surround, "distance": self.distance}
            finer = self if factor % 2 else self.coarser(factor // 2)
            boxes = coarser_box(self._pair[0].domain, self.domain, domain), domain
            images = [
                SplineImage(averaged(one._data, box.m), box)
                for one, box in zip(finer._pair, boxes, strict=True)
            ]
            if self.overlap is not None:
                options |= {
                    name: None if mask is None else averaged(mask, box.m).clamp(0, 1)
                    for name, mask, box in zip(MASKS, finer._masks, boxes, strict=True)
                }
            self._coarser[factor] = RegistrationProblem(
                *images, self.transform, self.regularizer, self.lam, **options
            )
        return self._coarser[factor]

    def covered(self, w: torch.Tensor, theta: float = 0.0) -> float:
        """Return which part of the reference the template covers; 1 where it is zero outside.

        It is the same at any `theta`; one at which the loss was computed last saves work.
        """
        self.check_parameters(w)
        if self.overlap is None:
            return 1.0
        if _affine.fits(self, w, theta):
            seen = _affine.sums(self, w, theta, 1)[1][0]
        else:
            seen = self.overlap.visibility(self.moved_points(w)).detach().square().sum()
        return float(seen / self.overlap._seen.square().sum())

    def brightness(self, w: torch.Tensor, theta: float = 0.0) -> tuple[float, float]:
        """Return gain a and offset b, of a 𝒯 + b nearest to ℛ where both are seen."""
        return distances.matched(*self._seen(w, theta), self._units)

    def loss_out_of_sight(self, theta: float) -> float:
        """Return the loss with nothing of the template in sight."""
        if self.distance != "ssd":
            return self.box_volume
        if self.overlap is not None:
            return self.box_volume * self.overlap.variance
        return self.domain.cell_volume * float(self.reference_values(theta).square().sum())

    def scaled(self, derivative: torch.Tensor) -> torch.Tensor:
        """Return a gradient or Hessian in z, from that in w: Sᵀ g or Sᵀ H S, see `newton`."""
        checks.check_like("derivative", derivative, self.reference._data)
        axes = 1 if derivative.ndim == 1 else 2
        checks.check_shape("derivative", derivative, (self.transform.n_params,) * axes)
        S = self.scaling
        if S is None:
            return derivative
        return S.T @ derivative if derivative.ndim == 1 else S.T @ derivative @ S

    def stepped(self, w: torch.Tensor, dz: torch.Tensor) -> torch.Tensor:
        """Return w + S dz, the parameters after a step in z."""
        self.check_parameters(w)
        self.check_parameters(dz, "dz")
        return w + (dz if self.scaling is None else self.scaling @ dz)

    def loss(self, w: torch.Tensor, theta: float | torch.Tensor) -> torch.Tensor:
        """Return J(w; theta), a number."""
        loss = self.unlikeness(w, theta)
        return loss + self.penalty(w) if self.lam else loss

    def unlikeness(self, w: torch.Tensor, theta: float | torch.Tensor) -> torch.Tensor:
        """Return the loss without the regulariser, a number: the volume times the distance."""
        if self.measure is None:
            return self.residual(w, theta).square().sum()
        return self.box_volume * measures.measured(self, *self._seen(w, theta))

    def penalty(self, w: torch.Tensor) -> torch.Tensor:
        """Return λ² S(w), a number."""
        if not self.lam or self.regularizer is None:
            return torch.zeros((), dtype=w.dtype, device=w.device)
        return self.lam**2 * measures.checked(self.regularizer(w), self, "regularizer")
