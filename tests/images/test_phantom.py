"""The drawn pair: sharp at every resolution, upright, and no affine map solves it."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize

from regtools.images import _phantom, load


def hands(m=None):
    pair = load("hands-phantom", m)
    return pair.template, pair.reference


def block_mean(data, m):
    m0, m1 = m
    return data.reshape(m0, data.shape[0] // m0, m1, data.shape[1] // m1).mean(axis=(1, 3))


@pytest.mark.parametrize(("fine", "coarse"), [((128, 128), (32, 32)), ((250, 160), (50, 40))])
def test_phantom_is_a_cell_average_at_every_resolution(fine, coarse):
    averaged = [block_mean(a.numpy(), coarse) for a in hands(fine)]
    drawn = [b.numpy() for b in hands(coarse)]
    for a, b in zip(averaged, drawn, strict=True):
        assert np.linalg.norm(a - b) < 0.005 * np.linalg.norm(b)


@pytest.mark.parametrize("m", [(32, 32), (128, 128), (40, 90)])
def test_phantom_stays_inside_on_a_black_background(m):
    item = load("hands-phantom", m)
    x = item.domain.cell_centers().numpy()
    margin = np.minimum(x - [0, 0], [20, 25] - x).min(axis=1) < 0.8
    for data in (item.template, item.reference):
        assert data.flatten()[margin].abs().max() == 0


def test_phantom_has_the_grey_levels_of_an_x_ray():
    for data in hands():
        background = (data < 20).double().mean()
        tissue = ((data > 70) & (data < 125)).double().mean()
        bone = (data > 140).double().mean()
        assert 0.5 < background < 0.8
        assert 0.05 < tissue < 0.3
        assert 0.05 < bone < 0.2
        assert 200 < data.max() < 240


@pytest.mark.parametrize(("height", "runs"), [(2.6, 1), (8.0, 1), (14.0, 2), (19.0, 4), (22.5, 1)])
def test_phantom_reference_stands_upright(height, runs):
    """Along a horizontal line: wrist, palm, thumb and palm, four fingers, one fingertip."""
    item = load("hands-phantom", 256)
    j = int(height / item.domain.h[1])
    line = item.reference[:, j] > 20
    found = int(line[0]) + int((line[1:] & ~line[:-1]).sum())
    assert found == runs


def test_phantom_thumb_is_on_the_left():
    reference = load("hands-phantom", 256).reference
    left, right = reference[:50, 128:192], reference[-50:, 128:192]  # the outer fifths
    assert left.max() > 100
    assert right.max() < 20


def relative_residual(w, template, reference):
    """||T(A x + b) - R|| / ||R|| on [0, 20] x [0, 25], linear interpolation."""
    h = np.array([20, 25]) / template.shape
    # index i stands for the point (i + 1/2) h, so the map is conjugated with that
    matrix = np.diag(1 / h) @ w[:4].reshape(2, 2) @ np.diag(h)
    offset = w[4:] / h + matrix @ [0.5, 0.5] - 0.5
    warped = scipy.ndimage.affine_transform(template, matrix, offset, order=1)
    return (warped - reference).ravel() / np.linalg.norm(reference)


def best_affine(template, reference, start):
    """Coarse to fine: blurred images first, so that a good start finds its way."""
    w = start
    for sigma in (1.5, 0.0):
        args = [scipy.ndimage.gaussian_filter(a, sigma) for a in (template, reference)]
        w = scipy.optimize.least_squares(
            relative_residual, w, args=args, x_scale=[0.1] * 4 + [1] * 2, diff_step=1e-3
        ).x
    return np.linalg.norm(relative_residual(w, template, reference))


def test_no_affine_map_solves_the_phantom_but_the_rotation_helps():
    m = (40, 50)
    angle = np.radians(155)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array(_phantom.TEMPLATE.wrist) - turn @ _phantom.REFERENCE.wrist
    rotation = np.append(turn.ravel(), shift)
    identity = np.array([1.0, 0, 0, 1, 0, 0])
    pair = load("hands-phantom", m)
    template, reference = pair.template.numpy(), pair.reference.numpy()

    # control: the same pose, only turned, is solved by that rotation up to interpolation
    turned = _phantom.render(
        m, dataclasses.replace(_phantom.TEMPLATE, bones=_phantom.REFERENCE.bones)
    )
    control = np.linalg.norm(relative_residual(rotation, turned, reference))
    at_identity = np.linalg.norm(relative_residual(identity, template, reference))
    at_rotation = np.linalg.norm(relative_residual(rotation, template, reference))
    # start also a little beside the rotation, so that the bound does not hang on one local minimum
    rng = np.random.default_rng(0)
    starts = [rotation] + [
        rotation + rng.normal(size=6) * [0.08, 0.08, 0.08, 0.08, 0.8, 0.8] for _ in range(4)
    ]
    best = min(best_affine(template, reference, w) for w in starts)

    assert control < 0.15
    assert best < 0.7 * at_identity
    assert best < at_rotation
    assert best > 2 * control
    assert best > 0.3
