"""Register photographs, and objects on black cut out of them: how often is the map found?

    python benchmarks/scenes.py [--maps N] [--kind photographs] [--methods register ...]

Eight photographs of scikit-image, N maps each (6 by default) in three ranges of rotation, scales
0.9 to 1.1, shifts up to 4 of 64 pixels, noise of two grey values. A photograph goes on outside
its box; an object is what a soft blob shows of it, and all else is black. Found means that
the mapped points are off by less than a pixel in the mean. Beside this package: SIFT and RANSAC of
scikit-image, and SimpleITK where it is installed.
"""

import argparse
import time
import warnings

import numpy as np
import scipy.ndimage
import skimage.color
import skimage.data
import skimage.feature
import skimage.measure
import skimage.transform
import torch
from tqdm import tqdm

from regtools import Affine, RegistrationProblem, SplineImage, predictor_corrector, register
from regtools.atlas import outline, random_map
from regtools.images import Domain

IMAGES = ("camera", "astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "cat")
RANGES = (15, 45, 180)
KINDS = ("photographs", "objects on black")
M = 64
DOMAIN = Domain((0, M, 0, M), (M, M))
THETAS = np.geomspace(1000, 0.01, 11)


def photograph(name):
    """Three boxes wide and high, grey values 0 to 255."""
    picture = getattr(skimage.data, name)()
    if picture.ndim == 3:
        picture = 255 * skimage.color.rgb2gray(picture)
    side = min(picture.shape)
    picture = picture[:side, :side].astype(float)
    options = {"anti_aliasing": True, "preserve_range": True}
    return skimage.transform.resize(picture, (3 * M, 3 * M), **options).T


def blob(rng):
    """One inside a random smooth outline about the middle, zero outside, as wide as a picture."""
    return outline(M, rng)


def pair(picture, degrees, rng):
    """The middle of a photograph, what a random map shows of it, and the map."""
    A, b = random_map(rng, M, degrees, stretch=0.1, shift=4.0)
    x = DOMAIN.cell_centers().numpy()
    reference = scipy.ndimage.map_coordinates(picture, (x @ A.T + b + M - 0.5).T, order=3)
    images = picture[M : 2 * M, M : 2 * M], reference.reshape(M, M)
    return [image + rng.normal(0, 2, (M, M)) for image in images], A, b


def by_path(surround):
    """This package, over scales from the identity."""

    def follow(template, reference):
        images = [
            SplineImage(torch.from_numpy(data.copy()), DOMAIN) for data in (template, reference)
        ]
        problem = RegistrationProblem(*images, Affine(2), surround=surround)
        w = predictor_corrector(problem, THETAS, problem.identity()).w.numpy()
        return w[:4].reshape(2, 2), w[4:]

    return follow


def by_register(distance):
    """This package, which chooses start and surround."""

    def follow(template, reference):
        images = (torch.from_numpy(data.copy()) for data in (template, reference))
        w = register(*images, domain=DOMAIN, distance=distance).w.numpy()
        return w[:4].reshape(2, 2), w[4:]

    return follow


def by_features(template, reference):
    """SIFT and RANSAC of scikit-image."""
    found = []
    for data in (template, reference):
        sift = skimage.feature.SIFT()
        sift.detect_and_extract(np.clip(data, 0, 255) / 255)
        found.append((sift.keypoints, sift.descriptors))
    (there, one), (here, two) = found
    matches = skimage.feature.match_descriptors(one, two, max_ratio=0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, _ = skimage.measure.ransac(
            (here[matches[:, 1]], there[matches[:, 0]]),
            skimage.transform.AffineTransform,
            min_samples=3,
            residual_threshold=1.5,
            max_trials=2000,
            rng=0,
        )
    A = model.params[:2, :2]
    return A, model.params[:2, 2] + 0.5 - A @ np.full(2, 0.5)


def simpleitk_method(start):
    """What finds a map by mean squares from a start: three levels, regular steps."""
    import SimpleITK

    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    # Plain gradient descent, as in the notebooks, runs away on these pictures.
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 300)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInterpolator(SimpleITK.sitkLinear)
    return method


def by_simpleitk(template, reference):
    """SimpleITK: mean squares, moments, three levels, regular steps."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    fixed, moving = (SimpleITK.GetImageFromArray(data.T) for data in (reference, template))
    start = SimpleITK.CenteredTransformInitializer(
        fixed,
        moving,
        SimpleITK.AffineTransform(2),
        SimpleITK.CenteredTransformInitializerFilter.MOMENTS,
    )
    found = simpleitk_method(start).Execute(fixed, moving)
    ends = [np.array(found.TransformPoint(p)) for p in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))]
    A = np.stack([ends[1] - ends[0], ends[2] - ends[0]], axis=1)
    return A, ends[0] + 0.5 - A @ np.full(2, 0.5)


def measure(methods, n_maps, kind):
    """Errors in pixels and CPU seconds of every pair, by method and range of rotation."""
    off = {(name, degrees): [] for name in methods for degrees in RANGES}
    spent = {name: [] for name in methods}
    x = DOMAIN.cell_centers().numpy()
    for k, image in enumerate(tqdm(IMAGES, desc=kind)):
        picture = photograph(image)
        for degrees in RANGES:
            rng = np.random.default_rng([k, degrees])
            for _ in range(n_maps):
                shown = picture if kind == KINDS[0] else picture * blob(rng)
                images, A, b = pair(shown, degrees, rng)
                for name, method in methods.items():
                    start = time.process_time()
                    try:
                        found, shift = method(*images)
                        gap = np.linalg.norm(x @ (found - A).T + shift - b, axis=1).mean()
                    except Exception:  # too few features, or a peer gives up: not found
                        gap = np.inf
                    spent[name].append(time.process_time() - start)
                    off[name, degrees].append(gap)
    return off, spent


def main():
    """Print how many maps are found, how far off those are, and what a pair costs."""
    methods = {
        "path, zero outside": by_path("zero"),
        "path, overlap": by_path("overlap"),
        "register": by_register("ncc"),
        "register, ssd": by_register("ssd"),
        "SIFT and RANSAC": by_features,
    }
    try:
        import SimpleITK  # noqa: F401

        methods["SimpleITK"] = by_simpleitk
    except ModuleNotFoundError:
        print("SimpleITK is not installed and left out")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=6)
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--methods", choices=methods, nargs="+", default=list(methods))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    methods = {name: methods[name] for name in asked.methods}
    by_path("zero")(*pair(photograph("camera"), 15, np.random.default_rng(0))[0])  # compiles
    for kind in asked.kind:
        off, spent = measure(methods, asked.maps, kind)
        print(f"{kind}: found, of {len(IMAGES) * asked.maps} (median error of these in pixels)")
        ranges = "".join(f"{degrees:>15d}°" for degrees in RANGES)
        print(f"rotation up to      {ranges}  CPU seconds, median")
        for name in methods:
            print(f"{name:20s}", end="")
            for degrees in RANGES:
                gaps = np.array(off[name, degrees])
                good = gaps[gaps < 1]
                median = f"{np.median(good):.3f}" if len(good) else "–"
                print(f"{len(good):8d} ({median})", end="")
            print(f"{np.median(spent[name]):12.2f}")


if __name__ == "__main__":
    main()
