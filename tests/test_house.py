"""The house guards itself: order of imports, one path per name, short files, chapters."""

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import regtools

PACKAGE = Path(regtools.__file__).parent
WINGS = (
    "images",
    "solvers",
    "registration",
    "superresolution",
    "verify",
    "atlas",
    "explorers",
    "commands",
)
CHAPTER = re.compile(r"[Cc]hapters? (\d+)(?:(?:, | and | to )(\d+))*")


def arrows(path):
    """Wings that a module imports from, other than its own, with the names it takes."""
    wing = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield wing, node.module
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            assert not node.module.startswith("regtools"), f"{path}: import relatively"


ARROWS = [
    (path, wing, module)
    for path in PACKAGE.rglob("*.py")
    if path.parent != PACKAGE or path.stem == "verify"
    for wing, module in arrows(path)
]


@pytest.mark.parametrize(("path", "wing", "module"), ARROWS, ids=lambda value: str(value)[-40:])
def test_wings_import_downwards_and_through_doors(path, wing, module):
    assert module in WINGS, f"{path}: {module} is not the door of a wing"
    assert WINGS.index(module) < WINGS.index(wing), f"{path} imports upwards"


def test_there_are_few_arrows():
    assert len({(wing, module) for _, wing, module in ARROWS}) <= 20
    assert 15 < len(ARROWS) <= 1.5 * len([*PACKAGE.rglob("*.py")])


def test_an_import_upwards_is_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "images").mkdir()
    wrong = tmp_path / "images" / "wrong.py"
    wrong.write_text("from ..explorers import plot_image\nfrom . import domain\n")
    assert list(arrows(wrong)) == [("images", "explorers")]


def test_files_stay_short():
    folders = [PACKAGE, *(PACKAGE.parent / name for name in ("tests", "tools", "benchmarks"))]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    long = {str(path): len(path.read_text().splitlines()) for path in files}
    assert len({path.parent for path in files}) >= 13
    assert {path: n for path, n in long.items() if n > 350} == {}


def test_tests_stand_in_the_folders_of_their_wings():
    wings = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    folders = {path.parent.name for path in (PACKAGE.parent / "tests").glob("*/*.py")}
    assert folders - {"helpers"} == wings


def test_nothing_shadows_a_module():
    for path in PACKAGE.rglob("*.py"):
        if path.stem.startswith("_triton") and importlib.util.find_spec("triton") is None:
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        name = ".".join(("regtools", *parts))
        door = importlib.import_module(name.rpartition(".")[0]) if parts else regtools
        module = importlib.import_module(name)
        if parts:
            assert getattr(door, parts[-1]) is module, f"{name} is hidden"


def test_the_package_loads_nothing_that_draws():
    code = "import sys, regtools; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"matplotlib", "ipywidgets", "skimage", "pooch", "PIL", "numba"}


@pytest.mark.parametrize(
    ("absent", "code", "advice"),
    [
        ("matplotlib", "import regtools.explorers", "regtools[explorers]"),
        ("ipywidgets", "import regtools.explorers", "regtools[explorers]"),
        ("skimage", "regtools.load('retina', 8)", "regtools[data]"),
        ("skimage", "regtools.register(a, a.T, start='features')", "regtools[data]"),
    ],
)
def test_what_is_not_installed_is_named(absent, code, advice):
    start = "import regtools, torch; a = torch.rand(8, 8)"
    code = f"import sys; sys.modules[{absent!r}] = None; {start}; {code}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = run.stderr.splitlines()[-1]
    assert last.startswith("ImportError") and absent in last and advice in last


@pytest.mark.parametrize("name", regtools.__all__)
def test_docstrings_name_their_chapter(name):
    """A reader of the docstring finds the chapter that explains the name."""
    found = CHAPTER.search(inspect.getdoc(getattr(regtools, name)))
    assert found, f"regtools.{name} names no chapter"
    for number in map(int, re.findall(r"\d+", found.group())):
        assert list(PACKAGE.parent.glob(f"notebooks/{number:02d}_*.md")), f"no chapter {number}"
