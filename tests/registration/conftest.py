"""What tests of registration share."""

import pytest

from moved_pairs import TURNED, scene


@pytest.fixture(scope="module")
def half_a_turn():
    return scene(*TURNED)
