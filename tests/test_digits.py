"""The tools that look for digits which rounding decides, and run the tests as other processors."""

import os
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_output

from tools import arithmetics, digits, portable


def test_each_set_names_every_library():
    environments = [arithmetics.environment(name, 2, "there") for name in arithmetics.NAMES]
    chosen = [
        {key: value for key, value in one.items() if os.environ.get(key) != value}
        for one in environments
    ]
    assert len({tuple(sorted(one.items())) for one in chosen}) == len(arithmetics.NAMES)
    for name, one in zip(arithmetics.NAMES, environments, strict=True):
        assert one["OMP_NUM_THREADS"] == one["NUMBA_NUM_THREADS"] == "2"
        assert one["NUMBA_CACHE_DIR"].endswith(name)


def test_only_what_the_processor_has_is_offered(monkeypatch):
    monkeypatch.setattr(
        arithmetics.Path, "read_text", lambda self: "flags\t\t: fpu sse4_2 avx2 fma"
    )
    assert arithmetics.available() == ["sse", "avx2", "mixed"]
    monkeypatch.setattr(arithmetics.Path, "read_text", lambda self: "Features : asimd")
    assert arithmetics.available() == []


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("1 failed, 1171 passed, 72 skipped in 59.31s", (1171, 1)),
        ("12 passed, 2 errors in 3.1s", (12, 2)),
        ("1 failed, 9 passed in 62.10s (0:01:02)\nmake: *** [Makefile:40: unit] Error 1", (9, 1)),
        ("no tests ran in 0.1s", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_last_line_is_counted(last, expected):
    assert portable.counts(f"7 passed, we said in 1.0s\n{last}\n" if last else "") == expected


def test_what_is_left_out_for_holding_no_numbers_exists():
    here = Path(__file__).parent
    assert [name for name in portable.NO_NUMBERS if not (here / name).exists()] == []


PAGE = (
    '<div><script type="application/json">{"describe": ["error 5 %"], '
    '"panels": [{"alt": ["a hand"]}]}</script></div>'
)


def test_all_that_a_cell_says_is_read():
    outputs = [
        new_output("stream", text="one 1\ntwo 2\n"),
        new_output("display_data", data={"text/html": PAGE, "text/plain": "Explorer"}),
        new_output("execute_result", data={"text/plain": "<Thing at 0x7f00aa11bb22>"}),
    ]
    cell = new_code_cell("x", outputs=outputs)
    assert digits.said(cell) == ["one 1", "two 2", "error 5 %", "a hand", "<Thing at …>"]


def test_a_page_that_computes_in_the_browser_says_nothing():
    page = '<script type="application/json">{"systems": [1, 2]}</script>'
    cell = new_code_cell(outputs=[new_output("display_data", {"text/html": page})])
    assert digits.said(cell) == []


def test_changes_are_listed_by_cell():
    assert digits.changes([["a 1"], ["b 2", "c"]], [["a 1"], ["b 2", "c"]]) == []
    assert digits.changes([["a"], ["b 2"]], [["a"], ["b 3"]]) == [(2, "b 2\n      | b 3")]
    assert digits.changes([["a"]], [["a", "b"]]) == [(1, "+ b")]


CHAPTER = """
# A chapter

```{code-cell} ipython3
import matplotlib.pyplot as plt

import regtools
from regtools import load

data = load("hands-phantom", 8).reference
print(f"{float(data.sum()):.4g} {float(data.sum()):.17g}")
plt.figure()
plt.title(f"mean {float(data.mean()):.17g}")
plt.show()
```

```{code-cell} ipython3
:tags: [timing]

print(float(data.sum()))
```
"""


def test_digits_that_hang_on_the_data_are_found(tmp_path):
    chapter = tmp_path / "01_chapter.md"
    chapter.write_text(CHAPTER)
    environment = arithmetics.environment(None, 1, tmp_path)
    plain, again, other = (digits.outputs(chapter, environment, seed) for seed in (None, None, 0))
    assert digits.changes(plain, again) == []
    first, second = digits.changes(plain, other)
    assert [cell for cell, _ in (first, second)] == [1, 1]
    one, two = (line.split() for line in first[1].split("\n      | "))
    assert one[0] == two[0] and float(one[1]) == pytest.approx(float(two[1]), rel=1e-12)
    assert digits.MARK in second[1]
