"""What does a Newton evaluation cost on a device, with the fused kernels and in plain PyTorch?

    python benchmarks/devices.py [--device cuda] [--sizes 512,512 128,128,128] [--path] [--write]

The pairs of `benchmarks/registration.py`, float64. Fused are the compiled kernels on the CPU, those
in Triton on a GPU; the ratio is measured side by side. With --path also one registration over
thirteen scales from the identity, its seconds on the clock and its error in pixels.
"""

import argparse
import datetime
import statistics
import time

import numpy as np
import torch
from _costs import rounded, write
from _timing import ratio, side_by_side
from interpolation import on_torch
from registration import off, pair_of

from regtools import register
from regtools.images import Domain, SplineImage, _fused
from regtools.registration import Affine, RegistrationProblem, second_order_model

SIZES = {"cpu": ["64,64", "256,256", "32,32,32"]}
SIZES["cuda"] = ["512,512", "2048,2048", "4096,4096", "128,128,128", "256,256,256"]


def waiting(function, device):
    """The same function, which returns when the device is done."""

    def run():
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def evaluation(m, device):
    """Seconds of a Newton evaluation, fused, and how many times as long plain PyTorch takes."""
    template, reference, A, b = pair_of(m, device)
    domain = Domain([end for n in m for end in (0.0, float(n))], m)
    images = [SplineImage(one, domain) for one in (template, reference)]
    problem = RegistrationProblem(*images, Affine(len(m)))
    w = torch.from_numpy(np.concatenate([A.ravel(), b])).to(device)
    evaluate = waiting(lambda: second_order_model(problem, w, 1.0), device)
    times = side_by_side({"fused": evaluate, "plain": on_torch(evaluate)}, rounds=5)
    return statistics.median(times["fused"]), ratio(times, "plain", "fused")


def path(m, device):
    """Seconds of a registration over thirteen scales, and its error in pixels."""
    *pair, A, b = pair_of(m, device)
    thetas = np.geomspace(1e4, 1e-2, 13).tolist()
    start = time.perf_counter()
    options = {"distance": "ssd", "surround": "zero", "start": "identity", "thetas": thetas}
    found = register(*pair, **options)
    spent, d = time.perf_counter() - start, len(m)
    w = found.w.numpy(force=True)
    return spent, off(w[: d * d].reshape(d, d), w[d * d :], (A, b), m)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")
    parser.add_argument("--sizes", nargs="+", help="pixels along each axis, as 512,512")
    parser.add_argument("--path", action="store_true", help="whole registrations too")
    parser.add_argument("--write", action="store_true", help="put it into book/costs.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    fused = device.type == "cpu" or _fused.works(device)
    print(f"{name}, PyTorch {torch.__version__}; fused kernels: {'yes' if fused else 'no'}")
    measured = {
        "date": datetime.date.today().isoformat(),
        "name": name,
        "torch": torch.__version__.split("+")[0],
    }
    for size in options.sizes or SIZES[device.type]:
        m = tuple(map(int, size.split(",")))
        spent, plain = evaluation(m, device)
        found = {"milliseconds": rounded(1e3 * spent), "plain_over_fused": rounded(plain)}
        if options.path:
            path((16,) * len(m), device)  # what is compiled is compiled now
            spent, error = path(m, device)
            found |= {"path": rounded(spent), "error": rounded(error)}
        measured["x".join(map(str, m))] = found
        print(f"{size:15s} " + ", ".join(f"{key} {value:g}" for key, value in found.items()))
    if options.write:
        write({"device": measured})


if __name__ == "__main__":
    main()
