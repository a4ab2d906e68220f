"""CG in the browser, in chapter 7's explorer: its numbers against fractions, and its use."""

import re
from fractions import Fraction

import flint
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import browser as helper
import dual_cg
from regtools.explorers import cg_explorer
from regtools.explorers.live_cg import eight, two

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * helper.PATIENCE)

DARK = """<style>html { --pst-color-on-background: #222832; --pst-color-text-base: #ced6dd;
    --pst-color-text-muted: #9ca4af; --pst-color-border: #48566b; --pst-color-primary: #3fb1c5;
    --pst-color-danger: #e78894; background: #121820;
    color: #ced6dd }</style>"""
START = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>CG</title>
    <meta name="viewport" content="width=device-width"><style>body { margin: 0 }</style>"""


@pytest.fixture(scope="module")
def explorer():
    return cg_explorer()


@pytest.fixture(scope="module")
def calculator(chromium, explorer):
    """A page with the module's exports under the name `M`."""
    with helper.exports(chromium, explorer, "M") as page:
        yield page


def fraction(text):
    """What the module wrote as m · 2^e."""
    whole, exponent = map(int, text.split("p"))
    return Fraction(whole) * Fraction(2) ** exponent


def distance(found, expected):
    """Largest difference relative to the largest number."""
    found, expected = (list(map(Fraction, row)) for row in (found, expected))
    gaps = [abs(a - b) for a, b in zip(found, expected, strict=True)]
    return float(max(gaps) / max(map(abs, expected)))


def plain(numbers):
    """Of fractions of flint, those of Python."""
    return [Fraction(int(x.p), int(x.q)) if isinstance(x, flint.fmpq) else x for x in numbers]


OPERATIONS = """({ bits, rows }) => {
    const T = M.arithmetic(bits);
    const join = ([high, low]) => T.add(T.of(high), T.of(low));
    return rows.map(([a, b]) => [join(a), join(b)]).map(([a, b]) =>
        [a, b, T.add(a, b), T.sub(a, b), T.mul(a, b), T.div(a, b)].map((x) => M.text(T.fine(x))));
}"""


@pytest.mark.parametrize(
    ("bits", "digit"), [(53, 2.0**-53), (106, 2.0**-102), (400, 1.01 * 2.0**-400)]
)
def test_operations_are_rounded_so_late(calculator, bits, digit):
    """Of numbers with so many bits, some nearly equal, some far apart; zero is exact."""
    draw = np.random.default_rng(3)
    high = draw.standard_normal((40, 2)) * 2.0 ** draw.integers(-60, 60, (40, 2))
    high[:5, 1] = -high[:5, 0] * (1 + 2.0**-40)
    high[5] = [0.0, 1.0]
    rows = np.stack([high, high * 2.0**-53 * draw.uniform(0, 0.5, high.shape)], axis=-1)
    for texts in calculator.evaluate(OPERATIONS, {"bits": bits, "rows": rows.tolist()}):
        a, b, *results = map(fraction, texts)
        for found, exact in zip(results, [a + b, a - b, a * b, a / b], strict=True):
            assert abs(found - exact) <= Fraction(digit) * abs(exact)


RUN = """({ matrix, right, tangent, start, count, bits }) => {
    const T = M.arithmetic(bits), D = M.dual(T), lift = (x) => D.of(x);
    const moving = right.map((x, i) => [T.of(x), T.of(tangent[i])]);
    const run = M.cg(D, matrix.map((row) => row.map(lift)), moving, start.map(lift), count);
    return run.f.map((f) => [0, 1].map((part) => f.map((x) => M.text(T.fine(x[part])))));
}"""


def run(calculator, bits, count, matrix, right, tangent, start):
    """Iterates and derivatives of the module, as fractions."""
    arrays = {"matrix": matrix, "right": right, "tangent": tangent, "start": start}
    task = {name: np.asarray(x).tolist() for name, x in arrays.items()}
    path = calculator.evaluate(RUN, {**task, "count": count, "bits": bits})
    return [[list(map(fraction, part)) for part in step] for step in path]


