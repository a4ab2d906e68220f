"""Frames from files: order, colours, transparency, pages, and the place of a finer picture."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from regtools import read_frames, write_image

RNG = np.random.default_rng(3)


def saved(array, path, **header):
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(array), isVector=header.pop("vector", False)
    )
    for name, value in header.items():
        getattr(image, f"Set{name}")(value)
    sitk.WriteImage(image, str(path))
    return path


def grey(shape, kind=np.uint8):
    return (255 * RNG.random(shape)).astype(kind)


def test_frames_come_in_the_order_of_their_names(tmp_path):
    arrays = [grey((5, 7)) for _ in range(3)]
    paths = [saved(one, tmp_path / f"{name}.png") for one, name in zip(arrays, "bca", strict=True)]
    found = read_frames(paths)
    assert found.data.shape == (3, 7, 5) and found.domain.m == (7, 5)
    assert found.channel_axis is None and found.weights is None
    for one, array in zip(found.data, arrays, strict=True):
        np.testing.assert_array_equal(one.numpy().T, array)
    assert found.paths == tuple(map(str, paths)) and found.first.dtype == "uint8"


def test_colours_lose_their_transparency_and_keep_it_as_weights(tmp_path):
    arrays = [grey((4, 6, 4)) for _ in range(2)]
    arrays[0][1, 2, 3], arrays[0][0, 0, 3] = 0, 255
    names = [tmp_path / f"{k}.png" for k in range(2)]
    paths = [saved(one, path, vector=True) for one, path in zip(arrays, names, strict=True)]
    found = read_frames(paths)
    assert found.data.shape == (2, 6, 4, 3) and found.channel_axis == -1
    assert found.weights.shape == (2, 6, 4)
    assert found.weights[0, 2, 1] == 0 and found.weights[0, 0, 0] == 1
    np.testing.assert_array_equal(found.data[1, :, :, 2].numpy().T, arrays[1][:, :, 2])


@pytest.mark.parametrize("many", [False, True])
def test_pages_are_frames(tmp_path, many):
    array = grey((3, 4, 6), np.uint16)
    path = saved(array, tmp_path / "burst.tif")
    found = read_frames([path] if many else path)
    assert found.data.shape == (3, 6, 4) and found.first.data.shape == (6, 4)
    np.testing.assert_array_equal(found.data.numpy().transpose(0, 2, 1), array)
    assert found.paths[2].endswith("burst.tif, page 2")


def test_a_finer_picture_covers_the_same_place(tmp_path):
    """SimpleITK finds the corners of both at the same points, and the pixels between."""
    turn = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.3, 0.5).GetMatrix()
    header = {"Spacing": (1.5, 2.0, 0.5), "Origin": (10.0, -4.0, 7.0), "Direction": turn}
    paths = [
        saved(grey((4, 5, 6), np.float32), tmp_path / f"{k}.nii.gz", **header) for k in range(2)
    ]
    found = read_frames(paths)
    image = torch.from_numpy(RNG.random((18, 15, 12)))
    write_image(tmp_path / "sharp.nii.gz", image, found.finer(image))
    coarse, fine = (sitk.ReadImage(str(tmp_path / f"{one}.nii.gz")) for one in ("0", "sharp"))
    for corner in [(-0.5, -0.5, -0.5), (5.5, 4.5, 3.5), (-0.5, 4.5, 1.0)]:
        there = [3 * (one + 0.5) - 0.5 for one in corner]
        np.testing.assert_allclose(
            fine.TransformContinuousIndexToPhysicalPoint(there),
            coarse.TransformContinuousIndexToPhysicalPoint(corner),
            atol=1e-5,
        )
    array = sitk.GetArrayFromImage(fine).transpose(2, 1, 0)
    np.testing.assert_allclose(array, image.numpy(), rtol=1e-6)


def test_what_does_not_fit_together_is_named(tmp_path):
    here = saved(grey((4, 6)), tmp_path / "a.png")
    other = saved(grey((4, 5)), tmp_path / "b.png")
    colour = saved(grey((4, 6, 3)), tmp_path / "c.png", vector=True)
    with pytest.raises(
        ValueError, match=r"one size: .*a.png has \(6, 4\) and .*b.png has \(5, 4\)"
    ):
        read_frames([here, other])
    with pytest.raises(ValueError, match="one number of channels"):
        read_frames([here, colour])
    with pytest.raises(ValueError, match="at least two frames"):
        read_frames([here])
    with pytest.raises(ValueError, match="at least two frames; got none"):
        read_frames([])
    with pytest.raises(TypeError, match="paths must be a path or a sequence"):
        read_frames(7)
    with pytest.raises(FileNotFoundError, match=r"no .*gone.png"):
        read_frames([here, tmp_path / "gone.png"])
    with pytest.raises(ValueError, match="more than max_pixels"):
        read_frames([here, here, here], max_pixels=50)
    near = [saved(grey((4, 6)), tmp_path / f"{s}.mha", Spacing=(s, 1.0)) for s in (1.0, 1.5)]
    with pytest.raises(ValueError, match="frames of one spacing"):
        read_frames(near)
    found = read_frames([here, here])
    with pytest.raises(ValueError, match="image must have a shape that is a multiple"):
        found.finer(torch.zeros(9, 8, dtype=torch.float64))


@pytest.mark.parametrize("ending", ["png", "mha"])
def test_a_part_of_each_frame_stays_where_it_is(tmp_path, ending):
    """Against NumPy and SimpleITK's own crop."""
    paths = [saved(grey((9, 12)), tmp_path / f"{k}.{ending}", Spacing=(0.5, 2.0)) for k in "ab"]
    whole = read_frames(paths)
    part = whole.cropped((2, 9), (1, 5))
    assert np.array_equal(part.data.numpy(), whole.data.numpy()[:, 2:9, 1:5])
    assert part.domain.m == (7, 4) and part.domain.h == whole.domain.h
    assert np.array_equal(part.first.data.numpy(), part.data[0].numpy())
    known = sitk.RegionOfInterest(sitk.ReadImage(str(paths[0])), (7, 4), (2, 1))
    write_image(tmp_path / f"part.{ending}", part.first.data, part.first)
    found = sitk.ReadImage(str(tmp_path / f"part.{ending}"))
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(known))
    x = part.domain.cell_centers()
    there = part.first.to_patient(x).numpy()
    if ending == "mha":
        assert found.GetOrigin() == known.GetOrigin()
        index = np.indices((7, 4)).reshape(2, -1).T.tolist()
        points = [known.TransformIndexToPhysicalPoint(one) for one in index]
        np.testing.assert_allclose(there, points, atol=1e-12)
    else:
        assert part.domain.omega == (0, 7, 0, 4)


def test_a_part_that_is_none_is_refused(tmp_path):
    frames = read_frames([saved(grey((9, 12)), tmp_path / f"{k}.png") for k in "ab"])
    for parts in [((0, 13), (0, 9)), ((4, 4), (0, 9)), ((5, 2), (0, 9))]:
        with pytest.raises(ValueError, match=r"parts must hold pixels of the frames, within \(12"):
            frames.cropped(*parts)
    with pytest.raises(ValueError, match="parts must be 2 pairs, one an axis; got 1"):
        frames.cropped((0, 3))
    with pytest.raises(ValueError, match="parts must be a whole number from 0"):
        frames.cropped((-1, 3), (0, 3))
