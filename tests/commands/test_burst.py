"""The command `regtools super-resolve`: what it writes, doubts and shows."""

import html
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import SimpleITK as sitk
import skimage.data

import browser
from regtools.commands import main

N, FACTOR, FINE = 24, 2, 8  # pixels of a frame, those of the picture to one, samples to one
HOSTILE = "<b>0{{DATA}}.png"


def scene(colour):
    picture = skimage.data.astronaut()[20:220, 150:350].astype(float)
    return picture if colour else picture.mean(-1)


def shown(picture, angle, shift, cells):
    """A window of a photograph, turned and shifted by pixels of a frame, averaged over cells."""
    a, fine = np.deg2rad(angle), N * FINE
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    grid = (np.indices((fine, fine)).reshape(2, -1) + 0.5) / FINE - N / 2
    places = (turn @ grid + N / 2 + np.array(shift)[:, None]) * 4 + 50
    layers = picture[..., None] if picture.ndim == 2 else picture
    per = fine // cells
    found = [
        scipy.ndimage.map_coordinates(one, places - 0.5, order=1).reshape(cells, per, cells, per)
        for one in np.moveaxis(layers, -1, 0)
    ]
    return np.stack([one.mean((1, 3)) for one in found], -1).squeeze()


def burst(folder, colour=False, names=None, n=6, still=False):
    """Paths of frames, the picture they were made of, and by how much each is turned and moved."""
    picture, paths, moves = scene(colour), [], np.random.default_rng(2).uniform(-1, 1, (n, 3))
    moves *= 0 if still else np.sign(np.arange(n))[:, None]  # frame 0 stays
    rng = np.random.default_rng(3)
    for k, (angle, *shift) in enumerate(moves):
        values = shown(picture, 2 * angle, shift, N)
        values = (values + rng.normal(0, 1, values.shape)).round().clip(0, 255).astype(np.uint8)
        paths.append(str(folder / (names[k] if names else f"{k:02d}.png")))
        sitk.WriteImage(sitk.GetImageFromArray(values, isVector=colour), paths[-1])
    return paths, shown(picture, 0.0, (0.0, 0.0), N * FACTOR), moves


@pytest.mark.parametrize("colour", [False, True])
def test_a_burst(tmp_path, capsys, colour):
    """The picture beats one frame enlarged by SciPy's cubic splines, by far."""
    paths, truth, moves = burst(tmp_path, colour)
    out = tmp_path / "out"
    assert main(["super-resolve", *paths, "-o", str(out), "--transform", "rigid"]) == 0
    said = capsys.readouterr().out
    assert "6 frames of 24 x 24 pixels" in said and "converged" in said
    exact = "sharp.nrrd" if colour else "sharp.tif"
    names = {exact, "sharp.png", "result.json", "index.html"}
    assert {path.name for path in out.iterdir()} == names
    frame = sitk.GetArrayFromImage(sitk.ReadImage(paths[0])).astype(float)
    zoom = (FACTOR, FACTOR, 1) if colour else FACTOR
    one = scipy.ndimage.zoom(frame, zoom, order=3, mode="mirror", grid_mode=True)
    off = {"enlarged": np.linalg.norm(one - truth)}
    for name in (exact, "sharp.png"):
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(out / name))).astype(float)
        off[name] = np.linalg.norm(values - truth)
        assert off[name] < 0.5 * off["enlarged"]
    numbers = json.loads((out / "result.json").read_text("utf-8"))
    assert numbers["success"] and not numbers["warnings"] and numbers["size"] == [48, 48]
    assert len(numbers["maps"]) == 5 and len(numbers["gain"]) == 6
    for (_, rows, columns), w in zip(moves[1:], np.array(numbers["maps"]), strict=True):
        middle = w[:4].reshape(2, 2) @ [N / 2, N / 2] + w[4:] - N / 2  # in x and y
        np.testing.assert_allclose(middle, [columns, rows], atol=0.1)


def test_frames_that_do_not_move_are_doubted(tmp_path, capsys):
    paths, *_ = burst(tmp_path, n=3, still=True)
    out = str(tmp_path / "out")
    options = ["--transform", "translation", "--quiet", "--crop", "2:22,4:20"]
    assert main(["super-resolve", *paths, "-o", out, *options]) == 1
    numbers = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    assert any("hardly moved" in one for one in numbers["warnings"])
    assert numbers["size"] == [40, 32], "another part was taken"
    assert capsys.readouterr().out == ""


