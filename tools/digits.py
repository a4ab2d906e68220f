"""List the printed numbers of the chapters that rounding changes; the list should be empty.

    python -m tools.digits [--seeds N] [--workers N] [NAME ...]

Each chapter is executed as it is, then with every image and frame disturbed by 1e-13 relative,
and under the instruction sets of `tools.arithmetics` with one and two threads. What it prints,
writes into figures and says in explorers must be the same each time, to the letter. A NAME is a
chapter such as 07_partial_cg; without one, all are taken. Cells tagged `timing` are left out.
"""

import argparse
import difflib
import html
import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tools import arithmetics
from tools.notebooks import CELL_TIMEOUT, chapters, read

ROOT = Path(__file__).resolve().parents[1]
RELATIVE = 1e-13
MARK = "texts of the figures:"
DATA = re.compile(r'<script type="application/json">(.*?)</script>', re.S)
ADDRESS = re.compile(r"0x[0-9a-f]{6,}|\S*ipykernel_\d+/\d+\.py")
PREPARE = "import sys; sys.path.insert(0, {!r}); from tools import digits; digits.prepare({!r})"


def prepare(seed):
    """Disturb, in this process, what `load` and `simulate_frames` return; print, draw no figures.

    A `seed` of None leaves the data as they are.
    """
    if seed is not None:
        _disturb_data(seed)
    _print_figures()
    _blank_explorers()


def _disturb_data(seed):
    import dataclasses
    import functools

    import torch

    import regtools

    generator = torch.Generator().manual_seed(seed)

    def disturbed(value):
        if dataclasses.is_dataclass(value):
            fields = vars(value).items()
            images = {key: disturbed(x) for key, x in fields if isinstance(x, torch.Tensor)}
            return dataclasses.replace(value, **images)
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        return value * (1 + RELATIVE * noise).to(value)

    def disturbing(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return disturbed(function(*args, **kwargs))

        return wrapper

    originals = {f: disturbing(f) for f in (regtools.load, regtools.simulate_frames)}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "regtools":
            for key, value in list(vars(module).items()):
                if callable(value) and getattr(value, "__hash__", None) and value in originals:
                    setattr(module, key, originals[value])


def _print_figures():
    import matplotlib.pyplot as plt
    from matplotlib.text import Text

    def printing_show(*args, **kwargs):
        found = []
        for number in plt.get_fignums():
            figure = plt.figure(number)
            ticks = {
                id(label)
                for ax in figure.axes
                for label in (*ax.get_xticklabels("both"), *ax.get_yticklabels("both"))
            }
            texts = (text for text in figure.findobj(Text) if id(text) not in ticks)
            found += [text.get_text() for text in texts if re.search(r"\d", text.get_text())]
        if found:
            print(MARK, found)
        plt.close("all")

    plt.show = printing_show


def _blank_explorers():
    """Their texts are compared, and drawing takes most of their time."""
    from PIL import Image

    from regtools.explorer import Panel

    Panel.picture = lambda self, result, rc: Image.new("RGB", (1, 1))


def said(cell):
    """Return every line of text that the outputs of a cell show."""
    lines = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        page = DATA.search(data.get("text/html", ""))
        if page:
            shown = json.loads(html.unescape(page[1]))
            lines += [
                *shown["describe"],
                *(alt for panel in shown["panels"] for alt in panel["alt"]),
            ]
        else:
            texts = (output.get("text", ""), data.get("text/html"), data.get("text/plain"))
            lines += [line for text in texts if text for line in text.splitlines()]
        lines += [f"{output.ename}: {output.evalue}"] if output.output_type == "error" else []
    return [ADDRESS.sub("…", line) for line in lines]


def outputs(text_half, environment, seed):
    """Execute a chapter in an environment; return what each of its cells says."""
    notebook = read(text_half)
    first = nbformat.v4.new_code_cell(PREPARE.format(str(ROOT), seed))
    notebook.cells.insert(0, first)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(text_half.parent)}},
    )
    client.execute(env=environment | {"REGTOOLS_STATIC_PAGES": "1"})
    return [
        said(cell) if "timing" not in cell.metadata.get("tags", ()) else []
        for cell in notebook.cells[1:]
        if cell.cell_type == "code"
    ]


def changes(before, after):
    """Return pairs of differing lines: cell by cell, what was said before and after."""
    found = []
    for k, (left, right) in enumerate(zip(before, after, strict=True), start=1):
        if len(left) != len(right):
            found += [(k, line) for line in difflib.ndiff(left, right) if line[0] in "+-"]
        else:
            pairs = zip(left, right, strict=True)
            found += [(k, f"{one}\n      | {two}") for one, two in pairs if one != two]
    return found


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many disturbances of the data")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    variants = [(None, 1, None), *((None, 1, seed) for seed in range(arguments.seeds))]
    variants += [(name, threads, None) for name in arithmetics.available() for threads in (1, 2)]
    texts, unstable = chapters(arguments.names), 0
    with tempfile.TemporaryDirectory() as cache, ThreadPoolExecutor(arguments.workers) as pool:
        jobs = {
            (text, variant): pool.submit(
                outputs, text, arithmetics.environment(*variant[:2], cache), variant[2]
            )
            for text in texts
            for variant in variants
        }
        for text in texts:
            base = jobs[text, variants[0]].result()
            for variant in variants[1:]:
                name, threads, seed = variant
                what = f"{name}, threads: {threads}" if name else f"disturbed, seed {seed}"
                for cell, line in changes(base, jobs[text, variant].result()):
                    unstable += 1
                    print(f"{text.stem} [{cell}] {what}\n      | {line}", flush=True)
            print(f"{text.stem}: compared with {len(variants) - 1} other runs", flush=True)
    print(f"digits: {unstable} lines change")
    sys.exit(unstable > 0)


if __name__ == "__main__":
    main()
