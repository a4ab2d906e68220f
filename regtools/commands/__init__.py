"""The command line: `regtools register fixed moving -o folder`."""

from .line import main

__all__ = ["main"]
