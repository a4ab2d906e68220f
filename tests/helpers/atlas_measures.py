"""What workers of the atlas do in tests: something fast, and something that goes wrong."""

import os
import signal
import time
import uuid
from pathlib import Path


def noted(problem, folder, wait=0.0):
    """A row, and a file for each time that it is computed."""
    (Path(folder) / f"{problem.seed}-{uuid.uuid4().hex}").touch()
    time.sleep(wait)
    return {"key": problem.key, "study": problem.study, "square": problem.seed**2}


def deadly(problem, folder):
    """The first time that problem 3 is measured, the worker is killed."""
    if problem.seed == 3 and not [*Path(folder).glob("3-*")]:
        (Path(folder) / "3-killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return noted(problem, folder)


def fallible(problem, folder):
    """Problem 2 fails while there is a file of this name."""
    if problem.seed == 2 and (Path(folder) / "broken").exists():
        raise ArithmeticError("two is not known")
    return noted(problem, folder)
