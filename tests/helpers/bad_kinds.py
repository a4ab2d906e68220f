"""Kinds of input that a table of bad inputs is made of, and what may become of one."""

import functools
import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch


class Named(NamedTuple):
    """A ValueError or TypeError whose message holds these words."""

    words: str


class Same(NamedTuple):
    """What the plain input gives, by a call."""

    plain: Any


class Advice(NamedTuple):
    """A result without success, whose message holds these words."""

    words: str


class Row(NamedTuple):
    name: str
    what: str
    call: Any
    outcome: Named | Same | Advice


def last(value):
    def change(tensor):
        changed = tensor.clone(memory_format=torch.contiguous_format)
        changed.view(-1)[-1] = value
        return changed

    return change


WRONG = {
    "text": lambda v: "w",
    "list": lambda v: v.tolist(),
    "numpy": lambda v: v.numpy(),
    "int": lambda v: v.long(),
    "half": lambda v: v.half(),
    "single": lambda v: v.float(),
    "complex": lambda v: v.to(torch.complex128),
    "axis": lambda v: v[None],
    "column": lambda v: v[..., None],
    "shorter": lambda v: v[:-1] if v.ndim else v[None],
    "empty": lambda v: v.reshape(-1)[:0],
    "scalar": lambda v: v.sum(),
    "nan": last(math.nan),
    "inf": last(math.inf),
    "meta": lambda v: v.to("meta"),
    "sparse": lambda v: v.to_sparse(),
}


class Own(torch.Tensor):
    """A subclass."""


def strided(v):
    wide = v.new_zeros(*v.shape, 2)
    wide[..., 0] = v
    return wide[..., 0]


def read_only(v):
    array = np.array(v.numpy())
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that it could be written to
        return torch.from_numpy(array)


def frozen(v):
    with torch.inference_mode():
        return v.clone()


RIGHTLY = {
    "not contiguous": strided,
    "subclass": lambda v: v.as_subclass(Own),
    "parameter": lambda v: torch.nn.Parameter(v.clone(), requires_grad=False),
    "read-only": read_only,
    "inference": frozen,
}


def of_tensors(table):
    """Rows for each tensor of a table: of every kind that is wrong, and of those that are not."""
    for k, (name, argument, call, value, *skip) in enumerate(table):
        words = Named(rf"\b{argument}\b")
        for kind, change in WRONG.items():
            if kind not in " ".join(skip).split():
                yield Row(name, f"{argument} {k} {kind}", bound(call, change, value), words)
        plain = Same(functools.cache(bound(call, lambda v: v, value)))
        slow = name in ("register", "super_resolve", "register_frames") or argument == "w0"
        for kind, change in list(RIGHTLY.items())[: 2 if slow else None]:
            yield Row(name, f"{argument} {k} {kind}", bound(call, change, value), plain)


def bound(call, change, value):
    return lambda: call(change(value))
