"""What all tests share: the number of threads, figures without a screen, the browser."""

import os
import shutil

import matplotlib
import pytest
import torch
from playwright.sync_api import sync_playwright

import browser

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
