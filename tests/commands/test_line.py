"""The command `regtools register`: what it writes, refuses and shows."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

import browser
from command_files import photographs, saved, volumes
from regtools.commands import main
from regtools.commands.pair import _page

NAMES = {"map.tfm", "result.json", "index.html"}
HOSTILE = "<img src=x onerror=alert(1)>{{DATA}}.png"


def test_two_photographs(tmp_path, capsys):
    fixed, moving, truth = photographs(tmp_path)
    out = tmp_path / "new" / "folder"
    threads = torch.get_num_threads()
    assert main(["register", fixed, moving, "-o", str(out), "--threads", "3"]) == 0
    assert torch.get_num_threads() == threads
    said = capsys.readouterr().out
    assert "fixed.png: 90 x 80 pixels" in said and "start " in said and "converged" in said
    assert {path.name for path in out.iterdir()} == NAMES | {"moved.png"}
    numbers = json.loads((out / "result.json").read_text("utf-8"))
    assert numbers["success"] and numbers["gain"] == pytest.approx(0.6, rel=0.03)
    transform = sitk.ReadTransform(str(out / "map.tfm"))
    for point in [(20.0, 20.0), (60.0, 30.0), (40.0, 60.0)]:
        known = truth.TransformPoint(point)
        np.testing.assert_allclose(transform.TransformPoint(point), known, atol=0.1)
        ours = np.array(numbers["matrix"]) @ point + numbers["shift"]
        np.testing.assert_allclose(ours, transform.TransformPoint(point), atol=1e-9)
    theirs = sitk.Resample(
        sitk.ReadImage(moving), sitk.ReadImage(fixed), transform, sitk.sitkBSpline
    )
    ours = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "moved.png"))).astype(float)
    inner = (slice(30, 50), slice(30, 60))
    gap = np.abs(ours - sitk.GetArrayFromImage(theirs))[inner]
    assert ours.shape == (80, 90, 3) and gap.max() <= 1  # rounded twice


def test_two_volumes(tmp_path, capsys):
    fixed, moving = volumes(tmp_path)
    out = tmp_path / "out"
    assert main(["register", fixed, moving, "-o", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert {path.name for path in out.iterdir()} == NAMES | {"moved.nii.gz"}
    transform = sitk.ReadTransform(str(out / "map.tfm"))
    for point in [(0.0, 0.0, 0.0), (5.0, -4.0, 3.0)]:
        np.testing.assert_allclose(
            transform.TransformPoint(point), np.add(point, (2, 0, 0)), atol=0.05
        )
    moved, grid = sitk.ReadImage(str(out / "moved.nii.gz")), sitk.ReadImage(fixed)
    assert moved.GetSize() == grid.GetSize()
    np.testing.assert_allclose(moved.GetOrigin(), grid.GetOrigin(), atol=1e-4)
    gap = np.abs(sitk.GetArrayFromImage(moved) - sitk.GetArrayFromImage(grid))
    assert gap.max() < 1
    page = (out / "index.html").read_text("utf-8")
    assert all(name in page for name in ("x, y", "x, z", "y, z"))


def test_nothing_is_overwritten(tmp_path, capsys):
    fixed, moving, _ = photographs(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "map.tfm").write_text("mine")
    command = ["register", fixed, moving, "-o", str(out), "--distance", "ssd", "--quiet"]
    assert main(command) == 2
    assert "--force replaces them" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["map.tfm"]
    assert (out / "map.tfm").read_text() == "mine"
    assert main([*command[:3], "-o", fixed]) == 2
    assert "must be a folder" in capsys.readouterr().err
    assert main([*command, "--force"]) in (0, 1)  # squared differences of other brightness
    assert (out / "map.tfm").read_text() != "mine"


def test_what_does_not_fit_is_refused(tmp_path, capsys):
    fixed, moving, _ = photographs(tmp_path)
    volume = volumes(tmp_path)[0]
    image = sitk.ReadImage(volume)
    turned = str(tmp_path / "turned.nii.gz")
    image.SetOrigin((0.0, 0.0, 0.0))
    sitk.WriteImage(image, turned)
    (tmp_path / "text.png").write_text("no picture")
    flat = saved(np.full((20, 20), 7, np.uint8), tmp_path / "flat.png")
    for pair, words in [
        ((fixed, "none.png"), "there is no none.png"),
        ((fixed, str(tmp_path / "text.png")), "must name a picture"),
        ((fixed, volume), "one unit"),
        ((fixed, flat), "template must not be constant"),
        ((fixed, moving, "--mask", moving), "mask must have the size"),
        ((volume, volume, "--mask", turned), "their headers differ"),
    ]:
        assert main(["register", *pair, "-o", str(tmp_path / "out"), "--quiet"]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "moved.png").write_bytes(Path(moving).read_bytes())
    inside = str(tmp_path / "in" / "moved.png")
    assert main(["register", fixed, inside, "-o", str(tmp_path / "in"), "--force"]) == 2
    assert "must not hold what is read" in capsys.readouterr().err
    assert Path(inside).read_bytes() == Path(moving).read_bytes()
    with pytest.raises(SystemExit):
        main(["register", fixed])


def test_a_mask_leaves_pixels_out(tmp_path):
    fixed, moving, truth = photographs(tmp_path)
    picture = sitk.GetArrayFromImage(sitk.ReadImage(fixed))
    picture[10:40, 50:80] = RNG.integers(0, 255, (30, 30, 3))
    mask = np.full(picture.shape[:2], 255, np.uint8)
    mask[8:42, 48:82] = 0
    spoilt, mask = saved(picture, tmp_path / "spoilt.png"), saved(mask, tmp_path / "mask.png")
    out = tmp_path / "out"
    assert main(["register", spoilt, moving, "-o", str(out), "--mask", mask, "--quiet"]) == 0
    place = sitk.ReadTransform(str(out / "map.tfm")).TransformPoint((40.0, 50.0))
    np.testing.assert_allclose(place, truth.TransformPoint((40.0, 50.0)), atol=0.2)


RNG = np.random.default_rng(8)


def test_labels_keep_their_numbers_and_a_start_is_taken(tmp_path, capsys):
    fixed, moving = volumes(tmp_path)
    image = sitk.ReadImage(moving)
    kinds = np.array([0, 3, 250], np.uint8)
    labels = sitk.GetImageFromArray(kinds[np.digitize(sitk.GetArrayFromImage(image), (20, 60))])
    labels.CopyInformation(image)
    sitk.WriteImage(labels, str(tmp_path / "labels.nrrd"))
    sitk.WriteTransform(sitk.TranslationTransform(3, (2.0, 0, 0)), str(tmp_path / "start.tfm"))
    out, more = tmp_path / "out", ["--labels", str(tmp_path / "labels.nrrd"), "--outside", "-50"]
    more += ["--start", str(tmp_path / "start.tfm")]
    assert main(["register", fixed, moving, "-o", str(out), *more]) == 0
    assert "start own 0" in capsys.readouterr().out
    found = sitk.ReadImage(str(out / "labels.nii.gz"))
    transform = sitk.ReadTransform(str(out / "map.tfm"))
    theirs = sitk.Resample(labels, sitk.ReadImage(fixed), transform, sitk.sitkNearestNeighbor, 0)
    ours, theirs = (sitk.GetArrayFromImage(one) for one in (found, theirs))
    assert ours.dtype == np.uint8 and set(np.unique(ours)) == {0, 3, 250}
    assert (ours != theirs).mean() < 1e-3  # on a border between two cells either will do
    moved = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "moved.nii.gz")))
    assert moved.min() == -50 and (moved == -50).mean() > 0.05
    assert main(["register", fixed, moving, "-o", str(out), "--labels", fixed, "--force"]) == 2
    assert "labels must lie where the moving picture lies" in capsys.readouterr().err


def test_pictures_of_something_else_are_doubted(tmp_path, capsys):
    fixed = saved(RNG.integers(0, 255, (40, 50)).astype(np.uint8), tmp_path / "a.png")
    moving = saved(RNG.integers(0, 255, (50, 40)).astype(np.uint8), tmp_path / "b.png")
    assert main(["register", fixed, moving, "-o", str(tmp_path / "out")]) == 1
    assert "warning: The pictures have little in common" in capsys.readouterr().out
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert 'class="status bad"' in page and "little in common" in page


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("uint16", ".png"), ("int16", ".tif"), ("float32", ".tif"), ("int32", ".nrrd")],
)
def test_every_type_finds_a_format(tmp_path, kind, ending):
    y, x = np.mgrid[:40, :50]
    blob = 100 * np.exp(-((x - 22) ** 2 + (y - 20) ** 2) / 60.0)
    blob += 60 * np.exp(-((x - 32) ** 2 + (y - 14) ** 2) / 30.0)
    fixed = saved(blob.astype(np.uint8), tmp_path / "fixed.png")
    name, image = "moving.tif", sitk.GetImageFromArray(np.roll(blob, 2, axis=1).astype(kind))
    sitk.WriteImage(image, str(tmp_path / name))
    out = tmp_path / "out"
    assert main(["register", fixed, str(tmp_path / name), "-o", str(out), "--quiet"]) == 0
    moved = sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"moved{ending}")))
    assert moved.dtype == kind and np.abs(moved - blob).max() < 3
    numbers = json.loads((out / "result.json").read_text("utf-8"))
    place = np.array(numbers["matrix"]) @ (24, 18) + numbers["shift"]
    np.testing.assert_allclose(place, (26, 18), atol=0.05)


def test_pixels_are_pixels_whatever_the_print_size(tmp_path):
    """Two JPEG of other resolution for printers: the page counts in pixels, the map as ITK does."""
    fixed, moving, truth = photographs(tmp_path)
    paths = []
    for path, dpi in [(fixed, 72), (moving, 300)]:
        paths.append(str(tmp_path / f"{dpi}.jpg"))
        Image.open(path).save(paths[-1], dpi=(dpi, dpi), quality=98)
    out = tmp_path / "out"
    assert main(["register", *paths, "-o", str(out), "--quiet"]) == 0
    numbers = json.loads((out / "result.json").read_text("utf-8"))
    place = np.array(numbers["matrix"]) @ (40, 30) + numbers["shift"]
    np.testing.assert_allclose(place, truth.TransformPoint((40, 30)), atol=0.3)
    here, there = (sitk.ReadImage(path) for path in paths)
    point = sitk.ReadTransform(str(out / "map.tfm")).TransformPoint(
        here.TransformContinuousIndexToPhysicalPoint((40, 30))
    )
    np.testing.assert_allclose(
        there.TransformPhysicalPointToContinuousIndex(point), place, atol=1e-6
    )


def test_ctrl_c_and_a_doubtful_end(tmp_path, capsys, monkeypatch):
    fixed, moving, _ = photographs(tmp_path)

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("regtools.commands.pair.register", interrupted)
    assert main(["register", fixed, moving, "-o", str(tmp_path / "out"), "--quiet"]) == 130
    assert "nothing was written" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_names_are_escaped(tmp_path):
    fixed, moving, _ = photographs(tmp_path, HOSTILE)
    out = tmp_path / "out"
    assert main(["register", fixed, moving, "-o", str(out), "--quiet"]) == 0
    page = (out / "index.html").read_text("utf-8")
    assert "<img" not in page and html.escape(HOSTILE) in page
    assert len(re.findall("data:image/png", page)) == 3
    assert page.count("<script") == 2 and "http" not in re.sub("http-equiv", "", page)


def test_a_page_of_no_success_says_so(monkeypatch):
    one = {"path": "a", "size": [4, 4], "unit": "mm"}
    numbers = {
        "regtools": "1",
        "success": False,
        "status": "no overlap",
        "message": "no overlap: far",
        "fixed": one,
        "moving": one,
        "matrix": [[1.0, 0.0], [0.0, 1.0]],
        "shift": [0.0, 0.0],
        "misfit": None,
        "overlap": 0.0,
        "gain": -1.0,
        "offset": 0.0,
        "error": None,
        "transform": "affine",
        "distance": "ncc",
        "surround": "zero",
        "starts": [],
        "path": [],
        "warnings": ["This is not called a success"],
    }

    monkeypatch.setattr("regtools.commands.pair._views", lambda found: [])
    page = _page(None, numbers, [])
    assert "not called a success" in page and 'class="status bad"' in page


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["photographs", "volumes"])
def test_the_page_in_a_browser(chromium, tmp_path, kind):
    fixed, moving = photographs(tmp_path)[:2] if kind == "photographs" else volumes(tmp_path)
    out = tmp_path / "out"
    assert main(["register", fixed, moving, "-o", str(out), "--quiet"]) == 0
    with browser.open_page(chromium, f"command-{kind}", reduced_motion="reduce") as (page, watch):
        page.goto((out / "index.html").as_uri())
        shown = "() => document.getElementById('canvas').toDataURL()"
        words = page.locator("#words")
        browser.changed(page, lambda: words.text_content(), "")
        seen = {page.evaluate(shown)}
        for mode in ("blink", "board", "difference"):
            page.check(f"input[name=mode][value={mode}]")
            seen.add(page.evaluate(shown))
        page.check("input[name=side][value=before]")
        seen.add(page.evaluate(shown))
        page.locator("#where").fill("90")
        seen.add(page.evaluate(shown))
        assert len(seen) == 6
        assert page.locator("#planes").is_visible() == (kind == "volumes")
        if kind == "volumes":
            before = page.evaluate(shown)
            page.check("input[name=plane][value='2']")
            browser.changed(page, lambda: page.evaluate(shown), before)
        for width in (390, 1100):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not browser.serious(page)
        watch.check()
