"""The explorer of chapter 1: what it computes, what it says, and how it begins."""

import numpy as np
import pytest
import scipy.interpolate
import torch
from matplotlib.figure import Figure

from regtools.explorers import theta_explorer
from regtools.explorers.image_model import THETAS, ThetaView
from regtools.images import Domain

WIDE = Domain((0.0, 6.0, 0.0, 4.0), (30, 20))
TALL = Domain((-1.0, 3.0, 0.0, 6.0), (20, 30))
RAMP = 40 * WIDE.cell_centers()[:, 0].reshape(WIDE.m)
BUMP = 200 * torch.exp(-(TALL.cell_centers() - torch.tensor([1.0, 3.0])).square().sum(1))
IMAGES = {"ramp": (RAMP, WIDE), "bump": (BUMP.reshape(TALL.m), TALL)}


@pytest.fixture(scope="module")
def view():
    return ThetaView(IMAGES, level=0.5)


@pytest.mark.parametrize("name", IMAGES)
def test_sharp_image_meets_its_pixels(view, name):
    data, domain = IMAGES[name]
    result = view.compute(theta=0.0, image=name)
    torch.testing.assert_close(result.image, data)
    assert tuple(result.image.shape) == domain.m
    middle = data[:, domain.m[1] // 2]  # every eighth point of the line from the fifth on
    torch.testing.assert_close(result.profile[4::8], middle)


def test_profile_is_a_cubic_spline_through_the_pixels(view):
    """SciPy's spline with other ends agrees far from them."""
    line, result = view.scenes["bump"].line[:, 0].numpy(), view.compute(theta=0.0, image="bump")
    x = TALL.lower[0] + (np.arange(20) + 0.5) * TALL.h[0]
    spline = scipy.interpolate.CubicSpline(x, IMAGES["bump"][0][:, 15].numpy())
    np.testing.assert_allclose(result.profile[60:100], spline(line[60:100]), atol=0.02)


def test_blur_flattens_the_bump(view):
    heights = [view.compute(theta=t, image="bump").profile.max() for t in (0.0, 10.0, 1e3)]
    assert heights[0] > heights[1] > heights[2] > 0


def test_says_which_image_and_what_the_blur_does():
    explorer = theta_explorer(IMAGES)
    line = lambda: explorer._line.value  # noqa: E731
    slider, buttons = explorer._sliders
    assert "The ramp at θ = 0.001 px⁴: every wave keeps more than half" in line()
    slider.index = int(np.argmin(abs(THETAS - 10)))
    assert "shorter than 11.2 pixels lose more than half" in line()
    buttons.index = 1
    assert "The bump at θ = 10 px⁴" in line()
    assert explorer._error.value == ""


def test_begins_sharp_with_the_first_image():
    theta, image = theta_explorer(IMAGES).controls
    assert (theta.start, image.start) == (0, 0)
    assert theta.values == tuple(THETAS) and image.values == ("ramp", "bump") and image.buttons


def test_one_image_needs_no_buttons():
    explorer = theta_explorer({"ramp": IMAGES["ramp"]})
    assert [control.name for control in explorer.controls] == ["theta"]
    assert "The ramp at" in explorer._line.value


def test_panels_have_titles(view):
    result = view.compute(theta=10.0, image="bump")
    for draw in (view.draw_image, view.draw_profile, view.draw_response):
        ax = Figure().add_subplot()
        draw(result, ax)
        assert ax.get_title()


def test_refuses_no_image():
    with pytest.raises(ValueError, match="at least one image"):
        theta_explorer({})