@pytest.mark.parametrize(("bits", "bound"), [(53, 1e-10), (106, 1e-25), (400, 1e-80)])
def test_iterates_and_their_derivatives(calculator, bits, bound):
    """Of a matrix of five unknowns, after one to five iterations from a start that is not zero."""
    draw = np.random.default_rng(5)
    root = draw.integers(-4, 5, (5, 5)) / 4
    system = [root @ root.T + np.eye(5), *draw.integers(-9, 10, (3, 5)) / 8]
    path = run(calculator, bits, 5, *system)
    assert len(path) == 6
    for count, found in enumerate(path[1:], start=1):
        for part, expected in zip(found, dual_cg.galerkin(*system, count), strict=True):
            assert distance(part, plain(expected)) < bound


@pytest.mark.parametrize("system", [two(), eight()], ids=["two", "eight"])
def test_double_precision_is_that_of_python_to_the_last_bit(calculator, system):
    """So what the page says of it is the same on every machine, though rounding decides it."""
    numbers = [system.matrix, system.right, system.tangent, np.zeros_like(system.right)]
    lists = [x.tolist() for x in numbers]
    expected = dual_cg.recurrence(*lists, system.count)
    found = run(calculator, 53, system.count, *numbers)
    for step, (iterate, slopes) in zip(found, expected, strict=True):
        assert step == [list(map(Fraction, iterate)), list(map(Fraction, slopes))]


EXPERIMENT = """({ problem, bits }) => M.experiment(problem, bits).errors"""


@pytest.mark.parametrize("system", [two(), eight()], ids=["two", "eight"])
def test_errors_for_each_start_in_double_precision(calculator, system):
    lists = [x.tolist() for x in (system.matrix, system.right, system.tangent)]
    first = dual_cg.recurrence(*lists, [0.0] * len(lists[1]), system.count)
    found = calculator.evaluate(EXPERIMENT, {"problem": system.data, "bits": 53})
    for start, (stopped, _) in enumerate(first):
        slopes = dual_cg.recurrence(*lists, stopped, system.count - start)[-1][1]
        exact = dual_cg.relative_error(system, slopes)
        assert found[start] == pytest.approx(exact, rel=1e-12, abs=1e-300)
    assert found[system.count] == 1


@pytest.mark.parametrize("bits", [106, 400])
def test_errors_for_each_start_in_many_bits(calculator, bits):
    """As without rounding: gone where CG can end after its restart, and large where it cannot."""
    system = eight()
    found = calculator.evaluate(EXPERIMENT, {"problem": system.data, "bits": bits})
    assert max(found[:5]) < {106: 1e-12, 400: 1e-90}[bits]
    for start in (5, 6, 7):
        exact = dual_cg.relative_error(system, dual_cg.restarted(system, start, 12)[1])
        assert found[start] == pytest.approx(exact, rel={106: 1e-1, 400: 1e-12}[bits])
    assert found[12] == 1


POLYNOMIAL = """({ problem, k }) => {
    const T = M.arithmetic(400), lift = (rows) => rows.map((row) => row.map(T.of));
    const zero = problem.right.map(() => T.of(0));
    const run = M.cg(T, lift(problem.matrix), problem.right.map(T.of), zero, k);
    const coefficients = M.polynomial(T, run.alpha, run.beta, k);
    const values = problem.eigenvalues.map((t) => M.evaluate(T, coefficients, T.of(t)));
    return [coefficients, values, run.rho[k]].map((row) => row.map(M.text));
}"""


