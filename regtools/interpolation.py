r"""Cubic B-spline images: from pixels to a function that is C² on all of R^d.

An image is a spline :math:`\mathcal T(x) = \sum_j c_j \prod_k b(u_k - j_k)` in the pixel
coordinate :math:`u = (x - \omega_\mathrm{lo})/h - \tfrac12`, where cell centres are the
whole numbers. The basis :math:`b` is the cubic B-spline scaled to :math:`b(0) = 4`,
:math:`b(\pm1) = 1`. Coefficients outside the array are zero, so the image fades to zero
over two pixels around its box and no derivative up to the second jumps anywhere.

**How it is differentiated.** A spline is locally a cubic. `SplineImage` evaluates all
Taylor coefficients at the *detached* point and returns the polynomial in
``points - points.detach()``, which is zero in value and right in every derivative. Plain
multiplications and additions are all that automatic differentiation ever sees, so every
nesting of transforms is exact; a hand-written rule would have to be repeated for each.
"""

import math
from functools import lru_cache

import numpy as np
import scipy.linalg
import torch

from ._kernels import local_taylor
from .domain import Domain

_functorch = torch._C._functorch  # torch has no public way to ask what acts on a tensor


MAX_ORDER = 3
"""Derivatives of an image with respect to points are exact up to this total order."""


class SplineImage:
    r"""An image as a cubic spline, smooth in the points, the data and the blur `theta`.

    Along each axis the coefficients solve :math:`(B^T B + \theta P)\,c = B^T T` with
    :math:`B = \mathrm{tridiag}(1, 4, 1)` and :math:`P` the Gram matrix of the second
    derivatives of the basis, so `theta` = 0 interpolates the data and a larger `theta`
    gives a smoother image. `theta` is counted in pixels⁴: features of wavelength
    :math:`2\pi\,\theta^{1/4}` pixels are damped to one half.

    The image works under every transform of `torch.func` (and their nestings) and under
    ordinary autograd, with respect to points, data and `theta`. With respect to points,
    derivatives are exact up to total order 3; a fourth one is not.

    Parameters
    ----------
    data : torch.Tensor
        Shape `domain.m`, float32 or float64, at least 4 pixels along each axis. Points
        must have the same dtype and device.
    domain : Domain
        The box that the data fill.

    Raises
    ------
    TypeError
        If `data` is not a floating-point tensor or `domain` is not a `Domain`.
    ValueError
        If `data` has another shape than `domain.m`, fewer than 4 pixels along an axis,
        or values that are not finite.

    References
    ----------
    Paper, section 2.1; Modersitzki, *FAIR* (SIAM, 2009), sections 3.4 and 3.6.
    """

    def __init__(self, data, domain):
        _check_data(data, domain)
        self.data = data
        self.domain = domain
        self._spectrum = data
        dtype = np.float32 if data.dtype == torch.float32 else np.float64
        self._bases = [
            [torch.as_tensor(part.astype(dtype), device=data.device) for part in _eigenbasis(m)]
            for m in domain.m
        ]
        for axis, (analysis, _, _) in enumerate(self._bases):
            self._spectrum = _apply(analysis, self._spectrum, axis)
        self._kept = None  # the last plain (theta, coefficients): solvers repeat one theta

    def __repr__(self):
        return f"SplineImage({tuple(self.data.shape)}, {self.data.dtype}, {self.domain})"

    def coefficients(self, theta=0.0):
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
        return self._coefficients(theta).clone()

    def _coefficients(self, theta):
        _check_theta(theta)
        if self._kept is not None and not torch.is_tensor(theta) and self._kept[0] == theta:
            return self._kept[1]
        coefficients = self._spectrum
        for axis, (_, synthesis, eigenvalues) in enumerate(self._bases):
            shape = [-1 if k == axis else 1 for k in range(self.domain.dim)]
            coefficients = coefficients / (1 + theta * eigenvalues).reshape(shape)
            coefficients = _apply(synthesis, coefficients, axis)
        if not torch.is_tensor(theta) and not _is_recorded(coefficients):
            self._kept = (theta, coefficients)
        return coefficients

    def __call__(self, points, theta=0.0):
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
        _check_points(points, self.data, self.domain)
        order = _needed_order(points)
        fixed = points.detach()
        taylor = local_taylor(self._coefficients(theta), self._pixel_coordinates(fixed), order)
        if order == 0:
            return taylor[(0,) * self.domain.dim]
        return _polynomial(taylor, self._per_pixel(points - fixed))

    def taylor(self, points, theta=0.0, order=1):
        r"""Return value and derivatives at points that need not be differentiated further.

        This is the fast way for code that applies the chain rule itself.

        Parameters
        ----------
        points : torch.Tensor
            Shape ``(n, dim)``, physical units; treated as constants.
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
            As for calling the image, and if `order` is not one of 0, 1, 2, 3.
        """
        if order not in range(MAX_ORDER + 1):
            raise ValueError(f"order must be 0, 1, 2 or 3; got {order!r}")
        _check_points(points, self.data, self.domain)
        u = self._pixel_coordinates(points.detach())
        terms = local_taylor(self._coefficients(theta), u, order)
        h = self.domain.h
        return {
            a: term / math.prod(hk**ak for hk, ak in zip(h, a, strict=True))
            for a, term in terms.items()
        }

    def _pixel_coordinates(self, points):
        columns = points.unbind(-1)
        lower, h = self.domain.lower, self.domain.h
        return [(x - lo) / hk - 0.5 for x, lo, hk in zip(columns, lower, h, strict=True)]

    def _per_pixel(self, steps):
        return [x / hk for x, hk in zip(steps.unbind(-1), self.domain.h, strict=True)]


