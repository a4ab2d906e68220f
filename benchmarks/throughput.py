"""How many problems of the atlas are done in a second, and what a million would take.

    python benchmarks/throughput.py [--workers 1 2] [--write]

For each number of workers: problems a second of the study `hessians`, from a start with workers to
the last row on disk, and with problems that take no time, which is what Dask and Parquet alone
allow. Then the CPU seconds of a problem of each study, over five of it. --write keeps the numbers
in book/costs.json.
"""

import argparse
import tempfile
import time

import numpy as np
from _costs import machine, rounded, write

from regtools.atlas import STUDIES, measured, problems_of, run


def empty(problem):
    """A row that costs nothing."""
    return {"key": problem.key, "study": problem.study}


def rate(problems, workers, measure):
    """Problems a second once the workers have started, and have seen one problem each."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for count in (workers, len(problems)):
            start = time.perf_counter()
            found = run(problems[:count], f"{folder}/{count}", workers=workers, measure=measure,
                        bar=False)  # fmt: skip
            seconds.append(time.perf_counter() - start)
            assert found.success
    return (len(problems) - workers) / (seconds[1] - seconds[0])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    many = problems_of("hessians")
    rates, bare = {}, {}
    for workers in arguments.workers:
        rates[str(workers)] = rounded(rate(many[:96], workers, measured))
        bare[str(workers)] = rounded(rate(many, workers, empty))
        print(f"{workers} workers: {rates[str(workers)]} problems a second,", end=" ")
        print(f"{bare[str(workers)]} of problems that take no time")
    seconds, counts = {}, {}
    for study in STUDIES:
        asked = problems_of(study)
        measured(asked[0])  # what is compiled stays
        some = asked[:: len(asked) // 3 + 1]
        start = time.process_time()
        for one in some:
            measured(one)
        seconds[study] = rounded((time.process_time() - start) / len(some))
        counts[study] = len(asked)
        print(f"{study}: {seconds[study]} s a problem, {counts[study]} problems")
    mean = float(np.average(list(seconds.values()), weights=list(counts.values())))
    days = 1e6 * mean / 86400
    print(f"a million problems of this mixture: {days:.0f} days of one core")
    if arguments.write:
        throughput = {"rates": rates, "bare": bare, "seconds": seconds, "mean": rounded(mean)}
        write({"throughput": throughput | {"days": rounded(days), "machine": machine()}})


if __name__ == "__main__":
    main()
