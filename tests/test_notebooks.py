"""The chapters as committed: both halves agree, every output is there and fit to be shown.

That the outputs are fresh is nbval's part (`make test`).
"""

import copy
import re

import pytest
import zmq
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.notebooks import (
    MAX_BYTES,
    chapters,
    execute,
    keep_timings,
    mismatches,
    normalised,
    problems,
    read,
)

each_chapter = pytest.mark.parametrize("text_half", chapters(), ids=lambda path: path.stem)


@each_chapter
def test_halves_agree(text_half):
    assert mismatches(read(text_half), read(text_half.with_suffix(".ipynb"))) == []


@each_chapter
def test_committed_outputs(text_half):
    notebook_half = text_half.with_suffix(".ipynb")
    assert problems(read(notebook_half)) == []
    assert notebook_half.stat().st_size < MAX_BYTES


def test_every_notebook_has_a_text_half():
    folder = chapters()[0].parent
    assert {path.stem for path in folder.glob("*.ipynb")} == {path.stem for path in chapters()}


GRADES = ["Predict, then run", "Fill in a line", "Change one thing", "Derive", "Open"]
TAUGHT = [path for path in chapters() if path.stem[0] == "0" and path.stem[1] != "0"]


@pytest.mark.parametrize("text_half", TAUGHT, ids=lambda path: path.stem)
def test_chapters_have_five_graded_exercises(text_half):
    """Each with a solution, some judged; and the first line says how long all takes."""
    text = text_half.read_text("utf-8")
    exercises = re.findall(r"```{exercise}\n:label: (\S+)\n\n\*([^*]+?)\.?\*", text)
    assert [grade for _, grade in exercises] == GRADES
    assert re.findall(r"{solution-start} (\S+)", text) == [label for label, _ in exercises]
    assert re.search(r"\ncheck_answer\(", text)
    times = r"^\*Reading \d+ minutes.* · exercises \d+ minutes · the code runs in .* · needs .*\*$"
    assert re.search(times, text, re.M)


# The checks above must be able to fail.


def figure_cell(**metadata):
    image = new_output("display_data", data={"image/png": "iVBORw0KGgo="})
    return new_code_cell("plot()", execution_count=1, outputs=[image], metadata=metadata)


FIGURE = {"figure": {"caption": "A line.", "name": "fig-line"}, "image": {"alt": "A rising line."}}


@pytest.fixture
def notebook():
    return new_notebook(cells=[new_markdown_cell("# Title"), figure_cell(mystnb=FIGURE)])


def test_a_good_notebook_passes(notebook):
    assert mismatches(notebook, copy.deepcopy(notebook)) == []
    assert problems(notebook) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cells: cells.pop(), "2 cells in the text, 1 in the notebook"),
        (lambda cells: cells[0].update(source="# Other"), "cell 1: source differs"),
        (lambda cells: cells[1].update(cell_type="raw"), "cell 2: cell_type differs"),
        (lambda cells: cells[1].metadata.update(tags=["x"]), "cell 2: metadata differs"),
    ],
)
def test_a_mismatched_pair_is_caught(notebook, change, said):
    other = copy.deepcopy(notebook)
    change(other.cells)
    assert [message for message in mismatches(notebook, other) if said in message]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (new_code_cell("1"), "not executed"),
        (new_code_cell("1", execution_count=2), "not executed"),
        (figure_cell(mystnb=FIGURE | {"image": {}}), "mystnb.image.alt"),
        (figure_cell(mystnb=FIGURE | {"figure": {"name": "fig-x"}}), "mystnb.figure.caption"),
        (figure_cell(), "mystnb.figure.name"),
        (
            new_code_cell("x", execution_count=1, outputs=[new_output("error", ename="NameError")]),
            "undeclared NameError",
        ),
        (
            new_code_cell(
                "x",
                execution_count=1,
                outputs=[new_output("stream", text="saved\n/" + "home/someone/x.png")],
            ),
            "shows a path",
        ),
    ],
)
def test_a_bad_output_is_caught(cell, said):
    assert [message for message in problems(new_notebook(cells=[cell])) if said in message]


def test_stored_widget_state_is_caught():
    assert problems(new_notebook(metadata={"widgets": {}})) == [
        "widget state is stored in the notebook"
    ]


def live_explorer():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a" * 32}}
    page = {"text/html": "<div></div>", "image/png": "iVBORw0KGgo="}
    outputs = [new_output("display_data", data=view | page)]
    return new_notebook(cells=[new_code_cell("x", execution_count=1, outputs=outputs)])


def test_live_views_are_dropped_and_the_page_beside_them_stays():
    assert problems(live_explorer()) == ["cell [1]: holds a widget view that no kernel serves"]
    kept = normalised(live_explorer())
    assert problems(kept) == []
    assert set(kept.cells[0].outputs[0].data) == {"text/html", "image/png"}


EXPLORER_CELL = """
```{code-cell} ipython3
from regtools.explorers import Control, Explorer, Panel

panel = Panel(lambda x, ax: ax.plot([0, x]), "a line")
slider = Control("x", "x", [1, 2])
Explorer(lambda x: x, [panel], [slider], name="line", describe=lambda x: f"ends at {x}")
```
"""


def test_executed_explorers_bring_their_page(tmp_path):
    text_half = tmp_path / "explorer.md"
    text_half.write_text(EXPLORER_CELL)
    (output,) = execute(text_half).cells[0].outputs
    assert "ends at 1" in output.data["text/html"] and "ends at 2" in output.data["text/html"]


WHICH_SOCKETS = """```python
print(get_ipython().kernel.parent.transport)
```
"""


@pytest.mark.skipif(not zmq.has("ipc"), reason="no socket files on this system")
def test_kernels_take_no_port_that_another_process_may_take_too(tmp_path):
    text_half = tmp_path / "sockets.md"
    text_half.write_text(WHICH_SOCKETS)
    (output,) = execute(text_half).cells[0].outputs
    assert output.text == "ipc\n"


def timed(source, text, tags=("timing",)):
    output = new_output("stream", text=text)
    return new_code_cell(source, outputs=[output], metadata={"tags": list(tags)})


@pytest.mark.parametrize("tag", ["timing", "rounding"])
def test_what_no_two_runs_share_stays_while_its_source_does(tag):
    own = (tag,)
    before = [timed("a", "1 s", own), timed("b", "2 s", own), timed("c", "3", tags=())]
    after = [timed("a", "9 s", own), timed("B", "9 s", own), timed("c", "9", tags=())]
    before, after = new_notebook(cells=before), new_notebook(cells=after)
    keep_timings(after, before)
    assert [cell.outputs[0].text for cell in after.cells] == ["1 s", "9 s", "9"]
