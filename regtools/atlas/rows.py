"""The rows of the atlas in Parquet files: what is done is kept, and counts once.

Each row is written to a file of its own as soon as it is there, under a temporary name that is then
changed: a file is whole or absent. `compact` gathers them in one table a study.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy
import torch

from ..images import checks

_NEED = "the atlas needs {} for its tables"


class Rows:
    """Rows by key, in a folder.

    Parameters
    ----------
    folder : str or path
        Made with the first row if it is missing.

    Raises
    ------
    FileExistsError
        If it is a file.
    ImportError
        If pandas or pyarrow is missing.
    """

    def __init__(self, folder: str | os.PathLike):
        self.pandas = checks.imported("pandas", _NEED, extra="atlas")
        checks.imported("pyarrow", _NEED, extra="atlas")
        self.folder = Path(folder)
        self.new = self.folder / "new"
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f"folder must be a folder; {self.folder} is a file")

    def read(self, study: str | None = None):
        """Return all rows, or those of a study, as a pandas table ordered by key."""
        files = [*self.folder.glob("*.parquet"), *self.new.glob("*.parquet")]
        return self._joined([self.pandas.read_parquet(path) for path in files], study)

    def _joined(self, tables, study=None):
        """One table, each key once; of one study only numbers of that study decide on types."""
        if study is not None:
            tables = [table[table["study"] == study] for table in tables]
        tables = [table for table in tables if len(table)]
        if not tables:
            return self.pandas.DataFrame({"key": [], "study": []})
        whole = self.pandas.concat(tables, ignore_index=True)
        whole = whole.drop_duplicates("key", keep="last").sort_values("key", ignore_index=True)
        return whole.dropna(axis=1, how="all")

    def keys(self) -> set[str]:
        """Return the keys of what is done."""
        return set(self.read()["key"])

    def append(self, row: Mapping) -> None:
        """Keep a row; one of the same key takes its place."""
        self.new.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(row["key"].encode()).hexdigest()[:24]
        self._write(self.pandas.DataFrame([dict(row)]), self.new / f"{name}.parquet")

    def compact(self) -> None:
        """Gather what is new in one file a study; files of other studies stay as they are."""
        new = [*self.new.glob("*.parquet")]
        fresh = [self.pandas.read_parquet(path) for path in new]
        for study in {table["study"][0] for table in fresh}:
            path = self.folder / f"{study}.parquet"
            before = [self.pandas.read_parquet(path)] if path.exists() else []
            self._write(self._joined([*before, *fresh], study), path)
        for path in new:
            path.unlink()

    def close(self) -> None:
        """Compact, and take the empty folder of new rows away."""
        self.compact()
        if self.new.exists():
            self.new.rmdir()

    def _write(self, table, path):
        hidden = path.with_suffix(".part")
        try:
            table.to_parquet(hidden, index=False, compression="zstd")
            os.replace(hidden, path)
        finally:
            hidden.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Return what a table was made with."""
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "regtools": version("regtools"),
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
