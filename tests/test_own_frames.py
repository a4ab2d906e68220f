"""Frames of one's own, chapter 10: reading and saving, and maps that are given."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data, io, transform

from regtools import super_resolve

PAGE = Path(__file__).resolve().parents[1] / "notebooks" / "10_own_burst.md"
M = 16
SHIFTS = [(0, 0), (3, 0), (0, 1), (1, 3)]
"""By how many halves of a pixel of a frame everything has moved to the right, and down."""


def pictures(rows=0):
    """Frames as files hold them, rows from the top, so many more than columns; the scene."""
    scene, top, left = transform.downscale_local_mean(data.camera(), (4, 4)), 20, 50
    views = []
    for right, down in SHIFTS:
        first, begin = top - down, left - right
        view = scene[first : first + 2 * (M + rows), begin : begin + 2 * M]
        views.append(view.reshape(M + rows, 2, M, 2).mean((1, 3)))
    return views, scene[top : top + 2 * (M + rows), left : left + 2 * M]


def test_files_of_16_bits(tmp_path, monkeypatch):
    """They go in and out as the chapter says, and the image is the scene, the right way up."""
    (views, truth), scale = pictures(rows=2), 200
    (tmp_path / "my_frames").mkdir()
    for k, view in enumerate(views):
        grey = (scale * view).round().astype(np.uint16)
        io.imsave(tmp_path / "my_frames" / f"{k}.png", grey, check_contrast=False)
    (recipe,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
        if "my_frames" in code
    ]
    monkeypatch.chdir(tmp_path)
    exec(recipe, {})
    saved = io.imread(tmp_path / "sharp.tif")
    assert saved.dtype == np.float32 and saved.shape == truth.shape
    inner = (slice(6, -6), slice(6, -6))
    gap = np.linalg.norm((saved / scale - truth)[inner]) / np.linalg.norm(truth[inner])
    plain = np.kron(views[0], np.ones((2, 2)))
    assert gap < 0.4 * np.linalg.norm((plain - truth)[inner]) / np.linalg.norm(truth[inner])


@pytest.mark.parametrize("kind", ["translation", "affine"])
def test_maps_that_are_given(kind):
    """All has moved `right` and `down`: b = (-right, -down)."""
    frames = torch.from_numpy(np.stack([view.T for view in pictures()[0]]))
    blocks = [(-right / 2, -down / 2) for right, down in SHIFTS[1:]]
    if kind == "affine":
        blocks = [(1.0, 0.0, 0.0, 1.0, *block) for block in blocks]
    w0 = torch.tensor(blocks, dtype=frames.dtype).flatten()
    found = super_resolve(frames, 2, frames_transform=kind, w0=w0, lam=0.1)
    shifts = found.w.reshape(3, 6)[:, 4:]
    expected = torch.tensor([(-right, -down) for right, down in SHIFTS[1:]], dtype=frames.dtype) / 2
    assert float((shifts - expected).abs().max()) < (0.02 if kind == "translation" else 0.1)