def test_frames_that_only_turn_have_moved_and_holes_are_told(tmp_path):
    """Turned about the middle; a block is NaN in all frames."""
    rng, paths = np.random.default_rng(4), []
    for k, angle in enumerate((0, 3, -4, 5)):
        values = shown(scene(False), angle, (0.0, 0.0), N) + rng.normal(0, 1, (N, N))
        values[3:6, 10:14] = np.nan
        paths.append(str(tmp_path / f"{k}.tif"))
        sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.float32)), paths[-1])
    out = tmp_path / "out"
    assert main(["super-resolve", *paths, "-o", str(out), "--transform", "rigid", "--quiet"]) == 1
    (only,) = json.loads((out / "result.json").read_text("utf-8"))["warnings"]
    assert only.startswith("12 pixels are unknown in all frames")


def test_a_slice_keeps_its_place(tmp_path):
    """Frames in millimetres: the picture lies where frame 0 lies."""
    paths, *_ = burst(tmp_path, n=4)
    turn = [0.8, -0.6, 0.6, 0.8]
    for path in list(paths):
        image = sitk.ReadImage(path)
        image.SetSpacing((0.8, 0.8))
        image.SetOrigin((-12.5, 40.0))
        image.SetDirection(turn)
        sitk.WriteImage(image, path.replace(".png", ".mha"))
    paths = [path.replace(".png", ".mha") for path in paths]
    out = tmp_path / "out"
    main(["super-resolve", *paths, "-o", str(out), "--transform", "translation", "--quiet"])
    assert {path.name for path in out.iterdir()} == {"sharp.nrrd", "result.json", "index.html"}
    coarse, fine = (sitk.ReadImage(str(one)) for one in (paths[0], out / "sharp.nrrd"))
    for corner in ((-0.5, -0.5), (N - 0.5, 3.0)):
        there = [2 * (one + 0.5) - 0.5 for one in corner]
        np.testing.assert_allclose(
            fine.TransformContinuousIndexToPhysicalPoint(there),
            coarse.TransformContinuousIndexToPhysicalPoint(corner),
            atol=1e-9,
        )


def test_a_frame_of_something_else_is_left_out(tmp_path):
    paths, *_ = burst(tmp_path, n=5)
    strange = (255 * np.random.default_rng(5).random((N, N))).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(strange), paths[3])
    out = tmp_path / "out"
    arguments = ["super-resolve", *paths, "-o", str(out), "--transform", "translation"]
    assert main([*arguments, "--quiet"]) == 1
    numbers = json.loads((out / "result.json").read_text("utf-8"))
    assert numbers["left_out"] == [3] and numbers["misfit"][3] is None
    assert any("Frame 3 was left out" in one for one in numbers["warnings"])


def test_what_does_not_fit_is_refused_and_nothing_is_overwritten(tmp_path, capsys):
    paths, *_ = burst(tmp_path, n=2)
    assert main(["super-resolve", paths[0], "-o", str(tmp_path / "a")]) == 2
    assert "at least two frames" in capsys.readouterr().err and not (tmp_path / "a").exists()
    assert main(["super-resolve", *paths, "-o", str(tmp_path / "b"), "--factor", "0"]) == 2
    assert "factor must be" in capsys.readouterr().err and not (tmp_path / "b").exists()
    out = tmp_path / "c"
    out.mkdir()
    (out / "sharp.png").write_text("mine")
    assert main(["super-resolve", *paths, "-o", str(out)]) == 2
    assert "--force replaces" in capsys.readouterr().err
    assert (out / "sharp.png").read_text() == "mine"


@pytest.mark.browser
def test_the_page_in_a_browser(chromium, tmp_path):
    """It shows both, its modes differ, nothing is loaded, names are texts, axe finds nothing."""
    names = [HOSTILE, *(f"{k}.png" for k in range(1, 4))]
    paths, *_ = burst(tmp_path, True, names, n=4)
    out = tmp_path / "out"
    main(["super-resolve", *paths, "-o", str(out), "--transform", "translation", "--quiet"])
    text = Path(out / "index.html").read_text("utf-8")
    assert html.escape(HOSTILE) in text and "<b>" not in text
    with browser.open_page(chromium, "command-burst", reduced_motion="reduce") as (page, watch):
        page.goto((out / "index.html").as_uri())
        look = "() => document.getElementById('canvas').toDataURL()"
        words = page.locator("#words")
        browser.changed(page, words.text_content, "")
        seen = set()
        for side in ("pixels", "enlarged"):
            page.check(f"input[name=side][value={side}]")
            for mode in ("wipe", "board", "difference"):
                page.check(f"input[name=mode][value={mode}]")
                seen.add(page.evaluate(look))
        assert len(seen) == 6
        label = page.locator("#canvas").get_attribute("aria-label")
        assert label.endswith("enlarged by a spline.")
        for width in (390, 1100):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not browser.serious(page)
        watch.check()
