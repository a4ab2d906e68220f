"""What is done is kept and counts once: killed workers, a full disk, Ctrl-C, failures."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import pandas
import pytest

from atlas_measures import deadly, fallible, noted
from regtools.atlas import Problem, Rows, problems_of, run
from regtools.atlas.__main__ import main

ASKED = [Problem("trial", "texture", "scene", 16, seed) for seed in range(8)]


@pytest.fixture
def places(tmp_path):
    """A folder for rows, one for notes of what was computed."""
    (tmp_path / "notes").mkdir()
    return tmp_path / "rows", tmp_path / "notes"


def computed(notes):
    """How often each problem was computed."""
    return Counter(int(path.name.split("-")[0]) for path in notes.glob("*-" + 32 * "?"))


def whole(folder):
    """Whether all rows are there once."""
    table = Rows(folder).read()
    return table["square"].tolist() == [seed**2 for seed in range(8)]


def test_all_rows_come_and_none_twice(places):
    rows, notes = places
    found = run(ASKED[:5], rows, measure=partial(noted, folder=notes), workers=2, bar=False)
    assert (found.n_done, found.n_before, found.success) == (5, 0, True)
    found = run([*ASKED, ASKED[6]], rows, measure=partial(noted, folder=notes), bar=False)
    assert (found.n_done, found.n_before, found.success) == (3, 5, True)
    assert whole(rows) and computed(notes) == dict.fromkeys(range(8), 1)
    assert [path.name for path in rows.iterdir()] == ["trial.parquet"]
    again = run(ASKED, rows, measure=partial(noted, folder=notes), bar=False)
    assert (again.n_done, again.n_before) == (0, 8) and sum(computed(notes).values()) == 8


def test_a_killed_worker_costs_nothing_but_time(places):
    rows, notes = places
    found = run(ASKED, rows, measure=partial(deadly, folder=notes), workers=2, bar=False)
    assert (notes / "3-killed").exists(), "no worker was killed"
    assert found.success and found.n_done == 8 and whole(rows)


def test_a_full_disk_loses_nothing(places, monkeypatch):
    rows, notes = places
    write, written = pandas.DataFrame.to_parquet, []

    def full(table, path, **options):
        if len(written) == 3:
            path.write_bytes(b"half a ro")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(table["key"][0])
        write(table, path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(pandas.DataFrame, "to_parquet", full)
        with pytest.raises(OSError, match="No space left"):
            run(ASKED, rows, measure=partial(noted, folder=notes), bar=False)
    assert set(Rows(rows).read()["key"]) == set(written) and len(written) == 3
    assert not [*rows.rglob("*.part")]
    found = run(ASKED, rows, measure=partial(noted, folder=notes), bar=False)
    assert (found.n_done, found.n_before) == (5, 3) and whole(rows)


def test_what_fails_is_named_and_tried_again(places):
    rows, notes = places
    (notes / "broken").touch()
    found = run(ASKED, rows, measure=partial(fallible, folder=notes), bar=False)
    assert found.failed == {ASKED[2].key: "ArithmeticError: two is not known"}
    assert not found.success and found.n_done == 7
    (notes / "broken").unlink()
    found = run(ASKED, rows, measure=partial(fallible, folder=notes), bar=False)
    assert found.success and found.n_done == 1 and whole(rows)


def test_ctrl_c_keeps_what_is_done(tmp_path):
    """As in a terminal: all processes hear it, also if the tests run where it is ignored."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from regtools.atlas.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "--folder", str(tmp_path / "rows")]
    command += ["--study", "hessians", "--workers", "2"]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while len([*tmp_path.glob("rows/new/*.parquet")]) < 3 and time.monotonic() < end:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    table = Rows(tmp_path / "rows").read()
    assert 3 <= len(table) < len(problems_of("hessians")) and table["key"].is_unique
    assert table["better_exact"].notna().all()


def test_rows_do_not_depend_on_the_workers(tmp_path):
    asked = ["--quick", "--study", "hessians", "smoothing", "predictions"]
    for workers in ("1", "8"):
        folder = str(tmp_path / workers)
        assert main(["--folder", folder, "--workers", workers, *asked]) == 0
    one, eight = (Rows(tmp_path / workers).read() for workers in ("1", "8"))
    assert len(one) > 10
    pandas.testing.assert_frame_equal(one, eight, check_exact=True)


def test_a_scheduler_elsewhere(places):
    distributed = pytest.importorskip("distributed")
    rows, notes = places
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(processes=True, **options) as cluster:
        address = cluster.scheduler_address
        measure = partial(noted, folder=notes)
        found = run(ASKED, rows, measure=measure, scheduler=address, bar=False)
        assert found.n_done == 8 and whole(rows)
        assert len(cluster.workers) == 1, "the workers were sent away"


def test_other_studies_stay_as_they_are(tmp_path):
    """New rows of one study change neither the file nor the types of another."""
    rows = Rows(tmp_path)
    rows.append({"key": "a", "study": "one", "count": 3, "flag": True})
    rows.append({"key": "b", "study": "two", "size": 0.5})
    rows.close()
    before = (tmp_path / "one.parquet").read_bytes()
    rows.append({"key": "b", "study": "two", "size": 1.5})
    rows.append({"key": "c", "study": "two", "size": 2.5})
    rows.close()
    assert (tmp_path / "one.parquet").read_bytes() == before
    assert rows.read("one")["count"].tolist() == [3] and rows.read("one")["flag"].dtype == bool
    assert rows.read("one")["count"].dtype == "int64"
    assert rows.read("two")["size"].tolist() == [1.5, 2.5], "the last row of a key counts"
