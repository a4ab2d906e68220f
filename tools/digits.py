"""List the printed numbers of the chapters that rounding changes; the list should be empty.

    python -m tools.digits [--seeds N] [--workers N] [NAME ...]

Each chapter is executed as it is, then with every image and frame disturbed by 1e-13 relative,
and under the instruction sets of `tools.arithmetics` with one and two threads. What it prints,
writes into figures and says in explorers must be the same each time, to the letter. So must the
numbers of the ledger, if the paper's images are there. A NAME is a chapter such as 07_partial_cg,
or "ledger"; without one, all are taken. Cells tagged `timing` are left out.
"""

import argparse
import difflib
import html
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from tools import arithmetics
from tools.notebooks import chapters, read, run_cells

ROOT = Path(__file__).resolve().parents[1]
RELATIVE = 1e-13
LEDGER = "ledger"
MARK = "texts of the figures:"
DATA = re.compile(r'<script type="application/json">(.*?)</script>', re.S)
TICK = re.compile(r"[−\d.]+|\$\\mathdefault.*")  # where an axis ends is no number of the page
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
            texts = [text.get_text() for text in plt.figure(number).findobj(Text)]
            found += [text for text in texts if re.search(r"\d", text) and not TICK.fullmatch(text)]
        if found:
            print(MARK, found)
        plt.close("all")

    plt.show = printing_show


def _blank_explorers():
    """Their texts are compared, and drawing takes most of their time."""
    from PIL import Image

    from regtools.explorers import Panel

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
                # a module of its own computes what it shows in the browser
                *shown.get("describe", ()),
                *(alt for panel in shown.get("panels", ()) for alt in panel["alt"]),
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
    # An error in one arithmetic is a change like any other.
    run_cells(notebook, text_half.parent, environment, allow_errors=True)
    return [
        said(cell) if "timing" not in cell.metadata.get("tags", ()) else []
        for cell in notebook.cells[1:]
        if cell.cell_type == "code"
    ]


def ledger(environment, seed):
    """Run the experiments of `tools.paper`; return one line for each number, experiment by cell."""
    code = f"from tools import digits; digits.print_ledger({seed!r})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the experiments of the ledger failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    return [
        [f"{name}.{experiment}.{key}: {value}" for key, value in numbers.items()]
        for name, experiments in found.items()
        for experiment, numbers in experiments.items()
    ]


def print_ledger(seed):
    """Print, in this process, what `tools.paper` measures on disturbed images."""
    if seed is not None:
        _disturb_data(seed)
    from tools import paper  # after its data are disturbed

    print(json.dumps(paper.measure(progress=False)))


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
    parser.add_argument("--threads", type=int, action="append", help="default: 1 and 2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    names = [name for name in arguments.names if name != LEDGER]
    texts = chapters(names) if names or not arguments.names else []
    if LEDGER in arguments.names or (not arguments.names and "REGTOOLS_DATA" in os.environ):
        texts.append(LEDGER)
    unstable = 0
    others = [(None, 1, seed) for seed in range(arguments.seeds)]
    others += [
        (name, threads, None)
        for threads in arguments.threads or (1, 2)
        for name in arithmetics.available()
    ]
    with tempfile.TemporaryDirectory() as cache:

        def run(job):
            text, (name, threads, seed) = job
            environment = arithmetics.environment(name, threads, cache)
            if text == LEDGER:
                return ledger(environment, seed)
            return outputs(text, environment, seed)

        def compare(variants, workers):
            """Yield job and outputs, in the order of the jobs."""
            jobs = [(text, variant) for variant in variants for text in texts]
            with ThreadPoolExecutor(workers) as pool:
                yield from zip(jobs, pool.map(run, jobs), strict=True)

        base = {text: found for (text, _), found in compare([(None, 1, None)], arguments.workers)}
        for threads in sorted({count for _, count, _ in others}):
            variants = [variant for variant in others if variant[1] == threads]
            # More threads than cores would wait for each other.
            workers = max(1, arguments.workers // threads)
            for (text, (name, _, seed)), found in compare(variants, workers):
                what = f"{name}, {threads} threads" if name else f"disturbed, seed {seed}"
                changed = changes(base[text], found)
                unstable += len(changed)
                for cell, line in changed:
                    print(f"{Path(text).stem} [{cell}] {what}\n      | {line}", flush=True)
    print(f"digits: {len(texts)} texts, {len(others)} other runs, {unstable} lines change")
    sys.exit(unstable > 0)


if __name__ == "__main__":
    main()
