"""How tests and tools talk to the kernels they start: through socket files, not ports.

A port is chosen free before the kernel takes it. Of two processes that start kernels at once, one
can find its port taken and dies; measured, about one start in two hundred.
"""

import zmq


def settings(folder):
    """Return the settings of a KernelManager whose kernels keep their sockets in a folder."""
    return {"transport": "ipc", "ip": f"{folder}/kernel"} if zmq.has("ipc") else {}
