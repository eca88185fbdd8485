"""The first screen of a newcomer: a finished run plays next to the box, and all of it is in sight."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from support.pages.browser_frame import press, settled, shoot, start_sample, within

SHOWN = "(all) => all.filter((e) => getComputedStyle(e).opacity > 0.9).map((e) => e.textContent)"


def words(page):
    """The words below the chart that are shown right now."""
    return page.locator(".tb-film .words p").evaluate_all(SHOWN)


def test_the_run_says_what_a_dot_is_comes_to_its_verdict_and_plays_again(new_page):
    page = new_page()
    film = page.locator(".tb-film")
    assert "Better: " in (film.get_by_role("img").get_attribute("aria-label") or "")
    assert within(lambda: any("Each dot is one prompt" in w for w in words(page)), 8, page)
    assert within(lambda: any("fixed" in w for w in words(page)), 30, page)
    assert len(words(page)) == 1
    film.get_by_role("button", name="Play again").click()
    assert within(lambda: any("Each dot is one prompt" in w for w in words(page)), 8, page)


def test_reduced_motion_shows_the_end_and_plays_when_asked(new_page):
    page = new_page()
    page.emulate_media(reduced_motion="reduce")
    assert within(lambda: any("fixed" in w for w in words(page)), 1, page)
    page.locator(".tb-film").get_by_role("button", name="Play again").click()
    assert within(lambda: any("Each dot is one prompt" in w for w in words(page)), 8, page)


def test_the_first_screen_has_the_box_the_run_one_filled_button_and_the_demonstration(new_page):
    page = new_page(height=720)
    for part in (".st-key-start_box", ".st-key-film", ".st-key-show"):
        box = page.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 720, part
    assert page.locator("[data-testid=stBaseButton-primary]").count() == 1
    press(page, "show")
    settled(page)
    expect(page.locator(".st-key-present_head")).to_contain_text("How it works")


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1920), ("dark", 400)])
def test_home_with_several_projects(new_page, theme, width):
    page = new_page(theme=theme, width=width)
    start_sample(page, "reviews")
    settled(page)
    page.goto(page.url.split("/tune")[0])
    settled(page)
    expect(page.locator(".st-key-project_rows")).to_contain_text("Judge product reviews")
    page.locator(".st-key-samples summary").click()
    page.locator(".st-key-demo summary").click()
    expect(page.locator(".tb-film svg")).to_be_visible()
    shoot(page, f"home_projects_{theme}_{width}")
