"""What the final test can show, in a browser: the slider by keyboard, the split, labelling; and the estimate that stays in sight."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import other_way, press, settled, shoot

from dashboard.state.editing import drafts
from dashboard.state.editing.examples import split_of
from engine.pipeline.templates import SAMPLES

REPORTED = re.compile(
    r"With (\d+) test rows a gain of (\d+) points or more will show; with (\d+) rows, of (\d+)\."
)


@pytest.fixture
def project(home: Path) -> str:
    return drafts.project_from_sample(SAMPLES[0])


def bet(page: Page) -> tuple[int, ...]:
    """Return the figures of the card: two numbers of test rows, each with the gain that shows."""
    found = REPORTED.search(page.locator(".st-key-final_test").inner_text())
    assert found
    now, gain, other, smaller = map(int, found.groups())
    return now, gain, other, smaller


def drag(page: Page, steps: int) -> None:
    """Move the slider by keyboard."""
    handle = page.locator(".st-key-final_test input[type=range], .st-key-final_test [role=slider]").first
    handle.focus()
    for _ in range(steps):
        page.keyboard.press("ArrowRight")
    settled(page)


def test_the_line_is_dragged_the_split_is_set_and_labelling_opens(
    new_page: Callable[..., Page], project: str
) -> None:
    page = new_page(f"tune?project={project}")
    settled(page)
    now, gain, other, smaller = bet(page)
    assert other == 2 * now
    assert smaller < gain
    drag(page, 30)
    expect(page.locator(".st-key-final_test")).to_contain_text(f"with {now + 30} rows")
    assert smaller <= bet(page)[3] < gain
    shoot(page, "tune_final_test")
    press(page, "set_test_rows")
    expect(page.locator(".st-key-final_test")).not_to_contain_text(f"With {now} test rows")
    settled(page)
    assert abs(bet(page)[0] - now - 30) <= 2
    assert len(split_of(drafts.edit(project, lambda draft: draft)).test) == bet(page)[0]
    expect(page.locator(".st-key-plan_Balanced")).to_contain_text("Chosen")
    page.locator(".st-key-test_rows_ways a").first.click()
    expect(page).to_have_url(re.compile("/examples.*example_tabs=Add"))
    tabs = page.locator(".st-key-example_tabs")
    expect(tabs.get_by_role("tab", name="Add rows")).to_have_attribute("aria-selected", "true")
    expect(tabs.get_by_role("tab", name="Add rows")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", [1280, 400])
def test_the_estimate_and_the_start_stay_in_sight(
    new_page: Callable[..., Page], project: str, width: int
) -> None:
    page = new_page(f"tune?project={project}", width=width, height=800)
    settled(page)
    other_way(page, "all optimizers")
    for end in (0, 1, 2):
        page.evaluate(
            "end => { const main = document.querySelector('[data-testid=stMain]');"
            "main.scrollTo(0, end * main.scrollHeight / 2) }",
            end,
        )
        for key in ("estimate_calls", "estimate_time", "start_run"):
            expect(page.locator(f".st-key-{key}").first).to_be_in_viewport(ratio=1)
    expect(page.locator(".st-key-freeze_form")).to_be_in_viewport(ratio=1)
    shoot(page, f"tune_scrolled_{width}")


@pytest.mark.parametrize(("theme", "width"), [("light", 400), ("dark", 1280), ("dark", 1920)])
def test_the_card_and_the_other_ways_are_readable(
    new_page: Callable[..., Page], project: str, theme: str, width: int
) -> None:
    page = new_page(f"tune?project={project}", theme=theme, width=width)
    drag(page, 40)
    for way in ("small model", "several models", "all optimizers"):
        other_way(page, way)
    shoot(page, f"tune_ways_{theme}_{width}")
