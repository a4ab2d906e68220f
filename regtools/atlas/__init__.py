"""What holds over many problems: records, their rows, and what these say. Needs regtools[atlas]."""

from .pictures import IMAGES, picture
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
    "picture",
    "problems_of",
    "run",
    "share",
]
