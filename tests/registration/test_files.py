"""Registration of pictures from files, and ITK's transform files, against SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
import skimage.data
import torch

from moved_pairs import spots
from regtools import read_image, register
from regtools.registration import read_transform, write_transform

HERE = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.3, 0.5).GetMatrix()
THERE = np.diag([-1.0, 1.0, 1.0]) @ np.reshape(
    sitk.Euler3DTransform((0, 0, 0), 0.1, 0.2, -0.4).GetMatrix(), (3, 3)
)
RNG = np.random.default_rng(4)
A = np.eye(3) + 0.06 * RNG.standard_normal((3, 3))
B = np.array([14.0, 8.0, 5.0]) - A @ [14.6, 7.5, 5.4]


def grid(m, spacing, direction):
    """A volume about the spots, in patient coordinates."""
    image = sitk.Image(m, sitk.sitkFloat64)
    image.SetSpacing(spacing)
    image.SetDirection(np.ravel(direction).tolist())
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in m])
    image.SetOrigin((np.array([13.5, 7.5, 5.5]) - middle).tolist())
    return image


def drawn(image, A=None, b=None):
    """The spots at the points of a volume, or seen through a map."""
    m = image.GetSize()
    index = np.stack(np.meshgrid(*map(np.arange, m), indexing="ij"), -1).reshape(-1, 3)
    D = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    x = index @ D.T + image.GetOrigin()
    values = spots(x if A is None else x @ A.T + b, 3).reshape(m)
    found = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    found.CopyInformation(image)
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two volumes of other size, spacing, handedness and orientation, on disk."""
    folder = tmp_path_factory.mktemp("pair")
    template = drawn(grid((30, 26, 28), (0.9, 1.1, 1.0), THERE))
    reference = drawn(grid((24, 27, 25), (1.0, 1.0, 1.2), HERE), A, B)
    sitk.WriteImage(template, str(folder / "moving.nrrd"))
    sitk.WriteImage(reference, str(folder / "fixed.nrrd"))
    return read_image(folder / "moving.nrrd"), read_image(folder / "fixed.nrrd")


@pytest.fixture(scope="module")
def found(pair):
    return register(*pair, start="identity")


def test_the_map_is_that_of_the_patient(pair, found):
    """In millimetres, whatever the orientation of the two boxes."""
    assert found.success and found.surround == "zero"
    ours, b = found.in_files()
    x = 13.5 + 6 * RNG.standard_normal((200, 3))
    gap = x @ (ours - A).T + b - B
    assert np.linalg.norm(gap, axis=1).mean() < 0.1
    one = found.starts[0].w0  # where the headers put both
    same = pair[1].to_patient(pair[1].domain.cell_centers())
    moved = pair[0].to_patient(found.transform(one, pair[1].domain.cell_centers()))
    torch.testing.assert_close(moved, same, rtol=0, atol=1e-9)


def test_simpleitk_resamples_to_the_same_picture(pair, found, tmp_path):
    path = tmp_path / "map.tfm"
    found.write_transform(path)
    transform = sitk.ReadTransform(str(path))
    moving, fixed = (sitk.ReadImage(one.path) for one in pair)
    for index in [(0, 0, 0), (11, 20, 7), (23, 26, 24)]:
        point = fixed.TransformIndexToPhysicalPoint(index)
        x = pair[1].from_patient(torch.tensor([point], dtype=torch.float64))
        ours = pair[0].to_patient(found.transform(found.w, x))[0]
        np.testing.assert_allclose(transform.TransformPoint(point), ours, rtol=0, atol=1e-9)
    theirs = sitk.Resample(moving, fixed, transform, sitk.sitkBSpline, 0.0, sitk.sitkFloat64)
    gap = found.warp().numpy() - sitk.GetArrayFromImage(theirs).T
    assert np.abs(gap).max() < 1e-6 * 200  # both are cubic splines, and the border is black
    again = read_transform(path, pair)
    torch.testing.assert_close(again, found.w, rtol=0, atol=1e-9)
    torch.testing.assert_close(register(*pair, start=again).w, found.w, rtol=0, atol=1e-5)


def test_transforms_of_others_are_read(pair, tmp_path):
    """A turn about a centre, and two maps in a row."""
    turn = sitk.Euler3DTransform((13.5, 7.5, 5.5), 0.02, -0.03, 0.05, (0.3, -0.2, 0.1))
    shift = sitk.TranslationTransform(3, (0.5, 0.0, -0.5))
    both = sitk.CompositeTransform([turn, shift])
    for name, transform in [("turn.tfm", turn), ("both.h5", both), ("shift.txt", shift)]:
        sitk.WriteTransform(transform, str(tmp_path / name))
        w = read_transform(tmp_path / name, pair)
        x = pair[1].domain.cell_centers()[::777]
        y = pair[0].to_patient(x @ w[:9].reshape(3, 3).T.contiguous() + w[9:])
        for ours, point in zip(y, pair[1].to_patient(x), strict=True):
            np.testing.assert_allclose(ours, transform.TransformPoint(point.tolist()), atol=1e-9)


