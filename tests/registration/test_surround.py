"""Whether a picture is black outside its box or goes on."""

import numpy as np
import torch

from moved_pairs import BOX, drawn, turn
from regtools import load
from regtools.registration import choose_surround


def test_the_pairs_of_the_book_have_a_dark_border():
    for m in (20, 64):
        pair = load("hands-phantom", m)
        assert choose_surround(pair.template, pair.reference) == "zero"
    assert choose_surround(load("retina", 128).data) == "zero"
    assert choose_surround(load("camera", 64).data) == "overlap"


def test_noise_and_hot_pixels_make_no_border():
    rng = np.random.default_rng(0)
    dark, _ = drawn(*turn(0))
    noisy = dark + torch.from_numpy(rng.normal(0, 0.05 * 200, BOX.m))
    assert choose_surround(dark, noisy) == "zero"
    assert choose_surround(dark, dark + 60) == "overlap"  # each must be dark
    assert choose_surround(*torch.stack([dark, dark, 255 - dark])) == "overlap"
    hot = load("camera", 64).data
    hot[5, 5] = 1e6
    assert choose_surround(hot) == "overlap"
    assert choose_surround(torch.zeros(8, 8)) == "zero"
    assert choose_surround(torch.ones(8, 8)) == "overlap"
