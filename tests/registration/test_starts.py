"""The starts of a registration: features, moments, angles, the turns of a cube."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from moved_pairs import BOX, FINE, drawn, off, smooth, task, turn
from regtools import Affine, load, register
from regtools.images import Domain
from regtools.registration import (
    NoStartError,
    angle_starts,
    feature_starts,
    identity_starts,
    moment_starts,
    starts,
)


def test_features_give_the_map_in_units_of_the_domain():
    small = Domain((0.0, 64.0, -7.0, 73.0), (64, 80))  # square cells: SIFT sees similarities
    big = load("camera", (192, 240)).data.numpy()
    A, b = turn(70, (1.03, 1.03), (1.0, 0.5), small)
    places = ((small.cell_centers().numpy() @ A.T + b) - small.lower) - 0.5 + small.m
    reference = scipy.ndimage.map_coordinates(big, places.T, order=3).reshape(small.m)
    pair = [torch.from_numpy(one.copy()) for one in (big[64:128, 80:160], reference)]
    w0 = feature_starts(task(pair, small, surround="overlap"))
    assert w0.shape == (1, 6) and off(w0[0], A, b, small) < 1
    stretched = Domain((1.0, 33.0, 5.0, 25.0), (64, 80))  # the same pixels, 0.5 x 0.25
    w0 = feature_starts(task(pair, stretched, surround="overlap"))
    S, corner = np.diag(np.divide(stretched.h, small.h)), np.array(stretched.lower)
    A2 = S @ A @ np.linalg.inv(S)
    b2 = corner + S @ (A @ small.lower + b - small.lower) - A2 @ corner
    assert off(w0[0], A2, b2, stretched) < 1


WIDE = Domain((0.0, 50.0, 1.0, 22.0), (25, 30))


def test_pixels_are_counted_from_the_centre_of_the_first_cell():
    P, t = turn(30)[0], np.array([3.0, -2.0])
    w = starts._from_pixels(torch.from_numpy(P), torch.from_numpy(t), BOX, WIDE).numpy()
    k = np.array([[0.0, 0.0], [5.0, 7.0], [20.0, 3.0]])
    x = BOX.lower + (k + 0.5) * BOX.h
    y = WIDE.lower + (k @ P.T + t + 0.5) * WIDE.h
    np.testing.assert_allclose(x @ w[:4].reshape(2, 2).T + w[4:], y, rtol=1e-12)


def test_matches_that_do_not_agree_are_reported(half_a_turn, monkeypatch):
    monkeypatch.setattr(starts, "AGREE", 0.0)
    with pytest.raises(NoStartError, match=r"only 0 of \d+ matches agree"):
        feature_starts(task(half_a_turn))


def test_what_features_lack_is_reported():
    pair = smooth()
    with pytest.raises(NoStartError, match=r"match|features"):
        feature_starts(task(pair))
    found = register(*pair, domain=BOX, start=("features", "identity"), thetas=[1.0])
    assert found.success and [one.name for one in found.starts] == ["features", "identity"]
    first = found.starts[0]
    assert first.w0 is None and first.status is None and first.path is None and first.message
    with pytest.raises(ValueError, match="start must name a start that these images have"):
        register(*pair, domain=BOX, start="features")


@pytest.mark.parametrize("degrees", [0, 40, 130, 220, 310])
def test_moments_of_a_moved_object_give_the_map(degrees):
    A, b = turn(degrees, (1.1, 1.1), (0.5, -0.5))
    found = moment_starts(task(drawn(A, b)))
    assert found.shape == (2, 6)
    assert min(off(w0, A, b) for w0 in found) < 1
    first, second = (w0[:4].reshape(2, 2) for w0 in found)
    torch.testing.assert_close(first, -second)
    bright = [250 - data for data in drawn(A, b)]  # dark on white
    torch.testing.assert_close(moment_starts(task(bright)), found)


def test_angles_turn_about_the_centre():
    found, pair = angle_starts(task(drawn(*turn(0))), 5), drawn(*turn(0))
    for k, w0 in enumerate(found):
        assert off(w0, *turn(72 * k)) < 1e-12
    assert angle_starts(task(pair)).shape == (12, 6)
    assert torch.equal(identity_starts(task(pair))[0], found[0])
    with pytest.raises(ValueError, match="n must be a whole number from 1; got 0"):
        angle_starts(task(pair), 0)


CUBE = Domain((4.0, 24.0, -3.0, 17.0, -4.0, 16.0), (18, 20, 16))


def space():
    """Spots in space, turned by 170 degrees about an oblique axis."""
    rotation = scipy.spatial.transform.Rotation.from_rotvec(np.radians(170) * np.ones(3) / 3**0.5)
    A, centre = rotation.as_matrix(), np.add(CUBE.lower, CUBE.upper) / 2
    b = centre - A @ centre
    return drawn(A, b, CUBE), A, b


def test_space_is_registered_by_moments():
    pair, A, b = space()
    found = register(*pair, domain=CUBE, start="moments", thetas=FINE[1:])
    assert len(found.starts) == 4 and found.misfit < 1e-3 and found.surround == "zero"
    assert off(found.w, A, b, CUBE) < 0.05
    lost = register(*pair, domain=CUBE, start="identity", thetas=FINE[1:])
    assert off(lost.w, A, b, CUBE) > 1
    with pytest.raises(NoStartError, match="2 axes only; got 3"):
        feature_starts(found.problem)


def test_the_turns_of_a_cube():
    pair, *_ = space()
    found = angle_starts(task(pair, CUBE))
    matrices = {tuple(w0[:9].tolist()) for w0 in found}
    assert len(matrices) == 24
    centre = torch.tensor(np.add(CUBE.lower, CUBE.upper)[None] / 2)
    for w0 in found:
        A = w0[:9].reshape(3, 3)
        torch.testing.assert_close(A @ A.T, torch.eye(3, dtype=torch.float64))
        assert float(torch.linalg.det(A)) == pytest.approx(1)
        torch.testing.assert_close(Affine(3)(w0, centre), centre)
