"""The home page and the task builder in a real browser: a first run, several steps, imports, two tabs, odd texts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, settled, shoot, start_sample, to_page

EVIL = "<img src=x onerror=alert(1)> ![x](http://example.invalid/p.png)"


def new_task(page: Page) -> None:
    press(page, "box_empty")
    settled(page)
    expect(page.get_by_text("How the task works")).to_be_visible()


def import_text(page: Page, text: str) -> None:
    page.get_by_role("button", name="Start from a text").click()
    box = page.locator(".st-key-import_text textarea")
    box.fill(text)
    box.press("Control+Enter")
    settled(page)
    press(page, "import_use")
    settled(page)
    page.keyboard.press("Escape")
    settled(page)


def add_step(page: Page, what: str) -> None:
    page.locator(".st-key-add_step button").first.click()
    page.get_by_text(what, exact=True).click()
    settled(page)


def boxes(page: Page) -> list[str]:
    page.locator(".pipeline svg").wait_for()
    return page.locator(".pipeline .title").all_text_contents()


def test_several_steps_are_built_wired_and_drawn(new_page):
    page = new_page()
    new_task(page)
    shoot(page, "builder_empty")
    import_text(page, "Sort this mail. Answer with one of: billing, shipping.\n\n{{mail}}")
    expect(page.locator(".st-key-prompt_text")).to_contain_text("billing")
    assert boxes(page) == ["Goes in", "solve", "Comes out"]
    add_step(page, "Search a corpus before this step")
    expect(page.get_by_text("There is nothing to search").first).to_be_visible()
    passages = page.locator("[class*=st-key-corpus_text_] textarea")
    passages.fill("Refunds go to billing.\n\nParcels go to shipping.")
    passages.press("Control+Enter")
    settled(page)
    expect(page.locator(".st-key-next_step button").first).to_be_enabled()
    page.locator(".pipeline [role=button]", has_text="solve").click()
    settled(page)
    expect(page.locator(".st-key-prompt_card")).to_contain_text("The prompt of solve")
    expect(page).to_have_url(re.compile("step=2"))
    add_step(page, "Ask the model after this step")
    expect(page.locator(".pipeline .title", has_text="check")).to_have_count(1)
    press(page, "step_remove")
    settled(page)
    expect(page.locator(".pipeline .title", has_text="check")).to_have_count(0)
    shoot(page, "builder_steps")
    page.reload()
    settled(page)
    expect(page.locator(".pipeline .title", has_text="search")).to_have_count(1)


def test_a_task_starts_from_a_class_that_is_never_run(new_page):
    page = new_page()
    new_task(page)
    import_text(page, "class Order(BaseModel):\n    item: str\n    count: int")
    expect(page.locator(".st-key-prompt_text")).to_contain_text("count")


def test_two_tabs_do_not_overwrite_each_other(new_page):
    page = new_page()
    new_task(page)
    import_text(page, "mail -> team")
    other = new_page(page.url.split("/", 3)[3])
    area = "[class*=st-key-instruction_] textarea"
    page.locator(area).fill("From the first tab.")
    page.locator(area).press("Control+Enter")
    settled(page)
    other.locator(area).fill("From the second tab.")
    other.locator(area).press("Control+Enter")
    settled(other)
    expect(other.locator(".st-key-changed_elsewhere")).to_be_visible()
    shoot(other, "builder_conflict")
    press(other, "keep_theirs")
    settled(other)
    expect(other.locator(area)).to_have_value("From the first tab.")


def test_odd_names_are_drawn_as_text(new_page):
    page = new_page()
    new_task(page)
    import_text(page, "mail -> team")
    name = page.locator("[class*=st-key-name_inputs_0] input")
    name.fill(EVIL)
    name.press("Enter")
    settled(page)
    expect(page.locator(".pipeline svg")).to_contain_text("<img src=x")
    assert page.locator(".pipeline img, img[src*='example.invalid'], img[onerror]").count() == 0
    expect(page.locator(".st-key-next_step button").first).to_be_disabled()
    to_page(page, "home")
    expect(page.locator(".st-key-project_rows")).to_contain_text("example.invalid")
    assert page.locator("a[href*='example.invalid'], img[src*='example.invalid']").count() == 0


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 1920)])
def test_the_builder_in_both_themes_and_widths(new_page, theme: str, width: int):
    page = new_page(theme=theme, width=width)
    start_sample(page, "festival_questions")
    settled(page)
    to_page(page, "task")
    assert boxes(page)[-1] == "Comes out"
    shoot(page, f"builder_{theme}_{width}")
    to_page(page, "home")
    shoot(page, f"builder_home_{theme}_{width}")
