"""The registration that runs in the browser: its numbers against the package, and its use."""

import re

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

import browser as helper
import regtools
from registration_page import drag, readout
from regtools import Affine, Domain, RegistrationProblem, SplineImage, predictor_corrector
from regtools.explorers import registration_explorer
from regtools.registration import mixed_derivative, second_order_model

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * helper.PATIENCE)

ORDER = [0, 1, 4, 2, 3, 5]  # places in w of the module's parameters, a row of A and its shift


@pytest.fixture(scope="module")
def calculator(chromium, registration):
    """A page with the module's exports under the name `R`."""
    with helper.exports(chromium, registration, "R") as page:
        yield page


NUMBERS = """({ template, reference, m, box, surround, theta, q }) => {
    const frame = { centre: [0, 0], half: [1, 1], unit: [1, 1] }; // parameters as the package has
    const problem = R.registrationProblem(template, reference, m, box, surround, frame);
    const { values, m: size, pad } = R.coefficients(problem.template, theta);
    const inner = [];
    for (let i = 0; i < m[0]; i++) {
        for (let j = 0; j < m[1]; j++) inner.push(values[(i + pad) * size[1] + j + pad]);
    }
    const { loss, gradient, hessian, rate } = R.evaluate(problem, q, theta, { rate: true });
    return [inner, [loss], ...[gradient, hessian, rate].map((x) => Array.from(x))];
}"""


@pytest.mark.parametrize("theta", [0.0, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_numbers_agree_with_the_package(calculator, surround, theta):
    """Coefficients, loss, gradient, Hessian and mixed derivative of pictures of noise."""
    draw = torch.Generator().manual_seed(7)
    domain = Domain((-3.0, 20.0, 5.0, 25.0), (17, 23))
    template, reference = (
        255 * torch.rand(domain.m, generator=draw, dtype=torch.float64) for _ in range(2)
    )
    images = [SplineImage(data, domain) for data in (template, reference)]
    problem = RegistrationProblem(*images, Affine(2), surround=surround)
    spread = torch.tensor([0.1, 0.1, 0.1, 0.1, 2.0, 2.0], dtype=torch.float64)
    w = problem.identity() + spread * torch.randn(6, generator=draw, dtype=torch.float64)
    model = second_order_model(problem, w, theta)
    expected = [
        problem.template.coefficients(theta).flatten(),
        model.loss.reshape(1),
        model.gradient[ORDER],
        model.hessian[ORDER][:, ORDER].flatten(),
        mixed_derivative(problem, w, theta)[ORDER],
    ]
    found = calculator.evaluate(
        NUMBERS,
        {
            "template": template.flatten().tolist(),
            "reference": reference.flatten().tolist(),
            "m": list(domain.m),
            "box": list(domain.omega),
            "surround": surround,
            "theta": theta,
            "q": w[ORDER].tolist(),
        },
    )
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max())
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10 * scale)


PATHS = """({ template, reference, m, box, turns, surround }) => turns.map((turn) => {
    const problem = R.registrationProblem(template, reference, m, box, surround);
    const pose = { turn, stretch: [1, 1], shear: 0, shift: [0, 0] };
    const { q, status } = R.finish(R.path(problem, R.parametersOf(problem, pose), R.scales()));
    const { centre, half, unit } = problem.frame;
    const A = [0, 1].map((k) => [0, 1].map((b) => unit[k] * q[3 * k + b] / half[b]));
    const shift = [0, 1].map((k) =>
        centre[k] + unit[k] * q[3 * k + 2] - A[k][0] * centre[0] - A[k][1] * centre[1]);
    return [status, ...A.flat(), ...shift];
})"""


@pytest.mark.parametrize(
    ("name", "m", "turns"),
    [
        ("hands-phantom", 32, range(-180, 180, 30)),
        ("camera", 32, range(-20, 20, 5)),
    ],
)
def test_paths_end_where_those_of_the_package_do(calculator, name, m, turns):
    """Twenty starts on two pairs; places agree to a millionth of the box."""
    pair = pair_of(name, m)
    surround = registration_explorer(pair).data["surround"]
    assert surround == ("zero" if "hands" in name else "overlap")
    problem = RegistrationProblem.of(pair, Affine(2), surround=surround)
    domain = pair.domain
    ends = calculator.evaluate(
        PATHS,
        {
            "template": pair.template.flatten().tolist(),
            "reference": pair.reference.flatten().tolist(),
            "m": list(domain.m),
            "box": list(domain.omega),
            "turns": list(turns),
            "surround": surround,
        },
    )
    centre = torch.tensor([sum(domain.omega[:2]) / 2, sum(domain.omega[2:]) / 2]).double()
    for turn, (status, *w) in zip(turns, ends, strict=True):
        t = torch.tensor(np.radians(turn))
        A = torch.stack([t.cos(), -t.sin(), t.sin(), t.cos()]).reshape(2, 2).double()
        start = torch.cat([A.flatten(), centre - A @ centre])
        path = predictor_corrector(problem, np.logspace(3, -3, 13), start)
        assert path.success and status == "converged"
        moved = problem.moved_points(torch.tensor(w, dtype=torch.float64))
        off = (moved - problem.moved_points(path.w)).abs().max()
        assert float(off) < 1e-6 * (domain.omega[1] - domain.omega[0]), turn


