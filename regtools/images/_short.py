"""A representation that stays short: tensors and arrays by their shape."""

import enum
from dataclasses import fields
from typing import ClassVar

import numpy as np
import torch


class ShortRepr:
    """Mixin for dataclasses with ``repr=False`` that hold tensors; `also` names properties."""

    also: ClassVar[tuple[str, ...]] = ()

    def __repr__(self):
        kept = fields(self)  # ty: ignore[invalid-argument-type]
        names = [field.name for field in kept if field.repr] + list(self.also)
        shown = [f"{name}={short(getattr(self, name))}" for name in names]
        return f"{type(self).__name__}({', '.join(shown)})"


def short(value):
    """Return a value in a few characters."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        if value.ndim == 1 and len(value) <= 8:
            return f"[{', '.join(f'{entry:.4g}' for entry in value.tolist())}]"
        return f"<{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}>"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple) and len(value) > 4:
        return f"<{len(value)} entries>"
    return value.name if isinstance(value, enum.Enum) else repr(value)
