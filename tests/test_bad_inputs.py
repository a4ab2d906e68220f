"""Every public name with inputs that do not fit: a named error, a stated conversion, or advice."""

import re
from collections import Counter

import pytest
import torch

import bad_files
import bad_frames
import regtools
from bad_arguments import ARGUMENTS
from bad_kinds import Advice, Named, Row, Same, of_tensors
from bad_tensors import TENSORS

assert bad_frames.SLOPES and bad_files.FILES, "their rows stand in ARGUMENTS too"
TABLE = [*of_tensors(TENSORS), *ARGUMENTS]


def problem_with(row):
    """What is wrong with the outcome of a row; empty if nothing is."""
    if isinstance(row.outcome, Named):
        try:
            found = row.call()
        except (TypeError, ValueError) as error:
            named = re.search(row.outcome.words, str(error))
            return "" if named else f"{type(error).__name__} does not name it: {error}"
        except Exception as error:
            return f"from the depths: {type(error).__name__}: {error}"
        return f"no error: {found}"
    found = row.call()
    if isinstance(row.outcome, Advice):
        said = not found.success and re.search(row.outcome.words, found.message)
        return "" if said else f"success {found.success}: {found.message}"
    plain = row.outcome.plain() if callable(row.outcome.plain) else row.outcome.plain
    return "" if same(found, plain) else f"{found} is not {plain}"


def same(found, plain):
    if not torch.is_tensor(found):
        return found == plain
    return torch.allclose(found, torch.as_tensor(plain), rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", regtools.__all__)
def test_bad_inputs_end_as_they_must(name):
    wrong = [
        (row.what, words) for row in TABLE if row.name == name and (words := problem_with(row))
    ]
    assert not wrong, "\n".join(f"{what}: {words}" for what, words in wrong)


def test_the_table_is_whole(record_property):
    count = Counter(type(row.outcome).__name__ for row in TABLE)
    record_property("outcomes", dict(count))
    print(f"\nbad inputs: {sum(count.values())}, of these {dict(count)}")
    assert {row.name for row in TABLE} == set(regtools.__all__)
    assert sum(count.values()) >= 200 and min(count.values()) >= 10
    assert len({(row.name, row.what) for row in TABLE}) == len(TABLE), "a row stands twice"


def test_a_wrong_outcome_is_seen():
    def deep():
        raise IndexError("w")

    class Proud:
        success, message = True, "converged"

    for outcome, call in [
        (Named("w"), deep),
        (Named("w"), lambda: 1.0),
        (Named("theta"), lambda: int("x")),
        (Same(1.0), lambda: 2.0),
        (Same(torch.ones(2)), lambda: torch.tensor([1.0, torch.nan])),
        (Advice("converged"), Proud),
    ]:
        assert problem_with(Row("", "", call, outcome))
