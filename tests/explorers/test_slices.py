"""The second explorer of chapter 9: where it cuts, and what it draws."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from regtools import register
from regtools.explorers import slices_explorer
from regtools.explorers.slices import SlicesView

M = (10, 18, 16)


@pytest.fixture(scope="module")
def results():
    """An ellipsoid and the same two cells further along axis 1, by two distances."""
    x = np.stack(np.meshgrid(*map(np.arange, M), indexing="ij"), -1)

    def ball(shift):
        r = (((x - np.array(M) / 2 - [0, shift, 0]) / [2.5, 3, 5]) ** 2).sum(-1)
        return torch.from_numpy(200 * np.exp(-r))

    options = {"transform": "translation", "start": "identity", "surround": "zero"}
    return {name: register(ball(0), ball(2), distance=name, **options) for name in ("ssd", "ncc")}


def drawn(view, shown, axis):
    ax = Figure().add_subplot()
    view.draw(shown, ax, axis)
    return ax


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("place", [10, 50, 90])
def test_slices_lie_where_they_say(results, axis, place):
    view = SlicesView(results)
    shown = view.compute("ssd", place)
    ax = drawn(view, shown, axis)
    k = M[axis] * place // 100
    known = np.take(results["ssd"].problem.reference.data.numpy(), k, axis).T
    assert np.array_equal(ax.images[0].get_array(), known)
    assert ax.get_title() == f"axis {axis}: {k + 1} of {M[axis]}"


def test_outlines_are_those_of_the_moved_template(results):
    """At the middle their centre is that of the reference, and not that of the template."""
    view = SlicesView(results)
    ax = drawn(view, view.compute("ncc", 50), 0)
    (lines,) = (one for one in ax.collections if isinstance(one, matplotlib.contour.QuadContourSet))
    outline = np.concatenate([path.vertices for path in lines.get_paths()])
    middle = (outline.min(0) + outline.max(0)) / 2
    np.testing.assert_allclose(middle, [M[1] / 2 + 2, M[2] / 2], atol=0.15)
    assert not drawn(view, view.compute("ncc", 10), 2).collections, "nothing is there to outline"


def test_words_and_what_is_refused(results):
    view = SlicesView(results)
    words = view.describe(view.compute("ssd", 50))
    assert words == "ssd: converged, misfit 0 %. Do the outlines follow the borders?"
    assert "axis 2" in view.alt(view.compute("ssd", 50), 2)
    assert [one.name for one in slices_explorer(results).controls] == ["name", "place"]
    with pytest.raises(TypeError, match="results must hold Registrations"):
        slices_explorer({"a": 1, "b": 2})
    flat = register(torch.eye(12).double(), torch.eye(12).double(), start="identity")
    with pytest.raises(ValueError, match="results must be of volumes; flat is of pictures"):
        slices_explorer({"flat": flat})
