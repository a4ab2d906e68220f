"""Tensors that an object keeps for itself."""

from typing import Any

import torch

from . import _tracing


class Copied:
    """An attribute that keeps a copy of a tensor and hands out copies.

    What a user changes in place, before or after, changes nothing here. The object itself reads
    its own tensor under the name with an underscore.
    """

    def __set_name__(self, owner, name):
        self._name = f"_{name}"

    def __get__(self, instance, owner=None) -> Any:
        return self if instance is None else copy(vars(instance)[self._name])

    def __set__(self, instance, value):
        vars(instance)[self._name] = copy(value)


def copy(value):
    """Return a copy of a tensor, seen by no more transforms than it; anything else as it is."""
    if not torch.is_tensor(value):
        return value
    with _tracing.outside_transforms(value):
        return value.clone()
