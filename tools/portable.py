"""Run the tests as other processors would: unit tests and strict nbval, one summary line for each.

    python -m tools.portable [--arithmetic NAME ...] [--threads N ...] [--workers N] [--numbers]

Without arguments: every instruction set that this processor has, up to three of those in
`tools.arithmetics`, with one and with two threads. With ``--numbers``, without the tests of files,
messages and refused inputs, which no arithmetic changes.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools import arithmetics

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "_build" / "portable"
PARTS = {"unit tests": "unit", "notebooks": "nbval"}  # and their targets in the Makefile
NO_NUMBERS = [
    f"test_{name}.py"
    for name in (
        "aliases",
        "bad_inputs",
        "digits",
        "environment",
        "faults",
        "followed",
        "house",
        "notebooks",
        "numbers",
        "reduced",
        "refused",
        "results",
        "shapes",
    )
]
LAST = re.compile(r"^.*\b(?:passed|failed|error|no tests ran).* in [\d.]+s.*$", re.M)


def counts(output):
    """Return passed and failed tests by the last line of pytest; an error counts as failed."""
    last = (LAST.findall(output) or [""])[-1]
    found = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", last)}
    return found.get("passed", 0), found.get("failed", 0) + found.get("error", 0)


def run(part, environment, workers, log, ignored):
    """Run one part of the tests; return passed, failed, seconds and whether all is well."""
    command = ["make", "--no-print-directory", PARTS[part], f"WORKERS={workers}"]
    command += ["UNIT=" + " ".join(f"--ignore=tests/{name}" for name in ignored)]
    start = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout)
    passed, failed = counts(done.stdout)
    return passed, failed, time.monotonic() - start, done.returncode == 0 and passed > 0


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arithmetic", nargs="+", choices=arithmetics.NAMES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--numbers", action="store_true")
    arguments = parser.parse_args()
    names = arithmetics.available()
    if arguments.arithmetic:
        names = [name for name in arguments.arithmetic if name in names]
    if not names:
        print("portable: this processor has none of these instruction sets; nothing was run.")
        return
    ignored = NO_NUMBERS if arguments.numbers else ()
    well, columns = True, "  ".join(f"{part} passed failed seconds" for part in PARTS)
    print(f"arithmetic threads  {columns}", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        for threads in arguments.threads:
            workers = max(1, arguments.workers // threads)  # more would wait for each other
            for name in names:
                environment = arithmetics.environment(name, threads, cache)
                cells = []
                for part in PARTS:
                    log = LOGS / f"{name}-{threads}-{part.replace(' ', '-')}.log"
                    passed, failed, seconds, good = run(part, environment, workers, log, ignored)
                    cells.append(f"{passed:{len(part) + 7}d} {failed:6d} {seconds:7.0f}")
                    if not good:
                        well = False
                        cells.append(f"see {log.relative_to(ROOT)}")
                print(f"{name:10s} {threads:7d}  {'  '.join(cells)}", flush=True)
    if not well:
        sys.exit("portable: some tests failed")


if __name__ == "__main__":
    main()
