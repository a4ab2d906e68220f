"""What the browser tests stand on: a guarded page, a server for the book, their own JupyterLab.

REGTOOLS_BOOK names another project folder, with ``notebooks`` and ``_build/html``, to test.
"""

import functools
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from axe_playwright_python.sync_playwright import Axe

PROJECT = Path(os.environ.get("REGTOOLS_BOOK") or Path(__file__).parents[2]).resolve()
HTML = PROJECT / "_build" / "html"
SCREENSHOTS = PROJECT / "_build" / "browser"
EXPLORER = 'class="rt-explorer"'
PATIENCE = 120  # seconds, far above what anything here takes: a slow machine is no failure
ALLOWED_ERRORS = ("THEBE_JS_URL' has already been declared",)  # sphinx-thebe loads its script twice
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@functools.cache
def pages(explorer=False):
    """Built pages as paths relative to the book, or only those that hold an explorer."""
    texts = {
        path.relative_to(HTML).as_posix(): path.read_text("utf-8")
        for path in sorted(HTML.rglob("*.html"))
        if "_static" not in path.parts
    }
    found = [
        path
        for path, text in texts.items()
        if (EXPLORER in text if explorer else 'http-equiv="Refresh"' not in text)
    ]
    return found or [None]  # None makes the tests fail with advice instead of vanishing


def notebooks():
    """Notebooks whose committed output holds an explorer."""
    needle = json.dumps(EXPLORER)[1:-1]
    found = [
        path.relative_to(PROJECT).as_posix()
        for path in sorted(PROJECT.glob("notebooks/*.ipynb"))
        if needle in path.read_text("utf-8")
    ]
    return found or [None]


@contextmanager
def serve(folder):
    """Serve a folder on a free local port; yields the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Watch:
    """Keeps a page's console errors and its requests to other hosts, which are refused."""

    def __init__(self, context):
        self.errors, self.foreign = [], []
        context.route(lambda url: not self.is_local(url), self.refuse)
        context.on("weberror", lambda error: self.note(str(error.error)))
        context.on("console", lambda m: m.type == "error" and self.note(m.text))

    @staticmethod
    def is_local(url):
        return urlsplit(url).hostname in (None, "127.0.0.1")

    def refuse(self, route):
        self.foreign.append(route.request.url)
        route.abort()

    def note(self, text):
        if not any(allowed in text for allowed in ALLOWED_ERRORS):
            self.errors.append(text)

    def check(self):
        assert not self.foreign, f"requests to other hosts: {sorted(set(self.foreign))}"
        assert not self.errors, f"errors in the console: {self.errors}"


@contextmanager
def open_page(browser, label, width=1280, height=900, **options):
    """Yield a fresh page and its watch; keep a screenshot if the block raises."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(1000 * PATIENCE)
    watch, page = Watch(context), context.new_page()
    try:
        yield page, watch
    except Exception:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / (re.sub(r"[^\w.-]+", "-", label) + ".png"))
        raise
    finally:
        context.close()


@contextmanager
def jupyterlab(folder, home):
    """Run JupyterLab on a folder, as `make lab` with settings of its own; yields the address."""
    kinds = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    settings = {
        # no question about news, and every cell in the page even when it is scrolled away
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }
    for name, value in settings.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--expose-app-in-browser", f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=", "--ServerApp.password="),
        "--ServerApp.disable_check_xsrf=True",  # lets shut_down_kernels in
    ]
    environment = {**os.environ, **{key: str(home / value) for key, value in kinds.items()}}
    environment |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    environment.pop("REGTOOLS_STATIC_PAGES", None)
    with open(home / "log.txt", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_for_port(port, server, home / "log.txt")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()  # shuts its kernels down too
            server.wait(PATIENCE)


def changed(page, look, before):
    """Wait until something looks different; a page's policy may forbid what waits for functions."""
    for _ in range(100):
        if look() != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"still {before[:80]}")


def serious(page):
    """What axe-core calls serious or worse."""
    found = Axe().run(page).response["violations"]
    return [one["id"] for one in found if one["impact"] in ("serious", "critical")]


@contextmanager
def exports(browser, explorer, name):
    """Yield a page that has what the module of an explorer exports under a name."""
    with open_page(browser, f"exports-{explorer.module}") as (page, watch):
        page.evaluate(
            """async ([text, name]) => {
                const address = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
                globalThis[name] = await import(address);
            }""",
            [explorer._esm, name],
        )
        yield page
        watch.check()


def loaded(image):
    """Wait until a picture is there."""
    image.scroll_into_view_if_needed()
    there = "img => img.complete && img.naturalWidth > 0"
    image.page.wait_for_function(there, arg=image.element_handle())


def shut_down_kernels(address):
    """End every kernel of a JupyterLab."""
    for session in json.load(urlopen(f"{address}/api/sessions")):
        urlopen(Request(f"{address}/api/sessions/{session['id']}", method="DELETE"))
    assert json.load(urlopen(f"{address}/api/kernels")) == []


def wait_for_port(port, server, log):
    """Return once something answers on the port; fail with the log if the server ends."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
