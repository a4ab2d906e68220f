"""The explorer of chapter 9: choices, words, and pictures that a reader puts in."""

import datetime

import numpy as np
import pytest
import SimpleITK as sitk
import skimage.data

from regtools import read_image
from regtools.explorers import pair_explorer
from regtools.explorers.own_pictures import PairView, uploaded


def saved(array, path):
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(array)), str(path))
    return path


def file(name, content):
    """What the browser sends."""
    now = datetime.datetime.now(datetime.UTC)
    size = len(content)
    return {"name": name, "content": content, "size": size, "type": "", "last_modified": now}


@pytest.fixture
def pair(tmp_path):
    """A part of a photograph, and the same a little further to the right."""
    grey = skimage.data.camera()[::4, ::4]
    moving = saved(grey[30:80, 30:86], tmp_path / "moving.png")
    fixed = saved(grey[30:80, 34:90], tmp_path / "fixed.png")
    return read_image(moving), read_image(fixed)


def test_choices_and_words(pair):
    view = PairView(*pair)
    shown = view.compute("ncc", "translation", "checkerboard")
    np.testing.assert_allclose(shown.found.affine.numpy(), [1, 0, 0, 1, 4, 0], atol=0.05)
    assert view.compute("ncc", "translation", "difference").found is shown.found  # kept
    words = view.describe(shown)
    assert words.startswith("Translation by ncc, checkerboard: converged. The template covers 93 %")
    assert "By noise alone the map is off by about" in words
    assert words.endswith("pixels of the moving one.")
    off = {}
    for before in (True, False):
        here, moved = view.layers(shown, before)
        np.testing.assert_array_equal(here, pair[1].data.numpy())
        off[before] = np.nanmean(np.abs(moved - here))
    assert off[False] < 2 < off[True]
    assert view.alt(shown) == "A checkerboard of both pictures after registration."


def test_the_explorer_has_three_rows_and_two_uploads(pair):
    explorer = pair_explorer(*pair)
    assert [one.name for one in explorer.controls] == ["distance", "transform", "view"]
    assert len(explorer.uploads) == 2
    with pytest.raises(TypeError, match="template must be a Picture"):
        pair_explorer(pair[0].data, pair[1])


def test_two_files_of_the_reader_take_the_place(pair, tmp_path):
    explorer = pair_explorer(*pair)
    before = explorer._pictures.value
    fixed, moving = explorer.uploads
    content = saved(skimage.data.coins()[20:70, 20:80], tmp_path / "a.png").read_bytes()
    for upload in (fixed, moving):
        upload.value = (file("<b>../x.png", content),)
    assert explorer._pictures.value != before
    assert "covers 100 % of the reference" in explorer._line.value


def test_an_upload_that_is_no_picture_is_said(pair, tmp_path):
    with pytest.raises(ValueError, match="must end in one of"):
        uploaded([{"name": "x.exe", "content": b""}], tmp_path)
    with pytest.raises(ValueError, match="must name a picture"):
        uploaded([{"name": "../../y.png", "content": b"no"}], tmp_path)
    assert not (tmp_path.parent.parent / "y.png").exists()
    explorer = pair_explorer(*pair)
    before = explorer._pictures.value
    for upload in explorer.uploads:
        upload.value = (file("x.png", b"no"),)
    assert explorer._pictures.value == before
    assert "must name a picture" in explorer.children[-1].value
