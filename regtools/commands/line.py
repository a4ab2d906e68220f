"""What stands behind the command `regtools`."""

from __future__ import annotations

import argparse
import sys

import torch

import regtools

from .burst import add_super_resolve
from .pair import add_register
from .teller import Teller

_DONE, _DOUBTED, _REFUSED, _STOPPED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        What follows the name of the program; of the process if left out.

    Returns
    -------
    int
        0 if all went well, 1 if there is reason to doubt the result, 2 if an argument or a file
        does not fit, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        return _DONE if _run(options) else _DOUBTED
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return _STOPPED
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"regtools: {error}", file=sys.stderr)
        return _REFUSED


def _run(options):
    before, say = torch.get_num_threads(), Teller(options.quiet)
    # Two help; more wait for each other, and OMP_NUM_THREADS=1 is to be heeded.
    torch.set_num_threads(min(2, before) if options.threads is None else max(1, options.threads))
    try:
        return options.run(options, say)
    finally:
        say.close()
        torch.set_num_threads(before)


def _parser():
    words = "Register two pictures, or make one sharp picture of many."
    parser = argparse.ArgumentParser(prog="regtools", description=words)
    parser.add_argument("--version", action="version", version=regtools.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    add_register(commands)
    add_super_resolve(commands)
    for one in commands.choices.values():
        one.add_argument("--force", action="store_true", help="replace files that are there")
        one.add_argument("--quiet", action="store_true", help="say nothing but errors")
        one.add_argument("--threads", type=int, help="of the processor (at most 2)")
    return parser