@pytest.mark.parametrize("k", [0, 1, 4, 7])
def test_the_polynomial_is_that_of_the_residual(calculator, k):
    """Along each eigenvector the residual is the first one times the polynomial."""
    system = eight()
    found = calculator.evaluate(POLYNOMIAL, {"problem": system.data, "k": k})
    coefficients, values, residual = (list(map(fraction, row)) for row in found)
    assert len(coefficients) == k + 1 and coefficients[0] == 1
    for vector, value in zip(system.vectors, values, strict=True):
        now, first = (
            sum(Fraction(v) * Fraction(x) for v, x in zip(vector, row, strict=True))
            for row in (residual, system.right)
        )
        assert abs(now - value * first) < 1e-80 * abs(first)


@pytest.fixture(scope="module")
def places(explorer, tmp_path_factory):
    """Addresses of a page with the explorer, as a file and from a server, light and dark."""
    folder = tmp_path_factory.mktemp("cg")
    body = f"</head><body><main><h1>CG</h1>{explorer.static_page()}</main></body></html>"
    for name, style in (("light", ""), ("dark", DARK)):
        (folder / f"{name}.html").write_text(START + style + body)
    (folder / "twice.html").write_text(START + body.replace("</h1>", "</h1>" + body[19:-21]))
    with helper.serve(folder) as address:
        yield {"http": address, "file": folder.as_uri()}


class Reader:
    """What a reader sees and moves."""

    def __init__(self, page):
        self.iteration, self.start = page.get_by_role("slider").all()
        self.page, self.line = page, page.locator(".rt-describe")
        self.charts = page.locator("figure > svg")

    def choose(self, name):
        self.page.get_by_role("radio", name=name, exact=True).check()

    def seen(self):
        alts = self.charts.evaluate_all("all => all.map((svg) => svg.ariaLabel)")
        return self.line.inner_text(), *alts

    def readout(self, slider):
        return self.page.locator(f"output[for='{slider.get_attribute('id')}']").inner_text()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_reader_finds_what_it_shows(chromium, places, scheme):
    with helper.open_page(chromium, f"cg-{scheme}") as (page, watch):
        page.goto(f"{places[scheme]}/light.html")
        reader = Reader(page)
        assert page.locator(".rt-hint").is_hidden()
        assert [x.input_value() for x in (reader.iteration, reader.start)] == ["0", "0"]
        assert reader.seen()[0].startswith("Both iterations are differentiated: the error is ")
        reader.start.press("ArrowRight")
        assert "is 1.9 times that of no derivative, so worse than none" in reader.seen()[0]
        reader.iteration.press("End")
        said, *alts = reader.seen()
        assert "the polynomial is −5.9 at the eigenvalue 9" in said
        assert re.match(r"Iterate 2 at \(.*\) with derivative \(1.6, −1.2\)", alts[1])
        assert re.search(r"begins: 0: \S*10⁻¹⁶, 1: 1\.9\.$", alts[2])  # not yet where nobody was
        reader.choose("8")
        assert [x.input_value() for x in (reader.iteration, reader.start)] == ["0", "0"]
        assert reader.seen()[0].startswith("All 12 iterations are differentiated: the error is ")
        for _ in range(4):
            reader.start.press("ArrowRight")
        assert reader.readout(reader.start) == "4: the last 67 %"
        assert "the error is 22 times that of no derivative, so worse" in reader.seen()[0]
        reader.choose("400 bits")
        said = reader.seen()[0]
        assert re.search("the error is 2·10⁻¹⁰[⁰¹²³⁴⁵⁶⁷⁸⁹] times that of no derivative.", said)
        assert "In 53 bits it is 22 times." in said
        for _ in range(2):
            reader.start.press("ArrowRight")
        assert "the error is 2·10¹¹ times that of no derivative, so worse" in reader.seen()[0]
        reader.start.press("End")
        assert reader.readout(reader.start) == "12: none"
        assert reader.seen()[0].startswith("Nothing is differentiated")
        watch.check()


