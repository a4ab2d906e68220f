"""Faults around a run: Ctrl-C at any stage, threads, processes, no room for files, a kill."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from problems import near_identity, two_blobs
from regtools import (
    Affine,
    Status,
    conjugate_gradient,
    joint_gauss_newton,
    levenberg_marquardt,
    newton,
    predictor_corrector,
    register,
    register_frames,
    simulated_problem,
    super_resolve,
    varpro,
)
from regtools.images import _taylor
from tools.files import replace_text

PROJECT = Path(__file__).resolve().parents[1]
SMALL = simulated_problem("hands-phantom", 8, seeds=(2, 3))
PAIR, START, W0 = two_blobs(), near_identity(Affine(2)), SMALL.problem.identity()
PICTURES = PAIR.template.data, PAIR.reference.data
SOLVERS = {
    "newton": lambda: newton(PAIR, 0.5, START, max_iter=3),
    "levenberg_marquardt": lambda: levenberg_marquardt(PAIR, 0.5, START, max_iter=3),
    "path": lambda: predictor_corrector(PAIR, [9.0, 1.0], START, max_iter=3),
    "register": lambda: register(*PICTURES, start=["identity", START], thetas=[9.0, 1.0]),
    "frames": lambda: register_frames(SMALL.frames, SMALL.domain, thetas=[1.0]),
    "varpro": lambda: varpro(SMALL.problem, W0, max_iter=2),
    "kaufman": lambda: varpro(SMALL.problem, W0, "kaufman", one_solve=True, max_iter=2),
    "joint": lambda: joint_gauss_newton(SMALL.problem, W0, max_iter=2),
    "super_resolve": lambda: super_resolve(SMALL.frames, 2, w0=W0, lam=1.0, max_rounds=1),
}


PARTS = 8
"""Places, evenly spread over the operations of a run, at which it is interrupted."""


class Interrupter(torch.utils._python_dispatch.TorchDispatchMode):
    """Raises KeyboardInterrupt at the k-th operation of torch."""

    def __init__(self, k):
        super().__init__()
        self.left = k

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("name", SOLVERS)
def test_an_interrupt_at_any_operation_is_no_success(name, monkeypatch):
    """It passes through, or a result says "stopped" and holds finite maps: never a success."""
    monkeypatch.setattr(_taylor, "COMPILED", False)  # so that each operation is one of torch
    with Interrupter(-1) as counted:
        SOLVERS[name]()
    total, ends = -1 - counted.left, []
    for k in sorted({1 + total * part // PARTS for part in range(PARTS)}):
        with Interrupter(k) as interrupter:
            try:
                result = SOLVERS[name]()
            except KeyboardInterrupt:
                ends.append("through")
                continue
        if interrupter.left <= 0:  # else what an image keeps has saved operations
            assert result.status is Status.STOPPED and not result.success, (k, result.message)
            assert torch.isfinite(result.w).all()
            ends.append("stopped")
    assert ends[0] == "through" and "stopped" in ends and len(ends) >= PARTS - 2


@pytest.mark.parametrize("solve", [newton, levenberg_marquardt])
def test_an_interrupt_at_the_very_end_is_no_success(solve):
    tolerance = solve(PAIR, 0.5, START).gradient_tolerance

    def stop(state):
        if state.gradient_norm <= tolerance:
            raise KeyboardInterrupt

    result = solve(PAIR, 0.5, START, callback=stop)
    assert result.gradient_norm <= tolerance
    assert result.status is Status.STOPPED and not result.success


def test_an_interrupt_in_conjugate_gradients_passes_through():
    calls = []

    def A(x):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return torch.diag(torch.arange(1.0, 6.0)) @ x

    with pytest.raises(KeyboardInterrupt):
        conjugate_gradient(A, torch.ones(5))


# --- threads and processes ---------------------------------------------------------------


def losses(problem, theta):
    return [float(problem.loss(START, theta)) for _ in range(20)]


def test_two_threads_may_use_one_problem():
    """Each with a blur of its own: what is kept for one must not be served to the other."""
    problem, thetas = two_blobs(), [0.1, 0.5, 1.0, 10.0] * 3
    expected = [losses(two_blobs(), theta) for theta in thetas]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda theta: losses(problem, theta), thetas))
    finally:
        sys.setswitchinterval(interval)
    assert found == expected


def test_two_threads_may_solve_at_once():
    with ThreadPoolExecutor(2) as pool:
        pairs = list(pool.map(lambda theta: newton(PAIR, theta, START).w, [0.5, 1.0]))
        runs = list(pool.map(lambda k: varpro(SMALL.problem, W0, max_iter=k).w, [1, 2]))
    assert torch.equal(pairs[0], newton(two_blobs(), 0.5, START).w)
    assert torch.equal(pairs[1], newton(two_blobs(), 1.0, START).w)
    assert torch.equal(runs[1], varpro(SMALL.problem, W0, max_iter=2).w)


def one_loss(problem):
    torch.set_num_threads(1)
    return float(problem.loss(START, 0.5)), problem


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_gets_a_problem_and_gives_it_back(method):
    """Also one that is forked after threads have run here."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda theta: losses(PAIR, theta), [0.5, 1.0]))
    with multiprocessing.get_context(method).Pool(1) as pool:
        answer = pool.apply_async(one_loss, (PAIR,))
        found, problem = answer.get(timeout=300)
    assert found == float(two_blobs().loss(START, 0.5)) == float(problem.loss(START, 0.5))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_result_can_be_pickled(name):
    result = SOLVERS[name]()
    again = pickle.loads(pickle.dumps(result))
    assert torch.equal(again.w, result.w) and again.status is result.status
    assert again.message == result.message and len(again.history) == len(result.history)


