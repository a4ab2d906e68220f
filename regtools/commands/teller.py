"""What a command says while it runs: lines, and a bar where somebody looks on."""

from __future__ import annotations

import sys


class Teller:
    """Lines on standard output, and a bar on standard error if that is a terminal.

    Parameters
    ----------
    quiet : bool
        Whether to say nothing.
    """

    def __init__(self, quiet: bool):
        self.quiet, self.bar = quiet, None

    def __call__(self, words: str) -> None:
        """Print a line; the bar makes way."""
        if not self.quiet:
            self.close()
            print(words, flush=True)

    def progress(self, name: str, done: int, total: int) -> None:
        """Draw how far a part of the work is, as `register` and `super_resolve` tell it."""
        if self.quiet or not sys.stderr.isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:  # a bar is no reason to stop
            return
        if self.bar is None or self.bar.desc != f"  {name}: ":
            self.close()
            self.bar = tqdm(total=total, desc=f"  {name}", leave=False, disable=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
