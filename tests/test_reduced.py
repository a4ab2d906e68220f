"""What the live tests run of a chapter: enough for its explorer, and no more."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from browser import EXPLORER
from reduced import reduced


def chapter(*sources, shown):
    """A notebook of code cells whose last one has an explorer as its output, and one more."""
    page = new_output("execute_result", data={"text/html": f"<div {EXPLORER}></div>"})
    return new_notebook(
        cells=[
            *map(new_code_cell, sources),
            new_markdown_cell("Now move the slider."),
            new_code_cell(shown, outputs=[page]),
            new_code_cell("runs = None"),
        ]
    )


def kept(*sources, shown):
    """The code of the cells that are left, but for the last, which must be whole."""
    *before, last = [cell.source for cell in reduced(chapter(*sources, shown=shown)).cells]
    assert last == shown
    return before


@pytest.mark.parametrize(
    ("before", "needed"),
    [
        ("x = 1\ny = 2", ["x = 1"]),
        ("import a, b as x\nimport c", ["import a, b as x"]),
        ("a = 1\nx, _ = (a, 2)\nprint(a)", ["a = 1\nx, _ = (a, 2)"]),
        # The value that is used is the last one; what a branch binds may or may not be it.
        ("x = slow()\nx = 1", ["x = 1"]),
        ("x = 1\nif now:\n    x = 2", ["x = 1\nif now:\n    x = 2"]),
        ("x = 1\nx = x + 1", ["x = 1\nx = x + 1"]),
        ("x = 1\nx += 1", ["x = 1\nx += 1"]),
        # Changed in place.
        ("x = {}\nx['a'] = 1\ny = x['a']", ["x = {}\nx['a'] = 1"]),
        ("x = f()\nx.a[0].b = 1\nx.show\ny.b = 1", ["x = f()\nx.a[0].b = 1"]),
        ("x = []\nfor i in 1, 2:\n    x.append(i)", ["x = []\nfor i in (1, 2):\n    x.append(i)"]),
        # A function finds names when it is called, a comprehension at once and keeps its own.
        ("def x():\n    return a\na = 1", ["def x():\n    return a\na = 1"]),
        ("x = lambda: [a for _ in b]\na = b = 1", ["x = lambda: [a for _ in b]\na = b = 1"]),
        ("def x(a):\n    b = a\n    return b\na = b = 1", ["def x(a):\n    b = a\n    return b"]),
        ("a = 1\nx = [a for i in range(3)]\na = 2", ["a = 1\nx = [a for i in range(3)]"]),
        ("i = 1\nx = [i for i in range(3)]", ["x = [i for i in range(3)]"]),
    ],
)
def test_what_a_name_needs_is_kept(before, needed):
    assert kept(before, shown="show(x)") == needed


def test_cells_stay_apart_and_empty_ones_go():
    assert kept("x = 1\nplot(x)", "plot(x)", "y = x", shown="z = 1\nshow(y)") == ["x = 1", "y = x"]


def test_metadata_stays():
    notebook = chapter(shown="show()")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    assert reduced(notebook).metadata == notebook.metadata
