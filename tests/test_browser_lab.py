"""The live explorers in JupyterLab, in a real browser."""

import re
import shutil

import nbformat
import pytest
from playwright.sync_api import expect

import browser as helper
from reduced import write_reduced

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * helper.PATIENCE)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """JupyterLab with the settings of the chapters; yields its address and folder."""
    folder, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("home")
    (folder / "notebooks").mkdir()
    shutil.copy(helper.PROJECT / "notebooks" / "jupytext.toml", folder / "notebooks")
    for data in ("notebooks/data", "book/atlas"):
        shutil.copytree(helper.PROJECT / data, folder / data)
    with helper.jupyterlab(folder, home) as address:
        yield address, folder


@pytest.fixture
def lab(server):
    """The same, without kernels left behind."""
    yield server
    helper.shut_down_kernels(server[0])


def open_notebook(page, address, path, kind="rt-live"):
    """Open a notebook in JupyterLab, run all its cells and return its explorers of a kind."""
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
    live = page.locator(f".rt-explorer.{kind}")
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
            helper.loaded(images.first)
            sources = images.evaluate_all("all => all.map(img => img.src)")
            for k in range(explorer.locator(".noUi-handle").count()):
                handle = handle_of(explorer, k)
                at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute(
                    "aria-valuemax"
                )
                handle.press("Home" if at_end else "End")
                sources = changed(page, explorer, sources)
                assert all(source.startswith("data:image/png") for source in sources), "not live"
            for button in explorer.locator(".widget-toggle-button:not(.mod-active)").all():
                button.click()
                sources = changed(page, explorer, sources)
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
        helper.loaded(explorer.locator("img"))
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
        helper.loaded(explorer.locator("img"))


REGISTRATION = """
import regtools
from regtools.explorers import registration_explorer

registration_explorer(regtools.load("hands-phantom", 32))
"""


def test_registration_runs_beside_the_kernel(chromium, lab):
    """The module of the first page is a widget here, and computes without the kernel."""
    address, folder = lab
    write_notebook(folder, "registration.ipynb", REGISTRATION)
    with helper.open_page(chromium, "lab-registration") as (page, _):
        explorer = open_notebook(page, address, "registration.ipynb", "rt-module").first
        explorer.get_by_role("button", name="Single scale").wait_for()
        helper.shut_down_kernels(address)
        explorer.get_by_role("button", name="From blurred to sharp").click()
        expect(explorer.locator(".rt-describe")).to_have_text(re.compile(r"^From .* 13 scales"))
        assert explorer.locator(".rt-line.rt-path").count() == 1


CG = """
from IPython.display import display

from regtools.explorers import cg_explorer

display(cg_explorer(), cg_explorer())
"""


def test_cg_runs_beside_the_kernel(chromium, lab):
    """The module of chapter 7 too, twice in one notebook: each has buttons of its own."""
    address, folder = lab
    write_notebook(folder, "cg.ipynb", CG)
    with helper.open_page(chromium, "lab-cg") as (page, _):
        explorers = open_notebook(page, address, "cg.ipynb", "rt-cg")
        expect(explorers).to_have_count(2)
        helper.shut_down_kernels(address)
        first, second = explorers.all()
        first.get_by_role("radio", name="8", exact=True).check()
        second.get_by_role("radio", name="400 bits").check()
        first.get_by_role("slider").last.press("End")
        expect(first.locator(".rt-describe")).to_have_text(re.compile("^Nothing is differ"))
        expect(second.locator(".rt-describe")).to_have_text(re.compile("^Both iterations"))
        assert first.get_by_role("radio", checked=True).count() == 2
