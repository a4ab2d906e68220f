"""Frames made without the package, simple ways to combine them, and the rows of the calls."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import torch

from regtools.atlas import Problem, blocks, enlarged, frame, measured, pair, shift_and_add
from regtools.atlas.calls import CHANGES, DISTANCES, FINE, FRAMES, shots
from regtools.images import Domain

BURST = Problem("images", "coffee", "object", 24, 0, 0.0, 5.0, 0.0, 2)


def test_a_frame_averages_what_lies_under_its_pixels():
    """Shifted by whole cells it sees means over other samples of the same picture."""
    fine = np.random.default_rng(0).random((3 * 8 * FINE, 3 * 8 * FINE))
    still = frame(fine, np.eye(2), np.zeros(2), 8, 2)
    middle = slice(8 * FINE, 16 * FINE)
    np.testing.assert_allclose(still, blocks(fine[middle, middle], 2 * FINE), atol=1e-12)
    moved = frame(fine, np.eye(2), np.array([3.0, -1.0]), 8, 2)
    there = fine[11 * FINE : 19 * FINE, 7 * FINE : 15 * FINE]
    expected = there.reshape(4, 2 * FINE, 4, 2 * FINE).mean((1, 3))
    np.testing.assert_allclose(moved, expected, atol=1e-12)


def test_shots_belong_to_their_image():
    one = shots(BURST)
    assert one.frames.shape == (FRAMES, 12, 12) and one.image.shape == (24, 24)
    still = one.image.reshape(12, 2, 12, 2).mean((1, 3))
    np.testing.assert_allclose(one.frames[0].numpy(), still, atol=1e-9)
    assert one.error(one.image) == 0.0 and one.error(0 * one.image) == pytest.approx(100)
    assert float((one.frames[1:] - one.frames[0]).abs().mean()) > 1, "nothing has moved"
    noisy = shots(replace(BURST, noise=2.0))
    assert float((noisy.frames - one.frames).std()) == pytest.approx(2.55 * 2, rel=0.1)


def test_frames_that_have_not_moved_add_up_to_one_enlarged():
    data = shots(BURST).frames[0].numpy()
    still = np.tile([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 2)
    added = shift_and_add(np.stack([data] * 3), still, Domain((0, 24, 0, 24), (24, 24)))
    large, inner = enlarged(data, 24), slice(4, 20)  # scikit-image keeps to the range of the data
    inside = np.clip(added, data.min(), data.max())
    np.testing.assert_allclose(inside[inner, inner], large[inner, inner], atol=2.0)
    assert np.abs(large - scipy.ndimage.zoom(data, 2, order=0)).mean() < 0.3 * data.std()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("same", [0, 50, 100, 200]),
        ("times_1.3", [0, 65, 130, 260]),
        ("plus_20", [20, 70, 120, 220]),
        ("squared", [0, 50**2 / 255, 100**2 / 255, 200**2 / 255]),
        ("lit", [0, 50, 120, 280]),
        ("inverted", [255, 205, 155, 55]),
        ("folded", [100, 0, 100, 300]),
    ],
)
def test_changes_of_grey_values(change, expected):
    """On four rows of one pixel, lit by 0.6 to 1.4; the lower median of four is the second."""
    grey = torch.tensor([[0.0], [50.0], [100.0], [200.0]], dtype=torch.float64)
    if change == "lit":
        expected = [0, 50 * (0.6 + 0.8 / 3), 100 * (0.6 + 1.6 / 3), 280]
    found = CHANGES[change](grey)[:, 0]
    np.testing.assert_allclose(found.numpy(), expected)


def test_a_way_that_does_not_exist_has_found_nothing():
    """On this picture no features match; all other ways find the map."""
    row = measured(Problem("starts", "texture smooth", "object", 32, 0, 1.0, 15.0))
    ways = {name: off for name, off in row.items() if name.startswith("off_")}
    assert ways.pop("off_features_ncc") == np.inf
    assert len(ways) == 9 and max(ways.values()) < 1


def test_digits_of_differences():
    """Half and two thirds of the sixteen there are, as truncation and rounding meet."""
    row = measured(Problem("digits", "camera", "scene", 24, 0, 1.0))
    assert 6 < row["digits_one_sided"] < 8.5 < row["digits_central"] < 11.5
    assert row["digits_reverse"] > 13


def test_gradients_of_all_rows_need_no_derivative_of_the_projection():
    row = measured(Problem("solves", "hand", "object", 16, 0, 0.0, 45.0, 0.1, 2))
    assert row["gradient_stacked"] < 1e-8 < 0.01 < row["gradient_data"]
    assert row["iterations_capped"] < row["iterations_whole"]
    assert max(row["excess_capped"], row["excess_whole"]) < 1e-4


def test_rows_of_the_calls_hold_every_way():
    row = measured(replace(BURST, size=16))
    assert row["error_super_resolve"] < row["error_bicubic"] and row["left_out"] < FRAMES
    row = measured(Problem("brightness", "hand", "object", 16, 0, 1.0))
    assert sum(name.startswith("off_") for name in row) == len(CHANGES) * len(DISTANCES)
    assert row["off_same_ncc"] < 1 and row["off_inverted_ncc"] < 1


def test_pairs_are_for_everybody():
    one = pair(Problem("starts", "hand", "object", 16, 0))
    assert one.off(one.true) == 0.0
