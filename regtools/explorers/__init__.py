"""Pictures and explorers of the book: plotting, the widget, one module of explorers a chapter."""

try:
    import anywidget  # noqa: F401
    import ipywidgets  # noqa: F401
    import matplotlib  # noqa: F401
    import PIL  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"regtools.explorers needs {error.name}; install what it draws with by "
        'pip install "regtools[explorers]"'
    ) from error

from .answers import check_answer
from .atlas import atlas_explorer, plot_distributions
from .controls import Control
from .derivatives import taylor_explorer
from .explorer import Explorer, Panel
from .gauss_newton import hessian_explorer
from .image_model import theta_explorer
from .inexact_projection import inexact_explorer
from .live_cg import cg_explorer
from .live_registration import registration_explorer
from .multiscale import path_explorer
from .own_pictures import pair_explorer
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
from .slices import slices_explorer
from .superresolution import superresolution_explorer

__all__ = [
    "RULE_STYLES",
    "STYLE",
    "Control",
    "Explorer",
    "Panel",
    "atlas_explorer",
    "cg_explorer",
    "check_answer",
    "fraction_explorer",
    "hessian_explorer",
    "inexact_explorer",
    "pair_explorer",
    "path_explorer",
    "plain",
    "plot_distributions",
    "plot_frequency_response",
    "plot_image",
    "plot_profile",
    "plot_residual",
    "plot_runs",
    "plot_taylor_test",
    "registration_explorer",
    "rule_explorer",
    "slices_explorer",
    "superresolution_explorer",
    "taylor_explorer",
    "theta_explorer",
    "use_style",
]