def test_what_is_no_map_is_refused(pair, found, tmp_path):
    bent = sitk.BSplineTransform(3, 3)
    bent.SetTransformDomainMeshSize((4, 4, 4))
    sitk.WriteTransform(bent, str(tmp_path / "bent.tfm"))
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    (tmp_path / "text.tfm").write_text("nothing")
    for name, words in [("bent", "bends"), ("flat", "map of 3 axes; got 2"), ("text", "does not")]:
        with pytest.raises(ValueError, match=words):
            read_transform(tmp_path / f"{name}.tfm", pair)
    with pytest.raises(FileNotFoundError, match="there is no"):
        read_transform(tmp_path / "none.tfm", pair)
    with pytest.raises(TypeError, match="pictures must"):
        read_transform(tmp_path / "flat.tfm", pair[0])
    path = tmp_path / "map.tfm"
    write_transform(path, found.w, pair)
    before = path.read_text()
    with pytest.raises(FileExistsError, match="overwrite"):
        write_transform(path, 2 * found.w, pair)
    assert path.read_text() == before
    write_transform(path, 2 * found.w, pair, overwrite=True)
    assert path.read_text() != before
    with pytest.raises(ValueError, match="path must end as"):
        write_transform(tmp_path / "map.doc", found.w, pair)
    with pytest.raises(ValueError, match="w must have shape"):
        write_transform(tmp_path / "b.tfm", found.w[1:], pair)
    tensors = register(found.problem.reference.data, found.problem.reference.data, thetas=[1.0])
    with pytest.raises(ValueError, match="read_image"):
        tensors.write_transform(tmp_path / "c.tfm")


def photographs(folder):
    """One photograph, and a part of it, half as fine, turned and twice as bright, in colour."""
    picture = skimage.data.astronaut()[20:300, 80:380]
    moving = sitk.GetImageFromArray(np.ascontiguousarray(picture[::2, ::2]), isVector=True)
    smooth = sitk.SmoothingRecursiveGaussian(moving, 1.0)
    truth = sitk.AffineTransform(2)
    truth.Rotate(0, 1, 0.3)
    truth.Scale(2.0)
    truth.SetTranslation((20.0, 26.0))
    fixed = sitk.Resample(smooth, (50, 44), truth, sitk.sitkLinear)
    dim = (0.5 * sitk.GetArrayFromImage(fixed) + 20).round().astype(np.uint8)
    sitk.WriteImage(moving, str(folder / "moving.png"))
    sitk.WriteImage(sitk.GetImageFromArray(dim, isVector=True), str(folder / "fixed.jpg"))
    return truth


def test_two_photographs_of_different_size(tmp_path):
    truth = photographs(tmp_path)
    pair = read_image(tmp_path / "moving.png"), read_image(tmp_path / "fixed.jpg")
    found = register(*pair)
    assert found.success and found.gain == pytest.approx(0.5, rel=0.1)
    found.write_transform(tmp_path / "map.tfm")
    ours = sitk.ReadTransform(str(tmp_path / "map.tfm"))
    fixed = sitk.ReadImage(str(tmp_path / "fixed.jpg"))
    for index in [(12, 12), (38, 20), (25, 33)]:
        known = truth.TransformPoint(index)
        place = ours.TransformPoint(fixed.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(place, known, atol=0.5)
    moved = found.warp(pair[0].data)
    assert moved.shape == (50, 44, 3)
    inside = found.covered()
    gap = (0.5 * moved + 20 - pair[1].data)[inside].abs().mean()
    assert float(gap) < 6 < float((pair[1].data[inside] - pair[1].data.mean()).abs().mean())


def test_pictures_that_do_not_go_together(pair, tmp_path):
    photographs(tmp_path)
    photo = read_image(tmp_path / "moving.png")
    with pytest.raises(ValueError, match=r"one unit; got pixel .*moving.png.* and mm"):
        register(photo, pair[1])
    flat = sitk.Image([8, 8], sitk.sitkUInt8)
    flat[3, 3] = 9
    sitk.WriteImage(flat, str(tmp_path / "flat.nrrd"))
    with pytest.raises(ValueError, match="as many axes; got 2 "):
        register(read_image(tmp_path / "flat.nrrd"), pair[1])
    with pytest.raises(ValueError, match="domain must be left out"):
        register(*pair, domain=pair[0].domain)
    with pytest.raises(TypeError, match="template must be a tensor, or both"):
        register(pair[0], pair[1].image())


def test_what_is_not_known_does_not_count(pair, tmp_path):
    """Half of each picture is NaN in the file, and garbage under transparency."""
    volumes = []
    for k, one in enumerate(pair):
        image = sitk.ReadImage(one.path)
        array = sitk.GetArrayFromImage(image)
        array[:, :, :6] = np.nan
        spoilt = sitk.GetImageFromArray(array)
        spoilt.CopyInformation(image)
        sitk.WriteImage(spoilt, str(tmp_path / f"{k}.nii.gz"))
        volumes.append(read_image(tmp_path / f"{k}.nii.gz"))
    found = register(*volumes, start="identity")
    ours, b = found.in_files()
    x = 13.5 + 4 * RNG.standard_normal((200, 3))
    assert found.surround == "overlap"
    assert np.linalg.norm(x @ (ours - A).T + b - B, axis=1).mean() < 0.3
    moved = found.warp(volumes[0].data)
    assert torch.isfinite(moved).all() and float(moved.max()) > 50


def test_transparent_pixels_do_not_count(tmp_path):
    truth = photographs(tmp_path)
    for name in ("moving.png", "fixed.jpg"):
        picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        opaque[:9], picture[:9] = 0, 255 * (RNG.random((9, *picture.shape[1:])) > 0.5)
        clear = np.concatenate([picture, opaque], axis=2)
        image = sitk.GetImageFromArray(clear, isVector=True)
        sitk.WriteImage(image, str(tmp_path / f"clear-{name[:-4]}.png"))
    pair = [read_image(tmp_path / f"clear-{name}.png") for name in ("moving", "fixed")]
    found = register(*pair)
    ours, b = found.in_files()
    assert found.success
    np.testing.assert_allclose(ours @ (25, 24) + b, truth.TransformPoint((25, 24)), atol=0.5)
    half = torch.ones(pair[1].domain.m, dtype=torch.float64)
    half[:5] = 0
    again = register(*pair, reference_mask=half)
    assert float(again.problem.overlap.seen.sum()) == 45 * (44 - 9)