def pair_of(name, m):
    """A pair of the book, or a photograph and the same turned and shifted a little."""
    if name == "hands-phantom":
        return regtools.load(name, m)
    image = regtools.load(name, m)
    domain = image.domain
    known = torch.tensor([0.98, -0.12, 0.13, 1.03, 1.0, -2.0], dtype=torch.float64)
    source = SplineImage(image.data, domain, "mirror")
    moved = source(Affine(2)(known, domain.cell_centers())).reshape(domain.m)
    return regtools.images.Pair(name, moved, image.data, domain, image.credit, image.licence)


def test_a_hand_moves_the_map_it_says(calculator):
    """Pose to parameters and back, and the step of the trust region against its conditions."""
    pose, back, steps = calculator.evaluate(
        """() => {
            const data = Array.from({ length: 99 }, (_, k) => k % 7);
            const problem = R.registrationProblem(data, data, [9, 11], [0, 18, 0, 11]);
            const pose = { turn: 140, stretch: [0.8, 1.3], shear: 0.2, shift: [2, -1] };
            const H = [2, 1, 0, 1, -1, 0.5, 0, 0.5, 3], g = [1, -2, 0.5];
            const steps = [0.1, 1, 10].map((radius) => R.trustStep(g, H, radius).step);
            return [pose, R.poseOf(problem, R.parametersOf(problem, pose)), steps];
        }"""
    )
    for name, value in pose.items():
        np.testing.assert_allclose(back[name], value, atol=1e-12)
    H, g = np.array([[2, 1, 0], [1, -1, 0.5], [0, 0.5, 3]]), np.array([1, -2, 0.5])
    for radius, step in zip([0.1, 1, 10], np.array(steps), strict=True):
        # On the sphere, and H + shift I is positive definite with this solution: the global one.
        assert np.linalg.norm(step) == pytest.approx(radius)
        shift = -step @ (H @ step + g) / radius**2
        np.testing.assert_allclose((H + shift * np.eye(3)) @ step, -g, atol=1e-9)
        assert np.linalg.eigvalsh(H)[0] + shift > 0


def test_both_runs_from_the_start(opened):
    line = opened.locator(".rt-describe")
    assert "is 83 % of what" in line.inner_text()
    opened.get_by_role("button", name="Single scale").click()
    expect(line).to_have_text(re.compile(r"^Single scale: .*The loss is 56 %: does the other"))
    opened.get_by_role("button", name="Back to the start").click()
    assert "0°" in readout(opened, "Turn clockwise")
    opened.get_by_role("button", name="From blurred to sharp").click()
    expect(line).to_have_text(re.compile(r"^From .* 13 scales. The loss is 21 %: the lowest"))
    assert opened.locator(".rt-dot.rt-path").count() == 2  # in either chart
    assert opened.locator(".rt-box.rt-single").count() == 1


def test_a_run_shows_its_steps_and_a_hand_stops_it(chromium, address):
    with helper.open_page(chromium, "registration-run") as (page, _):
        page.goto(address)
        page.get_by_role("button", name="From blurred to sharp").click()
        page.wait_for_function("document.querySelector('.rt-line.rt-path').points.length > 3")
        page.get_by_role("slider", name="Turn clockwise").press("ArrowLeft")
        line = page.locator(".rt-describe")
        expect(line).to_have_text(re.compile(r"of what it is with the template out of sight"))
        length = page.evaluate("document.querySelector('.rt-line.rt-path').points.length")
        page.wait_for_timeout(300)
        assert page.evaluate("document.querySelector('.rt-line.rt-path').points.length") == length
        assert "0.001 px" in readout(page, "Blur θ")


def test_the_map_of_starts(opened):
    opened.get_by_role("button", name="Try 24 starts").click()
    line = opened.locator(".rt-describe")
    expect(line).to_have_text(re.compile(r"^Of 24 start angles, 3 end .* scale, and 24 from"))
    assert opened.locator("circle.rt-dot.rt-path").count() == 24
    assert opened.locator("rect.rt-box").count() == 24


