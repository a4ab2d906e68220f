"""Checks of what a user hands to an image; each error names argument, given and allowed."""

import importlib
import math
import operator
from decimal import Decimal
from numbers import Real

import numpy as np
import torch

from . import _tracing


def check_domain(domain):
    """Raise unless `domain` is a `Domain`."""
    from .domain import Domain  # which takes its checks from here

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
    check_places("data", data.dtype, domain)
    most = _largest(data)
    if not most < torch.finfo(data.dtype).max ** 0.75:
        raise ValueError(f"data must leave room for a spline; an entry is {most:.1e}")


def check_places(name, dtype, domain):
    """Raise unless a dtype tells points a thousandth of a cell apart, everywhere in the box."""
    for low, high, h in zip(domain.lower, domain.upper, domain.h, strict=True):
        if max(abs(low), abs(high)) * torch.finfo(dtype).eps > 1e-3 * h:
            raise ValueError(
                f"{name} must not be {dtype} so far from the origin: it does not tell points of "
                f"{domain} a thousandth of a cell apart. Take float64, or move the origin"
            )


def check_squares(name, data, weight):
    """Raise unless the squares of `data`, times a weight, and their digits fit into the dtype."""
    size = _largest(data)
    most = size * size * weight
    limits = torch.finfo(data.dtype)
    if size and not limits.tiny / limits.eps**2 < most < limits.max * limits.eps:
        raise ValueError(
            f"{name} must not be so small or large that squares leave {data.dtype}: grey values "
            f"and cell volume make {most:.1e}. Take another unit, or float64"
        )


def _largest(data):
    """The largest absolute value, seen through every transform."""
    with _tracing.outside_transforms(data):
        return float(_tracing.values(data).abs().amax())


def check_points(points, data, domain):
    """Raise unless an image of `data` can be evaluated at `points`."""
    check_like("points", points, data)
    if points.ndim != 2 or points.shape[1] != domain.dim:
        raise ValueError(f"points must have shape (n, {domain.dim}); got {tuple(points.shape)}")
    check_finite("points", points, "value")


def check_like(name, tensor, like):
    """Raise unless `tensor` is a tensor of the dtype of another one, and lies where that does."""
    if not torch.is_tensor(tensor) or tensor.dtype != like.dtype:
        raise TypeError(f"{name} must be a tensor of dtype {like.dtype}; got {kind(tensor)}")
    check_dense(name, tensor)
    if tensor.device != like.device:
        raise TypeError(f"{name} must be on {like.device}, as the others; got {tensor.device}")


def check_floating(name, tensor, hint=""):
    """Raise unless `tensor` is a float32 or float64 tensor."""
    if not torch.is_tensor(tensor) or tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be a float32 or float64 tensor; got {kind(tensor)}{hint}")
    check_dense(name, tensor)


def check_dense(name, tensor):
    """Raise unless a tensor holds all its entries."""
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be dense; got the layout {tensor.layout}. Call to_dense()")
    if tensor.device.type == "meta":
        raise TypeError(f"{name} must hold numbers; a tensor on the device meta has none")


def check_dtype(dtype):
    """Raise unless `dtype` is that of images."""
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"dtype must be torch.float32 or torch.float64; got {dtype}")


def check_vector(name, tensor, length, like=None):
    """Raise unless `tensor` has one axis of this length, and is like another one or floating."""
    if like is None:
        check_floating(name, tensor)
    else:
        check_like(name, tensor, like)
    check_shape(name, tensor, (length,))


def check_kind(name, value, expected):
    """Raise unless `value` is an instance of a class."""
    if not isinstance(value, expected):
        article = "an" if expected.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name} must be {article} {expected.__name__}; got {kind(value)}")


def check_callable(name, value, also=""):
    """Raise unless `value` can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function{also}; got {kind(value)}")


def check_flag(name, value):
    """Return a truth value as a bool; raise if it is another thing, as a word is."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {shown(value)}")
    return bool(value)


def check_finite(name, tensor, entry):
    """Raise unless every entry of a tensor is finite."""
    if _tracing.records_program():
        return  # there are no numbers yet
    values = _tracing.values(tensor)
    with _tracing.outside_transforms(values):
        if math.isfinite(values.sum()):  # quick; where the sum overflows, look closer
            return
        bad = torch.isfinite(values).logical_not().nonzero().tolist()
        if bad:
            first = tuple(bad[0])
            raise ValueError(
                f"{name} must be finite; {len(bad)} of {values.numel()} {entry}s are not, "
                f"the first at index {first}: {values[first].item()}"
            )


def check_constant(name, tensor, hint="", batched=False):
    """Raise if a tensor is differentiated, or batched if it may not be: that would end silently."""
    if not torch.is_tensor(tensor):
        return
    if _tracing.is_followed(tensor) or (not batched and _tracing.is_batched(tensor)):
        hint = hint or f"the result is a constant; hand over {name}.detach()"
        nor = "" if batched else ", nor batched by vmap"
        raise ValueError(f"{name} must not be differentiated here{nor}: {hint}")


def check_unbatched(name, tensor):
    """Raise if `vmap` holds several values in a tensor."""
    if torch.is_tensor(tensor) and _tracing.is_batched(tensor):
        raise ValueError(f"{name} must not be batched by vmap; take one after the other")


