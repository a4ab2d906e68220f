"""What does a recorded graph do to the memory of a Gauss-Newton loop?

    python benchmarks/recording.py

A small super-resolution problem in plain PyTorch, as one writes it first: dense matrices, CG as a
loop, the Jacobian of the residual by forward mode. The residuals are kept, for a plot of the loss.
Memory in use after each of six steps, in a process of its own for each case: ``requires_grad`` is
set on nothing, on the data, on data and weights, or on both with the weights detached each step.
"""

import argparse
import gc
import subprocess
import sys

import psutil
import torch
from torch.func import jacfwd

import regtools

CASES = {
    "nothing": "nothing",
    "data": "data",
    "both": "data and weights",
    "detached": "both, weights detached",
}
N_STEPS, N_ITER_CG, DAMPING = 6, 50, 1e-3


def bump(u):
    """The cubic B-spline with integral one."""
    u = u.abs()
    return torch.clamp(2 - u, min=0) ** 3 / 6 - 4 / 6 * torch.clamp(1 - u, min=0) ** 3


def matrix(w, domain, lam=0.05):
    """Rows of the moving frames, averaged over 2 × 2 cells, and of a regulariser."""
    points, h = domain.cell_centers(), torch.tensor(domain.h).double()
    rows = []
    for block in w.reshape(-1, 6):
        moved = points @ block[:4].reshape(2, 2).T + block[4:]
        u = (moved - torch.tensor(domain.lower).double()) / h - 0.5
        first, second = (bump(u[:, [k]] - torch.arange(domain.m[k])) for k in range(2))
        weights = (first[:, :, None] * second[:, None, :]).reshape(
            domain.m[0] // 2, 2, domain.m[1] // 2, 2, -1
        )
        rows.append(weights.mean((1, 3)).flatten(0, 1))
    return torch.cat([*rows, lam * torch.eye(len(points)).double()])


def residual(w, data, domain):
    """The image by CG from black, and the rows at it."""
    A = matrix(w, domain)
    N = A.T @ A
    x, r = torch.zeros(A.shape[1]).double(), A.T @ data
    s, rr = r, r @ r
    for _ in range(N_ITER_CG):
        Ns = N @ s
        alpha = rr / (s @ Ns)
        x, r = x + alpha * s, r - alpha * Ns
        s, rr = r + (r @ r) / rr * s, r @ r
    return A @ x - data


def megabytes(case):
    """Memory in use after each step."""
    torch.set_num_threads(1)
    loaded = regtools.load("hands-phantom", 20)
    maps = regtools.random_maps(loaded.domain, (2, 3, 4))
    frames = regtools.simulate_frames(loaded.reference, loaded.domain, 2, maps)
    data = torch.cat([frames[1:].flatten(), torch.zeros(loaded.reference.numel()).double()])
    data.requires_grad_(case != "nothing")
    w = maps.flatten().requires_grad_(case in ("both", "detached"))
    kept, used = [], []
    for _ in range(N_STEPS):
        J = jacfwd(residual)(w, data, loaded.domain)
        r = residual(w, data, loaded.domain)
        step = torch.linalg.solve(J.T @ J + DAMPING * torch.eye(len(w)).double(), J.T @ r)
        w = (w - step).detach() if case == "detached" else w - step
        kept.append(r)
        del J, r, step
        gc.collect()
        used.append(psutil.Process().memory_info().rss / 1e6)
    return used


def main():
    """Print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, help="one case only, in this process")
    case = parser.parse_args().case
    if case:
        print(f"{CASES[case]:24s}" + "".join(f"{mb:7.0f}" for mb in megabytes(case)))
        return
    print("requires_grad on           memory in use after each of six steps [MB]")
    for name in CASES:
        subprocess.run([sys.executable, __file__, "--case", name], check=True)


if __name__ == "__main__":
    main()
