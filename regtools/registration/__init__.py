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
from .pairs import Registration, default_thetas, register
from .path import PathResult, Prediction, Step, predictor_corrector
from .predictions import MATRICES, Comparison, compare_predictions, relative_spectrum
from .problem import RegistrationProblem, Tikhonov
from .results import Result, State
from .search import Attempt
from .starts import (
    STARTS,
    NoStartError,
    angle_starts,
    feature_starts,
    identity_starts,
    moment_starts,
)
from .surround import choose_surround
from .transforms import Affine, Transform

__all__ = [
    "MATRICES",
    "STARTS",
    "Affine",
    "Attempt",
    "Comparison",
    "NeuralODE",
    "NoStartError",
    "PathResult",
    "Prediction",
    "Registration",
    "RegistrationProblem",
    "Result",
    "SecondOrderModel",
    "State",
    "Step",
    "Tikhonov",
    "Transform",
    "angle_starts",
    "choose_surround",
    "compare_predictions",
    "default_thetas",
    "feature_starts",
    "gauss_newton_hessian",
    "gradient",
    "hessian",
    "identity_starts",
    "jacobian",
    "levenberg_marquardt",
    "mixed_derivative",
    "moment_starts",
    "newton",
    "predictor_corrector",
    "register",
    "relative_spectrum",
    "second_order_model",
]