def check_shape(name, tensor, shape):
    """Raise unless this is a tensor of this shape: broadcasting would hide another one."""
    if not torch.is_tensor(tensor):
        raise TypeError(f"{name} must be a tensor; got {kind(tensor)}")
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}; got {tuple(tensor.shape)}")


def as_real(value):
    """Return a real number of any kind as a float, or raise TypeError: here it is said what one is.

    Python's, NumPy's, and arrays and tensors without axes; not truth values, text, complex numbers.
    """
    if isinstance(value, (torch.Tensor, np.ndarray)) and not value.ndim:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise TypeError(f"{shown(value)} is no real number")
    return float(value)


def as_whole(value):
    """Return a whole number of any kind as an int, or raise TypeError."""
    truth = isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool
    if truth or getattr(value, "ndim", 0):
        raise TypeError(f"{shown(value)} is no whole number")
    return operator.index(value)


def number(name, value, condition="finite", allowed=math.isfinite, also="", note=""):
    """Return a real number as a float; raise unless it is finite and allowed.

    `condition` says in words what `allowed` asks, `also` what else the caller takes, and `note`
    ends the message.
    """
    check_constant(name, value)
    try:
        real = as_real(value)
    except (TypeError, OverflowError, ValueError) as error:  # the last is a signalling NaN
        raise TypeError(f"{name} must be a number{also}; got {shown(value)}{note}") from error
    if not (math.isfinite(real) and allowed(real)):
        raise ValueError(f"{name} must be {condition}{also}; got {shown(value)}{note}")
    return real


def positive(name, value, also="", note=""):
    """Return a number above 0 as a float."""
    return number(name, value, "finite and above 0", lambda x: x > 0, also, note)


def not_negative(name, value, note=""):
    """Return a number from 0 as a float."""
    return number(name, value, "finite and at least 0", lambda x: x >= 0, note=note)


def tolerance(name, value):
    """Return a relative tolerance as a float: at 1 there is nothing left to do."""
    found = positive(name, value)
    if found >= 1:
        raise ValueError(f"{name} must be below 1; got {shown(value)}")
    return found


def weight(name, value):
    """Return a number from 0 as a float that may be squared without leaving the range."""
    found = not_negative(name, value)
    if found > 1e150:
        raise ValueError(f"{name} must be at most 1e150, as it is squared; got {shown(value)}")
    return found


def whole(name, value, least=1, also=""):
    """Return a whole number as an int; `also` names what else the caller takes."""
    try:
        found = as_whole(value)
    except TypeError:
        found = least - 1
    if found < least:
        raise ValueError(f"{name} must be a whole number from {least}{also}; got {shown(value)}")
    return found


def span(name, ends):
    """Return a pair of numbers as floats, the lowest and the highest of something."""
    try:
        low, high = ends
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a pair of numbers; got {ends!r}") from error
    low, high = number(name, low), number(name, high)
    if not math.isfinite(high - low):
        raise ValueError(f"{name} must have a finite range; got {ends!r}")
    return low, high


def checked_seeds(seeds):
    """Return one or more seeds of NumPy's legacy generator."""
    try:
        found = [as_whole(seed) for seed in seeds]
    except TypeError as error:
        raise TypeError(f"seeds must be a sequence of whole numbers; got {seeds!r}") from error
    if not found or not all(0 <= seed < 2**32 for seed in found):
        raise ValueError(f"seeds must hold whole numbers from 0 to 2³² - 1; got {seeds!r}")
    return found


def check_order(order):
    """Return `order`; raise unless it is 0, 1, 2 or 3."""
    try:
        found = whole("order", order, least=0)
    except ValueError:
        found = 4
    if found > 3:
        raise ValueError(f"order must be 0, 1, 2 or 3; got {shown(order)}")
    return found


def check_choice(name, value, allowed):
    """Raise unless `value` is one of those allowed, words or None."""
    if not (value is None or isinstance(value, str)) or value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}; got {value!r}")


def imported(module, need, extra="data"):
    """Return a module of an extra, or say that `need` asks for it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{need.format(module)}; install it with pip install "regtools[{extra}]"'
        ) from error


def count(name, n_iter):
    """Return None, or a whole number from 1 as an int."""
    return None if n_iter is None else whole(name, n_iter, also=", or None")


def check_theta(theta):
    """Return `theta` as a float, or as the tensor it is, which may be differentiated."""
    if not torch.is_tensor(theta) or theta.is_complex() or theta.dtype == torch.bool:
        return number("theta", theta, *_BLUR)
    if theta.ndim:
        raise TypeError(f"theta must be a single number; got shape {tuple(theta.shape)}")
    check_dense("theta", theta)
    if not _tracing.records_program():
        with _tracing.outside_transforms():
            given = _tracing.values(theta).flatten().tolist()  # `vmap` may hide several values
        for value in given:
            number("theta", value, *_BLUR)
    return theta


_BLUR = "finite and at least 0 (pixels⁴)", lambda theta: theta >= 0


def shown(value):
    """Say in a message what was given, a tensor that is no number by dtype and shape."""
    if getattr(value, "ndim", 0):
        return f"{kind(value)} of shape {tuple(value.shape)}"
    return repr(value)


def kind(value):
    """Say in a message what a value is."""
    return f"a {value.dtype} tensor" if torch.is_tensor(value) else type(value).__name__
