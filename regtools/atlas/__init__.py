"""What holds over many problems: records, their rows, and what these say. Needs regtools[atlas]."""

from .pairs import random_map
from .pictures import IMAGES, outline, picture
from .problems import KINDS, Problem
from .rows import Rows
from .runner import Outcome, run
from .statistics import Comparison, Interval, compare, median, share
from .studies import STUDIES, Study, measured, problems_of

__all__ = [
    "IMAGES",
    "KINDS",
    "STUDIES",
    "Comparison",
    "Interval",
    "Outcome",
    "Problem",
    "Rows",
    "Study",
    "compare",
    "measured",
    "median",
    "outline",
    "picture",
    "problems_of",
    "random_map",
    "run",
    "share",
]
