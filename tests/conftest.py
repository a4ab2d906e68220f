"""What all tests share: the number of threads, figures without a screen, the browser."""

import os
import shutil

import matplotlib
import pytest
import torch
from playwright.sync_api import sync_playwright

import browser
import registration_page

# pytest-xdist runs one process a core; more threads would make them fight. `make portable` asks
# for two all the same.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
matplotlib.use("agg")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser():
    """Path of the browser named by REGTOOLS_BROWSER, else of the first one on PATH, else None."""
    wanted = (os.environ["REGTOOLS_BROWSER"],) if "REGTOOLS_BROWSER" in os.environ else BROWSERS
    return next(filter(None, map(shutil.which, wanted)), None)


def pytest_runtest_setup(item):
    if item.get_closest_marker("browser") and find_browser() is None:
        # A call from here, not a mark on each test: pytest then folds the skips into one line.
        absent = pytest.fail if os.environ.get("REGTOOLS_REQUIRE_BROWSER") == "1" else pytest.skip
        absent("no Chromium: put one on PATH or name it in REGTOOLS_BROWSER")


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium; tests that use it carry the mark `browser`."""
    with sync_playwright() as driver:
        options = {"args": browser.FLAGS, "timeout": 1000 * browser.PATIENCE}
        instance = driver.chromium.launch(executable_path=find_browser(), **options)
        yield instance
        instance.close()


@pytest.fixture(scope="session")
def registration():
    """The explorer of the first page."""
    import regtools
    from regtools.explorers import registration_explorer

    return registration_explorer(regtools.load("hands-phantom", 64))


@pytest.fixture(scope="session")
def address(registration, tmp_path_factory):
    """Its static page alone."""
    return registration_page.write(registration, tmp_path_factory.mktemp("page") / "explorer.html")


@pytest.fixture
def opened(chromium, address, request):
    """That page in a browser in which nothing moves by itself."""
    label = request.node.name
    with browser.open_page(chromium, label, reduced_motion="reduce") as (page, watch):
        page.goto(address)
        yield page
        watch.check()
