"""The explorers of the book: one module a chapter, one function an explorer."""

from .derivatives import taylor_explorer
from .gauss_newton import compare_predictions, hessian_explorer
from .image_model import theta_explorer
from .multiscale import path_explorer

__all__ = [
    "compare_predictions",
    "hessian_explorer",
    "path_explorer",
    "taylor_explorer",
    "theta_explorer",
]
