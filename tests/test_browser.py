"""The built book and the live explorers in a real browser."""

import re
import shutil

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

import browser as helper
from reduced import write_reduced

pytestmark = pytest.mark.browser

ADVICE = "no explorer found in the built book; run `make book` first"
expect.set_options(timeout=1000 * helper.PATIENCE)
INITIAL = "img => img.complete && img.naturalWidth > 0"


@pytest.fixture(scope="session")
def chromium(browser_path):
    with sync_playwright() as driver:
        options = {"args": helper.FLAGS, "timeout": 1000 * helper.PATIENCE}
        instance = driver.chromium.launch(executable_path=browser_path, **options)
        yield instance
        instance.close()


@pytest.fixture(scope="session")
def book(chromium):
    """Address of the book over http and over file."""
    if not (helper.HTML / "index.html").exists():
        pytest.fail(ADVICE, pytrace=False)
    with helper.serve(helper.HTML) as address:
        yield {"http": address, "file": helper.HTML.as_uri()}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """JupyterLab with the settings of the chapters; yields its address and folder."""
    folder, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("home")
    (folder / "notebooks").mkdir()
    shutil.copy(helper.PROJECT / "notebooks" / "jupytext.toml", folder / "notebooks")
    shutil.copytree(helper.PROJECT / "notebooks" / "data", folder / "notebooks" / "data")
    with helper.jupyterlab(folder, home) as address:
        yield address, folder


@pytest.fixture
def lab(server):
    """The same, without kernels left behind."""
    yield server
    helper.shut_down_kernels(server[0])


def loaded(image):
    """Wait until a picture is there."""
    image.scroll_into_view_if_needed()
    image.page.wait_for_function(INITIAL, arg=image.element_handle())


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
        for explorer in page.locator(".rt-explorer").all():
            images = explorer.locator(".rt-panels img")
            for image in images.all():
                loaded(image)
                assert image.get_attribute("alt").strip()
            assert explorer.locator(".rt-hint").is_hidden()
            for slider in explorer.locator("input[type=range]").all():
                check_slider(explorer, slider, images)
        settle(page)
        assert untypeset(page) == []
        watch.check()


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
        loaded(image)


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
        for explorer in page.locator(".rt-explorer").all():
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


def open_notebook(page, address, path):
    """Open a notebook in JupyterLab and run all its cells."""
    page.goto(f"{address}/lab/tree/{path}?reset")
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
    page.wait_for_function("window.jupyterapp")
    page.evaluate(
        """async () => {
            await jupyterapp.shell.currentWidget.sessionContext.ready;
            await jupyterapp.commands.execute('notebook:run-all-cells');
        }"""
    )
    assert page.locator(".jp-OutputArea-output[data-mime-type*=stderr]").all_inner_texts() == []
    live = page.locator(".rt-explorer.rt-live")
    live.first.wait_for()
    return live


def handle_of(explorer, k=0):
    """Handle of one live slider, in view."""
    handle = explorer.locator(".noUi-handle").nth(k)
    handle.scroll_into_view_if_needed()
    return handle


def changed(page, explorer, before):
    """Wait for pictures that differ from those before."""
    return page.wait_for_function(
        """([explorer, before]) => {
            const now = [...explorer.querySelectorAll('.rt-panels img')].map(img => img.src);
            return now.length && now.join() != before.join() && now;
        }""",
        arg=[explorer.element_handle(), before],
    ).json_value()


@pytest.mark.parametrize("path", helper.notebooks())
def test_notebook_recomputes(chromium, lab, path):
    """Each slider moves pictures that the kernel draws; nbval runs the whole chapters."""
    assert path, "no notebook holds an explorer"
    address, folder = lab
    write_reduced(helper.PROJECT / path, folder / path)
    with helper.open_page(chromium, f"lab-{path}") as (page, _):
        for explorer in open_notebook(page, address, path).all():
            images = explorer.locator(".rt-panels img")
            loaded(images.first)
            sources = images.evaluate_all("all => all.map(img => img.src)")
            for k in range(explorer.locator(".noUi-handle").count()):
                handle = handle_of(explorer, k)
                at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute(
                    "aria-valuemax"
                )
                handle.press("Home" if at_end else "End")
                sources = changed(page, explorer, sources)
                assert all(source.startswith("data:image/png") for source in sources), "not live"
            assert explorer.get_by_role("alert").count() == 0


def write_notebook(folder, name, code):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, folder / name)


HELD = """
import time
from pathlib import Path
from regtools.explorers import Control, Explorer, Panel

calls = []

def compute(x):
    while x > 0 and not Path("released").exists():
        time.sleep(0.01)
    calls.append(x)
    return x

Explorer(
    compute,
    [Panel(lambda x, ax: ax.plot([0, x]), "line", size=(2, 2))],
    [Control("x", "x", range(61), every=60, format="{}")],
    name="held",
    describe=lambda x: f"computed {calls}",
)
"""


def test_drag_does_not_queue(chromium, lab):
    """Positions that the computation is too slow for are skipped; the last one never is."""
    address, folder = lab
    write_notebook(folder, "held.ipynb", HELD)
    with helper.open_page(chromium, "lab-held") as (page, _):
        explorer = open_notebook(page, address, "held.ipynb").first
        line, readout = explorer.locator(".rt-describe"), explorer.locator(".widget-readout")
        handle, track = handle_of(explorer), explorer.locator(".noUi-base").bounding_box()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 0.75 * track["width"], y, steps=120)
        expect(readout).not_to_have_text("0")  # the kernel now computes, and is held
        page.mouse.move(x + 1.1 * track["width"], y, steps=60)
        page.mouse.up()
        expect(readout).to_have_text("60")
        assert line.inner_text() == "computed [0]"
        (folder / "released").touch()
        expect(line).to_have_text(re.compile(r"^computed \[0, .*60\]$"))
        handle.press("Home")  # comes after whatever is still in a queue
        expect(line).to_have_text(re.compile(r", 0\]$"))
        first, during, last, again = (int(value) for value in re.findall(r"\d+", line.inner_text()))
        assert (first, last, again) == (0, 60, 0) and 0 < during < 60


ERROR = """
from regtools.explorers import Control, Explorer, Panel

def compute(x):
    if x == 1:
        raise ArithmeticError("no picture <at> one")
    return x

Explorer(
    compute,
    [Panel(lambda x, ax: ax.plot([0, x]), "line", size=(2, 2))],
    [Control("x", "x", [0, 1, 2], initial=0, every=2, format="{}")],
    name="error",
    describe=lambda x: f"value {x}",
)
"""


def test_exception_is_shown_and_cleared(chromium, lab):
    address, folder = lab
    write_notebook(folder, "error.ipynb", ERROR)
    with helper.open_page(chromium, "lab-error") as (page, _):
        explorer = open_notebook(page, address, "error.ipynb").first
        loaded(explorer.locator("img"))
        handle_of(explorer).press("ArrowRight")
        alert = explorer.get_by_role("alert")
        alert.wait_for()
        assert "ArithmeticError: no picture <at> one" in alert.inner_text()
        assert "raise ArithmeticError" in alert.locator("pre").inner_text()
        assert explorer.locator("img").count() == 0, "the old picture still looks valid"
        assert explorer.locator(".rt-describe").count() == 0
        handle_of(explorer).press("ArrowRight")
        explorer.get_by_text("value 2").wait_for()
        assert alert.count() == 0
        loaded(explorer.locator("img"))
