"""Pictures and explorers of the book: plotting, the widget, one module of explorers a chapter."""

from .derivatives import taylor_explorer
from .explorer import Control, Explorer, Panel
from .gauss_newton import hessian_explorer
from .image_model import theta_explorer
from .inexact_projection import inexact_explorer
from .multiscale import path_explorer
from .partial_cg import fraction_explorer
from .plotting import (
    RULE_STYLES,
    STYLE,
    plain,
    plot_frequency_response,
    plot_image,
    plot_profile,
    plot_residual,
    plot_runs,
    plot_taylor_test,
    use_style,
)
from .projection_derivative import rule_explorer
from .superresolution import superresolution_explorer

__all__ = [
    "RULE_STYLES",
    "STYLE",
    "Control",
    "Explorer",
    "Panel",
    "fraction_explorer",
    "hessian_explorer",
    "inexact_explorer",
    "path_explorer",
    "plain",
    "plot_frequency_response",
    "plot_image",
    "plot_profile",
    "plot_residual",
    "plot_runs",
    "plot_taylor_test",
    "rule_explorer",
    "superresolution_explorer",
    "taylor_explorer",
    "theta_explorer",
    "use_style",
]
