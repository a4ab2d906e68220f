"""Records with stable keys, their pictures, and problems that belong together."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from regtools.atlas import IMAGES, STUDIES, Problem, measured, picture, problems_of
from regtools.atlas.bursts import burst, corner
from regtools.atlas.pairs import pair

ONE = Problem("rules", "camera", "scene", 20, 3, 2, 5, 0.1, 2)


def test_a_key_names_a_problem_everywhere():
    """Written out: rows that are stored must be found again."""
    assert ONE.key == (
        "study=rules image=camera kind=scene size=20 seed=3 noise=2 degrees=5 lam=0.1 factor=2"
    )
    assert replace(ONE, noise=2.0).key == ONE.key and hash(ONE) == hash(replace(ONE, lam=0.1))
    assert ONE.rng("maps").integers(10**6) == 965265
    assert ONE.rng("noise").integers(10**6) != ONE.rng("maps").integers(10**6)
    keys = [one.key for study in STUDIES for one in problems_of(study)]
    assert len(keys) == len(set(keys)) >= 1000


@pytest.mark.parametrize("change", [{"study": "counts"}, {"noise": 5.0}, {"lam": 1.0}])
def test_what_belongs_together_has_one_picture_and_one_motion(change):
    other = replace(ONE, **change)
    assert ONE.rng("maps").random() == other.rng("maps").random()
    assert np.array_equal(picture(ONE), picture(other))
    assert ONE.rng("maps").random() != replace(ONE, seed=4).rng("maps").random()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kind": "view"}, ValueError, "kind must be"),
        ({"size": 7}, ValueError, "size must be a whole number from 8"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"noise": -1.0}, ValueError, "noise must be"),
        ({"lam": float("nan")}, ValueError, "lam must be"),
        ({"image": 3}, TypeError, "image must be a word; got 3"),
    ],
)
def test_what_is_no_problem_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        replace(ONE, **change)


def test_words_that_nobody_knows_are_refused():
    with pytest.raises(ValueError, match="study must be one of"):
        measured(replace(ONE, study="weather"))
    with pytest.raises(ValueError, match="image must be one of"):
        picture(replace(ONE, image="lena"))
    with pytest.raises(ValueError, match="kind must suit the image"):
        picture(replace(ONE, image="hand"))
    with pytest.raises(ValueError, match="study must be one of"):
        problems_of("weather")


@pytest.mark.parametrize("image", IMAGES)
def test_pictures_are_grey_and_show_something(image):
    one = replace(ONE, image=image, kind="object", size=24)
    shown = picture(one)
    assert shown.shape == (72, 72) and shown.min() >= 0 and shown.max() <= 255
    assert shown[24:48, 24:48].std() > 5
    border = np.ones((72, 72), dtype=bool)
    border[12:60, 12:60] = False
    assert shown[border].max() < 5, "an object is black far outside"
    if image != "hand":
        scene = picture(replace(one, kind="scene"))
        assert scene[border].std() > 2, "a scene goes on"
        inner = slice(35, 37)
        np.testing.assert_allclose(shown[inner, inner], scene[inner, inner], rtol=0.2, atol=25)


def test_a_pair_is_moved_by_its_map():
    """The template at A x + b against the reference, by SciPy's linear interpolation."""
    one = pair(Problem("scales", "coffee", "object", 48, 1, 0.0, 20.0))
    task = one.problem
    y = task.points.numpy() @ one.A.T + one.b
    moved = scipy.ndimage.map_coordinates(task.template.data.numpy(), y.T - 0.5, order=1)
    reference = task.reference.data.numpy().ravel()
    assert np.abs(moved - reference).mean() < 0.03 * reference.std() + 1
    assert one.off(one.true) == 0.0 and one.off(one.start) > 1
    poses = pair(Problem("hessians", "hand", "poses", 32, 0))
    assert np.isnan(poses.off(poses.start))


@pytest.mark.parametrize("kind", ["object", "scene"])
def test_frames_are_what_the_picture_gives_at_the_true_maps(kind):
    """The picture fits its frames; frame 0 is the mean over blocks."""
    one = burst(replace(ONE, image="coffee", kind=kind, noise=0.0, degrees=5.0))
    frames, image = one.problem.frames, one.image
    blocks = image.reshape(10, 2, 10, 2).mean((1, 3))
    inner = slice(1, 9)
    gap = (frames[0] - blocks)[inner, inner].abs().max()
    assert gap < 0.05 * image.std(), "frame 0 shows something else"
    at_truth = one.error(one.problem.replaced(lam=1e-2).reconstruct(one.w_true))
    assert at_truth < 6 and at_truth < one.error(one.problem.reconstruct(one.problem.identity()))
    noisy = burst(replace(ONE, image="coffee", kind=kind, noise=2.0, degrees=5.0))
    assert float((noisy.problem.frames - frames).std()) == pytest.approx(2.55 * 2, rel=0.1)


def test_the_corner_of_a_curve():
    x = np.array([0.0, 0.01, 0.03, 0.1, 1.0, 2.0, 3.0])
    y = np.array([3.0, 2.0, 1.0, 0.0, -0.05, -0.1, -0.15])
    assert corner(x, y) == 3
