"""A drawn pair of hands that look like X-ray images, for `datasets.load("hands-phantom")`.

The hand lives in its own frame: origin at the middle of the wrist, first axis away from the thumb,
second axis towards the fingertips, lengths in the units of the domain.  Every part is a capsule
whose radius varies along its axis.  A pose says how each bone is turned and where the hand lies.
The brightness is that of a film: span * (1 - exp(-attenuation)).
"""

from dataclasses import dataclass

import numpy as np

OMEGA = (0.0, 20.0, 0.0, 25.0)
SQUARE = (0.0, 25.0, 0.0, 25.0)
SPAN = 244.0  # grey value of a ray that is fully absorbed; the background is 0
TISSUE, BONE = 0.52, 1.35  # attenuation of a part at full thickness
TISSUE_DEPTH = 1.3  # distance from the skin at which tissue has its full thickness
BLEND = 0.2  # width of the smooth union of tissue, which makes the webs between fingers
CUT, CUT_WIDTH = -2.7, 0.3  # where the forearm ends, and how softly
TILE = 128  # samples a side that are drawn together


@dataclass(frozen=True)
class Digit:
    """A chain of bones: where it starts, their lengths, and half-widths at the joints."""

    base: tuple
    lengths: tuple
    bone: float  # half-width of the thickest end
    tissue: tuple  # from the base of the digit to its tip


DIGITS = (
    Digit((-2.0, 2.35), (4.0, 3.0, 2.3), 0.58, (1.35, 1.05, 0.88, 0.62)),
    Digit((-1.3, 3.0), (5.2, 4.2, 2.6, 2.0), 0.62, (1.35, 1.10, 0.88, 0.78, 0.58)),
    Digit((-0.4, 3.1), (5.4, 4.7, 3.0, 2.1), 0.64, (1.35, 1.10, 0.92, 0.80, 0.60)),
    Digit((0.5, 3.0), (5.1, 4.3, 2.8, 2.1), 0.60, (1.35, 1.10, 0.86, 0.76, 0.58)),
    Digit((1.3, 2.7), (4.8, 3.4, 2.0, 1.8), 0.54, (1.35, 1.05, 0.76, 0.66, 0.52)),
)
GAP = 0.06  # half the gap between two bones that shows as a joint
# Bones of a digit: half-widths (start, middle, end) relative to its thickest end, then how far
# the two end caps stick out, relative to their half-width (1 is round, 0 is flat).
PROFILES = (
    ((0.80, 0.48, 1.0), (0.4, 0.8)),
    ((0.95, 0.52, 0.74), (0.3, 0.5)),
    ((0.78, 0.46, 0.60), (0.3, 0.5)),
    ((0.66, 0.30, 0.40), (0.3, 0.6)),
)
WRIST = (  # start, end, half-widths of radius and ulna, then of the carpal bones
    ((-0.95, -6.0), (-0.85, -0.65), (0.50, 0.50, 0.98)),
    ((1.30, -6.0), (1.25, -0.70), (0.38, 0.38, 0.55)),
    ((-1.25, 0.50), (-1.75, 1.15), (0.56, 0.48, 0.46)),
    ((-0.20, 0.30), (0.00, 0.50), (0.56, 0.54, 0.52)),
    ((0.95, 0.55), (1.30, 0.85), (0.52, 0.50, 0.44)),
    ((1.70, 0.40), (1.75, 0.55), (0.30, 0.30, 0.30)),
    ((-2.20, 2.00), (-2.00, 2.10), (0.44, 0.44, 0.44)),
    ((-1.20, 2.15), (-1.18, 2.30), (0.42, 0.42, 0.44)),
    ((-0.30, 1.40), (-0.30, 2.30), (0.50, 0.42, 0.46)),
    ((0.75, 1.65), (0.85, 2.10), (0.48, 0.48, 0.54)),
)


@dataclass(frozen=True)
class Pose:
    """Turn of the hand, place of the wrist, direction of every bone (degrees, to the thumb)."""

    rotation: float  # degrees, counter-clockwise
    wrist: tuple
    bones: tuple


