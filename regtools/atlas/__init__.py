"""What holds over many problems: records, their rows, and what these say. Needs regtools[atlas]."""

from .calls import FINE, blocks, combined, enlarged, frame, shift_and_add
from .pairs import pair, random_map
from .pictures import IMAGES, outline, picture
from .problems import KINDS, Problem
from .rows import Rows
from .runner import Outcome, run
from .statistics import Comparison, Interval, compare, median, share
from .studies import STUDIES, Study, measured, problems_of

__all__ = [
    "FINE",
    "IMAGES",
    "KINDS",
    "STUDIES",
    "Comparison",
    "Interval",
    "Outcome",
    "Problem",
    "Rows",
    "Study",
    "blocks",
    "combined",
    "compare",
    "enlarged",
    "frame",
    "measured",
    "median",
    "outline",
    "pair",
    "picture",
    "problems_of",
    "random_map",
    "run",
    "share",
    "shift_and_add",
]
