"""The command `regtools register`: ends that are doubted, and headers that files round."""

import dataclasses
import json

import numpy as np
import SimpleITK as sitk
import torch

from command_files import photographs, volumes
from regtools import read_image, register
from regtools.commands import main
from regtools.commands.pair import _warnings


def test_a_start_off_the_picture_is_doubted(tmp_path, capsys):
    fixed, moving, _ = photographs(tmp_path)
    start = sitk.AffineTransform(2)
    start.SetTranslation((5000.0, 0.0))
    sitk.WriteTransform(start, str(tmp_path / "far.tfm"))
    out = tmp_path / "out"
    arguments = ["register", fixed, moving, "-o", str(out), "--start", str(tmp_path / "far.tfm")]
    assert main([*arguments, "--quiet"]) == 1
    assert {path.name for path in out.iterdir()} == {
        "map.tfm",
        "result.json",
        "index.html",
        "moved.png",
    }
    assert json.loads((out / "result.json").read_text("utf-8"))["error"] is None


def test_a_map_that_collapses_is_doubted(tmp_path):
    """By a map that takes all of the fixed picture into one pixel."""
    fixed, moving, _ = photographs(tmp_path)
    found = register(read_image(moving), read_image(fixed), start="identity")
    w = found.w.clone()
    w[:4] = 0.01 * torch.eye(2, dtype=w.dtype).flatten()
    lost = dataclasses.replace(found, w=w)
    assert not any("collapsed" in one for one in _warnings(found))
    assert any("collapsed" in one for one in _warnings(lost))


def test_a_mask_may_be_rounded_as_files_are(tmp_path):
    fixed, moving = volumes(tmp_path)
    image = sitk.ReadImage(fixed)
    mask = sitk.Cast(image > 5, sitk.sitkUInt8)
    origin = np.array(image.GetOrigin())
    mask.SetOrigin((origin + 1e-6).tolist())
    sitk.WriteImage(mask, str(tmp_path / "near.nrrd"))
    mask.SetOrigin((origin + 0.5).tolist())
    sitk.WriteImage(mask, str(tmp_path / "far.nrrd"))
    arguments = ["register", fixed, moving, "--quiet", "-o"]
    for name, end in (("near", 0), ("far", 2)):
        mask = ["--mask", str(tmp_path / f"{name}.nrrd")]
        assert main([*arguments, str(tmp_path / f"out {name}"), *mask]) == end
