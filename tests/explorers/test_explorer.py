"""The interactive figures, without a browser."""

import base64
import io
import json
import re

import matplotlib
import numpy as np
import pytest
from PIL import Image

from regtools.explorers import Control, Explorer, Panel

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def compute(a, kind="sin"):
    return a, kind


def plot_both(result, ax):
    ax.plot(np.arange(5) * result[0], color="C0" if result[1] == "sin" else "C1")


def plot_first(result, ax):
    ax.plot([0, result[0]])


def describe(result):
    return f"a={result[0]} kind={result[1]}"


A = Control("a", "Slope <a>", [1, 2, 3], unit="px")
KIND = Control("kind", "Function", ["sin", "cos"], format="{}")
PANELS = [Panel(plot_both, describe, size=(2, 1.5)), Panel(plot_first, "first", size=(1, 1))]


@pytest.fixture(scope="module", autouse=True)
def where_the_book_is_made():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGTOOLS_STATIC_PAGES", "1")
        yield


def make(**changes):
    arguments = {
        "compute": compute,
        "panels": PANELS,
        "controls": [A, KIND],
        "name": "demo",
        "describe": describe,
        "title": "A </title>",
    }
    return Explorer(**{**arguments, **changes})


def frames(explorer):
    """The data that the page's script reads."""
    page = explorer._repr_mimebundle_()["text/html"]
    return json.loads(re.search(r'application/json">(.*?)</script>', page, re.S)[1])


def picture(data):
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.fixture(scope="module")
def explorer():
    return make()


def test_output_carries_live_page_and_print(explorer):
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/png", WIDGET_VIEW}
    assert bundle[WIDGET_VIEW]["model_id"] == explorer.model_id
    assert bundle["text/plain"] == "Explorer('demo', a: 3 values, kind: 2 values)"
    assert picture(bundle["image/png"]).shape == (240, 320 + 160, 3)  # side by side at 160 dpi
    assert set(explorer._repr_mimebundle_(include=["image/png"])) == {"image/png"}
    assert set(explorer._repr_mimebundle_(exclude=["image/png"])) == set(bundle) - {"image/png"}


@pytest.fixture
def live_and_computed(monkeypatch):
    """An explorer made where a live view is shown, and the settings it has computed."""
    monkeypatch.delenv("REGTOOLS_STATIC_PAGES")
    computed = []

    def count(**setting):
        computed.append(tuple(setting.values()))
        return compute(**setting)

    return make(compute=count), computed


def test_a_live_view_computes_its_first_pictures_only(explorer, live_and_computed):
    live, computed = live_and_computed
    bundle = live._repr_mimebundle_()
    assert computed == [(1, "sin")]
    assert set(bundle) == {"text/plain", "image/png", WIDGET_VIEW}
    assert bundle["image/png"] == explorer._repr_mimebundle_()["image/png"]
    assert live._pictures.value == explorer._pictures.value
    assert live._line.value == explorer._line.value


def test_static_page_computes_each_setting_once(explorer, live_and_computed):
    live, computed = live_and_computed
    page = live.static_page()
    assert page == explorer.static_page() == explorer._repr_mimebundle_()["text/html"]
    assert sorted(computed) == sorted((a, kind) for a in (1, 2, 3) for kind in ("sin", "cos"))
    assert live.static_page() is page


@pytest.mark.parametrize("stage", ["compute", "plot", "alt", "describe"])
def test_error_in_the_first_pictures_stops_a_live_view(stage, monkeypatch):
    monkeypatch.delenv("REGTOOLS_STATIC_PAGES")
    with pytest.raises(ArithmeticError, match=stage):
        make_failing(stage)


def test_two_instances_are_byte_equal(explorer):
    one, other = explorer._repr_mimebundle_(), make()._repr_mimebundle_()
    for mime in ("text/plain", "text/html", "image/png"):
        assert one[mime] == other[mime], mime


def test_frames_are_in_c_order(explorer):
    data = frames(explorer)
    assert data["values"] == [["1 px", "2 px", "3 px"], ["sin", "cos"]]
    assert data["describe"] == [f"a={a} kind={k}" for a in (1, 2, 3) for k in ("sin", "cos")]
    assert data["panels"][0]["alt"] == data["describe"]
    assert data["panels"][1]["alt"] == ["first"] * 6


