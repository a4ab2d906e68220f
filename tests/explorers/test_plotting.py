import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regtools.explorers import (
    STYLE,
    plain,
    plot_frequency_response,
    plot_image,
    plot_profile,
    plot_residual,
    plot_taylor_test,
)
from regtools.images import Domain
from regtools.verify import TaylorTest

DOMAIN = Domain((0.0, 4.0, 0.0, 6.0), (20, 30))


def drawn(ax):
    """The canvas of the figure as grey values, rows from the top."""
    ax.set_position([0, 0, 1, 1])
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].mean(-1)


@pytest.mark.parametrize("style", [STYLE, "default"])
def test_an_image_stands_upright_in_any_style(style):
    """Bright where x1 is large and x2 is large: right and up."""
    data = torch.zeros(DOMAIN.m).double()
    data[10:, 15:] = 255
    with matplotlib.style.context(style):
        ax = Figure(figsize=(2, 3)).add_subplot()
        picture = plot_image(data, DOMAIN, ax, "title")
        page = drawn(ax)
    rows, columns = page.shape
    corners = page[rows // 8 :: rows * 3 // 4, columns // 8 :: columns * 3 // 4][:2, :2]
    assert corners.tolist() == [[0, 255], [0, 0]]
    assert list(picture.get_extent()) == [0, 4, 0, 6] and ax.get_title() == "title"


def test_profile_draws_values_and_pixels():
    ax = Figure().add_subplot()
    x = torch.arange(5.0)
    plot_profile(x, x**2, ax, samples=(x[::2], x[::2] ** 2), label="line")
    dots, line = ax.lines
    assert line.get_ydata().tolist() == [0, 1, 4, 9, 16] and dots.get_xdata().tolist() == [0, 2, 4]


def test_response_marks_the_half_gain_wavelength_where_it_is_on_the_axis():
    ax = Figure().add_subplot()
    plot_frequency_response(16.0, ax)
    wavelength, gain = (float(v[0]) for v in ax.lines[1].get_data())
    assert wavelength == pytest.approx(4 * np.pi) and gain == pytest.approx(0.5, abs=1e-3)
    without = Figure().add_subplot()
    plot_frequency_response(1e-4, without)
    assert len(without.lines) == len(ax.lines) - 1


def test_plain_numbers():
    assert [plain(v) for v in (1e4, 17782.8, 0.001, 1.0)] == ["10000", "17800", "0.001", "1"]


def test_residual_is_white_at_zero_and_symmetric():
    picture = plot_residual(torch.zeros(DOMAIN.m), DOMAIN, Figure().add_subplot(), largest=7.0)
    red, green, blue, _ = picture.to_rgba([[0.0]])[0, 0]
    assert min(red, green, blue) > 0.95 and picture.get_clim() == (-7.0, 7.0)
    below, above = picture.to_rgba([[-7.0, 7.0]])[0]
    assert below[2] > below[0] and above[0] > above[2]


def test_taylor_plot_shows_the_order_and_leaves_zeros_out():
    ax = Figure().add_subplot()
    plot_taylor_test(TaylorTest(np.array([1.0, 0.1]), np.array([1e-2, 0.0]), 2.0), ax, label="g")
    assert ax.lines[0].get_xdata().tolist() == [1.0]
    assert ax.get_legend().get_texts()[0].get_text() == "g: $t^{2.0}$"