# --- files -------------------------------------------------------------------------------

EVALUATE = """
import numba.core.caching, torch, regtools
torch.set_num_threads(1)
domain = regtools.Domain((0, 6, 0, 9), (6, 9))
image = regtools.SplineImage(torch.arange(54.0).double().reshape(6, 9), domain)
print(float(image(domain.cell_centers()).sum()))
"""
FULL = """
import numba.core.caching, errno
def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")
numba.core.caching.IndexDataCacheFile._save_index = full
"""


@pytest.mark.parametrize("fault", ["unwritable", "no home", "full"])
def test_images_are_evaluated_where_no_kernel_can_be_kept(fault, tmp_path):
    shut = tmp_path / "file"
    shut.write_text("a file, where a folder would be made")
    environment = dict(os.environ) | {"NUMBA_CACHE_DIR": str(shut if fault != "full" else tmp_path)}
    if fault == "no home":
        environment |= {"HOME": str(shut), "XDG_CACHE_HOME": str(shut)}
    code = (FULL if fault == "full" else "") + EVALUATE
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=PROJECT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) == pytest.approx(sum(range(54)), rel=1e-12)


WRITE = """
import os, sys, time
from tools.files import replace_text
def stuck(source, target):
    print("written", flush=True)
    time.sleep(600)
os.replace = stuck
replace_text(sys.argv[1], "new" * 100000)
"""


def test_a_kill_while_a_file_is_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps({"old": 1}))
    command = [sys.executable, "-c", WRITE, str(path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "written\n"
        run.kill()
    assert json.loads(path.read_text()) == {"old": 1}


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "book.ipynb"
    for text in ("old", "new, and longer"):
        replace_text(path, text)
        assert path.read_text() == text
    path.chmod(0o640)
    replace_text(path, "again")
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(UnicodeEncodeError):
        replace_text(path, "\ud800")
    assert path.read_text() == "again" and list(tmp_path.iterdir()) == [path]


def test_the_tools_write_in_no_other_way():
    for file in ("paper.py", "notebooks.py", "many_bits.py"):
        text = (PROJECT / "tools" / file).read_text()
        assert "replace_text(" in text and "write_text(" not in text.replace("replace_text(", "")
        assert "nbformat.write(" not in text