def test_equal_pictures_are_stored_once(explorer):
    both, first = frames(explorer)["panels"]
    assert both["picture"] == [0, 1, 2, 3, 4, 5]
    assert len(set(both["pictures"])) == 6
    assert first["picture"] == [0, 0, 1, 1, 2, 2]
    assert len(set(first["pictures"])) == 3


def test_page_is_safe_html(explorer):
    page = explorer._repr_mimebundle_()["text/html"]
    assert "\n\n" not in page  # a blank line would end the HTML block in Markdown
    assert page.count("A &lt;/title&gt;") == 2 and "A </title>" not in page
    assert 'width="320" height="240"' in page  # reserves the place of a picture
    assert 'aria-label="Slope &lt;a&gt;" aria-valuetext="1 px"' in page
    tricky = make(describe=lambda result: "</script><b>")._repr_mimebundle_()["text/html"]
    assert tricky.count("</script>") == page.count("</script>") == 2
    assert "<b>" not in tricky


def test_page_and_print_start_at_the_initial_value():
    start = Control("a", "Slope", [1, 2, 3], initial=2.4)
    explorer = make(controls=[start], panels=PANELS[:1])
    page = explorer._repr_mimebundle_()["text/html"]
    assert 'value="1"' in page
    assert '<p class="rt-describe" aria-live="polite">a=2 kind=sin</p>' in page
    data = frames(explorer)["panels"][0]
    assert f'src="data:image/webp;base64,{data["pictures"][1]}"' in page
    printed = picture(explorer._repr_mimebundle_()["image/png"]).astype(int)
    distance = [np.abs(picture(frame) - printed).mean() for frame in data["pictures"]]
    assert np.argmin(distance) == 1
    assert distance[1] < 1  # 64 colours are enough


def test_static_values_hold_both_ends_and_the_initial_one():
    values = np.geomspace(1, 1e6, 12)
    control = Control("a", "a", values, initial=values[4], every=3)
    assert control.static == [0, 3, 4, 6, 9, 11]
    assert frames(make(controls=[control]))["values"] == [
        [control.texts[i] for i in control.static]
    ]
    assert all(type(value) is float for value in control.values)


@pytest.mark.parametrize(
    ("initial", "index"), [(None, 0), (-5, 0), (0.9, 0), (1.6, 1), (4, 2), (99, 3)]
)
def test_initial_is_the_nearest_value(initial, index):
    assert Control("a", "a", [0, 2, 4, 8], initial=initial).start == index


def test_buttons_choose_like_a_slider():
    kind = Control("kind", "Function", ["sin", "cos"], initial="cos", format="{}", buttons=True)
    explorer = make(controls=[A, kind])
    page = explorer.static_page()
    assert page.count('<input type="range"') == 1 and page.count('<input type="radio"') == 2
    assert re.search(r'role="radiogroup" aria-labelledby="rt-demo-kind"', page)
    assert re.search(r'<span id="rt-demo-kind">Function</span>', page)
    (checked,) = re.findall(r"<label>(?:(?!</label>).)*checked.*?</label>", page)
    assert 'value="1"' in checked and ">cos<" in checked
    assert frames(explorer)["values"] == [["1 px", "2 px", "3 px"], ["sin", "cos"]]
    buttons = explorer.children[2]
    assert (buttons.description, buttons.index) == ("Function", 1)
    buttons.index = 0
    assert "a=1 kind=sin" in explorer.children[3].value


def test_live_view_follows_the_sliders(explorer):
    before = explorer._pictures.value
    assert "a=1 kind=sin" in explorer._line.value
    explorer._sliders[0].index = 2
    explorer._sliders[1].index = 1
    assert "a=3 kind=cos" in explorer._line.value
    assert 'alt="a=3 kind=cos"' in explorer._pictures.value
    assert explorer._pictures.value != before
    explorer._sliders[0].index = explorer._sliders[1].index = 0
    assert explorer._pictures.value == before


def test_live_values_are_all_there_with_label_unit_and_readout():
    explorer = make(controls=[Control("a", "Slope", range(1, 8), unit="px", every=6)])
    assert len(frames(explorer)["describe"]) == 2
    (slider,) = explorer._sliders
    assert slider.description == "Slope"
    assert [text for text, _ in slider.options] == [f"{a} px" for a in range(1, 8)]
    assert slider.continuous_update


