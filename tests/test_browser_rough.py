"""The registration in the browser under rough use: broken off, out of sight, by touch."""

import re

import pytest
from playwright.sync_api import expect

import browser as helper
from registration_page import drag, readout

pytestmark = pytest.mark.browser

expect.set_options(timeout=1000 * helper.PATIENCE)


def test_a_run_broken_off_leaves_the_blur_as_chosen(chromium, address):
    with helper.open_page(chromium, "registration-broken") as (page, _):
        page.goto(address)
        line = page.locator(".rt-describe")
        for button in ["Single scale", "Back to the start"]:
            page.get_by_role("button", name="From blurred to sharp").click()
            page.wait_for_function("document.querySelector('.rt-line.rt-path')?.points.length > 1")
            assert " 0.001 px" not in readout(page, "Blur θ")
            page.get_by_role("button", name=button).click()
            if button == "Single scale":
                expect(line).to_have_text(
                    re.compile(r"^Single scale, from where the last .* θ = 0.001 px⁴")
                )
            assert "0.001 px" in readout(page, "Blur θ")


def test_one_button_after_the_other(opened):
    line = opened.locator(".rt-describe")
    opened.get_by_role("button", name="Single scale").click()
    expect(line).to_have_text(re.compile("does the other button come lower"))
    opened.get_by_role("button", name="From blurred to sharp").click()
    expect(line).to_have_text(re.compile("^From .*, from where the last run ended: .* so far"))


def test_a_template_out_of_sight(opened):
    """Nothing is followed there; the 24 starts count the valleys that they find themselves."""
    width = opened.locator("canvas").first.bounding_box()["width"]
    line = opened.locator(".rt-describe")
    drag(opened, opened.locator("circle.rt-handle").nth(2), -60, 60)
    drag(opened, opened.locator(".rt-frame"), 2 * width, 0)
    opened.get_by_role("button", name="Single scale").click()
    said = r": 0 steps .* 100 %.* has left the reference\. It did not begin "
    expect(line).to_have_text(re.compile(said))
    opened.get_by_role("button", name="From blurred to sharp").click()
    expect(line).to_have_text(re.compile("13 scales"))
    opened.get_by_role("button", name="Try 24 starts").click()
    expect(line).to_have_text(re.compile(r"^Of 24 .*, and 24 from .* was θ = 0\.001 px⁴\."))


def test_a_finger_drags_a_handle_to_its_end(chromium, address):
    size = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
    with helper.open_page(chromium, "registration-touch", **size) as (page, _):
        page.goto(address)
        corner = page.locator("circle.rt-handle").nth(2)
        corner.scroll_into_view_if_needed()
        before, box = page.evaluate("scrollY"), corner.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch = page.context.new_cdp_session(page)
        for k in range(10):
            kind = "touchMove" if k else "touchStart"
            points = [{"x": x - 10 * k, "y": y + 10 * k}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            page.wait_for_timeout(20)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        turn = int(re.search(r"−(\d+)°", readout(page, "Turn clockwise"))[1])
        assert 15 < turn < 40
        assert page.evaluate("scrollY") == before


def test_other_buttons_and_other_fingers_do_not_drag(opened):
    frame, line = opened.locator(".rt-frame"), opened.locator(".rt-describe")
    before = line.inner_text()
    opened.evaluate(
        """() => {
            const at = { bubbles: true, clientX: 100, clientY: 300 };
            const frame = document.querySelector(".rt-frame");
            const move = (id) => dispatchEvent(
                new PointerEvent("pointermove", { clientX: 160, clientY: 300, pointerId: id }));
            const press = (more) => frame.dispatchEvent(
                new PointerEvent("pointerdown", { ...at, ...more }));
            press({ pointerId: 3, button: 2 });
            move(3);
            press({ pointerId: 4 });
            move(5);
            globalThis.move = move;
        }"""
    )
    assert line.inner_text() == before
    opened.evaluate("move(4)")
    assert line.inner_text() != before
    assert frame.count() == 1
