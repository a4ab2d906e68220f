"""Registration: maps, the residual of a pair, its derivatives, and the solvers."""

from .derivatives import (
    SecondOrderModel,
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    mixed_derivative,
    second_order_model,
)
from .minimise import levenberg_marquardt, newton
from .neural_ode import NeuralODE
from .overlap import filled
from .path import PathResult, Prediction, Step, predictor_corrector
from .predictions import MATRICES, Comparison, compare_predictions, relative_spectrum
from .problem import RegistrationProblem, Tikhonov
from .results import Result, State
from .rigid import Rigid, Translation
from .transforms import Affine, AffineSubset, Transform

__all__ = [
    "MATRICES",
    "Affine",
    "AffineSubset",
    "Comparison",
    "NeuralODE",
    "PathResult",
    "Prediction",
    "RegistrationProblem",
    "Result",
    "Rigid",
    "SecondOrderModel",
    "State",
    "Step",
    "Tikhonov",
    "Transform",
    "Translation",
    "compare_predictions",
    "filled",
    "gauss_newton_hessian",
    "gradient",
    "hessian",
    "jacobian",
    "levenberg_marquardt",
    "mixed_derivative",
    "newton",
    "predictor_corrector",
    "relative_spectrum",
    "second_order_model",
]
