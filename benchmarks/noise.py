"""Is the derivative of the projection worth its price under noise? Errors over several problems.

Twelve problems, 20 × 20 pixels from four frames of half the size, ten steps from registered frames,
with and without noise of two grey values, for four weights λ: the image without a derivative of the
projection against Kaufman's rule and the implicit one. Prints medians, and how often two rules end
within a point of each other. Takes some minutes.
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
LAMS = (0.01, 0.1, 0.3, 1.0)  # in units of a fine pixel
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
        runs = [
            varpro(problem, start, rule, max_iter=10, tol_cg=1e-6, scaled=False) for rule in RULES
        ]
        rows.append([100 * relative_error(run.image, image) for run in runs])
    return rows


def main():
    """Print the table."""
    torch.set_num_threads(1)
    problems = [(name, m, seeds) for name, m in IMAGES.items() for seeds in SEEDS]
    for sigma in (0, 2):
        table = np.array([errors(*problem, sigma) for problem in problems])
        print(f"noise {sigma}: median error in % of {len(problems)} problems, {' / '.join(RULES)}")
        for lam, row in zip(LAMS, np.median(table, axis=0), strict=True):
            print(f"  λ = {lam:4g} pixels  {' / '.join(f'{value:5.1f}' for value in row)}")
        best = table.min(axis=1)
        print(
            f"  best λ          {' / '.join(f'{value:5.1f}' for value in np.median(best, axis=0))}"
        )
        close = (best[:, 0] - best[:, 1] < 1).sum()
        print(f"  at its best λ none is within a point of Kaufman in {close} of {len(problems)}")
        spread = best.max(axis=1) - best.min(axis=1)
        print(f"  all three within {spread.max():.1f} points, in {(spread < 1).sum()} within one")
        lag = table[:, 0, 2] - table[:, 0, 1]
        near = f"within 0.1 in {(np.abs(lag) < 0.15).sum()}, at most {lag.max():.1f} behind"
        print(f"  λ = {LAMS[0]:g} pixels: implicit against Kaufman {near}")


if __name__ == "__main__":
    main()
