"""A head in three dimensions: the MNI152 template, moved by a known affine map, found again.

    pip install 'regtools[peers]' && pip download --no-deps nilearn
    python benchmarks/volume.py nilearn-*.whl [--write]

The T1 image of the ICBM 152 template (McConnell Brain Imaging Centre, free to use and copy with its
notice) comes with nilearn's wheel, 1 mm a voxel. The reference are its means over 2 mm voxels. The
template is moved in the 1 mm image by SciPy's cubic interpolation before it is averaged, so both
are made without this package. The map turns by about 8 degrees, stretches by some per cent and
shifts by 9 mm.
"""

import argparse
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import scipy.ndimage
import SimpleITK as sitk
import torch
from _costs import rounded, write
from registration import peak_beyond

from regtools import register
from regtools.images import Domain

NAME = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def head(wheel):
    """The image, axes in the order x, y, z; voxels of 1 mm."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as files:
        path = Path(folder) / NAME
        path.write_bytes(files.read(f"nilearn/datasets/data/{NAME}"))
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T.astype(float)


def halved(volume):
    """Means over blocks of 2 × 2 × 2 voxels."""
    volume = volume[tuple(slice(0, n // 2 * 2) for n in volume.shape)]
    parts = [part for n in volume.shape for part in (n // 2, 2)]
    return torch.from_numpy(volume.reshape(parts).mean((1, 3, 5)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", help="nilearn's wheel, which holds the image")
    parser.add_argument("--write", action="store_true", help="put it into book/costs.json")
    options = parser.parse_args()
    volume = head(options.wheel)
    turn = scipy.linalg.expm([[0, -0.1, 0.05], [0.1, 0, -0.08], [-0.05, 0.08, 0]])
    A = turn @ np.diag([1.03, 0.96, 1.02])
    middle = (np.array(volume.shape) - 1) / 2
    shift = np.array([5.0, -6.0, 4.0])
    # T(A x + b) = R(x), so T(y) = R(A⁻¹ (y − b)), in voxels of 1 mm.
    back = np.linalg.inv(A)
    offset = middle - back @ (middle + shift)
    moved = scipy.ndimage.affine_transform(volume, back, offset, order=3)
    template, reference = halved(moved), halved(volume)
    m = tuple(template.shape)
    domain = Domain([end for n in m for end in (0.0, 2.0 * n)], m)
    small = template[::8, ::8, ::8].clone(), reference[::8, ::8, ::8].clone()
    register(
        *small, distance="ssd", start="identity"
    )  # what is compiled at the first call is not counted
    found = []

    def run():
        found.append(register(template, reference, domain=domain, distance="ssd", start="identity"))

    start = time.process_time()
    peak = peak_beyond(run)
    spent, result = time.process_time() - start, found[0]
    w = result.w.numpy()
    inside = np.argwhere(reference.numpy() > 0.1 * float(reference.max()))
    x = 2.0 * inside + 1.0  # centres in mm from the corner of the box
    truth = (x - 0.5 - middle) @ A.T + middle + shift + 0.5
    gap = np.linalg.norm(x @ w[:9].reshape(3, 3).T + w[9:] - truth, axis=1) / 2
    measured = {
        "voxels": " × ".join(map(str, m)),
        "seconds": rounded(spent),
        "error": rounded(gap.mean()),
        "largest": rounded(gap.max()),
        "megabytes": rounded(peak / 1e6),
    }
    print(f"{result.status.value}, surround {result.surround}")
    for name, value in measured.items():
        print(f"  {name:10s} {value}")
    if options.write:
        write({"volume": measured})


if __name__ == "__main__":
    main()
