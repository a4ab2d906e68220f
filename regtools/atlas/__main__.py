"""Run studies of the atlas: ``python -m regtools.atlas --folder rows [--quick] [--study ...]``."""

from __future__ import annotations

import argparse
import os
import sys
import time

from . import STUDIES, problems_of, run


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 if all rows are there, 1 if not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m regtools.atlas", description=__doc__)
    parser.add_argument("--folder", required=True, help="for the rows; a run goes on with them")
    parser.add_argument("--study", nargs="+", choices=tuple(STUDIES), default=list(STUDIES))
    parser.add_argument("--quick", action="store_true", help="a few small problems of each")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (2)")
    parser.add_argument(
        "--scheduler",
        default=os.environ.get("DASK_SCHEDULER_ADDRESS"),
        help="address of a Dask scheduler, or the variable DASK_SCHEDULER_ADDRESS",
    )
    options = parser.parse_args(arguments)
    asked = [one for study in options.study for one in problems_of(study, options.quick)]
    start = time.perf_counter()
    found = run(asked, options.folder, workers=options.workers, scheduler=options.scheduler)
    seconds = time.perf_counter() - start
    print(f"{found.n_done} new rows in {seconds:.0f} s, {found.n_before} were there", end="")
    print(f", {len(asked) - found.n_done - found.n_before} are missing")
    for key, reason in found.failed.items():
        print(f"failed: {key}: {reason}", file=sys.stderr)
    if found.stopped:
        return 130
    return 0 if found.success else 1


if __name__ == "__main__":
    sys.exit(main())
