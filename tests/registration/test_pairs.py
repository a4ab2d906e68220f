"""Registration of a pair from several starts, against maps that SciPy or a formula has applied."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import torch

from moved_pairs import BOX, FINE, SHORT, TURNED, drawn, off, scene, smooth, turn
from regtools import Affine, NeuralODE, SplineImage, Status, load, register
from regtools.images import Domain
from regtools.registration import Registration, default_thetas


def test_half_a_turn_is_found_by_auto_and_not_by_the_identity(half_a_turn):
    found = register(*half_a_turn, domain=BOX)
    assert isinstance(found, Registration) and found.success and found.surround == "overlap"
    assert off(found.w, *TURNED) < 0.1
    assert found.status is Status.CONVERGED and found.misfit < 0.01
    lost = register(*half_a_turn, domain=BOX, start="identity")
    assert off(lost.w, *TURNED) > 5 and lost.misfit > 20 * found.misfit
    assert [one.name for one in lost.starts] == ["identity"]


def test_angles_alone_find_it_and_every_start_is_reported(half_a_turn):
    told = []
    found = register(
        *half_a_turn, domain=BOX, start=("identity", "angles"), callback=told.append, thetas=SHORT
    )
    assert found.success and off(found.w, *TURNED) < 0.1
    names = ["identity", *(f"angles {k}" for k in range(12))]
    assert [one.name for one in found.starts] == names and list(found.starts) == told
    for one in found.starts:
        assert one.w0.shape == one.w.shape == (6,) and isinstance(one.status, Status)
        loss = float(found.problem.loss(one.w, SHORT[-1]))
        assert one.loss == pytest.approx(loss, rel=1e-12) and one.n_iter > 0
        assert one.theta in SHORT
    followed = [one for one in found.starts if one.path is not None]
    assert len(followed) == 3 and found.misfit == min(one.misfit for one in followed)
    (best,) = [one for one in followed if one.path is found.path]
    assert torch.equal(best.w, found.w) and best.name in found.message
    assert best.n_iter > found.path.n_iter  # steps at the first scale count too
    assert found.n_iter == sum(one.n_iter for one in found.starts)
    assert found.history is found.path.history
    assert found.path.loss == pytest.approx(best.loss, rel=1e-7)
    assert found.misfit == pytest.approx(best.loss / (24 * 32), rel=1e-9)
    squares = register(*half_a_turn, domain=BOX, start="identity", distance="ssd", thetas=SHORT)
    variance = float(half_a_turn[1].var(correction=0))
    assert squares.misfit == pytest.approx(squares.path.loss / (24 * 32 * variance), rel=1e-9)


def test_auto_looks_no_further_where_the_first_start_is_clear():
    A, b = turn(5)
    found = register(*scene(A, b, noise=0.5), domain=BOX, thetas=SHORT)
    assert [one.name for one in found.starts] == ["identity"] and off(found.w, A, b) < 0.1


def test_auto_looks_no_further_where_features_agree_with_another_start():
    A, b = turn(8)
    found = register(*scene(A, b, noise=12.0), domain=BOX, thetas=SHORT)
    assert found.misfit > 0.01
    assert [one.name for one in found.starts] == ["identity", "features"]
    assert off(found.w, A, b) < 0.3
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 10, BOX.m))
    dark = [data + noise.flip(k) for k, data in enumerate(drawn(A, b))]
    found = register(*dark, domain=BOX, thetas=SHORT)  # moments are no second opinion
    assert found.surround == "zero" and found.misfit > 0.01
    assert any(one.name == "features" for one in found.starts)


def test_an_object_on_black_is_found_by_its_moments():
    A, b = turn(160, (1.05, 0.95), (1.0, -0.5))
    pair = drawn(A, b)
    found = register(*pair, domain=BOX, start="moments", thetas=FINE)
    assert found.misfit < 1e-4 and found.surround == "zero" and off(found.w, A, b) < 0.02
    assert [one.name for one in found.starts] == ["moments 0", "moments 1"]
    auto = register(*pair, domain=BOX, thetas=FINE)
    assert auto.misfit < 1e-4 and auto.starts[1].name == "moments 0" and off(auto.w, A, b) < 0.02


def test_own_starts_are_followed():
    A, b = turn(120)
    pair, own = drawn(A, b), torch.from_numpy(np.concatenate([A.ravel(), b]))
    away = torch.tensor([1.0, 0, 0, 1, 3, 3], dtype=torch.float64)
    found = register(*pair, domain=BOX, start=torch.stack([away, own]), thetas=FINE)
    assert [one.name for one in found.starts] == ["own 0", "own 1"]
    assert torch.equal(found.starts[0].w0, away) and off(found.w, A, b) < 0.05
    mixed = register(*pair, domain=BOX, start=["identity", own, away], thetas=FINE)
    assert [one.name for one in mixed.starts] == ["identity", "own 0", "own 1"]
    assert torch.equal(mixed.w, found.w)


def test_an_image_turned_over_on_the_way_comes_last():
    """The drawn hand and its mirror image: a map that mirrors fits, and nobody asked for it."""
    pair = load("hands-phantom", 24)
    images, box = (pair.template, pair.template.flip(1)), pair.domain

    def squeezed(factor):
        A, b = turn(0, (1.0, factor), domain=box)
        return torch.from_numpy(np.concatenate([A.ravel(), b]))

    options = {"domain": box, "thetas": [1.0, 0.1], "distance": "ssd"}
    found = register(*images, start=["identity", squeezed(0.1)], **options)
    upright, over = found.starts
    assert over.mirrored and float(torch.linalg.det(over.w[:4].reshape(2, 2))) < 0
    assert over.misfit < 1e-3 < upright.misfit and not upright.mirrored
    assert torch.equal(found.w, upright.w)
    asked = register(*images, start=["identity", squeezed(-0.9)], **options)
    assert asked.misfit < 1e-3 and asked.path is asked.starts[1].path


@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_out_of_sight_is_no_success(surround):
    away = torch.tensor([1.0, 0, 0, 1, 300, 0], dtype=torch.float64)
    found = register(*drawn(*turn(5)), domain=BOX, surround=surround, start=away, thetas=[1.0])
    assert not found.success and found.status is Status.NO_OVERLAP and found.overlap == 0
    assert found.message.startswith("no overlap")
    better = register(
        *drawn(*turn(5)), domain=BOX, surround=surround, start=[away, "identity"], thetas=[1.0]
    )
    assert better.success and better.starts[0].status is Status.NO_OVERLAP
    assert better.starts[0].rank > better.starts[1].rank
    assert replace(better.starts[0], misfit=0.0).rank > better.starts[1].rank


@pytest.mark.parametrize("shift", [18, -20])
def test_an_object_pushed_out_of_a_black_box_is_no_success(shift):
    """The path converges where nothing of the object is left, and half of the box is covered."""
    away = torch.tensor([1.0, 0, 0, 1, shift, 0], dtype=torch.float64)
    found = register(*drawn(*turn(5)), domain=BOX, start=away, thetas=[1.0])
    assert found.path.success and found.overlap > 0.04
    assert not found.success and found.status is Status.NO_OVERLAP
    assert "shows nothing" in found.message


def test_ctrl_c_keeps_the_best_so_far(half_a_turn):
    def interrupt(attempt):
        if attempt.name == "features":
            raise KeyboardInterrupt

    found = register(*half_a_turn, domain=BOX, callback=interrupt, thetas=SHORT)
    assert [one.name for one in found.starts] == ["identity", "features"]
    assert not found.success and found.status is Status.STOPPED
    assert off(found.w, *TURNED) < 0.1

    def at_once(attempt):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # there is nothing to return
        register(*smooth(), domain=BOX, start="features", callback=at_once)


def test_the_moved_template_is_the_reference_where_it_is_known():
    A, b = turn(10, shift=(2.0, 0.0))
    template, reference = scene(A, b, noise=0.0)
    found = register(template, reference, domain=BOX, start="identity", thetas=SHORT)
    y = BOX.cell_centers().numpy() @ A.T + b
    inside = ((y > BOX.lower) & (y < BOX.upper)).all(1).reshape(BOX.m)
    assert np.mean(found.covered().numpy() != inside) < 0.01
    assert found.overlap == pytest.approx(inside.mean(), abs=0.01) and found.overlap < 0.9
    moved = found.warp()
    assert torch.isfinite(moved).all() and (moved[~found.covered()] == 0).all()
    core = scipy.ndimage.binary_erosion(inside, iterations=3)
    gap = (moved - reference).numpy()[core]
    assert np.sqrt(np.mean(gap**2)) < 0.05 * reference.numpy().std()
    torch.testing.assert_close(found.warp(2 * template), 2 * moved)
    with pytest.raises(ValueError, match="picture must have the shape of the template"):
        found.warp(template[1:])


def test_a_mask_needs_no_word_about_the_surround():
    A, b = turn(0, shift=(-5.0, 0.0))
    template, reference = drawn(A, b)
    mask = torch.ones_like(reference)
    mask[:10] = 0  # what the template does not show
    found = register(template, reference, domain=BOX, reference_mask=mask, start="identity")
    assert found.surround == "overlap" and off(found.w, A, b) < 0.1
    assert found.overlap > 0.97 > 0.8 > float(found.covered().double().mean())


def test_images_and_tensors_give_the_same_and_cells_of_width_one_are_the_default():
    pair = drawn(*turn(5))
    plain = register(*pair, start="identity", thetas=[1.0])
    assert plain.problem.domain == Domain((0, 48, 0, 40), BOX.m)
    images = [SplineImage(data, BOX) for data in pair]
    first = register(*images, start="identity", thetas=[1.0])
    assert torch.equal(first.w, register(*pair, domain=BOX, start="identity", thetas=[1.0]).w)


def test_single_precision_stays_single():
    A, b = turn(150)
    pair = [data.float() for data in drawn(A, b)]
    found = register(*pair, domain=BOX, start=("angles", "moments"), thetas=FINE)
    assert found.w.dtype == torch.float32 and off(found.w.double(), A, b) < 0.05


def test_scales_grow_with_the_image():
    np.testing.assert_allclose(
        default_thetas(Domain((0, 1, 0, 1), (64, 80))), np.geomspace(1000, 0.01, 11)
    )
    wide = default_thetas(Domain((0, 1, 0, 1), (128, 128)))
    assert wide[0] == pytest.approx(16000) and wide[-1] == pytest.approx(0.01) and len(wide) == 14
    assert default_thetas(Domain((0, 1, 0, 1), (4, 4)))[0] == 1


# --- errors ----------------------------------------------------------------------------

DARK, OTHER = drawn(*turn(5))
OWN = torch.tensor([1.0, 0, 0, 1, 0, 0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": "corner"}, ValueError, r"start must be .*'moments'.* got 'corner'"),
        ({"start": ["auto", "angles"]}, ValueError, r"start must be .* got 'auto'"),
        ({"start": []}, ValueError, "start must hold at least one start"),
        ({"start": 3}, TypeError, "start must be a name, a tensor or a sequence"),
        ({"start": [3]}, TypeError, "start must hold names and tensors; got int"),
        ({"start": OWN.float()}, TypeError, "start must be a tensor of dtype torch.float64"),
        ({"start": OWN[:4]}, ValueError, r"start must have shape \(6,\) or \(k, 6\); got \(4,\)"),
        ({"start": torch.nan * OWN}, ValueError, "start must be finite"),
        ({"surround": "black"}, ValueError, r"surround must be one of \['auto', 'zero'"),
        ({"surround": "zero", "template_mask": DARK}, ValueError, "a mask needs"),
        ({"transform": NeuralODE(2, 3, domain=BOX)}, TypeError, "transform must be an Affine"),
        ({"transform": Affine(3)}, ValueError, "transform must have dim = 2"),
        ({"thetas": [1.0, 2.0]}, ValueError, "thetas must strictly decrease"),
        (
            {"domain": Domain((0, 1, 0, 1), (4, 4))},
            ValueError,
            "domain.m must be the shape of the reference",
        ),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        register(DARK, OTHER, **{"domain": BOX, **options})


@pytest.mark.parametrize(
    ("pair", "error", "message"),
    [
        ((DARK.numpy(), OTHER), TypeError, "template must be a tensor.* got ndarray"),
        ((DARK, SplineImage(OTHER, BOX)), TypeError, "both images a SplineImage"),
        ((DARK, OTHER.int()), TypeError, "reference must be a float32 or float64"),
        ((DARK, OTHER.float()), TypeError, "same dtype and device"),
        ((DARK, OTHER[None]), ValueError, "must have as many axes, 2 or 3"),
        ((DARK, 0 * OTHER), ValueError, "reference must not be constant"),
        ((torch.inf * DARK, OTHER), ValueError, "must be finite"),
        ((SplineImage(DARK, BOX),) * 2, ValueError, "domain must be left out"),
    ],
)
def test_bad_images_are_named(pair, error, message):
    with pytest.raises(error, match=message):
        register(*pair, domain=BOX)


def test_names_combine():
    names = ("identity", "moments", "angles", "features")
    for start in itertools.islice(itertools.permutations(names, 2), 3):
        found = register(DARK, OTHER, domain=BOX, start=start, thetas=[1.0])
        assert {one.name.split()[0] for one in found.starts} == set(start)


def test_pixels_that_are_nan_are_not_known():
    """The same as a mask that is 0 there; a mask of one's own stays."""
    A, b = turn(8, shift=(1.0, -0.5))
    pair = scene(A, b)
    holes = [pair[0].clone(), pair[1].clone()]
    holes[0][5:15, 8:20] = torch.nan
    holes[1][30:34, :] = torch.nan
    found = register(*holes, domain=BOX, thetas=SHORT)
    assert found.success and found.surround == "overlap" and off(found.w, A, b) < 0.1
    masks = [(~torch.isnan(one)).to(one) for one in holes]
    filled = [one.nan_to_num(77.0) for one in holes]
    options = dict(zip(("template_mask", "reference_mask"), masks, strict=True))
    again = register(*filled, domain=BOX, thetas=SHORT, **options)
    assert off(again.w, A, b) < 0.1
    half = {"template_mask": 0.5 * torch.ones_like(pair[0])}
    assert off(register(*holes, domain=BOX, thetas=SHORT, **half).w, A, b) < 0.1
    with pytest.raises(ValueError, match="template_mask must have the shape"):
        register(*holes, domain=BOX, template_mask=torch.ones(3, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="template must hold numbers"):
        register(torch.full(BOX.m, torch.nan, dtype=torch.float64), pair[1], domain=BOX)


def test_what_stands_outside_and_labels():
    A, b = turn(20, shift=(4.0, 0.0))
    pair = scene(A, b)
    found = register(*pair, domain=BOX, start=torch.from_numpy(np.concatenate([A.ravel(), b])))
    inside = found.covered()
    assert 0 < inside.sum() < inside.numel()
    filled = found.warp(outside=-7.0)
    assert (filled[~inside] == -7).all() and torch.equal(filled[inside], found.warp()[inside])
    labels = (pair[0] > 120).int() * 9
    moved = found.warp(labels, by_nearest=True, outside=3)
    assert moved.dtype == torch.int32 and (moved[~inside] == 3).all()
    assert set(moved[inside].unique().tolist()) == {0, 9}
    x = BOX.cell_centers()[inside.flatten()]
    y = (found.transform(found.w, x).numpy() - BOX.lower) / BOX.h - 0.5
    known = scipy.ndimage.map_coordinates(labels.numpy(), y.T, order=0, mode="nearest")
    assert (moved[inside].numpy() != known).mean() < 1e-3
    two = torch.stack([labels, labels + 1], dim=-1)
    assert torch.equal(found.warp(two, by_nearest=True, outside=3)[..., 0], moved)
    with pytest.raises(ValueError, match="outside must be"):
        found.warp(outside=torch.nan)
    with pytest.raises(TypeError, match="by_nearest must be"):
        found.warp(by_nearest="yes")  # ty: ignore[invalid-argument-type]
    with pytest.raises(ValueError, match="picture must have the shape"):
        found.warp(labels[1:], by_nearest=True)
