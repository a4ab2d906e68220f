"""The registration of the first page, without a browser: what Python hands over."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from regtools import Domain
from regtools.explorers import registration_explorer
from regtools.images import Pair

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def small_pair(**changes):
    domain = Domain((0.0, 8.0, -2.0, 10.0), (8, 12))
    x = domain.cell_centers()
    bump = 200 * torch.exp(-((x - torch.tensor([4.0, 4.0])) ** 2).sum(-1) / 4).reshape(8, 12)
    given = {"template": bump, "reference": bump.flip(0), "domain": domain}
    return Pair(**{"name": "bump", "credit": "", "licence": ""} | given | changes)


@pytest.fixture(scope="module")
def explorer():
    return registration_explorer(small_pair(), title="A <b> title </script>")


def data_of(page):
    return json.loads(re.search(r'application/json">(.*?)</script>', page, re.S)[1])


def test_a_live_view_and_a_print_without_the_page(explorer, monkeypatch):
    monkeypatch.delenv("REGTOOLS_STATIC_PAGES", raising=False)
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png", WIDGET_VIEW}
    print_size = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).size
    assert print_size[0] > 800 and print_size[1] > 100
    monkeypatch.setenv("REGTOOLS_STATIC_PAGES", "1")
    assert explorer._repr_mimebundle_()["text/html"] == explorer.static_page()
    assert set(explorer._repr_mimebundle_(include=["text/plain"])) == {"text/plain"}


def test_the_page_holds_the_pair(explorer):
    data = data_of(explorer.static_page())
    pair = small_pair()
    assert data == explorer.data
    assert data["m"] == [8, 12] and data["box"] == [0, 8, -2, 10]
    np.testing.assert_allclose(data["template"], pair.template.flatten(), atol=0.05)
    np.testing.assert_allclose(data["reference"], pair.reference.flatten(), atol=0.05)
    assert data["surround"] == "zero" and data["title"] == "A <b> title </script>"


def test_the_page_is_one_inline_module(explorer):
    page = explorer.static_page()
    assert page.count("<script") == page.count("</script>") == 2
    assert "\n\n" not in page, "a blank line ends a block of Markdown"
    assert (
        " src=" not in page
        and "import(" not in page
        and "http:" not in page.replace("http://www.w3.org/", "")
    )
    assert explorer._esm.count("export default") == 1
    assert page == registration_explorer(small_pair(), title=explorer.data["title"]).static_page()


def test_a_picture_that_goes_on_is_not_surrounded_by_black():
    light = small_pair(template=small_pair().template + 100)
    assert registration_explorer(light).data["surround"] == "overlap"
    assert registration_explorer(light, "zero").data["surround"] == "zero"


@pytest.mark.parametrize(
    ("pair", "surround", "error", "message"),
    [
        ("hands", None, TypeError, "pair must be"),
        (small_pair(), "black", ValueError, "surround"),
    ],
)
def test_bad_arguments(pair, surround, error, message):
    with pytest.raises(error, match=message):
        registration_explorer(pair, surround)


def test_the_first_scale_is_chosen_on_demand(explorer):
    assert not explorer.data["choose_first"]
    assert registration_explorer(small_pair(), choose_first=True).data["choose_first"]
    with pytest.raises(TypeError, match="choose_first"):
        registration_explorer(small_pair(), choose_first=1)


def test_three_dimensions_are_refused():
    domain = Domain((0, 1, 0, 1, 0, 1), (4, 4, 4))
    data = torch.zeros(4, 4, 4).double()
    with pytest.raises(ValueError, match="two dimensions; got 3"):
        registration_explorer(small_pair(template=data, reference=data, domain=domain))
