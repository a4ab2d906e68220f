"""Registration beside SimpleITK and elastix: what is found, how well, and what it costs.

    pip install 'regtools[peers]' && pip download --no-deps nilearn
    python benchmarks/peers.py nilearn-*.whl [--kinds ...] [--write]

Pairs with known affine maps: turned by up to 15 degrees, scaled by 0.9 to 1.1 along each axis and
shifted by up to 4 pixels, in 64 x 64 pixels with noise of two grey values, made by SciPy; and the
MNI152 head (McConnell Brain Imaging Centre, free to use and copy with its notice) in voxels of 4
mm. Of the two kinds "other contrast" the reference is inverted, or folded about its median, as
bright and dark exchange in part between T1 and T2. Found means off by less than a pixel in the
mean. SimpleITK: from the centres, three levels, all pixels, regular steps with physical scales;
plain gradient descent, as in its notebooks, runs away on these pictures. elastix: its default rigid
map and then its default affine one. One thread each.
"""

import argparse
import time

import itk
import numpy as np
import scipy.linalg
import scipy.ndimage
import SimpleITK as sitk
import torch
from _costs import rounded, write
from scenes import IMAGES, KINDS, blob, pair, photograph, simpleitk_method
from tqdm import tqdm
from volume import halved, head

from regtools import register
from regtools.images import Domain

DRAWS = 8
NAMES = {"microscopy": ("cell", "immunohistochemistry"), "retina": ("retina", "microaneurysms")}
CONTRASTS = {
    "inverted": lambda grey: grey.max() - grey,
    "folded": lambda grey: 2 * np.abs(grey - np.median(grey[grey > 0.05 * grey.max()])),
}


def turned(volume, rng):
    """A head at half its resolution, what a random map shows of it, and the map, in voxels."""
    turn = scipy.linalg.expm(np.cross(np.eye(3), rng.uniform(-0.15, 0.15, 3)))
    A = turn * rng.uniform(0.93, 1.07, 3)
    middle = (np.array(volume.shape) - 1) / 2
    shift = rng.uniform(-2, 2, 3)
    reference = scipy.ndimage.affine_transform(volume, A, middle + shift - A @ middle, order=3)
    # From centres of voxels to corners of the box, as this package counts.
    b = middle + shift - A @ middle + 0.5 - A @ np.full(3, 0.5)
    return [one + rng.normal(0, 2, one.shape) for one in (volume, reference)], A, b


def pairs(kind, volume):
    """Pairs of one kind: both pictures, A and b."""
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, 11])
        if "head" in kind:
            images, A, b = turned(volume, rng)
        else:
            names = NAMES.get(kind, IMAGES)
            shown = photograph(names[draw % len(names)])
            shown = shown * blob(rng) if kind == KINDS[1] else shown
            images, A, b = pair(shown, 15, rng)
        for name, changed in CONTRASTS.items():
            if name in kind:
                images[1] = changed(images[1])
        yield images, A, b


def by_regtools(distance):
    """This package; all else is left to it."""

    def find(template, reference):
        domain = Domain([end for n in reference.shape for end in (0, n)], reference.shape)
        images = (torch.from_numpy(one.copy()) for one in (template, reference))
        d = reference.ndim
        # Turns in space are dear with gradient fields, and the peers start from the centre too.
        start = "identity" if d == 3 and distance == "ngf" else "auto"
        found = register(*images, domain=domain, distance=distance, start=start)
        w = found.w.numpy()
        return w[: d * d].reshape(d, d), w[d * d :]

    return find


def corners(function, d):
    """A and b of a map of ITK's points, which are pixels here, in this package's way to count."""
    ends = [np.array(function(list(map(float, p)))) for p in [np.zeros(d), *np.eye(d)]]
    A = np.stack([end - ends[0] for end in ends[1:]], axis=1)
    return A, ends[0] + 0.5 - A @ np.full(d, 0.5)


def by_simpleitk(metric):
    """SimpleITK, with mean squares or mutual information."""

    def find(template, reference):
        d = reference.ndim
        fixed, moving = (sitk.GetImageFromArray(one.T) for one in (reference, template))
        kind = sitk.CenteredTransformInitializerFilter.GEOMETRY
        start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(d), kind)
        method = simpleitk_method(start)
        if metric == "mi":
            method.SetMetricAsMattesMutualInformation(50)
        return corners(method.Execute(fixed, moving).TransformPoint, d)

    return find


