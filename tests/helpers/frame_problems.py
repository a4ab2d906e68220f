"""Super-resolution problems, frames and runs that several test files share."""

import math
from functools import cache

import numpy as np
import pytest
import torch

import dense_frames
from dense_frames import BOX, DOMAIN, small_problem, start
from regtools.images import Domain
from regtools.registration import Rigid, Translation
from regtools.superresolution import simulate_frames, varpro

PROBLEM = small_problem()
W0 = start(PROBLEM)
FRAMES = PROBLEM.frames
WITH_NAN = FRAMES.clone()
WITH_NAN[1, 2, 3] = math.nan
THIRDS = Domain((0.0, 2.0, -1.0, 4.0), (9, 12))


@cache
def run(derivative="implicit", **options):
    """A run that several tests look at."""
    return varpro(PROBLEM, W0, derivative, **options)


def reduced_loss(w, problem=PROBLEM, n=None):
    """The reduced objective by dense algebra; of the first n rows."""
    return float(dense_frames.reduced_residual(problem, w)[:n].square().sum())


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def pixels(domain):
    """All images with one bright pixel, as a block."""
    n = math.prod(domain.m)
    return torch.eye(n, dtype=torch.float64).reshape(*domain.m, n)


CASES = {
    "first fixed": {},
    "first free": {"fix_first": False},
    "factor 1": {"factor": 1, "q": 1},
    "factor 3": {"factor": 3, "domain": THIRDS},
    "4 frames": {"q": 3},
    "3D": {"domain": BOX},
    "3D, first free": {"domain": BOX, "fix_first": False},
    "margin": {"margin": 3},
    "weights": {"weighted": True},
    "blur": {"psf": 0.6},
    "blur, first free": {"psf": 0.6, "fix_first": False},
    "shifts": {"transform": Translation(2)},
    "turns": {"transform": Rigid(DOMAIN)},
    "all at once": {"margin": 2, "weighted": True, "psf": 0.4, "transform": Rigid(DOMAIN)},
    "3D, all at once": {
        "domain": BOX,
        "margin": 1,
        "weighted": True,
        "psf": 0.4,
        "transform": Translation(3),
        "q": 1,
    },
}
each_problem = pytest.mark.parametrize("options", CASES.values(), ids=CASES)


def smooth_frames(w, factor=2):
    """Frames of two soft blobs that averaging hardly changes."""
    domain = Domain(DOMAIN.omega, (32, 48))
    x = domain.cell_centers().numpy()
    grey = 100 * np.exp(-(((x - (0.9, 1.2)) / (0.35, 0.8)) ** 2).sum(1))
    grey += 60 * np.exp(-(((x - (1.3, 2.3)) / (0.3, 0.5)) ** 2).sum(1))
    image = torch.from_numpy(grey).reshape(domain.m)
    return simulate_frames(image, domain, factor, w), domain
