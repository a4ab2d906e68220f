"""Other processors on one machine: instruction sets that the libraries can be told to use.

Another instruction set adds in another order or contracts ``a * b + c`` otherwise, so that the
last digits differ as they do on another machine. PyTorch, MKL, OpenBLAS and Numba each have a
variable of their own; ``NUMBA_CACHE_DIR`` keeps the compiled kernels of the sets apart.
"""

import os
from pathlib import Path

# In the order in which they are preferred; `needs` are flags of the processor.
_SETS = {
    "sse": {
        "needs": {"sse4_2"},
        "environment": {
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
            "OPENBLAS_CORETYPE": "Nehalem",
            "NUMBA_CPU_NAME": "generic",
        },
    },
    "avx2": {
        "needs": {"avx2", "fma"},
        "environment": {
            "ATEN_CPU_CAPABILITY": "avx2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "OPENBLAS_CORETYPE": "Haswell",
            "NUMBA_CPU_NAME": "haswell",
        },
    },
    "avx512": {
        "needs": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
        "environment": {
            "ATEN_CPU_CAPABILITY": "avx512",
            "MKL_ENABLE_INSTRUCTIONS": "AVX512",
            "OPENBLAS_CORETYPE": "SkylakeX",
            "NUMBA_CPU_NAME": "skylake-avx512",
        },
    },
    # For processors without AVX-512: each library at another level.
    "mixed": {
        "needs": {"avx2", "fma"},
        "environment": {
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "OPENBLAS_CORETYPE": "Nehalem",
            "NUMBA_CPU_NAME": "haswell",
        },
    },
}
WANTED = 3
NAMES = tuple(_SETS)


def available():
    """Names of up to three instruction sets that this processor has, none if it is not x86-64."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    lines = (line.partition(":")[2] for line in text.splitlines() if line.startswith("flags"))
    flags = set(next(lines, "").split())
    return [name for name, one in _SETS.items() if one["needs"] <= flags][:WANTED]


def environment(name, threads, cache):
    """Environment of a process that uses the set `name`, or the machine's own if that is None.

    `cache` is the folder under which Numba keeps the compiled kernels of each set apart.
    """
    counts = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "NUMBA", "OPENBLAS")}
    # Threads that wait by spinning made small products a hundred times slower on busy cores.
    counts |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    chosen = {} if name is None else dict(_SETS[name]["environment"])
    return os.environ | counts | chosen | {"NUMBA_CACHE_DIR": str(Path(cache) / (name or "own"))}
