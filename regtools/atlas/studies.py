"""What is measured, and on which problems: one study for each group of questions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import torch

from ..images import checks
from . import bursts, calls, pairs
from .pictures import IMAGES, suits
from .problems import Problem
from .rows import versions

DIGITS = 6
"""Significant digits of a number in a row."""
SMALL = 32
"""Cells of the largest problem of a quick run."""


@dataclass(frozen=True)
class Study:
    """What to measure on each of some problems.

    Attributes
    ----------
    measure : callable
        Takes a `Problem`, returns numbers by name.
    problems : callable
        Takes the name of the study, and yields its problems.
    """

    measure: Callable[[Problem], dict]
    problems: Callable[[str], Iterator[Problem]]


def measured(problem: Problem) -> dict:
    """Return the row of a problem: the record, its key, versions, and what its study measures.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    dict
        The same on every machine of one arithmetic, whatever else runs there.

    Raises
    ------
    ValueError
        If `study` is not one of `STUDIES`.

    References
    ----------
    *The atlas*.
    """
    checks.check_choice("study", problem.study, tuple(STUDIES))
    torch.set_num_threads(1)
    numbers = STUDIES[problem.study].measure(problem)
    rounded = {
        name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
        for name, value in numbers.items()
    }
    return {"key": problem.key, **asdict(problem), **rounded, **versions()}


def problems_of(study: str, quick: bool = False) -> list[Problem]:
    """Return the problems of a study; a few small ones to try it.

    Parameters
    ----------
    study : str
        One of `STUDIES`.
    quick : bool
        Whether to take every fortieth, at least two, none of more than 32 cells.
    """
    checks.check_choice("study", study, tuple(STUDIES))
    found = list(STUDIES[study].problems(study))
    if not quick:
        return found
    small = sorted(found, key=lambda one: (one.size, one.key))[: max(2, len(found) // 40)]
    return [replace(one, size=min(one.size, SMALL)) for one in small]


def _shown(kinds):
    """Pictures with the kinds that suit them, in turn: a part of a study holds all of them."""
    for kind, image in itertools.product(kinds, IMAGES):
        if suits(image, kind):
            yield image, kind


def _pairs(study, kinds, sizes, noises, ranges, seeds):
    every = itertools.product(range(seeds), sizes, noises, ranges, _shown(kinds))
    for seed, size, noise, degrees, (image, kind) in every:
        yield Problem(study, image, kind, size, seed, noise, degrees)


def _bursts(study, kinds, sizes, noises, lams, seeds, factor=2):
    every = itertools.product(range(seeds), sizes, noises, lams, _shown(kinds))
    for seed, size, noise, lam, (image, kind) in every:
        degrees = 5.0 if kind == "scene" else 45.0
        yield Problem(study, image, kind, size, seed, noise, degrees, lam, factor)


BOTH = ("object", "scene")
STUDIES = {
    "rules": Study(
        bursts.rules,
        lambda name: itertools.chain(
            _bursts(name, BOTH, (20,), (0, 1, 2, 5, 10), (0.01, 0.1, 0.3, 1.0), 1),
            _bursts(name, BOTH, (32,), (0, 2), (0.01, 0.3), 1),
            _bursts(name, BOTH, (32,), (0,), (0.01,), 1, factor=4),
            _bursts(name, BOTH, (32,), (2, 5), (0.3,), 1, factor=4),
        ),
    ),
    "counts": Study(bursts.counts, lambda name: _bursts(name, BOTH, (20,), (0, 2), (0.01,), 2)),
    "last_part": Study(
        bursts.last_part, lambda name: _bursts(name, ("object",), (12, 16), (0,), (0.01, 0.1), 1)
    ),
    "smoothing": Study(
        bursts.smoothing, lambda name: _bursts(name, BOTH, (20, 32), (0, 1, 2, 5, 10), (0,), 1)
    ),
    "scales": Study(
        pairs.scales,
        lambda name: itertools.chain(
            _pairs(name, BOTH, (32, 64), (1,), (15, 45, 90, 180), 1),
            _pairs(name, BOTH, (128,), (1,), (15, 45), 1),
            _pairs(name, BOTH, (32, 64), (0,), (15,), 1),
        ),
    ),
    "predictions": Study(
        pairs.predictions,
        lambda name: _pairs(name, ("object", "scene", "poses"), (32, 64), (1,), (15, 45), 2),
    ),
    "hessians": Study(
        pairs.hessians,
        lambda name: _pairs(name, ("object", "scene", "poses"), (32,), (0, 2, 10), (15,), 2),
    ),
    "starts": Study(
        calls.starts, lambda name: _pairs(name, BOTH, (32, 64), (1,), (15, 45, 90, 180), 1)
    ),
    "brightness": Study(calls.brightness, lambda name: _pairs(name, BOTH, (64,), (1, 5), (15,), 1)),
    "digits": Study(pairs.digits, lambda name: _pairs(name, BOTH, (32,), (1,), (15,), 2)),
    "solves": Study(
        bursts.solves, lambda name: _bursts(name, BOTH, (20,), (0,), (0.01, 0.1, 1.0), 1)
    ),
    "images": Study(
        calls.images,
        lambda name: itertools.chain(
            _bursts(name, BOTH, (64,), (0, 2, 5), (0,), 1),
            _bursts(name, BOTH, (128,), (2,), (0,), 1),
        ),
    ),
    "ellipsoids": Study(
        pairs.ellipsoids, lambda name: _pairs(name, BOTH, (32,), (1, 5, 10), (15,), 1)
    ),
}
"""By name."""
