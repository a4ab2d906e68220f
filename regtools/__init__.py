"""Differentiable image registration in PyTorch: the package behind the book.

The modules import each other in this order: `domain`, `interpolation`, `datasets`,
`plotting`, `explorer`, `explorers`. The last three draw; nothing else needs them.
"""

from .datasets import load
from .domain import Domain
from .interpolation import SplineImage

__all__ = ["Domain", "SplineImage", "load"]
__version__ = "0.1.0"
