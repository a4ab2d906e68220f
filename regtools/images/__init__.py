"""Pictures as smooth functions: boxes and cells, splines, and the images of the book."""

from . import _checks as checks
from . import _tracing as tracing
from ._averaged import averaged
from ._averages import AveragedRows
from ._coefficients import interpolating
from ._copied import Copied, copy
from ._gram import banded_gram
from ._phantom import drawn_hand
from ._places import existing, to_write
from ._short import ShortRepr
from ._sums import streams, sums_of_squares
from ._taylor import local_taylor
from .datasets import DATASETS, Image, Pair, load, random_maps
from .domain import Domain
from .files import Picture, read_image, write_image
from .frames import Frames, read_frames
from .spline import SplineImage, frequency_response, half_gain_wavelength

__all__ = [
    "DATASETS",
    "AveragedRows",
    "Copied",
    "Domain",
    "Frames",
    "Image",
    "Pair",
    "Picture",
    "ShortRepr",
    "SplineImage",
    "averaged",
    "banded_gram",
    "checks",
    "copy",
    "drawn_hand",
    "existing",
    "frequency_response",
    "half_gain_wavelength",
    "interpolating",
    "load",
    "local_taylor",
    "random_maps",
    "read_frames",
    "read_image",
    "streams",
    "sums_of_squares",
    "to_write",
    "tracing",
    "write_image",
]
