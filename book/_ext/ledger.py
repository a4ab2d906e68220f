"""The roles `{num}`, `{cost}`, `{atlas}`: numbers of three files, so that none is typed twice."""

import json
from pathlib import Path

from docutils import nodes

BOOK = Path(__file__).resolve().parents[1]
LEDGER, COSTS, ATLAS = (BOOK / f"{name}.json" for name in ("ledger", "costs", "atlas"))


def written(value):
    """Write a number as the page shows it."""
    return value if isinstance(value, str) else f"{value:g}".replace("-", "−")


def look_up(ledger, path):
    """Return the value at ``pair.experiment.key``."""
    for part in path.split("."):
        ledger = ledger[part]
    return ledger


def role_of(path):
    """Return a role that puts in a number of a file, or reports a name that it does not have."""

    def num(name, rawtext, text, lineno, inliner, options=None, content=()):
        try:
            value = look_up(json.loads(path.read_text()), text)
        except KeyError:
            message = inliner.reporter.error(f"{path.name} has no {text!r}", line=lineno)
            return [inliner.problematic(rawtext, rawtext, message)], [message]
        inliner.document.settings.env.note_dependency(str(path))
        return [nodes.Text(written(value))], []

    return num


def setup(app):
    """Register the roles with Sphinx."""
    app.add_role("num", role_of(LEDGER))
    app.add_role("cost", role_of(COSTS))
    app.add_role("atlas", role_of(ATLAS))
    return {"parallel_read_safe": True, "version": "1"}
