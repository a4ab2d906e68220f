"""The explorers of the book: one module a chapter, one function an explorer."""

from .derivatives import taylor_explorer
from .gauss_newton import compare_predictions, hessian_explorer
from .image_model import theta_explorer
from .inexact_projection import inexact_explorer
from .multiscale import path_explorer
from .partial_cg import fraction_explorer
from .projection_derivative import rule_explorer
from .superresolution import superresolution_explorer

__all__ = [
    "compare_predictions",
    "fraction_explorer",
    "hessian_explorer",
    "inexact_explorer",
    "path_explorer",
    "rule_explorer",
    "superresolution_explorer",
    "taylor_explorer",
    "theta_explorer",
]
