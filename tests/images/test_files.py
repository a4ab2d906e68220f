"""Pictures in files, against SimpleITK and Pillow; bad ones are in test_bad_pictures.py."""

import gzip
import locale
import struct
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

from raw_files import slices_in
from regtools import read_image, write_image

RNG = np.random.default_rng(2)
TURN = sitk.Euler3DTransform((0, 0, 0), 0.4, -0.3, 1.1).GetMatrix()


def volume(m=(7, 8, 9), kind="int16", direction=TURN):
    """An oblique volume, made by SimpleITK."""
    array = (1000 * RNG.random(m[::-1])).astype(kind)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.7, 1.25, 3.0))
    image.SetOrigin((-101.5, 33.25, 812.125))
    image.SetDirection(direction)
    return image


def saved(image, path):
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha"])
def test_a_volume_comes_back_as_it_was(tmp_path, ending, kind):
    first = volume(kind=kind)
    picture = read_image(saved(first, tmp_path / f"first.{ending}"))
    assert picture.unit == "mm" and picture.dtype == kind and picture.domain.m == (7, 8, 9)
    assert np.array_equal(picture.data.numpy(), sitk.GetArrayFromImage(first).T)
    write_image(tmp_path / f"again.{ending}", picture.data, picture)
    again = sitk.ReadImage(str(tmp_path / f"again.{ending}"))
    assert np.array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(first))
    # NIfTI keeps its header in single precision.
    tol = 1e-3 if "nii" in ending else 1e-6
    for name in ("GetOrigin", "GetSpacing", "GetDirection"):
        ours, known = getattr(again, name)(), getattr(first, name)()
        np.testing.assert_allclose(ours, known, rtol=0, atol=tol)


@pytest.mark.parametrize(
    "direction", [TURN, np.diag([-1.0, 1, 1]).ravel(), np.eye(3)[[2, 0, 1]].ravel()]
)
def test_points_are_those_of_itk(tmp_path, direction):
    """Oblique, left-handed, and with axes exchanged."""
    image = volume(direction=np.asarray(direction).tolist())
    picture = read_image(saved(image, tmp_path / "a.mha"))
    x = picture.domain.cell_centers().reshape(*picture.domain.m, 3)
    for index in [(0, 0, 0), (6, 2, 5), (1, 7, 8)]:
        place = torch.from_numpy(np.array(image.TransformIndexToPhysicalPoint(index)))
        found = picture.to_patient(x[index][None])[0]
        torch.testing.assert_close(found, place, rtol=0, atol=1e-9)
        torch.testing.assert_close(picture.from_patient(place[None])[0], x[index])
    if np.allclose(direction, np.diag([-1.0, 1, 1]).ravel()):
        assert np.allclose(picture.domain.h, (0.7, 1.25, 3.0))


COLOUR = (255 * RNG.random((6, 9, 3))).astype(np.uint8)
GREY = COLOUR[..., 0]


@pytest.mark.parametrize(
    ("name", "picture", "channels"),
    [
        ("grey.png", Image.fromarray(GREY), 1),
        ("colour.png", Image.fromarray(COLOUR), 3),
        ("colour.tif", Image.fromarray(COLOUR), 3),
        ("clear.png", Image.fromarray(np.dstack([COLOUR, GREY])), 4),
        ("deep.png", Image.fromarray(GREY.astype(np.uint16) * 257), 1),
        ("float.tif", Image.fromarray(GREY / np.float32(255)), 1),
        ("palette.png", Image.fromarray(GREY).convert("P"), 3),
        ("bits.png", Image.fromarray(GREY > 99), 1),
    ],
)
def test_photographs(tmp_path, name, picture, channels):
    picture.save(tmp_path / name, dpi=(300, 300))
    found = read_image(tmp_path / name)
    assert found.unit == "pixel" and found.domain.omega == (0, 9, 0, 6)
    assert found.n_channels == channels and found.grey.shape == (9, 6)
    known = np.asarray(picture if name != "palette.png" else picture.convert("RGB"))
    if name == "bits.png":
        known = 255 * known
    assert np.array_equal(found.data.numpy(), known.swapaxes(0, 1))
    if channels > 1:
        r, g, b = known.astype(float).swapaxes(0, 1)[..., :3].transpose(2, 0, 1)
        np.testing.assert_allclose(found.grey.numpy(), 0.2125 * r + 0.7154 * g + 0.0721 * b)
    write_image(tmp_path / f"again{name[-4:]}", found.data, found)
    again = read_image(tmp_path / f"again{name[-4:]}")
    assert torch.equal(again.data, found.data) and again.dtype == found.dtype


def test_pages_make_a_volume_and_a_slice_a_picture(tmp_path):
    pages = [Image.fromarray(COLOUR[..., k]) for k in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "pages.tif").domain.m == (9, 6, 3)
    flat = volume((7, 8, 1), direction=np.eye(3).ravel().tolist())
    picture = read_image(saved(flat, tmp_path / "slice.nrrd"))
    assert picture.domain.m == (7, 8) and picture.unit == "mm"
    assert np.allclose(picture.domain.lower, np.array([-101.5, 33.25]) - [0.35, 0.625])


