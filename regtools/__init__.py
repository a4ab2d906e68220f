"""Differentiable image registration in PyTorch: the package behind the book.

The modules import each other in this order: `domain`, `interpolation`, `transforms`,
`registration`, `derivatives`, `optimize`, `predictor_corrector`, `conjugate_gradient`,
`superresolution`, `projection`, `varpro`; `datasets` needs the first only. `plotting`,
`explorer` and `explorers` draw; no solver imports them.
"""

from .conjugate_gradient import conjugate_gradient
from .datasets import load, random_maps
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
from .projection import Implicit, Kaufman, Unrolled, projection_jacobian
from .registration import RegistrationProblem, Tikhonov
from .superresolution import SuperResolutionProblem, register_frames, simulate_frames
from .transforms import Affine, NeuralODE
from .varpro import joint_gauss_newton, varpro

__all__ = [
    "Affine",
    "Domain",
    "Implicit",
    "Kaufman",
    "NeuralODE",
    "RegistrationProblem",
    "SplineImage",
    "SuperResolutionProblem",
    "Tikhonov",
    "Unrolled",
    "conjugate_gradient",
    "gauss_newton_hessian",
    "gradient",
    "hessian",
    "jacobian",
    "joint_gauss_newton",
    "levenberg_marquardt",
    "load",
    "mixed_derivative",
    "newton",
    "predictor_corrector",
    "projection_jacobian",
    "random_maps",
    "register_frames",
    "simulate_frames",
    "taylor_test",
    "varpro",
]
__version__ = "0.1.0"
