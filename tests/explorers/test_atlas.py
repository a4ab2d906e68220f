"""The explorer of the atlas: what it counts, splits and draws, on tables made by hand."""

import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure

from regtools.explorers import atlas_explorer, plot_distributions
from regtools.explorers.atlas import QUESTIONS, SPLITS, AtlasView

COLUMNS = {
    "rules": ["error_none", "error_kaufman", "error_joint", "steps_implicit", "steps_kaufman"],
    "last_part": ["double_70"],
    "counts": ["error_black_5", "error_frame_0_5"],
    "predictions": ["steps_exact_41", "steps_none_41"],
    "scales": ["off_first_1000"],
    "starts": ["off_identity_ncc"],
    "brightness": ["off_lit_ngf"],
    "images": ["error_super_resolve", "error_two_stages"],
    "hessians": ["better_2JTJ", "steps"],
    "smoothing": ["over_gcv"],
    "ellipsoids": ["held_exact_sandwich", "draws"],
}


@pytest.fixture
def tables():
    """Eight problems a study."""
    rng = np.random.default_rng(0)
    known = {
        "image": list("abcdefgh"),
        "noise": [0.0, 2.0] * 4,
        "lam": [0.01] * 8,
        "size": [20] * 4 + [32] * 4,
        "kind": ["object", "scene"] * 4,
        "degrees": [5.0] * 8,
    }
    return {
        study: pandas.DataFrame(known | {name: rng.uniform(1, 9, 8) for name in names})
        for study, names in COLUMNS.items()
    }


def test_groups_hold_what_they_are_called(tables):
    gaps = [3.0, -1, 4, -2, 0, 5, np.nan, 6]
    tables["rules"]["error_none"] = tables["rules"]["error_kaufman"] + gaps
    view = AtlasView(tables)
    shown = view.compute("derivative", "noise")
    assert list(shown.groups) == ["noise 0 %", "noise 2 %"]
    np.testing.assert_allclose(shown.groups["noise 0 %"], [3, 4, 0])
    np.testing.assert_allclose(shown.groups["noise 2 %"], [-1, -2, 5, 6])
    assert shown.medians["noise 0 %"].value == pytest.approx(3)
    words = "On 4 of 7 problems the image is worse by more than a point without the derivative."
    assert view.describe(shown) == f"{words} By noise medians go from 2 to 3."
    assert view.describe(view.compute("derivative", "λ")) == f"{words} All have one λ."
    assert "noise 2 %: median 2, from" in view.alt(shown)
    assert list(view.compute("derivative", "kind").groups) == ["object", "scene"]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_button_draws(tables, question, split):
    view, ax = AtlasView(tables), Figure().add_subplot()
    shown = view.compute(question, split)
    view.draw(shown, ax)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == list(shown.groups) and names
    assert view.describe(shown).startswith("On ")


def test_dots_stay_on_the_axis():
    ax = Figure().add_subplot()
    values = {"one": [1.0, 1e9, np.nan, 10.0, 100.0]}
    plot_distributions(ax, values, axis="size", limits=(1, 1000), border=10.0, log=True)
    dots, interval, middle = (line.get_xdata() for line in ax.lines[:3])
    assert sorted(dots) == [1, 10, 100, 1000] and np.ravel(middle).tolist() == [55.0]
    assert min(interval) == 1 and max(interval) == 1000 and ax.get_xscale() == "log"


def test_a_study_that_is_missing_is_named(tables):
    assert [one.name for one in atlas_explorer(tables).controls] == ["question", "split"]
    del tables["smoothing"]
    with pytest.raises(ValueError, match=r"tables must hold all studies; \['smoothing'\]"):
        atlas_explorer(tables)
