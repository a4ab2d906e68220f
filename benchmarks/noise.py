"""Is the derivative of the projection worth its price under noise? Errors over several problems.

Twelve problems from four images, 20 × 20 pixels from four frames of half the size, ten steps from
registered frames, without noise and with four sizes of it, in grey values, for five weights λ: the
image without a derivative of the projection against Kaufman's rule and the implicit one, all by
`solver="direct"`. Prints medians, how far the rules end apart, and how often two are close.
"""

import numpy as np
import torch

import regtools
from regtools import (
    SuperResolutionProblem,
    random_maps,
    register_frames,
    relative_error,
    simulate_frames,
    varpro,
)

IMAGES = {"hands-phantom": 20, "retina": 20, "cells": (20, 24), "camera": 20}
SEEDS = [(2, 3, 4), (5, 6, 7), (8, 9, 10)]
LAMS = (0.01, 0.03, 0.1, 0.3, 1.0)  # in units of a fine pixel
SIGMAS = (0, 0.5, 1, 2, 4)
RULES = ("none", "kaufman", "implicit")


def errors(name, m, seeds, sigma):
    """Errors in percent of the rules, one row for each λ."""
    loaded = regtools.load(name, m)
    image = loaded.image
    frames = simulate_frames(image, loaded.domain, 2, random_maps(loaded.domain, seeds))
    generator = torch.Generator().manual_seed(seeds[0])
    noise = torch.randn(frames.shape, generator=generator, dtype=frames.dtype)
    frames = frames + sigma * noise
    start = register_frames(frames, loaded.domain).w
    rows = []
    for lam in LAMS:
        problem = SuperResolutionProblem(frames, loaded.domain, 2, lam * max(loaded.domain.h))
        runs = [varpro(problem, start, rule, max_iter=10, solver="direct") for rule in RULES]
        rows.append([100 * relative_error(run.image, image) for run in runs])
    return rows


def main():
    """Print the table."""
    torch.set_num_threads(1)
    problems = [(name, m, seeds) for name, m in IMAGES.items() for seeds in SEEDS]
    for sigma in SIGMAS:
        table = np.array([errors(*problem, sigma) for problem in problems])
        print(f"noise {sigma}: median error in % of {len(problems)} problems, {' / '.join(RULES)}")
        for lam, row in zip(LAMS, np.median(table, axis=0), strict=True):
            print(f"  λ = {lam:4g} pixels  {' / '.join(f'{value:5.1f}' for value in row)}")
        best = table.min(axis=1)
        print(
            f"  best λ         {' / '.join(f'{value:5.1f}' for value in np.median(best, axis=0))}"
        )
        for k, rule in enumerate(RULES[::2]):
            behind = best[:, 2 * k] - best[:, 1]
            print(f"  each at its best λ: {rule} behind Kaufman by", end=" ")
            print(f"{behind.min():.1f} to {behind.max():.1f} points, ", end="")
            print(f"over 0.5 in {(behind > 0.5).sum()}, over 1 in {(behind > 1).sum()}")
        lag = table[:, 0, 2] - table[:, 0, 1]
        near = f"within 0.1 in {(np.abs(lag) < 0.15).sum()}, at most {lag.max():.1f} behind"
        print(f"  λ = {LAMS[0]:g} pixels: implicit against Kaufman {near}")


if __name__ == "__main__":
    main()
