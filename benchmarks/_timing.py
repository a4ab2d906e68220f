"""Times functions side by side: the only kind of figure the project quotes."""

import random
import statistics
import time

import torch

torch.set_num_threads(1)


def side_by_side(functions, rounds=15, budget_s=20.0, in_a_row=1, clock=time.perf_counter):
    """Time functions in turn, so that a slow spell hits all alike.

    Each round calls all of them in another order: what one leaves in the cache helps the next.

    Parameters
    ----------
    functions : dict
        Name to a function without arguments.
    rounds : int
        How often each is called, after one call that is not counted.
    budget_s : float
        Stop after the round that passes this many seconds.
    in_a_row : int
        Calls of one function before the next has its turn, as a solver makes them; what counts is
        their mean. With one, a short function finds nothing of its own in the cache.
    clock : callable
        `time.process_time` counts the seconds of the CPU.

    Returns
    -------
    dict
        Name to a list of seconds, one per round; entry k of each comes from round k.
    """
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    order, shuffle = list(functions), random.Random(0).shuffle
    start = time.perf_counter()
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            before = clock()
            for _ in range(in_a_row):
                functions[name]()
            seconds[name].append((clock() - before) / in_a_row)
        if time.perf_counter() - start > budget_s:
            break
    return seconds


def ratio(seconds, name, other):
    """Return the median over the rounds of the time of `name` over that of `other`."""
    pairs = zip(seconds[name], seconds[other], strict=True)
    return statistics.median(a / b for a, b in pairs)
