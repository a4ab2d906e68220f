"""What pages quote of the atlas is what its rows say."""

import json
import re

import pytest

from book._ext.ledger import ATLAS
from regtools.atlas import STUDIES, Rows, problems_of
from regtools.atlas.calls import CHANGES, DISTANCES
from tools.atlas import answers

ROWS = Rows(ATLAS.parent / "atlas")
STORED = json.loads(ATLAS.read_text("utf-8"))
PAGES = [ATLAS.parent / f"{name}.md" for name in ("ledger", "how-to-choose", "faq")]


def test_numbers_are_those_of_the_rows():
    assert answers() == STORED


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_pages_name_what_there_is(page):
    names = re.findall(r"\{atlas\}`([^`]*)`", page.read_text("utf-8"))
    assert len(names) > 5 and set(names) <= set(STORED)


def test_every_number_is_quoted_or_stands_in_the_page():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    quoted = set(re.findall(r"\{atlas\}`([^`]*)`", text))
    assert len(quoted) > 0.5 * len(STORED)


@pytest.mark.parametrize("study", STUDIES)
def test_rows_are_those_of_the_studies(study):
    """All problems, once, and nothing else; with the versions that made them."""
    table = ROWS.read(study)
    assert sorted(table["key"]) == sorted(one.key for one in problems_of(study))
    assert table["regtools"].nunique() == 1 and table["torch"].notna().all()


def test_the_table_is_large_and_light():
    files = [*(ATLAS.parent / "atlas").glob("*.parquet")]
    assert len(ROWS.read()) >= 1000
    assert sum(path.stat().st_size for path in files) < 5e6


def test_chapter_9_counts_what_the_rows_say():
    table = ROWS.read("brightness")
    found = {
        distance: sum(int((table[f"off_{change}_{distance}"] < 1).sum()) for change in CHANGES)
        for distance in DISTANCES
    }
    words = (
        f'{len(CHANGES) * len(table)} maps, `"ngf"` {found["ngf"]}, `"ncc"` {found["ncc"]} '
        f'and `"ssd"` {found["ssd"]}'
    )
    chapter = (ATLAS.parents[1] / "notebooks" / "09_own_pictures.md").read_text("utf-8")
    assert f'`"mi"` found {found["mi"]} of {words}' in chapter