def frequency_response(frequency, theta):
    r"""Return the gain of the blur for a wave sampled at the cell centres.

    The lattice of an unbounded image is invariant under shifts, so a wave
    :math:`\cos(\nu i)` leaves the spline with another amplitude only:
    :math:`1 / (1 + \theta\,\hat P(\nu) / \hat b(\nu)^2)`. For small :math:`\nu` this is
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
    _check_theta(theta)
    frequency = np.asarray(frequency, dtype=float)
    moments = 96 - 108 * np.cos(frequency) + 12 * np.cos(3 * frequency)
    return 1 / (1 + theta * moments / (4 + 2 * np.cos(frequency)) ** 2)


def half_gain_wavelength(theta):
    """Return the wavelength in pixels that blur `theta` damps to about one half: 2π θ^¼."""
    _check_theta(theta)
    return 2 * math.pi * theta**0.25


@lru_cache(maxsize=32)
def _eigenbasis(m):
    """Diagonalise one axis: (V^T B^T, V, d) with c = V (V^T B^T T) / (1 + theta d)."""
    basis = scipy.linalg.toeplitz([4.0, 1.0] + [0.0] * (m - 2))
    moments = scipy.linalg.toeplitz([96.0, -54.0, 0.0, 6.0] + [0.0] * (m - 4))
    eigenvalues, vectors = scipy.linalg.eigh(moments, basis.T @ basis)
    return vectors.T @ basis.T, vectors, eigenvalues


def _apply(matrix, array, axis):
    """Multiply every line of `array` along `axis` by `matrix`."""
    return torch.tensordot(matrix, array, dims=([1], [axis])).movedim(0, axis)


def _polynomial(taylor, steps):
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


def _needed_order(points):
    """Return how often the points can still be differentiated: 0 for plain ones.

    Each `torch.func` transform that acts on the points differentiates once; ordinary
    autograd may come back any number of times.
    """
    order = 0
    while _functorch.is_functorch_wrapped_tensor(points):
        order += _functorch.is_gradtrackingtensor(points)
        points = _functorch.get_unwrapped(points)
    return MAX_ORDER if _is_recorded(points) else min(order, MAX_ORDER)


def _is_recorded(tensor):
    """Say whether any kind of differentiation or batching acts on `tensor`."""
    return (
        _functorch.is_functorch_wrapped_tensor(tensor)
        or (tensor.requires_grad and torch.is_grad_enabled())
        or torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None
    )


def _values(tensor):
    """Strip what `torch.func` wraps around a tensor, to look at the numbers inside."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor.detach()


def _check_data(data, domain):
    if not isinstance(domain, Domain):
        raise TypeError(f"domain must be a Domain; got {type(domain).__name__}")
    if not torch.is_tensor(data) or data.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"data must be a float32 or float64 tensor; got {_kind(data)}. "
            "Convert with torch.as_tensor(data, dtype=torch.float64)"
        )
    if tuple(data.shape) != domain.m:
        raise ValueError(f"data must have the shape domain.m = {domain.m}; got {tuple(data.shape)}")
    if min(domain.m) < 4:
        raise ValueError(
            f"data must have at least 4 pixels along each axis; got {tuple(data.shape)}"
        )
    _check_finite("data", data, "pixel")


def _check_points(points, data, domain):
    if not torch.is_tensor(points) or points.dtype != data.dtype:
        raise TypeError(f"points must be a tensor of dtype {data.dtype}; got {_kind(points)}")
    if points.device != data.device:
        raise TypeError(f"points must be on {data.device}, as the data; got {points.device}")
    if points.ndim != 2 or points.shape[1] != domain.dim:
        raise ValueError(f"points must have shape (n, {domain.dim}); got {tuple(points.shape)}")
    _check_finite("points", points, "value")


def _check_finite(name, tensor, entry):
    values = _values(tensor)
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        bad = np.argwhere(~finite.cpu().numpy())
        first = tuple(int(k) for k in bad[0])
        raise ValueError(
            f"{name} must be finite; {len(bad)} of {values.numel()} {entry}s are not, "
            f"the first at index {first}: {values[first].item()}"
        )


def _check_theta(theta):
    if torch.is_tensor(theta):
        if theta.ndim:
            raise TypeError(f"theta must be a single number; got shape {tuple(theta.shape)}")
        value = _values(theta)
        worst = float(value.min()), float(value.max())  # `vmap` may hide several values
    else:
        try:
            worst = (float(theta),)
        except (TypeError, ValueError) as error:
            raise TypeError(f"theta must be a number; got {theta!r}") from error
    if not all(math.isfinite(value) and value >= 0 for value in worst):
        raise ValueError(f"theta must be finite and at least 0 (pixels⁴); got {worst[0]}")


def _kind(value):
    return f"a {value.dtype} tensor" if torch.is_tensor(value) else type(value).__name__
