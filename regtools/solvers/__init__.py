"""Solvers that know no images: how a run ends, conjugate gradients, damped least squares."""

from .cg import conjugate_gradient
from .cg_result import CGResult
from .damped import FREE, LeastSquares, Work, minimise_damped
from .differentiated import DifferentiatedCG, differentiate_cg
from .status import (
    GRADIENT_ADVICE,
    NotFiniteError,
    Record,
    SolverResult,
    Status,
    UndefinedStartError,
    gradient_message,
    message,
    tell,
)

__all__ = [
    "FREE",
    "GRADIENT_ADVICE",
    "CGResult",
    "DifferentiatedCG",
    "LeastSquares",
    "NotFiniteError",
    "Record",
    "SolverResult",
    "Status",
    "UndefinedStartError",
    "Work",
    "conjugate_gradient",
    "differentiate_cg",
    "gradient_message",
    "message",
    "minimise_damped",
    "tell",
]
