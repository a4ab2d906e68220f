"""Checks of what a user hands to an image; each error names argument, given and allowed."""

import importlib
import math
from numbers import Integral

import numpy as np
import torch

from . import _tracing
from .domain import Domain


def check_domain(domain):
    """Raise unless `domain` is a `Domain`."""
    if not isinstance(domain, Domain):
        raise TypeError(f"domain must be a Domain; got {type(domain).__name__}")


def check_data(data, domain):
    """Raise unless `data` can be an image on `domain`."""
    check_domain(domain)
    check_floating("data", data, ". Convert with torch.as_tensor(data, dtype=torch.float64)")
    if tuple(data.shape) != domain.m:
        raise ValueError(f"data must have the shape domain.m = {domain.m}; got {tuple(data.shape)}")
    if min(domain.m) < 4:
        raise ValueError(
            f"data must have at least 4 pixels along each axis; got {tuple(data.shape)}"
        )
    check_finite("data", data, "pixel")


def check_points(points, data, domain):
    """Raise unless an image of `data` can be evaluated at `points`."""
    check_dtype("points", points, data.dtype)
    if points.device != data.device:
        raise TypeError(f"points must be on {data.device}, as the data; got {points.device}")
    if points.ndim != 2 or points.shape[1] != domain.dim:
        raise ValueError(f"points must have shape (n, {domain.dim}); got {tuple(points.shape)}")
    check_finite("points", points, "value")


def check_dtype(name, tensor, dtype):
    """Raise unless `tensor` is a tensor of this dtype."""
    if not torch.is_tensor(tensor) or tensor.dtype != dtype:
        raise TypeError(f"{name} must be a tensor of dtype {dtype}; got {kind(tensor)}")


def check_floating(name, tensor, hint=""):
    """Raise unless `tensor` is a float32 or float64 tensor."""
    if not torch.is_tensor(tensor) or tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be a float32 or float64 tensor; got {kind(tensor)}{hint}")


def check_finite(name, tensor, entry):
    """Raise unless every entry of a tensor is finite."""
    if _tracing.records_program():
        return  # there are no numbers yet
    values = _tracing.values(tensor)
    with _tracing.outside_transforms(values):
        if math.isfinite(values.sum()):  # quick; where the sum overflows, look closer
            return
        finite = torch.isfinite(values)
    if not bool(finite.all()):
        bad = np.argwhere(~finite.cpu().numpy())
        first = tuple(int(k) for k in bad[0])
        raise ValueError(
            f"{name} must be finite; {len(bad)} of {values.numel()} {entry}s are not, "
            f"the first at index {first}: {values[first].item()}"
        )


def check_order(order):
    """Raise unless `order` is 0, 1, 2 or 3."""
    if not isinstance(order, int) or not 0 <= order <= 3:
        raise ValueError(f"order must be 0, 1, 2 or 3; got {order!r}")


def is_number(value):
    """Whether a value is a real number, and not a truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_positive(name, value):
    """Raise unless `value` is a finite number above 0."""
    if not (is_number(value) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and above 0; got {value!r}")


def check_whole(name, value, also=""):
    """Raise unless `value` is a whole number from 1; `also` names what else is allowed."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1{also}; got {value!r}")


def check_choice(name, value, allowed):
    """Raise unless `value` is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}; got {value!r}")


def imported(module, need):
    """Return a module of the extra "data", or say that `need` asks for it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{need.format(module)}; install it with pip install "regtools[data]"'
        ) from error


def check_n_iter(name, n_iter):
    """Raise unless `n_iter` is None or a whole number from 1."""
    if n_iter is not None:
        check_whole(name, n_iter, also=", or None")


def check_theta(theta):
    """Return `theta` as a float, or as the tensor it is."""
    if torch.is_tensor(theta) and not theta.is_complex():
        if theta.ndim:
            raise TypeError(f"theta must be a single number; got shape {tuple(theta.shape)}")
        if _tracing.records_program():
            return theta
        with _tracing.outside_transforms():
            given = _tracing.values(theta).flatten().tolist()  # `vmap` may hide several values
    else:
        try:
            if isinstance(theta, str):
                raise TypeError("text is not a number")
            number = float(theta)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            raise TypeError(f"theta must be a number; got {theta!r}") from error
        theta, given = number, [number]
    for value in given:
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"theta must be finite and at least 0 (pixels⁴); got {value}")
    return theta


def kind(value):
    """Say in a message what a value is."""
    return f"a {value.dtype} tensor" if torch.is_tensor(value) else type(value).__name__
