"""Differentiable image registration in PyTorch: the package behind the book.

The modules import each other in this order: `domain`, `interpolation`, `transforms`,
`registration`, `derivatives`, `optimize`, `predictor_corrector`; `datasets` needs the first
only. `plotting`, `explorer` and `explorers` draw; no solver imports them.
"""

from .datasets import load
from .derivatives import (
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    mixed_derivative,
    taylor_test,
)
from .domain import Domain
from .interpolation import SplineImage
from .optimize import levenberg_marquardt, newton
from .predictor_corrector import predictor_corrector
from .registration import RegistrationProblem, Tikhonov
from .transforms import Affine, NeuralODE

__all__ = [
    "Affine",
    "Domain",
    "NeuralODE",
    "RegistrationProblem",
    "SplineImage",
    "Tikhonov",
    "gauss_newton_hessian",
    "gradient",
    "hessian",
    "jacobian",
    "levenberg_marquardt",
    "load",
    "mixed_derivative",
    "newton",
    "predictor_corrector",
    "taylor_test",
]
__version__ = "0.1.0"
