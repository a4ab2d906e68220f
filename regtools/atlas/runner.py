"""Run many problems on Dask's workers, and lose nothing that is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..images import checks
from .problems import Problem
from .rows import Rows
from .studies import measured

_NEED = "the atlas needs {} to run"
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR")}
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers do first: Ctrl-C is for the process that asked, and closes them in order."""
DEATHS = 3
"""Workers that may die over one problem before it counts as failed."""


@dataclass(frozen=True)
class Outcome:
    """What a run has done.

    Attributes
    ----------
    n_done, n_before : int
        Rows that are new, and those that were there.
    failed : dict
        Why, by key; a later run tries these again.
    stopped : bool
        Whether Ctrl-C came in between.
    """

    n_done: int
    n_before: int
    failed: dict[str, str]
    stopped: bool

    @property
    def success(self) -> bool:
        """Whether all rows that were asked for are there."""
        return not self.failed and not self.stopped


def run(
    problems: Iterable[Problem],
    folder: str | os.PathLike,
    *,
    workers: int = 2,
    scheduler: str | None = None,
    measure: Callable[[Problem], dict] = measured,
    bar: bool = True,
) -> Outcome:
    """Measure each problem that has no row yet, and keep the rows in a folder.

    A row is written as soon as it is there. Started again, a run goes on where it stopped.

    Parameters
    ----------
    problems : iterable of Problem
    folder : str or path
        For the rows, see `Rows`.
    workers : int
        Processes on this machine, of one thread each: so a row does not depend on their number.
    scheduler : str, optional
        Address of a Dask scheduler that has workers elsewhere; they need regtools, and one thread
        each: ``OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 dask worker ... --nthreads 1``.
    measure : callable
        What makes a row of a problem; it must be importable on the workers.
    bar : bool
        Whether to draw a bar with the time left.

    Returns
    -------
    Outcome

    Raises
    ------
    OSError
        If a row cannot be written, for example as the disk is full. What was written stays.
    ImportError
        If dask, distributed, pandas or pyarrow is missing.

    References
    ----------
    *The atlas*.
    """
    distributed = checks.imported("distributed", _NEED, extra="atlas")
    dask, tqdm = (checks.imported(name, _NEED, extra="atlas") for name in ("dask", "tqdm"))
    rows = Rows(folder)
    asked = {one.key: one for one in problems}
    there = rows.keys() & asked.keys()
    left = {key: one for key, one in sorted(asked.items()) if key not in there}
    if not left:
        rows.close()
        return Outcome(0, len(there), {}, False)
    settings = {
        "distributed.nanny.pre-spawn-environ": ONE_THREAD,
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.worker.profile.enabled": False,
        "distributed.worker.preload": [DEAF],
    }
    failed, n_done, stopped = {}, 0, False
    with dask.config.set(settings), _cluster(distributed, scheduler, workers) as client:
        futures = client.map(measure, [*left.values()], key=[*left], pure=True)
        done = distributed.as_completed(futures, with_results=True, raise_errors=False)
        try:
            for future, found in tqdm.tqdm(done, total=len(left), disable=not bar, unit="problem"):
                if future.status == "finished":
                    rows.append(found)
                    n_done += 1
                else:
                    failed[future.key] = _reason(found)
                future.release()
        except KeyboardInterrupt:
            client.cancel(futures, force=True)
            stopped = True
    rows.close()
    return Outcome(n_done, len(there), failed, stopped)


def _cluster(distributed, scheduler, workers):
    if scheduler is not None:
        return distributed.Client(scheduler)
    # Closed with the client that started it.
    return distributed.Client(
        n_workers=checks.whole("workers", workers),
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=50,
    )


def _reason(found):
    """Why a problem has no row; raise_errors=False returns type, error and trace."""
    error = found[1] if isinstance(found, tuple) else found
    return f"{type(error).__name__}: {error}"
