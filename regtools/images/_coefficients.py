"""The coefficients of one spline image at any blur.

Those of plain numbers are solved for, in linear time. Where the data or theta are differentiated or
batched, a basis that diagonalises each axis gives them by operations that torch can follow.
"""

import numpy as np
import torch

from . import _fused, _tracing
from ._bases import PAD, mirror_basis, zero_basis

_BASES = {"zero": zero_basis, "mirror": mirror_basis}
EXTENSIONS = tuple(_BASES)


class Coefficients:
    """Spline coefficients of `data` on its own lattice, and beyond where the image goes on.

    Parameters
    ----------
    data : torch.Tensor
        The pixels; not copied.
    extension : {"zero", "mirror"}
        What counts as outside.
    """

    def __init__(self, data, extension):
        self.data, self.extension = data, extension
        self.beyond = PAD if extension == "mirror" else 0
        # The last (theta, coefficients), as solvers repeat one theta. Never of data that are
        # differentiated: what was computed without a record must not be served to one with it.
        self._is_plain = _tracing.is_plain(data)
        self._kept = self._analysed = None
        if not self._is_plain:
            self._spectrum()  # now: what acts on the data later may end before the image does

    def at(self, theta):
        """Return the coefficients at theta, a number or a tensor without axes."""
        theta = self._number(theta)
        if torch.is_tensor(theta) or not self._is_plain:
            return self._synthesised(theta, False)
        kept = self._kept
        if kept is None or kept[0] != theta:
            kept = self._kept = theta, self._solved(theta, False)
        return kept[1]

    def rate(self, theta):
        """Return the derivative of the coefficients in theta."""
        theta = self._number(theta)
        if torch.is_tensor(theta) or not self._is_plain:
            return self._synthesised(theta, True)
        return self._solved(theta, True)

    def inner(self, coefficients):
        """Return the coefficients that lie in the box."""
        return coefficients[tuple(slice(self.beyond, self.beyond + m) for m in self.data.shape)]

    def _number(self, theta):
        plain = torch.is_tensor(theta) and self._is_plain and _tracing.is_plain(theta)
        return float(theta) if plain else theta

    def _solved(self, theta, rate):
        with _tracing.outside_transforms():
            mirrored = self.extension == "mirror"
            known = self.inner(self.at(theta)) if rate else self.data
            if _fused.works(known.device):
                from . import _triton_bands

                solve = _triton_bands.rate if rate else _triton_bands.coefficients
                return _triton_bands.widened(solve(known, mirrored, theta), mirrored).to(self.data)
            from . import _bands  # only here: Numba takes half a second to import

            solve = _bands.rate if rate else _bands.coefficients
            found = solve(known.numpy(force=True).astype(np.float64), mirrored, theta)
            return torch.from_numpy(_bands.widened(found, mirrored)).to(self.data)

    def _synthesised(self, theta, rate):
        """As spectrum / (1 + theta · eigenvalues), which torch can differentiate."""
        spectrum, bases = self._spectrum()
        slope = 0
        for axis, (_, _, eigenvalues) in enumerate(bases):
            d = eigenvalues.reshape([-1 if k == axis else 1 for k in range(self.data.ndim)])
            spectrum = spectrum / (1 + theta * d)
            slope = slope - d / (1 + theta * d)
        coefficients = spectrum * slope if rate else spectrum
        for axis, (_, synthesis, _) in enumerate(bases):
            coefficients = _apply(synthesis, coefficients, axis)
        return coefficients

    def _spectrum(self):
        """The data in the basis of each axis, and the bases; kept."""
        if self._analysed is None:
            data = self.data
            dtype = np.float32 if data.dtype == torch.float32 else np.float64
            make = _BASES[self.extension]
            with _tracing.outside_transforms():
                bases = [
                    [torch.as_tensor(part.astype(dtype), device=data.device) for part in make(m)]
                    for m in data.shape
                ]
            with _tracing.outside_transforms(data):
                for axis, (analysis, _, _) in enumerate(bases):
                    data = _apply(analysis, data, axis)
            self._analysed = data, bases
        return self._analysed


def interpolating(image: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the coefficients of the spline through `image`, black outside, along `dim` axes.

    Axes after these number images. The map is linear and symmetric, so all its derivatives are
    itself.
    """
    solve = _interpolated if _tracing.is_plain(image) else _Interpolating.apply
    return solve(image, dim)


def _interpolated(image, dim):
    from . import _interpolation  # only here, as above

    return torch.from_numpy(_interpolation.solved(image.numpy(force=True), dim)).to(image)


class _Interpolating(torch.autograd.Function):
    @staticmethod
    def forward(*args):
        return _interpolated(*args)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.dim = inputs[1]

    @staticmethod
    def backward(ctx, *args):
        return interpolating(args[0], ctx.dim), None

    @staticmethod
    def jvp(ctx, *args):
        return interpolating(args[0], ctx.dim)

    @staticmethod
    def vmap(info, in_dims, *args):
        image, dim = args
        return interpolating(image.movedim(in_dims[0], -1), dim), -1


def _apply(matrix, array, axis):
    """Multiply every line of `array` along `axis` by `matrix`."""
    return torch.tensordot(matrix, array, dims=([1], [axis])).movedim(0, axis)
