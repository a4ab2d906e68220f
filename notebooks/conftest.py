"""Kernels of nbval: see `tools.kernels`."""

import functools
import tempfile

import nbval.kernel

from tools import kernels

_sockets = tempfile.TemporaryDirectory(prefix="nbval-")
nbval.kernel.KernelManager = functools.partial(
    nbval.kernel.KernelManager, **kernels.settings(_sockets.name)
)


def pytest_unconfigure():
    _sockets.cleanup()
