"""What predictions improve and save, over several pairs and schedules.

    python benchmarks/predictions.py [--times] [--write]

First twelve pairs that a known affine map explains, 32 cells wide and 40 scales: at how many of the
39 steps the prediction lowers the loss, against the old point at the new θ, and against the old
point at its own θ, as published. Then the corrector steps with and without prediction on the drawn
hands, for several schedules. Takes a minute. With --times only the time of a path with prediction
over that without, on the pairs of the atlas of 64 cells, side by side, for two numbers of scales.
"""

import argparse
from functools import partial

import numpy as np
import torch
from _costs import write
from _timing import ratio, side_by_side

import regtools
from regtools import Affine, RegistrationProblem, SplineImage, predictor_corrector, random_maps
from regtools.atlas import median, pair, problems_of
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


def times():
    """Print and return the time of a path with prediction over that without."""
    asked = [
        one
        for one in problems_of("predictions")
        if (one.size, one.degrees, one.seed) == (64, 15, 0) and one.kind != "poses"
    ]
    print("scales   time with prediction over that without, exact and 2JᵀJ")
    measured = {}
    for count in (6, 41):
        thetas = np.geomspace(1000, 0.01, count).tolist()
        ratios = {"newton": [], "gauss-newton": []}
        for problem in asked:
            task = pair(problem).problem
            ways = {
                predictor: partial(
                    predictor_corrector, task, thetas, task.identity(), predictor=predictor
                )
                for predictor in (None, *ratios)
            }
            spent = side_by_side(ways, rounds=5)
            for name, found in ratios.items():
                found.append(ratio(spent, name, None))
        pictures = [one.image for one in asked]
        exact, gauss_newton = (median(found, pictures) for found in ratios.values())
        print(f"{count:4d}   {exact:.2f}   {gauss_newton:.2f}   of {len(asked)}")
        measured[str(count)] = f"{exact:.2f} on {len(asked)}"
    return measured


def main():
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--write", action="store_true", help="times, into book/costs.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.times or asked.write:
        measured = times()
        if asked.write:
            write({"predictions": measured})
        return
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
