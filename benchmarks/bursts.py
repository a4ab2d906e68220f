"""Super-resolution of frames made without this package: is it better than enlarging one frame?

    python benchmarks/bursts.py [--images N] [--stages | --times]

Eight frames of 32 × 32 pixels of a photograph, image 64 × 64: turns up to 5°, scales 0.97 to 1.03,
shifts up to 1.5 pixels of a frame. The picture either goes on outside the frames or is black
there. SciPy samples the photograph, four times as fine as the image, and averages. Cases: clean;
noise of 5 % of the range; brightness of each frame off by up to 10 %; blur of half a frame pixel;
one frame of another photograph. Printed: the error over the box of frame 0, relative, in percent.

Beside `super_resolve` stand frame 0 enlarged by bicubic interpolation, and shift and add: all
frames, enlarged, moved back with the maps that `register_frames` finds, averaged. With --stages:
frames that are registered, then combined, beside the true maps, λ from cross-validation, where the
picture goes on; `super_resolve` is in the first table. With --times: the seconds that
`super_resolve` takes for eight clean frames of several sizes, which turn and stretch, or only
shift.
"""

import argparse
import time

import numpy as np
import scipy.ndimage
import skimage.color
import skimage.data
import skimage.transform
import torch
from tqdm import tqdm

from regtools import SuperResolutionProblem, register_frames, super_resolve
from regtools.atlas import FINE, blocks, combined, enlarged, frame, random_map, shift_and_add
from regtools.images import Domain

IMAGES = ("camera", "astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "cat")
CASES = ("clean", "noise", "gain", "blur", "foreign")
M, FACTOR, FRAMES = 64, 2, 8
DOMAIN = Domain((0, M, 0, M), (M, M))


def photograph(name, m=M):
    """Two and a half boxes wide and high, `FINE` samples along each cell, grey values 0 to 1."""
    picture = getattr(skimage.data, name)()
    picture = skimage.color.rgb2gray(picture) if picture.ndim == 3 else picture / 255
    side, fine = min(picture.shape), 5 * m * FINE // 2
    return skimage.transform.resize(picture[:side, :side], (fine, fine), anti_aliasing=True).T


def cut(picture, surround):
    """The fine picture with what lies outside the box of frame 0 as it is, or black."""
    if surround == "real":
        return picture
    first, last = (len(picture) - M * FINE) // 2, (len(picture) + M * FINE) // 2
    black = np.zeros_like(picture)
    black[first:last, first:last] = picture[first:last, first:last]
    return black


def small_map(rng, m=M):
    """A small turn, two scales and a shift about the centre of the box."""
    return random_map(rng, m, degrees=5.0, stretch=0.03, shift=1.5 * FACTOR)


def burst(name, surround, case, foreign="camera", noise=0.05):
    """The frames of one photograph, the true image and the true maps."""
    rng = np.random.default_rng([IMAGES.index(name), 1])
    fine = cut(photograph(name), surround)
    middle = slice((len(fine) - M * FINE) // 2, (len(fine) + M * FINE) // 2)
    truth = blocks(fine[middle, middle], FINE)
    if case == "blur":
        fine = scipy.ndimage.gaussian_filter(fine, 0.5 * FACTOR * FINE)
    maps = [(np.eye(2), np.zeros(2))] + [small_map(rng) for _ in range(FRAMES - 1)]
    frames = np.stack([frame(fine, *one, M, FACTOR) for one in maps])
    if case == "noise":
        frames += noise * rng.standard_normal(frames.shape)
    if case == "gain":
        frames[1:] *= rng.uniform(0.9, 1.1, (FRAMES - 1, 1, 1))
    if case == "foreign":
        frames[3] = frame(cut(photograph(foreign), surround), *maps[3], M, FACTOR)
    w = np.concatenate([np.concatenate([A.ravel(), b]) for A, b in maps[1:]])
    return torch.from_numpy(frames), truth, torch.from_numpy(w)


def error(image, truth):
    """Relative, in percent."""
    return 100 * np.linalg.norm(np.asarray(image) - truth) / np.linalg.norm(truth)


def stages(images):
    """Print mean errors with registered maps and with the true ones; both stay."""
    print("case    registered, then combined   true maps")
    for case in ("clean", "noise"):
        errors = []
        for name in tqdm(images, leave=False):
            frames, truth, w_true = burst(name, "real", case)
            both = register_frames(frames, DOMAIN).w, w_true
            task = SuperResolutionProblem(frames, DOMAIN, FACTOR, 1.0, margin=10)
            errors.append([error(combined(task, w), truth) for w in both])
        registered, known = np.mean(errors, 0)
        print(f"{case:5}{registered:28.1f}{known:12.1f}", flush=True)


def times():
    """Print how long `super_resolve` takes: frames of three sizes, two kinds of motion."""
    print("frames      motion        CPU s  rounds  error")
    for side in (32, 64, 128):
        m = side * FACTOR
        fine = photograph("camera", m)
        middle = slice((len(fine) - m * FINE) // 2, (len(fine) + m * FINE) // 2)
        truth = blocks(fine[middle, middle], FINE)
        for motion in ("affine", "translation"):
            rng = np.random.default_rng([side, 2])
            maps = [(np.eye(2), np.zeros(2))] + [small_map(rng, m) for _ in range(FRAMES - 1)]
            if motion == "translation":
                maps = [(np.eye(2), FACTOR * rng.uniform(-1.5, 1.5, 2) * (k > 0)) for k in range(8)]
            shots = torch.from_numpy(np.stack([frame(fine, *one, m, FACTOR) for one in maps]))
            start = time.process_time()
            found = super_resolve(shots, FACTOR, frames_transform=motion)
            seconds = time.process_time() - start
            print(
                f"8 of {side:3d}²  {motion:11s} {seconds:7.0f} {found.n_iter:7d} "
                f"{error(found.image, truth):6.1f}",
                flush=True,
            )


def main():
    """Print mean errors for each surround and case, and on how many photographs ours is least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=len(IMAGES))
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--times", action="store_true")
    arguments = parser.parse_args()
    n_images = arguments.images
    torch.set_num_threads(1)
    if arguments.stages:
        return stages(IMAGES[:n_images])
    if arguments.times:
        return times()
    print(
        "surround case     bicubic  shift and add  super_resolve  least  CPU s  (blur: psf given)"
    )
    for surround in ("black", "real"):
        for case in CASES:
            errors, seconds, given = [], [], []
            for k, name in enumerate(tqdm(IMAGES[:n_images], leave=False)):
                frames, truth, _ = burst(name, surround, case, foreign=IMAGES[k - 1])
                start = time.process_time()
                found = super_resolve(frames, FACTOR, domain=DOMAIN)
                seconds.append(time.process_time() - start)
                w = register_frames(frames, DOMAIN).w.numpy()
                plain = frames.numpy()
                added = shift_and_add(plain, w, DOMAIN)
                images = enlarged(plain[0], M), added, found.image
                errors.append([error(image, truth) for image in images])
                if case == "blur":
                    known = super_resolve(frames, FACTOR, domain=DOMAIN, psf=0.5)
                    given.append(error(known.image, truth))
            means, least = np.mean(errors, 0), int((np.argmin(errors, 1) == 2).sum())
            extra = f"  ({np.mean(given):.1f})" if given else ""
            print(
                f"{surround:8} {case:8} {means[0]:7.1f} {means[1]:14.1f} {means[2]:14.1f} "
                f"{least:3d}/{len(errors)} {np.median(seconds):6.1f}{extra}",
                flush=True,
            )


if __name__ == "__main__":
    main()
