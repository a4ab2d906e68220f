"""Bad and strange files in one table: each ends in a named error or in a stated repair."""

import gzip
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import bad_pictures
import strange_pictures
from picture_rows import MOST, ROWS, Named, Read, Refused
from raw_files import GREY, itk, pil
from regtools import read_image, register

assert bad_pictures.ENDINGS and strange_pictures.ALPHA is not None, "their rows stand in ROWS"


def problem_with(outcome, path):
    """What is wrong with the outcome of a row; empty if nothing is."""
    try:
        picture = read_image(path)
    except (ValueError, TypeError, OSError) as error:
        if not isinstance(outcome, Named):
            return f"not read: {error}"
        return unlike(outcome, type(error).__name__, str(error))
    if isinstance(outcome, Named):
        return f"no error: {picture}"
    if isinstance(outcome, Refused):
        return not_registered(outcome, picture, path.parent)
    return different(outcome, picture)


def unlike(outcome, kind, message):
    """What is wrong with an error."""
    if kind != outcome.kind.__name__:
        return f"{kind}: {message}"
    named = message.startswith("path ") and outcome.words in message
    return "" if named else f"does not name it: {message}"


def not_registered(outcome, picture, folder):
    """What is wrong with the error of a registration, whichever of the two the picture is."""
    values = np.random.default_rng(5).random((12, 14)).astype(np.float32)
    other = read_image(itk(folder / "other.mha", values))
    for name, pair in (("template", (picture, other)), ("reference", (other, picture))):
        try:
            found = register(*pair, thetas=[1.0], start="identity")
        except ValueError as error:
            if not str(error).startswith(f"{name} {outcome.words}"):
                return f"{name}: {error}"
        else:
            return f"registered: {found.message}"
    return ""


def different(outcome, picture):
    """What of a picture is not as stated."""
    values = np.asarray(outcome.values)
    dim = picture.domain.dim
    expected = values.transpose(*reversed(range(dim)), *range(dim, values.ndim))
    found = picture.data.numpy()
    wrong = []
    if not np.array_equal(found, expected.astype(np.float64), equal_nan=True):
        wrong.append(f"values {found.shape} {found.ravel()[:5]}, not {expected.ravel()[:5]}")
    stated = {
        "unit": (picture.unit, outcome.unit),
        "dtype": (picture.dtype, outcome.dtype or values.dtype.name),
        "known": (picture.known is not None, outcome.known is not None),
    }
    wrong += [f"{name} {one}, not {two}" for name, (one, two) in stated.items() if one != two]
    if outcome.known is not None and picture.known is not None:
        share = np.asarray(outcome.known).T
        if not np.allclose(picture.known.numpy(), share, rtol=0, atol=1e-12):
            wrong.append(f"known {picture.known.numpy().ravel()[:5]}, not {share.ravel()[:5]}")
    for name in ("spacing", "direction", "origin"):
        known = getattr(outcome, name)
        if known is not None and not np.allclose(getattr(picture, name), known, atol=1e-6):
            wrong.append(f"{name} {getattr(picture, name).tolist()}, not {known}")
    return "; ".join(wrong)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.apart])
def test_bad_and_strange_files_end_as_they_must(tmp_path, name):
    row = ROWS[name]
    wrong = problem_with(row.outcome, row.make(tmp_path))
    assert not wrong, wrong


APART = """
import json, resource, sys
from regtools import read_image

most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
for path in json.load(sys.stdin):
    before = most()
    try:
        found = ["no error", str(read_image(path).domain)]
    except Exception as error:
        found = [type(error).__name__, str(error)]
    print(json.dumps([path, *found, most() - before]), flush=True)
"""


def test_what_would_end_or_fill_the_process(tmp_path):
    """In a process of their own: files that would stop it, hold it for ever or take its memory."""
    rows = {}
    for k, row in enumerate(one for one in ROWS.values() if one.apart):
        folder = tmp_path / str(k)
        folder.mkdir()
        rows[str(row.make(folder))] = row.outcome
    whole = pil(tmp_path / "whole.png", GREY)
    given = json.dumps([str(whole), *rows])
    run = subprocess.run(
        [sys.executable, "-c", APART], input=given, capture_output=True, text=True, timeout=300
    )
    found = {path: rest for path, *rest in map(json.loads, run.stdout.splitlines())}
    assert found[str(whole)][0] == "no error"
    wrong = []
    for path, outcome in rows.items():
        kind, message, megabytes = found.get(path, ("nothing", run.stderr[-300:], 0))
        if words := unlike(outcome, kind, message):
            wrong.append(f"{path!a}: {words}")
        if megabytes > MOST:
            wrong.append(f"{path!a}: {megabytes} MB")
    assert not wrong, "\n".join(wrong)


def test_the_table_is_whole():
    kinds = {type(row.outcome) for row in ROWS.values()}
    assert kinds == {Named, Read, Refused}
    assert len(ROWS) >= 60 and sum(row.apart for row in ROWS.values()) >= 10
    print(f"\nbad and strange files: {len(ROWS)}")


def test_a_wrong_outcome_is_seen(tmp_path):
    path = pil(tmp_path / "a.png", GREY)
    for outcome in (
        Named("path"),
        Read(GREY.T),
        Read(GREY + 1),
        Read(GREY, unit="mm"),
        Read(GREY, dtype="int8"),
        Read(GREY, known=GREY),
        Read(GREY, spacing=(1, 2)),
        Refused("must not be constant"),
    ):
        assert problem_with(outcome, path)
    assert not problem_with(Read(GREY), path)
    (tmp_path / "b.png").write_text("no picture")
    for outcome in (Named("another reason"), Named("picture", TypeError), Read(GREY)):
        assert problem_with(outcome, tmp_path / "b.png")


class Trap:
    """It writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("ending", ["pkl", "png", "nii", "nii.gz", "npy", "dcm"])
def test_nothing_is_ever_unpickled(tmp_path, ending):
    content = pickle.dumps(Trap(tmp_path / "sprung"))
    path = tmp_path / f"a.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    with pytest.raises(ValueError, match="must name a picture"):
        read_image(path)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(content).close()
    assert (tmp_path / "sprung").exists()
