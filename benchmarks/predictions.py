"""What predictions improve and save, over several pairs and schedules.

First twelve pairs that a known affine map explains, 32 cells wide and 40 scales: at how many of the
39 steps the prediction lowers the loss, against the old point at the new θ, and against the old
point at its own θ, as published. Then the corrector steps with and without prediction on the drawn
hands, for several schedules. Takes a minute.
"""

import numpy as np
import torch

import regtools
from regtools import Affine, RegistrationProblem, SplineImage, predictor_corrector, random_maps
from regtools.registration import compare_predictions

IMAGES = {"hands-phantom": 32, "cells": (28, 34), "retina": 32}
SCHEDULES = {
    "40 scales, 1000 to 0.001": np.logspace(3, -3, 40),
    "30 scales, 1000 to 0.001": np.logspace(3, -3, 30),
    "two a decade, 1000 to 0.001": np.logspace(3, -3, 13),
    "two a decade, 100 to 0.001": np.logspace(2, -3, 11),
}


def explained_pair(name, m, seed):
    """A template and what a random map makes of it."""
    loaded = regtools.load(name, m)
    data = loaded.template if name == "hands-phantom" else loaded.data
    template, transform = SplineImage(data, loaded.domain), Affine(2)
    points = transform(random_maps(loaded.domain, (seed,)), loaded.domain.cell_centers())
    reference = SplineImage(template(points).reshape(loaded.domain.m), loaded.domain)
    return RegistrationProblem(template, reference, transform)


def main():
    """Print both tables."""
    torch.set_num_threads(1)
    print("steps of 39 that lower the loss        new θ          old θ")
    print("pair                              exact  2JᵀJ    exact  2JᵀJ")
    thetas = np.logspace(3, -3, 40)
    for name, m in IMAGES.items():
        for seed in range(4):
            problem = explained_pair(name, m, seed)
            path = predictor_corrector(problem, thetas, problem.transform.identity())
            steps = compare_predictions(problem, path)
            row = [
                sum(one.loss_gain(key, reference) > 0 for one in steps)
                for reference in ("start", "before")
                for key in ("exact", "2JTJ")
            ]
            print(f"{name:15s} map {seed} {row[0]:17d} {row[1]:5d} {row[2]:8d} {row[3]:5d}")
    problem = RegistrationProblem.of(regtools.load("hands-phantom", 32), Affine(2))
    print("corrector steps on the drawn hands      none   2JᵀJ   exact")
    for label, schedule in SCHEDULES.items():
        counts = [
            predictor_corrector(
                problem, schedule, problem.transform.identity(), predictor=predictor
            ).n_iter
            for predictor in (None, "gauss-newton", "newton")
        ]
        print(f"{label:35s} {counts[0]:8d} {counts[1]:6d} {counts[2]:7d}")


if __name__ == "__main__":
    main()
