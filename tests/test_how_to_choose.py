"""The recipe of the page *How to choose* for NumPy pictures, beside another library's warp."""

import re
from pathlib import Path

import numpy as np
from skimage import data, transform

PAGE = (Path(__file__).resolve().parents[1] / "book" / "how-to-choose.md").read_text("utf-8")


def test_numpy_pictures_go_in_and_a_matrix_comes_out():
    (recipe,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    picture = transform.downscale_local_mean(data.camera()[60:480, 40:500], (7, 7))
    known = transform.AffineTransform(rotation=0.1, translation=(3.0, -2.0))
    moved = transform.warp(picture, known, order=3, mode="reflect")
    names = {"template": moved, "reference": picture}
    exec(recipe, names)
    assert names["result"].success
    # From the reference to the template: the inverse of how the template was made.
    np.testing.assert_allclose(names["matrix"], np.linalg.inv(known.params), atol=0.05)
    theirs = transform.warp(moved, transform.AffineTransform(names["matrix"]), order=3)
    inner = (slice(12, -12), slice(12, -12))
    assert np.abs(theirs - names["moved"])[inner].mean() < 1.5
    assert np.abs(moved - picture)[inner].mean() > 10, "the pair was alike before"
    assert names["moved"].shape == picture.shape


def test_a_template_with_other_pixels():
    """The scene twice as fine, and a little larger: skimage's warp makes the same picture of it."""
    (recipe,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    picture = transform.downscale_local_mean(data.camera()[60:480, 40:500], (4, 4))
    known = transform.SimilarityTransform(scale=0.5, rotation=0.1, translation=(6.0, -3.0))
    reference = transform.warp(picture, known.inverse, order=3, output_shape=(50, 60))
    names = {"template": picture, "reference": reference}
    exec(recipe, names)
    assert names["result"].success and names["moved"].shape == reference.shape
    np.testing.assert_allclose(names["matrix"][:2, :2], known.inverse.params[:2, :2], atol=0.02)
    places = np.array([[20, 15, 1], [40, 30, 1], [30, 40, 1]]).T
    gap = (names["matrix"] - known.inverse.params) @ places
    assert np.abs(gap).max() < 1.0
