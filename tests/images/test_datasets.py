"""Images that need no download: array convention, domains, licences, arguments."""

import numpy as np
import pytest
import skimage.data
import torch

from regtools.images import DATASETS, Image, Pair, load

SINGLE = ("retina", "cells", "camera", "microaneurysms")
OFFLINE = ("hands-phantom", *SINGLE)


def images(item):
    return (item.template, item.reference) if isinstance(item, Pair) else (item.data,)


# ---- what holds for every image that needs no download


def test_names():
    assert set(DATASETS) == {*OFFLINE, "hands"}


@pytest.mark.parametrize("name", OFFLINE)
@pytest.mark.parametrize(("m", "shape"), [((24, 36), (24, 36)), (20, (20, 20))])
def test_shape_type_range_and_terms(name, m, shape, no_network):
    item = load(name, m)
    assert isinstance(item, Pair if name == "hands-phantom" else Image)
    for data in images(item):
        assert data.shape == shape
        assert data.dtype == torch.float64
        assert data.is_contiguous()
        assert data.min() >= 0
        assert 100 < data.max() <= 255
    assert item.domain.m == shape
    assert item.name == name
    assert len(item.credit) > 10
    assert len(item.licence) > 10


@pytest.mark.parametrize(
    ("name", "m", "omega"),
    [
        ("hands-phantom", (128, 128), (0, 20, 0, 25)),
        ("retina", (256, 256), (0, 1411, 0, 1411)),
        ("cells", (210, 252), (0, 58.85, 0, 70.62)),
        ("camera", (256, 256), (0, 512, 0, 512)),
        ("microaneurysms", (102, 102), (0, 102, 0, 102)),
    ],
)
def test_default_size_and_domain(name, m, omega):
    item = load(name)
    assert item.domain.m == m
    assert images(item)[0].shape == m
    assert item.domain.omega == pytest.approx(omega, rel=1e-12)
    assert load(name, (16, 24)).domain.omega == item.domain.omega


@pytest.mark.parametrize("name", OFFLINE)
def test_two_loads_are_equal_and_independent(name):
    first, second = images(load(name, 16)), images(load(name, 16))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for a in first:
        a.zero_()
    assert all(torch.equal(a, b) for a, b in zip(images(load(name, 16)), second, strict=True))


@pytest.mark.parametrize("name", SINGLE)
def test_licence_is_what_the_docstring_of_the_picture_says(name):
    licence = load(name, 8).licence
    terms, function = licence.split(" (stated in the docstring of skimage.data.")
    docstring = " ".join(getattr(skimage.data, function.rstrip(")")).__doc__.split())
    assert terms in docstring
    assert "CC0" in terms


# ---- orientation of the real images


@pytest.mark.parametrize(
    ("name", "function"),
    [("cells", "cell"), ("camera", "camera"), ("microaneurysms", "microaneurysms")],
)
def test_axis_0_runs_to_the_right_and_axis_1_upwards(name, function):
    picture = getattr(skimage.data, function)()
    rows, columns = picture.shape
    data = load(name, (columns, rows)).data.numpy()
    for i, j in [(0, 0), (3, 50), (100, 7), (columns - 1, rows - 1)]:
        assert data[i, j] == pytest.approx(picture[rows - 1 - j, i], abs=1e-9)
    # as on the screen: imshow(data.T, origin="lower") puts the last column of data on top
    np.testing.assert_allclose(np.flipud(data.T), picture, atol=1e-9)


def test_colour_becomes_luminance():
    red, green, blue = np.moveaxis(skimage.data.retina().astype(float), -1, 0)
    picture = 0.2125 * red + 0.7154 * green + 0.0721 * blue
    data = load("retina", 1411).data.numpy()
    np.testing.assert_allclose(data[:, 700], picture[710, :], atol=1e-9)


def test_a_resized_image_shows_the_same_place():
    """The bright cell keeps its physical centre, also with cells that are not square."""
    centres = []
    for m in [(550, 660), (110, 132), (60, 132)]:
        item = load("cells", m)
        weight = torch.clamp(item.data - 150, min=0).reshape(-1, 1)
        centres.append((weight * item.domain.cell_centers()).sum(0) / weight.sum())
    pixel = 0.107
    np.testing.assert_allclose(centres[1], centres[0], atol=pixel)
    np.testing.assert_allclose(centres[2], centres[0], atol=3 * pixel)


# ---- arguments


@pytest.mark.parametrize("name", ["hand", "", None, ["hands"]])
def test_unknown_name_lists_the_allowed_ones(name):
    with pytest.raises(ValueError, match=r"^name must be one of .*hands-phantom, retina, .*hands;"):
        load(name)


@pytest.mark.parametrize("name", ["hands-phantom", "camera", "hands"])
@pytest.mark.parametrize(
    ("m", "error"),
    [
        (3, ValueError),
        (-8, ValueError),
        ((16, 3), ValueError),
        ((16,), ValueError),
        ((16, 16, 16), ValueError),
        (16.0, TypeError),
        ((16, 16.5), TypeError),
        (True, TypeError),
        ("ab", TypeError),
    ],
)
def test_bad_m_is_named(name, m, error):
    with pytest.raises(error, match=r"^m must be a whole number or a pair .* at least 4; got"):
        load(name, m)


def test_m_may_be_any_kind_of_whole_number():
    assert load("hands-phantom", np.int64(8)).domain.m == (8, 8)
    assert load("hands-phantom", torch.Size([8, 10])).domain.m == (8, 10)
