import math

import numpy as np
import pytest
import torch

from regtools.images import Domain


def test_widths_volume_and_corners_of_an_anisotropic_box():
    domain = Domain((0.0, 20.0, -5.0, 25.0), (4, 10))
    assert domain.dim == 2
    assert domain.h == (5.0, 3.0)
    assert domain.cell_volume == 15.0
    assert (domain.lower, domain.upper) == ((0.0, -5.0), (20.0, 25.0))


@pytest.mark.parametrize(
    "omega, m", [((1, 4), (3,)), ((0, 2, 1, 4), (4, 3)), ((0, 1) * 3, (2, 3, 4))]
)
def test_centres_follow_the_order_of_the_array(omega, m):
    domain = Domain(omega, m)
    centres = domain.cell_centers().reshape(*m, domain.dim)
    for index in np.ndindex(*m):
        expected = [
            lo + (i + 0.5) * (hi - lo) / cells
            for i, lo, hi, cells in zip(index, omega[0::2], omega[1::2], m, strict=True)
        ]
        assert centres[index].tolist() == pytest.approx(expected, abs=1e-15)


def test_centres_take_the_dtype_asked_for():
    assert Domain((0, 1), (4,)).cell_centers(dtype=torch.float32).dtype == torch.float32
    assert Domain((0, 1), (4,)).cell_centers().dtype == torch.float64


def test_domains_are_values():
    assert Domain([0, 1, 0, 2], np.array([3, 4])) == Domain((0.0, 1.0, 0.0, 2.0), (3, 4))
    assert len({Domain((0, 1), (4,)), Domain((0, 1), (4,))}) == 1


@pytest.mark.parametrize(
    "omega, m, error, words",
    [
        ((0, 1, 2), (4,), ValueError, "omega must hold .* got 3"),
        ((0, 1) * 4, (4,) * 4, ValueError, "omega must hold .* got 8"),
        ((0, 1, 5, 2), (4, 4), ValueError, r"omega .* \(5.0, 2.0\) on axis 1"),
        ((0, 0), (4,), ValueError, r"omega .* \(0.0, 0.0\) on axis 0"),
        ((0, math.inf), (4,), ValueError, "omega .* finite"),
        ((0, math.nan), (4,), ValueError, "omega .* finite"),
        ((-1e308, 1e308), (4,), ValueError, "omega .* finite"),
        ("12", (4,), TypeError, "omega must be a sequence of numbers"),
        (3.0, (4,), TypeError, "omega must be a sequence of numbers"),
        ((0, 1, 0, 1), (4,), ValueError, "m must have one entry per axis"),
        ((0, 1), (0,), ValueError, r"m must hold at least one cell per axis; got \(0,\)"),
        ((0, 1), (4.5,), TypeError, "m must be a sequence of whole numbers"),
        ((0, 1), 4, TypeError, "m must be a sequence of whole numbers"),
    ],
)
def test_bad_input_is_named(omega, m, error, words):
    with pytest.raises(error, match=words):
        Domain(omega, m)