REFERENCE = Pose(
    0.0,
    (10.8, 4.7),
    (
        (50, 41, 31),
        (16, 5, 3, 2),
        (3, 0, 0, -1),
        (-9, -6, -5, -4),
        (-22, -13, -10, -8),
    ),
)
TEMPLATE = Pose(
    155.0,
    (13.6, 20.0),
    (
        (39, 22, 12),
        (18, 13, 11, 8),
        (4, 3, 3, 2),
        (-10, -11, -12, -10),
        (-25, -28, -25, -22),
    ),
)


def _random_pose(rng):
    """A hand with its middle near that of `SQUARE`, turned anyhow, its bones by a few degrees."""
    rotation = rng.uniform(-180, 180)
    angle = np.radians(rotation)
    up = np.array([-np.sin(angle), np.cos(angle)])  # from the wrist to the fingertips
    bones = tuple(
        tuple(float(one + rng.uniform(-8, 8)) for one in digit) for digit in REFERENCE.bones
    )
    return Pose(float(rotation), tuple((12.5 - 6.0 * up).tolist()), bones)


def drawn_hand(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return a hand in a random pose, drawn as that of ``load("hands-phantom")``.

    Parameters
    ----------
    n : int
        Cells along each axis of the square picture.
    rng : numpy.random.Generator
        Turns the hand, and each bone by up to eight degrees.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, n)``, grey values 0 to 255, black around the hand.

    References
    ----------
    *The atlas*.
    """
    return render((n, n), _random_pose(rng), SQUARE)


def render(m, pose, omega=OMEGA):
    """Draw the hand in a pose on a box; (m0, m1) array of cell averages, grey 0..255."""
    # sub-samples: enough for a true average in coarse cells, still two a side in fine ones
    s = [max(2, -(-384 // n)) for n in m]
    x, y = (
        lo + (hi - lo) * (np.arange(n * k) + 0.5) / (n * k)
        for lo, hi, n, k in zip(omega[::2], omega[1::2], m, s, strict=True)
    )
    c, t = np.cos(np.radians(pose.rotation)), np.sin(np.radians(pose.rotation))
    x, y = x[:, None] - pose.wrist[0], y[None, :] - pose.wrist[1]
    chains = [_joints(d, angles) for d, angles in zip(DIGITS, pose.bones, strict=True)]
    grey = np.zeros((len(x), y.shape[1]))
    for i in range(0, len(x), TILE):
        for j in range(0, y.shape[1], TILE):
            u, v = x[i : i + TILE], y[:, j : j + TILE]
            points = np.stack([c * u + t * v, -t * u + c * v], axis=-1)
            if _near(points, chains):
                grey[i : i + TILE, j : j + TILE] = _film(points, chains)
    return grey.reshape(m[0], s[0], m[1], s[1]).mean(axis=(1, 3))


def _near(points, chains):
    """Whether a tile may hold tissue: a slope of the depth is at most two."""
    middle = points[points.shape[0] // 2, points.shape[1] // 2]
    reach = np.hypot(*(points - middle).reshape(-1, 2).T).max()
    return _tissue_depth(middle, chains) > -2 * reach


def _film(points, chains):
    """Grey value at points (..., 2) given in the frame of the hand."""
    depth = _tissue_depth(points, chains)
    grey = np.zeros(depth.shape)
    if not (depth > 0).any():
        return grey
    inside = depth > 0  # only a quarter of the picture: bones are drawn there alone
    points, depth = points[inside], np.minimum(depth[inside] / TISSUE_DEPTH, 1)
    attenuation = TISSUE * np.sqrt(1 - (1 - depth) ** 2) * _texture(points, seed=1, size=3.0)
    bones = sum(_bone(points, *bone) for bone in _bones(chains))
    attenuation += BONE * bones * _texture(points, seed=2, size=0.6)
    step = np.clip((points[:, 1] - CUT) / CUT_WIDTH, 0, 1)
    attenuation *= step**2 * (3 - 2 * step)
    grey[inside] = SPAN * (1 - np.exp(-attenuation))
    return grey


def _joints(digit, angles):
    """Positions of the joints of a digit, base to tip."""
    angles = np.radians(angles)
    steps = np.stack([-np.sin(angles), np.cos(angles)], axis=-1) * np.array(digit.lengths)[:, None]
    return np.vstack([digit.base, digit.base + np.cumsum(steps, axis=0)])


def _axis(points, start, end):
    """Position along the axis (unbounded; 0 start, 1 end), its length, distance to its line."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = np.hypot(*(end - start))
    u = (end - start) / length
    x, y = points[..., 0] - start[0], points[..., 1] - start[1]
    return (x * u[0] + y * u[1]) / length, length, np.abs(x * u[1] - y * u[0])


