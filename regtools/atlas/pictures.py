"""The pictures of the atlas: photographs, drawn hands in random poses, random textures."""

from __future__ import annotations

import numpy as np

from ..images import checks, drawn_hand
from .problems import Problem

PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "immunohistochemistry",
    "moon",
    "retina",
    "rocket",
)
"""Shipped in the wheel of scikit-image, at least 300 pixels wide and high."""
TEXTURES = {"texture rough": 1.5, "texture": 2.5, "texture smooth": 3.5}
"""Random fields, and the power of the frequency with which their spectrum falls."""
IMAGES = (*PHOTOGRAPHS, "hand", *TEXTURES)
NEED = "the atlas needs {} for its photographs"


def picture(problem: Problem, fine: int = 1) -> np.ndarray:
    """Return the picture of a problem and as much again on each side of it.

    Parameters
    ----------
    problem : Problem
    fine : int
        Samples to a cell, along each axis.

    Returns
    -------
    numpy.ndarray
        Shape ``(3 * size * fine, 3 * size * fine)``, grey values 0 to 255, axis 0 to the right and
        axis 1 upwards; the box is its middle third.

    Raises
    ------
    ValueError
        If `image` is not one of `IMAGES`, or a hand is to be a scene, or another picture to have
        poses.
    ImportError
        If scikit-image is missing, for a photograph.
    """
    checks.check_choice("image", problem.image, IMAGES)
    if not suits(problem.image, problem.kind):
        raise ValueError(f'kind must suit the image; got "{problem.kind}" of "{problem.image}"')
    n = checks.whole("fine", fine) * problem.size
    if problem.image == "hand":
        return hand(problem, "picture", n)
    side = 3 * n
    make = _texture if problem.image in TEXTURES else _photograph
    whole = make(problem.image, side, problem.picture_rng("picture"))
    if problem.kind == "scene":
        return whole
    return whole * outline(n, problem.picture_rng("outline"))


def suits(image: str, kind: str) -> bool:
    """Return whether a picture can be of a kind: a hand is no scene, and alone has poses."""
    return kind != "scene" if image == "hand" else kind != "poses"


def hand(problem: Problem, what: str, n: int) -> np.ndarray:
    """Return a hand in a random pose, n cells wide, black around it; `what` names the pose."""
    shown = np.zeros((3 * n, 3 * n))
    shown[n : 2 * n, n : 2 * n] = drawn_hand(n, problem.picture_rng(what))
    return shown


def outline(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth mask, shape ``(3 n, 3 n)``: one inside a random blob about the middle."""
    x, y = np.mgrid[: 3 * n, : 3 * n] + 0.5 - 1.5 * n
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    edge = 0.3 * n * np.ones_like(x)
    for k, size in ((1, 0.15), (2, 0.2), (3, 0.1)):
        edge += 0.3 * n * size * np.cos(k * (angle - rng.uniform(0, 2 * np.pi)))
    return 1 / (1 + np.exp((radius - edge).clip(-50, 50)))


def _photograph(name, side, rng):
    """A random square of a photograph, at least two thirds of its shorter side wide."""
    color, data, transform = (
        checks.imported(f"skimage.{part}", NEED, extra="data")
        for part in ("color", "data", "transform")
    )
    whole = getattr(data, name)()
    whole = 255 * color.rgb2gray(whole) if whole.ndim == 3 else whole.astype(float)
    wide = int(min(whole.shape) * rng.uniform(2 / 3, 1))
    row, column = (int(rng.integers(0, length - wide + 1)) for length in whole.shape)
    cut = whole[row : row + wide, column : column + wide]
    small = transform.resize(cut, (side, side), anti_aliasing=True, preserve_range=True)
    return small[::-1].T


def _texture(name, side, rng):
    """A random field, its mean and two standard deviations to each side within the grey values."""
    across, down = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    square = across**2 + down**2
    square[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((side, side)))
    field = np.fft.irfft2(waves * square ** (-TEXTURES[name] / 4), (side, side))
    return (127.5 + 64 * field / field.std()).clip(0, 255)