def by_elastix(template, reference):
    """elastix, its default rigid and affine maps."""
    d = reference.ndim
    fixed, moving = (
        itk.GetImageFromArray(np.ascontiguousarray(one.T).astype(np.float32))
        for one in (reference, template)
    )
    maps = itk.ParameterObject.New()
    for kind in ("rigid", "affine"):
        maps.AddParameterMap(itk.ParameterObject.GetDefaultParameterMap(kind))
    _, found = itk.elastix_registration_method(fixed, moving, maps, log_to_console=False)
    A, b = np.eye(d), np.zeros(d)
    for k in range(found.GetNumberOfParameterMaps()):  # the last one is applied first
        one = found.GetParameterMap(k)
        numbers = np.array(one["TransformParameters"], float)
        centre = np.array(one["CenterOfRotationPoint"], float)
        if one["Transform"][0] == "AffineTransform":
            R, shift = numbers[: d * d].reshape(d, d), numbers[d * d :]
        elif d == 2:
            c, s = np.cos(numbers[0]), np.sin(numbers[0])
            R, shift = np.array([[c, -s], [s, c]]), numbers[1:]
        else:
            euler = sitk.Euler3DTransform((0, 0, 0), *numbers[:3])
            R, shift = np.reshape(euler.GetMatrix(), (3, 3)), numbers[3:]
        # T(x) = R (x − c) + c + t, after what has been found before: x ↦ T₀(T₁(x)).
        here = centre + shift - R @ centre
        A, b = A @ R, A @ here + b
    return A, b + 0.5 - A @ np.full(d, 0.5)


METHODS = {
    "regtools": by_regtools("ncc"),
    "regtools, ngf": by_regtools("ngf"),
    "SimpleITK, squares": by_simpleitk("squares"),
    "SimpleITK, mi": by_simpleitk("mi"),
    "elastix": by_elastix,
}


def measure(kind, volume):
    """Failures, median error of what is found, and median CPU seconds, by method."""
    off, spent = {name: [] for name in METHODS}, {name: [] for name in METHODS}
    for images, A, b in tqdm(pairs(kind, volume), total=DRAWS, desc=kind):
        x = np.argwhere(np.ones(images[1].shape)) + 0.5
        for name, find in METHODS.items():
            start = time.process_time()
            try:
                found, shift = find(*images)
                gap = np.linalg.norm(x @ (found - A).T + shift - b, axis=1).mean()
            except RuntimeError:  # a peer gives up
                gap = np.inf
            spent[name].append(time.process_time() - start)
            off[name].append(gap)
    rows = {}
    for name, gaps in off.items():
        good = [gap for gap in gaps if gap < 1]
        rows[name] = {
            "failures": len(gaps) - len(good),
            "error": rounded(float(np.median(good))) if good else None,
            "seconds": rounded(float(np.median(spent[name]))),
        }
    return rows


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", help="nilearn's wheel, which holds the head")
    kinds = [
        KINDS[1],
        KINDS[0],
        "microscopy",
        "retina",
        "photographs, inverted",
        "photographs, folded",
        "head",
        "head, folded",
    ]
    parser.add_argument("--kinds", nargs="+", default=kinds, choices=kinds)
    parser.add_argument("--write", action="store_true", help="put it into book/costs.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    volume = halved(halved(head(options.wheel)).numpy()).numpy()
    volume *= 255 / volume.max()
    small = np.random.default_rng(0).random((12, 12)), np.random.default_rng(1).random((12, 12))
    METHODS["regtools"](*small)  # what is compiled at the first call is not counted
    table = {}
    for kind in options.kinds:
        table[kind] = measure(kind, volume)
        print(kind, table[kind], flush=True)
    print(f"failures of {DRAWS}, median error in pixels, median CPU seconds")
    print(f"{'':22s}" + "".join(f"{name:>22s}" for name in METHODS))
    for kind, rows in table.items():
        print(f"{kind:22s}", end="")
        for row in rows.values():
            error = "–" if row["error"] is None else f"{row['error']:.3f}"
            print(f"{row['failures']:8d} {error:>6s} {row['seconds']:6.2f}", end="")
        print()
    if options.write:
        write({"peers": {"pairs": DRAWS, "kinds": table}})


if __name__ == "__main__":
    main()
