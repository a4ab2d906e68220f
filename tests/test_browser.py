"""The built book in a real browser."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

import browser as helper

pytestmark = pytest.mark.browser

ADVICE = "no explorer found in the built book; run `make book` first"


@pytest.fixture(scope="session")
def book(chromium):
    """Address of the book over http and over file."""
    if not (helper.HTML / "index.html").exists():
        pytest.fail(ADVICE, pytrace=False)
    with helper.serve(helper.HTML) as address:
        yield {"http": address, "file": helper.HTML.as_uri()}


def settle(page):
    """Wait until MathJax, where the page has it, is done."""
    page.wait_for_load_state("load")
    page.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => 0)")


def untypeset(page):
    """Formulas that the page left raw."""
    formulas = page.locator("span.math, div.math")
    return formulas.evaluate_all(
        "all => all.filter(f => !f.querySelector('mjx-container')).map(f => f.textContent)"
    )


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("path", helper.pages(explorer=True))
def test_explorer_in_the_page(chromium, book, path, scheme):
    assert path, ADVICE
    with helper.open_page(chromium, f"{path}-{scheme}") as (page, watch):
        page.goto(f"{book[scheme]}/{path}")
        for explorer in page.locator(".rt-explorer[data-name]").all():
            images = explorer.locator(".rt-panels img")
            for image in images.all():
                helper.loaded(image)
                assert image.get_attribute("alt").strip()
            assert explorer.locator(".rt-hint").is_hidden()
            for slider in explorer.locator("input[type=range]").all():
                check_slider(explorer, slider, images)
            for choices in explorer.get_by_role("radiogroup").all():
                check_choices(explorer, choices)
        settle(page)
        assert untypeset(page) == []
        watch.check()


def check_choices(explorer, choices):
    """Choose each button by mouse, then the first by keyboard; what is said must follow."""
    line, said = explorer.locator(".rt-describe"), []
    for button in choices.get_by_role("radio").all():
        button.check()
        said.append(line.inner_text())
    assert len(set(said)) == len(said), "two buttons say the same"
    choices.get_by_role("radio").last.press("ArrowRight")
    assert line.inner_text() == said[0]


def check_slider(explorer, slider, images):
    """Move one slider by mouse and keyboard; the pictures and the readout must follow."""
    readout = explorer.locator(f"output[for={slider.get_attribute('id')}]")
    last = int(slider.get_attribute("max"))

    def state():
        sources = images.evaluate_all("all => all.map(img => img.src)")
        return sources, readout.inner_text(), slider.get_attribute("aria-valuetext")

    def all_differ(one, other):
        assert one[0] != other[0], "the pictures did not change"
        assert one[1] != other[1], "the readout did not change"
        assert one[2] != other[2], "aria-valuetext did not change"
        assert other[1] == other[2]

    assert slider.get_attribute("aria-label").strip()
    slider.press("Home")
    assert slider.input_value() == "0"
    first = state()
    slider.press("End")
    assert slider.input_value() == str(last)
    end = state()
    all_differ(first, end)
    slider.press("Home")
    assert state() == first
    slider.press("ArrowRight")
    assert slider.input_value() == "1"
    assert state()[1] != first[1]
    slider.press("Home")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box["height"] >= 24, "too small to touch"
    page, y = slider.page, box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, y, steps=8)
    page.mouse.up()
    assert slider.input_value() == str(last)
    assert state() == end
    for image in images.all():
        helper.loaded(image)


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_every_page(chromium, book, scheme):
    """No page asks another host, reports an error, leaves a formula raw or overflows a phone."""
    with helper.open_page(chromium, f"pages-{scheme}", width=390, height=844) as (page, watch):
        for path in helper.pages():
            page.goto(f"{book[scheme]}/{path}")
            settle(page)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, f"{path} is {width} px wide"
            assert untypeset(page) == [], path
            watch.check()


def audited():
    """All pages, but of the source listings one."""
    found = helper.pages()
    listings = [path for path in found if path and path.startswith("_modules/")]
    return [path for path in found if path not in listings[1:]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", audited())
def test_accessibility(chromium, book, path, theme):
    """axe-core finds no serious violation."""
    with helper.open_page(chromium, f"axe-{path}-{theme}", color_scheme=theme) as (page, _):
        page.goto(f"{book['file']}/{path}")
        settle(page)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        # On a busy machine a colour may still be on its way from the other theme.
        page.add_style_tag(content="* { transition: none !important; animation: none !important }")
        found = [
            (violation["id"], [node["html"][:120] for node in violation["nodes"][:3]])
            for violation in Axe().run(page).response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert found == []


@pytest.mark.parametrize("path", helper.pages(explorer=True))
def test_explorer_on_a_phone(chromium, book, path):
    """Pictures stack at full width, and the sliders stay in view below the header."""
    assert path, ADVICE
    with helper.open_page(chromium, f"{path}-phone", width=390, height=844) as (page, _):
        page.goto(f"{book['http']}/{path}")
        for explorer in page.locator(".rt-explorer[data-name]").all():
            images = explorer.locator(".rt-panels img").all()
            for image in images:
                assert image.bounding_box()["width"] >= 300
            images[-1].evaluate("img => img.scrollIntoView({block: 'end', behavior: 'instant'})")
            controls = explorer.locator(".rt-controls").bounding_box()
            header = page.locator(".bd-header-article").bounding_box()
            assert controls["y"] >= header["y"] + header["height"] - 1, "sliders under the header"
            assert controls["y"] + controls["height"] <= 844, "sliders out of view"


def test_search(chromium, book):
    """A word from the title of a chapter leads to it, with no network."""
    path = helper.pages(explorer=True)[0]
    assert path, ADVICE
    with helper.open_page(chromium, "search") as (page, watch):
        page.goto(f"{book['http']}/{path}")
        word = max(re.findall(r"[a-z]+", page.locator("h1").first.inner_text(), re.I), key=len)
        page.goto(f"{book['http']}/search.html?q={word}")
        page.locator(f"#search-results li a[href*='{path}']").first.wait_for()
        watch.check()
