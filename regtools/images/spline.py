r"""Cubic B-spline images: from pixels to a function that is C² on all of R^d.

An image is a spline :math:`\mathcal T(x) = \sum_j c_j \prod_k \varphi(u_k - j_k)` in the pixel
coordinate :math:`u = (x - \omega_\mathrm{lo})/h - \tfrac12`, where cell centres are the
whole numbers. The basis :math:`\varphi` is the cubic B-spline scaled to :math:`\varphi(0) = 4`,
:math:`\varphi(\pm1) = 1`. Coefficients outside the array are zero, so the image fades to zero
within one and a half pixels around its box and no derivative up to the second jumps anywhere.

**How it is differentiated.** A spline is locally a cubic. `SplineImage` evaluates all
Taylor coefficients at the *detached* point and returns the polynomial in
``points - points.detach()``, which is zero in value and right in every derivative. Plain
multiplications and additions are all that automatic differentiation ever sees, so every
nesting of transforms is exact. Points that ordinary autograd follows take a rule of their own,
which computes the next derivative only when it is asked for.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike

from . import _checks as checks
from . import _tracing
from ._coefficients import EXTENSIONS, Coefficients
from ._copied import Copied
from ._taylor import local_taylor
from .domain import Domain


class SplineImage:
    r"""An image as a cubic spline, smooth in the points, the data and the blur `theta`.

    Along each axis the coefficients solve :math:`(B^T B + \theta P)\,c = B^T T` with
    :math:`B = \mathrm{tridiag}(1, 4, 1)` and :math:`P` the Gram matrix of the second
    derivatives of the basis, so `theta` = 0 interpolates the data and a larger `theta`
    gives a smoother image. `theta` is counted in pixels⁴: waves along an axis of
    :math:`2\pi\,\theta^{1/4}` pixels are damped to one half. Where pixels are not square, that
    is another physical length along each axis.

    The image works under `grad`, `vjp`, `jvp`, `jacrev`, `jacfwd`, `hessian`, `vmap` of
    `torch.func` and their nestings, and under ordinary autograd, with respect to points, data
    and `theta`, to every order. At whole pixels third derivatives jump; the value is that of
    the piece to the right. Inside a transform, differentiate again with a transform, not with
    `torch.autograd.grad`: the image computes as many derivatives as transforms act on it.

    On the CPU, images of 2 or 3 axes are evaluated by compiled code. The first evaluation of
    its kind on a machine takes a few seconds longer: the code is compiled then and kept on
    disk for all later runs.

    Parameters
    ----------
    data : torch.Tensor
        Shape `domain.m`, float32 or float64, at least 4 pixels along each axis. Points
        must have the same dtype and device. The image keeps a copy and hands out copies.
    domain : Domain
        The box that the data fill.
    extension : {"zero", "mirror"}
        What counts as outside: nothing, so that the image fades to zero, or, for a picture that
        goes on there, its mirror image, so that a blur does not darken the border. The mirror
        image reaches three pixels beyond the box.

    Raises
    ------
    TypeError
        If `data` is not a floating-point tensor or `domain` is not a `Domain`.
    ValueError
        If `data` has another shape than `domain.m`, fewer than 4 pixels along an axis,
        or values that are not finite, or `extension` is another word.

    References
    ----------
    Paper, section 2.1; Modersitzki, *FAIR* (SIAM, 2009), sections 3.4 and 3.6. Chapter 1.
    """

    data = Copied()
    _data: torch.Tensor

    def __init__(self, data: torch.Tensor, domain: Domain, extension: str = "zero") -> None:
        checks.check_data(data, domain)
        checks.check_choice("extension", extension, EXTENSIONS)
        self.extension = extension
        self.data = data
        self.domain = domain
        self._coefficients = Coefficients(self._data, extension)
        self._blur_unit = 1.0
        self.beyond = self._coefficients.beyond
        self._lattice = domain.padded(self.beyond) if self.beyond else domain

    def __repr__(self):
        return f"SplineImage({tuple(self._data.shape)}, {self._data.dtype}, {self.domain})"

    def coefficients(self, theta: float | torch.Tensor = 0.0) -> torch.Tensor:
        """Return the spline coefficients for blur `theta`.

        Parameters
        ----------
        theta : float or torch.Tensor
            Blur in pixels⁴, finite and not negative; a tensor must have no axes.

        Returns
        -------
        torch.Tensor
            Shape `domain.m`; differentiable in the data and in `theta`.

        Raises
        ------
        ValueError
            If `theta` is negative or not finite.
        TypeError
            If `theta` is not a number.
        """
        return self._coefficients.inner(self.lattice_coefficients(theta)).clone()

    def __call__(self, points: torch.Tensor, theta: float | torch.Tensor = 0.0) -> torch.Tensor:
        """Evaluate the image.

        Parameters
        ----------
        points : torch.Tensor
            Shape ``(n, dim)``, physical units, dtype and device of the data.
        theta : float or torch.Tensor
            Blur in pixels⁴, see `coefficients`.

        Returns
        -------
        torch.Tensor
            Shape ``(n,)``, in the units of the data.

        Raises
        ------
        ValueError
            If `points` has the wrong shape or holds values that are not finite, or if
            `theta` is negative or not finite.
        TypeError
            If `points` is not a tensor of the dtype and device of the data.
        """
        checks.check_points(points, self._data, self.domain)
        coefficients, dim = self.lattice_coefficients(theta), self.domain.dim
        order, recorded = _tracing.derivative_depth(points), _tracing.is_recorded(points)
        if (
            recorded
            and _tracing.is_plain(coefficients)
            and not (order or _tracing.inside_transforms())
        ):
            return _Derivative.apply(points, coefficients, self._lattice, (0,) * dim)
        fixed = _tracing.constant(points)
        order = 3 * dim if recorded else min(order, 3 * dim)  # an axis has no more than 3
        taylor = self._taylor(fixed, coefficients, order)
        return _polynomial(taylor, (points - fixed).unbind(-1)) if order else taylor[(0,) * dim]

    def taylor(
        self, points: torch.Tensor, theta: float | torch.Tensor = 0.0, order: int = 1
    ) -> dict[tuple[int, ...], torch.Tensor]:
        r"""Return value and derivatives at points that need not be differentiated further.

        This is the fast way for code that applies the chain rule itself.

        Parameters
        ----------
        points : torch.Tensor
            Shape ``(n, dim)``, physical units; constants.
        theta : float or torch.Tensor
            Blur in pixels⁴, see `coefficients`.
        order : int
            Highest total order, 0 to 3.

        Returns
        -------
        dict
            For each multi-index ``a`` with ``sum(a) <= order``, a tuple of `dim` whole
            numbers, the Taylor coefficient :math:`\partial^a \mathcal T / a!` at each
            point: shape ``(n,)``, physical units.

        Raises
        ------
        ValueError, TypeError
            As for calling the image, and if `order` is not one of 0, 1, 2, 3, or `points` are
            differentiated.
        """
        order = checks.check_order(order)
        self._check_constant(points)
        return self._taylor(points, self.lattice_coefficients(theta), order)

    def taylor_theta_derivative(
        self, points: torch.Tensor, theta: float | torch.Tensor = 0.0, order: int = 1
    ) -> dict[tuple[int, ...], torch.Tensor]:
        """Return the derivative with respect to theta of what `taylor` returns.

        The image is linear in its coefficients, so this is the spline of their derivative.

        Parameters
        ----------
        points, theta, order
            As for `taylor`.

        Returns
        -------
        dict
            As `taylor`, per pixel⁴.

        Raises
        ------
        ValueError, TypeError
            As `taylor`.
        """
        order = checks.check_order(order)
        self._check_constant(points)
        return self._taylor(points, self.lattice_coefficients(theta, rate=True), order)

    def at_cells(self, theta: float | torch.Tensor = 0.0, rate: bool = False) -> torch.Tensor:
        """Return the image at its own cell centres, shape ``(n,)`` in C order; faster than a call.

        Parameters
        ----------
        theta : float or torch.Tensor
            Blur in pixels⁴, see `coefficients`.
        rate : bool
            Whether to return the derivative in theta instead.

        Raises
        ------
        ValueError, TypeError
            As `coefficients`.
        """
        values = self.lattice_coefficients(theta, rate)
        beyond = self.beyond
        with _tracing.outside_transforms(values):
            for axis, m in enumerate(self.domain.m):
                if not beyond:
                    around = [1 if k == axis else 0 for k in reversed(range(values.ndim))]
                    around = [side for side in around for _ in range(2)]
                    values = torch.nn.functional.pad(values, around)
                first = beyond if beyond else 1
                middle = values.narrow(axis, first, m)
                before, after = (values.narrow(axis, first + k, m) for k in (-1, 1))
                values = 4 * middle + (before + after)
            return values.flatten()

    def lattice_coefficients(self, theta, rate=False):
        """Return all coefficients, also those beyond the box, or their rate; not to be changed."""
        theta = checks.check_theta(theta) * self._blur_unit
        if rate:
            return self._coefficients.rate(theta) * self._blur_unit
        return self._coefficients.at(theta)

    def counted(self, unit: float) -> SplineImage:
        """Return the image with theta counted in `unit` pixels⁴, as pixels of another image."""
        image = SplineImage(self._data, self.domain, self.extension)
        image._blur_unit = unit
        return image

    def _check_constant(self, points):
        checks.check_points(points, self._data, self.domain)
        hint = "what is returned are the derivatives; call the image to differentiate it"
        checks.check_constant("points", points, hint, batched=True)

    def _taylor(self, points, coefficients, order):
        fixed = _tracing.constant(points)
        with _tracing.outside_transforms(fixed, coefficients):
            return local_taylor(coefficients, fixed, self._lattice, order)


def frequency_response(frequency: ArrayLike, theta: float) -> np.ndarray:
    r"""Return the gain of the blur for a wave sampled at the cell centres.

    The lattice of an unbounded image is invariant under shifts, so a wave
    :math:`\cos(\nu i)` leaves the spline with another amplitude only:
    :math:`1 / (1 + \theta\,\hat P(\nu) / \hat\varphi(\nu)^2)`. For small :math:`\nu` this is
    close to :math:`1 / (1 + \theta \nu^4)`.

    Parameters
    ----------
    frequency : array_like
        Angular frequency ν in radians per pixel, 0 to π.
    theta : float
        Blur in pixels⁴.

    Returns
    -------
    numpy.ndarray
        Gain between 0 and 1, shape of `frequency`.

    References
    ----------
    Unser, "Splines: a perfect fit for signal and image processing" (1999).
    """
    theta = checks.not_negative("theta", theta)
    frequency = np.asarray(frequency, dtype=float)
    moments = 96 - 108 * np.cos(frequency) + 12 * np.cos(3 * frequency)
    return 1 / (1 + theta * moments / (4 + 2 * np.cos(frequency)) ** 2)


def half_gain_wavelength(theta: float) -> float:
    """Return the wavelength in pixels that blur `theta` damps to about one half: 2π θ^¼."""
    theta = checks.not_negative("theta", theta)
    return 2 * math.pi * theta**0.25


def _polynomial(taylor: dict[tuple[int, ...], torch.Tensor], steps):
    """Sum the Taylor terms: the steps are zero, and what differentiation acts on."""
    constant, *others = sorted(taylor, key=sum)
    powers = {constant: torch.ones_like(steps[0])}
    total = taylor[constant]
    for a in others:
        axis = max(k for k, power in enumerate(a) if power)
        lower = tuple(power - (k == axis) for k, power in enumerate(a))
        powers[a] = powers[lower] * steps[axis] if sum(lower) else steps[axis]
        total = torch.addcmul(total, taylor[a], powers[a])
    return total


class _Derivative(torch.autograd.Function):
    """Derivative `a` of a spline at points, for ordinary autograd alone.

    The backward pass is made of derivatives again, so it can be recorded and repeated without
    end. It must never meet forward mode, where such rules go wrong under nesting.
    """

    @staticmethod
    def forward(ctx, points, coefficients, domain, a):
        terms = local_taylor(coefficients, points.detach(), domain, sum(a) + 1)
        slope = torch.stack([_scaled(terms, up, points) for up in _raised(a)], dim=1)
        ctx.constants = coefficients, domain, a
        ctx.save_for_backward(points, slope)
        return _scaled(terms, a, points)

    @staticmethod
    def backward(ctx, weight):  # ty: ignore[incompatible-method-override]
        points, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            *constants, a = ctx.constants
            columns = [_Derivative.apply(points, *constants, up) for up in _raised(a)]
            slope = torch.stack(columns, dim=1)
        return weight[:, None] * slope, None, None, None


def _raised(a):
    """Return the multi-indices one above `a`, axis by axis."""
    return [tuple(k + (axis == j) for j, k in enumerate(a)) for axis in range(len(a))]


def _scaled(terms, a, points):
    """Return derivative `a` from the Taylor terms; more than three along an axis give zero."""
    if max(a) > 3:
        return torch.zeros_like(points[:, 0])
    return terms[a] * math.prod(math.factorial(k) for k in a)
