"""Super-resolution: frames, the joint problem, the projection and its derivative, two solvers."""

from .bursts import super_resolve
from .frames import enlarged_frame, simulate_frames
from .iterates import Iterate, exact_iterates
from .layout import FrameLayout
from .maps import FramesResult, register_frames
from .operator import FrameOperator
from .problem import SuperResolutionProblem
from .projection import Projection, projection_jacobian
from .reduced import joint_gauss_newton, varpro
from .results import SuperResolved, VarProResult, VarProState
from .rules import RULES, Implicit, Kaufman, NoDerivative, Projected, Rule, Unrolled
from .simulated import Simulated, simulated_problem
from .smoothing import Trial, choose_lam
from .tolerance import follow_gradient

__all__ = [
    "RULES",
    "FrameLayout",
    "FrameOperator",
    "FramesResult",
    "Implicit",
    "Iterate",
    "Kaufman",
    "NoDerivative",
    "Projected",
    "Projection",
    "Rule",
    "Simulated",
    "SuperResolutionProblem",
    "SuperResolved",
    "Trial",
    "Unrolled",
    "VarProResult",
    "VarProState",
    "choose_lam",
    "enlarged_frame",
    "exact_iterates",
    "follow_gradient",
    "joint_gauss_newton",
    "projection_jacobian",
    "register_frames",
    "simulate_frames",
    "simulated_problem",
    "super_resolve",
    "varpro",
]
