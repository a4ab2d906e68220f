"""The ledger: its numbers come from ledger.json, which the experiments still give."""

import json
import os
import re
import subprocess
import sys

import pytest

from book._ext.ledger import COSTS, LEDGER, look_up, written
from paper_pair import on_the_papers_pair
from tools import paper

PAGE = LEDGER.with_suffix(".md")
COMMITTED = json.loads(LEDGER.read_text())
ROLE = re.compile(r"\{num\}`([^`]*)`")
RESTS_ON = re.compile(
    r"^\{bdg-\w+\}`[^`]*` "
    r"(by (proof|definition|counting)|from the text|(tried )?on \d+ (images|pairs))"
)
VERDICTS = ("holds", "holds with a correction", "does not hold", "not stated enough to test")


def rows():
    """The cells of all tables that hold verdicts."""
    for table in re.findall(r":::\{list-table\}(.*?):::", PAGE.read_text(), re.S):
        for row in re.split(r"\n\* - ", table)[2:]:
            yield [cell.strip() for cell in row.split("\n  - ")]


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row[0][:40])
def test_row(row):
    assert len(row) == 4 and all(row), "a cell is missing or empty"
    _, paper_pair, book_pair, verdict = row
    assert re.findall(r"\{bdg-\w+\}`([^`]*)`", verdict)[:1] in [[v] for v in VERDICTS]
    assert RESTS_ON.match(verdict), "it does not say what the verdict rests on"
    assert "../notebooks/" in verdict
    for name, cell in (("hands", paper_pair), ("hands-phantom", book_pair)):
        for path in ROLE.findall(cell):
            assert path.split(".")[0] in paper.PAIRS
            assert written(look_up(COMMITTED, path))
        # What is measured on this pair is told of this pair; 128² was run on the paper's alone.
        assert all(p.startswith((f"{name}.", "hands.times.large")) for p in ROLE.findall(cell))


def test_measured_numbers_are_not_typed():
    """Both columns say the same words, so a number typed by hand would have to suit both pairs."""
    for _, paper_pair, book_pair, _ in rows():
        first, second = (ROLE.sub("#", cell) for cell in (paper_pair, book_pair))
        assert first == second
        assert "#" in first or not re.search(r"\d", first), f"no number from the file: {first}"


def test_the_page_of_costs_types_no_measured_number():
    page, costs = COSTS.with_suffix(".md").read_text(), json.loads(COSTS.read_text())
    paths = re.findall(r"\{cost\}`([^`]*)`", page)
    assert len(paths) > 60
    for path in paths:
        assert written(look_up(costs, path))
    for line in page.splitlines():
        if line.startswith("| ") and "{cost}" in line:
            cells = line.strip("|").split("|")[1:]
            assert all(re.fullmatch(r" \{cost\}`[^`]*` ", cell) for cell in cells)


def test_a_wrong_name_is_noticed():
    with pytest.raises(KeyError):
        look_up(COMMITTED, "hands.figure_3.nothing")


def test_both_pairs_hold_the_same_experiments():
    first, second = (COMMITTED[name] for name in paper.PAIRS)
    assert {k: set(v) for k, v in first.items()} == {k: set(v) for k, v in second.items()}
    assert set(first) == {e.__name__ for e in paper.EXPERIMENTS} | {"times"}


def test_absent_images_are_explained(tmp_path):
    environment = os.environ | {"REGTOOLS_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "tools.paper", "--output", str(tmp_path / "out.json")]
    run = subprocess.run(
        command, env=environment, cwd=LEDGER.parents[1], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "REGTOOLS_DATA" in run.stderr and "Traceback" not in run.stderr
    assert not (tmp_path / "out.json").exists()


@on_the_papers_pair
@pytest.mark.parametrize("name", paper.PAIRS)
@pytest.mark.parametrize("experiment", paper.EXPERIMENTS, ids=lambda e: e.__name__)
def test_experiment_gives_the_committed_numbers(experiment, name):
    """To the digit, on every machine: those that hang on rounding are not stored."""
    assert experiment(name) == COMMITTED[name][experiment.__name__]


def test_numbers_are_stored_as_far_as_they_go():
    assert paper.digits(0.03467, 2) == 0.035
    assert [paper.halves(x) for x in (10.42, 10.46, 17.8)] == [10.5, 10.5, 18.0]
    assert [paper.below(x, 11, 15) for x in (9.7, 11.0, 15.1)] == ["< 11", "< 15", "> 15"]
