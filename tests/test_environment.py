"""The pins agree in all files and in the running environment; nothing stray is committed."""

import os
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.notebooks import MACHINE_PATH, MAX_BYTES

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    requirement
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, group)
    if requirement.name != PROJECT["name"]  # an extra that contains others
]
# What a benchmark compares with, and the kernels for GPUs: `make` and `make lowest` do without.
OPTIONAL = {
    Requirement(line).name
    for extra in ("gpu", "peers")
    for line in PROJECT["optional-dependencies"][extra]
}
# Served from anywhere: no package index may be named, only package names.
REGISTRY_HOST = re.compile(
    r"\b(?:py(?:pi|thonhosted)|npmjs|anaconda|download\.pytorch|deb\.debian)\.(?:org|com)\b"
)


def pins():
    """Map each canonical name in constraints.txt to its one exact version."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, exact, version = line.partition("==")
            assert exact, f"constraints.txt: {line!r} is not an exact pin"
            name = canonicalize_name(name)
            assert name not in found, f"constraints.txt: {name} is pinned twice"
            found[name] = Version(version)
    return found


PINS = pins()


def agrees(requirement, pinned):
    """Whether `pinned` holds a version of `requirement` that its specifier allows."""
    version = pinned.get(canonicalize_name(requirement.name))
    return version is not None and version in requirement.specifier


def lower_bounds():
    """Map each direct dependency to its one lower bound."""
    found = {}
    for requirement in REQUIREMENTS:
        (bound,) = (s.version for s in requirement.specifier if s.operator == ">=")
        found[canonicalize_name(requirement.name)] = Version(bound)
    return found


def drift(installed, expected):
    """Return what `installed` lacks of the direct dependencies and has in another version."""
    missing = {canonicalize_name(r.name) for r in REQUIREMENTS} - installed.keys() - OPTIONAL
    # A local part such as +cpu names the build, not the release.
    other = {
        name: f"{installed[name]} is installed, not {version}"
        for name, version in expected.items()
        if name in installed and Version(Version(installed[name]).public) != version
    }
    return missing, other


def tracked_files():
    """Files that git tracks or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def forbidden(text):
    """Return what must not be committed: names of package hosts, paths of one machine."""
    return [m.group() for pattern in (REGISTRY_HOST, MACHINE_PATH) for m in pattern.finditer(text)]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_each_dependency_is_pinned_as_it_allows(requirement):
    assert agrees(requirement, PINS)


def test_jupyter_book_stays_below_2():
    # `jupyter-book` 2 is another program with the same name.
    assert PINS["jupyter-book"] < Version("2")
    (book,) = [r for r in REQUIREMENTS if r.name == "jupyter-book"]
    assert not book.specifier.contains("2.0")


def test_drift_is_caught():
    assert not agrees(Requirement("numpy>=2"), {"numpy": Version("1.26")})
    assert not agrees(Requirement("numpy>=2"), {})


def test_running_environment_has_the_expected_versions():
    # `make lowest` sets the variable: it is the lower bounds that must be installed then.
    expected = lower_bounds() if os.environ.get("REGTOOLS_LOWEST") == "1" else PINS
    installed = {canonicalize_name(d.name): d.version for d in metadata.distributions()}
    assert drift(installed, expected) == (set(), {})


def test_another_version_is_caught():
    for expected in (PINS, lower_bounds()):
        right = {name: str(version) for name, version in expected.items()}
        assert drift(right | {"torch": right["torch"] + "+cpu"}, expected) == (set(), {})
        assert drift(right | {"torch": "9.9"}, expected)[1].keys() == {"torch"}
        del right["torch"]
        assert drift(right, expected) == ({"torch"}, {})


def test_environment_yml_takes_the_pins_from_constraints():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    extras = ",".join(name for name in PROJECT["optional-dependencies"] if name != "gpu")
    assert pip == {"pip": ["-c constraints.txt", f"-e .[{extras}]"]}
    python, with_pip = conda
    assert with_pip == "pip"
    assert python.removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])


def test_citation_names_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]


def test_no_file_names_a_registry_or_a_machine():
    found = {}
    for path in tracked_files():
        try:
            strays = forbidden(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue  # an image
        if strays:
            found[str(path.relative_to(ROOT))] = strays
    assert found == {}


def test_strays_are_caught():
    assert forbidden("see https://" + "py" + "pi.org/simple")
    assert forbidden("in /" + "root/project/file.py")
    assert not forbidden("tests/home/x and data:image/png;base64,ab/tmp/cd")


def test_no_file_is_large():
    assert [p.name for p in tracked_files() if p.stat().st_size >= MAX_BYTES] == []
