"""Writes what benchmarks measure to `book/costs.json`, which the book quotes."""

import datetime
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

BOOK = Path(__file__).resolve().parents[1] / "book"


def rounded(value):
    """Two digits: more are not the same in the next run."""
    return float(f"{value:.2g}")


def machine():
    """What the numbers were measured on."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    try:
        simpleitk = version("simpleitk")
    except PackageNotFoundError:
        simpleitk = None
    return {
        "date": datetime.date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "simpleitk": simpleitk,
    }


def write(measured):
    """Put what was measured into book/costs.json; what others have put there stays."""
    path = BOOK / "costs.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | measured, indent=1, ensure_ascii=False) + "\n")
