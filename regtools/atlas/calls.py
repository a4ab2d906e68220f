"""What the two whole calls find, `register` and `super_resolve`, and what simpler ways find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import torch

from ..images import Domain, checks
from ..registration import RegistrationProblem, predictor_corrector, register
from ..superresolution import SuperResolutionProblem, choose_lam, register_frames, super_resolve
from .bursts import STRETCH
from .pairs import SHARP, pair, random_map
from .pictures import NEED, picture
from .problems import Problem

DISTANCES = ("ssd", "ncc", "mi", "ngf")
CHANGES = {
    "same": lambda grey: grey,
    "times_1.3": lambda grey: 1.3 * grey,
    "plus_20": lambda grey: grey + 20,
    "squared": lambda grey: grey.clip(min=0) ** 2 / 255,
    "lit": lambda grey: torch.linspace(0.6, 1.4, len(grey)).to(grey)[:, None] * grey,
    "inverted": lambda grey: 255 - grey,
    "folded": lambda grey: 2 * (grey - grey.median()).abs(),
}
"""What is done to the grey values of the reference."""
STARTS = ("identity", "moments", "features", "angles")
FINE, FRAMES = 4, 8
"""Samples of the picture to a cell along each axis; frames of a burst."""


def starts(problem: Problem) -> dict:
    """Measure what finds a map: the surround, the distance, one start or several."""
    one = pair(problem)
    images = one.problem.template, one.problem.reference
    row: dict = {}
    for surround in ("zero", "overlap"):
        task = RegistrationProblem(*images, one.problem.transform, surround=surround)
        thetas = np.geomspace(1000, SHARP, 11).tolist()
        row[f"off_{surround}"] = one.off(predictor_corrector(task, thetas, one.start).w)
    asked = [("ncc", start) for start in STARTS] + [("ssd", "identity"), ("ssd", "angles")]
    for distance, start in [*asked, ("ssd", "auto"), ("ncc", "auto")]:
        name = f"off_{start}_{distance}"
        try:
            found = register(*images, distance=distance, start=start)
        except ValueError as error:
            if "start must name a start that these images have" not in str(error):
                raise
            row[name] = np.inf
        else:
            row[name] = one.off(found.w)
    return row


def brightness(problem: Problem) -> dict:
    """Measure which distance finds the map where grey values differ, and what it says."""
    one = pair(problem)
    template, reference = one.problem.template.data, one.problem.reference.data
    row: dict = {}
    for change, changed in CHANGES.items():
        for distance in DISTANCES:
            found = register(
                template, changed(reference), domain=one.problem.domain, distance=distance
            )
            row[f"off_{change}_{distance}"] = one.off(found.w)
            row[f"success_{change}_{distance}"] = bool(found.success)
    return row


@dataclass(frozen=True)
class Shots:
    """Frames of a known picture that were made without this package.

    Attributes
    ----------
    frames : torch.Tensor
        Shape ``(8, size / factor, size / factor)``.
    image : numpy.ndarray
        What is to be found, shape ``(size, size)``.
    domain : Domain
        Its box and cells.
    """

    frames: torch.Tensor
    image: np.ndarray
    domain: Domain

    def error(self, image) -> float:
        """Return the relative error of an image, in per cent."""
        gap = np.linalg.norm(np.asarray(image) - self.image)
        return float(100 * gap / np.linalg.norm(self.image))


def blocks(fine: np.ndarray, factor: int) -> np.ndarray:
    """Return means over blocks of so many samples along each axis."""
    m = len(fine) // factor
    return fine.reshape(m, factor, m, factor).mean((1, 3))


def frame(fine: np.ndarray, A: np.ndarray, b: np.ndarray, n: int, factor: int) -> np.ndarray:
    """Return what a frame of n cells sees of a fine picture at A x + b, averaged over its pixels.

    Parameters
    ----------
    fine : numpy.ndarray
        `FINE` samples to a cell along each axis, the box in its middle.
    A, b : numpy.ndarray
        The map, in cells.
    n, factor : int
        Cells of the box, and to one pixel of the frame, along each axis.
    """
    x = (np.arange(n * FINE) + 0.5) / FINE
    points = np.stack(np.meshgrid(x, x, indexing="ij"), -1) @ A.T + b
    places = points * FINE - 0.5 + (len(fine) - n * FINE) / 2
    seen = scipy.ndimage.map_coordinates(fine, places.transpose(2, 0, 1), order=1)
    return blocks(seen, FINE * factor)


def shots(problem: Problem) -> Shots:
    """Return eight frames of a problem: SciPy samples a fine picture, pixels are means."""
    n, factor, rng = problem.size, problem.factor, problem.rng("maps")
    fine = picture(problem, FINE)
    moved = [random_map(rng, n, problem.degrees, STRETCH, 1.5 * factor) for _ in range(1, FRAMES)]
    frames = np.stack([frame(fine, *one, n, factor) for one in [(np.eye(2), np.zeros(2)), *moved]])
    frames += 2.55 * problem.noise * problem.rng("noise").standard_normal(frames.shape)
    middle = slice(n * FINE, 2 * n * FINE)
    domain = Domain((0, n, 0, n), (n, n))
    return Shots(torch.from_numpy(frames), blocks(fine[middle, middle], FINE), domain)


def enlarged(data: np.ndarray, n: int) -> np.ndarray:
    """Return a frame enlarged to n cells by bicubic interpolation."""
    transform = checks.imported("skimage.transform", NEED, extra="data")
    return transform.resize(data, (n, n), order=3, mode="edge", anti_aliasing=False)


def shift_and_add(frames: np.ndarray, w: np.ndarray, domain: Domain) -> np.ndarray:
    """Return the mean of all frames, enlarged and moved back by given maps."""
    x, (n, _) = domain.cell_centers().numpy(), domain.m
    factor = n / frames.shape[-1]
    total, seen = enlarged(frames[0], n), np.ones((n, n))
    for data, block in zip(frames[1:], w.reshape(-1, 6), strict=True):
        A, b = block[:4].reshape(2, 2), block[4:]
        places = ((x - b) @ np.linalg.inv(A).T / factor - 0.5).T
        inside = ((places > -0.5) & (places < len(data) - 0.5)).all(0)
        value = scipy.ndimage.map_coordinates(data, places, order=3, mode="nearest")
        total += (inside * value).reshape(n, n)
        seen += inside.reshape(n, n)
    return total / seen


def combined(task: SuperResolutionProblem, w: torch.Tensor) -> torch.Tensor:
    """Return the image at given maps, which stay, with its λ from cross-validation."""
    task = task.replaced(weights=task.covered(w).to(w))
    task = task.replaced(lam=choose_lam(task, w)[0])
    return task.cropped(task.solve(task.operator(w), tol=1e-4).x)


def images(problem: Problem) -> dict:
    """Measure `super_resolve` beside one frame enlarged, shift and add, and two stages.

    For the last, frames are registered over four scales, and once more over one.
    """
    one, n = shots(problem), problem.size
    found = super_resolve(one.frames, problem.factor, domain=one.domain)
    task = SuperResolutionProblem(
        one.frames, one.domain, problem.factor, 1.0, margin=found.problem.margin
    )
    w = register_frames(one.frames, one.domain).w
    once = register_frames(one.frames, one.domain, thetas=[SHARP]).w
    frames = one.frames.numpy()
    return {
        "error_bicubic": one.error(enlarged(frames[0], n)),
        "error_shift_and_add": one.error(shift_and_add(frames, w.numpy(), one.domain)),
        "error_two_stages": one.error(combined(task, w)),
        "error_one_scale": one.error(combined(task, once)),
        "error_super_resolve": one.error(found.image),
        "success": bool(found.success),
        "rounds": found.n_iter,
        "left_out": len(found.left_out),
        "lam": found.lam,
    }
