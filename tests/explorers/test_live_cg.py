"""The small systems of chapter 7's explorer, and how it comes to a page."""

import base64
import io
import json
import re
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

import dual_cg
from regtools.explorers import cg_explorer
from regtools.explorers.live_cg import eight, two


@pytest.fixture(scope="module")
def explorer():
    return cg_explorer()


@pytest.mark.parametrize(("system", "condition"), [(two(), 9), (eight(), 16384)])
def test_the_eigenvalues_are_those_it_says(system, condition):
    """Exactly: all numbers are multiples of 1/16, far below 2⁵³."""
    assert system.eigenvalues[0] == 1 and system.eigenvalues[-1] == condition
    ratios = system.eigenvalues[1:] / system.eigenvalues[:-1]
    assert (ratios == ratios[0]).all(), "not evenly spaced in the logarithm"
    np.testing.assert_array_equal(system.matrix, system.matrix.T)
    np.testing.assert_array_equal(
        system.matrix @ system.vectors.T, system.vectors.T * system.eigenvalues
    )
    for numbers in (system.matrix, system.right, system.tangent):
        np.testing.assert_array_equal(16 * numbers, np.round(16 * numbers))


def test_two_unknowns_by_hand():
    """On paper: f_1 = (39, 26)/113; the second iteration alone is 1.87 times as wrong as none."""
    system = two()
    numbers = [[Fraction(x) for x in row] for row in system.matrix]
    right, tangent = (list(map(Fraction, x)) for x in (system.right, system.tangent))
    path = dual_cg.recurrence(numbers, right, tangent, [Fraction(0)] * 2, 2)
    assert path[1][0] == [Fraction(39, 113), Fraction(26, 113)]
    assert path[2] == ([Fraction(7, 9), Fraction(-2, 9)], [Fraction(5, 9), Fraction(-4, 9)])
    late = dual_cg.recurrence(numbers, right, tangent, path[1][0], 1)[1][1]
    assert late == [Fraction(461, 289), Fraction(-360, 289)]
    np.testing.assert_allclose(system.iterate(1), [39 / 113, 26 / 113], rtol=1e-14)
    np.testing.assert_allclose(system.derivative(1), [461 / 289, -360 / 289], rtol=1e-13)
    errors = [system.error(system.derivative(s)) for s in range(3)]
    assert errors == pytest.approx([0, 1.8735, 1], abs=1e-4)


def test_the_solution_is_a_limit_of_differences():
    for system in (two(), eight()):
        solution, slope = system.solution()
        moved = np.linalg.solve(system.matrix, system.right + 0.5 * system.tangent)
        np.testing.assert_allclose(solution + 0.5 * slope, moved, rtol=1e-10)


def test_eight_unknowns_without_rounding():
    """Exactly computed, the last 8 of 12 end with the derivative, and the last half does not."""
    system = eight()
    found = [dual_cg.restarted(system, s, 12)[1] for s in range(8)]
    errors = [dual_cg.relative_error(system, slopes) for slopes in found]
    assert max(errors[:5]) < 1e-300
    assert min(errors[5:]) > 3 and min(errors[6:]) > 1e11


def test_eight_unknowns_in_double_precision_by_the_package():
    """Where rounding decides little; the explorer's own arithmetic is the same everywhere."""
    system = eight()
    errors = [system.error(system.derivative(s)) for s in range(13)]
    assert max(errors[:2]) < 1e-6 and errors[12] == pytest.approx(1, rel=1e-14)
    assert min(errors[6:8]) > 1e4


def test_what_the_chapter_says_of_eight_unknowns():
    """In double precision, as the browser has it: good up to s = 3, 22 at 4, by accident at 9."""
    system = eight()
    lists = [x.tolist() for x in (system.matrix, system.right, system.tangent)]
    first = dual_cg.recurrence(*lists, [0.0] * 8, 12)
    errors, solution = [], np.linalg.solve(system.matrix, system.right)
    for start, (stopped, _) in enumerate(first):
        slopes = dual_cg.recurrence(*lists, stopped, 12 - start)[-1][1]
        errors.append(dual_cg.relative_error(system, slopes))
    assert max(errors[:4]) < 0.01 and round(errors[4]) == 22 and round(errors[9], 2) == 0.73
    assert min(errors[4:9] + errors[10:]) == 1.0  # none at all, at the end
    gaps = [np.abs(x - solution).max() / np.abs(solution).max() for x, _ in first]
    assert gaps[8] > 0.1 and gaps[9] < 1e-3  # eight iterations do not arrive, nine all but do


def test_no_derivative_and_the_true_one(explorer):
    system = eight()
    assert system.error(np.zeros(8)) == pytest.approx(1, rel=1e-14)
    assert system.error(system.solution()[1]) == 0


def test_bundle(explorer, monkeypatch):
    monkeypatch.delenv("REGTOOLS_STATIC_PAGES", raising=False)
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.size == (1200, 512)
    assert np.asarray(picture.convert("L")).std() > 20
    monkeypatch.setenv("REGTOOLS_STATIC_PAGES", "1")
    assert explorer._repr_mimebundle_()["text/html"] == explorer.static_page()


def test_static_page(explorer):
    page = explorer.static_page()
    assert len(page) < 40_000
    assert 'data-module="cg"' in page and "export function mount" in page
    assert "\n\n" not in page, "a blank line ends a Markdown block"
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', page)
    data = json.loads(found)
    assert data["bits"] == [53, 106, 400]
    assert [len(problem["right"]) for problem in data["problems"]] == [2, 8]
    for problem, system in zip(data["problems"], (two(), eight()), strict=True):
        np.testing.assert_array_equal(problem["matrix"], system.matrix)
        np.testing.assert_array_equal(problem["right"], system.right)
        assert problem["count"] == system.count
    assert page.count("</script>") == 2