def test_a_folder_with_a_series(tmp_path):
    image = volume((5, 6, 4), "int16", np.eye(3).ravel().tolist())
    places = (image.TransformIndexToPhysicalPoint((0, 0, k)) for k in range(4))
    slices = ((image[:, :, k], place) for k, place in enumerate(places))
    folder = slices_in(tmp_path / "series", slices)
    picture = read_image(folder)
    assert picture.domain.m == (5, 6, 4) and picture.unit == "mm"
    assert np.array_equal(picture.data.numpy(), sitk.GetArrayFromImage(image).T)
    np.testing.assert_allclose(picture.spacing, image.GetSpacing(), atol=1e-6)


def test_arguments(tmp_path):
    path = saved(volume(), tmp_path / "a.nrrd")
    with pytest.raises(TypeError, match="path must be a string or a path; got int"):
        read_image(3)  # ty: ignore[invalid-argument-type]
    with pytest.raises(ValueError, match="504 pixels, more than max_pixels = 503"):
        read_image(path, max_pixels=503)
    with pytest.raises(ValueError, match="max_pixels must be"):
        read_image(path, max_pixels=0)
    picture = read_image(path, max_pixels=504)
    with pytest.raises(FileExistsError, match="overwrite"):
        write_image(path, picture.data, picture)
    assert torch.equal(read_image(path).data, picture.data)
    write_image(path, 2 * picture.data, picture, overwrite=True)
    assert torch.equal(read_image(path).data, 2 * picture.data)
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        write_image(tmp_path / "no" / "a.nrrd", picture.data, picture)
    with pytest.raises(ValueError, match="path cannot be written"):
        write_image(tmp_path / "a.doc", picture.data, picture)
    with pytest.raises(ValueError, match="data must have the shape"):
        write_image(tmp_path / "b.nrrd", picture.data[1:], picture)
    with pytest.raises(TypeError, match="like must be"):
        write_image(tmp_path / "b.nrrd", picture.data, picture.data)  # ty: ignore


def test_whole_numbers_are_rounded_and_kept_in_range(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    data = picture.data.clone()
    data[0, :4] = torch.tensor([-3.0, 300.0, 17.6, torch.nan], dtype=torch.float64)
    write_image(tmp_path / "b.png", data, picture)
    assert read_image(tmp_path / "b.png").data[0, :4].tolist() == [0, 255, 18, 0]
    three = torch.stack([data, data, data], dim=-1)
    write_image(tmp_path / "c.png", three, picture)
    assert read_image(tmp_path / "c.png").n_channels == 3


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha", "img"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_what_is_no_number_stays_none(tmp_path, ending, kind):
    """SimpleITK reads NaN in NIfTI as 0."""
    image = volume(kind=kind)
    image[2, 3, 4] = image[6, 7, 8] = float("nan")
    picture = read_image(saved(image, tmp_path / f"a.{ending}"))
    assert torch.isnan(picture.data).nonzero().tolist() == [[2, 3, 4], [6, 7, 8]]
    assert np.array_equal(picture.data.numpy(), sitk.GetArrayFromImage(image).T, equal_nan=True)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_slope_in_the_header_is_no_missing_end(tmp_path, ending):
    """Two bytes a voxel in the file, eight in SimpleITK."""
    path = saved(volume(), tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[112:120] = struct.pack("<2f", 2.5, -7.0)
    path = tmp_path / f"b.{ending}"
    path.write_bytes(gzip.compress(bytes(raw)) if ending.endswith("gz") else bytes(raw))
    expected = 2.5 * sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii"))).T - 7
    np.testing.assert_allclose(read_image(path).data.numpy(), expected)


def test_transparent_pixels_are_not_known(tmp_path):
    opaque = np.full(GREY.shape, 255, np.uint8)
    opaque[1, 2] = 51
    for alpha, known in [(opaque, True), (np.full_like(opaque, 255), False), (0 * opaque, False)]:
        Image.fromarray(np.dstack([COLOUR, alpha])).save(tmp_path / "a.png")
        found = read_image(tmp_path / "a.png").known
        assert (found is not None) == known
        if known:
            assert float(found[2, 1]) == pytest.approx(0.2) and float(found.sum()) == 53.2
    Image.fromarray(COLOUR).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").known is None


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_type_wraps_around(tmp_path, kind, dtype):
    picture = read_image(saved(volume(), tmp_path / "a.nrrd"))
    data = torch.zeros(picture.domain.m, dtype=dtype)
    data[0, 0, :3] = torch.tensor([-1e30, 1e30, 5.4], dtype=dtype)
    write_image(tmp_path / "b.nrrd", data, picture, dtype=kind)
    low, high, five = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "b.nrrd")))[:3, 0, 0]
    limits = np.iinfo(kind)
    assert low.dtype == kind and low == limits.min and five == 5
    assert limits.max >= high > 0.99 * limits.max
    with pytest.raises(ValueError, match="dtype must"):
        write_image(tmp_path / "c.nrrd", data, picture, dtype="complex64")
    with pytest.raises(ValueError, match="dtype must name"):
        write_image(tmp_path / "c.nrrd", data, picture, dtype="grey")


def test_the_language_of_the_process_stays(tmp_path):
    """GDCM sets it to "C" when it writes, and text would be read as ASCII afterwards."""
    before = locale.setlocale(locale.LC_ALL)
    Image.fromarray(GREY).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    write_image(tmp_path / "a.dcm", picture.data, picture)
    assert locale.setlocale(locale.LC_ALL) == before
    assert torch.equal(read_image(tmp_path / "a.dcm").data, picture.data)


def test_without_simpleitk_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ImportError, match=r"read_image needs SimpleITK; .*regtools\[images\]"):
        read_image(tmp_path / "a.png")
