"""The role `{num}`: a number of book/ledger.json by its path, so that none is typed twice."""

import json
from pathlib import Path

from docutils import nodes

LEDGER = Path(__file__).resolve().parents[1] / "ledger.json"


def written(value):
    """Write a number as the page shows it."""
    return value if isinstance(value, str) else f"{value:g}".replace("-", "−")


def look_up(ledger, path):
    """Return the value at ``pair.experiment.key``."""
    for part in path.split("."):
        ledger = ledger[part]
    return ledger


def num(name, rawtext, text, lineno, inliner, options=None, content=()):
    """Put in the number, or report the name that the ledger does not have."""
    try:
        value = look_up(json.loads(LEDGER.read_text()), text)
    except KeyError:
        message = inliner.reporter.error(f"ledger.json has no {text!r}", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    inliner.document.settings.env.note_dependency(str(LEDGER))
    return [nodes.Text(written(value))], []


def setup(app):
    """Register the role with Sphinx."""
    app.add_role("num", num)
    return {"parallel_read_safe": True, "version": "1"}