def test_each_position_is_another(chromium, places):
    """By keyboard over both sliders; every control changes what is said, and a chart."""
    with helper.open_page(chromium, "cg-positions") as (page, watch):
        page.goto(f"{places['file']}/light.html")
        reader = Reader(page)
        reader.choose("8")
        for slider in (reader.start, reader.iteration):
            slider.press("Home")
            states = [reader.seen()]
            readouts = [reader.readout(slider)]
            for _ in range(12):
                slider.press("ArrowRight")
                states.append(reader.seen())
                readouts.append(reader.readout(slider))
                assert slider.get_attribute("aria-valuetext") == readouts[-1]
            assert len(set(states)) == len(set(readouts)) == 13
            assert all("NaN" not in text and "Infinity" not in text for x in states for text in x)
            slider.press("Home")
            slider.press("ArrowRight")
            assert reader.seen()[:-1] == states[1][:-1]  # the last chart keeps what was seen
        before = reader.seen()
        reader.choose("106 bits")
        assert reader.seen() != before
        watch.check()


def test_sliders_by_mouse(chromium, places):
    with helper.open_page(chromium, "cg-mouse") as (page, watch):
        page.goto(f"{places['file']}/light.html")
        reader = Reader(page)
        reader.choose("8")
        for slider in (reader.iteration, reader.start):
            slider.scroll_into_view_if_needed()
            box = slider.bounding_box()
            assert box["height"] >= 24, "too small to touch"
            y = box["y"] + box["height"] / 2
            before = reader.seen()
            page.mouse.move(box["x"] + 8, y)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] - 2, y, steps=8)
            page.mouse.up()
            assert slider.input_value() == "12"
            assert reader.seen() != before
            assert slider.bounding_box() == box, "the slider changed under the pointer"
        watch.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("unknowns", ["2", "8"])
def test_colours_and_accessibility(chromium, places, theme, unknowns):
    """Lines follow the theme; axe-core finds no serious violation."""
    with helper.open_page(chromium, f"cg-axe-{theme}") as (page, watch):
        page.goto(f"{places['file']}/{theme}.html")
        reader = Reader(page)
        reader.choose(unknowns)
        reader.start.press("ArrowRight")
        reader.iteration.press("End")
        colours = page.locator("figure > svg > path.first").first.evaluate(
            "path => [getComputedStyle(path).stroke, getComputedStyle(path).fill]"
        )
        expected = {"light": "rgb(10, 125, 145)", "dark": "rgb(63, 177, 197)"}[theme]
        assert colours == [expected, "none"]
        found = Axe().run(page).response["violations"]
        assert [x["id"] for x in found if x["impact"] in ("serious", "critical")] == []
        watch.check()


def test_on_a_phone(chromium, places):
    """Charts stand below each other, nothing overflows, the sliders stay in view."""
    with helper.open_page(chromium, "cg-phone", width=390, height=844) as (page, watch):
        page.goto(f"{places['http']}/light.html")
        reader = Reader(page)
        for unknowns in ("2", "8"):
            reader.choose(unknowns)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            boxes = [chart.bounding_box() for chart in reader.charts.all()]
            assert all(box["width"] >= 300 for box in boxes)
            assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
            last = reader.charts.last
            last.evaluate("svg => svg.scrollIntoView({ block: 'end', behavior: 'instant' })")
            for slider in (reader.iteration, reader.start):
                assert 0 <= slider.bounding_box()["y"] <= 844 - 28
        watch.check()


def test_two_in_one_page(chromium, places):
    """They have ids of their own, and a button of one leaves the other alone."""
    with helper.open_page(chromium, "cg-twice") as (page, watch):
        page.goto(f"{places['file']}/twice.html")
        expect(page.locator(".rt-explorer")).to_have_count(2)
        page.locator(".rt-explorer").last.get_by_role("radio", name="8", exact=True).check()
        assert page.get_by_role("radio", checked=True).count() == 4
        ids = page.locator("[id]").evaluate_all("all => all.map((one) => one.id)")
        assert len(ids) == len(set(ids)) == 8
        watch.check()