def make_failing(stage, fails=lambda result: True):
    """An explorer one of whose functions raises at the settings, or results, where `fails`."""

    def guarded(function):
        def call(*args, **setting):
            if fails(args[0] if args else tuple(setting.values())):
                raise ArithmeticError(stage)
            return function(*args, **setting)

        return call

    functions = {"compute": compute, "plot": plot_first, "alt": describe, "describe": describe}
    functions[stage] = guarded(functions[stage])
    panel = Panel(functions.pop("plot"), functions.pop("alt"))
    return make(panels=[panel], **functions)


@pytest.mark.parametrize("stage", ["compute", "plot", "alt", "describe"])
def test_error_at_any_setting_stops_the_static_page(stage):
    with pytest.raises(ArithmeticError, match=stage):
        make_failing(stage, lambda result: result == (3, "cos"))


def test_error_is_shown_live_and_cleared():
    def broken_between(a):
        if a == 2:
            raise ArithmeticError("not <here>")
        return a, "sin"

    explorer = make(compute=broken_between, controls=[Control("a", "a", [1, 2, 3], every=2)])
    (slider,) = explorer._sliders
    slider.index = 1
    assert 'role="alert"' in explorer._error.value
    assert "ArithmeticError: not &lt;here&gt;" in explorer._error.value
    assert "raise ArithmeticError" in explorer._error.value  # the line that failed
    assert explorer._pictures.value == explorer._line.value == ""
    assert "rt-busy" not in explorer._pictures._dom_classes
    slider.index = 2
    assert explorer._error.value == ""
    assert "a=3" in explorer._line.value and "<img" in explorer._pictures.value


def test_settings_reach_the_pictures_and_nothing_else():
    before = dict(matplotlib.rcParams)
    dark = make(rc={"figure.facecolor": "black"})
    assert dict(matplotlib.rcParams) == before
    assert (picture(dark._repr_mimebundle_()["image/png"])[0, 0] == 0).all()
    assert (picture(make()._repr_mimebundle_()["image/png"])[0, 0] == 255).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "not a name"}, ValueError, "name must be a Python identifier"),
        ({"label": " "}, ValueError, "label of control 'a'"),
        ({"values": 3}, TypeError, "values of control 'a'.*int"),
        ({"values": "abc"}, TypeError, "values of control 'a'.*str"),
        ({"values": [1]}, ValueError, "values of control 'a'.*at least 2, got 1"),
        ({"values": [1, 2, 1]}, ValueError, "format of control 'a'.*'1'"),
        ({"values": ["sin", "cos"]}, ValueError, "format of control 'a'"),
        ({"every": 0}, ValueError, "every of control 'a'"),
        ({"every": 1.5}, ValueError, "every of control 'a'"),
        ({"initial": float("nan")}, ValueError, "initial of control 'a'"),
        ({"initial": "one"}, ValueError, "initial of control 'a'"),
        ({"format": "{:d}", "values": [0.5, 1.5]}, ValueError, "format of control 'a'"),
    ],
)
def test_bad_control(arguments, error, message):
    with pytest.raises(error, match=message):
        Control(**{"name": "a", "label": "a", "values": [1, 2, 3], **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"plot": None}, TypeError, "plot must be callable"),
        ({"alt": ""}, TypeError, "alt must be text or callable"),
        ({"size": (1, 0)}, ValueError, "size must be two lengths"),
        ({"size": (1, 2, 3)}, ValueError, "size must be two lengths"),
    ],
)
def test_bad_panel(arguments, error, message):
    with pytest.raises(error, match=message):
        Panel(**{"plot": plot_first, "alt": "first", **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"compute": 1}, TypeError, "compute must be callable"),
        ({"describe": "text"}, TypeError, "describe must be callable"),
        ({"describe": lambda result: ""}, TypeError, "describe must return text"),
        ({"panels": []}, TypeError, "panels"),
        ({"panels": [plot_first]}, TypeError, "panels"),
        ({"controls": []}, ValueError, "controls must be 1 to 3"),
        ({"controls": [A, A]}, ValueError, "controls must be .* different names"),
        ({"controls": ["a"]}, TypeError, "controls must be Control"),
        ({"name": "Bad name"}, ValueError, "name must match"),
    ],
)
def test_bad_explorer(arguments, error, message):
    with pytest.raises(error, match=message):
        make(**arguments)