def _tissue_depth(points, chains):
    """Depth below the skin: smooth union of capsules whose radius changes linearly."""
    parts = [((0.1, -6.0), (0.1, 0.0), 2.2, 2.2)]
    for digit, joints in zip(DIGITS, chains, strict=True):
        parts += zip(joints[:-1], joints[1:], digit.tissue[:-1], digit.tissue[1:], strict=True)
        parts.append(((0.55 * joints[0, 0], 0.6), joints[0], 1.7, 1.3))
    # the web of skin between thumb and index finger
    parts.append((chains[0][0] * 0.4 + chains[0][1] * 0.6, chains[1][:2].mean(axis=0), 0.9, 0.9))
    total = 0.0
    for start, end, r0, r1 in parts:
        s, length, side = _axis(points, start, end)
        inner = np.clip(s, 0, 1)
        distance = np.hypot(side, (s - inner) * length) - (r0 + (r1 - r0) * inner)
        total = total + np.exp(-distance / BLEND)
    return BLEND * np.log(total)


def _bones(chains):
    """Axis, half-widths and caps of every bone."""
    for start, end, widths in WRIST:
        # blunt where radius and ulna meet the wrist, round carpal bones
        yield start, end, widths, (0.3, 0.3) if start[1] < CUT else (1.0, 1.0)
    for digit, joints in zip(DIGITS, chains, strict=True):
        # a thumb has no middle phalanx
        profiles = PROFILES if len(digit.lengths) == 4 else PROFILES[:2] + PROFILES[3:]
        for start, end, (widths, caps) in zip(joints[:-1], joints[1:], profiles, strict=True):
            widths = digit.bone * np.array(widths)
            u = (end - start) / np.hypot(*(end - start))
            room = np.array(caps) * widths[[0, 2]] + GAP
            yield start + room[0] * u, end - room[1] * u, widths, caps


def _bone(points, start, end, widths, caps):
    """Thickness of a bone: a waisted tube with hollow shaft and rounded ends."""
    s, length, side = _axis(points, start, end)
    # Most points are far from most bones.
    thickness = np.zeros(len(points))
    around = (side < max(widths)) & (np.abs(s - 0.5) * length < length / 2 + max(widths))
    s, side = s[around], side[around]
    t = np.clip(s, 0, 1)
    beyond = (s - t) * length / np.where(s < 0.5, *caps)
    flare = np.abs(2 * t - 1) ** 2
    radius = widths[1] + (np.where(t < 0.5, widths[0], widths[2]) - widths[1]) * flare
    q = np.hypot(side, beyond) / radius
    # the marrow fills the shaft and gives way to dense bone where the ends widen
    hollow = 0.58 * (widths[1] / radius) ** 2
    solid, marrow = (np.sqrt(np.clip(1 - v**2, 0, None)) for v in (q, q / 0.75))
    thickness[around] = np.sqrt(radius / 0.5) * (solid - hollow * marrow)
    return thickness


def _texture(points, seed, size, n=12, contrast=0.035):
    """Smooth factor around 1: a few seeded waves, the same at every resolution."""
    rng = np.random.default_rng(seed)
    angle, phase = rng.uniform(0, 2 * np.pi, (2, n))
    k = 2 * np.pi / (size * rng.uniform(0.7, 1.6, n))
    waves = (
        np.sin(ki * (points[..., 0] * np.cos(a) + points[..., 1] * np.sin(a)) + p)
        for ki, a, p in zip(k, angle, phase, strict=True)
    )
    return 1 + contrast * sum(waves)
