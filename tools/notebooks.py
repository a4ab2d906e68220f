"""Keep the halves of each chapter together: the text people edit, the notebook with its outputs.

    python -m tools.notebooks execute [NAME ...] [--timings]   run the .md halves, write the .ipynb
    python -m tools.notebooks sync [NAME ...]      let the half saved last overwrite the other

A NAME is a chapter such as 01_image_model; without one, all chapters are taken. Executing twice
gives the same bytes: a cell tagged `timing` or `rounding`, whose output no two runs share, keeps
the one it has while its source stays the same, unless --timings renews it.
"""

import argparse
import json
import os
import re
import tempfile
from pathlib import Path

import jupytext
import nbformat
from jupytext.cli import jupytext as jupytext_cli
from nbclient import NotebookClient
from traitlets.config import Config

from tools import kernels
from tools.files import replace_text

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
HIDDEN_OUTPUT = {"remove-cell", "remove-output"}
MAX_BYTES = 4_000_000
CELL_TIMEOUT = 600  # seconds; the chapters should need a small part of it
# Not inside a word, an address or base64 data.
MACHINE_PATH = re.compile(
    r"(?:(?<![\w+/.~-])|(?<=file://))/(?:home|root|Users|work|workspace|tmp|opt|mnt)/\S+"
)


def chapters(names=()):
    """Return the text halves of the named chapters and appendices, of all if none is named."""
    if not names:
        return sorted(FOLDER.glob("[0-9A][0-9]_*.md"))
    return [FOLDER / f"{Path(name).stem}.md" for name in names]


def read(path):
    """Read one half of a pair as a notebook."""
    return jupytext.read(path)


def execute(text_half):
    """Run the text half and return the notebook, free of all that changes from run to run."""
    notebook = read(text_half)
    notebook.metadata.kernelspec = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    run_cells(notebook, text_half.parent, os.environ)
    return normalised(notebook)


def run_cells(notebook, folder, environment, **options):
    """Run the cells of a notebook in a folder; explorers compute their static pages."""
    with tempfile.TemporaryDirectory() as sockets:
        NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
            config=Config(KernelManager=kernels.settings(sockets)),
            **options,
        ).execute(env={**environment, "REGTOOLS_STATIC_PAGES": "1"})


def keep_timings(notebook, before):
    """Give cells that no two runs share the outputs of the same source in notebook `before`."""
    known = {cell.source: cell.outputs for cell in before.cells if _is_its_own(cell)}
    for cell in notebook.cells:
        if _is_its_own(cell):
            cell.outputs = known.get(cell.source, cell.outputs)


def _is_its_own(cell):
    tags = {"timing", "rounding"}.intersection(cell.metadata.get("tags", ()))
    return cell.cell_type == "code" and bool(tags)


def normalised(notebook):
    """Return `notebook` without run times, versions, widget states and random ids."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("jupytext", None)  # notebooks/jupytext.toml says it for all
    notebook.metadata.get("language_info", {}).pop("version", None)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:03d}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            # A live view is dead without the kernel that made it, and hides the page beside it.
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def mismatches(text, notebook):
    """List where the cells of the two halves differ in number, type, source or metadata."""
    found = []
    if len(text.cells) != len(notebook.cells):
        found.append(f"{len(text.cells)} cells in the text, {len(notebook.cells)} in the notebook")
    for i, (left, right) in enumerate(zip(text.cells, notebook.cells, strict=False), start=1):
        for part in ("cell_type", "source", "metadata"):
            if left[part] != right[part]:
                found.append(f"cell {i}: {part} differs: {left[part]!r} and {right[part]!r}")
    return found


def problems(notebook):
    """List what a committed notebook must not have.

    That is: cells not run, undeclared errors, widget states, bare images, paths of the machine.
    """
    found = []
    if "widgets" in notebook.metadata:
        found.append("widget state is stored in the notebook")
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"not executed once from top to bottom: execution counts {counts}")
    for cell in code:
        where = f"cell [{cell.execution_count}]"
        tags = set(cell.metadata.get("tags", ()))
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags:
                found.append(f"{where}: undeclared {output.ename}: {output.evalue}")
            if WIDGET_VIEW in output.get("data", ()):
                found.append(f"{where}: holds a widget view that no kernel serves")
            if path := MACHINE_PATH.search(_readable(output)):
                found.append(f"{where}: shows a path of this machine, {path.group()!r}")
        if not tags & HIDDEN_OUTPUT and any(map(_is_picture, cell.outputs)):
            options = cell.metadata.get("mystnb", {})
            for part, key in (("figure", "caption"), ("figure", "name"), ("image", "alt")):
                if not str(options.get(part, {}).get(key, "")).strip():
                    found.append(f"{where}: its image has no mystnb.{part}.{key}")
    return found


def _is_picture(output):
    """Whether the book shows the output as a bare image: an explorer brings its own page."""
    mimes = output.get("data", ())
    return "text/html" not in mimes and any(mime.startswith("image/") for mime in mimes)


def _readable(output):
    """All text of an output, images left out."""
    parts = [output.get("text", ""), *output.get("traceback", ())]
    for mime, data in output.get("data", {}).items():
        if not mime.startswith("image/"):
            parts.append(data if isinstance(data, str) else json.dumps(data))
    return "\n".join(parts)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["execute", "sync"])
    parser.add_argument("--timings", action="store_true", help="renew measured times too")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    for text_half in chapters(arguments.names):
        if arguments.command == "sync":
            jupytext_cli(["--sync", str(text_half)])
            continue
        print(f"executing {text_half.name}", flush=True)
        notebook_half = text_half.with_suffix(".ipynb")
        notebook = execute(text_half)
        if notebook_half.exists() and not arguments.timings:
            keep_timings(notebook, read(notebook_half))
        replace_text(notebook_half, nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    main()
