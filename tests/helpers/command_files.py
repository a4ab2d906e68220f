"""Files for the commands to register: photographs and volumes with a known map."""

import numpy as np
import SimpleITK as sitk
import skimage.data


def saved(array, path):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=array.ndim == 3), str(path)
    )
    return str(path)


def photographs(folder, name="moving.png"):
    """A photograph, and a part of it of another size, turned and darker."""
    picture = skimage.data.astronaut()[::3, ::3]
    moving = saved(picture, folder / name)
    truth = sitk.AffineTransform(2)
    truth.Rotate(0, 1, 0.25)
    truth.Scale(1.2)
    truth.SetTranslation((22.0, 38.0))
    part = sitk.Resample(sitk.ReadImage(moving), (90, 80), truth, sitk.sitkBSpline)
    dark = (0.6 * sitk.GetArrayFromImage(part) + 30).round().astype(np.uint8)
    return saved(dark, folder / "fixed.png"), moving, truth


def volumes(folder):
    """Blobs in patient coordinates on two grids of other orientation, moved by 2 mm."""
    paths = []
    for name, turn, shift in [("fixed", (0.1, -0.2, 0.3), 0.0), ("moving", (-0.2, 0.1, 1.4), 2.0)]:
        image = sitk.Image((26, 24, 22), sitk.sitkFloat32)
        image.SetSpacing((1.5, 1.5, 1.7) if shift else (1.6, 1.4, 1.5))
        image.SetDirection(sitk.Euler3DTransform((0, 0, 0), *turn).GetMatrix())
        middle = np.array(image.TransformContinuousIndexToPhysicalPoint((12.5, 11.5, 10.5)))
        image.SetOrigin((-middle).tolist())
        index = np.indices(image.GetSize()).reshape(3, -1).T
        D = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        x = index @ D.T + image.GetOrigin() - [shift, 0, 0]
        values = sum(
            height * np.exp(-((x - centre) ** 2).sum(1) / (2 * width**2))
            for centre, width, height in [
                ((3, 2, 0), 4.0, 90.0),
                ((-4, 1, 3), 3.0, 60.0),
                ((0, -5, -2), 3.5, 70.0),
            ]
        ).reshape(image.GetSize())
        found = sitk.GetImageFromArray(np.ascontiguousarray(values.T.astype(np.float32)))
        found.CopyInformation(image)
        path = folder / f"{name}.nii.gz"
        sitk.WriteImage(found, str(path))
        paths.append(str(path))
    return paths
