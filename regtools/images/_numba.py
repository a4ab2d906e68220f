"""How Numba compiles here: functions keep what they are compiled to, where there is room for it.

Each function is compiled at its first use, in a second or so, and kept on disk, so that only the
first run on a machine waits: in ``__pycache__`` beside its file, where that is read-only in the
user's cache directory, or where ``NUMBA_CACHE_DIR`` says. Where none can be written, or the disk is
full, every run compiles again.
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import torch

# Contraction lets a * b + c be rounded once; nothing else about the arithmetic is loosened.
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
compiled = numba.njit(**_OPTIONS)  # ty: ignore[no-matching-overload]
inlined = numba.njit(forceinline=True, **_OPTIONS)  # ty: ignore[no-matching-overload]


def kept(function):
    """Compile a function that Python calls, and keep it if there is somewhere to."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)  # ty: ignore[no-matching-overload]
    except RuntimeError:  # nowhere to keep it
        return numba.njit(**_OPTIONS)(function)  # ty: ignore[no-matching-overload]


def call(kernel, *arguments):
    """Call a kernel; where the disk is full it is compiled all the same, and not kept."""
    try:
        kernel(*arguments)
    except OSError:
        kernel(*arguments)


def share(kernel, n_parts, work, per_thread, *arguments):
    """Call ``kernel(start, stop, *arguments)`` over all parts, in as many threads as pay.

    A thread must have `per_thread` of the `work`, or starting it costs more than it saves. A
    kernel works each part out alone, so the number of threads does not change the result.
    """
    threads = min(torch.get_num_threads(), work // per_thread, n_parts)
    if threads <= 1:
        return call(kernel, 0, n_parts, *arguments)
    call(kernel, 0, 0, *arguments)  # compile here, not in every thread
    ends = [n_parts * k // threads for k in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda start, stop: kernel(start, stop, *arguments), ends, ends[1:]))
    return None
