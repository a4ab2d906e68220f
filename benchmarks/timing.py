"""Times functions side by side: the only kind of figure the project quotes."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread, as printed

import statistics
import time

import torch

torch.set_num_threads(1)


def side_by_side(functions, rounds=15, budget_s=20.0):
    """Time functions in turn, A B C A B C …, so that a slow spell hits all alike.

    Parameters
    ----------
    functions : dict
        Name to a function without arguments.
    rounds : int
        How often each is called, after one call that is not counted.
    budget_s : float
        Stop after the round that passes this many seconds.

    Returns
    -------
    dict
        Name to a list of seconds, one per round; entry k of each comes from round k.
    """
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    start = time.perf_counter()
    for _ in range(rounds):
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - before)
        if time.perf_counter() - start > budget_s:
            break
    return seconds


def ratio(seconds, name, other):
    """Return the median over the rounds of the time of `name` over that of `other`."""
    pairs = zip(seconds[name], seconds[other], strict=True)
    return statistics.median(a / b for a, b in pairs)
