"""Write a file as a whole or not at all: a run that is killed leaves the one that was there."""

import os
import tempfile
from pathlib import Path


def replace_text(path, text):
    """Write text beside a file, then put it in the place of the file in one step."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, path.stat().st_mode if path.exists() else 0o666 & ~_mask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
