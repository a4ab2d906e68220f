"""How the rows of the table of bad and strange pictures are written down."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST = 100  # MB of memory that a refused file may take

ROWS = {}


@dataclass(frozen=True)
class Named:
    """An error that names the argument `path`, and says words of the reason."""

    words: str
    kind: type = ValueError


@dataclass(frozen=True)
class Read:
    """A picture with these values, rows first and channels last, as NumPy has them.

    `known` is how opaque its pixels are; what is None is not looked at, but for `known`.
    """

    values: Any
    unit: str = "pixel"
    dtype: str | None = None
    known: Any = None
    spacing: Any = None
    direction: Any = None
    origin: Any = None


@dataclass(frozen=True)
class Refused:
    """A picture that is read, and that `register` refuses: which of the two it is, and words."""

    words: str


@dataclass(frozen=True)
class Row:
    make: Callable[[Path], Path]
    outcome: Named | Read | Refused
    apart: bool  # in another process, as this one might not survive


def row(name, outcome, make, apart=False):
    """A row of the table."""
    assert name not in ROWS, f"{name} stands twice"
    ROWS[name] = Row(make, outcome, apart)
