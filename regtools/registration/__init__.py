"""Registration: maps, the residual of a pair, its derivatives, and the solvers."""

from .derivatives import (
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    mixed_derivative,
)
from .itk import read_transform, write_transform
from .measures import gradient_fields, mutual_information
from .minimise import levenberg_marquardt, newton
from .model import SecondOrderModel, second_order_model
from .neural_ode import NeuralODE
from .overlap import filled
from .pairs import default_thetas, register
from .path import PathResult, Prediction, Step, check_thetas, predictor_corrector
from .predictions import MATRICES, Comparison, compare_predictions, relative_spectrum
from .problem import RegistrationProblem
from .registered import Registration
from .regularizers import Tikhonov
from .results import Result, State
from .rigid import Rigid, Similarity, Translation
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
from .transforms import Affine, AffineSubset, Transform, composed, inverse, split_affine
from .warping import warped

__all__ = [
    "MATRICES",
    "STARTS",
    "Affine",
    "AffineSubset",
    "Attempt",
    "Comparison",
    "NeuralODE",
    "NoStartError",
    "PathResult",
    "Prediction",
    "Registration",
    "RegistrationProblem",
    "Result",
    "Rigid",
    "SecondOrderModel",
    "Similarity",
    "State",
    "Step",
    "Tikhonov",
    "Transform",
    "Translation",
    "angle_starts",
    "check_thetas",
    "choose_surround",
    "compare_predictions",
    "composed",
    "default_thetas",
    "feature_starts",
    "filled",
    "gauss_newton_hessian",
    "gradient",
    "gradient_fields",
    "hessian",
    "identity_starts",
    "inverse",
    "jacobian",
    "levenberg_marquardt",
    "mixed_derivative",
    "moment_starts",
    "mutual_information",
    "newton",
    "predictor_corrector",
    "read_transform",
    "register",
    "relative_spectrum",
    "second_order_model",
    "split_affine",
    "warped",
    "write_transform",
]
