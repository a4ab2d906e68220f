"""Bursts of a scene that goes on outside its box, made without the package.

A picture given by a formula, sampled finely, averaged.
"""

import numpy as np
import scipy.ndimage
import torch

from regtools.images import Domain

M, FACTOR, FINE = 24, 2, 4
BOX = Domain((0, M, 0, M), (M, M))
WAVES = np.random.default_rng(7).uniform(-1, 1, (12, 3))
BLOBS = np.random.default_rng(8).uniform(-20, M + 20, (60, 2))


def scene(y, blur=0.0):
    """Grey values about 1 at points (..., 2), everywhere; waves of four cells and more, blobs.

    A Gaussian blur acts on each wave and blob by a formula.
    """
    grey = np.ones(y.shape[:-1])
    for a, b, phase in WAVES:
        k = np.array([a, b]) * 2 * np.pi / 4
        grey += 0.05 * np.exp(-(blur**2) * (k @ k) / 2) * np.cos(y @ k + 6 * phase)
    for j, centre in enumerate(BLOBS):
        square = 1.5**2 + blur**2
        tall = (-1) ** j * 0.4 * 1.5**2 / square
        grey += tall * np.exp(-((y - centre) ** 2).sum(-1) / (2 * square))
    return grey


def average(values, size):
    m = len(values) // size
    return values.reshape(m, size, m, size).mean((1, 3))


def grid():
    x = (np.arange(M * FINE) + 0.5) / FINE
    return np.stack(np.meshgrid(x, x, indexing="ij"), -1)


TRUTH = average(scene(grid()), FINE)


def maps(n=4, turn=4.0, seed=1):
    """Small turns about the centre and shifts of up to three cells."""
    rng, centre = np.random.default_rng(seed), np.full(2, M / 2)
    found = []
    for _ in range(n):
        t = np.deg2rad(rng.uniform(-turn, turn))
        A = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        found.append((A, centre + rng.uniform(-3, 3, 2) - A @ centre))
    return found


def burst(known=None, black=False, **options):
    """Frames of the scene, frame 0 unmoved."""

    def seen(y):
        inside = ((y >= 0) & (y <= M)).all(-1)
        return scene(y, **options) * (inside if black else 1)

    moved = [(np.eye(2), np.zeros(2)), *(maps() if known is None else known)]
    frames = [average(seen(grid() @ A.T + b), FINE * FACTOR) for A, b in moved]
    return torch.from_numpy(np.stack(frames))


def error(image):
    return np.linalg.norm(np.asarray(image) - TRUTH) / np.linalg.norm(TRUTH - TRUTH.mean())


def enlarged(frame):
    """Cubic interpolation of one frame, by SciPy."""
    x = (np.arange(M) + 0.5) / FACTOR - 0.5
    places = np.stack(np.meshgrid(x, x, indexing="ij"))
    return scipy.ndimage.map_coordinates(frame, places, order=3, mode="nearest")


def off(w, known=None):
    """Mean distance of the mapped points from the true ones, in cells of the image."""
    x, gaps = BOX.cell_centers().numpy(), []
    for block, (A, b) in zip(w.numpy(), maps() if known is None else known, strict=True):
        gaps.append(np.linalg.norm(x @ (block[:4].reshape(2, 2) - A).T + block[4:] - b, axis=1))
    return np.mean(gaps, axis=1)
