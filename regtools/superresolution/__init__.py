"""Super-resolution: frames, the joint problem, the projection and its derivative, two solvers."""

from .frames import FramesResult, enlarged_frame, register_frames, simulate_frames
from .iterates import Iterate, exact_iterates
from .operator import FrameLayout, FrameOperator
from .problem import SuperResolutionProblem
from .projection import Projection, projection_jacobian
from .reduced import joint_gauss_newton, varpro
from .results import VarProResult, VarProState
from .rules import RULES, Implicit, Kaufman, NoDerivative, Projected, Rule, Unrolled
from .simulated import Simulated, simulated_problem

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
    "Unrolled",
    "VarProResult",
    "VarProState",
    "enlarged_frame",
    "exact_iterates",
    "joint_gauss_newton",
    "projection_jacobian",
    "register_frames",
    "simulate_frames",
    "simulated_problem",
    "varpro",
]