def test_less_blur_at_the_first_scale(chromium, tmp_path):
    """The counts of chapter 3, from its picture: all 24 starts from 100, nine from 10."""
    page_text = registration_explorer(regtools.load("hands-phantom", 32), choose_first=True)
    (tmp_path / "first.html").write_text(page_text.static_page())
    with helper.open_page(chromium, "registration-first", reduced_motion="reduce") as (page, _):
        page.goto((tmp_path / "first.html").as_uri())
        line = page.locator(".rt-describe")
        for first, count in [("100", 24), ("10", 9)]:
            page.get_by_role("radio", name=first, exact=True).check()
            page.get_by_role("button", name="Try 24 starts").click()
            expect(line).to_have_text(re.compile(f"^Of 24 .* and {count} from blurred to sharp"))


def test_every_slider_moves_the_template(opened):
    opened.get_by_text("Shift, stretch and shear").click()
    template = opened.locator("canvas").first
    sliders = opened.get_by_role("slider").all()
    assert len(sliders) == 7
    for slider in sliders:
        before = template.evaluate("x => x.toDataURL()")
        said = slider.get_attribute("aria-valuetext")
        for _ in range(3):
            slider.press("ArrowRight")
        assert template.evaluate("x => x.toDataURL()") != before
        assert slider.get_attribute("aria-valuetext") != said
        assert slider.bounding_box()["height"] >= 24


def test_handles_drag_shift_turn_and_stretch(opened):
    opened.get_by_text("Shift, stretch and shear").click()
    width = opened.locator("canvas").first.bounding_box()["width"]
    drag(opened, opened.locator(".rt-frame"), width / 10, 0)
    assert "2.0" in readout(opened, "Shift right")  # a tenth of a box that is 20 wide
    assert "0.0" in readout(opened, "Shift up")
    opened.get_by_role("button", name="Back to the start").click()
    drag(opened, opened.locator("rect.rt-handle").first, 0.55 * width / 4, 0)
    assert re.search(r"× 1\.(49|50|51)", readout(opened, "Stretch its width"))
    opened.get_by_role("button", name="Back to the start").click()
    corner = opened.locator("circle.rt-handle").nth(2)  # right and up
    box, stage = corner.bounding_box(), opened.locator(".rt-handles").bounding_box()
    across = stage["x"] + stage["width"] / 2 - box["x"] - box["width"] / 2
    drag(opened, corner, 2 * across, 0)  # to the mirrored corner, left and up
    turn = int(re.search(r"−(\d+)°", readout(opened, "Turn clockwise"))[1])
    assert turn == pytest.approx(2 * np.degrees(np.arctan2(20, 25)), abs=2)


def test_two_pictures_of_ones_own(opened, tmp_path):
    x, y = np.meshgrid(np.arange(90.0), np.arange(60.0))
    for name, left in [("one", 30), ("two", 42)]:
        bump = 255 * np.exp(-((x - left) ** 2 + 2 * (y - 30) ** 2) / 150)
        Image.fromarray(bump.astype(np.uint8)).save(tmp_path / f"{name}.png")
    Image.fromarray(np.uint8(100 + 50 * np.sin(x / 5) * np.cos(y / 7))).save(tmp_path / "light.png")
    (tmp_path / "text.png").write_text("no picture")
    opened.get_by_text("Two pictures of your own").click()
    template, reference = opened.locator("input[type=file]").all()
    line = opened.locator(".rt-describe")
    template.set_input_files(tmp_path / "one.png")
    expect(line).to_have_text("Choose the other picture too.")
    reference.set_input_files(tmp_path / "two.png")
    expect(line).to_have_text(re.compile("^Read. Both have a dark border"))
    assert opened.locator("canvas").first.evaluate("c => [c.width, c.height]") == [128, 86]
    opened.get_by_text("Shift, stretch and shear").click()
    opened.get_by_role("button", name="From blurred to sharp").click()
    expect(line).to_have_text(re.compile(r"The loss is 0 %"))
    found = float(re.search(r"(−?\d+\.\d)", readout(opened, "Shift right"))[1])
    assert found == pytest.approx(12 * 64 / 90, abs=0.2)
    template.set_input_files(tmp_path / "light.png")
    expect(line).to_have_text(re.compile("^Read. The pictures go on outside"))
    template.set_input_files(tmp_path / "text.png")
    expect(line).to_have_text(re.compile("could not be read"))
    Image.new("L", (40, 30), 90).save(tmp_path / "plain.png")
    template.set_input_files(tmp_path / "plain.png")
    expect(line).to_have_text(re.compile("^The template has the same grey everywhere"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_and_accessibility(chromium, address, scheme):
    size = {"width": 390, "height": 844, "color_scheme": scheme}
    with helper.open_page(chromium, f"registration-{scheme}", **size) as (page, watch):
        page.goto(address)
        page.get_by_role("button", name="Single scale").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("canvas").first.bounding_box()["width"] >= 300
        violations = Axe().run(page).response["violations"]
        assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
        watch.check()
